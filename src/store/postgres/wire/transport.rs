//! Bytes to the server and back: TCP or a Unix socket, with or without TLS.
//!
//! The protocol above takes turns: it sends, and then waits for answers. So writing and reading need
//! not run at the same time.

use std::io::{self, IoSlice, Read, Write};
use std::path::Path;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::ClientConnection;
use sqlx::postgres::PgConnectOptions;
use tokio::net::{TcpStream, UnixStream};

use crate::store::tls::Tls;

/// How long the peer may be silent before it is asked whether it lives.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// The time between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// Questions without an answer after which the connection is lost.
const KEEPALIVE_COUNT: u32 = 3;
/// How long bytes may stay without an acknowledgement, in milliseconds. It is the time after which the
/// server, whose settings are in `SESSION`, loses an unreachable client.
const USER_TIMEOUT_MS: u32 = 60_000;

/// Most bytes that are encrypted before they are sent.
const ENCRYPTED_AT_ONCE: usize = 64 << 10;

/// The request for TLS, in place of a protocol version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Transport {
    socket: Socket,
    tls: Option<Box<ClientConnection>>,
}

/// Evaluates the same expression for either kind of socket.
macro_rules! either_socket {
    ($socket:expr, $it:ident => $expression:expr) => {
        match $socket {
            Socket::Tcp($it) => $expression,
            Socket::Unix($it) => $expression,
        }
    };
}

impl Socket {
    async fn readable(&self) -> io::Result<()> {
        either_socket!(self, it => it.readable().await)
    }

    async fn writable(&self) -> io::Result<()> {
        either_socket!(self, it => it.writable().await)
    }
}

/// The socket for a library that reads and writes without waiting.
struct WithoutWaiting<'a>(&'a Socket);

impl Read for WithoutWaiting<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        either_socket!(self.0, it => it.try_read(buffer))
    }
}

impl Write for WithoutWaiting<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        either_socket!(self.0, it => it.try_write(bytes))
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        either_socket!(self.0, it => it.try_write_vectored(pieces))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Transport {
    /// Connects, and agrees on TLS if the settings want it.
    pub(super) async fn connect(
        options: &PgConnectOptions,
        tls: &Tls,
    ) -> Result<Transport, sqlx::Error> {
        let (host, port) = (options.get_host(), options.get_port());
        let directory = options.get_socket().map(std::path::PathBuf::as_path);
        let directory = directory.or_else(|| host.starts_with('/').then(|| Path::new(host)));
        if let Some(directory) = directory {
            let path = directory.join(format!(".s.PGSQL.{port}"));
            return Ok(Transport {
                socket: Socket::Unix(UnixStream::connect(path).await?),
                tls: None,
            });
        }
        let stream = TcpStream::connect((host, port)).await?;
        // What is sent is a whole request: to wait for more before it goes would only delay it.
        stream.set_nodelay(true)?;
        notice_dead_peer(&stream)?;
        let mut transport = Transport { socket: Socket::Tcp(stream), tls: None };
        if tls.is_wanted() {
            transport.begin_tls(tls).await?;
        }
        Ok(transport)
    }

    async fn begin_tls(&mut self, tls: &Tls) -> Result<(), sqlx::Error> {
        self.write_all(&mut [IoSlice::new(&SSL_REQUEST)]).await?;
        // One byte: more would belong to the handshake.
        let mut answer = [0];
        if self.read(&mut answer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        match answer {
            [b'S'] => {}
            [b'N'] if tls.is_required() => {
                return Err(sqlx::Error::Tls("server does not support TLS".into()));
            }
            [b'N'] => return Ok(()),
            [other] => {
                let what = format!("unexpected answer to the request for TLS: {other:#04x}");
                return Err(sqlx::Error::Protocol(what));
            }
        }
        let mut session = tls.client().await?;
        while session.is_handshaking() {
            send_encrypted(&self.socket, &mut session).await?;
            if session.is_handshaking() && !receive_encrypted(&self.socket, &mut session).await? {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
        send_encrypted(&self.socket, &mut session).await?;
        self.tls = Some(Box::new(session));
        Ok(())
    }

    /// Writes all pieces, on a plain connection in as few packets as it takes.
    pub(super) async fn write_all(&mut self, pieces: &mut [IoSlice<'_>]) -> io::Result<()> {
        match &mut self.tls {
            Some(session) => {
                for piece in pieces.iter() {
                    for part in piece.chunks(ENCRYPTED_AT_ONCE) {
                        let mut rest = part;
                        while !rest.is_empty() {
                            let taken = session.writer().write(rest)?;
                            rest = &rest[taken..];
                            if !rest.is_empty() {
                                send_encrypted(&self.socket, session).await?;
                            }
                        }
                    }
                }
                send_encrypted(&self.socket, session).await
            }
            None => {
                let mut rest = pieces;
                IoSlice::advance_slices(&mut rest, 0); // leaves out empty pieces at the beginning
                while !rest.is_empty() {
                    self.socket.writable().await?;
                    match WithoutWaiting(&self.socket).write_vectored(rest) {
                        Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                        Ok(written) => IoSlice::advance_slices(&mut rest, written),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
        }
    }

    /// Reads some bytes; 0 at the end.
    pub(super) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = match &mut self.tls {
                Some(session) => match session.reader().read(buffer) {
                    // A server that ends does not take leave of TLS either.
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
                    read => read,
                },
                None => WithoutWaiting(&self.socket).read(buffer),
            };
            match (read, &mut self.tls) {
                (Err(error), tls) if error.kind() == io::ErrorKind::WouldBlock => match tls {
                    Some(session) => {
                        receive_encrypted(&self.socket, session).await?;
                        send_encrypted(&self.socket, session).await?;
                    }
                    None => self.socket.readable().await?,
                },
                (read, _) => return read,
            }
        }
    }
}

/// Sends what TLS has to send.
async fn send_encrypted(socket: &Socket, session: &mut ClientConnection) -> io::Result<()> {
    while session.wants_write() {
        socket.writable().await?;
        match session.write_tls(&mut WithoutWaiting(socket)) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Waits for bytes and decrypts them; `false` at the end.
async fn receive_encrypted(socket: &Socket, session: &mut ClientConnection) -> io::Result<bool> {
    loop {
        socket.readable().await?;
        match session.read_tls(&mut WithoutWaiting(socket)) {
            Ok(read) => {
                if let Err(error) = session.process_new_packets() {
                    // The alert tells the server why. Its loss changes nothing.
                    let _ = session.write_tls(&mut WithoutWaiting(socket));
                    return Err(io::Error::new(io::ErrorKind::InvalidData, error));
                }
                return Ok(read > 0);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// Has the system end a connection whose other end is gone without a word: a host that lost its power,
/// a cable. A Unix socket ends with its peer.
fn notice_dead_peer(stream: &TcpStream) -> io::Result<()> {
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(stream, KEEPALIVE_COUNT)?;
    Ok(sockopt::set_tcp_user_timeout(stream, USER_TIMEOUT_MS)?)
}
