//! What a rollback would do. A plan may change any number of rows and every key is answered at once, so of the rows
//! only the lines in sight are written.

use std::ops::Range;

use super::event::columns;
use super::{Line, Tone, line, paragraph};
use crate::eventsourcing::rollback::{ChangeEntry, RollbackPlan, RowAction, RowChange, Strategy};
use crate::text::{clipped, count, fitted, visible, width as cells};
use crate::tui::model::{Asked, Model, Rollback};

/// How many lines there are.
pub(super) fn length(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
) -> usize {
    head(model, rollback, plan, width).len() + lines_before(plan, plan.changes.len())
}

/// The rows of which lines are in sight, by their places in the plan.
pub(super) fn rows_in_sight(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
    sight: &Range<usize>,
) -> Range<usize> {
    let head = head(model, rollback, plan, width).len();
    rows_among(plan, head, sight)
}

/// The rows of which lines are among these, where they begin after so many lines. A plan may have a million rows: none but those are looked at.
fn rows_among(plan: &RollbackPlan, head: usize, sight: &Range<usize>) -> Range<usize> {
    let mut places = 0..plan.changes.len();
    let first_with = |line: usize| {
        let (mut low, mut high) = (0, places.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match head + lines_before(plan, middle + 1) > line {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        low
    };
    let first = first_with(sight.start);
    let end = match sight.end > head {
        true => (first_with(sight.end - 1) + 1).min(places.end),
        false => first,
    };
    places.start = first;
    places.end = end.max(first);
    places
}

/// How many lines the rows before this place have.
fn lines_before(plan: &RollbackPlan, place: usize) -> usize {
    2 * place + plan.changes.columns_before(place)
}

/// The lines in sight.
pub(super) fn in_sight(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
    sight: &Range<usize>,
) -> Vec<Line> {
    let head = head(model, rollback, plan, width);
    let rows = rows_among(plan, head.len(), sight);
    let mut at = head.len() + lines_before(plan, rows.start);
    let mut lines: Vec<Line> = head.into_iter().take(sight.end).skip(sight.start).collect();
    for (place, entry) in rows.clone().zip(plan.changes.entries_at(rows)) {
        let next = at + lines_of(entry);
        let written = change(entry, rollback.rows.at(place), width);
        let seen = (at..next).zip(written).filter(|(at, _)| sight.contains(at));
        lines.extend(seen.map(|(_, line)| line));
        at = next;
    }
    lines
}

/// What stands in the way, what would happen in words, the choices, and the counts.
fn head(model: &Model, rollback: &Rollback, plan: &RollbackPlan, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for blocker in &plan.blockers {
        lines.extend(paragraph(
            Tone::Warning,
            &format!("In the way: {}", blocker.message),
            width,
        ));
    }
    let mut sentences = plan.sentences(&model.info.name).into_iter();
    if let Some(first) = sentences.next() {
        let tone = if plan.later_events > 0 {
            Tone::Warning
        } else {
            Tone::Strong
        };
        lines.extend(paragraph(tone, &first, width));
    }
    for sentence in sentences {
        lines.extend(paragraph(Tone::Plain, &sentence, width));
    }
    lines.extend(choices(rollback, plan));
    lines.push(line(Tone::Plain, ""));
    let longest = plan
        .tables
        .iter()
        .map(|counts| cells(&counts.table))
        .max()
        .unwrap_or_default();
    for counts in &plan.tables {
        lines.push(line(
            Tone::Plain,
            format!(
                "{}  {:>4} removed  {:>4} brought back  {:>4} changed",
                fitted(&visible(&counts.table), longest.min(width / 2)),
                counts.removed,
                counts.brought_back,
                counts.changed
            ),
        ));
    }
    lines
}

/// What the keys for the boundary and the strategy have chosen, and what they would choose.
fn choices(rollback: &Rollback, plan: &RollbackPlan) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Asked::To { event, keep } = rollback.asked {
        let (now, other) = match keep {
            true => ("kept", "undone"),
            false => ("undone", "kept"),
        };
        lines.push(line(
            Tone::Faint,
            format!("i  boundary: #{event} is {now} (i: {other})"),
        ));
    }
    let strategy = plan.strategy();
    if !plan.takes_back_everything() {
        return lines;
    }
    let appends = |strategy| match strategy {
        Strategy::Minimal => Some(plan.appends_minimal),
        Strategy::Replay => plan.appends_replay,
    };
    let counted = "being counted".to_owned();
    lines.push(line(
        Tone::Faint,
        format!(
            "s  strategy: {strategy}, {} (s: {}, {})",
            appends(strategy).map_or(counted.clone(), |events| count(events, "event", "events")),
            strategy.other(),
            appends(strategy.other()).map_or(counted, |events| events.to_string()),
        ),
    ));
    lines
}

/// How many lines [`change`] writes: an empty one, the row's, and one for each column.
fn lines_of(entry: ChangeEntry<'_>) -> usize {
    2 + entry.columns
}

/// A row, before and after, or room for it until it has been read.
fn change(entry: ChangeEntry<'_>, row: Option<&RowChange>, width: usize) -> Vec<Line> {
    let (tone, words) = match entry.action {
        RowAction::Remove => (Tone::Removed, "- remove"),
        RowAction::BringBack => (Tone::Added, "+ bring back"),
        RowAction::Change => (Tone::Changed, "~ change"),
    };
    let title = visible(&format!("{words} {}", entry.key()));
    let mut lines = vec![line(Tone::Plain, ""), line(tone, clipped(&title, width))];
    match row {
        Some(row) => {
            for mut column in columns(&row.columns, width.saturating_sub(4)) {
                column.text.insert_str(0, "    ");
                lines.push(column);
            }
        }
        None => lines.resize(lines_of(entry), line(Tone::Faint, "    …")),
    }
    lines
}
