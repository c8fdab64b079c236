//! Sizes in bytes, as people write them.

use super::build::usage;

/// What may stand behind the number, and how many bytes it is.
const UNITS: [(&str, u64); 12] = [
    ("", 1),
    ("b", 1),
    ("k", 1 << 10),
    ("kib", 1 << 10),
    ("m", 1 << 20),
    ("mib", 1 << 20),
    ("g", 1 << 30),
    ("gib", 1 << 30),
    ("t", 1 << 40),
    ("tib", 1 << 40),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
];

/// The bytes that `text` names, `least` of them at least.
pub(super) fn size(flag: &str, text: &str, least: (&str, u64)) -> anyhow::Result<u64> {
    let trimmed = text.trim();
    let end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
    let unit = trimmed[end..].trim().to_lowercase();
    let unit = UNITS.iter().find(|(name, _)| *name == unit);
    let number = trimmed[..end].parse::<u64>().ok();
    let bytes = number.zip(unit).and_then(|(number, (_, unit))| number.checked_mul(*unit));
    match bytes {
        Some(bytes) if bytes < least.1 => {
            Err(usage(format!("{flag} '{text}' is too small; give {} or more", least.0)))
        }
        Some(bytes) => Ok(bytes),
        None => Err(usage(format!(
            "{flag} '{text}' is no size; use a whole number with a unit, for example 64MiB or 2GiB"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_a_number_and_a_unit_and_anything_else_is_quoted() {
        let of = |text| size("--spool-limit", text, ("1KiB", 1 << 10));
        for (text, bytes) in [
            ("1024", 1 << 10),
            ("64 KiB", 64 << 10),
            ("1GiB", 1 << 30),
            (" 2g ", 2 << 30),
            ("10MB", 10_000_000),
        ] {
            assert_eq!(of(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1 parsec", "99999999999TiB", "0x10"] {
            let error = of(text).unwrap_err().to_string();
            assert!(error.contains(&format!("'{text}' is no size")), "{error}");
            assert!(error.contains("64MiB"), "{error}");
        }
        assert!(of("1000").unwrap_err().to_string().contains("give 1KiB or more"));
    }
}
