//! Detects the format and the envelope of a file: by what the user gave, else by its first lines.
//!
//! A container's log is detected by the envelope of its first lines, whatever format the user gave.
//! It begins with what the program prints at its start, so that its format is looked for in a larger
//! sample, and waited for.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tracing::{info, warn};

use crate::format;
use crate::format::{
    Detection, Exclusions, Inferred, Layout, LineParser, Mask, Parsed, Parsing, Preset,
};
use crate::model::{Checkpoint, Fingerprint, IgnoredCode, RejectReason, text_path};
use crate::pipeline::file_format::Format;
use crate::source::fingerprint::{ContentMatch, head_fingerprint};
use crate::source::open::Links;
use crate::source::whole_file::Source;
use crate::source::{
    BOUNDS, Block, ByWatchedPath, Compression, Container, Envelope, Joined, MAX_LINE, OutputStream,
    Tail, Watchlist, without_byte_order_mark,
};

/// Bytes at a file's beginning that its format is detected from (64 KiB).
pub(crate) const SAMPLE: usize = 64 << 10;

/// Bytes at the beginning of a container's log that its format is detected from (256 KiB).
const ENVELOPED_SAMPLE: usize = 256 << 10;

/// Lines of them that a format is checked against.
const SAMPLE_LINES: usize = 1_000;

/// Lines of a container's log that are tried at a time, and lines of a stream that are enough.
const FEW_LINES: usize = 64;

/// Of these first lines a given format must read one, or a warning says that it reads none.
const LINES_OF_GIVEN: usize = 50;

/// Of a log whose times say no zone.
const NO_ZONE: &str = "the times of these lines have no zone and are taken as UTC: let the server log a zone, or \
                       run it in UTC";

/// Of a log that is read as before its rotation or damage.
const READ_AS_BEFORE: &str =
    "these lines say nothing for certain: they are read by the format that the log had before";

/// After what a preset reads of the lines.
const GIVE_IT: &str = "give --format with the access_log_format of your Gunicorn";

/// The word before a stored format that itself begins like the name of an envelope.
const PLAIN: &str = "plain";

/// Returns the first bytes of a file, as many as its format is detected from: at least its first line, if
/// that is not longer than the longest that is taken. `first_bytes` returns as many as it is asked for, or
/// all that there are, without the NULs at the beginning of the file.
///
/// # Errors
/// What `first_bytes` returns.
pub(crate) fn sample(first_bytes: impl Fn(usize) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let (mut limit, mut sample) = (SAMPLE, first_bytes(SAMPLE)?);
    while sample.len() >= limit && limit <= MAX_LINE && memchr::memchr(b'\n', &sample).is_none() {
        limit = (4 * limit).min(MAX_LINE + 1);
        sample = first_bytes(limit)?;
    }
    match Envelope::of_file(&first_lines(&sample)) {
        Some(_) if sample.len() >= limit && limit < ENVELOPED_SAMPLE => {
            first_bytes(ENVELOPED_SAMPLE)
        }
        _ => Ok(sample),
    }
}

/// Returns the complete lines at the end of a file, of which these are the last bytes.
fn last_lines(last_bytes: &[u8]) -> &[u8] {
    memchr::memchr(b'\n', last_bytes).map_or(&[], |at| &last_bytes[at + 1..])
}

/// Returns the first complete lines, without their ends.
fn first_lines(sample: &[u8]) -> Vec<&[u8]> {
    let complete = memchr::memrchr(b'\n', sample).map_or(0, |at| at + 1);
    without_byte_order_mark(&sample[..complete])
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take(SAMPLE_LINES)
        .collect()
}

/// How a file is to be read.
#[derive(Clone, Debug)]
pub(crate) struct Detected {
    pub(crate) format: Arc<Format>,
    pub(crate) source: FormatSource,
    /// A sentence for each value whose meaning the first lines leave open.
    pub(crate) uncertain: Vec<String>,
    /// That the user's format reads none of the first lines as it should, and what would read them.
    pub(crate) unread: Option<String>,
}

/// Where a format comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FormatSource {
    /// The user gave it.
    Given,
    /// The first lines are those of a preset.
    Preset(&'static Preset),
    /// It was made out of the first lines.
    Inferred,
    /// The file was read by it before.
    Stored,
    /// The log was read by it before it was rotated, truncated or damaged.
    Before,
}

impl FormatSource {
    /// Returns the word for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Preset(_) => "preset",
            Self::Inferred => "inferred",
            Self::Stored => "stored",
            Self::Before => "as before",
        }
    }
}

impl Detected {
    fn of(format: Arc<Format>, source: FormatSource) -> Self {
        Self { format, source, uncertain: Vec::new(), unread: None }
    }

    fn given(format: Arc<Format>, unread: Option<String>) -> Self {
        Self { unread, ..Self::of(format, FormatSource::Given) }
    }

    /// Returns the preset's name, else the format itself.
    pub(crate) fn name(&self) -> &str {
        let format = self.format.parser.layout().format();
        match self.source {
            FormatSource::Preset(preset) => preset.name,
            FormatSource::Given | FormatSource::Inferred => format,
            FormatSource::Stored | FormatSource::Before => format::name_of(format),
        }
    }

    /// Returns a sentence for each value that may be read wrongly, or whose meaning is open.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.format.parser.layout().warnings();
        warnings.extend(self.uncertain.iter().cloned());
        warnings.extend(self.unread.clone());
        warnings
    }

    /// Logs that the user's format reads none of a file's first lines.
    pub(crate) fn warn_if_unread(&self, path: &str) {
        if let Some(unread) = &self.unread {
            warn!(path, "{unread}");
        }
    }

    /// Logs the warnings about a file.
    pub(crate) fn warn(&self, path: &str) {
        for warning in self.warnings() {
            warn!(path, "{warning}");
        }
    }
}

/// Why a file has no format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}; {}", self.finding(), self.advice())]
pub(crate) enum Undetected {
    /// It holds no complete line yet.
    NoLine,
    /// It is Gunicorn's error log, which is not stored.
    ErrorLog,
    /// No known format reads its lines.
    UnknownFormat,
    /// It is a container's log without access lines.
    NoAccessLine(MoreLines),
}

/// When more lines may change what was detected. They always may: a client can choose how a log begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoreLines {
    /// With each of them.
    MayHelp,
    /// Rarely, so that the file is examined again at intervals.
    SeldomHelp,
}

impl Undetected {
    /// Returns the stable word for a file that is ignored because of this.
    pub(crate) fn ignored_code(self) -> IgnoredCode {
        match self {
            Undetected::NoLine => IgnoredCode::NoLine,
            Undetected::ErrorLog => IgnoredCode::ErrorLog,
            Undetected::UnknownFormat => IgnoredCode::UnknownFormat,
            Undetected::NoAccessLine(_) => IgnoredCode::NoAccessLine,
        }
    }

    /// Returns whether more lines may change it.
    pub(crate) fn more_lines(self) -> MoreLines {
        match self {
            Undetected::NoLine | Undetected::UnknownFormat => MoreLines::MayHelp,
            Undetected::ErrorLog => MoreLines::SeldomHelp,
            Undetected::NoAccessLine(more) => more,
        }
    }

    /// Returns it as an error, which also says how far a format reads the lines.
    pub(crate) fn explained(self, source: &Source) -> anyhow::Error {
        match self.explanation(source) {
            Some(explanation) => {
                anyhow::anyhow!("{}: {explanation}; {GIVE_IT}", self.finding())
            }
            None => self.into(),
        }
    }

    fn explanation(self, source: &Source) -> Option<String> {
        if self != Undetected::UnknownFormat {
            return None;
        }
        // What cannot be read again is not explained: it still has no format.
        let sample = sample(|limit| source.sample(limit)).ok()?;
        format::explain(&first_lines(&sample))
    }

    /// Returns what was found.
    fn finding(self) -> &'static str {
        match self {
            Undetected::NoLine => "this file holds no complete line",
            Undetected::ErrorLog => "this is Gunicorn's error log",
            Undetected::UnknownFormat => "no known format reads the first lines of this file",
            Undetected::NoAccessLine(_) => {
                "a container's log whose first 256 KiB hold no access line"
            }
        }
    }

    /// Returns what the user can do about it.
    fn advice(self) -> &'static str {
        match self {
            Undetected::NoLine => "a line is complete with its newline",
            Undetected::ErrorLog => "the access log is another file",
            Undetected::UnknownFormat => {
                "give --format with the access_log_format of your Gunicorn, and try it with \
                 `log-ingestd check FILE --format …`"
            }
            Undetected::NoAccessLine(_) => {
                "give --format with what Gunicorn writes, without what the container's runtime \
                 puts before it"
            }
        }
    }
}

/// Files that the user named one by one, and so means: a given format reads them whatever they hold.
#[derive(Debug)]
pub(crate) enum NamedFiles {
    None,
    /// All that are detected.
    All,
    /// Those that this list names.
    Of(Box<Watchlist>),
}

impl NamedFiles {
    fn contain(&self, place: &Path) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Of(list) => list.names(place),
        }
    }
}

/// Builds each parser once.
///
/// The user may have given a format for all files, and others for watched paths. The `place` of a file is
/// its path, or that of the stream whose bytes it holds.
#[derive(Debug)]
pub(crate) struct Formats {
    parsing: Parsing,
    by_path: ByWatchedPath<Option<Layout>>,
    named: NamedFiles,
    built: HashMap<String, Arc<Format>>,
}

impl Formats {
    pub(crate) fn new(parsing: Parsing) -> Self {
        Self {
            parsing,
            by_path: ByWatchedPath::default(),
            named: NamedFiles::None,
            built: HashMap::new(),
        }
    }

    /// Sets which files the user named.
    pub(crate) fn of_named(self, named: NamedFiles) -> Self {
        Self { named, ..self }
    }

    /// Returns formats as they are stored with files, whatever the user gave.
    pub(crate) fn as_stored(parsing: Parsing) -> Self {
        Self::new(Parsing { layout: None, json: Arc::default(), ..parsing })
    }

    /// Adds the formats of single watched paths.
    pub(crate) fn by_path(self, by_path: &ByWatchedPath<Option<Layout>>) -> Self {
        Self { by_path: by_path.clone(), ..self }
    }

    /// Returns the format that the user gave for files in this place.
    fn given(&self, place: &Path) -> Option<&Layout> {
        let of_path = self.by_path.of(place).and_then(Option::as_ref);
        of_path.or(self.parsing.layout.as_ref())
    }

    /// Returns the format that the user gave for a known file, which may have another name now.
    pub(crate) fn given_for(&mut self, place: &Path, known: &Checkpoint) -> Option<Arc<Format>> {
        let (envelope, _) = envelope_of(&known.format);
        let known_place = text_path(&known.path);
        let places = [place, &*known_place].into_iter();
        let of_path = places.filter_map(|place| self.by_path.of(place)?.as_ref()).next();
        let layout = of_path.or(self.parsing.layout.as_ref()).cloned();
        let layout = layout.or_else(|| self.remapped(&known.format))?;
        Some(self.build(envelope, layout))
    }

    /// Returns a stored format with the user's mapping of JSON keys, if there is one and it may have one.
    fn remapped(&self, stored: &str) -> Option<Layout> {
        let mapping = Some(&self.parsing.json).filter(|mapping| !mapping.is_empty())?;
        let (_, format) = envelope_of(stored);
        Layout::compile(format).ok()?.remapped(mapping)
    }

    /// Detects the format of a file by its `sample`.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn detect(&mut self, place: &Path, sample: &[u8]) -> Result<Detected, Undetected> {
        if memchr::memchr(b'\n', sample).is_none() {
            match self.given(place).cloned().filter(|_| sample.len() >= SAMPLE) {
                Some(layout) => return Ok(Detected::given(self.build(None, layout), None)),
                None if sample.len() > MAX_LINE => return Err(Undetected::UnknownFormat),
                None => return Err(Undetected::NoLine),
            }
        }
        let lines = first_lines(sample);
        if let Some(envelope) = Envelope::of_file(&lines) {
            return self.detect_enveloped(place, envelope, sample);
        }
        let mut detected = self.detect_lines(place, &lines)?;
        if format::lacks_zone(detected.format.parser.layout(), &lines) {
            detected.uncertain.push(NO_ZONE.to_owned());
        }
        Ok(detected)
    }

    /// Detects the format of a file by its last bytes, whose first lines have none. A client may choose
    /// the first lines, if an atom holds a newline: the lines of others follow.
    fn detect_by_latest(
        &mut self,
        place: &Path,
        first: &[u8],
        last_bytes: &[u8],
    ) -> Option<Detected> {
        let latest = last_lines(last_bytes);
        let detected = self.detect(place, latest).ok()?;
        match detected.format.envelope {
            // Only a runtime writes it, and then around all lines.
            Some(envelope) => {
                let is_same = Envelope::of_file(&first_lines(first)) == Some(envelope);
                is_same.then_some(detected)
            }
            None if detected.source == FormatSource::Given => Some(detected),
            None => {
                let (mut lines, mut read) = (0, 0);
                for line in first_lines(latest).iter().filter(|it| !it.trim_ascii().is_empty()) {
                    match detected.format.parser.parse(line) {
                        Parsed::Reject(RejectReason::ServerLog) => continue,
                        Parsed::Reject(_) => {}
                        Parsed::Record(_) | Parsed::Json(_) | Parsed::Excluded => read += 1,
                    }
                    lines += 1;
                }
                (read > 0 && 2 * read >= lines).then_some(detected)
            }
        }
    }

    fn detect_lines(&mut self, place: &Path, lines: &[&[u8]]) -> Result<Detected, Undetected> {
        let detection = format::detect(lines);
        let mapped = format::find_mapped(lines, &self.parsing.json);
        if let Some(layout) = self.given(place).cloned() {
            let format = self.build(None, layout);
            let reads = |line: &&[u8]| !matches!(format.parser.parse(line), Parsed::Reject(_));
            return match detection {
                // In a directory it lies beside the access log.
                Detection::ErrorLog if !lines.iter().any(reads) && !self.named.contain(place) => {
                    Err(Undetected::ErrorLog)
                }
                detection => {
                    let inferred = || match detection {
                        Detection::Access(inferred) => Some(*inferred),
                        _ => None,
                    };
                    let unread = unread_by_given(&format, lines, || mapped.or_else(inferred));
                    Ok(Detected::given(format, unread))
                }
            };
        }
        if let Some(inferred) = mapped {
            return Ok(self.inferred(None, inferred));
        }
        match detection {
            Detection::Access(inferred) => Ok(self.inferred(None, *inferred)),
            Detection::ErrorLog => Err(Undetected::ErrorLog),
            Detection::NotYet => Err(Undetected::NoLine),
            Detection::Unknown => Err(Undetected::UnknownFormat),
        }
    }

    /// Detects the format of a complete file, whose last line may have no end.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn detect_complete(
        &mut self,
        place: &Path,
        mut sample: Vec<u8>,
    ) -> Result<Detected, Undetected> {
        let is_one_line = sample.len() <= MAX_LINE && memchr::memchr(b'\n', &sample).is_none();
        if !sample.is_empty() && (sample.len() < SAMPLE || is_one_line) && !sample.ends_with(b"\n")
        {
            sample.push(b'\n');
        }
        self.detect(place, &sample)
    }

    /// Detects the format of a complete file, and logs it.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn format_of_complete(
        &mut self,
        source: &Source,
        sample: Vec<u8>,
    ) -> Result<Detected, Undetected> {
        let detected = self.detect_complete(source.path(), sample)?;
        let (format, from) = (detected.name(), detected.source.name());
        info!(path = source.name, format, source = from, "reading a file");
        detected.warn(&source.name);
        Ok(detected)
    }

    /// Detects the format of a container's log: the first lines among which there are access lines
    /// decide. Lines of standard error do not count.
    fn detect_enveloped(
        &mut self,
        place: &Path,
        envelope: Envelope,
        sample: &[u8],
    ) -> Result<Detected, Undetected> {
        let mut lines: Vec<Joined<'_>> = Vec::new();
        let mut rest = sample;
        while let Some(block) = Block::first(envelope, rest, BOUNDS) {
            lines.extend(block.lines);
            rest = &rest[block.length..];
        }
        let mapping = Arc::clone(&self.parsing.json);
        let inferred = || {
            lines.chunks(FEW_LINES).find_map(|lines| {
                let output = payloads(lines, Output::Other);
                format::find_mapped(&output, &mapping)
                    .or_else(|| format::find_access(&output, &payloads(lines, Output::Error)))
            })
        };
        if let Some(layout) = self.given(place).cloned() {
            let format = self.build(Some(envelope), layout);
            let unread = unread_by_given(&format, &payloads(&lines, Output::Other), inferred);
            return Ok(Detected::given(format, unread));
        }
        match inferred() {
            Some(inferred) => Ok(self.inferred(Some(envelope), inferred)),
            None => Err(Undetected::NoAccessLine(match sample.len() < ENVELOPED_SAMPLE {
                true => MoreLines::MayHelp,
                false => MoreLines::SeldomHelp,
            })),
        }
    }

    fn inferred(&mut self, envelope: Option<Envelope>, inferred: Inferred) -> Detected {
        let Inferred { layout, preset, uncertain } = inferred;
        let source = preset.map_or(FormatSource::Inferred, FormatSource::Preset);
        Detected { uncertain, ..Detected::of(self.build(envelope, layout), source) }
    }

    /// Returns whether more lines would not help to detect the format.
    fn is_enough(sample: &[u8]) -> bool {
        sample.len() >= SAMPLE || memchr::memchr_iter(b'\n', sample).count() >= FEW_LINES
    }

    /// Returns the user's format, else Gunicorn's default: for a stream, whose lines are read by some
    /// format in any case.
    fn fallback(&mut self, place: &Path) -> Option<Arc<Format>> {
        let layout = self.given(place).cloned();
        let layout = layout.or_else(|| Layout::named_or_format("gunicorn").ok())?;
        Some(self.build(None, layout))
    }

    /// Returns the parser of a format as `log_file` stores it, unless the user gave another for what
    /// is in the envelope, or another mapping of JSON keys.
    pub(crate) fn stored(&mut self, format: &str) -> Option<Arc<Format>> {
        let given = self.parsing.layout.clone().or_else(|| self.remapped(format));
        let (envelope, format) = envelope_of(format);
        let layout = match given {
            Some(layout) => layout,
            None => Layout::compile(format).ok()?,
        };
        Some(self.build(envelope, layout))
    }

    /// Returns the parser of a known file's format, unless the user gave another one for it.
    pub(crate) fn of_known(&mut self, place: &Path, known: &Checkpoint) -> Option<Arc<Format>> {
        self.given_for(place, known).or_else(|| self.stored(&known.format))
    }

    fn build(&mut self, envelope: Option<Envelope>, layout: Layout) -> Arc<Format> {
        let format = stored_format(envelope, layout.format());
        let parsing = &self.parsing;
        let built = self.built.entry(format.clone()).or_insert_with(|| {
            let has_time = envelope.is_some() || layout.has_time();
            let parser = LineParser::new(layout, parsing.mask.clone(), parsing.exclusions.clone());
            Arc::new(Format { parser, format, has_time, envelope })
        });
        Arc::clone(built)
    }
}

/// Where a container's program wrote a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Error,
    /// On standard output, or it is not known.
    Other,
}

/// Returns what the program wrote there.
fn payloads<'a>(lines: &'a [Joined<'_>], output: Output) -> Vec<&'a [u8]> {
    let is_there = |line: &&Joined<'_>| {
        (output == Output::Error) == (line.stream == Some(OutputStream::Stderr))
    };
    lines.iter().filter(is_there).map(|line| &*line.payload).collect()
}

/// Returns a sentence if the user's format reads none of the first lines, or none with each value in its
/// column although another format does: that, and what would read them. Lines of the server itself do not
/// count. `infer` works out their format.
fn unread_by_given(
    format: &Format,
    lines: &[&[u8]],
    infer: impl FnOnce() -> Option<Inferred>,
) -> Option<String> {
    let (mut first, mut read_in_part) = (Vec::new(), false);
    let lines_with_text = lines.iter().filter(|line| !line.trim_ascii().is_empty());
    for line in lines_with_text.take(LINES_OF_GIVEN) {
        match format.parser.parse(line) {
            Parsed::Reject(RejectReason::ServerLog) => continue,
            Parsed::Reject(_) => {}
            parsed if parsed.holds_unshaped() => read_in_part = true,
            Parsed::Record(_) | Parsed::Json(_) | Parsed::Excluded => return None,
        }
        first.push(*line);
    }
    if first.is_empty() {
        return None;
    }
    let count = first.len();
    let inferred = infer();
    if read_in_part && !inferred.as_ref().is_some_and(|inferred| reads_one(inferred, &first)) {
        return None;
    }
    let name = inferred.as_ref().map(|it| it.preset.map_or(it.layout.format(), |it| it.name));
    Some(match (name, read_in_part) {
        (Some(name), true) => format!(
            "the given format reads the first {count} lines of this file only with values that have not the \
             shape of their columns: `--format '{name}'` reads all of them"
        ),
        (Some(name), false) => format!("{}: `--format '{name}'` reads them", none_of(count)),
        (None, _) => match format::explain(lines) {
            Some(explanation) => format!("{}: {explanation}", none_of(count)),
            None => {
                format!("{}, and no known one does: they may be no access lines", none_of(count))
            }
        },
    })
}

fn none_of(lines: usize) -> String {
    format!("the given format reads none of the first {lines} lines of this file")
}

/// Returns whether a format reads a line with each value in its column.
fn reads_one(inferred: &Inferred, lines: &[&[u8]]) -> bool {
    let layout = inferred.layout.clone();
    let parser = LineParser::new(layout, Mask::default(), Exclusions::default());
    lines.iter().any(|line| match parser.parse(line) {
        Parsed::Reject(_) => false,
        parsed => !parsed.holds_unshaped(),
    })
}

/// Returns a format with its envelope, as `log_file` stores it.
fn stored_format(envelope: Option<Envelope>, format: &str) -> String {
    let first = format.split(' ').next().unwrap_or_default();
    let named = |name: &str| first == name && format != name;
    match envelope {
        Some(envelope) => format!("{} {format}", envelope.name()),
        None if named(PLAIN) || Envelope::ALL.iter().any(|one| named(one.name())) => {
            format!("{PLAIN} {format}")
        }
        None => format.to_owned(),
    }
}

/// Returns envelope and format of what `log_file` stores.
pub(crate) fn envelope_of(stored: &str) -> (Option<Envelope>, &str) {
    let Some((first, format)) = stored.split_once(' ') else { return (None, stored) };
    match Envelope::ALL.into_iter().find(|envelope| envelope.name() == first) {
        None if first == PLAIN => (None, format),
        None => (None, stored),
        envelope => (envelope, format),
    }
}

/// A file of the spool: what came from a stream.
#[derive(Debug)]
pub(crate) struct StreamFile {
    pub(crate) ending: StreamEnding,
    /// The format of the same stream's other files.
    pub(crate) format: Option<Arc<Format>>,
    /// The path of the stream, as it is watched.
    pub(crate) place: Option<PathBuf>,
}

/// Whether more may be added to a file of the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StreamEnding {
    Open,
    Finished,
}

/// What a file in a watched place is, by its own content.
pub(crate) enum Inspected {
    /// A log, unless no format reads it.
    Log { head: Fingerprint, detected: Result<Detected, Undetected> },
    /// Compressed.
    Archive,
    /// An archive that is refused.
    Container(Container),
    /// Nothing to be stored, at least as it stands.
    NoLog(Undetected),
}

/// Inspects a file that may grow. What came from a stream is a log for certain: lines that no format
/// reads are rejected once there are enough of them, and not left alone until the spool is full.
///
/// # Errors
/// A read that fails.
pub(crate) fn inspect(
    formats: &mut Formats,
    tail: &mut Tail,
    stream: Option<&StreamFile>,
) -> io::Result<Inspected> {
    tail.refresh()?; // a copy that was still being made when it was found may be complete by now
    if stream.is_none() {
        let first_bytes = tail.first_bytes(Container::MAGIC_LENGTH)?;
        if Compression::of(&first_bytes) != Compression::None {
            return Ok(Inspected::Archive);
        }
        if let Some(container) = Container::of(&first_bytes) {
            return Ok(Inspected::Container(container));
        }
    }
    let sample = sample(|limit| tail.first_bytes_after_nuls(limit))?;
    let Some(head) = head_fingerprint(&sample) else {
        return Ok(Inspected::NoLog(Undetected::NoLine));
    };
    tail.measure()?;
    let place = place_of(tail, stream);
    let mut detected = formats.detect(&place, &sample);
    let has_more = tail.size() > sample.len() as u64
        || memchr::memchr_iter(b'\n', &sample).nth(SAMPLE_LINES).is_some();
    if let (Err(why), None, true) = (&detected, stream, has_more) {
        let latest = formats.detect_by_latest(&place, &sample, &tail.last_bytes(SAMPLE)?);
        detected = latest.ok_or(*why);
    }
    let detected = match (stream, detected) {
        (Some(stream), Err(_)) => {
            if stream.ending == StreamEnding::Finished || Formats::is_enough(&sample) {
                formats.of_unreadable_stream(&place, tail, stream)
            } else {
                Err(Undetected::UnknownFormat)
            }
        }
        (None, Err(why @ (Undetected::ErrorLog | Undetected::NoLine))) => {
            return Ok(Inspected::NoLog(why));
        }
        (_, detected) => detected,
    };
    Ok(Inspected::Log { head, detected })
}

/// Returns the path by which the user's format for a file is found.
pub(crate) fn place_of(tail: &Tail, stream: Option<&StreamFile>) -> PathBuf {
    let stream = stream.and_then(|stream| stream.place.as_deref());
    stream.unwrap_or(tail.path()).to_path_buf()
}

impl Formats {
    /// Returns the format by which a stream is read whose lines no format reads.
    fn of_unreadable_stream(
        &mut self,
        place: &Path,
        tail: &Tail,
        stream: &StreamFile,
    ) -> Result<Detected, Undetected> {
        let format = match &stream.format {
            Some(format) => Arc::clone(format),
            None => {
                let format = self.fallback(place).ok_or(Undetected::UnknownFormat)?;
                warn!(path = %tail.path().display(), format = format.format,
                    "no known format reads the first lines of this stream: read by this one, and \
                     what cannot be read is rejected; give --format");
                format
            }
        };
        Ok(Detected::given(format, None))
    }

    /// Returns the format by which the file was read before, so that a restart goes on as it began;
    /// else what was detected.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn stored_or_detected(
        &mut self,
        place: &Path,
        known: &[(Checkpoint, ContentMatch)],
        detected: Result<Detected, Undetected>,
    ) -> Result<Detected, Undetected> {
        let before = known.iter().find(|(_, content_match)| *content_match == ContentMatch::Same);
        let before = before.and_then(|(known, _)| self.of_known(place, known));
        let Some(format) = before else { return detected };
        let given = detected.ok().filter(|given| Arc::ptr_eq(&given.format, &format));
        let unread = given.and_then(|given| given.unread);
        Ok(Detected { unread, ..Detected::of(format, FormatSource::Stored) })
    }
}

impl Formats {
    /// Returns the first of the formats that reads enough of the first lines: those of the same log
    /// before it was rotated or damaged. So a client whose requests are the first of a new log, and are
    /// odd, cannot keep it from being followed; nor can a power cut that tore most of its lines.
    ///
    /// # Errors
    /// A read that fails.
    pub(crate) fn as_before(
        &mut self,
        tail: &Tail,
        formats: impl IntoIterator<Item = (Arc<Format>, Odd)>,
    ) -> io::Result<Option<Detected>> {
        let mut formats =
            formats.into_iter().filter(|(format, _)| format.envelope.is_none()).peekable();
        if formats.peek().is_none() {
            return Ok(None);
        }
        let sample = sample(|limit| tail.first_bytes_after_nuls(limit))?;
        let lines = first_lines(&sample);
        let lines: Vec<&[u8]> =
            lines.into_iter().filter(|line| !line.trim_ascii().is_empty()).collect();
        let reads_enough = |(format, odd): &(Arc<Format>, Odd)| {
            let is_read = |line: &&&[u8]| !matches!(format.parser.parse(line), Parsed::Reject(_));
            let read = lines.iter().filter(is_read).count();
            read > 0 && odd.is_borne(lines.len() - read, lines.len())
        };
        let found = formats.find(reads_enough);
        Ok(found.map(|(format, _)| Detected {
            uncertain: vec![READ_AS_BEFORE.to_owned()],
            ..Detected::of(format, FormatSource::Before)
        }))
    }
}

/// How many of the first lines may be rejects by a format that the log had before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Odd {
    OneOfFive,
    Half,
    AllButOne,
}

impl Odd {
    fn is_borne(self, odd: usize, lines: usize) -> bool {
        match self {
            Self::OneOfFive => odd * 5 <= lines,
            Self::Half => odd * 2 <= lines,
            Self::AllButOne => odd < lines,
        }
    }
}

/// Says so if a known file goes on by another format than that of its stored lines.
pub(crate) fn log_other_format(path: &Path, known: &Checkpoint, format: &Format) {
    if known.committed > 0 && known.format != format.format {
        warn!(path = %path.display(), before = known.format, now = format.format,
            "this file goes on by another format than before: `log-ingestd reparse --rows` reads its \
            stored lines again by it");
    }
}

/// Says why a file in a watched place is left alone.
pub(crate) fn log_left_alone(path: &Path, why: Undetected) {
    // By now the path may be a link, of anyone's, to what is not shown.
    let source = Source::open_by(path, Links::Trusted(&|_| false)).ok();
    let explanation = source.and_then(|source| why.explanation(&source));
    let (path, finding, advice) = (path.display(), why.finding(), why.advice());
    match why {
        Undetected::NoLine => info!(%path, "{finding} yet: left alone until it has one"),
        Undetected::ErrorLog => {
            warn!(%path, "{finding}: left alone while its lines are no access lines; {advice}; or leave \
                it out with --exclude PATTERN");
        }
        Undetected::NoAccessLine(MoreLines::SeldomHelp) => {
            warn!(%path, "{finding}: left alone until there are some; {advice}");
        }
        Undetected::UnknownFormat => {
            let advice = explanation.map_or_else(
                || advice.to_owned(),
                |explanation| format!("{explanation}; {GIVE_IT}"),
            );
            warn!(%path, "{finding}: left alone; {advice}; or leave it out with --exclude PATTERN");
        }
        Undetected::NoAccessLine(MoreLines::MayHelp) => {
            info!(%path, "a container's log without access lines so far: waiting for them");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_format_and_its_envelope_are_read_back() {
        let envelopes = [None, Some(Envelope::Cri), Some(Envelope::Docker)];
        for envelope in envelopes {
            for format in ["json", "%(h)s", "cri %(h)s", "docker %(h)s", "plain cri %(h)s", "cri"] {
                let stored = stored_format(envelope, format);
                assert_eq!(envelope_of(&stored), (envelope, format), "{stored}");
            }
        }
        assert_eq!(stored_format(None, "%(h)s x"), "%(h)s x");
        assert_eq!(stored_format(Some(Envelope::Cri), "json"), "cri json");
    }
}
