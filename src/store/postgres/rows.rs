//! Reading the tables.

use std::collections::HashMap;

use futures_util::TryStreamExt;
use sqlx::postgres::PgExecutor;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow, PgConnection, Postgres, QueryBuilder};
use uuid::Uuid;

use super::error::failed;
use super::quoted;
use super::reads::Reads;
use super::row_events;
use super::source::Source;
use crate::eventsourcing::rollback::{Changes, RowAction};
use crate::eventsourcing::schema::{Column, ColumnKind, Table};
use crate::eventsourcing::store::{
    LeftOut, OutsideReference, RowAudit, RowCursor, RowPage, RowsQuery, StoredRow, VALUE_BEGINNING,
    VALUE_LIMIT,
};
use crate::eventsourcing::timeline::Detail;
use crate::eventsourcing::{Error, ErrorCode, Event, EventId, Result, Row, RowKey, row};

/// A table's quoted name, the expression that gives a row of it, and the columns with their types that put its rows in an order: the primary key, or
/// the physical place for a table without one.
struct Place {
    quoted: String,
    state: String,
    order: Vec<(String, String)>,
}

/// The expression of a row's state where a table takes no part and has columns of types that are not built in. Its owner may be
/// anybody, and a type can have casts, which are code that would run as the reader; `format` knows only what the server itself
/// does to make text of a value.
const STATE_WITHOUT_CASTS: &str = "
    SELECT '(SELECT to_jsonb(r) FROM (SELECT ' || string_agg(
               CASE WHEN a.atttypid < 16384 THEN format('t.%1$I', a.attname)
                    ELSE format('CASE WHEN t.%1$I IS DISTINCT FROM NULL THEN format(''%%s'', t.%1$I) END AS %1$I', a.attname) END,
               ', ' ORDER BY a.attnum) || ') AS r)'
      FROM pg_attribute a
     WHERE a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
    HAVING bool_or(a.atttypid >= 16384)";

async fn place(executor: impl PgExecutor<'_>, source: &Source, table: &Table) -> Result<Place> {
    let found: Option<(String, String, Vec<String>, Vec<String>)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT t.quoted, coalesce(CASE WHEN t.key IS NULL THEN ({STATE_WITHOUT_CASTS}) END, {state}),
                coalesce(array_agg(quote_ident(a.attname) ORDER BY pair.at) FILTER (WHERE a.attname IS NOT NULL), '{{}}'),
                coalesce(array_agg(format_type(a.atttypid, NULL) ORDER BY pair.at) FILTER (WHERE a.attname IS NOT NULL), '{{}}')
           FROM {tables} t
           LEFT JOIN pg_constraint p ON p.conrelid = t.relation AND p.contype = 'p'
            -- The same of the order.
            AND NOT EXISTS (SELECT FROM pg_attribute k
                             WHERE k.attrelid = t.relation AND k.attnum = ANY (p.conkey) AND k.atttypid >= 16384)
           LEFT JOIN LATERAL unnest(p.conkey) WITH ORDINALITY AS pair(num, at) ON true
           LEFT JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum = pair.num
          WHERE {named}
          GROUP BY t.quoted, t.relation, t.key",
        state = source.state,
        tables = source.tables,
        named = source.named
    )))
    .bind(&table.name)
    .fetch_optional(executor)
    .await
    .map_err(failed)?;
    let Some((quoted, state, names, types)) = found else {
        return Err(gone(table));
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

fn gone(table: &Table) -> Error {
    Error::new(
        ErrorCode::UnknownTable,
        format!("the table {} is gone", table.name),
    )
    .hint("somebody dropped or renamed it; look at the tables anew")
}

/// A failure to read the rows of a table: of one that may not be read, the name.
fn unreadable(table: &Table, error: sqlx::Error) -> Error {
    let error = failed(error);
    match error.code {
        ErrorCode::NotAllowed => Error {
            message: format!(
                "the rows of {} cannot be read: {}",
                table.name, error.message
            ),
            ..error
        },
        _ => error,
    }
}

pub(super) async fn count(reads: &Reads, source: &Source, table: &Table) -> Result<u64> {
    let place = place(reads, source, table).await?;
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM {}",
        place.quoted
    )))
    .fetch_one(reads)
    .await
    .map_err(|error| unreadable(table, error))?;
    Ok(count.unsigned_abs())
}

/// How many rows a table had when it was last analysed or vacuumed, those of its partitions and of tables that inherit from it
/// included; `None` when one of them never was.
pub(super) async fn estimate(
    executor: impl PgExecutor<'_>,
    source: &Source,
    table: &Table,
) -> Result<Option<u64>> {
    // Before PostgreSQL 14 a table that was never analysed is one without pages and rows.
    let found: (bool, Option<f64>) = sqlx::query_as(AssertSqlSafe(format!(
        "WITH RECURSIVE part(oid) AS (
             SELECT ({relation})::oid
              UNION
             SELECT i.inhrelid FROM pg_inherits i JOIN part ON i.inhparent = part.oid
         )
         SELECT count(c.oid) > 0,
                CASE WHEN bool_and(c.relkind = 'p' OR c.reltuples >= 0
                                   AND (c.relpages > 0 OR current_setting('server_version_num')::integer >= 140000))
                     THEN sum(c.reltuples::float8) FILTER (WHERE c.relkind <> 'p') END
           FROM part JOIN pg_class c ON c.oid = part.oid",
        relation = source.relation
    )))
    .bind(&table.name)
    .fetch_one(executor)
    .await
    .map_err(failed)?;
    match found {
        (false, _) => Err(gone(table)),
        // A float's conversion keeps to what fits.
        (true, rows) => Ok(rows.map(|rows| rows as u64)),
    }
}

/// A row, its place as text, and the sizes of what was left out of it.
type Found = (Json<Row>, Vec<String>, Vec<Option<i64>>);

/// A row without its long values, to stand in FROM beside the whole row, which is called `o` there; and the sizes of those values, in the order of the columns.
/// `pg_column_size` is the size as stored: it does not fetch what lies outside the row, and of a text only the beginning is fetched.
fn summary(table: &Table) -> (String, String) {
    let is_short = |column: &Column| {
        use ColumnKind::{Boolean, Integer, Real, Timestamp, TimestampTz, Uuid};
        matches!(
            column.kind,
            Boolean | Integer | Real | Timestamp | TimestampTz | Uuid
        )
    };
    let (mut values, mut sizes) = (Vec::new(), Vec::new());
    for column in &table.columns {
        let name = quoted(&column.name);
        if is_short(column) {
            values.push(format!("o.{name}"));
            sizes.push("NULL".to_owned());
            continue;
        }
        let is_long = format!("pg_column_size(o.{name}) > {VALUE_LIMIT}");
        // Only of the server's own types: a stranger's could have a cast, which would run.
        let is_text =
            column.type_name == "text" || column.type_name.starts_with("character varying");
        let beginning = match is_text {
            true => format!("pg_catalog.left(o.{name}, {VALUE_BEGINNING})"),
            false => "NULL".to_owned(),
        };
        values.push(format!(
            "CASE WHEN {is_long} THEN {beginning} ELSE o.{name} END AS {name}"
        ));
        sizes.push(format!(
            "CASE WHEN {is_long} THEN pg_column_size(o.{name})::bigint END"
        ));
    }
    (
        format!(" CROSS JOIN LATERAL (SELECT {}) t", values.join(", ")),
        format!("ARRAY[{}]::bigint[]", sizes.join(", ")),
    )
}

pub(super) async fn page(reads: &Reads, source: &Source, asked: &RowsQuery<'_>) -> Result<RowPage> {
    let RowsQuery { table, limit, .. } = *asked;
    let place = place(reads, source, table).await?;
    // The state's expression is of a row called `t`.
    let (table_as, row, sizes) = match asked.detail {
        Detail::Whole => ("t", String::new(), "'{}'::bigint[]".to_owned()),
        Detail::Summary => {
            let (row, sizes) = summary(table);
            ("o", row, sizes)
        }
    };
    let columns: Vec<String> = place
        .order
        .iter()
        .map(|(name, _)| format!("{table_as}.{name}"))
        .collect();
    let texts: Vec<String> = columns
        .iter()
        .map(|column| format!("{column}::text"))
        .collect();
    let mut query = QueryBuilder::<Postgres>::new(format!(
        "SELECT {}, ARRAY[{}], {sizes} FROM {} {table_as}{row} WHERE true",
        place.state,
        texts.join(", "),
        place.quoted
    ));
    if let Some((column, uuid)) = asked.naming {
        query.push(format_args!(" AND {table_as}.{} = ", quoted(column)));
        query.push_bind(uuid);
    }
    if let Some(cursor) = asked.after {
        let values: Vec<String> = match cursor {
            RowCursor::Key(uuid) => vec![uuid.to_string()],
            RowCursor::Row(cursor) => {
                serde_json::from_str(cursor).map_err(|_| stale_cursor(table))?
            }
        };
        if values.len() != place.order.len() {
            return Err(stale_cursor(table));
        }
        query.push(format_args!(" AND ({}) > (", columns.join(", ")));
        for (at, (value, (_, type_name))) in values.into_iter().zip(&place.order).enumerate() {
            query.push(if at > 0 { ", " } else { "" }).push_bind(value);
            query.push(format_args!("::text::{type_name}"));
        }
        query.push(")");
    }
    query.push(format_args!(" ORDER BY {} LIMIT ", columns.join(", ")));
    query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));

    let mut found: Vec<Found> = query
        .build_query_as()
        .fetch_all(reads)
        .await
        .map_err(|error| unreadable(table, error))?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let stored = |(Json(found), cursor, sizes): Found| {
        let left_out = table.columns.iter().zip(sizes);
        let left_out =
            left_out.filter_map(|(column, size)| Some((column.name.clone(), size?.unsigned_abs())));
        StoredRow {
            row: row::in_column_order(table, found),
            left_out: left_out.collect::<LeftOut>(),
            cursor: RowCursor::Row(serde_json::json!(cursor).to_string()),
        }
    };
    Ok(RowPage {
        rows: found.into_iter().map(stored).collect(),
        has_more,
    })
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

/// Hands on these rows of a table that takes part, as they are now, one by one as they arrive.
pub(super) async fn each_stored(
    connection: &mut PgConnection,
    source: &Source,
    table: &Table,
    uuids: &[Uuid],
    mut each: impl FnMut(Uuid, Row) -> Result<()>,
) -> Result<()> {
    let Some(key) = table.key() else {
        return Ok(());
    };
    // Asking the list of tables takes longer than reading the rows.
    let place: Option<(String, String, String)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT format('%I.%I', n.nspname, c.relname), {}, quote_ident($2)
           FROM (SELECT ({}) AS relation) AS t
           JOIN pg_class c ON c.oid = t.relation JOIN pg_namespace n ON n.oid = c.relnamespace",
        source.state, source.relation
    )))
    .bind(&table.name)
    .bind(key)
    .fetch_optional(&mut *connection)
    .await
    .map_err(failed)?;
    let Some((quoted, state, key)) = place else {
        return Err(gone(table));
    };
    let mut found = sqlx::query_as::<_, (Uuid, Json<Row>)>(AssertSqlSafe(format!(
        "SELECT t.{key}, {state} FROM {quoted} t WHERE t.{key} = ANY ($1)"
    )))
    .bind(uuids)
    .fetch(connection);
    while let Some((uuid, Json(row))) = found
        .try_next()
        .await
        .map_err(|error| unreadable(table, error))?
    {
        each(uuid, row)?;
    }
    Ok(())
}

/// The same, all of them.
async fn stored(
    connection: &mut PgConnection,
    source: &Source,
    table: &Table,
    uuids: &[Uuid],
) -> Result<HashMap<Uuid, Row>> {
    let mut rows = HashMap::with_capacity(uuids.len());
    each_stored(connection, source, table, uuids, |uuid, row| {
        rows.insert(uuid, row);
        Ok(())
    })
    .await?;
    Ok(rows)
}

/// A foreign key from a table that takes no part.
#[derive(FromRow)]
struct OutsideKey {
    table: String,
    quoted: String,
    column: String,
    pointed: String,
    pointed_quoted: String,
    pointed_key: String,
    /// The condition that joins its two sides.
    matching: String,
    /// The table's owner, if it is somebody whose code must not run as the reader.
    stranger: Option<String>,
    store_owner: String,
}

pub(super) async fn outside_references(
    reads: &Reads,
    source: &Source,
    tables: &[Table],
    changes: &Changes,
) -> Result<Vec<OutsideReference>> {
    if tables.iter().all(|table| table.key().is_some()) {
        return Ok(Vec::new());
    }
    let mut by_table: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for row in changes.entries() {
        if row.action == RowAction::Remove {
            by_table.entry(row.table).or_default().push(row.uuid);
        }
    }
    let names: Vec<&str> = by_table.keys().copied().collect();
    let keys: Vec<OutsideKey> = sqlx::query_as(AssertSqlSafe(format!(
        r#"SELECT f.name AS "table", f.quoted, min(fa.attname::text) AS "column",
                p.name AS pointed, p.quoted AS pointed_quoted, quote_ident(p.key) AS pointed_key,
                string_agg(format('f.%I = p.%I', fa.attname, pa.attname), ' AND ') AS matching,
                CASE WHEN NOT owner.rolsuper AND NOT pg_has_role(owner.oid, log.relowner, 'MEMBER')
                     THEN owner.rolname::text END AS stranger,
                pg_get_userbyid(log.relowner)::text AS store_owner
           FROM pg_constraint con
           JOIN {tables} f ON f.relation = con.conrelid AND f.key IS NULL
           JOIN {tables} p ON p.relation = con.confrelid AND p.key IS NOT NULL
           JOIN pg_class c ON c.oid = con.conrelid
           JOIN pg_roles owner ON owner.oid = c.relowner
           JOIN pg_class log ON log.oid = 'sourcing.eventstore'::regclass
          CROSS JOIN LATERAL unnest(con.conkey, con.confkey) AS pair(mine, theirs)
           JOIN pg_attribute fa ON fa.attrelid = con.conrelid AND fa.attnum = pair.mine
           JOIN pg_attribute pa ON pa.attrelid = con.confrelid AND pa.attnum = pair.theirs
          WHERE con.contype = 'f' AND con.conparentid = 0 AND p.name = ANY ($1)
            AND to_jsonb(con) ->> 'conenforced' IS DISTINCT FROM 'false'
          GROUP BY con.oid, con.conname, f.name, f.quoted, p.name, p.quoted, p.key, owner.oid, owner.rolname, owner.rolsuper, log.relowner
          ORDER BY f.name, con.conname"#,
        tables = source.tables
    )))
    .bind(&names)
    .fetch_all(reads)
    .await
    .map_err(failed)?;
    let mut references = Vec::new();
    for key in keys {
        let uuids = by_table
            .get(key.pointed.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default();
        let (found, unseen) = match pointed_at(reads, &key, uuids).await {
            Ok(found) => (found, None),
            // Which of the rows, nobody here may know.
            Err(error) if error.code == ErrorCode::NotAllowed => {
                (uuids.iter().copied().take(1).collect(), Some(error.message))
            }
            Err(error) => return Err(error),
        };
        references.extend(found.into_iter().map(|uuid| OutsideReference {
            table: key.table.clone(),
            column: key.column.clone(),
            to: RowKey {
                table: key.pointed.clone(),
                uuid,
            },
            unseen: unseen.clone(),
        }));
    }
    Ok(references)
}

/// Which of these rows the foreign key points at. A stranger's table is not looked into, as the database does not either when it
/// rolls back: the casts of its columns' types are code of its owner's.
async fn pointed_at(reads: &Reads, key: &OutsideKey, uuids: &[Uuid]) -> Result<Vec<Uuid>> {
    if let Some(owner) = &key.stranger {
        return Err(Error::new(
            ErrorCode::NotAllowed,
            format!(
                "its owner, {owner}, is neither a superuser nor a member of the event store's owner role, {}",
                key.store_owner
            ),
        ));
    }
    sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT DISTINCT p.{pointed} FROM {to} p JOIN {from} f ON {matching} WHERE p.{pointed} = ANY ($1) ORDER BY 1",
        pointed = key.pointed_key,
        to = key.pointed_quoted,
        from = key.quoted,
        matching = key.matching,
    )))
    .bind(uuids)
    .fetch_all(reads)
    .await
    .map_err(failed)
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
    for event in row_events::events_of(&mut *snapshot, source, &keys, EventId::MAX).await? {
        if let Some(key) = &event.row {
            events.entry(key.uuid).or_default().push(event);
        }
    }
    let mut rows = stored(snapshot, source, table, &uuids).await?;
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

/// These rows of a table, each in it and in the log, with at most so many of its latest events.
pub(super) async fn with_latest(
    snapshot: &mut PgConnection,
    source: &Source,
    table: &Table,
    rows: &[Uuid],
    latest: usize,
) -> Result<Vec<RowAudit>> {
    let mut events: HashMap<Uuid, Vec<Event>> = HashMap::new();
    let found = row_events::latest_events(
        &mut *snapshot,
        source,
        &table.name,
        rows,
        EventId::MAX,
        latest,
    )
    .await?;
    for event in found {
        if let Some(key) = &event.row {
            events.entry(key.uuid).or_default().push(event);
        }
    }
    let mut stored = stored(snapshot, source, table, rows).await?;
    Ok(rows
        .iter()
        .map(|uuid| RowAudit {
            uuid: *uuid,
            stored: stored.remove(uuid),
            events: events.remove(uuid).unwrap_or_default(),
        })
        .collect())
}
