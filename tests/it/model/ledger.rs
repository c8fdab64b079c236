//! The oracle's book: every line that was written, where it stood, and whether it is due.
//!
//! A line is due when the daemon has to store it. It ceases to be due when the last file that
//! holds it is gone and the test could not know that it was read: truncated without a copy in the
//! watched place, deleted while no daemon had it open, or compressed before the daemon met it.
//! `deploy/docs/limits.md` names these. Such a line may be a row or not; but its bytes are the most that the
//! daemon may report as lost.
//!
//! A line that a power cut took stays a row if it was one, and is never one if it was not. What comes
//! after the cut may be in a second file of the store; the lines before the cut stay in the first.

use std::collections::{HashMap, HashSet};

use crate::daemon::{Bench, line};

/// What is promised of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Its end is not written: it is not a row.
    Unfinished,
    /// It is one row.
    Due,
    /// It is at most one row: the daemon does not promise to read it before it is gone.
    Excused,
    /// Its file was truncated in the middle of it, so that its rest begins another file; or it was
    /// written after the half of a line that a power cut has left.
    Torn,
    /// A power cut took it when it was a row, which stays.
    Lost,
    /// A power cut took it before it was a row: it is never one.
    Never,
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
    /// The line of another file that it repeats.
    twin_of: Option<u32>,
}

/// All lines; a line's number stands in its url.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    lines: Vec<Line>,
    generations: u32,
    /// Which generation one goes on from, after a power cut.
    goes_on_from: HashMap<u32, u32>,
    /// Whether the lines have no time.
    pub(super) timeless: bool,
    torn: i64,
    /// The most that may be reported as lost, besides the lines without a promise that are no rows.
    losable_bytes: u64,
}

/// Which file of the store holds a generation's lines, and which generation a file holds, by the first
/// of those that go on from each other.
#[derive(Default)]
struct Places {
    file_of: HashMap<u32, i64>,
    generation_of: HashMap<i64, u32>,
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

    /// The logical file that a power cut makes of another: its lines may be in the same file of the
    /// store, or in a second one.
    pub(super) fn next_generation(&mut self, before: u32) -> u32 {
        let next = self.generation();
        self.goes_on_from.insert(next, before);
        next
    }

    /// The first of the generations that go on from each other.
    fn root(&self, generation: u32) -> u32 {
        let before = self.goes_on_from.get(&generation);
        before.map_or(generation, |before| self.root(*before))
    }

    /// Whether no line was written yet.
    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A line is begun at this place; its number.
    pub(super) fn begin(&mut self, generation: u32, offset: u64) -> u32 {
        self.add(generation, offset, None)
    }

    /// A line that another file has, too, is begun at this place; its number.
    pub(super) fn begin_twin(&mut self, generation: u32, offset: u64, twin: u32) -> u32 {
        self.add(generation, offset, Some(self.named(twin)))
    }

    fn add(&mut self, generation: u32, offset: u64, twin_of: Option<u32>) -> u32 {
        let (fate, stored) = (Fate::Unfinished, false);
        self.lines.push(Line { generation, offset, length: 0, fate, stored, twin_of });
        (self.lines.len() - 1) as u32
    }

    /// The number in the line's url.
    fn named(&self, number: u32) -> u32 {
        self.lines[number as usize].twin_of.unwrap_or(number)
    }

    /// What is written for a line.
    pub(super) fn text(&self, number: u32) -> String {
        let url = format!("/{}", self.named(number));
        match self.timeless {
            true => format!("127.0.0.1:5000 - \"GET {url} HTTP/1.1\" 200\n"),
            false => line(&url),
        }
    }

    /// Where a line ends in its file.
    pub(super) fn end_of(&self, number: u32) -> u64 {
        let line = &self.lines[number as usize];
        line.offset + line.length
    }

    /// A power cut took the line, or a part of it.
    pub(super) fn damage(&mut self, number: u32) {
        let line = &mut self.lines[number as usize];
        if !line.stored {
            self.losable_bytes += line.length;
        }
        line.fate = match line.fate {
            Fate::Torn => Fate::Torn,
            Fate::Excused => Fate::Excused,
            _ if line.stored => Fate::Lost,
            _ => Fate::Never,
        };
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

    /// Whether the line stands in its file as it was written.
    pub(super) fn is_whole(&self, number: u32) -> bool {
        self.lines[number as usize].fate != Fate::Torn
    }

    /// This line can no longer be read.
    pub(super) fn excuse(&mut self, number: u32) {
        let line = &mut self.lines[number as usize];
        if line.fate == Fate::Due && !line.stored {
            line.fate = Fate::Excused;
        }
    }

    /// So many bytes of a line without an end are gone.
    pub(super) fn drop_bytes(&mut self, bytes: u64) {
        self.losable_bytes += bytes;
    }

    /// The number of the next line.
    pub(super) fn next(&self) -> u32 {
        self.lines.len() as u32
    }

    /// The store is what it was before the lines from `first` on were stored.
    pub(super) fn restored(&mut self, first: u32) {
        self.lines[first as usize..].iter_mut().for_each(|line| line.stored = false);
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
        let mut twins: HashMap<u32, Vec<u32>> = HashMap::new();
        for (number, line) in self.lines.iter().enumerate() {
            if let Some(twin) = line.twin_of {
                twins.entry(twin).or_insert_with(|| vec![twin]).push(number as u32);
            }
        }
        let mut seen = HashSet::new();
        let mut places = Places::default();
        // Those that only one line can be come first: they tell which file is which.
        let (mut rows, others) = rows(bench).await;
        assert!(others <= self.torn, "{others} rows of torn lines, but {} such lines", self.torn);
        rows.sort_by_key(|row| twins.contains_key(&row.number));
        for mut row in rows {
            assert!(
                (row.number as usize) < self.lines.len(),
                "line {} was never written",
                row.number
            );
            if let Some(twins) = twins.get(&row.number) {
                row.number = self.twin(&row, twins, &seen, &places);
            }
            assert!(seen.insert(row.number), "line {} is more than one row", row.number);
            self.take(&row, &mut places);
        }
        let is_lost = |(number, line): (usize, &Line)| {
            line.fate == Fate::Lost && !seen.contains(&(number as u32))
        };
        let vanished = self.lines.iter().enumerate().position(is_lost);
        assert!(vanished.is_none(), "line {} was a row and is none any more", vanished.unwrap());
        let missing = |line: &Line| line.fate == Fate::Due && !line.stored;
        match self.lines.iter().position(missing) {
            None => Ok(()),
            Some(first) => {
                let count = self.lines.iter().filter(|line| missing(line)).count();
                Err(format!("{count} lines are not rows, the first of them is {first}"))
            }
        }
    }

    /// Which of several lines that say the same a row is: one at its offset, of its file.
    fn twin(&self, row: &Row, twins: &[u32], seen: &HashSet<u32>, places: &Places) -> u32 {
        let generation = places.generation_of.get(&row.file);
        let is_it = |number: &&u32| {
            let line = &self.lines[**number as usize];
            let is_there = generation.is_none_or(|it| *it == self.root(line.generation));
            line.offset == row.offset && is_there && !seen.contains(*number)
        };
        *twins.iter().find(is_it).unwrap_or(&row.number)
    }

    /// Holds one row against its line.
    fn take(&mut self, row: &Row, places: &mut Places) {
        let Row { file, offset, number } = *row;
        let line = &mut self.lines[number as usize];
        line.stored = true;
        if line.fate == Fate::Torn {
            return;
        }
        assert!(line.fate != Fate::Unfinished, "line {number} is a row before its end");
        assert!(line.fate != Fate::Never, "line {number} is a row since a power cut took it");
        assert!(
            line.offset == offset,
            "line {number} stands at {}, its row at {offset} of file {file}",
            line.offset
        );
        let generation = line.generation;
        let known = *places.file_of.entry(generation).or_insert(file);
        assert!(known == file, "line {number}: its file is both {known} and {file}");
        let root = self.root(generation);
        let known = *places.generation_of.entry(file).or_insert(root);
        assert!(known == root, "line {number}: file {file} is two files in one");
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
        let excused = self.lines.iter().filter(|line| line.fate == Fate::Excused && !line.stored);
        let most = self.losable_bytes + excused.map(|line| line.length).sum::<u64>();
        assert!(lost as u64 <= most, "{lost} bytes reported as lost, {most} may have been");
    }
}

/// The rows of lines as they were written, and how many others there are: those of the half of a line
/// with another line after it.
async fn rows(bench: &Bench) -> (Vec<Row>, i64) {
    let sql =
        "SELECT log_file || ' ' || log_offset || ' ' || CASE WHEN code = 200 AND source IS NULL
        AND user_id IS NULL AND coalesce(agent, 'curl/8') = 'curl/8' THEN 'whole' ELSE 'torn' END
        || ' ' || coalesce(url, '-') FROM gunicorn_log";
    let row = |text: &String| {
        let mut words = text.splitn(4, ' ');
        let (file, offset) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        let is_whole = words.next()? == "whole";
        let number = words.next()?.strip_prefix('/')?.parse().ok()?;
        is_whole.then_some(Row { file, offset, number })
    };
    let texts = bench.place.texts(sql).await;
    let rows: Vec<Row> = texts.iter().filter_map(row).collect();
    let others = texts.len() - rows.len();
    (rows, others as i64)
}
