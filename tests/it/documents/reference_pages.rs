//! The reference: generated pages are current, complete and correct, and the command prints them.

use std::{collections::BTreeSet, fs, path::Path, sync::LazyLock};

use readiness_exporter::{
    catalogue,
    kind::CheckDescriptor,
    model::{metric, words::Reason},
    reference,
    settings::{self, Sources},
};

use super::root;
use crate::harness::{
    daemon::{Home, output_text},
    markdown::{anchors, code_in, links},
};

/// Every generated file, relative to `config/`, with its text.
fn generated() -> Vec<(String, String)> {
    let pages = reference::pages().into_iter().map(|page| (format!("reference/{}", page.file), page.text));
    let schema = serde_json::to_string_pretty(&settings::schema()).unwrap();
    pages.chain([("schema.json".to_owned(), format!("{schema}\n"))]).collect()
}

/// Every page of a check, with the name `KIND/CHECK`.
fn check_pages() -> Vec<(String, String)> {
    let kinds = catalogue::all().into_iter();
    let names =
        kinds.flat_map(|kind| (kind.checks)().into_iter().map(move |check| format!("{}/{}", kind.name, check.name)));
    names.map(|name| (reference::page(&name).unwrap(), name)).map(|(page, name)| (name, page)).collect()
}

fn kind_pages() -> Vec<(String, String)> {
    let names = catalogue::all().into_iter().map(|kind| kind.name.to_owned());
    names.map(|name| (reference::page(&name).unwrap(), name)).map(|(page, name)| (name, page)).collect()
}

#[test]
fn generated_pages_and_the_schema_are_current() {
    let folder = root().join("config");
    let generated = generated();
    if std::env::var_os("UPDATE").is_some() {
        // Only the stale files are removed: other tests read these pages at the same time.
        fs::create_dir_all(folder.join("reference")).unwrap();
        for file in fs::read_dir(folder.join("reference")).unwrap().map(Result::unwrap) {
            let name = format!("reference/{}", file.file_name().display());
            if !generated.iter().any(|(file, _)| *file == name) {
                fs::remove_file(file.path()).unwrap();
            }
        }
        for (file, text) in &generated {
            fs::write(folder.join(file), text).unwrap();
        }
    }
    let renew = "renew the generated files with: UPDATE=1 cargo test --test it documents";
    for (file, text) in &generated {
        let found = fs::read_to_string(folder.join(file)).unwrap_or_default();
        let differs = found.lines().zip(text.lines()).find(|(found, text)| found != text);
        assert!(found == *text, "config/{file} is stale, first at {differs:?}; {renew}");
    }
    let files = fs::read_dir(folder.join("reference")).unwrap();
    let files: BTreeSet<_> = files.map(|file| format!("reference/{}", file.unwrap().file_name().display())).collect();
    let wanted = generated.iter().map(|(file, _)| file.clone()).filter(|file| file != "schema.json").collect();
    assert_eq!(files, wanted, "{renew}");
}

#[test]
fn every_page_has_every_section_in_one_order() {
    let sections = |text: &str| -> Vec<String> {
        let headings = text.lines().filter_map(|line| line.strip_prefix("## "));
        headings.map(|heading| heading.split(" of ").next().unwrap().to_owned()).collect()
    };
    for (name, page) in kind_pages() {
        assert!(page.starts_with(&format!("# `{name}`\n\n")), "{name}");
        let wanted = ["Settings", "Checks", "Verdicts", "Examples", "Privileges", "Remediation"];
        assert_eq!(sections(&page), wanted, "{name}");
    }
    for (name, page) in check_pages() {
        assert!(page.starts_with(&format!("# `{}`\n\n", name.split_once('/').unwrap().1)), "{name}");
        let all = ["Settings", "Verdicts", "Examples", "Privileges", "Measures", "Alert", "Remediation"];
        let wanted: Vec<_> = all.into_iter().filter(|it| *it != "Measures" || page.contains("| measure |")).collect();
        assert_eq!(sections(&page), wanted, "{name}");
        assert!(page.lines().filter(|line| line.contains("| pass") || line.contains("fail")).count() >= 2, "{name}");
    }
}

#[test]
fn every_remediation_has_three_to_six_steps() {
    for (name, page) in kind_pages().into_iter().chain(check_pages()) {
        let steps = page.split_once("\n## Remediation\n").unwrap().1;
        let steps = steps.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_digit())).count();
        assert!((3..=6).contains(&steps), "{name}: {steps} steps");
    }
}

#[test]
fn every_purpose_is_one_sentence_of_its_own() {
    let mut seen = BTreeSet::new();
    let kinds = catalogue::all();
    let checks = kinds.iter().flat_map(|kind| (kind.checks)());
    for doc in kinds.iter().map(|kind| kind.doc).chain(checks.map(|check| check.doc)).collect::<BTreeSet<_>>() {
        let purpose = reference::purpose(doc);
        assert!(purpose.ends_with('.') && purpose.len() < 170, "{purpose}");
        assert!(seen.insert(purpose.clone()), "two pages say: {purpose}");
    }
}

#[test]
fn every_example_of_every_page_loads_and_is_about_its_subject() {
    let schema = settings::schema();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("example.yaml");
    for (name, page) in kind_pages().into_iter().chain(check_pages()) {
        let examples = code_in(&page, "yaml");
        assert!(examples.len() >= 2, "{name} has a minimal and a realistic example");
        for example in examples {
            fs::write(&path, &example).unwrap();
            let sources = Sources { path: path.clone(), ..Sources::default() };
            let loaded = settings::load(&sources).unwrap_or_else(|problems| panic!("{name}: {problems}\n{example}"));
            let kinds: Vec<_> = loaded.probes.iter().map(|probe| probe.info.kind).collect();
            let checks: Vec<_> = loaded.probes.iter().flat_map(|probe| &probe.info.checks).map(|it| it.kind).collect();
            match name.split_once('/') {
                None => assert!(kinds.contains(&&*name), "{name}: {example}"),
                Some((_, check)) => assert!(checks.contains(&check), "{name}: {example}"),
            }
            let document: serde_json::Value = serde_saphyr::from_str(&example).unwrap();
            let errors: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {errors:#?}\n{example}");
        }
    }
}

static GENERATED: LazyLock<Vec<(String, String)>> = LazyLock::new(generated);

/// Asserts that a relative link leads to a file, and to a heading if it has an anchor.
pub(super) fn assert_link(file: &Path, link: &str) {
    if link.contains("://") {
        return;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = if path.is_empty() { file.to_owned() } else { file.parent().unwrap().join(path) };
    assert!(target.exists(), "{}: the link {link} leads nowhere", file.display());
    if !anchor.is_empty() {
        // A generated page may be written by another test at this moment.
        let current = GENERATED.iter().find(|(page, _)| target.ends_with(Path::new("config").join(page)));
        let text = current.map_or_else(|| fs::read_to_string(&target).unwrap(), |(_, text)| text.clone());
        assert!(anchors(&text).contains(anchor), "{}: no heading for {link}", file.display());
    }
}

#[test]
fn every_link_of_the_reference_leads_to_a_page() {
    let mut count = 0;
    for page in reference::pages() {
        let file = root().join("config/reference").join(&page.file);
        for link in links(&page.text) {
            assert_link(&file, link);
            count += 1;
        }
    }
    assert!(count > 50, "{count}");
}

#[test]
fn the_reference_lists_every_check_reason_and_metric_family() {
    let read = |file: &str| fs::read_to_string(root().join("config/reference").join(file)).unwrap();
    let index = read("README.md");
    for reason in Reason::ALL {
        assert!(index.contains(&format!("\n| `{reason}` | ")), "{reason}");
    }
    for kind in catalogue::all() {
        let page = read(&format!("{}.md", kind.name));
        for CheckDescriptor { name, measures, alert, .. } in (kind.checks)() {
            assert!(index.contains(&format!("[`{name}`]({}.md#{name})", kind.name)), "{name}");
            let section = page.split(&format!("\n## `{name}`\n")).nth(1).unwrap().split("\n## ").next().unwrap();
            assert!(section.contains(&format!("[`{alert}`](../../alerts/runbooks/{alert}.md)")), "{name}");
            for measure in measures {
                assert!(section.contains(&format!("| `{}` | {} |", measure.name, measure.help)), "{}", measure.name);
            }
        }
    }
    let families = read("metric-families.md");
    for family in metric::ALL {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let kind = format!("{:?}", family.kind).to_lowercase();
        let row = format!("| `{}` | {kind} | {} | {} |", family.name, labels.join(" "), family.help);
        assert!(families.contains(&row), "{row}");
    }
}

#[test]
fn the_command_reference_prints_the_index_a_kind_or_a_check() {
    let home = Home::new(&[]);
    let print = |arguments: &[&str]| {
        let output = home.run(&[&["reference"], arguments].concat());
        let (text, error) = output_text(&output);
        assert_eq!((output.status.code(), error.as_str()), (Some(0), ""), "{arguments:?}");
        text
    };
    assert_eq!(print(&[]), reference::index());
    for kind in catalogue::all() {
        assert_eq!(print(&[kind.name]), reference::page(kind.name).unwrap());
    }
    let page = print(&["http/latency"]);
    assert!(page.starts_with("# `latency`\n") && page.contains("| `p95` | limit: duration |"), "{page}");
}

#[test]
fn the_command_reference_refuses_unknown_and_planned_names() {
    let home = Home::new(&[]);
    for (name, message) in [
        ("htp", "there is no probe kind `htp`; did you mean `http`?"),
        ("zzzzzzz", "there is no probe kind `zzzzzzz`; there are `http`"),
        ("zzzzzzz/health", "there is no probe kind `zzzzzzz`"),
        ("http/latncy", "a `http` probe has no check `latncy`; did you mean `latency`?"),
        ("http/zzzzzzz", "a `http` probe has no check `zzzzzzz`; it has `health`"),
        ("http/", "a `http` probe has no check ``"),
        ("tcp/freshness", "a `tcp` probe has no check `freshness`; it has `health`"),
    ] {
        let output = home.run(&["reference", name]);
        let (text, error) = output_text(&output);
        assert_eq!((output.status.code(), text.as_str()), (Some(2), ""), "{name}: {error}");
        assert!(error.contains(message), "{name}: {error}");
    }
    let kinds = catalogue::planned_kinds().map(|kind| (kind.to_owned(), "probes"));
    let checks = catalogue::planned_checks().map(|check| (format!("postgres/{check}"), "checks"));
    for (name, what) in kinds.chain(checks) {
        let error = reference::page(&name).unwrap_err();
        let word = name.rsplit('/').next().unwrap();
        assert_eq!(error, format!("{what} of kind `{word}` are not supported yet"));
    }
    let planned = catalogue::planned_kinds().next().expect("a kind that is planned");
    let output = home.run(&["reference", planned]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output_text(&output).1.contains("not supported yet"));
}

#[test]
fn the_help_teaches_the_command_reference() {
    let help = output_text(&Home::new(&[]).run(&["--help"])).0;
    assert!(help.contains("readiness-exporter reference http/latency"), "{help}");
}
