//! Which events are effective: what rollbacks undid, and what undoing them brought back.
//!
//! E(n) is the set of events effective at position n. An ordinary event adds itself. The end of a rollback R
//! - to a position p makes it E(p) ∪ {R}, for the rows in its scope; for all others it stays as it is;
//! - of one transaction takes that transaction's events out of it, and leaves what came after;
//! - that undoes one of the latter puts them back.
//!
//! Only the rollbacks have to be known to compute it: for each row E(n) is a short chain of ranges of ids, however
//! long the log is.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use super::event::{EventId, RowKey};
use super::ranges::Ranges;
use super::rollback::Strategy;
use super::scope::Scope;
use super::timestamp::Timestamp;

/// What a rollback makes of the events before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Course {
    /// Those after a position do not count any more; the position is the last event kept, 0 when none is.
    Back(EventId),
    /// Those of one transaction do not count any more: what came after is kept.
    Without {
        /// The transaction's first event.
        first: EventId,
        /// Its last one.
        last: EventId,
        /// Whether, of what came after, the columns do not count either that the transaction had set.
        theirs: bool,
    },
    /// Those count again that the rollback of this id, which kept what came after, took out, or the reverse: that
    /// rollback is as if it had not been.
    WithoutRollback(EventId),
}

/// One rollback that the log records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// Its `rollback` event.
    pub id: EventId,
    /// Its `rollback-end` event. All between is its bookkeeping.
    pub end: EventId,
    /// What it makes of the events before it.
    pub course: Course,
    /// The rows concerned, of one that goes back to a position.
    pub scope: Scope,
    /// How it was written.
    pub strategy: Strategy,
    /// Why, if somebody said.
    pub reason: Option<String>,
    /// Whether values may be left in the log alone that have no place in the tables any more.
    pub allow_loss: bool,
    /// The rollback that this one undoes.
    pub undoes: Option<EventId>,
    /// The undo that this one takes back.
    pub redoes: Option<EventId>,
    /// When.
    pub timestamp: Timestamp,
    /// Who.
    pub actor: String,
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

/// Columns of later events that do not count, by a rollback of one transaction whose values are to stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overruled {
    /// The transaction's events, as far as they counted until then.
    pub own: Ranges,
    /// Its last event. What updates of the row after it set in the columns that those set does not count …
    pub last: EventId,
    /// … up to this one, the rollback, or to the row's next create or delete.
    pub before: EventId,
}

/// The events of one row that are effective at a position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effective {
    /// Their ids, among ids of other rows and of markers.
    pub ids: Ranges,
    /// What of them does not count.
    pub overruled: Vec<Overruled>,
}

/// Every rollback of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    rollbacks: Vec<Rollback>,
}

/// A rollback as it stands at a position.
#[derive(Clone, Debug)]
pub struct RollbackAt<'a> {
    /// The rollback.
    pub rollback: &'a Rollback,
    /// By which one it is not in effect, where it is not.
    pub taken_back_by: Option<EventId>,
    /// Those in effect that went back to before it, later, of fewer rows than it concerned. Of those rows it is not in effect any more.
    pub narrowed_by: Vec<&'a Rollback>,
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

    /// The rollback of this id.
    #[must_use]
    pub fn rollback(&self, id: EventId) -> Option<&Rollback> {
        let at = self.rollbacks.binary_search_by_key(&id, |one| one.id);
        at.ok().map(|at| &self.rollbacks[at])
    }

    /// Whether this one has redone the rollback of that id: it took back an undo of it.
    #[must_use]
    pub fn is_redo_of(&self, redo: &Rollback, id: EventId) -> bool {
        let undo = redo.redoes.and_then(|undo| self.rollback(undo));
        undo.is_some_and(|undo| undo.undoes == Some(id))
    }

    /// The latest rollback that has ended at or before this position.
    fn latest_at(&self, position: EventId) -> Option<&Rollback> {
        let ended = self.rollbacks.partition_point(|one| one.end <= position);
        self.rollbacks.get(ended.checked_sub(1)?)
    }

    /// The same with one more rollback, right after the head.
    #[must_use]
    pub fn with(&self, rollback: Rollback) -> Self {
        let mut rollbacks = self.rollbacks.clone();
        rollbacks.push(rollback);
        Self::new(rollbacks)
    }

    /// E(n), as far as this row is concerned.
    #[must_use]
    pub fn effective(&self, n: EventId, row: &RowKey) -> Effective {
        let mut ids = Ranges::default();
        let (mut without, mut cancelled) = (Vec::new(), Vec::new());
        // Transactions whose values are to stand: by their rollbacks.
        let mut overruling = Vec::new();
        let mut position = n;
        while let Some(rollback) = self.latest_at(position) {
            ids = ids.union(&Ranges::of(rollback.end + 1, position));
            ids = ids.union(&Ranges::of(rollback.id, rollback.id));
            position = rollback.id - 1;
            if cancelled.contains(&rollback.id) {
                continue;
            }
            match rollback.course {
                Course::Back(keeps_through) if rollback.scope.covers(row) => {
                    position = keeps_through;
                }
                Course::Back(_) => {}
                Course::Without {
                    first,
                    last,
                    theirs,
                } => {
                    without.push((rollback.id, Ranges::of(first, last)));
                    overruling.extend(theirs.then_some((rollback.id, first, last)));
                }
                Course::WithoutRollback(id) => cancelled.push(id),
            }
        }
        ids = ids.union(&Ranges::of(1, position));
        let without_but = |but: Option<EventId>| {
            let others = without.iter().filter(|(by, _)| Some(*by) != but);
            others.fold(ids.clone(), |ids, (_, taken_out)| ids.minus(taken_out))
        };
        let overruled = overruling.iter().map(|(by, first, last)| Overruled {
            own: without_but(Some(*by))
                .minus(&Ranges::of(1, first - 1))
                .minus(&Ranges::of(last + 1, n)),
            last: *last,
            before: *by,
        });
        Effective {
            overruled: overruled.filter(|by| !by.own.is_empty()).collect(),
            ids: without_but(None),
        }
    }

    /// The rollbacks in effect at position `n`, latest first, and each that is not, with the one that took it back.
    fn markers(&self, n: EventId) -> (Vec<&Rollback>, HashMap<EventId, EventId>) {
        let (mut in_effect, mut taken_back) = (Vec::new(), HashMap::new());
        // Scopes that went back to a position, and by which rollback.
        let mut narrower: Vec<(&Scope, EventId, EventId)> = Vec::new();
        let mut position = n;
        while let Some(rollback) = self.latest_at(position) {
            position = rollback.id - 1;
            let by = narrower.iter().find(|(scope, keeps_through, _)| {
                rollback.id > *keeps_through && rollback.scope.is_within(scope)
            });
            if let Some((_, _, by)) = by {
                taken_back.insert(rollback.id, *by);
            }
            if taken_back.contains_key(&rollback.id) {
                continue;
            }
            in_effect.push(rollback);
            match rollback.course {
                Course::Back(keeps_through) if rollback.scope == Scope::Whole => {
                    let skipped = self.rollbacks.iter().rev();
                    for one in skipped
                        .skip_while(|one| one.id >= rollback.id)
                        .take_while(|one| one.end > keeps_through)
                    {
                        taken_back.entry(one.id).or_insert(rollback.id);
                    }
                    position = keeps_through;
                }
                Course::Back(keeps_through) => {
                    narrower.push((&rollback.scope, keeps_through, rollback.id));
                }
                Course::Without { .. } => {}
                Course::WithoutRollback(id) => drop(taken_back.insert(id, rollback.id)),
            }
        }
        (in_effect, taken_back)
    }

    /// The rollbacks in effect at position `n`, latest first.
    #[must_use]
    pub fn in_effect_at(&self, n: EventId) -> Vec<&Rollback> {
        self.markers(n).0
    }

    /// Every rollback as it stands at position `n`, the latest first.
    #[must_use]
    pub fn rollbacks_at(&self, n: EventId) -> Vec<RollbackAt<'_>> {
        let (in_effect, taken_back) = self.markers(n);
        let at = |rollback: &'_ Rollback| {
            let is_part = |later: &&&Rollback| {
                later.id > rollback.id
                    && later.scope != rollback.scope
                    && later.scope.is_within(&rollback.scope)
                    && matches!(later.course, Course::Back(keeps_through) if keeps_through < rollback.id)
            };
            in_effect.iter().filter(is_part).copied().collect()
        };
        let all = self.rollbacks.iter().rev();
        all.map(|rollback| RollbackAt {
            rollback,
            taken_back_by: taken_back.get(&rollback.id).copied(),
            narrowed_by: at(rollback),
        })
        .collect()
    }

    /// The rollback whose bookkeeping the event at this position is.
    #[must_use]
    pub fn written_by(&self, id: EventId) -> Option<&Rollback> {
        let after = self.rollbacks.partition_point(|r| r.end < id);
        self.rollbacks.get(after).filter(|r| r.id < id)
    }

    /// The standing of an event when the log ends at `head`; `row` is the row that it concerns, none of a marker.
    #[must_use]
    pub fn standing(&self, head: EventId, id: EventId, row: Option<&RowKey>) -> Standing {
        if let Some(rollback) = self.written_by(id) {
            return Standing::BookkeepingOf(rollback.id);
        }
        let by = match row {
            Some(row) => self.undone_by(head, id, row),
            None => self.markers(head).1.get(&id).copied(),
        };
        by.map_or(Standing::Effective, Standing::UndoneBy)
    }

    /// The rollback by which this event of the row is not effective at position `n`.
    fn undone_by(&self, n: EventId, id: EventId, row: &RowKey) -> Option<EventId> {
        let mut cancelled = Vec::new();
        let mut position = n;
        while let Some(rollback) = self.latest_at(position) {
            if id > rollback.end {
                return None;
            }
            position = rollback.id - 1;
            if cancelled.contains(&rollback.id) {
                continue;
            }
            match rollback.course {
                Course::Back(keeps_through) if rollback.scope.covers(row) => {
                    if id > keeps_through {
                        return Some(rollback.id);
                    }
                    position = keeps_through;
                }
                Course::Back(_) => {}
                Course::Without { first, last, .. } => {
                    if (first..=last).contains(&id) {
                        return Some(rollback.id);
                    }
                }
                Course::WithoutRollback(id) => cancelled.push(id),
            }
        }
        None
    }

    /// The latest rollback in effect that is neither an undo nor a redo: what `undo` takes.
    #[must_use]
    pub fn latest_to_undo(&self, head: EventId) -> Option<&Rollback> {
        let mut in_effect = self.in_effect_at(head).into_iter();
        in_effect.find(|rollback| rollback.undoes.is_none() && rollback.redoes.is_none())
    }

    /// The latest undo in effect: what `redo` takes back.
    #[must_use]
    pub fn latest_to_redo(&self, head: EventId) -> Option<&Rollback> {
        let mut in_effect = self.in_effect_at(head).into_iter();
        in_effect.find(|rollback| rollback.undoes.is_some())
    }

    /// The first and the last event of the transaction that a rollback is about which keeps what came after, or that undoes
    /// or redoes such a one.
    #[must_use]
    pub fn transaction_of(&self, rollback: &Rollback) -> Option<(EventId, EventId)> {
        match rollback.course {
            Course::Back(_) => None,
            Course::Without { first, last, .. } => Some((first, last)),
            Course::WithoutRollback(id) => self.transaction_of(self.rollback(id)?),
        }
    }

    /// One scope for each kind of row that has an E of its own at this position or later: the whole database stands for the rows that
    /// no rollback names, a table for those of its rows that none names.
    #[must_use]
    pub fn scopes_since(&self, position: EventId) -> Vec<Scope> {
        // What counted before, if a rollback since went back to it, or took a transaction out of it or put it back.
        let mut earliest = position;
        for rollback in self.rollbacks.iter().rev() {
            if rollback.id <= earliest {
                break;
            }
            earliest = match (&rollback.course, self.transaction_of(rollback)) {
                (Course::Back(keeps_through), _) => earliest.min(*keeps_through),
                (_, Some((first, _))) => earliest.min(first - 1),
                (_, None) => earliest,
            };
        }
        let since = self.rollbacks.iter().filter(|one| one.id > earliest);
        let mut scopes = vec![Scope::Whole];
        for rollback in since {
            if !scopes.contains(&rollback.scope) {
                scopes.push(rollback.scope.clone());
            }
        }
        scopes
    }
}

/// E(n) of many rows, computed once for all those that no rollback tells apart.
pub struct EffectiveRows<'a> {
    history: &'a History,
    position: EventId,
    named: HashSet<&'a Scope>,
    known: HashMap<Scope, Effective>,
}

impl<'a> EffectiveRows<'a> {
    /// At this position.
    #[must_use]
    pub fn at(history: &'a History, position: EventId) -> Self {
        Self {
            history,
            position,
            named: history.rollbacks.iter().map(|one| &one.scope).collect(),
            known: HashMap::new(),
        }
    }

    /// Of this row.
    pub fn of(&mut self, row: &RowKey) -> &Effective {
        let narrower = [Scope::Row(row.clone()), Scope::Table(row.table.clone())];
        let class = narrower
            .into_iter()
            .find(|scope| self.named.contains(scope));
        let (history, position) = (self.history, self.position);
        self.known
            .entry(class.unwrap_or_default())
            .or_insert_with(|| history.effective(position, row))
    }

    /// Of the rows of a scope that no narrower one names.
    pub fn of_scope(&mut self, scope: &Scope) -> &Effective {
        let row = match scope {
            Scope::Row(row) => row.clone(),
            // Such a row there is not, so that nothing names it.
            Scope::Whole | Scope::Table(_) => RowKey {
                table: scope.table().unwrap_or_default().to_owned(),
                uuid: Uuid::nil(),
            },
        };
        self.of(&row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eventsourcing::timestamp;

    fn rollback(id: EventId, end: EventId, course: Course) -> Rollback {
        Rollback {
            id,
            end,
            course,
            scope: Scope::Whole,
            strategy: Strategy::Minimal,
            reason: None,
            allow_loss: false,
            undoes: None,
            redoes: None,
            timestamp: timestamp::parse("2020-01-01").expect("a moment"),
            actor: "tga".to_owned(),
        }
    }

    fn back(id: EventId, end: EventId, keeps_through: EventId) -> Rollback {
        rollback(id, end, Course::Back(keeps_through))
    }

    fn row(table: &str) -> RowKey {
        RowKey {
            table: table.to_owned(),
            uuid: Uuid::from_u128(7),
        }
    }

    fn ids(history: &History, n: EventId, row: &RowKey) -> Vec<EventId> {
        let effective = history.effective(n, row);
        effective
            .ids
            .iter()
            .flat_map(|(first, last)| first..=last)
            .collect()
    }

    /// 1 2 3 · 4[5]6 keeps 2 · 7 · 8[9 10]11 keeps 6 · 12[13]14 keeps 3
    fn history() -> History {
        History::new(vec![back(4, 6, 2), back(8, 11, 6), back(12, 14, 3)])
    }

    #[test]
    fn effective_events_follow_the_definition() {
        let (history, any) = (history(), row("molecule"));
        assert_eq!(ids(&history, 0, &any), Vec::<EventId>::new());
        assert_eq!(ids(&history, 3, &any), [1, 2, 3]);
        assert_eq!(ids(&history, 6, &any), [1, 2, 4]);
        assert_eq!(ids(&history, 7, &any), [1, 2, 4, 7]);
        assert_eq!(ids(&history, 11, &any), [1, 2, 4, 8]);
        assert_eq!(ids(&history, 14, &any), [1, 2, 3, 12]);
    }

    #[test]
    fn each_event_has_a_standing() {
        let (history, any) = (history(), row("molecule"));
        let of_row = |head, id| history.standing(head, id, Some(&any));
        let of_marker = |head, id| history.standing(head, id, None);
        assert_eq!(of_row(7, 3), Standing::UndoneBy(4));
        assert_eq!(of_marker(7, 4), Standing::Effective);
        assert_eq!(of_row(7, 5), Standing::BookkeepingOf(4));
        assert_eq!(of_marker(7, 6), Standing::BookkeepingOf(4));
        assert_eq!(of_row(14, 3), Standing::Effective);
        assert_eq!(of_marker(14, 4), Standing::UndoneBy(12));
        assert_eq!(of_row(14, 7), Standing::UndoneBy(12));
        assert_eq!(of_row(14, 13), Standing::BookkeepingOf(12));
        assert_eq!(of_row(14, 15), Standing::Effective);
    }

    #[test]
    fn a_rollback_of_one_table_leaves_the_others() {
        let only = |rollback: Rollback, undoes| Rollback {
            scope: Scope::Table("molecule".to_owned()),
            undoes,
            ..rollback
        };
        let (molecule, sample) = (row("molecule"), row("sample"));
        // 1 2 3 · 4[5]6 keeps 1, only molecule · 7 · 8[9]10 undoes it
        let first = only(back(4, 6, 1), None);
        let history = History::new(vec![first.clone()]);
        assert_eq!(ids(&history, 7, &molecule), [1, 4, 7]);
        assert_eq!(ids(&history, 7, &sample), [1, 2, 3, 4, 7]);
        assert_eq!(
            history.standing(7, 3, Some(&molecule)),
            Standing::UndoneBy(4)
        );
        assert_eq!(history.standing(7, 3, Some(&sample)), Standing::Effective);
        assert_eq!(history.latest_to_undo(7).map(|one| one.id), Some(4));
        let history = History::new(vec![first, only(back(8, 10, 3), Some(4))]);
        assert_eq!(ids(&history, 10, &molecule), [1, 2, 3, 8]);
        assert_eq!(ids(&history, 10, &sample), [1, 2, 3, 4, 7, 8]);
        assert_eq!(history.standing(10, 4, None), Standing::UndoneBy(8));
        assert_eq!(history.latest_to_undo(10), None);
        assert_eq!(history.latest_to_redo(10).map(|one| one.id), Some(8));
    }

    #[test]
    fn a_transaction_is_taken_out_and_put_back() {
        let any = row("molecule");
        let without = |theirs| Course::Without {
            first: 2,
            last: 3,
            theirs,
        };
        // 1 (2 3) 4 · 5[6]7 without 2 and 3 · 8 · 9[10]11 undoes it · 12[13]14 redoes it
        let undo = Rollback {
            undoes: Some(5),
            ..rollback(9, 11, Course::WithoutRollback(5))
        };
        let redo = Rollback {
            redoes: Some(9),
            ..rollback(12, 14, Course::WithoutRollback(9))
        };
        let history = History::new(vec![rollback(5, 7, without(true)), undo, redo]);
        assert_eq!(ids(&history, 8, &any), [1, 4, 5, 8]);
        let overruled = Overruled {
            own: Ranges::of(2, 3),
            last: 3,
            before: 5,
        };
        assert_eq!(history.effective(8, &any).overruled, [overruled]);
        assert_eq!(history.standing(8, 2, Some(&any)), Standing::UndoneBy(5));
        assert_eq!(ids(&history, 11, &any), [1, 2, 3, 4, 5, 8, 9]);
        assert_eq!(history.effective(11, &any).overruled, []);
        assert_eq!(history.standing(11, 5, None), Standing::UndoneBy(9));
        assert_eq!(ids(&history, 14, &any), [1, 4, 5, 8, 9, 12]);
        assert_eq!(history.standing(14, 9, None), Standing::UndoneBy(12));
        assert_eq!(history.latest_to_undo(14).map(|one| one.id), Some(5));
        // What is put back after 11 lies before a rollback that names a table: its rows have an E of their own there.
        let mut rollbacks = history.rollbacks().to_vec();
        rollbacks.insert(
            0,
            Rollback {
                scope: Scope::Table("molecule".to_owned()),
                ..back(4, 4, 1)
            },
        );
        let named = History::new(rollbacks);
        assert_eq!(named.scopes_since(11).len(), 2);
        let redo = history.rollback(12).expect("there");
        assert_eq!(history.transaction_of(redo), Some((2, 3)));
    }
}
