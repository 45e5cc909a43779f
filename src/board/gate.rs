//! The gate: the effect of each check on the overall verdict.
//!
//! `/ready`, `readiness_ready`, the status page and the commands `check` and `explain` use these rules and no others.

use super::{CheckState, ProbeState, Snapshot};
use crate::model::words::{GateVerdict, Outcome, Status, WhilePending};

/// The rules of a gate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GateRules {
    /// Whether checks with `gate: false` count too.
    pub count_ungated: bool,
    /// Whether every pending check blocks, also a check with `pending: passes`.
    pub block_pending: bool,
}

impl GateRules {
    /// The rules under which every enabled check must be judged, and must pass or warn.
    pub const STRICT: Self = Self { count_ungated: true, block_pending: true };

    /// The rules for a selection of checks. If none of them is gated, the gate would pass whatever they find, so all of
    /// them count.
    pub fn for_selection<'a>(checks: impl IntoIterator<Item = &'a CheckState>) -> Self {
        let is_any_gated = checks.into_iter().any(|check| check.info.enabled && check.info.gate);
        Self { count_ungated: !is_any_gated, ..Self::default() }
    }

    /// Whether a check blocks the gate. A disabled check never does. A check that was skipped because of a dependency,
    /// or that has not run since the start, always does: nothing is known about its target.
    #[must_use]
    pub fn is_blocked_by(self, check: &CheckState) -> bool {
        let counts = check.info.enabled && (check.info.gate || self.count_ungated);
        counts
            && match check.gate_status() {
                Status::Pass | Status::Warn => false,
                Status::Pending => self.block_pending || !check.is_excused_while_pending(),
                Status::Fail | Status::Unknown | Status::Skipped => true,
            }
    }

    /// Verdict of the gate over some checks.
    pub fn verdict<'a>(self, checks: impl IntoIterator<Item = &'a CheckState>) -> GateVerdict {
        let mut verdict = GateVerdict::Pass;
        for check in checks.into_iter().filter(|check| self.is_blocked_by(check)) {
            if check.gate_status() == Status::Fail {
                return GateVerdict::Fail;
            }
            verdict = GateVerdict::Inconclusive;
        }
        verdict
    }
}

impl CheckState {
    /// Whether the check prevents the overall verdict from being ready.
    #[must_use]
    pub fn blocks_readiness(&self) -> bool {
        GateRules::default().is_blocked_by(self)
    }

    /// Whether the check has run, its result is pending for lack of observations, and its configuration lets such a
    /// result pass. A failure that a threshold holds back is no such result.
    fn is_excused_while_pending(&self) -> bool {
        self.info.pending == WhilePending::Passes
            && self.verdict.as_ref().is_some_and(|verdict| verdict.outcome == Outcome::Pending)
    }
}

impl Snapshot {
    /// The overall verdict.
    #[must_use]
    pub fn gate(&self) -> GateVerdict {
        GateRules::default().verdict(self.checks().map(|(_, check)| check))
    }

    /// Whether the overall verdict is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.gate() == GateVerdict::Pass
    }

    /// Iterates over the checks that prevent readiness: see [`CheckState::blocks_readiness`].
    pub fn blockers(&self) -> impl Iterator<Item = (&ProbeState, &CheckState)> {
        self.checks().filter(|(_, check)| check.blocks_readiness())
    }

    /// Iterates over the failing checks that don't count for the overall verdict.
    pub fn ungated_failures(&self) -> impl Iterator<Item = (&ProbeState, &CheckState)> {
        self.checks().filter(|(_, check)| check.status == Status::Fail && !check.blocks_readiness())
    }

    /// Iterates over the pending checks that don't prevent readiness.
    pub fn excused_checks(&self) -> impl Iterator<Item = (&ProbeState, &CheckState)> {
        self.checks().filter(|(_, check)| check.status == Status::Pending && !check.blocks_readiness())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::Timestamp;

    use super::*;
    use crate::{
        checks::{fixture::Nothing, health::Health},
        kind::CheckEntry,
        model::{check::CheckLimits, verdict::Verdict, words::Reason},
        settings::CheckInfo,
    };

    fn check(change: impl FnOnce(&mut CheckInfo)) -> CheckState {
        let mut info = CheckInfo::of(&CheckEntry::<Nothing>::new::<Health>().descriptor);
        change(&mut info);
        CheckState::new(Arc::new(info), CheckLimits::default(), Timestamp::UNIX_EPOCH)
    }

    fn judged(mut check: CheckState, outcome: Outcome) -> CheckState {
        check.record(Verdict::new(outcome, ""), Timestamp::UNIX_EPOCH);
        check
    }

    const FAIL: Outcome = Outcome::Fail(Reason::Limit);
    const UNKNOWN: Outcome = Outcome::Unknown(Reason::Empty);

    #[test]
    fn only_checks_that_pass_or_warn_let_the_gate_pass() {
        for (outcome, verdict) in [
            (Outcome::Pass, GateVerdict::Pass),
            (Outcome::Warn, GateVerdict::Pass),
            (FAIL, GateVerdict::Fail),
            (UNKNOWN, GateVerdict::Inconclusive),
            (Outcome::Pending, GateVerdict::Inconclusive),
        ] {
            let rules = GateRules::default();
            assert_eq!(rules.verdict([&judged(check(|_| {}), outcome)]), verdict, "{outcome:?}");
            let ungated = judged(check(|info| info.gate = false), outcome);
            assert_eq!(rules.verdict([&ungated]), GateVerdict::Pass, "{outcome:?}");
            assert_eq!(GateRules::STRICT.verdict([&ungated]), verdict, "{outcome:?}");
        }
        let (failing, unknown) = (judged(check(|_| {}), FAIL), judged(check(|_| {}), UNKNOWN));
        assert_eq!(GateRules::default().verdict([&unknown, &failing]), GateVerdict::Fail);
    }

    #[test]
    fn a_pending_result_passes_where_configured_and_a_check_that_has_not_run_never_does() {
        let passes = |info: &mut CheckInfo| info.pending = WhilePending::Passes;
        assert!(check(passes).blocks_readiness(), "not run yet");
        assert!(!judged(check(passes), Outcome::Pending).blocks_readiness());
        assert!(GateRules::STRICT.is_blocked_by(&judged(check(passes), Outcome::Pending)));
        let held_back = |info: &mut CheckInfo| {
            passes(info);
            info.failure_threshold = 2;
        };
        let failed_once = judged(check(held_back), FAIL);
        assert_eq!(failed_once.status, Status::Pending);
        assert!(failed_once.blocks_readiness(), "the threshold holds a failure back");
    }

    #[test]
    fn a_skipped_check_blocks_and_a_disabled_check_never_does() {
        let mut skipped = judged(check(|_| {}), Outcome::Pass);
        skipped.mark_unjudged(Status::Skipped, String::new(), Timestamp::UNIX_EPOCH);
        assert!(skipped.blocks_readiness());
        let disabled = check(|info| info.enabled = false);
        assert_eq!(disabled.status, Status::Skipped);
        assert!(!GateRules::STRICT.is_blocked_by(&disabled));
    }
}
