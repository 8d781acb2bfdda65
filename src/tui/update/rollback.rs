//! A rollback: its plan, and the preview of it.

use super::super::effect::{Effect, RequestId, Slot};
use super::super::keymap::Action;
use super::super::model::{
    Asked, Model, Notice, Overlay, ReadRows, Rollback, Screen, ShownRows, Stage,
};
use super::super::pages;
use super::{execution, links, scroll_page, told};
use crate::eventsourcing::rollback::{Conflicts, RollbackPlan, RowChange, Strategy};
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::{ErrorCode, Result, RowKey};
use crate::tui::layout::scrolled;

/// Begins with making the plan; the row is that of the chosen event.
pub(super) fn begin(model: &mut Model, asked: Asked, row: Option<RowKey>) -> Vec<Effect> {
    begin_with(model, Rollback::new(asked, row))
}

/// The same of one row: from a row's life nobody expects the whole database to be taken back.
pub(super) fn begin_with_row(model: &mut Model, asked: Asked, row: RowKey) -> Vec<Effect> {
    let mut rollback = Rollback::new(asked, Some(row.clone()));
    if let Asked::To { .. } = asked {
        rollback.scope = Scope::Row(row);
    }
    begin_with(model, rollback)
}

fn begin_with(model: &mut Model, rollback: Rollback) -> Vec<Effect> {
    model.cell = None;
    model.rollback = Some(rollback);
    if model.screen != Screen::Rollback {
        model.rollback_from = model.screen;
    }
    model.screen = Screen::Rollback;
    plan(model)
}

/// Begins with the plan of an undo, or a redo.
pub(super) fn begin_undo(model: &mut Model, action: Action) -> Vec<Effect> {
    let asked = match action {
        Action::Redo => Asked::Redo,
        _ => Asked::Undo,
    };
    let expected = match &model.rollback {
        Some(Rollback {
            stage: Stage::Result(outcome),
            // A redo puts an earlier one into effect again: that is what is undone then.
            asked: Asked::To { .. } | Asked::Revert { .. } | Asked::Undo,
            ..
        }) => outcome.rollback,
        // Where one of them is chosen from a list, and it is not the latest, that is said.
        _ if model.screen == Screen::Audit && asked == Asked::Undo => pages::chosen_rollback(model),
        _ => None,
    };
    let mut rollback = Rollback::new(asked, None);
    rollback.expected = expected;
    begin_with(model, rollback)
}

/// Asks for the plan. The one that is there stays on the screen, marked, until the new one arrives.
pub(super) fn plan(model: &mut Model) -> Vec<Effect> {
    let request = model.next_request();
    let Some(rollback) = &mut model.rollback else {
        return Vec::new();
    };
    rollback.wanted = Some(request);
    rollback.stage = Stage::Planning;
    vec![Effect::Plan(request, rollback.plan_request())]
}

pub(super) fn planned(
    model: &mut Model,
    request: RequestId,
    result: Result<RollbackPlan>,
) -> Vec<Effect> {
    if model.rollback.as_ref().and_then(|rollback| rollback.wanted) != Some(request) {
        return Vec::new();
    }
    // That there is nothing to undo is an answer, and no failure.
    let result = match result {
        Err(error) if error.code == ErrorCode::NothingToUndo => {
            let effects = cancel(model);
            model.notice = Some(Notice::Info(format!("{}.", sentence(&error.message))));
            return effects;
        }
        result => result,
    };
    match told(model, result) {
        Some(plan) => {
            if let Some(rollback) = &mut model.rollback {
                rollback.wanted = None;
                rollback.planned = Some(request);
                let reason = rollback.reason.clone();
                rollback.plan = Some(plan.with_strategy(rollback.strategy).with_reason(reason));
                rollback.stage = Stage::Preview;
                rollback.rows = ReadRows::default();
                rollback.shown = None;
                rollback.next_blocker = 0;
                rollback.marked = None;
            }
            let mut effects = filter_rows(model);
            effects.extend(settle(model));
            effects
        }
        // It is made when the database is there again.
        None if model
            .failure
            .as_ref()
            .is_some_and(|error| error.code == ErrorCode::Unreachable) =>
        {
            if let Some(rollback) = &mut model.rollback {
                rollback.wanted = None;
            }
            Vec::new()
        }
        // The plan before it, if there is one, is not what the keys ask for any more.
        None => cancel(model),
    }
}

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

/// Takes the reason: the plan is the same one for it.
pub(super) fn give_reason(model: &mut Model, text: &str) {
    if let Some(rollback) = &mut model.rollback {
        rollback.reason = (!text.is_empty()).then(|| text.to_owned());
        let reason = rollback.reason.clone();
        rollback.plan = rollback.plan.take().map(|plan| plan.with_reason(reason));
    }
}

/// Shows only the rows of the plan that this text is in.
pub(super) fn show_only(model: &mut Model, text: &str) -> Vec<Effect> {
    if let Some(rollback) = &mut model.rollback {
        text.trim().clone_into(&mut rollback.filter);
        // At the top stands which rows are shown.
        (rollback.top, rollback.marked) = (0, None);
    }
    let mut effects = filter_rows(model);
    effects.extend(settle(model));
    effects
}

/// Finds the rows that the filter shows.
fn filter_rows(model: &mut Model) -> Vec<Effect> {
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
    settle(model)
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

/// What has been counted for a plan after it was shown: for this one, if it still is.
fn counted<T>(
    model: &mut Model,
    request: RequestId,
    result: Result<T>,
    take: impl FnOnce(&mut RollbackPlan, Option<T>),
) -> Vec<Effect> {
    let is_current = |rollback: &Rollback| rollback.planned == Some(request);
    if !model.rollback.as_ref().is_some_and(is_current) {
        return Vec::new();
    }
    let counted = told(model, result);
    let rollback = model.rollback.as_mut();
    if let Some(plan) = rollback.and_then(|rollback| rollback.plan.as_mut()) {
        take(plan, counted);
    }
    Vec::new()
}

pub(super) fn replay_counted(
    model: &mut Model,
    request: RequestId,
    result: Result<u64>,
) -> Vec<Effect> {
    counted(model, request, result, |plan, events| {
        plan.appends_replay = events;
    })
}

pub(super) fn authors_counted(
    model: &mut Model,
    request: RequestId,
    result: Result<Vec<(String, u64)>>,
) -> Vec<Effect> {
    counted(model, request, result, |plan, authors| {
        plan.authors = authors
    })
}

/// After the log has been looked at: makes the plan that a lost connection kept from being made, and says whether a rollback that failed has written
/// anything.
pub(super) fn looked(model: &mut Model) -> Vec<Effect> {
    let head = model.head;
    let Some(rollback) = &mut model.rollback else {
        return Vec::new();
    };
    if let Some(failed) = &mut rollback.failed {
        failed.head = head;
    }
    match (&rollback.stage, rollback.wanted) {
        (Stage::Planning, None) => plan(model),
        _ => Vec::new(),
    }
}

/// To the row of the next blocker.
fn go_to_blocker(model: &mut Model) -> Vec<Effect> {
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

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}

/// Back to where it was begun; nothing was written, unless it was done: then the last line says so once more.
pub(super) fn cancel(model: &mut Model) -> Vec<Effect> {
    if let Some(rollback) = &model.rollback
        && let Stage::Result(outcome) = &rollback.stage
    {
        let words = pages::done(model, rollback, outcome);
        model.notice = Some(Notice::Info(words));
    }
    model.rollback = None;
    model.screen = model.rollback_from;
    vec![Effect::Cancel(Slot::Plan)]
}

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let lines = pages::rollback_length(model, model.size.page_width());
    let height = model.size.content();
    let Some(rollback) = &mut model.rollback else {
        return Vec::new();
    };
    match action {
        Action::ToggleBoundary => {
            let Asked::To { event, keep } = rollback.asked else {
                let text = "An undo has one boundary only: the rollback that it takes back.";
                model.notice = Some(Notice::Info(text.to_owned()));
                return Vec::new();
            };
            rollback.asked = Asked::To { event, keep: !keep };
            rollback.top = 0;
            return plan(model);
        }
        Action::ToggleScope => {
            let scopes = rollback.scopes();
            let at = scopes.iter().position(|scope| *scope == rollback.scope);
            let next = at.map_or(0, |at| (at + 1) % scopes.len());
            if scopes.len() == 1 {
                let text =
                    "Only a rollback to an event of a row can be narrowed to its table or its row.";
                model.notice = Some(Notice::Info(text.to_owned()));
                return Vec::new();
            }
            rollback.scope = scopes[next].clone();
            rollback.strategy = Strategy::Minimal;
            rollback.top = 0;
            return plan(model);
        }
        Action::ToggleConflicts => {
            let Asked::Revert { .. } = rollback.asked else {
                let text =
                    "Only where an event is reverted can later events have set the same columns.";
                model.notice = Some(Notice::Info(text.to_owned()));
                return Vec::new();
            };
            rollback.conflicts = match rollback.conflicts {
                None => Some(Conflicts::Ours),
                Some(Conflicts::Ours) => Some(Conflicts::Theirs),
                Some(Conflicts::Theirs) => None,
            };
            rollback.top = 0;
            return plan(model);
        }
        Action::ToggleLoss => {
            if !rollback.meets_losses() {
                let text = "No value would lose its place: there is nothing to allow.";
                model.notice = Some(Notice::Info(text.to_owned()));
                return Vec::new();
            }
            rollback.allow_loss = !rollback.allow_loss;
            rollback.top = 0;
            return plan(model);
        }
        Action::NextTable | Action::PreviousTable => {
            go_to_table(model, action == Action::NextTable);
        }
        Action::ToggleStrategy => {
            let is_part = |plan: &RollbackPlan| !plan.takes_back_everything();
            if rollback.plan.as_ref().is_some_and(is_part) {
                let text = "Replay takes back the whole database: a part of it can only be taken back by minimal.";
                model.notice = Some(Notice::Info(text.to_owned()));
                return Vec::new();
            }
            rollback.strategy = rollback.strategy.other();
            let strategy = rollback.strategy;
            let words = format!("{strategy}: {}.", strategy.in_words());
            model.notice = Some(Notice::Info(words));
            rollback.plan = rollback
                .plan
                .take()
                .map(|plan| plan.with_strategy(strategy));
        }
        Action::Proceed => execution::proceed(model),
        Action::GoToBlocker => return go_to_blocker(model),
        Action::NextRow | Action::PreviousRow => mark(model, action == Action::NextRow),
        Action::ViewChange => view_change(model),
        Action::History => return go_to_marked(model),
        Action::Stop => return execution::stop(model),
        _ => rollback.top = scroll_page(rollback.top, lines, height, action),
    }
    settle(model)
}

/// Marks another row, and brings it into sight.
fn mark(model: &mut Model, forwards: bool) {
    let (width, height) = (model.size.page_width(), model.size.content());
    let sight = pages::rows_in_sight(model, width, height);
    let shown = pages::rows_shown(model);
    let Some(rollback) = &mut model.rollback else {
        return;
    };
    let in_sight = rollback.marked.filter(|marked| sight.contains(marked));
    let next = match (in_sight, forwards) {
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
    let lines = pages::lines_of_row(model, width, next);
    if let Some(rollback) = &mut model.rollback {
        rollback.marked = Some(next);
        let last = lines.end.min(lines.start + height).saturating_sub(1);
        rollback.top = scrolled(scrolled(rollback.top, last, height), lines.start, height);
    }
}

/// The row that the keys for one row are about, marked: where none in sight is, the first that is.
fn marked(model: &mut Model) -> Option<usize> {
    let (width, height) = (model.size.page_width(), model.size.content());
    let sight = pages::rows_in_sight(model, width, height);
    let marked = model.rollback.as_ref()?.marked;
    if marked.is_none_or(|marked| !sight.contains(&marked)) {
        mark(model, true);
    }
    model.rollback.as_ref()?.marked
}

/// Shows what becomes of the row that is marked, whole.
fn view_change(model: &mut Model) {
    if marked(model).is_some() {
        model.overlay = Some(Overlay::Change { top: 0 });
    }
}

/// To the row that is marked.
fn go_to_marked(model: &mut Model) -> Vec<Effect> {
    let marked = marked(model);
    match marked.and_then(|place| pages::row_at(model, place)) {
        Some(key) => links::to_row(model, key, None),
        None => Vec::new(),
    }
}

/// Scrolls to the rows of another table.
fn go_to_table(model: &mut Model, forwards: bool) {
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
