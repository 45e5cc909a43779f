//! Headers and credentials in the settings of the HTTP-based probe kinds.
//!
//! Invalid headers are rejected when the configuration is loaded. Secret files are read in each run.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::url::HttpUrl;
use crate::{
    io::{
        context::Context,
        resources::Resources,
        secret_file::{SecretFile, SecretSource},
    },
    model::{
        failure::{Failure, Invalid},
        redaction::SentSecrets,
        secret::Secret,
        words::Reason,
    },
};

/// User name and password for HTTP basic authentication. The password is given directly or in a file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BasicAuth {
    /// User name, without a colon.
    pub username: String,
    /// Password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
    /// File that contains the password. The file is read at each run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<SecretFile>,
}

/// The settings of a kind for its headers and credentials. The keys are the same in all kinds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) headers: &'a BTreeMap<String, Secret>,
    pub(crate) basic_auth: Option<&'a BasicAuth>,
    pub(crate) bearer_token: Option<&'a Secret>,
    pub(crate) bearer_token_file: Option<&'a SecretFile>,
}

impl Credentials<'_> {
    /// Validates rules between the keys. Headers in `ours` are set by the probe itself.
    ///
    /// # Errors
    /// The invalid key with an explanation.
    pub(crate) fn validate(&self, ours: &[HeaderName]) -> Result<(), Invalid> {
        let headers = self.headers(ours)?;
        if let Some(auth) = self.basic_auth {
            auth.validate()?;
        }
        let ways = [
            headers.contains_key(header::AUTHORIZATION),
            self.basic_auth.is_some(),
            self.bearer_token.is_some(),
            self.bearer_token_file.is_some(),
        ];
        if ways.into_iter().filter(|way| *way).count() > 1 {
            let text =
                "more than one of `basic_auth`, `bearer_token`, `bearer_token_file` and a header `authorization`";
            return Err(Invalid::at("url", format!("{text}: only one of them can be sent")));
        }
        Ok(())
    }

    /// Whether the keys set `Authorization`.
    pub(crate) fn has_authorization(&self) -> bool {
        let in_headers = self.headers.keys().any(|name| name.eq_ignore_ascii_case("authorization"));
        in_headers || self.basic_auth.is_some() || self.bearer_token.is_some() || self.bearer_token_file.is_some()
    }

    /// Parses the configured headers.
    ///
    /// # Errors
    /// The invalid header with an explanation.
    pub(crate) fn headers(&self, ours: &[HeaderName]) -> Result<HeaderMap, Invalid> {
        let mut map = HeaderMap::with_capacity(self.headers.len() + 5);
        for (name, value) in self.headers {
            let wrong = |text: &str| Invalid::at("headers", format!("header `{name}`: {text}"));
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("not a name for a header"))?;
            if ours.contains(&parsed) {
                let is_host = parsed == header::HOST;
                return Err(wrong(if is_host {
                    "write it as `host`, beside `url`"
                } else {
                    "it is set by the probe itself"
                }));
            }
            let mut value = HeaderValue::from_str(value.expose())
                .map_err(|_| wrong("its value has bytes that no header may have"))?;
            value.set_sensitive(true);
            if map.insert(parsed, value).is_some() {
                return Err(wrong("it is there twice"));
            }
        }
        Ok(map)
    }

    /// Value of `Authorization`. Secret files are read and registered for redaction.
    pub(crate) async fn authorization(&self, cx: &Context) -> Result<Option<HeaderValue>, Failure> {
        if let Some(auth) = self.basic_auth {
            let password = auth.read_password(&cx.shared).await?;
            if auth.password.is_none() {
                cx.register_secrets(|secrets| secrets.add_basic_auth(&auth.username, password.expose()));
            }
            return basic_auth_value(&auth.username, &password).map(Some);
        }
        let Some(source) = SecretSource::from_settings(self.bearer_token, self.bearer_token_file) else {
            return Ok(None);
        };
        let token = source.read(&cx.shared).await?;
        if self.bearer_token.is_none() {
            cx.register_secrets(|secrets| secrets.add_credential(token.expose()));
        }
        secret_value(&format!("Bearer {}", token.expose())).map(Some)
    }

    /// Secrets in the configuration that a run sends to its target.
    pub(crate) fn sent_secrets(&self, url: &HttpUrl) -> SentSecrets {
        let mut secrets = SentSecrets::default();
        secrets.add_query(url.url().query().unwrap_or_default());
        self.headers.iter().for_each(|(name, value)| secrets.add_header(name, value.expose()));
        if let Some(BasicAuth { username, password: Some(password), .. }) = self.basic_auth {
            secrets.add_basic_auth(username, password.expose());
        }
        if let Some(token) = self.bearer_token {
            secrets.add_credential(token.expose());
        }
        secrets
    }
}

impl BasicAuth {
    fn validate(&self) -> Result<(), Invalid> {
        if self.password.is_some() == self.password_file.is_some() {
            return Err(Invalid::at("basic_auth", "write either `password` or `password_file`"));
        }
        if self.username.contains(':') {
            let message = "a user with a colon in the name can't be told from the password";
            return Err(Invalid::at("basic_auth", message));
        }
        Ok(())
    }

    async fn read_password(&self, shared: &Resources) -> Result<Secret, Failure> {
        match SecretSource::from_settings(self.password.as_ref(), self.password_file.as_ref()) {
            Some(source) => source.read(shared).await,
            None => Ok(Secret::from(String::new())),
        }
    }
}

/// Header value for basic authentication.
pub(crate) fn basic_auth_value(user: &str, password: &Secret) -> Result<HeaderValue, Failure> {
    secret_value(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
}

/// Header value that is not displayed.
///
/// # Errors
/// `auth`: the text has bytes that no header may have.
pub(crate) fn secret_value(text: &str) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::from_str(text);
    let mut value = value.map_err(|_| {
        let failure = Failure::new(Reason::Auth, "the credentials have bytes that no header may have");
        failure.of_exporter("the credentials of this exporter contain characters that no header allows")
    })?;
    value.set_sensitive(true);
    Ok(value)
}
