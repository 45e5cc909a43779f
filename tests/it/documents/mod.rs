//! README, reference pages and shipped configurations agree with the program.
//!
//! `UPDATE=1 cargo test --test it documents` renews the generated files.

mod guides;
mod reference_pages;

use std::{collections::BTreeSet, fs, path::PathBuf};

use readiness_exporter::{
    catalogue,
    cli::Cli,
    reference,
    settings::{self, Sources},
};

use crate::harness::markdown::{links, table_rows};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("README.md")).unwrap()
}

#[test]
fn the_readme_lists_every_probe_kind_with_its_purpose_and_a_link_to_its_page() {
    let rows = table_rows(&readme(), "| probe |");
    let wanted: Vec<_> = catalogue::all()
        .iter()
        .map(|kind| {
            let name = kind.name;
            vec![format!("`{name}`"), reference::purpose(kind.doc), format!("[{name}.md](config/reference/{name}.md)")]
        })
        .collect();
    assert_eq!(rows, wanted);
}

#[test]
fn every_link_of_the_readme_leads_to_a_file() {
    let text = readme();
    let links = links(&text);
    assert!(links.len() > 10, "{links:?}");
    links.into_iter().for_each(|link| reference_pages::assert_link(&root().join("README.md"), link));
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
