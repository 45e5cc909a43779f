//! Redirects: their targets, and the data that is not sent to them. The server chooses the target of a redirect, and a
//! hostile server may want to receive a password.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use hyper::{
    HeaderMap,
    body::Bytes,
    header::{HeaderValue, LOCATION},
};
use percent_encoding::AsciiSet;

use super::{Method, request::PreparedRequest};
use crate::{
    io::http::url::HttpUrl,
    model::{failure::Failure, words::Reason},
};

/// Addresses outside the link-local networks at which clouds serve metadata or credentials to their machines.
const METADATA: [Ipv4Addr; 3] = [
    // Azure.
    Ipv4Addr::new(168, 63, 129, 16),
    // Alibaba Cloud.
    Ipv4Addr::new(100, 100, 100, 200),
    // Oracle Cloud, classic.
    Ipv4Addr::new(192, 0, 0, 192),
];
/// Prefixes of 32 bits of such addresses in IPv6.
const METADATA_V6: [[u16; 2]; 3] = [
    // AWS: metadata, pod identity, time and names.
    [0xfd00, 0x0ec2],
    // Google Cloud.
    [0xfd20, 0x00ce],
    // Scaleway.
    [0xfd00, 0x0042],
];

/// Whether an address is link-local, or a metadata address of a cloud provider. Services at these addresses trust every
/// process of this machine, so that a target must not be able to send a probe there. An IPv4 address inside an IPv6
/// address counts as itself.
pub(super) fn is_local_to_machine(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || METADATA.contains(&address),
        IpAddr::V6(address) => {
            let [first, second, ..] = address.segments();
            address.is_unicast_link_local()
                || METADATA_V6.contains(&[first, second])
                || embedded(address).is_some_and(|inner| is_local_to_machine(IpAddr::V4(inner)))
        }
    }
}

/// The IPv4 address to which the traffic for an IPv6 address goes: mapped and compatible addresses (RFC 4291, section
/// 2.5.5), NAT64 (RFC 6052 and 8215) and 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let inner = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match [a, b, c, d, e, f] {
        [0, 0, 0, 0, 0, 0 | 0xffff] | [0, 0, 0, 0, 0xffff, 0] | [0x64, 0xff9b, 0, 0, 0, 0] | [0x64, 0xff9b, 1, ..] => {
            Some(inner(high, low))
        }
        [0x2002, ..] => Some(inner(b, c)),
        _ => None,
    }
}

/// The failure of a redirect to an address that is local to this machine.
pub(super) fn forbidden(hop: &PreparedRequest<'_>, address: IpAddr) -> Failure {
    let text = format!(
        "a redirect leads to {} at {address}, which is not followed: link-local and metadata addresses are only asked \
         where `url` itself leads to one",
        hop.target
    );
    Failure::new(Reason::Status, text)
}

/// The next request, if the response is a redirect.
///
/// # Errors
/// `protocol` if the location is no URL; `status` if following it would drop the encryption or send the body to another
/// origin.
pub(super) fn next(
    hop: &PreparedRequest<'_>,
    status: u16,
    headers: &HeaderMap,
) -> Result<Option<PreparedRequest<'static>>, Failure> {
    let (301..=303 | 307 | 308, Some(location)) = (status, headers.get(LOCATION)) else { return Ok(None) };
    let from = &hop.target;
    let lost = |why: &str| Failure::new(Reason::Protocol, format!("{from} redirects (status {status}) to {why}"));
    let target =
        from.join(&location_text(location)).map_err(|why| lost(&format!("something that can't be followed: {why}")))?;
    let refused = |why: &str| {
        let text = format!("{from} redirects (status {status}) to {target}, which is not followed: {why}");
        Err(Failure::new(Reason::Status, text))
    };
    if from.is_https() && !target.is_https() {
        return refused("it would drop the encryption");
    }
    // After another origin has redirected back, the request is a choice of the other origin.
    let same_origin = hop.same_origin && from.is_same_origin(&target);
    let (method, body) = method_and_body(hop, status);
    if !same_origin && !body.is_empty() {
        return refused("it would carry the body to another origin");
    }
    Ok(Some(PreparedRequest { target: Cow::<HttpUrl>::Owned(target), method, body, same_origin, near: false }))
}

/// Whether a response is a redirect that can be followed.
pub(super) fn is_redirect(status: u16, headers: &HeaderMap) -> bool {
    matches!(status, 301..=303 | 307 | 308) && headers.contains_key(LOCATION)
}

/// The text of a `Location`, which should be ASCII. Servers also send UTF-8, which is read as in browsers. The
/// bytes of other encodings are sent back percent-encoded.
fn location_text(location: &HeaderValue) -> Cow<'_, str> {
    match std::str::from_utf8(location.as_bytes()) {
        Ok(text) => text.into(),
        Err(_) => percent_encoding::percent_encode(location.as_bytes(), NON_ASCII).collect(),
    }
}

/// Encodes the bytes above ASCII, which every set includes.
const NON_ASCII: &AsciiSet = &AsciiSet::EMPTY;

/// The method and the body of the next request. RFC 9110, section 15.4: 303 turns every method except HEAD into GET. As
/// in all browsers, 301 and 302 turn POST into GET.
fn method_and_body(hop: &PreparedRequest<'_>, status: u16) -> (Method, Bytes) {
    match (status, hop.method) {
        (303, Method::Head) => (Method::Head, Bytes::new()),
        (303, _) | (301 | 302, Method::Post) => (Method::Get, Bytes::new()),
        (_, method) => (method, hop.body.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_local_and_metadata_addresses_are_known_in_every_spelling() {
        let is = |text: &str| is_local_to_machine(text.parse().unwrap());
        for address in [
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "168.63.129.16",
            "100.100.100.200",
            "192.0.0.192",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:42::42",
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "::ffff:100.100.100.200",
        ] {
            assert!(is(address), "{address}");
        }
        for address in [
            "127.0.0.1",
            "10.0.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "100.100.100.201",
            "192.0.0.191",
            "::1",
            "::",
            "fec0::1",
            "fe7f::1",
            "fd00:ec3::254",
            "fd12:3456::1",
            "2001:db8::a9fe:a9fe",
            "::ffff:10.0.0.1",
            "2002:0a00:0001::1",
        ] {
            assert!(!is(address), "{address}");
        }
    }
}
