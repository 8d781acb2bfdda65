//! Everything that can happen to the screens.

use super::effect::RequestId;
use super::keymap::Key;
use super::layout::Size;
use crate::eventsourcing::history::History;
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::rollback::{RollbackOutcome, RollbackPlan, RowChange};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{RowPage, Writer};
use crate::eventsourcing::timeline::Page;
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

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Message {
    /// A key was pressed.
    Key(Key),
    /// The terminal has another size.
    Resized(Size),
    /// The process was asked to end, or the terminal is gone.
    Terminate,
    /// What the log is as a whole.
    Overview(RequestId, Result<Overview>),
    /// A page of the log.
    Page(RequestId, Result<Page>),
    /// An event and what it did; `None` when there is no such event.
    Inspected(RequestId, Box<Result<Option<Inspection>>>),
    /// The tables.
    Tables(RequestId, Result<Vec<Table>>),
    /// The row count of one table.
    Counted(RequestId, String, Result<u64>),
    /// A page of a table.
    Rows(RequestId, Result<RowPage>),
    /// A plan.
    Planned(RequestId, Box<Result<RollbackPlan>>),
    /// How many events the plan of this request would append by `replay`.
    ReplayCounted(RequestId, Result<u64>),
    /// Rows of a plan, from this place on.
    Changes(RequestId, usize, Result<Vec<RowChange>>),
    /// How far the rollback is: steps done, and in all.
    Progress(u64, u64),
    /// Whom the rollback waits for, if for anybody.
    Waiting(Option<Writer>),
    /// What became of the rollback.
    Executed(RequestId, Result<RollbackOutcome>),
}
