//! The guides under `config/guides`: their configurations load, the forms of other programs are accepted by these
//! programs, and the list of settings is complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use readiness_exporter::{
    cli::Cli,
    settings::{self, Sources},
};
use serde_json::Value;

use super::{reference_pages, root};
use crate::harness::{daemon::program, markdown::fenced_blocks};

fn folder() -> PathBuf {
    root().join("config/guides")
}

/// Every guide by its file name.
fn guides() -> BTreeMap<String, String> {
    let files = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name.ends_with(".md"), "{name}");
        (name, fs::read_to_string(path).unwrap())
    };
    files.map(read).collect()
}

#[test]
fn the_index_lists_every_guide_and_every_link_leads_to_a_page() {
    let guides = guides();
    assert!(guides.len() > 8, "{:?}", guides.keys());
    for (name, text) in &guides {
        assert!(name == "README.md" || guides["README.md"].contains(&format!("[{name}]({name})")), "{name}");
        for link in crate::harness::markdown::links(text) {
            reference_pages::assert_link(&folder().join(name), link);
        }
    }
}

/// Runs a program on a file and expects success.
fn accepts(what: &str, program: &str, package: &str, arguments: &[&str], text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file.yaml");
    fs::write(&file, text).unwrap();
    let mut command = Command::new(crate::harness::daemon::program(program, package));
    for argument in arguments {
        command.arg(argument.replace("FILE", file.to_str().unwrap()));
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned();
    assert!(status.success(), "{what}: {said}\n{text}");
}

#[test]
fn every_block_is_accepted_by_the_program_that_reads_it() {
    let mut seen = BTreeMap::new();
    for (name, text) in guides() {
        for block in fenced_blocks(&text) {
            let (language, code) = (&*block.language, &*block.code);
            *seen.entry(language.to_owned()).or_insert(0) += 1;
            match language {
                "yaml" => load(&name, code),
                "yaml rules" => accepts(&name, "promtool", "prometheus", &["check", "rules", "FILE"], code),
                "yaml prometheus" => accepts(&name, "promtool", "prometheus", &["check", "config", "FILE"], code),
                "yaml blackbox" => {
                    // The file of the token does not exist here.
                    let code = code.lines().filter(|line| !line.contains("bearer_token_file")).collect::<Vec<_>>();
                    let exporter = "prometheus-blackbox-exporter";
                    accepts(&name, exporter, exporter, &["--config.file=FILE", "--config.check"], &code.join("\n"));
                }
                "yaml kubernetes" => {
                    for manifest in code.split("\n---\n") {
                        let read: Value = serde_saphyr::from_str(manifest).unwrap();
                        assert!(read["kind"].is_string() && read["metadata"]["name"].is_string(), "{name}: {manifest}");
                    }
                }
                "yaml json_exporter" => {
                    let read: Value = serde_saphyr::from_str(code).unwrap();
                    assert!(read["modules"].is_object(), "{name}: {code}");
                }
                // A test of their own starts nginx with them.
                "nginx" => assert!(name == "redundancy.md"),
                "text" | "sh" => {}
                other => panic!("{name}: who reads a block of {other}?"),
            }
        }
    }
    assert!(seen["yaml"] >= 10 && seen["yaml rules"] >= 4, "{seen:?}");
    // The peers of the migration pages are real: this one is installed.
    assert!(program("prometheus-blackbox-exporter", "prometheus-blackbox-exporter").exists());
}

fn load(name: &str, code: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readiness.yaml");
    fs::write(&path, code).unwrap();
    if let Err(problems) = settings::load(&Sources { path, ..Sources::default() }) {
        panic!("{name}: {problems}");
    }
}

#[test]
fn the_settings_page_has_every_flag_and_variable_with_its_default_and_no_other() {
    let text = fs::read_to_string(folder().join("settings.md")).unwrap();
    let cli = Cli::describe();
    let mut flags = BTreeSet::new();
    for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
        let name = if command.get_name() == cli.get_name() { "" } else { command.get_name() };
        assert!(name.is_empty() || text.contains(&format!("| `{name}` |")), "no row of the command {name}");
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long().filter(|long| !matches!(*long, "help" | "version")) else { continue };
            let row = text.lines().find(|line| line.starts_with(&format!("| `--{long}` |")));
            let row = row.unwrap_or_else(|| panic!("no row of --{long} of `{name}`"));
            flags.insert(format!("--{long}"));
            if let Some(variable) = argument.get_env().and_then(|variable| variable.to_str()) {
                assert!(row.contains(&format!("`{variable}`")), "{variable}: {row}");
            }
            for default in argument.get_default_values().iter().filter(|_| argument.get_action().takes_values()) {
                assert!(row.contains(&format!("`{}`", default.to_str().unwrap())), "{default:?}: {row}");
            }
        }
    }
    let listed = text.lines().filter_map(|line| line.strip_prefix("| `--")?.split('`').next());
    let listed: BTreeSet<_> = listed.map(|flag| format!("--{flag}")).collect();
    assert_eq!(listed, flags);
}

/// Follows a reference of the schema.
fn resolve<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    match node["$ref"].as_str().and_then(|path| path.strip_prefix('#')) {
        Some(path) => resolve(schema, schema.pointer(path).unwrap()),
        None => node,
    }
}

#[test]
fn the_settings_page_has_every_top_level_key_with_its_default() {
    let text = fs::read_to_string(folder().join("settings.md")).unwrap();
    let schema = serde_json::to_value(settings::schema()).unwrap();
    let top = resolve(&schema, &schema)["properties"].as_object().unwrap();
    assert!(top.len() >= 6, "{top:?}");
    for (key, node) in top {
        let node = resolve(&schema, node);
        let rows: Vec<(String, &Value)> = match node["properties"].as_object() {
            Some(inner) => inner.iter().map(|(name, node)| (format!("{key}.{name}"), node)).collect(),
            None => vec![(key.clone(), node)],
        };
        for (name, node) in rows {
            let row = text.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let row = row.unwrap_or_else(|| panic!("no row of the key {name}"));
            let default = match &node["default"] {
                Value::String(default) => default.clone(),
                Value::Number(default) => default.to_string(),
                Value::Bool(default) => default.to_string(),
                _ => continue,
            };
            assert!(default.is_empty() || row.contains(&format!("`{default}`")), "default {default}: {row}");
        }
    }
}

#[test]
fn the_settings_page_has_every_endpoint_and_no_other() {
    let text = fs::read_to_string(folder().join("settings.md")).unwrap();
    let files = fs::read_dir(root().join("src/server")).unwrap().map(|entry| entry.unwrap().path());
    let sources = files.filter(|path| path.is_file()).map(|path| fs::read_to_string(path).unwrap());
    let source = sources.filter(|source| source.contains("fn parse(path")).collect::<String>();
    let parse = source.split("fn parse(path").nth(1).unwrap().split("\n    fn ").next().unwrap();
    let routes = parse.split('"').skip(1).step_by(2).filter(|path| path.starts_with('/'));
    let routes: BTreeSet<_> = routes.map(str::to_owned).collect();
    assert!(routes.len() > 8, "{routes:?}");
    let listed: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `/"))
        .map(|rest| format!("/{}", rest.split('`').next().unwrap()))
        .collect();
    // A path that ends in a slash has names behind it in the list, in capital letters.
    let bare = |path: &String| path.split(|c: char| c.is_ascii_uppercase()).next().unwrap().to_owned();
    let named: BTreeSet<_> = listed.iter().map(bare).collect();
    for route in &routes {
        assert!(named.contains(route), "no row of {route}: {listed:?}");
    }
    for path in &named {
        assert!(routes.contains(path), "there is no endpoint {path}");
    }
}
