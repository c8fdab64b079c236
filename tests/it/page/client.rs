//! A browser as small as can be: one request, one connection.

use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType};

use crate::daemon::{Bench, Daemon, PATIENCE};

/// How long an answer may take.
const SOON: Duration = Duration::from_secs(20);

/// A daemon with a page.
pub(crate) struct Site {
    pub(crate) daemon: Daemon,
    pub(crate) address: SocketAddr,
}

/// What it answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// By lower-case name; several of one name are joined with newlines.
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub(super) fn of(text: &str) -> Answer {
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer without an end");
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let mut headers: HashMap<String, String> = HashMap::new();
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            let known = headers.entry(name.to_lowercase()).or_default();
            *known = format!("{known}\n{value}").trim().to_owned();
        }
        let body = match headers.get("transfer-encoding") {
            Some(encoding) if encoding == "chunked" => unchunked(body),
            _ => body.to_owned(),
        };
        Answer { status, headers, body }
    }
}

fn unchunked(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((length, rest)) = text.split_once("\r\n") {
        let length = usize::from_str_radix(length, 16).unwrap();
        whole.push_str(&rest[..length]);
        text = &rest[length..][2..];
    }
    whole
}

impl Site {
    /// The daemon on the log directory, with a page on a free port.
    pub(crate) async fn open(bench: &Bench, flags: &[&str]) -> Site {
        let daemon = bench.watch_with(&[&["--listen", "127.0.0.1:0"], flags].concat());
        Site::of(daemon).await
    }

    /// The page of a daemon that says where it is.
    pub(crate) async fn of(mut daemon: Daemon) -> Site {
        daemon.says("the page is at http").await;
        let said = daemon.said();
        let (_, rest) = said.split_once("the page is at http").unwrap();
        let (_, rest) = rest.split_once("://").unwrap();
        let address = rest.split('/').next().unwrap().parse().unwrap();
        Site { daemon, address }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        connect(self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// With more headers; one called Host takes the place of the right one.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.ask("GET", path, headers)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.address, method, path, headers)
    }

    /// Connects from another address of this machine, as another peer does.
    pub(crate) fn connect_from(&self, source: Ipv4Addr) -> TcpStream {
        let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrV4::new(source, 0)).unwrap();
        rustix::net::connect(&socket, &self.address).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(SOON)).unwrap();
        stream
    }

    /// Sends a request, after which the connection stays open.
    pub(crate) fn send(&self, stream: &mut TcpStream, path: &str) {
        stream.write_all(self.request(path, "").as_bytes()).unwrap();
    }

    /// Sends a request with further header lines on a connection that may have been closed.
    pub(crate) fn try_send(&self, stream: &mut TcpStream, path: &str, headers: &str) {
        let _ = stream.write_all(self.request(path, headers).as_bytes());
    }

    fn request(&self, path: &str, headers: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{headers}\r\n", self.address)
    }
}

/// Reads the status of the next answer.
pub(crate) fn status(stream: &mut TcpStream) -> u16 {
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    String::from_utf8_lossy(&first[9..]).parse().unwrap()
}

/// Reads to the end of the connection, however it ends, and returns what came.
pub(crate) fn rest(stream: &mut TcpStream) -> String {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 16 << 10]);
    let end = Instant::now() + PATIENCE;
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
            Err(error) => {
                let is_late = matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut);
                assert!(!is_late, "the connection does not end");
                break;
            }
        }
        // One that brings something again and again would never be late.
        assert!(Instant::now() < end, "the connection does not end: {} bytes", bytes.len());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

/// Asks the page at an address.
pub(crate) fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        request += &format!("Host: {address}\r\n");
    }
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    let mut stream = connect(address);
    stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    Answer::of(&answer)
}
