//! One run: connects, sends the request, follows allowed redirects and compares the status with the expected ones.
//!
//! The probe uses hyper directly instead of an HTTP client, so that each phase has its own duration.

#[cfg(test)]
use std::net::IpAddr;

use hyper::StatusCode;

use super::{
    Http, HttpFacts,
    connection::{Connector, RunResults},
    redirect,
    request::{PreparedRequest, SentHeaders},
};
use crate::{
    io::{
        context::Context,
        http::{
            exchange::{ReceivedResponse, ResponseProgress},
            oauth2::TokenCache,
        },
        kept::Renewal,
    },
    model::{failure::Failure, observation::Incomplete, units::Period, words::Reason},
    probe::Probe,
};

/// A probe of the kind `http`.
#[derive(Debug)]
pub struct HttpProbe {
    settings: Http,
    connector: Connector,
    tokens: TokenCache,
}

impl Probe for HttpProbe {
    type Facts = HttpFacts;

    fn host(&self) -> Option<&str> {
        Some(self.settings.nearest().host())
    }

    async fn observe(&self, cx: &Context) -> Result<HttpFacts, Incomplete<HttpFacts>> {
        let facts = HttpFacts { expected_status: self.settings.expect_status.single_range(), ..HttpFacts::default() };
        let mut seen = RunResults { facts, progress: ResponseProgress::default() };
        let outcome = cx.until_timeout(self.ask(cx, &mut seen)).await;
        match outcome {
            Ok(()) => Ok(seen.facts),
            Err(failure) => {
                let failure = self.explain(failure, &seen, cx);
                let RunResults { mut facts, progress } = seen;
                facts.response = facts.response.or(progress.response.map(Into::into));
                Err(Incomplete { failure, facts: Some(facts) })
            }
        }
    }
}

impl HttpProbe {
    /// Creates a probe without a connection. Bodies are kept only if a check requests them.
    pub(super) fn new(settings: Http, keep_body: bool, renewal: Renewal) -> Self {
        Self { settings, connector: Connector::new(keep_body, renewal), tokens: TokenCache::default() }
    }

    /// Replaces the addresses to which no redirect may lead, because tests must not contact the real ones.
    #[cfg(test)]
    pub(super) fn forbidding(self, forbidden: fn(IpAddr) -> bool) -> Self {
        let mut probe = self;
        probe.connector.forbidden = forbidden;
        probe
    }

    async fn ask(&self, cx: &Context, seen: &mut RunResults) -> Result<(), Failure> {
        let mut sent = SentHeaders::read(&self.settings, cx, &self.tokens).await?;
        let mut hop = PreparedRequest::first(&self.settings);
        let mut near = false;
        loop {
            self.connector.fetch(&self.settings, cx, &hop, &sent, seen).await?;
            let status = seen.progress.response.as_ref().map(|response| response.status);
            if status == Some(StatusCode::UNAUTHORIZED) && hop.same_origin {
                // The token was revoked, or the server has forgotten it. A new token decides.
                self.tokens.forget();
                if sent.has_kept_token && hop.method.is_idempotent() {
                    let cookies = std::mem::take(&mut sent.cookies);
                    sent = SentHeaders::read(&self.settings, cx, &self.tokens).await?;
                    sent.cookies = cookies;
                    continue;
                }
            }
            let Some(answer) = seen.progress.response.take() else {
                return Err(Failure::new(Reason::Internal, "a complete exchange has no response"));
            };
            if seen.facts.redirects.is_empty() {
                near = self.is_near(&hop, &seen.facts);
            }
            if self.settings.cookies {
                sent.cookies.store(&hop.target, &answer.headers);
            }
            let follow = self.follow(&hop, &answer, seen.facts.redirects.len());
            match follow {
                Ok(Some(next)) => {
                    seen.facts.redirects.push(next.target.to_string());
                    Http::register_cookies(cx, &sent, &next.target);
                    let is_configured = next.target.host() == self.settings.url.host();
                    hop = PreparedRequest { near: near || is_configured, ..next };
                }
                end => {
                    let answered = seen.facts.response.insert(answer.into());
                    end?;
                    return self.accept(&hop, answered.status);
                }
            }
        }
    }

    /// Whether the configured URL itself leads to an address that is forbidden to redirects.
    fn is_near(&self, hop: &PreparedRequest<'_>, facts: &HttpFacts) -> bool {
        let reached = facts.remote.filter(|_| self.settings.proxy.is_none()).map(|remote| remote.ip());
        hop.target.address().into_iter().chain(reached).any(self.connector.forbidden)
    }

    fn follow(
        &self,
        hop: &PreparedRequest<'_>,
        answer: &ReceivedResponse,
        followed: usize,
    ) -> Result<Option<PreparedRequest<'static>>, Failure> {
        let max = usize::from(self.settings.follow_redirects.0);
        if max == 0 {
            return Ok(None);
        }
        let next = redirect::next(hop, answer.status.as_u16(), &answer.headers)?;
        match next {
            Some(next) if followed >= max => {
                let hint = match self.settings.cookies {
                    false if answer.headers.contains_key(hyper::header::SET_COOKIE) => {
                        " (the response sets a cookie, which `cookies: false` ignores)"
                    }
                    _ => "",
                };
                let text = format!("redirected more than {max} times, at last to {}{hint}", next.target);
                Err(Failure::new(Reason::Status, text))
            }
            next => Ok(next),
        }
    }

    fn accept(&self, hop: &PreparedRequest<'_>, status: u16) -> Result<(), Failure> {
        let expected = &self.settings.expect_status;
        if expected.contains(status) {
            return Ok(());
        }
        let hint = match status {
            300..=399 if self.settings.follow_redirects.0 == 0 => " (redirects are not followed: `follow_redirects`)",
            _ => "",
        };
        let text = format!("{} answered with status {status}, expected {expected}{hint}", hop.target);
        Err(Failure::new(Reason::Status, text))
    }

    /// Adds the received part of the response to the failure of a run. An unexpected status is the more specific fault:
    /// it was known before the body stalled or broke.
    fn explain(&self, failure: Failure, seen: &RunResults, cx: &Context) -> Failure {
        let target = seen.facts.redirects.last().cloned().unwrap_or_else(|| self.settings.url.to_string());
        let is_timeout = failure.reason == Reason::Timeout;
        let Some(response) = &seen.progress.response else {
            let received = seen.progress.received.count();
            return match seen.facts.response {
                None if is_timeout && received > 0 => {
                    let text = format!("{failure}; {received} bytes came, but no complete head of a response");
                    failure.with_detail(text)
                }
                _ => failure,
            };
        };
        let (status, expected) = (response.status.as_u16(), &self.settings.expect_status);
        let fault = match is_timeout {
            true => {
                let (within, bytes) = (Period(cx.timeout), response.body.received);
                format!("its body did not end within {within} ({bytes} bytes received)")
            }
            false => failure.detail.clone(),
        };
        let may_follow = self.settings.follow_redirects.0 > 0 && redirect::is_redirect(status, &response.headers);
        if !expected.contains(status) && !may_follow {
            let text = format!("{target} answered with status {status}, expected {expected}; {fault}");
            return Failure::new(Reason::Status, text);
        }
        if is_timeout {
            let text = format!("{target} answered with status {status}, but {fault}");
            return failure.with_detail(text);
        }
        failure
    }
}
