//! A rollback: what is asked for, and its plan.

use super::super::effect::{Effect, RequestId, Slot};
use super::super::keymap::Action;
use super::super::model::{Asked, Model, Notice, Position, ReadRows, Rollback, Screen, Stage};
use super::super::pages;
use super::{cell, execution, preview, scroll_page, told};
use crate::eventsourcing::rollback::{Conflicts, RollbackPlan, Strategy};
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{ErrorCode, EventId, EventKind, Result, RowKey};

/// Begins with making the plan; the row is that of the chosen event.
pub(super) fn begin(model: &mut Model, asked: Asked, row: Option<RowKey>) -> Vec<Effect> {
    begin_with(model, Rollback::new(asked, row))
}

/// Whether an event of this moment stays: what is shown as it was after it is what one wants to have again.
pub(super) fn keeps(model: &Model, moment: Timestamp) -> bool {
    let is_shown = |position: Position| position.moment == moment;
    model.position.is_some_and(is_shown)
}

/// The same of one row: from a row's life nobody expects the whole database to be taken back.
pub(super) fn begin_with_row(model: &mut Model, asked: Asked, row: RowKey) -> Vec<Effect> {
    let mut rollback = Rollback::new(asked, Some(row.clone()));
    if let Asked::To { .. } = asked {
        rollback.scope = Scope::Row(row);
        rollback.is_widened = true;
    }
    begin_with(model, rollback)
}

fn begin_with(model: &mut Model, rollback: Rollback) -> Vec<Effect> {
    let mut effects = cell::close(model).unwrap_or_default();
    model.rollback = Some(rollback);
    if model.screen != Screen::Rollback {
        model.rollback_from = model.screen;
    }
    model.screen = Screen::Rollback;
    effects.extend(plan(model));
    effects
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
        _ if asked == Asked::Undo => chosen(model),
        _ => None,
    };
    let mut rollback = Rollback::new(asked, None);
    rollback.expected = expected;
    begin_with(model, rollback)
}

/// The rollback under the cursor of the audit or of the timeline.
fn chosen(model: &Model) -> Option<EventId> {
    match model.screen {
        Screen::Audit => pages::chosen_rollback(model),
        Screen::Timeline => {
            let event = &model.timeline.selected()?.event;
            match event.kind {
                EventKind::Rollback => Some(event.id),
                EventKind::RollbackEnd => Some(model.history.written_by(event.id)?.id),
                _ => None,
            }
        }
        _ => None,
    }
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
            let what_to_do = error
                .hint
                .map_or_else(String::new, |hint| format!(" {}.", sentence(&hint)));
            model.notice = Some(Notice::Info(format!(
                "{}.{what_to_do}",
                sentence(&error.message)
            )));
            return effects;
        }
        result => result,
    };
    match told(model, result) {
        Some(plan) => {
            preview::unmark(model);
            if let Some(rollback) = &mut model.rollback {
                rollback.wanted = None;
                rollback.planned = Some(request);
                let reason = rollback.reason.clone();
                rollback.plan = Some(plan.with_strategy(rollback.strategy).with_reason(reason));
                rollback.stage = Stage::Preview;
                rollback.rows = ReadRows::default();
                rollback.shown = None;
                rollback.next_blocker = 0;
            }
            let mut effects = preview::filter_rows(model);
            effects.extend(preview::settle(model));
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

/// Takes the reason: the plan is the same one for it.
pub(super) fn give_reason(model: &mut Model, text: &str) {
    if let Some(rollback) = &mut model.rollback {
        rollback.reason = (!text.is_empty()).then(|| text.to_owned());
        let reason = rollback.reason.clone();
        rollback.plan = rollback.plan.take().map(|plan| plan.with_reason(reason));
    }
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
        plan.authors = authors;
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
    // Whoever has gone elsewhere while the plan was made stays there.
    if model.screen == Screen::Rollback {
        model.screen = model.rollback_from;
    }
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
                let text = "Only a rollback to an event can be narrowed: to the table or the row of that event, or of the row that is marked (Tab).";
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
            preview::go_to_table(model, action == Action::NextTable);
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
        Action::GoToBlocker => return preview::go_to_blocker(model),
        Action::NextRow | Action::PreviousRow => preview::mark(model, action == Action::NextRow),
        Action::ViewChange => preview::view_change(model),
        Action::History => return preview::go_to_marked(model),
        Action::Stop => return execution::stop(model),
        _ => rollback.top = scroll_page(rollback.top, lines, height, action),
    }
    preview::settle(model)
}
