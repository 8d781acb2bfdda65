//! What only PostgreSQL has: other clients, roles, triggers, every type, many writers at once.

mod append_only;
mod batches;
mod clients;
mod concurrency;
mod deadlocks;
mod dropped;
mod foreign_keys;
mod foreseen;
mod hazards;
mod interruptions;
mod order;
mod own_code;
mod psql;
mod rights;
mod roles;
mod runs;
pub(crate) mod servers;
mod shapes;
mod side_effects;
mod trust;
mod types;
mod watching;

use ebbtide::store::Address;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::support::Database;

/// Operators in `public` that fit the catalogue's types better than those of `pg_catalog`, as anybody who may create things there
/// can make them. They note in `public.proof` who they have run as.
pub(crate) const HOSTILE_OPERATORS: &str = "
    CREATE TABLE public.proof (who text);
    GRANT INSERT ON public.proof TO PUBLIC;
    DO $make$ DECLARE one text; BEGIN
        FOREACH one IN ARRAY ARRAY['regclass', 'regtype', 'regnamespace', 'regproc', 'regrole'] LOOP
            EXECUTE format($$
                CREATE FUNCTION public.prove(oid, %1$s) RETURNS boolean LANGUAGE plpgsql AS
                    'BEGIN INSERT INTO public.proof VALUES (current_user); RETURN $1 OPERATOR(pg_catalog.=) $2::oid; END';
                CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = %1$s, FUNCTION = public.prove);
            $$, one);
        END LOOP;
    END $make$;
";

/// The database's name.
pub(crate) fn name(lab: &Database) -> String {
    let Address::Postgres(url) = &lab.address else {
        panic!("a PostgreSQL database");
    };
    url.rsplit_once('/').unwrap().1.to_owned()
}

/// The address for a new login, of this name, that has been granted the database's `right` (`writer`, `reader` …).
async fn login_url(lab: &Database, login: &str, right: &str) -> String {
    let database = name(lab);
    let login = format!("{login}_{database}");
    lab.sql(&format!(
        "CREATE ROLE {login} LOGIN PASSWORD 'ebb-test'; GRANT {database}_{right} TO {login}"
    ))
    .await
    .unwrap();
    lab.argument()
        .replace("postgres:ebb-test", &format!("{login}:ebb-test"))
}

/// A connection of such a login.
async fn login(lab: &Database, login: &str, right: &str) -> PgConnection {
    let url = login_url(lab, login, right).await;
    PgConnection::connect(&url).await.unwrap()
}

/// A connection of the superuser's.
async fn superuser(lab: &Database) -> PgConnection {
    PgConnection::connect(&lab.argument()).await.unwrap()
}

/// Runs SQL; several statements are one transaction.
async fn run_sql(client: &mut PgConnection, sql: &str) -> sqlx::Result<()> {
    client
        .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
        .await
        .map(drop)
}

/// The SQLSTATE and the message of a refusal.
async fn refusal(client: &mut PgConnection, sql: &str) -> (String, String) {
    let error = run_sql(client, sql).await.expect_err(sql);
    let said = error.as_database_error().expect("a refusal of the server");
    (
        said.code().unwrap_or_default().into_owned(),
        said.message().to_owned(),
    )
}

/// Runs a transaction's SQL under REPEATABLE READ or SERIALIZABLE as clients do: when others of the server have committed meanwhile, as other
/// tests do, it is told 40001 and begins anew.
async fn run_until_it_serializes(client: &mut PgConnection, sql: &str) {
    while let Err(error) = run_sql(client, sql).await {
        let said = error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code);
        assert_eq!(said.as_deref(), Some("40001"), "{sql}: {error}");
        run_sql(client, "ROLLBACK").await.expect("a rollback");
    }
}

/// Waits until a query says true.
async fn until(lab: &Database, condition: &str) {
    let mut client = superuser(lab).await;
    for _ in 0..100_000 {
        let holds: bool = sqlx::query_scalar(AssertSqlSafe(condition.to_owned()))
            .fetch_one(&mut client)
            .await
            .unwrap();
        if holds {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to be: {condition}");
}

/// Waits until a session of this login, as `login_url` names it, waits for a lock: `advisory`, or one that another transaction
/// holds.
async fn until_waiting(lab: &Database, login: &str, kind: &str) {
    let condition = format!(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE usename = '{login}_{}' AND wait_event_type = 'Lock'
                           AND (wait_event = 'advisory') = ('{kind}' = 'advisory'))",
        name(lab)
    );
    until(lab, &condition).await;
}

/// A table whose rows are written only while nobody holds the advisory lock 7, so that a test can stop whoever writes there.
pub(crate) const GATE: &str = "
    CREATE TABLE gate (gate_id uuid PRIMARY KEY, name text);
    CREATE FUNCTION wait_at_gate() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock_shared(7); RETURN coalesce(NEW, OLD); END $$;
    CREATE TRIGGER wait BEFORE INSERT OR UPDATE OR DELETE ON gate FOR EACH ROW EXECUTE FUNCTION wait_at_gate();
    -- In a rollback too.
    ALTER TABLE gate ENABLE ALWAYS TRIGGER wait;
    CREATE TABLE sample (sample_id uuid PRIMARY KEY, name text, mass int);
";
