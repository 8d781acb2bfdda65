//! The event store on postgres.

use std::sync::Arc;

use super::OpenOptions;
use crate::eventsourcing::{EventStore, Result};

pub(super) async fn open(_url: &str, _options: &OpenOptions) -> Result<Arc<dyn EventStore>> {
    unimplemented!()
}

pub(super) async fn init(
    _url: &str,
    _options: &OpenOptions,
    _schema: Option<&str>,
) -> Result<Arc<dyn EventStore>> {
    unimplemented!()
}
