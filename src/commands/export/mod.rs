//! `log-ingestd export`: writes a log back from what is stored of it, byte for byte, and lists where that is not
//! certain.
//!
//! Lines come from rows and rejects in the order of their offsets. `line_writer` makes the bytes. At the end the
//! digest of all of them is compared with the one that was stored with the lines.

mod line_writer;
#[cfg(test)]
mod tests;

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::commands::named_file::{NamedFiles, listed};
use crate::commands::open_store;
use crate::config::Config;
use crate::format::Layout;
use crate::identity::detect::envelope_of;
use crate::model::{FileId, Micros, hex};
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::store::{FileReport, StoredLine, Writer};

pub use line_writer::{Cause, Deviation, Exported};
use line_writer::{LineWriter, Source};

/// Bytes of the log whose lines one query reads (1 MiB): a range of ids that an index of blocks finds. Where
/// nothing is stored, the next one reads twice as many.
const PAGE_BYTES: u64 = 1 << 20;

/// The most lines of each table that one query reads.
const PAGE: u32 = 20_000;

/// What is to be written.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// The file, by the path that it was stored from.
    pub path: Option<PathBuf>,
    /// The file, by its id in `log_file`.
    pub id: Option<i32>,
    /// Begin with the first row of this time or later.
    pub since: Option<Micros>,
    /// End before the first row after those of [`ExportOptions::since`] that has this time or a later one.
    pub until: Option<Micros>,
}

/// What was written.
#[derive(Clone, Debug, Serialize)]
pub struct ExportSummary {
    /// `log_file.id`.
    pub log_file: i32,
    /// Where the file was last seen.
    pub path: String,
    /// The offset in the log from which on it was written.
    pub from: u64,
    /// The offset up to which it was written.
    pub to: u64,
    /// `log_file.digest` in hexadecimal, if all of the file was to be written.
    pub digest: Option<String>,
    /// Whether what was written is the log for certain, byte for byte.
    pub exact: bool,
    /// What was written, and where it may differ.
    #[serde(flatten)]
    pub exported: Exported,
}

/// Writes the lines of one file to `out`.
///
/// # Errors
/// A file that the database does not know, several files of which none lies at the path now, a format that
/// cannot be read, a store that cannot be used, and those of `out`.
pub async fn export(
    config: &Config,
    options: &ExportOptions,
    out: impl Write,
) -> anyhow::Result<ExportSummary> {
    let (store, shutdown) = open_store(config, Access::Read).await?;
    let known = store.files(None).await?;
    let mut committer = Committer::new(store, owner(&config.host), None);
    let file = chosen(known, &config.host, options)?;
    let writer = committer.available_writer().await?;
    // The offset may have moved since all files were read.
    let report = writer.report(file).await?.context("the file was forgotten meanwhile")?;
    let known = &report.checkpoint;
    let (envelope, format) = envelope_of(&known.format);
    let mut layouts = vec![Layout::compile(format).with_context(|| {
        format!("the stored format of the file cannot be read: '{}'", known.format)
    })?];
    let others = report.other_formats.iter().map(|format| envelope_of(format).1);
    layouts.extend(others.filter_map(|format| Layout::compile(format).ok()));
    let swept_before = writer.swept_before(report.first_seen_at).await?;
    let source =
        Source { report: &report, layouts, has_envelopes: envelope.is_some(), swept_before };
    let (mut from, mut to) = (known.first_offset, known.committed);
    if let Some(since) = options.since {
        from = first_row(writer, Pages::of(file, from, to), since).await?.unwrap_or(to);
    }
    if let Some(until) = options.until {
        to = first_row(writer, Pages::of(file, from, to), until).await?.unwrap_or(to);
    }
    let mut lines = LineWriter::from(source, from, out);
    let mut pages = Pages::of(file, from, to);
    while let Some(page) = pages.next(writer).await? {
        anyhow::ensure!(!shutdown.is_requested(), "interrupted");
        tokio::task::block_in_place(|| {
            page.iter().try_for_each(|(offset, line)| lines.line(*offset, line))
        })?;
    }
    let is_whole = options.since.is_none() && options.until.is_none();
    let digest = known.digest.filter(|_| is_whole).map(|digest| digest.sum);
    let exported = lines.end(to, digest)?;
    Ok(ExportSummary {
        log_file: file.0,
        path: known.path.clone(),
        from,
        to,
        digest: digest.as_ref().map(|sum| hex(sum)),
        exact: exported.differences.is_empty(),
        exported,
    })
}

/// Returns the file that is meant.
fn chosen(known: Vec<FileReport>, host: &str, options: &ExportOptions) -> anyhow::Result<FileId> {
    if let Some(id) = options.id {
        match known.iter().find(|file| file.checkpoint.file.0 == id) {
            Some(file) => return Ok(file.checkpoint.file),
            None => bail!("no file has the id {id}; `log-ingestd status --all` lists the files"),
        }
    }
    let path = options.path.as_deref().context("neither a file nor an id was given")?;
    let NamedFiles { mut files, there, .. } = NamedFiles::of(known, host, path)?;
    if !there.is_empty() {
        files.retain(|file| there.contains(&file.checkpoint.file));
    }
    match files.as_slice() {
        [file] => Ok(file.checkpoint.file),
        files => bail!(
            "{} files were stored from '{}'; choose by --file: {}",
            files.len(),
            path.display(),
            listed(files)
        ),
    }
}

/// Returns the offset of the first row with this time or a later one.
async fn first_row(
    writer: &mut Writer,
    mut pages: Pages,
    time: Micros,
) -> anyhow::Result<Option<u64>> {
    while let Some(page) = pages.next(writer).await? {
        let is_at = |line: &StoredLine| match line {
            StoredLine::Row(row) => row.timestamp >= time,
            StoredLine::Request(row) => row.line.timestamp >= time,
            StoredLine::Reject(_) => false,
        };
        if let Some((offset, _)) = page.iter().find(|(_, line)| is_at(line)) {
            return Ok(Some(*offset));
        }
    }
    Ok(None)
}

/// The stored lines of a file, in the order of their offsets.
struct Pages {
    file: FileId,
    /// The offset from which on lines are read next.
    next: u64,
    /// The offset before which they are read.
    end: u64,
    /// How many bytes of the log the next query covers.
    bytes: u64,
}

impl Pages {
    fn of(file: FileId, next: u64, end: u64) -> Self {
        Self { file, next, end, bytes: PAGE_BYTES }
    }

    /// Reads the next lines; `None` after the last.
    async fn next(
        &mut self,
        writer: &mut Writer,
    ) -> anyhow::Result<Option<Vec<(u64, StoredLine)>>> {
        if self.next >= self.end {
            return Ok(None);
        }
        let end = self.end.min(self.next.saturating_add(self.bytes));
        let mut lines = writer.lines_between(self.file, self.next, end, PAGE).await?;
        self.bytes = if lines.is_empty() { self.bytes.saturating_mul(2) } else { PAGE_BYTES };
        // Of a table that has more lines, those after its last one were not read.
        let read_to = |is_of: fn(&StoredLine) -> bool| {
            let offsets = lines.iter().filter(|(_, line)| is_of(line)).map(|(offset, _)| *offset);
            let offsets: Vec<u64> = offsets.collect();
            let is_full = offsets.len() >= PAGE as usize;
            offsets.last().filter(|_| is_full).map_or(end, |last| last + 1)
        };
        let of_tables = [
            read_to(|line| matches!(line, StoredLine::Row(_))),
            read_to(|line| matches!(line, StoredLine::Request(_))),
            read_to(|line| matches!(line, StoredLine::Reject(_))),
        ];
        self.next = of_tables.into_iter().min().unwrap_or(end);
        lines.retain(|(offset, _)| *offset < self.next);
        Ok(Some(lines))
    }
}
