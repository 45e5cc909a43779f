//! Small answers, made away from the thread that serves: one at a time, and shared while the board stays as it is.
//!
//! The thread is not that of the large pages, so a deploy gate waits for none of these.

use std::{collections::HashMap, net::SocketAddr, sync::Arc};

use tokio::sync::{Mutex, watch};

use super::response::{self, ServerResponse};
use crate::{
    board::{Board, Snapshot},
    render_thread::RenderThread,
};

/// See the module.
#[derive(Debug)]
pub(super) struct AnswerCache {
    board: Arc<Board>,
    version: watch::Receiver<u64>,
    renderer: RenderThread,
    kept: Arc<Mutex<KeptAnswers>>,
}

/// An answer that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AnswerKey {
    Ready,
    Started,
    Status,
    /// The list of runbooks, with the address that the client reached.
    Runbooks(Option<SocketAddr>),
    /// A runbook by its name, without a check.
    Runbook(&'static str, Option<SocketAddr>),
}

/// Answers, and the version of the board that each shows.
#[derive(Debug, Default)]
struct KeptAnswers(HashMap<AnswerKey, (u64, ServerResponse)>);

/// More than the answers at one address; a client may reach the server at many.
const MAX_KEPT: usize = 64;

impl AnswerCache {
    pub(super) fn new(board: Arc<Board>) -> Self {
        Self { version: board.subscribe(), board, renderer: RenderThread::default(), kept: Arc::default() }
    }

    /// The answer as of now; `None` only if a bug keeps it from being made.
    pub(super) async fn get_or_make(
        &self,
        key: AnswerKey,
        make: impl FnOnce(&Snapshot) -> ServerResponse + Send + 'static,
    ) -> Option<ServerResponse> {
        let min_version = if key.shows_board() { *self.version.borrow() } else { 0 };
        let mut kept = Arc::clone(&self.kept).lock_owned().await;
        if let Some((_, response)) = kept.0.get(&key).filter(|(version, _)| *version >= min_version) {
            return Some(response::duplicate(response));
        }
        let board = Arc::clone(&self.board);
        // The guard goes along, so that a client that hangs up lets no second one start.
        let make = move || {
            let all = board.snapshot();
            let response = make(&all);
            if kept.0.len() >= MAX_KEPT {
                kept.0.clear();
            }
            kept.0.insert(key, (all.version, response::duplicate(&response)));
            response
        };
        self.renderer.run(make).await
    }

    /// An answer that is kept for nobody else.
    pub(super) async fn make(
        &self,
        make: impl FnOnce(&Snapshot) -> ServerResponse + Send + 'static,
    ) -> Option<ServerResponse> {
        let board = Arc::clone(&self.board);
        self.renderer.run(move || make(&board.snapshot())).await
    }
}

impl AnswerKey {
    /// Whether the answer changes with the board.
    fn shows_board(self) -> bool {
        matches!(self, Self::Ready | Self::Started | Self::Status)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use futures_util::future::join_all;
    use hyper::StatusCode;

    use super::*;

    #[tokio::test]
    async fn an_answer_is_made_once_for_each_version_and_a_runbook_once() {
        let board = Arc::new(Board::default());
        let (cache, made) = (AnswerCache::new(Arc::clone(&board)), Arc::new(AtomicU32::new(0)));
        let ask = |key| {
            let made = Arc::clone(&made);
            cache.get_or_make(key, move |all| {
                made.fetch_add(1, Ordering::Relaxed);
                response::text(StatusCode::OK, all.version.to_string())
            })
        };
        for round in 1..=2 {
            let answers = join_all((0..20).map(|_| ask(AnswerKey::Ready))).await;
            assert!(answers.iter().all(Option::is_some));
            assert!(ask(AnswerKey::Runbooks(None)).await.is_some());
            assert_eq!(made.load(Ordering::Relaxed), round + 1);
            board.update_daemon(|daemon| daemon.panics.inc());
        }
    }

    #[tokio::test]
    async fn the_number_of_kept_answers_is_bounded() {
        let cache = AnswerCache::new(Arc::default());
        for port in 1..=1_000 {
            let key = AnswerKey::Runbooks(Some(SocketAddr::from(([127, 0, 0, 1], port))));
            assert!(cache.get_or_make(key, |_| response::text(StatusCode::OK, "runbooks")).await.is_some());
        }
        assert!(cache.kept.lock().await.0.len() <= MAX_KEPT);
    }
}
