#![doc = include_str!("version.md")]

use std::fmt;

use jiff::{Timestamp, civil::Date};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    kind::CheckKind,
    model::{
        check::Check,
        failure::Invalid,
        limit::Min,
        measure::{Measure, MeasureInfo},
        observation::{Observation, Timing},
        units::{Period, Unit},
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    probes::postgres::facts::{PostgresFacts, PostgresRequest, Section, server::ServerFacts},
};

/// Settings of `version`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresVersionCheck {
    /// Oldest accepted minor releases, one for each major version: `["15.14", "17.6"]`. A server of another major
    /// version must be newer than the newest of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub min: Vec<ReleaseNumber>,
    /// Minimum time until the PostgreSQL project ends the support of the major version. Default: warn below 180 days,
    /// fail at the end.
    pub min_support: Min<Period>,
}

/// A release, such as `15.14`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct ReleaseNumber {
    major: i32,
    minor: i32,
}

/// End of the support by major version, from <https://www.postgresql.org/support/versioning/>.
const SUPPORT_ENDS: &[(i32, Date)] = &[
    (10, jiff::civil::date(2022, 11, 10)),
    (11, jiff::civil::date(2023, 11, 9)),
    (12, jiff::civil::date(2024, 11, 21)),
    (13, jiff::civil::date(2025, 11, 13)),
    (14, jiff::civil::date(2026, 11, 12)),
    (15, jiff::civil::date(2027, 11, 11)),
    (16, jiff::civil::date(2028, 11, 9)),
    (17, jiff::civil::date(2029, 11, 8)),
    (18, jiff::civil::date(2030, 11, 14)),
];

impl TryFrom<String> for ReleaseNumber {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let number = |part: &str| part.parse::<u16>().ok().map(i32::from);
        let parts = text.split_once('.').and_then(|(major, minor)| Some((number(major)?, number(minor)?)));
        match parts {
            Some((major, minor)) if major >= 10 => Ok(Self { major, minor }),
            _ => Err("write a release as \"15.14\", with quotes; the oldest major version is 10".to_owned()),
        }
    }
}

impl From<ReleaseNumber> for String {
    fn from(release: ReleaseNumber) -> Self {
        release.to_string()
    }
}

impl fmt::Display for ReleaseNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl ReleaseNumber {
    /// The release in `server_version_num`: 150014 is 15.14.
    fn from_version_number(number: i32) -> Self {
        Self { major: number / 10_000, minor: number % 10_000 }
    }
}

impl Default for PostgresVersionCheck {
    fn default() -> Self {
        let (warn, fail) = (Period(std::time::Duration::from_secs(180 * 86_400)), Period(std::time::Duration::ZERO));
        Self { min: Vec::new(), min_support: Min::two_steps(warn, fail).unwrap_or(Min::single(fail)) }
    }
}

impl CheckKind<PostgresFacts> for PostgresVersionCheck {
    const NAME: &'static str = "version";
    const CATEGORY: Category = Category::Security;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] =
        &[MeasureInfo::new("support_remaining", Unit::Seconds, "Time until the support of the major version ends.")];
    const DOC: &'static str = include_str!("version.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        let mut majors: Vec<_> = self.min.iter().map(|release| release.major).collect();
        majors.sort_unstable();
        match majors.windows(2).any(|pair| pair.first() == pair.last()) {
            true => Err(Invalid::at("min", "two releases have the same major version: keep the newer one")),
            false => Ok(()),
        }
    }
}

impl Check<PostgresFacts> for PostgresVersionCheck {
    fn judge(&mut self, seen: &Observation<PostgresFacts>) -> Verdict {
        PostgresFacts::judge(seen, |server: &ServerFacts| {
            self.verdict(ReleaseNumber::from_version_number(server.version_number), seen.at)
        })
    }

    fn requested_facts(&self) -> Vec<PostgresRequest> {
        vec![ServerFacts::REQUEST]
    }

    fn limits(&self) -> Vec<Measure> {
        vec![self.min_support.unmeasured("support_remaining")]
    }
}

impl PostgresVersionCheck {
    fn verdict(&self, release: ReleaseNumber, now: Timestamp) -> Verdict {
        if let Some(needed) = self.missed_minimum(release) {
            let text =
                format!("the server has version {release}, and {needed} or newer is expected: update the server");
            return Verdict::new(Outcome::Fail(Reason::Status), text);
        }
        let Some((_, end)) = SUPPORT_ENDS.iter().find(|(major, _)| *major == release.major) else {
            let newest = SUPPORT_ENDS.last().map_or(0, |(major, _)| *major);
            let text = format!(
                "the end of support of version {} is not known here: this program knows the versions 10 to {newest}; \
                 update this program",
                release.major
            );
            return Verdict::new(Outcome::Unknown(Reason::NotFound), text);
        };
        let end_time = end.at(0, 0, 0, 0).to_zoned(jiff::tz::TimeZone::UTC).map(|end| end.timestamp());
        let remaining = end_time.map_or(f64::NAN, |end| end.duration_since(now).as_secs_f64());
        let measure = self.min_support.measure("support_remaining", remaining);
        let mut verdict = Verdict::from_measures(vec![measure]);
        verdict.summary = if remaining < 0.0 {
            format!("version {release}: the support of PostgreSQL {} ended on {end}: upgrade the server", release.major)
        } else {
            format!("version {release}: {} (until {end})", verdict.summary)
        };
        verdict
    }

    /// The release that the server should have at least, if it is older.
    fn missed_minimum(&self, release: ReleaseNumber) -> Option<ReleaseNumber> {
        let same_major = self.min.iter().find(|needed| needed.major == release.major);
        let needed = same_major.or_else(|| self.min.iter().max())?;
        (release < *needed).then_some(*needed)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdict(settings: serde_json::Value, number: i32, at: &str) -> Verdict {
        let check: PostgresVersionCheck = serde_json::from_value(settings).unwrap();
        check.verdict(ReleaseNumber::from_version_number(number), at.parse().unwrap())
    }

    #[test]
    fn minimum_releases_and_the_end_of_support_are_judged() {
        let (status, limit) = (Outcome::Fail(Reason::Status), Outcome::Fail(Reason::Limit));
        let min = json!({"min": ["15.14", "17.6"]});
        for (settings, number, at, outcome, part) in [
            (json!({}), 150_014, "2026-11-28T00:00:00Z", Outcome::Pass, "version 15.14: support_remaining is 348d"),
            (json!({}), 150_014, "2027-06-01T00:00:00Z", Outcome::Warn, "(until 2027-11-11)"),
            (json!({}), 140_019, "2026-11-28T00:00:00Z", limit, "the support of PostgreSQL 14 ended on 2026-11-12"),
            (json!({}), 190_001, "2026-11-28T00:00:00Z", Outcome::Unknown(Reason::NotFound), "the versions 10 to 18"),
            (min.clone(), 150_014, "2026-11-28T00:00:00Z", Outcome::Pass, "version 15.14"),
            (min.clone(), 150_013, "2026-11-28T00:00:00Z", status, "version 15.13, and 15.14 or newer is expected"),
            (min.clone(), 160_010, "2026-11-28T00:00:00Z", status, "and 17.6 or newer"),
            (min.clone(), 180_000, "2026-11-28T00:00:00Z", Outcome::Pass, "version 18.0"),
            (json!({"min_support": "730d"}), 150_014, "2026-11-28T00:00:00Z", limit, "version 15.14"),
        ] {
            let verdict = verdict(settings.clone(), number, at);
            assert_eq!(verdict.outcome, outcome, "{settings} {number}: {}", verdict.summary);
            assert!(verdict.summary.contains(part), "{settings} {number}: {}", verdict.summary);
        }
    }

    #[test]
    fn releases_are_texts_with_two_numbers() {
        for bad in [json!(["15"]), json!([15.4]), json!(["9.6"]), json!(["15.x"]), json!(["15.4.1"])] {
            assert!(serde_json::from_value::<PostgresVersionCheck>(json!({"min": bad})).is_err(), "{bad}");
        }
        let twice: PostgresVersionCheck = serde_json::from_value(json!({"min": ["15.4", "15.5"]})).unwrap();
        let second = std::time::Duration::from_secs(1);
        let timing = Timing { interval: second, retry_interval: second, timeout: second };
        assert_eq!(twice.validate(&timing).unwrap_err().key, Some("min"));
    }
}
