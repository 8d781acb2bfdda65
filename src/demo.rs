//! The Mad Lab: a small chemistry laboratory's database, to try everything on.

use serde::Deserialize;

use crate::eventsourcing::store::Backend;
use crate::eventsourcing::{
    Error, ErrorCode, EventKind, EventStore, NewEvent, Result, Row, timestamp,
};

/// The SQL that makes its eleven tables.
#[must_use]
pub fn schema(backend: Backend) -> &'static str {
    match backend {
        Backend::Sqlite => include_str!("../assets/mad-lab/sqlite.sql"),
        Backend::Postgres => concat!(
            include_str!("../assets/mad-lab/postgres.sql"),
            "\n",
            include_str!("../migrations/synthesis_hid_postgres.sql")
        ),
    }
}

/// One line of the story.
#[derive(Deserialize)]
struct Line {
    event: String,
    r#type: String,
    uuid: uuid::Uuid,
    data: Row,
    timestamp: String,
}

/// Its 18 events, with their uuids and timestamps.
///
/// # Errors
/// `BadJson` when the story that is built in cannot be read.
pub fn story() -> Result<Vec<NewEvent>> {
    let unreadable = |what: String| {
        Error::new(
            ErrorCode::BadJson,
            format!("the demo's story cannot be read: {what}"),
        )
    };
    include_str!("../assets/mad-lab/story.jsonl")
        .lines()
        .map(|line| {
            let line: Line =
                serde_json::from_str(line).map_err(|error| unreadable(error.to_string()))?;
            let kind: EventKind = line
                .event
                .parse()
                .map_err(|_| unreadable(line.event.clone()))?;
            Ok(NewEvent {
                kind,
                table: line.r#type,
                uuid: Some(line.uuid),
                data: line.data,
                timestamp: Some(
                    timestamp::parse(&line.timestamp)
                        .ok_or_else(|| unreadable(line.timestamp.clone()))?,
                ),
            })
        })
        .collect()
}

/// Tells the story to a store that has its tables and no events.
///
/// # Errors
/// The store's.
pub async fn tell(store: &dyn EventStore) -> Result<()> {
    store.append(story()?).await.map(drop)
}
