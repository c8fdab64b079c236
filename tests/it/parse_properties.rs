//! Random formats, random and mutated lines.
//!
//! `LOG_INGESTD_FUZZ_CASES` says how many inputs (lines) each property sees, `LOG_INGESTD_FUZZ_SEED` where
//! they begin; `tests/fuzz` sets both, and without them the same inputs come each time. A case draws one format and then many cheap variations of lines, so
//! that ten million inputs are a matter of minutes.

mod envelope;
mod inferred;
mod mapped;

use std::sync::atomic::{AtomicU64, Ordering};

use log_ingestd::format::{Exclusions, LineParser, Mask, Parsed, Template, detect, presets};
use log_ingestd::model::RejectReason;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestCaseError, TestRunner};

/// Lines for each case.
const LINES: u32 = 100;

/// Runs `test`, which counts its inputs, until `LOG_INGESTD_FUZZ_CASES` of them were seen.
fn fuzz<S: Strategy>(
    name: &str,
    strategy: S,
    test: impl Fn(S::Value, &AtomicU64) -> Result<(), TestCaseError>,
) {
    let inputs = std::env::var("LOG_INGESTD_FUZZ_CASES").ok().map(|text| text.parse().unwrap());
    let cases = inputs.unwrap_or(50_000_u32).div_ceil(LINES);
    let seed = std::env::var("LOG_INGESTD_FUZZ_SEED").ok().map(|text| text.parse().unwrap());
    let rng_seed = RngSeed::Fixed(seed.unwrap_or(1));
    let config = Config { cases, rng_seed, failure_persistence: None, ..Config::default() };
    let seen = AtomicU64::new(0);
    let result = TestRunner::new(config).run(&strategy, |value| test(value, &seen));
    println!("{name}: {} inputs", seen.load(Ordering::Relaxed));
    result.unwrap();
}

/// Fast random numbers for what need not shrink; the seed is proptest's.
fn any_rng() -> impl Strategy<Value = fastrand::Rng> {
    any::<u64>().prop_map(fastrand::Rng::with_seed)
}

fn atom() -> impl Strategy<Value = String> {
    let letters = "hlutrmUqHsBbfaTDMLp".chars().map(String::from);
    let captured = ["{x-forwarded-for}i", "{Host}i", "{x-request-id}o", "{wsgi.version}e"];
    let all: Vec<_> = letters.chain(captured.map(String::from)).collect();
    select(all).prop_map(|key| format!("%({key})s"))
}

fn format() -> impl Strategy<Value = String> {
    let separators = select(vec![
        "",
        " ",
        "\"",
        "\" \"",
        " - ",
        "\t",
        "' '",
        "\",\"k\":\"",
        "%%",
        "ms",
        "1",
        "\\",
    ]);
    vec((separators, atom()), 1..20).prop_map(|parts| {
        parts.into_iter().map(|(separator, atom)| format!("{separator}{atom}")).collect()
    })
}

/// Fragments that lines are made of, and what tears them apart.
const FRAGMENTS: [&str; 40] = [
    "-",
    " ",
    " - ",
    "\"",
    "\\\"",
    "\\",
    "\" \"",
    "[",
    "]",
    "\n",
    "\r",
    "\0",
    "\t",
    "%",
    "0",
    "200",
    "200 OK",
    "404 Not Found",
    "None",
    "18446744073709551616",
    "9223372036854775807",
    "0.000205",
    "<24744>",
    "<",
    "[23/Nov/2026:14:23:17 +0530]",
    "[29/Feb/2025:14:23:17 +0530]",
    "GET / HTTP/1.1",
    "GET /a?password=b#token=c HTTP/1.1",
    "HTTP/1.1",
    "127.0.0.1",
    "[::1]:8000",
    "2001:db8::7, x",
    "é",
    "日本",
    "😀",
    "\u{301}",
    "ms",
    "µs",
    "a",
    "curl/8.5.0",
];

fn random_line(rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
    out.clear();
    for _ in 0..rng.usize(..24) {
        match rng.u8(..16) {
            0 => out.push(rng.u8(..)),
            _ => out.extend_from_slice(FRAGMENTS[rng.usize(..FRAGMENTS.len())].as_bytes()),
        }
    }
}

/// Puts a fragment for each atom, right ones mostly, into the format; says whether all are right.
fn plausible_line(format: &str, rng: &mut fastrand::Rng, out: &mut Vec<u8>) -> bool {
    out.clear();
    let odds = [8, 64, 255][rng.usize(..3)];
    let mut right = true;
    let mut rest = format;
    while let Some((before, atom)) = rest.split_once("%(") {
        let Some((key, after)) = atom.split_once(")s") else { break };
        out.extend_from_slice(before.replace("%%", "%").as_bytes());
        out.extend_from_slice(
            match (rng.u8(..odds), key) {
                (0, _) => {
                    right = false;
                    FRAGMENTS[rng.usize(..FRAGMENTS.len())]
                }
                (_, "l") => "-",
                (_, "t") => "[23/Nov/2026:14:23:17 +0530]",
                (_, "{clf}t") => "23/Nov/2026:14:23:17 +0530",
                (_, "{iso}t") => "2026-11-23T14:23:17+05:30",
                (_, "{ctime}t") => "Mon Nov 23 14:23:17 2026",
                (_, "r") => "GET /a?password=b#token=c HTTP/1.1",
                (_, "s") => "200",
                (_, "b" | "B" | "T" | "D" | "M") => "205",
                (_, "L" | "{ms}L") => "0.000205",
                (_, "p") => "<24744>",
                _ => "x",
            }
            .as_bytes(),
        );
        rest = after;
    }
    out.extend_from_slice(rest.replace("%%", "%").as_bytes());
    right
}

fn mutate(rng: &mut fastrand::Rng, line: &mut Vec<u8>) {
    for _ in 0..rng.usize(..4) {
        let at = rng.usize(..=line.len());
        match rng.u8(..5) {
            0 => line.truncate(at),
            1 => line.insert(at, rng.u8(..)),
            2 if at < line.len() => drop(line.remove(at)),
            3 if at < line.len() => line[at] = b"\"\\ -[]\n\r\0\x80\xff"[rng.usize(..11)],
            _ => {
                let fragment = FRAGMENTS[rng.usize(..FRAGMENTS.len())].bytes();
                line.splice(at..at, fragment);
            }
        }
    }
}

#[test]
fn no_line_makes_any_format_panic() {
    let formats = prop_oneof![
        3 => format(),
        1 => select(presets())
            .prop_filter("Gunicorn's own dialect", |preset| preset.format.contains("%("))
            .prop_map(|preset| preset.format.to_owned()),
        1 => "[ -~]{0,40}",
    ];
    fuzz("any line", (formats, any_rng()), |(format, mut rng), seen| {
        let (format, template) = match Template::compile(&format) {
            Ok(template) => (format.as_str(), template),
            Err(_) => (DEFAULT, Template::compile(DEFAULT).unwrap()),
        };
        let _ = template.warnings();
        // Where digits touch digits, a line may mean too many things.
        let separate = !format.contains(")s%(") && !format.contains(")s1");
        // What has no atom of Gunicorn may be a format of Apache or nginx.
        let separate = separate && format.contains("%(");
        let mask = Mask::by_meaning(&["password".into(), "token".into()]);
        let exclusions = Exclusions::new(&["/static/".into()], &[".css".into()]);
        let parser = LineParser::new(template, mask, exclusions);
        let mut line = Vec::new();
        for nth in 0..LINES {
            let right = if rng.u8(..4) == 0 {
                random_line(&mut rng, &mut line);
                false
            } else {
                let right = plausible_line(format, &mut rng, &mut line);
                let untouched = rng.bool();
                if !untouched {
                    mutate(&mut rng, &mut line);
                }
                right && untouched
            };
            if nth == 0 {
                let _ = detect(&[&line]);
            }
            match parser.parse(&line) {
                Parsed::Record(record) => {
                    prop_assert!(!line.contains(&0));
                    let texts = [&record.url, &record.agent, &record.source, &record.user_id];
                    for text in texts.into_iter().flatten() {
                        prop_assert!(!text.is_empty() && text != "-");
                    }
                }
                Parsed::Reject(reason) => {
                    let text = String::from_utf8_lossy(&line);
                    prop_assert!(!(right && separate), "{reason}: {format} {text}");
                    prop_assert_ne!(&reason, &RejectReason::Ambiguous);
                    prop_assert!(reason.to_string().len() < 200);
                }
                Parsed::Json(_) | Parsed::Excluded => {}
            }
            seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
}

/// A value that tries to be taken for something else; never a newline or NUL, and never the
/// empty text, `-` or `None`, which stand for nothing.
fn hostile_text(rng: &mut fastrand::Rng) -> String {
    loop {
        let mut text = String::new();
        for _ in 0..rng.usize(1..6) {
            match rng.u8(..6) {
                0 => text.push(rng.char(' '..='~')),
                1 => text.push(rng.char('\u{1}'..='\u{2ff}')),
                _ => text.push_str(FRAGMENTS[rng.usize(..FRAGMENTS.len())]),
            }
        }
        text.retain(|letter| !matches!(letter, '\n' | '\0'));
        if !text.is_empty() && text != "-" && text != "None" {
            return text;
        }
    }
}

/// As Gunicorn's `SafeAtoms` does.
fn escaped(text: &str) -> String {
    text.replace('"', "\\\"")
}

/// What one request shows in the log.
#[derive(Clone, Debug, PartialEq)]
struct Shown {
    /// User, path, referer, agent.
    texts: [String; 4],
    code: i32,
    bytes: i64,
    micros: i64,
}

const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s"#;
const JSON: &str = r#"{"u":"%(u)s","t":"%(t)s","m":"%(m)s","U":"%(U)s","s":%(s)s,"b":%(b)s,"f":"%(f)s","a":"%(a)s","D":%(D)s}"#;
const TIME: &str = "[23/Nov/2026:14:23:17 +0530]";

impl Shown {
    fn draw(rng: &mut fastrand::Rng) -> Shown {
        let mut texts = [(); 4].map(|()| hostile_text(rng));
        texts[1] = texts[1].replace(' ', "+"); // a request line has three words
        let (bytes, micros) = (rng.i64(0..i64::MAX), rng.i64(0..i64::MAX));
        Shown { texts, code: rng.i32(100..600), bytes, micros }
    }

    fn default(&self) -> String {
        let [u, p, f, a] = self.texts.each_ref().map(|text| escaped(text));
        let Shown { code, bytes, micros, .. } = self;
        format!("::1 - {u} {TIME} \"GET {p} HTTP/1.1\" {code} {bytes} \"{f}\" \"{a}\" {micros}")
    }

    fn json(&self) -> String {
        let [u, p, f, a] = self.texts.each_ref().map(|text| escaped(text));
        let Shown { code, bytes, micros, .. } = self;
        format!(
            "{{\"u\":\"{u}\",\"t\":\"{TIME}\",\"m\":\"GET\",\"U\":\"{p}\",\"s\":{code},\
             \"b\":{bytes},\"f\":\"{f}\",\"a\":\"{a}\",\"D\":{micros}}}"
        )
    }

    fn read(template: &Template, line: &str) -> Result<Shown, TestCaseError> {
        let record = template.parse(line.as_bytes());
        let record = record.map_err(|reject| TestCaseError::fail(format!("{reject}: {line}")))?;
        prop_assert_eq!(record.timestamp, Some(1_795_423_997_000_000), "{}", line);
        prop_assert_eq!(record.method.as_deref(), Some("GET"), "{}", line);
        let texts = [record.user_id, record.url, record.source, record.agent];
        Ok(Shown {
            texts: texts.map(|text| text.unwrap_or_default().into_owned()),
            code: record.code.unwrap_or_default(),
            bytes: record.response_bytes.unwrap_or_default(),
            micros: record.duration.unwrap_or_default(),
        })
    }
}

/// Values come back as they were. Only a value that ends in a backslash can, together with what
/// others hold, make a line with two right readings; one of them must be found then.
#[test]
fn what_quotes_delimit_is_read_back_as_it_was_written() {
    let default = Template::compile(DEFAULT).unwrap();
    let json = Template::compile(JSON).unwrap();
    fuzz("round trip", any_rng(), |mut rng, seen| {
        for _ in 0..LINES / 2 {
            let right = Shown::draw(&mut rng);
            let open_end = right.texts.iter().any(|text| text.ends_with('\\'));
            let writings =
                [(&default, Shown::default as fn(&Shown) -> String), (&json, Shown::json)];
            for (template, write) in writings {
                let line = write(&right);
                let found = Shown::read(template, &line)?;
                if !open_end {
                    prop_assert_eq!(&found, &right, "{}", line);
                } else if found.texts.iter().all(|text| !text.is_empty()) {
                    prop_assert_eq!(write(&found), line);
                }
                seen.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    });
}

#[test]
fn one_value_that_ends_in_a_backslash_does_no_harm() {
    let default = Template::compile(DEFAULT).unwrap();
    let json = Template::compile(JSON).unwrap();
    fuzz("backslash", any_rng(), |mut rng, seen| {
        for _ in 0..LINES / 2 {
            let mut right = Shown::draw(&mut rng);
            let open = rng.usize(..4);
            for (nth, text) in right.texts.iter_mut().enumerate() {
                // Spaces, brackets, letters of any script: all but the literals' own quotes.
                text.retain(|letter| !matches!(letter, '"' | '\\'));
                text.push_str(if nth == open { "\\" } else { "." });
            }
            for (template, line) in [(&default, right.default()), (&json, right.json())] {
                prop_assert_eq!(&Shown::read(template, &line)?, &right, "{}", line);
                seen.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    });
}
