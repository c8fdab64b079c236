//! The bytes of a connection, with or without TLS.
//!
//! The socket is shared, so that others may ask it something; only the connection reads and writes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::tls::{Broken, Tls, TlsStream};

/// A connection's socket.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Arc<TcpStream>),
    Encrypted(Box<TlsStream>),
}

/// Receives what is there.
pub(super) fn poll_receive(
    socket: &TcpStream,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    loop {
        ready!(socket.poll_read_ready(context))?;
        match socket.try_read(buffer.initialize_unfilled()) {
            Ok(bytes) => {
                buffer.advance(bytes);
                return Poll::Ready(Ok(()));
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Sends what the other end takes.
pub(super) fn poll_send(
    socket: &TcpStream,
    context: &mut Context<'_>,
    send: impl Fn(&TcpStream) -> io::Result<usize>,
) -> Poll<io::Result<usize>> {
    loop {
        ready!(socket.poll_write_ready(context))?;
        match send(socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            sent => return Poll::Ready(sent),
        }
    }
}

/// Tells the other end that nothing more comes.
pub(super) fn end(socket: &TcpStream) -> io::Result<()> {
    match shutdown(socket, Shutdown::Write) {
        Ok(()) | Err(Errno::NOTCONN) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

impl Transport {
    /// Begins a connection. The handshake comes with the first bytes that are read.
    ///
    /// # Errors
    /// Those of the TLS library, for a configuration that it cannot use.
    pub(super) fn new(socket: Arc<TcpStream>, tls: Option<&Tls>) -> io::Result<Transport> {
        Ok(match tls {
            Some(tls) => Transport::Encrypted(Box::new(tls.begin(socket)?)),
            None => Transport::Plain(socket),
        })
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Transport::Encrypted(_))
    }

    /// Returns whether parts of a pending write were sent since the last call. Without TLS such a write is not
    /// pending.
    pub(super) fn take_sent(&mut self) -> bool {
        match self {
            Transport::Encrypted(stream) => stream.take_sent(),
            Transport::Plain(_) => false,
        }
    }

    /// Returns how the handshake failed, once.
    pub(super) fn take_broken(&mut self) -> Option<Broken> {
        match self {
            Transport::Encrypted(stream) => stream.take_broken(),
            Transport::Plain(_) => None,
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(socket) => poll_receive(socket, context, buffer),
            Transport::Encrypted(stream) => Pin::new(&mut **stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(socket) => poll_send(socket, context, |it| it.try_write(bytes)),
            Transport::Encrypted(stream) => Pin::new(&mut **stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Transport::Plain(socket) => {
                poll_send(socket, context, |it| it.try_write_vectored(slices))
            }
            Transport::Encrypted(stream) => {
                Pin::new(&mut **stream).poll_write_vectored(context, slices)
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        // Pieces of one answer are one record of TLS, so they are copied together before.
        matches!(self, Transport::Plain(_))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(_) => Poll::Ready(Ok(())), // nothing is kept here
            Transport::Encrypted(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Transport::Plain(socket) => Poll::Ready(end(socket)),
            Transport::Encrypted(stream) => Pin::new(&mut **stream).poll_shutdown(context),
        }
    }
}
