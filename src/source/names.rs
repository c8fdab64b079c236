//! What names tell of files: which name rotation, backup or compression may have made of which.

use std::path::Path;

/// What compression adds to a name.
const COMPRESSED: [&str; 4] = [".gz", ".zst", ".xz", ".bz2"];

/// What people and editors add to the name of a copy.
const COPIED: [&str; 7] = [".bak", ".backup", ".copy", ".old", ".orig", ".save", "~"];

/// So many digits are a date or a time, also without a separator before them.
const DATE: usize = 6;

/// A file's name without what rotation, backup and compression add to it: `access.log` of
/// `access.log.1`, `access-20261123.log` and `access.log.bak.gz`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct LiveName {
    name: String,
    /// Whether anything was taken off, but for what compression adds.
    rotated: bool,
}

impl LiveName {
    fn of(path: &str) -> Self {
        let mut name = file_name(path);
        let mut rotated = false;
        while let Some(rest) = COMPRESSED.iter().find_map(|it| name.strip_suffix(it)) {
            name = rest;
        }
        while let Some(rest) = COPIED.iter().find_map(|it| name.strip_suffix(it)) {
            (name, rotated) = (rest, true);
        }
        let without = without_numbers(name);
        rotated |= without.len() != name.len();
        Self { name: without, rotated }
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Returns the name without numbers after a separator, and without dates. A number that is part of
/// a word stays: `site1.log` and `site2.log` are two logs.
fn without_numbers(name: &str) -> String {
    let mut kept = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        let separator = usize::from(matches!(first, '.' | '-' | '_' | 'T' | ':'));
        let digits = rest[separator..].bytes().take_while(u8::is_ascii_digit).count();
        let end = rest[separator + digits..].chars().next();
        let ends = end.is_none_or(|next| !next.is_alphanumeric() || next == 'T');
        let in_word = kept.ends_with(|c: char| c.is_ascii_digit());
        if digits >= DATE && !in_word || (separator == 1 && digits > 0 && ends) {
            rest = &rest[separator + digits..];
            continue;
        }
        kept.push(first);
        rest = &rest[first.len_utf8()..];
    }
    kept
}

/// Returns whether both are names of the same log: of its live file, a rotated one, or a copy.
pub fn related_names(one: &str, other: &str) -> bool {
    let (one_name, other_name) = (file_name(one), file_name(other));
    one_name.starts_with(other_name)
        || other_name.starts_with(one_name)
        || LiveName::of(one).name == LiveName::of(other).name
}

/// Returns whether rotation, backup or compression may have made the name `one` of the name `other`:
/// `access.log.1` of `access.log`, but not of `access.log.2`, and never `access.log` of `access.log.1`.
pub fn is_derived_name(one: &str, other: &str) -> bool {
    let (one_name, other_name) = (file_name(one), file_name(other));
    let (one, other) = (LiveName::of(one), LiveName::of(other));
    let longer = one_name.len() > other_name.len() && one_name.starts_with(other_name);
    longer || (one.rotated && !other.rotated && one.name == other.name)
}

/// Returns whether the name is one that rotation or backup has made.
pub fn is_rotated_name(path: &str) -> bool {
    LiveName::of(path).rotated
}

/// Returns whether the name `one` is what rotation has made, and `other` the name of a live log.
pub fn is_older_name(one: &str, other: &str) -> bool {
    LiveName::of(one).rotated && !LiveName::of(other).rotated
}

/// Returns whether both lie in the same directory.
pub fn same_directory(one: &str, other: &str) -> bool {
    Path::new(one).parent() == Path::new(other).parent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_same_log_are_related() {
        for rotated in [
            "/old/access.log",
            "access.log.1",
            "access.log-20261123",
            "access-20261123.log",
            "access.2026-11-23.log",
            "access.log.2026-11-23T10",
            "access.log.2.gz",
            "access.log.bak",
            "access20261123.log",
            "access.log.20261123-101530.zst",
        ] {
            assert!(related_names("/var/log/access.log", rotated), "{rotated}");
        }
        for (one, other) in [
            ("a.log", "b.log"),
            ("access.log", "error.log"),
            ("site1.log", "site2.log"),
            ("web01-access.log", "web02-access.log"),
        ] {
            assert!(!related_names(one, other), "{one} and {other}");
        }
    }

    #[test]
    fn a_derived_name_is_that_of_a_copy() {
        for (one, other, derived) in [
            ("access.log.1", "access.log", true),
            ("access.log", "access.log.1", false),
            ("access.log.1", "access.log.2", false),
            ("access.log.2", "access.log.1", false),
            ("access.log.1.bak", "access.log.1", true),
            ("access-20261123.log", "access.log", true),
            ("access.log.1.gz", "access.log.1", true),
            ("access.log", "access.log", false),
            ("gunicorn-8002.log", "gunicorn-8001.log", false),
            ("site2.log", "site1.log", false),
        ] {
            assert_eq!(is_derived_name(one, other), derived, "{one} of {other}");
        }
    }
}
