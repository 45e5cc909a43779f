//! Reference pages in Markdown, one for each probe kind and check kind, one for the metrics, and an index.
//!
//! A page is the text beside the source file (`DOC`) with the sections that the program knows better: settings with
//! types and defaults, measures, alert. The pages never state a fact of their own.

mod settings_table;

use std::fmt::Write as _;

use self::settings_table::settings_table;
use crate::{
    catalogue,
    kind::{CheckDescriptor, KindEntry},
    model::{
        metric::{self, Type},
        words::Reason,
    },
};

/// One page: the name of its file in `config/reference/`, and its text.
#[derive(Debug)]
pub struct ReferencePage {
    /// Such as `http.md`.
    pub file: String,
    /// In Markdown, with a line end at its end.
    pub text: String,
}

/// Every page of `config/reference/`: one for each kind with its checks, the metrics, the index.
#[must_use]
pub fn pages() -> Vec<ReferencePage> {
    let kinds = catalogue::all();
    let mut pages: Vec<_> =
        kinds.iter().map(|kind| ReferencePage { file: format!("{}.md", kind.name), text: whole_kind(kind) }).collect();
    pages.push(ReferencePage { file: "metrics.md".to_owned(), text: metrics() });
    pages.push(ReferencePage { file: "README.md".to_owned(), text: index() });
    pages
}

/// The page of `KIND` or `KIND/CHECK`, for the command line.
///
/// # Errors
/// Names the kinds or checks that there are.
pub fn page(name: &str) -> Result<String, String> {
    let (kind, check) = name.split_once('/').map_or((name, None), |(kind, check)| (kind, Some(check)));
    let found = catalogue::kind(kind).ok_or_else(|| catalogue::unknown_kind(kind))?;
    let Some(check) = check else { return Ok(kind_page(&found)) };
    let checks = (found.checks)();
    match checks.iter().find(|known| known.name == check) {
        Some(known) => Ok(check_page(kind, known)),
        None => Err(catalogue::unknown_check(&found, check)),
    }
}

/// The index: kinds with their checks, and the reasons.
#[must_use]
pub fn index() -> String {
    let mut text = String::from(
        "# Reference\n\nGenerated from the program; `readiness-exporter reference` prints the same pages.\n\n\
         | probe kind | checks | purpose |\n|---|---|---|\n",
    );
    for kind in catalogue::all() {
        let link = |check: &CheckDescriptor| format!("[`{0}`]({1}.md#{0})", check.name, kind.name);
        let checks: Vec<_> = (kind.checks)().iter().map(link).collect();
        let _ = writeln!(text, "| [`{0}`]({0}.md) | {1} | {2} |", kind.name, checks.join(" "), purpose(kind.doc));
    }
    let planned: Vec<_> = catalogue::planned_kinds().map(|kind| format!("`{kind}`")).collect();
    let _ = writeln!(text, "\nNot supported yet: {}.\n", planned.join(", "));
    let reasons: Vec<_> = Reason::ALL.iter().map(|reason| format!("`{reason}`")).collect();
    let _ = writeln!(
        text,
        "[metrics.md](metrics.md) lists every metric. A failure has one of these reasons: {}.",
        reasons.join(", ")
    );
    text
}

/// Every metric family with type, labels and help.
#[must_use]
pub fn metrics() -> String {
    let mut text = String::from(
        "# Metrics\n\nGenerated from the program. Labels of the configuration are added to `readiness_probe_info` and \
         `readiness_check_info`.\n\n| metric | type | labels | help |\n|---|---|---|---|\n",
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
    let mut text = kind.doc.trim_end().to_owned();
    let _ = write!(text, "\n\n## Settings of `{}`\n\n{}", kind.name, settings_table(kind.schema));
    let phases: Vec<_> = kind.phases.iter().map(|phase| format!("`{phase}`")).collect();
    let _ = write!(text, "\nPhases of a run: {}.\n", phases.join(", "));
    text.push_str("\n| check | category | severity | alert | purpose |\n|---|---|---|---|---|\n");
    for CheckDescriptor { name, category, severity, alert, doc, .. } in (kind.checks)() {
        let _ = writeln!(text, "| `{name}` | {category} | {severity} | `{alert}` | {} |", purpose(doc));
    }
    text
}

fn check_page(kind: &str, check: &CheckDescriptor) -> String {
    let CheckDescriptor { name, category, severity, alert, .. } = check;
    let mut text = check.doc.trim_end().to_owned();
    let _ = write!(text, "\n\n## Settings of `{kind}/{name}`\n\n{}", settings_table(check.schema));
    if !check.measures.is_empty() {
        text.push_str("\n## Measures\n\n| measure | meaning | value | limit |\n|---|---|---|---|\n");
        for measure in check.measures {
            let value = measure.value_family.unwrap_or_else(|| metric::value_family(measure.unit));
            let limit = measure.limit_family.unwrap_or_else(|| metric::limit_family(measure.unit));
            let _ = writeln!(text, "| `{}` | {} | `{}` | `{}` |", measure.name, measure.help, value.name, limit.name);
        }
    }
    let _ = write!(
        text,
        "\n## Alert\n\n`{alert}` reports a failure. Default category: {category}. Default severity: {severity}.\n"
    );
    text
}

/// The first sentence below the title.
fn purpose(doc: &str) -> String {
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
