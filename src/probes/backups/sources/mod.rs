//! Where backups are looked for.

pub mod files;
pub mod settling;
pub mod time_pattern;
