//! `log-ingestd healthcheck`: asks a daemon for its health, for supervisors that only run commands.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail};

use crate::web::encrypt_for_any;

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

/// Whether the page has TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// It has none.
    Http,
    /// It has, with any certificate: nothing secret is sent, and the address is that of this machine.
    Https,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Asks the daemon that listens at `address`.
///
/// # Errors
/// The daemon does not answer, or the answer is no; the error gives the daemon's reason.
pub fn healthcheck(address: SocketAddr, scheme: Scheme, probe: Probe) -> anyhow::Result<()> {
    let address = SocketAddr::new(reachable(address.ip()), address.port());
    let path = match probe {
        Probe::Liveness => "/healthz",
        Probe::Readiness => "/readyz",
    };
    let place = format!("{}://{address}{path}", scheme.name());
    let ask = || {
        let stream = TcpStream::connect_timeout(&address, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
        match scheme {
            Scheme::Http => exchange(stream, &request),
            Scheme::Https => exchange(encrypt_for_any(stream)?, &request),
        }
    };
    let answer = ask().with_context(|| match scheme {
        Scheme::Http => format!("no answer from {place}"),
        Scheme::Https => format!("no answer from {place}; is the daemon's --tls-cert in use?"),
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    match head.split(' ').nth(1) {
        Some("200") => Ok(()),
        Some("401") => bail!("{place} requires a password; {path} is open without --auth-file"),
        // What the daemon itself says to a request without TLS.
        Some("400") if body.contains("https") => {
            bail!("{place} has TLS: give the daemon's --tls-cert to this command, too")
        }
        Some(status) => bail!("{place} answers {status}: {}", body.trim()),
        None => bail!("{place} does not speak HTTP; is this the daemon's --listen?"),
    }
}

/// Sends a request and returns the beginning of the answer.
fn exchange(mut stream: impl Read + Write, request: &str) -> std::io::Result<String> {
    stream.write_all(request.as_bytes())?;
    stream.flush()?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Returns the loopback address for the unspecified one (`0.0.0.0`), to which nothing can connect.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    }
}
