//! Reading the tables.

use std::collections::HashMap;

use sqlx::postgres::PgExecutor;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::error::failed;
use super::log;
use super::source::{OWN, Source};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{OutsideReference, RowAudit, RowCursor, RowPage};
use crate::eventsourcing::{Error, ErrorCode, Event, EventId, Result, Row, RowKey, row};

/// A table's quoted name, the expression that gives a row of it, and the columns with their types that put its rows in an order: the primary key, or
/// the physical place for a table without one.
struct Place {
    quoted: String,
    state: String,
    order: Vec<(String, String)>,
}

async fn place(executor: impl PgExecutor<'_>, source: &Source, table: &Table) -> Result<Place> {
    let found: Option<(String, String, Vec<String>, Vec<String>)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT t.quoted, {state},
                coalesce(array_agg(quote_ident(a.attname) ORDER BY pair.at) FILTER (WHERE a.attname IS NOT NULL), '{{}}'),
                coalesce(array_agg(format_type(a.atttypid, NULL) ORDER BY pair.at) FILTER (WHERE a.attname IS NOT NULL), '{{}}')
           FROM {tables} t
           LEFT JOIN pg_constraint p ON p.conrelid = t.relation AND p.contype = 'p'
           LEFT JOIN LATERAL unnest(p.conkey) WITH ORDINALITY AS pair(num, at) ON true
           LEFT JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum = pair.num
          WHERE {named}
          GROUP BY t.quoted, t.relation",
        state = source.state,
        tables = source.tables,
        named = source.named
    )))
    .bind(&table.name)
    .fetch_optional(executor)
    .await
    .map_err(failed)?;
    let Some((quoted, state, names, types)) = found else {
        return Err(Error::new(
            ErrorCode::UnknownTable,
            format!("the table {} is gone", table.name),
        )
        .hint("somebody dropped or renamed it; look at the tables anew"));
    };
    let mut order: Vec<(String, String)> = names.into_iter().zip(types).collect();
    if order.is_empty() {
        order = vec![
            ("tableoid".to_owned(), "oid".to_owned()),
            ("ctid".to_owned(), "tid".to_owned()),
        ];
    }
    Ok(Place {
        quoted,
        state,
        order,
    })
}

pub(super) async fn count(pool: &PgPool, source: &Source, table: &Table) -> Result<u64> {
    let place = place(pool, source, table).await?;
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM {}",
        place.quoted
    )))
    .fetch_one(pool)
    .await
    .map_err(failed)?;
    Ok(count.unsigned_abs())
}

pub(super) async fn page(
    pool: &PgPool,
    source: &Source,
    table: &Table,
    after: Option<&RowCursor>,
    limit: usize,
) -> Result<RowPage> {
    let place = place(pool, source, table).await?;
    let columns: Vec<String> = place
        .order
        .iter()
        .map(|(name, _)| format!("t.{name}"))
        .collect();
    let texts: Vec<String> = columns
        .iter()
        .map(|column| format!("{column}::text"))
        .collect();
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "SELECT {}, ARRAY[{}] FROM {} t",
        place.state,
        texts.join(", "),
        place.quoted
    ));
    if let Some(RowCursor(cursor)) = after {
        let values: Vec<String> = serde_json::from_str(cursor).map_err(|_| stale_cursor(table))?;
        if values.len() != place.order.len() {
            return Err(stale_cursor(table));
        }
        query.push(format_args!(" WHERE ({}) > (", columns.join(", ")));
        for (at, (value, (_, type_name))) in values.into_iter().zip(&place.order).enumerate() {
            query.push(if at > 0 { ", " } else { "" }).push_bind(value);
            query.push(format_args!("::text::{type_name}"));
        }
        query.push(")");
    }
    query.push(format_args!(" ORDER BY {} LIMIT ", columns.join(", ")));
    query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));

    let mut found: Vec<(Json<Row>, Vec<String>)> = query
        .build_query_as()
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = match found.last() {
        Some((_, values)) if more => Some(RowCursor(serde_json::json!(values).to_string())),
        _ => None,
    };
    let rows = found
        .into_iter()
        .map(|(Json(found), _)| row::in_column_order(table, found))
        .collect();
    Ok(RowPage { rows, next })
}

fn stale_cursor(table: &Table) -> Error {
    Error::new(
        ErrorCode::Database,
        format!(
            "the primary key of {} was changed while it was read",
            table.name
        ),
    )
    .hint("read the table anew")
}

/// These rows of a table that takes part in an event store of ebb's own, as they are now.
pub(super) async fn stored(
    connection: &mut PgConnection,
    table: &Table,
    uuids: &[Uuid],
) -> Result<HashMap<Uuid, Row>> {
    stored_in(connection, &OWN, table, uuids).await
}

async fn stored_in(
    connection: &mut PgConnection,
    source: &Source,
    table: &Table,
    uuids: &[Uuid],
) -> Result<HashMap<Uuid, Row>> {
    let place = place(&mut *connection, source, table).await?;
    let Some((key, _)) = place.order.first() else {
        return Ok(HashMap::new());
    };
    let found: Vec<(Uuid, Json<Row>)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT t.{key}, {} FROM {} t WHERE t.{key} = ANY ($1)",
        place.state, place.quoted
    )))
    .bind(uuids)
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    Ok(found
        .into_iter()
        .map(|(uuid, Json(row))| (uuid, row))
        .collect())
}

pub(super) async fn outside_references(
    pool: &PgPool,
    source: &Source,
    rows: &[RowKey],
) -> Result<Vec<OutsideReference>> {
    let mut by_table: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for key in rows {
        by_table.entry(&key.table).or_default().push(key.uuid);
    }
    let names: Vec<&str> = by_table.keys().copied().collect();
    // Each foreign key from a table that takes no part, with the condition that joins its two sides.
    let keys: Vec<(String, String, String, String, String, String, String)> =
        sqlx::query_as(AssertSqlSafe(format!(
            "SELECT f.name, f.quoted, p.name, p.quoted, quote_ident(p.key), min(fa.attname::text),
                string_agg(format('f.%I = p.%I', fa.attname, pa.attname), ' AND ')
           FROM pg_constraint con
           JOIN {tables} f ON f.relation = con.conrelid AND f.key IS NULL
           JOIN {tables} p ON p.relation = con.confrelid AND p.key IS NOT NULL
          CROSS JOIN LATERAL unnest(con.conkey, con.confkey) AS pair(mine, theirs)
           JOIN pg_attribute fa ON fa.attrelid = con.conrelid AND fa.attnum = pair.mine
           JOIN pg_attribute pa ON pa.attrelid = con.confrelid AND pa.attnum = pair.theirs
          WHERE con.contype = 'f' AND con.conparentid = 0 AND p.name = ANY ($1)
          GROUP BY con.oid, con.conname, f.name, f.quoted, p.name, p.quoted, p.key
          ORDER BY f.name, con.conname",
            tables = source.tables
        )))
        .bind(&names)
        .fetch_all(pool)
        .await
        .map_err(failed)?;
    let mut references = Vec::new();
    for (table, from, pointed, to, key, column, matching) in keys {
        let uuids = by_table
            .get(pointed.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default();
        let found: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT DISTINCT p.{key} FROM {to} p JOIN {from} f ON {matching} WHERE p.{key} = ANY ($1) ORDER BY 1"
        )))
        .bind(uuids)
        .fetch_all(pool)
        .await
        .map_err(failed)?;
        references.extend(found.into_iter().map(|uuid| OutsideReference {
            table: table.clone(),
            column: column.clone(),
            to: RowKey {
                table: pointed.clone(),
                uuid,
            },
        }));
    }
    Ok(references)
}

pub(super) async fn audit_page(
    snapshot: &mut PgConnection,
    source: &Source,
    table: &Table,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<RowAudit>> {
    let mut query = QueryBuilder::<Postgres>::new("SELECT uuid FROM (");
    if let Some(key) = table.key() {
        let place = place(&mut *snapshot, source, table).await?;
        let quoted = place.order.first().map_or(key, |(name, _)| name);
        query.push(format_args!(
            "(SELECT t.{quoted} AS uuid FROM {} t",
            place.quoted
        ));
        if let Some(after) = after {
            query
                .push(format_args!(" WHERE t.{quoted} > "))
                .push_bind(after);
        }
        query
            .push(" ORDER BY 1 LIMIT ")
            .push_bind(sql_limit(limit))
            .push(") UNION ");
    }
    query.push(format_args!(
        "(SELECT DISTINCT e.uuid FROM {} e WHERE e.type = ",
        source.log
    ));
    query.push_bind(table.name.clone());
    if let Some(after) = after {
        query.push(" AND e.uuid > ").push_bind(after);
    }
    query.push(" ORDER BY 1 LIMIT ").push_bind(sql_limit(limit));
    query
        .push(")) AS keys ORDER BY uuid LIMIT ")
        .push_bind(sql_limit(limit));
    let uuids: Vec<Uuid> = query
        .build_query_scalar()
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;

    let keys: Vec<RowKey> = uuids
        .iter()
        .map(|uuid| RowKey {
            table: table.name.clone(),
            uuid: *uuid,
        })
        .collect();
    let mut events: HashMap<Uuid, Vec<Event>> = HashMap::new();
    for event in log::events_of(&mut *snapshot, source, &keys, EventId::MAX).await? {
        if let Some(key) = &event.row {
            events.entry(key.uuid).or_default().push(event);
        }
    }
    let mut rows = match table.key() {
        Some(_) => stored_in(snapshot, source, table, &uuids).await?,
        None => HashMap::new(),
    };
    Ok(uuids
        .into_iter()
        .map(|uuid| RowAudit {
            uuid,
            stored: rows.remove(&uuid),
            events: events.remove(&uuid).unwrap_or_default(),
        })
        .collect())
}

fn sql_limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}
