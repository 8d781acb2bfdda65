//! Looking closely: one event with its row, one row through its life.

use std::collections::BTreeMap;

use super::diff::{self, ColumnChange};
use super::error::{Error, ErrorCode, Result};
use super::event::{Event, EventId, Row, RowKey};
use super::history::{Effective, Standing};
use super::ranges::Ranges;
use super::row;
use super::schema::{self, ColumnKind, Table};
use super::states::{Mention, RowEvents, Wanted};
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
        before = state_after(store, &table, key, id - 1).await?;
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

/// A page of a row's life: its events before this id, the latest first, at most so many, each with what it changed.
///
/// # Errors
/// The store's.
pub async fn row_history_before(
    store: &dyn EventStore,
    key: &RowKey,
    before: EventId,
    limit: usize,
) -> Result<Vec<LifeEvent>> {
    let head = store.head().await?;
    let history = store.history(head).await?;
    let table = table_or_gone(store, &key.table).await?;
    let mut events = store
        .earlier_events(key, before, Mention::Any, limit)
        .await?;
    events.reverse();
    let mut state = match events.first() {
        Some(first) => state_after(store, &table, key, first.id - 1).await?,
        None => None,
    };
    let mut life = Vec::with_capacity(events.len());
    for event in events {
        let after = row::apply(&table, state.clone(), &event);
        life.push(LifeEvent {
            standing: history.standing(head.max(event.id), event.id, event.row.as_ref()),
            columns: diff::columns(&table, state.as_ref(), after.as_ref()),
            event,
        });
        state = after;
    }
    life.reverse();
    Ok(life)
}

/// One row, looked at closely.
#[derive(Clone, Debug, PartialEq)]
pub struct RowInspection {
    /// Its table, or one that is gone.
    pub table: Table,
    /// The row at the position asked for; `None` when it was not there.
    pub row: Option<Row>,
    /// The row as it is in its table.
    pub now: Option<Row>,
    /// For columns that name a row of another table: a word for that row, as it is now.
    pub names: BTreeMap<String, String>,
}

/// Looks at one row: as it is, or as it was after an event.
///
/// # Errors
/// The store's.
pub async fn row(
    store: &dyn EventStore,
    key: &RowKey,
    at: Option<EventId>,
) -> Result<RowInspection> {
    let tables = store.tables().await?;
    let found = tables.iter().find(|table| table.name == key.table);
    let Some(table) = found else {
        let table = Table::gone(&key.table);
        let at = at.unwrap_or(EventId::MAX - 1);
        let row = state_after(store, &table, key, at).await?;
        return Ok(RowInspection {
            row,
            table,
            now: None,
            names: BTreeMap::new(),
        });
    };
    let stored = store.rows_with_latest(table, &[key.uuid], 0).await?;
    let now = stored.into_iter().next().and_then(|one| one.stored);
    let now = now.map(|row| row::in_column_order(table, row));
    let row = match at {
        None => now.clone(),
        Some(at) => state_after(store, table, key, at).await?,
    };
    let names = match &row {
        Some(row) => names(store, &tables, table, row).await?,
        None => BTreeMap::new(),
    };
    Ok(RowInspection {
        table: table.clone(),
        row,
        now,
        names,
    })
}

/// For the columns of a row that name rows of other tables: a word for each of those, as it is now.
///
/// # Errors
/// The store's.
pub async fn names(
    store: &dyn EventStore,
    tables: &[Table],
    table: &Table,
    row: &Row,
) -> Result<BTreeMap<String, String>> {
    let mut names = BTreeMap::new();
    for column in &table.columns {
        let named = column.references.as_ref().and_then(|reference| {
            let uuid = row.get(&column.name)?.as_str()?.parse().ok()?;
            let table = tables.iter().find(|table| table.name == reference.table)?;
            Some((table, uuid))
        });
        if let Some((table, uuid)) = named
            && table.key().is_some()
        {
            let found = store.rows_with_latest(table, &[uuid], 0).await?;
            let found = found.into_iter().next().and_then(|one| one.stored);
            names.extend(
                found
                    .and_then(|row| word_for(table, &row))
                    .map(|word| (column.name.clone(), word)),
            );
        }
    }
    Ok(names)
}

/// Columns that people name things by, the best first.
const NAMING_COLUMNS: [&str; 7] = [
    "name",
    "short_name",
    "hid",
    "title",
    "label",
    "code",
    "smiles",
];

/// The word by which people would know a row: its name, or its first text.
#[must_use]
pub fn word_for(table: &Table, row: &Row) -> Option<String> {
    let texts = table
        .columns
        .iter()
        .filter(|column| column.kind == ColumnKind::Text);
    let known = NAMING_COLUMNS.iter().copied();
    let names = known.chain(texts.map(|column| column.name.as_str()));
    let mut words = names.filter_map(|name| row.get(name)?.as_str());
    words.find(|word| !word.is_empty()).map(str::to_owned)
}

/// The row after an event, as the log had it then.
async fn state_after(
    store: &dyn EventStore,
    table: &Table,
    key: &RowKey,
    at: EventId,
) -> Result<Option<Row>> {
    let all = Effective {
        ids: Ranges::of(1, at),
        ..Effective::default()
    };
    let mut life = RowEvents::before(store, table, key.clone(), at + 1);
    let state = life.state(&all, &Wanted::All).await?;
    Ok(state.map(|row| row::in_column_order(table, row)))
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
