//! Deferred foreign keys: SQLite checks them at the commit, and then says neither which one nor by whom it is violated.

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::error::failed;
use super::native;
use super::schema::{ForeignKey, quoted};
use crate::eventsourcing::{Error, ErrorCode, Event, EventKind, Result, RowKey};

/// A deferred foreign key that is violated.
pub(super) struct Dangling {
    /// The place, among the appended events, of the one that violates it, when one can be told.
    pub(super) event: Option<usize>,
    /// The refusal, without the event's name.
    pub(super) error: Error,
}

/// What would make the commit of these events fail; `None` when nothing would.
pub(super) async fn dangling(
    connection: &mut SqliteConnection,
    keys: &[ForeignKey],
    key_of: impl Fn(&str) -> Option<String>,
    appended: &[Event],
) -> Result<Option<Dangling>> {
    if !native::has_dangling_keys(connection).await? {
        return Ok(None);
    }
    for key in keys {
        let Some(own) = key_of(&key.table) else {
            continue;
        };
        for row in pointing_nowhere(connection, key, &own).await? {
            let event = appended
                .iter()
                .rposition(|event| violates(event, key, &row));
            if event.is_some() {
                let message = format!(
                    "FOREIGN KEY constraint failed: {} points at no row, from {} {row}",
                    key.name(),
                    key.table
                );
                let error = Error::new(ErrorCode::ConstraintViolated, message);
                return Ok(Some(Dangling { event, error }));
            }
        }
    }
    let message = "FOREIGN KEY constraint failed, when all events were applied";
    Ok(Some(Dangling {
        event: None,
        error: Error::new(ErrorCode::ConstraintViolated, message),
    }))
}

/// The keys of the rows whose foreign key names a row that is not there.
async fn pointing_nowhere(
    connection: &mut SqliteConnection,
    key: &ForeignKey,
    own: &str,
) -> Result<Vec<String>> {
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT f.{} FROM {} f WHERE {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {})",
        quoted(own),
        quoted(&key.table),
        key.given(),
        quoted(&key.to_table),
        key.matching()
    )))
    .fetch_all(connection)
    .await
    .map_err(failed)
}

/// Whether the event wrote the pointing row, or took away what it may have pointed at.
fn violates(event: &Event, key: &ForeignKey, pointing: &str) -> bool {
    let of = |row: &RowKey| {
        (row.table == key.table && row.uuid.to_string() == pointing)
            || (row.table == key.to_table && event.kind != EventKind::Create)
    };
    event.row.as_ref().is_some_and(of)
}
