//! Each table of the database is in `deploy/docs/tables.md` with each of its columns, and no other.

use std::collections::BTreeSet;

use super::{quoted, rows, text};
use crate::place::Place;

/// Columns that only PostgreSQL has.
const ONLY_POSTGRES: [(&str, &str); 1] = [("log_file", "writer")];

/// `table.column` of each column in the page: those of a table stand in the section whose heading
/// quotes its name, in the first cells of the rows.
fn described() -> BTreeSet<String> {
    let page = text("deploy/docs/tables.md");
    let mut columns = BTreeSet::new();
    for section in page.split("\n## ").skip(1) {
        let (heading, body) = section.split_once('\n').unwrap();
        for table in quoted(heading) {
            for cell in rows(body).iter().map(|row| &row[0]) {
                // "`minute` or `hour`" are those of two tables.
                let of_table = |column: &&str| {
                    !matches!(
                        (table, *column),
                        ("gunicorn_minute", "hour")
                            | ("gunicorn_hour", "minute")
                            | ("gunicorn_route_hour", "day")
                            | ("gunicorn_route_day", "hour")
                    )
                };
                columns.extend(quoted(cell).filter(of_table).map(|it| format!("{table}.{it}")));
            }
        }
    }
    columns
}

#[tokio::test(flavor = "multi_thread")]
async fn each_column_is_described() {
    let described = described();
    let place = Place::postgres().await;
    let columns = place
        .texts(
            "SELECT c.relname || '.' || a.attname
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
              WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
                AND NOT c.relispartition AND NOT starts_with(c.relname, '_sqlx')
                AND a.attnum > 0 AND NOT a.attisdropped",
        )
        .await;
    assert_eq!(columns.into_iter().collect::<BTreeSet<_>>(), described);

    let place = Place::sqlite().await;
    place.open().await;
    let mut columns: BTreeSet<_> = place
        .texts(
            "SELECT t.name || '.' || c.name FROM sqlite_master t, pragma_table_info(t.name) c
              WHERE t.type = 'table' AND t.name NOT LIKE '%sqlx%'",
        )
        .await
        .into_iter()
        .collect();
    columns.extend(ONLY_POSTGRES.map(|(table, column)| format!("{table}.{column}")));
    assert_eq!(columns, described);
}
