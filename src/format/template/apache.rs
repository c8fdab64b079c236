//! Apache's dialect: `%h %l %u %t \"%r\" %>s %b`, as in `LogFormat`
//! (<https://httpd.apache.org/docs/current/mod/mod_log_config.html#formats>).

use super::atom::Atom;
use super::{FormatError, Piece};

/// Splits a format, as it stands in the configuration or in a log's own words.
///
/// # Errors
/// A `%` without a directive after it.
pub(super) fn pieces(format: &str) -> Result<Vec<Piece>, FormatError> {
    let text = of_directive(format.trim_matches(['\n', '\r']));
    let mut pieces = Vec::new();
    let mut rest = text.as_str();
    while let Some(percent) = rest.find('%') {
        pieces.push(Piece::Literal(rest[..percent].to_owned()));
        let after = &rest[percent + 1..];
        if let Some(after) = after.strip_prefix('%') {
            pieces.push(Piece::Literal("%".to_owned()));
            rest = after;
            continue;
        }
        let Some((piece, length)) = directive(after) else {
            let at = text[..text.len() - rest.len() + percent].chars().count() + 1;
            return Err(FormatError::NoAtom { at, format: format.to_owned() });
        };
        pieces.push(piece);
        rest = &after[length..];
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    Ok(pieces)
}

/// Returns whether a text has a directive.
pub(super) fn has_directive(format: &str) -> bool {
    format.split('%').skip(1).any(|after| directive(after).is_some())
}

/// Reads what follows a `%`: conditions and modifiers, a name in braces, and a letter.
fn directive(after: &str) -> Option<(Piece, usize)> {
    let start = after.find(|c: char| !matches!(c, '<' | '>' | '!' | ',' | '0'..='9'))?;
    let (name, letter_at) = match after[start..].strip_prefix('{') {
        Some(rest) => {
            let end = rest.find('}')?;
            (&rest[..end], start + end + 2)
        }
        None => ("", start),
    };
    let letter = after[letter_at..].chars().next()?;
    let lower = name.to_ascii_lowercase();
    let tail = |name: &str| Some((Atom::Tail, name.to_owned()));
    let plain = |atom| Some((atom, String::new()));
    let (atom, name) = match (letter, name) {
        ('h', _) | ('a', "") => plain(Atom::RemoteAddress),
        ('a', _) => tail("peer_address"),
        ('A', _) => tail("local_address"),
        ('l', _) => tail("ident"),
        ('u', _) => plain(Atom::User),
        ('t', "") => plain(Atom::Time),
        ('t', "sec" | "begin:sec" | "end:sec") => plain(Atom::EpochTime),
        ('t', _) if lower.contains("%y-%m-%dt%h:%m:%s") || lower.contains("%ft%t") => {
            plain(Atom::IsoTime)
        }
        ('t', _) if lower.contains("%d/%b/%y:%t") || lower.contains("%d/%b/%y:%h:%m:%s") => {
            plain(Atom::ClfTime)
        }
        ('t', _) => tail("time"),
        ('r', _) => plain(Atom::RequestLine),
        ('m', _) => plain(Atom::Method),
        ('U', _) => plain(Atom::Path),
        ('q', _) => plain(Atom::Query),
        ('H', _) => plain(Atom::Protocol),
        ('s', _) => plain(Atom::Status),
        ('b' | 'B', _) => plain(Atom::ResponseBytes),
        ('I', _) => tail("bytes_in"),
        ('O', _) => tail("bytes_out"),
        ('S', _) => tail("bytes_both"),
        ('D', _) | ('T', "us") => plain(Atom::Microseconds),
        ('T', "ms") => plain(Atom::Milliseconds),
        ('T', _) => plain(Atom::Seconds),
        ('P', "" | "pid") => plain(Atom::Pid),
        ('P', _) => tail("thread"),
        ('v' | 'V', _) => plain(Atom::Host),
        ('p', _) => tail("port"),
        ('k', _) => tail("keepalive_requests"),
        ('X', _) => tail("connection_status"),
        ('f', _) => tail("file_name"),
        ('L', _) => tail("log_id"),
        ('R', _) => tail("handler"),
        ('i', "") | ('o', "") | ('e', "") | ('n', "") | ('C', "") => None,
        ('i', _) if lower == "referer" => plain(Atom::Referer),
        ('i', _) if lower == "user-agent" => plain(Atom::Agent),
        ('i', _) => Some((Atom::RequestHeader, lower)),
        ('o', _) => Some((Atom::ResponseHeader, lower)),
        ('e', _) => Some((Atom::Environ, lower)),
        ('n' | 'C', _) => tail(&lower),
        _ => None,
    }?;
    let length = letter_at + letter.len_utf8();
    Some((Piece::Atom { atom, key: after[..length].to_owned(), name, padding: None }, length))
}

/// Returns the format of a directive, `LogFormat "…" name`; any other text with its escapes undone.
fn of_directive(text: &str) -> String {
    let rest = text.trim().strip_prefix("LogFormat ").unwrap_or(text).trim_start_matches(' ');
    let is_directive = rest.len() < text.len();
    let within = match (rest.strip_prefix('"'), rest.rfind('"')) {
        (Some(rest), Some(end)) if is_directive && end > 0 => &rest[..end - 1],
        _ => rest,
    };
    within.replace("\\\"", "\"").replace("\\t", "\t").replace("\\\\", "\\")
}
