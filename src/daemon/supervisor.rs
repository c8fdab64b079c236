//! What systemd is told, or whoever else gave the process a `NOTIFY_SOCKET`, by the protocol of
//! sd_notify(3): when files are followed, what is done at the moment, and that the daemon lives.
//! Without that variable nothing is told.
//!
//! "Lives" is what `/healthz` answers too: a database that is away is waited for, and a restart would
//! not bring it back.

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

/// How long a supervisor that does not read may hold up the daemon with one message.
const PATIENCE: Duration = Duration::from_secs(1);

/// Between two looks at what there is to say, if the watchdog does not want more of them.
const OFTEN_ENOUGH: Duration = Duration::from_secs(1);

/// Who started the daemon and wants to know how it is. Clones speak to the same.
#[derive(Clone, Debug)]
pub(crate) struct Supervisor(Option<Arc<Line>>);

/// The way to a supervisor.
#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How long it lets the daemon be silent; `None`: for ever.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names, if any.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        match Line::to(&name) {
            Ok(line) => Self(Some(Arc::new(line))),
            Err(error) => {
                warn!(socket = ?name, %error, "NOTIFY_SOCKET is no address of a socket; telling nobody");
                Self(None)
            }
        }
    }

    /// Files are followed, or followed again after a reload.
    pub(crate) fn ready(&self, metrics: &Metrics) {
        self.tell(&format!("READY=1\nSTATUS={}", status(metrics)));
    }

    /// Nothing new is read any more, because of this request, or because there is no more to come.
    pub(crate) fn ends(&self, request: Request) {
        if request == Request::Stop {
            info!("stopping: what was read is stored first; a second signal ends it at once");
        }
        if request != Request::Reload {
            return self.tell("STOPPING=1\nSTATUS=stopping; storing what was read");
        }
        // Until `ready`. By the time, systemd tells this reload from an earlier one.
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!(
            "RELOADING=1\nMONOTONIC_USEC={microseconds}\nSTATUS=reading the configuration again"
        ));
    }

    /// One short line for people.
    pub(crate) fn status(&self, status: &str) {
        self.tell(&format!("STATUS={}", status.replace('\n', " ")));
    }

    fn tell(&self, message: &str) {
        let Some(line) = &self.0 else { return };
        if let Err(error) = line.socket.send_to_addr(message.as_bytes(), &line.address) {
            debug!(%error, "the supervisor was not told");
        }
    }

    /// Tells how the daemon is, when that changes, and that it lives, as often as it is asked to, for as
    /// long as its loop goes round. `None`: nobody wants to know.
    pub(crate) fn keep_informed(&self, metrics: Arc<Metrics>) {
        let Some(watchdog) = self.0.as_ref().map(|line| line.watchdog) else { return };
        let me = self.clone();
        tokio::spawn(async move {
            let mut said = status(&metrics);
            let pause = watchdog.map_or(OFTEN_ENOUGH, |limit| OFTEN_ENOUGH.min(limit / 3));
            loop {
                let alive = metrics.health.is_alive_within(watchdog);
                if watchdog.is_some() && alive.is_ok() {
                    me.tell("WATCHDOG=1");
                }
                let status = status(&metrics);
                if status != said {
                    me.status(&status);
                    said = status;
                }
                tokio::time::sleep(pause).await;
            }
        });
    }
}

/// What `systemctl status` shows. No counts that move with each line: it is sent when it changes.
fn status(metrics: &Metrics) -> String {
    let complaints = metrics.health.complaints();
    match complaints.is_empty() {
        true => format!("files followed: {}", metrics.lag.files()),
        false => complaints.join("; "),
    }
}

impl Line {
    fn to(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes().split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { socket, address, watchdog: watchdog() })
    }
}

/// How long the supervisor lets this process be silent.
fn watchdog() -> Option<Duration> {
    let number = |name| env::var(name).ok()?.parse::<u64>().ok();
    if env::var_os("WATCHDOG_PID").is_some()
        && number("WATCHDOG_PID") != Some(u64::from(std::process::id()))
    {
        return None; // it is meant for a parent of ours
    }
    number("WATCHDOG_USEC").filter(|limit| *limit > 0).map(Duration::from_micros)
}
