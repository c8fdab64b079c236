//! Statements of [`super::sql`] with their values, for both databases: the macros are typed by the
//! connection that runs the query. A backend whose statement has one more parameter adds its value.

/// [`CANDIDATES`](super::sql::CANDIDATES) with its values.
macro_rules! candidates {
    ($seen:expr) => {
        sqlx::query($crate::store::sql::CANDIDATES)
            .bind(&$seen.host)
            .bind($seen.key.map(|key| key.device as i64))
            .bind($seen.key.map(|key| key.inode as i64))
            .bind($seen.head.map(|head| head.print.0.to_vec()))
            .bind($seen.head.map(|head| head.length as i32))
    };
}

/// The values of [`register`](super::sql::register), without the last two.
macro_rules! register {
    ($sql:expr, $new:expr, $owner:expr) => {
        sqlx::query($sql)
            .bind(&$new.sighting.host)
            .bind(&$new.sighting.path)
            .bind($new.sighting.key.map(|key| key.device as i64))
            .bind($new.sighting.key.map(|key| key.inode as i64))
            .bind($new.sighting.key.and_then(|key| key.birth_us).map($crate::store::time::Time))
            .bind(&$new.format)
            .bind($new.time_estimated)
            .bind($new.sighting.head.map(|head| head.print.0.to_vec()))
            .bind($new.sighting.head.map(|head| head.length as i32))
            .bind($owner)
            .bind($new.begins.offset as i64)
            .bind($new.begins.tail_fingerprint.map(|tail| tail.print.0.to_vec()))
            .bind($new.begins.tail_fingerprint.map(|tail| tail.length as i32))
            .bind(&$new.sighting.origin.machine)
            .bind($new.sighting.origin.file_system)
    };
}

/// The values of [`cut`](super::sql::cut).
macro_rules! cut {
    ($sql:expr, $cut:expr) => {
        sqlx::query($sql)
            .bind($cut.file.0)
            .bind($cut.epoch)
            .bind(i64::try_from($cut.lost_bytes).unwrap_or(i64::MAX))
            .bind($cut.reason)
            .bind($cut.kept_to as i64)
    };
}

/// The values of [`claim`](super::sql::claim).
macro_rules! claim {
    ($sql:expr, $file:expr, $seen:expr, $format:expr, $owner:expr) => {
        sqlx::query($sql)
            .bind($file.0)
            .bind(&$seen.path)
            .bind($seen.key.map(|key| key.device as i64))
            .bind($seen.key.map(|key| key.inode as i64))
            .bind($seen.key.and_then(|key| key.birth_us).map($crate::store::time::Time))
            .bind($format)
            .bind($owner)
            .bind(&$seen.host)
            .bind(&$seen.origin.machine)
            .bind($seen.origin.file_system)
            .bind($seen.head.map(|head| head.print.0.to_vec()))
            .bind($seen.head.map(|head| head.length as i32))
            .bind($crate::store::schema::claim_number())
    };
}

/// The values of [`move_one`](super::sql::move_one).
macro_rules! move_one {
    ($sql:expr, $span:expr) => {
        sqlx::query($sql)
            .bind($span.file.0)
            .bind($span.epoch)
            .bind($span.from as i64)
            .bind($span.to.offset as i64)
            .bind($span.size as i64)
            .bind($span.lines as i64)
            .bind($span.rows as i64)
            .bind($span.rejected as i64)
            .bind($span.excluded as i64)
            .bind($span.head.map(|head| head.length as i32))
            .bind($span.head.map(|head| head.print.0.to_vec()))
            .bind($span.to.tail_fingerprint.map(|tail| tail.length as i32))
            .bind($span.to.tail_fingerprint.map(|tail| tail.print.0.to_vec()))
            .bind($span.to.digest.map(|digest| digest.sum.to_vec()))
            .bind($span.to.digest.map(|digest| digest.state.to_vec()))
            .bind($crate::store::nul_runs::NulRuns(&$span.nul_runs))
            .bind($crate::store::line_forms::text(&$span.form_changes))
    };
}

/// The values of [`count_reparsed`](super::sql::count_reparsed).
macro_rules! count_reparsed {
    ($sql:expr, $lines:expr) => {
        sqlx::query($sql)
            .bind($lines.file.0)
            .bind($lines.more_rejects())
            .bind($lines.more_rows())
            .bind($lines.excluded as i64)
            .bind(&$lines.format)
            .bind($lines.removed_rejects() as i64)
    };
}

pub(super) use {candidates, claim, count_reparsed, cut, move_one, register};
