//! The probe kinds, one folder each. A new kind is its folder, one line here and one line in `catalogue.rs`.

pub mod backups;
pub mod http;
pub mod metrics;
pub mod postgres;
pub mod tcp;

#[cfg(test)]
mod tests {
    use std::{mem::size_of_val, sync::Arc, time::Duration};

    use serde_json::{Value, from_value, json};

    use crate::{
        io::{context::Context, resources::Resources},
        kind::Kind,
        probe::Probe,
    };

    fn size_of_run<K: Kind>(settings: Value) -> usize {
        let shared = Arc::<Resources>::default();
        let probe = from_value::<K>(settings).unwrap().build(Vec::new(), &shared).unwrap();
        let cx = Context::new(Duration::from_secs(1), shared);
        size_of_val(&probe.observe(&cx))
    }

    /// The future of each run is moved to the heap. A large one costs more than the run itself: 175 KiB took 10 µs. The
    /// handshake of TLS makes a future large; a run on a kept connection does not need it.
    #[test]
    fn the_future_of_a_run_is_small() {
        let url = json!({"url": "https://127.0.0.1/"});
        let sizes = [
            ("http", size_of_run::<super::http::Http>(url.clone())),
            ("metrics", size_of_run::<super::metrics::Metrics>(url)),
            ("tcp", size_of_run::<super::tcp::Tcp>(json!({"address": "127.0.0.1:1"}))),
            ("postgres", size_of_run::<super::postgres::Postgres>(json!({"host": "127.0.0.1", "user": "a"}))),
            ("backups", size_of_run::<super::backups::Backups>(json!({"files": "/x"}))),
        ];
        assert!(sizes.iter().all(|(_, size)| *size <= 32 << 10), "{sizes:?}");
    }
}
