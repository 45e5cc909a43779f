//! Renders the board as pages for Prometheus.
//!
//! A page is rendered when a client requests it and the board has changed, one page at a time and without holding the
//! board's lock: neither scrapes nor probes wait for each other. A small tail, rendered separately, contains the values
//! that change independently of the board (`process_*`, tasks).
//!
//! Two encoders produce the same bytes. [`BoardCollector`] is a collector of the `prometheus` crate, whose encoder
//! defines the text format. The daemon uses its own encoder, which needs a third of the time because it allocates no
//! tree of strings; a test compares them. Long pages are stored only in compressed form, because their text would take
//! more memory than the rest of the state.

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
pub(crate) use self::process::max_open_files;
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
    process: Process,
    /// Duration of the last rendering in seconds.
    render_seconds: f64,
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
        let cache = RenderedPages {
            text: FormatPages::default(),
            open: FormatPages::default(),
            outgoing: Outgoing::default(),
            process: Process::current(),
            render_seconds: 0.0,
        };
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
            cache.render(&board, format, gzip, wanted);
            cache.render_tail(format, tasks);
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
        if !self.pages(format).contains(gzip) {
            let start = Instant::now();
            let snapshot = board.snapshot();
            let is_long = snapshot.checks().nth(MAX_PLAIN_CHECKS).is_some();
            let buffer = if gzip || is_long { PageBuffer::compressed() } else { PageBuffer::plain() };
            let mut lines = LineEncoder::new(format, buffer);
            families::write_families(&snapshot, Some(self.render_seconds), &mut lines);
            let part = lines.finish().finish();
            self.render_seconds = start.elapsed().as_secs_f64();
            let pages = self.pages(format);
            match part {
                EncodedPage::Plain(chunks) => pages.plain = Some(PageBody::new(snapshot.version, chunks)),
                EncodedPage::Compressed(Compressed { chunks, checksum }) => {
                    pages.compressed = Some((PageBody::new(snapshot.version, chunks), checksum));
                }
            }
            pages.is_long = is_long;
        }
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

    fn render_tail(&mut self, format: ExpositionFormat, tasks: usize) {
        let tail = self.process.render_tail(format, tasks);
        self.pages(format).tail = Some(PageTail::new(tail));
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

/// Renders a snapshot for `check --format prometheus`. It omits the families about the daemon, which would read as
/// failures when no daemon runs.
#[must_use]
pub fn render_snapshot(snapshot: &Snapshot) -> String {
    let mut lines = LineEncoder::new(ExpositionFormat::Text, PageBuffer::plain());
    families::write_families(snapshot, None, &mut lines);
    lines.finish().into_text()
}
