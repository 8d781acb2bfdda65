//! The tables as PostgreSQL's catalogue defines them.

use serde_json::Value;
use sqlx::postgres::PgExecutor;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow};

use super::error::failed;
use super::source::{OWN, Source};
use crate::eventsourcing::Result;
use crate::eventsourcing::schema::{Column, ColumnKind, Reference, Table, Tracking};

/// One column of one table; `column` is null for a table that has none.
#[derive(FromRow)]
struct Found {
    table: String,
    key: Option<String>,
    reason: Option<String>,
    column: Option<String>,
    type_name: Option<String>,
    base_type: Option<String>,
    is_array: Option<bool>,
    nullable: Option<bool>,
    generated: Option<bool>,
    to_table: Option<String>,
    to_column: Option<String>,
    /// What rows hold that were there before the column was.
    unspoken: Option<Json<Value>>,
    /// Its default's expression.
    default: Option<String>,
}

/// The tables beside an event store of ebb's own.
pub(super) async fn tables(executor: impl PgExecutor<'_>) -> Result<Vec<Table>> {
    tables_in(executor, &OWN).await
}

pub(super) async fn tables_in(
    executor: impl PgExecutor<'_>,
    source: &Source,
) -> Result<Vec<Table>> {
    let found: Vec<Found> = sqlx::query_as(AssertSqlSafe(format!(
        r#"SELECT t.name AS "table", t.key, t.reason, a.attname AS "column",
                  format_type(a.atttypid, a.atttypmod) AS type_name,
                  format_type(coalesce(nullif(ty.typbasetype, 0), ty.oid), NULL) AS base_type,
                  ty.typcategory = 'A' AS is_array,
                  NOT (a.attnotnull OR ty.typnotnull) AS nullable,
                  a.attgenerated <> '' AS generated,
                  reference.name AS to_table, reference.attname AS to_column,
                  -- Of a type that is not built in a cast to JSON could be anybody's code.
                  CASE WHEN a.atthasmissing AND a.atttypid < 16384 THEN array_to_json(a.attmissingval)::jsonb -> 0
                       WHEN a.atthasmissing AND ty.typtype = 'e' THEN to_jsonb((a.attmissingval::text::text[])[1]) END AS unspoken,
                  pg_get_expr(d.adbin, d.adrelid) AS "default"
             FROM {tables} t
             LEFT JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
             LEFT JOIN pg_type ty ON ty.oid = a.atttypid
             LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
             LEFT JOIN LATERAL (
                  SELECT CASE n.nspname WHEN 'public' THEN r.relname::text ELSE n.nspname || '.' || r.relname END AS name, ra.attname
                    FROM pg_constraint con
                    JOIN pg_class r ON r.oid = con.confrelid
                    JOIN pg_namespace n ON n.oid = r.relnamespace
                    JOIN pg_attribute ra ON ra.attrelid = con.confrelid AND ra.attnum = con.confkey[1]
                   WHERE con.conrelid = t.relation AND con.contype = 'f' AND con.conkey = ARRAY[a.attnum]
                   ORDER BY con.conname LIMIT 1) AS reference ON true
            ORDER BY t.name COLLATE "C", a.attnum"#,
        tables = source.tables
    )))
    .fetch_all(executor)
    .await
    .map_err(failed)?;

    let mut tables: Vec<Table> = Vec::new();
    for row in found {
        if tables.last().is_none_or(|table| table.name != row.table) {
            tables.push(Table {
                name: row.table.clone(),
                columns: Vec::new(),
                tracking: match row.key.clone() {
                    Some(key) => Tracking::Tracked { key },
                    None => Tracking::Untracked {
                        reason: row.reason.clone().unwrap_or_default(),
                    },
                },
            });
        }
        if let (Some(table), Some(column)) = (tables.last_mut(), column(row)) {
            table.columns.push(column);
        }
    }
    Ok(tables)
}

fn column(found: Found) -> Option<Column> {
    let kind = match found.is_array {
        Some(true) => ColumnKind::Array,
        _ => kind(found.base_type.as_deref().unwrap_or_default()),
    };
    let default = found
        .default
        .and_then(|expression| constant(kind, &expression));
    let nullable = found.nullable.unwrap_or(true);
    // The server forgets what a column was added with when it writes the table anew, as VACUUM FULL does. Then it need not be the default
    // of today, unless it must be something.
    let probable = default.clone().filter(|_| !nullable);
    Some(Column {
        unspoken: found.unspoken.map(|value| value.0).or(probable),
        default,
        name: found.column?,
        kind,
        type_name: found.type_name.unwrap_or_default(),
        nullable,
        generated: found.generated.unwrap_or(false),
        references: found
            .to_table
            .zip(found.to_column)
            .map(|(table, column)| Reference { table, column }),
    })
}

/// The value of a default that is a constant, as the server prints it: `'a'::text`, `7`, `true`.
fn constant(kind: ColumnKind, expression: &str) -> Option<Value> {
    let text = match expression.strip_prefix('\'') {
        Some(rest) => {
            let (text, cast) = rest.rsplit_once('\'')?;
            if !cast.is_empty() && !cast.starts_with("::") || text.replace("''", "").contains('\'')
            {
                return None;
            }
            text.replace("''", "'")
        }
        None => expression.split("::").next().unwrap_or_default().to_owned(),
    };
    let parsed = || serde_json::from_str::<Value>(&text).ok();
    match kind {
        ColumnKind::Text if expression.starts_with('\'') => Some(Value::String(text)),
        ColumnKind::Json if expression.starts_with('\'') => parsed(),
        ColumnKind::Boolean => parsed().filter(Value::is_boolean),
        ColumnKind::Integer | ColumnKind::Real | ColumnKind::Numeric => {
            parsed().filter(Value::is_number)
        }
        _ => None,
    }
}

/// From the name that `format_type` gives.
fn kind(base_type: &str) -> ColumnKind {
    match base_type {
        "json" | "jsonb" => ColumnKind::Json,
        "timestamp without time zone" => ColumnKind::Timestamp,
        "timestamp with time zone" => ColumnKind::TimestampTz,
        "boolean" => ColumnKind::Boolean,
        "smallint" | "integer" | "bigint" => ColumnKind::Integer,
        "real" | "double precision" => ColumnKind::Real,
        "numeric" => ColumnKind::Numeric,
        "text" | "character varying" | "character" => ColumnKind::Text,
        "uuid" => ColumnKind::Uuid,
        "bytea" => ColumnKind::Bytes,
        _ => ColumnKind::Other,
    }
}
