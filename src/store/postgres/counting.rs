//! How many events of the log there are of one kind or another.

use sqlx::{Postgres, QueryBuilder};

use super::error::failed;
use super::log::push_where;
use super::reads::Reads;
use super::source::Source;
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::timeline::Filter;
use crate::eventsourcing::{EventId, Result};

/// How many of the events from one id through another a page with this filter would show.
pub(super) async fn count_events(
    reads: &Reads,
    source: &Source,
    filter: &Filter,
    first: EventId,
    last: EventId,
) -> Result<u64> {
    let mut query = QueryBuilder::<Postgres>::new(format!("SELECT count(*) FROM {} e", source.log));
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
    source: &Source,
    by: ActivityBy,
    first: EventId,
    last: EventId,
) -> Result<Vec<(String, u64)>> {
    let name = match by {
        ActivityBy::Actor => "e.actor",
        ActivityBy::Table => "e.type",
        ActivityBy::Day => r#"to_char(e."timestamp" AT TIME ZONE 'UTC', 'YYYY-MM-DD')"#,
    };
    let mut query = QueryBuilder::<Postgres>::new(format!(
        r#"SELECT g.name, g.events
             FROM (SELECT {name} AS name, count(*) AS events FROM {} e WHERE e.id BETWEEN "#,
        source.log
    ));
    query.push_bind(first).push(" AND ").push_bind(last);
    query.push(r#" GROUP BY 1) AS g WHERE g.name IS NOT NULL ORDER BY g.name COLLATE "C""#);
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
