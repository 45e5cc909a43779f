//! The page of defaults: every setting with its built-in default, in one table.

use std::fmt::Write as _;

use super::settings_table::{SettingRow, setting_rows};
use crate::{catalogue, settings};

const INTRODUCTION: &str = "\
# Defaults

This page is generated from the program. It lists every setting with its default. `readiness-exporter reference defaults`
prints it, and `/config` shows the values of a running daemon, each with its source.

Keys with several places are inherited: the nearest value wins, from `defaults` over the head of a file (for the probes
of that file) and the probe to the check. Labels of all places are joined. Timing (`interval`, `timeout`,
`retry_interval`) belongs to probes and can't stand on a check. A timeout or retry interval from a farther place than the
interval is reduced to the interval.

A health check that `checks` doesn't list has other defaults than a listed one: it is a `warning` and needs two failed
runs in a row, so that one missed run of a secondary system pages nobody. A listed health check has the severity of its
kind, `critical`, because listing it states that the outage of the target matters.

| setting | place | default | meaning |
|---|---|---|---|
";

/// The page of defaults.
pub(super) fn defaults() -> String {
    let mut text = INTRODUCTION.to_owned();
    let mut push = |place: &str, prefix: &str, row: SettingRow, default: String| {
        let default = if matches!(&*default, "" | "``") { "none".to_owned() } else { default };
        let _ = writeln!(text, "| `{prefix}{}` | {place} | {default} | {} |", row.key, row.meaning);
    };
    for group in settings::key_groups() {
        for row in setting_rows(group.schema) {
            let is_timing = matches!(&*row.key, "interval" | "timeout" | "retry_interval");
            let places = if is_timing { group.places.trim_end_matches(", check") } else { group.places };
            let default = settings::built_in_default(&row.key);
            push(places, "", row, default);
        }
    }
    // The keys of `defaults` are the inherited keys above.
    for row in setting_rows(settings::daemon_schema).into_iter().filter(|row| !row.key.starts_with("defaults.")) {
        let default = row.default.clone();
        push("top level", "", row, default);
    }
    for kind in catalogue::all() {
        for row in setting_rows(kind.schema) {
            let default = row.default.clone();
            push("probe", &format!("{}.", kind.name), row, default);
        }
        for check in (kind.checks)() {
            let name = format!("{}/{}", kind.name, check.name);
            for (key, word) in [("severity", check.severity.as_str()), ("category", check.category.as_str())] {
                let meaning = format!("The {key} of the check kind.");
                let row = SettingRow { key: key.to_owned(), kind: String::new(), default: String::new(), meaning };
                push("check", &format!("{name}."), row, format!("`{word}`"));
            }
            for row in setting_rows(check.schema) {
                let default = row.default.clone();
                push("check", &format!("{name}."), row, default);
            }
        }
    }
    text
}
