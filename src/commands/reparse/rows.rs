//! `log-ingestd reparse --rows`: reads the stored lines of files again, from the files or their archives, and
//! stores what they are now in the place of what they were.
//!
//! A file is read twice. First all of it, which changes nothing: its digest shows that it is what was stored,
//! and its rejects show whether the format fits. Then page by page: what the store holds differently is
//! removed and stored anew under the same ids, with its counts, in one transaction for each page. What is as
//! it should be is not touched, so that a run after a crash only does what is left. A line that a sweep has
//! removed, or that was left out, stays so.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use crate::commands::open_store;
use crate::commands::verify::find::{self, Neighbours};
use crate::commands::verify::pages::{PageRange, Pages};
use crate::commands::verify::window::Window;
use crate::config::Config;
use crate::identity::detect::{Formats, sample};
use crate::identity::resolve::Decision;
use crate::model::{Batch, FileId, Micros, Reparsed, Row};
use crate::pipeline::Shutdown;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::pipeline::expected::{differences, expected};
use crate::pipeline::file_format::Format;
use crate::source::fingerprint::whole_head_fingerprint;
use crate::source::whole_file::Source;
use crate::store::{FileReport, StoreError, StoredLine, Writer, chain};

/// How often a page is tried if a sweep or another reparse has removed some of its lines meanwhile.
const AGAIN: u32 = 3;

/// What is to be read again.
#[derive(Clone, Debug, Default)]
pub struct RowsOptions {
    /// These files; without any, each file of this host that is still there.
    pub files: Vec<PathBuf>,
    /// Count what would change, and change nothing.
    pub dry_run: bool,
}

/// What became of one file. Counts are lines.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RereadFile {
    /// Where it is.
    pub path: String,
    /// `log_file.id`.
    pub log_file: i32,
    /// The format by which it was read again.
    pub format: String,
    /// Why it was left as it is.
    pub left: Option<String>,
    /// Lines that are stored, and were read again.
    pub lines: u64,
    /// Lines of which the store already had what they are.
    pub same: u64,
    /// Rows that were replaced by rows.
    pub changed: u64,
    /// Of them, how many differ in each column.
    pub columns: BTreeMap<&'static str, u64>,
    /// Rejects that became rows.
    pub became_rows: u64,
    /// Rows that became rejects: the format does not read them.
    pub became_rejects: u64,
    /// Rejects that stay, for another reason.
    pub other_reasons: u64,
    /// Lines that the configuration leaves out now.
    pub excluded: u64,
    /// Lines of which nothing is stored: swept, or left out before.
    pub not_stored: u64,
    /// Stored lines in whose place no line of the file begins: they stay as they were.
    pub without_line: u64,
    /// Lines that the database refuses as they are now: they stay as they were.
    pub refused: u64,
    /// The format by which a running daemon reads what is appended, if it is another.
    pub daemon_reads_by: Option<String>,
}

/// What became of all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct RowsSummary {
    /// Each file that is still there.
    pub files: Vec<RereadFile>,
    /// Files of this host that the database knows and that are not there any more.
    pub not_here: u64,
    /// Files of the named directories of which nothing is stored.
    pub not_stored: u64,
}

impl RereadFile {
    fn of(report: &FileReport) -> Self {
        Self {
            path: report.checkpoint.path.clone(),
            log_file: report.checkpoint.file.0,
            format: report.checkpoint.format.clone(),
            ..Self::default()
        }
    }

    fn unreadable(report: &FileReport, error: &io::Error) -> Self {
        Self { left: Some(format!("it cannot be read: {error}")), ..Self::of(report) }
    }
}

impl RowsSummary {
    /// Returns whether all files that are there were read again, and are stored as they were read.
    pub fn is_complete(&self) -> bool {
        self.files.iter().all(|file| file.left.is_none() && file.refused + file.without_line == 0)
    }
}

/// Reads the stored lines of files again: by the given format, else by that of each file.
/// Calls `on_file` for each file as soon as it is done.
///
/// # Errors
/// A named file that the database does not know, a store that cannot be used, and an error of `on_file`.
/// What was replaced before the error stays so, and the same command continues.
pub async fn reparse_rows(
    config: &Config,
    options: &RowsOptions,
    on_file: &mut dyn FnMut(&RereadFile) -> anyhow::Result<()>,
) -> anyhow::Result<RowsSummary> {
    let access = if options.dry_run { Access::Read } else { Access::Write };
    let (store, shutdown) = open_store(config, access).await?;
    let mut reread = Reread {
        host: &config.host,
        committer: Committer::new(store.clone(), owner(&config.host), None),
        formats: Formats::as_stored(config.parsing.clone()),
        given: Formats::new(config.parsing.clone()).by_path(&config.formats_by_path),
        dry_run: options.dry_run,
        shutdown,
    };
    let mut summary = RowsSummary::default();
    let mut done = |file: RereadFile, summary: &mut RowsSummary| {
        on_file(&file)?;
        summary.files.push(file);
        anyhow::Ok(())
    };
    if options.files.is_empty() {
        let mut neighbours = Neighbours::new();
        for report in store.files(Some(&config.host)).await? {
            let found = || find::whereabouts(&report, &mut neighbours);
            match tokio::task::block_in_place(found) {
                Ok(Some(source)) => done(reread.file(&source, report).await?, &mut summary)?,
                Ok(None) => summary.not_here += 1,
                Err(error) => done(RereadFile::unreadable(&report, &error), &mut summary)?,
            }
        }
    }
    for (path, in_directory) in find::named_files(&options.files)? {
        let known = reread.named(&path).await;
        let known = known.with_context(|| format!("cannot read '{}'", path.display()))?;
        let Some((source, reports)) = known else {
            anyhow::ensure!(
                in_directory,
                "nothing is stored from '{}' for the host '{}'; `log-ingestd status --all` lists the files",
                path.display(),
                config.host
            );
            summary.not_stored += 1;
            continue;
        };
        for report in reports {
            done(reread.file(&source, report).await?, &mut summary)?;
        }
    }
    reread.committer.end().await;
    Ok(summary)
}

struct Reread<'a> {
    host: &'a str,
    committer: Committer,
    /// Formats as they are stored with the files.
    formats: Formats,
    /// Formats as the user gave them.
    given: Formats,
    dry_run: bool,
    shutdown: Shutdown,
}

impl Reread<'_> {
    async fn writer(&mut self) -> anyhow::Result<&mut Writer> {
        self.committer.available_writer().await
    }

    /// Returns what is stored of the file at `path`, the parts before power cuts first; `None` if nothing is.
    async fn named(&mut self, path: &Path) -> anyhow::Result<Option<(Source, Vec<FileReport>)>> {
        let (source, head) = tokio::task::block_in_place(|| {
            let source = Source::open(path)?;
            let sample = sample(|limit| source.sample(limit))?;
            io::Result::Ok((source, whole_head_fingerprint(&sample)))
        })?;
        let host = self.host;
        let mut reports = find::cut_from(self.writer().await?, host, &source).await?;
        match find::identify(self.writer().await?, host, &source, head).await? {
            Decision::Unreadable(error) => return Err(error.into()),
            Decision::Resume(file) | Decision::Changed(file) => {
                reports.extend(self.writer().await?.report(file).await?);
            }
            _ => {}
        }
        Ok((!reports.is_empty()).then_some((source, reports)))
    }

    async fn file(&mut self, source: &Source, report: FileReport) -> anyhow::Result<RereadFile> {
        let mut file = RereadFile { path: source.name.clone(), ..RereadFile::of(&report) };
        let own = &report.checkpoint.format;
        let given = self.given.given_for(source.path(), &report.checkpoint);
        let format = given.or_else(|| self.formats.stored(own));
        let Some(format) = format else {
            file.left = Some("the format of the file cannot be read: give --format".to_owned());
            return Ok(file);
        };
        file.format.clone_from(&format.format);
        file.left = self.why_not(source, &report, &format)?;
        if file.left.is_none() {
            self.replace(source, &report, &format, &mut file).await?;
            let is_all = file.refused + file.without_line == 0 && !self.dry_run;
            if is_all {
                file.daemon_reads_by = self.settle(&report, &format).await?;
            }
        }
        Ok(file)
    }

    /// Reads all of the stored part, and returns why it is not to be read again.
    fn why_not(
        &self,
        source: &Source,
        report: &FileReport,
        format: &Format,
    ) -> anyhow::Result<Option<String>> {
        let known = &report.checkpoint;
        if known.kept_to.is_some() {
            return Ok(Some(
                "a power cut or a truncation has ended it: the log does not hold all of it"
                    .to_owned(),
            ));
        }
        let mut pages = Pages::of(source, report)?;
        let mut batch = Batch::default();
        let (mut lines, mut rejected) = (0, 0);
        loop {
            anyhow::ensure!(!self.shutdown.is_requested(), "interrupted; the same command goes on");
            let range = pages.read(format, &mut batch)?;
            lines += range.lines;
            rejected += batch.rejected;
            batch.clear();
            if range.is_last {
                break;
            }
            pages.forget();
        }
        let (passed, sum) = (pages.window.passed(), pages.window.sum());
        let is_same = known.digest.is_none_or(|digest| digest.sum == sum);
        if passed < known.committed || !is_same {
            return Ok(Some(
                "it is not what was stored: `log-ingestd verify` says where it differs".to_owned(),
            ));
        }
        Ok((2 * rejected > lines && rejected > report.rejected).then(|| {
            format!(
                "this format does not read {rejected} of its {lines} lines: try another with \
                 `log-ingestd check '{}' --format …`",
                source.name
            )
        }))
    }

    async fn replace(
        &mut self,
        source: &Source,
        report: &FileReport,
        format: &Format,
        file: &mut RereadFile,
    ) -> anyhow::Result<()> {
        let mut pages = Pages::of(source, report)?;
        let mut batch = Batch::default();
        loop {
            anyhow::ensure!(!self.shutdown.is_requested(), "interrupted; the same command goes on");
            let range = pages.read(format, &mut batch)?;
            self.page(&pages.window, range, &batch, report, format, file).await?;
            batch.clear();
            if range.is_last {
                return Ok(());
            }
            pages.forget();
        }
    }

    async fn page(
        &mut self,
        window: &Window,
        range: PageRange,
        batch: &Batch,
        report: &FileReport,
        format: &Format,
        file: &mut RereadFile,
    ) -> anyhow::Result<()> {
        let id = report.checkpoint.file;
        // A patch is that of a format.
        let is_same = report.checkpoint.format == format.format && report.other_formats.is_empty();
        if range.from >= range.to {
            return Ok(());
        }
        let wanted: BTreeMap<u64, StoredLine> = expected(batch).into_iter().collect();
        for attempt in 1.. {
            let (from, to) = (range.from, range.to);
            let stored = self.writer().await?.lines_between(id, from, to, range.limit()).await?;
            let mut page = Page { wanted: &wanted, window, batch, format, id, is_same };
            let mut counted = file.clone();
            counted.not_stored += (wanted.len() as u64).saturating_sub(stored.len() as u64);
            if self.lines(&mut page, &stored, &mut counted).await? {
                *file = counted;
                return Ok(());
            }
            anyhow::ensure!(
                attempt < AGAIN,
                "another process changes what is stored of '{}': try again when it has ended",
                file.path
            );
        }
        Ok(())
    }

    /// Replaces stored lines of a page. Returns `false`, and nothing is counted, if some of them are gone.
    async fn lines(
        &mut self,
        page: &mut Page<'_>,
        stored: &[(u64, StoredLine)],
        file: &mut RereadFile,
    ) -> anyhow::Result<bool> {
        // What the database refuses is looked for by halves.
        let mut parts = vec![stored];
        while let Some(part) = parts.pop() {
            let mut counted = file.clone();
            let change = page.change(part, &mut counted);
            let done = match self.dry_run || change.removed() == 0 {
                true => Ok(true),
                false => self.writer().await?.reparse(&change).await,
            };
            match done {
                Ok(true) => *file = counted,
                Ok(false) => return Ok(false),
                Err(error @ StoreError::BadRow { .. }) => match middle(part) {
                    Some(at) => parts.extend([&part[at..], &part[..at]]),
                    None => {
                        file.refused += part.len() as u64;
                        let why = chain(&error);
                        tracing::warn!(
                            path = file.path,
                            offset = part[0].0,
                            "a line stays as it was stored: {why}"
                        );
                    }
                },
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Stores that the format is that of all lines of the file. Returns the format by which a running daemon
    /// goes on, if it is another.
    async fn settle(
        &mut self,
        report: &FileReport,
        format: &Arc<Format>,
    ) -> anyhow::Result<Option<String>> {
        let known = &report.checkpoint;
        let writer = self.writer().await?;
        let has_time = format.has_time;
        if known.is_closed() || known.format == format.format {
            writer.read_by(known.file, known.epoch, &format.format, has_time).await?;
            return Ok(None);
        }
        match writer.claim(known.file, &known.sighting(), &format.format).await? {
            Some(claim) => {
                writer.read_by(claim.file, claim.epoch, &format.format, has_time).await?;
                writer.release(claim.file).await?;
                Ok(None)
            }
            None => {
                // It may have been claimed a moment ago, under another format than before.
                let now = writer.report(known.file).await?.map(|now| now.checkpoint.format);
                Ok(now.filter(|now| *now != format.format))
            }
        }
    }
}

/// Lines of a file as they are read now.
struct Page<'a> {
    wanted: &'a BTreeMap<u64, StoredLine>,
    window: &'a Window,
    batch: &'a Batch,
    format: &'a Format,
    id: FileId,
    /// Whether all lines were read by this format before.
    is_same: bool,
}

impl Page<'_> {
    /// Returns what is to be removed and stored for these lines, and counts them.
    fn change(&self, stored: &[(u64, StoredLine)], file: &mut RereadFile) -> Reparsed {
        let mut change = Reparsed::of(self.id, self.format.format.clone());
        // The lines that are stored anew, with their times where they say none.
        let mut chosen: BTreeMap<u64, Option<Micros>> = BTreeMap::new();
        for (offset, stored) in stored {
            file.lines += 1;
            let Some(wanted) = self.wanted.get(offset) else {
                if self.window.line(*offset).is_none() {
                    file.without_line += 1;
                    continue;
                }
                file.excluded += 1;
                change.excluded += 1;
                remove(&mut change, *offset, stored);
                continue;
            };
            if !self.differs(stored, wanted, file) {
                file.same += 1;
                continue;
            }
            let is_estimated = match wanted {
                StoredLine::Row(_) => !self.format.has_time,
                StoredLine::Request(_) => false,
                StoredLine::Reject(_) => true,
            };
            chosen.insert(*offset, is_estimated.then(|| time(stored)));
            remove(&mut change, *offset, stored);
        }
        change.new.extend_with(self.id, self.batch, &chosen);
        change
    }

    /// Returns whether a line is to be stored anew, and counts it if so.
    fn differs(&self, stored: &StoredLine, wanted: &StoredLine, file: &mut RereadFile) -> bool {
        use StoredLine::{Reject, Request, Row};
        let estimated = !self.format.has_time;
        match (stored, wanted) {
            (Row(stored), Row(wanted)) => {
                let is_patched = self.is_same || stored.patch == wanted.patch;
                if !is_patched {
                    *file.columns.entry("patch").or_default() += 1;
                }
                columns(&**stored, &**wanted, estimated, is_patched, file)
            }
            (Request(stored), Request(wanted)) => columns(&**stored, &**wanted, false, true, file),
            (Row(_), Request(_)) | (Request(_), Row(_)) => {
                file.changed += 1;
                true
            }
            (Reject(_), Row(_) | Request(_)) => {
                file.became_rows += 1;
                true
            }
            (Row(_) | Request(_), Reject(_)) => {
                file.became_rejects += 1;
                true
            }
            (Reject(stored), Reject(wanted)) => {
                let differs = stored.code != wanted.code || stored.raw != wanted.raw;
                file.other_reasons += u64::from(differs);
                differs
            }
        }
    }
}

/// Returns where lines may be parted, near their middle. `None` if they are one line or lines of one reject,
/// which are equal: what the database refuses of one, it refuses of all.
fn middle(part: &[(u64, StoredLine)]) -> Option<usize> {
    let middle = part.len() / 2;
    let is_between = |at: &usize| match [&part[at - 1].1, &part[*at].1] {
        [StoredLine::Reject(one), StoredLine::Reject(other)] => !Arc::ptr_eq(one, other),
        _ => true,
    };
    let after = (middle.max(1)..part.len()).find(is_between);
    after.or_else(|| (1..middle).rev().find(is_between))
}

/// Counts a row, and the columns in which it differs, beside the patch.
fn columns<T: Row>(
    stored: &T,
    wanted: &T,
    estimated: bool,
    is_patched: bool,
    file: &mut RereadFile,
) -> bool {
    let mut differs = !is_patched;
    for column in differences(stored, wanted, estimated) {
        *file.columns.entry(column).or_default() += 1;
        differs = true;
    }
    file.changed += u64::from(differs);
    differs
}

fn time(stored: &StoredLine) -> Micros {
    match stored {
        StoredLine::Row(row) => row.timestamp,
        StoredLine::Request(row) => row.line.timestamp,
        StoredLine::Reject(reject) => reject.rejected_at,
    }
}

fn remove(change: &mut Reparsed, offset: u64, stored: &StoredLine) {
    match stored {
        StoredLine::Row(_) => change.remove_row(offset, time(stored)),
        StoredLine::Request(_) => change.remove_request(offset, time(stored)),
        StoredLine::Reject(reject) => change.remove_rejects(reject, offset, 1),
    }
}
