//! `log-ingestd reparse`: rejected lines are read once more, and those that can be read by now
//! become rows.
//!
//! A line changes sides in one transaction, in which its reject leaves, its row arrives and the
//! file's counters move; a reject that is gone by then was somebody else's, and the transaction is
//! taken back. So it does not matter who else is at work: a daemon, a sweep, another reparse.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context;
use serde::Serialize;

use crate::format::Parsed;
use crate::model::{FileId, Reparsed};
use crate::store::{RejectKey, StoreError, StoredReject, Writer};

use crate::config::Config;
use crate::identity::formats::{Format, Formats};
use crate::pipeline::Shutdown;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, connect, owner};
use crate::pipeline::read_lines::{CONTINUES, TOO_LONG};
use crate::store::chain;

/// Rejects that are read at a time.
const PAGE: u32 = 1000;

/// Bytes of their lines, but for the last one's (8 MiB).
const PAGE_BYTES: u64 = 8 << 20;

/// What a reparse did, or would do. Counts are lines.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ReparseSummary {
    /// Rejects that were looked at.
    pub lines: u64,
    /// Rejects that became rows.
    pub rows: u64,
    /// Rejects that the configuration leaves out: counted with their file, and stored no more.
    pub excluded: u64,
    /// Rejects that stay, by reason.
    pub still_rejected: BTreeMap<String, u64>,
    /// Rejects that somebody else removed meanwhile: a sweep, or another reparse.
    pub gone: u64,
}

/// Reads all rejects by the format of their file, or by the configured one.
///
/// # Errors
/// A store that cannot be used, or that fails on the way; what became a row by then stays one, and
/// the same command goes on.
pub async fn reparse(config: &Config, dry_run: bool) -> anyhow::Result<ReparseSummary> {
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let access = if dry_run { Access::Read } else { Access::Write };
    let store = connect(&config.location, config.connect_timeout, access, &mut shutdown).await?;
    let mut reparse = Reparse {
        committer: Committer::new(store, owner(&config.host), None),
        formats: Formats::new(config.parsing.clone()),
        dry_run,
        summary: ReparseSummary::default(),
    };
    let mut after = RejectKey::FIRST;
    loop {
        anyhow::ensure!(!shutdown.is_requested(), "interrupted; the same command goes on");
        let page = reparse.writer().await?.rejects_after(after, PAGE, PAGE_BYTES).await?;
        let Some(last) = page.last() else { return Ok(reparse.summary) };
        after = last.key;
        for lines in page.chunk_by(|one, next| one.key.file == next.key.file) {
            reparse.lines_of_a_file(lines).await?;
        }
    }
}

struct Reparse {
    committer: Committer,
    formats: Formats,
    dry_run: bool,
    summary: ReparseSummary,
}

impl Reparse {
    async fn writer(&mut self) -> anyhow::Result<&mut Writer> {
        self.committer.writer().await?.context("the store is away")
    }

    async fn lines_of_a_file(&mut self, lines: &[StoredReject]) -> anyhow::Result<()> {
        self.summary.lines += lines.len() as u64;
        let Some(first) = lines.first() else { return Ok(()) };
        let Some(format) = self.format_of(first.key.file).await? else {
            for _ in lines {
                self.stays("the format of its file cannot be read");
            }
            return Ok(());
        };
        let lines: Vec<&StoredReject> =
            lines.iter().filter(|line| self.may_be_read(line, &format)).collect();
        if lines.is_empty() || self.changed_sides(&lines, &format).await? {
            return Ok(());
        }
        // One of them is gone, or the database cannot hold one: each by itself.
        for line in &lines {
            self.changed_sides(std::slice::from_ref(line), &format).await?;
        }
        Ok(())
    }

    async fn format_of(&mut self, file: FileId) -> anyhow::Result<Option<Arc<Format>>> {
        let Some(report) = self.writer().await?.report(file).await? else { return Ok(None) };
        Ok(self.formats.stored(&report.checkpoint.format))
    }

    /// Whether the format reads it; one that stays is counted.
    fn may_be_read(&mut self, line: &StoredReject, format: &Format) -> bool {
        // Of these, the reject does not hold the line, or holds a part of another line's record.
        if line.reason.starts_with(TOO_LONG) || line.reason == CONTINUES {
            self.stays(if line.reason == CONTINUES { CONTINUES } else { TOO_LONG });
            return false;
        }
        let reason = match format.open(&line.raw) {
            Ok(opened) => match format.parser.parse(&opened.payload) {
                Parsed::Reject(reason) => reason.to_string(),
                Parsed::Record(_) | Parsed::Json(_) | Parsed::Excluded => return true,
            },
            Err(reason) => reason.to_owned(),
        };
        self.stays(&reason);
        false
    }

    fn stays(&mut self, reason: &str) {
        *self.summary.still_rejected.entry(reason.to_owned()).or_default() += 1;
    }

    /// Makes rows of lines that can be read; `false` if not one of several did become one.
    async fn changed_sides(
        &mut self,
        lines: &[&StoredReject],
        format: &Format,
    ) -> anyhow::Result<bool> {
        let Some(first) = lines.first() else { return Ok(true) };
        let mut reparsed = Reparsed::of(first.key.file, format.format.clone());
        for line in lines {
            let RejectKey { file, offset, rejected_at } = line.key;
            let Ok(opened) = format.open(&line.raw) else { continue };
            match format.parser.parse(&opened.payload) {
                Parsed::Record(record) => {
                    let time = opened.time.unwrap_or(rejected_at);
                    reparsed.rows.push_record(file, offset, &record, time);
                }
                Parsed::Json(record) => reparsed.rows.push_json(file, offset, &record),
                Parsed::Excluded => reparsed.excluded += 1,
                Parsed::Reject(_) => continue,
            }
            reparsed.taken.push((offset, rejected_at));
        }
        if !self.dry_run {
            match self.writer().await?.reparse(&reparsed).await {
                Ok(true) => {}
                Ok(false) if lines.len() == 1 => {
                    self.summary.gone += 1;
                    return Ok(true);
                }
                Err(error @ StoreError::BadRow { .. }) if lines.len() == 1 => {
                    self.stays(&chain(&error));
                    return Ok(true);
                }
                Ok(false) | Err(StoreError::BadRow { .. }) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        self.summary.rows += reparsed.rows.rows();
        self.summary.excluded += reparsed.excluded;
        Ok(true)
    }
}
