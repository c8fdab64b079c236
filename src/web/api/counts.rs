//! Counts of what meets the filter, for tiles and charts, and values for a filter.

use axum::extract::State;
use serde_json::{Value, json};

use super::steps::{FIRST, NEXT, Steps, in_steps};
use super::{ApiError, ApiResult, QueryString, json_answer};
use crate::model::{Filter, RejectCode, histogram, moment};
use crate::store::{Counting, Event, FileMark, Point, RejectMark, StoreError, Suggested};
use crate::web::PageState;

/// The longest step of a chart: a week, in seconds.
const LONGEST_STEP: i64 = 604_800;

/// The names of a point's `rows`, in order.
const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "other"];

/// Answers `/api/overview`: counts of what meets the filter. `share` below 1 says that they are estimates from this
/// part of the rows.
pub(super) async fn overview(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let filter = query.filter(&state.reader, &[])?;
    json_answer(counted(&state.reader.count(&filter, FIRST).await?))
}

/// Answers `/api/overview/progress`: the same, in [`steps`](super::steps).
pub(super) async fn progress(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let filter = query.filter(&state.reader, &[])?;
    // The first line is awaited here: its error has a status.
    let counting = state.reader.count(&filter, FIRST).await?;
    Ok(in_steps(counting, state.closing()))
}

impl Steps for Counting {
    fn is_done(&self) -> bool {
        Counting::is_done(self)
    }

    async fn go_on(&mut self) -> Result<(), StoreError> {
        Counting::go_on(self, NEXT).await
    }

    fn answer(&self) -> Value {
        counted(self)
    }
}

fn counted(counting: &Counting) -> Value {
    let counted = counting.counted();
    let overview = &counted.overview;
    let points = overview.points.iter().map(|(start, counts)| {
        let mut object = point(counts);
        object["t"] = json!(moment(*start));
        object["heat"] = json!(counts.heat());
        object
    });
    json!({
        "from": moment(overview.from),
        "to": moment(overview.to),
        "step": overview.step,
        "classes": CLASSES,
        "heat": (0..histogram::PARTS).map(histogram::first_of_part).collect::<Vec<_>>(),
        "points": points.collect::<Vec<_>>(),
        "total": point(&overview.total),
        "share": counted.share,
        "error": counted.error,
        "gone_before": counted.gone_before.map(moment),
    })
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

/// Answers `/api/marks?step=SECONDS`: what happened to the reading of files in the range, and how many lines were rejected in
/// each step of so many seconds. Of the filter, servers alone matter.
pub(super) async fn marks(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let filter = query.filter(&state.reader, &["step"])?;
    let text = query.get("step").unwrap_or("60");
    let step = text.parse().ok().filter(|step| (60..=LONGEST_STEP).contains(step));
    let step = step.ok_or_else(|| {
        ApiError::bad_request(format!(
            "invalid step '{text}': expected seconds, from 60 to {LONGEST_STEP}"
        ))
    })?;
    let marks = state.reader.marks(&filter, step).await?;
    let files = marks.files.iter().map(|FileMark { at, host, path, event }| {
        let mut mark = json!({ "t": moment(*at), "server": host, "path": path });
        match event {
            Event::Lost { bytes } => (mark["kind"], mark["bytes"]) = (json!("lost"), json!(bytes)),
            Event::Resumed => mark["kind"] = json!("resumed"),
            Event::FormatChanged { from, to } => {
                mark["kind"] = json!("format");
                (mark["before"], mark["after"]) = (json!(from), json!(to));
            }
        }
        mark
    });
    let rejects = marks.rejects.iter().map(|RejectMark { at, code, lines }| {
        let known = RejectCode::named(code);
        json!({
            "t": moment(*at),
            "kind": "rejected",
            "code": code,
            "words": known.map(RejectCode::words),
            "unexpected": known.is_none_or(RejectCode::is_unexpected),
            "lines": lines,
        })
    });
    json_answer(json!(files.chain(rejects).collect::<Vec<_>>()))
}

/// Answers `/api/suggest?part=…[&field=…]`: values that contain the text, with their counts among the newest rows of the
/// range that meet the filter.
pub(super) async fn suggest(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let filter = query.filter(&state.reader, &["part", "field", "limit"])?;
    let limit = query.limit(5, 50)?;
    let part = query.get("part").unwrap_or_default();
    // What cannot be searched for cannot be offered either.
    Filter::default().set("text", part, 0)?;
    let fields: Vec<(&str, Suggested)> = match query.get("field") {
        None => Suggested::ALL.to_vec(),
        Some(field) => {
            let known = Suggested::ALL.into_iter().filter(|(name, _)| *name == field);
            let known: Vec<_> = known.collect();
            if known.is_empty() {
                let names: Vec<&str> = Suggested::ALL.map(|(name, _)| name).to_vec();
                return Err(ApiError::bad_request(format!(
                    "invalid field '{field}': expected one of {}",
                    names.join(", ")
                )));
            }
            known
        }
    };
    let found = state.reader.suggest(&fields, part, &filter, limit).await?;
    json_answer(json!({
        "items": found.items,
        "complete": found.from <= filter.from,
        "from": moment(found.from),
    }))
}
