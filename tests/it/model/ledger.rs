//! The oracle's book: every line that was written, where it stood, and whether it is due.
//!
//! A line is due when the daemon has to store it. It ceases to be due when the last file that
//! holds it is gone and the test could not know that it was read: truncated without a copy in the
//! watched place, deleted while no daemon had it open, or compressed before the daemon met it. The
//! README names these limits. Such a line may be a row or not; but its bytes are the most that the
//! daemon may report as lost.

use std::collections::{HashMap, HashSet};

use crate::daemon::Bench;

/// What is promised of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its end is not written: it is not a row.
    Unfinished,
    /// It is one row.
    Due,
    /// It is at most one row: the daemon does not promise to read it before it is gone.
    Excused,
    /// Its file was truncated in the middle of it, so that its rest begins another file.
    Torn,
}

#[derive(Debug)]
struct Line {
    /// Which logical file it belongs to.
    generation: u32,
    offset: u64,
    length: u64,
    fate: Fate,
    /// Whether it was seen as a row.
    stored: bool,
}

/// All lines; a line's number stands in its url.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lines: Vec<Line>,
    generations: u32,
    torn: i64,
    /// The most that may be reported as lost.
    losable_bytes: u64,
}

/// A row: which file of the store it belongs to, its offset there, its line's number.
struct Row {
    file: i64,
    offset: u64,
    number: u32,
}

impl Ledger {
    /// A new logical file.
    pub(super) fn generation(&mut self) -> u32 {
        self.generations += 1;
        self.generations
    }

    /// A line is begun at this place; its number.
    pub(super) fn begin(&mut self, generation: u32, offset: u64) -> u32 {
        self.lines.push(Line {
            generation,
            offset,
            length: 0,
            fate: Fate::Unfinished,
            stored: false,
        });
        (self.lines.len() - 1) as u32
    }

    /// The end of a line is written.
    pub(super) fn end(&mut self, number: u32, length: u64) {
        let line = &mut self.lines[number as usize];
        line.length = length;
        if line.fate == Fate::Unfinished {
            line.fate = Fate::Due;
        }
    }

    /// The beginning of a line was cut off.
    pub(super) fn tear(&mut self, number: u32) {
        let line = &mut self.lines[number as usize];
        if line.fate != Fate::Torn {
            line.fate = Fate::Torn;
            self.torn += 1;
        }
    }

    /// Whether it was seen as a row.
    pub(super) fn is_stored(&self, number: u32) -> bool {
        self.lines[number as usize].stored
    }

    /// This line can no longer be read.
    pub(super) fn excuse(&mut self, number: u32) {
        let line = &mut self.lines[number as usize];
        if line.fate == Fate::Due && !line.stored {
            line.fate = Fate::Excused;
            self.losable_bytes += line.length;
        }
    }

    /// So many bytes of a line without an end are gone.
    pub(super) fn drop_bytes(&mut self, bytes: u64) {
        self.losable_bytes += bytes;
    }

    /// How many lines are due.
    pub(super) fn due(&self) -> i64 {
        self.lines.iter().filter(|line| line.fate == Fate::Due).count() as i64
    }

    /// Lines that are rows without a promise, and all lines without a promise.
    pub(super) fn excused(&self) -> (usize, usize) {
        let excused = self.lines.iter().filter(|line| line.fate == Fate::Excused);
        (excused.clone().filter(|line| line.stored).count(), excused.count())
    }

    /// Holds the rows against the book. Returns the first due line that is not a row yet; anything
    /// else that is wrong is wrong for ever, and said at once.
    pub(super) async fn compare(&mut self, bench: &Bench) -> Result<(), String> {
        let mut seen = HashSet::new();
        let mut file_of: HashMap<u32, i64> = HashMap::new();
        let mut generation_of: HashMap<i64, u32> = HashMap::new();
        for row in rows(bench).await {
            let Row { file, offset, number } = row;
            let Some(line) = self.lines.get_mut(number as usize) else {
                panic!("line {number} was never written");
            };
            assert!(seen.insert(number), "line {number} is more than one row");
            line.stored = true;
            if line.fate == Fate::Torn {
                continue;
            }
            assert!(line.fate != Fate::Unfinished, "line {number} is a row before its end");
            assert!(
                line.offset == offset,
                "line {number} stands at {}, its row at {offset} of file {file}",
                line.offset
            );
            let generation = line.generation;
            let known = *file_of.entry(generation).or_insert(file);
            assert!(known == file, "line {number}: its file is both {known} and {file}");
            let known = *generation_of.entry(file).or_insert(generation);
            assert!(known == generation, "line {number}: file {file} is two files in one");
        }
        let missing = |line: &Line| line.fate == Fate::Due && !line.stored;
        match self.lines.iter().position(missing) {
            None => Ok(()),
            Some(first) => {
                let count = self.lines.iter().filter(|line| missing(line)).count();
                Err(format!("{count} lines are not rows, the first of them is {first}"))
            }
        }
    }

    /// The counters and what is reported as lost, once nothing moves any more.
    pub(super) async fn balance(&self, bench: &Bench) {
        bench.balanced().await;
        let sum = async |column: &str| {
            let sql = format!("SELECT CAST(coalesce(sum({column}), 0) AS bigint) FROM log_file");
            bench.place.number(&sql).await
        };
        let (rejected, lost) = (sum("rejected").await, sum("lost_bytes").await);
        assert!(rejected <= self.torn, "{rejected} rejects, but {} torn lines", self.torn);
        assert_eq!(sum("excluded").await, 0);
        let most = self.losable_bytes;
        assert!(lost as u64 <= most, "{lost} bytes reported as lost, {most} may have been");
    }
}

async fn rows(bench: &Bench) -> Vec<Row> {
    let sql = "SELECT log_file || ' ' || log_offset || ' ' || url FROM gunicorn_log";
    let row = |text: &String| {
        let (file, rest) = text.split_once(' ')?;
        let (offset, url) = rest.split_once(" /")?;
        Some(Row {
            file: file.parse().ok()?,
            offset: offset.parse().ok()?,
            number: url.parse().ok()?,
        })
    };
    let texts = bench.place.texts(sql).await;
    texts.iter().map(|text| row(text).unwrap_or_else(|| panic!("row '{text}'"))).collect()
}
