//! Reading the event store.

use serde_json::Value;
use sqlx::postgres::{PgExecutor, PgRow};
use sqlx::{AssertSqlSafe, FromRow, Postgres, QueryBuilder, Row as _};
use uuid::Uuid;

use super::super::page::push_page;
use super::error::failed;
use super::reads::Reads;
use super::source::{OWN, Source};
use crate::eventsourcing::history::{History, Rollback};
use crate::eventsourcing::needle;
use crate::eventsourcing::timeline::{Detail, Entry, Filter, Page, PageRequest, SUMMARY_LIMIT};
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Event, EventId, EventKind, Result, Row, RowKey};

/// The columns of an event, of `e` and its origin `o`. An event that a rollback repeats takes its
/// time columns from the original.
pub(super) const EVENT: &str = r#"e.id, e.event, e.type, e.uuid, e.data, e."timestamp", e.filled, e.actor, e.origin,
    coalesce(o."timestamp", e."timestamp") AS stamp"#;

pub(super) fn from(source: &Source) -> String {
    let log = &source.log;
    format!(
        " FROM {log} e LEFT JOIN {log} o ON o.id = e.origin AND e.event IN ('create', 'update', 'delete')"
    )
}

/// A row of the event store, decoded.
pub(super) struct Decoded(pub(super) Event);

impl FromRow<'_, PgRow> for Decoded {
    fn from_row(row: &PgRow) -> std::result::Result<Self, sqlx::Error> {
        let kind: String = row.try_get("event")?;
        let table: Option<String> = row.try_get("type")?;
        let uuid: Option<Uuid> = row.try_get("uuid")?;
        let data: Option<sqlx::types::Json<Value>> = row.try_get("data")?;
        let filled: Option<sqlx::types::Json<Row>> = row.try_get("filled")?;
        Ok(Self(Event {
            id: row.try_get("id")?,
            kind: match kind.as_str() {
                // What earlier programs called the beginning of a rollback.
                "rollback-begin" | "rollback-start" => Ok(EventKind::Rollback),
                kind => kind.parse(),
            }
            .map_err(|error| sqlx::Error::ColumnDecode {
                index: "event".to_owned(),
                source: Box::new(error),
            })?,
            row: table.zip(uuid).map(|(table, uuid)| RowKey { table, uuid }),
            // ebb's own are always objects; an earlier program's delete can have a JSON null, or anything else.
            data: match data {
                Some(sqlx::types::Json(Value::Object(data))) => data,
                _ => Row::new(),
            },
            timestamp: row.try_get("timestamp")?,
            stamp: row.try_get("stamp")?,
            filled: filled.map(|filled| filled.0),
            actor: row.try_get("actor")?,
            origin: row.try_get("origin")?,
        }))
    }
}

/// The head of ebb's own log.
pub(super) async fn head(executor: impl PgExecutor<'_>) -> Result<EventId> {
    head_in(executor, &OWN).await
}

pub(super) async fn head_in(executor: impl PgExecutor<'_>, source: &Source) -> Result<EventId> {
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT coalesce(max(e.id), 0) FROM {} e",
        source.log
    )))
    .fetch_one(executor)
    .await
    .map_err(failed)
}

pub(super) async fn event(
    executor: impl PgExecutor<'_>,
    source: &Source,
    id: EventId,
) -> Result<Option<Event>> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT ");
    query
        .push(EVENT)
        .push(from(source))
        .push(" WHERE e.id = ")
        .push_bind(id);
    let found = query.build_query_as().fetch_optional(executor).await;
    Ok(found.map_err(failed)?.map(|Decoded(event)| event))
}

/// The events of ebb's own log from one id through another, oldest first.
pub(super) async fn between(
    executor: impl PgExecutor<'_>,
    first: EventId,
    last: EventId,
) -> std::result::Result<Vec<Event>, sqlx::Error> {
    let mut query = where_own("e.id BETWEEN ");
    query.push_bind(first).push(" AND ").push_bind(last);
    in_order(executor, query).await
}

/// The events of ebb's own log of one moment, that is of one transaction, oldest first.
pub(super) async fn of_moment(
    executor: impl PgExecutor<'_>,
    moment: Timestamp,
) -> std::result::Result<Vec<Event>, sqlx::Error> {
    let mut query = where_own(r#"e."timestamp" = "#);
    query.push_bind(moment);
    in_order(executor, query).await
}

fn where_own(condition: &str) -> QueryBuilder<Postgres> {
    QueryBuilder::new(format!("SELECT {EVENT}{} WHERE {condition}", from(&OWN)))
}

async fn in_order(
    executor: impl PgExecutor<'_>,
    mut query: QueryBuilder<Postgres>,
) -> std::result::Result<Vec<Event>, sqlx::Error> {
    query.push(" ORDER BY e.id");
    let found: Vec<Decoded> = query.build_query_as().fetch_all(executor).await?;
    Ok(found.into_iter().map(|Decoded(event)| event).collect())
}

pub(super) async fn page(reads: &Reads, source: &Source, request: &PageRequest) -> Result<Page> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT ");
    match request.detail {
        Detail::Whole => query.push(EVENT).push(", NULL::bigint AS left_out"),
        Detail::Summary => query.push(format_args!(
            // pg_column_size is the size as stored: it does not fetch what lies outside the row.
            r#"e.id, e.event, e.type, e.uuid, e."timestamp", e.actor, e.origin, coalesce(o."timestamp", e."timestamp") AS stamp,
            CASE WHEN s.size <= {SUMMARY_LIMIT} THEN e.data END AS data,
            CASE WHEN s.size <= {SUMMARY_LIMIT} THEN e.filled END AS filled,
            CASE WHEN s.size > {SUMMARY_LIMIT} THEN s.size END AS left_out"#
        )),
    };
    query.push(from(source));
    if request.detail == Detail::Summary {
        query.push(" CROSS JOIN LATERAL (SELECT pg_column_size(e.data)::bigint + coalesce(pg_column_size(e.filled), 0) AS size) s");
    }
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
    source: &Source,
    request: &PageRequest,
) -> Result<Vec<(EventId, Timestamp)>> {
    let mut query = QueryBuilder::<Postgres>::new(format!(
        r#"SELECT e.id, e."timestamp" FROM {} e"#,
        source.log
    ));
    push_where(&mut query, &request.filter);
    push_page(&mut query, request);
    let mut found: Vec<(EventId, Timestamp)> = query
        .build_query_as()
        .fetch_all(reads)
        .await
        .map_err(failed)?;
    found.truncate(request.limit);
    Ok(found)
}

/// What this kind is called in the log.
fn names(kind: EventKind) -> Vec<&'static str> {
    match kind {
        EventKind::Rollback => vec![kind.as_str(), "rollback-begin", "rollback-start"],
        kind => vec![kind.as_str()],
    }
}

/// That one of these is in a text.
fn push_contains(query: &mut QueryBuilder<Postgres>, text: &str, needles: Vec<String>) {
    let mut any = query.separated(" OR ");
    for needle in needles {
        any.push(format!("strpos(lower({text}), "));
        any.push_bind_unseparated(needle).push_unseparated(") > 0");
    }
}

/// The conditions on an event `e` that a filter shows.
pub(super) fn push_where(query: &mut QueryBuilder<Postgres>, filter: &Filter) {
    query.push(" WHERE true");
    if let Some(table) = &filter.table {
        query.push(" AND e.type = ").push_bind(table.clone());
    }
    if let Some(kind) = filter.kind {
        query
            .push(" AND e.event = ANY (")
            .push_bind(names(kind))
            .push(")");
    }
    if let Some(prefix) = &filter.uuid_prefix {
        query
            .push(" AND starts_with(e.uuid::text, ")
            .push_bind(prefix.to_lowercase())
            .push(")");
    }
    if let Some(actor) = filter.exact_actor() {
        query.push(" AND e.actor = ").push_bind(actor.to_owned());
    } else if let Some(actor) = &filter.actor {
        query.push(" AND (");
        push_contains(query, "e.actor", needle::in_text(actor));
        query.push(")");
    }
    if let Some(since) = filter.since {
        query.push(r#" AND e."timestamp" >= "#).push_bind(since);
    }
    if let Some(until) = filter.until {
        query.push(r#" AND e."timestamp" <= "#).push_bind(until);
    }
    if let Some(text) = &filter.search {
        query.push(" AND (");
        push_contains(query, "e.data::text", needle::in_json(text));
        if let Some(prefix) = filter.uuid_searched() {
            query
                .push(" OR starts_with(e.uuid::text, ")
                .push_bind(prefix)
                .push(")");
        }
        query.push(")");
    }
}

pub(super) async fn history(reads: &Reads, through: EventId) -> Result<History> {
    let rows = sqlx::query(
        r#"SELECT s.id, f.id AS finish, s.data, s."timestamp", s.actor,
                  sourcing.position_before(sourcing.moment_before(s.data), s.id) AS keeps_through
             FROM sourcing.eventstore f
            CROSS JOIN LATERAL (SELECT * FROM sourcing.eventstore m
                                 WHERE m.event = 'rollback' AND m.id < f.id ORDER BY m.id DESC LIMIT 1) s
            WHERE f.event = 'rollback-end' AND f.id <= $1
              AND f.id > coalesce((SELECT through FROM sourcing.taken_over), 0)
            ORDER BY f.id"#,
    )
    .bind(through)
    .fetch_all(reads)
    .await
    .map_err(failed)?;
    let rollbacks: Result<Vec<Rollback>> = rows.iter().map(rollback).collect();
    Ok(History::new(rollbacks?))
}

fn rollback(row: &PgRow) -> Result<Rollback> {
    let data: sqlx::types::Json<Row> = row.try_get("data").map_err(failed)?;
    let place = |index| row.try_get::<EventId, _>(index).map_err(failed);
    Rollback::from_marker(
        (place("id")?, place("finish")?, place("keeps_through")?),
        &data,
        row.try_get("timestamp").map_err(failed)?,
        row.try_get("actor").map_err(failed)?,
    )
}

pub(super) async fn position_before(reads: &Reads, moment: Timestamp) -> Result<EventId> {
    sqlx::query_scalar("SELECT sourcing.position_before($1, 9223372036854775807)")
        .bind(moment)
        .fetch_one(reads)
        .await
        .map_err(failed)
}

pub(super) async fn position_through(reads: &Reads, moment: Timestamp) -> Result<EventId> {
    // No timestamp lies between.
    position_before(reads, moment + chrono::TimeDelta::microseconds(1)).await
}

/// How many events there are up to this id: as many, unless some were taken over from a program whose ids have gaps.
pub(super) async fn event_count(reads: &Reads, through: EventId) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(
        "SELECT coalesce((SELECT CASE WHEN $1 >= o.through THEN o.events + $1 - o.through
                                      ELSE (SELECT count(*) FROM sourcing.eventstore e WHERE e.id <= $1) END
                            FROM sourcing.taken_over o), $1)",
    )
    .bind(through)
    .fetch_one(reads)
    .await
    .map_err(failed)?;
    Ok(count.unsigned_abs())
}

/// The first and the last of the events around this one that share its timestamp.
pub(super) async fn transaction(
    reads: &Reads,
    source: &Source,
    event: &Event,
) -> Result<(EventId, EventId)> {
    sqlx::query_as(AssertSqlSafe(format!(
        r#"SELECT min(e.id), max(e.id) FROM {log} e
            WHERE e.id > coalesce((SELECT max(b.id) FROM {log} b WHERE b.id < $1 AND b."timestamp" <> $2), 0)
              AND e.id < coalesce((SELECT min(a.id) FROM {log} a WHERE a.id > $1 AND a."timestamp" <> $2), 9223372036854775807)"#,
        log = source.log
    )))
    .bind(event.id)
    .bind(event.timestamp)
    .fetch_one(reads)
    .await
    .map_err(failed)
}

pub(super) async fn types(reads: &Reads, source: &Source) -> Result<Vec<String>> {
    // From one name to the next in the index, instead of through every event.
    sqlx::query_scalar(AssertSqlSafe(format!(
        r#"WITH RECURSIVE name AS (
               SELECT min(type) AS type FROM {log} e
               UNION ALL
               SELECT (SELECT min(e.type) FROM {log} e WHERE e.type > name.type) FROM name WHERE name.type IS NOT NULL
           )
           SELECT type FROM name WHERE type IS NOT NULL ORDER BY type COLLATE "C""#,
        log = source.log
    )))
    .fetch_all(reads)
    .await
    .map_err(failed)
}

pub(super) async fn row_keys(
    reads: &Reads,
    source: &Source,
    table: &str,
    through: EventId,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Uuid>> {
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "SELECT DISTINCT uuid FROM {} e WHERE type = ",
        source.log
    ));
    query
        .push_bind(table.to_owned())
        .push(" AND id <= ")
        .push_bind(through);
    if let Some(after) = after {
        query.push(" AND uuid > ").push_bind(after);
    }
    query
        .push(" ORDER BY uuid LIMIT ")
        .push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    query
        .build_query_scalar()
        .fetch_all(reads)
        .await
        .map_err(failed)
}
