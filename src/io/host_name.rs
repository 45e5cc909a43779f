//! Forms of host names: international names (IDN) and IPv6 addresses with a zone.

use std::{borrow::Cow, net::Ipv6Addr};

use url::Host;

/// ASCII form of a host name for DNS, TLS and certificates: `bücher.example` is `xn--bcher-kva.example`. A host in ASCII
/// is not changed.
///
/// # Errors
/// A description of an international name that is not valid (IDNA 2008, UTS 46).
pub(crate) fn ascii_host(host: &str) -> Result<Cow<'_, str>, String> {
    if host.is_ascii() {
        return Ok(host.into());
    }
    match Host::parse(host) {
        Ok(Host::Domain(name)) => Ok(name.into()),
        _ => Err(format!("`{host}` is not a valid international host name")),
    }
}

/// Address and zone of an IPv6 address such as `fe80::1%eth0`. The zone is the network interface of this machine that
/// leads to the address (RFC 4007).
pub(crate) fn split_zone(host: &str) -> Option<(Ipv6Addr, &str)> {
    let (address, zone) = host.split_once('%')?;
    let is_zone = !zone.is_empty() && zone.bytes().all(|byte| byte.is_ascii_graphic() && !b"/[]%@".contains(&byte));
    address.parse().ok().filter(|_| is_zone).map(|address| (address, zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn international_names_have_an_ascii_form() {
        for (host, ascii) in [
            ("a.example", "a.example"),
            ("A_b.Example.", "A_b.Example."),
            ("bücher.example", "xn--bcher-kva.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
            ("faß.example", "xn--fa-hia.example"),
        ] {
            assert_eq!(ascii_host(host).as_deref(), Ok(ascii), "{host}");
        }
        for bad in ["bü cher.example", "\u{202e}x.example", "ü/x", "１２７.0.0.1"] {
            assert!(ascii_host(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_zone_belongs_to_an_ipv6_address() {
        assert_eq!(split_zone("fe80::1%eth0"), Some((Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1), "eth0")));
        assert_eq!(split_zone("::1%1"), Some((Ipv6Addr::LOCALHOST, "1")));
        for other in ["fe80::1", "fe80::1%", "a%b", "10.0.0.1%eth0", "fe80::1%a b", "fe80::1%a%b"] {
            assert_eq!(split_zone(other), None, "{other}");
        }
    }
}
