//! The manual's pages and the shells' completions: made of the flags, and never older than they are.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::daemon::Bench;
use crate::place::Place;

fn committed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/man")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_manual_is_what_the_program_writes() {
    let bench = Bench::new(Place::sqlite().await).await;
    let fresh = bench.aside("man");
    fs::create_dir(&fresh).unwrap();
    bench.succeed(&["man", fresh.to_str().unwrap()]);
    let pages = names(&fresh);
    let again = "run: cargo run -- man deploy/man";
    assert_eq!(names(&committed()), pages, "{again}");
    for page in &pages {
        let (old, new) = (committed().join(page), fresh.join(page));
        assert!(fs::read(old).unwrap() == fs::read(new).unwrap(), "{page} is old; {again}");
    }
    for command in ["import", "status", "completions"] {
        assert!(pages.contains(&format!("log-ingestd-{command}.1")), "{pages:?}");
    }
    assert!(!pages.contains(&"log-ingestd-man.1".to_owned()), "{pages:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packed_completions_are_what_the_program_prints() {
    let bench = Bench::new(Place::sqlite().await).await;
    for (shell, name) in
        [("bash", "log-ingestd.bash"), ("zsh", "_log-ingestd"), ("fish", "log-ingestd.fish")]
    {
        let path = Path::new("deploy/completions").join(name);
        let old = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&path)).unwrap();
        let path = path.display();
        assert!(
            bench.succeed(&["completions", shell]) == old,
            "{path} is old; run: cargo run -- completions {shell} > {path}"
        );
    }
}

/// What an interactive bash offers after these words, the last of which is being typed.
fn bash_offers(script: &Path, words: &[&str]) -> Vec<String> {
    let program = "source \"$1\"; shift
        COMP_WORDS=(log-ingestd \"$@\") COMP_CWORD=$#
        spec=$(complete -p log-ingestd)
        [[ $spec =~ -F\\ ([^\\ ]+) ]] || exit 1
        \"${BASH_REMATCH[1]}\" log-ingestd \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
        printf '%s\\n' \"${COMPREPLY[@]}\"";
    let output = Command::new("bash")
        .args(["--norc", "-c", program, "bash"])
        .arg(script)
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let offers = String::from_utf8(output.stdout).unwrap();
    offers.lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn bash_completes_commands_flags_and_values() {
    let bench = Bench::new(Place::sqlite().await).await;
    let script = bench.aside("completions.bash");
    fs::write(&script, bench.succeed(&["completions", "bash"])).unwrap();
    assert_eq!(bash_offers(&script, &["imp"]), ["import"]);
    assert_eq!(bash_offers(&script, &["hash"]), ["hash-password"]);
    assert_eq!(bash_offers(&script, &["doc"]), ["doctor"]);
    assert_eq!(bash_offers(&script, &["healthcheck", "--lis"]), ["--listen"]);
    assert_eq!(bash_offers(&script, &["cleanup", "--log-t"]), ["--log-type"]);
    let values = bash_offers(&script, &["cleanup", "--log-type", ""]);
    assert_eq!(values, ["all", "request", "gunicorn"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_shell_gets_a_script_and_no_other_word_does() {
    let bench = Bench::new(Place::sqlite().await).await;
    for (shell, has) in
        [("zsh", "#compdef log-ingestd"), ("fish", "complete -c log-ingestd"), ("elvish", "edit:")]
    {
        let script = bench.succeed(&["completions", shell]);
        assert!(script.contains(has) && script.contains("hash-password"), "{shell}: {script}");
    }
    let refused = bench.run(&["completions", "tcsh"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(said.contains("'tcsh'") && said.contains("bash"), "{said}");
}
