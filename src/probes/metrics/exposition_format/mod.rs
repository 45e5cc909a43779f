//! The text formats of Prometheus and OpenMetrics: lines, pages, and series selectors.

pub mod format;
pub mod mismatch;
pub mod page;
pub mod parser;
mod sample_line;
pub mod selector;
pub mod series;
