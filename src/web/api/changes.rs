//! What distinguishes a stretch of time from a baseline.

use axum::extract::State;
use serde_json::{Value, json};

use super::steps::{FIRST, NEXT, Steps, in_steps};
use super::{ApiError, ApiResult, QueryString, json_answer, now};
use crate::model::changes::{Difference, Dimension, Part, Side};
use crate::model::{Codes, MOMENT_EXPECTED, Micros, moment, read_moment};
use crate::store::{Asked, Baseline, Changes, ChangesQuestion, StoreError};
use crate::web::PageState;

/// Names in a query string that are not part of the filter.
const OWN: [&str; 5] = ["selected_from", "selected_to", "baseline", "compare", "bound"];
/// Most values of an answer.
const MOST_VALUES: usize = 20;

/// Answers `/api/changes?selected_from=…&selected_to=…[&baseline=rest|before][&compare=requests|4xx|5xx|slow][&bound=…]`: the
/// values by which the selection differs most. `share` below 1 says that they are estimates from this part of the rows.
pub(super) async fn changes(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let asked = question(&state, &query)?;
    json_answer(Answer::first(&state, asked).await?.answer())
}

/// Answers `/api/changes/progress`: the same, in [`steps`](super::steps).
pub(super) async fn progress(State(state): State<PageState>, query: QueryString) -> ApiResult {
    let asked = question(&state, &query)?;
    // The first line is awaited here: its error has a status.
    Ok(in_steps(Answer::first(&state, asked).await?, state.closing()))
}

fn question(state: &PageState, query: &QueryString) -> Result<ChangesQuestion, ApiError> {
    let filter = query.filter(&state.reader, &OWN)?;
    let edge = |name: &str| -> Result<Micros, ApiError> {
        let text = query.get(name).unwrap_or_default();
        let read = read_moment(text, now(), &chrono::Utc).filter(|_| text.len() < 100);
        read.ok_or_else(|| {
            let short: String = text.chars().take(100).collect();
            ApiError::bad_request(format!("{name} '{short}' is {MOMENT_EXPECTED}"))
        })
    };
    let selected = (edge("selected_from")?, edge("selected_to")?);
    let within = selected.0.max(filter.from)..selected.1.min(filter.to);
    if within.is_empty() {
        return Err(ApiError::bad_request(format!(
            "invalid selection from {} to {}: expected one within the range, which ends after it begins",
            moment(selected.0),
            moment(selected.1)
        )));
    }
    let baseline = match query.get("baseline").unwrap_or("rest") {
        "rest" => Baseline::Rest,
        "before" => Baseline::Before,
        other => return Err(ApiError::invalid_choice("baseline", other, "rest or before")),
    };
    let bound = match query.get("bound") {
        None => None,
        Some(text) => {
            let bound = text.parse().ok().filter(|bound| *bound > 0);
            let expected = "microseconds, such as 250000";
            Some(bound.ok_or_else(|| ApiError::invalid_choice("bound", text, expected))?)
        }
    };
    let asked = match query.get("compare").unwrap_or("requests") {
        "requests" => Asked::Requests,
        "4xx" => Asked::Codes(Codes { first: 400, last: 499 }),
        "5xx" => Asked::Codes(Codes { first: 500, last: 599 }),
        "slow" => Asked::Slow(bound),
        other => {
            return Err(ApiError::invalid_choice("compare", other, "requests, 4xx, 5xx or slow"));
        }
    };
    let question =
        ChangesQuestion { filter, selected: (within.start, within.end), baseline, asked };
    if question.baseline().is_empty() {
        return Err(ApiError::bad_request(
            "invalid baseline 'rest': the selection is all of the range; expected before".into(),
        ));
    }
    Ok(question)
}

/// The changes, and what they were asked for.
struct Answer {
    asked: ChangesQuestion,
    changes: Changes,
}

impl Answer {
    async fn first(state: &PageState, asked: ChangesQuestion) -> Result<Answer, StoreError> {
        let changes = state.reader.changes(&asked, FIRST).await?;
        Ok(Answer { asked, changes })
    }
}

impl Steps for Answer {
    fn is_done(&self) -> bool {
        self.changes.is_done()
    }

    async fn go_on(&mut self) -> Result<(), StoreError> {
        self.changes.go_on(NEXT).await
    }

    fn answer(&self) -> Value {
        let Answer { asked, changes } = self;
        let shares = changes.shares();
        let comparison = changes.comparison();
        let side = |side: Side, ranges: Vec<(Micros, Micros)>| {
            let mut value = part(&comparison.total(side, shares[side as usize]));
            let ranges = ranges.into_iter().map(|(from, to)| json!([moment(from), moment(to)]));
            value["ranges"] = ranges.collect();
            value["read"] = json!(shares[side as usize]);
            value
        };
        let items = comparison.ranked(MOST_VALUES, shares);
        json!({
            "selection": side(Side::Selection, vec![asked.selected]),
            "baseline": side(Side::Baseline, asked.baseline()),
            "bound": changes.bound(),
            "items": items.iter().map(item).collect::<Vec<_>>(),
            "share": shares[0].min(shares[1]),
            "gone_before": changes.gone_before().map(moment),
            "forgetful": comparison.forgetful().map(Dimension::name).collect::<Vec<_>>(),
        })
    }
}

fn item(it: &Difference) -> Value {
    let mut value = named(it.dimension, &it.value);
    value["here"] = part(&it.here);
    value["there"] = part(&it.there);
    value["score"] = json!(it.score);
    value["explains"] = json!(it.explains);
    // An id may be larger than the integers that JavaScript can represent.
    value["row"] = json!(it.example.to_string());
    let same = it.same.iter().map(|(dimension, value)| named(*dimension, value));
    value["same"] = same.collect();
    value
}

fn named(dimension: Dimension, value: &str) -> Value {
    let filter = dimension.condition(value).map(|(field, value)| json!([field, value]));
    json!({ "dimension": dimension.name(), "value": value, "filter": filter })
}

fn part(part: &Part) -> Value {
    json!({ "rows": part.rows, "bad": part.bad, "share": part.share, "error": part.error })
}
