//! The connection that commits: PostgreSQL's protocol, as far as a commit needs it.
//!
//! # Why not the driver
//!
//! A commit is BEGIN, a guarded UPDATE, up to three COPYs, some INSERTs and COMMIT. The driver, sqlx, waits
//! for the answer to each: seven round trips. It also leaves Nagle's algorithm on and sends the end of a
//! COPY in three small packets, so that the last one waits 40 ms for a delayed acknowledgement. Here all
//! statements are one message of the simple protocol, and the rows follow it without waiting for
//! permission: one round trip. The protocol allows this. If a statement before the COPY fails, the server
//! drops the rest of the message and all COPY data up to the next message.
//!
//! tokio-postgres could send the statements without waiting for each other (two round trips at best,
//! since a COPY has to be prepared), but it would be a second driver with its own TLS, and twenty
//! crates to build; its COPY cannot stand in a longer message either. The layer here uses crates that the
//! driver needs anyway. The driver runs everything else: queries with parameters, migrations, readers.
//!
//! # What the session is for
//!
//! The session that commits also holds the writer's lock (`writer.rs`). When the lock is free, the session
//! has ended, and so has its last transaction: only then can an offset be read back that no older COMMIT
//! can change any more.
//!
//! # After an error
//!
//! An error of a statement leaves the session in a transaction that has failed: it is rolled back before the
//! error is returned. A connection on which a call ended early, by an error of the network or because its
//! future was dropped, is of no more use, and says so.

mod authentication;
mod message;
mod transport;

use std::fmt;
use std::io::{self, IoSlice};
use std::time::{Duration, Instant};

use sqlx::postgres::PgConnectOptions;

use crate::model::Tuples;
use crate::store::tls::Tls;
use authentication::{MECHANISM, Scram, md5_answer, password};
pub(super) use message::Answer;
use message::{Authentication, LONGEST, LONGEST_BEFORE_LOGIN, Message, Outgoing};
use transport::Transport;

/// Bytes that are read at once.
const READ: usize = 16 << 10;

/// A row of an answer, as text.
pub(super) type Row = Vec<Option<String>>;

/// What a message of statements was answered with.
#[derive(Debug, Default)]
struct Answered {
    rows: Vec<Row>,
    /// Whether the last end of a transaction was COMMIT.
    committed: bool,
}

/// One session.
pub(super) struct Wire {
    transport: Transport,
    /// Bytes that were read, from `taken` on.
    inbox: Vec<u8>,
    taken: usize,
    /// Messages of statements that are not answered to their end.
    unanswered: u32,
    /// Whether a call is under way, or ended early.
    busy: bool,
    /// Whether the session is outside of a transaction.
    idle: bool,
    /// The longest message that is taken from this server so far, in bytes.
    longest: usize,
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("unanswered", &self.unanswered).finish_non_exhaustive()
    }
}

impl Wire {
    /// Makes a session, as far as the server lets this user in. Returns it, and how long its first answer took.
    pub(super) async fn connect(
        options: &PgConnectOptions,
        tls: &Tls,
    ) -> Result<(Wire, Duration), sqlx::Error> {
        let transport = Transport::connect(options, tls).await?;
        let (inbox, taken) = (Vec::new(), 0);
        let mut this = Wire {
            transport,
            inbox,
            taken,
            unanswered: 0,
            busy: false,
            idle: false,
            longest: LONGEST_BEFORE_LOGIN,
        };
        let user = options.get_username();
        let mut parameters = vec![
            ("user", user),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO, MDY"),
            ("TimeZone", "UTC"),
        ];
        parameters.extend(options.get_database().map(|database| ("database", database)));
        parameters.extend(options.get_application_name().map(|name| ("application_name", name)));
        parameters.extend(options.get_options().map(|options| ("options", options)));
        let asked = Instant::now();
        this.write(&Outgoing::startup(&parameters)).await?;
        this.fill().await?;
        let took = asked.elapsed();
        this.authenticate(user, options).await?;
        Ok((this, took))
    }

    async fn authenticate(
        &mut self,
        user: &str,
        options: &PgConnectOptions,
    ) -> Result<(), sqlx::Error> {
        let mut scram = None;
        loop {
            let answer = match self.receive().await? {
                Message::Authentication(Authentication::Ok) => continue,
                Message::Authentication(Authentication::CleartextPassword) => password(options),
                Message::Authentication(Authentication::Md5Password(salt)) => {
                    md5_answer(user, &password(options), &salt)
                }
                Message::Authentication(Authentication::Sasl(mechanisms)) => {
                    if !mechanisms.iter().any(|it| it == MECHANISM) {
                        return Err(unsupported(&mechanisms.join(", ")));
                    }
                    let begun = scram.insert(Scram::new(&password(options))?);
                    let first = begun.first_message();
                    self.write(&Outgoing::sasl_begin(MECHANISM, &first)).await?;
                    continue;
                }
                Message::Authentication(Authentication::SaslContinue(text)) => {
                    let begun = scram.as_mut().ok_or_else(|| unexpected("SASL"))?;
                    let second = begun.second_message(&text).await?;
                    self.write(&Outgoing::sasl_response(&second)).await?;
                    continue;
                }
                Message::Authentication(Authentication::SaslFinal(text)) => {
                    let begun = scram.as_ref().ok_or_else(|| unexpected("SASL"))?;
                    begun.check(&text)?;
                    continue;
                }
                Message::Authentication(Authentication::Other(number)) => {
                    return Err(unsupported(&format!("number {number}")));
                }
                Message::Ready { in_transaction } => {
                    self.idle = !in_transaction;
                    self.longest = LONGEST;
                    return Ok(());
                }
                Message::Error(answer) => return Err(answer.into()),
                Message::Ignored => continue,
                other => return Err(unexpected(&format!("{other:?}"))),
            };
            self.write(&Outgoing::password(&answer)).await?;
        }
    }

    /// Runs statements, and returns their rows.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Vec<Row>, sqlx::Error> {
        self.send(sql, &[]).await?;
        Ok(self.answered().await?.rows)
    }

    /// Runs statements of which one is COMMIT, and hands the rows to their COPYs, in this order. Never put it
    /// inside `select!` or a timeout.
    ///
    /// # Errors
    /// The first error of a statement up to COMMIT; nothing is stored then. Or of a later one or the connection:
    /// then it is unknown.
    pub(super) async fn commit(&mut self, sql: &str, rows: &[&Tuples]) -> Result<(), sqlx::Error> {
        self.send(sql, rows).await?;
        match self.answered().await? {
            Answered { committed: true, .. } if self.idle => Ok(()),
            _ => Err(unexpected("no COMMIT")),
        }
    }

    /// Sends statements and the rows for their COPYs without waiting for an answer.
    async fn send(&mut self, sql: &str, rows: &[&Tuples]) -> Result<(), sqlx::Error> {
        if self.busy {
            return Err(io::Error::other("an earlier call on this connection ended early").into());
        }
        self.busy = true;
        self.unanswered += 1;
        let mut message = Outgoing::query(sql);
        rows.iter().for_each(|rows| message.copy(rows));
        self.write(&message).await?;
        self.busy = false;
        Ok(())
    }

    /// Reads the answers to all that was sent. Returns the first error, after a transaction that it has
    /// left open was rolled back.
    async fn answered(&mut self) -> Result<Answered, sqlx::Error> {
        self.busy = true;
        let mut refused = None;
        let answered = self.until_ready(&mut refused).await?;
        if let Some(answer) = refused {
            if !self.idle {
                self.unanswered += 1;
                self.write(&Outgoing::query("ROLLBACK")).await?;
                self.until_ready(&mut None).await?;
            }
            self.busy = !self.idle;
            return Err(sqlx::Error::from(answer));
        }
        self.busy = false;
        Ok(answered)
    }

    async fn until_ready(&mut self, refused: &mut Option<Answer>) -> Result<Answered, sqlx::Error> {
        let mut answered = Answered::default();
        while self.unanswered > 0 {
            let message = match self.receive().await {
                // Why the server ended the session says more than that it did.
                Err(error) => return Err(refused.take().map_or(error, sqlx::Error::from)),
                Ok(message) => message,
            };
            match message {
                Message::Row(row) => answered.rows.push(row),
                // COMMIT in a transaction that has failed is answered with ROLLBACK, and is not an error.
                Message::Complete(tag) if tag == "COMMIT" => answered.committed = true,
                Message::Complete(tag) if tag == "ROLLBACK" => answered.committed = false,
                Message::Complete(_) => {}
                Message::Error(answer) => {
                    refused.get_or_insert(answer);
                }
                Message::Ready { in_transaction } => {
                    self.idle = !in_transaction;
                    self.unanswered -= 1;
                }
                Message::Ignored => {}
                other => return Err(unexpected(&format!("{other:?}"))),
            }
        }
        Ok(answered)
    }

    /// Writes a message. If the server has ended the session, the error is the server's last words.
    async fn write(&mut self, message: &Outgoing<'_>) -> Result<(), sqlx::Error> {
        let mut pieces: Vec<IoSlice<'_>> = message.pieces().collect();
        let Err(error) = self.transport.write_all(&mut pieces).await else { return Ok(()) };
        while let Ok(message) = self.receive().await {
            if let Message::Error(answer) = message {
                return Err(answer.into());
            }
        }
        Err(error.into())
    }

    async fn receive(&mut self) -> Result<Message, sqlx::Error> {
        loop {
            if let Some((message, length)) = Message::read(&self.inbox[self.taken..], self.longest)?
            {
                self.taken += length;
                return Ok(message);
            }
            self.fill().await?;
        }
    }

    /// Waits for bytes, and reads those that have come.
    async fn fill(&mut self) -> Result<(), sqlx::Error> {
        self.inbox.drain(..self.taken);
        self.taken = 0;
        let before = self.inbox.len();
        self.inbox.resize(before + READ, 0);
        let read = self.transport.read(&mut self.inbox[before..]).await;
        self.inbox.truncate(before + read.as_ref().map_or(0, |read| *read));
        match read? {
            0 => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            _ => Ok(()),
        }
    }
}

fn unexpected(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("the server sent what was not expected: {what}"))
}

fn unsupported(method: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("unsupported authentication method: {method}"))
}
