//! What receives the notifications of an Alertmanager over a webhook, and remembers each of them.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::{Arc, Mutex},
    time::Instant,
};

use serde::Deserialize;

use super::service::{Service, http_response};

/// Every notification since its start.
pub(crate) struct Pager {
    service: Service,
    received: Arc<Mutex<Vec<Notification>>>,
}

/// One notification, as Alertmanager's webhooks write it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Notification {
    #[serde(skip, default = "Instant::now")]
    pub(crate) at: Instant,
    pub(crate) receiver: String,
    pub(crate) alerts: Vec<Alert>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Alert {
    status: String,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Pager {
    pub(crate) fn start() -> Self {
        let (service, received) = (Service::start(), Arc::<Mutex<Vec<Notification>>>::default());
        let list = Arc::clone(&received);
        service.set_behaviour(move |stream, head, _| {
            let length =
                head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
            let mut body = vec![0; length.unwrap()];
            stream.read_exact(&mut body)?;
            list.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            stream.write_all(&http_response("200 OK", "", b""))
        });
        Self { service, received }
    }

    pub(crate) fn url(&self) -> String {
        self.service.url()
    }

    /// Those of which an alert has this label.
    pub(crate) fn about(&self, label: &str, value: &str) -> Vec<Notification> {
        let about = |alert: &Alert| alert.label(label) == value;
        self.notifications().into_iter().filter(|notification| notification.alerts.iter().any(about)).collect()
    }

    pub(crate) fn notifications(&self) -> Vec<Notification> {
        self.received.lock().unwrap().clone()
    }
}

impl Notification {
    /// Something in it is not over.
    pub(crate) fn is_firing(&self) -> bool {
        self.alerts.iter().any(Alert::is_firing)
    }
}

impl Alert {
    pub(crate) fn is_firing(&self) -> bool {
        self.status == "firing"
    }

    pub(crate) fn name(&self) -> &str {
        self.label("alertname")
    }

    /// A label that isn't there is empty, as in Prometheus.
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }

    pub(crate) fn annotation(&self, name: &str) -> &str {
        self.annotations.get(name).map_or("", String::as_str)
    }
}
