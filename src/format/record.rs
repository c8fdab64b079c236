//! From the places of the fields to a record: which atom fills which column.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use super::address::{address, first_address};
use super::atom::Atom;
use super::chunk::TextLine;
use super::fields::request_line;
use super::greedy::greedy;
use super::read::{Quoting, Value, read, search};
use super::reject::Reject;
use super::template::{Field, Template};
use crate::model::{Captured, GunicornLogModel};

/// Places are kept in an array of one of two sizes, since a large one takes time to clear. So many
/// fields has nearly every format.
const FEW: usize = 10;
/// The most fields that a template has.
const MANY: usize = 64;

impl Template {
    /// Reads one line, given without its line end (a carriage return before it may stay).
    ///
    /// A value may hold newlines: a record that takes several physical lines is read if they are
    /// given joined, with the newlines between them. A part of such a record is a reject by
    /// itself, as a rule, so the caller joins lines that cannot be read alone. Only what Gunicorn
    /// decodes can hold a newline (`%(u)s`, `%(U)s`, `%({x}e)s`): a torn line and the whole one
    /// behind it do not make a record.
    ///
    /// - Texts are stored as logged, but for `\"`, which Gunicorn wrote for `"`. If some value
    ///   holds a `"` without a backslash, the writer escaped nothing and neither is undone.
    /// - `-`, `None` for numbers, and empty texts are no value.
    /// - `%(r)s` gives method, URL and protocol; if it is not three such words, all of it is the
    ///   URL. Without it the URL is `%(U)s`, and `%(q)s` behind a `?`.
    /// - The duration is that of `%(D)s`, else `%(L)s`, else `%(M)s`, else `%(T)s`.
    /// - The address is `%(h)s`, else the first valid one in a captured X-Forwarded-For, else a
    ///   captured X-Real-IP; ports are dropped.
    /// - Every captured header is in `headers`, also one with a column of its own.
    ///
    /// # Errors
    /// If the line is not UTF-8, does not have the format's shape, or holds NUL. A line that holds
    /// NUL in the wrong shape is told by its shape.
    pub fn parse<'a>(&'a self, line: &'a [u8]) -> Result<GunicornLogModel<'a>, Reject> {
        // Made where the caller wants it, and filled there.
        let mut result = Ok(GunicornLogModel::default());
        if let Ok(record) = &mut result {
            self.parse_to(line, record)?;
        }
        result
    }

    /// As [`Template::parse`], into an empty record. It is large enough that moving it about costs
    /// as much as reading a field.
    ///
    /// # Errors
    /// The same; the record is useless then.
    pub(super) fn parse_to<'a>(
        &'a self,
        line: &'a [u8],
        record: &mut GunicornLogModel<'a>,
    ) -> Result<(), Reject> {
        let line = TextLine::of(line).ok_or(Reject::NotUtf8)?;
        self.parse_text(line, record)
    }

    /// As [`Template::parse_to`], of a line that was looked at.
    ///
    /// # Errors
    /// The same.
    pub(super) fn parse_text<'a>(
        &'a self,
        line: TextLine<'a>,
        record: &mut GunicornLogModel<'a>,
    ) -> Result<(), Reject> {
        let TextLine { text, odd } = line;
        let line = text.as_bytes();
        let joined = odd && memchr::memchr(b'\n', line).is_some();
        if !joined {
            // Fields are put where they belong as they are read, without a list between the two.
            let mut draft = Draft::of(record, odd);
            if greedy(self, line, |field, value| draft.put(field, text, value)) {
                draft.finish();
                return if odd { without_nul(line) } else { Ok(()) };
            }
            *record = GunicornLogModel::default();
        }
        match self.fields.len() {
            n @ 0..=FEW => self.search(text, joined, record, &mut [Value::default(); FEW][..n]),
            n => self.search(text, joined, record, &mut [Value::default(); MANY][..n]),
        }
    }

    /// Reads a line that cannot be read greedily.
    #[cold]
    fn search<'a>(
        &'a self,
        text: &'a str,
        joined: bool,
        record: &mut GunicornLogModel<'a>,
        values: &mut [Value],
    ) -> Result<(), Reject> {
        let line = text.as_bytes();
        let found = search(self, line, joined, values);
        let (quoting, within) = match (found, text.strip_suffix('\r')) {
            (Ok(quoting), _) => (quoting, text),
            (Err(reject), None) => return Err(reject),
            (Err(reject), Some(within)) => match read(self, within.as_bytes(), joined, values) {
                Ok(quoting) => (quoting, within),
                Err(_) => return Err(reject),
            },
        };
        without_nul(line)?;
        let mut draft = Draft::of(record, quoting == Quoting::Escaped);
        for (field, value) in self.fields.iter().zip(values) {
            if !draft.put(field, within, *value) {
                return Err(Reject::Unlike(field.no_end.clone()));
            }
        }
        draft.finish();
        Ok(())
    }
}

#[cold]
fn without_nul(line: &[u8]) -> Result<(), Reject> {
    match memchr::memchr(0, line) {
        Some(_) => Err(Reject::HoldsNul),
        None => Ok(()),
    }
}

/// A record, and what decides between several atoms for one column.
struct Draft<'r, 'a> {
    record: &'r mut GunicornLogModel<'a>,
    /// Whether the line may hold `\"` for `"`.
    escapes: bool,
    path: Option<Cow<'a, str>>,
    query: Option<Cow<'a, str>>,
    /// How exact the duration is: 4 for `D`, down to 1 for `T`, 0 for none yet.
    exactness: u8,
    forwarded_for: Option<IpAddr>,
    real_ip: Option<IpAddr>,
}

impl<'r, 'a> Draft<'r, 'a> {
    fn of(record: &'r mut GunicornLogModel<'a>, escapes: bool) -> Draft<'r, 'a> {
        Draft {
            record,
            escapes,
            path: None,
            query: None,
            exactness: 0,
            forwarded_for: None,
            real_ip: None,
        }
    }

    /// Puts the field's value where it belongs; `false` if it is a part of a character. Fields end
    /// at literals of the format, so within none; but neighbours without a literal could.
    ///
    /// Inlined with what it calls into the loop of [`greedy`], which says why.
    #[inline(always)]
    fn put(&mut self, field: &'a Field, line: &'a str, value: Value) -> bool {
        if !field.atom.is_text() {
            if let Some(number) = value.number {
                self.number(field.atom, number);
            }
            return true;
        }
        if let (Atom::RemoteAddress, Some(address)) = (field.atom, value.number) {
            self.record.user_ip = u32::try_from(address).ok().map(ipv4);
            return true;
        }
        let Some(text) = line.get(value.start..value.end) else { return false };
        if !matches!(text, "" | "-") {
            self.text(field, text);
        }
        true
    }

    #[inline(always)]
    fn number(&mut self, atom: Atom, number: i64) {
        let record = &mut *self.record;
        let exactness = match atom {
            Atom::Time => return record.timestamp = Some(number),
            Atom::Status => return record.code = i32::try_from(number).ok(),
            Atom::ResponseBytes => return record.response_bytes = Some(number),
            Atom::Pid => return record.pid = i32::try_from(number).ok(),
            Atom::Microseconds => 4,
            Atom::DecimalSeconds => 3,
            Atom::Milliseconds => 2,
            _ => 1,
        };
        if exactness > self.exactness {
            self.exactness = exactness;
            record.duration = Some(number);
        }
    }

    #[inline(always)]
    fn text(&mut self, field: &'a Field, raw: &'a str) {
        if field.atom == Atom::RequestLine {
            return self.request_line(raw);
        }
        let escapes = self.escapes;
        let record = &mut *self.record;
        let text = unescape(raw, escapes);
        match field.atom {
            Atom::RemoteAddress => record.user_ip = address(&text),
            Atom::User => record.user_id = Some(text),
            Atom::Method => record.method = Some(text),
            Atom::Path => self.path = Some(text),
            Atom::Query => self.query = Some(text),
            Atom::Protocol => record.protocol = Some(text),
            Atom::Referer => record.source = Some(text),
            Atom::Agent => record.agent = Some(text),
            Atom::ResponseHeader => capture(&mut record.response_headers, &field.name, text),
            Atom::Environ => capture(&mut record.environ, &field.name, text),
            _ => self.request_header(&field.name, text),
        }
    }

    /// Its words are told apart before they are unescaped, so that each is copied alone, if at all:
    /// no space comes or goes by that.
    fn request_line(&mut self, text: &'a str) {
        let escapes = self.escapes;
        let record = &mut *self.record;
        let Some(words) = request_line(text) else {
            return record.url = Some(unescape(text, escapes));
        };
        record.method = Some(unescape(words.method, escapes));
        record.url = (!words.url.is_empty()).then(|| unescape(words.url, escapes));
        record.protocol = Some(unescape(words.protocol, escapes));
    }

    fn request_header(&mut self, name: &'a str, text: Cow<'a, str>) {
        let record = &mut *self.record;
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

    fn finish(self) {
        let record = self.record;
        record.user_ip = record.user_ip.or(self.forwarded_for).or(self.real_ip);
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

fn ipv4(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

/// A format may name one header twice; one of them says all.
fn capture<'a>(captured: &mut Captured<'a>, name: &'a str, text: Cow<'a, str>) {
    if captured.iter().all(|(known, _)| *known != name) {
        captured.push((name, text));
    }
}

#[inline]
fn unescape(text: &str, escapes: bool) -> Cow<'_, str> {
    if escapes { unescaped(text) } else { Cow::Borrowed(text) }
}

#[cold]
fn unescaped(text: &str) -> Cow<'_, str> {
    if memchr::memmem::find(text.as_bytes(), b"\\\"").is_none() {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.replace("\\\"", "\""))
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn nothing_is_null() {
        let template = Template::compile(DEFAULT).unwrap();
        let line = br#" - - [01/Jan/1970:00:00:00 +0000] "-" - - "" "-""#;
        let right = GunicornLogModel { timestamp: Some(0), ..GunicornLogModel::default() };
        assert_eq!(template.parse(line), Ok(right));
    }

    #[test]
    fn the_most_exact_duration_wins() {
        let template = Template::compile("%(T)s %(M)s %(D)s %(L)s").unwrap();
        let duration = |line: &'static [u8]| template.parse(line).unwrap().duration;
        assert_eq!(duration(b"1 1234 1234567 1.234566"), Some(1_234_567));
        assert_eq!(duration(b"1 1234 - 1.234566"), Some(1_234_566));
        assert_eq!(duration(b"1 1234 - -"), Some(1_234_000));
        assert_eq!(duration(b"1 - - -"), Some(1_000_000));
        assert_eq!(duration(b"- - - -"), None);
    }

    #[test]
    fn captured_values_are_kept_by_name_and_fill_columns() {
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
    fn a_request_that_is_no_request_line_is_kept_whole() {
        let template = Template::compile("\"%(r)s\"").unwrap();
        let record = template.parse(b"\"\\x16\\x03\"").unwrap();
        assert_eq!(record.url.as_deref(), Some("\\x16\\x03"));
        assert_eq!(record.method, None);
    }

    #[test]
    fn bytes_that_no_text_column_takes_are_rejects() {
        let template = Template::compile("%(U)s %(s)s").unwrap();
        assert_eq!(template.parse(b"/\xff 200"), Err(Reject::NotUtf8));
        assert_eq!(template.parse(b"/\0 200"), Err(Reject::HoldsNul));
        assert!(matches!(template.parse(b"/\0 x"), Err(Reject::Unlike(_))));
    }
}
