//! What a rollback does to one row.

use serde_json::{Value, json};

use crate::eventsourcing::diff::{self, ColumnChange};
use crate::eventsourcing::event::{EventId, Row, RowKey};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::value;

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowAction {
    /// It goes.
    Remove,
    /// It comes back.
    BringBack,
    /// Its columns change.
    Change,
}

impl RowAction {
    /// Its name in `--json` output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::BringBack => "bring-back",
            Self::Change => "change",
        }
    }
}

/// What a rollback does to one row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// The row.
    pub key: RowKey,
    /// What happens to it.
    pub action: RowAction,
    /// Its columns that differ, now → then.
    pub columns: Vec<ColumnChange>,
    /// The whole row as it will be; `None` when it goes.
    pub after: Option<Row>,
    /// The create event of the row that lives now, of one that goes; 0 of others. Deletes are written newest first.
    pub born: EventId,
    /// The event that gave the row the state it returns to; `None` of one that goes.
    pub origin: Option<EventId>,
}

impl RowChange {
    /// The change as the command line prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "type": self.key.table,
            "uuid": self.key.uuid.to_string(),
            "action": self.action.as_str(),
            "columns": diff::to_json(&self.columns),
        })
    }

    /// How the row has come to differ from what the plan showed of it, behind the log's back, in words; `None` when it has not.
    #[must_use]
    pub fn changed_since(&self, table: &Table, found: Option<&Row>) -> Option<String> {
        let changing = |name: &str| self.columns.iter().find(|change| change.column == name);
        let shown: Option<Row> = match (self.action, &self.after) {
            (RowAction::BringBack, _) => None,
            (RowAction::Remove, _) | (_, None) => {
                let columns = self.columns.iter();
                Some(
                    columns
                        .map(|change| (change.column.clone(), change.from.clone()))
                        .collect(),
                )
            }
            (RowAction::Change, Some(after)) => {
                let was = |name: &String, value| {
                    changing(name).map_or(value, |change| &change.from).clone()
                };
                Some(
                    after
                        .iter()
                        .map(|(name, value)| (name.clone(), was(name, value)))
                        .collect(),
                )
            }
        };
        mismatch(table, &self.key, shown.as_ref(), found)
    }

    /// What is wrong with the row as the rollback left it, in words; `None` when it is as planned.
    #[must_use]
    pub fn mismatch(&self, table: &Table, found: Option<&Row>) -> Option<String> {
        mismatch(table, &self.key, self.after.as_ref(), found)
    }

    /// The place of its event in the log: first what goes, newest first; then what is restored, oldest first.
    pub(super) fn order(&self) -> EventId {
        match self.action {
            RowAction::Remove => -self.born,
            RowAction::BringBack | RowAction::Change => self.origin.unwrap_or_default(),
        }
    }
}

/// How a row of the table differs from what it was to be, in words; `None` when it does not. An absent column is NULL; generated
/// ones follow from the others.
fn mismatch(
    table: &Table,
    key: &RowKey,
    planned: Option<&Row>,
    found: Option<&Row>,
) -> Option<String> {
    match (planned, found) {
        (None, None) => None,
        (None, Some(_)) => Some(format!(
            "{key} is there, where the plan says that it is not"
        )),
        (Some(_), None) => Some(format!(
            "{key} is not there, where the plan says that it is"
        )),
        (Some(planned), Some(found)) => {
            let of = |row: &Row, name: &str| row.get(name).cloned().unwrap_or(Value::Null);
            let written = table.columns.iter().filter(|column| !column.generated);
            written
                .map(|column| column.name.as_str())
                .find(|name| !value::same(&of(planned, name), &of(found, name)))
                .map(|name| {
                    let (planned, found) = (of(planned, name), of(found, name));
                    format!("{key}: {name} is {found} where the plan says {planned}")
                })
        }
    }
}
