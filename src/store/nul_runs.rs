//! Runs of NULs as the value of a parameter, in either database.

use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgHasArrayType, PgTypeInfo, Postgres};
use sqlx::sqlite::{Sqlite, SqliteArgumentsBuffer, SqliteTypeInfo};
use sqlx::types::Type;

use crate::model::NulRun;

/// The object identifiers of `jsonb` and of its arrays, which are the same on every server.
const JSONB: Oid = Oid(3802);
const JSONB_ARRAY: Oid = Oid(3807);

/// The first byte of a `jsonb` value on the wire: the version of the layout.
pub(super) const JSONB_VERSION: u8 = 1;

/// Runs of NULs that are bound to a parameter, as `[[offset,length],…]`: `jsonb` in PostgreSQL, text in
/// SQLite.
#[derive(Clone, Copy, Debug)]
pub(super) struct NulRuns<'a>(pub(super) &'a [NulRun]);

impl NulRuns<'_> {
    pub(super) fn text(self) -> String {
        let runs: Vec<String> =
            self.0.iter().map(|run| format!("[{},{}]", run.offset, run.length)).collect();
        format!("[{}]", runs.join(","))
    }
}

/// Reads what [`NulRuns`] writes; `None` if the text is something else.
pub(super) fn nul_runs(text: &str) -> Option<Vec<NulRun>> {
    let runs: Vec<(u64, u64)> = serde_json::from_str(text).ok()?;
    Some(runs.into_iter().map(|(offset, length)| NulRun { offset, length }).collect())
}

impl Type<Postgres> for NulRuns<'_> {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB)
    }
}

impl PgHasArrayType for NulRuns<'_> {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(JSONB_ARRAY)
    }
}

impl Encode<'_, Postgres> for NulRuns<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.push(JSONB_VERSION);
        buffer.extend_from_slice(self.text().as_bytes());
        Ok(IsNull::No)
    }
}

impl Type<Sqlite> for NulRuns<'_> {
    fn type_info() -> SqliteTypeInfo {
        <String as Type<Sqlite>>::type_info()
    }
}

impl Encode<'_, Sqlite> for NulRuns<'_> {
    fn encode_by_ref(&self, buffer: &mut SqliteArgumentsBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Sqlite>::encode(self.text(), buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let run = |offset, length| NulRun { offset, length };
        for runs in [vec![], vec![run(0, 1)], vec![run(7, 20 << 30), run(1 << 37, 5)]] {
            assert_eq!(nul_runs(&NulRuns(&runs).text()), Some(runs));
        }
        assert_eq!(nul_runs("[[1, 2]]"), Some(vec![run(1, 2)])); // as PostgreSQL writes it
        assert_eq!(nul_runs("[[1,-2]]"), None);
    }
}
