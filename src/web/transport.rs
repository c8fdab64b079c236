//! The bytes of a connection, with or without TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::socket::Socket;
use super::tls::{Broken, Tls, TlsStream};

/// A connection's socket.
#[derive(Debug)]
pub(super) enum Transport {
    Plain(Socket),
    Encrypted(Box<TlsStream>),
}

/// Evaluates the same expression for either kind of connection.
macro_rules! either {
    ($transport:expr, $it:ident => $expression:expr) => {
        match $transport.get_mut() {
            Transport::Plain(it) => {
                let $it = Pin::new(it);
                $expression
            }
            Transport::Encrypted(it) => {
                let $it = Pin::new(&mut **it);
                $expression
            }
        }
    };
}

impl Transport {
    /// Begins a connection. The handshake comes with the first bytes that are read.
    ///
    /// # Errors
    /// Those of the TLS library, for a configuration that it cannot use.
    pub(super) fn new(socket: Socket, tls: Option<&Tls>) -> io::Result<Transport> {
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
        either!(self, it => it.poll_read(context, buffer))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, it => it.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, it => it.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        // Pieces of one answer are one record of TLS, so they are copied together before.
        matches!(self, Transport::Plain(socket) if socket.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, it => it.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, it => it.poll_shutdown(context))
    }
}
