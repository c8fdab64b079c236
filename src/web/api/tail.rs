//! New rows as they come, as server-sent events.
//!
//! The database is asked once a second, and not the daemon that writes: another one, on another
//! machine, may write, too. Rows of the last moments are asked for each time, since they do not become
//! visible in the order of their times; those that were sent already are left out.

use std::collections::HashSet;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::ask::{Answer, Asked, now};
use super::rows::log_item;
use crate::model::{Filter, Micros};
use crate::store::{Direction, FoundRow, Reader, StoreError, StoredRow, chain};
use crate::web::PageState;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// How late a row may become visible: its time is that of the request, and its line had to be written,
/// read and stored since.
const LATE: Micros = 15_000_000;
/// Rows that are shown of one look; nobody reads more in a second.
const MOST: usize = 200;
/// Rows of one look.
const LOOKED_AT: usize = 5000;
/// So that proxies and browsers do not give the connection up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

struct Tail {
    reader: Reader,
    filter: Filter,
    sent: HashSet<i64>,
}

/// `/api/tail`: `event: row` for each new row, `event: skipped` where more came than can be read.
pub(super) async fn tail(State(state): State<PageState>, asked: Asked) -> Answer {
    let filter = asked.filter(&state.reader, &["to"])?;
    let mut tail = Tail { reader: state.reader.clone(), filter, sent: HashSet::new() };
    // What is there already is the page's, and no news.
    tail.look().await?;
    let events = stream::unfold(tail, |mut tail| async move {
        tokio::time::sleep(EVERY).await;
        let events = match tail.look().await {
            Ok(rows) => rows,
            // The page says so, and the browser's next look may find the database again.
            Err(error) => vec![event("trouble", &json!({ "error": chain(&error) }))],
        };
        Some((stream::iter(events.into_iter().map(Ok::<Event, Infallible>)), tail))
    });
    let events = events.flatten().take_until(state.closing());
    let response = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    Ok::<Response, _>(response.into_response())
}

impl Tail {
    /// Rows that were not there at the last look, oldest first.
    async fn look(&mut self) -> Result<Vec<Event>, StoreError> {
        (self.filter.from, self.filter.to) = (now() - LATE, Micros::MAX / 2);
        let found = self.page().await?;
        let ids: HashSet<i64> = found.iter().map(|row| row.id).collect();
        let fresh: Vec<_> = found.iter().filter(|row| !self.sent.contains(&row.id)).collect();
        let mut events = Vec::with_capacity(fresh.len().min(MOST + 1));
        if let Some(skipped @ 1..) = fresh.len().checked_sub(MOST) {
            events.push(event("skipped", &json!({ "rows": skipped })));
        }
        let shown = fresh.iter().take(MOST).rev();
        events.extend(shown.map(|row| event("row", &log_item(row))));
        self.sent.retain(|id| ids.contains(id));
        self.sent.extend(ids);
        Ok(events)
    }

    async fn page(&self) -> Result<Vec<FoundRow<StoredRow>>, StoreError> {
        let (newest, budget) = (Direction::Older(None), Duration::from_secs(2));
        Ok(self.reader.log_page(&self.filter, newest, LOOKED_AT, budget).await?.rows)
    }
}

fn event(name: &str, data: &serde_json::Value) -> Event {
    Event::default().event(name).data(data.to_string())
}
