//! The integration tests.

mod configuration;
