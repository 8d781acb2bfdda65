//! What differs between two states of a row.

use serde_json::{Value, json};

use super::event::Row;
use super::schema::Table;
use super::value;

/// One column, before and after. NULL and "no row" are both JSON `null` here.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnChange {
    /// The column.
    pub column: String,
    /// Its value before.
    pub from: Value,
    /// Its value after.
    pub to: Value,
}

/// The columns that differ, in the table's order; columns that the table no longer has come last.
#[must_use]
pub fn columns(table: &Table, before: Option<&Row>, after: Option<&Row>) -> Vec<ColumnChange> {
    let known = table.columns.iter().map(|column| column.name.as_str());
    let mut names: Vec<&str> = known.collect();
    for row in [before, after].into_iter().flatten() {
        for name in row.keys() {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
    }
    let of = |row: Option<&Row>, name: &str| {
        row.and_then(|row| row.get(name))
            .cloned()
            .unwrap_or(Value::Null)
    };
    names
        .into_iter()
        .map(|name| ColumnChange {
            column: name.to_owned(),
            from: of(before, name),
            to: of(after, name),
        })
        .filter(|change| !value::same(&change.from, &change.to))
        .collect()
}

/// The columns in which a row is not what the log says. A column that the log speaks of and the table no longer has is the
/// schema's change, not the row's, as is one that the table has got since; generated ones follow from the others.
#[must_use]
pub fn drift(table: &Table, logged: &Row, stored: &Row) -> Vec<ColumnChange> {
    let written = table.columns.iter().filter(|column| !column.generated);
    written
        .filter_map(|column| {
            let stored = stored.get(&column.name).unwrap_or(&Value::Null);
            let logged = logged.get(&column.name);
            (!column.holds(logged, stored)).then(|| ColumnChange {
                column: column.name.clone(),
                from: logged.cloned().unwrap_or(Value::Null),
                to: stored.clone(),
            })
        })
        .collect()
}

/// The changes as the command line prints them: `{"smiles": {"from": "DEF", "to": null}}`.
#[must_use]
pub fn to_json(changes: &[ColumnChange]) -> Value {
    changes
        .iter()
        .map(|change| {
            (
                change.column.clone(),
                json!({"from": change.from, "to": change.to}),
            )
        })
        .collect::<Row>()
        .into()
}
