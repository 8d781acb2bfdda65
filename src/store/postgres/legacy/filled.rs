//! What the database made of an event, which the older programs did not record: an event's `filled`, worked out while
//! it is read, as far as it can be known.
//!
//! - A create took the defaults of the columns that its data does not mention. Those that are constants are known:
//!   the database evaluates each once. A default such as `now()` or `gen_random_uuid()` gave another value then,
//!   and its column stays unknown.
//! - Keys of data that the table has no column for were dropped: what was stored of them is nothing, that is NULL.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};

use super::super::error::failed;
use super::super::source::Source;
use crate::eventsourcing::schema::{CREATED_ON, UPDATED_ON};
use crate::eventsourcing::{Event, EventKind, Result, Row};

/// The columns of some tables, each with its default where that is constant: an expression of nothing but constants
/// and built-in functions that are immutable. Read from the expression as it is parsed, since its text tells nothing of
/// the functions behind it; and only built-in ones, as a function of somebody else's would run with the reader's rights.
/// The key and the time columns take their values from the event itself.
const COLUMNS: &str = r#"
    SELECT t.name AS "table", a.attname::text AS "column",
           CASE WHEN d.adbin IS NOT NULL AND a.attgenerated = '' AND a.attname <> t.key AND a.attname <> ALL ($2)
                 AND NOT EXISTS (SELECT FROM regexp_matches(d.adbin::text, '\{([A-Z]+)', 'g') AS node(name)
                                  WHERE node.name[1] NOT IN ('CONST', 'FUNCEXPR', 'OPEXPR', 'RELABELTYPE', 'ARRAY', 'ARRAYEXPR'))
                 AND NOT EXISTS (SELECT FROM regexp_matches(d.adbin::text, ':(?:op)?funcid (\d+)', 'g') AS call(function)
                                   LEFT JOIN pg_proc p ON p.oid = call.function[1]::oid
                                    AND p.provolatile = 'i' AND p.pronamespace = 'pg_catalog'::regnamespace
                                  WHERE p.oid IS NULL)
           -- The cast is there because that to the column's type is not written out in the expression.
           THEN format('(%s)::%s', pg_get_expr(d.adbin, d.adrelid), format_type(a.atttypid, a.atttypmod))
           END AS "default"
      FROM {tables} t
      JOIN pg_attribute a ON a.attrelid = t.relation AND a.attnum > 0 AND NOT a.attisdropped
      LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
     WHERE t.name = ANY ($1)
     ORDER BY a.attrelid, a.attnum"#;

#[derive(FromRow)]
struct Column {
    table: String,
    column: String,
    default: Option<String>,
}

/// Works out `filled`.
#[derive(Default)]
pub(super) struct Filler {
    /// The value of each default met so far, by its expression; none when it could not be evaluated, or is NULL.
    values: Mutex<HashMap<String, Option<Value>>>,
}

impl Filler {
    /// Gives each of these events its `filled`. Events of tables that are gone stay as they are.
    pub(super) async fn fill(
        &self,
        connection: &mut PgConnection,
        source: &Source,
        mut events: Vec<&mut Event>,
    ) -> Result<()> {
        events.retain(|event| matches!(event.kind, EventKind::Create | EventKind::Update));
        let names: HashSet<String> = events
            .iter()
            .filter_map(|event| event.row.as_ref())
            .map(|row| row.table.clone())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        let names = names.into_iter().collect();
        let tables = self.columns(connection, source, names).await?;
        for event in events {
            let table = event.row.as_ref().map(|row| row.table.as_str());
            if let Some(columns) = table.and_then(|table| tables.get(table)) {
                event.filled = filled(event.kind, &event.data, columns);
            }
        }
        Ok(())
    }

    /// The columns of these tables, each with its default if that is known.
    pub(super) async fn columns(
        &self,
        connection: &mut PgConnection,
        source: &Source,
        names: Vec<String>,
    ) -> Result<HashMap<String, Vec<(String, Option<Value>)>>> {
        let found: Vec<Column> =
            sqlx::query_as(AssertSqlSafe(COLUMNS.replace("{tables}", &source.tables)))
                .bind(names)
                .bind([CREATED_ON, UPDATED_ON])
                .fetch_all(&mut *connection)
                .await
                .map_err(failed)?;
        let mut tables: HashMap<String, Vec<(String, Option<Value>)>> = HashMap::new();
        for column in found {
            let value = match &column.default {
                Some(expression) => self.value(&mut *connection, expression).await?,
                None => None,
            };
            tables
                .entry(column.table)
                .or_default()
                .push((column.column, value));
        }
        Ok(tables)
    }

    async fn value(
        &self,
        connection: &mut PgConnection,
        expression: &str,
    ) -> Result<Option<Value>> {
        let lock = || self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lock().get(expression) {
            return Ok(known.clone());
        }
        // The expression is the database's own writing of what it has parsed before.
        let evaluated: std::result::Result<Option<Value>, sqlx::Error> =
            sqlx::query_scalar(AssertSqlSafe(format!("SELECT to_jsonb({expression})")))
                .fetch_one(connection)
                .await;
        let value = match evaluated {
            Ok(value) => value,
            // One over zero, say: no event can have taken it.
            Err(sqlx::Error::Database(_)) => None,
            Err(error) => return Err(failed(error)),
        };
        lock().insert(expression.to_owned(), value.clone());
        Ok(value)
    }
}

/// What differs from the data: `columns` are the table's, each with its default if that is known.
fn filled(kind: EventKind, data: &Row, columns: &[(String, Option<Value>)]) -> Option<Row> {
    let mut filled = Row::new();
    for given in data.keys() {
        if !columns.iter().any(|(name, _)| name == given) {
            filled.insert(given.clone(), Value::Null);
        }
    }
    for (name, default) in columns {
        if let Some(default) = default
            && kind == EventKind::Create
            && !data.contains_key(name)
        {
            filled.insert(name.clone(), default.clone());
        }
    }
    (!filled.is_empty()).then_some(filled)
}
