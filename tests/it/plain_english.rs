//! Comments, messages, test names and documents are written in plain technical English: some words
//! that make a reader guess are not used at all.

use std::fs;
use std::path::{Path, PathBuf};

/// What is checked: files, and directories with all that is in them.
const CHECKED: [&str; 38] = [
    "src",
    "migrations/postgres/0003_reject_code.sql", // the older ones are released, and do not change
    "migrations/sqlite/0003_reject_code.sql",
    "migrations/postgres/0004_first_offset.sql",
    "migrations/sqlite/0004_first_offset.sql",
    "migrations/postgres/0005_nul_runs.sql",
    "migrations/sqlite/0005_nul_runs.sql",
    "migrations/postgres/0006_ignored_files.sql",
    "migrations/sqlite/0006_ignored_files.sql",
    "migrations/postgres/0007_writers.sql",
    "migrations/sqlite/0007_writers.sql",
    "migrations/postgres/0008_request_ids.sql",
    "migrations/sqlite/0008_request_ids.sql",
    "migrations/postgres/0009_far_times.sql",
    "migrations/sqlite/0009_far_times.sql",
    "migrations/postgres/0010_repeats.sql",
    "migrations/sqlite/0010_repeats.sql",
    "migrations/postgres/0011_line_patches.sql",
    "migrations/sqlite/0011_line_patches.sql",
    "tests/it",
    "tests/page",
    "tests/run",
    "tests/torture",
    "tests/fuzz",
    "tests/attacks",
    "tests/SCENARIOS.md",
    "benches",
    "deploy/container/README.md",
    "deploy/docs",
    "README.md",
    "deploy/kubernetes",
    "deploy/python",
    "deploy/release",
    "deploy/tests",
    "deploy/logrotate",
    "CONTRIBUTING.md",
    "Cargo.toml",
    "SECURITY.md",
];

/// What is not written, and what is written instead.
const FORBIDDEN: [(&str, &str); 16] = [
    ("behind", "after, or the name of the lag"),
    ("whoever", "the component's name"),
    ("nobody", "no, and the component's name"),
    ("somebody", "the component's name"),
    ("anybody", "the component's name"),
    ("everybody", "the component's name"),
    ("sees that", "checks that"),
    ("see that", "check that"),
    ("is no row", "is not a row"),
    ("is no line", "is not a line"),
    ("is no file", "is not a file"),
    ("is no number", "invalid …: expected a number"),
    ("is no duration", "invalid …: expected a duration"),
    ("is no size", "invalid …: expected a size"),
    ("is no wait", "waits for nothing"),
    ("is no reason", "is not a reason"),
];

/// Where a forbidden word is right: `(path, part of the line, reason)`. An empty path is every file.
const EXCEPTIONS: [(&str, &str, &str); 14] = [
    ("src/web/page/files.js", "'Behind'", "the heading of the lag"),
    ("", "behind a proxy", "the network's own word"),
    ("deploy/docs/fleet.md", "behind a pooler", "the network's own word"),
    ("", "behind by", "what `status` prints, which scripts read"),
    ("tests/it/documents/commands.rs", "contains(\"behind\")", "what `status` prints"),
    ("tests/it/bad_input/people.rs", "nobody", "the user of that name"),
    ("deploy/tests/image.py", "as nobody", "the user of that name"),
    ("", "NOBODY", "the user of that name"),
    ("CONTRIBUTING.md", "not \"behind\"", "the rule itself"),
    ("tests/it/upgrade.rs", "lines are behind it", "words of an older program"),
    ("", "' is no ", "a message about a value"),
    ("tests/it/page/api.rs", "there is no row 1", "a message"),
    ("tests/page/logs.py", "this is no line", "a line of a test's log"),
    ("tests/it/roles.rs", "this is no line", "a line of a test's log"),
];

#[test]
fn no_file_uses_a_word_that_makes_its_reader_guess() {
    let mut found = Vec::new();
    let mut lines = 0;
    for path in files() {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap();
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for (number, line) in (1..).zip(text.lines()) {
            lines += 1;
            for (word, instead) in FORBIDDEN {
                if contains_word(line, word) && !is_exception(name, line) {
                    found.push(format!("{name}:{number}: '{word}'; write {instead}"));
                }
            }
        }
    }
    assert!(lines > 15_000, "only {lines} lines were read");
    assert!(found.is_empty(), "{}", found.join("\n"));
}

/// Whether the words stand in the line, alone or between underscores, in any case of letters.
fn contains_word(line: &str, word: &str) -> bool {
    let line = line.to_lowercase().replace('_', " ");
    line.match_indices(word).any(|(at, _)| {
        let is_letter = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        !is_letter(line[..at].chars().next_back())
            && !is_letter(line[at + word.len()..].chars().next())
    })
}

fn is_exception(name: &str, line: &str) -> bool {
    EXCEPTIONS.iter().any(|(path, part, _)| name.starts_with(path) && line.contains(part))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All that is checked but for what tools have made, and this file, which quotes the words.
fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut left: Vec<PathBuf> = CHECKED.iter().map(|path| root().join(path)).collect();
    while let Some(path) = left.pop() {
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_file() && name != "plain_english.rs" {
            files.push(path);
        } else if path.is_dir() && !name.starts_with('.') && name != "__pycache__" {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            assert!(path.exists(), "{} is checked and not there", path.display());
        }
    }
    files
}
