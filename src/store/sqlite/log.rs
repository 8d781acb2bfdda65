//! Reading and writing the event store's own table.

use sqlx::sqlite::{SqliteExecutor, SqliteRow};
use sqlx::{FromRow, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::super::page::push_page;
use super::error::failed;
use super::reads::Reads;
use crate::eventsourcing::history::{History, Rollback};
use crate::eventsourcing::needle;
use crate::eventsourcing::timeline::{Detail, Entry, Filter, Page, PageRequest, SUMMARY_LIMIT};
use crate::eventsourcing::timestamp::{self, Timestamp};
use crate::eventsourcing::{Error, ErrorCode, Event, EventId, Result, Row, RowKey};

/// The columns of an event, of `e` and its origin `o`. An event that a rollback repeats takes its
/// time columns from the original.
pub(super) const EVENT: &str =
    "e.id, e.event, e.type, e.uuid, e.data, e.timestamp, e.filled, e.actor, e.origin,
    coalesce(o.timestamp, e.timestamp) AS stamp";
pub(super) const FROM: &str = " FROM eventstore e LEFT JOIN eventstore o
    ON o.id = e.origin AND e.event IN ('create', 'update', 'delete')";

/// A row of the event store, decoded.
pub(super) struct Decoded(pub(super) Event);

/// A text column, parsed. Only ebb appends, so text that does not parse was put there behind its back.
fn parsed<T>(
    row: &SqliteRow,
    index: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> sqlx::Result<Option<T>> {
    let Some(text) = row.try_get::<Option<String>, _>(index)? else {
        return Ok(None);
    };
    match parse(&text) {
        Some(value) => Ok(Some(value)),
        None => Err(sqlx::Error::ColumnDecode {
            index: index.to_owned(),
            source: format!("\"{text}\" cannot be read").into(),
        }),
    }
}

fn required<T>(found: Option<T>, index: &'static str) -> sqlx::Result<T> {
    found.ok_or_else(|| sqlx::Error::ColumnDecode {
        index: index.to_owned(),
        source: "it is missing".into(),
    })
}

impl FromRow<'_, SqliteRow> for Decoded {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let json = |text: &str| serde_json::from_str::<Row>(text).ok();
        let kind = parsed(row, "event", |text| text.parse().ok())?;
        let table: Option<String> = row.try_get("type")?;
        let uuid = parsed(row, "uuid", |text| Uuid::parse_str(text).ok())?;
        Ok(Self(Event {
            id: row.try_get("id")?,
            kind: required(kind, "event")?,
            row: table.zip(uuid).map(|(table, uuid)| RowKey { table, uuid }),
            data: parsed(row, "data", json)?.unwrap_or_default(),
            timestamp: required(parsed(row, "timestamp", timestamp::parse)?, "timestamp")?,
            stamp: required(parsed(row, "stamp", timestamp::parse)?, "stamp")?,
            filled: parsed(row, "filled", json)?,
            actor: row.try_get("actor")?,
            origin: row.try_get("origin")?,
        }))
    }
}

/// Writes one event as it is.
pub(super) async fn insert(connection: &mut SqliteConnection, event: &Event) -> Result<()> {
    let json = |row: &Row| serde_json::Value::Object(row.clone()).to_string();
    sqlx::query(
        "INSERT INTO eventstore (id, event, type, uuid, data, timestamp, filled, actor, origin) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(event.id)
    .bind(event.kind.as_str())
    .bind(event.row.as_ref().map(|key| key.table.as_str()))
    .bind(event.row.as_ref().map(|key| key.uuid.to_string()))
    .bind(json(&event.data))
    .bind(timestamp::format(event.timestamp))
    .bind(event.filled.as_ref().map(json))
    .bind(&event.actor)
    .bind(event.origin)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed)
}

/// Writes events of rows, of one moment and one actor and without `filled`, by one statement.
pub(super) async fn insert_many(connection: &mut SqliteConnection, events: &[Event]) -> Result<()> {
    let Some(first) = events.first() else {
        return Ok(());
    };
    let rows: Vec<serde_json::Value> = events
        .iter()
        .map(|event| {
            let row = event.row.as_ref();
            serde_json::json!([
                event.id,
                event.kind.as_str(),
                row.map(|row| row.table.as_str()),
                row.map(|row| row.uuid.to_string()),
                serde_json::Value::Object(event.data.clone()).to_string(),
                event.origin
            ])
        })
        .collect();
    sqlx::query(
        "INSERT INTO eventstore (id, event, type, uuid, data, origin, timestamp, actor)
         SELECT value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, ?2, ?3 FROM json_each(?1)",
    )
    .bind(serde_json::Value::Array(rows).to_string())
    .bind(timestamp::format(first.timestamp))
    .bind(&first.actor)
    .execute(connection)
    .await
    .map(drop)
    .map_err(failed)
}

pub(super) async fn head(executor: impl SqliteExecutor<'_>) -> Result<EventId> {
    sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM eventstore")
        .fetch_one(executor)
        .await
        .map_err(failed)
}

pub(super) async fn event(executor: impl SqliteExecutor<'_>, id: EventId) -> Result<Option<Event>> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
    query
        .push(EVENT)
        .push(FROM)
        .push(" WHERE e.id = ")
        .push_bind(id);
    let found = query.build_query_as().fetch_optional(executor).await;
    Ok(found.map_err(failed)?.map(|Decoded(event)| event))
}

pub(super) async fn page(reads: &Reads, request: &PageRequest) -> Result<Page> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT ");
    match request.detail {
        Detail::Whole => query.push(EVENT).push(", NULL AS left_out"),
        Detail::Summary => query.push(format_args!(
            "e.id, e.event, e.type, e.uuid, e.timestamp, e.actor, e.origin, coalesce(o.timestamp, e.timestamp) AS stamp,
            CASE WHEN {SIZE} <= {SUMMARY_LIMIT} THEN e.data END AS data,
            CASE WHEN {SIZE} <= {SUMMARY_LIMIT} THEN e.filled END AS filled,
            CASE WHEN {SIZE} > {SUMMARY_LIMIT} THEN {SIZE} END AS left_out"
        )),
    };
    query.push(FROM);
    push_where(&mut query, &request.filter);
    push_page(&mut query, request);
    let rows = query.build().fetch_all(reads).await.map_err(failed)?;
    let more = rows.len() > request.limit;
    let mut entries = Vec::with_capacity(rows.len().min(request.limit));
    for row in rows.iter().take(request.limit) {
        let Decoded(event) = Decoded::from_row(row).map_err(failed)?;
        let left_out: Option<i64> = row.try_get("left_out").map_err(failed)?;
        entries.push(Entry {
            event,
            left_out: left_out.map(i64::unsigned_abs),
        });
    }
    Ok(Page { entries, more })
}

pub(super) async fn moments(
    reads: &Reads,
    request: &PageRequest,
) -> Result<Vec<(EventId, Timestamp)>> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT e.id, e.timestamp FROM eventstore e");
    push_where(&mut query, &request.filter);
    push_page(&mut query, request);
    let rows = query.build().fetch_all(reads).await.map_err(failed)?;
    let moment = |row: &SqliteRow| {
        let moment = parsed(row, "timestamp", timestamp::parse)?;
        Ok((row.try_get("id")?, required(moment, "timestamp")?))
    };
    let found = rows.iter().take(request.limit).map(moment);
    found.collect::<sqlx::Result<_>>().map_err(failed)
}

/// SQLite knows a text's size without reading it.
const SIZE: &str = "(octet_length(e.data) + coalesce(octet_length(e.filled), 0))";

/// That one of these is in a text.
fn push_contains(query: &mut QueryBuilder<Sqlite>, text: &str, needles: Vec<String>) {
    let mut any = query.separated(" OR ");
    for needle in needles {
        any.push(format!("instr(lower({text}), "));
        any.push_bind_unseparated(needle).push_unseparated(") > 0");
    }
}

/// The conditions on an event `e` that a filter shows.
pub(super) fn push_where(query: &mut QueryBuilder<Sqlite>, filter: &Filter) {
    query.push(" WHERE true");
    if let Some(table) = &filter.table {
        query.push(" AND e.type = ").push_bind(table.clone());
    }
    if let Some(kind) = filter.kind {
        query.push(" AND e.event = ").push_bind(kind.as_str());
    }
    if let Some(prefix) = &filter.uuid_prefix {
        let prefix = prefix.to_lowercase();
        query
            .push(" AND substr(e.uuid, 1, length(")
            .push_bind(prefix.clone());
        query.push(")) = ").push_bind(prefix);
    }
    if let Some(actor) = filter.exact_actor() {
        query.push(" AND e.actor = ").push_bind(actor.to_owned());
    } else if let Some(actor) = &filter.actor {
        query.push(" AND (");
        push_contains(query, "e.actor", needle::in_text(actor));
        query.push(")");
    }
    if let Some(since) = filter.since {
        query
            .push(" AND e.timestamp >= ")
            .push_bind(timestamp::format(since));
    }
    if let Some(until) = filter.until {
        query
            .push(" AND e.timestamp <= ")
            .push_bind(timestamp::format(until));
    }
    if let Some(text) = &filter.search {
        query.push(" AND (");
        push_contains(query, "e.data", needle::in_json(text));
        if let Some(prefix) = filter.uuid_searched() {
            query
                .push(format!(" OR substr(e.uuid, 1, {}) = ", prefix.len()))
                .push_bind(prefix);
        }
        query.push(")");
    }
}

pub(super) async fn history(
    executor: impl SqliteExecutor<'_>,
    through: EventId,
) -> Result<History> {
    // A marker's `before` is UTC with microseconds and without zone: with the zone it is a timestamp as the log has it. The index of the markers is
    // only used where its own condition is repeated; else the whole log is read.
    let rows = sqlx::query(
        "SELECT s.id, f.id AS finish, s.data, s.timestamp, s.actor,
                coalesce((SELECT p.id FROM eventstore p
                           WHERE p.timestamp < json_extract(s.data, '$.before') || 'Z' AND p.id < s.id
                           ORDER BY p.timestamp DESC, p.id DESC LIMIT 1), 0) AS keeps_through
           FROM eventstore f
           JOIN eventstore s ON s.id = (
                SELECT max(m.id) FROM eventstore m
                 WHERE m.event IN ('rollback', 'rollback-end') AND m.event = 'rollback' AND m.id < f.id)
          WHERE f.event IN ('rollback', 'rollback-end') AND f.event = 'rollback-end' AND f.id <= ?
          ORDER BY f.id",
    )
    .bind(through)
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    let rollbacks: Result<Vec<Rollback>> = rows.iter().map(rollback).collect();
    Ok(History::new(rollbacks?))
}

fn rollback(row: &SqliteRow) -> Result<Rollback> {
    let data: Option<Row> =
        parsed(row, "data", |text| serde_json::from_str(text).ok()).map_err(failed)?;
    let moment = parsed(row, "timestamp", timestamp::parse)
        .and_then(|moment| required(moment, "timestamp"))
        .map_err(failed)?;
    let place = |index| row.try_get::<EventId, _>(index).map_err(failed);
    Rollback::from_marker(
        (place("id")?, place("finish")?, place("keeps_through")?),
        &data.unwrap_or_default(),
        moment,
        row.try_get("actor").map_err(failed)?,
    )
}

pub(super) async fn position_before(
    executor: impl SqliteExecutor<'_>,
    moment: Timestamp,
) -> Result<EventId> {
    position(
        executor,
        "SELECT coalesce((SELECT id FROM eventstore WHERE timestamp < ? ORDER BY timestamp DESC, id DESC LIMIT 1), 0)",
        moment,
    )
    .await
}

pub(super) async fn position_through(
    executor: impl SqliteExecutor<'_>,
    moment: Timestamp,
) -> Result<EventId> {
    position(
        executor,
        "SELECT coalesce((SELECT id FROM eventstore WHERE timestamp <= ? ORDER BY timestamp DESC, id DESC LIMIT 1), 0)",
        moment,
    )
    .await
}

async fn position(
    executor: impl SqliteExecutor<'_>,
    query: &'static str,
    moment: Timestamp,
) -> Result<EventId> {
    sqlx::query_scalar(query)
        .bind(timestamp::format(moment))
        .fetch_one(executor)
        .await
        .map_err(failed)
}

pub(super) async fn types(executor: impl SqliteExecutor<'_>) -> Result<Vec<String>> {
    // From one name to the next in the index, instead of through every event.
    sqlx::query_scalar(
        "WITH RECURSIVE name(type) AS (
             SELECT min(type) FROM eventstore
             UNION ALL
             SELECT (SELECT min(e.type) FROM eventstore e WHERE e.type > name.type) FROM name WHERE name.type IS NOT NULL
         )
         SELECT type FROM name WHERE type IS NOT NULL ORDER BY type",
    )
    .fetch_all(executor)
    .await
    .map_err(failed)
}

/// Uuids that the log has as text.
pub(super) fn uuids(texts: Vec<String>) -> Result<Vec<Uuid>> {
    texts
        .iter()
        .map(|text| {
            Uuid::parse_str(text).map_err(|error| {
                Error::new(
                    ErrorCode::Database,
                    format!("the log has \"{text}\" in the place of a uuid: {error}"),
                )
            })
        })
        .collect()
}

pub(super) async fn row_keys(
    executor: impl SqliteExecutor<'_>,
    table: &str,
    through: EventId,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Uuid>> {
    let found: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT uuid FROM eventstore WHERE type = ? AND id <= ? AND uuid > ? ORDER BY uuid LIMIT ?",
    )
    .bind(table)
    .bind(through)
    // The empty text is before every uuid.
    .bind(after.map_or_else(String::new, |after| after.to_string()))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    uuids(found)
}

/// The creates, updates and deletes after one id and through another, oldest first.
pub(super) async fn changes_after(
    executor: impl SqliteExecutor<'_>,
    after: EventId,
    through: EventId,
    limit: i64,
) -> Result<Vec<Event>> {
    let mut query = QueryBuilder::<Sqlite>::new(format!("SELECT {EVENT}{FROM} WHERE e.id > "));
    query.push_bind(after);
    query.push(" AND e.id <= ").push_bind(through);
    query.push(" AND e.event IN ('create', 'update', 'delete') ORDER BY e.id LIMIT ");
    query.push_bind(limit);
    let found: Vec<Decoded> = query
        .build_query_as()
        .fetch_all(executor)
        .await
        .map_err(failed)?;
    Ok(found.into_iter().map(|Decoded(event)| event).collect())
}
