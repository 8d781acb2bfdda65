//! Which events are effective: what rollbacks undid, and what undoing them brought back.
//!
//! E(n) is the set of events effective at position n. An ordinary event adds itself; the end of a
//! rollback R to position p makes it E(p) ∪ {R}. Only the rollbacks have to be known to compute it:
//! E(n) is a short chain of ranges of ids, however long the log is.

use std::ops::RangeInclusive;

use super::error::{Error, ErrorCode, Result};
use super::event::{EventId, Row};
use super::rollback::Strategy;
use super::timestamp::Timestamp;

/// One rollback that the log records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Its `rollback` event.
    pub id: EventId,
    /// Its `rollback-end` event. All between is its bookkeeping.
    pub end: EventId,
    /// The last event it keeps; 0 when it keeps none.
    pub keeps_through: EventId,
    /// How it was written.
    pub strategy: Strategy,
    /// Why, if somebody said.
    pub reason: Option<String>,
    /// The rollback that this one undoes.
    pub undoes: Option<EventId>,
    /// The undo that this one takes back.
    pub redoes: Option<EventId>,
    /// When.
    pub timestamp: Timestamp,
    /// Who.
    pub actor: String,
}

impl Rollback {
    /// Reads it from its `rollback` event, and from where that event and its end stand in the log.
    ///
    /// # Errors
    /// `Database` when the marker names a strategy that there is not: this program never wrote it.
    pub fn from_marker(
        (id, end, keeps_through): (EventId, EventId, EventId),
        data: &Row,
        timestamp: Timestamp,
        actor: String,
    ) -> Result<Self> {
        let strategy = match data.get("strategy") {
            None => Strategy::Replay,
            Some(name) => name.as_str().unwrap_or_default().parse().map_err(|_| {
                Error::new(
                    ErrorCode::Database,
                    format!("rollback #{id} names a strategy that ebb does not know: {name}"),
                )
            })?,
        };
        let number = |key: &str| data.get(key).and_then(serde_json::Value::as_i64);
        let reason = data.get("reason").and_then(serde_json::Value::as_str);
        Ok(Self {
            id,
            end,
            keeps_through,
            strategy,
            reason: reason.map(str::to_owned),
            undoes: number("undoes"),
            redoes: number("redoes"),
            timestamp,
            actor,
        })
    }
}

/// An event's standing at the head of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It counts.
    Effective,
    /// This rollback, which is in effect, has undone it.
    UndoneBy(EventId),
    /// This rollback wrote it: one of its deletes, restores and repeats, or its end.
    BookkeepingOf(EventId),
}

impl Standing {
    /// The rollback that has undone the event, if one has.
    #[must_use]
    pub fn undone_by(self) -> Option<EventId> {
        match self {
            Self::UndoneBy(rollback) => Some(rollback),
            Self::Effective | Self::BookkeepingOf(_) => None,
        }
    }
}

/// Ranges of ids, ascending, apart from each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<RangeInclusive<EventId>>);

impl Ranges {
    /// The ids from `first` to `last`, both included.
    #[must_use]
    pub fn of(first: EventId, last: EventId) -> Self {
        Self(
            (first <= last)
                .then_some(first..=last)
                .into_iter()
                .collect(),
        )
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (EventId, EventId)> + '_ {
        self.0.iter().map(|range| (*range.start(), *range.end()))
    }

    /// Whether no id is in them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this id is in them.
    #[must_use]
    pub fn contains(&self, id: EventId) -> bool {
        let after = self.0.partition_point(|range| *range.end() < id);
        self.0.get(after).is_some_and(|range| range.contains(&id))
    }

    /// The ids in these and not in the others.
    #[must_use]
    pub fn minus(&self, others: &Self) -> Self {
        let mut cuts: Vec<EventId> = self
            .iter()
            .chain(others.iter())
            .flat_map(|(first, last)| [first, last + 1])
            .collect();
        cuts.sort_unstable();
        cuts.dedup();
        let mut left = Self::default();
        for piece in cuts.windows(2) {
            if self.contains(piece[0]) && !others.contains(piece[0]) {
                left.push(piece[0], piece[1] - 1);
            }
        }
        left
    }

    /// The ids in either.
    #[must_use]
    pub fn union(&self, others: &Self) -> Self {
        let mut all: Vec<_> = self.iter().chain(others.iter()).collect();
        all.sort_unstable();
        let mut union = Self::default();
        for (first, last) in all {
            union.push(first, last);
        }
        union
    }

    /// Adds a range that begins no earlier than the last one does.
    fn push(&mut self, first: EventId, last: EventId) {
        if let Some(previous) = self.0.last_mut()
            && *previous.end() + 1 >= first
        {
            let last = last.max(*previous.end());
            *previous = *previous.start()..=last;
        } else if first <= last {
            self.0.push(first..=last);
        }
    }
}

/// Every rollback of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    rollbacks: Vec<Rollback>,
}

impl History {
    /// The history that these rollbacks make, which are in id order.
    #[must_use]
    pub fn new(rollbacks: Vec<Rollback>) -> Self {
        debug_assert!(rollbacks.windows(2).all(|two| two[0].end < two[1].id));
        Self { rollbacks }
    }

    /// Every rollback, oldest first.
    #[must_use]
    pub fn rollbacks(&self) -> &[Rollback] {
        &self.rollbacks
    }

    /// E(n): ordinary events and rollbacks that are effective at position `n`. Whether an id in it
    /// is an event that changes rows or a rollback's marker, the event itself says.
    #[must_use]
    pub fn effective_at(&self, n: EventId) -> Ranges {
        let mut ranges: Vec<RangeInclusive<EventId>> = Vec::new();
        let mut position = n;
        for rollback in self.in_effect_at(n) {
            if rollback.end < position {
                ranges.push(rollback.end + 1..=position);
            }
            ranges.push(rollback.id..=rollback.id);
            position = rollback.keeps_through;
        }
        if position > 0 {
            ranges.push(1..=position);
        }
        ranges.reverse();
        let mut merged = Ranges::default();
        for range in ranges {
            merged.push(*range.start(), *range.end());
        }
        merged
    }

    /// The rollbacks in effect at position `n`, latest first.
    pub fn in_effect_at(&self, n: EventId) -> impl Iterator<Item = &Rollback> {
        let mut position = n;
        std::iter::from_fn(move || {
            let completed = self.rollbacks.partition_point(|r| r.end <= position);
            let rollback = self.rollbacks.get(completed.checked_sub(1)?)?;
            position = rollback.keeps_through;
            Some(rollback)
        })
    }

    /// The rollback whose bookkeeping the event at this position is.
    #[must_use]
    pub fn written_by(&self, id: EventId) -> Option<&Rollback> {
        let after = self.rollbacks.partition_point(|r| r.end < id);
        self.rollbacks.get(after).filter(|r| r.id < id)
    }

    /// The standing of an event when the log ends at `head`.
    #[must_use]
    pub fn standing(&self, head: EventId, id: EventId) -> Standing {
        if let Some(rollback) = self.written_by(id) {
            return Standing::BookkeepingOf(rollback.id);
        }
        self.in_effect_at(head)
            .find(|rollback| (rollback.keeps_through + 1..rollback.id).contains(&id))
            .map_or(Standing::Effective, |rollback| {
                Standing::UndoneBy(rollback.id)
            })
    }

    /// The latest rollback in effect that is neither an undo nor a redo: what `undo` takes.
    #[must_use]
    pub fn latest_to_undo(&self, head: EventId) -> Option<&Rollback> {
        self.in_effect_at(head)
            .find(|rollback| rollback.undoes.is_none() && rollback.redoes.is_none())
    }

    /// The latest undo in effect: what `redo` takes back.
    #[must_use]
    pub fn latest_to_redo(&self, head: EventId) -> Option<&Rollback> {
        self.in_effect_at(head)
            .find(|rollback| rollback.undoes.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventsourcing::timestamp;

    fn rollback(id: EventId, end: EventId, keeps_through: EventId) -> Rollback {
        Rollback {
            id,
            end,
            keeps_through,
            strategy: Strategy::Minimal,
            reason: None,
            undoes: None,
            redoes: None,
            timestamp: timestamp::parse("2020-01-01").expect("a moment"),
            actor: "tga".to_owned(),
        }
    }

    fn ids(ranges: &Ranges) -> Vec<EventId> {
        ranges
            .iter()
            .flat_map(|(first, last)| first..=last)
            .collect()
    }

    /// 1 2 3 · 4[5]6 keeps 2 · 7 · 8[9 10]11 keeps 6 · 12[13]14 keeps 3
    fn history() -> History {
        History::new(vec![
            rollback(4, 6, 2),
            rollback(8, 11, 6),
            rollback(12, 14, 3),
        ])
    }

    #[test]
    fn effective_events_follow_the_definition() {
        let history = history();
        assert_eq!(ids(&history.effective_at(0)), Vec::<EventId>::new());
        assert_eq!(ids(&history.effective_at(3)), [1, 2, 3]);
        assert_eq!(ids(&history.effective_at(6)), [1, 2, 4]);
        assert_eq!(ids(&history.effective_at(7)), [1, 2, 4, 7]);
        assert_eq!(ids(&history.effective_at(11)), [1, 2, 4, 8]);
        assert_eq!(ids(&history.effective_at(14)), [1, 2, 3, 12]);
    }

    #[test]
    fn each_event_has_a_standing() {
        let history = history();
        assert_eq!(history.standing(7, 3), Standing::UndoneBy(4));
        assert_eq!(history.standing(7, 4), Standing::Effective);
        assert_eq!(history.standing(7, 5), Standing::BookkeepingOf(4));
        assert_eq!(history.standing(7, 6), Standing::BookkeepingOf(4));
        assert_eq!(history.standing(14, 3), Standing::Effective);
        assert_eq!(history.standing(14, 4), Standing::UndoneBy(12));
        assert_eq!(history.standing(14, 7), Standing::UndoneBy(12));
        assert_eq!(history.standing(14, 13), Standing::BookkeepingOf(12));
        assert_eq!(history.standing(14, 15), Standing::Effective);
    }

    #[test]
    fn ranges_subtract_and_unite() {
        let a = Ranges::of(1, 10);
        let b = Ranges::of(4, 6).union(&Ranges::of(9, 20));
        assert_eq!(ids(&a.minus(&b)), [1, 2, 3, 7, 8]);
        assert_eq!(ids(&b.minus(&a)), (11..=20).collect::<Vec<_>>());
        assert_eq!(a.union(&b), Ranges::of(1, 20));
        assert!(a.minus(&a).is_empty());
        assert!(!b.contains(7) && b.contains(9) && !b.contains(21));
    }
}
