//! Output formats of `check`.

use std::{
    collections::HashSet,
    fmt::Write,
    io::{IsTerminal, stdout},
    sync::Arc,
};

use serde_json::json;

use super::{OutputFormat, Row};
use crate::{
    board::{CheckState, GateRules, Snapshot},
    model::words::{GateVerdict, Status},
};

/// Formats the verdicts.
pub(super) fn format_verdicts(format: OutputFormat, snapshot: &Snapshot, rows: &[Row<'_>], gate: GateRules) -> String {
    match format {
        OutputFormat::Table => format_table(rows, gate),
        OutputFormat::Json => format_json(rows, gate),
        OutputFormat::Junit => format_junit(rows, gate),
        OutputFormat::Markdown => format_markdown(rows, gate),
        OutputFormat::Prometheus => crate::exposition::render_snapshot(filter_snapshot(snapshot, rows))
            .unwrap_or_else(|error| format!("# the verdicts can't be written as metrics: {error}\n")),
    }
}

/// Removes unselected checks from a snapshot.
fn filter_snapshot(snapshot: &Snapshot, rows: &[Row<'_>]) -> Snapshot {
    let wanted: HashSet<String> = rows.iter().map(check_name).collect();
    let mut snapshot = snapshot.clone();
    for probe in &mut snapshot.probes {
        let probe = Arc::make_mut(probe);
        let info = Arc::clone(&probe.info);
        probe.checks.retain(|check| wanted.contains(&format!("{}/{}", info.name, check.info.name)));
    }
    snapshot.probes.retain(|probe| !probe.checks.is_empty());
    snapshot
}

fn check_name((probe, check): &Row<'_>) -> String {
    format!("{}/{}", probe.info.name, check.info.name)
}

/// Sorts the worst statuses first, so that they don't scroll away.
fn sort_by_status<'a>(rows: &[Row<'a>]) -> Vec<Row<'a>> {
    let mut rows = rows.to_vec();
    rows.sort_by_key(|(_, check)| check.status.display_order());
    rows
}

fn count_statuses(rows: &[Row<'_>]) -> String {
    let count = |status: &Status| rows.iter().filter(|(_, check)| check.status == *status).count();
    let parts = Status::ALL.iter().map(|status| (status, count(status))).filter(|(_, count)| *count > 0);
    parts.map(|(status, count)| format!("{count} {status}")).collect::<Vec<_>>().join(", ")
}

/// The verdict of the gate in one line, with the checks that block it and the findings that don't count.
fn describe_gate(rows: &[Row<'_>], gate: GateRules) -> String {
    let all = || rows.iter().map(|(_, check)| *check);
    let is_good = |check: &CheckState| matches!(check.status, Status::Pass | Status::Warn) || !check.info.enabled;
    let blocking = all().filter(|check| gate.is_blocked_by(check)).count();
    let others = all().filter(|check| !is_good(check)).count() - blocking;
    let mut text = format!("gate: {}", gate.verdict(all()));
    if blocking > 0 {
        let _ = write!(text, ", blocked by {blocking} of {} checks", rows.len());
    }
    if others > 0 {
        let _ = write!(text, "; not counted: {others} failing, unknown or pending");
    }
    text
}

/// The reason why a finding doesn't count for the gate; empty if it counts, or if there is nothing to count.
fn exemption(check: &CheckState, gate: GateRules) -> &'static str {
    match check.status {
        Status::Pass | Status::Warn => "",
        _ if !check.info.enabled || gate.is_blocked_by(check) => "",
        _ if !check.info.gate => "not gated: ",
        _ => "does not block the gate: ",
    }
}

fn format_table(rows: &[Row<'_>], gate: GateRules) -> String {
    let colour = stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let width = rows.iter().map(|row| check_name(row).chars().count()).max().unwrap_or_default();
    let has_titles = rows.iter().any(|(_, check)| !check.info.title.is_empty());
    let title_width = rows.iter().map(|(_, check)| check.info.title.chars().count()).max().unwrap_or_default();
    let mut text = String::new();
    for row in sort_by_status(rows) {
        let status = row.1.status;
        let (on, off) = if colour { (ansi_colour(status), "\x1b[0m") } else { ("", "") };
        let _ = write!(text, "{on}{status:<8}{off} {:<width$}  ", check_name(&row));
        if has_titles {
            let _ = write!(text, "{:<title_width$}  ", row.1.info.title);
        }
        text.push_str(exemption(row.1, gate));
        text.push_str(row.1.summary());
        text.push('\n');
        if let Some(impact) = impact(row.1) {
            let _ = writeln!(text, "         Impact: {impact}");
        }
    }
    let _ = writeln!(text, "\n{} checks: {}\n{}", rows.len(), count_statuses(rows), describe_gate(rows, gate));
    text
}

/// The configured impact of a check that fails or warns.
fn impact(check: &CheckState) -> Option<&str> {
    let impact = &*check.info.summary;
    (matches!(check.status, Status::Fail | Status::Warn) && !impact.is_empty()).then_some(impact)
}

fn ansi_colour(status: Status) -> &'static str {
    match status {
        Status::Pass => "\x1b[32m",
        Status::Fail => "\x1b[1;31m",
        Status::Warn => "\x1b[33m",
        Status::Unknown => "\x1b[35m",
        Status::Pending | Status::Skipped => "\x1b[2m",
    }
}

fn format_json(rows: &[Row<'_>], gate: GateRules) -> String {
    let checks: Vec<_> = rows
        .iter()
        .map(|(probe, check)| {
            let verdict = check.verdict.as_ref();
            json!({
                "probe": probe.info.name,
                "check": check.info.name,
                "title": check.info.title_of(&probe.info.name),
                "impact": check.info.summary,
                "kind": check.info.kind,
                "category": check.info.category,
                "severity": check.info.severity,
                "gate": check.info.gate,
                "blocks": gate.is_blocked_by(check),
                "status": check.status,
                "reason": verdict.and_then(|verdict| verdict.outcome.reason()),
                "summary": check.summary(),
                "measures": verdict.map(|verdict| &verdict.measures),
            })
        })
        .collect();
    let verdict = gate.verdict(rows.iter().map(|(_, check)| *check));
    format!("{:#}\n", json!({"ready": verdict == GateVerdict::Pass, "verdict": verdict, "checks": checks}))
}

/// A finding that blocks the gate is a failure or an error, so that a CI system and the exit code agree. Any other finding
/// is a skipped test with the status in its message. Severity, category and gate are properties.
fn format_junit(rows: &[Row<'_>], gate: GateRules) -> String {
    let results: Vec<_> = rows.iter().map(|(_, check)| JunitResult::of(check, gate)).collect();
    let count = |wanted: JunitResult| results.iter().filter(|result| **result == wanted).count();
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"readiness\" tests=\"{}\" failures=\"{}\" \
         errors=\"{}\" skipped=\"{}\">\n",
        rows.len(),
        count(JunitResult::Failure),
        count(JunitResult::Error),
        count(JunitResult::Skipped)
    );
    for ((probe, check), result) in rows.iter().zip(results) {
        let (info, status) = (&check.info, check.status);
        let class = escape_xml(&probe.info.name);
        // The name of the check stays in the name of the test case, because titles need not be unique.
        let name = match &*info.title {
            "" => escape_xml(&info.name),
            title => escape_xml(&format!("{title} ({})", info.name)),
        };
        let finding = match impact(check) {
            Some(impact) => format!("{}. Impact: {impact}", check.summary().trim_end_matches('.')),
            None => check.summary().to_owned(),
        };
        let summary = escape_xml(&finding);
        let seconds = probe.last.as_ref().map(|run| run.duration.as_secs_f64()).unwrap_or_default();
        let _ = writeln!(text, "  <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\">");
        let _ = writeln!(
            text,
            "    <properties><property name=\"severity\" value=\"{}\"/><property name=\"category\" value=\"{}\"/>\
             <property name=\"gate\" value=\"{}\"/><property name=\"status\" value=\"{status}\"/></properties>",
            info.severity, info.category, info.gate
        );
        let _ = match result {
            JunitResult::Passed if status == Status::Warn => {
                writeln!(text, "    <system-out>warning: {summary}</system-out>")
            }
            JunitResult::Passed => Ok(()),
            JunitResult::Failure => writeln!(text, "    <failure type=\"{}\" message=\"{summary}\"/>", info.severity),
            JunitResult::Error => {
                writeln!(text, "    <error type=\"{}\" message=\"{status}: {summary}\"/>", info.severity)
            }
            JunitResult::Skipped => {
                writeln!(text, "    <skipped message=\"{status}: {}{summary}\"/>", exemption(check, gate))
            }
        };
        text.push_str("  </testcase>\n");
    }
    text.push_str("</testsuite>\n");
    text
}

/// Result of a test in JUnit's terms.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JunitResult {
    Passed,
    Failure,
    Error,
    Skipped,
}

impl JunitResult {
    fn of(check: &CheckState, gate: GateRules) -> Self {
        match check.status {
            Status::Pass | Status::Warn => Self::Passed,
            Status::Fail if gate.is_blocked_by(check) => Self::Failure,
            _ if gate.is_blocked_by(check) => Self::Error,
            _ => Self::Skipped,
        }
    }
}

/// Escapes reserved characters and removes control characters, which XML can't contain.
fn escape_xml(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '\u{fffe}' | '\u{ffff}') && (!c.is_control() || matches!(c, '\n' | '\t')))
        .fold(String::new(), |mut out, c| {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\n' => out.push_str("&#10;"),
                '\t' => out.push_str("&#9;"),
                other => out.push(other),
            }
            out
        })
}

fn format_markdown(rows: &[Row<'_>], gate: GateRules) -> String {
    let mut text = String::from("| status | severity | check | name | owner | finding |\n|---|---|---|---|---|---|\n");
    for row in sort_by_status(rows) {
        let mark = match row.1.status {
            Status::Pass => "✅",
            Status::Warn => "⚠️",
            Status::Fail => "❌",
            Status::Unknown => "❓",
            Status::Pending => "⏳",
            Status::Skipped => "⏭️",
        };
        let (probe, check) = row;
        let title = escape_markdown(&check.info.title_of(&probe.info.name));
        let impact = impact(check).map(|impact| format!("<br>Impact: {}", escape_markdown(impact))).unwrap_or_default();
        let (status, name, finding) = (check.status, check_name(&row), escape_markdown(check.summary()));
        let (exemption, severity) = (exemption(check, gate), check.info.severity);
        let owner = escape_markdown(&check.info.owner);
        let _ = writeln!(
            text,
            "| {mark} {status} | {severity} | {title} | `{name}` | {owner} | {exemption}{finding}{impact} |"
        );
    }
    let _ = writeln!(text, "\n{} checks: {}  \n{}", rows.len(), count_statuses(rows), describe_gate(rows, gate));
    text
}

/// Escapes text so that it stays within its table cell and contains no markup.
fn escape_markdown(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_stays_text_in_every_form() {
        assert_eq!(escape_xml("a<b>&\"\u{0}\u{ffff}c\nd"), "a&lt;b&gt;&amp;&quot;c&#10;d");
        assert_eq!(escape_markdown("a|b\n<script>"), "a\\|b \\<script\\>");
    }
}
