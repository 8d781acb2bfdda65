//! Who wrote how much, on which table, and when.

use std::collections::BTreeMap;

use super::error::Result;
use super::event::EventId;
use super::store::EventStore;

/// How many ids are counted at once: few enough for an answer soon, and for being stopped soon.
pub const WINDOW: EventId = 50_000;

/// What events are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActivityBy {
    /// Who wrote them.
    Actor,
    /// The table that they change. Markers change none, and are not counted.
    Table,
    /// The day on which they were written, in UTC: `2020-02-17`.
    Day,
}

/// How many events of the log up to its head, as it is when this begins, each actor, table or day has; sorted by name.
/// They are counted [`WINDOW`] by window; after each one `progress` is told through which id they are, and the head.
///
/// # Errors
/// The database's own, as [`EventStore`] says.
pub async fn of_whole_log(
    store: &dyn EventStore,
    by: ActivityBy,
    mut progress: impl FnMut(EventId, EventId),
) -> Result<Vec<(String, u64)>> {
    let head = store.head().await?;
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    let mut done = 0;
    while done < head {
        let last = done.saturating_add(WINDOW).min(head);
        for (name, events) in store.activity(by, done + 1, last).await? {
            *sums.entry(name).or_default() += events;
        }
        done = last;
        progress(done, head);
    }
    Ok(sums.into_iter().collect())
}
