//! `ebb create`, `update`, `delete`: one event.

use super::output::Output;
use super::{End, check_writable, log, parse, waiting};
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::{Event, EventKind, EventStore, NewEvent, Result, Row};

pub(super) async fn create(
    store: &dyn EventStore,
    table: String,
    data: &str,
    output: &Output,
) -> Result<End> {
    let data = parse::object(data)?;
    append_one(store, EventKind::Create, table, None, data, output).await
}

pub(super) async fn update(
    store: &dyn EventStore,
    table: String,
    uuid: &str,
    data: &str,
    output: &Output,
) -> Result<End> {
    let (uuid, data) = (parse::uuid(uuid)?, parse::object(data)?);
    append_one(store, EventKind::Update, table, Some(uuid), data, output).await
}

pub(super) async fn delete(
    store: &dyn EventStore,
    table: String,
    uuid: &str,
    output: &Output,
) -> Result<End> {
    let uuid = parse::uuid(uuid)?;
    append_one(
        store,
        EventKind::Delete,
        table,
        Some(uuid),
        Row::new(),
        output,
    )
    .await
}

async fn append_one(
    store: &dyn EventStore,
    kind: EventKind,
    table: String,
    uuid: Option<uuid::Uuid>,
    data: Row,
    output: &Output,
) -> Result<End> {
    check_writable(store)?;
    let event = NewEvent {
        kind,
        table,
        uuid,
        data,
        timestamp: None,
    };
    let appended = waiting::told(store, output, store.append(vec![event])).await?;
    print(&appended, output)?;
    Ok(End::Done)
}

/// What was appended: the events asked for, and those of the rows that they took along.
pub(super) fn print(events: &[Event], output: &Output) -> Result<()> {
    for event in events {
        match output.is_json() {
            true => output.object(&event.to_json(None))?,
            false => output.line(&log::line(event, None, Standing::Effective))?,
        }
    }
    Ok(())
}
