//! `explain PROBE`: runs one probe once and prints the observation and the verdict of each check.

use std::io::{self, Write};

use clap::Args;

use super::{Exit, GlobalArgs, block_on, print_error};
use crate::{
    app::OneShot,
    board::GateRules,
    document::to_yaml,
    kind::RunReport,
    model::{text, units::Unit, verdict::Verdict},
    settings::{Flags, ProbeInfo},
};

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes, by the rules of `check`: 0 no check of the probe blocks the gate, 1 a failing check blocks it, 2 bad
configuration or usage, 3 only checks that can't be judged block it. Thresholds and windows need more than one run.")]
pub(super) struct ExplainArgs {
    /// Name of the probe
    probe: String,
}

impl ExplainArgs {
    pub(super) fn run(self, common: &GlobalArgs) -> anyhow::Result<Exit> {
        let settings = common.load(Flags::default())()?;
        if !settings.probes.iter().any(|probe| probe.info.name == self.probe) {
            let names: Vec<_> = settings.probes.iter().map(|probe| &*probe.info.name).collect();
            let text =
                format!("there is no probe `{}`; there are: {}", self.probe, text::without_middle(names.join(", ")));
            return Ok(print_error(&text));
        }
        let one_shot = OneShot::new(settings, |info, _| info.name == self.probe)?;
        let Some((info, report)) = block_on(one_shot.explain(&self.probe))? else { return Ok(Exit::Unknown) };
        match io::stdout().lock().write_all(describe(&info, &report).as_bytes()) {
            // A reader such as `| head` may close the pipe early. The exit code still reports the verdict.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        let state = one_shot.record(&self.probe, report);
        let checks = || state.iter().flat_map(|state| &state.checks);
        Ok(GateRules::for_selection(checks()).verdict(checks()).into())
    }
}

fn describe(info: &ProbeInfo, report: &RunReport) -> String {
    let seconds = |duration: std::time::Duration| Unit::Seconds.format_value(duration.as_secs_f64());
    let outcome = match &report.failure {
        None => "worked".to_owned(),
        Some(failure) => format!("failed: {} ({failure})", failure.reason),
    };
    let mut text = format!("{} ({}) {outcome}, in {}\n", info.name, info.kind, seconds(report.duration));
    text.push_str("\nphases\n");
    for (phase, duration) in &report.phases {
        text.push_str(&format!("  {phase:<10} {}\n", seconds(*duration)));
    }
    text.push_str("\nfacts\n");
    match &report.facts {
        Some(facts) => to_yaml(facts).lines().for_each(|line| text.push_str(&format!("  {line}\n"))),
        None => text.push_str("  none: the run failed before any fact was observed\n"),
    }
    text.push_str("\nchecks\n");
    for (check, verdict) in info.checks.iter().zip(&report.verdicts) {
        text.push_str(&describe_verdict(&check.name, verdict));
    }
    text
}

fn describe_verdict(name: &str, verdict: &Verdict) -> String {
    let mut text = format!("  {:<8} {name}: {}\n", verdict.outcome.status().as_str(), verdict.summary);
    for measure in &verdict.measures {
        let headroom = measure.headroom().map(|share| format!(", headroom {}", Unit::Ratio.format_value(share)));
        text.push_str(&format!("           {measure}{}\n", headroom.unwrap_or_default()));
    }
    text
}
