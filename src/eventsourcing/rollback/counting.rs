//! How many events a rollback concerns, where some rows have an E of their own, and how many `replay` appends.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Strategy;
use crate::eventsourcing::error::Result;
use crate::eventsourcing::event::EventId;
use crate::eventsourcing::history::{Course, EffectiveRows, Rollback};
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::store::EventStore;
use crate::eventsourcing::timestamp::Timestamp;

/// How many events `replay` would append to a log that ends at `head`, to take the whole database this course. It takes the longer
/// the longer the log is.
///
/// # Errors
/// The store's.
pub async fn count_replay(store: &dyn EventStore, head: EventId, course: Course) -> Result<u64> {
    let history = store.history(head).await?;
    let planned = history.with(as_rollback(head, course, Scope::Whole));
    let (mut now, mut then) = (
        EffectiveRows::at(&planned, head),
        EffectiveRows::at(&planned, head + 1),
    );
    let mut scopes = planned.scopes_since(0);
    let mut total = 2;
    for (scope, by) in shares(&mut scopes) {
        let (now, then) = (
            now.of_scope(&by).ids.clone(),
            then.of_scope(&by).ids.clone(),
        );
        let count = store.count_living(&now, scope).await?
            + store.count_changes(&then, scope).await?.total();
        match by == *scope {
            true => total += count,
            false => total -= count,
        }
    }
    Ok(total)
}

/// Events of a scope that are counted, or that have been counted too often and are not.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Which events.
    pub(super) ids: Ranges,
    /// Of which rows.
    pub(super) scope: Scope,
    /// Whether they count.
    pub(super) counts: bool,
}

/// Who made the events that a plan undoes, and how many each, the most first.
///
/// # Errors
/// The store's.
pub async fn count_authors(store: &dyn EventStore, undone: &[Share]) -> Result<Vec<(String, u64)>> {
    let mut sums: BTreeMap<String, i64> = BTreeMap::new();
    for share in undone {
        for (actor, events) in store.changes_by_actor(&share.ids, &share.scope).await? {
            let events = i64::try_from(events).unwrap_or(i64::MAX);
            *sums.entry(actor).or_default() += if share.counts { events } else { -events };
        }
    }
    let authors = sums.into_iter().filter(|(_, events)| *events > 0);
    let mut authors: Vec<(String, u64)> = authors
        .map(|(actor, events)| (actor, events.unsigned_abs()))
        .collect();
    authors.sort_by_key(|(_, events)| Reverse(*events));
    Ok(authors)
}

/// How a number of all rows of the first scope is made up where those of each scope in it are counted by an E of their own: for
/// each scope the E of that scope counts, and that of the scope around it, which counted them too, does not.
pub(super) fn shares(scopes: &mut [Scope]) -> Vec<(&Scope, Scope)> {
    scopes.sort_by_key(|scope| match scope {
        Scope::Whole => 0,
        Scope::Table(_) => 1,
        Scope::Row(_) => 2,
    });
    let scopes = &*scopes;
    let mut shares = Vec::new();
    for (at, scope) in scopes.iter().enumerate() {
        shares.push((scope, scope.clone()));
        if at > 0 {
            let table = scope.table().map(|table| Scope::Table(table.to_owned()));
            let around = table.filter(|table| table != scope && scopes.contains(table));
            shares.push((scope, around.unwrap_or_else(|| scopes[0].clone())));
        }
    }
    shares
}

/// The rollback that a plan would make, right after the head.
pub(super) fn as_rollback(head: EventId, course: Course, scope: Scope) -> Rollback {
    Rollback {
        id: head + 1,
        end: head + 1,
        course,
        scope,
        strategy: Strategy::Minimal,
        reason: None,
        allow_loss: false,
        undoes: None,
        redoes: None,
        timestamp: Timestamp::default(),
        actor: String::new(),
    }
}
