//! The unit for systemd: valid, as closed as it says, and closed to nothing that the daemon needs.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use super::tools::{output, text};
use crate::harness::{
    daemon::{Daemon, Home, program},
    service::Service,
};

const UNIT: &str = "deploy/systemd/readiness-exporter.service";
const INSTALLED: &str = "/usr/bin/readiness-exporter";

/// The unit in a folder, with this build in the place of the installed program.
fn unit(folder: &Path) -> PathBuf {
    let path = folder.join("readiness-exporter.service");
    std::fs::write(&path, text(UNIT).replace(INSTALLED, env!("CARGO_BIN_EXE_readiness-exporter"))).unwrap();
    path
}

fn analyze() -> Command {
    Command::new(program("systemd-analyze", "systemd"))
}

/// The values of a setting, in their order.
fn settings(key: &str) -> Vec<String> {
    let unit = text(UNIT);
    let values = unit.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    values.map(str::to_owned).collect()
}

#[test]
fn systemd_finds_the_unit_valid() {
    let folder = tempfile::tempdir().unwrap();
    let path = unit(folder.path());
    let done = analyze().args(["verify", "--man=no"]).arg(path).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    // Other units of the machine are read as well.
    let ours: Vec<_> = said.lines().filter(|line| line.contains("readiness-exporter")).collect();
    assert!(done.status.success() && ours.is_empty(), "{said}");
}

#[test]
fn the_unit_is_as_closed_as_its_comment_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = unit(folder.path());
    let said = output(analyze().args(["security", "--offline=true", "--no-pager"]).arg(path));
    let score = said.rsplit("service: ").next().unwrap().split(' ').next().unwrap();
    assert!(text(UNIT).contains(&format!("says {score}:")), "it is {score}: {said}");
    assert!(score.parse::<f64>().unwrap() < 1.5, "{said}");
}

#[test]
fn every_command_of_the_unit_is_one_of_ours_and_takes_its_flags() {
    let commands = ["ExecStartPre", "ExecStart", "ExecReload"].map(settings).concat();
    let ours: Vec<_> = commands.iter().filter_map(|line| line.strip_prefix(INSTALLED)).collect();
    assert_eq!(ours.len(), 3, "{commands:?}");
    for arguments in ours {
        let arguments: Vec<_> = arguments.split_whitespace().collect();
        let parsed =
            readiness_exporter::cli::Cli::describe().try_get_matches_from(std::iter::once("x").chain(arguments));
        assert!(parsed.is_ok(), "{parsed:?}");
    }
}

#[test]
fn the_user_of_the_unit_is_the_one_that_sysusers_makes() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("usr/lib/sysusers.d");
    std::fs::create_dir_all(&place).unwrap();
    std::fs::create_dir(folder.path().join("etc")).unwrap();
    std::fs::write(place.join("readiness-exporter.conf"), text("deploy/systemd/sysusers.conf")).unwrap();
    output(Command::new(program("systemd-sysusers", "systemd")).arg(format!("--root={}", folder.path().display())));
    let passwd = std::fs::read_to_string(folder.path().join("etc/passwd")).unwrap();
    let user = settings("User").concat();
    assert!(passwd.lines().any(|line| line.starts_with(&format!("{user}:"))), "{passwd}");
    assert_eq!(settings("StateDirectory").concat(), user);
    assert!(passwd.contains(&format!(":/var/lib/{user}:/")), "{passwd}");
}

#[test]
fn every_variable_of_the_example_is_one_that_the_daemon_takes() {
    let example = text("deploy/systemd/environment.example");
    let variables: Vec<_> = example.lines().filter_map(|line| line.trim_start_matches('#').split_once('=')).collect();
    assert!(variables.len() >= 5, "{variables:?}");
    let cli = readiness_exporter::cli::Cli::describe();
    let flags: BTreeSet<_> = cli.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
    for (name, _) in variables.iter().filter(|(name, _)| name.starts_with("READINESS_") && !name.contains("__")) {
        assert!(flags.contains(name), "{name} is not among {flags:?}");
    }
    // There is no password: as it ships, nobody else is let in.
    assert!(example.lines().any(|line| line == "READINESS_SERVER__LISTEN=127.0.0.1:10980"), "{example}");
    // Those with `__` are settings: an unknown one is refused.
    let mut command = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"));
    command.args(["validate", "--config.file", "config/readiness.yaml"]).current_dir(super::tools::root());
    output(command.env_clear().envs(variables));
}

/// Every call that the sets of systemd named here have in them.
fn calls(sets: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for set in sets.split_whitespace() {
        let listed = output(analyze().args(["syscall-filter", "--no-pager", set]));
        for name in listed.lines().map(str::trim).filter(|name| !name.is_empty() && !name.starts_with('#')) {
            match name.starts_with('@') {
                true if name == set => {}
                true => found.extend(calls(name)),
                false => _ = found.insert(name.to_owned()),
            }
        }
    }
    found
}

#[test]
fn the_daemon_makes_no_call_that_the_unit_forbids() {
    let service = Service::start();
    let home = Home::new(&["
        - name: shop
          http: {url: \"${SHOP}\"}
        - name: named
          tcp: {address: \"localhost:1\"}
        - name: dumps
          backups: {files: \"${HOME_FOLDER}/*.dump\"}
          checks: [integrity]
        "])
    .with("SHOP", service.url());
    home.write("a.dump", "PGDMP");
    let trace = home.path("trace");
    let inner = home.command(&["serve"]);
    let mut command = Command::new(program("strace", "strace"));
    command.args(["-f", "-qq", "-o"]).arg(&trace).arg(inner.get_program()).args(inner.get_args());
    command
        .env_clear()
        .current_dir(home.path(""))
        .envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));

    let daemon = Daemon::start(command);
    daemon.wait_for("named/health", "fail refused");
    daemon.wait_for("shop/health", "pass");
    assert_eq!(daemon.ask("POST", "/-/reload").status, 200);
    assert_eq!(daemon.get("/metrics").status, 200);
    // The signal is for the daemon; strace ends when it does.
    let children = crate::harness::children(daemon.pid());
    crate::harness::signal("TERM", &children);
    let mut daemon = daemon;
    assert!(daemon.wait().success());

    let trace = std::fs::read_to_string(trace).unwrap();
    let lines = || trace.lines().filter_map(|line| line.split_once(' ').map(|(_, rest)| rest.trim_start()));
    let made: BTreeSet<String> = lines()
        .filter_map(|line| line.split_once('(').map(|(name, _)| name.to_owned()))
        .filter(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .collect();
    assert!(made.len() > 30 && made.contains("connect") && made.contains("rename"), "{made:?}");

    let filter = settings("SystemCallFilter");
    let (denied, allowed): (Vec<_>, Vec<_>) = filter.iter().partition(|sets| sets.starts_with('~'));
    let mut open: BTreeSet<String> = allowed.iter().flat_map(|sets| calls(sets)).collect();
    let closed: BTreeSet<String> = denied.iter().flat_map(|sets| calls(&sets[1..])).collect();
    open.retain(|call| !closed.contains(call));
    let forbidden: Vec<_> = made.iter().filter(|call| !open.contains(*call)).collect();
    assert!(forbidden.is_empty(), "{forbidden:?}");

    // MemoryDenyWriteExecute.
    let hot: Vec<_> = lines().filter(|line| line.contains("PROT_WRITE|PROT_EXEC")).collect();
    assert!(hot.is_empty(), "{hot:?}");

    // RestrictAddressFamilies. Without AF_NETLINK the resolver takes it that the machine has both kinds of address.
    let families = settings("RestrictAddressFamilies").concat();
    let used: BTreeSet<&str> = lines().filter_map(|line| line.strip_prefix("socket(")?.split(',').next()).collect();
    let refused: Vec<_> = used.into_iter().filter(|name| *name != "AF_NETLINK" && !families.contains(name)).collect();
    assert!(refused.is_empty(), "{refused:?}");
}
