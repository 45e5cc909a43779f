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
//! 1. `src/probes/KIND/checks/NAME.rs` contains a struct with the settings as fields, and two implementations:
//!    * The struct derives `Serialize`, `Deserialize` and `JsonSchema` with `deny_unknown_fields`. The doc comment of a
//!      field is its description in the schema and in the reference. [`model::limit`] has the types of limits
//!      (`Max<Period>`, `Min<u32>`), [`model::units`] the quantities.
//!      Optional fields have `#[serde(default, skip_serializing_if = "Option::is_none")]`. The name of the type is
//!      unique in the crate: a name that another kind may need begins with the kind (`PostgresPool`).
//!    * `impl CheckKind<Facts>` declares `NAME`, `CATEGORY`, `SEVERITY` (a check of the same name has the same two in
//!      every kind), `DOC` (the reference page, by `include_str!`) and, where needed, `MEASURES` (every measure with its
//!      unit), `ALERT` (default: `CheckFailing`), `RENAMED` (old keys) and `LOOKS_BACK` (a check that counts failed runs
//!      over a window does not gate by default). `validate` rejects settings that types can't exclude.
//!    * `impl Check<Facts>` contains `judge`. It does no I/O and reads no clock; `&mut self` is its memory of earlier
//!      runs. `seen.facts_or_verdict()` returns the facts of a successful run, or the verdict `unknown` for a failed run;
//!      `postgres` and `backups` have `PostgresFacts::judge` and `LastBackups::judge` for it. With a limit,
//!      `limit.measure(name, value)` combines a value with the limit, and `Verdict::from_measures` judges the measures;
//!      `limits` returns the same measures without values (`limit.unmeasured(name)`), so that their series exist from the
//!      first scrape. Without a limit, `Verdict::new(Outcome::Fail(reason), finding)` takes the nearest
//!      [`model::words::Reason`]. A finding is one sentence: what was found, what was expected, what to do. A name that
//!      a target chose passes through `text::bounded_name` there. `requested_facts` requests facts that the probe does
//!      not always collect.
//!    * Unit tests at the end of the file: a table of facts and verdicts, with each limit, NaN and empty facts where
//!      they apply. A file has at most 400 lines; a larger check is a folder.
//! 2. `src/probes/KIND/checks/NAME.md` is the reference page: purpose (first sentence), `## Verdicts` (table of
//!    situations), `## Examples` (a minimal and a realistic one; a test loads them), `## Privileges`, `## Remediation`
//!    (three to six steps). The purpose is one sentence below 170 characters. Settings, measures and alert are generated.
//! 3. `src/probes/KIND/checks/mod.rs`: `pub mod NAME;`, a `use` and one entry `CheckEntry::new::<Name>()` in `CHECKS`.
//!
//! Settings, error messages, schema, reference, metrics (`readiness_check_value*`, `readiness_check_limit*`),
//! dashboards, alert and runbook link follow from the declarations. `UPDATE=1 cargo test --test it documents` renews
//! the generated files. A test against the real program in `tests/it/probes/` and a line in `CHANGELOG.md` complete the
//! change. `probes/backups/checks/retention.rs` is a small example with limits, `probes/postgres/checks/role.rs` one
//! without.
//!
//! **A new section of facts for `postgres`** is the file `src/probes/postgres/facts/NAME.rs` and a line `pub mod NAME;`
//! in `facts/mod.rs`. A section is the result of one SQL statement. The sections are the files of that folder: `server`
//! (version, recovery, role), `connections`, `replication` and others. The session of the probe is read-only and has its
//! own timeouts, so `SHOW` and `pg_settings` show the values of the session for `default_transaction_read_only`,
//! `statement_timeout`, `lock_timeout` and `idle_in_transaction_session_timeout`, not those of the server
//! (`facts/write_defaults.rs` reads them elsewhere). The file contains:
//!
//! * a struct with the decoded facts, which derives `Serialize` for `explain`;
//! * `impl Section` with `SPEC`: the statements by minimum server version (the newest one that the server supports is
//!   executed), the required privilege (`grants` prints it) and the minimum time between two executions (`every`, for
//!   expensive statements; `None` executes the statement in each run; the section `server` is at most a minute old).
//!   The statement casts every column to a built-in type and qualifies names with `pg_catalog`;
//! * `decode`, which converts the rows with `column` and `json_list`. A value that the server hides from the role is a
//!   failure with the reason `permission`, never a default: a default would make a check pass.
//!
//! A check returns the `REQUEST` of each section that it needs from `requested_facts`, such as
//! `vec![Replication::REQUEST]`, and judges with `PostgresFacts::judge(seen, |facts: &Replication| ..)`. A run pipelines
//! the statements of the requested sections on the kept connection, in one round trip. The statements are unnamed and
//! depend on no state of the session, so that a pooler may execute them on different connections. A section fails alone:
//! its checks are `unknown` with its own reason, and the other checks are judged. `facts/replication.rs` with `checks/replication_lag/` is an example; `facts::fixture`
//! creates observations for unit tests, and `tests/it/probes/postgres/` tests against a real server.
//!
//! **A check of several kinds** goes to `src/checks/`. It is generic over the facts, with a trait that the facts of
//! each kind implement, and has an entry in the list of each kind.
//!
//! **A new kind** is the folder `src/probes/KIND/`: `mod.rs` with the settings and `impl Kind`, `probe.rs` with
//! `impl Probe`, `facts.rs`, `checks/mod.rs` and the page `KIND.md`. In addition: one line in `src/probes/mod.rs` and
//! one line in [`catalogue::all`].
//!
//! **A new fact** of another kind is a field of the kind's facts; it is serialized for `explain`. An expensive fact is
//! collected only on request: it gets a variant of the type `Facts::Request` of the kind, a check requests it with
//! `requested_facts`, and `Kind::build` passes the requests to the probe.
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
//! * A health check that the configuration doesn't list is a warning after two failed runs, while a listed one is critical
//!   after one. Listing it states that the outage of the target matters; an unlisted one must wake nobody.
//! * A measure of the check `health` that has the name of a failure reason, such as `status`, is the answer that failed the
//!   run ([`model::observation::Facts::answer`]). So one alert rule can state the answered and the expected code of every
//!   probe kind.
//! * A failed run can still return facts ([`model::observation::Incomplete`]): an expired certificate is a fact.
//! * The board stores the configuration of each probe ([`settings::ProbeInfo`]), so it depends on the settings.
//! * A failure of a probe with dependencies is published only after its dependencies have run again. Without this run, a
//!   dependent that runs first would be reported for the failure of its dependency.
//! * The daemon has two single-threaded runtimes. The main thread serves HTTP, handles signals and reloads, and expires
//!   results; the probe thread runs the probes. This was measured in a debug build with two metrics pages of 9 MiB of
//!   blank lines and two JSON bodies of 8 MiB, each every 2 s. With one thread, `/-/healthy` took 87 ms in the median
//!   and 2.7 s at most; with two threads, 0.6 ms and 77 ms. The cost of a scrape is the same, and the second thread
//!   takes about 160 KiB. A response no longer proves that probes run, so `/-/healthy` checks the
//!   [`scheduler::Heartbeat`] of the probe thread, and the main thread marks old results as `unknown`.
//! * The `Host` header is checked only for `/config` and `/-/reload`, which show the configuration or change state.
//!   Scrapers, load balancers and people may use any name for the other addresses.
//! * A page in transfer can be withdrawn (`outgoing`) instead of refusing new requests. Slow clients lose their page,
//!   but no client can lock out an operator or a scraper.
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
