//! What the file system says of the watched places, and which of the files are held open: all of
//! them, or those of which most would be lost if their name
//! disappeared.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Instant;

use tracing::{debug, info, warn};

use crate::model::{FileId, FileKey};
use crate::source::devices::{Unreachable, is_directory, is_link, unreachable_since};
use crate::source::fingerprint::same_object;
use crate::source::open::{self, Links, Refused, Wanted};
use crate::source::{Spool, Tail, TailState, Watchlist};

use crate::daemon::files::{FollowedFiles, IgnoredFile, IgnoredReason, TruncatedFile};

impl FollowedFiles {
    /// Looks at all watched places, without the store.
    pub(crate) fn look(&mut self) {
        let began = Instant::now();
        let mut seen: HashSet<FileKey> = HashSet::new();
        let known = Known {
            followed: by_object(self.followed.iter().map(|file| file.tail.key())),
            ignored: by_object(self.ignored.iter().map(|file| file.key)),
        };
        self.found = self.list.scan();
        let spooled = self.look_into_spool();
        let mut unanswered = Vec::new();
        self.unopened.clear();
        self.foreign_links.clear();
        self.not_regular = std::mem::take(&mut self.found.not_regular);
        let (fifos, others) = (&mut self.found.fifos, &mut self.found.unrequested_fifos);
        let (fifos, others) = (std::mem::take(fifos), std::mem::take(others));
        self.meet_fifos(fifos, others);
        self.log_unread_directories();
        for path in std::mem::take(&mut self.found.files).into_iter().chain(spooled) {
            match self.see(&path, &known, &mut seen) {
                Ok(()) => {}
                // Renamed or deleted since it was listed, unless it is a link that leads nowhere.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    if is_link(&path) {
                        let error = io::Error::other("a link to a file that is not there");
                        self.unopened.push((path, error));
                    }
                }
                Err(error) => match Refused::of(&error) {
                    Some(Refused::ForeignLink) => self.foreign_links.push(path),
                    // Exchanged for it since it was listed.
                    Some(_) => self.not_regular.push(path),
                    None if Unreachable::is(&error) => unanswered.push((path, error)),
                    None => self.unopened.push((path, error)),
                },
            }
        }
        self.log_foreign_links();
        let unreachable = self.unreachable(began, &seen);
        seen.extend(&unreachable);
        self.list_unanswered(unanswered);
        self.growth.retain(|key, _| seen.contains(key));
        self.examinations.retain(|key, _| seen.contains(key));
        self.look_alikes.retain(|key| seen.contains(key));
        self.ignored.retain(|file| match &file.reason {
            // Where its file system is mounted again, it is found again.
            IgnoredReason::Undecided(tail) => !tail.is_cut_off(),
            // Its writer may end before it has read all of it.
            IgnoredReason::HeldByAnotherWriter { tail, .. } if tail.is_open() => true,
            _ => seen.contains(&file.key),
        });
        for file in self.followed.iter_mut() {
            if unreachable.contains(&file.tail.key()) {
                continue;
            }
            match (seen.contains(&file.tail.key()), file.nameless) {
                (true, _) => file.nameless = None,
                (false, None) => file.nameless = Some((Instant::now(), file.tail.size())),
                (false, Some((since, size))) if size != file.tail.size() => {
                    file.nameless = Some((since.max(Instant::now()), file.tail.size()));
                }
                (false, Some(_)) => {}
            }
        }
        self.objects = seen;
        self.looks += 1;
        self.look_at_followed(None);
        self.share_descriptors();
        self.announcements.sum_up(Instant::now());
    }

    /// Lists files that could not be looked at because their file system does not answer, but for those that are
    /// known.
    fn list_unanswered(&mut self, unanswered: Vec<(PathBuf, io::Error)>) {
        if unanswered.is_empty() {
            return;
        }
        let followed = self.followed.iter().map(|file| file.tail.path());
        let known = followed.chain(self.ignored.iter().map(|file| &*file.path));
        let known: HashSet<&Path> = known.collect();
        self.unopened.extend(unanswered.into_iter().filter(|(path, _)| !known.contains(&**path)));
    }

    /// Returns the known files that this look has not found, perhaps because a file system does not answer.
    /// Nothing is concluded from that.
    fn unreachable(&self, began: Instant, seen: &HashSet<FileKey>) -> HashSet<FileKey> {
        let devices = unreachable_since(began);
        if devices.is_empty() {
            return HashSet::new();
        }
        // The way to a file may lead over another device than its own.
        let is_there = |key, path: &Path| match Tail::key_and_size(path) {
            Ok(found) => found.is_some_and(|(found, _)| same_object(found, key)),
            Err(error) => Unreachable::is(&error),
        };
        let followed = self.followed.iter().map(|file| (file.tail.key(), file.tail.path()));
        let ignored = self.ignored.iter().map(|file| (file.key, &*file.path));
        let unseen = followed.chain(ignored).filter(|(key, _)| !seen.contains(key));
        let unseen =
            unseen.filter(|(key, path)| devices.contains(&key.device) || is_there(*key, path));
        unseen.map(|(key, _)| key).collect()
    }

    /// Says once of each link that is not followed, and why.
    pub(crate) fn log_foreign_links(&mut self) {
        let links = self.found.foreign_links.iter().chain(&self.foreign_links);
        for link in links.chain(&self.foreign_fifos) {
            let is_new = self.unread_links.insert(link.clone());
            if is_new && self.announcements.may_name(Instant::now()) {
                warn!(path = %link.display(), "a link to a file or directory elsewhere, made by a \
                    user who is neither root, nor the daemon's, nor the owner of what it leads to: not \
                    followed; watch that itself, have its owner make the link, or give \
                    --follow-symlinks");
            }
        }
    }

    /// Says once of each directory below a pattern that cannot be read.
    fn log_unread_directories(&mut self) {
        for (path, error) in &self.found.unreadable {
            let is_new = !Unreachable::is(error) && self.unread_directories.insert(path.clone());
            if is_new && self.announcements.may_name(Instant::now()) {
                warn!(path = %path.display(), %error, "cannot read this directory");
            }
        }
    }

    /// Takes note of a path that the watchlist returned: a new file, a new name, or a file that is
    /// known.
    fn see(&mut self, path: &Path, known: &Known, seen: &mut HashSet<FileKey>) -> io::Result<()> {
        let Some((key, size)) = Tail::key_and_size(path)? else {
            // A directory is no log that was left out, unless the user gave it as a file.
            if !is_directory(path) || self.list.is_requested(path) {
                self.not_regular.push(path.to_path_buf());
            }
            return Ok(());
        };
        if !seen.insert(key) {
            return Ok(()); // a hard link, or a link to it: one reader is enough
        }
        let met = self.meet(path, (key, size), known);
        if met.as_ref().is_err_and(|error| Refused::of(error).is_some()) {
            seen.remove(&key); // another path may lead there that is followed
        }
        met
    }

    /// Takes note of a regular file by one of its paths.
    fn meet(&mut self, path: &Path, (key, size): (FileKey, u64), known: &Known) -> io::Result<()> {
        let object = (key.device, key.inode);
        let file = known.followed.get(&object).and_then(|&at| self.followed.get_mut(at));
        if let Some(file) = file.filter(|file| same_object(file.tail.key(), key)) {
            // A link of anyone's beside the path by which it is followed is not a new name.
            let is_beside = || {
                let there = Tail::key_and_size(file.tail.path());
                self.found.is_link(path) && matches!(there, Ok(Some((it, _))) if it == key)
            };
            if file.tail.path() != path && !is_beside() {
                info!(file = file.file().0, from = %file.tail.path().display(), to = %path.display(),
                    "a followed file was renamed");
                file.tail.set_path(path.to_path_buf());
                file.renamed = true;
            }
            return Ok(());
        }
        let ignored_file = known.ignored.get(&object).and_then(|&at| self.ignored.get_mut(at));
        if let Some(file) = ignored_file.filter(|file| same_object(file.key, key)) {
            file.renamed(path);
            if file.reason.is_outdated(size) {
                let was_copy = matches!(file.reason, IgnoredReason::CopyOf { .. });
                *file = IgnoredFile::undecided(open(&self.list, &self.spool, path)?);
                if was_copy {
                    self.copy_grew(key);
                }
            }
            return Ok(());
        }
        let tail = open(&self.list, &self.spool, path)?;
        debug!(path = %path.display(), bytes = tail.size(), "a new file");
        self.add_opened(tail);
        Ok(())
    }

    /// Looks at the followed files that were written, by whatever name or link they are followed.
    pub(crate) fn look_at_written(&mut self, written: &HashSet<PathBuf>) -> Written {
        let mut names: HashMap<&Path, &Path> = HashMap::new();
        for path in written {
            let links = self.found.links_to(path).iter();
            names.extend(links.map(|link| (link.as_path(), path.as_path())));
            names.insert(path, path);
        }
        let (mut known, mut is_followed): (HashSet<&Path>, bool) = Default::default();
        for file in self.followed.iter() {
            let Some(path) = names.get(file.tail.path()) else { continue };
            is_followed = true;
            // Under the last path of a file that has no name any more there may be another one.
            if file.nameless.is_none() {
                known.insert(path);
            }
        }
        let others = self.ignored.iter().filter(|file| file.reason.rests());
        let others = others.map(|file| file.path.as_path()).chain(self.known_fifos());
        known.extend(others.filter_map(|path| names.get(path)));
        let mut unknown = written.iter().filter(|path| !known.contains(path.as_path()));
        let is_new = unknown.any(|path| {
            !self.found.links_to(path).is_empty() || self.list.covers(&self.found, path)
        });
        if is_followed {
            let changed = names.into_keys().map(Path::to_path_buf).collect();
            self.look_at_followed(Some(&changed));
        }
        match (is_new, is_followed) {
            (true, _) => Written::PerhapsNew,
            (false, true) => Written::Followed,
            (false, false) => Written::Unrelated,
        }
    }

    /// Returns whether a look may find something new, after what has this path was made, renamed or
    /// removed.
    pub(crate) fn may_find_new(&self, path: &Path) -> bool {
        self.list.may_find_new(&self.found, path)
    }

    /// Returns whether a path lies in the watched places, whatever its name is.
    pub(crate) fn lies_within(&self, path: &Path) -> bool {
        self.list.lies_within(&self.found, path)
    }

    /// Returns the directories whose events matter: those of the watched places, and those of files
    /// that are followed although no watched path leads to them any more.
    pub(crate) fn directories(&self) -> HashSet<PathBuf> {
        let nameless = self.followed.iter().filter(|file| file.nameless.is_some());
        let left = nameless.filter_map(|file| file.tail.path().parent());
        self.found.directories().chain(left).map(Path::to_path_buf).collect()
    }

    /// Looks at the followed files only, or at those of them that changed.
    pub(crate) fn look_at_followed(&mut self, changed: Option<&HashSet<PathBuf>>) {
        let mut cut = Vec::new();
        for (at, file) in self.followed.iter_mut().enumerate() {
            if changed.is_some_and(|changed| !changed.contains(file.tail.path())) {
                continue;
            }
            match file.tail.refresh() {
                Ok(TailState::Unread) => {
                    let stuck = file.stuck_at == Some(file.tail.size());
                    // Not taken back: an earlier look may have seen a write that is not read yet.
                    file.ready |= !stuck || file.tail.was_written();
                }
                // Truncated and written again, to the very same length.
                Ok(TailState::NothingNew) if file.tail.was_written() => match file.check_intact() {
                    Ok(false) => cut.push((at, file.tail.verified_size())),
                    Err(error) if Unreachable::is(&error) => file.tail.doubt(),
                    Ok(true) | Err(_) => {}
                },
                Ok(TailState::NothingNew) => {}
                Ok(TailState::Truncated) => cut.push((at, file.tail.largest())),
                // Not held open and renamed or gone: the next look at everything tells.
                Err(error) if !file.tail.is_open() && error.kind() == io::ErrorKind::NotFound => {}
                Err(error) if Unreachable::is(&error) => {}
                Err(error) => warn!(path = %file.tail.path().display(), %error, "cannot look"),
            }
        }
        for (at, size) in cut.into_iter().rev() {
            self.truncated_file(at, size);
        }
    }

    /// Takes note that the followed file at `at` does not hold any more what was read of it. It had
    /// `size` bytes when it did.
    pub(crate) fn truncated_file(&mut self, at: usize, size: u64) {
        let old = self.followed.swap_remove(at);
        let (file, path) = (old.file(), old.tail.path().to_path_buf());
        info!(file = file.0, path = %path.display(), "a followed file was cut short or replaced");
        self.truncated.push(TruncatedFile {
            claim: old.claim,
            head: old.head,
            position: old.tail.offset(),
            size,
            path,
            looks: self.looks,
        });
        self.forget_copies(file);
        self.ignored.push(IgnoredFile::undecided(old.tail.from_beginning()));
    }

    /// Adds a file that was just opened, to be decided about. It stays open if there is a descriptor
    /// for it.
    fn add_opened(&mut self, mut tail: Tail) {
        if self.held_open < self.descriptors {
            self.held_open += 1;
        } else {
            tail.close();
        }
        self.ignored.push(IgnoredFile::undecided(tail));
    }

    /// Gives the descriptors to the files of which most would be lost without.
    fn share_descriptors(&mut self) {
        let followed = self.followed.iter_mut().map(|file| &mut *file.tail);
        let waiting = self.ignored.iter_mut().filter_map(|file| file.reason.tail_mut());
        let mut tails: Vec<&mut Tail> = followed.chain(waiting).collect();
        self.held_open = tails.len().min(self.descriptors);
        if tails.len() > self.descriptors {
            tails.sort_by_cached_key(|tail| Reverse(tail.priority()));
        }
        let (hold, let_go) = tails.split_at_mut(self.held_open);
        for tail in let_go {
            tail.close();
        }
        for tail in hold {
            if let Err(error) = tail.keep_open() {
                debug!(path = %tail.path().display(), %error, "cannot hold this file open");
            }
        }
    }

    /// Has copies of a file that is not followed any more be inspected again.
    pub(crate) fn forget_copies(&mut self, of: FileId) {
        self.ignored
            .retain(|it| !matches!(it.reason, IgnoredReason::CopyOf { file, .. } if file == of));
    }
}

/// Opens a file of a watched place, or of the spool, in which nothing is a link of others.
fn open(list: &Watchlist, spool: &Spool, path: &Path) -> io::Result<Tail> {
    let opened = match spool.covers(path) {
        true => open::open(path, Wanted::RegularFile, Links::All)?,
        false => list.open(path)?,
    };
    Ok(Tail::of(path, opened))
}

/// What files that were written are to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Written {
    /// One of them may be a new log.
    PerhapsNew,
    /// All of them are known, and one is followed.
    Followed,
    /// They are no logs, or not to be followed.
    Unrelated,
}

/// Indexes of the known files, by device and inode.
struct Known {
    followed: HashMap<(u64, u64), usize>,
    ignored: HashMap<(u64, u64), usize>,
}

fn by_object(keys: impl Iterator<Item = FileKey>) -> HashMap<(u64, u64), usize> {
    keys.enumerate().map(|(at, key)| ((key.device, key.inode), at)).collect()
}
