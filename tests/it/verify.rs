//! `log-ingestd verify`: yes where the database holds what the files said; `differences` are told
//! where it does not.

mod differences;

use std::fs;
use std::process::{Output, Stdio};

use chrono::{TimeDelta, Utc};
use log_ingestd::store::SweepReport;
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
    pub(crate) fn first(&self) -> (String, Option<u64>, String, String) {
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
    pub(crate) fn differs(&self, flags: &[&str]) -> Told {
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

    async fn a_sweep_that_has_not_ended_is_waited_for(bench) {
        bench.append("access.log", lines("old", 0..40));
        bench.import(&["access.log"]);
        let mut sweeper = bench.place.open().await.sweeper().await.unwrap().unwrap();
        bench.place.execute("DELETE FROM gunicorn_log WHERE url LIKE '/old/1%'").await;
        let mut command = bench.command(&["verify", "--json"]);
        let child = command.stdout(Stdio::piped()).spawn().unwrap();
        let now = Utc::now().timestamp_micros();
        let cutoff = now + 86_400_000_000;
        let report = SweepReport { cutoff, finished_at: now, started_at: now, ..SweepReport::default() };
        sweeper.record(&report).await.unwrap();
        drop(sweeper);
        let told = Told::of(&child.wait_with_output().unwrap());
        assert_eq!((told.sum("rows"), told.sum("swept")), (29, 11), "{}", told.0);
        assert_eq!(told.0["good"], true);
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
