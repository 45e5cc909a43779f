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
mod encoder;
mod families;
mod page_buffer;
mod process;

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
    encoder::Lines,
    page_buffer::{PageBuffer, Part},
    process::Process,
};
use crate::{
    board::{Board, Snapshot},
    compress::{self, Compressed, Sum},
    outgoing::{Content, Outgoing, Source},
    render_thread::RenderThread,
    scheduler::Pulse,
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
    /// The main part, which all clients share.
    pub(crate) main: Option<Source>,
    /// The small parts that follow it.
    pub(crate) tail: VecDeque<Bytes>,
}

/// Renders pages and keeps the last of each format and encoding.
#[derive(Debug)]
pub struct Metrics {
    board: Arc<Board>,
    version: watch::Receiver<u64>,
    renderer: Arc<RenderThread>,
    pulse: Arc<Pulse>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Debug)]
struct Cache {
    text: Kept,
    open: Kept,
    /// Pages that clients still read, those of the past too.
    outgoing: Outgoing,
    process: Process,
    /// How long the last rendering took, in seconds.
    took: f64,
}

/// The pages of one format.
#[derive(Debug, Default)]
struct Kept {
    plain: Option<Main>,
    packed: Option<(Main, Sum)>,
    tail: Option<Tail>,
    /// Whether the last page was too long to be kept as text.
    is_long: bool,
}

/// The main part of a page, and the version of the board that it shows.
#[derive(Debug)]
struct Main {
    version: u64,
    content: Arc<Content>,
}

/// `process_*` and what ends a page, plain and packed.
#[derive(Debug)]
struct Tail {
    at: Instant,
    plain: Bytes,
    packed: Compressed,
}

/// `process_*` is read again when it is older than this.
const TAIL_AGE: Duration = Duration::from_secs(1);
/// The page of more checks than this, about a megabyte, is only kept packed.
const MOST_PLAIN: usize = 256;

impl Metrics {
    /// Pages of this board, with the tasks of the server's runtime and of the probes'.
    pub(crate) fn new(board: Arc<Board>, renderer: Arc<RenderThread>, pulse: Arc<Pulse>) -> Self {
        let cache = Cache {
            text: Kept::default(),
            open: Kept::default(),
            outgoing: Outgoing::default(),
            process: Process::this(),
            took: 0.0,
        };
        Self { version: board.watch(), board, renderer, pulse, cache: Arc::new(Mutex::new(cache)) }
    }

    /// The page as of now; `None` only if a bug keeps it from being written.
    pub async fn page(&self, format: Format, gzip: bool) -> Option<Page> {
        // Whoever waits for a rendering that began after it came takes that one: a crowd costs two renderings.
        let wanted = *self.version.borrow();
        let mut cache = Arc::clone(&self.cache).lock_owned().await;
        if let Some(page) = cache.page(format, gzip, wanted) {
            return Some(page);
        }
        let board = Arc::clone(&self.board);
        let tasks = Handle::current().metrics().num_alive_tasks() + self.pulse.tasks();
        // The guard goes along, so that a client that hangs up neither loses the work nor lets a second one start.
        let rendering = self.renderer.run(move || {
            cache.render(&board, format, gzip, wanted);
            cache.tail(format, tasks);
            cache.page(format, gzip, wanted)
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
            let paper = if gzip || is_long { PageBuffer::packed() } else { PageBuffer::plain() };
            let mut lines = Lines::new(format, paper);
            families::write(&snapshot, Some(self.took), &mut lines);
            let part = lines.finish().finish();
            self.took = start.elapsed().as_secs_f64();
            let kept = self.kept(format);
            match part {
                Part::Plain(pieces) => kept.plain = Some(Main::new(snapshot.version, pieces)),
                Part::Compressed(Compressed { pieces, sum }) => {
                    kept.packed = Some((Main::new(snapshot.version, pieces), sum));
                }
            }
            kept.is_long = is_long;
        }
    }

    /// The page, if it is there and not older than wanted.
    fn page(&self, format: Format, gzip: bool, wanted: u64) -> Option<Page> {
        let kept = match format {
            Format::Text => &self.text,
            Format::OpenMetrics => &self.open,
        };
        let tail = kept.tail.as_ref().filter(|tail| tail.at.elapsed() < TAIL_AGE)?;
        let packed = kept.packed.as_ref().filter(|(main, _)| main.shows(wanted));
        let plain = kept.plain.as_ref().filter(|main| main.shows(wanted));
        match (packed, plain) {
            (Some((main, sum)), _) if gzip => {
                let trailer = compress::trailer(sum, &tail.packed.sum);
                let main = Source::Plain(self.outgoing.send(&main.content));
                Some(Page { main: Some(main), tail: tail.packed.pieces.iter().cloned().chain([trailer]).collect() })
            }
            (_, Some(main)) if !gzip => {
                let main = Source::Plain(self.outgoing.send(&main.content));
                Some(Page { main: Some(main), tail: [tail.plain.clone()].into() })
            }
            (Some((main, sum)), _) if kept.is_long => {
                let main = Source::Unpacked(self.outgoing.send_unpacked(&main.content, sum));
                Some(Page { main: Some(main), tail: [tail.plain.clone()].into() })
            }
            _ => None,
        }
    }

    fn tail(&mut self, format: Format, tasks: usize) {
        let tail = self.process.tail(format, tasks);
        self.kept(format).tail = Some(Tail::of(tail));
    }
}

impl Kept {
    fn forget(&mut self, older_than: u64) {
        self.plain.take_if(|main| !main.shows(older_than));
        self.packed.take_if(|(main, _)| !main.shows(older_than));
    }

    fn has(&self, gzip: bool) -> bool {
        (self.packed.is_some() && (gzip || self.is_long)) || (self.plain.is_some() && !gzip)
    }
}

impl Main {
    fn new(version: u64, pieces: Vec<Bytes>) -> Self {
        Self { version, content: Content::new(pieces) }
    }

    /// Whether it can be sent, and is not older than wanted.
    fn shows(&self, wanted: u64) -> bool {
        self.version >= wanted && !self.content.is_withdrawn()
    }
}

impl Tail {
    fn of(text: String) -> Self {
        let packed = compress::pack(text.as_bytes(), compress::Place::Last);
        Self { at: Instant::now(), plain: Bytes::from(text), packed }
    }
}

/// The page of one snapshot, for those who don't scrape: without what is about a daemon that runs, which would look
/// as if it had failed.
#[must_use]
pub fn page_of(snapshot: &Snapshot) -> String {
    let mut lines = Lines::new(Format::Text, PageBuffer::plain());
    families::write(snapshot, None, &mut lines);
    lines.finish().into_text()
}
