//! The encodings `br` (RFC 7932) and `zstd` (RFC 8878), in steps with bounded input and output.

use std::{fmt, io};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};
use zstd::stream::raw::{DParameter, Decoder, InBuffer, Operation, OutBuffer};

/// Decoder of one of the encodings.
pub(super) enum OtherEncoding {
    Brotli { state: Box<BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>>, progress: StreamProgress },
    Zstd { decoder: Decoder<'static>, progress: StreamProgress },
}

/// Position of a decoder in its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StreamProgress {
    /// No byte was received. A response without a body, for example to HEAD, may name an encoding.
    Start,
    Middle,
    End,
}

/// Maximum window of zstd in bytes, as a power of 2: RFC 9659 limits the content encoding to 8 MiB.
const MAX_ZSTD_WINDOW_LOG: u32 = 23;

impl OtherEncoding {
    /// Creates the decoder of an encoding; `None` for an unknown one.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let progress = StreamProgress::Start;
        match name {
            "br" => {
                let allocator = StandardAlloc::default;
                // The window of a stream without the extension for large windows has 16 MiB at most.
                let state = Box::new(BrotliState::new_strict(allocator(), allocator(), allocator()));
                Some(Self::Brotli { state, progress })
            }
            "zstd" => {
                let mut decoder = Decoder::new().ok()?;
                decoder.set_parameter(DParameter::WindowLogMax(MAX_ZSTD_WINDOW_LOG)).ok()?;
                Some(Self::Zstd { decoder, progress })
            }
            _ => None,
        }
    }

    /// Decodes a part of the input into `output`, up to `max` bytes. Returns the number of consumed bytes.
    ///
    /// # Errors
    /// Invalid data.
    pub(super) fn step(&mut self, input: &[u8], output: &mut Vec<u8>, max: usize) -> io::Result<usize> {
        match self {
            // Bytes after the end are ignored, as in browsers. The caller counts them as received.
            Self::Brotli { progress: StreamProgress::End, .. } => Ok(input.len()),
            Self::Brotli { state, progress } => {
                output.resize(max, 0);
                let (mut left_in, mut consumed, mut left_out, mut produced, mut total) = (input.len(), 0, max, 0, 0);
                let result = BrotliDecompressStream(
                    &mut left_in,
                    &mut consumed,
                    input,
                    &mut left_out,
                    &mut produced,
                    output,
                    &mut total,
                    state,
                );
                output.truncate(produced);
                *progress = match result {
                    BrotliResult::ResultFailure => return Err(io::Error::other("invalid brotli data")),
                    BrotliResult::ResultSuccess => StreamProgress::End,
                    BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => StreamProgress::Middle,
                };
                Ok(consumed)
            }
            Self::Zstd { decoder, progress } => {
                let mut from = InBuffer::around(input);
                let mut to = OutBuffer::around(output);
                let hint = decoder.run(&mut from, &mut to)?;
                if from.pos() > 0 || to.pos() > 0 {
                    *progress = if hint == 0 { StreamProgress::End } else { StreamProgress::Middle };
                }
                Ok(from.pos())
            }
        }
    }

    /// Checks the end of the stream.
    ///
    /// # Errors
    /// The data is incomplete.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Brotli { progress: StreamProgress::Middle, .. }
            | Self::Zstd { progress: StreamProgress::Middle, .. } => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for OtherEncoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Brotli { .. } => "br",
            Self::Zstd { .. } => "zstd",
        })
    }
}
