//! Reaching a server, and making or recognising the event store in its database.

use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::error::failed;
use super::legacy;
use super::reads::note_process;
use crate::eventsourcing::store::{Backend, StoreInfo};
use crate::eventsourcing::{Error, ErrorCode, Result};
use crate::store::OpenOptions;
use crate::store::version::{self, Found};

/// How long to wait for a server that does not answer at all.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads of the screens, a count in the background, and a rollback with the word to cancel it.
const CONNECTIONS: u32 = 4;

/// Where the migrations are recorded: away from the `_sqlx_migrations` of other programs.
const MIGRATIONS_TABLE: &str = "sourcing.ebb_migrations";

/// The setting by which the server itself refuses to write.
const READ_ONLY: &str = "default_transaction_read_only";

pub(super) fn migrator() -> Migrator {
    let mut migrator = sqlx::migrate!("migrations/postgres");
    migrator.dangerous_set_table_name(MIGRATIONS_TABLE);
    migrator.create_schema("sourcing");
    migrator
}

/// A server's address, and how to say it to people.
pub(super) struct Server {
    options: PgConnectOptions,
    pub(super) place: String,
    database: String,
}

/// Which search path a connection has.
pub(super) enum Path {
    /// That of the role or the database: what people expect for tables that they define.
    Theirs,
    /// The catalogue's alone.
    Pinned,
}

pub(super) const PINNED_PATH: &str = "pg_catalog, pg_temp";

impl Server {
    pub(super) fn new(url: &str, options: &OpenOptions, path: Path) -> Result<Self> {
        // The parser's own message may repeat the URL, and with it the password.
        let mut connect = PgConnectOptions::from_str(url).map_err(|_| {
            Error::new(
                ErrorCode::BadAddress,
                "the PostgreSQL URL cannot be read",
            )
            .hint("it looks like postgres://user@host:5432/database; characters such as @ or / in a password are written %40 and %2F")
        })?;
        // The process tells this program's own sessions from those of others.
        let program = format!("ebb/{}", std::process::id());
        connect = connect.application_name(&program).options([
            // Rows are compared as text: what a value's text depends on is pinned.
            ("TimeZone", "UTC"),
            ("DateStyle", "ISO, YMD"),
            ("IntervalStyle", "postgres"),
            ("bytea_output", "hex"),
            ("extra_float_digits", "1"),
            ("lc_monetary", "C"),
            ("xmloption", "content"),
            ("array_nulls", "on"),
            ("standard_conforming_strings", "on"),
            // A policy is code of its table's owner, which must not run as whoever looks at the table; and what is hidden must
            // not be taken for not there. Reading it fails.
            ("row_security", "off"),
            // So is what the names of types depend on.
            ("quote_all_identifiers", "off"),
            // With a snapshot from before the wait for the writer's lock, an append could only fail.
            ("default_transaction_isolation", "read committed"),
            (READ_ONLY, if options.read_only { "on" } else { "off" }),
        ]);
        if let Path::Pinned = path {
            // The role's or the database's own may lead to other tables and functions of the same names.
            connect = connect.options([("search_path", PINNED_PATH)]);
        }
        let host = match connect.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", connect.get_host(), connect.get_port()),
        };
        let database = connect
            .get_database()
            .unwrap_or_else(|| connect.get_username())
            .to_owned();
        Ok(Self {
            place: format!("{host}/{database}"),
            options: connect,
            database,
        })
    }

    /// One connection, at once or with a reason: a pool would go on trying a server that is away.
    pub(super) async fn connect(&self) -> Result<PgConnection> {
        let connecting = PgConnection::connect_with(&self.options);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(connected) => connected.map_err(|error| self.not_connected(&error)),
            Err(_) => Err(Error::new(
                ErrorCode::Unreachable,
                format!("{} did not answer for {CONNECT_TIMEOUT:?}", self.place),
            )
            .hint("check the host, the port, and what lies between: a firewall, a tunnel")),
        }
    }

    fn not_connected(&self, error: &sqlx::Error) -> Error {
        let said = error.as_database_error();
        let state = said
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap_or_default();
        let error = match (&*state, error) {
            ("3D000", _) => Error::new(
                ErrorCode::BadAddress,
                format!("the server has no database \"{}\"", self.database),
            )
            .hint("create it (createdb), or check the name in the address"),
            (state, _) if state.starts_with("28") => Error::new(
                ErrorCode::LoginRefused,
                format!(
                    "{} refuses {}: the password is wrong or missing, or the role may not log in",
                    self.place,
                    self.options.get_username()
                ),
            )
            .hint("check the user and the password in the address, in PGPASSWORD or in ~/.pgpass"),
            ("", sqlx::Error::Io(error)) => Error::new(
                ErrorCode::Unreachable,
                format!("{} cannot be reached: {error}", self.place),
            )
            .hint("check the host and the port, and that the server runs"),
            ("", error) => Error::new(
                ErrorCode::Unreachable,
                format!("no connection to {}: {error}", self.place),
            ),
            _ => Error::new(
                ErrorCode::Unreachable,
                format!("{} does not let ebb in", self.place),
            ),
        };
        match said {
            Some(said) => error.details(said.message()),
            None => error,
        }
    }

    /// What a role without any right on the event store is told.
    pub(super) fn not_readable(&self, error: Error) -> Error {
        if error.code != ErrorCode::NotAllowed {
            return error;
        }
        let role = self.options.get_username();
        Error {
            message: format!(
                "the role {role} may not read the event store of {}",
                self.place
            ),
            hint: Some(format!(
                "let its owner give the right, as by GRANT \"{}_reader\" TO \"{role}\"",
                self.database
            )),
            ..error
        }
    }

    /// What a role that lacks a right on something of the older program's is told.
    pub(super) fn not_taken_over(&self, error: Error) -> Error {
        if error.code != ErrorCode::NotAllowed {
            return error;
        }
        Error {
            message: format!(
                "the role {} may not take over the event store of {}: {}",
                self.options.get_username(),
                self.place,
                error.message
            ),
            hint: Some(
                "nothing was changed; do it as a superuser, or as the role that owns the event store and its tables"
                    .to_owned(),
            ),
            ..error
        }
    }

    fn pool(&self, options: &OpenOptions) -> PgPool {
        let person = options.person.clone().unwrap_or_default();
        PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(CONNECT_TIMEOUT)
            .after_connect(move |connection, _| {
                let person = person.clone();
                Box::pin(async move {
                    let naming =
                        sqlx::query("SELECT set_config('ebb.person', $1, false)").bind(person);
                    connection.execute(naming).await?;
                    note_process(connection).await
                })
            })
            // In the place of the pool's own.
            .test_before_acquire(false)
            .before_acquire(|connection, _| {
                Box::pin(async move { note_process(connection).await.map(|()| true) })
            })
            .connect_lazy_with(self.options.clone())
    }
}

pub(super) async fn open(url: &str, options: &OpenOptions) -> Result<(Found, PgPool, StoreInfo)> {
    let mut server = Server::new(url, options, Path::Pinned)?;
    let mut connection = server.connect().await?;
    let found = find(&mut connection)
        .await
        .map_err(|error| server.not_readable(error))?;
    version::check_can_open(found, &migrator(), &server.place)?;
    let role: String = sqlx::query_scalar("SELECT session_user::text")
        .fetch_one(&mut connection)
        .await
        .map_err(failed)?;
    let person = options.person.as_ref().filter(|one| !one.is_empty());
    let info = StoreInfo {
        backend: Backend::Postgres,
        name: server.database.clone(),
        location: server.place.clone(),
        // As `sourcing.actor` says it.
        actor: person.map_or_else(|| role.clone(), |person| format!("{role}/{person}")),
        read_only: match found {
            Found::Legacy => Some(legacy::READ_ONLY.to_owned()),
            _ => read_only(&mut connection, options).await?,
        },
    };
    connection.close().await.map_err(failed)?;
    if found == Found::Legacy {
        // The last one given is the one that counts.
        server.options = server.options.options([(READ_ONLY, "on")]);
    }
    Ok((found, server.pool(options), info))
}

pub(super) async fn find(connection: &mut PgConnection) -> Result<Found> {
    let (store, ours, legacy): (bool, bool, bool) = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT to_regclass('sourcing.eventstore') IS NOT NULL, to_regclass('sourcing.ebb_migrations') IS NOT NULL, ({})",
        legacy::RECOGNISED
    )))
    .fetch_one(&mut *connection)
    .await
    .map_err(failed)?;
    let version: Option<i64> = match ours {
        true => sqlx::query_scalar("SELECT max(version) FROM sourcing.ebb_migrations")
            .fetch_one(connection)
            .await
            .map_err(failed)?,
        false => None,
    };
    Ok(match version {
        Some(version) => Found::Version(version),
        None if legacy => Found::Legacy,
        None if store => Found::Foreign,
        None => Found::Nothing,
    })
}

/// Why nothing can be written, when nothing can be.
async fn read_only(connection: &mut PgConnection, options: &OpenOptions) -> Result<Option<String>> {
    if options.read_only {
        return Ok(Some("it was opened for reading only".to_owned()));
    }
    let (standby, may_append, role): (bool, bool, String) = sqlx::query_as(
        "SELECT pg_is_in_recovery(), has_table_privilege('sourcing.eventstore', 'INSERT'), current_user::text",
    )
    .fetch_one(connection)
    .await
    .map_err(failed)?;
    Ok(match (standby, may_append) {
        (true, _) => Some("the server is a standby".to_owned()),
        (false, false) => Some(format!("the role {role} may only read")),
        (false, true) => None,
    })
}
