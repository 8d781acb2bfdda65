//! The screens.

use std::sync::Arc;

use crate::eventsourcing::{EventStore, Result};

/// Opens the screens.
pub async fn run(_store: Arc<dyn EventStore>) -> Result<()> {
    Ok(())
}
