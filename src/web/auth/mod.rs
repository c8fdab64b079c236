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
//! There are no roles: each accepted client sees everything. Files: [`credentials`] (the auth file
//! and its check), [`sessions`] (what was accepted before).

mod credentials;
mod sessions;

use std::net::IpAddr;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

pub use credentials::{AuthFileError, Credentials, HashError, SecretKind, auth_line};

use super::listener::Peer;
use credentials::Claim;
use sessions::Sessions;

/// Name of the session cookie.
const COOKIE: &str = "log_ingestd";

/// Delay of the next check after a failed one. It makes guessing slow and limits hashing to a
/// fraction of one processor.
const PENALTY: Duration = Duration::from_millis(250);

/// Most checks that may wait for their turn; further requests get 503.
const MAX_WAITING: usize = 16;

/// Body of the answer to a request with another Host.
const WRONG_HOST: &str = "without --auth-file this page answers to localhost and 127.0.0.1 only, \
     by that name in the Host header\n";

/// Checks each request's credentials and remembers sessions.
#[derive(Debug)]
pub struct Authenticator {
    credentials: Option<Arc<Credentials>>,
    sessions: Mutex<Sessions>,
    waiting: Semaphore,
    /// When the next check may begin. The lock allows one check at a time.
    next_check: tokio::sync::Mutex<Instant>,
}

/// Result of a check of a password or token.
enum Verdict {
    /// Accepted; holds the cookie of a new session for a browser.
    Accepted(Option<String>),
    Refused,
    /// Too many checks wait.
    Busy,
}

impl Authenticator {
    /// Creates the check. Without credentials only the Host header is checked.
    pub fn new(credentials: Option<Arc<Credentials>>) -> Self {
        Self {
            credentials,
            sessions: Mutex::default(),
            waiting: Semaphore::new(MAX_WAITING),
            next_check: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        // A panic cannot leave the map half changed, so a poisoned lock is usable.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Checks an Authorization header.
    async fn check(&self, credentials: &Credentials, header: &str) -> Verdict {
        if self.sessions().knows(header) {
            return Verdict::Accepted(None); // a program without cookies
        }
        let Some(claim) = Claim::from_header(header) else { return Verdict::Refused };
        let Ok(_place) = self.waiting.try_acquire() else { return Verdict::Busy };
        let mut next_check = self.next_check.lock().await;
        tokio::time::sleep_until(*next_check).await;
        // Hashing blocks its thread; one check at a time occupies one processor at most.
        let accepted = tokio::task::block_in_place(|| credentials.accept(&claim));
        if !accepted {
            *next_check = Instant::now() + PENALTY;
            return Verdict::Refused;
        }
        let mut sessions = self.sessions();
        sessions.remember(header);
        Verdict::Accepted(if claim.is_password() { sessions.begin() } else { None })
    }
}

/// Passes an allowed request on, and answers any other with a refusal.
pub(super) async fn require(
    State(authenticator): State<Arc<Authenticator>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let Some(credentials) = &authenticator.credentials else {
        return match is_loopback(headers) {
            true => next.run(request).await,
            false => (StatusCode::MISDIRECTED_REQUEST, WRONG_HOST).into_response(),
        };
    };
    // A supervisor has no password. It learns whether the process is alive, and nothing else.
    let is_open = request.uri().path() == "/healthz";
    if is_open || cookies(headers).any(|cookie| authenticator.sessions().knows(cookie)) {
        return next.run(request).await;
    }
    let Some(header) = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok()) else {
        return unauthorized();
    };
    match authenticator.check(credentials, header).await {
        Verdict::Accepted(session) => {
            let mut response = next.run(request).await;
            if let Some(cookie) = session.and_then(|session| set_cookie(&session)) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Verdict::Refused => {
            warn!(%peer, "the page refused a wrong password or token");
            unauthorized()
        }
        Verdict::Busy => {
            let later = [(header::RETRY_AFTER, "1")];
            (StatusCode::SERVICE_UNAVAILABLE, later, "too many sign-ins at once\n").into_response()
        }
    }
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

fn set_cookie(session: &str) -> Option<HeaderValue> {
    let seconds = sessions::LIFETIME.as_secs();
    let cookie =
        format!("{COOKIE}={session}; HttpOnly; SameSite=Strict; Path=/; Max-Age={seconds}");
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

#[cfg(test)]
mod tests {
    use super::*;

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
