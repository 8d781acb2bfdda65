//! What appending events costs, beside two yardsticks in the same run: the algorithm of the software that ebb follows on
//! (`seed`), and what the database takes for the bare writes (`floor`). Prints the table of the README.
//!
//! `scripts/bench [EVENTS] [REPETITIONS]` runs it on a PostgreSQL that writes through to the disk.

mod work;

use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{EventStore, NewEvent, verify};
use ebbtide::store::{self, Address, OpenOptions};
use serde_json::json;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, SqliteConnection};
use work::Shape;

type Failure = Box<dyn std::error::Error>;
type Outcome<T> = Result<T, Failure>;

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
    println!(
        "| work | variant | µs an event (median, least–most) | against seed | against floor |"
    );
    println!("|---|---|---|---|---|");
    for shape in [Shape::Blocks, Shape::Mixed] {
        let work = work::events(shape, events);
        let mut table = Table::new(format!("append {} events, {shape}", work.len()), work.len());
        for _ in 0..repetitions {
            for variant in Variant::BULK {
                table.add(variant.name(), server.bulk(variant, &work).await?);
            }
        }
        table.print();
    }
    let work = work::events(Shape::Mixed, FIRST + SINGLE);
    let mut table = Table::new(format!("append {SINGLE} events, one a transaction"), SINGLE);
    for _ in 0..repetitions {
        for variant in Variant::SINGLE {
            table.add(variant.name(), server.single(variant, &work).await?);
        }
    }
    table.print();
    let work = work::events(Shape::Blocks, events);
    let mut table = Table::new(
        format!("append {} events to a SQLite file", work.len()),
        work.len(),
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

/// The times of each variant of one piece of work.
struct Table {
    work: String,
    events: usize,
    rows: Vec<(&'static str, Vec<Duration>)>,
}

impl Table {
    fn new(work: String, events: usize) -> Self {
        Self {
            work,
            events,
            rows: Vec::new(),
        }
    }

    fn add(&mut self, variant: &'static str, took: Duration) {
        match self.rows.iter_mut().find(|(name, _)| *name == variant) {
            Some((_, times)) => times.push(took),
            None => self.rows.push((variant, vec![took])),
        }
    }

    fn print(&mut self) {
        let each = |time: Duration, events: usize| time.as_secs_f64() * 1e6 / events as f64;
        let mut medians = Vec::new();
        for (name, times) in &mut self.rows {
            times.sort();
            medians.push((*name, each(times[times.len() / 2], self.events)));
        }
        let yardstick = |wanted: &str| {
            medians
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, median)| *median)
        };
        for ((name, times), (_, median)) in self.rows.iter().zip(&medians) {
            let least = each(times[0], self.events);
            let most = each(times[times.len() - 1], self.events);
            let faster = yardstick("seed").map_or_else(String::new, |seed| {
                format!("{:.2} × as fast", seed / median)
            });
            let slower = yardstick("floor").map_or_else(String::new, |floor| {
                format!("{:.2} × the time", median / floor)
            });
            println!(
                "| {} | {name} | {median:.1} ({least:.1}–{most:.1}) | {faster} | {slower} |",
                self.work
            );
        }
    }
}

/// A PostgreSQL with a prepared database for each kind of variant, to be copied for each measurement.
struct Server {
    url: String,
}

impl Server {
    async fn new() -> Outcome<Self> {
        let url = std::env::var("EBB_TEST_POSTGRES")
            .map_err(|_| "EBB_TEST_POSTGRES is not set: run scripts/bench")?;
        let server = Self { url };
        server.create("base_ebb", "template0").await?;
        let lab = ebbtide::demo::schema(Backend::Postgres);
        store::init(
            &Address::Postgres(server.at("base_ebb")),
            &options(),
            Some(lab),
        )
        .await?
        .store
        .close()
        .await;
        for (name, sql) in [
            ("base_seed", include_str!("seed.sql")),
            ("base_floor", include_str!("floor.sql")),
        ] {
            server.create(name, "template0").await?;
            let mut client = PgConnection::connect(&server.at(name)).await?;
            client.execute(sqlx::raw_sql(lab)).await?;
            client.execute(sqlx::raw_sql(sql)).await?;
            client.close().await?;
        }
        Ok(server)
    }

    fn at(&self, database: &str) -> String {
        let place = self.url.rsplit_once('/').map_or("", |(place, _)| place);
        format!("{place}/{database}")
    }

    async fn create(&self, name: &str, template: &str) -> Outcome<()> {
        let mut admin = PgConnection::connect(&self.url).await?;
        for sql in [
            format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"),
            format!("CREATE DATABASE {name} TEMPLATE {template}"),
            "CHECKPOINT".to_owned(),
        ] {
            admin.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
        }
        Ok(admin.close().await?)
    }

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

    async fn facts(&self) -> Outcome<String> {
        let mut client = PgConnection::connect(&self.url).await?;
        let (version, fsync): (String, String) =
            sqlx::query_as("SELECT current_setting('server_version'), current_setting('fsync')")
                .fetch_one(&mut client)
                .await?;
        client.close().await?;
        let cores = std::thread::available_parallelism()?;
        Ok(format!(
            "{cores} cores, PostgreSQL {version}, fsync {fsync}."
        ))
    }
}

fn options() -> OpenOptions {
    OpenOptions {
        read_only: false,
        user: "bench".to_owned(),
        person: None,
    }
}

async fn timed<T, E: Into<Failure>>(work: impl Future<Output = Result<T, E>>) -> Outcome<Duration> {
    let began = Instant::now();
    work.await.map_err(Into::into)?;
    Ok(began.elapsed())
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

async fn verified(store: Arc<dyn EventStore>) -> Outcome<()> {
    let findings = verify::drift(&*store).await?.findings.len();
    store.close().await;
    match findings {
        0 => Ok(()),
        _ => Err(format!("{findings} findings").into()),
    }
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
