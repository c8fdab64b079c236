//! Texts of others as they may be shown. A log and its directory are written by those whom it records: their
//! texts must not move a cursor, hide or reorder what stands beside them, or begin a line of their own.

use std::borrow::Cow;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Characters that are letters or marks by their category and yet show nothing.
const UNSEEN: &[char] = &[
    '\u{34f}', '\u{115f}', '\u{1160}', '\u{17b4}', '\u{17b5}', '\u{180b}', '\u{180c}', '\u{180d}',
    '\u{180f}', '\u{2800}', '\u{3164}', '\u{ffa0}',
];

/// Returns whether a character shows something, or is a mark on what shows something: no control character, no
/// character without a width or with a direction, no line or paragraph separator, and none that Unicode has not
/// assigned.
pub fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    // The standard library's table of what it prints in a text. At a text's beginning it would escape marks too.
    let mut text = [b'a'; 5];
    let length = character.encode_utf8(&mut text[1..]).len();
    let is_shown = std::str::from_utf8(&text[..=length])
        .is_ok_and(|text| text.escape_debug().skip(1).eq(std::iter::once(character)));
    is_shown && !UNSEEN.contains(&character) && !('\u{e0100}'..='\u{e01ef}').contains(&character)
}

/// Returns a text in which each character that is not printable is an escape: `\n`, `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(|character| !is_printable(character)) else {
        return Cow::Borrowed(text);
    };
    let mut shown = text[..first].to_owned();
    for character in text[first..].chars() {
        match is_printable(character) {
            true => shown.push(character),
            false => shown.extend(character.escape_default()),
        }
    }
    Cow::Owned(shown)
}

/// Returns a path as a text that can be printed. Different paths have different texts, and [`text_path`] returns
/// the path: bytes that are not UTF-8 and characters that are not printable are `\xNN`, and so is a backslash
/// that would begin such an escape. Nearly every path is its own text.
pub fn path_text(path: &Path) -> Cow<'_, str> {
    let bytes = path.as_os_str().as_bytes();
    if let Ok(text) = std::str::from_utf8(bytes)
        && text.chars().all(is_printable)
        && !text.contains("\\x")
    {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(bytes.len() + 16);
    let mut at = 0;
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let length = character.len_utf8();
            let begins_escape = character == '\\' && escaped(&bytes[at..]).is_some();
            match is_printable(character) && !begins_escape {
                true => shown.push(character),
                false => escape(&bytes[at..at + length], &mut shown),
            }
            at += length;
        }
        escape(chunk.invalid(), &mut shown);
        at += chunk.invalid().len();
    }
    Cow::Owned(shown)
}

/// Returns the path of which this is the text.
pub fn text_path(text: &str) -> Cow<'_, Path> {
    if !text.contains("\\x") {
        return Cow::Borrowed(Path::new(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match escaped(rest) {
            Some(byte) => {
                bytes.push(byte);
                rest = &rest[4..];
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    Cow::Owned(PathBuf::from(OsString::from_vec(bytes)))
}

fn escape(bytes: &[u8], shown: &mut String) {
    for byte in bytes {
        shown.push_str(&format!("\\x{byte:02x}"));
    }
}

/// Returns the byte of the escape with which `bytes` begins. Escapes of other bytes, as systemd has them in
/// names (`\x2d`), are parts of the path.
fn escaped(bytes: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high @ (b'0'..=b'9' | b'a'..=b'f'), low @ (b'0'..=b'9' | b'a'..=b'f'), ..] =
        *bytes
    else {
        return None;
    };
    let digits = [high, low];
    let byte = u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?;
    matches!(byte, 0..=0x1f | b'\\' | 0x7f..).then_some(byte)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn path(bytes: &[u8]) -> &Path {
        Path::new(OsStr::from_bytes(bytes))
    }

    #[test]
    fn what_does_not_show_is_escaped() {
        for (text, shown) in [
            ("/a?b=c ä 漢 e\u{301} 👍\u{fe0f} 🇩🇪", None),
            ("a\x1b[2J\n\t\r\0\x7f", Some("a\\u{1b}[2J\\n\\t\\r\\u{0}\\u{7f}")),
            ("\u{9b}2J\u{9d}0;x\u{85}", Some("\\u{9b}2J\\u{9d}0;x\\u{85}")),
            ("a\u{202e}b\u{2066}c\u{200f}", Some("a\\u{202e}b\\u{2066}c\\u{200f}")),
            ("\u{200b}\u{200d}\u{feff}\u{ad}", Some("\\u{200b}\\u{200d}\\u{feff}\\u{ad}")),
            ("\u{e0041}\u{3164}\u{2028}", Some("\\u{e0041}\\u{3164}\\u{2028}")),
        ] {
            assert_eq!(printable(text), shown.unwrap_or(text));
        }
    }

    #[test]
    fn each_path_has_a_text_of_its_own_that_leads_back() {
        let mut texts = std::collections::HashSet::new();
        for bytes in [
            &b"/log/access.log"[..],
            b"/log/a\xff.log",
            b"/log/a\xfe.log",
            b"/log/a\\xff.log",
            b"/log/a\\x5cxff.log",
            b"/log/a\\\xff.log",
            b"/log/a\\\\xff.log",
            "/log/a\u{fffd}.log".as_bytes(),
            b"/log/a\nb",
            b"/log/a\\x0ab",
            b"/log/a\\x0Ab",
            b"/log/\\x2da",
            b"/log/\\x5",
            "/log/\u{202e}".as_bytes(),
            "/log/ä".as_bytes(),
        ] {
            let text = path_text(path(bytes));
            assert!(text.chars().all(is_printable), "{text}");
            assert_eq!(*text_path(&text), *path(bytes), "{text}");
            assert!(texts.insert(text.into_owned()), "{bytes:?}");
        }
        assert_eq!(path_text(path(b"/log/a\xff\n\\x2d")), "/log/a\\xff\\x0a\\x2d");
        assert_eq!(path_text(path(b"/log/\\x2d")), "/log/\\x2d");
    }
}
