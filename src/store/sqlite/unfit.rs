//! Which values columns cannot hold: those that SQLite would not give back as they are, and in a STRICT table those of another type.

use serde_json::Value;
use sqlx::SqliteConnection;

use super::codec::{self, Stored};
use super::error::failed;
use crate::eventsourcing::Result;
use crate::eventsourcing::schema::Table;

/// The places of those that do not fit, ascending.
pub(super) async fn unfit(
    connection: &mut SqliteConnection,
    table: &Table,
    values: &[(String, Value)],
) -> Result<Vec<usize>> {
    let is_strict: Option<bool> = sqlx::query_scalar(
        "SELECT strict FROM pragma_table_list(?) WHERE schema = 'main' AND type = 'table'",
    )
    .bind(&table.name)
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    let fits = |(name, value): &(String, Value)| {
        table.column(name).is_none_or(|column| {
            codec::encode_for(column, value).is_some_and(|stored| {
                let is_taken =
                    is_strict != Some(true) || is_of(&column.type_name.to_uppercase(), &stored);
                is_taken && column.same(value, &codec::decode(column.kind, stored))
            })
        })
    };
    let places = values.iter().enumerate();
    Ok(places
        .filter(|(_, value)| !fits(value))
        .map(|(place, _)| place)
        .collect())
}

/// Whether a STRICT table's column of this type takes it.
fn is_of(type_name: &str, stored: &Stored) -> bool {
    match stored {
        Stored::Null => true,
        Stored::Integer(_) => matches!(type_name, "INT" | "INTEGER" | "REAL" | ""),
        Stored::Real(_) => matches!(type_name, "REAL" | ""),
        Stored::Text(_) => matches!(type_name, "TEXT" | ""),
        Stored::Blob(_) => matches!(type_name, "BLOB" | ""),
    }
}
