//! Rollback, a protocol in types: [`RollbackTarget`] → [`plan`] → [`RollbackPlan`] →
//! [`confirm`](RollbackPlan::confirm) → [`ConfirmedRollback`] → [`execute`] → [`RollbackOutcome`].
//! Only a plan can be confirmed and only a confirmed plan can be executed.

mod control;
mod executor;
mod planner;
mod script;
mod strategy;
mod words;

use serde_json::{Value, json};

use super::diff::{self, ColumnChange};
use super::error::{Error, ErrorCode, Result};
use super::event::{EventId, Row, RowKey};
use super::timestamp::{self, Timestamp};
use super::value;

pub use control::Control;
pub use executor::execute;
pub use planner::{plan, plan_redo, plan_undo};
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
    /// How to write it.
    pub strategy: Strategy,
    /// Why, for those who read the log later.
    pub reason: Option<String>,
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

    /// What is wrong with the row as the rollback left it, in words; `None` when it is as planned.
    #[must_use]
    pub fn mismatch(&self, found: Option<&Row>) -> Option<String> {
        mismatch(&self.key, self.after.as_ref(), found)
    }
}

/// How a row differs from what it was to become, in words; `None` when it does not. An absent column is NULL.
#[must_use]
pub fn mismatch(key: &RowKey, planned: Option<&Row>, found: Option<&Row>) -> Option<String> {
    match (planned, found) {
        (None, None) => None,
        (None, Some(_)) => Some(format!("{key} is still there")),
        (Some(_), None) => Some(format!("{key} is not there")),
        (Some(planned), Some(found)) => {
            let of = |row: &Row, name: &str| row.get(name).cloned().unwrap_or(Value::Null);
            planned
                .keys()
                .chain(found.keys())
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

/// Something that makes the rollback impossible as things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// Which kind: `missing-right`, `table-gone`, `column-gone`, `missing-value`, `outside-reference`.
    pub kind: &'static str,
    /// What stands in the way, and what would remove it.
    pub message: String,
    /// The row concerned; of a missing right, the first that would change.
    pub row: RowKey,
}

/// What a rollback would do, computed without writing anything.
#[must_use = "a plan does nothing until it is confirmed and executed"]
#[derive(Clone, Debug, PartialEq)]
pub struct RollbackPlan {
    /// What was asked for.
    pub request: RollbackRequest,
    /// What it is for.
    pub purpose: Purpose,
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
    /// How many events `replay` appends.
    pub appends_replay: u64,
    /// The counts of each table with changes, sorted by name.
    pub tables: Vec<TableCounts>,
    /// Every row that changes: first those that go, newest first, then the others as they are restored.
    pub changes: Vec<RowChange>,
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

    /// How many events it will append.
    #[must_use]
    pub fn events_to_append(&self) -> u64 {
        match self.strategy() {
            Strategy::Minimal => self.appends_minimal,
            Strategy::Replay => self.appends_replay,
        }
    }

    /// Whether nothing comes after the target, so that there is nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.before.is_none()
    }

    /// The marker's data: `{"before": …}` as in the seed; other keys appear only for `minimal`, for a reason, and
    /// for undo and redo. `None` when there is nothing to do.
    #[must_use]
    pub fn marker(&self) -> Option<Row> {
        let mut data = Row::new();
        let before = timestamp::format_without_zone(self.before?);
        data.insert("before".to_owned(), before.into());
        if self.strategy() == Strategy::Minimal {
            data.insert("strategy".to_owned(), Strategy::Minimal.as_str().into());
        }
        if let Some(reason) = &self.request.reason {
            data.insert("reason".to_owned(), reason.as_str().into());
        }
        match self.purpose {
            Purpose::Rollback => {}
            Purpose::Undo(id) => drop(data.insert("undoes".to_owned(), id.into())),
            Purpose::Redo(id) => drop(data.insert("redoes".to_owned(), id.into())),
        }
        Some(data)
    }

    /// The plan as the command line prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "target": {"keeps_through": self.keeps_through},
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
            "blockers": self.blockers.iter().map(|blocker| json!({
                "kind": blocker.kind,
                "message": blocker.message,
                "type": blocker.row.table,
                "uuid": blocker.row.uuid.to_string(),
            })).collect::<Vec<_>>(),
        })
    }

    /// Takes the person's yes. `with_later` is the yes to undoing later work too, which an undo with
    /// later work needs.
    ///
    /// # Errors
    /// `Blocked` when something stands in the way; `LaterWork` when later work needs its own yes.
    pub fn confirm(self, with_later: bool) -> Result<ConfirmedRollback> {
        if let Some(first) = self.blockers.first() {
            let more = match self.blockers.len() {
                1 => String::new(),
                n => format!(" (and {} more)", n - 1),
            };
            let hint = match first.kind {
                "missing-right" => "nothing was written; every rollback needs that right",
                _ => "nothing was written; remove what stands in the way, or choose a later target",
            };
            return Err(Error::new(
                ErrorCode::Blocked,
                format!("this rollback cannot be done: {}{more}", first.message),
            )
            .hint(hint));
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
