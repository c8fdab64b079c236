//! `log-ingestd reparse`: reads rejected lines once more, and makes rows of those that can be read
//! now.
//!
//! One transaction removes the reject, adds its row and moves the counters of the file. If another
//! process has removed the reject meanwhile, the transaction is rolled back. So a daemon, a sweep or
//! another reparse may run at the same time.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::format::{Parsed, STARS};
use crate::model::{FileId, FormChange, RejectCode, RejectedLine, Reparsed, text_path};
use crate::store::{RejectKey, StoreError, Writer};

use crate::commands::open_store;
use crate::config::Config;
use crate::identity::detect::Formats;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::pipeline::file_format::Format;
use crate::pipeline::line_patches::{LinePatches, WrittenLine};
use crate::store::chain;

/// Rejects that one query reads.
const PAGE: u32 = 1000;

/// Bytes of the lines that one query reads, without the last line (8 MiB).
const PAGE_BYTES: u64 = 8 << 20;

/// Why a masked line stays rejected.
const MASKED: &str = "its secrets are masked: `log-ingestd reparse --rows` reads it from its file";

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
    /// Rejects that a sweep or another reparse removed meanwhile.
    pub gone: u64,
}

/// Reads all rejects by the format of their file, or by the configured one.
///
/// # Errors
/// A store that cannot be used, or that fails on the way. What became a row before the error stays one,
/// and the same command continues.
pub async fn reparse(config: &Config, dry_run: bool) -> anyhow::Result<ReparseSummary> {
    let access = if dry_run { Access::Read } else { Access::Write };
    let (store, shutdown) = open_store(config, access).await?;
    let mut reparse = Reparse {
        committer: Committer::new(store, owner(&config.host), None),
        formats: Formats::new(config.parsing.clone()).by_path(&config.formats_by_path),
        dry_run,
        summary: ReparseSummary::default(),
    };
    let mut after = RejectKey::FIRST;
    loop {
        anyhow::ensure!(!shutdown.is_requested(), "interrupted; the same command goes on");
        let page = reparse.writer().await?.rejects_after(after, PAGE, PAGE_BYTES).await?;
        let Some(last) = page.last() else { return Ok(reparse.summary) };
        after = last.into();
        for lines in page.chunk_by(|one, next| one.log_file == next.log_file) {
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
        self.committer.available_writer().await
    }

    async fn lines_of_a_file(&mut self, lines: &[RejectedLine]) -> anyhow::Result<()> {
        self.summary.lines += lines.len() as u64;
        let Some(first) = lines.first() else { return Ok(()) };
        let Some((format, forms)) = self.format_of(first.log_file).await? else {
            for _ in lines {
                self.stays("the format of its file cannot be read");
            }
            return Ok(());
        };
        let lines: Vec<&RejectedLine> =
            lines.iter().filter(|line| self.may_be_read(line, &format)).collect();
        if lines.is_empty() || self.changed_sides(&lines, &format, &forms).await? {
            return Ok(());
        }
        // A reject is gone, or the database refuses a row: each line is tried by itself.
        for line in &lines {
            self.changed_sides(std::slice::from_ref(line), &format, &forms).await?;
        }
        Ok(())
    }

    /// Returns the format of a file, and the forms of its lines.
    async fn format_of(
        &mut self,
        file: FileId,
    ) -> anyhow::Result<Option<(Arc<Format>, Vec<FormChange>)>> {
        let Some(report) = self.writer().await?.report(file).await? else { return Ok(None) };
        let known = &report.checkpoint;
        let format = self.formats.of_known(&text_path(&known.path), known);
        Ok(format.map(|format| (format, known.line_forms.clone())))
    }

    /// Returns whether the format reads the line, and counts a line that stays rejected.
    fn may_be_read(&mut self, line: &RejectedLine, format: &Format) -> bool {
        // Of these, the reject does not hold the line, or holds a part of another line's record.
        if let Some(code @ (RejectCode::TooLong | RejectCode::Continues)) = line.code {
            self.stays(code.words());
            return false;
        }
        // What stood in the place of the stars is unknown, and a row would differ from one of its file.
        if memchr::memmem::find(&line.raw, STARS.as_bytes()).is_some() {
            self.stays(MASKED);
            return false;
        }
        let reason = match format.open(line.log_offset, &line.raw) {
            Ok((text, _)) => match format.parser.parse(&text) {
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

    /// Makes rows of lines that can be read. Returns `false` if none of several lines became a row.
    async fn changed_sides(
        &mut self,
        lines: &[&RejectedLine],
        format: &Format,
        forms: &[FormChange],
    ) -> anyhow::Result<bool> {
        let Some(first) = lines.first() else { return Ok(true) };
        let mut reparsed = Reparsed::of(first.log_file, format.format.clone());
        for line in lines {
            let RejectedLine { log_file: file, log_offset: offset, rejected_at, .. } = **line;
            let Ok((text, time)) = format.open(offset, &line.raw) else { continue };
            match format.parser.parse(&text) {
                Parsed::Record(record) => {
                    let time = time.unwrap_or(rejected_at);
                    let written = WrittenLine { offset, time, text: &text, raw: &line.raw };
                    let patch = match format.envelope {
                        None => LinePatches::in_forms(forms.to_vec()).patch(
                            &format.parser,
                            &record,
                            written,
                        ),
                        Some(_) => None,
                    };
                    reparsed.new.push_patched(file, offset, &record, time, patch.as_deref());
                }
                Parsed::Json(record) => reparsed.new.push_json(file, offset, &record),
                Parsed::Excluded => reparsed.excluded += 1,
                Parsed::Reject(_) => continue,
            }
            reparsed.rejects.push((offset, rejected_at));
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
        self.summary.rows += reparsed.new.rows();
        self.summary.excluded += reparsed.excluded;
        Ok(true)
    }
}
