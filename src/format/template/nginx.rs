//! nginx's dialect: `$remote_addr - $remote_user [$time_local] "$request"`, as in `log_format`
//! (<https://nginx.org/en/docs/http/ngx_http_log_module.html#log_format>).

use super::Piece;
use super::atom::Atom;

/// The variables with a column of their own. Headers and all other variables are found by their names.
const VARIABLES: [(&str, Atom); 24] = [
    ("remote_addr", Atom::RemoteAddress),
    ("remote_user", Atom::User),
    ("time_local", Atom::ClfTime),
    ("time_iso8601", Atom::IsoTime),
    ("msec", Atom::EpochTime),
    ("request", Atom::RequestLine),
    ("request_method", Atom::Method),
    ("uri", Atom::Path),
    ("document_uri", Atom::Path),
    ("request_uri", Atom::Url),
    ("args", Atom::Query),
    ("query_string", Atom::Query),
    ("server_protocol", Atom::Protocol),
    ("status", Atom::Status),
    ("body_bytes_sent", Atom::ResponseBytes),
    ("http_referer", Atom::Referer),
    ("http_user_agent", Atom::Agent),
    ("request_time", Atom::DecimalSeconds),
    ("pid", Atom::Pid),
    ("host", Atom::Host),
    // Names of this program, for what other servers write.
    ("seconds", Atom::Seconds),
    ("milliseconds", Atom::Milliseconds),
    ("microseconds", Atom::Microseconds),
    ("decimal_milliseconds", Atom::DecimalMilliseconds),
];

/// Returns whether a text has a variable.
pub(super) fn has_variable(format: &str) -> bool {
    format.split('$').skip(1).any(|rest| rest.starts_with(|c: char| c == '{' || is_name(c)))
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Returns whether a byte after a variable would be read as a part of its name.
pub(super) fn continues_name(byte: &u8) -> bool {
    is_name(char::from(*byte))
}

/// Splits a format: what stands between the quotes of a `log_format`, or all of the directive.
pub(super) fn pieces(format: &str) -> Vec<Piece> {
    let format = of_directive(format.trim_matches(['\n', '\r']));
    let mut pieces = Vec::new();
    let mut rest = format.as_str();
    while let Some(dollar) = rest.find('$') {
        let (before, after) = (&rest[..dollar], &rest[dollar + 1..]);
        let (name, after) = match after.strip_prefix('{').and_then(|it| it.split_once('}')) {
            Some((name, after)) => (name, after),
            None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
        };
        if name.is_empty() {
            pieces.push(Piece::Literal(rest[..=dollar].to_owned()));
        } else {
            pieces.push(Piece::Literal(before.to_owned()));
            pieces.push(variable(name));
        }
        rest = after;
    }
    pieces.push(Piece::Literal(rest.to_owned()));
    pieces
}

fn variable(key: &str) -> Piece {
    let name = key.to_ascii_lowercase();
    let header = |name: &str| name.replace('_', "-");
    let known = VARIABLES.iter().find(|(known, _)| *known == name);
    let (atom, name) = match (known, name.strip_prefix("http_"), name.strip_prefix("sent_http_")) {
        (Some((_, atom)), ..) => (*atom, String::new()),
        (None, Some(of), _) => (Atom::RequestHeader, header(of)),
        (None, None, Some(of)) => (Atom::ResponseHeader, header(of)),
        (None, None, None) => (Atom::Tail, name),
    };
    Piece::Atom { atom, key: key.to_owned(), name, padding: None }
}

/// Returns the variable for an atom of a template, if there is one.
pub(super) fn variable_for(atom: Atom, name: &str) -> Option<String> {
    match atom {
        Atom::RequestHeader => Some(format!("http_{}", name.replace('-', "_"))),
        Atom::ResponseHeader => Some(format!("sent_http_{}", name.replace('-', "_"))),
        Atom::Tail | Atom::TailNumber => Some(name.to_owned()),
        _ => VARIABLES.iter().find(|(_, it)| *it == atom).map(|(known, _)| (*known).to_owned()),
    }
}

/// Returns the format of a whole directive, `log_format NAME [escape=…] '…' '…';`, or of its quoted
/// part; any other text as it is.
fn of_directive(text: &str) -> String {
    let trimmed = text.trim();
    let mut rest = trimmed;
    if let Some(named) = rest.strip_prefix("log_format ") {
        rest = named.trim_start();
        rest = rest.find(char::is_whitespace).map_or("", |end| rest[end..].trim_start());
    }
    if let Some(escape) = rest.strip_prefix("escape=") {
        rest = escape.find(char::is_whitespace).map_or("", |end| escape[end..].trim_start());
    }
    let mut joined = String::new();
    let mut quoted = rest.trim_end_matches(';').trim_end();
    while let Some(quote) = quoted.chars().next().filter(|c| matches!(c, '\'' | '"')) {
        // The format itself may begin with a quote: then it does not end where the text does.
        let Some(end) = end_of_quoted(quoted, quote) else { break };
        joined.push_str(&quoted[1..end].replace("\\'", "'").replace("\\\"", "\""));
        quoted = quoted[end + 1..].trim_start();
        if quoted.is_empty() {
            return joined;
        }
    }
    if rest.len() < trimmed.len() { rest.trim_end_matches(';').to_owned() } else { text.to_owned() }
}

/// Returns where a quoted text ends: at a quote that is followed by white space or the end.
fn end_of_quoted(text: &str, quote: char) -> Option<usize> {
    let ends = text.match_indices(quote).map(|(at, _)| at).filter(|at| *at > 0);
    ends.into_iter().find(|&at| {
        let after = &text[at + 1..];
        let escaped = text[..at].ends_with('\\');
        !escaped && (after.is_empty() || quote == '\'' && after.starts_with(char::is_whitespace))
    })
}
