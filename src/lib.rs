//! readiness-exporter keeps a production readiness checklist true: probes observe, checks judge, and the verdicts are
//! served to Prometheus, people and pipelines.
//!
//! ```text
//!  YAML + env ──settings──▶ Settings ──app──▶ jobs, sockets, board (every name on it, all pending)
//!                                              │ App::run(shutdown)
//!                        scheduler: one task for each probe; interval, overlap, room, dependencies
//!                                              │ kind: Job::run, with timeout and panics caught
//!                                              │   probe.observe(&context) -> Result<Facts, Broken>
//!                                              │   check.judge(&observation) -> Verdict    (pure, may keep a window)
//!                                              ▼
//!                        board: thresholds, status, since, history ──▶ state (survives a restart)
//!                                              │ snapshot: copy pointers, release, render
//!             ┌────────────────────┬───────────┴────────┬──────────────────┐
//!          metrics             server: /ready      status page         cli: check, explain (one run)
//! ```
//!
//! A scrape never evaluates anything: ten scrapers cost no more than one, and a slow database can't time out a scrape.
//!
//! # Where things are
//!
//! | module | knows about |
//! |---|---|
//! | [`probe`] | vocabulary of observing: what a probe is, what a run brings back, why it may fail |
//! | [`check`] | vocabulary of judging: what a check is, what it says |
//! | [`limit`], [`units`], [`secret`] | vocabulary of quantities, bounds on them, and what must never be shown |
//! | `bounded_file` | opening and reading files that somebody else may have chosen: regular ones only, up to a limit |
//! | `sentence` | vocabulary of findings: what a target says, made fit to be read |
//! | [`family`] | vocabulary of exposing: every metric family, by name |
//! | [`node`] | vocabulary of writing: a piece of the configuration with its place, and the list of what is wrong |
//! | [`probes`] | the list of probe kinds, one a file; below each the checks that only its facts can feed |
//! | [`checks`] | the checks that any probe can feed, one a file |
//! | [`kind`] | forgets which kind a probe is: above it nobody knows facts |
//! | [`dial`], [`tls`], [`shared`] | connecting, encrypting, and what probes share because it is costly |
//! | [`settings`] | what an operator writes: files, includes, environment, flags, schema |
//! | [`scheduler`] | time |
//! | [`board`] | the latest state of everything, and the only place where it lives |
//! | [`daemon_metrics`] | the daemon's metrics about itself, in a registry of the `prometheus` crate |
//! | [`state`] | what survives a restart |
//! | [`metrics`] | the board as pages for Prometheus |
//! | [`server`] | the doors: routes, pages, API |
//! | `outgoing` | pages on their way to clients, and a bound on their memory |
//! | [`app`] | wiring: acquires all that can fail, then runs; reload |
//! | [`cli`] | arguments, one command a file |
//! | [`telemetry`] | logging |
//!
//! # Where a change goes
//!
//! * A new check: one file under `checks/` (any facts) or `probes/KIND/` (that kind's facts), and one line in the
//!   `checks()` of each kind that can feed it. If it shows a number of its own, one entry in [`family`].
//! * A new kind of probe: one file under `probes/` and one line in [`probes::all`].
//! * Dependencies point one way: `cli -> app -> server -> {metrics, scheduler, state} -> board -> settings -> kind`, and
//!   below them probes, checks and the vocabularies; probes and checks import only the vocabularies. A test holds the
//!   imports to it.
//!
//! # Decisions that a reader may question
//!
//! * The checks of a kind are a list of [`check::CheckEntry`]s rather than an enum: errors, schema and parsing are made of
//!   the one list, each entry parses itself, and a mistake in one check doesn't hide those in the next.
//! * A run that fails may still bring facts ([`probe::Incomplete`]): an expired certificate is a certificate.
//! * The board stands on the settings: what everyone may know of a probe ([`settings::ProbeInfo`]) is what was written.
//! * A daemon has two runtimes of one thread each: the main thread serves HTTP, receives signals, reloads and ages
//!   results; the other runs the probes. Measured in a debug build beside two metrics pages of 9 MiB of blank lines and
//!   two JSON bodies of 8 MiB each 2 s: `/-/healthy` took 87 ms in the median and 2.7 s at worst on one thread, 0.6 ms
//!   and 77 ms with two. A scrape costs the same, and the second thread takes about 160 KiB. Since an answer no longer
//!   proves that probes run, `/-/healthy` watches the other runtime ([`scheduler::Heartbeat`]), and results are aged on the
//!   main thread: those of a probe thread that stands still turn `unknown`.
//! * The `Host` header is checked for `/config` and `/-/reload` only: these show the configuration or change something.
//!   Scrapers, load balancers and people reach the rest under names that nobody has listed.
//! * A page that is being sent can be withdrawn (`outgoing`) rather than new requests be refused: slow clients lose, and
//!   neither an operator nor a scraper is locked out by them.
//! * Metric names live in [`family`], below the checks, rather than in [`metrics`]: a check names the family that its
//!   number belongs to, and the renderer needs to know no check.

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
