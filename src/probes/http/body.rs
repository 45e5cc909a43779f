//! Bodies of answers: decompressed while they arrive, counted after that, and kept only when somebody looks at them.
//!
//! A gzip bomb therefore costs its limit and not more.

use std::io::{self, Write};

use flate2::{Decompress, FlushDecompress, Status, write::MultiGzDecoder};
use hyper::body::Bytes;

use crate::{
    probe::{Failure, Reason},
    units::Size,
};

/// What takes in a body, piece by piece.
pub(super) struct Collector {
    decoder: Decoder,
    limit: Size,
}

/// A body that has come to its end.
#[derive(Debug)]
pub(super) struct Body {
    /// Bytes after decompression.
    pub(super) size: u64,
    /// The bytes, if they were to be kept.
    pub(super) kept: Option<Bytes>,
}

enum Decoder {
    Plain(Sink),
    Gzip(Box<MultiGzDecoder<Sink>>),
    /// `deflate`, before its first byte tells which of two formats it is.
    Deflate(Sink),
    Inflate(Box<Inflate>),
}

/// Undoes `deflate`. The writer of the library would take a body that breaks off for a whole one.
struct Inflate {
    stream: Decompress,
    sink: Sink,
    ended: bool,
}

#[derive(Debug, Default)]
struct Sink {
    size: u64,
    limit: u64,
    kept: Option<Vec<u8>>,
}

impl Collector {
    /// Takes a body in the given `Content-Encoding` (none is `identity`).
    ///
    /// # Errors
    /// `body`, if it would have to be kept and its encoding is not known.
    pub(super) fn new(encoding: Option<&str>, limit: Size, keep: bool) -> Result<Self, Failure> {
        let sink = Sink { size: 0, limit: limit.0, kept: keep.then(Vec::new) };
        let decoder = match encoding.map(str::trim).map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "identity") => Decoder::Plain(sink),
            Some("gzip" | "x-gzip") => Decoder::Gzip(Box::new(MultiGzDecoder::new(sink))),
            Some("deflate") => Decoder::Deflate(sink),
            Some(other) if keep => {
                return Err(Failure::new(
                    Reason::Body,
                    format!("the body is compressed as `{}`, which can't be read here", excerpt(other, 20)),
                ));
            }
            Some(_) => Decoder::Plain(sink),
        };
        Ok(Self { decoder, limit })
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), Failure> {
        if let (Decoder::Deflate(sink), Some(first)) = (&mut self.decoder, piece.first()) {
            // By the standard it is the zlib format, which starts with the method 8; some servers send it raw.
            let sink = std::mem::take(sink);
            let stream = Decompress::new(first & 0x0f == 8);
            self.decoder = Decoder::Inflate(Box::new(Inflate { stream, sink, ended: false }));
        }
        let taken = match &mut self.decoder {
            Decoder::Plain(sink) | Decoder::Deflate(sink) => sink.write_all(piece),
            Decoder::Gzip(decoder) => decoder.write_all(piece),
            Decoder::Inflate(inflate) => inflate.push(piece),
        };
        taken.map_err(|error| self.failure(&error))
    }

    /// The whole body.
    pub(super) fn finish(self) -> Result<Body, Failure> {
        let limit = self.limit;
        let sink = match self.decoder {
            Decoder::Plain(sink) | Decoder::Deflate(sink) => Ok(sink),
            // An answer without a body (to HEAD, for one) names the encoding all the same.
            Decoder::Gzip(decoder) if decoder.get_ref().size == 0 && decoder.header().is_none() => Ok(Sink::default()),
            Decoder::Gzip(decoder) => decoder.finish(),
            Decoder::Inflate(inflate) if inflate.ended => Ok(inflate.sink),
            Decoder::Inflate(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        let sink = sink.map_err(|error| failure(&error, limit))?;
        Ok(Body { size: sink.size, kept: sink.kept.map(Bytes::from) })
    }

    fn failure(&self, error: &io::Error) -> Failure {
        failure(error, self.limit)
    }
}

fn failure(error: &io::Error, limit: Size) -> Failure {
    match error.kind() {
        io::ErrorKind::FileTooLarge => Failure::new(Reason::TooLarge, format!("the body is larger than {limit}")),
        _ => Failure::new(Reason::Body, format!("the body can't be decompressed: {error}")),
    }
}

impl Inflate {
    fn push(&mut self, piece: &[u8]) -> io::Result<()> {
        let mut rest = piece;
        let mut out = Vec::with_capacity(16 << 10);
        loop {
            out.clear();
            let (read, written) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.decompress_vec(rest, &mut out, FlushDecompress::None)?;
            self.sink.write_all(&out)?;
            let taken = usize::try_from(self.stream.total_in() - read).unwrap_or(usize::MAX);
            rest = rest.get(taken..).unwrap_or_default();
            if status == Status::StreamEnd {
                self.ended = true;
                return Ok(());
            }
            if taken == 0 && self.stream.total_out() == written {
                return Ok(());
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.size += piece.len() as u64;
        if self.size > self.limit {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if let Some(kept) = &mut self.kept {
            kept.extend_from_slice(piece);
        }
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The start of a foreign text on one line, for a sentence.
pub(super) fn excerpt(text: &str, longest: usize) -> String {
    let mut shown: String = text.chars().take(longest).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(longest).is_some() {
        shown.push_str("...");
    }
    shown
}

#[cfg(test)]
mod tests {
    use flate2::{Compression, write};
    use proptest::prelude::*;

    use super::*;

    fn collect(encoding: Option<&str>, limit: u64, pieces: &[&[u8]]) -> Result<Body, Failure> {
        let mut collector = Collector::new(encoding, Size(limit), true)?;
        for piece in pieces {
            collector.push(piece)?;
        }
        collector.finish()
    }

    fn packed(encoding: &str, text: &[u8]) -> Vec<u8> {
        let level = Compression::best();
        match encoding {
            "gzip" => {
                let mut to = write::GzEncoder::new(Vec::new(), level);
                to.write_all(text).unwrap();
                to.finish().unwrap()
            }
            "zlib" => {
                let mut to = write::ZlibEncoder::new(Vec::new(), level);
                to.write_all(text).unwrap();
                to.finish().unwrap()
            }
            _ => {
                let mut to = write::DeflateEncoder::new(Vec::new(), level);
                to.write_all(text).unwrap();
                to.finish().unwrap()
            }
        }
    }

    #[test]
    fn every_encoding_is_undone_and_counted_after_that() {
        let text = vec![b'x'; 100_000];
        for (encoding, format) in [("gzip", "gzip"), ("deflate", "zlib"), ("deflate", "raw"), ("GZIP", "gzip")] {
            let bytes = packed(format, &text);
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
        assert_eq!(Collector::new(Some("br"), Size(4), false).unwrap().finish().unwrap().kept, None);
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
