//! A plan in words, the same on the command line and on the screens.

use super::{Purpose, RollbackPlan, RollbackTarget, RowAction, Strategy};
use crate::eventsourcing::timestamp;

/// `1 event`, `2 events`.
#[must_use]
fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

impl RollbackPlan {
    /// What the target means, in words: `just before #15, 2020-02-17T03:09:59.145749Z`.
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
        }
    }

    /// What will happen, one sentence a line, the most important first. `database` is the database's name.
    #[must_use]
    pub fn sentences(&self, database: &str) -> Vec<String> {
        if self.is_empty() {
            return vec![format!(
                "Nothing to undo: {database} has no event after the target, so nothing will be appended."
            )];
        }
        let mut lines = Vec::new();
        if self.later_events > 0 {
            lines.push(self.later_work_sentence());
        }
        lines.push(match self.purpose {
            Purpose::Rollback => format!("Take {database} back {}.", self.target_in_words()),
            Purpose::Undo(id) => format!("Undo rollback #{id} of {database}."),
            Purpose::Redo(id) => format!("Redo what undo #{id} of {database} took back."),
        });
        lines.push(format!(
            "{} undone, {} reinstated.",
            count(self.events_undone, "event", "events"),
            self.events_reinstated
        ));
        let rows = |action| {
            self.changes
                .iter()
                .filter(|change| change.action == action)
                .count() as u64
        };
        lines.push(format!(
            "{} removed, {} brought back, {} changed.",
            count(rows(RowAction::Remove), "row", "rows"),
            rows(RowAction::BringBack),
            rows(RowAction::Change)
        ));
        lines.push(format!(
            "{} appended by {} ({} by {}).",
            count(self.events_to_append(), "event", "events"),
            self.strategy(),
            match self.strategy() {
                Strategy::Minimal => self.appends_replay,
                Strategy::Replay => self.appends_minimal,
            },
            self.strategy().other(),
        ));
        lines
    }

    /// How much work since the rollback would be undone with it.
    pub(super) fn later_work_sentence(&self) -> String {
        let what = match self.purpose {
            Purpose::Rollback => "the target".to_owned(),
            Purpose::Undo(id) => format!("rollback #{id}"),
            Purpose::Redo(id) => format!("undo #{id}"),
        };
        format!(
            "{} made after {what} would be undone too.",
            count(self.later_events, "event", "events")
        )
    }
}
