//! Logs that a real Gunicorn wrote under hostile requests, against what it knew of each request.
//! `fixtures/corpus/*/truth.jsonl` holds the atoms of every record in order, before Gunicorn
//! escaped them; columns are derived from them here a second time, by other means.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use log_ingestd::format::Template;
use log_ingestd::model::GunicornLogModel;
use serde_json::Value;

/// One log with its format and its truth.
pub(crate) struct Corpus {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) template: Template,
    log: Vec<u8>,
    pub(crate) truth: Vec<Value>,
}

/// What the server wrote for one request.
pub(crate) struct Entry<'c> {
    /// Of its first byte in the log.
    pub(crate) offset: usize,
    /// One, and one more for each newline in a value.
    pub(crate) lines: Vec<&'c [u8]>,
    pub(crate) truth: &'c Value,
}

impl Corpus {
    fn read(path: &Path) -> Corpus {
        let text = |name| fs::read_to_string(path.join(name)).unwrap();
        Corpus {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            path: path.to_path_buf(),
            template: Template::compile(text("format.txt").trim_end_matches('\n')).unwrap(),
            log: fs::read(path.join("access.log")).unwrap(),
            truth: text("truth.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect(),
        }
    }

    pub(crate) fn all() -> Vec<Corpus> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus");
        let mut paths: Vec<_> = fs::read_dir(root).unwrap().map(|at| at.unwrap().path()).collect();
        paths.sort();
        assert_eq!(paths.len(), 4);
        paths.iter().map(|path| Corpus::read(path)).collect()
    }

    pub(crate) fn lines(&self) -> Vec<&[u8]> {
        let log = self.log.strip_suffix(b"\n").unwrap_or(&self.log);
        log.split(|byte| *byte == b'\n').collect()
    }

    /// The lines of the log, put together to the records that they hold.
    pub(crate) fn entries(&self) -> Vec<Entry<'_>> {
        let lines = self.lines();
        let (mut next, mut offset) = (0, 0);
        let mut entries = Vec::new();
        for truth in &self.truth {
            // A record takes one line more for each newline in a value that the format shows.
            let text = serde_json::to_string(&truth["U"]).unwrap();
            let newlines = if self.has("U") { text.matches("\\n").count() } else { 0 };
            let lines = lines[next..=next + newlines].to_vec();
            next += lines.len();
            let length: usize = lines.iter().map(|line| line.len() + 1).sum();
            entries.push(Entry { offset, lines, truth });
            offset += length;
        }
        assert_eq!(next, lines.len(), "{}", self.name);
        entries
    }

    fn has(&self, atom: &str) -> bool {
        self.template.format().contains(&format!("%({atom})s"))
    }

    /// What the record must be, from the atoms that the format shows.
    pub(crate) fn right<'t>(&self, truth: &'t Value) -> GunicornLogModel<'t> {
        let shown = |atom: &str| {
            let text = if self.has(atom) { truth.get(atom)?.as_str() } else { None };
            text.filter(|text| !matches!(*text, "" | "-"))
        };
        let number = |atom: &str| {
            let value = truth.get(atom).filter(|_| self.has(atom))?;
            value.as_i64().or_else(|| value.as_str()?.trim_matches(['<', '>']).parse().ok())
        };
        let request: Vec<&str> = shown("r").map_or(Vec::new(), |r| r.split(' ').collect());
        let word = |nth: usize| request.get(nth).copied();
        let url = match (shown("U"), shown("q")) {
            (Some(path), Some(query)) => Some(format!("{path}?{query}")),
            (path, _) => word(1).or(path).map(str::to_owned),
        };
        let address = |text: &str| -> Option<IpAddr> {
            let bare = text.strip_prefix('[').and_then(|rest| rest.split(']').next());
            let cut = text.rsplit_once(':').map(|(address, _)| address);
            text.parse().or_else(|_| bare.or(cut).unwrap_or_default().parse()).ok()
        };
        let forwarded = shown("{x-forwarded-for}i");
        let forwarded = forwarded.and_then(|list| list.split(", ").find_map(address));
        let time =
            shown("t").map(|t| DateTime::parse_from_str(t, "[%d/%b/%Y:%H:%M:%S %z]").unwrap());
        GunicornLogModel {
            timestamp: time.map(|time| time.timestamp_micros()),
            method: word(0).or(shown("m")).map(Into::into),
            url: url.map(Into::into),
            host: shown("{host}i").map(Into::into),
            user_id: shown("u").map(Into::into),
            user_ip: shown("h").and_then(address).or(forwarded),
            agent: shown("a").map(Into::into),
            source: shown("f").map(Into::into),
            headers: ["{x-forwarded-for}i", "{host}i"]
                .into_iter()
                .filter_map(|atom| Some((&atom[1..atom.len() - 2], shown(atom)?.into())))
                .collect(),
            duration: number("D"),
            code: number("s").map(|code| i32::try_from(code).unwrap()),
            protocol: word(2).or(shown("H")).map(Into::into),
            response_bytes: number("b"),
            pid: number("p").map(|pid| i32::try_from(pid).unwrap()),
            ..GunicornLogModel::default()
        }
    }
}
