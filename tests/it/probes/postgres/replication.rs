//! `replication_lag` on a real primary and a real standby.

use readiness_exporter::model::words::{Outcome, Reason};

use crate::harness::{
    postgres::Postgres,
    probe_under_test::{ProbeUnderTest, RunResult},
    until,
};

fn watch(server: &Postgres, role: &str, settings: &str) -> ProbeUnderTest {
    let probe = server.settings(role, ", sslmode: disable");
    ProbeUnderTest::new(&format!(
        "postgres: {probe}\ninterval: 10s\ntimeout: 5s\nchecks: [pool, replication_lag: {{{settings}}}]"
    ))
}

/// A primary with the roles `monitor` and `powerless`.
fn primary() -> Postgres {
    // Without this timeout, only the standby ends a dead connection.
    let primary = Postgres::start(&["wal_sender_timeout=0", "wal_keep_size=64MB"]);
    primary.role("monitor", "IN ROLE pg_monitor");
    primary.role("powerless", "");
    primary.sql("CREATE TABLE written (at timestamptz)");
    primary
}

fn standby_of(primary: &Postgres) -> Postgres {
    primary.standby(&["cluster_name=replica", "wal_receiver_timeout=2s", "wal_retrieve_retry_interval=100ms"])
}

fn write(primary: &Postgres) {
    primary.sql("INSERT INTO written SELECT now() FROM generate_series(1, 1000)");
}

const LAG: &str = "replication_lag";
const FAIL: Outcome = Outcome::Fail(Reason::Limit);

/// Runs until the check comes to an outcome.
async fn wait_for(watch: &ProbeUnderTest, outcome: Outcome) -> RunResult {
    let mut last = None;
    until("the outcome", async || {
        let seen = watch.run().await.worked();
        let verdict = seen.verdict(LAG).clone();
        last = Some(seen);
        if verdict.outcome == outcome { Ok(()) } else { Err(verdict) }
    })
    .await;
    last.unwrap()
}

#[track_caller]
fn assert_says(seen: &RunResult, words: &str) {
    let summary = &seen.verdict(LAG).summary;
    assert!(summary.contains(words), "{summary}");
}

/// The value of a measure.
fn measured(seen: &RunResult, name: &str) -> f64 {
    seen.verdict(LAG).measures.iter().find(|measure| measure.name == name).unwrap().value
}

#[tokio::test]
async fn a_primary_without_a_standby_can_not_tell_its_lag() {
    let primary = primary();
    let seen = watch(&primary, "monitor", "max: 30s").run().await.worked();
    assert_eq!(seen.outcome(LAG), Outcome::Unknown(Reason::Empty));
    assert_says(&seen, "no standby is connected");
    let seen = watch(&primary, "monitor", "max: 30s, min_standbys: 1").run().await.worked();
    assert_eq!(seen.outcome(LAG), FAIL);
    assert_says(&seen, "standbys is 0, below the limit of 1");
    // A client that streams WAL and does not replay is no standby.
    let receive =
        "select pid from pg_stat_replication where application_name = 'pg_receivewal' and state = 'streaming'";
    let folder = primary.folder().join("received");
    std::fs::create_dir(&folder).unwrap();
    let mut receiver = primary.client("pg_receivewal").arg("-D").arg(folder).spawn().unwrap();
    until("the client", async || if primary.sql(receive).is_empty() { Err(()) } else { Ok(()) }).await;
    assert_eq!(watch(&primary, "monitor", "max: 30s").run().await.outcome(LAG), Outcome::Unknown(Reason::Empty));
    let _ = receiver.kill();
    let _ = receiver.wait();
}

#[tokio::test]
async fn an_idle_primary_is_no_lag_and_paused_replay_is() {
    let primary = primary();
    let standby = standby_of(&primary);
    let settings = "max: 1500ms, max_bytes: 16MiB, min_standbys: 1";
    let (above, below) = (watch(&primary, "monitor", settings), watch(&standby, "monitor", settings));
    write(&primary);
    for watch in [&above, &below] {
        wait_for(watch, Outcome::Pass).await;
    }
    // Longer idle than the limit: the last commit is old, and nothing waits for replay.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for watch in [&above, &below] {
        let seen = watch.run().await.worked();
        assert_eq!(seen.outcome(LAG), Outcome::Pass, "{:?}", seen.verdict(LAG));
        assert_eq!((measured(&seen, "lag"), measured(&seen, "lag_bytes")), (0.0, 0.0));
    }
    assert_eq!(above.run().await.fact("/replication/downstream/0/name"), "replica");
    standby.sql("SELECT pg_wal_replay_pause()");
    until("the pause", async || match standby.sql("SELECT pg_get_wal_replay_pause_state()").as_str() {
        "paused" => Ok(()),
        state => Err(state.to_owned()),
    })
    .await;
    write(&primary);
    let seen = wait_for(&below, FAIL).await;
    assert_says(&seen, "above the limit of 1.5s; replay is paused");
    assert!(measured(&seen, "lag_bytes") > 0.0, "{:?}", seen.verdict(LAG));
    let seen = wait_for(&above, FAIL).await;
    assert_says(&seen, "lag of replica is");
    standby.sql("SELECT pg_wal_replay_resume()");
    for watch in [&above, &below] {
        wait_for(watch, Outcome::Pass).await;
    }
}

#[tokio::test]
async fn a_standby_that_replays_late_lags_by_its_delay_on_both_sides() {
    let primary = primary();
    let standby = primary.standby(&["cluster_name=replica", "recovery_min_apply_delay=2s"]);
    let watches = [watch(&primary, "monitor", "max: 1s"), watch(&standby, "monitor", "max: 1s")];
    let mut lags = [0.0; 2];
    // The primary writes all the time, so that replay goes on, two seconds late.
    until("the lag of both", async || {
        write(&primary);
        for (lag, watch) in lags.iter_mut().zip(&watches) {
            let seen = watch.run().await.worked();
            *lag = seen.verdict(LAG).measures.first().map_or(0.0, |measure| measure.value);
        }
        if lags.iter().all(|lag| *lag >= 2.0) { Ok(()) } else { Err(lags) }
    })
    .await;
    for watch in &watches {
        assert_eq!(watch.run().await.outcome(LAG), FAIL);
    }
    assert!(lags.iter().all(|lag| *lag < 10.0), "the lag is the delay, and not the age of the standby: {lags:?}");
}

#[tokio::test]
async fn bytes_are_judged_from_both_sides() {
    let primary = primary();
    let standby = standby_of(&primary);
    let settings = "max_bytes: 256KiB";
    let (above, below) = (watch(&primary, "monitor", settings), watch(&standby, "monitor", settings));
    for watch in [&above, &below] {
        wait_for(watch, Outcome::Pass).await;
    }
    standby.sql("SELECT pg_wal_replay_pause()");
    primary.sql("CREATE TABLE large AS SELECT repeat('x', 1000) FROM generate_series(1, 2000)");
    assert_says(&wait_for(&above, FAIL).await, "above the limit of 256KiB");
    assert_says(&wait_for(&below, FAIL).await, "above the limit of 256KiB; replay is paused");
}

#[tokio::test]
async fn a_cut_link_is_no_zero() {
    let primary = primary();
    let standby = standby_of(&primary);
    let (above, below) = (watch(&primary, "monitor", "max: 1s"), watch(&standby, "monitor", "max: 1s"));
    write(&primary);
    for watch in [&above, &below] {
        wait_for(watch, Outcome::Pass).await;
    }
    // The primary lets no standby in any more. Everything received is replayed: the difference of positions is 0.
    primary.refuse_replication();
    let seen = wait_for(&below, FAIL).await;
    assert_says(&seen, "above the limit of 1s; the WAL receiver is not running");
    assert_eq!(seen.outcome("health"), Outcome::Pass);
    let seen = wait_for(&above, Outcome::Unknown(Reason::Empty)).await;
    assert_says(&seen, "no standby is connected");
    primary.allow_replication();
    for watch in [&above, &below] {
        wait_for(watch, Outcome::Pass).await;
    }
}

#[tokio::test]
async fn a_frozen_receiver_lags_on_both_sides() {
    let primary = primary();
    let standby = standby_of(&primary);
    let (above, below) = (watch(&primary, "monitor", "max: 1s"), watch(&standby, "monitor", "max: 1s"));
    write(&primary);
    for watch in [&above, &below] {
        wait_for(watch, Outcome::Pass).await;
    }
    standby.signal_backend("STOP", "walreceiver");
    write(&primary);
    assert_says(&wait_for(&above, FAIL).await, "lag of replica is");
    assert_says(&wait_for(&below, FAIL).await, "the WAL receiver has received nothing for");
    standby.signal_backend("CONT", "walreceiver");
    for watch in [&above, &below] {
        wait_for(watch, Outcome::Pass).await;
    }
}

#[tokio::test]
async fn a_role_without_privileges_breaks_only_this_check() {
    let primary = primary();
    let watch = watch(&primary, "powerless", "max: 30s");
    let seen = watch.run().await.worked();
    assert_eq!(seen.outcome("health"), Outcome::Pass);
    assert_eq!(seen.outcome(LAG), Outcome::Unknown(Reason::Permission));
    assert_says(&seen, "GRANT pg_read_all_stats TO powerless");
    primary.sql("GRANT pg_read_all_stats TO powerless");
    assert_eq!(watch.run().await.outcome(LAG), Outcome::Unknown(Reason::Empty), "the right is enough");
    let needed = watch.privileges();
    let needed = needed.iter().find(|(check, _)| *check == LAG).unwrap();
    assert_eq!(needed.1.iter().map(|privilege| privilege.name).collect::<Vec<_>>(), ["pg_read_all_stats"]);
}
