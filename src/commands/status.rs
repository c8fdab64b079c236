//! `log-ingestd status`: what is stored of each file, and what is not yet.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

use crate::config::Config;
use crate::pipeline::Shutdown;
use crate::pipeline::connect::{Access, connect};
use crate::source::Tail;
use crate::source::fingerprint::same_object;
use crate::store::{FileReport, SweepReport};

/// What `status` shows.
#[derive(Debug)]
pub struct Status {
    /// The database's name.
    pub store: String,
    /// All logical files.
    pub files: Vec<FileStatus>,
    /// The last sweep.
    pub last_sweep: Option<SweepReport>,
}

/// One logical file.
#[derive(Debug)]
pub struct FileStatus {
    /// The store's report of the file.
    pub stored: FileReport,
    /// Bytes and complete lines that are in the file and not stored. `None` if the file is on
    /// another host, or no longer exists.
    pub lag: Option<(u64, u64)>,
}

/// Reads the reports in the store, and the sizes of the files of this host.
///
/// # Errors
/// The store cannot be used.
pub async fn status(config: &Config) -> anyhow::Result<Status> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let store =
        connect(&config.location, config.connect_timeout, Access::Read, &mut shutdown).await?;
    let reports = store.files(None).await?;
    let last_sweep = store.last_sweep().await?;
    let files = reports.into_iter().map(|stored| {
        let lag = if stored.host == config.host { lag(&stored) } else { None };
        FileStatus { stored, lag }
    });
    Ok(Status { store: config.location.to_string(), files: files.collect(), last_sweep })
}

/// Returns the bytes and complete lines after the committed offset.
fn lag(stored: &FileReport) -> Option<(u64, u64)> {
    let checkpoint = &stored.checkpoint;
    let tail = Tail::open(Path::new(&checkpoint.path)).ok()??;
    if !same_object(checkpoint.key?, tail.key()) {
        return None;
    }
    let mut lines = 0;
    let mut buffer = vec![0; 256 << 10];
    let mut unread = tail.reader_at(checkpoint.committed).ok()?;
    while let Ok(read @ 1..) = unread.read(&mut buffer) {
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
    }
    Some((tail.size().saturating_sub(checkpoint.committed), lines))
}
