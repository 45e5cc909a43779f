//! Cookies of one run (RFC 6265). A redirect may depend on a cookie that an earlier response of the same run has set.
//!
//! The jar is empty at the start of each run. A cookie is sent only to the host that has set it, or to the domain that
//! its attribute `Domain` names and that contains this host. There is no list of public suffixes: no cookie of another
//! run or of the user can leak, because the jar contains none.

use hyper::{
    HeaderMap,
    header::{HeaderValue, SET_COOKIE},
};
use jiff::Timestamp;

use crate::{checks::age, io::http::url::HttpUrl};

/// Cookies that the responses of one run have set.
#[derive(Debug, Default)]
pub(super) struct CookieJar(Vec<Cookie>);

#[derive(Debug)]
struct Cookie {
    name: Vec<u8>,
    value: Vec<u8>,
    /// The host that has set the cookie, or the value of the attribute `Domain`.
    domain: String,
    /// Whether the cookie is also sent to hosts below `domain`.
    includes_subdomains: bool,
    path: String,
    is_secure: bool,
}

/// Maximum number of cookies: the number that RFC 6265, section 6.1, requires for each domain.
const MAX_COOKIES: usize = 50;
/// Maximum size of a cookie with its attributes (RFC 6265, section 6.1).
const MAX_COOKIE_BYTES: usize = 4 << 10;

impl CookieJar {
    /// Stores the cookies of a response. Cookies that are too large, too many or malformed are ignored.
    pub(super) fn store(&mut self, from: &HttpUrl, headers: &HeaderMap) {
        for value in headers.get_all(SET_COOKIE) {
            let bytes = value.as_bytes();
            if bytes.len() > MAX_COOKIE_BYTES {
                continue;
            }
            let Some((cookie, has_ended)) = Cookie::parse(bytes, from) else { continue };
            self.0.retain(|other| !other.is_replaced_by(&cookie));
            if !has_ended && self.0.len() < MAX_COOKIES {
                self.0.push(cookie);
            }
        }
    }

    /// The value of `Cookie` for a request: the configured cookies, followed by the stored ones, longest path first.
    pub(super) fn header(&self, to: &HttpUrl, configured: Option<&HeaderValue>) -> Option<HeaderValue> {
        let mut stored: Vec<_> = self.0.iter().filter(|cookie| cookie.is_for(to)).collect();
        if stored.is_empty() {
            return None;
        }
        stored.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let stored = stored.into_iter().map(|cookie| [&cookie.name[..], &cookie.value[..]].join(&b'='));
        let all: Vec<_> = configured.map(|value| value.as_bytes().to_vec()).into_iter().chain(stored).collect();
        let mut value = HeaderValue::from_bytes(&all.join(&b"; "[..])).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

impl Cookie {
    /// Parses a value of `Set-Cookie` and returns whether the cookie has expired, which deletes it. `None` for a cookie
    /// that its sender may not set.
    fn parse(bytes: &[u8], from: &HttpUrl) -> Option<(Self, bool)> {
        let mut parts = bytes.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let (name, value) = split_pair(parts.next()?);
        let host = normalized(from.host());
        let mut cookie = Self {
            name: name.to_vec(),
            value: value?.to_vec(),
            domain: host.clone(),
            includes_subdomains: false,
            path: default_path(from),
            is_secure: false,
        };
        let (mut max_age, mut expires) = (None, None);
        for part in parts {
            let (name, value) = split_pair(part);
            let value = String::from_utf8_lossy(value.unwrap_or_default()).into_owned();
            match name.to_ascii_lowercase().as_slice() {
                b"domain" if !value.is_empty() => {
                    cookie.domain = normalized(value.strip_prefix('.').unwrap_or(&value));
                    cookie.includes_subdomains = true;
                }
                b"path" if value.starts_with('/') => cookie.path = value,
                b"secure" => cookie.is_secure = true,
                b"max-age" => max_age = value.parse::<i64>().ok(),
                b"expires" => expires = age::parse_time(&value),
                _ => {}
            }
        }
        let is_own = cookie.domain == host;
        // An address has no subdomains, and a name without a dot contains every host of the world or none.
        let is_parent = cookie.domain.contains('.') && from.address().is_none() && is_below(&host, &cookie.domain);
        if cookie.name.is_empty() || !(is_own || is_parent) || (cookie.is_secure && !from.is_https()) {
            return None;
        }
        let now = Timestamp::now().as_duration().as_secs_f64();
        let has_ended = max_age.map_or(expires.is_some_and(|end| end <= now), |seconds| seconds <= 0);
        Some((cookie, has_ended))
    }

    fn is_replaced_by(&self, new: &Self) -> bool {
        (&self.name, &self.domain, &self.path) == (&new.name, &new.domain, &new.path)
    }

    fn is_for(&self, to: &HttpUrl) -> bool {
        let host = normalized(to.host());
        let is_host = self.domain == host
            || (self.includes_subdomains && to.address().is_none() && is_below(&host, &self.domain));
        let path = to.url().path();
        let is_path = path
            .strip_prefix(&self.path)
            .is_some_and(|rest| rest.is_empty() || self.path.ends_with('/') || rest.starts_with('/'));
        is_host && is_path && (!self.is_secure || to.is_https())
    }
}

fn split_pair(part: &[u8]) -> (&[u8], Option<&[u8]>) {
    let at = part.iter().position(|byte| *byte == b'=');
    match at.and_then(|at| Some((part.get(..at)?, part.get(at + 1..)?))) {
        Some((name, value)) => (name.trim_ascii(), Some(value.trim_ascii())),
        None => (part, None),
    }
}

fn normalized(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// The path of a cookie without a valid attribute `Path` (RFC 6265, section 5.1.4): the folder of the URL.
fn default_path(from: &HttpUrl) -> String {
    match from.url().path().rsplit_once('/') {
        Some((folder, _)) if !folder.is_empty() => folder.to_owned(),
        _ => "/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> HttpUrl {
        serde_json::from_value(text.into()).unwrap()
    }

    fn jar(from: &str, cookies: &[&str]) -> CookieJar {
        let mut jar = CookieJar::default();
        for cookie in cookies {
            jar.store(&url(from), &HeaderMap::from_iter([(SET_COOKIE, HeaderValue::from_str(cookie).unwrap())]));
        }
        jar
    }

    fn sent(jar: &CookieJar, to: &str) -> String {
        jar.header(&url(to), None).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_cookie_is_sent_only_where_its_attributes_allow() {
        let from = "https://www.shop.example/a/b";
        let cases = [
            ("x=1", "https://www.shop.example/a/c", "x=1"),
            ("x=1", "https://www.shop.example/a", "x=1"),
            ("x=1", "https://www.shop.example/ab", ""),
            ("x=1", "https://shop.example/a/b", ""),
            ("x=1", "https://evil.example/a/b", ""),
            ("x=1", "http://www.shop.example:8080/a/b", "x=1"),
            ("x=1; Secure", "http://www.shop.example/a/b", ""),
            ("x=1; Secure; HttpOnly; SameSite=Lax", "https://www.shop.example/a/b", "x=1"),
            ("x=1; Path=/", "https://www.shop.example/", "x=1"),
            ("x=1; Path=/a/", "https://www.shop.example/a", ""),
            ("x=1; Path=nonsense", "https://www.shop.example/a/", "x=1"),
            ("x=1; Domain=shop.example; Path=/", "https://login.shop.example/", "x=1"),
            ("x=1; Domain=.Shop.Example; Path=/", "https://shop.example/", "x=1"),
            ("x=1; Domain=shop.example; Path=/", "https://otshop.example/", ""),
            ("x=1; Domain=evil.example; Path=/", "https://evil.example/", ""),
            ("x=1; Domain=example; Path=/", "https://evil.example/", ""),
            ("x=1; Max-Age=60", from, "x=1"),
            ("x=1; Max-Age=0", from, ""),
            ("x=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT", from, ""),
            ("x=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=9", from, "x=1"),
            ("x = a=b ; Path=/", from, "x=a=b"),
            ("x=", from, "x="),
            ("=1", from, ""),
            ("x", from, ""),
        ];
        for (cookie, to, expected) in cases {
            assert_eq!(sent(&jar(from, &[cookie]), to), expected, "{cookie} to {to}");
        }
        assert_eq!(sent(&jar("http://127.0.0.1/", &["x=1; Domain=0.0.1"]), "http://127.0.0.1/"), "");
        assert_eq!(sent(&jar("http://a.example/", &["x=1; Secure"]), "https://a.example/"), "");
    }

    #[test]
    fn a_later_cookie_replaces_an_earlier_one_or_deletes_it() {
        let at = "http://a.example/";
        assert_eq!(sent(&jar(at, &["x=1", "y=2", "x=3"]), at), "y=2; x=3");
        assert_eq!(sent(&jar(at, &["x=1", "x=; Max-Age=0"]), at), "");
        assert_eq!(sent(&jar(at, &["x=1; Path=/", "x=2; Path=/a"]), "http://a.example/a"), "x=2; x=1");
        let configured = HeaderValue::from_static("own=1");
        assert_eq!(jar(at, &["x=1"]).header(&url(at), Some(&configured)).unwrap(), "own=1; x=1");
    }

    #[test]
    fn the_number_and_the_size_of_cookies_are_bounded() {
        let many: Vec<_> = (0..200).map(|at| format!("c{at}=1")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert_eq!(jar("http://a.example/", &many).0.len(), MAX_COOKIES);
        let large = format!("x={}", "y".repeat(MAX_COOKIE_BYTES));
        assert_eq!(jar("http://a.example/", &[&large]).0.len(), 0);
    }
}
