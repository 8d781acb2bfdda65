//! Appending events: the database applies them, and refuses what it must.

use serde_json::value::{RawValue, to_raw_value};
use sqlx::postgres::PgArguments;
use sqlx::types::Json;
use sqlx::{Arguments, AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::error::{failed, is_deadlock};
use super::{log, schema};
use crate::eventsourcing::schema::nearest;
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Error, ErrorCode, Event, EventId, NewEvent, Result, inspect};

/// How many events are sent to the database at once, and how many bytes of data: enough to make long runs of one kind, few enough
/// for its memory.
const EVENTS_AT_ONCE: usize = 5000;
const BYTES_AT_ONCE: usize = 16 << 20;

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
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut next = prepare(events)?;
    if next.0 == events.len() {
        // A transaction of its own, in one message and its answer.
        let log = format!("sourcing.appended({ARGUMENTS})");
        return match log::appended(pool, &log, next.1).await {
            Ok(stored) => Ok(stored),
            Err(error) => Err(refused(pool, events, 0, error).await?),
        };
    }
    let mut all = pool.begin().await.map_err(failed)?;
    let mut head: Option<EventId> = None;
    let sql = format!("SELECT sourcing.append({ARGUMENTS})");
    let mut sent = 0;
    while next.0 > 0 {
        let (count, arguments_now) = next;
        let rest = &events[sent + count..];
        let appending =
            sqlx::query_scalar_with(AssertSqlSafe(&*sql), arguments_now).fetch_one(&mut *all);
        // The database applies these while the next ones are made ready.
        let (before, prepared) = tokio::join!(appending, async { prepare(rest) });
        match before {
            Ok(before) => head = head.or(Some(before)),
            Err(error) => {
                all.rollback().await.map_err(failed)?;
                return Err(refused(pool, events, sent, error).await?);
            }
        }
        sent += count;
        next = prepared?;
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

/// The arguments for as many of these events as are sent at once, and how many those are: at least one, if there is one.
fn prepare(events: &[NewEvent]) -> Result<(usize, PgArguments)> {
    let mut datas: Vec<Json<Box<RawValue>>> = Vec::new();
    let mut bytes = 0;
    for event in events.iter().take(EVENTS_AT_ONCE) {
        let data = to_raw_value(&event.data)
            .map_err(|error| Error::new(ErrorCode::BadJson, format!("{event}: {error}")))?;
        bytes += data.get().len();
        if bytes > BYTES_AT_ONCE && !datas.is_empty() {
            break;
        }
        datas.push(Json(data));
    }
    let events = &events[..datas.len()];
    Ok((events.len(), arguments(events, datas)?))
}

/// The arguments of `sourcing.append` and `sourcing.appended`.
const ARGUMENTS: &str = "$1, $2, $3, $4, $5";

fn arguments(events: &[NewEvent], datas: Vec<Json<Box<RawValue>>>) -> Result<PgArguments> {
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let types: Vec<&str> = events.iter().map(|event| event.table.as_str()).collect();
    let uuids: Vec<Option<Uuid>> = events.iter().map(|event| event.uuid).collect();
    let moments: Vec<Option<Timestamp>> = events.iter().map(|event| event.timestamp).collect();
    let mut arguments = PgArguments::default();
    arguments
        .add(kinds)
        .and_then(|()| arguments.add(types))
        .and_then(|()| arguments.add(uuids))
        .and_then(|()| arguments.add(datas))
        .and_then(|()| arguments.add(moments))
        .map_err(|error| failed(sqlx::Error::Encode(error)))?;
    Ok(arguments)
}

/// What is said of a refusal of some of these events, which were sent from the one at `from` on.
async fn refused(
    pool: &PgPool,
    events: &[NewEvent],
    from: usize,
    error: sqlx::Error,
) -> Result<Error> {
    let (within, error) = which(failed(error));
    let Some(at) = within
        .map(|within| from + within)
        .filter(|at| *at < events.len())
    else {
        return Ok(error);
    };
    let error = suggest(pool, &events[at], error).await?;
    Ok(name_event(&events[at], at, events.len(), error))
}

/// Which of the events that were sent it was, from 0, and the error without that. None where it is not any of them: the connection, the
/// lock, the right to append at all.
fn which(error: Error) -> (Option<usize>, Error) {
    let named = error.message.strip_prefix("event ").and_then(|rest| {
        let (number, said) = rest.split_once(": ")?;
        Some((number.parse::<usize>().ok()?, said.to_owned()))
    });
    match named {
        Some((number, message)) => (number.checked_sub(1), Error { message, ..error }),
        None => (None, error),
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
