//! `check` counts what `import` would store, reject and leave out, of every file and format.

use std::collections::HashSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use log_ingestd::format::presets;

use crate::archives::{Summary, compress};
use crate::containers::runtime::RUNTIMES;
use crate::daemon::{Bench, line};
use crate::place::Place;

/// Lines, rows, rejects and lines that are left out.
type Counts = [u64; 4];

/// What `check` prints.
fn checked(bench: &Bench, path: &Path, format: &[&str]) -> Counts {
    let arguments = [&["check", path.to_str().unwrap()], format].concat();
    let output = bench.run(&arguments);
    let said = String::from_utf8(output.stdout).unwrap();
    let counts = said.lines().find(|line| line.contains(" would be stored, "));
    let counts = counts.unwrap_or_else(|| panic!("{arguments:?}: {said}"));
    let numbers = counts.split([' ', ':']).map(|word| word.replace(',', ""));
    let numbers: Vec<u64> = numbers.filter_map(|word| word.parse().ok()).collect();
    numbers.try_into().unwrap()
}

/// What `check` prints of all these files.
fn sum_checked(bench: &Bench, paths: &[PathBuf], format: &[&str]) -> Counts {
    let mut sum = Counts::default();
    for path in paths {
        let counts = checked(bench, path, format);
        assert_eq!(counts[0], counts[1..].iter().sum::<u64>(), "{}", path.display());
        sum.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
    }
    sum
}

fn imported(bench: &Bench, paths: &[PathBuf], format: &[&str]) -> Counts {
    let mut arguments = vec!["import", "--json"];
    arguments.extend(paths.iter().map(|path| path.to_str().unwrap()));
    arguments.extend(format);
    let summary = Summary::of(bench.succeed(&arguments).as_bytes());
    assert_eq!(summary.count("already_stored"), 0);
    ["lines", "rows", "rejected", "excluded"].map(|name| summary.count(name))
}

#[tokio::test]
async fn a_record_of_two_lines_and_a_last_line_without_an_end_count_as_in_an_import() {
    let bench = Bench::new(Place::sqlite().await).await;
    let joined = line("/joined").replacen(" - - [", " - two\nlines [", 1);
    bench.append("access.log", joined + &line("/plain") + line("/last").trim_end());
    bench.append("one-line.log", line("/alone").trim_end());
    for (name, counts) in [("access.log", [4, 3, 1, 0]), ("one-line.log", [1, 1, 0, 0])] {
        let path = bench.log(name);
        assert_eq!(imported(&bench, std::slice::from_ref(&path), &[]), counts, "{name}");
        assert_eq!(checked(&bench, &path, &[]), counts, "{name}");
    }
}

/// At most so many first lines of the logs of `fixtures/`: as they are without the last line end, as archives, and in the envelopes
/// of a container's log. No two begin alike, so that an import stores each of them.
fn fixtures(bench: &Bench, lines: usize) -> Vec<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let mut paths = Vec::new();
    let mut put = |name: String, content: &[u8]| {
        bench.append(&name, content);
        paths.push(bench.log(&name));
    };
    for name in ["default", "default-with-microseconds", "forwarded-for-first", "json-template"] {
        let log = head(fs::read(root.join("corpus").join(name).join("access.log")).unwrap(), lines);
        let second = memchr::memchr(b'\n', &log).unwrap() + 1;
        put(format!("{name}.log"), log.trim_ascii_end());
        put(format!("{name}.gz"), &compress("gz", log[second..].trim_ascii_end()));
        for runtime in RUNTIMES {
            let text = String::from_utf8_lossy(&log);
            put(format!("{name}.{}", runtime.name()), &runtime.lines("stdout", &text));
        }
    }
    for name in ["gunicorn", "uvicorn"] {
        let log = head(fs::read(root.join("containers").join(name).join("0.log")).unwrap(), lines);
        let second = memchr::memchr(b'\n', &log).unwrap() + 1;
        put(format!("container-{name}.log"), &log);
        put(format!("container-{name}.gz"), &compress("gz", log[second..].trim_ascii_end()));
    }
    for name in ["access.log", "access.log.1", "requests.log"] {
        let file = fs::File::open(root.join("upgrade").join(format!("{name}.gz"))).unwrap();
        let mut log = Vec::new();
        flate2::read::MultiGzDecoder::new(file).read_to_end(&mut log).unwrap();
        put(format!("upgrade-{name}.gz"), &compress("gz", &head(log, lines)));
    }
    paths
}

/// At most so many first lines.
fn head(mut log: Vec<u8>, lines: usize) -> Vec<u8> {
    if let Some(at) = memchr::memchr_iter(b'\n', &log).nth(lines - 1) {
        log.truncate(at + 1);
    }
    log
}

#[tokio::test]
async fn every_fixture_by_every_preset_counts_as_in_an_import() {
    let bench = Bench::new(Place::sqlite().await).await;
    let store = Bench::new(Place::sqlite().await).await;
    let mut paths = fixtures(&bench, usize::MAX);
    paths.retain(|path| !path.to_string_lossy().contains("json-template")); // needs --format
    assert_eq!(imported(&store, &paths, &[]), sum_checked(&bench, &paths, &[]));
    let bench = Bench::new(Place::sqlite().await).await;
    let mut paths = fixtures(&bench, 200);
    // What a log is wrapped in does not depend on its format: one of them in all wraps is enough.
    paths.retain(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.ends_with(".log") || name.starts_with("default.")
    });
    let mut formats = HashSet::new();
    for preset in presets().iter().filter(|preset| formats.insert(preset.format)) {
        let store = Bench::new(Place::sqlite().await).await;
        let format = ["--format", preset.name];
        let sum = sum_checked(&bench, &paths, &format);
        assert_eq!(imported(&store, &paths, &format), sum, "{}", preset.name);
    }
}
