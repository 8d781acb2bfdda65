//! An event store to which events are appended, and which is rolled back, as any client does it that has just the right to: by a plain
//! INSERT, instead of by the library.

use std::sync::Arc;

use async_trait::async_trait;
use ebbtide::eventsourcing::activity::ActivityBy;
use ebbtide::eventsourcing::history::History;
use ebbtide::eventsourcing::ranges::Ranges;
use ebbtide::eventsourcing::rollback::{Changes, ConfirmedRollback, Control, RollbackOutcome};
use ebbtide::eventsourcing::schema::Table;
use ebbtide::eventsourcing::scope::Scope;
use ebbtide::eventsourcing::states::Mention;
use ebbtide::eventsourcing::store::{
    ChangeCounts, OutsideReference, RowAudit, RowPage, RowsQuery, StoreInfo, Violation,
};
use ebbtide::eventsourcing::timeline::{Filter, Page, PageRequest};
use ebbtide::eventsourcing::timestamp::Timestamp;
use ebbtide::eventsourcing::{Error, Event, EventId, EventStore, NewEvent, Result, Row, RowKey};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

/// Everything but appending and rolling back is the library's.
pub(crate) struct Inserting {
    inner: Arc<dyn EventStore>,
    /// The login that appends, which may do nothing else.
    writer: String,
    /// The one that rolls back.
    operator: String,
    /// The one that gives timestamps of its own.
    owner: String,
}

/// The SQLSTATE of a refusal.
fn state(error: &sqlx::Error) -> String {
    let said = error.as_database_error();
    let said = said.unwrap_or_else(|| panic!("no refusal of the server: {error}"));
    said.code().unwrap_or_default().into_owned()
}

/// The library refuses it with the same code.
fn assert_same(inserting: &sqlx::Error, library: &Error) {
    let details = library.details.as_deref().unwrap_or_default();
    assert!(
        details.starts_with(&format!("SQLSTATE {}:", state(inserting))),
        "an INSERT is refused with \"{inserting}\" ({}), and the library says {library:?}",
        state(inserting)
    );
}

impl Inserting {
    /// In a database of its own, for which it makes logins.
    pub(crate) async fn new(inner: Arc<dyn EventStore>, url: &str) -> sqlx::Result<Self> {
        let (_, database) = url.rsplit_once('/').unwrap();
        let mut admin = PgConnection::connect(url).await?;
        for right in ["writer", "operator"] {
            admin
                .execute(sqlx::raw_sql(AssertSqlSafe(format!(
                    "CREATE ROLE inserting_{right}_{database} LOGIN PASSWORD 'ebb-test';
                     GRANT {database}_{right} TO inserting_{right}_{database}"
                ))))
                .await?;
        }
        admin.close().await?;
        let login = |right| {
            url.replace(
                "postgres:ebb-test",
                &format!("inserting_{right}_{database}:ebb-test"),
            )
        };
        Ok(Self {
            inner,
            writer: login("writer"),
            operator: login("operator"),
            owner: url.to_owned(),
        })
    }

    /// All of them in one statement. Returns the id of the last event before them.
    async fn insert(&self, events: &[NewEvent]) -> sqlx::Result<EventId> {
        let imports = events.iter().any(|event| event.timestamp.is_some());
        let url = if imports { &self.owner } else { &self.writer };
        let mut client = PgConnection::connect(url).await?;
        let mut all = client.begin().await?;
        let head = sqlx::query_scalar("SELECT sourcing.take_writer()")
            .fetch_one(&mut *all)
            .await?;
        let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
        let types: Vec<&str> = events.iter().map(|event| event.table.as_str()).collect();
        let uuids: Vec<Option<Uuid>> = events.iter().map(|event| event.uuid).collect();
        let datas: Vec<_> = events.iter().map(|event| Json(&event.data)).collect();
        let moments: Vec<_> = events.iter().map(|event| event.timestamp).collect();
        sqlx::query(
            r#"INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp")
               SELECT event, type, uuid, data, coalesce(moment, '-infinity')
                 FROM unnest($1::text[], $2::text[], $3::uuid[], $4::jsonb[], $5::timestamptz[])
                      WITH ORDINALITY AS given(event, type, uuid, data, moment, place) ORDER BY place"#,
        )
        .bind(kinds)
        .bind(types)
        .bind(uuids)
        .bind(datas)
        .bind(moments)
        .execute(&mut *all)
        .await?;
        all.commit().await?;
        client.close().await?;
        Ok(head)
    }

    /// Returns the marker's id.
    async fn insert_rollback(&self, data: &Row) -> sqlx::Result<EventId> {
        let mut client = PgConnection::connect(&self.operator).await?;
        let id = sqlx::query_scalar(
            "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', $1) RETURNING id",
        )
        .bind(Json(data))
        .fetch_one(&mut client)
        .await?;
        client.close().await?;
        Ok(id)
    }
}

#[async_trait]
impl EventStore for Inserting {
    async fn append(&self, events: Vec<NewEvent>) -> Result<Vec<Event>> {
        let head = match self.insert(&events).await {
            Ok(head) => head,
            // The library must refuse it too; what it says is compared with what the tests expect.
            Err(refused) => match self.inner.append(events).await {
                Err(error) => {
                    assert_same(&refused, &error);
                    return Err(error);
                }
                Ok(_) => panic!("the library accepts what an INSERT is refused for: {refused}"),
            },
        };
        let mut appended = Vec::new();
        for id in head + 1..=self.inner.head().await? {
            appended.extend(self.inner.event(id).await?);
        }
        Ok(appended)
    }

    fn info(&self) -> &StoreInfo {
        self.inner.info()
    }

    async fn head(&self) -> Result<EventId> {
        self.inner.head().await
    }

    async fn next_head(&self, known: EventId) -> Result<EventId> {
        self.inner.next_head(known).await
    }

    async fn event_count(&self, through: EventId) -> Result<u64> {
        self.inner.event_count(through).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Event>> {
        self.inner.event(id).await
    }

    async fn page(&self, request: &PageRequest) -> Result<Page> {
        self.inner.page(request).await
    }

    async fn count_events(&self, filter: &Filter, first: EventId, last: EventId) -> Result<u64> {
        self.inner.count_events(filter, first, last).await
    }

    async fn activity(
        &self,
        by: ActivityBy,
        first: EventId,
        last: EventId,
    ) -> Result<Vec<(String, u64)>> {
        self.inner.activity(by, first, last).await
    }

    async fn moments(&self, request: &PageRequest) -> Result<Vec<(EventId, Timestamp)>> {
        self.inner.moments(request).await
    }

    async fn history(&self, through: EventId) -> Result<History> {
        self.inner.history(through).await
    }

    async fn position_before(&self, moment: Timestamp) -> Result<EventId> {
        self.inner.position_before(moment).await
    }

    async fn position_through(&self, moment: Timestamp) -> Result<EventId> {
        self.inner.position_through(moment).await
    }

    async fn transaction(&self, event: &Event) -> Result<(EventId, EventId)> {
        self.inner.transaction(event).await
    }

    async fn types(&self) -> Result<Vec<String>> {
        self.inner.types().await
    }

    async fn tables(&self) -> Result<Vec<Table>> {
        self.inner.tables().await
    }

    async fn row_count(&self, table: &Table) -> Result<u64> {
        self.inner.row_count(table).await
    }

    async fn row_estimate(&self, table: &Table) -> Result<Option<u64>> {
        self.inner.row_estimate(table).await
    }

    async fn rows(&self, query: &RowsQuery<'_>) -> Result<RowPage> {
        self.inner.rows(query).await
    }

    async fn row_keys(
        &self,
        table: &str,
        through: EventId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Uuid>> {
        self.inner.row_keys(table, through, after, limit).await
    }

    async fn events_of(&self, rows: &[RowKey], through: EventId) -> Result<Vec<Event>> {
        self.inner.events_of(rows, through).await
    }

    async fn earlier_events(
        &self,
        row: &RowKey,
        before: EventId,
        mention: Mention<'_>,
        limit: usize,
    ) -> Result<Vec<Event>> {
        self.inner.earlier_events(row, before, mention, limit).await
    }

    async fn latest_events(
        &self,
        table: &str,
        rows: &[Uuid],
        through: EventId,
        latest: usize,
    ) -> Result<Vec<Event>> {
        self.inner.latest_events(table, rows, through, latest).await
    }

    async fn rows_with_latest(
        &self,
        table: &Table,
        rows: &[Uuid],
        latest: usize,
    ) -> Result<Vec<RowAudit>> {
        self.inner.rows_with_latest(table, rows, latest).await
    }

    async fn count_changes(&self, ids: &Ranges, scope: &Scope) -> Result<ChangeCounts> {
        self.inner.count_changes(ids, scope).await
    }

    async fn changes_by_actor(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<(String, u64)>> {
        self.inner.changes_by_actor(ids, scope).await
    }

    async fn count_living(&self, ids: &Ranges, scope: &Scope) -> Result<u64> {
        self.inner.count_living(ids, scope).await
    }

    async fn rows_touched(&self, ids: &Ranges, scope: &Scope) -> Result<Vec<RowKey>> {
        self.inner.rows_touched(ids, scope).await
    }

    async fn unfit(&self, table: &Table, values: &[(String, Value)]) -> Result<Vec<usize>> {
        self.inner.unfit(table, values).await
    }

    async fn violations(&self, tables: &[Table], changes: &Changes) -> Result<Vec<Violation>> {
        self.inner.violations(tables, changes).await
    }

    async fn outside_references(
        &self,
        tables: &[Table],
        changes: &Changes,
    ) -> Result<Vec<OutsideReference>> {
        self.inner.outside_references(tables, changes).await
    }

    async fn missing_right(&self) -> Result<Option<String>> {
        self.inner.missing_right().await
    }

    async fn audit_page(
        &self,
        table: &Table,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<RowAudit>> {
        self.inner.audit_page(table, after, limit).await
    }

    async fn record_differences(&self) -> Result<u64> {
        self.inner.record_differences().await
    }

    async fn execute(
        &self,
        rollback: &ConfirmedRollback,
        control: &Control,
    ) -> Result<RollbackOutcome> {
        let plan = rollback.plan();
        let head = self.inner.head().await?;
        // That a plan is stale, or asked to stop, or empty is the library's to say.
        let (Some(data), false, true) = (plan.marker(), control.is_stopped(), head == plan.head)
        else {
            return self.inner.execute(rollback, control).await;
        };
        match self.insert_rollback(&data).await {
            Ok(marker) => {
                let end = self.inner.head().await?;
                Ok(RollbackOutcome {
                    rollback: Some(marker),
                    rollback_end: Some(end),
                    events_appended: (end - head).unsigned_abs(),
                    keeps_through: plan.keeps_through,
                    strategy: plan.strategy(),
                })
            }
            Err(refused) => match self.inner.execute(rollback, control).await {
                Err(error) => {
                    assert_same(&refused, &error);
                    Err(error)
                }
                Ok(_) => panic!("the library does what an INSERT is refused for: {refused}"),
            },
        }
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
