#![doc = include_str!("encryption.md")]

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    kind::CheckKind,
    model::{
        check::Check,
        limit::Max,
        measure::{Measure, MeasureInfo},
        observation::Observation,
        text::bounded_name,
        units::Unit,
        verdict::Verdict,
        words::{Category, Outcome, Reason, Severity},
    },
    probes::postgres::facts::{PostgresFacts, PostgresRequest, Section, encryption::EncryptionFacts},
};

/// Settings of `encryption`.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresEncryption {
    /// Oldest accepted TLS version of the session.
    pub min_version: TlsProtocol,
    /// Maximum number of clients of other hosts whose sessions are not encrypted. Default: not judged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_unencrypted_clients: Option<Max<u32>>,
}

/// TLS version of a session.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum TlsProtocol {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3.
    #[serde(rename = "1.3")]
    V13,
}

impl TlsProtocol {
    /// The version by the name that PostgreSQL shows; `None` for an older or unknown version.
    fn from_name(name: &str) -> Option<Self> {
        match name {
            "TLSv1.2" => Some(Self::V12),
            "TLSv1.3" => Some(Self::V13),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V12 => "TLSv1.2",
            Self::V13 => "TLSv1.3",
        }
    }
}

impl CheckKind<PostgresFacts> for PostgresEncryption {
    const NAME: &'static str = "encryption";
    const CATEGORY: Category = Category::Security;
    const SEVERITY: Severity = Severity::Warning;
    const MEASURES: &'static [MeasureInfo] = &[MeasureInfo::new(
        "unencrypted_clients",
        Unit::Number,
        "With `max_unencrypted_clients`: clients of other hosts without encryption.",
    )];
    const DOC: &'static str = include_str!("encryption.md");
}

impl Check<PostgresFacts> for PostgresEncryption {
    fn judge(&mut self, seen: &Observation<PostgresFacts>) -> Verdict {
        let ours = seen.facts.as_ref().map(|facts| (facts.encrypted, facts.pooled));
        let (encrypted, pooled) = ours.unwrap_or_default();
        PostgresFacts::judge(seen, |facts: &EncryptionFacts| self.verdict(facts, encrypted, pooled))
    }

    fn requested_facts(&self) -> Vec<PostgresRequest> {
        vec![EncryptionFacts::REQUEST]
    }

    fn limits(&self) -> Vec<Measure> {
        self.max_unencrypted_clients.iter().map(|limit| limit.unmeasured("unencrypted_clients")).collect()
    }
}

impl PostgresEncryption {
    fn verdict(&self, facts: &EncryptionFacts, encrypted: bool, pooled: bool) -> Verdict {
        let fail = |text: String| Verdict::new(Outcome::Fail(Reason::Tls), text);
        if !encrypted {
            let text =
                "the session of the probe is not encrypted: set `sslmode: verify-full`, and `ssl = on` on the server";
            return fail(text.to_owned());
        }
        if !facts.encrypted {
            let between = if pooled { "between the pooler and the server" } else { "as the server sees it" };
            return fail(format!("the session is not encrypted {between}: set `server_tls_sslmode` of the pooler"));
        }
        let protocol = facts.protocol.as_deref().unwrap_or("an unknown protocol");
        if TlsProtocol::from_name(protocol).is_none_or(|version| version < self.min_version) {
            let (protocol, needed) = (bounded_name(protocol), self.min_version.name());
            return fail(format!(
                "the session uses {protocol}, and at least {needed} is expected: set `ssl_min_protocol_version`"
            ));
        }
        let Some(limit) = self.max_unencrypted_clients else {
            let cipher = bounded_name(facts.cipher.as_deref().unwrap_or("an unknown cipher"));
            return Verdict::new(Outcome::Pass, format!("the session is encrypted with {protocol} and {cipher}"));
        };
        if !facts.sees_all {
            let role = bounded_name(&*facts.role);
            let text = format!(
                "role {role} can't see the encryption of other sessions: GRANT pg_read_all_stats TO {role}, or pg_monitor"
            );
            return Verdict::new(Outcome::Unknown(Reason::Permission), text);
        }
        let mut verdict =
            Verdict::from_measures(vec![limit.measure("unencrypted_clients", facts.unencrypted_clients as f64)]);
        if let Some(role) = &facts.unencrypted_role {
            verdict.summary.push_str(&format!(" (for example role {})", bounded_name(&**role)));
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> EncryptionFacts {
        EncryptionFacts {
            encrypted: true,
            protocol: Some("TLSv1.3".into()),
            cipher: Some("TLS_AES_256_GCM_SHA384".into()),
            unencrypted_clients: 2,
            unencrypted_role: Some("app".into()),
            sees_all: true,
            role: "monitor".into(),
        }
    }

    #[test]
    fn the_session_and_other_clients_are_judged() {
        let tls = Outcome::Fail(Reason::Tls);
        let old = |protocol: Option<&str>| EncryptionFacts { protocol: protocol.map(Into::into), ..facts() };
        let blind = EncryptionFacts { sees_all: false, ..facts() };
        for (settings, facts, encrypted, outcome, part) in [
            (json!({}), facts(), true, Outcome::Pass, "encrypted with TLSv1.3 and TLS_AES_256_GCM_SHA384"),
            (json!({}), facts(), false, tls, "set `sslmode: verify-full`"),
            (json!({}), EncryptionFacts { encrypted: false, ..facts() }, true, tls, "as the server sees it"),
            (json!({}), old(Some("TLSv1.2")), true, Outcome::Pass, "TLSv1.2"),
            (json!({"min_version": "1.3"}), old(Some("TLSv1.2")), true, tls, "at least TLSv1.3 is expected"),
            (json!({}), old(Some("TLSv1.1")), true, tls, "the session uses TLSv1.1"),
            (json!({}), old(None), true, tls, "an unknown protocol"),
            (json!({"max_unencrypted_clients": 2}), facts(), true, Outcome::Pass, "unencrypted_clients is 2"),
            (
                json!({"max_unencrypted_clients": 0}),
                facts(),
                true,
                Outcome::Fail(Reason::Limit),
                "above the limit of 0 (for example role app)",
            ),
            (
                json!({"max_unencrypted_clients": 5}),
                blind,
                true,
                Outcome::Unknown(Reason::Permission),
                "GRANT pg_read_all_stats TO monitor",
            ),
        ] {
            let check: PostgresEncryption = serde_json::from_value(settings.clone()).unwrap();
            let verdict = check.verdict(&facts, encrypted, false);
            assert_eq!(verdict.outcome, outcome, "{settings}: {}", verdict.summary);
            assert!(verdict.summary.contains(part), "{settings}: {}", verdict.summary);
        }
        assert!(serde_json::from_value::<PostgresEncryption>(json!({"min_version": "1.1"})).is_err());
    }
}
