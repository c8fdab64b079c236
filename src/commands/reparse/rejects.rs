//! `log-ingestd reparse`: reads rejected lines once more, and makes rows of those that can be read
//! now.
//!
//! One transaction removes the reject, adds its row and moves the counters of the file. If another
//! process has removed the reject meanwhile, the transaction is rolled back. So a daemon, a sweep or
//! another reparse may run at the same time.
//!
//! A reject may stand for millions of equal lines. They become rows by the ten thousand: in between, the reject
//! stands for those that are left.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde::Serialize;

use crate::format::{Parsed, STARS};
use crate::model::{FileId, FormChange, RejectCode, RejectedLine, Reparsed, text_path};
use crate::store::{RejectKey, StoreError, Writer};

use crate::commands::open_store;
use crate::config::Config;
use crate::identity::detect::Formats;
use crate::pipeline::Shutdown;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::pipeline::file_format::Format;
use crate::pipeline::line_patches::{LinePatches, WrittenLine};
use crate::store::chain;

/// Rejects that one query reads.
const PAGE: u32 = 1000;

/// Lines that one transaction makes rows of.
const AT_ONCE: u64 = 10_000;

/// Bytes of the lines that one query reads, without the last line (8 MiB).
const PAGE_BYTES: u64 = 8 << 20;

/// The message of a command that was interrupted.
const INTERRUPTED: &str = "interrupted; the same command goes on";

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
        shutdown,
        summary: ReparseSummary::default(),
    };
    let mut after = RejectKey::FIRST;
    loop {
        anyhow::ensure!(!reparse.shutdown.is_requested(), INTERRUPTED);
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
    shutdown: Shutdown,
    summary: ReparseSummary,
}

impl Reparse {
    async fn writer(&mut self) -> anyhow::Result<&mut Writer> {
        self.committer.available_writer().await
    }

    async fn lines_of_a_file(&mut self, rejects: &[RejectedLine]) -> anyhow::Result<()> {
        self.summary.lines += rejects.iter().map(RejectedLine::lines).sum::<u64>();
        let Some(first) = rejects.first() else { return Ok(()) };
        let Some((format, forms)) = self.format_of(first.log_file).await? else {
            for reject in rejects {
                self.stays("the format of its file cannot be read", reject.lines());
            }
            return Ok(());
        };
        let mut left: VecDeque<Part<'_>> = rejects
            .iter()
            .filter(|reject| self.may_be_read(reject, &format))
            .map(|reject| Part { reject: Cow::Borrowed(reject), count: reject.lines() })
            .collect();
        loop {
            anyhow::ensure!(!self.shutdown.is_requested(), INTERRUPTED);
            let some = self.take_some(&mut left);
            if some.is_empty() {
                return Ok(());
            }
            if self.changed_sides(&some, &format, &forms).await? == Change::Done {
                continue;
            }
            // A reject is gone, or the database refuses a row: each is tried by itself.
            for part in &some {
                let lines = part.reject.lines();
                match self.changed_sides(std::slice::from_ref(part), &format, &forms).await? {
                    Change::Done => continue,
                    Change::Gone => self.summary.gone += lines,
                    Change::Refused(why) => self.stays(&why, lines),
                }
                // The rest of its lines are as those.
                if left.front().is_some_and(|next| next.is_rest_of(part)) {
                    left.pop_front();
                }
            }
        }
    }

    /// Takes the next rejects from those that are left, until they have [`AT_ONCE`] lines: of the last one
    /// perhaps its first lines only. A dry run, which stores nothing, takes all.
    fn take_some<'a>(&self, left: &mut VecDeque<Part<'a>>) -> Vec<Part<'a>> {
        let mut some = Vec::new();
        let no_limit = self.dry_run; // which keeps nothing
        let mut room = if no_limit { u64::MAX } else { AT_ONCE };
        let mut bytes = if no_limit { u64::MAX } else { PAGE_BYTES };
        while room > 0
            && bytes > 0
            && let Some(part) = left.pop_front()
        {
            let length = part.reject.raw.len().max(1) as u64;
            let (first, rest) = part.split(room.min(bytes / length).max(1));
            room -= first.count;
            bytes = bytes.saturating_sub(first.count.saturating_mul(length));
            some.push(first);
            if let Some(rest) = rest {
                left.push_front(rest);
            }
        }
        some
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

    /// Returns whether the format reads the lines of a reject, and counts those that stay rejected.
    fn may_be_read(&mut self, line: &RejectedLine, format: &Format) -> bool {
        let lines = line.lines();
        // Of these, the reject does not hold the line, or holds a part of another line's record.
        if let Some(code @ (RejectCode::TooLong | RejectCode::Continues)) = line.code {
            self.stays(code.words(), lines);
            return false;
        }
        // What stood in the place of the stars is unknown, and a row would differ from one of its file.
        if memchr::memmem::find(&line.raw, STARS.as_bytes()).is_some() {
            self.stays(MASKED, lines);
            return false;
        }
        let reason = match format.open(line.log_offset, &line.raw) {
            Ok((text, _)) => match format.parser.parse(&text) {
                Parsed::Reject(reason) => reason.to_string(),
                Parsed::Record(_) | Parsed::Json(_) | Parsed::Excluded => return true,
            },
            Err(reason) => reason.to_owned(),
        };
        self.stays(&reason, lines);
        false
    }

    fn stays(&mut self, reason: &str, lines: u64) {
        *self.summary.still_rejected.entry(reason.to_owned()).or_default() += lines;
    }

    /// Makes rows of lines that can be read. If that is not possible, nothing is changed or counted.
    async fn changed_sides(
        &mut self,
        parts: &[Part<'_>],
        format: &Format,
        forms: &[FormChange],
    ) -> anyhow::Result<Change> {
        let Some(first) = parts.first() else { return Ok(Change::Done) };
        let mut reparsed = Reparsed::of(first.reject.log_file, format.format.clone());
        let mut rows = 0;
        let is_bare = format.envelope.is_none();
        let mut patches = is_bare.then(|| LinePatches::in_forms(forms.to_vec()));
        for Part { reject, count } in parts {
            let RejectedLine { log_file: file, log_offset, rejected_at, .. } = **reject;
            let Ok((text, time)) = format.open(log_offset, &reject.raw) else { continue };
            let parsed = format.parser.parse(&text);
            match &parsed {
                Parsed::Reject(_) => continue,
                Parsed::Excluded => reparsed.excluded += count,
                Parsed::Record(_) | Parsed::Json(_) => rows += count,
            }
            if self.dry_run {
                continue;
            }
            for offset in reject.offsets().take(usize::try_from(*count).unwrap_or(usize::MAX)) {
                match &parsed {
                    Parsed::Record(record) => {
                        let time = time.unwrap_or(rejected_at);
                        let written = WrittenLine { offset, time, text: &text, raw: &reject.raw };
                        let patch = patches
                            .as_mut()
                            .and_then(|it| it.patch(&format.parser, record, written));
                        reparsed.new.push_patched(file, offset, record, time, patch.as_deref());
                    }
                    Parsed::Json(record) => reparsed.new.push_json(file, offset, record),
                    Parsed::Excluded | Parsed::Reject(_) => break,
                }
            }
            reparsed.remove_rejects(reject, log_offset, *count);
        }
        if !self.dry_run {
            match self.writer().await?.reparse(&reparsed).await {
                Ok(true) => {}
                Ok(false) => return Ok(Change::Gone),
                Err(error @ StoreError::BadRow { .. }) => {
                    return Ok(Change::Refused(chain(&error)));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.summary.rows += rows;
        self.summary.excluded += reparsed.excluded;
        Ok(Change::Done)
    }
}

/// What became of lines that can be read.
#[derive(PartialEq)]
enum Change {
    Done,
    /// One of the rejects is not there any more, or stands for other lines.
    Gone,
    /// The database refuses a row, for this reason.
    Refused(String),
}

/// A reject as it is stored, and how many of its first lines are to become rows.
struct Part<'a> {
    reject: Cow<'a, RejectedLine>,
    count: u64,
}

impl<'a> Part<'a> {
    /// Returns the first lines, `most` of them, and as another reject the lines after them: so it is stored when
    /// the first are rows.
    fn split(self, most: u64) -> (Part<'a>, Option<Part<'a>>) {
        if self.count <= most {
            return (self, None);
        }
        let mut rest = self.reject.clone().into_owned();
        rest.log_offset += most * rest.stride();
        rest.repeats -= most;
        let count = self.count - most;
        let rest = Part { reject: Cow::Owned(rest), count };
        (Part { count: most, ..self }, Some(rest))
    }

    /// Returns whether it has the lines after those of `first`.
    fn is_rest_of(&self, first: &Part<'_>) -> bool {
        let rest = &self.reject;
        let after = first.reject.log_offset + first.count * first.reject.stride();
        rest.log_file == first.reject.log_file
            && rest.log_offset == after
            && rest.rejected_at == first.reject.rejected_at
            && first.count < first.reject.lines()
    }
}
