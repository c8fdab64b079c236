//! The driver's session of a writer, for what is not a commit. It is open for moments only: it holds
//! no lock, and a daemon that only commits needs no second connection.
//!
//! Its socket has neither keep-alives nor a user timeout, as that of `wire` has. sqlx 0.9 makes it in a private
//! function that sets no option (`PgStream::connect`), keeps it as a private trait object, and neither takes a
//! socket of ours nor gives its own away. The server has these settings for its end of it (`SESSION`).
//! The system gives up a server that does not acknowledge a statement, after about a quarter of an hour.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::Postgres;
use crate::store::error::StoreError;

/// How long it stays open without a statement.
const IDLE: Duration = Duration::from_secs(3);

/// A session that is made when it is needed.
#[derive(Debug)]
pub(super) struct Side {
    backend: Arc<Postgres>,
    connection: Option<PgConnection>,
    used: Instant,
}

impl Side {
    /// `connection` may have been made already.
    pub(super) fn new(backend: &Arc<Postgres>, connection: Option<PgConnection>) -> Side {
        Side { backend: Arc::clone(backend), connection, used: Instant::now() }
    }

    /// Returns the session. The session that commits has compared the schemas.
    pub(super) async fn get(&mut self) -> Result<&mut PgConnection, StoreError> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => Box::pin(self.backend.connect_to_any()).await?,
        };
        self.used = Instant::now();
        Ok(self.connection.insert(connection))
    }

    /// Closes a session that has not been used for a while.
    pub(super) fn rest(&mut self) {
        if self.used.elapsed() > IDLE {
            self.connection = None;
        }
    }
}
