//! A rollback from the question on: what is typed, the progress, the outcome. Nothing is written before the question is answered.

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Key;
use super::super::model::{Failed, Leaving, Model, Notice, Rollback, Stage};
use super::super::pages;
use super::{event_pages, links, reload, reload_with, rollback};
use crate::eventsourcing::rollback::{Purpose, RollbackOutcome};
use crate::eventsourcing::store::Writer;
use crate::eventsourcing::{Error, ErrorCode, Result};

/// On to the question, if there is anything to ask.
pub(super) fn proceed(model: &mut Model) {
    let changes_nothing = model
        .rollback
        .as_ref()
        .is_some_and(Rollback::changes_nothing);
    let Some(Rollback {
        plan: Some(plan),
        stage,
        ..
    }) = &mut model.rollback
    else {
        return;
    };
    let refusal = if let Some(reason) = &model.info.read_only {
        Some(format!("Nothing can be written here: {reason}."))
    } else if plan.is_empty() {
        Some("There is nothing to undo: no event comes after the target.".to_owned())
    } else if changes_nothing {
        Some("It is so already: nothing would change, so there is nothing to confirm.".to_owned())
    } else {
        let first = plan.blockers.first();
        first.map(|blocker| format!("It cannot be done: {}.", blocker.message))
    };
    match refusal {
        Some(refusal) => model.notice = Some(Notice::Info(refusal)),
        None => {
            *stage = Stage::Confirm {
                typed: String::new(),
                top: 0,
            };
        }
    }
}

/// Characters of the field at most.
const LONGEST: usize = 200;

/// A key in the field of the question: it reaches the field whatever else has the focus.
pub(super) fn typed(model: &mut Model, key: Key) -> Vec<Effect> {
    let production = model.production_name().map(str::to_owned);
    let last = pages::confirm_last_top(model);
    let Some(rollback) = &mut model.rollback else {
        return Vec::new();
    };
    let wanted = rollback.to_type(production.as_deref());
    let Stage::Confirm { typed, top } = &mut rollback.stage else {
        return Vec::new();
    };
    match key {
        Key::Up | Key::PageUp => *top = top.saturating_sub(1),
        Key::Down | Key::PageDown => *top = (*top + 1).min(last),
        Key::Char(character) if typed.len() < LONGEST => typed.push(character),
        Key::Backspace => drop(typed.pop()),
        // The sign that stands before the field may be typed too.
        Key::Enter if wanted.as_deref() == Some(typed.trim_start_matches('#')) => {
            return execute(model);
        }
        Key::Enter | Key::Esc => {
            let why = match (wanted, typed.is_empty()) {
                (Some(wanted), false) if key == Key::Enter => {
                    format!(": {typed} was typed, and it is {wanted}")
                }
                _ => String::new(),
            };
            rollback.stage = Stage::Preview;
            model.notice = Some(Notice::Info(format!(
                "Not confirmed{why}; nothing was written."
            )));
        }
        _ => {}
    }
    Vec::new()
}

fn execute(model: &mut Model) -> Vec<Effect> {
    let request = model.next_request();
    let Some(rollback) = &mut model.rollback else {
        return Vec::new();
    };
    let Some(plan) = rollback.plan.clone() else {
        return Vec::new();
    };
    // The plan's first sentence said how much later work goes with an undo, and the id was typed under it.
    match plan.confirm(true) {
        Ok(confirmed) => {
            rollback.wanted = Some(request);
            rollback.failed = None;
            rollback.stage = Stage::begun();
            vec![Effect::Execute(request, Box::new(confirmed))]
        }
        Err(error) => failed(model, error),
    }
}

/// Back to the plan, over which stands that it failed; and the log is looked at for whether anything was written.
fn failed(model: &mut Model, error: Error) -> Vec<Effect> {
    if let Some(rollback) = &mut model.rollback {
        rollback.stage = Stage::Preview;
        rollback.failed = Some(Failed {
            error: error.clone(),
            head: None,
        });
    }
    model.failure = Some(error);
    reload(model)
}

/// Asks the rollback at work to stop.
pub(super) fn stop(model: &mut Model) -> Vec<Effect> {
    match &mut model.rollback {
        Some(Rollback {
            stage: Stage::Running { stopping, .. },
            ..
        }) => {
            *stopping = true;
            vec![Effect::Stop]
        }
        _ => Vec::new(),
    }
}

pub(super) fn waiting(model: &mut Model, now: Option<Writer>) -> Vec<Effect> {
    if let Some(Rollback {
        stage: Stage::Running { writer, .. },
        ..
    }) = &mut model.rollback
    {
        *writer = now;
    }
    Vec::new()
}

pub(super) fn progress(model: &mut Model, now: u64, in_all: u64, milliseconds: u64) -> Vec<Effect> {
    if let Some(Rollback {
        stage:
            Stage::Running {
                done,
                total,
                elapsed,
                ..
            },
        ..
    }) = &mut model.rollback
    {
        (*done, *total, *elapsed) = (now, in_all, milliseconds);
    }
    Vec::new()
}

pub(super) fn executed(
    model: &mut Model,
    request: RequestId,
    result: Result<RollbackOutcome>,
) -> Vec<Effect> {
    let Some(rollback) = &mut model.rollback else {
        return Vec::new();
    };
    if rollback.wanted != Some(request) {
        return Vec::new();
    }
    rollback.wanted = None;
    rollback.top = 0;
    // What was said while it was at work holds no more.
    model.notice = None;
    if model.leaving == Leaving::WhenDone {
        model.leaving = Leaving::Now;
        model.last_word = Some(result);
        return Vec::new();
    }
    match result {
        Ok(outcome) => {
            rollback.stage = Stage::Result(outcome);
            // What was done is seen in the tables as they are now.
            let mut effects = links::return_to_now(model);
            effects.extend(reload(model));
            effects
        }
        Err(error) if error.code == ErrorCode::Stale => {
            model.notice = Some(Notice::Info(format!(
                "{}. Here is the new plan; look at it and confirm it again.",
                error.message
            )));
            // What is undone is the latest in effect: that may be another one now.
            if let Some(rollback) = &mut model.rollback {
                let taken_back = rollback.plan.as_ref().and_then(|plan| match plan.purpose {
                    Purpose::Undo(id) | Purpose::Redo(id) => Some(id),
                    Purpose::Rollback => None,
                });
                rollback.expected = taken_back.or(rollback.expected);
                // It is looked at from the top, wherever one was in the one before.
                rollback.marked = None;
            }
            let mut effects = rollback::plan(model);
            // The event that was chosen stays under the cursor.
            let events = event_pages::read_around(model);
            effects.extend(reload_with(model, events));
            effects
        }
        Err(error) => failed(model, error),
    }
}
