//! The rows that differ between two positions of the log, page by page.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};
use uuid::Uuid;

use super::diff::{self, ColumnChange};
use super::error::Result;
use super::event::{EventId, Row, RowKey};
use super::history::{EffectiveRows, History};
use super::ranges::Ranges;
use super::rollback::RowAction;
use super::row;
use super::schema::Table;
use super::scope::Scope;
use super::states::{LATEST_EVENTS, RowEvents, Wanted};
use super::store::EventStore;

/// Rows that are read at once.
const ROWS_AT_ONCE: usize = 500;

/// A row that is not the same at two positions.
#[derive(Clone, Debug, PartialEq)]
pub struct RowDifference {
    /// The row.
    pub key: RowKey,
    /// What it was at the first position; `None` where it was not.
    pub before: Option<Row>,
    /// What it was at the second one.
    pub after: Option<Row>,
    /// The columns that differ.
    pub columns: Vec<ColumnChange>,
}

impl RowDifference {
    /// The difference as the command line prints it, in the form of a plan's change.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let action = match (&self.before, &self.after) {
            (Some(_), None) => RowAction::Remove,
            (None, Some(_)) => RowAction::BringBack,
            _ => RowAction::Change,
        };
        json!({
            "type": self.key.table,
            "uuid": self.key.uuid.to_string(),
            "action": action.as_str(),
            "columns": diff::to_json(&self.columns),
        })
    }
}

/// What is left to be read.
pub struct Between<'a> {
    store: &'a dyn EventStore,
    history: History,
    from: EventId,
    to: EventId,
    /// The tables concerned, in the order of their names, each with its rows, last first.
    rows: Vec<(Table, Vec<Uuid>)>,
}

impl<'a> Between<'a> {
    /// Finds the rows that may differ. Only the events by which the positions differ are looked at.
    ///
    /// # Errors
    /// The store's.
    pub async fn open(store: &'a dyn EventStore, from: EventId, to: EventId) -> Result<Self> {
        let history = store.history(from.max(to)).await?;
        let (mut before, mut after) = (
            EffectiveRows::at(&history, from),
            EffectiveRows::at(&history, to),
        );
        let mut differing = Ranges::default();
        for scope in history.scopes_since(0) {
            let (before, after) = (
                before.of_scope(&scope).ids.clone(),
                after.of_scope(&scope).ids.clone(),
            );
            differing = differing
                .union(&before.minus(&after))
                .union(&after.minus(&before));
        }
        let tables: HashMap<String, Table> = store
            .tables()
            .await?
            .into_iter()
            .map(|table| (table.name.clone(), table))
            .collect();
        let mut rows: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
        for key in store.rows_touched(&differing, &Scope::Whole).await? {
            rows.entry(key.table).or_default().push(key.uuid);
        }
        let mut rows: Vec<(Table, Vec<Uuid>)> = rows
            .into_iter()
            .map(|(name, mut uuids)| {
                uuids.sort_unstable_by(|a, b| b.cmp(a));
                let table = tables.get(&name).cloned();
                (table.unwrap_or_else(|| Table::gone(&name)), uuids)
            })
            .collect();
        rows.reverse();
        Ok(Self {
            store,
            history,
            from,
            to,
            rows,
        })
    }

    /// The next rows that differ, by table and key; it may be none of those that were looked at. `None` when all have been.
    ///
    /// # Errors
    /// The store's.
    pub async fn next(&mut self) -> Result<Option<Vec<RowDifference>>> {
        let Some((table, left)) = self.rows.last_mut() else {
            return Ok(None);
        };
        let table = table.clone();
        let mut uuids = left.split_off(left.len().saturating_sub(ROWS_AT_ONCE));
        if left.is_empty() {
            self.rows.pop();
        }
        uuids.reverse();
        let (mut from, mut to) = (
            EffectiveRows::at(&self.history, self.from),
            EffectiveRows::at(&self.history, self.to),
        );
        let mut differences = Vec::new();
        for audit in self
            .store
            .rows_with_latest(&table, &uuids, LATEST_EVENTS)
            .await?
        {
            let key = RowKey {
                table: table.name.clone(),
                uuid: audit.uuid,
            };
            let mut life =
                RowEvents::new(self.store, &table, key.clone(), audit.events, LATEST_EVENTS);
            let before = life.state(from.of(&key), &Wanted::All).await?;
            let after = life.state(to.of(&key), &Wanted::All).await?;
            let [before, after] =
                [before, after].map(|row| row.map(|row| row::in_column_order(&table, row)));
            let columns = diff::columns(&table, before.as_ref(), after.as_ref());
            if !columns.is_empty() {
                differences.push(RowDifference {
                    key,
                    before,
                    after,
                    columns,
                });
            }
        }
        Ok(Some(differences))
    }
}
