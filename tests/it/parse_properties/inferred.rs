//! Lines of real servers that are torn, mixed and put after other programs' prefixes: whatever format is
//! worked out, or none, nothing panics, and a format is what its text says.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log_ingestd::format::{
    Detection, Exclusions, Layout, LineParser, Mask, Parsed, detect, explain, find_access,
    lacks_zone,
};
use proptest::prelude::*;

use super::{FRAGMENTS, any_rng, fuzz, mutate};

/// What other programs put before a line, and colours within it.
const PREFIXES: [&str; 14] = [
    "web-1  | ",
    "[pod/web-5c6d7f-abcde/app] ",
    "web-5c6d7f-abcde app ",
    "2026-11-23T08:41:00.000000+00:00 app[web.1]: ",
    "Nov 23 08:41:00 web gunicorn[123]: ",
    "<134>1 2026-11-23T08:41:00Z web gunicorn 123 - - ",
    "2026-11-23 08:41:00,123 INFO gunicorn.access ",
    "2026-11-23 08:41:00,123 - uvicorn.access - INFO - ",
    "INFO:     ",
    "2026-11-23T08:41:00.123456789Z ",
    "\u{1b}[32m",
    "\u{1b}[0m",
    "{\"message\": \"",
    "[2026-11-23 14:23:17 +0530] [24744] [INFO] ",
];

/// How long it may take to work out a format of these few lines, on a machine that does much else.
const MOST: Duration = Duration::from_secs(10);

/// Lines of all logs in `fixtures`, by log.
fn logs() -> Vec<Vec<Vec<u8>>> {
    let mut logs = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures"), &mut logs);
    assert!(logs.len() > 30, "only {} logs were found", logs.len());
    logs
}

fn collect(directory: &Path, logs: &mut Vec<Vec<Vec<u8>>>) {
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        if path.is_dir() {
            collect(&path, logs);
        } else if path.extension().is_some_and(|it| it == "log") {
            let bytes = fs::read(&path).unwrap();
            let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            logs.push(lines.take(200).map(<[u8]>::to_vec).collect());
        }
    }
}

fn any_line<'a>(rng: &mut fastrand::Rng, logs: &'a [Vec<Vec<u8>>]) -> &'a Vec<u8> {
    let log = rng.choice(logs).unwrap();
    rng.choice(log).unwrap()
}

/// Some lines of a log, mostly of one, each perhaps torn, all perhaps after the same prefixes.
fn some_lines(rng: &mut fastrand::Rng, logs: &[Vec<Vec<u8>>]) -> Vec<Vec<u8>> {
    let log = rng.choice(logs).unwrap();
    let prefixes: Vec<&str> =
        (0..[0, 0, 1, 2, 4][rng.usize(..5)]).map(|_| *rng.choice(&PREFIXES).unwrap()).collect();
    let torn = [0, 30, 255][rng.usize(..3)];
    let count = rng.usize(1..14);
    let first = rng.usize(..log.len());
    let mut lines = Vec::with_capacity(count);
    for nth in 0..count {
        let mut line = match rng.u8(..40) {
            0 => any_line(rng, logs).clone(),
            1 => FRAGMENTS[rng.usize(..FRAGMENTS.len())].as_bytes().to_vec(),
            _ => log[(first + nth) % log.len()].clone(),
        };
        line.truncate(4000);
        if rng.u8(..) < torn {
            mutate(rng, &mut line);
        }
        for prefix in prefixes.iter().filter(|_| torn == 0 || rng.u8(..8) > 0) {
            line.splice(0..0, prefix.bytes());
        }
        line.retain(|byte| *byte != b'\n');
        lines.push(line);
    }
    lines
}

#[test]
fn whatever_format_is_worked_out_is_what_its_text_says() {
    let logs = logs();
    fuzz("inferred formats", any_rng(), |mut rng, seen| {
        // Without optimisation a format takes milliseconds to be worked out.
        let most = if cfg!(debug_assertions) { 1 } else { super::LINES };
        let mut count = 0;
        while count < most {
            let began = Instant::now();
            let lines = some_lines(&mut rng, &logs);
            let refs: Vec<&[u8]> = lines.iter().map(Vec::as_slice).collect();
            count += refs.len() as u32;
            seen.fetch_add(refs.len() as u64, Ordering::Relaxed);
            if let Some(why) = explain(&refs) {
                prop_assert!(!why.is_empty() && !why.contains('\n'), "{why}");
            }
            let (stdout, stderr) = refs.split_at(rng.usize(..=refs.len()));
            let _ = find_access(stdout, stderr);
            let detection = detect(&refs);
            let took = began.elapsed();
            prop_assert!(
                took < MOST,
                "{took:?} for:\n{}",
                String::from_utf8_lossy(&lines.join(&b'\n'))
            );
            let Detection::Access(inferred) = detection else { continue };
            let _ = lacks_zone(&inferred.layout, &refs);
            let format = inferred.layout.format().to_owned();
            let again = Layout::compile(&format);
            let again = again.map_err(|error| TestCaseError::fail(format!("{error}: {format}")))?;
            prop_assert_eq!(again.format(), &format);
            let parsers = [inferred.layout, again]
                .map(|layout| LineParser::new(layout, Mask::default(), Exclusions::default()));
            for line in &refs {
                let [one, other] = parsers.each_ref().map(|parser| parser.parse(line));
                let same = format!("{one:?}") == format!("{other:?}");
                prop_assert!(same, "{format}: {}", String::from_utf8_lossy(line));
                if let Parsed::Reject(reason) = one {
                    prop_assert!(reason.to_string().len() < 400, "{reason}");
                }
            }
        }
        Ok(())
    });
}

/// Format strings of the other servers, and names of presets and prefixes, torn.
#[test]
fn no_format_string_makes_the_compiler_panic() {
    const PARTS: [&str; 40] = [
        "$remote_addr",
        "$request",
        "$status",
        "\"",
        "[$time_local]",
        "$http_user_agent",
        "$",
        "${",
        "}",
        "$a$b",
        "%h",
        "%l",
        "%u",
        "%t",
        "%r",
        "%>s",
        "%b",
        "%{Referer}i",
        "%{%Y}t",
        "%{sec}t",
        "%(h)s",
        "%(D)d",
        "%-10(a)s",
        "%({x}i)s",
        "%%",
        "%",
        "%(",
        ")s",
        "json",
        "json-keys",
        "json-keys {\"a\":\"url\"}",
        "after-syslog ",
        "after-compose ",
        "after-time ",
        "after-log ",
        " ",
        "\n",
        "\t",
        "é",
        "combined",
    ];
    let logs = logs();
    fuzz("format strings", any_rng(), |mut rng, seen| {
        for _ in 0..super::LINES {
            let parts = rng.usize(..12);
            let format: String = (0..parts).map(|_| *rng.choice(&PARTS).unwrap()).collect();
            for layout in [Layout::compile(&format), Layout::named_or_format(&format)] {
                let Ok(layout) = layout else { continue };
                let _ = (layout.warnings(), layout.lacking(), layout.has_time());
                let parser = LineParser::new(layout, Mask::default(), Exclusions::default());
                let _ = parser.parse(any_line(&mut rng, &logs));
            }
            seen.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    });
}
