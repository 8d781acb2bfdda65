//! A plan in words, the same on the command line and on the screens.

use super::{
    Conflicts, Loss, NAMED, Named, Purpose, RollbackPlan, RollbackTarget, Strategy, TableCounts,
};
use crate::eventsourcing::event::Event;
use crate::eventsourcing::history::{Course, Rollback};
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::timestamp;

/// `1 event`, `2 events`.
#[must_use]
fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// An event, its row and who made it: `#15 create experiment/0e0e… by postgres`.
pub(super) fn named(event: &Event) -> String {
    let row = event.row.as_ref();
    let row = row.map_or_else(String::new, |row| format!(" {row}"));
    format!("#{} {}{row} by {}", event.id, event.kind, event.actor)
}

/// A rollback, what it did, and who made it: `#41 revert of #15 by postgres`.
pub(super) fn rollback_named(rollback: &Rollback) -> String {
    format!(
        "#{} {} by {}",
        rollback.id,
        rollback.in_words(),
        rollback.actor
    )
}

/// The first of so many, and how many more there are.
fn list(first: &[String], count: u64) -> String {
    let more = count.saturating_sub(first.len() as u64);
    let more = (more > 0).then(|| format!("and {more} more"));
    let all: Vec<String> = first.iter().cloned().chain(more).collect();
    all.join(", ")
}

impl Rollback {
    /// What it did, in a few words: `revert of #15`.
    #[must_use]
    pub fn in_words(&self) -> String {
        if let Some(id) = self.redoes {
            return format!("redo, took back undo #{id}");
        }
        if let Some(id) = self.undoes {
            return format!("undo of #{id}");
        }
        let scope = match &self.scope {
            Scope::Whole => String::new(),
            scope => format!(" of {scope}"),
        };
        match &self.course {
            Course::Back(0) => format!("rollback{scope} to before the first event"),
            Course::Back(id) => format!("rollback{scope} to #{id}"),
            Course::Without {
                first,
                last,
                theirs,
            } => {
                let values = if *theirs {
                    " and of values set since"
                } else {
                    ""
                };
                match first == last {
                    true => format!("revert of #{first}{values}"),
                    false => format!("revert of #{first} to #{last}{values}"),
                }
            }
            Course::WithoutRollback(id) => format!("undo of #{id}"),
        }
    }
}

impl RollbackPlan {
    /// What the target means, in words: `to just before #15, 2020-02-17T03:09:59.145749Z (#14 is the last event kept)`.
    #[must_use]
    pub fn target_in_words(&self) -> String {
        let keeps = match self.keeps_through {
            0 => "nothing is kept".to_owned(),
            id if id == self.head => format!("everything through #{id} is kept"),
            id => format!("#{id} is the last event kept"),
        };
        match self.request.target {
            RollbackTarget::Before(moment) => {
                format!("to before {} ({keeps})", timestamp::format(moment))
            }
            RollbackTarget::BeforeEvent(id) => match self.before {
                Some(moment) if self.keeps_through + 1 == id => {
                    format!(
                        "to just before #{id}, {} ({keeps})",
                        timestamp::format(moment)
                    )
                }
                _ => format!("to before #{id} and the events of its transaction ({keeps})"),
            },
            RollbackTarget::AfterEvent(id) if self.keeps_through == id => {
                format!("to just after #{id} ({keeps})")
            }
            RollbackTarget::AfterEvent(id) => {
                format!("to after #{id} and the events of its transaction ({keeps})")
            }
            RollbackTarget::Without(id) => match self.course {
                Course::Without { first, last, .. } if first != last => {
                    format!(
                        "to without #{first} to #{last}, the transaction of #{id} (what came after is kept)"
                    )
                }
                _ => format!("to without #{id} (what came after is kept)"),
            },
        }
    }

    /// What happens, in one sentence.
    fn headline(&self, database: &str) -> String {
        let what = match &self.request.scope {
            Scope::Whole => database.to_owned(),
            part => format!("{part} of {database}"),
        };
        let leaves = match self.request.scope {
            Scope::Whole => "",
            _ => " Everything else is left as it is.",
        };
        let reverted = match self.course {
            Course::Without { first, last, .. } if first == last => {
                Some(format!("Undo #{first} of {database}"))
            }
            Course::Without { first, last, .. } => Some(format!(
                "Undo #{first} to #{last}, one transaction, of {database}"
            )),
            _ => None,
        };
        let keeps_later = matches!(self.course, Course::WithoutRollback(_));
        match (self.purpose, reverted) {
            (_, Some(reverted)) if self.overwrites() => {
                format!("{reverted}, and keep what came after but for values that both have set.")
            }
            (_, Some(reverted)) => format!("{reverted}, and keep what came after."),
            (Purpose::Undo(id), None) if keeps_later => {
                format!("Undo rollback #{id} of {database}, and keep what came after.")
            }
            (Purpose::Redo(id), None) if keeps_later => {
                format!("Redo what undo #{id} of {database} took back, and keep what came after.")
            }
            (Purpose::Undo(id), None) => format!("Undo rollback #{id} of {what}.{leaves}"),
            (Purpose::Redo(id), None) => {
                format!("Redo what undo #{id} of {what} took back.{leaves}")
            }
            (Purpose::Rollback, None) => {
                format!("Take {what} back {}.{leaves}", self.target_in_words())
            }
        }
    }

    /// What will happen, one sentence a line, the most important first. `database` is the database's name.
    #[must_use]
    pub fn sentences(&self, database: &str) -> Vec<String> {
        if self.is_empty() {
            return vec![match &self.request.scope {
                Scope::Whole => format!(
                    "Nothing to undo: {database} has no event after the target, so nothing will be appended."
                ),
                part => format!(
                    "Nothing to undo: no event after the target concerns {part} of {database}, so nothing will be appended."
                ),
            }];
        }
        let mut lines = Vec::new();
        if self.later_events > 0 {
            lines.push(self.later_work_sentence());
        }
        lines.push(self.headline(database));
        lines.extend(self.taken_back_sentence());
        lines.extend(self.conflicts_sentence());
        lines.push(format!(
            "{} undone{}, {} reinstated.",
            count(self.events_undone, "event", "events"),
            self.by_authors().unwrap_or_default(),
            self.events_reinstated
        ));
        let rows = |of: fn(&TableCounts) -> u64| self.tables.iter().map(of).sum::<u64>();
        lines.push(format!(
            "{} removed, {} brought back, {} changed.",
            count(rows(|table| table.removed), "row", "rows"),
            rows(|table| table.brought_back),
            rows(|table| table.changed)
        ));
        let other = match self.strategy() {
            Strategy::Minimal => self.appends_replay,
            Strategy::Replay => Some(self.appends_minimal),
        };
        let appends = match self.events_to_append() {
            Some(events) => count(events, "event", "events"),
            None => "Every living row deleted, and every effective event again,".to_owned(),
        };
        lines.push(match other {
            Some(other) => format!(
                "{appends} appended by {} ({other} by {}).",
                self.strategy(),
                self.strategy().other()
            ),
            None => format!("{appends} appended by {}.", self.strategy()),
        });
        lines.extend(self.losses.iter().map(loss));
        lines
    }

    /// How much work since the rollback would be undone with it, and whose.
    pub(super) fn later_work_sentence(&self) -> String {
        let what = match self.purpose {
            Purpose::Rollback => "the target".to_owned(),
            Purpose::Undo(id) => format!("rollback #{id}"),
            Purpose::Redo(id) => format!("undo #{id}"),
        };
        format!(
            "{} made after {what} would be undone too: {}.",
            count(self.later_events, "event", "events"),
            list(&self.later_named, self.later_events)
        )
    }

    /// Whether values go that later events have set.
    fn overwrites(&self) -> bool {
        self.request.conflicts == Some(Conflicts::Theirs) && self.conflicts.count > 0
    }

    /// Whose events are undone, where that has been counted.
    fn by_authors(&self) -> Option<String> {
        let authors = self
            .authors
            .as_ref()
            .filter(|authors| !authors.is_empty())?;
        let named = authors.iter().take(NAMED);
        let named: Vec<String> = named
            .map(|(actor, events)| format!("{events} by {actor}"))
            .collect();
        let all = authors.len() as u64;
        Some(format!(" ({})", list(&named, all)))
    }

    fn taken_back_sentence(&self) -> Option<String> {
        let Named { count: all, first } = &self.taken_back;
        (*all > 0).then(|| {
            format!(
                "{} in effect now would be taken back too: {}.",
                count(*all, "rollback, undo or redo", "rollbacks, undos and redos"),
                list(first, *all)
            )
        })
    }

    /// What becomes of the values that later events have set; nothing while that has not been chosen, and stands in the way.
    fn conflicts_sentence(&self) -> Option<String> {
        let Named { count: all, first } = &self.conflicts;
        let becomes = match self.request.conflicts? {
            Conflicts::Ours => "would stay as later events have set them",
            Conflicts::Theirs => "that later events have set would be taken back too",
        };
        (*all > 0).then(|| {
            format!(
                "{} {becomes}: {}.",
                count(*all, "value", "values"),
                list(first, *all)
            )
        })
    }

    /// Those of the sentences that tell of work which goes although nobody may expect it.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let later = (self.later_events > 0).then(|| self.later_work_sentence());
        let overwritten = self.conflicts_sentence().filter(|_| self.overwrites());
        let warnings = [later, self.taken_back_sentence(), overwritten];
        warnings.into_iter().flatten().collect()
    }
}

/// Values that stay in the log alone.
fn loss(loss: &Loss) -> String {
    let Loss {
        table,
        column,
        is_gone,
        count: lost,
    } = loss;
    match column {
        Some(column) => format!(
            "{} of the column {column} of {table}, which {}, {} in the log alone.",
            count(*lost, "value", "values"),
            match is_gone {
                true => "is gone",
                false => "has a type now that cannot hold that",
            },
            if *lost == 1 { "stays" } else { "stay" }
        ),
        None => format!(
            "{} of the table {table}, which is gone, {} in the log alone.",
            count(*lost, "row", "rows"),
            if *lost == 1 { "stays" } else { "stay" }
        ),
    }
}
