//! A UTF-8 byte order mark at the beginning of a log, as programs on Windows write it.

use std::fs;

use crate::archives::compress;
use crate::containers::runtime::RUNTIMES;
use crate::daemon::{for_each_store, line, lines, urls};

const MARK: &str = "\u{feff}";

/// Rows whose first value is an address.
const WITH_ADDRESS: &str = "SELECT count(*) FROM gunicorn_log WHERE user_ip IS NOT NULL";

for_each_store! {
    async fn it_is_no_part_of_the_first_value_in_an_import(bench) {
        let text = |prefix: &str| format!("{MARK}{}", lines(prefix, 0..5));
        bench.append("a.log", text("a"));
        bench.append("b.log.gz", compress("gz", text("b").as_bytes()));
        bench.append("alone.log", format!("{MARK}{}", line("/alone").trim_end()));
        for name in ["a.log", "b.log.gz"] {
            let checked = bench.succeed(&["check", bench.log(name).to_str().unwrap()]);
            assert!(checked.contains("5 would be stored") && !checked.contains(MARK), "{checked}");
        }
        assert_eq!(bench.import(&["a.log", "b.log.gz", "alone.log"]).counts(), (11, 11, 0));
        assert_eq!(bench.place.number(WITH_ADDRESS).await, 11);
        let offset = "SELECT count(*) FROM gunicorn_log WHERE log_offset = 0";
        assert_eq!(bench.place.number(offset).await, 3);
        let second = "SELECT log_offset FROM gunicorn_log WHERE url = '/a/1'";
        assert_eq!(bench.place.number(second).await, (MARK.len() + line("/a/0").len()) as i64);
        let told = bench.verified(&[]);
        let bytes = 2 * text("a").len() + MARK.len() + line("/alone").len() - 1;
        assert_eq!((told.sum("rows"), told.sum("bytes")), (11, bytes as u64));
        bench.append("copy.log.zst", compress("zst", text("a").as_bytes()));
        assert_eq!(bench.import(&["a.log", "copy.log.zst"]).counts(), (10, 0, 10));
        bench.exactly([urls("a", 0..5), urls("b", 0..5), vec!["/alone".to_owned()]].concat()).await;
    }

    async fn it_is_no_part_of_the_first_value_of_a_log_that_is_followed(bench) {
        let daemon = bench.watch();
        let first = line("/a/0");
        let (one, other) = first.split_at(20);
        bench.append("access.log", &MARK.as_bytes()[..2]);
        bench.append("other.log", lines("b", 0..1));
        bench.rows(1).await;
        bench.append("access.log", &MARK.as_bytes()[2..]);
        bench.append("access.log", one);
        bench.append("other.log", lines("b", 1..2));
        bench.rows(2).await;
        bench.append("access.log", other);
        bench.append("access.log", lines("a", 1..3));
        bench.rows(5).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("a", 3..5));
        // Compressed before all of it was read.
        let text = fs::read(bench.log("access.log")).unwrap();
        fs::write(bench.log("access.log.1.gz"), compress("gz", &text)).unwrap();
        fs::remove_file(bench.log("access.log")).unwrap();
        let _daemon = bench.watch();
        bench.exactly([urls("a", 0..5), urls("b", 0..2)].concat()).await;
        assert_eq!(bench.place.number(WITH_ADDRESS).await, 7);
        bench.verified(&[]);
    }

    async fn a_first_line_that_is_rejected_keeps_it_and_is_read_without_it_later(bench) {
        bench.append("access.log", format!("{MARK}GET /a 200\nGET /b 200 7\n"));
        let path = bench.log("access.log");
        let path = path.to_str().unwrap();
        bench.succeed(&["import", "--format", "%(m)s %(U)s %(s)s %(b)s", path]);
        let raw = match bench.place.is_postgres() {
            true => "SELECT encode(raw, 'hex') FROM rejected_line",
            false => "SELECT lower(hex(raw)) FROM rejected_line",
        };
        let raw = bench.place.texts(raw).await.concat();
        assert!(raw.starts_with("efbbbf474554"), "{raw}");
        bench.verified(&[]);
        bench.succeed(&["reparse", "--format", "%(m)s %(U)s %(s)s"]);
        assert_eq!(bench.place.texts("SELECT DISTINCT method FROM gunicorn_log").await, ["GET"]);
        assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log").await, 2);
        bench.balanced().await;
    }

    async fn json_lines_and_containers_logs_are_read_after_it(bench) {
        let json = r#"{"log":"request","timestamp":"2026-11-23T08:41:00+00:00","method":"GET","path":"/json","status_code":200,"response_time_ms":1}"#;
        bench.append("json.log", format!("{MARK}{json}\n{json}\n"));
        assert_eq!(bench.import(&["json.log"]).count("rows"), 2);
        assert_eq!(bench.place.number("SELECT count(*) FROM request_log").await, 2);
        for runtime in RUNTIMES {
            let text = runtime.lines("stdout", &lines(runtime.name(), 0..4));
            let name = format!("{}.log", runtime.name());
            bench.append(&name, [MARK.as_bytes(), &text[..]].concat());
            assert_eq!(bench.import(&[&name]).counts(), (4, 4, 0));
        }
        bench.verified(&[]);
        assert_eq!(bench.place.number(WITH_ADDRESS).await, 4 * RUNTIMES.len() as i64);
    }
}
