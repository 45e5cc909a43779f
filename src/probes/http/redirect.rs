//! Where a redirect leads, and what must not go there: a redirect is an order from the other end, and may come from
//! somebody who wants to be given a password.

use std::borrow::Cow;

use hyper::{HeaderMap, body::Bytes, header::LOCATION};

use super::{Method, request::Hop, target::Target};
use crate::probe::{Failure, Reason};

/// The next hop, if this answer is a redirect.
///
/// # Errors
/// `protocol` where the location is no URL; `status` where following it would drop the encryption or carry the body
/// to another origin.
pub(super) fn next(hop: &Hop<'_>, status: u16, headers: &HeaderMap) -> Result<Option<Hop<'static>>, Failure> {
    let (301..=303 | 307 | 308, Some(location)) = (status, headers.get(LOCATION)) else { return Ok(None) };
    let from = &hop.target;
    let lost = |why: &str| Failure::new(Reason::Protocol, format!("{from} redirects (status {status}) to {why}"));
    let location = location.to_str().map_err(|_| lost("something that is not text"))?;
    let target = from.join(location).map_err(|why| lost(&format!("something that can't be followed: {why}")))?;
    let refused = |why: &str| {
        let text = format!("{from} redirects (status {status}) to {target}, which is not followed: {why}");
        Err(Failure::new(Reason::Status, text))
    };
    if from.is_https() && !target.is_https() {
        return refused("it would drop the encryption");
    }
    // Who has left the origin and is sent back to it comes with the wishes of a stranger.
    let own = hop.own && from.is_same_origin(&target);
    let (method, body) = method_and_body(hop, status);
    if !own && !body.is_empty() {
        return refused("it would carry the body to another origin");
    }
    Ok(Some(Hop { target: Cow::<Target>::Owned(target), method, body, own }))
}

/// RFC 9110, 15.4: 303 turns everything but HEAD into GET; so do all browsers for POST with 301 and 302.
fn method_and_body(hop: &Hop<'_>, status: u16) -> (Method, Bytes) {
    match (status, hop.method) {
        (303, Method::Head) => (Method::Head, Bytes::new()),
        (303, _) | (301 | 302, Method::Post) => (Method::Get, Bytes::new()),
        (_, method) => (method, hop.body.clone()),
    }
}
