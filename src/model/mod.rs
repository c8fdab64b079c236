//! Plain values that all other modules share. Nothing here does I/O or knows a database.

mod batch;
pub mod changes;
pub mod columns;
mod excerpt;
mod file;
mod filter;
mod folding;
#[cfg(test)]
pub(crate) mod fuzz;
pub mod histogram;
mod ignored;
mod line_form;
mod patch;
mod printable;
mod reason;
mod record;
mod rollup;
mod routes;
mod scatter;
mod text;

pub use batch::{
    Batch, FAR_AHEAD, FIRST_TIME, FarExample, Field, RejectExample, Reparsed, Span, Taken,
    TakenReject, Tuples,
};
pub use columns::{Recorded, RejectedLine, RequestLog, Row, StoredRequest, StoredRow};
pub use excerpt::excerpt;
pub use file::{
    Checkpoint, Claim, Cut, DIGEST_BLOCK, Digest, FileId, FileKey, Fingerprint, MAX_NUL_RUNS,
    MAX_OFFSET, NewFile, NulRun, NulTotals, Origin, Position, ShortHash, Sighting,
};
pub use filter::{
    Codes, Condition, Filter, FilterError, MOMENT_EXPECTED, Network, Share, UrlFilter, read_moment,
};
pub use ignored::IgnoredCode;
pub use line_form::{FormChange, FormTotals, LineForm, MAX_FORM_CHANGES, form_at};
pub use patch::{patch_between, patched, unkept, unkept_length};
pub use printable::{is_printable, path_text, printable, text_path};
pub use reason::{RejectCode, RejectReason};
pub use record::{
    Captured, Extra, Extras, GunicornJson, GunicornLogModel, JsonRecord, Likeness, Micros, Written,
    moment, now,
};
pub use rollup::{CLASSES, CountedRow, Counts, Period, Rollup};
pub use routes::{
    MOST_ROUTES, NO_URL, OTHER_ROUTES, Replacement, RouteBook, RouteCounts, RoutePeriod,
    RouteTally, replaced,
};
pub(crate) use scatter::scatter;
pub(crate) use text::hex;
pub use text::{counted, grouped};
