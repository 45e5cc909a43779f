//! Answers that are too large, never end, lead in circles or are no answers: each is cut off, and what it costs is
//! bounded.

use std::{fs, io::Write, sync::Arc};

use flate2::{Compression, write::GzEncoder};

use super::{Bystanders, Fault, HTTP};
use crate::harness::{
    nginx::Nginx,
    service::{Service, http_response},
};

const PROBE: &str = "
    - name: shop
      http: {url: \"${SHOP}\", follow_redirects: true}
      checks:
        - health
        - response: {expect: [{name: says ok, json: $.status, equals: ok}]}
        - error_rate: {max: 50%, window: 3s}
    ";

/// The run fails, and what it should have brought can't be judged.
const fn all_fail(health: &'static str, response: &'static str) -> [(&'static str, &'static str); 3] {
    [("shop/health", health), ("shop/response", response), ("shop/error_rate", "fail limit")]
}

/// A service does this for a while.
fn fault_with_behaviour(
    manner: impl Fn(&mut std::net::TcpStream, &str, usize) -> std::io::Result<()> + Send + Sync + 'static,
    turned: &[(&'static str, &'static str)],
) -> Fault {
    let service = Service::start();
    let url = service.url();
    let home = Bystanders::new().beside(PROBE).with("SHOP", &*url);
    let manner = Arc::new(manner);
    let breaks = move |service: &mut Service| {
        let manner = Arc::clone(&manner);
        service.set_behaviour(move |stream, head, n| manner(stream, head, n));
    };
    Fault::of(home, turned, service, breaks, |service| service.reset()).seen_by(HTTP, url)
}

/// Whatever comes, it isn't kept.
fn is_cut_off(fault: Fault) {
    let daemon = fault.endure();
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

/// What nginx does while something is done to its files.
fn of_nginx(
    turned: &[(&'static str, &'static str)],
    breaks: impl FnMut(&mut Nginx) + Send + 'static,
    repair: impl FnMut(&mut Nginx) + Send + 'static,
) -> Fault {
    let nginx = nginx();
    let url = nginx.url();
    let home = Bystanders::new().beside(PROBE).with("SHOP", &*url);
    Fault::of(home, turned, nginx, breaks, repair).seen_by(HTTP, url)
}

pub(crate) fn too_large() -> Fault {
    let grows = |nginx: &mut Nginx| fs::write(nginx.file("status"), vec![b' '; 8 << 20]).unwrap();
    let shrinks = |nginx: &mut Nginx| fs::write(nginx.file("status"), r#"{"status": "ok"}"#).unwrap();
    of_nginx(&all_fail("fail too_large", "unknown too_large"), grows, shrinks)
}

#[test]
fn a_body_that_is_too_large_is_not_taken_in() {
    too_large().endure();
}

pub(crate) fn redirect_loop() -> Fault {
    let turned = all_fail("fail status", "unknown status");
    let begins = |nginx: &mut Nginx| fs::write(nginx.file("loop"), "").unwrap();
    of_nginx(&turned, begins, |nginx| fs::remove_file(nginx.file("loop")).unwrap())
}

#[test]
fn a_redirect_loop_is_left() {
    redirect_loop().says("shop/health", "redirected more than 5 times").endure();
}

pub(crate) fn gzip_bomb() -> Fault {
    let mut member = GzEncoder::new(Vec::new(), Compression::fast());
    member.write_all(&vec![0; 8 << 20]).unwrap();
    // 512 MiB of nothing.
    let bomb = http_response("200 OK", "Content-Encoding: gzip\r\n", &member.finish().unwrap().repeat(64));
    fault_with_behaviour(move |stream, _, _| stream.write_all(&bomb), &all_fail("fail too_large", "unknown too_large"))
}

#[test]
fn a_gzip_bomb_is_not_unpacked() {
    is_cut_off(gzip_bomb());
}

pub(crate) fn endless_headers() -> Fault {
    let endless = |stream: &mut std::net::TcpStream, _: &str, _: usize| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        (0..1_000_000).try_for_each(|n| stream.write_all(format!("X-{n}: and so on\r\n").as_bytes()))
    };
    fault_with_behaviour(endless, &all_fail("fail too_large", "unknown too_large"))
}

#[test]
fn headers_without_end_are_cut_off() {
    is_cut_off(endless_headers());
}

#[test]
fn a_body_without_end_is_cut_off() {
    let endless = |stream: &mut std::net::TcpStream, _: &str, _: usize| {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        let chunk = [b"10000\r\n", &*vec![b' '; 0x10000], b"\r\n"].concat();
        (0..10_000).try_for_each(|_| stream.write_all(&chunk))
    };
    is_cut_off(fault_with_behaviour(endless, &all_fail("fail too_large", "unknown too_large")));
}

#[test]
fn what_is_no_http_is_a_matter_of_protocol() {
    let other = |stream: &mut std::net::TcpStream, _: &str, _: usize| stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n");
    fault_with_behaviour(other, &all_fail("fail protocol", "unknown protocol")).endure();
}

/// It answers, and says that it isn't ready.
pub(crate) fn something_else() -> Fault {
    let other = http_response("200 OK", "", br#"{"status": "migrating"}"#);
    fault_with_behaviour(move |stream, _, _| stream.write_all(&other), &[("shop/response", "fail body")])
}

#[test]
fn an_answer_that_says_something_else_fails_the_expectation_and_nothing_else() {
    something_else().endure();
}
