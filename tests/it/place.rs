//! An empty database of either kind, and small batches to put there.

use std::time::{Duration, Instant};

use log_ingestd::model::{
    Batch, Checkpoint, Digest, FileKey, Fingerprint, GunicornLogModel, Micros, NewFile, Origin,
    Position, RejectReason, ShortHash, Sighting, Span,
};
use log_ingestd::store::{Location, Store, Writer};
use sqlx::{
    AssertSqlSafe, Connection, Decode, PgConnection, Postgres, Sqlite, SqliteConnection, Type,
};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::daemon::PATIENCE;
use crate::postgres;

/// The tables that have something of a file.
pub(crate) const OF_FILES: [&str; 8] = [
    "gunicorn_log",
    "request_log",
    "rejected_line",
    "gunicorn_minute",
    "gunicorn_hour",
    "gunicorn_route_hour",
    "gunicorn_route_day",
    "log_file",
];

/// 2026-11-23 08:41:00 UTC.
pub(crate) const NOW: Micros = 1_795_423_260_000_000;
pub(crate) const DAY: Micros = 86_400_000_000;
/// Bytes of each line in a [`Lines`].
pub(crate) const LINE: u64 = 100;

/// Where a test's store is, and a way to ask it without the program.
pub(crate) struct Place {
    pub(crate) url: String,
    /// A session for questions to PostgreSQL, since many tests ask again and again. An SQLite file is
    /// opened for each question: an open one would keep the write-ahead log that the program removes.
    session: Mutex<Option<PgConnection>>,
    _directory: Option<TempDir>,
}

impl Place {
    /// A database with empty tables.
    pub(crate) async fn postgres() -> Place {
        Place::at(postgres::shared().migrated().await)
    }

    /// A database that the caller makes and keeps.
    pub(crate) fn at(url: String) -> Place {
        Place { url, session: Mutex::default(), _directory: None }
    }

    pub(crate) async fn sqlite() -> Place {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("deep/er/log.sqlite3");
        let url = format!("sqlite:{}", path.display());
        Place { _directory: Some(directory), ..Place::at(url) }
    }

    /// The same kind of place without any table.
    pub(crate) async fn without_tables(self) -> Place {
        if self.is_postgres() { Place::at(postgres::shared().database().await) } else { self }
    }

    /// Another place of the same kind, without any table.
    pub(crate) async fn like_it(&self) -> Place {
        match self.is_postgres() {
            true => Place::at(postgres::shared().database().await),
            false => Place::sqlite().await,
        }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    pub(crate) fn location(&self) -> Location {
        Location::parse(&self.url).unwrap()
    }

    pub(crate) async fn open(&self) -> Store {
        Store::open(self.location()).await.unwrap()
    }

    /// A session of the test's own.
    pub(crate) async fn postgres_connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }

    /// The first number that a query answers.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.column::<i64>(sql).await[0]
    }

    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        self.column(sql).await
    }

    pub(crate) async fn has_column(&self, table: &str, column: &str) -> bool {
        let columns = match self.is_postgres() {
            true => "information_schema.columns WHERE column_name =",
            false => "pragma_table_info($table) WHERE name =",
        };
        let columns = columns.replace("$table", &format!("'{table}'"));
        let of_table =
            if self.is_postgres() { format!("AND table_name = '{table}'") } else { String::new() };
        self.number(&format!("SELECT count(*) FROM {columns} '{column}' {of_table}")).await > 0
    }

    /// All rejected lines, in order of file and offset, those too that share a row. Releases before rows were
    /// shared have no column for it.
    pub(crate) async fn rejected(&self) -> Vec<Rejected> {
        let hex = if self.is_postgres() { "encode(raw, 'hex')" } else { "lower(hex(raw))" };
        let shared = match self.has_column("rejected_line", "repeats").await {
            true => "repeats || ' ' || coalesce(line_length, 0)",
            false => "'1 0'",
        };
        let sql = format!(
            "SELECT log_file || ' ' || log_offset || ' ' || {shared} || ' ' || {hex} || ' ' || reason
               FROM rejected_line ORDER BY log_file, log_offset, rejected_at"
        );
        let mut lines = Vec::new();
        for text in self.texts(&sql).await {
            let mut words = text.splitn(6, ' ');
            let mut word = || words.next().unwrap_or_else(|| panic!("reject '{text}'"));
            let file = word().parse().unwrap();
            let [offset, repeats, length] = [(); 3].map(|()| word().parse::<u64>().unwrap());
            let (hex, reason) = (word().to_owned(), word().to_owned());
            assert!(repeats == 1 || length > 0, "{text}");
            lines.extend((0..repeats).map(|nth| Rejected {
                file,
                offset: offset + nth * length,
                hex: hex.clone(),
                reason: reason.clone(),
            }));
        }
        lines
    }

    /// The first column of the answer. A session that has ended since the last question, with its
    /// server or by the test's doing, is replaced by a new one.
    async fn column<T>(&self, sql: &str) -> Vec<T>
    where
        T: Send + Unpin + Type<Postgres> + Type<Sqlite>,
        T: for<'r> Decode<'r, Postgres> + for<'r> Decode<'r, Sqlite>,
    {
        if !self.is_postgres() {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            let query = sqlx::query_scalar(AssertSqlSafe(sql));
            return query.fetch_all(&mut connection).await.unwrap();
        }
        // Not kept as a prepared statement: its tables may change.
        let query = || sqlx::query_scalar(AssertSqlSafe(sql)).persistent(false);
        let last = self.session.lock().await.take();
        if let Some(mut session) = last
            && let Ok(answer) = query().fetch_all(&mut session).await
        {
            *self.session.lock().await = Some(session);
            return answer;
        }
        let mut session = self.postgres_connection().await;
        let answer = query().fetch_all(&mut session).await.unwrap();
        *self.session.lock().await = Some(session);
        answer
    }

    /// Lets the next question go over a new session.
    pub(crate) async fn hang_up(&self) {
        self.session.lock().await.take();
    }

    /// Waits until no other session is in the database: PostgreSQL finishes what a program that was
    /// killed has asked for.
    pub(crate) async fn until_alone(&self) {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
            AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
        let deadline = Instant::now() + PATIENCE;
        while self.is_postgres() && self.number(others).await > 0 {
            assert!(Instant::now() < deadline, "another session stays in the database");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns whether no other program has begun to write to the SQLite file.
    pub(crate) async fn can_be_written(&self) -> bool {
        let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
        let writes = "PRAGMA busy_timeout = 0; BEGIN IMMEDIATE; ROLLBACK";
        sqlx::raw_sql(writes).execute(&mut connection).await.is_ok()
    }

    /// Runs statements in a session that ends with them.
    pub(crate) async fn execute(&self, sql: &str) {
        let sql = AssertSqlSafe(sql);
        if self.is_postgres() {
            let mut connection = self.postgres_connection().await;
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        } else {
            let mut connection = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        }
    }
}

/// Checks that the counts by minute are those of the rows, and all others those by minute.
pub(crate) async fn counted(place: &Place) {
    let (minute, timed, never, hour) = if place.is_postgres() {
        (
            "date_trunc('minute', timestamp)",
            "(SELECT coalesce(sum(n), 0) FROM unnest(durations) AS n)",
            "'-infinity'",
            "date_trunc('hour', minute)",
        )
    } else {
        (
            "substr(timestamp, 1, 16) || ':00'",
            "(SELECT coalesce(sum(value), 0) FROM json_each(durations))",
            "''",
            "substr(minute, 1, 13) || ':00:00'",
        )
    };
    let class = |from: u32| {
        let to = from + 99;
        format!("count(CASE WHEN code BETWEEN {from} AND {to} THEN 1 END)")
    };
    // Counts stay when rows leave: what is older than the last sweep's cutoff has fewer rows.
    let swept = format!("(SELECT coalesce(max(cutoff), {never}) FROM sweep)");
    let rows = format!(
        "SELECT {minute}, log_file, {}, {}, {}, {}, {},
                count(CASE WHEN code BETWEEN 100 AND 599 THEN NULL ELSE 1 END),
                CAST(coalesce(sum(response_bytes), 0) AS bigint), count(duration)
           FROM gunicorn_log WHERE {minute} >= {swept} GROUP BY 1, 2",
        class(100),
        class(200),
        class(300),
        class(400),
        class(500)
    );
    let columns = "informational, successful, redirection, client_error, server_error, other";
    let counts = format!(
        "SELECT minute, log_file, {columns}, response_bytes, {timed}
           FROM gunicorn_minute WHERE minute >= {swept}"
    );
    let sums = columns.split(", ").map(|column| format!("CAST(sum({column}) AS bigint), "));
    let by_hour = format!(
        "SELECT {hour}, log_file, {} CAST(sum({timed}) AS bigint)
           FROM gunicorn_minute GROUP BY 1, 2",
        sums.collect::<String>()
    );
    let hours = format!("SELECT hour, log_file, {columns}, {timed} FROM gunicorn_hour");
    for (one, two) in [(&rows, &counts), (&counts, &rows), (&by_hour, &hours), (&hours, &by_hour)] {
        let differ = format!("SELECT count(*) FROM ({one} EXCEPT {two}) AS differ");
        assert_eq!(place.number(&differ).await, 0, "counts are not those of the rows: {differ}");
    }
    counted_by_route(place).await;
}

/// Checks that the counts by route have each row that the counts by hour have, once.
async fn counted_by_route(place: &Place) {
    let (timed, day) = match place.is_postgres() {
        true => {
            ("(SELECT coalesce(sum(n), 0) FROM unnest(durations) AS n)", "date_trunc('day', hour)")
        }
        false => (
            "(SELECT coalesce(sum(value), 0) FROM json_each(durations))",
            "substr(hour, 1, 10) || ' 00:00:00'",
        ),
    };
    let sums =
        "informational successful redirection client_error server_error other response_bytes"
            .split(' ')
            .map(|column| format!("CAST(sum({column}) AS bigint), "));
    let sums = sums.collect::<String>() + &format!("CAST(sum({timed}) AS bigint)");
    let by = |columns: &str, table: &str| {
        // Lines that were there before an upgrade have no counts by route.
        format!(
            "SELECT {columns}, log_file, {sums} FROM {table}
              WHERE log_file NOT IN (SELECT id FROM log_file WHERE patched_from > 0) GROUP BY 1, 2"
        )
    };
    let all = by("hour", "gunicorn_hour");
    let routes = by("hour", "gunicorn_route_hour");
    let hours = by(&format!("{day} || ' ' || route"), "gunicorn_route_hour");
    let days = by("day || ' ' || route", "gunicorn_route_day");
    for (one, two) in [(&all, &routes), (&routes, &all), (&hours, &days), (&days, &hours)] {
        let differ = format!("SELECT count(*) FROM ({one} EXCEPT {two}) AS differ");
        assert_eq!(place.number(&differ).await, 0, "rows are not counted by route: {differ}");
    }
}

/// `access.log` with this inode, whose first line has this print.
pub(crate) fn sighting(inode: u64, head: Option<u8>) -> Sighting {
    Sighting {
        host: "web".into(),
        path: "/var/log/access.log".into(),
        key: Some(FileKey { device: u64::MAX, inode, birth_us: Some(NOW) }),
        head: head.map(print),
        origin: Origin::default(),
    }
}

pub(crate) fn print(byte: u8) -> Fingerprint {
    Fingerprint { length: 90, print: ShortHash([byte; 16]) }
}

/// A new file, registered and claimed.
pub(crate) async fn claimed(writer: &mut Writer, inode: u64) -> Checkpoint {
    let sighting = sighting(inode, None);
    let known = writer.candidates(&sighting).await.unwrap();
    let known: Vec<_> = known.iter().map(|known| known.file).collect();
    let new = NewFile {
        sighting,
        format: "%(r)s".into(),
        time_estimated: false,
        begins: Position::default(),
    };
    writer.register(&new, &known).await.unwrap().expect("no other writer has registered it")
}

/// A rejected line.
pub(crate) struct Rejected {
    pub(crate) file: i64,
    pub(crate) offset: u64,
    /// Its bytes in hexadecimal.
    pub(crate) hex: String,
    pub(crate) reason: String,
}

impl Rejected {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let digits = self.hex.as_bytes().chunks_exact(2);
        let byte = |two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
        digits.map(byte).collect()
    }
}

/// Lines of one file, one after the other, each of [`LINE`] bytes.
pub(crate) struct Lines {
    batch: Batch,
    span: Span,
}

impl Lines {
    /// Beginning where the checkpoint is.
    pub(crate) fn after(at: &Checkpoint) -> Lines {
        let span = Span {
            file: at.file,
            epoch: at.epoch,
            from: at.committed,
            to: at.position(),
            lines: 0,
            rows: 0,
            rejected: 0,
            excluded: 0,
            head: (at.committed == 0).then(|| print(1)),
            size: at.committed,
            nul_runs: Vec::new(),
            form_changes: Vec::new(),
            releases: false,
            far_times: 0,
        };
        Lines { batch: Batch::default(), span }
    }

    pub(crate) fn row(self, timestamp: Micros) -> Lines {
        let method = Some("GET".into());
        self.record(&GunicornLogModel { timestamp: Some(timestamp), method, ..Default::default() })
    }

    pub(crate) fn rows(mut self, count: u64, timestamp: Micros) -> Lines {
        for nth in 0..count {
            self = self.row(timestamp + nth as i64);
        }
        self
    }

    pub(crate) fn record(mut self, record: &GunicornLogModel<'_>) -> Lines {
        self.batch.push_record(self.span.file, self.span.to.offset, record, NOW);
        self.span.rows += 1;
        self.line()
    }

    pub(crate) fn reject(mut self, at: Micros, raw: &[u8]) -> Lines {
        let reason = RejectReason::UnlikeFormat("no closing quote".into());
        let offset = self.span.to.offset;
        self.batch.push_reject(self.span.file, offset..offset, at, &reason, raw);
        self.span.rejected += 1;
        self.line()
    }

    /// So many equal rejects, of which one row has all.
    pub(crate) fn repeated_reject(mut self, count: u64, at: Micros, raw: &[u8]) -> Lines {
        let reason = RejectReason::UnlikeFormat("no closing quote".into());
        for _ in 0..count {
            let offset = self.span.to.offset;
            self.batch.push_reject(self.span.file, offset..offset + LINE, at, &reason, raw);
            self.span.rejected += 1;
            self = self.line();
        }
        self
    }

    pub(crate) fn excluded(mut self) -> Lines {
        self.span.excluded += 1;
        self.line()
    }

    fn line(mut self) -> Lines {
        self.span.lines += 1;
        self.span.to.offset += LINE;
        self.span.size = self.span.to.offset + 7;
        self.span.to.tail_fingerprint = Some(print(2));
        self.span.to.digest = Some(Digest { sum: [3; 32], state: [self.span.lines as u8; 32] });
        self
    }

    pub(crate) fn batch(mut self) -> Batch {
        self.batch.spans.push(self.span);
        self.batch
    }
}

/// Puts another file's lines into the same batch.
pub(crate) fn together(lines: Vec<Lines>) -> Batch {
    let mut all = Batch::default();
    for one in lines {
        let batch = one.batch();
        for row in batch.gunicorn_log.rows() {
            copy_row(&mut all.gunicorn_log, &row);
        }
        for row in batch.request_log.rows() {
            copy_row(&mut all.request_log, &row);
        }
        for row in batch.rejected_line.rows() {
            copy_row(&mut all.rejected_line, &row);
        }
        all.rejected += batch.rejected;
        all.rollup.extend(&batch.rollup);
        all.spans.extend(batch.spans);
        all.days.extend(batch.days);
        all.request_days.extend(batch.request_days);
        all.rejected_days.extend(batch.rejected_days);
    }
    all
}

fn copy_row(to: &mut log_ingestd::model::Tuples, row: &[log_ingestd::model::Field<'_>]) {
    to.begin(row.len() as i16);
    for field in row {
        match field {
            Some(bytes) => to.raw(bytes),
            None => to.null(),
        }
    }
}

/// The checkpoint as it is after a batch of `Lines`.
pub(crate) fn advanced(at: &Checkpoint, batch: &Batch) -> Checkpoint {
    let span = batch.spans.iter().find(|span| span.file == at.file).unwrap();
    Checkpoint {
        committed: span.to.offset,
        size: span.size,
        head: span.head.or(at.head),
        tail_fingerprint: span.to.tail_fingerprint,
        digest: span.to.digest,
        nul_runs: [&at.nul_runs[..], &span.nul_runs[..]].concat(),
        ..at.clone()
    }
}

/// Asks again until the answer is yes; a test that waits in vain fails.
pub(crate) async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
