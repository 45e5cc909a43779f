//! Targets and clients that mean harm: none may stop, slow or mislead the daemon.
//!
//! Each test runs the real daemon beside a stand-in of its own on loopback, with a healthy probe as a neighbour, and
//! holds the daemon's vital signs to limits while the attack goes on.

mod files;
mod secrets;
mod state;
mod vitals;
