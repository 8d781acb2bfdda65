//! The events of rows: which there are, and how many, among some ids.

use sqlx::sqlite::SqliteExecutor;
use sqlx::{AssertSqlSafe, QueryBuilder, Sqlite};
use uuid::Uuid;

use super::error::failed;
use super::log::{Decoded, EVENT, FROM, uuids};
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::states::Mention;
use crate::eventsourcing::store::ChangeCounts;
use crate::eventsourcing::{Event, EventId, Result, RowKey};

pub(super) async fn events_of(
    executor: impl SqliteExecutor<'_>,
    rows: &[RowKey],
    through: EventId,
) -> Result<Vec<Event>> {
    let wanted: Vec<[String; 2]> = rows
        .iter()
        .map(|key| [key.table.clone(), key.uuid.to_string()])
        .collect();
    let found: Vec<Decoded> = sqlx::query_as(AssertSqlSafe(format!(
        "WITH wanted AS (SELECT DISTINCT value ->> 0 AS type, value ->> 1 AS uuid FROM json_each(?))
         SELECT {EVENT} FROM wanted CROSS JOIN eventstore e ON e.type = wanted.type AND e.uuid = wanted.uuid AND e.id <= ?
           LEFT JOIN eventstore o ON o.id = e.origin AND e.event IN ('create', 'update', 'delete')
          ORDER BY e.id"
    )))
    .bind(serde_json::json!(wanted).to_string())
    .bind(through)
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    Ok(found.into_iter().map(|Decoded(event)| event).collect())
}

/// Ranges of ids as JSON, and the clause that reads them: pairs of the first and the last.
pub(super) fn ranges_json(ids: &Ranges) -> String {
    serde_json::json!(ids.iter().collect::<Vec<_>>()).to_string()
}

/// Joins the events `e` in the ranges that the parameter `?1` lists. CROSS JOIN fixes the order: ranges first.
pub(super) const IN_RANGES: &str = "json_each(?1) AS range CROSS JOIN eventstore e
    ON e.id BETWEEN range.value ->> 0 AND range.value ->> 1";

/// The condition that an event is of this scope, whose table and row are the parameters `?2` and `?3`.
fn in_scope(scope: &Scope) -> &'static str {
    match scope {
        Scope::Whole => "?2 IS NULL AND ?3 IS NULL",
        Scope::Table(_) => "e.type = ?2 AND ?3 IS NULL",
        Scope::Row(_) => "e.type = ?2 AND e.uuid = ?3",
    }
}

/// Those parameters.
fn scope_parameters(scope: &Scope) -> (Option<String>, Option<String>) {
    let uuid = match scope {
        Scope::Row(row) => Some(row.uuid.to_string()),
        Scope::Whole | Scope::Table(_) => None,
    };
    (scope.table().map(str::to_owned), uuid)
}

/// The rows of a scope that live after the events that the parameter `?1` lists, each with its create.
pub(super) fn living(scope: &Scope) -> String {
    format!(
        "SELECT type, uuid, born
           FROM (SELECT e.type, e.uuid, max(e.id) FILTER (WHERE e.event = 'create') AS born,
                        max(e.id) FILTER (WHERE e.event = 'delete') AS died
                   FROM {IN_RANGES}
                  WHERE e.event IN ('create', 'delete') AND {} GROUP BY e.type, e.uuid)
          WHERE born > coalesce(died, 0)",
        in_scope(scope)
    )
}

pub(super) async fn count_living(
    executor: impl SqliteExecutor<'_>,
    ids: &Ranges,
    scope: &Scope,
) -> Result<u64> {
    let (table, uuid) = scope_parameters(scope);
    let living: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM ({})",
        living(scope)
    )))
    .bind(ranges_json(ids))
    .bind(table)
    .bind(uuid)
    .fetch_one(executor)
    .await
    .map_err(failed)?;
    Ok(living.unsigned_abs())
}

pub(super) async fn count_changes(
    executor: impl SqliteExecutor<'_>,
    ids: &Ranges,
    scope: &Scope,
) -> Result<ChangeCounts> {
    let (table, uuid) = scope_parameters(scope);
    let (creates, updates, deletes): (i64, i64, i64) = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT count(*) FILTER (WHERE e.event = 'create'), count(*) FILTER (WHERE e.event = 'update'),
                count(*) FILTER (WHERE e.event = 'delete')
           FROM {IN_RANGES} WHERE e.origin IS NULL AND {}",
        in_scope(scope)
    )))
    .bind(ranges_json(ids))
    .bind(table)
    .bind(uuid)
    .fetch_one(executor)
    .await
    .map_err(failed)?;
    Ok(ChangeCounts {
        creates: creates.unsigned_abs(),
        updates: updates.unsigned_abs(),
        deletes: deletes.unsigned_abs(),
    })
}

pub(super) async fn changes_by_actor(
    executor: impl SqliteExecutor<'_>,
    ids: &Ranges,
    scope: &Scope,
) -> Result<Vec<(String, u64)>> {
    let (table, uuid) = scope_parameters(scope);
    let counts: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT +e.actor, count(*) FROM {IN_RANGES}
          WHERE e.origin IS NULL AND e.event IN ('create', 'update', 'delete') AND {} GROUP BY 1",
        in_scope(scope)
    )))
    .bind(ranges_json(ids))
    .bind(table)
    .bind(uuid)
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    let counts = counts.into_iter();
    Ok(counts.map(|(actor, n)| (actor, n.unsigned_abs())).collect())
}

pub(super) async fn rows_touched(
    executor: impl SqliteExecutor<'_>,
    ids: &Ranges,
    scope: &Scope,
) -> Result<Vec<RowKey>> {
    let (table, uuid) = scope_parameters(scope);
    let found: Vec<(String, String)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT DISTINCT e.type, e.uuid FROM {IN_RANGES} WHERE e.event IN ('create', 'update', 'delete') AND {}",
        in_scope(scope)
    )))
    .bind(ranges_json(ids))
    .bind(table)
    .bind(uuid)
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    let (tables, texts): (Vec<String>, Vec<String>) = found.into_iter().unzip();
    Ok(tables
        .into_iter()
        .zip(uuids(texts)?)
        .map(|(table, uuid)| RowKey { table, uuid })
        .collect())
}

pub(super) async fn earlier_events(
    executor: impl SqliteExecutor<'_>,
    row: &RowKey,
    before: EventId,
    mention: Mention<'_>,
    limit: usize,
) -> Result<Vec<Event>> {
    let mut query = QueryBuilder::<Sqlite>::new(format!("SELECT {EVENT}{FROM} WHERE e.type = "));
    query.push_bind(row.table.clone());
    query.push(" AND e.uuid = ").push_bind(row.uuid.to_string());
    query.push(" AND e.id < ").push_bind(before);
    match mention {
        Mention::Any => {}
        Mention::OneOf(columns) => {
            // The log's texts were written by the same serializer. What only looks like it does no harm.
            query.push(" AND (e.event <> 'update'");
            for column in columns {
                let name = serde_json::json!(column).to_string();
                query.push(" OR instr(e.data, ").push_bind(name.clone());
                query.push(") > 0 OR instr(e.filled, ").push_bind(name);
                query.push(") > 0");
            }
            query.push(")");
        }
        Mention::OtherThan(columns) => {
            // A path cannot name a column with a quotation mark in it.
            let named = columns
                .iter()
                .filter(|column| !column.contains(['"', '\\']));
            let paths: Vec<String> = named.map(|column| format!("$.\"{column}\"")).collect();
            query.push(" AND (e.event <> 'update'");
            for part in ["e.data", "coalesce(e.filled, '{}')"] {
                query.push(format_args!(" OR json_remove({part}"));
                for path in &paths {
                    query.push(", ").push_bind(path.clone());
                }
                query.push(") <> '{}'");
            }
            query.push(")");
        }
    }
    query.push(" ORDER BY e.id DESC LIMIT ");
    query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let found: Vec<Decoded> = query
        .build_query_as()
        .fetch_all(executor)
        .await
        .map_err(failed)?;
    Ok(found.into_iter().map(|Decoded(event)| event).collect())
}

/// At most so many of the latest events of each of these rows of a table up to this position, in id order.
pub(super) async fn latest_events(
    executor: impl SqliteExecutor<'_>,
    table: &str,
    rows: &[Uuid],
    through: EventId,
    latest: usize,
) -> Result<Vec<Event>> {
    let uuids: Vec<String> = rows.iter().map(Uuid::to_string).collect();
    let found: Vec<Decoded> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT {EVENT} FROM json_each(?2) AS wanted
           CROSS JOIN eventstore e ON e.id IN (
                SELECT i.id FROM eventstore i WHERE i.type = ?1 AND i.uuid = wanted.value AND i.id <= ?4 ORDER BY i.id DESC LIMIT ?3)
           LEFT JOIN eventstore o ON o.id = e.origin AND e.event IN ('create', 'update', 'delete')
          ORDER BY e.id"
    )))
    .bind(table)
    .bind(serde_json::json!(uuids).to_string())
    .bind(i64::try_from(latest).unwrap_or(i64::MAX))
    .bind(through)
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    Ok(found.into_iter().map(|Decoded(event)| event).collect())
}
