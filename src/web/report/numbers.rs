//! Numbers as the page writes them: `page/format.js` has the same rules.

use crate::model::grouped;

const NONE: &str = "–";

pub(super) fn count(n: i64) -> String {
    grouped(u64::try_from(n).unwrap_or(0))
}

/// Returns a number in full up to 99,999, and shortened from 100,000 on.
pub(super) fn brief(n: f64) -> String {
    match n < 1e5 {
        true => count(n as i64),
        false => scaled(n, &["", "k", "M", "G", "T"], ""),
    }
}

pub(super) fn bytes(n: f64) -> String {
    scaled(n, &["B", "kB", "MB", "GB", "TB", "PB"], "\u{a0}")
}

/// Returns a duration in microseconds.
pub(super) fn duration(micros: f64) -> String {
    match micros < 60e6 {
        true => scaled(micros, &["µs", "ms", "s"], "\u{a0}"),
        false => span((micros / 1e6).round() as i64),
    }
}

pub(super) fn maybe(value: Option<i64>, format: fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), |value| format(value as f64))
}

fn scaled(mut n: f64, units: &[&str], space: &str) -> String {
    let mut at = 0;
    // 999.6 would be rounded to 1000 of the smaller unit.
    while n.abs() >= 999.5 && at + 1 < units.len() {
        n /= 1000.0;
        at += 1;
    }
    let digits = match n.abs() {
        _ if at == 0 && n.fract() == 0.0 => 0,
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    let text = format!("{n:.digits$}");
    let whole = text.split_once('.').filter(|(_, rest)| rest.bytes().all(|digit| digit == b'0'));
    format!("{}{space}{}", whole.map_or(&*text, |(whole, _)| whole), units[at])
}

/// Returns a share of 1 in percent; [`NONE`] if it is not a number, as where nothing was counted.
pub(super) fn percent(share: f64) -> String {
    let value = share * 100.0;
    match value {
        _ if value.is_nan() => NONE.to_owned(),
        _ if value == 0.0 || value == 100.0 => format!("{value}%"),
        ..0.01 => "<0.01%".to_owned(),
        ..1.0 => format!("{value:.2}%"),
        ..10.0 => format!("{value:.1}%"),
        99.0.. => format!("{:.1}%", value.min(99.9)),
        _ => format!("{value:.0}%"),
    }
}

/// Returns a rate, of which the smallest are not zero.
pub(super) fn rate(n: f64) -> String {
    match n {
        0.0 => "0".to_owned(),
        ..0.1 => "<0.1".to_owned(),
        ..10.0 => format!("{n:.1}"),
        _ => brief(n.round()),
    }
}

const UNITS: [(i64, &str, &str); 4] =
    [(86_400, "d", "day"), (3600, "h", "hour"), (60, "min", "minute"), (1, "s", "second")];

/// Returns seconds as a duration with at most two units.
pub(super) fn span(seconds: i64) -> String {
    let mut rest = seconds;
    let mut shown = Vec::new();
    for (size, unit, _) in UNITS {
        if rest / size > 0 {
            shown.push(format!("{}\u{a0}{unit}", rest / size));
        }
        rest %= size;
    }
    shown.truncate(2);
    if shown.is_empty() { "0\u{a0}s".to_owned() } else { shown.join(" ") }
}

/// Returns the length of one point of a chart: `minute`, `5 minutes`.
pub(super) fn each(seconds: i64) -> String {
    let fits = |(size, _, _): &&(i64, &str, &str)| seconds % size == 0;
    let (size, _, unit) = UNITS.iter().find(fits).copied().unwrap_or((1, "s", "second"));
    match seconds / size {
        1 => unit.to_owned(),
        n => format!("{n} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_page() {
        for (found, expected) in [
            (brief(99_999.0), "99,999"),
            (brief(100_000.0), "100k"),
            (brief(1_234_567.0), "1.23M"),
            (bytes(0.0), "0\u{a0}B"),
            (bytes(999.6), "1\u{a0}kB"),
            (bytes(1_536.0), "1.54\u{a0}kB"),
            (duration(950.0), "950\u{a0}µs"),
            (duration(1_500.0), "1.50\u{a0}ms"),
            (duration(2_000_000.0), "2\u{a0}s"),
            (duration(90e6), "1\u{a0}min 30\u{a0}s"),
            (percent(0.0), "0%"),
            (percent(0.00001), "<0.01%"),
            (percent(0.0512), "5.1%"),
            (percent(0.999), "99.9%"),
            (percent(f64::NAN), "–"),
            (rate(0.05), "<0.1"),
            (rate(3.24), "3.2"),
            (each(3600), "hour"),
            (each(300), "5 minutes"),
            (span(90_061), "1\u{a0}d 1\u{a0}h"),
        ] {
            assert_eq!(found, expected);
        }
    }
}
