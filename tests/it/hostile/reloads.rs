//! Clients that reload all the time.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use super::{
    raw::{connect, daemon},
    vitals::Vitals,
};

/// One request on a connection that stays; gives the status.
fn reload(stream: &mut TcpStream) -> u16 {
    stream.write_all(b"POST /-/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut bytes = vec![0; 4_096];
    let mut read = 0;
    // Answers are short: head and body come together, the body ends with a line end.
    while !bytes[..read].windows(4).any(|four| four == b"\r\n\r\n") || bytes[read - 1] != b'\n' {
        match stream.read(&mut bytes[read..]).unwrap() {
            0 => panic!("the connection ended: {}", String::from_utf8_lossy(&bytes[..read])),
            more => read += more,
        }
    }
    String::from_utf8_lossy(&bytes[9..12]).parse().unwrap()
}

#[test]
fn a_thousand_reloads_and_storms_from_several_clients_leave_no_trace() {
    let (_service, _home, daemon) = daemon();
    let before = daemon.runs("shop");
    let vitals = Vitals::watch(&daemon);
    let start = Instant::now();
    let mut stream = connect(daemon.address);
    for n in 0..1_000 {
        assert_eq!(reload(&mut stream), 200, "reload {n}");
    }
    println!("1,000 reloads in {:?}", start.elapsed());
    let address = daemon.address;
    let storm = (0..8).map(|_| {
        std::thread::spawn(move || {
            let mut stream = connect(address);
            let end = Instant::now() + Duration::from_secs(2);
            let mut statuses = Vec::new();
            while Instant::now() < end {
                statuses.push(reload(&mut stream));
            }
            statuses
        })
    });
    let statuses: Vec<u16> = storm.collect::<Vec<_>>().into_iter().flat_map(|client| client.join().unwrap()).collect();
    let done = statuses.iter().filter(|status| **status == 200).count();
    println!("a storm of {} reloads, {done} done", statuses.len());
    // Requests that wait share the next reload.
    assert_eq!(done, statuses.len(), "{statuses:?}");
    let signs = vitals.end();
    signs.assert_alive("reloads");
    signs.assert_memory_below(96);
    assert!(daemon.runs("shop") > before, "the probe went on, and its count too");
    assert_eq!(daemon.check("shop/health").status, "pass");
    daemon.terminate();
}
