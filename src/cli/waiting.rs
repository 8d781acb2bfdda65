//! Saying whom a write waits for.

use std::time::Duration;

use super::output::Output;
use crate::eventsourcing::{EventStore, Result};

/// How long a wait is too short to speak of, and how often it is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// Does the work, and says on standard error who holds the writer's lock while it takes long.
pub(super) async fn told<T>(
    store: &dyn EventStore,
    output: &Output,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::pin!(work);
    let mut last = None;
    loop {
        tokio::select! {
            done = &mut work => return done,
            () = tokio::time::sleep(INTERVAL) => {
                // A question that fails is no reason to give up the work, which tells of its own failure.
                if let Ok(Some(writer)) = store.writer().await
                    && last.as_ref() != Some(&writer)
                {
                    output.aside(&format!("waiting for {writer}"));
                    last = Some(writer);
                }
            }
        }
    }
}
