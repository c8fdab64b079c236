//! A Gunicorn `access_log_format`, compiled: fields, and the literal text around them.

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

use super::atom::{Atom, KNOWN, Piece, piece};

/// A format may not have more atoms than this.
const MOST_FIELDS: usize = 64;

/// Why a text is no format. The message quotes the text and says what would be right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
    /// An atom that Gunicorn does not have.
    #[error("unknown atom %({key})s at character {at} of the format {format:?}; atoms are {KNOWN}")]
    UnknownAtom {
        /// What stands between the parentheses.
        key: String,
        /// Where it begins, counted from 1.
        at: usize,
        /// The format.
        format: String,
    },
    /// A `%` that begins no atom.
    #[error(
        "the % at character {at} of the format {format:?} begins no atom like %(h)s; \
         a percent sign itself is written %%"
    )]
    NoAtom {
        /// Where it stands, counted from 1.
        at: usize,
        /// The format.
        format: String,
    },
    /// A format without any atom.
    #[error("the format {format:?} has no atom; atoms are written %(h)s, and are {KNOWN}")]
    NothingToRead {
        /// The format.
        format: String,
    },
    /// Too long a format.
    #[error("the format {format:?} has more than {MOST_FIELDS} atoms")]
    TooManyAtoms {
        /// The format.
        format: String,
    },
    /// A format with a newline: its records would not be lines.
    #[error("the format {format:?} holds a newline, but a record must be one line")]
    Newline {
        /// The format.
        format: String,
    },
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

/// One atom of a format, and the literal text that ends its value.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) atom: Atom,
    /// As written in the format, between the parentheses.
    pub(super) key: String,
    /// Of a captured header or variable, its name in lower case.
    pub(super) name: String,
    /// What follows the value; may be empty.
    pub(super) until: Vec<u8>,
    /// The reason for a reject if there is no such value.
    pub(super) no_value: Arc<str>,
    /// The reason for a reject if the value is not followed by `until`.
    pub(super) no_end: Arc<str>,
}

/// A compiled `access_log_format`.
#[derive(Clone, Debug)]
pub struct Template {
    format: String,
    /// Literal text before the first field.
    pub(super) head: Vec<u8>,
    pub(super) no_head: Arc<str>,
    /// At least one, at most [`MOST_FIELDS`].
    pub(super) fields: Vec<Field>,
}

impl Template {
    /// Compiles a format string, as given to `--access-logformat`.
    ///
    /// # Errors
    /// If it holds a newline, an unknown atom, a stray `%`, no atom at all, or more than 64.
    pub fn compile(format: &str) -> Result<Template, FormatError> {
        let owned = || format.to_owned();
        if format.contains('\n') {
            return Err(FormatError::Newline { format: owned() });
        }
        let mut head = String::new();
        let mut fields: Vec<(Atom, &str, String, String)> = Vec::new();
        let mut rest = format;
        while !rest.is_empty() {
            let at = format[..format.len() - rest.len()].chars().count() + 1;
            let Ok((behind, found)) = piece(rest) else {
                return Err(FormatError::NoAtom { at, format: owned() });
            };
            rest = behind;
            match (found, fields.last_mut()) {
                (Piece::Literal(text), Some((.., until))) => until.push_str(text),
                (Piece::Literal(text), None) => head.push_str(text),
                (Piece::Atom(key), _) => {
                    let Some((atom, name)) = Atom::named(key) else {
                        let key = key.to_owned();
                        return Err(FormatError::UnknownAtom { key, at, format: owned() });
                    };
                    fields.push((atom, key, name, String::new()));
                }
            }
        }
        match fields.len() {
            0 => return Err(FormatError::NothingToRead { format: owned() }),
            1..=MOST_FIELDS => {}
            _ => return Err(FormatError::TooManyAtoms { format: owned() }),
        }
        let last = fields.len() - 1;
        let fields = fields
            .into_iter()
            .enumerate()
            .map(|(nth, (atom, key, name, until))| Field {
                atom,
                key: key.to_owned(),
                name,
                no_value: no_value(atom, key),
                no_end: no_end(key, &until, nth == last),
                until: until.into_bytes(),
            })
            .collect();
        let no_head = format!("does not begin with `{head}`").into();
        Ok(Template { format: owned(), no_head, head: head.into_bytes(), fields })
    }

    /// The format string that it was compiled from.
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Whether its lines carry a time. If they do not, rows get an estimated one.
    pub fn has_time(&self) -> bool {
        self.fields.iter().any(|field| field.atom == Atom::Time)
    }

    /// Which values cannot be told apart for certain, one sentence each; empty for a format whose
    /// lines read back exactly.
    ///
    /// Gunicorn escapes `"` in every value, so a literal that holds a `"` is a wall that no value
    /// can imitate. Between two free texts without such a wall, either may hold what separates
    /// them: the first is then taken as short as possible.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (nth, field) in self.fields.iter().enumerate() {
            if !field.atom.is_free() {
                let next = self.fields.get(nth + 1).filter(|_| field.until.is_empty());
                if let Some(next) =
                    next.filter(|next| !field.atom.is_fixed() && !next.atom.is_fixed())
                {
                    warnings.push(ambiguity(field, next, b""));
                }
                continue;
            }
            let mut between = Cow::Borrowed(field.until.as_slice());
            for next in &self.fields[nth + 1..] {
                if between.contains(&b'"') {
                    break;
                }
                if next.atom.is_free() || (between.is_empty() && !next.atom.is_fixed()) {
                    warnings.push(ambiguity(field, next, &between));
                    break;
                }
                between.to_mut().extend_from_slice(&next.until);
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

fn no_value(atom: Atom, key: &str) -> Arc<str> {
    format!("no {} where the format has %({key})s", atom.content_match()).into()
}

fn no_end(key: &str, until: &str, last: bool) -> Arc<str> {
    match (last, until) {
        (true, "") => format!("goes on behind %({key})s, where the format ends").into(),
        (true, _) => format!("does not end in `{until}` behind %({key})s").into(),
        (false, _) => format!("no `{until}` behind %({key})s").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::Layout;

    #[test]
    fn a_format_falls_into_fields_and_literals() {
        let template = Template::compile(r#"<%(h)s - "%(r)s" 100%% %({X-Id}i)s"#).unwrap();
        assert_eq!(template.head, b"<");
        let parts: Vec<_> = template
            .fields
            .iter()
            .map(|field| (field.atom, field.name.as_str(), field.until.as_slice()))
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
    fn a_wrong_format_is_quoted_and_put_right() {
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
    fn warnings_name_the_texts_that_run_into_each_other() {
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
