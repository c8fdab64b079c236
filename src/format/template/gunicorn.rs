//! Gunicorn's dialect: `%(h)s %(l)s "%({Referer}i)s"`, conversions of Python's `%` operator
//! (<https://docs.gunicorn.org/en/stable/settings.html#access-log-format>).

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_till1, take_while};
use nom::character::complete::one_of;
use nom::combinator::{map, opt, value};
use nom::sequence::delimited;
use nom::{IResult, Parser};

use super::atom::Atom;
use super::{FormatError, Padding, Piece};

/// Splits a format. Newlines at its ends are left out: they are lines of their own in the log.
///
/// # Errors
/// A newline within the format, or a stray `%`.
pub(super) fn pieces(format: &str) -> Result<Vec<Piece>, FormatError> {
    let within = format.trim_matches(['\n', '\r']);
    if within.contains('\n') {
        return Err(FormatError::Newline(format.to_owned()));
    }
    let mut pieces = Vec::new();
    let mut rest = within;
    while !rest.is_empty() {
        let Ok((after, piece)) = parse_piece(rest) else {
            let at = format.find(within).unwrap_or(0) + within.len() - rest.len();
            let at = format[..at].chars().count() + 1;
            return Err(FormatError::NoAtom { at, format: format.to_owned() });
        };
        rest = after;
        pieces.push(piece);
    }
    Ok(pieces)
}

/// Reads one part of a format string. The usual conversion is `s`; `d` and `i` write the same for
/// numbers. A conversion may have a width, which fills the value up with spaces.
fn parse_piece(input: &str) -> IResult<&str, Piece> {
    let key = delimited(tag("%("), take_till(|c| c == ')'), tag(")"));
    let width = (
        take_while(|c| matches!(c, '-' | ' ' | '+' | '#')),
        take_while(|c: char| c.is_ascii_digit()),
        opt((tag("."), take_while(|c: char| c.is_ascii_digit()))),
    );
    let atom = (key, width, one_of("sdi")).map(
        |(key, (flags, width, _), _): (&str, (&str, &str, _), _)| {
            let (atom, name) = Atom::from_key(key);
            let width = width.parse().unwrap_or(0);
            let padding =
                if flags.contains('-') { Padding::After(width) } else { Padding::Before(width) };
            let padding = Some(padding).filter(|_| width > 0);
            Piece::Atom { atom, key: key.to_owned(), name, padding }
        },
    );
    let literal = |text: &str| Piece::Literal(text.to_owned());
    alt((
        map(take_till1(|c| c == '%'), literal),
        value(Piece::Literal("%".to_owned()), tag("%%")),
        atom,
    ))
    .parse(input)
}
