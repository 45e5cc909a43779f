//! The probe kinds, one folder each. A new kind is its folder, one line here and one line in `catalogue.rs`.

pub mod backups;
pub mod http;
pub mod metrics;
pub mod postgres;
pub mod tcp;
