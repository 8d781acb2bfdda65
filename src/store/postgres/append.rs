//! Appending events: the database applies them, and refuses what it must.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::value::{RawValue, to_raw_value};
use sqlx::postgres::{PgArguments, PgConnection};
use sqlx::types::Json;
use sqlx::{Arguments, Connection, PgPool};
use uuid::Uuid;

use super::error::{failed, is_deadlock, is_of_event};
use super::given::{self, Given, Logged, given};
use super::schema;
use crate::eventsourcing::schema::nearest;
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Error, ErrorCode, Event, NewEvent, Result, inspect};

/// How many events are sent to the database at once, and how many bytes of data: enough to make long runs of one kind, few enough
/// for its memory.
const EVENTS_AT_ONCE: usize = 10_000;
const BYTES_AT_ONCE: usize = 16 << 20;

/// How often a transaction is tried whose end is that it and another one wait for each other. It takes the writer's lock before
/// anything else, so the other one took its locks the other way round, and has what it waited for when the second try begins.
pub(super) const TRIES: usize = 4;

/// After how long without use a connection is asked whether it still lives. A server takes longer to start again.
const ALIVE_FOR: Duration = Duration::from_millis(10);

/// Keeps the connection that appended last for the next time. A pool asks each one whether it still lives, before and after it is
/// used, which takes as long as appending an event; and the server's plans and what it knows of the tables are a connection's own.
#[derive(Default)]
pub(super) struct Appender {
    kept: Mutex<Option<(PgConnection, Instant)>>,
}

impl Appender {
    async fn connection(&self, pool: &PgPool) -> Result<PgConnection> {
        if let Some((mut connection, used)) = self.take()
            && (used.elapsed() < ALIVE_FOR || connection.ping().await.is_ok())
        {
            return Ok(connection);
        }
        // A program may drop the store where there is nobody to give it back to the pool.
        Ok(pool.acquire().await.map_err(failed)?.detach())
    }

    /// For the next time. One whose work was given up in the middle is not kept.
    fn keep(&self, connection: PgConnection) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        *kept = Some((connection, Instant::now()));
    }

    /// Lets go of the connection.
    pub(super) fn close(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<(PgConnection, Instant)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
    }
}

pub(super) async fn append(
    pool: &PgPool,
    appender: &Appender,
    events: Vec<NewEvent>,
) -> Result<Vec<Event>> {
    let events = Arc::new(events);
    for _ in 1..TRIES {
        match append_once(pool, appender, &events).await {
            Err(error) if is_deadlock(&error) => {}
            done => return done,
        }
    }
    append_once(pool, appender, &events).await
}

async fn append_once(
    pool: &PgPool,
    appender: &Appender,
    events: &Arc<Vec<NewEvent>>,
) -> Result<Vec<Event>> {
    if events.is_empty() {
        return Ok(Vec::new());
    }
    let mut connection = appender.connection(pool).await?;
    let appended = match events.as_slice() {
        [event] if event.timestamp.is_none() => match given::insert(&mut connection, event).await {
            Ok(stored) => Ok(stored),
            Err(error) => Err(refused(pool, events, 0..1, error).await?),
        },
        _ => append_many(pool, &mut connection, events).await,
    };
    if appended.is_ok() || connection.ping().await.is_ok() {
        appender.keep(connection);
    }
    appended
}

async fn append_many(
    pool: &PgPool,
    connection: &mut PgConnection,
    events: &Arc<Vec<NewEvent>>,
) -> Result<Vec<Event>> {
    let first = Part::of(events, 0)?;
    if first.events.len() < events.len() {
        return append_parts(pool, connection, events, first).await;
    }
    // A transaction of its own, in one message and its answer.
    match given(&mut *connection, APPEND, first.arguments, events).await {
        Ok(given) => {
            let mut logged = Logged::default();
            logged.add(&given, events);
            logged.events(connection).await.map_err(failed)
        }
        Err(error) => Err(refused(pool, events, first.events, error).await?),
    }
}

/// Appends more events than are sent at once, in one transaction.
async fn append_parts(
    pool: &PgPool,
    connection: &mut PgConnection,
    events: &Arc<Vec<NewEvent>>,
    first: Part,
) -> Result<Vec<Event>> {
    let mut all = connection.begin().await.map_err(failed)?;
    let mut logged = Logged::default();
    let mut answer: (Vec<Given>, Range<usize>) = (Vec::new(), 0..0);
    let mut next = first;
    while !next.events.is_empty() {
        let Part {
            events: sent,
            arguments,
        } = next;
        let appending = given(&mut *all, APPEND, arguments, &events[sent.clone()]);
        // While the database applies these, the answer to the ones before is read, and the next ones are made ready.
        let (all_events, end, (given, of)) = (Arc::clone(events), sent.end, answer);
        let meanwhile = tokio::task::spawn_blocking(move || {
            logged.add(&given, &all_events[of]);
            (logged, Part::of(&all_events, end))
        });
        let (answered, done) = tokio::join!(appending, meanwhile);
        answer = match answered {
            Ok(answered) => (answered, sent),
            Err(error) => {
                all.rollback().await.map_err(failed)?;
                return Err(refused(pool, events, sent, error).await?);
            }
        };
        let (before, prepared) =
            done.unwrap_or_else(|failure| std::panic::resume_unwind(failure.into_panic()));
        logged = before;
        next = prepared?;
    }
    logged.add(&answer.0, &events[answer.1]);
    let stored = logged.events(&mut *all).await.map_err(failed)?;
    // Deferred constraints are checked here.
    all.commit().await.map_err(failed)?;
    Ok(stored)
}

/// Some of the events, which are sent at once.
struct Part {
    events: Range<usize>,
    arguments: PgArguments,
}

impl Part {
    /// The events from one on, at least one if there is one, as many as are sent at once.
    fn of(events: &[NewEvent], from: usize) -> Result<Self> {
        let mut datas: Vec<Json<Box<RawValue>>> = Vec::new();
        let mut bytes = 0;
        for event in events[from..].iter().take(EVENTS_AT_ONCE) {
            let data = to_raw_value(&event.data)
                .map_err(|error| Error::new(ErrorCode::BadJson, format!("{event}: {error}")))?;
            bytes += data.get().len();
            if bytes > BYTES_AT_ONCE && !datas.is_empty() {
                break;
            }
            datas.push(Json(data));
        }
        let sent = from..from + datas.len();
        Ok(Self {
            arguments: arguments(&events[sent.clone()], datas)?,
            events: sent,
        })
    }
}

/// Appends, and returns the head before.
const APPEND: &str = "sourcing.append($1, $2, $3, $4, $5)";

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

/// What is said of a refusal of some of these events, which were sent together.
async fn refused(
    pool: &PgPool,
    events: &[NewEvent],
    sent: Range<usize>,
    error: sqlx::Error,
) -> Result<Error> {
    let single = sent.len() == 1 && is_of_event(&error);
    let (within, error) = match which(failed(error)) {
        (None, error) if single => (Some(0), error),
        named => named,
    };
    let Some(at) = within
        .map(|within| sent.start + within)
        .filter(|at| *at < sent.end)
    else {
        return Ok(error);
    };
    let error = suggest(pool, &events[at], error).await?;
    Ok(name_event(&events[at], at, events.len(), error))
}

/// Which of the events that were sent it was, from 0, and the error without that. None where it was sent by an INSERT, and where it is not
/// any of them: the connection, the lock, the right to append at all.
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
