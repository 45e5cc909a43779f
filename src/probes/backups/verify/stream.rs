//! Decompresses backups step by step, so that the checksums of the compressed form are verified and the content is seen.
//!
//! A step is bounded in output as well as in input: a bomb turns 128 KiB into gigabytes, and between two steps the
//! reading is halted, or set aside until the next run.

use std::{fmt, io};

use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

use super::{Defect, content::Content};
use crate::compress::GzipDecoder;

/// A file's bytes on their way.
pub(super) struct Stream {
    packing: Packing,
    content: Content,
    /// Decompressed bytes of one step.
    output: Vec<u8>,
}

enum Packing {
    Plain,
    Gzip(Box<GzipDecoder>),
    Zstd {
        decoder: Decoder<'static>,
        /// Bytes that the decoder still waits for; 0 at the end of a frame.
        wanting: usize,
    },
}

/// What a step has done.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Bytes of the input that are done with.
    pub(super) consumed: usize,
    /// Whether the output was filled: more of it may wait inside, even where no input is left.
    pub(super) filled: bool,
}

/// Bytes that one step may produce.
pub(super) const MAX_OUTPUT: usize = 128 << 10;

impl Stream {
    /// By the first bytes of a file: the name may say anything.
    pub(super) fn of(head: &[u8]) -> Result<Self, Defect> {
        let packing = match head {
            [0x1f, 0x8b, ..] => Packing::Gzip(Box::default()),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => {
                let decoder = Decoder::new().map_err(|error| Defect::Unverifiable(format!("zstd: {error}")))?;
                Packing::Zstd { decoder, wanting: 0 }
            }
            _ => Packing::Plain,
        };
        let room = if matches!(packing, Packing::Plain) { 0 } else { MAX_OUTPUT };
        Ok(Self { packing, content: Content::default(), output: Vec::with_capacity(room) })
    }

    /// Takes in some of the input; to be called until all of it is consumed and the output was not filled.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Step, Defect> {
        self.output.clear();
        let consumed = match &mut self.packing {
            Packing::Plain => {
                self.content.feed(input);
                return Ok(Step { consumed: input.len(), filled: false });
            }
            Packing::Gzip(members) => members.step(input, &mut self.output).map_err(|error| damaged("gzip", &error))?,
            Packing::Zstd { decoder, wanting } => zstd_step(decoder, wanting, input, &mut self.output)?,
        };
        self.content.feed(&self.output);
        Ok(Step { consumed, filled: self.output.len() == self.output.capacity() })
    }

    /// The names of everything that vouches for the file being whole.
    pub(super) fn finish(self) -> Result<Vec<&'static str>, Defect> {
        let name = match self.packing {
            Packing::Plain => None,
            Packing::Gzip(members) => {
                members.finish().map_err(|error| damaged("gzip", &error))?;
                Some("gzip")
            }
            Packing::Zstd { wanting, .. } if wanting > 0 => return Err(Defect::Damaged("zstd: cut short".to_owned())),
            Packing::Zstd { .. } => Some("zstd"),
        };
        Ok(name.into_iter().chain(self.content.finish()?).collect())
    }
}

fn zstd_step(
    decoder: &mut Decoder<'static>,
    wanting: &mut usize,
    input: &[u8],
    output: &mut Vec<u8>,
) -> Result<usize, Defect> {
    let mut input = InBuffer::around(input);
    let mut output = OutBuffer::around(output);
    let hint = decoder.run(&mut input, &mut output).map_err(|error| zstd_flaw(&error))?;
    // Without input and output, anything but the end of a frame is a hint about the next frame, which need not come:
    // where a frame ends and fills the output at once, the call after it tells how long a frame's header is.
    if input.pos() > 0 || output.pos() > 0 || hint == 0 {
        *wanting = hint;
    }
    Ok(input.pos())
}

/// `zstd --long` may need more memory than this program allows: that is no damage.
fn zstd_flaw(error: &io::Error) -> Defect {
    if error.to_string().contains("memory") {
        return Defect::Unverifiable("zstd: made with a window above 128MiB, which is not read here".to_owned());
    }
    damaged("zstd", error)
}

fn damaged(packing: &str, error: &io::Error) -> Defect {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Defect::Damaged(format!("{packing}: cut short")),
        _ => Defect::Damaged(format!("{packing}: {error}")),
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.packing {
            Packing::Plain => "plain",
            Packing::Gzip(_) => "gzip",
            Packing::Zstd { .. } => "zstd",
        })
    }
}
