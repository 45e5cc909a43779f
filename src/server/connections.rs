//! The places for connections: a bounded number, each for a bounded time.
//!
//! When no place is free, an idle connection is closed, or the connection with a stalled answer if none is idle.
//! Connections of the network that holds most places go first. A connection that makes progress with an answer is let
//! finish: one of them is told to end after its answer, and the new connection waits. So idle and slow clients keep
//! their places only while nobody else wants them, and a crowd shares the places by turns.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::activity::{Activity, Closable};
use crate::exposition::max_open_files;

/// Enough for every scraper and screen one can think of. Where few files may be open it is a quarter of them: clients
/// must not keep the probes from their connections.
const MAX_CONNECTIONS: usize = 128;
/// However few files may be open.
const MIN_CONNECTIONS: usize = 4;
/// One part in so many of the places is kept from the network that holds all others.
const RESERVED_PART: usize = 16;
/// A connection that waits for a place looks again after this time, for answers that have stalled since.
const RECHECK_INTERVAL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Connections {
    places: usize,
    table: Mutex<ConnectionTable>,
    changed: Arc<Notify>,
}

#[derive(Debug, Default)]
struct ConnectionTable {
    last: u64,
    /// Connections that wait for a place.
    waiting: usize,
    entries: HashMap<u64, ConnectionEntry>,
    /// Places of each network that has any.
    held: HashMap<PeerNetwork, usize>,
}

#[derive(Debug)]
struct ConnectionEntry {
    network: PeerNetwork,
    activity: Arc<Activity>,
    close: CancellationToken,
    is_closing: bool,
    finish: CancellationToken,
    is_ending: bool,
}

/// What counts as one client: an IPv4 address, or the IPv6 network of a customer or machine, of 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct PeerNetwork(IpAddr);

/// The place of one connection; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionGuard {
    id: u64,
    activity: Arc<Activity>,
    close: CancellationToken,
    finish: CancellationToken,
    connections: Arc<Connections>,
}

/// A connection that is counted as waiting until this is dropped.
struct Waiting<'a>(&'a Connections);

impl From<IpAddr> for PeerNetwork {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address => address,
        })
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self::with_places(
            max_open_files()
                .map_or(MAX_CONNECTIONS, |files| MAX_CONNECTIONS.min((files / 4.0) as usize).max(MIN_CONNECTIONS)),
        )
    }
}

impl Connections {
    fn with_places(places: usize) -> Self {
        Self { places, table: Mutex::default(), changed: Arc::default() }
    }

    /// Takes a place, which another connection leaves if none is free.
    pub(super) async fn acquire(self: &Arc<Self>, peer: IpAddr) -> ConnectionGuard {
        let network = PeerNetwork::from(peer);
        self.lock().waiting += 1;
        let waiting = Waiting(self);
        loop {
            let changed = self.changed.notified();
            if let Some(guard) = self.try_acquire(network) {
                drop(waiting);
                return guard;
            }
            let _ = timeout(RECHECK_INTERVAL, changed).await;
        }
    }

    fn try_acquire(self: &Arc<Self>, network: PeerNetwork) -> Option<ConnectionGuard> {
        let mut table = self.lock();
        let is_at_share = table.count(network) >= self.places - self.places.div_ceil(RESERVED_PART);
        if is_at_share || table.entries.len() >= self.places {
            // A network with its whole share takes places from nobody else.
            table.make_room(is_at_share.then_some(network));
            return None;
        }
        table.last += 1;
        let id = table.last;
        let (activity, close, finish) =
            (Activity::new(Arc::clone(&self.changed)), CancellationToken::new(), CancellationToken::new());
        let entry = ConnectionEntry {
            network,
            activity: Arc::clone(&activity),
            close: close.clone(),
            is_closing: false,
            finish: finish.clone(),
            is_ending: false,
        };
        table.entries.insert(id, entry);
        *table.held.entry(network).or_default() += 1;
        Some(ConnectionGuard { id, activity, close, finish, connections: Arc::clone(self) })
    }

    /// Closes all of them, in the middle of whatever they do.
    pub(super) fn close_all(&self) {
        self.lock().entries.values().for_each(|entry| entry.close.cancel());
    }

    /// Closes the connection that costs least.
    pub(super) fn make_room(&self) {
        self.lock().make_room(None);
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionTable> {
        self.table.lock()
    }
}

impl ConnectionTable {
    fn count(&self, network: PeerNetwork) -> usize {
        self.held.get(&network).copied().unwrap_or_default()
    }

    /// Closes the connection that costs least, of one network or of all, or lets one end after its answer.
    fn make_room(&mut self, network: Option<PeerNetwork>) {
        let now = Instant::now();
        let (mut cheapest, mut busiest, mut ending, waiting) = (None, None, 0, self.waiting);
        let mut counted = None;
        for (id, entry) in &mut self.entries {
            if network.is_some_and(|only| entry.network != only) {
                continue;
            }
            if entry.is_closing {
                return;
            }
            // Mostly the network of the entry before.
            let held = match counted {
                Some((network, held)) if network == entry.network => held,
                _ => self.held.get(&entry.network).copied().unwrap_or_default(),
            };
            counted = Some((entry.network, held));
            let (closable, since) = entry.activity.closable(now);
            if closable > Closable::No {
                let cost = (closable, held, now - since);
                if cheapest.as_ref().is_none_or(|(other, _)| cost > *other) {
                    cheapest = Some((cost, entry));
                }
            } else if entry.is_ending {
                ending += 1;
            } else if entry.activity.is_answering() {
                // The oldest one, so that a client which asks on and on gives way to others that wait.
                let rank = (held, std::cmp::Reverse(*id));
                if busiest.as_ref().is_none_or(|(other, _)| rank > *other) {
                    busiest = Some((rank, entry));
                }
            }
        }
        if let Some((_, entry)) = cheapest {
            entry.is_closing = true;
            entry.close.cancel();
        } else if let Some((_, entry)) = busiest.filter(|_| ending < waiting) {
            entry.is_ending = true;
            entry.finish.cancel();
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(entry) = self.entries.remove(&id) else { return };
        let held = self.count(entry.network).saturating_sub(1);
        match held {
            0 => self.held.remove(&entry.network),
            held => self.held.insert(entry.network, held),
        };
    }
}

impl ConnectionGuard {
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    /// Waits until the connection is to end after its answer.
    pub(super) async fn wait_until_ending(&self) {
        self.finish.cancelled().await;
    }

    /// Waits until the connection has to go.
    pub(super) async fn wait_until_closed(&self) {
        let overdue = async {
            loop {
                let deadline = self.activity.deadline();
                if deadline <= Instant::now() {
                    return;
                }
                sleep_until(deadline).await;
            }
        };
        tokio::select! {
            () = self.close.cancelled() => {}
            () = overdue => {}
        }
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        self.connections.lock().remove(self.id);
        self.connections.changed.notify_waiters();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut table = self.0.lock();
        table.waiting = table.waiting.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::server::activity::{FIRST_REQUEST_TIMEOUT, NEXT_REQUEST_TIMEOUT, TrackedStream};

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    /// A stream of a connection, to record its activity, and the client's end.
    async fn stream(guard: &ConnectionGuard) -> (TrackedStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (TrackedStream::new(listener.accept().await.unwrap().0, Arc::clone(guard.activity())), client)
    }

    /// Answers a request, so that the connection is idle.
    async fn answer(guard: &ConnectionGuard) {
        let (mut stream, _client) = stream(guard).await;
        drop(guard.activity().begin_answer());
        stream.write_all(b"answer").await.unwrap();
        stream.flush().await.unwrap();
    }

    #[tokio::test]
    async fn connections_with_an_answer_under_way_stay_and_the_network_with_most_places_makes_room() {
        let connections = Arc::new(Connections::with_places(4));
        let other = connections.acquire(OTHER).await;
        answer(&other).await;
        let mut guards = Vec::new();
        for _ in 0..3 {
            guards.push(connections.acquire(PEER).await);
        }
        answer(&guards[0]).await;
        answer(&guards[1]).await;
        let answers = [guards[0].activity().begin_answer(), guards[2].activity().begin_answer()];
        let ask = |peer| {
            let connections = Arc::clone(&connections);
            tokio::spawn(async move { connections.acquire(peer).await })
        };
        let waiting = ask(OTHER);
        guards[1].wait_until_closed().await;
        drop(guards.remove(1));
        let third = waiting.await.unwrap();
        drop(third);
        // The network has two of its three places; the third one is free, then none is, and only its own make room.
        let third = connections.acquire(PEER).await;
        let _answer = third.activity().begin_answer();
        let waiting = ask(PEER);
        guards[0].wait_until_ending().await;
        assert!(!other.close.is_cancelled() && !guards[1].finish.is_cancelled() && !waiting.is_finished());
        assert!(guards.iter().chain([&third]).all(|guard| !guard.close.is_cancelled()));
        drop((guards.remove(0), answers));
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_nothing_has_been_read_from_is_not_closed() {
        let connections = Arc::new(Connections::with_places(2));
        let guard = connections.acquire(PEER).await;
        connections.make_room();
        assert!(!guard.close.is_cancelled() && !guard.finish.is_cancelled());
        let (mut stream, _client) = stream(&guard).await;
        let _ = timeout(Duration::from_millis(50), stream.read_u8()).await;
        connections.make_room();
        assert!(guard.close.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_goes_early_and_one_with_requests_late() {
        let connections = Arc::new(Connections::default());
        let guard = connections.acquire(PEER).await;
        let start = Instant::now();
        guard.wait_until_closed().await;
        assert_eq!(start.elapsed(), FIRST_REQUEST_TIMEOUT);
        drop(guard.activity().begin_answer());
        guard.wait_until_closed().await;
        assert_eq!(start.elapsed(), FIRST_REQUEST_TIMEOUT + NEXT_REQUEST_TIMEOUT);
    }

    #[test]
    fn an_ipv6_network_of_64_bits_is_one_client() {
        let network = |text: &str| PeerNetwork::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
