//! `log-ingestd import`: files that are whole, read to their end, once.
//!
//! A file is known by its content, so an import goes on where an earlier one, or the daemon,
//! stopped, whatever the file is called now and however it is compressed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use serde::Serialize;
use tracing::{info, warn};

use crate::follow::Lines;
use crate::follow::identity::{Likeness, compare, whole_head_print};
use crate::model::{Batch, Checkpoint, FileId, GunicornLogModel, Micros, NewFile, Sighting};
use crate::parse::Parsed;
use crate::store::{StoredLine, StoredRow, Writer};

use super::commit::{Committer, Outcome};
use super::config::Config;
use super::fill::{Limits, Reading, Stop, fill};
use super::formats::{Choice, Format, Formats, SAMPLE};
use super::ingest::now;
use super::shutdown::Shutdown;
use super::source::{Skipped, Source, last_lines, skip};
use super::watch::{connect, owner};

/// Lines at the end of a shorter copy that are held against the store.
const COMPARED: usize = 64;

/// How long to wait for another writer to store enough of a file to compare with.
const UNDECIDED: Duration = Duration::from_secs(10);

/// Between two looks meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What an import did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Complete lines in the files.
    pub lines: u64,
    /// Lines that became rows.
    pub rows: u64,
    /// Lines that became rejects.
    pub rejected: u64,
    /// Lines that the configuration leaves out.
    pub excluded: u64,
    /// Lines that were stored before.
    pub already_stored: u64,
    /// Bytes of log read, decompressed.
    pub bytes: u64,
    /// Wall time.
    pub seconds: f64,
    /// Rows that are older than the retention; the next sweep removes them.
    pub expired: u64,
}

/// Is told how far an import is.
pub trait Progress {
    /// A file of `bytes` bytes on disk begins.
    fn begin(&self, name: &str, bytes: u64);
    /// So many of them were read, and so many lines stored in all.
    fn at(&self, bytes: u64, lines: u64);
    /// The file is done.
    fn end(&self);
}

/// Imports every file; one that fails does not keep the others from being imported.
///
/// # Errors
/// A store that cannot be used. Failures of single files are in the second value.
pub async fn import(
    config: &Config,
    files: &[PathBuf],
    progress: &dyn Progress,
) -> anyhow::Result<(Summary, Vec<anyhow::Error>)> {
    let began = Instant::now();
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let store = connect(config, &mut shutdown).await?;
    let patience = Some(config.connect_timeout.max(Duration::from_secs(1)));
    let mut import = Import {
        committer: Committer::new(store, owner(config), patience),
        formats: Formats::new(config.parsing.clone()),
        host: &config.host,
        cutoff: config.retention.cutoff(now()),
        progress,
        summary: Summary::default(),
        shutdown,
    };
    let mut failures = Vec::new();
    for path in files {
        let result = import.file(path).await;
        progress.end();
        if let Err(error) = result {
            failures.push(error.context(format!("cannot import '{}'", path.display())));
        }
        if import.shutdown.is_requested() {
            failures.push(anyhow!("interrupted; the same command goes on where this one stopped"));
            break;
        }
    }
    import.summary.seconds = began.elapsed().as_secs_f64();
    Ok((import.summary, failures))
}

struct Import<'a> {
    committer: Committer,
    formats: Formats,
    host: &'a str,
    cutoff: Option<Micros>,
    progress: &'a dyn Progress,
    summary: Summary,
    shutdown: Shutdown,
}

/// How a file stands to what is stored.
enum Standing {
    /// It is, or becomes, this logical file.
    Known(Checkpoint),
    /// All of it is stored: it is the beginning of a file of which more is.
    Contained,
    /// Nobody has seen it.
    New,
}

impl Import<'_> {
    async fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let source = tokio::task::block_in_place(|| Source::open(path))?;
        self.progress.begin(&source.name, source.size);
        let sample = source.sample(SAMPLE).context("not readable as what its first bytes say")?;
        let Some(head) = whole_head_print(&sample) else { return Ok(()) };
        let told = self.format(&source, sample);
        let seen = Sighting {
            host: self.host.to_owned(),
            path: source.name.clone(),
            key: source.key,
            head: Some(head),
        };
        let Some((claimed, format)) = self.settle(&source, &seen, &told).await? else {
            return Ok(());
        };
        let file = claimed.file;
        let result = self.content(&source, claimed, &format).await;
        if let Ok(writer) = writer(&mut self.committer).await {
            writer.release(file).await?;
        }
        result
    }

    /// Finds out which logical file this is, and claims it; `None` if there is nothing to do.
    /// Other writers may be at the same, so what was found out may be past when it is used.
    async fn settle(
        &mut self,
        source: &Source,
        seen: &Sighting,
        told: &anyhow::Result<Arc<Format>>,
    ) -> anyhow::Result<Option<(Checkpoint, Arc<Format>)>> {
        let give_up = Instant::now() + UNDECIDED;
        loop {
            let known = writer(&mut self.committer).await?.candidates(seen).await?;
            let compared: Vec<FileId> = known.iter().map(|known| known.file).collect();
            let mut format = self.format_of(told, seen, &known)?;
            let checkpoint = match self.standing(source, seen, &format, known).await? {
                Standing::Contained => {
                    let skipped = skip(&mut source.reader(&Arc::default())?, u64::MAX)?;
                    self.summary.already_stored += skipped.lines;
                    self.summary.lines += skipped.lines;
                    self.summary.bytes += skipped.bytes;
                    return Ok(None);
                }
                Standing::Known(known) => {
                    format = self.formats.stored(&known.format).unwrap_or(format);
                    known
                }
                Standing::New => {
                    let new = NewFile {
                        sighting: seen.clone(),
                        format: format.format.clone(),
                        time_estimated: !format.has_time,
                    };
                    let writer = writer(&mut self.committer).await?;
                    let Some(new) = writer.register(&new, &compared).await? else { continue };
                    new
                }
            };
            // The row keeps the name and inode of the log itself, not those of a copy of it.
            let own =
                Sighting { path: checkpoint.path.clone(), key: checkpoint.key, ..seen.clone() };
            let writer = writer(&mut self.committer).await?;
            match writer.claim(checkpoint.file, &own, &format.format).await? {
                Some(claimed) if claimed.committed == checkpoint.committed => {
                    return Ok(Some((claimed, format)));
                }
                // More was stored meanwhile than what was compared.
                Some(claimed) => writer.release(claimed.file).await?,
                // Only the first line is known to be the same: whoever has it stores more soon.
                None if checkpoint.committed == 0 && Instant::now() < give_up => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                None => {
                    warn!(
                        path = source.name,
                        "a running log-ingestd follows this file and stores it"
                    );
                    return Ok(None);
                }
            }
        }
    }

    /// The format that was given or told from the lines; else the one by which the file was read
    /// before.
    fn format_of(
        &mut self,
        told: &anyhow::Result<Arc<Format>>,
        seen: &Sighting,
        known: &[Checkpoint],
    ) -> anyhow::Result<Arc<Format>> {
        let error = match told {
            Ok(format) => return Ok(Arc::clone(format)),
            Err(error) => error,
        };
        let alike = known.iter().filter(|known| known.head == seen.head);
        let before = alike.filter_map(|known| self.formats.stored(&known.format)).next();
        before.with_context(|| error.to_string())
    }

    fn format(&mut self, source: &Source, mut sample: Vec<u8>) -> anyhow::Result<Arc<Format>> {
        if source.size < SAMPLE as u64 && !sample.ends_with(b"\n") {
            sample.push(b'\n'); // a whole file of one unfinished line is a line
        }
        match self.formats.choose(&sample, false) {
            Choice::Access { format, told } => {
                if let Some(preset) = told {
                    info!(path = source.name, format = preset.name, "told from its first lines");
                }
                Ok(format)
            }
            Choice::ErrorLog => {
                bail!("this is Gunicorn's error log; the access log is another file")
            }
            Choice::Unknown | Choice::NotYet => bail!(
                "no known format reads its first lines; give --format, and try it with \
                 `log-ingestd check FILE --format …`"
            ),
        }
    }

    async fn standing(
        &mut self,
        source: &Source,
        seen: &Sighting,
        format: &Format,
        known: Vec<Checkpoint>,
    ) -> anyhow::Result<Standing> {
        for checkpoint in known {
            let mut skipped: Option<Skipped> = None;
            let likeness = compare(&checkpoint, u64::MAX, seen.head, |offset| {
                let passed = skip(&mut source.reader(&Arc::default())?, offset)?;
                let guard = (passed.bytes == offset).then(|| passed.guard()).flatten();
                skipped = Some(passed);
                std::io::Result::Ok(guard)
            })?;
            if likeness == Likeness::Same {
                return Ok(Standing::Known(checkpoint));
            }
            let shorter = skipped.is_some_and(|passed| passed.bytes < checkpoint.committed);
            if shorter && self.contains(source, format, &checkpoint).await? {
                return Ok(Standing::Contained);
            }
        }
        Ok(Standing::New)
    }

    /// Whether the store holds the last line of `source` at the same offset of a longer file that
    /// begins alike: then it holds all of it.
    async fn contains(
        &mut self,
        source: &Source,
        format: &Format,
        known: &Checkpoint,
    ) -> anyhow::Result<bool> {
        let last = last_lines(&mut source.reader(&Arc::default())?, COMPARED)?;
        for (offset, line) in last.iter().rev() {
            let stored = writer(&mut self.committer).await?.line_at(known.file, *offset).await?;
            match (format.parser.parse(line), stored) {
                (Parsed::Record(record), Some(StoredLine::Row(row))) => {
                    return Ok(is_of(&row, &record));
                }
                (_, Some(StoredLine::Reject { raw, .. })) => return Ok(raw == *line),
                (Parsed::Excluded, None) => {} // leaves no trace; the line before it may
                _ => return Ok(false),
            }
        }
        Ok(true) // nothing but excluded lines
    }

    /// Stores everything behind the checkpoint.
    async fn content(
        &mut self,
        source: &Source,
        mut claimed: Checkpoint,
        format: &Format,
    ) -> anyhow::Result<()> {
        let mut limits = Limits::BATCH;
        let mut refused: Option<(u64, String)> = None;
        let mut first = true;
        loop {
            let pass = Pass { source, format, limits, refused: refused.as_ref(), first };
            match self.pass(&mut claimed, pass).await? {
                None => return Ok(()),
                Some((batch, reason)) => {
                    // Ever smaller batches find the row that the store refuses.
                    let lines: u64 = batch.spans.iter().map(|span| span.lines).sum();
                    if lines > 1 {
                        limits.lines = lines / 2;
                    } else {
                        refused = Some((claimed.committed, reason));
                        limits = Limits::BATCH;
                    }
                }
            }
            first = false;
        }
    }

    /// One pass from the checkpoint to the end; a batch that the store refuses ends it early.
    async fn pass(
        &mut self,
        claimed: &mut Checkpoint,
        pass: Pass<'_>,
    ) -> anyhow::Result<Option<(Batch, String)>> {
        let Pass { source, format, limits, refused, first } = pass;
        let on_disk = Arc::new(AtomicU64::new(0));
        let mut reader = source.reader(&on_disk)?;
        let skipped = tokio::task::block_in_place(|| skip(&mut reader, claimed.committed))?;
        let mut lines = Lines::default();
        lines.reset(claimed.committed, &skipped.history);
        if first {
            // The last one may have been stored before its end was written.
            let stored = skipped.lines + u64::from(!lines.at_line_start());
            self.summary.already_stored += stored;
            self.summary.lines += stored;
            self.summary.bytes += skipped.bytes;
        }
        let claims = vec![(claimed.file, claimed.epoch)];
        let mut batch = Batch { cutoff: self.cutoff, ..Batch::default() };
        loop {
            let reading = Reading {
                file: claimed.file,
                epoch: claimed.epoch,
                parser: &format.parser,
                size: 0,
                estimated: source.changed_us,
                now: now(),
                whole: true,
                refused: refused.map(|(at, why)| (*at, why.as_str())),
            };
            let stop = tokio::task::block_in_place(|| {
                fill(&mut lines, &mut reader, &reading, &mut batch, limits, u64::MAX)
            });
            if let Some(span) = batch.spans.first().cloned() {
                match self.committer.commit(&batch, &claims).await {
                    Outcome::Stored => {}
                    Outcome::BadRow(reason) => return Ok(Some((batch, reason))),
                    Outcome::Conflict(_) => bail!("another log-ingestd took this file over"),
                    Outcome::GaveUp(error) => return Err(error).context("the store is away"),
                }
                claimed.committed = span.to;
                self.summary.lines += span.lines;
                self.summary.rows += span.rows;
                self.summary.rejected += span.rejected;
                self.summary.excluded += span.excluded;
                self.summary.bytes += span.to - span.from;
                self.summary.expired += batch.expired;
                self.progress.at(on_disk.load(Ordering::Relaxed), self.summary.lines);
                batch.clear();
            }
            match stop {
                Ok(Stop::Full) if !self.shutdown.is_requested() => {}
                Ok(Stop::Full) => return Ok(None),
                Ok(Stop::End) => break,
                Err(error) => {
                    return Err(error).context(format!(
                        "unreadable behind byte {} of its content; the lines before it are stored",
                        lines.read_to()
                    ));
                }
            }
        }
        let rest = lines.partial().len();
        if rest > 0 {
            warn!(
                path = source.name,
                bytes = rest,
                "the last line has no end and cannot be read: not stored"
            );
        }
        Ok(None)
    }
}

struct Pass<'a> {
    source: &'a Source,
    format: &'a Format,
    limits: Limits,
    refused: Option<&'a (u64, String)>,
    /// Whether lines before the checkpoint are still to be counted.
    first: bool,
}

/// Whether a stored row is the record of this line, by what tells requests apart.
fn is_of(row: &StoredRow, record: &GunicornLogModel<'_>) -> bool {
    record.timestamp.is_none_or(|timestamp| timestamp == row.timestamp)
        && record.url.as_deref() == row.url.as_deref()
        && record.agent.as_deref() == row.agent.as_deref()
        && record.user_id.as_deref() == row.user_id.as_deref()
        && (record.code, record.duration, record.user_ip) == (row.code, row.duration, row.user_ip)
}

async fn writer(committer: &mut Committer) -> anyhow::Result<&mut Writer> {
    committer.writer().await?.context("the store is away")
}
