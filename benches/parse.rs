//! How fast lines become records, and bytes of a log rows as they are sent to the store, in bytes
//! of log per second: ordinary lines of the default format, bare and in the envelopes of a
//! container's log, the hostile corpora, and lines made to be read in many ways.

#![expect(clippy::expect_used, reason = "a bench without its logs cannot go on")]

use std::fs;
use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use log_ingestd::format::{Chunk, Exclusions, LineParser, Mask, Parsed, Template};
use log_ingestd::model::{Batch, FileId};
use log_ingestd::source::Envelope;

const DEFAULT: &str = r#"%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s""#;
const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
     Chrome/131.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like \
     Gecko) Version/18.1 Mobile/15E148 Safari/604.1",
    "curl/8.5.0",
    "kube-probe/1.31",
];

fn ordinary() -> Vec<u8> {
    let line = |nth: usize| {
        format!(
            "203.0.113.{} - - [23/Nov/2026:14:{:02}:{:02} +0530] \"GET /api/orders/{nth}?sort=-created \
             HTTP/1.1\" 200 {} \"https://example.com/orders/\" \"{}\"\n",
            nth % 256,
            nth / 60 % 60,
            nth % 60,
            nth * 37 % 70_000,
            AGENTS[nth % 4],
        )
    };
    (0..10_000).map(line).collect::<String>().into_bytes()
}

/// The same lines with two captured headers and a value without a column.
fn with_headers() -> Vec<u8> {
    let headers = "\"text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\" \"/api/orders?sort=-created&page=2\" \
                   tail=HIT";
    let log = String::from_utf8_lossy(&ordinary()).into_owned();
    log.lines().map(|line| format!("{line} {headers}\n")).collect::<String>().into_bytes()
}

fn bench(criterion: &mut Criterion, name: &str, format: &str, log: &[u8]) {
    let template = Template::compile(format).expect("a format");
    let lines: Vec<&[u8]> = log.split(|byte| *byte == b'\n').filter(|l| !l.is_empty()).collect();
    let mut group = criterion.benchmark_group(name);
    group.sample_size(20);
    for (unit, throughput) in [
        ("bytes", Throughput::Bytes(log.len() as u64)),
        ("lines", Throughput::Elements(lines.len() as u64)),
    ] {
        group.throughput(throughput);
        group.bench_function(unit, |bencher| {
            bencher.iter(|| {
                lines.iter().filter(|line| template.parse(black_box(line)).is_ok()).count()
            });
        });
    }
    group.finish();
}

/// The same lines as a container's runtime writes them.
fn contained(log: &[u8], envelope: Envelope) -> Vec<u8> {
    let time = "2026-11-23T08:53:17.123456789Z";
    let text = String::from_utf8_lossy(log);
    let line = |line: &str| match envelope {
        Envelope::Cri => format!("{time} stdout F {line}\n"),
        Envelope::Docker => {
            let log = line.replace('\\', "\\\\").replace('"', "\\\"");
            format!("{{\"log\":\"{log}\\n\",\"stream\":\"stdout\",\"time\":\"{time}\"}}\n")
        }
    };
    text.lines().map(line).collect::<String>().into_bytes()
}

/// The same as [`encode`], out of envelopes. The throughput counts what is in them, so that the
/// two can be compared.
fn encode_contained(criterion: &mut Criterion, format: &str, bare: &[u8], envelope: Envelope) {
    let template = Template::compile(format).expect("a format");
    let parser = LineParser::new(template, Mask::default(), Exclusions::default());
    let log = contained(bare, envelope);
    let mut batch = Batch::default();
    let mut group = criterion.benchmark_group("encode");
    group.sample_size(20).throughput(Throughput::Bytes(bare.len() as u64));
    group.bench_function(envelope.name(), |bencher| {
        bencher.iter(|| {
            batch.clear();
            let mut at = 0;
            while let Some(length) = memchr::memchr(b'\n', black_box(&log[at..])) {
                let piece = envelope.open(&log[at..at + length]).expect("an envelope");
                if let Parsed::Record(record) = parser.parse(&piece.payload) {
                    batch.push_record(FileId(1), at as u64, &record, piece.time);
                }
                at += length + 1;
            }
            batch.weight()
        });
    });
    group.finish();
}

/// Finds the lines of `log`, reads them and encodes their rows, as the daemon does.
fn encode(criterion: &mut Criterion, name: &str, format: &str, log: &[u8], mask: Mask) {
    let template = Template::compile(format).expect("a format");
    let parser = LineParser::new(template, mask, Exclusions::default());
    let mut batch = Batch::default();
    let mut group = criterion.benchmark_group("encode");
    group.sample_size(20).throughput(Throughput::Bytes(log.len() as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            batch.clear();
            let mut at = 0;
            while at < log.len() {
                for (line, length) in Chunk::of(black_box(&log[at..])) {
                    if let Parsed::Record(record) = parser.parse_text(line) {
                        batch.push_record(FileId(1), at as u64, &record, 0);
                    }
                    at += length;
                }
            }
            batch.weight()
        });
    });
    group.finish();
}

fn parse(criterion: &mut Criterion) {
    encode(criterion, "default", DEFAULT, &ordinary(), Mask::default());
    let mask = || Mask::by_meaning(&["password".to_owned()]);
    encode(criterion, "masked", DEFAULT, &ordinary(), mask());
    let captured =
        format!(r#"{DEFAULT} "%({{accept}}i)s" "%({{x-original-uri}}i)s" tail=%(other)s"#);
    encode(criterion, "masked, with captured headers", &captured, &with_headers(), mask());
    for envelope in Envelope::ALL {
        encode_contained(criterion, DEFAULT, &ordinary(), envelope);
    }
    bench(criterion, "default", DEFAULT, &ordinary());
    for name in ["default", "forwarded-for-first", "json-template"] {
        let root = format!("{}/fixtures/corpus/{name}", env!("CARGO_MANIFEST_DIR"));
        let format = fs::read_to_string(format!("{root}/format.txt")).expect("the format");
        let log = fs::read(format!("{root}/access.log")).expect("the log");
        bench(criterion, &format!("corpus {name}"), format.trim_end(), &log);
    }
    let quotes = format!("h - - [23/Nov/2026:14:23:17 +0530] \"{}\n", "\" \"".repeat(700_000));
    bench(criterion, "2 MiB of quotes", DEFAULT, quotes.as_bytes());
}

criterion_group!(benches, parse);
criterion_main!(benches);
