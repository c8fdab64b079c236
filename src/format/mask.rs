//! Replaces secrets by stars: the values of parameters, keys and headers by their names, and what looks
//! like a secret wherever it stands.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use super::json::hide_in_json;
use super::mask_texts::{begins_like_json, plain_json_end};
use super::secrets::{
    END, EQUALS, OTHER, SHORTEST_VALUE, SecretNames, Triples, class, find_tokens, find_values,
    may_have_token, may_have_value,
};

/// The text that replaces a masked value.
pub const STARS: &str = "********";

/// The default names of older versions, which compared whole names. Of themselves they mean a secret.
pub(super) const OLDER_FIELDS: [&str; 4] = ["password", "token", "access_key", "secret"];

/// Headers that hold nothing but a secret.
const HEADERS: [&str; 5] =
    ["authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key"];

/// Replaces secrets before they are stored.
///
/// A parameter matches by its name, without regard to case and percent-encoding. Parameters come after the
/// first `?` or `#` and are separated by `&`; within one, names may also stand after `;`, `?` or `#`, as in a
/// URL that is a parameter's value. Since a secret may hold these characters too, all up to the next `&` is
/// replaced. By meaning, a value that is percent-encoded is replaced as a whole if it holds a secret when it is
/// decoded: a URL with such a parameter, or JSON with such a key.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    rule: Rule,
    /// Whether rejected lines are kept as they were logged.
    keeps_raw_rejects: bool,
}

#[derive(Clone, Debug, Default)]
enum Rule {
    #[default]
    Nothing,
    /// Whole names in lower case. Of a name with brackets (`user[password]`, `password[]`) any part may
    /// match.
    Exact(Vec<Vec<u8>>, Extent),
    /// Names by their parts, and values by their form.
    Meaning(Arc<Meaning>),
}

/// How much of a parameter is replaced, after the name of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    /// All up to the next `&`.
    Parameter,
    /// Up to the next `&`, `;`, `?` or `#`: older versions did so.
    Piece,
}

/// How often a value within a value is decoded: more would let a client choose the time that a line takes.
pub(super) const MOST_NESTED: u32 = 4;

/// Which texts are looked at. Rows that an older version stored are told by its rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edition {
    /// Parameters of URLs, and captured values by their names.
    First,
    /// All texts, and texts within them however they are encoded.
    Second,
}

#[derive(Debug)]
pub(super) struct Meaning {
    names: SecretNames,
    /// The names that the user gave.
    fields: Vec<String>,
    edition: Edition,
}

impl Mask {
    /// Makes a mask for names that mean a secret, those of `fields` among them, and for values that look like
    /// one. Without `fields`, nothing is masked.
    pub fn by_meaning(fields: &[String]) -> Mask {
        if fields.iter().all(|field| field.trim().is_empty()) {
            return Mask::default();
        }
        Mask::of_edition(fields, Edition::Second)
    }

    fn of_edition(fields: &[String], edition: Edition) -> Mask {
        let names = SecretNames::new(fields);
        let rule = Rule::Meaning(Arc::new(Meaning { names, fields: fields.to_vec(), edition }));
        Mask { rule, ..Mask::default() }
    }

    /// Makes a mask for exactly these names. Without names, nothing is masked.
    pub fn exact(fields: &[String]) -> Mask {
        let names = fields.iter().map(|name| name.trim().to_lowercase().into_bytes());
        Mask::of_names(names.filter(|name| !name.is_empty()).collect(), Extent::Parameter)
    }

    fn of_names(names: Vec<Vec<u8>>, extent: Extent) -> Mask {
        let rule = if names.is_empty() { Rule::Nothing } else { Rule::Exact(names, extent) };
        Mask { rule, ..Mask::default() }
    }

    /// Returns the same mask, by which rejected lines are kept as they were logged.
    #[must_use]
    pub fn keeping_raw_rejects(mut self) -> Mask {
        self.keeps_raw_rejects = true;
        self
    }

    pub(super) fn keeps_raw_rejects(&self) -> bool {
        self.keeps_raw_rejects
    }

    /// Returns the masks by which lines may have been stored before with the same names: rejects kept otherwise,
    /// then older rules, the newest first.
    pub(crate) fn older(&self) -> Vec<Mask> {
        let (first, exact) = match &self.rule {
            Rule::Nothing => return Vec::new(),
            Rule::Meaning(meaning) => (
                (meaning.edition == Edition::Second)
                    .then(|| Mask::of_edition(&meaning.fields, Edition::First)),
                Some(Mask::exact(&meaning.fields)),
            ),
            Rule::Exact(..) => (None, None),
        };
        let names = match exact.as_ref().map_or(&self.rule, |exact| &exact.rule) {
            Rule::Exact(names, Extent::Parameter) => Some(names.clone()),
            _ => None,
        };
        let pieces = names.map(|names| Mask::of_names(names, Extent::Piece));
        let keeps_raw_rejects = !self.keeps_raw_rejects;
        std::iter::once(Mask { keeps_raw_rejects, ..self.clone() })
            .chain(first)
            .chain(exact)
            .chain(pieces)
            .collect()
    }

    /// Returns the newest rule, if it applies.
    #[inline]
    pub(super) fn newest(&self) -> Option<&Meaning> {
        match &self.rule {
            Rule::Meaning(meaning) if meaning.edition == Edition::Second => Some(meaning),
            _ => None,
        }
    }

    /// Returns whether nothing is masked.
    pub(super) fn is_empty(&self) -> bool {
        matches!(self.rule, Rule::Nothing)
    }

    /// Masks the values in the query of `url`. Text without such parameters stays borrowed.
    pub(super) fn apply(&self, url: &mut Cow<'_, str>) {
        let bytes = url.as_bytes();
        let Some(query) = memchr::memchr2(b'?', b'#', bytes) else { return };
        self.apply_from(query + 1, url);
    }

    /// Masks the values in names and values alone, without a URL before them.
    pub(super) fn apply_to_form(&self, form: &mut Cow<'_, str>) {
        self.apply_from(0, form);
    }

    fn apply_from(&self, start: usize, url: &mut Cow<'_, str>) {
        match &self.rule {
            Rule::Nothing => {}
            Rule::Exact(names, extent) => apply_exact(names, *extent, start, url),
            Rule::Meaning(meaning) => meaning.apply_from(start, url, 0),
        }
    }

    /// Returns whether the values of parameters with this name are masked.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match &self.rule {
            Rule::Nothing => false,
            Rule::Exact(names, _) => is_named(names, name),
            Rule::Meaning(meaning) => meaning.matches(name),
        }
    }

    /// Returns whether a header, or a key of JSON, is masked by its name.
    pub(super) fn hides_header(&self, name: &str) -> bool {
        is_secret_header(name) || self.matches(name.as_bytes())
    }

    /// Returns whether a captured header or variable is masked by its name.
    pub(super) fn hides_captured(&self, name: &str) -> bool {
        match &self.rule {
            Rule::Nothing | Rule::Exact(_, Extent::Piece) => false,
            Rule::Exact(_, Extent::Parameter) => is_secret_header(name),
            Rule::Meaning(_) => self.hides_header(name),
        }
    }

    /// Returns whether secrets are told by their meaning.
    fn is_by_meaning(&self) -> bool {
        matches!(self.rule, Rule::Meaning(_))
    }

    /// Removes the name of a request if it looks like a secret: stars would name all such requests alike.
    #[inline]
    pub(super) fn remove_secret<T: AsRef<str>>(&self, name: &mut Option<T>) {
        if name.as_ref().is_some_and(|name| self.has_secret(name.as_ref())) {
            *name = None;
        }
    }

    #[cold]
    fn has_secret(&self, text: &str) -> bool {
        self.is_by_meaning() && may_have_value(text.as_bytes()) && !find_values(text).is_empty()
    }

    /// Masks what looks like a secret in a text.
    pub(super) fn apply_to_values(&self, text: &mut Cow<'_, str>) {
        if self.is_by_meaning() && may_have_value(text.as_bytes()) {
            hide(find_values(text), text);
        }
    }

    /// Returns whether [`Mask::apply_to_tokens`] may change any text of a line: a quick look at all of it.
    #[inline]
    pub(super) fn may_have_token(&self, line: &[u8]) -> bool {
        self.is_by_meaning() && may_have_token(line)
    }

    /// Masks JSON Web Tokens and the user information of URLs, which are secrets also where numbers and words
    /// may be anything: in a path, a name or a header.
    pub(super) fn apply_to_tokens(&self, text: &mut Cow<'_, str>) {
        if self.is_by_meaning() && may_have_token(text.as_bytes()) {
            hide(find_tokens(text), text);
        }
    }
}

/// Replaces these parts of a text by stars.
pub(super) fn hide(found: Vec<Range<usize>>, text: &mut Cow<'_, str>) {
    let Some(last) = found.last() else { return };
    let mut masked = String::with_capacity(text.len());
    let (mut copied, mut strings) = (0, 0);
    let is_json = text.trim_start().starts_with(['{', '[']);
    let rest = last.end;
    for value in found {
        masked.push_str(&text[copied..value.start]);
        // In JSON a number becomes a text.
        let is_bare = is_json && !is_within_string(text.as_bytes(), &mut strings, value.start);
        let quote = if is_bare { "\"" } else { "" };
        masked.push_str(quote);
        masked.push_str(STARS);
        masked.push_str(quote);
        copied = value.end;
    }
    masked.push_str(&text[rest..]);
    *text = Cow::Owned(masked);
}

impl Meaning {
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        let is_suspect =
            name.iter().any(|byte| class(*byte) >= END) || self.names.triples.is_in(name);
        is_suspect && self.names.has(&decoded(name))
    }

    /// Masks the parameters from `start` on.
    pub(super) fn apply_from(&self, mut start: usize, url: &mut Cow<'_, str>, nested: u32) {
        let bytes = url.as_bytes();
        let mut masked = String::new();
        let mut copied = 0;
        // Up to where JSON that stands as it is was looked at, and the end of the last parameter with some.
        let (mut json_to, mut known_to) = (0, 0);
        let mut is_first = true;
        // Where the parameter's value begins, and whether it may have to be decoded.
        let (mut whole, mut is_encoded) = (usize::MAX, false);
        while start < bytes.len() {
            if is_first && self.edition == Edition::Second {
                // A parameter without a name.
                if class(bytes[start]) == OTHER
                    && start >= json_to
                    && begins_like_json(&bytes[start..])
                {
                    let json = plain_json_end(bytes, start);
                    json_to = json.unwrap_or(start);
                    let end = parameter_end(bytes, json.unwrap_or(start));
                    if self.has_secret_within(&bytes[start..end], nested) {
                        masked.push_str(&url[copied..start]);
                        masked.push_str(STARS);
                        (copied, start) = (end, end + 1);
                        continue;
                    }
                    known_to = end;
                }
            }
            let (mut key, mut is_suspect, mut at) = (0, false, start);
            let mut end_class = END;
            while at < bytes.len() {
                let class = class(bytes[at]);
                if class >= END {
                    if class != OTHER {
                        end_class = class;
                        break;
                    }
                    is_suspect = true;
                    // What follows a `?` within a value may be encoded, its `=` too.
                    is_encoded |= whole != usize::MAX && self.edition == Edition::Second;
                }
                key = Triples::next(key, class);
                is_suspect |= self.names.triples.has(key);
                at += 1;
            }
            let mut end = at;
            if end_class == EQUALS && at < bytes.len() {
                let value = at + 1;
                if value >= json_to
                    && self.edition == Edition::Second
                    && let Some(json) = plain_json_end(bytes, value)
                {
                    json_to = json;
                    let end = parameter_end(bytes, json);
                    if self.has_secret_within(&bytes[value..end], nested) {
                        masked.push_str(&url[copied..value]);
                        masked.push_str(STARS);
                        (copied, start) = (end, end + 1);
                        (whole, is_encoded, is_first) = (usize::MAX, false, true);
                        continue;
                    }
                    known_to = if whole == usize::MAX { end } else { known_to };
                }
                end = value;
                while end < bytes.len() {
                    let class = class(bytes[end]);
                    if class == END {
                        break;
                    }
                    is_encoded |= class == OTHER;
                    end += 1;
                }
                // A URL may lack its scheme.
                is_encoded |= whole == usize::MAX && bytes[value..].starts_with(b"//");
                whole = whole.min(value);
                let has_secret = || {
                    is_suspect && self.names.has(&decoded(&bytes[start..at]))
                        || end - value >= SHORTEST_VALUE && is_secret_value(&bytes[value..end])
                };
                if bytes.get(value).is_some_and(|byte| *byte != b'&') && has_secret() {
                    end = parameter_end(bytes, end);
                    masked.push_str(&url[copied..value]);
                    masked.push_str(STARS);
                    copied = end;
                    is_encoded = false;
                }
            }
            is_first = bytes.get(end).is_none_or(|byte| *byte == b'&');
            if is_first {
                if is_encoded
                    && end != known_to
                    && self.is_secret_within(&bytes[whole..end], nested)
                {
                    masked.push_str(&url[copied..whole]);
                    masked.push_str(STARS);
                    copied = end;
                }
                (whole, is_encoded) = (usize::MAX, false);
            }
            start = end + 1;
        }
        if copied > 0 {
            masked.push_str(&url[copied..]);
            *url = Cow::Owned(masked);
        }
    }

    /// Returns whether a parameter's value holds a secret when it is decoded: in a URL or a form, in JSON, or
    /// by its form.
    #[cold]
    fn is_secret_within(&self, value: &[u8], nested: u32) -> bool {
        if self.edition == Edition::Second {
            return self.has_secret_within(value, nested);
        }
        if nested == MOST_NESTED || !may_nest(value) {
            return false;
        }
        let text = decoded(value);
        if text.trim_start().starts_with(['{', '[']) {
            let hides = |name: &str| is_secret_header(name) || self.matches(name.as_bytes());
            let mask = |text: &mut Cow<'_, str>| self.apply_from(0, text, nested + 1);
            return is_changed(&text, |text| hide_in_json(text, hides, mask))
                || !find_values(&text).is_empty();
        }
        is_changed(&text, |text| self.apply_from(0, text, nested + 1))
            || !find_values(&text).is_empty()
            || self.is_secret_within(text.as_bytes(), nested + 1)
    }
}

/// Returns whether masking changes a text.
fn is_changed(text: &str, mask: impl FnOnce(&mut Cow<'_, str>)) -> bool {
    let mut masked = Cow::Borrowed(text);
    mask(&mut masked);
    matches!(masked, Cow::Owned(_))
}

/// Returns whether a value may be a URL, a form or JSON, if need be after it is decoded: it has an encoded `=`,
/// `@`, brace, bracket or `%`, or begins like JSON.
fn may_nest(value: &[u8]) -> bool {
    let is_json = value.trim_ascii_start().first().is_some_and(|byte| matches!(byte, b'{' | b'['));
    is_json
        || memchr::memchr_iter(b'%', value).any(|at| {
            let digits = value.get(at + 1..at + 3);
            matches!(digits, Some([b'3', b'd' | b'D'] | b"40" | [b'7' | b'5', b'b' | b'B'] | b"25"))
        })
}

/// Returns the position of the next `&`, or the end.
fn parameter_end(bytes: &[u8], from: usize) -> usize {
    memchr::memchr(b'&', &bytes[from..]).map_or(bytes.len(), |at| from + at)
}

/// Returns whether a header holds a secret: `Authorization`, or `HTTP_AUTHORIZATION` as in the
/// WSGI environment.
pub(super) fn is_secret_header(name: &str) -> bool {
    let name = name.trim().as_bytes();
    let name = match name {
        [b'h' | b'H', b't' | b'T', b't' | b'T', b'p' | b'P', b'-' | b'_', rest @ ..] => rest,
        _ => name,
    };
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    HEADERS
        .iter()
        .any(|known| name.len() == known.len() && name.iter().map(plain).eq(known.bytes()))
}

/// Returns whether the value of a parameter has a part that looks like a secret.
fn is_secret_value(value: &[u8]) -> bool {
    may_have_value(value) && !find_values(&decoded(value)).is_empty()
}

/// Returns whether the byte at `at` is within a string of JSON. `from` is the end of a string before it, and
/// moves on.
fn is_within_string(bytes: &[u8], from: &mut usize, at: usize) -> bool {
    while let Some(quote) = bytes.get(*from..at).and_then(|rest| memchr::memchr(b'"', rest)) {
        let end = string_end(bytes, *from + quote);
        if end > at {
            return true;
        }
        *from = end;
    }
    false
}

/// Returns the position after the string whose quotation mark is at `start`, or the end if the
/// string was cut off.
pub(super) fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += next + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1; // the escaped character
    }
    bytes.len()
}

fn apply_exact(names: &[Vec<u8>], extent: Extent, mut start: usize, url: &mut Cow<'_, str>) {
    let bytes = url.as_bytes();
    let mut masked = String::new();
    let mut copied = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let piece = &rest[..rest.iter().position(ends_piece).unwrap_or(rest.len())];
        let mut end = start + piece.len();
        if let Some(name) = piece.iter().position(|byte| *byte == b'=')
            && is_named(names, &piece[..name])
        {
            let value = start + name + 1;
            if extent == Extent::Parameter {
                end = parameter_end(bytes, end);
            }
            if value < end {
                masked.push_str(&url[copied..value]);
                masked.push_str(STARS);
                copied = end;
            }
        }
        start = end + 1;
    }
    if copied > 0 {
        masked.push_str(&url[copied..]);
        *url = Cow::Owned(masked);
    }
}

/// Returns whether a name, or a part of it in brackets, is one of these.
fn is_named(names: &[Vec<u8>], name: &[u8]) -> bool {
    // Nearly every name stands undecoded in the line, and is not copied.
    if name.iter().all(is_plain) {
        return names.iter().any(|known| known.eq_ignore_ascii_case(name));
    }
    let name = decoded(name).trim().to_lowercase();
    name.split(['[', ']']).any(|part| names.iter().any(|known| known == part.as_bytes()))
}

fn ends_piece(byte: &u8) -> bool {
    matches!(byte, b'&' | b';' | b'?' | b'#')
}

/// Returns whether decoding leaves this byte of a name as it is, except for its case.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

/// Decodes a percent-encoded text.
pub(super) fn decoded(name: &[u8]) -> String {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let mut byte = byte;
        if byte == b'%'
            && let [high, low, ..] = *after
            && let (Some(high), Some(low)) = (hex(high), hex(low))
        {
            byte = high << 4 | low;
            rest = &after[2..];
        } else if byte == b'+' {
            byte = b' ';
        }
        plain.push(byte);
    }
    String::from_utf8(plain)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(url: &str) -> String {
        let mask = Mask::exact(&["password".into(), "Token".into(), " ".into()]);
        let mut url = Cow::Borrowed(url);
        mask.apply(&mut url);
        url.into_owned()
    }

    #[test]
    fn values_of_masked_names_become_stars() {
        for (url, right) in [
            ("/?password=a&b=c", "/?password=********&b=c"),
            ("/?b=c;PassWord=a", "/?b=c;PassWord=********"),
            ("/?p%61ssword=a#token=b", "/?p%61ssword=********"),
            ("/?password=a;b?c#d&e=f", "/?password=********&e=f"),
            ("/?password=;b&e=f", "/?password=********&e=f"),
            ("/?e=f;password=&g=h", "/?e=f;password=&g=h"),
            ("/?user%5Bpassword%5D=a=b", "/?user%5Bpassword%5D=********"),
            ("/?token[]=a&token[]=b", "/?token[]=********&token[]=********"),
            ("/?next=/x?token=a", "/?next=/x?token=********"),
            ("https://h/#token=ä", "https://h/#token=********"),
            ("/?+password=a", "/?+password=********"),
            ("/?\u{212a}=a&toKen=b", "/?\u{212a}=a&toKen=********"),
            ("/?a.password=b&PASSWORD=c", "/?a.password=b&PASSWORD=********"),
        ] {
            assert_eq!(masked(url), right);
        }
    }

    #[test]
    fn other_values_are_unchanged() {
        for url in [
            "/password=a",
            "/?passwords=a",
            "/?q=password",
            "/?password",
            "/?password=",
            "/?=a&%=b&%f",
            "",
            "?",
        ] {
            assert_eq!(masked(url), url);
        }
        let mut url = Cow::Borrowed("/?password=a");
        Mask::exact(&[]).apply(&mut url);
        assert_eq!(url, "/?password=a");
    }

    #[test]
    fn an_older_rule_looks_at_fewer_texts() {
        let mask = Mask::by_meaning(&["token".into()]);
        let by = |mask: &Mask, url: &'static str| {
            let mut url = Cow::Borrowed(url);
            mask.apply(&mut url);
            url
        };
        let older = mask.older();
        let first = older.iter().find(|it| it.is_by_meaning() && it.newest().is_none()).unwrap();
        assert_eq!(by(&mask, "/?next=%2Fx%3Ftoken=a"), "/?next=********");
        assert_eq!(by(first, "/?next=%2Fx%3Ftoken=a"), "/?next=%2Fx%3Ftoken=a");
        assert_eq!(by(first, "/?next=%2Fx%3Ftoken%3Da"), "/?next=********");
        assert!(first.older().iter().all(|it| it.newest().is_none()));
    }

    #[test]
    fn values_within_values_take_time_in_proportion_to_their_length() {
        let mask = Mask::by_meaning(&["token".into()]);
        for part in [
            ";a=%3D",
            "?a={",
            "%3D",
            "&a=%253D",
            "a=[%22",
            "://a",
            "eyJ.",
            "eyJaaaaaaa.b ",
            "://@/",
            ";a=%40",
            "a={\"&",
            "a=+{\"b\":\"&\"}&",
            "{\"a\":",
            "[\"a=%3D\\\\\",",
            "=[",
            "{ \"",
            "\\\\u0025",
            "&%7B\"",
            "[token\"",
            "\\x22{",
        ] {
            let mut url: Cow<'_, str> = Cow::Owned(format!("/?{}", part.repeat(20_000)));
            let began = std::time::Instant::now();
            mask.apply(&mut url);
            mask.apply_to_text(&mut url);
            mask.masked(url.as_bytes());
            mask.apply_to_tokens(&mut url);
            mask.apply_to_values(&mut url);
            assert!(began.elapsed().as_secs() < 20, "{part}");
        }
        for part in ["{\"a\":", "[\"", "a={\"&", "\\\\u0025", "{ ", "\\x22{"] {
            let mut text: Cow<'_, str> = Cow::Owned(part.repeat(20_000));
            let began = std::time::Instant::now();
            mask.masked(text.as_bytes());
            mask.apply_to_text(&mut text);
            assert!(began.elapsed().as_secs() < 20, "{part}");
        }
        let mut deep = "token%3Dabc".to_owned();
        for _ in 0..3 {
            deep = deep.replace('%', "%25");
        }
        let mut url = Cow::Owned(format!("/?a={deep}"));
        mask.apply(&mut url);
        assert_eq!(url, "/?a=********");
    }
}
