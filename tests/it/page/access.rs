//! Who may see the page: names, passwords, tokens, sessions, and the file that holds them.

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

use super::client::Site;
use crate::daemon::Bench;
use crate::place::Place;

/// `base64` of it, as a browser sends it.
pub(super) fn basic(name: &str, password: &str) -> String {
    use base64ct::{Base64, Encoding};
    format!("Basic {}", Base64::encode_string(format!("{name}:{password}").as_bytes()))
}

/// What `hash-password` prints for this password.
pub(crate) fn line(bench: &Bench, arguments: &[&str], password: &str) -> String {
    let mut command = bench.command(&[&["hash-password"], arguments].concat());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// An auth file that only its owner can read.
pub(super) fn auth_file(bench: &Bench, text: &str) -> PathBuf {
    let path = bench.aside("auth");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_a_token_or_a_session_is_wanted() {
    let bench = Bench::new(Place::sqlite().await).await;
    let lines = line(&bench, &["jo"], "pa:ss wörd") + &line(&bench, &["ci", "--token"], "t0ken");
    let file = auth_file(&bench, &lines);
    let site = Site::open(&bench, &["--auth-file", file.to_str().unwrap()]).await;

    let refused = site.get("/");
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").starts_with("Basic realm=\"log-ingestd\""));
    assert!(refused.header("content-security-policy").contains("default-src 'none'"));
    assert_eq!(site.get("/assets/x").status, 401);
    assert_eq!(site.get("/api/files").status, 401);
    assert_eq!(site.get("/healthz").status, 200);

    let ask = |path, header, value: &str| site.get_with(path, &[(header, value)]);
    for wrong in [basic("jo", "wrong"), basic("al", "pa:ss wörd"), "Bearer wrong".to_owned()] {
        assert_eq!(ask("/", "Authorization", &wrong).status, 401);
    }
    let first = ask("/", "Authorization", &basic("jo", "pa:ss wörd"));
    assert_eq!(first.status, 200);
    let cookie = first.header("set-cookie");
    let (cookie, attributes) = cookie.split_once(';').unwrap();
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(attributes.contains(attribute), "{attributes}");
    }
    let again = ask("/", "Cookie", &format!("other=1; {cookie}"));
    assert_eq!((again.status, again.header("set-cookie")), (200, ""));
    assert_eq!(ask("/", "Cookie", "log_ingestd=guess").status, 401);
    // As a cookie, an accepted header opens nothing: it could be guessed there without a wait.
    let as_cookie = format!("log_ingestd={}", basic("jo", "pa:ss wörd"));
    assert_eq!(ask("/", "Cookie", &as_cookie).status, 401);
    let program = ask("/metrics", "Authorization", "Bearer t0ken");
    assert_eq!((program.status, program.header("set-cookie")), (200, ""));
    // A name of this machine's is not asked for: a client with the password may use any.
    let named = [("Authorization", "Bearer t0ken"), ("Host", "logs.example")];
    assert_eq!(site.get_with("/metrics", &named).status, 200);

    let said = site.daemon.said();
    assert!(
        said.contains("the page refused a wrong password or token times=1 peer=127.0.0.1:"),
        "{said}"
    );
    assert_eq!(said.matches("refused a wrong password").count(), 1, "{said}");
    assert!(!said.contains("argon2") && !said.contains("every user"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_paths_of_probes_alone() {
    let bench = Bench::new(Place::sqlite().await).await;
    let file = auth_file(&bench, &line(&bench, &["ci", "--token"], "t0ken"));
    let site = Site::open(&bench, &["--auth-file", file.to_str().unwrap()]).await;
    // The second time the token is one that was accepted before.
    for _ in 0..2 {
        for (path, status) in [
            ("/api/files", 403),
            ("/", 403),
            ("/assets/main.js", 403),
            ("/metrics", 200),
            ("/readyz", 200),
            ("/healthz", 200),
        ] {
            let answer = site.get_with(path, &[("Authorization", "Bearer t0ken")]);
            assert_eq!(answer.status, status, "{path}: {}", answer.body);
            let says_why =
                answer.body.contains("a token opens /metrics, /readyz and /healthz only");
            assert_eq!(says_why, status == 403, "{path}: {}", answer.body);
        }
    }
    assert_eq!(site.get_with("/", &[("Cookie", "log_ingestd=Bearer t0ken")]).status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_an_encrypted_connection_is_sent_on_no_other() {
    let bench = Bench::new(Place::sqlite().await).await;
    let file = auth_file(&bench, &(line(&bench, &["jo"], "one") + &line(&bench, &["al"], "two")));
    let site = Site::open(&bench, &["--auth-file", file.to_str().unwrap()]).await;
    for (name, password, protocol, is_secure) in
        [("jo", "one", "https", true), ("al", "two", "http", false)]
    {
        let headers = [("Authorization", &*basic(name, password)), ("X-Forwarded-Proto", protocol)];
        let answer = site.get_with("/", &headers);
        let cookie = answer.header("set-cookie");
        assert!(cookie.starts_with("log_ingestd="), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), is_secure, "{cookie}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_auth_file_is_read_again_at_sighup() {
    let bench = Bench::new(Place::sqlite().await).await;
    let file = auth_file(&bench, &line(&bench, &["jo"], "one"));
    let mut site = Site::open(&bench, &["--auth-file", file.to_str().unwrap()]).await;
    let jo = basic("jo", "one");
    let status = |site: &Site, value: &str| site.get_with("/", &[("Authorization", value)]).status;
    assert_eq!(status(&site, &jo), 200);

    fs::write(&file, "# nothing\njo:hunter2\n").unwrap();
    site.daemon.signal("HUP");
    site.daemon.says("the auth file is not valid: line 2").await;
    assert!(!site.daemon.said().contains("hunter2"), "{}", site.daemon.said());
    assert_eq!(status(&site, &jo), 200);

    fs::write(&file, line(&bench, &["al"], "two")).unwrap();
    site.daemon.signal("HUP");
    site.daemon.says("configuration read again").await;
    // A session does not outlive the line by which it was begun.
    assert_eq!(status(&site, &jo), 401);
    assert_eq!(status(&site, &basic("al", "two")), 200);
    assert!(site.daemon.stop().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_others_reach_is_refused_without_an_auth_file() {
    let bench = Bench::new(Place::sqlite().await).await;
    let logs = bench.logs();
    let run = |flags: &[&str]| {
        let output = bench.run(&[&["--watch", logs.to_str().unwrap()], flags].concat());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = run(&["--listen", "0.0.0.0:0"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("0.0.0.0:0 can be reached") && said.contains("--auth-file"), "{said}");
    let (code, said) = run(&["--listen", "0.0.0.0:0", "--auth-file", "/does/not/exist"]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot read the auth file '/does/not/exist'"), "{said}");

    let file = auth_file(&bench, &line(&bench, &["jo"], "one"));
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let flags = ["--listen", "0.0.0.0:0", "--auth-file", file.to_str().unwrap()];
    let mut daemon = bench.watch_with(&flags);
    daemon.says("the page is at http://0.0.0.0:").await;
    daemon.says("the page is not encrypted").await;
    daemon.says("every user of this machine can read").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_that_makes_no_line_is_refused() {
    let bench = Bench::new(Place::sqlite().await).await;
    for (name, part) in [("a:b", "the name may not"), ("jo", "the password is empty")] {
        let output = bench.run(&["hash-password", name]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{said}");
        assert!(said.contains(part), "{said}");
    }
}
