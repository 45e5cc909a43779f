//! Large pages, made away from the thread that serves: however many clients ask for the same, two pages are made.
//!
//! A request shares a page only if it was begun after the request arrived. A page is kept for as long as a client reads
//! it, compressed, and [`Outgoing`] bounds the memory of all of them.

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

/// See the module.
#[derive(Debug)]
pub(super) struct PageCache {
    board: Arc<Board>,
    version: watch::Receiver<u64>,
    renderer: Arc<RenderThread>,
    outgoing: Arc<Outgoing>,
    made: Arc<Mutex<CachedPages>>,
}

/// A page by its content, so that parameters without a meaning make no other page of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct PageKey {
    pub(super) path: &'static str,
    pub(super) filter: CheckFilter,
    /// Remark on a filter that was left out.
    pub(super) note: Option<String>,
}

/// A page that can be sent.
#[derive(Debug, Clone)]
struct CachedPage {
    media: &'static str,
    content: Arc<SharedContent>,
    sum: PartChecksum,
}

/// The pages that clients still read, and the version of the board that each shows.
#[derive(Debug, Default)]
struct CachedPages(HashMap<PageKey, (u64, &'static str, Weak<SharedContent>, PartChecksum)>);

impl PageCache {
    pub(super) fn new(board: Arc<Board>, renderer: Arc<RenderThread>, outgoing: Arc<Outgoing>) -> Self {
        Self { version: board.subscribe(), board, renderer, outgoing, made: Arc::default() }
    }

    /// The page as of now, as media type and bytes; `None` only if a bug keeps it from being written.
    pub(super) async fn page(
        &self,
        wanted: PageKey,
        gzip: bool,
        make: impl FnOnce(&Snapshot, PageKey) -> (&'static str, String) + Send + 'static,
    ) -> Option<(&'static str, PageStream)> {
        let since = *self.version.borrow();
        let made = Arc::clone(&self.made).lock_owned().await;
        let page = match made.page(&wanted, since) {
            Some(page) => page,
            None => {
                let board = Arc::clone(&self.board);
                // The guard goes along, so that a client that hangs up lets no second one start.
                self.renderer.run(move || render(made, wanted, &board.snapshot(), make)).await?
            }
        };
        let source = match gzip {
            true => PageStream::Plain(self.outgoing.send(&page.content)),
            false => PageStream::Unpacked(self.outgoing.send_unpacked(&page.content, &page.sum)),
        };
        Some((page.media, source))
    }
}

fn render(
    mut made: OwnedMutexGuard<CachedPages>,
    wanted: PageKey,
    all: &Snapshot,
    make: impl FnOnce(&Snapshot, PageKey) -> (&'static str, String),
) -> CachedPage {
    let (media, text) = make(all, wanted.clone());
    let Compressed { pieces, sum } = compress::whole(text.as_bytes());
    let content = SharedContent::new(pieces);
    made.0.retain(|_, (_, _, content, _)| content.strong_count() > 0);
    made.0.insert(wanted, (all.version, media, Arc::downgrade(&content), Arc::clone(&sum)));
    CachedPage { media, content, sum }
}

impl CachedPages {
    fn page(&self, wanted: &PageKey, since: u64) -> Option<CachedPage> {
        let (_, media, content, sum) = self.0.get(wanted).filter(|(version, ..)| *version >= since)?;
        let content = content.upgrade().filter(|content| !content.is_withdrawn())?;
        Some(CachedPage { media, content, sum: Arc::clone(sum) })
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
        let crowd = PageCache::new(Arc::clone(&board), Arc::default(), Arc::default());
        let made = Arc::new(AtomicU32::new(0));
        let ask = |query: &str| {
            let (made, changes) = (Arc::clone(&made), Arc::clone(&board));
            let wanted = PageKey { path: "/", filter: query.parse().unwrap(), note: None };
            let page = crowd.page(wanted, false, move |_, _| {
                // Long enough for the whole crowd to come; and something always changes.
                std::thread::sleep(std::time::Duration::from_millis(100));
                changes.update_daemon(|daemon| daemon.panics += 1);
                ("text/html", format!("page {}", made.fetch_add(1, Ordering::Relaxed)))
            });
            async { page.await.map(|(_, source)| source) }
        };
        let text =
            |source: Option<PageStream>| String::from_utf8(source.unwrap().collect::<Vec<_>>().concat()).unwrap();
        let pages = join_all((0..20).map(|n| ask(&format!("meaningless={n}")))).await;
        assert!(pages.iter().flatten().count() == 20 && made.load(Ordering::Relaxed) <= 2, "{made:?} {pages:?}");
        assert_eq!(text(ask("q=other").await), format!("page {}", made.load(Ordering::Relaxed) - 1));
        drop(pages);
        let before = made.load(Ordering::Relaxed);
        assert_eq!(text(ask("").await), format!("page {before}"), "it is made anew");
        assert_eq!(crowd.made.lock().await.0.len(), 1);
    }
}
