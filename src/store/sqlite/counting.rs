//! How many events of the log there are of one kind or another.

use sqlx::{QueryBuilder, Sqlite};

use super::error::failed;
use super::log::push_where;
use super::reads::Reads;
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::timeline::Filter;
use crate::eventsourcing::{EventId, Result};

/// How many of the events from one id through another a page with this filter would show.
pub(super) async fn count_events(
    reads: &Reads,
    filter: &Filter,
    first: EventId,
    last: EventId,
) -> Result<u64> {
    let mut query = QueryBuilder::<Sqlite>::new("SELECT count(*) FROM eventstore e");
    push_where(&mut query, filter);
    query.push(" AND e.id BETWEEN ").push_bind(first);
    query.push(" AND ").push_bind(last);
    let count: i64 = query
        .build_query_scalar()
        .fetch_one(reads)
        .await
        .map_err(failed)?;
    Ok(count.unsigned_abs())
}

pub(super) async fn activity(
    reads: &Reads,
    by: ActivityBy,
    first: EventId,
    last: EventId,
) -> Result<Vec<(String, u64)>> {
    let name = match by {
        ActivityBy::Actor => "e.actor",
        ActivityBy::Table => "e.type",
        // Timestamps are text that begins with the day, in UTC.
        ActivityBy::Day => "substr(e.timestamp, 1, 10)",
    };
    // The plus keeps it from going through the whole of another index, whose order the names would be in.
    let mut query = QueryBuilder::<Sqlite>::new(format!(
        "SELECT +{name} AS name, count(*) FROM eventstore e WHERE e.id BETWEEN "
    ));
    query.push_bind(first).push(" AND ").push_bind(last);
    query.push(" GROUP BY 1 HAVING name IS NOT NULL ORDER BY 1");
    let counts: Vec<(String, i64)> = query
        .build_query_as()
        .fetch_all(reads)
        .await
        .map_err(failed)?;
    Ok(counts
        .into_iter()
        .map(|(name, events)| (name, events.unsigned_abs()))
        .collect())
}
