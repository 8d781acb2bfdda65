//! A rollback, from the question to the result.

use std::collections::BTreeSet;

use crate::eventsourcing::rollback::{
    Changes, Conflicts, Purpose, RollbackOutcome, RollbackPlan, RollbackRequest, RollbackTarget,
    RowChange, Strategy,
};
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::store::Writer;
use crate::eventsourcing::{Error, EventId, RowKey};
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
        /// The first line of what is said above the question, where there is no room for all of it.
        top: usize,
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

impl Stage {
    /// At work, and nothing is known of it yet.
    #[must_use]
    pub fn begun() -> Self {
        Self::Running {
            done: 0,
            total: 0,
            elapsed: 0,
            stopping: false,
            writer: None,
        }
    }
}

/// A rollback, from the question to the result.
#[derive(Debug)]
pub struct Rollback {
    /// What was asked for.
    pub asked: Asked,
    /// The row of the event that was chosen, if it has one: what the scope can be narrowed to.
    pub row: Option<RowKey>,
    /// The row that was marked last: it can be narrowed to that too.
    pub other_row: Option<RowKey>,
    /// Whether it began with that row alone, so that the scope is widened step by step.
    pub is_widened: bool,
    /// Which rows.
    pub scope: Scope,
    /// Whose values stand where later events have set the same columns.
    pub conflicts: Option<Conflicts>,
    /// Whether values may be left in the log alone.
    pub allow_loss: bool,
    /// How it will be written.
    pub strategy: Strategy,
    /// Why, for those who read the log later.
    pub reason: Option<String>,
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
    /// What the last try failed with. Whether it has written anything is known when the log has been looked at since.
    pub failed: Option<Failed>,
    /// The rollback whose result was on the screen when its undo was asked for.
    pub expected: Option<EventId>,
    /// The blocker to whose row one goes next.
    pub next_blocker: usize,
    /// The row that is marked, counted among those that are shown: what keys for one row are about.
    pub marked: Option<usize>,
    /// The row that is to be marked once it is known which rows are shown.
    pub to_mark: Option<RowKey>,
    /// The first line of the page that is shown.
    pub top: usize,
}

/// A rollback that was tried and failed.
#[derive(Clone, Debug, PartialEq)]
pub struct Failed {
    /// Why.
    pub error: Error,
    /// The log's head as it was seen after that.
    pub head: Option<EventId>,
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

impl ShownRows {
    /// All rows of a plan, those of a table together; `None` where they are so already. A plan has them in the order of its events.
    #[must_use]
    pub fn by_table(changes: &Changes) -> Option<Self> {
        let mut seen = BTreeSet::new();
        let mut before = None;
        let mut tables = changes.entries().map(|entry| entry.table);
        let is_interleaved = tables.any(|table| {
            let is_another = before.replace(table) != Some(table);
            is_another && !seen.insert(table)
        });
        is_interleaved.then(|| Self::of(changes, (0..changes.len()).collect()))
    }

    /// The rows at these places, those of a table together.
    #[must_use]
    pub fn of(changes: &Changes, mut places: Vec<usize>) -> Self {
        let entry = |place: usize| changes.entries_at(place..place + 1).next();
        places.sort_by_cached_key(|place| entry(*place).map(|entry| entry.table.to_owned()));
        let mut columns = 0;
        let mut columns_before: Vec<usize> = places
            .iter()
            .map(|place| {
                let before = columns;
                columns += entry(*place).map_or(0, |entry| entry.columns);
                before
            })
            .collect();
        columns_before.push(columns);
        Self {
            places,
            columns_before,
        }
    }
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
            other_row: None,
            is_widened: false,
            scope: Scope::Whole,
            conflicts: None,
            allow_loss: false,
            strategy: Strategy::default(),
            reason: None,
            stage: Stage::Planning,
            plan: None,
            wanted: None,
            planned: None,
            filter: String::new(),
            shown: None,
            shown_wanted: None,
            rows: ReadRows::default(),
            failed: None,
            expected: None,
            next_blocker: 0,
            marked: None,
            to_mark: None,
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
            Asked::Undo => return PlanRequest::Undo(self.reason.clone(), self.allow_loss),
            Asked::Redo => return PlanRequest::Redo(self.reason.clone(), self.allow_loss),
        };
        PlanRequest::Rollback(RollbackRequest {
            scope: self.scope.clone(),
            conflicts: self.conflicts,
            allow_loss: self.allow_loss,
            reason: self.reason.clone(),
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

    /// Whether later events have set the same columns, so that it has to be chosen whose values stand.
    #[must_use]
    pub fn meets_conflicts(&self) -> bool {
        let blockers = self.plan.iter().flat_map(|plan| &plan.blockers);
        self.conflicts.is_some() || blockers.into_iter().any(|one| one.kind == "conflict")
    }

    /// Whether there are values that have no place in the tables any more.
    #[must_use]
    pub fn meets_losses(&self) -> bool {
        let is_lossy = |plan: &RollbackPlan| !plan.losses.is_empty();
        self.allow_loss || self.plan.as_ref().is_some_and(is_lossy)
    }

    /// Whether the plan would leave everything as it is, although events come after the target.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        let is_idle = |plan: &RollbackPlan| {
            !plan.is_empty()
                && plan.purpose == Purpose::Rollback
                && plan.changes.is_empty()
                && plan.events_undone + plan.events_reinstated == 0
        };
        self.plan.as_ref().is_some_and(is_idle)
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

    /// The scopes that can be chosen, one after the other: the database, the table and the row that were marked last, and those of the chosen event; where it
    /// began with one row, the other way round.
    #[must_use]
    pub fn scopes(&self) -> Vec<Scope> {
        let mut scopes = vec![Scope::Whole];
        if let Asked::To { .. } = self.asked {
            let rows = self.other_row.iter().chain(&self.row);
            for scope in
                rows.flat_map(|row| [Scope::Table(row.table.clone()), Scope::Row(row.clone())])
            {
                if !scopes.contains(&scope) {
                    scopes.push(scope);
                }
            }
        }
        if self.is_widened {
            scopes.reverse();
        }
        scopes
    }
}
