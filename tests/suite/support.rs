//! Fresh databases for tests, on both kinds of store.

mod inserting;

use std::cell::Cell;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use ebbtide::eventsourcing::rollback::{
    self, Control, RollbackOutcome, RollbackRequest, RollbackTarget, Strategy,
};
use ebbtide::eventsourcing::rows::{self, RowsRequest, RowsStart};
use ebbtide::eventsourcing::schema::Table;
use ebbtide::eventsourcing::selection::Selection;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::store::{RowCursor, RowsQuery};
use ebbtide::eventsourcing::timeline::Detail;
use ebbtide::eventsourcing::{
    Error, Event, EventId, EventKind, EventStore, NewEvent, Result, Row, timestamp, verify,
};
use ebbtide::store::{self, Address, OpenOptions};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use uuid::Uuid;

/// A database of a test's own.
pub(crate) struct Database {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) address: Address,
    _directory: tempfile::TempDir,
}

/// The server that `scripts/test` started.
pub(crate) fn server() -> String {
    std::env::var("EBB_TEST_POSTGRES").expect(
        "EBB_TEST_POSTGRES is not set: run the tests with scripts/test, which starts a PostgreSQL for them",
    )
}

pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        read_only: false,
        user: "tester".to_owned(),
        person: None,
    }
}

/// The server's version: 150004 is 15.4.
async fn version(connection: &mut PgConnection) -> i32 {
    sqlx::query_scalar("SELECT current_setting('server_version_num')::integer")
        .fetch_one(connection)
        .await
        .unwrap()
}

/// The address of a database that does not exist before, and its directory.
pub(crate) async fn fresh_address(backend: Backend) -> (Address, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let address = match backend {
        Backend::Sqlite => Address::Sqlite(directory.path().join("lab.db")),
        Backend::Postgres => {
            static COUNT: AtomicU32 = AtomicU32::new(0);
            let count = COUNT.fetch_add(1, Ordering::Relaxed);
            let name = format!("ebb_{}_{count}", std::process::id());
            let mut admin = PgConnection::connect(&server()).await.unwrap();
            admin
                .execute(sqlx::raw_sql(AssertSqlSafe(format!(
                    "CREATE DATABASE {name} TEMPLATE template0"
                ))))
                .await
                .unwrap();
            let url = server();
            let (place, _) = url.rsplit_once('/').unwrap();
            let url = format!("{place}/{name}");
            if version(&mut admin).await < 150_000 {
                // As it is of itself since then. Otherwise the tables' code does not look there for what it names without a schema.
                let mut there = PgConnection::connect(&url).await.unwrap();
                there
                    .execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
                    .await
                    .unwrap();
                there.close().await.unwrap();
            }
            Address::Postgres(url)
        }
    };
    (address, directory)
}

impl Database {
    /// With these tables and no events.
    pub(crate) async fn with(backend: Backend, schema: &str) -> Self {
        let (address, directory) = fresh_address(backend).await;
        let store = store::init(&address, &options(), Some(schema))
            .await
            .unwrap()
            .store;
        let store = match &address {
            Address::Postgres(url) if BY_INSERT.get() => {
                Arc::new(inserting::Inserting::new(store, url).await.unwrap())
            }
            _ => store,
        };
        Self {
            store,
            address,
            _directory: directory,
        }
    }

    /// What is there already, opened.
    pub(crate) async fn there(address: Address, directory: tempfile::TempDir) -> Self {
        Self {
            store: store::open(&address, &options()).await.unwrap(),
            address,
            _directory: directory,
        }
    }

    /// The same database with new connections, which take settings of its own that have been made since.
    pub(crate) async fn opened_again(self) -> Self {
        self.store.close().await;
        Self::there(self.address, self._directory).await
    }

    /// On PostgreSQL, with these tables; events are appended by plain INSERTs.
    pub(crate) async fn with_inserts(schema: &str) -> Self {
        BY_INSERT.set(true);
        let database = Self::with(Backend::Postgres, schema).await;
        BY_INSERT.set(false);
        database
    }

    /// The Mad Lab's tables, without its story.
    pub(crate) async fn lab(backend: Backend) -> Self {
        Self::with(backend, ebbtide::demo::schema(backend)).await
    }

    /// The Mad Lab with its story.
    pub(crate) async fn mad_lab(backend: Backend) -> Self {
        let database = Self::lab(backend).await;
        ebbtide::demo::tell(&*database.store).await.unwrap();
        database
    }

    /// The address as `-d` takes it, password included.
    pub(crate) fn argument(&self) -> String {
        match &self.address {
            Address::Sqlite(path) => path.display().to_string(),
            Address::Postgres(url) => url.clone(),
        }
    }

    /// Whether this server can grant the right to set `session_replication_role`, as those since PostgreSQL 15 can. Where it cannot,
    /// a superuser owns the event store, and not the owner's role.
    pub(crate) async fn grants_settings(&self) -> bool {
        self.version().await >= 150_000
    }

    /// The version of the PostgreSQL server: 150004 is 15.4.
    pub(crate) async fn version(&self) -> i32 {
        let mut connection = PgConnection::connect(&self.argument()).await.unwrap();
        version(&mut connection).await
    }

    /// Runs SQL behind the log's back.
    pub(crate) async fn sql(&self, sql: &str) -> sqlx::Result<()> {
        match &self.address {
            Address::Sqlite(path) => {
                let url = format!("sqlite:{}", path.display());
                let mut connection = SqliteConnection::connect(&url).await?;
                connection
                    .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
                    .await?;
                connection.close().await
            }
            Address::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await?;
                connection
                    .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
                    .await?;
                connection.close().await
            }
        }
    }

    pub(crate) async fn append(&self, events: Vec<NewEvent>) -> Vec<Event> {
        self.store.append(events).await.unwrap()
    }

    /// The refusal of these events; nothing may have been written.
    pub(crate) async fn refused(&self, events: Vec<NewEvent>) -> Error {
        let (log, tables) = (self.log().await, self.rows().await);
        let error = self.store.append(events).await.expect_err("refused");
        assert_eq!(self.log().await, log, "the log after a refusal");
        assert_eq!(self.rows().await, tables, "the tables after a refusal");
        error
    }

    /// The whole log, oldest first.
    pub(crate) async fn log(&self) -> Vec<Event> {
        let mut log = Vec::new();
        for id in 1..=self.store.head().await.unwrap() {
            log.push(self.store.event(id).await.unwrap().expect("no gap"));
        }
        log
    }

    /// Every row of every table, each with its table's name.
    pub(crate) async fn rows(&self) -> Vec<(String, Row)> {
        let mut all = Vec::new();
        for table in self.store.tables().await.unwrap() {
            let mut cursor = None;
            loop {
                let query = rows_query(&table, cursor.as_ref(), 100);
                let page = self.store.rows(&query).await.unwrap();
                cursor = page.rows.last().map(|found| found.cursor.clone());
                let rows = page.rows.into_iter();
                all.extend(rows.map(|found| (table.name.clone(), found.row)));
                if !page.has_more {
                    break;
                }
            }
        }
        all
    }

    /// One row of a table.
    pub(crate) async fn row(&self, table: &str, uuid: Uuid) -> Option<Row> {
        let text = Value::String(uuid.to_string());
        let rows = self.rows().await;
        let found = rows
            .into_iter()
            .find(|(name, row)| name == table && row.values().next() == Some(&text));
        found.map(|(_, row)| row)
    }

    /// Rolls back, by plan, confirmation and execution.
    pub(crate) async fn roll_back(
        &self,
        target: RollbackTarget,
        strategy: Strategy,
    ) -> Result<RollbackOutcome> {
        let request = RollbackRequest {
            strategy,
            ..RollbackRequest::to(target)
        };
        let plan = rollback::plan(&*self.store, request).await?;
        let confirmed = plan.confirm(false)?;
        rollback::execute(&*self.store, &confirmed, &Control::default()).await
    }

    pub(crate) async fn undo(&self, with_later: bool) -> Result<RollbackOutcome> {
        let plan = rollback::plan_undo(&*self.store, None, false).await?;
        rollback::execute(
            &*self.store,
            &plan.confirm(with_later)?,
            &Control::default(),
        )
        .await
    }

    pub(crate) async fn redo(&self, with_later: bool) -> Result<RollbackOutcome> {
        let plan = rollback::plan_redo(&*self.store, None, false).await?;
        rollback::execute(
            &*self.store,
            &plan.confirm(with_later)?,
            &Control::default(),
        )
        .await
    }

    /// The tables must be what the log says.
    pub(crate) async fn assert_no_drift(&self) {
        let report = verify::drift(&*self.store).await.unwrap();
        assert_eq!(report.findings, [], "drift");
    }
}

/// A JSON object.
pub(crate) fn row(value: Value) -> Row {
    match value {
        Value::Object(row) => row,
        other => panic!("no object: {other}"),
    }
}

pub(crate) fn create(table: &str, uuid: Uuid, data: Value) -> NewEvent {
    event(EventKind::Create, table, Some(uuid), data)
}

pub(crate) fn update(table: &str, uuid: Uuid, data: Value) -> NewEvent {
    event(EventKind::Update, table, Some(uuid), data)
}

pub(crate) fn delete(table: &str, uuid: Uuid) -> NewEvent {
    event(EventKind::Delete, table, Some(uuid), serde_json::json!({}))
}

pub(crate) fn event(kind: EventKind, table: &str, uuid: Option<Uuid>, data: Value) -> NewEvent {
    NewEvent {
        kind,
        table: table.to_owned(),
        uuid,
        data: row(data),
        timestamp: None,
    }
}

/// An easily told uuid.
pub(crate) fn id(n: u128) -> Uuid {
    Uuid::from_u128(0x1000_0000_0000_4000_8000_0000_0000_0000 + n)
}

/// The same random numbers in every run.
pub(crate) fn random(seed: u8) -> TestRng {
    TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
    )
    .rng()
    .clone()
}

pub(crate) fn moment(text: &str) -> timestamp::Timestamp {
    timestamp::parse(text).unwrap()
}

thread_local! {
    /// Whether events are appended to new PostgreSQL databases by plain INSERTs.
    static BY_INSERT: Cell<bool> = const { Cell::new(false) };
}

/// Runs a test in which events are appended by plain INSERTs.
pub(crate) fn run_by_insert<T>(test: impl Future<Output = T>) -> T {
    BY_INSERT.set(true);
    let done = run(test);
    BY_INSERT.set(false);
    done
}

/// Runs a program that reads this and ends.
pub(crate) fn run_with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut standard_input = child.stdin.take().unwrap();
    standard_input.write_all(input.as_bytes()).unwrap();
    drop(standard_input);
    child.wait_with_output().unwrap()
}

/// Runs an asynchronous test on a runtime of its own.
pub(crate) fn run<T>(test: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test)
}

/// Makes two tests of one: the same facts on both stores.
macro_rules! on_both {
    ($($(#[$meta:meta])* async fn $name:ident($backend:ident) $body:block)*) => {
        $(mod $name {
            #[allow(unused_imports, reason = "each fact needs some of them")]
            use super::*;

            async fn fact($backend: ebbtide::eventsourcing::store::Backend) $body

            #[test]
            fn sqlite() {
                $crate::support::run(fact(ebbtide::eventsourcing::store::Backend::Sqlite));
            }

            #[test]
            fn postgres() {
                $crate::support::run(fact(ebbtide::eventsourcing::store::Backend::Postgres));
            }
        })*
    };
}
pub(crate) use on_both;

/// Makes three tests of one: on SQLite, on PostgreSQL by the library, and on PostgreSQL by plain INSERTs.
macro_rules! on_each {
    ($($(#[$meta:meta])* async fn $name:ident($backend:ident) $body:block)*) => {
        $(mod $name {
            #[allow(unused_imports, reason = "each fact needs some of them")]
            use super::*;

            async fn fact($backend: ebbtide::eventsourcing::store::Backend) $body

            #[test]
            fn sqlite() {
                $crate::support::run(fact(ebbtide::eventsourcing::store::Backend::Sqlite));
            }

            #[test]
            fn postgres() {
                $crate::support::run(fact(ebbtide::eventsourcing::store::Backend::Postgres));
            }

            #[test]
            fn postgres_by_insert() {
                $crate::support::run_by_insert(fact(ebbtide::eventsourcing::store::Backend::Postgres));
            }
        })*
    };
}
pub(crate) use on_each;

/// A page of a table as it is now, with all that its rows hold.
pub(crate) fn rows_query<'a>(
    table: &'a Table,
    after: Option<&'a RowCursor>,
    limit: usize,
) -> RowsQuery<'a> {
    RowsQuery {
        table,
        after,
        limit,
        detail: Detail::Whole,
        naming: None,
    }
}

/// Every row that is asked for, in the order that is asked for.
pub(crate) async fn all_rows(
    store: &dyn EventStore,
    table: &Table,
    at: Option<EventId>,
    selection: Selection,
    limit: Option<usize>,
) -> Vec<Row> {
    let request = RowsRequest {
        table: table.clone(),
        at,
        selection,
        first: limit.unwrap_or(usize::MAX),
        detail: Detail::Whole,
    };
    let mut left = limit.unwrap_or(usize::MAX);
    let mut all = Vec::new();
    let mut next = Some(RowsStart::default());
    // Pages of a few rows: what is left over of a lot that the store reads comes with the next one.
    while let Some(start) = next.filter(|_| left > 0) {
        let page = rows::page(store, &request, &start, left.min(7))
            .await
            .unwrap();
        assert!(
            page.rows.len() <= left.min(7),
            "a page is no longer than asked"
        );
        left -= page.rows.len();
        all.extend(page.rows);
        next = page.next;
    }
    all
}
