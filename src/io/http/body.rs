//! Bodies of responses. They are decompressed while they arrive, and kept only if a check requests them.

use hyper::body::Bytes;

use super::body_decoder::{BodyDecoder, BodyKind};
use crate::model::{failure::Failure, text::excerpt, units::Size, words::Reason};

/// Receives a body piece by piece.
pub(crate) struct Collector {
    decoder: BodyDecoder,
    kept: Option<Vec<u8>>,
}

/// Treatment of the body of a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyOptions {
    pub(crate) limit: Size,
    pub(crate) keep: bool,
    /// Whether the encodings `br` and `zstd` are decoded, which take more memory.
    pub(crate) accepts_large_windows: bool,
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
    pub(crate) fn new(encoding: Option<&str>, options: BodyOptions) -> Result<Self, Failure> {
        let BodyOptions { limit, keep, accepts_large_windows } = options;
        let decoder = match accepts_large_windows {
            true => BodyDecoder::with_large_windows(encoding, limit, BODY),
            false => BodyDecoder::new(encoding, limit, BODY),
        };
        let decoder = match decoder {
            None if keep => {
                let encoding = excerpt(encoding.unwrap_or_default().trim(), 20);
                let hint = match encoding.to_ascii_lowercase().as_str() {
                    "br" | "zstd" => ": name it in a header `Accept-Encoding`, if the server should use it",
                    _ => "",
                };
                let text = format!("the body is compressed as `{encoding}`, which can't be read here{hint}");
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
            let options = BodyOptions { limit: Size(limit), keep: true, accepts_large_windows: true };
            let mut collector = Collector::new(encoding, options)?;
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

    /// `ok` as one block of brotli.
    const BROTLI: &[u8] = &[0x8b, 0x00, 0x80, b'o', b'k', 0x03];
    /// 100,000 times `x` in brotli.
    const BROTLI_BOMB: &[u8] = &[0x5b, 0x9f, 0x86, 0x81, 0x5f, 0x02, 0x2f, 0x1e, 0x0b, 0x04, 0xb2, 0xfc, 0x02, 0x00];

    #[test]
    fn brotli_and_zstd_are_decoded_within_the_limit() {
        let zstd = |text: &[u8]| zstd::stream::encode_all(text, 3).unwrap();
        let frames = [zstd(b"one, "), zstd(b"two")].concat();
        assert_eq!(collect(Some("zstd"), 99, &[&frames]).unwrap().kept.unwrap(), "one, two");
        let bomb = zstd(&vec![b'x'; 100_000]);
        let (one, two) = bomb.split_at(bomb.len() / 2);
        assert_eq!(collect(Some("ZSTD"), 100_000, &[one, two]).unwrap().size, 100_000);
        assert_eq!(collect(Some("zstd"), 99_999, &[&bomb]).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(collect(Some("zstd"), 100_000, &[one]).unwrap_err().reason, Reason::Body);
        // A window above 8 MiB.
        let mut large = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
        large.set_parameter(zstd::stream::raw::CParameter::WindowLog(27)).unwrap();
        std::io::Write::write_all(&mut large, b"x").unwrap();
        assert_eq!(collect(Some("zstd"), 99, &[&large.finish().unwrap()]).unwrap_err().reason, Reason::Body);

        let whole = BROTLI;
        for (one, two) in [(whole, &b""[..]), whole.split_at(3)] {
            assert_eq!(collect(Some("br"), 2, &[one, two]).unwrap().kept.unwrap(), "ok");
        }
        assert_eq!(collect(Some("br"), 1, &[whole]).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(collect(Some("br"), 9, &[&whole[..5]]).unwrap_err().reason, Reason::Body);
        let (one, two) = BROTLI_BOMB.split_at(7);
        assert_eq!(collect(Some("br"), 100_000, &[one, two]).unwrap().kept.unwrap(), vec![b'x'; 100_000]);
        assert_eq!(collect(Some("br"), 99_999, &[BROTLI_BOMB]).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(collect(Some("br"), 9, &[b"no brotli at all"]).unwrap_err().reason, Reason::Body);
        assert_eq!(collect(Some("br"), 9, &[]).unwrap().size, 0);
    }

    #[test]
    fn a_body_of_exactly_the_limit_is_fine_and_one_byte_more_is_not() {
        assert_eq!(collect(None, 4, &[b"ab", b"cd"]).unwrap().kept.unwrap(), "abcd");
        assert_eq!(collect(None, 4, &[b"ab", b"cde"]).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(collect(Some("gzip"), 4, &[]).unwrap().size, 0);
        let options = BodyOptions { limit: Size(4), keep: true, accepts_large_windows: false };
        assert_eq!(Collector::new(Some("br"), options).err().unwrap().reason, Reason::Body);
        let options = BodyOptions { keep: false, ..options };
        assert_eq!(Collector::new(Some("br"), options).unwrap().finish().unwrap(), None);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_exceed_the_limit(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), encoding in "(gzip|deflate|identity|br|zstd)"
        ) {
            if let Ok(body) = collect(Some(&encoding), 200, &[&bytes]) {
                prop_assert!(body.size <= 200);
            }
        }
    }
}
