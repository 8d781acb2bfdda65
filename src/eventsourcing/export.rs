//! The log as JSON, one event a line, oldest first: what `ebb log --json --oldest-first` prints.

use super::error::Result;
use super::event::Event;
use super::history::Standing;
use super::store::EventStore;
use super::timeline::{Detail, Direction, Filter, PageRequest};

/// Events that are read at once.
const PAGE: usize = 500;

/// Hands over every event up to the head, oldest first, with its standing; returns how many.
///
/// # Errors
/// The store's, and what `take` fails with.
pub async fn events(
    store: &dyn EventStore,
    mut take: impl FnMut(&Event, Standing) -> Result<()>,
) -> Result<u64> {
    let head = store.head().await?;
    let history = store.history(head).await?;
    let mut request = PageRequest {
        filter: Filter::default(),
        from: None,
        until: Some(head),
        direction: Direction::Newer,
        limit: PAGE,
        detail: Detail::Whole,
    };
    let mut events = 0;
    loop {
        let page = store.page(&request).await?;
        for entry in &page.entries {
            let event = &entry.event;
            take(event, history.standing(head, event.id, event.row.as_ref()))?;
            events += 1;
        }
        let last = page.entries.last().map(|entry| entry.event.id);
        match last.filter(|_| page.more) {
            Some(last) => request.from = Some(last),
            None => return Ok(events),
        }
    }
}
