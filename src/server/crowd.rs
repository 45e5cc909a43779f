//! Large pages, made away from the threads that serve everyone else: a crowd that asks for the same costs two of them.
//!
//! Whoever waits for one that was begun after it came takes that one. Nothing is kept for longer than somebody reads it:
//! a page of ten thousand probes is as large as all that is known of them.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use bytes::Bytes;
use tokio::sync::{Mutex, OwnedMutexGuard, watch};

use crate::{
    board::{Board, Snapshot},
    gzip,
    renderer::Renderer,
};

/// See the module.
#[derive(Debug)]
pub(super) struct Crowd {
    board: Arc<Board>,
    version: watch::Receiver<u64>,
    renderer: Arc<Renderer>,
    made: Arc<Mutex<Made>>,
}

/// What is asked for: the path, its query, and whether it is to be packed.
pub(super) type Wanted = (&'static str, String, bool);

/// A page as media type and bytes.
type Page = (&'static str, Arc<Vec<u8>>);

/// What somebody still reads, and the version of the board that it shows.
#[derive(Debug, Default)]
struct Made(HashMap<Wanted, (u64, &'static str, Weak<Vec<u8>>)>);

impl Crowd {
    pub(super) fn new(board: Arc<Board>, renderer: Arc<Renderer>) -> Self {
        Self { version: board.watch(), board, renderer, made: Arc::default() }
    }

    /// The page as of now, as media type and bytes; `None` only if a bug keeps it from being written.
    pub(super) async fn page(
        &self,
        wanted: Wanted,
        make: impl FnOnce(&Snapshot) -> (&'static str, String) + Send + 'static,
    ) -> Option<(&'static str, Bytes)> {
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
        Some((page.0, Bytes::from_owner(Read(page.1))))
    }
}

fn render(
    mut made: OwnedMutexGuard<Made>,
    wanted: Wanted,
    all: &Snapshot,
    make: impl FnOnce(&Snapshot) -> (&'static str, String),
) -> Page {
    let (media, text) = make(all);
    let bytes = Arc::new(if wanted.2 { gzip::whole(text.as_bytes()) } else { text.into_bytes() });
    made.0.retain(|_, (_, _, bytes)| bytes.strong_count() > 0);
    made.0.insert(wanted, (all.version, media, Arc::downgrade(&bytes)));
    (media, bytes)
}

impl Made {
    fn page(&self, wanted: &Wanted, since: u64) -> Option<Page> {
        let (_, media, bytes) = self.0.get(wanted).filter(|(version, ..)| *version >= since)?;
        Some((media, bytes.upgrade()?))
    }
}

/// Bytes that several read.
struct Read(Arc<Vec<u8>>);

impl AsRef<[u8]> for Read {
    fn as_ref(&self) -> &[u8] {
        &self.0
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
        let crowd = Crowd::new(Arc::clone(&board), Arc::default());
        let made = Arc::new(AtomicU32::new(0));
        let ask = |query: &str| {
            let (made, changes) = (Arc::clone(&made), Arc::clone(&board));
            crowd.page(("/", query.to_owned(), false), move |_| {
                // Long enough for the whole crowd to come; and something always changes.
                std::thread::sleep(std::time::Duration::from_millis(100));
                changes.own(|own| own.panics += 1);
                ("text/html", format!("page {}", made.fetch_add(1, Ordering::Relaxed)))
            })
        };
        let pages = join_all((0..20).map(|_| ask(""))).await;
        assert!(pages.iter().flatten().count() == 20 && made.load(Ordering::Relaxed) <= 2, "{made:?} {pages:?}");
        assert_eq!(ask("q=other").await.unwrap().1, format!("page {}", made.load(Ordering::Relaxed) - 1));
        drop(pages);
        let before = made.load(Ordering::Relaxed);
        assert_eq!(ask("").await.unwrap().1, format!("page {before}"), "it is made anew");
        assert_eq!(crowd.made.lock().await.0.len(), 1);
    }
}
