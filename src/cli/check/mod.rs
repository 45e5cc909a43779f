//! `check`: runs every check once and prints the verdicts.

mod formats;

use std::{
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use globset::{Glob, GlobSet, GlobSetBuilder};

use super::{Exit, GlobalArgs, block_on, print_error};
use crate::{
    app::OneShot,
    board::{CheckState, GateRules, ProbeState, Snapshot},
    model::{
        pattern::check_glob,
        units::Period,
        words::{Category, GateVerdict, Severity},
    },
    settings::{CheckInfo, Flags, ProbeInfo, Settings},
};

/// Arguments of `check`.
#[derive(Debug, Args)]
#[command(after_help = "\
The exit code follows the gate, as `/ready` does: checks with `gate: false` and pending checks with `pending: passes` are
printed and don't count. --strict counts every enabled check. If no selected check is gated, all of them count.

Checks that need more than one run, such as a rate over a window, are pending after the first: use --wait.

Exit codes: 0 no check blocks the gate, 1 a failing check blocks it, 2 bad configuration or usage, 3 only checks that
can't be judged block it.")]
pub(super) struct CheckArgs {
    /// Only checks whose PROBE/CHECK matches, as in '*/health'; may be given several times
    #[arg(long, value_name = "GLOB")]
    only: Vec<String>,
    /// Only checks of this category; may be given several times
    #[arg(long, value_name = "CATEGORY", value_parser = parse_word::<Category>)]
    category: Vec<Category>,
    /// Only checks of this severity; may be given several times
    #[arg(long, value_name = "SEVERITY", value_parser = parse_word::<Severity>)]
    severity: Vec<Severity>,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: OutputFormat,
    /// Count every enabled check, also ungated checks and pending checks
    #[arg(long)]
    strict: bool,
    /// Repeat until the gate passes, for at most this long: a gate for deployments
    #[arg(long, value_name = "DURATION")]
    wait: Option<Period>,
}

/// Output format of `check`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum OutputFormat {
    /// Table for a terminal.
    #[default]
    Table,
    /// JSON for programs.
    Json,
    /// JUnit XML for CI systems.
    Junit,
    /// Markdown for pull requests and tickets.
    Markdown,
    /// Metrics for a Pushgateway or a textfile collector. Set `interval` to the interval of the pushes, because results
    /// older than three intervals are stale.
    Prometheus,
}

/// Number of check names listed in an error.
const MAX_LISTED_NAMES: usize = 20;
/// Pause between the attempts of `--wait`.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

impl CheckArgs {
    pub(super) fn run(self, common: &GlobalArgs) -> anyhow::Result<Exit> {
        let only = match parse_globs(&self.only) {
            Ok(only) => only,
            Err(error) => return Ok(print_error(&error)),
        };
        let settings = common.load(Flags::default())()?;
        let is_selected = |probe: &ProbeInfo, check: &CheckInfo| {
            only.as_ref().is_none_or(|only| only.is_match(format!("{}/{}", probe.name, check.name)))
                && (self.category.is_empty() || self.category.contains(&check.category))
                && (self.severity.is_empty() || self.severity.contains(&check.severity))
        };
        let names = list_check_names(&settings);
        let one_shot = OneShot::new(settings, is_selected)?;
        if one_shot.probe_count() == 0 {
            return Ok(print_error(&format!("no check matches; there are: {names}")));
        }
        let snapshot = block_on(self.run_until_gate_passes(&one_shot, is_selected))?;
        let rows: Vec<Row<'_>> = selected_rows(&snapshot, is_selected).collect();
        let text = formats::format_verdicts(self.format, &snapshot, &rows, self.gate_rules(&rows));
        match io::stdout().lock().write_all(text.as_bytes()) {
            // A reader such as `| head` may close the pipe early. The exit code still reports the verdict.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        Ok(self.gate_rules(&rows).verdict(rows.iter().map(|(_, check)| *check)).into())
    }

    /// The rules by which the selected checks count.
    fn gate_rules(&self, rows: &[Row<'_>]) -> GateRules {
        match self.strict {
            true => GateRules::STRICT,
            false => GateRules::for_selection(rows.iter().map(|(_, check)| *check)),
        }
    }

    /// Runs the checks once, or repeatedly until the gate passes or `--wait` ends.
    async fn run_until_gate_passes(
        &self,
        one_shot: &OneShot,
        is_selected: impl Fn(&ProbeInfo, &CheckInfo) -> bool,
    ) -> Snapshot {
        let start = Instant::now();
        let progress = Progress::new();
        loop {
            let snapshot = one_shot.run_all(|done| progress.show(done, one_shot.probe_count(), start)).await;
            let rows: Vec<_> = selected_rows(&snapshot, &is_selected).collect();
            let left = self.wait.and_then(|wait| wait.0.checked_sub(start.elapsed()));
            let verdict = self.gate_rules(&rows).verdict(rows.iter().map(|(_, check)| *check));
            match left.filter(|_| verdict != GateVerdict::Pass) {
                Some(left) => tokio::time::sleep(RETRY_INTERVAL.min(left)).await,
                None => {
                    progress.clear();
                    return snapshot;
                }
            }
        }
    }
}

type Row<'a> = (&'a ProbeState, &'a CheckState);

/// Lists the names for `--only`, truncated.
fn list_check_names(settings: &Settings) -> String {
    let all = || settings.probes.iter().flat_map(|probe| probe.info.checks.iter().map(|check| (&probe.info, check)));
    let names = all().take(MAX_LISTED_NAMES).map(|(probe, check)| format!("{}/{}", probe.name, check.name));
    let shown = names.collect::<Vec<_>>().join(", ");
    match all().count().saturating_sub(MAX_LISTED_NAMES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn selected_rows(
    snapshot: &Snapshot,
    is_selected: impl Fn(&ProbeInfo, &CheckInfo) -> bool,
) -> impl Iterator<Item = Row<'_>> {
    snapshot.checks().filter(move |(probe, check)| is_selected(&probe.info, &check.info))
}

fn parse_globs(patterns: &[String]) -> Result<Option<GlobSet>, String> {
    if patterns.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        check_glob(pattern).map_err(|why| format!("--only: the pattern {why}"))?;
        set.add(Glob::new(pattern).map_err(|error| error.to_string())?);
    }
    set.build().map(Some).map_err(|error| error.to_string())
}

/// Parses a category or severity. The error lists the valid words.
fn parse_word<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, String> {
    use serde::de::{IntoDeserializer, value::Error};
    T::deserialize(IntoDeserializer::<Error>::into_deserializer(text)).map_err(|error| error.to_string())
}

/// Progress line on a terminal.
struct Progress {
    shown: bool,
}

impl Progress {
    fn new() -> Self {
        Self { shown: io::stderr().is_terminal() }
    }

    fn show(&self, done: usize, all: usize, start: Instant) {
        if self.shown {
            let seconds = start.elapsed().as_secs();
            let _ = write!(io::stderr().lock(), "\r\x1b[K{done} of {all} probes have run, {seconds}s");
        }
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }
}
