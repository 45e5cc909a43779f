//! The dashboards: their JSON is what Grafana imports and what its linter wants, and each query of theirs has rows
//! when a real Prometheus scrapes the real daemon.

mod model;
mod provisioning;
mod queries;
mod rules;
mod words;
