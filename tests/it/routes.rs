//! Counts by route, in the tables.

use std::collections::BTreeMap;

use log_ingestd::model::{
    Checkpoint, Codes, Filter, GunicornLogModel, MOST_ROUTES, Micros, NO_URL, OTHER_ROUTES,
    Reparsed,
};
use log_ingestd::store::{RouteOrder, Routes, StoreError, Writer};

use crate::place::{DAY, Lines, NOW, Place, advanced, claimed, counted};

for_every_store!(
    random_rows_are_counted_by_the_route_that_they_have,
    a_day_has_a_bounded_number_of_routes_and_each_row_is_counted,
    what_a_scanner_asks_for_leaves_room_for_routes,
    a_batch_that_is_sent_twice_is_counted_once,
    rows_that_are_read_again_change_their_routes,
    rows_beyond_the_bound_that_are_read_again_stay_counted,
    rows_of_hours_that_have_no_counts_by_route_change_none,
    the_routes_of_hostile_texts_are_stored,
    lists_of_routes_have_all_rows_of_any_range,
    lists_of_routes_say_what_they_do_not_have,
    counts_by_route_leave_with_the_others,
);

/// Deterministic random numbers (Steele, Lea and Flood: SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}

/// A row, and the route that it has.
#[derive(Clone, Debug)]
struct Row {
    timestamp: Micros,
    url: Option<String>,
    logged: Option<&'static str>,
    code: Option<i32>,
    response_bytes: Option<i64>,
    duration: Option<i64>,
    route: String,
}

impl Row {
    fn random(random: &mut Random) -> Row {
        let number = random.below(100_000);
        let (url, logged, route) = match random.below(6) {
            0 => (Some(format!("/orders/{number}?page=2")), None, "/orders/{n}"),
            1 => (Some(format!("/orders/{number}")), Some("orders/<int:pk>"), "orders/<int:pk>"),
            2 => (Some("/it's/\\\"{},$1".to_owned()), None, "/it's/\\\"{},$1"),
            3 => (Some(format!("/d/2026-11-{:02}.csv", 1 + number % 28)), None, "/d/{date}.csv"),
            4 => (Some("/plain".to_owned()), Some(""), "/plain"),
            _ => (None, None, NO_URL),
        };
        let any = |random: &mut Random, most: u64| {
            (random.below(4) > 0).then(|| i64::try_from(random.below(most)).unwrap())
        };
        Row {
            timestamp: NOW - i64::try_from(random.below(50 * 3_600)).unwrap() * 1_000_000,
            url,
            logged,
            code: any(random, 700).map(|code| i32::try_from(code).unwrap()),
            response_bytes: any(random, 100_000),
            duration: any(random, 5_000_000),
            route: route.to_owned(),
        }
    }

    fn at(route: &str, timestamp: Micros) -> Row {
        let url = (!route.is_empty()).then(|| route.to_owned());
        let (code, response_bytes, duration) = (Some(200), Some(10), Some(1000));
        Row {
            timestamp,
            url,
            logged: None,
            code,
            response_bytes,
            duration,
            route: route.to_owned(),
        }
    }

    fn record(&self) -> GunicornLogModel<'_> {
        GunicornLogModel {
            timestamp: Some(self.timestamp),
            url: self.url.as_deref().map(Into::into),
            route: self.logged.map(Into::into),
            code: self.code,
            response_bytes: self.response_bytes,
            duration: self.duration,
            ..GunicornLogModel::default()
        }
    }
}

/// Stores rows in one transaction.
async fn store(writer: &mut Writer, at: &Checkpoint, rows: &[Row]) -> Checkpoint {
    let mut lines = Lines::after(at);
    for row in rows {
        lines = lines.record(&row.record());
    }
    let batch = lines.batch();
    writer.commit(&batch).await.unwrap();
    advanced(at, &batch)
}

/// Rows by class, bytes, durations and their sum, for each period and route.
async fn stored(place: &Place, table: &str, period: &str) -> Vec<String> {
    let timed = match place.is_postgres() {
        true => "(SELECT coalesce(sum(n), 0) FROM unnest(durations) AS n)",
        false => "(SELECT coalesce(sum(value), 0) FROM json_each(durations))",
    };
    let start = match place.is_postgres() {
        true => format!("to_char({period} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"),
        false => period.to_owned(),
    };
    let sum = |column: &str| format!("CAST(sum({column}) AS bigint)");
    let sums = [
        "informational",
        "successful",
        "redirection",
        "client_error",
        "server_error",
        "other",
        "response_bytes",
        "duration_sum",
        timed,
    ];
    let sums = sums.map(sum).join(" || ' ' || ");
    let sql = format!(
        "SELECT {start} || ' ' || {sums} || ' ' || route FROM {table} GROUP BY {period}, route"
    );
    let mut found = place.texts(&sql).await;
    found.sort();
    found
}

/// The same of rows.
fn expected(rows: &[Row], period: Micros) -> Vec<String> {
    let mut sums: BTreeMap<(Micros, &str), [i64; 9]> = BTreeMap::new();
    for row in rows {
        let start = row.timestamp - row.timestamp.rem_euclid(period);
        let sum = sums.entry((start, &row.route)).or_default();
        let class = row.code.filter(|code| (100..600).contains(code));
        sum[class.map_or(5, |code| code as usize / 100 - 1)] += 1;
        sum[6] += row.response_bytes.unwrap_or(0);
        sum[7] += row.duration.unwrap_or(0);
        sum[8] += i64::from(row.duration.is_some());
    }
    let mut texts: Vec<String> = sums
        .iter()
        .map(|((start, route), sums)| {
            let start = chrono::DateTime::from_timestamp_micros(*start).unwrap();
            let sums = sums.map(|it| it.to_string()).join(" ");
            format!("{} {sums} {route}", start.format("%Y-%m-%d %H:%M:%S"))
        })
        .collect();
    texts.sort();
    texts
}

async fn agrees(place: &Place, rows: &[Row]) {
    counted(place).await;
    let hours = stored(place, "gunicorn_route_hour", "hour").await;
    assert_eq!(hours, expected(rows, 3_600_000_000));
    assert_eq!(stored(place, "gunicorn_route_day", "day").await, expected(rows, DAY));
}

async fn random_rows_are_counted_by_the_route_that_they_have(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let mut files = [claimed(&mut writer, 1).await, claimed(&mut writer, 2).await];
    let mut random = Random(20_261_128);
    let mut all = Vec::new();
    for nth in 0..12 {
        let rows: Vec<Row> = (0..=random.below(80)).map(|_| Row::random(&mut random)).collect();
        let file = &mut files[nth % 2];
        *file = store(&mut writer, file, &rows).await;
        all.extend(rows);
        if nth == 7 {
            // Another process goes on.
            drop(writer);
            writer = again(&place, &mut files).await;
        }
    }
    agrees(&place, &all).await;
}

/// Another writer of a store that was opened anew, which has claimed these files.
async fn again(place: &Place, files: &mut [Checkpoint]) -> Writer {
    let mut writer = place.open().await.writer("web:2").await.unwrap();
    for (inode, file) in (1..).zip(files) {
        let seen = crate::place::sighting(inode, None);
        let deadline = std::time::Instant::now() + crate::daemon::PATIENCE;
        *file = loop {
            match writer.claim(file.file, &seen, "%(r)s").await.unwrap() {
                Some(claimed) => break claimed,
                None => assert!(std::time::Instant::now() < deadline, "the lock stays"),
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        };
    }
    writer
}

async fn a_day_has_a_bounded_number_of_routes_and_each_row_is_counted(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let mut files = [claimed(&mut writer, 1).await];
    let rows = |from: usize, to: usize| {
        (from..to).map(|nth| Row::at(&format!("/r{nth}x"), NOW)).collect::<Vec<_>>()
    };
    let most = MOST_ROUTES;
    files[0] = store(&mut writer, &files[0], &rows(0, most - 300)).await;
    files[0] = store(&mut writer, &files[0], &rows(most - 400, most + 300)).await;
    let routes = "SELECT count(DISTINCT route) FROM gunicorn_route_day";
    assert_eq!(place.number(routes).await, most as i64 + 1);
    drop(writer);
    // A process that begins later finds what is there.
    let mut writer = again(&place, &mut files).await;
    let mut more = rows(0, 5);
    more.extend(rows(most + 100, most + 200));
    more.extend([Row::at(NO_URL, NOW), Row::at("/new", NOW), Row::at("/new", NOW + DAY)]);
    store(&mut writer, &files[0], &more).await;
    counted(&place).await;
    assert_eq!(place.number(routes).await, most as i64 + 3);
    let of = |route: &str| {
        format!(
            "SELECT CAST(sum(successful) AS bigint) FROM gunicorn_route_hour WHERE route = '{route}'"
        )
    };
    assert_eq!(place.number(&of(OTHER_ROUTES)).await, 300 + 100 + 1);
    assert_eq!(place.number(&of("/r0x")).await, 2);
    assert_eq!(place.number(&of(NO_URL)).await, 1);
    assert_eq!(place.number(&of("/new")).await, 1);
}

async fn what_a_scanner_asks_for_leaves_room_for_routes(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let scanned: Vec<Row> = (0..MOST_ROUTES)
        .map(|nth| Row { code: Some(404), ..Row::at(&format!("/wp-{nth}x"), NOW) })
        .collect();
    let at = store(&mut writer, &at, &scanned).await;
    store(&mut writer, &at, &[Row::at("/orders", NOW), Row::at("/items", NOW)]).await;
    counted(&place).await;
    let routes = "SELECT count(*) FROM gunicorn_route_day";
    assert_eq!(place.number(routes).await, MOST_ROUTES as i64 / 2 + 1 + 2);
}

async fn a_batch_that_is_sent_twice_is_counted_once(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let rows = [Row::at("/a", NOW), Row::at("/b", NOW - DAY)];
    let batch = Lines::after(&at).record(&rows[0].record()).record(&rows[1].record()).batch();
    writer.commit(&batch).await.unwrap();
    let again = writer.commit(&batch).await;
    assert!(matches!(again, Err(StoreError::Conflict { .. })), "{again:?}");
    agrees(&place, &rows).await;
}

/// Lines whose rows at these places of `before` become `after`.
fn reread(at: &Checkpoint, before: &[Row], places: &[usize], after: &[Row]) -> Reparsed {
    let mut lines = Reparsed::of(at.file, "%(r)s".into());
    for &nth in places {
        let offset = at.committed + nth as u64 * crate::place::LINE;
        lines.remove_row(offset, before[nth].timestamp);
        let record = after[nth].record();
        lines.new.push_record(at.file, offset, &record, NOW);
    }
    lines
}

async fn rows_that_are_read_again_change_their_routes(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let mut random = Random(7);
    let before: Vec<Row> = (0..60).map(|_| Row::random(&mut random)).collect();
    store(&mut writer, &at, &before).await;
    let mut after: Vec<Row> = before.iter().map(|_| Row::random(&mut random)).collect();
    let places: Vec<usize> = (0..60).filter(|nth| nth % 3 > 0).collect();
    assert!(writer.reparse(&reread(&at, &before, &places, &after)).await.unwrap());
    for nth in (0..60).filter(|nth| !places.contains(nth)) {
        after[nth] = before[nth].clone();
    }
    agrees(&place, &after).await;
}

async fn rows_beyond_the_bound_that_are_read_again_stay_counted(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let before: Vec<Row> =
        (0..MOST_ROUTES + 50).map(|nth| Row::at(&format!("/r{nth}x"), NOW)).collect();
    store(&mut writer, &at, &before).await;
    let (known, beyond) = (Row::at("/r7x", NOW), Row::at("/elsewhere", NOW));
    let mut after = vec![known; before.len()];
    after[MOST_ROUTES + 1] = beyond.clone();
    let places: Vec<usize> = (MOST_ROUTES - 1..MOST_ROUTES + 20).collect();
    assert!(writer.reparse(&reread(&at, &before, &places, &after)).await.unwrap());
    counted(&place).await;
    let of = |route: &str| {
        format!(
            "SELECT CAST(coalesce(sum(successful), 0) AS bigint) FROM gunicorn_route_day WHERE route = '{route}'"
        )
    };
    assert_eq!(place.number(&of(OTHER_ROUTES)).await, 50 - 20 + 1);
    assert_eq!(place.number(&of("/r7x")).await, 1 + 20);
    let last = format!("/r{}x", MOST_ROUTES - 1);
    assert_eq!(place.number(&of(&last)).await, 0);
}

/// Swept, or stored before routes were counted.
async fn rows_of_hours_that_have_no_counts_by_route_change_none(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let before = [Row::at("/a", NOW), Row::at("/a", NOW - DAY), Row::at("/b", NOW - DAY)];
    store(&mut writer, &at, &before).await;
    let old = format!(
        "< '{}'",
        if place.is_postgres() { "2026-11-23 00:00:00+00" } else { "2026-11-23 00:00:00" }
    );
    place.execute(&format!("DELETE FROM gunicorn_route_hour WHERE hour {old}")).await;
    place.execute(&format!("DELETE FROM gunicorn_route_day WHERE day {old}")).await;
    let after = [Row::at("/c", NOW), Row::at("/c", NOW - DAY), Row::at("/c", NOW - DAY)];
    assert!(writer.reparse(&reread(&at, &before, &[0, 1], &after)).await.unwrap());
    assert_eq!(
        stored(&place, "gunicorn_route_hour", "hour").await,
        expected(&after[..1], 3_600_000_000)
    );
    assert_eq!(stored(&place, "gunicorn_route_day", "day").await, expected(&after[..1], DAY));
}

async fn the_routes_of_hostile_texts_are_stored(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let long = format!("/{}", "é".repeat(400));
    let texts = [
        "'; DROP TABLE log_file; --",
        "{\"a\",NULL}",
        "\\",
        "\\'",
        "$1",
        "$$",
        "NULL",
        "\u{1}\u{7f}",
        "(other)",
        "\u{202e}",
        &long,
        " ",
    ];
    let rows: Vec<Row> = texts.iter().map(|text| Row::at(text, NOW)).collect();
    store(&mut writer, &at, &rows).await;
    counted(&place).await;
    let mut found = place.texts("SELECT route FROM gunicorn_route_hour").await;
    let cut = format!("/{}", "é".repeat(99));
    let mut wanted: Vec<&str> =
        texts.iter().map(|text| if *text == long { &cut[..] } else { text }).collect();
    found.sort();
    wanted.sort_unstable();
    assert_eq!(found, wanted);
}

/// Rows by route, in the order of lists.
fn listed(rows: &[Row], range: std::ops::Range<Micros>) -> Vec<(String, i64, i64, i64)> {
    let mut sums: BTreeMap<&str, (i64, i64, i64)> = BTreeMap::new();
    for row in rows.iter().filter(|row| range.contains(&row.timestamp)) {
        let (requests, errors, took) = sums.entry(&row.route).or_default();
        *requests += 1;
        *errors += i64::from(row.code.is_some_and(|code| (400..600).contains(&code)));
        *took += row.duration.unwrap_or(0);
    }
    let mut all: Vec<_> = sums
        .into_iter()
        .map(|(route, (n, errors, took))| (route.to_owned(), n, errors, took))
        .collect();
    all.sort_by(|one, two| two.1.cmp(&one.1).then_with(|| one.0.cmp(&two.0)));
    all
}

async fn lists_of_routes_have_all_rows_of_any_range(place: Place) {
    const HOUR: Micros = 3_600_000_000;
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let mut random = Random(11);
    let mut all = Vec::new();
    for day in 0..6 {
        let rows = (0..60).map(|_| Row::random(&mut random));
        let rows = rows.map(|row| Row { timestamp: row.timestamp - day * DAY, ..row });
        let rows: Vec<Row> = rows.collect();
        at = store(&mut writer, &at, &rows).await;
        all.extend(rows);
    }
    let reader = store_of.reader();
    let list = async |filter: &Filter, order| reader.routes(filter, order, 2000).await.unwrap();
    let flat = |routes: &Routes| -> Vec<(String, i64, i64, i64)> {
        let items = routes.items.iter();
        items
            .map(|it| (it.route.to_string(), it.counts.number(), it.errors(), it.duration))
            .collect()
    };
    for (from, to) in [
        (NOW - 8 * DAY, NOW),
        (NOW - 5 * DAY, NOW - DAY),
        (NOW - 7 * HOUR, NOW + 1),
        (NOW - 3 * DAY, NOW - 12 * HOUR),
        (NOW - 2 * HOUR, NOW),
        (NOW - 49 * HOUR, NOW),
    ] {
        let filter = Filter { from, to, ..Filter::default() };
        let found = list(&filter, RouteOrder::Rows).await;
        assert!(found.from <= from && found.to >= to && found.is_whole, "{found:?}");
        assert!(from - found.from < HOUR && found.to - to < HOUR, "{found:?}");
        assert_eq!(flat(&found), listed(&all, found.from..found.to));
        let servers = Filter { server: Some("web".into()), ..filter.clone() };
        assert_eq!(list(&servers, RouteOrder::Rows).await, found);
        let elsewhere = Filter { server: Some("elsewhere".into()), ..filter.clone() };
        assert_eq!(list(&elsewhere, RouteOrder::Rows).await.counted, 0);
        // The slowest ones first, and those without durations never.
        let slow = list(&filter, RouteOrder::P95).await;
        let p95: Vec<i64> = slow.items.iter().filter_map(|it| it.counts.quantile(0.95)).collect();
        assert_eq!(p95.len(), slow.items.len());
        assert!(p95.is_sorted_by(|one, two| one >= two), "{p95:?}");
        // What the counts cannot tell is read from rows.
        let failed = Filter { codes: vec![Codes { first: 500, last: 599 }], ..filter };
        let found = list(&failed, RouteOrder::Errors).await;
        let fail = |row: &&Row| row.code.is_some_and(|code| (500..600).contains(&code));
        let rows: Vec<Row> = all.iter().filter(fail).cloned().collect();
        assert_eq!((found.is_whole, flat(&found)), (true, listed(&rows, from..to)));
    }
}

/// As after an upgrade, which does not read all rows.
async fn lists_of_routes_say_what_they_do_not_have(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let rows: Vec<Row> = (0..8).map(|day| Row::at("/a", NOW - day * DAY)).collect();
    store(&mut writer, &at, &rows).await;
    let utc = if place.is_postgres() { "+00" } else { "" };
    let old = format!("< '2026-11-20 00:00:00{utc}'");
    place.execute(&format!("DELETE FROM gunicorn_route_hour WHERE hour {old}")).await;
    place.execute(&format!("DELETE FROM gunicorn_route_day WHERE day {old}")).await;
    let filter = Filter { from: NOW - 9 * DAY, to: NOW + 1, ..Filter::default() };
    let found = store_of.reader().routes(&filter, RouteOrder::Rows, 10).await.unwrap();
    assert_eq!((found.counted, found.uncounted, found.is_whole), (4, 4, false));
    let first = NOW - NOW.rem_euclid(DAY) - 3 * DAY; // 2026-11-20
    assert_eq!(found.counted_from, Some(first));
    let later = Filter { from: first, ..filter };
    let found = store_of.reader().routes(&later, RouteOrder::Rows, 10).await.unwrap();
    assert_eq!((found.counted, found.uncounted, found.counted_from), (4, 0, None));
}

async fn counts_by_route_leave_with_the_others(place: Place) {
    let store_of = place.open().await;
    let mut writer = store_of.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    store(&mut writer, &at, &[Row::at("/a", NOW), Row::at("/a", NOW - 2 * DAY)]).await;
    let mut sweeper = store_of.sweeper().await.unwrap().unwrap();
    let count = async |table: &str| place.number(&format!("SELECT count(*) FROM {table}")).await;
    // The hour that ended an hour ago leaves, and its day has not ended.
    while sweeper.delete_counts(NOW - 2 * DAY + 2 * 3_600_000_000, 1).await.unwrap() > 0 {}
    assert_eq!((count("gunicorn_route_hour").await, count("gunicorn_route_day").await), (1, 2));
    while sweeper.delete_counts(NOW - DAY, 1).await.unwrap() > 0 {}
    assert_eq!((count("gunicorn_route_hour").await, count("gunicorn_route_day").await), (1, 1));
    sweeper.end().await;
}
