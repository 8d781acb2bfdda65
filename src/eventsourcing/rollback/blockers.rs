//! What stands in the way of a rollback, in words.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::row_plan::RowPlan;
use super::{Loss, Named};
use crate::eventsourcing::error::{Error, ErrorCode};
use crate::eventsourcing::event::{EventKind, RowKey};
use crate::eventsourcing::schema::{Table, Tracking};
use crate::eventsourcing::store::{OutsideReference, Violated, Violation};
use crate::eventsourcing::value;

/// Something that makes the rollback impossible as things stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// Which kind: `missing-right`, `table-gone`, `column-gone`, `missing-value`, `outside-reference`, `changed-row`, `extra-row`,
    /// `value-unfit`, `untracked-table`, `conflict`, `later-event`, or the kind of a constraint.
    pub kind: &'static str,
    /// What stands in the way, and what would remove it.
    pub message: String,
    /// The row concerned: where several are, the first; of a missing right, the first that would change.
    pub row: RowKey,
}

/// What a person can choose so that something is not in the way any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Whose values stand where later events have set the same columns.
    Conflicts,
    /// That values are left in the log alone.
    Loss,
}

impl Blocker {
    /// What can be chosen so that it is not in the way any more; `None` where the database has to change, or the target.
    #[must_use]
    pub fn choice(&self) -> Option<Choice> {
        match self.kind {
            "conflict" => Some(Choice::Conflicts),
            "column-gone" | "table-gone" | "value-unfit" => Some(Choice::Loss),
            _ => None,
        }
    }

    /// The blocker as the command line prints it.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "kind": self.kind,
            "message": self.message,
            "type": self.row.table,
            "uuid": self.row.uuid.to_string(),
        })
    }
}

/// The refusal of a plan with these blockers; `None` where there are none.
pub(super) fn refusal(blockers: &[Blocker]) -> Option<Error> {
    let first = blockers.first()?;
    let more = match blockers.len() {
        1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    };
    let hint = match (first.choice(), first.kind) {
        (Some(Choice::Conflicts), _) => {
            "nothing was written; choose with --ours or --theirs, which hold for every column in conflict"
        }
        (Some(Choice::Loss), _) => {
            "nothing was written; --allow-loss leaves such values in the log alone"
        }
        (None, "missing-right") => "nothing was written; every rollback needs that right",
        (None, "later-event") => {
            "nothing was written; `ebb show` prints the later event, --dry-run the whole plan"
        }
        _ => "nothing was written; remove what stands in the way, or choose a later target",
    };
    let message = format!("this rollback cannot be done: {}{more}", first.message);
    Some(Error::new(ErrorCode::Blocked, message).hint(hint))
}

/// Rows with the same in the way.
struct Same {
    first: RowKey,
    count: u64,
    /// Of the first one.
    words: String,
}

/// What stands in the way, and what has no place any more, collected row by row.
#[derive(Default)]
pub(super) struct Obstacles {
    out_of_reach: BTreeMap<String, Same>,
    nowhere: BTreeMap<(String, Option<String>), Same>,
    unfit: BTreeMap<(String, String), Same>,
    empty: BTreeMap<(String, String), Same>,
    drifted: BTreeMap<(String, &'static str), Same>,
    conflicts: Vec<Blocker>,
    set_later: Named,
    depending: Vec<Blocker>,
}

fn note<K: Ord>(
    all: &mut BTreeMap<K, Same>,
    kind: K,
    row: &RowKey,
    words: impl FnOnce() -> String,
) {
    all.entry(kind)
        .and_modify(|same| same.count += 1)
        .or_insert_with(|| Same {
            first: row.clone(),
            count: 1,
            words: words(),
        });
}

/// `1 row`, `2 rows`.
fn count(n: u64, one: &str, many: &str) -> String {
    format!("{n} {}", if n == 1 { one } else { many })
}

/// ` (and 2 more rows)`, if there are more.
fn more(same: &Same) -> String {
    match same.count {
        1 => String::new(),
        n => format!(" (and {})", count(n - 1, "more row", "more rows")),
    }
}

/// Of a JSON object the members that another one has not, or has with other values: two long ones would be cut where they are still the same.
fn without_same(value: &Value, other: &Value) -> Value {
    let (Value::Object(members), Value::Object(others)) = (value, other) else {
        return value.clone();
    };
    let differing = members
        .iter()
        .filter(|(name, value)| others.get(*name) != Some(value));
    Value::Object(
        differing
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect(),
    )
}

/// A value, short enough for a sentence.
fn brief(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    let mut brief: String = text.chars().take(LONGEST).collect();
    if brief.len() < text.len() {
        brief.push('…');
        // Without it one would look for the end of the text in the rest of the sentence.
        brief.extend(value.is_string().then_some('"'));
    }
    brief
}

impl Obstacles {
    /// Takes note of what there is to say of one row.
    pub(super) fn note(&mut self, row: &RowKey, plan: &RowPlan, resolved: bool) {
        for column in &plan.nowhere {
            note(
                &mut self.nowhere,
                (row.table.clone(), column.clone()),
                row,
                String::new,
            );
        }
        for (column, value) in &plan.unfit {
            note(
                &mut self.unfit,
                (row.table.clone(), column.clone()),
                row,
                || brief(value),
            );
        }
        if plan.out_of_reach {
            note(&mut self.out_of_reach, row.table.clone(), row, String::new);
        }
        for column in &plan.empty {
            note(
                &mut self.empty,
                (row.table.clone(), column.clone()),
                row,
                String::new,
            );
        }
        if let Some(drift) = &plan.drift {
            let kind = if drift.column.is_some() {
                "changed-row"
            } else {
                "extra-row"
            };
            note(
                &mut self.drifted,
                (row.table.clone(), kind),
                row,
                || match &drift.column {
                    Some(column) => format!(
                        "{row} has {} in {column}, where the log says {}",
                        brief(&drift.stored),
                        brief(&drift.logged)
                    ),
                    None => format!("{row} is in the table, and the log knows of no such row"),
                },
            );
        }
        if let Some(event) = &plan.depending {
            let what = match event.kind {
                EventKind::Create => "makes it anew",
                EventKind::Delete => "deletes it",
                _ => "changes it",
            };
            self.depending.push(Blocker {
                kind: "later-event",
                message: format!(
                    "whether {row} is there depends on it, and #{} {what} later: revert that first, or roll back to before it",
                    event.id
                ),
                row: row.clone(),
            });
        }
        for conflict in &plan.conflicts {
            let words = || format!("{} of {row} by #{}", conflict.column, conflict.by);
            self.set_later.push(words);
        }
        if !resolved {
            self.conflicts.extend(plan.conflicts.iter().map(|conflict| Blocker {
                kind: "conflict",
                message: format!(
                    "{row}: #{} has set {} later; it is {} now and was {} before: ours {}, theirs takes what it was",
                    conflict.by,
                    conflict.column,
                    brief(&without_same(&conflict.now, &conflict.theirs)),
                    brief(&without_same(&conflict.theirs, &conflict.now)),
                    match value::same(&conflict.ours, &conflict.now) {
                        true => "keeps it".to_owned(),
                        false => format!("makes it {}", brief(&conflict.ours)),
                    }
                ),
                row: row.clone(),
            }));
        }
    }

    /// What later events have set again.
    pub(super) fn set_later(&self) -> Named {
        self.set_later.clone()
    }

    /// What has no place any more.
    pub(super) fn losses(&self) -> Vec<Loss> {
        let loss = |((table, column), same): (&(String, Option<String>), &Same)| Loss {
            table: table.clone(),
            column: column.clone(),
            is_gone: true,
            count: same.count,
        };
        let mut losses: Vec<Loss> = self.nowhere.iter().map(loss).collect();
        losses.extend(self.unfit.iter().map(|((table, column), same)| Loss {
            table: table.clone(),
            column: Some(column.clone()),
            is_gone: false,
            count: same.count,
        }));
        losses
    }

    /// What stands in the way.
    pub(super) fn blockers(self, allow_loss: bool, tables: &HashMap<&str, &Table>) -> Vec<Blocker> {
        let mut blockers = self.depending;
        blockers.extend(self.conflicts);
        for ((_, kind), same) in self.drifted {
            blockers.push(Blocker {
                kind,
                message: format!(
                    "{}{}: it was written behind the log's back and would be lost; `ebb init --record-differences` makes events of it, which a \
                     rollback can take back like any other",
                    same.words,
                    more(&same)
                ),
                row: same.first,
            });
        }
        for ((table, column), same) in self.empty {
            blockers.push(Blocker {
                kind: "missing-value",
                message: format!(
                    "{}{} had no value in the column {column}, which must have one now: let it be NULL again, or give it a default \
                     when it is added",
                    same.first,
                    more(&same)
                ),
                row: RowKey { table, ..same.first },
            });
        }
        for (table, same) in self.out_of_reach {
            let reason = match tables.get(table.as_str()).map(|table| &table.tracking) {
                Some(Tracking::Untracked { reason }) => format!(": {reason}"),
                _ => String::new(),
            };
            blockers.push(Blocker {
                kind: "untracked-table",
                message: format!(
                    "the table {table} takes no part any more, and {} of it would change{reason}",
                    count(same.count, "row", "rows")
                ),
                row: same.first,
            });
        }
        if !allow_loss {
            blockers.extend(self.nowhere.into_iter().map(nowhere));
            for ((name, column), same) in self.unfit {
                let table = tables.get(name.as_str());
                let column_type = table
                    .and_then(|table| table.column(&column))
                    .map_or("another", |column| column.type_name.as_str());
                blockers.push(Blocker {
                    kind: "value-unfit",
                    message: format!(
                        "{} had {} in the column {column}, which is of the type {column_type} now and cannot hold it{}: change its type back, or \
                         leave such values in the log alone",
                        same.first,
                        same.words,
                        more(&same)
                    ),
                    row: same.first,
                });
            }
        }
        blockers
    }
}

/// Values, or rows, that have no place any more.
fn nowhere(((table, column), same): ((String, Option<String>), Same)) -> Blocker {
    let (kind, message) = match column {
        Some(column) => (
            "column-gone",
            format!(
                "{} of {table} had values in the column {column}, which the table no longer has: {}, unless left in the log alone",
                count(same.count, "row", "rows"),
                count(
                    same.count,
                    "value has nowhere to go",
                    "values have nowhere to go"
                ),
            ),
        ),
        None => (
            "table-gone",
            format!(
                "the table {table} is gone, so {}, unless left in the log alone",
                count(
                    same.count,
                    "row of it has nowhere to go",
                    "rows of it have nowhere to go"
                ),
            ),
        ),
    };
    Blocker {
        kind,
        message,
        row: same.first,
    }
}

/// A constraint that rows would violate.
pub(super) fn violation(violation: Violation) -> Blocker {
    let Violation {
        kind,
        row,
        rows,
        words,
        ..
    } = violation;
    let others = match rows {
        1 => String::new(),
        n => format!(" (and {})", count(n - 1, "more row", "more rows")),
    };
    let (kind, remedy) = match kind {
        Violated::Check => ("check", "drop the constraint, or choose another target"),
        Violated::Unique | Violated::Exclusion => (
            if kind == Violated::Unique {
                "unique"
            } else {
                "exclusion"
            },
            "change one of the two first, or take both back",
        ),
        Violated::ForeignKey => (
            "foreign-key",
            "take both back, as a wider scope or an earlier target does, or let it point at nothing first",
        ),
    };
    Blocker {
        kind,
        message: format!("{row}{others}: {words}: {remedy}"),
        row,
    }
}

/// A row of a table that takes no part, and that would point at nothing.
pub(super) fn outside(reference: OutsideReference) -> Blocker {
    let OutsideReference {
        table,
        column,
        to,
        unseen,
    } = reference;
    Blocker {
        kind: "outside-reference",
        message: match unseen {
            None => format!(
                "{to} would go, but a row of {table}, which takes no part, points at it ({column})"
            ),
            Some(why) => format!(
                "{to} would go, but {table}, which takes no part, may point at it ({column}), and cannot be looked at: {why}"
            ),
        },
        row: to,
    }
}
