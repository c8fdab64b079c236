//! Turns one line into a record, an exclusion or a reject, as the configuration asks for it.
//!
//! [`LineParser`] is the entry: it reads a line by a template or as JSON, excludes requests
//! ([`Exclusions`]) and hides secrets ([`Mask`]). [`Chunk`] checks the bytes of many lines at once.

use std::borrow::Cow;
use std::sync::Arc;

use super::exclusions::Exclusions;
use super::identifiers::Columns;
use super::json;
use super::json_keys;
use super::json_mapping::JsonMapping;
use super::layout::{Layout, Prefixed};
use super::mask::{Mask, STARS};
use super::matching::{PhysicalLines, Quoting, match_by_search, match_fields, match_greedily};
use super::prefix::Stripped;
use super::server_log::is_server_log;
use super::template::{Escaping, MOST_FIELDS, Template};
use super::values::{Escapes, FieldMatch, RecordBuilder, UNSHAPED, Unshaped};
use crate::model::{Captured, Extra, GunicornLogModel, JsonRecord, Likeness, RejectReason};

/// The settings by which lines become records.
#[derive(Clone, Debug)]
pub struct Parsing {
    /// The format that the user gave. Without one, each file's format is detected.
    pub layout: Option<Layout>,
    /// Which keys of JSON lines fill which columns.
    pub json: Arc<JsonMapping>,
    /// The names whose values are hidden.
    pub mask: Mask,
    /// The requests that are excluded.
    pub exclusions: Exclusions,
}

/// The result for one line.
#[derive(Clone, Debug, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly every line is a record, and is moved at once"
)]
pub enum Parsed<'a> {
    /// A record of Gunicorn's access log.
    Record(GunicornLogModel<'a>),
    /// A record of a JSON line.
    Json(Box<JsonRecord>),
    /// A record that the configuration excludes.
    Excluded,
    /// The line is not a record; the reason.
    Reject(RejectReason),
}

impl Parsed<'_> {
    /// Returns whether this is a record with a value that has not the shape of its column, and so is kept
    /// beside the columns.
    pub fn holds_unshaped(&self) -> bool {
        let Parsed::Record(record) = self else { return false };
        record
            .extras
            .iter()
            .any(|(key, _)| matches!(key, Extra::Tail(key) if UNSHAPED.contains(key)))
    }
}

/// Reads lines of one format, as the configuration asks for it.
#[derive(Clone, Debug)]
pub struct LineParser {
    layout: Layout,
    mask: Mask,
    exclusions: Exclusions,
    columns: Columns,
}

/// Whether a record is stored, or the configuration leaves it out.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kept {
    Yes,
    No,
}

impl LineParser {
    /// Makes a parser that reads by `layout`, drops what `exclusions` covers, and applies `mask`.
    pub fn new(layout: impl Into<Layout>, mask: Mask, exclusions: Exclusions) -> LineParser {
        LineParser { layout: layout.into(), mask, exclusions, columns: Columns::Current }
    }

    /// Returns the parsers with the masks by which the same lines may have been stored before.
    pub(crate) fn with_older_masks(&self) -> Vec<LineParser> {
        self.mask.older().into_iter().map(|mask| LineParser { mask, ..self.clone() }).collect()
    }

    /// Returns the bytes of a rejected line as they are kept.
    pub(crate) fn kept<'r>(&self, raw: &'r [u8]) -> Cow<'r, [u8]> {
        self.mask.kept(raw)
    }

    /// Returns the bytes of a rejected line as they are kept if its secrets are masked.
    pub(crate) fn masked<'r>(&self, raw: &'r [u8]) -> Cow<'r, [u8]> {
        self.mask.masked(raw)
    }

    /// Returns whether nothing of a line is masked: neither in its record, nor anywhere else in it.
    pub(crate) fn masks_nothing(&self, text: &[u8], record: &GunicornLogModel<'_>) -> bool {
        if self.mask.is_empty() {
            return true;
        }
        let unmasked = LineParser { mask: Mask::default(), ..self.clone() };
        let is_same = match unmasked.parse(text) {
            Parsed::Record(unmasked) => unmasked == *record,
            _ => false,
        };
        is_same && matches!(self.mask.masked(text), Cow::Borrowed(_))
    }

    /// Returns the parser of versions without `route`, `request_id` and `trace_id`; `None` if no line has them.
    pub(crate) fn with_older_columns(&self) -> Option<LineParser> {
        self.layout.identifies().then(|| LineParser { columns: Columns::Older, ..self.clone() })
    }

    /// Returns the format by which lines are read.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns whether a line that is rejected for this reason is left out, instead of being kept: one of
    /// the server itself, if these are excluded. [`LineParser::parse`] rejects it all the same, because
    /// whether it is a part of a record is known only with the lines around it.
    pub fn leaves_out(&self, reason: &RejectReason) -> bool {
        self.exclusions.cover_server_log() && *reason == RejectReason::ServerLog
    }

    /// Reads one line, given without its end. URL and referer are masked, also a referer among the
    /// captured headers. Exclusions see the URL as it was logged.
    pub fn parse<'a>(&'a self, line: &'a [u8]) -> Parsed<'a> {
        match TextLine::of(line) {
            Some(line) => self.parse_text(line),
            None => Parsed::Reject(RejectReason::NotUtf8),
        }
    }

    /// Reads one line of a [`Chunk`], like [`LineParser::parse`].
    pub fn parse_text<'a>(&'a self, line: TextLine<'a>) -> Parsed<'a> {
        let Layout::Template(template) = &self.layout else {
            return match self.parse_other(&self.layout, line) {
                Parsed::Reject(reject) => rejected(line, reject),
                parsed => parsed,
            };
        };
        // The record is built in place, because moving it costs as much as reading a field.
        let mut parsed = Parsed::Record(GunicornLogModel::default());
        if let Parsed::Record(record) = &mut parsed {
            match self.fill(template, line, record) {
                Ok(Kept::Yes) => {}
                Ok(Kept::No) => return Parsed::Excluded,
                Err(reject) => return rejected(line, reject),
            }
        }
        parsed
    }

    /// Reads a line into an empty record, and hides its secrets.
    #[inline(always)]
    fn fill<'a>(
        &'a self,
        template: &'a Template,
        line: TextLine<'a>,
        record: &mut GunicornLogModel<'a>,
    ) -> Result<Kept, RejectReason> {
        template.parse_text(line, record)?;
        if record.url.as_deref().is_some_and(|url| self.exclusions.covers(url)) {
            return Ok(Kept::No);
        }
        if !self.mask.is_empty() {
            self.hide_secrets(record, line);
        }
        if self.columns == Columns::Older {
            (record.route, record.request_id, record.trace_id) = (None, None, None);
        }
        Ok(Kept::Yes)
    }

    fn parse_by<'a>(&'a self, template: &'a Template, line: TextLine<'a>) -> Parsed<'a> {
        let mut record = GunicornLogModel::default();
        match self.fill(template, line, &mut record) {
            Ok(Kept::Yes) => Parsed::Record(record),
            Ok(Kept::No) => Parsed::Excluded,
            Err(reject) => Parsed::Reject(reject),
        }
    }

    /// Reads a line of any layout, without looking for a line of the server in what cannot be read.
    #[cold]
    fn parse_other<'a>(&'a self, layout: &'a Layout, line: TextLine<'a>) -> Parsed<'a> {
        match layout {
            Layout::Template(template) => self.parse_by(template, line),
            Layout::Json => json::parse(line, self.columns, &self.mask, &self.exclusions),
            Layout::JsonKeys(mapping) => match json_keys::parse(line.text, mapping, self.columns) {
                Ok(record) => {
                    json::finish(JsonRecord::Gunicorn(record), &self.mask, &self.exclusions)
                }
                Err(reject) => Parsed::Reject(reject),
            },
            Layout::Prefixed(prefixed) => self.parse_prefixed(prefixed, line),
        }
    }

    /// Reads a line without its prefix, and puts the prefix into the record.
    fn parse_prefixed<'a>(&'a self, prefixed: &'a Prefixed, line: TextLine<'a>) -> Parsed<'a> {
        let Some(stripped) = prefixed.prefix.strip(line.text) else {
            return Parsed::Reject(RejectReason::UnlikeFormat(prefixed.prefix.missing().into()));
        };
        let Stripped { rest, prefix, suffix, time, pid, container } = stripped;
        let (mut parsed, whole) = match rest {
            Cow::Borrowed(rest) => {
                (self.parse_other(&prefixed.layout, TextLine::special(rest)), None)
            }
            Cow::Owned(rest) => {
                let parsed = self.parse_other(&prefixed.layout, TextLine::special(&rest));
                (owned(&prefixed.layout, parsed), Some(line.text))
            }
        };
        match &mut parsed {
            Parsed::Record(record) => {
                if record.written.likeness == Likeness::Same {
                    record.written.likeness = Likeness::Unknown;
                }
                record.timestamp = record.timestamp.or(time);
                record.pid = record.pid.or(pid);
                put_prefix(record, self.masked_prefix(prefix));
                let parts = [
                    ("suffix", suffix.map(Cow::Borrowed)),
                    ("container", container),
                    ("line", whole.map(Cow::Borrowed)),
                ];
                for (key, text) in parts {
                    if let Some(mut text) = text.filter(|text| !text.contains('\0')) {
                        self.mask.apply_to_line(&mut text);
                        record.extras.push((Extra::Around(key), text));
                    }
                }
            }
            Parsed::Json(json) => {
                if let JsonRecord::Gunicorn(line) = &mut **json
                    && !prefix.is_empty()
                    && let Some(serde_json::Value::Object(request)) =
                        Some(line.request.get_or_insert_with(|| serde_json::json!({})))
                {
                    request.insert("prefix".to_owned(), self.masked_prefix(prefix).into());
                }
            }
            Parsed::Excluded | Parsed::Reject(_) => {}
        }
        parsed
    }

    /// Masks what stood before a line; older rules did not.
    fn masked_prefix<'a>(&self, prefix: &'a str) -> Cow<'a, str> {
        let mut prefix = Cow::Borrowed(prefix);
        if self.mask.newest().is_some() {
            self.mask.apply_to_line(&mut prefix);
        }
        prefix
    }

    fn hide_secrets(&self, record: &mut GunicornLogModel<'_>, line: TextLine<'_>) {
        let mut is_masked = false;
        for url in [&mut record.url, &mut record.source].into_iter().flatten() {
            is_masked |= is_changed(url, |url| self.mask.apply(url));
        }
        for (_, referer) in record.headers.iter_mut().filter(|(name, _)| *name == "referer") {
            is_masked |= is_changed(referer, |referer| self.mask.apply(referer));
        }
        for (key, text) in &mut record.extras {
            is_masked |= is_changed(text, |text| match key {
                Extra::Tail(name) => self.mask.apply_to_named(name, text),
                Extra::Around(_) => self.mask.apply(text),
            });
        }
        is_masked |= self.hide_captured(record);
        if line.may_hold_token && self.mask.may_have_token(line.text.as_bytes()) {
            for text in record.texts_mut() {
                is_masked |= is_changed(text, |text| self.mask.apply_to_tokens(text));
            }
        }
        if is_masked {
            record.written.likeness = Likeness::Masked;
        }
    }

    /// Hides secrets of captured headers and variables: by their names, and in their values. Returns whether there
    /// were any.
    fn hide_captured(&self, record: &mut GunicornLogModel<'_>) -> bool {
        let mut is_masked = false;
        let captured = [&mut record.headers, &mut record.response_headers, &mut record.environ];
        for (name, text) in captured.into_iter().flatten() {
            is_masked |= is_changed(text, |text| match self.mask.hides_captured(name) {
                true => *text = Cow::Borrowed(STARS),
                false => self.mask.apply_to_text(text),
            });
        }
        self.mask.remove_secret(&mut record.route);
        self.mask.remove_secret(&mut record.request_id);
        is_masked
    }
}

/// Returns whether masking has put another text in the place of this one.
#[inline(always)]
fn is_changed<'a>(text: &mut Cow<'a, str>, mask: impl FnOnce(&mut Cow<'a, str>)) -> bool {
    let before = (text.as_ptr(), text.len());
    mask(text);
    before != (text.as_ptr(), text.len())
}

/// Returns the result for a line that cannot be read: a line of the server itself has a reason of its
/// own.
#[cold]
fn rejected<'a>(line: TextLine<'_>, reject: RejectReason) -> Parsed<'a> {
    Parsed::Reject(match reject {
        RejectReason::UnlikeFormat(_) | RejectReason::HoldsNul(None)
            if is_server_log(line.text) =>
        {
            RejectReason::ServerLog
        }
        reject => reject,
    })
}

/// Puts a prefix before the one that was taken off after it.
fn put_prefix<'a>(record: &mut GunicornLogModel<'a>, prefix: Cow<'a, str>) {
    if prefix.is_empty() {
        return;
    }
    let key = Extra::Around("prefix");
    match record.extras.iter_mut().find(|(known, _)| *known == key) {
        Some((_, inner)) => *inner = Cow::Owned(format!("{prefix}{inner}")),
        None => record.extras.push((key, prefix)),
    }
}

/// Returns the same result with texts of its own, of a line that will be gone. The names of captured
/// values are those of the layout.
fn owned<'a>(layout: &'a Layout, parsed: Parsed<'_>) -> Parsed<'a> {
    let record = match parsed {
        Parsed::Record(record) => record,
        Parsed::Json(record) => return Parsed::Json(record),
        Parsed::Excluded => return Parsed::Excluded,
        Parsed::Reject(reject) => return Parsed::Reject(reject),
    };
    let fields = layout.template().map_or(&[][..], |template| &template.fields);
    let name = |name: &str| fields.iter().map(|it| it.name.as_str()).find(|known| *known == name);
    let text = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
    let pairs = |pairs: Captured<'_>| -> Captured<'a> {
        pairs.into_iter().filter_map(|(key, value)| Some((name(key)?, text(value)))).collect()
    };
    let extras = record.extras.into_iter().filter_map(|(key, value)| {
        let key = match key {
            Extra::Around(key) => Extra::Around(key),
            Extra::Tail(key) => {
                Extra::Tail(name(key).or_else(|| UNSHAPED.iter().copied().find(|it| *it == key))?)
            }
        };
        Some((key, text(value)))
    });
    Parsed::Record(GunicornLogModel {
        timestamp: record.timestamp,
        method: record.method.map(text),
        url: record.url.map(text),
        host: record.host.map(text),
        user_id: record.user_id.map(text),
        user_ip: record.user_ip,
        agent: record.agent.map(text),
        source: record.source.map(text),
        extras: extras.collect(),
        environ: pairs(record.environ),
        response_headers: pairs(record.response_headers),
        headers: pairs(record.headers),
        duration: record.duration,
        code: record.code,
        protocol: record.protocol.map(text),
        response_bytes: record.response_bytes,
        pid: record.pid,
        route: record.route.map(text),
        request_id: record.request_id.map(text),
        trace_id: record.trace_id.map(text),
        written: record.written,
    })
}

/// The number of fields that nearly every format stays within. Their places are kept in an array of
/// one of two sizes, because clearing a large one takes time.
const FEW: usize = 10;

/// The largest number of fields of a template.
const MANY: usize = MOST_FIELDS;

impl Template {
    /// Reads one line, given without its line feed. A carriage return may remain at its end.
    ///
    /// A value may hold newlines: a record of several physical lines is read if the lines are given
    /// joined, with the newlines between them. Part of such a record is usually a reject by itself,
    /// so the caller joins lines that cannot be read alone. Only what Gunicorn decodes can hold a
    /// newline (`%(u)s`, `%(U)s`, `%({x}e)s`), so a torn line and the next line are never a record.
    ///
    /// - Texts are stored as logged, except that `\"` is unescaped to `"`. If a value holds a `"`
    ///   without a backslash, the writer escaped nothing, and `\"` stays.
    /// - `-`, `None` for numbers, and empty texts are no value.
    /// - `%(r)s` gives method, URL and protocol. The protocol may be missing. Without `%(r)s` the URL is
    ///   `%(U)s`, followed by `?` and `%(q)s`.
    /// - A value that has not the shape of its column is kept in `request`, and its column is NULL.
    /// - The duration is that of `%(D)s`, else `%(L)s`, else `%(M)s`, else `%(T)s`.
    /// - The address is `%(h)s`, else the first valid one in a captured X-Forwarded-For, else a
    ///   captured X-Real-IP, else `REMOTE_ADDR`. Ports are dropped.
    /// - The user is `%(u)s`, else a captured `REMOTE_USER`.
    /// - The request id and the trace id are those of the response, else those that a proxy has passed on, else
    ///   those of the request.
    /// - Every captured header is in `headers`, also one with a column of its own.
    ///
    /// # Errors
    /// A line that is not UTF-8, does not match the format, or holds NUL. A line that holds NUL and
    /// does not match is rejected because it does not match.
    pub fn parse<'a>(&'a self, line: &'a [u8]) -> Result<GunicornLogModel<'a>, RejectReason> {
        // The record is built in place: see `parse_text`.
        let mut result = Ok(GunicornLogModel::default());
        if let Ok(record) = &mut result {
            let line = TextLine::of(line).ok_or(RejectReason::NotUtf8)?;
            self.parse_text(line, record)?;
        }
        result
    }

    /// Reads one line into an empty record. The record is so large that moving it costs as much as
    /// reading a field, so it is filled where the caller needs it.
    ///
    /// # Errors
    /// Those of [`Template::parse`]. The contents of the record are unspecified then.
    fn parse_text<'a>(
        &'a self,
        line: TextLine<'a>,
        record: &mut GunicornLogModel<'a>,
    ) -> Result<(), RejectReason> {
        let TextLine { text, may_hold_special, .. } = line;
        let line = text.as_bytes();
        let physical = match may_hold_special && memchr::memchr(b'\n', line).is_some() {
            true => PhysicalLines::Several,
            false => PhysicalLines::One,
        };
        if self.has_blank_lines && text.trim_ascii().is_empty() {
            return Err(RejectReason::Continues); // the format begins or ends in a newline
        }
        if physical == PhysicalLines::One && self.is_plain {
            // Each value is stored as soon as it is read, without a list between the two.
            let escapes = match may_hold_special {
                true => Escapes::Possible(self.escaping()),
                false => Escapes::None,
            };
            let mut builder = RecordBuilder::new(record, escapes, Unshaped::Refuse);
            if match_greedily(self, line, |field, value| builder.set(field, text, value)) {
                builder.finish();
                let may_be_escaped = may_hold_special && self.escaping() == Escaping::Backslashes;
                if !self.is_simple || may_be_escaped || self.would_escape(line) {
                    record.written.likeness = Likeness::Unknown;
                }
                return if may_hold_special { check_no_nul(line) } else { Ok(()) };
            }
            *record = GunicornLogModel::default();
        }
        match self.fields.len() {
            n @ 0..=FEW => {
                self.parse_by_search(text, physical, record, &mut [FieldMatch::default(); FEW][..n])
            }
            n => self.parse_by_search(
                text,
                physical,
                record,
                &mut [FieldMatch::default(); MANY][..n],
            ),
        }
    }

    /// Reads a line that does not match greedily.
    #[cold]
    fn parse_by_search<'a>(
        &'a self,
        text: &'a str,
        physical: PhysicalLines,
        record: &mut GunicornLogModel<'a>,
        values: &mut [FieldMatch],
    ) -> Result<(), RejectReason> {
        let line = text.as_bytes();
        let found = match_by_search(self, line, physical, values);
        let (quoting, within) = match (found, text.strip_suffix('\r')) {
            (Ok(quoting), _) => (quoting, text),
            (Err(reject), None) => return Err(reject),
            (Err(reject), Some(within)) => {
                match match_fields(self, within.as_bytes(), physical, values) {
                    Ok(quoting) => (quoting, within),
                    Err(_) => return Err(reject),
                }
            }
        };
        check_no_nul(line)?;
        let escapes = match quoting {
            Quoting::Escaped => Escapes::Possible(self.escaping()),
            Quoting::Verbatim => Escapes::None,
        };
        let mut builder = RecordBuilder::new(record, escapes, Unshaped::Keep);
        for (field, value) in self.fields.iter().zip(values) {
            if !builder.set(field, within, *value) {
                return Err(RejectReason::UnlikeFormat(field.missing_terminator.clone()));
            }
        }
        builder.finish();
        Ok(())
    }
}

/// Refuses a line that holds NUL.
#[cold]
fn check_no_nul(line: &[u8]) -> Result<(), RejectReason> {
    match memchr::memchr(0, line) {
        Some(_) => Err(RejectReason::HoldsNul(None)),
        None => Ok(()),
    }
}

/// Bytes that are checked together (8 KiB). They are few enough to be in the processor's cache when
/// they are read, and to be checked again after a line that is not a record.
const CHUNK_SIZE: usize = 8 << 10;

/// One line of valid UTF-8, without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextLine<'a> {
    pub(super) text: &'a str,
    /// `false` if the line holds neither NUL nor a newline nor a backslash; `true` may be wrong.
    pub(super) may_hold_special: bool,
    /// `false` if no text of the line holds a JSON Web Token or the user information of a URL; `true` may be
    /// wrong.
    may_hold_token: bool,
}

impl<'a> TextLine<'a> {
    /// Returns the bytes of the line, without its end.
    #[inline]
    pub fn bytes(self) -> &'a [u8] {
        self.text.as_bytes()
    }

    /// Returns a line that may hold anything.
    fn special(text: &'a str) -> TextLine<'a> {
        TextLine { text, may_hold_special: true, may_hold_token: true }
    }

    /// Checks one line. Returns `None` if the line is not UTF-8.
    #[inline]
    pub(super) fn of(line: &'a [u8]) -> Option<TextLine<'a>> {
        let text = std::str::from_utf8(line).ok()?;
        let may_hold_special = memchr::memchr3(0, b'\n', b'\\', line).is_some();
        Some(TextLine { text, may_hold_special, may_hold_token: true })
    }
}

/// Adjacent complete lines, all of them UTF-8. The iterator returns each line and its length in bytes,
/// including its end.
///
/// About forty lines are checked at once for UTF-8, NUL and backslashes. Checking each line alone takes
/// an eighth of the instructions of reading it, more than half of them for starting and ending.
#[derive(Clone, Debug)]
pub struct Chunk<'a> {
    rest: &'a str,
    may_hold_special: bool,
    may_hold_token: bool,
}

impl<'a> Chunk<'a> {
    /// Takes the first few complete lines of `bytes`. The chunk is empty if they are not all UTF-8, or
    /// if the first is long. Such lines must be read by [`LineParser::parse`].
    pub fn of(bytes: &'a [u8]) -> Chunk<'a> {
        let bytes = &bytes[..bytes.len().min(CHUNK_SIZE)];
        let whole = memchr::memrchr(b'\n', bytes).map_or(0, |last| last + 1);
        let rest = std::str::from_utf8(&bytes[..whole]).unwrap_or_default();
        let bytes = rest.as_bytes();
        // Most chunks have none of these, and of the others each line is looked at.
        let has_any = memchr::memchr3(0, b'\\', b'@', bytes).is_some();
        let may_hold_special = has_any && memchr::memchr2(0, b'\\', bytes).is_some();
        let may_hold_token = has_any || memchr::memchr(b'J', bytes).is_some();
        Chunk { rest, may_hold_special, may_hold_token }
    }
}

impl<'a> Iterator for Chunk<'a> {
    type Item = (TextLine<'a>, usize);

    /// Returns the next line. It ends at `\n`; one `\r` before it belongs to the end.
    #[inline]
    fn next(&mut self) -> Option<(TextLine<'a>, usize)> {
        let length = memchr::memchr(b'\n', self.rest.as_bytes())?;
        let (line, rest) = self.rest.split_at_checked(length + 1)?;
        self.rest = rest;
        let line = &line[..length];
        let text = line.strip_suffix('\r').unwrap_or(line);
        let Chunk { may_hold_special, may_hold_token, .. } = *self;
        Some((TextLine { text, may_hold_special, may_hold_token }, length + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_masked_excluded_or_rejected() {
        let template = Template::compile(r#""%(r)s" "%(f)s" "%({referer}i)s""#).unwrap();
        let mask = Mask::by_meaning(&["token".into()]);
        let exclusions = Exclusions::new(&["/static/".into()], &[]);
        let parser = LineParser::new(template, mask, exclusions);
        let line = br#""GET /?token=a HTTP/1.1" "/?token=b" "/?token=b""#;
        let Parsed::Record(record) = parser.parse(line) else { panic!("no record") };
        assert_eq!(record.url.as_deref(), Some("/?token=********"));
        assert_eq!(record.source.as_deref(), Some("/?token=********"));
        assert_eq!(record.headers[0].1, "/?token=********");
        assert_eq!(parser.parse(br#""GET /static/x HTTP/1.1" "-" "-""#), Parsed::Excluded);
        assert!(matches!(parser.parse(b"x"), Parsed::Reject(_)));
    }

    fn texts(bytes: &[u8]) -> Vec<(&str, bool, usize)> {
        Chunk::of(bytes).map(|(line, length)| (line.text, line.may_hold_special, length)).collect()
    }

    #[test]
    fn a_chunk_holds_complete_lines() {
        assert_eq!(
            texts(b"a\nb\r\n\nc\r\r\nd"),
            [("a", false, 2), ("b", false, 3), ("", false, 1), ("c\r", false, 4),]
        );
        assert_eq!(texts(b"a"), []);
        assert_eq!(texts("ä\nb\\\n".as_bytes()), [("ä", true, 3), ("b\\", true, 3)]);
        assert_eq!(texts(b"a\n\xff\n"), []);
        assert_eq!(texts(b"a\n\xff"), [("a", false, 2)]);
        assert_eq!(texts(b"a\0\n"), [("a\0", true, 3)]);
    }

    #[test]
    fn a_line_of_a_chunk_is_read_like_a_single_line() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/corpus");
        for name in ["default", "forwarded-for-first", "json-template"] {
            let format = std::fs::read_to_string(format!("{root}/{name}/format.txt")).unwrap();
            let log = std::fs::read(format!("{root}/{name}/access.log")).unwrap();
            let template = Template::compile(format.trim_end()).unwrap();
            let parser = LineParser::new(template, Mask::default(), Exclusions::default());
            let (mut at, mut together) = (0, 0);
            while at < log.len() {
                let from = at;
                for (line, length) in Chunk::of(&log[from..]) {
                    let alone = &log[at..at + length - 1];
                    let alone = alone.strip_suffix(b"\r").unwrap_or(alone);
                    assert_eq!(parser.parse_text(line), parser.parse(alone), "{name}, byte {at}");
                    at += length;
                    together += 1;
                }
                if at == from {
                    at += memchr::memchr(b'\n', &log[at..]).unwrap() + 1; // not UTF-8, or long
                }
            }
            assert!(together > 100, "{name}");
        }
    }

    #[test]
    fn a_chunk_is_bounded() {
        let lines = "0123456\n".repeat(CHUNK_SIZE);
        assert_eq!(texts(lines.as_bytes()).len(), CHUNK_SIZE / 8);
        assert_eq!(texts(&[&[b'x'; CHUNK_SIZE], b"\n".as_slice()].concat()), []);
    }

    const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

    #[test]
    fn a_default_line_fills_its_columns() {
        let template = Template::compile(DEFAULT).unwrap();
        let line = br#"203.0.113.9 - x - y [23/Nov/2026:14:23:17 +0530] "GET /a?b=\"c\" HTTP/1.1" 304 - "-" "q\"\""#;
        let right = GunicornLogModel {
            timestamp: Some(1_795_423_997_000_000),
            method: Some("GET".into()),
            url: Some("/a?b=\"c\"".into()),
            user_id: Some("x - y".into()),
            user_ip: "203.0.113.9".parse().ok(),
            agent: Some("q\"\\".into()),
            code: Some(304),
            protocol: Some("HTTP/1.1".into()),
            ..GunicornLogModel::default()
        };
        assert_eq!(template.parse(line), Ok(right));
        let with_return: Vec<u8> = [line.as_slice(), b"\r"].concat();
        assert_eq!(template.parse(&with_return), template.parse(line));
    }

    #[test]
    fn absent_values_are_null() {
        let template = Template::compile(DEFAULT).unwrap();
        let line = br#" - - [01/Jan/1970:00:00:00 +0000] "-" - - "" "-""#;
        let right = GunicornLogModel { timestamp: Some(0), ..GunicornLogModel::default() };
        assert_eq!(template.parse(line), Ok(right));
    }

    #[test]
    fn the_most_precise_duration_is_used() {
        let template = Template::compile("%(T)s %(M)s %(D)s %(L)s").unwrap();
        let duration = |line: &'static [u8]| template.parse(line).unwrap().duration;
        assert_eq!(duration(b"1 1234 1234567 1.234566"), Some(1_234_567));
        assert_eq!(duration(b"1 1234 - 1.234566"), Some(1_234_566));
        assert_eq!(duration(b"1 1234 - -"), Some(1_234_000));
        assert_eq!(duration(b"1 - - -"), Some(1_000_000));
        assert_eq!(duration(b"- - - -"), None);
    }

    #[test]
    fn captured_values_are_stored_by_name_and_fill_columns() {
        let format = r#"%(h)s "%({Host}i)s" "%({X-Forwarded-For}i)s" "%({x-a}o)s" "%({wsgi.b}e)s" "%({none}i)s""#;
        let template = Template::compile(format).unwrap();
        let line = br#"unix: "example.com" "unknown, [2001:db8::1]:80" "1" "2" "-""#;
        let record = template.parse(line).unwrap();
        assert_eq!(record.host.as_deref(), Some("example.com"));
        assert_eq!(record.user_ip, "2001:db8::1".parse().ok());
        assert_eq!(record.headers.len(), 2);
        assert_eq!(record.headers[0], ("host", "example.com".into()));
        assert_eq!(record.response_headers, [("x-a", "1".into())]);
        assert_eq!(record.environ, [("wsgi.b", "2".into())]);
    }

    #[test]
    fn a_value_without_its_shape_is_kept_and_its_column_is_null() {
        let template = Template::compile("%(h)s \"%(r)s\" %(s)s").unwrap();
        let record = template.parse(b"web.example \"\\x16\\x03\" 999").unwrap();
        assert_eq!((&record.url, &record.method), (&None, &None));
        assert_eq!((record.code, record.user_ip), (None, None));
        let kept = serde_json::json!({
            "tail": {"remote_host": "web.example", "request_line": "\\x16\\x03", "status": "999"}
        });
        assert_eq!(record.request(), Some(kept));
    }

    #[test]
    fn a_request_line_may_lack_its_protocol() {
        let template = Template::compile("\"%(r)s\" %(s)s").unwrap();
        let record = template.parse(b"\"GET /\" 499").unwrap();
        assert_eq!((record.method.as_deref(), record.url.as_deref()), (Some("GET"), Some("/")));
        assert_eq!(record.protocol, None);
    }

    fn parse(layout: &str, line: &str) -> serde_json::Value {
        let layout = Layout::named_or_format(layout).unwrap();
        let parser = LineParser::new(layout, Mask::default(), Exclusions::default());
        let parsed = parser.parse(line.as_bytes());
        let Parsed::Record(record) = parsed else { panic!("{parsed:?}") };
        serde_json::json!({
            "url": record.url, "user_ip": record.user_ip, "agent": record.agent, "pid": record.pid,
            "request": record.request(),
        })
    }

    #[test]
    fn a_prefix_is_kept_with_the_row() {
        let line =
            r#"127.0.0.1 - - [25/Nov/2026:22:54:28 +0000] "GET /a HTTP/1.1" 200 1 "-" "curl""#;
        let row = |pid: Option<i32>, request: serde_json::Value| {
            serde_json::json!({"url": "/a", "user_ip": "127.0.0.1", "agent": "curl", "pid": pid,
                "request": request})
        };
        let prefix = "[2026-11-25 22:54:28 +0000] [123] [INFO] ";
        let found = parse("after-log gunicorn", &format!("{prefix}{line}"));
        assert_eq!(found, row(Some(123), serde_json::json!({"prefix": prefix})));
        let found = parse("after-compose after-log gunicorn", &format!("web_1  | {prefix}{line}"));
        let both = format!("web_1  | {prefix}");
        assert_eq!(
            found,
            row(Some(123), serde_json::json!({"prefix": both, "container": "web_1"}))
        );
        let json = serde_json::json!({"message": line, "levelname": "INFO"}).to_string();
        let found = parse("after-json gunicorn", &json);
        assert_eq!(found, row(None, serde_json::json!({"line": json})));
        let coloured = line.replace("GET", "\u{1b}[32mGET\u{1b}[0m");
        let found = parse("after-colours gunicorn", &coloured);
        assert_eq!(found, row(None, serde_json::json!({"line": coloured})));
    }

    #[test]
    fn bytes_that_no_text_column_can_hold_are_rejects() {
        let template = Template::compile("%(U)s %(s)s").unwrap();
        assert_eq!(template.parse(b"/\xff 200"), Err(RejectReason::NotUtf8));
        assert_eq!(template.parse(b"/\0 200"), Err(RejectReason::HoldsNul(None)));
        assert!(matches!(template.parse(b"/\0 x"), Err(RejectReason::UnlikeFormat(_))));
    }
}
