//! The secrets of all probes, known to each: a target may tell what another one was told.
//!
//! A secret is known for as long as a probe holds it, and for an hour after that: a target that was given the password
//! of before a rotation may still say it.

use std::{collections::VecDeque, fmt, sync::Arc, time::Duration};

use parking_lot::RwLock;
use tokio::time::Instant;

use super::{
    needles::Needles,
    redactor::Redactor,
    sent_secrets::SentSecrets,
    view::{fold, unescaped},
};
use crate::model::secret::Secret;

/// Time for which a secret is hidden after the last probe has let go of it.
const RETIREMENT: Duration = Duration::from_secs(60 * 60);
/// Secrets in retirement. Tokens that change with every run would fill the memory otherwise.
const MAX_RETIRED: usize = 4_096;

/// One for the process.
#[derive(Default)]
pub(crate) struct Registry(RwLock<KnownSecrets>);

#[derive(Default)]
struct KnownSecrets {
    credentials: Needles,
    retired: VecDeque<(Instant, Secret)>,
}

/// Secrets of one probe, in the registry until this is dropped.
pub(crate) struct Held {
    registry: Arc<Registry>,
    credentials: Vec<Secret>,
    /// All texts that the probe sends, credentials included: its target knows them.
    own: Needles,
}

impl Registry {
    /// Hides these from now on.
    pub(crate) fn hold(self: &Arc<Self>, hidden: SentSecrets) -> Held {
        let SentSecrets { credentials, own: texts } = hidden;
        let mut own = Needles::default();
        texts.iter().chain(&credentials).flat_map(forms).for_each(|form| own.add(form));
        if !credentials.is_empty() {
            let mut known = self.0.write();
            known.purge(Instant::now());
            credentials.iter().flat_map(forms).for_each(|form| known.credentials.add(form));
        }
        Held { registry: Arc::clone(self), credentials, own }
    }

    /// Runs something with all that is to be hidden from one probe.
    pub(crate) fn redact<'a, T>(
        &self,
        own: impl IntoIterator<Item = &'a Held>,
        work: impl FnOnce(&Redactor<'_>) -> T,
    ) -> T {
        let known = self.0.read();
        let own = own.into_iter().map(|held| &held.own);
        work(&Redactor::new(own, &known.credentials))
    }
}

impl KnownSecrets {
    /// Lets go of a secret; the last one to hold it sends it into retirement.
    fn release(&mut self, secret: Secret, now: Instant) {
        let forms = forms(&secret);
        if forms.iter().any(|form| self.credentials.is_last(form)) {
            self.retired.push_back((now + RETIREMENT, secret));
        } else {
            forms.iter().for_each(|form| self.credentials.remove(form));
        }
    }

    fn purge(&mut self, now: Instant) {
        while self.retired.len() > MAX_RETIRED || self.retired.front().is_some_and(|(end, _)| *end <= now) {
            let Some((_, secret)) = self.retired.pop_front() else { return };
            forms(&secret).iter().for_each(|form| self.credentials.remove(form));
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.credentials.is_empty() {
            return;
        }
        let mut known = self.registry.0.write();
        let now = Instant::now();
        std::mem::take(&mut self.credentials).into_iter().for_each(|secret| known.release(secret, now));
        known.purge(now);
    }
}

/// The texts to look for: the secret itself, in the case of other languages than English too, and without its escapes
/// if it holds some. All others come out of decoding what is looked through.
fn forms(secret: &Secret) -> Vec<Vec<u8>> {
    let text = secret.expose();
    let folded = |bytes: &[u8]| bytes.iter().map(|byte| fold(*byte)).collect::<Vec<u8>>();
    let mut forms = vec![folded(text.as_bytes())];
    if !text.is_ascii() {
        forms.extend([text.to_lowercase(), text.to_uppercase()].map(|text| folded(text.as_bytes())));
    }
    forms.extend(unescaped(text).map(|text| folded(&text)));
    forms.sort();
    forms.dedup();
    forms
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read();
        write!(f, "{} secrets", known.credentials.len())
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.own.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(registry: &Arc<Registry>, secret: &str) -> Held {
        let mut hidden = SentSecrets::default();
        hidden.secret(secret);
        registry.hold(hidden)
    }

    fn said(registry: &Registry, text: &str) -> String {
        let mut text = text.to_owned();
        registry.redact([], |redactor| redactor.hide(&mut text));
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
