//! What appending events costs, beside two yardsticks in the same run: the algorithm of the software that ebb follows on
//! (`seed`), and what the database takes for the bare writes (`floor`). Prints the table of the README.
//!
//! `scripts/bench [EVENTS] [REPETITIONS]` runs it on a PostgreSQL that writes through to the disk.

#[path = "../common.rs"]
mod common;
#[path = "../work.rs"]
mod work;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use common::{Outcome, Server, Table, options, timed, verified};
use ebbtide::eventsourcing::NewEvent;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use work::Shape;

/// Events of one transaction each, for P5.
const SINGLE: usize = 500;

/// How many come before them and are not counted: what a connection does on the first use of each statement is paid once.
const FIRST: usize = 50;

fn main() -> Outcome<()> {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let events = numbers.next().unwrap_or(20_000);
    let repetitions = numbers.next().unwrap_or(5);
    tokio::runtime::Runtime::new()?.block_on(run(events, repetitions))
}

async fn run(events: usize, repetitions: usize) -> Outcome<()> {
    let server = Server::new().await?;
    common::heading();
    for shape in [Shape::Blocks, Shape::Mixed] {
        let work = work::events(shape, events);
        let mut table = Table::new(
            format!("append {} events, {shape}", work.len()),
            "µs an event",
            1e6 / work.len() as f64,
        );
        for _ in 0..repetitions {
            for variant in Variant::BULK {
                table.add(variant.name(), server.bulk(variant, &work).await?);
            }
        }
        table.print();
    }
    let work = work::events(Shape::Mixed, FIRST + SINGLE);
    let mut table = Table::new(
        format!("append {SINGLE} events, one a transaction"),
        "µs an event",
        1e6 / SINGLE as f64,
    );
    for _ in 0..repetitions {
        for variant in Variant::SINGLE {
            table.add(variant.name(), server.single(variant, &work).await?);
        }
    }
    table.print();
    let work = work::events(Shape::Blocks, events);
    let mut table = Table::new(
        format!("append {} events to a SQLite file", work.len()),
        "µs an event",
        1e6 / work.len() as f64,
    );
    for _ in 0..repetitions {
        for variant in [Variant::Floor, Variant::Library, Variant::Program] {
            table.add(variant.name(), sqlite(variant, &work).await?);
        }
    }
    table.print();
    println!("\n{}", server.facts().await?);
    Ok(())
}

/// Who does the work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Variant {
    Seed,
    Floor,
    Insert,
    Library,
    Program,
}

impl Variant {
    const BULK: [Self; 5] = [
        Self::Seed,
        Self::Floor,
        Self::Insert,
        Self::Library,
        Self::Program,
    ];
    const SINGLE: [Self; 4] = [Self::Seed, Self::Floor, Self::Insert, Self::Library];

    fn name(self) -> &'static str {
        match self {
            Self::Seed => "seed",
            Self::Floor => "floor",
            Self::Insert => "ebb, plain INSERT",
            Self::Library => "ebb, library",
            Self::Program => "`ebb append`",
        }
    }
}

impl Server {
    /// A fresh copy for this variant.
    async fn fresh(&self, variant: Variant) -> Outcome<(String, PgConnection)> {
        let base = match variant {
            Variant::Seed => "base_seed",
            Variant::Floor => "base_floor",
            _ => "base_ebb",
        };
        self.create("measured", base).await?;
        let url = self.at("measured");
        let client = PgConnection::connect(&url).await?;
        Ok((url, client))
    }

    /// All events at once.
    async fn bulk(&self, variant: Variant, work: &[NewEvent]) -> Outcome<Duration> {
        let (url, mut client) = self.fresh(variant).await?;
        work::stage(&mut client, work).await?;
        let events = work.to_vec();
        let took = match variant {
            Variant::Seed | Variant::Insert => {
                let log = if variant == Variant::Seed {
                    "seed.eventstore"
                } else {
                    "sourcing.eventstore"
                };
                let sql = format!(
                    "INSERT INTO {log} (event, type, uuid, data) SELECT event, type, uuid, data FROM staged ORDER BY place"
                );
                timed(client.execute(sqlx::raw_sql(AssertSqlSafe(sql)))).await?
            }
            Variant::Floor => timed(client.execute(sqlx::raw_sql(work::FLOOR))).await?,
            Variant::Library => {
                let store = store::open(&Address::Postgres(url.clone()), &options()).await?;
                let took = timed(store.append(events)).await?;
                store.close().await;
                took
            }
            Variant::Program => program(&url, work)?,
        };
        check(&url, &mut client, variant, work).await?;
        client.close().await?;
        Ok(took)
    }

    /// Each event in a transaction of its own, by prepared statements.
    async fn single(&self, variant: Variant, work: &[NewEvent]) -> Outcome<Duration> {
        let (url, mut client) = self.fresh(variant).await?;
        let store = match variant {
            Variant::Library => {
                Some(store::open(&Address::Postgres(url.clone()), &options()).await?)
            }
            _ => None,
        };
        let log = if variant == Variant::Seed {
            "seed.eventstore"
        } else {
            "sourcing.eventstore"
        };
        let insert = format!("INSERT INTO {log} (event, type, uuid, data) VALUES ($1, $2, $3, $4)");
        let mut began = Instant::now();
        for (place, event) in work.iter().enumerate() {
            if place == FIRST {
                began = Instant::now();
            }
            match (variant, &store) {
                (Variant::Library, Some(store)) => drop(store.append(vec![event.clone()]).await?),
                (Variant::Floor, _) => work::write_bare(&mut client, place, event).await?,
                _ => {
                    sqlx::query(AssertSqlSafe(insert.clone()))
                        .bind(event.kind.as_str())
                        .bind(&event.table)
                        .bind(event.uuid)
                        .bind(Json(&event.data))
                        .execute(&mut client)
                        .await?;
                }
            }
        }
        let took = began.elapsed();
        if let Some(store) = store {
            store.close().await;
        }
        check(&url, &mut client, variant, work).await?;
        client.close().await?;
        Ok(took)
    }
}

/// The program as a whole: start, read the file, append, end.
fn program(database: &str, work: &[NewEvent]) -> Outcome<Duration> {
    let mut file = tempfile::NamedTempFile::new()?;
    for event in work {
        let line = json!({"event": event.kind.as_str(), "type": event.table, "uuid": event.uuid, "data": event.data});
        writeln!(file, "{line}")?;
    }
    file.flush()?;
    let began = Instant::now();
    let done = Command::new(env!("CARGO_BIN_EXE_ebb"))
        .args(["-d", database, "append"])
        .arg(file.path())
        .stdout(std::process::Stdio::null())
        .status()?;
    match done.success() {
        true => Ok(began.elapsed()),
        false => Err("`ebb append` failed".into()),
    }
}

/// What was measured must have been done: as many events, as many rows, and the tables are what the log says.
async fn check(
    url: &str,
    client: &mut PgConnection,
    variant: Variant,
    work: &[NewEvent],
) -> Outcome<()> {
    let log = match variant {
        Variant::Seed => "seed.eventstore",
        Variant::Floor => "public.bare_log",
        _ => "sourcing.eventstore",
    };
    let found: (i64, i64) = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT (SELECT count(*) FROM {log}), (SELECT count(*) FROM fragment) + (SELECT count(*) FROM molecule)"
    )))
    .fetch_one(&mut *client)
    .await?;
    let wanted = (work.len() as i64, work::rows(work));
    if found != wanted {
        return Err(format!(
            "{}: {found:?} events and rows, not {wanted:?}",
            variant.name()
        )
        .into());
    }
    if matches!(
        variant,
        Variant::Insert | Variant::Library | Variant::Program
    ) {
        verified(store::open(&Address::Postgres(url.to_owned()), &options()).await?).await?;
    }
    Ok(())
}

/// All events at once, in a new file.
async fn sqlite(variant: Variant, work: &[NewEvent]) -> Outcome<Duration> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("lab.db");
    let address = Address::Sqlite(path.clone());
    let store = store::init(
        &address,
        &options(),
        Some(ebbtide::demo::schema(Backend::Sqlite)),
    )
    .await?
    .store;
    let took = match variant {
        Variant::Library => timed(store.append(work.to_vec())).await?,
        Variant::Program => program(&path.display().to_string(), work)?,
        _ => {
            store.close().await;
            return bare_sqlite(&path, work).await;
        }
    };
    verified(store).await?;
    Ok(took)
}

async fn bare_sqlite(path: &Path, work: &[NewEvent]) -> Outcome<Duration> {
    let mut client = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await?;
    client.execute("CREATE TABLE bare_log (id INTEGER PRIMARY KEY, event TEXT, type TEXT, uuid TEXT, data TEXT, timestamp TEXT)").await?;
    let began = Instant::now();
    let mut all = client.begin().await?;
    for (place, event) in work.iter().enumerate() {
        work::write_bare_sqlite(&mut all, place, event).await?;
    }
    all.commit().await?;
    Ok(began.elapsed())
}
