//! The rules of `src/lib.rs` about modules, imports and names, compared with the source files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use readiness_exporter::catalogue;

/// All modules from the bottom to the top. A module may import only modules above its own line in this list.
const ORDER: &[&str] = &[
    "telemetry",
    "render_thread",
    "compress",
    "outgoing",
    "model/secret",
    "model/redaction",
    "model/text",
    "model/words",
    "model/units",
    "model/metric",
    "model/failure",
    "model/pattern",
    "model/privilege",
    "model/measure",
    "model/limit",
    "model/verdict",
    "model/observation",
    "model/check",
    "document",
    "io/bounded_file",
    "io/file_deadline",
    "io/single_flight",
    "io/exposed_secrets",
    "io/lane",
    "io/turn",
    "io/host_name",
    "io/tls",
    "io/resources",
    "io/secret_file",
    "io/context",
    "io/dial",
    "io/address",
    "io/kept",
    "io/http",
    "probe",
    "kind",
    "checks",
    "probes",
    "catalogue",
    "settings",
    "daemon_metrics",
    "board",
    "state",
    "scheduler",
    "exposition",
    "reference",
    "server",
    "app",
    "cli",
    "main",
];

/// Dependencies that only some modules may use: the text that identifies the use, and the modules.
const ONE_IMPORTER: &[(&str, &[&str])] = &[
    ("use prometheus::", &["exposition", "daemon_metrics"]),
    ("use config::", &["settings"]),
    ("tokio_postgres::", &["probes/postgres"]),
    // The service of the demo is a target, not a part of the server.
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

/// Sources without their tests.
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

/// All paths below `crate`, `super` and `self` in a source text, without comments.
fn paths(text: &str) -> Vec<Vec<String>> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for root in ["crate", "super", "self"] {
        for (at, _) in code.match_indices(&format!("{root}::")) {
            let before = code[..at].chars().next_back();
            // The root must not be a part of another path.
            if before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':') {
                expand(&code[at..], &[], &mut found);
            }
        }
    }
    found
}

/// Expands one path or list of a `use` declaration; returns the text after it.
fn expand<'a>(text: &'a str, before: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let (mut path, mut rest) = (before.to_vec(), text);
    loop {
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        if end > 0 {
            path.push(rest[..end].to_owned());
        }
        rest = &rest[end..];
        let Some(next) = rest.strip_prefix("::") else { break };
        rest = next;
        if let Some(mut list) = rest.strip_prefix('{') {
            loop {
                list = expand(list.trim_start(), &path, found).trim_start();
                list = list.strip_prefix(',').unwrap_or(list).trim_start();
                if let Some(behind) = list.strip_prefix('}') {
                    return behind;
                }
                assert!(!list.is_empty(), "a list without an end after {path:?}");
            }
        }
        // A glob or a generic argument ends the path.
        if !rest.starts_with(|c: char| c.is_alphabetic() || c == '_') {
            rest = rest.strip_prefix('*').unwrap_or(rest);
            break;
        }
    }
    // `as name` does not belong to the path.
    let renamed = rest.trim_start().strip_prefix("as ");
    let rest = renamed.map_or(rest, |name| name.trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'));
    if path.len() > before.len() {
        found.push(path);
    }
    rest
}

/// The module path of a file: `io/tls/mod.rs` is `io/tls`.
fn module(file: &str) -> &str {
    let file = file.strip_suffix(".rs").unwrap();
    file.strip_suffix("/mod").unwrap_or(file)
}

/// The modules that each module imports, by module path, without imports of itself.
fn imports(program: &[(String, String)]) -> BTreeMap<&str, BTreeSet<&str>> {
    let modules: BTreeSet<&str> = program.iter().map(|(file, _)| module(file)).collect();
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (file, text) in program {
        let own: Vec<&str> = module(file).split('/').collect();
        for path in paths(text) {
            let mut target: Vec<&str> = if path[0] == "crate" { Vec::new() } else { own.clone() };
            for part in &path {
                match part.as_str() {
                    "crate" | "self" => {}
                    "super" => drop(target.pop()),
                    part => target.push(part),
                }
            }
            // The longest prefix that is a module; the rest of the path is an item.
            let imported =
                (1..=target.len()).rev().find_map(|end| modules.get(target[..end].join("/").as_str()).copied());
            found.entry(module(file)).or_default().extend(imported.filter(|imported| *imported != module(file)));
        }
    }
    found
}

/// The line of [`ORDER`] that a module belongs to.
fn place(module: &str) -> Option<usize> {
    ORDER.iter().position(|line| module == *line || module.strip_prefix(line).is_some_and(|rest| rest.starts_with('/')))
}

#[test]
fn paths_are_found_in_every_form() {
    let text = "use crate::{board::Board, check::{self, Status as S}, limit};\nuse super::a;\n// crate::no\n\
                let x = crate::units::Period::new(y);";
    let found: BTreeSet<String> = paths(text).iter().map(|path| path.join("::")).collect();
    let expected = [
        "crate::board::Board",
        "crate::check::self",
        "crate::check::Status",
        "crate::limit",
        "crate::units::Period::new",
        "super::a",
    ];
    assert_eq!(found, expected.map(str::to_owned).into());
}

#[test]
fn modules_import_only_modules_below_them() {
    let program = program();
    let mut wrong = Vec::new();
    for (module, imported) in imports(&program) {
        // These files only list modules.
        if matches!(module, "model" | "io") {
            continue;
        }
        let own = place(module).unwrap_or_else(|| panic!("{module} has no line in ORDER"));
        for import in imported.into_iter().filter(|import| !matches!(*import, "model" | "io")) {
            let below = place(import).unwrap_or_else(|| panic!("{import} has no line in ORDER"));
            if below > own {
                wrong.push(format!("{module} imports {import}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let unused: Vec<_> =
        ORDER.iter().filter(|line| !program.iter().any(|(file, _)| place(module(file)) == place(line))).collect();
    assert!(unused.is_empty(), "{unused:?} are no modules");
}

#[test]
fn no_modules_import_each_other_in_a_circle() {
    let program = program();
    let is_inside = |inner: &str, outer: &str| inner.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/'));
    let all = imports(&program);
    // Imports between the `mod.rs` of a folder and its other files don't count.
    let edges: BTreeMap<&str, Vec<&str>> = all
        .iter()
        .map(|(module, imported)| {
            let outside = |import: &&&str| !is_inside(module, import) && !is_inside(import, module);
            (*module, imported.iter().filter(outside).copied().collect())
        })
        .collect();
    for start in edges.keys() {
        let (mut seen, mut next) = (BTreeSet::new(), edges[start].clone());
        while let Some(module) = next.pop() {
            assert_ne!(module, *start, "{start} is in a circle through {seen:?}");
            if seen.insert(module) {
                next.extend(edges.get(module).into_iter().flatten());
            }
        }
    }
}

#[test]
fn no_probe_kind_imports_another() {
    for (file, text) in program() {
        let Some(own) = file.strip_prefix("probes/").and_then(|rest| rest.split('/').next()) else { continue };
        for path in paths(&text) {
            let other = path.iter().position(|part| part == "probes").and_then(|at| path.get(at + 1));
            assert!(other.is_none_or(|other| other == own), "{file} imports {path:?}: share it in io or checks");
        }
    }
}

#[test]
fn restricted_dependencies_have_one_importer() {
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
    let folders = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let folders =
        folders.filter(|path| path.is_dir()).map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let listed: BTreeSet<_> = catalogue::all().iter().map(|kind| kind.name.to_owned()).collect();
    assert_eq!(folders.collect::<BTreeSet<_>>(), listed);
}

#[test]
fn a_check_kind_has_the_same_category_and_severity_on_every_probe() {
    let mut seen = BTreeMap::new();
    for kind in catalogue::all() {
        for offer in (kind.checks)() {
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
fn no_file_is_longer_than_400_lines() {
    for (file, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 400, "{file} has {lines} lines: split it by what it knows");
    }
}

/// Modules with the limit [`MAX_PRONOUNS_PER_THOUSAND`] on their comments.
const PLAIN_MODULES: &[&str] = &[
    "app",
    "board",
    "catalogue.rs",
    "checks",
    "cli",
    "compress",
    "daemon_metrics.rs",
    "document",
    "exposition",
    "io",
    "kind",
    "main.rs",
    "model",
    "outgoing.rs",
    "probe.rs",
    "probes/backups",
    "probes/http",
    "probes/metrics",
    "probes/mod.rs",
    "probes/postgres",
    "probes/tcp",
    "reference",
    "render_thread.rs",
    "scheduler",
    "server",
    "settings",
    "state",
    "telemetry",
];
/// Pronouns that often replace the subject of a sentence.
const PRONOUNS: &[&str] = &["what", "who", "whoever", "whom", "whose", "those"];
/// Maximum number of pronouns in 1,000 words of comments. The number was 0.5 when the limit was set; other projects
/// have up to 3.2.
const MAX_PRONOUNS_PER_THOUSAND: usize = 1;

/// The words of the comments in a text.
fn comment_words(text: &str) -> Vec<String> {
    let comments = text.lines().filter_map(|line| line.trim_start().strip_prefix("//"));
    let words = comments.flat_map(|comment| comment.split(|c: char| !c.is_alphabetic() && c != '\''));
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

#[test]
fn comments_name_their_subjects() {
    assert_eq!(comment_words("/// What it is.\nlet what = 1;\n    // Those two"), ["what", "it", "is", "those", "two"]);
    let (mut words, mut found) = (0, Vec::new());
    for (file, text) in program() {
        let is_in =
            |module: &str| file.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if PLAIN_MODULES.iter().any(|module| is_in(module)) {
            let comments = comment_words(&text);
            words += comments.len();
            found.extend(
                comments.into_iter().filter(|word| PRONOUNS.contains(&&**word)).map(|word| (file.clone(), word)),
            );
        }
    }
    assert!(words > 25_000, "the comments are read: {words} words");
    assert!(found.len() * 1_000 <= words * MAX_PRONOUNS_PER_THOUSAND, "{} in {words} words: {found:#?}", found.len());
}

/// Type names with several definitions: a check kind may have the same name for the facts of different kinds. The list
/// must not grow.
const SHARED_TYPE_NAMES: &[&str] = &["ErrorRate", "Finding", "Latency", "Pool"];

/// The names of the types that a text defines; associated types are left out.
fn type_names(text: &str) -> Vec<&str> {
    let name = |line| {
        let line: &str = line;
        let indented = line.starts_with(' ');
        let line = line.trim_start();
        let line = match line.strip_prefix("pub(").and_then(|rest| rest.split_once(") ")) {
            Some((_, rest)) => rest,
            None => line.strip_prefix("pub ").unwrap_or(line),
        };
        let (keyword, rest) = line.split_once(' ')?;
        let is_type = matches!(keyword, "struct" | "enum" | "trait") || (keyword == "type" && !indented);
        let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        rest.get(..end).filter(|name| is_type && name.starts_with(|c: char| c.is_uppercase()))
    };
    text.lines().filter_map(name).collect()
}

#[test]
fn no_type_name_has_two_meanings() {
    let text = "pub(crate) struct A;\n    type B = u8;\ntype C<T> = T;\n// struct D\npub enum E {}\ntrait F: G {}";
    assert_eq!(type_names(text), ["A", "C", "E", "F"]);
    let program = program();
    let mut places: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (file, text) in &program {
        type_names(text).into_iter().for_each(|name| places.entry(name).or_default().push(file));
    }
    places.retain(|name, files| files.len() > 1 && !SHARED_TYPE_NAMES.contains(name));
    assert!(places.is_empty(), "give each of these types a name of its own: {places:#?}");
}

/// Literals that equal the name of a kind or check and mean something else.
const OTHER_MEANINGS: &[(&str, &str, &str)] = &[
    ("settings/inherit.rs", "http", "the scheme of a URL"),
    ("settings/names.rs", "http", "the scheme of a URL"),
    ("server/page/navigation.rs", "metrics", "the path of the metrics page"),
    ("server/negotiate.rs", "version", "a parameter of a media type"),
    ("reference/settings_table.rs", "size", "a type of settings"),
];

#[test]
fn names_of_kinds_and_checks_are_written_once() {
    let kinds = catalogue::all();
    let checks = catalogue::checks().map(|check| check.name);
    let names: BTreeSet<&str> = kinds.iter().map(|kind| kind.name).chain(checks).collect();
    assert!(names.len() > 15, "{names:?}");
    let mut found = Vec::new();
    for (file, text) in program() {
        let is_above = ["settings", "board", "state", "scheduler", "exposition", "server", "app", "cli", "reference"];
        if !is_above.iter().any(|module| file.starts_with(&format!("{module}/"))) {
            continue;
        }
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for name in code.flat_map(|line| line.split('"').skip(1).step_by(2)).filter(|text| names.contains(text)) {
            if !OTHER_MEANINGS.iter().any(|(known, word, _)| *known == file && *word == name) {
                found.push(format!("{file}: \"{name}\""));
            }
        }
    }
    assert!(found.is_empty(), "use the constant NAME of the kind or check instead: {found:#?}");
}
