//! Decompression of backups step by step: the checksums of the compressed form are verified, and the content is parsed.
//!
//! A step is bounded in output as well as in input, because 128 KiB can decompress to gigabytes. Reading can be canceled
//! or interrupted until the next run between two steps.

use std::{fmt, io};

use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

use super::{
    Defect,
    content::{Content, ContentKind, Evidence},
};
use crate::compress::GzipDecoder;

/// Decompressor of a backup, and the parser of its content.
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
        window: WindowLimit,
        /// Number of bytes that the decoder still waits for; 0 at the end of a frame.
        wanting: usize,
    },
}

/// Maximum window of a zstd decoder, and so its memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WindowLimit {
    /// 8 MiB, for all levels up to 19.
    Usual,
    /// 128 MiB, for `--ultra` and `--long`.
    Large,
}

/// Result of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// Number of bytes of the input that were consumed.
    pub(super) consumed: usize,
    /// Whether the output was filled: more output may follow even without input.
    pub(super) filled: bool,
}

/// Maximum output of one step in bytes.
pub(super) const MAX_OUTPUT: usize = 128 << 10;

impl Stream {
    /// Selects the decompressor by the first bytes of a file, because its name may be wrong.
    pub(super) fn of(head: &[u8], window: WindowLimit, kind: ContentKind) -> Result<Self, Defect> {
        let packing = match head {
            [0x1f, 0x8b, ..] => Packing::Gzip(Box::default()),
            // A frame or a skippable frame: pzstd begins with one, and other programs write an index into one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => {
                let decoder = decoder(window).map_err(|error| Defect::Unverifiable(format!("zstd: {error}")))?;
                Packing::Zstd { decoder, window, wanting: 0 }
            }
            _ => Packing::Plain,
        };
        let room = if matches!(packing, Packing::Plain) { 0 } else { MAX_OUTPUT };
        Ok(Self { packing, content: Content::new(kind), output: Vec::with_capacity(room) })
    }

    /// Consumes a part of the input. Called until all of it is consumed and the output was not filled.
    pub(super) fn step(&mut self, input: &[u8]) -> Result<Step, Defect> {
        self.output.clear();
        let consumed = match &mut self.packing {
            Packing::Plain => {
                self.content.feed(input);
                return Ok(Step { consumed: input.len(), filled: false });
            }
            Packing::Gzip(members) => members.step(input, &mut self.output).map_err(|error| damaged("gzip", &error))?,
            Packing::Zstd { decoder, window, wanting } => {
                zstd_step(decoder, wanting, input, &mut self.output).map_err(|error| zstd_defect(&error, *window))?
            }
        };
        self.content.feed(&self.output);
        Ok(Step { consumed, filled: self.output.len() == self.output.capacity() })
    }

    /// Checksum that covers the compressed form, if there is one, and the evidence in the content.
    ///
    /// # Errors
    /// `Damaged`: the compressed form or the content is incomplete or wrong.
    pub(super) fn finish(self) -> Result<(Option<&'static str>, Evidence), Defect> {
        let name = match self.packing {
            Packing::Plain => None,
            Packing::Gzip(members) => {
                members.finish().map_err(|error| damaged("gzip", &error))?;
                Some("gzip checksum")
            }
            Packing::Zstd { wanting, .. } if wanting > 0 => return Err(Defect::Damaged("zstd: cut short".to_owned())),
            Packing::Zstd { .. } => Some("zstd frames"),
        };
        Ok((name, self.content.finish()?))
    }

    /// Whether a short file, given completely, holds nothing but zeros and white space. A file that is damaged before
    /// its first content has no content either. A file that fills one step is not known to be blank: a kilobyte can
    /// decompress to 30 MiB of zeros.
    pub(super) fn is_blank(file: &[u8]) -> bool {
        let Ok(mut stream) = Self::of(file, WindowLimit::Usual, ContentKind::Whole) else { return false };
        let mut rest = file;
        loop {
            let step = match stream.step(rest) {
                Ok(step) => step,
                Err(defect) => return matches!(defect, Defect::Damaged(_)) && !stream.content.has_content(),
            };
            rest = rest.get(step.consumed..).unwrap_or_default();
            if stream.content.has_content() || step.filled {
                return false;
            }
            if rest.is_empty() {
                return true;
            }
        }
    }
}

fn decoder(window: WindowLimit) -> io::Result<Decoder<'static>> {
    let mut decoder = Decoder::new()?;
    let log = match window {
        WindowLimit::Usual => 23,
        WindowLimit::Large => 27,
    };
    decoder.set_parameter(DParameter::WindowLogMax(log))?;
    Ok(decoder)
}

fn zstd_step(
    decoder: &mut Decoder<'static>,
    wanting: &mut usize,
    input: &[u8],
    output: &mut Vec<u8>,
) -> io::Result<usize> {
    let mut input = InBuffer::around(input);
    let mut output = OutBuffer::around(output);
    let hint = decoder.run(&mut input, &mut output)?;
    // A call without input and output returns a hint about the next frame, which need not follow. This happens after a
    // frame that ends and fills the output at once: the next call returns the length of a frame header.
    if input.pos() > 0 || output.pos() > 0 || hint == 0 {
        *wanting = hint;
    }
    Ok(input.pos())
}

/// Defect of an error of zstd. A frame that needs more memory than is available is not damaged.
fn zstd_defect(error: &io::Error, window: WindowLimit) -> Defect {
    // The texts of `ZSTD_error_frameParameter_windowTooLarge` and `ZSTD_error_memory_allocation`; the crate has no codes.
    let text = error.to_string();
    match window {
        WindowLimit::Usual if text.contains("too much memory") => Defect::LargeWindow,
        WindowLimit::Large if text.contains("too much memory") => {
            Defect::Unverifiable("zstd: made with a window above 128MiB, which is not read here".to_owned())
        }
        _ if text.contains("not enough memory") => Defect::Unverifiable(format!("zstd: {text}")),
        _ => damaged("zstd", error),
    }
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
