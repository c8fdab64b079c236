//! How fast a batch of 100,000 rows is stored. SQLite always; PostgreSQL if
//! `LOG_INGESTD_BENCH_POSTGRES` is the URL of a database that may be filled.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and end")]

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use log_ingestd::model::{
    Batch, Checkpoint, GunicornLogModel, NewFile, Origin, Position, Sighting, Span,
};
use log_ingestd::store::{Location, Store, Writer};

const ROWS: u64 = 100_000;
/// Bytes of a line.
const LINE: u64 = 200;
/// 2026-11-23 08:41:00 UTC.
const NOW: i64 = 1_795_423_260_000_000;

fn batch(at: &Checkpoint) -> Batch {
    let mut batch = Batch::default();
    for nth in 0..ROWS {
        let record = GunicornLogModel {
            timestamp: Some(NOW + (at.committed / LINE + nth) as i64 * 1000),
            method: Some("GET".into()),
            url: Some(format!("/api/v1/orders/{nth}?page=2&per_page=50").into()),
            user_ip: Some("203.0.113.7".parse().unwrap()),
            agent: Some("Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101".into()),
            source: Some("https://shop.example/orders".into()),
            duration: Some(12_345),
            code: Some(200),
            protocol: Some("HTTP/1.1".into()),
            response_bytes: Some(5120),
            ..Default::default()
        };
        batch.push_record(at.file, at.committed + nth * LINE, &record, NOW);
    }
    let to = at.committed + ROWS * LINE;
    batch.spans.push(Span {
        file: at.file,
        epoch: at.epoch,
        from: at.committed,
        to: Position { offset: to, ..Position::default() },
        lines: ROWS,
        rows: ROWS,
        rejected: 0,
        excluded: 0,
        head: None,
        size: to,
        nul_runs: Vec::new(),
        form_changes: Vec::new(),
        releases: false,
        far_times: 0,
    });
    batch
}

async fn claimed(writer: &mut Writer) -> Checkpoint {
    let path = format!("/bench/{}", std::process::id());
    let sighting =
        Sighting { host: "bench".into(), path, key: None, head: None, origin: Origin::default() };
    let new = NewFile {
        sighting,
        format: String::new(),
        time_estimated: false,
        begins: Position::default(),
    };
    let file = writer.register(&new, &[]).await.unwrap().unwrap().file;
    writer.claim(file, &new.sighting, "").await.unwrap().unwrap()
}

fn commit(criterion: &mut Criterion, name: &str, url: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("commit");
    group.throughput(Throughput::Elements(ROWS)).sample_size(10);
    group.measurement_time(Duration::from_secs(10));
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|times| {
            runtime.block_on(async {
                let store = Store::open(Location::parse(url).unwrap()).await.unwrap();
                let mut writer = store.writer("bench").await.unwrap();
                let mut at = claimed(&mut writer).await;
                let mut spent = Duration::ZERO;
                for _ in 0..times {
                    let batch = batch(&at);
                    let before = Instant::now();
                    writer.commit(&batch).await.unwrap();
                    spent += before.elapsed();
                    at.committed = batch.spans[0].to.offset;
                }
                spent
            })
        });
    });
    group.finish();
}

fn stores(criterion: &mut Criterion) {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", directory.path().join("bench.sqlite3").display());
    commit(criterion, "sqlite", &url);
    if let Ok(url) = std::env::var("LOG_INGESTD_BENCH_POSTGRES") {
        commit(criterion, "postgres", &url);
    }
}

criterion_group!(benches, stores);
criterion_main!(benches);
