//! A given format that reads none of a file's first lines is reported at once, with what would read them.

use std::fs;
use std::ops::Range;

use crate::daemon::{Bench, for_each_store, line, lines, urls};

const NONE: &str = "the given format reads none of the first";
const IN_PART: &str = "the given format reads the first";

/// Lines of a log that say so.
fn told(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains(NONE) || line.contains(IN_PART)).collect()
}

fn common(prefix: &str, numbers: Range<u32>) -> String {
    lines(prefix, numbers).replace(" \"-\" \"curl/8\"", "")
}

fn composed(lines: &str) -> String {
    lines.lines().map(|line| format!("web-1  | {line}\n")).collect()
}

/// What import and check say of a file with this content.
fn said_of_both(bench: &Bench, content: impl AsRef<[u8]>, format: &str) -> [String; 2] {
    let file = bench.aside("old.log");
    fs::write(&file, content).unwrap();
    let path = file.to_str().unwrap();
    let imported = bench.run(&["import", path, "--format", format]);
    assert!(imported.status.success(), "{imported:?}");
    let imported = String::from_utf8(imported.stderr).unwrap();
    let checked = bench.run(&["check", path, "--format", format]);
    let checked = String::from_utf8(checked.stdout).unwrap();
    bench.succeed(&["forget", path, "--yes"]);
    [imported, checked]
}

for_each_store! {
    async fn a_daemon_tells_of_each_such_file_once(bench) {
        bench.append("wrong.log", lines("w", 0..60));
        bench.append("right.log", common("a", 0..60));
        // One line in fifty is enough.
        bench.append("mixed.log", lines("x", 0..30) + &common("b", 0..1));
        let daemon = bench.watch_with(&["--format", "common"]);
        bench.exactly([urls("a", 0..60), urls("b", 0..1)].concat()).await;
        bench.append("wrong.log", lines("w", 60..70));
        bench.append("right.log", common("a", 60..61));
        bench.exactly([urls("a", 0..61), urls("b", 0..1)].concat()).await;
        assert!(daemon.stop().await.success());
        let said = bench.said();
        let warnings = told(&said);
        assert_eq!(warnings.len(), 1, "{said}");
        for words in [
            "WARN",
            "wrong.log",
            "the given format reads none of the first 50 lines of this file: \
             `--format 'gunicorn'` reads them",
        ] {
            assert!(warnings[0].contains(words), "{warnings:?}");
        }
        // The next start says it again, and what it says helps.
        let daemon = bench.watch_with(&["--format", "common"]);
        bench.append("right.log", common("a", 61..62));
        bench.exactly([urls("a", 0..62), urls("b", 0..1)].concat()).await;
        assert!(daemon.stop().await.success());
        assert_eq!(told(&bench.said()).len(), 1);
        bench.succeed(&["forget", bench.log("wrong.log").to_str().unwrap(), "--yes"]);
        let wrong = bench.log("wrong.log");
        bench.succeed(&["import", wrong.to_str().unwrap(), "--format", "gunicorn"]);
        bench.exactly([urls("a", 0..62), urls("b", 0..1), urls("w", 0..70)].concat()).await;
    }

    async fn an_import_and_a_check_say_what_would_read_the_lines(bench) {
        // Of two forms, so that neither can be made into a format.
        let odd = |nth: u32| {
            let tail = if nth == 0 { "(x" } else { "[tr-1] \u{7}\" " };
            line(&format!("/a/{nth}")).replace('\n', &format!(" {tail}\n"))
        };
        let odd: String = (0..2).map(odd).collect();
        let inferred = r#"`--format '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" rt=%"#;
        let made: String = lines("a", 0..3).lines().map(|it| format!("{it} rt=0.012\n")).collect();
        let enveloped: String = composed(&lines("a", 0..3))
            .lines()
            .map(|it| format!("2026-11-23T08:53:17.000000001Z stdout F {it}\n"))
            .collect();
        for (content, format, words) in [
            (lines("a", 0..3), "common", "first 3 lines of this file: `--format 'gunicorn'` reads"),
            (odd, "common", "reads 0 of 2; of line 1 it reads"),
            (made, "gunicorn", inferred),
            ("garbage\n".repeat(60), "gunicorn", "first 50 lines of this file, and no known one does"),
            (enveloped, "common", "first 3 lines of this file: `--format 'after-compose %(h)s %(l)s"),
            // It can be read: the value of %(h)s has not the shape of an address.
            (
                composed(&lines("a", 0..3)),
                "gunicorn",
                "their columns: `--format 'after-compose %(h)s",
            ),
        ] {
            for said in said_of_both(&bench, &content, format) {
                let warnings = told(&said);
                assert_eq!(warnings.len(), 1, "{format} {content}: {said}");
                assert!(warnings[0].contains(words), "{format} {content}: {said}");
            }
        }
    }

    /// A line of the server itself is none that the format should read, and an excluded request is read.
    async fn lines_that_say_nothing_of_the_format_are_no_reason(bench) {
        let start = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n";
        bench.append("access.log", start.repeat(55) + &line("/a/0"));
        bench.append("health.log", line("/health/").repeat(60));
        // Names of hosts are no addresses by any format.
        bench.append("names.log", line("/b/0").replacen("127.0.0.1", "web.example", 1));
        let daemon = bench.watch_with(&["--format", "gunicorn", "--exclude-path", "/health/"]);
        bench.exactly([urls("a", 0..1), urls("b", 0..1)].concat()).await;
        assert!(daemon.stop().await.success());
        assert!(told(&bench.said()).is_empty(), "{}", bench.said());
    }
}
