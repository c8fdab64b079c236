//! What the documents say holds: each command that they tell people to type is run, each link leads
//! somewhere, each message is explained.

mod commands;
mod links;
mod messages;

use std::fs;
use std::path::Path;

/// All pages, by their path in the repository.
fn pages() -> Vec<String> {
    let mut pages: Vec<String> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "tests/SCENARIOS.md"]
            .map(str::to_owned)
            .into();
    for entry in fs::read_dir(root().join("deploy/docs")).unwrap() {
        pages.push(format!("deploy/docs/{}", entry.unwrap().file_name().to_string_lossy()));
    }
    pages.sort();
    pages
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}
