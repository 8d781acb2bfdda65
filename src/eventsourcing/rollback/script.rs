//! The events that a minimal rollback writes between its two markers, in the order of the log.

use super::RollbackPlan;
use crate::eventsourcing::event::{EventId, EventKind, Row, RowKey};

/// One event that a rollback writes.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptedEvent {
    /// What it does.
    pub kind: EventKind,
    /// The row it concerns.
    pub row: RowKey,
    /// Its data.
    pub data: Row,
    /// The event it comes from.
    pub origin: Option<EventId>,
}

/// What `minimal` writes: a delete for each row that goes, a restore for each that comes back or changes.
pub fn minimal(plan: &RollbackPlan) -> impl ExactSizeIterator<Item = ScriptedEvent> + '_ {
    plan.changes.iter().map(|change| match &change.after {
        None => ScriptedEvent {
            kind: EventKind::Delete,
            row: change.key.clone(),
            data: Row::new(),
            origin: None,
        },
        Some(after) => ScriptedEvent {
            kind: EventKind::Restore,
            row: change.key.clone(),
            data: after.clone(),
            origin: change.origin,
        },
    })
}
