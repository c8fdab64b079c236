//! `log-ingestd verify`: compares files that are still there with the database.
//!
//! Three proofs for each file, up to the offset that was stored at the beginning, so that a
//! daemon may go on meanwhile. The digest: the file's first bytes are those that were stored. The
//! counts: every line of them is a row, a reject or left out. The rows themselves: the file is
//! read again, and each line is compared with what the database holds at its offset.
//!
//! - `find`: which files, and which logical file each is.
//! - `content`: one file, page by page; `page` compares, `difference` is where the database says something else.
//! - `pages`: its lines, as far as they are stored; `window`: its bytes on their way.

mod content;
mod difference;
pub(crate) mod find;
mod page;
pub(crate) mod pages;
pub(crate) mod window;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::Serialize;

use crate::model::{Micros, path_text};
use crate::store::{FileReport, Store, Writer};

pub use crate::commands::verify::difference::Difference;

use crate::commands::open_store;
use crate::config::Config;
use crate::identity::detect::Formats;
use crate::pipeline::Shutdown;
use crate::pipeline::committer::Committer;
use crate::pipeline::connect::{Access, owner};
use crate::source::whole_file::Source;
use crate::store::chain;

/// How often a file is compared with the store, if a reparse or a sweep moved lines meanwhile.
const AGAIN: u32 = 3;

/// The time between two questions whether a sweep has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What became of one file.
#[derive(Clone, Debug, Default, Serialize)]
pub struct FileVerdict {
    /// Where it is.
    pub path: String,
    /// `log_file.id`; `None` if the database does not know it.
    pub log_file: Option<i32>,
    /// Bytes that are stored, and were looked at.
    pub bytes: u64,
    /// Complete lines in them.
    pub lines: u64,
    /// Lines whose row says the same.
    pub rows: u64,
    /// Those of them whose address is stored by an older rule: one of IPv4 within IPv6, as it was logged.
    pub by_older_rule: u64,
    /// Those of them whose secrets are masked by an older rule, which compared whole names.
    pub masked_by_older_rule: u64,
    /// Those of them that a version without `route`, `request_id` and `trace_id` has stored.
    pub by_older_columns: u64,
    /// Lines whose reject has the same bytes.
    pub rejected: u64,
    /// Rejects that can be read by now: `reparse` makes rows of them.
    pub readable: u64,
    /// Differences from the given format that are what another one makes of the line, by which the file was
    /// read.
    pub by_other_format: u64,
    /// Lines that are left out: by the configuration, or on a container's standard error.
    pub excluded: u64,
    /// Lines that a sweep has removed, as old as they are.
    pub swept: u64,
    /// Bytes that were gone before they could be read, as the database says.
    pub lost_bytes: u64,
    /// Bytes after those that are stored.
    pub unstored_bytes: u64,
    /// Places where the file is not as it was stored, from the first hole on that a power cut left.
    pub after_holes: u64,
    /// SHA-256 of the stored bytes, in hexadecimal, as `log_file.digest` defines it.
    pub digest: Option<String>,
    /// How many differences there are.
    pub differences: u64,
    /// The first one.
    pub first: Option<Difference>,
}

impl FileVerdict {
    fn new(path: &str, report: &FileReport) -> Self {
        Self {
            path: path.to_owned(),
            log_file: Some(report.checkpoint.file.0),
            bytes: report.checkpoint.held_to().saturating_sub(report.checkpoint.first_offset),
            lost_bytes: report.lost_bytes,
            ..Self::default()
        }
    }

    /// Makes the verdict on a file that differs as a whole.
    fn whole(path: &str, file: &str, database: &str) -> Self {
        let mut verdict = Self { path: path.to_owned(), ..Self::default() };
        verdict.differs(Difference::whole("file", file.to_owned(), database.to_owned()));
        verdict
    }

    fn differs(&mut self, difference: Difference) {
        self.differences += 1;
        self.first.get_or_insert(difference);
    }
}

/// What became of all.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verification {
    /// Whether files and database say the same.
    pub good: bool,
    /// Each file that was looked at.
    pub files: Vec<FileVerdict>,
    /// Files of this host that the database knows and that are not there any more.
    pub not_here: u64,
    /// Rows whose id is not made of their file and offset; `None` if only some files were named.
    pub stray_rows: Option<u64>,
}

/// Verifies these files and directories; without any, each file of this host that is still there.
/// Calls `on_verdict` for each file as soon as it is done.
///
/// # Errors
/// A store that cannot be used, a path where nothing is, a directory that cannot be read, and an error of
/// `on_verdict`. A file that cannot be read is a difference.
pub async fn verify(
    config: &Config,
    paths: &[PathBuf],
    on_verdict: &mut dyn FnMut(&FileVerdict) -> anyhow::Result<()>,
) -> anyhow::Result<Verification> {
    find::must_exist(paths)?;
    let (store, shutdown) = open_store(config, Access::Read).await?;
    let mut auditor = Auditor {
        config,
        store: store.clone(),
        committer: Committer::new(store.clone(), owner(&config.host), None),
        formats: Formats::as_stored(config.parsing.clone()),
        chooser: Formats::new(config.parsing.clone()).by_path(&config.formats_by_path),
        last_sweep: None,
        shutdown,
    };
    let mut verification = Verification::default();
    let mut done = |verdict: FileVerdict, verification: &mut Verification| {
        on_verdict(&verdict)?;
        verification.files.push(verdict);
        anyhow::Ok(())
    };
    if paths.is_empty() {
        let mut neighbours = find::Neighbours::new();
        let (files, last_sweep) = auditor.writer().await?.files(&config.host).await?;
        auditor.last_sweep = last_sweep.map(|sweep| sweep.finished_at);
        for report in files {
            match auditor.remembered(report, &mut neighbours).await? {
                Some(verdict) => done(verdict, &mut verification)?,
                None => verification.not_here += 1,
            }
        }
        verification.stray_rows = Some(auditor.writer().await?.strays().await?.0);
    } else {
        auditor.last_sweep = auditor.finished_sweep().await?;
        for (path, in_directory) in find::named_files(paths)? {
            if let Ok(source) = tokio::task::block_in_place(|| Source::open(&path)) {
                let writer = auditor.writer().await?;
                for report in find::cut_from(writer, &config.host, &source).await? {
                    done(auditor.compare(&source, report).await?, &mut verification)?;
                }
            }
            let verdict = auditor.named(&path, in_directory).await;
            if let Some(verdict) = Auditor::or_unreadable(verdict, &path)? {
                done(verdict, &mut verification)?;
            }
        }
    }
    verification.good = verification.stray_rows.unwrap_or(0) == 0
        && verification.files.iter().all(|file| file.differences == 0);
    Ok(verification)
}

struct Auditor<'a> {
    config: &'a Config,
    store: Store,
    committer: Committer,
    /// Formats as they are stored with the files.
    formats: Formats,
    /// Decides whether a file is an access log at all, and by which format the user wants it read.
    chooser: Formats,
    /// When the last known sweep ended.
    last_sweep: Option<Micros>,
    shutdown: Shutdown,
}

impl Auditor<'_> {
    async fn writer(&mut self) -> anyhow::Result<&mut Writer> {
        self.committer.available_writer().await
    }

    /// Verifies a file that the database knows; `None` if it is not there any more.
    async fn remembered(
        &mut self,
        report: FileReport,
        neighbours: &mut find::Neighbours,
    ) -> anyhow::Result<Option<FileVerdict>> {
        let path = PathBuf::from(&report.checkpoint.path);
        if report.checkpoint.kept_to.is_some() && !self.is_still_held(&report.checkpoint).await? {
            return Ok(None);
        }
        let found = tokio::task::block_in_place(|| find::whereabouts(&report, neighbours));
        let verdict = match found.context("cannot be read") {
            Ok(None) => return Ok(None),
            // Its offset may have moved while other files were compared.
            Ok(Some(source)) => match self.writer().await?.report(report.checkpoint.file).await? {
                Some(report) => self.compare(&source, report).await.map(Some),
                None => return Ok(None),
            },
            Err(error) => Err(error),
        };
        Self::or_unreadable(verdict, &path)
    }

    /// Compares a file with the store; again if a reparse has moved lines meanwhile, or a sweep has
    /// removed some.
    async fn compare(
        &mut self,
        source: &Source,
        mut report: FileReport,
    ) -> anyhow::Result<FileVerdict> {
        for _ in 1..AGAIN {
            let verdict = self.content(source, &report).await?;
            if verdict.differences == 0 {
                return Ok(verdict);
            }
            match self.writer().await?.report(report.checkpoint.file).await? {
                Some(fresh) if fresh.reparsed != report.reparsed => report = fresh,
                Some(fresh) if self.swept_since().await? => report = fresh,
                _ => return Ok(verdict),
            }
        }
        self.content(source, &report).await
    }

    /// Returns when the last sweep ended.
    async fn finished_sweep(&mut self) -> anyhow::Result<Option<Micros>> {
        Ok(self.writer().await?.last_sweep().await?.map(|sweep| sweep.finished_at))
    }

    /// Returns whether a sweep has ended since the last call. Waits for one that is under way: what
    /// it has removed is recorded at its end.
    async fn swept_since(&mut self) -> anyhow::Result<bool> {
        while self.store.is_being_swept().await? {
            anyhow::ensure!(!self.shutdown.is_requested(), "interrupted");
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let last = self.finished_sweep().await?;
        let before = std::mem::replace(&mut self.last_sweep, last);
        Ok(before != last)
    }

    /// Makes a difference of a file that cannot be read; a store that fails stays an error.
    fn or_unreadable(
        verdict: anyhow::Result<Option<FileVerdict>>,
        path: &Path,
    ) -> anyhow::Result<Option<FileVerdict>> {
        let error = match verdict {
            Ok(verdict) => return Ok(verdict),
            Err(error) => error,
        };
        let of_store = error.chain().any(|cause| cause.is::<crate::store::StoreError>());
        if of_store || !error.chain().any(|cause| cause.is::<std::io::Error>()) {
            return Err(error);
        }
        let why = chain(error.as_ref());
        let path = path_text(path);
        Ok(Some(FileVerdict::whole(&path, &why, "cannot be compared")))
    }
}
