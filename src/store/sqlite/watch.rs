//! Waiting for the log to grow.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::time::sleep;

use super::error::failed;
use super::log;
use crate::eventsourcing::{EventId, Result};

/// How often the file is looked at. SQLite tells nobody when it is written to.
const INTERVAL: Duration = Duration::from_millis(250);

/// Keeps the connection that looks for the next time. It only reads, so every write there is, of this program too, is for it
/// one of another connection's.
#[derive(Default)]
pub(super) struct Watch {
    kept: Mutex<Option<SqliteConnection>>,
}

impl Watch {
    /// Waits until the head is another than this one. Given up in the middle, it closes its connection.
    pub(super) async fn next_head(
        &self,
        options: &SqliteConnectOptions,
        known: EventId,
    ) -> Result<EventId> {
        let kept = self.take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => options.connect().await.map_err(failed)?,
        };
        let mut seen = None;
        loop {
            // A number that is another one when another connection has written: cheaper than asking the log.
            let version: i64 = sqlx::query_scalar("PRAGMA data_version")
                .fetch_one(&mut connection)
                .await
                .map_err(failed)?;
            if seen != Some(version) {
                seen = Some(version);
                let head = log::head(&mut connection).await?;
                if head != known {
                    let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                    *kept = Some(connection);
                    return Ok(head);
                }
            }
            sleep(INTERVAL).await;
        }
    }

    /// Lets go of the connection.
    pub(super) fn close(&self) {
        drop(self.take());
    }

    fn take(&self) -> Option<SqliteConnection> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.take()
    }
}
