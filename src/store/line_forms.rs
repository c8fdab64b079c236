//! The forms of the lines of a file as JSON, `[[offset,form],…]`.

use crate::model::{FormChange, LineForm};

/// Writes changes of the form.
pub(super) fn text(changes: &[FormChange]) -> String {
    let pairs: Vec<(u64, &str)> =
        changes.iter().map(|change| (change.offset, change.form.as_str())).collect();
    serde_json::json!(pairs).to_string()
}

/// Reads what [`text`] writes; `None` if the text is something else.
pub(super) fn line_forms(text: &str) -> Option<Vec<FormChange>> {
    let pairs: Vec<(u64, String)> = serde_json::from_str(text).ok()?;
    let change =
        |(offset, form): (u64, String)| Some(FormChange { offset, form: LineForm::of(&form)? });
    pairs.into_iter().map(change).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let change = |offset, form| FormChange { offset, form: LineForm::of(form).unwrap() };
        for changes in [vec![], vec![change(0, ": +0530")], vec![change(3, "\"\\"), change(9, "")]]
        {
            assert_eq!(line_forms(&text(&changes)), Some(changes));
        }
        assert_eq!(line_forms(r#"[[1, "x"]]"#), Some(vec![change(1, "x")])); // as PostgreSQL writes it
        assert_eq!(line_forms("[[1,2]]"), None);
    }
}
