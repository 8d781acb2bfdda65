//! `ebb append`: many events, in one transaction.

use std::io::Read;
use std::path::Path;

use serde_json::Value;

use super::output::Output;
use super::{End, change, check_writable, parse, waiting};
use crate::eventsourcing::{Error, ErrorCode, EventKind, EventStore, NewEvent, Result, Row};

/// What only the store can fill. Null is allowed, so that what `ebb log --json` prints can be edited and appended.
const RESERVED: [&str; 6] = ["id", "filled", "actor", "origin", "hash", "undone_by"];

pub(super) async fn run(store: &dyn EventStore, file: &Path, output: &Output) -> Result<End> {
    check_writable(store)?;
    let text = read(file)?;
    let mut events = Vec::new();
    for (at, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        events.push(event(line).map_err(|error| Error {
            message: format!("line {}: {}", at + 1, error.message),
            ..error
        })?);
    }
    let appended = waiting::told(store, output, store.append(events)).await?;
    change::print(&appended, output)?;
    Ok(End::Done)
}

fn read(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let (name, read) = match file.to_str() {
        Some("-") => (
            "standard input".to_owned(),
            std::io::stdin().read_to_end(&mut bytes),
        ),
        _ => (
            file.display().to_string(),
            std::fs::File::open(file).and_then(|mut file| file.read_to_end(&mut bytes)),
        ),
    };
    read.map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::NotFound => ErrorCode::FileNotFound,
            _ => ErrorCode::Io,
        };
        Error::new(code, format!("{name} could not be read: {error}"))
    })?;
    String::from_utf8(bytes).map_err(|error| {
        Error::new(
            ErrorCode::BadJson,
            format!("{name} is no UTF-8 text: {}", error.utf8_error()),
        )
    })
}

/// One line.
fn event(line: &str) -> Result<NewEvent> {
    let value: Value = serde_json::from_str(line).map_err(|error| {
        Error::new(ErrorCode::BadJson, format!("it is no valid JSON: {error}"))
            .hint("give one JSON object a line")
    })?;
    let Value::Object(mut fields) = value else {
        return Err(Error::new(
            ErrorCode::BadData,
            "an event must be a JSON object",
        )
        .hint(r#"write it like {"event": "create", "type": "molecule", "data": {"smiles": "ABC"}}"#));
    };
    for name in RESERVED {
        if fields
            .shift_remove(name)
            .is_some_and(|given| !given.is_null())
        {
            return Err(Error::new(
                ErrorCode::ReservedField,
                format!("\"{name}\" is the event store's to give"),
            )
            .hint("leave it out"));
        }
    }
    let kind = text(&mut fields, "event")?.unwrap_or_default();
    let event = NewEvent {
        kind: kind
            .parse::<EventKind>()
            .map_err(|error| Error::new(ErrorCode::UnknownEventKind, error.to_string()))?,
        table: text(&mut fields, "type")?.ok_or_else(|| {
            Error::new(
                ErrorCode::BadData,
                "the type, which is the table, is missing",
            )
        })?,
        uuid: text(&mut fields, "uuid")?
            .as_deref()
            .map(parse::uuid)
            .transpose()?,
        timestamp: text(&mut fields, "timestamp")?
            .as_deref()
            .map(parse::timestamp)
            .transpose()?,
        data: match fields.shift_remove("data") {
            None | Some(Value::Null) => Row::new(),
            Some(Value::Object(data)) => data,
            Some(other) => {
                return Err(Error::new(
                    ErrorCode::BadData,
                    format!("data must be a JSON object, not {other}"),
                ));
            }
        },
    };
    match fields.keys().next() {
        None => Ok(event),
        Some(unknown) => Err(Error::new(
            ErrorCode::BadData,
            format!("an event has no field \"{unknown}\""),
        )
        .hint("its fields are event, type, uuid, data and timestamp")),
    }
}

fn text(fields: &mut Row, name: &str) -> Result<Option<String>> {
    match fields.shift_remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(Error::new(
            ErrorCode::BadData,
            format!("\"{name}\" must be text, not {other}"),
        )),
    }
}
