//! `log-ingestd copy`: moves everything from one database to another, and compares both.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;

use crate::model::hex;
use crate::pipeline::Shutdown;
use crate::pipeline::connect::{Access, connect};
use crate::store::{COPY_TABLES, CopyPart, CopySource, CopyTable, CopyTarget, Location, Sum};

/// What is copied, and to where.
#[derive(Clone, Debug)]
pub struct CopyOptions {
    /// The database that has the rows.
    pub from: Location,
    /// The database that gets them. An SQLite file is made.
    pub to: Location,
    /// How long to try to reach the first one.
    pub connect_timeout: Duration,
}

/// What a copy did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CopySummary {
    /// The source.
    pub from: String,
    /// The target.
    pub to: String,
    /// Rows of all tables.
    pub rows: u64,
    /// Rows that an earlier attempt had copied.
    pub already_copied: u64,
    /// Wall time.
    pub seconds: f64,
    /// Whether both databases have the same rows, so that the target can be used.
    pub good: bool,
    /// What is in each table.
    pub tables: Vec<CopiedTable>,
    /// Where the databases differ.
    pub differences: Vec<CopyDifference>,
}

/// A table that was copied.
#[derive(Clone, Debug, Serialize)]
pub struct CopiedTable {
    /// Its name.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
    /// The SHA-256 of them, in hexadecimal digits: the same for the same rows in either database.
    pub digest: String,
}

/// Rows that are not the same in both databases.
#[derive(Clone, Debug, Serialize)]
pub struct CopyDifference {
    /// The table, and the day.
    pub part: String,
    /// Rows in the source.
    pub from_rows: u64,
    /// Rows in the target.
    pub to_rows: u64,
}

/// What a copy is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyStep {
    /// It copies rows.
    Copying,
    /// It reads the target, and compares.
    Comparing,
}

/// Is told how far a copy is.
pub trait CopyProgress {
    /// So many parts of tables are to be done.
    fn plan(&self, step: CopyStep, parts: u64);
    /// This part is being done.
    fn begin(&self, part: &CopyPart);
    /// So many more rows are done.
    fn rows(&self, rows: u64);
    /// The part is done.
    fn end(&self);
}

/// Copies all rows, and compares both databases. An attempt that was ended by anything is continued.
///
/// # Errors
/// A database that cannot be used, a source that a running daemon writes, a target with rows of its own or of
/// another copy, and a signal. What was copied stays for the next attempt.
pub async fn copy(
    options: &CopyOptions,
    progress: &dyn CopyProgress,
) -> anyhow::Result<CopySummary> {
    let began = Instant::now();
    let mut shutdown = Shutdown::on_signals().context("cannot listen to signals")?;
    let CopyOptions { from, to, connect_timeout } = options;
    let store = connect(from, *connect_timeout, Access::Read, &mut shutdown).await?;
    let copying = Box::pin(async {
        let source = CopySource::begin(&store).await?;
        let target = Box::pin(CopyTarget::begin(to.clone(), &source)).await?;
        Copying { source, target, progress, done: Vec::new(), already_copied: 0 }.run().await
    });
    let summary = tokio::select! {
        summary = copying => summary?,
        () = shutdown.stopped() => bail!(
            "stopped before all was copied: the same command again goes on from there, and until then \
             nothing uses {to}"
        ),
    };
    Ok(CopySummary {
        from: from.to_string(),
        to: to.to_string(),
        seconds: began.elapsed().as_secs_f64(),
        ..summary
    })
}

/// A copy at work.
struct Copying<'a> {
    source: CopySource,
    target: CopyTarget,
    progress: &'a dyn CopyProgress,
    /// What the source has.
    done: Vec<(CopyPart, Sum)>,
    already_copied: u64,
}

impl Copying<'_> {
    async fn run(mut self) -> anyhow::Result<CopySummary> {
        let mut parts = Vec::new();
        for table in &COPY_TABLES {
            parts.extend(self.parts(table).await?);
        }
        self.progress.plan(CopyStep::Copying, parts.len() as u64);
        for part in parts {
            self.progress.begin(&part);
            let sum = self.copy_part(&part).await;
            let sum = sum.with_context(|| format!("the copy of {part} failed"))?;
            self.done.push((part, sum));
            self.progress.end();
        }
        let differences = self.compare().await?;
        let mut summary = CopySummary {
            good: differences.is_empty(),
            already_copied: self.already_copied,
            differences,
            ..CopySummary::default()
        };
        for table in &COPY_TABLES {
            summary.tables.push(self.sum_of(table));
        }
        summary.rows = summary.tables.iter().map(|table| table.rows).sum();
        match summary.good {
            true => self.target.finish().await?,
            false => self.target.tables.end().await,
        }
        self.source.tables.end().await;
        Ok(summary)
    }

    /// Returns the parts of a table: those of the source, and those that only an earlier attempt has left
    /// in the target, since the source was swept meanwhile.
    async fn parts(&mut self, table: &'static CopyTable) -> anyhow::Result<Vec<CopyPart>> {
        let mut parts = self.source.tables.parts(table).await?;
        if self.target.is_resumed {
            let more = self.target.tables.parts(table).await?;
            // Days may share partitions in other ways there.
            let more: Vec<CopyPart> = more.into_iter().flat_map(|it| it.without(&parts)).collect();
            parts.extend(more);
        }
        Ok(parts)
    }

    /// Copies a part, unless an earlier attempt has copied it and nothing has changed since.
    async fn copy_part(&mut self, part: &CopyPart) -> anyhow::Result<Sum> {
        let Self { source, target, progress, .. } = self;
        if target.is_resumed {
            let there = target.tables.sum(part).await?;
            if there.rows > 0 {
                let here = source.tables.sum(part).await?;
                if here == there {
                    self.already_copied += here.rows;
                    progress.rows(here.rows);
                    return Ok(here);
                }
                target.clear(part).await?;
            }
        }
        Ok(source.copy(part, target, |rows| progress.rows(rows)).await?)
    }

    /// Reads the target, and returns where it differs from the source.
    async fn compare(&mut self) -> anyhow::Result<Vec<CopyDifference>> {
        let mut differences = Vec::new();
        self.progress.plan(CopyStep::Comparing, self.done.len() as u64);
        for (part, here) in &self.done {
            self.progress.begin(part);
            let there = self.target.tables.sum(part).await;
            let there = there.with_context(|| format!("the comparison of {part} failed"))?;
            if there != *here {
                differences.push(CopyDifference {
                    part: part.to_string(),
                    from_rows: here.rows,
                    to_rows: there.rows,
                });
            }
            self.progress.rows(there.rows);
            self.progress.end();
        }
        // What no part has, neither of them should have.
        for table in &COPY_TABLES {
            let (from_rows, to_rows) =
                (self.source.tables.count(table).await?, self.target.tables.count(table).await?);
            let copied = self.sum_of(table).rows;
            let is_known = differences.iter().any(|it| it.part.starts_with(table.name));
            if (from_rows, to_rows) != (copied, copied) && !is_known {
                let part = table.name.to_owned();
                differences.push(CopyDifference { part, from_rows, to_rows });
            }
        }
        Ok(differences)
    }

    /// Returns what was read of a table.
    fn sum_of(&self, table: &CopyTable) -> CopiedTable {
        let of_table = self.done.iter().filter(|(part, _)| part.table == table);
        let mut parts: Vec<_> = of_table.filter(|(_, sum)| sum.rows > 0).collect();
        parts.sort_by_key(|(part, _)| part.begin());
        let parts: Vec<Sum> = parts.into_iter().map(|(_, sum)| *sum).collect();
        let sum = Sum::of_all(&parts);
        CopiedTable { table: table.name, rows: sum.rows, digest: hex(&sum.digest) }
    }
}
