//! Sources of backups: patterns on paths, the files and directories that match, and the backups that they form.

pub(crate) mod candidate;
pub(crate) mod directory_dump;
pub mod globs;
pub mod labels;
pub(crate) mod path;
pub(crate) mod pieces;
pub(crate) mod settling;
pub mod time_pattern;
pub(crate) mod walk;
