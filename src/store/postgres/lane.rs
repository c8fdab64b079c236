//! A session that stores batches under the claims of another writer.

use std::sync::Arc;

use super::side::Side;
use super::wire::Wire;
use super::{Postgres, schema_of};
use crate::store::error::{StoreError, failed};
use crate::store::lane::Turn;
use crate::store::sql::NEWEST_SCHEMA;

/// One session that claims nothing: the epochs of a batch show whether its claims are valid, and the schema
/// the same.
///
/// Its lock is the turn of its next batch. The session has it before anything is sent, so that a batch on another
/// lane may be sent to wait for it at once.
#[derive(Debug)]
pub(in crate::store) struct PgLane {
    pub(super) backend: Arc<Postgres>,
    pub(super) wire: Wire,
    pub(super) side: Side,
    pub(in crate::store) turn: Turn,
}

/// Returns the expression that takes the lock of a turn, for the session.
pub(super) fn take(turn: Turn) -> String {
    format!("pg_advisory_lock({})", turn.0)
}

impl PgLane {
    pub(in crate::store) async fn connect(backend: &Arc<Postgres>) -> Result<PgLane, StoreError> {
        let turn = Turn::new()?;
        Ok(PgLane {
            backend: Arc::clone(backend),
            wire: backend.connect_wire(&[&format!("SELECT {}", take(turn))]).await?.0,
            side: Side::new(backend, None),
            turn,
        })
    }

    /// Checks the schema.
    pub(in crate::store) async fn keep_alive(&mut self) -> Result<(), StoreError> {
        let rows = self.wire.query(NEWEST_SCHEMA).await.map_err(failed(&self.backend.name))?;
        schema_of(rows.into_iter().flatten().next()).current(&self.backend.name)
    }
}
