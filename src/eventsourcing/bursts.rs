//! Bursts: events that follow one another without a long pause, such as what an instrument writes in one night.

use chrono::TimeDelta;

use super::error::Result;
use super::event::EventId;
use super::store::EventStore;
use super::timeline::{Detail, Direction, Filter, PageRequest};

/// A pause of this length ends a burst.
pub const PAUSE: TimeDelta = TimeDelta::minutes(30);

/// Moments that are read at first, and then at once: the next burst is often near.
const AT_ONCE: [usize; 2] = [500, 20_000];

/// The first event of a burst: of the nearest that begins before this event, or after it, among the events that a filter shows. `None` when there
/// is none.
///
/// # Errors
/// The store's.
pub async fn nearest(
    store: &dyn EventStore,
    filter: &Filter,
    from: EventId,
    direction: Direction,
) -> Result<Option<EventId>> {
    let older = direction == Direction::Older;
    let mut request = PageRequest {
        filter: filter.clone(),
        // This event too: whether a pause lies between it and the next one matters.
        from: Some(if older { from + 1 } else { from - 1 }),
        until: None,
        direction,
        limit: AT_ONCE[0],
        detail: Detail::Summary,
    };
    let mut before = None;
    loop {
        let moments = store.moments(&request).await?;
        for &(id, moment) in &moments {
            if let Some((last, last_moment)) = before.replace((id, moment)) {
                let pause = if older {
                    last_moment - moment
                } else {
                    moment - last_moment
                };
                let first = if older { last } else { id };
                if pause >= PAUSE && first != from {
                    return Ok(Some(first));
                }
            }
        }
        if moments.len() < request.limit {
            // The first event of all begins a burst as well.
            let first = before.map(|(id, _)| id).filter(|id| older && *id < from);
            return Ok(first);
        }
        request.from = before.map(|(id, _)| id);
        request.limit = AT_ONCE[1];
    }
}
