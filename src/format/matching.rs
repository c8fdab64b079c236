//! Finds where each field of a line begins and ends.
//!
//! Gunicorn escapes `"` as `\"` in every value, and nothing else: not the backslash, spaces, brackets
//! or control characters. So "the next unescaped quote" does not always end a field: a value that
//! ends in a backslash is followed by `\"` too. An unquoted user name may hold any separator. The end
//! of a field is a place from which the rest of the format matches the rest of the line. There are
//! three attempts, each only if the previous one fails:
//!
//! 1. *Greedy*: each field ends at the first possible place. This matches nearly every line.
//! 2. *Escaped*: all places are tried in turn, but no value may hold a `"` without a backslash before
//!    it, as Gunicorn guarantees. A quote without a backslash is tried as an end before those with one.
//! 3. *Verbatim*: values may hold any byte, for writers that escape nothing.
//!
//! A line may have several readings where no double quotes enclose a value. The first reading that is
//! found has the shortest values. If one of them has not its shape ([`shape`]), the search goes on for a
//! reading in which all have, then for one in which one client's value has not, and so on. If there is
//! none, the first reading stands: no value that a client chooses makes a line a reject.
//!
//! A record of several physical lines is only matched escaped, and only a value that Gunicorn decodes
//! may hold the newline. Otherwise the agent of a torn line would include the whole next line.

use std::collections::HashSet;

use super::shapes::{Shape, shape};
use super::template::{Atom, Field, Template};
use super::values::{FieldMatch, Number, few_digits, integer, leading_ipv4, parse_typed, phrase};
use crate::model::RejectReason;

/// How the writer treats quotes in values, as far as the line shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// Every `"` within a value has a backslash before it.
    Escaped,
    /// Some `"` within values have none: the writer escapes nothing.
    Verbatim,
}

/// How many physical lines of the file a text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PhysicalLines {
    /// The text holds no newline.
    One,
    /// The text holds a newline: several lines were joined.
    Several,
}

/// The quotings in the order in which they are tried.
const QUOTINGS: [Quoting; 2] = [Quoting::Escaped, Quoting::Verbatim];

/// How many values may lack their shape, in the order in which they are tried. Beyond that, the number
/// says nothing about which reading is right.
const ODD_VALUES: [u8; 4] = [0, 1, 2, 4];

/// The longest line whose readings are compared (64 KiB), which bounds the time for a hostile line.
const LONGEST_COMPARED: usize = 64 << 10;

/// Returns how many values have not their shape; `None` if one of them is not what a server writes.
pub(super) fn odd_values(template: &Template, line: &[u8], values: &[FieldMatch]) -> Option<usize> {
    let mut odd = 0;
    for (field, value) in template.fields.iter().zip(values) {
        match shape_of(field, line, *value) {
            Shape::Right => {}
            Shape::Odd => odd += 1,
            Shape::Wrong => return None,
        }
    }
    Some(odd)
}

fn shape_of(field: &Field, line: &[u8], value: FieldMatch) -> Shape {
    match std::str::from_utf8(&line[value.start..value.end]) {
        Ok(text) if field.atom.is_text() => shape(field, text),
        Ok(_) if field.atom == Atom::Status && value.number.is_some_and(is_no_status) => Shape::Odd,
        Ok(_) => Shape::Right,
        Err(_) => Shape::Wrong,
    }
}

fn is_no_status(number: i64) -> bool {
    !(100..600).contains(&number)
}

/// Finds the fields of `template` in `line`. `values` must have one element for each field.
pub(super) fn match_fields(
    template: &Template,
    line: &[u8],
    physical: PhysicalLines,
    values: &mut [FieldMatch],
) -> Result<Quoting, RejectReason> {
    let mut place = values.iter_mut();
    let set = |_, value| place.next().map(|place| *place = value).is_some();
    if physical == PhysicalLines::One
        && template.is_plain
        && match_greedily(template, line, set)
        && is_certain(template, line, values)
    {
        return Ok(Quoting::Escaped);
    }
    match_by_search(template, line, physical, values)
}

/// Returns whether each value has its shape, or ends for certain.
fn is_certain(template: &Template, line: &[u8], values: &[FieldMatch]) -> bool {
    let certain = |(field, value): (&Field, &FieldMatch)| {
        field.quoted || shape_of(field, line, *value) == Shape::Right
    };
    template.fields.iter().zip(values).all(certain)
}

/// Makes the second and the third attempt, for a line that does not match greedily.
pub(super) fn match_by_search(
    template: &Template,
    line: &[u8],
    physical: PhysicalLines,
    values: &mut [FieldMatch],
) -> Result<Quoting, RejectReason> {
    if !line.starts_with(&template.prefix) {
        return Err(RejectReason::UnlikeFormat(template.missing_prefix.clone()));
    }
    let at = template.prefix.len();
    let mut furthest = 0;
    let attempts: &[Quoting] =
        if physical == PhysicalLines::Several { &QUOTINGS[..1] } else { &QUOTINGS };
    for &quoting in attempts {
        let mut search = Search {
            fields: &template.fields,
            line,
            quoting,
            values: &mut *values,
            dead_ends: vec![(1, 0); template.fields.len()],
            physical,
            budget: 16_384 + line.len().saturating_mul(4),
            furthest: 0,
            odd_values: None,
            failed: HashSet::new(),
        };
        if search.rest_matches(0, at) {
            if !is_certain(template, line, values) {
                find_better(template, line, quoting, physical, values);
            }
            return Ok(quoting);
        }
        if search.budget == 0 {
            // `Template::warnings` tells which formats may cause this.
            return Err(RejectReason::Ambiguous);
        }
        furthest = search.furthest;
    }
    // A verbatim value may be whatever an escaped one may be, so the verbatim attempt got at least
    // as far as the escaped one.
    let field = &template.fields[furthest / 2];
    let reason = if furthest % 2 == 0 { &field.missing_value } else { &field.missing_terminator };
    Err(RejectReason::UnlikeFormat(reason.clone()))
}

/// Replaces a reading by one with fewer values that lack their shape, if there is one.
fn find_better(
    template: &Template,
    line: &[u8],
    quoting: Quoting,
    physical: PhysicalLines,
    values: &mut [FieldMatch],
) {
    if line.len() > LONGEST_COMPARED {
        return;
    }
    let present = odd_values(template, line, values);
    let mut found = vec![FieldMatch::default(); values.len()];
    for allowed in ODD_VALUES {
        if present.is_some_and(|present| usize::from(allowed) >= present) {
            return;
        }
        let mut search = Search {
            fields: &template.fields,
            line,
            quoting,
            values: &mut found,
            dead_ends: Vec::new(),
            physical,
            budget: 16_384 + line.len().saturating_mul(4),
            furthest: 0,
            odd_values: Some(allowed),
            failed: HashSet::new(),
        };
        if search.rest_matches(0, template.prefix.len()) {
            values.copy_from_slice(&found);
            return;
        }
    }
}

/// Returns the position of the first `"` in `text` without a backslash before it.
#[inline]
fn unescaped_quote(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', text).find(|&at| at == 0 || text[at - 1] != b'\\')
}

/// Matches `line` greedily and gives the value of each field to `set`, in order. If this function
/// returns `false`, the caller must discard what `set` was given. It returns `false` if the line
/// does not match, or as soon as `set` does.
///
/// Nearly every line is matched here and nowhere else, so each field first tries the usual form of
/// its value. Other values are left to the grammar of the atom. The code of a field is inlined
/// into one loop that hands on each value as soon as it is read. With calls whose results go
/// through memory, a line took a fifth more instructions and a third more time.
#[inline(always)]
pub(super) fn match_greedily<'t>(
    template: &'t Template,
    line: &[u8],
    mut set: impl FnMut(&'t Field, FieldMatch) -> bool,
) -> bool {
    if !begins_with(line, &template.prefix) {
        return false;
    }
    let mut start = template.prefix.len();
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
        if !begins_with(&line[end..], &field.terminator)
            || !set(field, FieldMatch { start, end, number })
        {
            return false;
        }
        start = end + field.terminator.len();
    }
    start == line.len()
}

/// Returns the length of the typed value at the beginning of `rest`, and its number.
#[inline(always)]
fn number(field: &Field, rest: &[u8], next: Option<&Field>) -> Option<(usize, Number)> {
    let unit = match field.atom {
        Atom::Status | Atom::ResponseBytes | Atom::Microseconds => 1,
        Atom::Milliseconds => 1_000,
        Atom::Seconds => 1_000_000,
        _ => 0,
    };
    // A few digits are within the range of every column, in any unit.
    let digits = if unit > 0 { few_digits(rest) } else { None };
    let (mut length, number) = match digits {
        Some((number, length)) => (length, Some(number * unit)),
        None => {
            let (after, number) = parse_typed(field.atom, rest).ok()?;
            (rest.len() - after.len(), number)
        }
    };
    // A reason phrase belongs to its status unless the next field is a text, which could begin with
    // a letter too.
    if field.atom == Atom::Status && next.is_none_or(|next| !next.atom.is_text()) {
        let after = &rest[length..];
        length += after[..phrase(after)].trim_ascii_end().len();
    }
    Some((length, number))
}

/// Returns the length of the shortest escaped text at the beginning of `rest` that the field's
/// terminator follows. For an address that was read on the way it also returns the address as a
/// number.
#[inline(always)]
fn text(field: &Field, rest: &[u8], last: bool) -> Option<(usize, Number)> {
    let terminator = field.terminator.as_slice();
    let Some(&first) = terminator.first() else {
        // Only the search decides between neighbours without a literal between them.
        return (last && unescaped_quote(rest).is_none()).then_some((rest.len(), None));
    };
    // The value is `-`: no user or no referer.
    if let [b'-', after, ..] = *rest
        && after == first
        && first != b'-'
        && begins_with(&rest[1..], terminator)
    {
        return Some((1, None));
    }
    if field.atom == Atom::RemoteAddress
        && let Some((length, address)) = plain_address(rest, terminator)
    {
        return Some((length, Some(address)));
    }
    if first == b'"' {
        return unescaped_quote(rest).map(|length| (length, None));
    }
    for at in memchr::memchr2_iter(first, b'"', rest) {
        if begins_with(&rest[at..], terminator) {
            return Some((at, None));
        }
        if rest[at] == b'"' && (at == 0 || rest[at - 1] != b'\\') {
            return None;
        }
    }
    None
}

/// Returns length and bits of an IPv4 address that `terminator` follows. Any other address is text
/// until its end is known.
#[inline(always)]
fn plain_address(rest: &[u8], terminator: &[u8]) -> Option<(usize, i64)> {
    let (address, length) = leading_ipv4(rest)?;
    // The shortest text before a digit or a dot would be only a part of the address.
    let ends = !matches!(terminator.first()?, b'0'..=b'9' | b'.')
        && begins_with(&rest[length..], terminator);
    ends.then(|| (length, i64::from(address.to_bits())))
}

/// Returns whether `rest` begins with `terminator`. A terminator nearly always has one to three bytes,
/// for which calling the C library's memcmp would take most of the time.
#[inline(always)]
fn begins_with(rest: &[u8], terminator: &[u8]) -> bool {
    match *terminator {
        [] => true,
        [a] => rest.first() == Some(&a),
        [a, b] => matches!(*rest, [x, y, ..] if x == a && y == b),
        [a, b, c] => matches!(*rest, [x, y, z, ..] if x == a && y == b && z == c),
        _ => rest.starts_with(terminator),
    }
}

/// One search through one line: tries all readings in turn until one reaches the end of the line.
///
/// The search is bounded. A text that started at `p` and failed at every end up to `q` also fails
/// from any start between them, because the same ends or fewer remain. So each field scans a line
/// about once. Other cases are bounded by a budget of steps in proportion to the length of the
/// line.
struct Search<'s> {
    fields: &'s [Field],
    line: &'s [u8],
    quoting: Quoting,
    values: &'s mut [FieldMatch],
    /// For each field: a text that starts within these bounds is known not to match.
    dead_ends: Vec<(usize, usize)>,
    /// Whether several physical lines were joined.
    physical: PhysicalLines,
    /// Remaining steps. A step is one place tried, or 16 bytes passed over.
    budget: usize,
    /// The furthest failure: twice the field's number, plus one if the value matched but its
    /// terminator did not.
    furthest: usize,
    /// How many further values may lack their shape; `None` if shapes mean nothing.
    odd_values: Option<u8>,
    /// With shapes: the fields, the places and the remaining [`Search::odd_values`] from which the rest
    /// of the line is known not to match.
    failed: HashSet<(usize, usize, u8)>,
}

impl Search<'_> {
    /// Returns whether the fields from the `nth` on match the line from `at` on.
    fn rest_matches(&mut self, nth: usize, at: usize) -> bool {
        let Some(field) = self.fields.get(nth) else { return at == self.line.len() };
        if self.budget == 0 {
            return false;
        }
        if let Some(left) = self.odd_values
            && !self.failed.insert((nth, at, left))
        {
            return false;
        }
        if field.atom.is_text() {
            self.furthest = self.furthest.max(2 * nth + 1);
            return self.text(nth, at, &field.terminator);
        }
        self.furthest = self.furthest.max(2 * nth);
        let spaces = |from: usize| match field.padded {
            true => self.line[from..].iter().take_while(|byte| **byte == b' ').count(),
            false => 0,
        };
        let at = at + spaces(at);
        let input = &self.line[at..];
        let Ok((after, number)) = parse_typed(field.atom, input) else {
            self.spend(1);
            return false;
        };
        self.furthest = self.furthest.max(2 * nth + 1);
        let length = input.len() - after.len();
        let padding = spaces(at + length);
        if (1..=padding).rev().any(|more| self.ends_at(nth, at, at + length + more, number))
            || self.ends_at(nth, at, at + length, number)
        {
            return true;
        }
        let words = if field.atom == Atom::Status { phrase(after) } else { 0 };
        if (1..=words).any(|more| self.ends_at(nth, at, at + length + more, number)) {
            return true;
        }
        // Where digits may follow digits, the first number may have taken too many.
        let shared = match field.terminator.first() {
            Some(byte) => byte.is_ascii_digit(),
            None => nth + 1 < self.fields.len(),
        };
        shared
            && integer(input).is_ok()
            && (1..length).rev().any(|fewer| match parse_typed(field.atom, &input[..fewer]) {
                Ok(([], number)) => self.ends_at(nth, at, at + fewer, number),
                _ => false,
            })
    }

    fn text(&mut self, nth: usize, start: usize, terminator: &[u8]) -> bool {
        let (dead_from, dead_to) = self.dead_ends.get(nth).copied().unwrap_or((1, 0));
        if dead_from <= start && start <= dead_to {
            self.spend(1);
            return false;
        }
        let quote = match self.quoting {
            Quoting::Escaped => unescaped_quote(&self.line[start..]).map(|length| start + length),
            Quoting::Verbatim => None,
        };
        let mut reach = quote.unwrap_or(self.line.len());
        if self.physical == PhysicalLines::Several && !self.fields[nth].atom.may_hold_newline() {
            let newline = memchr::memchr(b'\n', &self.line[start..reach]);
            reach = newline.map_or(reach, |length| start + length);
        }
        self.spend((reach - start) / 16);
        let found = if nth + 1 == self.fields.len() {
            let end = self.line.len().saturating_sub(terminator.len());
            start <= end && end <= reach && self.ends_at(nth, start, end, None)
        } else if terminator.is_empty() {
            (start..=reach).any(|end| self.ends_at(nth, start, end, None))
        } else if self.quoting == Quoting::Escaped && terminator[0] == b'"' {
            quote.is_some_and(|end| end <= reach && self.ends_at(nth, start, end, None))
                || self.any_end(nth, start, reach, terminator)
        } else {
            self.any_end(nth, start, reach, terminator)
        };
        if !found && self.odd_values.is_none() {
            // A failed start before the known range extends the range if it reaches it.
            let to =
                if start < dead_from && dead_from <= reach { reach.max(dead_to) } else { reach };
            self.dead_ends[nth] = (start, to);
        }
        found
    }

    /// Tries every place from `start` to `reach` at which `terminator` stands.
    fn any_end(&mut self, nth: usize, start: usize, reach: usize, terminator: &[u8]) -> bool {
        let within = &self.line[start..self.line.len().min(reach + terminator.len())];
        let mut passed = 0;
        // The iterator of memmem is not used, because it skips matches that overlap.
        while let Some(length) = memchr::memmem::find(&within[passed..], terminator) {
            self.spend(length / 16);
            let end = start + passed + length;
            if self.ends_at(nth, start, end, None) {
                return true;
            }
            if self.budget == 0 {
                return false;
            }
            passed += length + 1;
        }
        self.spend((within.len() - passed) / 16);
        false
    }

    /// Returns whether the `nth` value can end at `end` and the rest of the line matches.
    fn ends_at(&mut self, nth: usize, start: usize, end: usize, number: Number) -> bool {
        self.spend(1);
        let terminator = &self.fields[nth].terminator;
        if self.budget == 0 || !begins_with(&self.line[end..], terminator) {
            return false;
        }
        let value = FieldMatch { start, end, number };
        let next = end + terminator.len();
        let Some(left) = self.odd_values else {
            self.values[nth] = value;
            return self.rest_matches(nth + 1, next);
        };
        let field = &self.fields[nth];
        self.spend((end - start) / 16);
        let is_odd = !(field.quoted && self.quoting == Quoting::Escaped)
            && match shape_of(field, self.line, value) {
                Shape::Right => false,
                Shape::Odd => true,
                Shape::Wrong => return false,
            };
        if is_odd && left == 0 {
            return false;
        }
        self.odd_values = Some(left - u8::from(is_odd));
        let matches = self.rest_matches(nth + 1, next);
        self.odd_values = Some(left);
        if matches {
            self.values[nth] = value;
        }
        matches
    }

    fn spend(&mut self, steps: usize) {
        self.budget = self.budget.saturating_sub(steps);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn texts(format: &str, line: &str) -> Result<(Vec<String>, Quoting), RejectReason> {
        let template = Template::compile(format).unwrap();
        let mut values = vec![FieldMatch::default(); template.fields.len()];
        let physical = match line.contains('\n') {
            true => PhysicalLines::Several,
            false => PhysicalLines::One,
        };
        let quoting = match_fields(&template, line.as_bytes(), physical, &mut values)?;
        Ok((values.iter().map(|value| line[value.start..value.end].to_owned()).collect(), quoting))
    }

    #[track_caller]
    fn reads(format: &str, line: &str, right: &[&str], quoting: Quoting) {
        let (texts, found) = texts(format, line).unwrap();
        assert_eq!(texts, right, "{line}");
        assert_eq!(found, quoting, "{line}");
    }

    #[test]
    fn a_value_may_end_in_a_backslash() {
        reads(r#""%(f)s" "%(a)s""#, r#""x\" "y\""#, &[r"x\", r"y\"], Quoting::Escaped);
        reads(r#""%(f)s" "%(a)s""#, r#""\" "\" \"""#, &[r"\", r#"\" \""#], Quoting::Escaped);
        reads(r#""%(f)s" "%(a)s""#, r#""" """#, &["", ""], Quoting::Escaped);
    }

    #[test]
    fn unescaped_quotes_are_read_if_nothing_else_matches() {
        let found = ["a\"b", "say \"hi\""];
        reads(r#""%(f)s" "%(a)s""#, r#""a"b" "say "hi"""#, &found, Quoting::Verbatim);
    }

    #[test]
    fn an_unquoted_name_may_hold_its_separator() {
        let time = "[23/Nov/2026:14:23:17 +0530]";
        for name in ["x - y", "a [b] c", "", "- -", "ends in space "] {
            let line = format!("h - {name} {time}");
            reads("%(h)s %(l)s %(u)s %(t)s", &line, &["h", "-", name, time], Quoting::Escaped);
        }
    }

    #[test]
    fn only_decoded_values_may_hold_a_newline() {
        let format = "%(h)s %(l)s %(u)s %(t)s \"%(a)s\"";
        let whole = "h - x [23/Nov/2026:14:23:17 +0530] \"a\"";
        let user = whole.replace('x', "x\ny");
        let time = "[23/Nov/2026:14:23:17 +0530]";
        reads(format, &user, &["h", "-", "x\ny", time, "a"], Quoting::Escaped);
        for torn in ["garbage", "h - x [23/Nov/2026:14:23:17 +0530] \"a", "h", whole] {
            assert!(texts(format, &format!("{torn}\n{whole}")).is_err(), "{torn}");
        }
    }

    #[test]
    fn a_status_may_carry_its_phrase() {
        for status in ["200", "200 OK", "418 I'm a Teapot", "207 Multi-Status", "-", "None"] {
            reads("%(s)s %(b)s", &format!("{status} -"), &[status, "-"], Quoting::Escaped);
            reads("%(s)s", status, &[status], Quoting::Escaped);
        }
        reads("%(s)s %(a)s", "200 curl", &["200", "curl"], Quoting::Escaped);
    }

    #[test]
    fn neighbours_are_separated_by_their_shapes() {
        reads(
            "%(u)s%(t)s",
            "x[[23/Nov/2026:14:23:17 +0530]",
            &["x[", "[23/Nov/2026:14:23:17 +0530]"],
            Quoting::Escaped,
        );
        reads("%(s)s%(D)s", "200", &["20", "0"], Quoting::Escaped);
        reads("%(s)s1%(D)s", "20012", &["200", "2"], Quoting::Escaped);
    }

    #[test]
    fn the_reason_names_the_atom_of_the_furthest_failure() {
        let reason = |line| texts(r#"%(h)s %(t)s "%(r)s" %(s)s"#, line).unwrap_err().to_string();
        assert_eq!(reason("x"), "no ` ` after %(h)s");
        assert_eq!(
            reason("x y z"),
            "no time like [23/Nov/2026:08:41:00 +0000] where the format has %(t)s"
        );
        assert_eq!(reason("x [23/Nov/2026:14:23:17 +0530] GET"), "no ` \"` after %(t)s");
        assert_eq!(
            reason("x [23/Nov/2026:14:23:17 +0530] \"GET\" abc"),
            "no status like 200 where the format has %(s)s"
        );
        assert_eq!(
            reason("x [23/Nov/2026:14:23:17 +0530] \"GET\" 200 1"),
            "goes on after %(s)s, where the format ends"
        );
    }

    #[test]
    fn hostile_lines_take_linear_time() {
        let default = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;
        let free = format!("{} %(D)s", ["%({x}i)s"; 12].join(" "));
        let close = "%(u)s%(a)s%(f)s%(D)s%(s)s";
        let quoted = r#""%(f)s" "%(a)s" "%(u)s" "%(U)s" %(D)s"#;
        let time = "[23/Nov/2026:14:23:17 +0530]";
        let front = format!("1.1.1.1 - - {time} \"GET / HTTP/1.1\" 200 1 \"");
        const LONG: usize = 64 << 10;
        for format in [default, &free, close, quoted] {
            for unit in ["\" \"", " ", "\"", "\\\" \"", "1", "1 ", " - ", "\\", "a", time] {
                for head in ["", &front] {
                    let line = format!("{head}{}x", unit.repeat(LONG / unit.len()));
                    let begin = Instant::now();
                    let _ = texts(format, &line);
                    // Quadratic time would be many minutes. Linear time is about 50 ms without
                    // optimisation. The limit leaves room for a machine that is busy with other
                    // work.
                    assert!(begin.elapsed() < Duration::from_secs(60), "{format} {unit}");
                }
            }
        }
    }
}
