//! Logs through reader, rows and back, without a database: what the columns hold is what the rows of a batch
//! hold, which `verify` shows of both databases.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::line_writer::{Cause, Exported, LineWriter, Source};
use crate::format::{Exclusions, Layout, Mask, Parsing, presets};
use crate::identity::detect::{Formats, envelope_of, sample};
use crate::model::{Batch, Checkpoint, FileId, Origin, Position, StoredRow};
use crate::pipeline::expected::expected;
use crate::pipeline::file_format::Format;
use crate::pipeline::read_lines::{BatchTarget, Completeness, Limits, fill_batch};
use crate::source::Lines;
use crate::store::{FileReport, StoredLine};

const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;

/// A log that was stored and written again.
struct RoundTrip {
    exported: Exported,
    bytes: Vec<u8>,
    rows: usize,
    json_rows: usize,
    /// Rows with a patch.
    patched: usize,
    /// The bytes of all patches.
    patch_bytes: usize,
    forms: usize,
}

fn parsing(mask: Mask, exclusions: Exclusions) -> Parsing {
    Parsing { layout: None, json: std::sync::Arc::default(), mask, exclusions }
}

/// Returns what is stored of a log.
fn stored(format: &Format, mut log: &[u8]) -> (FileReport, Vec<(u64, StoredLine)>) {
    let mut lines = Lines::default();
    lines.reset(&Position::default(), b"");
    let mut batch = Batch::default();
    let file = FileId(1);
    let target = BatchTarget { file, epoch: 1, size: 0, now: 0, limits: Limits::NONE };
    let context = format.context(1_795_423_260_000_000, Completeness::Sealed);
    fill_batch(&mut lines, &mut log, &context, &mut batch, &target).unwrap();
    let position = lines.position();
    let span = batch.spans.first().cloned();
    let checkpoint = Checkpoint {
        file,
        host: "web".into(),
        origin: Origin::default(),
        path: "/log".into(),
        key: None,
        head: None,
        tail_fingerprint: position.tail_fingerprint,
        digest: position.digest,
        first_offset: 0,
        nul_runs: span.iter().flat_map(|span| span.nul_runs.clone()).collect(),
        line_forms: span.iter().flat_map(|span| span.form_changes.clone()).collect(),
        patched_from: 0,
        committed: position.offset,
        kept_to: None,
        time_estimated: !format.has_time,
        size: position.offset,
        lost_bytes: 0,
        epoch: 1,
        format: format.format.clone(),
        closed_at: None,
    };
    let report = FileReport {
        checkpoint,
        owner: None,
        lines: batch.lines(),
        rows: batch.rows(),
        rejected: batch.spans.iter().map(|span| span.rejected).sum(),
        excluded: span.map_or(0, |span| span.excluded),
        far_times: 0,
        reparsed: 0,
        other_formats: Vec::new(),
        lost_bytes: 0,
        first_seen_at: 0,
        committed_at: None,
        closed_reason: None,
    };
    (report, expected(&batch))
}

fn written(report: &FileReport, lines: &[(u64, StoredLine)]) -> (Exported, Vec<u8>) {
    let known = &report.checkpoint;
    let (envelope, format) = envelope_of(&known.format);
    let source = Source {
        report,
        layouts: vec![Layout::compile(format).unwrap()],
        has_envelopes: envelope.is_some(),
        swept_before: None,
    };
    let mut bytes = Vec::new();
    let mut writer = LineWriter::from(source, 0, &mut bytes);
    for (offset, line) in lines {
        writer.line(*offset, line).unwrap();
    }
    let digest = known.digest.map(|digest| digest.sum);
    let exported = writer.end(known.committed, digest).unwrap();
    (exported, bytes)
}

fn round_trip_by(format: &Format, log: &[u8]) -> RoundTrip {
    let (report, lines) = stored(format, log);
    let (exported, bytes) = written(&report, &lines);
    let mut patches = Vec::new();
    let (mut rows, mut json_rows) = (0, 0);
    for (_, line) in &lines {
        match line {
            StoredLine::Row(row) => {
                rows += 1;
                patches.extend(row.patch.as_ref().map(Vec::len));
            }
            StoredLine::Request(_) => json_rows += 1,
            StoredLine::Reject(_) => {}
        }
    }
    RoundTrip {
        exported,
        bytes,
        rows,
        json_rows,
        patched: patches.len(),
        patch_bytes: patches.iter().sum(),
        forms: report.checkpoint.line_forms.len(),
    }
}

fn round_trip(format: &str, log: &[u8]) -> RoundTrip {
    let parsing = parsing(Mask::default(), Exclusions::default());
    let format = Formats::as_stored(parsing).stored(format).unwrap();
    round_trip_by(&format, log)
}

/// Checks that a log is written back exactly, if it ends in a line feed, and without a look at its digest.
#[track_caller]
fn is_exact(format: &str, log: &[u8]) -> RoundTrip {
    let parsing = parsing(Mask::default(), Exclusions::default());
    let by = Formats::as_stored(parsing).stored(format).unwrap();
    let (mut report, lines) = stored(&by, log);
    report.checkpoint.digest = None;
    let (exported, bytes) = written(&report, &lines);
    if let Some(first) = exported.differences.first() {
        let from = usize::try_from(first.from).unwrap();
        let rest = &log[from.saturating_sub(200)..];
        let stored: Vec<_> =
            lines.iter().filter(|(at, _)| *at + 300 > first.from).take(4).collect();
        panic!("{format}: {first:?}: {}: {stored:?}", rest[..rest.len().min(600)].escape_ascii());
    }
    let length = usize::try_from(report.checkpoint.committed).unwrap();
    assert_eq!(
        bytes.escape_ascii().to_string(),
        log[..length].escape_ascii().to_string(),
        "{format}"
    );
    round_trip_by(&by, log)
}

fn line(text: &str) -> String {
    format!(
        r#"10.0.0.7 - - [23/Nov/2026:08:41:00 +0000] "GET /{text} HTTP/1.1" 200 2 "-" "curl/8""#
    )
}

#[test]
fn plain_lines_have_neither_patches_nor_forms() {
    let log: String = (0..100).map(|nth| line(&nth.to_string()) + "\n").collect();
    let trip = is_exact(DEFAULT, log.as_bytes());
    assert_eq!((trip.rows, trip.patched, trip.forms), (100, 0, 0));
    let log = log.replace("+0000", "+0530").replace("10.0.0.7", "2001:db8::7");
    let trip = is_exact(DEFAULT, log.as_bytes());
    assert_eq!((trip.rows, trip.patched, trip.forms), (100, 0, 1));
}

/// nginx and Apache escape them, so their lines are patched if another program has written them.
#[test]
fn bytes_that_a_server_escapes_may_stand_there_as_they_are() {
    let nginx = r#"$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent""#;
    for (format, patched) in [(nginx, 3), (DEFAULT, 0)] {
        let log = format!(
            "{}\n{}\n{}\n{}\n",
            line("a"),
            line("\u{65e5}"),
            line("\u{18}"),
            line("\u{7f}")
        );
        let trip = is_exact(format, log.as_bytes());
        assert_eq!((trip.rows, trip.patched), (4, patched), "{format}");
    }
}

#[test]
fn a_new_zone_is_a_new_form() {
    let day = |zone: &str| {
        (0..50).map(|nth| line(&nth.to_string()) + "\n").collect::<String>().replace("+0000", zone)
    };
    let log = [day("+0100"), day("+0200"), day("+0000")].concat();
    let trip = is_exact(DEFAULT, log.as_bytes());
    assert_eq!((trip.rows, trip.patched, trip.forms), (150, 0, 3));
}

#[test]
fn values_that_columns_do_not_tell_apart_are_told_by_patches() {
    let usual = line("a");
    for odd in [
        usual.replace("\"-\"", "\"\""),
        usual.replace(" 200 2 ", " 200 None "),
        usual.replace(" 200 2 ", " 200 - "),
        usual.replace(" 200 2 ", " 200 007 "),
        usual.replace(" 200 2 ", " 0200 2 "),
        usual.replace(" 200 2 ", " None 2 "),
        usual.replace(" 200 2 ", " 600 2 "),
        usual.replace("GET /a HTTP/1.1", "GET /a"),
        usual.replace("GET /a HTTP/1.1", "GET  HTTP/1.1"),
        usual.replace("GET /a HTTP/1.1", " GET /a "),
        usual.replace("GET /a HTTP/1.1", "-"),
        usual.replace("GET /a HTTP/1.1", ""),
        usual.replace("GET /a HTTP/1.1", "\\x16\\x03"),
        usual.replace("10.0.0.7", "10.0.0.07"),
        usual.replace("10.0.0.7", "2001:DB8::0:7"),
        usual.replace("10.0.0.7", "::ffff:10.0.0.7"),
        usual.replace("10.0.0.7", "[2001:db8::7]:80"),
        usual.replace("10.0.0.7", ""),
        usual.replace("10.0.0.7", "-"),
        usual.replace("10.0.0.7", "unix:"),
        usual.replace("10.0.0.7", "b''"),
        usual.replace("- - [", "-  ["),
        usual.replace("- - [", "- a b [c] ["),
        usual.replace("curl/8", "q\\\"q\\"),
        usual.replace("curl/8", "say \"hi\""),
        usual.replace("curl/8", "é 日本 \u{7}"),
        usual.replace("+0000", "-0000"),
        usual.replace("- - [", "- x\ny\r\nz ["),
    ] {
        is_exact(DEFAULT, format!("{usual}\n{odd}\n{usual}\n").as_bytes());
    }
}

#[test]
fn ends_of_lines_marks_and_nuls_are_written_back() {
    let (one, other) = (line("a"), line("b"));
    for log in [
        format!("{one}\r\n{other}\r\n"),
        format!("{one}\n{other}\r\n{one}\nnone\r\nnone\n\n\r\n{one}\n"),
        format!("\u{feff}{one}\n{other}\n"),
        format!("\u{feff}{one}\r\n{other}"),
        format!("\u{feff}none\r\n{other}\n"),
        format!("\u{feff}{one}"),
        format!("{one}\n{}{other}\n{}none\n", "\0".repeat(5), "\0".repeat(300)),
        format!("{one}\n{other}"),
        format!("{one}\n{other}\r\n\0"),
        format!("{one}\0\n"),
        "\n\n\n".to_owned(),
        String::new(),
    ] {
        is_exact(DEFAULT, log.as_bytes());
    }
}

#[test]
fn lines_that_are_left_out_are_places_in_the_list() {
    let exclusions = Exclusions::new(&["/static/".to_owned()], &[]);
    let format = Formats::as_stored(parsing(Mask::default(), exclusions)).stored(DEFAULT).unwrap();
    let lines = [line("a"), line("static/x"), line("static/y"), "none".to_owned(), line("b")];
    let log = lines.join("\n") + "\n";
    let trip = round_trip_by(&format, log.as_bytes());
    let from = lines[0].len() as u64 + 1;
    let to = from + 2 * (lines[1].len() as u64 + 1);
    let [only] = trip.exported.differences[..] else { panic!("{:?}", trip.exported) };
    assert_eq!((only.cause, only.from, only.to, only.lines), (Cause::Excluded, from, to, 0));
    let left = [&lines[0], &lines[3], &lines[4]].map(|line| format!("{line}\n")).concat();
    assert_eq!(trip.bytes, left.as_bytes());
}

#[test]
fn masked_values_stay_masked_and_are_listed() {
    let mask = Mask::by_meaning(&["password".to_owned()]);
    let format = Formats::as_stored(parsing(mask, Exclusions::default())).stored(DEFAULT).unwrap();
    let secret = "hunter2hunter2";
    let lines = [
        line("a"),
        line(&format!("b?password={secret}")),
        // Its patch must not hold what its row does not.
        line(&format!("b?password={secret}")).replace(" 2 ", " None ").replace("10.0.0.7", ""),
        format!("none ?password={secret}"),
        line("********"),
    ];
    let log = lines.join("\n") + "\n";
    let (report, stored_lines) = stored(&format, log.as_bytes());
    assert!(!format!("{stored_lines:?}").contains(secret));
    let patches = stored_lines.iter().filter_map(|(_, line)| match line {
        StoredLine::Row(row) => row.patch.clone(),
        _ => None,
    });
    let holds = |patch: &Vec<u8>| patch.windows(4).any(|part| part == &secret.as_bytes()[..4]);
    assert!(!patches.collect::<Vec<_>>().iter().any(holds));
    let (exported, bytes) = written(&report, &stored_lines);
    let [only] = exported.differences[..] else { panic!("{exported:?}") };
    let before = lines[0].len() as u64 + 1;
    let after = log.len() as u64 - lines[4].len() as u64 - 1;
    assert_eq!((only.cause, only.from, only.to, only.lines), (Cause::Masked, before, after, 3));
    let text = String::from_utf8(bytes).unwrap();
    assert!(!text.contains(secret) && text.contains("/b?password=******** HTTP/1.1"), "{text}");
    assert!(text.ends_with(&format!("\n{}\n", lines[4])), "{text}");
}

#[test]
fn a_row_that_is_gone_is_listed() {
    let log: String = (0..9).map(|nth| line(&nth.to_string()) + "\n").collect();
    let format = Formats::as_stored(parsing(Mask::default(), Exclusions::default()));
    let format = { format }.stored(DEFAULT).unwrap();
    let (report, mut lines) = stored(&format, log.as_bytes());
    let (from, to) = (lines[3].0, lines[5].0);
    lines.drain(3..5);
    let (exported, bytes) = written(&report, &lines);
    let [only] = exported.differences[..] else { panic!("{exported:?}") };
    assert_eq!((only.cause, only.from, only.to), (Cause::Missing, from, to));
    let (from, to) = (usize::try_from(from).unwrap(), usize::try_from(to).unwrap());
    assert_eq!(bytes, [&log.as_bytes()[..from], &log.as_bytes()[to..]].concat());
}

#[test]
fn a_changed_row_is_not_exact() {
    let log = line("aaa") + "\n" + &line("b") + "\n";
    let parsing = parsing(Mask::default(), Exclusions::default());
    let format = Formats::as_stored(parsing).stored(DEFAULT).unwrap();
    let (report, lines) = stored(&format, log.as_bytes());
    for (url, cause) in
        [("/bbb", Cause::Digest), ("/longer", Cause::DoesNotFit), ("/", Cause::Missing)]
    {
        let mut lines = lines.clone();
        let StoredLine::Row(row) = &mut lines[0].1 else { panic!() };
        row.url = Some(url.to_owned());
        let (exported, _) = written(&report, &lines);
        let causes: Vec<Cause> = exported.differences.iter().map(|it| it.cause).collect();
        assert_eq!(causes, [cause], "{url}");
    }
}

#[test]
fn rows_of_older_versions_are_uncertain_until_the_digest_proves_them() {
    let zone = |text: &str| line(text).replace("+0000", "+0530") + "\n";
    let (certain, uncertain) = (line("a") + "\n" + &line("b") + "\n", zone("a") + &zone("b"));
    for (log, exact) in [(&certain, true), (&uncertain, false)] {
        let parsing = parsing(Mask::default(), Exclusions::default());
        let format = Formats::as_stored(parsing).stored(DEFAULT).unwrap();
        let (mut report, lines) = stored(&format, log.as_bytes());
        report.checkpoint.patched_from = report.checkpoint.committed;
        report.checkpoint.line_forms.clear();
        let (exported, bytes) = written(&report, &lines);
        let causes: Vec<Cause> = exported.differences.iter().map(|it| it.cause).collect();
        assert_eq!(causes.is_empty(), exact, "{causes:?}");
        assert_eq!(bytes == log.as_bytes(), exact);
    }
}

/// Returns the logs in a directory, and those below it.
fn logs(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(logs(&path));
        } else if path.extension().is_some_and(|it| it == "log") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Every log of a real server that the tests have, read by the format that is detected, and by the one that it
/// was written by.
#[test]
fn the_logs_of_real_servers_are_written_back() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let formats: serde_json::Value =
        serde_json::from_slice(&fs::read(fixtures.join("formats/formats.json")).unwrap()).unwrap();
    let mut detector = Formats::new(parsing(Mask::default(), Exclusions::default()));
    let mut table = BTreeMap::new();
    for directory in ["corpus", "formats", "servers"] {
        for path in logs(&fixtures.join(directory)) {
            let log = fs::read(&path).unwrap();
            let mut by = Vec::new();
            let start =
                sample(|limit| Ok::<_, std::io::Error>(log[..log.len().min(limit)].to_vec()));
            if let Ok(detected) = detector.detect(&path, &start.unwrap()) {
                by.push(detected.format.format.clone());
            }
            let beside = path.with_file_name("format.txt");
            if let Ok(format) = fs::read_to_string(beside) {
                by.push(format.trim_end_matches('\n').to_owned());
            }
            let stem = path.file_stem().unwrap().to_str().unwrap();
            by.extend(formats[stem].as_str().map(str::to_owned));
            let nginx = fs::read_to_string(fixtures.join("servers/nginx-log_format.txt")).unwrap();
            let name = stem.strip_prefix("nginx-").map(|name| format!("log_format {name} "));
            let of_nginx = name.and_then(|name| nginx.lines().find(|line| line.starts_with(&name)));
            by.extend(of_nginx.map(str::to_owned));
            assert!(!by.is_empty(), "{}", path.display());
            for format in by {
                let Ok(layout) = Layout::named_or_format(&format) else { panic!("{format}") };
                let format = layout.format().to_owned();
                let trip = round_trip(&format, &log);
                let is_json = format.contains("json-keys") || format.ends_with("json");
                let exact = trip.exported.differences.is_empty() && trip.bytes == log;
                let name = path.strip_prefix(&fixtures).unwrap().display().to_string();
                assert!(exact || is_json, "{name} {format}: {:?}", trip.exported.differences);
                table.insert((name, format), trip);
            }
        }
    }
    for ((name, format), it) in &table {
        println!(
            "{name}: {} rows, {} patched, {} bytes ({:.2} a row), {} forms, {} JSON, by {format:?}",
            it.rows,
            it.patched,
            it.patch_bytes,
            it.patch_bytes as f64 / it.rows.max(1) as f64,
            it.forms,
            it.json_rows,
        );
    }
}

const FRAGMENTS: [&str; 44] = [
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
    "\r\n",
    "\0",
    "\t",
    "%",
    "0",
    "007",
    "200",
    "200 OK",
    "404 Not Found",
    "None",
    "18446744073709551616",
    "0.000205",
    "0.12",
    "<24744>",
    "24744",
    "[23/Nov/2026:14:23:17 +0530]",
    "[23/Nov/2026:14:23:17 -0000]",
    "23/Nov/2026:14:23:17 +0000",
    "2026-11-23T14:23:17.120Z",
    "1795423997.5",
    "GET / HTTP/1.1",
    "GET /a?b=c HTTP/1.1",
    "GET /",
    "HTTP/1.1",
    "127.0.0.1",
    "[::1]:8000",
    "2001:db8::7, x",
    "é",
    "日本",
    "\\x22",
    "\\xC3\\xA9",
    "a",
    "curl/8.5.0",
];

/// Values that a server may write for an atom, usual ones first.
fn values(key: &str) -> &'static [&'static str] {
    match key {
        "h" => &[
            "10.0.0.7",
            "2001:db8::7",
            "-",
            "",
            "::ffff:1.2.3.4",
            "unix:",
            "web.example",
            "[::1]:80",
        ],
        "l" => &["-"],
        "t" => &[
            "[23/Nov/2026:14:23:17 +0530]",
            "[23/Nov/2026:14:23:17 +0000]",
            "[01/Jan/1970:00:00:00 +0000]",
        ],
        "r" => &[
            "GET /a?b=c HTTP/1.1",
            "GET / HTTP/1.0",
            "GET /",
            "-",
            "",
            "x",
            " a  b ",
            "M / q HTTP/2",
        ],
        "s" => &["200", "404", "200 OK", "-", "None", "099", "0200", "999"],
        "b" | "B" | "D" | "M" | "T" => &["0", "12", "-", "None", "007", "1234567"],
        "L" => &["0.000205", "1.5", "-", "12.0000001"],
        "p" => &["<24744>", "24744", "-", "<007>"],
        "m" => &["GET", "-", "", "b ad"],
        "U" => &["/a", "/", "", "/é\nx", "None"],
        "q" => &["", "b=c", "-", "?"],
        "H" => &["HTTP/1.1", "-", "x y"],
        "u" => &["-", "jo", "", "a b", "x [y]", "a\"b", "a\\\"b"],
        _ => &["-", "curl/8", "", "a \\\"b\\\"", "é", "203.0.113.9, 10.0.0.1", "q\\", "say \"hi\""],
    }
}

/// A line of a format of Gunicorn, with usual and unusual values.
fn line_of(format: &str, rng: &mut fastrand::Rng) -> String {
    let mut line = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once("%(") {
        line.push_str(&before.replace("%%", "%"));
        let Some((key, after)) = after.split_once(")s") else { break };
        let values = values(key);
        let usual = rng.u8(..4) > 0;
        line.push_str(match rng.u8(..40) {
            0 => FRAGMENTS[rng.usize(..FRAGMENTS.len())],
            _ if usual => values[0],
            _ => values[rng.usize(..values.len())],
        });
        rest = after;
    }
    line + &rest.replace("%%", "%")
}

/// What other programs put before lines: the name of the prefix, and texts.
const PREFIXES: [(&str, &[&str]); 7] = [
    ("", &[""]),
    ("after-syslog ", &["Nov 25 22:54:28 web gunicorn[7921]: ", "<14>gunicorn.access: [7921] "]),
    ("after-compose ", &["web-1  | ", "web_1 | "]),
    ("after-log ", &["2026-11-25 22:54:28,123 INFO ", "[INFO    ] gunicorn.access: "]),
    ("after-time ", &["2026-11-25T22:54:28.123456789Z ", "2026-11-25 22:54:28 "]),
    ("after-heroku ", &["2026-11-23T08:41:00.000000+00:00 app[web.1]: "]),
    ("after-colours after-log ", &["\u{1b}[32mINFO\u{1b}[0m: ", "INFO:     "]),
];

fn any_format() -> impl Strategy<Value = String> {
    let gunicorn = presets().iter().map(|preset| preset.format);
    let gunicorn: Vec<String> =
        gunicorn.filter(|it| it.contains("%(")).map(str::to_owned).collect();
    let letters = "hlutrmUqHsBbfaTDMLp".chars().map(String::from);
    let captured = ["{x-forwarded-for}i", "{Host}i", "{x-request-id}o", "{wsgi.version}e"];
    let atoms: Vec<String> = letters.chain(captured.map(String::from)).collect();
    let separators =
        select(vec![" ", "\"", "\" \"", " - ", "\t", "' '", "\",\"k\":\"", "%%", "ms"]);
    let random = vec((separators, select(atoms)), 1..14).prop_map(|parts| {
        parts.into_iter().map(|(separator, key)| format!("{separator}%({key})s")).collect()
    });
    prop_oneof![2 => Just(DEFAULT.to_owned()), 3 => select(gunicorn), 3 => random]
}

/// A log of a format, after a prefix, with usual and unusual lines, line ends, marks and NULs.
fn log_of(format: &str, before: &[&str], rng: &mut fastrand::Rng) -> Vec<u8> {
    let mut log = Vec::new();
    if rng.u8(..8) == 0 {
        log.extend_from_slice(b"\xef\xbb\xbf");
    }
    for _ in 0..40 {
        if rng.u8(..60) == 0 {
            log.resize(log.len() + rng.usize(1..200), 0);
        }
        if rng.u8(..8) > 0 {
            log.extend_from_slice(before[rng.usize(..before.len())].as_bytes());
            log.extend_from_slice(line_of(format, rng).as_bytes());
        } else {
            for _ in 0..rng.usize(..12) {
                match rng.u8(..16) {
                    0 => log.push(rng.u8(..)),
                    _ => {
                        let fragment = FRAGMENTS[rng.usize(..FRAGMENTS.len())];
                        log.extend_from_slice(fragment.as_bytes());
                    }
                }
            }
        }
        log.extend_from_slice(if rng.u8(..16) == 0 { b"\r\n" } else { b"\n" });
    }
    log
}

/// What of a line is masked, beside what a server may write.
const SECRETS: [&str; 6] = [
    "GET /a?password=hunter2&x=1 HTTP/1.1",
    "https://jo:hunter2@example.com/?token=hunter2hunter2",
    "Bearer hunter2hunter2hunter2",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.c2lnbmF0dXJlLWh1bnRlcjI",
    "/a?x=1&api_key=hunter2hunter2",
    "********",
];

/// `LOG_INGESTD_FUZZ_CASES` says how many logs each property sees.
fn cases() -> ProptestConfig {
    let cases = std::env::var("LOG_INGESTD_FUZZ_CASES").ok().and_then(|text| text.parse().ok());
    let cases = cases.unwrap_or(250);
    ProptestConfig { failure_persistence: None, cases, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_log_is_written_back(
        format in any_format(),
        prefix in select(&PREFIXES[..]),
        seed in any::<u64>(),
    ) {
        let (name, before) = prefix;
        let stored = format!("{name}{format}");
        prop_assume!(Layout::compile(&stored).is_ok());
        is_exact(&stored, &log_of(&format, before, &mut fastrand::Rng::with_seed(seed)));
    }

    /// A line that is not listed has its bytes, and no table has a secret.
    #[test]
    fn masked_lines_are_listed_and_no_others_differ(
        format in any_format(),
        prefix in select(&PREFIXES[..]),
        seed in any::<u64>(),
    ) {
        let (name, before) = prefix;
        let format_of_file = format!("{name}{format}");
        prop_assume!(Layout::compile(&format_of_file).is_ok());
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut log = log_of(&format, before, &mut rng);
        for _ in 0..12 {
            let places = memchr::memchr3_iter(b' ', b'"', b'-', &log).collect::<Vec<_>>();
            let at = places.get(rng.usize(..places.len().max(1))).map_or(0, |at| at + 1);
            let secret = SECRETS[rng.usize(..SECRETS.len())];
            log.splice(at..at, secret.bytes());
        }
        let mask = Mask::by_meaning(&["password".to_owned()]);
        let exclusions = Exclusions::new(&["/\u{e9}".to_owned()], &[]);
        let by = Formats::as_stored(parsing(mask, exclusions)).stored(&format_of_file).unwrap();
        let (report, lines) = stored(&by, &log);
        let ends = lines[1..].iter().map(|(offset, _)| *offset);
        let ends: Vec<u64> = ends.chain([report.checkpoint.committed]).collect();
        for (line, end) in lines.iter().zip(ends) {
            let layouts = vec![Layout::compile(&format_of_file).unwrap()];
            let source =
                Source { report: &report, layouts, has_envelopes: false, swept_before: None };
            let mut bytes = Vec::new();
            let mut writer = LineWriter::from(source, line.0, &mut bytes);
            writer.line(line.0, &line.1).unwrap();
            let exported = writer.end(end, None).unwrap();
            let (from, to) = (usize::try_from(line.0).unwrap(), usize::try_from(end).unwrap());
            let given = &log[from..to];
            if exported.differences.is_empty() {
                let (bytes, given) = (bytes.escape_ascii(), given.escape_ascii());
                prop_assert_eq!(bytes.to_string(), given.to_string(), "{:?}", line);
            }
            if let StoredLine::Row(row) = &line.1 {
                // What is not masked in the row itself is not known as a secret.
                let holds = |text: &[u8]| memchr::memmem::find(text, b"hunter2").is_some();
                let without = StoredRow { patch: None, ..(**row).clone() };
                if !holds(format!("{without:?}").as_bytes()) {
                    let patch = row.patch.clone().unwrap_or_default();
                    prop_assert!(!holds(&patch), "{:?} {}", row, given.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn changed_lines_of_real_servers_are_written_back(seed in any::<u64>()) {
        let mut rng = fastrand::Rng::with_seed(seed);
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/servers");
        let all = logs(&fixtures);
        let log = fs::read(&all[rng.usize(..all.len())]).unwrap();
        let mut detector = Formats::new(parsing(Mask::default(), Exclusions::default()));
        let Ok(detected) = detector.detect(Path::new("/x"), &log) else { return Ok(()) };
        let format = detected.format.format.clone();
        prop_assume!(!format.contains("json"));
        let mut changed = log[..log.len().min(8_000)].to_vec();
        for _ in 0..30 {
            let at = rng.usize(..changed.len());
            match rng.u8(..4) {
                0 => changed[at] = rng.u8(..),
                1 => drop(changed.remove(at)),
                2 => changed[at] = changed[rng.usize(..changed.len())],
                _ => {
                    let fragment = FRAGMENTS[rng.usize(..FRAGMENTS.len())].as_bytes();
                    changed.splice(at..at, fragment.iter().copied());
                }
            }
        }
        changed.push(b'\n');
        is_exact(&format, &changed);
    }
}
