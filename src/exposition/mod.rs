//! Renders the board as pages for Prometheus.
//!
//! A page is rendered when a client requests it and the board has changed, one page at a time and without holding the
//! board's lock: neither scrapes nor probes wait for each other. A small tail, rendered separately, contains the values
//! that change independently of the board (`process_*`, tasks).
//!
//! The `prometheus` crate is the base: the daemon's metrics about itself live in a `Registry` ([`DaemonMetrics`]) and are
//! gathered from it for each page, and [`BoardCollector`] makes the board a collector for any registry. `check --format
//! prometheus` prints a registry with the crate's `TextEncoder`. The pages of a daemon encode the board's samples with
//! an encoder of their own instead: the crate takes 0.2 to 0.8 µs for a sample (a tree of owned strings), the encoder 0.02 to
//! 0.07 µs, and the crate has no OpenMetrics. For ten thousand series that is 2 to 8 ms for each change of the board
//! instead of 0.2 to 0.7 ms (measured: `tests/bench/scrape.rs`, whose limit is 0.25 µs with compression). A test holds the
//! encoder's text to the crate's, byte for byte.
//!
//! A long page is only ever kept packed: as text it would take more memory than everything else that is known of its
//! probes.
//!
//! [`DaemonMetrics`]: crate::daemon_metrics::DaemonMetrics

mod collector;
mod encoder;
mod families;
mod measures;
mod page_buffer;
mod process;
mod sink;

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use prometheus::{Registry, TextEncoder};
use tokio::{
    runtime::Handle,
    sync::{Mutex, watch},
};

pub use self::collector::BoardCollector;
pub(crate) use self::process::max_open_files;
use self::{
    encoder::LineEncoder,
    page_buffer::{EncodedPage, PageBuffer},
    process::ProcessCollector,
};
use crate::{
    board::{Board, Snapshot},
    compress::{self, Compressed, PartChecksum},
    daemon_metrics,
    outgoing::{Outgoing, PageStream, SharedContent},
    render_thread::RenderThread,
    scheduler::Heartbeat,
};

/// Exposition format of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// The text format, version 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

/// Escaping scheme for names with characters outside of the classic set. All names on a page are classic names, which
/// these schemes leave unchanged; the fourth scheme, `dots`, would change them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Escaping {
    /// Replaces each other character by an underscore: the default scheme.
    #[default]
    Underscores,
    /// Replaces each other character by its code point.
    Values,
    /// Escapes nothing.
    AllowUtf8,
}

impl Escaping {
    /// All supported schemes.
    pub const ALL: [Self; 3] = [Self::Underscores, Self::Values, Self::AllowUtf8];

    /// Value of the parameter `escaping` in `Accept` and `Content-Type`.
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

/// A page in consecutive parts.
#[derive(Debug, Default)]
pub struct MetricsPage {
    /// The main part, shared by all clients.
    pub(crate) main: Option<PageStream>,
    /// Small parts after the main part.
    pub(crate) tail: VecDeque<Bytes>,
}

/// Renders pages and caches the latest page of each format and encoding.
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
    /// Pages in transfer, including outdated ones.
    outgoing: Outgoing,
}

/// Cached pages of one format.
#[derive(Debug, Default)]
struct FormatPages {
    plain: Option<PageBody>,
    compressed: Option<(PageBody, PartChecksum)>,
    tail: Option<PageTail>,
    /// Whether the last page was too long to be stored as text.
    is_long: bool,
}

/// The main part of a page with its board version.
#[derive(Debug)]
struct PageBody {
    version: u64,
    content: Arc<SharedContent>,
}

/// The end of a page (`process_*`), plain and compressed.
#[derive(Debug)]
struct PageTail {
    at: Instant,
    plain: Bytes,
    compressed: Compressed,
}

/// Longest time for which the tail is cached.
const MAX_TAIL_AGE: Duration = Duration::from_secs(1);
/// Number of checks from which a page (about a megabyte) is stored only in compressed form.
const MAX_PLAIN_CHECKS: usize = 256;

impl MetricsRenderer {
    /// Creates a renderer for a board. The heartbeat provides the task count of the probe runtime.
    pub(crate) fn new(board: Arc<Board>, renderer: Arc<RenderThread>, heartbeat: Arc<Heartbeat>) -> Self {
        // A second renderer of one board would expose the same process: the first collector is enough.
        let _ = board.daemon().registry().register(Box::new(ProcessCollector::default()));
        let cache =
            RenderedPages { text: FormatPages::default(), open: FormatPages::default(), outgoing: Outgoing::default() };
        Self { version: board.subscribe(), board, renderer, heartbeat, cache: Arc::new(Mutex::new(cache)) }
    }

    /// Returns the current page; `None` only if rendering panicked.
    pub async fn page(&self, format: ExpositionFormat, gzip: bool) -> Option<MetricsPage> {
        // A request shares a render only if that render started after the request arrived, so concurrent requests cost
        // at most two renders.
        let wanted = *self.version.borrow();
        let mut cache = Arc::clone(&self.cache).lock_owned().await;
        if let Some(page) = cache.page(format, gzip, wanted) {
            return Some(page);
        }
        let board = Arc::clone(&self.board);
        let tasks = Handle::current().metrics().num_alive_tasks() + self.heartbeat.tasks();
        // The guard moves along, so that a disconnected client neither loses the result nor allows a second render.
        let rendering = self.renderer.run(move || {
            board.daemon().tasks.set(i64::try_from(tasks).unwrap_or(i64::MAX));
            cache.render(&board, format, gzip, wanted);
            cache.page(format, gzip, wanted)
        });
        rendering.await.flatten()
    }
}

impl RenderedPages {
    fn pages(&mut self, format: ExpositionFormat) -> &mut FormatPages {
        match format {
            ExpositionFormat::Text => &mut self.text,
            ExpositionFormat::OpenMetrics => &mut self.open,
        }
    }

    /// Renders the main part unless it is cached.
    fn render(&mut self, board: &Board, format: ExpositionFormat, gzip: bool, wanted: u64) {
        // Outdated pages are freed before rendering.
        self.text.drop_older(wanted);
        self.open.drop_older(wanted);
        let start = Instant::now();
        let snapshot = (!self.pages(format).contains(gzip)).then(|| board.snapshot());
        // Gathered after the snapshot was taken: a page must not miss a change that its version of the board includes.
        let (tail, main): (Vec<_>, Vec<_>) =
            board.daemon().gather().into_iter().partition(|family| process::is_in_tail(family.name()));
        if let Some(snapshot) = snapshot {
            let is_long = snapshot.checks().nth(MAX_PLAIN_CHECKS).is_some();
            let buffer = if gzip || is_long { PageBuffer::compressed() } else { PageBuffer::plain() };
            let mut encoder = LineEncoder::new(format, buffer);
            families::write_families(&snapshot, &main, &mut encoder);
            let encoded = encoder.finish().finish();
            board.daemon().render_duration.set(start.elapsed().as_secs_f64());
            let pages = self.pages(format);
            match encoded {
                EncodedPage::Plain(chunks) => pages.plain = Some(PageBody::new(snapshot.version, chunks)),
                EncodedPage::Compressed(Compressed { chunks, checksum }) => {
                    pages.compressed = Some((PageBody::new(snapshot.version, chunks), checksum));
                }
            }
            pages.is_long = is_long;
        }
        self.pages(format).tail = Some(PageTail::new(process::render_tail(format, &tail)));
    }

    /// Returns the cached page, if its version is at least `min_version`.
    fn page(&self, format: ExpositionFormat, gzip: bool, wanted: u64) -> Option<MetricsPage> {
        let pages = match format {
            ExpositionFormat::Text => &self.text,
            ExpositionFormat::OpenMetrics => &self.open,
        };
        let tail = pages.tail.as_ref().filter(|tail| tail.at.elapsed() < MAX_TAIL_AGE)?;
        let compressed = pages.compressed.as_ref().filter(|(main, _)| main.is_current(wanted));
        let plain = pages.plain.as_ref().filter(|main| main.is_current(wanted));
        match (compressed, plain) {
            (Some((main, checksum)), _) if gzip => {
                let trailer = compress::trailer(checksum, &tail.compressed.checksum);
                let main = PageStream::Plain(self.outgoing.send(&main.content));
                Some(MetricsPage {
                    main: Some(main),
                    tail: tail.compressed.chunks.iter().cloned().chain([trailer]).collect(),
                })
            }
            (_, Some(main)) if !gzip => {
                let main = PageStream::Plain(self.outgoing.send(&main.content));
                Some(MetricsPage { main: Some(main), tail: [tail.plain.clone()].into() })
            }
            (Some((main, checksum)), _) if pages.is_long => {
                let main = PageStream::Decompressed(self.outgoing.send_decompressed(&main.content, checksum));
                Some(MetricsPage { main: Some(main), tail: [tail.plain.clone()].into() })
            }
            _ => None,
        }
    }
}

impl FormatPages {
    fn drop_older(&mut self, older_than: u64) {
        self.plain.take_if(|main| !main.is_current(older_than));
        self.compressed.take_if(|(main, _)| !main.is_current(older_than));
    }

    fn contains(&self, gzip: bool) -> bool {
        (self.compressed.is_some() && (gzip || self.is_long)) || (self.plain.is_some() && !gzip)
    }
}

impl PageBody {
    fn new(version: u64, chunks: Vec<Bytes>) -> Self {
        Self { version, content: SharedContent::new(chunks) }
    }

    /// Whether the page was not withdrawn and has at least the requested version.
    fn is_current(&self, wanted: u64) -> bool {
        self.version >= wanted && !self.content.is_withdrawn()
    }
}

impl PageTail {
    fn new(text: String) -> Self {
        let compressed = compress::compress_part(text.as_bytes(), compress::StreamPart::Last);
        Self { at: Instant::now(), plain: Bytes::from(text), compressed }
    }
}

/// Renders a snapshot for `check --format prometheus`, by the `prometheus` crate. Except for the build, the daemon's own
/// metrics are left out: without a daemon they would read as failures.
///
/// # Errors
/// The crate refuses a family, which is a bug.
pub fn render_snapshot(snapshot: Snapshot) -> prometheus::Result<String> {
    let registry = Registry::new();
    registry.register(Box::new(daemon_metrics::build_info()?))?;
    registry.register(Box::new(BoardCollector::with(move || snapshot.clone())))?;
    TextEncoder::new().encode_to_string(&registry.gather())
}
