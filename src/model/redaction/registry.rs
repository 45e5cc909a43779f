//! Secrets of all probes. A target may echo a secret that another target received.
//!
//! A secret is redacted while a probe uses it and for an hour afterwards: a target may echo a password from before its
//! rotation.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use parking_lot::RwLock;
use tokio::time::Instant;

use super::{
    needles::SecretSet,
    redactor::Redactor,
    sent_secrets::SentSecrets,
    view::{fold_byte, unescaped_forms},
};
use crate::model::secret::Secret;

/// Time for which a secret is redacted after its last use.
const RETIREMENT: Duration = Duration::from_secs(60 * 60);
/// Maximum number of retired secrets. Tokens that change with every run would fill the memory otherwise.
const MAX_RETIRED: usize = 4_096;

/// Registry of the process.
#[derive(Default)]
pub(crate) struct SecretRegistry(RwLock<KnownSecrets>);

#[derive(Default)]
struct KnownSecrets {
    credentials: SecretSet,
    retired: VecDeque<(Instant, Secret)>,
}

/// Secrets of one probe. Dropping the value retires them.
pub(crate) struct RegisteredSecrets {
    registry: Arc<SecretRegistry>,
    credentials: Vec<Secret>,
    /// All texts that the probe sends, including credentials. Its target knows them.
    own: SecretSet,
}

impl SecretRegistry {
    /// Registers secrets for redaction.
    pub(crate) fn register(self: &Arc<Self>, secrets: SentSecrets) -> RegisteredSecrets {
        let SentSecrets { credentials, own: texts } = secrets;
        let mut own = SecretSet::default();
        texts.iter().chain(&credentials).flat_map(search_forms).for_each(|form| own.add(form));
        if !credentials.is_empty() {
            let mut known = self.0.write();
            known.purge_retired(Instant::now());
            credentials.iter().flat_map(search_forms).for_each(|form| known.credentials.add(form));
        }
        RegisteredSecrets { registry: Arc::clone(self), credentials, own }
    }

    /// Calls a function with the redactor for the findings of one probe.
    pub(crate) fn with_redactor<'a, T>(
        &self,
        own: impl IntoIterator<Item = &'a RegisteredSecrets>,
        work: impl FnOnce(&Redactor<'_>) -> T,
    ) -> T {
        let known = self.0.read();
        let own = own.into_iter().map(|held| &held.own);
        work(&Redactor::new(own, &known.credentials))
    }
}

impl KnownSecrets {
    /// Releases one use of a secret. The last use retires it.
    fn release(&mut self, secret: Secret, now: Instant) {
        let forms = search_forms(&secret);
        if forms.iter().any(|form| self.credentials.is_last(form)) {
            self.retired.push_back((now + RETIREMENT, secret));
        } else {
            forms.iter().for_each(|form| self.credentials.remove(form));
        }
    }

    fn purge_retired(&mut self, now: Instant) {
        while self.retired.len() > MAX_RETIRED || self.retired.front().is_some_and(|(end, _)| *end <= now) {
            let Some((_, secret)) = self.retired.pop_front() else { return };
            search_forms(&secret).iter().for_each(|form| self.credentials.remove(form));
        }
    }
}

impl Drop for RegisteredSecrets {
    fn drop(&mut self) {
        if self.credentials.is_empty() {
            return;
        }
        let mut known = self.registry.0.write();
        let now = Instant::now();
        std::mem::take(&mut self.credentials).into_iter().for_each(|secret| known.release(secret, now));
        known.purge_retired(now);
    }
}

/// Forms of a secret for the search: folded, in upper and lower case if it is not ASCII, and without its escapes. All
/// other forms result from decoding the searched text.
fn search_forms(secret: &Secret) -> Vec<Vec<u8>> {
    let text = secret.expose();
    let folded = |bytes: &[u8]| bytes.iter().map(|byte| fold_byte(*byte)).collect::<Vec<u8>>();
    let mut forms = vec![folded(text.as_bytes())];
    if !text.is_ascii() {
        forms.extend([text.to_lowercase(), text.to_uppercase()].map(|text| folded(text.as_bytes())));
    }
    forms.extend(unescaped_forms(text).map(|text| folded(&text)));
    forms.sort();
    forms.dedup();
    forms
}

impl fmt::Debug for SecretRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read();
        write!(f, "{} secrets", known.credentials.len())
    }
}

impl fmt::Debug for RegisteredSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.own.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(registry: &Arc<SecretRegistry>, secret: &str) -> RegisteredSecrets {
        let mut secrets = SentSecrets::default();
        secrets.add_credential(secret);
        registry.register(secrets)
    }

    fn said(registry: &SecretRegistry, text: &str) -> String {
        let mut text = text.to_owned();
        registry.with_redactor([], |redactor| redactor.redact(&mut text));
        text
    }

    #[tokio::test(start_paused = true)]
    async fn a_secret_is_hidden_for_an_hour_after_it_was_rotated() {
        let registry = Arc::default();
        let old = held(&registry, "old-password");
        let same = held(&registry, "old-password");
        drop(old);
        assert!(registry.0.read().retired.is_empty(), "another probe holds it");
        drop(same);
        let new = held(&registry, "new-password");
        assert_eq!(said(&registry, "old-password new-password"), "<hidden> <hidden>");
        tokio::time::advance(RETIREMENT).await;
        drop(held(&registry, "something-else"));
        assert_eq!(said(&registry, "old-password new-password"), "old-password <hidden>");
        drop(new);
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_that_change_with_every_run_do_not_fill_the_memory() {
        let registry = Arc::default();
        for n in 0..MAX_RETIRED + 1_000 {
            drop(held(&registry, &format!("token-{n:08}")));
        }
        let known = registry.0.read();
        assert!(known.retired.len() <= MAX_RETIRED && known.credentials.len() <= MAX_RETIRED);
        drop(known);
        assert_eq!(said(&registry, "token-00005095"), "<hidden>", "the newest are kept");
        assert_eq!(format!("{registry:?}"), "4096 secrets");
    }
}
