//! The event store in a SQLite file. SQLite has no language of its own to apply events in, so they are applied here,
//! by the domain's rules; only ebb appends.

mod append;
mod cascade;
mod codec;
mod connect;
mod counting;
mod deferred;
mod differences;
mod error;
mod log;
mod native;
mod reads;
mod refusal;
mod rehearsal;
mod replay;
mod rollback;
mod row_events;
mod rows;
mod schema;
mod unfit;
mod watch;
mod write;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqlitePool};
use uuid::Uuid;

use super::OpenOptions;
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
use crate::eventsourcing::{Event, EventId, EventStore, NewEvent, Result, RowKey};
use error::failed;
use reads::Reads;

/// An open event store.
struct SqliteStore {
    /// For writing.
    pool: SqlitePool,
    /// The same for reading.
    reads: Reads,
    info: StoreInfo,
    /// For the connection of its own that a rollback needs.
    options: SqliteConnectOptions,
    watch: watch::Watch,
    /// The file that its connections have.
    opened: watch::Opened,
}

pub(super) async fn open(path: &Path, options: &OpenOptions) -> Result<Arc<dyn EventStore>> {
    Ok(Arc::new(connect::open(path, options).await?))
}

pub(super) async fn init(
    path: &Path,
    options: &OpenOptions,
    schema: Option<&str>,
) -> Result<Arc<dyn EventStore>> {
    connect::init(path, schema).await?;
    open(path, options).await
}

#[async_trait]
impl EventStore for SqliteStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    async fn head(&self) -> Result<EventId> {
        log::head(&self.reads).await
    }

    async fn next_head(&self, known: EventId) -> Result<EventId> {
        self.watch
            .next_head(&self.options, &self.opened, known)
            .await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        log::event(&self.reads, id).await
    }

    async fn page(&self, request: &PageRequest) -> Result<Page> {
        log::page(&self.reads, request).await
    }

    async fn count_events(&self, filter: &Filter, first: EventId, last: EventId) -> Result<u64> {
        counting::count_events(&self.reads, filter, first, last).await
    }

    async fn activity(
        &self,
        by: ActivityBy,
        first: EventId,
        last: EventId,
    ) -> Result<Vec<(String, u64)>> {
        counting::activity(&self.reads, by, first, last).await
    }

    async fn moments(&self, request: &PageRequest) -> Result<Vec<(EventId, Timestamp)>> {
        log::moments(&self.reads, request).await
    }

    async fn history(&self, through: EventId) -> Result<History> {
        log::history(&self.reads, through).await
    }

    async fn position_before(&self, moment: Timestamp) -> Result<EventId> {
        log::position_before(&self.reads, moment).await
    }

    async fn position_through(&self, moment: Timestamp) -> Result<EventId> {
        log::position_through(&self.reads, moment).await
    }

    async fn types(&self) -> Result<Vec<String>> {
        log::types(&self.reads).await
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let read = schema::tables(&mut reading).await;
        reading.done();
        read
    }

    async fn row_count(&self, table: &Table) -> Result<u64> {
        rows::count(&self.reads, table).await
    }

    async fn row_estimate(&self, table: &Table) -> Result<Option<u64>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let read = rows::estimate(&mut reading, table).await;
        reading.done();
        read
    }

    async fn rows(&self, query: &RowsQuery<'_>) -> Result<RowPage> {
        rows::page(&self.reads, query).await
    }

    async fn row_keys(
        &self,
        table: &str,
        through: EventId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Uuid>> {
        log::row_keys(&self.reads, table, through, after, limit).await
    }

    async fn events_of(&self, rows: &[RowKey], through: EventId) -> Result<Vec<Event>> {
        row_events::events_of(&self.reads, rows, through).await
    }

    async fn earlier_events(
        &self,
        row: &RowKey,
        before: EventId,
        mention: Mention<'_>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        row_events::earlier_events(&self.reads, row, before, mention, limit).await
    }

    async fn latest_events(
        &self,
        table: &str,
        rows: &[Uuid],
        through: EventId,
        latest: usize,
    ) -> Result<Vec<Event>> {
        row_events::latest_events(&self.reads, table, rows, through, latest).await
    }

    async fn rows_with_latest(
        &self,
        table: &Table,
        rows: &[Uuid],
        latest: usize,
    ) -> Result<Vec<RowAudit>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let mut snapshot = reading.begin().await.map_err(failed)?;
        let audits = rows::with_latest(&mut snapshot, table, rows, latest).await?;
        snapshot.commit().await.map_err(failed)?;
        reading.done();
        Ok(audits)
    }

    async fn count_changes(&self, ids: &Ranges, scope: &Scope) -> Result<ChangeCounts> {
        row_events::count_changes(&self.reads, ids, scope).await
    }

    async fn changes_by_actor(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<(String, u64)>> {
        row_events::changes_by_actor(&self.reads, ids, scope).await
    }

    async fn count_living(&self, ids: &Ranges, scope: &Scope) -> Result<u64> {
        row_events::count_living(&self.reads, ids, scope).await
    }

    async fn rows_touched(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<RowKey>> {
        row_events::rows_touched(&self.reads, ids, scope).await
    }

    async fn outside_references(
        &self,
        tables: &[Table],
        changes: &Changes,
    ) -> Result<Vec<OutsideReference>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let read = rows::outside_references(&mut reading, tables, changes).await;
        reading.done();
        read
    }

    async fn unfit(&self, table: &Table, values: &[(String, Value)]) -> Result<Vec<usize>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let read = unfit::unfit(&mut reading, table, values).await;
        reading.done();
        read
    }

    async fn violations(&self, tables: &[Table], changes: &Changes) -> Result<Vec<Violation>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let keys = schema::foreign_keys(&mut *reading).await;
        reading.done();
        let keys = keys?;
        rehearsal::violations(self.options.get_filename(), tables, &keys, changes).await
    }

    async fn missing_right(&self) -> Result<Option<String>> {
        // Whoever may write the file may roll it back; a file that may only be read is in the store's info.
        Ok(None)
    }

    async fn audit_page(
        &self,
        table: &Table,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<RowAudit>> {
        // One transaction reads one state of the file: a writer at work must be no finding.
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let mut snapshot = reading.begin().await.map_err(failed)?;
        let page = rows::audit_page(&mut snapshot, table, after, limit).await?;
        snapshot.commit().await.map_err(failed)?;
        reading.done();
        Ok(page)
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Event>> {
        self.opened.check()?;
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let mut all = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed)?;
        match append::append(&mut all, &self.info.actor, &events).await {
            Ok(stored) => {
                all.commit().await.map_err(failed)?;
                Ok(stored)
            }
            Err(error) => {
                // A trigger's RAISE(ROLLBACK) has ended the transaction already, which sqlx cannot know: it would take
                // this connection to be inside one for ever.
                if all.rollback().await.is_err() {
                    connection.close_on_drop();
                }
                Err(error)
            }
        }
    }

    async fn record_differences(&self) -> Result<u64> {
        let mut connection = self.pool.acquire().await.map_err(failed)?;
        let mut all = connection
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(failed)?;
        let recorded = differences::record(&mut all, &self.info.actor).await?;
        all.commit().await.map_err(failed)?;
        Ok(recorded)
    }

    async fn execute(
        &self,
        rollback: &ConfirmedRollback,
        control: &Control,
    ) -> Result<RollbackOutcome> {
        self.opened.check()?;
        rollback::execute(&self.options, &self.info.actor, rollback, control).await
    }

    async fn close(&self) {
        self.watch.close();
        self.pool.close().await;
    }
}
