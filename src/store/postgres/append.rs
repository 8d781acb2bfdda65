//! Appending events: the database applies them, and refuses what it must.

use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

use super::error::failed;
use super::{log, schema};
use crate::eventsourcing::schema::nearest;
use crate::eventsourcing::{Error, ErrorCode, Event, EventId, NewEvent, Result, inspect};

pub(super) async fn append(pool: &PgPool, events: Vec<NewEvent>) -> Result<Vec<Event>> {
    let count = events.len();
    let mut all = pool.begin().await.map_err(failed)?;
    // Taken here already, so that the events of this transaction are those after it, cascades included.
    let head: EventId = sqlx::query_scalar("SELECT sourcing.take_writer()")
        .fetch_one(&mut *all)
        .await
        .map_err(failed)?;
    for (at, event) in events.iter().enumerate() {
        if let Err(error) = insert(&mut all, event).await {
            all.rollback().await.map_err(failed)?;
            let error = suggest(pool, event, failed(error)).await?;
            return Err(name_event(event, at, count, error));
        }
    }
    let stored = log::events_after(&mut *all, head).await?;
    // Deferred constraints are checked here.
    all.commit().await.map_err(failed)?;
    Ok(stored)
}

async fn insert(
    connection: &mut PgConnection,
    event: &NewEvent,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query(
        r#"INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp") VALUES ($1, $2, $3, $4, $5)"#,
    )
    .bind(event.kind.as_str())
    .bind(&event.table)
    .bind(event.uuid)
    .bind(Json(&event.data))
    .bind(event.timestamp)
    .execute(connection)
    .await
    .map(drop)
}

/// Which event it was: the database names it in its own refusals, and not in those of constraints.
fn name_event(event: &NewEvent, at: usize, count: usize, error: Error) -> Error {
    let name = event.to_string();
    let said = error
        .message
        .strip_prefix(&name)
        .and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(&error.message);
    let place = match count {
        1 => name,
        _ => format!("event {} of {count}, {name}", at + 1),
    };
    let message = match error.code {
        // Programs know this refusal by how it begins.
        ErrorCode::NoUuid => format!("{said}: {place}"),
        _ => format!("{place}: {said}"),
    };
    Error { message, ..error }
}

/// The name that was probably meant, which the database cannot work out.
async fn suggest(pool: &PgPool, event: &NewEvent, error: Error) -> Result<Error> {
    if !matches!(
        error.code,
        ErrorCode::UnknownTable | ErrorCode::UnknownColumn
    ) {
        return Ok(error);
    }
    let tables = schema::tables(pool).await?;
    let Some(table) = tables.iter().find(|table| table.name == event.table) else {
        let hint = inspect::unknown_table(&event.table, &tables).hint;
        return Ok(Error { hint, ..error });
    };
    let known = || table.columns.iter().map(|column| column.name.as_str());
    let unknown = event
        .data
        .keys()
        .find(|given| table.column(given).is_none());
    match unknown.and_then(|given| nearest(given, known())) {
        Some(meant) => Ok(error.hint(format!("did you mean \"{meant}\"?"))),
        None => Ok(error),
    }
}
