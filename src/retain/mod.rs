//! Removes rows that are older than the retention, and builds indexes of days that are over.
//!
//! Both are bounded steps, so that ingest never waits long for them. Nothing here waits for a time
//! of day or repeats itself: `daemon` has the timers, and `cleanup` and `import` call one step.
//! The SQL is in `store`.
//!
//! Files, in reading order: `policy` (what is old, and when the next sweep is due: pure),
//! `sweep` (one sweep), `indexing` (indexes of past days).

pub(crate) mod indexing;
mod policy;
mod sweep;

pub use policy::{LogType, Retention, RetentionError, SweepTime, SweepTimeError, next_sweep};
pub use sweep::{SweepOptions, SweepOutcome, Swept, sweep};
