//! The rows of a table, as they are or as they were at a position, page by page: those that are asked for, in the order that is asked for.

use std::sync::Arc;

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
pub const ROWS_AT_ONCE: usize = 200;

/// How many of a row's latest events are read with those of others. Most rows have no more.
const EVENTS_AT_ONCE: usize = 8;

/// Which rows are asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct RowsRequest {
    /// The table.
    pub table: Table,
    /// The position; `None` for the table as it is.
    pub at: Option<EventId>,
    /// Which of its rows, in which order.
    pub selection: Selection,
    /// Where they are sorted: how many of the first matter.
    pub first: usize,
}

/// Where a page of them begins.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowsStart(Start);

#[derive(Clone, Debug, Default, PartialEq)]
enum Start {
    #[default]
    First,
    /// With these, and then with what comes after in the order of the keys.
    After(Arc<[Row]>, Option<Cursor>),
    /// With this one of these.
    At(Arc<[Place]>, usize),
}

#[derive(Clone, Debug, PartialEq)]
enum Cursor {
    Now(RowCursor),
    Then(Uuid),
}

/// Where a row is read again.
#[derive(Clone, Debug, PartialEq)]
enum Place {
    Key(Uuid),
    /// Of a table that takes no part: its rows have no keys by which to ask for them.
    Itself(Row),
}

/// One page.
#[derive(Clone, Debug, Default)]
pub struct RowsPage {
    /// The rows, every column in the table's order.
    pub rows: Vec<Row>,
    /// Where the next page begins, when there may be one.
    pub next: Option<RowsStart>,
}

/// The rows from here on: so many, or all that are left. The first page of sorted rows looks at every row once, and keeps of each what it is
/// sorted by.
///
/// # Errors
/// `UntrackedTable` when the past of a table is asked for that is there and takes no part, and the store's.
pub async fn page(
    store: &dyn EventStore,
    request: &RowsRequest,
    start: &RowsStart,
    limit: usize,
) -> Result<RowsPage> {
    let reader = Reader { store, request };
    match &start.0 {
        Start::First => {
            reader.check()?;
            match request.selection.is_sorted() {
                true => reader.these(reader.sorted().await?.into(), 0, limit).await,
                false => reader.after(Vec::new(), Some(None), limit).await,
            }
        }
        Start::After(ready, cursor) => {
            let after = cursor.clone().map(Some);
            reader.after(ready.to_vec(), after, limit).await
        }
        Start::At(places, at) => reader.these(places.clone(), *at, limit).await,
    }
}

struct Reader<'a> {
    store: &'a dyn EventStore,
    request: &'a RowsRequest,
}

impl Reader<'_> {
    fn check(&self) -> Result<()> {
        let table = &self.request.table;
        match (&table.tracking, self.request.at, table.is_gone()) {
            (Tracking::Untracked { reason }, Some(_), false) => Err(Error::new(
                ErrorCode::UntrackedTable,
                format!("the table {table} takes no part, so its past is not known: {reason}"),
            )
            .hint("leave out --at and --at-event to see its rows now")),
            _ => Ok(()),
        }
    }

    /// Rows that are asked for, in the order of the keys: first these, and then those after the cursor, where `None` is the table's beginning.
    async fn after(
        &self,
        mut rows: Vec<Row>,
        mut after: Option<Option<Cursor>>,
        limit: usize,
    ) -> Result<RowsPage> {
        while rows.len() < limit
            && let Some(cursor) = after
        {
            let (read, next) = self.lot(cursor).await?;
            let wanted = read.into_iter();
            rows.extend(wanted.filter(|row| self.request.selection.takes(row)));
            after = next.map(Some);
        }
        let ready: Arc<[Row]> = rows.split_off(limit.min(rows.len())).into();
        let cursor = after.flatten();
        let is_end = ready.is_empty() && cursor.is_none();
        Ok(RowsPage {
            rows,
            next: (!is_end).then_some(RowsStart(Start::After(ready, cursor))),
        })
    }

    /// The rows at these places, from this one on.
    async fn these(&self, places: Arc<[Place]>, at: usize, limit: usize) -> Result<RowsPage> {
        let (mut rows, mut next) = (Vec::new(), at);
        // Rows that have gone since they were sorted leave no gap.
        while rows.len() < limit && next < places.len() {
            let end = places.len().min(next + limit - rows.len());
            rows.extend(self.read_again(&places[next..end]).await?);
            next = end;
        }
        let next = (next < places.len()).then_some(RowsStart(Start::At(places, next)));
        Ok(RowsPage { rows, next })
    }

    /// The next rows in the order of the keys, whether they are asked for or not.
    async fn lot(&self, after: Option<Cursor>) -> Result<(Vec<Row>, Option<Cursor>)> {
        let table = &self.request.table;
        let Some(position) = self.request.at else {
            let after = match after {
                Some(Cursor::Now(cursor)) => Some(cursor),
                _ => None,
            };
            let page = self.store.rows(table, after.as_ref(), ROWS_AT_ONCE).await?;
            return Ok((page.rows, page.next.map(Cursor::Now)));
        };
        let after = match after {
            Some(Cursor::Then(uuid)) => Some(uuid),
            _ => None,
        };
        let keys = self
            .store
            .row_keys(&table.name, position, after, ROWS_AT_ONCE)
            .await?;
        let next = keys.last().copied().filter(|_| keys.len() == ROWS_AT_ONCE);
        Ok((self.then(position, &keys).await?, next.map(Cursor::Then)))
    }

    /// Those of these rows that lived then, in the same order.
    async fn then(&self, position: EventId, keys: &[Uuid]) -> Result<Vec<Row>> {
        let mut events = std::collections::HashMap::<Uuid, Vec<Event>>::new();
        let table = &self.request.table;
        let name = &table.name;
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
            let mut life = RowEvents::new(self.store, table, key, latest, EVENTS_AT_ONCE);
            let state = life.state(&all, &Wanted::All).await?;
            rows.extend(state.map(|state| {
                match table.is_gone() {
                    // Which column its key was, nothing tells any more.
                    true => Row::from_iter([("uuid".to_owned(), Value::String(uuid.to_string()))])
                        .into_iter()
                        .chain(state)
                        .collect(),
                    false => row::in_column_order(table, state),
                }
            }));
        }
        Ok(rows)
    }

    /// Where the rows that are asked for are, in the order that is asked for: no more than matter.
    async fn sorted(&self) -> Result<Vec<Place>> {
        let RowsRequest {
            table, selection, ..
        } = self.request;
        let mut found: Vec<(Value, String, Place)> = Vec::new();
        let order = |a: &(Value, String, Place), b: &(Value, String, Place)| {
            let by = selection.order(&a.0, &b.0);
            by.then_with(|| a.1.cmp(&b.1))
        };
        let most = self.request.first.saturating_mul(2).max(ROWS_AT_ONCE);
        let mut cursor = None;
        loop {
            let (rows, next) = self.lot(cursor).await?;
            for row in rows {
                if !selection.takes(&row) {
                    continue;
                }
                let key = table.key().and_then(|key| row.get(key)?.as_str());
                let key = key.unwrap_or_default().to_owned();
                let place = match key.parse() {
                    Ok(uuid) => Place::Key(uuid),
                    Err(_) => Place::Itself(row.clone()),
                };
                found.push((selection.sorted_by(&row), key, place));
            }
            if found.len() >= most {
                found.sort_by(order);
                found.truncate(self.request.first);
            }
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        found.sort_by(order);
        found.truncate(self.request.first);
        Ok(found.into_iter().map(|(.., place)| place).collect())
    }

    async fn read_again(&self, places: &[Place]) -> Result<Vec<Row>> {
        let table = &self.request.table;
        let uuids: Vec<Uuid> = places.iter().filter_map(Place::key).collect();
        if uuids.is_empty() {
            let rows = places.iter().filter_map(|place| match place {
                Place::Itself(row) => Some(row.clone()),
                Place::Key(_) => None,
            });
            return Ok(rows.collect());
        }
        match self.request.at {
            Some(position) => self.then(position, &uuids).await,
            None => {
                let rows = self.store.rows_with_latest(table, &uuids, 0).await?;
                // Those that have gone meanwhile are left out.
                let rows = rows.into_iter().filter_map(|row| row.stored);
                let rows = rows.map(|row| row::in_column_order(table, row));
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
