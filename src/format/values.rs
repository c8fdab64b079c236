//! Turns the matched fields of a line into the columns of a record.
//!
//! [`RecordBuilder`] decides which atom fills which column. The functions after it are grammars for
//! single values: numbers, request lines, times and addresses. Every grammar is total: a value that
//! would not fit its column is no value.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use chrono::NaiveDate;
use nom::branch::alt;
use nom::bytes::complete::{tag, take, take_while_m_n};
use nom::character::complete::char;
use nom::combinator::{map, map_opt, value};
use nom::error::{Error, ErrorKind};
use nom::sequence::{delimited, separated_pair};
use nom::{IResult, Parser};

use super::escapes::unescape_backslashes;
use super::identifiers::{Identifier, Identifies};
use super::shapes::{Shape, address_and_port, is_method, shape};
use super::template::{Atom, Escaping, Field};
use super::times;
use crate::model::{Captured, Extra, GunicornLogModel, Likeness, Micros};

/// What the texts of a line may hold in place of a `"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escapes {
    /// The line holds a backslash, and the writer escaped as it does.
    Possible(Escaping),
    /// The line has no backslash, or the writer escaped nothing.
    None,
}

/// The names under which values without the shape of their column are kept.
pub(super) const UNSHAPED: [&str; 6] =
    ["status", "remote_host", "method", "protocol", "request_line", "path_and_query"];

/// What to do with a value that has not the shape of its atom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unshaped {
    /// Refuse it: another reading of the line may have better values.
    Refuse,
    /// Keep it under its name, in no column.
    Keep,
}

/// Fills a record, and chooses between atoms that belong to the same column.
pub(super) struct RecordBuilder<'r, 'a> {
    record: &'r mut GunicornLogModel<'a>,
    escapes: Escapes,
    unshaped: Unshaped,
    path: Option<Cow<'a, str>>,
    query: Option<Cow<'a, str>>,
    /// The precision of the duration: 4 for `D`, down to 1 for `T`; 0 if there is none yet.
    exactness: u8,
    forwarded_for: Option<IpAddr>,
    real_ip: Option<IpAddr>,
    remote_addr: Option<IpAddr>,
    remote_user: Option<Cow<'a, str>>,
    /// The ranks of the request id and of the trace id; 0 if there is none yet.
    ranks: [u8; 2],
    /// Whether a value may be written in another way than usual, as far as the format is a simple one.
    is_unusual: bool,
}

impl<'r, 'a> RecordBuilder<'r, 'a> {
    pub(super) fn new(
        record: &'r mut GunicornLogModel<'a>,
        escapes: Escapes,
        unshaped: Unshaped,
    ) -> RecordBuilder<'r, 'a> {
        RecordBuilder {
            record,
            escapes,
            unshaped,
            path: None,
            query: None,
            exactness: 0,
            forwarded_for: None,
            real_ip: None,
            remote_addr: None,
            remote_user: None,
            ranks: [0; 2],
            is_unusual: unshaped == Unshaped::Keep,
        }
    }

    /// Stores the field's value in its column. Returns `false` for a value that is to be refused, and
    /// if the value begins or ends within a character: a terminator never does, but neighbours without a
    /// literal between them could.
    ///
    /// This method and what it calls are inlined into the loop of
    /// [`super::matching::match_greedily`], for the reason given there.
    #[inline(always)]
    pub(super) fn set(&mut self, field: &'a Field, line: &'a str, value: FieldMatch) -> bool {
        if !field.atom.is_text() {
            let Some(number) = value.number else {
                self.is_unusual |= value.end - value.start != 1; // `None`
                return true;
            };
            self.number(field.atom, number, line, value);
            return true;
        }
        if let (Atom::RemoteAddress, Some(address)) = (field.atom, value.number) {
            self.record.user_ip = u32::try_from(address).ok().map(ipv4);
            return true;
        }
        let Some(text) = line.get(value.start..value.end) else { return false };
        if matches!(text, "" | "-") {
            // In place of a missing address, the row has one of another field.
            self.is_unusual |= text.is_empty() || field.atom == Atom::RemoteAddress;
            return true;
        }
        self.text(field, text)
    }

    #[inline(always)]
    fn number(&mut self, atom: Atom, number: i64, line: &str, value: FieldMatch) {
        let record = &mut *self.record;
        let length = value.end - value.start;
        // A number is usually written without zeros before it.
        let begins_with_zero =
            || length > 1 && line.as_bytes().get(value.start).is_some_and(|byte| *byte == b'0');
        let exactness = match atom {
            Atom::Time => {
                record.written.zone = zone(line, value.end);
                return record.timestamp = Some(number);
            }
            Atom::Status if (100..600).contains(&number) => {
                self.is_unusual |= length != 3;
                return record.code = i32::try_from(number).ok();
            }
            Atom::Status => {
                self.is_unusual = true;
                return keep(record, "status", Cow::Owned(number.to_string()));
            }
            Atom::ResponseBytes => {
                self.is_unusual |= begins_with_zero();
                return record.response_bytes = Some(number);
            }
            Atom::Pid => {
                self.is_unusual |= !is_usual_pid(line.as_bytes(), value);
                return record.pid = i32::try_from(number).ok();
            }
            Atom::Microseconds => 4,
            Atom::DecimalSeconds | Atom::DecimalMilliseconds => {
                self.is_unusual |= !is_usual_decimal(line.as_bytes(), value);
                if 3 > self.exactness {
                    self.exactness = 3;
                    record.duration = Some(number);
                }
                return;
            }
            Atom::Milliseconds => 2,
            Atom::Seconds => 1,
            _ => return record.timestamp = record.timestamp.or(Some(number)),
        };
        self.is_unusual |= begins_with_zero();
        if exactness > self.exactness {
            self.exactness = exactness;
            record.duration = Some(number);
        }
    }

    #[inline(always)]
    fn text(&mut self, field: &'a Field, raw: &'a str) -> bool {
        if field.atom == Atom::RequestLine {
            return self.request_line(field, raw);
        }
        let escapes = self.escapes;
        match field.atom {
            Atom::User => self.record.user_id = Some(unescape(raw, escapes)),
            Atom::Referer if field.quoted => self.record.source = Some(unescape(raw, escapes)),
            Atom::Agent => self.record.agent = Some(unescape(raw, escapes)),
            _ => return self.other_text(field, raw),
        }
        true
    }

    /// Stores a value of an atom that Gunicorn's default format does not have as a text.
    fn other_text(&mut self, field: &'a Field, raw: &'a str) -> bool {
        let raw = if field.padded { raw.trim_matches(' ') } else { raw };
        if matches!(raw, "" | "-") {
            return true;
        }
        let shape =
            if field.quoted && !is_typed(field.atom) { Shape::Right } else { shape(field, raw) };
        if shape != Shape::Right && self.unshaped == Unshaped::Refuse && !field.quoted {
            return false;
        }
        let text = unescape(raw, self.escapes);
        if let Some(Identifies { what, rank }) = field.identifies
            && let Some(value) = what.value_of(&text)
        {
            self.identify(what, rank, value);
        }
        let record = &mut *self.record;
        match field.atom {
            Atom::RemoteAddress => match address(&text) {
                None if matches!(&*text, "b''") || text.starts_with("unix:") => {
                    self.is_unusual = true;
                }
                None => {
                    self.is_unusual = true;
                    keep(record, "remote_host", text);
                }
                Some(address) => {
                    self.is_unusual |= !is_written_so(address, &text);
                    record.user_ip = Some(address);
                }
            },
            Atom::AddressAndPort => match address_and_port(&text).or_else(|| address(&text)) {
                None => keep(record, "remote_host", text),
                address => record.user_ip = address,
            },
            Atom::User => record.user_id = Some(text),
            Atom::Method if shape == Shape::Wrong => keep(record, "method", text),
            Atom::Method => record.method = Some(text),
            Atom::Path if text == "None" => {} // Gunicorn lost the request's path in a crash
            Atom::Path => self.path = Some(text),
            Atom::PathAndQuery if text == "None" => {}
            Atom::PathAndQuery if text.contains(['=', '&', '?']) => {
                keep(record, "path_and_query", text);
            }
            Atom::PathAndQuery => self.path = Some(text),
            Atom::Url => record.url = Some(text),
            Atom::Query => self.query = Some(without_question_mark(text)),
            Atom::Protocol if shape == Shape::Wrong => keep(record, "protocol", text),
            Atom::Protocol => record.protocol = Some(text),
            Atom::VersionedRequestLine => return self.versioned_request_line(text),
            Atom::Host => record.host = Some(text),
            Atom::Referer => record.source = Some(text),
            Atom::Agent => record.agent = Some(text),
            Atom::ResponseHeader => {
                if is_remote_user(field) {
                    self.remote_user.get_or_insert_with(|| text.clone());
                }
                capture(&mut self.record.response_headers, &field.name, text);
            }
            Atom::Environ => {
                if is_remote_user(field) {
                    self.remote_user.get_or_insert_with(|| text.clone());
                }
                match field.name.as_str() {
                    "http_x_real_ip" | "remote_addr" if self.remote_addr.is_none() => {
                        self.remote_addr = address(&text);
                    }
                    _ => {}
                }
                capture(&mut self.record.environ, &field.name, text);
            }
            Atom::Tail | Atom::TailNumber => record.extras.push((Extra::Tail(&field.name), text)),
            _ => self.request_header(field, text),
        }
        true
    }

    /// Splits the request line before unescaping, so that only a word with an escape is copied.
    /// Unescaping adds and removes no space, so the words are the same.
    #[inline(always)]
    fn request_line(&mut self, field: &Field, text: &'a str) -> bool {
        let escapes = self.escapes;
        let Some((method, url, protocol)) = request_line(text) else {
            return self.short_request_line(field, text);
        };
        let record = &mut *self.record;
        record.method = Some(unescape(method, escapes));
        record.url = (!url.is_empty()).then(|| unescape(url, escapes));
        record.protocol = Some(unescape(protocol, escapes));
        true
    }

    /// Takes a request line without a protocol, or keeps what is not a request line at all.
    #[cold]
    fn short_request_line(&mut self, field: &Field, text: &'a str) -> bool {
        self.is_unusual = true;
        if self.unshaped == Unshaped::Refuse && !field.quoted && !is_request_line(text) {
            return false;
        }
        let text = text.trim_matches(' ');
        let record = &mut *self.record;
        let Some((method, url)) = short_request_line(text) else {
            if !matches!(text, "" | "-") {
                keep(record, "request_line", unescape(text, self.escapes));
            }
            return true;
        };
        record.method = Some(unescape(method, self.escapes));
        record.url = Some(unescape(url, self.escapes));
        true
    }

    /// Splits `GET / 1.1`.
    fn versioned_request_line(&mut self, text: Cow<'a, str>) -> bool {
        let record = &mut *self.record;
        let is_absent = |word: &str| matches!(word, "" | "-");
        let words: Vec<&str> = text.split(' ').collect();
        match *words.as_slice() {
            [method, url, version] if ![method, url, version].into_iter().any(is_absent) => {
                record.method = Some(Cow::Owned(method.to_owned()));
                record.url = Some(Cow::Owned(url.to_owned()));
                let bare = version.starts_with(|c: char| c.is_ascii_digit());
                let protocol = if bare { format!("HTTP/{version}") } else { version.to_owned() };
                record.protocol = Some(Cow::Owned(protocol));
            }
            _ => keep(record, "request_line", text),
        }
        true
    }

    /// Fills the column of a value that names the request or its view, unless a value of a higher rank has.
    fn identify(&mut self, what: Identifier, rank: u8, value: Cow<'a, str>) {
        let record = &mut *self.record;
        let [of_request, of_trace] = &mut self.ranks;
        let (column, known) = match what {
            Identifier::Route => return record.route = Some(value),
            Identifier::RequestId => (&mut record.request_id, of_request),
            Identifier::TraceId | Identifier::TraceParent => (&mut record.trace_id, of_trace),
        };
        if rank > *known {
            (*column, *known) = (Some(value), rank);
        }
    }

    fn request_header(&mut self, field: &'a Field, text: Cow<'a, str>) {
        if is_remote_user(field) {
            self.remote_user.get_or_insert_with(|| text.clone());
        }
        let record = &mut *self.record;
        let name = field.name.as_str();
        match name {
            "host" => record.host = Some(text.clone()),
            "user-agent" if record.agent.is_none() => record.agent = Some(text.clone()),
            "referer" if record.source.is_none() => record.source = Some(text.clone()),
            "x-forwarded-for" => self.forwarded_for = first_address(&text),
            "x-real-ip" => self.real_ip = address(&text),
            _ => {}
        }
        capture(&mut record.headers, name, text);
    }

    /// Fills the columns that depend on several fields.
    pub(super) fn finish(self) {
        let record = self.record;
        if self.is_unusual {
            record.written.likeness = Likeness::Unknown;
        }
        record.user_ip =
            record.user_ip.or(self.forwarded_for).or(self.real_ip).or(self.remote_addr);
        if record.user_id.is_none() {
            record.user_id = self.remote_user;
        }
        if record.url.is_none() {
            record.url = match (self.path, self.query) {
                (path, None) => path,
                (path, Some(query)) => {
                    Some(Cow::Owned(format!("{}?{query}", path.unwrap_or_default())))
                }
            };
        }
    }
}

/// Returns the end of a time in brackets as [`crate::model::Written::zone`] has it: `0 +0530]` without its first
/// byte.
#[inline(always)]
fn zone(line: &str, end: usize) -> u64 {
    let time = line.as_bytes().get(..end).unwrap_or_default();
    time.last_chunk::<8>().map_or(0, |zone| u64::from_le_bytes(*zone) & !0xff)
}

/// Returns whether an address is written as it is written by this program.
#[cold]
fn is_written_so(address: IpAddr, text: &str) -> bool {
    let mut written = [0; 48]; // the longest address has 45 bytes
    let mut rest = &mut written[..];
    let fits = write!(rest, "{address}").is_ok();
    let left = rest.len();
    fits && written[..written.len() - left] == *text.as_bytes()
}

/// Returns whether a process id is written `<24744>`.
fn is_usual_pid(line: &[u8], value: FieldMatch) -> bool {
    let digits = line.get(value.start + 1..value.end - 1).unwrap_or_default();
    line.get(value.start) == Some(&b'<') && (digits.len() == 1 || digits.first() != Some(&b'0'))
}

/// Returns whether a number is written with six decimals, `0.012345`.
fn is_usual_decimal(line: &[u8], value: FieldMatch) -> bool {
    let text = line.get(value.start..value.end).unwrap_or_default();
    let Some((whole, [b'.', ..])) = text.split_last_chunk::<7>() else { return false };
    whole.len() == 1 || whole.first() != Some(&b'0')
}

fn ipv4(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

/// Returns whether a value of this atom goes into a column that has a shape of its own.
fn is_typed(atom: Atom) -> bool {
    matches!(atom, Atom::RemoteAddress | Atom::AddressAndPort | Atom::Method | Atom::Protocol)
}

/// Returns whether a captured value is the name of a logged-in user, as a proxy or a middleware gives it.
fn is_remote_user(field: &Field) -> bool {
    matches!(field.name.as_str(), "remote_user" | "remote-user")
}

/// Keeps a value that has not the shape of its column.
#[cold]
fn keep<'a>(record: &mut GunicornLogModel<'a>, name: &'static str, text: Cow<'a, str>) {
    record.extras.push((Extra::Tail(name), text));
}

/// Apache's `%q` is the query with its question mark.
fn without_question_mark(query: Cow<'_, str>) -> Cow<'_, str> {
    match query {
        Cow::Borrowed(text) => Cow::Borrowed(text.strip_prefix('?').unwrap_or(text)),
        Cow::Owned(text) => Cow::Owned(text.strip_prefix('?').unwrap_or(&text).to_owned()),
    }
}

/// Adds a captured header or variable. A format may name one header twice; the first is kept.
fn capture<'a>(captured: &mut Captured<'a>, name: &'a str, text: Cow<'a, str>) {
    if captured.iter().all(|(known, _)| *known != name) {
        captured.push((name, text));
    }
}

#[inline]
fn unescape(text: &str, escapes: Escapes) -> Cow<'_, str> {
    match escapes {
        Escapes::None => Cow::Borrowed(text),
        Escapes::Possible(Escaping::Quotes) => unescaped(text),
        Escapes::Possible(Escaping::Backslashes) => unescape_backslashes(text),
    }
}

#[cold]
fn unescaped(text: &str) -> Cow<'_, str> {
    if memchr::memmem::find(text.as_bytes(), b"\\\"").is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\\\"", "\""))
}

/// Parses a value whose grammar says where it ends.
#[inline]
pub(super) fn parse_typed(atom: Atom, input: &[u8]) -> IResult<&[u8], Number> {
    match atom {
        Atom::Time => time.map(Some).parse(input),
        Atom::Status => status(input),
        Atom::ResponseBytes | Atom::Microseconds => scaled(1, input),
        Atom::Milliseconds => scaled(1_000, input),
        Atom::Seconds => scaled(1_000_000, input),
        Atom::DecimalSeconds => decimal_seconds(input),
        Atom::DecimalMilliseconds => decimal_milliseconds(input),
        Atom::ClfTime => moment(times::clf, input),
        Atom::IsoTime => moment(times::iso, input),
        Atom::EpochTime => moment(times::epoch, input),
        Atom::CTime => moment(times::ctime, input),
        Atom::Pid => pid(input),
        _ => char('-').map(|_| None).parse(input),
    }
}

/// The place of one field in the line, and its number. An IPv4 address that was read on the way is
/// given as a number too, of 32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldMatch {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) number: Number,
}

/// A number, or `None` where Gunicorn had none to write.
pub(super) type Number = Option<i64>;

/// Parses an integer of at most 19 digits that fits an `i64`. A longer run of digits is refused
/// without reading on, which also keeps a line of nothing but digits cheap.
pub(super) fn integer(input: &[u8]) -> IResult<&[u8], i64> {
    const LONGEST: usize = 19; // any number of 19 digits fits a `u64`
    let mut sum = 0u64;
    let mut length = 0;
    while length < LONGEST
        && let Some(digit) = input.get(length).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        sum = sum * 10 + u64::from(digit);
        length += 1;
    }
    match i64::try_from(sum) {
        Ok(number) if length > 0 => Ok((&input[length..], number)),
        _ => Err(nom::Err::Error(Error::new(input, ErrorKind::Digit))),
    }
}

/// Returns the number of one to nine digits at the beginning of `input`, and its length. Longer
/// numbers may not fit their column and are left to [`integer`].
#[inline(always)]
pub(super) fn few_digits(input: &[u8]) -> Option<(i64, usize)> {
    const MOST: usize = 9;
    let mut sum = 0u32;
    for (length, byte) in input.iter().take(MOST + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (length > 0).then_some((i64::from(sum), length));
        }
        sum = sum.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    (1..=MOST).contains(&input.len()).then_some((i64::from(sum), input.len()))
}

/// Parses the absence of a number: `-`, or `None` as Python writes it.
fn nothing(input: &[u8]) -> IResult<&[u8], Number> {
    value(None, alt((tag(&b"-"[..]), tag(&b"None"[..])))).parse(input)
}

/// Parses an integer in units of `unit`, or its absence.
pub(super) fn scaled(unit: i64, input: &[u8]) -> IResult<&[u8], Number> {
    alt((map_opt(integer, |count| count.checked_mul(unit).map(Some)), nothing)).parse(input)
}

/// Parses the digits of a status, within 32 bits, or their absence. A reason phrase may follow;
/// see [`phrase`].
pub(super) fn status(input: &[u8]) -> IResult<&[u8], Number> {
    alt((map(small, Some), nothing)).parse(input)
}

/// Parses `<24744>`, `24744` or the absence of a process id.
pub(super) fn pid(input: &[u8]) -> IResult<&[u8], Number> {
    alt((map(delimited(char('<'), small, char('>')), Some), map(small, Some), nothing)).parse(input)
}

/// Parses `0.012345` seconds to microseconds, or their absence. Further decimals are cut off.
pub(super) fn decimal_seconds(input: &[u8]) -> IResult<&[u8], Number> {
    let decimals = take_while_m_n(1, 18, |byte: u8| byte.is_ascii_digit());
    let seconds = separated_pair(integer, char('.'), decimals);
    let micros = map_opt(seconds, |(seconds, decimals): (i64, &[u8])| {
        let (_, mut micros) = integer(&decimals[..decimals.len().min(6)]).ok()?;
        for _ in decimals.len()..6 {
            micros *= 10;
        }
        seconds.checked_mul(1_000_000)?.checked_add(micros).map(Some)
    });
    alt((micros, nothing)).parse(input)
}

/// Parses `0.123` milliseconds to microseconds, or their absence. Further decimals are cut off.
fn decimal_milliseconds(input: &[u8]) -> IResult<&[u8], Number> {
    decimal_seconds.map(|number| number.map(|number| number / 1_000)).parse(input)
}

/// Parses a time by one of the functions of [`times`].
fn moment(read: times::Reader, input: &[u8]) -> IResult<&[u8], Number> {
    match read(input) {
        Some((time, rest)) => Ok((rest, Some(time))),
        None => nothing(input),
    }
}

fn small(input: &[u8]) -> IResult<&[u8], i64> {
    map_opt(integer, |number| i32::try_from(number).ok().map(i64::from)).parse(input)
}

/// Returns the length of what may be a reason phrase after a status, with the space before it (`
/// OK`, ` Multi-Status`, ` I'm a Teapot`): at most 64 bytes.
pub(super) fn phrase(input: &[u8]) -> usize {
    const LONGEST: usize = 64;
    if !matches!(input, [b' ', first, ..] if first.is_ascii_alphabetic()) {
        return 0;
    }
    let within = |byte: &&u8| byte.is_ascii_alphabetic() || matches!(**byte, b' ' | b'-' | b'\'');
    input.iter().take(LONGEST).take_while(within).count()
}

/// Splits `GET /path HTTP/1.1` into method, URL and protocol. The method ends at the first space and the protocol begins at the
/// last, so that spaces in the URL are kept. Returns `None` if the text has another shape.
pub(super) fn request_line(text: &str) -> Option<(&str, &str, &str)> {
    const USUAL: &[u8] = b" HTTP/1.1";
    let bytes = text.as_bytes();
    let first = bytes.iter().position(|byte| *byte == b' ')?; // methods are short
    let last = match bytes.ends_with(USUAL) {
        true => bytes.len() - USUAL.len(),
        false => memchr::memrchr(b' ', bytes)?,
    };
    if first == 0 || last <= first {
        return None;
    }
    let (method, url, protocol) = (&text[..first], &text[first + 1..last], &text[last + 1..]);
    protocol.starts_with("HTTP/").then_some((method, url, protocol))
}

/// Splits `GET /path` into method and URL: what a client of HTTP/0.9 sends.
pub(super) fn short_request_line(text: &str) -> Option<(&str, &str)> {
    let (method, url) = text.split_once(' ')?;
    let is_url = url.starts_with(['/', '*']) || url.contains("://");
    (is_method(method) && is_url && !url.contains(' ')).then_some((method, url))
}

/// Returns whether a text is `METHOD URL [PROTOCOL]`.
pub(super) fn is_request_line(text: &str) -> bool {
    match request_line(text) {
        Some((method, ..)) => is_method(method),
        None => short_request_line(text).is_some(),
    }
}

const TIME_LENGTH: usize = 28;

/// The digits of a time (`0`), its fixed bytes, and those that are checked separately (`?`): the
/// month and the sign.
const TIME_SHAPE: [u8; TIME_LENGTH] = *b"[00/???/0000:00:00:00 ?0000]";

/// The largest allowed exclusive or of a byte with its [`TIME_SHAPE`]. The exclusive or of `0` and
/// a digit is the digit; that of `0` and any other byte is more than 9.
const TIME_DISTANCE: [u8; TIME_LENGTH] = {
    let mut most = [0; TIME_LENGTH];
    let mut nth = 0;
    while nth < TIME_LENGTH {
        most[nth] = match TIME_SHAPE[nth] {
            b'0' => 9,
            b'?' => u8::MAX,
            _ => 0,
        };
        nth += 1;
    }
    most
};

/// The months as `%b` writes them in the C locale.
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];

/// Parses a time with its brackets, like `[23/Nov/2026:14:23:17 +0530]`. Gunicorn writes it with
/// `time.strftime('[%d/%b/%Y:%H:%M:%S %z]')` in the C locale, so every part has a fixed width, and
/// the month is one of twelve English words.
///
/// Years are 1970 to 9999, days those of the calendar, and offsets at most ±15:59, as in
/// PostgreSQL. A leap second (`:60`) is refused, because neither database could give it back.
pub(super) fn time(input: &[u8]) -> IResult<&[u8], Micros> {
    map_opt(take(TIME_LENGTH), read_time).parse(input)
}

fn read_time(text: &[u8]) -> Option<Micros> {
    let text: &[u8; TIME_LENGTH] = text.try_into().ok()?;
    let minute = all_but_seconds(text);
    let second = seconds_of(text)?;
    let recent = RECENT_MINUTE.get();
    if recent.text == minute {
        return Some(recent.value + second * 1_000_000);
    }
    let value = read_whole_time(text)?;
    RECENT_MINUTE.set(RecentMinute { text: minute, value: value - second * 1_000_000 });
    Some(value)
}

/// A minute that was read: the text of its times without the seconds, and its value.
#[derive(Clone, Copy)]
struct RecentMinute {
    text: [u64; 4],
    value: Micros,
}

thread_local! {
    /// The last minute that this thread read. Adjacent lines are nearly always of the same minute.
    /// Then only the seconds are read, which takes a quarter of the instructions.
    static RECENT_MINUTE: Cell<RecentMinute> =
        const { Cell::new(RecentMinute { text: all_but_seconds(b"[01/Jan/1970:00:00:00 +0000]"), value: 0 }) };
}

/// Returns all bytes of a time except the two of the seconds.
#[inline]
const fn all_but_seconds(text: &[u8; TIME_LENGTH]) -> [u64; 4] {
    const SECONDS: u128 = 0xffff << (3 * 8); // bytes 19 and 20, from byte 16 on
    let [a, b, c, d, e, f, g, h, rest @ ..] = *text;
    let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let [a, b, c, d, e, f, g, h, rest @ ..] = rest;
    let second = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let [a, b, c, d, e, f, g, h, i, j, k, l] = rest;
    let rest = u128::from_le_bytes([a, b, c, d, e, f, g, h, i, j, k, l, 0, 0, 0, 0]) & !SECONDS;
    [first, second, rest as u64, (rest >> 64) as u64]
}

#[inline]
fn seconds_of(text: &[u8; TIME_LENGTH]) -> Option<i64> {
    let (tens, ones) = (text[19].wrapping_sub(b'0'), text[20].wrapping_sub(b'0'));
    (tens < 6 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// Reads every byte of a time.
#[inline(never)]
fn read_whole_time(text: &[u8; TIME_LENGTH]) -> Option<Micros> {
    // All bytes are read at once and without a branch, which compiles to a few vector instructions.
    // A digit becomes its value and a fixed byte 0; a wrong byte becomes more than is allowed.
    let mut values = [0; TIME_LENGTH];
    let mut whole = true;
    for (nth, value) in values.iter_mut().enumerate() {
        *value = text[nth] ^ TIME_SHAPE[nth];
        whole &= *value <= TIME_DISTANCE[nth];
    }
    if !whole {
        return None;
    }
    let two = |at: usize| u32::from(values[at] * 10 + values[at + 1]);
    let year = two(8) * 100 + two(10);
    let month = (1..).zip(MONTHS).find(|(_, name)| text[4..7] == **name)?.0;
    let date = NaiveDate::from_ymd_opt(year.cast_signed(), month, two(1))?;
    let (hour, minute, second) = (two(13), two(16), two(19));
    let (offset_hours, offset_minutes) = (two(23), two(25));
    let is_clock = hour <= 23 && minute <= 59 && second <= 59;
    if year < 1970 || !is_clock || offset_hours > 15 || offset_minutes > 59 {
        return None;
    }
    let offset = i64::from((offset_hours * 60 + offset_minutes) * 60);
    let east = match text[22] {
        b'+' => offset,
        b'-' => -offset,
        _ => return None,
    };
    let clock = i64::from(hour * 3_600 + minute * 60 + second);
    let seconds = i64::from(date.to_epoch_days()) * 86_400 + clock - east;
    // An offset may lead out of the years that both databases have.
    (0..253_402_300_800).contains(&seconds).then_some(seconds * 1_000_000)
}

/// Parses an address: `10.0.0.7`, `10.0.0.7:1234`, `2001:db8::7`, `[2001:db8::7]`,
/// `[2001:db8::7]:1234`, `fe80::1%eth0`. The port and the zone are dropped. An address of IPv4 within
/// IPv6, `::ffff:10.0.0.7`, is that of IPv4: it is what one searches for.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    const LONGEST: usize = 80; // 45 bytes of IPv6, brackets, a zone, a port
    let text = text.trim();
    if text.len() > LONGEST {
        return None;
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address.to_canonical());
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip().to_canonical());
    }
    let within = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => text,
    };
    within.split('%').next()?.parse().ok().map(|address: IpAddr| address.to_canonical())
}

/// Returns the IPv4 address at the beginning of `input`, and its length. It has four numbers up to
/// 255 without leading zeros, as the standard library reads them, and ends where no digit follows.
#[inline(always)]
pub(super) fn leading_ipv4(input: &[u8]) -> Option<(Ipv4Addr, usize)> {
    let digit = |at: usize| input.get(at).map(|byte| byte.wrapping_sub(b'0')).filter(|it| *it < 10);
    let mut address = 0;
    let mut at = 0;
    for nth in 0..4 {
        if nth > 0 {
            if input.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
        let first = at;
        let mut part = u32::from(digit(at)?);
        at += 1;
        while let Some(next) = digit(at) {
            if part == 0 || at - first == 3 {
                return None;
            }
            part = part * 10 + u32::from(next);
            at += 1;
        }
        if part > 255 {
            return None;
        }
        address = address << 8 | part;
    }
    Some((Ipv4Addr::from_bits(address), at))
}

/// Returns the first address of a list like `unknown, 203.0.113.9, 10.1.2.3`.
pub(super) fn first_address(list: &str) -> Option<IpAddr> {
    list.split(',').find_map(address)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn all(result: IResult<&[u8], Number>) -> Option<Number> {
        result.ok().filter(|(rest, _)| rest.is_empty()).map(|(_, number)| number)
    }

    #[test]
    fn numbers_that_do_not_fit_their_column_are_refused() {
        assert_eq!(all(scaled(1, b"9223372036854775807")), Some(Some(i64::MAX)));
        assert_eq!(all(scaled(1, b"9223372036854775808")), None);
        assert_eq!(all(scaled(1_000, b"9223372036854775807")), None);
        assert_eq!(all(scaled(1, b"-")), Some(None));
        assert_eq!(all(scaled(1, b"None")), Some(None));
        assert_eq!(all(status(b"2147483647")), Some(Some(2_147_483_647)));
        assert_eq!(all(status(b"2147483648")), None);
        assert_eq!(all(pid(b"<1>")), Some(Some(1)));
        assert_eq!(all(pid(b"1")), Some(Some(1)));
        assert_eq!(all(pid(b"<1")), None);
    }

    #[test]
    fn few_digits_agrees_with_the_grammar() {
        let mut rng = fastrand::Rng::with_seed(9);
        for length in (0..=12).cycle().take(10_000) {
            let mut text: Vec<u8> = (0..length).map(|_| rng.u8(b'0'..=b'9')).collect();
            text.extend_from_slice(if rng.bool() { b"" } else { b" 1" });
            let right = integer(&text).ok().filter(|_| length <= 9);
            let right = right.map(|(rest, number)| (number, text.len() - rest.len()));
            assert_eq!(few_digits(&text), right);
        }
    }

    #[test]
    fn decimal_seconds_become_microseconds() {
        assert_eq!(all(decimal_seconds(b"1.000205")), Some(Some(1_000_205)));
        assert_eq!(all(decimal_seconds(b"0.005")), Some(Some(5_000)));
        assert_eq!(all(decimal_seconds(b"0.0000019")), Some(Some(1)));
        assert_eq!(all(decimal_seconds(b"1")), None);
        assert_eq!(all(decimal_seconds(b"9223372036854.775808")), None);
    }

    #[test]
    fn a_reason_phrase_holds_only_words() {
        assert_eq!(phrase(b" OK 12"), 4);
        assert_eq!(phrase(b" I'm a Teapot\""), 13);
        assert_eq!(phrase(b" 12"), 0);
        assert_eq!(phrase(b"OK"), 0);
    }

    #[test]
    fn a_request_line_has_three_words() {
        assert_eq!(request_line("GET /a b HTTP/1.1"), Some(("GET", "/a b", "HTTP/1.1")));
        assert_eq!(request_line("GET  HTTP/1.1"), Some(("GET", "", "HTTP/1.1")));
        assert_eq!(
            request_line("GET / HTTP/1.1 HTTP/1.0"),
            Some(("GET", "/ HTTP/1.1", "HTTP/1.0"))
        );
        assert!(request_line("GET HTTP/1.1").is_none());
        assert!(request_line(" HTTP/1.1").is_none());
        assert!(request_line("-").is_none());
        assert!(request_line("GET / FTP/1").is_none());
        assert!(request_line(" / HTTP/1.1").is_none());
    }

    fn read(text: &str) -> Option<Micros> {
        time(text.as_bytes()).ok().map(|(_, value)| value)
    }

    #[test]
    fn agrees_with_chrono_on_every_day_until_2400_and_at_the_ends() {
        let mut seconds = 0;
        while seconds < 13_600_000_000 {
            let then = DateTime::from_timestamp(seconds, 0).unwrap();
            let text = then.format("[%d/%b/%Y:%H:%M:%S +0000]").to_string();
            assert_eq!(read(&text), Some(seconds * 1_000_000), "{text}");
            seconds += 86_400 + 3_601;
        }
        assert_eq!(read("[01/Jan/1970:00:00:00 +0000]"), Some(0));
        assert_eq!(read("[31/Dec/9999:23:59:59 +0000]"), Some(253_402_300_799_000_000));
        assert_eq!(read("[31/Dec/9999:23:59:59 -0001]"), None);
        assert_eq!(read("[01/Jan/1970:00:00:00 +0001]"), None);
    }

    #[test]
    fn the_cached_minute_does_not_change_a_time() {
        let text = *b"[28/Feb/2024:09:59:18 +0530]";
        for at in 0..TIME_LENGTH {
            for byte in 0..=u8::MAX {
                let mut other = text;
                other[at] = byte;
                assert!(read_time(&text).is_some());
                assert_eq!(read_time(&other), read_whole_time(&other), "{}", other.escape_ascii());
                assert_eq!(read_time(&other), read_whole_time(&other), "{}", other.escape_ascii());
            }
        }
    }

    #[test]
    fn times_are_converted_to_utc() {
        let utc = read("[23/Nov/2026:08:53:17 +0000]");
        assert!(utc.is_some());
        assert_eq!(read("[23/Nov/2026:14:23:17 +0530]"), utc);
        assert_eq!(read("[22/Nov/2026:20:53:17 -1200]"), utc);
    }

    #[test]
    fn only_days_and_times_that_exist_are_read() {
        assert!(read("[29/Feb/2024:00:00:00 +0000]").is_some());
        assert!(read("[29/Feb/2000:00:00:00 +0000]").is_some());
        for wrong in [
            "[29/Feb/2026:00:00:00 +0000]",
            "[29/Feb/2100:00:00:00 +0000]",
            "[31/Apr/2026:00:00:00 +0000]",
            "[00/Jan/2026:00:00:00 +0000]",
            "[01/Foo/2026:00:00:00 +0000]",
            "[01/jan/2026:00:00:00 +0000]",
            "[01/Jan/1969:00:00:00 +0000]",
            "[01/Jan/2026:24:00:00 +0000]",
            "[01/Jan/2026:00:60:00 +0000]",
            "[01/Jan/2026:00:00:60 +0000]",
            "[01/Jan/2026:00:00:00 +1600]",
            "[01/Jan/2026:00:00:00 +0060]",
            "[01/Jan/2026:00:00:00  0000]",
            "[ 1/Jan/2026:00:00:00 +0000]",
            "[01/Jan/2026:00:00:00 +0000",
            "",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn addresses_may_have_ports_brackets_and_zones() {
        for (text, right) in [
            ("10.0.0.7", "10.0.0.7"),
            ("10.0.0.7:1234", "10.0.0.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:1234", "2001:db8::7"),
            ("fe80::1%eth0", "fe80::1"),
            ("[fe80::1%eth0]:80", "fe80::1"),
            ("::ffff:10.0.0.7", "10.0.0.7"),
            ("[::ffff:10.0.0.7]:1234", "10.0.0.7"),
        ] {
            assert_eq!(address(text), right.parse().ok(), "{text}");
        }
        for none in ["", "-", "unknown", "unix:", "b''", "10.0.0", "10.0.0.256", "example.com:80"] {
            assert_eq!(address(none), None, "{none}");
        }
    }

    #[test]
    fn a_leading_ipv4_is_what_the_standard_library_reads() {
        let mut rng = fastrand::Rng::with_seed(7);
        let parts = ["0", "1", "01", "9", "00", "25", "255", "256", "2555", "", ".", "x", "192"];
        for _ in 0..20_000 {
            let drawn: Vec<&str> = (0..4).map(|_| parts[rng.usize(..parts.len())]).collect();
            let text = drawn.join(".");
            let found = leading_ipv4(text.as_bytes()).filter(|(_, length)| *length == text.len());
            assert_eq!(found.map(|(address, _)| address), text.parse().ok(), "{text}");
        }
        let found = leading_ipv4(b"203.0.113.9 - -");
        assert_eq!(found, Some((Ipv4Addr::new(203, 0, 113, 9), 11)));
    }

    #[test]
    fn the_first_address_of_a_list_is_used() {
        assert_eq!(first_address("unknown, 203.0.113.9, 10.1.2.3"), "203.0.113.9".parse().ok());
        assert_eq!(first_address("_hidden, -"), None);
    }
}
