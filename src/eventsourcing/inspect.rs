//! Looking closely: one event with its row, one row through its life.

use super::diff::{self, ColumnChange};
use super::error::{Error, ErrorCode, Result};
use super::event::{Event, EventId, Row, RowKey};
use super::history::{Effective, Standing};
use super::ranges::Ranges;
use super::row;
use super::schema::{self, Table};
use super::states::{RowEvents, Wanted};
use super::store::EventStore;

/// One event, and what it did.
#[derive(Clone, Debug, PartialEq)]
pub struct Inspection {
    /// The event.
    pub event: Event,
    /// Its standing now.
    pub standing: Standing,
    /// The first and the last event of its transaction.
    pub transaction: (EventId, EventId),
    /// Its row before it; `None` when there was none, or when it is a rollback's marker.
    pub before: Option<Row>,
    /// Its row after it.
    pub after: Option<Row>,
    /// The columns that it changed.
    pub columns: Vec<ColumnChange>,
}

/// Looks at one event. `None` when the log has no such event.
///
/// # Errors
/// The store's.
pub async fn event(store: &dyn EventStore, id: EventId) -> Result<Option<Inspection>> {
    let Some(event) = store.event(id).await? else {
        return Ok(None);
    };
    let head = store.head().await?;
    let standing = store
        .history(head)
        .await?
        .standing(head, id, event.row.as_ref());
    let transaction = store.transaction(&event).await?;
    let (mut before, mut after, mut columns) = (None, None, Vec::new());
    if let Some(key) = &event.row {
        let table = table_or_gone(store, &key.table).await?;
        let earlier = Effective {
            ids: Ranges::of(1, id - 1),
            ..Effective::default()
        };
        let mut life = RowEvents::before(store, &table, key.clone(), id);
        before = life.state(&earlier, &Wanted::All).await?;
        before = before.map(|row| row::in_column_order(&table, row));
        after =
            row::apply(&table, before.clone(), &event).map(|row| row::in_column_order(&table, row));
        columns = diff::columns(&table, before.as_ref(), after.as_ref());
    }
    Ok(Some(Inspection {
        event,
        standing,
        transaction,
        before,
        after,
        columns,
    }))
}

/// One event of a row's life.
#[derive(Clone, Debug, PartialEq)]
pub struct LifeEvent {
    /// The event.
    pub event: Event,
    /// Its standing now.
    pub standing: Standing,
    /// The columns that it changed.
    pub columns: Vec<ColumnChange>,
}

/// Every event of one row, oldest first, each with what it changed. Empty when the log does not speak of the row.
///
/// # Errors
/// The store's.
pub async fn row_history(store: &dyn EventStore, key: &RowKey) -> Result<Vec<LifeEvent>> {
    let head = store.head().await?;
    let history = store.history(head).await?;
    let table = table_or_gone(store, &key.table).await?;
    let mut before = None;
    let mut life = Vec::new();
    for event in store.events_of(std::slice::from_ref(key), head).await? {
        let after = row::apply(&table, before.clone(), &event);
        life.push(LifeEvent {
            standing: history.standing(head, event.id, event.row.as_ref()),
            columns: diff::columns(&table, before.as_ref(), after.as_ref()),
            event,
        });
        before = after;
    }
    Ok(life)
}

/// The table of this name, for reading.
///
/// # Errors
/// `UnknownTable`, with the nearest name as the hint, and the store's.
pub async fn table(store: &dyn EventStore, name: &str) -> Result<Table> {
    let mut tables = store.tables().await?;
    match tables.iter().position(|table| table.name == name) {
        Some(at) => Ok(tables.swap_remove(at)),
        None => Err(unknown_table(name, &tables)),
    }
}

/// The refusal of a table's name.
#[must_use]
pub fn unknown_table(name: &str, tables: &[Table]) -> Error {
    let error = Error::new(
        ErrorCode::UnknownTable,
        format!("there is no table \"{name}\""),
    );
    match schema::nearest(name, tables.iter().map(|table| table.name.as_str())) {
        Some(nearest) => error.hint(format!("did you mean \"{nearest}\"?")),
        None => error.hint("`ebb table` lists the tables"),
    }
}

async fn table_or_gone(store: &dyn EventStore, name: &str) -> Result<Table> {
    let tables = store.tables().await?;
    let found = tables.into_iter().find(|table| table.name == name);
    Ok(found.unwrap_or_else(|| Table::gone(name)))
}
