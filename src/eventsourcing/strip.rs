//! When things happened: the log's life cut into equal spans of time. Ids follow time, so a span's events are counted by the positions of its two
//! ends, and a log of any length costs one look-up a span.

use super::error::Result;
use super::event::EventId;
use super::store::EventStore;
use super::timestamp::Timestamp;

/// A log's life in equal spans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    /// The first event's moment.
    pub first: Timestamp,
    /// The last event's.
    pub last: Timestamp,
    /// For each span, the last event at or before its end.
    pub through: Vec<EventId>,
}

/// The life of the log up to its head in so many spans; `None` for an empty log.
///
/// # Errors
/// The store's.
pub async fn strip(store: &dyn EventStore, head: EventId, spans: usize) -> Result<Option<Strip>> {
    let (first, last) = (first_event(store).await?, store.event(head).await?);
    let (Some(first), Some(last)) = (first, last.map(|event| event.timestamp)) else {
        return Ok(None);
    };
    let width = (last - first) / i32::try_from(spans.max(1)).unwrap_or(i32::MAX);
    let mut through = Vec::with_capacity(spans);
    let mut end = first;
    for _ in 1..spans.max(1) {
        end += width;
        // Nothing happened any more: no need to ask.
        let position = match through.last() {
            Some(position) if *position == head => head,
            _ => store.position_through(end).await?.min(head),
        };
        through.push(position);
    }
    through.push(head);
    Ok(Some(Strip {
        first,
        last,
        through,
    }))
}

async fn first_event(store: &dyn EventStore) -> Result<Option<Timestamp>> {
    use super::timeline::{Detail, Direction, Filter, PageRequest};
    let request = PageRequest {
        filter: Filter::default(),
        from: None,
        until: None,
        direction: Direction::Newer,
        limit: 1,
        detail: Detail::Summary,
    };
    let page = store.page(&request).await?;
    Ok(page.entries.first().map(|entry| entry.event.timestamp))
}

impl Strip {
    /// How many events each span has.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        let before = std::iter::once(&0).chain(&self.through);
        let counts = self.through.iter().zip(before);
        counts.map(|(through, before)| (through - before).unsigned_abs())
    }

    /// The span of an event.
    #[must_use]
    pub fn span_of(&self, id: EventId) -> usize {
        let span = self.through.partition_point(|through| *through < id);
        span.min(self.through.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strip(through: &[EventId]) -> Strip {
        let moment = crate::eventsourcing::timestamp::parse("2020-01-01").expect("a moment");
        Strip {
            first: moment,
            last: moment,
            through: through.to_vec(),
        }
    }

    #[test]
    fn each_span_has_its_events() {
        let strip = strip(&[3, 3, 5, 9, 9, 9, 10]);
        assert_eq!(strip.counts().collect::<Vec<_>>(), [3, 0, 2, 4, 0, 0, 1]);
        let spans = [1, 3, 4, 5, 6, 9, 10, 11].map(|id| strip.span_of(id));
        assert_eq!(spans, [0, 0, 2, 2, 3, 3, 6, 6]);
    }
}
