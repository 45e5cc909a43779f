//! Secret files. They are read at each use, so that a rotated secret takes effect without a restart.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exposed_secrets::ExposedSecrets;
use super::{
    bounded_file::{self, Refusal},
    resources::Resources,
};
use crate::model::{failure::Failure, secret::Secret, words::Reason};
use std::{io, sync::Arc};

/// File that contains a secret and nothing else. The file is read at each use.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretFile(pub PathBuf);

/// Maximum size of a secret file.
const MAX_SECRET_BYTES: u64 = 64 << 10;

impl SecretFile {
    /// Reads the secret, without a line break at the end of the file. Concurrent runs share one read of a file.
    ///
    /// # Errors
    /// `not_found`, `permission`, `too_large` or `auth` (empty, not a regular file or not UTF-8). The text names the
    /// file.
    pub async fn read(&self, shared: &Resources) -> Result<Secret, Failure> {
        let (path, warned) = (self.0.clone(), Arc::clone(&shared.exposed));
        shared.secrets.run(self.0.clone(), move || read_secret_file(&path, &warned)).await
    }
}

fn read_secret_file(path: &Path, exposed: &ExposedSecrets) -> Result<Secret, Failure> {
    let shown = path.display();
    let (bytes, found) = bounded_file::read_with_metadata(path, MAX_SECRET_BYTES).map_err(|refusal| {
        let reason = match &refusal {
            Refusal::Io(error) if error.kind() == io::ErrorKind::NotFound => Reason::NotFound,
            Refusal::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => Reason::Permission,
            Refusal::Io(_) | Refusal::NotRegular(_) => Reason::Auth,
            Refusal::TooLarge(_) => Reason::TooLarge,
        };
        let meaning = match reason {
            Reason::NotFound => "a secret file of this exporter does not exist",
            _ => "this exporter cannot read a secret file",
        };
        Failure::new(reason, format!("secret file {shown} {refusal}")).of_exporter(meaning)
    })?;
    exposed.warn_if_exposed(path, &found);
    let wrong = |why: &str| {
        let failure = Failure::new(Reason::Auth, format!("secret file {shown} {why}"));
        failure.of_exporter("a secret file of this exporter contains no usable secret")
    };
    // The error of the conversion contains the bytes, so it must not be displayed.
    let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8 text: was it saved as UTF-16?"))?;
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if secret.is_empty() {
        return Err(wrong("is empty"));
    }
    Ok(Secret::from(secret.to_owned()))
}

/// Source of a secret with two keys in the settings: the secret itself (usually as `${NAME}`) or a file.
#[derive(Clone, Debug)]
pub enum SecretSource<'a> {
    /// Secret in the configuration.
    Inline(&'a Secret),
    /// Secret in a file.
    File(&'a SecretFile),
}

impl<'a> SecretSource<'a> {
    /// Selects the configured key. Kinds reject settings with both keys.
    #[must_use]
    pub fn from_settings(inline: Option<&'a Secret>, file: Option<&'a SecretFile>) -> Option<Self> {
        inline.map(Self::Inline).or_else(|| file.map(Self::File))
    }

    /// Reads the current secret.
    ///
    /// # Errors
    /// As [`SecretFile::read`].
    pub async fn read(&self, shared: &Resources) -> Result<Secret, Failure> {
        match self {
            Self::Inline(secret) => Ok((*secret).clone()),
            Self::File(file) => file.read(shared).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_secret_file_is_read_at_use_and_its_last_line_end_dropped() {
        let (folder, shared) = (tempfile::tempdir().unwrap(), Resources::default());
        let file = SecretFile(folder.path().join("password"));
        assert_eq!(file.read(&shared).await.unwrap_err().reason, Reason::NotFound);
        for (text, secret) in
            [("one\n", "one"), ("two\r\n", "two"), ("th ree", "th ree"), ("\n\n", "\n"), ("\u{feff}four\n", "four")]
        {
            std::fs::write(&file.0, text).unwrap();
            assert_eq!(file.read(&shared).await.unwrap().expose(), secret);
        }
        std::fs::write(&file.0, "\n").unwrap();
        assert_eq!(file.read(&shared).await.unwrap_err().reason, Reason::Auth);
        std::fs::write(&file.0, "x".repeat(70_000)).unwrap();
        assert_eq!(file.read(&shared).await.unwrap_err().reason, Reason::TooLarge);
    }

    #[tokio::test]
    async fn what_is_no_file_is_refused_rather_than_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
        for path in [fifo, folder.path().to_owned()] {
            let reading = SecretFile(path).read(&Resources::default()).await;
            let failure = reading.unwrap_err();
            assert_eq!(failure.reason, Reason::Auth);
            assert!(failure.detail.ends_with("not a regular file"), "{failure}");
        }
    }
}
