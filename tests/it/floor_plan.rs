//! Compares the imports of the source with the floor plan: which folder may import which, and what
//! may be used in one folder only. Rules that only a review would keep are kept here.

pub(crate) mod source;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use source::{Source, words};

/// Every folder, and the folders that it may name. `main` starts the command line; `cli` may name the
/// types of the lower folders, because it builds a configuration out of them.
const MAY_NAME: [(&str, &[&str]); 14] = [
    ("main", &["cli"]),
    (
        "cli",
        &[
            "daemon", "commands", "config", "pipeline", "retain", "web", "source", "format",
            "store", "model",
        ],
    ),
    (
        "daemon",
        &[
            "config", "identity", "pipeline", "retain", "web", "source", "format", "store",
            "metrics", "model",
        ],
    ),
    (
        "commands",
        &[
            "config", "identity", "pipeline", "retain", "web", "source", "format", "store",
            "metrics", "model",
        ],
    ),
    ("config", &["retain", "web", "source", "format", "store"]),
    ("identity", &["pipeline", "source", "format", "store", "metrics", "model"]),
    ("pipeline", &["source", "format", "store", "metrics", "model"]),
    ("retain", &["store", "model"]),
    ("web", &["source", "store", "metrics", "model"]),
    ("source", &["model"]),
    ("format", &["model"]),
    ("store", &["model"]),
    ("metrics", &["model"]),
    ("model", &[]),
];

/// What only these folders may speak of.
const BELONGS_TO: [(&str, &[&str]); 9] = [
    ("argon2", &["web"]),
    ("axum", &["web"]),
    ("clap", &["cli"]),
    ("indicatif", &["cli"]),
    ("fast_glob", &["source"]),
    ("nom", &["format"]),
    ("prometheus_client", &["metrics"]),
    ("rustls", &["store", "web"]),
    ("sqlx", &["store"]),
];

/// What only one file outside of the store may call. A file that is closed, and a loss, are counted
/// there once: in the store and in `/metrics`.
const CALLED_BY: [(&str, &str); 4] = [
    ("close_file", "identity/claim.rs"),
    ("close_files", "identity/claim.rs"),
    ("record_loss", "identity/claim.rs"),
    ("bytes_lost", "identity/claim.rs"),
];

/// What opens a file, and the only places of these folders where that is allowed: a directory of logs may
/// belong to a user who exchanges a file for what must not be read. The spool writes its own directory.
const OPENS: [&str; 3] = ["File::open", "File::options", "OpenOptions"];
const READS_LOGS: [&str; 5] = ["source", "identity", "pipeline", "daemon", "commands"];
const MAY_OPEN: [&str; 3] = ["source/open.rs", "source/spool/mod.rs", "source/spool/tests.rs"];

/// What starts a task or a thread: these folders alone do, and a file whose threads make single calls that may
/// never return.
const STARTS_TASKS: [&str; 3] = ["daemon", "commands", "pipeline"];
const MAY_SPAWN: [&str; 1] = ["source/devices/device.rs"];
const SPAWNS: [&str; 4] = ["spawn", "spawn_blocking", "spawn_local", "JoinSet"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every rule's complaints about one file. `path` is relative to `src/`.
fn complaints(path: &Path, text: &str) -> Vec<String> {
    let source = Source::of(text);
    let mut found = Vec::new();
    let mut complain = |line: usize, what: String| {
        found.push(format!("src/{}:{line}: {what}", path.display()));
    };
    let folder = folder(path);
    if folder == "lib" {
        return found; // it names every folder: that is its purpose
    }
    let Some((_, allowed)) = MAY_NAME.iter().find(|(name, _)| *name == folder) else {
        complain(1, format!("the folder `{folder}` is not on the floor plan"));
        return found;
    };
    for (line, named) in source.folders_named() {
        if named != folder && !allowed.contains(&named.as_str()) {
            complain(line, format!("`{folder}` imports `{named}`, which the floor plan forbids"));
        }
    }
    let depth = module_depth(path);
    for (line, climbed) in source.climbs() {
        if climbed >= depth {
            complain(line, "`super::` leaves the folder: write `crate::`".to_owned());
        }
    }
    for (line, word) in words(&source.code) {
        for (subject, owners) in BELONGS_TO {
            let owns = owners.contains(&folder.as_str());
            if word == subject && !owns && source.is_path(line, subject) {
                complain(line, format!("`{subject}` belongs to `{}`", owners.join("` and `")));
            }
        }
        for (call, owner) in CALLED_BY {
            let declared = folder == "store" || folder == "metrics";
            if word == call && !declared && path != Path::new(owner) {
                complain(line, format!("only `{owner}` may call `{call}`"));
            }
        }
        let may_spawn = STARTS_TASKS.contains(&folder.as_str())
            || MAY_SPAWN.iter().any(|it| path == Path::new(it));
        if SPAWNS.contains(&word) && !may_spawn {
            complain(line, format!("`{word}`: only daemon, commands and pipeline start tasks"));
        }
    }
    if READS_LOGS.contains(&folder.as_str()) && !MAY_OPEN.iter().any(|it| path == Path::new(it)) {
        for (line, text) in source.code.lines().enumerate() {
            if OPENS.iter().any(|call| text.contains(call)) {
                complain(line + 1, "only `source/open.rs` opens a log".to_owned());
            }
        }
    }
    for (line, literal) in &source.literals {
        if folder != "store" && is_sql(literal) {
            complain(*line, format!("SQL belongs to `store`: {literal:?}"));
        }
    }
    found
}

/// `app/ingest.rs` → `daemon`, `retain.rs` → `retain`.
fn folder(path: &Path) -> String {
    let first = path.components().next().map(|part| Path::new(part.as_os_str()).to_path_buf());
    first.unwrap_or_default().with_extension("").to_string_lossy().into_owned()
}

/// How many times `super` it takes from a file to the crate's root.
fn module_depth(path: &Path) -> usize {
    let parts = path.components().count();
    let is_front_door = path.file_name().is_some_and(|name| name == "mod.rs" || name == "main.rs");
    if is_front_door { parts - 1 } else { parts }
}

fn is_sql(literal: &str) -> bool {
    let lower = literal.to_lowercase();
    let words: Vec<&str> = words(&lower).map(|(_, word)| word).collect();
    let padded = format!(" {} ", words.join(" "));
    let both = |one: &str, other: &str| padded.contains(one) && padded.contains(other);
    both(" select ", " from ")
        || both(" update ", " set ")
        || both(" copy ", " from stdin ")
        || [" insert into ", " delete from ", " pragma "].iter().any(|sql| padded.contains(sql))
        || ["create", "alter", "drop"]
            .iter()
            .any(|verb| padded.contains(&format!(" {verb} table ")))
}

#[test]
fn every_file_imports_only_what_its_folder_may() {
    let src = root().join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 10, "found only {} files under src/", files.len());
    let mut found = Vec::new();
    for file in files {
        let path = file.strip_prefix(&src).unwrap();
        found.extend(complaints(path, &fs::read_to_string(&file).unwrap()));
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
}

#[test]
fn no_circle_of_imports_is_allowed() {
    let mut left: Vec<_> = MAY_NAME.to_vec();
    while !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|(folder, _)| *folder).collect();
        let before = left.len();
        left.retain(|(_, imports)| imports.iter().any(|import| names.contains(import)));
        assert!(left.len() < before, "a circle among {names:?}");
    }
}

#[test]
fn a_bad_line_is_found_and_a_good_one_is_not() {
    let one = |path: &str, text: &str| complaints(Path::new(path), text);
    for (path, text, part) in [
        ("format/x.rs", "use crate::store::Store;", "`format` imports `store`"),
        ("store/x.rs", "fn f() { crate::daemon::watch() }", "`store` imports `daemon`"),
        (
            "model/x.rs",
            "use crate::{\n    daemon::A,\n    model::{B, C},\n};",
            "`model` imports `daemon`",
        ),
        ("source/x.rs", "use crate::{model, format};", "`source` imports `format`"),
        ("daemon/x.rs", "use crate::cli::main;", "`daemon` imports `cli`"),
        ("main.rs", "fn f() { log_ingestd::store::open() }", "`main` imports `store`"),
        ("cellar/x.rs", "", "`cellar` is not on the floor plan"),
        ("store/x.rs", "use crate::web::PageState;", "`store` imports `web`"),
        ("metrics/x.rs", "use crate::store::Store;", "`metrics` imports `store`"),
        ("web/x.rs", "use crate::daemon::Watch;", "`web` imports `daemon`"),
        ("daemon/x.rs", "use axum::Router;", "`axum` belongs to `web`"),
        ("source/x.rs", "use super::super::daemon::A;", "leaves the folder"),
        ("source/mod.rs", "use super::daemon::A;", "leaves the folder"),
        ("source/mod.rs", "mod t { use super::super::daemon::A; }", "leaves the folder"),
        ("daemon/x.rs", "use clap::Parser;", "`clap` belongs to `cli`"),
        ("daemon/x.rs", "fn f(e: sqlx::Error) {}", "`sqlx` belongs to `store`"),
        ("store/x.rs", "fn f() { tokio::spawn(g()) }", "start tasks"),
        ("source/x.rs", "fn f() { File::open(path) }", "only `source/open.rs` opens"),
        ("daemon/x.rs", "fn f() { writer.close_file(file) }", "only `identity/claim.rs` may call"),
        ("daemon/x.rs", "const A: &str = \"select id\\\n    from log_file\";", "SQL belongs to"),
        ("cli/x.rs", "const A: &str = r#\"DELETE FROM log_file\"#;", "SQL belongs to"),
        ("cli/x.rs", "const A: &str = \"sqlite3 x 'SELECT * FROM log_file'\";", "SQL belongs to"),
    ] {
        let found = one(path, text);
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
        assert!(found[0].contains(part), "{found:?}");
    }
    for (path, text) in [
        ("daemon/x.rs", "use crate::{source::Tail, store::Store};\nfn f() { tokio::spawn(g()); }"),
        (
            "store/a/x.rs",
            "use super::super::error::E;\nconst A: &str = \"SELECT 1 FROM log_file\";",
        ),
        ("format/x.rs", "// use crate::store::Store;\n/* tokio::spawn /* */ clap:: */"),
        ("format/x.rs", "const A: (&str, char, u8) = (\"crate::store::S\", '\"', b'\\'');"),
        ("format/x.rs", "fn f<'a>(x: &'a str) { g::<'a>(x, 'a', \"use crate::daemon\") }"),
        ("cli/x.rs", "const A: &str = \"select a format, then set it\";"),
        ("source/mod.rs", "fn f() {}\nmod tests {\n    use super::*;\n}"),
        ("lib.rs", "pub mod daemon;"),
    ] {
        assert_eq!(one(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

/// Places that exist on one person's machine only.
fn shows_a_machine(text: &str) -> Option<String> {
    for home in ["root", "home", "work", "Users"] {
        let place = format!("/{home}/");
        for (at, _) in text.match_indices(&place) {
            let before = text[..at].chars().next_back();
            let begins =
                before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '_' | '-' | '.' | '/'));
            if begins {
                return Some(text[at..].chars().take(40).collect());
            }
        }
    }
    None
}

#[test]
fn no_tracked_file_names_a_place_on_one_persons_machine() {
    let mut git = Command::new("git");
    let Ok(listed) = git.args(["ls-files", "-z"]).current_dir(root()).output() else {
        return; // nothing is tracked where there is no git
    };
    let names = String::from_utf8(listed.stdout).unwrap();
    let mut found = Vec::new();
    // Fixtures are what servers wrote of what clients asked for.
    for name in names.split('\0').filter(|name| !name.is_empty() && !name.starts_with("fixtures/"))
    {
        let Ok(bytes) = fs::read(root().join(name)) else { continue }; // deleted, not committed yet
        found.extend(
            shows_a_machine(&String::from_utf8_lossy(&bytes))
                .map(|place| format!("{name}: {place:?}")),
        );
    }
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn a_place_on_a_machine_is_told_from_an_address() {
    for home in ["root", "home", "work"] {
        assert!(shows_a_machine(&format!("cd /{home}/x")).is_some());
        assert!(shows_a_machine(&format!("\"/{home}/x\"")).is_some());
        assert_eq!(shows_a_machine(&format!("https://example.org/{home}/x")), None);
        assert_eq!(shows_a_machine(&format!("../{home}/x")), None);
    }
}
