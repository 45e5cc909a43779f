//! Bodies of responses. They are decompressed while they arrive, and kept only if a check requests them.

use hyper::body::Bytes;

use super::body_decoder::{BodyDecoder, BodyKind};
use crate::model::{failure::Failure, text::excerpt, units::Size, words::Reason};

/// Receives a body piece by piece.
pub(crate) struct Collector {
    decoder: BodyDecoder,
    kept: Option<Vec<u8>>,
}

/// A body, or the part of it that was received before a failure.
#[derive(Debug, Default)]
pub(crate) struct Body {
    /// Whether the body was received to its end.
    pub(crate) is_complete: bool,
    /// Number of received bytes, before decompression.
    pub(crate) received: u64,
    /// Size in bytes after decompression.
    pub(crate) size: u64,
    /// The decompressed bytes, if they are kept.
    pub(crate) kept: Option<Bytes>,
}

const BODY: BodyKind = BodyKind { name: "body", unreadable: Reason::Body };

impl Collector {
    /// Creates a collector for a body with the given `Content-Encoding`; `None` means `identity`.
    ///
    /// # Errors
    /// `body`: the body is to be kept and its encoding is unknown.
    pub(crate) fn new(encoding: Option<&str>, limit: Size, keep: bool) -> Result<Self, Failure> {
        let decoder = match BodyDecoder::new(encoding, limit, BODY) {
            None if keep => {
                let encoding = excerpt(encoding.unwrap_or_default().trim(), 20);
                let text = format!("the body is compressed as `{encoding}`, which can't be read here");
                return Err(Failure::new(Reason::Body, text));
            }
            found => found.or_else(|| BodyDecoder::new(None, limit, BODY)),
        };
        let decoder = decoder.ok_or_else(|| Failure::new(Reason::Internal, "a plain body can always be read"))?;
        Ok(Self { decoder, kept: keep.then(Vec::new) })
    }

    /// Receives the next piece.
    pub(crate) async fn push(&mut self, piece: &[u8]) -> Result<(), Failure> {
        let Self { decoder, kept } = self;
        let keep = |part: &[u8]| {
            kept.iter_mut().for_each(|kept| kept.extend_from_slice(part));
            Ok(())
        };
        decoder.decode(piece, keep).await
    }

    /// Size in bytes after decompression of the part that was received until now.
    pub(crate) fn size(&self) -> u64 {
        self.decoder.produced_bytes()
    }

    /// Checks the end of the body and returns the kept bytes.
    ///
    /// # Errors
    /// `body`: the compressed data is incomplete.
    pub(crate) fn finish(self) -> Result<Option<Bytes>, Failure> {
        self.decoder.finish()?;
        Ok(self.kept.map(Bytes::from))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::body_decoder::tests::compress, *};

    fn collect(encoding: Option<&str>, limit: u64, pieces: &[&[u8]]) -> Result<Body, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut collector = Collector::new(encoding, Size(limit), true)?;
            for piece in pieces {
                collector.push(piece).await?;
            }
            let size = collector.size();
            Ok(Body { is_complete: true, received: 0, size, kept: collector.finish()? })
        })
    }

    #[test]
    fn every_encoding_is_undone_and_counted_after_that() {
        let text = vec![b'x'; 100_000];
        for (encoding, format) in [("gzip", "gzip"), ("deflate", "zlib"), ("deflate", "deflate"), ("GZIP", "gzip")] {
            let bytes = compress(format, &text);
            let (one, two) = bytes.split_at(bytes.len() / 2);
            let body = collect(Some(encoding), 100_000, &[one, two]).unwrap();
            assert_eq!((body.size, body.kept.unwrap().len()), (100_000, 100_000), "{encoding} as {format}");
            let bomb = collect(Some(encoding), 99_999, &[&bytes]).unwrap_err();
            assert_eq!(bomb.reason, Reason::TooLarge, "{encoding} as {format}");
            assert_eq!(collect(Some(encoding), 100_000, &[one]).unwrap_err().reason, Reason::Body);
        }
    }

    #[test]
    fn a_body_of_exactly_the_limit_is_fine_and_one_byte_more_is_not() {
        assert_eq!(collect(None, 4, &[b"ab", b"cd"]).unwrap().kept.unwrap(), "abcd");
        assert_eq!(collect(None, 4, &[b"ab", b"cde"]).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(collect(Some("gzip"), 4, &[]).unwrap().size, 0);
        assert_eq!(collect(Some("br"), 4, &[]).unwrap_err().reason, Reason::Body);
        assert_eq!(Collector::new(Some("br"), Size(4), false).unwrap().finish().unwrap(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_exceed_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), encoding in "(gzip|deflate|identity)"
        ) {
            if let Ok(body) = collect(Some(&encoding), 200, &[&bytes]) {
                prop_assert!(body.size <= 200);
            }
        }
    }
}
