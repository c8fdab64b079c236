//! Secrets in texts that are JSON, found without reading the whole of it.

use std::borrow::Cow;

use crate::format::mask::STARS;

/// Replaces the values of keys that `hides` knows where they stand, and has `mask` hide what is in
/// other texts, so that all else stays as it was written. JSON that was cut off is treated as far as
/// it goes.
pub(super) fn hide_in_json(
    text: &mut Cow<'_, str>,
    hides: impl Fn(&str) -> bool,
    mask: impl Fn(&mut Cow<'_, str>),
) {
    let bytes = text.as_bytes();
    let (mut at, mut copied) = (0, 0);
    let mut hidden = String::new();
    while let Some(quote) = memchr::memchr(b'"', &bytes[at..]) {
        let (start, end) = (at + quote, string_end(bytes, at + quote));
        at = end;
        let colon = skip_blank(bytes, end);
        if bytes.get(colon) != Some(&b':') {
            let within = text[start + 1..end].strip_suffix('"').unwrap_or(&text[start + 1..end]);
            let mut masked = Cow::Borrowed(within);
            mask(&mut masked);
            if let Cow::Owned(masked) = masked {
                hidden.push_str(&text[copied..=start]);
                hidden.push_str(&masked);
                copied = start + 1 + within.len();
            }
            continue;
        }
        if !hides(&unquoted(&text[start..end])) {
            continue;
        }
        let value = skip_blank(bytes, colon + 1);
        let end = value_end(bytes, value);
        if !matches!(&text[value..end], "" | "null" | "\"\"") {
            hidden.push_str(&text[copied..value]);
            hidden.push('"');
            hidden.push_str(STARS);
            hidden.push('"');
            copied = end;
        }
        at = end;
    }
    if copied > 0 {
        hidden.push_str(&text[copied..]);
        *text = Cow::Owned(hidden);
    }
}

/// What a quoted text says; as it stands if it says nothing.
fn unquoted(literal: &str) -> Cow<'_, str> {
    serde_json::from_str::<String>(literal)
        .map_or_else(|_| literal.trim_matches('"').into(), Cow::Owned)
}

/// Behind the text whose quotation mark is at `start`, or the end if it has no other.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(next) = bytes.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += next + 1;
        if bytes[at - 1] == b'"' {
            return at;
        }
        at += 1; // what is escaped
    }
    bytes.len()
}

fn skip_blank(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

/// Behind the value that begins at `start`, or the end if it was cut off.
fn value_end(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' if depth == 0 => return if at == start { string_end(bytes, at) } else { at },
            b'"' => {
                at = string_end(bytes, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' if depth <= 1 => return if depth == 0 { at } else { at + 1 },
            b'}' | b']' => depth -= 1,
            b',' if depth == 0 => return at,
            _ if depth == 0 && byte.is_ascii_whitespace() => return at,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}
