//! Turns for a resource that the process can afford only once. A turn may last for several runs of a probe.

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// Queue of turns. Turns are granted in the order of their requests.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    permit: Arc<Semaphore>,
    first: Duration,
}

/// A turn, or a position in the queue. Dropping the value ends the turn or leaves the queue.
pub(crate) struct Turn {
    turns: Turns,
    state: TurnState,
    /// Duration of the turn while others wait.
    length: Duration,
}

enum TurnState {
    Queued(BoxFuture<'static, Result<OwnedSemaphorePermit, AcquireError>>),
    Held { since: Instant, _permit: OwnedSemaphorePermit },
}

/// Duration of the first turn.
const FIRST_TURN: Duration = Duration::from_secs(15 * 60);
/// Maximum duration of a turn. Each turn is twice as long as the one before, because interrupted work starts over.
const MAX_TURN: Duration = Duration::from_secs(24 * 60 * 60);

impl Default for Turns {
    fn default() -> Self {
        Self { permit: Arc::new(Semaphore::new(1)), first: FIRST_TURN }
    }
}

impl Turns {
    /// Requests a turn.
    pub(crate) fn join_queue(&self) -> Turn {
        Turn { turns: self.clone(), state: self.enqueue(), length: self.first }
    }

    fn enqueue(&self) -> TurnState {
        TurnState::Queued(Arc::clone(&self.permit).acquire_owned().boxed())
    }

    #[cfg(test)]
    pub(crate) fn with_first_turn(first: Duration) -> Self {
        Self { first, ..Self::default() }
    }
}

impl Turn {
    /// Whether the turn has come. Otherwise the request keeps its position in the queue.
    pub(crate) fn has_come(&mut self) -> bool {
        if let TurnState::Queued(queued) = &mut self.state
            && let Some(Ok(permit)) = queued.now_or_never()
        {
            self.state = TurnState::Held { since: Instant::now(), _permit: permit };
        }
        matches!(self.state, TurnState::Held { .. })
    }

    /// Ends the turn once its duration is over, and joins the queue again. Returns whether the turn ended.
    pub(crate) fn pass_on(&mut self) -> bool {
        if !matches!(self.state, TurnState::Held { since, .. } if since.elapsed() >= self.length) {
            return false;
        }
        // The order matters: the released permit goes to the head of the queue, and only an empty queue leaves it to
        // the request that follows.
        self.state = self.turns.enqueue();
        if self.has_come() {
            return false;
        }
        self.length = (self.length * 2).min(MAX_TURN);
        true
    }
}

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.state {
            TurnState::Queued(_) => "queued",
            TurnState::Held { .. } => "held",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_go_round_in_the_order_of_the_queue() {
        let turns = Turns::with_first_turn(Duration::ZERO);
        let [mut a, mut b, mut c] = std::array::from_fn(|_| turns.join_queue());
        assert!(a.has_come() && !b.has_come() && !c.has_come());
        assert!(a.pass_on() && !a.has_come());
        assert!(!c.has_come() && b.has_come(), "first come, first served");
        drop(b);
        assert!(!a.has_come() && c.has_come());
        drop(c);
        assert!(a.has_come());
        assert!(!a.pass_on() && a.has_come(), "nobody waits");
    }

    #[test]
    fn a_turn_lasts_its_time_and_one_that_was_too_short_is_followed_by_a_longer_one() {
        let turns = Turns::with_first_turn(Duration::from_millis(20));
        let (mut a, mut b) = (turns.join_queue(), turns.join_queue());
        assert!(a.has_come() && !b.has_come() && !a.pass_on());
        std::thread::sleep(Duration::from_millis(20));
        assert!(a.pass_on() && b.has_come());
        assert_eq!((a.length, b.length), (Duration::from_millis(40), Duration::from_millis(20)));
    }
}
