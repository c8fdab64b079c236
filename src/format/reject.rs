//! Why a line became no record.

use std::sync::Arc;

use thiserror::Error;

/// Why a line became no record. The reasons hold nothing of the line itself: equal causes give
/// equal reasons, which can be counted, and no personal data gets into the daemon's own log.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Reject {
    /// Bytes that are not UTF-8: a text column holds nothing else.
    #[error("is not UTF-8")]
    NotUtf8,
    /// The line is whole, but a value holds NUL (U+0000), which PostgreSQL's text cannot.
    #[error("holds NUL, which a text column cannot")]
    HoldsNul,
    /// The line does not have the shape of the format; the reason names the atom that was tried
    /// furthest to the right, or of a JSON line the key that is wrong and what would be right.
    #[error("{0}")]
    Unlike(Arc<str>),
    /// The search for the fields' ends was given up; see [`Template::warnings`] for formats that
    /// invite this.
    ///
    /// [`Template::warnings`]: super::Template::warnings
    #[error("can be read in too many ways")]
    TooManyReadings,
}
