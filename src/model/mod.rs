//! Types without I/O that all modules share: observations, verdicts, limits, units, metric families, redaction.
//!
//! Nothing here opens, connects or waits. Every module may import these types.

pub mod check;
pub mod failure;
pub mod limit;
pub mod measure;
pub mod metric;
pub mod observation;
pub mod pattern;
pub mod privilege;
pub mod redaction;
pub mod secret;
pub(crate) mod text;
pub mod units;
pub mod verdict;
pub mod words;
