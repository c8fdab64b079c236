//! What people ask of the tables, held against the same questions asked of plain values.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use log_ingestd::model::{Filter, GunicornLogModel, Micros, UrlFilter, histogram, moment};
use log_ingestd::store::{
    By, Counted, Cursor, Direction, Event, FoundRow, Order, Point, Reader, SortBy, Store,
    StoredRequest, StoredRow, Suggested,
};

use crate::place::{Lines, NOW, Place, claimed};

const PATIENCE: Duration = Duration::from_secs(60);
const MINUTE: Micros = 60_000_000;

for_every_store!(
    each_filter_finds_what_it_says,
    pages_hold_each_row_once_in_both_directions,
    a_page_ends_when_its_time_is_over_and_goes_on_from_there,
    the_overview_is_the_count_of_the_rows,
    counts_of_a_filter_are_those_of_its_rows,
    an_estimate_tells_its_error_and_becomes_exact,
    counts_without_their_rows_are_told,
    suggestions_are_counted,
    the_most_frequent_come_first,
    rows_are_sorted_by_a_column_and_those_without_a_value_are_last,
    the_story_of_a_row_has_its_neighbours_in_time,
    marks_tell_what_happened_to_files_and_when,
);

const URLS: [&str; 6] =
    ["/a", "/a?x=1&y=2", "/orders/%_\\", "/orders/7?q=A", "/ORDERS/7", "/\u{e9}/x?y"];
const USERS: [Option<&str>; 3] = [None, Some("jo"), Some("O'Brien")];
/// Two of them as older versions stored an address of IPv4 within IPv6.
const ADDRESSES: [&str; 8] = [
    "10.1.2.3",
    "10.1.2.33",
    "10.1.130.3",
    "10.2.0.1",
    "2001:db8::1",
    "2001:db8::a01:203",
    "::ffff:10.1.2.3",
    "::ffff:10.1.130.4",
];
const AGENTS: [Option<&str>; 3] = [None, Some("Mozilla/5.0 (X11)"), Some("curl/8 100%")];

/// Five hundred rows over nine days, most of them in the last hour, several at one moment.
fn rows() -> Vec<GunicornLogModel<'static>> {
    let mut dice = fastrand::Rng::with_seed(11);
    let text = |text: &'static str| Some(Cow::Borrowed(text));
    (0..500)
        .map(|nth| GunicornLogModel {
            timestamp: Some(match nth % 10 {
                0 => NOW - dice.i64(0..9 * 24 * 60) * MINUTE,
                _ => NOW - dice.i64(0..600) * 6_000_000,
            }),
            method: text(dice.choice(["GET", "POST", "PUT"]).unwrap()),
            url: text(dice.choice(URLS).unwrap()),
            host: text(dice.choice(["a.example", "b.example"]).unwrap()),
            user_id: dice.choice(USERS).unwrap().map(Cow::Borrowed),
            user_ip: Some(dice.choice(ADDRESSES).unwrap().parse().unwrap()),
            agent: dice.choice(AGENTS).unwrap().map(Cow::Borrowed),
            source: dice.choice([None, Some("https://x.example/jo")]).unwrap().map(Cow::Borrowed),
            code: dice.choice([None, Some(200), Some(204), Some(404), Some(500)]).unwrap(),
            duration: dice.choice([None, Some(1000), Some(250_000)]).unwrap(),
            response_bytes: (nth % 3 > 0).then(|| dice.i64(0..5000)),
            route: dice.choice([None, Some("orders/<int:pk>/")]).unwrap().map(Cow::Borrowed),
            request_id: dice.choice([None, Some("r-1"), Some("R-1")]).unwrap().map(Cow::Borrowed),
            trace_id: text(dice.choice(["4bf92f3577b34da6", "a3ce929d0e0e4736"]).unwrap()),
            ..Default::default()
        })
        .collect()
}

async fn filled(place: &Place) -> (Store, Vec<GunicornLogModel<'static>>) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let rows = rows();
    let mut lines = Lines::after(&at);
    for row in &rows {
        lines = lines.record(row);
    }
    writer.commit(&lines.batch()).await.unwrap();
    (store, rows)
}

fn filter(pairs: &[(&str, &str)]) -> Filter {
    let mut filter = Filter::last_hour(NOW);
    filter.set("from", "10d", NOW).unwrap();
    for (name, value) in pairs {
        filter.set(name, value, NOW).unwrap();
    }
    filter.checked().unwrap()
}

/// Whether a row meets the filter of these pairs.
fn meets(pairs: &[(&str, &str)], row: &GunicornLogModel<'_>) -> bool {
    let (not, required): (Vec<_>, Vec<_>) = pairs.iter().partition(|(name, _)| *name == "not");
    let required: Vec<(&str, &str)> = required.into_iter().copied().collect();
    fits(&filter(&required), row)
        && not.iter().all(|(_, term)| !fits(&filter(&[term.split_once(':').unwrap()]), row))
}

/// The same question, asked of a value.
fn fits(filter: &Filter, row: &GunicornLogModel<'_>) -> bool {
    let text = |it: &Option<Cow<'_, str>>| it.as_deref().unwrap_or("").to_owned();
    let is = |wanted: &Option<String>, it: &Option<Cow<'_, str>>| {
        wanted.as_ref().is_none_or(|wanted| it.as_deref() == Some(wanted))
    };
    let holds = |wanted: &Option<String>, all: &[&Option<Cow<'_, str>>]| {
        wanted.as_ref().is_none_or(|wanted| {
            all.iter().any(|it| text(it).to_lowercase().contains(&wanted.to_lowercase()))
        })
    };
    let at = row.timestamp.unwrap();
    (filter.from..filter.to).contains(&at)
        && match &filter.url {
            None => true,
            Some(UrlFilter::Prefix(prefix)) => text(&row.url).starts_with(prefix),
            Some(UrlFilter::Part(part)) => text(&row.url).contains(part),
        }
        && (filter.codes.is_empty()
            || row.code.is_some_and(|code| {
                filter.codes.iter().any(|it| (it.first..=it.last).contains(&code))
            }))
        && is(&filter.method, &row.method)
        && is(&filter.user, &row.user_id)
        && is(&filter.host, &row.host)
        && is(&filter.route, &row.route)
        && is(&filter.request_id, &row.request_id)
        && is(&filter.trace_id, &row.trace_id)
        && filter.server.as_ref().is_none_or(|server| server == "web")
        && holds(&filter.agent, &[&row.agent])
        && holds(&filter.text, &[&row.url, &row.agent, &row.source, &row.user_id])
        && filter.address.is_none_or(|network| {
            match (network.first, row.user_ip.unwrap().to_canonical()) {
                (IpAddr::V4(first), IpAddr::V4(it)) => {
                    let mask = u32::MAX.checked_shl(32 - u32::from(network.bits)).unwrap_or(0);
                    it.to_bits() & mask == first.to_bits()
                }
                (first, it) => network.is_one() && first == it,
            }
        })
}

async fn each_filter_finds_what_it_says(place: Place) {
    let (store, rows) = filled(&place).await;
    let reader = store.reader();
    for pairs in [
        vec![],
        vec![("from", "1h")],
        vec![("from", "3d"), ("to", "1h")],
        vec![("url", "/orders/")],
        vec![("url", "/orders/%_\\")],
        vec![("url", "orders")],
        vec![("url", "*?x=1*")],
        vec![("url", "/\u{e9}")],
        vec![("code", "404")],
        vec![("code", "4xx,500-599")],
        vec![("code", ">=400")],
        vec![("method", "PUT"), ("user", "O'Brien")],
        vec![("host", "a.example")],
        vec![("server", "web")],
        vec![("server", "elsewhere")],
        vec![("address", "10.1.2.3")],
        vec![("address", "10.1.2.0/24")],
        vec![("address", "10.1.0.0/17")],
        vec![("address", "10.0.0.0/9")],
        vec![("address", "10.1.2.2/31")],
        vec![("address", "10.1.128.0/18")],
        vec![("address", "0.0.0.0/0")],
        vec![("address", "0.0.0.0/3")],
        vec![("address", "::ffff:10.1.2.3")],
        vec![("address", "::ffff:10.1.0.0/112")],
        vec![("address", "2001:db8::1")],
        vec![("agent", "MOZILLA")],
        vec![("agent", "100%")],
        vec![("route", "orders/<int:pk>/")],
        vec![("request_id", "r-1")],
        vec![("trace_id", "a3ce929d0e0e4736"), ("request_id", "R-1"), ("code", "200")],
        vec![("text", "jo")],
        vec![("text", "%_\\")],
        vec![("text", "orders"), ("code", "200"), ("from", "2d")],
        vec![("not", "url:/orders/"), ("from", "1h")],
        vec![("not", "url:*?x=1*")],
        vec![("not", "code:404")],
        vec![("not", "code:4xx,5xx"), ("code", ">=200")],
        vec![("not", "user:jo"), ("not", "method:PUT")],
        vec![("not", "host:a.example"), ("host", "b.example")],
        vec![("not", "server:elsewhere")],
        vec![("not", "server:web")],
        vec![("not", "address:10.1.2.3")],
        vec![("not", "address:10.1.0.0/17"), ("not", "address:2001:db8::1")],
        vec![("not", "agent:MOZILLA")],
        vec![("not", "route:orders/<int:pk>/")],
        vec![("not", "request_id:r-1"), ("not", "trace_id:a3ce929d0e0e4736")],
        vec![("not", "text:jo"), ("text", "orders")],
    ] {
        let filter = filter(&pairs);
        let all = all_rows(&reader, &filter).await;
        let mut found: Vec<_> = all.iter().map(|it| (it.row.timestamp, it.id)).collect();
        assert!(found.is_sorted_by(|one, two| one > two), "{pairs:?} are not newest first");
        let mut wanted: Vec<Micros> = rows
            .iter()
            .filter(|row| meets(&pairs, row))
            .map(|row| row.timestamp.unwrap())
            .collect();
        wanted.sort_unstable();
        found.sort_unstable();
        let found: Vec<Micros> = found.into_iter().map(|(at, _)| at).collect();
        assert_eq!(found, wanted, "{pairs:?}");
        let matches_nothing =
            pairs.contains(&("server", "elsewhere")) || pairs.contains(&("not", "server:web"));
        assert_eq!(wanted.is_empty(), matches_nothing, "{pairs:?}");
    }
    let network = filter(&[("address", "2001:db8::/32")]);
    if place.is_postgres() {
        reader.check(&network).unwrap();
        assert!(!all_rows(&reader, &network).await.is_empty());
    } else {
        let error = reader.check(&network).unwrap_err().to_string();
        assert!(error.starts_with("address '2001:db8::/32' is a network of IPv6"), "{error}");
        reader.check(&filter(&[("not", "address:2001:db8::/32")])).unwrap_err();
    }
}

fn cursor(found: &FoundRow<StoredRow>) -> Cursor {
    Cursor { timestamp: found.row.timestamp, id: found.id }
}

/// All rows, newest first. A search ends after a few statements, which have short windows where answers are slow.
async fn all_rows(reader: &Reader, filter: &Filter) -> Vec<FoundRow<StoredRow>> {
    let mut rows = Vec::new();
    let mut next = Direction::Older(None);
    loop {
        let page = reader.page::<StoredRow>(filter, next, 1000, PATIENCE).await.unwrap();
        rows.extend(page.rows);
        let Some(edge) = page.searched_to else { return rows };
        next = Direction::Older(Some(Cursor { timestamp: edge, id: i64::MIN }));
    }
}

/// All pages in one direction, each row by its id.
async fn walk(reader: &Reader, filter: &Filter, mut next: Direction) -> Vec<i64> {
    let mut ids = Vec::new();
    loop {
        let page = reader.page::<StoredRow>(filter, next, 7, PATIENCE).await.unwrap();
        next = match (next, page.searched_to) {
            (Direction::Older(_), Some(timestamp)) => {
                Direction::Older(Some(Cursor { timestamp, id: i64::MIN }))
            }
            (Direction::Newer(_), Some(timestamp)) => {
                Direction::Newer(Cursor { timestamp, id: i64::MAX })
            }
            (next, None) => {
                let (Some(first), Some(last)) = (page.rows.first(), page.rows.last()) else {
                    break;
                };
                match next {
                    Direction::Older(_) => Direction::Older(Some(cursor(last))),
                    Direction::Newer(_) => Direction::Newer(cursor(first)),
                }
            }
        };
        let page_ids = page.rows.iter().map(|it| it.id);
        match next {
            Direction::Older(_) => ids.extend(page_ids),
            Direction::Newer(_) => ids.extend(page_ids.rev()),
        }
        if !page.more {
            break;
        }
    }
    ids
}

async fn pages_hold_each_row_once_in_both_directions(place: Place) {
    let (store, rows) = filled(&place).await;
    let reader = store.reader();
    let filter = filter(&[("code", ">=200")]);
    let wanted = rows.iter().filter(|row| fits(&filter, row)).count();
    let mut older = walk(&reader, &filter, Direction::Older(None)).await;
    assert_eq!(older.len(), wanted);
    let before = Cursor { timestamp: filter.from, id: i64::MIN };
    let newer = walk(&reader, &filter, Direction::Newer(before)).await;
    older.reverse();
    assert_eq!(older, newer);
    older.sort_unstable();
    older.dedup();
    assert_eq!(older.len(), wanted);
    let one = reader.row::<StoredRow>(older[0]).await.unwrap().unwrap();
    assert_eq!((one.id, one.row.code.is_some()), (older[0], true));
    assert_eq!(reader.row::<StoredRow>(1).await.unwrap(), None);
}

async fn a_page_ends_when_its_time_is_over_and_goes_on_from_there(place: Place) {
    let (store, rows) = filled(&place).await;
    let reader = store.reader();
    let filter = filter(&[("user", "O'Brien"), ("from", "1h")]);
    let wanted = rows.iter().filter(|row| fits(&filter, row)).count();
    let (mut found, mut next, mut stops) = (0, Direction::Older(None), 0);
    loop {
        let page = reader.page::<StoredRow>(&filter, next, 1000, Duration::ZERO).await.unwrap();
        found += page.rows.len();
        let Some(edge) = page.searched_to else { break };
        stops += 1;
        assert!(page.more && page.rows.iter().all(|it| it.row.timestamp >= edge));
        next = Direction::Older(Some(Cursor { timestamp: edge, id: i64::MIN }));
    }
    assert_eq!(found, wanted);
    assert!(stops > 5, "nothing took its time");
}

async fn the_overview_is_the_count_of_the_rows(place: Place) {
    let (store, rows) = filled(&place).await;
    let reader = store.reader();
    for from in ["1h", "1d", "10d"] {
        let filter = filter(&[("from", from)]);
        let seen = reader.overview(filter.from, filter.to, None).await.unwrap();
        let within: Vec<_> = rows
            .iter()
            .filter(|row| (seen.from..seen.to).contains(&row.timestamp.unwrap()))
            .collect();
        assert_eq!(seen.total.rows.iter().sum::<i64>(), within.len() as i64, "{from}");
        let failed = within.iter().filter(|row| row.code == Some(500)).count() as i64;
        assert_eq!(seen.total.rows[4], failed);
        assert_eq!(
            seen.total.bytes,
            within.iter().filter_map(|row| row.response_bytes).sum::<i64>()
        );
        let told = seen.total.quantile(0.99).unwrap();
        assert!((told - 250_000).abs() * 16 <= 250_000, "{told}");
        assert!(seen.points.len() as i64 <= 361);
        for (start, point) in &seen.points {
            let end = start + seen.step * 1_000_000;
            let rows = within.iter().filter(|row| (*start..end).contains(&row.timestamp.unwrap()));
            assert_eq!(point.rows.iter().sum::<i64>(), rows.count() as i64, "{from}");
        }
    }
    let filter = filter(&[]);
    let none = reader.overview(filter.from, filter.to, Some("elsewhere")).await.unwrap();
    assert_eq!((none.points.len(), none.total.quantile(0.5)), (0, None));
    let all = reader.overview(filter.from, filter.to, Some("web")).await.unwrap();
    assert_eq!(all.total.rows.iter().sum::<i64>(), 500);
}

/// Counts to the end.
async fn counted(reader: &Reader, filter: &Filter) -> Counted {
    let mut counting = reader.count(filter, PATIENCE).await.unwrap();
    while !counting.is_done() {
        counting.go_on(PATIENCE).await.unwrap();
    }
    counting.counted()
}

async fn counts_of_a_filter_are_those_of_its_rows(place: Place) {
    let (store, rows) = filled(&place).await;
    let reader = store.reader();
    for pairs in [
        vec![],
        vec![("from", "1h")],
        vec![("code", "5xx")],
        vec![("code", "404"), ("from", "2d")],
        vec![("code", ">=400")],
        vec![("not", "code:2xx")],
        vec![("server", "web")],
        vec![("not", "server:web")],
        vec![("url", "/orders/")],
        vec![("url", "/orders/"), ("not", "url:/orders/7"), ("from", "1d")],
        vec![("user", "jo"), ("not", "agent:curl"), ("code", "200,404")],
        vec![("text", "nothing holds this")],
    ] {
        let filter = filter(&pairs);
        let found = counted(&reader, &filter).await;
        assert_eq!((found.share, found.error, found.gone_before), (1.0, 0, None), "{pairs:?}");
        let seen = found.overview;
        assert!(seen.from <= filter.from && filter.to <= seen.to);
        let wanted: Vec<_> = rows
            .iter()
            .filter(|row| (seen.from..seen.to).contains(&row.timestamp.unwrap()))
            .filter(|row| {
                // The range is that of whole steps.
                let is_range = |pair: &&(&str, &str)| pair.0 == "from";
                let others: Vec<_> = pairs.iter().filter(|it| !is_range(it)).copied().collect();
                meets(&others, row)
            })
            .collect();
        let of = |points: &Point, wanted: &[&&GunicornLogModel<'_>]| {
            assert_eq!(points.number(), wanted.len() as i64, "{pairs:?}");
            let failed = wanted.iter().filter(|row| row.code == Some(500)).count() as i64;
            assert_eq!(points.rows[4], failed, "{pairs:?}");
            let bytes = wanted.iter().filter_map(|row| row.response_bytes).sum::<i64>();
            assert_eq!(points.bytes, bytes, "{pairs:?}");
            let slow = wanted.iter().filter(|row| row.duration == Some(250_000)).count();
            let timed = wanted.iter().filter(|row| row.duration.is_some()).count();
            let p99 = points.quantile(0.99);
            assert_eq!(p99.is_some(), timed > 0, "{pairs:?}");
            if slow * 100 > timed {
                assert!((p99.unwrap() - 250_000).abs() * 16 <= 250_000, "{pairs:?} {p99:?}");
            }
        };
        of(&seen.total, &wanted.iter().collect::<Vec<_>>());
        assert!(seen.points.is_sorted_by_key(|(start, _)| *start));
        for (start, point) in &seen.points {
            let slot = *start..start + seen.step * 1_000_000;
            let rows = wanted.iter().filter(|row| slot.contains(&row.timestamp.unwrap()));
            of(point, &rows.collect::<Vec<_>>());
        }
    }
    // What leaves out nothing has the same histograms as the counts by minute and hour.
    for from in ["1h", "1d", "10d"] {
        let filter = filter(&[("from", from), ("not", "text:nothing holds this")]);
        let by_rows = counted(&reader, &filter).await.overview;
        let by_counts = reader.overview(filter.from, filter.to, None).await.unwrap();
        assert_eq!(by_rows, by_counts, "{from}");
    }
}

/// Durations at both edges of each bucket.
fn edges() -> impl Iterator<Item = i64> {
    let first = (0..histogram::BUCKETS).map(histogram::first);
    first.flat_map(|at| [at - 1, at, at + 1]).chain([i64::MAX, i64::MIN, 63, 64])
}

async fn an_estimate_tells_its_error_and_becomes_exact(place: Place) {
    const ROWS: i64 = 60_000;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let mut lines = Lines::after(&at);
    let durations: Vec<i64> = edges().collect();
    for nth in 0..ROWS {
        lines = lines.record(&GunicornLogModel {
            timestamp: Some(NOW - 50 * MINUTE + nth * 50 * MINUTE / ROWS),
            url: Some(Cow::Borrowed(if nth % 7 == 0 { "/seven" } else { "/other" })),
            code: Some(if nth % 10 == 0 { 503 } else { 200 }),
            duration: Some(durations[nth as usize % durations.len()]),
            response_bytes: Some(10),
            ..Default::default()
        });
    }
    writer.commit(&lines.batch()).await.unwrap();
    let reader = store.reader();
    let seven = filter(&[("from", "1h"), ("url", "/seven")]);
    let exact = (0..ROWS).filter(|nth| nth % 7 == 0).count() as i64;

    let mut counting = reader.count(&seven, Duration::ZERO).await.unwrap();
    let (mut shares, mut errors) = (Vec::new(), Vec::new());
    loop {
        let found = counting.counted();
        shares.push(found.share);
        errors.push(found.error);
        let number = found.overview.total.number();
        assert!((number - exact).abs() <= found.error, "{number} is not {exact} ± {}", found.error);
        let points = found.overview.points.iter().map(|(_, point)| point.number()).sum::<i64>();
        assert_eq!(points, number, "the chart has what the sum has");
        let bytes = found.overview.total.bytes;
        assert!((bytes - 10 * number).abs() <= number / 10, "{bytes} of {number} rows");
        if counting.is_done() {
            assert_eq!((number, bytes), (exact, 10 * exact));
            break;
        }
        counting.go_on(Duration::ZERO).await.unwrap();
    }
    assert!(shares.len() > 4, "it was read at once: {shares:?}");
    assert!(shares.is_sorted() && shares[0] > 0.0 && shares.last() == Some(&1.0), "{shares:?}");
    assert!(errors[0] > 0 && errors.last() == Some(&0), "{errors:?}");

    // The counts know the classes: the numbers are exact before the rows were read.
    let failed = filter(&[("from", "1h"), ("code", "5xx")]);
    let counting = reader.count(&failed, Duration::ZERO).await.unwrap();
    let found = counting.counted();
    assert!(!counting.is_done() && found.share < 1.0);
    assert_eq!((found.overview.total.number(), found.error), (ROWS / 10, 0));
    assert_eq!(found.overview.total.rows, [0, 0, 0, 0, ROWS / 10, 0]);
    let end = counted(&reader, &failed).await;
    assert_eq!((end.overview.total.bytes, end.share), (ROWS, 1.0));

    // Buckets of durations are the same in SQL.
    let all = filter(&[("from", "1h"), ("not", "url:/none")]);
    let by_rows = counted(&reader, &all).await.overview;
    assert_eq!(by_rows, reader.overview(all.from, all.to, None).await.unwrap());
}

async fn counts_without_their_rows_are_told(place: Place) {
    let (store, rows) = filled(&place).await;
    let cutoff = NOW - 2 * 24 * 60 * MINUTE;
    let older = rows.iter().filter(|row| row.timestamp.unwrap() < cutoff).count();
    assert!(older > 5);
    // As a sweep leaves it: the counts stay longer than the rows.
    let time = moment(cutoff).replace('T', " ").replace('Z', "");
    place.execute(&format!("DELETE FROM gunicorn_log WHERE timestamp < '{time}'")).await;
    place
        .execute(&format!(
            "INSERT INTO sweep (host, started_at, finished_at, cutoff, gunicorn_removed, \
             request_removed, rejected_removed) VALUES ('web', '{time}', '{time}', '{time}', 1, 0, 0)"
        ))
        .await;
    let reader = store.reader();
    let get = counted(&reader, &filter(&[("method", "GET")])).await;
    assert_eq!((get.gone_before, get.share), (Some(cutoff), 1.0));
    let left = rows.iter().filter(|row| row.timestamp.unwrap() >= cutoff);
    let left = left.filter(|row| row.method.as_deref() == Some("GET")).count() as i64;
    assert_eq!(get.overview.total.number(), left);
    // The counts alone still know all of them; a later range lacks nothing.
    let all = counted(&reader, &filter(&[])).await;
    assert_eq!((all.overview.total.number(), all.gone_before), (500, None));
    let failed = counted(&reader, &filter(&[("code", "5xx")])).await;
    let wanted = rows.iter().filter(|row| row.code == Some(500)).count() as i64;
    assert_eq!((failed.overview.total.number(), failed.gone_before), (wanted, Some(cutoff)));
    let later = counted(&reader, &filter(&[("method", "GET"), ("from", "1d")])).await;
    assert_eq!(later.gone_before, None);
}

async fn suggestions_are_counted(place: Place) {
    let (store, rows) = filled(&place).await;
    let reader = store.reader();
    let put = filter(&[("method", "PUT"), ("not", "code:404")]);
    let rows: Vec<_> = rows
        .iter()
        .filter(|row| row.method.as_deref() == Some("PUT") && row.code != Some(404))
        .collect();
    let found = reader.suggest(&Suggested::ALL, "", &put, 50).await.unwrap();
    assert_eq!(found.from, put.from);
    let of = |field: &str| -> Vec<(&str, i64)> {
        let items = found.items.iter().filter(|it| it.field == field);
        items.map(|it| (it.value.as_str(), it.rows)).collect()
    };
    let count = |is: &dyn Fn(&GunicornLogModel<'_>) -> bool| {
        rows.iter().filter(|row| is(row)).count() as i64
    };
    assert_eq!(of("method"), [("PUT", rows.len() as i64)]);
    assert_eq!(of("server"), [("web", rows.len() as i64)]);
    let codes = of("code");
    assert!(codes.contains(&("5xx", count(&|row| row.code == Some(500)))), "{codes:?}");
    assert!(codes.contains(&("204", count(&|row| row.code == Some(204)))), "{codes:?}");
    assert!(!codes.iter().any(|(value, _)| *value == "404" || *value == "4xx"), "{codes:?}");
    let users = of("user");
    assert!(users.contains(&("O'Brien", count(&|row| row.user_id.as_deref() == Some("O'Brien")))));
    assert!(of("url").contains(&(
        "/a",
        count(&|row| {
            row.url.as_deref().is_some_and(|url| url == "/a" || url.starts_with("/a?"))
        })
    )));
    assert!(!of("address").is_empty() && !of("host").is_empty() && !of("route").is_empty());
    for field in Suggested::ALL.map(|(name, _)| name) {
        assert!(of(field).is_sorted_by(|one, two| one.1 >= two.1 || field == "code"), "{field}");
    }
    // Part of a value, in any case, with what SQL takes for a pattern.
    let part =
        async |part: &str| reader.suggest(&Suggested::ALL, part, &put, 5).await.unwrap().items;
    let found = part("ORDERS/%_").await;
    assert_eq!(
        found.iter().map(|it| (it.field, &*it.value)).collect::<Vec<_>>(),
        [("url", "/orders/%_\\")]
    );
    assert!(part("%_%").await.is_empty());
    let two = reader.suggest(&Suggested::ALL[..1], "", &put, 2).await.unwrap();
    assert_eq!(two.items.len(), 2);
}

async fn the_most_frequent_come_first(place: Place) {
    let (store, rows) = filled(&place).await;
    let reader = store.reader();
    let filter = filter(&[("method", "GET")]);
    let rows: Vec<_> = rows.iter().filter(|row| fits(&filter, row)).collect();
    for (name, by) in By::ALL {
        let top = reader.top(by, &filter, 3).await.unwrap();
        assert_eq!((top.counted, top.from), (rows.len() as i64, filter.from), "{name}");
        assert!(top.items.len() <= 3 && !top.items.is_empty(), "{name}");
        for item in &top.items {
            let same = |row: &&&GunicornLogModel<'_>| {
                let url = row.url.as_deref().and_then(|url| url.split('?').next());
                let value = match by {
                    By::Url | By::Slow => url.map(str::to_owned),
                    By::User => row.user_id.as_deref().map(str::to_owned),
                    By::Address => row.user_ip.map(|it| it.to_string()),
                    By::Agent => row.agent.as_deref().map(str::to_owned),
                    By::Host => row.host.as_deref().map(str::to_owned),
                };
                value == item.value
            };
            let all: Vec<_> = rows.iter().filter(same).collect();
            assert_eq!(item.rows, all.len() as i64, "{name} {:?}", item.value);
            let errors = all.iter().filter(|row| row.code >= Some(400)).count() as i64;
            assert_eq!(
                (item.errors, item.max),
                (errors, all.iter().map(|it| it.duration).max().unwrap())
            );
        }
        let key = |it: &log_ingestd::store::TopItem| {
            if by == By::Slow { it.mean.unwrap() } else { it.rows }
        };
        assert!(top.items.is_sorted_by(|one, two| key(one) >= key(two)), "{name}");
    }
}

async fn rows_are_sorted_by_a_column_and_those_without_a_value_are_last(place: Place) {
    let (store, rows) = filled(&place).await;
    let reader = store.reader();
    let pairs = [("method", "GET"), ("from", "2h")];
    let filter = filter(&pairs);
    let wanted: Vec<_> = rows.iter().filter(|row| fits(&filter, row)).collect();
    for order in [Order::Ascending, Order::Descending] {
        let by = async |by| {
            let found = reader.sorted::<StoredRow>(&filter, by, order, 1000).await.unwrap();
            let found = found.expect("a column of the access log");
            assert_eq!((found.rows.len(), found.from), (wanted.len(), filter.from));
            found.rows
        };
        let in_order = |values: Vec<Option<i64>>| {
            let known = values.iter().take_while(|it| it.is_some()).count();
            assert!(values[known..].iter().all(Option::is_none), "{values:?}");
            let sorted = match order {
                Order::Ascending => values[..known].is_sorted(),
                Order::Descending => values[..known].is_sorted_by(|one, other| one >= other),
            };
            assert!(sorted && known > 0, "{values:?}");
        };
        let rows = by(SortBy::Duration).await;
        in_order(rows.iter().map(|it| it.row.duration).collect());
        in_order(by(SortBy::Bytes).await.iter().map(|it| it.row.response_bytes).collect());
        in_order(by(SortBy::Code).await.iter().map(|it| it.row.code.map(i64::from)).collect());
        in_order(by(SortBy::Time).await.iter().map(|it| Some(it.row.timestamp)).collect());
        for other in [SortBy::Method, SortBy::Url, SortBy::Address, SortBy::User, SortBy::Agent] {
            by(other).await;
        }
        let first = reader.sorted::<StoredRow>(&filter, SortBy::Duration, order, 3).await.unwrap();
        assert_eq!(first.unwrap().rows, rows[..3]);
    }
    let none = reader.sorted::<StoredRequest>(&filter, SortBy::Bytes, Order::Ascending, 9).await;
    assert_eq!(none.unwrap(), None);
    let empty =
        reader.sorted::<StoredRequest>(&filter, SortBy::Duration, Order::Ascending, 9).await;
    assert_eq!(empty.unwrap().unwrap().rows, []);
}

async fn the_story_of_a_row_has_its_neighbours_in_time(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let mut lines = Lines::after(&at);
    // A row each second, of two addresses by turns; every tenth has an id.
    for nth in 0..100 {
        lines = lines.record(&GunicornLogModel {
            timestamp: Some(NOW - (100 - nth) * 1_000_000),
            user_ip: Some(ADDRESSES[nth as usize % 2].parse().unwrap()),
            request_id: (nth % 10 == 0).then(|| Cow::Owned(format!("r-{nth}"))),
            code: Some(200),
            ..Default::default()
        });
    }
    writer.commit(&lines.batch()).await.unwrap();
    let reader = store.reader();
    let all = reader.newest::<StoredRow>(&filter(&[]), 1000).await.unwrap();
    let oldest_first: Vec<_> = all.into_iter().rev().collect();
    for (nth, neighbours) in [(0, 9), (40, 17), (50, 17), (51, 17), (98, 9)] {
        let row = &oldest_first[nth];
        let story = reader.story_of_access(row.id).await.unwrap().unwrap();
        assert_eq!(story.access, std::slice::from_ref(row), "{nth}");
        let address = &story.address;
        assert_eq!(address.len(), neighbours, "{nth}");
        assert!(address.iter().all(|it| it.row.user_ip == row.row.user_ip));
        assert!(address.is_sorted_by(|one, other| one.row.timestamp > other.row.timestamp));
        assert_eq!(address.iter().filter(|it| it.id == row.id).count(), 1, "{nth}");
        assert_eq!((story.requests.len(), story.session.len()), (0, 0));
    }
    assert_eq!(reader.story_of_access(1).await.unwrap(), None);
    assert_eq!(reader.story_of_request(1).await.unwrap(), None);
}

async fn marks_tell_what_happened_to_files_and_when(place: Place) {
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let old = claimed(&mut writer, 1).await.file;
    let other = claimed(&mut writer, 2).await.file;
    let new = claimed(&mut writer, 3).await.file;
    drop(writer);
    let claimed_at = |minutes: Micros| (NOW - minutes * MINUTE) * 1000 + 12;
    // The old file was rotated away, and ended with a loss; a daemon had taken it over before. The new one, in its place,
    // has another format.
    place
        .execute(&format!(
            "UPDATE log_file SET path = '/var/log/access.log.1', lost_bytes = 7, epoch = {}, \
             first_seen_at = '2026-11-20 08:00:00', closed_at = '2026-11-23 08:10:00' WHERE id = {}",
            claimed_at(36),
            old.0
        ))
        .await;
    place
        .execute(&format!(
            "UPDATE log_file SET format = 'json', epoch = {}, first_seen_at = '2026-11-23 08:10:00' \
             WHERE id = {}",
            claimed_at(31),
            new.0
        ))
        .await;
    // Another log, whose name only begins like that of the new one.
    place
        .execute(&format!(
            "UPDATE log_file SET path = '/var/log/access.log.errors', format = 'other', epoch = {}, \
             first_seen_at = '2026-11-20 08:00:00', committed_at = NULL WHERE id = {}",
            claimed_at(3 * 24 * 60),
            other.0
        ))
        .await;
    let reader = store.reader();
    let marks = reader.marks(&filter(&[("from", "1d")]), 60).await.unwrap();
    let seen: Vec<_> = marks.files.into_iter().map(|it| (NOW - it.at, it.path, it.event)).collect();
    let format = Event::FormatChanged { from: "%(r)s".to_owned(), to: "json".to_owned() };
    assert_eq!(
        seen,
        [
            (36 * MINUTE, "/var/log/access.log.1".to_owned(), Event::Resumed),
            (31 * MINUTE, "/var/log/access.log".to_owned(), format),
            (31 * MINUTE, "/var/log/access.log.1".to_owned(), Event::Lost { bytes: 7 }),
        ]
    );
    // Marks are of the range, and of the servers of the filter.
    let number =
        async |pairs: &[(&str, &str)]| reader.marks(&filter(pairs), 60).await.unwrap().files.len();
    assert_eq!(number(&[("from", "33m")]).await, 2);
    assert_eq!(number(&[("from", "1d"), ("server", "web"), ("code", "404")]).await, 3);
    assert_eq!(number(&[("from", "1d"), ("server", "elsewhere")]).await, 0);
    assert_eq!(number(&[("from", "1d"), ("not", "server:web")]).await, 0);
}
