//! The table of scenarios, held against the tests that there are.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Rows of the table as cells, and the number of each row's line.
fn rows(text: &str) -> Vec<(usize, Vec<&str>)> {
    let lines = text.lines().enumerate().map(|(nth, line)| (nth + 1, line));
    let rows = lines.filter_map(|(nth, line)| {
        let inner = line.strip_prefix('|')?.strip_suffix('|')?;
        Some((nth, inner.split('|').map(str::trim).collect::<Vec<_>>()))
    });
    rows.filter(|(_, cells)| cells[0] != "what happens" && !cells[0].starts_with('-')).collect()
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

/// The tests of this very program, whichever store they are told to.
pub(crate) fn tests(arguments: &[&str]) -> BTreeSet<String> {
    let this = std::env::current_exe().unwrap();
    let list = Command::new(this).arg("--list").args(arguments).output().unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    let names = list.lines().filter_map(|line| line.strip_suffix(": test"));
    let store = |part: &&str| !matches!(*part, "on_postgres" | "on_sqlite");
    names.map(|name| name.split("::").filter(store).collect::<Vec<_>>().join("::")).collect()
}

#[test]
fn each_row_names_tests_that_exist_and_says_which_of_them_take_long() {
    let table = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/SCENARIOS.md");
    let text = fs::read_to_string(table).unwrap();
    let (all, long) = (tests(&[]), tests(&["--ignored"]));
    assert!(!all.is_empty() && long.is_subset(&all));
    let mut wrong = Vec::new();
    let rows = rows(&text);
    for (nth, cells) in &rows {
        let [_, promise, shown] = cells[..] else {
            wrong.push(format!("line {nth} has {} cells", cells.len()));
            continue;
        };
        let names: Vec<&str> = quoted(shown).collect();
        if names.is_empty() {
            wrong.push(format!("line {nth} names no test"));
        }
        for name in &names {
            if !all.contains(*name) {
                wrong.push(format!("line {nth}: there is no test {name}"));
            }
        }
        let takes_long = names.iter().any(|name| long.contains(*name));
        let told = cells[0].contains("*long*") || promise.contains("*long*");
        if takes_long != told {
            wrong.push(format!("line {nth}: *long* stands where a test is ignored, only there"));
        }
    }
    assert!(rows.len() >= 37, "only {} rows", rows.len());
    assert!(wrong.is_empty(), "tests/SCENARIOS.md:\n{}", wrong.join("\n"));
}
