//! readiness-exporter keeps a production readiness checklist true.

pub mod board;
pub mod check;
pub mod checks;
pub mod dial;
pub mod family;
mod gzip;
pub mod kind;
pub mod limit;
pub mod metrics;
pub mod node;
pub mod pattern;
pub mod probe;
pub mod probes;
pub mod scheduler;
pub mod secret;
pub mod server;
pub mod settings;
pub mod shared;
pub mod state;
pub mod tls;
pub mod units;
