//! What every store promises of batches: all of one or nothing, and each line as it was.

use log_ingestd::model::{GunicornLogModel, NewFile, Position, RejectCode, RejectedLine, Written};
use log_ingestd::store::{Committed, StoreError, StoredLine};
use serde_json::json;

use crate::place::{DAY, LINE, Lines, NOW, Place, advanced, claimed, sighting, together};

for_every_store!(
    what_was_committed_is_read_back_exactly,
    a_line_without_anything_is_nulls,
    the_equation_holds_after_rows_rejects_and_exclusions,
    a_stale_offset_changes_nothing,
    a_stale_epoch_changes_nothing,
    several_files_are_stored_together_or_not_at_all,
    a_row_that_cannot_be_stored_is_told_from_other_faults,
    the_years_1970_and_9999_are_years,
    files_tells_everything_about_each_file_of_a_host,
    one_hundred_rows_and_one_hundred_and_one_both_arrive,
);

async fn what_was_committed_is_read_back_exactly(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let record = GunicornLogModel {
        timestamp: Some(NOW + 123_456),
        method: Some("GET".into()),
        url: Some("/caf\u{e9}?q='\\\"\t%00".into()),
        host: Some("shop.example".into()),
        user_id: Some("Ann O'Neill".into()),
        user_ip: Some("2001:db8::1".parse().unwrap()),
        agent: Some("Mozilla/5.0 \u{1f980}".into()),
        source: Some("https://example.com/".into()),
        environ: vec![("request_id", "a\"b".into())],
        extras: vec![],
        response_headers: vec![("content-type", "text/html".into())],
        headers: vec![("x-forwarded-for", "10.0.0.1, 10.0.0.2".into()), ("via", "\u{7}".into())],
        duration: Some(i64::MAX),
        code: Some(503),
        protocol: Some("HTTP/1.1".into()),
        response_bytes: Some(5_000_000_000),
        pid: Some(4711),
        route: Some("caf\u{e9}/<int:pk>/".into()),
        request_id: Some("C0D2:1234".into()),
        trace_id: Some("4bf92f3577b34da6a3ce929d0e0e4736".into()),
        written: Written::default(),
    };
    let raw = b"caf\xe9 \0\r \xff".as_slice();
    let batch = Lines::after(&at).record(&record).reject(NOW, raw).batch();
    writer.commit(&batch).await.unwrap();

    let Some(StoredLine::Row(row)) = writer.line_at(at.file, 0).await.unwrap() else { panic!() };
    assert_eq!(row.timestamp, NOW + 123_456);
    assert_eq!(row.method.as_deref(), record.method.as_deref());
    assert_eq!(row.url.as_deref(), record.url.as_deref());
    assert_eq!(row.host.as_deref(), record.host.as_deref());
    assert_eq!(row.user_id.as_deref(), record.user_id.as_deref());
    assert_eq!(row.user_ip, record.user_ip);
    assert_eq!(row.agent.as_deref(), record.agent.as_deref());
    assert_eq!(row.source.as_deref(), record.source.as_deref());
    assert_eq!(row.protocol.as_deref(), record.protocol.as_deref());
    assert_eq!(row.route.as_deref(), record.route.as_deref());
    assert_eq!(row.request_id.as_deref(), record.request_id.as_deref());
    assert_eq!(row.trace_id.as_deref(), record.trace_id.as_deref());
    assert_eq!(row.duration, record.duration);
    assert_eq!(row.code, record.code);
    assert_eq!(row.response_bytes, record.response_bytes);
    assert_eq!(row.pid, record.pid);
    assert_eq!(row.request, Some(json!({"environ": {"request_id": "a\"b"}})));
    assert_eq!(row.response, Some(json!({"headers": {"content-type": "text/html"}})));
    let headers = json!({"x-forwarded-for": "10.0.0.1, 10.0.0.2", "via": "\u{7}"});
    assert_eq!(row.headers, Some(headers));

    let reject = writer.line_at(at.file, LINE).await.unwrap();
    let expected = RejectedLine {
        log_offset: LINE,
        rejected_at: NOW,
        repeats: 1,
        log_file: at.file,
        line_length: None,
        code: Some(RejectCode::UnlikeFormat),
        reason: "no closing quote".to_owned(),
        raw: raw.to_vec(),
    };
    assert_eq!(reject, Some(StoredLine::Reject(expected.into())));
    assert_eq!(writer.line_at(at.file, 2 * LINE).await.unwrap(), None);

    let found = writer.candidates(&sighting(1, None)).await.unwrap();
    assert_eq!(found, [advanced(&at, &batch)]);
    let offsets = writer.committed(&[at.file]).await.unwrap();
    assert_eq!(offsets, [Committed { file: at.file, offset: 2 * LINE, epoch: at.epoch }]);
}

async fn a_line_without_anything_is_nulls(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let batch = Lines::after(&at).record(&GunicornLogModel::default()).batch();
    writer.commit(&batch).await.unwrap();
    let nulls = "SELECT count(*) FROM gunicorn_log WHERE method IS NULL AND url IS NULL
                 AND host IS NULL AND user_id IS NULL AND user_ip IS NULL AND agent IS NULL
                 AND source IS NULL AND request IS NULL AND response IS NULL AND headers IS NULL
                 AND duration IS NULL AND code IS NULL AND protocol IS NULL
                 AND response_bytes IS NULL AND pid IS NULL";
    assert_eq!(place.number(nulls).await, 1);
}

async fn the_equation_holds_after_rows_rejects_and_exclusions(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    for _ in 0..3 {
        let batch = Lines::after(&at).rows(5, NOW).excluded().excluded().reject(NOW, b"?").batch();
        writer.commit(&batch).await.unwrap();
        at = advanced(&at, &batch);
    }
    let [file] = &store.files(None).await.unwrap()[..] else { panic!("one file") };
    assert_eq!((file.lines, file.rows, file.rejected, file.excluded), (24, 15, 3, 6));
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 15);
    assert_eq!(place.number("SELECT count(*) FROM rejected_line").await, 3);
    assert_eq!(file.checkpoint.committed, 24 * LINE);
    assert_eq!(file.checkpoint.size - file.checkpoint.committed, 7);
}

async fn a_stale_offset_changes_nothing(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let batch = Lines::after(&at).rows(3, NOW).batch();
    writer.commit(&batch).await.unwrap();
    // Once more: a repeat would double lines. Further on: a gap would lose some.
    let mut gap = advanced(&at, &batch);
    gap.committed += LINE;
    for wrong in [batch, Lines::after(&gap).row(NOW).batch()] {
        let error = writer.commit(&wrong).await.unwrap_err();
        let StoreError::Conflict { files, .. } = error else { panic!("{error:?}") };
        assert_eq!(files, [at.file]);
    }
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 3);
    assert_eq!(writer.committed(&[at.file]).await.unwrap()[0].offset, 3 * LINE);
}

async fn a_stale_epoch_changes_nothing(place: Place) {
    let store = place.open().await;
    let mut stale = store.writer("web:1").await.unwrap();
    let at = claimed(&mut stale, 1).await;
    place.execute("UPDATE log_file SET epoch = epoch + 1000").await;
    let batch = Lines::after(&at).row(NOW).reject(NOW, b"?").batch();
    assert!(matches!(stale.commit(&batch).await, Err(StoreError::Conflict { .. })));
    let closed = stale.close_file(at.file, at.epoch, 0, "truncated", None).await;
    assert!(matches!(closed, Err(StoreError::Conflict { .. })));
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 0);
    assert_eq!(place.number("SELECT count(*) FROM rejected_line").await, 0);
    assert_eq!(place.number("SELECT committed FROM log_file").await, 0);
}

async fn several_files_are_stored_together_or_not_at_all(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let one = claimed(&mut writer, 1).await;
    let two = claimed(&mut writer, 2).await;
    let three = claimed(&mut writer, 3).await;
    let mut wrong = two.clone();
    wrong.epoch -= 1;
    let lines = |it| Lines::after(it).rows(2, NOW);
    let bad = together(vec![lines(&one), lines(&wrong), lines(&three)]);
    let error = writer.commit(&bad).await.unwrap_err();
    assert!(matches!(error, StoreError::Conflict { files, .. } if files == [two.file]));
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 0);
    assert_eq!(place.number("SELECT max(committed) FROM log_file").await, 0);

    let good = together(vec![lines(&one), lines(&two), Lines::after(&three).excluded()]);
    writer.commit(&good).await.unwrap();
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 4);
    let offsets = writer.committed(&[one.file, two.file, three.file]).await.unwrap();
    let mut offsets: Vec<u64> = offsets.iter().map(|it| it.offset).collect();
    offsets.sort_unstable();
    assert_eq!(offsets, [LINE, 2 * LINE, 2 * LINE]);
    // Each file's own head and guard arrived.
    let found = writer.candidates(&sighting(2, None)).await.unwrap();
    assert_eq!(found, [advanced(&two, &good)]);
}

async fn a_row_that_cannot_be_stored_is_told_from_other_faults(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    // A text that is not UTF-8 has no place in either database.
    let mut batch = Lines::after(&at).row(NOW).batch();
    let broken = Lines::after(&at).row(NOW).batch();
    batch.gunicorn_log.clear();
    for row in broken.gunicorn_log.rows() {
        batch.gunicorn_log.begin(row.len() as i16);
        for (nth, field) in row.iter().enumerate() {
            match field {
                _ if nth == 9 => batch.gunicorn_log.raw(b"/\xff"),
                Some(bytes) => batch.gunicorn_log.raw(bytes),
                None => batch.gunicorn_log.null(),
            }
        }
    }
    let error = writer.commit(&batch).await.unwrap_err();
    assert!(matches!(error, StoreError::BadRow { .. }), "{error:?}");
    assert_eq!(place.number("SELECT committed FROM log_file").await, 0);
    // The connection is as good as before.
    writer.commit(&Lines::after(&at).row(NOW).batch()).await.unwrap();

    if place.is_postgres() {
        return; // a day gets its unique index when it is over: see `indexes`
    }
    // A line that is there already is refused by its key, even if the offset is moved back.
    place.execute("UPDATE log_file SET committed = 0, lines = 0, stored_rows = 0").await;
    let error = writer.commit(&Lines::after(&at).row(NOW).batch()).await.unwrap_err();
    assert!(matches!(error, StoreError::BadRow { .. }), "{error:?}");
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 1);
}

async fn the_years_1970_and_9999_are_years(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let last = 253_402_300_799_999_999; // 9999-12-31 23:59:59.999999
    let leap_day = 951_782_400_000_000; // 2000-02-29
    let days = [-DAY, 0, leap_day, 946_684_800_000_000 - 1, 946_684_800_000_000, NOW, last];
    for day in days {
        let batch = Lines::after(&at).row(day).reject(day, b"?").batch();
        writer.commit(&batch).await.unwrap();
        let stored = writer.line_at(at.file, at.committed).await.unwrap();
        assert!(matches!(stored, Some(StoredLine::Row(row)) if row.timestamp == day), "{day}");
        at = advanced(&at, &batch);
    }
    if place.is_postgres() {
        let outliers = "SELECT (SELECT count(*) FROM ONLY gunicorn_log_before_2000)
                             + (SELECT count(*) FROM ONLY gunicorn_log_from_2100)";
        assert_eq!(place.number(outliers).await, 4);
        let days = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'gunicorn_log'::regclass";
        assert_eq!(place.number(days).await, 2 + 2, "days of 2000 share a year");
    } else {
        let text = place.texts("SELECT timestamp FROM gunicorn_log ORDER BY timestamp").await;
        assert_eq!(text[1], "1970-01-01 00:00:00");
        assert_eq!(text[6], "9999-12-31 23:59:59.999999");
    }
}

async fn files_tells_everything_about_each_file_of_a_host(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let batch = Lines::after(&at).row(NOW).batch();
    writer.commit(&batch).await.unwrap();
    let mut elsewhere = sighting(1, None);
    elsewhere.host = "other".into();
    let new = NewFile {
        sighting: elsewhere,
        format: "%(r)s".into(),
        time_estimated: true,
        begins: Position::default(),
    };
    writer.register(&new, &[]).await.unwrap();

    let files = store.files(Some("web")).await.unwrap();
    let [file] = &files[..] else { panic!("{files:?}") };
    assert_eq!(file.checkpoint, advanced(&at, &batch));
    assert_eq!((file.checkpoint.host.as_str(), file.owner.as_deref()), ("web", Some("web:1")));
    assert_eq!((file.checkpoint.size, file.lines, file.rows), (LINE + 7, 1, 1));
    assert!(!file.checkpoint.time_estimated && file.committed_at >= Some(file.first_seen_at));
    let all = store.files(None).await.unwrap();
    assert_eq!(all.len(), 2);
    assert!(all[1].checkpoint.time_estimated && all[1].committed_at.is_none());
    assert_eq!(store.last_sweep().await.unwrap(), None);
    writer.keep_alive().await.unwrap();
}

async fn one_hundred_rows_and_one_hundred_and_one_both_arrive(place: Place) {
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let mut total = 0;
    for count in [1, 63, 64, 65, 100, 101, 1000] {
        let batch = Lines::after(&at).rows(count, NOW).batch();
        writer.commit(&batch).await.unwrap();
        at = advanced(&at, &batch);
        total += count as i64;
        assert_eq!(place.number("SELECT count(DISTINCT id) FROM gunicorn_log").await, total);
    }
}
