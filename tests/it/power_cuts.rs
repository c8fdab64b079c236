//! Power cuts: the log loses what had not reached the disk, and the store does not; or the other way
//! round. Afterwards every complete line that the log still has is stored once.
//!
//! - [`machine`]: real file systems, shut down under writers and a daemon, and mounted again.
//! - [`bytes`]: the same damage done by hand while the daemon is down, to many files at a time.
//! - [`judge`]: holds the store against the logs; [`stored`]: what the store has; [`text`]: the lines.
//! - [`cases`]: single cuts, each with its story.
//!
//! A few cuts here, as many as one likes by `tests/torture --power-cuts N` and `--byte-cuts N`.

mod bytes;
mod cases;
mod file_system;
mod judge;
mod machine;
mod stored;
mod streams;
mod text;

/// Whether the daemon tells a log that a power cut has damaged from a new log. While it does not, the
/// tests of every run leave these cuts out; `tests/torture` plays them in any case.
pub(crate) const ARE_TOLD: bool = true;

/// A number that `tests/torture` asks for.
fn asked(name: &str) -> Option<u64> {
    std::env::var(format!("LOG_INGESTD_TORTURE_{name}")).ok().map(|text| text.parse().unwrap())
}

/// How many cuts to play: as many as are asked for, else a few. `None` while they are left out.
fn cuts(name: &str, few: u64) -> Option<u64> {
    let cuts = asked(name).or(ARE_TOLD.then_some(few));
    if cuts.is_none() {
        println!("NOT RUN: power cuts are not told from new logs yet");
    }
    cuts
}

/// The seed that is asked for, else a new one.
fn seed() -> u64 {
    asked("SEED").unwrap_or_else(|| fastrand::u64(..1 << 40))
}
