//! Decides which requests are answered.
//!
//! Without an auth file every local client is answered: the daemon then listens on a loopback
//! address only. The check of the Host header refuses other sites (DNS rebinding): such a site lets
//! its own name resolve to 127.0.0.1, and a browser on this machine would let its scripts read the
//! page. The browser still sends that name as Host.
//!
//! With an auth file a request needs a name and a password, or a token. Hashing a password takes
//! time by design, so an accepted one starts a session.
//!
//! Each person sees everything; a token opens the paths of probes. Files: [`credentials`] (the auth file
//! and its check), [`turns`] (the order of checks), [`sessions`] (what was accepted before).

mod credentials;
mod sessions;
mod turns;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{Instant, sleep};

pub use credentials::{AuthFileError, Credentials, HashError, SecretKind, auth_line};

use super::listener::Peer;
use super::notices::{Notices, Refused};
use super::places::peer_of;
use super::probes;
use super::requests::refusal;
use credentials::Claim;
use sessions::{Scope, Sessions, Shown};
use turns::Turns;

/// Name of the session cookie.
const COOKIE: &str = "log_ingestd";

/// Time between two answers to requests without a password, so that who asks again and again occupies no processor.
const CHALLENGE_INTERVAL: Duration = Duration::from_millis(10);

/// The most that such an answer waits for those before it. A person does not notice it.
const CHALLENGE_DELAY: Duration = Duration::from_millis(100);

/// Body of the answer to a request with another Host.
const WRONG_HOST: &str = "without --auth-file this page answers to localhost and 127.0.0.1 only, \
     by that name in the Host header\n";

/// Why a token is refused on other paths.
const ONLY_PROBES: &str = "a token opens /metrics, /readyz and /healthz only; the page and /api require \
     the name and password of a person in the auth file";

/// Checks each request's credentials and remembers sessions.
#[derive(Debug)]
pub struct Authenticator {
    credentials: Option<Arc<Credentials>>,
    sessions: Mutex<Sessions>,
    turns: Turns,
    /// When the next request without a password is answered.
    next_challenge: Mutex<Instant>,
    /// The most that it waits for those before it.
    challenge_delay: Duration,
}

/// Result of a check of a password or token.
enum Verdict {
    /// Accepted; holds the cookie of a new session for a browser.
    Accepted(Scope, Option<String>),
    Refused,
}

impl Authenticator {
    /// Creates the check. Without credentials only the Host header is checked.
    pub fn new(credentials: Option<Arc<Credentials>>) -> Self {
        Self::with_delays(credentials, turns::DELAY, CHALLENGE_DELAY)
    }

    /// Creates the check with these delays of an answer to something wrong, and to a request without a password.
    fn with_delays(
        credentials: Option<Arc<Credentials>>,
        of_wrong: Duration,
        of_challenge: Duration,
    ) -> Self {
        let (sessions, next_challenge) = (Mutex::default(), Mutex::new(Instant::now()));
        let turns = Turns::new(of_wrong);
        Self { credentials, sessions, turns, next_challenge, challenge_delay: of_challenge }
    }

    /// Creates the check as one that never lets anyone wait.
    #[cfg(test)]
    pub(super) fn without_delays(credentials: Option<Arc<Credentials>>) -> Self {
        Self::with_delays(credentials, Duration::ZERO, Duration::ZERO)
    }

    /// Waits until a request without a password may be answered.
    async fn pace(&self) {
        let wait = {
            // Any moment is a usable one.
            let next = &mut *self.next_challenge.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            let answer = (*next).clamp(now, now + self.challenge_delay);
            *next = answer + CHALLENGE_INTERVAL;
            answer - now
        };
        if !wait.is_zero() {
            sleep(wait).await;
        }
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        // A panic cannot leave the map half changed, so a poisoned lock is usable.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks an Authorization header of this peer.
    async fn check(&self, credentials: &Credentials, peer: IpAddr, header: &str) -> Verdict {
        if let Some(scope) = self.sessions().scope(Shown::Header(header, peer)) {
            return Verdict::Accepted(scope, None); // a program without cookies
        }
        let Some(claim) = Claim::from_header(header) else {
            self.turns.delay_refusal().await;
            return Verdict::Refused;
        };
        if !self.turns.check(peer, || credentials.accept(&claim)).await {
            return Verdict::Refused;
        }
        let mut sessions = self.sessions();
        let scope = if claim.is_password() { Scope::All } else { Scope::Probes };
        sessions.remember(Shown::Header(header, peer), scope);
        Verdict::Accepted(scope, if claim.is_password() { sessions.begin() } else { None })
    }
}

/// Passes an allowed request on, and answers any other with a refusal. The connection is known after the
/// first, and unknown after the second.
pub(super) async fn require(
    State((authenticator, notices)): State<(Arc<Authenticator>, Arc<Notices>)>,
    ConnectInfo(Peer { address, client, is_encrypted }): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let Some(credentials) = &authenticator.credentials else {
        let is_local = is_loopback(headers);
        client.set_known(is_local);
        return match is_local {
            true => next.run(request).await,
            false => (StatusCode::MISDIRECTED_REQUEST, WRONG_HOST).into_response(),
        };
    };
    // A supervisor has no password. It learns whether the process is alive, and nothing else.
    let is_open = request.uri().path() == probes::ALIVE;
    let session = cookies(headers)
        .any(|it| authenticator.sessions().scope(Shown::Cookie(it)) == Some(Scope::All));
    if is_open || session {
        client.set_known(session);
        return next.run(request).await;
    }
    let Some(header) = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok()) else {
        client.set_known(false);
        authenticator.pace().await;
        return unauthorized();
    };
    match authenticator.check(credentials, queue_of(address.ip(), headers), header).await {
        Verdict::Accepted(scope, session) => {
            client.set_known(true);
            let path = request.uri().path();
            if scope == Scope::Probes && !probes::PATHS.contains(&path) {
                return refusal(path, StatusCode::FORBIDDEN, ONLY_PROBES.to_owned());
            }
            let is_secure = is_encrypted || is_secure(headers);
            let mut response = next.run(request).await;
            if let Some(cookie) = session.and_then(|session| set_cookie(&session, is_secure)) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Verdict::Refused => {
            client.set_known(false);
            notices.count(Refused::Secret, address);
            unauthorized()
        }
    }
}

/// Returns the peer in whose queue a check waits. A proxy on this machine names its client last in
/// `X-Forwarded-For`. Any program here could name another one; it could as well use another address of
/// 127.0.0.0/8.
fn queue_of(address: IpAddr, headers: &HeaderMap) -> IpAddr {
    let named = last_of(headers, "x-forwarded-for").and_then(|it| it.parse().ok());
    peer_of(named.filter(|_| address.to_canonical().is_loopback()).unwrap_or(address))
}

/// Returns whether a proxy says that the browser's connection is encrypted. The sender of a false header only
/// changes its own cookie.
fn is_secure(headers: &HeaderMap) -> bool {
    last_of(headers, "x-forwarded-proto").is_some_and(|it| it.eq_ignore_ascii_case("https"))
}

/// Returns the last element of a header that is a list: what the nearest proxy has added.
fn last_of<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let last = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next().map(str::trim)
}

fn unauthorized() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"log-ingestd\", charset=\"UTF-8\"")];
    (StatusCode::UNAUTHORIZED, challenge, "a name and password, or a token, is required\n")
        .into_response()
}

/// Returns the values of the session cookie. A browser may send several with one name.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = all.flat_map(|cookies| cookies.split(';'));
    pairs.filter_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

fn set_cookie(session: &str, is_secure: bool) -> Option<HeaderValue> {
    let seconds = sessions::LIFETIME.as_secs();
    let secure = if is_secure { "; Secure" } else { "" };
    let cookie =
        format!("{COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}{secure}");
    HeaderValue::try_from(cookie).ok()
}

/// Returns whether the Host header is a loopback name or address.
fn is_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(names_loopback)
}

fn names_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    }
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns whether a header has a secret to be checked.
#[cfg(test)]
pub(super) fn may_be_right(header: &str) -> bool {
    Claim::from_header(header).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(name: &'static str, value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        headers
    }

    #[test]
    fn a_local_proxy_names_its_client_and_another_machine_does_not() {
        for (address, named, queue) in [
            ("127.0.0.1", "203.0.113.1, 203.0.113.9", "203.0.113.9"),
            ("::ffff:127.0.0.1", "2001:db8::1", "2001:db8::"),
            ("127.0.0.1", "unknown", "127.0.0.1"),
            ("192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ] {
            let found = queue_of(address.parse().unwrap(), &with("x-forwarded-for", named));
            assert_eq!(found.to_string(), queue);
        }
    }

    #[test]
    fn the_proxy_nearest_to_here_says_whether_the_connection_is_encrypted() {
        for (value, expected) in [("https", true), ("http, HTTPS", true), ("https, http", false)] {
            assert_eq!(is_secure(&with("x-forwarded-proto", value)), expected, "{value}");
        }
    }

    #[test]
    fn only_loopback_names_and_addresses_are_accepted() {
        for host in ["localhost", "LOCALHOST:8686", "127.0.0.1:8686", "127.8.8.8", "[::1]:8686"] {
            assert!(names_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example:8686",
            "127.0.0.1.nip.io",
            "10.0.0.1",
            "localhost:x",
            "[::2]",
            "::2:8686",
            "[localhost]",
            "0.0.0.0:8686",
        ] {
            assert!(!names_loopback(host), "{host}");
        }
    }
}
