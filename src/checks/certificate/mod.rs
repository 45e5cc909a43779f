#![doc = include_str!("certificate.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    io::tls::{self, Certificate, Certificates, meaning::DISTRUSTED},
    kind::CheckKind,
    model::{
        check::Check,
        failure::Invalid,
        limit::Min,
        measure::{Measure, MeasureInfo},
        observation::{Facts, Observation, Timing},
        text::bounded_name,
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
    /// Minimum time until the server certificate, its issuers and the trusted authority expire.
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
        MeasureInfo::new(
            "issuer_remaining",
            Unit::Seconds,
            "Time until the first issuer on the path to the trusted authority expires, the authority included.",
        ),
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
        let issuer = certificates.first_expiring_issuer();
        let mut measures = vec![self.remaining_measure("remaining", leaf, now)];
        measures.extend(issuer.map(|issuer| self.remaining_measure("issuer_remaining", issuer, now)));
        if let Some((meaning, fault)) = self.find_error(certificates, now) {
            let verdict = Verdict::new(Outcome::Fail(Reason::Certificate), fault).with_meaning(meaning);
            return Verdict { measures, ..verdict };
        }
        let mut verdict = Verdict::from_measures(measures);
        let mut holders = vec![describe_end(leaf)];
        // The issuer is named only if it is the cause.
        let is_cause = |issuer: &&Certificate| verdict.outcome != Outcome::Pass && issuer.not_after < leaf.not_after;
        holders.extend(issuer.filter(is_cause).map(|issuer| format!("issuer {}", describe_end(issuer))));
        verdict.summary = format!("{} ({})", verdict.summary, holders.join("; "));
        if let Some(note) = unused_note(certificates, now) {
            verdict.summary = format!("{}; {note}", verdict.summary);
        }
        verdict
    }

    fn remaining_measure(&self, name: &'static str, certificate: &Certificate, now: f64) -> Measure {
        self.min_remaining.measure(name, epoch_seconds(certificate.not_after) - now)
    }

    /// Describes an error other than too little remaining time: a clause for alerts, and the finding. The certificates of
    /// the path count, and no others.
    fn find_error(&self, certificates: &Certificates, now: f64) -> Option<(&'static str, String)> {
        let all = || {
            std::iter::once(&certificates.leaf).chain(&certificates.issuers).chain(certificates.authority.as_deref())
        };
        if let Some(ended) = all().find(|one| epoch_seconds(one.not_after) < now) {
            let meaning = if std::ptr::eq(ended, &certificates.leaf) {
                "the certificate has expired"
            } else {
                "the certificate has an issuer certificate that has expired"
            };
            let fault = format!("the certificate of {} expired on {}", holder(ended), format_date(ended.not_after));
            return Some((meaning, fault));
        }
        if let Some(early) = all().find(|one| epoch_seconds(one.not_before) > now) {
            let (holder, start) = (holder(early), format_date(early.not_before));
            let fault = format!("the certificate of {holder} is not valid before {start}");
            return Some(("the certificate is not valid yet", fault));
        }
        if let Some(distrust) = certificates.distrust.as_ref().filter(|_| self.trusted) {
            return Some((certificates.distrust_meaning.unwrap_or(DISTRUSTED), distrust.clone()));
        }
        let leaf = &certificates.leaf;
        let missing = self.names.iter().find(|name| !leaf.covers(name))?;
        let all: Vec<_> =
            leaf.names.iter().map(bounded_name).chain(leaf.addresses.iter().map(ToString::to_string)).collect();
        let more = if all.len() > 5 { ", ..." } else { "" };
        let shown = if all.is_empty() {
            "no name at all".to_owned()
        } else {
            all.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ")
        };
        let fault = format!("the certificate does not cover {missing}; it is for {shown}{more}");
        Some(("the certificate does not cover a required name", fault))
    }
}

/// A note about certificates that the server sends, that have expired and that the path does not need. Clients that do
/// not look for another path may fail because of them.
fn unused_note(certificates: &Certificates, now: f64) -> Option<String> {
    let ended = certificates.unused.iter().find(|one| epoch_seconds(one.not_after) < now)?;
    Some(format!(
        "the server also sends a certificate of {} that is not needed and expired on {}",
        holder(ended),
        format_date(ended.not_after)
    ))
}

fn describe_end(certificate: &Certificate) -> String {
    format!("{}, until {}", holder(certificate), format_date(certificate.not_after))
}

fn holder(certificate: &Certificate) -> String {
    bounded_name(certificate.holder())
}

fn epoch_seconds(at: jiff::Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn format_date(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests;
