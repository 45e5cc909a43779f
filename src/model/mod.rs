//! Vocabulary without I/O: what probes bring back, what checks say, and how both are written.
//!
//! Nothing here opens, connects or waits. Every other module may import it; it imports nothing above itself.

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
