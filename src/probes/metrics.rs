//! metrics

mod line;
pub mod parser;
pub mod selector;
pub mod series;
