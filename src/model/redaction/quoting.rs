//! Redacts secrets in a text before the text is cut.
//!
//! A cut text may end with a prefix of a secret, and prefixes of other probes' secrets can't be redacted (see
//! [`Redactor`]). Therefore a function that cuts a text of a target searches for whole secrets first. Such functions
//! are called by probes and checks, which don't know the secrets of other probes. The runner provides the secrets
//! during a run.

use std::{
    borrow::Cow,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{redactor::Redactor, registry::SecretRegistry};

/// Number of bytes after a cut that are searched, because a secret may begin before the cut and end after it: 340
/// characters with an encoding of six bytes each.
const LOOKAHEAD_BYTES: usize = 2 << 10;
/// Maximum number of bytes that are searched in one run: about 40 ms of CPU time.
const MAX_WORK: usize = 2 << 20;

tokio::task_local! {
    static QUOTING: Quoting;
}

/// Secrets of all probes, for the texts that one run cuts.
pub(crate) struct Quoting {
    registry: Arc<SecretRegistry>,
    /// Number of bytes that may still be searched.
    left: AtomicUsize,
}

impl Quoting {
    pub(crate) fn new(registry: Arc<SecretRegistry>) -> Self {
        Self { registry, left: AtomicUsize::new(MAX_WORK) }
    }

    /// Provides the secrets to a future.
    pub(crate) fn scope<F: Future>(self, work: F) -> impl Future<Output = F::Output> {
        QUOTING.scope(self, work)
    }

    /// Provides the secrets to a function.
    pub(crate) fn sync_scope<T>(self, work: impl FnOnce() -> T) -> T {
        QUOTING.sync_scope(self, work)
    }

    fn redact(&self, text: &mut String) -> bool {
        let left = self.left.load(Ordering::Relaxed);
        let (found, left) =
            self.registry.with_redactor([], |redactor: &Redactor<'_>| redactor.redact_with_budget(text, left));
        self.left.store(left, Ordering::Relaxed);
        found
    }
}

/// Redacts the beginning of a text that will be cut after `shown` bytes. Returns the whole text if its beginning
/// contains no secret.
pub(crate) fn before_cut(text: &str, shown: usize) -> Cow<'_, str> {
    let end = (shown.saturating_add(LOOKAHEAD_BYTES)..text.len()).find(|at| text.is_char_boundary(*at));
    let mut head = text.get(..end.unwrap_or(text.len())).unwrap_or(text).to_owned();
    let found = QUOTING.try_with(|quoting| quoting.redact(&mut head)).unwrap_or(false);
    if found { Cow::Owned(head) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{redaction::SentSecrets, text};

    #[test]
    fn a_secret_of_another_probe_shows_in_no_encoding_where_its_text_is_cut() {
        let registry = Arc::<SecretRegistry>::default();
        let secret = "Tok3n/Of-the-Shop-which-is-longer-than-usual-0123456789";
        let mut sent = SentSecrets::default();
        sent.add_credential(secret);
        let held = registry.register(sent);
        let each = |encode: fn(u8) -> String| secret.bytes().map(encode).collect::<String>();
        let forms = [
            secret.to_owned(),
            each(|byte| format!("{byte:02x}")),
            each(|byte| format!("%{byte:02X}")),
            each(|byte| format!("\\u{byte:04x}")),
            each(|byte| format!("&#x{byte:x};")),
        ];
        let cuts = [
            |text: &str| text::excerpt(text, 60),
            |text: &str| text::bounded_name(text),
            |text: &str| text::one_line(text),
        ];
        for form in &forms {
            for (before, cut) in [0, 20, 50, 90, 112, 990].into_iter().flat_map(|before| cuts.map(|cut| (before, cut)))
            {
                let said = format!("{}{form}{}", " ".repeat(before), "-tail".repeat(1_000));
                let shown = Quoting::new(Arc::clone(&registry)).sync_scope(|| cut(&said));
                let beginning: String = form.chars().take(6).collect();
                assert!(!shown.contains(&beginning), "{form} after {before}: {shown}");
                assert!(cut(&said).len() < 1_050);
            }
        }
        drop(held);
    }

    #[test]
    fn texts_that_take_too_much_work_are_hidden_as_a_whole() {
        let registry = Arc::<SecretRegistry>::default();
        let mut sent = SentSecrets::default();
        sent.add_credential("some-secret-1");
        let _held = registry.register(sent);
        let start = std::time::Instant::now();
        let shown = Quoting::new(registry)
            .sync_scope(|| (0..10_000).map(|_| text::excerpt(&"%41&#x41;".repeat(1_000), 60)).collect::<Vec<_>>());
        assert!(shown.last().is_some_and(|last| last == "<hidden>"), "{:?}", shown.last());
        assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    }
}
