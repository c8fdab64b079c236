//! `log-ingestd healthcheck`: asks a daemon for its health, for supervisors that only run commands.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

/// How long each step may take: more than `/readyz` waits for the database.
const TIMEOUT: Duration = Duration::from_secs(4);

/// Most bytes of the answer that are read (4 KiB). An answer is one line.
const MAX_ANSWER: u64 = 4 << 10;

/// What a health check asks the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// Whether the daemon is alive (`/healthz`): if not, a restart helps.
    Liveness,
    /// Whether the daemon stores lines now (`/readyz`).
    Readiness,
}

/// Asks the daemon that listens at `address`.
///
/// # Errors
/// The daemon does not answer, or the answer is no; the error gives the daemon's reason.
pub fn healthcheck(address: SocketAddr, probe: Probe) -> anyhow::Result<()> {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    let path = match probe {
        Probe::Liveness => "/healthz",
        Probe::Readiness => "/readyz",
    };
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = Vec::new();
        stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
        std::io::Result::Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = ask().with_context(|| format!("no answer from http://{address}{path}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("401") => {
            bail!("http://{address}{path} requires a password; {path} is open without --auth-file")
        }
        Some(status) => bail!("http://{address}{path} answers {status}: {}", body.trim()),
        None => bail!("http://{address}{path} does not speak HTTP; is this the daemon's --listen?"),
    }
}

/// Returns the loopback address for the unspecified one (`0.0.0.0`), to which nothing can connect.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
