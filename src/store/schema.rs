//! The schema that this program knows, and the fence that keeps older programs from writing.
//!
//! The number of a schema is that of its newest migration. Several daemons share a database. The first
//! one that is upgraded upgrades the schema, while others are connected and in the middle of a batch.
//! The others must stop, without a batch that is half in each schema. So the epoch of a file says by
//! which schema it was claimed. Each migration gives all files a new epoch under a lock on `log_file`,
//! and the database refuses an epoch of any other schema (`migrations/*/0002_fence.sql`). A batch of an
//! older daemon is committed before the migration, or finds another epoch and is rolled back. A commit
//! costs nothing more, because it compares the epoch anyway. After an error the schema is queried, and
//! the error becomes [`StoreError::Newer`].

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

use super::error::{Explanation, Kind, StoreError};
use crate::model::now;

/// Why a database without tables is not used by a program that runs. It must not make them: a restore that is
/// under way makes them, too.
const NO_TABLES: &str = "it has no tables of log-ingestd any more: restore a backup, or start log-ingestd again, \
                         which makes new ones";

/// The newest migration.
pub(super) const KNOWN: i64 = 12;

/// The number that the target of a copy has until the copy is complete: no program knows such a schema, so
/// that none of any version reads or writes half of the rows. It stands in the table of the migrations, with
/// the source of the copy as its description.
pub(super) const COPYING: i64 = 1_000_000;

/// SQL: the epoch of a file that is registered; `$number` is the parameter with a [`claim_number`].
macro_rules! first_epoch {
    ($number:literal) => {
        concat!($number, " * 1000 + 12")
    };
}
/// SQL: the epoch of a file that is claimed, from the one before it; the same parameter.
macro_rules! next_epoch {
    ($number:literal) => {
        concat!(
            "CASE WHEN epoch / 1000 < ",
            $number,
            " THEN ",
            $number,
            " ELSE epoch / 1000 + 1 END * 1000 + 12"
        )
    };
}
/// SQL: whether the epoch of a file belongs to the schema that is known here, or says that the file
/// was never claimed.
macro_rules! is_our_epoch {
    () => {
        "epoch % 1000 IN (0, 12)"
    };
}
pub(super) use {first_epoch, is_our_epoch, next_epoch};

/// Returns the number of a claim: the time, in microseconds since 1970. A number that counts claims would come
/// twice when the database is restored to an earlier state, which also gives the ids of later files to other
/// files. Then a writer from before the restore could commit under the claim of another one.
pub(super) fn claim_number() -> i64 {
    now().clamp(1, i64::MAX / 2000)
}

/// Makes a migrator of migrations that are compiled in: version, description and SQL of each, in
/// order. The descriptions are those in the databases of users: what sqlx makes of the files' names.
///
/// sqlx's `migrate!` does the same, but builds most of sqlx a second time for it.
pub(super) fn migrator<const N: usize>(
    migrations: [(i64, &'static str, &'static str); N],
) -> Migrator {
    let migrations = migrations.map(|(version, description, sql)| {
        let kind = MigrationType::Simple;
        Migration::new(version, description.into(), kind, sql.into_sql_str(), false)
    });
    Migrator::with_migrations(migrations.to_vec())
}

/// The schema of a database, beside the one that this program knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema {
    /// `None`: it has no tables yet.
    pub found: Option<i64>,
    /// The newest that is known here, which the others are brought to.
    pub known: i64,
}

impl Schema {
    pub(super) fn of(found: Option<i64>) -> Schema {
        Schema { found, known: KNOWN }
    }

    /// Returns whether there is nothing to do.
    pub fn is_current(&self) -> bool {
        self.found == Some(self.known)
    }

    /// Returns whether the database is the target of a copy that is not complete.
    pub fn is_half_copied(&self) -> bool {
        self.found == Some(COPYING)
    }

    /// Refuses a newer schema, and half of a copy.
    ///
    /// # Errors
    ///
    /// [`StoreError::Newer`] or [`StoreError::HalfCopied`].
    pub fn not_newer(&self, store: &(impl ToString + ?Sized)) -> Result<(), StoreError> {
        match self.found {
            Some(COPYING) => Err(StoreError::HalfCopied { store: store.to_string() }),
            Some(found) if found > self.known => {
                Err(StoreError::Newer { store: store.to_string(), found, known: self.known })
            }
            _ => Ok(()),
        }
    }

    /// Refuses every other schema, and a database without tables: there is nothing to read.
    pub(super) fn readable(&self, store: &str) -> Result<(), StoreError> {
        match self.found {
            Some(_) => self.current(store),
            None => Err(StoreError::Absent { store: store.to_owned() }),
        }
    }

    /// Refuses every other schema. Tables that are gone from a database that had them may come back: waiting
    /// may help.
    pub(super) fn current(&self, store: &str) -> Result<(), StoreError> {
        self.not_newer(store)?;
        match self.found {
            Some(found) if found == self.known => Ok(()),
            Some(found) => {
                Err(StoreError::Older { store: store.to_owned(), found, known: self.known })
            }
            None => Err(Kind::Unavailable.error(store, Explanation(NO_TABLES.to_owned()))),
        }
    }
}

/// What is done with tables of an older schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OlderSchema {
    /// The tables are upgraded.
    Upgrade,
    /// The tables are left as they are, and not used: daemons may run that know no other schema. None are
    /// made, and no SQLite file.
    Refuse,
}

/// A migration that is not applied yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The schema that it leads to.
    pub schema: i64,
    /// What it is about, in a word or two.
    pub about: String,
}

#[cfg(test)]
mod tests {
    use super::super::{postgres, sqlite};
    use super::*;
    use crate::model::hex;

    /// sqlx compares it too, but only where there is a database that was made with it.
    #[test]
    fn what_is_in_the_databases_of_users_does_not_change() {
        let sum = |migrations: &Migrator, version| {
            let step = migrations.iter().find(|step| step.version == version).unwrap();
            hex(&step.checksum[..8])
        };
        assert_eq!(sum(&postgres::MIGRATIONS, 1), "f7e68de6cca6282b");
        assert_eq!(sum(&sqlite::MIGRATIONS, 1), "8babccf8549d3289");
    }

    #[test]
    fn the_newest_migration_is_the_one_that_epochs_speak_of() {
        for migrations in [&postgres::MIGRATIONS, &sqlite::MIGRATIONS] {
            assert_eq!(migrations.iter().map(|step| step.version).max(), Some(KNOWN));
        }
        let ends = format!(" * 1000 + {KNOWN}");
        assert!(first_epoch!("$1").ends_with(&ends) && next_epoch!("$1").ends_with(&ends));
        assert_eq!(is_our_epoch!(), format!("epoch % 1000 IN (0, {KNOWN})"));
    }

    #[test]
    fn each_migration_gives_all_files_an_epoch_of_its_schema_under_a_lock() {
        for step in postgres::MIGRATIONS.iter().filter(|step| step.version > 1) {
            let (sql, schema) = (step.sql.as_str(), step.version);
            let code = sql.lines().filter(|line| !line.starts_with("--"));
            let code = code.collect::<Vec<_>>().join("\n");
            let at = |words: &str| code.find(words).unwrap_or(usize::MAX);
            let lock = at("LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE");
            assert!(lock < at("ALTER TABLE").min(at("UPDATE ")), "{sql}");
            assert!(sql.contains("UPDATE log_file SET epoch = epoch"), "{sql}");
            assert!(sql.contains(&format!("CHECK (epoch % 1000 = {schema})")), "{sql}");
            assert!(!step.no_tx, "{schema} is not one transaction");
        }
        for step in sqlite::MIGRATIONS.iter().filter(|step| step.version > 1) {
            let (sql, schema) = (step.sql.as_str(), step.version);
            assert!(sql.contains("UPDATE log_file SET epoch = epoch"), "{sql}");
            let refused = format!("NEW.epoch % 1000 <> {schema}");
            assert_eq!(sql.matches(&refused).count(), 2, "{sql}");
            assert!(!step.no_tx, "{schema} is not one transaction");
        }
    }
}
