//! What the documents say is held to what the program does.

use std::{collections::BTreeSet, fs, path::PathBuf};

use readiness_exporter::{
    catalogue,
    cli::Cli,
    model::{metric, words::Reason},
    settings::{self, Sources},
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

/// Rows of the Markdown table whose head begins with the given words, cells trimmed.
fn table(text: &str, head: &str) -> Vec<Vec<String>> {
    let rows = text.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

#[test]
fn the_readme_lists_every_metric_family_with_its_type_labels_and_help() {
    let documented = table(&readme(), "| metric |");
    let rows: Vec<Vec<String>> = metric::ALL
        .iter()
        .map(|family| {
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let kind = format!("{:?}", family.kind).to_lowercase();
            vec![format!("`{}`", family.name), kind, labels.join(" "), family.help.to_owned()]
        })
        .collect();
    let wanted: Vec<String> = rows.iter().map(|row| format!("| {} |", row.join(" | "))).collect();
    assert_eq!(documented, rows, "the table should read:\n{}", wanted.join("\n"));
}

#[test]
fn the_readme_lists_every_probe_kind_with_the_checks_that_it_feeds() {
    for row in table(&readme(), "| probe |") {
        let kind = catalogue::all().into_iter().find(|kind| format!("`{}`", kind.name) == row[0]);
        let offers: Vec<_> = kind.expect(&row[0]).checks.iter_names();
        assert_eq!(row[2], offers.join(" "), "checks of {}", row[0]);
    }
    assert_eq!(table(&readme(), "| probe |").len(), catalogue::all().len());
}

/// The names of a kind's checks as the README writes them.
trait Names {
    fn iter_names(&self) -> Vec<String>;
}

impl Names for fn() -> Vec<readiness_exporter::kind::CheckDescriptor> {
    fn iter_names(&self) -> Vec<String> {
        self().iter().map(|offer| format!("`{}`", offer.name)).collect()
    }
}

#[test]
fn the_readme_lists_the_reasons_why_something_fails() {
    let words: Vec<_> = Reason::ALL.iter().map(|reason| format!("`{reason}`")).collect();
    assert!(readme().contains(&words.join(", ")), "{}", words.join(", "));
}

#[test]
fn every_command_and_flag_in_the_readme_exists() {
    let cli = Cli::describe();
    let mut flags: BTreeSet<String> = ["help", "version"].map(String::from).into();
    let commands: BTreeSet<&str> = cli.get_subcommands().map(clap::Command::get_name).collect();
    for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
        flags.extend(command.get_arguments().filter_map(|argument| argument.get_long().map(str::to_owned)));
    }
    let text = readme();
    let ours = text.lines().filter(|line| line.contains("readiness-exporter "));
    for flag in ours.flat_map(str::split_whitespace).filter_map(|word| word.strip_prefix("--")) {
        let flag = flag.trim_end_matches('`');
        assert!(flag.is_empty() || flags.contains(flag) || flag == "release" || flag == "path", "--{flag}");
    }
    for after in text.split("`readiness-exporter ").skip(1) {
        let command = after.split([' ', '`']).next().unwrap();
        assert!(commands.contains(command), "{command}");
    }
}

#[test]
fn every_configuration_that_ships_loads() {
    let config = root().join("config");
    let mut files = vec![config.join("readiness.yaml")];
    files.extend(fs::read_dir(config.join("examples")).unwrap().map(|entry| entry.unwrap().path()));
    let kinds: BTreeSet<_> = catalogue::all().iter().map(|kind| format!("{}.yaml", kind.name)).collect();
    let examples = files[1..].iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, examples, "one commented example for each kind");
    for path in files {
        if let Err(problems) = settings::load(&Sources { path, ..Sources::default() }) {
            panic!("{problems}");
        }
    }
}
