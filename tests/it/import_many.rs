//! Imports of many files at once: small ones travel together, and each is still itself.

use std::process::{Output, Stdio};
use std::time::Duration;

use crate::archives::{Summary, compress};
use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::{Place, until};

/// `import` of these files, in this order.
fn arguments(bench: &Bench, names: &[String]) -> Vec<String> {
    let paths = names.iter().map(|name| bench.log(name).to_str().unwrap().to_owned());
    ["import", "--json", "--jobs", "4"].map(str::to_owned).into_iter().chain(paths).collect()
}

fn import(bench: &Bench, names: &[String]) -> Output {
    let arguments = arguments(bench, names);
    bench.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Files of 50 lines each, whose lines no other file has.
fn small_files(bench: &Bench, count: u32) -> (Vec<String>, Vec<String>) {
    let mut names = Vec::new();
    let mut all = Vec::new();
    for nth in 0..count {
        let name = format!("{nth:03}.log");
        bench.append(&name, lines(&format!("{nth}"), 0..50));
        all.extend(urls(&format!("{nth}"), 0..50));
        names.push(name);
    }
    (names, all)
}

for_each_store! {
    async fn two_hundred_files_with_copies_beginnings_and_a_broken_one_among_them(bench) {
        let (mut names, mut all) = small_files(&bench, 200);
        // A copy after its file, a beginning before it, one after it, a longer one, an archive.
        bench.append("copy.log", lines("7", 0..50));
        bench.append("before.log", lines("20", 0..10));
        bench.append("later.log", lines("30", 0..10));
        bench.append("longer.log", lines("40", 0..60));
        bench.append("packed.gz", compress("gz", lines("50", 0..50).as_bytes()));
        all.extend(urls("40", 50..60));
        // The same first lines, and another end: a file of its own.
        bench.append("alike.log", format!("{}{}", lines("60", 0..50), line("/own")));
        bench.append("cousin.log", format!("{}{}", lines("60", 0..49), line("/cousin")));
        all.push("/own".to_owned());
        all.extend(urls("60", 0..49));
        all.push("/cousin".to_owned());
        bench.append("empty.log", "");
        bench.append("cut.log", format!("{}{}", line("/whole"), &line("/cut")[..40]));
        all.push("/whole".to_owned());
        let whole = compress("gz", lines("gz", 0..100).as_bytes());
        let mut broken = [whole.clone(), compress("gz", lines("lost", 0..3000).as_bytes())].concat();
        broken[whole.len() + 24..whole.len() + 120].fill(0xff);
        bench.append("broken.gz", broken);
        all.extend(urls("gz", 0..100));
        let large = 30_000;
        bench.append("large.log", lines("large", 0..large));
        all.extend(urls("large", 0..large));
        for (at, name) in [(9, "copy.log"), (18, "before.log"), (36, "later.log"), (50, "longer.log"),
            (58, "packed.gz"), (70, "alike.log"), (71, "cousin.log"), (90, "empty.log"), (95, "cut.log"),
            (100, "missing.log"), (120, "broken.gz"), (150, "large.log"), (199, "007.log")] {
            names.insert(at, name.to_owned());
        }
        let output = import(&bench, &names);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let told: Vec<&str> = said.lines().filter(|line| line.contains("cannot import")).collect();
        assert_eq!(told.len(), 2, "{said}");
        assert!(told[0].contains("missing.log': No such file"), "{said}");
        let place = format!("unreadable after byte {} of its content", lines("gz", 0..100).len());
        assert!(told[1].contains("broken.gz") && told[1].contains(&place), "{said}");
        assert!(!said.contains("a running log-ingestd follows"), "{said}");
        assert!(said.contains("the last line has no end"), "{said}");
        bench.exactly(all.clone()).await;
        // Each line of each file is counted, and those of copies as what was stored before.
        let before = 50 + 10 + 10 + 50 + 50 + 50 + 50;
        let rows = all.len() as u64;
        assert_eq!(Summary::of(&output.stdout).counts(), (rows + before, rows, before));
        let held = "SELECT count(*) FROM log_file WHERE owner IS NOT NULL";
        assert_eq!(bench.place.number(held).await, 0, "not every file was let go");
        let again = Summary::of(&import(&bench, &names).stdout);
        assert_eq!(again.counts(), (rows + before, 0, rows + before));
        bench.exactly(all).await;
    }

    async fn an_import_of_many_files_that_is_killed_goes_on_where_it_stopped(bench) {
        let (names, all) = small_files(&bench, 1200);
        let arguments = arguments(&bench, &names);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        for _ in 0..2 {
            let before = bench.stored().await;
            let mut child = bench.command(&arguments).stdout(Stdio::null()).spawn().unwrap();
            until("some of them are stored", async || {
                bench.stored().await > before || child.try_wait().unwrap().is_some()
            })
            .await;
            child.kill().unwrap();
            child.wait().unwrap();
            bench.balanced().await;
        }
        let summary = Summary::of(bench.succeed(&arguments).as_bytes());
        assert_eq!(summary.count("lines"), all.len() as u64);
        bench.exactly(all).await;
    }

    async fn an_import_of_many_files_that_is_interrupted_says_so_and_goes_on(bench) {
        let (names, all) = small_files(&bench, 1200);
        let arguments = arguments(&bench, &names);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut command = bench.command(&arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("some of them are stored", async || bench.stored().await > 0).await;
        let pid = child.id().to_string();
        std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("interrupted; the same command goes on where this one stopped"), "{said}");
        let (lines, rows, _) = Summary::of(&output.stdout).counts();
        assert_eq!((lines, rows as i64), (rows, bench.stored().await));
        let count = all.len() as u64;
        let summary = Summary::of(bench.succeed(&arguments).as_bytes());
        assert_eq!(summary.counts(), (count, count - rows, rows));
        bench.exactly(all).await;
    }

    async fn imports_of_the_same_many_files_at_once_store_each_line_once(bench) {
        let (names, all) = small_files(&bench, 60);
        let backwards: Vec<String> = names.iter().rev().cloned().collect();
        let children = [&names, &backwards, &names].map(|names| {
            let mut command = bench.command(&[]);
            command.args(arguments(&bench, names)).stdout(Stdio::piped()).spawn().unwrap()
        });
        let mut rows = 0;
        for child in children {
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success());
            rows += Summary::of(&output.stdout).count("rows");
        }
        assert_eq!(rows, all.len() as u64);
        bench.exactly(all).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_of_many_files_over_connections_that_are_cut_stores_each_line_once() {
    let bench = Bench::new(Place::postgres().await).await;
    let (names, all) = small_files(&bench, 600);
    let mut command = bench.command(&[]);
    let import = command.args(arguments(&bench, &names)).stdout(Stdio::piped()).spawn().unwrap();
    let mut cuts = 0;
    until("some of them are stored", async || bench.stored().await > 0).await;
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(50)).await; // some are stored between two cuts
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
              WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.5";
        cuts += bench.place.number(cut).await;
    }
    assert!(cuts > 0, "no connection was cut");
    // A file for which the database could not be asked twice is named; the same command stores the rest.
    let output = import.wait_with_output().unwrap();
    let rows = Summary::of(&output.stdout).count("rows");
    let summary = Summary::of(import_again(&bench, &names).as_bytes());
    let count = all.len() as u64;
    assert_eq!((summary.count("lines"), summary.count("rows") + rows), (count, count));
    bench.exactly(all).await;
}

fn import_again(bench: &Bench, names: &[String]) -> String {
    let output = import(bench, names);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
