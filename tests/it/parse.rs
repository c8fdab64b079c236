//! The parser against what a real Gunicorn knew of each request that it logged.

use log_ingestd::format::{Detection, Exclusions, LineParser, Mask, Parsed, detect};
use log_ingestd::model::RejectReason;

use crate::corpus::Corpus;

#[test]
fn every_record_of_every_corpus_comes_out_as_the_server_knew_it() {
    for corpus in Corpus::all() {
        for (nth, entry) in corpus.entries().into_iter().enumerate() {
            let joined = entry.lines.join(&b'\n');
            let right = corpus.right(entry.truth);
            let holds_nul = right.url.as_deref().is_some_and(|url| url.contains('\0'));
            if holds_nul {
                assert_eq!(corpus.template.parse(&joined), Err(RejectReason::HoldsNul(None)));
                continue;
            }
            let found = corpus.template.parse(&joined);
            assert_eq!(found, Ok(right), "record {nth} of {}", corpus.name);
        }
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
            assert!(matches!(corpus.template.parse(half), Err(RejectReason::UnlikeFormat(_))));
        }
        let mut joined = pair.join(&b'\n');
        // Whole, but for the NUL that the same requests carried.
        assert_eq!(corpus.template.parse(&joined), Err(RejectReason::HoldsNul(None)));
        joined.retain(|byte| *byte != 0);
        let mut truth = truth.clone();
        truth["U"] = "/\n\r".into();
        assert_eq!(corpus.template.parse(&joined), Ok(corpus.right(&truth)));
    }
}

/// The formats but for the durations: nothing in the lines says that they are microseconds.
#[test]
fn each_corpus_is_recognised_by_its_first_lines() {
    for corpus in Corpus::all() {
        let Detection::Access(found) = detect(&corpus.lines()) else {
            panic!("{} has no format", corpus.name);
        };
        let (given, number) = match corpus.name.as_str() {
            "default-with-microseconds" => (" %(D)s", " %({number_10}n)s"),
            "json-template" => ("%(D)s", "%({duration_us}n)s"),
            _ => ("", ""),
        };
        let right = corpus.template.format().replacen(given, number, 1);
        assert_eq!(found.layout.format(), right);
        assert_eq!(found.uncertain.len(), usize::from(!given.is_empty()));
    }
}

#[test]
fn passwords_in_the_corpora_are_masked() {
    for corpus in Corpus::all() {
        let mask = Mask::by_meaning(&["password".into(), "token".into()]);
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
