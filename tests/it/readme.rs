//! What the README says of flags, settings and presets is what the program knows.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use log_ingestd::format::presets;

use crate::daemon::{Bench, lines};
use crate::place::Place;

fn readme() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap()
}

/// Words like `--watch` or `LOG_INGESTD_WATCH` in a text.
fn names(text: &str, prefix: &str) -> BTreeSet<String> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    text.split(|c| !name(c))
        .filter(|word| {
            word.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(char::is_alphabetic))
        })
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_names_every_flag_and_variable_and_no_other() {
    let bench = Bench::new(Place::sqlite().await).await;
    let mut help = bench.succeed(&["--help"]);
    for command in [
        "import",
        "check",
        "status",
        "query",
        "top",
        "verify",
        "reparse",
        "forget",
        "cleanup",
        "hash-password",
        "migrate",
        "healthcheck",
        "completions",
    ] {
        help += &bench.succeed(&[command, "--help"]);
    }
    let readme = readme();
    for prefix in ["--", "LOG_INGESTD_"] {
        let mut known = names(&help, prefix);
        // Flags of other programs that the README calls, and those that every program has.
        for elsewhere in [
            "--access-logfile",
            "--access-logformat",
            "--fleet",
            "--kills",
            "--minutes",
            "--path",
            "--power-cuts",
            "--profile",
            "--release",
        ] {
            known.insert(elsewhere.to_owned());
        }
        let unknown: Vec<_> =
            names(&readme, prefix).into_iter().filter(|name| !known.contains(name)).collect();
        assert!(unknown.is_empty(), "the README invents {unknown:?}");
        let told = names(&readme, prefix);
        let silent: Vec<_> = names(&help, prefix)
            .into_iter()
            .filter(|name| !told.contains(name) && !matches!(&**name, "--help" | "--version"))
            .collect();
        assert!(silent.is_empty(), "the README is silent on {silent:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_configuration_file_is_valid() {
    let bench = Bench::new(Place::sqlite().await).await;
    let readme = readme();
    let (_, rest) = readme.split_once("```toml\n").unwrap();
    let (file, _) = rest.split_once("```").unwrap();
    fs::write(bench.aside("log-ingestd.toml"), file).unwrap();
    bench.append("access.log", lines("health", 0..1) + &lines("a", 0..2));
    let said = bench.succeed(&[
        "check",
        "--config",
        bench.aside("log-ingestd.toml").to_str().unwrap(),
        bench.log("access.log").to_str().unwrap(),
    ]);
    assert!(said.contains("3 lines: 2 would be stored, 0 rejected, 1 left out"), "{said}");
}

#[test]
fn it_names_every_preset() {
    let readme = readme();
    for preset in presets() {
        assert!(readme.contains(&format!("`{}`", preset.name)), "{} is missing", preset.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_sql_runs() {
    let bench = Bench::new(Place::postgres().await).await;
    bench.append("access.log", lines("a", 0..10));
    bench.succeed(&["import", bench.log("access.log").to_str().unwrap()]);
    let readme = readme();
    let blocks = readme.split("```sql\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut asked = 0;
    for statement in blocks.flat_map(|block| block.split(';')).filter(|it| !it.trim().is_empty()) {
        bench.place.execute(statement).await;
        asked += 1;
    }
    assert!(asked >= 6, "{asked} statements were found");
}
