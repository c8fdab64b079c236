//! Other users of the machine: what they can read of the daemon's.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::daemon::{Bench, Daemon, lines};
use crate::place::{Place, until};
use crate::streams::{make_fifo, writer_of};

/// All files and directories below one, and itself.
fn all_below(path: &Path) -> Vec<PathBuf> {
    let mut found = vec![path.to_path_buf()];
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        entries.for_each(|entry| found.extend(all_below(&entry.unwrap().path())));
    }
    found
}

/// The SQLite file, what lies beside it, and the spool.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_daemon_makes_is_for_its_owner_alone() {
    let bench = Bench::new(Place::sqlite().await).await;
    let fifo = bench.aside("fifo");
    make_fifo(&fifo);
    let mut command = bench.command(&["--poll-interval", "100ms", "--watch"]);
    command.arg(bench.logs()).arg(&fifo).env_remove("DATABASE_URL");
    bench.append("access.log", lines("a", 0..10));
    let daemon = Daemon::start(command, bench.aside("stderr"));
    let state = bench.aside(".local/state/log-ingestd");
    let mut writer = writer_of(&fifo).await;
    writer.write_all(lines("b", 0..10).as_bytes()).unwrap();
    let spool = state.join("spool");
    until("the spool has a file", async || all_below(&spool).len() > 1).await;
    until("the store is there", async || state.join("log-ingestd.sqlite3").exists()).await;
    let open: Vec<_> = all_below(&state)
        .into_iter()
        .filter(|path| fs::metadata(path).is_ok_and(|it| it.permissions().mode() & 0o077 != 0))
        .collect();
    // Others cannot enter the directory; the files in it are closed to them all the same.
    assert!(open.is_empty(), "others may use {open:?}");
    assert!(daemon.stop().await.success());
}
