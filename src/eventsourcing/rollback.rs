//! Rollback, a protocol in types: [`RollbackTarget`] → [`plan`] → [`RollbackPlan`] →
//! [`confirm`](RollbackPlan::confirm) → [`ConfirmedRollback`] → [`execute`] → [`RollbackOutcome`].
//! Only a plan can be confirmed and only a confirmed plan can be executed.

mod blockers;
mod changes;
mod control;
mod executor;
mod marker;
mod planner;
mod script;
mod strategy;
mod target;
mod words;

use serde_json::{Value, json};

use super::diff::{self, ColumnChange};
use super::error::{Error, ErrorCode, Result};
use super::event::{EventId, Row, RowKey};
use super::history::Course;
use super::schema::Table;
use super::scope::Scope;
use super::timestamp::Timestamp;
use super::value;

pub use blockers::Blocker;
pub use control::Control;
pub use executor::execute;
pub use planner::{count_replay, plan, plan_redo, plan_undo};
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

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowAction {
    /// It goes.
    Remove,
    /// It comes back.
    BringBack,
    /// Its columns change.
    Change,
}

impl RowAction {
    /// Its name in `--json` output.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Remove => "remove",
            Self::BringBack => "bring-back",
            Self::Change => "change",
        }
    }
}

/// What a rollback does to one row.
#[derive(Clone, Debug, PartialEq)]
pub struct RowChange {
    /// The row.
    pub key: RowKey,
    /// What happens to it.
    pub action: RowAction,
    /// Its columns that differ, now → then.
    pub columns: Vec<ColumnChange>,
    /// The whole row as it will be; `None` when it goes.
    pub after: Option<Row>,
    /// The create event of the row that lives now; 0 when none does. Deletes are written newest first.
    pub born: EventId,
    /// The event that gave the row the state it returns to.
    pub origin: Option<EventId>,
}

impl RowChange {
    /// The change as the command line prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "type": self.key.table,
            "uuid": self.key.uuid.to_string(),
            "action": self.action.as_str(),
            "columns": diff::to_json(&self.columns),
        })
    }

    /// How the row has come to differ from what the plan showed of it, behind the log's back, in words; `None` when it has not.
    #[must_use]
    pub fn changed_since(&self, table: &Table, found: Option<&Row>) -> Option<String> {
        let changing = |name: &str| self.columns.iter().find(|change| change.column == name);
        let shown: Option<Row> = match (self.action, &self.after) {
            (RowAction::BringBack, _) => None,
            (RowAction::Remove, _) | (_, None) => {
                let columns = self.columns.iter();
                Some(
                    columns
                        .map(|change| (change.column.clone(), change.from.clone()))
                        .collect(),
                )
            }
            (RowAction::Change, Some(after)) => {
                let was = |name: &String, value| {
                    changing(name).map_or(value, |change| &change.from).clone()
                };
                Some(
                    after
                        .iter()
                        .map(|(name, value)| (name.clone(), was(name, value)))
                        .collect(),
                )
            }
        };
        mismatch(table, &self.key, shown.as_ref(), found)
    }

    /// What is wrong with the row as the rollback left it, in words; `None` when it is as planned.
    #[must_use]
    pub fn mismatch(&self, table: &Table, found: Option<&Row>) -> Option<String> {
        mismatch(table, &self.key, self.after.as_ref(), found)
    }
}

/// How a row of the table differs from what it was to be, in words; `None` when it does not. An absent column is NULL; generated
/// ones follow from the others.
fn mismatch(
    table: &Table,
    key: &RowKey,
    planned: Option<&Row>,
    found: Option<&Row>,
) -> Option<String> {
    match (planned, found) {
        (None, None) => None,
        (None, Some(_)) => Some(format!(
            "{key} is there, where the plan says that it is not"
        )),
        (Some(_), None) => Some(format!(
            "{key} is not there, where the plan says that it is"
        )),
        (Some(planned), Some(found)) => {
            let of = |row: &Row, name: &str| row.get(name).cloned().unwrap_or(Value::Null);
            let written = table.columns.iter().filter(|column| !column.generated);
            written
                .map(|column| column.name.as_str())
                .find(|name| !value::same(&of(planned, name), &of(found, name)))
                .map(|name| {
                    let (planned, found) = (of(planned, name), of(found, name));
                    format!("{key}: {name} is {found} where the plan says {planned}")
                })
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
    /// Undone creates, updates and deletes that it makes effective again.
    pub events_reinstated: u64,
    /// For an undo or a redo: effective creates, updates and deletes since the rollback that it takes back.
    pub later_events: u64,
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
    pub changes: Vec<RowChange>,
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

    /// The plan as the command line prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "target": self.target_json(),
            "head": self.head,
            "strategy": self.strategy().as_str(),
            "events_undone": self.events_undone,
            "events_reinstated": self.events_reinstated,
            "later_events": self.later_events,
            "events_to_append": self.events_to_append(),
            "tables": self.tables.iter().map(|counts| json!({
                "type": counts.table,
                "removed": counts.removed,
                "brought_back": counts.brought_back,
                "changed": counts.changed,
            })).collect::<Vec<_>>(),
            "changes": self.changes.iter().map(RowChange::to_json).collect::<Vec<_>>(),
            "losses": self.losses.iter().map(|loss| json!({
                "type": loss.table,
                "column": loss.column,
                "count": loss.count,
            })).collect::<Vec<_>>(),
            "blockers": self.blockers.iter().map(Blocker::to_json).collect::<Vec<_>>(),
        })
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
