//! Bytes that are gone are counted once: in `log_file.lost_bytes` and in `/metrics`, so that an
//! alert can fire, wherever the daemon finds the loss.

use std::fs;
use std::path::PathBuf;

use super::client::Site;
use super::measures::comes_to;
use crate::archives::compress;
use crate::daemon::{Bench, for_each_store, lines, rename};
use crate::place::until;

/// The beginning of a line, which no daemon can store.
const UNFINISHED: &str = "127.0.0.1 - -";

/// A log that was followed until its daemon stopped. All but its unfinished last line is stored.
/// Returns the bytes that are stored.
async fn stopped_with_an_unfinished_line(bench: &Bench) -> String {
    let stored = lines("a", 0..20);
    bench.append("access.log", format!("{stored}{UNFINISHED}"));
    let daemon = bench.watch();
    bench.rows(20).await;
    assert!(daemon.stop().await.success());
    stored
}

/// Truncates the log and writes other lines, as copytruncate and a server do.
fn truncate_and_go_on(bench: &Bench) {
    fs::write(bench.log("access.log"), lines("b", 0..10)).unwrap();
}

async fn stored_loss(bench: &Bench) -> i64 {
    bench.place.number("SELECT CAST(sum(lost_bytes) AS bigint) FROM log_file").await
}

/// Waits until the store and `/metrics` say that the unfinished line is lost, and nothing else.
async fn counts_the_loss(bench: &Bench, site: &Site) {
    until("the store knows of the loss", async || {
        stored_loss(bench).await == UNFINISHED.len() as i64
    })
    .await;
    comes_to(site, "lost_bytes_total", UNFINISHED.len() as f64).await;
}

/// Reads the configuration again, which registers every file again in the same process.
async fn reload(site: &mut Site) {
    site.daemon.signal("HUP");
    site.daemon.says("configuration read again").await;
}

for_each_store! {
    async fn a_file_that_was_truncated_while_no_daemon_ran(bench) {
        stopped_with_an_unfinished_line(&bench).await;
        truncate_and_go_on(&bench);
        let mut site = Site::open(&bench, &[]).await;
        bench.rows(30).await;
        counts_the_loss(&bench, &site).await;
        reload(&mut site).await;
        bench.append("access.log", lines("b", 10..20));
        bench.rows(40).await;
        counts_the_loss(&bench, &site).await;
    }

    async fn a_copy_that_does_not_hold_all_of_the_file(bench) {
        let stored = stopped_with_an_unfinished_line(&bench).await;
        fs::write(bench.log("access.log.1"), stored).unwrap();
        truncate_and_go_on(&bench);
        let mut site = Site::open(&bench, &[]).await;
        bench.rows(30).await;
        counts_the_loss(&bench, &site).await;
        // The copy is claimed once more; the loss is the same.
        reload(&mut site).await;
        bench.append("access.log", lines("b", 10..20));
        bench.rows(40).await;
        counts_the_loss(&bench, &site).await;
    }

    async fn an_archive_that_does_not_hold_all_of_the_file(bench) {
        let stored = stopped_with_an_unfinished_line(&bench).await;
        fs::remove_file(bench.log("access.log")).unwrap();
        fs::write(bench.log("access.log.1.gz"), compress("gz", stored.as_bytes())).unwrap();
        let site = Site::open(&bench, &[]).await;
        counts_the_loss(&bench, &site).await;
    }

    /// The loss is found when the log is registered, and again when its archive is read.
    async fn a_truncated_file_whose_archive_does_not_hold_all_of_it(bench) {
        let stored = stopped_with_an_unfinished_line(&bench).await;
        fs::write(bench.log("access.log.1.gz"), compress("gz", stored.as_bytes())).unwrap();
        truncate_and_go_on(&bench);
        let site = Site::open(&bench, &[]).await;
        bench.rows(30).await;
        until("the archive is read", async || {
            let archived = "SELECT count(*) FROM log_file WHERE closed_reason = 'compressed'";
            bench.place.number(archived).await == 1
        })
        .await;
        counts_the_loss(&bench, &site).await;
    }

    async fn a_file_that_is_gone(bench) {
        stopped_with_an_unfinished_line(&bench).await;
        let kept: PathBuf = bench.aside("kept");
        rename(&bench.log("access.log"), &kept);
        let site = Site::open(&bench, &[]).await;
        counts_the_loss(&bench, &site).await;
    }

    async fn a_file_that_is_truncated_while_it_is_followed(bench) {
        bench.append("access.log", lines("a", 0..20));
        let site = Site::open(&bench, &[]).await;
        bench.rows(20).await;
        bench.append("access.log", UNFINISHED);
        comes_to(&site, "backlog_bytes", UNFINISHED.len() as f64).await;
        fs::File::options().write(true).open(bench.log("access.log")).unwrap().set_len(0).unwrap();
        counts_the_loss(&bench, &site).await;
    }
}
