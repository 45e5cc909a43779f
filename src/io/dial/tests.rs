use std::sync::{Arc, Mutex, mpsc};

use super::*;

fn addresses(list: &[&str]) -> Vec<SocketAddr> {
    list.iter().map(|address| address.parse().unwrap()).collect()
}

#[test]
fn address_families_alternate_and_the_preferred_one_is_first() {
    let all = ["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"];
    for (family, ordered) in [
        (AddressFamily::Any, &["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"][..]),
        (AddressFamily::PreferIp6, &["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]),
        (AddressFamily::PreferIp4, &["10.0.0.1:1", "[::1]:1", "10.0.0.2:1", "[::2]:1", "[::3]:1"]),
        (AddressFamily::Ip4, &["10.0.0.1:1", "10.0.0.2:1"]),
        (AddressFamily::Ip6, &["[::1]:1", "[::2]:1", "[::3]:1"]),
    ] {
        assert_eq!(family.order(addresses(&all)), addresses(ordered), "{family:?}");
    }
    assert_eq!(AddressFamily::Any.order(addresses(&["10.0.0.1:1", "[::1]:1"])), addresses(&["10.0.0.1:1", "[::1]:1"]));
}

/// A listener whose queue is full does not answer, as a dead address.
async fn silent_listener() -> (tokio::net::TcpListener, Vec<TcpStream>) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(200), TcpStream::connect(address)).await {
        queued.push(stream);
        assert!(queued.len() < 100, "the queue is never full");
    }
    (listener, queued)
}

#[tokio::test]
async fn a_dead_address_costs_a_quarter_of_a_second() {
    let (dead, _queued) = silent_listener().await;
    let alive = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let cx = Context::new(Duration::from_secs(20), Arc::default());
    let (dead, alive) = (dead.local_addr().unwrap(), alive.local_addr().unwrap());
    let start = Instant::now();
    let (_, reached) = connect_first(&cx, "name", vec![dead, closed, alive]).await.unwrap();
    assert_eq!(reached, alive);
    assert!((ATTEMPT_DELAY..Duration::from_secs(10)).contains(&start.elapsed()), "{:?}", start.elapsed());

    let cx = Context::new(Duration::from_millis(700), Arc::default());
    let mut many = vec![dead; 20];
    many.push(closed);
    let failure = connect_first(&cx, "name", many).await.unwrap_err();
    assert_eq!((failure.reason, failure.detail.matches("no answer").count()), (Reason::Refused, 20), "{failure}");
}

#[tokio::test]
async fn a_port_is_closed_if_every_address_refuses() {
    let (dead, _queued) = silent_listener().await;
    let alive = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (address, silence_passes, reason) in [
        (closed, false, None),
        (closed, true, None),
        (alive.local_addr().unwrap(), false, Some(Reason::Status)),
        (alive.local_addr().unwrap(), true, Some(Reason::Status)),
        (dead.local_addr().unwrap(), false, Some(Reason::Timeout)),
        (dead.local_addr().unwrap(), true, None),
    ] {
        let cx = Context::new(Duration::from_secs(1), Arc::default());
        let outcome = require_closed(&cx, "127.0.0.1", address.port(), AddressFamily::Any, silence_passes).await;
        assert_eq!(outcome.err().map(|failure| failure.reason), reason, "{address} {silence_passes}");
        assert!(!cx.remaining().is_zero(), "the run ends before its timeout");
    }
}

#[tokio::test]
async fn addresses_with_a_zone_are_reached() {
    let listener = tokio::net::TcpListener::bind("[::1]:0").await.unwrap();
    let (port, cx) = (listener.local_addr().unwrap().port(), Context::new(Duration::from_secs(5), Arc::default()));
    connect(&cx, "::1%1", port, AddressFamily::Any).await.unwrap();
    let failure = connect(&cx, "fe80::1%nowhere0", port, AddressFamily::Any).await.unwrap_err();
    assert!(failure.detail.contains("the zone `nowhere0`"), "{failure}");
    let failure = connect(&cx, "::1%lo", port, AddressFamily::Any).await.unwrap_err();
    assert!(failure.detail.contains("remove `%lo` from ::1"), "{failure}");
    let failure = connect(&cx, "bü cher.example", port, AddressFamily::Any).await.unwrap_err();
    assert_eq!(failure.reason, Reason::Resolve, "{failure}");
}

#[tokio::test]
async fn names_that_hang_take_no_room_from_others() {
    let shared = Resources::default();
    let (answer, silence) = mpsc::channel::<()>();
    let silence = Arc::new(Mutex::new(silence));
    for _ in 0..3 {
        for host in 0..40 {
            let silence = Arc::clone(&silence);
            let hanging = shared.names.run(format!("{host}.dead.example"), move || {
                let _ = silence.lock().map(|silence| silence.recv());
                Ok(Vec::new())
            });
            assert!(timeout(Duration::from_millis(1), hanging).await.is_err());
        }
    }
    let found = timeout(Duration::from_secs(20), resolve_host("localhost", 80, &shared)).await;
    drop(answer);
    assert!(found.unwrap().unwrap().iter().all(|address| address.port() == 80 && address.ip().is_loopback()));
}
