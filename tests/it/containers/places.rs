//! Where runtimes put their files: rotation by kubelet and Docker, and links.

use std::fs;
use std::os::unix::fs::symlink;

use crate::archives::compress;
use crate::daemon::{Bench, Daemon, for_each_store, lines, rename, urls};
use crate::place::until;

use super::START;
use super::runtime::Runtime;

impl Bench {
    /// A daemon that watches these patterns below the test's directory.
    fn watch_below(&self, patterns: &[&str]) -> Daemon {
        let mut arguments = vec!["--poll-interval".to_owned(), "100ms".to_owned()];
        for pattern in patterns {
            arguments.push("--watch".to_owned());
            arguments.push(self.aside(pattern).to_str().unwrap().to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Daemon::start(self.command(&arguments), self.aside("stderr"))
    }

    fn write(&self, path: &str, bytes: impl AsRef<[u8]>) {
        use std::io::Write;
        let path = self.aside(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    fn squeeze(&self, path: &str) {
        let text = fs::read(self.aside(path)).unwrap();
        fs::write(self.aside(&format!("{path}.gz")), compress("gz", &text)).unwrap();
        fs::remove_file(self.aside(path)).unwrap();
    }

    async fn files(&self) -> i64 {
        self.place.number("SELECT count(*) FROM log_file").await
    }
}

const POD: &str = "pods/default_web-1_0f3a/web";

for_each_store! {
    /// `0.log` gets a time after its name, then a new `0.log` comes; the older ones are compressed.
    async fn rotated_by_kubelet_and_compressed_each_line_is_stored_once(bench) {
        let cri = |prefix: &str, numbers| Runtime::Cri.lines("stdout", &lines(prefix, numbers));
        bench.write(&format!("{POD}/0.log"), Runtime::Cri.lines("stderr", START));
        bench.write(&format!("{POD}/0.log"), cri("a", 0..50));
        let daemon = bench.watch_below(&["pods/*/*/*.log*"]);
        bench.rows(50).await;
        daemon.signal("STOP");
        bench.write(&format!("{POD}/0.log"), cri("a", 50..80));
        rename(&bench.aside(&format!("{POD}/0.log")), &bench.aside(&format!("{POD}/0.log.20261124-101112")));
        bench.write(&format!("{POD}/0.log"), cri("b", 0..30));
        daemon.signal("CONT");
        bench.rows(110).await;
        assert!(daemon.stop().await.success());
        // Both while no daemon runs: rotated again, and the older one compressed.
        bench.squeeze(&format!("{POD}/0.log.20261124-101112"));
        bench.write(&format!("{POD}/0.log"), cri("b", 30..60));
        rename(&bench.aside(&format!("{POD}/0.log")), &bench.aside(&format!("{POD}/0.log.20261124-111213")));
        bench.squeeze(&format!("{POD}/0.log.20261124-111213"));
        bench.write(&format!("{POD}/0.log"), cri("c", 0..10));
        // A restarted container has a file of its own.
        bench.write(&format!("{POD}/1.log"), cri("d", 0..10));
        let daemon = bench.watch_below(&["pods/*/*/*.log*"]);
        let all = [urls("a", 0..80), urls("b", 0..60), urls("c", 0..10), urls("d", 0..10)].concat();
        bench.exactly(all).await;
        until("each file is known once", async || bench.files().await == 4).await;
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
    }

    /// A pattern that the rotated file does not match: it is held open, and read to its end.
    async fn rotated_by_kubelet_out_of_the_pattern_it_is_read_to_its_end(bench) {
        let cri = |prefix: &str, numbers| Runtime::Cri.lines("stdout", &lines(prefix, numbers));
        bench.write(&format!("{POD}/0.log"), cri("a", 0..50));
        let daemon = bench.watch_below(&["pods/*/*/*.log"]);
        bench.rows(50).await;
        daemon.signal("STOP");
        bench.write(&format!("{POD}/0.log"), cri("a", 50..80));
        rename(&bench.aside(&format!("{POD}/0.log")), &bench.aside(&format!("{POD}/0.log.20261124-101112")));
        bench.write(&format!("{POD}/0.log"), cri("b", 0..30));
        daemon.signal("CONT");
        bench.exactly([urls("a", 0..80), urls("b", 0..30)].concat()).await;
        assert!(daemon.stop().await.success());
    }

    /// `/var/log/containers` has links to files of `/var/log/pods`, which may be links themselves.
    async fn linked_files_are_read_once_and_by_every_name(bench) {
        let docker = |prefix: &str, numbers| Runtime::Docker.lines("stdout", &lines(prefix, numbers));
        bench.write("docker/ab12/ab12-json.log", docker("a", 0..20));
        fs::create_dir_all(bench.aside(POD)).unwrap();
        fs::create_dir_all(bench.aside("containers")).unwrap();
        symlink(bench.aside("docker/ab12/ab12-json.log"), bench.aside(&format!("{POD}/0.log"))).unwrap();
        symlink(bench.aside(&format!("{POD}/0.log")), bench.aside("containers/web-1_default_web-ab12.log")).unwrap();
        let watched = ["containers/*.log", "pods/*/*/*.log", "containers"];
        let daemon = bench.watch_below(&watched);
        bench.exactly(urls("a", 0..20)).await;
        bench.write("docker/ab12/ab12-json.log", docker("a", 20..40));
        bench.exactly(urls("a", 0..40)).await;
        assert_eq!(bench.files().await, 1);
        // Docker rotates the file that the links lead to: they lead to the new file.
        daemon.signal("STOP");
        bench.write("docker/ab12/ab12-json.log", docker("a", 40..60));
        let (log, old) = (bench.aside("docker/ab12/ab12-json.log"), bench.aside("docker/ab12/ab12-json.log.1"));
        rename(&log, &old);
        bench.write("docker/ab12/ab12-json.log", docker("b", 0..20));
        daemon.signal("CONT");
        bench.exactly([urls("a", 0..60), urls("b", 0..20)].concat()).await;
        assert_eq!(bench.files().await, 2);
        assert!(daemon.stop().await.success());
        // A link turned to another file, as a restarted container does it.
        fs::remove_file(bench.aside("containers/web-1_default_web-ab12.log")).unwrap();
        bench.write("docker/cd34/cd34-json.log", docker("c", 0..20));
        symlink(bench.aside("docker/cd34/cd34-json.log"), bench.aside("containers/web-1_default_web-cd34.log")).unwrap();
        let daemon = bench.watch_below(&watched);
        bench.exactly([urls("a", 0..60), urls("b", 0..20), urls("c", 0..20)].concat()).await;
        assert!(daemon.stop().await.success());
    }

    async fn rotated_by_docker_and_compressed_each_line_is_stored_once(bench) {
        let docker = |prefix: &str, numbers| Runtime::Docker.lines("stdout", &lines(prefix, numbers));
        let log = "docker/ab12/ab12-json.log";
        bench.write(log, docker("a", 0..50));
        let daemon = bench.watch_below(&["docker/*/*-json.log*"]);
        bench.rows(50).await;
        assert!(daemon.stop().await.success());
        bench.write(log, docker("a", 50..80));
        rename(&bench.aside(log), &bench.aside(&format!("{log}.1")));
        bench.squeeze(&format!("{log}.1"));
        bench.write(log, docker("b", 0..10));
        let daemon = bench.watch_below(&["docker/*/*-json.log*"]);
        bench.exactly([urls("a", 0..80), urls("b", 0..10)].concat()).await;
        rename(&bench.aside(&format!("{log}.1.gz")), &bench.aside(&format!("{log}.2.gz")));
        rename(&bench.aside(log), &bench.aside(&format!("{log}.1")));
        bench.write(log, docker("c", 0..10));
        bench.exactly([urls("a", 0..80), urls("b", 0..10), urls("c", 0..10)].concat()).await;
        assert!(daemon.stop().await.success());
        bench.verified(&[]);
    }
}
