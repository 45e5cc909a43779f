//! Targets and clients that mean harm: none may stop, slow or mislead the daemon.
//!
//! Each test runs the real daemon beside a stand-in of its own on loopback, with a healthy probe as a neighbour, and
//! holds the daemon's vital signs to limits while the attack goes on.

mod busy;
mod clients;
mod files;
mod handshakes;
mod http2;
mod malformed;
mod nesting;
mod postgres;
mod raw;
mod readers;
mod reloads;
mod secrets;
mod state;
mod vitals;
