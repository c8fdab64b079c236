//! Accepts connections, and ends those that are idle or unknown for too long.
//!
//! With TLS the handshake is part of the time in which a connection has no accepted request.
//!
//! One rule bounds three kinds of clients: one that sends its request byte by byte, one that sends
//! nothing, and one that does not read its answer. A connection on which nothing could be sent for
//! [`IDLE_TIMEOUT`] ends. Received bytes do not extend it. A connection without any accepted request
//! ends [`UNKNOWN_LIFETIME`] after its begin, whatever is sent on it.
//!
//! A connection has one request at a time: bytes of a second one would hide that the client is gone, and
//! a search would go on for no one.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, timeout_at};
use tracing::debug;

use super::notices::{Notices, Refused};
use super::places::{Client, Place, Places};
use super::tls::{Broken, Tls};
use super::transport::Transport;

/// How long a connection may exist without any byte being sent on it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a connection may exist without an accepted request.
pub const UNKNOWN_LIFETIME: Duration = Duration::from_secs(10);

/// Most bytes of a request with its headers (64 KiB). No request of the page is longer.
const MAX_REQUEST: usize = 64 << 10;

/// Delay before the next try to accept, for example when no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The client of a connection.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) client: Arc<Client>,
    /// Whether its connection to here has TLS.
    pub(super) is_encrypted: bool,
}

impl Connected<IncomingStream<'_, PageListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, PageListener>) -> Self {
        let connection = stream.io();
        let client = Arc::clone(&connection.place.client);
        let is_encrypted = connection.stream.is_encrypted();
        Self { address: *stream.remote_addr(), client, is_encrypted }
    }
}

/// A listener that gives each connection a place.
#[derive(Debug)]
pub(super) struct PageListener {
    listener: Arc<TcpListener>,
    places: Arc<Places>,
    notices: Arc<Notices>,
    tls: Option<Arc<Tls>>,
}

impl PageListener {
    pub(super) fn new(
        listener: Arc<TcpListener>,
        notices: Arc<Notices>,
        tls: Option<Arc<Tls>>,
    ) -> Self {
        Self { listener, places: Places::new(), notices, tls }
    }

    fn connection(
        &self,
        socket: Arc<TcpStream>,
        address: SocketAddr,
        place: Place,
    ) -> io::Result<Connection> {
        // Without this option small answers are late; a failure only means that delay.
        let _ = socket.set_nodelay(true);
        let stream = Transport::new(socket, self.tls.as_deref())?;
        Ok(Connection::new(stream, place, address, Arc::clone(&self.notices)))
    }
}

impl Listener for PageListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let accepted = match self.places.close_lingering() {
                None => self.listener.accept().await,
                Some(next) => match timeout_at(next, self.listener.accept()).await {
                    Ok(accepted) => accepted,
                    Err(_) => continue,
                },
            };
            match accepted {
                Ok((stream, address)) => {
                    let socket = Arc::new(stream);
                    match self.places.take(address.ip(), Arc::downgrade(&socket)).await {
                        Some(place) => match self.connection(socket, address, place) {
                            Ok(connection) => return (connection, address),
                            Err(error) => debug!(%error, "cannot begin a connection to the page"),
                        },
                        None => self.notices.count(Refused::Connection, address),
                    }
                }
                Err(error) => {
                    debug!(%error, "cannot accept a connection to the page");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Transport,
    place: Place,
    address: SocketAddr,
    notices: Arc<Notices>,
    /// Elapses [`UNKNOWN_LIFETIME`] after the begin, or when nothing was sent for [`IDLE_TIMEOUT`].
    timeout: Pin<Box<Sleep>>,
    /// Whether `timeout` is that of a known client.
    is_known: bool,
    /// Bytes received since the last byte was sent.
    received: usize,
    head: Head,
}

/// How much of a request's head was received since the last byte was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Head {
    /// Part of a line.
    Line,
    /// A line's end.
    LineEnd,
    /// An empty line: all of it. No request here has a body.
    Whole,
}

impl Head {
    /// Returns the state after these bytes; `None` if some follow the whole head.
    fn receive(self, bytes: &[u8]) -> Option<Head> {
        bytes.iter().try_fold(self, |head, byte| match (head, byte) {
            (Head::Whole, _) => None,
            (Head::LineEnd, b'\n') => Some(Head::Whole),
            (_, b'\n') => Some(Head::LineEnd),
            (Head::LineEnd, b'\r') => Some(Head::LineEnd),
            _ => Some(Head::Line),
        })
    }
}

impl Connection {
    fn new(stream: Transport, place: Place, address: SocketAddr, notices: Arc<Notices>) -> Self {
        let timeout = Box::pin(tokio::time::sleep(UNKNOWN_LIFETIME));
        let (is_known, received, head) = (false, 0, Head::Line);
        Self { stream, place, address, notices, timeout, is_known, received, head }
    }

    /// Counts a handshake that failed.
    fn notice_broken(&mut self) {
        match self.stream.take_broken() {
            Some(Broken::WithoutTls) => self.notices.count(Refused::WithoutTls, self.address),
            Some(Broken::Handshake(error)) => {
                debug!(peer = %self.address, %error, "a TLS handshake with the page has failed");
                self.notices.count(Refused::Handshake, self.address);
            }
            None => {}
        }
    }

    /// Returns an error when the connection must end, else `Pending`.
    fn poll_end<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.place.client.is_closed(context.waker()) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        ready!(self.timeout.as_mut().poll(context));
        if !self.is_known && self.extend() {
            ready!(self.timeout.as_mut().poll(context));
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Restarts the timeout of a known client. Returns whether it is one.
    fn extend(&mut self) -> bool {
        self.is_known = self.place.client.is_known();
        if self.is_known {
            self.timeout.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
        }
        self.is_known
    }

    /// Restarts the timeout after a write, and checks it while a write is pending.
    fn after_write(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                (self.received, self.head) = (0, Head::Line);
                self.extend();
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.while_pending(context),
        }
    }

    /// Restarts the timeout if a part of what is pending was sent, and checks it.
    fn while_pending<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if self.stream.take_sent() {
            self.extend();
        }
        self.poll_end(context)
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.notice_broken();
        match read {
            Poll::Ready(Ok(())) => {
                let bytes = &buffer.filled()[before..];
                self.received += bytes.len();
                match self.head.receive(bytes).filter(|_| self.received <= MAX_REQUEST) {
                    Some(head) => {
                        self.head = head;
                        Poll::Ready(Ok(()))
                    }
                    None => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                }
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.poll_end(context),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.after_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.after_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.while_pending(context),
            flushed => flushed,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.while_pending(context),
            shut => shut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_request_is_noticed_wherever_the_bytes_are_split() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], Some(Head::Whole)),
            (b"GET / HTTP/1.1\nHost: x\n\n", Some(Head::Whole)),
            (b"GET / HTTP/1.1\r\nHost: x\r\n", Some(Head::LineEnd)),
            (b"GET / HTTP/1.1\r\nHost: x\r\n\r\nG", None),
            (b"GET / HTTP/1.1\nHost: x\r\n\nGET", None),
        ] {
            for split in 0..=bytes.len() {
                let (one, two) = bytes.split_at(split);
                let found = Head::Line.receive(one).and_then(|head| head.receive(two));
                assert_eq!(found, expected, "{:?}", String::from_utf8_lossy(bytes));
            }
        }
    }

    /// Bytes after the head of a request are noticed, and none before.
    #[test]
    fn a_head_ends_at_the_first_empty_line_of_any_bytes() {
        use crate::model::fuzz::each_input;

        each_input("heads of requests", 1, |rng| {
            let bytes: Vec<u8> = (0..rng.usize(..40))
                .map(|_| *rng.choice(b"\n\r\n\r GET:/\0\xff").unwrap_or(&0))
                .collect();
            let mut line_is_empty = false;
            let end = bytes.iter().position(|&byte| {
                let is_end = byte == b'\n' && line_is_empty;
                line_is_empty = byte == b'\n' || (line_is_empty && byte == b'\r');
                is_end
            });
            let found = Head::Line.receive(&bytes);
            match end {
                Some(end) if end + 1 < bytes.len() => assert_eq!(found, None, "{bytes:?}"),
                Some(_) => assert_eq!(found, Some(Head::Whole), "{bytes:?}"),
                None => {
                    assert!(matches!(found, Some(Head::Line | Head::LineEnd)), "{bytes:?}");
                }
            }
        });
    }
}
