//! Splits a line into literal text and the slots in which values stand.
//!
//! A slot's value is found by its own look: a time, a quoted text, a request line, a word. Lines of one
//! format without odd values give the same kinds of slots with the same text between them.

use crate::format::times;
use crate::format::values::{address, is_request_line};

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// `[23/Nov/2026:08:41:00 +0000]`.
    BracketedTime,
    ClfTime,
    IsoTime,
    CTime,
    /// Between double quotes.
    Quoted,
    /// Between single quotes.
    Single,
    /// A request line without quotes.
    Request,
    /// Up to the next space.
    Word,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    Literal(&'a str),
    Slot(Kind, &'a str),
}

impl<'a> Token<'a> {
    /// Returns what of the line it is.
    pub(super) fn text(&self) -> &'a str {
        match self {
            Token::Literal(text) | Token::Slot(_, text) => text,
        }
    }
}

/// Splits a line.
pub(super) fn lex(line: &str) -> Vec<Token<'_>> {
    let mut lexer = Lexer { line, at: 0, literal: 0, tokens: Vec::new() };
    while lexer.at < line.len() {
        lexer.step();
    }
    if line.ends_with(' ') {
        lexer.slot(Kind::Word, line.len()); // an empty value at the end
    }
    lexer.flush(line.len());
    lexer.tokens
}

/// Returns what two lines of one format have in common: their literals, and the kinds of their slots.
pub(super) fn signature(tokens: &[Token<'_>]) -> String {
    let mut signature = String::new();
    for token in tokens {
        match token {
            Token::Literal(text) => signature.push_str(text),
            Token::Slot(kind, _) => signature.push_str(&format!("\u{1}{}", *kind as u8)),
        }
    }
    signature
}

struct Lexer<'a> {
    line: &'a str,
    at: usize,
    /// Where the literal text began that is not yet a token.
    literal: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    /// Adds the literal text up to `end`.
    fn flush(&mut self, end: usize) {
        if self.literal < end {
            self.tokens.push(Token::Literal(&self.line[self.literal..end]));
        }
        self.literal = end;
    }

    /// Adds a slot from here to `end`.
    fn slot(&mut self, kind: Kind, end: usize) {
        self.flush(self.at);
        self.tokens.push(Token::Slot(kind, &self.line[self.at..end]));
        self.at = end;
        self.literal = end;
    }

    fn step(&mut self) {
        let rest = &self.line[self.at..];
        let before = self.line[..self.at].chars().next_back();
        let after_word = before.is_some_and(|c| c.is_ascii_alphanumeric());
        if !after_word && let Some((kind, length)) = time(rest) {
            return self.slot(kind, self.at + length);
        }
        let Some(first) = rest.chars().next() else { return };
        match first {
            '"' => self.quoted(Kind::Quoted, end_of_quoted(rest)),
            '\'' if !after_word => self.quoted(Kind::Single, end_of_single(rest)),
            ' ' if before.is_none_or(|c| c == ' ') => {
                self.slot(Kind::Word, self.at); // an empty value between two spaces
                self.at += 1;
            }
            _ if is_punctuation(first) => self.at += first.len_utf8(),
            _ => match request_length(rest) {
                Some(length) => self.slot(Kind::Request, self.at + length),
                None => self.word(rest),
            },
        }
    }

    /// Takes a quoted text, whose quotes are literal.
    fn quoted(&mut self, kind: Kind, end: Option<usize>) {
        self.at += 1;
        let Some(length) = end.map(|end| end - 1) else { return };
        let within = &self.line[self.at..self.at + length];
        let kind = match time(within) {
            Some((kind, whole)) if whole == length => kind,
            _ => kind,
        };
        self.slot(kind, self.at + length);
        self.at += 1;
    }

    /// Takes a word without the punctuation at its end. A list of addresses is one word.
    fn word(&mut self, rest: &str) {
        let mut length = word_length(rest);
        while rest[..length].ends_with(',')
            && (address(&rest[..length - 1]).is_some() || length > 1 && is_listed(&rest[..length]))
            && rest[length..].starts_with(' ')
        {
            let next = word_length(&rest[length + 1..]);
            if next == 0 {
                break;
            }
            length += 1 + next;
        }
        let ends = |c: char| matches!(c, ']' | ')' | '}' | ',' | ';' | ':' | '|');
        let word = rest[..length].trim_end_matches(ends);
        // The value stands in the quotes after it.
        if word.ends_with('=') && rest[word.len()..].starts_with(['"', '\'']) {
            self.at += word.len();
        } else if word.is_empty() {
            self.at += length;
        } else {
            self.slot(Kind::Word, self.at + word.len() + self.padding(&rest[word.len()..]));
        }
    }
}

impl Lexer<'_> {
    /// Returns the number of spaces with which the word here is filled up, as in `[127.0.0.1   ]`.
    fn padding(&self, after: &str) -> usize {
        let spaces = after.len() - after.trim_start_matches(' ').len();
        let is_bracketed = self.line[..self.at].ends_with('[') && after[spaces..].starts_with(']');
        if is_bracketed { spaces } else { 0 }
    }
}

/// Returns whether a list so far, which ends in a comma, holds an address or `unknown`.
fn is_listed(list: &str) -> bool {
    list.split(',').any(|item| address(item).is_some() || item.trim() == "unknown")
}

fn word_length(rest: &str) -> usize {
    rest.find([' ', '\t', '"', '│']).unwrap_or(rest.len())
}

fn is_punctuation(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '[' | ']' | '(' | ')' | '{' | '}' | '|' | ',' | ';' | ':' | '│' | '>' | '\''
    )
}

/// Returns the kind and the length of a time.
fn time(rest: &str) -> Option<(Kind, usize)> {
    let bytes = rest.as_bytes();
    let length = |after: &[u8]| bytes.len() - after.len();
    if let Some(within) = bytes.strip_prefix(b"[")
        && let Some((_, after)) = times::clf(within)
        && after.starts_with(b"]")
        && length(after) == 27
    {
        return Some((Kind::BracketedTime, 28));
    }
    if let Some((_, after)) = times::clf(bytes) {
        return Some((Kind::ClfTime, length(after)));
    }
    if let Some((_, after)) = times::iso(bytes) {
        return Some((Kind::IsoTime, length(after)));
    }
    times::ctime(bytes).map(|(_, after)| (Kind::CTime, length(after)))
}

/// Returns the position of the quote that ends a text: the next one without a backslash before it.
fn end_of_quoted(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    (1..bytes.len()).find(|&at| bytes[at] == b'"' && bytes[at - 1] != b'\\')
}

/// Returns the position of the single quote that ends a text: one before a space, punctuation or the end.
fn end_of_single(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    (1..bytes.len()).find(|&at| {
        bytes[at] == b'\'' && bytes.get(at + 1).is_none_or(|after| b" ,]})".contains(after))
    })
}

/// Returns the length of a request line without quotes: up to its protocol.
fn request_length(rest: &str) -> Option<usize> {
    let method = rest.find(' ').filter(|length| (3..=20).contains(length))?;
    if !rest[..method].bytes().all(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let url = rest[method..].trim_start_matches(' ');
    if !(url.starts_with(['/', '*']) || url.starts_with("http") || url.starts_with("None ")) {
        return None;
    }
    let protocol = rest.find(" HTTP/")? + 1;
    let length =
        rest[protocol..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '/' || c == '.'));
    let end = length.map_or(rest.len(), |length| protocol + length);
    (!rest[..end].contains('"') || is_request_line(&rest[..end])).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(line: &str) -> Vec<(Kind, &str)> {
        lex(line)
            .into_iter()
            .filter_map(|token| match token {
                Token::Slot(kind, text) => Some((kind, text)),
                Token::Literal(_) => None,
            })
            .collect()
    }

    #[test]
    fn values_are_found_by_their_look() {
        let line = r#"203.0.113.9, 10.1.2.3 - - [25/Nov/2026:22:54:28 +0000] "GET / HTTP/1.1" 200 rt=0.1 urt="-" [<12>]:"#;
        assert_eq!(
            slots(line),
            [
                (Kind::Word, "203.0.113.9, 10.1.2.3"),
                (Kind::Word, "-"),
                (Kind::Word, "-"),
                (Kind::BracketedTime, "[25/Nov/2026:22:54:28 +0000]"),
                (Kind::Quoted, "GET / HTTP/1.1"),
                (Kind::Word, "200"),
                (Kind::Word, "rt=0.1"),
                (Kind::Quoted, "-"),
                (Kind::Word, "<12>"),
            ]
        );
        assert_eq!(
            slots(r#"{"a": "b", "t":"[25/Nov/2026:22:54:28 +0000]","s":200,"p":<1>}"#),
            [
                (Kind::Quoted, "a"),
                (Kind::Quoted, "b"),
                (Kind::Quoted, "t"),
                (Kind::BracketedTime, "[25/Nov/2026:22:54:28 +0000]"),
                (Kind::Quoted, "s"),
                (Kind::Word, "200"),
                (Kind::Quoted, "p"),
                (Kind::Word, "<1>"),
            ]
        );
        assert_eq!(
            slots("a  b "),
            [(Kind::Word, "a"), (Kind::Word, ""), (Kind::Word, "b"), (Kind::Word, "")]
        );
        assert_eq!(slots("x GET /  HTTP/1.1 200")[1], (Kind::Request, "GET /  HTTP/1.1"));
        assert_eq!(slots("'a b' c'd")[0], (Kind::Single, "a b"));
        assert_eq!(slots("[10.0.0.1  ] x"), [(Kind::Word, "10.0.0.1  "), (Kind::Word, "x")]);
    }

    #[test]
    fn lines_of_one_format_have_one_signature() {
        let of = |line| signature(&lex(line));
        assert_eq!(of("1.1.1.1 - [x] \"a\""), of("- 2.2.2.2 [y] \"b c\""));
        assert_ne!(of("a b"), of("a \"b\""));
    }
}
