//! Opening a file, and making or recognising the event store in it.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, SqliteConnection};

use super::SqliteStore;
use super::error::failed;
use super::reads::Reads;
use super::watch::{Opened, Watch};
use crate::eventsourcing::store::{Backend, StoreInfo};
use crate::eventsourcing::{Error, ErrorCode, Result};
use crate::store::OpenOptions;
use crate::store::version::{self, Found};

/// How long to wait for another program that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many rows a connection reads ahead.
const ROWS_AHEAD: usize = 1000;

/// A read of the screens, one in the background, and one that is being stopped.
const CONNECTIONS: u32 = 3;

/// Statements that a connection keeps prepared: there are few texts, and those of wide tables are large.
const STATEMENTS: usize = 32;

/// KiB of pages that a connection keeps. The system keeps the file's pages too, so that more of them only takes memory, once for each connection.
const CACHE: u32 = 256;

/// Where the migrations are recorded: not in the `_sqlx_migrations` of other programs.
const MIGRATIONS_TABLE: &str = "ebb_migrations";

fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("migrations/sqlite");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator
}

fn connect_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .statement_cache_capacity(STATEMENTS)
        // Less than nothing is a number of KiB, not of pages.
        .pragma("cache_size", format!("-{CACHE}"))
        // Rows are read on a thread of their own: each time that it waits for its reader takes longer than reading a row.
        .row_buffer_size(ROWS_AHEAD)
}

/// A failure, with the file's name.
fn of_file(path: &Path, error: Error) -> Error {
    let message = format!("{}: {}", path.display(), error.message);
    Error { message, ..error }
}

/// What can be said of the path before SQLite sees it. SQLite itself would answer "unable to open database file" to all.
fn check_path(path: &Path) -> Result<()> {
    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::new(
            ErrorCode::FileNotFound,
            format!("there is no file {}", path.display()),
        )
        .hint("check the path; `ebb init` makes a new database, `ebb demo` one with an example")),
        Err(error) => Err(Error::new(
            ErrorCode::Io,
            format!("{} cannot be opened: {error}", path.display()),
        )),
        Ok(found) if found.is_dir() => Err(Error::new(
            ErrorCode::NotADatabase,
            format!("{} is a directory, not a database file", path.display()),
        )
        .hint("give the path of a SQLite file")),
        Ok(_) => Ok(()),
    }
}

pub(super) async fn open(path: &Path, options: &OpenOptions) -> Result<SqliteStore> {
    check_path(path)?;
    let connect = connect_options(path).read_only(options.read_only);
    let named = |error| of_file(path, failed(error));
    let mut connection = connect.connect().await.map_err(named)?;
    let found = find(&mut connection).await.map_err(named)?;
    version::check_can_open(found, &migrator(), &path.display().to_string())?;
    connection.close().await.map_err(named)?;
    let name = path.file_name().unwrap_or(path.as_os_str());
    let read_only = match options.read_only {
        true => Some("it was opened for reading only".to_owned()),
        false if std::fs::metadata(path).is_ok_and(|found| found.permissions().readonly()) => {
            Some("the file may only be read".to_owned())
        }
        false => None,
    };
    let person = options
        .person
        .as_deref()
        .filter(|person| !person.is_empty());
    let pool = SqlitePoolOptions::new()
        .max_connections(CONNECTIONS)
        // None is ever lost, and each use begins with a word to the connection's thread.
        .test_before_acquire(false)
        .connect_lazy_with(connect.clone());
    Ok(SqliteStore {
        reads: Reads::new(pool.clone()),
        pool,
        info: StoreInfo {
            backend: Backend::Sqlite,
            name: name.to_string_lossy().into_owned(),
            location: path.display().to_string(),
            actor: match person {
                Some(person) => format!("{}/{person}", options.user),
                None => options.user.clone(),
            },
            read_only,
        },
        options: connect,
        watch: Watch::default(),
        opened: Opened::new(path)?,
    })
}

pub(super) async fn init(path: &Path, schema: Option<&str>) -> Result<()> {
    let is_new = match check_path(path) {
        Err(error) if error.code == ErrorCode::FileNotFound => true,
        checked => {
            checked?;
            false
        }
    };
    let made = make(path, schema).await;
    if made.is_err() && is_new {
        // What init itself created a moment ago, and could not finish.
        for suffix in ["", "-wal", "-shm"] {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            match std::fs::remove_file(&name) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::new(
                        ErrorCode::Io,
                        format!("{} could not be removed again: {error}", path.display()),
                    ));
                }
                _ => {}
            }
        }
    }
    made
}

async fn make(path: &Path, schema: Option<&str>) -> Result<()> {
    let named = |error| of_file(path, failed(error));
    let mut connection = connect_options(path)
        .create_if_missing(true)
        .connect()
        .await
        .map_err(named)?;
    let found = find(&mut connection).await.map_err(named)?;
    version::check_can_init(found, &migrator(), &path.display().to_string())?;
    // Readers then never wait for a writer. It is kept in the file, and cannot be set inside a transaction.
    connection
        .execute("PRAGMA journal_mode = WAL")
        .await
        .map_err(named)?;
    // One transaction: the migrations and the schema, or nothing.
    let mut all = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(named)?;
    migrator()
        .run_direct(None, &mut *all, false)
        .await
        .map_err(|error| match error {
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => named(error),
            other => Error::new(
                ErrorCode::Database,
                format!(
                    "the event store of {} could not be brought up to date: {other}",
                    path.display()
                ),
            ),
        })?;
    if let Some(schema) = schema {
        all.execute(sqlx::raw_sql(AssertSqlSafe(schema.to_owned())))
            .await
            .map_err(|error| {
                let error = failed(error);
                Error {
                    message: format!(
                        "the schema was refused, and nothing was changed: {}",
                        error.message
                    ),
                    ..error
                }
            })?;
    }
    all.commit().await.map_err(named)?;
    connection.close().await.map_err(named)
}

pub(super) async fn has_table(connection: &mut SqliteConnection, name: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?)",
    )
    .bind(name)
    .fetch_one(connection)
    .await
}

async fn find(connection: &mut SqliteConnection) -> sqlx::Result<Found> {
    let version: Option<i64> = match has_table(connection, MIGRATIONS_TABLE).await? {
        true => {
            sqlx::query_scalar("SELECT max(version) FROM ebb_migrations")
                .fetch_one(&mut *connection)
                .await?
        }
        false => None,
    };
    Ok(match version {
        Some(version) => Found::Version(version),
        None if has_table(connection, "eventstore").await? => Found::Foreign,
        None => Found::Nothing,
    })
}
