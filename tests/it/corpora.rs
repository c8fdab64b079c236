//! Logs of a real Gunicorn through the real program: every column of every row, read back from
//! the database, is what the server knew.

use std::fs;
use std::path::PathBuf;

use log_ingestd::model::GunicornLogModel;
use serde_json::{Map, Value, json};

use crate::corpus::Corpus;
use crate::daemon::{Bench, Daemon, for_each_store, line};

/// Every column of `gunicorn_log` that a line says something about.
const TEXTS: [&str; 7] = ["method", "url", "host", "user_id", "agent", "source", "protocol"];
const NUMBERS: [&str; 5] = ["duration", "code", "response_bytes", "pid", "log_offset"];
const OBJECTS: [&str; 3] = ["request", "response", "headers"];

/// The rows of a corpus as the database tells them, in the order of the log.
async fn rows(bench: &Bench, corpus: &Corpus) -> Vec<Value> {
    let postgres = bench.place.is_postgres();
    let mut pairs: Vec<String> =
        TEXTS.iter().chain(&NUMBERS).map(|name| format!("'{name}', {name}")).collect();
    let (object, time, address) = if postgres {
        ("jsonb_build_object", "CAST(timestamp AT TIME ZONE 'UTC' AS text)", "host(user_ip)")
    } else {
        ("json_object", "timestamp", "user_ip")
    };
    for name in OBJECTS {
        let column = if postgres { name.to_owned() } else { format!("json({name})") };
        pairs.push(format!("'{name}', {column}"));
    }
    let sql = format!(
        "SELECT CAST({object}('timestamp', {time}, 'user_ip', {address}, {}) AS text) \
         FROM gunicorn_log WHERE log_file = {} ORDER BY log_offset",
        pairs.join(", "),
        file(corpus),
    );
    let texts = bench.place.texts(&sql).await;
    texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
}

/// The corpus's logical file, as a subquery.
fn file(corpus: &Corpus) -> String {
    format!("(SELECT id FROM log_file WHERE path LIKE '%/{}.log')", corpus.name)
}

/// The same row by the truth.
fn expected(right: &GunicornLogModel<'_>, offset: usize) -> Value {
    let time = right.timestamp.and_then(chrono::DateTime::from_timestamp_micros).unwrap();
    let headers: Map<String, Value> =
        right.headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({
        "timestamp": time.format("%Y-%m-%d %H:%M:%S").to_string(),
        "method": right.method, "url": right.url, "host": right.host,
        "user_id": right.user_id, "user_ip": right.user_ip, "agent": right.agent,
        "source": right.source, "protocol": right.protocol, "duration": right.duration,
        "code": right.code, "response_bytes": right.response_bytes, "pid": right.pid,
        "request": null, "response": null,
        "headers": if headers.is_empty() { Value::Null } else { headers.into() },
        "log_offset": offset,
    })
}

/// Every record is a row with exactly the server's values, or, if it holds NUL, as many rejects
/// as it has lines, with their exact bytes.
async fn exact(bench: &Bench, corpus: &Corpus) {
    let mut wanted = Vec::new();
    let mut rejects = Vec::new();
    for entry in corpus.entries() {
        let right = corpus.right(entry.truth);
        if right.url.as_deref().is_some_and(|url| url.contains('\0')) {
            let hex = |line: &&[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect();
            rejects.extend(entry.lines.iter().map(hex));
        } else {
            wanted.push(expected(&right, entry.offset));
        }
    }
    let found = rows(bench, corpus).await;
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted, "a row of {}", corpus.name);
    }
    assert_eq!(found.len(), wanted.len(), "rows of {}", corpus.name);
    let id = bench.place.number(&format!("SELECT CAST({} AS bigint) AS id", file(corpus))).await;
    let found = bench.place.rejected().await.into_iter().filter(|line| line.file == id);
    let found: Vec<String> = found.map(|line| line.hex).collect();
    let wanted: Vec<String> = rejects;
    assert_eq!(found, wanted, "rejects of {}", corpus.name);
    let whole = fs::metadata(corpus.path.join("access.log")).unwrap().len();
    let counted = format!(
        "SELECT count(*) FROM log_file WHERE id = {} AND lines = {} AND committed = {whole}",
        file(corpus),
        corpus.lines().len()
    );
    assert_eq!(bench.place.number(&counted).await, 1, "{} is not stored whole", corpus.name);
}

/// Puts the corpus where the test's logs are; its path.
fn placed(bench: &Bench, corpus: &Corpus) -> String {
    let path = bench.log(&format!("{}.log", corpus.name));
    fs::copy(corpus.path.join("access.log"), &path).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Waits until so many lines are stored.
async fn lines(bench: &Bench, wanted: usize) {
    crate::place::until("all lines are stored", async || bench.stored().await >= wanted as i64)
        .await;
}

/// The corpora without a number whose unit no line proves: without a format its column is NULL.
fn without_numbers() -> Vec<Corpus> {
    let all = Corpus::all().into_iter();
    all.filter(|corpus| !corpus.template.format().contains("%(D)s")).collect()
}

/// A log whose lines do not say which of two values is the user.
fn unknown() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("fixtures/formats/logs/t_real_T_D.log")
}

for_each_store! {
    async fn an_import_by_the_format_of_each_corpus_is_exact(bench) {
        for corpus in Corpus::all() {
            let path = placed(&bench, &corpus);
            let format = corpus.template.format();
            bench.succeed(&["import", &path, "--format", format, "--sensitive-fields", ""]);
            exact(&bench, &corpus).await;
        }
        bench.balanced().await;
    }

    async fn a_daemon_with_the_format_of_each_corpus_is_exact(bench) {
        let mut count = 0;
        for corpus in Corpus::all() {
            let path = placed(&bench, &corpus);
            let flags = ["--watch", &path, "--format", corpus.template.format(), "--sensitive-fields", ""];
            let daemon = Daemon::start(bench.command(&flags), bench.aside("stderr"));
            count += corpus.lines().len();
            lines(&bench, count).await;
            assert!(daemon.stop().await.success());
            exact(&bench, &corpus).await;
        }
        bench.balanced().await;
    }

    async fn a_daemon_tells_the_known_formats_by_itself_and_leaves_the_unknown_one_alone(bench) {
        let known = without_numbers();
        for corpus in &known {
            placed(&bench, corpus);
        }
        fs::copy(unknown(), bench.log("unknown.log")).unwrap();
        let mut daemon = bench.watch_with(&["--sensitive-fields", ""]);
        lines(&bench, known.iter().map(|corpus| corpus.lines().len()).sum()).await;
        for corpus in &known {
            exact(&bench, corpus).await;
        }
        bench.balanced().await;
        daemon.says("no known format reads the first lines of this file").await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 2);
    }

    async fn an_import_tells_the_known_formats_by_itself(bench) {
        for corpus in without_numbers() {
            let path = placed(&bench, &corpus);
            let said = bench.succeed(&["import", &path, "--sensitive-fields", ""]);
            assert!(said.contains("1 file read by the format "), "{said}");
            exact(&bench, &corpus).await;
        }
        bench.balanced().await;
    }

    async fn an_import_of_an_unknown_format_asks_for_it_and_stores_nothing(bench) {
        let path = unknown();
        let path = path.to_str().unwrap();
        let output = bench.run(&["import", path]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains("give --format"));
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 0);
        let format = r#"%(t)s %({X-Real-IP}i)s %(u)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s" %(T)s %(D)s"#;
        bench.succeed(&["import", path, "--format", format]);
        bench.succeed(&["import", path]);
        assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log").await, 52);
    }

    async fn no_secret_is_stored_unless_one_asks_for_it(bench) {
        let mut secrets = 0;
        for corpus in Corpus::all() {
            let path = placed(&bench, &corpus);
            bench.succeed(&["import", &path, "--format", corpus.template.format()]);
            let holds = |entry: &&Value| entry["q"] == "password=hunter2&token=abc";
            secrets += corpus.truth.iter().filter(holds).count() as i64;
        }
        bench.append("referer.log", line("/").replace("\"-\"", "\"https://h/?a=1&secret=hunter2\""));
        bench.succeed(&["import", bench.log("referer.log").to_str().unwrap()]);
        assert!(secrets > 100);
        let plain = "SELECT count(*) FROM gunicorn_log WHERE url LIKE '%hunter2%' \
            OR source LIKE '%hunter2%' OR url LIKE '%token=abc%'";
        assert_eq!(bench.place.number(plain).await, 0);
        let masked = "SELECT count(*) FROM gunicorn_log \
            WHERE url LIKE '%?password=********&token=********'";
        assert_eq!(bench.place.number(masked).await, secrets);
        let referer = "SELECT source FROM gunicorn_log WHERE source LIKE '%secret=%'";
        assert_eq!(bench.place.texts(referer).await, ["https://h/?a=1&secret=********"]);
    }

    async fn what_the_configuration_leaves_out_is_counted(bench) {
        let flags = ["--exclude-path", "/metrics/,/slow", "--exclude-extension", "js"];
        for corpus in Corpus::all() {
            let path = placed(&bench, &corpus);
            let mut arguments = vec!["import", &path, "--format", corpus.template.format()];
            arguments.extend(flags);
            bench.succeed(&arguments);
            let left_out = corpus.truth.iter().filter(|truth| {
                let url = corpus.right(truth).url.map(|url| url.into_owned());
                let path = url.as_deref().unwrap_or_default().split(['?', '#']).next().unwrap();
                path.starts_with("/metrics/") || path.starts_with("/slow") || path.ends_with(".js")
            });
            let excluded = format!("SELECT excluded FROM log_file WHERE id = {}", file(&corpus));
            let found = bench.place.number(&excluded).await;
            assert_eq!(found, left_out.count() as i64, "{}", corpus.name);
            assert!(found > 100);
        }
        bench.balanced().await;
        let there = "SELECT count(*) FROM gunicorn_log WHERE url LIKE '/metrics/%' OR url LIKE '%.js'";
        assert_eq!(bench.place.number(there).await, 0);
    }

    async fn a_user_name_with_a_newline_is_one_row_and_one_reject(bench) {
        let whole = line("/split").replacen(" - - [", " - bo\nb [", 1);
        let (half, rest) = whole.split_once('\n').unwrap();
        bench.append("access.log", line("/before"));
        bench.append("access.log", &whole);
        bench.append("access.log", line("/between"));
        let _daemon = bench.watch();
        bench.rows(3).await;
        // The same in two writes: the daemon waits for a line that has begun.
        bench.append("access.log", format!("{half}\n{}", &rest[..10]));
        bench.append("other.log", line("/other"));
        bench.rows(4).await;
        bench.append("access.log", &rest[10..]);
        bench.append("access.log", line("/afterwards"));
        bench.exactly(["/before", "/split", "/between", "/other", "/split", "/afterwards"].map(str::to_owned)).await;
        let names = "SELECT user_id FROM gunicorn_log WHERE url = '/split'";
        assert_eq!(bench.place.texts(names).await, ["bo\nb", "bo\nb"]);
        let first = line("/before").len();
        let at = format!("SELECT count(*) FROM gunicorn_log WHERE url = '/split' AND log_offset = {first}");
        assert_eq!(bench.place.number(&at).await, 1);
        let reasons = "SELECT reason FROM rejected_line";
        assert_eq!(bench.place.texts(reasons).await, ["continues the record of the line before it"; 2]);
        let offset = format!("SELECT count(*) FROM rejected_line WHERE log_offset = {}", first + half.len() + 1);
        assert_eq!(bench.place.number(&offset).await, 1);
        let raw = if bench.place.is_postgres() { "convert_from(raw, 'UTF8')" } else { "CAST(raw AS text)" };
        let raws = bench.place.texts(&format!("SELECT {raw} FROM rejected_line")).await;
        assert_eq!(raws, [rest.trim_end(); 2]);
    }
}
