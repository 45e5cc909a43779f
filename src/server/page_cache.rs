//! Shares rendered pages among clients. Rendering runs on the render thread, and at most two renders of a page serve
//! any number of concurrent clients.
//!
//! A request shares a render only if that render started after the request arrived. A page is kept in compressed form
//! while a client reads it. [`Outgoing`] bounds the memory of all pages.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use super::query::CheckFilter;
use crate::{
    board::{Board, Snapshot},
    compress::{self, Compressed, PartChecksum},
    outgoing::{Outgoing, PageStream, SharedContent},
    render_thread::RenderThread,
};

/// Renders and shares pages; see the module documentation.
#[derive(Debug)]
pub(super) struct PageCache {
    board: Arc<Board>,
    version: watch::Receiver<u64>,
    renderer: Arc<RenderThread>,
    outgoing: Arc<Outgoing>,
    cache: Arc<Mutex<CachedPages>>,
}

/// Identity of a page by its content, so that query parameters without effect don't multiply pages.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) path: &'static str,
    pub(super) filter: CheckFilter,
    /// Note about an ignored filter.
    pub(super) note: Option<String>,
}

/// A rendered page.
#[derive(Debug, Clone)]
struct CachedPage {
    media: &'static str,
    content: Arc<SharedContent>,
    checksum: PartChecksum,
}

/// Pages that clients still read, with the board version of each.
#[derive(Debug, Default)]
struct CachedPages(HashMap<PageKey, (u64, &'static str, Weak<SharedContent>, PartChecksum)>);

impl PageCache {
    pub(super) fn new(board: Arc<Board>, renderer: Arc<RenderThread>, outgoing: Arc<Outgoing>) -> Self {
        Self { version: board.subscribe(), board, renderer, outgoing, cache: Arc::default() }
    }

    /// Returns the current page as media type and body; `None` only if rendering panicked.
    pub(super) async fn get_or_render(
        &self,
        key: PageKey,
        gzip: bool,
        make: impl FnOnce(&Snapshot, PageKey) -> (&'static str, String) + Send + 'static,
    ) -> Option<(&'static str, PageStream)> {
        let min_version = *self.version.borrow();
        let cache = Arc::clone(&self.cache).lock_owned().await;
        let page = match cache.get(&key, min_version) {
            Some(page) => page,
            None => {
                let board = Arc::clone(&self.board);
                // The guard moves along, so that a disconnected client doesn't allow a second render.
                self.renderer.run(move || render_page(cache, key, &board.snapshot(), make)).await?
            }
        };
        let source = match gzip {
            true => PageStream::Plain(self.outgoing.send(&page.content)),
            false => PageStream::Decompressed(self.outgoing.send_decompressed(&page.content, &page.checksum)),
        };
        Some((page.media, source))
    }
}

fn render_page(
    mut cache: OwnedMutexGuard<CachedPages>,
    key: PageKey,
    all: &Snapshot,
    make: impl FnOnce(&Snapshot, PageKey) -> (&'static str, String),
) -> CachedPage {
    let (media, text) = make(all, key.clone());
    let Compressed { chunks, checksum } = compress::compress_whole(text.as_bytes());
    let content = SharedContent::new(chunks);
    cache.0.retain(|_, (_, _, content, _)| content.strong_count() > 0);
    cache.0.insert(key, (all.version, media, Arc::downgrade(&content), Arc::clone(&checksum)));
    CachedPage { media, content, checksum }
}

impl CachedPages {
    fn get(&self, key: &PageKey, min_version: u64) -> Option<CachedPage> {
        let (_, media, content, checksum) = self.0.get(key).filter(|(version, ..)| *version >= min_version)?;
        let content = content.upgrade().filter(|content| !content.is_withdrawn())?;
        Some(CachedPage { media, content, checksum: Arc::clone(checksum) })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn a_crowd_costs_two_pages_and_nothing_is_kept_when_it_has_gone() {
        let board = Arc::new(Board::default());
        let page_cache = PageCache::new(Arc::clone(&board), Arc::default(), Arc::default());
        let renders = Arc::new(AtomicU32::new(0));
        let ask = |query: &str| {
            let (renders, changes) = (Arc::clone(&renders), Arc::clone(&board));
            let key = PageKey { path: "/", filter: query.parse().unwrap(), note: None };
            let page = page_cache.get_or_render(key, false, move |_, _| {
                // The render takes long enough for all requests to arrive, and the board changes during it.
                std::thread::sleep(std::time::Duration::from_millis(100));
                changes.update_daemon(|daemon| daemon.panics.inc());
                ("text/html", format!("page {}", renders.fetch_add(1, Ordering::Relaxed)))
            });
            async { page.await.map(|(_, source)| source) }
        };
        let text =
            |source: Option<PageStream>| String::from_utf8(source.unwrap().collect::<Vec<_>>().concat()).unwrap();
        let pages = join_all((0..20).map(|n| ask(&format!("meaningless={n}")))).await;
        assert!(pages.iter().flatten().count() == 20 && renders.load(Ordering::Relaxed) <= 2, "{renders:?} {pages:?}");
        assert_eq!(text(ask("q=other").await), format!("page {}", renders.load(Ordering::Relaxed) - 1));
        drop(pages);
        let before = renders.load(Ordering::Relaxed);
        assert_eq!(text(ask("").await), format!("page {before}"), "the page is rendered anew");
        assert_eq!(page_cache.cache.lock().await.0.len(), 1);
    }
}
