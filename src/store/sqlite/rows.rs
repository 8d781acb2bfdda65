//! Reading the tables.

use std::collections::HashMap;

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqliteConnection};
use uuid::Uuid;

use super::error::failed;
use super::reads::Reads;
use super::schema::{self, quoted};
use super::{codec, connect, row_events};
use crate::eventsourcing::rollback::{Changes, RowAction};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{
    OutsideReference, RowAudit, RowCursor, RowPage, RowsQuery, StoredRow,
};
use crate::eventsourcing::{Error, ErrorCode, Event, EventId, Result, RowKey};

pub(super) async fn count(reads: &Reads, table: &Table) -> Result<u64> {
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT count(*) FROM {}",
        quoted(&table.name)
    )))
    .fetch_one(reads)
    .await
    .map_err(failed)?;
    Ok(count.unsigned_abs())
}

/// How many rows a table had when it was last analysed, if it was.
pub(super) async fn estimate(
    connection: &mut SqliteConnection,
    table: &Table,
) -> Result<Option<u64>> {
    let is_there = connect::has_table(connection, &table.name).await;
    if !is_there.map_err(failed)? {
        return Err(gone(table));
    }
    // ANALYZE makes it.
    let is_analysed = connect::has_table(connection, "sqlite_stat1").await;
    if !is_analysed.map_err(failed)? {
        return Ok(None);
    }
    // Of each index it begins with the number of its entries; those of a partial one are fewer than the rows.
    let rows: Option<i64> =
        sqlx::query_scalar("SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = ?")
            .bind(&table.name)
            .fetch_one(connection)
            .await
            .map_err(failed)?;
    Ok(rows.and_then(|rows| u64::try_from(rows).ok()))
}

fn gone(table: &Table) -> Error {
    Error::new(
        ErrorCode::UnknownTable,
        format!("the table {} is gone", table.name),
    )
    .hint("somebody dropped or renamed it; look at the tables anew")
}

/// What puts a table's rows in an order: its key, the rowid, or its primary key's columns when it has no rowid.
async fn order(reads: &Reads, table: &Table) -> Result<Vec<String>> {
    if let Some(key) = table.key() {
        return Ok(vec![quoted(key)]);
    }
    let without_rowid: bool =
        sqlx::query_scalar("SELECT wr FROM pragma_table_list WHERE schema = 'main' AND name = ?")
            .bind(&table.name)
            .fetch_optional(reads)
            .await
            .map_err(failed)?
            .ok_or_else(|| gone(table))?;
    if !without_rowid {
        // A column of such a name hides the rowid, and need be neither unique nor there.
        let is_free = |alias: &&str| {
            let mut columns = table.columns.iter();
            !columns.any(|column| column.name.eq_ignore_ascii_case(alias))
        };
        return match ["rowid", "_rowid_", "oid"].into_iter().find(is_free) {
            Some(alias) => Ok(vec![alias.to_owned()]),
            None => Err(Error::new(
                ErrorCode::Database,
                format!(
                    "the rows of {table} cannot be listed: its columns hide each name of the rowid"
                ),
            )
            .hint("rename its column rowid, _rowid_ or oid")),
        };
    }
    let key: Vec<String> =
        sqlx::query_scalar("SELECT name FROM pragma_table_xinfo(?) WHERE pk > 0 ORDER BY pk")
            .bind(&table.name)
            .fetch_all(reads)
            .await
            .map_err(failed)?;
    Ok(key.iter().map(|name| quoted(name)).collect())
}

pub(super) async fn page(reads: &Reads, asked: &RowsQuery<'_>) -> Result<RowPage> {
    let RowsQuery { table, limit, .. } = *asked;
    let order = order(reads, table).await?;
    let places: Vec<String> = order.iter().map(|name| format!("t.{name}")).collect();
    // The cursor is an SQL literal of each value, which SQLite itself writes and reads back exactly.
    let literals: Vec<String> = places
        .iter()
        .map(|place| format!("quote({place})"))
        .collect();
    let mut query = QueryBuilder::<Sqlite>::new(format!(
        "SELECT json_array({}), {} FROM {} t",
        literals.join(", "),
        codec::selected(table, asked.detail),
        quoted(&table.name)
    ));
    query.push(" WHERE true");
    if let Some((column, uuid)) = asked.naming {
        query.push(format_args!(" AND t.{} = ", quoted(column)));
        query.push_bind(uuid.to_string());
    }
    if let Some(cursor) = asked.after {
        let values: Vec<String> = match cursor {
            RowCursor::Key(uuid) => vec![format!("'{uuid}'")],
            RowCursor::Row(cursor) => serde_json::from_str(cursor).map_err(|error| {
                Error::new(
                    ErrorCode::Database,
                    format!("a page's cursor is damaged: {error}"),
                )
            })?,
        };
        query.push(format_args!(
            " AND ({}) > ({})",
            places.join(", "),
            values.join(", ")
        ));
    }
    query.push(format_args!(" ORDER BY {} LIMIT ", places.join(", ")));
    query.push_bind(i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));

    // Each page's text has its cursor in it: kept, a hundred prepared ones of a wide table would take more memory than all that is shown.
    let query = query.build().persistent(false);
    let found = query.fetch_all(reads).await.map_err(failed)?;
    let stored = |found: &SqliteRow| {
        Ok(StoredRow {
            row: codec::row(table, found, 1)?,
            left_out: codec::left_out(table, asked.detail, found, 1)?,
            cursor: RowCursor::Row(found.try_get(0).map_err(failed)?),
        })
    };
    Ok(RowPage {
        rows: found
            .iter()
            .take(limit)
            .map(stored)
            .collect::<Result<_>>()?,
        has_more: found.len() > limit,
    })
}

pub(super) async fn outside_references(
    connection: &mut SqliteConnection,
    tables: &[Table],
    changes: &Changes,
) -> Result<Vec<OutsideReference>> {
    let tracked = |name: &str| {
        tables
            .iter()
            .find(|table| table.name == name)
            .and_then(Table::key)
    };
    let mut references = Vec::new();
    for foreign in schema::foreign_keys(&mut *connection).await? {
        let (None, Some(key)) = (tracked(&foreign.table), tracked(&foreign.to_table)) else {
            continue;
        };
        let uuids: Vec<String> = changes
            .entries()
            .filter(|row| row.action == RowAction::Remove && row.table == foreign.to_table)
            .map(|row| row.uuid.to_string())
            .collect();
        let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT DISTINCT p.{key} FROM {} p JOIN {} f ON {} WHERE p.{key} IN (SELECT value FROM json_each(?)) ORDER BY 1",
            quoted(&foreign.to_table),
            quoted(&foreign.table),
            foreign.matching(),
            key = quoted(key),
        )))
        .bind(serde_json::json!(uuids).to_string())
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
        references.extend(found.iter().filter_map(|text| {
            Some(OutsideReference {
                table: foreign.table.clone(),
                column: foreign.columns[0].clone(),
                to: RowKey {
                    table: foreign.to_table.clone(),
                    uuid: Uuid::parse_str(text).ok()?,
                },
                unseen: None,
            })
        }));
    }
    Ok(references)
}

fn bad_key(table: &Table, key: &str) -> Error {
    Error::new(
        ErrorCode::Database,
        format!("the table {table} has a row whose key, {key}, is no uuid in lower-case text"),
    )
    .hint("it was written behind the log's back; correct it, and verify again")
}

/// Keys that are no text, or empty, which SQLite allows: they sort before or after all texts, so that going from one uuid
/// to the next would not meet them, and verifying would be silent about such rows.
async fn refuse_keys_out_of_reach(
    snapshot: &mut SqliteConnection,
    table: &Table,
    key: &str,
) -> Result<()> {
    let found: Option<String> = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT quote(t.{key}) FROM {} t WHERE t.{key} IS NULL OR t.{key} <= '' OR t.{key} >= x'' LIMIT 1",
        quoted(&table.name),
        key = quoted(key)
    )))
    .fetch_optional(snapshot)
    .await
    .map_err(failed)?;
    found.map_or(Ok(()), |found| Err(bad_key(table, &found)))
}

pub(super) async fn audit_page(
    snapshot: &mut SqliteConnection,
    table: &Table,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<RowAudit>> {
    if let (None, Some(key)) = (after, table.key()) {
        refuse_keys_out_of_reach(snapshot, table, key).await?;
    }
    let from = after.map_or_else(String::new, |after| after.to_string());
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut query = QueryBuilder::<Sqlite>::new("SELECT uuid FROM (");
    if let Some(key) = table.key() {
        query.push(format_args!(
            "SELECT * FROM (SELECT t.{key} AS uuid FROM {} t WHERE t.{key} > ",
            quoted(&table.name),
            key = quoted(key)
        ));
        query
            .push_bind(from.clone())
            .push(" ORDER BY 1 LIMIT ")
            .push_bind(limit);
        query.push(") UNION ");
    }
    query.push("SELECT * FROM (SELECT DISTINCT e.uuid FROM eventstore e WHERE e.type = ");
    query
        .push_bind(table.name.clone())
        .push(" AND e.uuid > ")
        .push_bind(from);
    query.push(" ORDER BY 1 LIMIT ").push_bind(limit);
    query.push(")) ORDER BY uuid LIMIT ").push_bind(limit);
    let texts: Vec<String> = query
        .build_query_scalar()
        .fetch_all(&mut *snapshot)
        .await
        .map_err(failed)?;
    let mut keys = Vec::with_capacity(texts.len());
    for text in texts {
        let uuid = Uuid::parse_str(&text)
            .ok()
            .filter(|uuid| uuid.to_string() == text);
        let Some(uuid) = uuid else {
            return Err(bad_key(table, &format!("\"{text}\"")));
        };
        keys.push(RowKey {
            table: table.name.clone(),
            uuid,
        });
    }
    let mut events: HashMap<Uuid, Vec<Event>> = HashMap::new();
    for event in row_events::events_of(&mut *snapshot, &keys, EventId::MAX).await? {
        if let Some(key) = &event.row {
            events.entry(key.uuid).or_default().push(event);
        }
    }
    let mut audits = Vec::with_capacity(keys.len());
    for key in keys {
        audits.push(RowAudit {
            uuid: key.uuid,
            stored: codec::stored(&mut *snapshot, table, key.uuid).await?,
            events: events.remove(&key.uuid).unwrap_or_default(),
        });
    }
    Ok(audits)
}

/// These rows of a table, each in it and in the log, with at most so many of its latest events.
pub(super) async fn with_latest(
    snapshot: &mut SqliteConnection,
    table: &Table,
    rows: &[Uuid],
    latest: usize,
) -> Result<Vec<RowAudit>> {
    let mut events: HashMap<Uuid, Vec<Event>> = HashMap::new();
    for event in
        row_events::latest_events(&mut *snapshot, &table.name, rows, EventId::MAX, latest).await?
    {
        if let Some(key) = &event.row {
            events.entry(key.uuid).or_default().push(event);
        }
    }
    let mut stored = codec::stored_rows(snapshot, table, rows).await?;
    Ok(rows
        .iter()
        .map(|uuid| RowAudit {
            uuid: *uuid,
            stored: stored.remove(uuid),
            events: events.remove(uuid).unwrap_or_default(),
        })
        .collect())
}
