//! The event store on sqlite.

use std::sync::Arc;

use super::OpenOptions;
use crate::eventsourcing::{EventStore, Result};

pub(super) async fn open(
    _path: &std::path::Path,
    _options: &OpenOptions,
) -> Result<Arc<dyn EventStore>> {
    unimplemented!()
}

pub(super) async fn init(
    _path: &std::path::Path,
    _options: &OpenOptions,
    _schema: Option<&str>,
) -> Result<Arc<dyn EventStore>> {
    unimplemented!()
}
