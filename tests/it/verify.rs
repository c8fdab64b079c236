//! `log-ingestd verify`: yes where the database holds what the files said, and the first
//! difference where it does not.

use std::fs;
use std::process::Output;

use chrono::{TimeDelta, Utc};
use serde_json::Value;

use crate::archives::{KINDS, compress};
use crate::daemon::{Bench, for_each_store, line, lines, rename};
use crate::place::until;
use crate::traffic::Traffic;

/// What `verify --json` says.
pub(crate) struct Told(Value);

impl Told {
    fn of(output: &Output) -> Told {
        let said = String::from_utf8_lossy(&output.stderr);
        let told = serde_json::from_slice(&output.stdout);
        Told(told.unwrap_or_else(|error| panic!("{error}: {said}")))
    }

    pub(crate) fn sum(&self, count: &str) -> u64 {
        self.0["files"].as_array().unwrap().iter().map(|file| file[count].as_u64().unwrap()).sum()
    }

    fn files(&self) -> usize {
        self.0["files"].as_array().unwrap().len()
    }

    /// The first difference of the one file that differs: about, line, file, database.
    fn first(&self) -> (String, Option<u64>, String, String) {
        let files = self.0["files"].as_array().unwrap();
        let mut firsts = files.iter().map(|file| &file["first"]).filter(|first| !first.is_null());
        let first = firsts.next().expect("no file differs");
        assert!(firsts.next().is_none(), "{}", self.0);
        let text = |name: &str| first[name].as_str().unwrap().to_owned();
        (text("about"), first["line"].as_u64(), text("file"), text("database"))
    }
}

impl Bench {
    fn verify(&self, flags: &[&str]) -> Output {
        self.run(&[&["verify", "--json"], flags].concat())
    }

    /// There is no difference.
    pub(crate) fn verified(&self, flags: &[&str]) -> Told {
        let output = self.verify(flags);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(0), "{said} {output:?}");
        let told = Told::of(&output);
        assert_eq!(told.0["good"], true);
        told
    }

    /// There is one.
    fn differs(&self, flags: &[&str]) -> Told {
        let output = self.verify(flags);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = Told::of(&output);
        assert_eq!(told.0["good"], false);
        told
    }

    /// A file of 300 lines with rejects among them, imported.
    fn imported(&self) {
        self.append("access.log", lines("a", 0..100));
        self.append("access.log", b"no line of ours\n\xff\xfe\r\n\n");
        self.append(
            "access.log",
            lines("b", 0..197).replace("\"-\"", "\"https://x.example/?token=secret\""),
        );
        self.import(&["access.log"]);
    }
}

/// A line whose format has no time.
fn without_time(n: u32) -> String {
    format!("127.0.0.1 - \"GET /{n} HTTP/1.1\" 200 2\n")
}

for_each_store! {
    async fn what_was_imported_is_what_the_file_says(bench) {
        bench.imported();
        let path = bench.log("access.log");
        for paths in [vec![], vec![path.to_str().unwrap()], vec![bench.logs().to_str().unwrap()]] {
            let told = bench.verified(&paths);
            assert_eq!((told.files(), told.sum("lines")), (1, 300), "{}", told.0);
            assert_eq!((told.sum("rows"), told.sum("rejected"), told.sum("excluded")), (297, 3, 0));
            assert_eq!((told.sum("bytes"), told.sum("unstored_bytes")), (fs::metadata(&path).unwrap().len(), 0));
        }
        let said = bench.succeed(&["verify"]);
        assert!(said.contains(&format!("ok {}: 300 lines = 297 rows + 3 rejected + 0 excluded + 0 swept\n", path.display())), "{said}");
        assert!(said.ends_with("no difference\n"), "{said}");
    }

    async fn what_was_followed_through_rotation_and_compression_is_too(bench) {
        bench.append("access.log", lines("a", 0..50));
        let daemon = bench.watch_with(&["--exclude-path", "/b/7"]);
        bench.rows(50).await;
        for round in ["b", "c", "d"] {
            for n in (1..4).rev() {
                let from = bench.log(&format!("access.log.{n}"));
                if from.exists() {
                    rename(&from, &bench.log(&format!("access.log.{}", n + 1)));
                }
            }
            rename(&bench.log("access.log"), &bench.log("access.log.1"));
            bench.append("access.log", lines(round, 0..20));
            let stored = bench.stored().await;
            until("it is stored", async || bench.stored().await >= stored).await;
        }
        until("all is stored", async || bench.stored().await == 110).await;
        assert!(daemon.stop().await.success());
        let flags = ["--exclude-path", "/b/7"];
        let told = bench.verified(&flags);
        assert_eq!((told.files(), told.sum("lines"), told.sum("excluded")), (4, 110, 1), "{}", told.0);
        // Compressed or renamed since, they are known by what is in them.
        for (n, kind) in [(1, "gz"), (2, "zst"), (3, "bz2")] {
            let plain = bench.log(&format!("access.log.{n}"));
            fs::write(bench.log(&format!("access.log.{n}.{kind}")), compress(kind, &fs::read(&plain).unwrap())).unwrap();
            fs::remove_file(&plain).unwrap();
        }
        let told = bench.verified(&flags);
        assert_eq!((told.files(), told.sum("lines")), (4, 110), "{}", told.0);
        assert_eq!(bench.verified(&[&flags[..], &[bench.logs().to_str().unwrap()]].concat()).files(), 4);
        fs::remove_file(bench.log("access.log.1.gz")).unwrap();
        let told = bench.verified(&flags);
        assert_eq!((told.files(), &told.0["not_here"]), (3, &Value::from(1)));
        // Without the exclusion the file has a line that the database has not.
        let (about, line, file, database) = bench.differs(&[]).first();
        assert_eq!((about.as_str(), line, database.as_str()), ("line", Some(8), "nothing"), "{file}");
    }

    async fn every_kind_of_archive_is_held_against_the_database(bench) {
        for kind in KINDS {
            bench.append(&format!("old.{kind}"), compress(kind, lines(kind, 0..200).as_bytes()));
        }
        bench.import(&["old.gz", "old.zst", "old.xz", "old.bz2"]);
        assert_eq!(bench.verified(&[]).sum("rows"), 800);
        assert_eq!(bench.verified(&[bench.logs().to_str().unwrap()]).sum("rows"), 800);
    }

    async fn one_changed_byte_in_the_file_is_found(bench) {
        bench.imported();
        let path = bench.log("access.log");
        let whole = fs::read(&path).unwrap();
        // In place, and as a new file: in a column, in a field that is no column, and at the end.
        for (was, is, right) in [
            ("/a/55 ", "/a/56 ", ("url", Some(56), "\"/a/56\"", "\"/a/55\"")),
            ("+0000]", "-0000]", ("digest", None, "", "")),
            ("\"curl/8\"\n", "\"curl/9\"\n", ("agent", Some(1), "\"curl/9\"", "\"curl/8\"")),
            ("/b/196 ", "/b/197 ", ("url", Some(300), "\"/b/197\"", "\"/b/196\"")),
        ] {
            let at = whole.windows(was.len()).position(|part| part == was.as_bytes()).unwrap();
            let mut changed = whole.clone();
            changed[at..at + is.len()].copy_from_slice(is.as_bytes());
            fs::write(&path, &changed).unwrap();
            let (about, line, file, database) = bench.differs(&[]).first();
            let named = bench.differs(&[path.to_str().unwrap()]).first();
            assert_eq!(named, (about.clone(), line, file.clone(), database.clone()));
            if right.0 == "digest" {
                assert_eq!((about.as_str(), line, file.len()), ("digest", None, 64));
            } else {
                assert_eq!((about.as_str(), line, file.as_str(), database.as_str()), right);
            }
        }
        fs::write(&path, &whole).unwrap();
        bench.verified(&[]);
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let (about, _, file, database) = bench.differs(&[]).first();
        assert_eq!((about.as_str(), file), ("size", format!("holds {} bytes", whole.len() / 2)));
        assert_eq!(database, format!("{} bytes are stored", whole.len()));
    }

    async fn rows_that_were_removed_changed_or_added_are_found(bench) {
        bench.imported();
        let nth = |n: usize| lines("a", 0..n as u32).len();
        let offset = nth(70);
        let columns = "timestamp, log_file, duration, response_bytes, code, pid, method, url, host, \
            user_id, user_ip, agent, source, protocol, request, response, headers";
        let json = if bench.place.is_postgres() { "'{\"a\": \"b\"}'::jsonb" } else { "'{\"a\": \"b\"}'" };
        let time = if bench.place.is_postgres() { "timestamp + interval '1 microsecond'" } else { "timestamp || '.000001'" };
        let at = format!("WHERE log_offset = {offset}");
        let copy = |id: &str, place: &str| format!(
            "INSERT INTO gunicorn_log (id, log_offset, {columns}) SELECT {id}, {place}, {columns} FROM gunicorn_log {at}"
        );
        let rejects = nth(100);
        let mut tampered = vec![
            (format!("DELETE FROM gunicorn_log {at}"), "line", Some(71)),
            (format!("UPDATE gunicorn_log SET url = '/else' {at}"), "url", Some(71)),
            (format!("UPDATE gunicorn_log SET agent = NULL {at}"), "agent", Some(71)),
            (format!("UPDATE gunicorn_log SET headers = {json} {at}"), "headers", Some(71)),
            (format!("UPDATE gunicorn_log SET code = 404 {at}"), "code", Some(71)),
            (format!("UPDATE gunicorn_log SET user_ip = '127.0.0.2' {at}"), "user_ip", Some(71)),
            (format!("UPDATE gunicorn_log SET duration = 0 {at}"), "duration", Some(71)),
            (format!("UPDATE gunicorn_log SET timestamp = {time} {at}"), "timestamp", Some(71)),
            (format!("UPDATE gunicorn_log SET log_offset = log_offset + 1 {at}"), "log_offset", Some(71)),
            // A row where no line is, one behind the end, one instead of a reject.
            (copy("id + 1", "log_offset + 1"), "line", Some(71)),
            (copy("id + 1000000", "log_offset + 1000000"), "line", None),
            (copy(&format!("id + {}", rejects - offset), &rejects.to_string()), "line", Some(101)),
            (format!("DELETE FROM rejected_line WHERE log_offset = {rejects}"), "line", Some(101)),
            (format!("UPDATE rejected_line SET log_offset = log_offset + 1 WHERE log_offset = {rejects}"), "line", Some(101)),
            ("UPDATE rejected_line SET raw = raw || raw WHERE length(raw) = 2".to_owned(), "line", Some(102)),
            ("UPDATE log_file SET lines = lines + 1, stored_rows = stored_rows + 1".to_owned(), "lines", None),
            ("UPDATE log_file SET excluded = excluded + 1, stored_rows = stored_rows - 1".to_owned(), "stored_rows", None),
            ("UPDATE log_file SET digest = digest_state".to_owned(), "digest", None),
        ];
        if bench.place.is_postgres() {
            // The same line twice: SQLite's key refuses it.
            tampered.push((copy("id", "log_offset").replace("SELECT id, log_offset, timestamp", "SELECT id, log_offset, timestamp + interval '1 hour'"), "line", Some(71)));
        }
        for table in ["gunicorn_log", "rejected_line", "log_file"] {
            bench.place.execute(&format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}")).await;
        }
        for (statement, about, line) in tampered {
            bench.place.execute(&statement).await;
            let first = bench.differs(&[]).first();
            assert_eq!((first.0.as_str(), first.1), (about, line), "{statement}: {first:?}");
            for table in ["gunicorn_log", "rejected_line", "log_file"] {
                bench.place.execute(&format!("DELETE FROM {table}")).await;
                bench.place.execute(&format!("INSERT INTO {table} SELECT * FROM kept_{table}")).await;
            }
            bench.verified(&[]);
        }
        // A row that names no line at all.
        bench.place.execute(&copy("5", "log_offset")).await;
        let said = bench.run(&["verify"]);
        assert_eq!(said.status.code(), Some(1));
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(said.contains("DIFFERENT: 1 rows have an id that names no line"), "{said}");
    }

    async fn the_first_difference_is_told_in_one_sentence(bench) {
        bench.imported();
        bench.place.execute("UPDATE gunicorn_log SET url = '/else' WHERE url IN ('/a/7', '/b/8')").await;
        let output = bench.run(&["verify"]);
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8(output.stdout).unwrap();
        let offset = lines("a", 0..7).len();
        assert!(said.contains(&format!("DIFFERENT {}: 300 lines = 295 rows + 3 rejected", bench.log("access.log").display())), "{said}");
        assert!(said.contains(&format!(
            "  2 differences, the first: line 8, offset {offset}, url: the file says \"/a/7\"; the database says \"/else\"\n"
        )), "{said}");
        assert!(said.ends_with("differences in 1 of 1 files\n"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }

    async fn swept_rows_are_no_difference(bench) {
        let then = |days| (Utc::now() - TimeDelta::days(days)).format("%d/%b/%Y:%H:%M:%S").to_string();
        bench.append("access.log", lines("old", 0..40).replace("23/Nov/2026:08:41:00", &then(200)));
        bench.append("access.log", "no line of ours\n");
        bench.append("access.log", lines("new", 0..40).replace("23/Nov/2026:08:41:00", &then(20)));
        bench.import(&["access.log"]);
        bench.succeed(&["cleanup", "--days", "30"]);
        bench.succeed(&["cleanup", "--days", "100"]); // the later sweep is not the one that goes further
        let told = bench.verified(&[]);
        assert_eq!((told.sum("rows"), told.sum("swept"), told.sum("rejected")), (40, 40, 1));
        // A row that is too young for that sweep was not removed by it.
        bench.place.execute("DELETE FROM gunicorn_log WHERE url = '/new/3'").await;
        let (about, line, ..) = bench.differs(&[]).first();
        assert_eq!((about.as_str(), line), ("line", Some(45)));
    }

    async fn a_sweep_from_before_the_import_explains_nothing(bench) {
        bench.succeed(&["cleanup", "--days", "1"]);
        let then = (Utc::now() - TimeDelta::days(50)).format("%d/%b/%Y:%H:%M:%S").to_string();
        bench.append("access.log", lines("old", 0..40).replace("23/Nov/2026:08:41:00", &then));
        bench.import(&["access.log"]);
        bench.verified(&[]);
        bench.place.execute("DELETE FROM gunicorn_log WHERE url = '/old/3'").await;
        assert_eq!(bench.differs(&[]).first().1, Some(4));
    }

    async fn it_says_yes_while_a_daemon_stores_and_files_rotate(bench) {
        let traffic = Traffic::in_directory(bench.logs());
        let daemon = bench.watch();
        let mut lines = 0;
        while lines < 1500 {
            lines = bench.verified(&[]).sum("lines");
        }
        let all = traffic.end();
        bench.exactly(all).await;
        bench.verified(&[]);
        assert!(daemon.stop().await.success());
    }

    async fn bytes_that_are_not_stored_yet_and_lost_ones_are_shown(bench) {
        bench.imported();
        bench.append("access.log", lines("more", 0..3));
        let path = bench.log("access.log");
        let more = lines("more", 0..3).len();
        let said = bench.succeed(&["verify", path.to_str().unwrap()]);
        assert!(said.contains(&format!(", {more} bytes not stored yet\n")), "{said}");
        bench.place.execute("UPDATE log_file SET lost_bytes = 12").await;
        assert!(bench.succeed(&["verify"]).contains("12 BYTES LOST"));
    }

    async fn a_file_that_the_database_does_not_know_is_a_difference(bench) {
        bench.imported();
        bench.append("unknown.log", lines("u", 0..10));
        bench.append("notes.txt", "buy milk\n");
        bench.append(".hidden.log", lines("h", 0..10));
        bench.verified(&[]);
        let (about, _, _, database) = bench.differs(&[bench.logs().to_str().unwrap()]).first();
        assert_eq!((about.as_str(), database.as_str()), ("file", "does not know this file"));
        bench.differs(&[bench.log("notes.txt").to_str().unwrap()]);
        bench.import(&["unknown.log"]);
        let told = bench.verified(&[bench.logs().to_str().unwrap()]);
        assert_eq!(told.files(), 2);
        // One that begins with the same line, and goes on otherwise.
        bench.append("alike.log", format!("{}{}", lines("a", 0..1), line("/other")));
        let (about, ..) = bench.differs(&[bench.log("alike.log").to_str().unwrap()]).first();
        assert_eq!(about, "file");
        let output = bench.run(&["verify", bench.log("missing.log").to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
    }

    async fn estimated_times_are_not_compared(bench) {
        bench.append("access.log", (0..30).map(without_time).collect::<String>());
        let format = ["--format", "%(h)s - \"%(r)s\" %(s)s %(b)s"];
        let daemon = bench.watch_with(&format);
        bench.rows(30).await;
        assert!(daemon.stop().await.success());
        assert_eq!(bench.verified(&[]).sum("rows"), 30);
        bench.place.execute("UPDATE gunicorn_log SET code = 201 WHERE url = '/9'").await;
        assert_eq!(bench.differs(&[]).first().0, "code");
    }

    async fn records_of_several_lines_and_lines_that_are_too_long_are_compared(bench) {
        bench.append("access.log", lines("a", 0..3));
        bench.append("access.log", line("/joined").replace("- - [", "- Ann\nLee ["));
        bench.append("access.log", vec![b'x'; 9 << 20]);
        bench.append("access.log", format!("\n{}", lines("b", 0..3)));
        bench.import(&["access.log"]);
        let told = bench.verified(&[]);
        assert_eq!((told.sum("lines"), told.sum("rows"), told.sum("rejected")), (9, 7, 2));
        bench.place.execute("UPDATE gunicorn_log SET pid = 1 WHERE url = '/b/1'").await;
        assert_eq!(bench.differs(&[]).first().1, Some(8));
        bench.place.execute("UPDATE gunicorn_log SET pid = NULL").await;
        bench.place.execute("UPDATE gunicorn_log SET user_id = 'Ann' WHERE url = '/joined'").await;
        let (about, line, file, _) = bench.differs(&[]).first();
        assert_eq!((about.as_str(), line, file.as_str()), ("user_id", Some(4), "\"Ann\\nLee\""));
    }

    async fn rows_that_were_read_by_an_earlier_format_are_known(bench) {
        bench.append("access.log", lines("a", 0..30));
        let daemon = bench.watch_with(&["--format", "gunicorn"]);
        bench.rows(30).await;
        assert!(daemon.stop().await.success());
        // From now on the server logs the time taken, and Gunicorn's users say so.
        bench.append("access.log", lines("b", 0..30).replace("\"\n", "\" 1500\n"));
        let daemon = bench.watch_with(&["--format", "gunicorn-microseconds"]);
        bench.rows(60).await;
        assert!(daemon.stop().await.success());
        assert_eq!(bench.verified(&[]).sum("rows"), 60);
        bench.place.execute("UPDATE gunicorn_log SET agent = 'x' WHERE url = '/a/3'").await;
        assert_eq!(bench.differs(&[]).first().1, Some(4));
    }
}
