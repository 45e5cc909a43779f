#![doc = include_str!("replication_lag.md")]

mod history;

use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use self::history::History;
use crate::{
    kind::CheckKind,
    model::{
        check::{Check, from_saved, to_saved},
        failure::Invalid,
        limit::{Max, Min},
        measure::{Measure, MeasureInfo},
        observation::{Observation, Timing},
        text,
        units::{Period, Size, Unit},
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    probes::postgres::facts::{
        PostgresFacts, PostgresRequest, Section,
        replication::{Receiver, Replication, Standby},
    },
};

/// Settings of `replication_lag`. At least one of `max` and `max_bytes` is required.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplicationLag {
    /// The maximum time by which a standby may lag behind the primary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<Max<Period>>,
    /// The maximum amount of WAL that a standby has not replayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Max<Size>>,
    /// The minimum number of standbys that are connected to the primary. Not judged on a standby.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_standbys: Option<Min<u32>>,
    #[serde(skip)]
    history: History,
}

impl CheckKind<PostgresFacts> for ReplicationLag {
    const NAME: &'static str = "replication_lag";
    const CATEGORY: Category = Category::Platform;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] = &[
        MeasureInfo::new("lag", Unit::Seconds, "Time by which the standby that is furthest behind is behind."),
        MeasureInfo::new("lag_bytes", Unit::Bytes, "WAL that the standby that is furthest behind has not replayed."),
        MeasureInfo::new("standbys", Unit::Number, "Standbys that are connected to the primary."),
    ];
    const DOC: &'static str = include_str!("replication_lag.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        match (self.max, self.max_bytes) {
            (None, None) => Err(Invalid::at("max", "set `max`, `max_bytes` or both")),
            _ => Ok(()),
        }
    }
}

impl Check<PostgresFacts> for ReplicationLag {
    fn judge(&mut self, seen: &Observation<PostgresFacts>) -> Verdict {
        PostgresFacts::judge(seen, |replication: &Replication| match &replication.standby {
            Some(standby) => self.judge_standby(standby, replication.position, seen.at),
            None => self.judge_primary(replication, seen.at),
        })
    }

    fn requested_facts(&self) -> Vec<PostgresRequest> {
        vec![Replication::REQUEST]
    }

    fn limits(&self) -> Vec<Measure> {
        [
            self.max.map(|max| max.unmeasured("lag")),
            self.max_bytes.map(|max| max.unmeasured("lag_bytes")),
            self.min_standbys.map(|min| min.unmeasured("standbys")),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn save(&self) -> Option<Box<RawValue>> {
        to_saved(&self.history)
    }

    fn restore(&mut self, saved: &RawValue) {
        self.history = from_saved(saved);
    }
}

impl ReplicationLag {
    fn judge_primary(&mut self, replication: &Replication, at: Timestamp) -> Verdict {
        let Some(position) = replication.position.filter(|position| *position >= 0) else {
            return Verdict::new(Outcome::Unknown(Reason::Empty), "the server reports no WAL position");
        };
        self.history.record(position, at);
        let standbys = &replication.downstream;
        let count = self.min_standbys.map(|min| min.measure("standbys", standbys.len() as f64));
        if standbys.is_empty() && count.is_none() {
            let text = "no standby is connected, so no lag can be measured; `min_standbys` makes that a failure";
            return Verdict::new(Outcome::Unknown(Reason::Empty), text);
        }
        let mut measures: Vec<_> = count.into_iter().collect();
        for standby in standbys {
            let lag = match position.saturating_sub(standby.replayed) {
                ..=0 => Some(0.0),
                _ => self.history.lag(standby.replayed, standby.replay_lag, at),
            };
            let bytes = position.saturating_sub(standby.replayed).max(0) as f64;
            measures.extend(self.measures(lag, Some(bytes)).map(|measure| measure.with_subject(&*standby.name)));
        }
        self.history.forget(standbys.iter().map(|standby| standby.replayed).min().unwrap_or(position));
        if measures.is_empty() {
            return Verdict::new(
                Outcome::Pending,
                "the standbys are behind since an unknown time; the next run knows more",
            );
        }
        Verdict::from_measures(measures)
    }

    fn judge_standby(&mut self, standby: &Standby, announced: Option<i64>, at: Timestamp) -> Verdict {
        let live = standby.receiver.as_ref().filter(|receiver| receiver.is_streaming());
        // The announced position is as old as the sender's last message.
        let streaming = standby.receiver.as_ref().filter(|receiver| receiver.status == "streaming");
        if let (Some(position), Some(age)) = (announced, streaming.and_then(|receiver| receiver.message_age)) {
            self.history.record(position, at - Duration::try_from_secs_f64(age).unwrap_or_default());
        }
        let bytes = live.and(announced).map(|position| position.saturating_sub(standby.replayed).max(0) as f64);
        let lag = match bytes {
            // An idle primary commits nothing: the age of the last commit is no lag.
            Some(0.0) => Some(0.0),
            _ => self.history.lag(standby.replayed, standby.last_commit_age, at),
        };
        self.history.forget(standby.replayed);
        let link = match &standby.receiver {
            None => Some("the WAL receiver is not running".to_owned()),
            Some(_) if live.is_some() => None,
            Some(Receiver { status, message_age: Some(age), .. }) if status == "streaming" => {
                Some(format!("the WAL receiver has received nothing for {}", Unit::Seconds.format_value(age.round())))
            }
            Some(receiver) => Some(format!("the WAL receiver is in state `{}`", text::bounded_name(&*receiver.status))),
        };
        let measures: Vec<_> = self.measures(lag, bytes).collect();
        let mut verdict = if measures.is_empty() {
            Verdict::new(Outcome::Unknown(Reason::Empty), "the lag can't be measured")
        } else {
            Verdict::from_measures(measures)
        };
        let paused = standby.is_paused.then(|| "replay is paused".to_owned());
        for note in link.into_iter().chain(paused) {
            verdict.summary.push_str("; ");
            verdict.summary.push_str(&note);
        }
        verdict
    }

    fn measures(&self, lag: Option<f64>, bytes: Option<f64>) -> impl Iterator<Item = Measure> + use<> {
        let lag = self.max.zip(lag).map(|(max, lag)| max.measure("lag", lag));
        let bytes = self.max_bytes.zip(bytes).map(|(max, bytes)| max.measure("lag_bytes", bytes));
        // The last of equally good measures becomes the finding: the lag in seconds.
        bytes.into_iter().chain(lag)
    }
}

#[cfg(test)]
mod tests;
