//! Connections for reading. A read that is dropped before its end is stopped in SQLite too, where it would otherwise go on to its end on
//! the connection's thread, and keep the connection busy.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use sqlx::pool::PoolConnection;
use sqlx::sqlite::{SqliteQueryResult, SqliteRow, SqliteStatement, SqliteTypeInfo};
use sqlx::{Either, Execute, Executor, SqlStr, Sqlite, SqliteConnection, SqlitePool};

/// After how many of its instructions SQLite looks whether to stop: a fraction of a millisecond.
const INSTRUCTIONS: i32 = 1000;

/// What stops a connection's statement when it is dropped. Only what came with the connection can: a handler that is left behind on
/// one that somebody else uses, a write say, never stops anything.
pub(super) struct Stop {
    is_dropped: Arc<AtomicBool>,
    is_armed: bool,
}

impl Stop {
    /// Of this connection, which nothing must use any more when it was dropped.
    pub(super) async fn on(connection: &mut SqliteConnection) -> sqlx::Result<Self> {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let seen = is_dropped.clone();
        let mut handle = connection.lock_handle().await?;
        handle.set_progress_handler(INSTRUCTIONS, move || !seen.load(Ordering::Relaxed));
        Ok(Self {
            is_dropped,
            is_armed: true,
        })
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        if self.is_armed {
            self.is_dropped.store(true, Ordering::Relaxed);
        }
    }
}

/// Where reads get their connections. As an executor, it runs each statement on a connection of its own, and reads its rows whole.
#[derive(Clone, Debug)]
pub(super) struct Reads {
    pool: SqlitePool,
}

impl Reads {
    pub(super) fn new(pool: SqlitePool) -> Self {
        Self { pool }
    }

    /// A connection for a read of several statements. When they are done, it is to be told so.
    pub(super) async fn acquire(&self) -> sqlx::Result<Reading> {
        let mut connection = self.pool.acquire().await?;
        let mut stop = Stop::on(&mut connection).await?;
        stop.is_armed = false;
        Ok(Reading { connection, stop })
    }
}

/// A connection that reads.
pub(super) struct Reading {
    connection: PoolConnection<Sqlite>,
    /// Armed while the connection has been used, and not been told that this is done.
    stop: Stop,
}

impl Reading {
    /// What was read has come, or failed: there is nothing to stop.
    pub(super) fn done(&mut self) {
        self.stop.is_armed = false;
    }
}

impl Deref for Reading {
    type Target = SqliteConnection;

    fn deref(&self) -> &SqliteConnection {
        &self.connection
    }
}

impl DerefMut for Reading {
    fn deref_mut(&mut self) -> &mut SqliteConnection {
        self.stop.is_armed = true;
        &mut self.connection
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        if self.stop.is_armed {
            // What has been told to stop is used by nobody else.
            self.connection.close_on_drop();
        }
    }
}

impl<'p> Executor<'p> for &'_ Reads {
    type Database = Sqlite;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, sqlx::Result<Either<SqliteQueryResult, SqliteRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Sqlite>,
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

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, sqlx::Result<Option<SqliteRow>>>
    where
        'p: 'e,
        E: 'q + Execute<'q, Sqlite>,
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
        parameters: &'e [SqliteTypeInfo],
    ) -> BoxFuture<'e, sqlx::Result<SqliteStatement>>
    where
        'p: 'e,
    {
        self.pool.prepare_with(sql, parameters)
    }

    // The trait has it wherever sqlx's macros are switched on.
    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, sqlx::Result<sqlx::Describe<Sqlite>>>
    where
        'p: 'e,
    {
        self.pool.describe(sql)
    }
}
