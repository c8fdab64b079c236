//! One difference at a time, in a file or in the database: it is found, and told with its place.

use std::fs;

use crate::daemon::{for_each_store, line, lines};

for_each_store! {
    async fn one_changed_byte_in_the_file_is_found(bench) {
        bench.imported();
        let path = bench.log("access.log");
        let whole = fs::read(&path).unwrap();
        // In place, and as a new file: in a column, in a field without a column, and at the end.
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
            // A row without a line, one after the end, one instead of a reject.
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
        assert!(said.contains("DIFFERENT: 1 row has an id that names no line"), "{said}");
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
        assert!(said.ends_with("differences in 1 of 1 file\n"), "{said}");
        assert!(!said.contains("secret"), "{said}");
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
    }
}
