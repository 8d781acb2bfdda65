//! Events: what clients write, and what the log keeps of it.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::timestamp::{self, Timestamp};

/// A position in the log: 1, 2, 3 … without gaps, but for logs that another program wrote. 0 stands for "before the first event".
pub type EventId = i64;

/// One state of a row: its columns by name. An absent column is NULL.
pub type Row = Map<String, Value>;

/// What an event does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Makes a row that did not exist.
    Create,
    /// Changes columns of a row that exists.
    Update,
    /// Removes a row that exists.
    Delete,
    /// Opens a rollback.
    Rollback,
    /// Closes a rollback.
    RollbackEnd,
    /// Sets a row to exactly its data. Written only by a rollback.
    Restore,
}

impl EventKind {
    /// Every kind, in the order in which they are documented.
    pub const ALL: [Self; 6] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Rollback,
        Self::RollbackEnd,
        Self::Restore,
    ];

    /// The word in the event store's `event` column.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Rollback => "rollback",
            Self::RollbackEnd => "rollback-end",
            Self::Restore => "restore",
        }
    }

    /// Whether this is one of the two ends of a rollback, which concern no row.
    #[must_use]
    pub fn is_marker(self) -> bool {
        matches!(self, Self::Rollback | Self::RollbackEnd)
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownEventKind(text.to_owned()))
    }
}

/// A word that names no kind of event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no event kind \"{0}\": it is create, update, delete or rollback")]
pub struct UnknownEventKind(pub String);

/// A row: the table, as events name it (`molecule`, or `schema.table` outside `public`),
/// and the value of the table's primary key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RowKey {
    /// The table.
    pub table: String,
    /// The primary key.
    pub uuid: Uuid,
}

impl fmt::Display for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.table, self.uuid)
    }
}

/// One event of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its position: id order is commit order is the order in which events took effect.
    pub id: EventId,
    /// What it does.
    pub kind: EventKind,
    /// The row it concerns; `None` for the two ends of a rollback.
    pub row: Option<RowKey>,
    /// What the client asked for.
    pub data: Row,
    /// When. Events of one transaction share it; the next transaction's is strictly later.
    pub timestamp: Timestamp,
    /// The moment that the row's time columns take from it: its own timestamp, or for an event that a
    /// rollback repeats, the original's.
    pub stamp: Timestamp,
    /// The columns whose stored value differs from what the rules make of `data`:
    /// defaults, generated values, rounding, what the table's own triggers set.
    pub filled: Option<Row>,
    /// Who: the role that wrote it, and after a slash the person's name if given.
    pub actor: String,
    /// For an event that a rollback repeats or restores: the event it comes from.
    pub origin: Option<EventId>,
}

impl Event {
    /// The event as one JSON object, with the field names of the command line's contract.
    #[must_use]
    pub fn to_json(&self, undone_by: Option<EventId>) -> Value {
        json!({
            "id": self.id,
            "event": self.kind.as_str(),
            "type": self.row.as_ref().map(|row| row.table.as_str()),
            "uuid": self.row.as_ref().map(|row| row.uuid.to_string()),
            "data": self.data,
            "filled": self.filled,
            "timestamp": timestamp::format(self.timestamp),
            "actor": self.actor,
            "origin": self.origin,
            "undone_by": undone_by,
        })
    }
}

/// A create, an update or a delete that a client asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct NewEvent {
    /// `Create`, `Update` or `Delete`; the store refuses the others.
    pub kind: EventKind,
    /// The table, as events name it.
    pub table: String,
    /// The row; a create without one gets a new one.
    pub uuid: Option<Uuid>,
    /// The columns.
    pub data: Row,
    /// A timestamp of the client's own, for which it needs the right to import.
    pub timestamp: Option<Timestamp>,
}

impl fmt::Display for NewEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.table)?;
        match self.uuid {
            Some(uuid) => write!(f, " {uuid}"),
            None => Ok(()),
        }
    }
}
