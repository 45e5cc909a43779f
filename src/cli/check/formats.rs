//! Output formats of `check`.

use std::{
    collections::HashSet,
    fmt::Write,
    io::{IsTerminal, stdout},
    sync::Arc,
};

use serde_json::json;

use super::{OutputFormat, Row, exit_code};
use crate::{
    board::{CheckState, Snapshot},
    cli::Exit,
    model::words::Status,
};

/// Formats the verdicts.
pub(super) fn format_verdicts(format: OutputFormat, snapshot: &Snapshot, rows: &[Row<'_>]) -> String {
    match format {
        OutputFormat::Table => format_table(rows),
        OutputFormat::Json => format_json(rows),
        OutputFormat::Junit => format_junit(rows),
        OutputFormat::Markdown => format_markdown(rows),
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

fn format_table(rows: &[Row<'_>]) -> String {
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
        text.push_str(row.1.summary());
        text.push('\n');
        if let Some(impact) = impact(row.1) {
            let _ = writeln!(text, "         Impact: {impact}");
        }
    }
    let _ = writeln!(text, "\n{} checks: {}", rows.len(), count_statuses(rows));
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

fn format_json(rows: &[Row<'_>]) -> String {
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
                "status": check.status,
                "reason": verdict.and_then(|verdict| verdict.outcome.reason()),
                "summary": check.summary(),
                "measures": verdict.map(|verdict| &verdict.measures),
            })
        })
        .collect();
    let ready = exit_code(rows) == Exit::Good;
    format!("{:#}\n", json!({"ready": ready, "checks": checks}))
}

fn format_junit(rows: &[Row<'_>]) -> String {
    let count = |statuses: &[Status]| rows.iter().filter(|(_, check)| statuses.contains(&check.status)).count();
    let (failed, unknown) = (count(&[Status::Fail]), count(&[Status::Unknown]));
    let skipped = count(&[Status::Pending, Status::Skipped]);
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"readiness\" tests=\"{}\" failures=\"{failed}\" \
         errors=\"{unknown}\" skipped=\"{skipped}\">\n",
        rows.len()
    );
    for (probe, check) in rows {
        let class = escape_xml(&probe.info.name);
        // The name of the check stays in the name of the test case, because titles need not be unique.
        let name = match &*check.info.title {
            "" => escape_xml(&check.info.name),
            title => escape_xml(&format!("{title} ({})", check.info.name)),
        };
        let finding = match impact(check) {
            Some(impact) => format!("{}. Impact: {impact}", check.summary().trim_end_matches('.')),
            None => check.summary().to_owned(),
        };
        let summary = escape_xml(&finding);
        let seconds = probe.last.as_ref().map(|run| run.duration.as_secs_f64()).unwrap_or_default();
        let _ = write!(text, "  <testcase classname=\"{class}\" name=\"{name}\" time=\"{seconds:.3}\"");
        let _ = match check.status {
            Status::Pass => writeln!(text, "/>"),
            Status::Warn => writeln!(text, "><system-out>warning: {summary}</system-out></testcase>"),
            Status::Fail => writeln!(text, "><failure message=\"{summary}\"/></testcase>"),
            Status::Unknown => writeln!(text, "><error message=\"{summary}\"/></testcase>"),
            Status::Pending | Status::Skipped => writeln!(text, "><skipped message=\"{summary}\"/></testcase>"),
        };
    }
    text.push_str("</testsuite>\n");
    text
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

fn format_markdown(rows: &[Row<'_>]) -> String {
    let mut text = String::from("| status | check | name | finding |\n|---|---|---|---|\n");
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
        let _ = writeln!(text, "| {mark} {status} | {title} | `{name}` | {finding}{impact} |");
    }
    let _ = writeln!(text, "\n{} checks: {}", rows.len(), count_statuses(rows));
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
