//! More files than file descriptors.

use std::process::Command;
use std::time::{Duration, Instant};

use crate::archives::compress;
use crate::daemon::{Bench, Daemon, PATIENCE, for_each_store, line, lines, rename, urls};
use crate::place::until;

/// The daemon with so many file descriptors.
fn watch_with_descriptors(bench: &Bench, descriptors: u32) -> Daemon {
    let logs = bench.logs();
    let plain = bench.command(&["--watch", logs.to_str().unwrap(), "--poll-interval", "200ms"]);
    let mut limited = Command::new("sh");
    limited
        .arg("-c")
        .arg(format!("ulimit -n {descriptors}; exec \"$0\" \"$@\""))
        .arg(plain.get_program())
        .args(plain.get_args())
        .env_clear()
        .envs(plain.get_envs().filter_map(|(name, value)| Some((name, value?))));
    Daemon::start(limited, bench.aside("stderr"))
}

for_each_store! {
    async fn three_thousand_files_are_followed_with_256_descriptors(bench) {
        let files = 3000;
        for number in 0..files {
            bench.append(&format!("{number}.log"), line(&format!("/first/{number}")));
        }
        let daemon = watch_with_descriptors(&bench, 256);
        let end = Instant::now() + 5 * PATIENCE; // each of them is written down first
        while bench.stored().await < files.into() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        bench.rows(files.into()).await;
        // Some grow, some are renamed first, some are cut short.
        for number in 0..200 {
            let name = format!("{}.log", number * 15);
            if number % 2 == 0 {
                rename(&bench.log(&name), &bench.log(&format!("{name}.1")));
                bench.append(&format!("{name}.1"), line(&format!("/late/{number}")));
            }
            bench.append(&name, line(&format!("/second/{number}")));
        }
        let open = std::fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count();
        assert!(open <= 256, "{open} descriptors");
        let late = (0..200).step_by(2).map(|number| format!("/late/{number}"));
        bench.exactly(urls("first", 0..files).into_iter().chain(urls("second", 0..200)).chain(late)).await;
        assert!(!daemon.said().contains("ERROR") && !daemon.said().contains("WARN"), "{}", daemon.said());
    }

    async fn a_file_that_is_not_held_open_is_followed_through_renames(bench) {
        for number in 0..20 {
            bench.append(&format!("{number:02}.log"), lines(&format!("{number}"), 0..10));
        }
        let daemon = watch_with_descriptors(&bench, 66); // two of them are for logs
        bench.rows(200).await;
        for number in 0..20 {
            let name = format!("{number:02}.log");
            rename(&bench.log(&name), &bench.log(&format!("{name}.1")));
            bench.append(&format!("{name}.1"), lines(&format!("{number}"), 10..20));
            bench.append(&name, lines(&format!("new{number}"), 0..5));
        }
        bench.rows(500).await;
        for number in 0..20 {
            let name = format!("{number:02}.log");
            std::fs::remove_file(bench.log(&format!("{name}.1"))).unwrap();
            bench.append(&name, lines(&format!("new{number}"), 5..10));
        }
        let all = (0..20).flat_map(|number| {
            urls(&format!("{number}"), 0..20).into_iter().chain(urls(&format!("new{number}"), 0..10))
        });
        bench.exactly(all).await;
        assert!(daemon.stop().await.success());
    }

    async fn files_that_are_not_held_open_and_are_compressed_are_finished(bench) {
        for number in 0..20 {
            bench.append(&format!("{number:02}.log"), lines(&format!("{number}"), 0..10));
        }
        let daemon = watch_with_descriptors(&bench, 66);
        bench.rows(200).await;
        daemon.signal("STOP");
        for number in 0..20 {
            let name = format!("{number:02}.log");
            bench.append(&name, lines(&format!("{number}"), 10..50));
            let text = std::fs::read(bench.log(&name)).unwrap();
            std::fs::remove_file(bench.log(&name)).unwrap();
            bench.append(&format!("{name}.1.gz"), compress("gz", &text));
            bench.append(&name, lines(&format!("new{number}"), 0..5));
        }
        daemon.signal("CONT");
        let all = (0..20).flat_map(|number| {
            urls(&format!("{number}"), 0..50).into_iter().chain(urls(&format!("new{number}"), 0..5))
        });
        bench.exactly(all).await;
        let lost = "SELECT CAST(sum(lost_bytes) AS bigint) FROM log_file";
        until("nothing is lost", async || bench.place.number(lost).await == 0).await;
    }
}
