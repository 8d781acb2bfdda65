//! Carrying out what was confirmed.

use super::{ConfirmedRollback, Control, RollbackOutcome};
use crate::eventsourcing::error::{Error, ErrorCode, Result};
use crate::eventsourcing::store::EventStore;

/// Carries out a confirmed rollback. With nothing after the target, nothing is appended.
///
/// # Errors
/// Those of [`EventStore::execute`].
pub async fn execute(
    store: &dyn EventStore,
    rollback: &ConfirmedRollback,
    control: &Control,
) -> Result<RollbackOutcome> {
    if let Some(reason) = &store.info().read_only {
        return Err(Error::new(
            ErrorCode::ReadOnly,
            format!("{} is open for reading only: {reason}", store.info().name),
        ));
    }
    if rollback.plan().is_empty() {
        return Ok(RollbackOutcome {
            rollback: None,
            rollback_end: None,
            events_appended: 0,
            keeps_through: rollback.plan().keeps_through,
            strategy: rollback.plan().strategy(),
        });
    }
    store.execute(rollback, control).await
}
