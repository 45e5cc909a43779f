//! `healthcheck`, as a container engine calls it.

use std::{
    net::TcpListener,
    process::{Command, Stdio},
};

use crate::real::{
    daemon::{Home, said},
    free_port,
};

const SHOP: &str = "
    - name: shop
      tcp: {address: \"127.0.0.1:1\"}
    ";

fn asked(home: &Home, arguments: &[&str]) -> (Option<i32>, String) {
    let output = home.run(&[&["healthcheck"], arguments].concat());
    let (text, error) = said(&output);
    (output.status.code(), text + &error)
}

#[test]
fn a_daemon_that_runs_is_healthy_whatever_the_service_does_and_a_dead_one_is_not() {
    let home = Home::new(&[SHOP]);
    let address = format!("127.0.0.1:{}", free_port());
    let config = std::fs::read_to_string(home.path("readiness.yaml")).unwrap().replace("127.0.0.1:0", &address);
    home.write("readiness.yaml", &config);
    let daemon = home.serve();
    daemon.wait_for("shop/health", "fail refused");
    assert_eq!(asked(&home, &[]), (Some(0), format!("the daemon at {address} runs\n")));

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

#[test]
fn what_is_not_our_daemon_is_not_healthy() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let home = Home::new(&[SHOP]);
    for answer in ["HTTP/1.1 503 Service Unavailable\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n", ""] {
        let asking = home.command(&["healthcheck", "--web.listen-address", &address]).spawn().unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, answer.as_bytes()).unwrap();
        drop(stream);
        let (_, error) = said(&asking.wait_with_output().unwrap());
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
    assert!(said(&output).1.contains("expected --web.listen-address as in 127.0.0.1:10980"));
}
