//! The planted faults of `tests/faults`: each applies to this tree, says what it breaks, and has its number.
//! That the torture catches them, `tests/faults/run` shows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// All patches, in the order of their numbers.
fn patches() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults");
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut patches: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "patch")).collect();
    patches.sort();
    patches
}

fn name(patch: &Path) -> &str {
    patch.file_stem().unwrap().to_str().unwrap()
}

#[test]
fn are_numbered_without_gaps_and_say_what_they_break() {
    let patches = patches();
    assert!(patches.len() >= 20, "{} faults: a fault that is not caught stays", patches.len());
    for (at, patch) in patches.iter().enumerate() {
        let number = format!("{:02}-", at + 1);
        assert!(name(patch).starts_with(&number), "{} is not number {number}", name(patch));
        let text = fs::read_to_string(patch).unwrap();
        let (header, _) = text.split_once("\ndiff --git ").unwrap();
        for part in ["Fault: ", "\nEffect: ", "\nTorture: "] {
            assert!(header.contains(part), "{} has no '{}'", name(patch), part.trim());
        }
    }
}

#[test]
fn apply_to_this_tree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for patch in patches() {
        // Outside of a repository git reads files only.
        let copy = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(&patch).unwrap();
        for changed in text.lines().filter_map(|line| line.strip_prefix("--- a/")) {
            assert!(changed.starts_with("src/"), "{} changes {changed}", name(&patch));
            let to = copy.path().join(changed);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(root.join(changed), to).unwrap();
        }
        let git = Command::new("git")
            .arg("apply")
            .arg(&patch)
            .current_dir(copy.path())
            .env("GIT_CEILING_DIRECTORIES", copy.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&git.stderr);
        assert!(git.status.success(), "{} does not apply: {said}", name(&patch));
    }
}
