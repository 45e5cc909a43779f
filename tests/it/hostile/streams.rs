//! Hostile targets of `tcp` probes, endless handshakes and proxies: peers that begin to send without being asked.

use std::time::Duration;

use super::{
    flood::{Attack, TIMEOUT, unasked},
    vitals::Vitals,
};
use crate::harness::{daemon::Home, service::Service};

/// A TLS record of the kind `handshake` that holds one byte of a `ServerHello` of 16 MiB.
const HANDSHAKE: &[u8] = b"\x16\x03\x03\x00\x01\x02";

#[test]
fn no_peer_that_sends_unasked_holds_up_the_daemon() {
    let slow = Duration::from_millis(1);
    let banner = unasked(Attack::endless("a banner without an end", &[], "", "220 mail"));
    let drip = unasked(Attack::drip("a banner byte by byte", &[], "", b'a', slow));
    let handshake = unasked(Attack::endless("an endless handshake", &[], "", HANDSHAKE));
    let records = unasked(Attack::endless("endless empty records", &[], "", b"\x16\x03\x03\x00\x00".as_slice()));
    let slow_handshake = unasked(Attack::drip("a slow handshake", &[], "\x16\x03\x03\x3f\x7f\x02", 0, slow));
    let proxy = unasked(Attack::endless("a proxy without an end", &[], "HTTP/1.1 200 OK\r\n", "a: b\r\n"));
    let neighbour = Service::start();
    let probes = [
        ("banner", format!("tcp: {{address: \"{banner}\", expect: \"y[ab]{{900}}c\"}}"), "fail too_large"),
        ("drip", format!("tcp: {{address: \"{drip}\", expect: \"y[ab]{{900}}c\"}}"), "fail timeout"),
        ("handshake", format!("tcp: {{address: \"{handshake}\", tls: {{insecure_skip_verify: true}}}}"), "fail tls"),
        ("records", format!("tcp: {{address: \"{records}\", tls: {{insecure_skip_verify: true}}}}"), "fail tls"),
        ("slow", format!("http: {{url: \"https://{slow_handshake}/\"}}"), "fail timeout"),
        ("proxy", format!("http: {{url: \"https://shop.test/\", proxy: \"http://{proxy}\"}}"), "fail too_large"),
    ];
    let entries: Vec<_> = probes
        .iter()
        .map(|(name, probe, _)| format!("- name: {name}\n  interval: 1s\n  timeout: 300ms\n  {probe}\n"))
        .chain([format!(
            "- name: good\n  http: {{url: \"{}\"}}\n  interval: 500ms\n  timeout: 500ms\n",
            neighbour.url()
        )])
        .map(|entry| entry.lines().map(|line| format!("    {line}\n")).collect::<String>())
        .collect();
    let home = Home::new(&entries.iter().map(String::as_str).collect::<Vec<_>>());
    let daemon = home.serve();
    let vitals = Vitals::watch(&daemon);
    let since = daemon.wait_for("good/health", "pass").since;
    for (name, _, status) in &probes {
        daemon.wait_for(&format!("{name}/health"), status);
    }
    std::thread::sleep(Duration::from_secs(2));
    for (name, _, status) in &probes {
        let seen = daemon.check(&format!("{name}/health"));
        let took = daemon.value(&format!("readiness_probe_duration_seconds{{probe=\"{name}\"}}")).unwrap();
        println!("{name}: {} ({}), {took:.3} s", seen.status, seen.summary);
        assert_eq!(seen.status, *status);
        assert!(took <= (TIMEOUT + Duration::from_millis(250)).as_secs_f64(), "{name} took {took} s");
    }
    let good = daemon.check("good/health");
    assert_eq!((good.status.as_str(), good.since), ("pass", since));
    let signs = vitals.end();
    signs.assert_alive("peers that send unasked");
    signs.assert_memory_below(100);
}
