//! What the lines of a file must be in the store, in the form in which the store answers.

use crate::model::columns::Encoded;
use crate::model::{Batch, RejectedLine, Row, StoredRequest, StoredRow, Tuples};
use crate::store::StoredLine;

/// Returns rows, requests and rejects of a batch, in the order of their offsets.
pub(crate) fn expected(batch: &Batch) -> Vec<(u64, StoredLine)> {
    let rows = decoded::<StoredRow>(&batch.gunicorn_log);
    let rows = rows.map(|row| (row.log_offset, StoredLine::Row(Box::new(row))));
    let requests = decoded::<StoredRequest>(&batch.request_log);
    let requests = requests.map(|row| (row.log_offset, StoredLine::Request(Box::new(row))));
    let rejects = decoded::<RejectedLine>(&batch.rejected_line);
    let rejects = rejects.map(|reject| (reject.log_offset, reject.into()));
    let mut lines: Vec<_> = rows.chain(requests).chain(rejects).collect();
    lines.sort_by_key(|(offset, _)| *offset);
    lines
}

fn decoded<T: Row>(rows: &Tuples) -> impl Iterator<Item = T> {
    rows.rows().filter_map(|row| T::read(&Encoded::new(T::COLUMNS, &row)).ok())
}
