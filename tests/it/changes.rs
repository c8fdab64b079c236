//! What distinguishes a stretch of time: generated incidents, each with one cause, which has to be the first answer.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use log_ingestd::model::changes::{
    Compare, Comparison, Difference, Dimension, Observed, Side, agent_family, url_pattern,
};
use log_ingestd::model::{Codes, Filter, GunicornLogModel, Micros, Network, histogram};
use log_ingestd::store::{Asked, Baseline, Changes, ChangesQuestion, Reader};
use serde_json::Value;

use crate::daemon::Bench;
use crate::page::client::Site;
use crate::place::{Lines, NOW, Place, claimed};

const PATIENCE: Duration = Duration::from_secs(60);
const MINUTE: Micros = 60_000_000;
const FAILED: Codes = Codes { first: 500, last: 599 };
/// The range of an incident, and the stretch in which something is wrong.
const RANGE: (Micros, Micros) = (NOW - 60 * MINUTE, NOW);
const SELECTED: (Micros, Micros) = (NOW - 24 * MINUTE, NOW - 18 * MINUTE);

for_every_store!(
    the_cause_of_an_incident_is_first,
    a_sample_tells_its_error_and_becomes_exact,
    a_flood_stands_out_by_its_number,
    filters_and_baselines_are_what_is_compared,
    the_page_answers_what_changed,
);

/// What an incident does to the requests of its cause.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Harm {
    Slow,
    Fails,
}

/// A generated log with one cause of trouble.
struct Incident {
    rows: Vec<GunicornLogModel<'static>>,
    /// The machine of each row.
    servers: Vec<&'static str>,
    harm: Harm,
    cause: (Dimension, String),
}

/// Method, URL with `{}` for a number, how often, usual microseconds, usual share of failures.
const PAGES: [(&str, &str, u32, f64, f64); 12] = [
    ("GET", "/", 200, 9_000.0, 0.004),
    ("GET", "/products/", 160, 24_000.0, 0.004),
    ("GET", "/products/{}/", 300, 18_000.0, 0.004),
    ("GET", "/products/{}/reviews/{}/", 120, 20_000.0, 0.004),
    ("GET", "/search/", 90, 70_000.0, 0.01),
    ("POST", "/cart/{}/", 90, 15_000.0, 0.004),
    ("POST", "/checkout/{}/", 50, 120_000.0, 0.01),
    ("GET", "/api/orders/{}/", 110, 45_000.0, 0.006),
    ("POST", "/login/", 40, 210_000.0, 0.01),
    ("GET", "/reports/{}.csv", 30, 900_000.0, 0.02),
    ("POST", "/legacy/{}/", 30, 60_000.0, 0.25),
    ("GET", "/health/", 60, 700.0, 0.0),
];
const AGENTS: [&str; 8] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0",
    "Mozilla/5.0 (iPhone) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "python-requests/2.32.3",
    "okhttp/4.12.0",
    "curl/8.5.0",
];
const HOSTS: [&str; 3] = ["shop.example", "api.example", "m.example"];
const SERVERS: [&str; 3] = ["web1", "web2", "web3"];
const CAUSES: [Dimension; 6] = [
    Dimension::Route,
    Dimension::Address,
    Dimension::Network,
    Dimension::Worker,
    Dimension::Agent,
    Dimension::Host,
];

/// Returns an index, small ones more often.
fn skewed(dice: &mut fastrand::Rng, count: usize) -> usize {
    ((dice.f64() * dice.f64()) * count as f64) as usize
}

impl Incident {
    /// Makes `count` rows over an hour, of which those of a random cause are slow or fail in [`SELECTED`].
    fn new(seed: u64, count: usize) -> Incident {
        let mut dice = fastrand::Rng::with_seed(seed);
        let (from, to) = RANGE;
        let weights: u32 = PAGES.iter().map(|page| page.2).sum();
        let has_routes = dice.bool();
        let mut rows = Vec::with_capacity(count);
        let mut servers = Vec::with_capacity(count);
        for nth in 0..count {
            // Evenly over time, with half of them twice as dense around the incident.
            let at = match nth % 2 {
                0 => from + (to - from) * nth as i64 / count as i64,
                _ => SELECTED.0 - 4 * MINUTE + dice.i64(0..14 * MINUTE),
            };
            let mut ticket = dice.u32(0..weights);
            let (method, url, _, usual, failures) = PAGES
                .into_iter()
                .find(|page| match ticket.checked_sub(page.2) {
                    Some(left) => {
                        ticket = left;
                        false
                    }
                    None => true,
                })
                .unwrap();
            let network = skewed(&mut dice, 30);
            let client = skewed(&mut dice, 9);
            // A client has its own agent and user, mostly.
            let own = network * 31 + client * 7;
            let agent = AGENTS[if dice.u8(0..10) == 0 { dice.usize(0..8) } else { own % 8 }];
            let user = own.is_multiple_of(3).then(|| format!("user{}", own % 50));
            let server = SERVERS[dice.usize(0..3)];
            let number = skewed(&mut dice, 40).to_string();
            let spread = (0..4).map(|_| dice.f64()).sum::<f64>() - 2.0;
            let code = match method {
                _ if dice.f64() < failures => 500,
                _ if dice.u8(0..50) == 0 => 404,
                "POST" => 302,
                _ => 200,
            };
            let address: IpAddr = [203, 0, network as u8, client as u8 + 1].into();
            let route = match url {
                "/" => "home/".to_owned(),
                url => url[1..].replace("{}", "<int:pk>"),
            };
            rows.push(GunicornLogModel {
                timestamp: Some(at),
                method: Some(method.into()),
                url: Some(url.replace("{}", &number).into()),
                host: Some(HOSTS[skewed(&mut dice, 3)].into()),
                user_id: user.map(Cow::Owned),
                user_ip: Some(address),
                agent: Some(agent.into()),
                code: Some(code),
                duration: Some((usual * spread.exp()) as i64),
                pid: Some(100 + dice.i32(0..4) + 10 * server.len() as i32),
                route: has_routes.then_some(route.into()),
                ..GunicornLogModel::default()
            });
            servers.push(server);
        }
        let dimension = CAUSES[seed as usize % CAUSES.len()];
        let harm = if dice.bool() { Harm::Slow } else { Harm::Fails };
        let mut incident = Incident { rows, servers, harm, cause: (dimension, String::new()) };
        incident.choose(&mut dice);
        incident.plant(&mut dice);
        incident
    }

    fn value(&self, nth: usize) -> String {
        let row = &self.rows[nth];
        let address = row.user_ip.unwrap();
        match self.cause.0 {
            Dimension::Route => match &row.route {
                Some(route) => route.to_string(),
                None => url_pattern(row.url.as_deref().unwrap()),
            },
            Dimension::Address => address.to_string(),
            Dimension::Network => Network::of(address, 24).to_string(),
            Dimension::Worker => format!("{} on {}", row.pid.unwrap(), self.servers[nth]),
            Dimension::Agent => agent_family(row.agent.as_deref().unwrap()).unwrap().to_owned(),
            _ => row.host.as_deref().unwrap().to_owned(),
        }
    }

    fn is_selected(&self, nth: usize) -> bool {
        (SELECTED.0..SELECTED.1).contains(&self.rows[nth].timestamp.unwrap())
    }

    /// Chooses the cause: that of a random request, of a value with 2 % to 60 % of the requests.
    fn choose(&mut self, dice: &mut fastrand::Rng) {
        let selected: Vec<usize> =
            (0..self.rows.len()).filter(|&nth| self.is_selected(nth)).collect();
        loop {
            let value = self.value(*dice.choice(&selected).unwrap());
            let has = |nth: &&usize| self.value(**nth) == value;
            let rows = selected.iter().filter(has).count();
            if (selected.len() / 50..selected.len() * 3 / 5).contains(&rows) {
                self.cause.1 = value;
                return;
            }
        }
    }

    /// Makes the requests of the cause slow, or lets them fail.
    fn plant(&mut self, dice: &mut fastrand::Rng) {
        let (share, factor) = (0.6 + 0.4 * dice.f64(), 6.0 + 20.0 * dice.f64());
        for nth in 0..self.rows.len() {
            if self.is_selected(nth) && self.value(nth) == self.cause.1 && dice.f64() < share {
                let row = &mut self.rows[nth];
                match self.harm {
                    Harm::Fails => row.code = Some(dice.choice([500, 502, 503]).unwrap()),
                    // At least as long as a query that waits for something.
                    Harm::Slow => {
                        let took = row.duration.unwrap() as f64;
                        row.duration = Some((took * factor).max(400_000.0 * dice.f64()) as i64);
                    }
                }
            }
        }
    }

    fn asked(&self) -> Asked {
        match self.harm {
            Harm::Slow => Asked::Slow(None),
            Harm::Fails => Asked::Codes(FAILED),
        }
    }

    /// Ranks the rows without a store.
    fn ranked(&self) -> Vec<Difference> {
        let compare = match self.harm {
            Harm::Fails => Compare::Codes(FAILED),
            Harm::Slow => {
                let mut counts = vec![0; histogram::BUCKETS];
                for nth in (0..self.rows.len()).filter(|&nth| !self.is_selected(nth)) {
                    counts[usize::from(histogram::bucket(self.rows[nth].duration.unwrap()))] += 1;
                }
                let usual = histogram::quantile(&counts, 0.95).unwrap();
                Compare::Slow(histogram::first(usize::from(histogram::bucket(usual)) + 1))
            }
        };
        let mut comparison = Comparison::new(compare);
        for (nth, row) in self.rows.iter().enumerate() {
            let side = if self.is_selected(nth) { Side::Selection } else { Side::Baseline };
            let text = |it: &Option<Cow<'static, str>>| it.clone();
            comparison.add(
                side,
                &Observed {
                    id: nth as i64,
                    code: row.code.map(i64::from),
                    duration: row.duration,
                    pid: row.pid.map(i64::from),
                    route: text(&row.route),
                    url: text(&row.url),
                    method: text(&row.method),
                    address: row.user_ip,
                    user: text(&row.user_id),
                    agent: text(&row.agent),
                    host: text(&row.host),
                    server: Some(self.servers[nth].into()),
                },
            );
        }
        comparison.ranked(20, [1.0; 2])
    }

    /// Stores the rows, those of each machine as its own file.
    async fn store(&self, place: &Place) -> Reader {
        let store = place.open().await;
        let mut writer = store.writer("web:1").await.unwrap();
        for (inode, server) in (1..).zip(SERVERS) {
            let at = claimed(&mut writer, inode).await;
            let mut lines = Lines::after(&at);
            for (row, _) in self.rows.iter().zip(&self.servers).filter(|(_, it)| **it == server) {
                lines = lines.record(row);
            }
            writer.commit(&lines.batch()).await.unwrap();
            let rename = format!("UPDATE log_file SET host = '{server}' WHERE id = {}", at.file.0);
            place.execute(&rename).await;
        }
        store.reader()
    }
}

fn first_of(found: &[Difference]) -> Option<(Dimension, String)> {
    found.first().map(|it| (it.dimension, it.value.clone()))
}

fn question(asked: Asked) -> ChangesQuestion {
    let filter = Filter { from: RANGE.0, to: RANGE.1, ..Filter::default() };
    ChangesQuestion { filter, selected: SELECTED, baseline: Baseline::Rest, asked }
}

async fn exact(reader: &Reader, question: &ChangesQuestion) -> Changes {
    let mut changes = reader.changes(question, PATIENCE).await.unwrap();
    while !changes.is_done() {
        changes.go_on(PATIENCE).await.unwrap();
    }
    assert_eq!(changes.shares(), [1.0, 1.0]);
    changes
}

fn ranked(changes: &Changes) -> Vec<Difference> {
    changes.comparison().ranked(20, changes.shares())
}

/// A hundred incidents. How many rows a first answer reads of millions is about what each of them has.
#[test]
fn of_a_hundred_incidents_the_cause_is_first_in_95() {
    let mut wrong = Vec::new();
    for seed in 0..100 {
        let incident = Incident::new(seed, 6_000);
        let found = incident.ranked();
        if first_of(&found).as_ref() != Some(&incident.cause) {
            let place = found
                .iter()
                .position(|it| (it.dimension, &it.value) == (incident.cause.0, &incident.cause.1));
            wrong.push(format!(
                "{seed}: {:?} {:?} is at {place:?} after {:?}",
                incident.harm,
                incident.cause,
                found.first()
            ));
        }
    }
    assert!(wrong.len() <= 5, "{} of 100 wrong:\n{}", wrong.len(), wrong.join("\n"));
}

async fn the_cause_of_an_incident_is_first(place: Place) {
    // One for each kind of cause.
    for seed in 200..206 {
        let incident = Incident::new(seed, 5_000);
        let reader = incident.store(&place).await;
        let found = ranked(&exact(&reader, &question(incident.asked())).await);
        let first = &found[0];
        assert_eq!(
            first_of(&found),
            Some(incident.cause.clone()),
            "{:?} {found:#?}",
            incident.harm
        );
        // The same rows without a store have the same counts.
        let expected = &incident.ranked()[0];
        assert_eq!((first.here.rows, first.there.rows), (expected.here.rows, expected.there.rows));
        assert_eq!((first.here.bad, first.there.bad), (expected.here.bad, expected.there.bad));
        assert_eq!((first.here.error, first.there.error), (0.0, 0.0));
        assert!(first.explains.unwrap() > 0.5, "{first:?}");
        // The example is a bad row of the selection.
        let column = if incident.harm == Harm::Fails { "code >= 500" } else { "duration > 1" };
        let sql =
            format!("SELECT count(*) FROM gunicorn_log WHERE id = {} AND {column}", first.example);
        assert_eq!(place.number(&sql).await, 1);
        place.execute("DELETE FROM gunicorn_log").await;
        for table in [
            "gunicorn_minute",
            "gunicorn_hour",
            "gunicorn_route_hour",
            "gunicorn_route_day",
            "log_file",
        ] {
            place.execute(&format!("DELETE FROM {table}")).await;
        }
    }
}

async fn a_sample_tells_its_error_and_becomes_exact(place: Place) {
    let incident = Incident::new(7, 12_000);
    let reader = incident.store(&place).await;
    let asked = question(incident.asked());
    let whole = ranked(&exact(&reader, &asked).await);
    // Without time, one statement is read.
    let mut changes = reader.changes(&asked, Duration::ZERO).await.unwrap();
    let mut steps = 0;
    let mut right = 0;
    let mut compared = 0;
    while !changes.is_done() {
        let [here, there] = changes.shares();
        assert!(here > 0.0 && there > 0.0 && here.min(there) < 1.0, "{here} {there}");
        for it in &ranked(&changes) {
            let Some(exact) =
                whole.iter().find(|one| (one.dimension, &one.value) == (it.dimension, &it.value))
            else {
                continue;
            };
            compared += 1;
            right += usize::from((it.here.share - exact.here.share).abs() <= it.here.error + 1e-9);
        }
        changes.go_on(Duration::ZERO).await.unwrap();
        steps += 1;
        assert!(steps < 1000);
    }
    assert!(steps > 0, "all was read at once");
    assert!(right * 10 >= compared * 8, "{right} of {compared} are within their errors");
    assert_eq!(ranked(&changes), whole);
}

async fn a_flood_stands_out_by_its_number(place: Place) {
    let mut incident = Incident::new(3, 4_000);
    let flood: Vec<_> = (0..400)
        .map(|nth| GunicornLogModel {
            timestamp: Some(SELECTED.0 + nth * MINUTE / 100),
            user_ip: Some("198.51.100.7".parse().unwrap()),
            ..incident.rows[nth as usize].clone()
        })
        .collect();
    incident.rows.extend(flood);
    incident.servers.resize(incident.rows.len(), "web2");
    let reader = incident.store(&place).await;
    let found = ranked(&exact(&reader, &question(Asked::Requests)).await);
    assert_eq!(first_of(&found), Some((Dimension::Address, "198.51.100.7".into())), "{found:#?}");
    // The network has no other address, so it is not a difference of its own.
    assert!(found[0].same.contains(&(Dimension::Network, "198.51.100.0/24".into())), "{found:#?}");
    assert_eq!((found[0].here.rows, found[0].there.rows), (400, 0));
}

async fn filters_and_baselines_are_what_is_compared(place: Place) {
    let incident = Incident::new(3, 4_000);
    let reader = incident.store(&place).await;
    let (from, to) = SELECTED;
    let number = async |more: &str| {
        let at = |time: Micros| log_ingestd::model::moment(time).replace('T', " ").replace('Z', "");
        let within = format!("timestamp >= '{}' AND timestamp < '{}'", at(from), at(to));
        let within = if place.is_postgres() {
            within.replace("' ", "+00' ") + "::timestamptz"
        } else {
            within
        };
        place.number(&format!("SELECT count(*) FROM gunicorn_log WHERE {within} AND {more}")).await
    };
    let mut asked = question(Asked::Codes(FAILED));
    for pairs in [&[][..], &[("method", "POST")], &[("not", "server:web1"), ("agent", "chrome")]] {
        for (name, value) in pairs {
            asked.filter.set(name, value, NOW).unwrap();
        }
        let changes = exact(&reader, &asked).await;
        let total = changes.comparison().total(Side::Selection, 1.0);
        let conditions: Vec<&str> = pairs
            .iter()
            .map(|(_, value)| match *value {
                "POST" => "method = 'POST'",
                "chrome" => "lower(agent) LIKE '%chrome%'",
                _ => "log_file NOT IN (SELECT id FROM log_file WHERE host = 'web1')",
            })
            .collect();
        let more = if pairs.is_empty() { "1 = 1".to_owned() } else { conditions.join(" AND ") };
        if pairs.len() < 2 {
            assert_eq!(total.rows, number(&more).await, "{pairs:?}");
            assert_eq!(total.bad, number(&format!("{more} AND code >= 500")).await, "{pairs:?}");
        }
        assert!(total.rows > 0);
    }
    // The hour before has no rows.
    let before = ChangesQuestion { baseline: Baseline::Before, ..question(Asked::Slow(None)) };
    assert_eq!(before.baseline(), [(from - 60 * MINUTE, to - 60 * MINUTE)]);
    let changes = exact(&reader, &before).await;
    assert!(ranked(&changes).is_empty());
    assert!(changes.comparison().total(Side::Selection, 1.0).rows > 0);
    // The stretch before, of the range that ends here.
    let filter = Filter { from, ..before.filter.clone() };
    let whole = ChangesQuestion { filter, selected: (from, NOW), ..before };
    assert_eq!(whole.baseline(), [(from - (NOW - from), from)]);
    assert!(!ranked(&exact(&reader, &whole).await).is_empty());
    let rest = ChangesQuestion { baseline: Baseline::Rest, ..whole };
    assert!(rest.baseline().is_empty());
    // A bound that is given is the bound.
    let slow = exact(&reader, &question(Asked::Slow(Some(1)))).await;
    let total = slow.comparison().total(Side::Baseline, 1.0);
    assert_eq!((slow.bound(), total.bad), (Some(1), total.rows));
}

fn json(site: &Site, path: &str) -> Value {
    let answer = site.get(path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    serde_json::from_str(&answer.body).unwrap()
}

async fn the_page_answers_what_changed(place: Place) {
    let bench = Bench::new(place).await;
    let end = chrono::Utc::now() - chrono::TimeDelta::seconds(60);
    let mut text = String::new();
    for nth in 0..600_i64 {
        let at = end - chrono::TimeDelta::seconds(nth * 4);
        // For five minutes, what one address asks for fails.
        let is_bad = (300..600).contains(&(nth * 4)) && nth % 4 == 0;
        let (address, code) = (
            if nth % 4 == 0 { "203.0.113.7" } else { "203.0.113.8" },
            if is_bad { 503 } else { 200 },
        );
        text += &format!(
            "{address} - - [{}] \"GET /a/{} HTTP/1.1\" {code} 7 \"-\" \"<b>x</b>/1 y\" 1500\n",
            at.format("%d/%b/%Y:%H:%M:%S +0000"),
            nth % 3
        );
    }
    bench.append("access.log", text);
    let site = Site::open(&bench, &["--format", "gunicorn-microseconds"]).await;
    bench.rows(600).await;
    let ago = |seconds| {
        (end - chrono::TimeDelta::seconds(seconds)).format("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    let range = format!("from={}&to={}", ago(2400), ago(-1));
    let selected = format!("{range}&selected_from={}&selected_to={}", ago(599), ago(299));
    let found = json(&site, &format!("/api/changes?{selected}&compare=5xx"));
    assert_eq!((&found["share"], &found["gone_before"]), (&1.0.into(), &Value::Null), "{found}");
    let first = &found["items"][0];
    assert_eq!((&first["dimension"], &first["value"]), (&"address".into(), &"203.0.113.7".into()));
    assert_eq!(first["filter"], serde_json::json!(["address", "203.0.113.7"]));
    assert_eq!(
        (&first["here"]["share"], &first["there"]["share"]),
        (&1.0.into(), &0.0.into()),
        "{first}"
    );
    let row = json(&site, &format!("/api/log/{}", first["row"].as_str().unwrap()));
    assert_eq!((&row["code"], &row["user_ip"]), (&503.into(), &"203.0.113.7".into()));
    let rows = |side: &str| found[side]["rows"].as_i64().unwrap();
    assert_eq!(rows("selection") + rows("baseline"), 600);
    assert_eq!((rows("selection"), &found["selection"]["bad"]), (75, &19.into()), "{found}");

    let answer = site.get(&format!("/api/changes/progress?{selected}&compare=5xx"));
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let last: Value = serde_json::from_str(answer.body.lines().last().unwrap()).unwrap();
    assert_eq!(last, found);
    let slow = json(&site, &format!("/api/changes?{selected}&compare=slow"));
    assert!(slow["bound"].as_i64().unwrap() > 1500, "{slow}");
    assert_eq!(
        json(&site, &format!("/api/changes?{selected}&compare=slow&bound=1500"))["bound"],
        1500
    );
    let before = json(&site, &format!("/api/changes?{selected}&baseline=before"));
    assert_eq!(
        (&before["baseline"]["rows"], &before["items"]),
        (&0.into(), &Value::Array(Vec::new()))
    );

    for (path, said) in [
        ("from=1h", "selected_from '' is not a moment"),
        ("from=1h&selected_from=soon&selected_to=1m", "selected_from 'soon' is not a moment"),
        ("from=1h&selected_from=1m&selected_to=2m", "invalid selection from"),
        ("from=1h&to=10m&selected_from=5m&selected_to=2m", "invalid selection from"),
        (
            "from=1h&to=10m&selected_from=2h&selected_to=1m",
            "invalid baseline 'rest': the selection is all of the range",
        ),
        (
            "from=1h&selected_from=5m&selected_to=2m&baseline=x",
            "invalid baseline 'x': expected rest or before",
        ),
        (
            "from=1h&selected_from=5m&selected_to=2m&compare=x",
            "invalid compare 'x': expected requests, 4xx, 5xx or slow",
        ),
        (
            "from=1h&selected_from=5m&selected_to=2m&bound=0",
            "invalid bound '0': expected microseconds",
        ),
        ("from=1h&selected_from=5m&selected_to=2m&code=4x", "code '4x' is not a code"),
    ] {
        for endpoint in ["changes", "changes/progress"] {
            let answer = site.get(&format!("/api/{endpoint}?{path}"));
            assert_eq!(answer.status, 400, "{path}: {}", answer.body);
            assert!(answer.body.contains(said), "{path}: {}", answer.body);
        }
    }
}
