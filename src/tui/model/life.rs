//! The events of a row: of all that have been read where they stand on its page, and some of them whole. There may be a hundred thousand.

use std::collections::VecDeque;
use std::ops::Range;

use crate::eventsourcing::EventId;
use crate::eventsourcing::inspect::LifeEvent;

/// Events that are held whole at most: some screenfuls on both sides of what is in sight.
const HELD: usize = 200;

/// The events of a row, the latest first.
#[derive(Clone, Debug, Default)]
pub struct Life {
    /// Of each: its id, and how many lines it and those before it have.
    places: Vec<(EventId, usize)>,
    /// Some of them whole, one after the other.
    held: VecDeque<LifeEvent>,
    /// The place of the first of those.
    first: usize,
}

impl Life {
    /// How many have been read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether none has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// How many lines they have.
    #[must_use]
    pub fn lines(&self) -> usize {
        self.places.last().map_or(0, |(_, end)| *end)
    }

    /// The lines of the event at this place, counted from the first line of all.
    #[must_use]
    pub fn lines_of(&self, at: usize) -> Range<usize> {
        let end = |at: usize| self.places.get(at).map_or(0, |(_, end)| *end);
        at.checked_sub(1).map_or(0, end)..end(at)
    }

    /// The place of the event to which this line belongs.
    #[must_use]
    pub fn at_line(&self, line: usize) -> usize {
        self.places.partition_point(|(_, end)| *end <= line)
    }

    /// The id of the event at this place.
    #[must_use]
    pub fn id(&self, at: usize) -> Option<EventId> {
        self.places.get(at).map(|(id, _)| *id)
    }

    /// The place of the event of this id.
    #[must_use]
    pub fn place_of(&self, id: EventId) -> Option<usize> {
        let found = self.places.binary_search_by(|(one, _)| id.cmp(one));
        found.ok()
    }

    /// The event at this place, where it is held.
    #[must_use]
    pub fn get(&self, at: usize) -> Option<&LifeEvent> {
        self.held.get(at.checked_sub(self.first)?)
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Takes in earlier ones. Those that are held already stay as far as there is room beside these.
    pub fn extend(&mut self, events: Vec<LifeEvent>) {
        if self.first + self.held.len() != self.places.len() {
            self.held.clear();
        }
        if self.held.is_empty() {
            self.first = self.places.len();
        }
        let mut end = self.lines();
        for one in events {
            end += lines(&one);
            self.places.push((one.event.id, end));
            self.held.push_back(one);
        }
        let surplus = self.held.len().saturating_sub(HELD);
        self.held.drain(..surplus);
        self.first += surplus;
    }

    /// Takes in the latest events: those that have come go before the others. How many they are, and how many lines they have; `None` where more have come
    /// than these.
    pub fn renew(&mut self, events: &[LifeEvent]) -> Option<(usize, usize)> {
        let newest = self.id(0)?;
        let come = events.iter().take_while(|one| one.event.id > newest);
        let come: Vec<&LifeEvent> = come.collect();
        if come.len() == events.len() {
            return None;
        }
        let mut end = 0;
        let mut places: Vec<(EventId, usize)> = come
            .iter()
            .map(|one| {
                end += lines(one);
                (one.event.id, end)
            })
            .collect();
        places.extend(self.places.iter().map(|(id, before)| (*id, before + end)));
        self.places = places;
        self.first += come.len();
        Some((come.len(), end))
    }

    /// Where to read on so that the event at this place is held, with as many after it as before: before this id, and so many.
    #[must_use]
    pub fn around(&self, at: usize) -> Option<(EventId, usize)> {
        let first = at.saturating_sub(HELD / 2);
        Some((self.id(first)? + 1, HELD))
    }

    /// Holds these instead, which have been read before. Where they are others by now, nothing is held, and false comes back.
    pub fn hold(&mut self, events: Vec<LifeEvent>) -> bool {
        let first = events.first().and_then(|one| self.place_of(one.event.id));
        let Some(first) = first else {
            return false;
        };
        let mut places = (first..).zip(&events);
        let are_these = places.all(|(at, one)| {
            self.id(at) == Some(one.event.id) && self.lines_of(at).len() == lines(one)
        });
        if are_these {
            (self.held, self.first) = (events.into(), first);
        }
        are_these
    }
}

/// What is read of a row's life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LifeRead {
    /// The latest, in the place of what is there, or those before what has been read.
    #[default]
    Older,
    /// Some that have been read before, and were let go of or may read differently now.
    Again,
    /// The latest, before a long life of which the others stay.
    Latest,
}

/// How many lines an event has: its own, and one for each column that it changed.
fn lines(one: &LifeEvent) -> usize {
    1 + one.columns.len()
}
