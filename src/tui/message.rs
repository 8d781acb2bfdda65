//! Everything that can happen to the screens.

use super::effect::RequestId;
use super::keymap::Key;
use super::layout::Size;
use super::model::{GridRow, NamedBy, ShownRows, WholeRow};
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::history::History;
use crate::eventsourcing::inspect::{Inspection, LifeEvent, RowInspection};
use crate::eventsourcing::rollback::{RollbackOutcome, RollbackPlan, RowChange};
use crate::eventsourcing::rows::RowsStart;
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::Writer;
use crate::eventsourcing::strip::Strip;
use crate::eventsourcing::timeline::{Direction, Page};
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::verify::Report;
use crate::eventsourcing::{EventId, Result};

/// What the log is as a whole.
#[derive(Clone, Debug)]
pub struct Overview {
    /// Its last event.
    pub head: EventId,
    /// How many events it has.
    pub events: u64,
    /// Its rollbacks.
    pub history: History,
}

/// How many rows a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowCount {
    /// That many.
    Counted(u64),
    /// About that many, as the database guesses.
    Estimated(u64),
}

/// A page of a grid.
#[derive(Clone, Debug)]
pub struct GridPage {
    /// The rows.
    pub rows: Vec<GridRow>,
    /// How many rows there are in all, where that is known.
    pub total: Option<usize>,
    /// Where the next page begins, when there may be one.
    pub next: Option<RowsStart>,
}

/// What the mouse did, and in which cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mouse {
    /// The left button was pressed.
    Pressed {
        /// The column of the cell, from 0.
        column: u16,
        /// Its line, from 0.
        line: u16,
    },
    /// The wheel was turned so many lines, downwards if positive.
    Turned(i16),
}

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// A key was pressed.
    Key(Key),
    /// Text was pasted.
    Pasted(String),
    /// The mouse was used.
    Mouse(Mouse),
    /// The terminal has another size.
    Resized(Size),
    /// The process was asked to end, or the terminal is gone.
    Terminate,
    /// What the log is as a whole.
    Overview(RequestId, Result<Overview>),
    /// The log's head is another one now; or it cannot be watched.
    Head(Result<EventId>),
    /// A page of the log.
    Page(RequestId, Result<Page>),
    /// How many events a filter shows, as far as they are counted, and whether that is all.
    Matches(RequestId, Result<(u64, bool)>),
    /// When things happened; `None` for an empty log.
    Strip(RequestId, Result<Option<Strip>>),
    /// The first event at a moment or later, or the log's last one.
    Located(RequestId, Timestamp, Result<EventId>),
    /// The last event of the transaction of this moment, to which one goes back in time.
    Travelled(RequestId, Timestamp, Result<EventId>),
    /// The first event of a burst in this direction, if there is one.
    Burst(RequestId, Direction, Result<Option<EventId>>),
    /// An event and what it did; `None` when there is no such event.
    Inspected(RequestId, Box<Result<Option<Inspection>>>),
    /// The tables.
    Tables(RequestId, Result<Vec<Table>>),
    /// The log's head when the rows of tables begin to be counted.
    Counting(RequestId, Result<EventId>),
    /// The row count of one table.
    Counted(RequestId, String, Result<RowCount>),
    /// A page of a table.
    Rows(RequestId, Result<GridPage>),
    /// A row of a table, all of it; `None` when it is not there any more.
    WholeRow(RequestId, Result<Option<WholeRow>>),
    /// A row.
    Row(RequestId, Box<Result<RowInspection>>),
    /// How many rows of a table name the row by a column.
    NamedBy(RequestId, (String, String), Result<Option<NamedBy>>),
    /// Events of a row, the latest first.
    Life(RequestId, Result<Vec<LifeEvent>>),
    /// A plan.
    Planned(RequestId, Box<Result<RollbackPlan>>),
    /// How many events the plan of this request would append by `replay`.
    ReplayCounted(RequestId, Result<u64>),
    /// Who made the events that a plan undoes.
    Authors(RequestId, Result<Vec<(String, u64)>>),
    /// Rows of a plan, from this place on among those that are shown.
    Changes(RequestId, usize, Result<Vec<RowChange>>),
    /// The rows of a plan that a filter shows.
    Shown(RequestId, Result<ShownRows>),
    /// How far the rollback is: steps done, in all, and milliseconds since it began.
    Progress(u64, u64, u64),
    /// Whom the rollback waits for, if for anybody.
    Waiting(Option<Writer>),
    /// What became of the rollback.
    Executed(RequestId, Result<RollbackOutcome>),
    /// How far the verification is: rows compared.
    Verifying(RequestId, u64),
    /// What the verification found, and the head that it began with.
    Verified(RequestId, Result<(EventId, Report)>),
    /// Who wrote how much.
    Activity(RequestId, ActivityBy, Result<Vec<(String, u64)>>),
    /// How many events were written to a file, and to which; and whether that is all.
    Exported(RequestId, Result<(u64, String)>),
    /// What became of what was to be copied, in words.
    Copied(Result<String>),
}
