//! Says which files are not followed: in the log, in `/metrics` and in the store, where `status` and
//! the page find them.
//!
//! [`FollowedFiles`] knows the files and their reasons, and changes them at many places. So nothing is
//! said where a reason is found: after each look all of them are compared with what was said. That
//! costs some milliseconds for 50,000 files, and nothing else happens unless a reason has changed: the
//! store gets the difference, at most [`LISTED`] files, and the number of the others.
//!
//! A file that is inspected again because it has grown keeps its reason meanwhile, so that it is logged
//! once. A reason that may be gone in a moment counts after [`GRACE`].

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::daemon::announcements::Announcements;
use crate::daemon::archives::Archives;
use crate::daemon::files::{FollowedFiles, Logged, NotFollowed};
use crate::identity::detect::log_left_alone;
use crate::metrics::Metrics;
use crate::model::{IgnoredCode, Micros, now, path_text, text_path};
use crate::store::{IgnoredReport, StoreError, Writer, chain};

/// Files that the store lists by name, the first by path. The others are counted by reason.
const LISTED: usize = 1000;

/// How long a file may be undecided, or without a complete line, before that is said.
const GRACE: Duration = Duration::from_secs(5);

/// How often the store is told that the files are still ignored, and that archives are still there.
const CONFIRMED: Duration = Duration::from_secs(24 * 3600);

/// What was said of a file.
#[derive(Debug)]
struct Said {
    code: IgnoredCode,
    detail: Option<Box<str>>,
    since: Micros,
}

/// A row of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    path: String,
    code: IgnoredCode,
    detail: Option<String>,
    /// Its size when the row is made; no reason to make it anew.
    bytes: Option<u64>,
    files: u64,
    since: Micros,
}

impl Entry {
    fn key(&self) -> (&str, &'static str) {
        (&self.path, self.code.name())
    }

    /// Returns whether the other row says the same.
    fn is_same(&self, other: &Entry) -> bool {
        self.detail == other.detail && self.files == other.files
    }
}

/// The report of files that are not followed.
#[derive(Debug)]
pub(crate) struct IgnoredFiles {
    host: String,
    /// `host:pid`.
    owner: String,
    /// The watched paths, in the place of a path where a row stands for many files.
    watched: String,
    hasher: RandomState,
    /// What was said, by the hash of the path.
    said: HashMap<u64, Said>,
    /// Since when files have had a reason that does not count yet.
    in_grace: HashMap<u64, Instant>,
    /// The sum of hashes of all that was said: it changes with each of them.
    sum: u64,
    /// What the store is to hold, by path.
    listed: Vec<Entry>,
    /// What it holds of this daemon; `None` before it was asked.
    stored: Option<Vec<Entry>>,
    /// Since when the store is to be told.
    changed: Option<Instant>,
    confirm_due: Instant,
    /// Whether the store refuses these rows, which was logged.
    refused: bool,
    announcements: Announcements,
}

impl IgnoredFiles {
    pub(crate) fn new(host: &str, owner: String, watched: &[PathBuf]) -> Self {
        let watched: Vec<String> =
            watched.iter().map(|path| path_text(path).into_owned()).collect();
        Self {
            host: host.to_owned(),
            owner,
            watched: watched.join(" "),
            hasher: RandomState::new(),
            said: HashMap::new(),
            in_grace: HashMap::new(),
            sum: 0,
            listed: Vec::new(),
            stored: None,
            changed: Some(Instant::now()),
            confirm_due: Instant::now() + CONFIRMED,
            refused: false,
            announcements: Announcements::default(),
        }
    }

    /// Compares the files with what was said of them; says what is new in the log and in `/metrics`.
    pub(crate) fn update(&mut self, files: &FollowedFiles, archives: &Archives, metrics: &Metrics) {
        let (now, at) = (Instant::now(), now());
        let (mut said, mut in_grace) = (HashMap::new(), HashMap::new());
        let (mut sum, mut counts) = (0_u64, [0; IgnoredCode::COUNT]);
        for file in files.not_followed(archives) {
            let path = self.hasher.hash_one(file.path);
            if said.contains_key(&path) {
                continue; // another file had this name before
            }
            let mut before = self.said.remove(&path);
            let is_new = before.as_ref().is_none_or(|before| before.code != file.code);
            if is_new && file.code.is_provisional() {
                let since = *in_grace
                    .entry(path)
                    .or_insert_with(|| self.in_grace.get(&path).copied().unwrap_or(now));
                if since.elapsed() < GRACE {
                    // It is as before, as far as is known.
                    let Some(before) = before else { continue };
                    sum = sum.wrapping_add(self.hash(path, &before));
                    counts[before.code as usize] += 1;
                    said.insert(path, before);
                    continue;
                }
            }
            // While the store is unavailable nothing is decided, and that is in the log.
            let waits = file.code == IgnoredCode::Undecided && !metrics.health.is_store_up();
            let is_logged = is_new && !waits && file.logged != Logged::Already;
            if is_logged && self.announcements.may_name(now) {
                announce(&file);
            }
            let since = before.take().filter(|_| !is_new).map_or(at, |before| before.since);
            let detail = file.detail.as_deref().map(Box::from);
            let one = Said { code: file.code, detail, since };
            sum = sum.wrapping_add(self.hash(path, &one));
            counts[one.code as usize] += 1;
            said.insert(path, one);
        }
        self.announcements.sum_up(now);
        (self.said, self.in_grace) = (said, in_grace);
        metrics.ignored.set(&counts);
        if sum != self.sum || self.stored.is_none() {
            self.sum = sum;
            self.listed = self.list(files, archives, &counts);
            self.changed.get_or_insert(now);
        }
    }

    fn hash(&self, path: u64, said: &Said) -> u64 {
        self.hasher.hash_one((path, said.code, &said.detail))
    }

    /// Returns the first files by path, and a row for those of the others with the same reason.
    fn list(
        &self,
        files: &FollowedFiles,
        archives: &Archives,
        counts: &[u64; IgnoredCode::COUNT],
    ) -> Vec<Entry> {
        let said = |file: &NotFollowed<'_>| self.said.get(&self.hasher.hash_one(file.path));
        let mut all: Vec<(&Path, Option<u64>, &Said)> = files
            .not_followed(archives)
            .filter_map(|file| said(&file).map(|said| (file.path, file.bytes, said)))
            .collect();
        if all.len() > LISTED {
            all.select_nth_unstable_by_key(LISTED, |(path, ..)| *path);
            all.truncate(LISTED);
        }
        all.sort_unstable_by_key(|(path, ..)| *path);
        all.dedup_by_key(|(path, ..)| *path);
        let mut others = *counts;
        let mut listed: Vec<Entry> = Vec::with_capacity(all.len());
        for (path, bytes, said) in all {
            let count = &mut others[said.code as usize];
            *count = count.saturating_sub(1);
            listed.push(Entry {
                path: path_text(path).into_owned(),
                code: said.code,
                detail: said.detail.as_deref().map(str::to_owned),
                bytes,
                files: 1,
                since: said.since,
            });
        }
        for (code, files) in
            IgnoredCode::ALL.into_iter().zip(others).filter(|(_, count)| *count > 0)
        {
            let since = self.said.values().filter(|said| said.code == code);
            let since = since.map(|said| said.since).min().unwrap_or_default();
            let path = self.watched.clone();
            listed.push(Entry { path, code, detail: None, bytes: None, files, since });
        }
        listed
    }

    /// Has the store be asked again what it holds: it was restored.
    pub(crate) fn start_over(&mut self) {
        (self.stored, self.changed, self.refused) = (None, Some(Instant::now()), false);
    }

    /// Returns whether there is something to tell the store.
    pub(crate) fn needs_store(&self) -> bool {
        let now = Instant::now();
        let has_changed = self.changed.is_some_and(|since| {
            // A start, or many changes at once, are told in one piece.
            self.in_grace.is_empty() || now.duration_since(since) >= GRACE
        });
        has_changed && !self.refused || self.confirm_due <= now
    }

    /// Tells the store what has changed. It may refuse these rows, and nothing else: then that is
    /// logged once, and lines are stored all the same.
    ///
    /// # Errors
    /// A store that is unavailable.
    pub(crate) async fn tell_store(
        &mut self,
        files: &FollowedFiles,
        archives: &mut Archives,
        writer: &mut Writer,
    ) -> Result<(), StoreError> {
        if !self.needs_store() {
            return Ok(());
        }
        match self.try_to_tell(files, archives, writer).await {
            Err(error) if error.is_transient() || error.is_about_schema() => Err(error),
            Err(error) => {
                self.refused = true;
                self.confirm_due = Instant::now() + CONFIRMED;
                warn!(
                    error = chain(&error),
                    "the store does not take the list of ignored files: `status` does not show \
                     them; `/metrics` counts them"
                );
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    async fn try_to_tell(
        &mut self,
        files: &FollowedFiles,
        archives: &mut Archives,
        writer: &mut Writer,
    ) -> Result<(), StoreError> {
        if self.confirm_due <= Instant::now() {
            writer.seen_again(&archives.closed_files(files)).await?;
            if !self.refused {
                writer.confirm_ignored(&self.host, &self.owner).await?;
            }
            self.confirm_due = Instant::now() + CONFIRMED;
        }
        if self.changed.is_none() || self.refused {
            return Ok(());
        }
        let stored = match self.stored.take() {
            Some(stored) => stored,
            None => self.take_over(files, writer).await?,
        };
        let new: HashMap<_, &Entry> =
            self.listed.iter().map(|entry| (entry.key(), entry)).collect();
        let same: HashSet<_> = stored
            .iter()
            .filter(|old| new.get(&old.key()).is_some_and(|entry| entry.is_same(old)))
            .map(Entry::key)
            .collect();
        let gone = stored.iter().filter(|old| !same.contains(&old.key()));
        let gone: Vec<_> = gone.map(|old| (old.path.clone(), old.code.name())).collect();
        let added = self.listed.iter().filter(|entry| !same.contains(&entry.key()));
        let added: Vec<IgnoredReport> = added.map(|entry| self.report(entry)).collect();
        if !gone.is_empty() || !added.is_empty() {
            let told = writer.replace_ignored(&self.host, &self.owner, &gone, &added).await;
            if let Err(error) = told {
                // Whether it happened is not known: it is asked for again.
                self.stored = None;
                return Err(error);
            }
        }
        self.stored = Some(self.listed.clone());
        self.changed = None;
        Ok(())
    }

    /// Returns the rows of the store that are this daemon's to replace: those that it, or one before it,
    /// wrote of the places that it watches. What is ignored for the same reason since then stays so.
    async fn take_over(
        &mut self,
        files: &FollowedFiles,
        writer: &mut Writer,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut taken = Vec::new();
        for row in writer.ignored_files(&self.host).await? {
            let path = &*text_path(&row.path);
            let is_ours = row.owner == self.owner
                || row.path == self.watched
                || files.lies_within(path)
                || files.spool.covers(path);
            if !is_ours {
                continue;
            }
            let Some(code) = IgnoredCode::named(&row.reason) else { continue };
            let since = row.since;
            let same = |entry: &&mut Entry| entry.path == row.path && entry.code == code;
            if let Some(entry) = self.listed.iter_mut().find(same) {
                entry.since = since;
                if let Some(said) = self.said.get_mut(&self.hasher.hash_one(path)) {
                    said.since = since;
                }
            }
            // One that another process wrote is written anew, under this one's name.
            let detail = row.detail.filter(|_| row.owner == self.owner);
            let files = if row.owner == self.owner { row.files } else { 0 };
            let (path, bytes) = (row.path, row.bytes);
            taken.push(Entry { path, code, detail, bytes, files, since });
        }
        Ok(taken)
    }

    fn report(&self, entry: &Entry) -> IgnoredReport {
        IgnoredReport {
            host: self.host.clone(),
            path: entry.path.clone(),
            reason: entry.code.name().to_owned(),
            detail: entry.detail.clone(),
            bytes: entry.bytes,
            files: entry.files,
            since: entry.since,
            seen_at: entry.since,
            owner: self.owner.clone(),
        }
    }
}

/// Says in the log why a file is not followed, unless that is said where it is found out.
fn announce(file: &NotFollowed<'_>) {
    let path = file.path.display();
    match (file.logged, file.code) {
        (Logged::Already, _) => {}
        (Logged::AsUndetected(why), _) => log_left_alone(file.path, why),
        (Logged::ByReport, IgnoredCode::Unreadable) => {
            warn!(%path, error = file.detail.as_deref(), "cannot read this file");
        }
        (Logged::ByReport, code) => {
            info!(%path, reason = code.name(), "not followed: {}", code.words());
        }
    }
}
