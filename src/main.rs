//! The `log-ingestd` command.

fn main() {}
