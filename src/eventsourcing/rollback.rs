//! Rollback, a protocol in types: [`RollbackTarget`] → [`plan`] → [`RollbackPlan`] →
//! [`confirm`](RollbackPlan::confirm) → [`ConfirmedRollback`] → [`execute`] → [`RollbackOutcome`].
//! Only a plan can be confirmed and only a confirmed plan can be executed.

mod blockers;
mod changes;
mod control;
mod counting;
mod executor;
mod later;
mod marker;
mod planner;
mod row_change;
mod row_plan;
mod script;
mod strategy;
mod target;
mod words;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::error::{Error, ErrorCode, Result};
use super::event::EventId;
use super::history::Course;
use super::schema::Table;
use super::scope::Scope;
use super::timestamp::Timestamp;

pub use blockers::{Blocker, Choice};
pub use changes::{ChangeEntry, Changes};
pub use control::Control;
pub use counting::{Share, count_authors, count_replay};
pub use executor::execute;
pub use planner::{plan, plan_redo, plan_undo};
pub use row_change::{RowAction, RowChange};
pub use script::{ScriptedEvent, minimal};
pub use strategy::Strategy;

/// Where to go back to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RollbackTarget {
    /// Keep what is earlier than this moment.
    Before(Timestamp),
    /// Undo this event, and with it the whole run of events that share its timestamp.
    BeforeEvent(EventId),
    /// Keep this event, and with it the whole run of events that share its timestamp.
    AfterEvent(EventId),
    /// Undo this event, and with it its whole transaction, and keep what came after.
    Without(EventId),
}

/// What holds where a column that a transaction set, which is to be undone, has been set again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflicts {
    /// What it has now: the later value stays.
    Ours,
    /// What it had before the transaction: the later value goes too.
    Theirs,
}

impl Conflicts {
    /// Its name in the log and on the command line.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Theirs => "theirs",
        }
    }
}

/// What a rollback is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Going back.
    Rollback,
    /// Undoing the rollback of this id.
    Undo(EventId),
    /// Taking back the undo of this id.
    Redo(EventId),
}

/// What to plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackRequest {
    /// Where to go back to.
    pub target: RollbackTarget,
    /// Which rows; for all but the whole database the strategy is `minimal`.
    pub scope: Scope,
    /// How to write it.
    pub strategy: Strategy,
    /// Why, for those who read the log later.
    pub reason: Option<String>,
    /// What holds where later events have set the same columns, for a target that keeps what came after.
    pub conflicts: Option<Conflicts>,
    /// Whether values may be left in the log alone that have no place in the tables any more.
    pub allow_loss: bool,
}

impl RollbackRequest {
    /// The whole database, by `minimal`, without a reason.
    #[must_use]
    pub fn to(target: RollbackTarget) -> Self {
        Self {
            target,
            scope: Scope::Whole,
            strategy: Strategy::Minimal,
            reason: None,
            conflicts: None,
            allow_loss: false,
        }
    }
}

/// Some things, of which the first are named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// How many there are.
    pub count: u64,
    /// The first of them, in words.
    pub first: Vec<String>,
}

/// How many things are named where there are many.
const NAMED: usize = 3;

impl Named {
    /// One more, named while they are few.
    fn push(&mut self, words: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < NAMED {
            self.first.push(words());
        }
    }
}

/// How many rows of one table go, come back and change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCounts {
    /// The table.
    pub table: String,
    /// Rows that go.
    pub removed: u64,
    /// Rows that come back.
    pub brought_back: u64,
    /// Rows that change.
    pub changed: u64,
}

/// Values that the rows had at the target and that have no place in the tables any more. They stay in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The table.
    pub table: String,
    /// The column; `None` where the table itself is gone.
    pub column: Option<String>,
    /// Whether the table or the column is gone; else the column has a type now that cannot hold them.
    pub is_gone: bool,
    /// How many values, or of a table that is gone, rows.
    pub count: u64,
}

/// What a rollback would do, computed without writing anything.
#[must_use = "a plan does nothing until it is confirmed and executed"]
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackPlan {
    /// What was asked for.
    pub request: RollbackRequest,
    /// What it is for.
    pub purpose: Purpose,
    /// What it makes of the events before it.
    pub course: Course,
    /// The last event that it keeps; 0 when it keeps none.
    pub keeps_through: EventId,
    /// The moment that its marker names; `None` when nothing comes after the target, and nothing is to do.
    pub before: Option<Timestamp>,
    /// The log's head that it was made for.
    pub head: EventId,
    /// Effective creates, updates and deletes that it undoes.
    pub events_undone: u64,
    /// Which they are, for [`count_authors`].
    pub undone: Vec<Share>,
    /// Who made them, and how many each, the most first, where that has been counted: it takes the longer the more they are.
    pub authors: Option<Vec<(String, u64)>>,
    /// Undone creates, updates and deletes that it makes effective again.
    pub events_reinstated: u64,
    /// For an undo or a redo: effective creates, updates and deletes since the rollback that it takes back.
    pub later_events: u64,
    /// The first of those, in words.
    pub later_named: Vec<String>,
    /// Rollbacks in effect, besides the one that is to be undone, that will not be any more: what they did is taken back with the rest.
    pub taken_back: Named,
    /// Values that a transaction set which is to be undone, and that later events have set again.
    pub conflicts: Named,
    /// How many events `minimal` appends.
    pub appends_minimal: u64,
    /// How many events `replay` appends, where that has been counted: it takes the longer the longer the log is. See
    /// [`count_replay`].
    pub appends_replay: Option<u64>,
    /// The counts of each table with changes, sorted by name.
    pub tables: Vec<TableCounts>,
    /// The definitions of those tables as the plan met them.
    pub definitions: Vec<Table>,
    /// Every row that changes: first those that go, newest first, then the others as they are restored.
    pub changes: Changes,
    /// What has no place any more.
    pub losses: Vec<Loss>,
    /// What stands in the way.
    pub blockers: Vec<Blocker>,
}

impl RollbackPlan {
    /// How it will be written.
    #[must_use]
    pub fn strategy(&self) -> Strategy {
        self.request.strategy
    }

    /// The same plan by the other strategy.
    pub fn with_strategy(mut self, strategy: Strategy) -> Self {
        self.request.strategy = strategy;
        self
    }

    /// The same plan for this reason.
    pub fn with_reason(mut self, reason: Option<String>) -> Self {
        self.request.reason = reason;
        self
    }

    /// How many events it will append; `None` while that has not been counted.
    #[must_use]
    pub fn events_to_append(&self) -> Option<u64> {
        match self.strategy() {
            Strategy::Minimal => Some(self.appends_minimal),
            Strategy::Replay => self.appends_replay,
        }
    }

    /// Whether all tables are, afterwards, what they were at the target.
    #[must_use]
    pub fn takes_back_everything(&self) -> bool {
        matches!(self.course, Course::Back(_)) && self.request.scope == Scope::Whole
    }

    /// Whether nothing comes after the target, so that there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.before.is_none()
    }

    fn target_json(&self) -> Value {
        let mut target = json!({"keeps_through": self.keeps_through});
        if let Some(scope) = self.request.scope.name() {
            target["only"] = scope.into();
        }
        if let Course::Without { first, last, .. } = self.course {
            target["without"] = json!([first, last]);
        }
        target
    }

    /// Takes the person's yes. `with_later` is the yes to undoing later work too, which an undo with
    /// later work needs.
    ///
    /// # Errors
    /// `Blocked` when something stands in the way; `LaterWork` when later work needs its own yes.
    pub fn confirm(self, with_later: bool) -> Result<ConfirmedRollback> {
        if let Some(refused) = blockers::refusal(&self.blockers) {
            return Err(refused);
        }
        if self.later_events > 0 && !with_later {
            return Err(Error::new(ErrorCode::LaterWork, self.later_work_sentence())
                .hint("nothing was written; add --with-later to undo that work too"));
        }
        Ok(ConfirmedRollback { plan: self })
    }
}

/// The plan as the command line prints it.
impl Serialize for RollbackPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut plan = serializer.serialize_map(None)?;
        plan.serialize_entry("target", &self.target_json())?;
        plan.serialize_entry("head", &self.head)?;
        plan.serialize_entry("strategy", self.strategy().as_str())?;
        plan.serialize_entry("events_undone", &self.events_undone)?;
        plan.serialize_entry("events_reinstated", &self.events_reinstated)?;
        plan.serialize_entry("later_events", &self.later_events)?;
        plan.serialize_entry("events_to_append", &self.events_to_append())?;
        let tables = self.tables.iter().map(|counts| {
            json!({
                "type": counts.table,
                "removed": counts.removed,
                "brought_back": counts.brought_back,
                "changed": counts.changed,
            })
        });
        plan.serialize_entry("tables", &tables.collect::<Vec<_>>())?;
        plan.serialize_entry("changes", &self.changes)?;
        let losses = self.losses.iter().map(|loss| {
            json!({
                "type": loss.table,
                "column": loss.column,
                "count": loss.count,
            })
        });
        plan.serialize_entry("losses", &losses.collect::<Vec<_>>())?;
        let blockers = self.blockers.iter().map(Blocker::to_json);
        plan.serialize_entry("blockers", &blockers.collect::<Vec<_>>())?;
        plan.end()
    }
}

/// A plan that a person has said yes to.
#[must_use = "a confirmed rollback does nothing until it is executed"]
#[derive(Clone, Debug, PartialEq)]
pub struct ConfirmedRollback {
    plan: RollbackPlan,
}

impl ConfirmedRollback {
    /// The plan.
    pub fn plan(&self) -> &RollbackPlan {
        &self.plan
    }

    /// The refusal of a plan whose log has moved on.
    #[must_use]
    pub fn stale(&self, head: EventId) -> Error {
        Error::new(
            ErrorCode::Stale,
            format!(
                "the log has moved on since this plan was made: it ended at #{} then and ends at #{head} now",
                self.plan.head
            ),
        )
        .hint("nothing was written; make the plan again and look at what is new in it")
    }
}

/// What a rollback did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackOutcome {
    /// Its `rollback` event; `None` when there was nothing to do.
    pub rollback: Option<EventId>,
    /// Its `rollback-end` event.
    pub rollback_end: Option<EventId>,
    /// How many events it appended, the two markers included.
    pub events_appended: u64,
    /// The last event that it kept.
    pub keeps_through: EventId,
    /// How it was written.
    pub strategy: Strategy,
}

impl RollbackOutcome {
    /// The outcome as the command line prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "rollback": self.rollback,
            "rollback_end": self.rollback_end,
            "events_appended": self.events_appended,
            "keeps_through": self.keeps_through,
            "strategy": self.strategy.as_str(),
        })
    }
}
