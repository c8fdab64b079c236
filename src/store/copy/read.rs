//! Reads the rows of a part in order, a few MiB at a time.

use futures_util::future::join;

use super::Session;
use super::canonical::{Sum, Summing};
use super::tables::CopyPart;
use crate::model::Tuples;
use crate::model::columns::Column;
use crate::store::Backend;
use crate::store::error::{StoreError, failed};
use crate::store::sql::Dialect;

/// Encoded bytes after which rows are handed on. One transaction of the target stores them.
pub(in crate::store) const PIECE: usize = 4 << 20; // 4 MiB

/// Rows that are read one after the other.
pub(in crate::store) trait Rows {
    /// Appends rows until there are [`PIECE`] bytes, or none is left. Returns whether more may follow.
    async fn fill(&mut self, rows: &mut Tuples) -> Result<bool, sqlx::Error>;
}

/// Reads the rows of a part, and hands them on; the next ones are read meanwhile.
pub(super) async fn read(
    session: &mut Session,
    part: &CopyPart,
    sink: impl AsyncFnMut(&Tuples) -> Result<(), StoreError>,
) -> Result<Sum, StoreError> {
    let columns = part.table.columns;
    match session {
        Backend::Postgres(session) => {
            let name = session.backend.name.clone();
            let rows = session.rows(part.select(Dialect::Postgres), columns).await;
            hand_on(rows.map_err(failed(&name))?, columns, &name, sink).await
        }
        Backend::Sqlite(session) => {
            let name = session.backend.name.clone();
            let rows = session.rows(part.select(Dialect::Sqlite), columns);
            hand_on(rows, columns, &name, sink).await
        }
    }
}

async fn hand_on(
    mut rows: impl Rows,
    columns: &'static [Column],
    store: &str,
    mut sink: impl AsyncFnMut(&Tuples) -> Result<(), StoreError>,
) -> Result<Sum, StoreError> {
    let mut summing = Summing::of(columns);
    let (mut piece, mut next) = (Tuples::default(), Tuples::default());
    let mut is_more = rows.fill(&mut piece).await.map_err(failed(store))?;
    while piece.count() > 0 {
        summing.add(&piece);
        next.clear();
        let reading = async {
            match is_more {
                true => rows.fill(&mut next).await.map_err(failed(store)),
                false => Ok(false),
            }
        };
        let (read, stored) = join(reading, sink(&piece)).await;
        // What the target refuses comes first: the other error may only follow from it.
        stored?;
        is_more = read?;
        std::mem::swap(&mut piece, &mut next);
    }
    Ok(summing.end())
}
