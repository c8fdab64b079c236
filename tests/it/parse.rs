//! Logs that a real Gunicorn wrote under hostile requests, against what it knew of each request.
//! `fixtures/corpus/*/truth.jsonl` holds the atoms of every record in order, before Gunicorn
//! escaped them; columns are derived from them here a second time, by other means.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use chrono::DateTime;
use log_ingestd::model::GunicornLogModel;
use log_ingestd::parse::{
    Detection, Exclusions, LineParser, Mask, Parsed, Reject, Template, detect,
};
use serde_json::Value;

struct Corpus {
    name: String,
    template: Template,
    log: Vec<u8>,
    truth: Vec<Value>,
}

impl Corpus {
    fn read(path: &Path) -> Corpus {
        let text = |name| fs::read_to_string(path.join(name)).unwrap();
        Corpus {
            name: path.file_name().unwrap().to_str().unwrap().to_owned(),
            template: Template::compile(text("format.txt").trim_end_matches('\n')).unwrap(),
            log: fs::read(path.join("access.log")).unwrap(),
            truth: text("truth.jsonl").lines().map(|l| serde_json::from_str(l).unwrap()).collect(),
        }
    }

    fn all() -> Vec<Corpus> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/corpus");
        let mut paths: Vec<_> = fs::read_dir(root).unwrap().map(|at| at.unwrap().path()).collect();
        paths.sort();
        assert_eq!(paths.len(), 4);
        paths.iter().map(|path| Corpus::read(path)).collect()
    }

    fn lines(&self) -> Vec<&[u8]> {
        let log = self.log.strip_suffix(b"\n").unwrap_or(&self.log);
        log.split(|byte| *byte == b'\n').collect()
    }

    fn has(&self, atom: &str) -> bool {
        self.template.format().contains(&format!("%({atom})s"))
    }

    /// What the record must be, from the atoms that the format shows.
    fn right<'t>(&self, truth: &'t Value) -> GunicornLogModel<'t> {
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

#[test]
fn every_record_of_every_corpus_comes_out_as_the_server_knew_it() {
    for corpus in Corpus::all() {
        let lines = corpus.lines();
        let mut next = 0;
        for (nth, truth) in corpus.truth.iter().enumerate() {
            // A record takes one line more for each newline in a value that the format shows.
            let text = serde_json::to_string(&truth["U"]).unwrap();
            let newlines = if corpus.has("U") { text.matches("\\n").count() } else { 0 };
            let joined = lines[next..=next + newlines].join(&b'\n');
            next += 1 + newlines;
            let right = corpus.right(truth);
            let holds_nul = right.url.as_deref().is_some_and(|url| url.contains('\0'));
            if holds_nul {
                assert_eq!(corpus.template.parse(&joined), Err(Reject::HoldsNul));
                continue;
            }
            let found = corpus.template.parse(&joined);
            assert_eq!(found, Ok(right), "record {nth} of {}", corpus.name);
        }
        assert_eq!(next, lines.len(), "{}", corpus.name);
    }
}

#[test]
fn a_record_with_a_newline_is_read_when_its_lines_are_joined() {
    let corpus = Corpus::all().remove(3);
    assert_eq!(corpus.name, "json-template");
    let lines = corpus.lines();
    let split: Vec<_> =
        lines.windows(2).filter(|pair| memchr::memchr(0, pair[0]).is_some()).collect();
    assert_eq!(split.len(), 4);
    let truths = corpus.truth.iter().filter(|truth| truth["U"] == "/\0\n\r");
    for (pair, truth) in split.into_iter().zip(truths) {
        for half in pair {
            assert!(matches!(corpus.template.parse(half), Err(Reject::Unlike(_))));
        }
        let mut joined = pair.join(&b'\n');
        // Whole, but for the NUL that the same requests carried.
        assert_eq!(corpus.template.parse(&joined), Err(Reject::HoldsNul));
        joined.retain(|byte| *byte != 0);
        let mut truth = truth.clone();
        truth["U"] = "/\n\r".into();
        assert_eq!(corpus.template.parse(&joined), Ok(corpus.right(&truth)));
    }
}

#[test]
fn each_corpus_is_recognised_by_its_first_lines() {
    let found: Vec<_> = Corpus::all()
        .iter()
        .map(|corpus| match detect(&corpus.lines()) {
            Detection::Access(preset) => preset.format == corpus.template.format(),
            other => {
                assert_eq!(other, Detection::Unknown);
                assert_eq!(corpus.name, "json-template"); // no preset: everybody's is different
                true
            }
        })
        .collect();
    assert_eq!(found, [true; 4]);
}

#[test]
fn passwords_in_the_corpora_are_masked() {
    for corpus in Corpus::all() {
        let mask = Mask::new(&["password".into(), "token".into()]);
        let parser = LineParser::new(corpus.template.clone(), mask, Exclusions::default());
        let masked = corpus.lines().into_iter().filter(|line| match parser.parse(line) {
            Parsed::Record(record) => {
                let url = record.url.unwrap_or_default();
                assert!(!url.contains("hunter2"), "{url}");
                url.ends_with("?password=********&token=********")
            }
            _ => false,
        });
        assert!(masked.count() > 10, "{}", corpus.name);
    }
}
