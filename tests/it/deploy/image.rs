//! The image without an engine: the Dockerfile's own lines run in a clean folder, and what comes of them runs alone.
//!
//! It builds the release twice from nothing (dependencies, program), which takes minutes, and needs root for chroot:
//! `cargo nextest run --run-ignored only deploy::image`.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use super::{
    dockerfile::{Instruction, all, stages},
    tools::{output, root},
};
use crate::harness::{
    daemon::{Daemon, output_text},
    free_port, reap, signal, wait_until,
};

const REVISION: &str = "0123456789ab";

/// What an engine does with the build stage, in a folder.
fn build(stage: &[Instruction], folder: &Path) {
    let keep = ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME"].map(|name| (name, std::env::var(name).ok()));
    let mut variables: BTreeMap<String, String> =
        keep.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    for Instruction { word, rest } in stage {
        let start = Instant::now();
        match word.as_str() {
            "ENV" => variables.extend(pairs(rest)),
            "ARG" => _ = variables.insert("REVISION".to_owned(), REVISION.to_owned()),
            "COPY" => copy(rest, root(), folder),
            "RUN" => {
                let mut shell = Command::new("sh");
                output(shell.args(["-c", rest]).env_clear().envs(&variables).current_dir(folder));
            }
            _ => {}
        }
        println!("{:7.1} s  {word} {rest}", start.elapsed().as_secs_f64());
    }
}

/// `A=1 B="two words"`.
fn pairs(text: &str) -> Vec<(String, String)> {
    let words = output(Command::new("sh").arg("-c").arg(format!("printf '%s\\n' {text}")));
    words.lines().filter_map(|word| word.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

fn copy(arguments: &str, from: &Path, to: &Path) {
    let (sources, target) = arguments.rsplit_once(' ').unwrap();
    let target = to.join(target.trim_start_matches('/'));
    for source in sources.split(' ').filter(|word| !word.starts_with("--")) {
        let source = from.join(source.trim_start_matches("/build/"));
        // The content of a folder, as COPY does.
        let what = if source.is_dir() { source.join(".") } else { source };
        let parent = if arguments.ends_with('/') || what.ends_with(".") { &target } else { target.parent().unwrap() };
        fs::create_dir_all(parent).unwrap();
        output(Command::new("cp").arg("-a").arg(what).arg(&target));
    }
}

/// A command of the image, as its user in its read-only root.
fn inside(image: &Path, arguments: &[&str]) -> Command {
    let script = "mount --rbind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && mount -t tmpfs none \"$0/tmp\" \
                  && mount -t proc none \"$0/proc\" && exec chroot --userspec=65532:65532 \"$0\" \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(image)
        .arg("/usr/bin/readiness-exporter")
        .args(arguments)
        .env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap());
    command
}

#[test]
#[ignore = "it builds the release from nothing: minutes, and it needs root"]
fn what_the_dockerfile_builds_is_static_and_runs_alone_as_its_user() {
    let folder = tempfile::tempdir().unwrap();
    let (clean, image): (PathBuf, PathBuf) = (folder.path().join("build"), folder.path().join("image"));
    fs::create_dir(&clean).unwrap();
    let stages = stages();
    build(&stages[0], &clean);
    for arguments in all(&stages[1], "COPY") {
        copy(arguments, if arguments.starts_with("--from") { &clean } else { root() }, &image);
    }
    // An engine has it in each container.
    fs::create_dir(image.join("proc")).unwrap();

    let program = image.join("usr/bin/readiness-exporter");
    let headers = output(Command::new("readelf").arg("-lW").arg(&program));
    assert!(!headers.contains("INTERP"), "{headers}");
    let programs: Vec<_> =
        fs::read_dir(image.join("usr/bin")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(programs, ["readiness-exporter"]);
    println!("{} bytes", fs::metadata(&program).unwrap().len());

    let run = |arguments: &[&str]| output_text(&inside(&image, arguments).output().unwrap()).0;
    assert!(run(&["--version"]).contains(REVISION));
    assert_eq!(run(&["validate"]), "/etc/readiness-exporter/readiness.yaml is valid; probes: 1, checks: 3\n");

    let address = format!("127.0.0.1:{}", free_port());
    let daemon = Daemon::start(inside(&image, &["serve", "--web.listen-address", &address]));
    let status = fs::read_to_string(format!("/proc/{}/status", daemon.pid())).unwrap();
    assert!(status.contains("Uid:\t65532\t65532") && status.contains("CapEff:\t0000000000000000"), "{status}");
    wait_until("every probe has run", || match daemon.get("/-/ready").status {
        200 => Ok(()),
        status => Err(status.to_string()),
    });
    let healthy = || run(&["healthcheck", "--web.listen-address", &address]);
    let runs = format!("the daemon at {address} is healthy\n");
    assert_eq!(healthy(), runs);
    daemon.terminate();
    assert_eq!(healthy(), "");

    // The demo needs a folder to write to, and no other.
    let mut demo = inside(&image, &["demo", "--web.listen-address", &address]).stdout(Stdio::null()).spawn().unwrap();
    wait_until("the demo is healthy", || if healthy() == runs { Ok(()) } else { Err("not yet".to_owned()) });
    signal("TERM", &[demo.id()]);
    reap(&mut demo);
    assert_eq!(demo.wait().unwrap().code(), Some(0));
}
