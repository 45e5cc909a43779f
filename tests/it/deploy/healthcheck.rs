//! `healthcheck`, as a container engine calls it.

use std::{
    fs,
    net::TcpListener,
    process::{Command, Stdio},
};

use crate::harness::{
    daemon::{Daemon, Home, output_text},
    free_port, wait_until,
};

const SHOP: &str = "
    - name: shop
      tcp: {address: \"127.0.0.1:1\"}
    ";

fn asked(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let output = home.run(&[&["healthcheck"], arguments].concat());
    let (text, error) = output_text(&output);
    (output.status.code(), text + &error)
}

#[test]
fn a_daemon_that_runs_is_healthy_whatever_the_service_does_and_a_dead_one_is_not() {
    let home = Home::new(&[SHOP]);
    let address = format!("127.0.0.1:{}", free_port());
    let config = fs::read_to_string(home.path("readiness.yaml")).unwrap().replace("127.0.0.1:0", &address);
    home.write("readiness.yaml", &config);
    let daemon = home.serve();
    daemon.wait_for("shop/health", "fail refused");
    assert_eq!(asked(&home, &[]), (Some(0), format!("the daemon at {address} is healthy\n")));

    // Somebody edits the file: the daemon goes on, and so must its container.
    home.write("readiness.yaml", config.replace("- name: shop", "- nmae: shop"));
    assert_eq!(asked(&home, &[]).0, Some(0));
    home.write("readiness.yaml", "{[");
    assert_eq!(asked(&home, &["--web.listen-address", &address]).0, Some(0));

    daemon.signal("STOP");
    let (code, text) = asked(&home, &["--web.listen-address", &address]);
    assert_eq!((code, text.contains("no answer within 3 seconds")), (Some(1), true), "{text}");
    daemon.signal("CONT");

    daemon.terminate();
    let (code, text) = asked(&home, &["--web.listen-address", &address]);
    assert_eq!((code, text.contains(&format!("the daemon at {address} is not healthy"))), (Some(1), true), "{text}");
}

/// A program of its own, as a container has it: the other tests' daemons are not beside this one.
fn alone(home: &Home, arguments: &[&str]) -> Command {
    let program = home.path("readiness-exporter");
    if !program.exists() {
        let built = env!("CARGO_BIN_EXE_readiness-exporter");
        fs::hard_link(built, &program).or_else(|_| fs::copy(built, &program).map(drop)).unwrap();
    }
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("HOME_FOLDER", home.path("")).current_dir(home.path(""));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn no_edit_of_the_file_makes_the_daemon_of_a_container_unhealthy() {
    let home = Home::new(&[SHOP]);
    let good = fs::read_to_string(home.path("readiness.yaml")).unwrap();
    let file = home.write("config/readiness.yaml", &good);
    let asked = |arguments: &[&str]| {
        let output = alone(&home, &[&["healthcheck"], arguments].concat()).output().unwrap();
        let (text, error) = output_text(&output);
        (output.status.code(), text + &error)
    };
    let (code, text) = asked(&[]);
    assert_eq!(code, Some(1), "nobody is there: {text}");
    let daemon = Daemon::start(alone(&home, &["serve"]));
    let well = (Some(0), format!("the daemon at {} is healthy\n", daemon.address));
    assert_eq!(asked(&[]), well);
    let moved = good.replace("127.0.0.1:0", &format!("127.0.0.1:{}", free_port()));
    for edited in [&moved, "{[", "", "server: {listen: nowhere}"] {
        home.write("config/readiness.yaml", edited);
        assert_eq!(asked(&[]), well, "{edited}");
    }
    // A file that is named can't tell either, and there is one daemon that can be meant.
    home.write("config/readiness.yaml", "{[");
    assert_eq!(asked(&["--config.file", "config/readiness.yaml"]), well);
    fs::remove_file(&file).unwrap();
    assert_eq!(asked(&[]), well);

    daemon.signal("STOP");
    let (code, text) = asked(&[]);
    assert_eq!((code, text.contains("no answer within 3 seconds")), (Some(1), true), "{text}");
    daemon.signal("CONT");
    daemon.terminate();
    // Nothing says where one should be: that is no reason to ask at the default port, where another may be.
    let (code, text) = asked(&[]);
    assert_eq!((code, text.contains("READINESS_SERVER__LISTEN")), (Some(1), true), "{text}");
}

#[test]
fn the_demo_is_healthy_and_its_service_listens() {
    let home = Home::new(&[SHOP]);
    let mut demo = alone(&home, &["demo", "--web.listen-address", "127.0.0.1:0"]).spawn().unwrap();
    let seen = wait_until("the demo is healthy", || {
        let output = alone(&home, &["healthcheck"]).output().unwrap();
        let (text, error) = output_text(&output);
        if output.status.success() { Ok(text) } else { Err(error) }
    });
    demo.kill().unwrap();
    demo.wait().unwrap();
    assert!(seen.starts_with("the daemon at 127.0.0.1:"), "{seen}");
}

#[test]
fn a_file_that_names_a_dead_daemon_does_not_lead_to_another_one() {
    let home = Home::new(&[SHOP]);
    home.write("config/readiness.yaml", fs::read_to_string(home.path("readiness.yaml")).unwrap());
    let daemon = Daemon::start(alone(&home, &["serve"]));
    let dead = format!("127.0.0.1:{}", free_port());
    home.write("dead.yaml", format!("server: {{listen: [\"{dead}\"]}}\n"));
    let output = alone(&home, &["healthcheck", "--config.file", "dead.yaml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output_text(&output).1.contains(&dead), "{output:?}");
    daemon.terminate();
}

#[test]
fn what_is_not_our_daemon_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let home = Home::new(&[SHOP]);
    let answers = [
        "HTTP/1.1 503 Service Unavailable\r\n\r\n",
        "SSH-2.0-OpenSSH_9.2\r\n",
        "",
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 33\r\n\r\nAnother Server Server is Healthy.\n",
        "HTTP/1.1 200 OK\r\n\r\nreadiness-exporter is healthy, too\n",
    ];
    for answer in answers {
        let asking = home.command(&["healthcheck", "--web.listen-address", &address]).spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        drop(stream);
        let (_, error) = output_text(&asking.wait_with_output().unwrap());
        assert!(error.contains("is not healthy"), "{answer}: {error}");
    }
}

#[test]
fn an_address_that_is_none_is_bad_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_readiness-exporter"))
        .args(["healthcheck", "--web.listen-address", "nowhere"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output_text(&output).1.contains("expected --web.listen-address as in 127.0.0.1:10980"));
}
