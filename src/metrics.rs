//! `/metrics`: the board as pages for Prometheus.
//!
//! A page is rendered when somebody asks for it and the board has changed since the last one, never more than one at
//! a time and never under the board's lock: a scrape waits for no probe and no probe for a scrape. What changes
//! without the board (`process_*`, tasks) is a small tail that is rendered on its own.
//!
//! Two ways lead from a snapshot to text. [`Families`] is a collector of the `prometheus` crate, whose encoder defines
//! what the text page says. The daemon itself writes the same bytes without that crate's tree of owned strings, at a
//! third of the time; a test holds the two together. A long page is only ever kept packed: as text it would take more
//! memory than everything else that is known of its probes.

mod collector;
mod lines;
mod paper;
mod process;
mod series;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{Mutex, watch},
};

pub use self::collector::Families;
pub(crate) use self::process::max_files;
use self::{
    lines::Lines,
    paper::{Paper, Part},
    process::Process,
};
use crate::{
    board::{Board, Snapshot},
    gzip::{self, Packed, Unpacker},
    renderer::Renderer,
};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The classic text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The media type of a page, as `Content-Type` has it.
    #[must_use]
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// A page, in parts that follow each other.
#[derive(Debug, Default)]
pub struct Page {
    /// What is only kept packed and was asked for as it is; it comes first.
    pub(crate) unpacked: Option<Unpacker>,
    /// What is there.
    pub(crate) parts: VecDeque<Bytes>,
}

/// Renders pages and keeps the last of each format and encoding.
#[derive(Debug)]
pub struct Metrics {
    board: Arc<Board>,
    version: watch::Receiver<u64>,
    renderer: Arc<Renderer>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Debug)]
struct Cache {
    text: Kept,
    open: Kept,
    process: Process,
    /// How long the last rendering took, in seconds.
    took: f64,
}

/// The pages of one format.
#[derive(Debug, Default)]
struct Kept {
    plain: Option<(u64, Bytes)>,
    packed: Option<(u64, Packed)>,
    tail: Option<Tail>,
    /// Whether the last page was too long to be kept as text.
    is_long: bool,
}

/// `process_*` and what ends a page, plain and packed.
#[derive(Debug)]
struct Tail {
    at: Instant,
    plain: Bytes,
    packed: Packed,
}

/// `process_*` is read again when it is older than this.
const TAIL_AGE: Duration = Duration::from_secs(1);
/// The page of more checks than this, about a megabyte, is only kept packed.
const MOST_PLAIN: usize = 256;

impl Metrics {
    /// Pages of this board.
    pub(crate) fn new(board: Arc<Board>, renderer: Arc<Renderer>) -> Self {
        let cache = Cache { text: Kept::default(), open: Kept::default(), process: Process::this(), took: 0.0 };
        Self { version: board.watch(), board, renderer, cache: Arc::new(Mutex::new(cache)) }
    }

    /// The page as of now; `None` only if a bug keeps it from being written.
    pub async fn page(&self, format: Format, gzip: bool) -> Option<Page> {
        // Whoever waits for a rendering that began after it came takes that one: a crowd costs two renderings.
        let wanted = *self.version.borrow();
        let mut cache = Arc::clone(&self.cache).lock_owned().await;
        if let Some(page) = cache.kept(format).page(wanted, gzip) {
            return Some(page);
        }
        let board = Arc::clone(&self.board);
        let tasks = Handle::current().metrics().num_alive_tasks();
        // The guard goes along, so that a client that hangs up neither loses the work nor lets a second one start.
        let rendering = self.renderer.run(move || {
            cache.render(&board, format, gzip, wanted);
            cache.tail(format, tasks);
            cache.kept(format).page(wanted, gzip)
        });
        rendering.await.flatten()
    }
}

impl Cache {
    fn kept(&mut self, format: Format) -> &mut Kept {
        match format {
            Format::Text => &mut self.text,
            Format::OpenMetrics => &mut self.open,
        }
    }

    /// Renders what is missing.
    fn render(&mut self, board: &Board, format: Format, gzip: bool, wanted: u64) {
        // What is out of date is of no use to anyone, and its memory is.
        self.text.forget(wanted);
        self.open.forget(wanted);
        if !self.kept(format).has(gzip) {
            let start = Instant::now();
            let snapshot = board.snapshot();
            let is_long = snapshot.checks().nth(MOST_PLAIN).is_some();
            let paper = if gzip || is_long { Paper::packed() } else { Paper::plain() };
            let mut lines = Lines::new(format, paper);
            series::write(&snapshot, Some(self.took), &mut lines);
            let part = lines.finish().finish();
            self.took = start.elapsed().as_secs_f64();
            let kept = self.kept(format);
            match part {
                Part::Plain(bytes) => kept.plain = Some((snapshot.version, bytes)),
                Part::Packed(packed) => kept.packed = Some((snapshot.version, packed)),
            }
            kept.is_long = is_long;
        }
    }

    fn tail(&mut self, format: Format, tasks: usize) {
        let tail = self.process.tail(format, tasks);
        self.kept(format).tail = Some(Tail::of(tail));
    }
}

impl Kept {
    fn forget(&mut self, older_than: u64) {
        self.plain.take_if(|(version, _)| *version < older_than);
        self.packed.take_if(|(version, _)| *version < older_than);
    }

    fn has(&self, gzip: bool) -> bool {
        (self.packed.is_some() && (gzip || self.is_long)) || (self.plain.is_some() && !gzip)
    }

    /// The page, if it is there and not older than wanted.
    fn page(&self, wanted: u64, gzip: bool) -> Option<Page> {
        let tail = self.tail.as_ref().filter(|tail| tail.at.elapsed() < TAIL_AGE)?;
        let packed = self.packed.as_ref().filter(|(version, _)| *version >= wanted);
        let plain = self.plain.as_ref().filter(|(version, _)| *version >= wanted);
        match (packed, plain) {
            (Some((_, main)), _) if gzip => {
                let trailer = gzip::trailer(&main.sum, &tail.packed.sum);
                let parts = main.pieces.iter().chain(&tail.packed.pieces).cloned().chain([trailer]).collect();
                Some(Page { unpacked: None, parts })
            }
            (_, Some((_, main))) if !gzip => {
                Some(Page { unpacked: None, parts: [main.clone(), tail.plain.clone()].into() })
            }
            (Some((_, main)), _) if self.is_long => {
                Some(Page { unpacked: Some(Unpacker::new(main)), parts: [tail.plain.clone()].into() })
            }
            _ => None,
        }
    }
}

impl Tail {
    fn of(text: String) -> Self {
        let packed = gzip::pack(text.as_bytes(), gzip::Place::Last);
        Self { at: Instant::now(), plain: Bytes::from(text), packed }
    }
}

/// The page of one snapshot, for those who don't scrape: without what is about a daemon that runs, which would look
/// as if it had failed.
#[must_use]
pub fn page_of(snapshot: &Snapshot) -> String {
    let mut lines = Lines::new(Format::Text, Paper::plain());
    series::write(snapshot, None, &mut lines);
    lines.finish().into_text()
}
