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

/// In what an older version read lines differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OlderRule {
    /// It masked other values, and may have had fewer columns.
    Mask,
    /// It had fewer columns.
    Columns,
}

impl Format {
    /// Returns how older versions read lines of the same format, the newest of them first.
    pub(crate) fn older(&self) -> Vec<(OlderRule, Format)> {
        let without_columns = self.parser.with_older_columns();
        let parsers = [Some(&self.parser), without_columns.as_ref()];
        let masked = parsers.into_iter().flatten().flat_map(LineParser::with_older_masks);
        let masked: Vec<_> = masked.map(|parser| (OlderRule::Mask, parser)).collect();
        let columns = without_columns.into_iter().map(|parser| (OlderRule::Columns, parser));
        let (has_time, envelope) = (self.has_time, self.envelope);
        let with = |parser| Format { parser, format: self.format.clone(), has_time, envelope };
        columns.chain(masked).map(|(rule, parser)| (rule, with(parser))).collect()
    }

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
