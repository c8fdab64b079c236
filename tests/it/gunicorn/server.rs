//! A real Gunicorn, clients that ask it, and a real logrotate.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::daemon::{Bench, PATIENCE};

/// Clients that ask at the same time.
const CLIENTS: usize = 4;

/// A running Gunicorn whose access log and error log lie in the watched directory.
pub(super) struct Gunicorn {
    master: Child,
    address: Address,
    stderr: PathBuf,
    served: PathBuf,
}

enum Address {
    Port(u16),
    Socket(PathBuf),
}

impl Gunicorn {
    /// On a free port, with several sync workers.
    pub(super) fn start(bench: &Bench) -> Self {
        Self::start_with(bench, &["--workers", "3", "--bind", "127.0.0.1:0", "app:wsgi"])
    }

    pub(super) fn start_with(bench: &Bench, arguments: &[&str]) -> Self {
        Self::start_into(bench, Stdio::null(), arguments)
    }

    /// With this standard output.
    pub(super) fn start_into(bench: &Bench, output: Stdio, arguments: &[&str]) -> Self {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = manifest.join(".venv/bin/python");
        assert!(python.exists(), "there is no Gunicorn in .venv: tests/run puts it there");
        let error_log = bench.log("error.log");
        let (stderr, served) = (bench.aside("gunicorn"), bench.aside("served"));
        let master = Command::new(python)
            .current_dir(manifest.join("tests/it/gunicorn"))
            .args(["-m", "gunicorn", "--no-control-socket", "--access-logfile"])
            .arg(bench.log("access.log"))
            .arg("--error-logfile")
            .arg(&error_log)
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SERVED", &served)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut gunicorn = Self { master, address: Address::Port(0), stderr, served };
        gunicorn.address = gunicorn.listens(&error_log);
        gunicorn
    }

    /// Waits until a worker can answer; where it listens.
    fn listens(&mut self, error_log: &Path) -> Address {
        let end = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(error_log).unwrap_or_default();
            if said.contains("Booting worker") {
                let at = said.lines().find_map(|line| line.split_once("Listening at: ")).unwrap().1;
                let at = at.split_once(" (").unwrap().0;
                return match at.strip_prefix("unix:") {
                    Some(path) => Address::Socket(path.into()),
                    None => Address::Port(at.rsplit_once(':').unwrap().1.parse().unwrap()),
                };
            }
            assert!(self.master.try_wait().unwrap().is_none(), "Gunicorn ended: {said}");
            assert!(Instant::now() < end, "Gunicorn does not start: {said}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.master.id()
    }

    /// Stops it, so that everything it has to log is logged.
    pub(super) fn stop(&mut self) {
        self.end();
    }

    /// What it and Python wrote on standard error.
    pub(super) fn said(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap()
    }

    /// The URLs that the application has answered.
    pub(super) fn served(&self) -> Vec<String> {
        fs::read_to_string(&self.served).unwrap().lines().map(str::to_owned).collect()
    }

    /// Ends it and its workers.
    fn end(&mut self) {
        let _ = Command::new("kill").arg(self.pid().to_string()).status();
        let _ = self.master.wait();
    }

    /// One request; it is answered.
    pub(super) fn get(&self, url: &str) {
        let request = format!(
            "GET {url} HTTP/1.1\r\nHost: web\r\nUser-Agent: a \"b\"\\\r\nConnection: close\r\n\r\n"
        );
        let mut answer = String::new();
        match &self.address {
            Address::Port(port) => {
                let mut stream = TcpStream::connect(("127.0.0.1", *port)).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                stream.read_to_string(&mut answer).unwrap();
            }
            Address::Socket(path) => {
                let mut stream = UnixStream::connect(path).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                stream.read_to_string(&mut answer).unwrap();
            }
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{url}: {answer}");
    }

    /// Clients ask without a pause while `meanwhile` runs.
    pub(super) fn busy_while(&self, name: &str, meanwhile: impl FnOnce(&Progress)) {
        let progress = Progress::default();
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (progress, done) = (&progress, &done);
                scope.spawn(move || {
                    for number in 0.. {
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                        self.get(&format!("/{name}/{client}/{number}?q=%22"));
                        progress.answered.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
            meanwhile(&progress);
            done.store(true, Ordering::Relaxed);
        });
    }
}

impl Drop for Gunicorn {
    fn drop(&mut self) {
        if matches!(self.master.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// How many answers the clients have had so far.
#[derive(Default)]
pub(super) struct Progress {
    answered: AtomicUsize,
}

impl Progress {
    /// Waits until so many more requests are answered.
    pub(super) fn more(&self, requests: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + requests;
        let end = Instant::now() + PATIENCE;
        while self.answered.load(Ordering::Relaxed) < wanted {
            assert!(Instant::now() < end, "Gunicorn answers no more");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A logrotate of our own: configuration and state in the test's directory.
pub(super) struct Logrotate {
    configuration: PathBuf,
    state: PathBuf,
}

impl Logrotate {
    /// Rotates `access.log` by these directives.
    pub(super) fn new(bench: &Bench, directives: &str) -> Self {
        let configuration = bench.aside("logrotate.conf");
        let log = bench.log("access.log");
        fs::write(&configuration, format!("\"{}\" {{\n{directives}\n}}\n", log.display())).unwrap();
        Self { configuration, state: bench.aside("logrotate.state") }
    }

    /// Rotates now.
    pub(super) fn rotate(&self) {
        let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
        let output = Command::new("logrotate")
            .env("PATH", path)
            .args(["--force", "--state"])
            .args([&self.state, &self.configuration])
            .output()
            .expect("there is no logrotate: tests/run installs it");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.is_empty(), "logrotate: {said}");
    }
}
