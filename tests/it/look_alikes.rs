//! Logs that look alike: the same first lines, no times, equal contents. None of them is taken for
//! another in silence.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Command;

use crate::daemon::{Bench, PATIENCE, for_each_store, line, lines, rename, urls};
use crate::place::{OF_FILES, Place, until};

/// What uvicorn logs of a probe: no time, and each line like the one before.
const PROBE: &str = "INFO:     10.0.0.1:0 - \"GET /health HTTP/1.1\" 200 OK\n";

const UVICORN: [&str; 2] = ["--format", "uvicorn"];

fn append(path: &std::path::Path, text: impl AsRef<[u8]>) {
    let mut file = OpenOptions::new().append(true).create(true).open(path).unwrap();
    file.write_all(text.as_ref()).unwrap();
}

/// Two directories, both watched, each with the log of a site.
fn two_sites(bench: &Bench) -> [std::path::PathBuf; 2] {
    ["a", "b"].map(|site| {
        let directory = bench.log(site);
        fs::create_dir(&directory).unwrap();
        directory.join("access.log")
    })
}

fn gzip(path: &std::path::Path) {
    assert!(Command::new("gzip").arg(path).status().unwrap().success());
}

for_each_store! {
    /// Two sites that were probed in the same second. One of them gets no other request.
    async fn two_directories_whose_logs_begin_with_the_same_line(bench) {
        for (quiet, busy) in [(0, 1), (1, 0)] {
            let [a, b] = two_sites(&bench);
            let both = [&a, &b];
            append(both[quiet], line("/health"));
            append(both[busy], line("/health"));
            let places = [a.parent().unwrap(), b.parent().unwrap()].map(|it| it.to_str().unwrap().to_owned());
            let daemon = bench.watch_with(&["--watch", &places[0], "--watch", &places[1]]);
            bench.rows(2).await;
            for nth in 0..40 {
                append(both[busy], lines("more", nth * 10..nth * 10 + 10));
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            bench.exactly([urls("more", 0..400), vec!["/health".into(), "/health".into()]].concat()).await;
            assert!(daemon.stop().await.success());
            for directory in [&a, &b] {
                fs::remove_dir_all(directory.parent().unwrap()).unwrap();
            }
            clear(&bench).await;
        }
    }

    /// 200 equal lines; then one of both grows.
    async fn two_directories_whose_logs_begin_with_the_same_lines_and_one_does_not_grow(bench) {
        let [a, b] = two_sites(&bench);
        append(&a, lines("same", 0..200));
        append(&b, lines("same", 0..200));
        let pattern = bench.log("*/*.log");
        let daemon = bench.watch_with(&["--watch", pattern.to_str().unwrap()]);
        append(&b, lines("more", 0..50));
        let all = [urls("same", 0..200), urls("same", 0..200), urls("more", 0..50)].concat();
        bench.exactly(all.clone()).await;
        assert!(daemon.stop().await.success());
        let _daemon = bench.watch_with(&["--watch", pattern.to_str().unwrap()]);
        append(&a, line("/last"));
        bench.exactly([all, vec!["/last".into()]].concat()).await;
    }

    /// In one directory the names tell: these two are no rotations of each other.
    async fn two_logs_of_one_directory_that_begin_with_the_same_lines(bench) {
        bench.append("site1.log", lines("same", 0..200));
        bench.append("site2.log", lines("same", 0..200));
        let _daemon = bench.watch();
        bench.append("site2.log", lines("more", 0..50));
        bench.exactly([urls("same", 0..200), urls("same", 0..200), urls("more", 0..50)].concat()).await;
    }

    /// Both are rotated and compressed while they are equal; no line of either is missing.
    async fn equal_logs_of_two_directories_that_are_rotated_and_compressed(bench) {
        let [a, b] = two_sites(&bench);
        append(&a, lines("same", 0..20));
        append(&b, lines("same", 0..20));
        let pattern = bench.log("*/access.log*");
        let flags = ["--watch", pattern.to_str().unwrap()];
        let daemon = bench.watch_with(&flags);
        bench.rows(40).await;
        assert!(daemon.stop().await.success());
        append(&a, lines("same", 20..30));
        append(&b, lines("same", 20..30));
        for log in [&a, &b] {
            rename(log, &log.with_extension("log.1"));
            gzip(&log.with_extension("log.1"));
        }
        let daemon = bench.watch_with(&flags);
        bench.rows(60).await;
        append(&a, lines("new", 0..5));
        append(&b, lines("new", 0..5));
        let all = [urls("same", 0..30), urls("new", 0..5)].concat();
        bench.exactly([all.clone(), all].concat()).await;
        assert!(daemon.stop().await.success());
    }

    /// Identical lines without a time, renamed and created anew, seen by a daemon.
    async fn logs_without_times_are_rotated_while_they_are_followed(bench) {
        let daemon = bench.watch_with(&UVICORN);
        for rotation in 0..5 {
            for nth in (1..5).rev() {
                let (from, to) = (bench.log(&format!("access.log.{nth}")), bench.log(&format!("access.log.{}", nth + 1)));
                if from.exists() {
                    rename(&from, &to);
                }
            }
            if rotation > 0 {
                rename(&bench.log("access.log"), &bench.log("access.log.1"));
            }
            bench.append("access.log", PROBE.repeat(200));
            bench.rows((rotation + 1) * 200).await;
        }
        bench.balanced().await;
        assert!(daemon.stop().await.success());
        refused(&bench, "access.log.3").await;
    }

    /// The same while no daemon runs.
    async fn logs_without_times_are_rotated_five_times_while_no_daemon_runs(bench) {
        bench.append("access.log", PROBE.repeat(100));
        let daemon = bench.watch_with(&UVICORN);
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", PROBE.repeat(100));
        for _ in 0..4 {
            for nth in (1..5).rev() {
                let from = bench.log(&format!("access.log.{nth}"));
                if from.exists() {
                    rename(&from, &bench.log(&format!("access.log.{}", nth + 1)));
                }
            }
            rename(&bench.log("access.log"), &bench.log("access.log.1"));
            bench.append("access.log", PROBE.repeat(200));
        }
        let _daemon = bench.watch_with(&UVICORN);
        bench.rows(1000).await;
        bench.balanced().await;
    }

    /// Deleted and made again while no daemon runs.
    async fn a_log_without_times_that_is_deleted_and_made_again(bench) {
        bench.append("access.log", PROBE.repeat(100));
        let daemon = bench.watch_with(&UVICORN);
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        // The file system gives a birth time to each file, in ticks of its clock.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        fs::remove_file(bench.log("access.log")).unwrap();
        bench.append("access.log", PROBE.repeat(150));
        let _daemon = bench.watch_with(&UVICORN);
        bench.rows(250).await;
        bench.balanced().await;
    }

    /// One log is stored and deleted, and another one begins alike.
    async fn another_log_begins_like_a_deleted_one(bench) {
        bench.append("alpha.log", PROBE.repeat(100));
        let daemon = bench.watch_with(&UVICORN);
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        fs::remove_file(bench.log("alpha.log")).unwrap();
        bench.append("beta.log", PROBE.repeat(150));
        let _daemon = bench.watch_with(&UVICORN);
        bench.rows(250).await;
        bench.balanced().await;
        until("it is announced", async || bench.said().contains("log of its own")).await;
    }

    /// Copied and truncated where it is, while no daemon runs: the copy is the old log.
    async fn a_log_without_times_is_copied_and_truncated_while_no_daemon_runs(bench) {
        let other = PROBE.replace("/health", "/other");
        bench.append("access.log", PROBE.repeat(100));
        let daemon = bench.watch_with(&UVICORN);
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", other.repeat(50));
        fs::copy(bench.log("access.log"), bench.log("access.log.1")).unwrap();
        OpenOptions::new().write(true).open(bench.log("access.log")).unwrap().set_len(0).unwrap();
        bench.append("access.log", PROBE.repeat(30));
        let _daemon = bench.watch_with(&UVICORN);
        bench.rows(180).await;
        bench.balanced().await;
    }

    /// An import says so where content cannot prove that lines are stored, and goes on with others.
    async fn an_import_refuses_what_its_content_cannot_prove(bench) {
        fs::write(bench.aside("one.log"), PROBE.repeat(100)).unwrap();
        fs::write(bench.aside("two.log"), PROBE.repeat(100)).unwrap();
        let different = PROBE.replace("/health", "/other");
        fs::write(bench.aside("three.log"), &different).unwrap();
        let paths = ["one.log", "two.log", "three.log"].map(|name| bench.aside(name).to_str().unwrap().to_owned());
        let import = |flags: &[&str]| {
            let mut arguments = vec!["import"];
            arguments.extend(paths.iter().map(String::as_str));
            arguments.extend(UVICORN.iter().chain(flags));
            bench.run(&arguments)
        };
        let output = import(&[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("two.log") && said.contains("--again") && said.contains("--skip"), "{said}");
        assert!(!said.contains("cannot import") || said.matches("cannot import").count() == 1, "{said}");
        bench.rows(101).await;
        let output = import(&["--skip"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(String::from_utf8_lossy(&output.stderr).contains("left out"));
        bench.rows(101).await;
        let output = import(&["--again"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        bench.rows(201).await;
        bench.balanced().await;
    }

    /// One line with a time is no proof either; two are.
    async fn an_import_of_one_line_proves_nothing(bench) {
        fs::write(bench.aside("a.log"), line("/once")).unwrap();
        fs::write(bench.aside("b.log"), line("/once")).unwrap();
        fs::write(bench.aside("c.log"), lines("twice", 0..2)).unwrap();
        fs::write(bench.aside("d.log"), lines("twice", 0..2)).unwrap();
        let [a, b, c, d] = ["a.log", "b.log", "c.log", "d.log"].map(|name| bench.aside(name).to_str().unwrap().to_owned());
        bench.succeed(&["import", &a]);
        bench.succeed(&["import", &a]); // the same object
        assert_eq!(bench.run(&["import", &b]).status.code(), Some(1));
        bench.succeed(&["import", &c]);
        bench.succeed(&["import", &d]);
        bench.rows(3).await;
    }
}

async fn refused(bench: &Bench, name: &str) {
    let path = bench.log(name);
    let copy = bench.aside("copy.log");
    fs::copy(&path, &copy).unwrap();
    let output = bench.run(&[&["import", copy.to_str().unwrap()], &UVICORN[..]].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--again"), "{said}");
}

/// Empties the tables, so that the next round begins anew.
async fn clear(bench: &Bench) {
    for table in OF_FILES {
        bench.place.execute(&format!("DELETE FROM {table}")).await;
    }
}

/// As rsync does, and `sed -i`: a copy, which is longer or becomes it, takes the name. The old one may still have a writer,
/// for which the daemon waits a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_replaced_by_a_longer_copy_of_itself_goes_on() {
    let bench = Bench::new(Place::sqlite().await).await;
    for name in ["rsync", "sed"] {
        bench.append(&format!("{name}.log"), lines(name, 0..100));
    }
    let mut daemon = bench.watch();
    bench.rows(200).await;
    let replace = |name: &str, by: &str, more: std::ops::Range<u32>| {
        let text = fs::read_to_string(bench.log(name)).unwrap();
        fs::write(bench.log(by), text + &lines(name.trim_end_matches(".log"), more)).unwrap();
        fs::rename(bench.log(by), bench.log(name)).unwrap();
    };
    replace("rsync.log", ".rsync.log.aB3xYz", 100..150);
    replace("sed.log", "sedAbCdEf", 100..100);
    daemon.says("a copy of a followed file that was replaced by it").await;
    // The next transfer comes before the first one is stored.
    replace("rsync.log", ".rsync.log.bC4yZa", 150..200);
    bench.append("sed.log", lines("sed", 100..200));
    let end = std::time::Instant::now() + 4 * PATIENCE;
    while bench.stored().await < 400 && std::time::Instant::now() < end {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    bench.exactly([urls("rsync", 0..200), urls("sed", 0..200)].concat()).await;
    assert!(!daemon.said().contains("its lines are stored twice"), "{}", daemon.said());
    assert!(daemon.stop().await.success());
}

/// A file server that lost its power, or `truncate -s`. It cannot be told from a log that was truncated and written anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_loses_its_end_while_it_is_followed_is_stored_again_and_that_is_said() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..100));
    let mut daemon = bench.watch();
    bench.rows(100).await;
    let file = OpenOptions::new().write(true).open(bench.log("access.log")).unwrap();
    file.set_len(lines("a", 0..50).len() as u64).unwrap();
    daemon.says("was cut short while it was followed, and begins as before").await;
    bench.append("access.log", lines("b", 0..10));
    bench.exactly([urls("a", 0..100), urls("a", 0..50), urls("b", 0..10)].concat()).await;
    assert!(daemon.stop().await.success());
}
