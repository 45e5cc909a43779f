//! Every command of the README runs literally, in the root of a clone.
//!
//! The tables below list commands that would take too long or need a missing program. A command that is neither
//! runnable nor listed fails the test.

use std::{
    fs,
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use crate::harness::{
    daemon::{Daemon, output_text},
    markdown::code_in,
    service::Service,
    wait_until,
};

/// Programs that are not installed, or would change this machine. Other tests cover their files.
const NOT_HERE: [&str; 8] = ["docker", "podman", "kubectl", "kustomize", "systemctl", "sudo", "sed", "install"];

/// Commands of the README that are tested elsewhere.
const ELSEWHERE: [(&str, &str); 1] = [("tests/run", "this very run")];

/// Commands that run until Ctrl-C, with a text of their output.
const GO_ON: [(&str, &str); 2] = [("cargo run -- demo", "status page"), ("SERVICE_URL=", "started")];

/// Replacement of `cargo` that runs the existing build of the program.
const CARGO: &str = r#"#!/usr/bin/env bash
set -euo pipefail
case "$*" in
  "run -- "*) shift 2; exec readiness-exporter "$@" ;;
  "run --") exec readiness-exporter ;;
  "install --path .") grep -q '^name = "readiness-exporter"$' Cargo.toml ;;
  "bench") test -f tests/bench/main.rs ;;
  "bench -- "*) grep -q "(\"$3\", " tests/bench/main.rs ;;
  "bench --bench soak"*) grep -q '^name = "soak"$' Cargo.toml ;;
  *) echo "no newcomer would know what this does: cargo $*" >&2; exit 64 ;;
esac
"#;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The commands of a shell block. A backslash continues a line; comments are left out.
fn commands(block: &str) -> Vec<String> {
    let joined = block.replace("\\\n", " ");
    joined.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

/// A copy of the repository with links to the files of the real one, and a service to monitor.
struct Clone {
    folder: tempfile::TempDir,
    service: Service,
}

impl Clone {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in fs::read_dir(root()).unwrap().map(Result::unwrap) {
            let name = entry.file_name();
            if name != "target" && name != ".git" {
                symlink(entry.path(), folder.path().join(name)).unwrap();
            }
        }
        let bin = folder.path().join("newcomer-bin");
        fs::create_dir(&bin).unwrap();
        symlink(env!("CARGO_BIN_EXE_readiness-exporter"), bin.join("readiness-exporter")).unwrap();
        fs::write(bin.join("cargo"), CARGO).unwrap();
        assert!(Command::new("chmod").arg("+x").arg(bin.join("cargo")).status().unwrap().success());
        fs::create_dir(folder.path().join("backups")).unwrap();
        // A file that was just written may still be growing, so it gets an older time.
        let dump = fs::File::create(folder.path().join("backups/orders-1.dump")).unwrap();
        (&dump).write_all(b"PGDMP").unwrap();
        dump.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        Self { folder, service: Service::start() }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration of the README for the service, with shorter intervals and without the check of the dump's
    /// integrity.
    fn configuration(&self) -> PathBuf {
        let text = fs::read_to_string(root().join("README.md")).unwrap();
        let yaml = code_in(&text, "yaml").into_iter().find(|block| block.contains("probes:")).unwrap();
        assert!(yaml.contains("127.0.0.1:8080") && yaml.contains("/backups/"), "{yaml}");
        assert!(yaml.contains("- health: {failure_threshold: 2}"), "one lost packet is no outage: {yaml}");
        let yaml = yaml
            .replace("127.0.0.1:8080", &self.service.address.to_string())
            .replace("/backups/", &format!("{}/backups/", self.path().display()))
            .replace("interval: 10s", "interval: 1s")
            .replace("retry_interval: 2s", "retry_interval: 1s")
            .replace("min_samples: 20", "min_samples: 2")
            .replace("\n      - integrity", "");
        let file = self.path().join("my-service.yaml");
        fs::write(&file, yaml).unwrap();
        file
    }

    fn shell(&self, script: &str) -> Command {
        let path = format!("{}:{}", self.path().join("newcomer-bin").display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("timeout");
        // A server receives SIGINT, as from Ctrl-C. A program that still runs afterwards is killed, and the test fails.
        shell.args(["--preserve-status", "--signal=INT", "--kill-after=10", "8", "bash", "-euo", "pipefail", "-c"]);
        shell.arg(script).current_dir(self.path());
        shell.env_clear().env("PATH", path).env("HOME", self.path()).env("TMPDIR", self.path());
        shell.env("READINESS_SERVER__LISTEN", "127.0.0.1:0").env("SERVICE_URL", self.service.url());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        shell
    }

    fn run(&self, command: &str, configuration: Option<&Path>) -> Output {
        let here = command.replace("127.0.0.1:8080", &self.service.address.to_string());
        let mut shell = self.shell(&here);
        if let Some(file) = configuration {
            shell.env("READINESS_CONFIG", file);
        }
        shell.output().unwrap()
    }
}

#[test]
fn every_command_of_the_readme_runs_as_it_is_written() {
    let clone = Clone::new();
    let configuration = clone.configuration();
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let mut ran = 0;
    for command in code_in(&text, "sh").iter().flat_map(|block| commands(block)) {
        let first = command.split_whitespace().find(|word| !word.contains('=')).unwrap();
        if ELSEWHERE.iter().any(|(start, _)| command.starts_with(start)) || NOT_HERE.contains(&first) {
            continue;
        }
        // The first commands of the README run before the reader has a configuration.
        let own = (!command.contains("--config.file")).then_some(configuration.as_path());
        let output = clone.run(&command, own);
        let (out, error) = output_text(&output);
        assert_eq!(output.status.code(), Some(0), "`{command}`: {out}{error}");
        if let Some((_, says)) = GO_ON.iter().find(|(start, _)| command.starts_with(start)) {
            assert!(out.contains(says) || error.contains(says), "`{command}`: {out}{error}");
        }
        ran += 1;
    }
    assert!(ran >= 5, "only {ran} commands were found");
    assert!(fs::metadata(root().join("tests/run")).is_ok());
}

/// The commands between backquotes in a text.
fn mentions(text: &str) -> Vec<String> {
    let after = text.split("`readiness-exporter ").skip(1);
    after.filter_map(|rest| Some(format!("readiness-exporter {}", rest.split_once('`')?.0))).collect()
}

#[test]
fn every_command_that_a_text_or_the_help_names_runs() {
    let clone = Clone::new();
    let own = clone.configuration();
    fs::copy(&own, clone.path().join("x.yaml")).unwrap();
    let help = output_text(&clone.run("readiness-exporter --help", None)).0;
    let start =
        help.lines().skip_while(|line| *line != "Start here:").skip(1).map_while(|line| line.strip_prefix("  "));
    let mut named: Vec<(String, PathBuf)> =
        start.map(|line| (line.split_once("  ").unwrap().0.to_owned(), own.clone())).collect();
    assert!(named.len() >= 3, "{help}");
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    named.extend(mentions(&readme).into_iter().map(|command| (command, own.clone())));
    let examples = fs::read_dir(root().join("config/examples")).unwrap().map(|entry| entry.unwrap().path());
    for file in examples.chain([root().join("config/readiness.yaml")]) {
        let text = fs::read_to_string(&file).unwrap();
        named.extend(mentions(&text).into_iter().map(|command| (command, file.clone())));
    }
    assert!(named.len() >= 8, "{named:?}");
    let mut serve = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"));
    serve.arg("--config.file").arg(&own).env_clear().env("READINESS_SERVER__LISTEN", "127.0.0.1:0");
    let daemon = Daemon::start(serve);
    for (mut command, file) in named {
        if command == "readiness-exporter healthcheck" {
            command += &format!(" --web.listen-address {}", daemon.address);
        }
        let output = clone.run(&command, Some(&file));
        assert_eq!(output.status.code(), Some(0), "`{command}` with {}: {:?}", file.display(), output_text(&output));
    }
}

#[test]
fn the_readme_leads_to_a_status_page_of_an_own_service() {
    let clone = Clone::new();
    let file = clone.configuration();
    let valid = clone.run("readiness-exporter validate", Some(&file));
    assert_eq!(output_text(&valid).1, "", "the configuration of the README is good");
    let mut command = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"));
    command.arg("--config.file").arg(&file).env_clear().env("READINESS_SERVER__LISTEN", "127.0.0.1:0");
    let daemon = Daemon::start(command);
    wait_until("the page says that all is well", || {
        let page = daemon.get("/").text();
        let checks = ["api", "health", "latency", "nightly-dump", "freshness"];
        let missing: Vec<_> = checks.iter().filter(|name| !page.contains(**name)).collect();
        let ready = daemon.get("/-/ready").status;
        if missing.is_empty() && ready == 200 { Ok(()) } else { Err(format!("{missing:?} {ready} {page}")) }
    });
    let explained = clone.run("readiness-exporter explain api", Some(&file));
    assert_eq!(explained.status.code(), Some(0), "{:?}", output_text(&explained));
}
