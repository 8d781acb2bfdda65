//! The preview of a rollback: which of its rows are shown, read and marked.

use super::super::effect::{Effect, RequestId, Slot};
use super::super::layout::{Size, scrolled};
use super::super::model::{Model, Notice, Overlay, ReadRows, Rollback, ShownRows};
use super::super::pages;
use super::{links, told};
use crate::eventsourcing::Result;
use crate::eventsourcing::rollback::RowChange;

/// Reads the rows of the plan that are in sight, and as many before and after them, unless they are there.
pub(super) fn settle(model: &mut Model) -> Vec<Effect> {
    let sight = pages::rows_in_sight(model, model.size.page_width(), model.size.content());
    let is_there = |rollback: &Rollback| {
        let mut places = sight.clone();
        places.all(|place| rollback.rows.at(place).is_some())
    };
    if model.rollback.as_ref().is_none_or(is_there) {
        return Vec::new();
    }
    let request = model.next_request();
    let Some(Rollback {
        plan: Some(plan),
        rows,
        shown,
        ..
    }) = &mut model.rollback
    else {
        return Vec::new();
    };
    rows.wanted = Some(request);
    let around = sight.start.saturating_sub(sight.len())..sight.end + sight.len();
    let places: Vec<usize> = match shown {
        Some(shown) => {
            let end = around.end.min(shown.places.len());
            shown.places[around.start.min(end)..end].to_vec()
        }
        None => (around.start..around.end.min(plan.changes.len())).collect(),
    };
    let changes = plan.changes.clone();
    vec![Effect::Changes(request, changes, around.start, places)]
}

/// Shows only the rows of the plan that this text is in.
pub(super) fn show_only(model: &mut Model, text: &str) -> Vec<Effect> {
    unmark(model);
    if let Some(rollback) = &mut model.rollback {
        text.trim().clone_into(&mut rollback.filter);
        // At the top stands which rows are shown.
        rollback.top = 0;
    }
    let mut effects = filter_rows(model);
    effects.extend(settle(model));
    effects
}

/// Finds the rows that the filter shows.
pub(super) fn filter_rows(model: &mut Model) -> Vec<Effect> {
    let request = model.next_request();
    let Some(rollback) = &mut model.rollback else {
        return Vec::new();
    };
    let Some(plan) = &rollback.plan else {
        return Vec::new();
    };
    if rollback.filter.is_empty() && plan.changes.len() <= SORTED_AT_ONCE {
        rollback.shown_wanted = None;
        rollback.shown = ShownRows::by_table(&plan.changes);
        rollback.rows = ReadRows::default();
        mark_again(model);
        return vec![Effect::Cancel(Slot::Shown)];
    }
    rollback.shown_wanted = Some(request);
    let (changes, text) = (plan.changes.clone(), rollback.filter.clone());
    vec![Effect::Shown(request, changes, text)]
}

pub(super) fn shown(
    model: &mut Model,
    request: RequestId,
    result: Result<ShownRows>,
) -> Vec<Effect> {
    let wanted = model.rollback.as_ref().and_then(|one| one.shown_wanted);
    if wanted != Some(request) {
        return Vec::new();
    }
    let found = told(model, result);
    if let Some(rollback) = &mut model.rollback {
        rollback.shown_wanted = None;
        rollback.shown = found;
        rollback.rows = ReadRows::default();
    }
    mark_again(model);
    settle(model)
}

/// Which rows are shown is going to change: the one that is marked, and in sight, is looked for among them.
pub(super) fn unmark(model: &mut Model) {
    let key = marked_in_sight(model).and_then(|place| pages::row_at(model, place));
    if let Some(rollback) = &mut model.rollback {
        rollback.to_mark = key.or(rollback.to_mark.take());
        rollback.marked = None;
    }
}

/// Marks that row again; where all rows are shown, one goes on from it.
fn mark_again(model: &mut Model) {
    let wanted = model.rollback.as_mut().and_then(|one| one.to_mark.take());
    let place = wanted.and_then(|key| pages::place_of_row(model, &key));
    let Some(rollback) = &mut model.rollback else {
        return;
    };
    rollback.marked = place;
    if rollback.filter.is_empty() {
        show_mark(model);
    }
}

/// Brings the marked row into sight.
fn show_mark(model: &mut Model) {
    let (width, height) = (model.size.page_width(), model.size.content());
    let Some(marked) = model.rollback.as_ref().and_then(|one| one.marked) else {
        return;
    };
    let lines = pages::lines_of_row(model, width, marked);
    if let Some(rollback) = &mut model.rollback {
        let last = lines.end.min(lines.start + height).saturating_sub(1);
        rollback.top = scrolled(scrolled(rollback.top, last, height), lines.start, height);
    }
}

/// After the screen has changed its size: a marked row that was in sight stays there.
pub(super) fn resize(model: &mut Model, size: Size) -> Vec<Effect> {
    let was_in_sight = marked_in_sight(model).is_some();
    model.size = size;
    if was_in_sight {
        show_mark(model);
    }
    settle(model)
}

/// The row that is marked, where it is in sight.
fn marked_in_sight(model: &Model) -> Option<usize> {
    let (width, height) = (model.size.page_width(), model.size.content());
    let marked = model.rollback.as_ref()?.marked?;
    let sight = pages::rows_in_sight(model, width, height);
    sight.contains(&marked).then_some(marked)
}

pub(super) fn changes_read(
    model: &mut Model,
    request: RequestId,
    first: usize,
    result: Result<Vec<RowChange>>,
) -> Vec<Effect> {
    let wanted = model.rollback.as_ref().and_then(|one| one.rows.wanted);
    if wanted != Some(request) {
        return Vec::new();
    }
    let read = told(model, result);
    if let Some(rollback) = &mut model.rollback {
        rollback.rows.wanted = None;
        if let Some(rows) = read {
            rollback.rows = ReadRows {
                first,
                rows,
                wanted: None,
            };
        }
    }
    Vec::new()
}

/// To the row of the next blocker.
pub(super) fn go_to_blocker(model: &mut Model) -> Vec<Effect> {
    let Some(Rollback {
        plan: Some(plan),
        next_blocker,
        ..
    }) = &mut model.rollback
    else {
        return Vec::new();
    };
    let Some(blocker) = plan.blockers.get(*next_blocker) else {
        let text = "Nothing stands in the way.";
        model.notice = Some(Notice::Info(text.to_owned()));
        return Vec::new();
    };
    *next_blocker = (*next_blocker + 1) % plan.blockers.len();
    let key = blocker.row.clone();
    links::to_row(model, key, None)
}

/// Marks another row, and brings it into sight.
pub(super) fn mark(model: &mut Model, forwards: bool) {
    let (width, height) = (model.size.page_width(), model.size.content());
    let shown = pages::rows_shown(model);
    let next = match (marked_in_sight(model), forwards) {
        (None, _) => pages::first_row_in_sight(model, width, height),
        (Some(marked), true) => Some(marked + 1).filter(|next| *next < shown),
        (Some(marked), false) => marked.checked_sub(1),
    };
    let Some(next) = next else {
        let text = match (shown, forwards) {
            (0, _) => "There is no row to be marked.",
            (_, true) => "This is the last row.",
            (_, false) => "This is the first row.",
        };
        model.notice = Some(Notice::Info(text.to_owned()));
        return;
    };
    let key = pages::row_at(model, next);
    if let Some(rollback) = &mut model.rollback {
        rollback.marked = Some(next);
        rollback.other_row = key;
    }
    show_mark(model);
}

/// The row that the keys for one row are about, marked: where none in sight is, the first that is.
fn marked(model: &mut Model) -> Option<usize> {
    if marked_in_sight(model).is_none() {
        mark(model, true);
    }
    model.rollback.as_ref()?.marked
}

/// Shows what becomes of the row that is marked, whole.
pub(super) fn view_change(model: &mut Model) {
    if marked(model).is_some() {
        model.overlay = Some(Overlay::Change { top: 0 });
    }
}

/// To the row that is marked.
pub(super) fn go_to_marked(model: &mut Model) -> Vec<Effect> {
    let marked = marked(model);
    match marked.and_then(|place| pages::row_at(model, place)) {
        Some(key) => links::to_row(model, key, None),
        None => Vec::new(),
    }
}

/// Scrolls to the rows of another table.
pub(super) fn go_to_table(model: &mut Model, forwards: bool) {
    let lines = pages::table_lines(model, model.size.page_width());
    let Some(rollback) = &mut model.rollback else {
        return;
    };
    let found = match forwards {
        true => lines.iter().find(|line| **line > rollback.top),
        false => lines.iter().rev().find(|line| **line < rollback.top),
    };
    match found {
        Some(line) => rollback.top = *line,
        None => {
            let text = match forwards {
                true => "There is no other table below.",
                false => "There is no other table above.",
            };
            model.notice = Some(Notice::Info(text.to_owned()));
        }
    }
}

/// Rows that are put in the order of their tables while a key is answered; more of them are by a task.
const SORTED_AT_ONCE: usize = 20_000;
