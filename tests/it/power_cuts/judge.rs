//! Holds the store against the logs, after whatever happened to both.
//!
//! A log that a power cut has shortened or changed goes on as a second logical file, whose first
//! offset is the end of the last line that the log still has. So one log is the union of its logical
//! files, and of the union is asked:
//!
//! - every complete line that the log has now is one row or reject, at its offset, in one of them;
//! - an entry of another line is allowed only if it was stored before a cut that damaged the line;
//! - what was stored once stays as it is;
//! - an entry stands between its file's first offset and the committed one.
//!
//! A run of NULs at a line's first byte may be skipped: then the line's offset is that of the byte
//! after them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use super::stored::{Entry, Stored, StoredFile};

/// Findings of each kind that are told in full, of one log and in all.
const TOLD_OF_LOG: usize = 2;
const TOLD: usize = 8;

/// What was done to a log, at most.
const NOTES: usize = 12;

/// Bytes of a line that are shown.
const SHOWN: usize = 140;

/// Which logical file, and the offset in it.
type Key = (i64, u64);

/// One log: what was written under one identity, wherever it lies now.
#[derive(Debug)]
pub(super) struct Log {
    /// Stands in the urls of its lines: `/g7/0`, `/g7/1`, …
    pub(super) generation: u32,
    pub(super) path: PathBuf,
    /// That of the plain file.
    pub(super) inode: u64,
    pub(super) is_archive: bool,
    /// The bytes that it has now; of an archive, what is compressed there.
    pub(super) content: Vec<u8>,
    /// What was done to it, for a failure to tell.
    history: Vec<String>,
    /// Every line that was written, whole.
    written: HashSet<Vec<u8>>,
    known: BTreeMap<Key, Known>,
}

/// An entry that was seen in the store.
#[derive(Clone, Debug)]
struct Known {
    entry: Entry,
    fate: Fate,
    /// The line as it was before a cut damaged it.
    line: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// The log has the line.
    Live,
    /// A cut has damaged the line, and the entry may be without it. What the application writes later
    /// may be the very same bytes; then the line may be stored by this entry.
    Damaged,
}

/// Whether every line must be stored by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Demand {
    /// A daemon has died in the middle of its work.
    Partial,
    /// A daemon had the time that it needs.
    Complete,
}

/// What was found, by kind, and the first ones of each in words.
#[derive(Debug, Default)]
pub(super) struct Findings {
    /// Lines that are not stored: later they may be.
    pub(super) missing: u64,
    /// What time does not mend, by kind.
    pub(super) wrong: BTreeMap<&'static str, u64>,
    told: BTreeMap<&'static str, Vec<String>>,
    /// Complete lines in the logs.
    pub(super) lines: u64,
    /// Entries whose lines the logs no longer have.
    pub(super) lost: u64,
}

impl Log {
    pub(super) fn new(generation: u32, path: PathBuf, inode: u64) -> Log {
        Log {
            generation,
            path,
            inode,
            is_archive: false,
            content: Vec::new(),
            history: Vec::new(),
            written: HashSet::new(),
            known: BTreeMap::new(),
        }
    }

    /// Whether a hole is in the middle of what one file of the store has: its end is as it was, so that
    /// only `verify` finds it.
    pub(super) fn has_hole(&self) -> bool {
        let last = self.known.keys().map(|(file, _)| *file).max();
        self.known.iter().any(|((file, offset), known)| {
            let (from, to) = (*offset as usize, *offset as usize + known.line.len());
            known.fate == Fate::Damaged
                && Some(*file) == last
                && self.content.get(from..to) != Some(&known.line)
        })
    }

    /// Notes lines that an application writes.
    pub(super) fn wrote(&mut self, text: &str) {
        self.written.extend(text.split_inclusive('\n').map(|line| line.as_bytes().to_vec()));
    }

    /// Whether a line is as it was written; NULs before it do not count.
    fn is_as_written(&self, line: &[u8]) -> bool {
        let nuls = line.iter().take_while(|&&byte| byte == 0).count();
        self.written.contains(&line[nuls..])
    }

    /// Whether a line is what holes have left of lines that were stored whole, by the file that covers
    /// their place still: nothing is read there again.
    fn is_rest_of_stored(
        &self,
        (start, end): (usize, usize),
        lines: &Lines<'_>,
        files: &[&StoredFile],
        known: &BTreeMap<Key, Known>,
    ) -> bool {
        let covering = files.iter().filter(|file| file.first_offset <= start as u64);
        let Some(covering) = covering.map(|file| file.id).max() else { return false };
        let is_of = |(file, offset): &Key, known: &Known| {
            let from = *offset as usize;
            known.fate == Fate::Damaged
                && *file == covering
                && from < end
                && from + known.line.len() > start
        };
        !self.is_as_written(&lines.content[start..end])
            && known.iter().any(|(key, known)| is_of(key, known))
    }

    /// What was done to it lately.
    pub(super) fn history(&self) -> String {
        self.history.join(", ")
    }

    /// Notes what was done to it; what is long ago is forgotten.
    pub(super) fn note(&mut self, what: &str) {
        if self.history.len() == NOTES {
            self.history.remove(0);
        }
        self.history.push(what.to_owned());
    }

    /// Lines that are known to be stored and are still in the log.
    pub(super) fn stored(&self) -> usize {
        self.known.values().filter(|known| known.fate == Fate::Live).count()
    }

    /// The log has this content after a cut: entries of lines whose bytes are not all as they were
    /// may be without a line from now on.
    pub(super) fn cut(&mut self, content: Vec<u8>) {
        let alike = same_bytes(&self.content, &content);
        for ((_, offset), known) in &mut self.known {
            let end = line_end(&self.content, *offset as usize);
            if known.fate == Fate::Live && end > alike {
                known.fate = Fate::Damaged;
                known.line = self.content[*offset as usize..end].to_vec();
            }
        }
        self.content = content;
    }

    /// Holds the log against the logical files that are its own.
    fn examine(&mut self, files: &[&StoredFile], demand: Demand, findings: &mut Findings) {
        let lines = Lines::of(&self.content, self.is_archive);
        let mut now: BTreeMap<Key, Known> = BTreeMap::new();
        let mut of_line: Vec<Vec<Key>> = vec![Vec::new(); lines.all.len()];
        let stored = files.iter().flat_map(|file| {
            file.entries.iter().map(move |(offset, entry)| (*file, (file.id, *offset), entry))
        });
        for (file, key, entry) in stored {
            let before = self.known.get(&key);
            let fate = before.map_or(Fate::Live, |known| known.fate);
            let line = before.map(|known| known.line.clone()).unwrap_or_default();
            if before.is_some_and(|known| known.entry != *entry) {
                let was = &before.unwrap().entry;
                self.find(findings, "changed", key, &format!("was {was} and is {entry}"));
            }
            if !(file.first_offset..file.committed).contains(&key.1) {
                let range = format!("{} to {}", file.first_offset, file.committed);
                self.find(findings, "out of range", key, &format!("{entry}; the file has {range}"));
            }
            let found = match fate {
                Fate::Damaged => lines.that_is(key.1, &line),
                // What a cut has left of a line may have no url; a line as it was written has one.
                Fate::Live => lines
                    .stored_as(key.1, entry)
                    .filter(|nth| !entry.has_no_url() || !self.is_as_written(lines.bytes(*nth))),
            };
            match found {
                Some(nth) => of_line[nth].push(key),
                None if fate == Fate::Damaged => {}
                None => {
                    let what = format!("{entry}; the log has {}", lines.at(key.1));
                    self.find(findings, "without a line", key, &what);
                }
            }
            now.insert(key, Known { entry: entry.clone(), fate, line });
        }
        for (key, known) in &self.known {
            if !now.contains_key(key) {
                self.find(findings, "vanished", *key, &format!("there was {}", known.entry));
            }
        }
        // The last lines may wait: what a cut has left may be the beginning of a record that goes on
        // in the next line.
        let due = (0..lines.complete).rfind(|nth| self.is_as_written(lines.bytes(*nth)));
        let due = due.map_or(0, |last| last + 1);
        let mut needed = 0;
        for (nth, keys) in of_line.iter().enumerate() {
            let (damaged, sound): (Vec<Key>, Vec<Key>) =
                keys.iter().partition(|key| now[*key].fate == Fate::Damaged);
            let (start, line) = (lines.all[nth].0, shown(lines.bytes(nth)));
            match (&sound[..], &damaged[..]) {
                ([], []) if demand == Demand::Partial || nth >= due => {}
                ([], []) if self.is_rest_of_stored(lines.all[nth], &lines, files, &now) => {}
                ([], []) => {
                    findings.missing += 1;
                    let ranges: String = files.iter().map(|it| it.range()).collect();
                    let around = around(files, start as u64);
                    let what = format!("line {}, {line}: not stored; in{ranges}{around}", nth + 1);
                    self.tell(findings, "missing", start as u64, &what);
                }
                ([], _) => needed += 1,
                ([_], _) => {}
                _ => {
                    let mut what = format!("line {}, {line}: stored as", nth + 1);
                    for key in keys {
                        let _ = write!(what, " [file {} at {}: {}]", key.0, key.1, now[key].entry);
                    }
                    *findings.wrong.entry("doubled").or_default() += 1;
                    self.tell(findings, "doubled", start as u64, &what);
                }
            }
        }
        findings.lines += lines.complete as u64;
        let damaged = now.values().filter(|known| known.fate == Fate::Damaged).count();
        findings.lost += (damaged - needed) as u64;
        if findings.is_right() {
            self.known = now;
        }
    }

    fn find(&self, findings: &mut Findings, kind: &'static str, key: Key, what: &str) {
        *findings.wrong.entry(kind).or_default() += 1;
        let what = format!("file {} of the store: {what}", key.0);
        self.tell(findings, kind, key.1, &what);
    }

    fn tell(&self, findings: &mut Findings, kind: &'static str, offset: u64, what: &str) {
        let told = findings.told.entry(kind).or_default();
        if told.len() < TOLD_OF_LOG {
            let path = self.path.file_name().unwrap().to_string_lossy();
            let history = self.history();
            told.push(format!("{path} at {offset}: {what}\n      [{history}]"));
        }
    }
}

/// Which of the logs a logical file is: most of its lines say so, else what was known of it, else the
/// object, else the path.
/// A line of another log in it is without a line there, and is found so.
fn owner(
    file: &StoredFile,
    logs: &[Log],
    generations: &HashMap<u32, usize>,
    known: &HashMap<i64, usize>,
) -> Result<Option<usize>, String> {
    let mut named: BTreeMap<usize, u32> = BTreeMap::new();
    for entry in file.entries.values() {
        let text = match entry {
            Entry::Row(url) => url.as_bytes(),
            Entry::Reject(raw) => raw,
        };
        if let Some(nth) = generation_in(text).and_then(|it| generations.get(&it)) {
            *named.entry(*nth).or_default() += 1;
        }
    }
    let named = named.into_iter().max_by_key(|(_, entries)| *entries).map(|(nth, _)| nth);
    let plain = |log: &Log| log.inode == file.inode && !log.is_archive;
    let at_path = |log: &Log| log.path.to_string_lossy() == file.path;
    // An object may be used again: the newest log is the one that has it.
    let by_object = || logs.iter().rposition(plain).or_else(|| logs.iter().rposition(at_path));
    // A line that a cut has put together out of two may name another log, but not one whose file it was
    // before: of that log, a hole may have left none of these lines.
    let was_of = |nth: &usize| known.get(&file.id) == Some(nth);
    let holds_one = |nth: &usize| {
        let content = &logs[*nth].content;
        file.entries.iter().any(|(offset, entry)| match entry {
            Entry::Row(url) => {
                let from = (*offset as usize).min(content.len());
                holds(&content[from..line_end(content, from)], url)
            }
            Entry::Reject(_) => false,
        })
    };
    let named = match named {
        Some(nth) if !was_of(&nth) && !holds_one(&nth) => by_object().filter(holds_one).or(named),
        named => named,
    };
    let found = named.or(known.get(&file.id).copied()).or_else(by_object);
    if found.is_none() && !file.entries.is_empty() {
        return Err(format!("file {} of the store ({}) is none of the logs", file.id, file.path));
    }
    Ok(found)
}

/// The entries next to an offset, for a message.
fn around(files: &[&StoredFile], offset: u64) -> String {
    let mut told = String::new();
    for file in files {
        let before = file.entries.range(..=offset).next_back();
        let after = file.entries.range(offset + 1..).next();
        for (at, entry) in before.into_iter().chain(after) {
            let _ = write!(told, "\n      file {} at {at}: {entry}", file.id);
        }
    }
    told
}

/// The number in `/g7/`.
fn generation_in(text: &[u8]) -> Option<u32> {
    let at = text.windows(2).position(|two| two == b"/g")? + 2;
    let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    if text.get(at + digits) != Some(&b'/') {
        return None;
    }
    std::str::from_utf8(&text[at..at + digits]).ok()?.parse().ok()
}

/// Holds the store against all logs.
pub(super) fn examine(logs: &mut [Log], stored: &Stored, demand: Demand) -> Findings {
    let mut findings = Findings::default();
    let mut files: Vec<Vec<&StoredFile>> = vec![Vec::new(); logs.len()];
    let generations: HashMap<u32, usize> =
        logs.iter().enumerate().map(|(nth, log)| (log.generation, nth)).collect();
    let of_log = |nth: usize| logs[nth].known.keys().map(move |(file, _)| (*file, nth));
    let known: HashMap<i64, usize> = (0..logs.len()).flat_map(of_log).collect();
    for file in stored.files.values() {
        match owner(file, logs, &generations, &known) {
            Ok(Some(nth)) => files[nth].push(file),
            Ok(None) => {}
            Err(what) => {
                *findings.wrong.entry("of no log").or_default() += 1;
                findings.told.entry("of no log").or_default().push(what);
            }
        }
    }
    for (file, offset, entry) in &stored.twice {
        *findings.wrong.entry("doubled").or_default() += 1;
        let what =
            format!("file {file} of the store holds two entries at {offset}, one is {entry}");
        findings.told.entry("doubled").or_default().push(what);
    }
    for (log, files) in logs.iter_mut().zip(files) {
        // Each log by itself, so that what is right of one is kept whatever another has.
        let mut of_one = Findings::default();
        log.examine(&files, demand, &mut of_one);
        findings.add(of_one);
    }
    findings
}

impl Findings {
    /// Whether nothing is wrong or missing.
    pub(super) fn is_right(&self) -> bool {
        self.wrong.is_empty() && self.missing == 0
    }

    /// Whether nothing is wrong that time does not mend.
    pub(super) fn may_become_right(&self) -> bool {
        self.wrong.is_empty()
    }

    /// How many lines are stored more than once.
    pub(super) fn doubled(&self) -> u64 {
        self.wrong.get("doubled").copied().unwrap_or(0)
    }

    fn add(&mut self, other: Findings) {
        self.missing += other.missing;
        self.lines += other.lines;
        self.lost += other.lost;
        for (kind, count) in other.wrong {
            *self.wrong.entry(kind).or_default() += count;
        }
        for (kind, told) in other.told {
            let all = self.told.entry(kind).or_default();
            all.extend(told);
            all.truncate(TOLD);
        }
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} lines, {} missing", self.lines, self.missing)?;
        for (kind, count) in &self.wrong {
            write!(f, ", {count} {kind}")?;
        }
        for (kind, told) in &self.told {
            for what in told {
                write!(f, "\n  {kind}: {what}")?;
            }
        }
        Ok(())
    }
}

/// The lines of a log.
struct Lines<'a> {
    content: &'a [u8],
    /// How many of them have an end. In an archive, one without an end may be stored: no more comes.
    complete: usize,
    /// First byte and the byte after the newline.
    all: Vec<(usize, usize)>,
    /// Which line an entry at this offset belongs to: its first byte, or the one after its NULs.
    by_offset: BTreeMap<u64, usize>,
}

impl Lines<'_> {
    fn of(content: &[u8], is_archive: bool) -> Lines<'_> {
        let mut lines = Lines { content, complete: 0, all: Vec::new(), by_offset: BTreeMap::new() };
        let mut start = 0;
        while start < content.len() {
            let end = line_end(content, start);
            let is_complete = content[end - 1] == b'\n';
            if !is_complete && !is_archive {
                break;
            }
            lines.complete += usize::from(is_complete);
            let nuls = content[start..end].iter().take_while(|&&byte| byte == 0).count();
            lines.by_offset.insert(start as u64, lines.all.len());
            lines.by_offset.insert((start + nuls) as u64, lines.all.len());
            lines.all.push((start, end));
            start = end;
        }
        lines
    }

    fn bytes(&self, nth: usize) -> &[u8] {
        let (start, end) = self.all[nth];
        &self.content[start..end]
    }

    /// Which line this entry at this offset is.
    fn stored_as(&self, offset: u64, entry: &Entry) -> Option<usize> {
        let nth = *self.by_offset.get(&offset)?;
        let line = &self.content[offset as usize..self.all[nth].1];
        let is_it = match entry {
            Entry::Reject(raw) => line.trim_ascii_end() == raw.trim_ascii_end(),
            // A field may hold a newline, so that a row begins in the line before its url.
            Entry::Row(url) => {
                holds(line, url) || self.all.len() > nth + 1 && holds(self.bytes(nth + 1), url)
            }
        };
        is_it.then_some(nth)
    }

    /// Which line stands at this offset, if it is this one.
    fn that_is(&self, offset: u64, line: &[u8]) -> Option<usize> {
        let nth = *self.by_offset.get(&offset)?;
        (self.content[offset as usize..self.all[nth].1] == *line).then_some(nth)
    }

    /// What stands at an offset, for a message.
    fn at(&self, offset: u64) -> String {
        match self.by_offset.get(&offset) {
            Some(nth) => format!("there {}", shown(self.bytes(*nth))),
            None if offset as usize >= self.content.len() => {
                format!("{} bytes", self.content.len())
            }
            None => "no line that begins there".to_owned(),
        }
    }
}

fn holds(line: &[u8], url: &str) -> bool {
    url.is_empty() || line.windows(url.len()).any(|part| part == url.as_bytes())
}

/// How many first bytes are the same.
pub(super) fn same_bytes(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// The end of the line that an offset is in.
fn line_end(content: &[u8], offset: usize) -> usize {
    let rest = content.get(offset..).unwrap_or_default();
    let length = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1);
    offset + length
}

/// A line for a message: short, and with its NULs counted.
pub(super) fn shown(bytes: &[u8]) -> String {
    let nuls = bytes.iter().take_while(|&&byte| byte == 0).count();
    let text = String::from_utf8_lossy(&bytes[nuls..]);
    let text: String = text.trim_end().chars().take(SHOWN).collect();
    let text = text.replace('\0', "\\0");
    if nuls == 0 { format!("'{text}'") } else { format!("{nuls} NULs and '{text}'") }
}

mod tests {
    use std::collections::BTreeMap;
    use std::path::PathBuf;

    use super::{Demand, Findings, Log, examine};
    use crate::power_cuts::stored::{Entry, Stored, StoredFile};

    fn content(numbers: std::ops::Range<u32>) -> Vec<u8> {
        numbers.map(|number| format!("GET /g1/{number} \n")).collect::<String>().into_bytes()
    }

    fn log() -> Log {
        let mut log = Log::new(1, PathBuf::from("/logs/a.log"), 7);
        log.content = content(0..10);
        log.wrote(std::str::from_utf8(&content(0..30)).unwrap());
        log
    }

    /// A logical file with a row for each complete line of these bytes from an offset on.
    fn rows(id: i64, content: &[u8], first: usize) -> StoredFile {
        let mut file = StoredFile {
            id,
            path: "/logs/a.log".to_owned(),
            inode: 7,
            first_offset: first as u64,
            committed: content.len() as u64,
            entries: BTreeMap::new(),
        };
        let mut at = first;
        for line in content[first..].split_inclusive(|byte| *byte == b'\n') {
            let url = String::from_utf8(line[4..line.len() - 2].to_vec()).unwrap();
            file.entries.insert(at as u64, Entry::Row(url));
            at += line.len();
        }
        file
    }

    fn judged(log: &mut Log, files: &[&StoredFile]) -> Findings {
        let files = files.iter().map(|file| (file.id, (*file).clone())).collect();
        let stored = Stored { files, twice: Vec::new() };
        examine(std::slice::from_mut(log), &stored, Demand::Complete)
    }

    #[test]
    fn each_line_once_is_right_and_a_missing_one_is_told() {
        let mut log = log();
        let whole = rows(1, &log.content, 0);
        assert!(judged(&mut log, &[&whole]).is_right());
        assert_eq!(log.stored(), 10);
        let mut log = self::log();
        let mut short = whole;
        short.entries.pop_last();
        let findings = judged(&mut log, &[&short]);
        assert!(findings.missing == 1 && findings.may_become_right(), "{findings}");
        assert!(findings.to_string().contains("line 10"), "{findings}");
    }

    #[test]
    fn rows_of_lines_that_a_cut_took_may_stay_and_only_they() {
        let cut = content(0..6);
        let after: Vec<u8> = [&cut[..], &content(20..25)[..]].concat();
        let (before, goes_on) = (rows(1, &content(0..10), 0), rows(2, &after, cut.len()));
        let stored_and_cut = || {
            let mut log = log();
            assert!(judged(&mut log, &[&before]).is_right());
            log.cut(cut.clone());
            log.content.clone_from(&after);
            log
        };
        let findings = judged(&mut stored_and_cut(), &[&before, &goes_on]);
        assert!(findings.is_right() && findings.lost == 4, "{findings}");
        // Read again from its beginning, as if it was another log; or one line too early.
        let findings = judged(&mut stored_and_cut(), &[&before, &rows(2, &after, 0)]);
        assert_eq!(findings.doubled(), 6, "{findings}");
        let early = rows(2, &after, content(0..5).len());
        assert_eq!(judged(&mut stored_and_cut(), &[&before, &early]).doubled(), 1);
        // Without a cut no row may be without its line.
        let mut log = log();
        assert!(judged(&mut log, &[&before]).is_right());
        log.content.clone_from(&after);
        let findings = judged(&mut log, &[&before, &goes_on]);
        assert_eq!(findings.wrong["without a line"], 4, "{findings}");
    }

    #[test]
    fn rests_of_stored_lines_need_no_entry_before_the_end_of_what_agrees() {
        let before = content(0..10);
        let mut holed = before.clone();
        let (from, to) = (content(0..3).len() + 5, content(0..5).len() + 7);
        holed[from..to].fill(0);
        let after: Vec<u8> = [&holed[..], &content(20..22)[..]].concat();
        let judged_with = |first: usize| {
            let mut log = log();
            assert!(judged(&mut log, &[&rows(1, &before, 0)]).is_right());
            log.cut(holed.clone());
            log.content.clone_from(&after);
            let mut next = rows(2, &after, before.len());
            next.first_offset = first as u64;
            judged(&mut log, &[&rows(1, &before, 0), &next])
        };
        let findings = judged_with(before.len());
        assert!(findings.is_right(), "{findings}");
        // The log goes on before the hole: what is left of the lines is due.
        assert_eq!(judged_with(content(0..3).len()).missing, 1);
    }

    #[test]
    fn a_row_without_url_is_what_is_left_of_a_line_and_no_whole_one() {
        let mut log = log();
        let mut file = rows(1, &log.content, 0);
        file.entries.insert(0, Entry::Row(String::new()));
        assert_eq!(judged(&mut log, &[&file]).wrong["without a line"], 1);
        log.content[4] = b'x';
        assert!(judged(&mut log, &[&file]).is_right());
    }

    #[test]
    fn entries_that_vanish_or_stand_before_their_file_are_found() {
        let mut log = log();
        assert!(judged(&mut log, &[&rows(1, &content(0..10), 0)]).is_right());
        log.cut(content(0..6));
        let findings = judged(&mut log, &[&rows(1, &content(0..6), 0)]);
        assert_eq!(findings.wrong["vanished"], 4, "{findings}");
        let mut log = self::log();
        let mut file = rows(1, &content(0..10), 0);
        file.first_offset = 1;
        assert_eq!(judged(&mut log, &[&file]).wrong["out of range"], 1);
    }
}
