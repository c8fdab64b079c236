//! A schema that is brought up while older programs are at work, and a database of the first one.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use log_ingestd::model::{FileId, GunicornLogModel, Reparsed};
use log_ingestd::store::{RejectKey, Store, StoreError};

use sqlx::{AssertSqlSafe, Connection};

use crate::daemon::{Bench, for_each_store, lines, urls};
use crate::place::{Lines, NOW, Place, claimed, sighting, until};

/// Where this program's schema leads to.
pub(crate) const KNOWN: i64 = 12;

for_every_store!(
    each_wording_of_older_schemas_gets_its_code,
    nothing_that_an_older_program_writes_is_stored,
    ten_programs_that_start_at_once_upgrade_an_old_database_once,
);

for_each_store! {
    async fn a_daemon_whose_database_a_newer_one_upgrades_stops_and_goes_on_after_its_own_upgrade(bench) {
        let mut daemon = bench.watch();
        let mut written = 0;
        for (start, upgraded_at) in (1..).zip([200, 400, 600]) {
            // The sweep of each start is written down by itself: not after the upgrade.
            until("the sweep at the start", async || {
                bench.place.number("SELECT count(*) FROM sweep").await == start
            })
            .await;
            // Upgraded while it is at work: what it has under way is stored before, or not at all.
            bench.append("access.log", lines("a", written..upgraded_at));
            written = upgraded_at;
            bench.rows(i64::from(written)).await;
            let more = bench.logs().join("access.log");
            let writing = std::thread::spawn(move || {
                use std::io::Write;
                let mut file = fs::OpenOptions::new().append(true).open(more).unwrap();
                for number in upgraded_at..upgraded_at + 100 {
                    file.write_all(lines("a", number..number + 1).as_bytes()).unwrap();
                }
            });
            written += 100;
            upgrade(&bench.place, KNOWN, KNOWN + 1).await;
            // One more, so that the daemon commits: without one it asks for the schema every 30 s only.
            bench.append("access.log", lines("a", written..written + 1));
            written += 1;
            let before = state(&bench.place).await;
            assert_eq!(daemon.ends().await.code(), Some(1), "{}", daemon.said());
            writing.join().unwrap();
            let said = daemon.said();
            assert!(said.contains(TOLD), "{said}");
            assert!(!said.contains("took this file over"), "{said}");
            assert_eq!(state(&bench.place).await, before, "it has written after the upgrade");
            bench.balanced().await;
            let mut again = bench.watch();
            assert_eq!(again.ends().await.code(), Some(1), "{}", again.said());
            assert!(again.said().contains(TOLD), "{}", again.said());
            // Its own upgrade: from now on it knows the schema that is there.
            upgrade(&bench.place, KNOWN + 1, KNOWN).await;
            daemon = bench.watch();
        }
        bench.exactly(urls("a", 0..written)).await;
        assert!(daemon.stop().await.success());
        bench.succeed(&["verify"]);
    }

    async fn a_daemon_without_anything_to_do_learns_of_an_upgrade_too(bench) {
        bench.append("access.log", lines("a", 0..3));
        let mut daemon = bench.watch();
        bench.rows(3).await;
        upgrade(&bench.place, KNOWN, KNOWN + 1).await;
        assert_eq!(daemon.ends().await.code(), Some(1), "{}", daemon.said());
        assert!(daemon.said().contains(TOLD), "{}", daemon.said());
    }

    async fn no_command_works_on_a_newer_database(bench) {
        bench.append("access.log", lines("a", 0..3));
        let log = bench.log("access.log");
        let log = log.to_str().unwrap();
        bench.succeed(&["import", log]);
        upgrade(&bench.place, KNOWN, KNOWN + 1).await;
        let before = state(&bench.place).await;
        for command in [
            vec!["import", log],
            vec!["cleanup"],
            vec!["status"],
            vec!["query"],
            vec!["top", "urls"],
            vec!["verify"],
            vec!["reparse"],
            vec!["migrate"],
            vec!["migrate", "--dry-run"],
        ] {
            let output = bench.run(&command);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
            assert!(said.contains(TOLD), "{command:?}: {said}");
            assert_eq!(output.stdout, b"", "{command:?}");
        }
        assert_eq!(state(&bench.place).await, before);
    }

    async fn migrate_says_what_it_does(bench) {
        let nothing = format!("schema {KNOWN}, nothing to do\n");
        assert_eq!(bench.succeed(&["migrate"]), nothing);
        assert_eq!(bench.succeed(&["migrate", "--dry-run"]), nothing);
    }
}

/// What the older program is told.
pub(crate) const TOLD: &str =
    "has schema 13, made by a newer log-ingestd; this one knows schema 12: upgrade it";

/// Brings the schema to another number, as a migration of that number does, in one transaction. There
/// is not a program yet that has one; the other way round stands for the upgrade of a program.
pub(crate) async fn upgrade(place: &Place, from: i64, to: i64) {
    let epochs = format!("UPDATE log_file SET epoch = (epoch / 1000 + 1) * 1000 + {to};");
    let version = match to > from {
        true if place.is_postgres() => format!(
            "INSERT INTO _sqlx_migrations
                    (version, description, installed_on, success, checksum, execution_time)
             VALUES ({to}, 'future', now(), true, '', 0);"
        ),
        true => format!(
            "INSERT INTO _sqlx_migrations
                    (version, description, installed_on, success, checksum, execution_time)
             VALUES ({to}, 'future', 'now', 1, x'', 0);"
        ),
        false => format!("DELETE FROM _sqlx_migrations WHERE version = {from};"),
    };
    let fence = "made for a newer log-ingestd: upgrade this one";
    let sql = if place.is_postgres() {
        format!(
            "SET LOCAL citus.multi_shard_modify_mode = 'sequential';
             LOCK TABLE log_file IN ACCESS EXCLUSIVE MODE;
             ALTER TABLE log_file DROP CONSTRAINT \"{fence}\"; {epochs}
             ALTER TABLE log_file ALTER COLUMN epoch SET DEFAULT {to};
             ALTER TABLE log_file ADD CONSTRAINT \"{fence}\" CHECK (epoch % 1000 = {to});
             {version}"
        )
    } else {
        format!(
            "BEGIN IMMEDIATE; DROP TRIGGER log_file_registered; DROP TRIGGER log_file_claimed; {epochs}
             CREATE TRIGGER log_file_registered BEFORE INSERT ON log_file
             WHEN NEW.epoch <> 0 AND NEW.epoch % 1000 <> {to}
             BEGIN SELECT RAISE(ABORT, '{fence}'); END;
             CREATE TRIGGER log_file_claimed BEFORE UPDATE OF epoch ON log_file
             WHEN NEW.epoch % 1000 <> {to}
             BEGIN SELECT RAISE(ABORT, '{fence}'); END;
             {version} COMMIT;"
        )
    };
    if !place.is_postgres() {
        return place.execute(&sql).await;
    }
    // One by one: Citus takes no DDL among others in one message.
    let mut connection = place.postgres_connection().await;
    let mut tx = connection.begin().await.unwrap();
    for statement in sql.split(';').filter(|statement| !statement.trim().is_empty()) {
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
}

/// Offsets, epochs, owners, and how many rows there are.
async fn state(place: &Place) -> Vec<String> {
    let text = |column| format!("coalesce(CAST({column} AS text), '-')");
    let columns =
        ["id", "committed", "epoch", "lines", "stored_rows", "rejected", "owner"].map(text);
    let files = format!("SELECT {} FROM log_file ORDER BY id", columns.join(" || ' ' || "));
    let mut state = place.texts(&files).await;
    for table in ["gunicorn_log", "request_log", "rejected_line", "gunicorn_minute", "sweep"] {
        let rows = place.number(&format!("SELECT count(*) FROM {table}")).await;
        state.push(format!("{table} {rows}"));
    }
    state
}

async fn nothing_that_an_older_program_writes_is_stored(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let importer = store.lane("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let rejected = Lines::after(&at).reject(NOW, b"?").batch();
    writer.commit(&rejected).await.unwrap();
    let mut on = at.clone();
    on.committed = rejected.spans[0].to.offset;
    let batch = Lines::after(&on).rows(5, NOW).batch();
    // PostgreSQL has the rows when it waits for the turn of another lane.
    let ahead = store.lane("web:1").await.unwrap();
    let (mut importer, mut sending) = (Some(importer), None);
    if place.is_postgres() {
        let (mut lane, batch, turn) = (importer.take().unwrap(), batch.clone(), ahead.turn());
        let send = async move { lane.commit(&batch, Some(turn)).await };
        sending = Some(tokio::spawn(send));
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until("the batch waits", async || place.number(waiting).await == 1).await;
    }
    upgrade(&place, KNOWN, KNOWN + 1).await;
    let before = state(&place).await;
    let mut reparsed = Reparsed::of(at.file, "%(r)s".into());
    let reject = writer.rejects_after(RejectKey::FIRST, 1, 999).await;
    reparsed.remove_rejects(&reject.unwrap()[0], 0, 1);
    let seen = sighting(1, None);
    drop(ahead);
    let sent = match sending {
        Some(sending) => sending.await.unwrap(),
        None => importer.unwrap().commit(&batch, None).await,
    };
    let results = [
        sent,
        writer.commit(&batch).await,
        writer.reparse(&reparsed).await.map(|_| ()),
        writer.claim(at.file, &seen, "%(r)s").await.map(|_| ()),
        writer.moved(at.file, at.epoch, "/elsewhere").await,
        writer.close_file(at.file, at.epoch, 0, "deleted", None).await,
        writer.record_loss(at.file, at.epoch, 7).await,
        writer.keep_alive().await,
        register(&mut writer).await,
        store.writer("web:2").await.map(|_| ()),
        store.sweeper().await.map(|_| ()),
    ];
    for (nth, result) in results.into_iter().enumerate() {
        assert!(
            matches!(result, Err(StoreError::Newer { found, .. }) if found == KNOWN + 1),
            "{nth}: {result:?}"
        );
    }
    assert_eq!(state(&place).await, before);
    upgrade(&place, KNOWN + 1, KNOWN).await;
    drop(writer);
    let mut writer = store.writer("web:1").await.unwrap();
    until("the lock of the one before is free", async || {
        writer.claim(at.file, &seen, "%(r)s").await.unwrap().is_some()
    })
    .await;
    let rejects = writer.rejects_after(RejectKey::FIRST, 9, 999).await.unwrap();
    assert_eq!(rejects.len(), 1);
}

async fn register(writer: &mut log_ingestd::store::Writer) -> Result<(), StoreError> {
    let new = log_ingestd::model::NewFile {
        sighting: sighting(2, None),
        format: "%(r)s".into(),
        time_estimated: false,
        begins: log_ingestd::model::Position::default(),
    };
    writer.register(&new, &[FileId(1)]).await.map(|_| ())
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/upgrade").join(name)
}

fn unpacked(name: &str) -> Vec<u8> {
    let mut content = Vec::new();
    let packed = fs::File::open(fixture(name)).unwrap();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut content).unwrap();
    content
}

/// The database that a daemon of the first schema left.
async fn old(place: Place) -> Place {
    let place = place.without_tables().await;
    if place.is_postgres() {
        place.execute(&String::from_utf8(unpacked("postgres.sql.gz")).unwrap()).await;
    } else {
        let path = PathBuf::from(place.url.strip_prefix("sqlite:").unwrap());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, unpacked("sqlite3.gz")).unwrap();
    }
    place
}

/// Words of rejects as the schemas 1 and 2 stored them, and their codes.
const OLD_WORDS: [(&str, &str); 13] = [
    ("is not UTF-8", "not_utf8"),
    ("holds NUL, which a text column cannot", "holds_nul"),
    ("`url` holds NUL (\\u0000), which a text column cannot", "holds_nul"),
    ("can be read in too many ways", "ambiguous"),
    ("is longer than 4 MiB: 5000000 bytes, the first 64 KiB are kept", "too_long"),
    (
        "is longer than 4 MiB, or has no final piece: 256 KiB of other lines are behind it, or the \
         end: 70000 bytes, the first 64 KiB are kept",
        "too_long",
    ),
    ("continues the record of the line before it", "continues"),
    ("has no final piece: 256 KiB of other lines are behind it, or the end", "no_final_piece"),
    (
        "has no envelope of a container's log: right is a time, stdout or stderr, P or F and the \
         text, as in `2016-10-06T00:17:09.669794202Z stdout F text`",
        "no_envelope",
    ),
    (
        "SQLite database /logs cannot hold a row of the batch: CHECK constraint failed",
        "refused_by_store",
    ),
    ("no closing quote where the format has %(a)s", "unlike_format"),
    ("`code` is a text; it must be a number from 100 to 599", "unlike_format"),
    ("is no JSON object", "unlike_format"),
];

async fn each_wording_of_older_schemas_gets_its_code(place: Place) {
    let place = old(place).await;
    for (offset, (words, _)) in OLD_WORDS.iter().enumerate() {
        let words = words.replace('\'', "''");
        let (time, raw) = match place.is_postgres() {
            true => ("2026-11-24 20:32:32.264463+00", "'\\x6e6f'"),
            false => ("2026-11-24 20:32:32.264463", "x'6e6f'"),
        };
        let row = format!("({offset}, '{time}', 9, '{words}', {raw})");
        let columns = "log_offset, rejected_at, log_file, reason, raw";
        place.execute(&format!("INSERT INTO rejected_line ({columns}) VALUES {row}")).await;
    }
    let before = place.number("SELECT count(*) FROM rejected_line").await;
    let store = place.open().await;
    let codes = "SELECT code FROM rejected_line WHERE log_file = 9 ORDER BY log_offset";
    assert_eq!(place.texts(codes).await, OLD_WORDS.map(|(_, code)| code));
    assert_eq!(place.number("SELECT count(*) FROM rejected_line WHERE code <> ''").await, before);
    // A day that is made after the upgrade has the column too.
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    writer.commit(&Lines::after(&at).reject(NOW, b"?").batch()).await.unwrap();
    let code = format!("SELECT code FROM rejected_line WHERE log_file = {}", at.file.0);
    assert_eq!(place.texts(&code).await, ["unlike_format"]);
}

/// A sweep may have detached a day and not dropped it; a late line takes the day back.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_was_detached_before_an_upgrade_is_taken_back_after_it() {
    let place = old(Place::postgres().await).await;
    let day = "ALTER TABLE rejected_line DETACH PARTITION rejected_line_20261124";
    place.execute(day).await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let rejected_at = NOW + crate::place::DAY; // 2026-11-24
    writer.commit(&Lines::after(&at).reject(rejected_at, b"?").batch()).await.unwrap();
    let code = format!("SELECT code FROM rejected_line_20261124 WHERE log_file = {}", at.file.0);
    assert_eq!(place.texts(&code).await, ["unlike_format"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_of_rows_that_was_detached_before_an_upgrade_has_the_new_columns_too() {
    let place = old(Place::postgres().await).await;
    place.execute("ALTER TABLE gunicorn_log DETACH PARTITION gunicorn_log_20261124").await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let record = GunicornLogModel {
        timestamp: Some(NOW + crate::place::DAY), // 2026-11-24
        request_id: Some("r1".into()),
        ..GunicornLogModel::default()
    };
    writer.commit(&Lines::after(&at).record(&record).batch()).await.unwrap();
    let ids = "SELECT request_id FROM gunicorn_log_20261124 WHERE request_id IS NOT NULL";
    assert_eq!(place.texts(ids).await, ["r1"]);
}

/// A fleet's users have rights on rows only: a table that an upgrade adds must not be closed to them.
#[tokio::test(flavor = "multi_thread")]
async fn users_get_the_rights_on_a_new_table_that_they_have_on_the_others() {
    let place = old(Place::postgres().await).await;
    place
        .execute(
            "CREATE ROLE upgrade_rows; CREATE ROLE upgrade_reads; CREATE ROLE upgrade_none;
             GRANT SELECT, INSERT, UPDATE, DELETE ON sweep TO upgrade_rows;
             GRANT SELECT ON sweep TO upgrade_reads",
        )
        .await;
    place.open().await;
    let rights = "SELECT r || ' ' || p FROM unnest(ARRAY['upgrade_rows', 'upgrade_reads', 'upgrade_none']) r,
                         unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) p
                   WHERE has_table_privilege(r, 'ignored_file', p) ORDER BY 1";
    let found = place.texts(rights).await;
    place
        .execute(
            "DROP OWNED BY upgrade_rows, upgrade_reads;
             DROP ROLE upgrade_rows, upgrade_reads, upgrade_none",
        )
        .await;
    let wanted = [
        "upgrade_reads SELECT",
        "upgrade_rows DELETE",
        "upgrade_rows INSERT",
        "upgrade_rows SELECT",
        "upgrade_rows UPDATE",
    ];
    assert_eq!(found, wanted);
}

async fn ten_programs_that_start_at_once_upgrade_an_old_database_once(place: Place) {
    let place = old(place).await;
    let opening: Vec<_> = (0..10).map(|_| tokio::spawn(Store::open(place.location()))).collect();
    for store in opening {
        store.await.unwrap().unwrap();
    }
    let applied = place.number("SELECT max(version) FROM _sqlx_migrations WHERE success").await;
    assert_eq!(applied, KNOWN);
    let twice = "SELECT count(*) - count(DISTINCT version) FROM _sqlx_migrations";
    assert_eq!(place.number(twice).await, 0);
    // Each of the three files had one claim.
    let claimed = format!("SELECT count(*) FROM log_file WHERE epoch = {}", 1000 + KNOWN);
    assert_eq!(place.number(&claimed).await, 3);
}

mod a_database_of_the_first_schema_is_brought_up_and_goes_on_where_it_stood {
    use super::*;

    async fn story(place: Place) {
        let place = old(place).await;
        let bench = Bench::untouched(place);
        let before = state(&bench.place).await;
        // Who only asks must not stop the daemons that are at work.
        for command in [
            &["status"][..],
            &["query"],
            &["top", "urls"],
            &["verify"],
            &["cleanup", "--dry-run"],
            &["reparse", "--dry-run"],
        ] {
            let output = bench.run(command);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{command:?}: {said}");
            let needs = format!("has schema 1, this log-ingestd needs schema {KNOWN}");
            assert!(said.contains(&needs), "{said}");
        }
        let told = bench.succeed(&["migrate", "--dry-run"]);
        assert_eq!(
            told,
            format!(
                "schema 1 → {KNOWN}\n  would apply 0002 fence\n  would apply 0003 reject code\n  \
                 would apply 0004 first offset\n  would apply 0005 nul runs\n  \
                 would apply 0006 ignored files\n  would apply 0007 writers\n  \
                 would apply 0008 request ids\n  would apply 0009 far times\n  \
                 would apply 0010 repeats\n  would apply 0011 line patches\n  would apply 0012 routes\n"
            )
        );
        assert_eq!(state(&bench.place).await, before);
        assert_eq!(bench.succeed(&["migrate"]), format!("schema 1 → {KNOWN}\n"));
        assert_eq!(bench.succeed(&["migrate"]), format!("schema {KNOWN}, nothing to do\n"));
        // The rows that were there are not written again, and have nothing in the new columns.
        for table in ["gunicorn_log", "request_log"] {
            let old = "WHERE route IS NULL AND request_id IS NULL AND trace_id IS NULL";
            let found = bench.place.number(&format!("SELECT count(*) FROM {table} {old}")).await;
            let all = bench.place.number(&format!("SELECT count(*) FROM {table}")).await;
            assert!(found == all && all > 0, "{table}: {found} of {all}");
        }

        for name in ["access.log", "access.log.1", "requests.log"] {
            fs::write(bench.log(name), unpacked(&format!("{name}.gz"))).unwrap();
        }
        // They are restored to where they were: a copy elsewhere that goes on is a log of its own.
        let logs = bench.logs().display().to_string();
        let here = format!("UPDATE log_file SET path = replace(path, '/var/log/shop', '{logs}')");
        bench.place.execute(&here).await;
        let flags = ["--retention", "off", "--exclude-path", "/health/"];
        let daemon = bench.watch_with(&flags);
        until("all lines are stored", async || bench.stored().await == 150 + 300 + 120).await;
        assert!(daemon.stop().await.success());
        // It went on: nothing is a new file, and nothing was stored twice.
        assert_eq!(
            bench.place.number("SELECT count(*) FROM log_file").await,
            3,
            "{}",
            bench.said()
        );
        let count = |table| format!("SELECT count(*) FROM {table}");
        assert_eq!(bench.place.number(&count("gunicorn_log")).await, 143 + 286);
        assert_eq!(bench.place.number(&count("request_log")).await, 120);
        assert_eq!(bench.place.number(&count("rejected_line")).await, 3 + 6);
        bench.balanced().await;
        bench.succeed(&["verify", "--exclude-path", "/health/", bench.logs().to_str().unwrap()]);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn on_postgres() {
        story(Place::postgres().await).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn on_sqlite() {
        story(Place::sqlite().await).await;
    }
}
