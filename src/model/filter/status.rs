//! Codes of responses as people ask for them.

pub(super) const EXPECTED: &str = "not a code: expected 404, 4xx, 400-499, >=400, or several of them with commas between; codes are 0, which \
     some servers log for none, and 100 to 999";

/// A range of codes, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Codes {
    /// The lowest.
    pub first: i32,
    /// The highest.
    pub last: i32,
}

impl Codes {
    pub(super) fn read(text: &str) -> Option<Codes> {
        let text = text.trim();
        if let Some(class) = text.strip_suffix("xx") {
            let class: i32 = class.parse().ok().filter(|class| (1..=9).contains(class))?;
            return Some(Codes { first: class * 100, last: class * 100 + 99 });
        }
        if let Some(first) = text.strip_prefix(">=") {
            return Some(Codes { first: number(first)?, last: i32::MAX });
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (number(first)?, number(last)?);
        (first <= last).then_some(Codes { first, last })
    }
}

fn number(text: &str) -> Option<i32> {
    text.trim().parse().ok().filter(|number| matches!(number, 0 | 100..=999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_classes_and_ranges() {
        for (given, first, last) in [
            ("404", 404, 404),
            ("4xx", 400, 499),
            (" 400-499 ", 400, 499),
            (">=400", 400, i32::MAX),
            ("0", 0, 0),
        ] {
            assert_eq!(Codes::read(given), Some(Codes { first, last }), "{given}");
        }
        for given in
            ["", "x", "0xx", "xx", "500-400", "-1", ">= x", "99", "1000", "40-49", "99999999999"]
        {
            assert_eq!(Codes::read(given), None, "{given}");
        }
    }
}
