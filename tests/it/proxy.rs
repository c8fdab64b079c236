//! A wire between a daemon and PostgreSQL that a test can hold, or cut, at the very COMMIT of an
//! ingest transaction, or that counts round trips.
//!
//! It passes the client's messages on as they are. A commit is the point from which the server needs nothing
//! more: the end of the last COPY, if COMMIT is in the same message of statements as the COPYs; or the
//! message of statements that ends with COMMIT.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::place::until;

/// How long a client that waits for an answer is silent.
const SILENCE: Duration = Duration::from_millis(20);

/// What happens at the next COMMIT that follows a COPY; once, then everything passes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Pass,
    /// The COMMIT waits on its way to the server.
    HoldCommit,
    /// The server commits; its answer waits.
    HoldAnswer,
    /// The connection ends before the server has the COMMIT.
    CutCommit,
    /// The connection ends when the server has committed, before the client knows.
    CutAnswer,
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

#[derive(Debug)]
struct State {
    plan: Plan,
    /// Commits that pass before the plan is for one.
    skip: u32,
    /// How many plans came to pass.
    reached: u32,
    /// Whether what was held may go on, or is dropped with its connection.
    verdict: Option<Verdict>,
    /// Whether round trips are counted, and how many there were.
    counts: bool,
    round_trips: u32,
    /// Whether answers are kept back until no client says anything more; how often that was; when a client
    /// said something last.
    in_step: bool,
    waits: u32,
    last_request: Instant,
    /// Bytes in one direction after which a connection is cut.
    cut: Option<(Way, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    GoOn,
    Drop,
}

/// The wire.
pub(crate) struct Proxy {
    port: u16,
    shared: Arc<(Mutex<State>, Condvar)>,
}

impl Proxy {
    /// A way to the server of this URL.
    pub(crate) fn to(url: &str) -> Proxy {
        let server = address(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            plan: Plan::Pass,
            skip: 0,
            reached: 0,
            verdict: None,
            counts: false,
            round_trips: 0,
            in_step: false,
            waits: 0,
            last_request: Instant::now(),
            cut: None,
        };
        let shared = Arc::new((Mutex::new(state), Condvar::new()));
        let wire = Arc::clone(&shared);
        // Ends with the test process; a connection's threads end with the connection.
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // Refused as the server refuses: by an end.
                let Ok(server) = TcpStream::connect(&server) else { continue };
                Connection::join(client, server, &wire);
            }
        });
        Proxy { port, shared }
    }

    /// The same URL, by way of this wire.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(address(url), &format!("127.0.0.1:{}", self.port))
    }

    /// From now on, until it has come to pass.
    pub(crate) fn plan(&self, plan: Plan) {
        self.plan_after(0, plan);
    }

    /// The same after so many commits, of all connections together.
    pub(crate) fn plan_after(&self, skip: u32, plan: Plan) {
        let mut state = self.shared.0.lock().unwrap();
        (state.plan, state.skip) = (plan, skip);
        state.verdict = None;
    }

    /// Counts from now on how often a client waits for an answer.
    pub(crate) fn count(&self) {
        let mut state = self.shared.0.lock().unwrap();
        (state.counts, state.round_trips) = (true, 0);
    }

    pub(crate) fn round_trips(&self) -> u32 {
        self.shared.0.lock().unwrap().round_trips
    }

    /// Counts from now on how often all clients wait: the round trips of which each has to follow another. All
    /// answers of one time are kept back together; so is the beginning of a connection.
    pub(crate) fn count_waits(&self) {
        let mut state = self.shared.0.lock().unwrap();
        (state.in_step, state.waits) = (true, 0);
    }

    pub(crate) fn waits(&self) -> u32 {
        self.shared.0.lock().unwrap().waits
    }

    /// Cuts the connection that passes so many bytes more, in one direction, after the last of them.
    pub(crate) fn cut_after(&self, way: Way, bytes: usize) {
        self.shared.0.lock().unwrap().cut = Some((way, bytes));
    }

    /// Whether the last cut has come to pass.
    pub(crate) fn has_cut(&self) -> bool {
        self.shared.0.lock().unwrap().cut.is_none()
    }

    /// Waits until `times` plans have come to pass in all.
    pub(crate) async fn reached(&self, times: u32) {
        until("the commit is reached", async || self.shared.0.lock().unwrap().reached >= times)
            .await;
    }

    /// Lets go on what is held.
    pub(crate) fn release(&self) {
        self.judge(Verdict::GoOn);
    }

    /// Drops what is held: its sender is gone.
    pub(crate) fn forget(&self) {
        self.judge(Verdict::Drop);
    }

    fn judge(&self, verdict: Verdict) {
        self.shared.0.lock().unwrap().verdict = Some(verdict);
        self.shared.1.notify_all();
    }
}

/// `host:port` of a URL.
fn address(url: &str) -> &str {
    url.split_once('@').unwrap().1.split_once('/').unwrap().0
}

/// One connection through the wire, both ways.
#[derive(Clone)]
struct Connection {
    client: Arc<TcpStream>,
    server: Arc<TcpStream>,
    shared: Arc<(Mutex<State>, Condvar)>,
    /// What is to happen to the server's next answer.
    answer: Arc<Mutex<Plan>>,
    /// When the client sent something last, and whether it has got no answer since.
    last_request: Arc<Mutex<(Instant, bool)>>,
    /// How often all clients have waited when the answer to the last request may pass.
    due: Arc<Mutex<u32>>,
}

impl Connection {
    fn join(client: TcpStream, server: TcpStream, shared: &Arc<(Mutex<State>, Condvar)>) {
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (client, server) = (Arc::new(client), Arc::new(server));
        let answer = Arc::new(Mutex::new(Plan::Pass));
        let last_request = Arc::new(Mutex::new((Instant::now(), false)));
        let due = Arc::default();
        let shared = Arc::clone(shared);
        let there = Connection { client, server, shared, answer, last_request, due };
        let back = there.clone();
        std::thread::spawn(move || there.requests());
        std::thread::spawn(move || back.answers());
    }

    fn end(&self) {
        // It may have ended already.
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }

    /// A plan came to pass.
    fn reached(&self) -> MutexGuard<'_, State> {
        let mut state = self.shared.0.lock().unwrap();
        state.reached += 1;
        state
    }

    /// Waits for the verdict; whether to go on.
    fn hold(&self) -> bool {
        let held = self.reached();
        let judged = self.shared.1.wait_while(held, |state| state.verdict.is_none()).unwrap();
        judged.verdict == Some(Verdict::GoOn)
    }

    fn requests(self) {
        let mut talk = Talk::default();
        self.asks();
        self.keep_step(); // as if the server had to agree to the connection
        let ask = |message: &[u8]| {
            if self.cut(Way::ToServer, message) {
                return false;
            }
            *self.last_request.lock().unwrap() = (Instant::now(), true);
            if !talk.is_commit(message) {
                return true;
            }
            match self.next_plan() {
                Plan::Pass => {}
                plan @ (Plan::HoldAnswer | Plan::CutAnswer) => *self.answer.lock().unwrap() = plan,
                Plan::HoldCommit => return self.hold(),
                Plan::CutCommit => {
                    self.end();
                    drop(self.reached());
                    return false;
                }
            }
            true
        };
        each_message(&self.client, &self.server, || self.asks(), ask);
        self.end();
    }

    /// A client has sent something.
    fn asks(&self) {
        let mut state = self.shared.0.lock().unwrap();
        state.last_request = Instant::now();
        *self.due.lock().unwrap() = state.waits + 1;
    }

    /// Keeps the answer to the last request back until no client has anything more to say.
    fn keep_step(&self) {
        let mut state = self.shared.0.lock().unwrap();
        while state.in_step && state.waits < *self.due.lock().unwrap() {
            match SILENCE.checked_sub(state.last_request.elapsed()) {
                Some(rest) => state = self.shared.1.wait_timeout(state, rest).unwrap().0,
                None => {
                    state.waits += 1;
                    self.shared.1.notify_all();
                }
            }
        }
    }

    /// What is to happen to this commit.
    fn next_plan(&self) -> Plan {
        let mut state = self.shared.0.lock().unwrap();
        match state.skip.checked_sub(1) {
            Some(left) => {
                state.skip = left;
                Plan::Pass
            }
            None => std::mem::replace(&mut state.plan, Plan::Pass),
        }
    }

    fn answers(self) {
        pump(&self.server, &self.client, |bytes| {
            if self.cut(Way::ToClient, bytes) {
                return false;
            }
            self.count_round_trip();
            self.keep_step();
            if !contains(bytes, b"COMMIT\0") {
                return true;
            }
            let plan = std::mem::replace(&mut *self.answer.lock().unwrap(), Plan::Pass);
            match plan {
                Plan::HoldAnswer => return self.hold(),
                Plan::CutAnswer => {
                    self.end();
                    drop(self.reached());
                    return false;
                }
                _ => {}
            }
            true
        });
        self.end();
    }

    /// Cuts the connection within these bytes, if that is due.
    fn cut(&self, way: Way, bytes: &[u8]) -> bool {
        let mut state = self.shared.0.lock().unwrap();
        let Some((_, left)) = state.cut.as_mut().filter(|(cut, _)| *cut == way) else {
            return false;
        };
        if *left >= bytes.len() {
            *left -= bytes.len();
            return false;
        }
        let mut to = if way == Way::ToServer { &*self.server } else { &*self.client };
        let _ = to.write_all(&bytes[..*left]); // it may have ended already
        state.cut = None;
        drop(state);
        self.end();
        true
    }

    /// Keeps an answer back until the client has nothing more to say: it waits.
    fn count_round_trip(&self) {
        if !self.shared.0.lock().unwrap().counts {
            return;
        }
        loop {
            let silent = self.last_request.lock().unwrap().0.elapsed();
            if silent >= SILENCE {
                break;
            }
            std::thread::sleep(SILENCE - silent);
        }
        if std::mem::take(&mut self.last_request.lock().unwrap().1) {
            self.shared.0.lock().unwrap().round_trips += 1;
        }
    }
}

/// What the client has said in one session.
#[derive(Default)]
struct Talk {
    /// Whether rows of an ingest were copied in the transaction.
    copied: bool,
    /// COPYs that have not ended, of statements that end with COMMIT.
    copies: usize,
}

impl Talk {
    /// Whether the server can commit with this message, and not without it. A lane gives its turn back after that.
    fn is_commit(&mut self, message: &[u8]) -> bool {
        match message[0] {
            b'Q' => {
                let commits = message.ends_with(b"COMMIT\0")
                    || contains(message, b"COMMIT;SELECT pg_advisory_unlock(");
                let copies = { message.windows(5) }.filter(|at| at == b"COPY ").count();
                self.copied |= contains(message, b"COPY gunicorn_log");
                self.copies = if commits && self.copied { copies } else { 0 };
                commits && copies == 0 && std::mem::take(&mut self.copied)
            }
            b'c' if self.copies > 0 => {
                self.copies -= 1;
                self.copies == 0 && std::mem::take(&mut self.copied)
            }
            _ => false,
        }
    }
}

/// Passes whole messages of a client on, after `asks` was called for each, and `pass` for each but the first.
fn each_message(
    mut from: &TcpStream,
    mut to: &TcpStream,
    mut asks: impl FnMut(),
    mut pass: impl FnMut(&[u8]) -> bool,
) {
    let mut waiting = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut begun = false;
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        waiting.extend_from_slice(&buffer[..read]);
        let mut taken = 0;
        loop {
            // The first messages have no kind; a request for TLS, which is refused, is one of 8 bytes.
            let kind = usize::from(begun);
            let rest = &waiting[taken..];
            let Some(length) = rest.get(kind..kind + 4) else { break };
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize + kind;
            let Some(message) = rest.get(..length) else { break };
            asks();
            if begun && !pass(message) {
                return;
            }
            begun |= length != 8;
            taken += length;
            if to.write_all(message).is_err() {
                return;
            }
        }
        waiting.drain(..taken);
    }
}

/// Passes bytes on for as long as `pass` says so and both ends are there.
fn pump(mut from: &TcpStream, mut to: &TcpStream, mut pass: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if !pass(&buffer[..read]) || to.write_all(&buffer[..read]).is_err() {
            return;
        }
    }
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}
