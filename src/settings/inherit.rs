//! Inheritance: values that stand in `defaults`, at the head of a file, on a probe or on a check. The nearest value wins.
//!
//! Each level keeps its node, so that `/config` can show the source of a value and errors have a location.

use std::collections::{BTreeMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{common::split_keys, reject_zero, timing};
use crate::{
    document::{Diagnostics, Location, MapEntry, Node, NodeValue, nearest_word},
    model::{
        failure::Invalid,
        metric,
        observation::Timing,
        units::Period,
        words::{Category, Severity, WhilePending},
    },
};

/// Labels that Prometheus adds to every series. With `honor_labels` the labels of the series win, and no alert would
/// match an info series with another job than the probe's other series.
const SCRAPE_LABELS: [&str; 2] = ["job", "instance"];

/// Values that probes and checks inherit.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct InheritedKeys {
    /// Team or person that is responsible for the checks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Importance of a failure. Default: the severity of the check kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// Aspect of readiness that the checks cover. Default: the category of the check kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub category: Option<Category>,
    /// Additional labels of the metrics `readiness_probe_info` and `readiness_check_info`. Labels of all levels are
    /// merged. If several levels set the same label, the value of the nearest level applies.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Instructions for a failure: the URL (`http://` or `https://`) of a page, or steps in Markdown. The page of a
    /// check shows the steps.
    #[schemars(regex(pattern = RUNBOOK_PATTERN), length(max = MAX_STEPS_BYTES))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runbook: Option<String>,
    /// Whether `/ready` takes the checks into account. Default: true, unless the severity is `info`
    /// or the check looks back at failed runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gate: Option<bool>,
    /// Effect of the checks on `/ready` while they are pending because they lack observations. Default: the effect that
    /// the check kind defines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<WhilePending>,
    #[schemars(range(min = 1))]
    /// Number of consecutive worse results after which the status of a check gets worse.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_threshold: Option<u32>,
    #[schemars(range(min = 1))]
    /// Number of consecutive better results after which the status of a check gets better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub success_threshold: Option<u32>,
    /// Time between the starts of two runs, from 100ms to 7d.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<Period>,
    /// Maximum duration of a run. An inherited timeout that is longer than the interval is reduced to the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// Time between the starts of two runs while the probe fails. An inherited value that is longer than the interval
    /// is reduced to the interval. Default: the interval.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_interval: Option<Period>,
}

/// Names of the keys of [`InheritedKeys`].
pub(super) const INHERITED_KEYS: [&str; 12] = [
    "owner",
    "severity",
    "category",
    "labels",
    "runbook",
    "gate",
    "pending",
    "failure_threshold",
    "success_threshold",
    "interval",
    "timeout",
    "retry_interval",
];

/// The values of one level with their node.
#[derive(Debug, Clone)]
pub(super) struct Level {
    pub keys: InheritedKeys,
    pub node: Node,
}

impl Default for Level {
    fn default() -> Self {
        Self { keys: InheritedKeys::default(), node: Node::new(Location::default(), NodeValue::Null) }
    }
}

impl Level {
    /// Reads the inherited keys of a probe or a check. The node keeps its other keys.
    pub(super) fn read(node: Node, farther: &[&Level], problems: &mut Diagnostics) -> Self {
        let (inherited, others) = split_keys(node, &INHERITED_KEYS);
        let keys: InheritedKeys = inherited.recover(problems).0.unwrap_or_default();
        let mut level = Self { keys, node: inherited };
        level.validate(farther, problems);
        if let NodeValue::Map(entries) = &mut level.node.value {
            entries.extend(others);
        }
        level
    }

    /// Reads the head of a file: removes the inherited keys from the document.
    pub(super) fn take_head(document: &mut Node, defaults: &Level, problems: &mut Diagnostics) -> Self {
        let NodeValue::Map(entries) = &mut document.value else { return Self::default() };
        let (head, rest) = std::mem::take(entries).into_iter().partition(|entry| INHERITED_KEYS.contains(&&*entry.key));
        *entries = rest;
        let node = Node::new(document.location, NodeValue::Map(head));
        let keys: InheritedKeys = node.recover(problems).0.unwrap_or_default();
        let level = Self { keys, node };
        level.validate(&[defaults], problems);
        level
    }

    /// Reports values that are invalid by themselves or contradict the interval of this or a farther level.
    pub(super) fn validate(&self, farther: &[&Level], problems: &mut Diagnostics) {
        let keys = &self.keys;
        let levels: Vec<&Level> = std::iter::once(self).chain(farther.iter().copied()).collect();
        let interval = valid_interval(&levels).unwrap_or(Period(timing::MAX_INTERVAL));
        let within = |key, period: Option<Period>| timing::check_within_interval(key, period?, interval);
        let threshold = |key, number: Option<u32>| reject_zero(key, number? as usize);
        let invalid = [
            keys.interval.and_then(timing::check_interval),
            within("timeout", keys.timeout),
            within("retry_interval", keys.retry_interval),
            threshold("failure_threshold", keys.failure_threshold),
            threshold("success_threshold", keys.success_threshold),
            keys.runbook.as_deref().and_then(check_runbook),
        ];
        for invalid in invalid.into_iter().flatten() {
            problems.push_invalid(&self.node, invalid);
        }
        check_labels(&self.node, problems);
    }

    /// Whether the level has an interval that can't be read, or a misspelt key `interval`.
    fn has_unreadable_interval(&self) -> bool {
        let is_misspelt = |key: &str| {
            !INHERITED_KEYS.contains(&key) && nearest_word(key, INHERITED_KEYS.iter().copied()) == Some("interval")
        };
        let is_set = self.node.get("interval").is_some_and(|node| !node.is_null());
        is_set && self.keys.interval.is_none() || self.node.entries().iter().any(|entry| is_misspelt(&entry.key))
    }

    /// Location of a key.
    fn location(&self, key: &str) -> Option<Location> {
        self.node.get(key).map(Node::key_location)
    }
}

/// Returns the nearest interval, or the default; `None` if the nearest interval has an error, which is reported there. A
/// comparison with another interval would report errors that vanish with the correction of the first one.
pub(super) fn valid_interval(levels: &[&Level]) -> Option<Period> {
    let sets = |level: &&Level| level.keys.interval.is_some() || level.has_unreadable_interval();
    let Some(level) = levels.iter().copied().find(sets) else { return Some(timing::DEFAULT_INTERVAL) };
    level.keys.interval.filter(|interval| timing::check_interval(*interval).is_none())
}

/// Finds the nearest value and the position of its level. `levels` begins with the nearest level.
pub(super) fn find<T>(levels: &[&Level], get: impl Fn(&InheritedKeys) -> Option<T>) -> Option<(T, usize)> {
    levels.iter().enumerate().find_map(|(at, level)| Some((get(&level.keys)?, at)))
}

/// Location of the value of a key that [`find`] returns; `None` if the value is built in.
pub(super) fn source_of(levels: &[&Level], key: &str) -> Option<Location> {
    // A key without a value (`owner:`) is not set.
    let is_set = |level: &&Level| level.node.get(key).is_some_and(|node| !node.is_null());
    levels.iter().copied().find(is_set).and_then(|level| level.location(key))
}

/// Returns the timing of a probe. `levels` begins with the nearest level.
///
/// A timeout or retry interval from a farther level than the interval is reduced to the interval. A nearer one that is
/// longer than the interval is an error of its level, which [`Level::validate`] reports.
pub(super) fn resolve_timing(levels: &[&Level]) -> Timing {
    let interval = find(levels, |keys| keys.interval).map_or(timing::DEFAULT_INTERVAL, |(interval, _)| interval);
    let within = |period: Option<(Period, usize)>| period.map(|(period, _)| period.min(interval));
    Timing {
        interval: interval.0,
        retry_interval: within(find(levels, |keys| keys.retry_interval)).unwrap_or(interval).0,
        timeout: within(find(levels, |keys| keys.timeout)).unwrap_or(timing::DEFAULT_TIMEOUT.min(interval)).0,
    }
}

/// Joins the labels of all levels.
pub(super) fn join_labels(levels: &[&Level]) -> BTreeMap<String, String> {
    levels.iter().rev().flat_map(|level| level.keys.labels.clone()).collect()
}

/// Location of each label that [`join_labels`] returns.
pub(super) fn label_sources(levels: &[&Level]) -> BTreeMap<String, Location> {
    let entries = levels.iter().rev().filter_map(|level| level.node.get("labels")).flat_map(Node::entries);
    entries.map(|MapEntry { key, node }| (key.to_string(), node.key_location())).collect()
}

/// Reports labels that can't be labels of the info metrics.
fn check_labels(level: &Node, problems: &mut Diagnostics) {
    let Some(labels) = level.get("labels") else { return };
    let ours: HashSet<&str> =
        [metric::PROBE_INFO.labels, metric::CHECK_INFO.labels].into_iter().flatten().copied().collect();
    for MapEntry { key, node } in labels.entries() {
        let message = if !metric::is_label_name(key) {
            format!("`{key}` is not a label name: letters, digits and `_`, neither a digit nor `__` first")
        } else if ours.contains(&**key) {
            format!("the label `{key}` is already used by the daemon itself")
        } else if SCRAPE_LABELS.contains(&&**key) {
            format!(
                "the label `{key}` says where Prometheus scraped a series, and alerts go by it: choose another \
                 name, such as `service_{key}`"
            )
        } else {
            continue;
        };
        problems.push(node.key, message, None);
    }
}

/// Pattern of a runbook: an address, or steps, which contain white space.
const RUNBOOK_PATTERN: &str = "^https?://\\S+$|\\S\\s+\\S";
/// Maximum length of the steps of a runbook.
const MAX_STEPS_BYTES: usize = 16 << 10;

/// Rejects a runbook that is neither the address of a page nor steps. A text without white space is meant to be an
/// address.
fn check_runbook(runbook: &str) -> Option<Invalid> {
    if runbook.trim().contains(char::is_whitespace) {
        let message = "the steps are longer than 16KiB: put them on a page, and set its address";
        return (runbook.len() > MAX_STEPS_BYTES).then(|| Invalid::at("runbook", message));
    }
    let url = url::Url::parse(runbook).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let message = "expected the whole address of a page (http:// or https://), or steps in Markdown";
    url.is_none().then(|| Invalid::at("runbook", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Interval, timeout and retry interval in milliseconds, or the errors of the nearest level.
    fn timing_of(levels: &[[&str; 3]]) -> Result<(u128, u128, u128), String> {
        let period = |text: &str| (!text.is_empty()).then(|| text.parse().unwrap());
        let level = |[interval, timeout, retry_interval]: &[&str; 3]| Level {
            keys: InheritedKeys {
                interval: period(interval),
                timeout: period(timeout),
                retry_interval: period(retry_interval),
                ..InheritedKeys::default()
            },
            ..Level::default()
        };
        let levels: Vec<_> = levels.iter().map(level).collect();
        let levels: Vec<&Level> = levels.iter().collect();
        let mut problems = Diagnostics::default();
        levels[0].validate(&levels[1..], &mut problems);
        if !problems.is_empty() {
            return Err(problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>().join("; "));
        }
        let timing = resolve_timing(&levels);
        Ok((timing.interval.as_millis(), timing.timeout.as_millis(), timing.retry_interval.as_millis()))
    }

    #[test]
    fn timings_are_filled_in_and_held_to_the_interval() {
        assert_eq!(timing_of(&[["", "", ""]]), Ok((30_000, 5_000, 30_000)));
        assert_eq!(timing_of(&[["2s", "", ""]]), Ok((2_000, 2_000, 2_000)));
        assert_eq!(timing_of(&[["10s", "10s", "1s"]]), Ok((10_000, 10_000, 1_000)));
        for (interval, timeout, retry, message) in [
            ("0s", "", "", "an interval of 0s is out of range: it can be 100ms to 7d"),
            ("99ms", "", "", "an interval of 99ms is out of range: it can be 100ms to 7d"),
            ("8d", "", "", "an interval of 8d is out of range: it can be 100ms to 7d"),
            ("10s", "11s", "", "`timeout: 11s` is longer than the interval, which is 10s"),
            ("", "31s", "", "`timeout: 31s` is longer than the interval, which is 30s"),
            ("", "0s", "", "`timeout` must be longer than zero"),
            ("10s", "", "20s", "`retry_interval: 20s` is longer than the interval, which is 10s"),
            ("10s", "", "0s", "`retry_interval` must be longer than zero"),
        ] {
            assert_eq!(timing_of(&[[interval, timeout, retry]]), Err(message.to_owned()));
        }
    }

    #[test]
    fn the_nearest_timing_wins_and_a_farther_one_gives_way_to_a_short_interval() {
        let defaults = ["1m", "20s", "10s"];
        assert_eq!(timing_of(&[["", "", ""], defaults]), Ok((60_000, 20_000, 10_000)));
        assert_eq!(timing_of(&[["", "3s", ""], ["2m", "", "30s"], defaults]), Ok((120_000, 3_000, 30_000)));
        assert_eq!(timing_of(&[["5s", "", ""], defaults]), Ok((5_000, 5_000, 5_000)));
        let too_long = "`timeout: 90s` is longer than the interval, which is 1m";
        assert_eq!(timing_of(&[["", "1m30s", ""], defaults]), Err(too_long.replace("90s", "1m30s")));
    }
}
