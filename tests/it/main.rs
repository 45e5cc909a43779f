//! The integration tests: the library and the real daemon beside real programs. Helpers are in `harness`.

#![cfg(test)]

mod harness;

mod alerts;
mod architecture;
mod check_page;
mod commands;
mod configuration;
mod dashboards;
mod demo;
mod deploy;
mod documents;
mod endurance;
mod faults;
mod gates;
mod hostile;
mod metrics;
mod metrics_corpus;
mod page;
mod pages;
mod paging;
mod probes;
mod prometheus_agreement;
mod readme;
mod runbooks;
mod running;
mod secrets;
mod server;
