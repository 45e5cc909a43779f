//! Checks on the facts of several probe kinds, one file each. Checks on the facts of one kind are in the folder of the
//! kind.

pub mod age;
pub mod certificate;
pub mod error_rate;
pub mod health;
pub mod latency;
pub mod no_data;
pub mod pool;
pub mod window;

#[cfg(test)]
pub(crate) mod fixture;
