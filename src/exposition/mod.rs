//! `/metrics`: the board as pages for Prometheus.
//!
//! A page is rendered when somebody asks for it and the board has changed since the last one, never more than one at
//! a time and never under the board's lock: a scrape waits for no probe and no probe for a scrape. What changes
//! without the board (`process_*`, tasks) is a small tail that is rendered on its own.
//!
//! Two ways lead from a snapshot to text. [`BoardCollector`] is a collector of the `prometheus` crate, whose encoder defines
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

pub use self::collector::BoardCollector;
pub(crate) use self::process::max_files;
use self::{
    encoder::LineEncoder,
    page_buffer::{EncodedPage, PageBuffer},
    process::Process,
};
use crate::{
    board::{Board, Snapshot},
    compress::{self, Compressed, PartChecksum},
    outgoing::{Outgoing, PageStream, SharedContent},
    render_thread::RenderThread,
    scheduler::Heartbeat,
};

/// How a page is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// The classic text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// The scheme by which names outside of the classic character set are escaped. Every name on a page is within it and is
/// written alike in each of these schemes; in the fourth one, `dots`, it is not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Each other character becomes an underscore: the scheme of a client that names none.
    #[default]
    Underscores,
    /// Each other character becomes its code point.
    Values,
    /// Nothing is escaped.
    AllowUtf8,
}

impl Escaping {
    /// Every scheme.
    pub const ALL: [Self; 3] = [Self::Underscores, Self::Values, Self::AllowUtf8];

    /// The value of the parameter `escaping` in `Accept` and `Content-Type`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Underscores => "underscores",
            Self::Values => "values",
            Self::AllowUtf8 => "allow-utf-8",
        }
    }
}

impl ExpositionFormat {
    /// The media type of a page, as `Content-Type` has it. Only OpenMetrics names the escaping.
    #[must_use]
    pub fn content_type(self, escaping: Escaping) -> &'static str {
        match (self, escaping) {
            (Self::Text, _) => "text/plain; version=0.0.4; charset=utf-8",
            (Self::OpenMetrics, Escaping::Underscores) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=underscores"
            }
            (Self::OpenMetrics, Escaping::Values) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=values"
            }
            (Self::OpenMetrics, Escaping::AllowUtf8) => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
            }
        }
    }
}

/// A page, in parts that follow each other.
#[derive(Debug, Default)]
pub struct MetricsPage {
    /// The main part, which all clients share.
    pub(crate) main: Option<PageStream>,
    /// The small parts that follow it.
    pub(crate) tail: VecDeque<Bytes>,
}

/// Renders pages and keeps the last of each format and encoding.
#[derive(Debug)]
pub struct MetricsRenderer {
    board: Arc<Board>,
    version: watch::Receiver<u64>,
    renderer: Arc<RenderThread>,
    heartbeat: Arc<Heartbeat>,
    cache: Arc<Mutex<RenderedPages>>,
}

#[derive(Debug)]
struct RenderedPages {
    text: FormatPages,
    open: FormatPages,
    /// Pages that clients still read, those of the past too.
    outgoing: Outgoing,
    process: Process,
    /// How long the last rendering took, in seconds.
    took: f64,
}

/// The pages of one format.
#[derive(Debug, Default)]
struct FormatPages {
    plain: Option<PageBody>,
    packed: Option<(PageBody, PartChecksum)>,
    tail: Option<PageTail>,
    /// Whether the last page was too long to be kept as text.
    is_long: bool,
}

/// The main part of a page, and the version of the board that it shows.
#[derive(Debug)]
struct PageBody {
    version: u64,
    content: Arc<SharedContent>,
}

/// `process_*` and what ends a page, plain and packed.
#[derive(Debug)]
struct PageTail {
    at: Instant,
    plain: Bytes,
    packed: Compressed,
}

/// `process_*` is read again when it is older than this.
const TAIL_AGE: Duration = Duration::from_secs(1);
/// The page of more checks than this, about a megabyte, is only kept packed.
const MOST_PLAIN: usize = 256;

impl MetricsRenderer {
    /// Pages of this board, with the tasks of the server's runtime and of the probes'.
    pub(crate) fn new(board: Arc<Board>, renderer: Arc<RenderThread>, heartbeat: Arc<Heartbeat>) -> Self {
        let cache = RenderedPages {
            text: FormatPages::default(),
            open: FormatPages::default(),
            outgoing: Outgoing::default(),
            process: Process::this(),
            took: 0.0,
        };
        Self { version: board.subscribe(), board, renderer, heartbeat, cache: Arc::new(Mutex::new(cache)) }
    }

    /// The page as of now; `None` only if a bug keeps it from being written.
    pub async fn page(&self, format: ExpositionFormat, gzip: bool) -> Option<MetricsPage> {
        // Whoever waits for a rendering that began after it came takes that one: a crowd costs two renderings.
        let wanted = *self.version.borrow();
        let mut cache = Arc::clone(&self.cache).lock_owned().await;
        if let Some(page) = cache.page(format, gzip, wanted) {
            return Some(page);
        }
        let board = Arc::clone(&self.board);
        let tasks = Handle::current().metrics().num_alive_tasks() + self.heartbeat.tasks();
        // The guard goes along, so that a client that hangs up neither loses the work nor lets a second one start.
        let rendering = self.renderer.run(move || {
            cache.render(&board, format, gzip, wanted);
            cache.tail(format, tasks);
            cache.page(format, gzip, wanted)
        });
        rendering.await.flatten()
    }
}

impl RenderedPages {
    fn kept(&mut self, format: ExpositionFormat) -> &mut FormatPages {
        match format {
            ExpositionFormat::Text => &mut self.text,
            ExpositionFormat::OpenMetrics => &mut self.open,
        }
    }

    /// Renders what is missing.
    fn render(&mut self, board: &Board, format: ExpositionFormat, gzip: bool, wanted: u64) {
        // What is out of date is of no use to anyone, and its memory is.
        self.text.forget(wanted);
        self.open.forget(wanted);
        if !self.kept(format).has(gzip) {
            let start = Instant::now();
            let snapshot = board.snapshot();
            let is_long = snapshot.checks().nth(MOST_PLAIN).is_some();
            let paper = if gzip || is_long { PageBuffer::packed() } else { PageBuffer::plain() };
            let mut lines = LineEncoder::new(format, paper);
            families::write(&snapshot, Some(self.took), &mut lines);
            let part = lines.finish().finish();
            self.took = start.elapsed().as_secs_f64();
            let kept = self.kept(format);
            match part {
                EncodedPage::Plain(pieces) => kept.plain = Some(PageBody::new(snapshot.version, pieces)),
                EncodedPage::Compressed(Compressed { pieces, sum }) => {
                    kept.packed = Some((PageBody::new(snapshot.version, pieces), sum));
                }
            }
            kept.is_long = is_long;
        }
    }

    /// The page, if it is there and not older than wanted.
    fn page(&self, format: ExpositionFormat, gzip: bool, wanted: u64) -> Option<MetricsPage> {
        let kept = match format {
            ExpositionFormat::Text => &self.text,
            ExpositionFormat::OpenMetrics => &self.open,
        };
        let tail = kept.tail.as_ref().filter(|tail| tail.at.elapsed() < TAIL_AGE)?;
        let packed = kept.packed.as_ref().filter(|(main, _)| main.shows(wanted));
        let plain = kept.plain.as_ref().filter(|main| main.shows(wanted));
        match (packed, plain) {
            (Some((main, sum)), _) if gzip => {
                let trailer = compress::trailer(sum, &tail.packed.sum);
                let main = PageStream::Plain(self.outgoing.send(&main.content));
                Some(MetricsPage {
                    main: Some(main),
                    tail: tail.packed.pieces.iter().cloned().chain([trailer]).collect(),
                })
            }
            (_, Some(main)) if !gzip => {
                let main = PageStream::Plain(self.outgoing.send(&main.content));
                Some(MetricsPage { main: Some(main), tail: [tail.plain.clone()].into() })
            }
            (Some((main, sum)), _) if kept.is_long => {
                let main = PageStream::Unpacked(self.outgoing.send_unpacked(&main.content, sum));
                Some(MetricsPage { main: Some(main), tail: [tail.plain.clone()].into() })
            }
            _ => None,
        }
    }

    fn tail(&mut self, format: ExpositionFormat, tasks: usize) {
        let tail = self.process.tail(format, tasks);
        self.kept(format).tail = Some(PageTail::of(tail));
    }
}

impl FormatPages {
    fn forget(&mut self, older_than: u64) {
        self.plain.take_if(|main| !main.shows(older_than));
        self.packed.take_if(|(main, _)| !main.shows(older_than));
    }

    fn has(&self, gzip: bool) -> bool {
        (self.packed.is_some() && (gzip || self.is_long)) || (self.plain.is_some() && !gzip)
    }
}

impl PageBody {
    fn new(version: u64, pieces: Vec<Bytes>) -> Self {
        Self { version, content: SharedContent::new(pieces) }
    }

    /// Whether it can be sent, and is not older than wanted.
    fn shows(&self, wanted: u64) -> bool {
        self.version >= wanted && !self.content.is_withdrawn()
    }
}

impl PageTail {
    fn of(text: String) -> Self {
        let packed = compress::pack(text.as_bytes(), compress::StreamPart::Last);
        Self { at: Instant::now(), plain: Bytes::from(text), packed }
    }
}

/// The page of one snapshot, for those who don't scrape: without what is about a daemon that runs, which would look
/// as if it had failed.
#[must_use]
pub fn page_of(snapshot: &Snapshot) -> String {
    let mut lines = LineEncoder::new(ExpositionFormat::Text, PageBuffer::plain());
    families::write(snapshot, None, &mut lines);
    lines.finish().into_text()
}
