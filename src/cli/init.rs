//! `ebb init`: an event store in a database.

use serde_json::json;

use super::End;
use super::args::{Global, Init};
use super::output::Output;
use crate::eventsourcing::{Error, ErrorCode, Result};
use crate::store::Made;
use crate::{config, store};

pub(super) async fn run(global: &Global, init: Init, output: &Output) -> Result<End> {
    if global.read_only {
        return Err(Error::new(
            ErrorCode::ReadOnly,
            "an event store cannot be made with --read-only",
        ));
    }
    let address = config::address(global.database.as_deref())?;
    let schema = init
        .schema
        .map(|file| {
            std::fs::read_to_string(&file).map_err(|error| {
                Error::new(
                    ErrorCode::Io,
                    format!("{} could not be read: {error}", file.display()),
                )
            })
        })
        .transpose()?;
    let Made { store, roles } =
        store::init(&address, &config::open_options(false)?, schema.as_deref()).await?;
    let tables = store.tables().await?;
    let tracked = tables.iter().filter(|table| table.key().is_some()).count();
    let events = store.head().await?;
    let location = store.info().location.clone();
    store.close().await;
    if output.is_json() {
        output.object(&json!({
            "database": location,
            "events": events,
            "tables": tables.len(),
            "tracked": tracked,
            "roles": roles,
        }))?;
    } else {
        output.note(&format!(
            "{location} has an event store: {events} events, {tracked} of {} tables take part",
            tables.len()
        ))?;
        if let Some(roles) = roles {
            output.note(&roles)?;
        }
    }
    Ok(End::Done)
}
