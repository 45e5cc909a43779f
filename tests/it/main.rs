//! The integration tests.

// Helpers are marked as tests, for clippy lets only tests unwrap.
#[cfg(test)]
mod board;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod door;

#[cfg(test)]
mod configuration;
mod metrics;
#[cfg(test)]
mod page;
mod server;
