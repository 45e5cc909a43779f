#![doc = include_str!("role.md")]

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    kind::CheckKind,
    model::{
        check::Check,
        failure::Invalid,
        observation::{Observation, Timing},
        text,
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    probes::postgres::facts::{
        PostgresFacts, PostgresRequest, Section,
        server::ServerFacts,
        write_defaults::{WriteDefaults, WriteSetting},
    },
};

/// Settings of `role`.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresRole {
    /// The role that the server must have.
    pub expected: ServerRole,
    /// Whether the settings of the server must make new transactions read-only (`true`) or writable (`false`). Default:
    /// not judged. A standby is always read-only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
}

/// Role of a server in physical replication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerRole {
    /// The server is not in recovery.
    Primary,
    /// The server is in recovery: it replays the WAL of a primary or of an archive.
    Standby,
}

impl fmt::Display for ServerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
        })
    }
}

impl CheckKind<PostgresFacts> for PostgresRole {
    const NAME: &'static str = "role";
    const CATEGORY: Category = Category::Platform;
    const SEVERITY: Severity = Severity::Critical;
    const DOC: &'static str = include_str!("role.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        match (self.expected, self.read_only) {
            (ServerRole::Standby, Some(false)) => {
                Err(Invalid::at("read_only", "a standby is always read-only: remove `read_only`, or set it to true"))
            }
            _ => Ok(()),
        }
    }
}

impl Check<PostgresFacts> for PostgresRole {
    fn judge(&mut self, seen: &Observation<PostgresFacts>) -> Verdict {
        PostgresFacts::judge(seen, |server: &ServerFacts| {
            let found = if server.in_recovery { ServerRole::Standby } else { ServerRole::Primary };
            if found != self.expected {
                return self.wrong_role(found);
            }
            match self.judged_read_only() {
                Some(expected) => {
                    PostgresFacts::judge(seen, |defaults: &WriteDefaults| judge_defaults(defaults, expected))
                }
                None => Verdict::new(Outcome::Pass, format!("the server is a {found}")),
            }
        })
    }

    fn requested_facts(&self) -> Vec<PostgresRequest> {
        let mut sections = vec![ServerFacts::REQUEST];
        sections.extend(self.judged_read_only().map(|_| WriteDefaults::REQUEST));
        sections
    }
}

impl PostgresRole {
    /// The expectation about the settings of the server. Settings don't change that a standby is read-only.
    fn judged_read_only(&self) -> Option<bool> {
        self.read_only.filter(|_| self.expected == ServerRole::Primary)
    }

    fn wrong_role(&self, found: ServerRole) -> Verdict {
        let expected = self.expected;
        let advice = match expected {
            ServerRole::Primary => "promote the server, or point the probe at the primary",
            ServerRole::Standby => {
                "make sure that only one primary takes writes, then rebuild the server as a standby, or point the \
                 probe at the standby"
            }
        };
        let text = format!("the server is a {found}, and a {expected} is expected: {advice}");
        Verdict::new(Outcome::Fail(Reason::Status), text)
    }
}

/// Judges the settings of a primary.
fn judge_defaults(defaults: &WriteDefaults, expected: bool) -> Verdict {
    let (found, place) = defaults.read_only();
    let state = |read_only| if read_only { "read-only" } else { "writable" };
    if found == expected {
        let text = format!("the server is a primary, and new transactions are {}", state(found));
        return Verdict::new(Outcome::Pass, text);
    }
    let (source, statement) = match place {
        WriteSetting::Database => {
            let name = text::bounded_name(&*defaults.database).replace('"', "\"\"");
            ("a setting of the database", format!("ALTER DATABASE \"{name}\""))
        }
        WriteSetting::AllRoles => ("a setting of all roles", "ALTER ROLE ALL".to_owned()),
        WriteSetting::Files => ("the configuration files", "ALTER SYSTEM".to_owned()),
        WriteSetting::Default => ("default", "ALTER SYSTEM".to_owned()),
    };
    let value = if expected { "on" } else { "off" };
    let text = format!(
        "the server is a primary, and new transactions are {} by {source}, but {} is expected: {statement} SET \
         default_transaction_read_only = {value}",
        state(found),
        state(expected),
    );
    Verdict::new(Outcome::Fail(Reason::Status), text)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use jiff::Timestamp;
    use serde_json::{from_value, json};

    use super::*;
    use crate::{
        model::failure::Failure,
        probes::postgres::facts::{
            SectionReading,
            fixture::{observation, seen, server},
        },
    };

    const AT: Timestamp = Timestamp::UNIX_EPOCH;
    const TIMING: Timing = Timing {
        interval: Duration::from_secs(10),
        retry_interval: Duration::from_secs(10),
        timeout: Duration::from_secs(5),
    };

    fn check(settings: serde_json::Value) -> PostgresRole {
        from_value(settings).unwrap()
    }

    fn with_defaults(in_recovery: bool, result: Result<WriteDefaults, Failure>) -> Observation<PostgresFacts> {
        let mut seen = seen(AT, server(in_recovery));
        let result = result.map(|defaults| Arc::new(defaults) as Arc<_>);
        let reading = SectionReading { name: WriteDefaults::SPEC.name.into(), at: AT, result };
        seen.facts.as_mut().unwrap().sections.push(reading);
        seen
    }

    fn defaults(
        in_database: Option<bool>,
        for_all_roles: Option<bool>,
        in_files: Option<bool>,
    ) -> Result<WriteDefaults, Failure> {
        Ok(WriteDefaults { database: "or\"ders".into(), in_database, for_all_roles, in_files })
    }

    #[test]
    fn the_server_has_the_expected_role() {
        let fail = Outcome::Fail(Reason::Status);
        for (expected, in_recovery, outcome, words) in [
            ("primary", false, Outcome::Pass, "the server is a primary"),
            ("standby", true, Outcome::Pass, "the server is a standby"),
            ("primary", true, fail, "the server is a standby, and a primary is expected: promote the server"),
            ("standby", false, fail, "the server is a primary, and a standby is expected: make sure that only one"),
        ] {
            let verdict = check(json!({"expected": expected})).judge(&seen(AT, server(in_recovery)));
            assert_eq!(verdict.outcome, outcome, "{expected} {in_recovery}");
            assert!(verdict.summary.starts_with(words), "{}", verdict.summary);
        }
        let standby = json!({"expected": "standby", "read_only": true});
        assert_eq!(check(standby).judge(&seen(AT, server(true))).outcome, Outcome::Pass);
    }

    #[test]
    fn settings_that_make_a_primary_read_only_are_judged() {
        let fail = Outcome::Fail(Reason::Status);
        for (read_only, defaults, outcome, words) in [
            (false, defaults(None, None, None), Outcome::Pass, "new transactions are writable"),
            (true, defaults(None, None, Some(true)), Outcome::Pass, "new transactions are read-only"),
            (false, defaults(None, Some(false), Some(true)), Outcome::Pass, "writable"),
            (
                false,
                defaults(None, None, Some(true)),
                fail,
                "are read-only by the configuration files, but writable is expected: ALTER SYSTEM SET \
                 default_transaction_read_only = off",
            ),
            (false, defaults(None, Some(true), None), fail, "by a setting of all roles, but writable is expected"),
            (false, defaults(Some(true), None, None), fail, "ALTER DATABASE \"or\"\"ders\" SET default_transaction"),
            (true, defaults(None, None, None), fail, "are writable by default, but read-only is expected"),
        ] {
            let verdict =
                check(json!({"expected": "primary", "read_only": read_only})).judge(&with_defaults(false, defaults));
            assert_eq!(verdict.outcome, outcome, "{words}");
            assert!(verdict.summary.contains(words), "{}", verdict.summary);
        }
    }

    #[test]
    fn missing_facts_are_unknown_and_a_wrong_role_is_known_without_them() {
        let denied = || Err(Failure::new(Reason::Permission, "denied"));
        let settings = json!({"expected": "primary", "read_only": false});
        let outcome = |seen: &Observation<PostgresFacts>| check(settings.clone()).judge(seen).outcome;
        assert_eq!(outcome(&with_defaults(false, denied())), Outcome::Unknown(Reason::Permission));
        assert_eq!(outcome(&with_defaults(true, denied())), Outcome::Fail(Reason::Status));
        let reading = SectionReading {
            name: ServerFacts::SPEC.name.into(),
            at: AT,
            result: Err(Failure::new(Reason::Timeout, "late")),
        };
        assert_eq!(outcome(&observation(AT, reading)), Outcome::Unknown(Reason::Timeout));
    }

    #[test]
    fn only_the_needed_sections_are_requested_and_a_writable_standby_is_refused() {
        let names = |settings| -> Vec<_> {
            check(settings).requested_facts().iter().filter_map(|request| Some(request.section()?.name())).collect()
        };
        assert_eq!(names(json!({"expected": "primary"})), ["server"]);
        assert_eq!(names(json!({"expected": "standby", "read_only": true})), ["server"]);
        assert_eq!(names(json!({"expected": "primary", "read_only": false})), ["server", "write_defaults"]);
        let writable = check(json!({"expected": "standby", "read_only": false}));
        assert_eq!(writable.validate(&TIMING).unwrap_err().key, Some("read_only"));
        assert!(check(json!({"expected": "primary", "read_only": true})).validate(&TIMING).is_ok());
        for bad in [json!({}), json!({"expected": "replica"}), json!({"expected": "primary", "readonly": true})] {
            assert!(from_value::<PostgresRole>(bad.clone()).is_err(), "{bad}");
        }
    }
}
