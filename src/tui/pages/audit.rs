//! Verification, rollbacks, activity.

use super::{Line, Tone, line};
use crate::eventsourcing::EventId;
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::verify::{Finding, FindingKind};
use crate::text::{clipped, count, fitted, visible, width as cells, wrapped};
use crate::tui::keymap::Action;
use crate::tui::model::{Lead, Model, Verification};
use serde_json::Value;

/// The lines of the audit, each with where it leads.
#[must_use]
pub fn audit(model: &Model, width: usize) -> Vec<(Line, Option<Lead>)> {
    let mut lines = verification(model, width);
    lines.push((line(Tone::Plain, ""), None));
    lines.extend(rollbacks(model, width));
    for by in [ActivityBy::Actor, ActivityBy::Table, ActivityBy::Day] {
        lines.push((line(Tone::Plain, ""), None));
        lines.extend(activity(model, by, width));
    }
    lines
}

fn heading(text: &str) -> (Line, Option<Lead>) {
    (line(Tone::Strong, text), None)
}

fn verification(model: &Model, width: usize) -> Vec<(Line, Option<Lead>)> {
    let mut lines = vec![heading("Are the tables what the log says?")];
    match &model.audit.verification {
        Verification::Unknown => {
            let key = model.key_for(Action::Verify);
            let text = format!("  Not looked at yet: {key} compares every row with the log.");
            lines.push((line(Tone::Plain, clipped(&text, width)), Some(Lead::Verify)));
        }
        Verification::Running { done, total, .. } => {
            let of = match total {
                0 => String::new(),
                total => format!(" of about {total}"),
            };
            let text = format!("  {} {done}{of} rows compared…", bar(*done, *total, 20));
            lines.push((line(Tone::Plain, clipped(&text, width)), None));
        }
        Verification::Done { head, report } => {
            let seen = format!(
                "{} and {}, to #{head}",
                count(report.rows, "row", "rows"),
                count(report.events, "event", "events")
            );
            let is_old = model.head.is_some_and(|now| now != *head);
            let found = count(report.findings.len() as u64, "difference", "differences");
            let (tone, said) = match (report.findings.is_empty(), is_old) {
                (true, false) => (Tone::Added, "Yes: nothing differs".to_owned()),
                (false, false) => (Tone::Warning, format!("No: {found}")),
                // What comes first is read, whatever is cut.
                (true, true) => (
                    Tone::Plain,
                    format!("At #{head} nothing differed; events have come since"),
                ),
                (false, true) => (
                    Tone::Warning,
                    format!("At #{head} there were {found}; events have come since"),
                ),
            };
            let text = format!("{said} ({seen}).");
            for (at, part) in wrapped(&text, width.saturating_sub(2).max(1))
                .into_iter()
                .enumerate()
            {
                let lead = (at == 0).then_some(Lead::Verify);
                lines.push((line(tone, format!("  {part}")), lead));
            }
            lines.extend(report.findings.iter().flat_map(|one| finding(one, width)));
        }
    }
    lines
}

/// A finding, over as many lines as it needs; the first leads to its row.
fn finding(one: &Finding, width: usize) -> impl Iterator<Item = (Line, Option<Lead>)> {
    /// Lines of one finding at most: it can be copied whole.
    const MOST: usize = 4;
    let text = clipped(
        &visible(&finding_in_words(one)),
        MOST * width.saturating_sub(8),
    );
    let lines = wrapped(&text, width.saturating_sub(4).max(1)).into_iter();
    let row = one.row.clone();
    lines.enumerate().map(move |(at, text)| match at {
        0 => (
            line(Tone::Changed, format!("  {text}")),
            Some(Lead::Row(row.clone())),
        ),
        _ => (line(Tone::Changed, format!("    {text}")), None),
    })
}

/// What differs in which row, in words.
pub(super) fn finding_in_words(one: &Finding) -> String {
    let row = format!("{} {}", one.row.table, &one.row.uuid.to_string()[..8]);
    let shown = |held: &Value| match held {
        Value::Null => "∅".to_owned(),
        held => held.to_string(),
    };
    let said = match (one.kind, &one.column) {
        (FindingKind::ExtraRow, _) => "is there, and the log does not know it".to_owned(),
        (FindingKind::MissingRow, _) => "is not there, and the log says that it is".to_owned(),
        (FindingKind::ChangedRow, column) => format!(
            "{} is {}, and the log says {}",
            column.as_deref().unwrap_or_default(),
            shown(&one.found),
            shown(&one.expected)
        ),
    };
    format!("{row} {said}")
}

fn rollbacks(model: &Model, width: usize) -> Vec<(Line, Option<Lead>)> {
    let mut lines = vec![heading("Rollbacks, the latest first")];
    let head = model.head.unwrap_or_default();
    for found in model.history.rollbacks_at(head) {
        let rollback = found.rollback;
        let (tone, note) = match found.taken_back_by {
            Some(by) => (Tone::Faint, format!("undone by #{by}")),
            None => (Tone::Plain, "in effect".to_owned()),
        };
        let text = format!("  #{} {note} · {}", rollback.id, rollback.in_words());
        let text = clipped(&visible(&text), width);
        lines.push((line(tone, text), Some(Lead::Event(rollback.id))));
        let why = rollback.reason.as_ref();
        let text = format!(
            "{} UTC by {}{}",
            rollback.timestamp.format("%Y-%m-%d %H:%M:%S"),
            rollback.actor,
            why.map_or_else(String::new, |why| format!(" · {why}")),
        );
        // It is in effect for all other rows, and for these as long as the later one is not undone.
        let later = found.narrowed_by.into_iter().map(|later| {
            format!(
                "#{} has gone back to before it, with {} alone",
                later.id,
                short(&later.scope)
            )
        });
        for text in std::iter::once(text).chain(later) {
            for part in wrapped(&visible(&text), width.saturating_sub(6).max(1)) {
                lines.push((line(Tone::Faint, format!("      {part}")), None));
            }
        }
    }
    if lines.len() == 1 {
        lines.push((line(Tone::Faint, "  none"), None));
    }
    lines
}

/// The rollback under the cursor.
#[must_use]
pub fn chosen_rollback(model: &Model) -> Option<EventId> {
    let lines = audit(model, model.size.page_width());
    match lines.into_iter().nth(model.audit.cursor)?.1? {
        Lead::Event(id) => Some(id),
        _ => None,
    }
}

/// A scope, a row by the beginning of its uuid.
fn short(scope: &Scope) -> String {
    match scope {
        Scope::Row(row) => format!("{} {}", row.table, &row.uuid.to_string()[..8]),
        scope => scope.to_string(),
    }
}

fn activity(model: &Model, by: ActivityBy, width: usize) -> Vec<(Line, Option<Lead>)> {
    let (title, key) = match by {
        ActivityBy::Actor => ("Events by actor", "actor"),
        ActivityBy::Table => ("Events by table", "type"),
        ActivityBy::Day => ("Events by day (UTC)", "since"),
    };
    let is_old = model.audit.counted_to != model.head && model.audit.activity_wanted.is_none();
    let counted_to = model.audit.counted_to.filter(|_| is_old);
    let title = match counted_to {
        Some(head) => {
            let key = model.key_for(Action::Reload);
            format!("{title}, to #{head} ({key} counts anew)")
        }
        None => title.to_owned(),
    };
    let mut lines = vec![heading(&title)];
    let known = model.audit.activity.iter().find(|(one, _)| *one == by);
    let Some((_, counts)) = known else {
        let text = match model.audit.activity_wanted {
            Some(_) => "  counting…".to_owned(),
            None => format!(
                "  not counted: {} tries again",
                model.key_for(Action::Reload)
            ),
        };
        lines.push((line(Tone::Faint, text), None));
        return lines;
    };
    let mut counts: Vec<&(String, u64)> = counts.iter().collect();
    // Days in their order, the latest first; the others by how much they did.
    match by {
        ActivityBy::Day => counts.reverse(),
        _ => counts.sort_by_key(|(_, events)| std::cmp::Reverse(*events)),
    }
    let most = counts.iter().map(|(_, events)| *events).max().unwrap_or(0);
    let names = counts.iter().map(|(name, _)| cells(&visible(name))).max();
    let names = names.unwrap_or_default().min(width / 3);
    for (name, events) in counts {
        let room = width.saturating_sub(names + 14).min(60);
        let text = format!(
            "  {} {events:>9} {}",
            fitted(&visible(name), names),
            bar(*events, most, room).trim_end_matches(['░', ' ']),
        );
        // Exactly this one: `root` is in `root/anna` too.
        let meant = match by {
            ActivityBy::Actor => format!("={name}"),
            _ => name.clone(),
        };
        let quoted = match name.contains(' ') {
            true => format!("\"{meant}\""),
            false => meant,
        };
        let filter = match by {
            ActivityBy::Day => format!("since:{name} until:{name}"),
            _ => format!("{key}:{quoted}"),
        };
        let lead = Some(Lead::Filter(filter)).filter(|_| !name.is_empty());
        lines.push((line(Tone::Plain, clipped(&text, width)), lead));
    }
    if lines.len() == 1 {
        lines.push((line(Tone::Faint, "  none"), None));
    }
    lines
}

/// A bar of so many cells.
#[must_use]
pub fn bar(done: u64, total: u64, cells: usize) -> String {
    let share = if total == 0 {
        0.0
    } else {
        done as f64 / total as f64
    };
    let filled = ((share.min(1.0) * cells as f64).ceil() as usize).min(cells);
    "█".repeat(filled) + &"░".repeat(cells - filled)
}
