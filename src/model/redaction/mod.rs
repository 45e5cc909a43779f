//! Redaction: removes the secrets of all probes from every text that may quote a target.

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
    registry::{RegisteredSecrets, SecretRegistry},
};
