//! Which parser reads which file.

use std::collections::HashMap;
use std::sync::Arc;

use crate::parse::{self, Detection, Layout, LineParser, Parsed};

use super::config::Parsing;

/// Bytes at a file's beginning that its format is told from (64 KiB).
pub(super) const SAMPLE: usize = 64 << 10;

/// Lines of them that are looked at.
const SAMPLE_LINES: usize = 64;

/// A parser, and the format that it reads.
#[derive(Debug)]
pub(super) struct Format {
    pub(super) parser: LineParser,
    /// The format string or `json`, as it is written down with the file.
    pub(super) format: String,
    /// Whether lines carry their time.
    pub(super) has_time: bool,
}

/// What a file's first lines say.
#[derive(Debug)]
pub(super) enum Choice {
    /// An access log. `told` names the preset if it was told from the lines and not given.
    Access { format: Arc<Format>, told: Option<&'static parse::Preset> },
    /// Gunicorn's error log: not ours to store.
    ErrorLog,
    /// Lines that no preset reads.
    Unknown,
    /// No complete line yet.
    NotYet,
}

/// Parsers by format; each is built once.
#[derive(Debug)]
pub(super) struct Formats {
    parsing: Parsing,
    built: HashMap<String, Arc<Format>>,
}

impl Formats {
    pub(super) fn new(parsing: Parsing) -> Self {
        Self { parsing, built: HashMap::new() }
    }

    /// Chooses by the user's format, else by the lines.
    pub(super) fn choose(&mut self, sample: &[u8]) -> Choice {
        let complete = memchr::memrchr(b'\n', sample).map_or(0, |at| at + 1);
        if complete == 0 && sample.len() < SAMPLE {
            return Choice::NotYet;
        }
        let lines: Vec<&[u8]> = sample[..complete]
            .split(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
            .take(SAMPLE_LINES)
            .collect();
        let detection = parse::detect(&lines);
        if let Some(layout) = self.parsing.layout.clone() {
            let format = self.build(layout);
            let reads = |line: &&[u8]| !matches!(format.parser.parse(line), Parsed::Reject(_));
            return match detection {
                Detection::ErrorLog if !lines.iter().any(reads) => Choice::ErrorLog,
                _ => Choice::Access { format, told: None },
            };
        }
        match detection {
            Detection::Access(preset) => self.preset(preset),
            Detection::ErrorLog => Choice::ErrorLog,
            Detection::NotYet => Choice::NotYet,
            Detection::Unknown => Choice::Unknown,
        }
    }

    fn preset(&mut self, preset: &'static parse::Preset) -> Choice {
        match Layout::compile(preset.format) {
            Ok(layout) => Choice::Access { format: self.build(layout), told: Some(preset) },
            Err(_) => Choice::Unknown, // every preset compiles: a test says so
        }
    }

    /// Whether more lines would not help to choose.
    pub(super) fn have_enough(sample: &[u8]) -> bool {
        sample.len() >= SAMPLE || memchr::memchr_iter(b'\n', sample).count() >= SAMPLE_LINES
    }

    /// The user's format, else Gunicorn's default: for what has to be read whatever it is.
    pub(super) fn plain(&mut self) -> Option<Arc<Format>> {
        let layout = self.parsing.layout.clone();
        let layout = layout.or_else(|| Layout::named_or_format("gunicorn").ok())?;
        Some(self.build(layout))
    }

    /// The parser of a format that was written down with a file, unless the user gave another.
    pub(super) fn stored(&mut self, format: &str) -> Option<Arc<Format>> {
        let layout = match &self.parsing.layout {
            Some(layout) => layout.clone(),
            None => Layout::compile(format).ok()?,
        };
        Some(self.build(layout))
    }

    fn build(&mut self, layout: Layout) -> Arc<Format> {
        let format = layout.format().to_owned();
        let parsing = &self.parsing;
        let built = self.built.entry(format.clone()).or_insert_with(|| {
            let has_time = layout.has_time();
            let parser = LineParser::new(layout, parsing.mask.clone(), parsing.exclusions.clone());
            Arc::new(Format { parser, format, has_time })
        });
        Arc::clone(built)
    }
}
