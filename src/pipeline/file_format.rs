//! How the lines of one file are read.

use std::borrow::Cow;

use crate::format::LineParser;
use crate::model::Micros;
use crate::source::Envelope;

/// A parser, and the format that it reads.
#[derive(Debug)]
pub(crate) struct Format {
    pub(crate) parser: LineParser,
    /// The format string or `json`, as `log_file` stores it: after the name of the envelope, if
    /// there is one.
    pub(crate) format: String,
    /// Whether lines, or their envelopes, carry their time.
    pub(crate) has_time: bool,
    /// What is around each line.
    pub(crate) envelope: Option<Envelope>,
}

impl Format {
    /// Returns what the program wrote, of a line as [`crate::model::Batch::push_reject`] keeps it.
    ///
    /// # Errors
    /// The reason for its reject, if it has not the envelope that it should have.
    pub(crate) fn open<'a>(&self, raw: &'a [u8]) -> Result<Opened<'a>, &'static str> {
        let Some(envelope) = self.envelope else {
            return Ok(Opened { payload: Cow::Borrowed(raw), time: None });
        };
        let line = envelope.unpack(raw).ok_or(envelope.missing())?;
        Ok(Opened { payload: line.payload, time: Some(line.time) })
    }
}

/// A line out of its envelope, if it had one.
#[derive(Debug)]
pub(crate) struct Opened<'a> {
    pub(crate) payload: Cow<'a, [u8]>,
    /// The time that the envelope tells.
    pub(crate) time: Option<Micros>,
}
