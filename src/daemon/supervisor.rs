//! Informs the supervisor, which is systemd or any other process that sets `NOTIFY_SOCKET`.
//!
//! The protocol is that of sd_notify(3). The messages say when files are followed, what the daemon
//! does now, and that it is alive. Without `NOTIFY_SOCKET` nothing is sent.
//!
//! "Alive" has the same meaning as in `/healthz`: an unavailable database is waited for, and a
//! restart would not make it available.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use tracing::{debug, info, warn};

use crate::metrics::Metrics;
use crate::pipeline::Request;

/// How long one message may block the daemon if the supervisor does not read.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);

/// Time between two checks of the status. A shorter watchdog limit shortens it.
const STATUS_INTERVAL: Duration = Duration::from_secs(1);

/// Sends messages to the supervisor, if there is one. Clones share the socket.
#[derive(Clone, Debug)]
pub(crate) struct Supervisor(Option<Arc<NotifySocket>>);

#[derive(Debug)]
struct NotifySocket {
    socket: UnixDatagram,
    address: SocketAddr,
    /// Longest silence before the supervisor restarts the daemon; `None` if there is no limit.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// Connects to the socket that the environment names, if any.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        match NotifySocket::connect(&name) {
            Ok(socket) => Self(Some(Arc::new(socket))),
            Err(error) => {
                warn!(socket = ?name, %error, "invalid NOTIFY_SOCKET: expected a socket's path; \
                    no supervisor is informed");
                Self(None)
            }
        }
    }

    /// Reports that files are followed, after the start or a reload.
    pub(crate) fn ready(&self, metrics: &Metrics) {
        self.send(&format!("READY=1\nSTATUS={}", status(metrics)));
    }

    /// Reports that reading stops, because of a request or because the input has ended.
    pub(crate) fn ends(&self, request: Request) {
        if request == Request::Stop {
            info!("stopping: what was read is stored first; a second signal ends it at once");
        }
        if request != Request::Reload {
            return self.send("STOPPING=1\nSTATUS=stopping; storing what was read");
        }
        // The reload lasts until `ready`. By the time systemd distinguishes it from an earlier one.
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.send(&format!(
            "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reading the configuration again"
        ));
    }

    /// Sends one short line for people, which `systemctl status` shows.
    pub(crate) fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", status.replace('\n', " ")));
    }

    fn send(&self, message: &str) {
        let Some(NotifySocket { socket, address, .. }) = self.0.as_deref() else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            debug!(%error, "cannot inform the supervisor");
        }
    }

    /// Starts a task that sends each change of the status. It also sends the watchdog's messages
    /// while the ingest loop makes progress.
    pub(crate) fn keep_informed(&self, metrics: Arc<Metrics>) {
        let Some(watchdog) = self.0.as_ref().map(|socket| socket.watchdog) else { return };
        let supervisor = self.clone();
        tokio::spawn(async move {
            let mut last_status = status(&metrics);
            let pause = watchdog.map_or(STATUS_INTERVAL, |limit| STATUS_INTERVAL.min(limit / 3));
            loop {
                let alive = metrics.health.is_alive(watchdog);
                if watchdog.is_some() && alive.is_ok() {
                    supervisor.send("WATCHDOG=1");
                }
                let status = status(&metrics);
                if status != last_status {
                    supervisor.status(&status);
                    last_status = status;
                }
                tokio::time::sleep(pause).await;
            }
        });
    }
}

/// Returns the status. It contains no count that changes with each line, since each change is sent.
fn status(metrics: &Metrics) -> String {
    let problems = metrics.health.problems();
    match problems.is_empty() {
        true => format!("files followed: {}", metrics.lag.files()),
        false => problems.join("; "),
    }
}

impl NotifySocket {
    fn connect(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(SEND_TIMEOUT))?;
        Ok(Self { socket, address, watchdog: watchdog() })
    }
}

/// Reads the supervisor's watchdog limit from the environment.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    if env::var_os("WATCHDOG_PID").is_some()
        && number("WATCHDOG_PID") != Some(u64::from(std::process::id()))
    {
        return None; // the limit is for a parent process
    }
    number("WATCHDOG_USEC").filter(|limit| *limit > 0).map(Duration::from_micros)
}
