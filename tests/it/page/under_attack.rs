//! All attacks on the page at once, while lines come in: how long a line takes to its row, how soon
//! `/healthz` answers, and how much memory the daemon has meanwhile.
//!
//! `tests/attacks` plays it for two minutes, holds it against limits and prints the figures. In each run of the tests
//! it is short: other tests run beside it, so that only what is true at any speed is checked.
//!
//! The load comes from this process, on the same processors: attackers on other machines would leave them to the
//! daemon and its database. `LOG_INGESTD_ATTACK_PROCESSORS` names those that the attackers may use, as for taskset(1);
//! what writes the log and measures may use all.

use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use log_ingestd::model::now;
use rustix::net::{AddressFamily, SocketType};
use sqlx::{Connection, PgConnection, SqliteConnection};

use super::access::{auth_file, basic, line};
use super::client::Site;
use crate::daemon::{Bench, PATIENCE, for_each_store, line_at};

/// Lines that are appended each second.
const RATE: u64 = 2000;

/// Time between two writes to the log.
const BEAT: Duration = Duration::from_millis(5);

/// Clients that sit there and ask now and then, and as many that watch new rows.
const IDLE: usize = 64;
const TAILS: usize = 64;

/// Threads that try passwords.
const GUESSERS: usize = 24;

/// Threads that send a header which holds no password, as fast as they are answered.
const FLOODERS: usize = 2;

/// Threads that search for what takes long and do not wait for it.
const SEARCHERS: usize = 4;

/// What the long trial has to hold.
const MOST_LATENCY: Duration = Duration::from_millis(100);
const MOST_HEALTH: Duration = Duration::from_secs(1);

/// What has to hold on any machine, whatever else it does.
const SHORT_HEALTH: Duration = Duration::from_secs(10);

/// The most memory in the short form, in KiB: twice what a daemon has in the long one.
const SHORT_MEMORY_KIB: u64 = 400 << 10;

/// How much more memory than before is not flat any more.
const GROWTH: f64 = 1.1;
const GROWTH_KIB: u64 = 8 << 10;

/// What the trial does and sees.
struct Attack {
    address: SocketAddr,
    cookie: String,
    /// How often an idle client asks.
    idle: Duration,
    ends: AtomicBool,
    idle_answers: AtomicU64,
    tail_bytes: AtomicU64,
    floods: AtomicU64,
    guesses: AtomicU64,
    /// Probes whose connection was closed before their request was read.
    unread: AtomicU64,
    searches: AtomicU64,
    /// Lines that were written: the offset after them, and when.
    written: Mutex<Vec<(u64, Instant)>>,
    /// How long `/healthz` took, each time.
    health: Mutex<Vec<Duration>>,
}

impl Attack {
    fn goes_on(&self) -> bool {
        !self.ends.load(Ordering::Relaxed)
    }

    /// Connects as another peer; `None` if the daemon has no place.
    fn connect(&self, peer: u8, patience: Duration) -> Option<TcpStream> {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).ok()?;
        rustix::net::bind(&socket, &SocketAddrV4::new(Ipv4Addr::new(127, 0, 0, peer), 0)).ok()?;
        rustix::net::connect(&socket, &self.address).ok()?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(patience)).ok()?;
        Some(stream)
    }

    fn send(&self, stream: &mut TcpStream, path: &str, header: &str) -> Option<()> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{header}\r\n\r\n", self.address);
        stream.write_all(request.as_bytes()).ok()
    }

    /// Sends a request and reads what comes, to the end or as long as the patience lasts. Returns how much.
    fn ask(&self, stream: &mut TcpStream, path: &str, header: &str) -> Option<usize> {
        self.send(stream, path, header)?;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        Some(answer.len())
    }

    fn idle(&self) {
        while self.goes_on() {
            let began = Instant::now();
            if let Some(mut stream) = self.connect(2, Duration::from_secs(1)) {
                let answer = self.ask(&mut stream, "/", "X: y");
                self.idle_answers.fetch_add(u64::from(answer > Some(0)), Ordering::Relaxed);
                self.pause_until(began + self.idle);
            }
            self.pause_until(Instant::now() + Duration::from_millis(100));
        }
    }

    fn tail(&self) {
        let mut buffer = [0; 16 << 10];
        while self.goes_on() {
            let Some(mut stream) = self.connect(1, Duration::from_secs(1)) else { continue };
            self.send(&mut stream, "/api/tail?from=1h", &format!("Cookie: {}", self.cookie));
            let mut is_refused = true;
            while self.goes_on() {
                match stream.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(read) => {
                        is_refused = buffer.starts_with(b"HTTP/1.1 503");
                        self.tail_bytes.fetch_add(read as u64, Ordering::Relaxed);
                        if is_refused {
                            break;
                        }
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
            if is_refused {
                self.pause_until(Instant::now() + Duration::from_secs(3)); // as the answer says
            }
        }
    }

    fn flood(&self) {
        let mut peer = 10;
        while self.goes_on() {
            peer = if peer < 40 { peer + 1 } else { 10 };
            if let Some(mut stream) = self.connect(peer, Duration::from_secs(5)) {
                self.ask(&mut stream, "/", "Authorization: x");
                self.floods.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn guess(&self) {
        let wrong = format!("Authorization: {}", basic("jo", "wrong"));
        while self.goes_on() {
            if let Some(mut stream) = self.connect(3, Duration::from_secs(5)) {
                self.ask(&mut stream, "/", &wrong);
                self.guesses.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// No row has such an address, so that all of them are read.
    fn search(&self) {
        let cookie = format!("Cookie: {}", self.cookie);
        let path = "/api/log?address=1.2.3.4/1&from=2026-01-01";
        while self.goes_on() {
            if let Some(mut stream) = self.connect(1, Duration::from_secs(5)) {
                self.send(&mut stream, path, &cookie);
                self.searches.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(fastrand::u64(..200)));
            }
        }
    }

    fn pause_until(&self, end: Instant) {
        while self.goes_on() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50).min(end - Instant::now()));
        }
    }

    /// Adds the time from append to row of all lines that are stored by now.
    fn note_stored(&self, stored: u64, seen: &mut usize, latencies: &mut Vec<Duration>) {
        let (at, written) = (Instant::now(), self.written.lock().unwrap());
        while let Some((_, when)) = written.get(*seen).filter(|(offset, _)| *offset <= stored) {
            latencies.push(at.saturating_duration_since(*when));
            *seen += 1;
        }
    }

    /// Appends lines at the rate, each time as many as are due.
    fn write(&self, path: &std::path::Path) {
        let mut log = OpenOptions::new().append(true).create(true).open(path).unwrap();
        let (began, mut lines, mut offset) = (Instant::now(), 0, 0);
        while self.goes_on() {
            std::thread::sleep(BEAT);
            let due = began.elapsed().as_micros() as u64 * RATE / 1_000_000;
            let text: String = (lines..due).map(|number| distant(&format!("/{number}"))).collect();
            log.write_all(text.as_bytes()).unwrap();
            lines = due;
            offset += text.len() as u64;
            self.written.lock().unwrap().push((offset, Instant::now()));
        }
    }

    /// Asks for `/healthz` twice a second, as a supervisor does: if the connection was closed before the request was
    /// read, since all places are taken, once more.
    fn watch_health(&self) {
        while self.goes_on() {
            let began = Instant::now();
            let ask = || {
                let mut stream = self.connect(1, SHORT_HEALTH)?;
                self.send(&mut stream, "/healthz", "X: y")?;
                let mut answer = String::new();
                stream.read_to_string(&mut answer).ok()?;
                Some(answer).filter(|answer| !answer.is_empty())
            };
            let mut answer = ask();
            while answer.is_none() && began.elapsed() < SHORT_HEALTH {
                self.unread.fetch_add(1, Ordering::Relaxed);
                answer = ask();
            }
            let answer = answer.unwrap_or_default();
            let time = began.elapsed();
            assert!(answer.starts_with("HTTP/1.1 200"), "/healthz after {time:?}: {answer:?}");
            self.health.lock().unwrap().push(time);
            self.pause_until(began + Duration::from_millis(500));
        }
    }
}

/// A line of now, of a client whose address is in the upper half of all.
fn distant(url: &str) -> String {
    line_at(url, now()).replacen("127.0.0.1", "203.0.113.9", 1)
}

/// A session that asks how far the log is stored.
enum Session {
    Postgres(PgConnection),
    Sqlite(SqliteConnection),
}

impl Session {
    async fn open(bench: &Bench) -> Session {
        match bench.place.is_postgres() {
            true => Session::Postgres(bench.place.postgres_connection().await),
            false => Session::Sqlite(SqliteConnection::connect(&bench.place.url).await.unwrap()),
        }
    }

    /// The offset moves in the transaction that stores the rows.
    async fn stored(&mut self) -> u64 {
        const SQL: &str =
            "SELECT coalesce(max(committed), 0) FROM log_file WHERE path LIKE '%access.log'";
        let offset: i64 = match self {
            Session::Postgres(session) => sqlx::query_scalar(SQL).fetch_one(session).await,
            Session::Sqlite(session) => sqlx::query_scalar(SQL).fetch_one(session).await,
        }
        .unwrap();
        offset as u64
    }
}

/// User and system time of a process, in seconds.
fn cpu_seconds(pid: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
    let ticks: u64 = fields[11..13].iter().map(|it| it.parse::<u64>().unwrap()).sum();
    ticks as f64 / 100.0
}

/// Time that all processors have worked, in seconds.
fn busy_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/stat").unwrap();
    let fields = stat.lines().next().unwrap().split_whitespace().skip(1);
    let ticks: Vec<u64> = fields.map(|it| it.parse().unwrap()).collect();
    let (user, nice, system, irq, softirq) = (ticks[0], ticks[1], ticks[2], ticks[5], ticks[6]);
    (user + nice + system + irq + softirq) as f64 / 100.0
}

/// Confines this thread, and those that it starts from now on, to the processors that the environment names.
fn confine_attackers() {
    let Some(processors) = std::env::var_os("LOG_INGESTD_ATTACK_PROCESSORS") else { return };
    let thread = fs::read_link("/proc/thread-self").unwrap();
    let mut taskset = Command::new("taskset");
    taskset.args(["--pid", "--cpu-list"]).arg(processors).arg(thread.file_name().unwrap());
    assert!(taskset.stdout(Stdio::null()).status().unwrap().success(), "taskset");
}

/// Memory of a process now, in KiB, without pages of SQLite's file, which the kernel takes back.
fn memory_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse().unwrap()
}

/// The value below which this share of them lies.
fn share(sorted: &[Duration], share: f64) -> Duration {
    sorted[((sorted.len() - 1) as f64 * share) as usize]
}

for_each_store! {
    async fn lines_are_stored_and_probes_answered(bench) {
        let asked = std::env::var("LOG_INGESTD_ATTACK_SECONDS").ok();
        let seconds: Option<u64> = asked.map(|text| text.parse().unwrap());
        let duration = Duration::from_secs(seconds.unwrap_or(6));
        let old = if seconds.is_some() { 100_000 } else { 5_000 };
        let lines = line(&bench, &["jo"], "pa:ss");
        let file = auth_file(&bench, &lines);
        bench.append("old.log", (0..old).map(|number| distant(&format!("/old/{number}"))).collect::<String>());
        let site = Site::open(&bench, &["--auth-file", file.to_str().unwrap()]).await;
        bench.rows(old).await;
        let first = site.get_with("/", &[("Authorization", &basic("jo", "pa:ss"))]);
        let attack = Attack {
            address: site.address,
            cookie: first.header("set-cookie").split(';').next().unwrap().to_owned(),
            idle: Duration::from_secs(25).min(duration / 3),
            ends: AtomicBool::new(false),
            idle_answers: AtomicU64::new(0),
            tail_bytes: AtomicU64::new(0),
            floods: AtomicU64::new(0),
            guesses: AtomicU64::new(0),
            unread: AtomicU64::new(0),
            searches: AtomicU64::new(0),
            written: Mutex::default(),
            health: Mutex::default(),
        };
        let path = bench.log("access.log");
        let mut session = Session::open(&bench).await;
        let (pid, mut latencies, mut memory) = (site.daemon.pid(), Vec::new(), Vec::new());
        let mut calm = Vec::new();
        let processors = || (cpu_seconds(&pid.to_string()), cpu_seconds("self"), busy_seconds());
        let before = processors();
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| std::thread::scope(|scope| {
            // Whatever happens here, the others end.
            struct End<'a>(&'a AtomicBool);
            impl Drop for End<'_> {
                fn drop(&mut self) {
                    self.0.store(true, Ordering::Relaxed);
                }
            }
            let end = End(&attack.ends);
            scope.spawn(|| attack.write(&path));
            let mut seen = 0;
            // The machine may have other work: what counts is the difference that the attacks make.
            let began = Instant::now();
            while began.elapsed() < duration / 6 || (calm.is_empty() && began.elapsed() < PATIENCE) {
                std::thread::sleep(Duration::from_millis(5));
                attack.note_stored(handle.block_on(session.stored()), &mut seen, &mut calm);
            }
            scope.spawn(|| attack.watch_health());
            scope.spawn(|| {
                confine_attackers();
                for (threads, work) in [
                    (IDLE, Attack::idle as fn(&Attack)),
                    (TAILS, Attack::tail),
                    (FLOODERS, Attack::flood),
                    (GUESSERS, Attack::guess),
                    (SEARCHERS, Attack::search),
                ] {
                    for _ in 0..threads {
                        let attack = &attack;
                        scope.spawn(move || work(attack));
                    }
                }
            });
            let began = Instant::now();
            let mut looked = Instant::now();
            while began.elapsed() < duration {
                std::thread::sleep(Duration::from_millis(5));
                attack.note_stored(handle.block_on(session.stored()), &mut seen, &mut latencies);
                if looked.elapsed() > Duration::from_millis(500) {
                    memory.push(memory_kib(pid));
                    looked = Instant::now();
                }
            }
            drop(end);
            // What is not stored by now has waited for so long at least.
            let (at, written) = (Instant::now(), attack.written.lock().unwrap());
            latencies.extend(written[seen..].iter().map(|(_, when)| at.saturating_duration_since(*when)));
        }));
        let after = processors();
        let lines = fs::read_to_string(&path).unwrap().lines().count() as i64;
        bench.rows(old + lines).await;
        latencies.sort();
        calm.sort();
        let mut health = attack.health.lock().unwrap().clone();
        health.sort();
        let (median, p99, most) =
            (share(&latencies, 0.5), share(&latencies, 0.99), share(&latencies, 1.0));
        let slowest = share(&health, 1.0);
        let third = memory.len() / 3;
        let of = |part: &[u64]| part.iter().copied().max().unwrap_or(0);
        let (middle, last) = (of(&memory[third..2 * third]), of(&memory[2 * third..]));
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        println!(
            "{lines} lines in {} s; append to row before the attacks: median {:.1?}, p99 {:.1?}; during \
             them: median {median:.1?}, p99 {p99:.1?}, most {most:.1?}; /healthz: {} \
             times, most {slowest:.1?}; memory: {} to {last} KiB, {middle} in the middle; processors: the daemon {:.1} s, \
             the load {:.1} s, all programs {:.1} s; {} answers to idle clients, {} KiB to live tails, {} requests with 'Authorization: x', {} \
             wrong passwords, {} searches; load average {}",
            duration.as_secs(), share(&calm, 0.5), share(&calm, 0.99), health.len(), memory[0], after.0 - before.0, after.1 - before.1,
            after.2 - before.2,
            count(&attack.idle_answers), count(&attack.tail_bytes) >> 10, count(&attack.floods),
            count(&attack.guesses), count(&attack.searches), fs::read_to_string("/proc/loadavg").unwrap().trim(),
        );
        for counter in [&attack.idle_answers, &attack.tail_bytes, &attack.floods, &attack.guesses, &attack.searches] {
            assert!(count(counter) > 0, "one of the attacks did not take place");
        }
        // In a few seconds the checks of passwords have not all had their first memory yet.
        let grown = (middle as f64 * GROWTH) as u64 + GROWTH_KIB;
        let most_memory = if seconds.is_some() { grown } else { SHORT_MEMORY_KIB };
        assert!(last <= most_memory, "memory grows: {memory:?} KiB");
        let limit = if seconds.is_some() { MOST_HEALTH } else { SHORT_HEALTH };
        assert!(slowest <= limit, "/healthz took {slowest:?}");
        let unread = count(&attack.unread);
        println!("{unread} probes were closed before they were read, and asked again");
        assert!(seconds.is_none() || unread == 0, "{unread} probes were closed before they were read");
        assert!(seconds.is_none() || p99 <= MOST_LATENCY, "p99 from append to row: {p99:?}");
        assert!(!site.daemon.said().contains("panicked"), "{}", site.daemon.said());
        assert!(site.daemon.stop().await.success());
        bench.balanced().await;
    }
}
