//! The work since a rollback that its undo would take along.

use super::{NAMED, words};
use crate::eventsourcing::error::Result;
use crate::eventsourcing::event::{Event, EventKind};
use crate::eventsourcing::history::EffectiveRows;
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::store::EventStore;
use crate::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};

/// Events that are read at once: among them may be some of rows that have an E of their own.
const PAGE: usize = 20;

/// The first of the events of these ranges that count now and are of this scope, in words.
pub(super) async fn first_in_words(
    store: &dyn EventStore,
    ranges: &Ranges,
    scope: &Scope,
    now: &mut EffectiveRows<'_>,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (first, last) in ranges.iter() {
        let mut from = first - 1;
        loop {
            let page = store
                .page(&PageRequest {
                    filter: Filter::default(),
                    from: Some(from).filter(|from| *from > 0),
                    until: Some(last),
                    direction: Direction::Newer,
                    limit: PAGE,
                    detail: Detail::Summary,
                })
                .await?;
            for entry in &page.entries {
                from = entry.event.id;
                if is_work(&entry.event, scope, now) {
                    found.push(words::named(&entry.event));
                }
                if found.len() == NAMED {
                    return Ok(found);
                }
            }
            if !page.more {
                break;
            }
        }
    }
    Ok(found)
}

/// Whether it is one that a client made and that counts now.
fn is_work(event: &Event, scope: &Scope, now: &mut EffectiveRows<'_>) -> bool {
    let is_change = matches!(
        event.kind,
        EventKind::Create | EventKind::Update | EventKind::Delete
    );
    is_change
        && event
            .row
            .as_ref()
            .is_some_and(|row| scope.covers(row) && now.of(row).ids.contains(event.id))
}
