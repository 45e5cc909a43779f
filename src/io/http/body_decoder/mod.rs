//! Decodes the bodies of responses. The received bytes, the decompressed bytes and the time without a yield are
//! bounded.
//!
//! All probes share one thread. A body that arrives quickly never blocks its reader, so that no other task would run
//! until its end. Compressed input can be endless without any output (empty blocks, empty members), or produce a
//! thousand times its size. Therefore both sizes are limited, and the decoder yields after a fixed amount of work.

mod other;

use std::{
    io,
    time::{Duration, Instant},
};

use flate2::{Decompress, FlushDecompress, Status};

use self::other::OtherEncoding;
use crate::{
    compress::GzipDecoder,
    model::{failure::Failure, units::Size, words::Reason},
};

/// Decoder for the body of one response.
pub(crate) struct BodyDecoder {
    kind: BodyKind,
    encoding: Encoding,
    limit: Size,
    received: u64,
    produced: u64,
    /// Output of the last step.
    output: Vec<u8>,
    pace: Pace,
}

/// Words for failures of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyKind {
    /// Name of the body, as in "the page is larger than 10MiB".
    pub(crate) name: &'static str,
    /// Reason of a body that can't be decompressed.
    pub(crate) unreadable: Reason,
}

/// Supported encodings.
enum Encoding {
    Identity,
    Gzip(Box<GzipDecoder>),
    Deflate(Option<Box<Inflate>>),
    Other(Box<OtherEncoding>),
}

/// Decoder of `deflate`, which is one of two formats. The first byte determines the format.
struct Inflate {
    stream: Decompress,
    ended: bool,
}

/// Work since the last yield.
#[derive(Debug, Default)]
struct Pace {
    work: usize,
    since: Option<Instant>,
}

/// Work, in bytes of input and output, after which the decoder yields.
const MAX_WORK: usize = 64 << 10;
/// Time after which the decoder yields in any case, because a receiver may do more than copy the bytes.
const MAX_TURN: Duration = Duration::from_millis(1);
/// Maximum input and output of a step in bytes.
const MAX_STEP: usize = 8 << 10;
/// Work of a step in addition to its bytes. For example, the end of a gzip member resets 43 KiB of state.
const STEP_WORK: usize = 1 << 10;
/// Allowed growth by compression: a ratio and a constant. Incompressible data grows by less than a thousandth and by
/// the frame around it.
const MAX_GROWTH: (u64, u64) = (64, 64 << 10);

impl BodyDecoder {
    /// Creates a decoder for a `Content-Encoding`; `None` for an unknown encoding.
    pub(crate) fn new(encoding: Option<&str>, limit: Size, kind: BodyKind) -> Option<Self> {
        let encoding = match encoding.map(str::trim).map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "identity") => Encoding::Identity,
            Some("gzip" | "x-gzip") => Encoding::Gzip(Box::default()),
            Some("deflate") => Encoding::Deflate(None),
            Some(_) => return None,
        };
        Some(Self::with_encoding(encoding, limit, kind))
    }

    /// Like [`BodyDecoder::new`], and with the encodings `br` and `zstd`. Their windows take up to 16 MiB, so that only
    /// targets may use them of which the configuration accepts such an encoding.
    pub(crate) fn with_large_windows(encoding: Option<&str>, limit: Size, kind: BodyKind) -> Option<Self> {
        let other = || OtherEncoding::from_name(&encoding?.trim().to_ascii_lowercase());
        let other = other().map(|decoder| Self::with_encoding(Encoding::Other(Box::new(decoder)), limit, kind));
        other.or_else(|| Self::new(encoding, limit, kind))
    }

    fn with_encoding(encoding: Encoding, limit: Size, kind: BodyKind) -> Self {
        Self { kind, encoding, limit, received: 0, produced: 0, output: Vec::new(), pace: Pace::default() }
    }

    /// Number of decompressed bytes until now.
    pub(crate) fn produced_bytes(&self) -> u64 {
        self.produced
    }

    /// Decodes a piece and passes the output to `receive`, part by part.
    ///
    /// # Errors
    /// `too_large`, the reason of an unreadable body, or a failure of the receiver.
    pub(crate) async fn decode(
        &mut self,
        piece: &[u8],
        mut receive: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // The task yields between two pieces, because reading from the connection does.
        self.pace.since = Some(Instant::now());
        for mut rest in piece.chunks(MAX_STEP) {
            self.count_received(rest.len())?;
            loop {
                let consumed = if let Encoding::Identity = self.encoding {
                    self.count_produced(rest.len())?;
                    receive(rest)?;
                    rest.len()
                } else {
                    let consumed = self.step(rest).map_err(|error| self.unreadable(&error))?;
                    self.count_produced(self.output.len())?;
                    receive(&self.output)?;
                    consumed
                };
                self.pace.spend(consumed + self.output.len() + STEP_WORK).await;
                rest = rest.get(consumed..).unwrap_or_default();
                // A full output may be incomplete.
                if rest.is_empty() && self.output.len() < MAX_STEP {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Checks the end of the body.
    ///
    /// # Errors
    /// The reason of an unreadable body: the compressed data is incomplete.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let ended = match &self.encoding {
            // A response without a body, for example to HEAD, may name an encoding.
            Encoding::Identity | Encoding::Deflate(None) => Ok(()),
            Encoding::Gzip(members) if members.is_empty() => Ok(()),
            Encoding::Gzip(members) => members.finish(),
            Encoding::Other(decoder) => decoder.finish(),
            Encoding::Deflate(Some(inflate)) if inflate.ended => Ok(()),
            Encoding::Deflate(Some(_)) => Err(io::ErrorKind::UnexpectedEof.into()),
        };
        ended.map_err(|error| self.unreadable(&error))
    }

    fn step(&mut self, input: &[u8]) -> io::Result<usize> {
        self.output.clear();
        self.output.reserve_exact(MAX_STEP);
        match &mut self.encoding {
            Encoding::Identity => Ok(input.len()),
            Encoding::Gzip(members) => members.step(input, &mut self.output),
            Encoding::Other(decoder) => decoder.step(input, &mut self.output, MAX_STEP),
            Encoding::Deflate(inflate) => {
                // The standard requires the zlib format, which starts with the method 8; some servers send raw deflate.
                let zlib = input.first().is_some_and(|first| first & 0x0f == 8);
                let start = || Box::new(Inflate { stream: Decompress::new(zlib), ended: false });
                inflate.get_or_insert_with(start).step(input, &mut self.output)
            }
        }
    }

    fn count_received(&mut self, bytes: usize) -> Result<(), Failure> {
        self.received += bytes as u64;
        let (share, frames) = MAX_GROWTH;
        let most = self.limit.0.saturating_add(self.limit.0 / share).saturating_add(frames);
        // Without an encoding, the bytes count as produced.
        if self.received <= most || matches!(self.encoding, Encoding::Identity) {
            return Ok(());
        }
        let text = format!(
            "the {} is larger than {} even compressed, and decompresses to almost nothing: no intact server sends this, so \
             find out which program answers there",
            self.kind.name, self.limit
        );
        Err(Failure::new(Reason::TooLarge, text))
    }

    fn count_produced(&mut self, bytes: usize) -> Result<(), Failure> {
        self.produced += bytes as u64;
        if self.produced > self.limit.0 {
            let Self { kind, limit, .. } = self;
            let decompressed = if matches!(self.encoding, Encoding::Identity) { "" } else { " decompressed" };
            let text =
                format!("the {} is larger than {limit}{decompressed}; raise `body_limit` if it should be", kind.name);
            return Err(Failure::new(Reason::TooLarge, text));
        }
        Ok(())
    }

    fn unreadable(&self, error: &io::Error) -> Failure {
        Failure::new(self.kind.unreadable, format!("the {} can't be decompressed: {error}", self.kind.name))
    }
}

impl Inflate {
    fn step(&mut self, input: &[u8], output: &mut Vec<u8>) -> io::Result<usize> {
        if self.ended {
            // Bytes after the end are ignored, as in browsers. They were counted as received.
            return Ok(input.len());
        }
        let before = self.stream.total_in();
        let status = self.stream.decompress_vec(input, output, FlushDecompress::None)?;
        self.ended = status == Status::StreamEnd;
        Ok(usize::try_from(self.stream.total_in() - before).unwrap_or(usize::MAX))
    }
}

impl Pace {
    async fn spend(&mut self, work: usize) {
        self.work += work;
        let since = self.since.get_or_insert_with(Instant::now);
        if self.work >= MAX_WORK || since.elapsed() >= MAX_TURN {
            tokio::task::yield_now().await;
            *self = Self::default();
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
