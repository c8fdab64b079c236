//! The README is short, and leads to all other pages.

use std::fs;

use super::{DOCS, docs, root, text};

#[test]
fn the_readme_is_short_and_begins_with_what_to_type() {
    let readme = text("README.md");
    let lines = readme.lines().count();
    assert!(lines <= 150, "the README has {lines} lines: expected at most 150");
    let first_screen: String = readme.split_inclusive('\n').take(15).collect();
    for command in ["cargo run --release -- --watch DIR", "tests/run"] {
        assert!(first_screen.contains(command), "{command} is not in: {first_screen}");
    }
    assert!(readme.contains("(deploy/docs/README.md)"), "the README does not link to the index");
}

#[test]
fn the_index_lists_each_page() {
    let index = text(&format!("{DOCS}/README.md"));
    let names = docs().into_iter().filter_map(|page| {
        page.strip_prefix(DOCS)?.strip_prefix('/').map(str::to_owned).filter(|it| it != "README.md")
    });
    let missing: Vec<_> = names.filter(|name| !index.contains(&format!("]({name})"))).collect();
    assert!(missing.is_empty(), "{DOCS}/README.md does not list {missing:?}");
}

/// `tests/page/picture` makes it.
#[test]
fn the_picture_of_the_page_is_small() {
    let picture = fs::read(root().join(DOCS).join("page.webp")).unwrap();
    assert!(picture.starts_with(b"RIFF") && picture[8..12] == *b"WEBP");
    assert!(picture.len() <= 60_000, "{} bytes: expected at most 60,000", picture.len());
}
