//! Who may ask.
//!
//! Without an auth file whoever reaches the address may, and the address is this machine's own: the
//! daemon refuses any other. A page elsewhere that has its name point here (DNS rebinding) is known
//! by the Host header. With an auth file a name and a password, or a token, are wanted; a session
//! is remembered, because a password's hash is made to cost time.

mod check;
mod file;
mod host;
mod sessions;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::warn;

pub use check::{HashError, auth_line};
pub use file::{AuthFileError, Credentials, SecretKind};

use super::listener::Peer;
use check::Claim;
use sessions::Sessions;

/// The cookie's name.
const COOKIE: &str = "log_ingestd";

/// The next check waits so long after one that failed: guessing is slow, and hashing takes a
/// fraction of one processor whoever asks.
const PENALTY: Duration = Duration::from_millis(250);

/// Checks that may wait for their turn.
const MOST_WAITING: usize = 16;

/// Decides who gets in, and remembers who did.
#[derive(Debug)]
pub struct Authenticator {
    credentials: Option<Arc<Credentials>>,
    sessions: Mutex<Sessions>,
    waiting: Semaphore,
    /// One check at a time, and when the next may begin.
    turn: tokio::sync::Mutex<Instant>,
}

/// What became of a password or a token.
enum Verdict {
    /// Right; a new session's cookie, if it is of use.
    Right(Option<String>),
    Wrong,
    /// Too many wait.
    Busy,
}

impl Authenticator {
    /// Without credentials everybody may ask who asks this machine by its own name.
    pub fn new(credentials: Option<Arc<Credentials>>) -> Self {
        Self {
            credentials,
            sessions: Mutex::default(),
            waiting: Semaphore::new(MOST_WAITING),
            turn: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, Sessions> {
        // Whoever held it has left it whole: it is a map.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn judge(&self, credentials: &Credentials, header: &str) -> Verdict {
        if self.sessions().knows(header) {
            return Verdict::Right(None); // a program that has no cookies
        }
        let Some(claim) = Claim::of(header) else { return Verdict::Wrong };
        let Ok(_place) = self.waiting.try_acquire() else { return Verdict::Busy };
        let mut next = self.turn.lock().await;
        tokio::time::sleep_until(*next).await;
        // Off the threads that answer others; one at a time, so that it takes one processor.
        let right = tokio::task::block_in_place(|| credentials.accept(&claim));
        if !right {
            *next = Instant::now() + PENALTY;
            return Verdict::Wrong;
        }
        let mut sessions = self.sessions();
        sessions.remember(header);
        Verdict::Right(if claim.is_a_persons() { sessions.begin() } else { None })
    }
}

/// Lets a request through, or refuses it.
pub(super) async fn admit(
    State(gate): State<Arc<Authenticator>>,
    ConnectInfo(Peer(peer)): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let headers = request.headers();
    let Some(credentials) = &gate.credentials else {
        return match host::is_loopback(headers) {
            true => next.run(request).await,
            false => (StatusCode::MISDIRECTED_REQUEST, host::REFUSAL).into_response(),
        };
    };
    // A supervisor has no password. It learns that the process lives, and nothing else.
    if request.uri().path() == "/healthz" || cookies(headers).any(|it| gate.sessions().knows(it)) {
        return next.run(request).await;
    }
    let Some(header) = headers.get(header::AUTHORIZATION).and_then(|it| it.to_str().ok()) else {
        return unauthorized();
    };
    match gate.judge(credentials, header).await {
        Verdict::Right(session) => {
            let mut response = next.run(request).await;
            if let Some(cookie) = session.and_then(|session| set_cookie(&session)) {
                response.headers_mut().append(header::SET_COOKIE, cookie);
            }
            response
        }
        Verdict::Wrong => {
            warn!(%peer, "the page refused a wrong password or token");
            unauthorized()
        }
        Verdict::Busy => {
            let later = [(header::RETRY_AFTER, "1")];
            (StatusCode::SERVICE_UNAVAILABLE, later, "too many wait to be let in\n").into_response()
        }
    }
}

fn unauthorized() -> Response {
    let challenge = [(header::WWW_AUTHENTICATE, "Basic realm=\"log-ingestd\", charset=\"UTF-8\"")];
    (StatusCode::UNAUTHORIZED, challenge, "a name and a password, or a token, are wanted\n")
        .into_response()
}

/// The values of our cookie; a browser may send several of one name.
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
