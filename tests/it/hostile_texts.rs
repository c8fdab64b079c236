//! What clients and names of files can do to those who look: nothing. Texts that a terminal obeys, that a
//! spreadsheet computes, that are longer than any screen, and names that are no text.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use log_ingestd::model::is_printable;
use serde_json::Value;

use crate::daemon::{Bench, ToEnd, for_each_store, line};
use crate::page::client::Site;
use crate::place::{Place, until};
use crate::terminal::on_terminal;

const SINCE: &str = "2026-11-23";

/// Clears the screen, sets the title, hides and reorders what follows.
const HOSTILE: &str = "\u{1b}[2J\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\u{200b}";

/// Returns a text without the colours of the program's own.
fn without_colours(text: &str) -> String {
    let colours = [0, 1, 2, 3, 31, 32, 33, 36].map(|code| format!("\u{1b}[{code}m"));
    colours.iter().fold(text.to_owned(), |text, colour| text.replace(colour, ""))
}

fn assert_printable(shown: &str) {
    let found = without_colours(shown).chars().find(|it| *it != '\n' && !is_printable(*it));
    assert_eq!(found, None, "{shown:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_terminal_obeys_a_log() {
    let bench = Bench::new(Place::sqlite().await).await;
    let hostile = line(&format!("/a{HOSTILE}")).replace(" - - [", &format!(" - jo{HOSTILE} ["));
    let hostile = hostile.replace("curl/8", &format!("curl{HOSTILE}"));
    let name = format!("access{}\nlog-ingestd: forged{HOSTILE}.log", "-x");
    bench.append(&name, &hostile);
    let path = bench.log(&name);
    bench.succeed(&["import", path.to_str().unwrap()]);
    for command in [
        &["query", "--since", SINCE][..],
        &["query", "--since", SINCE, "--wide"],
        &["query", "--since", SINCE, "--output", "jsonl"],
        &["query", "--since", SINCE, "--output", "csv"],
        &["query", "--since", SINCE, "--output", "log"],
        &["top", "users", "--since", SINCE],
        &["top", "agents", "--since", SINCE],
        &["top", "urls", "--since", SINCE, "--json"],
        &["status", "--all"],
        &["status", "--all", "--json"],
        &["verify"],
    ] {
        let shown = on_terminal(&bench, 200, command, &[]);
        assert_printable(&shown);
        // As in texts, in JSON, or in paths.
        let escaped = shown.contains("9b}") || shown.contains("009b") || shown.contains("x9b");
        assert!(escaped, "{command:?}: {shown}");
        assert!(!shown.lines().any(|line| line.starts_with("log-ingestd: forged")), "{shown}");
    }
    // What other programs read is exact.
    let rows = bench.succeed(&["query", "--since", SINCE, "--output", "jsonl"]);
    let row: Value = serde_json::from_str(rows.lines().next().unwrap()).unwrap();
    assert_eq!(row["url"], format!("/a{HOSTILE}"));
    assert!(rows.contains('\u{9b}'), "{rows}");
    assert!(bench.succeed(&["query", "--since", SINCE, "--output", "csv"]).contains(HOSTILE));
    // What people read is one line for each row also in a pipe, in which a pager is.
    let table = bench.succeed(&["query", "--since", SINCE]);
    assert!(table.lines().count() == 2 && !table.contains('\u{9b}'), "{table}");
    assert_printable(&bench.succeed(&["status", "--all"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_one_line_that_is_printable() {
    let bench = Bench::new(Place::sqlite().await).await;
    let name = format!("no{HOSTILE}\nlog-ingestd: forged");
    for arguments in [
        &["import", &name][..],
        &["check", &name],
        &["verify", &name],
        &["forget", &name],
        &["query", "--url", &format!("{HOSTILE}\0"), &format!("--{HOSTILE}")],
        &["query", "--since", &name],
        &["--config", &name, "status"],
    ] {
        let arguments: Vec<&str> =
            arguments.iter().copied().filter(|it| !it.contains('\0')).collect();
        let output = bench.run(&arguments);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("\\u{9b}2J") || said.contains("\\xc2\\x9b2J"), "{said:?}");
        assert_printable(&said);
        // clap's own message may have several lines.
        let is_ours = said.starts_with("log-ingestd: ");
        assert!(!is_ours || said.lines().count() == 1, "{arguments:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_name_forges_a_record_of_the_log() {
    for format in ["human", "json"] {
        let bench = Bench::new(Place::sqlite().await).await;
        let forged = format!("a\n2026-11-23T08:41:00Z ERROR forged{HOSTILE}.log");
        bench.append(&forged, line("/a"));
        // No format reads this one, which is said with its path.
        bench.append(&format!("b{forged}"), format!("what{HOSTILE} is this\n").repeat(3));
        let mut daemon = bench.watch_with(&["--log-format", format]);
        bench.rows(1).await;
        daemon.says(if format == "json" { "\\u009b" } else { "\\u{9b}" }).await;
        fs::rename(bench.log(&forged), bench.log(&format!("{forged}.1"))).unwrap();
        until("the rename is stored", async || {
            let paths = bench.place.texts("SELECT path FROM log_file").await;
            paths.iter().all(|path| path.ends_with(".log.1"))
        })
        .await;
        let said = daemon.said();
        assert_printable(&said);
        for record in said.lines() {
            let is_record = match format {
                "json" => {
                    serde_json::from_str::<Value>(record).is_ok_and(|it| it["level"].is_string())
                }
                _ => record.as_bytes()[0].is_ascii_digit(),
            };
            let at_start = record.starts_with("2026-11-23T08:41:00Z ERROR forged");
            assert!(is_record && !at_start, "{record}");
        }
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_of_70_000_characters_breaks_no_table() {
    let bench = Bench::new(Place::sqlite().await).await;
    let urls = [
        "/short".to_owned(),
        format!("/{}", "a/".repeat(35_000)),
        format!("/{}", "漢👍\u{fe0f}".repeat(10_000)),
        format!("/e{}", "\u{301}".repeat(30_000)),
    ];
    bench.append("access.log", urls.iter().map(|url| line(url)).collect::<String>());
    bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
    for command in
        [&["query", "--since", SINCE][..], &["top", "urls", "--since", SINCE], &["status"]]
    {
        let shown = without_colours(&on_terminal(&bench, 80, command, &[]));
        for line in shown.lines().take(5) {
            let width = unicode_width::UnicodeWidthStr::width(line);
            assert!(width <= 80 || command[0] == "status", "{command:?} {width}: {line}");
            assert!(line.chars().count() <= 400, "{command:?}: {line}");
        }
        // All of it in a pipe, where it makes the other rows no wider.
        let piped = bench.succeed(command);
        if command[0] != "status" {
            assert!(urls.iter().all(|url| piped.contains(url)), "{}", piped.len());
            let short = piped.lines().find(|line| line.contains("/short")).unwrap();
            assert!(short.len() < 400, "{short}");
        }
    }
    let site = Site::open(&bench, &[]).await;
    let page = site.get(&format!("/api/log?from={SINCE}"));
    assert!(page.status == 200 && page.body.contains(&urls[1]), "{}", page.status);
    assert_eq!(site.get(&format!("/api/top?by=url&from={SINCE}")).status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spreadsheet_takes_no_cell_for_a_formula() {
    let bench = Bench::new(Place::sqlite().await).await;
    let formula = "=cmd|' /C calc'!A0";
    bench.append("access.log", line("/a").replace("curl/8", formula));
    bench.append(
        "access.log",
        line("/b").replace("curl/8", "Mozilla;=1+1").replace(" - - [", " - +jo ["),
    );
    bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
    let csv = |flags: &[&str]| {
        let text =
            bench.succeed(&[&["query", "--since", SINCE, "--output", "csv"][..], flags].concat());
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 2);
        (text, records.iter().flatten().map(str::to_owned).collect::<Vec<_>>())
    };
    let (_, exact) = csv(&[]);
    assert!(
        ["=cmd|' /C calc'!A0", "Mozilla;=1+1", "+jo"]
            .iter()
            .all(|it| exact.iter().any(|cell| cell == it))
    );
    let (text, safe) = csv(&["--csv-safe"]);
    assert!(
        ["'=cmd|' /C calc'!A0", "Mozilla;'=1+1", "'+jo"]
            .iter()
            .all(|it| safe.iter().any(|cell| cell == it))
    );
    let json = bench.succeed(&["query", "--since", SINCE, "--output", "jsonl"]);
    assert!(json.contains(&format!("\"agent\":\"{formula}\"")), "{json}");
    let refused = bench.run(&["query", "--csv-safe"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("expected --output csv"));
    // The page's download is safe by itself.
    let site = Site::open(&bench, &[]).await;
    let download =
        |more: &str| site.get(&format!("/api/export?format=csv&from={SINCE}{more}")).body;
    assert_eq!(download(""), text);
    assert!(download("&cells=exact").contains("+jo") && !download("&cells=exact").contains("'+jo"));
    assert_eq!(site.get("/api/export?cells=other").status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_filters_are_refused_with_a_sentence() {
    for place in [Place::sqlite().await, Place::postgres().await] {
        let bench = Bench::new(place).await;
        let site = Site::open(&bench, &[]).await;
        let codes = |count: u32| {
            let codes = (0..count).map(|nth| (100 + nth % 900).to_string());
            codes.collect::<Vec<_>>().join(",")
        };
        let long = "a".repeat(30_000);
        for path in ["log", "requests", "top?by=url", "tail", "export"] {
            let and = if path.contains('?') { '&' } else { '?' };
            for (filter, words) in [
                (format!("code={}", codes(900)), "more than 100 codes"),
                (format!("text={long}"), "longer than 4,096 bytes"),
                (format!("agent={long}"), "longer than 4,096 bytes"),
                (format!("url={long}"), "longer than 4,096 bytes"),
                (format!("host={long}"), "longer than 4,096 bytes"),
                (format!("from={long}"), "longer than 4,096 bytes"),
                (format!("{long}=a"), "is not a filter"),
            ] {
                let answer = site.get(&format!("/api/{path}{and}{filter}"));
                assert!(answer.body.contains(words), "{path} {words}: {}", answer.body);
                assert_eq!(answer.status, 400);
                assert!(answer.body.len() < 400, "{}", answer.body);
            }
        }
        for filter in [format!("code={}", codes(100)), format!("text={}", "%25_".repeat(500))] {
            let answer = site.get(&format!("/api/log?{filter}"));
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }
}

for_each_store! {
    /// Before, both were `access-\u{fffd}.log`: one path, and one series of each metric.
    async fn names_that_are_not_utf8_stay_two_names(bench) {
        for (nth, byte) in [b'\xff', b'\xfe'].into_iter().enumerate() {
            let name = [b"access-", &[byte][..], b".log"].concat();
            let path = bench.logs().join(OsStr::from_bytes(&name));
            fs::write(path, line(&format!("/{nth}"))).unwrap();
        }
        bench.append("access-\\xff.log", line("/2"));
        bench.append("access-\u{fffd}.log", line("/3"));
        let site = Site::open(&bench, &[]).await;
        bench.rows(4).await;
        let names = ["access-\\xff.log", "access-\\xfe.log", "access-\\x5cxff.log", "access-\u{fffd}.log"];
        let mut paths = bench.place.texts("SELECT path FROM log_file").await;
        paths.sort();
        let mut expected = names.map(|name| bench.log(name).to_str().unwrap().to_owned());
        expected.sort();
        assert_eq!(paths, expected);
        let metrics = site.get("/metrics").body;
        for path in &paths {
            let label = path.replace('\\', "\\\\");
            assert!(metrics.contains(&format!("file=\"{label}\"")), "{label}: {metrics}");
        }
        assert!(site.daemon.stop().await.success());
        // Each path leads back to its file.
        let status = bench.succeed(&["status", "--all"]);
        assert_eq!(status.matches("caught up").count(), 4, "{status}");
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("differences")), (4, 0));
        let name = bench.logs().join(OsStr::from_bytes(b"access-\xff.log"));
        let output = bench.command(&["forget", "--yes"]).arg(&name).to_end();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("access-\\xff.log': 1 row"), "{said}");
        assert_eq!(bench.place.texts("SELECT url FROM gunicorn_log ORDER BY url").await, ["/1", "/2", "/3"]);
    }

    async fn rejected_lines_hold_no_secret(bench) {
        let good = |nth: u32| line(&format!("/{nth}"));
        let secret = "GET /?password=hush;hush&a=b HTTP/1.1 Bearer hush1234hush\n";
        let odd = [b"\xff\xfe token=hush\xe4&c=d\n".as_slice(), b"http://jo:hush@h/ eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI0MiJ9.hush\r\n"].concat();
        bench.append("access.log", good(1) + secret + &good(2));
        bench.append("access.log", &odd);
        let daemon = bench.watch_with(&["--format", "gunicorn"]);
        bench.rows(2).await;
        until("all is stored", async || bench.stored().await == 5).await;
        assert!(daemon.stop().await.success());
        assert!(!bench.said().contains("hush"), "{}", bench.said());
        let is_postgres = bench.place.is_postgres();
        let hex = if is_postgres { "encode(raw, 'hex')" } else { "lower(hex(raw))" };
        let hex = format!("SELECT {hex} FROM rejected_line ORDER BY log_offset");
        let raw = async || bench.place.texts(&hex).await.concat();
        let in_hex = |bytes: &[u8]| bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let stars = b"GET /?password=********&a=b HTTP/1.1 Bearer ********\xff\xfe token=********&c=d\
                      http://********@h/ ********";
        assert_eq!(raw().await, in_hex(stars));
        bench.balanced().await;
        // The digest is that of the file, and the rejects are what the file says, by either setting.
        for flags in [&[][..], &["--keep-raw-rejects"]] {
            let told = bench.verified(flags);
            assert_eq!((told.sum("rejected"), told.sum("differences")), (3, 0), "{flags:?}");
        }
        let said = bench.succeed(&["reparse", "--dry-run", "--format", "gunicorn"]);
        assert!(said.contains("3 still rejected: its secrets are masked"), "{said}");
        // The file tells what was masked; so the row is what it would have been.
        let log = bench.log("access.log");
        bench.succeed(&["reparse", "--rows", "--file", log.to_str().unwrap(), "--keep-raw-rejects"]);
        let exact = [secret.trim_end().as_bytes(), &odd].concat();
        let exact: Vec<u8> = exact.into_iter().filter(|byte| !b"\r\n".contains(byte)).collect();
        assert_eq!(raw().await, in_hex(&exact));
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rejected"), told.sum("differences")), (3, 0));
        bench.succeed(&["reparse", "--rows", "--file", log.to_str().unwrap()]);
        assert_eq!(raw().await, in_hex(stars));
        // Another reject in its place is a difference.
        let other = if is_postgres { "'other'::bytea" } else { "X'6f'" };
        bench.place.execute(&format!("UPDATE rejected_line SET raw = {other}")).await;
        bench.differs(&[]);
    }
}
