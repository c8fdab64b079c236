//! `log-ingestd report`: collects what the report shows.

use std::time::Duration;

use crate::config::Config;
use crate::model::{Codes, Filter, Micros, now};
use crate::store::{By, Direction, Reader, RowPage, StoreError, StoredRow, Top, chain};
use crate::web::{Failures, Report, TopList, TopOrder, Zone};

use super::open_reader;

/// Values of each list.
const MOST_VALUES: usize = 10;

/// Server errors and rejected lines that are listed.
const MOST_LINES: usize = 20;

/// Files that are listed.
const MOST_FILES: usize = 500;

/// How long the newest server errors are searched.
const BUDGET: Duration = Duration::from_secs(10);

/// What the report is about.
#[derive(Clone, Debug)]
pub struct ReportOptions {
    /// The beginning of the range.
    pub from: Micros,
    /// Its end, which is not part of it.
    pub to: Micros,
    /// The server whose logs count; `None` for all.
    pub server: Option<String>,
    /// The zone of its times.
    pub zone: Zone,
}

/// Reads all parts of the report. They are read one after the other: rows that are stored meanwhile may be in
/// one and not in another.
///
/// # Errors
/// The store cannot be reached, or does not answer in time.
pub async fn report(config: &Config, options: &ReportOptions) -> anyhow::Result<Report> {
    let reader = open_reader(config).await?;
    let collected = collect(&reader, options).await;
    collected.map_err(|error| anyhow::anyhow!("{}", chain(&error)))
}

async fn collect(reader: &Reader, options: &ReportOptions) -> Result<Report, StoreError> {
    let ReportOptions { from, to, server, zone } = options.clone();
    let overview = reader.overview(from, to, server.as_deref()).await?;
    // Numbers, lists and charts are of the same range: whole steps.
    let (from, to) = (overview.from, overview.to);
    let all = Filter { from, to, server: server.clone(), ..Filter::default() };
    let with = |class: i32| {
        let codes = Codes { first: class * 100, last: class * 100 + 99 };
        Filter { codes: vec![codes], ..all.clone() }
    };
    let mut lists = Lists { reader, is_sampled: false };
    let mut tops = Vec::new();
    for (title, by) in [
        ("URLs", By::Url),
        ("Slowest URLs", By::Slow),
        ("Addresses", By::Address),
        ("Users", By::User),
        ("User agents", By::Agent),
        ("Hosts", By::Host),
    ] {
        let order = if by == By::Slow { TopOrder::Duration } else { TopOrder::Requests };
        tops.push(lists.list(title, order, by, &all).await?);
    }
    let mut errors = Vec::new();
    for (title, class) in [("URLs with server errors", 5), ("URLs with client errors", 4)] {
        errors.push(lists.list(title, TopOrder::Errors, By::Url, &with(class)).await?);
    }
    let failed = with(5);
    let newest = reader.page::<StoredRow>(&failed, Direction::Older(None), MOST_LINES, BUDGET);
    let RowPage { rows: failures, searched_to, .. } = newest.await?;
    let rejects = reader.rejects_between(from, to, server.as_deref(), MOST_LINES).await?;
    let files = reader.files_page(MOST_FILES).await?;
    let made_at = now();
    let failed = Failures { rows: failures, searched_to };
    Ok(Report { made_at, zone, server, overview, tops, errors, failures: failed, rejects, files })
}

/// Reads lists of the most frequent values.
struct Lists<'a> {
    reader: &'a Reader,
    /// Whether the range has too many rows to count all of them in time.
    is_sampled: bool,
}

impl Lists<'_> {
    /// Counts all rows of the range, or the newest ones if that takes too long: the list says so.
    async fn list(
        &mut self,
        title: &'static str,
        order: TopOrder,
        by: By,
        filter: &Filter,
    ) -> Result<TopList, StoreError> {
        let of = |top: Top| TopList { title, order, is_complete: top.from <= filter.from, top };
        if !self.is_sampled {
            match self.reader.top_of_range(by, filter, MOST_VALUES).await {
                Ok(top) => return Ok(of(top)),
                Err(error) => tracing::debug!(error = chain(&error), "the newest rows are counted"),
            }
            self.is_sampled = true;
        }
        Ok(of(self.reader.top(by, filter, MOST_VALUES).await?))
    }
}
