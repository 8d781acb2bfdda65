//! Which constraints the rows of a plan would violate, found by reading alone: each constraint is asked of the rows as they would
//! be, which are parameters, together with the rows that stay.

mod distinct;
mod foreign_keys;

use std::collections::{BTreeMap, HashMap};

use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use uuid::Uuid;

use distinct::distinct;
use foreign_keys::foreign_keys;

use super::error::failed;
use super::quoted;
use crate::eventsourcing::rollback::{ChangeEntry, Changes, RowAction};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{Violated, Violation};
use crate::eventsourcing::{Result, RowKey};

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
    /// Its columns as a column definition list.
    definitions: Vec<String>,
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
                array_agg(format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)) ORDER BY a.attnum) AS definitions
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
    for table in &staged {
        let rows = &rows[table.name.as_str()];
        for living in changes.lots_of_json(rows.living.iter().copied(), ROWS_AT_ONCE) {
            let living = living?;
            found.extend(checks(connection, table, &living).await?);
            found.extend(distinct(connection, table, &living, &rows.touched).await?);
        }
    }
    let staged: HashMap<&str, &Staged> = staged
        .iter()
        .map(|table| (table.name.as_str(), table))
        .collect();
    found.extend(foreign_keys(connection, tables, &staged, &rows, changes).await?);
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
