//! Errors of a store, classified by what the caller can do.
//!
//! The store tries once; the caller waits and tries again. A message names the database, and never
//! its password or a row's values: PostgreSQL's DETAIL and CONTEXT, which quote rows, are left out.
//! The class depends on SQLSTATE or SQLite's result code, never on the words of a message.

use std::error::Error as StdError;
use std::io;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use crate::model::FileId;

/// The source of a [`StoreError`].
pub type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// An error of a store. The field `store` is the [`super::Location`] as text.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is unreachable, restarting, full, locked or read-only. Waiting may help. Nothing
    /// was stored, unless the answer to a COMMIT was lost: see [`super::Writer::committed`].
    #[error("{store} is not available")]
    Unavailable {
        /// The database.
        store: String,
        /// The error of the database or of the operating system.
        #[source]
        source: Cause,
    },
    /// The credentials are wrong, the database does not exist, a permission is missing, or the file
    /// is not a database. A person has to act.
    #[error("{store} refuses access")]
    Refused {
        /// The database.
        store: String,
        /// The database's error.
        #[source]
        source: Cause,
    },
    /// A newer version of this program created or upgraded the tables. Nothing was stored.
    #[error(
        "{store} has schema {found}, made by a newer log-ingestd; this one knows schema {known}: \
         upgrade it"
    )]
    Newer {
        /// The database.
        store: String,
        /// The database's schema.
        found: i64,
        /// This program's schema.
        known: i64,
    },
    /// The tables have an older schema, and this command may not upgrade them.
    #[error(
        "{store} has schema {found}, this log-ingestd needs schema {known}: `log-ingestd migrate` \
         brings it there, and stops daemons that are older"
    )]
    Older {
        /// The database.
        store: String,
        /// The database's schema.
        found: i64,
        /// This program's schema.
        known: i64,
    },
    /// The SQLite file does not exist, or the database has no tables of this program. This command only reads,
    /// and makes none.
    #[error(
        "{store} does not exist, or has no tables of log-ingestd: correct its URL (--database-url, or --from \
         of a copy), or store something there first, as with `log-ingestd watch PATH`"
    )]
    Absent {
        /// The database.
        store: String,
    },
    /// The database is the target of a copy that is not complete.
    #[error(
        "{store} holds half of a copy: the same `log-ingestd copy` again finishes it, and until then \
         nothing uses it"
    )]
    HalfCopied {
        /// The database.
        store: String,
    },
    /// The database is being copied to another one, and nothing is stored in it meanwhile.
    #[error(
        "{store} is being copied to another database: start this again when `log-ingestd copy` has ended, \
         with the URL of that database"
    )]
    BeingCopied {
        /// The database.
        store: String,
    },
    /// Another SQLite file is in the place of the one that this connection has open: it was restored, or moved
    /// away. What was stored over this connection last may be in neither. A new connection opens the other one.
    #[error("{store} was replaced by another database")]
    Replaced {
        /// The database.
        store: String,
    },
    /// An offset or epoch was not the one that the batch started from: another process has written.
    /// Nothing of the batch was stored.
    #[error("{store} holds another offset or owner for {}", list(files))]
    Conflict {
        /// The database.
        store: String,
        /// The files that did not match. The batch may have others, which did.
        files: Vec<FileId>,
    },
    /// The database refuses some row of the batch. Nothing of the batch was stored. Smaller batches
    /// find the row.
    #[error("{store} cannot hold a row of the batch")]
    BadRow {
        /// The database.
        store: String,
        /// The database's error.
        #[source]
        source: Cause,
    },
    /// Any other error. Trying again does not help.
    #[error("{store} failed")]
    Failed {
        /// The database.
        store: String,
        /// The database's error.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// Returns whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. } | StoreError::Replaced { .. })
    }

    /// Returns whether the program and the tables have different schemas, or the tables are copied.
    /// Nothing works until one of them is upgraded, or the copy is complete.
    pub fn is_about_schema(&self) -> bool {
        matches!(
            self,
            StoreError::Newer { .. }
                | StoreError::Older { .. }
                | StoreError::HalfCopied { .. }
                | StoreError::BeingCopied { .. }
        )
    }
}

fn list(files: &[FileId]) -> String {
    let ids: Vec<String> = files.iter().map(|file| format!("file {}", file.0)).collect();
    ids.join(", ")
}

/// A cause in the words of this program, or of the database.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Explanation(pub(super) String);

/// The class of an error, without the database's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Unavailable,
    Refused,
    BadRow,
    Failed,
}

impl Kind {
    pub(super) fn error(self, store: &str, source: impl Into<Cause>) -> StoreError {
        let (store, source) = (store.to_owned(), source.into());
        match self {
            Kind::Unavailable => StoreError::Unavailable { store, source },
            Kind::Refused => StoreError::Refused { store, source },
            Kind::BadRow => StoreError::BadRow { store, source },
            Kind::Failed => StoreError::Failed { store, source },
        }
    }

    /// Classifies a SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn of_sqlstate(code: &str) -> Kind {
        match code {
            "25006" => Kind::Unavailable, // read-only: a standby, or the reaction to a full disk
            "25P03" | "57P05" => Kind::Unavailable, // the server ended an idle session
            "28000" | "28P01" | "3D000" | "42501" => Kind::Refused,
            "55006" | "55P03" => Kind::Unavailable, // in use, locked
            _ => match code.get(..2) {
                // Connection, rollback (deadlock), resources (disk, memory), operator, system.
                Some("08" | "40" | "53" | "57" | "58") => Kind::Unavailable,
                // Data, constraints, too large for an index or a field, an error of a trigger.
                Some("22" | "23" | "54" | "P0") => Kind::BadRow,
                _ => Kind::Failed,
            },
        }
    }

    /// Classifies a result code of SQLite: <https://www.sqlite.org/rescode.html>.
    fn of_sqlite(code: &str) -> Kind {
        let primary = code.parse::<u32>().map_or(0, |code| code & 0xff);
        match primary {
            // BUSY, LOCKED, NOMEM, READONLY, INTERRUPT, IOERR, FULL, CANTOPEN, PROTOCOL
            5..=10 | 13..=15 => Kind::Unavailable,
            3 | 23 | 26 => Kind::Refused, // PERM, AUTH, NOTADB
            18..=20 => Kind::BadRow,      // TOOBIG, CONSTRAINT, MISMATCH
            _ => Kind::Failed,
        }
    }

    fn of_answer(answer: &dyn DatabaseError) -> Kind {
        let code = answer.code().unwrap_or_default();
        // A SQLSTATE has five characters, a result code of SQLite at most four.
        if code.len() == 5 { Kind::of_sqlstate(&code) } else { Kind::of_sqlite(&code) }
    }

    pub(super) fn of_io(error: &io::Error) -> Kind {
        match error.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidData => Kind::Refused,
            _ => Kind::Unavailable,
        }
    }
}

/// Returns the SQLSTATE or result code of an error; empty if it has none.
pub(super) fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(DatabaseError::code).unwrap_or_default().into_owned()
}

/// Returns a function for `map_err` that adds the store's name.
pub(super) fn failed(store: &str) -> impl FnOnce(sqlx::Error) -> StoreError + '_ {
    move |error| from_sqlx(store, error)
}

pub(super) fn from_sqlx(store: &str, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(answer) => {
            let kind = Kind::of_answer(&*answer);
            // The message and the code, never the details, which quote rows.
            let words = format!("{} ({})", answer.message(), answer.code().unwrap_or_default());
            kind.error(store, Explanation(words))
        }
        sqlx::Error::Io(error) => Kind::Unavailable.error(store, error),
        sqlx::Error::Configuration(cause) | sqlx::Error::Tls(cause) => {
            Kind::Refused.error(store, cause)
        }
        // The driver reports a server that stops in the middle of a message as a protocol error.
        error @ (sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) => {
            Kind::Unavailable.error(store, Explanation(error.to_string()))
        }
        error => Kind::Failed.error(store, Explanation(error.to_string())),
    }
}

pub(super) fn from_io(store: &str, error: io::Error) -> StoreError {
    Kind::of_io(&error).error(store, error)
}

pub(super) fn from_migrate(store: &str, error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
            from_sqlx(store, error)
        }
        error => Kind::Failed.error(store, Explanation(error.to_string())),
    }
}

/// Returns an error and its causes in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_classified_by_what_the_caller_can_do() {
        for (code, kind) in [
            ("08006", Kind::Unavailable),
            ("57P01", Kind::Unavailable),
            ("57P03", Kind::Unavailable),
            ("53100", Kind::Unavailable),
            ("25006", Kind::Unavailable),
            ("40P01", Kind::Unavailable),
            ("28P01", Kind::Refused),
            ("3D000", Kind::Refused),
            ("42501", Kind::Refused),
            ("22021", Kind::BadRow),
            ("23505", Kind::BadRow),
            ("54000", Kind::BadRow),
            ("P0001", Kind::BadRow),
            ("42P01", Kind::Failed),
        ] {
            assert_eq!(Kind::of_sqlstate(code), kind, "{code}");
        }
        for (code, kind) in [
            ("5", Kind::Unavailable),
            ("517", Kind::Unavailable), // SQLITE_BUSY_SNAPSHOT
            ("8", Kind::Unavailable),
            ("13", Kind::Unavailable),
            ("26", Kind::Refused),
            ("1555", Kind::BadRow), // SQLITE_CONSTRAINT_PRIMARYKEY
            ("11", Kind::Failed),
        ] {
            assert_eq!(Kind::of_sqlite(code), kind, "{code}");
        }
    }

    #[test]
    fn a_conflict_names_its_files() {
        let error = StoreError::Conflict { store: "S".into(), files: vec![FileId(3), FileId(9)] };
        assert_eq!(error.to_string(), "S holds another offset or owner for file 3, file 9");
    }
}
