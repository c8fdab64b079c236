//! Turns the bytes of a file into complete lines.
//!
//! A line ends at `\n`, and one `\r` before it belongs to the end. A line without an end stays unread,
//! because its writer may still be writing it. Before the read position the buffer keeps the last
//! [`TAIL_FINGERPRINT_LENGTH`] bytes, so that the fingerprint of a committed position needs no second
//! read. Read bytes go into the digest of the file when they leave the buffer, or when the digest is
//! needed. A line longer than [`MAX_LINE`] is skipped in turns, and hashed on the way.
//!
//! NULs before the first byte of a line are no part of it: the line begins after them. They are skipped
//! in turns too, and taken with their line. So a position never stands after NULs without a line.

use std::io;

use sha2::Sha256;
use sha2::digest::common::hazmat::{SerializableState, SerializedState};
use sha2::digest::{FixedOutput, Update};

use crate::model::{
    DIGEST_BLOCK, Digest, Fingerprint, FormChange, FormTotals, MAX_NUL_RUNS, MAX_OFFSET, NulRun,
    NulTotals, Position,
};

use super::fingerprint::{TAIL_FINGERPRINT_LENGTH, print_of_history};
use super::nuls::{ByteSource, leading_nuls};

/// The longest line that is read as one (4 MiB), in bytes.
pub const MAX_LINE: usize = 4 << 20;

/// How many bytes of a longer line are kept for its reject (64 KiB).
pub const TOO_LONG_KEPT: usize = 64 << 10;

/// The number of bytes asked for in one read (256 KiB).
const READ_SIZE: usize = 256 << 10;

/// What programs on Windows write at the beginning of a file in UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Returns bytes without the byte order mark at their beginning.
pub fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// Returns the text of a line at `offset`: a byte order mark at the beginning of the file is not in
/// its first value. It is a part of the line, whose offset is 0, and of the digest.
pub fn text_at(offset: u64, line: &[u8]) -> &[u8] {
    if offset == 0 { without_byte_order_mark(line) } else { line }
}

/// One complete line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The offset of the line's first byte in the logical file.
    pub offset: u64,
    /// The bytes of the line, without its end; [`text_at`] is what is in them. Of a line that is too long, the first
    /// [`TOO_LONG_KEPT`].
    pub bytes: &'a [u8],
    /// The offset of the first byte after the line's end.
    pub end: u64,
    /// Whether the line is longer than [`MAX_LINE`], so that `bytes` is not all of it.
    pub too_long: bool,
}

/// A line that has grown past [`MAX_LINE`].
#[derive(Clone, Debug)]
struct TooLong {
    /// The position before it and the NULs before it. Its bytes are skipped before the caller takes the
    /// line.
    begin: Position,
    /// The offset of its first byte.
    offset: u64,
    kept: Vec<u8>,
    /// The offset after its end, once that is found.
    end: Option<u64>,
}

/// NULs before a line that is not taken yet.
#[derive(Clone, Copy, Debug)]
struct PendingNuls {
    /// The position before them.
    begin: Position,
    run: NulRun,
    /// Whether the byte after them is known.
    ended: bool,
}

/// Which NULs before lines are skipped.
#[derive(Clone, Debug, Default)]
enum Skip {
    /// All of them, until a file has [`MAX_NUL_RUNS`] runs.
    #[default]
    All,
    /// These runs, in order.
    Known(Vec<NulRun>),
}

/// What was skipped of a line that is not taken yet: the NULs before it, and its bytes if it is too
/// long and has not ended. So other files are read meanwhile, and nothing of it is read again when it
/// grows.
#[derive(Clone, Debug)]
pub struct SkippedLine {
    /// The position before all of it.
    begin: Position,
    nuls: Option<PendingNuls>,
    line: Option<TooLong>,
    skipped_to: u64,
    /// The digest of all bytes before `skipped_to`.
    hasher: Option<Hasher>,
    totals: NulTotals,
}

impl SkippedLine {
    /// Returns the offset of the first skipped byte.
    pub fn offset(&self) -> u64 {
        self.begin.offset
    }

    /// Returns the offset after the last skipped byte.
    pub fn skipped_to(&self) -> u64 {
        self.skipped_to
    }

    /// Returns how many of the bytes before [`SkippedLine::skipped_to`] are NULs before the line.
    pub fn nuls(&self) -> u64 {
        match (&self.nuls, &self.line) {
            (Some(nuls), None) => nuls.run.length,
            _ => 0,
        }
    }
}

/// A buffer on a stream of bytes, which returns complete lines.
#[derive(Debug, Default)]
pub struct Lines {
    buffer: Vec<u8>,
    /// The first unread byte in `buffer`. The bytes before it are kept for the tail fingerprint.
    start: usize,
    /// The first byte in `buffer` that is not filled.
    filled: usize,
    /// The number of bytes from `start` on that are known to hold no line end.
    searched: usize,
    /// The offset of `buffer[start]` in the logical file.
    offset: u64,
    /// The digest of all bytes of the file before `buffer[hashed]`. `None` if the digest is not
    /// wanted, or was not known where reading began.
    hasher: Option<Hasher>,
    hashed: usize,
    too_long: Option<TooLong>,
    /// Where the logical file begins.
    first_offset: u64,
    /// NULs just before `start`.
    nuls: Option<PendingNuls>,
    /// The NULs that were skipped before the next line, or are being skipped.
    totals: NulTotals,
    /// How the lines that were taken are written.
    form: FormTotals,
    /// The forms that the store has; `None` if it gets them from here.
    known_forms: Option<Vec<FormChange>>,
    /// Runs of NULs whose lines were taken since [`Lines::take_nul_runs`].
    runs: Vec<NulRun>,
    skip: Skip,
    /// The offset before which no further line is known to begin with NUL.
    no_run_before: u64,
}

impl Lines {
    /// Starts at `position`. `history` must be the bytes just before it, as many as a tail
    /// fingerprint covers. The digest is kept up from here on, if `position` has one.
    pub fn reset(&mut self, position: &Position, history: &[u8]) {
        self.buffer.truncate(4 * READ_SIZE);
        self.buffer.shrink_to(4 * READ_SIZE); // so that one huge line does not keep its memory
        if self.buffer.len() < history.len() {
            self.buffer.resize(READ_SIZE.max(history.len()), 0);
        }
        self.buffer[..history.len()].copy_from_slice(history);
        self.start = history.len();
        self.filled = history.len();
        self.searched = 0;
        self.offset = position.offset;
        self.first_offset = position.first_offset;
        self.too_long = None;
        self.nuls = None;
        self.totals = position.nuls;
        self.form = position.form;
        self.runs.clear();
        self.no_run_before = 0;
        self.hasher = Hasher::at(position, history);
        self.hashed = self.start;
    }

    /// Skips these runs of NULs, in order, and no others: those that the store has.
    pub fn expect_nul_runs(&mut self, runs: Vec<NulRun>) {
        self.skip = Skip::Known(runs);
    }

    /// Takes these forms of lines, in the order of their offsets, for those of the file: those that the store has.
    pub fn expect_forms(&mut self, forms: Vec<FormChange>) {
        self.known_forms = Some(forms);
    }

    /// Returns the forms that the store has; `None` if it gets them from here.
    pub fn known_forms(&self) -> Option<&[FormChange]> {
        self.known_forms.as_deref()
    }

    /// Returns how the lines that were taken are written.
    pub fn form(&self) -> FormTotals {
        self.form
    }

    /// Takes note of how the lines that were taken are written.
    pub fn set_form(&mut self, form: FormTotals) {
        self.form = form;
    }

    /// Returns the offset of the first byte that is not taken.
    pub fn offset(&self) -> u64 {
        match (&self.nuls, &self.too_long) {
            (Some(nuls), _) => nuls.begin.offset,
            (None, Some(line)) => line.begin.offset,
            (None, None) => self.offset,
        }
    }

    /// Returns the offset of the first byte of the next line, after the NULs that were skipped so far.
    pub fn line_offset(&self) -> u64 {
        self.too_long.as_ref().map_or(self.offset, |line| line.offset)
    }

    /// Returns the offset after the last byte that was read from the source.
    pub fn read_to(&self) -> u64 {
        self.offset + (self.filled - self.start) as u64
    }

    /// Returns whether the first unread byte begins a line. It does not after a last line that was
    /// taken without its end.
    pub fn at_line_start(&self) -> bool {
        self.start == 0
            || self.buffer[self.start - 1] == b'\n'
            || self.too_long.is_some()
            || self.nuls.is_some()
    }

    /// Returns whether the next line is one without NULs before it, as nearly every line is.
    pub fn is_plain(&self) -> bool {
        self.at_line_start() && self.too_long.is_none() && self.nuls.is_none()
    }

    /// Returns the bytes that were read from the source and not taken, after the NULs that were skipped.
    pub fn partial(&self) -> &[u8] {
        &self.buffer[self.start..self.filled]
    }

    /// Returns whether the first unread byte is that of a byte order mark at the beginning of the file.
    pub fn at_byte_order_mark(&self) -> bool {
        self.offset == 0 && self.partial().starts_with(BYTE_ORDER_MARK)
    }

    /// Reads once from `source` and returns the number of bytes. 0 means the end of the source for
    /// now. A hole among NULs before a line counts as read.
    ///
    /// # Errors
    /// Errors of the source, and a source longer than [`MAX_OFFSET`]. No byte is lost then.
    pub fn fill(&mut self, source: &mut dyn ByteSource) -> io::Result<usize> {
        self.make_room();
        let passed = self.pass_hole(source)?;
        let room = usize::try_from(MAX_OFFSET.saturating_sub(self.read_to())).unwrap_or(usize::MAX);
        if room == 0 {
            let why = "no line is stored after the first 256 GiB of a log: rotate it";
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
        }
        let end = self.buffer.len().min(self.filled.saturating_add(room));
        let read = loop {
            match source.read(&mut self.buffer[self.filled..end]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.filled += read;
        self.skip_nuls();
        Ok(read.saturating_add(usize::try_from(passed).unwrap_or(usize::MAX)))
    }

    /// Passes over a hole, if NULs before a line are being skipped and all that was read is NUL.
    /// Returns its length.
    fn pass_hole(&mut self, source: &mut dyn ByteSource) -> io::Result<u64> {
        let Some(nuls) = self.nuls.filter(|nuls| !nuls.ended && self.start == self.filled) else {
            return Ok(0);
        };
        let most = self.longest_run(nuls.run.offset).saturating_sub(nuls.run.length);
        let passed = source.skip_hole(most.min(MAX_OFFSET.saturating_sub(self.offset)))?;
        // As much of it as a tail fingerprint may cover stands in the buffer.
        let shown = usize::try_from(passed)
            .map_or(TAIL_FINGERPRINT_LENGTH, |passed| passed.min(TAIL_FINGERPRINT_LENGTH));
        self.buffer[self.filled..self.filled + shown].fill(0);
        self.filled += shown;
        self.start = self.filled;
        self.hashed = self.start;
        self.offset += passed;
        if let Some(nuls) = &mut self.nuls {
            nuls.run.length += passed;
        }
        Ok(passed)
    }

    /// Returns how many NULs from `offset` on are skipped, if they stand before a line.
    fn longest_run(&self, offset: u64) -> u64 {
        match &self.skip {
            Skip::All if self.totals.runs < MAX_NUL_RUNS => u64::MAX,
            Skip::All => 0,
            Skip::Known(runs) => runs
                .binary_search_by_key(&offset, |run| run.offset)
                .map_or(0, |found| runs[found].length),
        }
    }

    /// Skips NULs before the next line, as far as they were read. Returns `false` if more of them may
    /// follow.
    pub fn skip_nuls(&mut self) -> bool {
        let is_nul = self.partial().first() == Some(&0);
        if self.nuls.is_none() && is_nul && self.is_plain() && self.longest_run(self.offset) > 0 {
            let (begin, run) = (self.position(), NulRun { offset: self.offset, length: 0 });
            self.nuls = Some(PendingNuls { begin, run, ended: false });
        }
        let Some(mut nuls) = self.nuls.filter(|nuls| !nuls.ended) else { return true };
        let most = self.longest_run(nuls.run.offset).saturating_sub(nuls.run.length);
        let unread = &self.buffer[self.start..self.filled];
        let length = usize::try_from(most).map_or(unread.len(), |most| most.min(unread.len()));
        let skipped = leading_nuls(&unread[..length]);
        self.start += skipped;
        self.hashed = self.start;
        self.searched = 0;
        self.offset += skipped as u64;
        nuls.run.length += skipped as u64;
        nuls.ended = self.start < self.filled || skipped as u64 == most;
        if nuls.ended {
            self.totals.add(nuls.run);
            if let Some(hasher) = &mut self.hasher {
                hasher.update_nuls(nuls.run);
            }
        }
        self.nuls = Some(nuls);
        nuls.ended
    }

    /// Returns the runs of NULs whose lines were taken since the last call.
    pub fn take_nul_runs(&mut self) -> Vec<NulRun> {
        std::mem::take(&mut self.runs)
    }

    /// Returns the number of bytes, after the next line's first, before a further line that begins with
    /// NULs to be skipped; `None` if there is none among what was read. Each byte is searched once.
    pub fn next_run(&mut self) -> Option<usize> {
        let known = usize::try_from(self.no_run_before.saturating_sub(self.offset)).unwrap_or(0);
        let unread = &self.buffer[self.start..self.filled];
        let mut from = known.max(1).min(unread.len());
        let found = loop {
            let Some(at) = memchr::memchr(0, &unread[from..]).map(|at| at + from) else {
                break None;
            };
            if unread[at - 1] == b'\n' && self.longest_run(self.offset + at as u64) > 0 {
                break Some(at);
            }
            from = at + 1;
        };
        self.no_run_before = self.offset + found.unwrap_or(unread.len()) as u64;
        found
    }

    /// Moves the unread bytes, and those for the tail fingerprint before them, to the front. The
    /// buffer grows while one line fills it.
    fn make_room(&mut self) {
        self.hash();
        let keep_from = self.start.saturating_sub(TAIL_FINGERPRINT_LENGTH);
        self.buffer.copy_within(keep_from..self.filled, 0);
        self.start -= keep_from;
        self.hashed = self.start;
        self.filled -= keep_from;
        if self.buffer.len() - self.filled < READ_SIZE {
            self.buffer.resize(self.filled + READ_SIZE, 0);
        }
    }

    /// Returns the next complete line without taking it; `None` until more bytes are read.
    pub fn peek(&mut self) -> Option<Line<'_>> {
        if self.too_long.is_none() {
            if !self.skip_nuls() {
                return None;
            }
            // However the bytes come, the same lines are too long.
            let length = self.search();
            if let Some(length) = length.filter(|length| *length <= MAX_LINE) {
                let unread = &self.buffer[self.start..self.start + length];
                let bytes = unread.strip_suffix(b"\r").unwrap_or(unread);
                let end = self.offset + length as u64 + 1;
                return Some(Line { offset: self.offset, bytes, end, too_long: false });
            }
            if length.is_none() && self.partial().len() <= MAX_LINE {
                return None;
            }
            let kept = self.partial()[..TOO_LONG_KEPT].to_vec();
            let (begin, offset) = (self.position(), self.offset);
            self.too_long = Some(TooLong { begin, offset, kept, end: None });
        }
        self.peek_too_long()
    }

    /// Returns the number of bytes before the next line end. Each byte is searched once.
    fn search(&mut self) -> Option<usize> {
        let unread = &self.buffer[self.start..self.filled];
        let found = memchr::memchr(b'\n', &unread[self.searched..]).map(|at| at + self.searched);
        self.searched = found.unwrap_or(unread.len());
        found
    }

    /// Returns the bytes from the next line to the line that ends at `end`, as one line without its
    /// end. `end` must come from a line that this buffer returned.
    pub fn joined(&self, end: u64) -> &[u8] {
        let length = usize::try_from(end.saturating_sub(self.offset)).unwrap_or(0);
        let whole = &self.buffer[self.start..(self.start + length).min(self.filled)];
        let whole = whole.strip_suffix(b"\n").unwrap_or(whole);
        whole.strip_suffix(b"\r").unwrap_or(whole)
    }

    /// Returns the complete line that begins at `offset`, after the one that `peek` returns, if all
    /// of it was read.
    pub fn line_at(&self, offset: u64) -> Option<Line<'_>> {
        let at = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        let unread = self.buffer[self.start..self.filled].get(at..)?;
        let length = memchr::memchr(b'\n', unread)?;
        let bytes = unread[..length].strip_suffix(b"\r").unwrap_or(&unread[..length]);
        Some(Line { offset, bytes, end: offset + length as u64 + 1, too_long: false })
    }

    /// Returns how many lines that directly follow the next line, which has `length` bytes with its end, are equal
    /// to it, as far as they were read.
    pub fn repeats(&self, length: u64) -> u64 {
        /// Bytes that are compared at once (4 KiB), if a line is not longer.
        const AT_ONCE: usize = 4096;
        let unread = self.partial();
        let length = usize::try_from(length).unwrap_or(usize::MAX).max(1);
        let is_equal = |at: usize, count: usize| {
            let after = unread.get(at..at + count);
            after.is_some_and(|after| *after == unread[at - length..at - length + count])
        };
        let mut at = length;
        let some = AT_ONCE / length * length;
        if at < unread.len() && is_equal(at, length) {
            at += length;
            while some > length && is_equal(at, some) {
                at += some;
            }
            while is_equal(at, length) {
                at += length;
            }
        }
        (at / length) as u64 - 1
    }

    /// Returns the byte at `offset`, after the next line's first byte, if it was read.
    pub fn byte_at(&self, offset: u64) -> Option<u8> {
        let at = usize::try_from(offset.checked_sub(self.offset)?).ok()?;
        self.partial().get(at).copied()
    }

    /// Takes everything before `end`, which is after the next line's first byte.
    pub fn take(&mut self, end: u64) {
        self.runs.extend(self.nuls.take().map(|nuls| nuls.run));
        if self.too_long.take().is_none() {
            self.start += usize::try_from(end.saturating_sub(self.offset)).unwrap_or(0);
            self.start = self.start.min(self.filled);
            self.offset = end;
        }
        self.searched = 0;
    }

    /// Returns the position of the first byte that is not taken.
    pub fn position(&mut self) -> Position {
        if let Some(nuls) = &self.nuls {
            return nuls.begin;
        }
        if let Some(line) = &self.too_long {
            return line.begin;
        }
        self.hash();
        let Self { offset, first_offset, totals: nuls, .. } = *self;
        let digest = self.hasher.as_ref().filter(|_| offset > first_offset).map(Hasher::digest);
        let tail_fingerprint = self.tail_fingerprint();
        let form = self.form;
        Position { offset, first_offset, tail_fingerprint, digest, nuls, form }
    }

    /// Returns the fingerprint of the bytes just before the first unread one; `None` at the
    /// beginning.
    fn tail_fingerprint(&self) -> Option<Fingerprint> {
        let from = self.start.saturating_sub(TAIL_FINGERPRINT_LENGTH);
        print_of_history(&self.buffer[from..self.start])
    }

    /// Hashes the bytes taken since the last call, each byte once.
    fn hash(&mut self) {
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&self.buffer[self.hashed..self.start]);
        }
        self.hashed = self.start;
    }

    /// Removes what was skipped of a line that is not taken, to continue with it later.
    pub fn pause_skipping(&mut self) -> Option<SkippedLine> {
        let begin = match (&self.nuls, &self.too_long) {
            (_, Some(TooLong { end: Some(_), .. })) | (None, None) => return None,
            (Some(nuls), _) => nuls.begin,
            (None, Some(line)) => line.begin,
        };
        self.hash();
        let (nuls, line) = (self.nuls.take(), self.too_long.take());
        let (skipped_to, hasher, totals) = (self.offset, self.hasher.clone(), self.totals);
        Some(SkippedLine { begin, nuls, line, skipped_to, hasher, totals })
    }

    /// Continues with a line of which something was skipped. `history` must be the bytes just before
    /// [`SkippedLine::skipped_to`].
    pub fn resume_skipping(&mut self, skipped: SkippedLine, history: &[u8]) {
        let offset = skipped.skipped_to;
        self.reset(&Position { offset, digest: None, ..skipped.begin }, history);
        self.hasher = skipped.hasher;
        self.totals = skipped.totals;
        self.nuls = skipped.nuls;
        self.too_long = skipped.line;
    }

    /// Returns whether a line that is too long is being skipped.
    pub fn is_too_long(&self) -> bool {
        self.too_long.is_some()
    }

    /// Returns whether bytes are being skipped and the next line's end, or its beginning, is not known:
    /// reading may pause there.
    pub fn is_skipping(&self) -> bool {
        self.is_too_long() || self.nuls.is_some_and(|nuls| !nuls.ended)
    }

    /// Looks for the end of a line that is too long, and drops its bytes on the way.
    fn peek_too_long(&mut self) -> Option<Line<'_>> {
        let line = self.too_long.as_mut()?;
        if line.end.is_none() {
            let unread = &self.buffer[self.start..self.filled];
            let found = memchr::memchr(b'\n', unread);
            let skipped = found.map_or(unread.len(), |at| at + 1);
            self.start += skipped;
            self.offset += skipped as u64;
            self.searched = 0;
            line.end = found.map(|_| self.offset);
        }
        let end = line.end?;
        Some(Line { offset: line.offset, bytes: &line.kept, end, too_long: true })
    }
}

/// The SHA-256 of all bytes of a logical file before some offset but for skipped NULs, continued from one commit to the next, also
/// after a restart.
///
/// Between two commits the store keeps the hash value after the last whole block. The bytes after
/// that block, 63 at most, are read from the file again, together with those of the tail
/// fingerprint. The full state of the hasher would hold these bytes, and with them text that
/// masking keeps out of the database.
///
/// Of a run of skipped NULs, all whole blocks but one are left out ([`NulRun::undigested`]). So the
/// bytes after the last whole block are those before the offset, as without the run.
#[derive(Clone, Debug, Default)]
struct Hasher(Sha256);

impl Hasher {
    /// Returns the hasher of all bytes before `position`. `history` must be the last of them, as
    /// many as a tail fingerprint covers. Returns `None` if `position` has no digest.
    fn at(position: &Position, history: &[u8]) -> Option<Self> {
        let length = position.offset.checked_sub(position.first_offset)?;
        if length == 0 {
            return Some(Self::default());
        }
        let digested = length.checked_sub(position.nuls.undigested())?;
        let after_block = usize::try_from(digested % DIGEST_BLOCK).ok()?;
        let start = history.len().checked_sub(after_block)?;
        let mut hasher = resume(&position.digest?.state, digested / DIGEST_BLOCK)?;
        hasher.update(&history[start..]);
        Some(Self(hasher))
    }

    /// Hashes further bytes.
    fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Hashes a run of skipped NULs, as far as it is not left out.
    fn update_nuls(&mut self, run: NulRun) {
        let digested = usize::try_from(run.length - run.undigested()).unwrap_or(0);
        self.0.update(&[0; 2 * DIGEST_BLOCK as usize][..digested]);
    }

    /// Returns the sum of all bytes, and the state after the last whole block.
    fn digest(&self) -> Digest {
        let mut state = [0; 32];
        let serialized = self.0.serialize();
        // sha2 writes the eight words in little-endian order; the standard defines them in
        // big-endian order.
        for (word, from) in state.chunks_exact_mut(4).zip(serialized.chunks_exact(4)) {
            word.copy_from_slice(from);
            word.reverse();
        }
        Digest { sum: self.0.clone().finalize_fixed().into(), state }
    }
}

/// Returns a hasher that has read `blocks` whole blocks. sha2 0.11 serializes the words of the
/// hash value, the number of blocks, and the unfinished block, which is empty here.
fn resume(state: &[u8; 32], blocks: u64) -> Option<Sha256> {
    let mut serialized = SerializedState::<Sha256>::default();
    for (word, from) in serialized.chunks_exact_mut(4).zip(state.chunks_exact(4)) {
        word.copy_from_slice(from);
        word.reverse();
    }
    serialized.get_mut(32..40)?.copy_from_slice(&blocks.to_le_bytes());
    Sha256::deserialize(&serialized).ok()
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use sha2::Digest as _;

    use super::*;
    use crate::model::hex;
    use crate::source::fingerprint::print;

    fn all(lines: &mut Lines, mut source: &[u8]) -> Vec<(u64, String, bool)> {
        let mut seen = Vec::new();
        loop {
            while let Some(line) = lines.peek() {
                let end = line.end;
                let text = String::from_utf8_lossy(line.bytes).into_owned();
                seen.push((line.offset, text, line.too_long));
                lines.take(end);
            }
            if lines.fill(&mut source).unwrap() == 0 {
                return seen;
            }
        }
    }

    #[test]
    fn lines_end_at_newline_and_one_carriage_return_belongs_to_the_end() {
        let mut lines = Lines::default();
        lines.reset(&Position { offset: 100, ..Position::default() }, b"");
        let seen = all(&mut lines, b"a\nbc\r\n\nd\r\r\npart");
        assert_eq!(
            seen,
            [
                (100, "a".into(), false),
                (102, "bc".into(), false),
                (106, String::new(), false),
                (107, "d\r".into(), false)
            ]
        );
        assert_eq!(lines.partial(), b"part");
        assert_eq!(lines.offset(), 111);
    }

    #[test]
    fn equal_lines_after_a_line_are_counted() {
        for (text, length, expected) in [
            (b"\n".repeat(20_000), 1, 19_999),
            (b"ab\n".repeat(3000), 3, 2999),
            ([&b"ab\n".repeat(3000)[..], b"ab"].concat(), 3, 2999),
            ([&b"ab\n".repeat(3000)[..], b"ac\nab\n"].concat(), 3, 2999),
            (b"ab\nac\n".to_vec(), 3, 0),
            (b"ab\nab\r\n".to_vec(), 3, 0),
            ([&[b'x'; 5000][..], b"\n"].concat().repeat(3), 5001, 2),
        ] {
            let mut lines = Lines::default();
            lines.reset(&Position::default(), b"");
            let mut source = text.as_slice();
            while lines.fill(&mut source).unwrap() > 0 {}
            assert_eq!(lines.repeats(length), expected, "{length} of {}", text.len());
        }
    }

    #[test]
    fn a_line_read_byte_by_byte_is_one_line() {
        struct Dribble<'a>(&'a [u8]);
        impl Read for Dribble<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let n = self.0.len().min(1).min(out.len());
                out[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        impl ByteSource for Dribble<'_> {}
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        let mut source = Dribble(b"one\r\ntwo\n");
        let mut seen = Vec::new();
        while lines.fill(&mut source).unwrap() > 0 {
            while let Some(line) = lines.peek() {
                let end = line.end;
                seen.push(line.bytes.to_vec());
                lines.take(end);
            }
        }
        assert_eq!(seen, [b"one".to_vec(), b"two".to_vec()]);
    }

    #[test]
    fn the_tail_fingerprint_covers_the_same_bytes_however_they_were_read() {
        let text: Vec<u8> = (0..3000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        all(&mut lines, &text);
        assert_eq!(
            lines.tail_fingerprint(),
            Some(print(&text[text.len() - TAIL_FINGERPRINT_LENGTH..]))
        );
        lines.reset(&Position { offset: 9, ..Position::default() }, &text[..9]);
        assert_eq!(lines.tail_fingerprint(), Some(print(&text[..9])));
    }

    #[test]
    fn every_byte_is_hashed_once_even_of_long_lines() {
        use sha2::{Digest, Sha256};
        let mut text = b"one\ntwo\r\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE + 3 * READ_SIZE]);
        text.extend_from_slice(b"\nafter\nno end");
        let end = text.len() - 6;
        let sum = |end: usize| -> [u8; 32] { Sha256::digest(&text[..end]).into() };
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        let mut source = &text[..];
        let (mut positions, mut long) = (Vec::new(), false);
        loop {
            while let Some(line) = lines.peek() {
                let end = line.end;
                long |= line.too_long;
                lines.take(end);
                positions.push(lines.position());
            }
            if lines.fill(&mut source).unwrap() == 0 {
                break;
            }
            if lines.read_to() > 5_000_000 && !long {
                assert_eq!(
                    lines.position(),
                    positions[1],
                    "the position stays before the line until it is taken"
                );
            }
        }
        assert_eq!((positions.len(), lines.position().offset), (4, end as u64));
        for position in positions {
            let at = position.offset as usize;
            assert_eq!(position.digest.unwrap().sum, sum(at));
            assert_eq!(
                position.tail_fingerprint,
                Some(print(&text[at.saturating_sub(TAIL_FINGERPRINT_LENGTH)..at]))
            );
            lines.reset(&position, &text[at.saturating_sub(TAIL_FINGERPRINT_LENGTH)..at]);
            all(&mut lines, &text[at..]);
            assert_eq!(lines.position().digest.unwrap().sum, sum(end));
        }
    }

    #[test]
    fn several_lines_are_joined() {
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        lines.fill(&mut &b"ab\ncd\r\nef\n"[..]).unwrap();
        let first = lines.peek().unwrap().end;
        let second = lines.line_at(first).unwrap();
        assert_eq!(second.bytes, b"cd");
        assert_eq!(lines.joined(second.end), b"ab\ncd");
        assert_eq!(lines.line_at(second.end).unwrap().bytes, b"ef");
    }

    #[test]
    fn a_line_past_the_limit_is_skipped_in_bounded_memory() {
        let mut source = vec![b'x'; 3 * MAX_LINE];
        source.extend_from_slice(b"\nafter\n");
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        let seen = all(&mut lines, &source);
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[0].0, seen[0].1.len(), seen[0].2), (0, TOO_LONG_KEPT, true));
        assert_eq!(seen[1], (3 * MAX_LINE as u64 + 1, "after".into(), false));
        assert!(lines.buffer.len() < MAX_LINE + 4 * READ_SIZE);
    }

    /// A line is as long as it is, whether its end comes with the last of its bytes or later.
    #[test]
    fn what_is_too_long_does_not_depend_on_how_bytes_come() {
        for (length, is_too_long) in [(MAX_LINE, false), (MAX_LINE + 1, true)] {
            let mut source = vec![b'x'; length];
            source.extend_from_slice(b"\nafter\n");
            for piece in [source.len(), 50_000] {
                let mut lines = Lines::default();
                lines.reset(&Position::default(), b"");
                let mut seen = Vec::new();
                for mut piece in source.chunks(piece) {
                    while lines.fill(&mut piece).unwrap() > 0 {}
                    while let Some(line) = lines.peek() {
                        let (end, too_long) = (line.end, line.too_long);
                        seen.push((end, too_long));
                        lines.take(end);
                    }
                }
                let end = length as u64 + 1;
                assert_eq!(seen, [(end, is_too_long), (end + 6, false)], "{length} by {piece}");
            }
        }
    }

    #[test]
    fn skipping_a_line_can_be_paused_and_resumed() {
        let mut source = b"before\n".to_vec();
        source.resize(2 * MAX_LINE, b'x');
        let half = source.len();
        source.resize(3 * MAX_LINE, b'x');
        source.extend_from_slice(b"\nafter\n");
        let mut lines = Lines::default();
        lines.reset(&Position::default(), b"");
        all(&mut lines, &source[..half]);
        assert!(lines.is_skipping());
        assert_eq!(
            (lines.offset(), lines.position().tail_fingerprint),
            (7, Some(print(b"before\n")))
        );
        let skipped_line = lines.pause_skipping().unwrap();
        assert_eq!((skipped_line.offset(), skipped_line.skipped_to()), (7, half as u64));
        lines.reset(&Position::default(), b""); // another file is read meanwhile
        lines.resume_skipping(skipped_line, &source[half - TAIL_FINGERPRINT_LENGTH..half]);
        let seen = all(&mut lines, &source[half..]);
        assert_eq!((seen[0].0, seen[0].1.len(), seen[0].2), (7, TOO_LONG_KEPT, true));
        assert_eq!(seen[1], (3 * MAX_LINE as u64 + 1, "after".into(), false));
        let sum: [u8; 32] = <Sha256 as sha2::Digest>::digest(&source).into();
        assert_eq!(lines.position().digest.unwrap().sum, sum);
        assert_eq!(
            lines.tail_fingerprint(),
            Some(print(&source[source.len() - TAIL_FINGERPRINT_LENGTH..]))
        );
    }

    /// What `log_file.digest` is defined as.
    fn digest_but_for(bytes: &[u8], runs: &[NulRun]) -> [u8; 32] {
        let mut hasher = Sha256::default();
        let mut at = 0;
        for run in runs {
            let (begin, length) = (run.offset as usize, run.length as usize);
            let counted = if length > 127 { 64 + length % 64 } else { length };
            Update::update(&mut hasher, &bytes[at..begin + counted]);
            at = begin + length;
        }
        Update::update(&mut hasher, &bytes[at..]);
        hasher.finalize_fixed().into()
    }

    #[test]
    fn nuls_before_lines_are_skipped_wherever_reading_stops() {
        struct Pieces<'a>(&'a [u8], usize);
        impl Read for Pieces<'_> {
            fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
                let n = self.0.len().min(self.1).min(out.len());
                out[..n].copy_from_slice(&self.0[..n]);
                self.0 = &self.0[n..];
                Ok(n)
            }
        }
        impl ByteSource for Pieces<'_> {
            fn skip_hole(&mut self, most: u64) -> io::Result<u64> {
                let hole = leading_nuls(self.0);
                let hole = if hole < 4096 { 0 } else { hole.min(most as usize) };
                self.0 = &self.0[hole..];
                Ok(hole as u64)
            }
        }
        let (mut bytes, mut runs, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (nth, length) in [0, 1, 63, 64, 65, 128, 200, 4096, 5000, 300_000, 2].iter().enumerate()
        {
            if *length > 0 {
                runs.push(NulRun { offset: bytes.len() as u64, length: *length });
            }
            bytes.resize(bytes.len() + *length as usize, 0);
            let text = format!("line\0 {}", "x".repeat(nth * 5));
            wanted.push((bytes.len() as u64, text.clone(), false));
            bytes.extend(text.as_bytes());
            bytes.push(b'\n');
        }
        for piece in [7, 100, 4096, 1 << 20] {
            let mut lines = Lines::default();
            lines.reset(&Position::default(), b"");
            let mut source = Pieces(&bytes, piece);
            let mut seen = Vec::new();
            let mut taken = 0;
            loop {
                while let Some(line) = lines.peek() {
                    let end = line.end;
                    let text = String::from_utf8_lossy(line.bytes).into_owned();
                    seen.push((line.offset, text, line.too_long));
                    assert_eq!(line.offset, lines.line_offset());
                    assert_eq!(lines.offset(), taken, "it stays before the NULs");
                    lines.take(end);
                    taken = end;
                    let at = end as usize;
                    let before: Vec<NulRun> =
                        runs.iter().copied().filter(|run| run.end() < end).collect();
                    let position = lines.position();
                    let history = &bytes[at.saturating_sub(TAIL_FINGERPRINT_LENGTH)..at];
                    assert_eq!(position.tail_fingerprint, Some(print(history)));
                    let sum = position.digest.unwrap().sum;
                    assert_eq!(sum, digest_but_for(&bytes[..at], &before));
                    assert_eq!(position.nuls.runs, before.len() as u32);
                    // As after a restart.
                    let mut again = Lines::default();
                    again.reset(&position, history);
                    all(&mut again, &bytes[at..]);
                    let sum = again.position().digest.unwrap().sum;
                    assert_eq!(sum, digest_but_for(&bytes, &runs));
                }
                // A reader pauses only there: what it has of a line would be read again.
                if lines.is_skipping()
                    && let Some(skipped) = lines.pause_skipping()
                {
                    assert_eq!(skipped.offset(), taken);
                    let at = skipped.skipped_to() as usize;
                    let history = &bytes[at.saturating_sub(TAIL_FINGERPRINT_LENGTH)..at];
                    let before = lines.take_nul_runs();
                    lines.resume_skipping(skipped, history);
                    lines.runs = before;
                    source = Pieces(&bytes[at..], piece);
                }
                if lines.fill(&mut source).unwrap() == 0 {
                    break;
                }
            }
            assert_eq!(seen, wanted);
            assert_eq!(lines.take_nul_runs(), runs);
        }
    }

    #[test]
    fn only_the_known_runs_are_skipped_where_they_are_given() {
        let mut lines = Lines::default();
        let run = |offset, length| NulRun { offset, length };
        lines.expect_nul_runs(vec![run(3, 2), run(9, 2)]);
        lines.reset(&Position::default(), b"");
        let seen = all(&mut lines, b"\0a\n\0\0b\nc\n\0\0\0d\n");
        let line = |at, text: &str| (at, text.to_owned(), false);
        assert_eq!(seen, [line(0, "\0a"), line(5, "b"), line(7, "c"), line(11, "\0d")]);
    }

    #[test]
    fn a_log_is_not_read_past_the_last_offset_that_an_id_can_hold() {
        let mut lines = Lines::default();
        lines.reset(&Position { offset: MAX_OFFSET - 5, ..Position::default() }, b"");
        let mut source = &b"one\ntwo\n"[..];
        assert_eq!(lines.fill(&mut source).unwrap(), 5);
        let end = lines.peek().unwrap().end;
        lines.take(end);
        let error = lines.fill(&mut source).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(lines.partial(), b"t");
    }

    fn pattern(length: usize) -> Vec<u8> {
        (0..length).map(|nth| (nth % 251) as u8).collect()
    }

    #[test]
    fn a_continued_digest_is_that_of_all_bytes() {
        let text = pattern(1000);
        for first in [1, 55, 56, 63, 64, 65, 127, 128, 500] {
            for last in [first, first + 1, first + 64, 999, 1000] {
                let mut one = Hasher::at(&Position::default(), b"").unwrap();
                one.update(&text[..first]);
                let position = Position {
                    offset: first as u64,
                    digest: Some(one.digest()),
                    ..Position::default()
                };
                let mut other = Hasher::at(&position, &text[..first]).unwrap();
                assert_eq!(other.digest(), one.digest());
                other.update(&text[first..last]);
                let right: [u8; 32] = Sha256::digest(&text[..last]).into();
                assert_eq!(other.digest().sum, right, "{first} and {last}");
            }
        }
    }

    /// Future versions of the hasher must read what is stored in databases.
    #[test]
    fn the_state_is_that_of_the_standard() {
        let initial = "6a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c1f83d9ab5be0cd19";
        let mut hasher = Hasher::default();
        assert_eq!(hex(&hasher.digest().state), initial);
        hasher.update(&pattern(63));
        assert_eq!(hex(&hasher.digest().state), initial, "the bytes are not in the state");
        hasher.update(&pattern(1));
        assert_ne!(hex(&hasher.digest().state), initial);
    }

    #[test]
    fn an_unknown_digest_stays_unknown() {
        let position = Position { offset: 70, ..Position::default() };
        assert!(Hasher::at(&position, &pattern(70)).is_none());
        let position = Position { digest: Some(Hasher::default().digest()), ..position };
        assert!(Hasher::at(&position, b"short").is_none());
    }
}
