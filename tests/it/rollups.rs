//! Counts by minute and by hour, in the tables.

use log_ingestd::model::{CountedRow, GunicornLogModel, Period, Rollup};

use crate::place::{Lines, NOW, Place, advanced, claimed, counted};

for_every_store!(histograms_of_several_commits_add_up, minutes_without_end_are_stored,);

fn text(counts: &[i64]) -> String {
    counts.iter().map(i64::to_string).collect::<Vec<_>>().join(",")
}

async fn histograms_of_several_commits_add_up(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let mut expected = Rollup::default();
    // Shorter, longer, none and an empty histogram after one that is not.
    for durations in [vec![Some(5)], vec![Some(90_000), None], vec![None], vec![Some(70), Some(5)]]
    {
        let mut lines = Lines::after(&at);
        for duration in durations {
            let timestamp = Some(NOW);
            lines = lines.record(&GunicornLogModel { timestamp, duration, ..Default::default() });
            let row = CountedRow { timestamp: NOW, duration, ..CountedRow::default() };
            expected.count(at.file, &row);
        }
        let batch = lines.batch();
        writer.commit(&batch).await.unwrap();
        at = advanced(&at, &batch);
    }
    counted(&place).await;
    let wanted = expected.by(Period::Minute).next().unwrap();
    assert_eq!(wanted.rows, [0, 0, 0, 0, 0, 6]);
    for table in ["gunicorn_minute", "gunicorn_hour"] {
        let stored = place.texts(&format!("SELECT CAST(durations AS text) FROM {table}")).await;
        let stored = stored.concat();
        assert_eq!(stored.trim_matches(['[', ']', '{', '}']), text(&wanted.durations));
    }
}

async fn minutes_without_end_are_stored(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let mut lines = Lines::after(&at);
    for nth in 0..1000 {
        let timestamp = Some(NOW - 60_000_000 * (nth % 700));
        let duration = Some(nth);
        lines = lines.record(&GunicornLogModel { timestamp, duration, ..Default::default() });
    }
    writer.commit(&lines.batch()).await.unwrap();
    counted(&place).await;
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_minute").await, 700);
}
