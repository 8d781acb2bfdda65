//! Carrying out what was confirmed.

use super::{ConfirmedRollback, Control, RollbackOutcome, words};
use crate::eventsourcing::error::{Error, ErrorCode, Result};
use crate::eventsourcing::event::EventId;
use crate::eventsourcing::store::EventStore;
use crate::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};

/// Carries out a confirmed rollback. With nothing after the target, nothing is appended.
///
/// # Errors
/// Those of [`EventStore::execute`].
pub async fn execute(
    store: &dyn EventStore,
    rollback: &ConfirmedRollback,
    control: &Control,
) -> Result<RollbackOutcome> {
    if let Some(reason) = &store.info().read_only {
        return Err(Error::new(
            ErrorCode::ReadOnly,
            format!("{} is open for reading only: {reason}", store.info().name),
        ));
    }
    if rollback.plan().is_empty() {
        return Ok(RollbackOutcome {
            rollback: None,
            rollback_end: None,
            events_appended: 0,
            keeps_through: rollback.plan().keeps_through,
            strategy: rollback.plan().strategy(),
        });
    }
    match store.execute(rollback, control).await {
        Err(error) if error.code == ErrorCode::Stale => Err(Error {
            message: format!(
                "{}: {}",
                error.message,
                meanwhile(store, rollback.plan().head).await?
            ),
            ..error
        }),
        done => done,
    }
}

/// How many events of a kind of news are named.
const NAMED: usize = 3;

/// What has happened in the log since it ended at this event, in words.
async fn meanwhile(store: &dyn EventStore, head: EventId) -> Result<String> {
    let request = PageRequest {
        filter: Filter::default(),
        from: Some(head).filter(|head| *head > 0),
        until: None,
        direction: Direction::Newer,
        limit: NAMED,
        detail: Detail::Summary,
    };
    let page = store.page(&request).await?;
    let mut told: Vec<String> = page
        .entries
        .iter()
        .map(|entry| words::named(&entry.event))
        .collect();
    if page.more {
        let all = store.event_count(store.head().await?).await? - store.event_count(head).await?;
        told.push(format!("and {} more", all - page.entries.len() as u64));
    }
    Ok(told.join(", "))
}
