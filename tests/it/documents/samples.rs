//! What the documents show of configuration files, presets and SQL works.

use std::fs;

use log_ingestd::format::presets;

use super::{blocks, pages, text};
use crate::daemon::{Bench, lines};
use crate::place::Place;

/// Pages whose SQL is run by other tests, as users and on clusters of their own.
const SQL_ELSEWHERE: [(&str, &str); 1] = [("deploy/docs/fleet.md", "roles.rs")];

/// What `check` prints of a log with this configuration file.
fn checked(bench: &Bench, toml: &str) -> String {
    fs::write(bench.aside("log-ingestd.toml"), toml).unwrap();
    bench.succeed(&[
        "check",
        "--config",
        bench.aside("log-ingestd.toml").to_str().unwrap(),
        bench.log("access.log").to_str().unwrap(),
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_configuration_file_is_valid() {
    let bench = Bench::new(Place::sqlite().await).await;
    bench.append("access.log", lines("health", 0..1) + &lines("a", 0..2));
    let blocks: Vec<_> = pages().iter().flat_map(|page| blocks(page, "toml")).collect();
    assert!(blocks.len() >= 4, "only {} blocks were found", blocks.len());
    for block in &blocks {
        let stored = if block.text.contains("exclude-path") { 2 } else { 3 };
        let said = checked(&bench, &block.text);
        let wanted =
            format!("3 lines: {stored} would be stored, 0 rejected, {} left out", 3 - stored);
        assert!(said.contains(&wanted), "{}:{}: {said}", block.page, block.line);
    }
    assert!(blocks.iter().any(|block| block.text.contains("exclude-path")));
}

#[test]
fn each_preset_is_listed() {
    let page = text("deploy/docs/formats.md");
    for preset in presets() {
        assert!(page.contains(&format!("`{}`", preset.name)), "{} is missing", preset.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_statement_runs() {
    let bench = Bench::new(Place::postgres().await).await;
    bench.append("access.log", lines("a", 0..10));
    bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
    let elsewhere = |page: &String| SQL_ELSEWHERE.iter().any(|(other, _)| page == other);
    let mut asked = 0;
    for block in pages().iter().filter(|page| !elsewhere(page)).flat_map(|it| blocks(it, "sql")) {
        for statement in block.text.split(';').filter(|it| !it.trim().is_empty()) {
            bench.place.execute(statement).await;
            asked += 1;
        }
    }
    assert!(asked >= 6, "{asked} statements were found");
    for (page, _) in SQL_ELSEWHERE {
        assert!(!blocks(page, "sql").is_empty(), "{page} has no SQL");
    }
}
