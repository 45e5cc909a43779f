//! Content negotiation with the quality values of RFC 9110, as Prometheus and browsers send them.

use hyper::{HeaderMap, header};

use crate::exposition::{Escaping, ExpositionFormat};

/// Parameters of OpenMetrics. If a client requests an unsupported escaping, it receives the default one.
const OPEN_METRICS: &[(&str, &str)] = &[("version", "1.0.0"), ("charset", "utf-8"), ("escaping", ANY)];
/// Matches every value of a parameter.
const ANY: &str = "*";
/// Entries of a header that are looked at. Prometheus and browsers send less than ten.
const MAX_ENTRIES: usize = 50;
/// Bytes of an entry that is looked at; a longer one is left out.
const MAX_ENTRY_BYTES: usize = 512;

/// Returns the metrics format that the client prefers; `None` if it accepts neither.
pub(super) fn metrics_format(headers: &HeaderMap) -> Option<ExpositionFormat> {
    let text = quality(headers, "text", "plain", &[("version", "0.0.4"), ("charset", "utf-8")]);
    let open = quality(headers, "application", "openmetrics-text", OPEN_METRICS);
    match (text, open) {
        (0, 0) => None,
        // A tie means no preference: the text format is the most widely supported.
        (text, open) if open > text => Some(ExpositionFormat::OpenMetrics),
        _ => Some(ExpositionFormat::Text),
    }
}

/// Returns the escaping that the client requests with OpenMetrics, or the default one.
pub(super) fn escaping(headers: &HeaderMap) -> Escaping {
    let (_, parameters) = best_range(headers, "application", "openmetrics-text", OPEN_METRICS);
    let named = parameters.split(';').filter_map(|pair| pair.trim().split_once('='));
    let asked = named.filter(|(key, _)| key.eq_ignore_ascii_case("escaping")).map(|(_, value)| value.trim_matches('"'));
    let known = |value: &str| Escaping::ALL.into_iter().find(|scheme| scheme.as_str().eq_ignore_ascii_case(value));
    asked.filter_map(known).next().unwrap_or_default()
}

/// Whether the client accepts a media type.
pub(super) fn accepts(headers: &HeaderMap, kind: &str, subtype: &str) -> bool {
    quality(headers, kind, subtype, &[("charset", "utf-8")]) > 0
}

/// Whether the client names HTML and prefers it to plain text, as browsers do.
pub(super) fn prefers_html(headers: &HeaderMap) -> bool {
    let names_html = header_items(headers, header::ACCEPT)
        .filter_map(|entry| entry.split(';').next())
        .any(|range| range.trim().eq_ignore_ascii_case("text/html"));
    let quality = |subtype| quality(headers, "text", subtype, &[("charset", "utf-8")]);
    names_html && quality("html") > 0 && quality("html") >= quality("plain")
}

/// Whether the client accepts gzip explicitly.
pub(super) fn accepts_gzip(headers: &HeaderMap) -> bool {
    header_items(headers, header::ACCEPT_ENCODING).any(|entry| {
        let (name, rest) = entry.split_once(';').unwrap_or((entry, ""));
        name.trim().eq_ignore_ascii_case("gzip") && parse_quality(rest) > 0
    })
}

/// Returns the quality of a media type in thousandths; 1000 without a header.
fn quality(headers: &HeaderMap, kind: &str, subtype: &str, parameters: &[(&str, &str)]) -> u16 {
    if !headers.contains_key(header::ACCEPT) {
        return 1000;
    }
    let (quality, _) = best_range(headers, kind, subtype, parameters);
    quality
}

/// Finds the most specific range that covers a media type. Returns its quality in thousandths and its parameters. Of
/// two equally specific ranges, the one with the higher quality wins.
fn best_range<'a>(headers: &'a HeaderMap, kind: &str, subtype: &str, parameters: &[(&str, &str)]) -> (u16, &'a str) {
    let mut best = (0, 0, "");
    for entry in header_items(headers, header::ACCEPT) {
        let (range, rest) = entry.split_once(';').unwrap_or((entry, ""));
        let (one, two) = range.trim().split_once('/').unwrap_or((range.trim(), ""));
        let is_alike = |pattern: &str, is: &str| pattern.eq_ignore_ascii_case(is);
        let (mut specificity, covers) = match (one, two) {
            ("*", "*") => (1, true),
            (one, "*") => (2, is_alike(one, kind)),
            (one, two) => (3, is_alike(one, kind) && is_alike(two, subtype)),
        };
        let named = rest.split(';').filter_map(|pair| pair.trim().split_once('=')).filter(|(key, _)| *key != "q");
        let mut fits = covers;
        for (key, value) in named {
            let value = value.trim_matches('"');
            // Two versions of a format are different formats.
            fits &= parameters.iter().any(|(k, v)| is_alike(key, k) && (*v == ANY || is_alike(value, v)));
            specificity += 1;
        }
        let (specificity_so_far, quality_so_far, _) = best;
        let quality = parse_quality(rest);
        if fits && (specificity, quality) >= (specificity_so_far, quality_so_far) {
            best = (specificity, quality, rest);
        }
    }
    let (_, quality, parameters) = best;
    (quality, parameters)
}

fn header_items(headers: &HeaderMap, name: header::HeaderName) -> impl Iterator<Item = &str> {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).take(MAX_ENTRIES).filter(|entry| entry.len() <= MAX_ENTRY_BYTES)
}

/// Parses the parameter `q` in thousandths; 1000 if it is missing, 0 if it is invalid.
fn parse_quality(parameters: &str) -> u16 {
    let q = parameters.split(';').filter_map(|pair| pair.trim().split_once('=')).find(|(key, _)| *key == "q");
    let Some((_, q)) = q else { return 1000 };
    q.trim().parse::<f32>().map_or(0, |q| (q.clamp(0.0, 1.0) * 1000.0) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, value.parse().unwrap());
        headers
    }

    #[test]
    fn only_a_client_that_names_html_gets_html_where_text_is_served_too() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8";
        for (header, prefers) in [
            (browser, true),
            ("text/html", true),
            ("*/*", false),
            ("text/*", false),
            ("text/plain, text/html;q=0.5", false),
            ("text/html;q=0", false),
            ("application/yaml", false),
        ] {
            assert_eq!(prefers_html(&accept(header)), prefers, "{header}");
        }
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn the_format_is_the_one_that_the_client_likes_best() {
        assert_eq!(metrics_format(&HeaderMap::new()), Some(ExpositionFormat::Text));
        let (text, open, neither) = (Some(ExpositionFormat::Text), Some(ExpositionFormat::OpenMetrics), None);
        for (value, format) in [
            ("*/*", text),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8", text),
            // Prometheus 2.42.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                open,
            ),
            // Prometheus 3.
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                open,
            ),
            // Prometheus with protobuf and without OpenMetrics.
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                text,
            ),
            ("application/openmetrics-text; version=\"1.0.0\"; charset=utf-8", open),
            ("application/openmetrics-text", open),
            ("application/openmetrics-text;version=1.0.0;escaping=underscores", open),
            ("application/openmetrics-text;version=1.0.0;escaping=dots", open),
            ("application/openmetrics-text;version=1.0.0;unknown=1", neither),
            ("application/openmetrics-text;version=0.0.1,text/plain;q=0.1", text),
            ("text/plain;version=1.0.0", neither),
            ("text/plain;q=0,*/*;q=0.5", open),
            ("text/*", text),
            ("image/png", neither),
            ("*/*;q=0", neither),
            ("text/plain;q=nonsense", neither),
        ] {
            assert_eq!(metrics_format(&accept(value)), format, "{value}");
        }
    }

    #[test]
    fn the_escaping_is_the_one_that_the_client_asks_for_where_it_changes_no_name() {
        assert_eq!(escaping(&HeaderMap::new()), Escaping::Underscores);
        for (value, scheme) in [
            ("*/*", Escaping::Underscores),
            ("application/openmetrics-text;version=1.0.0", Escaping::Underscores),
            ("application/openmetrics-text;version=1.0.0;escaping=underscores;q=0.5", Escaping::Underscores),
            ("application/openmetrics-text; version=1.0.0; escaping=allow-utf-8;q=0.5,*/*;q=0.1", Escaping::AllowUtf8),
            ("application/openmetrics-text;version=1.0.0;escaping=\"values\"", Escaping::Values),
            ("application/openmetrics-text;version=1.0.0;Escaping=Values", Escaping::Values),
            // It would double each underscore.
            ("application/openmetrics-text;version=1.0.0;escaping=dots", Escaping::Underscores),
            ("application/openmetrics-text;version=1.0.0;escaping=nonsense", Escaping::Underscores),
            // The client prefers the first one.
            (
                "application/openmetrics-text;version=1.0.0;escaping=values;q=0.6,application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5",
                Escaping::Values,
            ),
            // The escaping of another format or version.
            ("text/plain;version=1.0.0;escaping=values,application/openmetrics-text;q=0.1", Escaping::Underscores),
            ("application/openmetrics-text;version=0.0.1;escaping=values", Escaping::Underscores),
        ] {
            assert_eq!(escaping(&accept(value)), scheme, "{value}");
        }
    }

    #[test]
    fn a_bounded_part_of_a_header_is_looked_at() {
        for (others, format) in [(MAX_ENTRIES - 1, Some(ExpositionFormat::OpenMetrics)), (MAX_ENTRIES, None)] {
            let mut headers = HeaderMap::new();
            let value = "image/png,".repeat(others) + "application/openmetrics-text";
            headers.insert(header::ACCEPT, value.parse().unwrap());
            assert_eq!(metrics_format(&headers), format, "{others}");
        }
        let mut headers = HeaderMap::new();
        let value = format!("text/plain{},image/png", ";version=0.0.4".repeat(100));
        headers.insert(header::ACCEPT, value.parse().unwrap());
        assert_eq!(metrics_format(&headers), None);
    }

    #[test]
    fn gzip_must_be_asked_for() {
        for (value, takes) in
            [("gzip", true), ("deflate, gzip;q=0.5", true), ("gzip;q=0", false), ("br", false), ("*", false)]
        {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(accepts_gzip(&headers), takes, "{value}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }
}
