//! The integration tests.

mod board;
mod configuration;
mod door;
mod metrics;
mod server;
