//! Several Python processes that rotate one log, each on its own: writers on `.log`, `.1` and `.2`
//! at once.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::daemon::{for_each_store, urls};
use crate::place::until;

/// Processes that write.
const WORKERS: u32 = 3;

/// Lines of each.
const LINES: u32 = 400;

for_each_store! {
    async fn workers_that_each_rotate_the_log_lose_and_double_nothing(bench) {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let python = manifest.join(".venv/bin/python");
        assert!(python.exists(), "there is no Python in .venv: tests/run puts it there");
        let daemon = bench.watch();
        let mut workers = Command::new(python)
            .arg(manifest.join("tests/it/workers/rotating.py"))
            .arg(bench.log("access.log"))
            .args([WORKERS.to_string(), LINES.to_string()])
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        until("some is stored", async || bench.stored().await > 0).await;
        daemon.kill();
        let daemon = bench.watch();
        until("the workers are done", async || workers.try_wait().unwrap().is_some()).await;
        assert!(workers.wait().unwrap().success());
        let rotated = fs::read_dir(bench.logs()).unwrap().count();
        assert!(rotated > 15, "{rotated} files are too few rotations");
        bench.exactly((0..WORKERS).flat_map(|worker| urls(&format!("worker{worker}"), 0..LINES))).await;
        assert!(daemon.stop().await.success());
    }
}
