//! Power cuts: the log loses what had not reached the disk, and the store does not; or the other way
//! round. Afterwards every complete line that the log still has is stored once.
//!
//! - [`machine`]: real file systems, shut down under writers and a daemon, and mounted again.
//! - [`bytes`]: the same damage done by hand while the daemon is down, to many files at a time.
//! - [`judge`]: holds the store against the logs; [`stored`]: what the store has; [`text`]: the lines.
//! - [`cases`]: single cuts, each with its story; [`spool`]: those of streams without a database.
//!
//! A few cuts here, as many as one likes by `tests/torture --power-cuts N` and `--byte-cuts N`.

mod bytes;
mod cases;
mod file_system;
mod judge;
mod machine;
mod spool;
mod stored;
mod streams;
mod text;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::daemon::Bench;
use crate::torture::{asked, seed};

/// Returns whether power is cut in the scripts of the model test: in those of `tests/torture`.
pub(crate) fn in_scripts() -> bool {
    std::env::var_os("LOG_INGESTD_TORTURE_MINUTES").is_some()
}

/// How many cuts to play: as many as are asked for, else a few.
fn cuts(name: &str, few: u64) -> u64 {
    asked(name).unwrap_or(few)
}

/// Waits until `verify` finds no difference but in logs with `holes`: a log of which no line is missing may
/// still be one that the daemon has not looked at since it was cut. Returns what differs in the end.
async fn differences(bench: &Bench, patience: Duration, holes: &[PathBuf]) -> Option<String> {
    let end = Instant::now() + patience;
    loop {
        let output = bench.run(&["verify", "--json"]);
        let said = String::from_utf8_lossy(&output.stdout);
        let told: Option<Value> = serde_json::from_str(&said).ok();
        let has_hole = |file: &Value| {
            let path = file["path"].as_str().unwrap();
            holes.iter().any(|hole| hole.as_os_str() == path)
        };
        let differs = |file: &&Value| file["differences"] != 0 && !has_hole(file);
        let found = told.as_ref().map(|told| {
            let files: Vec<&Value> =
                told["files"].as_array().unwrap().iter().filter(differs).take(8).collect();
            (files, &told["stray_rows"])
        });
        match &found {
            Some((files, stray)) if files.is_empty() && **stray == 0 => return None,
            _ if Instant::now() < end => tokio::time::sleep(Duration::from_millis(200)).await,
            _ => {
                let error = String::from_utf8_lossy(&output.stderr);
                return Some(format!("verify: {found:#?}\n{error}"));
            }
        }
    }
}
