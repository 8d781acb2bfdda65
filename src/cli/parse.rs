//! Reading what a person typed.

use std::io::Read;

use serde_json::Value;
use uuid::Uuid;

use crate::eventsourcing::timestamp::{self, Timestamp};
use crate::eventsourcing::{Error, ErrorCode, EventId, EventStore, Result, Row};

/// A moment.
pub(super) fn timestamp(text: &str) -> Result<Timestamp> {
    timestamp::parse_typed(text).ok_or_else(|| {
        Error::new(
            ErrorCode::BadTimestamp,
            format!("\"{text}\" is no timestamp"),
        )
        .hint("write it like 2020-02-17T03:09:59.145749; without a zone it is UTC")
    })
}

/// The last moment of a time that is given as its end: of a day, its last microsecond.
pub(super) fn until(text: &str) -> Result<Timestamp> {
    let moment = timestamp(text)?;
    Ok(timestamp::last_moment(text, moment))
}

/// A uuid.
pub(super) fn uuid(text: &str) -> Result<Uuid> {
    Uuid::parse_str(text).map_err(|_| {
        Error::new(ErrorCode::BadUuid, format!("\"{text}\" is no uuid"))
            .hint("a uuid has 32 hexadecimal digits, like 0e0e76e9-6f2f-40fd-84e4-cdcc05de0f8e")
    })
}

/// The beginning of a uuid, or a whole one, in lower case.
pub(super) fn uuid_prefix(text: &str) -> Result<String> {
    let prefix = text.to_lowercase();
    let hexadecimal = prefix.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    match hexadecimal && !prefix.is_empty() && prefix.len() <= 36 {
        true => Ok(prefix),
        false => uuid(text).map(|uuid| uuid.to_string()),
    }
}

/// A JSON object: the argument itself, or standard input for `-`.
pub(super) fn object(argument: &str) -> Result<Row> {
    let mut text = String::new();
    if argument == "-" {
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| {
                Error::new(
                    ErrorCode::Io,
                    format!("standard input could not be read: {error}"),
                )
            })?;
    } else {
        argument.clone_into(&mut text);
    }
    match serde_json::from_str(&text) {
        Ok(Value::Object(row)) => Ok(row),
        Ok(other) => Err(Error::new(
            ErrorCode::BadData,
            format!("the data must be a JSON object, not {other}"),
        )
        .hint(r#"write it like {"smiles": "ABC"}"#)),
        Err(error) => Err(Error::new(
            ErrorCode::BadJson,
            format!("the data is no valid JSON: {error}"),
        )
        .hint(r#"write it like '{"smiles": "ABC"}', in single quotes for the shell"#)),
    }
}

/// A position: an event, which means right after it, or a moment.
pub(super) async fn position(store: &dyn EventStore, head: EventId, text: &str) -> Result<EventId> {
    match text.trim_start_matches('#').parse() {
        Ok(id) => existing(head, id),
        // What came after the head was read is left out.
        Err(_) => Ok(store.position_through(timestamp(text)?).await?.min(head)),
    }
}

/// A position that there is.
pub(super) fn existing(head: EventId, id: EventId) -> Result<EventId> {
    match (0..=head).contains(&id) {
        true => Ok(id),
        false => Err(Error::new(
            ErrorCode::UnknownEvent,
            format!("there is no event #{id} in the log"),
        )
        .hint(format!(
            "its events are #1 to #{head}; 0 is before the first"
        ))),
    }
}
