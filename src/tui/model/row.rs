//! One row, and its life.

use std::collections::BTreeMap;

use super::{Life, LifeRead};
use crate::eventsourcing::inspect::RowInspection;
use crate::eventsourcing::{EventId, RowKey};
use crate::tui::effect::RequestId;

/// Something on the page of a row that the cursor can be on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// One of its columns.
    Column(String),
    /// The rows of a table that name this one by a column.
    Naming {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// One of its events, counted in its life.
    Event(usize),
}

/// How many rows name a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedBy {
    /// So many.
    pub rows: u64,
    /// Whether there are more, which were not counted.
    pub has_more: bool,
}

/// One row, and its life.
#[derive(Clone, Debug)]
pub struct RowScreen {
    /// The row's key.
    pub key: RowKey,
    /// The row at the position that is shown.
    pub inspection: Option<RowInspection>,
    /// The request for that.
    pub wanted: Option<RequestId>,
    /// How many rows name it now, by table and column, as far as that has been looked at; `None` where the table is too large to be counted unasked.
    pub named_by: BTreeMap<(String, String), Option<NamedBy>>,
    /// The request for that.
    pub named_by_wanted: Option<RequestId>,
    /// Its events as far as they have been read, the latest first.
    pub life: Life,
    /// Where reading on goes on, itself not in it; `None` when all have been read.
    pub life_from: Option<EventId>,
    /// The request for more of them.
    pub life_wanted: Option<RequestId>,
    /// How many it asks for.
    pub life_asked: usize,
    /// Which those are.
    pub life_read: LifeRead,
    /// The event to which the cursor goes as soon as events have been read; where it is not among them, to the latest.
    pub to_event: Option<EventId>,
    /// Whether that one has been read before, so that it is read on to it, however far that is.
    pub is_sought: bool,
    /// Whether the cursor goes to the first of all its events as soon as all have been read.
    pub to_first: bool,
    /// Whether the cursor is on the last item, and there are more events to be read.
    pub is_at_edge: bool,
    /// The item under the cursor.
    pub cursor: usize,
    /// The first line that is shown.
    pub top: usize,
}

impl RowScreen {
    /// Nothing read yet.
    #[must_use]
    pub fn new(key: RowKey, to_event: Option<EventId>) -> Self {
        Self {
            key,
            inspection: None,
            wanted: None,
            named_by: BTreeMap::new(),
            named_by_wanted: None,
            life: Life::default(),
            life_from: Some(EventId::MAX),
            life_wanted: None,
            life_asked: 0,
            life_read: LifeRead::default(),
            to_event,
            is_sought: false,
            to_first: false,
            is_at_edge: false,
            cursor: 0,
            top: 0,
        }
    }
    /// Whether the event that is sought comes before all that have been read so far.
    #[must_use]
    pub fn is_beyond(&self) -> bool {
        let sought = self.to_event.filter(|_| self.is_sought);
        let from = sought.zip(self.life_from);
        from.is_some_and(|(sought, from)| sought < from)
    }
}
