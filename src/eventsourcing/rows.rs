//! The rows of a table, as they are or as they were at a position, page by page: those that are asked for, in the order that is asked for.

mod start;

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
use super::store::{EventStore, LeftOut, RowCursor, RowsQuery, VALUE_BEGINNING, VALUE_LIMIT};
use super::timeline::Detail;
use start::{Cursor, Place, Start};

pub use start::RowsStart;

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
    /// Whether long values are brought.
    pub detail: Detail,
}

/// One page.
#[derive(Clone, Debug, Default)]
pub struct RowsPage {
    /// The rows, every column in the table's order.
    pub rows: Vec<Row>,
    /// What was left out of each.
    pub left_out: Vec<LeftOut>,
    /// How many rows there are in all, where all have been looked at.
    pub total: Option<usize>,
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
                false => reader.after(None, limit).await,
            }
        }
        Start::Placed => {
            reader.check()?;
            reader.these(reader.sorted().await?.into(), 0, limit).await
        }
        Start::After(cursor) => reader.after(Some(cursor.clone()), limit).await,
        Start::At(places, at) => reader.these(places.clone(), *at, limit).await,
    }
}

/// One row whole: the one with this key, where the table has one, and otherwise the n-th of the page that begins there. `None` when it is not there.
///
/// # Errors
/// Those of [`page`].
pub async fn whole(
    store: &dyn EventStore,
    request: &RowsRequest,
    key: Option<Uuid>,
    (start, n): (&RowsStart, usize),
) -> Result<Option<Row>> {
    let request = RowsRequest {
        detail: Detail::Whole,
        ..request.clone()
    };
    let reader = Reader {
        store,
        request: &request,
    };
    let found = match key {
        Some(uuid) => reader.read_again(&[Place::Key(uuid)]).await?,
        None => {
            let page = page(store, &request, start, n + 1).await?;
            page.rows.into_iter().skip(n).collect()
        }
    };
    Ok(found.into_iter().next())
}

/// A row as it was read.
struct Found {
    row: Row,
    left_out: LeftOut,
    cursor: Cursor,
}

/// Puts the beginnings of long texts, and NULL, in the place of long values.
pub fn summarise(row: &mut Row, left_out: &mut LeftOut) {
    for (name, value) in row.iter_mut() {
        let bytes = size(value);
        if bytes > VALUE_LIMIT && !left_out.contains_key(name) {
            left_out.insert(name.clone(), bytes as u64);
            *value = match value {
                Value::String(text) => text
                    .chars()
                    .take(VALUE_BEGINNING)
                    .collect::<String>()
                    .into(),
                _ => Value::Null,
            };
        }
    }
}

/// About as many bytes as a value has as text.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 4,
        Value::Number(number) => number.as_str().len(),
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(|value| size(value) + 2).sum(),
        Value::Object(members) => {
            let members = members.iter();
            members
                .map(|(name, value)| name.len() + size(value) + 6)
                .sum()
        }
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

    /// Rows that are asked for, in the order of the keys, from after the cursor on; `None` is the table's beginning.
    async fn after(&self, mut after: Option<Cursor>, limit: usize) -> Result<RowsPage> {
        let mut page = RowsPage::default();
        loop {
            // What is read beyond the page would be read again with the next one.
            let at_once = match self.request.selection.is_everything() {
                true => limit - page.rows.len(),
                false => ROWS_AT_ONCE,
            };
            // What is asked for depends on whole values.
            let detail = match self.request.selection.is_everything() {
                true => self.request.detail,
                false => Detail::Whole,
            };
            let (lot, next) = self.lot(after, at_once, detail).await?;
            for found in lot {
                if page.rows.len() == limit {
                    return Ok(self.summarised(page));
                }
                if self.request.selection.takes(&found.row) {
                    page.next = Some(RowsStart(Start::After(found.cursor)));
                    page.rows.push(found.row);
                    page.left_out.push(found.left_out);
                }
            }
            match next {
                None => {
                    page.next = None;
                    return Ok(self.summarised(page));
                }
                Some(_) if page.rows.len() == limit => return Ok(self.summarised(page)),
                next => after = next,
            }
        }
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
        let total = Some(places.len());
        let next = (next < places.len()).then_some(RowsStart(Start::At(places, next)));
        let left_out = vec![LeftOut::new(); rows.len()];
        Ok(self.summarised(RowsPage {
            rows,
            left_out,
            total,
            next,
        }))
    }

    /// Leaves out what a summary leaves out, where the store has brought all of it.
    fn summarised(&self, mut page: RowsPage) -> RowsPage {
        if self.request.detail == Detail::Summary {
            for (row, left_out) in page.rows.iter_mut().zip(&mut page.left_out) {
                summarise(row, left_out);
            }
        }
        page
    }

    /// The next rows in the order of the keys, whether they are asked for or not, and where those after them begin, if there are any.
    async fn lot(
        &self,
        after: Option<Cursor>,
        limit: usize,
        detail: Detail,
    ) -> Result<(Vec<Found>, Option<Cursor>)> {
        let RowsRequest {
            table, selection, ..
        } = self.request;
        let Some(position) = self.request.at else {
            let by_key = |cursor: Cursor| cursor.now.or(cursor.key.map(RowCursor::Key));
            let after = after.and_then(by_key);
            let query = RowsQuery {
                table,
                after: after.as_ref(),
                limit,
                detail,
                naming: selection.naming(table),
            };
            let page = self.store.rows(&query).await?;
            let key = |row: &Row| row.get(table.key()?)?.as_str()?.parse().ok();
            let found = page.rows.into_iter().map(|found| Found {
                cursor: Cursor {
                    key: key(&found.row),
                    now: Some(found.cursor),
                },
                row: found.row,
                left_out: found.left_out,
            });
            let found: Vec<Found> = found.collect();
            let last = found.last().filter(|_| page.has_more);
            let next = last.map(|found| found.cursor.clone());
            return Ok((found, next));
        };
        let after = after.and_then(|cursor| cursor.key);
        let keys = self.store.row_keys(&table.name, position, after, limit);
        let keys = keys.await?;
        let next = keys.last().copied().filter(|_| keys.len() == limit);
        let rows = self.then(position, &keys).await?;
        let then = |uuid| Cursor {
            key: Some(uuid),
            now: None,
        };
        let found = rows.into_iter().map(|(uuid, row)| Found {
            row,
            left_out: LeftOut::new(),
            cursor: then(uuid),
        });
        Ok((found.collect(), next.map(then)))
    }

    /// Those of these rows that lived then, in the same order.
    async fn then(&self, position: EventId, keys: &[Uuid]) -> Result<Vec<(Uuid, Row)>> {
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
                let row = match table.is_gone() {
                    // Which column its key was, nothing tells any more.
                    true => Row::from_iter([("uuid".to_owned(), Value::String(uuid.to_string()))])
                        .into_iter()
                        .chain(state)
                        .collect(),
                    false => row::in_column_order(table, state),
                };
                (*uuid, row)
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
            // What it is sorted by matters whole; and a row without a key is kept, since it cannot be read again.
            let is_brief = selection.is_everything() && table.key().is_some();
            let detail = if is_brief {
                self.request.detail
            } else {
                Detail::Whole
            };
            let (lot, next) = self.lot(cursor, ROWS_AT_ONCE, detail).await?;
            for Found { row, .. } in lot {
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
            Some(position) => {
                let rows = self.then(position, &uuids).await?;
                Ok(rows.into_iter().map(|(_, row)| row).collect())
            }
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
