//! Headers and credentials that the settings name, the same for every kind that speaks HTTP.
//!
//! What is wrong with them is said when they are read; secrets in files are read for each run.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap,
    header::{self, HeaderName, HeaderValue},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::url::Target;
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

/// The keys of a kind's settings that say who we are; kinds name them alike.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Credentials<'a> {
    pub(crate) headers: &'a BTreeMap<String, Secret>,
    pub(crate) basic_auth: Option<&'a BasicAuth>,
    pub(crate) bearer_token: Option<&'a Secret>,
    pub(crate) bearer_token_file: Option<&'a SecretFile>,
}

impl Credentials<'_> {
    /// Rules between the keys. Headers in `ours` are the probe's own.
    ///
    /// # Errors
    /// The key at fault and what to do about it.
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

    /// The configured headers.
    ///
    /// # Errors
    /// The header that can't be sent.
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

    /// The value of `Authorization`, its secret read just now.
    pub(crate) async fn authorization(&self, cx: &Context) -> Result<Option<HeaderValue>, Failure> {
        if let Some(auth) = self.basic_auth {
            let password = auth.read_password(&cx.shared).await?;
            if auth.password.is_none() {
                cx.hide(|hidden| hidden.basic(&auth.username, password.expose()));
            }
            return basic(&auth.username, &password).map(Some);
        }
        let Some(source) = SecretSource::of(self.bearer_token, self.bearer_token_file) else { return Ok(None) };
        let token = source.read(&cx.shared).await?;
        if self.bearer_token.is_none() {
            cx.hide(|hidden| hidden.secret(token.expose()));
        }
        secret_value(&format!("Bearer {}", token.expose())).map(Some)
    }

    /// What a target is told of them, as far as it is written.
    pub(crate) fn hidden(&self, url: &Target) -> SentSecrets {
        let mut hidden = SentSecrets::default();
        hidden.query(url.url().query().unwrap_or_default());
        self.headers.iter().for_each(|(name, value)| hidden.header(name, value.expose()));
        if let Some(BasicAuth { username, password: Some(password), .. }) = self.basic_auth {
            hidden.basic(username, password.expose());
        }
        if let Some(token) = self.bearer_token {
            hidden.secret(token.expose());
        }
        hidden
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
        match SecretSource::of(self.password.as_ref(), self.password_file.as_ref()) {
            Some(source) => source.read(shared).await,
            None => Ok(Secret::from(String::new())),
        }
    }
}

/// The value of a header with basic authentication.
pub(crate) fn basic(user: &str, password: &Secret) -> Result<HeaderValue, Failure> {
    secret_value(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.expose()))))
}

fn secret_value(text: &str) -> Result<HeaderValue, Failure> {
    let value = HeaderValue::from_str(text);
    let mut value =
        value.map_err(|_| Failure::new(Reason::Auth, "the credentials have bytes that no header may have"))?;
    value.set_sensitive(true);
    Ok(value)
}
