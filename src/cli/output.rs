//! The one way to standard output, to standard error and to the log: what is not printable is escaped where a
//! terminal would obey it. A file and a pipe get the exact bytes of an answer.

use std::fmt;
use std::io::{self, IsTerminal, StderrLock, StdoutLock, Write};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::model::{is_printable, printable};

/// How a character is escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// `\u{9b}`
    Text,
    /// `\u009b`, which JSON reads as the same text.
    Json,
}

/// Writes text, in which every character but a newline that is not printable is escaped.
#[derive(Debug)]
pub(super) struct Output<W> {
    to: W,
    form: Form,
    escapes: bool,
    /// The beginning of a character whose other bytes were not written yet.
    begun: Vec<u8>,
}

/// Returns standard output for an answer: exact, unless a terminal shows it.
pub(super) fn stdout(form: Form) -> Output<StdoutLock<'static>> {
    let to = io::stdout().lock();
    let escapes = to.is_terminal();
    Output { to, form, escapes, begun: Vec::new() }
}

/// Returns standard error for the log and for errors.
pub(super) fn stderr(form: Form) -> Output<StderrLock<'static>> {
    Output { to: io::stderr().lock(), form, escapes: true, begun: Vec::new() }
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !self.escapes {
            return self.to.write(bytes);
        }
        self.begun.extend_from_slice(bytes);
        let text = std::mem::take(&mut self.begun);
        let mut shown = String::with_capacity(text.len());
        let mut chunks = text.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            for character in chunk.valid().chars() {
                match character == '\n' || is_printable(character) {
                    true => shown.push(character),
                    false => self.form.escape(character, &mut shown),
                }
            }
            let invalid = chunk.invalid();
            if chunks.peek().is_none() && is_begun(invalid) {
                self.begun = invalid.to_vec();
            } else if !invalid.is_empty() {
                shown.push(char::REPLACEMENT_CHARACTER);
            }
        }
        self.to.write_all(shown.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// Returns whether these bytes are the beginning of a character.
fn is_begun(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

impl Form {
    fn escape(self, character: char, shown: &mut String) {
        match self {
            Self::Text => shown.extend(character.escape_default()),
            Self::Json => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    shown.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
}

/// Writes the message and the fields of a record of the log on one line.
#[derive(Debug)]
pub(super) struct PrintableFields;

impl<'w> FormatFields<'w> for PrintableFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = FieldWriter { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct FieldWriter<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl FieldWriter<'_> {
    fn write(&mut self, field: &Field, value: &str) -> fmt::Result {
        if !std::mem::replace(&mut self.is_first, false) {
            self.writer.write_char(' ')?;
        }
        let value = printable(value);
        match (field.name(), self.writer.has_ansi_escapes()) {
            ("message", _) => self.writer.write_str(&value),
            (name, false) => write!(self.writer, "{name}={value}"),
            (name, true) => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m{value}"),
        }
    }
}

impl Visit for FieldWriter<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if self.result.is_ok() {
            self.result = self.write(field, &format!("{value:?}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, escapes: bool, pieces: &[&[u8]]) -> String {
        let mut output = Output { to: Vec::new(), form, escapes, begun: Vec::new() };
        pieces.iter().for_each(|piece| output.write_all(piece).unwrap());
        String::from_utf8_lossy(&output.to).into_owned()
    }

    #[test]
    fn only_newlines_and_what_is_printable_reach_a_terminal() {
        let text = "a\x1b[2J\u{9b}\u{202e}ä👍\n".as_bytes();
        assert_eq!(written(Form::Text, true, &[text]), "a\\u{1b}[2J\\u{9b}\\u{202e}ä👍\n");
        assert_eq!(written(Form::Json, true, &[text]), "a\\u001b[2J\\u009b\\u202eä👍\n");
        assert_eq!(written(Form::Json, true, &["\u{e0041}".as_bytes()]), "\\udb40\\udc41");
        assert_eq!(written(Form::Text, false, &[text]).as_bytes(), text);
        // A character may come in pieces.
        let pieces: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(written(Form::Text, true, &pieces), written(Form::Text, true, &[text]));
        assert_eq!(written(Form::Text, true, &[b"a\xffb"]), "a\u{fffd}b");
    }
}
