//! The facts of a run: sections, each with its own file.
//!
//! A check requests sections (`Check::requested_facts`), and a run executes the statements of the requested sections
//! only. A new section is a file with its SQL, its struct, its decoding and its requirements, and a `mod` line here; no
//! list of sections exists.

pub mod connections;
pub mod encryption;
pub mod query;
pub mod replication;
pub mod roles;
mod section;
pub mod server;
pub mod write_defaults;

use std::{borrow::Cow, sync::Arc};

use jiff::Timestamp;
use serde::{
    Serialize, Serializer,
    ser::{Error, SerializeMap},
};

pub use self::section::{PostgresRequest, Section, SectionData, SectionEntry, SectionSpec, Statement};
pub(super) use self::section::{column, first_row, json_list};
use crate::{
    checks::certificate::Certified,
    io::tls::Certificates,
    model::{
        failure::Failure,
        metric::Sample,
        observation::{Facts, Observation},
        units::Period,
        verdict::Verdict,
        words::Reason,
    },
};

/// The facts of one run: the requested sections, each with its result and its observation time.
#[derive(Debug)]
pub struct PostgresFacts {
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// Whether a pooler is between this program and the server: it did not apply the settings of the session, so each
    /// statement has a transaction of its own that sets them.
    pub pooled: bool,
    /// Certificates of an encrypted connection, as the server presented them when it was established.
    pub certificates: Option<Arc<Certificates>>,
    /// The requested sections.
    pub sections: Vec<SectionReading>,
}

/// The result of a section's statement.
#[derive(Debug, Clone)]
pub struct SectionReading {
    /// The section's name.
    pub name: Cow<'static, str>,
    /// The time of the observation. A section with a cadence of its own may be older than the run.
    pub at: Timestamp,
    /// The decoded section, or the reason why it is missing.
    pub result: Result<Arc<dyn SectionData>, Failure>,
}

impl Facts for PostgresFacts {
    type Request = PostgresRequest;

    fn samples(&self) -> Vec<Sample> {
        self.certificates.as_ref().map(|certificates| certificates.samples()).unwrap_or_default()
    }
}

impl Certified for PostgresFacts {
    fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_deref()
    }
    fn certificates_request() -> PostgresRequest {
        PostgresRequest::Certificates
    }
}

impl PostgresFacts {
    /// A section with its observation time.
    ///
    /// # Errors
    /// The section's own failure; `internal` when the check did not request the section.
    pub fn section<S: Section>(&self) -> Result<(&S, Timestamp), Failure> {
        self.section_named(S::SPEC.name)
    }

    fn section_named<T: SectionData>(&self, name: &str) -> Result<(&T, Timestamp), Failure> {
        let missing = || Failure::new(Reason::Internal, format!("the section `{name}` was not requested"));
        let reading = self.sections.iter().find(|reading| reading.name == name).ok_or_else(missing)?;
        let data: &dyn std::any::Any = reading.result.as_ref().map_err(Failure::clone)?.as_ref();
        Ok((data.downcast_ref().ok_or_else(missing)?, reading.at))
    }

    /// Judges one section. A failed run and a failed section are `unknown` with the reason of the failure; the finding
    /// on a section that is older than the run states the age of the section.
    pub fn judge<S: Section>(seen: &Observation<Self>, judge: impl FnOnce(&S) -> Verdict) -> Verdict {
        Self::judge_named(seen, S::SPEC.name, judge)
    }

    /// Like [`PostgresFacts::judge`], for a section that only its name identifies.
    pub fn judge_named<T: SectionData>(
        seen: &Observation<Self>,
        name: &str,
        judge: impl FnOnce(&T) -> Verdict,
    ) -> Verdict {
        let facts = match (&seen.failure, &seen.facts) {
            (None, Some(facts)) => facts,
            (Some(failure), _) => return Verdict::not_measured(failure),
            (None, None) => return Verdict::not_measured(&Failure::new(Reason::Internal, "no facts")),
        };
        let (section, at) = match facts.section_named(name) {
            Ok(section) => section,
            Err(failure) => return Verdict::not_measured(&failure),
        };
        let mut verdict = judge(section);
        if at < seen.at {
            let age = Period(std::time::Duration::from_secs(seen.at.duration_since(at).unsigned_abs().as_secs()));
            verdict.summary.push_str(&format!(" (observed {age} ago)"));
        }
        verdict
    }
}

impl Serialize for PostgresFacts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry("encrypted", &self.encrypted)?;
        map.serialize_entry("pooled", &self.pooled)?;
        if let Some(certificates) = &self.certificates {
            map.serialize_entry("certificates", certificates)?;
        }
        for reading in &self.sections {
            match &reading.result {
                Ok(data) => map.serialize_entry(&*reading.name, &data.to_json().map_err(S::Error::custom)?)?,
                Err(Failure { reason, detail, .. }) => {
                    map.serialize_entry(&*reading.name, &serde_json::json!({"failure": reason, "detail": detail}))?;
                }
            }
        }
        let observed: serde_json::Map<_, _> = self
            .sections
            .iter()
            .map(|reading| (reading.name.clone().into_owned(), reading.at.to_string().into()))
            .collect();
        map.serialize_entry("observed", &observed)?;
        map.end()
    }
}

#[cfg(test)]
pub(super) mod fixture {
    use super::*;

    /// The observation of a run that brought one section.
    pub(in crate::probes::postgres) fn seen<S: Section>(at: Timestamp, section: S) -> Observation<PostgresFacts> {
        observation(at, SectionReading { name: S::SPEC.name.into(), at, result: Ok(Arc::new(section)) })
    }

    /// Facts of a server of version 15.1.
    pub(in crate::probes::postgres) fn server(in_recovery: bool) -> server::ServerFacts {
        let role = server::Role {
            name: "monitor".into(),
            superuser: false,
            create_role: false,
            create_db: false,
            replication: false,
            bypass_rls: false,
            connection_limit: None,
        };
        server::ServerFacts {
            version: "15.1".into(),
            version_number: 150_001,
            in_recovery,
            role,
            session: server::SessionSettings::default(),
        }
    }

    pub(in crate::probes::postgres) fn observation(
        at: Timestamp,
        reading: SectionReading,
    ) -> Observation<PostgresFacts> {
        use crate::model::observation::Timing;
        use std::time::Duration;
        const SECONDS: Duration = Duration::from_secs(10);
        Observation {
            at,
            duration: Duration::ZERO,
            timing: Timing { interval: SECONDS, retry_interval: SECONDS, timeout: SECONDS },
            phases: Vec::new(),
            facts: Some(PostgresFacts { encrypted: true, pooled: false, certificates: None, sections: vec![reading] }),
            failure: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        fixture::{observation, seen, server},
        server::ServerFacts,
        *,
    };
    use crate::model::words::Outcome;

    fn pass(_: &ServerFacts) -> Verdict {
        Verdict::new(Outcome::Pass, "good")
    }

    #[test]
    fn a_finding_on_an_older_section_states_its_age() {
        let at: Timestamp = "2026-01-01T00:10:00Z".parse().unwrap();
        let mut seen = seen(at, server(false));
        assert_eq!(PostgresFacts::judge(&seen, pass).summary, "good");
        seen.facts.as_mut().unwrap().sections[0].at = "2026-01-01T00:05:00Z".parse().unwrap();
        assert_eq!(PostgresFacts::judge(&seen, pass).summary, "good (observed 5m ago)");
        let shown = serde_json::to_value(seen.facts.unwrap()).unwrap();
        assert_eq!(shown["observed"]["server"], "2026-01-01T00:05:00Z");
        assert_eq!(shown["server"]["version_number"], 150_001);
    }

    #[test]
    fn a_failed_section_makes_its_checks_unknown_with_its_own_reason() {
        let at = Timestamp::UNIX_EPOCH;
        let failure = Failure::new(Reason::Permission, "denied");
        let seen = observation(at, SectionReading { name: "server".into(), at, result: Err(failure) });
        let verdict = PostgresFacts::judge(&seen, pass);
        assert_eq!(
            (verdict.outcome, &*verdict.summary),
            (Outcome::Unknown(Reason::Permission), "not measured: denied")
        );
        let shown = serde_json::to_value(seen.facts.unwrap()).unwrap();
        assert_eq!(shown["server"], serde_json::json!({"failure": "permission", "detail": "denied"}));
    }
}
