//! `log-ingestd status`: what is stored, and what is still to be.

use std::io::Read;
use std::path::Path;

use anyhow::Context;

use crate::source::Tail;
use crate::source::fingerprint::same_object;
use crate::store::{FileReport, SweepReport};

use crate::config::Config;
use crate::pipeline::Shutdown;
use crate::pipeline::connect::{Access, connect};

/// Everything that `status` shows.
#[derive(Debug)]
pub struct Status {
    /// Which database.
    pub store: String,
    /// Every logical file.
    pub files: Vec<FileStatus>,
    /// The newest sweep.
    pub last_sweep: Option<SweepReport>,
}

/// One logical file.
#[derive(Debug)]
pub struct FileStatus {
    /// What the store holds of it.
    pub stored: FileReport,
    /// Bytes and complete lines that are there and not stored; `None` if the file is not on this
    /// host, or not there any more.
    pub lag: Option<(u64, u64)>,
}

/// Asks the store, and the files that are still there.
///
/// # Errors
/// A store that cannot be used.
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

fn lag(stored: &FileReport) -> Option<(u64, u64)> {
    let known = &stored.checkpoint;
    let tail = Tail::open(Path::new(&known.path)).ok()??;
    if !same_object(known.key?, tail.key()) {
        return None;
    }
    let mut lines = 0;
    let mut buffer = vec![0; 256 << 10];
    let mut unread = tail.reader_at(known.committed).ok()?;
    while let Ok(read @ 1..) = unread.read(&mut buffer) {
        lines += memchr::memchr_iter(b'\n', &buffer[..read]).count() as u64;
    }
    Some((tail.size().saturating_sub(known.committed), lines))
}
