//! Files that are named in the configuration and are not what they should be: each is named, none is waited for.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::Command,
    sync::{Arc, Mutex},
};

use super::vitals::Vitals;
use crate::harness::{
    daemon::{Home, output_text},
    service::Service,
    wait_until,
};

fn fifo(home: &Home, name: &str) {
    fs::create_dir_all(home.path(name).parent().unwrap()).unwrap();
    assert!(Command::new("mkfifo").arg(home.path(name)).status().unwrap().success());
}

#[test]
fn a_fifo_in_the_place_of_any_file_is_named_and_holds_nothing_up() {
    let service = Service::start();
    let home = Home::new(&["
        - name: shop
          http: {url: \"${SHOP}\"}
        - name: token
          http: {url: \"${SHOP}\", bearer_token_file: \"${HOME_FOLDER}/fifo/token\"}
        - name: authorities
          tcp: {address: \"${ADDRESS}\", tls: {ca: \"${HOME_FOLDER}/fifo/ca\"}}
        - name: backups
          backups: {files: \"${HOME_FOLDER}/backups/*.sql\", stable_for: 1ms}
          checks: [integrity]
        "])
    .with("SHOP", service.url())
    .with("ADDRESS", service.address.to_string());
    fifo(&home, "fifo/token");
    fifo(&home, "fifo/ca");
    home.write("backups/orders.sql", "-- PostgreSQL database dump\n");
    fifo(&home, "backups/orders.sql.sha256");
    let daemon = home.serve();
    let vitals = Vitals::watch(&daemon);
    for (check, status, name) in [
        ("token/health", "fail auth", "fifo/token"),
        ("authorities/health", "fail tls", "fifo/ca"),
        ("backups/integrity", "unknown not_found", "backups/orders.sql.sha256"),
    ] {
        let summary = daemon.wait_for(check, status).summary;
        assert!(summary.contains(&format!("{name} is a FIFO, not a regular file")), "{check}: {summary}");
    }
    daemon.wait_for("shop/health", "pass");
    vitals.end().assert_alive("FIFOs in the place of files");
    fs::write(home.path("readiness.yaml"), "include: [fifo/token]\nprobes: []\n").unwrap();
    assert_eq!(daemon.ask("POST", "/-/reload").status, 500);
    let (_, error) = output_text(&home.run(&["validate"]));
    assert!(error.contains("fifo/token is a FIFO, not a regular file"), "{error}");
    daemon.terminate();
}

#[test]
fn a_secret_that_everybody_can_read_is_warned_of_once_and_its_byte_order_mark_is_not_sent() {
    let (service, heads) = (Service::start(), Arc::new(Mutex::new(String::new())));
    let seen = Arc::clone(&heads);
    service.set_behaviour(move |stream, head, _| {
        *seen.lock().unwrap() += head;
        std::io::Write::write_all(stream, &crate::harness::service::http_response("200 OK", "", b""))
    });
    let probe =
        |n| format!("- name: shop-{n}\n  http: {{url: \"${{SHOP}}\", bearer_token_file: \"${{HOME_FOLDER}}/token\"}}");
    let home = Home::new(&[&probe(1), &probe(2), &probe(3)]).with("SHOP", service.url());
    // As a volume of Kubernetes: everybody may enter the folder and read the file.
    fs::set_permissions(home.path(""), Permissions::from_mode(0o755)).unwrap();
    let token = home.write("token", b"\xef\xbb\xbfhunter2-token\n");
    fs::set_permissions(&token, Permissions::from_mode(0o644)).unwrap();
    let daemon = home.serve();
    let runs = |count| {
        wait_until("enough runs", || match daemon.runs("shop-3") {
            runs if runs >= count => Ok(()),
            runs => Err(format!("{runs}")),
        });
    };
    runs(4.0);
    let warned = || daemon.log().matches("a secret is readable by everyone").count();
    let line = daemon.wait_for_log(&["level=warn", "a secret is readable by everyone", "/token"]);
    assert!(line.contains("defaultMode: 0400") && line.contains("mode 0644"), "{line}");
    assert_eq!(warned(), 1);
    fs::set_permissions(&token, Permissions::from_mode(0o640)).unwrap();
    runs(daemon.runs("shop-3") + 2.0);
    fs::set_permissions(&token, Permissions::from_mode(0o644)).unwrap();
    runs(daemon.runs("shop-3") + 3.0);
    assert_eq!(warned(), 2, "once for each change");
    daemon.terminate();
    let heads = heads.lock().unwrap();
    assert!(heads.contains("authorization: Bearer hunter2-token\r"), "{heads}");
}
