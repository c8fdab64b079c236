//! Whether lines are what their rows give when they are written again, and a patch for each that is not.
//!
//! Nearly every line is, and the parser knows it: no line is written again to find out. A line of which it does
//! not know is written from its row, in the form of the lines before it, and compared. If it differs, the form
//! has changed, or the row gets a patch. A difference that may be a secret is not kept: the row is marked.

use crate::format::LineParser;
use crate::model::{
    FormChange, FormTotals, GunicornLogModel, Likeness, MAX_FORM_CHANGES, Micros, form_at,
    patch_between, unkept,
};

/// A line and its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WrittenLine<'a> {
    /// Offset of its first byte.
    pub(crate) offset: u64,
    /// The time of a record that holds none.
    pub(crate) time: Micros,
    /// The text of the record, which may be several lines.
    pub(crate) text: &'a [u8],
    /// The bytes of its first line without its end.
    pub(crate) raw: &'a [u8],
}

/// The form of the lines of one file, as it is read.
#[derive(Clone, Debug)]
pub(crate) struct LinePatches {
    totals: FormTotals,
    /// What [`crate::model::Written::zone`] is in this form.
    zone: u64,
    changes: Vec<FormChange>,
    /// The forms of all lines, if they are known: then each line is compared.
    known: Option<Vec<FormChange>>,
}

impl LinePatches {
    /// Goes on after lines in this form.
    pub(crate) fn after(parser: &LineParser, totals: FormTotals) -> Self {
        let zone = parser.layout().zone_of(&totals.form);
        Self { totals, zone, changes: Vec::new(), known: None }
    }

    /// Takes lines whose forms are stored, in the order of their offsets.
    pub(crate) fn in_forms(forms: Vec<FormChange>) -> Self {
        let totals = FormTotals::default();
        Self { totals, zone: u64::MAX, changes: Vec::new(), known: Some(forms) }
    }

    /// Returns the form of the last line, and the changes.
    pub(crate) fn end(self) -> (FormTotals, Vec<FormChange>) {
        (self.totals, self.changes)
    }

    /// Returns whether the record gives its line for certain. The first line of a file may have a byte order
    /// mark before it.
    #[inline]
    pub(crate) fn is_plain(&self, record: &GunicornLogModel<'_>, offset: u64) -> bool {
        record.written.likeness == Likeness::Same && record.written.zone == self.zone && offset != 0
    }

    /// Compares a line with what its record gives, and returns the patch that its row gets.
    #[cold]
    pub(crate) fn patch(
        &mut self,
        parser: &LineParser,
        record: &GunicornLogModel<'_>,
        line: WrittenLine<'_>,
    ) -> Option<Vec<u8>> {
        if record.written.likeness == Likeness::Masked {
            return Some(unkept(line.raw.len()));
        }
        if let Some(forms) = &self.known {
            let form = form_at(forms, line.offset);
            self.totals = FormTotals { form, changes: MAX_FORM_CHANGES };
        }
        let row = record.stored(line.offset, line.time);
        let layout = parser.layout();
        let given = layout.line_of(&row, &self.totals.form)?;
        let given = first_line(&given);
        if given == line.raw {
            return None;
        }
        if !parser.masks_nothing(line.text, record) {
            return Some(unkept(line.raw.len()));
        }
        let patch = patch_between(given, line.raw)?;
        if self.totals.changes < MAX_FORM_CHANGES
            && let Ok(text) = std::str::from_utf8(line.text)
            && let Some(form) = layout.form_of(text)
            && form != self.totals.form
            && let Some(given) = layout.line_of(&row, &form)
        {
            let other = patch_between(first_line(&given), line.raw);
            if other.as_ref().is_none_or(|other| other.len() < patch.len()) {
                self.totals = FormTotals { form, changes: self.totals.changes + 1 };
                self.zone = layout.zone_of(&form);
                self.changes.push(FormChange { offset: line.offset, form });
                return other;
            }
        }
        Some(patch)
    }
}

/// Returns the first line of a record. Those after it are rejects, which keep their bytes.
pub(crate) fn first_line(text: &str) -> &[u8] {
    let text = text.as_bytes();
    memchr::memchr(b'\n', text).map_or(text, |end| &text[..end])
}
