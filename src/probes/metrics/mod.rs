#![doc = include_str!("metrics.md")]

pub mod checks;
pub mod exposition_format;

use std::{collections::BTreeMap, num::NonZeroU32, sync::Arc};

use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Response,
    body::Incoming,
    header::{self, HeaderName, HeaderValue},
};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::exposition_format::{
    format::{self, ACCEPT, Format},
    page::{EXPECTED_STATUS, Page},
    parser::{
        DEFAULT_BODY_LIMIT, DEFAULT_LABEL_LIMIT, DEFAULT_LINE_LIMIT, DEFAULT_SAMPLE_LIMIT, Parser, ParserLimits, Wanted,
    },
    selector::Selector,
};
use crate::io::http::{USER_AGENT, client::HttpClient};
use crate::{
    io::{
        context::Context,
        http::{
            auth::{BasicAuth, Credentials},
            body_decoder::{BodyDecoder, BodyKind},
            exchange,
            url::HttpUrl,
        },
        kept::Renewal,
        resources::Resources,
        secret_file::SecretFile,
        tls::Tls,
    },
    kind::{CheckEntry, Kind},
    model::{
        failure::{Failure, Invalid},
        observation::{Incomplete, Timing},
        redaction::SentSecrets,
        secret::Secret,
        units::{Period, Size},
        words::{Phase, Reason},
    },
    probe::Probe,
};

/// Settings of a `metrics` probe.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Metrics {
    /// URL of the metrics page: `http://` or `https://`, without user name and password.
    pub url: HttpUrl,
    /// Request headers, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, Secret>,
    /// User name and password for HTTP basic authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basic_auth: Option<BasicAuth>,
    /// Token for HTTP bearer authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token: Option<Secret>,
    /// File that contains the bearer token. The file is read at each run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bearer_token_file: Option<SecretFile>,
    /// TLS settings for `https` URLs.
    #[serde(default)]
    pub tls: Tls,
    /// Maximum size of the page after decompression. The run fails with `too_large` if the page is larger.
    #[serde(default = "default_body_limit")]
    pub body_limit: Size,
    /// Maximum number of samples on the page. The run fails with `too_large` if there are more.
    #[serde(default = "default_sample_limit")]
    pub sample_limit: NonZeroU32,
    /// Maximum length of a line. The run fails with `too_large` if a line is longer.
    #[serde(default = "default_line_limit")]
    pub line_limit: Size,
    /// Maximum number of labels of a sample. The run fails with `too_large` if a sample has more.
    #[serde(default = "default_label_limit")]
    pub label_limit: NonZeroU32,
    /// Maximum length of the name of a label in bytes. Without this setting, only the line is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_name_length_limit: Option<NonZeroU32>,
    /// Maximum length of the value of a label in bytes. Without this setting, only the line is limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_value_length_limit: Option<NonZeroU32>,
    /// Whether the timestamps of samples count, as in Prometheus: a sample that is five minutes old, or more than ten
    /// minutes ahead, is absent. With `false`, each sample is judged as a sample of the scrape.
    #[serde(default = "honor_timestamps")]
    pub honor_timestamps: bool,
    /// Maximum age of the kept connection. A run after this time opens a new one, so that the name, the address and the
    /// certificate are checked again. The name is also resolved every 30 s, and the connection is replaced if the name no
    /// longer has its address. Default: 1h.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connection_age: Option<Period>,
}

/// A `metrics` probe.
#[derive(Debug)]
pub struct MetricsProbe {
    settings: Metrics,
    headers: HeaderMap,
    wanted: Wanted,
    client: HttpClient,
}

fn default_body_limit() -> Size {
    DEFAULT_BODY_LIMIT
}

fn default_sample_limit() -> NonZeroU32 {
    NonZeroU32::new(DEFAULT_SAMPLE_LIMIT).unwrap_or(NonZeroU32::MAX)
}

fn default_line_limit() -> Size {
    DEFAULT_LINE_LIMIT
}

fn default_label_limit() -> NonZeroU32 {
    NonZeroU32::new(DEFAULT_LABEL_LIMIT).unwrap_or(NonZeroU32::MAX)
}

fn honor_timestamps() -> bool {
    true
}

impl Kind for Metrics {
    const NAME: &'static str = "metrics";
    const PHASES: &'static [Phase] = &[Phase::Resolve, Phase::Connect, Phase::Tls, Phase::Request, Phase::Response];
    const DOC: &'static str = include_str!("metrics.md");
    const CHECKS: &'static [CheckEntry<Page>] = checks::CHECKS;
    type Probe = MetricsProbe;

    fn validate(&self, _timing: &Timing) -> Result<(), Invalid> {
        self.tls.validate()?;
        if self.tls.server_name.is_some() {
            return Err(Invalid::at("tls", "`server_name` is not supported yet for `metrics`: use the name in `url`"));
        }
        if self.body_limit.0 == 0 {
            return Err(Invalid::at("body_limit", "no page is smaller than nothing: write a size such as 10MiB"));
        }
        Renewal::validate(self.max_connection_age)?;
        if self.line_limit.0 == 0 {
            return Err(Invalid::at("line_limit", "no line is shorter than nothing: write a size such as 1MiB"));
        }
        if self.tls != Tls::default() && !self.url.is_https() {
            return Err(Invalid::at("tls", "the URL is not encrypted: write https://, or remove `tls`"));
        }
        self.credentials().validate(&MANAGED_HEADERS)
    }

    fn target(&self) -> Option<String> {
        Some(format!("{}:{}", self.url.host(), self.url.port()))
    }

    fn sent_secrets(&self) -> SentSecrets {
        self.credentials().sent_secrets(&self.url)
    }

    fn build(self, requests: Vec<Selector>, _shared: &Arc<Resources>) -> Result<MetricsProbe, Invalid> {
        let headers = self.header_map()?;
        let renewal = Renewal::from_settings(self.max_connection_age, false);
        let client = HttpClient::new(self.url.is_https().then(|| self.tls.clone()), renewal);
        Ok(MetricsProbe { settings: self, headers, wanted: Wanted::from(requests), client })
    }
}

const PAGE: BodyKind = BodyKind { name: "page", unreadable: Reason::Parse };

/// Headers that the client sets itself.
const MANAGED_HEADERS: [HeaderName; 4] =
    [header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::ACCEPT_ENCODING];

impl Metrics {
    fn credentials(&self) -> Credentials<'_> {
        Credentials {
            headers: &self.headers,
            basic_auth: self.basic_auth.as_ref(),
            bearer_token: self.bearer_token.as_ref(),
            bearer_token_file: self.bearer_token_file.as_ref(),
        }
    }

    fn limits(&self) -> ParserLimits {
        ParserLimits {
            bytes: self.body_limit.0,
            samples: self.sample_limit.get().into(),
            line_bytes: self.line_limit.0,
            labels: self.label_limit.get(),
            label_name_bytes: self.label_name_length_limit.map(NonZeroU32::get),
            label_value_bytes: self.label_value_length_limit.map(NonZeroU32::get),
        }
    }

    fn header_map(&self) -> Result<HeaderMap, Invalid> {
        let mut map = self.credentials().headers(&MANAGED_HEADERS)?;
        map.entry(header::ACCEPT).or_insert(HeaderValue::from_static(ACCEPT));
        map.entry(header::ACCEPT_ENCODING).or_insert(HeaderValue::from_static("gzip"));
        map.entry(header::USER_AGENT).or_insert(HeaderValue::from_static(USER_AGENT));
        Ok(map)
    }
}

impl Probe for MetricsProbe {
    type Facts = Page;

    fn host(&self) -> Option<&str> {
        Some(self.settings.url.host())
    }

    async fn observe(&self, cx: &Context) -> Result<Page, Incomplete<Page>> {
        let mut status = None;
        match cx.until_timeout(self.scrape(cx, &mut status)).await {
            Ok(page) => Ok(Page { status, ..page }),
            Err(failure) => {
                let facts = status.map(|_| Page { status, ..Page::default() });
                Err(Incomplete { failure, facts })
            }
        }
    }
}

impl MetricsProbe {
    /// Fetches the page; `answered` receives the HTTP status as soon as it is known.
    async fn scrape(&self, cx: &Context, answered: &mut Option<u16>) -> Result<Page, Failure> {
        let url = &self.settings.url;
        let mut headers = self.headers.clone();
        if let Some(authorization) = self.settings.credentials().authorization(cx).await? {
            headers.insert(header::AUTHORIZATION, authorization);
        }
        let (response, connection) = self.client.get(cx, url, &headers).await?;
        let status = response.status();
        *answered = Some(status.as_u16());
        if status.as_u16() != EXPECTED_STATUS {
            let hint =
                if status.is_redirection() { "; redirects are not followed: write where it leads to" } else { "" };
            let message = format!("{url} answered with status {}, expected {EXPECTED_STATUS}{hint}", status.as_u16());
            return Err(Failure::new(Reason::Status, message));
        }
        let page = cx.phase(Phase::Response, self.read(response, Timestamp::now())).await?;
        self.client.keep_connection(connection);
        if page.samples == 0 {
            return Err(Failure::new(Reason::Empty, format!("{url} answered with a page without a single sample")));
        }
        Ok(page)
    }

    async fn read(&self, response: Response<Incoming>, scraped_at: Timestamp) -> Result<Page, Failure> {
        let (head, mut body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let content_type = text(header::CONTENT_TYPE).unwrap_or_default();
        let encoding = text(header::CONTENT_ENCODING).unwrap_or_default();
        let format = Format::of_content_type(content_type)?;
        // As in Prometheus, every other encoding is ignored: the page is plain text, or the parser fails.
        let decoded = (encoding == "gzip").then_some(encoding);
        let mut decoder = BodyDecoder::new(decoded, self.settings.body_limit, PAGE)
            .ok_or_else(|| Failure::new(Reason::Internal, "a plain page can always be read"))?;
        let scraped_at = self.settings.honor_timestamps.then_some(scraped_at);
        let mut parser = Parser::new(&self.wanted, self.settings.limits(), format, scraped_at);
        let explained = |failure: Failure| match failure.reason {
            Reason::Parse => {
                let hint = format::explain_headers(content_type, encoding);
                Failure::new(Reason::Parse, format!("{}{hint}", failure.detail))
            }
            _ => failure,
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| exchange::hyper_failure(&error))?;
            // Other frames are trailers.
            if let Some(piece) = frame.data_ref() {
                decoder.decode(piece, |part| parser.feed(part)).await.map_err(explained)?;
            }
        }
        decoder.finish()?;
        let page = parser.finish().map_err(explained)?;
        Ok(Page { note: format::content_type_note(content_type), ..page })
    }
}

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;
