//! The digest that stands beside each offset is that of the file's first bytes, whatever happened
//! on the way there.

use std::process::Command;
use std::time::Duration;

use crate::archives::compress;
use crate::daemon::{Bench, for_each_store, line, lines};
use crate::place::until;
use crate::traffic::{Traffic, a_moment};

impl Bench {
    /// `digest committed path` of each file of which something is stored.
    async fn digests(&self) -> Vec<String> {
        let hex =
            if self.place.is_postgres() { "encode(digest, 'hex')" } else { "lower(hex(digest))" };
        let select = format!(
            "SELECT coalesce({hex}, 'NULL') || ' ' || committed || ' ' || path FROM log_file
              WHERE committed > 0 ORDER BY id"
        );
        self.place.texts(&select).await
    }

    /// What `head` and `sha256sum` say of each of them is what is stored.
    pub(crate) async fn digests_are_true(&self) {
        let digests = self.digests().await;
        assert!(!digests.is_empty());
        for stored in digests {
            let mut words = stored.splitn(3, ' ');
            let (digest, committed, path) =
                (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
            let pipe = "head -c \"$0\" \"$1\" | sha256sum";
            let said = Command::new("sh").args(["-c", pipe, committed, path]).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            assert_eq!(said.split(' ').next().unwrap(), digest, "{stored}");
        }
        let nothing = "SELECT count(*) FROM log_file WHERE committed = 0 AND digest IS NOT NULL";
        assert_eq!(self.place.number(nothing).await, 0);
    }
}

for_each_store! {
    async fn it_is_what_sha256sum_says_of_the_stored_bytes(bench) {
        bench.append("access.log", lines("a", 0..300));
        bench.append("other.log", lines("same", 0..1));
        let daemon = bench.watch();
        bench.rows(301).await;
        bench.digests_are_true().await;
        // Commit after commit, with pieces of lines between them.
        for nth in 0..20 {
            let text = line(&format!("/piece/{nth}"));
            bench.append("access.log", &text[..nth as usize]);
            bench.append("access.log", &text[nth as usize..]);
            bench.append("other.log", lines("b", nth..nth + 1));
            bench.rows(303 + 2 * i64::from(nth)).await;
        }
        bench.digests_are_true().await;
        bench.append("access.log", "half a line");
        assert!(daemon.stop().await.success());
        bench.digests_are_true().await;
        let daemon = bench.watch();
        bench.append("access.log", "\n");
        until("the end is stored", async || bench.stored().await == 342).await;
        bench.digests_are_true().await;
        assert!(daemon.stop().await.success());
    }

    async fn an_import_has_it_too_and_goes_on_with_what_a_daemon_left(bench) {
        bench.append("access.log", lines("a", 0..100));
        let daemon = bench.watch();
        bench.rows(100).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("b", 0..5000));
        bench.append("access.log", line("/last").trim_end());
        assert_eq!(bench.import(&["access.log"]).counts(), (5101, 5001, 100));
        bench.digests_are_true().await;
        bench.append("access.log", "\r\n");
        bench.append("access.log", lines("c", 0..10));
        bench.import(&["access.log"]);
        bench.digests_are_true().await;
        let whole = std::fs::read(bench.log("access.log")).unwrap();
        let more = [&whole, lines("d", 0..9).as_bytes()].concat();
        std::fs::write(bench.log("old.gz"), compress("gz", &more)).unwrap();
        assert_eq!(bench.import(&["old.gz"]).count("rows"), 9);
        std::fs::write(bench.log("access.log"), more).unwrap();
        bench.digests_are_true().await;
    }

    async fn lines_that_are_too_long_are_in_it(bench) {
        bench.append("access.log", lines("a", 0..3));
        let daemon = bench.watch();
        bench.rows(3).await;
        bench.append("access.log", vec![b'x'; 5 << 20]);
        bench.append("access.log", vec![b'y'; 1 << 20]);
        bench.append("access.log", format!("\n{}", lines("b", 0..3)));
        bench.rows(6).await;
        bench.digests_are_true().await;
        bench.balanced().await;
        assert_eq!(bench.place.number("SELECT count(*) FROM log_file").await, 1);
        assert!(daemon.stop().await.success());
    }

    async fn it_is_right_after_kills_in_the_middle_of_everything(bench) {
        let traffic = Traffic::in_directory(bench.logs());
        for _ in 0..8 {
            let daemon = bench.watch();
            a_moment(Duration::from_millis(400)).await;
            daemon.kill();
        }
        let all = traffic.end();
        let daemon = bench.watch();
        bench.exactly(all).await;
        // A file may be renamed when all of it is stored, and the store is told a moment later.
        until("each path is told", async || {
            bench.digests().await.iter().all(|file| std::path::Path::new(file.splitn(3, ' ').last().unwrap()).exists())
        }).await;
        assert!(daemon.stop().await.success());
        bench.digests_are_true().await;
        bench.verified(&[]);
    }

    async fn it_is_right_after_a_conflict(bench) {
        bench.append("access.log", lines("a", 0..50));
        let mut daemon = bench.watch();
        bench.rows(50).await;
        // As another daemon does when it takes the file over.
        bench.place.execute("UPDATE log_file SET epoch = epoch + 1000").await;
        bench.append("access.log", lines("b", 0..50));
        daemon.says("another log-ingestd took this file over").await;
        bench.digests_are_true().await;
        bench.rows(100).await;
        bench.digests_are_true().await;
        assert!(daemon.stop().await.success());
    }

    async fn it_is_right_after_batches_that_were_refused_and_read_again(bench) {
        if bench.place.is_postgres() {
            bench.place.execute("ALTER TABLE gunicorn_log ADD CONSTRAINT odd CHECK (url NOT LIKE '%/77')").await;
        } else {
            bench.place.execute("CREATE TRIGGER odd BEFORE INSERT ON gunicorn_log WHEN NEW.url LIKE '%/77'
                BEGIN SELECT raise(ABORT, 'odd'); END").await;
        }
        bench.append("access.log", lines("a", 0..200));
        bench.append("imported.log", lines("b", 0..200));
        bench.import(&["imported.log"]);
        let daemon = bench.watch();
        bench.append("access.log", lines("c", 0..200));
        until("all is stored", async || bench.stored().await == 600).await;
        assert_eq!(bench.place.number("SELECT count(*) FROM rejected_line").await, 3);
        bench.digests_are_true().await;
        assert!(daemon.stop().await.success());
        // What the database refused is a reject with the line's bytes: it says what the file says.
        let told = bench.verified(&[]);
        assert_eq!(told.sum("rows"), 597);
        assert_eq!((told.sum("rejected"), told.sum("readable")), (3, 3));
    }
}
