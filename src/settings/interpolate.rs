//! Interpolates `${NAME}`, `${NAME:-default}` and `${file:/run/secrets/x}` in the values of a parsed document.
//!
//! Only texts are interpolated, after parsing and once. So the value of a variable can't change the structure of the
//! document. `$${` is a literal `${`, and `${1}` remains for the settings of a probe.

use std::{collections::BTreeMap, path::Path};

use super::text_file;
use crate::document::{Diagnostics, Interpolated, Node, NodeValue};

/// Sources of the values.
pub(super) struct Scope<'a> {
    /// The environment variables.
    pub environment: &'a BTreeMap<String, String>,
    /// Base folder of relative paths.
    pub folder: &'a Path,
}

impl Scope<'_> {
    /// Interpolates every text below a node.
    pub(super) fn resolve(&self, node: &mut Node, problems: &mut Diagnostics) {
        match &mut node.value {
            NodeValue::List(items) => items.iter_mut().for_each(|item| self.resolve(item, problems)),
            NodeValue::Map(entries) => entries.iter_mut().for_each(|entry| self.resolve(&mut entry.node, problems)),
            NodeValue::Text(text) if text.contains("${") => match self.interpolate(text) {
                Ok(value) => node.value = value,
                Err(message) => {
                    node.value = NodeValue::Incomplete;
                    problems.push(node.location, message, None);
                }
            },
            _ => {}
        }
    }

    fn interpolate(&self, written: &str) -> Result<NodeValue, String> {
        let (mut text, mut parts) = (String::with_capacity(written.len()), Vec::new());
        let mut rest = written;
        while let Some(at) = rest.find("${") {
            let (before, tail) = rest.split_at(at);
            let inner = tail.get(2..).unwrap_or_default();
            if let Some(before) = before.strip_suffix('$') {
                text.push_str(before);
                text.push_str("${");
                rest = inner;
                continue;
            }
            let (reference, after) = inner
                .split_once('}')
                .ok_or_else(|| format!("`{tail}` is not closed: a `}}` is missing; write `$${{` for a plain `${{`"))?;
            text.push_str(before);
            // A number is a group of an expression in the settings of a probe, and no name of a variable.
            if !reference.is_empty() && reference.bytes().all(|byte| byte.is_ascii_digit()) {
                text.push_str("${");
                text.push_str(reference);
                text.push('}');
                rest = after;
                continue;
            }
            let part = self.look_up(reference)?;
            text.push_str(&part);
            parts.push(part);
            rest = after;
        }
        text.push_str(rest);
        if parts.is_empty() {
            return Ok(NodeValue::Text(text.into()));
        }
        Ok(NodeValue::Interpolated(Box::new(Interpolated { value: text, source: written.into(), parts })))
    }

    fn look_up(&self, reference: &str) -> Result<String, String> {
        if let Some(path) = reference.strip_prefix("file:") {
            return text_file::read_secret(&self.folder.join(path)).map_err(|why| format!("`{path}` {why}"));
        }
        let (name, default) = match reference.split_once(":-") {
            Some((name, default)) => (name, Some(default)),
            None => (reference, None),
        };
        let mut letters = name.chars();
        let is_name = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
            && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !is_name {
            return Err(format!(
                "`${{{reference}}}` is not one of `${{NAME}}`, `${{NAME:-default}}` and `${{file:/path}}`; write `$${{` \
                 for a plain `${{`"
            ));
        }
        match (self.environment.get(name), default) {
            (Some(value), None) => Ok(value.clone()),
            (Some(value), Some(_)) if !value.is_empty() => Ok(value.clone()),
            (_, Some(default)) => Ok(default.to_owned()),
            (None, None) => Err(format!(
                "environment variable `{name}` is not set; write `${{{name}:-default}}` where it may be missing"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interpolate(written: &str) -> Result<String, String> {
        let environment =
            [("HOST", "db"), ("EMPTY", ""), ("TRICK", "${HOST}: [x]")].map(|(k, v)| (k.to_owned(), v.to_owned()));
        let scope = Scope { environment: &environment.into(), folder: Path::new("/nowhere") };
        scope.interpolate(written).map(|value| match value {
            NodeValue::Interpolated(resolved) => resolved.value,
            NodeValue::Text(text) => text.into(),
            _ => String::new(),
        })
    }

    #[test]
    fn variables_defaults_and_escapes_are_filled_in_once() {
        for (written, meant) in [
            ("${HOST}", "db"),
            ("http://${HOST}:${PORT:-80}/${EMPTY}", "http://db:80/"),
            ("${EMPTY:-x}", "x"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${HOST} $HOST $", "${HOST} $HOST $"),
            ("${TRICK}", "${HOST}: [x]"),
            ("${1} ${HOST} ${12}", "${1} db ${12}"),
        ] {
            assert_eq!(interpolate(written).as_deref(), Ok(meant), "{written}");
        }
    }

    #[test]
    fn what_can_not_be_filled_in_is_said() {
        for (written, message) in [
            ("${NONE}", "environment variable `NONE` is not set; write `${NONE:-default}` where it may be missing"),
            ("a${HOST", "`${HOST` is not closed: a `}` is missing; write `$${` for a plain `${`"),
            ("${file:secret}", "`secret` can't be read: No such file or directory (os error 2)"),
        ] {
            assert_eq!(interpolate(written), Err(message.to_owned()));
        }
        for written in ["${}", "${1A}", "${A B}", "${A:?x}", "${ HOST }"] {
            assert!(interpolate(written).unwrap_err().contains("is not one of"), "{written}");
        }
    }
}
