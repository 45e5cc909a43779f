//! Answers that are too large, never end, lead in circles or are no answers: each is cut off, and what it costs is
//! bounded.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};

use super::{Bystanders, Calm, endure};
use crate::real::{
    nginx::Nginx,
    service::{Service, answer},
};

const PROBE: &str = "
    - name: shop
      http: {url: \"${SHOP}\", follow_redirects: true}
      checks:
        - response: {expect: [{name: says ok, json: $.status, equals: ok}]}
        - error_rate: {max: 50%, window: 3s}
    ";

/// The run fails, and what it should have brought can't be judged.
const fn all_fail(health: &'static str, response: &'static str) -> [(&'static str, &'static str); 3] {
    [("shop/health", health), ("shop/response", response), ("shop/error_rate", "fail limit")]
}

/// A service does this for a while.
fn does(
    manner: impl Fn(&mut std::net::TcpStream, &str, usize) -> std::io::Result<()> + Send + Sync + 'static,
    turned: &[(&str, &str)],
) {
    let service = Service::start();
    let beside = Bystanders::new();
    let daemon = beside.beside(PROBE).with("SHOP", service.url()).serve();
    endure(&daemon, turned, || service.does(manner), || service.is_well());
    let resident = daemon.value("process_resident_memory_bytes").unwrap();
    assert!(resident < 150e6, "{resident} bytes");
}

/// nginx, which answers from a file and redirects in circles while there is a file `loop`.
fn nginx() -> Nginx {
    let nginx =
        Nginx::start("location / { if (-f $document_root/loop) { return 302 /again; } try_files /status =404; }");
    fs::write(nginx.file("status"), r#"{"status": "ok"}"#).unwrap();
    nginx
}

#[test]
fn a_body_that_is_too_large_is_not_taken_in() {
    let (nginx, beside) = (nginx(), Bystanders::new());
    let daemon = beside.beside(PROBE).with("SHOP", nginx.url()).serve();
    let grows = || fs::write(nginx.file("status"), vec![b' '; 8 << 20]).unwrap();
    let shrinks = || fs::write(nginx.file("status"), r#"{"status": "ok"}"#).unwrap();
    endure(&daemon, &all_fail("fail too_large", "unknown too_large"), grows, shrinks);
}

#[test]
fn a_redirect_loop_is_left() {
    let (nginx, beside) = (nginx(), Bystanders::new());
    let daemon = beside.beside(PROBE).with("SHOP", nginx.url()).serve();
    let calm = Calm::of(&daemon);
    let turned = all_fail("fail status", "unknown status");
    fs::write(nginx.file("loop"), "").unwrap();
    calm.turns(&turned);
    let summary = daemon.check("shop/health").summary;
    assert!(summary.contains("redirected more than 5 times"), "{summary}");
    fs::remove_file(nginx.file("loop")).unwrap();
    calm.comes_back(&turned);
}

#[test]
fn a_gzip_bomb_is_not_unpacked() {
    let mut member = GzEncoder::new(Vec::new(), Compression::fast());
    member.write_all(&vec![0; 8 << 20]).unwrap();
    // 512 MiB of nothing.
    let bomb = answer("200 OK", "Content-Encoding: gzip\r\n", &member.finish().unwrap().repeat(64));
    does(move |stream, _, _| stream.write_all(&bomb), &all_fail("fail too_large", "unknown too_large"));
}

#[test]
fn headers_without_end_are_cut_off() {
    let endless = |stream: &mut std::net::TcpStream, _: &str, _: usize| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        (0..1_000_000).try_for_each(|n| stream.write_all(format!("X-{n}: and so on\r\n").as_bytes()))
    };
    does(endless, &all_fail("fail too_large", "unknown too_large"));
}

#[test]
fn a_body_without_end_is_cut_off() {
    let endless = |stream: &mut std::net::TcpStream, _: &str, _: usize| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = [b"10000\r\n", &*vec![b' '; 0x10000], b"\r\n"].concat();
        (0..10_000).try_for_each(|_| stream.write_all(&chunk))
    };
    does(endless, &all_fail("fail too_large", "unknown too_large"));
}

#[test]
fn what_is_no_http_is_a_matter_of_protocol() {
    let other = |stream: &mut std::net::TcpStream, _: &str, _: usize| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    does(other, &all_fail("fail protocol", "unknown protocol"));
}

#[test]
fn an_answer_that_says_something_else_fails_the_expectation_and_nothing_else() {
    let other = answer("200 OK", "", br#"{"status": "migrating"}"#);
    does(move |stream, _, _| stream.write_all(&other), &[("shop/response", "fail body")]);
}
