//! Vocabulary of secrets: values that are used but never shown.
//!
//! `Debug`, `Serialize` and so every log, dump, `/config` and API answer show `<secret>`. What comes from a file is
//! read when it is needed, so a rotated password is picked up without a restart.

mod hidden;

use std::{
    borrow::Cow,
    fmt,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::hidden::Hidden;
use crate::{
    probe::{Failure, Reason},
    shared::Shared,
};

const HIDDEN: &str = "<secret>";

/// A text that must never be shown.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself, for the one place that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from).map(Self::from)
    }
}

impl JsonSchema for Secret {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string"})
    }
}

/// A file that holds a secret, alone; read at use.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretFile(pub PathBuf);

/// Larger than any password or token, small enough to never hurt.
const LARGEST: u64 = 64 << 10;

impl SecretFile {
    /// Reads the secret; one line end at its end is not part of it. Runs that read the same file at the same time
    /// read it once.
    ///
    /// # Errors
    /// `not_found`, `permission`, `too_large` or `auth` (empty, no file or not UTF-8), naming the file.
    pub async fn read(&self, shared: &Shared) -> Result<Secret, Failure> {
        let path = self.0.clone();
        shared.secrets.run(self.0.clone(), move || read(&path)).await
    }
}

fn read(path: &Path) -> Result<Secret, Failure> {
    let shown = path.display();
    let failure = |error: io::Error| {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => Reason::NotFound,
            io::ErrorKind::PermissionDenied => Reason::Permission,
            _ => Reason::Auth,
        };
        Failure::new(reason, format!("secret file {shown} can't be read: {error}"))
    };
    if !fs::metadata(path).map_err(failure)?.is_file() {
        // Opening a FIFO would wait for a writer.
        return Err(Failure::new(Reason::Auth, format!("secret file {shown} is not a file")));
    }
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_string(&mut text)).map_err(failure)?;
    if text.len() as u64 > LARGEST {
        return Err(Failure::new(Reason::TooLarge, format!("secret file {shown} is larger than 64KiB")));
    }
    let secret = text.strip_suffix('\n').map_or(text.as_str(), |text| text.strip_suffix('\r').unwrap_or(text));
    if secret.is_empty() {
        return Err(Failure::new(Reason::Auth, format!("secret file {shown} is empty")));
    }
    Ok(Secret::from(secret.to_owned()))
}

/// Two keys for one secret: written in place (usually as `${NAME}`) or in a file. At most one is set.
#[derive(Clone, Debug)]
pub enum SecretSource<'a> {
    /// Written in the configuration.
    Inline(&'a Secret),
    /// In a file.
    File(&'a SecretFile),
}

impl<'a> SecretSource<'a> {
    /// The one that is set; kinds refuse two of them when they validate.
    #[must_use]
    pub fn of(inline: Option<&'a Secret>, file: Option<&'a SecretFile>) -> Option<Self> {
        inline.map(Self::Inline).or_else(|| file.map(Self::File))
    }

    /// The secret as it is now.
    ///
    /// # Errors
    /// As [`SecretFile::read`].
    pub async fn read(&self, shared: &Shared) -> Result<Secret, Failure> {
        match self {
            Self::Inline(secret) => Ok((*secret).clone()),
            Self::File(file) => file.read(shared).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_in_no_rendering() {
        let secret = Secret::from("hunter2".to_owned());
        assert_eq!(format!("{secret:?}"), HIDDEN);
        assert_eq!(serde_json::to_string(&secret).unwrap(), format!("\"{HIDDEN}\""));
    }

    #[tokio::test]
    async fn a_secret_file_is_read_at_use_and_its_last_line_end_dropped() {
        let (folder, shared) = (tempfile::tempdir().unwrap(), Shared::default());
        let file = SecretFile(folder.path().join("password"));
        assert_eq!(file.read(&shared).await.unwrap_err().reason, Reason::NotFound);
        for (text, secret) in [("one\n", "one"), ("two\r\n", "two"), ("th ree", "th ree"), ("\n\n", "\n")] {
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
            let reading = SecretFile(path).read(&Shared::default()).await;
            let failure = reading.unwrap_err();
            assert_eq!(failure.reason, Reason::Auth);
            assert!(failure.detail.ends_with("is not a file"), "{failure}");
        }
    }
}
