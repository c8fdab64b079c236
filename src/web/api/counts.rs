//! Charts, and what is at the top of lists.

use axum::extract::State;
use serde_json::{Value, json};

use super::ask::{Answer, Asked, Wrong, good};
use crate::model::moment;
use crate::store::{By, Point};
use crate::web::PageState;

/// The names of a point's `rows`, in order.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// `/api/overview`: counts over the range, of all or of one server; the filter's other parts are not
/// what is counted, and are not read.
pub(super) async fn overview(State(state): State<PageState>, asked: Asked) -> Answer {
    let own = ["url", "code", "method", "user", "address", "host", "agent", "text"];
    let filter = asked.filter(&state.reader, &own)?;
    let seen = state.reader.overview(filter.from, filter.to, filter.server.as_deref()).await?;
    let points = seen.points.iter().map(|(start, it)| {
        let mut told = point(it);
        told["t"] = json!(moment(*start));
        told
    });
    good(json!({
        "from": moment(seen.from),
        "to": moment(seen.to),
        "step": seen.step,
        "classes": CLASSES,
        "points": points.collect::<Vec<_>>(),
        "total": point(&seen.total),
    }))
}

fn point(point: &Point) -> Value {
    json!({
        "rows": point.rows,
        "bytes": point.bytes,
        "p50": point.quantile(0.5),
        "p95": point.quantile(0.95),
        "p99": point.quantile(0.99),
    })
}

/// `/api/top?by=…`: the most frequent values among the newest rows of the range.
pub(super) async fn top(State(state): State<PageState>, asked: Asked) -> Answer {
    let filter = asked.filter(&state.reader, &["by", "limit"])?;
    let limit = asked.limit(10, 100)?;
    let name = asked.get("by").unwrap_or("url");
    let by = By::ALL.into_iter().find(|(known, _)| *known == name).ok_or_else(|| {
        Wrong::request(format!("by '{name}' is none of url, user, address, agent, host and slow"))
    })?;
    let top = state.reader.top(by.1, &filter, limit).await?;
    good(json!({
        "by": name,
        "sampled": top.counted,
        "complete": top.from <= filter.from,
        "from": moment(top.from),
        "items": top.items,
    }))
}
