//! Rows of older versions, which stored an address of IPv4 within IPv6 as it was logged: such rows are
//! found by either form, and are no difference.

use std::fs;

use crate::daemon::{for_each_store, line};

/// A log of a server that listens on `[::]`: its first three requests from 203.0.113.9, the fourth from
/// another address.
fn log() -> String {
    let of = |nth: u32, address: &str| line(&format!("/a/{nth}")).replacen("127.0.0.1", address, 1);
    let first: String = (0..3).map(|nth| of(nth, "::ffff:203.0.113.9")).collect();
    first + &of(3, "::ffff:203.0.114.9")
}

/// The same requests as lines of JSON.
fn json_log() -> String {
    let line = |(nth, address): (u32, &str)| {
        format!(
            "{{\"log\":\"request\",\"timestamp\":\"2026-11-23T08:41:00Z\",\"method\":\"GET\",\
             \"path\":\"/a/{nth}\",\"ip_address\":\"{address}\"}}\n"
        )
    };
    let address = |nth: u32| if nth < 3 { "::ffff:203.0.113.9" } else { "::ffff:203.0.114.9" };
    (0..4).map(|nth| line((nth, address(nth)))).collect()
}

const COUNT: &str = "SELECT count(*) FROM gunicorn_log WHERE user_ip = '203.0.113.9'";

for_each_store! {
    async fn a_search_finds_both_forms_and_verify_counts_the_older(bench) {
        for (name, log) in [("access.log", log()), ("requests.log", json_log())] {
            let file = bench.log(name);
            fs::write(&file, log).unwrap();
            bench.succeed(&["import", file.to_str().unwrap()]);
        }
        assert_eq!(bench.place.number(COUNT).await, 3, "new rows have the address of IPv4");
        bench.verified(&[]);
        // Two rows of each table as an older version stored them.
        for (table, column, url) in
            [("gunicorn_log", "user_ip", "url"), ("request_log", "ip_address", "path")]
        {
            let to_older = format!(
                "UPDATE {table} SET {column} = '::ffff:203.0.113.9' WHERE {url} IN ('/a/0', '/a/1');
                 UPDATE {table} SET {column} = '::ffff:203.0.114.9' WHERE {url} = '/a/3'"
            );
            bench.place.execute(&to_older).await;
        }
        assert_eq!(bench.place.number(COUNT).await, 1);

        for log in ["access", "requests"] {
            for (address, rows) in [
                ("203.0.113.9", 3),
                ("::ffff:203.0.113.9", 3),
                ("203.0.113.0/24", 3),
                ("203.0.112.0/22", 4),
                ("::ffff:203.0.112.0/118", 4),
                ("203.0.113.8/30", 3),
                ("0.0.0.0/0", 4),
                ("203.0.115.0/24", 0),
                ("203.0.113.90", 0),
            ] {
                let asked = [
                    "query", "--log", log, "--since", "2026-11-23", "--until", "2026-11-24",
                    "--address", address, "--output", "jsonl",
                ];
                let found = bench.succeed(&asked);
                assert_eq!(found.lines().count(), rows, "{log} {address}: {found}");
            }
        }
        let top = [
            "top", "urls", "--since", "2026-11-23", "--until", "2026-11-24", "--address",
            "203.0.113.9",
        ];
        let top = bench.succeed(&top);
        assert!((0..3).all(|nth| top.contains(&format!("/a/{nth}"))), "{top}");

        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("by_older_rule")), (8, 6));
        let words = bench.succeed(&["verify"]);
        let older = "3 rows have addresses of an older rule, as ::ffff:203.0.113.9";
        assert_eq!(words.matches(older).count(), 2, "{words}");

        // Another address in that form is a difference like any other.
        let wrong = "UPDATE gunicorn_log SET user_ip = '::ffff:203.0.113.8' WHERE url = '/a/0'";
        bench.place.execute(wrong).await;
        let told = bench.differs(&[]);
        let (about, _, file, database) = told.first();
        assert_eq!(about, "user_ip");
        assert_eq!((file.as_str(), database.as_str()), ("203.0.113.9", "::ffff:203.0.113.8"));
    }
}
