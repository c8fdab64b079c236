//! What is older than the retention leaves, in bounded steps.
//!
//! [`Retention`] says what is old, [`sweep`] removes it, [`next_sweep`] says when. Nothing here
//! waits or repeats: `app` has the timer.

pub(crate) mod indexing;
mod policy;
mod sweep;
mod timer;

pub use policy::{LogType, Retention, RetentionError};
pub use sweep::{SweepOptions, SweepOutcome, Swept, sweep};
pub use timer::{SweepTime, SweepTimeError, next_sweep};
