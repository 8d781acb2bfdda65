//! Making the event store in a database, and taking over one that mdb or Molar made: each in one transaction.

use serde_json::Value;
use sqlx::postgres::PgConnection;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, Executor};

use super::connect::{self, PINNED_PATH, Path, Server};
use super::error::failed;
use super::legacy;
use crate::eventsourcing::{Error, ErrorCode, EventId, Result};
use crate::store::version::{self, Found};
use crate::store::{OpenOptions, TakeOver};

/// What of an older program's table is made ours before the migrations make the rest.
const TAKE_OVER: &str = include_str!("../../../migrations/take_over_postgres.sql");

/// mdb's trigger on the log that gives a synthesis its hid, in a database with the tables that this takes.
const GIVES_HID: &str = "
    SELECT format('%I', g.tgname)
      FROM pg_trigger g
     WHERE g.tgrelid = 'sourcing.eventstore'::regclass AND g.tgfoid = to_regprocedure('public.add_synthesis_hid()')
       AND (SELECT count(*) FROM pg_attribute a
             WHERE NOT a.attisdropped
               AND (a.attrelid = to_regclass('public.synthesis') AND a.attname IN ('hid', 'created_on', 'synthesis_machine_id')
                 OR a.attrelid = to_regclass('public.synthesis_machine') AND a.attname IN ('synthesis_machine_id', 'lab_id')
                 OR a.attrelid = to_regclass('public.lab') AND a.attname IN ('lab_id', 'short_name'))) = 7";

/// The trigger that does it on the table itself.
const HID: &str = include_str!("../../../migrations/synthesis_hid_postgres.sql");

/// Returns what became of the roles, in words.
pub(super) async fn init(url: &str, options: &OpenOptions, schema: Option<&str>) -> Result<String> {
    let server = Server::new(url, options, Path::Theirs)?;
    let mut connection = server.connect().await?;
    let path = pin_search_path(&mut connection).await?;
    let found = connect::find(&mut connection)
        .await
        .map_err(|error| server.not_readable(error))?;
    version::check_can_init(found, &connect::migrator(), &server.place)?;
    // The migrations and the schema, or nothing.
    let mut all = connection.begin().await.map_err(failed)?;
    migrate(&mut all, &server).await?;
    run_schema(&mut all, schema, &path).await?;
    let roles = make_roles(&mut all).await?;
    all.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(roles)
}

/// Returns what became of the roles, in words, and how many events record differences.
pub(super) async fn take_over(
    url: &str,
    options: &OpenOptions,
    schema: Option<&str>,
    consent: &TakeOver,
) -> Result<(String, u64)> {
    let server = Server::new(url, options, Path::Theirs)?;
    let taken = take_over_there(&server, schema, consent).await;
    taken.map_err(|error| server.not_taken_over(error))
}

async fn take_over_there(
    server: &Server,
    schema: Option<&str>,
    consent: &TakeOver,
) -> Result<(String, u64)> {
    let mut connection = server.connect().await?;
    let path = pin_search_path(&mut connection).await?;
    if connect::find(&mut connection).await? != Found::Legacy {
        return Err(Error::new(
            ErrorCode::Stale,
            format!(
                "{} has no event store of mdb's or Molar's any more",
                server.place
            ),
        )
        .hint("run `ebb init` again"));
    }
    // Evaluated before the transaction: one that fails would take it along.
    let tables = legacy::stored_columns(&mut connection).await?;
    let mut all = connection.begin().await.map_err(failed)?;
    move_hid_trigger(&mut all).await?;
    all.execute(sqlx::raw_sql(TAKE_OVER))
        .await
        .map_err(failed)?;
    let head: EventId = sqlx::query_scalar("SELECT coalesce(max(id), 0) FROM sourcing.eventstore")
        .fetch_one(&mut *all)
        .await
        .map_err(failed)?;
    if head != consent.head {
        return Err(Error::new(
            ErrorCode::Stale,
            format!(
                "the log has grown to #{head} since it was looked at, at #{}; nothing was changed",
                consent.head
            ),
        )
        .hint("run `ebb init` again, best while nobody writes"));
    }
    for (table, columns) in tables {
        record_filled(&mut all, &table, &columns).await?;
    }
    migrate(&mut all, server).await?;
    sqlx::query(
        r#"INSERT INTO sourcing.taken_over SELECT max(id), count(*), max("timestamp") FROM sourcing.eventstore HAVING count(*) > 0"#,
    )
    .execute(&mut *all)
    .await
    .map_err(failed)?;
    run_schema(&mut all, schema, &path).await?;
    let recorded = match consent.record_differences {
        true => record_differences(&mut all).await?,
        false => 0,
    };
    let roles = make_roles(&mut all).await?;
    all.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok((roles, recorded))
}

/// Appends events for the rows that are not what the log says. Returns how many.
pub(super) async fn record_differences(all: &mut PgConnection) -> Result<u64> {
    let recorded: i64 =
        sqlx::query_scalar("INSERT INTO sourcing.recorded DEFAULT VALUES RETURNING events")
            .fetch_one(all)
            .await
            .map_err(failed)?;
    Ok(recorded.unsigned_abs())
}

/// A column that a trigger on the log filled goes on being filled.
async fn move_hid_trigger(all: &mut PgConnection) -> Result<()> {
    let found: Option<String> = sqlx::query_scalar(GIVES_HID)
        .fetch_optional(&mut *all)
        .await
        .map_err(failed)?;
    let Some(trigger) = found else {
        return Ok(());
    };
    let moving = format!("DROP TRIGGER {trigger} ON sourcing.eventstore; {HID}");
    all.execute(sqlx::raw_sql(AssertSqlSafe(moving)))
        .await
        .map(drop)
        .map_err(failed)
}

/// Writes into the events of a table what the database made of them, as far as it is known: `columns` are the table's, each
/// with its default where that is constant. Keys of data that are no columns were dropped, that is NULL was stored.
async fn record_filled(
    all: &mut PgConnection,
    table: &str,
    columns: &[(String, Option<Value>)],
) -> Result<()> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let defaults: serde_json::Map<String, Value> = columns
        .iter()
        .filter_map(|(name, default)| Some((name.clone(), default.clone()?)))
        .collect();
    sqlx::query(
        "UPDATE sourcing.eventstore e
            SET filled = nullif(
                    CASE e.event WHEN 'create' THEN $2::jsonb - keys.given ELSE '{}' END
                    || coalesce((SELECT jsonb_object_agg(name, NULL) FROM unnest(keys.given) AS name WHERE name <> ALL ($3::text[])), '{}'), '{}')
           FROM sourcing.eventstore o
          CROSS JOIN LATERAL (SELECT ARRAY(SELECT jsonb_object_keys(o.data)) AS given) AS keys
          WHERE e.id = o.id AND o.type = $1 AND o.event IN ('create', 'update') AND jsonb_typeof(o.data) = 'object'",
    )
    .bind(table)
    .bind(Json(defaults))
    .bind(names)
    .execute(all)
    .await
    .map(drop)
    .map_err(failed)
}

async fn migrate(all: &mut PgConnection, server: &Server) -> Result<()> {
    connect::migrator()
        .run_direct(None, all, false)
        .await
        .map_err(|error| match error {
            sqlx::migrate::MigrateError::Execute(error)
            | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => failed(error),
            other => Error::new(
                ErrorCode::Database,
                format!(
                    "the event store of {} could not be brought up to date: {other}",
                    server.place
                ),
            ),
        })
}

async fn run_schema(all: &mut PgConnection, schema: Option<&str>, path: &str) -> Result<()> {
    let Some(schema) = schema else {
        return Ok(());
    };
    set_search_path(all, path).await?;
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
    set_search_path(all, PINNED_PATH).await
}

async fn make_roles(all: &mut PgConnection) -> Result<String> {
    sqlx::query_scalar("SELECT sourcing.make_roles()")
        .fetch_one(all)
        .await
        .map_err(failed)
}

/// The first thing that a connection does which begins with the search path of the role or the database: what that may find
/// first, an operator of a stranger's say, must not run here nor get into the event store. So this itself
/// leaves nothing to be looked up. Returns the path as it was.
async fn pin_search_path(connection: &mut PgConnection) -> Result<String> {
    let path = sqlx::query_scalar("SELECT pg_catalog.current_setting('search_path')")
        .fetch_one(&mut *connection)
        .await
        .map_err(failed)?;
    set_search_path(connection, PINNED_PATH).await?;
    Ok(path)
}

async fn set_search_path(connection: &mut PgConnection, path: &str) -> Result<()> {
    sqlx::query("SELECT pg_catalog.set_config('search_path', $1, false)")
        .bind(path)
        .execute(connection)
        .await
        .map(drop)
        .map_err(failed)
}
