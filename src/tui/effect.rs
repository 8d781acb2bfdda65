//! What the screens want done: data, which the runtime performs.

use std::ops::Range;

use crate::eventsourcing::EventId;
use crate::eventsourcing::rollback::{Changes, ConfirmedRollback, RollbackRequest};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::RowCursor;
use crate::eventsourcing::timeline::PageRequest;

/// Tells a request from those before and after it, so that a late answer can be dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// What to plan.
#[derive(Clone, Debug, PartialEq)]
pub enum PlanRequest {
    /// A rollback.
    Rollback(RollbackRequest),
    /// The undo of the latest rollback in effect.
    Undo,
    /// The redo of the latest undo in effect.
    Redo,
}

/// A read that a newer one of the same kind makes useless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The log's head and its rollbacks.
    Overview,
    /// A page of the log.
    Page,
    /// The event under the cursor.
    Detail,
    /// The tables.
    Tables,
    /// Their row counts.
    Counts,
    /// A page of a table.
    Rows,
    /// A plan.
    Plan,
    /// Rows of a plan.
    Changes,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Read the log's head and its rollbacks.
    Overview(RequestId),
    /// Read a page of the log.
    Page(RequestId, PageRequest),
    /// Look at one event closely.
    Inspect(RequestId, EventId),
    /// Read the tables.
    Tables(RequestId),
    /// Count the rows of these tables, one after the other.
    Count(RequestId, Vec<Table>),
    /// Read a page of a table.
    Rows(RequestId, Table, Option<RowCursor>, usize),
    /// Make a plan.
    Plan(RequestId, PlanRequest),
    /// Read the rows of a plan at these places.
    Changes(RequestId, Changes, Range<usize>),
    /// Carry out a rollback. Unlike a read it is never cancelled, only asked to stop: its outcome arrives.
    Execute(RequestId, Box<ConfirmedRollback>),
    /// Ask the rollback at work to stop.
    Stop,
    /// Cancel the read of this kind.
    Cancel(Slot),
}
