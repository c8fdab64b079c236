//! TLS to a real PostgreSQL, with certificates of the test's own authorities: what is asked for is
//! what the server sees, and what is wrong is told with its name.

pub(crate) mod authority;
mod clients;
mod refusals;
mod renewal;

use std::process::Output;

use authority::{Authority, Issued};

use crate::daemon::{Bench, ToEnd, lines, urls};
use crate::place::{Place, until};
use crate::postgres::Cluster;

/// Users that may connect by TLS only; all others as before. `certain` needs a certificate in its own name.
const RULES: &str = "
hostssl all certain 127.0.0.1/32 cert
hostssl all shown 127.0.0.1/32 trust clientcert=verify-ca
hostssl all twice 127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostssl all secret 127.0.0.1/32 scram-sha-256
hostssl all encrypted 127.0.0.1/32 trust
host all certain,shown,twice,secret,encrypted all reject
";

/// A server with TLS, the authority of its certificate, and a log directory.
struct Secure {
    cluster: Cluster,
    authority: Authority,
    bench: Bench,
}

impl Secure {
    /// The server's certificate is for `localhost`.
    async fn start() -> Secure {
        let authority = Authority::new("one");
        let server = authority.server("DNS:localhost", 30);
        Secure::start_as(authority, &server).await
    }

    async fn start_as(authority: Authority, server: &Issued) -> Secure {
        let cluster = Cluster::start();
        let bench = Bench::new(Place::at(cluster.database().await)).await;
        for user in ["certain", "shown", "twice", "secret", "encrypted"] {
            let role = format!("CREATE ROLE {user} SUPERUSER LOGIN PASSWORD 'right-pa55'");
            cluster.administer(&role).await;
        }
        let rules = std::fs::read_to_string(cluster.file("pg_hba.conf")).unwrap();
        cluster.give("pg_hba.conf", format!("{RULES}{rules}"));
        let settings = std::fs::read_to_string(cluster.file("postgresql.conf")).unwrap();
        let tls = "ssl = on\nssl_ca_file = 'clients.crt'\n";
        cluster.give("postgresql.conf", format!("{settings}\n{tls}"));
        let secure = Secure { cluster, authority, bench };
        secure.restart_as(server, &secure.authority);
        secure
    }

    /// A renewed certificate, and clients of this authority.
    fn restart_as(&self, server: &Issued, clients: &Authority) {
        self.cluster.give("server.crt", std::fs::read(&server.certificate).unwrap());
        self.cluster.give("server.key", std::fs::read(&server.key).unwrap());
        self.cluster.give("clients.crt", std::fs::read(clients.certificate()).unwrap());
        self.cluster.stop();
        self.cluster.start_again();
    }

    /// The test's database by another user, over TLS or not, with more parameters.
    fn url(&self, user: &str, host: &str, parameters: &str) -> String {
        let database = self.bench.place.url.rsplit_once('/').unwrap().1;
        format!("postgres://{user}@{host}:{}/{database}?{parameters}", self.cluster.port())
    }

    /// The authority's file as a parameter.
    fn root(&self) -> String {
        format!("sslrootcert={}", self.authority.certificate().display())
    }

    /// `status` by this URL and environment.
    fn status(&self, url: &str, environment: &[(&str, &str)]) -> Output {
        let mut command = self.bench.command(&["status", "--connect-timeout", "20s"]);
        command.env("DATABASE_URL", url).envs(environment.iter().copied()).to_end()
    }

    fn works(&self, url: &str, environment: &[(&str, &str)]) {
        let output = self.status(url, environment);
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Refused at once, with these words and no password.
    fn refuses(&self, url: &str, environment: &[(&str, &str)], words: &[&str]) {
        let output = self.status(url, environment);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(if said.contains("cannot use") { 2 } else { 1 }));
        for words in words {
            assert!(said.contains(words), "'{words}' is not in: {said}");
        }
        assert!(!said.contains("pa55"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mode_that_asks_for_tls_has_it_and_the_right_certificate_is_trusted() {
    let secure = Secure::start().await;
    let root = secure.root();
    for (user, parameters) in [
        ("encrypted", format!("sslmode=verify-full&{root}")),
        ("encrypted", format!("sslmode=verify-ca&{root}")),
        ("encrypted", "sslmode=require".into()),
        ("encrypted", "sslmode=prefer".into()),
        ("encrypted", "sslmode=allow".into()),
        ("encrypted", String::new()),
        ("secret:right-pa55", format!("sslmode=verify-full&{root}")),
        ("postgres", "sslmode=disable".into()),
    ] {
        secure.works(&secure.url(user, "localhost", &parameters), &[]);
    }
    // `verify-ca` asks who signed it, not for whom.
    secure.works(&secure.url("encrypted", "127.0.0.1", &format!("sslmode=verify-ca&{root}")), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_environment_says_the_same_as_the_url() {
    let secure = Secure::start().await;
    let (root, me) = (secure.authority.certificate(), secure.authority.client("certain"));
    let port = secure.cluster.port().to_string();
    let database = secure.bench.place.url.rsplit_once('/').unwrap().1;
    let mut all = vec![
        ("PGSSLMODE", "verify-full"),
        ("PGSSLROOTCERT", root.to_str().unwrap()),
        ("PGSSLCERT", me.certificate.to_str().unwrap()),
        ("PGSSLKEY", me.key.to_str().unwrap()),
        ("PGHOST", "localhost"),
        ("PGPORT", &port),
        ("PGUSER", "certain"),
        ("PGDATABASE", database),
    ];
    let url = secure.url("certain", "localhost", "");
    secure.works(&url, &all[..4]);
    secure.refuses(&url.replace("localhost", "127.0.0.1"), &all[..4], &["not for '127.0.0.1'"]);
    all.push(("PGAPPNAME", "named"));
    secure.works("postgres://", &all);
    secure.refuses(
        &url,
        &[("PGSSLMODE", "verify_full")],
        &["invalid PGSSLMODE 'verify_full'", "prefer, require, verify-ca or verify-full"],
    );
}

/// Files are read, locked, committed and swept over TLS alone: the user may not come otherwise.
#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_with_a_certificate_stores_every_line_over_tls() {
    let secure = Secure::start().await;
    let (bench, me) = (&secure.bench, secure.authority.client("certain"));
    let parameters = format!(
        "sslmode=verify-full&{}&sslcert={}&sslkey={}",
        secure.root(),
        me.certificate.display(),
        me.key.display()
    );
    bench.append("access.log", lines("a", 0..2000));
    let logs = bench.logs();
    let mut command = bench.command(&[
        "--watch",
        logs.to_str().unwrap(),
        "--poll-interval",
        "100ms",
        "--log-level",
        "trace",
    ]);
    let url = secure.url("certain:right-pa55", "localhost", &parameters);
    command.env("DATABASE_URL", &url);
    let mut daemon = crate::daemon::Daemon::start(command, bench.aside("stderr"));
    bench.exactly(urls("a", 0..2000)).await;
    daemon.says("swept").await;
    let ours = "FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid)
                WHERE a.usename = 'certain' AND a.application_name = 'log-ingestd'";
    let encrypted = format!("SELECT count(*) {ours} AND s.ssl AND s.client_dn = '/CN=certain'");
    let all = format!("SELECT count(*) {ours}");
    until("its connections are those with its certificate", async || {
        let seen = bench.place.number(&encrypted).await;
        seen > 0 && seen == bench.place.number(&all).await
    })
    .await;
    let locks = format!(
        "SELECT count(*) {ours} AND s.ssl AND s.pid IN
                (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
    );
    assert_eq!(bench.place.number(&locks).await, 1, "the lock of the file is held over TLS");
    let mut query =
        bench.command(&["query", "--since", "2000-01-01", "--limit", "7", "--output", "log"]);
    let found = query.env("DATABASE_URL", &url).to_end();
    assert_eq!(String::from_utf8(found.stdout).unwrap().lines().count(), 7, "those who look");
    assert!(!daemon.said().contains("pa55"), "a password in its log");
    assert!(daemon.stop().await.success());
}
