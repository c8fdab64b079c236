//! A client of HTTP that posts one small JSON object, over TLS if the URL says so.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// How long a connection may take, for each address of the host, and then the answer.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of the answer that are read (4 KiB): its first line is enough.
const MAX_ANSWER: usize = 4 << 10;

/// Where notices are posted. The URL is a secret: who knows it may post there.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    is_encrypted: bool,
    host: String,
    port: u16,
    /// Path and query.
    path: String,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Reads a URL.
    ///
    /// # Errors
    /// What is wrong, without a part of the URL.
    pub fn parse(url: &str) -> Result<Webhook, &'static str> {
        const EXPECTED: &str = "invalid URL: expected https://HOST/PATH or http://HOST:PORT/PATH";
        if !url.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("invalid URL: expected printable ASCII, other characters percent-encoded");
        }
        let (is_encrypted, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://"))
        {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            (None, None) => return Err(EXPECTED),
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if authority.contains('@') {
            return Err("invalid URL: a name and password in it are not supported");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| EXPECTED)?,
            None => {
                if is_encrypted {
                    443
                } else {
                    80
                }
            }
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || ServerName::try_from(host).is_err() {
            return Err(EXPECTED);
        }
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        Ok(Webhook { is_encrypted, host: host.to_owned(), port, path: format!("{slash}{path}") })
    }

    /// Posts a JSON object. This waits for up to 10 s for each address of the host, and 30 s for the answer.
    ///
    /// # Errors
    /// The server cannot be reached, its certificate is not trusted, or it answers with another status than
    /// one of 200 to 299.
    pub fn post(&self, json: &str) -> io::Result<()> {
        let end = Instant::now() + 3 * TIMEOUT;
        let stream = self.connect()?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let answer = match self.is_encrypted {
            true => self.exchange(self.encrypt(stream)?, json, end),
            false => self.exchange(stream, json, end),
        }?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
        match status {
            Some(200..=299) => Ok(()),
            Some(status) => Err(io::Error::other(format!("the server answers {status}"))),
            None => Err(io::Error::other("the server does not answer with HTTP")),
        }
    }

    fn connect(&self) -> io::Result<TcpStream> {
        let mut failed = io::Error::other("the host has no address");
        for address in (self.host.as_str(), self.port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, TIMEOUT) {
                Ok(stream) => return Ok(stream),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    fn encrypt(&self, stream: TcpStream) -> io::Result<impl Read + Write> {
        let mut roots = RootCertStore::empty();
        // Certificates that cannot be read sign nothing; the others may be enough.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
        let session = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        Ok(StreamOwned::new(session, stream))
    }

    /// Sends the request and returns the beginning of the answer.
    fn exchange(
        &self,
        mut stream: impl Read + Write,
        json: &str,
        end: Instant,
    ) -> io::Result<String> {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {host}:{}\r\nUser-Agent: log-ingestd/{}\r\nContent-Type: \
             application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
            self.path,
            self.port,
            env!("CARGO_PKG_VERSION"),
            json.len()
        );
        stream.write_all(request.as_bytes())?;
        stream.flush()?;
        let mut answer = Vec::new();
        let mut bytes = [0; 512];
        while answer.len() < MAX_ANSWER && !answer.contains(&b'\n') {
            if Instant::now() > end {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match stream.read(&mut bytes)? {
                0 => break,
                read => answer.extend_from_slice(&bytes[..read]),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_has_a_host_and_perhaps_a_port_and_a_path() {
        for (url, is_encrypted, host, port, path) in [
            ("https://hooks.example/T0/B0?x=1#y", true, "hooks.example", 443, "/T0/B0?x=1"),
            ("http://127.0.0.1:8080", false, "127.0.0.1", 8080, "/"),
            ("http://[::1]:81?a", false, "::1", 81, "/?a"),
            ("https://[::1]/", true, "::1", 443, "/"),
        ] {
            let expected =
                Webhook { is_encrypted, host: host.to_owned(), port, path: path.to_owned() };
            assert_eq!(Webhook::parse(url), Ok(expected), "{url}");
        }
        for url in [
            "",
            "x",
            "ftp://a/",
            "http://",
            "http:///p",
            "http://a:x/",
            "http://a:99999/",
            "http://a b/",
            "http://a/\r\nX: y",
            "http://jo:secret@a/",
            "http://ä/",
            "http://[::1",
        ] {
            let error = Webhook::parse(url).unwrap_err();
            assert!(error.starts_with("invalid URL") && !error.contains("secret"), "{url}");
        }
        assert!(!format!("{:?}", Webhook::parse("https://a/T0K3N")).contains("T0K3N"));
    }
}
