//! Reasons for rejects, in classes: few enough to be counted one by one.

/// What kind of reason a line was rejected for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectClass {
    /// It does not have the shape of its format, or, in JSON, the types of its keys.
    Unlike,
    /// Its bytes are not UTF-8.
    NotUtf8,
    /// A value holds NUL.
    HoldsNul,
    /// It can be read in too many ways.
    Ambiguous,
    /// It is longer than a line may be.
    TooLong,
    /// It continues the record of the line before it, which is a row.
    Continues,
    /// The database refused its row.
    Refused,
}

impl RejectClass {
    /// All of them, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::Unlike,
        Self::NotUtf8,
        Self::HoldsNul,
        Self::Ambiguous,
        Self::TooLong,
        Self::Continues,
        Self::Refused,
    ];

    /// The class of a reason as it stands in `rejected_line.reason`. Whatever is not known by its
    /// words names an atom or a key: the line is unlike its format.
    pub fn of(reason: &str) -> Self {
        let begins = |words| reason.starts_with(words);
        if begins("is not UTF-8") {
            Self::NotUtf8
        } else if begins("holds NUL") || reason.contains("` holds NUL (") {
            Self::HoldsNul
        } else if begins("can be read in too many ways") {
            Self::Ambiguous
        } else if begins("is longer than") {
            Self::TooLong
        } else if begins("continues the record") {
            Self::Continues
        } else if reason.contains("cannot hold a row of the batch") {
            Self::Refused
        } else {
            Self::Unlike
        }
    }

    /// Its name, for programs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unlike => "unlike_format",
            Self::NotUtf8 => "not_utf8",
            Self::HoldsNul => "holds_nul",
            Self::Ambiguous => "ambiguous",
            Self::TooLong => "too_long",
            Self::Continues => "continues",
            Self::Refused => "refused_by_store",
        }
    }
}
