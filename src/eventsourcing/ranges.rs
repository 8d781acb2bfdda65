//! Sets of events as ranges of their ids, however many events there are.

use std::ops::RangeInclusive;

use super::event::EventId;

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

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ranges: &Ranges) -> Vec<EventId> {
        ranges
            .iter()
            .flat_map(|(first, last)| first..=last)
            .collect()
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
