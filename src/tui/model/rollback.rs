//! A rollback, from the question to the result.

use crate::eventsourcing::rollback::{
    Conflicts, Purpose, RollbackOutcome, RollbackPlan, RollbackRequest, RollbackTarget, RowChange,
    Strategy,
};
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::store::Writer;
use crate::eventsourcing::{EventId, RowKey};
use crate::tui::effect::{PlanRequest, RequestId};

/// What a rollback was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// To before this event, or with `keep` to after it.
    To {
        /// The event.
        event: EventId,
        /// Whether it stays.
        keep: bool,
    },
    /// To undo this event's transaction and to keep what came after.
    Revert {
        /// The event.
        event: EventId,
    },
    /// The undo of the latest rollback.
    Undo,
    /// The redo of the latest undo.
    Redo,
}

/// How far a rollback is.
#[derive(Debug)]
pub enum Stage {
    /// The plan is being made.
    Planning,
    /// The plan is shown.
    Preview,
    /// The last question: the id, as far as it is typed.
    Confirm {
        /// What was typed.
        typed: String,
    },
    /// At work: steps done and in all, and whether it was asked to stop.
    Running {
        /// Steps done.
        done: u64,
        /// Steps in all; 0 when not known.
        total: u64,
        /// How long it has been at work, in milliseconds.
        elapsed: u64,
        /// Whether it was asked to stop.
        stopping: bool,
        /// Whom it waits for, if for anybody.
        writer: Option<Writer>,
    },
    /// Done.
    Result(RollbackOutcome),
}

/// A rollback, from the question to the result.
#[derive(Debug)]
pub struct Rollback {
    /// What was asked for.
    pub asked: Asked,
    /// The row of the event that was chosen, if it has one: what the scope can be narrowed to.
    pub row: Option<RowKey>,
    /// Which rows.
    pub scope: Scope,
    /// Whose values stand where later events have set the same columns.
    pub conflicts: Option<Conflicts>,
    /// Whether values may be left in the log alone.
    pub allow_loss: bool,
    /// How it will be written.
    pub strategy: Strategy,
    /// How far it is.
    pub stage: Stage,
    /// The plan, once it is made.
    pub plan: Option<RollbackPlan>,
    /// The request for the plan, or for its execution.
    pub wanted: Option<RequestId>,
    /// The request that the plan answers.
    pub planned: Option<RequestId>,
    /// Which rows of the plan are shown.
    pub filter: String,
    /// Those rows; `None` for all.
    pub shown: Option<ShownRows>,
    /// The request for them.
    pub shown_wanted: Option<RequestId>,
    /// The rows of the plan that have been read.
    pub rows: ReadRows,
    /// The first line of the page that is shown.
    pub top: usize,
}

/// Rows of a plan that a filter shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShownRows {
    /// Their places in the plan, ascending.
    pub places: Vec<usize>,
    /// For each, how many columns those before it change; and at the end, how many all do.
    pub columns_before: Vec<usize>,
}

/// Rows of a plan, read for the page that is shown.
#[derive(Debug, Default)]
pub struct ReadRows {
    /// The place, among those that are shown, of the first of them.
    pub first: usize,
    /// The rows.
    pub rows: Vec<RowChange>,
    /// The request for others.
    pub wanted: Option<RequestId>,
}

impl ReadRows {
    /// The row at this place among those that are shown, if it has been read.
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&RowChange> {
        self.rows.get(place.checked_sub(self.first)?)
    }
}

impl Rollback {
    /// One that is being planned.
    #[must_use]
    pub fn new(asked: Asked, row: Option<RowKey>) -> Self {
        Self {
            asked,
            row,
            scope: Scope::Whole,
            conflicts: None,
            allow_loss: false,
            strategy: Strategy::default(),
            stage: Stage::Planning,
            plan: None,
            wanted: None,
            planned: None,
            filter: String::new(),
            shown: None,
            shown_wanted: None,
            rows: ReadRows::default(),
            top: 0,
        }
    }

    /// What is to be planned.
    #[must_use]
    pub fn plan_request(&self) -> PlanRequest {
        let target = match self.asked {
            Asked::To { event, keep: true } => RollbackTarget::AfterEvent(event),
            Asked::To { event, keep: false } => RollbackTarget::BeforeEvent(event),
            Asked::Revert { event } => RollbackTarget::Without(event),
            Asked::Undo => return PlanRequest::Undo(self.allow_loss),
            Asked::Redo => return PlanRequest::Redo(self.allow_loss),
        };
        PlanRequest::Rollback(RollbackRequest {
            scope: self.scope.clone(),
            conflicts: self.conflicts,
            allow_loss: self.allow_loss,
            ..RollbackRequest::to(target)
        })
    }

    /// The id that has to be typed: the chosen event's, or that of the rollback that is taken back.
    #[must_use]
    pub fn id_to_type(&self) -> Option<EventId> {
        match (self.asked, &self.plan) {
            (Asked::To { event, .. } | Asked::Revert { event }, _) => Some(event),
            (_, Some(plan)) => match plan.purpose {
                Purpose::Undo(id) | Purpose::Redo(id) => Some(id),
                Purpose::Rollback => None,
            },
            (_, None) => None,
        }
    }

    /// What has to be typed: that id, and where others depend on the database, its name too.
    #[must_use]
    pub fn to_type(&self, production: Option<&str>) -> Option<String> {
        let id = self.id_to_type()?;
        Some(match production {
            Some(name) => format!("{id} {name}"),
            None => id.to_string(),
        })
    }

    /// The scopes that can be chosen: the database, and the chosen event's table and row.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        let mut scopes = vec![Scope::Whole];
        if let (Asked::To { .. }, Some(row)) = (self.asked, &self.row) {
            scopes.push(Scope::Table(row.table.clone()));
            scopes.push(Scope::Row(row.clone()));
        }
        scopes
    }
}
