//! Which log a file is, and how its lines are read.

pub(crate) mod detect;
pub(crate) mod formats;
