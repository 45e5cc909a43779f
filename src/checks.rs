//! The checks that any probe can feed, one a file. Those that need one kind's facts live under that kind.

pub mod health;
