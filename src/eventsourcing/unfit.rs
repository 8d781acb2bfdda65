//! Values that the log has and that their columns cannot hold any more, because they have another type now. Such a value stays in the
//! log alone, and the column is NULL: as with a column that is gone, that is the schema's change and no difference.

use serde_json::Value;

use super::error::Result;
use super::event::Row;
use super::schema::Table;
use super::store::EventStore;

/// The columns that are NULL although the log has a value for them.
#[must_use]
pub fn suspects(table: &Table, logged: &Row, stored: &Row) -> Vec<String> {
    let is_null = |row: &Row, name: &str| row.get(name).is_none_or(Value::is_null);
    let written = table.columns.iter().filter(|column| !column.generated);
    written
        .filter(|column| is_null(stored, &column.name) && !is_null(logged, &column.name))
        .map(|column| column.name.clone())
        .collect()
}

/// What the log says of a row, to be compared with the row itself: NULL where the column is NULL because it cannot hold what the log says.
///
/// # Errors
/// The store's.
pub async fn without_unfit(
    store: &dyn EventStore,
    table: &Table,
    mut logged: Option<Row>,
    stored: Option<&Row>,
) -> Result<Option<Row>> {
    if let (Some(told), Some(stored)) = (&mut logged, stored) {
        let suspects = suspects(table, told, stored);
        // Of most rows there is nothing to ask, and asking takes longer than all else that is done with one.
        if !suspects.is_empty() {
            for place in store.unfit(table, &values(&suspects, told)).await? {
                told.insert(suspects[place].clone(), Value::Null);
            }
        }
    }
    Ok(logged)
}

/// These columns with their values.
#[must_use]
pub fn values(columns: &[String], row: &Row) -> Vec<(String, Value)> {
    let columns = columns.iter();
    columns
        .map(|name| (name.clone(), row.get(name).cloned().unwrap_or(Value::Null)))
        .collect()
}
