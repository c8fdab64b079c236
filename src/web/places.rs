//! The places of connections: who gets one, and which connection is closed for another.
//!
//! A connection is known from the first accepted request on; without an auth file each request with a
//! local Host is accepted. A connection is busy from the head of a request to the end of its answer.
//! When all places are taken, a newcomer gets the place of an unknown connection, or of a known one that
//! waits for its next request. So connections that do nothing, and clients without a password, never take
//! the page from those who may use it. A connection whose request has arrived and was not read yet keeps its
//! place for that moment: it may be that of a probe.
//!
//! A client whose place was given away tries again as soon as its connection has ended, and takes the place of another
//! one that does the same. So its socket stays open for a moment, without a task: many clients that take places from each
//! other make a few hundred connections a second instead of many thousands.
//!
//! Fewer requests are answered at once than there are places. The other places are for the probes, and
//! for connections whose first request was not read yet.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use rustix::io::ioctl_fionread;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::requests::{MAX_REQUESTS, RESERVED};

/// Most connections at once. Each takes a file descriptor and some memory.
pub const MAX_CONNECTIONS: usize = MAX_REQUESTS + RESERVED;

/// Most unknown connections of one peer.
const MAX_UNKNOWN: usize = 32;

/// Delay of the next search for a place, while every connection is known and busy.
const RETRY: Duration = Duration::from_millis(100);

/// How long the socket of a connection whose place was given away stays open.
const LINGER: Duration = Duration::from_millis(200);

/// Most such sockets. Each is a file descriptor.
const MAX_LINGERING: usize = 64;

/// Orders the beginnings and ends of requests.
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// What is known of a connection's client.
#[derive(Debug)]
pub(super) struct Client {
    peer: IpAddr,
    is_known: AtomicBool,
    is_busy: AtomicBool,
    is_closed: AtomicBool,
    is_kept: AtomicBool,
    /// When it was accepted, or its last request began or ended: a number of [`EVENTS`].
    since: AtomicU64,
    task: AtomicWaker,
    /// The connection, which does not outlive its task.
    stream: Weak<TcpStream>,
}

impl Client {
    pub(super) fn new(peer: IpAddr, stream: Weak<TcpStream>) -> Client {
        Client {
            peer,
            is_known: AtomicBool::new(false),
            is_busy: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
            since: AtomicU64::new(EVENTS.fetch_add(1, Ordering::Relaxed)),
            task: AtomicWaker::new(),
            stream,
        }
    }

    /// Returns whether there are bytes that the connection's task has not read yet.
    fn has_unread(&self) -> bool {
        let unread = |stream: Arc<TcpStream>| ioctl_fionread(&stream).unwrap_or(0);
        self.stream.upgrade().map_or(0, unread) > 0
    }

    /// Returns whether its last request was accepted.
    pub(super) fn is_known(&self) -> bool {
        self.is_known.load(Ordering::Relaxed)
    }

    pub(super) fn set_known(&self, is_known: bool) {
        self.is_known.store(is_known, Ordering::Relaxed);
    }

    /// Returns whether its place was given to another connection. `waker` is woken when that happens.
    pub(super) fn is_closed(&self, waker: &Waker) -> bool {
        self.task.register(waker);
        self.is_closed.load(Ordering::Acquire)
    }

    /// Keeps its place to the end of its answer, which takes no time: that of `/healthz`.
    pub(super) fn keep(&self) {
        self.is_kept.store(true, Ordering::Relaxed);
    }

    /// Begins a request, which ends when the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.set_busy(true);
        Busy(Arc::clone(self))
    }

    fn set_busy(&self, is_busy: bool) {
        self.since.store(EVENTS.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
        self.is_busy.store(is_busy, Ordering::Relaxed);
    }

    fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Relaxed)
    }

    fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
        self.task.wake();
    }
}

/// A request under way.
#[derive(Debug)]
pub(super) struct Busy(Arc<Client>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

/// All connections.
#[derive(Debug)]
pub(super) struct Places {
    clients: Mutex<Vec<Arc<Client>>>,
    permits: Arc<Semaphore>,
    /// Sockets without a place, and when they are closed.
    lingering: Mutex<VecDeque<(Instant, Arc<TcpStream>)>>,
}

/// The place of a connection, free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) client: Arc<Client>,
    places: Arc<Places>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.clients().retain(|it| !Arc::ptr_eq(it, &self.client));
    }
}

impl Places {
    pub(super) fn new() -> Arc<Places> {
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Arc::new(Places { clients: Mutex::default(), permits, lingering: Mutex::default() })
    }

    fn clients(&self) -> MutexGuard<'_, Vec<Arc<Client>>> {
        // A panic cannot leave the list half changed, so a poisoned lock is usable.
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a place for a connection from this address; `None` if its peer has [`MAX_UNKNOWN`] that all
    /// wait for the check of a password. Waits while every connection is known and busy.
    pub(super) async fn take(
        self: &Arc<Self>,
        address: IpAddr,
        stream: Weak<TcpStream>,
    ) -> Option<Place> {
        let peer = peer_of(address);
        let unknown_of_peer = |it: &Client| it.peer == peer && !it.is_known();
        let share = self.clients().iter().filter(|it| unknown_of_peer(it)).count();
        if share >= MAX_UNKNOWN && !self.close_one(|it| unknown_of_peer(it) && !it.is_busy()) {
            return None;
        }
        let permits = || Arc::clone(&self.permits);
        let permit = loop {
            if let Ok(permit) = permits().try_acquire_owned() {
                break Some(permit);
            }
            // A connection that was closed and has not ended yet gives its place in a moment.
            let are_ending = self.clients().len() < MAX_CONNECTIONS;
            if !are_ending {
                self.close_one(|it| it.is_known() || it.is_busy() || !it.has_unread());
            }
            // It is never closed. If it were, the connection would only not be counted.
            if let Ok(permit) = tokio::time::timeout(RETRY, permits().acquire_owned()).await {
                break permit.ok();
            }
        };
        let client = Arc::new(Client::new(peer, stream));
        self.clients().push(Arc::clone(&client));
        Some(Place { client, places: Arc::clone(self), _permit: permit })
    }

    /// Closes one of the connections that `may_close`. Returns whether there was one.
    fn close_one(&self, may_close: impl Fn(&Client) -> bool) -> bool {
        let mut clients = self.clients();
        let Some(nth) = dispensable(&clients, may_close) else { return false };
        let client = clients.swap_remove(nth);
        self.linger(client.stream.upgrade());
        client.close();
        true
    }

    /// Keeps a socket open for [`LINGER`], if there are not too many.
    fn linger(&self, socket: Option<Arc<TcpStream>>) {
        let mut lingering = self.lingering();
        if let Some(socket) = socket.filter(|_| lingering.len() < MAX_LINGERING) {
            lingering.push_back((Instant::now() + LINGER, socket));
        }
    }

    /// Closes the sockets whose time is over. Returns when the next one has to be closed.
    pub(super) fn close_lingering(&self) -> Option<Instant> {
        let mut lingering = self.lingering();
        let now = Instant::now();
        while lingering.front().is_some_and(|(end, _)| *end <= now) {
            lingering.pop_front();
        }
        lingering.front().map(|(end, _)| *end)
    }

    fn lingering(&self) -> MutexGuard<'_, VecDeque<(Instant, Arc<TcpStream>)>> {
        self.lingering.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the connection whose place is given away first. Unknown ones go before known ones; among those
/// alike, one of the peer that has the most goes first, and those last whose requests were not read yet. Of
/// connections that wait, the oldest goes; of
/// requests under way, the newest, so that those before it come to their end.
fn dispensable(clients: &[Arc<Client>], may_close: impl Fn(&Client) -> bool) -> Option<usize> {
    let alike = |one: &Client| {
        let alike = |it: &&Arc<Client>| it.peer == one.peer && it.is_known() == one.is_known();
        clients.iter().filter(alike).count()
    };
    let candidates = clients.iter().enumerate().filter(|(_, it)| may_close(it));
    let ranked = candidates.filter_map(|(nth, it)| {
        let since = it.since.load(Ordering::Relaxed);
        let rank = match (it.is_known(), it.is_busy()) {
            (false, _) if it.is_kept.load(Ordering::Relaxed) => return None,
            (false, false) if it.has_unread() => (3, since),
            (false, false) => (0, since),
            (false, true) => (1, u64::MAX - since),
            (true, false) => (2, since),
            (true, true) => return None,
        };
        Some(((rank.0, Reverse(alike(it)), rank.1), nth))
    });
    ranked.min().map(|(_, nth)| nth)
}

/// Returns what one client can have addresses of: an address of IPv4, or a network of IPv6 with 64 bits.
pub(super) fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: u8, is_known: bool, is_busy: bool) -> Arc<Client> {
        let client = Arc::new(Client::new([192, 0, 2, peer].into(), Weak::new()));
        client.set_known(is_known);
        client.set_busy(is_busy);
        client
    }

    /// Returns the peers in the order in which their connections are closed.
    fn closed(mut clients: Vec<Arc<Client>>) -> Vec<u8> {
        let mut closed = Vec::new();
        while let Some(nth) = dispensable(&clients, |_| true) {
            let IpAddr::V4(peer) = clients.remove(nth).peer else { unreachable!() };
            closed.push(peer.octets()[3]);
        }
        closed
    }

    #[test]
    fn a_known_request_under_way_keeps_its_place() {
        let clients = vec![
            client(1, true, true),
            client(2, true, false),
            client(3, false, true),
            client(4, false, false),
        ];
        assert_eq!(closed(clients), [4, 3, 2]);
    }

    #[test]
    fn the_peer_with_the_most_connections_pays_for_its_own() {
        let waiting = [1, 2, 2, 2, 3].map(|peer| client(peer, false, false)).to_vec();
        assert_eq!(closed(waiting), [2, 2, 1, 2, 3]);
        let busy = [1, 2, 2, 3].map(|peer| client(peer, false, true)).to_vec();
        assert_eq!(closed(busy), [2, 3, 2, 1]);
        let known = [1, 2, 2].map(|peer| client(peer, true, false)).to_vec();
        assert_eq!(closed(known), [2, 1, 2]);
    }

    #[tokio::test]
    async fn one_peer_has_a_share_of_the_places() {
        let (places, one, other) = (Places::new(), [192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let mut taken = Vec::new();
        for _ in 0..MAX_UNKNOWN {
            taken.push(places.take(one, Weak::new()).await.unwrap());
        }
        let oldest = Arc::clone(&taken[0].client);
        taken.push(places.take(one, Weak::new()).await.unwrap());
        assert!(oldest.is_closed(Waker::noop()), "the oldest makes room");
        let busy: Vec<Busy> = taken.iter().map(|it| it.client.begin()).collect();
        assert!(places.take(one, Weak::new()).await.is_none(), "all of them wait for a check");
        assert!(places.take(other, Weak::new()).await.is_some());
        drop((busy, taken));
        assert!(places.take(one, Weak::new()).await.is_some());
    }

    #[tokio::test]
    async fn a_socket_whose_place_was_given_away_stays_open_for_a_moment() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let places = Places::new();
        let (mut ends, mut sockets) = (Vec::new(), Vec::new());
        for _ in 0..MAX_LINGERING + 1 {
            ends.push(TcpStream::connect(address).await.unwrap());
            let socket = Arc::new(listener.accept().await.unwrap().0);
            sockets.push(Arc::downgrade(&socket));
            let client = Client::new([192, 0, 2, 1].into(), Arc::downgrade(&socket));
            places.clients().push(Arc::new(client));
            assert!(places.close_one(|_| true));
        }
        let open = || sockets.iter().filter(|it| it.strong_count() > 0).count();
        assert_eq!(open(), MAX_LINGERING);
        while let Some(next) = places.close_lingering() {
            assert!(open() > 0);
            tokio::time::sleep_until(next).await;
        }
        assert_eq!(open(), 0);
    }

    /// A probe must not be closed because its request came a moment ago.
    #[tokio::test]
    async fn a_request_that_was_not_read_yet_keeps_its_place() {
        use tokio::io::AsyncWriteExt;
        use tokio::net::TcpListener;

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut ends = Vec::new();
        let mut clients = Vec::new();
        for (peer, request) in [(1, ""), (2, "GET / HTTP/1.1"), (2, "GET / HTTP/1.1"), (3, "")] {
            let mut other = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            other.write_all(request.as_bytes()).await.unwrap();
            let stream = Arc::new(listener.accept().await.unwrap().0);
            if !request.is_empty() {
                stream.readable().await.unwrap();
            }
            let client = Client::new([192, 0, 2, peer].into(), Arc::downgrade(&stream));
            clients.push(Arc::new(client));
            ends.push((other, stream));
        }
        assert_eq!(closed(clients.clone()), [1, 3, 2, 2]);
        assert_eq!(clients.iter().filter(|it| it.has_unread()).count(), 2);
        ends.clear();
        assert!(clients.iter().all(|it| !it.has_unread()), "their connections have ended");
    }

    #[test]
    fn a_peer_of_ipv6_is_a_network() {
        for (address, peer) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("::1", "::1"),
        ] {
            assert_eq!(peer_of(address.parse().unwrap()).to_string(), peer);
        }
    }
}
