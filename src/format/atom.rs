//! The atoms of an `access_log_format`, and the pieces that a format string is made of.
//!
//! Names and meanings are those of Gunicorn's `access_log_format`
//! (<https://docs.gunicorn.org/en/stable/settings.html#access-log-format>).

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_till1};
use nom::character::complete::one_of;
use nom::combinator::{map, value};
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser};

/// What an atom stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Atom {
    RemoteAddress,
    Dash,
    User,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    ResponseBytes,
    Referer,
    Agent,
    Seconds,
    Milliseconds,
    Microseconds,
    DecimalSeconds,
    Pid,
    RequestHeader,
    ResponseHeader,
    Environ,
}

/// All atoms with one letter, and what the letter means.
const LETTERS: [(&str, Atom); 19] = [
    ("h", Atom::RemoteAddress),
    ("l", Atom::Dash),
    ("u", Atom::User),
    ("t", Atom::Time),
    ("r", Atom::RequestLine),
    ("m", Atom::Method),
    ("U", Atom::Path),
    ("q", Atom::Query),
    ("H", Atom::Protocol),
    ("s", Atom::Status),
    ("B", Atom::ResponseBytes),
    ("b", Atom::ResponseBytes),
    ("f", Atom::Referer),
    ("a", Atom::Agent),
    ("T", Atom::Seconds),
    ("D", Atom::Microseconds),
    ("M", Atom::Milliseconds),
    ("L", Atom::DecimalSeconds),
    ("p", Atom::Pid),
];

/// For messages.
pub(super) const KNOWN: &str = "h l u t r m U q H s B b f a T D M L p {name}i {name}o {name}e";

impl Atom {
    /// The atom named `key` (what stands between the parentheses) and, of a captured header or
    /// variable, its name in lower case. Gunicorn looks up braced names without regard to case.
    pub(super) fn named(key: &str) -> Option<(Atom, String)> {
        if let Some((_, atom)) = LETTERS.iter().find(|(letter, _)| *letter == key) {
            return Some((*atom, String::new()));
        }
        let key = key.to_lowercase();
        let (name, kind) = key.strip_prefix('{')?.rsplit_once('}')?;
        let atom = match kind {
            "i" => Atom::RequestHeader,
            "o" => Atom::ResponseHeader,
            "e" => Atom::Environ,
            _ => return None,
        };
        (!name.is_empty()).then(|| (atom, name.to_owned()))
    }

    /// Whether its value may hold any text at all, spaces among it.
    pub(super) fn is_free(self) -> bool {
        matches!(
            self,
            Atom::User
                | Atom::Path
                | Atom::Referer
                | Atom::Agent
                | Atom::RequestHeader
                | Atom::ResponseHeader
                | Atom::Environ
        )
    }

    /// Whether its value has one length and a shape that hardly anything else has.
    pub(super) fn is_fixed(self) -> bool {
        matches!(self, Atom::Time | Atom::Dash)
    }

    /// Whether it is read as text, up to what follows it in the format.
    pub(super) fn is_text(self) -> bool {
        self.is_free()
            || matches!(
                self,
                Atom::RemoteAddress
                    | Atom::RequestLine
                    | Atom::Method
                    | Atom::Query
                    | Atom::Protocol
            )
    }

    /// Whether its value may hold a newline: what Gunicorn decodes before it logs it may, what it
    /// takes from the request's head as it came cannot.
    pub(super) fn may_hold_newline(self) -> bool {
        matches!(self, Atom::User | Atom::Path | Atom::Environ)
    }

    /// What its value looks like, for reasons.
    pub(super) fn content_match(self) -> &'static str {
        match self {
            Atom::Dash => "-",
            Atom::Time => "time like [23/Nov/2026:08:41:00 +0000]",
            Atom::Status => "status like 200",
            Atom::ResponseBytes => "count of bytes",
            Atom::Seconds => "whole seconds",
            Atom::Milliseconds => "whole milliseconds",
            Atom::Microseconds => "whole microseconds",
            Atom::DecimalSeconds => "seconds like 0.012345",
            Atom::Pid => "process id like <24744>",
            _ => "text",
        }
    }
}

/// What a format string is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Literal(&'a str),
    /// The key of an atom, whether or not there is such an atom.
    Atom(&'a str),
}

/// Reads one piece. Of Python's conversions `s` is usual; `d` and `i` write the same for numbers.
pub(super) fn piece(input: &str) -> IResult<&str, Piece<'_>> {
    let key = delimited(tag("%("), take_till(|c| c == ')'), tag(")"));
    alt((
        map(take_till1(|c| c == '%'), Piece::Literal),
        value(Piece::Literal("%"), tag("%%")),
        map(terminated(key, one_of("sdi")), Piece::Atom),
    ))
    .parse(input)
}
