//! SECURITY.md says who can do what. Each line names the tests that show it.

use super::{quoted, rows, text};
use crate::scenarios::tests;

#[test]
fn each_line_about_an_attacker_names_tests_that_exist() {
    let page = text("SECURITY.md");
    let (_, tables) = page.split_once("## Who can do what").unwrap();
    let all = tests(&[]);
    let mut wrong = Vec::new();
    let mut lines = 0;
    for cells in rows(tables) {
        let shown = cells.last().unwrap();
        if shown == "test" {
            continue; // the head of a table
        }
        lines += 1;
        let names: Vec<&str> = quoted(shown).collect();
        if names.is_empty() {
            wrong.push(format!("no test shows: {}", cells.join(" | ")));
        }
        wrong.extend(
            names
                .iter()
                .filter(|name| !all.contains(**name))
                .map(|name| format!("the test {name} does not exist")),
        );
    }
    assert!(lines > 20, "only {lines} lines were found");
    assert!(wrong.is_empty(), "SECURITY.md:\n{}", wrong.join("\n"));
}
