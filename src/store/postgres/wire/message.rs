//! Messages of PostgreSQL's protocol 3.0:
//! <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::io::IoSlice;

use sqlx::error::{DatabaseError, ErrorKind};

use super::Row;
use crate::model::Tuples;

/// Signature, no flags, no extension: <https://www.postgresql.org/docs/current/sql-copy.html>.
const COPY_HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// The count of fields that no row has.
const COPY_TRAILER: &[u8] = &[0xff, 0xff];
/// Bytes of rows in one message.
const COPY_CHUNK: usize = 1024 * 1024; // 1 MiB

const PROTOCOL_3_0: i32 = 196_608;

/// The longest message that is taken from a server that has let this user in: a few values, or an error. The
/// longest text of this program that a server may repeat in an error is that of a batch, which is far shorter.
pub(super) const LONGEST: usize = 64 << 20; // 64 MiB

/// The longest message that is taken before. Until then, the server may be any program that listens at this
/// address: what it announces must not make this one take memory. PostgreSQL sends some hundred bytes there, and
/// its own clients take 30,000 at most.
pub(super) const LONGEST_BEFORE_LOGIN: usize = 64 << 10; // 64 KiB

/// An error that the server reports.
#[derive(Debug, Default, thiserror::Error)]
#[error("{message}")]
pub(in crate::store::postgres) struct Answer {
    code: String,
    message: String,
    detail: Option<String>,
    constraint: Option<String>,
}

impl Answer {
    pub(in crate::store::postgres) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    fn read(mut fields: &[u8]) -> Result<Answer, sqlx::Error> {
        let mut answer = Answer::default();
        while let Some((&kind, rest)) = fields.split_first().filter(|(kind, _)| **kind != 0) {
            let value = text(rest)?;
            fields = &rest[value.len() + 1..];
            match kind {
                b'C' => answer.code = value,
                b'M' => answer.message = value,
                b'D' => answer.detail = Some(value),
                b'n' => answer.constraint = Some(value),
                _ => {}
            }
        }
        Ok(answer)
    }
}

impl DatabaseError for Answer {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.code))
    }

    fn constraint(&self) -> Option<&str> {
        self.constraint.as_deref()
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other // the store goes by the code
    }

    fn as_error(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn StdError + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn StdError + Send + Sync + 'static> {
        self
    }
}

/// What the server wants for its trust.
#[derive(Debug)]
pub(super) enum Authentication {
    Ok,
    CleartextPassword,
    /// With this salt.
    Md5Password(Vec<u8>),
    /// By one of these mechanisms.
    Sasl(Vec<String>),
    SaslContinue(String),
    SaslFinal(String),
    Other(i32),
}

/// A message of the server.
#[derive(Debug)]
pub(super) enum Message {
    Authentication(Authentication),
    /// A row of an answer.
    Row(Row),
    /// A statement has ended; its tag.
    Complete(String),
    Error(Answer),
    /// All of a message of statements has ended.
    Ready {
        in_transaction: bool,
    },
    /// A message to which nothing is done: notices, parameters, descriptions of rows, permission to copy.
    Ignored,
}

impl Message {
    /// Reads one message of at most `longest` bytes, and returns it with its length; `None` if it is not complete.
    pub(super) fn read(
        bytes: &[u8],
        longest: usize,
    ) -> Result<Option<(Message, usize)>, sqlx::Error> {
        let Some(([kind, length @ ..], rest)) = bytes.split_first_chunk::<5>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if !(4..=longest).contains(&length) {
            return Err(broken(&format!(
                "a message of {length} bytes, expected 4 to {longest}: is it PostgreSQL?"
            )));
        }
        let Some(body) = rest.get(..length - 4) else { return Ok(None) };
        let message = match kind {
            b'R' => Message::Authentication(Authentication::read(body)?),
            b'D' => Message::Row(row(body)?),
            b'C' => Message::Complete(text(body)?),
            b'E' => Message::Error(Answer::read(body)?),
            b'Z' => Message::Ready { in_transaction: body != b"I" },
            b'K' | b'S' | b'N' | b'A' | b'T' | b'G' | b'I' => Message::Ignored,
            other => return Err(broken(&format!("an unknown message '{}'", other.escape_ascii()))),
        };
        Ok(Some((message, length + 1)))
    }
}

impl Authentication {
    fn read(body: &[u8]) -> Result<Authentication, sqlx::Error> {
        let (number, rest) = int4(body)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(match number {
            0 => Authentication::Ok,
            3 => Authentication::CleartextPassword,
            5 => Authentication::Md5Password(rest.to_vec()),
            10 => Authentication::Sasl(
                rest.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(text).collect(),
            ),
            11 => Authentication::SaslContinue(text(rest)),
            12 => Authentication::SaslFinal(text(rest)),
            other => Authentication::Other(other),
        })
    }
}

fn broken(what: &str) -> sqlx::Error {
    sqlx::Error::Protocol(format!("the server sent {what}"))
}

fn int4(bytes: &[u8]) -> Result<(i32, &[u8]), sqlx::Error> {
    let (number, rest) = bytes.split_first_chunk().ok_or_else(|| broken("half a number"))?;
    Ok((i32::from_be_bytes(*number), rest))
}

/// Reads a text that ends with a NUL.
fn text(bytes: &[u8]) -> Result<String, sqlx::Error> {
    let end = bytes.iter().position(|byte| *byte == 0);
    let end = end.ok_or_else(|| broken("a text without an end"))?;
    // A message of the time before the encoding is known may be in any; its bytes must not be counted
    // by the length of the text then.
    match std::str::from_utf8(&bytes[..end]) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Ok(bytes[..end]
            .iter()
            .map(|&byte| if byte < 0x80 { byte as char } else { '?' })
            .collect()),
    }
}

fn row(body: &[u8]) -> Result<Row, sqlx::Error> {
    let (count, mut rest) = body.split_first_chunk().ok_or_else(|| broken("half a row"))?;
    (0..i16::from_be_bytes(*count))
        .map(|_| {
            let (length, after) = int4(rest)?;
            rest = after;
            let Ok(length) = usize::try_from(length) else { return Ok(None) };
            let value = rest.split_at_checked(length);
            let (value, after) = value.ok_or_else(|| broken("half a value"))?;
            rest = after;
            Ok(Some(String::from_utf8_lossy(value).into_owned()))
        })
        .collect()
}

/// Messages of the client that are written together. Rows are not copied.
#[derive(Debug, Default)]
pub(super) struct Outgoing<'a> {
    pieces: Vec<Cow<'a, [u8]>>,
}

impl<'a> Outgoing<'a> {
    /// The first message of a connection.
    pub(super) fn startup(parameters: &[(&str, &str)]) -> Self {
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        for (name, value) in parameters {
            terminated(&mut body, name);
            terminated(&mut body, value);
        }
        body.push(0);
        let mut message = length(body.len()).to_vec();
        message.extend(body);
        Outgoing { pieces: vec![message.into()] }
    }

    pub(super) fn password(password: &str) -> Self {
        let mut body = Vec::new();
        terminated(&mut body, password);
        Self::of(b'p', &body)
    }

    pub(super) fn sasl_begin(mechanism: &str, first: &str) -> Self {
        let mut body = Vec::new();
        terminated(&mut body, mechanism);
        body.extend((first.len() as u32).to_be_bytes());
        body.extend(first.as_bytes());
        Self::of(b'p', &body)
    }

    pub(super) fn sasl_response(response: &str) -> Self {
        Self::of(b'p', response.as_bytes())
    }

    /// Statements of the simple protocol.
    pub(super) fn query(sql: &str) -> Self {
        let mut body = Vec::with_capacity(sql.len() + 1);
        terminated(&mut body, sql);
        Self::of(b'Q', &body)
    }

    /// Adds rows for a COPY, and their end.
    ///
    /// Binary COPY: of a million rows of Gunicorn's default format it took the server 1.4 s of CPU, the
    /// text format 2.0 s and CSV 2.3 s.
    pub(super) fn copy(&mut self, rows: &'a Tuples) {
        if rows.count() == 0 {
            return;
        }
        let mut before = COPY_HEADER;
        for chunk in rows.bytes().chunks(COPY_CHUNK) {
            let mut head = vec![b'd'];
            head.extend(length(before.len() + chunk.len()));
            head.extend(std::mem::take(&mut before));
            self.pieces.push(head.into());
            self.pieces.push(chunk.into());
        }
        let mut end = vec![b'd'];
        end.extend(length(COPY_TRAILER.len()));
        end.extend(COPY_TRAILER);
        end.push(b'c');
        end.extend(length(0));
        self.pieces.push(end.into());
    }

    pub(super) fn pieces(&self) -> impl Iterator<Item = IoSlice<'_>> {
        self.pieces.iter().map(|piece| IoSlice::new(piece))
    }

    fn of(kind: u8, body: &[u8]) -> Self {
        let mut message = Vec::with_capacity(body.len() + 5);
        message.push(kind);
        message.extend(length(body.len()));
        message.extend(body);
        Outgoing { pieces: vec![message.into()] }
    }
}

/// The length of a message counts itself.
fn length(body: usize) -> [u8; 4] {
    (body as u32 + 4).to_be_bytes()
}

fn terminated(body: &mut Vec<u8>, text: &str) {
    // A NUL would end the text early; settings and statements have none.
    body.extend(text.bytes().filter(|byte| *byte != 0));
    body.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        Outgoing::of(kind, body).pieces.concat()
    }

    #[test]
    fn a_message_is_read_when_all_of_it_is_there() {
        let body = b"SERROR\0CLI001\0MConflict\0D3,7\0\0";
        let bytes = message(b'E', body);
        for end in 0..bytes.len() {
            assert!(Message::read(&bytes[..end], LONGEST).unwrap().is_none());
        }
        let (read, length) =
            Message::read(&[&bytes[..], b"more"].concat(), LONGEST).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        let Message::Error(answer) = read else { panic!("{read:?}") };
        assert_eq!((answer.code.as_str(), answer.detail()), ("LI001", Some("3,7")));
    }

    #[test]
    fn broken_messages_are_errors() {
        for bytes in [
            message(b'E', b"Mno end"),
            message(b'D', &[0, 1, 0, 0, 0, 9, 1]),
            message(b'R', &[0, 0]),
            message(b'?', b""),
            vec![b'Z', 0, 0, 0, 3],
            vec![b'Z', 0xff, 0, 0, 3],
        ] {
            assert!(Message::read(&bytes, LONGEST).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_when_it_is_announced() {
        for (longest, announced) in [
            (LONGEST_BEFORE_LOGIN, LONGEST_BEFORE_LOGIN + 1),
            (LONGEST_BEFORE_LOGIN, u32::MAX as usize),
            (LONGEST, LONGEST + 1),
        ] {
            let head = |length: usize| [&b"R"[..], &(length as u32).to_be_bytes()].concat();
            assert!(Message::read(&head(longest), longest).unwrap().is_none());
            let error = Message::read(&head(announced), longest).unwrap_err().to_string();
            assert!(error.contains(&format!("a message of {announced} bytes")), "{error}");
        }
    }

    #[test]
    fn values_of_a_row_may_be_null() {
        let bytes = message(b'D', &[0, 2, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, b'7']);
        let (read, _) = Message::read(&bytes, LONGEST).unwrap().unwrap();
        assert!(matches!(read, Message::Row(row) if row == [None, Some("7".to_owned())]));
    }

    #[test]
    fn rows_of_any_size_are_copied_in_chunks_and_end_once() {
        for size in [1, COPY_CHUNK, COPY_CHUNK + 1] {
            let mut rows = Tuples::default();
            rows.begin(1);
            rows.raw(&vec![7; size]);
            let mut all = Outgoing::default();
            all.copy(&rows);
            let bytes = all.pieces.concat();
            let (mut rest, mut data, mut ends) = (&bytes[..], Vec::<u8>::new(), 0);
            while let Some(([kind, length @ ..], after)) = rest.split_first_chunk::<5>() {
                let body;
                (body, rest) = after.split_at(u32::from_be_bytes(*length) as usize - 4);
                match kind {
                    b'd' => data.extend(body),
                    b'c' => ends += 1,
                    other => panic!("{other}"),
                }
            }
            assert_eq!(data, [COPY_HEADER, rows.bytes(), COPY_TRAILER].concat());
            assert_eq!(ends, 1);
        }
    }
}
