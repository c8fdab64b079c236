//! `log-ingestd forget`: all that is stored of a file goes, and it can be imported again.

use std::fs;

use crate::daemon::{Bench, for_each_store, lines, urls};
use crate::place::{OF_FILES, until};

/// Everything that any table has of any file.
async fn is_empty(bench: &Bench) -> bool {
    for table in OF_FILES {
        if bench.place.number(&format!("SELECT count(*) FROM {table}")).await != 0 {
            return false;
        }
    }
    true
}

for_each_store! {
    async fn a_file_that_was_read_by_the_wrong_format_is_imported_again(bench) {
        let file = bench.log("old.log");
        let line = |nth: u32| format!("{} {nth}\n", lines("a", nth..nth + 1).trim_end());
        fs::write(&file, (0..50).map(line).collect::<String>() + "garbage\n").unwrap();
        let path = file.to_str().unwrap();
        let default = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;
        bench.succeed(&["import", path, "--format", &format!("{default} %(T)s")]);
        let seconds = "SELECT CAST(sum(duration) AS bigint) FROM gunicorn_log";
        assert_eq!(bench.place.number(seconds).await, 1_225_000_000);
        // The format that it was read by shows nothing; the right one does.
        bench.succeed(&["verify", path]);
        let right = format!("{default} %(D)s");
        let differs = bench.run(&["verify", path, "--format", &right]);
        let said = String::from_utf8_lossy(&differs.stdout).into_owned();
        assert!(!differs.status.success(), "{said}");
        assert!(said.contains("49 lines were read by another format"), "{said}");
        assert!(said.contains("duration"), "{said}");
        let refused = bench.run(&["forget", path]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("--yes"), "{said}");
        assert_eq!(bench.place.number(seconds).await, 1_225_000_000, "nothing is removed");
        let said = bench.succeed(&["forget", path, "--yes"]);
        assert!(said.contains("50 rows, 1 rejected line;") && said.contains("still there"), "{said}");
        assert!(is_empty(&bench).await);
        bench.succeed(&["import", path, "--format", &right]);
        bench.succeed(&["verify", path, "--format", &right]);
        assert_eq!(bench.place.number(seconds).await, 1225);
        bench.exactly(urls("a", 0..50)).await;
        bench.balanced().await;
    }

    async fn what_a_daemon_follows_is_not_forgotten(bench) {
        bench.append("access.log", lines("a", 0..5));
        let daemon = bench.watch();
        bench.exactly(urls("a", 0..5)).await;
        let path = bench.log("access.log");
        let path = path.to_str().unwrap();
        let refused = bench.run(&["forget", path, "--yes"]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("stop it first"), "{said}");
        assert!(daemon.stop().await.success());
        bench.exactly(urls("a", 0..5)).await;
        bench.succeed(&["forget", path, "--yes"]);
        assert!(is_empty(&bench).await);
        // The next daemon reads it again, as it was said.
        let daemon = bench.watch();
        bench.exactly(urls("a", 0..5)).await;
        assert!(daemon.stop().await.success());
        bench.balanced().await;
    }

    /// Each day's log lies under the last name for a while, and is deleted from there.
    async fn of_several_files_that_lay_there_only_the_one_that_is_meant_goes(bench) {
        let path = bench.log("access.log.1");
        let daemon = bench.watch();
        let mut all = Vec::new();
        for day in ["monday", "tuesday", "wednesday"] {
            bench.append("access.log", lines(day, 0..5));
            all.push(urls(day, 0..5));
            bench.exactly(all.concat()).await;
            fs::rename(bench.log("access.log"), &path).unwrap();
            let moved = "SELECT count(*) FROM log_file WHERE path LIKE '%/access.log.1'";
            let so_many = all.len() as i64;
            until("the new name is stored", async || bench.place.number(moved).await == so_many).await;
        }
        assert!(daemon.stop().await.success());
        let name = path.to_str().unwrap();
        let said = bench.succeed(&["forget", name, "--yes"]);
        assert!(said.contains("5 rows"), "{said}");
        bench.exactly([urls("monday", 0..5), urls("tuesday", 0..5)].concat()).await;
        // Without the file it is not certain which of the two others is meant.
        fs::remove_file(&path).unwrap();
        let refused = bench.run(&["forget", name]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && said.contains("2 files were stored from"), "{said}");
        let ids = bench.place.texts("SELECT CAST(id AS text) FROM log_file ORDER BY id").await;
        assert!(ids.iter().all(|id| said.contains(&format!("{id} (5 rows, since "))), "{said}");
        let unknown = bench.run(&["forget", name, "--id", "99"]);
        assert!(String::from_utf8_lossy(&unknown.stderr).contains("--id 99 was not stored from"));
        bench.exactly([urls("monday", 0..5), urls("tuesday", 0..5)].concat()).await;
        bench.succeed(&["forget", name, "--id", &ids[0]]);
        bench.exactly(urls("tuesday", 0..5)).await;
        bench.balanced().await;
        // One is left: it is meant.
        bench.succeed(&["forget", name]);
        assert!(is_empty(&bench).await);
    }

    async fn other_files_keep_what_they_have(bench) {
        bench.append("a.log", lines("a", 0..5));
        bench.append("b.log", lines("b", 0..7));
        let daemon = bench.watch();
        bench.exactly([urls("a", 0..5), urls("b", 0..7)].concat()).await;
        assert!(daemon.stop().await.success());
        fs::remove_file(bench.log("a.log")).unwrap();
        let said = bench.succeed(&["forget", bench.log("a.log").to_str().unwrap(), "--json"]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!((&said["rows"], &said["still_there"]), (&5.into(), &serde_json::Value::Null));
        bench.exactly(urls("b", 0..7)).await;
        bench.balanced().await;
        bench.verified(&[]);
        let unknown = bench.run(&["forget", bench.log("a.log").to_str().unwrap()]);
        let said = String::from_utf8_lossy(&unknown.stderr).into_owned();
        assert!(!unknown.status.success() && said.contains("nothing is stored from"), "{said}");
        assert!(said.contains("status --all"), "{said}");
    }
}
