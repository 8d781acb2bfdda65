//! What the benchmarks share: a server, a table of times, and the check that what was measured was done.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{EventStore, verify};
use ebbtide::store::{self, Address, OpenOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

pub(crate) type Failure = Box<dyn std::error::Error>;
pub(crate) type Outcome<T> = Result<T, Failure>;

/// The table's first lines.
pub(crate) fn heading() {
    println!("| work | variant | median (least–most) | against seed | against floor |");
    println!("|---|---|---|---|---|");
}

/// The times of each variant of one piece of work.
pub(crate) struct Table {
    work: String,
    unit: &'static str,
    factor: f64,
    rows: Vec<(&'static str, Vec<Duration>)>,
}

impl Table {
    /// `factor` makes of seconds what is printed.
    pub(crate) fn new(work: String, unit: &'static str, factor: f64) -> Self {
        Self {
            work,
            unit,
            factor,
            rows: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, variant: &'static str, took: Duration) {
        match self.rows.iter_mut().find(|(name, _)| *name == variant) {
            Some((_, times)) => times.push(took),
            None => self.rows.push((variant, vec![took])),
        }
    }

    pub(crate) fn print(&mut self) {
        let factor = self.factor;
        let each = |time: Duration| time.as_secs_f64() * factor;
        let mut medians = Vec::new();
        for (name, times) in &mut self.rows {
            times.sort();
            medians.push((*name, each(times[times.len() / 2])));
        }
        let yardstick = |wanted: &str| {
            medians
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, median)| *median)
        };
        for ((name, times), (_, median)) in self.rows.iter().zip(&medians) {
            let least = each(times[0]);
            let most = each(times[times.len() - 1]);
            let faster = yardstick("seed").map_or_else(String::new, |seed| {
                format!("{:.2} × as fast", seed / median)
            });
            let slower = yardstick("floor").map_or_else(String::new, |floor| {
                format!("{:.2} × the time", median / floor)
            });
            println!(
                "| {} | {name} | {median:.1} ({least:.1}–{most:.1}) {} | {faster} | {slower} |",
                self.work, self.unit
            );
        }
    }
}

/// A PostgreSQL with a prepared database for each kind of variant, to be copied for each measurement.
pub(crate) struct Server {
    url: String,
}

impl Server {
    pub(crate) async fn new() -> Outcome<Self> {
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
            ("base_seed", include_str!("append/seed.sql")),
            ("base_floor", include_str!("append/floor.sql")),
        ] {
            server.create(name, "template0").await?;
            let mut client = PgConnection::connect(&server.at(name)).await?;
            client.execute(sqlx::raw_sql(lab)).await?;
            client.execute(sqlx::raw_sql(sql)).await?;
            client.close().await?;
        }
        Ok(server)
    }

    pub(crate) fn at(&self, database: &str) -> String {
        let place = self.url.rsplit_once('/').map_or("", |(place, _)| place);
        format!("{place}/{database}")
    }

    pub(crate) async fn create(&self, name: &str, template: &str) -> Outcome<()> {
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

    /// What it was measured on.
    pub(crate) async fn facts(&self) -> Outcome<String> {
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

pub(crate) fn options() -> OpenOptions {
    OpenOptions {
        read_only: false,
        user: "bench".to_owned(),
        person: None,
    }
}

pub(crate) async fn timed<T, E: Into<Failure>>(
    work: impl Future<Output = Result<T, E>>,
) -> Outcome<Duration> {
    let began = Instant::now();
    work.await.map_err(Into::into)?;
    Ok(began.elapsed())
}

/// What was measured must have been done: the tables are what the log says.
pub(crate) async fn verified(store: Arc<dyn EventStore>) -> Outcome<()> {
    let findings = verify::drift(&*store).await?.findings.len();
    store.close().await;
    match findings {
        0 => Ok(()),
        _ => Err(format!("{findings} findings").into()),
    }
}
