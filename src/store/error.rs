//! What can go wrong with a store, sorted by what the caller can do about it.
//!
//! The store tries once and tells; waiting and trying again is the caller's. A message names the
//! database and never its password or a row's values: PostgreSQL's DETAIL and CONTEXT, which
//! quote rows, are left out.

use std::error::Error as StdError;
use std::fmt;
use std::io;

use sqlx::error::DatabaseError;
use sqlx::migrate::MigrateError;

use crate::model::FileId;

/// The source of a [`StoreError`].
pub type Cause = Box<dyn StdError + Send + Sync + 'static>;

/// A store's refusal. `store` in each is the [`super::Location`] as text.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Not now: unreachable, restarting, full, locked, read-only. Waiting may help. Nothing was
    /// stored, unless the answer to a COMMIT was lost: see [`super::Writer::committed`].
    #[error("{store} is not available")]
    Unavailable {
        /// The database.
        store: String,
        /// What it or the operating system said.
        #[source]
        source: Cause,
    },
    /// Wrong credentials, an unknown database, a missing permission, no database file: a person
    /// has to act.
    #[error("{store} refuses access")]
    Refused {
        /// The database.
        store: String,
        /// What it said.
        #[source]
        source: Cause,
    },
    /// The tables were made, or upgraded since, by a newer version of this program. Nothing was
    /// stored.
    #[error(
        "{store} has schema {found}, made by a newer log-ingestd; this one knows schema {known}: \
         upgrade it"
    )]
    Newer {
        /// The database.
        store: String,
        /// Its schema.
        found: i64,
        /// The newest one known here.
        known: i64,
    },
    /// The tables are those of an older version of this program, and who asks is not to upgrade them.
    #[error(
        "{store} has schema {found}, this log-ingestd needs schema {known}: `log-ingestd migrate` \
         brings it there, and stops daemons that are older"
    )]
    Older {
        /// The database.
        store: String,
        /// Its schema.
        found: i64,
        /// The one that is needed.
        known: i64,
    },
    /// An offset or epoch was not what the batch started from: somebody else has written. Nothing
    /// of the batch was stored.
    #[error("{store} holds another offset or owner for {}", list(files))]
    Conflict {
        /// The database.
        store: String,
        /// The files that did not match; others of the batch did.
        files: Vec<FileId>,
    },
    /// The database cannot hold some row of the batch. Nothing of the batch was stored; a smaller
    /// batch finds the row.
    #[error("{store} cannot hold a row of the batch")]
    BadRow {
        /// The database.
        store: String,
        /// What it said.
        #[source]
        source: Cause,
    },
    /// Anything else; trying again will not help.
    #[error("{store} failed")]
    Failed {
        /// The database.
        store: String,
        /// What it said.
        #[source]
        source: Cause,
    },
}

impl StoreError {
    /// Whether the same call may succeed later.
    pub fn is_transient(&self) -> bool {
        matches!(self, StoreError::Unavailable { .. })
    }

    /// Whether this program and the tables do not belong together: nothing works until one of them
    /// is upgraded.
    pub fn is_about_schema(&self) -> bool {
        matches!(self, StoreError::Newer { .. } | StoreError::Older { .. })
    }
}

fn list(files: &[FileId]) -> String {
    let ids: Vec<String> = files.iter().map(|file| format!("file {}", file.0)).collect();
    ids.join(", ")
}

/// What a database answered: its message and its code, never its details.
#[derive(Debug)]
struct Answer {
    message: String,
    code: String,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.code)
    }
}

impl StdError for Answer {}

/// A cause in our own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Explanation(pub(super) String);

/// Sorts errors of one database.
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

    /// Sorts by SQLSTATE: <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
    fn of_sqlstate(code: &str) -> Kind {
        match code {
            "25006" => Kind::Unavailable, // read-only: a standby, or a full disk's remedy
            "25P03" | "57P05" => Kind::Unavailable, // the server ended an idle session
            "28000" | "28P01" | "3D000" | "42501" => Kind::Refused,
            "55006" | "55P03" => Kind::Unavailable, // in use, locked
            _ => match code.get(..2) {
                // Connection, rollback (deadlock), resources (disk, memory), operator, system.
                Some("08" | "40" | "53" | "57" | "58") => Kind::Unavailable,
                // Data, constraints, too large for an index or a field, a trigger that says no.
                Some("22" | "23" | "54" | "P0") => Kind::BadRow,
                _ => Kind::Failed,
            },
        }
    }

    /// Sorts by result code: <https://www.sqlite.org/rescode.html>.
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
        // SQLSTATEs have five characters, result codes of SQLite four at most.
        if code.len() == 5 { Kind::of_sqlstate(&code) } else { Kind::of_sqlite(&code) }
    }

    pub(super) fn of_io(error: &io::Error) -> Kind {
        match error.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory => Kind::Refused,
            _ => Kind::Unavailable,
        }
    }
}

/// The SQLSTATE or result code of an answer, empty if there was none.
pub(super) fn code(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(DatabaseError::code).unwrap_or_default().into_owned()
}

/// `map_err` with the store's name.
pub(super) fn failed(store: &str) -> impl FnOnce(sqlx::Error) -> StoreError + '_ {
    move |error| from_sqlx(store, error)
}

pub(super) fn from_sqlx(store: &str, error: sqlx::Error) -> StoreError {
    match error {
        sqlx::Error::Database(answer) => {
            let kind = Kind::of_answer(&*answer);
            let (message, code) = (answer.message().to_owned(), answer.code().unwrap_or_default());
            kind.error(store, Answer { message, code: code.into_owned() })
        }
        sqlx::Error::Io(error) => Kind::Unavailable.error(store, error),
        sqlx::Error::Configuration(cause) | sqlx::Error::Tls(cause) => {
            Kind::Refused.error(store, cause)
        }
        // A server that goes away in mid-message is seen as a broken protocol.
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

/// An error and what caused it, in one line.
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
    fn what_waiting_may_cure_is_told_from_what_a_person_must_mend() {
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
