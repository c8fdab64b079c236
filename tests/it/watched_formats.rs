//! Formats of single watched paths: tables in the configuration file, and pairs of flags.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::daemon::{Bench, Daemon, for_each_store, line};
use crate::place::{Place, until};
use crate::streams::make_fifo;

/// A line that ends in a number: nothing in it says whether that counts seconds, milliseconds or microseconds.
fn timed(url: &str) -> String {
    line(url).replace('\n', " 7\n")
}

const SECONDS: &str = "gunicorn-seconds";
const MICROSECONDS: &str = "gunicorn-microseconds";
/// What 7 is then.
const AS_SECONDS: &str = "7000000";
const AS_MICROSECONDS: &str = "7";

/// Waits until these URLs are rows with these durations, and no others are.
async fn durations(bench: &Bench, wanted: &[(&str, &str)]) {
    bench.rows(wanted.len() as i64).await;
    let asked =
        "SELECT url || ' ' || coalesce(CAST(duration AS text), '-') FROM gunicorn_log ORDER BY url";
    let mut wanted: Vec<String> =
        wanted.iter().map(|(url, duration)| format!("{url} {duration}")).collect();
    wanted.sort();
    assert_eq!(bench.place.texts(asked).await, wanted, "{}", bench.said());
    bench.balanced().await;
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Makes a directory with one file of one line, whose URL is the file's name.
fn directory(bench: &Bench, name: &str, file: &str) -> PathBuf {
    let directory = bench.log(name);
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join(file), timed(&format!("/{name}/{file}"))).unwrap();
    directory
}

fn configured(bench: &Bench, toml: &str) -> PathBuf {
    let config = bench.aside("config.toml");
    fs::write(&config, toml).unwrap();
    config
}

fn start(bench: &Bench, arguments: &[&str]) -> Daemon {
    let arguments = [&["--poll-interval", "100ms"], arguments].concat();
    Daemon::start(bench.command(&arguments), bench.aside("stderr"))
}

for_each_store! {
    async fn each_path_has_the_format_of_its_table(bench) {
        for name in ["a", "b", "c"] {
            directory(&bench, name, "x.log");
        }
        let [a, b, c] = ["a", "b", "c"].map(|name| bench.log(name));
        let toml = format!(
            "watch = [{c:?}, {{ path = {a:?}, format = '{SECONDS}' }}, {{ path = '{}', format = \
             '{MICROSECONDS}' }}]",
            b.join("*.log").display()
        );
        let config = configured(&bench, &toml);
        let daemon = start(&bench, &["--config", text(&config)]);
        let rows =
            [("/a/x.log", AS_SECONDS), ("/b/x.log", AS_MICROSECONDS), ("/c/x.log", "-")];
        durations(&bench, &rows).await;
        assert!(daemon.stop().await.success());

        // A format for the others; the paths with one of their own keep it.
        let file = bench.log("c").join("y.log");
        fs::write(file, timed("/c/y.log")).unwrap();
        fs::write(a.join("y.log"), timed("/a/y.log")).unwrap();
        let config = configured(&bench, &format!("format = '{MICROSECONDS}'\n{toml}"));
        let daemon = start(&bench, &["--config", text(&config)]);
        let more = [("/c/y.log", AS_MICROSECONDS), ("/a/y.log", AS_SECONDS)];
        durations(&bench, &[&rows[..], &more].concat()).await;
        assert!(daemon.stop().await.success());
    }

    async fn several_formats_each_stand_after_their_paths(bench) {
        let [a, b, c] = ["a", "b", "c"].map(|name| directory(&bench, name, "x.log"));
        let pairs = [
            "--watch", text(&a), text(&b), "--format", SECONDS, "--watch", text(&c), "--format",
            MICROSECONDS,
        ];
        let daemon = start(&bench, &pairs);
        let rows =
            [("/a/x.log", AS_SECONDS), ("/b/x.log", AS_SECONDS), ("/c/x.log", AS_MICROSECONDS)];
        durations(&bench, &rows).await;
        assert!(daemon.stop().await.success());
    }

    /// What it was before there could be several.
    async fn one_format_is_for_all_paths_wherever_it_stands(bench) {
        let [a, b] = ["a", "b"].map(|name| directory(&bench, name, "0.log"));
        let rows = |count: usize| {
            let of = |name| (0..count).map(move |nth| format!("/{name}/{nth}.log"));
            of("a").chain(of("b")).collect::<Vec<_>>()
        };
        for (nth, arguments) in [
            ["--format", SECONDS, "--watch", text(&a), "--watch", text(&b)],
            ["--watch", text(&a), "--format", SECONDS, "--watch", text(&b)],
            ["--watch", text(&a), "--watch", text(&b), "--format", SECONDS],
        ]
        .iter()
        .enumerate()
        {
            for name in ["a", "b"] {
                directory(&bench, name, &format!("{nth}.log"));
            }
            let daemon = start(&bench, arguments);
            let rows = rows(nth + 1);
            let wanted: Vec<_> = rows.iter().map(|url| (url.as_str(), AS_SECONDS)).collect();
            durations(&bench, &wanted).await;
            assert!(daemon.stop().await.success());
        }
    }

    /// Of a directory, a pattern and a file, the file decides, then the pattern, wherever they stand.
    async fn the_most_specific_path_decides(bench) {
        let logs = directory(&bench, "a", "plain.log");
        directory(&bench, "a", "special.log");
        directory(&bench, "a", "special-2.log");
        let toml = format!(
            "[[watch]]\npath = {logs:?}\nformat = '{MICROSECONDS}'\n[[watch]]\npath = {:?}\nformat = \
             '{MICROSECONDS}'\n[[watch]]\npath = {:?}\nformat = '{SECONDS}'\n",
            logs.join("special.log"),
            logs.join("special*.log"),
        );
        let config = configured(&bench, &toml);
        let daemon = start(&bench, &["--config", text(&config)]);
        let rows = [
            ("/a/plain.log", AS_MICROSECONDS),
            ("/a/special.log", AS_MICROSECONDS),
            ("/a/special-2.log", AS_SECONDS),
        ];
        durations(&bench, &rows).await;
        assert!(daemon.stop().await.success());
    }

    /// Lines that were read by the format before keep their rows, and it is remembered that they were.
    async fn a_reload_takes_changed_tables(bench) {
        let logs = directory(&bench, "a", "x.log");
        let table = |format: &str| format!("[[watch]]\npath = {logs:?}\nformat = '{format}'\n");
        let config = configured(&bench, &table(MICROSECONDS));
        let mut daemon = start(&bench, &["--config", text(&config)]);
        durations(&bench, &[("/a/x.log", AS_MICROSECONDS)]).await;
        configured(&bench, &table(SECONDS));
        daemon.signal("HUP");
        daemon.says("configuration read again").await;
        let mut log = fs::OpenOptions::new().append(true).open(logs.join("x.log")).unwrap();
        log.write_all(timed("/a/y").as_bytes()).unwrap();
        let rows = [("/a/x.log", AS_MICROSECONDS), ("/a/y", AS_SECONDS)];
        durations(&bench, &rows).await;

        configured(&bench, "[[watch]]\npath = 7\n");
        daemon.signal("HUP");
        daemon.says("keeping the old configuration").await;
        let formats = "SELECT format || CAST(other_formats AS text) FROM log_file";
        let formats = bench.place.texts(formats).await.remove(0);
        assert!(formats.contains("%(T)s[") && formats.contains("%(D)s"), "{formats}");
        assert!(daemon.stop().await.success());
        bench.succeed(&["verify"]);
        configured(&bench, &table(SECONDS));
        let verified = bench.run(&["verify", "--config", text(&config)]);
        assert_eq!(verified.status.code(), Some(1));
        let told = String::from_utf8(verified.stdout).unwrap();
        assert!(told.contains("1 line was read by another format"), "{told}");
    }

    async fn import_check_and_verify_read_by_the_format_of_the_path(bench) {
        let logs = directory(&bench, "a", "access.log");
        let rotated = logs.join("access.log.1");
        fs::write(&rotated, timed("/a/rotated")).unwrap();
        let toml =
            format!("[[watch]]\npath = {:?}\nformat = '{SECONDS}'\n", logs.join("access.log"));
        let config = configured(&bench, &toml);
        let live = logs.join("access.log");
        let checked = bench.succeed(&["check", text(&live), "--config", text(&config)]);
        assert!(checked.contains(AS_SECONDS), "{checked}");
        let import = ["import", text(&live), text(&rotated), "--again", "--config", text(&config)];
        bench.succeed(&import);
        let rows = [("/a/access.log", AS_SECONDS), ("/a/rotated", AS_SECONDS)];
        durations(&bench, &rows).await;
        bench.succeed(&["verify", "--config", text(&config)]);
        // A format on the command line is for all files.
        let checked =
            bench.succeed(&["check", text(&live), "--config", text(&config), "--format", MICROSECONDS]);
        assert!(!checked.contains(AS_SECONDS), "{checked}");
    }

    async fn streams_have_formats_too(bench) {
        let fifo = bench.aside("access.fifo");
        make_fifo(&fifo);
        let pairs = ["--watch", "-", "--format", SECONDS, "--watch", text(&fifo), "--format", MICROSECONDS];
        let mut command = bench.command(&pairs);
        let spool = bench.aside("spool");
        command.args(["--spool-dir", text(&spool), "--poll-interval", "100ms"]).stdin(Stdio::null());
        let (reader, mut writer) = std::io::pipe().unwrap();
        let mut daemon = Daemon::reading(command, bench.aside("stderr"), reader);
        writer.write_all(timed("/input").as_bytes()).unwrap();
        fs::write(&fifo, timed("/fifo")).unwrap();
        drop(writer);
        until("both are stored", async || bench.stored().await == 2).await;
        durations(&bench, &[("/input", AS_SECONDS), ("/fifo", AS_MICROSECONDS)]).await;
        assert!(!daemon.has_ended());
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_quoted() {
    let bench = Bench::new(Place::sqlite().await).await;
    let logs = bench.logs();
    let logs = text(&logs);
    for (arguments, words) in [
        (
            vec![
                "--watch", logs, "--watch", "/tmp", "--watch", "/var", "--format", "nginx",
                "--format", "json",
            ],
            "2 formats ('nginx', 'json') for 3 --watch: expected one --format for all files, or one \
             directly after each --watch",
        ),
        (vec!["--watch", logs, "--format", "nginx", "--format", "json"], "for 1 --watch"),
        (vec!["--format", "nginx", "--watch", logs, "--format", "json"], "for 1 --watch"),
        (
            vec!["--format", "nginx", "--watch", logs, "--format", "json", "--watch", "/tmp"],
            "directly after each --watch",
        ),
        (vec!["status", "--format", "nginx", "--format", "json"], "2 formats ('nginx', 'json')"),
        (
            vec!["--watch", logs, "--format", "ngimx", "--watch", "/tmp", "--format", "json"],
            "the format of the watched path '",
        ),
        (
            vec!["--watch", logs, "--format", "ngimx", "--watch", "/tmp", "--format", "json"],
            "\"ngimx\"",
        ),
    ] {
        let output = bench.run(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    for (toml, words) in [
        (
            "watch = ['a']\n[[watch]]\npath = 'b'\nfromat = 'json'\n",
            "line 2: duplicate key `watch`: all paths must be tables [[watch]], or stand in one",
        ),
        (
            "[[watch]]\npath = 'b'\nfromat = 'json'\n",
            "line 3: invalid `watch`: unknown key `fromat` of a path; the nearest is `format`",
        ),
        ("watch = ['a',\n 7]\n", "line 2: invalid `watch`: expected strings, or tables such as"),
        ("[[watch]]\nformat = 'json'\n", "invalid `watch`: a table without `path`"),
        (
            "[[watch]]\npath = 'b'\nformat = 7\n",
            "line 3: invalid `watch`: expected a string in quotation marks for `format`",
        ),
        (
            "[watch]\npath = 'b'\n",
            "invalid `watch`: expected a sequence of strings in square brackets, or tables [[watch]]",
        ),
        ("[[watch]]\npath = '/'\nformat = 'ngimx'\n", "the format of the watched path '/': "),
        ("[[watch]]\npath = '/'\nformat = 'ngimx'\n", "\"ngimx\""),
        (
            "[[watch]]\npath = '/nowhere-b/[.log'\nformat = 'json'\n",
            "invalid pattern '/nowhere-b/[.log'",
        ),
    ] {
        let config = configured(&bench, toml);
        let output = bench.run(&["status", "--config", text(&config)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{toml}: {said}");
        assert!(said.contains(words), "{toml}: {said}");
    }
}
