//! Rows encoded as bytes.
//!
//! Parsed fields go straight into one growing buffer, so a batch is a few large allocations and
//! not a million small ones. The layout is the tuple of PostgreSQL's binary COPY (a count of
//! fields, then a length and the bytes of each, big-endian, −1 for NULL;
//! <https://www.postgresql.org/docs/current/sql-copy.html>): one backend of the store sends the bytes
//! as they are, the other decodes them with [`Tuples::rows`]. Both store the same values.

use std::fmt::Display;
use std::io::Write;
use std::net::IpAddr;

use super::record::Micros;

/// 2000-01-01 00:00:00 UTC, from which PostgreSQL counts, in microseconds since 1970.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// Rows of one table, encoded.
#[derive(Clone, Debug, Default)]
pub struct Tuples {
    bytes: Vec<u8>,
    count: u64,
}

/// One field's bytes, `None` for NULL. Times count microseconds from 2000-01-01, json begins with
/// the version byte 1, addresses are `family, bits, is_cidr, length, bytes…`.
pub type Field<'a> = Option<&'a [u8]>;

impl Tuples {
    /// Returns how many rows there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Returns the encoded rows, without COPY's header and trailer.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Removes the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// Begins a row of `fields` fields; exactly as many must follow.
    pub fn begin(&mut self, fields: i16) {
        self.bytes.extend_from_slice(&fields.to_be_bytes());
        self.count += 1;
    }

    /// Begins a row of `fields` fields, the first three of them `bigint`s, in one piece: the buffer
    /// checks its capacity once for each piece.
    #[inline]
    pub fn begin_with(&mut self, fields: i16, first: [i64; 3]) {
        let mut head = [0; 38];
        head[..2].copy_from_slice(&fields.to_be_bytes());
        for (field, value) in head[2..].chunks_exact_mut(12).zip(first) {
            field[3] = 8;
            field[4..].copy_from_slice(&value.to_be_bytes());
        }
        self.bytes.extend_from_slice(&head);
        self.count += 1;
    }

    /// Adds a NULL.
    pub fn null(&mut self) {
        self.nulls::<1>();
    }

    /// Adds `N` NULLs, at most 8.
    #[inline]
    pub fn nulls<const N: usize>(&mut self) {
        // −1 is all ones. A copy of known length is one or two instructions, and one check of
        // the capacity.
        self.bytes.extend_from_slice(&[u8::MAX; 32][..4 * N]);
    }

    /// Adds a `bigint`.
    pub fn int8(&mut self, value: i64) {
        let mut field = [0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0];
        field[4..].copy_from_slice(&value.to_be_bytes());
        self.bytes.extend_from_slice(&field);
    }

    /// Adds an `integer`.
    pub fn int4(&mut self, value: i32) {
        let mut field = [0, 0, 0, 4, 0, 0, 0, 0];
        field[4..].copy_from_slice(&value.to_be_bytes());
        self.bytes.extend_from_slice(&field);
    }

    /// Adds a `double precision`.
    pub fn float8(&mut self, value: f64) {
        self.int8(i64::from_be_bytes(value.to_be_bytes()));
    }

    /// Adds a `timestamptz`.
    pub fn time(&mut self, value: Micros) {
        self.int8(Self::from_micros(value));
    }

    /// Adds a `text`; it must not hold NUL, which PostgreSQL's text cannot.
    #[inline]
    pub fn text(&mut self, value: &str) {
        self.raw(value.as_bytes());
    }

    /// Adds a `bytea`.
    #[inline]
    pub fn raw(&mut self, value: &[u8]) {
        let length = i32::try_from(value.len()).unwrap_or(i32::MAX); // fields are at most one line
        self.bytes.extend_from_slice(&length.to_be_bytes());
        match *value {
            // `GET` and `HTTP/1.1`: a copy of known length is an instruction, any other a call.
            [a, b, c] => self.bytes.extend_from_slice(&[a, b, c]),
            [a, b, c, d, e, f, g, h] => self.bytes.extend_from_slice(&[a, b, c, d, e, f, g, h]),
            _ => self.bytes.extend_from_slice(value),
        }
    }

    /// Adds a value's words as a `text`, without a copy; they must not hold NUL.
    pub fn display(&mut self, value: &impl Display) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0; 4]);
        // Writing to a Vec cannot fail.
        let _ = write!(self.bytes, "{value}");
        self.end(at);
    }

    /// Adds an `inet`.
    pub fn inet(&mut self, value: IpAddr) {
        match value {
            IpAddr::V4(v4) => {
                let mut field = [0, 0, 0, 8, 2, 32, 0, 4, 0, 0, 0, 0];
                field[8..].copy_from_slice(&v4.octets());
                self.bytes.extend_from_slice(&field);
            }
            IpAddr::V6(v6) => {
                let mut field = [0; 20];
                field[..4].copy_from_slice(&[3, 128, 0, 16]);
                field[4..].copy_from_slice(&v6.octets());
                self.raw(&field);
            }
        }
    }

    /// Adds a `jsonb`: `write` appends the JSON text.
    pub fn json(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let at = self.bytes.len();
        self.bytes.extend_from_slice(&[0, 0, 0, 0, 1]);
        write(&mut self.bytes);
        self.end(at);
    }

    /// Writes the length of the field whose length stands at `at` and whose bytes end here.
    fn end(&mut self, at: usize) {
        let length = i32::try_from(self.bytes.len() - at - 4).unwrap_or(i32::MAX);
        self.bytes[at..at + 4].copy_from_slice(&length.to_be_bytes());
    }

    /// Returns the rows one by one, each with its fields.
    pub fn rows(&self) -> impl Iterator<Item = Vec<Field<'_>>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let fields = i16::from_be_bytes(*take::<2>(&mut rest)?);
            (0..fields).map(|_| field(&mut rest)).collect()
        })
    }

    /// Returns the `bigint` as which a `timestamptz` is stored.
    pub fn from_micros(value: Micros) -> i64 {
        value.saturating_sub(POSTGRES_EPOCH_US)
    }

    /// Returns the address that a field of an `inet` holds.
    pub fn address(field: &[u8]) -> Option<IpAddr> {
        let bytes = field.get(4..)?;
        let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
        v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
    }

    /// Returns the time of a field, in microseconds since 1970.
    pub fn micros(field: &[u8]) -> Option<Micros> {
        Some(i64::from_be_bytes(field.try_into().ok()?).saturating_add(POSTGRES_EPOCH_US))
    }
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Option<&'a [u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(head)
}

fn field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let length = i32::from_be_bytes(*take::<4>(rest)?);
    let Ok(length) = usize::try_from(length) else { return Some(None) };
    let (value, tail) = rest.split_at_checked(length)?;
    *rest = tail;
    Some(Some(value))
}
