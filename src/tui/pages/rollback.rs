//! A rollback, from its preview to its result.

mod confirm;

use std::ops::Range;

use super::{Line, Tone, bar, line, paragraph, preview};
use crate::eventsourcing::EventId;
use crate::eventsourcing::rollback::{
    Purpose, RollbackOutcome, RollbackPlan, Strategy, TableCounts,
};
use crate::text::count;
use crate::tui::keymap::{Action, Context};
use crate::tui::model::{Asked, Model, Rollback, Stage};
use confirm::confirm;

pub use confirm::confirm_last_top;

/// The lines in sight of a rollback's page, at whatever stage it is.
#[must_use]
pub fn rollback(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let Some(rollback) = &model.rollback else {
        return none(model, width);
    };
    match (&rollback.stage, &rollback.plan) {
        (Stage::Planning, _) if rollback.wanted.is_none() => {
            let text = format!(
                "The plan could not be made: the database cannot be reached. It is made when it is there again; {} tries at once, {} goes back.",
                model.key_for(Action::Reload),
                model.key_for(Action::Back),
            );
            paragraph(Tone::Warning, &text, width).collect()
        }
        (Stage::Planning, None) => vec![line(Tone::Faint, "making the plan…")],
        (Stage::Planning, Some(plan)) => {
            let banner = "making the plan anew; this is the one before…";
            let mut lines = vec![line(Tone::Faint, banner)];
            let room = height.saturating_sub(1);
            lines.extend(preview_in_sight(model, rollback, plan, width, room));
            lines
        }
        (Stage::Preview, Some(plan)) => preview_in_sight(model, rollback, plan, width, height),
        (Stage::Confirm { typed, top }, Some(plan)) => {
            confirm(model, rollback, plan, (typed, *top), width, height)
        }
        (
            Stage::Running {
                done,
                total,
                elapsed,
                stopping,
                writer,
            },
            Some(plan),
        ) => {
            let steps = (*done, *total, *elapsed);
            let mut lines = running(model, plan, steps, *stopping, width);
            if let Some(writer) = writer {
                lines.push(line(Tone::Plain, ""));
                lines.extend(paragraph(
                    Tone::Warning,
                    &format!("Waiting for {writer}."),
                    width,
                ));
            }
            lines
        }
        (Stage::Result(outcome), Some(plan)) => result(model, rollback, plan, outcome, width),
        (_, None) => Vec::new(),
    }
}

/// Where one is told how a rollback begins.
fn none(model: &Model, width: usize) -> Vec<Line> {
    let key = |action| model.keymap.key_for(Context::Timeline, action);
    let text = format!(
        "No rollback is being planned. {} on an event of the timeline or of a row's life shows what going back to before it would change; {} \
         shows what undoing its transaction alone would. {} shows what undoing the latest rollback would change. Nothing is written before \
         you have typed the event's id.",
        key(Action::RollBack),
        key(Action::Revert),
        key(Action::Undo),
    );
    let mut lines: Vec<Line> = paragraph(Tone::Plain, &text, width).collect();
    lines.push(line(Tone::Plain, ""));
    let text = "The rollbacks that were made stand in the audit, with their reasons.";
    lines.extend(paragraph(Tone::Faint, text, width));
    lines
}

/// How many lines the part of it has that can be scrolled: the preview.
#[must_use]
pub fn rollback_length(model: &Model, width: usize) -> usize {
    match &model.rollback {
        Some(
            rollback @ Rollback {
                stage: Stage::Preview,
                plan: Some(plan),
                ..
            },
        ) => preview::length(model, rollback, plan, width),
        _ => 0,
    }
}

/// The rows of which the preview shows lines, by their places in the plan.
#[must_use]
pub fn rows_in_sight(model: &Model, width: usize, height: usize) -> Range<usize> {
    match &model.rollback {
        Some(
            rollback @ Rollback {
                plan: Some(plan), ..
            },
        ) => {
            let sight = sight(model, rollback, plan, width, height);
            preview::rows_in_sight(model, rollback, plan, width, &sight)
        }
        _ => 0..0,
    }
}

/// The lines of the preview in sight.
fn sight(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
    height: usize,
) -> Range<usize> {
    // On a screen that has become larger the page may end before the line that was at the top.
    let last = preview::length(model, rollback, plan, width).saturating_sub(height);
    let top = rollback.top.min(last);
    top..top + height
}

fn preview_in_sight(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    width: usize,
    height: usize,
) -> Vec<Line> {
    let sight = sight(model, rollback, plan, width, height);
    preview::in_sight(model, rollback, plan, width, &sight)
}

fn running(
    model: &Model,
    plan: &RollbackPlan,
    (done, total, elapsed): (u64, u64, u64),
    stopping: bool,
    width: usize,
) -> Vec<Line> {
    let mut lines: Vec<Line> = paragraph(
        Tone::Strong,
        &format!("{} {}…", at_work(plan), model.info.name),
        width,
    )
    .collect();
    lines.push(line(Tone::Plain, ""));
    lines.push(line(Tone::Plain, bar(done, total, width.min(60))));
    lines.push(line(
        Tone::Plain,
        match total {
            0 if elapsed > 1000 => {
                "It has not begun: another program may be writing, and this waits for its end."
                    .to_owned()
            }
            0 => format!(
                "{} to append",
                plan.events_to_append().map_or_else(
                    || "events".to_owned(),
                    |events| count(events, "event", "events")
                )
            ),
            _ => format!("{done} of {total} steps{}", left(done, total, elapsed)),
        },
    ));
    if let (Strategy::Replay, 0, Some(events)) = (plan.strategy(), done, plan.events_to_append()) {
        let events = count(events, "event", "events");
        let text = format!("{events} are appended first, in one go: the bar moves when they are.");
        lines.extend(paragraph(Tone::Plain, &text, width));
    }
    lines.push(line(Tone::Plain, ""));
    let (tone, text) = match stopping {
        true => (
            Tone::Warning,
            "Asked to stop; the answer is on its way.".to_owned(),
        ),
        false => (
            Tone::Faint,
            format!(
                "{} asks it to stop: everything so far is then undone.",
                model.key_for(Action::Stop)
            ),
        ),
    };
    lines.extend(paragraph(tone, &text, width));
    lines
}

fn at_work(plan: &RollbackPlan) -> String {
    match plan.purpose {
        Purpose::Rollback => "Rolling back".to_owned(),
        Purpose::Undo(id) => format!("Undoing rollback #{id} of"),
        Purpose::Redo(id) => format!("Redoing what undo #{id} took back of"),
    }
}

/// How long it will take, as it went so far; nothing where that is too early to say.
fn left(done: u64, total: u64, elapsed: u64) -> String {
    if elapsed < 1000 || done == 0 || done >= total {
        return String::new();
    }
    match elapsed.saturating_mul(total - done) / done / 1000 {
        0 => ", less than a second left".to_owned(),
        seconds @ 1..120 => format!(", about {} left", count(seconds, "second", "seconds")),
        seconds => format!(", about {} minutes left", seconds / 60),
    }
}

fn sum(plan: &RollbackPlan, of: impl Fn(&TableCounts) -> u64) -> u64 {
    plan.tables.iter().map(of).sum()
}

fn done_words(model: &Model, rollback: &Rollback) -> String {
    let name = &model.info.name;
    let taken_back = |id| {
        let made = model
            .history
            .rollback(id)
            .map(crate::eventsourcing::history::Rollback::in_words);
        made.map_or_else(|| format!("#{id}"), |made| format!("#{id}, {made},"))
    };
    let purpose = rollback.plan.as_ref().map(|plan| plan.purpose);
    if let Some(Purpose::Undo(id) | Purpose::Redo(id)) = purpose {
        return format!("{} is taken back in {name}", taken_back(id));
    }
    match rollback.asked {
        Asked::To { .. } => match rollback.scope.name() {
            Some(scope) => format!("{scope} of {name} is taken back"),
            None => format!("{name} is taken back"),
        },
        Asked::Revert { event } => format!("the transaction of #{event} is undone in {name}"),
        Asked::Undo => format!("the latest rollback of {name} is undone"),
        Asked::Redo => format!("the latest undo of {name} is taken back"),
    }
}

fn result(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    outcome: &RollbackOutcome,
    width: usize,
) -> Vec<Line> {
    let name = &model.info.name;
    let mut lines = Vec::new();
    match (outcome.rollback, outcome.rollback_end) {
        (Some(first), Some(last)) => {
            lines.extend(paragraph(
                Tone::Strong,
                &format!("Done: {}.", done_words(model, rollback)),
                width,
            ));
            lines.push(line(Tone::Plain, ""));
            lines.extend(paragraph(
                Tone::Plain,
                &appended(outcome, first, last),
                width,
            ));
            let verified = match outcome.keeps_through {
                _ if !plan.takes_back_everything() || !plan.losses.is_empty() => {
                    "The rows that changed verified equal to the plan.".to_owned()
                }
                0 => "Tables verified equal to before the first event.".to_owned(),
                id => format!("Tables verified equal to #{id}."),
            };
            lines.push(line(Tone::Plain, verified));
            lines.extend(paragraph(
                Tone::Plain,
                &format!(
                    "{} changed: {} removed, {} brought back, {} with other values.",
                    count(plan.changes.len() as u64, "row", "rows"),
                    sum(plan, |counts| counts.removed),
                    sum(plan, |counts| counts.brought_back),
                    sum(plan, |counts| counts.changed),
                ),
                width,
            ));
            lines.push(line(Tone::Plain, ""));
            let later = plan.later_events;
            if later > 0 {
                let text = format!(
                    "{} of later work went with it.",
                    count(later, "event", "events")
                );
                lines.extend(paragraph(Tone::Warning, &text, width));
            }
            let key = taken_back_by(model, rollback);
            let text = match rollback.asked {
                Asked::Undo => format!("{key} redoes what this took back."),
                Asked::Redo => format!("{key} undoes it again."),
                Asked::To { .. } | Asked::Revert { .. } => format!("{key} undoes it."),
            };
            lines.extend(paragraph(Tone::Faint, &text, width));
        }
        _ => lines.extend(paragraph(
            Tone::Strong,
            &format!("Nothing to undo in {name}: nothing was appended."),
            width,
        )),
    }
    lines
}

/// The key that takes back what was done.
fn taken_back_by(model: &Model, rollback: &Rollback) -> String {
    let action = match rollback.asked {
        Asked::Undo => Action::Redo,
        Asked::To { .. } | Asked::Revert { .. } | Asked::Redo => Action::Undo,
    };
    model.keymap.key_for(Context::Result, action)
}

/// That it is done, and which key takes it back, for whoever has left its page.
#[must_use]
pub fn done(model: &Model, rollback: &Rollback, outcome: &RollbackOutcome) -> String {
    let (name, key) = (&model.info.name, taken_back_by(model, rollback));
    match (outcome.rollback, outcome.rollback_end, rollback.asked) {
        (None, ..) | (_, None, _) => format!("There was nothing to undo in {name}."),
        (_, _, Asked::Undo) => format!("Done: {}. {key} redoes it.", done_words(model, rollback)),
        _ => format!("Done: {}. {key} undoes it.", done_words(model, rollback)),
    }
}

/// What a rollback did, in one sentence, for a reader who has left the screens.
#[must_use]
pub fn last_word(outcome: &RollbackOutcome) -> String {
    match (outcome.rollback, outcome.rollback_end) {
        (Some(first), Some(last)) => format!(
            "The rollback was done: {} `ebb undo` undoes it.",
            appended(outcome, first, last)
        ),
        _ => "There was nothing to undo: nothing was appended.".to_owned(),
    }
}

fn appended(outcome: &RollbackOutcome, first: EventId, last: EventId) -> String {
    format!(
        "{} appended, #{first} to #{last}, by {}.",
        count(outcome.events_appended, "event", "events"),
        outcome.strategy
    )
}
