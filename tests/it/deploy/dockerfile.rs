//! The Dockerfile: read as an engine reads it, linted, and held to the rules of an image that may run in production.

use std::{fs, path::Path};

use readiness_exporter::cli::Cli;

use super::tools::{output, root, text, tool};

/// One instruction, its continuation lines joined.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Instruction {
    pub(super) word: String,
    pub(super) rest: String,
}

/// The instructions of each stage, from its FROM on.
pub(super) fn stages() -> Vec<Vec<Instruction>> {
    let mut stages: Vec<Vec<Instruction>> = Vec::new();
    let text = text("Dockerfile");
    let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    for line in code.join("\n").replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap();
        let rest = rest.split_whitespace().collect::<Vec<_>>().join(" ");
        if word == "FROM" {
            stages.push(Vec::new());
        }
        stages.last_mut().unwrap().push(Instruction { word: word.to_owned(), rest });
    }
    stages
}

pub(super) fn all<'a>(stage: &'a [Instruction], word: &str) -> Vec<&'a str> {
    stage.iter().filter(|instruction| instruction.word == word).map(|instruction| instruction.rest.as_str()).collect()
}

/// Arguments in the form of a JSON list, which needs no shell.
fn exec_form(text: &str) -> Vec<String> {
    serde_json::from_str(text).unwrap_or_else(|_| panic!("{text} needs a shell, and there is none"))
}

#[test]
fn hadolint_finds_nothing() {
    assert_eq!(output(tool("hadolint").args(["--failure-threshold", "style", "Dockerfile"])), "");
}

#[test]
fn the_image_has_no_shell_no_root_and_checks_its_own_health() {
    let stages = stages();
    let image = stages.last().unwrap();
    assert_eq!(all(image, "FROM"), ["scratch"]);
    assert_eq!(all(image, "RUN"), [""; 0], "nothing can run in it");
    let [user] = all(image, "USER")[..] else { panic!("one USER") };
    let ids: Vec<u32> =
        user.split(':').map(|id| id.parse().expect("Kubernetes must see that it is not root")).collect();
    assert!(ids.len() == 2 && ids.iter().all(|id| *id > 0), "{user}");

    let program = exec_form(all(image, "ENTRYPOINT")[0]);
    let health = all(image, "HEALTHCHECK")[0].split_once(" CMD ").unwrap().1;
    let [asks, command] = &exec_form(health)[..] else { panic!("{health}") };
    assert_eq!((&program[..], asks.as_str()), (&[asks.clone()][..], "/usr/bin/readiness-exporter"));
    assert!(Cli::describe().find_subcommand(command).is_some(), "{command}");

    let labels = all(image, "LABEL").join(" ");
    for label in ["title", "description", "licenses", "version", "revision"] {
        assert!(labels.contains(&format!("org.opencontainers.image.{label}=")), "{label}: {labels}");
    }
    assert!(all(image, "ARG").contains(&concat!("VERSION=", env!("CARGO_PKG_VERSION"))), "the version is this one");
    assert!(labels.contains(&format!("licenses=\"{}\"", env!("CARGO_PKG_LICENSE"))));
    assert!(labels.contains("revision=\"$REVISION\""));
}

#[test]
fn nobody_is_told_to_publish_the_port_to_the_network() {
    let texts = ["Dockerfile", "README.md"].map(text);
    let runs: Vec<_> = texts.iter().flat_map(|text| text.split("docker run ").skip(1)).collect();
    assert_eq!(runs.len(), 2, "one each");
    assert!(runs.iter().all(|run| run.lines().next().unwrap().contains("-p 127.0.0.1:10980:10980 ")), "{runs:?}");
}

#[test]
fn what_it_is_built_of_is_pinned() {
    for stage in stages() {
        let base = all(&stage, "FROM")[0].split(' ').next().unwrap().to_owned();
        if base == "scratch" {
            continue;
        }
        let tag = base.split_once(':').unwrap_or_else(|| panic!("{base} has no tag")).1;
        let version = tag.split('-').next().unwrap();
        assert_eq!(
            version.split('.').filter(|part| part.parse::<u32>().is_ok()).count(),
            3,
            "{base} is not one version"
        );
        let least = env!("CARGO_PKG_RUST_VERSION");
        let number = |text: &str| text.split('.').map(|part| part.parse::<u32>().unwrap()).collect::<Vec<_>>();
        assert!(number(version) >= number(least), "{base} is older than {least}");
    }
    for line in stages().concat().iter().filter(|line| line.rest.contains("cargo build")) {
        assert!(line.rest.contains("--locked") && line.rest.contains("--release"), "{}", line.rest);
    }
}

#[test]
fn the_context_contains_all_copied_files_and_the_build_all_included_files() {
    let let_in: Vec<String> =
        text(".dockerignore").lines().filter_map(|line| line.strip_prefix('!').map(str::to_owned)).collect();
    assert!(text(".dockerignore").lines().any(|line| line == "*"), "nothing else is sent");
    let mut built_from = Vec::new();
    for stage in stages() {
        for copy in all(&stage, "COPY").into_iter().filter(|copy| !copy.starts_with("--from=")) {
            let (sources, _) = copy.rsplit_once(' ').unwrap();
            for source in sources.split(' ') {
                assert!(root().join(source).exists(), "{source} is not there");
                assert!(
                    let_in.iter().any(|entry| Path::new(source).starts_with(entry)),
                    "{source} is not in .dockerignore"
                );
                built_from.push(source.to_owned());
            }
        }
    }
    let mut outside = 0;
    for (file, included) in includes(&root().join("src")) {
        if let Some(path) = included.strip_prefix("/") {
            outside += 1;
            assert!(built_from.iter().any(|from| Path::new(path).starts_with(from)), "{file} includes {path}");
        }
    }
    assert!(outside > 0, "the runbooks are built in");
}

/// Every file that a source includes, by the source's name; from the top with a `/` where it is outside of `src`.
fn includes(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(includes(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            for rest in ["include_str!(", "include_bytes!("].iter().flat_map(|word| text.split(word).skip(1)) {
                // Where a macro is given the name, it is written elsewhere.
                let rest = rest.strip_prefix("concat!(").unwrap_or(rest);
                let Some((written, _)) = rest.strip_prefix('"').and_then(|rest| rest.split_once('"')) else { continue };
                let climbs = written.matches("../").count();
                let depth = path.strip_prefix(root()).unwrap().components().count() - 1;
                let place = if climbs >= depth { "/" } else { "" };
                found.push((path.display().to_string(), format!("{place}{}", written.trim_start_matches("../"))));
            }
        }
    }
    found
}
