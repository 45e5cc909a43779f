//! `/metrics`: the board as pages for Prometheus.
//!
//! A page is rendered when somebody asks for it and the board has changed since the last one, never more than one at
//! a time and never under the board's lock: a scrape waits for no probe and no probe for a scrape. What changes
//! without the board (`process_*`, tasks) is a small tail that is rendered on its own.

mod openmetrics;
mod process;
mod series;
mod text;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{Mutex, watch},
};

pub(crate) use self::process::max_files;
use self::{openmetrics::OpenMetrics, series::Sink, text::Text};
use crate::{
    board::{Board, Snapshot},
    gzip,
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
pub type Page = [Bytes; 3];

/// Renders pages and keeps the last of each format and encoding.
#[derive(Debug)]
pub struct Metrics {
    board: Arc<Board>,
    version: watch::Receiver<u64>,
    renderer: Arc<Renderer>,
    cache: Arc<Mutex<Cache>>,
}

#[derive(Debug, Default)]
struct Cache {
    slots: [Slot; 4],
    /// How long the last rendering took, in seconds.
    took: f64,
}

/// One format in one encoding.
#[derive(Debug, Default)]
struct Slot {
    main: Option<(u64, Part)>,
    tail: Option<(Instant, Part)>,
}

/// A piece of a page, and what a gzip trailer needs to know of it.
#[derive(Debug, Clone)]
struct Part {
    bytes: Bytes,
    sum: gzip::Sum,
}

/// `process_*` is read again when it is older than this.
const TAIL_AGE: Duration = Duration::from_secs(1);

impl Metrics {
    /// Pages of this board.
    pub(crate) fn new(board: Arc<Board>, renderer: Arc<Renderer>) -> Self {
        Self { version: board.watch(), board, renderer, cache: Arc::default() }
    }

    /// The page as of now; `None` only if a bug keeps it from being written.
    pub async fn page(&self, format: Format, gzip: bool) -> Option<Page> {
        // Whoever waits for a rendering that began after it came takes that one: a crowd costs two renderings.
        let wanted = *self.version.borrow();
        let mut cache = Arc::clone(&self.cache).lock_owned().await;
        let slot = cache.slot(format, gzip);
        let is_current = slot.main.as_ref().is_some_and(|(version, _)| *version >= wanted);
        let has_tail = slot.tail.as_ref().is_some_and(|(at, _)| at.elapsed() < TAIL_AGE);
        if is_current && has_tail {
            return Some(slot.page(gzip));
        }
        let board = Arc::clone(&self.board);
        let tasks = Handle::current().metrics().num_alive_tasks();
        // The guard goes along, so that a client that hangs up neither loses the work nor lets a second one start.
        let rendering = self.renderer.run(move || {
            if !is_current {
                cache.render(&board, format, gzip);
            }
            let slot = cache.slot(format, gzip);
            slot.tail = Some((Instant::now(), Part::of(tail(format, tasks), gzip, gzip::Place::Last)));
            slot.page(gzip)
        });
        rendering.await
    }
}

impl Cache {
    fn slot(&mut self, format: Format, gzip: bool) -> &mut Slot {
        let [text, text_gzip, open, open_gzip] = &mut self.slots;
        match (format, gzip) {
            (Format::Text, false) => text,
            (Format::Text, true) => text_gzip,
            (Format::OpenMetrics, false) => open,
            (Format::OpenMetrics, true) => open_gzip,
        }
    }

    fn render(&mut self, board: &Board, format: Format, gzip: bool) {
        let start = Instant::now();
        let snapshot = board.snapshot();
        let page = encode(format, |sink| series::write(&snapshot, self.took, sink));
        let part = Part::of(page, gzip, gzip::Place::First);
        self.took = start.elapsed().as_secs_f64();
        self.slot(format, gzip).main = Some((snapshot.version, part));
    }
}

/// The page of one snapshot, for those who don't scrape: no cache, no `process_*`.
#[must_use]
pub fn page_of(snapshot: &Snapshot) -> String {
    encode(Format::Text, |sink| series::write(snapshot, 0.0, sink))
}

fn encode(format: Format, write: impl FnOnce(&mut dyn Sink)) -> String {
    match format {
        Format::Text => {
            let mut sink = Text::default();
            write(&mut sink);
            sink.finish()
        }
        Format::OpenMetrics => {
            let mut sink = OpenMetrics::default();
            write(&mut sink);
            sink.finish()
        }
    }
}

fn tail(format: Format, tasks: usize) -> String {
    let mut text = encode(format, |sink| process::write(tasks, sink));
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

impl Slot {
    fn page(&self, gzip: bool) -> Page {
        let (Some((_, main)), Some((_, tail))) = (&self.main, &self.tail) else { return Page::default() };
        let trailer = if gzip { gzip::trailer(&main.sum, &tail.sum) } else { Bytes::new() };
        [main.bytes.clone(), tail.bytes.clone(), trailer]
    }
}

impl Part {
    fn of(text: String, gzip: bool, place: gzip::Place) -> Self {
        if !gzip {
            return Self { bytes: Bytes::from(text), sum: gzip::Sum::default() };
        }
        let (bytes, sum) = gzip::pack(text.as_bytes(), place);
        Self { bytes: Bytes::from(bytes), sum }
    }
}
