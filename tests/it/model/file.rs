//! One file, and the lines in it.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use crate::daemon::line;

use super::ledger::Ledger;
use super::script::{LOGS, Name};

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
        let text = line(&format!("/{number}"));
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
            let line = line(&format!("/{number}"));
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
