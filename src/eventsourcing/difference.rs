//! A row that is not what the log says, and the events after which the log says what it is.

use serde_json::Value;

use super::event::{EventKind, Row};
use super::schema::{CREATED_ON, Table, UPDATED_ON};
use super::timestamp::Timestamp;
use super::{diff, row};
use uuid::Uuid;

/// What one of those events is, but for its place in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// Create, update or delete.
    pub kind: EventKind,
    /// The columns.
    pub data: Row,
    /// What of the row that does not say.
    pub filled: Option<Row>,
}

/// The events, at this moment, that lead from what the log tells of a row to what its table has; none where that is the same.
#[must_use]
pub fn recording(
    table: &Table,
    uuid: Uuid,
    told: Option<Row>,
    there: Option<Row>,
    moment: Timestamp,
) -> Vec<Recorded> {
    let changes = match (&told, &there) {
        (Some(told), Some(there)) => diff::drift(table, told, there),
        _ => Vec::new(),
    };
    let is_written = |column: &str| table.column(column).is_some_and(|column| !column.generated);
    let event = |kind, data: Row, before: Option<&Row>, there: &Row| {
        let expected = row::expected(table, before.cloned(), kind, uuid, &data, moment);
        Recorded {
            kind,
            filled: row::filled(&expected.unwrap_or_default(), there),
            data,
        }
    };
    let create = |there: &Row| {
        let data = there.iter().filter(|(column, _)| is_written(column));
        let data = data.map(|(column, value)| (column.clone(), value.clone()));
        event(EventKind::Create, data.collect(), None, there)
    };
    let delete = || Recorded {
        kind: EventKind::Delete,
        data: Row::new(),
        filled: None,
    };
    match (&told, &there) {
        (None, None) => Vec::new(),
        (None, Some(there)) => vec![create(there)],
        (Some(_), None) => vec![delete()],
        (Some(_), Some(_)) if changes.is_empty() => Vec::new(),
        (Some(told), Some(there)) => {
            let is_given = |column: &str| {
                is_written(column)
                    && (column == UPDATED_ON
                        || changes.iter().any(|change| change.column == column))
            };
            let data = there.iter().filter(|(column, _)| is_given(column));
            let mut data: Row = data
                .map(|(column, value)| (column.clone(), value.clone()))
                .collect();
            // Columns that are gone have no values any more.
            let gone = told
                .iter()
                .filter(|(column, value)| table.column(column).is_none() && !value.is_null());
            data.extend(gone.map(|(column, _)| (column.clone(), Value::Null)));
            let update = event(EventKind::Update, data, Some(told), there);
            // What an update cannot do: change created_on, or take keys out of a JSON object.
            let beyond = changes.iter().any(|change| change.column == CREATED_ON)
                || update
                    .filled
                    .iter()
                    .flatten()
                    .any(|(column, _)| is_written(column));
            match beyond {
                true => vec![delete(), create(there)],
                false => vec![update],
            }
        }
    }
}
