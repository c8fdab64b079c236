//! Watched paths that lead through links, and what events say of them. Where the poll interval is an
//! hour, nothing is found without events.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::Path;

use crate::daemon::{Bench, Daemon, for_each_store, lines, rename, urls};
use crate::place::{Place, until};

/// Long enough that no look at an interval comes to help.
const NEVER: &str = "1h";

/// Often enough that tests need not wait.
const OFTEN: &str = "100ms";

/// A user who is not the one that runs the tests.
const STRANGER: u32 = 65534;

impl Bench {
    /// A daemon that watches these paths below the test's directory.
    fn watch_places(&self, places: &[&str], interval: &str) -> Daemon {
        let places: Vec<_> = places.iter().map(|place| self.aside(place)).collect();
        let mut arguments = vec!["--poll-interval", interval];
        for place in &places {
            arguments.extend(["--watch", place.to_str().unwrap()]);
        }
        Daemon::start(self.command(&arguments), self.aside("stderr"))
    }

    /// Appends to a file below the test's directory, and makes its directories.
    fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.aside(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    /// Makes or turns a link, as deployments do: there is not a moment without it.
    fn turn(&self, link: &str, target: impl AsRef<Path>) {
        let new = self.aside("new-link");
        symlink(target, &new).unwrap();
        rename(&new, &self.aside(link));
    }

    async fn log_files(&self) -> i64 {
        self.place.number("SELECT count(*) FROM log_file").await
    }
}

/// A deployment that swaps `app/current`, while `place` is watched.
async fn deploy(bench: Bench, place: &str) {
    bench.put("app/releases/1/log/access.log", lines("a", 0..10));
    bench.turn("app/current", "releases/1");
    let daemon = bench.watch_places(&[place], NEVER);
    bench.rows(10).await;
    bench.put("app/current/log/access.log", lines("a", 10..20));
    bench.rows(20).await;
    bench.put("app/releases/2/log/access.log", lines("b", 0..10));
    bench.turn("app/current", "releases/2");
    bench.rows(30).await;
    // The new release writes, and the last workers of the old one.
    bench.put("app/current/log/access.log", lines("b", 10..20));
    bench.put("app/releases/1/log/access.log", lines("late", 0..10));
    let mut all = [urls("a", 0..20), urls("b", 0..20), urls("late", 0..10)].concat();
    bench.exactly(all.clone()).await;
    // Not in one step: for a moment there is no such place.
    fs::remove_file(bench.aside("app/current")).unwrap();
    bench.put("app/releases/3/log/access.log", lines("c", 0..10));
    symlink("releases/3", bench.aside("app/current")).unwrap();
    all.extend(urls("c", 0..10));
    bench.exactly(all.clone()).await;
    // Back to the release before.
    bench.turn("app/current", "releases/2");
    bench.put("app/current/log/access.log", lines("b", 20..30));
    all.extend(urls("b", 20..30));
    bench.exactly(all).await;
    assert_eq!(bench.log_files().await, 3);
    assert!(daemon.stop().await.success());
    bench.verified(&[]);
}

for_each_store! {
    async fn the_current_link_of_a_deployment_is_swapped(bench) {
        deploy(bench, "app/current/log").await;
    }

    async fn linked_directories_below_a_pattern_are_followed_once(bench) {
        bench.put("sites/a/access.log", lines("a", 0..10));
        bench.put("elsewhere/log/access.log", lines("b", 0..10));
        bench.put("elsewhere/log/deep/access.log", lines("c", 0..10));
        let (sites, elsewhere) = (bench.aside("sites"), bench.aside("elsewhere"));
        symlink("../elsewhere/log", sites.join("b")).unwrap();
        symlink(elsewhere.join("log"), sites.join("again")).unwrap();
        symlink("a", sites.join("same")).unwrap();
        // In circles.
        symlink("..", sites.join("a/up")).unwrap();
        symlink(&sites, elsewhere.join("log/back")).unwrap();
        symlink("itself", sites.join("itself")).unwrap();
        let daemon = bench.watch_places(&["sites/**/*.log", "sites/*/access.log"], OFTEN);
        bench.rows(30).await;
        bench.put("elsewhere/log/access.log", lines("b", 10..20));
        bench.put("sites/same/access.log", lines("a", 10..20));
        bench.exactly([urls("a", 0..20), urls("b", 0..20), urls("c", 0..10)].concat()).await;
        assert_eq!(bench.log_files().await, 3);
        // A link that is made later, and one that leads elsewhere then.
        bench.put("elsewhere/other/access.log", lines("d", 0..10));
        bench.turn("sites/later", elsewhere.join("other"));
        bench.rows(60).await;
        bench.put("elsewhere/third/access.log", lines("e", 0..10));
        bench.turn("sites/later", elsewhere.join("third"));
        bench.rows(70).await;
        assert_eq!(bench.log_files().await, 5);
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
    }

    /// A plain directory has had events always; here are all the others.
    async fn lines_are_seen_by_events_through_links_and_below_patterns(bench) {
        bench.put("data/a.log", lines("a", 0..10));
        bench.put("data/noise", "x");
        bench.put("pods/one/web/0.log", lines("b", 0..10));
        fs::create_dir(bench.aside("links")).unwrap();
        symlink("../data/a.log", bench.aside("links/a.log")).unwrap();
        let places = ["links", "pods/*/*/*.log", "tree/**/*.log", "links/*.none"];
        fs::create_dir(bench.aside("tree")).unwrap();
        let daemon = bench.watch_places(&places, NEVER);
        bench.rows(20).await;
        let mut all = [urls("a", 0..10), urls("b", 0..10)].concat();
        for round in 0..3 {
            let numbers = 10 * (round + 1)..10 * (round + 2);
            bench.put("data/noise", "x");
            bench.put("data/a.log", lines("a", numbers.clone()));
            all.extend(urls("a", numbers.clone()));
            bench.exactly(all.clone()).await;
            bench.put("pods/one/web/0.log", lines("b", numbers.clone()));
            all.extend(urls("b", numbers));
            bench.exactly(all.clone()).await;
        }
        // The file of a link is rotated.
        rename(&bench.aside("data/a.log"), &bench.aside("data/a.log.1"));
        bench.put("data/a.log", lines("c", 0..10));
        all.extend(urls("c", 0..10));
        bench.exactly(all.clone()).await;
        // New directories, level by level and all at once; a directory that is moved there.
        for (nth, path) in ["pods/two/web/0.log", "pods/two/db/0.log", "tree/x/y/z/1.log"].iter().enumerate() {
            let name = format!("new{nth}");
            bench.put(path, lines(&name, 0..10));
            all.extend(urls(&name, 0..10));
            bench.exactly(all.clone()).await;
            bench.put(path, lines(&name, 10..20));
            all.extend(urls(&name, 10..20));
            bench.exactly(all.clone()).await;
        }
        bench.put("moved/w/0.log", lines("moved", 0..10));
        rename(&bench.aside("moved"), &bench.aside("pods/three"));
        all.extend(urls("moved", 0..10));
        bench.exactly(all.clone()).await;
        // Removed and made again.
        fs::remove_dir_all(bench.aside("pods/two")).unwrap();
        bench.put("pods/two/web/0.log", lines("again", 0..10));
        all.extend(urls("again", 0..10));
        bench.exactly(all.clone()).await;
        bench.put("pods/two/web/0.log", lines("again", 10..20));
        all.extend(urls("again", 10..20));
        bench.exactly(all).await;
        assert!(daemon.stop().await.success());
    }

    async fn a_star_does_not_lead_into_directories_below(bench) {
        for (path, prefix) in [("s/a.log", "a"), ("s/x/b.log", "b"), ("s/x/y/c.log", "c"), ("t/u/v/d.log", "d")] {
            bench.put(path, lines(prefix, 0..10));
        }
        let daemon = bench.watch_places(&["s/*/*.log"], OFTEN);
        bench.exactly(urls("b", 0..10)).await;
        assert!(daemon.stop().await.success());
        let daemon = bench.watch_places(&["s/**/*.log", "{s/x,t/u/*}/*.log"], OFTEN);
        bench.exactly(["a", "b", "c", "d"].map(|prefix| urls(prefix, 0..10)).concat()).await;
        assert!(daemon.stop().await.success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_on_the_way_is_resolved_again_whatever_is_watched_below_it() {
    for place in ["app/current/log/access.log", "app/current/log/*.log", "app/current/*/access.log"]
    {
        deploy(Bench::new(Place::sqlite().await).await, place).await;
    }
}

/// A user who may make a link in a watched place must not be able to have the daemon read a directory
/// that is closed to that user.
#[tokio::test(flavor = "multi_thread")]
async fn a_strangers_link_to_a_directory_elsewhere_is_not_followed_and_told_once() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("not shown: only root may give a link to another user");
        return;
    }
    let bench = Bench::new(Place::sqlite().await).await;
    bench.put("sites/a/access.log", lines("a", 0..10));
    bench.put("elsewhere/roots/access.log", lines("private", 0..10));
    bench.put("elsewhere/strangers/access.log", lines("b", 0..10));
    let strangers = bench.aside("elsewhere/strangers");
    lchown(&strangers, Some(STRANGER), Some(STRANGER)).unwrap();
    for (name, target) in [
        ("stranger", bench.aside("elsewhere/roots")),
        ("own", strangers),
        ("within", bench.aside("sites/a")),
    ] {
        let link = bench.aside("sites").join(name);
        symlink(target, &link).unwrap();
        lchown(&link, Some(STRANGER), Some(STRANGER)).unwrap();
    }
    let mut daemon = bench.watch_places(&["sites/*/*.log"], OFTEN);
    let says = "a link to a file or directory elsewhere";
    daemon.says(says).await;
    bench.rows(20).await;
    bench.put("sites/within/access.log", lines("a", 10..20));
    bench.exactly([urls("a", 0..20), urls("b", 0..10)].concat()).await;
    assert_eq!(daemon.said().matches(says).count(), 1, "{}", daemon.said());
    assert!(daemon.said().contains("sites/stranger"), "{}", daemon.said());
    let listed = "SELECT path FROM ignored_file WHERE reason = 'foreign_link'";
    let link = bench.aside("sites/stranger").display().to_string();
    until("it is listed", async || bench.place.texts(listed).await == [link.clone()]).await;
    // Root makes it: then it is meant.
    lchown(bench.aside("sites/stranger"), Some(0), Some(0)).unwrap();
    until("it is followed", async || bench.stored().await == 40).await;
    until("it has left the list", async || bench.place.texts(listed).await.is_empty()).await;
    assert!(daemon.stop().await.success());
}
