//! Which files are held against the store, and which logical file each of them is.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tracing::warn;

use crate::model::{Checkpoint, FileKey, Fingerprint, Sighting, text_path};
use crate::source::Container;
use crate::source::fingerprint::{HEAD_LENGTH, whole_head_fingerprint};
use crate::store::{FileReport, Writer};

use crate::commands::verify::{Auditor, FileVerdict};
use crate::identity::content::WholeFile;
use crate::identity::detect::sample;
use crate::identity::resolve::{Decision, FilesOfProcess, Policy, is_object, resolve, still_held};
use crate::source::whole_file::{STANDARD_INPUT, Source};

/// A file of a directory, as far as it may be one that has another name now.
#[derive(Debug)]
pub(crate) struct Neighbour {
    path: PathBuf,
    key: Option<FileKey>,
    head: Option<Fingerprint>,
}

/// The files of directories that were looked into.
pub(crate) type Neighbours = HashMap<PathBuf, Vec<Neighbour>>;

/// Returns the file that a row of `log_file` speaks of, if it is still in its directory: under its
/// name, or under another or compressed, and then known by its content.
///
/// # Errors
/// A file there that may be it and cannot be read.
pub(crate) fn whereabouts(
    report: &FileReport,
    neighbours: &mut Neighbours,
) -> io::Result<Option<Source>> {
    let known = &report.checkpoint;
    let path = &*text_path(&known.path);
    let mut changed = None;
    if let Some(source) = open(path)? {
        let head = whole_head_fingerprint(&source.sample(HEAD_LENGTH)?);
        if was_cut_from(known, source.key(), head) {
            return Ok(Some(source));
        }
        match compare_with(&source, head, known) {
            Decision::Resume(_) => return Ok(Some(source)),
            Decision::Changed(_) => changed = Some(source),
            Decision::Unreadable(error) => return Err(error),
            _ => {}
        }
    }
    let Some(directory) = path.parent() else { return Ok(changed) };
    let look = || look_around(directory);
    for neighbour in neighbours.entry(directory.to_owned()).or_insert_with(look) {
        let may_be = is_object(known, neighbour.key) || neighbour.head == known.head;
        if neighbour.path == path || !may_be {
            continue;
        }
        let Some(source) = open(&neighbour.path)? else { continue };
        if was_cut_from(known, source.key(), neighbour.head) {
            return Ok(Some(source));
        }
        match compare_with(&source, neighbour.head, known) {
            Decision::Resume(_) => return Ok(Some(source)),
            Decision::Unreadable(error) => return Err(error),
            _ => {}
        }
    }
    Ok(changed)
}

/// Decides which of the files that are known to `host` a source is.
///
/// # Errors
/// A source that cannot be read, and a store that fails.
pub(crate) async fn identify(
    writer: &mut Writer,
    host: &str,
    source: &Source,
    head: Option<Fingerprint>,
) -> anyhow::Result<Decision> {
    let seen = source.sighting(host, head);
    let known = writer.candidates(&seen).await?;
    Ok(tokio::task::block_in_place(|| {
        let content = WholeFile::new(source, source.key(), head, true);
        resolve(&content, known, host, &FilesOfProcess::default(), Policy::Verify)
    }))
}

/// Returns what is stored of the log `source` from before the power cuts in it, which have ended these
/// logical files. Nothing if the log cannot be read: that is said where the log itself is.
///
/// # Errors
/// The store's.
pub(crate) async fn cut_from(
    writer: &mut Writer,
    host: &str,
    source: &Source,
) -> anyhow::Result<Vec<FileReport>> {
    let sample = tokio::task::block_in_place(|| source.sample(HEAD_LENGTH));
    let Ok(sample) = sample else { return Ok(Vec::new()) };
    let head = whole_head_fingerprint(&sample);
    let known = writer.candidates(&source.sighting(host, head)).await?;
    let mut reports = Vec::new();
    for known in still_held(&known, host, source.key()).into_iter().rev() {
        if was_cut_from(known, source.key(), head) {
            reports.extend(writer.report(known.file).await?);
        }
    }
    Ok(reports)
}

impl Auditor<'_> {
    /// Returns whether the object of a file that a power cut has ended goes on as the file after it.
    pub(crate) async fn is_still_held(&mut self, known: &Checkpoint) -> anyhow::Result<bool> {
        let seen = Sighting { head: None, ..known.sighting() };
        let all = self.writer().await?.candidates(&seen).await?;
        let held = still_held(&all, &known.host, known.key);
        Ok(held.iter().any(|held| held.file == known.file))
    }

    /// A file that was named, or that is in a directory that was named; `None` if it is left alone
    /// there because it is no access log.
    pub(crate) async fn named(
        &mut self,
        path: &Path,
        in_directory: bool,
    ) -> anyhow::Result<Option<FileVerdict>> {
        let source = match tokio::task::block_in_place(|| Source::open(path)) {
            Err(error) if in_directory && Container::of_error(&error).is_some() => {
                warn!(path = %path.display(), "{error}");
                return Ok(None);
            }
            opened => opened?,
        };
        let sample = sample(|limit| source.sample(limit))
            .context("not readable as what its first bytes say")?;
        let head = whole_head_fingerprint(&sample);
        let host = &self.config.host;
        let decision = identify(self.writer().await?, host, &source, head).await?;
        let (certain, begin_alike) = match decision {
            Decision::Unreadable(error) => return Err(error.into()),
            Decision::Resume(file) | Decision::Changed(file) => (Some(file), Vec::new()),
            Decision::MayBeContained { files, .. } => (None, files),
            _ => (None, Vec::new()),
        };
        if let Some(file) = certain
            && let Some(report) = self.writer().await?.report(file).await?
        {
            return self.compare(&source, report).await.map(Some);
        }
        // What only begins alike is another file, unless all of it is in the store.
        for file in begin_alike {
            let Some(report) = self.writer().await?.report(file).await? else { continue };
            let verdict = self.compare(&source, report).await?;
            if verdict.first.as_ref().is_none_or(|first| first.about == "size") {
                return Ok(Some(verdict));
            }
        }
        let is_log = self.chooser.detect(source.path(), &sample).is_ok();
        if head.is_none() || (in_directory && !is_log) {
            return Ok(None);
        }
        Ok(Some(FileVerdict::whole(&source.name, "is an access log", "does not know this file")))
    }
}

/// Checks that each path leads to something.
///
/// # Errors
/// The first one that does not.
pub(crate) fn must_exist(paths: &[PathBuf]) -> anyhow::Result<()> {
    for path in paths.iter().filter(|path| path.as_os_str() != STANDARD_INPUT) {
        path.metadata().with_context(|| format!("cannot verify '{}'", path.display()))?;
    }
    Ok(())
}

/// The files at these paths; of directories, the regular files in them whose name does not begin
/// with a dot. With each, whether it came from a directory.
pub(crate) fn named_files(paths: &[PathBuf]) -> io::Result<Vec<(PathBuf, bool)>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(regular_files(path)?.into_iter().map(|path| (path, true)));
        } else {
            files.push((path.clone(), false));
        }
    }
    Ok(files)
}

fn regular_files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Whatever cannot be read here is not the file that is looked for.
fn look_around(directory: &Path) -> Vec<Neighbour> {
    let files = regular_files(directory).unwrap_or_default();
    let look = |path: PathBuf| {
        let source = Source::open(&path).ok()?;
        let head = whole_head_fingerprint(&source.sample(HEAD_LENGTH).ok()?);
        Some(Neighbour { path, key: source.key(), head })
    };
    files.into_iter().filter_map(look).collect()
}

/// `None` if nothing is there that could be a log.
fn open(path: &Path) -> io::Result<Option<Source>> {
    if !path.is_file() {
        return Ok(None);
    }
    match Source::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Returns whether a power cut has ended the file `known` in this log.
fn was_cut_from(known: &Checkpoint, key: Option<FileKey>, head: Option<Fingerprint>) -> bool {
    known.kept_to.is_some()
        && known.held_to() > known.first_offset
        && known.head == head
        && is_object(known, key)
}

/// Decides whether `source` is the file `known`.
fn compare_with(source: &Source, head: Option<Fingerprint>, known: &Checkpoint) -> Decision {
    let content = WholeFile::new(source, source.key(), head, true);
    let host = &known.host;
    resolve(&content, vec![known.clone()], host, &FilesOfProcess::default(), Policy::Verify)
}
