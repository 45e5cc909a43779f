//! The integration tests: the library and the real daemon beside real programs.
//!
//! Every module is marked as a test, for clippy lets only tests unwrap.

#[cfg(test)]
mod alerts;
#[cfg(test)]
mod architecture;
#[cfg(test)]
mod backups;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod deploy;
#[cfg(test)]
mod documents;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod metrics;
#[cfg(test)]
mod newcomer;
#[cfg(test)]
mod nginx;
#[cfg(test)]
mod page;
#[cfg(test)]
mod paging;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod prometheus_agreement;
#[cfg(test)]
mod runbooks;
#[cfg(test)]
mod running;
#[cfg(test)]
mod secrets;
#[cfg(test)]
mod server;

// What several of them use.
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
