//! What stands in the lines: odd, huge, forged, broken; stored as it is, or a reject with its
//! bytes, and the lines beside it whole.

use crate::daemon::{Bench, for_each_store, line, lines, urls};

/// A line with this address, user name, time and rest.
fn odd(address: &str, user: &str, time: &str, rest: &str) -> String {
    format!("{address} - {user} [{time}] {rest}\n")
}

/// A time that is of no interest.
const TIME: &str = "23/Nov/2026:08:41:00 +0000";

fn get(url: &str) -> String {
    format!("\"GET {url} HTTP/1.1\" 200 2 \"-\" \"curl/8\"")
}

/// One text for each row, in the order of their lines; NULL as `NULL`.
async fn column(bench: &Bench, column: &str) -> Vec<String> {
    let text = format!("coalesce(CAST({column} AS text), 'NULL')");
    bench
        .place
        .texts(&format!("SELECT {text} FROM gunicorn_log ORDER BY log_file, log_offset"))
        .await
}

for_each_store! {
    async fn an_empty_file_and_a_line_without_an_end_wait_for_the_rest(bench) {
        bench.append("access.log", lines("a", 0..5));
        bench.append("empty.log", "");
        let daemon = bench.watch();
        bench.rows(5).await;
        let (half, rest) = ("GET /afterwards HTTP/1.1\" 200 2 \"-\" \"curl/8", "\"\n");
        bench.append("access.log", format!("127.0.0.1 - - [{TIME}] \"{half}"));
        bench.append("empty.log", lines("filled", 0..5));
        bench.rows(10).await;
        assert!(daemon.stop().await.success());
        // What is not a line yet is not lost and not counted.
        assert_eq!(bench.stored().await, 10);
        let _daemon = bench.watch();
        bench.append("access.log", rest);
        bench.exactly([urls("a", 0..5), urls("filled", 0..5), vec!["/afterwards".to_owned()]].concat()).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 0);
    }

    async fn a_carriage_return_and_its_newline_in_two_writes(bench) {
        bench.append("access.log", lines("a", 0..3).replace('\n', "\r\n"));
        let _daemon = bench.watch();
        bench.rows(3).await;
        bench.append("access.log", line("/split").replace('\n', "\r"));
        bench.append("other.log", line("/other"));
        bench.rows(4).await;
        bench.append("access.log", "\n");
        bench.append("access.log", line("/afterwards").replace('\n', "\r\n"));
        let more = ["/split", "/other", "/afterwards"].map(str::to_owned);
        bench.exactly([urls("a", 0..3), more.to_vec()].concat()).await;
        assert_eq!(bench.place.texts("SELECT DISTINCT agent FROM gunicorn_log").await, ["curl/8"]);
    }

    async fn lines_of_32_kib_and_2_mib_are_stored_whole_and_so_is_what_follows_them(bench) {
        let url = |length: usize| format!("/{}", "x".repeat(length - 1));
        let long = [url(32 << 10), "/between".to_owned(), url(2 << 20), "/afterwards".to_owned()];
        for url in &long {
            bench.append("access.log", line(url));
        }
        let _daemon = bench.watch();
        bench.exactly(long).await;
    }

    async fn a_line_that_is_too_long_already_and_has_no_end_yet(bench) {
        bench.append("access.log", format!("{}{}", lines("a", 0..10), "y".repeat(5 << 20)));
        let daemon = bench.watch();
        bench.rows(10).await;
        bench.append("access.log", "y".repeat(5 << 20));
        bench.append("other.log", line("/other"));
        bench.rows(11).await;
        assert!(daemon.stop().await.success());
        let _daemon = bench.watch();
        bench.append("access.log", format!("y\n{}", lines("b", 0..10)));
        bench.exactly([urls("a", 0..10), vec!["/other".to_owned()], urls("b", 0..10)].concat()).await;
        let reject = format!("is longer than 4 MiB: {} bytes, the first 64 KiB are kept", (10 << 20) + 2);
        assert_eq!(bench.place.texts("SELECT reason FROM rejected_line").await, [reject]);
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
    }

    async fn odd_values_are_stored_as_they_are_and_what_is_missing_is_null(bench) {
        let agent = "a".repeat(300);
        for text in [
            odd("127.0.0.1", "-", TIME, "\"GET /quote HTTP/1.1\" 200 2 \"-\" \"ends in a backslash\\\""),
            odd("127.0.0.1", "-", TIME, &format!("\"GET /long HTTP/1.1\" 200 2 \"-\" \"{agent}\"")),
            odd("-", "-", TIME, "\"-\" - - \"-\" \"-\""),
            odd("", "-", TIME, &get("/socket")),
            odd("2001:db8::1", "-", TIME, &get("/six")),
            odd("not-an-address", "-", TIME, &get("/name")),
        ] {
            bench.append("access.log", text);
        }
        bench.append("access.log", lines("last", 0..1));
        let _daemon = bench.watch();
        bench.rows(7).await;
        let nothing = "NULL";
        let addresses = if bench.place.is_postgres() { "host(user_ip)" } else { "user_ip" };
        assert_eq!(column(&bench, addresses).await,
            ["127.0.0.1", "127.0.0.1", nothing, nothing, "2001:db8::1", nothing, "127.0.0.1"]);
        assert_eq!(column(&bench, "agent").await,
            ["ends in a backslash\\", &*agent, nothing, "curl/8", "curl/8", "curl/8", "curl/8"]);
        assert_eq!(column(&bench, "url").await,
            ["/quote", "/long", nothing, "/socket", "/six", "/name", "/last/0"]);
        assert_eq!(column(&bench, "code").await, ["200", "200", nothing, "200", "200", "200", "200"]);
        bench.balanced().await;
    }

    async fn a_user_name_may_hold_what_it_likes(bench) {
        let names = ["Ann O'Neill", "a [b] c", "[23/Nov/2026:08:41:00 +0000]", "\"GET / HTTP/1.1\"", "-  -"];
        for (nth, name) in names.iter().enumerate() {
            bench.append("access.log", odd("127.0.0.1", name, TIME, &get(&format!("/{nth}"))));
        }
        let _daemon = bench.watch();
        bench.rows(5).await;
        assert_eq!(column(&bench, "user_id").await, names);
        assert_eq!(column(&bench, "url").await, ["/0", "/1", "/2", "/3", "/4"]);
    }

    /// A client can put a newline there, and after it any text: `deploy/docs/limits.md` says so. Every
    /// line of the file is accounted for all the same.
    async fn a_user_name_that_forges_a_second_line_forges_one_row_and_harms_no_other(bench) {
        bench.append("access.log", lines("before", 0..3));
        let forged = line("/forged");
        bench.append("access.log", odd("127.0.0.1", &format!("eve [{TIME}] \"\n{}", forged.trim_end()), TIME, &get("/true")));
        bench.append("access.log", lines("afterwards", 0..3));
        let _daemon = bench.watch();
        crate::place::until("all lines are accounted for", async || bench.stored().await == 8).await;
        bench.balanced().await;
        let urls = column(&bench, "url").await;
        for whole in ["/before/0", "/before/2", "/afterwards/0", "/afterwards/2"] {
            assert_eq!(urls.iter().filter(|url| *url == whole).count(), 1, "{urls:?}");
        }
        assert!(urls.len() <= 7, "{urls:?}");
    }

    /// The times of a row are UTC, whatever the server's clock said; a day that is none is a reject.
    async fn times_at_the_edges_of_the_calendar(bench) {
        for (nth, time) in [
            "29/Feb/2024:23:59:59 +0000", "29/Feb/2023:12:00:00 +0000",
            // The hour that there is twice in Berlin, and the one that there is not.
            "25/Oct/2026:02:30:00 +0200", "25/Oct/2026:02:30:00 +0100", "29/Mar/2026:02:30:00 +0100",
            "23/Nov/2026:03:00:00 +0530", "01/Jan/1970:00:00:00 +0000", "31/Dec/9999:23:59:59 +0000",
        ].iter().enumerate() {
            bench.append("access.log", odd("127.0.0.1", "-", time, &get(&format!("/{nth}"))));
        }
        assert_eq!(bench.import(&["access.log"]).counts(), (8, 7, 0));
        let time = if bench.place.is_postgres() {
            "to_char(timestamp AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
        } else {
            "timestamp"
        };
        assert_eq!(column(&bench, time).await, [
            "2024-02-29 23:59:59", "2026-10-25 00:30:00", "2026-10-25 01:30:00", "2026-03-29 01:30:00",
            "2026-11-22 21:30:00", "1970-01-01 00:00:00", "9999-12-31 23:59:59",
        ]);
        let rejected = "SELECT count(*) FROM rejected_line WHERE log_offset > 0";
        assert_eq!(bench.place.number(rejected).await, 1);
        bench.balanced().await;
    }

    /// Nothing of ours trusts the clock of the server that writes, nor that of the file system.
    async fn lines_and_files_whose_clock_goes_backwards(bench) {
        // The sweep at the start may come late, and would take the oldest.
        let daemon = bench.watch_with(&["--retention", "off"]);
        let mut all = Vec::new();
        for (nth, year) in [2026, 2027, 2025, 2026].iter().enumerate() {
            let name = format!("clock{nth}");
            bench.append("access.log", lines(&name, 0..10).replace("/2026:", &format!("/{year}:")));
            let back = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000 - nth as u64);
            let file = std::fs::File::options().append(true).open(bench.log("access.log")).unwrap();
            file.set_modified(back).unwrap();
            all.extend(urls(&name, 0..10));
            bench.rows(all.len() as i64).await;
        }
        bench.exactly(all).await;
        assert!(daemon.stop().await.success());
    }
}
