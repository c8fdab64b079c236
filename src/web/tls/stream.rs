//! An encrypted connection of the page.
//!
//! Its handshake is part of reading: it has the limits of a connection that has sent no request yet, and no
//! task of its own. What a client may send without getting an answer is limited in bytes, of which each is
//! counted, whether it belongs to a handshake or to a request.

use std::io::{self, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::web::transport::{end, poll_receive, poll_send};

/// Most bytes that wait to be sent (32 KiB): what comes after them waits in its answer.
const MAX_UNSENT: usize = 32 << 10;

/// Most bytes of a request without TLS that are read, to be dropped (64 KiB).
const MAX_DROPPED: usize = 64 << 10;

/// Most encrypted bytes since something was sent last (192 KiB): a request of the largest size in records of
/// one hundred bytes, and the certificates of a handshake, are less.
const MAX_RECEIVED: usize = 192 << 10;

/// The answer to a request without TLS.
const WITHOUT_TLS: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 64\r\nConnection: close\r\nCache-Control: no-store\r\n\r\n\
    this page is encrypted: its address begins with https, not http\n";

/// How a connection ended before its first request.
#[derive(Debug)]
pub(in crate::web) enum Broken {
    /// The client spoke HTTP without TLS.
    WithoutTls,
    /// The client spoke neither, or refused the certificate.
    Handshake(io::Error),
}

/// One connection with TLS.
#[derive(Debug)]
pub(in crate::web) struct TlsStream {
    socket: Arc<TcpStream>,
    session: ServerConnection,
    /// Encrypted bytes received since bytes of an answer were sent last.
    received: usize,
    /// Whether bytes were sent since this was asked last.
    has_sent: bool,
    /// Whether the end was announced to the client.
    is_closing: bool,
    /// Whether the client has spoken without TLS, and got the answer to that.
    is_refused: bool,
    /// Whether the client has sent anything.
    has_begun: bool,
    broken: Option<Broken>,
}

impl TlsStream {
    /// Begins a connection.
    ///
    /// # Errors
    /// The configuration cannot be used, which `Tls::read` has checked.
    pub(super) fn new(socket: Arc<TcpStream>, config: Arc<ServerConfig>) -> io::Result<TlsStream> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        session.set_buffer_limit(Some(MAX_UNSENT));
        Ok(TlsStream {
            socket,
            session,
            received: 0,
            has_sent: false,
            is_closing: false,
            is_refused: false,
            has_begun: false,
            broken: None,
        })
    }

    /// Returns how the handshake failed, once.
    pub(in crate::web) fn take_broken(&mut self) -> Option<Broken> {
        self.broken.take()
    }

    /// Returns whether bytes were sent since the last call: a slow client takes a record in several parts.
    pub(in crate::web) fn take_sent(&mut self) -> bool {
        std::mem::take(&mut self.has_sent)
    }

    /// Sends what is encrypted already.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            let mut socket = Polled { socket: &self.socket, context };
            match self.session.write_tls(&mut socket) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => self.has_sent = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Receives encrypted bytes. Returns `false` at the end of the connection.
    fn poll_receive(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.has_begun && ready!(self.poll_speaks_http(context))? {
            self.broken = Some(Broken::WithoutTls);
            self.refuse_http();
        }
        if self.is_refused {
            return Poll::Ready(Ok(false)); // each time, as at the end of any connection
        }
        let mut socket = Polled { socket: &self.socket, context };
        let read = match self.session.read_tls(&mut socket) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
            read => read?,
        };
        self.received += read;
        if self.received > MAX_RECEIVED {
            return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
        }
        if let Err(error) = self.session.process_new_packets() {
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            // The alert tells the client why. Its loss changes nothing.
            let _ = self.poll_send(context);
            return Poll::Ready(Err(self.fail(error)));
        }
        Poll::Ready(Ok(read > 0))
    }

    /// Returns whether the first byte is that of a request without TLS: a letter.
    fn poll_speaks_http(&mut self, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut first = [0];
        let mut buffer = ReadBuf::new(&mut first);
        ready!(self.socket.poll_peek(context, &mut buffer))?;
        self.has_begun = true;
        Poll::Ready(Ok(buffer.filled().first().is_some_and(u8::is_ascii_alphabetic)))
    }

    /// Answers a request without TLS.
    fn refuse_http(&mut self) {
        self.is_refused = true;
        // Bytes that are not read make the system drop the answer at the end.
        let mut bytes = [0; 4 << 10];
        for _ in 0..MAX_DROPPED / bytes.len() {
            if !self.socket.try_read(&mut bytes).is_ok_and(|read| read > 0) {
                break;
            }
        }
        // So short an answer fits into the socket's buffer, or the client is not there any more.
        let _ = self.socket.try_write(WITHOUT_TLS);
    }

    /// Remembers an error of the handshake.
    fn fail(&mut self, error: io::Error) -> io::Error {
        if self.session.is_handshaking() {
            let kind = error.kind();
            self.broken = Some(Broken::Handshake(error));
            return kind.into();
        }
        error
    }
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            match this.session.reader().read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A client that leaves without a word of TLS has left as well.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(()));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            // Parts of the handshake, and alerts. What cannot be sent yet need not keep from reading.
            if let Poll::Ready(Err(error)) = this.poll_send(context) {
                return Poll::Ready(Err(error));
            }
            if !ready!(this.poll_receive(context))? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // One buffer of encrypted bytes at a time: taken means that what was taken before is sent.
        ready!(self.poll_send(context))?;
        let taken = self.session.writer().write(bytes)?;
        self.received = 0;
        let _ = self.poll_send(context)?;
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_closing && !self.is_refused {
            self.session.send_close_notify();
        }
        self.is_closing = true;
        ready!(self.poll_send(context))?;
        Poll::Ready(end(&self.socket))
    }
}

/// The socket for a library that reads and writes without waiting.
struct Polled<'a, 'c> {
    socket: &'a TcpStream,
    context: &'a mut Context<'c>,
}

impl Read for Polled<'_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(bytes);
        match poll_receive(self.socket, self.context, &mut buffer) {
            Poll::Ready(Ok(())) => Ok(buffer.filled().len()),
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Polled<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match poll_send(self.socket, self.context, |socket| socket.try_write(bytes)) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn write_vectored(&mut self, slices: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match poll_send(self.socket, self.context, |socket| socket.try_write_vectored(slices)) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_without_tls_has_the_length_that_it_names() {
        let text = String::from_utf8_lossy(WITHOUT_TLS);
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
    }
}
