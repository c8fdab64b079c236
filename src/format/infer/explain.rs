//! Says why lines have no format: which part of them a known format reads, and where it stops.

use super::super::presets::{Preset, presets};
use super::super::template::Template;
use super::judge::Judge;
use super::looks_like_access;
use crate::model::excerpt;

/// How a preset reads the lines.
struct Attempt {
    preset: &'static Preset,
    template: Template,
    read: usize,
    /// The first line that it does not read, counted from 1.
    unread: Option<usize>,
}

/// Explains why access lines have no format, in a sentence without its end. `None` if none of them is one.
pub(super) fn explain(lines: &[&str]) -> Option<String> {
    let lines: Vec<(usize, &str)> = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| looks_like_access(line))
        .map(|(nth, line)| (nth + 1, *line))
        .collect();
    let (_, first) = lines.first()?;
    let attempts = presets().iter().filter_map(|preset| attempt(preset, &lines));
    // Of equal ones the plainest, which comes first.
    let best = attempts.reduce(|best, other| {
        let further = |it: &Attempt| (it.read, left(&it.template, first));
        let ((read, left), (most, least)) = (further(&other), further(&best));
        if read > most || read == most && left < least { other } else { best }
    })?;
    let (name, all) = (best.preset.name, lines.len());
    let Some(nth) = best.unread else {
        return Some(format!(
            "'{name}' reads all {all} of them, but some values look as if they belonged to other \
             columns: if it is the right one, give `--format {name}`"
        ));
    };
    let line = lines.iter().find(|(number, _)| *number == nth).map_or("", |(_, line)| line);
    let format = best.template.format();
    Some(match reach(format, line) {
        Some(end) => {
            let (atoms, rest) = (&format[..end], unread_part(&format[..end], line));
            format!(
                "'{name}' reads {} of {all}; of line {nth} it reads {atoms:?} and not the rest, \
                 {:?}; try `log-ingestd check FILE --format '{atoms}%({{rest}}x)s'`",
                best.read,
                excerpt(&rest),
            )
        }
        None => format!("no preset reads the beginning of line {nth}, {:?}", excerpt(line)),
    })
}

fn attempt(preset: &'static Preset, lines: &[(usize, &str)]) -> Option<Attempt> {
    // Formats of other dialects cannot be cut where they stop to read.
    let template = Template::compile(preset.format).ok().filter(|it| it.format().contains("%("))?;
    let unread: Vec<usize> = {
        let mut judge = Judge::new(&template);
        lines.iter().filter(|(_, line)| !judge.reads(line)).map(|(number, _)| *number).collect()
    };
    let (read, unread) = (lines.len() - unread.len(), unread.first().copied());
    Some(Attempt { preset, template, read, unread })
}

/// Returns how much of a format reads the beginning of a line: the length of the longest part that ends
/// with the text after an atom.
fn reach(format: &str, line: &str) -> Option<usize> {
    let begins = format.match_indices("%(").map(|(at, _)| at).filter(|at| *at > 0);
    let opening: [char; 4] = ['"', '\'', '[', '('];
    let mut ends: Vec<usize> =
        begins.map(|at| format[..at].trim_end_matches(opening).len()).collect();
    ends.push(format.len());
    ends.into_iter().rev().find(|end| rest_of(&format[..*end], line).is_some())
}

/// Returns what a line holds after this part of a format; `None` if it does not begin so.
fn rest_of(part: &str, line: &str) -> Option<String> {
    let template = Template::compile(&format!("{part}%({{rest}}x)s")).ok()?;
    Judge::new(&template).last_value(line)
}

/// Returns how many bytes of a line a format does not read.
fn left(template: &Template, line: &str) -> usize {
    let format = template.format();
    let rest = reach(format, line).and_then(|end| rest_of(&format[..end], line));
    rest.map_or(line.len(), |rest| rest.len())
}

fn unread_part(part: &str, line: &str) -> String {
    rest_of(part, line).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::explain;

    const DEFAULT: &str = r#"127.0.0.1 - - [23/Nov/2026:14:23:17 +0530] "GET /a?token=s3cret HTTP/1.1" 200 2 "-" "curl""#;

    #[test]
    fn what_is_read_and_what_is_not_is_told() {
        let other = format!("{DEFAULT} [tr-1]");
        let told = explain(&["[info] x", DEFAULT, &other, DEFAULT]).unwrap();
        assert!(told.starts_with("'gunicorn' reads 2 of 3; of line 3 it reads"), "{told}");
        assert!(!told.contains("s3cret"), "{told}");
    }

    #[test]
    fn a_format_whose_values_are_implausible_is_named() {
        let odd = DEFAULT.replace("curl", "10.0.0.1");
        let told = explain(&[&odd, &odd]).unwrap();
        assert!(told.contains("give `--format gunicorn`"), "{told}");
    }

    #[test]
    fn a_line_without_a_request_has_no_explanation() {
        assert_eq!(explain(&["nothing", "of that kind"]), None);
        assert!(explain(&["xx GET / HTTP/1.1 yy"]).is_some());
    }
}
