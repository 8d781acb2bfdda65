//! The event store on PostgreSQL. The database applies events and carries out rollbacks itself
//! (`migrations/postgres`); here is only what asks it to, and what reads.

mod append;
mod connect;
mod counting;
mod error;
mod given;
mod install;
mod jsonb;
mod legacy;
mod log;
mod reads;
mod rollback;
mod row_events;
mod rows;
mod schema;
mod source;
mod unfit;
mod violations;
mod watch;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;
use sqlx::{Connection, PgPool, Postgres, Transaction};
use uuid::Uuid;

use super::version::Found;
use super::{Made, OpenOptions, TakeOver};
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::history::History;
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::rollback::{Changes, ConfirmedRollback, Control, RollbackOutcome};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::states::Mention;
use crate::eventsourcing::store::{
    ChangeCounts, OutsideReference, RowAudit, RowPage, RowsQuery, StoreInfo, Violation, Writer,
};
use crate::eventsourcing::timeline::{Filter, Page, PageRequest};
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Event, EventId, EventStore, NewEvent, Result, RowKey};
use append::Appender;
use error::failed;
use legacy::LegacyStore;
use reads::{Reading, Reads};
use source::OWN;
use watch::Watch;

/// An identifier, quoted.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An open event store.
struct PostgresStore {
    /// For writing.
    pool: PgPool,
    /// The same for reading.
    reads: Reads,
    appender: Appender,
    watch: Watch,
    info: StoreInfo,
}

pub(super) async fn open(url: &str, options: &OpenOptions) -> Result<Arc<dyn EventStore>> {
    let (found, pool, info) = connect::open(url, options).await?;
    Ok(match found {
        Found::Legacy => Arc::new(LegacyStore::open(pool, info).await?),
        _ => Arc::new(PostgresStore {
            reads: Reads::new(pool.clone()),
            pool,
            appender: Appender::default(),
            watch: Watch::default(),
            info,
        }),
    })
}

pub(super) async fn init(url: &str, options: &OpenOptions, schema: Option<&str>) -> Result<Made> {
    let roles = install::init(url, options, schema).await?;
    Ok(Made {
        store: open(url, options).await?,
        roles: Some(roles),
        differences_recorded: 0,
    })
}

pub(super) async fn take_over(
    url: &str,
    options: &OpenOptions,
    schema: Option<&str>,
    consent: &TakeOver,
) -> Result<Made> {
    let (roles, differences_recorded) = install::take_over(url, options, schema, consent).await?;
    Ok(Made {
        store: open(url, options).await?,
        roles: Some(roles),
        differences_recorded,
    })
}

/// One snapshot for the tables and the log: a writer at work must be no finding.
async fn snapshot(reading: &mut Reading) -> Result<Transaction<'_, Postgres>> {
    reading.begins_snapshot();
    let begin = reading.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY");
    begin.await.map_err(failed)
}

#[async_trait]
impl EventStore for PostgresStore {
    fn info(&self) -> &StoreInfo {
        &self.info
    }

    async fn head(&self) -> Result<EventId> {
        log::head(&self.reads).await
    }

    async fn next_head(&self, known: EventId) -> Result<EventId> {
        self.watch.next_head(&self.pool, known).await
    }

    async fn event_count(&self, through: EventId) -> Result<u64> {
        log::event_count(&self.reads, through).await
    }

    async fn transaction(&self, event: &Event) -> Result<(EventId, EventId)> {
        log::transaction(&self.reads, &OWN, event).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        log::event(&self.reads, &OWN, id).await
    }

    async fn page(&self, request: &PageRequest) -> Result<Page> {
        log::page(&self.reads, &OWN, request).await
    }

    async fn count_events(&self, filter: &Filter, first: EventId, last: EventId) -> Result<u64> {
        counting::count_events(&self.reads, &OWN, filter, first, last).await
    }

    async fn activity(
        &self,
        by: ActivityBy,
        first: EventId,
        last: EventId,
    ) -> Result<Vec<(String, u64)>> {
        counting::activity(&self.reads, &OWN, by, first, last).await
    }

    async fn moments(&self, request: &PageRequest) -> Result<Vec<(EventId, Timestamp)>> {
        log::moments(&self.reads, &OWN, request).await
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
        log::types(&self.reads, &OWN).await
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        schema::tables(&self.reads).await
    }

    async fn row_count(&self, table: &Table) -> Result<u64> {
        rows::count(&self.reads, &OWN, table).await
    }

    async fn row_estimate(&self, table: &Table) -> Result<Option<u64>> {
        rows::estimate(&self.reads, &OWN, table).await
    }

    async fn rows(&self, query: &RowsQuery<'_>) -> Result<RowPage> {
        rows::page(&self.reads, &OWN, query).await
    }

    async fn row_keys(
        &self,
        table: &str,
        through: EventId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Uuid>> {
        log::row_keys(&self.reads, &OWN, table, through, after, limit).await
    }

    async fn events_of(&self, rows: &[RowKey], through: EventId) -> Result<Vec<Event>> {
        row_events::events_of(&self.reads, &OWN, rows, through).await
    }

    async fn earlier_events(
        &self,
        row: &RowKey,
        before: EventId,
        mention: Mention<'_>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        row_events::earlier_events(&self.reads, &OWN, row, before, mention, limit).await
    }

    async fn latest_events(
        &self,
        table: &str,
        rows: &[Uuid],
        through: EventId,
        latest: usize,
    ) -> Result<Vec<Event>> {
        row_events::latest_events(&self.reads, &OWN, table, rows, through, latest).await
    }

    async fn rows_with_latest(
        &self,
        table: &Table,
        rows: &[Uuid],
        latest: usize,
    ) -> Result<Vec<RowAudit>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let mut snapshot = snapshot(&mut reading).await?;
        let audits = rows::with_latest(&mut snapshot, &OWN, table, rows, latest).await?;
        snapshot.commit().await.map_err(failed)?;
        reading.done();
        Ok(audits)
    }

    async fn count_changes(&self, ids: &Ranges, scope: &Scope) -> Result<ChangeCounts> {
        row_events::count_changes(&self.reads, &OWN, ids, scope).await
    }

    async fn changes_by_actor(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<(String, u64)>> {
        row_events::changes_by_actor(&self.reads, &OWN, ids, scope).await
    }

    async fn count_living(&self, ids: &Ranges, scope: &Scope) -> Result<u64> {
        row_events::count_living(&self.reads, &OWN, ids, scope).await
    }

    async fn rows_touched(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<RowKey>> {
        row_events::rows_touched(&self.reads, &OWN, ids, scope).await
    }

    async fn outside_references(
        &self,
        tables: &[Table],
        changes: &Changes,
    ) -> Result<Vec<OutsideReference>> {
        rows::outside_references(&self.reads, &OWN, tables, changes).await
    }

    async fn unfit(&self, table: &Table, values: &[(String, Value)]) -> Result<Vec<usize>> {
        unfit::unfit(&self.reads, &OWN, table, values).await
    }

    async fn violations(&self, tables: &[Table], changes: &Changes) -> Result<Vec<Violation>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let read = violations::violations(&mut reading, tables, changes).await;
        reading.done();
        read
    }

    async fn missing_right(&self) -> Result<Option<String>> {
        rollback::missing_right(&self.pool).await
    }

    async fn writer(&self) -> Result<Option<Writer>> {
        writer::writer(&self.pool).await
    }

    async fn audit_page(
        &self,
        table: &Table,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<RowAudit>> {
        let mut reading = self.reads.acquire().await.map_err(failed)?;
        let mut snapshot = snapshot(&mut reading).await?;
        let page = rows::audit_page(&mut snapshot, &OWN, table, after, limit).await?;
        snapshot.commit().await.map_err(failed)?;
        reading.done();
        Ok(page)
    }

    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Event>> {
        append::append(&self.pool, &self.appender, events).await
    }

    async fn record_differences(&self) -> Result<u64> {
        let mut all = self.pool.begin().await.map_err(failed)?;
        let recorded = install::record_differences(&mut all).await?;
        all.commit().await.map_err(failed)?;
        Ok(recorded)
    }

    async fn execute(
        &self,
        rollback: &ConfirmedRollback,
        control: &Control,
    ) -> Result<RollbackOutcome> {
        rollback::execute(&self.pool, rollback, control).await
    }

    async fn close(&self) {
        self.watch.close();
        self.appender.close();
        self.reads.close().await;
    }
}
