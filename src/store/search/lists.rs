//! Lists of files and of rejects.

use std::time::Duration;

use super::Reader;
use super::condition::of_server;
use crate::model::columns::{Kind, Unsigned};
use crate::model::{FileId, Micros, RejectedLine, Row};
use crate::store::Store;
use crate::store::answers::{
    FileCounts, FileReport, IgnoredReport, Ledger, RejectKey, Shown, SweepReport,
};
use crate::store::error::StoreError;
use crate::store::rows::{self, Columns};
use crate::store::sql::{self, report_columns, shown};
use crate::store::statement::{Statement, Value};

/// What the page shows of files.
#[derive(Clone, Debug)]
pub struct FilesPage {
    /// The files, up to the limit: open ones first, then those that have lost bytes, then other closed ones;
    /// newest first.
    pub files: Vec<FileReport>,
    /// How many there are.
    pub counts: FileCounts,
    /// Files that are ignored, by host and path, up to the limit.
    pub ignored: Vec<IgnoredReport>,
    /// How many files are ignored, those of rows that stand for several included.
    pub ignored_count: u64,
    /// The sweep that finished last.
    pub last_sweep: Option<SweepReport>,
}

/// Rejects, newest first.
#[derive(Clone, Debug)]
pub struct RejectList {
    /// The rejects, up to the limit, each with its file's path.
    pub rejects: Vec<(RejectedLine, String)>,
    /// Whether there are older rejects.
    pub more: bool,
    /// How many lines of the newest [`MOST_COUNTED`] rejects have each code, the most frequent first. It is
    /// counted with the first rejects only.
    pub codes: Vec<CodeCount>,
}

/// Rejects with one code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeCount {
    /// The code, as it is stored.
    pub code: String,
    /// Rows of `rejected_line`.
    pub rows: u64,
    /// Lines for which these stand.
    pub lines: u64,
}

/// Rejects that are counted by their codes: rows, of which one may stand for many lines.
pub const MOST_COUNTED: u32 = 100_000;

/// Most ignored files of a ledger. A daemon lists 1,000 of its own.
const MOST_IGNORED: i64 = 100_000;

/// How long a ledger may take, which may have very many files and a slow way.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(300);

/// Two lists, each in the order of an index: among many closed files few rows are read. `$1` the limit.
const FILES_OF_PAGE: &str = concat!(
    "SELECT * FROM (SELECT ",
    report_columns!(),
    " FROM log_file WHERE ",
    shown!(),
    " ORDER BY closed_at IS NOT NULL, id DESC LIMIT $1) AS first UNION ALL SELECT * FROM (SELECT ",
    report_columns!(),
    " FROM log_file WHERE NOT (",
    shown!(),
    ") ORDER BY id DESC LIMIT $1) AS others LIMIT $1"
);

const COUNT_IGNORED: &str = "SELECT CAST(coalesce(sum(files), 0) AS bigint) AS n FROM ignored_file";

/// Selects all files, or those of one host, oldest first.
pub(in crate::store) fn files_of(host: Option<&str>) -> Statement {
    match host {
        Some(host) => Statement::of(sql::FILES_OF_HOST, [Value::Text(host.to_owned())]),
        None => Statement::of(sql::ALL_FILES, []),
    }
}

fn ignored_files(limit: i64) -> Statement {
    let mut statement = Statement::default();
    statement.sql(sql::IGNORED_OF_ALL).int(limit);
    statement
}

impl Store {
    /// Returns all files, or those of one host, oldest first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn files(&self, host: Option<&str>) -> Result<Vec<FileReport>, StoreError> {
        let mut answers = self.readers(1, LEDGER_TIMEOUT).ask(vec![files_of(host)]).await?;
        answers.next(rows::report, rows::report)
    }

    /// Returns the files of all hosts that are `shown`, how many there are, the ignored ones, and the last
    /// sweep.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn ledger(&self, shown: Shown) -> Result<Ledger, StoreError> {
        let of = |sql| Statement::of(sql, []);
        let files = match shown {
            Shown::OpenAndLossy => of(sql::FILES_SHOWN),
            Shown::All => files_of(None),
        };
        // Counted first: a file that is registered meanwhile is shown, and not counted.
        let statements =
            vec![of(sql::COUNT_FILES), files, ignored_files(MOST_IGNORED), of(sql::LAST_SWEEP)];
        let mut answers = self.readers(1, LEDGER_TIMEOUT).ask(statements).await?;
        let counts = answers.next(rows::counts, rows::counts)?;
        Ok(Ledger {
            counts: counts.first().copied().unwrap_or_default(),
            files: answers.next(rows::report, rows::report)?,
            ignored: answers.next(rows::ignored, rows::ignored)?,
            last_sweep: answers.next(rows::sweep, rows::sweep)?.pop(),
        })
    }
}

impl Reader {
    /// Returns the format of each file.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn formats(&self) -> Result<Vec<(FileId, String)>, StoreError> {
        let mut answers = self.ask(vec![Statement::of(sql::FORMATS, [])]).await?;
        answers.next(rows::format, rows::format)
    }

    /// Returns what the page shows of files: at most `limit` of them, and of those that are ignored.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn files_page(&self, limit: usize) -> Result<FilesPage, StoreError> {
        let limit = limit as i64;
        let of = |sql| Statement::of(sql, []);
        let statements = vec![
            Statement::of(FILES_OF_PAGE, [Value::Int(limit)]),
            of(sql::COUNT_FILES),
            ignored_files(limit),
            of(COUNT_IGNORED),
            of(sql::LAST_SWEEP),
        ];
        let mut answers = self.ask(statements).await?;
        Ok(FilesPage {
            files: answers.next(rows::report, rows::report)?,
            counts: answers.next(rows::counts, rows::counts)?.first().copied().unwrap_or_default(),
            ignored: answers.next(rows::ignored, rows::ignored)?,
            ignored_count: answers.next(rows::number, rows::number)?.first().copied().unwrap_or(0),
            last_sweep: answers.next(rows::sweep, rows::sweep)?.pop(),
        })
    }

    /// Returns the sweep that finished last.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn last_sweep(&self) -> Result<Option<SweepReport>, StoreError> {
        let mut answers = self.ask(vec![Statement::of(sql::LAST_SWEEP, [])]).await?;
        Ok(answers.next(rows::sweep, rows::sweep)?.pop())
    }

    /// Returns one file; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn file(&self, file: FileId) -> Result<Option<FileReport>, StoreError> {
        let statement = Statement::of(sql::REPORT, [Value::Int(file.0.into())]);
        Ok(self.ask(vec![statement]).await?.next(rows::report, rows::report)?.pop())
    }

    /// Returns up to `limit` rejects that are older than `before`, of one file or of all, with one code or with any;
    /// without `before` the newest ones.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn rejects(
        &self,
        file: Option<FileId>,
        code: Option<&str>,
        before: Option<RejectKey>,
        limit: usize,
    ) -> Result<RejectList, StoreError> {
        let mut list = Statement::default();
        list.sql(
            "SELECT r.log_file, r.log_offset, r.rejected_at, r.repeats, r.line_length, r.code, \
                    r.reason, r.raw, coalesce(f.path, '') AS path \
               FROM rejected_line r LEFT JOIN log_file f ON f.id = r.log_file WHERE 1 = 1",
        );
        if let Some(file) = file {
            list.sql(" AND r.log_file = ").int(i64::from(file.0));
        }
        if let Some(code) = code {
            list.sql(" AND r.code = ").text(code);
        }
        if let Some(before) = before {
            list.sql(" AND (r.rejected_at, r.log_file, r.log_offset) < (");
            list.time(before.rejected_at).sql(", ").int(i64::from(before.file.0));
            list.sql(", ").int(before.offset as i64).sql(")");
        }
        list.sql(" ORDER BY r.rejected_at DESC, r.log_file DESC, r.log_offset DESC LIMIT ");
        list.int(limit as i64 + 1);
        let mut statements = vec![list];
        if before.is_none() {
            statements.push(codes(file));
        }
        let mut answers = self.ask(statements).await?;
        let mut rejects = answers.next(reject, reject)?;
        let more = rejects.len() > limit;
        rejects.truncate(limit);
        Ok(RejectList { rejects, more, codes: answers.next(code_count, code_count)? })
    }
}

impl Reader {
    /// Returns the newest rejects of a time range, up to `limit`, of all servers or of one, and how many there
    /// are of each code. The time is that at which they were rejected.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn rejects_between(
        &self,
        from: Micros,
        to: Micros,
        server: Option<&str>,
        limit: usize,
    ) -> Result<RejectList, StoreError> {
        let within = |statement: &mut Statement| {
            statement.sql(" WHERE rejected_at >= ").time(from);
            statement.sql(" AND rejected_at < ").time(to);
            if let Some(server) = server {
                of_server(statement, server);
            }
            statement.sql(" ORDER BY rejected_at DESC, log_file DESC, log_offset DESC LIMIT ");
        };
        let mut list = Statement::default();
        list.sql(
            "SELECT r.log_file, r.log_offset, r.rejected_at, r.code, r.reason, r.raw, \
                    r.repeats, r.line_length, coalesce(f.path, '') AS path FROM (SELECT * FROM rejected_line",
        );
        within(&mut list);
        list.int(limit as i64 + 1);
        list.sql(") AS r LEFT JOIN log_file f ON f.id = r.log_file");
        list.sql(" ORDER BY r.rejected_at DESC, r.log_file DESC, r.log_offset DESC");
        let mut codes = Statement::default();
        codes.sql("SELECT code, count(*) AS n, CAST(sum(repeats) AS bigint) AS lines");
        codes.sql(" FROM (SELECT code, repeats FROM rejected_line");
        within(&mut codes);
        codes.int(i64::from(MOST_COUNTED));
        codes.sql(") AS newest GROUP BY code ORDER BY lines DESC, code");
        let mut answers = self.ask(vec![list, codes]).await?;
        let mut rejects = answers.next(reject, reject)?;
        let more = rejects.len() > limit;
        rejects.truncate(limit);
        Ok(RejectList { rejects, more, codes: answers.next(code_count, code_count)? })
    }
}

/// What a person should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attention {
    /// How many lines of the newest [`MOST_COUNTED`] rejects have each code.
    pub codes: Vec<CodeCount>,
    /// How many files are ignored.
    pub ignored: u64,
}

impl Reader {
    /// Returns what the page's badges count.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn attention(&self) -> Result<Attention, StoreError> {
        let ignored = Statement::of(COUNT_IGNORED, []);
        let mut answers = self.ask(vec![codes(None), ignored]).await?;
        Ok(Attention {
            codes: answers.next(code_count, code_count)?,
            ignored: answers.next(rows::number, rows::number)?.first().copied().unwrap_or(0),
        })
    }
}

/// Counts the newest rejects, of one file or of all, by their code.
fn codes(file: Option<FileId>) -> Statement {
    let mut statement = Statement::default();
    statement.sql("SELECT code, count(*) AS n, CAST(sum(repeats) AS bigint) AS lines");
    statement.sql(" FROM (SELECT code, repeats FROM rejected_line");
    if let Some(file) = file {
        statement.sql(" WHERE log_file = ").int(i64::from(file.0));
    }
    statement.sql(" ORDER BY rejected_at DESC LIMIT ").int(i64::from(MOST_COUNTED));
    statement.sql(") AS newest GROUP BY code ORDER BY lines DESC, code");
    statement
}

fn code_count(row: &impl Columns) -> Result<CodeCount, sqlx::Error> {
    Ok(CodeCount {
        code: row.text("code")?.unwrap_or_default(),
        rows: rows::number(row)?,
        lines: Unsigned::read(row, "lines")?,
    })
}

fn reject(row: &impl Columns) -> Result<(RejectedLine, String), sqlx::Error> {
    Ok((RejectedLine::read(row)?, row.text("path")?.unwrap_or_default()))
}
