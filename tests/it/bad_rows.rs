//! A row that the database refuses costs its batch nothing: it is a reject, with its bytes.

use crate::daemon::{Bench, for_each_store, line, lines, urls};
use crate::place::Place;

for_each_store! {
    /// The database refuses one row, by an operator's own constraint or index.
    async fn one_row_in_ten_thousand_that_the_database_refuses_is_a_reject(bench) {
        refuse(&bench, "/a/7777").await;
        bench.append("access.log", lines("a", 0..10_000));
        let _daemon = bench.watch();
        let right = urls("a", 0..10_000).into_iter().filter(|url| url != "/a/7777");
        bench.exactly(right).await;
        reject(&bench, "/a/7777", lines("a", 0..7777).len()).await;
    }

    async fn one_row_of_an_import_that_the_database_refuses_is_a_reject(bench) {
        refuse(&bench, "/a/777").await;
        bench.append("access.log", lines("a", 0..1000));
        let summary = bench.import(&["access.log"]);
        assert_eq!((summary.counts(), summary.count("rejected")), ((1000, 999, 0), 1));
        bench.exactly(urls("a", 0..1000).into_iter().filter(|url| url != "/a/777")).await;
        reject(&bench, "/a/777", lines("a", 0..777).len()).await;
    }

    async fn a_row_that_is_refused_while_others_are_on_their_way_stops_none_of_them(bench) {
        refuse(&bench, "/a/45000").await;
        bench.append("access.log", lines("a", 0..90_000));
        let log = bench.log("access.log");
        bench.succeed(&["import", "--jobs", "4", log.to_str().unwrap()]);
        bench.exactly(urls("a", 0..90_000).into_iter().filter(|url| url != "/a/45000")).await;
        reject(&bench, "/a/45000", lines("a", 0..45_000).len()).await;
    }

    async fn a_row_of_one_of_many_small_files_that_is_refused_is_a_reject_of_that_file(bench) {
        refuse(&bench, "/5/7").await;
        let mut names: Vec<String> = (0..20).map(|nth| format!("{nth}.log")).collect();
        names[5] = "access.log".to_owned();
        for (nth, name) in names.iter().enumerate() {
            bench.append(name, lines(&nth.to_string(), 0..10));
        }
        let summary = bench.import(&names.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!((summary.counts(), summary.count("rejected")), ((200, 199, 0), 1));
        let all = (0..20).flat_map(|nth| urls(&nth.to_string(), 0..10));
        bench.exactly(all.filter(|url| url != "/5/7")).await;
        reject(&bench, "/5/7", lines("5", 0..7).len()).await;
    }
}

/// The database does not take a row with this url.
async fn refuse(bench: &Bench, url: &str) {
    let refuse = if bench.place.is_postgres() {
        format!("ALTER TABLE gunicorn_log ADD CONSTRAINT not_this CHECK (url <> '{url}')")
    } else {
        format!(
            "CREATE TRIGGER not_this BEFORE INSERT ON gunicorn_log WHEN new.url = '{url}'
                 BEGIN SELECT RAISE(ABORT, 'not_this'); END"
        )
    };
    bench.place.execute(&refuse).await;
}

/// The one reject: its bytes, file, offset and reason.
async fn reject(bench: &Bench, url: &str, offset: usize) {
    let postgres = bench.place.is_postgres();
    let raw = if postgres { "convert_from(raw, 'UTF8')" } else { "CAST(raw AS text)" };
    let found = format!(
        "SELECT {raw} || '|' || path || '|' || log_offset || '|' || reason
           FROM rejected_line JOIN log_file ON log_file.id = log_file"
    );
    let found = bench.place.texts(&found).await;
    let line = line(url);
    let start = format!("{}|{}|{offset}|", line.trim_end(), bench.log("access.log").display());
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with(&start) && found[0].contains("not_this"), "{found:?}");
}

/// A text that is too long for an operator's own index is another kind of refusal (SQLSTATE 54000),
/// and so is a trigger of their own that says no (P0001).
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_foreign_index_or_trigger_refuses_is_a_reject() {
    let bench = Bench::new(Place::postgres().await).await;
    bench
        .place
        .execute(
            "CREATE INDEX ON gunicorn_log (url);
             CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN RAISE EXCEPTION 'no such url here'; END $$;
             CREATE TRIGGER no BEFORE INSERT ON gunicorn_log FOR EACH ROW
                 WHEN (NEW.url = '/no') EXECUTE FUNCTION no();",
        )
        .await;
    // Random letters, so that PostgreSQL cannot make it short.
    let long: String = std::iter::repeat_with(fastrand::alphanumeric).take(20_000).collect();
    bench.append("access.log", lines("a", 0..50));
    bench.append("access.log", line(&format!("/{long}")));
    bench.append("access.log", lines("a", 50..100));
    bench.append("access.log", line("/no"));
    bench.append("access.log", lines("a", 100..150));
    let _daemon = bench.watch();
    bench.exactly(urls("a", 0..150)).await;
    let reasons = "SELECT reason FROM rejected_line ORDER BY log_offset";
    let reasons = bench.place.texts(reasons).await;
    assert_eq!(reasons.len(), 2);
    assert!(reasons[0].contains("index row"), "{reasons:?}");
    assert!(reasons[1].contains("no such url here"), "{reasons:?}");
}
