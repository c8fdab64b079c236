//! Compiles a format string to a template: fields, and the literal text around them.
//!
//! Three dialects lead to the same template: Gunicorn's `access_log_format` (`gunicorn`), nginx's
//! `log_format` (`nginx`) and Apache's `LogFormat` (`apache`). Each splits a format into [`Piece`]s.
//! They differ in one more point: how the server escapes a value ([`Escaping`]).

mod apache;
mod atom;
mod gunicorn;
mod nginx;

use std::borrow::Cow;
use std::sync::Arc;

use thiserror::Error;

use super::identifiers::Identifies;
use super::json_mapping::MappingError;
use super::values::UNSHAPED;
pub(super) use atom::Atom;
use atom::KNOWN_ATOMS;

/// The most atoms that a format may have.
pub(super) const MOST_FIELDS: usize = 64;

/// Why a text is not a valid format. The message quotes the text and says what is expected.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FormatError {
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
    #[error(
        "the format {0:?} has no atom; atoms are written %(h)s, and are {KNOWN_ATOMS}; or write \
             it like nginx, $remote_addr, or like Apache, %h"
    )]
    NothingToRead(String),
    /// The format, which it holds, has too many atoms.
    #[error("the format {0:?} has more than {MOST_FIELDS} atoms")]
    TooManyAtoms(String),
    /// The format, which it holds, has a newline, so its records would not be lines.
    #[error("the format {0:?} holds a newline, but a record must be one line")]
    Newline(String),
    /// The format, of which it holds the beginning, names too many prefixes.
    #[error("the format {0:?} names more than 8 prefixes before its lines")]
    TooManyPrefixes(String),
    /// A mapping of JSON keys that is not valid.
    #[error(transparent)]
    Mapping(#[from] MappingError),
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
    /// What the value is besides, such as the id of the request.
    pub(super) identifies: Option<Identifies>,
    /// Whether the value may be filled up with spaces.
    pub(super) padded: bool,
    /// How it is filled up.
    pub(super) padding: Option<Padding>,
    /// Whether double quotes in the format enclose the value, so that it ends for certain.
    pub(super) quoted: bool,
    /// The literal text after the value; may be empty.
    pub(super) terminator: Vec<u8>,
    /// The reject reason if the line has no such value here.
    pub(super) missing_value: Arc<str>,
    /// The reject reason if `terminator` does not follow the value.
    pub(super) missing_terminator: Arc<str>,
}

/// How a server writes a `"` within a value, and what else it escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Escaping {
    /// Gunicorn: `\"`, and nothing else.
    Quotes,
    /// nginx and Apache: `\x22`, `\"`, `\\`, `\n`, `\u0016`.
    Backslashes,
}

/// How a server writes what it escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Writing {
    Gunicorn,
    Nginx,
    /// nginx with `escape=json`.
    NginxJson,
    Apache,
}

/// Where spaces stand beside a value with fewer characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    Before(usize),
    After(usize),
}

/// One part of a format string.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Literal(String),
    Atom { atom: Atom, key: String, name: String, padding: Option<Padding> },
}

/// The dialect of a format string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    Gunicorn,
    Nginx,
    Apache,
}

impl Dialect {
    /// Returns the dialect in which a format is written. A format that has `%(` is Gunicorn's.
    fn of(format: &str) -> Dialect {
        if format.contains("%(") {
            Dialect::Gunicorn
        } else if nginx::has_variable(format) {
            Dialect::Nginx
        } else if apache::has_directive(format) {
            Dialect::Apache
        } else {
            Dialect::Gunicorn
        }
    }
}

/// A compiled format.
#[derive(Clone, Debug)]
pub struct Template {
    format: String,
    dialect: Dialect,
    /// The literal text before the first field.
    pub(super) prefix: Vec<u8>,
    pub(super) missing_prefix: Arc<str>,
    /// At least one field, at most [`MOST_FIELDS`].
    pub(super) fields: Vec<Field>,
    /// Whether no value is filled up with spaces, so that it can be read greedily.
    pub(super) is_plain: bool,
    /// Whether each value fills a place of its own, from which it can be written again: then the parser itself
    /// tells lines that are not written as usual.
    pub(super) is_simple: bool,
    /// Whether the format begins or ends in a newline, so that each record has blank lines around it.
    pub(super) has_blank_lines: bool,
}

impl Template {
    /// Compiles a format string, as given to Gunicorn's `--access-logformat`, to nginx's `log_format`
    /// or to Apache's `LogFormat`.
    ///
    /// # Errors
    /// A newline within the format, a stray `%`, no atom at all, or more than 64 atoms.
    pub fn compile(format: &str) -> Result<Template, FormatError> {
        let dialect = Dialect::of(format);
        let pieces = match dialect {
            Dialect::Gunicorn => gunicorn::pieces(format)?,
            Dialect::Nginx => nginx::pieces(format),
            Dialect::Apache => apache::pieces(format)?,
        };
        Template::assemble(format, dialect, pieces)
    }

    fn assemble(
        format: &str,
        dialect: Dialect,
        pieces: Vec<Piece>,
    ) -> Result<Template, FormatError> {
        let mut prefix = String::new();
        let mut fields: Vec<Field> = Vec::new();
        let mut terminators: Vec<String> = Vec::new();
        for piece in pieces {
            match (piece, terminators.last_mut()) {
                (Piece::Literal(text), Some(terminator)) => terminator.push_str(&text),
                (Piece::Literal(text), None) => prefix.push_str(&text),
                (Piece::Atom { atom, key, name, padding }, _) => {
                    terminators.push(String::new());
                    fields.push(Field {
                        missing_value: missing_value(atom, &key, dialect),
                        missing_terminator: Arc::from(""),
                        terminator: Vec::new(),
                        quoted: false,
                        identifies: Identifies::of(atom, &name),
                        atom,
                        key,
                        name,
                        padded: padding.is_some(),
                        padding,
                    });
                }
            }
        }
        match fields.len() {
            0 => return Err(FormatError::NothingToRead(format.to_owned())),
            1..=MOST_FIELDS => {}
            _ => return Err(FormatError::TooManyAtoms(format.to_owned())),
        }
        take_brackets(&mut prefix, &mut fields, &mut terminators);
        join_path_and_query(&mut fields, &mut terminators, dialect);
        let last = fields.len() - 1;
        let mut before = prefix.clone();
        for (nth, (field, terminator)) in fields.iter_mut().zip(terminators).enumerate() {
            let key = in_dialect(&field.key, dialect);
            field.missing_terminator = missing_terminator(&key, &terminator, nth == last);
            field.quoted = before.ends_with('"') && terminator.starts_with('"');
            field.terminator = terminator.clone().into_bytes();
            before = terminator;
        }
        Ok(Template {
            format: format.to_owned(),
            dialect,
            missing_prefix: format!("does not begin with `{prefix}`").into(),
            prefix: prefix.into_bytes(),
            is_plain: fields.iter().all(|field| !field.padded),
            is_simple: is_simple(&fields, dialect),
            fields,
            has_blank_lines: format.starts_with('\n') || format.ends_with('\n'),
        })
    }

    /// Returns the format string that the template was compiled from.
    pub fn format(&self) -> &str {
        &self.format
    }

    /// Returns how values are escaped.
    pub(super) fn escaping(&self) -> Escaping {
        match self.dialect {
            Dialect::Gunicorn => Escaping::Quotes,
            Dialect::Nginx | Dialect::Apache => Escaping::Backslashes,
        }
    }

    /// Returns whether a line holds bytes that its server escapes: something else has written it.
    pub(super) fn would_escape(&self, line: &[u8]) -> bool {
        self.escaping() == Escaping::Backslashes
            && !line.iter().all(|byte| (0x20..0x7f).contains(byte))
    }

    /// Returns how values are written.
    pub(super) fn writing(&self) -> Writing {
        match self.dialect {
            Dialect::Gunicorn => Writing::Gunicorn,
            Dialect::Nginx if self.format.contains("escape=json") => Writing::NginxJson,
            Dialect::Nginx => Writing::Nginx,
            Dialect::Apache => Writing::Apache,
        }
    }

    /// Returns the same format as nginx's `log_format`; `None` if an atom has no variable there.
    pub(super) fn in_nginx(&self) -> Option<String> {
        let mut format = String::from_utf8(self.prefix.clone()).ok()?;
        for field in &self.fields {
            match field.atom {
                Atom::Dash => format.push('-'),
                Atom::Time => format.push_str("[$time_local]"),
                atom => {
                    let variable = nginx::variable_for(atom, &field.name)?;
                    match field.terminator.first().is_some_and(nginx::continues_name) {
                        true => format.push_str(&format!("${{{variable}}}")),
                        false => format.push_str(&format!("${variable}")),
                    }
                }
            }
            format.push_str(std::str::from_utf8(&field.terminator).ok()?);
        }
        Some(format)
    }

    /// Returns whether a value may fill a column of [`super::identifiers`].
    pub(super) fn identifies(&self) -> bool {
        self.fields.iter().any(|field| field.identifies.is_some())
    }

    /// Returns whether the lines carry a time. Rows of other lines get an estimated time.
    pub fn has_time(&self) -> bool {
        self.fields.iter().any(|field| field.atom.is_time())
    }

    /// Returns a sentence for each pair of values that cannot always be told apart. The list is
    /// empty for a format whose lines can be read without ambiguity.
    ///
    /// Gunicorn escapes `"` in every value, so no value can hold a literal that contains `"`.
    /// Between two free texts without such a literal, either may hold the separator. The first
    /// value is then taken as short as possible.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.unknown_atoms();
        for (nth, field) in self.fields.iter().enumerate() {
            if field.atom == Atom::PathAndQuery {
                warnings.push(
                    "nothing stands between %(U)s and %(q)s, so their values cannot be told apart for \
                     certain: a URL with a query is kept in `request`, and `url` is NULL; put a `?` \
                     between them"
                        .to_owned(),
                );
            }
            if !field.atom.is_free() {
                let next = self.fields.get(nth + 1).filter(|_| field.terminator.is_empty());
                if let Some(next) =
                    next.filter(|next| !field.atom.is_fixed() && !next.atom.is_fixed())
                {
                    warnings.push(self.ambiguity(field, next, b""));
                }
                continue;
            }
            let mut between = Cow::Borrowed(field.terminator.as_slice());
            for next in &self.fields[nth + 1..] {
                if between.contains(&b'"') {
                    break;
                }
                if next.atom.is_free() || (between.is_empty() && !next.atom.is_fixed()) {
                    warnings.push(self.ambiguity(field, next, &between));
                    break;
                }
                between.to_mut().extend_from_slice(&next.terminator);
            }
        }
        warnings
    }

    /// Returns what the lines lack, if Gunicorn can write it, and the format that has it, too: a duration, the
    /// requested host. Names and units stand beside them, so that such lines are read without a `--format`.
    /// `None` if they have both, or if another server writes such lines.
    pub fn lacking(&self) -> Option<(&'static str, String)> {
        let has = |is: fn(&Field) -> bool| self.fields.iter().any(is);
        if self.dialect != Dialect::Gunicorn || has(|field| !Atom::is_of_gunicorn(&field.key)) {
            return None;
        }
        let has_duration = has(|field| field.atom.is_duration());
        let has_host = has(|field| field.atom == Atom::RequestHeader && field.name == "host");
        let (lacks, add) = match (has_duration, has_host) {
            (false, false) => ("duration and no host", r#" host="%({host}i)s" duration=%(D)sus"#),
            (false, true) => ("duration", " duration=%(D)sus"),
            (true, false) => ("host", r#" host="%({host}i)s""#),
            (true, true) => return None,
        };
        Some((lacks, format!("{}{add}", self.format)))
    }

    /// Returns a sentence for each atom that Gunicorn does not have.
    fn unknown_atoms(&self) -> Vec<String> {
        let is_unknown =
            |field: &&Field| field.atom == Atom::Dash && self.dialect == Dialect::Gunicorn;
        let unknown = self.fields.iter().filter(is_unknown).filter(|field| field.key != "l");
        unknown
            .map(|field| {
                let key = &field.key;
                format!(
                    "Gunicorn has no atom %({key})s and logs `-` for it; atoms are {KNOWN_ATOMS}"
                )
            })
            .collect()
    }

    fn ambiguity(&self, first: &Field, second: &Field, between: &[u8]) -> String {
        let name = |field: &Field| in_dialect(&field.key, self.dialect);
        let (first, second) = (name(first), name(second));
        if between.is_empty() {
            return format!(
                "nothing stands between {first} and {second}, so their values cannot be told \
                 apart for certain; put quotes around {first}"
            );
        }
        format!(
            "a value of {first} may hold what stands between it and {second}, and is then cut \
             short; put double quotes around {first}"
        )
    }
}

/// Returns what a field fills: two of the same would be one value in the row. `None` if it fills nothing.
fn place(field: &Field) -> Option<(Atom, &str)> {
    match field.atom {
        Atom::Dash => None,
        Atom::Seconds | Atom::Milliseconds | Atom::Microseconds | Atom::DecimalSeconds => {
            Some((Atom::Microseconds, ""))
        }
        Atom::Tail | Atom::TailNumber => Some((Atom::Tail, field.name.as_str())),
        Atom::RequestHeader | Atom::ResponseHeader | Atom::Environ => {
            Some((field.atom, field.name.as_str()))
        }
        atom => Some((atom, "")),
    }
}

/// Returns whether all fields are those of which [`super::values::RecordBuilder`] tells how they are written.
fn is_simple(fields: &[Field], dialect: Dialect) -> bool {
    let is_known = |field: &Field| match field.atom {
        Atom::Referer | Atom::RequestLine => field.quoted,
        // These headers and variables fill columns of other atoms.
        Atom::RequestHeader | Atom::Environ => {
            let name = field.name.as_str();
            !matches!(name, "user-agent" | "referer" | "remote_user" | "remote-user")
        }
        Atom::ResponseHeader => !matches!(field.name.as_str(), "remote_user" | "remote-user"),
        // Values without their shape are kept under these names.
        Atom::Tail | Atom::TailNumber => !UNSHAPED.contains(&field.name.as_str()),
        Atom::DecimalSeconds => dialect == Dialect::Gunicorn,
        Atom::RemoteAddress
        | Atom::Dash
        | Atom::User
        | Atom::Time
        | Atom::Status
        | Atom::ResponseBytes
        | Atom::Agent
        | Atom::Pid
        | Atom::Seconds
        | Atom::Milliseconds
        | Atom::Microseconds => true,
        _ => false,
    };
    let stands_once = |(nth, field): (usize, &Field)| {
        place(field).is_none() || fields[..nth].iter().all(|other| place(other) != place(field))
    };
    fields.iter().all(is_known) && fields.iter().enumerate().all(stands_once)
}

/// Makes one field of a path and a query with nothing between them. Apache's `%q` has a question mark.
fn join_path_and_query(fields: &mut Vec<Field>, terminators: &mut Vec<String>, dialect: Dialect) {
    let mut nth = 0;
    while nth + 1 < fields.len() {
        let pair = (fields[nth].atom, fields[nth + 1].atom);
        if pair == (Atom::Path, Atom::Query) && terminators[nth].is_empty() {
            match dialect {
                Dialect::Apache => fields[nth].atom = Atom::Url,
                Dialect::Gunicorn | Dialect::Nginx => fields[nth].atom = Atom::PathAndQuery,
            }
            fields.remove(nth + 1);
            terminators.remove(nth);
        }
        nth += 1;
    }
}

/// Makes `[` and `]` around a time part of the field: such a time is read without a copy.
fn take_brackets(prefix: &mut String, fields: &mut [Field], terminators: &mut [String]) {
    for nth in 0..fields.len() {
        let before: &str = if nth == 0 { prefix } else { &terminators[nth - 1] };
        if fields[nth].key != "time_local"
            || !before.ends_with('[')
            || !terminators[nth].starts_with(']')
        {
            continue;
        }
        fields[nth].atom = Atom::Time;
        if nth == 0 { &mut *prefix } else { &mut terminators[nth - 1] }.pop();
        terminators[nth].remove(0);
    }
}

/// Returns an atom as its dialect writes it.
fn in_dialect(key: &str, dialect: Dialect) -> String {
    match dialect {
        Dialect::Gunicorn => format!("%({key})s"),
        Dialect::Nginx => format!("${key}"),
        Dialect::Apache => format!("%{key}"),
    }
}

fn missing_value(atom: Atom, key: &str, dialect: Dialect) -> Arc<str> {
    format!("no {} where the format has {}", atom.example(), in_dialect(key, dialect)).into()
}

fn missing_terminator(key: &str, terminator: &str, is_last: bool) -> Arc<str> {
    match (is_last, terminator) {
        (true, "") => format!("goes on after {key}, where the format ends").into(),
        (true, _) => format!("does not end in `{terminator}` after {key}").into(),
        (false, _) => format!("no `{terminator}` after {key}").into(),
    }
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
        assert!(message("%(h)s %{x}i").starts_with("the % at character 7 of the format"));
        assert!(message("%(h)").starts_with("the % at character 1"));
        assert!(message("100%%").contains("has no atom"));
        assert!(message("\n%(h)s\n%(l)s\n").contains("holds a newline"));
        assert!(message(&"%(h)s ".repeat(65)).contains("more than 64 atoms"));
        assert!(message("gunicron").contains("did you mean \"gunicorn\"? presets are gunicorn, "));
    }

    #[test]
    fn what_gunicorn_can_add_to_its_lines_is_known() {
        let lacking = |format: &str| Layout::named_or_format(format).unwrap().lacking();
        let default = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;
        let both = format!(r#"{default} host="%({{host}}i)s" duration=%(D)sus"#);
        assert_eq!(lacking("gunicorn"), Some(("duration and no host", both.clone())));
        let with_host = format!(r#"{default} %(D)s host="%({{host}}i)s""#);
        assert_eq!(lacking("gunicorn-microseconds"), Some(("host", with_host)));
        let with_host = r#"%(t)s "%({Host}i)s""#;
        assert_eq!(lacking(with_host), Some(("duration", format!("{with_host} duration=%(D)sus"))));
        for other in [both.as_str(), "nginx", "apache-vhost", "uvicorn", "uwsgi", "json"] {
            assert_eq!(lacking(other), None, "{other}");
        }
    }

    #[test]
    fn warnings_name_the_values_that_cannot_be_told_apart() {
        let warnings = |format| Template::compile(format).unwrap().warnings();
        let default = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;
        assert!(warnings(default).is_empty());
        assert!(warnings("%(x)s")[0].starts_with("Gunicorn has no atom %(x)s and logs `-` for it"));
        let forwarded = default.replacen("%(h)s", "%({x-forwarded-for}i)s", 1);
        let found = warnings(&forwarded);
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("%({x-forwarded-for}i)s may hold"), "{}", found[0]);
        assert!(warnings("%(T)s%(D)s")[0].starts_with("nothing stands between %(T)s and %(D)s"));
        assert!(warnings("%(r)s%(t)s").is_empty());
        assert!(warnings("%(U)s%(q)s")[0].starts_with("nothing stands between %(U)s and %(q)s"));
        assert_eq!(warnings("'%(f)s' '%(a)s'").len(), 1);
    }

    fn parts(format: &str) -> Vec<(Atom, String, String)> {
        let template = Template::compile(format).unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        template
            .fields
            .iter()
            .map(|field| (field.atom, field.name.clone(), text(&field.terminator)))
            .collect()
    }

    #[test]
    fn a_path_and_a_query_side_by_side_are_one_value() {
        assert_eq!(parts("%(U)s%(q)s %(s)s")[0].0, Atom::PathAndQuery);
        assert_eq!(parts("%U%q %s")[0].0, Atom::Url);
        assert_eq!(parts("%(U)s?%(q)s %(s)s").len(), 3);
    }

    #[test]
    fn the_three_dialects_make_the_same_template() {
        let gunicorn = parts(r#"%(h)s - %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#);
        let nginx = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
        assert_eq!(parts(nginx), gunicorn);
        assert_eq!(parts(&format!("log_format main '{nginx}';")), gunicorn);
        let (one, two) = nginx.split_at(40);
        assert_eq!(
            parts(&format!("log_format main escape=default '{one}'\n    '{two}';")),
            gunicorn
        );
        let apache = r#"%h - %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""#;
        assert_eq!(parts(apache), gunicorn);
        assert_eq!(parts(&format!("LogFormat \"{apache}\" combined")), gunicorn);
    }

    #[test]
    fn variables_and_directives_without_a_column_are_kept_by_their_names() {
        let name = |format: &str| {
            let parts = parts(format);
            (parts[0].0, parts[0].1.clone())
        };
        let kept = |name: &str| (Atom::Tail, name.to_owned());
        assert_eq!(name("$upstream_response_time"), kept("upstream_response_time"));
        assert_eq!(name("${bytes_sent}x"), kept("bytes_sent"));
        assert_eq!(name("$http_x_real_ip"), (Atom::RequestHeader, "x-real-ip".to_owned()));
        assert_eq!(name("$sent_http_x_id"), (Atom::ResponseHeader, "x-id".to_owned()));
        assert_eq!(name("%O"), kept("bytes_out"));
        assert_eq!(name("%{X-Real-IP}i"), (Atom::RequestHeader, "x-real-ip".to_owned()));
        assert_eq!(name("%200,304!{ms}T"), (Atom::Milliseconds, String::new()));
    }

    #[test]
    fn a_template_is_written_in_nginx_dialect() {
        let template = Template::compile(r#"%(h)s %(l)s %(t)s "%(r)s" %({a-b}i)s"#).unwrap();
        let format = template.in_nginx().unwrap();
        assert_eq!(format, r#"$remote_addr - [$time_local] "$request" $http_a_b"#);
        assert!(Template::compile("%({port}h)s").unwrap().in_nginx().is_none());
    }
}
