//! `log-ingestd import`: whole files, each line once, whatever they are called and however they
//! are compressed.

use std::fs;

use crate::archives::{KINDS, compress};
use crate::daemon::{for_each_store, line, lines, urls};

for_each_store! {
    async fn plain_and_compressed_files_are_told_by_their_content(bench) {
        let mut all = Vec::new();
        for kind in KINDS {
            let prefix = format!("in-{kind}");
            bench.append(&format!("archive.{kind}"), compress(kind, lines(&prefix, 0..50).as_bytes()));
            all.extend(urls(&prefix, 0..50));
        }
        bench.append("nameless", compress("gz", lines("nameless", 0..50).as_bytes()));
        bench.append("plain.gz", lines("plain", 0..50));
        all.extend([urls("nameless", 0..50), urls("plain", 0..50)].concat());
        let names = ["archive.gz", "archive.zst", "archive.xz", "archive.bz2", "nameless", "plain.gz"];
        assert_eq!(bench.import(&names).counts(), (300, 300, 0));
        bench.exactly(all.clone()).await;
        assert_eq!(bench.import(&names).counts(), (300, 0, 300));
        bench.exactly(all).await;
    }

    async fn standard_input_plain_and_compressed(bench) {
        let text = lines("stream", 0..100);
        assert_eq!(bench.import_stream(text.as_bytes()).counts(), (100, 100, 0));
        for kind in KINDS {
            assert_eq!(bench.import_stream(&compress(kind, text.as_bytes())).counts(), (100, 0, 100));
        }
        bench.append("access.log", &text);
        assert_eq!(bench.import(&["access.log"]).counts(), (100, 0, 100));
        assert_eq!(bench.import_stream(b"").counts(), (0, 0, 0));
        bench.exactly(urls("stream", 0..100)).await;
    }

    async fn several_archives_in_one_are_read_to_their_end(bench) {
        let mut all = Vec::new();
        for kind in KINDS {
            let parts = (0..3).map(|part| compress(kind, lines(kind, part * 10..part * 10 + 10).as_bytes()));
            bench.append(&format!("members.{kind}"), parts.collect::<Vec<_>>().concat());
            all.extend(urls(kind, 0..30));
        }
        bench.import(&["members.gz", "members.zst", "members.xz", "members.bz2"]);
        bench.exactly(all).await;
    }

    async fn another_name_another_place_or_another_compression_adds_nothing(bench) {
        let text = lines("a", 0..200);
        bench.append("access.log", &text);
        assert_eq!(bench.import(&["access.log"]).counts(), (200, 200, 0));
        fs::rename(bench.log("access.log"), bench.log("access.log.1")).unwrap();
        assert_eq!(bench.import(&["access.log.1"]).counts(), (200, 0, 200));
        bench.append("copy-of-it", &text);
        assert_eq!(bench.import(&["copy-of-it", "copy-of-it"]).counts(), (400, 0, 400));
        for kind in KINDS {
            bench.append("late", compress(kind, text.as_bytes()));
            assert_eq!(bench.import(&["late"]).counts(), (200, 0, 200));
            fs::remove_file(bench.log("late")).unwrap();
        }
        bench.exactly(urls("a", 0..200)).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
    }

    async fn what_was_tailed_adds_nothing_and_what_grew_adds_the_rest(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        assert_eq!(bench.import(&["access.log"]).counts(), (100, 0, 100));
        bench.append("access.log", lines("b", 0..20));
        assert_eq!(bench.import(&["access.log"]).counts(), (120, 20, 100));
        let whole = fs::read(bench.log("access.log")).unwrap();
        bench.append("old.gz", compress("gz", &[&whole, lines("c", 0..5).as_bytes()].concat()));
        assert_eq!(bench.import(&["old.gz"]).counts(), (125, 5, 120));
        bench.exactly([urls("a", 0..100), urls("b", 0..20), urls("c", 0..5)].concat()).await;
        // And the daemon goes on where the imports stopped.
        bench.append("access.log", lines("c", 0..5));
        bench.append("access.log", lines("d", 0..5));
        let _daemon = bench.watch();
        bench.exactly([urls("a", 0..100), urls("b", 0..20), urls("c", 0..5), urls("d", 0..5)].concat()).await;
    }

    async fn a_shorter_copy_of_what_is_stored_adds_nothing(bench) {
        let whole = lines("a", 0..200);
        bench.append("access.log", &whole);
        let daemon = bench.watch();
        bench.rows(200).await;
        assert!(daemon.stop().await.success());
        for count in [7, 150, 199] {
            let part = lines("a", 0..count);
            assert!(whole.starts_with(&part));
            let count = u64::from(count);
            assert_eq!(bench.import_stream(part.as_bytes()).counts(), (count, 0, count));
            assert_eq!(bench.import_stream(&compress("zst", part.as_bytes())).counts(), (count, 0, count));
        }
        bench.exactly(urls("a", 0..200)).await;
    }

    async fn a_file_with_the_same_beginning_is_another_file(bench) {
        let head = lines("same", 0..60);
        assert!(head.len() > 4096);
        let mut all = Vec::new();
        for (nth, own) in ["short", "a-much-longer-name", "medium"].iter().enumerate() {
            bench.append(&format!("{nth}.log"), format!("{head}{}", lines(own, 0..10)));
            assert_eq!(bench.import(&[&format!("{nth}.log")]).counts(), (70, 70, 0));
            all.extend([urls("same", 0..60), urls(own, 0..10)].concat());
        }
        bench.exactly(all.clone()).await;
        // A file that is not shorter in lines but in bytes, and differs only in its last line.
        bench.append("3.log", format!("{head}{}{}", lines("short", 0..9), line("/x")));
        assert_eq!(bench.import(&["3.log"]).counts(), (70, 70, 0));
        all.extend([urls("same", 0..60), urls("short", 0..9), vec!["/x".to_owned()]].concat());
        bench.exactly(all).await;
        assert_eq!(bench.import(&["0.log", "1.log", "2.log", "3.log"]).counts(), (280, 0, 280));
    }

    async fn a_last_line_without_its_end_is_stored_once(bench) {
        let text = lines("a", 0..3);
        bench.append("access.log", text.trim_end());
        assert_eq!(bench.import(&["access.log"]).counts(), (3, 3, 0));
        assert_eq!(bench.import(&["access.log"]).counts().1, 0);
        bench.append("access.log", "\n");
        assert_eq!(bench.import(&["access.log"]).counts(), (3, 0, 3));
        bench.append("access.log", lines("b", 0..2));
        assert_eq!(bench.import(&["access.log"]).counts(), (5, 2, 3));
        bench.exactly([urls("a", 0..3), urls("b", 0..2)].concat()).await;
        // With the end and the next lines at once.
        bench.append("other.log", line("/one").trim_end());
        assert_eq!(bench.import(&["other.log"]).counts(), (1, 1, 0));
        bench.append("other.log", format!("\r\n{}", line("/two")));
        assert_eq!(bench.import(&["other.log"]).counts(), (2, 1, 1));
        bench.append("cut.log", format!("{}{}", line("/whole"), &line("/cut")[..40]));
        assert_eq!(bench.import(&["cut.log"]).counts(), (1, 1, 0));
        bench.append("cut.log", &line("/cut")[40..]);
        assert_eq!(bench.import(&["cut.log"]).counts(), (2, 1, 1));
        let more = ["/one", "/two", "/whole", "/cut"].map(str::to_owned);
        bench.exactly([urls("a", 0..3), urls("b", 0..2), more.to_vec()].concat()).await;
    }

    async fn carriage_returns_belong_to_the_line_ends(bench) {
        bench.append("access.log", lines("a", 0..10).replace('\n', "\r\n"));
        assert_eq!(bench.import(&["access.log"]).counts(), (10, 10, 0));
        assert_eq!(bench.import(&["access.log"]).counts(), (10, 0, 10));
        bench.exactly(urls("a", 0..10)).await;
        let agents = "SELECT DISTINCT agent FROM gunicorn_log";
        assert_eq!(bench.place.texts(agents).await, ["curl/8"]);
    }

    async fn empty_files_and_empty_archives_are_nothing_to_complain_about(bench) {
        bench.append("empty.log", "");
        bench.append("empty.gz", "");
        for kind in KINDS {
            bench.append(&format!("nothing.{kind}"), compress(kind, b""));
        }
        let names = ["empty.log", "empty.gz", "nothing.gz", "nothing.zst", "nothing.xz", "nothing.bz2"];
        assert_eq!(bench.import(&names).counts(), (0, 0, 0));
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 0);
    }

    async fn the_summary_adds_up(bench) {
        bench.append("access.log", lines("a", 0..10));
        bench.append("access.log", "no line of ours\n");
        bench.append("access.log", line("/health/live"));
        let path = bench.log("access.log");
        let bytes = fs::metadata(&path).unwrap().len();
        let arguments = ["import", "--json", "--exclude-path", "/health/", path.to_str().unwrap()];
        let told: serde_json::Value = serde_json::from_str(&bench.succeed(&arguments)).unwrap();
        for (name, right) in [("lines", 12), ("rows", 10), ("rejected", 1), ("excluded", 1),
            ("already_stored", 0), ("bytes", bytes)] {
            assert_eq!(told[name].as_u64(), Some(right), "{name}");
        }
        assert!(told["seconds"].as_f64().unwrap() > 0.0);
        let again = bench.import(&["access.log"]);
        assert_eq!((again.counts(), again.count("bytes")), ((12, 0, 12), bytes));
        assert_eq!((again.count("rejected"), again.count("excluded")), (0, 0));
        let told = bench.succeed(&["import", path.to_str().unwrap()]);
        assert!(told.contains("12 lines") && told.contains("12 already stored"), "{told}");
        bench.balanced().await;
    }

    async fn lines_older_than_the_retention_are_stored_and_counted_in_a_notice(bench) {
        bench.append("old.log", lines("old", 0..30).replace("/2026:", "/2024:"));
        bench.append("old.log", lines("new", 0..3).replace("23/Nov/2026", &chrono::Utc::now().format("%d/%b/%Y").to_string()));
        let told = bench.succeed(&["import", bench.log("old.log").to_str().unwrap()]);
        assert!(told.contains("notice: 30 rows are older than the retention (120d)"), "{told}");
        bench.exactly([urls("old", 0..30), urls("new", 0..3)].concat()).await;
        bench.append("older.log", lines("older", 0..3).replace("/2026:", "/2023:"));
        let told = bench.succeed(&["import", "--retention", "off", bench.log("older.log").to_str().unwrap()]);
        assert!(!told.contains("notice"), "{told}");
    }
}
