//! The reasons why a line is not a record.

use std::sync::Arc;

use thiserror::Error;

use crate::model::RejectReason;

/// Why a line is not a record. A reason holds nothing of the line itself. So equal causes have equal
/// reasons, which can be counted, and no personal data gets into the daemon's own log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reject {
    /// The line is not UTF-8. A text column can hold nothing else.
    #[error("is not UTF-8")]
    NotUtf8,
    /// The line matches, but a value holds NUL (U+0000), which text in PostgreSQL cannot.
    #[error("holds NUL, which a text column cannot")]
    HoldsNul,
    /// The same of a JSON line, with the key of the value.
    #[error("`{0}` holds NUL (\\u0000), which a text column cannot")]
    KeyHoldsNul(Arc<str>),
    /// The line does not match its format. The reason names the atom of the furthest failure. Of a JSON
    /// line it names the wrong key and what is expected.
    #[error("{0}")]
    Unlike(Arc<str>),
    /// The search for the fields' ends exceeded its budget. [`Template::warnings`] tells which formats
    /// may cause this.
    ///
    /// [`Template::warnings`]: super::Template::warnings
    #[error("can be read in too many ways")]
    TooManyReadings,
}

impl From<Reject> for RejectReason {
    fn from(reject: Reject) -> Self {
        match reject {
            Reject::NotUtf8 => Self::NotUtf8,
            Reject::HoldsNul => Self::HoldsNul(None),
            Reject::KeyHoldsNul(key) => Self::HoldsNul(Some(key)),
            Reject::Unlike(words) => Self::UnlikeFormat(words),
            Reject::TooManyReadings => Self::Ambiguous,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reject_is_stored_with_its_own_words() {
        for reject in [
            Reject::NotUtf8,
            Reject::HoldsNul,
            Reject::KeyHoldsNul("url".into()),
            Reject::Unlike("no closing quote".into()),
            Reject::TooManyReadings,
        ] {
            assert_eq!(RejectReason::from(reject.clone()).to_string(), reject.to_string());
        }
    }
}
