//! Random formats and hostile requests: what inference makes of their lines is never wrong.
//!
//! Each case draws a format and the lines of many requests. If a format is inferred, each line must give
//! the columns that the server knew, or NULL for a duration whose unit nothing proves. A format is
//! *decidable* if its lines say what each value is: in the order of the common log format, or under keys.

use std::collections::BTreeMap;
use std::fmt::Write;

use chrono::DateTime;
use fastrand::Rng;
use log_ingestd::format::{Detection, Exclusions, Inferred, LineParser, Mask, Parsed, detect};
use log_ingestd::model::GunicornLogModel;

/// One request, by the atoms of Gunicorn.
type Atoms = BTreeMap<&'static str, String>;

const AGENTS: [&str; 12] = [
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    "curl/8.5.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64)",
    "kube-probe/1.31",
    "-",
    "",
    "say \"hi\" \\",
    "ends\\",
    "it's 'single' quoted",
    "200 12 \"-\" \"x\" 5ms",
    "','pid':'1'}",
    "a\" 200 5 \"b\" rt=9.999 [x] - - 10.0.0.1",
];
const REFERERS: [&str; 7] = [
    "-",
    "-",
    "-",
    "https://ref.example/p?q=1",
    "https://x/\"quoted\"-\"more\"",
    "http://o'brien/'x'",
    "\",\"a\":\"",
];
const PATHS: [&str; 9] = [
    "/",
    "/",
    "/a/b",
    "/q",
    "/very/long/path/to/something",
    "*",
    "/back\\slash",
    "/;semi,comma",
    "/x",
];
const QUERIES: [&str; 6] = ["", "", "x=1&y=2", "k=v", "a=\"b\"&c=d", "q=%22%20"];
const USERS: [&str; 9] = ["-", "-", "-", "-", "-", "-", "jo", "jo smith", "jo@example.com"];
const METHODS: [&str; 6] = ["GET", "GET", "GET", "POST", "HEAD", "PROPFIND"];

fn pick<'a>(rng: &mut Rng, from: &[&'a str]) -> &'a str {
    from[rng.usize(..from.len())]
}

fn request(rng: &mut Rng) -> Atoms {
    let method = pick(rng, &METHODS);
    let (path, mut query) = (pick(rng, &PATHS), pick(rng, &QUERIES));
    if path == "*" {
        query = "";
    }
    let url = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let protocol = if rng.u8(..9) == 0 { "HTTP/1.0" } else { "HTTP/1.1" };
    let status = pick(rng, &["200", "200", "200", "201", "204", "304", "404", "500"]);
    let bodiless = method == "HEAD" || matches!(status, "204" | "304");
    let bytes = if bodiless { "0".to_owned() } else { rng.u32(1..90_000).to_string() };
    let micros = match rng.u8(..8) {
        0 => rng.u64(1_000_000..4_000_000),
        1..3 => rng.u64(1_000..900_000),
        _ => rng.u64(60..999),
    };
    let client = format!("{}.{}.113.{}", rng.u8(1..223), rng.u8(..), rng.u8(..));
    let forwarded = match rng.u8(..4) {
        0 => format!("{client}, 10.1.2.3"),
        1 => client.clone(),
        _ => "-".to_owned(),
    };
    let real = if forwarded == "-" { "-".to_owned() } else { client };
    let text = str::to_owned;
    Atoms::from([
        ("h", format!("10.0.0.{}", rng.u8(1..9))),
        ("l", text("-")),
        ("u", text(pick(rng, &USERS))),
        ("t", format!("[25/Nov/2026:22:54:{:02} +0000]", rng.u8(..60))),
        ("r", format!("{method} {url} {protocol}")),
        ("m", text(method)),
        ("U", text(path)),
        ("q", text(query)),
        ("H", text(protocol)),
        ("s", text(status)),
        ("b", bytes),
        ("f", text(pick(rng, &REFERERS))),
        ("a", text(pick(rng, &AGENTS))),
        ("D", micros.to_string()),
        ("M", (micros / 1_000).to_string()),
        ("T", (micros / 1_000_000).to_string()),
        ("L", format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000)),
        ("p", format!("<{}>", rng.u16(100..300))),
        ("{x-forwarded-for}i", forwarded),
        ("{x-real-ip}i", real),
        ("{x-request-id}i", format!("{:08x}-{:04x}", rng.u32(..), rng.u16(..))),
        ("{host}i", text(pick(rng, &["example.com", "www.example.com:8000"]))),
        ("{x-busy}i", text("-")),
    ])
}

/// Writes a line as Gunicorn does: quotes in values get a backslash.
fn written(format: &str, atoms: &Atoms) -> String {
    let mut line = String::new();
    let mut rest = format;
    while let Some((before, atom)) = rest.split_once("%(") {
        let (key, after) = atom.split_once(")s").unwrap();
        line.push_str(before);
        line.push_str(&atoms[key].replace('"', "\\\""));
        rest = after;
    }
    line + rest
}

/// The columns that the atoms of a format give.
fn columns(format: &str, atoms: &Atoms) -> GunicornLogModel<'static> {
    let shown = |key: &str| {
        let text = atoms.get(key).filter(|_| format.contains(&format!("%({key})s")))?.clone();
        (!matches!(text.as_str(), "" | "-")).then_some(text)
    };
    let number = |key: &str| shown(key).and_then(|text| text.parse::<i64>().ok());
    let words = shown("r").map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let word = |nth: usize| words.as_ref()?.get(nth).cloned();
    let path = match (shown("U"), shown("q")) {
        (Some(path), Some(query)) => Some(format!("{path}?{query}")),
        (path, _) => path,
    };
    let address = |text: String| text.split(", ").next()?.parse().ok();
    let user_ip = ["h", "{x-forwarded-for}i", "{x-real-ip}i"];
    let time =
        shown("t").map(|text| DateTime::parse_from_str(&text, "[%d/%b/%Y:%H:%M:%S %z]").unwrap());
    let decimal = shown("L").map(|text| text.replace('.', "").parse().unwrap());
    GunicornLogModel {
        timestamp: time.map(|time| time.timestamp_micros()),
        method: word(0).or(shown("m")).map(Into::into),
        url: word(1).or(path).map(Into::into),
        protocol: word(2).or(shown("H")).map(Into::into),
        host: shown("{host}i").map(Into::into),
        user_id: shown("u").map(Into::into),
        user_ip: user_ip.iter().find_map(|key| address(shown(key)?)),
        agent: shown("a").map(Into::into),
        source: shown("f").map(Into::into),
        code: shown("s").and_then(|text| text.parse().ok()),
        response_bytes: number("b"),
        duration: number("D")
            .or(decimal)
            .or(number("M").map(|it| it * 1_000))
            .or(number("T").map(|it| it * 1_000_000)),
        ..GunicornLogModel::default()
    }
}

/// What is wrong with a row: the first column that differs.
fn difference(found: &GunicornLogModel<'_>, right: &GunicornLogModel<'_>) -> Option<String> {
    let mut words = String::new();
    macro_rules! compare {
        ($($column:ident),*) => {
            $(if found.$column != right.$column {
                let _ = write!(words, "{}: {:?}, not {:?}; ", stringify!($column), found.$column, right.$column);
            })*
        };
    }
    compare!(
        timestamp,
        method,
        url,
        protocol,
        host,
        user_id,
        user_ip,
        agent,
        source,
        code,
        response_bytes
    );
    if found.duration.is_some() && found.duration != right.duration {
        let _ = write!(words, "duration: {:?}, not {:?}", found.duration, right.duration);
    }
    (!words.is_empty()).then_some(words)
}

/// A format whose lines say what each value is.
fn decidable(rng: &mut Rng) -> String {
    match rng.u8(..4) {
        0 => keyed(rng),
        _ => common(rng),
    }
}

/// The common log format, with something before it and after it.
fn common(rng: &mut Rng) -> String {
    let before = [
        "",
        "",
        "",
        "app ",
        "[%({x-request-id}i)s] ",
        "%({x-request-id}i)s ",
        "%({x-real-ip}i)s %({x-forwarded-for}i)s ",
    ];
    let request = ["\"%(r)s\"", "\"%(r)s\"", "%(r)s", "\"%(m)s %(U)s %(q)s %(H)s\""];
    let texts = [r#" "%(f)s" "%(a)s""#, r#" "%(f)s" "%(a)s""#, r#" "%(f)s" "%(a)s""#, ""];
    let mut format = pick(rng, &before).to_owned();
    format.push_str("%(h)s %(l)s %(u)s %(t)s ");
    format.push_str(pick(rng, &request));
    format.push_str(" %(s)s %(b)s");
    let texts = pick(rng, &texts);
    format.push_str(texts);
    let after = [
        "",
        " %(D)s",
        " %(T)s",
        " %(L)s",
        " %(D)sµs",
        " %(D)sus",
        " %(M)sms",
        " %(L)ss",
        " %(p)s",
        " request_time=%(L)s",
        " rt=%(M)s",
        " rid=%({x-request-id}i)s",
        " rid=\"%({x-request-id}i)s\"",
        " \"%({x-forwarded-for}i)s\"",
        " busy=%({x-busy}i)s",
        " in %(D)sµs",
    ];
    for _ in 0..rng.u8(..3) {
        let more = pick(rng, &after);
        if !(format.contains(more) || texts.is_empty() && more.contains("forwarded")) {
            format.push_str(more);
        }
    }
    format
}

/// JSON, or `key=value`.
fn keyed(rng: &mut Rng) -> String {
    let mut keys = vec![
        ("time", "t"),
        ("method", "m"),
        ("path", "U"),
        ("query", "q"),
        ("status", "s"),
        ("bytes", "b"),
        ("remote_addr", "h"),
        ("user", "u"),
        ("referer", "f"),
        ("user_agent", "a"),
        ("duration", "L"),
        ("duration_ms", "D"),
        ("protocol", "H"),
        ("pid", "p"),
        ("request_id", "{x-request-id}i"),
    ];
    rng.shuffle(&mut keys);
    let left_out = rng.usize(..4);
    keys.retain({
        let mut dropped = 0;
        move |(_, atom)| {
            let drops = dropped < left_out
                && matches!(*atom, "b" | "f" | "L" | "D" | "p" | "H" | "{x-request-id}i");
            dropped += usize::from(drops);
            !drops
        }
    });
    match rng.bool() {
        true => {
            let pairs: Vec<String> =
                keys.iter().map(|(key, atom)| format!("\"{key}\": \"%({atom})s\"")).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        false => {
            let pairs: Vec<String> =
                keys.iter().map(|(key, atom)| format!("{key}=\"%({atom})s\"")).collect();
            pairs.join(" ")
        }
    }
}

/// The common log format in which atoms were changed, swapped, added or removed: it looks like what it is
/// not. Keys are left alone: nothing in a line shows that a key lies.
fn misleading(rng: &mut Rng) -> String {
    let mut format = common(rng);
    let atoms: Vec<&str> = request(&mut Rng::with_seed(1)).into_keys().collect();
    for _ in 0..rng.u8(1..4) {
        let places: Vec<(usize, usize)> = format
            .match_indices("%(")
            .map(|(at, _)| (at, at + format[at..].find(")s").unwrap() + 2))
            .collect();
        let (from, to) = places[rng.usize(..places.len())];
        // A value with a wrong unit is another value, and nothing in the line says so.
        if ["µs", "us", "ms", "s"].iter().any(|unit| format[to..].starts_with(unit)) {
            continue;
        }
        let atom = format!("%({})s", pick(rng, &atoms));
        match rng.u8(..5) {
            0 | 1 => format.replace_range(from..to, &atom),
            2 => {
                let (other_from, other_to) = places[rng.usize(..places.len())];
                if ["µs", "us", "ms", "s"].iter().any(|unit| format[other_to..].starts_with(unit))
                {
                    continue;
                }
                let (first, second) =
                    (format[from..to].to_owned(), format[other_from..other_to].to_owned());
                format = format
                    .replacen(&first, "\0", 1)
                    .replacen(&second, &first, 1)
                    .replacen('\0', &second, 1);
            }
            3 => format.insert_str(from, &format!("{atom} ")),
            _ if places.len() > 3 => format.replace_range(from..to, "-"),
            _ => {}
        }
    }
    format
}

/// Any atoms in any order, with any text between them.
fn any_format(rng: &mut Rng) -> String {
    let mut atoms: Vec<&str> = request(&mut Rng::with_seed(1)).into_keys().collect();
    rng.shuffle(&mut atoms);
    atoms.truncate(rng.usize(3..12));
    let separator = pick(rng, &[" ", " ", " ", " | ", " - ", "\t", ", "]);
    let mut format = pick(rng, &["", "", "", "[ACCESS] ", "access: "]).to_owned();
    for (nth, atom) in atoms.iter().enumerate() {
        if nth > 0 {
            format.push_str(separator);
        }
        let (open, close) =
            [("", ""), ("\"", "\""), ("\"", "\""), ("'", "'"), ("[", "]")][rng.usize(..5)];
        let _ = write!(format, "{open}%({atom})s{close}");
    }
    format
}

/// What came of the lines of one format.
enum Outcome {
    Undetected,
    Right,
    Wrong(String),
}

fn outcome(format: &str, rng: &mut Rng) -> Outcome {
    let requests: Vec<Atoms> = (0..rng.usize(20..60)).map(|_| request(rng)).collect();
    let lines: Vec<String> = requests.iter().map(|atoms| written(format, atoms)).collect();
    let bytes: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
    let Detection::Access(found) = detect(&bytes) else { return Outcome::Undetected };
    let Inferred { layout, .. } = *found;
    let words = layout.format().to_owned();
    let parser = LineParser::new(layout, Mask::default(), Exclusions::default());
    for (atoms, line) in requests.iter().zip(&lines) {
        let right = columns(format, atoms);
        let wrong = match parser.parse(line.as_bytes()) {
            Parsed::Record(record) => difference(&record, &right),
            Parsed::Json(_) => Some("read as JSON".to_owned()),
            Parsed::Excluded => Some("left out".to_owned()),
            Parsed::Reject(reason) => Some(format!("rejected: {reason}")),
        };
        if let Some(wrong) = wrong {
            return Outcome::Wrong(format!("{wrong}\n  {format}\n  {words}\n  {line}"));
        }
    }
    Outcome::Right
}

/// Returns how many formats were inferred, and what was wrong.
fn tried(count: u64, seed: u64, draw: fn(&mut Rng) -> String) -> (u64, Vec<String>) {
    let (mut inferred, mut wrong) = (0, Vec::new());
    for nth in 0..count {
        let mut rng = Rng::with_seed(seed + nth);
        let format = draw(&mut rng);
        match outcome(&format, &mut rng) {
            Outcome::Undetected => {}
            Outcome::Right => inferred += 1,
            Outcome::Wrong(words) => wrong.push(format!("seed {}: {words}", seed + nth)),
        }
    }
    (inferred, wrong)
}

const CASES: u64 = 150;

#[test]
fn what_is_inferred_of_a_decidable_format_is_right_and_most_are_inferred() {
    let (inferred, wrong) = tried(CASES, 1_000_000, decidable);
    println!("decidable: {inferred} of {CASES} are inferred");
    assert!(wrong.is_empty(), "{} are wrong: {}", wrong.len(), wrong[0]);
    assert!(10 * inferred >= 7 * CASES, "{inferred} of {CASES}");
}

#[test]
fn what_is_inferred_of_a_misleading_format_is_right() {
    let (inferred, wrong) = tried(2 * CASES, 3_000_000, misleading);
    println!("misleading: {inferred} of {} are inferred", 2 * CASES);
    assert!(wrong.is_empty(), "{} are wrong: {}", wrong.len(), wrong[0]);
}

#[test]
fn what_is_inferred_of_any_format_is_right() {
    let (inferred, wrong) = tried(CASES, 2_000_000, any_format);
    println!("any: {inferred} of {CASES} are inferred");
    assert!(wrong.is_empty(), "{} are wrong: {}", wrong.len(), wrong[0]);
}
