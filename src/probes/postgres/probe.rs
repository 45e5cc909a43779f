//! A run: the sections that are due, in one round trip on the kept connection.

use std::{borrow::Cow, collections::BTreeMap};

use jiff::Timestamp;
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::{
    Postgres,
    facts::{PostgresFacts, PostgresRequest, Section, SectionEntry, SectionReading, server::ServerFacts},
    session::Session,
};
use crate::{
    io::{context::Context, kept::Renewal},
    model::{failure::Failure, observation::Incomplete, units::Unit, words::Reason},
    probe::Probe,
};

/// A `postgres` probe that is ready to run.
#[derive(Debug)]
pub struct PostgresProbe {
    settings: Postgres,
    host: Option<String>,
    /// `server`, which `explain` always shows, and the requested sections, each once.
    sections: Vec<SectionEntry>,
    renewal: Renewal,
    link: Mutex<PostgresLink>,
}

/// The state that one run leaves for the next.
#[derive(Debug, Default)]
struct PostgresLink {
    session: Option<Session>,
    backoff: Backoff,
    latest: Latest,
}

impl PostgresProbe {
    pub(super) fn new(settings: Postgres, host: Option<String>, requests: Vec<PostgresRequest>) -> Self {
        let judges_certificate = requests.iter().any(|request| matches!(request, PostgresRequest::Certificates));
        let renewal = Renewal::from_settings(settings.max_connection_age, judges_certificate);
        let mut sections = vec![ServerFacts::ENTRY];
        for section in requests.iter().filter_map(PostgresRequest::section).cloned() {
            match sections.iter_mut().find(|known| known.name() == section.name()) {
                // Of two checks with the same query, the shorter cadence counts.
                Some(known) if section.every() < known.every() => *known = section,
                Some(_) => {}
                None => sections.push(section),
            }
        }
        Self { settings, host, sections, renewal, link: Mutex::default() }
    }

    /// Reads the sections that are due. The run fails only if the server answers no statement at all: a section that
    /// fails alone concerns only the checks that request it.
    async fn read_due_sections(
        &self,
        cx: &Context,
        session: &mut Session,
        latest: &mut Latest,
    ) -> Result<PostgresFacts, Failure> {
        session.begin_run();
        let is_new = session.version().is_none();
        if is_new {
            let server = latest.read_server(cx, session).await?;
            session.register_server(&server)?;
        }
        let due = latest.due_sections(&self.sections, is_new);
        let is_answered = is_new | latest.read_sections(cx, session, &due).await?;
        if !is_answered {
            latest.read_server(cx, session).await?;
        }
        Ok(PostgresFacts {
            encrypted: session.is_encrypted(),
            pooled: session.is_pooled(),
            certificates: session.certificates(),
            sections: latest.readings(&self.sections),
        })
    }
}

impl Probe for PostgresProbe {
    type Facts = PostgresFacts;

    fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    async fn observe(&self, cx: &Context) -> Result<PostgresFacts, Incomplete<PostgresFacts>> {
        let mut link = self.link.lock().await;
        let PostgresLink { session: kept, backoff, latest } = &mut *link;
        // The session is taken out: any failure from here on, and a dropped run, ends the connection.
        if let Some(mut session) = kept.take()
            && session.admits_run(cx, self.renewal).await
        {
            match self.read_due_sections(cx, &mut session, latest).await {
                Ok(facts) => {
                    *kept = Some(session).filter(|session| !session.is_busy());
                    return Ok(facts);
                }
                // The server restarted or closed this connection between two runs. A new connection shows whether the
                // server is available now.
                Err(failure) if session.is_lost() || failure.reason == Reason::Canceled => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        backoff.begin_attempt(Instant::now())?;
        let mut presented = None;
        // Connecting takes far more memory than a run on a kept connection, so only a run that connects allocates it.
        let connected = Box::pin(async {
            let target = self.settings.current_target(cx).await?;
            let mut session = Session::open(cx, target, &mut presented).await?;
            let facts = self.read_due_sections(cx, &mut session, latest).await?;
            Ok((session, facts))
        });
        match connected.await {
            Ok((session, facts)) => {
                *kept = Some(session).filter(|session| !session.is_busy());
                *backoff = Backoff::default();
                Ok(facts)
            }
            Err(failure) => {
                backoff.last = Some(Failure::clone(&failure));
                // A certificate that is not accepted is a fact for the check `certificate`.
                let facts = presented.map(|certificates| PostgresFacts {
                    encrypted: false,
                    pooled: false,
                    certificates: Some(certificates),
                    sections: Vec::new(),
                });
                Err(Incomplete { failure, facts })
            }
        }
    }
}

/// The latest reading of each section, with the time of the attempt.
#[derive(Debug, Default)]
struct Latest(BTreeMap<Cow<'static, str>, (Instant, SectionReading)>);

/// The time after which a failed section with a longer cadence is read again.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);

impl Latest {
    /// The sections to read now, cheap ones first: the server executes the statements in this order. At least one, so
    /// that each run proves that the server answers; on a new session, `server` has proved it.
    fn due_sections(&self, sections: &[SectionEntry], is_new: bool) -> Vec<SectionEntry> {
        let mut due: Vec<_> = sections.iter().filter(|section| self.is_due(section)).cloned().collect();
        let is_proof = |section: &SectionEntry| section.every().is_none() || section.name() == ServerFacts::SPEC.name;
        if !is_new && !due.iter().any(is_proof) {
            due.push(ServerFacts::ENTRY);
        }
        due.sort_by_key(SectionEntry::every);
        due
    }

    fn is_due(&self, section: &SectionEntry) -> bool {
        let Some(every) = section.every() else { return true };
        self.0.get(&section.name()).is_none_or(|(attempt, reading)| {
            let wait = if reading.result.is_ok() { every } else { every.min(RETRY_INTERVAL) };
            attempt.elapsed() >= wait
        })
    }

    /// Reads sections. Returns whether the server answered one of them.
    async fn read_sections(
        &mut self,
        cx: &Context,
        session: &mut Session,
        due: &[SectionEntry],
    ) -> Result<bool, Failure> {
        let (attempt, at) = (Instant::now(), Timestamp::now());
        let mut keep = |section: &SectionEntry, result| {
            let name = section.name();
            self.0.insert(name.clone(), (attempt, SectionReading { name, at, result }));
        };
        // The result if the run is dropped meanwhile: the statement is not repeated at once.
        for section in due.iter().filter(|section| section.every().is_some()) {
            keep(section, Err(Failure::new(Reason::Timeout, "the last execution did not end in time")));
        }
        let mut is_answered = false;
        for (section, result) in due.iter().zip(session.read(cx, due).await?) {
            is_answered |= result.is_ok();
            keep(section, result);
        }
        Ok(is_answered)
    }

    /// Reads the section `server`.
    async fn read_server(&mut self, cx: &Context, session: &mut Session) -> Result<ServerFacts, Failure> {
        self.read_sections(cx, session, &[ServerFacts::ENTRY]).await?;
        let sections = self.readings(&[ServerFacts::ENTRY]);
        let facts = PostgresFacts {
            encrypted: session.is_encrypted(),
            pooled: session.is_pooled(),
            certificates: None,
            sections,
        };
        facts.section::<ServerFacts>().map(|(server, _)| server.clone())
    }

    fn readings(&self, sections: &[SectionEntry]) -> Vec<SectionReading> {
        sections.iter().filter_map(|section| Some(self.0.get(&section.name())?.1.clone())).collect()
    }
}

/// Bounds the rate of attempts to connect. The second attempt has no delay; later ones follow up to ten seconds after
/// the previous attempt. Only short retry intervals are affected.
#[derive(Debug, Default)]
struct Backoff {
    attempts: u32,
    next: Option<Instant>,
    last: Option<Failure>,
}

const MAX_BACKOFF: Duration = Duration::from_secs(10);

impl Backoff {
    /// Registers an attempt. If it is too early, returns the failure of the last attempt.
    fn begin_attempt(&mut self, now: Instant) -> Result<(), Failure> {
        if let (Some(next), Some(last)) = (self.next, &self.last)
            && next > now
        {
            let wait = Unit::Seconds.format_value((next - now).as_secs_f64());
            return Err(Failure::new(last.reason, format!("{last}; next attempt to connect in {wait}")));
        }
        self.attempts = self.attempts.saturating_add(1);
        let wait = match self.attempts {
            1 => Duration::ZERO,
            n => Duration::from_secs(1 << (n - 2).min(8)).min(MAX_BACKOFF),
        };
        self.next = Some(now + wait);
        // The failure of this attempt if the run is dropped before its end.
        self.last = Some(Failure::new(Reason::Timeout, "the last attempt to connect did not end in time"));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_attempt_is_prompt_and_later_ones_are_spaced() {
        let mut backoff = Backoff::default();
        let mut now = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..7 {
            let mut wait = 0;
            while let Err(failure) = backoff.begin_attempt(now) {
                assert_eq!(failure.reason, Reason::Refused);
                assert!(failure.detail.starts_with("no; next attempt"), "{failure}");
                now += Duration::from_millis(500);
                wait += 500;
            }
            backoff.last = Some(Failure::new(Reason::Refused, "no"));
            waits.push(wait);
        }
        assert_eq!(waits, [0, 0, 1_000, 2_000, 4_000, 8_000, 10_000]);
    }
}
