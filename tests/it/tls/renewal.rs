//! Certificates are renewed while a daemon runs: each connection reads the files anew.

use std::fs;

use super::*;
use crate::daemon::Daemon;

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_goes_on_with_renewed_certificates_after_a_restart_of_the_server() {
    let secure = Secure::start().await;
    let bench = &secure.bench;
    let (root, certificate, key) =
        (bench.aside("root.crt"), bench.aside("me.crt"), bench.aside("me.key"));
    fs::copy(secure.authority.certificate(), &root).unwrap();
    secure.authority.client("certain").copy_to(&certificate, &key);
    let parameters = format!(
        "sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
        root.display(),
        certificate.display(),
        key.display()
    );
    let logs = bench.logs();
    let arguments = ["--watch", logs.to_str().unwrap(), "--poll-interval", "100ms"];
    let mut command = bench.command(&arguments);
    command.env("DATABASE_URL", secure.url("certain", "localhost", &parameters));
    let mut daemon = Daemon::start(command, bench.aside("stderr"));
    bench.append("access.log", lines("before", 0..20));
    bench.rows(20).await;

    // A restart with the same certificates.
    secure.cluster.stop();
    secure.cluster.start_again();
    bench.append("access.log", lines("again", 0..20));
    bench.rows(40).await;

    // Another authority, which the daemon does not know yet: it waits.
    let next = Authority::new("next");
    secure.restart_as(&next.server("DNS:localhost", 30), &next);
    bench.append("access.log", lines("waits", 0..20));
    daemon.says("is not signed by an authority of sslrootcert").await;
    bench.rows(40).await;

    fs::copy(next.certificate(), &root).unwrap();
    next.client("certain").copy_to(&certificate, &key);
    bench.append("access.log", lines("after", 0..20));
    let all = ["before", "again", "waits", "after"].map(|name| urls(name, 0..20)).concat();
    bench.exactly(all).await;
    let issuer = "SELECT count(*) FROM pg_stat_ssl WHERE issuer_dn = '/CN=next'";
    until("the new certificate is shown", async || bench.place.number(issuer).await > 0).await;
    assert!(daemon.stop().await.success());
}
