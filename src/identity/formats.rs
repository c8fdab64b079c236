//! Which parser reads which file.
//!
//! A container's log is told by the envelope of its first lines, whatever format the user gave. It
//! begins with whatever the program says at its start, so that its format is looked for in all of a
//! larger beginning, and waited for.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use crate::format;
use crate::format::{Detection, Layout, LineParser, Parsed};
use crate::source::{BOUNDS, Block, Envelope, Joined, OutputStream};

use crate::format::Parsing;
pub(crate) use crate::pipeline::file_format::Format;

/// Bytes at a file's beginning that its format is told from (64 KiB).
pub(crate) const SAMPLE: usize = 64 << 10;

/// The same of a container's log (256 KiB).
const CONTAINED_SAMPLE: usize = 256 << 10;

/// Lines of them that are looked at; of a container's log, at a time.
const SAMPLE_LINES: usize = 64;

/// What stands before a format, where it is written down, that begins like the name of an envelope.
const PLAIN: &str = "plain";

/// The first bytes of a file, as many as its format is told from. `first_bytes` gives as many as it
/// is asked for, or all that there are.
///
/// # Errors
/// What `first_bytes` says.
pub(crate) fn sample(first_bytes: impl Fn(usize) -> io::Result<Vec<u8>>) -> io::Result<Vec<u8>> {
    let sample = first_bytes(SAMPLE)?;
    match Envelope::of_file(&first_lines(&sample)) {
        Some(_) if sample.len() >= SAMPLE => first_bytes(CONTAINED_SAMPLE),
        _ => Ok(sample),
    }
}

/// Complete lines.
fn first_lines(sample: &[u8]) -> Vec<&[u8]> {
    let complete = memchr::memrchr(b'\n', sample).map_or(0, |at| at + 1);
    sample[..complete]
        .split(|&byte| byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .take(SAMPLE_LINES)
        .collect()
}

/// What a file's first lines say.
#[derive(Debug)]
pub(crate) enum Choice {
    /// An access log. `told` names the preset if it was told from the lines and not given.
    Access { format: Arc<Format>, told: Option<&'static format::Preset> },
    /// Gunicorn's error log: not ours to store.
    ErrorLog,
    /// Lines that no preset reads.
    Unknown,
    /// No complete line yet.
    NotYet,
    /// A container's log without access lines. `open`: so far.
    Contained { open: bool },
}

/// Parsers by format; each is built once.
#[derive(Debug)]
pub(crate) struct Formats {
    parsing: Parsing,
    built: HashMap<String, Arc<Format>>,
}

impl Formats {
    pub(crate) fn new(parsing: Parsing) -> Self {
        Self { parsing, built: HashMap::new() }
    }

    /// Chooses by the user's format, else by the lines.
    pub(crate) fn choose(&mut self, sample: &[u8]) -> Choice {
        if sample.len() < SAMPLE && memchr::memchr(b'\n', sample).is_none() {
            return Choice::NotYet;
        }
        let lines = first_lines(sample);
        if let Some(envelope) = Envelope::of_file(&lines) {
            return self.choose_contained(envelope, sample);
        }
        let detection = format::detect(&lines);
        if let Some(layout) = self.parsing.layout.clone() {
            let format = self.build(None, layout);
            let reads = |line: &&[u8]| !matches!(format.parser.parse(line), Parsed::Reject(_));
            return match detection {
                Detection::ErrorLog if !lines.iter().any(reads) => Choice::ErrorLog,
                _ => Choice::Access { format, told: None },
            };
        }
        match detection {
            Detection::Access(preset) => self.preset(None, preset),
            Detection::ErrorLog => Choice::ErrorLog,
            Detection::NotYet => Choice::NotYet,
            Detection::Unknown => Choice::Unknown,
        }
    }

    /// The same of a container's log: the first lines among which there are access lines decide.
    /// What is on standard error beside them does not count.
    fn choose_contained(&mut self, envelope: Envelope, sample: &[u8]) -> Choice {
        if let Some(layout) = self.parsing.layout.clone() {
            return Choice::Access { format: self.build(Some(envelope), layout), told: None };
        }
        let mut lines: Vec<Joined<'_>> = Vec::new();
        let mut rest = sample;
        while let Some(block) = Block::first(envelope, rest, BOUNDS) {
            lines.extend(block.lines);
            rest = &rest[block.length..];
        }
        let preset = lines.chunks(SAMPLE_LINES).find_map(|lines| {
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
        match preset {
            Some(preset) => self.preset(Some(envelope), preset),
            None => Choice::Contained { open: sample.len() < CONTAINED_SAMPLE },
        }
    }

    fn preset(&mut self, envelope: Option<Envelope>, preset: &'static format::Preset) -> Choice {
        match Layout::compile(preset.format) {
            Ok(layout) => {
                Choice::Access { format: self.build(envelope, layout), told: Some(preset) }
            }
            Err(_) => Choice::Unknown, // every preset compiles: a test says so
        }
    }

    /// Whether more lines would not help to choose.
    pub(crate) fn have_enough(sample: &[u8]) -> bool {
        sample.len() >= SAMPLE || memchr::memchr_iter(b'\n', sample).count() >= SAMPLE_LINES
    }

    /// The user's format, else Gunicorn's default: for what has to be read whatever it is.
    pub(crate) fn plain(&mut self) -> Option<Arc<Format>> {
        let layout = self.parsing.layout.clone();
        let layout = layout.or_else(|| Layout::named_or_format("gunicorn").ok())?;
        Some(self.build(None, layout))
    }

    /// The parser of a format that was written down with a file, unless the user gave another for
    /// what is in the envelope.
    pub(crate) fn stored(&mut self, format: &str) -> Option<Arc<Format>> {
        let (envelope, format) = envelope_of(format);
        let layout = match &self.parsing.layout {
            Some(layout) => layout.clone(),
            None => Layout::compile(format).ok()?,
        };
        Some(self.build(envelope, layout))
    }

    /// The parser of another format for what is in the envelope that `stored` tells of.
    pub(crate) fn other(&mut self, stored: &str, format: &str) -> Option<Arc<Format>> {
        let (envelope, _) = envelope_of(stored);
        Some(self.build(envelope, Layout::compile(format).ok()?))
    }

    fn build(&mut self, envelope: Option<Envelope>, layout: Layout) -> Arc<Format> {
        let format = written_down(envelope, layout.format());
        let parsing = &self.parsing;
        let built = self.built.entry(format.clone()).or_insert_with(|| {
            let has_time = envelope.is_some() || layout.has_time();
            let parser = LineParser::new(layout, parsing.mask.clone(), parsing.exclusions.clone());
            Arc::new(Format { parser, format, has_time, envelope })
        });
        Arc::clone(built)
    }
}

/// A format with its envelope, as it is written down.
fn written_down(envelope: Option<Envelope>, format: &str) -> String {
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

/// What was written down, taken apart.
fn envelope_of(written: &str) -> (Option<Envelope>, &str) {
    let Some((first, format)) = written.split_once(' ') else { return (None, written) };
    match Envelope::ALL.into_iter().find(|envelope| envelope.name() == first) {
        None if first == PLAIN => (None, format),
        None => (None, written),
        envelope => (envelope, format),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_format_with_its_envelope_is_written_down_so_that_it_comes_back() {
        let envelopes = [None, Some(Envelope::Cri), Some(Envelope::Docker)];
        for envelope in envelopes {
            for format in ["json", "%(h)s", "cri %(h)s", "docker %(h)s", "plain cri %(h)s", "cri"] {
                let written = written_down(envelope, format);
                assert_eq!(envelope_of(&written), (envelope, format), "{written}");
            }
        }
        assert_eq!(written_down(None, "%(h)s x"), "%(h)s x");
        assert_eq!(written_down(Some(Envelope::Cri), "json"), "cri json");
    }
}
