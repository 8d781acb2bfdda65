//! Writing a row of a table.

use serde_json::Value;
use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use super::codec::{self, Stored};
use super::schema::quoted;
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::{Error, ErrorCode, Result};

/// What is stored for a value.
pub(super) fn encoded(table: &Table, name: &str, given: &Value) -> Result<Stored> {
    let Some(column) = table.column(name) else {
        return Err(Error::new(
            ErrorCode::UnknownColumn,
            format!("{table} has no column \"{name}\""),
        ));
    };
    codec::encode_for(column, given).ok_or_else(|| {
        let type_name = match column.type_name.as_str() {
            "" => "no type",
            declared => declared,
        };
        let given: String = given.to_string().chars().take(200).collect();
        Error::new(
            ErrorCode::BadValue,
            format!("the column {name} of {table} ({type_name}) cannot take {given}"),
        )
        .hint("SQLite would not give it back as it is")
    })
}

/// Inserts a row.
pub(super) async fn insert_row(
    connection: &mut SqliteConnection,
    table: &Table,
    values: Vec<(&str, Stored)>,
) -> sqlx::Result<()> {
    let (names, row): (Vec<&str>, Vec<Stored>) = values.into_iter().unzip();
    insert_rows(connection, table, &names, vec![row]).await
}

/// How many values one statement can have.
const MOST_VALUES: usize = 32_766;

/// How many rows of so many columns one statement inserts: enough to make sending it cheap.
pub(super) fn most_rows_at_once(columns: usize) -> usize {
    (MOST_VALUES / columns.max(1)).clamp(1, 100)
}

/// Inserts rows, each with a value for each of these columns. `OR ABORT` takes precedence over the table's own ON CONFLICT
/// clauses: REPLACE would remove other rows, and IGNORE leave this one out, behind the log's back.
pub(super) async fn insert_rows(
    connection: &mut SqliteConnection,
    table: &Table,
    names: &[&str],
    rows: Vec<Vec<Stored>>,
) -> sqlx::Result<()> {
    let names: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let row = format!("({})", vec!["?"; names.len()].join(", "));
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "INSERT OR ABORT INTO {} ({}) VALUES {}",
        quoted(&table.name),
        names.join(", "),
        vec![row; rows.len()].join(", ")
    )));
    for value in rows.into_iter().flatten() {
        query = value.bind(query);
    }
    query.execute(connection).await.map(drop)
}

/// Changes columns of a row, and no other row: see [`insert_rows`].
pub(super) async fn update_row(
    connection: &mut SqliteConnection,
    table: &Table,
    uuid: Uuid,
    values: Vec<(&str, Stored)>,
) -> sqlx::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = values
        .iter()
        .map(|(name, _)| format!("{} = ?", quoted(name)))
        .collect();
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "UPDATE OR ABORT {} SET {} WHERE {} = ?",
        quoted(&table.name),
        names.join(", "),
        quoted(table.key().unwrap_or_default())
    )));
    for (_, value) in values {
        query = value.bind(query);
    }
    query
        .bind(uuid.to_string())
        .execute(connection)
        .await
        .map(drop)
}
