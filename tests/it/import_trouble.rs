//! Imports of what is broken, growing, or followed by a daemon; and imports that are killed.

use std::fs;
use std::process::Stdio;

use crate::archives::{KINDS, Summary, compress};
use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::until;

/// Starts imports of these files at once, each in a process of its own; what all of them stored.
fn import_at_once(bench: &Bench, names: &[&str]) -> u64 {
    let children: Vec<_> = names
        .iter()
        .map(|name| {
            let path = bench.log(name);
            let mut command = bench.command(&["import", "--json", path.to_str().unwrap()]);
            command.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let outputs = children.into_iter().map(|child| child.wait_with_output().unwrap());
    outputs
        .map(|output| {
            assert!(output.status.success());
            Summary::of(&output.stdout).count("rows")
        })
        .sum()
}

for_each_store! {
    async fn an_archive_with_a_broken_middle_gives_what_is_before_it_and_names_the_place(bench) {
        let good = lines("good", 0..3000);
        let mut all = Vec::new();
        for kind in KINDS {
            let good = good.replace("/good/", &format!("/{kind}/"));
            let first = compress(kind, good.as_bytes());
            let mut broken = [first.clone(), compress(kind, lines("lost", 0..3000).as_bytes())].concat();
            broken[first.len() + 24..first.len() + 120].fill(0xff);
            bench.append(&format!("broken.{kind}"), &broken);
            bench.append(&format!("whole-{kind}.log"), line(&format!("/afterwards/{kind}")));
            let name = format!("broken.{kind}");
            let (summary, said) = bench.refused_import(&[&name, &format!("whole-{kind}.log")]);
            assert_eq!(summary.counts(), (3001, 3001, 0), "{kind}: {said}");
            let place = format!("unreadable after byte {} of its content", good.len());
            assert!(said.contains(&name) && said.contains(&place), "{said}");
            all.extend(urls(kind, 0..3000));
            all.push(format!("/afterwards/{kind}"));
        }
        bench.exactly(all.clone()).await;
        // The whole archive, found elsewhere, adds what was missing.
        let good = good.replace("/good/", "/gz/");
        bench.append("found.gz", compress("gz", format!("{good}{}", lines("lost", 0..3000)).as_bytes()));
        assert_eq!(bench.import(&["found.gz"]).counts(), (6000, 3000, 3000));
        all.extend(urls("lost", 0..3000));
        bench.exactly(all).await;
    }

    async fn an_archive_that_ends_too_early_gives_its_complete_lines(bench) {
        let text = lines("a", 0..5000);
        let archive = compress("gz", text.as_bytes());
        bench.append("cut.gz", &archive[..archive.len() / 2]);
        let (summary, said) = bench.refused_import(&["cut.gz"]);
        assert!(said.contains("unreadable after byte"), "{said}");
        let (found, rows, _) = summary.counts();
        assert!(rows > 1000 && rows < 4000 && found == rows, "{rows}");
        bench.exactly(urls("a", 0..u32::try_from(rows).unwrap())).await;
        bench.append("cut.gz", &archive[archive.len() / 2..]);
        assert_eq!(bench.import(&["cut.gz"]).counts(), (5000, 5000 - rows, rows));
        bench.exactly(urls("a", 0..5000)).await;
    }

    async fn what_cannot_be_imported_is_named_and_the_others_are_imported(bench) {
        bench.append("one.log", lines("one", 0..5));
        bench.append("two.log", lines("two", 0..5));
        fs::create_dir(bench.log("directory")).unwrap();
        let error = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n";
        bench.append("error.log", error.repeat(20));
        let (summary, said) = bench.refused_import(&["one.log", "missing.log", "directory", "error.log", "two.log"]);
        assert_eq!(summary.counts(), (10, 10, 0));
        for words in ["missing.log': No such file", "directory': is a directory; name the files in it",
            "error.log': this is Gunicorn's error log"] {
            assert!(said.contains(words), "'{words}' is not in: {said}");
        }
        assert_eq!(said.lines().count(), 3, "{said}");
        bench.exactly([urls("one", 0..5), urls("two", 0..5)].concat()).await;
    }

    async fn a_file_that_a_daemon_follows_is_left_to_it(bench) {
        bench.append("access.log", lines("a", 0..50));
        let daemon = bench.watch();
        bench.rows(50).await;
        let copy = compress("gz", lines("a", 0..40).as_bytes());
        bench.append("copy.gz", copy);
        for name in ["access.log", "copy.gz"] {
            let path = bench.log(name);
            let output = bench.run(&["import", "--json", path.to_str().unwrap()]);
            assert!(output.status.success());
            assert_eq!(Summary::of(&output.stdout).count("rows"), 0);
        }
        let output = bench.run(&["import", bench.log("access.log").to_str().unwrap()]);
        assert!(String::from_utf8_lossy(&output.stderr).contains("a running log-ingestd follows this file"));
        bench.append("access.log", lines("b", 0..50));
        bench.exactly([urls("a", 0..50), urls("b", 0..50)].concat()).await;
        assert!(daemon.stop().await.success());
        assert_eq!(bench.import(&["access.log"]).counts(), (100, 0, 100));
    }

    async fn imports_of_the_same_lines_at_once_store_them_once(bench) {
        let text = lines("a", 0..3000);
        bench.append("access.log", &text);
        assert_eq!(import_at_once(&bench, &["access.log"; 4]), 3000);
        bench.exactly(urls("a", 0..3000)).await;
        // The same content under several names and in archives, which have no inode in common.
        let text = lines("b", 0..3000);
        bench.append("b.log", &text);
        bench.append("copy-of-b.log", &text);
        bench.append("b.gz", compress("gz", text.as_bytes()));
        bench.append("b.zst", compress("zst", text.as_bytes()));
        import_at_once(&bench, &["b.log", "b.gz", "b.zst", "b.gz", "copy-of-b.log"]);
        bench.import(&["b.log", "b.gz", "b.zst", "copy-of-b.log"]);
        bench.exactly([urls("a", 0..3000), urls("b", 0..3000)].concat()).await;
    }

    async fn an_import_that_is_killed_goes_on_where_it_stopped(bench) {
        let count = 60_000;
        bench.append("large.gz", compress("gz", lines("a", 0..count).as_bytes()));
        let path = bench.log("large.gz");
        let mut kills = 0;
        let mut stored = 0;
        for _ in 0..3 {
            let jobs = ["import", "--jobs", "4", path.to_str().unwrap()];
            let mut command = bench.command(&jobs);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let before = stored;
            until("a batch of it is stored", async || {
                stored = bench.stored().await;
                stored > before || child.try_wait().unwrap().is_some()
            })
            .await;
            kills += i64::from(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            child.wait().unwrap();
            bench.balanced().await;
        }
        assert!(kills > 0);
        let summary = bench.import(&["large.gz"]);
        assert_eq!(summary.count("lines"), u64::from(count));
        bench.exactly(urls("a", 0..count)).await;
    }

    async fn an_import_that_is_interrupted_says_so_and_goes_on_where_it_stopped(bench) {
        bench.append("large.log", lines("a", 0..150_000));
        let path = bench.log("large.log");
        let mut command = bench.command(&["import", "--json", path.to_str().unwrap()]);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        until("a batch of it is stored", async || bench.stored().await > 0).await;
        let pid = child.id().to_string();
        std::process::Command::new("kill").args(["-s", "INT", &pid]).status().unwrap();
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("interrupted; the same command goes on where this one stopped"), "{said}");
        let rows = Summary::of(&output.stdout).count("rows");
        assert!(rows < 150_000);
        assert_eq!(bench.import(&["large.log"]).counts(), (150_000, 150_000 - rows, rows));
        bench.exactly(urls("a", 0..150_000)).await;
    }
}
