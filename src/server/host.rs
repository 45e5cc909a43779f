//! Checks the host names of requests.
//!
//! A web site can make its own name resolve to the address of this daemon (DNS rebinding). The browser then treats the
//! daemon as part of that site: the site's scripts can read responses and send requests. Only the `Host` header reveals
//! the foreign name. Literal addresses and `localhost` can't be rebound.

use std::net::IpAddr;

use hyper::{
    HeaderMap, Uri,
    header::{self, HeaderValue},
};

use crate::settings::Server;

/// Returns the reason to refuse a request for a host that is not known to be this daemon.
pub(super) fn refusal_reason(uri: &Uri, headers: &HeaderMap, settings: &Server) -> Option<String> {
    // Some servers prefer the authority of an absolute request target over the header, so both must be allowed.
    let of_header = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    let of_target = uri.authority().map(|authority| authority.as_str());
    if of_header.is_some() && of_header.into_iter().chain(of_target).all(|host| is_allowed(host, settings)) {
        return None;
    }
    Some(
        "this address is served only under a known host name, because a web site could make its own name resolve to this \
         daemon and act in the name of its visitor (DNS rebinding); use an IP address or localhost, list the name in \
         `server.allowed_hosts`, or set `server.external_url`"
            .to_owned(),
    )
}

fn is_allowed(host: &str, settings: &Server) -> bool {
    let name = without_port(host);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    // A trailing dot denotes the same name.
    let name = name.strip_suffix('.').unwrap_or(name);
    address.parse::<IpAddr>().is_ok() || name.eq_ignore_ascii_case("localhost") || settings.is_allowed_host(name)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.chars().all(|c| c.is_ascii_digit()) && (!name.contains(':') || name.ends_with(']')) =>
        {
            name
        }
        _ => host,
    }
}

/// Whether a browser sent the request from another site. `Sec-Fetch-Site` is only sent over TLS and to localhost, and
/// calls other ports of localhost the same site. `Origin` is sent with every POST, but may be `null`.
pub(super) fn is_cross_site(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    let is_ours = |origin: &HeaderValue| {
        let origin = origin.as_bytes();
        let authority = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
        authority.is_some() && authority == host
    };
    headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none")
        || headers.get(header::ORIGIN).is_some_and(|origin| !is_ours(origin))
}

/// A header that [`is_cross_site`] reads and that is present more than once: a proxy may go by another than this
/// server.
pub(super) fn repeated_origin(headers: &HeaderMap) -> Option<&'static str> {
    ["origin", "sec-fetch-site"].into_iter().find(|name| headers.get_all(*name).iter().nth(1).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Server {
        Server {
            listen: Vec::new(),
            lifecycle: true,
            external_url: Some("https://ready.example.com/x".to_owned()),
            allowed_hosts: vec!["monitor".to_owned()],
        }
    }

    #[test]
    fn literal_addresses_and_known_names_are_allowed() {
        for host in [
            "127.0.0.1",
            "127.0.0.1:10980",
            "10.1.2.3:1",
            "[::1]",
            "[::1]:10980",
            "::1",
            "localhost",
            "LOCALHOST.:80",
            "ready.example.com",
            "Ready.Example.com:443",
            "ready.example.com.",
            "monitor:10980",
        ] {
            assert!(is_allowed(host, &settings()), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "evil.example:10980",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "evil-localhost",
            "monitor.evil.example",
            "monitor:80:80",
            "0x7f.1",
            "127.1",
            "2130706433",
            "[::1].evil.example",
            "monitor@evil.example",
            "evil.example/monitor",
            "127.0.0.1@evil.example",
            "[monitor]",
            "ready.example.com:x",
        ] {
            assert!(!is_allowed(host, &settings()), "{host}");
        }
    }

    #[test]
    fn neither_the_header_nor_the_request_target_may_lie() {
        let refused = |target: &str, host: Option<&str>| {
            let headers = host.map(|host| (header::HOST, host.parse().unwrap())).into_iter().collect();
            refusal_reason(&target.parse().unwrap(), &headers, &settings()).is_some()
        };
        assert!(!refused("/config", Some("localhost")) && !refused("http://monitor/config", Some("localhost")));
        assert!(refused("http://evil.example/config", Some("localhost")));
        assert!(refused("http://localhost/config", Some("evil.example")));
        assert!(refused("/config", None) && refused("http://localhost/config", None));
    }
}
