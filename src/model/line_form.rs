//! How the lines of a file are written, as far as neither its format nor a row says it: the zone of its times,
//! and a few habits of its server. Together with them a row gives its line back, see [`super::patch`].

/// The most bytes of a form.
const LONGEST: usize = 15;

/// The most changes of the form that are kept of one file: `log_file.line_forms` is written with each commit that
/// adds one. Lines in a further form get patches.
pub const MAX_FORM_CHANGES: u8 = 100;

/// What the lines of a file have in common: a short text, which `format` writes and reads. [`Default`] is the
/// form of plain lines: times in UTC.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LineForm {
    length: u8,
    bytes: [u8; LONGEST],
}

impl LineForm {
    /// Returns the form with this text; `None` if it is longer than a form can be.
    pub fn of(text: &str) -> Option<LineForm> {
        let mut bytes = [0; LONGEST];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(LineForm { length: u8::try_from(text.len()).ok()?, bytes })
    }

    /// Returns its text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default() // it was made of a text
    }
}

impl Default for LineForm {
    fn default() -> LineForm {
        LineForm { length: 0, bytes: [0; LONGEST] }
    }
}

impl std::fmt::Debug for LineForm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LineForm({:?})", self.as_str())
    }
}

/// A line from which on the lines of a file have another form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FormChange {
    /// Offset of the line's first byte.
    pub offset: u64,
    /// The form of it and of those after it.
    pub form: LineForm,
}

/// The form of the next line, and how many changes there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FormTotals {
    /// The form of the line before it.
    pub form: LineForm,
    /// How often the form has changed, at most [`MAX_FORM_CHANGES`].
    pub changes: u8,
}

impl FormTotals {
    /// Returns what these changes lead to.
    pub fn after(changes: &[FormChange]) -> FormTotals {
        let form = changes.last().map(|last| last.form).unwrap_or_default();
        FormTotals { form, changes: u8::try_from(changes.len()).unwrap_or(u8::MAX) }
    }
}

/// Returns the form of the line at `offset`, of changes in the order of their offsets.
pub fn form_at(changes: &[FormChange], offset: u64) -> LineForm {
    let after = changes.partition_point(|change| change.offset <= offset);
    after.checked_sub(1).map(|last| changes[last].form).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_holds_until_the_next_change() {
        let form = |text: &str| LineForm::of(text).unwrap();
        let change = |offset, text| FormChange { offset, form: form(text) };
        let changes = [change(10, ": +0100"), change(90, ": +0200")];
        let at = |offset| form_at(&changes, offset);
        assert_eq!(at(9).as_str(), "");
        assert_eq!((at(10), at(89), at(90)), (form(": +0100"), form(": +0100"), form(": +0200")));
        assert_eq!(FormTotals::after(&changes), FormTotals { form: form(": +0200"), changes: 2 });
        assert_eq!(FormTotals::after(&[]), FormTotals::default());
        assert_eq!(LineForm::of(&"x".repeat(16)), None);
    }
}
