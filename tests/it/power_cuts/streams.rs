//! Streams under power cuts: standard input and a FIFO, whose bytes are in the daemon's spool.
//!
//! What was in a pipe is gone with the power, and so is what the spool had not synced. Of the rest
//! every line is one row. The first line after a cut may follow the half of another in the spool, and
//! is not promised.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::Path;

use fastrand::Rng;
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use crate::daemon::line;

use super::stored::{Entry, Stored};

/// Bytes that wait for room in a pipe; then the writer waits, too.
const WAITING: usize = 256 << 10;

/// One stream, written for as long as the machine has power.
pub(super) struct Stream {
    /// Stands in the urls of its lines: `/s0/0`, `/s0/1`, …
    id: usize,
    pipe: Option<File>,
    waiting: Vec<u8>,
    next: u32,
    /// Lines that follow a cut directly.
    firsts: BTreeSet<u32>,
    /// Lines that a cut took before they were stored.
    gone: BTreeSet<u32>,
    /// Lines that were rows once.
    rows: BTreeSet<u32>,
}

impl Stream {
    pub(super) fn new(id: usize) -> Stream {
        Stream {
            id,
            pipe: None,
            waiting: Vec::new(),
            next: 0,
            firsts: BTreeSet::new(),
            gone: BTreeSet::new(),
            rows: BTreeSet::new(),
        }
    }

    /// Goes on through this pipe.
    pub(super) fn open(&mut self, pipe: File) {
        let flags = fcntl_getfl(&pipe).unwrap();
        fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).unwrap();
        self.firsts.insert(self.next);
        self.pipe = Some(pipe);
    }

    /// What is in the pipe is gone.
    pub(super) fn close(&mut self) {
        self.pipe = None;
        self.waiting.clear();
    }

    /// Writes some lines, in pieces of any length.
    pub(super) fn burst(&mut self, dice: &mut Rng) {
        if self.pipe.is_some() && self.waiting.len() < WAITING {
            for number in self.next..self.next + dice.u32(1..20) {
                self.waiting.extend_from_slice(line(&format!("/s{}/{number}", self.id)).as_bytes());
                self.next = number + 1;
            }
            let piece = dice.usize(1..=self.waiting.len());
            self.write(piece);
        }
    }

    /// Writes what waits. Returns whether there is more.
    pub(super) fn write_rest(&mut self) -> bool {
        self.write(self.waiting.len());
        !self.waiting.is_empty()
    }

    fn write(&mut self, most: usize) {
        let Some(pipe) = &mut self.pipe else { return };
        match pipe.write(&self.waiting[..most]) {
            Ok(written) => drop(self.waiting.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.close(), // the reader was killed
        }
    }

    /// Lines of this stream that are complete and whole in the spool.
    fn spooled(&self, spool: &Path) -> BTreeSet<u32> {
        let Ok(entries) = fs::read_dir(spool) else { return BTreeSet::new() };
        let contents = entries.flatten().filter_map(|entry| fs::read(entry.path()).ok());
        let mut numbers = BTreeSet::new();
        for content in contents {
            for text in content.split_inclusive(|&byte| byte == b'\n') {
                let number = std::str::from_utf8(text).ok().and_then(|text| self.number_in(text));
                numbers.extend(
                    number.filter(|it| text == line(&format!("/s{}/{it}", self.id)).as_bytes()),
                );
            }
        }
        numbers
    }

    fn number_in(&self, text: &str) -> Option<u32> {
        let rest = text.split_once(&format!("/s{}/", self.id))?.1;
        rest.split(' ').next()?.parse().ok()
    }

    /// Lines that were spooled and are no longer in the spool: it was promised that they are stored.
    pub(super) fn removed(&self, spool: &Path) -> BTreeSet<u32> {
        let spooled = self.spooled(spool);
        let Some(&last) = spooled.last() else { return BTreeSet::new() };
        let is_promised = |it: &u32| {
            !spooled.contains(it) && !self.gone.contains(it) && !self.firsts.contains(it)
        };
        (0..last).filter(is_promised).collect()
    }

    /// The power is back: what is neither stored nor in the spool is gone. Returns what is wrong.
    pub(super) fn cut(
        &mut self,
        spool: &Path,
        stored: &Stored,
        removed: &BTreeSet<u32>,
    ) -> Vec<String> {
        let rows = self.rows_of(stored);
        let spooled = self.spooled(spool);
        let mut wrong = Vec::new();
        for number in removed.iter().filter(|it| !rows.contains_key(it)) {
            wrong.push(format!("/s{}/{number} left the spool and is not stored", self.id));
        }
        for number in 0..self.next {
            if !rows.contains_key(&number) && !spooled.contains(&number) {
                self.gone.insert(number);
            }
        }
        wrong
    }

    /// Holds the stream against the store. Returns how many lines are missing yet, and what is wrong.
    pub(super) fn examine(&mut self, stored: &Stored) -> (u64, Vec<String>) {
        let rows = self.rows_of(stored);
        let mut wrong = Vec::new();
        for (number, places) in &rows {
            if places.len() > 1 && !self.is_joined(*number, places, &rows) {
                wrong.push(format!("/s{}/{number} is stored as {places:?}", self.id));
            }
        }
        for number in self.rows.iter().filter(|number| !rows.contains_key(number)) {
            wrong.push(format!("/s{}/{number} was a row and is none any more", self.id));
        }
        self.rows.extend(rows.keys());
        let due = |it: &u32| !self.gone.contains(it) && !self.firsts.contains(it);
        let missing = (0..self.next).filter(due).filter(|it| !rows.contains_key(it)).count();
        (missing as u64, wrong)
    }

    /// Whether a second row of this line, at the same offset, is the half that a cut has left of it and the
    /// first line after the cut, in one.
    fn is_joined(
        &self,
        number: u32,
        places: &[(i64, u64)],
        rows: &BTreeMap<u32, Vec<(i64, u64)>>,
    ) -> bool {
        let [one, other] = places else { return false };
        let same_offset = one.1 == other.1;
        let before_cut = one.0.min(other.0);
        let first = self.firsts.range(number + 1..).next();
        // What came after it in the spool is gone, or was stored before the cut.
        let is_gone = |it: u32| {
            let before =
                rows.get(&it).is_some_and(|places| places.iter().all(|at| at.0 == before_cut));
            self.gone.contains(&it) || before
        };
        same_offset
            && first
                .is_some_and(|first| !rows.contains_key(first) && (number + 1..*first).all(is_gone))
    }

    /// Rows by number: file and offset of each.
    fn rows_of(&self, stored: &Stored) -> BTreeMap<u32, Vec<(i64, u64)>> {
        let mut rows: BTreeMap<u32, Vec<(i64, u64)>> = BTreeMap::new();
        for (file, offset, entry) in stored.entries() {
            if let Entry::Row(url) = entry
                && let Some(number) = self.number_in(url)
            {
                rows.entry(number).or_default().push((file.id, offset));
            }
        }
        rows
    }

    /// Lines that were written.
    pub(super) fn written(&self) -> u32 {
        self.next
    }
}
