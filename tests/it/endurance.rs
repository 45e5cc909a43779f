//! What wears a daemon down: too little of everything, and many reloads.

use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};

use crate::harness::{
    daemon::{Daemon, Home},
    free_port, reap,
    service::Service,
    signal, wait_until,
};

#[test]
fn a_probe_that_is_switched_off_stands_in_nobodys_way() {
    let service = Service::start();
    let home = Home::new(&[&format!(
        "
        - name: shop
          tcp: {{address: \"{0}\"}}
        - name: later
          enabled: false
          tcp: {{address: \"{0}\"}}
          checks: [{{latency: {{max: 100ms}}}}]
        - name: on-top
          depends_on: [later]
          tcp: {{address: \"{0}\"}}",
        service.address
    )]);
    let daemon = home.serve();
    daemon.wait_for("shop/health", "pass");
    daemon.wait_for("on-top/health", "pass");
    for check in ["later/health", "later/latency"] {
        assert_eq!(daemon.check(check).status, "skipped", "{check}");
    }
    let ready = daemon.get("/ready");
    assert_eq!(ready.status, 200, "{}", ready.text());
    assert_eq!(daemon.get("/-/ready").status, 200);
}

/// The daemon with so many file descriptors.
fn with_files(home: &Home, number: u32) -> Daemon {
    let plain = home.command(&["serve"]);
    let mut command = Command::new("sh");
    command.args(["-c", &format!("ulimit -n {number}; exec \"$0\" \"$@\"")]).arg(plain.get_program());
    command.args(plain.get_args()).env_clear();
    command.envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Daemon::start(command)
}

#[test]
fn with_few_file_descriptors_clients_never_keep_the_probes_from_theirs() {
    let service = Service::start();
    let home = Home::new(&[&format!("- name: shop\n  http: {{url: \"{}\"}}", service.url())]);
    let daemon = with_files(&home, 48);
    daemon.wait_for("shop/health", "pass");
    let idle: Vec<TcpStream> = (0..100)
        .filter_map(|_| {
            let mut stream = TcpStream::connect(daemon.address).ok()?;
            stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
            stream.write_all(b"GET /-/healthy HTTP/1.1\r\nHost: test\r\n\r\n").ok()?;
            Some(stream)
        })
        .collect();
    assert_eq!(idle.len(), 100);
    assert_eq!(daemon.get("/-/healthy").status, 200, "idle ones have made room");
    let runs = daemon.runs("shop");
    wait_until("the probe goes on", || {
        let now = daemon.runs("shop");
        if now >= runs + 4.0 { Ok(()) } else { Err(format!("{now} after {runs}")) }
    });
    drop(idle);
    assert_eq!(daemon.check("shop/health").status, "pass");
    assert_eq!(daemon.value("readiness_probe_failures_total{probe=\"shop\",reason=\"limit\"}"), Some(0.0));
    assert!(!daemon.log().contains("level=warn"), "{}", daemon.log());
}

#[test]
fn a_hundred_reloads_leave_nothing_behind_and_count_on() {
    let service = Service::start();
    let probes = |n: usize| {
        format!(
            "
- name: stays
  tcp: {{address: \"{0}\"}}
- name: renamed-{n}
  tcp: {{address: \"{0}\"}}",
            service.address
        )
    };
    let home = Home::new(&[&probes(0)]);
    let daemon = home.serve();
    daemon.wait_for("stays/health", "pass");
    let of_process = |what: &str| {
        let folder = format!("/proc/{}/{what}", daemon.pid());
        std::fs::read_dir(folder).unwrap().count()
    };
    let series = || daemon.get("/metrics").text().lines().filter(|line| !line.starts_with('#')).count();
    let (files, series_before) = (of_process("fd"), series());
    let mut runs = 0.0;
    for n in 1..=100 {
        home.configure(&[&probes(n)]);
        assert_eq!(daemon.ask("POST", "/-/reload").status, 200);
        let now = daemon.runs("stays");
        assert!(now >= runs, "{now} runs after {runs}");
        runs = now;
    }
    daemon.wait_for("renamed-100/health", "pass");
    assert_eq!(series(), series_before);
    wait_until("file descriptors are given back", || {
        let now = of_process("fd");
        if now <= files + 2 { Ok(()) } else { Err(format!("{now} after {files}")) }
    });
    let threads = of_process("task");
    assert!(threads < 80, "{threads} threads");
}

#[test]
fn a_log_that_nobody_reads_holds_up_neither_probes_nor_scrapes() {
    let service = Service::start();
    let home = Home::new(&[&format!("- name: shop\n  http: {{url: \"{}\"}}", service.url())]);
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut command = home.command(&["serve", "--log.level", "trace", "--web.listen-address", &address]);
    // A pipe that takes 64 KiB and no more: at this level full after a few runs.
    let mut child = command.spawn().unwrap();
    let runs = || {
        let page = TcpStream::connect(&address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")?;
            let mut page = String::new();
            stream.read_to_string(&mut page).map(|_| page)
        });
        let page = page.map_err(|error| error.to_string())?;
        let runs = page.lines().find_map(|line| line.strip_prefix("readiness_probe_runs_total{probe=\"shop\"} "));
        runs.and_then(|runs| runs.parse::<f64>().ok()).ok_or(page)
    };
    wait_until("the probe goes on", || match runs() {
        Ok(runs) if runs >= 20.0 => Ok(()),
        other => Err(format!("{other:?}")),
    });
    signal("TERM", &[child.id()]);
    reap(&mut child);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
