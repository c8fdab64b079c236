//! What the log says of lines that are rejected: once for each file and cause, with what to do.

use crate::daemon::{for_each_store, lines, urls};

/// Lines of a log that say that lines are rejected.
fn notices(said: &str) -> Vec<&str> {
    said.lines().filter(|line| line.contains("lines of this file are rejected")).collect()
}

for_each_store! {
    async fn a_daemon_tells_of_each_file_and_cause_once(bench) {
        let daemon = bench.watch_with(&["--format", "gunicorn"]);
        bench.append("access.log", lines("a", 0..3));
        bench.append("access.log", "garbage /x?token=s3cret\n");
        bench.rows(3).await;
        for nth in 0..3 {
            bench.append("access.log", b"\xff\xfe\nmore garbage\n");
            bench.append("other.log", "garbage of another file\n");
            bench.append("access.log", lines(&format!("b{nth}"), 0..1));
            bench.rows(4 + nth).await;
        }
        bench.append("other.log", lines("c", 0..1));
        let all = [urls("a", 0..3), urls("b0", 0..1), urls("b1", 0..1), urls("b2", 0..1), urls("c", 0..1)];
        bench.exactly(all.concat()).await;
        assert!(daemon.stop().await.success());
        let said = bench.said();
        let told = notices(&said);
        let of = |file: &str, code: &str| {
            let of_both = told.iter().filter(|it| it.contains(file) && it.contains(code));
            of_both.count()
        };
        assert_eq!(told.len(), 3, "{told:#?}");
        assert_eq!(of("access.log", "unlike_format"), 1);
        assert_eq!(of("access.log", "not_utf8"), 1);
        assert_eq!(of("other.log", "unlike_format"), 1);
        assert!(told[0].contains("garbage /x?…"), "{told:#?}");
        assert!(told[0].contains("log-ingestd reparse --format"), "{told:#?}");
        assert!(!said.contains("s3cret"), "{said}");
    }

    async fn an_import_tells_of_each_file_and_cause(bench) {
        let file = bench.log("old.log");
        std::fs::write(&file, lines("a", 0..3) + "garbage\nmore\n" + &lines("b", 0..1)).unwrap();
        let output = bench.run(&["import", file.to_str().unwrap(), "--format", "gunicorn"]);
        assert!(output.status.success(), "{output:?}");
        let said = String::from_utf8_lossy(&output.stderr);
        let told = notices(&said);
        assert_eq!(told.len(), 1, "{said}");
        assert!(told[0].contains("old.log") && told[0].contains("lines=2"), "{told:#?}");
    }

    /// They are no requests, and stand among them in each log of a container or of systemd.
    async fn lines_of_the_server_itself_are_kept_without_a_warning(bench) {
        let start = "[2026-11-23 14:23:17 +0530] [24744] [INFO] Starting gunicorn 23.0.0\n";
        bench.append("access.log", lines("a", 0..3) + start + &lines("b", 0..1));
        let daemon = bench.watch();
        bench.exactly([urls("a", 0..3), urls("b", 0..1)].concat()).await;
        let kept = "SELECT count(*) FROM rejected_line WHERE code = 'server_log'";
        assert_eq!(bench.place.number(kept).await, 1);
        assert!(daemon.stop().await.success());
        let said = bench.said();
        assert!(notices(&said).is_empty(), "{said}");
    }
}
