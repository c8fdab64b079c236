//! What happened to the reading of the files in a range: marks for charts.
//!
//! The ledger and the rejects tell it, so nothing is written for it. A mark is not of a row: of a filter only the server
//! holds for it.

use super::Reader;
use crate::model::{Condition, Filter, Micros};
use crate::store::answers::Table;
use crate::store::error::StoreError;
use crate::store::rows::Columns;
use crate::store::statement::Statement;

use super::counts::SECOND;
use super::lists::MOST_COUNTED;

/// Most files that are looked at, the newest first.
const MOST_FILES: i64 = 500;
/// Most files before one among which its predecessor is looked for.
const PREDECESSORS: i64 = 2000;
/// A file that is claimed so soon after it was registered is new: no daemon has read it before.
const NEW: Micros = 5 * SECOND;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bytes were gone before they could be read. The ledger has no time of a loss: it is that of the file's end, or of its
    /// last commit.
    Lost {
        /// How many.
        bytes: u64,
    },
    /// A daemon took the file over, and went on from where it was stored. The ledger does not say when it had caught up.
    Resumed,
    /// The file has another format than the file that was in its place before.
    FormatChanged {
        /// The format before.
        from: String,
        /// The format now.
        to: String,
    },
}

/// Something that happened to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileMark {
    /// When.
    pub at: Micros,
    /// Its host.
    pub host: String,
    /// Its path.
    pub path: String,
    /// What happened.
    pub event: Event,
}

/// Rejected lines of a slot of a chart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectMark {
    /// The start of the slot.
    pub at: Micros,
    /// The code of the reason.
    pub code: String,
    /// How many lines.
    pub lines: u64,
}

/// The marks of a range.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Marks of files.
    pub files: Vec<FileMark>,
    /// Rejected lines, by when they were rejected.
    pub rejects: Vec<RejectMark>,
}

/// A file as the ledger has it.
struct Found {
    host: String,
    path: String,
    format: String,
    before: Option<String>,
    lost_bytes: u64,
    first_seen_at: Micros,
    claimed_at: Micros,
    ended_at: Micros,
}

impl Reader {
    /// Returns the marks of the filter's range, for slots of `step` seconds.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn marks(&self, filter: &Filter, step: i64) -> Result<Marks, StoreError> {
        let is_server = |it: &Condition| matches!(it, Condition::Server(_));
        let not = filter.not.iter().filter(|it| is_server(it)).cloned().collect();
        let servers = Filter { server: filter.server.clone(), not, ..Filter::default() };
        let within = |to: &mut Statement, column: &str| {
            to.sql("(").sql(column).sql(" >= ").time(filter.from);
            to.sql(" AND ").sql(column).sql(" < ").time(filter.to).sql(")");
        };
        let mut files = Statement::default();
        files.sql(
            "SELECT host, path, format, lost_bytes, first_seen_at, epoch, \
                    coalesce(closed_at, committed_at, first_seen_at) AS ended_at, \
                    (SELECT p.format FROM log_file p WHERE p.id < f.id AND p.id >= f.id - ",
        );
        files.int(PREDECESSORS);
        // The file before has been rotated away: its path is that of the new one, and a number or a date.
        files.sql(
            " AND p.host = f.host AND substr(p.path, 1, length(f.path)) = f.path \
                AND (p.path = f.path OR substr(p.path, length(f.path) + 1, 1) IN ('.', '-', '_') \
                     AND substr(p.path, length(f.path) + 2, 1) BETWEEN '0' AND '9') \
               ORDER BY p.id DESC LIMIT 1) AS before_it \
              FROM (SELECT *, id AS log_file FROM log_file) AS f WHERE (",
        );
        within(&mut files, "first_seen_at");
        files.sql(" OR lost_bytes > 0 AND ");
        within(&mut files, "coalesce(closed_at, committed_at, first_seen_at)");
        // An epoch is a thousand times the time of its claim, and the number of the schema.
        files.sql(" OR epoch / 1000 BETWEEN ").int(filter.from);
        files.sql(" AND ").int(filter.to).sql(")");
        self.conditions(&mut files, Table::GunicornLog, &servers);
        files.sql(" ORDER BY id DESC LIMIT ").int(MOST_FILES);

        let start = match self.is_postgres() {
            true => {
                format!("date_bin('{step} s', rejected_at, '1970-01-01 00:00:00+00'::timestamptz)")
            }
            false => format!(
                "strftime('%Y-%m-%d %H:%M:%S', strftime('%s', rejected_at) / {step} * {step}, 'unixepoch')"
            ),
        };
        let mut rejects = Statement::default();
        rejects
            .sql("SELECT ")
            .sql(&start)
            .sql(" AS start, code, CAST(sum(repeats) AS bigint) AS n");
        rejects.sql(" FROM (SELECT rejected_at, code, repeats FROM rejected_line WHERE ");
        within(&mut rejects, "rejected_at");
        self.conditions(&mut rejects, Table::GunicornLog, &servers);
        rejects.sql(" ORDER BY rejected_at DESC LIMIT ").int(i64::from(MOST_COUNTED));
        rejects.sql(") AS newest GROUP BY 1, 2 ORDER BY 1, 2");

        let mut answers = self.ask(vec![files, rejects]).await?;
        let found = answers.next(file, file)?;
        let range = filter.from..filter.to;
        let files = found.into_iter().flat_map(marks_of).filter(|it| range.contains(&it.at));
        let mut files: Vec<_> = files.collect();
        files.sort_by(|one, two| (one.at, &one.path).cmp(&(two.at, &two.path)));
        let rejects = answers.next(reject, reject)?.into_iter().flatten().collect();
        Ok(Marks { files, rejects })
    }
}

/// Returns what happened to a file, whenever that was.
fn marks_of(found: Found) -> Vec<FileMark> {
    let mut marks = Vec::new();
    let mut mark = |at, event| {
        let (host, path) = (found.host.clone(), found.path.clone());
        marks.push(FileMark { at, host, path, event });
    };
    if found.lost_bytes > 0 {
        mark(found.ended_at, Event::Lost { bytes: found.lost_bytes });
    }
    if found.claimed_at > found.first_seen_at + NEW {
        mark(found.claimed_at, Event::Resumed);
    }
    if let Some(from) = found.before.filter(|before| *before != found.format) {
        mark(found.first_seen_at, Event::FormatChanged { from, to: found.format });
    }
    marks
}

fn file(row: &impl Columns) -> Result<Found, sqlx::Error> {
    let text = |column| row.text(column).map(Option::unwrap_or_default);
    let time = |column| row.time(column).map(Option::unwrap_or_default);
    let first_seen_at = time("first_seen_at")?;
    Ok(Found {
        host: text("host")?,
        path: text("path")?,
        format: text("format")?,
        before: row.text("before_it")?,
        lost_bytes: row.int("lost_bytes")?.and_then(|it| it.try_into().ok()).unwrap_or_default(),
        first_seen_at,
        claimed_at: row.int("epoch")?.unwrap_or_default() / 1000,
        ended_at: time("ended_at")?,
    })
}

fn reject(row: &impl Columns) -> Result<Option<RejectMark>, sqlx::Error> {
    let Some(at) = row.time("start")? else { return Ok(None) };
    let code = row.text("code")?.unwrap_or_default();
    let lines = row.int("n")?.and_then(|it| it.try_into().ok()).unwrap_or_default();
    Ok(Some(RejectMark { at, code, lines }))
}
