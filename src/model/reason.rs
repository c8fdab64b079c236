//! Why a line became no row.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;

/// The stable code of a reason, as it is stored in `rejected_line.code`.
///
/// Words may be improved from version to version; a code never changes. Programs count and decide
/// by the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RejectCode {
    /// The line does not have the shape of its format, or, in JSON, the types of its keys.
    UnlikeFormat,
    /// The bytes are not UTF-8.
    NotUtf8,
    /// A value holds NUL.
    HoldsNul,
    /// The line can be read in too many ways.
    Ambiguous,
    /// The line is longer than a line may be: only its first bytes are stored.
    TooLong,
    /// The line continues the record of the line before it, which is a row.
    Continues,
    /// The last piece of a container's line in pieces is missing.
    NoFinalPiece,
    /// A line of a container's log has no envelope.
    NoEnvelope,
    /// The database refused the row of the line.
    RefusedByStore,
    /// The line is one of the server's own: its start, its workers, its errors.
    ServerLog,
}

impl RejectCode {
    /// All codes, in the order of their discriminants.
    pub const ALL: [Self; 10] = [
        Self::UnlikeFormat,
        Self::NotUtf8,
        Self::HoldsNul,
        Self::Ambiguous,
        Self::TooLong,
        Self::Continues,
        Self::NoFinalPiece,
        Self::NoEnvelope,
        Self::RefusedByStore,
        Self::ServerLog,
    ];

    /// Returns the stored code.
    pub fn name(self) -> &'static str {
        match self {
            Self::UnlikeFormat => "unlike_format",
            Self::NotUtf8 => "not_utf8",
            Self::HoldsNul => "holds_nul",
            Self::Ambiguous => "ambiguous",
            Self::TooLong => "too_long",
            Self::Continues => "continues",
            Self::NoFinalPiece => "no_final_piece",
            Self::NoEnvelope => "no_envelope",
            Self::RefusedByStore => "refused_by_store",
            Self::ServerLog => "server_log",
        }
    }

    /// Finds the code that is stored as `name`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Returns the value of the label `reason` in `/metrics`.
    ///
    /// The two codes of containers count as `unlike_format`, as they did before they had codes: label
    /// values are a contract with dashboards and alerts.
    pub fn metric_label(self) -> &'static str {
        match self {
            Self::NoFinalPiece | Self::NoEnvelope => Self::UnlikeFormat.name(),
            code => code.name(),
        }
    }

    /// Returns whether such a line may be a request that became no row. A line of the server itself is none,
    /// and the row of a record has all of the lines that continue it.
    pub fn is_unexpected(self) -> bool {
        !matches!(self, Self::ServerLog | Self::Continues)
    }

    /// Returns what to do about such lines, for a message.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::UnlikeFormat | Self::Ambiguous => {
                "`log-ingestd check FILE --format …` shows how a format reads them, and \
                 `log-ingestd reparse --format …` makes rows of them"
            }
            Self::NoEnvelope | Self::NoFinalPiece => {
                "another program may have written into a container's log, or a part of it is gone"
            }
            Self::NotUtf8 | Self::HoldsNul => {
                "a power cut, a full disk or two writers of one file may have damaged them"
            }
            Self::TooLong => "their first 64 KiB are kept",
            Self::RefusedByStore => "`log-ingestd reparse` tries them again",
            Self::Continues | Self::ServerLog => "they are none of the requests",
        }
    }

    /// Returns the cause in a few words, the same for each line with this code.
    pub fn words(self) -> &'static str {
        match self {
            Self::UnlikeFormat => "does not have the shape of its format",
            Self::NotUtf8 => "is not UTF-8",
            Self::HoldsNul => "holds NUL, which a text column cannot",
            Self::Ambiguous => "can be read in too many ways",
            Self::TooLong => "is longer than 4 MiB",
            Self::Continues => "continues the record of the line before it",
            Self::NoFinalPiece => {
                "has no final piece: 256 KiB of other lines or the end of the log come after it"
            }
            Self::NoEnvelope => "has no envelope of a container's log",
            Self::RefusedByStore => "the database cannot hold its row",
            Self::ServerLog => "is a line of the server itself, not a request",
        }
    }
}

/// Why a line became no row. [`Display`] gives the words that are stored in `rejected_line.reason`.
///
/// The words hold nothing of the line itself: equal causes give equal words, which can be counted,
/// and no personal data gets into the daemon's own log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RejectReason {
    /// Names what was tried last and what stood there instead; in JSON the key and its right type.
    UnlikeFormat(Arc<str>),
    /// See [`RejectCode::NotUtf8`].
    NotUtf8,
    /// See [`RejectCode::HoldsNul`]; of a JSON line with the key of the value.
    HoldsNul(Option<Arc<str>>),
    /// See [`RejectCode::Ambiguous`].
    Ambiguous,
    /// See [`RejectCode::TooLong`]; the length of the line in bytes.
    TooLong(u64),
    /// See [`RejectCode::Continues`].
    Continues,
    /// See [`RejectCode::NoFinalPiece`].
    NoFinalPiece,
    /// A line in pieces whose last piece is missing and whose others are too long to be kept; their
    /// length in bytes. Its code is [`RejectCode::TooLong`]: the reject does not hold the whole line.
    TooLongWithoutEnd(u64),
    /// See [`RejectCode::NoEnvelope`]; says what the envelope must look like.
    NoEnvelope(&'static str),
    /// See [`RejectCode::RefusedByStore`]; what the database answered.
    RefusedByStore(String),
    /// See [`RejectCode::ServerLog`].
    ServerLog,
}

impl RejectReason {
    /// Returns the stable code.
    pub fn code(&self) -> RejectCode {
        match self {
            Self::UnlikeFormat(_) => RejectCode::UnlikeFormat,
            Self::NotUtf8 => RejectCode::NotUtf8,
            Self::HoldsNul(_) => RejectCode::HoldsNul,
            Self::Ambiguous => RejectCode::Ambiguous,
            Self::TooLong(_) | Self::TooLongWithoutEnd(_) => RejectCode::TooLong,
            Self::Continues => RejectCode::Continues,
            Self::NoFinalPiece => RejectCode::NoFinalPiece,
            Self::NoEnvelope(_) => RejectCode::NoEnvelope,
            Self::RefusedByStore(_) => RejectCode::RefusedByStore,
            Self::ServerLog => RejectCode::ServerLog,
        }
    }
}

impl Display for RejectReason {
    fn fmt(&self, to: &mut Formatter<'_>) -> fmt::Result {
        let words = self.code().words();
        match self {
            Self::UnlikeFormat(words) => to.write_str(words),
            Self::HoldsNul(Some(key)) => {
                write!(to, "`{key}` holds NUL (\\u0000), which a text column cannot")
            }
            Self::TooLong(bytes) => write!(to, "{words}: {bytes} bytes, the first 64 KiB are kept"),
            Self::TooLongWithoutEnd(bytes) => {
                let no_end = RejectCode::NoFinalPiece.words();
                write!(to, "{words}, or {no_end}: {bytes} bytes, the first 64 KiB are kept")
            }
            Self::NoEnvelope(words) => to.write_str(words),
            Self::RefusedByStore(words) => to.write_str(words),
            Self::NotUtf8
            | Self::HoldsNul(None)
            | Self::Ambiguous
            | Self::Continues
            | Self::NoFinalPiece
            | Self::ServerLog => to.write_str(words),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_found_by_its_name() {
        for (at, code) in RejectCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, at);
            assert_eq!(RejectCode::named(code.name()), Some(code));
        }
        assert_eq!(RejectCode::named("from the future"), None);
    }

    #[test]
    fn the_labels_of_metrics_are_those_of_the_first_release_and_that_of_server_logs() {
        let mut labels = RejectCode::ALL.map(RejectCode::metric_label).to_vec();
        labels.sort_unstable();
        labels.dedup();
        let first = [
            "ambiguous",
            "continues",
            "holds_nul",
            "not_utf8",
            "refused_by_store",
            "server_log",
            "too_long",
            "unlike_format",
        ];
        assert_eq!(labels, first);
    }

    #[test]
    fn words_tell_the_measure_and_the_key() {
        for (reason, words) in [
            (RejectReason::TooLong(5), "is longer than 4 MiB: 5 bytes, the first 64 KiB are kept"),
            (RejectReason::HoldsNul(None), "holds NUL, which a text column cannot"),
            (
                RejectReason::HoldsNul(Some("url".into())),
                "`url` holds NUL (\\u0000), which a text column cannot",
            ),
        ] {
            assert_eq!(reason.to_string(), words);
        }
    }
}
