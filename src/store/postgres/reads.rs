//! Connections for reading. A read that is dropped before its end is stopped on the server too, where it would otherwise go on to its
//! end and keep its connection busy.

use std::cell::Cell;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPoolOptions, PgQueryResult, PgRow, PgStatement, PgTypeInfo};
use sqlx::{Connection, Either, Execute, Executor, PgPool, Postgres, SqlStr};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::connect::CONNECT_TIMEOUT;

/// How long the connection that gives the word to stop is kept without use.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// How long to wait for what was told to stop before it is told again; each time longer.
const AGAIN: Duration = Duration::from_millis(100);

tokio::task_local! {
    /// The server's process for the connection that this task is being given by the pool, which has no place to note it.
    static PROCESS: Cell<Option<i32>>;
}

/// What the pool does with each connection before it gives it away: it asks for the server's process, which also shows that the connection
/// lives.
pub(super) async fn note_process(connection: &mut PgConnection) -> sqlx::Result<()> {
    let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(connection)
        .await?;
    // Who does not ask is not told: writes are not stopped by being dropped.
    let _ = PROCESS.try_with(|noted| noted.set(Some(process)));
    Ok(())
}

/// Where reads get their connections. As an executor, it runs each statement on a connection of its own, and reads its rows whole.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    pool: PgPool,
    /// The connection by which the word to stop is given: those of the pool may all be at work.
    words: PgPool,
}

impl Reads {
    pub(super) fn new(pool: PgPool) -> Self {
        let words = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .idle_timeout(KEPT_FOR)
            .connect_lazy_with((*pool.connect_options()).clone());
        Self { pool, words }
    }

    /// A connection for a read of several statements. When they are done, it is to be told so.
    pub(super) async fn acquire(&self) -> sqlx::Result<Reading> {
        let acquiring = async {
            let connection = self.pool.acquire().await?;
            Ok::<_, sqlx::Error>((connection, PROCESS.with(Cell::get)))
        };
        let (connection, process) = PROCESS.scope(Cell::new(None), acquiring).await?;
        Ok(Reading {
            connection: Some(connection),
            process,
            is_busy: false,
            has_snapshot: false,
            words: self.words.clone(),
        })
    }

    /// Closes the connections; what runs is finished first.
    pub(super) async fn close(&self) {
        self.pool.close().await;
        self.words.close().await;
    }
}

/// A connection that reads.
pub(super) struct Reading {
    /// There until it is dropped.
    connection: Option<PoolConnection<Postgres>>,
    process: Option<i32>,
    /// Whether it has been used, and not been told that this is done.
    is_busy: bool,
    /// Whether a transaction has been begun, or is about to be.
    has_snapshot: bool,
    words: PgPool,
}

impl Reading {
    /// What was read has come, or failed: there is nothing to stop.
    pub(super) fn done(&mut self) {
        (self.is_busy, self.has_snapshot) = (false, false);
    }

    /// A transaction is about to be begun. Dropped before the answer to that has come, it would stay open without anybody's knowing, and whoever reads next on
    /// this connection would see the rows of long ago: such a connection is closed.
    pub(super) fn begins_snapshot(&mut self) {
        self.has_snapshot = true;
    }
}

impl Deref for Reading {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.connection
            .as_ref()
            .expect("it is there until the drop")
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.is_busy = true;
        self.connection
            .as_mut()
            .expect("it is there until the drop")
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        match (self.process, Handle::try_current()) {
            (Some(process), Ok(runtime)) if self.is_busy => {
                let words = self.words.clone();
                runtime.spawn(stop(connection, process, words, self.has_snapshot));
            }
            // The pool looks after it, and after what it is in the middle of.
            _ => drop(connection),
        }
    }
}

/// Stops what the connection is in the middle of, and gives it back. It is kept until then, so that the word cannot meet what somebody else
/// does on it later: the server has taken the signal when the answer to it comes, and one that finds no query is forgotten before the next.
async fn stop(
    mut connection: PoolConnection<Postgres>,
    process: i32,
    words: PgPool,
    has_snapshot: bool,
) {
    let mut tries = 0;
    let is_ready = loop {
        let word = sqlx::query("SELECT pg_cancel_backend($1)").bind(process);
        if word.execute(&words).await.is_err() {
            break false;
        }
        tries += 1;
        // A word that came before the server had read the query was forgotten, and is given again.
        if let Ok(is_ready) = timeout(AGAIN * tries, is_ready(&mut connection)).await {
            // A second word may have met the end of the transaction instead, which would then stay open.
            break is_ready && tries == 1;
        }
    };
    if !is_ready || has_snapshot {
        connection.close_on_drop();
    }
}

/// Waits until the connection has answered everything. The first answer may be the refusal of what was stopped.
async fn is_ready(connection: &mut PgConnection) -> bool {
    connection.ping().await.is_ok() || connection.ping().await.is_ok()
}

impl<'p> Executor<'p> for &'_ Reads {
    type Database = Postgres;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<PgQueryResult, PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let reads = self.clone();
        let all = async move {
            let mut reading = reads.acquire().await?;
            let all: sqlx::Result<Vec<_>> = reading.fetch_many(query).try_collect().await;
            reading.done();
            Ok(stream::iter(all?).map(Ok))
        };
        all.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(self, query: E) -> BoxFuture<'e, sqlx::Result<Option<PgRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let reads = self.clone();
        async move {
            let mut reading = reads.acquire().await?;
            let found = reading.fetch_optional(query).await;
            reading.done();
            found
        }
        .boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [PgTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<PgStatement>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    // The trait has it wherever sqlx's macros are switched on.
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Postgres>>>
    where
        'p: 'e,
    {
        self.pool.describe(sql)
    }
}
