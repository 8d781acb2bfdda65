//! What the screens want done: data, which the runtime performs.

use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::rollback::{Changes, ConfirmedRollback, RollbackRequest};
use crate::eventsourcing::rows::{RowsRequest, RowsStart};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::timeline::{Direction, Filter, PageRequest};
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{EventId, RowKey};
use uuid::Uuid;

/// Tells a request from those before and after it, so that a late answer can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What to plan.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanRequest {
    /// A rollback.
    Rollback(RollbackRequest),
    /// The undo of the latest rollback in effect, for this reason; it may leave values in the log alone or not.
    Undo(Option<String>, bool),
    /// The redo of the latest undo in effect, likewise.
    Redo(Option<String>, bool),
}

/// A read that a newer one of the same kind makes useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The log's head and its rollbacks.
    Overview,
    /// A page of the log.
    Page,
    /// How many events a filter shows.
    Matches,
    /// When things happened.
    Strip,
    /// The position of a moment, or of a burst.
    Locate,
    /// The event under the cursor.
    Detail,
    /// The tables.
    Tables,
    /// Their row counts.
    Counts,
    /// A page of a table.
    Rows,
    /// A row of a table, all of it.
    WholeRow,
    /// A row.
    Row,
    /// How many rows name a row.
    NamedBy,
    /// Events of a row.
    Life,
    /// A plan.
    Plan,
    /// Rows of a plan.
    Changes,
    /// Which rows of a plan a filter shows.
    Shown,
    /// The comparison of the tables with the log.
    Verification,
    /// Who wrote how much.
    Activity,
    /// The log, written to a file.
    Export,
    /// The wait for the log's next event.
    Watch,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Read the log's head and its rollbacks.
    Overview(RequestId),
    /// Wait, after a pause of so many milliseconds, until the log's head is another one than this.
    Watch(EventId, u64),
    /// Read a page of the log.
    Page(RequestId, PageRequest),
    /// Count the events that a filter shows, up to this one.
    Matches(RequestId, Filter, EventId),
    /// Cut the log's life, up to this event, into so many spans.
    Strip(RequestId, EventId, usize),
    /// Find the first event at this moment or later.
    Locate(RequestId, Timestamp),
    /// Find the last event of the transaction of this moment.
    Travel(RequestId, Timestamp),
    /// Find the first event of the nearest burst before or after this event, among those that a filter shows.
    Burst(RequestId, Filter, EventId, Direction),
    /// Look at one event closely.
    Inspect(RequestId, EventId),
    /// Read the tables.
    Tables(RequestId),
    /// Count the rows of these tables, one after the other: of those that the database guesses to be large only where that is asked for;
    /// now, or after an event.
    Count(RequestId, Vec<Table>, Option<EventId>, bool),
    /// Read a page of a table.
    Rows(RequestId, Box<RowsRequest>, RowsStart, usize),
    /// Read a row of a table whole: the one with this key, where the table has one, and otherwise the n-th of the page that begins there.
    WholeRow(RequestId, Box<RowsRequest>, Option<Uuid>, RowsStart, usize),
    /// Look at one row closely, now or after an event.
    Row(RequestId, RowKey, Option<EventId>),
    /// Count the rows that name this one by these columns of these tables: not of tables that the database guesses to be large.
    NamedBy(RequestId, RowKey, Vec<(Table, String)>),
    /// Read events of a row before this one, at most so many.
    Life(RequestId, RowKey, EventId, usize),
    /// Make a plan.
    Plan(RequestId, PlanRequest),
    /// Read the rows of a plan at these places.
    Changes(RequestId, Changes, usize, Vec<usize>),
    /// Find the rows of a plan that this text is in.
    Shown(RequestId, Changes, String),
    /// Carry out a rollback. Unlike a read it is never cancelled, only asked to stop: its outcome arrives.
    Execute(RequestId, Box<ConfirmedRollback>),
    /// Ask the rollback at work to stop.
    Stop,
    /// Compare the tables with the log.
    Verify(RequestId),
    /// Count who wrote how much.
    Activity(RequestId, ActivityBy),
    /// Write the log to the file of this name.
    Export(RequestId, String),
    /// Give this to the reader's clipboard.
    Copy(String),
    /// Give the terminal back until the shell wakes ebb.
    Suspend,
    /// Cancel the read of this kind.
    Cancel(Slot),
}
