//! Lines of JSON whose keys the user maps to columns.

use std::fs;
use std::path::{Path, PathBuf};

use crate::daemon::{Bench, Daemon, for_each_store};
use crate::place::Place;

/// What a logger of an application writes; none of these keys is known, but for `time`.
fn line(path: &str, took: u32) -> String {
    format!(
        "{{\"time\":\"2026-11-23T08:41:00Z\",\"req\":{{\"path\":\"{path}\",\"verb\":\"GET\",\"from\":\
         \"203.0.113.9\"}},\"rsp\":{{\"code\":200}},\"took\":{took},\"msg\":\"done\"}}\n"
    )
}

const MAPPING: &str = "[json]\n\"req.path\" = 'url'\nreq.verb = 'method'\nrsp.code = 'code'\n\
                       \"req.from\" = 'user_ip'\n";
const IN_MS: &str = "took = 'duration:ms'\n";
const IN_US: &str = "took = 'duration:us'\n";

fn configured(bench: &Bench, toml: &str) -> PathBuf {
    let config = bench.aside("config.toml");
    fs::write(&config, toml).unwrap();
    config
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn rows(bench: &Bench, wanted: &[&str]) {
    bench.rows(wanted.len() as i64).await;
    let address = if bench.place.is_postgres() { "host(user_ip)" } else { "user_ip" };
    let asked = format!(
        "SELECT method || ' ' || url || ' ' || CAST(code AS text) || ' ' || {address} || ' ' ||
                coalesce(CAST(duration AS text), '-') FROM gunicorn_log ORDER BY url"
    );
    assert_eq!(bench.place.texts(&asked).await, wanted, "{}", bench.said());
    bench.balanced().await;
}

async fn formats(bench: &Bench) -> String {
    let asked = "SELECT format || ' others: ' || CAST(other_formats AS text) FROM log_file";
    bench.place.texts(asked).await.join("\n")
}

for_each_store! {
    /// It applies to lines that a daemon follows, and a changed one is another format.
    async fn a_daemon_reads_by_the_mapping_and_remembers_it(bench) {
        bench.append("app.log", line("/a", 7));
        let config = configured(&bench, &(MAPPING.to_owned() + IN_MS));
        let mut daemon = bench.watch_with(&["--config", text(&config)]);
        let first = "GET /a 200 203.0.113.9 7000";
        rows(&bench, &[first]).await;
        let told = daemon.said();
        assert!(told.contains("source=\"inferred\"") && told.contains("duration:ms"), "{told}");
        configured(&bench, &(MAPPING.to_owned() + IN_US));
        daemon.signal("HUP");
        daemon.says("configuration read again").await;
        bench.append("app.log", line("/b", 7));
        rows(&bench, &[first, "GET /b 200 203.0.113.9 7"]).await;
        assert!(daemon.stop().await.success());
        let known = formats(&bench).await;
        let (now, before) = known.split_once(" others: ").unwrap();
        assert!(now.contains("duration:us") && before.contains("duration:ms"), "{known}");

        // Both mappings are remembered: the file is as it was stored. By the mapping of today the first line
        // would be another row.
        bench.verified(&[]);
        let told = bench.differs(&["--config", text(&config)]);
        assert_eq!((told.sum("rows"), told.sum("by_other_format")), (2, 1));

        // Without a mapping in the configuration the file goes on as it was.
        let daemon = bench.watch();
        bench.append("app.log", line("/c", 9));
        rows(&bench, &[first, "GET /b 200 203.0.113.9 7", "GET /c 200 203.0.113.9 9"]).await;
        assert!(daemon.stop().await.success());
    }

    async fn import_check_verify_and_reparse_read_by_it(bench) {
        let file = bench.aside("old.log");
        fs::write(&file, line("/a", 7) + &line("/b", 8)).unwrap();
        let config = configured(&bench, &(MAPPING.to_owned() + IN_MS));
        let with = ["--config", text(&config)];
        let checked = bench.succeed(&[&["check", text(&file)], &with[..]].concat());
        assert!(checked.contains("7000") && checked.contains("2 would be stored"), "{checked}");
        // Without the mapping the lines are none that are known; they are rejects by `json-keys`.
        assert!(!bench.run(&["check", text(&file)]).status.success());
        bench.succeed(&["import", text(&file), "--format", "json-keys"]);
        bench.rows(0).await;
        assert_eq!(bench.stored().await, 2);
        bench.succeed(&[&["reparse"], &with[..]].concat());
        let both = ["GET /a 200 203.0.113.9 7000", "GET /b 200 203.0.113.9 8000"];
        rows(&bench, &both).await;
        bench.verified(&with);
        bench.verified(&[]);
        bench.succeed(&["forget", text(&file), "--yes"]);
        bench.succeed(&[&["import", text(&file)], &with[..]].concat());
        rows(&bench, &both).await;
        bench.verified(&with);
        bench.verified(&[]);
    }

    /// The mapping can be written in the format, and stand after what another program puts before lines.
    async fn a_format_may_hold_a_mapping(bench) {
        let file = bench.aside("old.log");
        let composed = |text: String| format!("web-1  | {text}");
        fs::write(&file, composed(line("/a", 7)) + &composed(line("/b", 8))).unwrap();
        let mapping = r#"{"req.path":"url","req.verb":"method","rsp.code":"code","req.from":"user_ip","took":"duration:us"}"#;
        let format = format!("after-compose json-keys {mapping}");
        bench.succeed(&["import", text(&file), "--format", &format]);
        let both = ["GET /a 200 203.0.113.9 7", "GET /b 200 203.0.113.9 8"];
        rows(&bench, &both).await;
        bench.verified(&[]);
        bench.succeed(&["forget", text(&file), "--yes"]);
        // The configuration's is for files without one in their format, also after a prefix.
        let config = configured(&bench, &(MAPPING.to_owned() + IN_MS));
        bench.succeed(&["import", text(&file), "--config", text(&config), "--format", &format]);
        rows(&bench, &both).await;
        bench.succeed(&["forget", text(&file), "--yes"]);
        bench.succeed(&["import", text(&file), "--config", text(&config)]);
        rows(&bench, &["GET /a 200 203.0.113.9 7000", "GET /b 200 203.0.113.9 8000"]).await;
        assert!(formats(&bench).await.starts_with("after-compose json-keys {"));
    }

    /// Logs whose keys are known, and lines of our own, are read as without the mapping.
    async fn it_changes_nothing_for_other_logs(bench) {
        let nginx = "{\"time\":\"2026-11-23T08:41:00Z\",\"request\":\"GET /n HTTP/1.1\",\"status\":\"200\",\
                     \"remote_addr\":\"203.0.113.9\",\"request_time\":\"0.5\"}\n";
        let own = "{\"log\":\"gunicorn\",\"timestamp\":\"2026-11-23T08:41:00Z\",\"method\":\"GET\",\"url\":\"/o\",\
                   \"code\":200,\"user_ip\":\"203.0.113.9\",\"took\":7}\n";
        bench.append("nginx.log", nginx);
        bench.append("own.log", own);
        bench.append("text.log", crate::daemon::line("/t"));
        let config = configured(&bench, &(MAPPING.to_owned() + IN_MS));
        let daemon = bench.watch_with(&["--config", text(&config)]);
        let right = [
            "GET /n 200 203.0.113.9 500000",
            "GET /o 200 203.0.113.9 -",
            "GET /t 200 127.0.0.1 -",
        ];
        rows(&bench, &right).await;
        assert!(daemon.stop().await.success());
        bench.verified(&["--config", text(&config)]);
    }

    async fn in_a_container_and_for_a_path_it_applies_too(bench) {
        let wrapped = |text: String| format!("2026-11-23T08:53:17.000000001Z stdout F {text}");
        bench.append("pod.log", wrapped(line("/a", 7)));
        bench.append("app.log", line("/b", 8));
        let toml = format!(
            "[[watch]]\npath = {:?}\n[[watch]]\npath = {:?}\nformat = 'json-keys'\n{MAPPING}{IN_MS}",
            bench.logs(),
            bench.log("app.log"),
        );
        let config = configured(&bench, &toml);
        let arguments = ["--config", text(&config), "--poll-interval", "100ms"];
        let daemon = Daemon::start(bench.command(&arguments), bench.aside("stderr"));
        rows(&bench, &["GET /a 200 203.0.113.9 7000", "GET /b 200 203.0.113.9 8000"]).await;
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_meant_is_quoted() {
    let bench = Bench::new(Place::sqlite().await).await;
    for (toml, words) in [
        (
            "[json]\n'a' = 'url'\n'b' = 'uri'\n",
            "line 3: invalid `json`: unknown column \"uri\" for the key \"b\"; did you mean \"url\"? columns are \
             timestamp, method, url, host,",
        ),
        ("[json]\ntook = 'duration'\n", "line 2: invalid `json`: a duration needs a unit"),
        ("[json]\ntook = 'duration:h'\n", "unknown unit \"h\" in \"duration:h\""),
        ("[json]\na = 'url'\nb = 'url'\n", "are both for url"),
        ("[json]\na = 7\n", "line 2: invalid `json`: expected a table of keys and columns"),
        ("json = 'url'\n", "invalid `json`: expected a table of keys and columns"),
        ("[jsn]\na = 'url'\n", "unknown setting `jsn`; the nearest is `json`"),
    ] {
        let config = configured(&bench, toml);
        let output = bench.run(&["status", "--config", text(&config)]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{toml}: {said}");
        assert!(said.contains(words), "{toml}: {said}");
    }
    for (format, words) in [
        ("json-keys {\"a\":\"uri\"}", "--format: unknown column \"uri\" for the key \"a\""),
        (
            "json-keys a=url",
            "--format: \"a=url\" is not a mapping: expected an object of keys and columns",
        ),
    ] {
        let output = bench.run(&["status", "--format", format]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && said.contains(words), "{said}");
    }
}
