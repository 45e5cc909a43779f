//! The status page.

use bytes::Bytes;
use hyper::{
    StatusCode,
    header::{self, HeaderValue},
};

use super::{
    answer::{self, Answer},
    query::Filter,
};
use crate::board::Snapshot;

/// A file that the page needs.
#[derive(Debug)]
pub(super) struct Asset {
    media: &'static str,
    content: &'static str,
}

impl Asset {
    /// What is at a path.
    pub(super) fn at(path: &str) -> Option<&'static Self> {
        let _ = path;
        None
    }

    pub(super) fn answer(&self) -> Answer {
        answer::of(StatusCode::OK, self.media, [Bytes::from_static(self.content.as_bytes())])
    }
}

/// Nothing foreign is loaded, nothing inline is run.
pub(super) fn guard(answer: &mut Answer) {
    let policy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                  base-uri 'none'; form-action 'self'; frame-ancestors 'self'";
    answer.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
}

/// The page, as media type and text.
pub(super) fn answer(all: &Snapshot, filter: &Filter, unknown: Option<&str>) -> (&'static str, String) {
    let _ = (all, filter, unknown);
    ("text/html; charset=utf-8", "<!doctype html>".to_owned())
}
