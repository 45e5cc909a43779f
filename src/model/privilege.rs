//! Privileges that the account of a probe needs at its target.

/// A privilege at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Privilege {
    /// Name of the privilege at the target: a role, or a resource and a verb.
    pub name: &'static str,
    /// Purpose of the privilege: a verb and its object, to follow the word "to".
    pub purpose: &'static str,
}
