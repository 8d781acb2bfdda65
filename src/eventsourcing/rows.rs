//! The rows of a table, as they are or as they were at a position, page by page: those that are asked for, in the order that is asked for.

use serde_json::Value;
use uuid::Uuid;

use super::error::{Error, ErrorCode, Result};
use super::event::{Event, EventId, Row, RowKey};
use super::history::Effective;
use super::ranges::Ranges;
use super::row;
use super::schema::{Table, Tracking};
use super::selection::Selection;
use super::states::{RowEvents, Wanted};
use super::store::{EventStore, RowCursor};

/// Rows that are read at once.
const ROWS_AT_ONCE: usize = 200;

/// How many of a row's latest events are read with those of others. Most rows have no more.
const EVENTS_AT_ONCE: usize = 8;

/// What is left to be read.
pub struct Rows<'a> {
    store: &'a dyn EventStore,
    table: &'a Table,
    /// The position; `None` for the table as it is.
    at: Option<EventId>,
    selection: Selection,
    /// How many rows may still come.
    left: usize,
    next: Next,
}

enum Next {
    /// Everything after it, in the order of the keys.
    After(Option<Cursor>),
    /// These, in this order, last first.
    These(Vec<Place>),
    Nothing,
}

enum Cursor {
    Now(RowCursor),
    Then(Uuid),
}

/// Where a row is read again.
enum Place {
    Key(Uuid),
    /// Of a table that takes no part: its rows have no keys by which to ask for them.
    Itself(Row),
}

impl<'a> Rows<'a> {
    /// Begins with the first row. Sorting looks at every row once, and keeps of each what it is sorted by.
    ///
    /// # Errors
    /// `UntrackedTable` when the past of a table is asked for that is there and takes no part, and the store's.
    pub async fn open(
        store: &'a dyn EventStore,
        table: &'a Table,
        at: Option<EventId>,
        selection: Selection,
        limit: Option<usize>,
    ) -> Result<Self> {
        if let (Tracking::Untracked { reason }, Some(_), false) =
            (&table.tracking, at, table.is_gone())
        {
            return Err(Error::new(
                ErrorCode::UntrackedTable,
                format!("the table {table} takes no part, so its past is not known: {reason}"),
            )
            .hint("leave out --at and --at-event to see its rows now"));
        }
        let mut rows = Self {
            store,
            table,
            at,
            selection,
            left: limit.unwrap_or(usize::MAX),
            next: Next::After(None),
        };
        if rows.selection.is_sorted() {
            rows.next = Next::These(rows.sorted().await?);
        }
        Ok(rows)
    }

    /// The next rows, which may be none although others follow. `None` at the end.
    ///
    /// # Errors
    /// The store's.
    pub async fn next(&mut self) -> Result<Option<Vec<Row>>> {
        let mut rows = match std::mem::replace(&mut self.next, Next::Nothing) {
            _ if self.left == 0 => return Ok(None),
            Next::Nothing => return Ok(None),
            Next::After(cursor) => {
                let (mut rows, cursor) = self.page(cursor).await?;
                self.next = cursor.map_or(Next::Nothing, |cursor| Next::After(Some(cursor)));
                rows.retain(|row| self.selection.takes(row));
                rows
            }
            Next::These(mut places) => {
                let mut lot = places.split_off(places.len().saturating_sub(ROWS_AT_ONCE));
                lot.reverse();
                if !places.is_empty() {
                    self.next = Next::These(places);
                }
                self.read_again(lot).await?
            }
        };
        rows.truncate(self.left);
        self.left -= rows.len();
        Ok(Some(rows))
    }

    /// The next rows in the order of the keys, whether they are asked for or not.
    async fn page(&self, after: Option<Cursor>) -> Result<(Vec<Row>, Option<Cursor>)> {
        let Some(position) = self.at else {
            let after = match after {
                Some(Cursor::Now(cursor)) => Some(cursor),
                _ => None,
            };
            let page = self.store.rows(self.table, after.as_ref(), ROWS_AT_ONCE);
            let page = page.await?;
            return Ok((page.rows, page.next.map(Cursor::Now)));
        };
        let after = match after {
            Some(Cursor::Then(uuid)) => Some(uuid),
            _ => None,
        };
        let name = &self.table.name;
        let keys = self.store.row_keys(name, position, after, ROWS_AT_ONCE);
        let keys = keys.await?;
        let next = keys.last().copied().filter(|_| keys.len() == ROWS_AT_ONCE);
        Ok((self.then(position, &keys).await?, next.map(Cursor::Then)))
    }

    /// Those of these rows that lived then, in the same order.
    async fn then(&self, position: EventId, keys: &[Uuid]) -> Result<Vec<Row>> {
        let mut events = std::collections::HashMap::<Uuid, Vec<Event>>::new();
        let name = &self.table.name;
        let latest = self
            .store
            .latest_events(name, keys, position, EVENTS_AT_ONCE);
        for event in latest.await? {
            if let Some(key) = &event.row {
                events.entry(key.uuid).or_default().push(event);
            }
        }
        // What the log was then: the fold of all that it had, what rollbacks had written included.
        let all = Effective {
            ids: Ranges::of(1, position),
            ..Effective::default()
        };
        let mut rows = Vec::new();
        for uuid in keys {
            let key = RowKey {
                table: name.clone(),
                uuid: *uuid,
            };
            let latest = events.remove(uuid).unwrap_or_default();
            let mut life = RowEvents::new(self.store, self.table, key, latest, EVENTS_AT_ONCE);
            let state = life.state(&all, &Wanted::All).await?;
            rows.extend(state.map(|state| {
                match self.table.is_gone() {
                    // Which column its key was, nothing tells any more.
                    true => Row::from_iter([("uuid".to_owned(), Value::String(uuid.to_string()))])
                        .into_iter()
                        .chain(state)
                        .collect(),
                    false => row::in_column_order(self.table, state),
                }
            }));
        }
        Ok(rows)
    }

    /// Where the rows that are asked for are, in the order that is asked for, last first: no more than may come.
    async fn sorted(&self) -> Result<Vec<Place>> {
        let mut found: Vec<(Value, String, Place)> = Vec::new();
        let order = |a: &(Value, String, Place), b: &(Value, String, Place)| {
            let by = self.selection.order(&a.0, &b.0);
            by.then_with(|| a.1.cmp(&b.1))
        };
        let most = self.left.saturating_mul(2).max(ROWS_AT_ONCE);
        let mut cursor = None;
        loop {
            let (rows, next) = self.page(cursor).await?;
            for row in rows {
                if !self.selection.takes(&row) {
                    continue;
                }
                let key = self.table.key().and_then(|key| row.get(key)?.as_str());
                let key = key.unwrap_or_default().to_owned();
                let place = match key.parse() {
                    Ok(uuid) => Place::Key(uuid),
                    Err(_) => Place::Itself(row.clone()),
                };
                found.push((self.selection.sorted_by(&row), key, place));
            }
            if found.len() >= most {
                found.sort_by(order);
                found.truncate(self.left);
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        found.sort_by(order);
        found.truncate(self.left);
        Ok(found.into_iter().rev().map(|(.., place)| place).collect())
    }

    async fn read_again(&self, places: Vec<Place>) -> Result<Vec<Row>> {
        let uuids: Vec<Uuid> = places.iter().filter_map(Place::key).collect();
        if uuids.is_empty() {
            let rows = places.into_iter().filter_map(|place| match place {
                Place::Itself(row) => Some(row),
                Place::Key(_) => None,
            });
            return Ok(rows.collect());
        }
        match self.at {
            Some(position) => self.then(position, &uuids).await,
            None => {
                let rows = self.store.rows_with_latest(self.table, &uuids, 0).await?;
                // Those that have gone meanwhile are left out.
                let rows = rows.into_iter().filter_map(|row| row.stored);
                let rows = rows.map(|row| row::in_column_order(self.table, row));
                Ok(rows.collect())
            }
        }
    }
}

impl Place {
    fn key(&self) -> Option<Uuid> {
        match self {
            Self::Key(uuid) => Some(*uuid),
            Self::Itself(_) => None,
        }
    }
}
