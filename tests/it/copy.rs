//! `log-ingestd copy`: everything of one database in another one, of either kind.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};

use log_ingestd::model::columns::Encoding;
use log_ingestd::store::{COPY_TABLES, CopySource, NOT_COPIED, Store};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};

use crate::daemon::{Bench, Daemon, ToEnd, for_each_store, line_at, lines, rename, urls};
use crate::place::{DAY, NOW, Place, until};

for_every_store!(each_table_and_column_is_copied_or_has_a_reason);

/// All that the default format has, a duration, and headers, of which JSON is made.
const FORMAT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(D)s "%({x-b}i)s" "%({x-a}i)s" "%({server}o)s" "%({wsgi.x}e)s""#;

/// A place of the other kind, without tables.
async fn other_kind(place: &Place) -> Place {
    match place.is_postgres() {
        true => Place::sqlite().await,
        false => Place::postgres().await.without_tables().await,
    }
}

fn copy(bench: &Bench, from: &Place, to: &Place) -> Output {
    bench.run(&["copy", "--from", &from.url, "--to", &to.url])
}

fn copied(bench: &Bench, from: &Place, to: &Place) -> String {
    bench.succeed(&["copy", "--from", &from.url, "--to", &to.url])
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The columns of a table that are copied.
async fn columns(place: &Place, table: &str) -> Vec<String> {
    let sql = match place.is_postgres() {
        true => format!(
            "SELECT attname::text FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0
                AND NOT attisdropped ORDER BY attnum"
        ),
        false => format!("SELECT name FROM pragma_table_info('{table}')"),
    };
    place.texts(&sql).await
}

/// All rows of all tables, each as the texts of its columns; JSON as its value.
async fn everything(place: &Place) -> BTreeMap<&'static str, Vec<Vec<Value>>> {
    let mut all = BTreeMap::new();
    for table in &COPY_TABLES {
        let is_json = |name: &str| {
            let found = table.columns.iter().find(|column| column.name == name);
            found.is_some_and(|column| column.encoding == Encoding::Json)
        };
        let names = columns(place, table.name).await;
        let names: Vec<String> = { names.into_iter() }
            .filter(|name| NOT_COPIED.iter().all(|(it, _)| *it != format!("{}.{name}", table.name)))
            .collect();
        let values: Vec<String> = { names.iter() }
            .map(|name| match (place.is_postgres(), is_json(name)) {
                (true, _) => format!("{name}::text"),
                (false, true) => name.clone(),
                (false, false) => format!("quote({name})"),
            })
            .collect();
        let array = if place.is_postgres() { "json_build_array" } else { "json_array" };
        let sql =
            format!("SELECT CAST({array}({}) AS text) FROM {}", values.join(", "), table.name);
        let rows = place.texts(&sql).await;
        let mut rows: Vec<Vec<Value>> = { rows.iter() }
            .map(|row| {
                let mut row: Vec<Value> = serde_json::from_str(row).unwrap();
                for (name, value) in names.iter().zip(&mut row).filter(|(name, _)| is_json(name)) {
                    if let Some(text) = value.as_str() {
                        let read = serde_json::from_str(text).unwrap_or_else(|_| panic!("{name}"));
                        *value = in_one_notation(read);
                    }
                }
                row
            })
            .collect();
        rows.sort_by_key(|row| format!("{row:?}"));
        all.insert(table.name, rows);
    }
    all
}

/// PostgreSQL writes 1e16 as 10000000000000000.
fn in_one_notation(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(real) if real.fract() == 0.0 && real.abs() < 1e18 => Value::from(real as i64),
            _ => Value::Number(number),
        },
        Value::Array(values) => values.into_iter().map(in_one_notation).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, in_one_notation(value))).collect()
        }
        other => other,
    }
}

/// Puts something into each table, with values of all kinds.
pub(crate) async fn fill(bench: &Bench) {
    bench.append("access.log", lines("a", 0..5));
    bench.append("notes.log", "a text\nthat is not a log\n");
    let daemon = bench.watch();
    bench.swept(1).await;
    bench.rows(5).await;
    let ignored = "SELECT count(*) FROM ignored_file";
    until("the text is ignored", async || bench.place.number(ignored).await == 1).await;
    // It ends, and goes on as another file.
    bench.append("access.log", lines("b", 0..3));
    bench.rows(8).await;
    fs::write(bench.log("access.log"), lines("c", 0..3)).unwrap();
    bench.rows(11).await;
    let closed = "SELECT count(*) FROM log_file WHERE closed_at IS NOT NULL";
    until("the old log is closed", async || bench.place.number(closed).await == 1).await;
    assert!(daemon.stop().await.success());

    let mut access = Vec::new();
    for (nth, at) in
        [0, NOW - 90 * DAY, NOW - 90 * DAY, NOW, 4_102_444_800_000_000].iter().enumerate()
    {
        let line = line_at(&format!("/{nth}?q=%C3%A9"), *at);
        let line = line.trim_end().replace("127.0.0.1", ["2001:db8::7", "203.0.113.9"][nth % 2]);
        writeln!(access, r#"{line} {nth}7 "b{nth}" "a \"é" "gunicorn" "-""#).unwrap();
    }
    access.extend(b"not UTF-8: \xff\xfe\nunlike the format\n");
    let path = bench.aside("given.log");
    fs::write(&path, access).unwrap();
    bench.succeed(&["import", path.to_str().unwrap(), "--format", FORMAT]);

    let path = bench.aside("requests.log");
    let request = |at: &str, more: &str| {
        format!(
            "{{\"log\":\"request\",\"timestamp\":\"{at}\",\"method\":\"GET\",\"path\":\"/p\",\
             \"status_code\":200,\"headers\":{{\"z\":\"1\",\"accept\":\"*/*\"}}{more}}}\n"
        )
    };
    let numbers = ",\"response_time_ms\":2.25,\"whole\":3.0,\"large\":1e16,\"small\":-1.5e-7,\
                   \"nested\":{\"b\":[1,{\"y\":null,\"x\":true}],\"a\":\"q\\\"\\u00e9\\n\"}";
    let requests = [
        request("2026-11-23T08:41:00.123456Z", numbers),
        request("2026-11-23T08:41:00.5Z", ",\"response_time_ms\":0.1,\"body\":\"a \\\\ b\""),
        request("1999-12-31T23:59:59.999999Z", ",\"ip_address\":\"2001:db8::1\""),
    ];
    fs::write(&path, requests.concat()).unwrap();
    bench.succeed(&["import", path.to_str().unwrap()]);
    for table in &COPY_TABLES {
        let rows = bench.place.number(&format!("SELECT count(*) FROM {}", table.name)).await;
        assert!(rows > 0, "{} is empty", table.name);
    }
}

for_each_store! {
    async fn there_and_back_every_table_is_as_it_was(bench) {
        fill(&bench).await;
        let before = everything(&bench.place).await;
        let there = other_kind(&bench.place).await;
        let answer = copied(&bench, &bench.place, &there);
        assert!(answer.contains("both databases have the same rows"), "{answer}");
        assert!(answer.contains("3 request_log\n") && !answer.contains("before"), "{answer}");
        bench.balanced().await;
        crate::place::counted(&there).await;
        let back = bench.place.like_it().await;
        let json = bench.succeed(&["copy", "--from", &there.url, "--to", &back.url, "--json"]);
        let json: Value = serde_json::from_str(&json).unwrap();
        assert_eq!((&json["good"], &json["already_copied"]), (&true.into(), &0.into()));
        let after = everything(&back).await;
        for table in &COPY_TABLES {
            assert_eq!(after[table.name], before[table.name], "{}", table.name);
            let copied = json["tables"].as_array().unwrap();
            let copied = copied.iter().find(|it| it["table"] == table.name).unwrap();
            assert_eq!(copied["rows"], before[table.name].len());
        }
        // No process holds a file there.
        for place in [&there, &back] {
            let held = "SELECT count(*) FROM log_file WHERE owner IS NOT NULL";
            assert_eq!(place.number(held).await, 0);
            let schema = "SELECT max(version) FROM _sqlx_migrations";
            assert_eq!(place.number(schema).await, crate::upgrade::KNOWN);
        }
    }

    async fn the_daemon_goes_on_at_its_offsets_in_the_other_database(bench) {
        let mut bench = bench;
        bench.append("access.log", lines("a", 0..50));
        bench.append("access.log", "half of a line");
        let daemon = bench.watch();
        bench.rows(50).await;
        assert!(daemon.stop().await.success());
        let there = other_kind(&bench.place).await;
        copied(&bench, &bench.place, &there);
        // What is written while no daemon runs waits in the log, even in one that was rotated.
        bench.append("access.log", format!("\n{}", lines("b", 0..50)));
        rename(&bench.log("access.log"), &bench.log("access.log.1"));
        bench.append("access.log", lines("c", 0..50));
        bench.place = there;
        let daemon = bench.watch();
        let mut all = [urls("a", 0..50), urls("b", 0..50), urls("c", 0..50)].concat();
        bench.exactly(all.clone()).await;
        // Another file gets an id that is free.
        rename(&bench.log("access.log"), &bench.log("access.log.2"));
        bench.append("access.log", lines("d", 0..50));
        all.extend(urls("d", 0..50));
        bench.exactly(all).await;
        assert_eq!(bench.place.number("SELECT count(DISTINCT id) FROM log_file").await, 3);
        bench.swept(1).await;
        assert!(daemon.stop().await.success());
        bench.succeed(&["verify"]);
    }

    async fn a_copy_that_is_killed_goes_on_where_it_was(bench) {
        // Enough to be killed in the middle: 20 days of 2,000 lines.
        let day = |nth: i64| (0..2_000).map(move |url| line_at(&format!("/{nth}/{url}"), NOW + (nth - 20) * DAY + url));
        fs::write(bench.aside("all.log"), (0..20).flat_map(day).collect::<String>()).unwrap();
        bench.succeed(&["import", bench.aside("all.log").to_str().unwrap()]);
        let mut half = None;
        for _ in 0..10 {
            let there = other_kind(&bench.place).await;
            let arguments = ["copy", "--from", &bench.place.url, "--to", &there.url];
            let mut child = bench.command(&arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
            until("rows are copied", async || rows_of(&there).await > 4_000).await;
            child.kill().unwrap();
            child.wait().unwrap();
            there.until_alone().await;
            bench.place.until_alone().await;
            if rows_of(&there).await < 40_000 {
                half = Some(there);
                break;
            }
        }
        let there = half.expect("a copy was killed in the middle");
        // Nothing uses half of the rows.
        for arguments in [&["status"][..], &["query"], &["verify"], &["import", "x"], &["migrate"], &["cleanup"]] {
            let output = bench.command(arguments).env("DATABASE_URL", &there.url).to_end();
            assert_eq!(output.status.code(), Some(1), "{arguments:?}");
            assert!(said(&output).contains("holds half of a copy"), "{}", said(&output));
        }
        let logs = bench.logs();
        let mut command = bench.command(&["watch", logs.to_str().unwrap()]);
        command.env("DATABASE_URL", &there.url);
        let mut daemon = Daemon::start(command, bench.aside("stderr"));
        assert_eq!(daemon.ends().await.code(), Some(1));
        assert!(daemon.said().contains("holds half of a copy"), "{}", daemon.said());
        // Of another source it is not finished.
        let foreign = Bench::new(Place::sqlite().await).await;
        let refused = copy(&bench, &foreign.place, &there);
        assert_eq!(refused.status.code(), Some(1));
        let words = said(&refused);
        assert!(words.contains("holds half of a copy from ") && words.contains("and this is a copy from"), "{words}");
        let answer = copied(&bench, &bench.place, &there);
        assert!(answer.contains("of them were copied before"), "{answer}");
        assert_eq!(rows_of(&there).await, 40_000);
        let back = bench.place.like_it().await;
        copied(&bench, &there, &back);
        assert_eq!(everything(&back).await, everything(&bench.place).await);
    }

    async fn what_cannot_be_copied_is_refused(bench) {
        bench.append("access.log", lines("a", 0..5));
        let daemon = bench.watch();
        bench.rows(5).await;
        let there = other_kind(&bench.place).await;
        let refused = |from: &str, to: &str, words: &str, code: i32| {
            let output = bench.run(&["copy", "--from", from, "--to", to]);
            assert_eq!(output.status.code(), Some(code), "{}", said(&output));
            assert!(said(&output).contains(words), "{}", said(&output));
        };
        // A daemon follows a log.
        let running = format!("a running log-ingestd (web:{}) writes to ", daemon.pid());
        refused(&bench.place.url, &there.url, &running, 1);
        bench.append("access.log", lines("b", 0..5));
        bench.rows(10).await;
        assert!(daemon.stop().await.success());
        refused(&bench.place.url, &bench.place.url, "is the source and the target: expected two databases", 1);
        // The target has rows.
        let filled = Bench::new(other_kind(&bench.place).await).await;
        filled.append("access.log", lines("c", 0..5));
        filled.succeed(&["import", filled.log("access.log").to_str().unwrap()]);
        refused(&bench.place.url, &filled.place.url, "holds rows already, in gunicorn_log", 1);
        filled.exactly(urls("c", 0..5)).await;
        filled.succeed(&["status"]);
        // The source is not there, or not one of ours.
        let nothing = bench.aside("nothing.sqlite3");
        let url = format!("sqlite:{}", nothing.display());
        refused(&url, &there.url, "does not exist, or has no tables of log-ingestd", 1);
        assert!(!nothing.exists());
        let empty = bench.place.like_it().await.without_tables().await;
        refused(&empty.url, &there.url, "does not exist, or has no tables of log-ingestd", 1);
        let url = "mysql://root:s3cret@db/app";
        refused(url, &there.url, "--from: cannot use the database URL 'mysql://root:***@db/app'", 2);
        // After all this it works.
        copied(&bench, &bench.place, &there);
        refused(&bench.place.url, &there.url, "holds rows already, in gunicorn_log", 1);
    }

    async fn no_daemon_writes_to_a_database_that_is_being_copied(bench) {
        bench.append("access.log", lines("a", 0..5));
        bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
        let store = Store::open_to_read(bench.place.location()).await.unwrap();
        let source = CopySource::begin(&store).await.unwrap();
        bench.append("access.log", lines("b", 0..5));
        let mut daemon = bench.watch();
        assert_eq!(daemon.ends().await.code(), Some(1), "{}", daemon.said());
        let words = "is being copied to another database: start this again when `log-ingestd copy` has ended";
        assert!(daemon.said().contains(words), "{}", daemon.said());
        let import = bench.run(&["import", bench.log("access.log").to_str().unwrap()]);
        assert!(!import.status.success() && said(&import).contains(words), "{}", said(&import));
        let there = other_kind(&bench.place).await;
        let second = copy(&bench, &bench.place, &there);
        assert!(said(&second).contains("another `log-ingestd copy` is at work on"), "{}", said(&second));
        // Questions are answered, and sweeps wait.
        assert!(bench.succeed(&["query", "--since", "2026-11-23", "--output", "csv"]).contains("/a/4"));
        bench.rows(5).await;
        source.tables.end().await;
        let daemon = bench.watch();
        bench.exactly([urls("a", 0..5), urls("b", 0..5)].concat()).await;
        assert!(daemon.stop().await.success());
    }
}

/// Rows of `gunicorn_log`; 0 before there is a database.
async fn rows_of(place: &Place) -> i64 {
    let count = AssertSqlSafe("SELECT count(*) FROM gunicorn_log");
    let rows = match place.is_postgres() {
        true => {
            let mut connection = PgConnection::connect(&place.url).await.unwrap();
            sqlx::query_scalar(count).fetch_one(&mut connection).await
        }
        false => match SqliteConnection::connect(&place.url).await {
            Ok(mut connection) => sqlx::query_scalar(count).fetch_one(&mut connection).await,
            Err(_) => Ok(0),
        },
    };
    rows.unwrap_or(0)
}

/// A server may do something else with rows than to store them.
#[tokio::test(flavor = "multi_thread")]
async fn what_differs_is_said_and_copied_again() {
    let bench = Bench::new(Place::sqlite().await).await;
    fill(&bench).await;
    let there = Place::postgres().await;
    there
        .execute(
            "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS
                $$BEGIN NEW.url = '/other'; RETURN NEW; END$$;
             CREATE TRIGGER meddle BEFORE INSERT ON gunicorn_log
                FOR EACH ROW WHEN (NEW.url LIKE '/0%') EXECUTE FUNCTION meddle();
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
                $$BEGIN RAISE EXCEPTION 'no more'; END$$;
             CREATE TRIGGER refuse BEFORE INSERT ON rejected_line
                FOR EACH ROW EXECUTE FUNCTION refuse();",
        )
        .await;
    let refused = copy(&bench, &bench.place, &there);
    assert_eq!(refused.status.code(), Some(1));
    let words = said(&refused);
    assert!(
        words.contains("the copy of rejected_line of 20") && words.contains("no more"),
        "{words}"
    );
    there.execute("DROP TRIGGER refuse ON rejected_line").await;
    // The trigger changes the row at each attempt.
    for _ in 0..2 {
        let different = copy(&bench, &bench.place, &there);
        assert_eq!(different.status.code(), Some(1));
        let words = said(&different);
        let difference =
            "DIFFERENT gunicorn_log before 2000-01-01: 1 row in the source, 1 in the target";
        assert!(words.contains(difference), "{words}");
        assert!(words.contains("nothing uses the target"), "{words}");
    }
    there.execute("DROP TRIGGER meddle ON gunicorn_log").await;
    // Meanwhile the source has got more, and less.
    bench.append("more.log", lines("more", 0..7));
    bench.succeed(&["import", bench.log("more.log").to_str().unwrap()]);
    bench.succeed(&["cleanup", "--older-than", "2026-09-01"]);
    let answer = copied(&bench, &bench.place, &there);
    assert!(answer.contains("of them were copied before"), "{answer}");
    let back = Place::sqlite().await;
    copied(&bench, &there, &back);
    assert_eq!(everything(&back).await, everything(&bench.place).await);
}

async fn each_table_and_column_is_copied_or_has_a_reason(place: Place) {
    place.open().await;
    let tables = match place.is_postgres() {
        true => {
            "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace
                AND relkind IN ('r', 'p') AND NOT relispartition"
        }
        false => "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    };
    let mut missing = Vec::new();
    let has_reason = |name: &str| NOT_COPIED.iter().any(|(it, why)| *it == name && !why.is_empty());
    let tables = place.texts(tables).await;
    for table in &tables {
        let Some(copied) = COPY_TABLES.iter().find(|it| it.name == table) else {
            missing.extend((!has_reason(table)).then(|| table.clone()));
            continue;
        };
        let found = columns(&place, table).await;
        for column in &found {
            let name = format!("{table}.{column}");
            let is_copied = copied.columns.iter().any(|it| it.name == column);
            missing.extend((is_copied == has_reason(&name)).then_some(name));
        }
        for column in copied.columns {
            assert!(found.iter().any(|it| it == column.name), "{table} has no {}", column.name);
        }
    }
    assert!(
        missing.is_empty(),
        "{missing:?}: add them to COPY_TABLES in src/store/copy/tables.rs, or to NOT_COPIED with the reason"
    );
    assert!(COPY_TABLES.iter().all(|copied| tables.iter().any(|it| it == copied.name)));
}
