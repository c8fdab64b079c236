//! Masks texts of which nothing is known but that a client or another program wrote them: each may be a URL, a
//! query or a form, JSON, or words with one of these in them.

use std::borrow::Cow;
use std::ops::Range;

use super::json::{hide_in_json, skip_blanks, value_end};
use super::mask::{MOST_NESTED, Mask, Meaning, STARS, hide, is_secret_header};
use super::secrets::{find_values, may_have_value};

/// What stands before the name of a header, a cookie or a parameter in the name of a variable of nginx.
const KINDS: [&str; 9] = [
    "upstream_cookie_",
    "upstream_http_",
    "upstream_trailer_",
    "sent_http_",
    "sent_trailer_",
    "cookie_",
    "http_",
    "arg_",
    "env_",
];

impl Mask {
    /// Masks a value that has a name and no column: by the name, or else in its text.
    pub(super) fn apply_to_named(&self, name: &str, text: &mut Cow<'_, str>) {
        let Some(meaning) = self.newest() else { return self.apply(text) };
        match meaning.hides_variable(name) {
            true if text != STARS => *text = Cow::Borrowed(STARS),
            true => {}
            false => meaning.hide_in_text(text, 0),
        }
    }

    /// Masks the names and values of a text that may be a URL, a query, a form or JSON, and what looks like a
    /// secret in it.
    pub(super) fn apply_to_text(&self, text: &mut Cow<'_, str>) {
        match self.newest() {
            Some(meaning) => meaning.hide_in_text(text, 0),
            None => self.apply_to_values(text),
        }
    }
}

impl Meaning {
    /// Returns whether a header, a key of JSON or a variable of nginx or Apache is masked by its name.
    pub(super) fn hides_variable(&self, name: &str) -> bool {
        let rest = KINDS.iter().find_map(|kind| name.strip_prefix(kind));
        self.hides(name) || rest.is_some_and(|rest| self.hides(rest))
    }

    pub(super) fn hides(&self, name: &str) -> bool {
        is_secret_header(name) || self.matches(name.as_bytes())
    }

    /// Masks names and values, and what looks like a secret.
    pub(super) fn hide_in_text(&self, text: &mut Cow<'_, str>, nested: u32) {
        self.hide_by_names(text, nested, Words::Masked);
        self.hide_by_form(text);
    }

    fn hide_by_form(&self, text: &mut Cow<'_, str>) {
        if let Some(found) = user_information(text) {
            hide(vec![found], text);
        }
        if may_have_value(text.as_bytes()) {
            hide(find_values(text), text);
        }
    }

    /// Masks the values of names, in JSON and outside of it.
    fn hide_by_names(&self, text: &mut Cow<'_, str>, nested: u32, words_are: Words) {
        if !may_have_name(text.as_bytes()) {
            return;
        }
        let (whole, mut masked) = (text.as_ref(), String::new());
        let (mut at, mut copied) = (0, 0);
        while at < whole.len() {
            let json = json_within(whole, at);
            let words = at..json.as_ref().map_or(whole.len(), |json| json.start);
            let end = json.as_ref().map_or(whole.len(), |json| json.end);
            for (part, is_json) in [(Some(words), false), (json, true)] {
                let Some(part) = part.filter(|part| !part.is_empty()) else { continue };
                let mut hidden = Cow::Borrowed(&whole[part.clone()]);
                match is_json {
                    true => self.hide_in_json(&mut hidden, nested),
                    false if words_are == Words::Left => continue,
                    false => self.apply_from(0, &mut hidden, nested),
                }
                if let Cow::Owned(hidden) = hidden {
                    masked.push_str(&whole[copied..part.start]);
                    masked.push_str(&hidden);
                    copied = part.end;
                }
            }
            at = end;
        }
        if copied > 0 {
            masked.push_str(&whole[copied..]);
            *text = Cow::Owned(masked);
        }
    }

    fn hide_in_json(&self, json: &mut Cow<'_, str>, nested: u32) {
        hide_in_json(json, |name| self.hides(name), |string| self.hide_in_string(string, nested));
    }

    /// Masks what is between the quotation marks of a string of JSON. A string with escapes is decoded, and
    /// written anew if it has a secret.
    fn hide_in_string(&self, string: &mut Cow<'_, str>, nested: u32) {
        if nested == MOST_NESTED {
            return;
        }
        if memchr::memchr(b'\\', string.as_bytes()).is_none() {
            return self.hide_by_names(string, nested, Words::Masked); // no JSON is in it
        }
        let plain = unescaped(string);
        let mut masked = Cow::Borrowed(plain.as_str());
        self.hide_in_text(&mut masked, nested + 1);
        if let Cow::Owned(masked) = masked
            && masked != plain
            && let Ok(literal) = serde_json::to_string(&masked)
        {
            *string = Cow::Owned(literal[1..literal.len() - 1].to_owned());
        }
    }

    /// Returns whether a parameter, or its value, holds a secret when it is decoded: in a URL or a form, in JSON,
    /// or by its form.
    #[cold]
    pub(super) fn has_secret_within(&self, value: &[u8], nested: u32) -> bool {
        if nested == MOST_NESTED || !may_nest(value) {
            return false;
        }
        let text = super::mask::decoded(value);
        let mut masked = Cow::Borrowed(text.as_str());
        if text.as_bytes() == value {
            // The words of it are looked at where it stands.
            self.hide_by_names(&mut masked, nested + 1, Words::Left);
            self.hide_by_form(&mut masked);
            return masked != text;
        }
        self.hide_in_text(&mut masked, nested + 1);
        masked != text || self.has_secret_within(text.as_bytes(), nested + 1)
    }
}

/// What to do with what stands outside of JSON.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Masked,
    Left,
}

/// Returns whether a text may have a name and its value: a quick look, which is sometimes wrong in saying yes.
pub(super) fn may_have_name(text: &[u8]) -> bool {
    memchr::memchr3(b'=', b'"', b'%', text).is_some()
}

/// Returns whether a value may hold a text within it: one that is percent-encoded in a place that matters, JSON, or
/// a URL without its scheme.
fn may_nest(value: &[u8]) -> bool {
    let has = |byte| memchr::memchr(byte, value).is_some();
    if has(b'"') || value.starts_with(b"//") || has(b'@') && has(b'%') {
        return true;
    }
    memchr::memchr_iter(b'%', value).any(|at| {
        // " # % & . ; = ? @ [ {
        matches!(
            value.get(at + 1..at + 3),
            Some(
                [b'2', b'2' | b'3' | b'5' | b'6' | b'e' | b'E']
                    | [b'3', b'b' | b'B' | b'd' | b'D' | b'f' | b'F']
                    | b"40"
                    | [b'5' | b'7', b'b' | b'B']
            )
        )
    })
}

/// Returns whether a parameter begins like JSON, encoded or not.
pub(super) fn begins_like_json(parameter: &[u8]) -> bool {
    let rest = without_blanks(parameter);
    let encoded = rest.strip_prefix(b"%").and_then(|rest| rest.get(..2));
    rest.first().is_some_and(|byte| matches!(byte, b'{' | b'[' | b'"'))
        || encoded
            .is_some_and(|digits| matches!(digits, b"22" | [b'5' | b'7', b'b' | b'B'] | b"25"))
}

/// Returns the end of JSON that stands in a query as it is, and may hold a `&`; `None` if none begins here.
pub(super) fn plain_json_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = without_blanks(&bytes[start..]);
    let begin = bytes.len() - rest.len();
    matches!(rest.first(), Some(b'{' | b'[')).then(|| value_end(bytes, begin))
}

fn without_blanks(mut text: &[u8]) -> &[u8] {
    loop {
        text = match text {
            [b'+' | b' ' | b'\t' | b'\n' | b'\r', rest @ ..] => rest,
            [b'%', b'2', b'0', rest @ ..]
            | [b'%', b'0', b'9' | b'A' | b'a' | b'D' | b'd', rest @ ..] => rest,
            [0xef, 0xbb, 0xbf, rest @ ..] => rest,
            rest => return rest,
        }
    }
}

/// Returns where the next JSON stands in a text: an object with a key, a list or a string at the beginning of the
/// text, or from a key without an object to the end. JSON that is a parameter's value belongs to the parameter.
fn json_within(text: &str, from: usize) -> Option<Range<usize>> {
    let bytes = text.as_bytes();
    if from == 0
        && let Some(begin) = text.find(|c| !is_blank(c))
    {
        let first = |at: usize| bytes.get(skip_blanks(bytes, at)).copied();
        match (bytes[begin], first(begin + 1)) {
            (b'{', Some(b'"')) | (b'[', Some(b'{' | b'[' | b'"')) => {
                return Some(begin..value_end(bytes, begin));
            }
            // A string may be JSON itself, or a key.
            (b'"', _) => {
                let end = value_end(bytes, begin);
                return Some(begin..if first(end) == Some(b':') { bytes.len() } else { end });
            }
            _ => {}
        }
    }
    json_start(bytes, from, OfParameters::Skipped).map(|begin| match bytes[begin] {
        b'{' => begin..value_end(bytes, begin),
        _ => begin..bytes.len(),
    })
}

fn is_blank(letter: char) -> bool {
    letter.is_whitespace() || letter.is_control() || letter == '\u{feff}'
}

/// What to do with JSON that is the value of a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OfParameters {
    Skipped,
    Found,
}

/// Returns where the next object with a key begins, or the next key outside of one.
pub(super) fn json_start(bytes: &[u8], from: usize, values: OfParameters) -> Option<usize> {
    let mut at = from;
    let mut opening = None;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr3(b'{', b'[', b'"', rest))
    {
        let found = at + next;
        at = found + 1;
        if bytes[found] != b'"' {
            if values == OfParameters::Skipped && is_value(bytes, found) {
                at = value_end(bytes, found);
                opening = None;
            } else if bytes[found] == b'{' && bytes.get(skip_blanks(bytes, at)) == Some(&b'"') {
                return Some(found);
            }
            continue;
        }
        match opening.filter(|_| bytes.get(skip_blanks(bytes, at)) == Some(&b':')) {
            Some(opening) => return Some(opening),
            None => opening = Some(found),
        }
    }
    None
}

/// Returns whether a `=` stands before this place, with a few blanks between them at most.
fn is_value(bytes: &[u8], at: usize) -> bool {
    let before = &bytes[at.saturating_sub(4)..at];
    let before = before.iter().rev().find(|byte| !matches!(byte, b' ' | b'+'));
    before == Some(&b'=')
}

/// Returns where the user information of a URL without its scheme stands: `//user:password@host/`.
fn user_information(text: &str) -> Option<Range<usize>> {
    let rest = text.strip_prefix("//")?;
    let end = rest.find(|c: char| c.is_whitespace() || "/?#\"<>\\".contains(c));
    let authority = &rest[..end.unwrap_or(rest.len())];
    let user = &authority[..authority.rfind('@')?];
    user.contains(':').then_some(2..2 + user.len())
}

/// Returns the text of a string of JSON, given without its quotation marks, also if it is cut off or invalid.
fn unescaped(string: &str) -> String {
    if let Ok(plain) = serde_json::from_str(&format!("\"{string}\"")) {
        return plain;
    }
    let mut units: Vec<u16> = Vec::with_capacity(string.len());
    let mut letters = string.chars();
    let mut buffer = [0; 2];
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            units.extend_from_slice(letter.encode_utf16(&mut buffer));
            continue;
        }
        let rest = letters.as_str();
        let digits = rest.strip_prefix('u').and_then(|rest| rest.get(..4));
        if let Some(unit) = digits.and_then(|digits| u16::from_str_radix(digits, 16).ok()) {
            units.push(unit);
            letters = rest[5..].chars();
            continue;
        }
        let plain = match letters.next() {
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some(other) => other,
            None => break,
        };
        units.extend_from_slice(plain.encode_utf16(&mut buffer));
    }
    String::from_utf16_lossy(&units)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    /// Pieces that masking looks for, whole and broken.
    const PIECES: [&str; 40] = [
        "password",
        "token",
        "a",
        "=",
        "&",
        "?",
        "#",
        "%3D",
        "%26",
        "%3F",
        "%22",
        "%5C",
        "%7B",
        "%",
        "%2",
        "\"",
        "\\\"",
        "\\",
        "\\u0026",
        "\\u003d",
        "\\u",
        "\\x22",
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        " ",
        "\n",
        "+",
        "//u:p@h/",
        "https://",
        "é",
        "\u{feff}",
        "eyJhbGciOiJIUzI1NiJ9.eyJhIjoxfQ.c2ln",
        "4111111111111111",
        ";",
        "'",
        "hunter2",
    ];

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, cases: 3000, ..ProptestConfig::default() })]

        /// Whatever the text is, it is masked or stays as it is.
        #[test]
        fn no_text_is_too_much(pieces in proptest::collection::vec(select(&PIECES[..]), 0..40)) {
            let text = pieces.concat();
            let mask = Mask::by_meaning(&["password".to_owned(), "token".to_owned()]);
            let masked = |by: &dyn Fn(&mut Cow<'_, str>)| {
                let mut masked = Cow::Borrowed(text.as_str());
                by(&mut masked);
                masked.into_owned()
            };
            for masked in [
                masked(&|it| mask.apply(it)),
                masked(&|it| mask.apply_to_form(it)),
                masked(&|it| mask.apply_to_text(it)),
                masked(&|it| mask.apply_to_named("x", it)),
                masked(&|it| mask.apply_to_line(it)),
                masked(&|it| mask.apply_to_tokens(it)),
            ] {
                prop_assert!(masked == text || masked.contains("********"), "{masked}");
            }
            prop_assert_eq!(masked(&|it| mask.apply_to_named("password", it)).contains("hunter2"), false);
        }
    }
}
