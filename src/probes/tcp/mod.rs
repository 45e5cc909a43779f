#![doc = include_str!("tcp.md")]

mod checks;
mod dialogue;
mod facts;
mod inbox;
mod probe;
mod starttls;

use std::{borrow::Cow, sync::Arc};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use self::dialogue::{DialogueAction, Payload};
pub use self::{
    dialogue::DialogueStep,
    facts::{TcpFactRequest, TcpFacts},
    probe::TcpProbe,
    starttls::StartTls,
};
pub use crate::io::address::Address;
use crate::{
    io::{dial::AddressFamily, resources::Resources, tls::Tls},
    kind::{CheckEntry, Kind},
    model::{
        failure::Invalid, observation::Timing, pattern::LinePattern, redaction::SentSecrets, secret::Secret,
        words::Phase,
    },
};

/// Settings of a `tcp` probe.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tcp {
    /// Address of the server, `host:port`. An IPv6 address is written in brackets, with a zone as in
    /// `[fe80::1%eth0]:22`.
    pub address: Address,
    /// TLS settings. If present, the connection is encrypted from its beginning, or from `starttls` on; `{}` uses the
    /// defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Protocol whose command starts TLS on an unencrypted connection. The settings of `tls` apply. `send`, `expect` and
    /// `steps` follow after the TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starttls: Option<StartTls>,
    /// Text to send after connecting, byte for byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<Secret>,
    /// Regular expression that must match the first 64 KiB of the response. `^` and `$` match at the beginning and at
    /// the end of each line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<LinePattern>,
    /// Steps of a dialogue, instead of `send` and `expect`. Each step has one key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<DialogueStep>,
    /// Whether the port must be closed. With `true`, the run passes only if every address of the server refuses the
    /// connection. With `or_silent`, the run also passes if no address answers, as behind a firewall that drops packets.
    #[serde(default, skip_serializing_if = "Closed::is_no")]
    pub closed: Closed,
    /// Address family of the connection.
    #[serde(default)]
    pub address_family: AddressFamily,
}

/// Whether a port must be closed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Closed {
    /// The port must accept connections.
    #[default]
    No,
    /// The port must refuse connections.
    Refused,
    /// The port must refuse connections or not answer.
    OrSilent,
}

impl Closed {
    fn is_no(&self) -> bool {
        *self == Self::No
    }
}

impl Kind for Tcp {
    const NAME: &'static str = "tcp";
    const PHASES: &'static [Phase] = &[Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Request, Phase::Response];
    const DOC: &'static str = include_str!("tcp.md");
    const CHECKS: &'static [CheckEntry<TcpFacts>] = checks::CHECKS;
    type Probe = TcpProbe;

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        let is_dialogue = self.send.is_some() || self.expect.is_some();
        if is_dialogue && !self.steps.is_empty() {
            return Err(Invalid::at("steps", "`steps` replaces `send` and `expect`: write them as steps"));
        }
        if self.closed != Closed::No
            && (self.tls.is_some() || self.starttls.is_some() || is_dialogue || !self.steps.is_empty())
        {
            return Err(Invalid::at(
                "closed",
                "a closed port has no TLS and no dialogue: remove `closed`, or `tls`, `starttls`, `send`, `expect` and \
                 `steps`",
            ));
        }
        if self.starttls.is_some() && self.steps.iter().any(|step| step.starttls) {
            return Err(Invalid::at(
                "starttls",
                "`starttls` already starts TLS: remove it, or the step with `starttls`",
            ));
        }
        self.actions()?;
        self.tls.as_ref().map_or(Ok(()), Tls::validate)
    }

    fn validate_requests(&self, requests: &[TcpFactRequest]) -> Result<(), Invalid> {
        let is_encrypted = self.tls.is_some() || self.starttls.is_some() || self.steps.iter().any(|step| step.starttls);
        if !is_encrypted && requests.contains(&TcpFactRequest::Certificates) {
            return Err(Invalid::at(
                "address",
                "a `certificate` check needs an encrypted connection: add `tls: {}` or `starttls`",
            ));
        }
        Ok(())
    }

    fn target(&self) -> Option<String> {
        Some(self.address.to_string())
    }

    fn sent_secrets(&self) -> SentSecrets {
        let mut secrets = SentSecrets::default();
        let steps = self.steps.iter().flat_map(|step| [&step.send, &step.send_bytes]);
        steps.chain([&self.send]).flatten().for_each(|send| secrets.add_sent_text(send.expose()));
        secrets
    }

    fn build(self, _requests: Vec<TcpFactRequest>, _shared: &Arc<Resources>) -> Result<TcpProbe, Invalid> {
        let actions = self.actions()?;
        Ok(TcpProbe::new(self, actions))
    }
}

impl Tcp {
    fn actions(&self) -> Result<Vec<DialogueAction>, Invalid> {
        let mut actions = dialogue::compile(&self.steps)?;
        actions.extend(self.send.clone().map(|text| DialogueAction::Send(Payload::Plain(text))));
        actions.extend(self.expect.clone().map(DialogueAction::Expect));
        Ok(actions)
    }
}

impl Serialize for Closed {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::No => to.serialize_bool(false),
            Self::Refused => to.serialize_bool(true),
            Self::OrSilent => to.serialize_str("or_silent"),
        }
    }
}

impl<'de> Deserialize<'de> for Closed {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct ClosedVisitor;
        impl de::Visitor<'_> for ClosedVisitor {
            type Value = Closed;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("`true`, `false` or `or_silent`")
            }
            fn visit_bool<E: de::Error>(self, is_closed: bool) -> Result<Closed, E> {
                Ok(if is_closed { Closed::Refused } else { Closed::No })
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Closed, E> {
                match text {
                    "or_silent" => Ok(Closed::OrSilent),
                    _ => Err(E::custom(format!("`{text}` is not one of `true`, `false` and `or_silent`"))),
                }
            }
        }
        from.deserialize_any(ClosedVisitor)
    }
}

impl JsonSchema for Closed {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Closed".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"enum": [true, false, "or_silent"]})
    }
}

#[cfg(test)]
mod tests;
