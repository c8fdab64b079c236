//! Compiles a Gunicorn `access_log_format` to a template: fields, and the literal text around them.
//!
//! Names and meanings of the atoms are those of Gunicorn
//! (<https://docs.gunicorn.org/en/stable/settings.html#access-log-format>).

use std::borrow::Cow;
use std::sync::Arc;

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_till1};
use nom::character::complete::one_of;
use nom::combinator::{map, value};
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser};
use thiserror::Error;

/// The most atoms that a format may have.
pub(super) const MOST_FIELDS: usize = 64;

/// Why a text is not a valid format. The message quotes the text and says what is expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// The format has an atom that Gunicorn does not have.
    #[error(
        "unknown atom %({key})s at character {at} of the format {format:?}; atoms are {KNOWN_ATOMS}"
    )]
    UnknownAtom {
        /// The text between the parentheses.
        key: String,
        /// The character at which the atom begins, counted from 1.
        at: usize,
        /// The format.
        format: String,
    },
    /// The format has a `%` that does not begin an atom.
    #[error(
        "the % at character {at} of the format {format:?} does not begin an atom like %(h)s; \
         write a percent sign itself as %%"
    )]
    NoAtom {
        /// The position of the `%` in characters, counted from 1.
        at: usize,
        /// The format.
        format: String,
    },
    /// The format, which it holds, has no atom.
    #[error("the format {0:?} has no atom; atoms are written %(h)s, and are {KNOWN_ATOMS}")]
    NothingToRead(String),
    /// The format, which it holds, has too many atoms.
    #[error("the format {0:?} has more than {MOST_FIELDS} atoms")]
    TooManyAtoms(String),
    /// The format, which it holds, has a newline, so its records would not be lines.
    #[error("the format {0:?} holds a newline, but a record must be one line")]
    Newline(String),
    /// A word that is neither a format nor the name of a preset.
    #[error(
        "{name:?} is neither a format like %(h)s %(l)s … nor a preset; did you mean {nearest:?}? \
         presets are {presets}"
    )]
    UnknownPreset {
        /// The word.
        name: String,
        /// The preset with the most similar name.
        nearest: &'static str,
        /// The names of all presets.
        presets: String,
    },
}

/// One atom of a format, and the literal text that must follow its value.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) atom: Atom,
    /// The text between the parentheses, as written in the format.
    pub(super) key: String,
    /// The name of a captured header or variable in lower case; empty for other atoms.
    pub(super) name: String,
    /// The literal text after the value; may be empty.
    pub(super) terminator: Vec<u8>,
    /// The reject reason if the line has no such value here.
    pub(super) missing_value: Arc<str>,
    /// The reject reason if `terminator` does not follow the value.
    pub(super) missing_terminator: Arc<str>,
}

/// A compiled `access_log_format`.
#[derive(Clone, Debug)]
pub struct Template {
    format: String,
    /// The literal text before the first field.
    pub(super) prefix: Vec<u8>,
    pub(super) missing_prefix: Arc<str>,
    /// At least one field, at most [`MOST_FIELDS`].
    pub(super) fields: Vec<Field>,
}

impl Template {
    /// Compiles a format string, as given to Gunicorn's `--access-logformat`.
    ///
    /// # Errors
    /// A newline, an unknown atom, a stray `%`, no atom at all, or more than 64 atoms.
    pub fn compile(format: &str) -> Result<Template, FormatError> {
        let owned = || format.to_owned();
        if format.contains('\n') {
            return Err(FormatError::Newline(owned()));
        }
        let mut prefix = String::new();
        let mut fields: Vec<(Atom, &str, String, String)> = Vec::new();
        let mut rest = format;
        while !rest.is_empty() {
            let at = format[..format.len() - rest.len()].chars().count() + 1;
            let Ok((after, found)) = parse_piece(rest) else {
                return Err(FormatError::NoAtom { at, format: owned() });
            };
            rest = after;
            match (found, fields.last_mut()) {
                (Piece::Literal(text), Some((.., terminator))) => terminator.push_str(text),
                (Piece::Literal(text), None) => prefix.push_str(text),
                (Piece::Atom(key), _) => {
                    let Some((atom, name)) = Atom::from_key(key) else {
                        let key = key.to_owned();
                        return Err(FormatError::UnknownAtom { key, at, format: owned() });
                    };
                    fields.push((atom, key, name, String::new()));
                }
            }
        }
        match fields.len() {
            0 => return Err(FormatError::NothingToRead(owned())),
            1..=MOST_FIELDS => {}
            _ => return Err(FormatError::TooManyAtoms(owned())),
        }
        let last = fields.len() - 1;
        let fields = fields
            .into_iter()
            .enumerate()
            .map(|(nth, (atom, key, name, terminator))| Field {
                atom,
                key: key.to_owned(),
                name,
                missing_value: missing_value(atom, key),
                missing_terminator: missing_terminator(key, &terminator, nth == last),
                terminator: terminator.into_bytes(),
            })
            .collect();
        let missing_prefix = format!("does not begin with `{prefix}`").into();
        Ok(Template { format: owned(), missing_prefix, prefix: prefix.into_bytes(), fields })
    }

    /// Returns the format string that the template was compiled from.
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Returns whether the lines carry a time. Rows of other lines get an estimated time.
    pub fn has_time(&self) -> bool {
        self.fields.iter().any(|field| field.atom == Atom::Time)
    }

    /// Returns a sentence for each pair of values that cannot always be told apart. The list is
    /// empty for a format whose lines can be read without ambiguity.
    ///
    /// Gunicorn escapes `"` in every value, so no value can hold a literal that contains `"`.
    /// Between two free texts without such a literal, either may hold the separator. The first
    /// value is then taken as short as possible.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (nth, field) in self.fields.iter().enumerate() {
            if !field.atom.is_free() {
                let next = self.fields.get(nth + 1).filter(|_| field.terminator.is_empty());
                if let Some(next) =
                    next.filter(|next| !field.atom.is_fixed() && !next.atom.is_fixed())
                {
                    warnings.push(ambiguity(field, next, b""));
                }
                continue;
            }
            let mut between = Cow::Borrowed(field.terminator.as_slice());
            for next in &self.fields[nth + 1..] {
                if between.contains(&b'"') {
                    break;
                }
                if next.atom.is_free() || (between.is_empty() && !next.atom.is_fixed()) {
                    warnings.push(ambiguity(field, next, &between));
                    break;
                }
                between.to_mut().extend_from_slice(&next.terminator);
            }
        }
        warnings
    }
}

fn ambiguity(first: &Field, second: &Field, between: &[u8]) -> String {
    let (first, second) = (&first.key, &second.key);
    if between.is_empty() {
        return format!(
            "nothing stands between %({first})s and %({second})s, so their values cannot be told \
             apart for certain; put quotes around %({first})s"
        );
    }
    format!(
        "a value of %({first})s may hold what stands between it and %({second})s, and is then cut \
         short; put double quotes around %({first})s"
    )
}

fn missing_value(atom: Atom, key: &str) -> Arc<str> {
    format!("no {} where the format has %({key})s", atom.example()).into()
}

fn missing_terminator(key: &str, terminator: &str, is_last: bool) -> Arc<str> {
    match (is_last, terminator) {
        (true, "") => format!("goes on after %({key})s, where the format ends").into(),
        (true, _) => format!("does not end in `{terminator}` after %({key})s").into(),
        (false, _) => format!("no `{terminator}` after %({key})s").into(),
    }
}

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

/// All atoms with one letter.
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

/// The list of atoms for messages.
const KNOWN_ATOMS: &str = "h l u t r m U q H s B b f a T D M L p {name}i {name}o {name}e";

impl Atom {
    /// Returns the atom for `key` (the text between the parentheses). For a captured header or
    /// variable it also returns the name in lower case, because Gunicorn looks up names in braces
    /// case-insensitively.
    fn from_key(key: &str) -> Option<(Atom, String)> {
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

    /// Returns whether the value may be any text, including spaces.
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

    /// Returns whether the value has a fixed length and a shape that hardly any other value has.
    pub(super) fn is_fixed(self) -> bool {
        matches!(self, Atom::Time | Atom::Dash)
    }

    /// Returns whether the value is read as text, up to the literal that follows the atom in the
    /// format.
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

    /// Returns whether the value may hold a newline. It may if Gunicorn decodes the value before
    /// logging. A value taken unchanged from the request's head cannot.
    pub(super) fn may_hold_newline(self) -> bool {
        matches!(self, Atom::User | Atom::Path | Atom::Environ)
    }

    /// Returns an example of the value, for reject reasons.
    pub(super) fn example(self) -> &'static str {
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

/// One part of a format string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece<'a> {
    Literal(&'a str),
    /// The key of an atom, whether or not such an atom exists.
    Atom(&'a str),
}

/// Reads one part of a format string. The usual Python conversion is `s`; `d` and `i` write the
/// same for numbers.
fn parse_piece(input: &str) -> IResult<&str, Piece<'_>> {
    let key = delimited(tag("%("), take_till(|c| c == ')'), tag(")"));
    alt((
        map(take_till1(|c| c == '%'), Piece::Literal),
        value(Piece::Literal("%"), tag("%%")),
        map(terminated(key, one_of("sdi")), Piece::Atom),
    ))
    .parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Layout;

    #[test]
    fn a_format_is_compiled_to_fields_and_literals() {
        let template = Template::compile(r#"<%(h)s - "%(r)s" 100%% %({X-Id}i)s"#).unwrap();
        assert_eq!(template.prefix, b"<");
        let parts: Vec<_> = template
            .fields
            .iter()
            .map(|field| (field.atom, field.name.as_str(), field.terminator.as_slice()))
            .collect();
        let right: Vec<(Atom, &str, &[u8])> = vec![
            (Atom::RemoteAddress, "", b" - \""),
            (Atom::RequestLine, "", b"\" 100% "),
            (Atom::RequestHeader, "x-id", b""),
        ];
        assert_eq!(parts, right);
        assert!(!template.has_time());
    }

    #[test]
    fn the_message_quotes_a_wrong_format_and_says_what_is_expected() {
        let message = |format: &str| Layout::named_or_format(format).unwrap_err().to_string();
        assert_eq!(
            message("%(h)s %(x)s"),
            "unknown atom %(x)s at character 7 of the format \"%(h)s %(x)s\"; atoms are h l u t r \
             m U q H s B b f a T D M L p {name}i {name}o {name}e"
        );
        assert!(message("%(h)s %{x}i").starts_with("the % at character 7 of the format"));
        assert!(message("%(h)").starts_with("the % at character 1"));
        assert!(message("100%%").contains("has no atom"));
        assert!(message("%(h)s\n%(l)s").contains("holds a newline"));
        assert!(message(&"%(h)s ".repeat(65)).contains("more than 64 atoms"));
        assert!(message("gunicron").contains("did you mean \"gunicorn\"? presets are gunicorn, "));
    }

    #[test]
    fn warnings_name_the_values_that_cannot_be_told_apart() {
        let warnings = |format| Template::compile(format).unwrap().warnings();
        let default = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;
        assert!(warnings(default).is_empty());
        let forwarded = default.replacen("%(h)s", "%({x-forwarded-for}i)s", 1);
        let found = warnings(&forwarded);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("%({x-forwarded-for}i)s may hold"), "{}", found[0]);
        assert!(warnings("%(T)s%(D)s")[0].starts_with("nothing stands between %(T)s and %(D)s"));
        assert!(warnings("%(r)s%(t)s").is_empty());
        assert!(warnings("%(U)s%(q)s")[0].starts_with("nothing stands between %(U)s and %(q)s"));
        assert_eq!(warnings("'%(f)s' '%(a)s'").len(), 1);
    }
}
