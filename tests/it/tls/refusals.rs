//! Servers that are not to be trusted, and servers without TLS: never less than what was asked for.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_for_another_name_is_refused_with_both_names() {
    let authority = Authority::new("one");
    let server = authority.server("DNS:db.example,DNS:db2.example,IP:10.0.0.1", 30);
    let secure = Secure::start_as(authority, &server).await;
    let url =
        secure.url("encrypted", "localhost", &format!("sslmode=verify-full&{}", secure.root()));
    secure.refuses(
        &url,
        &[],
        &[
            "the certificate of the server 'localhost' is for 'db.example', 'db2.example', \
             '10.0.0.1', not for 'localhost'",
            "connect to a name that it has",
        ],
    );
    secure.restart_as(&secure.authority.server("", 30), &secure.authority);
    secure.refuses(&url, &[], &["names no host", "'localhost' as subjectAltName", "CN"]);
    secure.works(&url.replace("verify-full", "verify-ca"), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_authority_is_refused_with_the_file_that_should_name_it() {
    let secure = Secure::start().await;
    let other = Authority::new("other");
    let file = other.certificate();
    for mode in ["verify-full", "verify-ca", "require"] {
        let parameters = format!("sslmode={mode}&sslrootcert={}", file.display());
        let url = secure.url("secret:right-pa55", "localhost", &parameters);
        let words = format!("not signed by an authority of sslrootcert '{}'", file.display());
        secure.refuses(&url, &[], &[&words, "the authority that signed it"]);
    }
    let words = ["not signed by an authority that this system trusts", "as sslrootcert"];
    for parameters in ["sslmode=verify-full", "sslmode=verify-ca", "sslrootcert=system"] {
        secure.refuses(&secure.url("encrypted", "localhost", parameters), &[], &words);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_its_own_authority_is_refused() {
    let secure = Secure::start().await;
    let own = secure.authority.self_signed();
    secure.restart_as(&own, &secure.authority);
    let parameters = format!("sslmode=verify-full&sslrootcert={}", own.certificate.display());
    let url = secure.url("encrypted", "localhost", &parameters);
    secure.refuses(&url, &[], &["is that of an authority (CA:TRUE): make one with CA:FALSE"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_is_refused_with_its_last_day() {
    let authority = Authority::new("one");
    // Valid until the second in which it was made.
    let server = authority.server("DNS:localhost", 0);
    let secure = Secure::start_as(authority, &server).await;
    let url =
        secure.url("encrypted", "localhost", &format!("sslmode=verify-full&{}", secure.root()));
    until("the second is over", async || !secure.status(&url, &[]).status.success()).await;
    secure.refuses(&url, &[], &["'localhost' has expired on 20", "renew it on the server"]);
    secure.works(&secure.url("encrypted", "localhost", "sslmode=require"), &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_when_tls_is_asked_for_and_never_spoken_to_plainly() {
    let cluster = Cluster::start();
    cluster.administer("CREATE ROLE tempted LOGIN PASSWORD 'right-pa55'").await;
    let bench = Bench::new(Place::at(cluster.database().await)).await;
    for mode in ["require", "verify-ca", "verify-full"] {
        let url = format!(
            "{}?sslmode={mode}",
            bench.place.url.replace("postgres@", "tempted:right-pa55@")
        );
        let output = bench.command(&["status"]).env("DATABASE_URL", url).to_end();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let words = format!("the server has no TLS, and sslmode is {mode}: set ssl = on there");
        assert!(said.contains(&words), "{said}");
        assert!(!said.contains("pa55"), "{said}");
    }
    let log = std::fs::read_to_string(cluster.file("../server.log")).unwrap();
    assert!(!log.contains("tempted"), "it got as far as telling its name: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_tls_where_the_server_wants_it_is_told_what_would_be_right() {
    let secure = Secure::start().await;
    secure.cluster.give("pg_hba.conf", "hostssl all all all trust\n");
    secure.cluster.stop();
    secure.cluster.start_again();
    let url = secure.url("encrypted", "localhost", "sslmode=disable");
    secure.refuses(&url, &[], &["no encryption", "use sslmode=verify-full"]);
    secure.works(&secure.url("encrypted", "localhost", ""), &[]);
}
