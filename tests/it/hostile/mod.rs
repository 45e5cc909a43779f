//! Targets and clients that mean harm: none may stop, slow or mislead the daemon.
//!
//! Each test runs the real daemon beside a stand-in of its own on loopback, with a healthy probe as a neighbour, and
//! holds the daemon's vital signs to limits while the attack goes on.

mod backups;
mod busy;
mod churn;
mod clients;
mod files;
mod flood;
mod frames;
mod handshakes;
mod http;
mod http2;
mod kept;
mod malformed;
mod metrics_page;
mod names;
mod nesting;
mod overload;
mod postgres;
mod raw;
mod readers;
mod reloads;
mod secrets;
mod state;
mod streams;
mod vitals;
