//! What `verify` and `reparse` read: lines by their place, each answer from one snapshot.

use std::ops::Range;
use std::sync::Arc;

use super::answers::{FileReport, RejectKey, StoredLine, SweepReport};
use super::error::StoreError;
use super::rows::{self, Columns};
use super::search::files_of;
use super::statement::{Answers, READ, Statement, Value};
use super::time::Time;
use super::{Writer, sql};
use crate::model::{FileId, Micros, RejectedLine, Row as _};

/// The reads of `verify` and `reparse`.
///
/// # Errors
///
/// [`StoreError`], for all methods here.
impl Writer {
    /// Runs statements that read one snapshot.
    async fn ask(&mut self, statements: Vec<Statement>) -> Result<Answers, StoreError> {
        self.transact(READ, statements).await
    }

    /// Returns the sweep that finished last.
    pub async fn last_sweep(&mut self) -> Result<Option<SweepReport>, StoreError> {
        let mut answers = self.ask(vec![Statement::of(sql::LAST_SWEEP, [])]).await?;
        Ok(answers.next(rows::sweep, rows::sweep)?.pop())
    }

    /// Returns all files of a host, oldest first, and the sweep that finished last.
    pub async fn files(
        &mut self,
        host: &str,
    ) -> Result<(Vec<FileReport>, Option<SweepReport>), StoreError> {
        let sweep = Statement::of(sql::LAST_SWEEP, []);
        let mut answers = self.ask(vec![files_of(Some(host)), sweep]).await?;
        let files = answers.next(rows::report, rows::report)?;
        Ok((files, answers.next(rows::sweep, rows::sweep)?.pop()))
    }

    /// Returns the row of the file: offset, digest and counters of one moment.
    pub async fn report(&mut self, file: FileId) -> Result<Option<FileReport>, StoreError> {
        let report = Statement::of(sql::REPORT, [Value::Int(file.0.into())]);
        Ok(self.ask(vec![report]).await?.next(rows::report, rows::report)?.pop())
    }

    /// Returns what the line at `offset` became, `None` if nothing is stored there (or not any more). It
    /// shows whether a shorter copy of a file has the same content.
    pub async fn line_at(
        &mut self,
        file: FileId,
        offset: u64,
    ) -> Result<Option<StoredLine>, StoreError> {
        let lines = self.lines_between(file, offset, offset + 1, 1).await?;
        Ok(lines.into_iter().next().map(|(_, line)| line))
    }

    /// Returns rows and rejects whose lines begin in `from..to`, in the order of their offsets; at most
    /// `limit` rows of each table, of rejects as many lines. It reads in one snapshot, so that a line
    /// which a reparse moves is either a reject or a row.
    pub async fn lines_between(
        &mut self,
        file: FileId,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<Vec<(u64, StoredLine)>, StoreError> {
        let statements = self.lines(file, from, to, limit);
        lines(&mut self.ask(statements).await?, from..to, limit)
    }

    /// Returns the same, and the offset of the first row or reject at or after the committed offset, where
    /// there must be none.
    pub async fn lines_to_end(
        &mut self,
        file: FileId,
        from: u64,
        to: u64,
        limit: u32,
    ) -> Result<(Vec<(u64, StoredLine)>, Option<u64>), StoreError> {
        let mut statements = self.lines(file, from, to, limit);
        statements.push(self.after_committed(file));
        let mut answers = self.ask(statements).await?;
        let lines = lines(&mut answers, from..to, limit)?;
        let after = answers.next(rows::first, rows::first)?.into_iter().flatten().next();
        Ok((lines, after.map(|offset| offset as u64)))
    }

    fn lines(&self, file: FileId, from: u64, to: u64, limit: u32) -> Vec<Statement> {
        let queries = self.line_queries();
        let of_file = Value::Int(file.0.into());
        let limit = Value::Int(limit.into());
        let first = file.row_id(from);
        let ids = [first, first.saturating_add_unsigned(to.saturating_sub(from))].map(Value::Int);
        let [begin, end] = ids;
        let rows = [begin, end, of_file.clone(), limit.clone()];
        let rejects = [of_file, Value::Int(from as i64), Value::Int(to as i64), limit];
        vec![
            Statement::of(&queries.rows_between, rows.clone()),
            Statement::of(&queries.requests_between, rows),
            Statement::of(&queries.rejects_between, rejects),
        ]
    }

    /// Returns the offset of the first row or reject at or after the committed offset, where there must be
    /// none.
    pub async fn line_after_committed(&mut self, file: FileId) -> Result<Option<u64>, StoreError> {
        let mut answers = self.ask(vec![self.after_committed(file)]).await?;
        let first = answers.next(rows::first, rows::first)?.into_iter().flatten().next();
        Ok(first.map(|offset| offset as u64))
    }

    fn after_committed(&self, file: FileId) -> Statement {
        Statement::of(self.line_queries().after_committed, [Value::Int(file.0.into())])
    }

    /// Returns how many stored and rejected lines of the file begin at or after `offset`.
    pub async fn count_from(&mut self, file: FileId, offset: u64) -> Result<u64, StoreError> {
        let values = [Value::Int(file.0.into()), Value::Int(offset as i64)];
        let queries = [sql::ROWS_FROM, sql::REQUESTS_FROM, sql::REJECTS_FROM];
        let statements = queries.map(|query| Statement::of(query, values.clone()));
        let mut answers = self.ask(statements.into()).await?;
        let mut count = 0;
        for _ in queries {
            count += answers.next(rows::number, rows::number)?.into_iter().sum::<u64>();
        }
        Ok(count)
    }

    /// Returns how many rows have an id that is not made of their file and offset, and the lowest of
    /// these ids. It reads the whole table.
    pub async fn strays(&mut self) -> Result<(u64, Option<i64>), StoreError> {
        let mut answers = self.ask(vec![Statement::of(sql::STRAYS, [])]).await?;
        Ok(answers.next(strays, strays)?.pop().unwrap_or_default())
    }

    /// Returns the latest time before which a sweep that finished after `since` has removed lines.
    pub async fn swept_before(&mut self, since: Micros) -> Result<Option<Micros>, StoreError> {
        let swept = Statement::of(sql::SWEPT_BEFORE, [Value::Time(Time(since))]);
        Ok(self.ask(vec![swept]).await?.next(cutoff, cutoff)?.into_iter().flatten().next())
    }

    /// Returns the next rejects after the key `after`: at most `limit`, and no more after their lines
    /// have `weight` bytes.
    pub async fn rejects_after(
        &mut self,
        after: RejectKey,
        limit: u32,
        weight: u64,
    ) -> Result<Vec<RejectedLine>, StoreError> {
        let values = [
            Value::Int(after.file.0.into()),
            Value::Int(after.offset as i64),
            Value::Time(Time(after.rejected_at)),
            Value::Int(limit.into()),
            Value::Int(weight as i64),
        ];
        let rejects = Statement::of(sql::REJECTS_AFTER, values);
        self.ask(vec![rejects]).await?.next(RejectedLine::read, RejectedLine::read)
    }
}

/// Reads the answers to the statements of [`Writer::lines`].
fn lines(
    answers: &mut Answers,
    range: Range<u64>,
    limit: u32,
) -> Result<Vec<(u64, StoredLine)>, StoreError> {
    let mut lines = answers.next(rows::line_of_row, rows::line_of_row)?;
    lines.extend(answers.next(rows::line_of_request, rows::line_of_request)?);
    let mut room = usize::try_from(limit).unwrap_or(usize::MAX);
    for reject in answers.next(RejectedLine::read, RejectedLine::read)? {
        let (reject, before) = (Arc::new(reject), lines.len());
        let offsets = reject.offsets_within(range.clone()).take(room);
        lines.extend(offsets.map(|offset| (offset, StoredLine::Reject(Arc::clone(&reject)))));
        room -= lines.len() - before;
    }
    lines.sort_by_key(|(offset, _)| *offset);
    Ok(lines)
}

fn strays(row: &impl Columns) -> Result<(u64, Option<i64>), sqlx::Error> {
    Ok((rows::number(row)?, rows::first(row)?))
}

fn cutoff(row: &impl Columns) -> Result<Option<Micros>, sqlx::Error> {
    row.time("cutoff")
}
