//! Past positions of a primary, which bound the lag of a standby.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Past positions of the primary, oldest first, each with the first and the last time at which it was current.
///
/// A standby that has not replayed a position is behind at least since the first time; a standby that has replayed it
/// is behind since the last time at most. Both are true in spite of gaps between runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct History(Vec<(i64, Timestamp, Timestamp)>);

/// The maximum number of positions; beyond it every second one is dropped, which widens the bounds.
const MAX_POSITIONS: usize = 512;

impl History {
    /// Adds a position that was current at a time.
    pub(super) fn record(&mut self, position: i64, at: Timestamp) {
        match self.0.last_mut() {
            Some((last, _, until)) if *last == position => *until = at.max(*until),
            Some((last, _, until)) if *last < position && *until <= at => self.0.push((position, at, at)),
            // A position that goes back belongs to another server or timeline, a time that goes back to another clock.
            _ => self.0 = vec![(position, at, at)],
        }
        if self.0.len() > MAX_POSITIONS {
            let mut index = 0;
            self.0.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
    }

    /// The lag in seconds of a standby that is behind: an estimate of the server, within the bounds. `None` without an
    /// estimate and an upper bound, until the lower bound is more than 0.
    pub(super) fn lag(&self, replayed: i64, estimate: Option<f64>, at: Timestamp) -> Option<f64> {
        let seconds = |since: Timestamp| at.duration_since(since).as_secs_f64().max(0.0);
        let least =
            self.0.iter().find(|(position, ..)| *position > replayed).map_or(0.0, |(_, from, _)| seconds(*from));
        let most =
            self.0.iter().rev().find(|(position, ..)| *position <= replayed).map(|(_, _, until)| seconds(*until));
        let lag = match (estimate, most) {
            (Some(estimate), Some(most)) => estimate.min(most),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) if least > 0.0 => least,
            (None, None) => return None,
        };
        Some(lag.max(least))
    }

    /// Drops the positions that no standby at `replayed` or beyond needs: all before the last one that is replayed.
    pub(super) fn forget(&mut self, replayed: i64) {
        let replayed = self.0.iter().rposition(|(position, ..)| *position <= replayed);
        self.0.drain(..replayed.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_is_bounded() {
        let mut history = History::default();
        for n in 0..10_000 {
            history.record(n, at(n));
        }
        assert!(history.0.len() <= MAX_POSITIONS, "{}", history.0.len());
        let lag = history.lag(0, None, at(10_000)).unwrap();
        assert!((9_000.0..=10_000.0).contains(&lag), "{lag}");
        history.forget(9_999);
        assert_eq!(history.0.len(), 1);
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }
}
