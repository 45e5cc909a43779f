//! Validates the external URL and the host names of the daemon.

use url::{Host, Url};

/// Parses an external URL and removes the trailing slash.
pub(super) fn parse_external_url(text: &str) -> Result<String, String> {
    let example = "expected a URL as in https://readiness.example.com or http://monitor:8080/readiness";
    let url = Url::parse(text).map_err(|error| format!("{example}: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(format!("{example}: the scheme must be http or https"));
    }
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(format!("{example}: without user, password, query and fragment"));
    }
    // Runbooks insert the URL into shell commands for copying.
    if let Some(c) = url.as_str().chars().find(|c| !c.is_ascii_alphanumeric() && !"-._~:/[]%".contains(*c)) {
        return Err(format!(
            "`{c}` has a meaning in a shell, into which commands with this URL are pasted: leave it out"
        ));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Parses a host name without port and converts it to lower case.
pub(super) fn parse_host_name(text: &str) -> Result<String, String> {
    let is_name = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    match Host::parse(text) {
        Ok(Host::Domain(name)) if is_name => Ok(name.trim_end_matches('.').to_owned()),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => Err("literal addresses are always allowed: leave it out".to_owned()),
        _ => Err("expected the name of a host, without scheme and port, as in readiness.example.com".to_owned()),
    }
}

/// Returns the host name of an external URL; `None` if it is an address.
pub(super) fn host_of_url(external_url: &str) -> Option<String> {
    parse_host_name(Url::parse(external_url).ok()?.host_str()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_external_url_is_one_that_can_be_pasted_into_a_shell() {
        for (text, url, host) in [
            ("https://Ready.example.com/", "https://ready.example.com", Some("ready.example.com")),
            ("http://monitor:8080/a/b/", "http://monitor:8080/a/b", Some("monitor")),
            ("http://[::1]:10980", "http://[::1]:10980", None),
        ] {
            assert_eq!(parse_external_url(text).as_deref(), Ok(url));
            assert_eq!(host_of_url(url).as_deref(), host);
        }
        for text in [
            "",
            "ready",
            "ftp://a",
            "http://u:p@a/",
            "http://a/?q",
            "http://a/#f",
            "http://a/$(id)",
            "http://a/;x",
            "http://a/'",
        ] {
            assert!(parse_external_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_host_is_a_name() {
        assert_eq!(parse_host_name("Ready.Example.com.").as_deref(), Ok("ready.example.com"));
        for text in ["", "http://a", "a:80", "10.0.0.1", "[::1]", "*", "*.example.com", "a b"] {
            assert!(parse_host_name(text).is_err(), "{text}");
        }
    }
}
