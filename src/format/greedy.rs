//! The first attempt at a line: each field ends at the first place where it may.
//!
//! Nearly every line is read here and nowhere else, so each field first looks for what stands
//! there nearly always. Whatever is not plainly that is left to the grammar of its atom.
//!
//! The way of a field is inlined into one loop, which hands each value on as it is read: with calls
//! whose results go through memory a line took a fifth more steps and a third more time.

use super::address::leading_ipv4;
use super::atom::Atom;
use super::fields::{Number, few_digits, phrase};
use super::read::{Value, typed, unescaped_quote};
use super::template::{Field, Template};

/// Reads `line` by `template` and hands each field's value to `put`, in order. If it returns
/// `false`, or `put` does, the values that `put` was given mean nothing.
#[inline(always)]
pub(super) fn greedy<'t>(
    template: &'t Template,
    line: &[u8],
    mut put: impl FnMut(&'t Field, Value) -> bool,
) -> bool {
    if !stands_at(line, &template.head) {
        return false;
    }
    let mut start = template.head.len();
    let mut next = template.fields.iter();
    while let Some(field) = next.next() {
        let rest = &line[start..];
        let found = if field.atom.is_text() {
            text(field, rest, next.len() == 0)
        } else {
            number(field, rest, next.as_slice().first())
        };
        let Some((length, number)) = found else { return false };
        let end = start + length;
        if !stands_at(&line[end..], &field.until) || !put(field, Value { start, end, number }) {
            return false;
        }
        start = end + field.until.len();
    }
    start == line.len()
}

/// How long the value that `rest` begins with is, and the number that it is.
#[inline(always)]
fn number(field: &Field, rest: &[u8], next: Option<&Field>) -> Option<(usize, Number)> {
    let unit = match field.atom {
        Atom::Status | Atom::ResponseBytes | Atom::Microseconds => 1,
        Atom::Milliseconds => 1_000,
        Atom::Seconds => 1_000_000,
        _ => 0,
    };
    // Few digits are within the bounds of every column, in any unit.
    let digits = if unit > 0 { few_digits(rest) } else { None };
    let (mut length, number) = match digits {
        Some((number, length)) => (length, Some(number * unit)),
        None => {
            let (behind, number) = typed(field.atom, rest).ok()?;
            (rest.len() - behind.len(), number)
        }
    };
    // A phrase goes with its status where a text that begins with a letter cannot follow.
    if field.atom == Atom::Status && next.is_none_or(|next| !next.atom.is_text()) {
        let behind = &rest[length..];
        length += behind[..phrase(behind)].trim_ascii_end().len();
    }
    Some((length, number))
}

/// How long the shortest escaped text at the beginning of `rest` is that the field's literal
/// follows; and of an address that was read on the way its bits.
#[inline(always)]
fn text(field: &Field, rest: &[u8], last: bool) -> Option<(usize, Number)> {
    let until = field.until.as_slice();
    let Some(&first) = until.first() else {
        // The search decides between neighbours.
        return (last && unescaped_quote(rest).is_none()).then_some((rest.len(), None));
    };
    // `-`, where there is no user or no referer.
    if let [b'-', behind, ..] = *rest
        && behind == first
        && first != b'-'
        && stands_at(&rest[1..], until)
    {
        return Some((1, None));
    }
    if field.atom == Atom::RemoteAddress
        && let Some((length, address)) = plain_address(rest, until)
    {
        return Some((length, Some(address)));
    }
    if first == b'"' {
        return unescaped_quote(rest).map(|length| (length, None));
    }
    for at in memchr::memchr2_iter(first, b'"', rest) {
        if stands_at(&rest[at..], until) {
            return Some((at, None));
        }
        if rest[at] == b'"' && (at == 0 || rest[at - 1] != b'\\') {
            return None;
        }
    }
    None
}

/// An IPv4 address that `until` follows, read as it is passed over: its length, and its bits. Any
/// other value is text until its place is known.
#[inline(always)]
fn plain_address(rest: &[u8], until: &[u8]) -> Option<(usize, i64)> {
    let (address, length) = leading_ipv4(rest)?;
    // The shortest text before a digit or a dot would be a part of the address.
    let ends = !matches!(until.first()?, b'0'..=b'9' | b'.') && stands_at(&rest[length..], until);
    ends.then(|| (length, i64::from(address.to_bits())))
}

/// Whether `rest` begins with `until`: nearly always one to three bytes, for which a call to the C
/// library's memcmp would be most of the time.
#[inline(always)]
pub(super) fn stands_at(rest: &[u8], until: &[u8]) -> bool {
    match *until {
        [] => true,
        [a] => rest.first() == Some(&a),
        [a, b] => matches!(*rest, [x, y, ..] if x == a && y == b),
        [a, b, c] => matches!(*rest, [x, y, z, ..] if x == a && y == b && z == c),
        _ => rest.starts_with(until),
    }
}
