//! Files, directories and databases that do not exist: they are named, and nothing is made in their place.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::bad_input::Answer;
use crate::daemon::{Bench, for_each_store, lines};
use crate::place::Place;

/// What only reads, with any database.
const READERS: [&[&str]; 6] = [
    &["status"],
    &["query"],
    &["top", "urls"],
    &["verify"],
    &["cleanup", "--dry-run"],
    &["reparse", "--dry-run"],
];

/// All that lies below a directory.
fn below(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

for_each_store! {
    async fn what_only_reads_makes_no_tables(bench) {
        let bench = Bench::untouched(bench.place.like_it().await);
        for command in READERS {
            Answer::to(&bench, command)
                .is(1, &["does not exist, or has no tables of log-ingestd", "--database-url", "watch PATH"]);
        }
        match bench.place.is_postgres() {
            true => {
                let tables = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
                assert_eq!(bench.place.number(tables).await, 0);
            }
            false => {
                let path = bench.place.url.strip_prefix("sqlite:").unwrap();
                assert!(!Path::new(path).exists());
            }
        }
    }

    async fn a_path_without_a_file_is_one_sentence(bench) {
        bench.append("access.log", lines("a", 0..3));
        let missing = bench.aside("nowhere");
        let missing = missing.to_str().unwrap();
        for command in ["verify", "import"] {
            let output = bench.run(&[command, missing]);
            Answer::of(&output).is(1, &[&format!("cannot {command} '{missing}'"), "No such file"]);
            assert!(output.stdout.is_empty(), "{command} sums up nothing: {output:?}");
        }
        // One that is there is imported, and summed up.
        let output = bench.run(&["import", missing, bench.log("access.log").to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8(output.stdout).unwrap().contains("3 stored"));
        let json = bench.run(&["import", "--json", missing]);
        assert!(String::from_utf8(json.stdout).unwrap().starts_with("{\"lines\":0"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_in_the_name_of_an_sqlite_file_makes_neither_file_nor_directory() {
    let bench = Bench::new(Place::sqlite().await).await;
    let typo = bench.aside("typo/rows.sqlite3");
    let url = format!("sqlite:{}", typo.display());
    let before = below(&bench.aside(""));
    for command in READERS {
        Answer::to(&bench, &[command, &["--database-url", &url]].concat())
            .is(1, &[typo.to_str().unwrap(), "does not exist"]);
    }
    assert_eq!(below(&bench.aside("")), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_a_database_is_refused_and_nothing_is_made_beside_it() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..3));
    let log = bench.log("access.log");
    let url = format!("sqlite:{}", log.display());
    let import = ["import", log.to_str().unwrap()];
    for command in READERS.iter().copied().chain([&import[..]]) {
        Answer::to(&bench, &[command, &["--database-url", &url]].concat())
            .is(1, &[log.to_str().unwrap(), "refuses access", "not a"]);
    }
    assert_eq!(below(&bench.logs()), ["access.log"]);
    assert_eq!(fs::read_to_string(&log).unwrap(), lines("a", 0..3), "it was changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn standard_input_without_a_place_for_it_names_the_place() {
    let bench = Bench::new(Place::sqlite().await).await;
    let nowhere = bench.aside("nowhere");
    let mut command = bench.command(&["import", "-"]);
    command.env("TMPDIR", &nowhere).stdin(Stdio::null());
    Answer::to_command(command)
        .is(1, &["cannot import '-'", nowhere.to_str().unwrap(), "No such file", "TMPDIR"]);
}

/// As psql does: not by a variable, which may be another user's after `sudo` or `su`.
#[tokio::test(flavor = "multi_thread")]
async fn a_url_without_a_user_means_the_user_of_the_process() {
    let bench = Bench::new(Place::sqlite().await).await;
    let name = Command::new("id").arg("-un").output().unwrap().stdout;
    let name = String::from_utf8(name).unwrap().trim().to_owned();
    let port = crate::ports::Port::reserve(); // no server listens there
    let url = format!("postgres://127.0.0.1:{}/logs", port.number());
    let ask = |environment: &[(&str, &str)]| {
        let mut command = bench.command(&["status", "--connect-timeout", "1s"]);
        command.env("DATABASE_URL", &url).envs(environment.iter().copied());
        Answer::to_command(command)
    };
    for environment in [&[][..], &[("USER", "another"), ("LOGNAME", "another")]] {
        ask(environment).is(1, &["database 'logs'", &format!("as '{name}'")]);
    }
    ask(&[("PGUSER", "another")]).is(1, &["as 'another'"]);
}
