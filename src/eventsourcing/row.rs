//! What an event does to a row, and the fold of a row's events into its state.

use serde_json::Value;
use uuid::Uuid;

use super::event::{Event, EventKind, Row};
use super::schema::{CREATED_ON, ColumnKind, Table, UPDATED_ON};
use super::timestamp::{self, Timestamp};
use super::value;

/// What the rules make of an event's data, before the database has had its say
/// (defaults, rounding, triggers: those are the event's `filled`).
///
/// `None` is "no such row", before and after. A create or a restore does not look at the state
/// before; an update of no row leaves no row. Refusing such events is the store's business: a log
/// that has them, taken over from another program, still has to fold to something.
#[must_use]
pub fn expected(
    table: &Table,
    before: Option<Row>,
    kind: EventKind,
    uuid: Uuid,
    data: &Row,
    timestamp: Timestamp,
) -> Option<Row> {
    match kind {
        EventKind::Create => {
            let mut row = Row::new();
            if let Some(key) = table.key() {
                row.insert(key.to_owned(), Value::String(uuid.to_string()));
            }
            stamp(table, &mut row, CREATED_ON, timestamp);
            stamp(table, &mut row, UPDATED_ON, timestamp);
            for (column, given) in data {
                row.insert(column.clone(), given.clone());
            }
            Some(row)
        }
        EventKind::Update => {
            let mut row = before?;
            stamp(table, &mut row, UPDATED_ON, timestamp);
            for (column, given) in data {
                let held = row.remove(column);
                row.insert(column.clone(), assign(table, column, held, given));
            }
            Some(row)
        }
        EventKind::Restore => Some(data.clone()),
        EventKind::Delete => None,
        EventKind::Rollback | EventKind::RollbackEnd => before,
    }
}

/// The value a time column takes from its event.
#[must_use]
pub fn stamp_value(kind: ColumnKind, timestamp: Timestamp) -> Value {
    let text = timestamp::column_text(timestamp);
    Value::String(match kind {
        ColumnKind::Timestamp => text,
        _ => text + "+00:00",
    })
}

fn stamp(table: &Table, row: &mut Row, column: &str, timestamp: Timestamp) {
    if let Some(column) = table.column(column) {
        row.insert(column.name.clone(), stamp_value(column.kind, timestamp));
    }
}

/// A JSON object given for a JSON column that holds an object is merged into it, one level deep,
/// the new keys winning; a NULL column counts as `{}`. Everything else replaces.
fn assign(table: &Table, column: &str, held: Option<Value>, given: &Value) -> Value {
    // An object in a column that is gone was one of a JSON column.
    let is_json = table
        .column(column)
        .is_none_or(|column| column.kind == ColumnKind::Json);
    match (held, given) {
        (Some(Value::Object(mut held)), Value::Object(given)) if is_json => {
            for (key, new) in given {
                held.insert(key.clone(), new.clone());
            }
            Value::Object(held)
        }
        _ => given.clone(),
    }
}

/// The row after one more of its events: the rules, and `filled` laid over them.
#[must_use]
pub fn apply(table: &Table, before: Option<Row>, event: &Event) -> Option<Row> {
    let Some(key) = &event.row else {
        return before;
    };
    let mut row = expected(
        table,
        before,
        event.kind,
        key.uuid,
        &event.data,
        event.stamp,
    )?;
    for (column, stored) in event.filled.iter().flatten() {
        match table.column(column) {
            // Data for a column that the table does not have, of which nothing was stored.
            None if stored.is_null() => drop(row.shift_remove(column)),
            _ => drop(row.insert(column.clone(), stored.clone())),
        }
    }
    Some(row)
}

/// The state of a row: the fold of its events, which the caller gives in id order.
#[must_use]
pub fn fold<'a>(table: &Table, events: impl IntoIterator<Item = &'a Event>) -> Option<Row> {
    events
        .into_iter()
        .fold(None, |row, event| apply(table, row, event))
}

/// The columns whose stored value differs from the expected one: an event's `filled`.
/// `None` when there is nothing to tell.
#[must_use]
pub fn filled(expected: &Row, stored: &Row) -> Option<Row> {
    let differing: Row = stored
        .iter()
        .filter(|(column, stored)| {
            !value::same(stored, expected.get(*column).unwrap_or(&Value::Null))
        })
        .map(|(column, stored)| (column.clone(), stored.clone()))
        .collect();
    (!differing.is_empty()).then_some(differing)
}

/// The row with every column of the table, in the table's order; one that it does not have is what it was added with, or NULL.
/// Columns that the table no longer has come last.
#[must_use]
pub fn in_column_order(table: &Table, mut row: Row) -> Row {
    let mut ordered = Row::new();
    for column in &table.columns {
        let held = row.shift_remove(&column.name);
        let held = held
            .or_else(|| column.unspoken.clone())
            .unwrap_or(Value::Null);
        ordered.insert(column.name.clone(), held);
    }
    ordered.extend(row);
    ordered
}
