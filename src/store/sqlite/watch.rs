//! Waiting for the log to grow.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, SqliteConnection};
use tokio::time::sleep;

use super::error::failed;
use super::log;
use crate::eventsourcing::{Error, ErrorCode, EventId, Result};

/// How often the file is looked at. SQLite tells nobody when it is written to.
const INTERVAL: Duration = Duration::from_millis(250);

/// Which file it is, whatever its name. Connections that are open go on with theirs when another one gets its name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Identity {
    #[cfg(unix)]
    device: u64,
    #[cfg(unix)]
    number: u64,
}

impl Identity {
    fn of(path: &Path) -> std::io::Result<Self> {
        let found = std::fs::metadata(path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            Ok(Self {
                device: found.dev(),
                number: found.ino(),
            })
        }
        #[cfg(not(unix))]
        {
            drop(found);
            Ok(Self {})
        }
    }
}

/// The file that was opened.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    path: PathBuf,
    identity: Identity,
}

impl Opened {
    /// The file of this name, as it is now.
    pub(super) fn new(path: &Path) -> Result<Self> {
        let identity = Identity::of(path).map_err(|error| gone(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            identity,
        })
    }

    /// Fails where another file has its name now, or none: what is shown would not be what is written to.
    pub(super) fn check(&self) -> Result<()> {
        let now = Identity::of(&self.path).map_err(|error| gone(&self.path, &error))?;
        if now == self.identity {
            return Ok(());
        }
        let message = format!(
            "{} is another file now than the one that was opened",
            self.path.display()
        );
        let hint =
            "somebody has replaced it; what is shown is the old one: leave, and open it again";
        Err(Error::new(ErrorCode::Io, message).hint(hint))
    }
}

fn gone(path: &Path, error: &std::io::Error) -> Error {
    let message = format!("the file {} is not there any more: {error}", path.display());
    let hint = "somebody has removed or renamed it; what is shown is the old one";
    Error::new(ErrorCode::FileNotFound, message).hint(hint)
}

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
        opened: &Opened,
        known: EventId,
    ) -> Result<EventId> {
        opened.check()?;
        let kept = self.take();
        let mut connection = match kept {
            Some(connection) => connection,
            None => options.connect().await.map_err(failed)?,
        };
        let mut seen = None;
        loop {
            opened.check()?;
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
