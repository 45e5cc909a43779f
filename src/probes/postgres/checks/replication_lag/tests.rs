use serde_json::{from_value, json};

use super::*;
use crate::probes::postgres::facts::{fixture::seen, replication::Downstream};

fn check(settings: serde_json::Value) -> ReplicationLag {
    from_value(settings).unwrap()
}

/// A run some seconds after the first one.
fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn primary(position: i64, standbys: &[(&str, i64, Option<f64>)]) -> Replication {
    let downstream = standbys.iter().map(|(name, replayed, replay_lag)| Downstream {
        name: (*name).into(),
        state: "streaming".into(),
        replayed: *replayed,
        replay_lag: *replay_lag,
    });
    Replication { position: Some(position), standby: None, downstream: downstream.collect() }
}

/// A standby whose receiver had its last message some seconds ago, or does not run.
fn standby(position: i64, replayed: i64, last_commit_age: Option<f64>, message_age: Option<f64>) -> Replication {
    let receiver =
        message_age.map(|age| Receiver { status: "streaming".into(), message_age: Some(age), timeout: 60.0 });
    let standby = Standby { replayed, is_paused: false, last_commit_age, receiver };
    Replication { position: Some(position), standby: Some(standby), downstream: Vec::new() }
}

fn judge(check: &mut ReplicationLag, seconds: i64, replication: Replication) -> (Outcome, String) {
    let verdict = check.judge(&seen(at(seconds), replication));
    (verdict.outcome, verdict.summary)
}

const FAIL: Outcome = Outcome::Fail(Reason::Limit);

#[test]
fn a_limit_is_required() {
    let timing = Timing { interval: Duration::ZERO, retry_interval: Duration::ZERO, timeout: Duration::ZERO };
    for (settings, key) in [
        (json!({}), Some("max")),
        (json!({"min_standbys": 1}), Some("max")),
        (json!({"max": "30s"}), None),
        (json!({"max_bytes": {"warn": "16MiB", "fail": "1GiB"}}), None),
    ] {
        let invalid = check(settings.clone()).validate(&timing).err().and_then(|invalid| invalid.key);
        assert_eq!(invalid, key, "{settings}");
    }
}

#[test]
fn the_primary_judges_each_standby() {
    let settings = json!({"max": {"warn": "10s", "fail": "30s"}, "max_bytes": "1MiB"});
    for (standbys, outcome, summary) in [
        (vec![("a", 5_000_000, None)], Outcome::Pass, "lag of a is 0s, within the limit of 10s"),
        (vec![("a", 5_000_000, Some(99.0))], Outcome::Pass, "lag of a is 0s, within the limit of 10s"),
        (vec![("a", 5_000_001, None)], Outcome::Pass, "lag of a is 0s, within the limit of 10s"),
        (vec![("a", 4_999_999, Some(12.0))], Outcome::Warn, "lag of a is 12s, above the limit of 10s"),
        (vec![("a", 5_000_000, None), ("b", 4_999_000, Some(40.0))], FAIL, "lag of b is 40s, above the limit of 30s"),
        (vec![("a", 805_696, Some(0.5))], FAIL, "lag_bytes of a is 4MiB, above the limit of 1MiB"),
        (
            vec![],
            Outcome::Unknown(Reason::Empty),
            "no standby is connected, so no lag can be measured; `min_standbys` makes that a failure",
        ),
    ] {
        let found = judge(&mut check(settings.clone()), 0, primary(5_000_000, &standbys));
        assert_eq!(found, (outcome, summary.to_owned()));
    }
}

#[test]
fn missing_standbys_fail_where_a_number_is_required() {
    let mut check = check(json!({"max": "30s", "min_standbys": {"warn": 2, "fail": 1}}));
    assert_eq!(judge(&mut check, 0, primary(9, &[])), (FAIL, "standbys is 0, below the limit of 1".into()));
    let one = judge(&mut check, 10, primary(9, &[("a", 9, None)]));
    assert_eq!(one, (Outcome::Warn, "standbys is 1, below the limit of 2".into()));
    assert_eq!(judge(&mut check, 20, primary(9, &[("a", 9, None), ("b", 9, None)])).0, Outcome::Pass);
}

#[test]
fn a_standby_that_stops_to_replay_falls_behind_whatever_replay_lag_keeps() {
    let mut check = check(json!({"max": "30s"}));
    assert_eq!(judge(&mut check, 0, primary(100, &[("a", 100, None)])).0, Outcome::Pass);
    assert_eq!(judge(&mut check, 10, primary(200, &[("a", 100, Some(0.1))])).0, Outcome::Pass);
    // The server keeps the last `replay_lag`; position 200 was seen 40 s ago.
    let stalled = judge(&mut check, 50, primary(300, &[("a", 100, Some(0.1))]));
    assert_eq!(stalled, (FAIL, "lag of a is 40s, above the limit of 30s".into()));
    // A restart of the daemon forgets nothing.
    let mut restarted = self::check(json!({"max": "30s"}));
    restarted.restore(&check.save().unwrap());
    assert_eq!(
        judge(&mut restarted, 55, primary(300, &[("a", 100, Some(0.1))])).1,
        "lag of a is 45s, above the limit of 30s"
    );
    assert_eq!(judge(&mut restarted, 60, primary(300, &[("a", 300, None)])).0, Outcome::Pass);
    // Another server answers, whose positions are lower.
    assert_eq!(judge(&mut restarted, 70, primary(50, &[("a", 40, Some(0.2))])).0, Outcome::Pass);
}

#[test]
fn a_standby_that_was_behind_at_the_first_run_is_pending_without_an_estimate() {
    let mut check = check(json!({"max": "30s"}));
    assert_eq!(judge(&mut check, 0, primary(200, &[("a", 100, None)])).0, Outcome::Pending);
    let second = judge(&mut check, 40, primary(200, &[("a", 100, None)]));
    assert_eq!(second, (FAIL, "lag of a is 40s, above the limit of 30s".into()));
}

#[test]
fn an_idle_primary_is_no_lag_of_the_standby_and_a_cut_link_is() {
    let mut check = check(json!({"max": "30s", "max_bytes": "1MiB"}));
    let idle = judge(&mut check, 0, standby(100, 100, Some(86_400.0), Some(20.0)));
    assert_eq!(idle, (Outcome::Pass, "lag is 0s, within the limit of 30s".into()));
    // One commit after a day: the standby was up to date 30 s ago.
    let burst = judge(&mut check, 10, standby(200, 100, Some(86_400.0), Some(0.0)));
    assert_eq!(burst, (Outcome::Pass, "lag is 30s, within the limit of 30s".into()));
    assert_eq!(judge(&mut check, 20, standby(200, 200, Some(10.0), Some(5.0))).0, Outcome::Pass);
    // The last message was received at second 15.
    let cut = judge(&mut check, 40, standby(200, 200, Some(30.0), None));
    assert_eq!(cut, (Outcome::Pass, "lag is 25s, within the limit of 30s; the WAL receiver is not running".into()));
    let cut = judge(&mut check, 60, standby(200, 200, Some(50.0), None));
    assert_eq!(cut, (FAIL, "lag is 45s, above the limit of 30s; the WAL receiver is not running".into()));
    let frozen = judge(&mut check, 100, standby(200, 200, Some(90.0), Some(85.0)));
    assert_eq!(
        frozen,
        (FAIL, "lag is 1m25s, above the limit of 30s; the WAL receiver has received nothing for 1m25s".into())
    );
}

#[test]
fn a_cut_link_leaves_bytes_unknown() {
    let mut check = check(json!({"max_bytes": "1MiB"}));
    let cut = judge(&mut check, 0, standby(100, 100, Some(5.0), None));
    let summary = "the lag can't be measured; the WAL receiver is not running";
    assert_eq!(cut, (Outcome::Unknown(Reason::Empty), summary.into()));
    let mut check = self::check(json!({"max": "30s"}));
    let never = judge(&mut check, 0, standby(100, 100, None, None));
    assert_eq!(never, (Outcome::Unknown(Reason::Empty), summary.into()), "no transaction was replayed");
}

#[test]
fn paused_replay_is_said() {
    let mut check = check(json!({"max": "30s"}));
    let mut paused = standby(200, 100, Some(31.0), Some(1.0));
    paused.standby.as_mut().unwrap().is_paused = true;
    let found = judge(&mut check, 0, paused);
    assert_eq!(found, (FAIL, "lag is 31s, above the limit of 30s; replay is paused".into()));
}

#[test]
fn steady_lag_is_measured_between_the_bounds() {
    let mut check = check(json!({"max": "30s"}));
    // Recovery with a delay of 20 s, one position a second, a run each 10 s.
    for second in (0..60).step_by(10) {
        let replication = standby(second + 100, second + 80, Some(20.4), Some(0.0));
        let (outcome, summary) = judge(&mut check, second, replication);
        assert_eq!(outcome, Outcome::Pass, "{summary}");
        if second >= 20 {
            assert_eq!(summary, "lag is 20s, within the limit of 30s");
        }
    }
}
