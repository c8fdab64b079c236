//! Who gets in: so many connections at once, each for as long as its client takes part.
//!
//! One rule bounds a client that sends its request byte by byte, one that says nothing, and one
//! that does not read its answer: a connection on which nothing could be sent for [`IDLE_TIMEOUT`] is
//! at its end. ReadContext never prolongs it.

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

/// Connections at once; more wait until one ends. Each costs a descriptor and some memory.
pub const MAX_CONNECTIONS: usize = 64;

/// How long a connection may be without anything being sent on it.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Most bytes of a request, with its headers. Nobody has to send more to ask a question.
const LONGEST_REQUEST: usize = 64 << 10;

/// How long to wait when the system has no descriptor to give.
const NO_DESCRIPTOR: Duration = Duration::from_secs(1);

/// The address of whoever asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

impl Connected<IncomingStream<'_, PageListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, PageListener>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// A listener with room for [`MAX_CONNECTIONS`].
#[derive(Debug)]
pub(super) struct PageListener {
    listener: Arc<TcpListener>,
    room: Arc<Semaphore>,
}

impl PageListener {
    pub(super) fn new(listener: Arc<TcpListener>) -> Self {
        Self { listener, room: Arc::new(Semaphore::new(MAX_CONNECTIONS)) }
    }
}

impl Listener for PageListener {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // It is never closed; without its permit the visit would only be uncounted.
        let place = Arc::clone(&self.room).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (Connection::new(stream, place), address),
                Err(error) => {
                    debug!(%error, "a connection to the page could not be taken");
                    tokio::time::sleep(NO_DESCRIPTOR).await;
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
    over: Pin<Box<Sleep>>,
    /// Bytes received since something was sent.
    heard: usize,
    _place: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn new(stream: TcpStream, place: Option<OwnedSemaphorePermit>) -> Self {
        // Small answers are better sent at once; where that cannot be said they are a little late.
        let _ = stream.set_nodelay(true);
        Self { stream, over: Box::pin(tokio::time::sleep(IDLE_TIMEOUT)), heard: 0, _place: place }
    }

    /// Pending, or an error when the connection's time is over.
    fn or_over<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.over.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    fn sent(
        &mut self,
        context: &mut Context<'_>,
        sent: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match sent {
            Poll::Ready(Ok(bytes)) => {
                self.heard = 0;
                self.over.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.or_over(context),
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
                self.heard += buffer.filled().len() - before;
                match self.heard > LONGEST_REQUEST {
                    true => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                    false => Poll::Ready(Ok(())),
                }
            }
            Poll::Ready(error) => Poll::Ready(error),
            Poll::Pending => self.or_over(context),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.sent(context, sent)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.sent(context, sent)
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
