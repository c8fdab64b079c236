//! A server at the other end of a wire: few waits, and connections that end anywhere.

use std::fs;
use std::process::Stdio;

use chrono::Utc;
use fastrand::Rng;
use log_ingestd::model::Checkpoint;
use log_ingestd::store::{Location, Store, StoreError};

use crate::daemon::{Bench, line_at, lines, rename, urls};
use crate::place::{DAY, LINE, Lines, NOW, Place, advanced, claimed, together, until};
use crate::postgres::{Cluster, shared};
use crate::proxy::{Plan, Proxy, Way};
use crate::torture::{asked, seed};

/// Cuts of connections of a daemon and of imports, unless the environment asks for more.
const CUTS: u32 = 40;
const CUTS_OF_IMPORTS: u32 = 10;

/// Bytes that pass before a cut: from an authentication to a few batches.
const BYTES: std::ops::Range<usize> = 0..400_000;

/// A database, and a wire to its server.
pub(crate) async fn place_and_wire() -> (Place, Proxy) {
    let place = Place::at(shared().migrated().await);
    // By TCP, also where the other tests take the socket.
    let url =
        shared().url("postgres", place.url.rsplit('/').next().unwrap().split('?').next().unwrap());
    let wire = Proxy::to(&url);
    (Place::at(url), wire)
}

async fn store_by(place: &Place, wire: &Proxy) -> Store {
    Store::open(Location::parse(&wire.url(&place.url)).unwrap()).await.unwrap()
}

/// Rows of three days, and a reject.
fn days(at: &Checkpoint) -> Lines {
    Lines::after(at).rows(500, NOW).row(NOW + DAY).row(NOW - 40 * DAY).reject(NOW, b"?")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_waits_for_one_answer() {
    let (place, wire) = place_and_wire().await;
    let store = store_by(&place, &wire).await;
    let mut writer = store.writer("web:1").await.unwrap();
    let mut files = Vec::new();
    for inode in 1..=3 {
        files.push(claimed(&mut writer, inode).await);
    }
    for (what, several) in [("small", false), ("days", false), ("days", true), ("small", true)] {
        let count = if several { files.len() } else { 1 };
        // The first time may have to make partitions.
        for round in 0..2 {
            let lines = |(nth, it): (usize, &Checkpoint)| match what {
                "small" => Lines::after(it).rows(nth as u64 + 1, NOW),
                _ => days(it),
            };
            let batch = together(files[..count].iter().enumerate().map(lines).collect());
            wire.count();
            writer.commit(&batch).await.unwrap();
            if round == 1 {
                assert_eq!(wire.round_trips(), 1, "{what}, {count} files");
            }
            files[..count].iter_mut().for_each(|it| *it = advanced(it, &batch));
        }
    }
    wire.count();
    assert_eq!(writer.settled(&[files[0].file]).await.unwrap()[0].offset, files[0].committed);
    writer.keep_alive().await.unwrap();
    assert_eq!(wire.round_trips(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_for_few_answers() {
    let (place, wire) = place_and_wire().await;
    let bench = Bench::untouched(place);
    let url = wire.url(&bench.place.url);
    let arguments = |names: &[String]| -> Vec<String> {
        let paths = names.iter().map(|name| bench.log(name).to_str().unwrap().to_owned());
        ["import", "--database-url", &url].map(str::to_owned).into_iter().chain(paths).collect()
    };
    let import = |names: &[String]| {
        wire.count();
        bench.succeed(&arguments(names).iter().map(String::as_str).collect::<Vec<_>>());
        wire.round_trips()
    };
    let mut names = Vec::new();
    for nth in 0..200 {
        let name = format!("{nth}.log");
        bench.append(&name, lines(&name, 0..100));
        names.push(name);
    }
    let of_many = import(&names);
    bench.append("large.log", lines("large", 0..100_000));
    let of_one = import(&["large.log".to_owned()]);
    println!("{of_many} round trips for 200 files, {of_one} for one of 100,000 lines");
    // Of all connections together, and with the indexes of the day; a batch more takes two more.
    assert!(of_many <= 60 && of_one <= 60);
    let files = names.iter().flat_map(|name| urls(name, 0..100));
    bench.exactly(files.chain(urls("large", 0..100_000))).await;
}

/// Tries to count the least number of waits: a process that is slow to ask waits more often.
const TRIES: u32 = 20;

/// What follows one another: to connect (2), what the session is (1), that another session is another one (1),
/// the file (1; a connection for rows has been made meanwhile), the rows (1).
#[tokio::test(flavor = "multi_thread")]
async fn an_import_waits_six_times_from_its_beginning_to_its_end() {
    let (place, wire) = place_and_wire().await;
    let bench = Bench::untouched(place);
    let url = format!("{}?sslmode=disable", wire.url(&bench.place.url));
    let (now, count) = (Utc::now().timestamp_micros(), 8000); // more than a small file has, and one batch
    bench.append("first.log", line_at("/first", now));
    bench.succeed(&["import", bench.log("first.log").to_str().unwrap()]); // makes the day
    let mut waits = Vec::new();
    for nth in 0..TRIES {
        let name = format!("{nth}.log");
        let lines = (0..count).map(|line| line_at(&format!("/{nth}/{line}?{:0>90}", 0), now));
        bench.append(&name, lines.collect::<String>());
        wire.count_waits();
        bench.succeed(&["import", "--database-url", &url, bench.log(&name).to_str().unwrap()]);
        waits.push(wire.waits());
        assert_eq!(bench.stored().await, i64::from((nth + 1) * count + 1));
        if wire.waits() <= 6 {
            break;
        }
    }
    println!("{waits:?}");
    assert_eq!(waits.iter().min(), Some(&6), "{waits:?}");
}

/// A sweep of another daemon may drop a day that was there when the database was opened.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_leaves_after_the_database_was_opened_is_made_again() {
    let place = Place::postgres().await;
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let mut row = || {
        let batch = Lines::after(&at).row(NOW).batch();
        at = advanced(&at, &batch);
        batch
    };
    writer.commit(&row()).await.unwrap(); // makes the day
    for (leave, rows) in [
        ("DROP TABLE gunicorn_log_20261123", 1),
        ("ALTER TABLE gunicorn_log DETACH PARTITION gunicorn_log_20261123 CONCURRENTLY", 3),
    ] {
        // By a writer, and over a lane: then by the next attempt.
        let other = place.open().await;
        place.execute(leave).await;
        let batch = row();
        let mut lane = other.lane("web:1").await.unwrap();
        let error = lane.commit(&batch, None).await.unwrap_err();
        assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
        let mut lane = other.lane("web:1").await.unwrap();
        lane.commit(&batch, None).await.unwrap();

        let other = place.open().await;
        place.execute(leave).await;
        other.writer("web:1").await.unwrap().commit(&row()).await.unwrap();
        assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, rows, "{leave}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_has_a_code_of_its_own() {
    let cluster = Cluster::start_with("-c log_line_prefix=%e@");
    let place = Place::at(cluster.migrated().await);
    let mut writer = place.open().await.writer("web:1").await.unwrap();
    let (one, two) = (claimed(&mut writer, 1).await, claimed(&mut writer, 2).await);
    let mut late = two.clone();
    late.committed = LINE;
    for batch in [
        Lines::after(&late).row(NOW).batch(),
        together(vec![Lines::after(&one).row(NOW), Lines::after(&late).row(NOW)]),
    ] {
        let error = writer.commit(&batch).await.unwrap_err();
        assert!(
            matches!(&error, StoreError::Conflict { files, .. } if *files == [two.file]),
            "{error:?}"
        );
    }
    let said = fs::read_to_string(cluster.file("../server.log")).unwrap();
    let conflicts = said.matches("LI001@ERROR:  log-ingestd: another offset or owner").count();
    assert_eq!(conflicts, 2, "{said}");
    // Errors of the statements around it keep their kinds.
    let refuse = "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'no such host' USING DETAIL = '1,2'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON gunicorn_log FOR EACH ROW EXECUTE FUNCTION refuse()";
    place.execute(refuse).await;
    let error = writer.commit(&Lines::after(&one).row(NOW).batch()).await.unwrap_err();
    assert!(matches!(error, StoreError::BadRow { .. }), "{error:?}");
    place.execute("DROP TRIGGER refuse ON gunicorn_log; DROP TABLE gunicorn_hour").await;
    let error = writer.commit(&Lines::after(&one).row(NOW).batch()).await.unwrap_err();
    assert!(matches!(error, StoreError::Failed { .. }), "{error:?}");
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn lanes_commit_in_the_order_of_their_turns() {
    let place = Place::postgres().await;
    let store = place.open().await;
    let mut writer = store.writer("web:1").await.unwrap();
    let at = claimed(&mut writer, 1).await;
    let first = Lines::after(&at).rows(3, NOW).batch();
    let at = advanced(&at, &first);
    let second = Lines::after(&at).rows(2, NOW).batch();
    let at = advanced(&at, &second);
    let mut one = store.lane("web:1").await.unwrap();
    let mut two = store.lane("web:1").await.unwrap();
    let (turn, turn_of_second) = (one.turn(), two.turn());
    let sent = tokio::spawn(async move {
        two.commit(&second, Some(turn)).await.unwrap();
        two
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    until("the second waits for the first", async || place.number(waiting).await == 1).await;
    assert_eq!(writer.committed(&[at.file]).await.unwrap()[0].offset, 0);
    one.commit(&first, None).await.unwrap();
    let two = sent.await.unwrap();
    assert_eq!(writer.committed(&[at.file]).await.unwrap()[0].offset, at.committed);
    assert!(one.turn() != turn && two.turn() != turn_of_second, "each batch has another turn");

    // If the first one is lost, the second finds another offset.
    let third = Lines::after(&at).row(NOW).batch();
    let fourth = Lines::after(&advanced(&at, &third)).row(NOW).batch();
    let turn = one.turn();
    let mut four = two;
    let sent = tokio::spawn(async move { four.commit(&fourth, Some(turn)).await });
    until("the fourth waits for the third", async || place.number(waiting).await == 1).await;
    drop(one);
    let error = sent.await.unwrap().unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error:?}");
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, 5);
}

/// Batches that wait for each other at the server need no answer in between.
#[tokio::test(flavor = "multi_thread")]
async fn batches_on_several_lanes_wait_once() {
    let (place, wire) = place_and_wire().await;
    let store = store_by(&place, &wire).await;
    let mut writer = store.writer("web:1").await.unwrap();
    let mut at = claimed(&mut writer, 1).await;
    let mut next = |rows| {
        let batch = Lines::after(&at).rows(rows, NOW).batch();
        at = advanced(&at, &batch);
        batch
    };
    writer.commit(&next(1)).await.unwrap(); // makes the day
    let mut lanes = Vec::new();
    for _ in 0..6 {
        lanes.push(store.lane("web:1").await.unwrap());
    }
    let mut waits = Vec::new();
    while waits.len() < TRIES as usize && waits.last() != Some(&1) {
        wire.count_waits();
        let mut after = None;
        let mut sent = Vec::new();
        for mut lane in lanes {
            let (batch, turn) = (next(100), after.replace(lane.turn()));
            sent.push(tokio::spawn(async move {
                lane.commit(&batch, turn).await.unwrap();
                lane
            }));
        }
        lanes = Vec::new();
        for sent in sent {
            lanes.push(sent.await.unwrap());
        }
        waits.push(wire.waits());
    }
    assert_eq!(waits.last(), Some(&1), "{waits:?}");
    let rows = 1 + 600 * waits.len() as i64;
    assert_eq!(place.number("SELECT count(*) FROM gunicorn_log").await, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_proved_as_the_server_asks_for() {
    let cluster = Cluster::start();
    let place = Place::at(cluster.migrated().await);
    let rules = fs::read_to_string(cluster.file("pg_hba.conf")).unwrap();
    let mut first = String::new();
    for (nth, method) in (1..).zip(["md5", "password", "scram-sha-256"]) {
        first += &format!("host all by_{nth} 127.0.0.1/32 {method}\n");
        let encryption = if method == "md5" { "md5" } else { "scram-sha-256" };
        let role = format!(
            "SET password_encryption = '{encryption}';
             CREATE ROLE by_{nth} SUPERUSER LOGIN PASSWORD 'r\u{ef}ght @/:%41'"
        );
        cluster.administer(&role).await;
    }
    cluster.give("pg_hba.conf", first + &rules);
    cluster.administer("SELECT pg_reload_conf()").await;
    let database = place.url.rsplit_once('/').unwrap().1;
    for nth in 1..=3 {
        let by = |password: &str| {
            let url = cluster.url(&format!("by_{nth}:{password}"), database);
            Location::parse(&url).unwrap()
        };
        let store = Store::open(by("r%C3%AFght%20%40%2F%3A%2541")).await.unwrap();
        let mut writer = store.writer("web:1").await.unwrap();
        let at = claimed(&mut writer, nth).await;
        writer.commit(&Lines::after(&at).row(NOW).batch()).await.unwrap();
        let error = Store::open(by("wrong")).await.unwrap_err();
        assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    }
}

/// The system shows that it would ask a silent server whether it lives.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_gone_without_a_word_is_noticed() {
    let (place, _) = place_and_wire().await;
    let _writer = place.open().await.writer("web:1").await.unwrap();
    let asks = || {
        let connections = fs::read_to_string("/proc/net/tcp").unwrap();
        let server = format!(":{:04X}", shared().port());
        connections.lines().any(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            fields[2].ends_with(&server) && fields[5].starts_with("02:")
        })
    };
    until("the keep-alive timer runs", async || asks()).await;
}

fn cuts(of_every_run: u32) -> u32 {
    asked("CUTS").unwrap_or(of_every_run)
}

fn dice() -> Rng {
    let seed = seed();
    println!("seed {seed}");
    Rng::with_seed(seed)
}

/// A random place of the talk between client and server.
fn cut_somewhere(wire: &Proxy, dice: &mut Rng) {
    match dice.u32(..3) {
        0 => wire.cut_after(Way::ToClient, dice.usize(0..2000)),
        1 => wire.cut_after(Way::ToServer, dice.usize(0..3000)),
        _ => wire.cut_after(Way::ToServer, dice.usize(BYTES)),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_at_random_points_lose_and_double_nothing_of_a_daemon() {
    let (place, wire) = place_and_wire().await;
    let bench = Bench::untouched(place);
    let mut dice = dice();
    let daemon = bench.watch_with(&["--database-url", &wire.url(&bench.place.url)]);
    let mut all = Vec::new();
    for cut in 0..cuts(CUTS) {
        cut_somewhere(&wire, &mut dice);
        for part in 0.. {
            let (name, count) = (format!("{cut}-{part}"), dice.u32(1..1500));
            bench.append(&format!("{}.log", cut % 3), lines(&name, 0..count));
            all.extend(urls(&name, 0..count));
            // Stored, by another connection if this one was cut.
            bench.rows(all.len() as i64).await;
            if wire.has_cut() {
                break;
            }
        }
    }
    bench.exactly(all).await;
    bench.balanced().await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn cuts_at_random_points_lose_and_double_nothing_of_an_import() {
    let (place, wire) = place_and_wire().await;
    let bench = Bench::untouched(place);
    let mut dice = dice();
    let url = wire.url(&bench.place.url);
    let count = 150_000;
    bench.append("large.log", lines("large", 0..count));
    let mut names = vec!["large.log".to_owned()];
    let mut all = urls("large", 0..count);
    for nth in 0..100 {
        let name = format!("{nth}.log");
        bench.append(&name, lines(&name, 0..50));
        all.extend(urls(&name, 0..50));
        names.push(name);
    }
    let paths = names.iter().map(|name| bench.log(name).to_str().unwrap().to_owned());
    let arguments = ["import", "--jobs", "8", "--database-url", &url].map(str::to_owned);
    let arguments: Vec<String> = arguments.into_iter().chain(paths).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (mut done, mut stored, wanted) = (0, 0, cuts(CUTS_OF_IMPORTS));
    while done < wanted {
        let mut import = bench.command(&arguments).stderr(Stdio::null()).spawn().unwrap();
        cut_somewhere(&wire, &mut dice);
        until("the import ends", async || {
            // One that never gets any further would only try to connect.
            if wire.has_cut() && bench.stored().await > stored {
                (done, stored) = (done + 1, bench.stored().await);
                cut_somewhere(&wire, &mut dice);
            }
            import.try_wait().unwrap().is_some()
        })
        .await;
        bench.balanced().await;
        if bench.stored().await == all.len() as i64 && done < wanted {
            bench.succeed(&["forget", "--yes", bench.log("large.log").to_str().unwrap()]);
            stored = bench.stored().await;
        }
    }
    wire.cut_after(Way::ToServer, usize::MAX);
    bench.succeed(&arguments);
    bench.exactly(all).await;
    bench.balanced().await;
}

/// An import has several commits on their way, which the server takes in the order of the file.
#[tokio::test(flavor = "multi_thread")]
async fn cuts_between_pipelined_commits_lose_and_double_nothing() {
    let (place, wire) = place_and_wire().await;
    let bench = Bench::untouched(place);
    let url = wire.url(&bench.place.url);
    let log = bench.log("large.log");
    let log = log.to_str().unwrap();
    let count = 120_000; // six batches; the last one releases the file
    bench.append("large.log", lines("large", 0..count));
    let import = ["import", "--jobs", "8", "--database-url", &url, log];
    let mut reached = 0;
    for (plan, commits) in [(Plan::CutCommit, [0, 2, 5]), (Plan::CutAnswer, [1, 4, 5])] {
        for nth in commits {
            wire.plan_after(nth, plan);
            // It may go on by itself.
            let first = bench.run(&import);
            reached += 1;
            wire.reached(reached).await;
            bench.place.until_alone().await;
            bench.balanced().await;
            let stored = bench.stored().await;
            bench.succeed(&import);
            bench.exactly(urls("large", 0..count)).await;
            println!("{plan:?} at commit {nth}: {stored} lines stored, {}", first.status);
            bench.succeed(&["forget", "--yes", log]);
        }
    }
}

/// Files that are new, known, renamed or gone at once.
const MANY: u32 = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn many_files_take_few_round_trips() {
    let (place, wire) = place_and_wire().await;
    let bench = Bench::untouched(place);
    let url = wire.url(&bench.place.url);
    let names: Vec<String> = (0..MANY).map(|nth| format!("{nth:04}.log")).collect();
    let mut all = Vec::new();
    for name in &names {
        bench.append(name, lines(name, 0..2));
        all.extend(urls(name, 0..2));
    }
    let watch = || {
        wire.count();
        bench.watch_with(&["--database-url", &url, "--retention", "off"])
    };
    let files = async |condition: &str| {
        let count = format!("SELECT count(*) FROM log_file WHERE {condition}");
        bench.place.number(&count).await == i64::from(MANY)
    };
    // Of all connections together, with those of the maintenance and with the commits.
    let few = |what: &str| {
        let trips = wire.round_trips();
        println!("{trips} round trips for {MANY} files that are {what}");
        assert!(trips <= 100, "{trips} round trips for {MANY} files that are {what}");
    };
    let daemon = watch();
    bench.rows(all.len() as i64).await;
    few("new");
    assert!(daemon.stop().await.success());

    let daemon = watch();
    let follows = || daemon.said().matches("following on").count() == MANY as usize;
    until("all are followed", async || follows()).await;
    few("known");

    wire.count();
    for name in &names {
        rename(&bench.log(name), &bench.log(&format!("{name}.1")));
    }
    until("the new names are stored", async || files("path LIKE '%.1'").await).await;
    few("renamed");
    assert!(daemon.stop().await.success());

    for name in &names {
        fs::remove_file(bench.log(&format!("{name}.1"))).unwrap();
    }
    let daemon = watch();
    until("they are closed", async || files("closed_reason = 'gone' AND owner IS NULL").await)
        .await;
    few("gone");
    assert!(daemon.stop().await.success());
    bench.exactly(all).await;
}
