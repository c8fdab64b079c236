//! The page with a certificate of its own: real clients of TLS, files that cannot be used, renewals, and
//! clients that begin a handshake and never end it.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log_ingestd::web::{MAX_CONNECTIONS, UNKNOWN_LIFETIME};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::access::{auth_file, basic, line};
use super::client::{Answer, Site, rest};
use crate::daemon::{Bench, for_each_store, lines};
use crate::place::{Place, until};
use crate::tls::authority::{Authority, Issued, mode, only_owner};

/// The peer that attacks; the person is at 127.0.0.1.
const ATTACKER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// The names of the page's certificate.
const NAMES: &str = "DNS:localhost,IP:127.0.0.1";

/// A certificate and a key where the daemon has them, and the authority of the first.
struct Files {
    authority: Authority,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new(bench: &Bench) -> Files {
        let authority = Authority::new("page");
        let (certificate, key) = (bench.aside("page.crt"), bench.aside("page.key"));
        authority.server(NAMES, 30).copy_to(&certificate, &key);
        Files { authority, certificate, key }
    }

    fn flags(&self) -> [&str; 4] {
        ["--tls-cert", self.certificate.to_str().unwrap(), "--tls-key", self.key.to_str().unwrap()]
    }
}

type Encrypted = StreamOwned<ClientConnection, TcpStream>;

/// A client that trusts this authority alone, before its handshake.
fn client(authority: &Path, socket: TcpStream) -> Encrypted {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), socket)
}

/// Opens a connection with its handshake done.
fn connect(site: &Site, authority: &Authority) -> Encrypted {
    let mut stream = client(&authority.certificate(), site.connect());
    stream.conn.complete_io(&mut stream.sock).unwrap();
    stream
}

/// Asks once, with further header lines.
fn get_with(site: &Site, authority: &Authority, path: &str, headers: &str) -> Answer {
    let mut stream = connect(site, authority);
    let head =
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = String::new();
    // An end without a word of TLS would be an error here.
    stream.read_to_string(&mut answer).unwrap();
    Answer::of(&answer)
}

fn get(site: &Site, authority: &Authority, path: &str) -> Answer {
    get_with(site, authority, path, "")
}

/// The certificate that the page shows to a new connection.
fn shown(site: &Site, authority: &Authority) -> CertificateDer<'static> {
    let stream = connect(site, authority);
    stream.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

fn of_file(path: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(path).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_two_libraries_and_both_versions_are_answered() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    bench.append("access.log", lines("a", 0..3000));
    let site = Site::open(&bench, &files.flags()).await;
    bench.rows(3000).await;
    let page = get(&site, &files.authority, "/");
    assert!(page.status == 200 && page.body.contains("<title>log-ingestd"), "{}", page.body);
    assert_eq!(page.header("strict-transport-security"), "", "it was not asked for");
    // An answer of many records.
    let all = get(&site, &files.authority, "/api/export?from=2000-01-01&format=jsonl");
    assert_eq!(all.body.lines().count(), 3000);
    let authority = files.authority.certificate();
    for version in ["-tls1_2", "-tls1_3"] {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_client",
            "-quiet",
            "-verify_return_error",
            "-servername",
            "localhost",
            version,
        ]);
        openssl.args(["-alpn", "h2,http/1.1", "-CAfile", authority.to_str().unwrap(), "-connect"]);
        openssl.arg(site.address.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut openssl = openssl.stderr(Stdio::piped()).spawn().unwrap();
        let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        openssl.stdin.as_mut().unwrap().write_all(request).unwrap();
        let Output { stdout, stderr, .. } = openssl.wait_with_output().unwrap();
        let answer = Answer::of(&String::from_utf8(stdout).unwrap());
        assert_eq!(
            (answer.status, &*answer.body),
            (200, "ok\n"),
            "{}",
            String::from_utf8_lossy(&stderr)
        );
    }
    let said = site.daemon.said();
    assert!(said.contains(&format!("the page is at https://{}/", site.address)), "{said}");
    assert!(said.contains("the certificate of the page is valid until=20"), "{said}");
    assert!(!said.contains("not encrypted") && !said.contains("handshakes"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_sent_on_encrypted_connections_alone_and_others_are_told_when_asked_for() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    let auth = auth_file(&bench, &line(&bench, &["jo"], "one"));
    let flags =
        [&files.flags()[..], &["--auth-file", auth.to_str().unwrap(), "--tls-hsts", "365d"]]
            .concat();
    let site = Site::open(&bench, &flags).await;
    let refused = get(&site, &files.authority, "/");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.header("strict-transport-security"), "max-age=31536000");
    let login = format!("Authorization: {}\r\n", basic("jo", "one"));
    let first = get_with(&site, &files.authority, "/", &login);
    assert_eq!(first.status, 200);
    let cookie = first.header("set-cookie");
    assert!(cookie.starts_with("log_ingestd=") && cookie.contains("; Secure"), "{cookie}");
    // What a proxy in front would say changes nothing here.
    let login = format!("{login}X-Forwarded-Proto: http\r\n");
    let again = get_with(&site, &files.authority, "/", &login);
    assert!(again.status == 200 && again.header("set-cookie").is_empty(), "it has a session");
    let session = cookie.split(';').next().unwrap();
    let with_session =
        get_with(&site, &files.authority, "/api/files", &format!("Cookie: {session}\r\n"));
    assert_eq!(with_session.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_tls_gets_an_answer_that_says_so() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    let site = Site::open(&bench, &files.flags()).await;
    for (path, more) in
        [("/", String::new()), ("/api/files", format!("X: {}\r\n", "x".repeat(20_000)))]
    {
        let (mut stream, began) = (site.connect(), Instant::now());
        site.try_send(&mut stream, path, &more);
        let answer = Answer::of(&rest(&mut stream));
        assert!(began.elapsed() < UNKNOWN_LIFETIME / 2, "it ended by itself");
        assert_eq!(answer.status, 400);
        assert_eq!(
            answer.body,
            "this page is encrypted: its address begins with https, not http\n"
        );
    }
    // Neither HTTP nor TLS.
    for bytes in [&b"\x00\x01\x02"[..], b"\x16\x03\x01\xff\xff\xff", &[0x16; 300_000]] {
        let mut stream = site.connect();
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let answer = rest(&mut stream);
        assert!(!answer.contains("HTTP") && answer.len() < 100, "{answer:?}");
    }
    let said = site.daemon.said();
    assert_eq!(
        said.matches("the page refused requests without TLS times=1 peer=127.0.0.1").count(),
        1,
        "{said}"
    );
    assert_eq!(
        said.matches("TLS handshakes with the page have failed times=1 peer=").count(),
        1,
        "{said}"
    );
    assert_eq!(get(&site, &files.authority, "/healthz").body, "ok\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_trust_the_certificate_is_noticed() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    let site = Site::open(&bench, &files.flags()).await;
    let mut stream = client(&Authority::new("other").certificate(), site.connect());
    let error = stream.conn.complete_io(&mut stream.sock).unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer"), "{error}");
    drop(stream);
    let said = || site.daemon.said().contains("TLS handshakes with the page have failed times=1");
    until("the refused certificate is in the log", async || said()).await;
}

/// How a start ends that has these two files.
fn start(bench: &Bench, certificate: &Path, key: &Path) -> (Option<i32>, String) {
    let logs = bench.logs();
    let output = bench.run(&[
        "--watch",
        logs.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
    ]);
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_cannot_be_used_are_refused_at_the_start_with_what_to_do() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    let (good, key) = (&files.certificate, &files.key);
    let aside = |name: &str, bytes: &[u8]| {
        let path = bench.aside(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let other = files.authority.server(NAMES, 30);
    let expired = files.authority.server_between(NAMES, "20200101000000Z", "20210101000000Z");
    let early = files.authority.server_between(NAMES, "20980101000000Z", "20990101000000Z");
    let text = fs::read_to_string(good).unwrap();
    let old_authority = fs::read(&expired.certificate).unwrap();
    let with_expired = aside("chain.crt", &[text.as_bytes(), &old_authority].concat());
    let (half, _) = text.split_at(text.len() / 2);
    let damaged = text.replacen("MII", "AAA", 1);
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let nothing = bench.aside("nothing");
    let path = |file: &Path| file.to_str().unwrap().to_owned();
    for (certificate, key, code, parts) in [
        (good, &other.key, 2, vec![path(&other.key), "is not that of the certificate".to_owned()]),
        (
            &expired.certificate,
            &expired.key,
            1,
            vec![path(&expired.certificate), "has expired on 20".to_owned()],
        ),
        (&early.certificate, &early.key, 1, vec!["is not valid before 2098-01-01".to_owned()]),
        (&with_expired, key, 1, vec![path(&with_expired), "has expired on 20".to_owned()]),
        (&nothing, key, 2, vec![format!("cannot read '{}'", nothing.display())]),
        (good, &nothing, 2, vec![format!("cannot read '{}'", nothing.display())]),
        (key, key, 2, vec!["contains no CERTIFICATE in PEM form".to_owned()]),
        (good, good, 2, vec!["contains no PRIVATE KEY in PEM form".to_owned()]),
        (&aside("half", half.as_bytes()), key, 2, vec!["half' ".to_owned()]),
        (
            &aside("damaged", damaged.as_bytes()),
            key,
            2,
            vec!["damaged' holds a certificate that cannot be used".to_owned()],
        ),
        (&aside("empty", b""), key, 2, vec!["empty' contains no CERTIFICATE".to_owned()]),
        (
            &aside("bytes", b"\x30\x82\xff\x00"),
            key,
            2,
            vec!["bytes' contains no CERTIFICATE".to_owned()],
        ),
        (
            good,
            &aside("encrypted", encrypted.as_bytes()),
            2,
            vec!["encrypted' is encrypted, and a daemon".to_owned()],
        ),
    ] {
        let (ended, said) = start(&bench, certificate, key);
        assert_eq!(ended, Some(code), "{} {}: {said}", certificate.display(), key.display());
        for part in [&["--tls-cert".to_owned()], &parts[..]].concat() {
            assert!(said.contains(&part), "{part}: {said}");
        }
        assert!(!said.contains("the page is at") && !said.contains("BEGIN"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_the_two_files_alone_is_refused() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    let [_, certificate, _, key] = files.flags();
    for (flags, part) in [
        (["--tls-cert", certificate], "--tls-cert is given, and --tls-key is not: give both"),
        (["--tls-key", key], "--tls-key is given, and --tls-cert is not: give both"),
        (["--tls-hsts", "365d"], "--tls-hsts: the page has no TLS"),
    ] {
        let output = bench.run(&[&["serve", "--listen", "127.0.0.1:0"], &flags[..]].concat());
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(part), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_all_may_read_and_a_certificate_that_ends_soon_are_warnings() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    files.authority.server(NAMES, 3).copy_to(&files.certificate, &files.key);
    mode(&files.key, 0o644);
    let site = Site::open(&bench, &files.flags()).await;
    let said = site.daemon.said();
    let all = format!("--tls-key: every user of this machine can read '{}'", files.key.display());
    assert!(said.contains(&all), "{said}");
    assert!(
        said.contains("the certificate of the page ends soon: renew it, and send SIGHUP until=20"),
        "{said}"
    );
    assert_eq!(get(&site, &files.authority, "/healthz").status, 200);
}

/// A renewal, as a client on a connection and as one that comes later sees it; and files that are wrong, which
/// change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_is_read_at_sighup_and_a_wrong_one_is_not_used() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    let mut site = Site::open(&bench, &files.flags()).await;
    let first = of_file(&files.certificate);
    assert_eq!(shown(&site, &files.authority), first);

    let tail = |site: &Site| {
        let mut stream = connect(site, &files.authority);
        stream.write_all(b"GET /api/tail HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut begin = [0; 12];
        stream.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"HTTP/1.1 200");
        stream
    };
    let mut open = tail(&site);
    let _in_handshake = site.connect();

    // A key without its certificate, as a renewal that is half done.
    let next = files.authority.server(NAMES, 30);
    fs::copy(&next.key, &files.key).unwrap();
    only_owner(&files.key);
    site.daemon.signal("HUP");
    site.daemon.says("keeping the old configuration: --tls-cert and --tls-key: the key").await;
    assert_eq!(shown(&site, &files.authority), first, "the old certificate is kept");
    let expired = files.authority.server_between(NAMES, "20200101000000Z", "20210101000000Z");
    expired.copy_to(&files.certificate, &files.key);
    site.daemon.signal("HUP");
    site.daemon.says("keeping the old configuration: --tls-cert: the certificate").await;
    assert_eq!(shown(&site, &files.authority), first);

    next.copy_to(&files.certificate, &files.key);
    site.daemon.signal("HUP");
    site.daemon.says("configuration read again").await;
    assert_eq!(shown(&site, &files.authority), of_file(&next.certificate));
    // It ends by the word of TLS for it: a cut would be an error.
    open.read_to_end(&mut Vec::new()).unwrap();
    let mut again = tail(&site);
    assert_eq!(again.conn.peer_certificates().unwrap()[0], of_file(&next.certificate));

    let began = Instant::now();
    site.daemon.signal("TERM");
    assert!(site.daemon.ends().await.success(), "{}", site.daemon.said());
    assert!(began.elapsed() < Duration::from_secs(3), "it took {:?}", began.elapsed());
    again.read_to_end(&mut Vec::new()).unwrap();
}

/// The bytes with which a client begins.
fn client_hello(authority: &Authority) -> Vec<u8> {
    let socket = TcpStream::connect(
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap(),
    );
    let mut bytes = Vec::new();
    client(&authority.certificate(), socket.unwrap()).conn.write_tls(&mut bytes).unwrap();
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn handshakes_that_never_end_take_the_page_from_no_one() {
    let bench = Bench::new(Place::sqlite().await).await;
    let files = Files::new(&bench);
    let site = Site::open(&bench, &files.flags()).await;
    let hello = client_hello(&files.authority);
    let mut known = connect(&site, &files.authority);
    let ask = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let answer = |stream: &mut Encrypted| {
        stream.write_all(ask).unwrap();
        let mut head = [0; 4096];
        let read = stream.read(&mut head).unwrap();
        assert!(head[..read].starts_with(b"HTTP/1.1 200"));
    };
    answer(&mut known);
    // Nothing; half of the first message; all of it, and not the second.
    let begun = Instant::now();
    let mut stalled: Vec<TcpStream> = (0..MAX_CONNECTIONS + 20)
        .map(|nth| {
            let mut stream = site.connect_from(ATTACKER);
            let _ = stream.write_all(&hello[..[0, hello.len() / 2, hello.len()][nth % 3]]);
            stream
        })
        .collect();
    for path in ["/healthz", "/readyz", "/metrics", "/"] {
        assert_eq!(get(&site, &files.authority, path).status, 200, "{path}");
    }
    answer(&mut known);
    // One that sends a byte now and then has no more time than the others.
    let mut slow = site.connect_from(ATTACKER);
    let mut sent = 0;
    while sent < hello.len() && slow.write_all(&hello[sent..=sent]).is_ok() {
        sent += 1;
        slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        if slow.peek(&mut [0]).is_ok_and(|read| read == 0) {
            break;
        }
    }
    assert!(sent < hello.len(), "it has sent all {sent} bytes");
    for stream in &mut stalled {
        // Those that got an answer to their first message have read nothing else than that.
        assert!(!rest(stream).contains("HTTP"));
    }
    let took = begun.elapsed();
    assert!(took < UNKNOWN_LIFETIME * 3, "the last one ended after {took:?}");
    assert_eq!(get(&site, &files.authority, "/healthz").status, 200);
}

for_each_store! {
    async fn a_health_check_uses_tls_if_the_daemon_does(bench) {
        let files = Files::new(&bench);
        // For another name than the address that is asked.
        let elsewhere: Issued = files.authority.server("DNS:logs.example", 30);
        elsewhere.copy_to(&files.certificate, &files.key);
        let site = Site::open(&bench, &files.flags()).await;
        let address = site.address.to_string();
        let check = |flags: &[&str]| {
            let output = bench.run(&[&["healthcheck", "--listen", &address], flags].concat());
            (output.status.code(), String::from_utf8(output.stderr).unwrap())
        };
        let certificate = ["--tls-cert", files.certificate.to_str().unwrap()];
        assert_eq!(check(&certificate), (Some(0), String::new()));
        assert_eq!(check(&[&certificate[..], &["--ready"]].concat()), (Some(0), String::new()));
        let (code, said) = check(&[]);
        assert_eq!(code, Some(1));
        assert!(said.contains("has TLS: give the daemon's --tls-cert to this command, too"), "{said}");
        let without = Site::open(&bench, &[]).await;
        let address = without.address.to_string();
        let output = bench.run(&["healthcheck", "--listen", &address, "--tls-cert", "x"]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(said.contains("is the daemon's --tls-cert in use?"), "{said}");
    }
}
