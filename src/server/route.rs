//! The addresses of the server.

use hyper::Method;

use super::page;

/// Target of a path.
pub(super) enum Route<'a> {
    Metrics,
    Page,
    Asset(&'static page::Asset),
    Ready,
    Healthy,
    Started,
    Reload,
    Config,
    Status,
    Checks,
    Check(&'a str, &'a str),
    CheckPage(&'a str, &'a str),
    Reference(&'a str, &'a str),
    Runbooks,
    Runbook(&'a str),
    Redirect(&'static str),
}

impl<'a> Route<'a> {
    pub(super) fn parse(path: &'a str) -> Option<Self> {
        Some(match path {
            "/" => Self::Page,
            "/metrics" => Self::Metrics,
            "/ready" => Self::Ready,
            "/-/healthy" => Self::Healthy,
            "/-/ready" => Self::Started,
            "/-/reload" => Self::Reload,
            "/config" => Self::Config,
            "/api/v1/status" => Self::Status,
            "/api/v1/checks" => Self::Checks,
            "/runbooks" => Self::Redirect("runbooks/"),
            "/runbooks/" => Self::Runbooks,
            _ => {
                if let Some(name) = path.strip_prefix("/api/v1/checks/") {
                    let (probe, check) = name.split_once('/')?;
                    Self::Check(probe, check)
                } else if let Some(name) = path.strip_prefix("/checks/") {
                    let (probe, check) = name.split_once('/').filter(|(_, check)| !check.contains('/'))?;
                    Self::CheckPage(probe, check)
                } else if let Some(name) = path.strip_prefix("/reference/") {
                    let (kind, check) = name.split_once('/').filter(|(_, check)| !check.contains('/'))?;
                    Self::Reference(kind, check)
                } else if let Some(name) = path.strip_prefix("/runbooks/") {
                    Self::Runbook(name)
                } else {
                    Self::Asset(page::Asset::find(path)?)
                }
            }
        })
    }

    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Self::Reload => &[Method::POST, Method::PUT],
            _ => &[Method::GET, Method::HEAD],
        }
    }

    /// Whether the route requires a known host name, because it changes state or shows the configuration. The other
    /// routes reveal no more than `/metrics`, and clients reach them under unlisted names.
    pub(super) fn needs_known_host(&self) -> bool {
        matches!(self, Self::Reload | Self::Config)
    }

    /// The response's media type, on routes that answer 406 when `Accept` rules it out. Health checks always respond,
    /// because their clients read only the status and some send unusual headers.
    pub(super) fn media_type(&self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Page | Self::Runbooks | Self::Runbook(_) | Self::CheckPage(..) | Self::Reference(..) => {
                Some(("text", "html"))
            }
            Self::Status | Self::Checks | Self::Check(..) => Some(("application", "json")),
            _ => None,
        }
    }
}
