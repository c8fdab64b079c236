//! Flags, help and times on the command line: the same for every command.

use std::fs;
use std::process::Output;

use serde_json::Value;

use crate::daemon::{Bench, Daemon, ToEnd, for_each_store, line, line_at, lines, urls};
use crate::place::{DAY, NOW, Place};
use crate::ports::Port;

/// All commands that are shown.
pub(crate) const COMMANDS: [&str; 20] = [
    "watch",
    "serve",
    "import",
    "check",
    "status",
    "query",
    "top",
    "report",
    "verify",
    "reparse",
    "forget",
    "cleanup",
    "migrate",
    "copy",
    "rename-host",
    "hash-password",
    "healthcheck",
    "doctor",
    "export",
    "completions",
];

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_help_of_a_command_shows_what_it_uses_and_two_examples() {
    let bench = Bench::new(Place::sqlite().await).await;
    let all = bench.succeed(&["--help"]);
    for command in COMMANDS {
        assert!(all.contains(&format!("\n  {command} ")), "{command} is not in: {all}");
        let help = bench.succeed(&[command, "-h"]);
        let (_, examples) = help.split_once("Examples:\n").unwrap();
        let begins = format!("  log-ingestd {command}");
        assert_eq!(examples.lines().filter(|line| line.starts_with(&begins)).count(), 2, "{help}");
        let uses = |flag: &str| help.contains(&format!("\n      --{flag} "));
        for (flag, of) in [
            ("database-url", &["check", "copy", "healthcheck", "hash-password", "completions"][..]),
            ("config", &["hash-password", "completions"]),
        ] {
            assert_eq!(uses(flag), !of.contains(&command), "--{flag} of {help}");
        }
        for (flag, of) in [
            ("poll-interval", &["watch"][..]),
            ("watch", &["doctor"]),
            ("listen", &["watch", "serve", "healthcheck"]),
            ("auth-file", &["watch", "serve"]),
            ("masking", &["watch", "import", "check", "verify", "reparse"]),
            ("rollup-retention", &["watch", "serve", "cleanup"]),
        ] {
            assert_eq!(uses(flag), of.contains(&command), "--{flag} of {help}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_stand_before_or_after_the_command_and_the_later_one_counts() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..3));
    let log = bench.log("access.log");
    let log = log.to_str().unwrap();
    // Of no use to the command, and no fault: scripts give the same flags to all.
    for flags in [["--retention", "3d"], ["--masking", "exact"], ["--connect-timeout", "1s"]] {
        for typed in
            [[&["check", log], &flags[..]].concat(), [&flags[..], &["check", log]].concat()]
        {
            assert!(bench.succeed(&typed).contains("3 lines: 3 would be stored"), "{typed:?}");
        }
    }
    // A flag of the daemon would do nothing, and is refused.
    let refused = bench.run(&["check", log, "--poll-interval", "1s"]);
    assert_eq!(refused.status.code(), Some(2), "{}", said(&refused));

    let (one, two) = (Port::reserve(), Port::reserve()); // no daemon listens there
    let [one, two] = [one.number(), two.number()].map(|port| format!("127.0.0.1:{port}"));
    for (typed, asked) in [
        (vec!["healthcheck", "--listen", &one], &one),
        (vec!["--listen", &one, "healthcheck"], &one),
        (vec!["--listen", &two, "healthcheck", "--listen", &one, "--ready"], &one),
    ] {
        let output = bench.command(&typed).env("LOG_INGESTD_LISTEN", &two).to_end();
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said(&output).contains(&format!("no answer from http://{asked}/")),
            "{}",
            said(&output)
        );
    }
    let mut of_environment = bench.command(&["healthcheck"]);
    let output = of_environment.env("LOG_INGESTD_LISTEN", &two).to_end();
    assert!(said(&output).contains(&format!("no answer from http://{two}/")), "{}", said(&output));
}

for_each_store! {
    async fn a_path_after_watch_is_followed(bench) {
        for name in ["one", "two", "three"] {
            fs::create_dir(bench.aside(name)).unwrap();
            fs::write(bench.aside(&format!("{name}/access.log")), lines(name, 0..10)).unwrap();
        }
        let path = |name: &str| bench.aside(name).to_str().unwrap().to_owned();
        let start = |arguments: &[&str]| {
            let mut command = bench.command(arguments);
            command.env("LOG_INGESTD_WATCH", path("three"));
            Daemon::start(command, bench.aside("stderr"))
        };
        let (one, two) = (path("one"), path("two"));
        let mut daemon = start(&["watch", &one, "--poll-interval", "100ms"]);
        daemon.says(&format!("watching paths=\"{one}\"")).await;
        daemon.says("caught up: 10 lines stored").await;
        bench.exactly(urls("one", 0..10)).await;
        assert!(daemon.stop().await.success());
        let mut daemon = start(&[&format!("--watch={one}"), "watch", &two]);
        daemon.says(&format!("watching paths=\"{one} {two}\"")).await;
        bench.exactly([urls("one", 0..10), urls("two", 0..10)].concat()).await;
        assert!(daemon.stop().await.success());
        // Without one, the settings say which.
        let mut daemon = start(&["watch"]);
        daemon.says(&format!("watching paths=\"{}\"", path("three"))).await;
        bench.rows(30).await;
        assert!(daemon.stop().await.success());
        let nothing = bench.run(&["watch"]);
        assert_eq!(nothing.status.code(), Some(2));
        assert!(said(&nothing).contains("nothing to do"), "{}", said(&nothing));
    }

    async fn times_are_ages_days_or_moments_for_each_command(bench) {
        let now = chrono::Utc::now().timestamp_micros();
        let begin = now - now.rem_euclid(DAY); // of today
        for (url, at) in [
            ("/old", begin - 2 * DAY), ("/yesterday", begin - DAY), ("/today", begin),
        ] {
            bench.append("access.log", line_at(url, at));
        }
        bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
        let found = |flags: &[&str]| {
            let log = bench.succeed(&[&["query", "--output", "jsonl", "--oldest-first"], flags].concat());
            let rows = log.lines().map(|row| serde_json::from_str::<Value>(row).unwrap());
            rows.map(|row| row["url"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let day = |at| {
            chrono::DateTime::from_timestamp_micros(at).unwrap().format("%Y-%m-%d").to_string()
        };
        assert_eq!(found(&["--since", "today"]), ["/today"]);
        assert_eq!(found(&["--since", "yesterday"]), ["/yesterday", "/today"]);
        assert_eq!(found(&["--since", "yesterday", "--until", "today"]), ["/yesterday"]);
        assert_eq!(found(&["--since", &day(begin - 2 * DAY), "--until", "yesterday"]), ["/old"]);
        assert_eq!(found(&["--since", "72h"]).len(), 3);
        let top = bench.succeed(&["top", "urls", "--since", "yesterday", "--json"]);
        assert_eq!(serde_json::from_str::<Value>(&top).unwrap()["counted"], 2);
        let counted = bench.succeed(&["cleanup", "--older-than", &day(begin), "--dry-run"]);
        assert!(counted.contains("2 gunicorn_log"), "{counted}");
        bench.succeed(&["cleanup", "--older-than", "yesterday"]);
        assert_eq!(found(&["--since", "72h"]), ["/yesterday", "/today"]);
        for typed in [
            &["migrate", "--days", "1", "--since", "2d"][..],
            &["migrate", "--days", "1", "--since", &day(begin - DAY)],
            &["migrate", "--days", "1", "--since", "yesterday"],
        ] {
            bench.succeed(typed);
        }
        for typed in [
            &["query", "--since", "soon"][..],
            &["top", "urls", "--until", "soon"],
            &["cleanup", "--older-than", "soon"],
            &["migrate", "--days", "1", "--since", "soon"],
        ] {
            let output = bench.run(typed);
            assert_eq!(output.status.code(), Some(2), "{typed:?}");
            let said = said(&output);
            assert!(said.contains("'soon' is not a moment: expected an age such as 15m"), "{said}");
            assert!(said.contains("a day such as 2026-11-23, today or yesterday"), "{said}");
        }
    }

    async fn times_are_printed_in_the_zone_that_is_asked_for(bench) {
        bench.append("access.log", line_at("/a", NOW));
        bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
        let there = |arguments: &[&str]| {
            let mut command = bench.command(arguments);
            let output = command.env("TZ", "EST5").to_end();
            assert!(output.status.success(), "{}", said(&output));
            said(&output)
        };
        let local = "2026-11-23T03:41:00-05:00";
        let since = ["query", "--local", "--since", "2026-11-23 03:41", "--until", "2026-11-23T03:42:00"];
        assert!(there(&since).contains(local), "{}", there(&since));
        let utc = ["query", "--utc", "--since", "2026-11-23 08:41", "--until", "2026-11-23 08:42"];
        assert!(there(&utc).contains("2026-11-23T08:41:00Z"), "{}", there(&utc));
        let top = there(&["top", "urls", "--local", "--since", "2026-11-23"]);
        assert!(top.contains("from 2026-11-23T00:00:00-05:00 to "), "{top}");
        let status = there(&["status", "--all", "--local"]);
        assert!(status.contains("-05:00") && !status.contains("Z\n"), "{status}");
        let cleanup = there(&["cleanup", "--dry-run", "--local", "--older-than", "2026-11-23"]);
        assert!(cleanup.contains("older than 2026-11-23T00:00:00-05:00"), "{cleanup}");
        let both = bench.run(&["status", "--utc", "--local"]);
        assert_eq!(both.status.code(), Some(2), "{}", said(&both));
    }

    async fn a_page_without_a_daemon_shows_what_others_store(bench) {
        bench.append("access.log", lines("a", 0..3));
        bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
        let serve = |flags: &[&str]| bench.command(&[&["serve"], flags].concat());
        let command = serve(&["--listen", "127.0.0.1:0"]);
        let mut daemon = Daemon::start(command, bench.aside("stderr"));
        daemon.says("serving the page; no file is followed").await;
        let site = crate::page::client::Site::of(daemon).await;
        assert_eq!(site.get("/readyz").body, "ok\n");
        let log = site.get("/api/log?from=2026-11-23&to=2026-11-24").body;
        assert!(log.contains("/a/2"), "{log}");
        // What stores lines meanwhile is another process; the page stores none.
        bench.append("access.log", line("/b"));
        bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
        assert!(site.get("/api/log?from=2026-11-23&to=2026-11-24").body.contains("\"/b\""));
        let owners = "SELECT count(*) FROM log_file WHERE closed_at IS NULL AND owner LIKE '%:'";
        assert_eq!(bench.place.number(owners).await, 0);
        assert!(site.daemon.stop().await.success());

        let off = serve(&["--listen", "off"]).to_end();
        assert_eq!(off.status.code(), Some(2));
        assert!(said(&off).contains("nothing to serve"), "{}", said(&off));
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let refused = serve(&["--listen", &address]).to_end();
        assert_eq!(refused.status.code(), Some(1));
        assert!(said(&refused).contains(&format!("cannot listen on {address}")), "{}", said(&refused));
    }
}
