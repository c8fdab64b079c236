//! A database that is restored to an earlier state, by the programs that people use for it: what it lacks is
//! read again, and no line is lost or doubled, whether a daemon runs meanwhile or not.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use chrono::Utc;
use log_ingestd::model::FileId;
use log_ingestd::store::{Committed, LostClaim, StoreError};
use sqlx::{Connection, SqliteConnection};

use crate::archives::compress;
use crate::daemon::{Bench, Daemon, ToEnd, for_each_store, line_at, lines, rename, urls};
use crate::place::{LINE, Lines, NOW, OF_FILES, Place, claimed, sighting, until};
use crate::postgres::shared;
use crate::traffic::a_moment;

for_every_store!(
    a_writer_of_before_cannot_commit_under_the_claim_of_a_writer_of_after,
    a_claim_that_is_undone_is_told_from_one_that_another_writer_has,
);

/// How a backup is brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// PostgreSQL: into a new database of the same name. SQLite: the file is put in the place of the other.
    Replaced,
    /// PostgreSQL: `pg_restore --clean`, with a transaction for each statement. SQLite: `.restore`. The database stays,
    /// with its connections.
    InPlace,
    /// The same in one transaction, which SQLite's always is.
    InOneTransaction,
}

fn succeeds(command: &mut Command) {
    let output = command.to_end();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}

fn sqlite3(file: &Path, sql: &str) {
    succeeds(Command::new("sqlite3").arg("-bail").arg(file).arg(sql));
}

impl Place {
    /// The file of an SQLite database.
    fn file(&self) -> PathBuf {
        self.url.strip_prefix("sqlite:").unwrap().into()
    }

    /// Its file and those that SQLite keeps beside it.
    fn files(&self) -> [PathBuf; 3] {
        ["", "-wal", "-shm"].map(|suffix| format!("{}{suffix}", self.file().display()).into())
    }

    fn pg_restore(&self, backup: &Path, flags: &[&str]) {
        let mut restore = Command::new(shared().program("pg_restore"));
        succeeds(restore.args(["--exit-on-error", "-d", &self.url]).args(flags).arg(backup));
    }

    fn pg_restore_clean(&self, backup: &Path) {
        let mut restore = Command::new(shared().program("pg_restore"));
        restore.args(["-d", &self.url, "--clean", "--if-exists"]).arg(backup);
        let output = restore.to_end();
        let said = String::from_utf8_lossy(&output.stderr);
        // Keys of partitions go with their tables.
        for error in said.lines().filter(|line| line.contains("ERROR")) {
            assert!(error.contains("cannot drop inherited constraint"), "{said}");
        }
    }

    /// As `backup.md` says.
    fn restore_in_one_transaction(&self, backup: &Path) {
        let script = format!(
            "{{ echo 'DROP TABLE {}, ignored_file, sweep, _sqlx_migrations;'; '{}' --file=- '{}'; }} |
             '{}' --dbname='{}' --single-transaction --set=ON_ERROR_STOP=1 --quiet",
            OF_FILES.join(", "),
            shared().program("pg_restore").display(),
            backup.display(),
            shared().program("psql").display(),
            self.url
        );
        succeeds(Command::new("bash").args(["-o", "pipefail", "-c", &script]));
    }

    /// Makes its database anew, without any table.
    async fn recreate(&self) {
        let name = self.url.split('?').next().unwrap().rsplit_once('/').unwrap().1;
        shared().administer(&format!("DROP DATABASE {name} WITH (FORCE)")).await;
        shared().administer(&format!("CREATE DATABASE {name}")).await;
    }
}

impl Bench {
    fn back_up(&self) -> PathBuf {
        let backup = self.aside("backup");
        if self.place.is_postgres() {
            let mut dump = Command::new(shared().program("pg_dump"));
            succeeds(dump.args(["-Fc", "-d", &self.place.url, "-f"]).arg(&backup));
        } else {
            sqlite3(&self.place.file(), &format!("VACUUM INTO '{}'", backup.display()));
        }
        backup
    }

    async fn restore(&self, backup: &Path, way: Way) {
        match (self.place.is_postgres(), way) {
            (true, Way::Replaced) => {
                self.place.recreate().await;
                self.place.pg_restore(backup, &[]);
            }
            (true, Way::InPlace) => self.place.pg_restore_clean(backup),
            (true, Way::InOneTransaction) => self.place.restore_in_one_transaction(backup),
            (false, Way::Replaced) => self.replace_file(backup),
            (false, Way::InPlace | Way::InOneTransaction) => {
                sqlite3(&self.place.file(), &format!(".restore '{}'", backup.display()));
            }
        }
    }

    /// Puts a copy of the backup in the place of an SQLite file, and nothing beside it.
    fn replace_file(&self, backup: &Path) {
        let copy = self.place.file().with_extension("copy");
        fs::copy(backup, &copy).unwrap();
        let [file, log, shared] = self.place.files();
        for beside in [log, shared] {
            // After a daemon that was stopped they are not there.
            let _ = fs::remove_file(beside);
        }
        rename(&copy, &file);
    }

    /// What is written and stored before the backup: a log that goes on, and one that does not.
    async fn before(&self) -> Vec<String> {
        self.append("access.log", lines("a", 0..100));
        self.append("idle.log", lines("idle", 0..20));
        self.rows(120).await;
        [urls("a", 0..100), urls("idle", 0..20)].concat()
    }

    /// What is written and stored after it: two rotations, a compression, a new log, and more lines of a log that
    /// gets none later.
    async fn after(&self) -> Vec<String> {
        self.append("access.log", lines("b", 0..100));
        self.append("idle.log", lines("idle", 20..40));
        self.rows(240).await;
        rename(&self.log("access.log"), &self.log("access.log.1"));
        self.append("access.log", lines("c", 0..100));
        self.append("new.log", lines("new", 0..50));
        self.rows(390).await;
        let text = fs::read(self.log("access.log.1")).unwrap();
        // As logrotate does: it is complete before it has its name.
        fs::write(self.aside("access.log.2.gz"), compress("gz", &text)).unwrap();
        rename(&self.aside("access.log.2.gz"), &self.log("access.log.2.gz"));
        fs::remove_file(self.log("access.log.1")).unwrap();
        rename(&self.log("access.log"), &self.log("access.log.1"));
        self.append("access.log", lines("d", 0..100));
        self.rows(490).await;
        let all = [("b", 100), ("c", 100), ("new", 50), ("d", 100)];
        let all = all.into_iter().flat_map(|(prefix, count)| urls(prefix, 0..count));
        all.chain(urls("idle", 20..40)).collect()
    }

    /// All of it is stored once, and the files say the same.
    async fn is_whole(&self, urls: Vec<String>) {
        self.exactly(urls).await;
        self.verified(&[]);
    }
}

/// It says what happened, and blames no other daemon.
async fn says_restored(daemon: &mut Daemon) {
    daemon.says("the database was restored to an earlier state, or replaced by another").await;
    let said = daemon.said();
    assert!(!said.contains("another log-ingestd"), "{said}");
}

async fn under_a_running_daemon(bench: &Bench, way: Way) {
    let mut daemon = bench.watch();
    let mut all = bench.before().await;
    let backup = bench.back_up();
    all.extend(bench.after().await);
    bench.restore(&backup, way).await;
    bench.append("access.log", lines("late", 0..10));
    all.extend(urls("late", 0..10));
    says_restored(&mut daemon).await;
    bench.exactly(all.clone()).await;
    // And once more, to the same backup.
    bench.restore(&backup, way).await;
    bench.append("new.log", lines("later", 0..10));
    all.extend(urls("later", 0..10));
    bench.is_whole(all).await;
    assert!(!daemon.said().contains("another log-ingestd"), "{}", daemon.said());
    assert!(daemon.stop().await.success());
}

for_each_store! {
    async fn restored_while_no_daemon_runs(bench) {
        let daemon = bench.watch();
        let mut all = bench.before().await;
        let backup = bench.back_up();
        all.extend(bench.after().await);
        assert!(daemon.stop().await.success());
        bench.restore(&backup, Way::Replaced).await;
        assert_eq!(bench.stored().await, 120);
        let daemon = bench.watch();
        bench.is_whole(all).await;
        assert!(!daemon.said().contains("another log-ingestd"), "{}", daemon.said());
        assert!(daemon.stop().await.success());
    }

    async fn replaced_under_a_running_daemon(bench) {
        under_a_running_daemon(&bench, Way::Replaced).await;
    }

    async fn restored_in_place_under_a_running_daemon(bench) {
        under_a_running_daemon(&bench, Way::InPlace).await;
    }

    async fn restored_in_one_transaction_under_a_running_daemon(bench) {
        under_a_running_daemon(&bench, Way::InOneTransaction).await;
    }

    /// No line comes with which it would find out.
    async fn restored_while_all_logs_are_quiet(bench) {
        let mut daemon = bench.watch();
        let mut all = bench.before().await;
        let backup = bench.back_up();
        all.extend(bench.after().await);
        bench.restore(&backup, Way::InOneTransaction).await;
        says_restored(&mut daemon).await;
        bench.is_whole(all).await;
        assert!(daemon.stop().await.success());
    }

    /// Rows that are gone from the disk too cannot come back: what is there is stored, and nothing is doubled.
    async fn what_no_log_has_any_more_stays_lost(bench) {
        let daemon = bench.watch();
        let mut all = bench.before().await;
        let backup = bench.back_up();
        let after = bench.after().await;
        // The daemon that has it open could still read it.
        assert!(daemon.stop().await.success());
        fs::remove_file(bench.log("access.log.2.gz")).unwrap();
        let mut daemon = bench.watch();
        daemon.says("following on").await;
        bench.restore(&backup, Way::Replaced).await;
        bench.append("access.log", lines("late", 0..10));
        all.extend(after.into_iter().filter(|url| !url.starts_with("/b/")));
        all.extend(urls("late", 0..10));
        says_restored(&mut daemon).await;
        bench.is_whole(all).await;
        assert!(daemon.said().contains("that are still there"), "{}", daemon.said());
        assert!(daemon.stop().await.success());
    }

    async fn rows_are_followed_in_the_restored_database(bench) {
        let (out, said) = (bench.aside("rows"), bench.aside("said"));
        let now = |url: &str| line_at(url, Utc::now().timestamp_micros());
        let daemon = bench.watch();
        bench.append("access.log", now("/one"));
        bench.rows(1).await;
        let backup = bench.back_up();
        let mut command = bench.command(&["query", "--follow", "--output", "jsonl"]);
        command.stdout(File::create(&out).unwrap()).stderr(File::create(&said).unwrap());
        let mut following = Following(command.spawn().unwrap());
        let printed = || fs::read_to_string(&out).unwrap();
        until("a row is printed", async || printed().contains("/one")).await;
        bench.restore(&backup, Way::Replaced).await;
        bench.append("access.log", now("/two"));
        until("rows of the restored database are printed", async || printed().contains("/two")).await;
        bench.rows(2).await;
        let ended = following.0.try_wait().unwrap();
        assert!(ended.is_none(), "it ended: {}", fs::read_to_string(&said).unwrap());
        assert!(daemon.stop().await.success());
    }
}

/// A program that goes on; killed when dropped.
struct Following(Child);

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `pg_restore` makes keys after it has loaded the rows. Until then a file that is missing may come, and a row
/// of the daemon's own would stop it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_is_under_way_is_waited_for() {
    let bench = Bench::new(Place::postgres().await).await;
    let mut daemon = bench.watch();
    let mut all = bench.before().await;
    let backup = bench.back_up();
    all.extend(bench.after().await);
    bench.place.recreate().await;
    bench.append("access.log", lines("late", 0..10));
    all.extend(urls("late", 0..10));
    until("it found no table", async || daemon.said().contains("the store is unavailable")).await;
    bench.place.pg_restore(&backup, &["--section=pre-data"]);
    let ready = bench.command(&["status"]).to_end();
    assert!(!ready.status.success(), "there are no rows yet");
    bench.place.pg_restore(&backup, &["--section=data"]);
    // Its tries are 15 s apart at most; the next one finds the rows, and no key.
    let tried = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
         AND application_name = 'log-ingestd'";
    until("it tries again", async || bench.place.number(tried).await > 0).await;
    assert_eq!(bench.stored().await, 120);
    bench.place.pg_restore(&backup, &["--section=post-data"]);
    says_restored(&mut daemon).await;
    bench.is_whole(all).await;
    assert!(daemon.stop().await.success());
}

async fn sqlite() -> Bench {
    Bench::new(Place::sqlite().await).await
}

/// SQLite would go on in the file without a name, and make no other.
#[tokio::test(flavor = "multi_thread")]
async fn an_sqlite_file_that_is_deleted_is_waited_for() {
    let bench = sqlite().await;
    let mut daemon = bench.watch();
    let mut all = bench.before().await;
    let backup = bench.back_up();
    all.extend(bench.after().await);
    for file in bench.place.files() {
        fs::remove_file(file).unwrap();
    }
    daemon.says("the file is gone: put a backup in its place").await;
    bench.append("access.log", lines("late", 0..10));
    all.extend(urls("late", 0..10));
    // As `cp` makes it: first without a byte, then a part of it.
    let content = fs::read(&backup).unwrap();
    File::create(bench.place.file()).unwrap();
    a_moment(Duration::from_millis(300)).await;
    let mut file = File::options().append(true).open(bench.place.file()).unwrap();
    for part in content.chunks(content.len() / 3 + 1) {
        file.write_all(part).unwrap();
        a_moment(Duration::from_millis(300)).await;
    }
    says_restored(&mut daemon).await;
    bench.is_whole(all).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_makes_a_deleted_sqlite_file_anew() {
    let bench = sqlite().await;
    let mut daemon = bench.watch();
    let before = bench.before().await;
    let after = bench.after().await;
    for file in bench.place.files() {
        fs::remove_file(file).unwrap();
    }
    daemon.says("the file is gone: put a backup in its place").await;
    assert!(daemon.stop().await.success());
    let mut daemon = bench.watch();
    daemon.says("watching").await;
    // Of the archive nothing is known any more: `import` reads it.
    bench.rows(290).await;
    bench.succeed(&["import", bench.log("access.log.2.gz").to_str().unwrap()]);
    bench.is_whole([before, after].concat()).await;
    assert!(daemon.stop().await.success());
}

/// SQLite would apply the log of the one file to the other.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_ahead_log_of_the_file_before_keeps_the_new_one_from_being_opened() {
    let bench = sqlite().await;
    let mut daemon = bench.watch();
    let mut all = bench.before().await;
    let backup = bench.back_up();
    all.extend(bench.after().await);
    let [file, log, shared] = bench.place.files();
    fs::copy(&backup, file.with_extension("copy")).unwrap();
    let unchanged = fs::read(&backup).unwrap();
    rename(&file.with_extension("copy"), &file);
    bench.append("access.log", lines("late", 0..10));
    all.extend(urls("late", 0..10));
    daemon.says("the write-ahead log of the one before lies beside it").await;
    assert!(fs::read(&file).unwrap() == unchanged, "the backup was written to");
    fs::remove_file(log).unwrap();
    a_moment(Duration::from_secs(1)).await;
    assert!(fs::read(&file).unwrap() == unchanged, "the backup was written to");
    fs::remove_file(shared).unwrap();
    says_restored(&mut daemon).await;
    bench.is_whole(all).await;
    let intact = bench.place.texts("PRAGMA integrity_check").await;
    assert_eq!(intact, ["ok"]);
    assert!(daemon.stop().await.success());
}

/// The commit waits for a lock of the old file while the new one takes its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_into_a_file_that_was_replaced_meanwhile_is_not_reported() {
    let bench = sqlite().await;
    let store = bench.place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let before = writer.database();
    let at = claimed(&mut writer, 1).await;
    let backup = bench.back_up();
    let mut lock = SqliteConnection::connect(&bench.place.url).await.unwrap();
    sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut lock).await.unwrap();
    let batch = Lines::after(&at).rows(3, NOW).batch();
    let commit = tokio::spawn(async move {
        let done = writer.commit(&batch).await;
        (writer, batch, done)
    });
    a_moment(Duration::from_millis(500)).await;
    bench.replace_file(&backup);
    drop(lock);
    let (writer, batch, done) = commit.await.unwrap();
    assert!(matches!(done, Err(StoreError::Replaced { .. })), "{done:?}");
    drop(writer);
    let mut fresh = store.writer("web:1").await.unwrap();
    assert_ne!(fresh.database(), before);
    let now = fresh.committed(&[at.file]).await.unwrap();
    assert_eq!(now, [Committed { file: at.file, offset: 0, epoch: at.epoch }]);
    assert!(fresh.hold_again(at.file, at.epoch).await.unwrap());
    fresh.commit(&batch).await.unwrap();
    assert_eq!(bench.place.number("SELECT count(*) FROM gunicorn_log").await, 3);
}

/// The page and `serve` keep connections.
#[tokio::test(flavor = "multi_thread")]
async fn searches_are_made_in_the_file_that_is_there() {
    let bench = sqlite().await;
    let backup = bench.back_up();
    let store = bench.place.open().await;
    let reader = store.reader();
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    assert!(reader.file(at.file).await.unwrap().is_some());
    bench.replace_file(&backup);
    assert_eq!(reader.file(at.file).await.unwrap(), None);
    fs::remove_file(bench.place.file()).unwrap();
    let error = reader.file(at.file).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
}

/// Makes the newest file one that was never registered, as a restore does.
async fn unregister(place: &Place, file: FileId) {
    place.execute(&format!("DELETE FROM log_file WHERE id = {}", file.0)).await;
    if place.is_postgres() {
        let id = file.0;
        place.execute(&format!("ALTER TABLE log_file ALTER COLUMN id RESTART WITH {id}")).await;
    }
}

/// Ids are given again after a restore, and both files begin at 0.
async fn a_writer_of_before_cannot_commit_under_the_claim_of_a_writer_of_after(place: Place) {
    let store = place.open().await;
    let mut before = store.writer("web:1").await.unwrap();
    let old = claimed(&mut before, 1).await;
    unregister(&place, old.file).await;
    let mut after = store.writer("web:2").await.unwrap();
    let new = claimed(&mut after, 2).await;
    assert_eq!((new.file, new.committed), (old.file, old.committed));
    let stale = Lines::after(&old).rows(2, NOW).batch();
    let error = before.commit(&stale).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    // Nor after each of them has claimed its file once more.
    let again = after.claim(new.file, &sighting(2, None), "%(r)s").await.unwrap().unwrap();
    assert_ne!(again.epoch, old.epoch);
    assert!(before.commit(&stale).await.is_err());
    // And it does not wait for the other one's end to learn that.
    let held = Committed { file: old.file, offset: 0, epoch: old.epoch };
    let lost = before.hold_all_again(&[held]).await.unwrap();
    assert_eq!(lost.len(), 1, "{lost:?}");
    after.commit(&Lines::after(&again).rows(3, NOW).batch()).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 3);
}

async fn a_claim_that_is_undone_is_told_from_one_that_another_writer_has(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let registered = claimed(&mut writer, 1).await;
    let seen = sighting(1, None);
    let at = writer.claim(registered.file, &seen, "%(r)s").await.unwrap().unwrap();
    let batch = Lines::after(&at).rows(2, NOW).batch();
    writer.commit(&batch).await.unwrap();
    let held = Committed { file: at.file, offset: 2 * LINE, epoch: at.epoch };
    let mut lost = async || writer.hold_all_again(&[held]).await.unwrap();
    assert_eq!(lost().await, []);
    // The commit has not happened.
    place.execute("UPDATE log_file SET committed = 0").await;
    assert_eq!(lost().await, [(at.file, LostClaim::Undone)]);
    // Nor the claim.
    place.execute(&format!("UPDATE log_file SET epoch = {}", registered.epoch)).await;
    assert_eq!(lost().await, [(at.file, LostClaim::Undone)]);
    // Another one has it.
    place.execute(&format!("UPDATE log_file SET epoch = {} + 1000", at.epoch)).await;
    assert_eq!(lost().await, [(at.file, LostClaim::TakenOver)]);
    unregister(&place, at.file).await;
    assert_eq!(lost().await, [(at.file, LostClaim::Undone)]);
}
