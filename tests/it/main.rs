//! The integration tests, in one binary: real files, real databases, real programs.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]
#![expect(clippy::print_stdout, reason = "fuzzing says how many inputs it saw")]

mod daemon;
mod floor_plan;
mod follow;
mod parse;
mod parse_properties;
mod place;
mod postgres;
mod postgres_faults;
mod store_contract;
mod sweeps;
