//! Reference pages in Markdown: one for each probe kind and check kind, one for the metric families, and an index.
//!
//! A page is the text beside the source file (`DOC`) with generated sections: settings with types and defaults,
//! measures, alert. This module states no fact about a kind.

mod defaults;
mod settings_table;

use std::fmt::Write as _;

use serde_json::Value;

use self::settings_table::settings_table;
use crate::{
    catalogue,
    kind::{CheckDescriptor, KindEntry},
    model::{
        metric::{self, Type},
        words::{Alert, Reason},
    },
};

/// One page of `config/reference/`.
#[derive(Debug)]
pub struct ReferencePage {
    /// File name, such as `http.md`.
    pub file: String,
    /// Markdown text, with a line end at its end.
    pub text: String,
}

/// File name of the page of metric families. `metrics.md` is the page of the probe kind `metrics`.
const METRICS_FILE: &str = "metric-families.md";
/// File name of the page of defaults.
const DEFAULTS_FILE: &str = "defaults.md";
/// Name of the page of defaults on the command line.
const DEFAULTS: &str = "defaults";

/// Every page of `config/reference/`: one for each kind with its checks, the metric families, the index.
#[must_use]
pub fn pages() -> Vec<ReferencePage> {
    let kinds = catalogue::all();
    let mut pages: Vec<_> =
        kinds.iter().map(|kind| ReferencePage { file: format!("{}.md", kind.name), text: whole_kind(kind) }).collect();
    pages.push(ReferencePage { file: METRICS_FILE.to_owned(), text: metrics() });
    pages.push(ReferencePage { file: DEFAULTS_FILE.to_owned(), text: defaults::defaults() });
    pages.push(ReferencePage { file: "README.md".to_owned(), text: index() });
    pages
}

/// The page of `KIND` or `KIND/CHECK`, or of `defaults`, for the command line.
///
/// # Errors
/// A message about an unknown kind or check, with the nearest name or the list of names.
pub fn page(name: &str) -> Result<String, String> {
    if name == DEFAULTS {
        return Ok(defaults::defaults());
    }
    let (kind, check) = name.split_once('/').map_or((name, None), |(kind, check)| (kind, Some(check)));
    let found = catalogue::kind(kind).ok_or_else(|| catalogue::unknown_kind(kind))?;
    let Some(check) = check else { return Ok(kind_page(&found)) };
    let checks = (found.checks)();
    match checks.iter().find(|known| known.name == check) {
        Some(known) => Ok(check_page(kind, known)),
        None => Err(catalogue::unknown_check(&found, check)),
    }
}

const TYPES: &str = "\
## Types of settings

| type | notation |
|---|---|
| duration | a number with a unit: `500ms`, `30s`, `5m`, `26h`, `30d`, `2w` |
| size | a number with a unit: `64KiB`, `10MiB`, `5GB` |
| ratio | a percentage or a number from 0 to 1: `5%`, `0.05` |
| limit | one value, which fails, or two steps: `{warn: 80%, fail: 95%}` |
| selector | a Prometheus instant selector: `http_requests_total{code=~\"5..\"}` |

Every check also takes `name`, `title`, `summary`, `severity`, `category`, `gate`, `owner`, `labels`, `runbook`,
`failure_threshold`, `success_threshold` and `enabled`. [defaults.md](defaults.md) lists every setting with its default.
`readiness-exporter schema` prints the JSON Schema with all keys.
";

const LOOKING_BACK: &str = "\
## Checks that look back

A check looks back if it counts failed runs of its probe that are over. After an outage it fails until the outage has left its
`window`, although the target works again. So that `/ready` describes the present, such a check does not take part in it by
default; `health` of the same probe does. Set `gate: true` on the check if a deployment shall wait until its window is good.

Other checks with a `window` measure the service during the window: rates and percentiles from its counters and histograms. They
take part in `/ready`. Shorten `window`, or set `gate: false`, if they block for too long after an incident.

| check | looks back |
|---|---|
";

/// The index: kinds with their checks, types of settings, failure reasons.
#[must_use]
pub fn index() -> String {
    let mut text = String::from(
        "# Reference\n\nThese pages are generated from the program. `readiness-exporter reference` prints this page, \
         `readiness-exporter reference KIND` the page of a probe kind and `readiness-exporter reference KIND/CHECK` \
         the page of a check.\n\n| probe kind | checks | purpose |\n|---|---|---|\n",
    );
    for kind in catalogue::all() {
        let link = |check: &CheckDescriptor| format!("[`{0}`]({1}.md#{0})", check.name, kind.name);
        let checks: Vec<_> = (kind.checks)().iter().map(link).collect();
        let _ = writeln!(text, "| [`{0}`]({0}.md) | {1} | {2} |", kind.name, checks.join(" "), purpose(kind.doc));
    }
    let planned: Vec<_> = catalogue::planned_kinds().map(|kind| format!("`{kind}`")).collect();
    let _ = writeln!(text, "\nProbe kinds that are not supported yet: {}.\n\n{TYPES}", planned.join(", "));
    text.push_str(LOOKING_BACK);
    for kind in catalogue::all() {
        for check in (kind.checks)() {
            if let Some(condition) = check.looks_back.condition_text() {
                let _ = writeln!(text, "| [`{1}/{0}`]({1}.md#{0}) | {condition} |", check.name, kind.name);
            }
        }
    }
    text.push_str("\n## Failure reasons\n\n| reason | meaning |\n|---|---|\n");
    // The schema of the words holds their descriptions.
    let reasons = schemars::schema_for!(Reason).to_value();
    for reason in reasons.get("oneOf").and_then(Value::as_array).into_iter().flatten() {
        let field = |key: &str| reason.get(key).and_then(Value::as_str).unwrap_or_default();
        let _ = writeln!(text, "| `{}` | {} |", field("const"), field("description"));
    }
    let _ = writeln!(text, "\n## Metrics\n\n[{METRICS_FILE}]({METRICS_FILE}) lists every metric family.");
    text
}

/// Every metric family with type, labels and help.
#[must_use]
pub fn metrics() -> String {
    let mut text = String::from(
        "# Metric families\n\nThis page is generated from the program. Configured labels are added to \
         `readiness_probe_info` and `readiness_check_info`. The daemon also exports the usual `process_*` \
         metrics.\n\n| metric | type | labels | help |\n|---|---|---|---|\n",
    );
    for family in metric::ALL {
        let kind = match family.kind {
            Type::Gauge => "gauge",
            Type::Counter => "counter",
        };
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(text, "| `{}` | {kind} | {} | {} |", family.name, labels.join(" "), family.help);
    }
    text
}

fn whole_kind(kind: &KindEntry) -> String {
    let mut text = kind_page(kind);
    for check in (kind.checks)() {
        text.push('\n');
        text.push_str(&demoted(&check_page(kind.name, &check)));
    }
    text
}

fn kind_page(kind: &KindEntry) -> String {
    let mut generated = format!("## Settings of `{}`\n\n{}", kind.name, settings_table(kind.schema));
    let phases: Vec<_> = kind.phases.iter().map(|phase| format!("`{phase}`")).collect();
    let _ = write!(generated, "\nPhases of a run: {}.\n\n## Checks of `{}`\n\n", phases.join(", "), kind.name);
    generated.push_str("| check | category | severity | alert | purpose |\n|---|---|---|---|---|\n");
    for CheckDescriptor { name, category, severity, alert, doc, .. } in (kind.checks)() {
        let _ = writeln!(generated, "| `{name}` | {category} | {severity} | {} | {} |", runbook(alert), purpose(doc));
    }
    inserted(kind.doc, "## Verdicts", &generated)
}

fn check_page(kind: &str, check: &CheckDescriptor) -> String {
    let CheckDescriptor { name, category, severity, alert, looks_back, .. } = check;
    let settings = format!("## Settings of `{kind}/{name}`\n\n{}", settings_table(check.schema));
    let mut generated = String::new();
    if !check.measures.is_empty() {
        generated.push_str("## Measures\n\n| measure | meaning | value | limit |\n|---|---|---|---|\n");
        for measure in check.measures {
            let value = measure.value_family.unwrap_or_else(|| metric::value_family(measure.unit));
            let limit = measure.limit_family.unwrap_or_else(|| metric::limit_family(measure.unit));
            let row = format!("| `{}` | {} | `{}` | `{}` |", measure.name, measure.help, value.name, limit.name);
            let _ = writeln!(generated, "{row}");
        }
        generated.push('\n');
    }
    let _ = writeln!(
        generated,
        "## Alert\n\n{} reports a failure. Default category: {category}. Default severity: {severity}.",
        runbook(*alert)
    );
    if let Some(condition) = looks_back.condition_text() {
        let _ = writeln!(
            generated,
            "\nThe check [looks back](README.md#checks-that-look-back) {condition}: it takes part in `/ready` only with \
             `gate: true`."
        );
    }
    inserted(&inserted(check.doc, "## Verdicts", &settings), "## Remediation", &generated)
}

/// The name of an alert, linked to its runbook.
fn runbook(alert: Alert) -> String {
    format!("[`{alert}`](../../alerts/runbooks/{alert}.md)")
}

/// A page with generated sections before one of its headings, or at its end.
fn inserted(page: &str, heading: &str, sections: &str) -> String {
    match page.split_once(&format!("\n{heading}\n")) {
        Some((before, after)) => format!("{before}\n{sections}\n{heading}\n{after}"),
        None => format!("{}\n\n{sections}", page.trim_end()),
    }
}

/// The purpose of a kind or check: the first sentence of its page.
#[must_use]
pub fn purpose(doc: &str) -> String {
    let paragraph = doc.split("\n\n").nth(1).unwrap_or_default().replace('\n', " ");
    paragraph.split_once(". ").map_or(paragraph.clone(), |(first, _)| format!("{first}."))
}

/// The page one level deeper, to stand below another.
fn demoted(page: &str) -> String {
    let mut is_code = false;
    let mut text = String::with_capacity(page.len() + 64);
    for line in page.lines() {
        is_code ^= line.starts_with("```");
        if line.starts_with('#') && !is_code {
            text.push('#');
        }
        text.push_str(line);
        text.push('\n');
    }
    text
}
