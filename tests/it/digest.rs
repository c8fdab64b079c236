//! The digest that stands beside each offset is that of the file's first bytes, whatever happened
//! on the way there.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::archives::compress;
use crate::daemon::{Bench, for_each_store, line, lines};
use crate::place::until;
use crate::traffic::{Traffic, a_moment};

impl Bench {
    /// `digest committed nul_runs path` of each file of which something is stored.
    async fn digests(&self) -> Vec<String> {
        let hex =
            if self.place.is_postgres() { "encode(digest, 'hex')" } else { "lower(hex(digest))" };
        let select = format!(
            "SELECT coalesce({hex}, 'NULL') || ' ' || committed || ' ' ||
                    replace(CAST(nul_runs AS text), ' ', '') || ' ' || path
               FROM log_file WHERE committed > 0 ORDER BY id"
        );
        self.place.texts(&select).await
    }

    /// What `head` and `sha256sum` say of each of them is what is stored; where NULs were skipped, what
    /// the definition of the column says.
    pub(crate) async fn digests_are_true(&self) {
        let digests = self.digests().await;
        assert!(!digests.is_empty());
        for stored in digests {
            let mut words = stored.splitn(4, ' ');
            let mut word = || words.next().unwrap();
            let (digest, committed, runs, path) = (word(), word(), word(), word());
            if runs != "[]" {
                assert_eq!(sum_but_for(path, committed.parse().unwrap(), runs), digest, "{stored}");
                continue;
            }
            let pipe = "head -c \"$0\" \"$1\" | sha256sum";
            let said = Command::new("sh").args(["-c", pipe, committed, path]).output().unwrap();
            let said = String::from_utf8(said.stdout).unwrap();
            assert_eq!(said.split(' ').next().unwrap(), digest, "{stored}");
        }
        let nothing = "SELECT count(*) FROM log_file WHERE committed = 0 AND digest IS NOT NULL";
        assert_eq!(self.place.number(nothing).await, 0);
    }
}

/// The SHA-256 of a file's first bytes, of whose skipped runs only 64 + length mod 64 NULs count, if they
/// are longer than 127 bytes.
fn sum_but_for(path: &str, committed: u64, runs: &str) -> String {
    let file = File::open(path).unwrap();
    let mut hasher = Sha256::new();
    let mut add = |from: u64, to: u64| {
        let mut bytes = vec![0; (to - from) as usize];
        file.read_exact_at(&mut bytes, from).unwrap();
        hasher.update(&bytes);
    };
    let mut at = 0;
    for (offset, length) in serde_json::from_str::<Vec<(u64, u64)>>(runs).unwrap() {
        let counted = if length > 127 { 64 + length % 64 } else { length };
        add(at, offset + counted);
        at = offset + length;
    }
    add(at, committed);
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
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
            bench.digests().await.iter().all(|file| std::path::Path::new(file.splitn(4, ' ').last().unwrap()).exists())
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
