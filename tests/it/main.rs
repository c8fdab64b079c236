//! The integration tests, in one binary: a module for each room.

mod parse;
mod parse_properties;
