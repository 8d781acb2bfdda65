//! What a rollback would do. A plan may change any number of rows and every key is answered at once, so of the rows
//! only the lines in sight are written.

mod head;

use std::ops::Range;

use super::event::{columns, columns_whole};
use super::{Line, Tone, line, paragraph};
use crate::eventsourcing::RowKey;
use crate::eventsourcing::rollback::{ChangeEntry, RollbackPlan, RowAction, RowChange};
use crate::text::{clipped, visible};
use crate::tui::model::{Model, Rollback};
use head::head;

/// How many lines there are.
pub(super) fn length(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
) -> usize {
    head(model, rollback, plan, width).len() + lines_before(rollback, plan, shown(rollback, plan))
}

/// How many rows are shown.
fn shown(rollback: &Rollback, plan: &RollbackPlan) -> usize {
    match &rollback.shown {
        Some(shown) => shown.places.len(),
        // Until it is known which rows are shown and in which order, none are.
        None if rollback.shown_wanted.is_some() || !rollback.filter.is_empty() => 0,
        None => plan.changes.len(),
    }
}

/// What there is to say of a row that is shown, without its values.
fn entry<'a>(rollback: &Rollback, plan: &'a RollbackPlan, place: usize) -> Option<ChangeEntry<'a>> {
    let place = match &rollback.shown {
        Some(shown) => *shown.places.get(place)?,
        None => place,
    };
    plan.changes.entries_at(place..place + 1).next()
}

/// The lines at which the rows of another table begin, the counts at the top being the first.
#[must_use]
pub fn table_lines(model: &Model, width: usize) -> Vec<usize> {
    let Some(
        rollback @ Rollback {
            plan: Some(plan), ..
        },
    ) = &model.rollback
    else {
        return Vec::new();
    };
    let head = head(model, rollback, plan, width).len();
    let mut lines = vec![0];
    let mut before = None;
    for place in 0..shown(rollback, plan) {
        let table = entry(rollback, plan, place).map(|entry| entry.table);
        if table != before {
            // Without the empty line before the row.
            lines.push(head + lines_before(rollback, plan, place) + 1);
            before = table;
        }
    }
    lines
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
    rows_among(rollback, plan, head, sight)
}

/// The rows of which lines are among these, where they begin after so many lines. A plan may have a million rows: none but those are looked at.
fn rows_among(
    rollback: &Rollback,
    plan: &RollbackPlan,
    head: usize,
    sight: &Range<usize>,
) -> Range<usize> {
    let mut places = 0..shown(rollback, plan);
    let first_with = |line: usize| {
        let (mut low, mut high) = (0, places.end);
        while low < high {
            let middle = low + (high - low) / 2;
            match head + lines_before(rollback, plan, middle + 1) > line {
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
fn lines_before(rollback: &Rollback, plan: &RollbackPlan, place: usize) -> usize {
    let columns = match &rollback.shown {
        Some(shown) => shown.columns_before.get(place).copied().unwrap_or_default(),
        None => plan.changes.columns_before(place),
    };
    2 * place + columns
}

/// How many rows there are to be marked.
#[must_use]
pub fn rows_shown(model: &Model) -> usize {
    let rollback = model.rollback.as_ref();
    let plan = rollback.and_then(|rollback| rollback.plan.as_ref());
    rollback.zip(plan).map_or(0, |(one, plan)| shown(one, plan))
}

/// The row at this place among those that are shown.
#[must_use]
pub fn row_at(model: &Model, place: usize) -> Option<RowKey> {
    let rollback = model.rollback.as_ref()?;
    entry(rollback, rollback.plan.as_ref()?, place).map(|entry| entry.key())
}

/// The place of this row among those that are shown.
#[must_use]
pub fn place_of_row(model: &Model, key: &RowKey) -> Option<usize> {
    let rollback = model.rollback.as_ref()?;
    let plan = rollback.plan.as_ref()?;
    (0..shown(rollback, plan)).find(|place| {
        let found = entry(rollback, plan, *place);
        found.is_some_and(|one| one.uuid == key.uuid && one.table == key.table)
    })
}

/// The lines of the row at this place, without the empty one before it.
#[must_use]
pub fn lines_of_row(model: &Model, width: usize, place: usize) -> Range<usize> {
    let Some(
        rollback @ Rollback {
            plan: Some(plan), ..
        },
    ) = &model.rollback
    else {
        return 0..0;
    };
    let head = head(model, rollback, plan, width).len();
    let first = head + lines_before(rollback, plan, place) + 1;
    first..head + lines_before(rollback, plan, place + 1)
}

/// The first row of which the first line is in sight; where none is, the one whose lines are.
#[must_use]
pub fn first_row_in_sight(model: &Model, width: usize, height: usize) -> Option<usize> {
    let sight = super::rows_in_sight(model, width, height);
    let top = model.rollback.as_ref()?.top;
    let mut begun = sight.clone();
    let begins = begun.find(|place| lines_of_row(model, width, *place).start >= top);
    begins
        .or(sight.clone().next())
        .or((rows_shown(model) > 0).then_some(0))
}

/// What becomes of the row that is marked, with whole values.
#[must_use]
pub fn change_whole(model: &Model, width: usize) -> Vec<Line> {
    let found = model.rollback.as_ref().and_then(|rollback| {
        let (place, plan) = (rollback.marked?, rollback.plan.as_ref()?);
        let entry = entry(rollback, plan, place)?;
        Some((plan, entry, rollback.rows.at(place)))
    });
    let Some((plan, entry, row)) = found else {
        return Vec::new();
    };
    let (tone, title) = title(entry);
    let mut lines = head::stale(model, plan, width);
    lines.extend(paragraph(tone, &title, width));
    match row {
        Some(row) => lines.extend(columns_whole(&row.columns, width)),
        None => lines.push(line(Tone::Faint, "reading…")),
    }
    lines
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
    let rows = rows_among(rollback, plan, head.len(), sight);
    let mut at = head.len() + lines_before(rollback, plan, rows.start);
    let mut lines: Vec<Line> = head.into_iter().take(sight.end).skip(sight.start).collect();
    for place in rows {
        let Some(entry) = entry(rollback, plan, place) else {
            break;
        };
        let next = at + lines_of(entry);
        let is_marked = rollback.marked == Some(place);
        let written = change(entry, rollback.rows.at(place), is_marked, width);
        let seen = (at..next).zip(written).filter(|(at, _)| sight.contains(at));
        lines.extend(seen.map(|(_, line)| line));
        at = next;
    }
    lines
}

/// How many lines [`change`] writes: an empty one, the row's, and one for each column.
fn lines_of(entry: ChangeEntry<'_>) -> usize {
    2 + entry.columns
}

/// What becomes of a row, and which it is.
fn title(entry: ChangeEntry<'_>) -> (Tone, String) {
    let (tone, words) = match entry.action {
        RowAction::Remove => (Tone::Removed, "- remove"),
        RowAction::BringBack => (Tone::Added, "+ bring back"),
        RowAction::Change => (Tone::Changed, "~ change"),
    };
    (tone, visible(&format!("{words} {}", entry.key())))
}

/// A row, before and after, or room for it until it has been read.
fn change(
    entry: ChangeEntry<'_>,
    row: Option<&RowChange>,
    is_marked: bool,
    width: usize,
) -> Vec<Line> {
    let (tone, title) = title(entry);
    let (tone, title) = match is_marked {
        true => (Tone::Strong, format!("▌{title}")),
        false => (tone, title),
    };
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
