//! Lines of the server itself among access lines: kept as rejects, or left out by
//! `--exclude-server-log`.

use std::fs;

use crate::daemon::{Bench, Daemon, ToEnd, for_each_store, lines, urls};
use crate::place::Place;

const OFF: &[&str] = &[];
const ON: &[&str] = &["--exclude-server-log"];

const START: &str = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n";
const INVALID: &str = "[2026-11-23 14:23:18 +0530] [24746] [WARNING] Invalid request from ip=10.0.0.9: \
                       'GET /x HTTP/1.1'\n";

/// Five access lines, two lines of the server, and one that is neither.
fn log() -> String {
    lines("a", 0..3) + START + INVALID + "garbage\n" + &lines("b", 0..2)
}

fn urls_of_log() -> Vec<String> {
    [urls("a", 0..3), urls("b", 0..2)].concat()
}

async fn counts(bench: &Bench) -> [i64; 3] {
    let mut counts = [0; 3];
    for (count, column) in counts.iter_mut().zip(["lines", "rejected", "excluded"]) {
        let sum = format!("SELECT CAST(coalesce(sum({column}), 0) AS bigint) FROM log_file");
        *count = bench.place.number(&sum).await;
    }
    counts
}

fn with<'a>(command: &[&'a str], flags: &[&'a str]) -> Vec<&'a str> {
    command.iter().chain(flags).copied().collect()
}

for_each_store! {
    async fn a_daemon_leaves_them_out_and_counts_them(bench) {
        bench.append("access.log", log());
        let daemon = bench.watch_with(ON);
        bench.exactly(urls_of_log()).await;
        bench.append("access.log", START.to_owned() + &lines("c", 0..1));
        bench.exactly([urls_of_log(), urls("c", 0..1)].concat()).await;
        assert!(daemon.stop().await.success());
        assert_eq!(counts(&bench).await, [10, 1, 3]);
        let codes = bench.place.texts("SELECT code FROM rejected_line").await;
        assert_eq!(codes, ["unlike_format"]);
        bench.succeed(&with(&["verify"], ON));
    }

    /// Verify reads by the setting of its own command line, as for other exclusions; a reject that was
    /// kept has the bytes of the file in any case.
    async fn an_import_a_check_and_verify_agree(bench) {
        let file = bench.aside("old.log");
        fs::write(&file, log()).unwrap();
        let path = file.to_str().unwrap();
        for (flags, words) in [(OFF, "3 rejected, 0 left out"), (ON, "1 rejected, 2 left out")] {
            let output = bench.run(&with(&["check", path], flags));
            let shown = String::from_utf8(output.stdout).unwrap();
            assert!(shown.contains(words), "{flags:?}: {shown}");
            assert_eq!(shown.contains("line of the server itself"), flags.is_empty(), "{shown}");
        }
        bench.succeed(&with(&["import", path], ON));
        bench.exactly(urls_of_log()).await;
        assert_eq!(counts(&bench).await, [8, 1, 2]);
        let verified = bench.succeed(&with(&["verify", path], ON));
        assert!(verified.contains("5 rows + 1 rejected + 2 excluded"), "{verified}");
        let differs = bench.run(&with(&["verify", path], OFF));
        assert_eq!(differs.status.code(), Some(1), "{differs:?}");

        bench.succeed(&["forget", path, "--yes"]);
        bench.succeed(&with(&["import", path], OFF));
        assert_eq!(counts(&bench).await, [8, 3, 0]);
        for flags in [OFF, ON] {
            let verified = bench.succeed(&with(&["verify", path], flags));
            assert!(verified.contains("5 rows + 3 rejected + 0 excluded"), "{verified}");
        }
    }

    async fn in_a_container_they_are_left_out_of_standard_output_too(bench) {
        let wrapped = |line: &str| format!("2026-11-23T08:53:17.000000001Z stdout F {line}\n");
        let log: String = log().lines().map(wrapped).collect();
        let file = bench.aside("0.log");
        fs::write(&file, log).unwrap();
        bench.succeed(&with(&["import", file.to_str().unwrap()], ON));
        bench.exactly(urls_of_log()).await;
        assert_eq!(counts(&bench).await, [8, 1, 2]);
        bench.succeed(&with(&["verify", file.to_str().unwrap()], ON));
    }

    /// A user's name may hold a newline, and what follows it may look like a line of the server. The
    /// record is a row all the same: a client cannot have its own request left out.
    async fn a_record_that_looks_like_one_of_them_is_a_row(bench) {
        let forged = "127.0.0.1 - jo\n[2026-11-23 14:23:17 +0530] [1] [INFO] x [23/Nov/2026:08:41:00 \
                      +0000] \"GET /forged HTTP/1.1\" 200 2 \"-\" \"curl/8\"\n";
        let file = bench.aside("old.log");
        fs::write(&file, lines("a", 0..5) + forged).unwrap();
        for flags in [OFF, ON] {
            bench.succeed(&with(&["import", file.to_str().unwrap()], flags));
            bench.exactly([urls("a", 0..5), vec!["/forged".to_owned()]].concat()).await;
            assert_eq!(counts(&bench).await, [7, 1, 0], "{flags:?}");
            bench.succeed(&["forget", file.to_str().unwrap(), "--yes"]);
        }
    }
}

/// A log of nothing but such lines is still Gunicorn's error log, and not followed.
#[tokio::test(flavor = "multi_thread")]
async fn an_error_log_is_ignored_with_the_setting_too() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("error.log", START.repeat(3));
    bench.append("access.log", lines("a", 0..3));
    let format = ["--format", "gunicorn", "--exclude-server-log"];
    let mut daemon = bench.watch_with(&format);
    daemon.says("this is Gunicorn's error log: left alone").await;
    bench.exactly(urls("a", 0..3)).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_setting_has_a_flag_a_variable_and_a_key() {
    const VARIABLE: &str = "LOG_INGESTD_EXCLUDE_SERVER_LOG";
    let bench = Bench::new(Place::sqlite().await).await;
    let (file, config) = (bench.aside("old.log"), bench.aside("config.toml"));
    fs::write(&file, log()).unwrap();
    let check = ["check", file.to_str().unwrap(), "--config", config.to_str().unwrap()];
    let excluded = |toml: &str, variable: Option<&str>, flags: &[&str]| {
        fs::write(&config, toml).unwrap();
        let mut command = bench.command(&with(&check, flags));
        command.envs(variable.map(|value| (VARIABLE, value)));
        let output = command.to_end();
        (String::from_utf8_lossy(&output.stdout).contains("2 left out"), output)
    };
    let key = "exclude-server-log = true";
    for (toml, variable, flags, right) in [
        ("", None, OFF, false),
        ("", None, ON, true),
        (key, None, OFF, true),
        (key, None, &["--exclude-server-log=false"][..], false),
        (key, Some("false"), OFF, false),
        ("exclude-server-log = false", Some("true"), OFF, true),
    ] {
        let (is_excluded, output) = excluded(toml, variable, flags);
        assert_eq!(is_excluded, right, "{toml} {variable:?} {flags:?}: {output:?}");
    }
    for (toml, variable, flags, words) in [
        ("exclude-server-log = \"yes\"", None, OFF, "expected true or false"),
        ("", Some("yes"), OFF, "[possible values: true, false]"),
        ("", None, &["--exclude-server-log=yes"][..], "[possible values: true, false]"),
    ] {
        let (_, output) = excluded(toml, variable, flags);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{said}");
    }
    let logs = bench.logs();
    let arguments = ["--exclude-server-log", "--watch", logs.to_str().unwrap()];
    let daemon = Daemon::start(bench.command(&arguments), bench.aside("stderr"));
    bench.append("access.log", log());
    bench.exactly(urls_of_log()).await;
    assert!(daemon.stop().await.success());
    assert_eq!(counts(&bench).await, [8, 1, 2]);
}
