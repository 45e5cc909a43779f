//! The daemon as its operator meets it: reloaded, drained, told twice.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use readiness_exporter::{
    app::App,
    settings::{self, Sources},
};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{
    faults::Calm,
    harness::{
        daemon::{Daemon, Home},
        postgres::Postgres,
        service::Service,
        wait_until,
    },
};

const SHOP: &str = "
    - name: shop
      http: {url: \"${SHOP}\"}
      checks: [{error_rate: {max: 50%, window: 1m}}]
    ";

const GOING: &str = "
    - name: going
      http: {url: \"${SHOP}\"}
    ";

const RELOADED: &str = "readiness_config_last_reload_successful";

fn home(service: &Service, probes: &[&str]) -> Home {
    let home = Home::new(&[]).with("SHOP", service.url());
    home.configure(probes);
    home
}

/// Waits until a probe has run so many times more.
fn runs_on(daemon: &Daemon, probe: &str) {
    let before = daemon.runs(probe);
    wait_until(&format!("{probe} runs"), || {
        let now = daemon.runs(probe);
        if now >= before + 2.0 { Ok(()) } else { Err(now.to_string()) }
    });
}

#[test]
fn a_bad_file_changes_nothing_and_says_why() {
    let service = Service::start();
    let home = home(&service, &[SHOP, GOING]);
    let daemon = home.serve();
    let calm = Calm::of(&daemon);
    let good = fs::read_to_string(home.path("readiness.yaml")).unwrap();
    let bad = good.replace("error_rate", "eror_rate");
    home.write("readiness.yaml", &bad);

    let answer = daemon.ask("POST", "/-/reload");
    let text = answer.text();
    assert_eq!(answer.status, 500, "{text}");
    let line = bad.lines().position(|line| line.contains("eror_rate")).unwrap() + 1;
    assert!(text.contains(&format!("readiness.yaml:{line}:")) && text.contains("did you mean"), "{text}");
    assert_eq!(daemon.value(RELOADED), Some(0.0));
    daemon.signal("HUP");
    daemon.wait_for_log(&["level=error", "eror_rate", "continues with the previous one"]);
    runs_on(&daemon, "shop");
    calm.holds("going", 2.0);

    home.write("readiness.yaml", good);
    daemon.signal("HUP");
    wait_until("the repaired file is taken", || daemon.value(RELOADED).filter(|ok| *ok == 1.0).ok_or(daemon.log()));
    calm.holds("shop", 2.0);
    daemon.terminate();
}

#[test]
fn a_reload_keeps_unchanged_probes_and_drops_removed_ones() {
    let service = Service::start();
    let home = home(&service, &[SHOP, GOING, "- name: changing\n  http: {url: \"${SHOP}\"}"]);
    let daemon = home.serve();
    drop(Calm::of(&daemon));
    runs_on(&daemon, "changing");
    runs_on(&daemon, "shop");
    let (before, runs, window) = (daemon.checks(), daemon.runs("shop"), window(&daemon));
    let changed = daemon.runs("changing");

    let comes = "- name: coming\n  tcp: {address: \"${ADDRESS}\"}";
    let comes = comes.replace("${ADDRESS}", &service.address.to_string());
    home.configure(&[&comes, SHOP, "- name: changing\n  http: {url: \"${SHOP}\", method: HEAD}"]);
    let answer = daemon.ask("POST", "/-/reload");
    assert_eq!((answer.status, answer.text().trim()), (200, "reloaded"));
    assert!(!daemon.get("/metrics").text().contains("probe=\"going\""), "every series of it is gone");
    assert!(daemon.runs("changing") < changed, "it counts anew");
    assert!(daemon.runs("shop") >= runs, "it counts on");
    drop(Calm::of(&daemon));
    let after = daemon.checks();
    let names: Vec<_> = after.keys().map(String::as_str).collect();
    assert_eq!(names, ["changing/health", "coming/health", "shop/error_rate", "shop/health"]);
    for check in ["shop/health", "shop/error_rate"] {
        assert_eq!(after[check].since, before[check].since, "{check}");
    }
    assert!(after["changing/health"].since > before["changing/health"].since);
    assert!(self::window(&daemon) >= window, "the runs before the reload are still in the window");
    daemon.terminate();
}

/// How many runs the window of `shop/error_rate` holds: `.. (0 of 7 runs in 1m)`.
fn window(daemon: &Daemon) -> u64 {
    let summary = daemon.check("shop/error_rate").summary;
    let words: Vec<_> = summary.split(' ').collect();
    let at = words.iter().position(|word| word.starts_with("run")).unwrap_or_else(|| panic!("{summary}"));
    words[at - 1].parse().unwrap()
}

/// A second reload reports the setting too: the daemon still runs with the old value.
#[test]
fn a_reload_reports_settings_that_need_a_restart() {
    let service = Service::start();
    let home = home(&service, &[SHOP]);
    let daemon = home.serve();
    assert_eq!(daemon.ask("POST", "/-/reload").text().trim(), "reloaded");
    let path = home.path("readiness.yaml");
    let text = fs::read_to_string(&path).unwrap();
    let changed = text.replace("lifecycle: true", "lifecycle: true, external_url: \"http://ready.example.com\"");
    fs::write(&path, changed.replace("/state\"", "/other\"")).unwrap();
    for _ in 0..2 {
        let answer = daemon.ask("POST", "/-/reload");
        let expected = "reloaded; takes effect only after a restart of the daemon: server.external_url, state";
        assert_eq!((answer.status, answer.text().trim()), (200, expected));
    }
    fs::write(&path, text).unwrap();
    assert_eq!(daemon.ask("POST", "/-/reload").text().trim(), "reloaded");
}

#[test]
fn a_reload_keeps_the_connection_of_an_unchanged_probe() {
    let postgres = Postgres::start(&[]);
    postgres.role("monitor", "IN ROLE pg_monitor");
    let db = format!("- name: db\n  postgres: {}", postgres.settings("monitor", ""));
    let service = Service::start();
    let home = home(&service, &[&db, GOING]);
    let daemon = home.serve();
    drop(Calm::of(&daemon));
    let session = || postgres.sql("select pid from pg_stat_activity where usename = 'monitor'");
    let before = session();
    home.configure(&[SHOP, &db]);
    assert_eq!(daemon.ask("POST", "/-/reload").status, 200);
    runs_on(&daemon, "db");
    assert_eq!(session(), before);
    // Then it is removed: nothing of it stays over there.
    home.configure(&[SHOP]);
    assert_eq!(daemon.ask("POST", "/-/reload").status, 200);
    wait_until("the session ends", || if session().is_empty() { Ok(()) } else { Err(session()) });
}

#[test]
fn a_drain_waits_for_nobody_longer_than_five_seconds() {
    let (service, silent) = (Service::start(), Service::start());
    let hanging = format!("- name: hanging\n  http: {{url: \"{}\"}}\n  interval: 1m\n  timeout: 1m", silent.url());
    let (sender, met) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    silent.set_behaviour(move |stream, _, _| {
        let _ = sender.lock().unwrap().send(());
        stream.read_to_end(&mut Vec::new()).map(drop)
    });
    let home = home(&service, &[SHOP, &hanging]);
    let daemon = home.serve();
    met.recv_timeout(std::time::Duration::from_secs(30)).expect("the probe hangs");
    // One client that does not finish its question, one that does not take its answer, one that has nothing to say.
    let client = |text: &str| {
        let mut stream = TcpStream::connect(daemon.address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let clients = [
        client("GET / HTTP/1.1\r\nHo"),
        client(&"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n".repeat(500)),
        client(""),
    ];
    daemon.wait_for("shop/health", "pass");
    daemon.terminate();
    drop(clients);
    assert!(home.path("state/state.json").exists(), "the state is written at the end");
}

#[test]
fn files_that_do_not_open_hold_up_neither_other_probes_nor_a_reload_nor_the_end() {
    let service = Service::start();
    let asks =
        |n| format!("- name: asks-{n}\n  http: {{url: \"${{SHOP}}\", bearer_token_file: \"${{HOME_FOLDER}}/token\"}}");
    let asking: Vec<_> = (0..8).map(asks).collect();
    let home = home(&service, &[SHOP, &asking.join("\n")]);
    // An open of a FIFO waits for its other end.
    assert!(Command::new("mkfifo").arg(home.path("token")).status().unwrap().success());
    let daemon = home.serve();
    assert!(daemon.wait_for("asks-7/health", "fail auth").summary.contains("is a FIFO, not a regular file"));
    assert_eq!(daemon.ask("POST", "/-/reload").status, 200);
    daemon.wait_for("shop/health", "pass");
    daemon.terminate();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let service = Service::start();
    let home = home(&service, &[SHOP]);
    let output = home.run(&["serve", "--web.listen-address", &service.address.to_string()]);
    let (_, error) = crate::harness::daemon::output_text(&output);
    assert!(!output.status.success() && error.contains(&service.address.to_string()), "{error}");
    assert!(!error.contains("started"), "{error}");
}

#[tokio::test]
async fn a_configuration_that_can_not_be_read_holds_up_neither_the_rest_nor_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readiness.yaml");
    let state = folder.path().join("state");
    let text = "server: {listen: [\"127.0.0.1:0\"]}\nprobes: [{name: x, tcp: {address: \"127.0.0.1:1\"}}]";
    fs::write(&path, format!("{text}\nstate: {}", state.display())).unwrap();
    // Read once, and then as from a mount whose server has gone.
    let (entered, begun) = mpsc::channel();
    let (mount, gone) = mpsc::channel::<()>();
    let (times, gone) = (AtomicUsize::new(0), Mutex::new(gone));
    let app = App::build(Arc::new(move || {
        if times.fetch_add(1, Ordering::SeqCst) > 0 {
            let _ = entered.send(());
            let _ = gone.lock().unwrap().recv();
        }
        settings::load(&Sources { path: path.clone(), ..Sources::default() })
    }));
    let app = app.await.unwrap();
    let (reloads, shutdown) = (app.reload_sender(), CancellationToken::new());
    let running = tokio::spawn(app.run(shutdown.clone()));
    let (reply, _answer) = oneshot::channel();
    reloads.send(reply).await.unwrap();
    let begun = tokio::task::spawn_blocking(move || begun.recv_timeout(Duration::from_secs(30)));
    begun.await.unwrap().expect("the reload begins");
    assert!(!state.join("state.json").exists(), "the first is written later");
    let end = Instant::now() + Duration::from_secs(60);
    while !state.join("state.json").exists() {
        assert!(Instant::now() < end, "the state is not written while the reload hangs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), running).await;
    drop(mount);
    ended.expect("it ends while the reload hangs").unwrap().unwrap();
}
