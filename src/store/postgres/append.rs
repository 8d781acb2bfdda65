//! Appending events: the database applies them, and refuses what it must.

use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use super::error::{failed, is_deadlock};
use super::{log, schema};
use crate::eventsourcing::schema::nearest;
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Error, ErrorCode, Event, EventId, NewEvent, Result, Row, inspect};

/// How many events are sent to the database at once: enough to make long runs of one kind, few enough for its memory.
const EVENTS_AT_ONCE: usize = 1000;

/// How often a transaction is tried whose end is that it and another one wait for each other. It takes the writer's lock before
/// anything else, so the other one took its locks the other way round, and has what it waited for when the second try begins.
pub(super) const TRIES: usize = 4;

pub(super) async fn append(pool: &PgPool, events: Vec<NewEvent>) -> Result<Vec<Event>> {
    for _ in 1..TRIES {
        match append_once(pool, &events).await {
            Err(error) if is_deadlock(&error) => {}
            done => return done,
        }
    }
    append_once(pool, &events).await
}

async fn append_once(pool: &PgPool, events: &[NewEvent]) -> Result<Vec<Event>> {
    let count = events.len();
    let mut all = pool.begin().await.map_err(failed)?;
    let mut head = None;
    for (at, events) in events.chunks(EVENTS_AT_ONCE).enumerate() {
        match insert(&mut all, events).await {
            Ok(before) => head = head.or(Some(before)),
            Err(error) => {
                all.rollback().await.map_err(failed)?;
                let (within, error) = which(failed(error));
                let Some(event) = events.get(within) else {
                    return Err(error);
                };
                let error = suggest(pool, event, error).await?;
                return Err(name_event(
                    event,
                    at * EVENTS_AT_ONCE + within,
                    count,
                    error,
                ));
            }
        }
    }
    let stored = match head {
        // Cascades included: whoever appends holds the writer's lock.
        Some(head) => log::events_after(&mut *all, head).await?,
        None => Vec::new(),
    };
    // Deferred constraints are checked here.
    all.commit().await.map_err(failed)?;
    Ok(stored)
}

/// Returns the id of the last event before these.
async fn insert(
    connection: &mut PgConnection,
    events: &[NewEvent],
) -> std::result::Result<EventId, sqlx::Error> {
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let types: Vec<&str> = events.iter().map(|event| event.table.as_str()).collect();
    let uuids: Vec<Option<Uuid>> = events.iter().map(|event| event.uuid).collect();
    let datas: Vec<Json<&Row>> = events.iter().map(|event| Json(&event.data)).collect();
    let moments: Vec<Option<Timestamp>> = events.iter().map(|event| event.timestamp).collect();
    sqlx::query_scalar("SELECT sourcing.append($1, $2, $3, $4, $5)")
        .bind(kinds)
        .bind(types)
        .bind(uuids)
        .bind(datas)
        .bind(moments)
        .fetch_one(connection)
        .await
}

/// Which of the events that were sent it was, from 0, and the error without that.
fn which(error: Error) -> (usize, Error) {
    let named = error.message.strip_prefix("event ").and_then(|rest| {
        let (number, said) = rest.split_once(": ")?;
        Some((number.parse::<usize>().ok()?, said.to_owned()))
    });
    match named {
        Some((number, message)) => (number.saturating_sub(1), Error { message, ..error }),
        // Not any of them: the connection, the lock, the right to append at all.
        None => (usize::MAX, error),
    }
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
