//! One page of lines: what the file says of them against what the store holds of them.

use std::net::IpAddr;

use crate::format::LineParser;
use crate::model::Micros;
use crate::store::StoredLine;

use crate::commands::verify::FileVerdict;
use crate::commands::verify::difference::{Difference, compare_rows, describe};
use crate::commands::verify::window::Window;

/// Which lines a sweep may have removed since the file was registered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Swept {
    /// Rows from before this time are gone.
    pub(crate) cutoff: Option<Micros>,
    /// Lines of the file cannot have been stored before this time, and rows without a time of
    /// their own do not have an older one.
    pub(crate) not_before: Micros,
}

impl Swept {
    fn may_have(self, line: &StoredLine, estimated: bool) -> bool {
        let Some(cutoff) = self.cutoff else { return false };
        match line {
            StoredLine::Row(row) if !estimated => row.timestamp < cutoff,
            StoredLine::Request(row) => row.line.timestamp < cutoff,
            _ => self.not_before < cutoff,
        }
    }
}

/// One page of a file.
pub(crate) struct Page<'a> {
    pub(crate) window: &'a Window,
    /// Masks the file's lines as rejects are masked.
    pub(crate) parser: &'a LineParser,
    /// Offset of its first line, and its number in the file.
    pub(crate) from: u64,
    pub(crate) first_line: u64,
    pub(crate) stored: &'a [(u64, StoredLine)],
    pub(crate) swept: Swept,
}

impl Page<'_> {
    /// Compares every place where either side has a line, and counts those that are the same.
    /// `estimated`: the file says no times.
    pub(crate) fn compare(
        &self,
        expected: &[(u64, StoredLine)],
        estimated: bool,
        verdict: &mut FileVerdict,
    ) -> Vec<Difference> {
        let mut found = Vec::new();
        // Both are in order: one walk, since a page may have many lines of few rejects.
        let (mut expected, mut stored) = (expected, self.stored);
        let mut counted = (self.from, self.first_line);
        while let Some(offset) = next_of(expected, stored) {
            let (here, after) = expected.split_at(count_first(expected, offset));
            let (stored_here, stored_after) = stored.split_at(count_first(stored, offset));
            (expected, stored) = (after, stored_after);
            let wanted = here.first().map(|(_, line)| line);
            if let Err(difference) = self.one(offset, wanted, stored_here, estimated, verdict) {
                let line = self.line_number(offset, &mut counted);
                found.push(Difference { offset: Some(offset), line, ..difference });
            }
        }
        found
    }

    /// Whether the store holds at `offset` what another format makes of the line there.
    pub(crate) fn is_settled_by(
        &self,
        expected: &[(u64, StoredLine)],
        estimated: bool,
        difference: &Difference,
        verdict: &mut FileVerdict,
    ) -> bool {
        let Some(offset) = difference.offset else { return false };
        match at(expected, offset).first() {
            Some((_, line)) => {
                let stored = at(self.stored, offset);
                self.one(offset, Some(line), stored, estimated, verdict).is_ok()
            }
            // By the other format the line is left out.
            None => at(self.stored, offset).is_empty() && self.window.line(offset).is_some(),
        }
    }

    /// Compares the line at `offset` with all that is stored there.
    fn one(
        &self,
        offset: u64,
        wanted: Option<&StoredLine>,
        stored: &[(u64, StoredLine)],
        estimated: bool,
        verdict: &mut FileVerdict,
    ) -> Result<(), Difference> {
        let nothing = || "nothing".to_owned();
        let told = |wanted: Option<&StoredLine>| match wanted {
            Some(line) => describe(line),
            None if self.window.line(offset).is_some() => "a line that is left out".to_owned(),
            None => "no line begins here".to_owned(),
        };
        match (wanted, stored) {
            (wanted, [(_, first), (_, second), ..]) => {
                let both = format!("{} and {}", describe(first), describe(second));
                Err(Difference::whole("line", told(wanted), both))
            }
            (Some(line), []) if self.swept.may_have(line, estimated) => {
                verdict.swept += 1;
                Ok(())
            }
            (Some(line), []) => {
                let difference = Difference::whole("line", describe(line), nothing());
                Err(Difference { is_hole: self.is_hole(offset, wanted), ..difference })
            }
            (Some(StoredLine::Row(wanted)), [(_, StoredLine::Row(stored))]) => {
                compare_rows(&**wanted, &**stored, estimated)?;
                verdict.rows += 1;
                verdict.by_older_rule += u64::from(is_by_older_rule(stored.user_ip));
                Ok(())
            }
            (Some(StoredLine::Request(wanted)), [(_, StoredLine::Request(stored))]) => {
                compare_rows(&**wanted, &**stored, false)?;
                verdict.rows += 1;
                verdict.by_older_rule += u64::from(is_by_older_rule(stored.line.ip_address));
                Ok(())
            }
            (Some(StoredLine::Reject(wanted)), [(_, StoredLine::Reject(stored))])
                if wanted.raw == stored.raw =>
            {
                verdict.rejected += 1;
                Ok(())
            }
            // A reject keeps the line's bytes, masked or not, and so says what the file says, whether
            // the line can be read today or not: the database refused its row, or the rest of its
            // record had not been written yet.
            (_, [(_, StoredLine::Reject(reject))])
                if self.window.holds(offset, &reject.raw, self.parser) =>
            {
                verdict.rejected += 1;
                verdict.readable +=
                    u64::from(matches!(wanted, Some(StoredLine::Row(_) | StoredLine::Request(_))));
                Ok(())
            }
            (wanted, [(_, stored)]) => {
                let difference = Difference::whole("line", told(wanted), describe(stored));
                Err(Difference { is_hole: self.is_hole(offset, wanted), ..difference })
            }
            (None, []) => Ok(()),
        }
    }

    /// Returns whether NULs are in this place, or in the line there, which is none because of them.
    fn is_hole(&self, offset: u64, wanted: Option<&StoredLine>) -> bool {
        match wanted {
            None => self.window.bytes(offset).is_some_and(|bytes| bytes.first() == Some(&0)),
            Some(StoredLine::Reject(reject)) => reject.raw.contains(&0),
            Some(_) => false,
        }
    }

    /// Returns the number of the line at `offset`. `counted` are offset and number of a line before it, and
    /// become those of this one, so that no line is counted twice.
    fn line_number(&self, offset: u64, counted: &mut (u64, u64)) -> Option<u64> {
        let length = usize::try_from(offset.checked_sub(counted.0)?).ok()?;
        let before = self.window.bytes(counted.0)?.get(..length)?;
        *counted = (offset, counted.1 + memchr::memchr_iter(b'\n', before).count() as u64);
        Some(counted.1)
    }
}

/// Returns whether an address is one of IPv4 within IPv6, which is stored as one of IPv4 today.
fn is_by_older_rule(address: Option<IpAddr>) -> bool {
    address.is_some_and(|address| address.to_canonical() != address)
}

/// Returns the least offset of a line in either list.
fn next_of(one: &[(u64, StoredLine)], other: &[(u64, StoredLine)]) -> Option<u64> {
    match (one.first(), other.first()) {
        (Some((one, _)), Some((other, _))) => Some(*one.min(other)),
        (one, other) => one.or(other).map(|(offset, _)| *offset),
    }
}

/// Returns how many lines at `offset` a list begins with.
fn count_first(lines: &[(u64, StoredLine)], offset: u64) -> usize {
    lines.iter().take_while(|(at, _)| *at == offset).count()
}

/// All lines at `offset`.
pub(crate) fn at(lines: &[(u64, StoredLine)], offset: u64) -> &[(u64, StoredLine)] {
    let from = lines.partition_point(|(at, _)| *at < offset);
    let to = lines.partition_point(|(at, _)| *at <= offset);
    &lines[from..to]
}
