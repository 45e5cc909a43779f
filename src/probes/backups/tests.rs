use std::{fs, time::SystemTime};

use serde_json::{Value, from_value, json};

use super::{
    checks::{freshness::Freshness, retention::Retention, schedule::Schedule, size::BackupSize},
    facts::{Backup, Set, State},
    *,
};
use crate::model::{check::Check, measure::Measure};
use crate::model::{
    metric,
    observation::{Facts, Observation},
};

pub(super) const NOW: i64 = 1_795_000_000;
pub(super) const TIMING: Timing = Timing {
    interval: Duration::from_secs(60),
    retry_interval: Duration::from_secs(60),
    timeout: Duration::from_secs(5),
};

/// An observation of backups made at these times.
pub(super) fn seen(backups: Vec<(i64, State)>, size: u64) -> Observation<BackupFacts> {
    seen_at(NOW, backups, size)
}

pub(super) fn seen_at(now: i64, backups: Vec<(i64, State)>, size: u64) -> Observation<BackupFacts> {
    let backup = |(n, (made, state)): (usize, (i64, State))| Backup {
        id: format!("/backups/{n}"),
        form: facts::BackupForm::File,
        made: Timestamp::from_second(made).ok(),
        changed: Timestamp::from_second(made).ok(),
        size,
        state,
        detail: String::new(),
    };
    let backups = backups.into_iter().enumerate().map(backup).collect();
    let set = Set { location: "local".into(), r#type: "full".into(), backups, ..Set::default() };
    Observation {
        at: Timestamp::from_second(now).unwrap(),
        duration: Duration::from_millis(1),
        timing: TIMING,
        phases: Vec::new(),
        facts: Some(BackupFacts { sets: vec![set] }),
        failure: None,
    }
}

/// An observation of backups of these sizes, oldest first.
pub(super) fn sized(sizes: &[u64]) -> Observation<BackupFacts> {
    let times = (0..sizes.len()).map(|n| (NOW - 1_000 + n as i64, State::Complete)).collect();
    let mut seen = seen(times, 0);
    for (backup, size) in seen.facts.as_mut().unwrap().sets[0].backups.iter_mut().zip(sizes) {
        backup.size = *size;
    }
    seen
}

fn probe(settings: Value) -> BackupsProbe {
    from_value::<Backups>(settings).unwrap().build(Vec::new(), &Arc::default()).unwrap()
}

async fn observe(probe: &BackupsProbe) -> Result<Set, Failure> {
    let cx = Context::new(Duration::from_secs(10), Arc::default());
    let facts = probe.observe(&cx).await.map_err(|broken| broken.failure)?;
    Ok(facts.sets.into_iter().next().unwrap())
}

fn states(set: &Set) -> Vec<(String, State)> {
    let mut states: Vec<_> =
        set.backups.iter().map(|b| (b.id.rsplit('/').next().unwrap().to_owned(), b.state)).collect();
    states.sort_by(|a, b| a.0.cmp(&b.0));
    states
}

fn write(folder: &std::path::Path, name: &str, seconds_ago: i64) {
    let path = folder.join(name);
    fs::write(&path, if name.contains("empty") { "" } else { "content" }).unwrap();
    let now = SystemTime::now();
    let ago = Duration::from_secs(seconds_ago.unsigned_abs());
    let modified = if seconds_ago < 0 { now + ago } else { now - ago };
    fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

#[tokio::test]
async fn what_is_unfinished_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    for (name, ago) in [
        ("a", 3_600),
        ("b.part", 3_600),
        ("c.TMP", 3_600),
        (".d.Xy12", 3_600),
        ("empty", 3_600),
        ("f", 5),
        ("g", -7_200),
        ("h", -60),
    ] {
        write(folder.path(), name, ago);
    }
    let set = observe(&probe(json!({"files": format!("{}/*", folder.path().display())}))).await.unwrap();
    let expected = [
        (".d.Xy12", State::Unfinished),
        ("a", State::Complete),
        ("b.part", State::Unfinished),
        ("c.TMP", State::Unfinished),
        ("empty", State::Empty),
        ("f", State::Growing),
        ("g", State::Future),
        // A minute ahead: the file server's clock is, or it is still being written.
        ("h", State::Growing),
    ];
    assert_eq!(states(&set), expected.map(|(name, state)| (name.to_owned(), state)));
    let samples = BackupFacts { sets: vec![set] }.samples();
    let value = |family: &metric::Family| samples.iter().find(|s| s.family == family).unwrap().value;
    assert_eq!((value(&metric::BACKUPS), value(&metric::BACKUP_SIZE)), (1.0, 7.0));
    assert!((3_600.0..3_660.0).contains(&value(&metric::BACKUP_AGE)));
    assert_eq!(samples[0].labels, Box::from(["local".into(), "full".into()]));
}

#[tokio::test]
async fn a_file_that_changes_between_two_runs_is_growing_whatever_its_time_says() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a", 3_600);
    let probe = probe(json!({"files": format!("{}/*", folder.path().display()), "stable_for": "50ms"}));
    assert_eq!(states(&observe(&probe).await.unwrap()), [("a".to_owned(), State::Complete)]);
    fs::write(folder.path().join("a"), "more content").unwrap();
    write(folder.path(), "a", 3_500);
    assert_eq!(states(&observe(&probe).await.unwrap()), [("a".to_owned(), State::Growing)]);
    let deadline = Instant::now() + Duration::from_secs(10);
    while observe(&probe).await.unwrap().backups[0].state != State::Complete {
        assert!(Instant::now() < deadline, "it never settles");
    }
}

#[tokio::test]
async fn times_come_from_names_where_told() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["orders-20261120.dump", "orders-20261121.dump", "orders-final.dump"] {
        write(folder.path(), name, 3_600);
    }
    let settings = |pattern: &str| json!({"files": format!("{}/*.dump", folder.path().display()), "time": {"name": pattern}, "time_zone": "Europe/Berlin", "type": "logical"});
    let set = observe(&probe(settings("orders-%Y%m%d"))).await.unwrap();
    let times: Vec<_> = set.backups.iter().map(|b| b.made.map(|made| made.to_string())).collect();
    assert_eq!(times, [None, Some("2026-11-19T23:00:00Z".into()), Some("2026-11-20T23:00:00Z".into())]);
    assert_eq!((set.backups[0].state, &*set.r#type), (State::NoTime, "logical"));
    let failure = observe(&probe(settings("users-%Y%m%d"))).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Parse);
    assert!(failure.detail.contains("none of 3 file names"), "{failure}");
}

#[tokio::test]
async fn names_of_one_file_are_one_backup() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "orders-20261121.dump", 3_600);
    write(folder.path(), "pool-1", 3_600);
    for name in ["a-orders-latest.dump", "orders-20261122.dump", "z.part"] {
        fs::hard_link(folder.path().join("orders-20261121.dump"), folder.path().join(name)).unwrap();
    }
    std::os::unix::fs::symlink("pool-1", folder.path().join("orders-20261123.dump")).unwrap();
    let files = |pattern: &str| format!("{}/{pattern}", folder.path().display());
    let settings = json!({"files": [files("*.dump"), files("z.part")], "time": {"name": "%Y%m%d"}, "follow_links_into": folder.path()});
    let set = observe(&probe(settings.clone())).await.unwrap();
    let other = State::OtherName;
    let expected = [
        ("a-orders-latest.dump", other),
        ("orders-20261121.dump", State::Complete),
        ("orders-20261122.dump", other),
        ("orders-20261123.dump", State::Complete),
        ("z.part", other),
    ];
    assert_eq!(states(&set), expected.map(|(name, state)| (name.to_owned(), state)));
    let mut settings = settings;
    settings["files"] = json!([files("orders-20261123.dump"), files("pool-*")]);
    settings["time"] = json!("modified");
    let set = observe(&probe(settings)).await.unwrap();
    assert_eq!(set.complete().count(), 1, "a link and its target: {set:?}");
}

#[tokio::test]
async fn a_time_in_front_of_an_offset_is_never_read_as_local_time() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "orders-2026-11-21T02:00:00+02:00.sql", 3_600);
    let settings =
        |pattern: &str| json!({"files": format!("{}/*.sql", folder.path().display()), "time": {"name": pattern}});
    let set = observe(&probe(settings("orders-%FT%T%z"))).await.unwrap();
    assert_eq!(set.backups[0].made.unwrap().to_string(), "2026-11-21T00:00:00Z");
    let failure = observe(&probe(settings("orders-%FT%T"))).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Parse);
    assert!(failure.detail.contains("add %z to the end of the pattern"), "{failure}");
    write(folder.path(), "orders-2026-11-20T02:00:00.sql", 3_600);
    let set = observe(&probe(settings("orders-%FT%T"))).await.unwrap();
    let counted: Vec<_> = set.backups.iter().map(|backup| backup.state).collect();
    assert_eq!(counted, [State::CutTime, State::Complete]);
    assert!(set.newer_text().contains("1 with a time zone that `time` does not read"), "{}", set.newer_text());
}

#[tokio::test]
async fn a_mount_that_is_gone_is_a_failure_and_an_empty_folder_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let files = format!("{path}/*");
    assert!(observe(&probe(json!({"files": files}))).await.unwrap().backups.is_empty());
    for (settings, word) in [
        (json!({"files": files, "mount": format!("{path}")}), "nothing is mounted"),
        (json!({"files": files, "required_file": format!("{path}/.here")}), ".here"),
        (json!({"files": format!("{path}/gone/*")}), "gone"),
    ] {
        let failure = observe(&probe(settings)).await.unwrap_err();
        assert_eq!(failure.reason, Reason::NotFound);
        assert!(failure.detail.contains(word), "{failure}");
    }
    write(folder.path(), ".here", 0);
    assert!(observe(&probe(json!({"files": files, "required_file": format!("{path}/.here")}))).await.is_ok());
}

#[tokio::test]
async fn the_newest_is_read_where_integrity_asks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "old", 7_200);
    write(folder.path(), "new", 3_600);
    write(folder.path(), "growing", 1);
    fs::write(folder.path().join("new.sha256"), "0".repeat(64)).unwrap();
    let settings: Backups = from_value(json!({"files": format!("{}/*", folder.path().display())})).unwrap();
    let request = VerificationRequest { newest: 1, require_checksum: false };
    let probe = settings.build(vec![request], &Arc::default()).unwrap();
    let verified = observe(&probe).await.unwrap().verified;
    assert_eq!(verified.len(), 1);
    assert!(verified[0].id.ends_with("/new"), "{verified:?}");
    assert!(matches!(verified[0].finding, facts::Finding::Damaged(_)), "{verified:?}");
}

#[tokio::test]
async fn limits_carry_place_and_type_from_the_first_scrape() {
    let probe = probe(json!({"files": "/backups/*", "location": "nas"}));
    let check: Freshness = from_value(json!({"max_age": {"warn": "25h", "fail": "26h"}})).unwrap();
    let mut constants = check.constant_samples();
    constants.iter_mut().for_each(|sample| probe.add_probe_labels(sample));
    assert_eq!(constants, [metric::Sample::new(&metric::BACKUP_MAX_AGE, ["nas".into(), "full".into()], 93_600.0)]);
}

#[test]
fn every_limit_is_there_before_the_first_run() {
    fn steps<C: Check<BackupFacts> + serde::de::DeserializeOwned>(settings: serde_json::Value) -> Vec<String> {
        let step = |measure: &Measure| {
            let (name, bound) = (measure.name, measure.bound.as_str());
            measure.levels().map(move |(level, at)| format!("{name} {bound} {level} {at}")).collect::<Vec<_>>()
        };
        from_value::<C>(settings).unwrap().limits().iter().flat_map(step).collect()
    }
    assert_eq!(
        steps::<Freshness>(json!({"max_age": {"warn": "25h", "fail": "26h"}})),
        ["age max warn 90000", "age max fail 93600"]
    );
    assert_eq!(
        steps::<Schedule>(json!({"every": "1d", "max_missed": {"warn": 0, "fail": 1}})),
        ["missed_runs max warn 0", "missed_runs max fail 1"]
    );
    assert_eq!(
        steps::<BackupSize>(json!({"min": "1KiB", "max": "1MiB", "max_shrink": "50%"})),
        ["size min fail 1024", "size max fail 1048576", "shrink max fail 0.5"]
    );
    assert_eq!(
        steps::<Retention>(json!({"min_count": 3, "max_count": 9, "min_span": "1d"})),
        ["count min fail 3", "count max fail 9", "span min fail 86400"]
    );
}

#[test]
fn settings_that_can_not_work_are_refused() {
    for bad in [
        json!({}),
        json!({"files": "relative/*"}),
        json!({"files": "/b/*", "time": {"name": "%H"}}),
        json!({"files": "/b/*", "time": "created"}),
        json!({"files": "/b/*", "time_zone": "Nowhere"}),
        json!({"files": "/b/*", "location": "/mnt/b"}),
        json!({"files": "/b/*", "folder": "/b"}),
    ] {
        assert!(from_value::<Backups>(bad.clone()).is_err(), "{bad}");
    }
    for bad in [json!({"files": "/b/*", "mount": "b"}), json!({"files": "/b/*", "max_files": 0})] {
        assert!(from_value::<Backups>(bad.clone()).unwrap().validate(&TIMING).is_err(), "{bad}");
    }
}
