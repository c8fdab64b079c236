//! Why a file that a watched path matches is not followed.

/// The stable word of a reason: it is stored in `ignored_file.reason`, and is the label `reason` of
/// `log_ingestd_ignored_files`.
///
/// A new reason gets a variant here, a place in [`IgnoredCode::ALL`] and its words; the daemon's log,
/// `status`, the page and `/metrics` follow, and a test asks for its line in
/// `deploy/docs/troubleshooting.md`. Words may be improved; a stable word never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum IgnoredCode {
    /// An archive of a log that was not followed here.
    Archive,
    /// An archive that ends too early.
    IncompleteArchive,
    /// A copy of a followed file, or its archive.
    Copy,
    /// No known format reads its first lines.
    UnknownFormat,
    /// Gunicorn's error log.
    ErrorLog,
    /// A container's log without access lines.
    NoAccessLine,
    /// It holds no complete line.
    NoLine,
    /// It cannot be read.
    Unreadable,
    /// Another daemon writes it.
    HeldByAnotherWriter,
    /// An archive of a kind that is refused, such as tar, or an archive that holds one.
    Container,
    /// A link that is not followed, because it leads elsewhere and another user made it.
    ForeignLink,
    /// A FIFO in a watched directory.
    Fifo,
    /// Neither a regular file nor a FIFO, or a file of the kernel.
    NotRegular,
    /// No decision for longer than some seconds.
    Undecided,
    /// Its file system does not answer.
    Unreachable,
    /// An archive that was read, and holds something else now.
    ChangedArchive,
}

impl IgnoredCode {
    /// How many there are.
    pub const COUNT: usize = 16;

    /// All codes, in the order of their discriminants.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Archive,
        Self::IncompleteArchive,
        Self::Copy,
        Self::UnknownFormat,
        Self::ErrorLog,
        Self::NoAccessLine,
        Self::NoLine,
        Self::Unreadable,
        Self::HeldByAnotherWriter,
        Self::Container,
        Self::ForeignLink,
        Self::Fifo,
        Self::NotRegular,
        Self::Undecided,
        Self::Unreachable,
        Self::ChangedArchive,
    ];

    /// Returns the stable word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Archive => "archive",
            Self::IncompleteArchive => "incomplete_archive",
            Self::Copy => "copy",
            Self::UnknownFormat => "unknown_format",
            Self::ErrorLog => "error_log",
            Self::NoAccessLine => "no_access_line",
            Self::NoLine => "no_line",
            Self::Unreadable => "unreadable",
            Self::HeldByAnotherWriter => "held_by_another_writer",
            Self::Container => "container",
            Self::ForeignLink => "foreign_link",
            Self::Fifo => "fifo",
            Self::NotRegular => "not_regular",
            Self::Undecided => "undecided",
            Self::Unreachable => "unreachable",
            Self::ChangedArchive => "changed_archive",
        }
    }

    /// Finds the code of a stable word.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|code| code.name() == name)
    }

    /// Returns what the file is, and what to do.
    pub fn words(self) -> &'static str {
        match self {
            Self::Archive => {
                "an archive of a log that was not followed here; `log-ingestd import` reads it"
            }
            Self::IncompleteArchive => {
                "an archive that ends too early: it is read again until it is complete; if nothing \
                 writes it any more, `log-ingestd import` reads what there is"
            }
            Self::Copy => "a copy of a followed file; nothing to do",
            Self::UnknownFormat => {
                "no known format reads its first lines; give --format with the access_log_format of \
                 your Gunicorn, or leave the file out with --exclude"
            }
            Self::ErrorLog => {
                "Gunicorn's error log as far as it was read; the access log is another file; it is \
                 examined again as it grows, and followed when its lines are access lines"
            }
            Self::NoAccessLine => {
                "a container's log without an access line so far; it is examined again as it grows; \
                 if it has some, give --format"
            }
            Self::NoLine => "no complete line yet; it is followed when it has one",
            Self::Unreadable => {
                "it cannot be read; it is tried again, so give this user the permission"
            }
            Self::HeldByAnotherWriter => {
                "another log-ingestd writes it; this one takes over when that one ends"
            }
            Self::Container => {
                "an archive of a kind that log-ingestd does not read; unpack it first, or leave it out \
                 with --exclude"
            }
            Self::ForeignLink => {
                "a link to a file or directory elsewhere, made by a user who is neither root, nor \
                 the daemon's, nor the owner of what it leads to; watch that itself, have its owner \
                 make the link, or give --follow-symlinks"
            }
            Self::Fifo => {
                "a FIFO in a watched directory: what is read from it is gone for its reader; name \
                 it with --watch to follow it"
            }
            Self::NotRegular => {
                "neither a regular file nor a FIFO, but a socket, a device, or a file of the kernel as \
                 in /proc; leave it out with --exclude PATTERN"
            }
            Self::Undecided => {
                "it could not be compared with what is stored so far; it is tried again"
            }
            Self::Unreachable => {
                "its file system does not answer; it is looked at again, and nothing is lost meanwhile"
            }
            Self::ChangedArchive => {
                "an archive that was read, and holds something else by now; its lines may be stored already: \
                 `log-ingestd verify` compares it, `log-ingestd import` stores it as a log of its own"
            }
        }
    }

    /// Returns what a reason means that the database holds: a newer version may know more of them.
    pub fn explanation(name: &str) -> &'static str {
        Self::named(name).map_or("a reason that a newer log-ingestd knows", Self::words)
    }

    /// Returns whether the reason may be gone in a moment, so that it counts only when it lasts.
    pub fn is_provisional(self) -> bool {
        matches!(self, Self::NoLine | Self::Undecided)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_found_by_its_name_and_stands_at_its_place() {
        for (at, code) in IgnoredCode::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, at);
            assert_eq!(IgnoredCode::named(code.name()), Some(code));
            assert_eq!(IgnoredCode::explanation(code.name()), code.words());
        }
        assert!(IgnoredCode::explanation("from the future").contains("newer"));
    }

    #[test]
    fn the_stable_words_do_not_change() {
        let first = [
            "archive",
            "incomplete_archive",
            "copy",
            "unknown_format",
            "error_log",
            "no_access_line",
            "no_line",
            "unreadable",
            "held_by_another_writer",
            "container",
            "foreign_link",
            "fifo",
            "not_regular",
            "undecided",
            "unreachable",
            "changed_archive",
        ];
        assert!(first.iter().all(|name| IgnoredCode::named(name).is_some()));
    }
}
