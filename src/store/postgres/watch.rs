//! Waiting for the log to grow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::{PgExecutor, PgListener, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use super::connect::CONNECT_TIMEOUT;
use super::error::failed;
use super::log;
use super::source::{OWN, Source};
use crate::eventsourcing::{Error, ErrorCode, EventId, Result};

/// What `migrations/postgres/0013_notify.sql` notifies.
const CHANNEL: &str = "ebb_log";

/// How often a log is looked at that does not tell when it has grown.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long to hear nothing before the log is looked at all the same: a server that is gone without a word says nothing, and what
/// passes connections on between may keep notifications to itself.
const SILENCE: Duration = Duration::from_secs(30);

/// Whether the event store tells those who listen. A standby has no notifications.
const TELLS: &str = "SELECT NOT pg_is_in_recovery()
    AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'sourcing.eventstore'::regclass AND tgname = 'notify' AND tgenabled = 'A')";

/// Keeps the connection that listens for the next time. It is none of the pool's, which are few.
#[derive(Default)]
pub(super) struct Watch {
    kept: Mutex<Option<Listening>>,
}

impl Watch {
    /// Waits until the head is another than this one. Given up in the middle, it closes its connection.
    pub(super) async fn next_head(&self, pool: &PgPool, known: EventId) -> Result<EventId> {
        let kept = self.take();
        let mut listening = match kept {
            Some(listening) => listening,
            None => {
                let tells: bool = sqlx::query_scalar(TELLS)
                    .fetch_one(pool)
                    .await
                    .map_err(failed)?;
                if !tells {
                    return ask_until_next(pool, &OWN, known).await;
                }
                Listening::begin(pool).await?
            }
        };
        // It listens already: what comes after this look is told.
        let mut head = listening.head().await?;
        while head == known {
            listening.wait().await?;
            head = listening.head().await?;
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(listening);
        Ok(head)
    }

    /// Lets go of the connection.
    pub(super) fn close(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<Listening> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
    }
}

/// The same for an event store that does not tell: asks again and again.
pub(super) async fn ask_until_next(
    executor: impl PgExecutor<'_> + Copy,
    source: &Source,
    known: EventId,
) -> Result<EventId> {
    loop {
        let head = log::head_in(executor, source).await?;
        if head != known {
            return Ok(head);
        }
        sleep(INTERVAL).await;
    }
}

/// A connection that listens.
struct Listening {
    /// There until it is dropped.
    listener: Option<PgListener>,
    /// Where its connection is closed: a program may drop the store where there is no runtime.
    runtime: Handle,
}

impl Listening {
    async fn begin(pool: &PgPool) -> Result<Self> {
        let own = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .max_lifetime(None)
            .idle_timeout(None)
            .connect_lazy_with((*pool.connect_options()).clone());
        let listener = PgListener::connect_with(&own).await.map_err(failed)?;
        let mut listening = Self {
            listener: Some(listener),
            runtime: Handle::current(),
        };
        let listener = listening.listener()?;
        // What came while nobody listened must not be missed without a word: the loss is told.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await.map_err(failed)?;
        Ok(listening)
    }

    fn listener(&mut self) -> Result<&mut PgListener> {
        self.listener.as_mut().ok_or_else(lost)
    }

    async fn head(&mut self) -> Result<EventId> {
        let listener = self.listener()?;
        let head = timeout(CONNECT_TIMEOUT, log::head(listener)).await;
        head.map_err(|_| lost())?
    }

    /// Waits for something to happen, or for long enough that it is worth a look.
    async fn wait(&mut self) -> Result<()> {
        let listener = self.listener()?;
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(Some(_))) => {
                // One look is enough for all of them.
                while listener.next_buffered().is_some() {}
                Ok(())
            }
            Ok(Ok(None)) => Err(lost()),
            Ok(Err(error)) => Err(failed(error)),
            Err(_) => Ok(()),
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _inside = self.runtime.enter();
        drop(self.listener.take());
    }
}

fn lost() -> Error {
    Error::new(
        ErrorCode::Unreachable,
        "the connection to the database is lost: it tells no more whether the log has grown",
    )
    .hint("check that the server runs, and look again")
}
