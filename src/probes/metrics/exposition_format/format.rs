//! Formats of a page, and their negotiation by the headers `Accept` and `Content-Type`.

use serde::Serialize;

use crate::model::{failure::Failure, text::excerpt, words::Reason};

/// Formats of a page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Text format of Prometheus, version 0.0.4, or 1.0.0 with quoted names.
    #[default]
    Text,
    /// OpenMetrics 1.0 (<https://prometheus.io/docs/specs/om/open_metrics_spec/>).
    OpenMetrics,
}

/// Header `Accept`, as sent by Prometheus 3: OpenMetrics is preferred to text, names in UTF-8 are accepted, and other
/// types are accepted.
pub const ACCEPT: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
     application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
     text/plain;version=0.0.4;q=0.3,*/*;q=0.1";

impl Format {
    /// Selects the format of a page by its `Content-Type`. A page without a known type is parsed as the text format,
    /// as Prometheus 2 parses it: many services declare no type, or `text/html`.
    ///
    /// # Errors
    /// `protocol`: the type is that of a format that is not supported.
    pub fn of_content_type(content_type: &str) -> Result<Self, Failure> {
        let lower = content_type.to_ascii_lowercase();
        let mut parts = lower.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let version = parts.find_map(|part| part.strip_prefix("version=")).unwrap_or_default();
        let unsupported = |what: &str| {
            let text = format!(
                "the page is in {what} (`Content-Type: {}`), which is not supported: let the server choose by the header \
                 `Accept`, or configure OpenMetrics 1.0 or the text format",
                excerpt(content_type, 80)
            );
            Err(Failure::new(Reason::Protocol, text))
        };
        match media {
            "application/openmetrics-text" if version.trim_matches('"').starts_with('2') => {
                unsupported("OpenMetrics 2.0")
            }
            "application/openmetrics-text" => Ok(Self::OpenMetrics),
            "application/vnd.google.protobuf" | "application/x-protobuf" | "application/openmetrics-protobuf" => {
                unsupported("the protobuf format")
            }
            _ => Ok(Self::Text),
        }
    }
}

/// Notes that Prometheus 3 refuses a page because of its `Content-Type`, although the page is valid.
#[must_use]
pub fn content_type_note(content_type: &str) -> Option<String> {
    if media_type(content_type) == "text/plain" || media_type(content_type) == "application/openmetrics-text" {
        return None;
    }
    let declared = match content_type {
        "" => "no `Content-Type`".to_owned(),
        other => format!("`Content-Type: {}`", excerpt(other, 80)),
    };
    let advice = "declare `text/plain; version=0.0.4`";
    Some(format!("the server declares {declared}, for which Prometheus 3 refuses the page: {advice}"))
}

fn media_type(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Explains a page that can't be parsed, by headers that contradict a metrics page; empty if they don't.
#[must_use]
pub fn explain_headers(content_type: &str, encoding: &str) -> String {
    let is_metrics = matches!(&*media_type(content_type), "" | "text/plain" | "application/openmetrics-text");
    let mut text = String::new();
    if !is_metrics {
        text.push_str(&format!("; the server declares `Content-Type: {}`", excerpt(content_type, 80)));
    }
    if !matches!(encoding, "" | "identity" | "gzip") {
        let encoding = excerpt(encoding, 20);
        text.push_str(&format!(
            "; the server declares `Content-Encoding: {encoding}`, and the probe accepts gzip only"
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_follows_from_the_content_type() {
        for (content_type, format) in [
            ("", Some(Format::Text)),
            ("text/plain; version=0.0.4", Some(Format::Text)),
            ("text/plain; version=1.0.0; escaping=allow-utf-8", Some(Format::Text)),
            ("text/html", Some(Format::Text)),
            ("application/openmetrics-text", Some(Format::OpenMetrics)),
            (" Application/OpenMetrics-Text ; version=1.0.0", Some(Format::OpenMetrics)),
            ("application/openmetrics-text; version=2.0.0", None),
            ("application/openmetrics-text; charset=utf-8; version=\"2.0.0\"", None),
            ("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited", None),
        ] {
            let found = Format::of_content_type(content_type);
            assert_eq!(found.as_ref().ok(), format.as_ref(), "{content_type}: {found:?}");
            if let Err(failure) = found {
                assert_eq!(failure.reason, Reason::Protocol);
                assert!(failure.detail.contains("is not supported"), "{failure}");
            }
        }
    }

    #[test]
    fn headers_that_contradict_a_metrics_page_are_named() {
        assert_eq!(content_type_note("Text/Plain; version=0.0.4"), None);
        for refused in ["", "text/html", "application/json"] {
            assert!(content_type_note(refused).unwrap().contains("Prometheus 3 refuses the page"), "{refused}");
        }
        assert_eq!(explain_headers("text/plain; version=0.0.4", "gzip"), "");
        assert_eq!(
            explain_headers("text/html; charset=utf-8", ""),
            "; the server declares `Content-Type: text/html; charset=utf-8`"
        );
        assert!(explain_headers("", "br").contains("`Content-Encoding: br`, and the probe accepts gzip only"));
    }
}
