//! The `log-ingestd` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    log_ingestd::cli::main()
}
