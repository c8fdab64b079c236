//! `log-ingestd reparse`: reads lines that are stored once more.
//!
//! - `rejects`: rejected lines, which the database holds; those that can be read now become rows.
//! - `rows`: all lines of files that are still there; what is stored of them is replaced by what they are
//!   now.

mod rejects;
mod rows;

pub use rejects::{ReparseSummary, reparse};
pub use rows::{RereadFile, RowsOptions, RowsSummary, reparse_rows};
