//! Puts the lines of one file together again, in the order of their offsets, and lists where the result is not
//! for certain what the log was.
//!
//! A line's offset and that of the next one tell how long it was with its end. So an end of one or two bytes need
//! not be stored, and a place where a line is missing is seen.

use std::io::{self, Write};

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::format::{Layout, STARS};
use crate::model::{
    Micros, NulRun, RejectCode, RejectedLine, StoredRow, form_at, hex, patched, unkept_length,
};
use crate::pipeline::line_patches::first_line;
use crate::source::BYTE_ORDER_MARK;
use crate::store::{FileReport, StoredLine};

/// The most differences that are kept: those after them are counted.
const MOST_DIFFERENCES: usize = 1000;

/// Zeros that are written at once.
const ZEROS: [u8; 4096] = [0; 4096];

/// Why bytes of an export are not for certain those of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A secret was masked when the line was stored: stars are written in its place.
    Masked,
    /// The configuration leaves the line out: nothing is written.
    Excluded,
    /// A sweep has removed the line: nothing is written.
    Expired,
    /// The configuration leaves the line out, or a sweep has removed it: nothing is written.
    ExcludedOrExpired,
    /// Nothing is stored of these bytes, and neither a sweep nor the configuration explains it.
    Missing,
    /// The line was too long: only its first bytes are stored, and they are written.
    TooLong,
    /// A version stored the line that kept no differences, or another format has read it: it is written as its
    /// server usually writes it.
    Uncertain,
    /// What is stored does not fit between the offsets of the line and of the next one.
    DoesNotFit,
    /// A line of JSON, whose keys have no order in the database: nothing is written.
    Json,
    /// The envelope of a container runtime is not stored: what the program wrote is written.
    Envelope,
    /// The digest of what is written is not that of the log, although no line is known to differ.
    Digest,
}

impl Cause {
    /// Returns the cause in words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Masked => "secrets were masked: stars stand in their place",
            Self::Excluded => "left out by the configuration: nothing is stored",
            Self::Expired => "past the retention: nothing is stored any more",
            Self::ExcludedOrExpired => {
                "left out by the configuration, or past the retention: nothing is stored"
            }
            Self::Missing => "nothing is stored, for a reason that is not known: erased, perhaps",
            Self::TooLong => "too long: only the first bytes of the line are stored",
            Self::Uncertain => {
                "not certain to be exact: stored by an older version, or read by another format"
            }
            Self::DoesNotFit => "not exact: what is stored does not fit in its place",
            Self::Json => "lines of JSON, of which the order of keys is not stored: not written",
            Self::Envelope => {
                "without the envelopes of the container runtime, as such lines usually are: times in UTC, stars for secrets"
            }
            Self::Digest => "not exact: the digest differs, and it is not known where",
        }
    }
}

/// Bytes of the log that an export does not hold for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// Why.
    pub cause: Cause,
    /// The offset of the first byte in the log.
    pub from: u64,
    /// The offset after the last one.
    pub to: u64,
    /// How many stored lines are there.
    pub lines: u64,
}

/// What was written of a log.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Exported {
    /// Bytes that were written.
    pub bytes: u64,
    /// Lines that were written.
    pub lines: u64,
    /// SHA-256 of what was written, in hexadecimal, by the definition of `log_file.digest`.
    pub sha256: String,
    /// Where the log differs, or may differ, in the order of offsets.
    pub differences: Vec<Deviation>,
    /// Differences after those.
    pub more_differences: u64,
}

/// What is known of a file besides its lines.
pub(crate) struct Source<'a> {
    pub(crate) report: &'a FileReport,
    /// The layout of its format, then those of the other formats that have read lines of it.
    pub(crate) layouts: Vec<Layout>,
    /// Whether its lines are in the envelopes of a container runtime.
    pub(crate) has_envelopes: bool,
    /// Rows from before this time may have been removed by a sweep.
    pub(crate) swept_before: Option<Micros>,
}

/// A line whose end is not known yet.
struct Pending {
    offset: u64,
    bytes: Vec<u8>,
    cause: Option<Cause>,
    /// Other bytes that the line may have.
    others: Vec<Vec<u8>>,
    /// How long the line was without its end, where `bytes` do not say it.
    length: Option<u64>,
}

/// Writes the lines of one file.
pub(crate) struct LineWriter<'a, W> {
    source: Source<'a>,
    out: W,
    hasher: Sha256,
    exported: Exported,
    /// The offset after the bytes that were written, or are known to be missing.
    at: u64,
    pending: Option<Pending>,
    /// The runs of NULs that were not written yet, in order.
    nul_runs: std::vec::IntoIter<NulRun>,
    next_run: Option<NulRun>,
    /// Whether the last line ended in CR LF.
    ends_in_return: bool,
    /// Whether the last row with a time is too new for a sweep.
    is_new: bool,
}

impl<'a, W: Write> LineWriter<'a, W> {
    /// Begins at an offset of the file.
    pub(crate) fn from(source: Source<'a>, offset: u64, out: W) -> Self {
        let runs = source.report.checkpoint.nul_runs.iter().copied();
        let runs: Vec<NulRun> = runs.filter(|run| run.end() > offset).collect();
        let mut nul_runs = runs.into_iter();
        let next_run = nul_runs.next();
        Self {
            source,
            out,
            hasher: Sha256::new(),
            exported: Exported::default(),
            at: offset,
            pending: None,
            nul_runs,
            next_run,
            ends_in_return: false,
            is_new: false,
        }
    }

    /// Takes the next line.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn line(&mut self, offset: u64, line: &StoredLine) -> io::Result<()> {
        self.go_to(offset)?;
        let pending = match line {
            StoredLine::Row(row) => self.row(offset, row),
            StoredLine::Request(_) => Pending::new(offset, Vec::new(), Some(Cause::Json)),
            StoredLine::Reject(reject) => self.reject(offset, reject),
        };
        if let StoredLine::Row(row) = line {
            self.is_new = self.source.swept_before.is_none_or(|cutoff| row.timestamp >= cutoff);
        }
        self.pending = Some(pending);
        Ok(())
    }

    /// Writes the last line, and ends at an offset. `digest` is what the digest of all that was written should
    /// be, if all of the file was.
    ///
    /// # Errors
    /// Those of the output.
    pub(crate) fn end(mut self, offset: u64, digest: Option<[u8; 32]>) -> io::Result<Exported> {
        self.go_to(offset)?;
        self.out.flush()?;
        let sum: [u8; 32] = self.hasher.finalize().into();
        let mut exported = self.exported;
        exported.sha256 = hex(&sum);
        match digest {
            // All doubts are without cause then.
            Some(digest) if digest == sum => {
                exported.differences.clear();
                exported.more_differences = 0;
            }
            Some(_) if exported.differences.is_empty() => exported.differences.push(Deviation {
                cause: Cause::Digest,
                from: self.source.report.checkpoint.first_offset,
                to: offset,
                lines: exported.lines,
            }),
            _ => {}
        }
        Ok(exported)
    }

    /// Returns the line of a row.
    fn row(&self, offset: u64, row: &StoredRow) -> Pending {
        let known = &self.source.report.checkpoint;
        let form = form_at(&known.line_forms, offset);
        let line_by = |layout: &Layout| {
            let line = layout.line_of(row, &form)?;
            Some(match self.source.has_envelopes {
                true => line.into_bytes(),
                false => first_line(&line).to_vec(),
            })
        };
        let Some(line) = self.source.layouts.first().and_then(line_by) else {
            return Pending::new(offset, Vec::new(), Some(Cause::Json));
        };
        if self.source.has_envelopes {
            return Pending::new(offset, line, Some(Cause::Envelope));
        }
        if let Some(length) = row.patch.as_deref().and_then(unkept_length) {
            let length = Some(length as u64);
            return Pending { length, ..Pending::new(offset, line, Some(Cause::Masked)) };
        }
        if offset < known.patched_from {
            return self.older_row(offset, row, line, line_by);
        }
        match row.patch.as_deref().map(|patch| patched(&line, patch)) {
            None => Pending::new(offset, line, None),
            Some(Some(line)) => Pending::new(offset, line, None),
            Some(None) => Pending::new(offset, line, Some(Cause::DoesNotFit)),
        }
    }

    /// Returns the line of a row of which it is not known which format has read it, or whether it should have a
    /// patch. `line` is what it gives by the format of the file.
    fn older_row(
        &self,
        offset: u64,
        row: &StoredRow,
        line: Vec<u8>,
        line_by: impl Fn(&Layout) -> Option<Vec<u8>>,
    ) -> Pending {
        let with_patch = |line: Vec<u8>| match row.patch.as_deref() {
            Some(patch) => patched(&line, patch),
            None => Some(line),
        };
        let mut lines = self.source.layouts.iter().filter_map(line_by).filter_map(with_patch);
        let Some(first) = lines.next() else {
            return Pending::new(offset, line, Some(Cause::DoesNotFit));
        };
        let has_stars = memchr::memmem::find(&first, STARS.as_bytes()).is_some();
        let cause = if has_stars { Cause::Masked } else { Cause::Uncertain };
        let others = lines.collect();
        Pending { others, ..Pending::new(offset, first, Some(cause)) }
    }

    fn reject(&self, offset: u64, line: &RejectedLine) -> Pending {
        let raw = &line.raw;
        let cause = if line.code == Some(RejectCode::TooLong) {
            Some(Cause::TooLong)
        } else if self.source.has_envelopes {
            Some(Cause::Envelope)
        } else if memchr::memmem::find(raw, STARS.as_bytes()).is_some() {
            Some(Cause::Masked)
        } else {
            None
        };
        // What stands in the place of the stars may have had another length.
        let around_stars = line.stride().checked_sub(raw.len() as u64);
        let length = match cause {
            Some(Cause::Masked) if !matches!(around_stars, Some(1 | 2)) => {
                line.stride().checked_sub(1)
            }
            _ => None,
        };
        Pending { length, ..Pending::new(offset, raw.clone(), cause) }
    }

    /// Writes the pending line, and what is before `offset` after it.
    fn go_to(&mut self, offset: u64) -> io::Result<()> {
        if let Some(pending) = self.pending.take() {
            let run = self.next_run.map(|run| run.offset).filter(|run| *run > pending.offset);
            self.settle(pending, run.map_or(offset, |run| run.min(offset)))?;
        }
        while let Some(run) = self.next_run.filter(|run| run.end() <= offset) {
            self.missing_to(run.offset);
            let offset = self.at.max(run.offset);
            self.nuls(NulRun { offset, length: run.end() - offset })?;
            self.at = run.end();
            self.next_run = self.nul_runs.next();
        }
        self.missing_to(offset);
        Ok(())
    }

    /// Writes a line that ends at `end` or before.
    fn settle(&mut self, line: Pending, end: u64) -> io::Result<()> {
        let Pending { offset, bytes, cause, others, length } = line;
        let room = end.saturating_sub(offset);
        if let Some(cause @ (Cause::Json | Cause::Envelope)) = cause {
            self.differs(Deviation { cause, from: offset, to: end, lines: 1 });
            if cause == Cause::Envelope {
                self.write(&bytes)?;
                self.write(b"\n")?;
                self.exported.lines += 1;
            }
            self.at = end;
            return Ok(());
        }
        // The bytes after a line that are no more than its end.
        let end_after = |length: u64| match room.checked_sub(length) {
            Some(length @ 0..=2) => Some(length),
            _ => None,
        };
        let is_old = matches!(cause, Some(Cause::Uncertain | Cause::Masked)) && length.is_none();
        let others = others.into_iter().filter(|_| is_old);
        let fits = |bytes: &Vec<u8>| end_after(bytes.len() as u64).is_some();
        let mut bytes = match fits(&bytes) {
            true => bytes,
            false => { others }.find(fits).unwrap_or(bytes),
        };
        let mark = BYTE_ORDER_MARK.len() as u64;
        if is_old && offset == 0 && !fits(&bytes) && end_after(bytes.len() as u64 + mark).is_some()
        {
            bytes.splice(..0, BYTE_ORDER_MARK.iter().copied());
        }
        let written = bytes.len() as u64;
        let told = length.unwrap_or(written);
        // How long the line was with its end. Of a masked line that does not say it, all up to the next one.
        let (line_end, mut cause) = match (end_after(told), cause) {
            (Some(0), cause) => (&b""[..], cause),
            (Some(1), cause) => (&b"\n"[..], cause),
            (Some(_), cause) => {
                // An empty line may be missing after one that ends in a line feed.
                let is_doubtful = !self.ends_in_return && self.source.swept_before.is_some();
                let cause = cause.or(is_doubtful.then_some(Cause::Uncertain));
                (&b"\r\n"[..], cause)
            }
            (None, None) if told > room => (&b"\n"[..], Some(Cause::DoesNotFit)),
            (None, cause) => (if self.ends_in_return { &b"\r\n"[..] } else { &b"\n"[..] }, cause),
        };
        self.ends_in_return = line_end == b"\r\n";
        let is_misfit = is_old && end_after(told).is_none();
        if is_misfit && cause == Some(Cause::Uncertain) {
            cause = Some(Cause::DoesNotFit);
        }
        let covers_all = is_misfit || matches!(cause, Some(Cause::TooLong | Cause::DoesNotFit));
        self.at = match covers_all {
            true => end,
            false => end.min(offset + told + line_end.len() as u64),
        };
        if let Some(cause) = cause {
            self.differs(Deviation { cause, from: offset, to: self.at, lines: 1 });
        }
        self.exported.lines += 1;
        self.write(&bytes)?;
        self.write(line_end)
    }

    /// Lists the bytes up to an offset, if nothing is stored of them.
    fn missing_to(&mut self, offset: u64) {
        if offset <= self.at {
            return;
        }
        let report = self.source.report;
        let may_be_excluded = report.excluded > 0;
        let may_be_expired = self.source.swept_before.is_some() && !self.is_new;
        let cause = match (may_be_excluded, may_be_expired) {
            (true, true) => Cause::ExcludedOrExpired,
            (true, false) => Cause::Excluded,
            (false, true) => Cause::Expired,
            // What is stored out of the order of time may be swept too.
            (false, false) if self.source.swept_before.is_some() => Cause::Expired,
            (false, false) => Cause::Missing,
        };
        self.differs(Deviation { cause, from: self.at, to: offset, lines: 0 });
        self.at = offset;
    }

    /// Lists bytes that differ, together with those just before them if these have the same cause.
    fn differs(&mut self, difference: Deviation) {
        let differences = &mut self.exported.differences;
        if let Some(last) = differences.last_mut()
            && last.cause == difference.cause
            && last.to == difference.from
        {
            last.to = difference.to;
            last.lines += difference.lines;
        } else if differences.len() < MOST_DIFFERENCES {
            differences.push(difference);
        } else {
            self.exported.more_differences += 1;
        }
    }

    fn nuls(&mut self, run: NulRun) -> io::Result<()> {
        let mut left = run.length;
        while left > 0 {
            let length = usize::try_from(left).map_or(ZEROS.len(), |left| left.min(ZEROS.len()));
            self.out.write_all(&ZEROS[..length])?;
            left -= length as u64;
        }
        self.exported.bytes += run.length;
        let digested = usize::try_from(run.length - run.undigested()).unwrap_or(0);
        self.hasher.update(&ZEROS[..digested.min(ZEROS.len())]);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.exported.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }
}

impl Pending {
    fn new(offset: u64, bytes: Vec<u8>, cause: Option<Cause>) -> Self {
        Self { offset, bytes, cause, others: Vec::new(), length: None }
    }
}
