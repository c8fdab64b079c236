//! Works out the format of a file from its first lines.
//!
//! 1. What other programs put before the lines is taken off ([`Prefix`]).
//! 2. Formats whose lines look like no others are tried as they are ([`FIXED`]).
//! 3. Else a format is made out of the lines: `lex` splits them into slots, `assign` says what each slot
//!    holds.
//! 4. `judge` checks each format against all lines.
//!
//! A format is chosen only if it reads all lines that look like access lines, with each value in its
//! shape; a known one also if it reads all but a few torn ones, and no other reads all. A number of unknown
//! unit does not become a duration, nor a text of unknown meaning a column: they are kept under a name. If the
//! meaning of a slot is open, and a column could be missed, no format is chosen.

mod assign;
mod column;
mod explain;
mod judge;
mod lex;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::escapes::is_of_nginx;
use super::identifiers::Columns;
use super::json;
use super::json_keys;
use super::json_mapping::JsonMapping;
use super::layout::Layout;
use super::prefix::Prefix;
use super::presets::{Preset, find, presets};
use super::server_log::{is_request, is_server_log};
use super::template::Template;
use super::times;
use judge::{Torn, is_read};

/// The number of lines that are looked at.
const LINES_READ: usize = 1_000;

/// The number of lines by which it is explained why no format reads them.
const LINES_EXPLAINED: usize = 50;

/// The number of signatures from which a format is made, and of lines with one of them.
const SIGNATURES_TRIED: usize = 6;
const LINES_COMPARED: usize = 200;

/// The most prefixes before a line.
const DEEPEST: usize = 3;

/// Presets that are tried as they are, the plainer of two first.
const FIXED: [&str; 13] = [
    "gunicorn",
    "forwarded-for-first",
    "uvicorn-console",
    "uvicorn",
    "hypercorn",
    "granian",
    "daphne",
    "werkzeug",
    "runserver",
    "uwsgi",
    "traefik",
    "django-audit-logger",
    "apache-vhost",
];

/// Those of them whose times have no zone.
const WITHOUT_ZONE: [&str; 3] = ["daphne", "werkzeug", "runserver"];

/// If no format reads all lines, one of so many may be torn or forged, and be a reject by a known format.
const ONE_TORN_OF: usize = 5;

/// What a file seems to hold.
#[derive(Clone, Debug)]
pub enum Detection {
    /// An access log.
    Access(Box<Inferred>),
    /// The error log of Gunicorn.
    ErrorLog,
    /// Something else.
    Unknown,
    /// Too little to decide: no line that is not blank.
    NotYet,
}

/// A format that reads the lines.
#[derive(Clone, Debug)]
pub struct Inferred {
    /// The format.
    pub layout: Layout,
    /// The preset, if it is one.
    pub preset: Option<&'static Preset>,
    /// A sentence for each value whose meaning the lines leave open.
    pub uncertain: Vec<String>,
}

impl Inferred {
    fn new(layout: Layout, uncertain: Vec<String>) -> Self {
        let format = layout.format();
        let preset = presets().iter().find(|preset| preset.format == format);
        Self { layout, preset, uncertain }
    }

    fn after(self, prefix: Prefix) -> Self {
        Self::new(self.layout.after(prefix), self.uncertain)
    }
}

/// Detects the format from the first complete lines, given without line ends. At most 1,000 lines that
/// are not blank are read.
pub fn detect(first_lines: &[&[u8]]) -> Detection {
    let is_blank = |line: &&[u8]| line.trim_ascii().is_empty();
    let blank = first_lines.iter().take(LINES_READ).copied().filter(is_blank).count();
    let lines = texts(first_lines);
    if lines.is_empty() {
        return Detection::NotYet;
    }
    let lines: Vec<&str> = lines.iter().map(|line| &**line).filter(|line| is_text(line)).collect();
    match infer(&lines, 0).or_else(|| fixed(&lines, Torn::OneOf(ONE_TORN_OF))) {
        Some(inferred) if lines.len() > 1 && blank >= lines.len() => {
            Detection::Access(Box::new(with_blank_lines(inferred)))
        }
        Some(inferred) => Detection::Access(Box::new(inferred)),
        None if lines.iter().any(|line| is_error_log(line)) => Detection::ErrorLog,
        None => Detection::Unknown,
    }
}

/// Returns the lines that are not blank, as many as are read.
fn texts<'a>(first_lines: &[&'a [u8]]) -> Vec<Cow<'a, str>> {
    first_lines
        .iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .filter(|line| !line.trim_ascii().is_empty())
        .take(LINES_READ)
        .map(String::from_utf8_lossy)
        .collect()
}

/// Says why the first complete lines have no format, in a sentence without its end: which part of them a
/// preset reads, and what to try. `None` if none of them is an access line.
pub fn explain(first_lines: &[&[u8]]) -> Option<String> {
    let lines: Vec<Cow<'_, str>> = first_lines
        .iter()
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take(LINES_EXPLAINED)
        .map(String::from_utf8_lossy)
        .collect();
    let lines: Vec<&str> = lines.iter().map(|line| &**line).collect();
    explain::explain(&lines)
}

/// Returns whether the lines have times and none of them says its zone, so that all are taken as UTC.
pub fn lacks_zone(layout: &Layout, first_lines: &[&[u8]]) -> bool {
    if !layout.has_time() || layout.template().is_none() {
        return false;
    }
    let mut says = first_lines.iter().filter_map(|line| times::says_zone(line)).peekable();
    says.peek().is_some() && !says.any(|zone| zone)
}

/// Returns whether a line is text. What is not, or holds NUL, is a reject by any format, but for the NUL
/// with which Gunicorn ends a message to syslog.
fn is_text(line: &str) -> bool {
    let within = line.strip_suffix('\0').unwrap_or(line);
    !within.contains(['\0', char::REPLACEMENT_CHARACTER])
}

/// Returns the format whose records have blank lines around them: one that begins with a newline.
fn with_blank_lines(inferred: Inferred) -> Inferred {
    let format = match &inferred.layout {
        Layout::Template(template) => format!("\n{}\n", template.format()),
        _ => return inferred,
    };
    match Template::compile(&format) {
        Ok(template) => Inferred::new(template.into(), inferred.uncertain),
        Err(_) => inferred,
    }
}

/// Looks for access lines in the output of a program: on standard output, and among all other
/// output on standard error.
pub fn find_access(stdout: &[&[u8]], stderr: &[&[u8]]) -> Option<Inferred> {
    let text = |line: &&[u8]| String::from_utf8_lossy(line).into_owned();
    let lines: Vec<String> = stdout.iter().chain(stderr).map(text).collect();
    let lines: Vec<&str> = lines
        .iter()
        .map(String::as_str)
        .filter(|line| !line.trim().is_empty() && is_text(line))
        .collect();
    infer(&lines, 0)
}

/// Works out the format of lines after `depth` prefixes.
fn infer(lines: &[&str], depth: usize) -> Option<Inferred> {
    let ours = lines.iter().filter(|line| json::is_json_line(line.as_bytes())).count();
    if ours > 0 && 2 * ours >= lines.iter().filter(|line| !is_server_log(line)).count() {
        return Some(Inferred::new(Layout::Json, Vec::new()));
    }
    if depth < DEEPEST && lines.iter().any(|line| line.contains("\u{1b}[")) {
        return after_prefix(Prefix::Colours, lines, depth);
    }
    if let Some(found) = fixed(lines, Torn::None) {
        return Some(found);
    }
    let prefixes = Prefix::ALL.into_iter().filter(|_| depth < DEEPEST);
    let strong = |prefix: &Prefix| !matches!(prefix, Prefix::Colours | Prefix::Time);
    let prefixed = prefixes.filter(strong).find_map(|prefix| after_prefix(prefix, lines, depth));
    prefixed
        .or_else(|| by_keys(lines, &Arc::default()))
        .or_else(|| made_of(lines).map(|inferred| in_its_dialect(inferred, lines)))
        .or_else(|| (depth < DEEPEST).then(|| after_prefix(Prefix::Time, lines, depth))?)
}

/// Returns the first of the [`FIXED`] formats that reads the lines.
fn fixed(lines: &[&str], torn: Torn) -> Option<Inferred> {
    let has_zones = lines.iter().any(|line| times::says_zone(line.as_bytes()) == Some(true));
    let mut candidates = FIXED.iter().filter(|name| !(has_zones && WITHOUT_ZONE.contains(name)));
    let layout = candidates.find_map(|name| {
        let layout = Layout::compile(find(name)?.format).ok()?;
        is_read(layout.template()?, lines, torn).then_some(layout)
    })?;
    Some(in_its_dialect(Inferred::new(layout, Vec::new()), lines))
}

/// Works out the format of lines without a prefix. Each line but those of the server itself must
/// have it, and the rest of those must agree.
fn after_prefix(prefix: Prefix, lines: &[&str], depth: usize) -> Option<Inferred> {
    let mut rests = Vec::new();
    for line in lines {
        match prefix.strip(line) {
            Some(stripped) => rests.push(stripped.rest),
            None if !is_server_log(line) && looks_like_access(line) => return None,
            None => {}
        }
    }
    let rests: Vec<&str> = rests.iter().map(|rest| &**rest).collect();
    // What follows the prefix of a logger may be the message of a server's own line.
    let rests: Vec<&str> = match prefix {
        Prefix::Log | Prefix::Syslog | Prefix::Json => {
            let access: Vec<&str> =
                rests.iter().copied().filter(|rest| looks_like_access(rest)).collect();
            if access.is_empty() { rests } else { access }
        }
        _ => rests,
    };
    if rests.is_empty() {
        return None;
    }
    infer(&rests, depth + 1).map(|inferred| inferred.after(prefix))
}

/// Returns whether a line may be an access line: it holds a protocol, or a method as a word.
fn looks_like_access(line: &str) -> bool {
    const METHODS: [&str; 7] = ["GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"];
    let stands_alone = |(at, method): (usize, &str)| {
        let (before, after) = (&line[..at], &line[at + method.len()..]);
        !before.ends_with(|c: char| c.is_ascii_alphanumeric())
            && !after.starts_with(|c: char| c.is_ascii_alphanumeric())
    };
    is_request(line) || METHODS.iter().any(|method| line.match_indices(method).any(stands_alone))
}

/// Makes a format out of the lines: of those with one signature, the most frequent first.
fn made_of(lines: &[&str]) -> Option<Inferred> {
    let mut groups: HashMap<String, (usize, Vec<Vec<lex::Token<'_>>>)> = HashMap::new();
    for (nth, line) in lines.iter().enumerate() {
        if is_server_log(line) || line.len() > 16_384 {
            continue;
        }
        let tokens = lex::lex(line);
        let (_, group) = groups.entry(lex::signature(&tokens)).or_insert_with(|| (nth, Vec::new()));
        if group.len() < LINES_COMPARED {
            group.push(tokens);
        }
    }
    let mut groups: Vec<(usize, Vec<Vec<lex::Token<'_>>>)> = groups.into_values().collect();
    groups.sort_by_key(|(first, group)| (std::cmp::Reverse(group.len()), *first));
    let made_of = |group: &[Vec<lex::Token<'_>>]| {
        let found = assign::assign(group)?;
        let template = Template::compile(&found.format).ok()?;
        is_read(&template, lines, Torn::None)
            .then(|| Inferred::new(template.into(), found.uncertain))
    };
    groups
        .iter()
        .take(SIGNATURES_TRIED)
        .find_map(|(_, group)| made_of(group).or_else(|| made_of(&without_outliers(group)?)))
        .or_else(|| with_bare_ends(lines))
}

/// Makes a format of lines that end in a referer and an agent without quotes: an agent has as many words
/// as it likes, so that hardly two lines have one signature.
fn with_bare_ends(lines: &[&str]) -> Option<Inferred> {
    let mut groups: HashMap<String, Vec<Vec<lex::Token<'_>>>> = HashMap::new();
    let (mut ends, mut referers, mut agents) = (0, 0, 0);
    for line in lines.iter().filter(|line| !is_server_log(line)).take(LINES_COMPARED) {
        let Some((head, end)) = split_after_bytes(line) else { continue };
        let (referer, agent) = end.split_once(' ')?;
        ends += 1;
        referers += usize::from(referer.contains("://"));
        agents += usize::from(column::looks_like_agent(agent));
        let tokens = lex::lex(head);
        groups.entry(lex::signature(&tokens)).or_default().push(tokens);
    }
    if referers == 0 || 2 * agents <= ends {
        return None;
    }
    let group = groups.into_values().max_by_key(Vec::len)?;
    let found = assign::assign(&group)?;
    if !["%(s)s", "%(b)s"].iter().all(|atom| found.format.contains(atom)) {
        return None;
    }
    let template = Template::compile(&format!("{} %(f)s %(a)s", found.format)).ok()?;
    is_read(&template, lines, Torn::None).then(|| Inferred::new(template.into(), found.uncertain))
}

/// Splits a line after a bare request line, a status and a number of bytes.
fn split_after_bytes(line: &str) -> Option<(&str, &str)> {
    let tokens = lex::lex(line);
    let is_number = |text: &str| text == "-" || column::is_digits(text);
    let mut length = 0;
    let mut before = tokens.iter();
    while let Some(token) = before.next() {
        length += token.text().len();
        if !matches!(token, lex::Token::Slot(lex::Kind::Request, _)) {
            continue;
        }
        let rest: Vec<&str> = before.take(4).map(lex::Token::text).collect();
        return match rest.as_slice() {
            [" ", status, " ", bytes]
                if status.len() == 3 && is_number(status) && is_number(bytes) =>
            {
                let at = length + 2 + status.len() + bytes.len();
                Some((&line[..at], line[at..].strip_prefix(' ')?))
            }
            _ => None,
        };
    }
    None
}

/// Returns the lines of a group without the few that have words where the others have numbers: the
/// pieces of a record whose value holds a newline.
fn without_outliers<'a>(group: &[Vec<lex::Token<'a>>]) -> Option<Vec<Vec<lex::Token<'a>>>> {
    let mut kinds: HashMap<Vec<bool>, Vec<Vec<lex::Token<'a>>>> = HashMap::new();
    for tokens in group {
        let is_number = |token: &lex::Token<'_>| match token {
            lex::Token::Slot(_, text) => column::is_digits(text),
            lex::Token::Literal(_) => false,
        };
        kinds.entry(tokens.iter().map(is_number).collect()).or_default().push(tokens.clone());
    }
    let most = kinds.into_values().max_by_key(Vec::len)?;
    (most.len() < group.len() && most.len() * 5 >= group.len() * 4).then_some(most)
}

/// Looks for lines of JSON that are read by a mapping of the user, of whose keys one at least is in the lines.
pub fn find_mapped(first_lines: &[&[u8]], mapping: &Arc<JsonMapping>) -> Option<Inferred> {
    if mapping.is_empty() {
        return None;
    }
    let lines = texts(first_lines);
    let lines: Vec<&str> = lines.iter().map(|line| &**line).filter(|line| is_text(line)).collect();
    mapped(&lines, mapping, 0)
}

fn mapped(lines: &[&str], mapping: &Arc<JsonMapping>, depth: usize) -> Option<Inferred> {
    if !lines.iter().any(|line| line.contains('{')) {
        return None;
    }
    if lines.iter().any(|line| json::is_json_line(line.as_bytes())) {
        return None; // a line of our own says itself what its keys are
    }
    let has_key = |line: &&str| {
        let object = serde_json::from_str::<Map<String, Value>>(line);
        object.is_ok_and(|object| mapping.found(&object).next().is_some())
    };
    if lines.iter().any(has_key) {
        return by_keys(lines, mapping);
    }
    let has_colours = lines.iter().any(|line| line.contains("\u{1b}["));
    let is_possible =
        |prefix: &Prefix| depth < DEEPEST && (*prefix == Prefix::Colours) == has_colours;
    Prefix::ALL
        .into_iter()
        .filter(is_possible)
        .filter_map(|prefix| {
            let rests = lines.iter().filter_map(|line| prefix.strip(line).map(|found| found.rest));
            let rests: Vec<Cow<'_, str>> = rests.collect();
            let rests: Vec<&str> = rests.iter().map(|rest| &**rest).collect();
            Some(mapped(&rests, mapping, depth + 1)?.after(prefix))
        })
        .next()
}

/// Lines of JSON that are read by the names of their keys.
fn by_keys(lines: &[&str], mapping: &Arc<JsonMapping>) -> Option<Inferred> {
    let (mut right, mut wrong) = (0, 0);
    for line in lines {
        match json_keys::parse(line, mapping, Columns::Current) {
            Ok(line) if line.record.url.is_some() => right += 1,
            Ok(_) => {}
            Err(crate::model::RejectReason::ServerLog) => {}
            Err(_) => wrong += 1,
        }
    }
    // A Gunicorn whose format looks like JSON escapes only quotes: such lines are made of text.
    let is_of_gunicorn = lines.iter().any(|line| line.contains(":\"[") || line.contains(": \"["));
    (right > 0 && wrong * 10 <= right && !is_of_gunicorn)
        .then(|| Inferred::new(Layout::JsonKeys(Arc::clone(mapping)), Vec::new()))
}

/// Writes a format as nginx does if the lines show that nginx wrote them: by how it escapes.
fn in_its_dialect(inferred: Inferred, lines: &[&str]) -> Inferred {
    let mut escaped = lines.iter().filter(|line| line.contains('\\')).peekable();
    if escaped.peek().is_none() || !escaped.all(|line| is_of_nginx(line.as_bytes())) {
        return inferred;
    }
    let format = inferred.layout.template().and_then(Template::in_nginx);
    match format.and_then(|format| Template::compile(&format).ok()) {
        Some(template) => Inferred::new(template.into(), inferred.uncertain),
        None => inferred,
    }
}

/// Returns whether a line is one of Gunicorn's error log: `[2026-11-23 14:23:17 +0530] [24744]
/// [INFO] …`, its `error_fmt`.
fn is_error_log(line: &str) -> bool {
    line.starts_with('[') && Prefix::Log.strip(line).is_some_and(|found| found.pid.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(lines: &[&str]) -> String {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        match detect(&lines) {
            Detection::Access(found) => match found.preset {
                Some(preset) => preset.name.to_owned(),
                None => found.layout.format().to_owned(),
            },
            other => format!("{other:?}"),
        }
    }

    const DEFAULT: &str =
        r#"127.0.0.1 - - [23/Nov/2026:14:23:17 +0530] "GET / HTTP/1.1" 200 2 "-" "curl""#;
    const FORMAT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

    /// Bytes of three digits look like a status, but hardly any of them is one.
    #[test]
    fn bytes_before_the_status_are_not_taken_for_it() {
        let lines: Vec<String> = (0..60)
            .map(|nth| {
                let (bytes, status) = (100 + nth * 37 % 900, [200, 304, 404][nth % 3]);
                DEFAULT.replace(" 200 2 ", &format!(" {bytes} {status} "))
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let found = detected(&lines);
        // It may be a number of anything.
        assert_eq!(found, FORMAT.replace("%(s)s %(b)s", "%({number_6}n)s %(s)s"));
        // Codes of proxies are codes.
        let of_proxies = DEFAULT.replace(" 200 2 ", " 499 2 ");
        assert_eq!(detected(&[&of_proxies]), "gunicorn");
    }

    #[test]
    fn each_format_is_detected_by_its_own_lines() {
        let default = DEFAULT;
        let and = |suffix: &str| detected(&[&format!("{default}{suffix}")]);
        assert_eq!(and(""), "gunicorn");
        assert_eq!(and("\r"), "gunicorn");
        assert_eq!(and(" 205µs"), "gunicorn-microseconds-unit");
        assert_eq!(and(" 12ms"), "gunicorn-milliseconds");
        assert_eq!(and(" 0.000205"), "gunicorn-decimal-seconds");
        assert_eq!(and(r#" "203.0.113.9, 10.1.2.3""#), "forwarded-for-last");
        let forwarded = default.replacen("127.0.0.1", "203.0.113.9, 10.1.2.3", 1);
        assert_eq!(detected(&[default, &forwarded]), "forwarded-for-first");
        let common = r#"127.0.0.1 - - [23/Nov/2026:14:23:17 +0530] "GET / HTTP/1.1" 200 2"#;
        assert_eq!(detected(&[common]), "common");
        let seed = r#"127.0.0.1 - "GET / HTTP/1.1" 200 OK 2 "-" "a "quoted" word" 3ms"#;
        assert_eq!(detected(&["", seed]), "django-audit-logger");
        assert_eq!(detected(&[r#"127.0.0.1:5 - "GET / HTTP/1.1" 200"#]), "uvicorn");
        let console = r#"INFO:     127.0.0.1:5 - "GET / HTTP/1.1" 200 OK"#;
        assert_eq!(detected(&[console]), "uvicorn-console");
        let request = r#"{"log":"request","timestamp":"2026-11-24T15:02:03.1+00:00"}"#;
        let gunicorn = r#"{ "log" : "gunicorn", "cut"#;
        assert_eq!(detected(&[request, gunicorn, "{\"log\":1}"]), "json");
        assert_eq!(detected(&[r#"{"log":"other"}"#, r#"{"a":1}"#]), "Unknown");
        assert_eq!(detected(&[request, default, default]), "gunicorn");
    }

    #[test]
    fn a_line_that_a_power_cut_tore_hides_no_known_format() {
        let line = r#"127.0.0.1:5 - "GET /health HTTP/1.1" 200"#;
        let torn = format!("{}{line}", &line[..line.len() - 2]);
        assert_eq!(detected(&[line, line, &torn]), "uvicorn");
        assert_eq!(detected(&[line, &torn, line, line, line]), "uvicorn");
        let torn = format!("{}{DEFAULT}", &DEFAULT[..DEFAULT.len() - 5]);
        assert_eq!(detected(&[DEFAULT, &torn, DEFAULT]), "gunicorn");
        // What stands before half of the lines does not belong to a torn one.
        let prefixed = format!("web_1  | {DEFAULT}");
        assert_ne!(detected(&[DEFAULT, &prefixed, DEFAULT, &prefixed]), "gunicorn");
    }

    #[test]
    fn the_lines_of_other_servers_are_detected() {
        for (name, line) in [
            (
                "traefik",
                r#"192.0.2.1 - - [23/Nov/2026:14:23:17 +0000] "GET /x HTTP/1.1" 200 2326 "-" "curl" 1 "router@docker" "http://172.17.0.2:80" 12ms"#,
            ),
            (
                "uwsgi",
                "[pid: 12|app: 0|req: 1/1] 127.0.0.1 () {28 vars in 400 bytes} [Wed Nov 25 22:54:28 2026] GET /a?b=1 => generated 5 bytes in 1 msecs (HTTP/1.1 200) 2 headers in 79 bytes (1 switches on core 0)",
            ),
            ("werkzeug", r#"127.0.0.1 - - [23/Nov/2026 14:23:17] "GET / HTTP/1.1" 200 -"#),
            ("runserver", r#"[23/Nov/2026 14:23:17] "GET / HTTP/1.1" 200 12"#),
            (
                "apache-vhost",
                r#"www.example.com:443 192.0.2.1 - - [23/Nov/2026:14:23:17 +0000] "GET /x HTTP/1.1" 200 2326 "-" "curl""#,
            ),
        ] {
            assert_eq!(detected(&[line]), name);
        }
        let caddy = r#"{"level":"info","ts":1646861401.5,"request":{"method":"GET","uri":"/"},"status":200}"#;
        assert_eq!(detected(&[caddy]), "json-keys");
    }

    #[test]
    fn what_follows_the_agent_is_kept_under_its_key() {
        let line = format!(r#"{DEFAULT} rt=0.012 rid="r1""#);
        assert_eq!(detected(&[&line]), format!(r#"{FORMAT} rt=%(L)s rid="%({{rid}}x)s""#));
    }

    #[test]
    fn a_number_without_a_unit_does_not_become_a_duration() {
        let lines: Vec<Vec<u8>> =
            ["205", "1200"].map(|it| format!("{DEFAULT} {it}").into_bytes()).to_vec();
        let lines: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
        let Detection::Access(found) = detect(&lines) else { panic!() };
        assert_eq!(found.layout.format(), format!("{FORMAT} %({{number_10}}n)s"));
        let uncertain = &found.uncertain[0];
        assert!(uncertain.starts_with("%({number_10}n)s may be a duration"), "{uncertain}");
    }

    #[test]
    fn bytes_with_headers_are_not_taken_for_those_of_the_body() {
        let line = |code: u16, bytes: u32| {
            DEFAULT.replacen(" 200 ", &format!(" {code} "), 1).replacen(
                " 2 ",
                &format!(" {bytes} "),
                1,
            )
        };
        let lines = [line(200, 5123), line(304, 180), line(200, 731)];
        let lines: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
        let Detection::Access(found) = detect(&lines) else { panic!() };
        assert_eq!(found.layout.format(), FORMAT.replace("%(b)s", "%({number_7}n)s"));
        let uncertain = &found.uncertain[0];
        assert!(uncertain.contains("their bytes with headers, or a duration"), "{uncertain}");
    }

    #[test]
    fn names_with_numbers_are_names_of_users() {
        let lines: Vec<String> =
            (1234..1260).map(|nth| DEFAULT.replacen("- -", &format!("- user{nth}"), 1)).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(detected(&lines), "gunicorn");
        let ids: Vec<String> = lines.iter().map(|it| it.replace("user", "5f0c9ab1-")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        assert_eq!(detected(&ids), "Unknown");
    }

    #[test]
    fn one_forged_line_does_not_hide_the_format_of_the_others() {
        let forged = format!("{DEFAULT} [23/Nov/2026:14:23:17 +0530] \"GET /true HTTP/1.1\" 200 2");
        let lines = [DEFAULT, DEFAULT, &forged, DEFAULT, DEFAULT, DEFAULT];
        assert_eq!(detected(&lines), "gunicorn");
        assert_eq!(detected(&lines[..4]), "Unknown");
    }

    #[test]
    fn lines_that_do_not_agree_have_no_format() {
        let common = r#"127.0.0.1 - - [23/Nov/2026:14:23:17 +0530] "GET / HTTP/1.1" 200 2"#;
        assert_eq!(detected(&[DEFAULT, common, DEFAULT, common]), "Unknown");
        let two =
            r#"203.0.113.9 127.0.0.1 - - [23/Nov/2026:14:23:17 +0530] "GET / HTTP/1.1" 200 2"#;
        assert_eq!(detected(&[two]), "Unknown");
    }

    #[test]
    fn access_lines_among_error_lines_are_detected() {
        let start = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0";
        let trace = "Traceback (most recent call last):";
        let access = DEFAULT;
        assert_eq!(detected(&[start, trace, "  File \"x.py\", line 3", start]), "ErrorLog");
        assert_eq!(detected(&[start, access, access]), "gunicorn");
        assert_eq!(detected(&[start, start, access]), "gunicorn");
        assert_eq!(detected(&["some other text", "and more"]), "Unknown");
        assert_eq!(detected(&[trace]), "Unknown");
    }

    #[test]
    fn blank_lines_are_not_enough_to_decide() {
        assert!(matches!(detect(&[]), Detection::NotYet));
        assert_eq!(detected(&["", " ", "\r"]), "NotYet");
    }
}
