//! What was committed survives: on PostgreSQL, whatever the default of `synchronous_commit` is.

use std::io::Write;
use std::process::Command;

use crate::daemon::{Bench, lines, urls};
use crate::place::Place;
use crate::postgres::Cluster;
use crate::streams::{spooled, watch};

/// Has each statement that changes a row of `log_file` write down the session's setting. A file that is
/// released is not waited for: the name of an owner is for people only.
const NOTE_SETTINGS: &str = "
    CREATE TABLE seen (setting text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        INSERT INTO seen VALUES (current_setting('synchronous_commit'));
        RETURN NEW;
    END $$;
    CREATE TRIGGER note BEFORE INSERT OR UPDATE ON log_file FOR EACH ROW
    WHEN (NEW.owner IS NOT NULL) EXECUTE FUNCTION note();";

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_is_waited_for_whatever_the_default_of_database_or_role_is() {
    for (whose, setting, wanted) in [
        ("DATABASE {}", "off", "on"),
        ("ROLE postgres IN DATABASE {}", "off", "on"),
        ("DATABASE {}", "local", "on"),
        ("DATABASE {}", "remote_write", "on"),
        ("DATABASE {}", "remote_apply", "remote_apply"), // it waits for more
    ] {
        let bench = Bench::new(Place::postgres().await).await;
        let name = bench.place.texts("SELECT CAST(current_database() AS text)").await.remove(0);
        bench.place.execute(NOTE_SETTINGS).await;
        let whose = whose.replace("{}", &name);
        bench.place.execute(&format!("ALTER {whose} SET synchronous_commit = {setting}")).await;
        bench.append("access.log", lines("a", 0..50));
        let daemon = bench.watch();
        bench.rows(50).await;
        assert!(daemon.stop().await.success());
        bench.append("access.log", lines("b", 0..50));
        bench.succeed(&["import", "--jobs", "2", bench.log("access.log").to_str().unwrap()]);
        bench.exactly([urls("a", 0..50), urls("b", 0..50)].concat()).await;
        let seen = bench.place.texts("SELECT DISTINCT setting FROM seen").await;
        assert_eq!(seen, [wanted], "{whose} {setting}");
    }
}

/// What is not waited for is written by a process of the server a moment later. It is stopped here, as by
/// a power cut.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_removed_from_the_spool_is_stored_although_the_server_ends_at_once() {
    let cluster = Cluster::start_with("-c synchronous_commit=off");
    let bench = Bench::new(Place::at(cluster.migrated().await)).await;
    bench.place.execute("CHECKPOINT").await; // the tables are not what this is about
    let writer = "SELECT CAST(pid AS text) FROM pg_stat_activity WHERE backend_type = 'walwriter'";
    let writer = bench.place.texts(writer).await.remove(0);
    assert!(Command::new("kill").args(["-STOP", &writer]).status().unwrap().success());
    let (mut daemon, mut input) = watch(&bench, &["-"], "stderr");
    input.write_all(lines("a", 0..500).as_bytes()).unwrap();
    drop(input);
    assert!(daemon.ends().await.success(), "{}", daemon.said());
    cluster.stop_at_once();
    assert_eq!(spooled(&bench), Vec::<String>::new());
    assert!(daemon.said().contains("removed from the spool"), "{}", daemon.said());
    cluster.start_again();
    bench.exactly(urls("a", 0..500)).await;
}
