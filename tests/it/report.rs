//! `report`: one file with the overview of a range, for people who do not reach the page.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use base64ct::{Base64, Encoding};
use sha2::{Digest, Sha256};

use crate::daemon::{Bench, for_each_store, line_at};
use crate::place::{Place, until};

/// Texts that would become markup, or leave their attribute, if a value were not escaped.
const HOSTILE: [&str; 6] = [
    "<script>alert(1)</script>",
    "<img/src=x/onerror=alert(1)>",
    "</title></style></script><script>alert(1)</script>",
    "x'onmouseover='alert(1)",
    "&lt;b&gt;",
    "\u{202e}gnirts\u{202c}",
];

/// Microseconds since 1970.
fn now() -> i64 {
    chrono::Utc::now().timestamp_micros()
}

/// A line with this status, a minute after the last one.
fn line(url: &str, code: u16, minutes_ago: i64) -> String {
    line_at(url, now() - minutes_ago * 60_000_000).replace("\" 200 2 ", &format!("\" {code} 2 "))
}

/// The value of a tile, and what stands below it.
fn tile(html: &str, name: &str) -> String {
    let begin = format!("<dt>{name}</dt><dd>");
    let (_, rest) = html.split_once(&begin).unwrap_or_else(|| panic!("no {name}: {html}"));
    let (tile, _) = rest.split_once("</div>").unwrap();
    tile.replace("</dd><dd class=\"sub\">", ", ").replace("</dd>", "")
}

/// The list under this heading, from one to the next.
fn list<'h>(html: &'h str, title: &str) -> &'h str {
    let begin = format!("<h2>{title}</h2>");
    let (_, rest) = html.split_once(&begin).unwrap_or_else(|| panic!("no {title}: {html}"));
    rest.split("<h2").next().unwrap()
}

for_each_store! {
    async fn a_report_counts_what_is_stored_and_says_what_is_not(bench) {
        let good: String = (0..20).map(|nth| line(&format!("/good/{}?n={nth}", nth % 2), 200, 90)).collect();
        let bad = line("/bad", 503, 80) + &line("/bad", 500, 70) + &line("/missing", 404, 60);
        bench.append("access.log", good + &bad + "nonsense <b>\n");
        bench.append("half.log", "no end");
        let daemon = bench.watch_with(&["--exclude-path", "/good/1"]);
        bench.rows(13).await;
        let ignored = "SELECT count(*) FROM ignored_file";
        until("the half line is ignored", async || bench.place.number(ignored).await == 1).await;
        assert!(daemon.stop().await.success());
        bench.place.execute("UPDATE log_file SET lost_bytes = 1234").await;

        let file = bench.aside("report.html");
        let path = file.to_str().unwrap();
        let said = bench.succeed(&["report", "--since", "24h", "-o", path]);
        assert!(said.starts_with(&format!("'{path}' has 13 requests from 20")), "{said}");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let html = fs::read_to_string(&file).unwrap();
        assert!(tile(&html, "Requests").starts_with("13, "), "{html}");
        assert_eq!(tile(&html, "Client errors"), "7.7%, 1 of 4xx");
        assert_eq!(tile(&html, "Server errors"), "15%, 2 of 5xx");
        assert_eq!(tile(&html, "Sent"), "26\u{a0}B, 2\u{a0}B each");
        assert_eq!(tile(&html, "Median time"), "–, half are faster", "the format has none");
        for (title, value, number) in [
            ("URLs", "/good/0", "<td>10</td>"),
            ("URLs with server errors", "/bad", "<td>2</td>"),
            ("URLs with client errors", "/missing", "<td>1</td>"),
            ("Addresses", "127.0.0.1", "<td>13</td>"),
            ("User agents", "curl/8", "<td>13</td>"),
            ("Users", "<span class=\"none\">none</span>", "<td>13</td>"),
            ("Newest server errors", "/bad", "<td>503</td>"),
        ] {
            let list = list(&html, title);
            assert!(list.contains(value) && list.contains(number), "{title}: {list}");
        }
        assert!(!list(&html, "URLs with server errors").contains("/missing"));
        assert!(list(&html, "Slowest URLs").contains("No durations in this range"));
        let rejects = list(&html, "Rejected lines");
        assert!(rejects.contains("<strong class=\"bad\">1</strong>"), "{rejects}");
        assert!(rejects.contains("<pre>nonsense &lt;b&gt;</pre>"), "{rejects}");
        let lost = list(&html, "Lost and waiting");
        assert!(lost.contains("1.23\u{a0}kB were lost") && lost.contains("10 lines were left out"), "{lost}");
        let ignored = list(&html, "Ignored files");
        assert!(ignored.contains("half.log") && ignored.contains("no_line: no complete line yet"), "{ignored}");

        // The same on standard output, but for the moment at which it was made.
        let again = bench.succeed(&["report", "--since", "24h", "--output", "-"]);
        let without = |html: &str| html.lines().filter(|it| !it.contains("Made at")).collect::<String>();
        assert_eq!(without(&again).len(), without(&html).len());
        // Another server has none of it, and a range before has nothing.
        let elsewhere = bench.succeed(&["report", "--server", "other", "-o", "-"]);
        assert!(tile(&elsewhere, "Requests").starts_with("0, "), "{elsewhere}");
        assert!(!elsewhere.contains("nonsense") && !elsewhere.contains("half.log"), "{elsewhere}");
        let before = bench.succeed(&["report", "--since", "9d", "--until", "3d", "-o", "-"]);
        assert!(tile(&before, "Requests").starts_with("0, ") && !before.contains("nonsense"), "{before}");
        assert!(before.contains("No requests in this range") && before.contains("None in this range"));
    }

    async fn values_of_a_log_are_text_in_a_report(bench) {
        let mut text = String::new();
        for (nth, hostile) in HOSTILE.iter().enumerate() {
            let line = line(&format!("/{hostile}"), 500, 5 + nth as i64);
            text += &line.replace("curl/8", hostile).replace(" - - [", &format!(" - {hostile} ["));
            text += &format!("rejected {hostile}\n");
        }
        let name = "<img src=x onerror=alert(1)>.log";
        bench.append(name, &text);
        let path = bench.log(name);
        let host = ["--host", "</p><script>alert(1)</script>"];
        bench.succeed(&[&["import", path.to_str().unwrap(), "--format", "gunicorn"], &host[..]].concat());
        let html = bench.succeed(&["report", "--since", "1d", "-o", "-"]);
        assert!(html.contains("&lt;img/src=x/onerror=alert(1)&gt;"), "{html}");
        assert!(html.contains("\\u{202e}gnirts"), "{html}");
        // All markup is that of a report without a row.
        let empty = Bench::new(Place::sqlite().await).await;
        let known = names(&empty.succeed(&["report", "-o", "-"]));
        let more = ["pre", "table", "caption", "thead", "tbody", "th", "td", "tr", "path", "text", "rect"];
        for found in names(&html) {
            let is_known = known.contains(&found) || more.contains(&found.as_str());
            assert!(is_known || ["details", "summary", "strong", "li"].contains(&found.as_str()), "<{found}>");
        }
        for word in ["<script", "onerror=alert(1)>", " onmouseover='", "<b>", "javascript:"] {
            assert!(!html.contains(word), "{word}");
        }
        // The policy allows the one style sheet that is there, and nothing else.
        let (_, rest) = html.split_once("<style>").unwrap();
        let (styles, rest) = rest.split_once("</style>").unwrap();
        assert!(!rest.contains("<style") && !rest.contains(" style="), "{rest}");
        let digest = Base64::encode_string(&Sha256::digest(styles));
        let policy = format!("content=\"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'\"");
        assert!(html.contains(&policy), "{html}");
        // No element has an attribute that loads something.
        let tags = html.split('<').skip(1).map(|tag| tag.split('>').next().unwrap());
        for tag in tags.filter(|tag| tag.starts_with(|it: char| it.is_ascii_alphabetic())) {
            for attribute in [" src=", " href=", " srcset=", " data=", " action=", " on"] {
                assert!(!tag.contains(attribute), "<{tag}>");
            }
        }
        assert!(!styles.contains("url(") && !styles.contains("@import"));
    }
}

/// The names of all elements.
fn names(html: &str) -> Vec<String> {
    let (_, body) = html.split_once("</style>").unwrap();
    let begins = body.split('<').skip(1);
    let mut names: Vec<String> = begins
        .map(|tag| {
            tag.trim_start_matches('/').chars().take_while(char::is_ascii_alphanumeric).collect()
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_reported_is_said_and_no_file_is_written() {
    let bench = Bench::new(Place::sqlite().await).await;
    let file = bench.aside("report.html");
    let path = file.to_str().unwrap();
    let nowhere = bench.aside("none/report.html");
    for (flags, code, part) in [
        (&["--since", "soon", "-o", path][..], 2, "--since: 'soon' is not a moment"),
        (&["--since", "1d", "--until", "2d", "-o", path], 2, "is not before the end of the range"),
        (&["--since", "1d"], 2, "--output <FILE>"),
        (&["-o", nowhere.to_str().unwrap()], 1, "cannot write '"),
        (&["-o", path, "--database-url", "sqlite:/does/not/exist"], 1, "/does/not/exist"),
    ] {
        let output = bench.run(&[&["report"], flags].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {said}");
        assert!(said.contains(part), "{flags:?}: {said}");
        assert!(!file.exists() && output.stdout.is_empty(), "{flags:?}");
    }
    // A full disk is an error, and not half a report.
    let output = bench.run(&["report", "-o", "/dev/full"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("cannot write '/dev/full'"));
}
