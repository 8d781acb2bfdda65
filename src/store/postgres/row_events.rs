//! The events of rows: which there are, and how many, among some ids.

use sqlx::postgres::PgExecutor;
use sqlx::{AssertSqlSafe, Postgres, QueryBuilder};
use uuid::Uuid;

use super::error::failed;
use super::log::{Decoded, EVENT, from};
use super::reads::Reads;
use super::source::Source;
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::states::Mention;
use crate::eventsourcing::store::ChangeCounts;
use crate::eventsourcing::{Event, EventId, Result, RowKey};

pub(super) async fn events_of(
    executor: impl PgExecutor<'_>,
    source: &Source,
    rows: &[RowKey],
    through: EventId,
) -> Result<Vec<Event>> {
    let (types, uuids): (Vec<&str>, Vec<Uuid>) = rows
        .iter()
        .map(|key| (key.table.as_str(), key.uuid))
        .unzip();
    let mut query = QueryBuilder::<Postgres>::new("SELECT ");
    query
        .push(EVENT)
        .push(from(source))
        .push(" JOIN (SELECT DISTINCT * FROM unnest(");
    query.push_bind(types).push("::text[], ").push_bind(uuids);
    query.push("::uuid[])) AS wanted(type, uuid) ON e.type = wanted.type AND e.uuid = wanted.uuid WHERE e.id <= ");
    query.push_bind(through).push(" ORDER BY e.id");
    let found: Vec<Decoded> = query
        .build_query_as()
        .fetch_all(executor)
        .await
        .map_err(failed)?;
    Ok(found.into_iter().map(|Decoded(event)| event).collect())
}

/// Ids as two arrays: the first and the last of each range.
fn bounds(ids: &Ranges) -> (Vec<i64>, Vec<i64>) {
    ids.iter().unzip()
}

/// From the ranges that the parameters `$1` and `$2` give: the events `e` among them of a scope, whose table and row are
/// the parameters `$3` and `$4`.
fn in_ranges(source: &Source, scope: &Scope) -> String {
    let in_scope = match scope {
        Scope::Whole => "$3::text IS NULL AND $4::uuid IS NULL",
        Scope::Table(_) => "e.type = $3 AND $4::uuid IS NULL",
        Scope::Row(_) => "e.type = $3 AND e.uuid = $4",
    };
    format!(
        "unnest($1::bigint[], $2::bigint[]) AS range(first, last)
           JOIN {} e ON e.id BETWEEN range.first AND range.last AND {in_scope}",
        source.log
    )
}

/// Those parameters.
type Parameters = (Vec<i64>, Vec<i64>, Option<String>, Option<Uuid>);

fn parameters(ids: &Ranges, scope: &Scope) -> Parameters {
    let (first, last) = bounds(ids);
    let uuid = match scope {
        Scope::Row(row) => Some(row.uuid),
        Scope::Whole | Scope::Table(_) => None,
    };
    (first, last, scope.table().map(str::to_owned), uuid)
}

pub(super) async fn count_changes(
    reads: &Reads,
    source: &Source,
    ids: &Ranges,
    scope: &Scope,
) -> Result<ChangeCounts> {
    let (first, last, table, uuid) = parameters(ids, scope);
    let (creates, updates, deletes): (i64, i64, i64) = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT count(*) FILTER (WHERE e.event = 'create'), count(*) FILTER (WHERE e.event = 'update'),
                count(*) FILTER (WHERE e.event = 'delete')
           FROM {} WHERE e.origin IS NULL",
        in_ranges(source, scope)
    )))
    .bind(first)
    .bind(last)
    .bind(table)
    .bind(uuid)
    .fetch_one(reads)
    .await
    .map_err(failed)?;
    Ok(ChangeCounts {
        creates: creates.unsigned_abs(),
        updates: updates.unsigned_abs(),
        deletes: deletes.unsigned_abs(),
    })
}

pub(super) async fn changes_by_actor(
    reads: &Reads,
    source: &Source,
    ids: &Ranges,
    scope: &Scope,
) -> Result<Vec<(String, u64)>> {
    let (first, last, table, uuid) = parameters(ids, scope);
    let counts: Vec<(String, i64)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT e.actor, count(*) FROM {}
          WHERE e.origin IS NULL AND e.event IN ('create', 'update', 'delete') GROUP BY e.actor",
        in_ranges(source, scope)
    )))
    .bind(first)
    .bind(last)
    .bind(table)
    .bind(uuid)
    .fetch_all(reads)
    .await
    .map_err(failed)?;
    let counts = counts.into_iter();
    Ok(counts.map(|(actor, n)| (actor, n.unsigned_abs())).collect())
}

pub(super) async fn count_living(
    reads: &Reads,
    source: &Source,
    ids: &Ranges,
    scope: &Scope,
) -> Result<u64> {
    let (first, last, table, uuid) = parameters(ids, scope);
    let living: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM (
             SELECT FROM {}
              WHERE e.event IN ('create', 'delete')
              GROUP BY e.type, e.uuid
             HAVING max(e.id) FILTER (WHERE e.event = 'create') > coalesce(max(e.id) FILTER (WHERE e.event = 'delete'), 0)) AS living",
        in_ranges(source, scope)
    )))
    .bind(first)
    .bind(last)
    .bind(table)
    .bind(uuid)
    .fetch_one(reads)
    .await
    .map_err(failed)?;
    Ok(living.unsigned_abs())
}

pub(super) async fn rows_touched(
    reads: &Reads,
    source: &Source,
    ids: &Ranges,
    scope: &Scope,
) -> Result<Vec<RowKey>> {
    let (first, last, table, uuid) = parameters(ids, scope);
    let keys: Vec<(String, Uuid)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT DISTINCT e.type, e.uuid FROM {} WHERE e.event IN ('create', 'update', 'delete')",
        in_ranges(source, scope)
    )))
    .bind(first)
    .bind(last)
    .bind(table)
    .bind(uuid)
    .fetch_all(reads)
    .await
    .map_err(failed)?;
    Ok(keys
        .into_iter()
        .map(|(table, uuid)| RowKey { table, uuid })
        .collect())
}

pub(super) async fn earlier_events(
    reads: &Reads,
    source: &Source,
    row: &RowKey,
    before: EventId,
    mention: Mention<'_>,
    limit: usize,
) -> Result<Vec<Event>> {
    let mut query =
        QueryBuilder::<Postgres>::new(format!("SELECT {EVENT}{} WHERE e.type = ", from(source)));
    query.push_bind(row.table.clone());
    query.push(" AND e.uuid = ").push_bind(row.uuid);
    query.push(" AND e.id < ").push_bind(before);
    match mention {
        Mention::Any => {}
        Mention::OneOf(columns) => {
            query
                .push(" AND (e.event <> 'update' OR e.data ?| ")
                .push_bind(columns.to_vec());
            query.push(" OR e.filled ?| ").push_bind(columns.to_vec());
            query.push(")");
        }
        Mention::OtherThan(columns) => {
            query
                .push(" AND (e.event <> 'update' OR (e.data - ")
                .push_bind(columns.to_vec());
            query
                .push(") <> '{}' OR (e.filled - ")
                .push_bind(columns.to_vec());
            query.push(") <> '{}')");
        }
    }
    query.push(" ORDER BY e.id DESC LIMIT ");
    query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX));
    let found: Vec<Decoded> = query
        .build_query_as()
        .fetch_all(reads)
        .await
        .map_err(failed)?;
    Ok(found.into_iter().map(|Decoded(event)| event).collect())
}

/// At most so many of the latest events of each of these rows of a table up to this position, in id order.
pub(super) async fn latest_events(
    executor: impl PgExecutor<'_>,
    source: &Source,
    table: &str,
    rows: &[Uuid],
    through: EventId,
    latest: usize,
) -> Result<Vec<Event>> {
    let found: Vec<Decoded> = sqlx::query_as(AssertSqlSafe(format!(
        r#"SELECT {EVENT}
             FROM unnest($2::uuid[]) AS wanted(uuid)
            CROSS JOIN LATERAL (SELECT * FROM {log} i WHERE i.type = $1 AND i.uuid = wanted.uuid AND i.id <= $4 ORDER BY i.id DESC LIMIT $3) AS e
             LEFT JOIN {log} o ON o.id = e.origin AND e.event IN ('create', 'update', 'delete')
            ORDER BY e.id"#,
        log = source.log
    )))
    .bind(table)
    .bind(rows)
    .bind(i64::try_from(latest).unwrap_or(i64::MAX))
    .bind(through)
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    Ok(found.into_iter().map(|Decoded(event)| event).collect())
}
