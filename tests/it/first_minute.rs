//! What a daemon says in its first minute: where the page and the rows are, what is followed and how it is
//! read, when all of it is stored, and what Gunicorn could add.

use std::process::Command;

use crate::daemon::{Bench, Daemon, for_each_store, line, lines};
use crate::place::Place;

/// The messages without their times.
fn messages(daemon: &Daemon) -> Vec<String> {
    let said = daemon.said();
    said.lines().map(|line| line.split_once(' ').unwrap().1.trim().to_owned()).collect()
}

/// Where a message stands among the others.
#[track_caller]
fn place_of(messages: &[String], words: &str) -> usize {
    let found = messages.iter().position(|message| message.contains(words));
    found.unwrap_or_else(|| panic!("it never says '{words}': {messages:#?}"))
}

for_each_store! {
    async fn a_start_says_where_all_is_and_when_all_is_stored(bench) {
        bench.append("access.log", lines("a", 0..1999) + "no line of ours\n" + &line("/health/"));
        bench.append("empty.log", "");
        let mut daemon =
            bench.watch_with(&["--listen", "127.0.0.1:0", "--exclude-path", "/health/"]);
        daemon.says("caught up").await;
        let said = messages(&daemon);
        let logs = bench.logs();
        let places = [
            "the page is at http://127.0.0.1:".to_owned(),
            format!("watching paths=\"{}\" store=", logs.display()),
            "log-ingestd query --database-url ".to_owned(),
            format!("path={}/access.log format=\"gunicorn\" source=\"preset\"", logs.display()),
            "caught up: 2,001 lines stored, 1 rejected, 1 left out".to_owned(),
        ];
        let places = places.map(|words| place_of(&said, &words));
        assert!(places.is_sorted(), "{said:#?}");
        // The next look, and more lines, change nothing.
        bench.append("access.log", lines("b", 0..10));
        bench.rows(2009).await;
        bench.swept(1).await;
        assert!(!daemon.said().contains("swept"), "nothing was old enough: {}", daemon.said());
        assert_eq!(daemon.said().matches("caught up").count(), 1, "{}", daemon.said());
        // The hint works as it stands; it has no password, which another place has.
        let hint = messages(&daemon).into_iter().find(|it| it.contains("look into it")).unwrap();
        let (_, hint) = hint.split_once("look into it with: ").unwrap();
        let script = format!("{hint} --since 2026-11-23 --limit 3");
        let mut shell = Command::new("sh");
        let table = shell.args(["-c", &script]).env_clear().output().unwrap();
        let table = String::from_utf8(table.stdout).unwrap();
        assert_eq!(table.lines().filter(|row| row.contains(" /b/")).count(), 3, "{table}");
        assert!(daemon.stop().await.success());
        let mut daemon = bench.watch();
        daemon.says("caught up: 0 lines stored, 0 rejected").await;
        let said = daemon.said();
        assert!(said.contains("following on") && said.contains("format=\"gunicorn\""), "{said}");
        assert!(daemon.stop().await.success());
    }

    async fn one_line_is_not_many(bench) {
        bench.append("access.log", line("/a"));
        let mut daemon = bench.watch();
        daemon.says("caught up: 1 line stored, 0 rejected\n").await;
        assert!(daemon.stop().await.success());
    }

    async fn what_gunicorn_could_add_is_said_once(bench) {
        bench.append("access.log", lines("a", 0..10));
        bench.append("other.log", lines("b", 0..10));
        let mut daemon = bench.watch();
        daemon.says("caught up").await;
        let said = daemon.said();
        let advice = "these lines have no duration and no host: if Gunicorn writes them, give it \
                      --access-logformat '%(h)s %(l)s %(u)s %(t)s \"%(r)s\" %(s)s %(b)s \"%(f)s\" \
                      \"%(a)s\" host=\"%({host}i)s\" duration=%(D)sus' and a new log file";
        assert_eq!(said.matches(advice).count(), 1, "{said}");
        assert!(daemon.stop().await.success());
        // Such lines are read without a --format.
        let better = line("/c").replace("\"curl/8\"", "\"curl/8\" host=\"shop.example\" duration=1500us");
        bench.append("better.log", better.repeat(20));
        let mut daemon = bench.watch();
        daemon.says("caught up: 20 lines stored, 0 rejected").await;
        assert!(!daemon.said().contains("these lines have no"), "{}", daemon.said());
        assert!(daemon.stop().await.success());
        let complete = "SELECT count(*) FROM gunicorn_log
                         WHERE duration = 1500 AND host = 'shop.example'";
        assert_eq!(bench.place.number(complete).await, 20);
    }

    async fn another_format_than_before_is_announced_once(bench) {
        bench.append("access.log", lines("a", 0..10));
        let mut daemon = bench.watch();
        daemon.says("caught up").await;
        assert!(daemon.stop().await.success());
        let mut daemon = bench.watch_with(&["--format", "forwarded-for-first"]);
        daemon.says("this file goes on by another format than before").await;
        daemon.says("`log-ingestd reparse --rows` reads its stored lines again by it").await;
        daemon.says("caught up").await;
        let said = daemon.said();
        assert!(said.contains("before=\"%(h)s") && said.contains("now=\"%({x-"), "{said}");
        assert!(daemon.stop().await.success());
        let mut daemon = bench.watch_with(&["--format", "forwarded-for-first"]);
        daemon.says("caught up").await;
        assert!(!daemon.said().contains("another format"), "{}", daemon.said());
        assert!(daemon.stop().await.success());
        // An import says it, too.
        let log = bench.log("access.log");
        let import = || {
            bench.append("access.log", lines("b", 0..10));
            let output = bench.run(&["import", log.to_str().unwrap(), "--format", "gunicorn"]);
            assert!(output.status.success(), "{output:?}");
            String::from_utf8(output.stderr).unwrap()
        };
        assert!(import().contains("this file goes on by another format than before"));
        assert_eq!(import(), "");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_are_absolute_however_they_were_given() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..10));
    let mut command = bench.command(&["--watch", "logs", "--database-url", "sqlite:rows.sqlite3"]);
    command.current_dir(bench.aside(""));
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    daemon.says("caught up").await;
    let said = daemon.said();
    let root = bench.aside("");
    let root = root.to_str().unwrap().trim_end_matches('/');
    for words in [
        format!("paths=\"{root}/logs\" store=SQLite file {root}/rows.sqlite3"),
        format!("--database-url sqlite:{root}/rows.sqlite3"),
    ] {
        assert!(said.contains(&words), "'{words}' is not in: {said}");
    }
    assert!(daemon.stop().await.success());
}
