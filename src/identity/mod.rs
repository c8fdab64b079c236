//! Which log a file is, and how its lines are read.
//!
//! - `detect`: format and envelope, by the user's choice or by the first lines.
//! - `content`: what identity reads of a followed file, and of one that is complete.
//! - `resolve`: the one decision which logical file some content is.
//! - `claim`: a file that this process alone writes, its position and its losses.
//! - `power_cut`: where a log goes on whose last bytes a power cut has taken.
//! - `register`: registers or claims a complete file; `contained` asks the store about a copy that is
//!   shorter than what is stored.

pub(crate) mod claim;
mod contained;
pub(crate) mod content;
pub(crate) mod detect;
pub(crate) mod power_cut;
pub(crate) mod register;
pub(crate) mod resolve;
