//! Commands that people copy from a page at 3 a.m.: what they name is what the files under `deploy/` make.

use std::fs;

use serde_json::Value;

use super::{
    kubernetes::{one, rendered},
    tools::{root, text},
};

/// Every command of a program in the runbooks and documents, in blocks and within sentences: a page and the words after
/// the program's name.
fn commands(program: &str) -> Vec<(String, Vec<String>)> {
    let runbooks = fs::read_dir(root().join("alerts/runbooks")).unwrap().map(|entry| entry.unwrap().path());
    let documents =
        ["README.md", "deploy/kubernetes/README.md", "deploy/compose/compose.yaml"].map(|name| root().join(name));
    let start = format!("{program} ");
    let mut found = Vec::new();
    for path in runbooks.chain(documents) {
        let text = fs::read_to_string(&path).unwrap();
        for rest in text.lines().flat_map(|line| line.split(&start).skip(1)) {
            let words = rest.split(['`', '|', '#', ';']).next().unwrap().split_whitespace().map(str::to_owned);
            found.push((path.display().to_string(), words.collect()));
        }
    }
    assert!(!found.is_empty(), "no page has {program}");
    found
}

/// The word after a flag.
fn after<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    words.iter().skip_while(|word| *word != flag).nth(1).map(String::as_str)
}

/// Capitals stand for a name of the reader's own.
fn is_placeholder(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c == '-')
}

#[test]
fn every_unit_that_a_page_names_is_there() {
    let logs = commands("journalctl").into_iter().map(|(page, words)| {
        let unit = after(&words, "-u").unwrap_or_else(|| panic!("{page}: the log of what? {words:?}")).to_owned();
        (page, unit)
    });
    let verbs = ["status", "reload", "restart", "start", "stop", "edit", "enable", "disable"];
    let managed = commands("systemctl").into_iter().filter(|(_, words)| verbs.contains(&&*words[0]));
    let managed = managed.map(|(page, words)| (page, words.last().unwrap().clone()));
    let units: Vec<_> = logs.chain(managed).filter(|(_, unit)| !is_placeholder(unit)).collect();
    assert!(units.len() > 3, "{units:?}");
    for (page, unit) in units {
        assert!(root().join(format!("deploy/systemd/{unit}.service")).is_file(), "{page}: {unit}");
    }
}

#[test]
fn every_service_of_the_compose_file_that_a_page_names_is_there() {
    let all = commands("docker compose");
    let mut logs = 0;
    for (page, words) in &all {
        let file = after(words, "-f").filter(|_| words[0] == "-f");
        let file = file.unwrap_or_else(|| panic!("{page}: compose looks for a file here: {words:?}"));
        let read: Value = serde_saphyr::from_str(&text(file)).unwrap();
        if words[2] == "logs" {
            let service = words.last().unwrap();
            assert!(read["services"][service].is_object(), "{page}: there is no {service} in {file}");
            logs += 1;
        }
    }
    assert!(logs >= 2, "{all:?}");
}

#[test]
fn every_deployment_and_label_that_a_page_names_is_there() {
    let manifests = rendered("standalone");
    let deployment = one(&manifests, "Deployment");
    let (mut names, mut labels) = (0, 0);
    for (page, words) in commands("kubectl") {
        if let Some(name) = words.iter().find_map(|word| word.strip_prefix("deploy/")) {
            // A folder is named with `-k`.
            if after(&words, "-k").is_none() && words[0] != "kustomize" {
                assert_eq!(deployment["metadata"]["name"], name, "{page}");
                names += 1;
            }
        }
        if let Some((key, value)) = after(&words, "-l").and_then(|label| label.split_once('=')) {
            assert_eq!(deployment["spec"]["template"]["metadata"]["labels"][key], value, "{page}");
            labels += 1;
        }
    }
    assert!(names > 0 && labels > 0, "{names} {labels}");
}
