//! How the lines of one file are read.

use std::borrow::Cow;

use crate::format::LineParser;
use crate::model::Micros;
use crate::pipeline::read_lines::{Completeness, ReadContext};
use crate::source::{Envelope, text_at};

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
    /// Returns how lines are read to the end of the source. Lines without a time get `estimated`.
    pub(crate) fn context(&self, estimated: Micros, completeness: Completeness) -> ReadContext<'_> {
        ReadContext {
            parser: &self.parser,
            envelope: self.envelope,
            estimated,
            completeness,
            refused: None,
            max_bytes: u64::MAX,
        }
    }

    /// Returns what the program wrote and the time of the envelope, of a line at `offset` as
    /// [`crate::model::Batch::push_reject`] keeps it.
    ///
    /// # Errors
    /// The reason for its reject, if it has not the envelope that it should have.
    pub(crate) fn open<'a>(
        &self,
        offset: u64,
        raw: &'a [u8],
    ) -> Result<(Cow<'a, [u8]>, Option<Micros>), &'static str> {
        let Some(envelope) = self.envelope else {
            return Ok((Cow::Borrowed(text_at(offset, raw)), None));
        };
        let line = envelope.unpack(raw).ok_or(envelope.missing())?;
        Ok((line.payload, Some(line.time)))
    }
}
