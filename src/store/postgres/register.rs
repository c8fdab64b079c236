//! Writing files down for the first time, several in one transaction.

use sqlx::{Connection, PgConnection};

use super::writer::candidates;
use super::{PgWriter, lock, time};
use crate::model::{Checkpoint, FileId, NewFile};
use crate::store::error::{StoreError, failed};
use crate::store::rows::{self, checkpoint_columns};
use crate::store::schema::first_epoch;

const REGISTER: &str = concat!(
    "INSERT INTO log_file (host, path, device, inode, birth, format, time_estimated, head,
                           head_length, owner, epoch)
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, ",
    first_epoch!(),
    ") RETURNING ",
    checkpoint_columns!()
);

impl PgWriter {
    /// Two writers may both have found no candidate. The second one to get the lock looks again: a row
    /// that it does not know is the other's work, and may be of the same file.
    pub(in crate::store) async fn register(
        &mut self,
        files: &[(NewFile, Vec<FileId>)],
    ) -> Result<Vec<Option<Checkpoint>>, StoreError> {
        let register = async {
            let mut tx = self.connection.begin().await?;
            sqlx::query("SELECT pg_advisory_xact_lock($1, $2)")
                .bind(lock::HOUSE)
                .bind(lock::REGISTER)
                .execute(&mut *tx)
                .await?;
            let mut registered = Vec::with_capacity(files.len());
            for (new, known) in files {
                let again = candidates(&mut tx, &new.sighting).await?;
                let is_news = |id| !known.contains(id) && !self.registered.contains(id);
                registered.push(match again.iter().any(|it| is_news(&it.file)) {
                    true => None,
                    false => Some(insert(&mut tx, new, &self.owner).await?),
                });
            }
            // Nobody else can know them yet, so this does not wait.
            let ids: Vec<i32> = registered.iter().flatten().map(|it| it.file.0).collect();
            sqlx::query("SELECT pg_advisory_lock($1, id) FROM unnest($2::int4[]) AS id")
                .bind(lock::FILE)
                .bind(ids)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(registered)
        };
        let registered = register.await.map_err(failed(&self.backend.name))?;
        for checkpoint in registered.iter().flatten() {
            self.registered.insert(checkpoint.file);
            self.held.insert(checkpoint.file);
        }
        Ok(registered)
    }
}

async fn insert(
    connection: &mut PgConnection,
    new: &NewFile,
    owner: &str,
) -> Result<Checkpoint, sqlx::Error> {
    let seen = &new.sighting;
    let row = sqlx::query(REGISTER)
        .bind(&seen.host)
        .bind(&seen.path)
        .bind(seen.key.map(|key| key.device as i64))
        .bind(seen.key.map(|key| key.inode as i64))
        .bind(seen.key.and_then(|key| key.birth_us).map(time))
        .bind(&new.format)
        .bind(new.time_estimated)
        .bind(seen.head.map(|head| head.print.0.to_vec()))
        .bind(seen.head.map(|head| head.length as i32))
        .bind(owner)
        .fetch_one(connection)
        .await?;
    rows::checkpoint(&row)
}
