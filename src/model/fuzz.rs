//! Random inputs for unit tests.
//!
//! `LOG_INGESTD_FUZZ_CASES` says how many a property sees, `LOG_INGESTD_FUZZ_SEED` the first of them;
//! `tests/fuzz` sets both. Each input has a seed of its own, which a failure prints.

use fastrand::Rng;

/// Inputs of one property in each run of the tests.
const FEW: u64 = 20_000;

/// Runs `test` once for each input, with a generator of its own. Of the inputs that were asked for, this
/// property sees one in `share`.
pub(crate) fn each_input(name: &str, share: u64, mut test: impl FnMut(&mut Rng)) {
    let asked = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let cases = asked("LOG_INGESTD_FUZZ_CASES").unwrap_or(FEW).div_ceil(share);
    let first = asked("LOG_INGESTD_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..1 << 40));
    for seed in first..first + cases {
        let told = Told { name, seed };
        test(&mut Rng::with_seed(seed));
        std::mem::forget(told);
    }
    println!("{name}: {cases} inputs");
}

/// Says at a panic which input was the cause.
struct Told<'a> {
    name: &'a str,
    seed: u64,
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        eprintln!("{}: the input with LOG_INGESTD_FUZZ_SEED={} failed", self.name, self.seed);
    }
}

/// Parts that values of requests are made of.
const PARTS: [&str; 56] = [
    "a",
    "0",
    "1",
    "-1",
    "9",
    ".",
    "/",
    "*",
    "%",
    "_",
    "\\",
    "'",
    "\"",
    "é",
    "\u{202e}",
    "\0",
    ",",
    ", ",
    ";",
    "=",
    ":",
    "-",
    ">=",
    "xx",
    "4xx",
    "404",
    "400-499",
    "1h",
    "600000y",
    "now",
    "today",
    "yesterday",
    "2026-11-27T10:00:00Z",
    "2026-11-23 08:41",
    "+262142-12-31",
    "-262143-01-01",
    "T23:59:59.999999",
    "+23:59",
    "9223372036854775807",
    "-9223372036854775808",
    "1e9",
    "203.0.113.9",
    "127.0.0.1",
    "localhost",
    "/1",
    "/33",
    "::",
    "::1",
    "[::1]",
    "::ffff:1.2.3.4",
    "2001:db8::/32",
    ".1",
    ")",
    " OR 1=1",
    "{",
    "\u{1f600}",
];

/// Returns a text of a few parts; one in 60 is long.
pub(crate) fn text(rng: &mut Rng) -> String {
    let part = |rng: &mut Rng| PARTS[rng.usize(..PARTS.len())];
    match rng.u8(..60) {
        0 => part(rng).repeat(rng.usize(1..3000)),
        1..=4 => (0..rng.usize(..12)).map(|_| rng.char('\0'..)).collect(),
        _ => (0..rng.usize(..5)).map(|_| part(rng)).collect(),
    }
}
