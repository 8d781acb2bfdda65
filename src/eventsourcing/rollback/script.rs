//! The events that a minimal rollback writes between its two markers, in the order of the log.

use super::RowChange;
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

/// What `minimal` writes for this row: a delete where it goes, a restore where it comes back or changes.
#[must_use]
pub fn minimal(change: RowChange) -> ScriptedEvent {
    ScriptedEvent {
        kind: match change.after {
            None => EventKind::Delete,
            Some(_) => EventKind::Restore,
        },
        row: change.key,
        data: change.after.unwrap_or_default(),
        origin: change.origin,
    }
}
