//! readiness-exporter evaluates production readiness checks continuously. Probes observe targets, checks judge the
//! observations, and the verdicts are served to Prometheus, people and pipelines.
//!
//! ```text
//!  YAML + environment + flags ──settings──▶ Settings ──app──▶ jobs, sockets, board (all checks pending)
//!                                                │ App::run
//!                          scheduler: one task per probe; interval, concurrency limits, dependencies
//!                                                │ kind: Job::run with timeout; catches panics, redacts secrets
//!                                                │   probe.observe(&context) -> Result<Facts, Incomplete<Facts>>
//!                                                │   check.judge(&observation) -> Verdict
//!                                                ▼
//!                          board: thresholds, status, history ──▶ state (survives a restart)
//!                                                │ snapshot: pointers are copied under the lock, rendering follows
//!               ┌──────────────────┬─────────────┴─────┬──────────────────────┐
//!          exposition        server: /ready, API   server: status page   cli: check, explain (one run)
//! ```
//!
//! A scrape never evaluates a check: ten scrapers cost no more than one, and a slow target can't time out a scrape.
//!
//! # Modules
//!
//! | module | content |
//! |---|---|
//! | [`model`] | vocabulary without I/O: statuses, units, limits, measures, verdicts, metric families, redaction |
//! | [`document`] | a configuration document as a tree with locations, and the list of its errors |
//! | [`io`] | resources of a run: context, TLS, DNS and connections, HTTP client, secret files |
//! | [`probe`] | trait `Probe` |
//! | [`kind`] | traits `Kind` and `CheckKind`, registry entries, and the runner of a probe with its checks |
//! | [`checks`] | checks that can judge the facts of several kinds |
//! | [`probes`] | one folder for each probe kind: settings, probe, facts and the kind's own checks |
//! | [`catalogue`] | the list of probe kinds, and lookups in it |
//! | [`settings`] | loading and validation of the configuration, JSON Schema |
//! | [`board`] | the latest state of every probe and check |
//! | [`scheduler`] | start times, concurrency limits and dependencies of runs |
//! | [`state`] | the state file |
//! | [`exposition`] | the board as Prometheus metrics |
//! | [`server`] | HTTP server: metrics, status page, API, runbooks, reload |
//! | `outgoing` | pages in transfer to clients, bounded in memory |
//! | [`app`] | assembly, main loop, reload and shutdown of the daemon |
//! | `reference` | reference pages of kinds, checks and metrics |
//! | [`cli`] | command line, one module for each command |
//! | [`telemetry`] | logging |
//!
//! Each module imports only modules below it. `tests/it/architecture.rs` contains the order (`ORDER`) and fails on an
//! upward import, a cycle, or an import between two probe kinds.
//!
//! # Where a change goes
//!
//! **A new check of one kind** needs three changes:
//!
//! 1. `src/probes/KIND/checks/NAME.rs`: a struct with the settings (`Serialize`, `Deserialize`, `JsonSchema`,
//!    `deny_unknown_fields`; the doc comment of each field is its description in the schema), `impl CheckKind` with
//!    `NAME`, `CATEGORY`, `SEVERITY`, `MEASURES`, `DOC` and, for an alert of its own, `ALERT`, and `impl Check` with
//!    `judge`, which is pure. `requested_facts` requests facts, and `limits` returns the configured limits.
//! 2. `src/probes/KIND/checks/NAME.md`: the reference page, included by `DOC`: purpose, table of situations and
//!    verdicts, minimal and realistic example, privileges, remediation. A test loads the examples.
//! 3. `src/probes/KIND/checks/mod.rs`: `pub mod NAME;`, a `use` and one entry `CheckEntry::new::<Name>()` in `CHECKS`.
//!
//! Settings, error messages, schema, reference, metrics (`readiness_check_value*`, `readiness_check_limit*`),
//! dashboards, alert and runbook link follow from the declarations. `UPDATE=1 cargo test --test it documents` renews
//! the generated files. A small existing check is a good start, such as `probes/backups/checks/retention.rs`.
//!
//! **A check of several kinds** goes to `src/checks/`. It is generic over the facts, with a trait that the facts of each
//! kind implement, and has an entry in the list of each kind.
//!
//! **A new kind** is the folder `src/probes/KIND/`: `mod.rs` with the settings and `impl Kind`, `probe.rs` with
//! `impl Probe`, `facts.rs`, `checks/mod.rs` and the page `KIND.md`. In addition: one line in `src/probes/mod.rs` and one
//! line in [`catalogue::all`].
//!
//! **A new fact** goes to the facts of its kind; it is serialized for `explain`. If it is expensive, it becomes a
//! section that a check requests with `requested_facts`, so that a run collects only requested facts.
//!
//! **A new metric family** goes to [`model::metric`], with an entry in `exposition/families.rs` if it is computed from
//! the board. A check rarely needs one: the generic families serve its measures.
//!
//! **A new alert** goes to `Alert` in [`model::words`], with its rules in `alerts/rules/`, its runbook in
//! `alerts/runbooks/` and `server/runbooks.rs`, and its tests in `alerts/tests/`. A check refers to it by `ALERT`.
//!
//! # Decisions
//!
//! * The checks of a kind are a list of [`kind::CheckEntry`]s, not an enum. Error messages, schema and reference are
//!   derived from the list, and an error in the settings of one check doesn't hide errors of the next.
//! * A failed run can still return facts ([`model::observation::Incomplete`]): an expired certificate is a fact.
//! * The board stores the configuration of each probe ([`settings::ProbeInfo`]), so it depends on the settings.
//! * The daemon has two single-threaded runtimes. The main thread serves HTTP, handles signals and reloads, and expires
//!   results; the probe thread runs the probes. This was measured in a debug build with two metrics pages of 9 MiB of
//!   blank lines and two JSON bodies of 8 MiB, each every 2 s. With one thread, `/-/healthy` took 87 ms in the median and
//!   2.7 s at most; with two threads, 0.6 ms and 77 ms. The cost of a scrape is the same, and the second thread takes
//!   about 160 KiB. A response no longer proves that probes run, so `/-/healthy` checks the [`scheduler::Heartbeat`] of
//!   the probe thread, and the main thread marks old results as `unknown`.
//! * The `Host` header is checked only for `/config` and `/-/reload`, which show the configuration or change state.
//!   Scrapers, load balancers and people may use any name for the other addresses.
//! * A page in transfer can be withdrawn (`outgoing`) instead of refusing new requests. Slow clients lose their page, but
//!   no client can lock out an operator or a scraper.
//! * Metric names are defined in [`model::metric`], below the checks: a check names the family of its samples, and the
//!   exposition needs to know no check.

pub mod app;
pub mod board;
pub mod catalogue;
pub mod checks;
pub mod cli;
mod compress;
pub mod daemon_metrics;
pub mod document;
pub mod exposition;
pub mod io;
pub mod kind;
pub mod model;
mod outgoing;
pub mod probe;
pub mod probes;
pub mod reference;
mod render_thread;
pub mod scheduler;
pub mod server;
pub mod settings;
pub mod state;
pub mod telemetry;
