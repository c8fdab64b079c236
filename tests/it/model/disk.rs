//! The log directory: what a server and logrotate do there, entered in the [`Ledger`].

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::archives::compress;

use super::file::{Kind, LogFile, file_name};
use super::ledger::Ledger;
use super::script::{Copy, Damage, KEPT, LOGS, Name};

/// Whether a file that the daemon has read stays open while it is quiet, so that lines appended
/// just before it is deleted are read all the same.
pub(super) const QUIET_FILES_STAY_OPEN: bool = true;

/// Lines that a log repeats of another.
const TWINS: usize = 2;

/// The watched directory and the files in it.
#[derive(Debug)]
pub(super) struct Disk {
    /// The directory that the watched path leads to.
    watched: PathBuf,
    aside: PathBuf,
    files: Vec<LogFile>,
    /// Deleted, and still open in the daemon.
    ghosts: Vec<LogFile>,
    /// Which daemon lives.
    daemon: Option<u32>,
    names: u32,
    /// Whether archives that are made now are read, although no daemon has met their logs: one of the same
    /// name was followed before.
    pub(super) reads_unmet: bool,
    pub(super) ledger: Ledger,
}

impl Disk {
    pub(super) fn new(watched: PathBuf, aside: PathBuf) -> Disk {
        let (files, ghosts, ledger) = (Vec::new(), Vec::new(), Ledger::default());
        Disk { watched, aside, files, ghosts, daemon: None, names: 0, reads_unmet: false, ledger }
    }

    /// A daemon starts.
    pub(super) fn daemon_starts(&mut self, number: u32) {
        self.daemon = Some(number);
    }

    /// The daemon has ended; what only it could still read is gone.
    pub(super) fn daemon_ends(&mut self) {
        self.daemon = None;
        while let Some(ghost) = self.ghosts.pop() {
            self.gone(&ghost);
        }
    }

    /// Everything that is due is stored, by the daemon that lives.
    pub(super) fn caught_up(&mut self) {
        self.ghosts.clear();
        for file in &mut self.files {
            // Without a complete line it is not known whether it is a log.
            let is_log = !file.lines.is_empty();
            if QUIET_FILES_STAY_OPEN && is_log && file.appended_under == self.daemon {
                file.open_in = self.daemon;
            }
        }
    }

    /// A power cut damages a log. Returns whether there is such a log.
    pub(super) fn lose_power(&mut self, name: Name, damage: Damage, bytes: u32) -> bool {
        let is_log = |at: &usize| self.files[*at].kind == Kind::Log;
        let Some(at) = self.find(name).filter(is_log) else { return false };
        self.files[at].lose_power(&mut self.ledger, damage, bytes);
        true
    }

    /// Makes a log that begins like another one. Of that one more must be stored, or it could not be
    /// told which of both a file with these lines is. The new log is there with lines of its own.
    pub(super) fn begin_alike(&mut self, name: Name, other: Name) {
        let Some(at) = self.find(name) else { return };
        let lines = &self.files[at].lines;
        let is_known = lines.get(TWINS).is_some_and(|after| self.ledger.is_stored(*after));
        let are_whole = || lines[..TWINS].iter().all(|line| self.ledger.is_whole(*line));
        let kind = self.files[at].kind;
        if kind != Kind::Log || !is_known || !are_whole() || self.find(other).is_some() {
            return;
        }
        let twins = lines[..TWINS].to_vec();
        let aside = self.free_name_aside();
        let mut log = LogFile::create(aside, Some(other), self.ledger.generation());
        log.append_twins(&mut self.ledger, &twins);
        log.append(&mut self.ledger, self.daemon, TWINS as u32);
        let path = self.watched.join(file_name(other, ""));
        fs::rename(&log.path, &path).unwrap();
        log.path = path;
        self.files.push(log);
    }

    /// No line has a time from now on, if there is none yet.
    pub(super) fn write_without_time(&mut self) {
        self.ledger.timeless |= self.ledger.is_empty();
    }

    /// Turns the link, which is the watched path, to a new directory.
    pub(super) fn swap(&mut self, link: &Path) {
        self.names += 1;
        let next = self.aside.join(format!("directory{}", self.names));
        fs::create_dir(&next).unwrap();
        let made = self.aside.join("link");
        symlink(&next, &made).unwrap();
        fs::rename(made, link).unwrap();
        self.watched = next;
        for at in (0..self.files.len()).rev() {
            self.unlinked(at);
        }
    }

    pub(super) fn write(&mut self, name: Name, lines: u32) {
        if let Some(at) = self.writable(name) {
            self.append(at, lines);
        }
    }

    pub(super) fn begin(&mut self, name: Name, percent: u32) {
        let Some(at) = self.writable(name) else { return };
        self.files[at].begin(&mut self.ledger, self.daemon, percent);
    }

    /// Ends every line that was begun and can be ended.
    pub(super) fn end_lines(&mut self) {
        for at in 0..self.files.len() {
            if self.files[at].kind == Kind::Log {
                self.append(at, 0);
            }
        }
    }

    /// One more line in a file of its own, for the daemon to be seen at work.
    pub(super) fn write_elsewhere(&mut self) {
        self.names += 1;
        let path = self.watched.join(format!("last{}.log", self.names));
        let at = self.create(path, None);
        self.append(at, 1);
    }

    /// Makes a log that no daemon watches.
    pub(super) fn write_aside(&mut self, lines: u32) -> PathBuf {
        let path = self.free_name_aside();
        let at = self.create(path.clone(), None);
        self.append(at, lines);
        path
    }

    pub(super) fn rotate(&mut self, name: Name) {
        if self.find(name).is_some() {
            self.shift(name.log);
            let at = self.find(name).unwrap();
            self.rename(at, Some(Name { slot: 1, ..name }));
        }
    }

    pub(super) fn date(&mut self, name: Name) {
        if let Some(at) = self.find(name) {
            self.rename(at, None);
        }
    }

    pub(super) fn copy_truncate(&mut self, name: Name, copy: Copy) {
        if self.find(name).is_none() {
            return;
        }
        if copy == Copy::Inside {
            self.shift(name.log);
        }
        let at = self.find(name).unwrap();
        let generation = self.ledger.generation();
        let aside = self.free_name_aside();
        let file = &mut self.files[at];
        let old = LogFile {
            path: match copy {
                Copy::Inside => self.watched.join(file_name(Name { slot: 1, ..name }, "")),
                Copy::Outside | Copy::Nowhere => aside,
            },
            name: Some(Name { slot: 1, ..name }),
            kind: Kind::Copy,
            generation: std::mem::replace(&mut file.generation, generation),
            lines: std::mem::take(&mut file.lines),
            size: std::mem::take(&mut file.size),
            begun: file.begun.clone(),
            is_ragged: std::mem::take(&mut file.is_ragged),
            appended_under: None,
            open_in: None,
        };
        if copy != Copy::Nowhere {
            fs::copy(&file.path, &old.path).unwrap();
        }
        OpenOptions::new().write(true).open(&file.path).unwrap().set_len(0).unwrap();
        file.appended_under = None;
        file.open_in = None;
        if let Some((number, written, _)) = &mut file.begun {
            self.ledger.tear(*number);
            self.ledger.drop_bytes(std::mem::take(written));
        }
        if copy == Copy::Inside {
            self.files.push(old);
        } else {
            self.gone(&old);
        }
    }

    pub(super) fn compress(&mut self, name: Name, kind: &'static str) {
        let Some(at) = self.find(name) else { return };
        if self.files[at].kind == Kind::Archive {
            return;
        }
        if self.files[at].kind == Kind::Log {
            self.append(at, 0); // a file that is still written to is not compressed
        }
        let plain = &self.files[at];
        let bytes = compress(kind, &fs::read(&plain.path).unwrap());
        let path = self.watched.join(file_name(name, kind));
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        fs::write(&path, first).unwrap();
        OpenOptions::new().append(true).open(&path).unwrap().write_all(rest).unwrap();
        let archive = LogFile {
            path,
            name: Some(name),
            kind: Kind::Archive,
            lines: plain.lines.clone(),
            begun: plain.begun.clone(),
            appended_under: None,
            open_in: None,
            ..*plain
        };
        self.files.push(archive);
        self.delete_at(at);
    }

    /// Whether the log is there, and lines of it are stored.
    pub(super) fn has_stored(&self, name: Name) -> bool {
        self.find(name).is_some_and(|at| {
            let LogFile { kind, lines, .. } = &self.files[at];
            *kind == Kind::Log && lines.first().is_some_and(|first| self.ledger.is_stored(*first))
        })
    }

    /// How many bytes of a line without its end are in the log.
    pub(super) fn begun_bytes(&self, name: Name) -> u64 {
        let begun = self.find(name).and_then(|at| self.files[at].begun.as_ref());
        begun.map_or(0, |(_, written, _)| *written)
    }

    pub(super) fn delete(&mut self, name: Name) {
        if let Some(at) = self.find(name) {
            self.delete_at(at);
        }
    }

    pub(super) fn away(&mut self, name: Name) {
        let Some(at) = self.find(name) else { return };
        let aside = self.free_name_aside();
        fs::rename(&self.files[at].path, aside).unwrap();
        self.unlinked(at);
    }

    fn find(&self, name: Name) -> Option<usize> {
        self.files.iter().position(|file| file.name == Some(name))
    }

    /// The file to append to; a log is made if it is not there.
    fn writable(&mut self, name: Name) -> Option<usize> {
        match self.find(name) {
            Some(at) => (self.files[at].kind == Kind::Log).then_some(at),
            None if name.slot == 0 => {
                Some(self.create(self.watched.join(file_name(name, "")), Some(name)))
            }
            None => None,
        }
    }

    fn create(&mut self, path: PathBuf, name: Option<Name>) -> usize {
        self.files.push(LogFile::create(path, name, self.ledger.generation()));
        self.files.len() - 1
    }

    fn append(&mut self, at: usize, lines: u32) {
        self.files[at].append(&mut self.ledger, self.daemon, lines);
    }

    /// The rotated files of a log move up; the last one is deleted.
    fn shift(&mut self, log: usize) {
        for slot in (1..=KEPT).rev() {
            let Some(at) = self.find(Name { log, slot }) else { continue };
            if slot == KEPT {
                self.delete_at(at);
            } else {
                self.rename(at, Some(Name { log, slot: slot + 1 }));
            }
        }
    }

    fn rename(&mut self, at: usize, name: Option<Name>) {
        let file = &mut self.files[at];
        let suffix = file.suffix();
        let path = match name {
            Some(name) => file_name(name, &suffix),
            None => {
                self.names += 1;
                format!("{}.log-2026{:04}", LOGS[file.name.unwrap().log], self.names)
            }
        };
        let path = self.watched.join(path);
        fs::rename(&file.path, &path).unwrap();
        (file.path, file.name) = (path, name);
    }

    fn delete_at(&mut self, at: usize) {
        fs::remove_file(&self.files[at].path).unwrap();
        self.unlinked(at);
    }

    /// The file has no name in the watched place any more.
    fn unlinked(&mut self, at: usize) {
        let file = self.files.remove(at);
        if let Some((_, written, _)) = &file.begun {
            self.ledger.drop_bytes(*written);
        }
        if file.open_in.is_some() && file.open_in == self.daemon {
            self.ghosts.push(file);
        } else {
            self.gone(&file);
        }
    }

    /// A file is gone, and with it the lines that no other file holds.
    fn gone(&mut self, file: &LogFile) {
        // An archive of a log that the daemon has not met before is left to `import`.
        let is_known =
            self.reads_unmet || file.lines.iter().any(|number| self.ledger.is_stored(*number));
        let readable = |other: &&LogFile| other.kind != Kind::Archive || is_known;
        let alike = self.files.iter().filter(readable).chain(&self.ghosts);
        let alike = alike.filter(|other| other.generation == file.generation);
        let kept = alike.map(|other| other.lines.len()).max().unwrap_or(0);
        for number in file.lines.iter().skip(kept) {
            self.ledger.excuse(*number);
        }
    }

    fn free_name_aside(&mut self) -> PathBuf {
        self.names += 1;
        self.aside.join(format!("{}.log", self.names))
    }
}
