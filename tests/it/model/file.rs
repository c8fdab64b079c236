//! One file, and the lines in it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use super::ledger::Ledger;
use super::script::{Damage, LOGS, Name};

/// A file, under whatever name.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) path: PathBuf,
    /// `None` for a name that no step can say.
    pub(super) name: Option<Name>,
    pub(super) kind: Kind,
    pub(super) generation: u32,
    /// Numbers of the lines that it holds.
    pub(super) lines: Vec<u32>,
    pub(super) size: u64,
    /// A line that was begun: its number, its bytes so far, its rest.
    pub(super) begun: Option<(u32, u64, String)>,
    /// Whether a power cut has left something after the last line, to which the next line is added.
    pub(super) is_ragged: bool,
    /// The daemon that lived when it was appended to, by number.
    pub(super) appended_under: Option<u32>,
    /// The daemon that is known to have it open.
    pub(super) open_in: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The server writes it.
    Log,
    /// Made by a copytruncate: nothing is appended to it.
    Copy,
    Archive,
}

impl LogFile {
    /// Makes an empty log.
    pub(super) fn create(path: PathBuf, name: Option<Name>, generation: u32) -> LogFile {
        fs::File::create_new(&path).unwrap();
        LogFile {
            path,
            name,
            kind: Kind::Log,
            generation,
            lines: Vec::new(),
            size: 0,
            begun: None,
            is_ragged: false,
            appended_under: None,
            open_in: None,
        }
    }

    /// So many percent of a line, unless one is begun already.
    pub(super) fn begin(&mut self, ledger: &mut Ledger, daemon: Option<u32>, percent: u32) {
        if self.begun.is_some() {
            return;
        }
        let number = ledger.begin(self.generation, self.size);
        self.tear_if_ragged(ledger, number);
        let text = ledger.text(number);
        let length = (text.len() * percent as usize / 100).clamp(1, text.len() - 1);
        let (first, rest) = text.split_at(length);
        self.begun = Some((number, length as u64, rest.to_owned()));
        self.put(first);
        self.appended_under = daemon;
    }

    /// The rest of a line that was begun, and so many more.
    pub(super) fn append(&mut self, ledger: &mut Ledger, daemon: Option<u32>, lines: u32) {
        let mut text = String::new();
        let mut ends = Vec::new();
        if let Some((number, written, rest)) = self.begun.take() {
            ends.push((number, written + rest.len() as u64));
            text += &rest;
        }
        for _ in 0..lines {
            let number = ledger.begin(self.generation, self.size + text.len() as u64);
            self.tear_if_ragged(ledger, number);
            let line = ledger.text(number);
            ends.push((number, line.len() as u64));
            text += &line;
        }
        if text.is_empty() {
            return;
        }
        // A reader may see any part of a write.
        let (first, rest) = text.split_at(text.len() / 3);
        self.put(first);
        self.put(rest);
        self.appended_under = daemon;
        for (number, length) in ends {
            self.lines.push(number);
            ledger.end(number, length);
        }
    }

    /// Adds lines that another file begins with.
    pub(super) fn append_twins(&mut self, ledger: &mut Ledger, twins: &[u32]) {
        for twin in twins {
            let number = ledger.begin_twin(self.generation, self.size, *twin);
            let text = ledger.text(number);
            self.put(&text);
            self.lines.push(number);
            ledger.end(number, text.len() as u64);
        }
    }

    fn tear_if_ragged(&mut self, ledger: &mut Ledger, number: u32) {
        if std::mem::take(&mut self.is_ragged) {
            ledger.tear(number);
        }
    }

    /// A power cut takes the last bytes, as many as are asked for, but not the first line. No daemon
    /// lives.
    pub(super) fn lose_power(&mut self, ledger: &mut Ledger, damage: Damage, bytes: u32) {
        let first_end = self.lines.first().map_or(self.size, |first| ledger.end_of(*first));
        let (size, left) = (self.size, self.size.saturating_sub(bytes.into()).max(first_end));
        if left >= size {
            return;
        }
        if let Some((number, written, _)) = self.begun.take() {
            ledger.tear(number);
            ledger.drop_bytes(written);
        }
        let (kept, damaged) = self.lines.iter().partition(|it| ledger.end_of(**it) <= left);
        self.lines = kept;
        let damaged: Vec<u32> = damaged;
        damaged.into_iter().for_each(|number| ledger.damage(number));
        self.generation = ledger.next_generation(self.generation);
        let file = OpenOptions::new().read(true).write(true).open(&self.path).unwrap();
        file.set_len(left).unwrap();
        let mut last = [0];
        file.read_exact_at(&mut last, left - 1).unwrap();
        self.is_ragged = last != *b"\n";
        self.size = left;
        match damage {
            Damage::Shorten => {}
            Damage::Blank => {
                file.set_len(size).unwrap();
                self.is_ragged = true;
                self.size = size;
            }
            Damage::Replace => self.replace(ledger, size),
        }
    }

    /// Fills the file up to its old size, with lines of which the last may have no end yet.
    fn replace(&mut self, ledger: &mut Ledger, size: u64) {
        while self.size < size {
            let number = ledger.begin(self.generation, self.size);
            self.tear_if_ragged(ledger, number);
            let text = ledger.text(number);
            let room = (size - self.size) as usize;
            if room < text.len() {
                let (first, rest) = text.split_at(room);
                self.put(first);
                self.begun = Some((number, room as u64, rest.to_owned()));
            } else {
                self.put(&text);
                self.lines.push(number);
                ledger.end(number, text.len() as u64);
            }
        }
    }

    /// How an archive's name ends; nothing for other files.
    pub(super) fn suffix(&self) -> String {
        match self.kind {
            Kind::Archive => self.path.extension().unwrap().to_string_lossy().into_owned(),
            Kind::Log | Kind::Copy => String::new(),
        }
    }

    fn put(&mut self, text: &str) {
        let mut file = OpenOptions::new().append(true).open(&self.path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        self.size += text.len() as u64;
    }
}

/// The name in the directory; `kind` is how it is compressed, or nothing.
pub(super) fn file_name(name: Name, kind: &str) -> String {
    let dot = if kind.is_empty() { "" } else { "." };
    match name.slot {
        0 => format!("{}.log{dot}{kind}", LOGS[name.log]),
        slot => format!("{}.log.{slot}{dot}{kind}", LOGS[name.log]),
    }
}
