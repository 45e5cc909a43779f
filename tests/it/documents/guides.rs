//! The guides under `config/guides`: their configurations load, the forms of other programs are accepted by these
//! programs, and the list of settings is complete.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use readiness_exporter::{
    catalogue,
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

/// The tables of the settings page that are generated, each between its two markers.
fn generated_tables() -> Vec<(&'static str, String)> {
    let schema = serde_json::to_value(settings::schema()).unwrap();
    let kinds: BTreeSet<&str> = catalogue::all().iter().map(|kind| kind.name).collect();
    let checks: BTreeSet<&str> =
        catalogue::all().iter().flat_map(|kind| (kind.checks)()).map(|check| check.name).collect();
    let of_probes = |key: &str| !kinds.contains(key);
    let of_checks = |key: &str| !checks.contains(key);
    vec![
        ("keys", key_table(&schema, &schema, "", &|_| true)),
        ("keys of probes", key_table(&schema, &schema["$defs"]["probe"], "", &of_probes)),
        ("keys of checks", key_table(&schema, &schema["$defs"]["checks_of_http"]["anyOf"][1], "", &of_checks)),
        ("flags", flag_table()),
        ("commands", command_table()),
    ]
}

/// Rows of the keys of a map; the keys of a map within it follow with their path.
fn key_table(schema: &Value, map: &Value, path: &str, is_wanted: &dyn Fn(&str) -> bool) -> String {
    let mut rows = String::new();
    let keys = resolve(schema, map)["properties"].as_object().unwrap();
    for (key, node) in keys.iter().filter(|(key, _)| is_wanted(key)) {
        let inner = resolve(schema, node);
        if path.is_empty() && inner["properties"].is_object() {
            rows.push_str(&key_table(schema, inner, &format!("{key}."), &|_| true));
            continue;
        }
        let text = node["description"].as_str().or(inner["description"].as_str()).unwrap_or_default();
        // A key that accepts a variable has its default within the first alternative.
        let alternatives = node["anyOf"].as_array().into_iter().flatten();
        let default = std::iter::once(node).chain(alternatives).map(|node| &node["default"]).find(|one| !one.is_null());
        let default = match default.unwrap_or(&Value::Null) {
            Value::Null => String::new(),
            Value::String(default) if default.is_empty() => String::new(),
            Value::String(default) => format!("`{default}`"),
            Value::Array(list) if list.is_empty() => String::new(),
            Value::Object(map) if map.is_empty() => String::new(),
            other => format!("`{other}`"),
        };
        writeln!(rows, "| `{path}{key}` | {default} | {} |", text.replace('\n', " ").replace('|', "\\|")).unwrap();
    }
    rows
}

/// Follows a reference of the schema.
fn resolve<'a>(schema: &'a Value, node: &'a Value) -> &'a Value {
    let list = node["anyOf"].as_array().into_iter().flatten();
    let reference = std::iter::once(node).chain(list).find_map(|node| node["$ref"].as_str()?.strip_prefix('#'));
    match reference.and_then(|path| schema.pointer(path)) {
        Some(found) => resolve(schema, found),
        None => node,
    }
}

/// Every flag once, with the commands that accept it.
fn flag_table() -> String {
    let cli = Cli::describe();
    let mut flags: BTreeMap<String, (Vec<String>, String)> = BTreeMap::new();
    for command in std::iter::once(&cli).chain(cli.get_subcommands()) {
        for argument in command.get_arguments() {
            let Some(long) = argument.get_long().filter(|long| !matches!(*long, "help" | "version")) else { continue };
            let variable = argument.get_env().map(|name| format!("`{}`", name.display())).unwrap_or_default();
            let is_value = argument.get_action().takes_values();
            let defaults = argument.get_default_values().iter().filter(|_| is_value);
            let defaults: Vec<_> = defaults.map(|default| format!("`{}`", default.display())).collect();
            let help = argument.get_help().map(ToString::to_string).unwrap_or_default().replace('\n', " ");
            let row = format!("{variable} | {} | {}", defaults.join(" "), help.replace('|', "\\|"));
            let entry = flags.entry(long.to_owned()).or_insert_with(|| (Vec::new(), row));
            entry.0.push(match argument.is_global_set() {
                true => "all".to_owned(),
                false if command.get_name() == cli.get_name() => "`serve`".to_owned(),
                false => format!("`{}`", command.get_name()),
            });
            entry.0.dedup();
        }
    }
    let rows =
        flags.into_iter().map(|(long, (commands, row))| format!("| `--{long}` | {} | {row} |\n", commands.join(", ")));
    rows.collect()
}

fn command_table() -> String {
    let cli = Cli::describe();
    let about = |command: &clap::Command| command.get_about().map(ToString::to_string).unwrap_or_default();
    cli.get_subcommands().map(|command| format!("| `{}` | {} |\n", command.get_name(), about(command))).collect()
}

#[test]
fn the_settings_page_has_every_key_flag_variable_and_command_with_its_default() {
    let file = folder().join("settings.md");
    let mut text = fs::read_to_string(&file).unwrap();
    let mut stale = Vec::new();
    for (name, table) in generated_tables() {
        assert!(table.lines().count() >= 5, "{name}: {table}");
        let (begin, end) = (format!("<!-- generated: {name} -->\n"), format!("<!-- end: {name} -->"));
        let (before, rest) = text.split_once(&begin).unwrap_or_else(|| panic!("no marker {begin}"));
        let (head_and_rows, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no marker {end}"));
        let head: String = head_and_rows.lines().take(2).map(|line| format!("{line}\n")).collect();
        let wanted = format!("{head}{table}");
        if head_and_rows != wanted {
            stale.push(name);
        }
        text = format!("{before}{begin}{wanted}{end}{after}");
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, text).unwrap();
    } else {
        assert!(stale.is_empty(), "{stale:?} of settings.md: renew them with UPDATE=1 cargo test --test it documents");
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
