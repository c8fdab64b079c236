//! What people ask of the tables, held against the same questions asked of plain values.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use log_ingestd::model::{Filter, GunicornLogModel, Micros, UrlFilter};
use log_ingestd::store::{By, Cursor, Direction, FoundRow, Reader, Store, StoredRow};

use crate::place::{Lines, NOW, Place, claimed};

const PATIENCE: Duration = Duration::from_secs(60);
const MINUTE: Micros = 60_000_000;

for_every_store!(
    each_filter_finds_what_it_says,
    pages_hold_each_row_once_in_both_directions,
    a_page_ends_when_its_time_is_over_and_goes_on_from_there,
    the_overview_is_the_count_of_the_rows,
    the_most_frequent_come_first,
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
            response_bytes: Some(dice.i64(0..5000)),
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
    ] {
        let filter = filter(&pairs);
        let page = reader
            .page::<StoredRow>(&filter, Direction::Older(None), 1000, PATIENCE)
            .await
            .unwrap();
        let mut found: Vec<_> = page.rows.iter().map(|it| (it.row.timestamp, it.id)).collect();
        assert!(found.is_sorted_by(|one, two| one > two), "{pairs:?} are not newest first");
        let mut wanted: Vec<Micros> = rows
            .iter()
            .filter(|row| fits(&filter, row))
            .map(|row| row.timestamp.unwrap())
            .collect();
        wanted.sort_unstable();
        found.sort_unstable();
        let found: Vec<Micros> = found.into_iter().map(|(at, _)| at).collect();
        assert_eq!(found, wanted, "{pairs:?}");
        assert!(pairs.contains(&("server", "elsewhere")) || !wanted.is_empty(), "{pairs:?}");
    }
    let network = filter(&[("address", "2001:db8::/32")]);
    if place.is_postgres() {
        reader.check(&network).unwrap();
        let page = reader
            .page::<StoredRow>(&network, Direction::Older(None), 1000, PATIENCE)
            .await
            .unwrap();
        assert!(!page.rows.is_empty());
    } else {
        let error = reader.check(&network).unwrap_err().to_string();
        assert!(error.starts_with("address '2001:db8::/32' is a network of IPv6"), "{error}");
    }
}

fn cursor(found: &FoundRow<StoredRow>) -> Cursor {
    Cursor { timestamp: found.row.timestamp, id: found.id }
}

/// All pages in one direction, each row by its id.
async fn walk(reader: &Reader, filter: &Filter, mut next: Direction) -> Vec<i64> {
    let mut ids = Vec::new();
    loop {
        let page = reader.page::<StoredRow>(filter, next, 7, PATIENCE).await.unwrap();
        let (Some(first), Some(last)) = (page.rows.first(), page.rows.last()) else { break };
        match next {
            Direction::Older(_) => next = Direction::Older(Some(cursor(last))),
            Direction::Newer(_) => next = Direction::Newer(cursor(first)),
        }
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
