#![doc = include_str!("certificate.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    io::tls::{self, Certificate, Certificates},
    kind::CheckKind,
    model::{
        check::Check,
        failure::Invalid,
        limit::Min,
        measure::{Measure, MeasureInfo},
        observation::{Facts, Observation, Timing},
        units::{Period, Unit},
        verdict::Verdict,
        words::{Alert, Category, Outcome, Reason, Severity},
    },
};

/// Facts that may contain certificates.
pub trait Certified: Facts {
    /// Certificates that the server presented, accepted or not.
    fn certificates(&self) -> Option<&Certificates>;
    /// Request for certificates. A probe rejects it if its connections are never encrypted.
    fn certificates_request() -> Self::Request;
}

/// Requirements on the certificates that a server presents.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateCheck {
    /// Minimum time until the server certificate and its issuer certificates expire.
    min_remaining: Min<Period>,
    /// Additional names and IP addresses that the server certificate must cover.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    names: Vec<String>,
    /// Whether the chain must be trusted: signed by a known authority and issued for the requested name.
    trusted: bool,
}

const DAY: u64 = 86_400;

impl Default for CertificateCheck {
    fn default() -> Self {
        let days = |days| Period(std::time::Duration::from_secs(days * DAY));
        Self {
            min_remaining: Min::two_steps(days(21), days(7)).unwrap_or(Min::single(days(7))),
            names: Vec::new(),
            trusted: true,
        }
    }
}

impl<F: Certified> CheckKind<F> for CertificateCheck {
    const NAME: &'static str = "certificate";
    const CATEGORY: Category = Category::Security;
    const SEVERITY: Severity = Severity::Critical;
    const MEASURES: &'static [MeasureInfo] = &[
        MeasureInfo::new("remaining", Unit::Seconds, "Time until the leaf certificate expires."),
        MeasureInfo::new("issuer_remaining", Unit::Seconds, "Time until the first issuer certificate expires."),
    ];
    const ALERT: Alert = Alert::CertificateExpiring;
    const DOC: &'static str = include_str!("certificate.md");

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        for name in &self.names {
            let bare = name.strip_prefix("*.").unwrap_or(name);
            tls::server_name(bare).map_err(|failure| Invalid::at("names", failure.detail))?;
        }
        Ok(())
    }
}

impl<F: Certified> Check<F> for CertificateCheck {
    fn judge(&mut self, seen: &Observation<F>) -> Verdict {
        match (seen.facts.as_ref().and_then(Certified::certificates), &seen.failure) {
            (Some(certificates), _) => self.verdict(certificates, seen.epoch_seconds()),
            (None, Some(failure)) => Verdict::not_measured(failure),
            (None, None) => Verdict::new(Outcome::Unknown(Reason::Empty), "no certificate was presented"),
        }
    }

    fn requested_facts(&self) -> Vec<F::Request> {
        vec![F::certificates_request()]
    }

    fn limits(&self) -> Vec<Measure> {
        vec![self.min_remaining.unmeasured("remaining"), self.min_remaining.unmeasured("issuer_remaining")]
    }
}

impl CertificateCheck {
    fn verdict(&self, certificates: &Certificates, now: f64) -> Verdict {
        let leaf = &certificates.leaf;
        let mut measures = vec![self.remaining_measure("leaf", leaf, now)];
        measures
            .extend(certificates.first_expiring_issuer().map(|issuer| self.remaining_measure("issuer", issuer, now)));
        match self.find_error(certificates, now) {
            Some(fault) => Verdict { measures, ..Verdict::new(Outcome::Fail(Reason::Certificate), fault) },
            None => {
                let mut verdict = Verdict::from_measures(measures);
                verdict.summary =
                    format!("{} ({}, until {})", verdict.summary, holder(leaf), format_date(leaf.not_after));
                verdict
            }
        }
    }

    fn remaining_measure(&self, position: &'static str, certificate: &Certificate, now: f64) -> Measure {
        let name = if position == "leaf" { "remaining" } else { "issuer_remaining" };
        self.min_remaining.measure(name, certificate.not_after.as_duration().as_secs_f64() - now)
    }

    /// Describes an error other than too little remaining time.
    fn find_error(&self, certificates: &Certificates, now: f64) -> Option<String> {
        let all = || std::iter::once(&certificates.leaf).chain(&certificates.issuers);
        let epoch = |at: jiff::Timestamp| at.as_duration().as_secs_f64();
        if let Some(ended) = all().find(|one| epoch(one.not_after) < now) {
            return Some(format!("the certificate of {} expired on {}", holder(ended), format_date(ended.not_after)));
        }
        if let Some(early) = all().find(|one| epoch(one.not_before) > now) {
            return Some(format!(
                "the certificate of {} is not valid before {}",
                holder(early),
                format_date(early.not_before)
            ));
        }
        if let Some(distrust) = certificates.distrust.as_ref().filter(|_| self.trusted) {
            return Some(distrust.clone());
        }
        let missing = self.names.iter().find(|name| !certificates.leaf.covers(name))?;
        let (names, more) = (&certificates.leaf.names, if certificates.leaf.names.len() > 5 { ", ..." } else { "" });
        let shown: Vec<_> = names.iter().take(5).map(String::as_str).collect();
        Some(format!("the certificate does not cover {missing}; it is for {}{more}", shown.join(", ")))
    }
}

fn holder(certificate: &Certificate) -> &str {
    let first = certificate.names.first().map(String::as_str);
    first.unwrap_or(if certificate.subject.is_empty() { "a nameless holder" } else { &certificate.subject })
}

fn format_date(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests;
