//! Unpacks what is packed, piece by piece, so that the checksums of the packed form are seen and the content too.

use std::{
    fmt,
    io::{self, Write},
};

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::{Flaw, content::Content};

/// A file's bytes on their way.
pub(super) enum Stream {
    Plain(Content),
    Gzip(MultiGzDecoder<Content>),
    Zstd(Zstd),
}

pub(super) struct Zstd {
    decoder: Decoder<'static>,
    content: Content,
    /// What the decoder still waits for; 0 between two frames.
    wanting: usize,
    unpacked: Vec<u8>,
}

impl Stream {
    /// By the first bytes of a file: the name may say anything.
    pub(super) fn of(head: &[u8]) -> Result<Self, Flaw> {
        match head {
            [0x1f, 0x8b, ..] => Ok(Self::Gzip(MultiGzDecoder::new(Content::default()))),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = Decoder::new().map_err(|error| Flaw::Unverifiable(format!("zstd: {error}")))?;
                let unpacked = vec![0; 128 << 10];
                Ok(Self::Zstd(Zstd { decoder, content: Content::default(), wanting: 0, unpacked }))
            }
            _ => Ok(Self::Plain(Content::default())),
        }
    }

    pub(super) fn feed(&mut self, piece: &[u8]) -> Result<(), Flaw> {
        match self {
            Self::Plain(content) => {
                content.feed(piece);
                Ok(())
            }
            Self::Gzip(gzip) => gzip.write_all(piece).map_err(|error| damaged("gzip", &error)),
            Self::Zstd(zstd) => zstd.feed(piece),
        }
    }

    /// What told that all is there.
    pub(super) fn finish(self) -> Result<Vec<&'static str>, Flaw> {
        let (packing, content) = match self {
            Self::Plain(content) => (None, content),
            Self::Gzip(gzip) => (Some("gzip"), gzip.finish().map_err(|error| damaged("gzip", &error))?),
            Self::Zstd(zstd) if zstd.wanting > 0 => return Err(Flaw::Damaged("zstd: cut short".to_owned())),
            Self::Zstd(zstd) => (Some("zstd"), zstd.content),
        };
        Ok(packing.into_iter().chain(content.finish()?).collect())
    }
}

impl Zstd {
    fn feed(&mut self, piece: &[u8]) -> Result<(), Flaw> {
        let mut input = InBuffer::around(piece);
        loop {
            let mut output = OutBuffer::around(&mut self.unpacked);
            self.wanting = self.decoder.run(&mut input, &mut output).map_err(|error| zstd_flaw(&error))?;
            let full = output.pos() == output.capacity();
            self.content.feed(output.as_slice());
            // A full buffer may have more behind it.
            if input.pos() == piece.len() && !full {
                return Ok(());
            }
        }
    }
}

/// `zstd --long` may need more memory than this program allows: that is no damage.
fn zstd_flaw(error: &io::Error) -> Flaw {
    if error.to_string().contains("memory") {
        return Flaw::Unverifiable("zstd: made with a window above 128MiB, which is not read here".to_owned());
    }
    damaged("zstd", error)
}

fn damaged(packing: &str, error: &io::Error) -> Flaw {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Flaw::Damaged(format!("{packing}: cut short")),
        _ => Flaw::Damaged(format!("{packing}: {error}")),
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "plain",
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
        })
    }
}
