//! What rolling back, planning and looking back cost, beside two yardsticks in the same run: the rollback of the software that ebb
//! follows on (`seed`), and what the database takes for the bare writes (`floor`). Prints the table of the README.
//!
//! `scripts/bench rollback [EVENTS…]` runs it on a PostgreSQL that writes through to the disk, for logs of so many events.

#[path = "../common.rs"]
mod common;
#[path = "../log.rs"]
mod log;
#[path = "../work.rs"]
#[allow(dead_code, reason = "the benchmark of appending uses the rest")]
mod work;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Outcome, Server, Table, options, timed, verified};
use ebbtide::eventsourcing::rollback::{self, Control, RollbackRequest, RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
use ebbtide::eventsourcing::{EventId, EventKind, EventStore, NewEvent, RowKey, inspect};
use ebbtide::store::{self, Address};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use work::Shape;

/// How often each is measured.
const REPETITIONS: usize = 5;

/// Above this many events the seed is not measured: it takes minutes.
const SEED_UP_TO: usize = 100_000;

/// So many events at the end of a log come in small transactions.
const IN_SMALL: usize = 1000;

/// How often the one row is changed.
const CHANGES_OF_ONE_ROW: usize = 100_000;

fn main() -> Outcome<()> {
    let given = std::env::args().skip(1);
    let mut sizes: Vec<usize> = given.filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = vec![10_000, 100_000];
    }
    tokio::runtime::Runtime::new()?.block_on(run(&sizes))
}

async fn run(sizes: &[usize]) -> Outcome<()> {
    let server = Server::new().await?;
    common::heading();
    for size in sizes {
        let work = work::events(Shape::Mixed, *size);
        on_postgres(&server, &work).await?;
        on_sqlite(&work).await?;
    }
    one_row(&server).await?;
    println!("\n{}", server.facts().await?);
    Ok(())
}

fn request(event: usize, strategy: Strategy) -> RollbackRequest {
    let event = EventId::try_from(event).unwrap_or(EventId::MAX);
    RollbackRequest {
        strategy,
        ..RollbackRequest::to(RollbackTarget::BeforeEvent(event))
    }
}

async fn roll_back(store: &dyn EventStore, request: RollbackRequest) -> Outcome<()> {
    let plan = rollback::plan(store, request).await?;
    rollback::execute(store, &plan.confirm(false)?, &Control::default()).await?;
    Ok(())
}

async fn undo(store: &dyn EventStore) -> Outcome<()> {
    let plan = rollback::plan_undo(store, None, false).await?;
    rollback::execute(store, &plan.confirm(true)?, &Control::default()).await?;
    Ok(())
}

/// The rollback alone, as any SQL client asks for it: what the seed's own is to be compared with, which has no plan either.
async fn by_insert(
    client: &mut PgConnection,
    event: EventId,
    undoes: Option<EventId>,
) -> Outcome<Duration> {
    let mut data = json!({"strategy": "minimal"});
    if let Some(undoes) = undoes {
        data["undoes"] = undoes.into();
    }
    let took = timed(
        sqlx::query(
            r#"INSERT INTO sourcing.eventstore (event, data)
               SELECT 'rollback', $1 || jsonb_build_object('before', "timestamp") FROM sourcing.eventstore WHERE id = $2"#,
        )
        .bind(data)
        .bind(event)
        .execute(client),
    );
    took.await
}

fn milliseconds(work: String) -> Table {
    Table::new(work, "ms", 1e3)
}

async fn on_postgres(server: &Server, work: &[NewEvent]) -> Outcome<()> {
    let size = work.len();
    server.create("filled", "base_ebb").await?;
    let store = open(&server.at("filled")).await?;
    log::fill(&*store, work, IN_SMALL).await?;
    store.close().await;
    let mut client = PgConnection::connect(&server.at("filled")).await?;
    client.execute("VACUUM ANALYZE").await?;
    client.close().await?;

    let mut table = milliseconds(format!("roll back the last 10 of {size} events"));
    if size <= SEED_UP_TO {
        table.add("seed", seed(server, work, size - 10).await?);
    }
    server.create("measured", "filled").await?;
    let store = open(&server.at("measured")).await?;
    for _ in 0..REPETITIONS {
        table.add(
            "ebb, minimal",
            timed(roll_back(&*store, request(size - 9, Strategy::Minimal))).await?,
        );
        undo(&*store).await?;
    }
    verified(store).await?;
    server.create("measured", "filled").await?;
    let mut client = PgConnection::connect(&server.at("measured")).await?;
    for _ in 0..REPETITIONS {
        let event = EventId::try_from(size - 9)?;
        table.add(
            "ebb, minimal, the INSERT alone",
            by_insert(&mut client, event, None).await?,
        );
        let marker: EventId =
            sqlx::query_scalar("SELECT max(id) FROM sourcing.eventstore WHERE event = 'rollback'")
                .fetch_one(&mut client)
                .await?;
        by_insert(&mut client, marker, Some(marker)).await?;
    }
    client.close().await?;
    verified(open(&server.at("measured")).await?).await?;
    if size <= SEED_UP_TO {
        for _ in 0..2 {
            server.create("measured", "filled").await?;
            let store = open(&server.at("measured")).await?;
            table.add(
                "ebb, replay",
                timed(roll_back(&*store, request(size - 9, Strategy::Replay))).await?,
            );
            verified(store).await?;
        }
    }
    table.print();

    if size <= SEED_UP_TO {
        let mut table = milliseconds(format!("roll back half of {size} events"));
        table.add("seed", seed(server, work, size / 2).await?);
        for _ in 0..3 {
            server.create("measured", "filled").await?;
            let store = open(&server.at("measured")).await?;
            table.add(
                "ebb, minimal",
                timed(roll_back(&*store, request(size / 2 + 1, Strategy::Minimal))).await?,
            );
            let written = written(&*store, size).await?;
            verified(store).await?;
            table.add("floor", floor(server, &written).await?);
            server.create("measured", "filled").await?;
            let mut client = PgConnection::connect(&server.at("measured")).await?;
            let event = EventId::try_from(size / 2 + 1)?;
            table.add(
                "ebb, minimal, the INSERT alone",
                by_insert(&mut client, event, None).await?,
            );
            client.close().await?;
            verified(open(&server.at("measured")).await?).await?;
        }
        table.print();
    }
    let store = open(&server.at("filled")).await?;
    reads(&*store, size, "PostgreSQL").await?;
    store.close().await;
    Ok(())
}

/// Plans and pages, which write nothing.
async fn reads(store: &dyn EventStore, size: usize, database: &str) -> Outcome<()> {
    let mut table = milliseconds(format!("look at {size} events, {database}"));
    let moment = store
        .event((size / 3) as EventId)
        .await?
        .ok_or("no such event")?
        .timestamp;
    for _ in 0..REPETITIONS {
        table.add(
            "plan for the last 1,000",
            timed(rollback::plan(
                store,
                request(size - 999, Strategy::Minimal),
            ))
            .await?,
        );
        for (name, from) in [
            ("first page of the timeline", None),
            ("page in the middle", Some((size / 2) as EventId)),
        ] {
            let page = PageRequest {
                filter: Filter::default(),
                from,
                until: None,
                direction: Direction::Older,
                limit: 50,
                detail: Detail::Summary,
            };
            table.add(name, timed(store.page(&page)).await?);
        }
        table.add(
            "jump to a moment",
            timed(store.position_before(moment)).await?,
        );
    }
    table.print();
    Ok(())
}

async fn open(url: &str) -> Outcome<Arc<dyn EventStore>> {
    Ok(store::open(&Address::Postgres(url.to_owned()), &options()).await?)
}

/// The seed, taken back to right after so many events.
async fn seed(server: &Server, work: &[NewEvent], kept: usize) -> Outcome<Duration> {
    server.create("measured", "base_seed").await?;
    let mut client = PgConnection::connect(&server.at("measured")).await?;
    work::stage(&mut client, work).await?;
    for part in [format!("place <= {kept}"), format!("place > {kept}")] {
        let sql = format!(
            "INSERT INTO seed.eventstore (event, type, uuid, data) SELECT event, type, uuid, data FROM staged WHERE {part} ORDER BY place"
        );
        client.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    }
    let sql = r#"SELECT seed.rollback((SELECT max("timestamp") FROM seed.eventstore))"#;
    let took = timed(client.execute(sql)).await?;
    client.close().await?;
    Ok(took)
}

/// What a rollback wrote: the rows, and what they became.
async fn written(store: &dyn EventStore, after: usize) -> Outcome<Vec<(RowKey, EventKind, Value)>> {
    let mut written = Vec::new();
    let mut from = after as EventId;
    loop {
        let page = PageRequest {
            filter: Filter::default(),
            from: Some(from),
            until: None,
            direction: Direction::Newer,
            limit: 5000,
            detail: Detail::Whole,
        };
        let page = store.page(&page).await?;
        let Some(last) = page.entries.last() else {
            return Ok(written);
        };
        from = last.event.id;
        written.extend(page.entries.into_iter().filter_map(|entry| {
            let event = entry.event;
            Some((event.row?, event.kind, Value::Object(event.data)))
        }));
    }
}

/// The same rows written into a bare log and into the tables, set-wise, in one transaction.
async fn floor(server: &Server, written: &[(RowKey, EventKind, Value)]) -> Outcome<Duration> {
    server.create("measured", "filled").await?;
    let mut client = PgConnection::connect(&server.at("measured")).await?;
    client
        .execute(sqlx::raw_sql(
            r#"CREATE TABLE bare_log (id bigint PRIMARY KEY, event text, type text, uuid uuid, data jsonb, "timestamp" timestamptz);
               CREATE TABLE staged (place bigint PRIMARY KEY, event text, type text, uuid uuid, data jsonb)"#,
        ))
        .await?;
    let types: Vec<&str> = written.iter().map(|(row, ..)| row.table.as_str()).collect();
    let uuids: Vec<_> = written.iter().map(|(row, ..)| row.uuid).collect();
    let kinds: Vec<&str> = written.iter().map(|(_, kind, _)| kind.as_str()).collect();
    let datas: Vec<&Value> = written.iter().map(|(.., data)| data).collect();
    sqlx::query(
        "INSERT INTO staged SELECT place, event, type, uuid, data
           FROM unnest($1::text[], $2::text[], $3::uuid[], $4::jsonb[]) WITH ORDINALITY AS s(event, type, uuid, data, place)",
    )
    .bind(kinds)
    .bind(types)
    .bind(uuids)
    .bind(datas)
    .execute(&mut client)
    .await?;
    let mut bare =
        "BEGIN; INSERT INTO bare_log SELECT place, event, type, uuid, data, now() FROM staged;"
            .to_owned();
    for table in ["fragment", "molecule"] {
        client
            .execute(sqlx::raw_sql(AssertSqlSafe(format!(
                "CREATE TABLE staged_{table} AS SELECT r.* FROM staged s CROSS JOIN LATERAL jsonb_populate_record(NULL::{table}, s.data) AS r
                  WHERE s.type = '{table}' AND s.event = 'restore'; ANALYZE staged_{table}; ANALYZE staged"
            ))))
            .await?;
        bare += &format!(
            "DELETE FROM {table} t USING staged s WHERE s.type = '{table}' AND s.uuid = t.{table}_id; INSERT INTO {table} SELECT * FROM staged_{table};"
        );
    }
    bare += "COMMIT";
    let took = timed(client.execute(sqlx::raw_sql(AssertSqlSafe(bare)))).await?;
    client.close().await?;
    Ok(took)
}

async fn on_sqlite(work: &[NewEvent]) -> Outcome<()> {
    let size = work.len();
    let directory = tempfile::tempdir()?;
    let filled = directory.path().join("filled.db");
    let lab = ebbtide::demo::schema(Backend::Sqlite);
    let store = log::in_file(&filled, lab, work, IN_SMALL).await?;
    reads(&*store, size, "SQLite").await?;
    let mut table = milliseconds(format!("roll back the last 10 of {size} events, SQLite"));
    for _ in 0..REPETITIONS {
        table.add(
            "ebb, minimal",
            timed(roll_back(&*store, request(size - 9, Strategy::Minimal))).await?,
        );
        undo(&*store).await?;
    }
    table.print();
    let head = usize::try_from(store.head().await?)?;
    store.close().await;
    if size > SEED_UP_TO {
        return Ok(());
    }
    let mut table = milliseconds(format!("roll back half of {size} events, SQLite"));
    for n in 0..3 {
        // Each in a file of its own: what one leaves beside its file would be taken for the next one's.
        let copy = directory.path().join(format!("measured-{n}.db"));
        std::fs::copy(&filled, &copy)?;
        let store = store::open(&Address::Sqlite(copy.clone()), &options()).await?;
        table.add(
            "ebb, minimal",
            timed(roll_back(&*store, request(size / 2 + 1, Strategy::Minimal))).await?,
        );
        let written = written(&*store, head).await?;
        verified(store).await?;
        let copy = directory.path().join(format!("floor-{n}.db"));
        std::fs::copy(&filled, &copy)?;
        table.add("floor", floor_in_file(&copy, &written).await?);
    }
    table.print();
    Ok(())
}

/// The same rows by prepared statements, in one transaction.
async fn floor_in_file(file: &Path, written: &[(RowKey, EventKind, Value)]) -> Outcome<Duration> {
    let mut client = SqliteConnection::connect(&format!("sqlite:{}", file.display())).await?;
    client.execute("CREATE TABLE bare_log (id INTEGER PRIMARY KEY, event TEXT, type TEXT, uuid TEXT, data TEXT, timestamp TEXT)").await?;
    let began = Instant::now();
    let mut all = client.begin().await?;
    for (place, (row, kind, data)) in written.iter().enumerate() {
        sqlx::query("INSERT INTO bare_log VALUES (?, ?, ?, ?, ?, '2020-02-17T03:09:48.219183Z')")
            .bind(place as i64)
            .bind(kind.as_str())
            .bind(&row.table)
            .bind(row.uuid.to_string())
            .bind(data.to_string())
            .execute(&mut *all)
            .await?;
        let delete = format!(
            "DELETE FROM {table} WHERE {table}_id = ?",
            table = row.table
        );
        sqlx::query(AssertSqlSafe(delete))
            .bind(row.uuid.to_string())
            .execute(&mut *all)
            .await?;
        if *kind == EventKind::Restore {
            let text = |name: &str| data[name].as_str().map(str::to_owned);
            let insert = format!(
                "INSERT INTO {table} ({table}_id, created_on, updated_on, smiles, metadata) VALUES (?, ?, ?, ?, ?)",
                table = row.table
            );
            sqlx::query(AssertSqlSafe(insert))
                .bind(row.uuid.to_string())
                .bind(text("created_on"))
                .bind(text("updated_on"))
                .bind(text("smiles"))
                .bind(data["metadata"].to_string())
                .execute(&mut *all)
                .await?;
        }
    }
    all.commit().await?;
    Ok(began.elapsed())
}

/// One row that is changed again and again: its detail, and a plan for its last changes.
async fn one_row(server: &Server) -> Outcome<()> {
    let uuid = uuid::Uuid::from_u128(1);
    let event = |kind, data: Value| NewEvent {
        kind,
        table: "molecule".to_owned(),
        uuid: Some(uuid),
        data: data.as_object().cloned().unwrap_or_default(),
        timestamp: None,
    };
    let mut work = vec![event(EventKind::Create, json!({"smiles": "C"}))];
    work.extend(
        (1..CHANGES_OF_ONE_ROW)
            .map(|n| event(EventKind::Update, json!({"smiles": format!("C[{n}]")}))),
    );
    server.create("measured", "base_ebb").await?;
    let directory = tempfile::tempdir()?;
    let file = Address::Sqlite(directory.path().join("lab.db"));
    let lab = ebbtide::demo::schema(Backend::Sqlite);
    for (store, database) in [
        (open(&server.at("measured")).await?, "PostgreSQL"),
        (
            store::init(&file, &options(), Some(lab)).await?.store,
            "SQLite",
        ),
    ] {
        // On PostgreSQL changes of one row are applied one after the other, whatever transaction they come in.
        let together = match database {
            "SQLite" => work.len() - 10,
            _ => 1,
        };
        let (first, last) = work.split_at(together);
        store.append(first.to_vec()).await?;
        for change in last {
            store.append(vec![change.clone()]).await?;
        }
        let mut table = milliseconds(format!(
            "one row that was changed {CHANGES_OF_ONE_ROW} times, {database}"
        ));
        for _ in 0..REPETITIONS {
            let head = store.head().await?;
            table.add("its detail", timed(inspect::event(&*store, head)).await?);
            table.add(
                "plan for its last 10 changes",
                timed(rollback::plan(
                    &*store,
                    request(work.len() - 9, Strategy::Minimal),
                ))
                .await?,
            );
        }
        table.print();
        store.close().await;
    }
    Ok(())
}
