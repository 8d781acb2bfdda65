//! Looking through the log: filters, and pages that are addressed by id, so that depth costs nothing.

use super::event::{Event, EventId, EventKind};
use super::timestamp::Timestamp;

/// Which events to show. Every condition given must hold; the default shows all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Events of this table.
    pub table: Option<String>,
    /// Events of this kind.
    pub kind: Option<EventKind>,
    /// Rows whose uuid, in lower-case text, begins with this.
    pub uuid_prefix: Option<String>,
    /// Actors that contain this, whatever the case of its letters; or with a `=` before it, exactly this one.
    pub actor: Option<String>,
    /// Events at this moment or later.
    pub since: Option<Timestamp>,
    /// Events at this moment or earlier.
    pub until: Option<Timestamp>,
    /// Events whose data contains this text, whatever the case of its letters; where it has eight digits of a uuid or more, also those of rows whose uuid
    /// begins so.
    pub search: Option<String>,
}

impl Filter {
    /// Whether it shows every event.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The actor who is meant exactly.
    #[must_use]
    pub fn exact_actor(&self) -> Option<&str> {
        self.actor.as_ref()?.strip_prefix('=')
    }

    /// The beginning of a uuid that the text may be, in small letters.
    #[must_use]
    pub fn uuid_searched(&self) -> Option<String> {
        let is_digit = |(at, c): (usize, char)| match at {
            8 | 13 | 18 | 23 => c == '-',
            _ => c.is_ascii_hexdigit(),
        };
        let text = self.search.as_ref()?;
        let is_uuid = (8..=36).contains(&text.len()) && text.chars().enumerate().all(is_digit);
        is_uuid.then(|| text.to_lowercase())
    }
}

/// Which way a page continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Towards the first event.
    Older,
    /// Towards the latest event.
    Newer,
}

/// How much of each event's data to bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// All of it.
    Whole,
    /// None of what is larger than [`SUMMARY_LIMIT`]: a list must not fetch a spectrum to show its name.
    Summary,
}

/// Data of more bytes than this is left out of a summary. As stored: compressed, where the database
/// compresses.
pub const SUMMARY_LIMIT: i64 = 16 * 1024;

/// A request for one page of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Which events.
    pub filter: Filter,
    /// The event next to the page, itself not in it. `None` begins at the end that the direction
    /// comes from: the latest event for `Older`, the first for `Newer`.
    pub from: Option<EventId>,
    /// The last event that is looked at, itself included; none further in the direction is. `None` looks through to
    /// the end. So that a long log can be searched piece by piece.
    pub until: Option<EventId>,
    /// Which way to go from there.
    pub direction: Direction,
    /// How many events at most.
    pub limit: usize,
    /// How much of each.
    pub detail: Detail,
}

/// An event as a page has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The event; its `data` and `filled` are empty when `left_out` says so.
    pub event: Event,
    /// The size in bytes of the data that a summary left out.
    pub left_out: Option<u64>,
}

/// One page of the log, in the order of the direction asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Page {
    /// The events.
    pub entries: Vec<Entry>,
    /// Whether the direction has more, as far as the request looks.
    pub more: bool,
}
