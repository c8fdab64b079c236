//! Masks lines that could not be read. Which of their texts is a URL or a header is unknown, so names and
//! values are looked for in all of them.

use std::borrow::Cow;

use super::escapes::unescape_backslashes;
use super::exact::push_escaped;
use super::json::hide_in_json;
use super::mask::{Mask, STARS};
use super::mask_texts::{OfParameters, json_start, may_have_name};
use super::secrets::may_have_value;
use super::template::Writing;

/// How often JSON within a string of JSON is decoded.
const MOST_NESTED: u32 = 3;

impl Mask {
    /// Returns a rejected line as it is kept: masked, unless the user wants its exact bytes. Each of several
    /// physical lines is masked by itself.
    pub(super) fn kept<'r>(&self, raw: &'r [u8]) -> Cow<'r, [u8]> {
        match self.keeps_raw_rejects() {
            true => Cow::Borrowed(raw),
            false => self.masked(raw),
        }
    }

    /// Returns a line as it is kept if rejected lines are masked.
    pub(super) fn masked<'r>(&self, raw: &'r [u8]) -> Cow<'r, [u8]> {
        if self.is_empty() {
            return Cow::Borrowed(raw);
        }
        let lines: Vec<_> = raw.split(|byte| *byte == b'\n').map(|it| self.line(it)).collect();
        match lines.iter().any(|line| matches!(line, Cow::Owned(_))) {
            true => Cow::Owned(lines.join(&b'\n')),
            false => Cow::Borrowed(raw),
        }
    }

    /// Bytes that are not UTF-8 are read as Latin-1, in which each byte is a character, and written so again.
    fn line<'r>(&self, line: &'r [u8]) -> Cow<'r, [u8]> {
        if let Ok(text) = std::str::from_utf8(line) {
            return match self.text(text, 0) {
                Cow::Borrowed(_) => Cow::Borrowed(line),
                Cow::Owned(masked) => Cow::Owned(masked.into_bytes()),
            };
        }
        let text: String = line.iter().copied().map(char::from).collect();
        match self.text(&text, 0) {
            Cow::Borrowed(_) => Cow::Borrowed(line),
            Cow::Owned(masked) => {
                let bytes = masked.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?'));
                Cow::Owned(bytes.collect())
            }
        }
    }

    /// Masks what stood around a line, or a whole line.
    pub(super) fn apply_to_line(&self, text: &mut Cow<'_, str>) {
        if self.newest().is_none() {
            self.apply(text);
            return self.apply_to_tokens(text);
        }
        // Nearly every line has the same few words before it.
        if !may_have_name(text.as_bytes()) && !may_have_value(text.as_bytes()) {
            return;
        }
        let masked = match self.text(text, 0) {
            Cow::Owned(masked) if masked != **text => masked,
            _ => return,
        };
        *text = Cow::Owned(masked);
    }

    fn text<'t>(&self, text: &'t str, nested: u32) -> Cow<'t, str> {
        let mut masked = Cow::Borrowed(text);
        let start = match self.newest() {
            Some(_) => json_start(text.as_bytes(), 0, OfParameters::Found),
            None => text.find("{\""),
        };
        if let Some(start) = start {
            let mut json = Cow::Borrowed(&text[start..]);
            let hides = |name: &str| self.hides_header(name);
            hide_in_json(&mut json, hides, |string| self.apply_to_string(string, nested));
            if let Cow::Owned(json) = json {
                masked = Cow::Owned(format!("{}{json}", &text[..start]));
            }
        }
        self.apply_to_prose(&mut masked);
        if self.newest().is_some() && nested < MOST_NESTED && masked.contains("\\x22") {
            self.apply_to_escaped(&mut masked, nested);
        }
        self.apply_to_values(&mut masked);
        masked
    }

    /// Masks JSON whose quotation marks nginx has written as `\x22`, between those that stand as they are.
    #[cold]
    fn apply_to_escaped(&self, text: &mut Cow<'_, str>, nested: u32) {
        let parts = text.split('"').map(|part| {
            let plain = match part.contains("\\x22") {
                true => unescape_backslashes(part),
                false => return Cow::Borrowed(part),
            };
            match self.text(&plain, nested + 1) {
                Cow::Owned(masked) if masked != plain => Cow::Owned(escaped(&masked)),
                _ => Cow::Borrowed(part),
            }
        });
        let parts: Vec<_> = parts.collect();
        if parts.iter().any(|part| matches!(part, Cow::Owned(_))) {
            *text = Cow::Owned(parts.join("\""));
        }
    }

    /// Masks what is between the quotation marks of a string of JSON, which may be a line itself.
    fn apply_to_string(&self, string: &mut Cow<'_, str>, nested: u32) {
        if nested < MOST_NESTED
            && string.contains('\\')
            && let Ok(plain) = serde_json::from_str::<String>(&format!("\"{string}\""))
        {
            if let Cow::Owned(masked) = self.text(&plain, nested + 1)
                && let Ok(literal) = serde_json::to_string(&masked)
            {
                *string = Cow::Owned(literal[1..literal.len() - 1].to_owned());
            }
            return;
        }
        self.apply_to_prose(string);
    }

    /// Masks the values of names that mean a secret, wherever they stand. A value ends at `&`, at a quotation
    /// mark and, outside of these, at a blank.
    fn apply_to_prose(&self, text: &mut Cow<'_, str>) {
        let bytes = text.as_bytes();
        let (mut start, mut copied, mut is_quoted) = (0, 0, false);
        let mut masked = String::new();
        let until = |start: usize, ends: &dyn Fn(u8) -> bool| {
            start + bytes[start..].iter().take_while(|byte| !ends(**byte)).count()
        };
        while start < bytes.len() {
            let mut end =
                until(start, &|byte| matches!(byte, b'"' | b'\\') || byte.is_ascii_whitespace());
            let word = &text[start..end];
            let mut hidden = Cow::Borrowed(word);
            if word.contains('=') || self.newest().is_some() && word.contains('%') {
                self.apply_to_form(&mut hidden);
            }
            if let Cow::Owned(hidden) = hidden {
                masked.push_str(&text[copied..start]);
                masked.push_str(&hidden);
                // In quotation marks a secret may hold blanks; what follows it there is the protocol.
                if is_quoted && hidden.ends_with(STARS) {
                    let close = until(end, &|byte| matches!(byte, b'"' | b'\\'));
                    end = text[end..close].rfind(" HTTP/").map_or(close, |at| end + at);
                }
                copied = end;
            }
            let is_escaped = end.checked_sub(1).is_some_and(|before| bytes[before] == b'\\');
            is_quoted ^= bytes.get(end) == Some(&b'"') && !is_escaped;
            start = end + 1;
        }
        if copied > 0 {
            masked.push_str(&text[copied..]);
            *text = Cow::Owned(masked);
        }
    }
}

/// Writes a text as nginx does.
fn escaped(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    push_escaped(&mut line, text, Writing::Nginx);
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_of_lines_that_are_no_record_are_masked() {
        let mask = Mask::by_meaning(&["password".into()]);
        for (line, expected) in [
            (
                r#"x "GET /?password=a;b&c=d HTTP/1.1" 200 token=e f"#,
                r#"x "GET /?password=********&c=d HTTP/1.1" 200 token=******** f"#,
            ),
            (
                r#""GET /?password=a b HTTP/1.1" "Mozilla token=c d" "e=f""#,
                r#""GET /?password=******** HTTP/1.1" "Mozilla token=********" "e=f""#,
            ),
            ("GET http://u:p@h/ -", "GET http://********@h/ -"),
            ("cookie: a=b; sessionid=c", "cookie: a=b; sessionid=********"),
            ("at 10:00 Bearer abcd1234efgh .", "at 10:00 Bearer ******** ."),
            (r#"app | {"a":1,"password":"b","c"#, r#"app | {"a":1,"password":"********","c"#),
            (
                r#"{"log":"{\"token\":\"a\"}\n","stream":"stdout"}"#,
                r#"{"log":"{\"token\":\"********\"}\n","stream":"stdout"}"#,
            ),
            (
                r#"{"log":"\"GET /?token=a b HTTP/1.1\" 200\n"}"#,
                r#"{"log":"\"GET /?token=******** HTTP/1.1\" 200\n"}"#,
            ),
            (r#"a "GET /?page=2&sort=-id HTTP/1.1" \"x\" author=b"#, ""),
            (r#"junk { "password": "a b" }"#, r#"junk { "password": "********" }"#),
            (
                r#"{ "log":"request", "password":"a", "status_code":"x"}"#,
                r#"{ "log":"request", "password":"********", "status_code":"x"}"#,
            ),
            (r#"[ "a", { "password" : "b" } ]"#, r#"[ "a", { "password" : "********" } ]"#),
            ("{\n  \"password\": \"a b\"\n}", "{\n  \"password\": \"********\"\n}"),
            (
                r#"{"body":"{\n  \"password\": \"a\"\n}","b":1}"#,
                r#"{"body":"{\n  \"password\": \"********\"\n}","b":1}"#,
            ),
            (
                r#"x "{\x22password\x22:\x22a b\x22,\x22c\x22:\x22d\x22}" 400"#,
                r#"x "{\x22password\x22:\x22********\x22,\x22c\x22:\x22d\x22}" 400"#,
            ),
            ("x %7B%22password%22:%22a%22%7D y", "x ******** y"),
            (r#"x %7B%22page%22:2%7D "{\x22page\x22:\x22a b\x22}" { "c" : "d" }"#, ""),
            ("one\ntoken=a\rb\nc", "one\ntoken=********\rb\nc"),
        ] {
            let expected = if expected.is_empty() { line } else { expected };
            let kept = mask.kept(line.as_bytes());
            assert_eq!(String::from_utf8_lossy(&kept), expected);
            assert_eq!(mask.kept(&kept), kept, "a masked line stays as it is");
            assert_eq!(*mask.clone().keeping_raw_rejects().kept(line.as_bytes()), *line.as_bytes());
        }
        assert_eq!(
            *mask.kept(b"\xff\xe4 token=\xfea\xff&b=\xc3\xa9"),
            *b"\xff\xe4 token=********&b=\xc3\xa9"
        );
        assert_eq!(*Mask::default().kept(b"token=a"), *b"token=a");
    }
}
