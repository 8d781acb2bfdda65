//! The events that a rollback writes between its two markers, in the order of the log.

use std::collections::HashMap;

use super::RollbackPlan;
use crate::eventsourcing::event::{Event, EventId, EventKind, Row, RowKey};

/// One event that a rollback writes.
#[derive(Clone, Debug, PartialEq)]
pub struct ScriptedEvent {
    /// What it does.
    pub kind: EventKind,
    /// The row it concerns.
    pub row: RowKey,
    /// Its data.
    pub data: Row,
    /// What was filled in when the origin happened.
    pub filled: Option<Row>,
    /// The event it comes from.
    pub origin: Option<EventId>,
}

impl ScriptedEvent {
    fn delete(row: RowKey) -> Self {
        Self {
            kind: EventKind::Delete,
            row,
            data: Row::new(),
            filled: None,
            origin: None,
        }
    }
}

/// What `minimal` writes: a delete for each row that goes, a restore for each that comes back or changes.
pub fn minimal(plan: &RollbackPlan) -> impl ExactSizeIterator<Item = ScriptedEvent> + '_ {
    plan.changes.iter().map(|change| match &change.after {
        None => ScriptedEvent::delete(change.key.clone()),
        Some(after) => ScriptedEvent {
            kind: EventKind::Restore,
            row: change.key.clone(),
            data: after.clone(),
            filled: None,
            origin: change.origin,
        },
    })
}

/// The rows that live, gathered from the effective events in id order.
#[derive(Debug, Default)]
pub struct LiveRows(HashMap<RowKey, EventId>);

impl LiveRows {
    /// Takes the next effective event into account.
    pub fn follow(&mut self, kind: EventKind, row: RowKey, id: EventId) {
        match kind {
            EventKind::Create => drop(self.0.insert(row, id)),
            EventKind::Delete => drop(self.0.remove(&row)),
            _ => {}
        }
    }
}

/// The first half of what `replay` writes: a delete for every live row, newest first.
#[must_use]
pub fn deletes_of_live_rows(live: LiveRows) -> Vec<ScriptedEvent> {
    let mut rows: Vec<(RowKey, EventId)> = live.0.into_iter().collect();
    rows.sort_by_key(|(_, born)| std::cmp::Reverse(*born));
    rows.into_iter()
        .map(|(row, _)| ScriptedEvent::delete(row))
        .collect()
}

/// The second half of what `replay` writes: an event effective at the target, repeated. `None` for a marker, which is not.
#[must_use]
pub fn repeat(event: Event) -> Option<ScriptedEvent> {
    Some(ScriptedEvent {
        kind: event.kind,
        row: event.row?,
        data: event.data,
        filled: event.filled,
        origin: Some(event.id),
    })
}
