//! Lists of files and of rejects.

use super::Reader;
use super::statement::Statement;
use crate::model::{FileId, RejectedLine, Row};
use crate::store::answers::{FileCounts, FileReport, IgnoredReport, RejectKey};
use crate::store::error::StoreError;
use crate::store::rows::{self, Columns};
use crate::store::sql::{COUNT_FILES, report_columns, shown};

/// Files: open ones first, then those that have lost bytes, then other closed ones; newest first.
#[derive(Clone, Debug)]
pub struct FileList {
    /// The files, up to the limit.
    pub files: Vec<FileReport>,
    /// How many there are.
    pub counts: FileCounts,
}

/// Files that are ignored, by host and path.
#[derive(Clone, Debug)]
pub struct IgnoredList {
    /// The files, up to the limit.
    pub files: Vec<IgnoredReport>,
    /// How many files there are, those of rows that stand for several included.
    pub count: u64,
}

/// Rejects, newest first.
#[derive(Clone, Debug)]
pub struct RejectList {
    /// The rejects, up to the limit, each with its file's path.
    pub rejects: Vec<(RejectedLine, String)>,
    /// Whether there are older rejects.
    pub more: bool,
}

impl Reader {
    /// Returns up to `limit` files.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn file_list(&self, limit: usize) -> Result<FileList, StoreError> {
        // Two lists, each in the order of an index: among many closed files few rows are read.
        let first = concat!(
            "SELECT ",
            report_columns!(),
            " FROM log_file WHERE ",
            shown!(),
            " ORDER BY closed_at IS NOT NULL, id DESC LIMIT "
        );
        let then = concat!(
            "SELECT ",
            report_columns!(),
            " FROM log_file WHERE NOT (",
            shown!(),
            ") ORDER BY id DESC LIMIT "
        );
        let mut files = Vec::new();
        for list in [first, then] {
            if files.len() < limit {
                let mut statement = Statement::default();
                statement.sql(list).int((limit - files.len()) as i64);
                files.extend(statement.rows(self, rows::report, rows::report).await?);
            }
        }
        let mut statement = Statement::default();
        statement.sql(COUNT_FILES);
        let counts = statement.rows(self, rows::counts, rows::counts).await?;
        Ok(FileList { counts: counts.first().copied().unwrap_or_default(), files })
    }

    /// Returns up to `limit` ignored files.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn ignored_list(&self, limit: usize) -> Result<IgnoredList, StoreError> {
        let mut statement = Statement::default();
        statement.sql(
            "SELECT host, path, reason, detail, bytes, files, since, seen_at, owner \
               FROM ignored_file ORDER BY host, path, reason LIMIT ",
        );
        statement.int(limit as i64);
        let files = statement.rows(self, rows::ignored, rows::ignored).await?;
        let mut statement = Statement::default();
        statement.sql("SELECT CAST(coalesce(sum(files), 0) AS bigint) AS n FROM ignored_file");
        let count = statement.rows(self, number, number).await?.first().copied().unwrap_or(0);
        Ok(IgnoredList { files, count })
    }

    /// Returns one file; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn file(&self, file: FileId) -> Result<Option<FileReport>, StoreError> {
        let mut statement = Statement::default();
        statement.sql(concat!("SELECT ", report_columns!(), " FROM log_file WHERE id = "));
        statement.int(i64::from(file.0));
        Ok(statement.rows(self, rows::report, rows::report).await?.into_iter().next())
    }

    /// Returns up to `limit` rejects that are older than `before`, of one file or of all.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn rejects(
        &self,
        file: Option<FileId>,
        before: Option<RejectKey>,
        limit: usize,
    ) -> Result<RejectList, StoreError> {
        let mut statement = Statement::default();
        statement.sql(
            "SELECT r.log_file, r.log_offset, r.rejected_at, r.code, r.reason, r.raw, \
                    coalesce(f.path, '') AS path \
               FROM rejected_line r LEFT JOIN log_file f ON f.id = r.log_file WHERE 1 = 1",
        );
        if let Some(file) = file {
            statement.sql(" AND r.log_file = ").int(i64::from(file.0));
        }
        if let Some(before) = before {
            statement.sql(" AND (r.rejected_at, r.log_file, r.log_offset) < (");
            statement.time(before.rejected_at).sql(", ").int(i64::from(before.file.0));
            statement.sql(", ").int(before.offset as i64).sql(")");
        }
        statement.sql(" ORDER BY r.rejected_at DESC, r.log_file DESC, r.log_offset DESC LIMIT ");
        statement.int(limit as i64 + 1);
        let mut rejects = statement.rows(self, reject, reject).await?;
        let more = rejects.len() > limit;
        rejects.truncate(limit);
        Ok(RejectList { rejects, more })
    }

    /// Counts the newest rejects, of one file or of all, by their code: `most` of them at most. The most
    /// frequent code comes first.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn reject_codes(
        &self,
        file: Option<FileId>,
        most: u32,
    ) -> Result<Vec<(String, u64)>, StoreError> {
        let mut statement = Statement::default();
        statement.sql("SELECT code, count(*) AS n FROM (SELECT code FROM rejected_line");
        if let Some(file) = file {
            statement.sql(" WHERE log_file = ").int(i64::from(file.0));
        }
        statement.sql(" ORDER BY rejected_at DESC LIMIT ").int(i64::from(most));
        statement.sql(") AS newest GROUP BY code ORDER BY n DESC, code");
        statement.rows(self, code_and_number, code_and_number).await
    }
}

fn code_and_number(row: &impl Columns) -> Result<(String, u64), sqlx::Error> {
    Ok((row.text("code")?.unwrap_or_default(), number(row)?))
}

fn number(row: &impl Columns) -> Result<u64, sqlx::Error> {
    Ok(row.int("n")?.unwrap_or_default() as u64)
}

fn reject(row: &impl Columns) -> Result<(RejectedLine, String), sqlx::Error> {
    Ok((RejectedLine::read(row)?, row.text("path")?.unwrap_or_default()))
}
