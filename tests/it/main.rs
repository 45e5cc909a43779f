//! The integration tests.

// Helpers are marked as tests, for clippy lets only tests unwrap.
#[cfg(test)]
mod board;
#[cfg(test)]
mod browser;
#[cfg(test)]
mod door;
#[cfg(test)]
mod real;
#[cfg(test)]
mod watch;

#[cfg(test)]
mod backups;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod documents;
mod metrics;
#[cfg(test)]
mod page;
#[cfg(test)]
mod postgres;
mod server;
