//! Where each field of a line begins and ends.
//!
//! Gunicorn escapes `"` as `\"` in every value and nothing else: not the backslash, not spaces,
//! brackets or control characters. So a field cannot be cut off at "the next unescaped quote"
//! (a value that ends in a backslash is followed by `\"` too), and an unquoted user name may hold
//! any separator. The end of a field is where what follows it in the format can be read to the end
//! of the line. Three attempts, each only if the one before finds nothing:
//!
//! 1. *Greedy*: each field ends at the first place where it may. Nearly every line.
//! 2. *Escaped*: all places are tried in turn, but none of the values may hold a `"` without a
//!    backslash before it, as Gunicorn guarantees. Quotes without a backslash before them end a
//!    value before those with one.
//! 3. *Verbatim*: values may hold any byte, for writers that escape nothing.
//!
//! A record of several physical lines is only read escaped, and only a value that Gunicorn decoded
//! may hold the newline: otherwise a torn line would take the whole next one into its agent.

use nom::character::complete::char;
use nom::{IResult, Parser};

use super::atom::Atom;
use super::fields::{Number, decimal_seconds, pid, scaled, status};
use super::greedy::greedy;
use super::reject::Reject;
use super::search::Search;
use super::template::Template;
use super::time::time;

/// One field's place in the line, and its number if it is one; of an address that was read already
/// the 32 bits of IPv4.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) number: Number,
}

/// What is known of quotes within the values that were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quoting {
    /// Every `"` has a backslash before it.
    Escaped,
    /// Some have none: the writer escapes nothing.
    Verbatim,
}

/// Reads `line` by `template` into `values`, one for each field: it must be as long. `joined` says
/// that the line holds a newline.
pub(super) fn read(
    template: &Template,
    line: &[u8],
    joined: bool,
    values: &mut [Value],
) -> Result<Quoting, Reject> {
    let mut place = values.iter_mut();
    let put = |_, value| place.next().map(|place| *place = value).is_some();
    if !joined && greedy(template, line, put) {
        return Ok(Quoting::Escaped);
    }
    search(template, line, joined, values)
}

/// The second and the third attempt of [`read`], for a line that cannot be read greedily.
pub(super) fn search(
    template: &Template,
    line: &[u8],
    joined: bool,
    values: &mut [Value],
) -> Result<Quoting, Reject> {
    if !line.starts_with(&template.head) {
        return Err(Reject::Unlike(template.no_head.clone()));
    }
    let at = template.head.len();
    let mut stuck = 0;
    let attempts: &[Quoting] =
        if joined { &[Quoting::Escaped] } else { &[Quoting::Escaped, Quoting::Verbatim] };
    for &quoting in attempts {
        let mut search = Search::new(&template.fields, line, quoting, values);
        search.joined = joined;
        if search.rest(0, at) {
            return Ok(quoting);
        }
        if search.budget == 0 {
            return Err(Reject::TooManyReadings);
        }
        stuck = search.stuck;
    }
    // Verbatim values may be whatever escaped ones may be, so it got at least as far.
    let field = &template.fields[stuck / 2];
    let reason = if stuck % 2 == 0 { &field.no_value } else { &field.no_end };
    Err(Reject::Unlike(reason.clone()))
}

/// Reads a value that tells by itself where it ends.
#[inline]
pub(super) fn typed(atom: Atom, input: &[u8]) -> IResult<&[u8], Number> {
    match atom {
        Atom::Time => time.map(Some).parse(input),
        Atom::Status => status(input),
        Atom::ResponseBytes | Atom::Microseconds => scaled(1, input),
        Atom::Milliseconds => scaled(1_000, input),
        Atom::Seconds => scaled(1_000_000, input),
        Atom::DecimalSeconds => decimal_seconds(input),
        Atom::Pid => pid(input),
        _ => char('-').map(|_| None).parse(input),
    }
}

/// The first `"` that has no backslash before it within `text`.
#[inline]
pub(super) fn unescaped_quote(text: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'"', text).find(|&at| at == 0 || text[at - 1] != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    fn texts(format: &str, line: &str) -> Result<(Vec<String>, Quoting), Reject> {
        let template = Template::compile(format).unwrap();
        let mut values = vec![Value::default(); template.fields.len()];
        let quoting = read(&template, line.as_bytes(), line.contains('\n'), &mut values)?;
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
    fn quotes_that_nobody_escaped_are_read_if_nothing_else_fits() {
        let found = ["a\"b", "say \"hi\""];
        reads(r#""%(f)s" "%(a)s""#, r#""a"b" "say "hi"""#, &found, Quoting::Verbatim);
    }

    #[test]
    fn an_unquoted_name_may_hold_what_separates_it() {
        let time = "[23/Nov/2026:14:23:17 +0530]";
        for name in ["x - y", "a [b] c", "", "- -", "ends in space "] {
            let line = format!("h - {name} {time}");
            reads("%(h)s %(l)s %(u)s %(t)s", &line, &["h", "-", name, time], Quoting::Escaped);
        }
    }

    #[test]
    fn newlines_stay_where_they_can_come_from() {
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
    fn neighbours_are_told_apart_where_their_shapes_allow() {
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
    fn the_reason_names_the_atom_at_which_it_got_stuck() {
        let reason = |line| texts(r#"%(h)s %(t)s "%(r)s" %(s)s"#, line).unwrap_err().to_string();
        assert_eq!(reason("x"), "no ` ` behind %(h)s");
        assert_eq!(
            reason("x y z"),
            "no time like [23/Nov/2026:08:41:00 +0000] where the format has %(t)s"
        );
        assert_eq!(reason("x [23/Nov/2026:14:23:17 +0530] GET"), "no ` \"` behind %(t)s");
        assert_eq!(
            reason("x [23/Nov/2026:14:23:17 +0530] \"GET\" abc"),
            "no status like 200 where the format has %(s)s"
        );
        assert_eq!(
            reason("x [23/Nov/2026:14:23:17 +0530] \"GET\" 200 1"),
            "goes on behind %(s)s, where the format ends"
        );
    }

    #[test]
    fn hostile_lines_take_time_in_proportion_to_their_length() {
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
                    // Steps for each pair of bytes would take many minutes, the right ones some 50 ms,
                    // unoptimised; a machine with other work to do is not to be taken for the former.
                    assert!(begin.elapsed() < Duration::from_secs(60), "{format} {unit}");
                }
            }
        }
    }
}
