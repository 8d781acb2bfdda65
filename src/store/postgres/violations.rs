//! Which constraints the rows of a plan would violate, found by reading alone: each constraint is asked of the rows as they would
//! be, which are parameters, together with the rows that stay.

mod distinct;
mod foreign_keys;

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use uuid::Uuid;

use distinct::distinct;
use foreign_keys::foreign_keys;

use super::error::failed;
use crate::eventsourcing::rollback::{ChangeEntry, Changes, RowAction};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{Violated, Violation};
use crate::eventsourcing::{Result, Row, RowKey};

/// Rows that are looked at together. Where there are more, values that must differ are not compared between one lot and the
/// next: the rollback itself would refuse those.
const ROWS_AT_ONCE: usize = 50_000;

/// A table with changes.
#[derive(FromRow)]
struct Staged {
    name: String,
    relation: sqlx::postgres::types::Oid,
    quoted: String,
    plain: String,
    key: String,
    /// Its columns as a column definition list, and their names.
    definitions: Vec<String>,
    columns: Vec<String>,
    /// Which of them are not generated.
    written: Vec<String>,
    /// Those of them whose values read the same from JSON as from the table.
    comparable: Vec<String>,
}

/// What becomes of a table's rows.
#[derive(Default)]
struct Rows {
    /// All of them.
    touched: Vec<Uuid>,
    /// The places of those that live then.
    living: Vec<usize>,
}

/// The violations, of each constraint one.
pub(super) async fn violations(
    connection: &mut PgConnection,
    tables: &[Table],
    changes: &Changes,
) -> Result<Vec<Violation>> {
    let entries: Vec<ChangeEntry<'_>> = changes.entries().collect();
    let mut rows: BTreeMap<&str, Rows> = BTreeMap::new();
    for (table, places) in changes.by_table() {
        let touched = places.iter().map(|place| entries[*place].uuid).collect();
        let mut living = places;
        living.retain(|place| entries[*place].action != RowAction::Remove);
        rows.insert(table, Rows { touched, living });
    }
    let taking_part = |name: &str| {
        let table = tables.iter().find(|table| table.name == name)?;
        Some((table.name.as_str(), table.key()?))
    };
    let (names, keys): (Vec<&str>, Vec<&str>) =
        rows.keys().filter_map(|name| taking_part(name)).unzip();
    let staged: Vec<Staged> = sqlx::query_as(
        "SELECT t.name, t.relation, format('%I.%I', n.nspname, c.relname) AS quoted, quote_ident(c.relname) AS plain, t.key,
                array_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum) AS definitions,
                array_agg(a.attname::text ORDER BY a.attnum) AS columns,
                array_agg(a.attname::text) FILTER (WHERE a.attgenerated = '') AS written,
                coalesce(array_agg(a.attname::text) FILTER (WHERE a.attgenerated = '' AND a.atttypid = ANY (ARRAY['bool', 'int2', 'int4', 'int8',
                    'numeric', 'text', 'varchar', 'uuid', 'date', 'timestamp', 'timestamptz', 'jsonb']::regtype[])), '{}') AS comparable
           FROM (SELECT given.name, given.key, sourcing.find(given.name) AS relation FROM unnest($1::text[], $2::text[]) AS given(name, key)) AS t
           JOIN pg_class c ON c.oid = t.relation
           JOIN pg_namespace n ON n.oid = c.relnamespace
           JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
          GROUP BY t.name, t.relation, n.nspname, c.relname, t.key
          ORDER BY t.name",
    )
    .bind(&names)
    .bind(&keys)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let mut found = Vec::new();
    let mut unfit = HashSet::new();
    for table in &staged {
        let rows = &rows[table.name.as_str()];
        for living in changes.lots_of_json(rows.living.iter().copied(), ROWS_AT_ONCE) {
            let living = living?;
            let values = values(connection, table, &living).await?;
            if !values.is_empty() {
                // Nothing else can be asked of rows that the table cannot take.
                unfit.insert(table.name.as_str());
                found.extend(values);
                continue;
            }
            found.extend(checks(connection, table, &living).await?);
            found.extend(distinct(connection, table, &living, &rows.touched).await?);
        }
    }
    let fit: HashMap<&str, &Staged> = staged
        .iter()
        .filter(|table| !unfit.contains(table.name.as_str()))
        .map(|table| (table.name.as_str(), table))
        .collect();
    found.extend(foreign_keys(connection, tables, &fit, &rows, changes).await?);
    Ok(found)
}

impl Staged {
    /// The rows of the parameter of this number, under this name.
    fn rows(&self, number: usize, alias: &str) -> String {
        format!(
            "jsonb_to_recordset(${number}::jsonb) AS {alias}({})",
            self.definitions.join(", ")
        )
    }

    fn violation(
        &self,
        kind: Violated,
        constraint: &str,
        row: Uuid,
        rows: i64,
        words: String,
    ) -> Violation {
        Violation {
            kind,
            constraint: constraint.to_owned(),
            row: RowKey {
                table: self.name.clone(),
                uuid: row,
            },
            rows: rows.unsigned_abs(),
            words,
        }
    }
}

/// Values that a column cannot take any more, or would not keep as they are.
async fn values(
    connection: &mut PgConnection,
    table: &Staged,
    living: &[Box<RawValue>],
) -> Result<Vec<Violation>> {
    let query = format!(
        "SELECT r.{key}, c.key, g.given -> c.key, count(*) OVER (PARTITION BY c.key)
           FROM jsonb_array_elements($1) AS g(given)
          CROSS JOIN LATERAL jsonb_to_record(g.given) AS r({definitions})
          CROSS JOIN LATERAL jsonb_each(to_jsonb(r.*)) AS c
          WHERE c.key = ANY ($2) AND c.value <> g.given -> c.key
            AND NOT (jsonb_typeof(c.value) <> jsonb_typeof(g.given -> c.key) AND c.value #>> '{{}}' = g.given ->> c.key)",
        key = quoted(&table.key),
        definitions = table.definitions.join(", "),
    );
    // The row, the column, what the log says of it, and how many such rows there are.
    type Changed = (Uuid, String, Json<Value>, i64);
    let changed: sqlx::Result<Vec<Changed>> = sqlx::query_as(AssertSqlSafe(query))
        .bind(Json(living))
        .bind(&table.comparable)
        .fetch_all(&mut *connection)
        .await;
    match changed {
        Ok(changed) => {
            let mut columns = HashSet::new();
            let first = changed
                .into_iter()
                .filter(|(_, column, ..)| columns.insert(column.clone()));
            Ok(first
                .map(|(row, column, given, rows)| {
                    let words = format!(
                        "{column} was {}, which the column would not keep as it is",
                        given.0
                    );
                    table.violation(Violated::Value, &column, row, rows, words)
                })
                .collect())
        }
        Err(error) if is_about_data(&error) => unfit_values(connection, table, living).await,
        Err(error) => Err(failed(error)),
    }
}

/// Whether a value could not be read as the type that it should have, or is none of its domain's.
fn is_about_data(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("22") || code == "23514" || code == "23502")
}

/// The columns whose values the table cannot take: each with the first of them.
async fn unfit_values(
    connection: &mut PgConnection,
    table: &Staged,
    living: &[Box<RawValue>],
) -> Result<Vec<Violation>> {
    let mut found = Vec::new();
    let all = table.columns.iter().zip(&table.definitions);
    for (column, definition) in all.filter(|(column, _)| table.written.contains(column)) {
        let query = format!("SELECT count(*) FROM jsonb_to_recordset($1) AS r({definition})");
        let mut takes = async |rows: &[Box<RawValue>]| -> Result<bool> {
            let taken: sqlx::Result<i64> = sqlx::query_scalar(AssertSqlSafe(query.clone()))
                .bind(Json(rows))
                .fetch_one(&mut *connection)
                .await;
            match taken {
                Ok(_) => Ok(true),
                Err(error) if is_about_data(&error) => Ok(false),
                Err(error) => Err(failed(error)),
            }
        };
        if takes(living).await? {
            continue;
        }
        // The first one that it does not take, by halves.
        let mut rest = living;
        while rest.len() > 1 {
            let (first, second) = rest.split_at(rest.len() / 2);
            rest = if takes(first).await? { second } else { first };
        }
        let Some(row) = rest.first() else { continue };
        let row: Row = serde_json::from_str(row.get())
            .map_err(|error| failed(sqlx::Error::Decode(error.into())))?;
        let value = row.get(column).unwrap_or(&Value::Null);
        let words = format!("{column} was {value}, which the column, {definition}, cannot take");
        let uuid = row.get(&table.key).and_then(Value::as_str);
        let uuid = uuid.and_then(|text| text.parse().ok()).unwrap_or_default();
        found.push(table.violation(Violated::Value, column, uuid, 1, words));
    }
    Ok(found)
}

async fn checks(
    connection: &mut PgConnection,
    table: &Staged,
    living: &[Box<RawValue>],
) -> Result<Vec<Violation>> {
    let checks: Vec<(String, String)> = sqlx::query_as(
        "SELECT conname::text, pg_get_expr(conbin, conrelid) FROM pg_constraint
          WHERE conrelid = $1 AND contype = 'c' AND to_jsonb(pg_constraint) ->> 'conenforced' IS DISTINCT FROM 'false' ORDER BY conname",
    )
    .bind(table.relation)
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let mut found = Vec::new();
    for (name, expression) in checks {
        let violating: sqlx::Result<Option<(Uuid, i64)>> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT {}, count(*) OVER () FROM {} WHERE NOT ({expression}) LIMIT 1",
            quoted(&table.key),
            table.rows(1, &table.plain)
        )))
        .bind(Json(living))
        .fetch_optional(&mut *connection)
        .await;
        match violating {
            Ok(None) => {}
            Ok(Some((row, rows))) => {
                let words = format!("it would violate the check {name}: {expression}");
                found.push(table.violation(Violated::Check, &name, row, rows, words));
            }
            // It speaks of generated columns or of the whole row: only the table itself can tell, when the rollback writes.
            Err(error) if failed_to_mean(&error) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Ok(found)
}

/// Whether an expression of the table's means nothing outside of it.
fn failed_to_mean(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code.starts_with("42") && code != "42501")
}

/// An identifier, quoted.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
