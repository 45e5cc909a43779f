//! The serialized form of the state, and conversion from and to the board.

use std::{
    borrow::Cow,
    cell::Cell,
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

use super::last::Last;
use crate::{
    board::{
        Board, CheckState, MAX_RECENT_RUNS, MAX_RETAINED_SAMPLES, MAX_STATUS_CHANGES, MAX_VALUE_SERIES, PastChange,
        PastRun, ProbeState, Resume, Snapshot, ValueHistory, ValueSeries,
    },
    kind::Job,
    model::{
        metric::{self, Sample},
        text,
        units::Size,
        words::{Reason, Status},
    },
    settings::ProbeInfo,
};

/// Maximum size of the window of one check: 2 MiB with the rest of the check. A larger window is left out.
pub(super) const MAX_WINDOW_BYTES: usize = (2 << 20) - (64 << 10);
/// Maximum size of all windows, which keeps the file below the largest size that is read.
const MAX_WINDOWS_BYTES: usize = 768 << 20;
/// More labels than a family has.
const MAX_LABELS: usize = 16;
/// Maximum length of the value of a label.
const MAX_LABEL_BYTES: usize = 1 << 10;

/// The content of a state file.
#[derive(Debug, Deserialize)]
pub struct SavedState {
    /// Time of the write.
    pub saved_at: Timestamp,
    /// Probes by name.
    pub probes: BTreeMap<String, SavedProbe>,
}

/// State to save, serialized like [`SavedState`]. Each probe is converted while it is written, because converting all
/// probes at once would take more memory than the board itself. So on a slow disk a window may contain a few runs more
/// than the board at `saved_at`.
#[derive(Serialize)]
pub struct StateSnapshot<'a> {
    saved_at: Timestamp,
    probes: ProbeRecords<'a>,
}

/// The running probes by name.
struct ProbeRecords<'a> {
    snapshot: &'a Snapshot,
    jobs: HashMap<&'a str, &'a RunningProbe>,
    /// Size that is left for windows.
    left: Cell<usize>,
}

/// A running probe, with an identity that tells after a restart whether its configuration is the same.
#[derive(Clone)]
pub struct RunningProbe {
    /// The probe's public configuration.
    pub info: Arc<ProbeInfo>,
    /// The identity; see [`crate::settings::ProbeSettings::identity`].
    pub identity: [u8; 16],
    /// The job that runs the probe.
    pub job: Arc<dyn Job>,
    /// Checks with windows that were left out of the state, each of which is logged once.
    pub left_out: Arc<Mutex<BTreeSet<String>>>,
}

/// State of one probe.
#[derive(Debug, Serialize, Deserialize)]
pub struct SavedProbe {
    identity: String,
    runs: u64,
    failures: BTreeMap<Reason, u64>,
    overruns: u64,
    recent: Last<(u32, f32), MAX_RECENT_RUNS>,
    #[serde(rename = "lasting")]
    retained: SavedSamples,
    checks: BTreeMap<String, SavedCheck>,
}

/// State of one check.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SavedCheck {
    status: Status,
    since: Timestamp,
    last_pass: Option<Timestamp>,
    streak: i32,
    results: BTreeMap<Status, u64>,
    recent: Last<Status, MAX_RECENT_RUNS>,
    #[serde(default)]
    values: Last<SavedSeries, MAX_VALUE_SERIES>,
    #[serde(default)]
    changes: Last<(Timestamp, Status, Status, String), MAX_STATUS_CHANGES>,
    #[serde(rename = "lasting")]
    retained: SavedSamples,
    /// Not parsed before the check restores it: parsed into values it would take many times its size.
    #[serde(deserialize_with = "read_window")]
    window: Option<Box<RawValue>>,
}

type SavedSample = (String, Last<String, MAX_LABELS>, f64);
/// Name and subject of a measure, and its values; `None` is a run without a value.
type SavedSeries = (String, Option<Box<str>>, Last<Option<f32>, MAX_RECENT_RUNS>);
type SavedSamples = Last<SavedSample, MAX_RETAINED_SAMPLES>;

/// Reads a window; one that exceeds the limit is dropped.
fn read_window<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    let window = Option::<Box<RawValue>>::deserialize(deserializer)?;
    Ok(window.filter(|window| window.get().len() <= MAX_WINDOW_BYTES))
}

impl<'a> StateSnapshot<'a> {
    /// Combines a snapshot of the board with the windows of the checks.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, jobs: &'a [RunningProbe], now: Timestamp) -> Self {
        let jobs = jobs.iter().map(|kept| (&*kept.info.name, kept)).collect();
        Self { saved_at: now, probes: ProbeRecords { snapshot, jobs, left: Cell::new(MAX_WINDOWS_BYTES) } }
    }
}

impl Serialize for ProbeRecords<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.snapshot.probes.iter().filter_map(|state| {
            let name = &*state.info.name;
            Some((name, SavedProbe::capture(state, self.jobs.get(name)?, &self.left)))
        }))
    }
}

impl SavedState {
    /// Restores the state of the probes with an unchanged configuration.
    pub fn restore(self, board: &Board, jobs: &[RunningProbe]) {
        let mut probes = self.probes;
        for kept in jobs {
            let Some(saved) = probes.remove(&kept.info.name).filter(|saved| saved.identity == kept.identity_text())
            else {
                continue;
            };
            board.restore(&kept.info.name, |state| saved.restore(state, &*kept.job));
        }
    }
}

impl RunningProbe {
    fn identity_text(&self) -> String {
        text::to_hex(&self.identity)
    }

    /// The window if it fits; otherwise it is left out, with a warning the first time.
    fn limit_window(&self, check: &str, window: Box<RawValue>, left: &Cell<usize>) -> Option<Box<RawValue>> {
        let size = window.get().len();
        if fits(size, left) {
            return Some(window);
        }
        if self.left_out.lock().insert(check.to_owned()) {
            let size = Size(size as u64);
            let text = "the window of a check is too large for the state and is left out: after a restart this check \
                        starts with an empty window; select fewer series or shorten its `window`";
            tracing::warn!(probe = %self.info.name, check, %size, "{text}");
        }
        None
    }
}

/// Whether a window fits in the limits of one check and of all; subtracts its size from the rest.
fn fits(size: usize, left: &Cell<usize>) -> bool {
    let rest = left.get().checked_sub(size).filter(|_| size <= MAX_WINDOW_BYTES);
    left.set(rest.unwrap_or(left.get()));
    rest.is_some()
}

impl SavedProbe {
    fn capture(state: &ProbeState, kept: &RunningProbe, left: &Cell<usize>) -> Self {
        let mut windows = kept.job.save().into_iter();
        let mut window_of =
            |check: &str| windows.next().flatten().and_then(|window| kept.limit_window(check, window, left));
        let failures = Reason::ALL.iter().map(|reason| (*reason, state.failures(*reason)));
        Self {
            identity: kept.identity_text(),
            runs: state.runs,
            failures: failures.filter(|(_, count)| *count > 0).collect(),
            overruns: state.overruns,
            recent: state.recent.iter().map(|run| (run.at, run.duration)).collect(),
            retained: save_samples(&state.retained),
            checks: state
                .checks
                .iter()
                .map(|check| (check.info.name.clone(), SavedCheck::capture(check, window_of(&check.info.name))))
                .collect(),
        }
    }

    fn restore(mut self, state: &mut ProbeState, job: &dyn Job) {
        state.runs = self.runs;
        state.overruns = self.overruns;
        for (reason, count) in self.failures {
            if let Some(total) = state.failures.get_mut(reason as usize) {
                *total = u32::try_from(count).unwrap_or(u32::MAX);
            }
        }
        state.recent = self.recent.into_iter().map(|(at, duration)| PastRun { at, duration }).collect();
        state.retained = restore_samples(self.retained);
        for (at, check) in state.checks.iter_mut().enumerate().filter(|(_, check)| check.info.enabled) {
            let Some(saved) = self.checks.remove(&check.info.name) else { continue };
            if let Some(window) = saved.restore(check) {
                job.restore(at, &window);
            }
        }
    }
}

impl SavedCheck {
    fn capture(check: &CheckState, window: Option<Box<RawValue>>) -> Self {
        // Before the first result after a restart, the state from before the restart remains current.
        let now = Resume { status: check.status, since: check.since, streak: check.streak };
        let Resume { status, since, streak } = check.resume.or(check.before_skip).unwrap_or(now);
        let results = Status::ALL.iter().map(|status| (*status, check.results(*status)));
        Self {
            status,
            since,
            last_pass: check.last_pass,
            streak,
            results: results.filter(|(_, count)| *count > 0).collect(),
            recent: check.recent.iter().copied().collect(),
            values: check.values.iter().map(save_series).collect(),
            changes: check
                .changes
                .iter()
                .map(|change| (change.at, change.from, change.to, change.finding.to_string()))
                .collect(),
            retained: save_samples(&check.retained),
            window,
        }
    }

    fn restore(self, check: &mut CheckState) -> Option<Box<RawValue>> {
        if self.status != Status::Pending {
            check.resume = Some(Resume { status: self.status, since: self.since, streak: self.streak });
            check.note = "not run since the restart".to_owned();
        }
        check.last_pass = self.last_pass;
        for (status, count) in self.results {
            if let Some(total) = check.results.get_mut(status as usize) {
                *total = count;
            }
        }
        check.recent = self.recent.into_iter().collect();
        check.values = ValueHistory::restored(self.values.into_iter().map(restore_series), check.recent.len());
        let changes = self.changes.into_iter();
        check.changes = changes.map(|(at, from, to, finding)| PastChange::new(at, from, to, &finding)).collect();
        check.retained = restore_samples(self.retained);
        self.window
    }
}

fn save_series(series: &ValueSeries) -> SavedSeries {
    let values = series.values.iter().map(|value| Some(*value).filter(|value| value.is_finite())).collect();
    (series.name.clone(), series.subject.clone(), values)
}

fn restore_series((name, subject, values): SavedSeries) -> ValueSeries {
    ValueSeries { name, subject, values: values.into_iter().map(|value| value.unwrap_or(f32::NAN)).collect() }
}

fn save_samples(samples: &[Sample]) -> SavedSamples {
    samples
        .iter()
        .map(|sample| {
            let labels = sample.labels.iter().map(|label| label.clone().into_owned()).collect();
            (sample.family.name.to_owned(), labels, sample.value)
        })
        .collect()
}

/// Restores samples of retained families, each series once. Drops samples of families that this version lacks or that
/// the board computes.
fn restore_samples(samples: SavedSamples) -> Vec<Sample> {
    let mut seen = HashSet::new();
    let restore = |(name, labels, value): SavedSample| {
        let is_known = |family: &&&metric::Family| family.name == name && family.retained;
        let family = metric::ALL.iter().find(is_known).filter(|family| **family != &metric::PROBE_LAST_RUN)?;
        let own = family.labels.iter().filter(|label| !matches!(**label, "probe" | "check")).count();
        let labels: Box<[_]> = labels.into_iter().map(Into::into).collect();
        let fits = own == labels.len() && labels.iter().all(|label: &Cow<'_, str>| label.len() <= MAX_LABEL_BYTES);
        (fits && seen.insert((family.name, labels.clone()))).then_some(Sample { family, labels, value })
    };
    samples.into_iter().filter_map(restore).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::metric::{BACKUP_LAST_SUCCESS, CERTIFICATE_NOT_AFTER};

    #[test]
    fn windows_beyond_the_limits_are_left_out_and_leave_room_for_others() {
        let left = Cell::new(2 * MAX_WINDOW_BYTES);
        let sizes = [MAX_WINDOW_BYTES + 1, MAX_WINDOW_BYTES, 1, MAX_WINDOW_BYTES, MAX_WINDOW_BYTES - 1, 1];
        assert_eq!(sizes.map(|size| fits(size, &left)), [false, true, true, false, true, false]);
    }

    #[test]
    fn a_window_that_is_too_large_is_dropped_and_the_rest_is_read() {
        let saved = |window: String| {
            let mut check = json!({"status": "pass", "since": "2026-01-01T00:00:00Z", "last_pass": null, "streak": 0,
                "results": {"pass": u64::MAX}, "recent": vec!["pass"; 1_000], "lasting": []});
            check["window"] = json!(window);
            serde_json::from_reader::<_, SavedCheck>(check.to_string().as_bytes()).unwrap()
        };
        assert_eq!(saved("a".repeat(9)).window.unwrap().get(), "\"aaaaaaaaa\"");
        let large = saved("a".repeat(MAX_WINDOW_BYTES));
        assert!(large.window.is_none());
        assert_eq!(large.recent.into_iter().count(), MAX_RECENT_RUNS);
    }

    #[test]
    fn only_samples_of_retained_families_are_restored_and_each_series_once() {
        let text = json!([
            [CERTIFICATE_NOT_AFTER.name, ["leaf", "true"], 1.0],
            [CERTIFICATE_NOT_AFTER.name, ["leaf", "true"], 2.0],
            [CERTIFICATE_NOT_AFTER.name, ["leaf"], 1.0],
            [CERTIFICATE_NOT_AFTER.name, ["leaf", "x".repeat(2_000)], 1.0],
            [metric::PROBE_LAST_RUN.name, [], 1.0],
            [metric::READY.name, [], 1.0],
            ["readiness_of_another_version", [], 1.0],
            [BACKUP_LAST_SUCCESS.name, ["local", "full"], 3.0],
        ]);
        let restored = restore_samples(serde_json::from_value(text).unwrap());
        let expected = [
            Sample::new(&CERTIFICATE_NOT_AFTER, ["leaf".into(), "true".into()], 1.0),
            Sample::new(&BACKUP_LAST_SUCCESS, ["local".into(), "full".into()], 3.0),
        ];
        assert_eq!(restored, expected);
        assert_eq!(restore_samples(save_samples(&expected)), expected);
    }
}
