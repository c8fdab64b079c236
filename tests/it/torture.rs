//! What `tests/torture` asks of the tests of random trouble. A plain test run plays the same trouble each
//! time, so that it fails for what was changed and not by chance; `tests/torture` looks for new trouble.

use std::str::FromStr;

/// The seed of a plain test run.
const SEED: u64 = 1;

/// A number or a text that `tests/torture` asks for, by the end of its variable's name.
pub(crate) fn asked<T: FromStr>(name: &str) -> Option<T> {
    let name = format!("LOG_INGESTD_TORTURE_{name}");
    let text = std::env::var(&name).ok()?;
    let Ok(value) = text.parse() else { panic!("{name}={text:?} is not what is expected there") };
    Some(value)
}

/// The seed that is asked for, else the one of every plain test run.
pub(crate) fn seed() -> u64 {
    asked("SEED").unwrap_or(SEED)
}
