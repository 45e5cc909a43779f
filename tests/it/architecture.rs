//! What `src/lib.rs` says of the modules is held to their files: who imports whom, who is listed where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use readiness_exporter::catalogue;

/// Modules from the top to the bottom: each imports only those below it, and those beside it.
const LAYERS: &[&[&str]] = &[
    &["main", "cli"],
    &["app"],
    &["server"],
    &["metrics", "state", "scheduler"],
    &["board"],
    &["settings"],
    // The list of kinds; the kinds themselves are further down.
    &["probes.rs"],
    &["kind"],
    &["probes"],
    &["checks"],
    &[
        "probe",
        "check",
        "limit",
        "units",
        "secret",
        "family",
        "node",
        "pattern",
        "dial",
        "tls",
        "shared",
        "bounded_file",
    ],
    &["telemetry", "renderer", "outgoing", "sentence"],
    &["gzip"],
];

/// What only one part of the program may know, where in its folder or file, and what it is known by.
const ONE_IMPORTER: &[(&str, &[&str])] = &[
    ("use prometheus::", &["metrics"]),
    ("use config::", &["settings"]),
    ("tokio_postgres::", &["probes/postgres"]),
    // The demo's service is one that is watched, not one of ours.
    ("server::conn", &["server", "cli/demo"]),
    ("use reqwest::", &["cli/healthcheck"]),
    ("use maud::", &["server/page"]),
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &mut found);
    assert!(found.len() > 100, "the sources are read");
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// The sources without their tests.
fn program() -> Vec<(String, String)> {
    let is_test = |name: &str| name.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "fixture.rs"));
    let mut all = sources();
    all.retain(|(name, _)| !is_test(name) && !matches!(name.as_str(), "lib.rs" | "build.rs"));
    for (_, text) in &mut all {
        let end = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
        text.truncate(end);
    }
    all
}

/// The modules of this crate that a text names, by `crate::name` or in a list `crate::{..}`; comments left out.
fn imports(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let mut found = BTreeSet::new();
    for rest in code.join("\n").split("crate::").skip(1) {
        let (mut depth, mut name) = (0, String::new());
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth <= 1 && (c.is_alphanumeric() || c == '_') {
                name.push(c);
                continue;
            }
            // Only the first part of a path, and only where a name may begin.
            if !name.is_empty() {
                found.insert(std::mem::take(&mut name));
            }
            if depth <= 0 {
                break;
            }
            if c == ':' {
                name = "-".to_owned();
            }
        }
    }
    found.retain(|name| !name.starts_with('-'));
    found
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

#[test]
fn imports_are_found_in_every_form() {
    let text =
        "use crate::{board::Board, check::{self, Status}, limit};\nlet x = crate::units::Period(y);\n// crate::no";
    assert_eq!(imports(text), ["board", "check", "limit", "units"].map(str::to_owned).into());
}

#[test]
fn modules_import_only_what_is_below_them() {
    let mut wrong = Vec::new();
    for (file, text) in program() {
        let module = if file == "probes.rs" { "probes.rs" } else { file.split(['/', '.']).next().unwrap() };
        let own = layer(module).unwrap_or_else(|| panic!("{file} has no place in LAYERS"));
        for import in imports(&text) {
            // Macros and the like are no modules.
            let Some(below) = layer(&import) else { continue };
            if below < own {
                wrong.push(format!("{file} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn what_only_one_part_may_know_has_one_importer() {
    for (what, places) in ONE_IMPORTER {
        let mut used = false;
        for (file, _) in program().iter().filter(|(_, text)| text.contains(what)) {
            used = true;
            assert!(
                places.iter().any(|place| file.starts_with(place)),
                "{file} knows {what}: that belongs to {places:?}"
            );
        }
        assert!(used, "nobody knows {what}");
    }
}

#[test]
fn the_list_of_kinds_is_the_folder_of_kinds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/probes");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.is_file()).map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let listed: BTreeSet<_> = catalogue::all().iter().map(|kind| kind.name.to_owned()).collect();
    assert_eq!(files.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn a_check_kind_is_as_bad_and_about_the_same_on_every_probe() {
    let mut seen = BTreeMap::new();
    for kind in catalogue::all() {
        for offer in (kind.offers)() {
            let first = *seen.entry(offer.name).or_insert((offer.category, offer.severity, kind.name));
            assert_eq!(
                (offer.category, offer.severity),
                (first.0, first.1),
                "{} on {} and {}",
                offer.name,
                kind.name,
                first.2
            );
        }
    }
}

#[test]
fn no_file_is_longer_than_a_person_reads() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{file} has {lines} lines: split it by what it knows");
    }
}
