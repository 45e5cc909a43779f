//! The text formats of Prometheus and OpenMetrics: lines, pages, and selectors of series.

pub mod page;
pub mod parser;
mod sample_line;
pub mod selector;
pub mod series;
