//! What commands print: on a terminal with colours and no wider than it, in a pipe plain and whole; what a
//! range without rows says; `--follow`; and nothing at all when no one reads.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};

use chrono::Utc;
use serde_json::Value;

use crate::daemon::{Bench, ToEnd, for_each_store, line, line_at, lines};
use crate::place::{Place, until};
use crate::postgres::Cluster;

/// Since before all lines of [`line`].
const SINCE: &str = "2026-11-23";

/// Runs the program on a terminal of so many columns, as `script` of util-linux makes one.
pub(crate) fn on_terminal(
    bench: &Bench,
    columns: u32,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> String {
    let real = bench.command(arguments);
    let words = std::iter::once(real.get_program()).chain(real.get_args());
    let quoted: Vec<String> = words.map(|word| format!("'{}'", word.to_str().unwrap())).collect();
    let mut command = Command::new("script");
    let typed = format!("stty cols {columns}; {}", quoted.join(" "));
    command.args(["--quiet", "--return", "--command", &typed, "/dev/null"]).env_clear();
    command.envs(real.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.envs(environment.iter().copied());
    let output = command.to_end();
    let text = String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n");
    assert!(output.status.success(), "{text}");
    text
}

/// Without colours.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain + rest
}

/// Rows of each class, one of them with a long URL.
async fn stored(place: Place) -> (Bench, String) {
    let bench = Bench::new(place).await;
    let long = format!("/very/{}/end", "long/".repeat(40));
    for (code, url) in [("200", "/ok"), ("302", "/elsewhere"), ("404", &*long), ("500", "/broken")]
    {
        bench.append("access.log", line(url).replace(" 200 ", &format!(" {code} ")));
    }
    bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
    (bench, long)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_gets_colours_and_lines_that_fit() {
    let (bench, long) = stored(Place::sqlite().await).await;
    let query = ["query", "--since", SINCE];
    let shown = on_terminal(&bench, 100, &query, &[]);
    for (colour, code) in [(32, "200"), (36, "302"), (33, "404"), (31, "500")] {
        assert!(shown.contains(&format!("\u{1b}[{colour}m{code}\u{1b}[0m")), "{shown}");
    }
    assert!(shown.contains("\u{1b}[1mtime") && shown.contains("\u{1b}[2m-"), "{shown}");
    let widest = plain(&shown).lines().map(|line| line.chars().count()).max();
    assert!(
        widest.unwrap() <= 100 && shown.contains("/very/long") && shown.contains('…'),
        "{shown}"
    );
    let wide = on_terminal(&bench, 100, &[&query[..], &["--wide"]].concat(), &[]);
    assert!(wide.contains(&long) && wide.contains("\u{1b}[31m500"), "{wide}");
    for nothing in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let shown = on_terminal(&bench, 100, &query, &[nothing]);
        assert!(!shown.contains('\u{1b}') && shown.contains('…'), "{shown}");
    }
    let shown = on_terminal(&bench, 100, &query, &[("NO_COLOR", "")]);
    assert!(shown.contains("\u{1b}[31m500"), "an empty NO_COLOR is none: {shown}");
    // What other programs read has neither, on a terminal too.
    for output in ["jsonl", "csv", "log"] {
        let shown = on_terminal(&bench, 100, &[&query[..], &["--output", output]].concat(), &[]);
        assert!(!shown.contains('\u{1b}') && shown.contains(&long), "{shown}");
    }
    let top = on_terminal(&bench, 60, &["top", "urls", "--since", SINCE], &[]);
    let table: Vec<String> = plain(&top).lines().take(5).map(str::to_owned).collect();
    assert!(table.iter().all(|line| line.chars().count() <= 60), "{top}");
    let top = on_terminal(&bench, 60, &["top", "urls", "--since", SINCE, "--wide"], &[]);
    assert!(top.contains(&long), "{top}");
    let doctor = on_terminal(&bench, 100, &["doctor"], &[]);
    assert!(doctor.contains("\u{1b}[32mok"), "{doctor}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipe_gets_plain_text_of_any_width() {
    let (bench, long) = stored(Place::sqlite().await).await;
    for command in
        [&["query", "--since", SINCE][..], &["top", "urls", "--since", SINCE], &["doctor"]]
    {
        let output = bench.command(command).env("TERM", "xterm-256color").to_end();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains('\u{1b}') && !text.contains('…'), "{text}");
        assert!(command[0] == "doctor" || text.contains(&long), "{text}");
    }
}

for_each_store! {
    async fn a_range_without_rows_names_the_newest_one_and_what_shows_it(bench) {
        for command in [&["query"][..], &["query", "--log", "requests"], &["top", "urls"], &["top", "slow"]] {
            assert_eq!(bench.succeed(command), "no rows: none are stored\n");
        }
        bench.append("access.log", lines("a", 0..3) + &line("/last").replace("08:41:00", "08:41:59"));
        let request = "{\"log\":\"request\",\"timestamp\":\"2026-11-22T07:00:00.25Z\",\"method\":\"GET\",\"path\":\"/p\"}\n";
        bench.append("requests.log", request);
        for log in ["access.log", "requests.log"] {
            bench.succeed(&["import", bench.log(log).to_str().unwrap()]);
        }
        for (command, newest, shown) in [
            (&["query"][..], "2026-11-23T08:41:59Z", "/last"),
            (&["top", "urls"], "2026-11-23T08:41:59Z", "/last"),
            (&["query", "--since", SINCE, "--code", "5xx"], "2026-11-23T08:41:59Z", "/last"),
            (&["query", "--log", "requests"], "2026-11-22T07:00:00.250Z", "/p"),
        ] {
            let said = bench.succeed(command);
            assert!(said.starts_with("no rows from 20") && said.lines().count() == 1, "{said}");
            let words = format!("the newest stored row is of {newest}: `log-ingestd query");
            assert!(said.contains(&words), "{said}");
            // The command that it names.
            let (_, typed) = said.split_once("`log-ingestd ").unwrap();
            let (typed, _) = typed.split_once('`').unwrap();
            let typed: Vec<&str> = typed.split_whitespace().collect();
            assert!(bench.succeed(&typed).contains(shown), "{typed:?}");
        }
        let slow = bench.succeed(&["top", "slow", "--since", SINCE]);
        assert!(slow.starts_with("no rows with a duration from 2026-11-23T00:00:00Z to "), "{slow}");
    }

    async fn top_counts_the_whole_range_and_says_what_errors_are(bench) {
        let failing = lines("b", 0..1).replace(" 200 ", " 503 ").repeat(1000);
        bench.append("access.log", lines("a", 0..1).repeat(3000) + &failing);
        bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
        let top = bench.succeed(&["top", "urls", "--since", SINCE]);
        let words: Vec<Vec<&str>> = top.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(words[0], ["rows", "share", "errors", "mean", "max", "value"]);
        assert_eq!(words[1], ["3,000", "75.0", "%", "0", "-", "-", "/a/0"]);
        assert_eq!(words[2], ["1,000", "25.0", "%", "1,000", "-", "-", "/b/0"]);
        let footer = top.lines().last().unwrap();
        assert!(footer.starts_with("of 4,000 rows from 2026-11-23T00:00:00Z to "), "{top}");
        assert!(footer.ends_with("errors are rows with a status code of 400 or more"), "{top}");
        // What is counted is told apart from the range by --sample alone; here it is the same.
        let json = |flags: &[&str]| {
            let text = bench.succeed(&[&["top", "urls", "--json", "--since", SINCE], flags].concat());
            serde_json::from_str::<Value>(&text).unwrap()
        };
        assert_eq!(json(&[])["counted"], 4000);
        assert_eq!(json(&["--sample"])["counted"], 4000);
    }

    async fn follow_prints_rows_as_they_are_stored_until_it_is_interrupted(bench) {
        let now = || Utc::now().timestamp_micros();
        bench.append("access.log", (0..20).map(|nth| line_at(&format!("/before/{nth}"), now())).collect::<String>());
        let daemon = bench.watch();
        bench.rows(20).await;
        let following = |flags: &[&str], name: &str| {
            let out = bench.aside(name);
            let mut command = bench.command(&[&["query", "--follow"], flags].concat());
            let child = command.stdout(File::create(&out).unwrap()).stderr(Stdio::piped()).spawn().unwrap();
            (Following(child), move || fs::read_to_string(&out).unwrap())
        };
        let (mut table, in_table) = following(&["--limit", "3"], "table");
        let (mut json, in_json) = following(&["--output", "jsonl", "--url", "/x"], "json");
        until("the newest rows are printed", async || in_table().lines().count() == 4).await;
        assert!(in_table().starts_with("time ") && in_table().contains("/before/19"), "{}", in_table());
        for round in 0..3 {
            bench.append("access.log", line_at(&format!("/x/{round}"), now()));
            bench.append("access.log", line_at(&format!("/y/{round}"), now()));
            until("new rows are printed", async || in_table().contains(&format!("/y/{round}"))).await;
        }
        until("they are chosen", async || in_json().contains("/x/2")).await;
        // A row that is stored later than others that are newer.
        bench.append("other.log", line_at("/x/late", now() - 9_000_000));
        until("a late row is printed", async || in_table().contains("/x/late")).await;
        until("of chosen rows too", async || in_json().lines().count() == 4).await;
        assert_eq!(in_table().lines().count(), 1 + 3 + 6 + 1, "{}", in_table());
        let urls: Vec<String> = in_json()
            .lines()
            .map(|row| serde_json::from_str::<Value>(row).unwrap()["url"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(urls, ["/x/0", "/x/1", "/x/2", "/x/late"]);
        for follower in [&mut table, &mut json] {
            follower.signal("INT");
            until("it ends", async || follower.0.try_wait().unwrap().is_some()).await;
            assert_eq!(follower.0.wait().unwrap().code(), Some(0));
        }
        let refused = bench.run(&["query", "--follow", "--until", "now"]);
        assert_eq!(refused.status.code(), Some(2));
        assert!(daemon.stop().await.success());
    }

    /// As with `head`, which has seen enough.
    async fn a_closed_pipe_is_silent_for_every_command_and_form(bench) {
        bench.append("access.log", lines("a", 0..3000));
        let log = bench.log("access.log");
        let log = log.to_str().unwrap();
        bench.succeed(&["import", log]);
        let mut commands: Vec<Vec<&str>> = ["table", "jsonl", "csv", "log"]
            .iter()
            .map(|output| vec!["query", "--since", SINCE, "--limit", "3000", "--output", output])
            .collect();
        commands.extend([
            vec!["query"],
            vec!["query", "--follow", "--since", SINCE, "--limit", "3000"],
            vec!["query", "--follow", "--since", SINCE, "--limit", "3000", "--output", "csv"],
            vec!["top", "urls", "--since", SINCE, "--limit", "3000"],
            vec!["top", "urls", "--since", SINCE, "--limit", "3000", "--json"],
            vec!["top", "urls"],
            vec!["status"],
            vec!["status", "--all", "--json"],
            vec!["check", log],
            vec!["import", log],
            vec!["import", log, "--json"],
            vec!["verify"],
            vec!["verify", "--json"],
            vec!["reparse", "--dry-run"],
            vec!["reparse", "--rows", "--dry-run"],
            vec!["cleanup", "--dry-run"],
            vec!["migrate", "--dry-run"],
            vec!["doctor"],
            vec!["doctor", "--json"],
            vec!["completions", "bash"],
            vec!["--help"],
            vec!["query", "--help"],
            vec!["--version"],
        ]);
        for arguments in commands {
            let mut command = bench.command(&arguments);
            let (reader, writer) = std::io::pipe().unwrap();
            drop(reader);
            let output = command.stdin(Stdio::null()).stdout(writer).output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.is_empty(), "{arguments:?}: {said}");
            assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn follow_goes_on_when_the_server_is_back() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.migrated().await)).await;
    let (out, said) = (bench.aside("rows"), bench.aside("said"));
    let mut command = bench.command(&["query", "--follow", "--output", "jsonl"]);
    command.stdout(File::create(&out).unwrap()).stderr(File::create(&said).unwrap());
    let mut following = Following(command.spawn().unwrap());
    let import = |url: &str| {
        bench.append("access.log", line_at(url, Utc::now().timestamp_micros()));
        bench.succeed(&["import", bench.log("access.log").to_str().unwrap(), "--again"]);
    };
    let printed = || fs::read_to_string(&out).unwrap();
    import("/one");
    until("a row is printed", async || printed().contains("/one")).await;
    cluster.stop_at_once();
    let warned = || fs::read_to_string(&said).unwrap();
    until("it waits", async || warned().contains("while the database is unavailable")).await;
    cluster.start_again();
    import("/two");
    until("rows are printed again", async || printed().contains("/two")).await;
    assert_eq!(printed().lines().count(), 2, "{}", printed());
    assert!(following.0.try_wait().unwrap().is_none(), "it ended: {}", warned());
}

/// A command that goes on; killed when dropped.
struct Following(Child);

impl Following {
    fn signal(&self, name: &str) {
        let status = Command::new("kill").args(["-s", name, &self.0.id().to_string()]).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
