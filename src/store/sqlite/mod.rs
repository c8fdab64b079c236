//! The SQLite backend: one file, write-ahead log, rows by prepared inserts.
//!
//! `synchronous = FULL` makes each COMMIT wait for the disk. With NORMAL, a power cut could undo the
//! last commits, offset and rows together. That would be consistent here, but a log file that was
//! deleted by a rotation in between could not be read again, nor a file of the spool. SQLite writes the
//! name of the write-ahead log to the disk, and that of the file is written when it is made.

pub(super) mod clock;
mod commit;
mod copying;
mod insert;
mod owners;
mod ownership;
mod place;
mod readers;
mod reparse;
mod rollup;
mod sweeper;
mod writer;

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex};
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};

use super::error::{StoreError, failed, from_io, from_migrate};
use super::schema::{self, OlderSchema, Schema};
use super::sql::NEWEST_SCHEMA;
use crate::model::FileKey;
use owners::Locks;
use place::Opened;

pub(super) use copying::SqliteCopier;
pub(super) use owners::for_people as owner;
pub(super) use readers::Readers;
pub(super) use rollup::array as histogram;
pub(super) use sweeper::SqliteSweeper;
pub(super) use writer::SqliteWriter;

pub(super) static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    schema::migrator([
        (1, "tables", include_str!("../../../migrations/sqlite/0001_tables.sql")),
        (2, "fence", include_str!("../../../migrations/sqlite/0002_fence.sql")),
        (3, "reject code", include_str!("../../../migrations/sqlite/0003_reject_code.sql")),
        (4, "first offset", include_str!("../../../migrations/sqlite/0004_first_offset.sql")),
        (5, "nul runs", include_str!("../../../migrations/sqlite/0005_nul_runs.sql")),
        (6, "ignored files", include_str!("../../../migrations/sqlite/0006_ignored_files.sql")),
        (7, "writers", include_str!("../../../migrations/sqlite/0007_writers.sql")),
        (8, "request ids", include_str!("../../../migrations/sqlite/0008_request_ids.sql")),
        (9, "far times", include_str!("../../../migrations/sqlite/0009_far_times.sql")),
        (10, "repeats", include_str!("../../../migrations/sqlite/0010_repeats.sql")),
        (11, "line patches", include_str!("../../../migrations/sqlite/0011_line_patches.sql")),
    ])
});

/// What an SQLite file begins with, unless it is empty.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// How long a statement waits for another writer. Writers of this program hold the file for
/// milliseconds.
const BUSY: Duration = Duration::from_secs(10);
/// The write-ahead log is cut back to this size when it has been emptied.
const LOG_LIMIT: &str = "67108864"; // 64 MiB
/// Pages of the write-ahead log (16 MiB) after which a commit empties it into the file. A commit of
/// ingest has up to 5 MiB: with SQLite's 1,000 pages nearly each one would also wait for the file.
const LOG_PAGES: &str = "2000";
/// Bytes of a page of a new file. Fewer pages are half as many writes, and fewer splits: with 4 KiB
/// an import took up to 15 % more processor time. 16 KiB would save 4 % more, and double what is
/// written for a few lines.
const PAGE: u32 = 8192;
/// KiB of pages that a writer keeps (minus: KiB, not pages): all that a commit of ingest changes. With
/// SQLite's 2 MiB, pages leave for the write-ahead log before the commit and some do so again: a
/// tenth more processor time. With 16 MiB it is the same as with 8.
const WRITER_CACHE: &str = "-8192";

/// The lock of a copy to another database, or from one.
const COPY_LOCK: &str = "copy";

/// A database file and the directory of its locks.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    /// The [`super::Location`] as text, for messages.
    pub(super) name: String,
    locks: Locks,
    /// The file that was opened last.
    last: Mutex<Option<Opened>>,
}

impl Sqlite {
    pub(super) async fn open(
        path: &Path,
        name: String,
        older: OlderSchema,
    ) -> Result<Sqlite, StoreError> {
        if older == OlderSchema::Refuse {
            Self::schema(path, name.clone()).await?.readable(&name)?;
        }
        let this = Sqlite::at(path, name)?;
        let _migrating =
            this.locks.wait("open", BUSY).await.map_err(|it| from_io(&this.name, it))?;
        let is_empty = path.metadata().map_or(true, |file| file.len() == 0);
        let options = if is_empty { this.options_to_make() } else { this.options() };
        let connected = SqliteConnection::connect_with(&options).await;
        let mut connection = connected.map_err(failed(&this.name))?;
        let migrated = this.migrate(&mut connection, older).await;
        // The work is done; an error while the connection is closed changes nothing.
        let _ = connection.close().await;
        migrated.map(|()| this)
    }

    /// Opens a file, or makes one, without a look at its tables.
    pub(super) fn at(path: &Path, name: String) -> Result<Sqlite, StoreError> {
        let locks = create(path).map_err(|error| from_io(&name, error))?;
        Ok(Sqlite { path: path.to_owned(), name, locks, last: Mutex::default() })
    }

    pub(super) async fn schema(path: &Path, name: String) -> Result<Schema, StoreError> {
        check_kind(path).map_err(|error| from_io(&name, error))?;
        match OpenOptions::new().append(true).open(path) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Schema::of(None)),
            Err(error) => return Err(from_io(&name, error)),
        }
        let options = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY);
        let connected = SqliteConnection::connect_with(&options.pragma("query_only", "on")).await;
        let mut connection = connected.map_err(failed(&name))?;
        let found = found(&mut connection).await.map_err(failed(&name))?;
        let _ = connection.close().await; // as above
        Ok(Schema::of(found))
    }

    pub(super) async fn connect(&self) -> Result<SqliteConnection, StoreError> {
        self.connect_with(self.options()).await.map(|(connection, _)| connection)
    }

    /// Makes a connection that stores rows. Returns the file that it has open, too.
    async fn connect_to_write(&self) -> Result<(SqliteConnection, FileKey), StoreError> {
        self.connect_with(self.options().pragma("cache_size", WRITER_CACHE)).await
    }

    /// Refuses tables of any other schema: a newer daemon may have upgraded them meanwhile.
    pub(super) async fn check_schema(
        &self,
        connection: &mut SqliteConnection,
    ) -> Result<(), StoreError> {
        let found = found(connection).await.map_err(failed(&self.name))?;
        Schema::of(found).current(&self.name)
    }

    async fn connect_with(
        &self,
        options: SqliteConnectOptions,
    ) -> Result<(SqliteConnection, FileKey), StoreError> {
        let opened = self.place()?;
        let connected = SqliteConnection::connect_with(&options).await;
        let mut connection = connected.map_err(failed(&self.name))?;
        self.check_schema(&mut connection).await?;
        self.check_place(opened)?; // it was there before and after: it is the one that is open
        self.remember(opened);
        Ok((connection, opened))
    }

    fn options(&self) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(&self.path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY)
            .pragma("journal_size_limit", LOG_LIMIT)
            .pragma("wal_autocheckpoint", LOG_PAGES)
            .disable_statement_logging()
    }

    /// Returns the options of the connection that makes the tables of an empty file. Set on any other file, they
    /// would change nothing, but wait until no other connection writes.
    fn options_to_make(&self) -> SqliteConnectOptions {
        self.options().page_size(PAGE).auto_vacuum(SqliteAutoVacuum::Incremental)
    }

    /// Returns the options of connections that only read. `mapped` is how many bytes of the file are read without a copy.
    fn options_to_read(&self, mapped: &str) -> SqliteConnectOptions {
        self.options().pragma("mmap_size", mapped.to_owned()).pragma("query_only", "on")
    }

    /// Makes or upgrades the tables. The lock in [`Sqlite::open`] lets one process at a time do so.
    async fn migrate(
        &self,
        connection: &mut SqliteConnection,
        older: OlderSchema,
    ) -> Result<(), StoreError> {
        let schema = Schema::of(found(&mut *connection).await.map_err(failed(&self.name))?);
        schema.not_newer(&self.name)?;
        if older == OlderSchema::Refuse {
            return schema.readable(&self.name);
        }
        if schema.is_current() {
            return Ok(()); // to look would wait until no other connection writes
        }
        // `run` wants a connection of any lifetime, which no future that moves between threads has.
        let applied = MIGRATIONS.run_direct(None, connection, false).await;
        applied.map_err(|error| from_migrate(&self.name, error))
    }
}

/// Returns the schema of the tables, `None` if there are none.
async fn found(connection: &mut SqliteConnection) -> Result<Option<i64>, sqlx::Error> {
    let tables = "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'";
    let tables: i64 = sqlx::query_scalar(tables).fetch_one(&mut *connection).await?;
    if tables == 0 {
        return Ok(None);
    }
    sqlx::query_scalar(NEWEST_SCHEMA).fetch_one(connection).await
}

/// Refuses what can hold no database. To open a FIFO waits for ever, and some devices are used by that.
fn check_kind(path: &Path) -> std::io::Result<()> {
    let found = match path.metadata() {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let what = match () {
        () if found.is_file() => return Ok(()),
        () if found.is_dir() => "a directory",
        () if found.is_fifo() => "a FIFO",
        () if found.is_socket() => "a socket",
        () => "a device",
    };
    let why = format!(
        "'{}' is {what}, expected a regular file, or a name for a new one: correct the path of sqlite:/path",
        path.display()
    );
    Err(Error::new(ErrorKind::InvalidData, why))
}

/// Makes the directories (0700) and the file (0600) where they do not exist: the rows hold
/// addresses and names. SQLite gives its side files the mode of the main one. Their names are on the
/// disk before the first row is.
fn create(path: &Path) -> std::io::Result<Locks> {
    check_kind(path)?;
    if path.try_exists()? {
        let mut file = OpenOptions::new().read(true).append(true).open(path)?;
        let mut start = Vec::new();
        file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
        // Nothing is made beside a file of something else.
        if !MAGIC.starts_with(&start) {
            return Err(Error::new(ErrorKind::InvalidData, "this file is not an SQLite database"));
        }
        return Locks::beside(path);
    }
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let made: Vec<&Path> = directory.ancestors().take_while(|it| !it.exists()).collect();
    ownership::create_directories(directory)?;
    ownership::open_or_create(path)?;
    let parents = made.iter().filter_map(|made| made.parent());
    for named in std::iter::once(directory).chain(parents) {
        let named = if named.as_os_str().is_empty() { Path::new(".") } else { named };
        // Not every file system writes a directory to the disk by itself.
        let _ = File::open(named).and_then(|directory| directory.sync_all());
    }
    Locks::beside(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_new_file_and_its_directories_are_for_their_owner_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("one/two/log.sqlite3");
        let store = Sqlite::open(&path, "test".into(), OlderSchema::Upgrade).await.unwrap();
        let _open = store.connect().await.unwrap();
        let mode = |path: &str| {
            fs::metadata(directory.path().join(path)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode("one"), mode("one/two")), (0o700, 0o700));
        assert_eq!(
            (mode("one/two/log.sqlite3"), mode("one/two/log.sqlite3.locks")),
            (0o600, 0o700)
        );
    }

    /// With less a power cut undoes the last commits, while a log that was rotated away, or a file of
    /// the spool, is gone.
    #[tokio::test]
    async fn every_commit_waits_for_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.sqlite3");
        let store = Sqlite::open(&path, "test".into(), OlderSchema::Upgrade).await.unwrap();
        for mut connection in [
            store.connect().await.unwrap(),
            store.connect_to_write().await.unwrap().0,
            SqliteConnection::connect_with(&store.options_to_read("0")).await.unwrap(),
        ] {
            let level = sqlx::query_scalar::<_, i64>("PRAGMA synchronous");
            assert_eq!(level.fetch_one(&mut connection).await.unwrap(), 2, "2 is FULL");
            let mode = sqlx::query_scalar::<_, String>("PRAGMA journal_mode");
            assert_eq!(mode.fetch_one(&mut connection).await.unwrap(), "wal");
        }
    }

    #[tokio::test]
    async fn what_is_no_database_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notes.txt");
        fs::write(&path, "not a database, but long enough to look at. ".repeat(50)).unwrap();
        let error = Sqlite::open(&path, "test".into(), OlderSchema::Upgrade).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        let error =
            Sqlite::open(directory.path(), "test".into(), OlderSchema::Upgrade).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
        let names: Vec<_> = fs::read_dir(directory.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["notes.txt"], "something was made beside it");
    }
}
