//! All files that the watched paths match and that are not followed, as they are reported.

use std::borrow::Cow;
use std::io;
use std::path::Path;

use crate::daemon::archives::{ArchiveVerdict, Archives};
use crate::daemon::files::{FollowedFiles, IgnoredFile, IgnoredReason};
use crate::identity::detect::Undetected;
use crate::model::IgnoredCode;
use crate::source::Container;
use crate::source::devices::Unreachable;

/// A file that is not followed.
#[derive(Clone, Debug)]
pub(crate) struct NotFollowed<'a> {
    pub(crate) path: &'a Path,
    pub(crate) code: IgnoredCode,
    /// What else is known of it.
    pub(crate) detail: Option<Cow<'a, str>>,
    /// Its size, if it is known.
    pub(crate) bytes: Option<u64>,
    /// Whether the log says it already, where it was found out; else how it is said.
    pub(crate) logged: Logged,
}

/// Who writes an ignored file into the daemon's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Logged {
    /// The code that found the reason, once.
    Already,
    /// The report of ignored files, in the words of the reason.
    ByReport,
    /// The report of ignored files, in the words for a file without a format.
    AsUndetected(Undetected),
}

impl FollowedFiles {
    /// Returns the files that are not followed. An archive whose content is stored is not among them.
    pub(crate) fn not_followed<'a>(
        &'a self,
        archives: &'a Archives,
    ) -> impl Iterator<Item = NotFollowed<'a>> {
        let ignored = self.ignored.iter().filter_map(|file| self.described(file, archives));
        let unopened = self.unopened.iter().map(|(path, error)| NotFollowed::of_error(path, error));
        let fifos = self.unrequested_fifos.iter().map(|path| NotFollowed {
            logged: Logged::Already,
            ..NotFollowed::of_path(path, IgnoredCode::Fifo)
        });
        let others = self.not_regular.iter();
        let others = others.map(|path| NotFollowed::of_path(path, IgnoredCode::NotRegular));
        let unread = self.found.unreadable.iter().map(|(path, error)| NotFollowed {
            logged: Logged::Already,
            ..NotFollowed::of_error(path, error)
        });
        let links = self.found.foreign_links.iter().chain(&self.foreign_links);
        let links = links.chain(&self.foreign_fifos).map(|path| NotFollowed {
            logged: Logged::Already,
            ..NotFollowed::of_path(path, IgnoredCode::ForeignLink)
        });
        ignored.chain(unopened).chain(fifos).chain(others).chain(unread).chain(links)
    }

    fn described<'a>(
        &'a self,
        file: &'a IgnoredFile,
        archives: &'a Archives,
    ) -> Option<NotFollowed<'a>> {
        let is_here = self.objects.contains(&file.key);
        let mut described = NotFollowed {
            bytes: Some(file.reason.size()),
            ..NotFollowed::of_path(&file.path, file.reason.code())
        };
        match &file.reason {
            IgnoredReason::Archive { .. } => match archives.verdict(file.key)? {
                ArchiveVerdict::Stored => return None,
                ArchiveVerdict::Unread => {}
                ArchiveVerdict::NotFollowed => {
                    described.code = IgnoredCode::Archive;
                    described.logged = Logged::Already;
                }
                ArchiveVerdict::Held => {
                    described.code = IgnoredCode::Copy;
                    described.detail = Some("an archive of a log that is still followed".into());
                }
                ArchiveVerdict::Holds(container) => described.holds(*container),
                ArchiveVerdict::Changed(file) => {
                    described.code = IgnoredCode::ChangedArchive;
                    described.detail = Some(format!("of file {}", file.0).into());
                    described.logged = Logged::Already;
                }
                ArchiveVerdict::Incomplete => described.code = IgnoredCode::IncompleteArchive,
                ArchiveVerdict::Unreadable(error) => {
                    described.code = IgnoredCode::Unreadable;
                    described.detail = Some(error.as_str().into());
                    described.logged = Logged::Already;
                }
            },
            IgnoredReason::NoLog { why, .. } => described.logged = Logged::AsUndetected(*why),
            IgnoredReason::Unreadable { error, .. } => {
                described.detail = Some(error.as_str().into());
            }
            IgnoredReason::CopyOf { file, .. } => {
                described.detail = Some(format!("of file {}", file.0).into());
                described.logged = Logged::Already;
            }
            IgnoredReason::Container { container, .. } => described.holds(*container),
            // It has no name in a watched place any more.
            IgnoredReason::HeldByAnotherWriter { .. } if !is_here => return None,
            IgnoredReason::HeldByAnotherWriter { .. } => described.logged = Logged::Already,
            IgnoredReason::Undecided(_) => {}
        }
        // No watched path matches a file of the spool; one that waits for its writer is as it should
        // be.
        let of_spool = self.spool.covers(&file.path);
        let waits = matches!(described.code, IgnoredCode::NoLine | IgnoredCode::Undecided);
        if of_spool && waits {
            return None;
        }
        if of_spool && matches!(described.logged, Logged::AsUndetected(_)) {
            described.logged = Logged::Already;
        }
        Some(described)
    }
}

impl<'a> NotFollowed<'a> {
    fn of_path(path: &'a Path, code: IgnoredCode) -> Self {
        Self { path, code, detail: None, bytes: None, logged: Logged::ByReport }
    }

    fn of_error(path: &'a Path, error: &io::Error) -> Self {
        if Unreachable::is(error) {
            // That is logged once for the whole file system.
            let unreachable = Self::of_path(path, IgnoredCode::Unreachable);
            return Self { logged: Logged::Already, ..unreachable };
        }
        let detail = Some(error.to_string().into());
        Self { detail, ..Self::of_path(path, IgnoredCode::Unreadable) }
    }

    fn holds(&mut self, container: Container) {
        self.code = IgnoredCode::Container;
        self.detail = Some(container.word().into());
        self.logged = Logged::Already;
    }
}
