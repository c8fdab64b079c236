//! A real PgBouncer between the daemon and PostgreSQL.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use crate::daemon::{Bench, Daemon, ToEnd, lines, urls};
use crate::place::{Place, until};
use crate::ports::Port;
use crate::postgres::{Cluster, as_server};

/// Ends with the test.
struct PgBouncer {
    child: Child,
    port: Port,
}

impl PgBouncer {
    async fn start(cluster: &Cluster, mode: &str) -> PgBouncer {
        let reserved = Port::reserve();
        let port = reserved.number();
        let users = cluster.file("users.txt");
        cluster.give("users.txt", "\"postgres\" \"\"\n");
        cluster.give(
            "pgbouncer.ini",
            format!(
                "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = {}\n\
                 pool_mode = {mode}\n",
                cluster.port(),
                users.display()
            ),
        );
        let child = PgBouncer::spawn(cluster);
        let bouncer = PgBouncer { child, port: reserved };
        until("PgBouncer listens", async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        bouncer
    }

    fn spawn(cluster: &Cluster) -> Child {
        // It is where an ordinary user's PATH may not look.
        let places = ["/usr/sbin", "/usr/bin", "/usr/local/bin"].map(Path::new);
        let programs = places.map(|place| place.join("pgbouncer"));
        let program = programs.iter().find(|path| path.exists());
        as_server(program.expect("PgBouncer is not installed"))
            .arg(cluster.file("pgbouncer.ini"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The same database through it.
    fn url(&self, bench: &Bench) -> String {
        let database = bench.place.url.rsplit_once('/').unwrap().1;
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port.number())
    }
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_pools_sessions_changes_nothing() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    let mut bouncer = PgBouncer::start(&cluster, "session").await;
    let logs = bench.logs();
    let mut command =
        bench.command(&["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"]);
    command.env("DATABASE_URL", bouncer.url(&bench));
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    bench.append("access.log", lines("a", 0..500));
    bench.rows(500).await;
    bench.swept(1).await;
    // Those who look come through it as well, and cannot write.
    let query = |url: String| {
        let mut command =
            bench.command(&["query", "--since", "2000-01-01", "--output", "jsonl", "--limit", "7"]);
        command.env("DATABASE_URL", url).to_end()
    };
    let found = query(bouncer.url(&bench));
    assert!(found.status.success(), "{}", String::from_utf8_lossy(&found.stderr));
    assert_eq!(String::from_utf8(found.stdout).unwrap().lines().count(), 7);

    bouncer.child.kill().unwrap();
    bouncer.child.wait().unwrap();
    bench.append("access.log", lines("b", 0..500));
    daemon.says("the store is unavailable").await;
    bouncer.child = PgBouncer::spawn(&cluster);
    bench.exactly([urls("a", 0..500), urls("b", 0..500)].concat()).await;
    assert!(daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_pools_transactions_or_statements_is_refused() {
    let cluster = Cluster::start();
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    bench.append("access.log", lines("a", 0..5));
    for mode in ["transaction", "statement"] {
        let bouncer = PgBouncer::start(&cluster, mode).await;
        let (logs, log) = (bench.logs(), bench.log("access.log"));
        let (logs, log) = (logs.to_str().unwrap(), log.to_str().unwrap());
        for arguments in [&["--watch", logs][..], &["status"], &["import", log]] {
            let mut command = bench.command(arguments);
            let output = command.env("DATABASE_URL", bouncer.url(&bench)).to_end();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains("pools transactions"), "{said}");
            assert!(said.contains("pool_mode = session"), "{said}");
            // The pooler keeps its sessions, and all that is left in them.
            let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
            assert_eq!(bench.place.number(locks).await, 0, "{mode} {arguments:?}");
        }
    }
    assert_eq!(bench.stored().await, 0);
}
