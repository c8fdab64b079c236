//! A daemon that follows logs: what is there, what is appended, what is rotated. Each story is
//! told to both stores.

use std::fs;
use std::io::Write;

use crate::daemon::{for_each_store, line, lines, rename, urls};

for_each_store! {
    async fn what_is_there_is_read_from_the_beginning_and_what_is_appended_follows(bench) {
        bench.append("access.log", lines("old", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        bench.append("access.log", lines("new", 0..50));
        bench.append("other.log", lines("other", 0..10));
        bench.exactly([urls("old", 0..100), urls("new", 0..50), urls("other", 0..10)].concat()).await;
        assert!(daemon.stop().await.success());
    }

    async fn a_restart_goes_on_where_it_stopped(bench) {
        bench.append("access.log", lines("one", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("two", 0..100));
        let daemon = bench.watch();
        bench.exactly([urls("one", 0..100), urls("two", 0..100)].concat()).await;
        daemon.kill();
        bench.append("access.log", lines("three", 0..100));
        let _daemon = bench.watch();
        bench.exactly([urls("one", 0..100), urls("two", 0..100), urls("three", 0..100)].concat())
            .await;
    }

    async fn rename_and_create_while_a_worker_still_writes_the_old_file(bench) {
        bench.append("access.log", lines("before", 0..20));
        let _daemon = bench.watch();
        bench.rows(20).await;
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", lines("after", 0..20));
        bench.append("access.log.1", lines("late", 0..20));
        bench.rows(60).await;
        bench.append("access.log.1", lines("later", 0..5));
        bench.exactly([urls("before", 0..20), urls("after", 0..20), urls("late", 0..20),
            urls("later", 0..5)].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
    }

    async fn a_cascade_of_renames_between_two_looks(bench) {
        bench.append("access.log", lines("a", 0..20));
        let daemon = bench.watch();
        bench.rows(20).await;
        daemon.signal("STOP");
        for round in ["b", "c", "d"] {
            bench.append("access.log", lines(&format!("{round}-tail"), 0..3));
            for n in (1..4).rev() {
                let from = bench.log(&format!("access.log.{n}"));
                if from.exists() {
                    rename(&from, &bench.log(&format!("access.log.{}", n + 1)));
                }
            }
            rename(&bench.log("access.log"), &bench.log("access.log.1"));
            bench.append("access.log", lines(round, 0..20));
        }
        daemon.signal("CONT");
        let mut all = [urls("a", 0..20), urls("b", 0..20), urls("c", 0..20), urls("d", 0..20)].concat();
        all.extend([urls("b-tail", 0..3), urls("c-tail", 0..3), urls("d-tail", 0..3)].concat());
        bench.exactly(all).await;
    }

    async fn rotated_while_the_daemon_was_down(bench) {
        bench.append("access.log", lines("one", 0..30));
        let daemon = bench.watch();
        bench.rows(30).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("unread", 0..30));
        rename(&bench.log("access.log"), &bench.log("access-20261123.log"));
        bench.append("access.log", lines("two", 0..30));
        let _daemon = bench.watch();
        bench.exactly([urls("one", 0..30), urls("unread", 0..30), urls("two", 0..30)].concat()).await;
    }

    async fn copytruncate_when_caught_up(bench) {
        bench.append("access.log", lines("first", 0..40));
        let _daemon = bench.watch();
        bench.rows(40).await;
        for (round, count) in [("less", 5), ("more", 90)] {
            fs::copy(bench.log("access.log"), bench.log(&format!("access.log.{round}"))).unwrap();
            fs::File::options().write(true).open(bench.log("access.log")).unwrap().set_len(0).unwrap();
            bench.append("access.log", lines(round, 0..count));
            let wanted = if round == "less" { 45 } else { 135 };
            bench.rows(wanted).await;
        }
        bench.exactly([urls("first", 0..40), urls("less", 0..5), urls("more", 0..90)].concat()).await;
        assert_eq!(bench.place.number("SELECT CAST(sum(lost_bytes) AS bigint) FROM log_file").await, 0);
    }

    async fn copytruncate_with_a_backlog_reads_the_rest_from_the_copy(bench) {
        bench.append("access.log", lines("read", 0..40));
        let daemon = bench.watch();
        bench.rows(40).await;
        daemon.signal("STOP");
        bench.append("access.log", lines("backlog", 0..40));
        fs::copy(bench.log("access.log"), bench.log("access.log.1")).unwrap();
        fs::File::options().write(true).open(bench.log("access.log")).unwrap().set_len(0).unwrap();
        bench.append("access.log", lines("after", 0..7));
        daemon.signal("CONT");
        bench.exactly([urls("read", 0..40), urls("backlog", 0..40), urls("after", 0..7)].concat()).await;
        assert_eq!(bench.place.number("SELECT CAST(sum(lost_bytes) AS bigint) FROM log_file").await, 0);
    }

    // Found by the model test: the daemon looked at a copy of which nothing was there yet.
    async fn a_copy_that_is_still_being_made_is_waited_for(bench) {
        bench.append("access.log", lines("a", 0..500));
        let daemon = bench.watch();
        bench.rows(500).await;
        assert!(daemon.stop().await.success());
        // `mv` to another file system is a copy, too.
        let text = fs::read(bench.log("access.log")).unwrap();
        fs::remove_file(bench.log("access.log")).unwrap();
        let mut pieces = text.chunks(text.len() / 10);
        bench.append("access.log.1", pieces.next().unwrap());
        let mut daemon = bench.watch();
        daemon.says("watching").await;
        for piece in pieces {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await; // a slow disk
            bench.append("access.log.1", piece);
        }
        bench.append("access.log.1", lines("b", 0..10));
        bench.exactly([urls("a", 0..500), urls("b", 0..10)].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
    }

    async fn truncated_with_unread_bytes_and_no_copy_counts_them_as_lost(bench) {
        bench.append("access.log", lines("read", 0..40));
        let daemon = bench.watch();
        bench.rows(40).await;
        assert!(daemon.stop().await.success());
        let daemon = bench.watch();
        bench.append("access.log", lines("seen", 0..1));
        bench.rows(41).await;
        fs::File::options().write(true).open(bench.log("access.log")).unwrap().set_len(0).unwrap();
        bench.append("access.log", lines("new", 0..3));
        bench.exactly([urls("read", 0..40), urls("seen", 0..1), urls("new", 0..3)].concat()).await;
        assert!(daemon.stop().await.success());
        assert_eq!(
            bench.place.texts("SELECT closed_reason FROM log_file WHERE closed_at IS NOT NULL").await,
            ["truncated or replaced"]
        );
    }

    async fn truncated_and_written_past_the_old_size_between_two_looks(bench) {
        bench.append("access.log", lines("old", 0..10));
        let daemon = bench.watch();
        bench.rows(10).await;
        daemon.signal("STOP");
        fs::write(bench.log("access.log"), lines("new", 0..50)).unwrap();
        daemon.signal("CONT");
        bench.exactly([urls("old", 0..10), urls("new", 0..50)].concat()).await;
    }

    async fn deleted_and_made_again_under_the_same_name(bench) {
        let _daemon = bench.watch();
        for round in ["a", "b", "c"] {
            bench.append("access.log", lines(round, 0..10));
            let wanted = 10 * (1 + i64::from(round.as_bytes()[0] - b'a'));
            bench.rows(wanted).await;
            fs::remove_file(bench.log("access.log")).unwrap();
        }
        bench.exactly([urls("a", 0..10), urls("b", 0..10), urls("c", 0..10)].concat()).await;
    }

    async fn many_files_that_begin_alike(bench) {
        let head: String = lines("same", 0..60);
        assert!(head.len() > 4096);
        let mut all = Vec::new();
        for n in 0..50 {
            bench.append(&format!("worker{n}.log"), format!("{head}{}", line(&format!("/own/{n}"))));
            all.extend(urls("same", 0..60));
            all.push(format!("/own/{n}"));
        }
        let _daemon = bench.watch();
        bench.exactly(all).await;
    }

    async fn files_of_one_short_line(bench) {
        let all: Vec<String> = (0..40).map(|n| format!("/{n}")).collect();
        for (n, url) in all.iter().enumerate() {
            bench.append(&format!("{n}.log"), line(url));
        }
        let daemon = bench.watch();
        bench.rows(40).await;
        assert!(daemon.stop().await.success());
        let _daemon = bench.watch();
        bench.append("0.log", line("/more"));
        bench.exactly(all.into_iter().chain(["/more".to_owned()])).await;
    }

    async fn a_line_in_three_pieces_and_over_a_restart(bench) {
        bench.append("access.log", lines("whole", 0..3));
        let daemon = bench.watch();
        bench.rows(3).await;
        let text = line("/pieces");
        let (one, rest) = text.split_at(20);
        let (two, three) = rest.split_at(40);
        bench.append("access.log", one);
        bench.append("access.log", two);
        assert!(daemon.stop().await.success());
        let _daemon = bench.watch();
        bench.append("access.log", three);
        bench.append("access.log", line("/afterwards").replace('\n', "\r\n"));
        bench.exactly([urls("whole", 0..3), vec!["/pieces".into(), "/afterwards".into()]].concat()).await;
    }

    async fn what_the_format_does_not_read_is_a_reject_with_its_bytes(bench) {
        let bad: &[u8] = b"127.0.0.1 - - [23/Nov/2026:08:41:00 +0000] \"GET /\xff\xfe HTTP/1.1\" 200";
        bench.append("access.log", lines("good", 0..5));
        bench.append("access.log", [bad, b"\n"].concat());
        bench.append("access.log", [line("/nul").replace("/nul", "/\0nul").as_bytes(), b"\n"].concat());
        bench.append("access.log", lines("good", 5..10));
        let _daemon = bench.watch();
        bench.exactly(urls("good", 0..10)).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 3);
        let hex = if bench.place.is_postgres() { "encode(raw, 'hex')" } else { "lower(hex(raw))" };
        let raw = bench.place.texts(&format!("SELECT {hex} FROM rejected_line ORDER BY log_offset")).await;
        let wanted: String = bad.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(raw[0], wanted);
    }

    async fn a_line_of_two_megabytes_is_stored_and_one_of_five_is_a_reject(bench) {
        bench.append("access.log", line("/small"));
        bench.append("access.log", line(&format!("/{}", "x".repeat(2 << 20))));
        bench.append("access.log", line(&format!("/{}", "y".repeat(5 << 20))));
        bench.append("access.log", line("/afterwards"));
        let _daemon = bench.watch();
        bench.rows(3).await;
        bench.balanced().await;
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line WHERE reason LIKE '%longer than 4 MiB%'").await, 1);
        assert_eq!(bench.place.number("SELECT CAST(max(length(url)) AS bigint) FROM gunicorn_log").await, (2 << 20) + 1);
    }

    async fn the_error_log_beside_is_left_alone_and_named_once(bench) {
        bench.append("access.log", lines("a", 0..5));
        let error = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n";
        bench.append("error.log", error.repeat(5));
        let mut daemon = bench.watch();
        bench.rows(5).await;
        bench.append("error.log", error.repeat(5));
        bench.append("access.log", lines("b", 0..5));
        bench.exactly([urls("a", 0..5), urls("b", 0..5)].concat()).await;
        daemon.says("error log").await;
        assert_eq!(bench.said().matches("error log").count(), 1);
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 0);
    }

    async fn archives_names_with_a_dot_and_excluded_names_are_left_alone(bench) {
        bench.append("access.log", lines("a", 0..5));
        bench.append(".access.log.swp", lines("hidden", 0..5));
        bench.append("debug.log", lines("excluded", 0..5));
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(lines("archive", 0..5).as_bytes()).unwrap();
        bench.append("access.log.2.gz", gzip.finish().unwrap());
        bench.append("plain.gz", lines("plain", 0..5));
        let _daemon = bench.watch_with(&["--exclude", "debug*"]);
        bench.exactly([urls("a", 0..5), urls("plain", 0..5)].concat()).await;
    }

    async fn a_symbolic_link_and_a_hard_link_are_one_reader(bench) {
        bench.append("access.log", lines("a", 0..5));
        std::os::unix::fs::symlink(bench.log("access.log"), bench.log("link.log")).unwrap();
        fs::hard_link(bench.log("access.log"), bench.log("hard.log")).unwrap();
        let _daemon = bench.watch();
        bench.append("hard.log", lines("b", 0..5));
        bench.exactly([urls("a", 0..5), urls("b", 0..5)].concat()).await;
    }

    async fn a_directory_removed_and_made_again(bench) {
        bench.append("access.log", lines("a", 0..5));
        let _daemon = bench.watch();
        bench.rows(5).await;
        fs::remove_dir_all(bench.logs()).unwrap();
        fs::create_dir(bench.logs()).unwrap();
        bench.append("access.log", lines("b", 0..5));
        bench.rows(10).await;
        bench.append("access.log", lines("c", 0..5));
        bench.exactly([urls("a", 0..5), urls("b", 0..5), urls("c", 0..5)].concat()).await;
    }
}
