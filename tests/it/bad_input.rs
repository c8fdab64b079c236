//! What cannot work is said in one clear sentence that quotes it and says what would be right; the
//! exit code is 2 for what was typed wrong, 1 for what failed. A password is never shown.

mod absent;
pub(crate) mod disk;
mod people;

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::daemon::{Bench, ToEnd, lines};
use crate::place::Place;
use crate::ports::Port;
use crate::postgres;

/// In every URL here; must never be seen again.
const SECRET: &str = "s3cret-w0rd";

/// A sentence fits a terminal or two.
const LONGEST: usize = 600;

/// What came of a command that cannot work.
struct Answer {
    code: Option<i32>,
    said: String,
}

impl Answer {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stderr);
        assert!(!(said.clone() + &text(&output.stdout)).contains(SECRET), "a password: {said}");
        Self { code: output.status.code(), said }
    }

    /// Runs it to its end. Without a database URL of its own it gets one that works.
    fn to(bench: &Bench, arguments: &[&str]) -> Self {
        Self::to_command(bench.command(arguments))
    }

    fn to_command(mut command: Command) -> Self {
        Self::of(&command.to_end())
    }

    /// Exit code, and one sentence with all of these in it.
    #[track_caller]
    fn is(&self, code: i32, parts: &[&str]) {
        let said = &self.said;
        assert_eq!(self.code, Some(code), "{said}");
        let sentences: Vec<&str> =
            said.lines().filter(|line| line.starts_with("log-ingestd: ")).collect();
        assert_eq!(sentences.len(), 1, "not one sentence: {said}");
        assert_eq!(said.lines().count(), 1, "more than the sentence: {said}");
        assert!(sentences[0].len() < LONGEST, "{} bytes: {said}", said.len());
        for part in parts {
            assert!(said.contains(part), "'{part}' is missing: {said}");
        }
    }

    /// The same for what clap says, which adds a usage line.
    #[track_caller]
    fn is_usage(&self, parts: &[&str]) {
        let said = &self.said;
        assert_eq!(self.code, Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.lines().count() < 10, "{said}");
        for part in parts {
            assert!(said.contains(part), "'{part}' is missing: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_wrong_is_quoted_and_put_right() {
    let bench = Bench::new(Place::sqlite().await).await;
    let logs = bench.logs();
    let logs = logs.to_str().unwrap();
    for (arguments, parts) in [
        (
            &["--format", "%(h)s 100% x"][..],
            &["% at character 10", "\"%(h)s 100% x\"", "as %%"][..],
        ),
        (&["--format", "gunicron"], &["\"gunicron\"", "did you mean \"gunicorn\"", "presets are"]),
        (&["--retention", "12x"], &["--retention", "'12x'", "120d"]),
        (&["--retention", "0d"], &["--retention", "'0d'", "off"]),
        (&["--rollup-retention", "30d"], &["--rollup-retention 30d", "--retention 120d"]),
        (&["--rollup-retention", "x"], &["--rollup-retention", "'x'", "off"]),
        (&["--connect-timeout", "soon"], &["--connect-timeout", "'soon'", "10s"]),
        (&["--poll-interval", "-1s"], &["--poll-interval", "'-1s'", "500ms"]),
        (&["--poll-interval", "0"], &["--poll-interval", "'0'", "10ms or more"]),
        (&["--poll-interval", "1ms"], &["--poll-interval", "'1ms'", "10ms or more"]),
        (&["--format", "log_format main"], &["\"log_format main\"", "presets are"]),
        (&["--sweep-at", "25:00"], &["--sweep-at", "'25:00'", "03:30"]),
        (&["--include", "a[b"], &["'a[b'", "pattern", "*.log"]),
        (&["--host", " "], &["--host", "name of the host"]),
        (&["--log-level", "loud"], &["'loud'", "error, warn, info, debug or trace"]),
    ] {
        let mut all = vec!["--watch", logs];
        // `--poll-interval -1s` would be taken for a flag.
        let joined = format!("{}={}", arguments[0], arguments[1]);
        all.push(&joined);
        Answer::to(&bench, &all).is(2, parts);
    }
    Answer::to(&bench, &[]).is(2, &["--watch PATH", "import", "--help"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slip_in_a_flag_or_a_command_is_answered_with_the_right_one() {
    let bench = Bench::new(Place::sqlite().await).await;
    Answer::to(&bench, &["--wacth", "x"]).is_usage(&["'--wacth'", "'--watch'"]);
    Answer::to(&bench, &["improt", "x"]).is_usage(&["'improt'", "'import'"]);
    Answer::to(&bench, &["import"]).is_usage(&["<FILE>"]);
    Answer::to(&bench, &["cleanup", "--days", "x"]).is_usage(&["'x'", "--days <N>"]);
    Answer::to(&bench, &["cleanup", "--days=1", "--older-than=2d"]).is_usage(&["--older-than"]);
    Answer::to(&bench, &["cleanup", "--batch-size", "0"]).is_usage(&["'0'", "--batch-size"]);
    for code in ["99", "1-99", "1000", "5x"] {
        for command in [&["query", "--code", code][..], &["top", "urls", "--code", code]] {
            Answer::to(&bench, command)
                .is(2, &["--code", &format!("'{code}'"), "404, 4xx, 400-499", "100 to 999"]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_file_that_is_wrong_is_named_with_its_line() {
    let bench = Bench::new(Place::sqlite().await).await;
    let file = bench.aside("log-ingestd.toml");
    let name = file.to_str().unwrap();
    for (text, parts) in [
        ("watch = [\"x\"\nformat = 1", &["line 2", "not valid"][..]),
        ("host = \"web\"\nwacth = [\"x\"]", &["line 2", "`wacth`", "`watch`"]),
        ("watch = \"x\"", &["line 1", "`watch`", "sequence"]),
        (
            "host = \"web\"\nretention = 90",
            &["line 2", "`retention`", "a string in quotation marks"],
        ),
        ("poll-interval = 5", &["line 1", "`poll-interval`", "a string in quotation marks"]),
        ("listen = 8686", &["line 1", "`listen`", "a string in quotation marks"]),
        ("exclude = [\"a\", 7]", &["line 1", "`exclude`", "strings only"]),
        ("exclude-server-log = \"yes\"", &["line 1", "`exclude-server-log`", "true or false"]),
        ("log-format = true", &["line 1", "`log-format`", "a string in quotation marks"]),
        ("[[watch]]\npath = 7", &["line 2", "`watch`", "`path`"]),
        ("[json]\npath = 7", &["line 2", "`json`", "columns"]),
        (&format!("database-url = \"postgres://u:{SECRET}@h/d\" x"), &["line 1", "not valid"]),
    ] {
        fs::write(&file, text).unwrap();
        Answer::to(&bench, &["--config", name]).is(2, &[&[name], parts].concat());
    }
    fs::remove_file(&file).unwrap();
    Answer::to(&bench, &["--config", name]).is(2, &[name, "No such file"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_is_not_there_is_quoted() {
    let bench = Bench::new(Place::sqlite().await).await;
    let missing = bench.aside("nowhere");
    let missing = missing.to_str().unwrap();
    Answer::to(&bench, &["--watch", missing]).is(1, &[missing, "no such directory", "create it"]);
    Answer::to(&bench, &["check", missing]).is(1, &[missing, "No such file"]);
    let logs = bench.logs();
    let logs = logs.to_str().unwrap();
    Answer::to(&bench, &["import", logs]).is(1, &[logs, "is a directory", "--watch"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_url_that_cannot_be_used_is_quoted_without_its_password() {
    let bench = Bench::new(Place::sqlite().await).await;
    for (url, parts) in [
        (format!("mysql://u:{SECRET}@h/d"), &["mysql://u:***@h/d", "expected postgres://"][..]),
        (format!("postgres://u:{SECRET}@h:port/d"), &["postgres://u:***@h:port/d", "expected"]),
        ("sqlite:".to_owned(), &["names no file", "expected"]),
        ("/x/y.sqlite3".to_owned(), &["/x/y.sqlite3", "no scheme", "sqlite:/path"]),
    ] {
        Answer::to(&bench, &["status", "--database-url", &url]).is(2, parts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_refuses_a_login_is_named_with_host_port_and_database() {
    let bench = Bench::new(Place::sqlite().await).await;
    let port = postgres::shared().port();
    let at = format!("127.0.0.1:{port}");
    let user = postgres::WITH_PASSWORD;
    let wrong = format!("postgres://{user}:{SECRET}@{at}/postgres");
    let unknown = format!("postgres://postgres@{at}/nowhere");
    // Waiting does not help: it must not be tried for the whole time.
    let began = Instant::now();
    for (url, parts) in [
        (&wrong, &[&*at, "'postgres'", user, "password authentication failed"]),
        (&unknown, &[&*at, "'nowhere'", "postgres", "does not exist"]),
    ] {
        let command = ["status", "--connect-timeout", "60s", "--database-url", url];
        Answer::to(&bench, &command).is(1, parts);
    }
    assert!(began.elapsed() < Duration::from_secs(30), "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_given_up_after_the_timeout() {
    let bench = Bench::new(Place::sqlite().await).await;
    let port = Port::reserve(); // no server listens there
    let at = format!("127.0.0.1:{}", port.number());
    let url = format!("postgres://u:{SECRET}@{at}/logs");
    let began = Instant::now();
    Answer::to(&bench, &["status", "--connect-timeout", "1s", "--database-url", &url])
        .is(1, &[&at, "'logs'", "refused"]);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_nothing_is_given_up_after_the_timeout() {
    let bench = Bench::new(Place::sqlite().await).await;
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().to_string();
    let url = format!("postgres://u:{SECRET}@{at}/logs");
    let began = Instant::now();
    Answer::to(&bench, &["status", "--connect-timeout", "1s", "--database-url", &url])
        .is(1, &[&at, "'logs'", "no answer"]);
    assert!(began.elapsed() < Duration::from_secs(10), "it took {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fifo_in_the_place_of_a_file_is_quoted_and_not_waited_for() {
    let bench = Bench::new(Place::sqlite().await).await;
    let fifo = bench.aside("fifo");
    crate::streams::make_fifo(&fifo);
    let (fifo, logs) = (fifo.to_str().unwrap(), bench.logs());
    let listen = ["--watch", logs.to_str().unwrap(), "--listen", "127.0.0.1:0"];
    let quoted = format!("'{fifo}'");
    for flags in [&["--auth-file", fifo][..], &["--tls-cert", fifo, "--tls-key", fifo]] {
        Answer::to(&bench, &[&listen[..], flags].concat())
            .is(2, &[flags[0], &quoted, "not a regular file, but a directory, a FIFO"]);
    }
    let url = "postgres://u@127.0.0.1:1/logs";
    let mut command = bench.command(&["status", "--database-url", url]);
    command.env("PGPASSFILE", fifo);
    Answer::to_command(command).is(2, &[url, &quoted, "is a FIFO, expected a regular file"]);
    let root = format!("{url}?sslmode=verify-full&sslrootcert={fifo}");
    Answer::to(&bench, &["status", "--connect-timeout", "1s", "--database-url", &root])
        .is(1, &[&quoted, "not a regular file, but a directory, a FIFO"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_a_fifo_a_directory_or_a_device_is_refused_at_once() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("a", 0..3));
    let (fifo, log) = (bench.aside("fifo"), bench.log("access.log"));
    crate::streams::make_fifo(&fifo);
    let (logs, log) = (bench.logs(), log.to_str().unwrap().to_owned());
    let logs = logs.to_str().unwrap();
    for (path, what) in
        [(fifo.to_str().unwrap(), "a FIFO"), (logs, "a directory"), ("/dev/null", "a device")]
    {
        let url = format!("sqlite:{path}");
        let is = format!("'{path}' is {what}, expected a regular file");
        for command in [&["status"][..], &["import", &log], &["--watch", logs]] {
            let mut command = bench.command(&[command, &["--database-url", &url]].concat());
            command.env("LOG_INGESTD_LOG_LEVEL", "error");
            Answer::to_command(command).is(1, &["refuses access", &is]);
        }
    }
}

/// Any program may listen at the server's address, before the password is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_announces_a_message_of_gigabytes_is_refused_and_named() {
    let bench = Bench::new(Place::sqlite().await).await;
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = server.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let mut all = Vec::new();
        for stream in server.incoming() {
            let mut stream = stream.unwrap();
            // Authentication, in 2 GiB; and nothing more of it.
            let _ = stream.write_all(b"R\x7f\xff\xff\xff\0\0\0\x05");
            all.push(stream);
        }
    });
    let url = format!("postgres://u:{SECRET}@{at}/logs?sslmode=disable");
    Answer::to(&bench, &["status", "--connect-timeout", "1s", "--database-url", &url])
        .is(1, &[&at, "'logs'", "the server sent a message of 2147483647 bytes"]);
}

async fn newer(bench: Bench) {
    bench.append("access.log", lines("a", 0..3));
    bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
    let newer = "INSERT INTO _sqlx_migrations \
                 (version, description, success, checksum, execution_time) \
                 SELECT 9999, 'from the future', success, checksum, 0 FROM _sqlx_migrations LIMIT 1";
    bench.place.execute(newer).await;
    for command in [&["status"][..], &["--watch", bench.logs().to_str().unwrap()]] {
        let mut command = bench.command(command);
        command.env("LOG_INGESTD_LOG_LEVEL", "error");
        Answer::to_command(command)
            .is(1, &["has schema 9999", "made by a newer log-ingestd", "upgrade it"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_database_of_a_newer_schema_is_refused() {
    newer(Bench::new(Place::postgres().await).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_database_of_a_newer_schema_is_refused() {
    newer(Bench::new(Place::sqlite().await).await).await;
}
