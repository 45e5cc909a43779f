//! Common parts of probes and checks: names, common keys and the list of kinds.

use crate::{
    document::{MapEntry, Node, NodeValue},
    kind::{CheckDescriptor, KindEntry as Kind},
    model::failure::Invalid,
};

/// Pattern of valid names.
pub(super) const NAME_PATTERN: &str = "^[a-zA-Z0-9][a-zA-Z0-9_.-]*$";

/// Longest name; a longer one would be no readable label.
pub(super) const MAX_NAME_LEN: usize = 100;

/// A probe kind with its check kinds, looked up once for all probes.
pub(super) struct KnownKind {
    pub kind: Kind,
    pub check_kinds: Vec<CheckDescriptor>,
}

/// Splits a map into the named keys and the rest.
pub(super) fn split_keys(node: Node, named: &[&str]) -> (Node, Vec<MapEntry>) {
    let NodeValue::Map(entries) = node.value else { return (node, Vec::new()) };
    let (common, rest) = entries.into_iter().partition(|entry| named.contains(&&*entry.key));
    (Node { value: NodeValue::Map(common), ..node }, rest)
}

/// Validates a name. Names become labels and parts of URLs, so they contain letters, digits, `_`, `.` and `-`.
pub(super) fn validate_name(name: &str) -> Result<(), Invalid> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain);
    if good && name.len() <= MAX_NAME_LEN {
        return Ok(());
    }
    Err(Invalid::at(
        "name",
        format!(
            "a name has letters, digits, `_`, `.` and `-`, starts with a letter or digit and has at most {MAX_NAME_LEN} of them"
        ),
    ))
}
