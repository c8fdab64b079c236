//! Accepts a limited number of connections and ends idle ones.
//!
//! One rule bounds three kinds of clients: one that sends its request byte by byte, one that sends
//! nothing, and one that does not read its answer. A connection on which nothing could be sent for
//! [`IDLE_TIMEOUT`] ends. Received bytes do not extend it.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep};
use tracing::debug;

/// Most connections at once; more wait until one ends. Each takes a file descriptor and some memory.
pub const MAX_CONNECTIONS: usize = 64;

/// How long a connection may exist without any byte being sent on it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Most bytes of a request with its headers (64 KiB). No request of the page is longer.
const MAX_REQUEST: usize = 64 << 10;

/// Delay before the next try to accept, for example when no file descriptor is free.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// The client's address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, PageListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, PageListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A listener that accepts at most [`MAX_CONNECTIONS`] at once.
#[derive(Debug)]
pub(super) struct PageListener {
    listener: Arc<TcpListener>,
    permits: Arc<Semaphore>,
}

impl PageListener {
    pub(super) fn new(listener: Arc<TcpListener>) -> Self {
        Self { listener, permits: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }
}

impl Listener for PageListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed. If it were, the connection would only not be counted.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (Connection::new(stream, permit), address),
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
    stream: TcpStream,
    /// Elapses when nothing was sent for [`IDLE_TIMEOUT`].
    idle_timeout: Pin<Box<Sleep>>,
    /// Bytes received since the last byte was sent.
    received: usize,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(stream: TcpStream, permit: Option<OwnedSemaphorePermit>) -> Self {
        // Without this option small answers are late; a failure only means that delay.
        let _ = stream.set_nodelay(true);
        let idle_timeout = Box::pin(tokio::time::sleep(IDLE_TIMEOUT));
        Self { stream, idle_timeout, received: 0, _permit: permit }
    }

    /// Returns an error when the connection was idle for too long, else `Pending`.
    fn poll_timeout<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.idle_timeout.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Restarts the idle timeout after a write, and checks it while a write is pending.
    fn after_write(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                self.received = 0;
                self.idle_timeout.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.poll_timeout(context),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                self.received += buffer.filled().len() - before;
                match self.received > MAX_REQUEST {
                    true => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                    false => Poll::Ready(Ok(())),
                }
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.poll_timeout(context),
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
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
