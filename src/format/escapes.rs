//! Undoes the escapes of nginx and Apache.
//!
//! nginx writes `"`, `\` and each byte outside of printable ASCII as `\xXX`, or, with `escape=json`, as
//! JSON does. Apache writes `\"`, `\\`, `\n` and `\xXX`. No two of these writings collide, so that one
//! function undoes them all.

use std::borrow::Cow;

/// Undoes the escapes of a value. What cannot be stored as text stays as it was written: NUL, and bytes
/// that are not UTF-8.
pub(super) fn unescape_backslashes(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain: Vec<u8> = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some(at) = memchr::memchr(b'\\', rest) {
        plain.extend_from_slice(&rest[..at]);
        let (run, after) = run_of_escapes(&rest[at..]);
        match run {
            Some(bytes) => plain.extend_from_slice(&bytes),
            None => plain.extend_from_slice(&rest[at..rest.len() - after.len()]),
        }
        rest = after;
    }
    plain.extend_from_slice(rest);
    match String::from_utf8(plain) {
        Ok(plain) => Cow::Owned(plain),
        Err(_) => Cow::Borrowed(text), // no run is invalid by itself, and the rest is text
    }
}

/// Undoes adjacent escapes at the beginning of `text`, which together are a character or more. Returns
/// `None` if they are no text, and what follows them.
fn run_of_escapes(text: &[u8]) -> (Option<Vec<u8>>, &[u8]) {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((escaped, after)) = escape(rest) {
        bytes.extend_from_slice(&escaped);
        rest = after;
    }
    if rest.len() == text.len() {
        return (None, &text[1..]); // a backslash that escapes nothing
    }
    let is_text = std::str::from_utf8(&bytes).is_ok() && !bytes.contains(&0);
    (is_text.then_some(bytes), rest)
}

/// Undoes one escape.
fn escape(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (b'\\', rest) = text.split_first()? else { return None };
    let (kind, rest) = rest.split_first()?;
    let plain = match kind {
        b'"' | b'\\' | b'/' => *kind,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 8,
        b'f' => 12,
        b'v' => 11,
        b'x' => {
            let byte = u8::try_from(hex(rest, 2)?).ok()?;
            return Some((vec![byte], &rest[2..]));
        }
        b'u' => {
            let high = hex(rest, 4)?;
            let mut rest = &rest[4..];
            let mut code = high;
            if (0xd800..0xdc00).contains(&high) {
                let low = rest.strip_prefix(b"\\u").and_then(|rest| hex(rest, 4));
                let low = low.filter(|low| (0xdc00..0xe000).contains(low))?;
                code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
                rest = &rest[6..];
            }
            return Some((char::from_u32(code)?.to_string().into_bytes(), rest));
        }
        _ => return None,
    };
    Some((vec![plain], rest))
}

fn hex(text: &[u8], digits: usize) -> Option<u32> {
    let digits = std::str::from_utf8(text.get(..digits)?).ok()?;
    digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then_some(())?;
    u32::from_str_radix(digits, 16).ok()
}

/// Returns whether a line holds backslashes, and all of them as nginx writes them: before `x` and two
/// hexadecimal digits of a byte that nginx escapes.
pub(super) fn is_of_nginx(line: &[u8]) -> bool {
    let escapes = |at: usize| {
        let is_hex = line.get(at + 1) == Some(&b'x');
        let byte = if is_hex { hex(&line[at + 2..], 2) } else { None };
        byte.is_some_and(|byte| !(32..=126).contains(&byte) || matches!(byte, 34 | 92))
            && !line[at + 2..at + 4].iter().any(u8::is_ascii_lowercase)
    };
    let mut found = memchr::memchr_iter(b'\\', line).peekable();
    found.peek().is_some() && found.all(escapes) && line.iter().all(|byte| *byte < 128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_writings_of_each_server_are_undone() {
        for (text, right) in [
            (r"https://ref/\x22x\x22", "https://ref/\"x\""),
            (r"q\x5C\x22) x", "q\\\") x"),
            (r"\xC3\xA9\xE2\x98\x83", "é☃"),
            (r#"a \"b\" \\ c"#, "a \"b\" \\ c"),
            (r"\u0016\u0003 \ud83d\ude00", "\u{16}\u{3} 😀"),
            (r"\xE9 latin", r"\xE9 latin"),
            (r"nul \x00", r"nul \x00"),
            (r"C:\q \", r"C:\q \"),
            ("plain", "plain"),
        ] {
            assert_eq!(unescape_backslashes(text), right);
        }
    }

    #[test]
    fn nginx_is_known_by_its_escapes() {
        assert!(is_of_nginx(br"q\x5C\x22) x"));
        for other in [&br#"a \"b\""#[..], br"ends\", b"plain", br"\x41", "\\x22 é".as_bytes()] {
            assert!(!is_of_nginx(other), "{}", other.escape_ascii());
        }
    }
}
