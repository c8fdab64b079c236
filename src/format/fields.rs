//! What each atom's value looks like, as nom parsers over bytes. All are total: a value that would
//! not fit its column is no value.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while_m_n};
use nom::character::complete::char;
use nom::combinator::{map, map_opt, value};
use nom::error::{Error, ErrorKind};
use nom::sequence::{delimited, separated_pair};
use nom::{IResult, Parser};

/// A number, or `None` where Gunicorn had none to write.
pub(super) type Number = Option<i64>;

/// Digits that an `i64` can hold, at most 19: a longer run is refused without reading on, which
/// also keeps a line of nothing but digits cheap.
pub(super) fn integer(input: &[u8]) -> IResult<&[u8], i64> {
    const LONGEST: usize = 19; // the largest such number fits 64 bits without a sign
    let mut sum = 0u64;
    let mut length = 0;
    while length < LONGEST
        && let Some(digit) = input.get(length).map(|byte| byte.wrapping_sub(b'0'))
        && digit < 10
    {
        sum = sum * 10 + u64::from(digit);
        length += 1;
    }
    match i64::try_from(sum) {
        Ok(number) if length > 0 => Ok((&input[length..], number)),
        _ => Err(nom::Err::Error(Error::new(input, ErrorKind::Digit))),
    }
}

/// The number of one to nine digits that `input` begins with, and its length. Longer ones, which
/// may be more than a column holds, are left to [`integer`].
#[inline(always)]
pub(super) fn few_digits(input: &[u8]) -> Option<(i64, usize)> {
    const MOST: usize = 9;
    let mut sum = 0u32;
    for (length, byte) in input.iter().take(MOST + 1).enumerate() {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return (length > 0).then_some((i64::from(sum), length));
        }
        sum = sum.wrapping_mul(10).wrapping_add(u32::from(digit));
    }
    (1..=MOST).contains(&input.len()).then_some((i64::from(sum), input.len()))
}

/// `-`, or `None` as Python writes it.
fn nothing(input: &[u8]) -> IResult<&[u8], Number> {
    value(None, alt((tag(&b"-"[..]), tag(&b"None"[..])))).parse(input)
}

/// An integer in units of `unit`, or nothing.
pub(super) fn scaled(unit: i64, input: &[u8]) -> IResult<&[u8], Number> {
    alt((map_opt(integer, |count| count.checked_mul(unit).map(Some)), nothing)).parse(input)
}

/// The digits of a status, within 32 bits, or nothing. A phrase may follow; see [`phrase`].
pub(super) fn status(input: &[u8]) -> IResult<&[u8], Number> {
    alt((map(small, Some), nothing)).parse(input)
}

/// `<24744>`, `24744` or nothing.
pub(super) fn pid(input: &[u8]) -> IResult<&[u8], Number> {
    alt((map(delimited(char('<'), small, char('>')), Some), map(small, Some), nothing)).parse(input)
}

/// `0.012345` seconds as microseconds, or nothing. Further decimals are cut off.
pub(super) fn decimal_seconds(input: &[u8]) -> IResult<&[u8], Number> {
    let decimals = take_while_m_n(1, 18, |byte: u8| byte.is_ascii_digit());
    let seconds = separated_pair(integer, char('.'), decimals);
    let micros = map_opt(seconds, |(seconds, decimals): (i64, &[u8])| {
        let (_, mut micros) = integer(&decimals[..decimals.len().min(6)]).ok()?;
        for _ in decimals.len()..6 {
            micros *= 10;
        }
        seconds.checked_mul(1_000_000)?.checked_add(micros).map(Some)
    });
    alt((micros, nothing)).parse(input)
}

fn small(input: &[u8]) -> IResult<&[u8], i64> {
    map_opt(integer, |number| i32::try_from(number).ok().map(i64::from)).parse(input)
}

/// Bytes of a reason phrase behind a status, with the space before it (` OK`,
/// ` Multi-Status`, ` I'm a Teapot`), at most 64: all that could belong to it.
pub(super) fn phrase(input: &[u8]) -> usize {
    const LONGEST: usize = 64;
    if !matches!(input, [b' ', first, ..] if first.is_ascii_alphabetic()) {
        return 0;
    }
    let within = |byte: &&u8| byte.is_ascii_alphabetic() || matches!(**byte, b' ' | b'-' | b'\'');
    input.iter().take(LONGEST).take_while(within).count()
}

/// The three words of a request line.
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a str,
    pub(super) protocol: &'a str,
}

/// `GET /path HTTP/1.1`. The method ends at the first space and the protocol begins at the last,
/// so a server that lets spaces into the URL does no harm.
pub(super) fn request_line(text: &str) -> Option<RequestLine<'_>> {
    const USUAL: &[u8] = b" HTTP/1.1";
    let bytes = text.as_bytes();
    let first = bytes.iter().position(|byte| *byte == b' ')?; // methods are short
    let last = match bytes.ends_with(USUAL) {
        true => bytes.len() - USUAL.len(),
        false => memchr::memrchr(b' ', bytes)?,
    };
    if first == 0 || last <= first {
        return None;
    }
    let (method, url, protocol) = (&text[..first], &text[first + 1..last], &text[last + 1..]);
    protocol.starts_with("HTTP/").then_some(RequestLine { method, url, protocol })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(result: IResult<&[u8], Number>) -> Option<Number> {
        result.ok().filter(|(rest, _)| rest.is_empty()).map(|(_, number)| number)
    }

    #[test]
    fn numbers_end_where_their_column_does() {
        assert_eq!(all(scaled(1, b"9223372036854775807")), Some(Some(i64::MAX)));
        assert_eq!(all(scaled(1, b"9223372036854775808")), None);
        assert_eq!(all(scaled(1_000, b"9223372036854775807")), None);
        assert_eq!(all(scaled(1, b"-")), Some(None));
        assert_eq!(all(scaled(1, b"None")), Some(None));
        assert_eq!(all(status(b"2147483647")), Some(Some(2_147_483_647)));
        assert_eq!(all(status(b"2147483648")), None);
        assert_eq!(all(pid(b"<1>")), Some(Some(1)));
        assert_eq!(all(pid(b"1")), Some(Some(1)));
        assert_eq!(all(pid(b"<1")), None);
    }

    #[test]
    fn few_digits_are_what_the_grammar_reads() {
        let mut rng = fastrand::Rng::with_seed(9);
        for length in (0..=12).cycle().take(10_000) {
            let mut text: Vec<u8> = (0..length).map(|_| rng.u8(b'0'..=b'9')).collect();
            text.extend_from_slice(if rng.bool() { b"" } else { b" 1" });
            let right = integer(&text).ok().filter(|_| length <= 9);
            let right = right.map(|(rest, number)| (number, text.len() - rest.len()));
            assert_eq!(few_digits(&text), right);
        }
    }

    #[test]
    fn decimal_seconds_become_microseconds() {
        assert_eq!(all(decimal_seconds(b"1.000205")), Some(Some(1_000_205)));
        assert_eq!(all(decimal_seconds(b"0.005")), Some(Some(5_000)));
        assert_eq!(all(decimal_seconds(b"0.0000019")), Some(Some(1)));
        assert_eq!(all(decimal_seconds(b"1")), None);
        assert_eq!(all(decimal_seconds(b"9223372036854.775808")), None);
    }

    #[test]
    fn a_phrase_is_words_only() {
        assert_eq!(phrase(b" OK 12"), 4);
        assert_eq!(phrase(b" I'm a Teapot\""), 13);
        assert_eq!(phrase(b" 12"), 0);
        assert_eq!(phrase(b"OK"), 0);
    }

    #[test]
    fn a_request_line_has_three_words() {
        let line = request_line("GET /a b HTTP/1.1").unwrap();
        assert_eq!((line.method, line.url, line.protocol), ("GET", "/a b", "HTTP/1.1"));
        let line = request_line("GET  HTTP/1.1").unwrap();
        assert_eq!((line.method, line.url, line.protocol), ("GET", "", "HTTP/1.1"));
        let line = request_line("GET / HTTP/1.1 HTTP/1.0").unwrap();
        assert_eq!((line.method, line.url, line.protocol), ("GET", "/ HTTP/1.1", "HTTP/1.0"));
        assert!(request_line("GET HTTP/1.1").is_none());
        assert!(request_line(" HTTP/1.1").is_none());
        assert!(request_line("-").is_none());
        assert!(request_line("GET / FTP/1").is_none());
        assert!(request_line(" / HTTP/1.1").is_none());
    }
}
