//! Rows as they are stored, for `log-ingestd query --follow`.

use std::marker::PhantomData;

use tracing::warn;

use crate::model::{Filter, now};
use crate::pipeline::backoff::Backoff;
use crate::store::{FoundRow, Reader, RecentRows, RowPages, SearchedRow, StoreError, chain};

/// Finds the rows that are new since the last query.
#[derive(Debug)]
pub struct NewRows<T> {
    reader: Reader,
    filter: Filter,
    recent: RecentRows,
    backoff: Backoff,
    rows: PhantomData<fn() -> T>,
}

impl<T: SearchedRow> NewRows<T> {
    /// Returns the newest rows of the range, `limit` of them at most and the oldest first, and what finds those
    /// that are stored after them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn begin(
        reader: &Reader,
        filter: &Filter,
        limit: u64,
    ) -> anyhow::Result<(Vec<FoundRow<T>>, Self)> {
        let mut this = Self {
            reader: reader.clone(),
            filter: filter.clone(),
            recent: RecentRows::default(),
            backoff: Backoff::default(),
            rows: PhantomData,
        };
        // What is here now is not new, whether it is among the newest or not.
        this.query(&mut |_| Ok(())).await?;
        let mut newest = Vec::new();
        let mut pages = RowPages::newest_first(reader.clone(), filter.clone());
        while (newest.len() as u64) < limit
            && let Some(page) = pages.next().await?
        {
            newest.extend(page);
        }
        newest.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        newest.reverse();
        this.recent.know(&newest);
        Ok((newest, this))
    }

    /// Waits for the next query, and gives its new rows to `print`, the oldest first. A database that is
    /// unavailable is asked again later, and so is one that refuses or has no tables: it may be about to be restored.
    ///
    /// # Errors
    /// A schema that this program does not know, and an error of `print`.
    pub async fn next(
        &mut self,
        print: &mut impl FnMut(&[FoundRow<T>]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        tokio::time::sleep(RecentRows::INTERVAL).await;
        match self.query(print).await {
            Ok(()) => self.backoff = Backoff::default(),
            Err(error) => {
                let lost = error.downcast_ref::<StoreError>().filter(|it| !it.is_about_schema());
                let Some(lost) = lost else { return Err(error) };
                warn!(error = chain(lost), "no new rows while the database is unavailable");
                tokio::time::sleep(self.backoff.wait()).await;
            }
        }
        Ok(())
    }

    async fn query(
        &mut self,
        print: &mut impl FnMut(&[FoundRow<T>]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let now = now();
        // As far ahead as clocks of other machines may be.
        let Filter { to, .. } = Filter::last_hour(now);
        let filter = Filter { from: self.recent.begin(now), to, ..self.filter.clone() };
        let mut pages = RowPages::<T>::oldest_first(self.reader.clone(), filter);
        while let Some(mut rows) = pages.next().await? {
            self.recent.retain_new(&mut rows);
            print(&rows)?;
        }
        self.recent.end_look();
        Ok(())
    }
}
