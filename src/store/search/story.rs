//! The whole story of a request: its rows in both logs, and what the same session and address did before and after it.

use std::time::Duration;

use super::Reader;
use super::rows::{Cursor, Direction, FoundRow, SearchedRow};
use crate::model::{Filter, Micros, Network};
use crate::store::error::StoreError;
use crate::store::{StoredRequest, StoredRow};

/// How far around the request its rows, and those of its neighbours, are looked for.
const AROUND: Micros = 30 * 60 * 1_000_000;
/// Most rows of the request in each log: retries by a proxy may have the same id.
const MOST_OF_REQUEST: usize = 20;
/// Most neighbours before the request, and after it.
const MOST_NEIGHBOURS: usize = 8;
/// How long each search runs. What it has not found by then is left out.
const BUDGET: Duration = Duration::from_secs(1);

/// The rows around a request, whatever a filter says. Each list is newest first, and holds the request itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Story {
    /// Rows of the access log with its id.
    pub access: Vec<FoundRow<StoredRow>>,
    /// Rows of request logs with its id.
    pub requests: Vec<FoundRow<StoredRequest>>,
    /// Rows of request logs of the same session.
    pub session: Vec<FoundRow<StoredRequest>>,
    /// Rows of the access log from the same address.
    pub address: Vec<FoundRow<StoredRow>>,
}

impl Reader {
    /// Returns the story of a row of the access log; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn story_of_access(&self, id: i64) -> Result<Option<Story>, StoreError> {
        let Some(found) = self.row::<StoredRow>(id).await? else { return Ok(None) };
        let mut story = Story::default();
        let time = found.row.timestamp;
        match &found.row.request_id {
            Some(request) => self.tell(&mut story, request, time).await?,
            None => story.access = vec![found.clone()],
        }
        let (address, at) = (found.row.user_ip, Cursor { timestamp: time, id });
        story.address = self.neighbours(of_address(address.map(Network::one)), at).await?;
        self.tell_session(&mut story).await?;
        Ok(Some(story))
    }

    /// Returns the story of a row of a request log; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn story_of_request(&self, id: i64) -> Result<Option<Story>, StoreError> {
        let Some(found) = self.row::<StoredRequest>(id).await? else { return Ok(None) };
        let mut story = Story::default();
        let line = &found.row.line;
        let (time, address) = (line.timestamp, line.ip_address);
        match &line.request_id {
            Some(request) => self.tell(&mut story, request, time).await?,
            None => story.requests = vec![found.clone()],
        }
        // The access line of the request has its own time and place.
        let at = story.access.first().map_or(Cursor { timestamp: time, id: i64::MAX }, |it| {
            Cursor { timestamp: it.row.timestamp, id: it.id }
        });
        story.address = self.neighbours(of_address(address.map(Network::one)), at).await?;
        self.tell_session(&mut story).await?;
        Ok(Some(story))
    }

    /// Finds the rows with the id of the request in both logs.
    async fn tell(
        &self,
        story: &mut Story,
        request_id: &str,
        time: Micros,
    ) -> Result<(), StoreError> {
        let filter = Filter { request_id: Some(request_id.to_owned()), ..around(time) };
        let (newest, most) = (Direction::Older(None), MOST_OF_REQUEST);
        story.access = self.page(&filter, newest, most, BUDGET).await?.rows;
        story.requests = self.page(&filter, newest, most, BUDGET).await?.rows;
        Ok(())
    }

    /// Finds what the request's session did, if a request log names it.
    async fn tell_session(&self, story: &mut Story) -> Result<(), StoreError> {
        let named =
            story.requests.iter().find_map(|it| Some((it, it.row.line.session_id.clone()?)));
        let Some((found, session)) = named else { return Ok(()) };
        let at = Cursor { timestamp: found.row.timestamp(), id: found.id };
        let filter = Filter { session: Some(session), ..Filter::default() };
        story.session = self.neighbours(Some(filter), at).await?;
        Ok(())
    }

    /// Returns the row at the cursor, if it meets the filter, and its neighbours.
    async fn neighbours<T: SearchedRow>(
        &self,
        filter: Option<Filter>,
        at: Cursor,
    ) -> Result<Vec<FoundRow<T>>, StoreError> {
        let Some(filter) = filter else { return Ok(Vec::new()) };
        let Filter { from, to, .. } = around(at.timestamp);
        let filter = Filter { from, to, ..filter };
        // A cursor lies between rows: this one lies just after its own row.
        let before = Cursor { id: at.id.saturating_add(1), ..at };
        let newer = Direction::Newer(at);
        let mut rows = self.page(&filter, newer, MOST_NEIGHBOURS, BUDGET).await?.rows;
        let older = Direction::Older(Some(before));
        rows.extend(self.page(&filter, older, MOST_NEIGHBOURS + 1, BUDGET).await?.rows);
        Ok(rows)
    }
}

/// Returns the filter for all rows around a time.
fn around(time: Micros) -> Filter {
    Filter { from: time - AROUND, to: time + AROUND, ..Filter::default() }
}

/// Returns the filter for an address.
fn of_address(address: Option<Network>) -> Option<Filter> {
    address.map(|address| Filter { address: Some(address), ..Filter::default() })
}
