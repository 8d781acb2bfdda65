//! An event store that mdb or Molar made, as it is: read, never written. What these programs kept in other ways than
//! ebb is put right while it is read, by a subquery in the place of the table; nothing is created in the database, so
//! that a role which may only SELECT, and a standby, suffice.
//!
//! What is different from ebb's own log, and what is made of it:
//!
//! - A rollback wrote ordinary deletes and repeats between its markers, with its own timestamp as their time. So the
//!   tables are the fold of all events, and [`history`](EventStore::history) knows of no rollbacks: the markers
//!   are shown, and mean nothing.
//! - Ids may have gaps, and timestamps, which have no zone and are UTC, may run against them.
//! - What the database made of an event was not recorded: see [`filled`].

mod filled;

use std::borrow::Cow;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, QueryBuilder};
use uuid::Uuid;

use super::error::failed;
use super::reads::Reads;
use super::source::Source;
use super::{counting, log, row_events, rows, schema, unfit, watch};
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::history::History;
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::rollback::{Changes, ConfirmedRollback, Control, RollbackOutcome};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::states::Mention;
use crate::eventsourcing::store::{
    ChangeCounts, OutsideReference, RowAudit, RowPage, RowsQuery, StoreInfo, Violation,
};
use crate::eventsourcing::timeline::{Filter, Page, PageRequest};
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{
    Error, ErrorCode, Event, EventId, EventStore, NewEvent, Result, RowKey,
};
use filled::Filler;

/// Why nothing can be written to it.
pub(super) const READ_ONLY: &str =
    "its event store was made by mdb or Molar; `ebb init` takes it over";

/// Whether `sourcing.eventstore` has the columns that these programs gave it; it may have further ones.
pub(super) const RECOGNISED: &str = "
    SELECT count(*) = 6
      FROM pg_attribute
     WHERE attrelid = to_regclass('sourcing.eventstore') AND attnum > 0 AND NOT attisdropped
       AND CASE attname
           WHEN 'id' THEN atttypid = 'bigint'::regtype
           WHEN 'event' THEN atttypid IN ('varchar'::regtype, 'text'::regtype)
           WHEN 'type' THEN atttypid IN ('varchar'::regtype, 'text'::regtype)
           WHEN 'data' THEN atttypid = 'jsonb'::regtype
           WHEN 'timestamp' THEN atttypid = 'timestamp'::regtype
           WHEN 'uuid' THEN atttypid = 'uuid'::regtype
           ELSE false END";

/// The migration that makes the view `sourcing.tables`, which such a database does not have.
const TABLES: &str = include_str!("../../../migrations/postgres/0002_tables.sql");

/// The SELECT of that view: which tables take part is said in one place.
fn tables() -> &'static str {
    TABLES
        .split_once("CREATE VIEW sourcing.tables AS\n")
        .and_then(|(_, rest)| rest.split_once(";\n"))
        .map(|(select, _)| select)
        .expect("the migration begins with the view")
}

/// The log in the shape of ebb's own. Molar, not mdb, kept the number of the user who wrote an event.
fn source(has_user: bool) -> Source {
    let actor = match has_user {
        true => "coalesce('user ' || user_id, '')",
        false => "''::text",
    };
    Source {
        log: Cow::Owned(format!(
            r#"(SELECT id, event::text AS event, type::text AS type, uuid, data,
                       "timestamp" AT TIME ZONE 'UTC' AS "timestamp",
                       NULL::jsonb AS filled, {actor} AS actor, NULL::bigint AS origin
                  FROM sourcing.eventstore)"#
        )),
        tables: Cow::Owned(format!("({})", tables())),
        named: "t.name = $1",
        relation: Cow::Owned(format!(
            "SELECT x.relation FROM ({}) AS x WHERE x.name = $1",
            tables()
        )),
        // How values that JSON cannot carry are kept, only the functions of ebb's own event store know.
        state: "'to_jsonb(t.*)'::text",
        state_of: "'to_jsonb(t.*)'::text",
    }
}

/// The tables that the log speaks of and that are there, each with its columns, and these with their defaults where
/// those are constant: see [`filled`].
pub(super) async fn stored_columns(connection: &mut PgConnection) -> Result<Vec<StoredColumns>> {
    let source = source(false);
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT DISTINCT type::text FROM sourcing.eventstore WHERE type IS NOT NULL ORDER BY 1",
    )
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    let columns = Filler::default()
        .columns(connection, &source, names)
        .await?;
    Ok(columns.into_iter().collect())
}

/// A table's name, and its columns with their defaults.
pub(super) type StoredColumns = (String, Vec<(String, Option<Value>)>);

/// Such an event store, open.
pub(super) struct LegacyStore {
    reads: Reads,
    info: StoreInfo,
    source: Source,
    filler: Filler,
}

impl LegacyStore {
    pub(super) async fn open(pool: PgPool, info: StoreInfo) -> Result<Self> {
        let has_user: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM pg_attribute
                             WHERE attrelid = 'sourcing.eventstore'::regclass AND attname = 'user_id' AND NOT attisdropped)",
        )
        .fetch_one(&pool)
        .await
        .map_err(failed)?;
        Ok(Self {
            reads: Reads::new(pool),
            info,
            source: source(has_user),
            filler: Filler::default(),
        })
    }

    /// Lays over these events what the database made of them, as far as it can be told.
    async fn fill(&self, events: Vec<&mut Event>) -> Result<()> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let filled = self.filler.fill(&mut reading, &self.source, events).await;
        reading.done();
        filled
    }

    /// The last event of the longest run of events from the first one on, none of which is past the moment. A search
    /// for the latest timestamp would not do: timestamps may run against the ids.
    async fn position(&self, is_past: &'static str, moment: Timestamp) -> Result<EventId> {
        let log = &self.source.log;
        let mut query = QueryBuilder::<Postgres>::new(format!(
            r#"SELECT coalesce(max(e.id), 0) FROM {log} e
                WHERE e.id < coalesce((SELECT min(p.id) FROM {log} p WHERE p."timestamp" {is_past} "#
        ));
        query.push_bind(moment).push("), 9223372036854775807)");
        query
            .build_query_scalar()
            .fetch_one(&self.reads)
            .await
            .map_err(failed)
    }

    fn refused<T>(&self) -> Result<T> {
        Err(Error::new(
            ErrorCode::ReadOnly,
            format!("nothing can be written to {}: {READ_ONLY}", self.info.name),
        ))
    }
}

#[async_trait]
impl EventStore for LegacyStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    async fn head(&self) -> Result<EventId> {
        log::head_in(&self.reads, &self.source).await
    }

    /// These event stores do not tell: the log is asked once a second.
    async fn next_head(&self, known: EventId) -> Result<EventId> {
        watch::ask_until_next(&self.reads, &self.source, known).await
    }

    async fn event_count(&self, through: EventId) -> Result<u64> {
        let count: i64 = sqlx::query_scalar(AssertSqlSafe(format!(
            "SELECT count(*) FROM {} e WHERE e.id <= $1",
            self.source.log
        )))
        .bind(through)
        .fetch_one(&self.reads)
        .await
        .map_err(failed)?;
        Ok(count.unsigned_abs())
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        let mut event = log::event(&self.reads, &self.source, id).await?;
        self.fill(event.iter_mut().collect()).await?;
        Ok(event)
    }

    async fn page(&self, request: &PageRequest) -> Result<Page> {
        let mut page = log::page(&self.reads, &self.source, request).await?;
        // Of data that was left out nobody knows which columns it names.
        let whole = page
            .entries
            .iter_mut()
            .filter(|entry| entry.left_out.is_none());
        self.fill(whole.map(|entry| &mut entry.event).collect())
            .await?;
        Ok(page)
    }

    async fn count_events(&self, filter: &Filter, first: EventId, last: EventId) -> Result<u64> {
        counting::count_events(&self.reads, &self.source, filter, first, last).await
    }

    async fn activity(
        &self,
        by: ActivityBy,
        first: EventId,
        last: EventId,
    ) -> Result<Vec<(String, u64)>> {
        counting::activity(&self.reads, &self.source, by, first, last).await
    }

    async fn moments(&self, request: &PageRequest) -> Result<Vec<(EventId, Timestamp)>> {
        log::moments(&self.reads, &self.source, request).await
    }

    async fn history(&self, _through: EventId) -> Result<History> {
        Ok(History::default())
    }

    async fn position_before(&self, moment: Timestamp) -> Result<EventId> {
        self.position(">=", moment).await
    }

    async fn position_through(&self, moment: Timestamp) -> Result<EventId> {
        self.position(">", moment).await
    }

    async fn transaction(&self, event: &Event) -> Result<(EventId, EventId)> {
        log::transaction(&self.reads, &self.source, event).await
    }

    async fn types(&self) -> Result<Vec<String>> {
        log::types(&self.reads, &self.source).await
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        schema::tables_in(&self.reads, &self.source).await
    }

    async fn row_count(&self, table: &Table) -> Result<u64> {
        rows::count(&self.reads, &self.source, table).await
    }

    async fn row_estimate(&self, table: &Table) -> Result<Option<u64>> {
        rows::estimate(&self.reads, &self.source, table).await
    }

    async fn rows(&self, query: &RowsQuery<'_>) -> Result<RowPage> {
        rows::page(&self.reads, &self.source, query).await
    }

    async fn row_keys(
        &self,
        table: &str,
        through: EventId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Uuid>> {
        log::row_keys(&self.reads, &self.source, table, through, after, limit).await
    }

    async fn events_of(&self, rows: &[RowKey], through: EventId) -> Result<Vec<Event>> {
        let mut events = row_events::events_of(&self.reads, &self.source, rows, through).await?;
        self.fill(events.iter_mut().collect()).await?;
        Ok(events)
    }

    async fn earlier_events(
        &self,
        row: &RowKey,
        before: EventId,
        mention: Mention<'_>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        let mut events =
            row_events::earlier_events(&self.reads, &self.source, row, before, mention, limit)
                .await?;
        self.fill(events.iter_mut().collect()).await?;
        Ok(events)
    }

    async fn latest_events(
        &self,
        table: &str,
        rows: &[Uuid],
        through: EventId,
        latest: usize,
    ) -> Result<Vec<Event>> {
        let mut events =
            row_events::latest_events(&self.reads, &self.source, table, rows, through, latest)
                .await?;
        self.fill(events.iter_mut().collect()).await?;
        Ok(events)
    }

    async fn rows_with_latest(
        &self,
        table: &Table,
        rows: &[Uuid],
        latest: usize,
    ) -> Result<Vec<RowAudit>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let mut snapshot = super::snapshot(&mut reading).await?;
        let mut audits =
            rows::with_latest(&mut snapshot, &self.source, table, rows, latest).await?;
        snapshot.commit().await.map_err(failed)?;
        reading.done();
        let events = audits.iter_mut().flat_map(|audit| &mut audit.events);
        self.fill(events.collect()).await?;
        Ok(audits)
    }

    async fn count_changes(&self, ids: &Ranges, scope: &Scope) -> Result<ChangeCounts> {
        row_events::count_changes(&self.reads, &self.source, ids, scope).await
    }

    async fn changes_by_actor(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<(String, u64)>> {
        row_events::changes_by_actor(&self.reads, &self.source, ids, scope).await
    }

    async fn count_living(&self, ids: &Ranges, scope: &Scope) -> Result<u64> {
        row_events::count_living(&self.reads, &self.source, ids, scope).await
    }

    async fn rows_touched(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<RowKey>> {
        row_events::rows_touched(&self.reads, &self.source, ids, scope).await
    }

    async fn outside_references(
        &self,
        tables: &[Table],
        changes: &Changes,
    ) -> Result<Vec<OutsideReference>> {
        rows::outside_references(&self.reads, &self.source, tables, changes).await
    }

    /// Nothing can be rolled back here, so nothing stands in the way of it.
    async fn unfit(&self, table: &Table, values: &[(String, Value)]) -> Result<Vec<usize>> {
        unfit::unfit(&self.reads, &self.source, table, values).await
    }

    async fn violations(&self, _tables: &[Table], _changes: &Changes) -> Result<Vec<Violation>> {
        Ok(Vec::new())
    }

    /// Nobody can roll back here, whatever rights they have; the store's info says so.
    async fn missing_right(&self) -> Result<Option<String>> {
        Ok(None)
    }

    async fn audit_page(
        &self,
        table: &Table,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<RowAudit>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let mut snapshot = super::snapshot(&mut reading).await?;
        let mut page = rows::audit_page(&mut snapshot, &self.source, table, after, limit).await?;
        snapshot.commit().await.map_err(failed)?;
        reading.done();
        let events = page.iter_mut().flat_map(|audit| &mut audit.events);
        self.fill(events.collect()).await?;
        Ok(page)
    }

    async fn append(&self, _events: Vec<NewEvent>) -> Result<Vec<Event>> {
        self.refused()
    }

    async fn record_differences(&self) -> Result<u64> {
        self.refused()
    }

    async fn execute(
        &self,
        _rollback: &ConfirmedRollback,
        _control: &Control,
    ) -> Result<RollbackOutcome> {
        self.refused()
    }

    async fn close(&self) {
        self.reads.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_select_of_the_view_is_the_whole_of_it_and_nothing_else() {
        let select = tables();
        assert!(select.starts_with("SELECT c.oid AS relation,"), "{select}");
        assert!(
            !select.contains(';') && !select.contains("CREATE"),
            "{select}"
        );
        let last = select.lines().last().unwrap_or_default();
        assert!(
            last.trim_start().starts_with("AND n.nspname NOT IN"),
            "{last}"
        );
    }
}
