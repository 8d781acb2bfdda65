//! The last question before a rollback is carried out.

use super::super::{Line, Tone, line, paragraph};
use super::taken_back_by;
use crate::eventsourcing::rollback::RollbackPlan;
use crate::eventsourcing::store::Backend;
use crate::text::{clipped, visible};
use crate::tui::keymap::{Action, Context};
use crate::tui::model::{Asked, Model, Rollback};

/// What is said above the last question.
fn said_before(model: &Model, rollback: &Rollback, plan: &RollbackPlan, width: usize) -> Vec<Line> {
    let info = &model.info;
    let mut sentences = plan.sentences(&info.name);
    if let Some(reason) = &plan.request.reason {
        sentences.push(format!("Reason: {}", visible(reason)));
    }
    let actor = visible(&info.actor);
    // Where several use one account, who it is would not be told.
    let named = match info.actor.contains('/') {
        true => "",
        false => " (EBB_PERSON adds a name)",
    };
    sentences.push(format!("Recorded as made by {actor}{named}."));
    let key = taken_back_by(model, rollback);
    sentences.push(match rollback.asked {
        Asked::Undo => format!("Afterwards {key} redoes it."),
        Asked::To { .. } | Asked::Revert { .. } | Asked::Redo => {
            format!("Afterwards {key} undoes it.")
        }
    });
    let warnings = plan.warnings();
    let words = sentences.iter().flat_map(|sentence| {
        let tone = match warnings.contains(sentence) {
            true => Tone::Warning,
            false => Tone::Plain,
        };
        paragraph(tone, sentence, width)
    });
    words.collect()
}

/// The question itself.
fn question(model: &Model, rollback: &Rollback, plan: &RollbackPlan, width: usize) -> Vec<Line> {
    let id = rollback
        .to_type(model.production_name())
        .unwrap_or_default();
    let question = match model.info.backend {
        Backend::Postgres => format!(
            "This is written to the database that others use too. To go on, type {id} and press Enter."
        ),
        Backend::Sqlite => {
            format!("This is written to the database. To go on, type {id} and press Enter.")
        }
    };
    // That it would be refused is said before the id is typed.
    let mut question: Vec<Line> = paragraph(Tone::Warning, &question, width).collect();
    if let Some(head) = model.head.filter(|head| *head > plan.head) {
        let command = match rollback.asked {
            Asked::To { .. } => "rollback",
            Asked::Revert { .. } => "revert",
            Asked::Undo => "undo",
            Asked::Redo => "redo",
        };
        let text = format!(
            "The log has gone on to #{head} since this plan, so it will be refused: Esc, and {} makes it anew. Where events keep coming, \
             those who write have to pause, or `ebb {command} … --yes` plans and writes at once.",
            model.keymap.key_for(Context::Preview, Action::Reload),
        );
        question.extend(paragraph(Tone::Warning, &text, width));
    }
    question
}

/// Lines beside those that are said before and the question: the database, the field, and the buttons.
const FRAME: usize = 3;

/// The last first line of what is said above the question, where it has to be scrolled.
#[must_use]
pub fn confirm_last_top(model: &Model) -> usize {
    let rollback = model.rollback.as_ref();
    let plan = rollback.and_then(|one| one.plan.as_ref());
    rollback.zip(plan).map_or(0, |(rollback, plan)| {
        let (width, height) = (model.size.page_width(), model.size.content());
        let needed = FRAME + question(model, rollback, plan, width).len();
        let said = said_before(model, rollback, plan, width).len();
        match said + needed <= height {
            true => 0,
            false => (said + needed + 1).saturating_sub(height),
        }
    })
}

/// The last question. Database, target and field are in sight on every screen, whatever was scrolled before.
pub(super) fn confirm(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    (typed, top): (&str, usize),
    width: usize,
    height: usize,
) -> Vec<Line> {
    let info = &model.info;
    let place = format!(
        "{} ({}, {})",
        info.name,
        info.backend.as_str(),
        info.location
    );
    let words = said_before(model, rollback, plan, width);
    let question = question(model, rollback, plan, width);
    let id = rollback
        .to_type(model.production_name())
        .unwrap_or_default();
    let goes_on = match rollback.asked {
        Asked::To { .. } => "Roll back",
        Asked::Revert { .. } => "Revert",
        Asked::Undo => "Undo",
        Asked::Redo => "Redo",
    };
    let buttons = match typed == id {
        false => format!("  ▌[ Cancel ]     [ {goes_on} ]"),
        true => format!("   [ Cancel ]    ▌[ {goes_on} ]"),
    };
    let gap = || line(Tone::Plain, "");
    // Where there is little room the empty lines go first, and then what is said before is scrolled.
    let needed = FRAME + question.len();
    let is_roomy = needed + words.len() + 3 <= height;
    let gaps = |lines: &mut Vec<Line>| lines.extend(is_roomy.then(gap));
    let mut lines = vec![line(Tone::Strong, clipped(&visible(&place), width))];
    let (said, room) = (words.len(), height.saturating_sub(needed));
    match said <= room {
        true => lines.extend(words),
        false => {
            let room = room.saturating_sub(1);
            let top = top.min(said - room);
            lines.extend(words.into_iter().skip(top).take(room));
            let text = format!(
                "… lines {}–{} of {said}: ↑ ↓ show the others",
                top + 1,
                top + room
            );
            lines.push(line(Tone::Faint, clipped(&text, width)));
        }
    }
    gaps(&mut lines);
    lines.extend(question);
    gaps(&mut lines);
    lines.push(line(Tone::Strong, format!("  #{}_", visible(typed))));
    gaps(&mut lines);
    lines.push(line(Tone::Plain, buttons));
    lines
}
