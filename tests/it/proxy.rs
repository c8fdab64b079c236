//! A wire between a daemon and PostgreSQL that a test can hold, or cut, at the very COMMIT of an
//! ingest transaction.
//!
//! It passes bytes on as they come. Of the protocol it knows two texts: `COPY gunicorn_log`, and
//! the simple query `COMMIT` that ends the same transaction. The client waits for the answer to
//! each, so neither is split over two reads.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use crate::place::until;

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

#[derive(Debug)]
struct State {
    plan: Plan,
    /// How many plans came to pass.
    reached: u32,
    /// Whether what was held may go on, or is dropped with its connection.
    verdict: Option<Verdict>,
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
        let state = State { plan: Plan::Pass, reached: 0, verdict: None };
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
        let mut state = self.shared.0.lock().unwrap();
        state.plan = plan;
        state.verdict = None;
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
}

impl Connection {
    fn join(client: TcpStream, server: TcpStream, shared: &Arc<(Mutex<State>, Condvar)>) {
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (client, server) = (Arc::new(client), Arc::new(server));
        let answer = Arc::new(Mutex::new(Plan::Pass));
        let there = Connection { client, server, shared: Arc::clone(shared), answer };
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
        let mut copied = false;
        pump(&self.client, &self.server, |bytes| {
            copied |= contains(bytes, b"COPY gunicorn_log");
            if !copied || !contains(bytes, b"COMMIT\0") {
                return true;
            }
            copied = false;
            let plan = std::mem::replace(&mut self.shared.0.lock().unwrap().plan, Plan::Pass);
            match plan {
                Plan::Pass => {}
                Plan::HoldCommit => return self.hold(),
                Plan::CutCommit => {
                    self.end();
                    drop(self.reached());
                    return false;
                }
                Plan::HoldAnswer | Plan::CutAnswer => *self.answer.lock().unwrap() = plan,
            }
            true
        });
        self.end();
    }

    fn answers(self) {
        pump(&self.server, &self.client, |_| {
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
