//! Redaction: the secrets of all probes, taken out of every text that quotes a target.

mod needles;
mod quoting;
mod redactor;
mod registry;
mod sent_secrets;
mod view;

#[cfg(test)]
pub(crate) use self::redactor::tests::{WAYS, encoded};
pub use self::sent_secrets::SentSecrets;
pub(crate) use self::{
    quoting::{Quoting, before_cut},
    redactor::Redactor,
    registry::{Held, Registry},
};
