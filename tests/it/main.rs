//! The integration tests, in one binary: a module for each room.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::print_stdout, reason = "fuzzing says how many inputs it saw")]

mod parse;
mod parse_properties;
