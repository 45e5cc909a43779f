//! Configurations: what is wrong with them is said in full, and what holds together loads.

mod hostile;
mod inheritance;
mod schema;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use readiness_exporter::{
    catalogue,
    model::words::{Category, Severity},
    settings::{self, Concurrency, Flags, Settings, Sources},
};

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/configuration"))
}

fn sources(path: &Path, environment: &[(&str, &str)]) -> Sources {
    let environment: BTreeMap<_, _> = environment.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    Sources { path: path.to_owned(), environment, ..Sources::default() }
}

/// Loads, or what is said, with file names relative to the folder of the main file.
fn load(path: &Path, environment: &[(&str, &str)]) -> Result<Settings, String> {
    settings::load(&sources(path, environment)).map_err(|problems| {
        let folder = if path.is_dir() { path } else { path.parent().unwrap() };
        problems.to_string().replace(&format!("{}/", folder.display()), "")
    })
}

/// What is said about some files, of which the first is loaded.
fn output_text(files: &[(&str, &str)], environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    load(&folder.path().join(files[0].0), environment).err().unwrap_or_else(|| "nothing".to_owned())
}

const PROBE: &str = "probes: [{name: a, tcp: {address: a:1}}]\n";

/// A key at the wrong level is reported with its path.
#[test]
fn a_key_that_is_valid_at_another_level_is_suggested_with_its_path() {
    for (text, path) in [
        ("listen: [\"127.0.0.1:1\"]\n", "server.listen"),
        ("external_url: http://a\n", "server.external_url"),
        ("per_host: 3\n", "concurrency.per_host"),
        ("depends_on: [b]\n", "probes[].depends_on"),
        ("server: {timeout: 5s}\n", "defaults.timeout"),
    ] {
        let found = output_text(&[("a.yaml", &format!("{text}{PROBE}"))], &[]);
        assert!(found.contains(&format!("did you mean `{path}`?")), "{text}: {found}");
    }
}

/// An interval that can't be read is one error. Windows and timeouts are not compared with the default interval instead.
#[test]
fn an_error_in_an_interval_has_no_follow_up_errors() {
    let probes = "
        - {name: a, http: {url: \"http://a/\"}, timeout: 45s, checks: [{latency: {p95: 1s, window: 20s}}, {error_rate: {max: 5%, window: 10s}}]}
        - {name: b, tcp: {address: \"b:1\"}, retry_interval: 40s, checks: [{latency: {p95: 1s, window: 20d}}]}
    ";
    for (interval, message) in [
        ("interval: 5 seconds", "a.yaml:1:"),
        ("interval: 10ms", "an interval of 10ms is out of range"),
        ("intervall: 5s", "did you mean `interval`?"),
    ] {
        let text = format!("defaults: {{{interval}}}\nprobes:{probes}");
        let found = output_text(&[("a.yaml", &text)], &[]);
        assert!(found.contains(message), "{interval}: {found}");
        assert_eq!(found.matches("a.yaml:").count(), 1, "{interval}: {found}");
        // Errors that don't depend on the interval are reported at once.
        let found = output_text(&[("a.yaml", &text.replace("max: 5%", "max: 5%, mxa: 3"))], &[]);
        assert_eq!(found.matches("a.yaml:").count(), 2, "{interval}: {found}");
    }
    let valid = format!("defaults: {{interval: 30s}}\nprobes:{probes}");
    let found = output_text(&[("a.yaml", &valid)], &[]);
    assert!(found.contains("shorter than the probe's interval of 30s"), "{found}");
}

/// Each `NAME.yaml` here has what is said about it beside it, in `NAME.txt`. To write those anew after a change that
/// is meant, run the test with `UPDATE=1` and read the difference.
#[test]
fn every_mistake_is_reported_once_with_its_place_its_line_and_the_nearest_word() {
    let mut files: Vec<_> = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    files.sort();
    assert!(files.len() >= 4, "{files:?}");
    for file in files {
        let environment = [("PASSWORD", "hunter2"), ("NUMBER", "5"), ("EMPTY", "")];
        let said = load(&file, &environment).err().unwrap_or_else(|| panic!("{} loads", file.display()));
        assert!(!said.contains("hunter2"), "{said}");
        let expected = file.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&expected, format!("{said}\n")).unwrap();
        }
        assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), format!("{said}\n"), "{}", file.display());
    }
}

#[test]
fn a_whole_configuration_loads_with_every_default_filled_in() {
    let settings = load(&folder().join("good/whole.yaml"), &[("THRESHOLD", "7"), ("LIFECYCLE", "false")]).unwrap();
    let listen: Vec<_> = settings.server.listen.iter().map(ToString::to_string).collect();
    assert_eq!(listen, ["127.0.0.1:0", "[::1]:10980", "0.0.0.0:10981"]);
    assert!(!settings.server.lifecycle);
    assert_eq!(settings.state, Some(PathBuf::from("./state")));
    assert_eq!(settings.concurrency, Concurrency { total: 100, per_host: 8 });
    let infos: Vec<_> = settings.probes.iter().map(|probe| &*probe.info).collect();
    let names: Vec<_> = infos.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["api", "db.main-1", "copy", "more"]);

    let api = infos[0];
    assert_eq!((api.service.as_str(), api.kind, api.enabled), ("orders", "tcp", true));
    assert_eq!(api.timing.interval, Duration::from_secs(20));
    assert_eq!(api.timing.timeout, Duration::from_secs(4));
    assert_eq!(api.timing.retry_interval, Duration::from_secs(20));
    let health = &api.checks[0];
    assert_eq!((health.name.as_str(), health.kind, health.gate), ("health", "health", true));
    assert_eq!((health.severity, health.category), (Severity::Warning, Category::Health));
    assert_eq!((health.failure_threshold, health.success_threshold), (2, 3));

    let db = infos[1];
    assert_eq!(db.timing.timeout, Duration::from_secs(2), "the default gives way to a shorter interval");
    assert_eq!((db.depends_on.as_slice(), db.labels["team"].as_str()), (&["api".to_owned()][..], "storage"));
    let [health, again] = db.checks.as_slice() else { panic!("{:?}", db.checks) };
    assert_eq!((health.owner.as_str(), health.failure_threshold), ("db team", 7));
    assert_eq!((again.name.as_str(), again.severity, again.gate), ("again", Severity::Info, false));
    assert!(!infos[3].checks[0].gate);

    let shown = settings.effective.to_string();
    for (value, source) in [("      address: db:5432", "whole.yaml:18"), ("    retry_interval: 20s", "built in")] {
        let is_shown = |line: &str| line.starts_with(&format!("{value}  # ")) && line.ends_with(source);
        assert!(shown.lines().any(is_shown), "{value} from {source} in\n{shown}");
    }
    // One document, which a daemon could be started with.
    let shown: serde_json::Value = serde_saphyr::from_str(&shown).unwrap();
    let names: Vec<_> = shown["probes"].as_array().unwrap().iter().map(|probe| &probe["name"]).collect();
    assert_eq!(names, infos.iter().map(|info| &*info.name).collect::<Vec<_>>());
}

#[test]
fn environment_is_laid_over_the_files_and_flags_over_both() {
    let mut sources = sources(
        &folder().join("good/whole.yaml"),
        &[
            ("READINESS_SERVER__LISTEN", "127.0.0.1:1, [::1]:2"),
            ("READINESS_SERVER__LIFECYCLE", "true"),
            ("READINESS_SERVER__EXTERNAL_URL", "https://variable.example.com"),
            ("READINESS_SERVER__ALLOWED_HOSTS", "a.example.com, B.example.com"),
            ("READINESS_SERVICE", "billing"),
            ("READINESS_CONCURRENCY__TOTAL", "7"),
            ("READINESS_DEFAULTS__INTERVAL", "25s"),
            // What Kubernetes sets for a service named `readiness` is none of ours.
            ("READINESS_PORT", "tcp://10.0.0.1:80"),
            ("READINESS_SERVICE_HOST", "10.0.0.1"),
            ("READINESS_CONFIG", "x.yaml"),
        ],
    );
    let settings = settings::load(&sources).unwrap();
    assert_eq!(settings.server.listen, ["127.0.0.1:1".parse().unwrap(), "[::1]:2".parse().unwrap()]);
    assert!(settings.server.lifecycle);
    assert_eq!(settings.server.external_url.as_deref(), Some("https://variable.example.com"));
    assert_eq!(settings.server.allowed_hosts, ["a.example.com", "b.example.com"]);
    assert_eq!(settings.concurrency, Concurrency { total: 7, per_host: 8 });
    assert_eq!(settings.probes[0].info.service, "billing");
    assert_eq!(settings.probes[0].info.timing.interval, Duration::from_secs(25));
    sources.flags = Flags {
        listen: vec![":9".into()],
        lifecycle: true,
        external_url: Some("https://flag.example.com/".into()),
        state: Some("/elsewhere".into()),
    };
    let settings = settings::load(&sources).unwrap();
    assert_eq!(settings.server.listen, ["0.0.0.0:9".parse().unwrap()]);
    assert_eq!(settings.server.external_url.as_deref(), Some("https://flag.example.com"));
    assert_eq!(settings.state, Some("/elsewhere".into()));
}

#[test]
fn a_mistake_in_the_environment_or_a_flag_names_it_and_does_not_show_the_value() {
    let said = output_text(
        &[("a.yaml", PROBE)],
        &[
            ("READINESS_CONCURRENCY__TOTAL", "many-secrets"),
            ("READINESS_SERVER__LISTNE", "x"),
            ("READINESS_SERVER__LISTEN", "secret:1"),
            ("READINESS_PROBES__0__NAME", "x"),
            ("READINESS_DEFAULTS__TIMEOUT", "1h"),
        ],
    );
    let mut lines: Vec<_> = said.split("\n\n").collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "environment variable READINESS_CONCURRENCY__TOTAL: expected a whole number from 0, found the text \
         `${READINESS_CONCURRENCY__TOTAL}`",
            "environment variable READINESS_DEFAULTS__TIMEOUT: `timeout: ${READINESS_DEFAULTS__TIMEOUT}` is longer than \
         the interval, which is 30s",
            "environment variable READINESS_PROBES__0__NAME: unknown section `probes`: it can be `service`, `server`, \
         `state`, `defaults` or `concurrency`",
            "environment variable READINESS_SERVER__LISTEN: expected an IP address and a port, as in 0.0.0.0:10980 or \
         [::1]:10980",
            "environment variable READINESS_SERVER__LISTNE: unknown key `listne`; did you mean `listen`?",
        ]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    fs::write(&path, PROBE).unwrap();
    let flags = Flags { listen: vec!["1.2.3.4:5".into(), "1.2.3.4:5".into()], ..Flags::default() };
    let said = settings::load(&Sources { path, flags, ..Sources::default() }).err().unwrap().to_string();
    assert_eq!(said, "flag --web.listen-address: this address is listed twice");
}

#[test]
fn what_was_filled_in_is_used_but_shown_in_no_message() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "hunter2\n").unwrap();
    let text =
        "probes:\n  - {name: a, tcp: {address: a:1}, labels: {x: \"${file:token}:${PORT}\"}, interval: \"${I}\"}\n";
    let path = folder.path().join("a.yaml");
    fs::write(&path, text).unwrap();
    let settings = load(&path, &[("PORT", "${I}: \"'{["), ("I", "9s")]).unwrap();
    assert_eq!(settings.probes[0].info.labels["x"], "hunter2:${I}: \"'{[");
    let other = load(&path, &[("PORT", "80"), ("I", "9s")]).unwrap();
    assert_ne!(settings.probes[0].fingerprint, other.probes[0].fingerprint, "what is filled in counts");
    let said = load(&path, &[("PORT", "80"), ("I", "hunter2")]).err().unwrap();
    assert!(said.starts_with("a.yaml:2:84: `${I}` is not a duration"), "{said}");
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_folder_is_read_in_the_order_of_names_and_a_config_map_is_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("..2026_11_21");
    fs::create_dir(&real).unwrap();
    for (name, probe) in [("b.yaml", "b"), ("a.yml", "a")] {
        fs::write(real.join(name), PROBE.replace("name: a", &format!("name: {probe}"))).unwrap();
    }
    fs::write(folder.path().join("notes.txt"), "no: yaml").unwrap();
    symlink("..2026_11_21", folder.path().join("..data")).unwrap();
    for name in ["a.yml", "b.yaml"] {
        symlink(format!("..data/{name}"), folder.path().join(name)).unwrap();
    }
    let settings = load(folder.path(), &[]).unwrap();
    let names: Vec<_> = settings.probes.iter().map(|probe| probe.info.name.clone()).collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn includes_are_relative_bounded_and_never_go_round() {
    let twice = output_text(&[("a.yaml", &format!("include: [d/b.yaml]\n{PROBE}")), ("d/b.yaml", PROBE)], &[]);
    assert!(twice.starts_with("d/b.yaml:1:17: probe `a` is already defined in a.yaml:2\n"), "{twice}");
    let scalar =
        output_text(&[("a.yaml", &format!("include: [b.yaml]\nservice: x\n{PROBE}")), ("b.yaml", "service: y")], &[]);
    assert!(scalar.starts_with("b.yaml:1:1: `service` is already defined in a.yaml:2\n"), "{scalar}");
    let round =
        output_text(&[("a.yaml", &format!("include: [b.yaml]\n{PROBE}")), ("b.yaml", "include: [./a.yaml]\n")], &[]);
    assert!(round.starts_with("b.yaml:1:11: ./a.yaml includes itself, directly or through others\n"), "{round}");
    let missing = output_text(&[("a.yaml", &format!("include: [b.yaml, 'c*.yaml', '**/x']\n{PROBE}"))], &[]);
    assert!(missing.starts_with("a.yaml:1:11: b.yaml can't be read: No such file"), "{missing}");
    assert!(
        missing.contains("a.yaml:1:30: `**` is not supported") && missing.matches("yaml:1:").count() == 2,
        "{missing}"
    );
    // Two ways to one file are one file.
    let both = output_text(
        &[("a.yaml", &format!("include: ['d/*.yaml', d/b.yaml]\n{PROBE}")), ("d/b.yaml", "probes: []")],
        &[],
    );
    assert_eq!(both, "nothing");
}

#[test]
fn a_check_that_its_probe_can_not_feed_lists_those_it_can() {
    for kind in catalogue::all() {
        let offers: Vec<_> = (kind.checks)().iter().map(|offer| offer.name).collect();
        assert!(offers.contains(&"health"), "{} feeds no health", kind.name);
        let elsewhere = catalogue::all().iter().flat_map(|other| (other.checks)()).find(|o| !offers.contains(&o.name));
        let Some(elsewhere) = elsewhere else { continue };
        let text = format!("probes:\n  - name: a\n    {}: {{}}\n    checks: [{}, banana]\n", kind.name, elsewhere.name);
        let said = output_text(&[("a.yaml", &text)], &[]);
        let message = format!("a.yaml:4:14: a `{}` probe can't feed `{}`: it can feed `", kind.name, elsewhere.name);
        let message = said.lines().find(|line| line.starts_with(&message)).unwrap_or_else(|| panic!("{said}"));
        assert!(offers.iter().all(|offer| message.contains(&format!("`{offer}`"))), "{message}");
        assert!(said.contains(&format!("unknown check `banana`: a `{}` probe can feed `", kind.name)), "{said}");
    }
}

#[test]
fn a_check_that_looks_back_gates_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let text = "probes:
  - name: api
    http: {url: \"http://127.0.0.1:1/\"}
    checks:
      - error_rate: {max: 5%}
      - {name: asked, error_rate: {max: 5%}, gate: true}
      - latency: {p95: 1s}
      - {name: slow, latency: {p95: 1s, failed_runs: count_as_timeout}}
      - {name: slow-env, latency: {p95: 1s, failed_runs: \"${FAILED}\"}}
  - name: numbers
    metrics: {url: \"http://127.0.0.1:1/\"}
    checks:
      - error_rate: {max: 5%}
      - {name: events, error_rate: {errors: e_total, total: t_total, max: 5%}}
      - throughput: {series: t_total, min: 1}
";
    let path = folder.path().join("a.yaml");
    fs::write(&path, text).unwrap();
    let settings = load(&path, &[("FAILED", "count_as_timeout")]).unwrap();
    let checks = settings.probes.iter().flat_map(|probe| &probe.info.checks);
    let gates: Vec<_> = checks.filter(|check| check.kind != "health").map(|check| (&*check.name, check.gate)).collect();
    let expected = [
        ("error_rate", false),
        ("asked", true),
        ("latency", true),
        ("slow", false),
        ("slow-env", false),
        ("error_rate", false),
        ("events", true),
        ("throughput", true),
    ];
    assert_eq!(gates, expected);
}

#[test]
fn what_a_check_wants_and_its_probe_can_never_bring_is_said_with_its_place() {
    let text = "probes:
  - name: a
    http: {url: \"http://127.0.0.1:1/\"}
    checks: [certificate]
  - name: b
    tcp: {address: \"127.0.0.1:1\"}
    checks: [certificate]
  - name: c
    http: {url: \"http://127.0.0.1:1/\", method: HEAD}
    checks: [response: {expect: [{text: ok}]}]
";
    let said = output_text(&[("a.yaml", text)], &[]);
    for message in [
        "a.yaml:3:17: a `certificate` check needs an encrypted connection: write https://",
        "a.yaml:6:20: a `certificate` check needs an encrypted connection: add `tls: {}`",
        "a.yaml:9:48: an answer to HEAD has no body for a `response` check to look at",
    ] {
        assert!(said.contains(message), "{message}: {said}");
    }
}

#[test]
fn what_comes_later_is_refused_as_not_supported_yet() {
    for kind in catalogue::planned_kinds() {
        let said = output_text(&[("a.yaml", &format!("probes: [{{name: a, {kind}: {{}}}}]"))], &[]);
        assert!(said.contains(&format!("probes of kind `{kind}` are not supported yet")), "{said}");
    }
    for check in catalogue::planned_checks() {
        let said = output_text(
            &[("a.yaml", &format!("probes: [{{name: a, tcp: {{address: a:1}}, checks: [{check}]}}]"))],
            &[],
        );
        assert!(said.contains(&format!("checks of kind `{check}` are not supported yet")), "{said}");
    }
    for text in ["slos: []\n", "checklists: []\n", "server: {health_listen: \"a\"}\n", "server: {web_config: a}\n"] {
        let said = output_text(&[("a.yaml", &format!("{text}{PROBE}"))], &[]);
        assert!(said.contains("is not supported yet"), "{text}: {said}");
    }
}

#[test]
fn a_fingerprint_is_about_the_meaning_and_nothing_else() {
    let print = |text: &str, environment: &[(&str, &str)]| {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.yaml");
        fs::write(&path, text).unwrap();
        load(&path, environment).unwrap().probes.remove(0).fingerprint
    };
    let one = print("probes: [{name: a, tcp: {address: a:1}, checks: [health]}]", &[]);
    assert_eq!(one, print("# comment\nprobes:\n- tcp:\n    address: \"a:1\"\n  name: a\n  checks: [health]\n", &[]));
    assert_eq!(one, print("probes: [{name: a, tcp: {address: '${A}'}, checks: [health]}]", &[("A", "a:1")]));
    for other in [
        "probes: [{name: a, tcp: {address: a:2}, checks: [health]}]",
        "probes: [{name: a, tcp: {address: a:1}, interval: 29s, checks: [health]}]",
        "probes: [{name: a, tcp: {address: a:1}, checks: [{health: {severity: info}}]}]",
        "defaults: {failure_threshold: 2}\nprobes: [{name: a, tcp: {address: a:1}, checks: [health]}]",
        PROBE,
    ] {
        assert_ne!(one, print(other, &[]), "{other}");
    }
}
