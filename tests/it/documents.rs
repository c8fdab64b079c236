//! What the documents say holds: each command that they tell people to type is run, each link leads
//! somewhere, each message is explained, and flags, settings and tables are those of the program.

mod commands;
mod flags;
mod links;
mod messages;
mod samples;
mod security;
mod shape;
mod tables;

use std::fs;
use std::path::Path;

/// The pages for users beside the README.
const DOCS: &str = "deploy/docs";

/// All pages, by their path in the repository.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "tests/SCENARIOS.md",
        "deploy/container/README.md",
        "deploy/python/README.md",
    ]
    .map(str::to_owned)
    .into();
    pages.extend(docs());
    pages.sort();
    pages
}

/// The pages in [`DOCS`]; pictures lie there, too.
fn docs() -> Vec<String> {
    let names = fs::read_dir(root().join(DOCS)).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".md")).map(|name| format!("{DOCS}/{name}")).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// A fenced block of a page.
struct Block {
    page: String,
    line: usize,
    text: String,
}

/// The blocks of a page in this language.
fn blocks(page: &str, language: &str) -> Vec<Block> {
    let text = text(page);
    let begins = format!("```{language}");
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (nth, line) in text.lines().enumerate() {
        match &mut open {
            None if line == begins => {
                open = Some(Block { page: page.to_owned(), line: nth + 1, text: String::new() });
            }
            None => {}
            Some(_) if line == "```" => blocks.extend(open.take()),
            Some(block) => block.text.push_str(&format!("{line}\n")),
        }
    }
    blocks
}

/// The rows of all tables in a text as cells, without the lines under their heads.
fn rows(text: &str) -> Vec<Vec<String>> {
    const PIPE: &str = "\u{1}";
    let escaped = text.replace("\\|", PIPE);
    let rows = escaped.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let rows = rows.filter(|row| !row.starts_with('-'));
    let cell = |cell: &str| cell.trim().replace(PIPE, "|");
    rows.map(|row| row.split('|').map(cell).collect()).collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}
