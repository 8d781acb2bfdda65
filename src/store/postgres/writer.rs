//! Who holds the writer's lock.

use sqlx::PgPool;

use super::error::failed;
use crate::eventsourcing::Result;
use crate::eventsourcing::store::Writer;
use crate::eventsourcing::timestamp::Timestamp;

/// The role, the program, the process, and when its transaction began.
type Found = (
    Option<String>,
    Option<String>,
    Option<i32>,
    Option<Timestamp>,
);

/// Whoever updates the row of `sourcing.writer` has its lock; those who wait have only begun to select it. Not this program's
/// own sessions: they have a name of their own, see `connect`. When a transaction began is shown to those alone who may know.
pub(super) async fn writer(pool: &PgPool) -> Result<Option<Writer>> {
    let found: Option<Found> = sqlx::query_as(
        "SELECT a.usename::text, nullif(a.application_name, ''), a.pid, a.xact_start
               FROM pg_locks l
               LEFT JOIN pg_stat_activity a ON a.pid = l.pid
              WHERE l.locktype = 'relation' AND l.relation = 'sourcing.writer'::regclass
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.mode = 'RowExclusiveLock' AND l.granted
                AND NOT coalesce(a.application_name = current_setting('application_name')
                                 AND a.client_addr IS NOT DISTINCT FROM inet_client_addr(), false)
              LIMIT 1",
    )
    .fetch_optional(pool)
    .await
    .map_err(failed)?;
    Ok(found.map(|(role, program, process, since)| Writer {
        // A prepared transaction has no session.
        role: role.unwrap_or_else(|| "a prepared transaction".to_owned()),
        program,
        process,
        since,
    }))
}
