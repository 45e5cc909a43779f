//! Privileges: rights at its target that the account of a probe needs.

/// A right that a probe's account needs at its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Privilege {
    /// The target's name for it: a role to be a member of, a resource and a verb.
    pub name: &'static str,
    /// The purpose of the right: a verb and its object, as they follow the word "to".
    pub purpose: &'static str,
}
