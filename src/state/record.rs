//! The serialized form of the state, and conversion from and to the board.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};

use crate::{
    board::{Board, CheckState, PastRun, ProbeState, Resume, Snapshot},
    kind::Job,
    model::{
        metric::{self, Sample},
        text,
        words::{Reason, Status},
    },
    settings::ProbeInfo,
};

/// The content of a state file.
#[derive(Debug, PartialEq, Deserialize)]
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
}

/// State of one probe.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct SavedProbe {
    identity: String,
    runs: u64,
    failures: BTreeMap<Reason, u64>,
    overruns: u64,
    recent: Vec<(u32, f32)>,
    #[serde(rename = "lasting")]
    retained: Vec<SavedSample>,
    checks: BTreeMap<String, SavedCheck>,
}

/// State of one check.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SavedCheck {
    status: Status,
    since: Timestamp,
    last_pass: Option<Timestamp>,
    streak: i32,
    results: BTreeMap<Status, u64>,
    recent: Vec<Status>,
    #[serde(rename = "lasting")]
    retained: Vec<SavedSample>,
    window: Option<serde_json::Value>,
}

type SavedSample = (String, Vec<String>, f64);

impl<'a> StateSnapshot<'a> {
    /// Combines a snapshot of the board with the windows of the checks.
    #[must_use]
    pub fn new(snapshot: &'a Snapshot, jobs: &'a [RunningProbe], now: Timestamp) -> Self {
        let jobs = jobs.iter().map(|kept| (&*kept.info.name, kept)).collect();
        Self { saved_at: now, probes: ProbeRecords { snapshot, jobs } }
    }
}

impl Serialize for ProbeRecords<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.snapshot.probes.iter().filter_map(|state| {
            let name = &*state.info.name;
            Some((name, SavedProbe::capture(state, self.jobs.get(name)?)))
        }))
    }
}

impl SavedState {
    /// Restores the state of the probes whose configuration is the same.
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
}

impl SavedProbe {
    fn capture(state: &ProbeState, kept: &RunningProbe) -> Self {
        let mut windows = kept.job.save().into_iter();
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
                .map(|check| (check.info.name.clone(), SavedCheck::capture(check, windows.next().flatten())))
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
                job.restore(at, window);
            }
        }
    }
}

impl SavedCheck {
    fn capture(check: &CheckState, window: Option<serde_json::Value>) -> Self {
        // Before the first result after a restart, the state from before the restart remains current.
        let now = Resume { status: check.status, since: check.since, streak: check.streak };
        let Resume { status, since, streak } = check.resume.unwrap_or(now);
        let results = Status::ALL.iter().map(|status| (*status, check.results(*status)));
        Self {
            status,
            since,
            last_pass: check.last_pass,
            streak,
            results: results.filter(|(_, count)| *count > 0).collect(),
            recent: check.recent.iter().copied().collect(),
            retained: save_samples(&check.retained),
            window,
        }
    }

    fn restore(self, check: &mut CheckState) -> Option<serde_json::Value> {
        if !matches!(self.status, Status::Pending | Status::Skipped) {
            check.resume = Some(Resume { status: self.status, since: self.since, streak: self.streak });
            check.note = "not run since the restart".to_owned();
        }
        check.last_pass = self.last_pass;
        for (status, count) in self.results {
            if let Some(total) = check.results.get_mut(status as usize) {
                *total = count;
            }
        }
        check.recent = self.recent.into();
        check.retained = restore_samples(self.retained);
        self.window
    }
}

fn save_samples(samples: &[Sample]) -> Vec<SavedSample> {
    samples
        .iter()
        .map(|sample| {
            let labels = sample.labels.iter().map(|label| label.clone().into_owned()).collect();
            (sample.family.name.to_owned(), labels, sample.value)
        })
        .collect()
}

/// Restores samples, except samples of families that this version lacks.
fn restore_samples(samples: Vec<SavedSample>) -> Vec<Sample> {
    let restore = |(name, labels, value): SavedSample| {
        let family = metric::ALL.iter().find(|family| family.name == name)?;
        let own = family.labels.iter().filter(|label| !matches!(**label, "probe" | "check")).count();
        (own == labels.len()).then(|| Sample { family, labels: labels.into_iter().map(Into::into).collect(), value })
    };
    samples.into_iter().filter_map(restore).collect()
}
