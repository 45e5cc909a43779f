//! Routes requests to responses.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};

use hyper::{
    HeaderMap, Method, Request, StatusCode,
    body::Body,
    header::{self, HeaderValue},
    http::request,
};
use jiff::Timestamp;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use tokio::{sync::oneshot, time::timeout};

use super::{
    ReloadReport, ServerContext,
    answers::{AnswerCache, AnswerKey},
    api, host, negotiate,
    page::{self, check::ShownConfiguration, runbook::ReachedAddress},
    page_cache::{PageCache, PageKey},
    query::{CheckFilter, InvalidFilter},
    response::{self, ServerResponse},
    route::Route,
    runbooks,
};
use crate::{
    board::Snapshot,
    exposition::MetricsRenderer,
    outgoing::{Outgoing, PageStream, SharedContent},
    render_thread::RenderThread,
    settings::EffectiveConfig,
};

/// Routes requests; holds the caches of the responses.
#[derive(Debug)]
pub(super) struct Router {
    context: ServerContext,
    metrics: MetricsRenderer,
    pages: PageCache,
    /// Pages with a filter: no other page waits for these.
    filtered: PageCache,
    answers: AnswerCache,
    /// Pages in transfer except metrics pages, so that their readers never displace a scrape.
    outgoing: Arc<Outgoing>,
    config: Mutex<SentConfig>,
}

/// The last configuration that was sent.
#[derive(Debug, Default)]
struct SentConfig {
    effective: Weak<EffectiveConfig>,
    content: Weak<SharedContent>,
}

/// Largest request body that is accepted; no request needs one.
const MAX_REQUEST_BODY_BYTES: u64 = 4 << 10;
/// Longest duration of a reload, which reads files and opens sockets.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest stall of the probe thread with which the daemon counts as healthy.
const MAX_STALL: Duration = Duration::from_secs(60);

impl Router {
    pub(super) fn new(context: ServerContext) -> Self {
        let renderer = Arc::<RenderThread>::default();
        let metrics =
            MetricsRenderer::new(Arc::clone(&context.board), Arc::clone(&renderer), Arc::clone(&context.heartbeat));
        let outgoing = Arc::<Outgoing>::default();
        let pages = |renderer| PageCache::new(Arc::clone(&context.board), renderer, Arc::clone(&outgoing));
        let (pages, filtered) = (pages(renderer), pages(Arc::default()));
        let answers = AnswerCache::new(Arc::clone(&context.board));
        Self { metrics, pages, filtered, answers, outgoing, config: Mutex::default(), context }
    }

    /// Responds to any request. `local` is the server's address on the connection.
    pub(super) async fn respond(&self, request: Request<impl Body>, local: Option<SocketAddr>) -> ServerResponse {
        let (head, body) = request.into_parts();
        let is_api = head.uri.path().starts_with("/api/");
        let is_browser = negotiate::prefers_html(&head.headers);
        let refuse = |status, text: &str| match is_api {
            true => response::json_error(status, text),
            false if is_browser => page::error::error_page(status, head.uri.path(), text),
            false => response::text(status, text),
        };
        let response = if body.size_hint().upper().is_none_or(|bytes| bytes > MAX_REQUEST_BODY_BYTES) {
            let mut response = refuse(StatusCode::PAYLOAD_TOO_LARGE, "this server accepts no request bodies");
            // The rest of the body would follow on this connection.
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            response
        } else if head.headers.get_all(header::HOST).iter().count() > 1 {
            refuse(StatusCode::BAD_REQUEST, "a request must have exactly one Host header")
        } else if let Some(route) = Route::parse(head.uri.path()) {
            let methods = route.methods();
            if !methods.contains(&head.method) {
                let allowed = methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ");
                let mut response = refuse(
                    StatusCode::METHOD_NOT_ALLOWED,
                    &format!("this address accepts {allowed}, not {}", head.method),
                );
                if let Ok(allowed) = HeaderValue::from_str(&allowed) {
                    response.headers_mut().insert(header::ALLOW, allowed);
                }
                response
            } else if let Some(media) =
                route.media_type().filter(|(kind, sub)| !negotiate::accepts(&head.headers, kind, sub))
            {
                let text =
                    format!("this address only serves {}/{}, which the request doesn't accept", media.0, media.1);
                refuse(StatusCode::NOT_ACCEPTABLE, &text)
            } else {
                self.dispatch(route, &head, local).await
            }
        } else {
            refuse(StatusCode::NOT_FOUND, "not found; the status page is at / and the metrics are at /metrics")
        };
        response::finalize(response, &head.method)
    }

    async fn dispatch(&self, route: Route<'_>, head: &request::Parts, local: Option<SocketAddr>) -> ServerResponse {
        let (headers, query) = (&head.headers, head.uri.query().unwrap_or_default());
        if route.needs_known_host()
            && let Some(why) = host::refusal_reason(&head.uri, headers, &self.context.settings)
        {
            return match negotiate::prefers_html(headers) {
                true => page::error::error_page(StatusCode::FORBIDDEN, head.uri.path(), &why),
                false => response::text(StatusCode::FORBIDDEN, why),
            };
        }
        match route {
            Route::Metrics => self.metrics(headers).await,
            Route::Page => self.page(headers, query).await,
            Route::Asset(asset) => asset.response(),
            Route::Healthy => self.healthy(),
            Route::Started => self.answer(AnswerKey::Started, started_response).await,
            Route::Ready => self.answer(AnswerKey::Ready, api::ready_response).await,
            Route::Reload => self.reload(headers).await,
            Route::Config => self.config(headers, query).await,
            Route::Status => self.answer(AnswerKey::Status, api::status_response).await,
            Route::Checks => match query.parse::<CheckFilter>() {
                Ok(filter) => {
                    let key = PageKey { path: "/api/v1/checks", filter, note: None };
                    self.render_shared(key, headers, |all, key| api::checks_json(all, &key.filter)).await
                }
                Err(invalid) => response::json_error(StatusCode::BAD_REQUEST, &invalid.to_string()),
            },
            Route::Check(probe, check) => {
                let (probe, check) = (probe.to_owned(), check.to_owned());
                let made = self.answers.make(move |all| api::check_response(all, &probe, &check)).await;
                made.unwrap_or_else(render_failed)
            }
            Route::CheckPage(probe, check) => self.check_page(probe, check, head).await,
            Route::Reference(kind, check) => {
                let (kind, check) = (kind.to_owned(), check.to_owned());
                let made = self.answers.make(move |_| page::reference::reference_page(&kind, &check)).await;
                made.unwrap_or_else(render_failed)
            }
            Route::Redirect(to) => redirect(to),
            Route::Runbooks | Route::Runbook(_) => self.runbook(route, query, local).await,
        }
    }

    async fn answer(&self, key: AnswerKey, make: fn(&Snapshot) -> ServerResponse) -> ServerResponse {
        self.answers.get_or_make(key, make).await.unwrap_or_else(render_failed)
    }

    async fn runbook(&self, route: Route<'_>, query: &str, local: Option<SocketAddr>) -> ServerResponse {
        let (external_url, query) = (self.context.settings.external_url.clone(), query.to_owned());
        let found = match route {
            Route::Runbook(name) => runbooks::find_runbook(name).ok_or_else(|| name.to_owned()).map(Some),
            _ => Ok(None),
        };
        let key = match &found {
            Ok(None) => Some(AnswerKey::Runbooks(local)),
            Ok(Some(runbook)) => query.is_empty().then_some(AnswerKey::Runbook(runbook.name, local)),
            Err(_) => None,
        };
        let make = move |all: &Snapshot| {
            let reached = ReachedAddress { external_url: external_url.as_deref(), address: local };
            match found {
                Ok(None) => page::runbook::overview_page(reached),
                Ok(Some(runbook)) => page::runbook::runbook_page(runbook, all, &query, reached),
                Err(name) => page::runbook::missing_page(&name, reached),
            }
        };
        let made = match key {
            Some(key) => self.answers.get_or_make(key, make).await,
            None => self.answers.make(make).await,
        };
        made.unwrap_or_else(render_failed)
    }

    /// Responds with the page of a check. The configuration is a part of the page only where `/config` is served.
    async fn check_page(&self, probe: &str, check: &str, head: &request::Parts) -> ServerResponse {
        let decode = |name| percent_decode_str(name).decode_utf8_lossy().into_owned();
        let (probe, check) = (decode(probe), decode(check));
        let is_refused = host::refusal_reason(&head.uri, &head.headers, &self.context.settings).is_some();
        let effective = (!is_refused).then(|| self.context.effective.load_full());
        let make = move |all: &Snapshot| {
            let configuration = match effective {
                Some(effective) => ShownConfiguration::Shown(effective.check_section(&probe, &check)),
                None => ShownConfiguration::Withheld,
            };
            page::check::check_page(all, &probe, &check, &configuration)
        };
        self.answers.make(make).await.unwrap_or_else(render_failed)
    }

    /// Reports whether the probe thread is responsive: the server itself responds even if no probe runs.
    fn healthy(&self) -> ServerResponse {
        let stalled_for = self.context.heartbeat.stalled_for();
        if stalled_for < MAX_STALL {
            return response::text(StatusCode::OK, super::HEALTHY);
        }
        let text = format!(
            "no probe has run for {} seconds: one of them blocks the probe thread, which is a bug; restart the daemon, \
             and report the bug with the log",
            stalled_for.as_secs()
        );
        response::text(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    async fn metrics(&self, headers: &HeaderMap) -> ServerResponse {
        let Some(format) = negotiate::metrics_format(headers) else {
            let text = "the metrics are text/plain; version=0.0.4 or application/openmetrics-text; version=1.0.0";
            return response::text(StatusCode::NOT_ACCEPTABLE, text);
        };
        let gzip = negotiate::accepts_gzip(headers);
        let Some(page) = self.metrics.page(format, gzip).await else { return render_failed() };
        let mut response =
            response::with_media_type(StatusCode::OK, format.content_type(negotiate::escaping(headers)), page);
        set_negotiation_headers(&mut response, gzip, "accept, accept-encoding");
        response
    }

    async fn page(&self, headers: &HeaderMap, query: &str) -> ServerResponse {
        // People edit the address, so the page shows a note instead of a plain-text error.
        let (filter, note) = match query.parse::<CheckFilter>() {
            Ok(filter) => (filter, None),
            Err(too_long @ InvalidFilter::TextTooLong) => {
                return response::text(StatusCode::BAD_REQUEST, too_long.to_string());
            }
            Err(unknown) => (CheckFilter::default(), Some(unknown.note())),
        };
        let key = PageKey { path: "/", filter, note };
        self.render_shared(key, headers, |all, key| page::render(all, &key.filter, key.note.as_deref())).await
    }

    /// Renders a large page on the render thread.
    async fn render_shared(
        &self,
        key: PageKey,
        headers: &HeaderMap,
        make: impl FnOnce(&Snapshot, PageKey) -> (&'static str, String) + Send + 'static,
    ) -> ServerResponse {
        let pages = if key.filter == CheckFilter::default() { &self.pages } else { &self.filtered };
        self.render_in(pages, key, headers, make).await
    }

    async fn render_in(
        &self,
        pages: &PageCache,
        key: PageKey,
        headers: &HeaderMap,
        make: impl FnOnce(&Snapshot, PageKey) -> (&'static str, String) + Send + 'static,
    ) -> ServerResponse {
        let gzip = negotiate::accepts_gzip(headers);
        let Some((media, source)) = pages.get_or_render(key, gzip, make).await else { return render_failed() };
        let mut response = response::with_media_type(StatusCode::OK, media, source);
        set_negotiation_headers(&mut response, gzip, "accept-encoding");
        page::add_security_headers(&mut response);
        response
    }

    /// Responds with the configuration: as a page for browsers, as YAML for other clients.
    async fn config(&self, headers: &HeaderMap, query: &str) -> ServerResponse {
        let wants_page = negotiate::prefers_html(headers) && query != page::configuration::YAML_QUERY;
        let mut response = if wants_page {
            let effective = self.context.effective.load_full();
            let key = PageKey { path: "/config", filter: CheckFilter::default(), note: None };
            let render = move |_: &Snapshot, _| {
                page::configuration::configuration_page(&effective.to_string(), Timestamp::now())
            };
            // The pages of the filters share a thread that delays no page without a filter.
            self.render_in(&self.filtered, key, headers, render).await
        } else if negotiate::accepts(headers, "text", "plain") {
            self.config_yaml()
        } else {
            let text = "this address serves text/html and text/plain, which the request doesn't accept";
            return response::text(StatusCode::NOT_ACCEPTABLE, text);
        };
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept, accept-encoding"));
        response
    }

    /// Responds with the configuration as YAML. Clients that still read a replaced configuration keep its memory, so the
    /// configuration is shared and bounded like other pages.
    fn config_yaml(&self) -> ServerResponse {
        let effective = self.context.effective.load_full();
        let mut sent = self.config.lock();
        let is_same = Weak::ptr_eq(&sent.effective, &Arc::downgrade(&effective));
        let content = sent.content.upgrade().filter(|content| is_same && !content.is_withdrawn());
        let content = content.unwrap_or_else(|| SharedContent::new(effective.compressed().chunks.clone()));
        *sent = SentConfig { effective: Arc::downgrade(&effective), content: Arc::downgrade(&content) };
        let source =
            PageStream::Decompressed(self.outgoing.send_decompressed(&content, &effective.compressed().checksum));
        // Browsers would download application/yaml instead of displaying it.
        response::with_media_type(StatusCode::OK, "text/plain; charset=utf-8", source)
    }

    async fn reload(&self, headers: &HeaderMap) -> ServerResponse {
        if let Some(repeated) = host::repeated_origin(headers) {
            return response::text(
                StatusCode::BAD_REQUEST,
                format!("a request must have at most one header {repeated}"),
            );
        }
        if !self.context.settings.lifecycle {
            let text = "reloading over HTTP is disabled; start with --web.enable-lifecycle, or send SIGHUP";
            return response::text(StatusCode::FORBIDDEN, text);
        }
        if host::is_cross_site(headers) {
            return response::text(StatusCode::FORBIDDEN, "requests from another site are refused");
        }
        let (ask, answered) = oneshot::channel();
        if self.context.reload.try_send(ask).is_err() {
            return response::text(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many requests wait for a reload, or the daemon is stopping",
            );
        }
        match timeout(RELOAD_TIMEOUT, answered).await {
            Ok(Ok(Ok(report))) => response::text(StatusCode::OK, describe_reload(&report)),
            Ok(Ok(Err(error))) => response::text(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("not reloaded; the daemon continues with the previous configuration:\n{error}"),
            ),
            Ok(Err(_)) => response::text(StatusCode::SERVICE_UNAVAILABLE, "not reloaded: the daemon is stopping"),
            Err(_) => response::text(StatusCode::GATEWAY_TIMEOUT, "no answer within a minute; see the log"),
        }
    }
}

fn set_negotiation_headers(response: &mut ServerResponse, gzip: bool, on: &'static str) {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static(on));
    if gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
}

fn describe_reload(report: &ReloadReport) -> String {
    match report.needs_restart.as_slice() {
        [] => "reloaded".to_owned(),
        keys => format!("reloaded; takes effect only after a restart of the daemon: {}", keys.join(", ")),
    }
}

/// `/-/ready`.
fn started_response(all: &Snapshot) -> ServerResponse {
    match all.all_probes_attempted() {
        true => response::text(StatusCode::OK, "ready"),
        false => response::text(StatusCode::SERVICE_UNAVAILABLE, "not every probe has run once"),
    }
}

fn redirect(to: &'static str) -> ServerResponse {
    let mut response = response::text(StatusCode::PERMANENT_REDIRECT, format!("this is at {to}"));
    response.headers_mut().insert(header::LOCATION, HeaderValue::from_static(to));
    response
}

fn render_failed() -> ServerResponse {
    response::text(StatusCode::INTERNAL_SERVER_ERROR, "the page could not be rendered, which is a bug; see the log")
}
