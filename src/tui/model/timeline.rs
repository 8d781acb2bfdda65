//! The events that are held.

use std::collections::VecDeque;

use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::strip::Strip;
use crate::eventsourcing::timeline::{Direction, Entry, Filter};
use crate::eventsourcing::{Event, EventId, EventKind, Row};
use crate::text::{clipped, summary};
use crate::tui::effect::RequestId;

/// Where a page of events goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Next to what is there.
    Beside(Direction),
    /// Instead of what is there; the cursor goes to its newest event, or to its oldest.
    Instead(Direction),
    /// Instead of what is there, and oldest first from before this event on; the cursor goes to it, or to the nearest.
    Around(EventId),
    /// The same, with the cursor in the middle of the list wherever it was.
    Centred(EventId),
    /// The same; where the filter hides the event, all are shown again.
    Exactly(EventId),
}

/// How many events the filter shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Matches {
    /// The request for the count.
    pub request: RequestId,
    /// Those counted so far.
    pub count: u64,
    /// Whether that is all.
    pub is_all: bool,
}

/// Cells of a value in a summary.
const VALUE: usize = 24;

/// Cells of a summary: more than any list shows.
const SUMMARY: usize = 300;

/// An event as the list has it: what it holds is kept as the list shows it, and read again where it is looked at.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The event, without its data.
    pub event: Event,
    /// Its data in one line.
    pub summary: String,
}

impl From<Entry> for Listed {
    fn from(entry: Entry) -> Self {
        let mut event = entry.event;
        let summary = match entry.left_out {
            Some(bytes) => format!("({bytes} bytes)"),
            None => clipped(&summary(&event.data, VALUE), SUMMARY),
        };
        event.data = Row::new();
        event.filled = None;
        Self { event, summary }
    }
}

/// A part of the log, newest first.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Which events are shown.
    pub filter: Filter,
    /// The same as it was typed.
    pub filter_text: String,
    /// How many they are.
    pub matches: Option<Matches>,
    /// The events.
    pub entries: VecDeque<Listed>,
    /// Where reading on goes on towards the latest event, itself not in it; `None` when the latest is held.
    pub newer_from: Option<EventId>,
    /// Where it goes on towards the first event; `None` when the first is held, or nothing is.
    pub older_from: Option<EventId>,
    /// Whether reading on was cancelled: until the next key.
    pub paused: bool,
    /// The event under the cursor, counted in `entries`.
    pub cursor: usize,
    /// The event in the first line.
    pub top: usize,
    /// Whether that page is where the cursor goes, and not the same place read anew.
    pub goes: bool,
    /// The page that is being read, and where it will go.
    pub wanted: Option<(RequestId, Place)>,
    /// How far the page that is being read, or was read last, looks; `None` as far as it takes.
    pub searched_until: Option<EventId>,
    /// Whether a page has been read, which may have been empty.
    pub is_read: bool,
    /// Whether the filter has changed since, so that the events are those of the one before.
    pub is_of_before: bool,
    /// The head up to which events were there when the last key was pressed: later ones are marked.
    pub seen_head: Option<EventId>,
    /// The newest event that was ever in sight.
    pub seen_newest: EventId,
    /// Whether the cursor stays at the newest event.
    pub follows: bool,
    /// Whether a narrow list too shows who made each event.
    pub shows_actors: bool,
    /// The event under the cursor, looked at closely; stays until the next one's is read.
    pub detail: Option<Inspection>,
    /// Whether that was read before the log changed.
    pub detail_stale: bool,
    /// The event that is being looked at.
    pub detail_wanted: Option<(RequestId, EventId)>,
    /// Where the event is shown over the whole screen, how far it is scrolled.
    pub opened: Option<usize>,
    /// When things happened.
    pub strip: Option<Strip>,
    /// The request for that.
    pub strip_wanted: Option<RequestId>,
    /// The request for the position of a moment to which the cursor goes.
    pub locate_wanted: Option<RequestId>,
    /// Tables, and actors, that were seen: what the filter's line suggests.
    pub seen_tables: Vec<String>,
    /// See there.
    pub seen_actors: Vec<String>,
}

impl Timeline {
    /// The event under the cursor.
    #[must_use]
    pub fn selected(&self) -> Option<&Listed> {
        self.entries.get(self.cursor)
    }

    /// Whether the events are still those of the filter before, because those that this one shows could not be read.
    #[must_use]
    pub fn has_failed_to_follow(&self) -> bool {
        self.is_of_before && self.wanted.is_none()
    }

    /// Whether the first of the entries is the latest that the filter shows.
    #[must_use]
    pub fn has_newest(&self) -> bool {
        self.is_read && self.newer_from.is_none()
    }

    /// Whether the last of them is the first that it shows.
    #[must_use]
    pub fn has_oldest(&self) -> bool {
        self.is_read && self.older_from.is_none()
    }

    /// Whether the events at these two places are of one transaction.
    #[must_use]
    pub fn is_one_transaction(&self, a: usize, b: usize) -> bool {
        let (a, b) = (self.entries.get(a), self.entries.get(b));
        a.zip(b)
            .is_some_and(|(a, b)| a.event.timestamp == b.event.timestamp)
    }

    /// The events that came after the last key was pressed, as far as they are held.
    #[must_use]
    pub fn is_new(&self, entry: &Listed) -> bool {
        self.seen_head.is_some_and(|head| entry.event.id > head)
    }

    /// What may stand behind a key of the filter.
    #[must_use]
    pub fn suggestions(&self, key: &str) -> Vec<String> {
        match key {
            "type" => self.seen_tables.clone(),
            "actor" => self.seen_actors.clone(),
            "event" => EventKind::ALL.map(|kind| kind.as_str().to_owned()).to_vec(),
            _ => Vec::new(),
        }
    }
}
