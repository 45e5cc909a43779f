//! Bodies of responses on their way in: bounded in received and in decompressed bytes, and in the time that they may
//! take from everything else.
//!
//! All probes share one thread. A body of which every byte arrives quickly is never waited for, so that
//! nothing else would run until its end; and compressed input can be endless without any output (empty blocks, empty
//! members) or produce a thousand times its size. So both sides count against a limit, and after a fixed amount of
//! work the others get their turn.

use std::{
    io,
    time::{Duration, Instant},
};

use flate2::{Decompress, FlushDecompress, Status};

use crate::{
    compress::GzipDecoder,
    model::{failure::Failure, units::Size, words::Reason},
};

/// Takes in the body of one response.
pub(crate) struct Inflow {
    kind: BodyKind,
    encoding: Encoding,
    limit: Size,
    received: u64,
    produced: u64,
    /// Decompressed bytes of one step.
    output: Vec<u8>,
    pace: Pace,
}

/// How failures speak of a body.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BodyKind {
    /// What the body is, as in "the page is larger than 10MiB".
    pub(crate) name: &'static str,
    /// The reason where it can't be decompressed.
    pub(crate) unreadable: Reason,
}

/// The encodings that can be undone.
enum Encoding {
    Identity,
    Gzip(Box<GzipDecoder>),
    Deflate(Option<Box<Inflate>>),
}

/// Undoes `deflate`, which is one of two formats: the first byte tells which.
struct Inflate {
    stream: Decompress,
    ended: bool,
}

/// Measures the work since the others had their turn.
#[derive(Debug, Default)]
struct Pace {
    work: usize,
    since: Option<Instant>,
}

/// Work, in bytes in and out, after which the others get their turn.
const MAX_WORK: usize = 64 << 10;
/// Time after which they get it in any case: a receiver may have more to do with a byte than to copy it.
const MAX_TURN: Duration = Duration::from_millis(1);
/// Bytes that a step takes in and may give out.
const MAX_STEP: usize = 8 << 10;
/// Work of a step beside its bytes: the end of a gzip member, for one, resets 43 KiB of state.
const STEP_WORK: usize = 1 << 10;
/// Data that does not compress grows by less than a thousandth and the frames around it.
const MAX_GROWTH: (u64, u64) = (64, 64 << 10);

impl Inflow {
    /// For a body in a `Content-Encoding`; none if that is unknown.
    pub(crate) fn new(encoding: Option<&str>, limit: Size, kind: BodyKind) -> Option<Self> {
        let encoding = match encoding.map(str::trim).map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "identity") => Encoding::Identity,
            Some("gzip" | "x-gzip") => Encoding::Gzip(Box::default()),
            Some("deflate") => Encoding::Deflate(None),
            Some(_) => return None,
        };
        Some(Self { kind, encoding, limit, received: 0, produced: 0, output: Vec::new(), pace: Pace::default() })
    }

    /// Bytes after decompression, so far.
    pub(crate) fn produced(&self) -> u64 {
        self.produced
    }

    /// Takes in a piece and hands on what it decompresses to, part by part.
    ///
    /// # Errors
    /// `too_large`, the reason of an unreadable body, or a failure of the receiver.
    pub(crate) async fn take(
        &mut self,
        piece: &[u8],
        mut receive: impl FnMut(&[u8]) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        // Between two pieces the connection was waited for, at least for its own turn.
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
                // A full output may have more behind it.
                if rest.is_empty() && self.output.len() < MAX_STEP {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// The reason of an unreadable body: its compressed form breaks off.
    pub(crate) fn finish(&self) -> Result<(), Failure> {
        let ended = match &self.encoding {
            // A response without a body (to HEAD, for one) names the encoding all the same.
            Encoding::Identity | Encoding::Deflate(None) => Ok(()),
            Encoding::Gzip(members) if members.is_empty() => Ok(()),
            Encoding::Gzip(members) => members.finish(),
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
            Encoding::Deflate(inflate) => {
                // By the standard it is the zlib format, which starts with the method 8; some servers send it raw.
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
            // As browsers do, bytes after the end are ignored; they were counted as received.
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
mod tests;
