//! The dialogue with a server: a list of steps.

mod bytes;
mod conversation;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::bytes::{parse_escapes, placeholders};
pub(super) use self::conversation::Conversation;
use crate::model::{failure::Invalid, pattern::LinePattern, secret::Secret};

/// Maximum number of steps.
const MAX_STEPS: usize = 50;

/// One step of a dialogue. A step has one key.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DialogueStep {
    /// Regular expression that the response must match. The probe reads until it matches at most 64 KiB. `^` and `$`
    /// match at the beginning and at the end of each line. The next step continues after the match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect: Option<LinePattern>,
    /// Bytes that the response must contain, with the escapes `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expect_bytes: Option<String>,
    /// Text to send. `${1}` is the first group of the last expression with groups, `${0}` its whole match.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send: Option<Secret>,
    /// Bytes to send, with the escapes `\r`, `\n`, `\t`, `\0`, `\\` and `\xNN`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub send_bytes: Option<Secret>,
    /// Whether this step starts TLS on the connection, with the settings of `tls`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub starttls: bool,
}

/// A validated step.
#[derive(Debug)]
pub(super) enum DialogueAction {
    Expect(LinePattern),
    Send(Payload),
    StartTls,
}

/// Bytes to send.
#[derive(Debug)]
pub(super) enum Payload {
    /// A text as it is.
    Plain(Secret),
    /// A text with placeholders `${1}`.
    Template(Template),
    /// A text with escapes.
    Exact(Secret),
}

impl Payload {
    /// The bytes to send, with the groups of the last expression filled in.
    pub(super) fn bytes(&self, groups: &[Vec<u8>]) -> Vec<u8> {
        match self {
            Self::Plain(text) => text.expose().as_bytes().to_vec(),
            Self::Template(template) => template.fill(groups),
            // The settings have been validated.
            Self::Exact(text) => parse_escapes(text.expose()).unwrap_or_default(),
        }
    }
}

/// Text to send, with placeholders for the groups of an earlier expression.
#[derive(Debug)]
pub(super) struct Template(Secret);

impl Template {
    /// The bytes to send, with the groups of the last expression filled in.
    pub(super) fn fill(&self, groups: &[Vec<u8>]) -> Vec<u8> {
        let text = self.0.expose();
        let (mut filled, mut from) = (Vec::with_capacity(text.len()), 0);
        for (range, group) in placeholders(text) {
            filled.extend_from_slice(text.get(from..range.start).unwrap_or_default().as_bytes());
            filled.extend_from_slice(groups.get(group).map(Vec::as_slice).unwrap_or_default());
            from = range.end;
        }
        filled.extend_from_slice(text.get(from..).unwrap_or_default().as_bytes());
        filled
    }
}

/// Validates the steps.
///
/// # Errors
/// The invalid step with an explanation.
pub(super) fn compile(steps: &[DialogueStep]) -> Result<Vec<DialogueAction>, Invalid> {
    if steps.len() > MAX_STEPS {
        return Err(Invalid::at("steps", format!("a dialogue has at most {MAX_STEPS} steps, not {}", steps.len())));
    }
    let (mut actions, mut groups) = (Vec::with_capacity(steps.len()), None);
    for (at, step) in steps.iter().enumerate() {
        let bad = |message: String| Invalid::at("steps", format!("step {}: {message}", at + 1));
        let action = step.action().map_err(bad)?;
        match &action {
            DialogueAction::Expect(pattern) if groups.is_none() || pattern.groups() > 0 => {
                groups = Some(pattern.groups())
            }
            DialogueAction::Send(Payload::Template(template)) => {
                for (_, group) in placeholders(template.0.expose()) {
                    check_group(group, groups).map_err(bad)?;
                }
            }
            DialogueAction::StartTls if actions.iter().any(|earlier| matches!(earlier, DialogueAction::StartTls)) => {
                return Err(bad("TLS has already been started: remove this step".to_owned()));
            }
            _ => {}
        }
        actions.push(action);
    }
    Ok(actions)
}

/// Checks that a placeholder refers to a group; `groups` is the number of groups of the last expression.
fn check_group(group: usize, groups: Option<usize>) -> Result<(), String> {
    match groups {
        None => Err(format!("`${{{group}}}` refers to an expression, and no step before this one has `expect`")),
        Some(most) if group > most => Err(format!(
            "`${{{group}}}` refers to a group that the last expression with groups does not have; it has {most}"
        )),
        Some(_) => Ok(()),
    }
}

impl DialogueStep {
    fn action(&self) -> Result<DialogueAction, String> {
        let mut actions = Vec::new();
        actions.extend(self.expect.clone().map(DialogueAction::Expect));
        if let Some(text) = &self.expect_bytes {
            let bytes = parse_escapes(text)?;
            actions.push(DialogueAction::Expect(LinePattern::of_bytes(&bytes)?));
        }
        actions.extend(self.send.clone().map(|text| DialogueAction::Send(Payload::Template(Template(text)))));
        if let Some(text) = &self.send_bytes {
            // The error does not quote the text, because it may contain a password.
            parse_escapes(text.expose()).map_err(|error| format!("`send_bytes`: {error}"))?;
            actions.push(DialogueAction::Send(Payload::Exact(text.clone())));
        }
        if self.starttls {
            actions.push(DialogueAction::StartTls);
        }
        match (actions.pop(), actions.is_empty()) {
            (Some(action), true) => Ok(action),
            (None, _) => {
                Err("it has no key: write `expect`, `expect_bytes`, `send`, `send_bytes` or `starttls: true`"
                    .to_owned())
            }
            (Some(_), false) => Err("it has several keys: write each as a step of its own, in their order".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn compiled(steps: Value) -> Result<Vec<DialogueAction>, String> {
        compile(&from_value::<Vec<DialogueStep>>(steps).unwrap()).map_err(|invalid| invalid.message)
    }

    #[test]
    fn each_step_has_one_key_and_placeholders_refer_to_groups() {
        let many: Vec<_> = (0..=MAX_STEPS).map(|_| json!({"send": "x"})).collect();
        for (steps, message) in [
            (json!([{}]), "step 1: it has no key"),
            (json!([{"send": "a"}, {"send": "a", "expect": "b"}]), "step 2: it has several keys"),
            (json!([{"send": "a ${1}"}]), "no step before this one has `expect`"),
            (json!([{"expect": "a(b)"}, {"send": "${2}"}]), "it has 1"),
            (json!([{"starttls": true}, {"starttls": true}]), "already been started"),
            (json!([{"send_bytes": r"\xg0"}]), "`send_bytes`: "),
            (json!([{"expect_bytes": ""}]), "an empty expression"),
            (Value::from(many), "at most 50 steps"),
        ] {
            let error = compiled(steps.clone()).unwrap_err();
            assert!(error.contains(message), "{steps}: {error}");
        }
        compiled(json!([{"expect": "a(b)"}, {"expect": "c"}, {"send": "${0} ${1} ${X} $1"}, {"starttls": true}]))
            .unwrap();
    }

    #[test]
    fn groups_are_filled_in_byte_for_byte() {
        let template = Template(Secret::from("A ${1}${0}${1} ${12} ${x} $".to_owned()));
        assert_eq!(template.fill(&[b"<\xff>".to_vec(), b"1".to_vec()]), b"A 1<\xff>1  ${x} $");
    }
}
