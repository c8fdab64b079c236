//! Each message that the program can print stands in `deploy/docs/troubleshooting.md`, with what to
//! do about it.

use std::fs;
use std::path::Path;

use super::text;
use crate::floor_plan::source::Source;

/// What is followed by a message for people.
const SPEAKERS: [&str; 9] = [
    "warn!(", "error!(", "bail!(", "anyhow!(", "usage(", "context(", "#[error(", "refuse(",
    "because(",
];

/// Shorter pieces say nothing that could be looked for.
const SHORTEST: usize = 9;

/// Where messages are about a line or a value, and their readers see both.
const ELSEWHERE: [&str; 2] = ["src/format/", "src/web/api/"];

#[test]
fn each_message_is_explained() {
    let page = collapse(&text("deploy/docs/troubleshooting.md"));
    let mut unexplained = Vec::new();
    let mut found = 0;
    for (name, source) in sources() {
        for message in messages(&source) {
            found += 1;
            if !page.contains(&message) {
                unexplained.push(format!("{name}: {message}"));
            }
        }
    }
    assert!(found > 60, "only {found} messages were found: does the test still know the source?");
    assert!(
        unexplained.is_empty(),
        "not in deploy/docs/troubleshooting.md:\n{}",
        unexplained.join("\n")
    );
}

/// The source of all rooms, without their unit tests.
fn sources() -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    files.retain(|(name, _)| !ELSEWHERE.iter().any(|room| name.starts_with(room)));
    files
}

fn collect(directory: &Path, files: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap();
            let source = fs::read_to_string(&path).unwrap();
            let code = source.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
            files.push((name.to_string_lossy().into_owned(), code.to_owned()));
        }
    }
}

/// Of each message the longest piece without a value in it.
fn messages(source: &str) -> Vec<String> {
    let source = Source::of(source);
    let mut messages = Vec::new();
    for speaker in SPEAKERS {
        for (at, _) in source.code.match_indices(speaker) {
            let inside = &source.code[at + speaker.len()..];
            let first = source.code[..at + speaker.len()].matches("\"\"").count();
            let count = inside[..closing(inside)].matches("\"\"").count();
            let literals = source.literals[first..first + count].iter();
            let longest = literals
                .flat_map(|(_, literal)| pieces(literal))
                .max_by_key(String::len)
                .filter(|piece| piece.len() >= SHORTEST);
            messages.extend(longest);
        }
    }
    messages
}

/// Where the parenthesis is closed that was open at the beginning.
fn closing(code: &str) -> usize {
    let mut depth = 1;
    for (at, letter) in code.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    code.len()
}

/// What stands between the values of a format string, as it is printed.
fn pieces(literal: &str) -> Vec<String> {
    let mut plain = String::new();
    let mut rest = literal;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        // A line that goes on, or a letter that is escaped.
        rest = after.strip_prefix('\n').map_or(after, str::trim_start);
    }
    plain.push_str(rest);
    plain.split(['{', '}']).step_by(2).map(|piece| collapse(piece).trim().to_owned()).collect()
}

fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
