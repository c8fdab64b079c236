//! Detects the format and the envelope of a file: by what the user gave, else by its first lines.
//!
//! A container's log is detected by the envelope of its first lines, whatever format the user gave.
//! It begins with what the program prints at its start, so that its format is looked for in a larger
//! sample, and waited for.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use tracing::{info, warn};

use crate::format;
use crate::format::{Detection, Inferred, Layout, LineParser, Parsed, Parsing, Preset};
use crate::model::{Checkpoint, Fingerprint, IgnoredCode};
use crate::pipeline::file_format::Format;
use crate::source::fingerprint::{ContentMatch, head_fingerprint};
use crate::source::whole_file::Source;
use crate::source::{
    BOUNDS, Block, Compression, Container, Envelope, Joined, OutputStream, Tail,
    without_byte_order_mark,
};

/// Bytes at a file's beginning that its format is detected from (64 KiB).
pub(crate) const SAMPLE: usize = 64 << 10;

/// Bytes at the beginning of a container's log that its format is detected from (256 KiB).
const ENVELOPED_SAMPLE: usize = 256 << 10;

/// Lines of them that a format is checked against.
const SAMPLE_LINES: usize = 1_000;

/// Lines of a container's log that are tried at a time, and lines of a stream that are enough.
const FEW_LINES: usize = 64;

/// Of the first lines of a log that was rotated, one of so many may be a reject by the format of the log
/// before.
const ONE_ODD_OF: usize = 5;

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

/// Returns the first bytes of a file, as many as its format is detected from. `first_bytes` returns
/// as many as it is asked for, or all that there are, without the NULs at the beginning of the file.
///
/// # Errors
/// What `first_bytes` returns.
pub(crate) fn sample(first_bytes: impl Fn(usize) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let sample = first_bytes(SAMPLE)?;
    match Envelope::of_file(&first_lines(&sample)) {
        Some(_) if sample.len() >= SAMPLE => first_bytes(ENVELOPED_SAMPLE),
        _ => Ok(sample),
    }
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
    fn given(format: Arc<Format>) -> Self {
        Self { format, source: FormatSource::Given, uncertain: Vec::new() }
    }

    /// Returns the preset's name, else the format itself.
    pub(crate) fn name(&self) -> &str {
        match self.source {
            FormatSource::Preset(preset) => preset.name,
            _ => self.format.parser.layout().format(),
        }
    }

    /// Returns a sentence for each value that may be read wrongly, or whose meaning is open.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut warnings = self.format.parser.layout().warnings();
        warnings.extend(self.uncertain.iter().cloned());
        warnings
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

/// Whether more lines may change what was detected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MoreLines {
    MayHelp,
    DoNotHelp,
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
            Undetected::ErrorLog => MoreLines::DoNotHelp,
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

/// Builds each parser once.
#[derive(Debug)]
pub(crate) struct Formats {
    parsing: Parsing,
    built: HashMap<String, Arc<Format>>,
}

impl Formats {
    pub(crate) fn new(parsing: Parsing) -> Self {
        Self { parsing, built: HashMap::new() }
    }

    /// Detects the format of a file by its `sample`.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn detect(&mut self, sample: &[u8]) -> Result<Detected, Undetected> {
        if sample.len() < SAMPLE && memchr::memchr(b'\n', sample).is_none() {
            return Err(Undetected::NoLine);
        }
        let lines = first_lines(sample);
        if let Some(envelope) = Envelope::of_file(&lines) {
            return self.detect_enveloped(envelope, sample);
        }
        let mut detected = self.detect_lines(&lines)?;
        if format::lacks_zone(detected.format.parser.layout(), &lines) {
            detected.uncertain.push(NO_ZONE.to_owned());
        }
        Ok(detected)
    }

    fn detect_lines(&mut self, lines: &[&[u8]]) -> Result<Detected, Undetected> {
        let detection = format::detect(lines);
        if let Some(layout) = self.parsing.layout.clone() {
            let format = self.build(None, layout);
            let reads = |line: &&[u8]| !matches!(format.parser.parse(line), Parsed::Reject(_));
            return match detection {
                Detection::ErrorLog if !lines.iter().any(reads) => Err(Undetected::ErrorLog),
                _ => Ok(Detected::given(format)),
            };
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
    pub(crate) fn detect_complete(&mut self, mut sample: Vec<u8>) -> Result<Detected, Undetected> {
        if !sample.is_empty() && sample.len() < SAMPLE && !sample.ends_with(b"\n") {
            sample.push(b'\n');
        }
        self.detect(&sample)
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
        let detected = self.detect_complete(sample)?;
        let (format, from) = (detected.name(), detected.source.name());
        info!(path = source.name, format, source = from, "reading a file");
        detected.warn(&source.name);
        Ok(detected)
    }

    /// Detects the format of a container's log: the first lines among which there are access lines
    /// decide. Lines of standard error do not count.
    fn detect_enveloped(
        &mut self,
        envelope: Envelope,
        sample: &[u8],
    ) -> Result<Detected, Undetected> {
        if let Some(layout) = self.parsing.layout.clone() {
            return Ok(Detected::given(self.build(Some(envelope), layout)));
        }
        let mut lines: Vec<Joined<'_>> = Vec::new();
        let mut rest = sample;
        while let Some(block) = Block::first(envelope, rest, BOUNDS) {
            lines.extend(block.lines);
            rest = &rest[block.length..];
        }
        let inferred = lines.chunks(FEW_LINES).find_map(|lines| {
            let (mut stdout, mut stderr): (Vec<&[u8]>, Vec<&[u8]>) = Default::default();
            for line in lines {
                let of_stream = match line.stream {
                    Some(OutputStream::Stderr) => &mut stderr,
                    _ => &mut stdout,
                };
                of_stream.push(&line.payload);
            }
            format::find_access(&stdout, &stderr)
        });
        match inferred {
            Some(inferred) => Ok(self.inferred(Some(envelope), inferred)),
            None => Err(Undetected::NoAccessLine(match sample.len() < ENVELOPED_SAMPLE {
                true => MoreLines::MayHelp,
                false => MoreLines::DoNotHelp,
            })),
        }
    }

    fn inferred(&mut self, envelope: Option<Envelope>, inferred: Inferred) -> Detected {
        let Inferred { layout, preset, uncertain } = inferred;
        let source = preset.map_or(FormatSource::Inferred, FormatSource::Preset);
        Detected { format: self.build(envelope, layout), source, uncertain }
    }

    /// Returns whether more lines would not help to detect the format.
    fn is_enough(sample: &[u8]) -> bool {
        sample.len() >= SAMPLE || memchr::memchr_iter(b'\n', sample).count() >= FEW_LINES
    }

    /// Returns the user's format, else Gunicorn's default: for a stream, whose lines are read by some
    /// format in any case.
    fn fallback(&mut self) -> Option<Arc<Format>> {
        let layout = self.parsing.layout.clone();
        let layout = layout.or_else(|| Layout::named_or_format("gunicorn").ok())?;
        Some(self.build(None, layout))
    }

    /// Returns the parser of a format as `log_file` stores it, unless the user gave another for what
    /// is in the envelope.
    pub(crate) fn stored(&mut self, format: &str) -> Option<Arc<Format>> {
        let (envelope, format) = envelope_of(format);
        let layout = match &self.parsing.layout {
            Some(layout) => layout.clone(),
            None => Layout::compile(format).ok()?,
        };
        Some(self.build(envelope, layout))
    }

    /// Returns the parser of another format for what is in the envelope of the format `stored`.
    pub(crate) fn other(&mut self, stored: &str, format: &str) -> Option<Arc<Format>> {
        let (envelope, _) = envelope_of(stored);
        Some(self.build(envelope, Layout::compile(format).ok()?))
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
fn envelope_of(stored: &str) -> (Option<Envelope>, &str) {
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
    let detected = formats.detect(&sample);
    let detected = match (stream, detected) {
        (Some(stream), Err(_)) => {
            if stream.ending == StreamEnding::Finished || Formats::is_enough(&sample) {
                formats.of_unreadable_stream(tail, stream)
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

impl Formats {
    /// Returns the format by which a stream is read whose lines no format reads.
    fn of_unreadable_stream(
        &mut self,
        tail: &Tail,
        stream: &StreamFile,
    ) -> Result<Detected, Undetected> {
        let format = match &stream.format {
            Some(format) => Arc::clone(format),
            None => {
                let format = self.fallback().ok_or(Undetected::UnknownFormat)?;
                warn!(path = %tail.path().display(), format = format.format,
                    "no known format reads the first lines of this stream: read by this one, and \
                     what cannot be read is rejected; give --format");
                format
            }
        };
        Ok(Detected::given(format))
    }

    /// Returns the format by which the file was read before, so that a restart goes on as it began;
    /// else what was detected.
    ///
    /// # Errors
    /// Why it has none.
    pub(crate) fn stored_or_detected(
        &mut self,
        known: &[(Checkpoint, ContentMatch)],
        detected: Result<Detected, Undetected>,
    ) -> Result<Detected, Undetected> {
        let before = known.iter().find(|(_, content_match)| *content_match == ContentMatch::Same);
        let before = before.and_then(|(known, _)| self.stored(&known.format));
        let stored =
            |format| Detected { format, source: FormatSource::Stored, uncertain: Vec::new() };
        before.map_or(detected, |format| Ok(stored(format)))
    }
}

impl Formats {
    /// Returns the first of the formats that reads nearly all of the first lines: those of the same log
    /// before it was rotated. So a client whose requests are the first of a new log, and are odd, cannot
    /// keep it from being followed.
    ///
    /// # Errors
    /// A read that fails.
    pub(crate) fn as_before(
        &mut self,
        tail: &Tail,
        formats: impl IntoIterator<Item = Arc<Format>>,
    ) -> io::Result<Option<Detected>> {
        let mut formats = formats.into_iter().filter(|format| format.envelope.is_none()).peekable();
        if formats.peek().is_none() {
            return Ok(None);
        }
        let sample = sample(|limit| tail.first_bytes_after_nuls(limit))?;
        let lines = first_lines(&sample);
        let lines: Vec<&[u8]> =
            lines.into_iter().filter(|line| !line.trim_ascii().is_empty()).collect();
        let reads_most = |format: &Arc<Format>| {
            let is_read = |line: &&&[u8]| !matches!(format.parser.parse(line), Parsed::Reject(_));
            let read = lines.iter().filter(is_read).count();
            read > 0 && (lines.len() - read) * ONE_ODD_OF <= lines.len()
        };
        let found = formats.find(reads_most);
        Ok(found.map(|format| Detected {
            format,
            source: FormatSource::Before,
            uncertain: vec![READ_AS_BEFORE.to_owned()],
        }))
    }
}

/// Says why a file in a watched place is left alone.
pub(crate) fn log_left_alone(path: &Path, why: Undetected) {
    let explanation = Source::open(path).ok().and_then(|source| why.explanation(&source));
    let (path, finding, advice) = (path.display(), why.finding(), why.advice());
    match why {
        Undetected::NoLine => info!(%path, "{finding} yet: left alone until it has one"),
        Undetected::ErrorLog | Undetected::NoAccessLine(MoreLines::DoNotHelp) => {
            info!(%path, "{finding}: left alone; {advice}");
        }
        Undetected::UnknownFormat => {
            let advice = explanation.map_or_else(
                || advice.to_owned(),
                |explanation| format!("{explanation}; {GIVE_IT}"),
            );
            warn!(%path, "{finding}: left alone; {advice}; or leave it out with --exclude");
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
