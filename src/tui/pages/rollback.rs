//! A rollback, from its preview to its result.

use std::ops::Range;

use super::{Line, Tone, line, paragraph, preview};
use crate::eventsourcing::EventId;
use crate::eventsourcing::rollback::{RollbackOutcome, RollbackPlan};
use crate::text::{clipped, count, visible};
use crate::tui::model::{Asked, Model, Rollback, Stage};

/// The lines in sight of a rollback's page, at whatever stage it is.
#[must_use]
pub fn rollback(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let Some(rollback) = &model.rollback else {
        return Vec::new();
    };
    match (&rollback.stage, &rollback.plan) {
        (Stage::Planning, None) => vec![line(Tone::Faint, "making the plan…")],
        (Stage::Planning, Some(plan)) => {
            let banner = "making the plan anew; this is the one before…";
            let mut lines = vec![line(Tone::Faint, banner)];
            let room = height.saturating_sub(1);
            lines.extend(preview_in_sight(model, rollback, plan, width, room));
            lines
        }
        (Stage::Preview, Some(plan)) => preview_in_sight(model, rollback, plan, width, height),
        (Stage::Confirm { typed }, Some(plan)) => {
            confirm(model, rollback, plan, typed, width, height)
        }
        (
            Stage::Running {
                done,
                total,
                stopping,
                writer,
            },
            Some(plan),
        ) => {
            let mut lines = running(model, plan, *done, *total, *stopping, width);
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
        (Stage::Result(outcome), Some(plan)) => result(model, plan, outcome, width),
        (_, None) => Vec::new(),
    }
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

/// The last question. Database, target and field are in sight on every screen, whatever was scrolled before.
fn confirm(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    typed: &str,
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
    let words: Vec<Line> = plan
        .sentences(&info.name)
        .iter()
        .flat_map(|sentence| paragraph(Tone::Plain, sentence, width))
        .collect();
    let id = rollback
        .id_to_type()
        .map(|id| id.to_string())
        .unwrap_or_default();
    let question = format!(
        "This is written to the database that others use too. To go on, type {id} and press Enter."
    );
    let question: Vec<Line> = paragraph(Tone::Warning, &question, width).collect();
    let goes_on = match rollback.asked {
        Asked::To { .. } => "Roll back",
        Asked::Undo => "Undo",
        Asked::Redo => "Redo",
    };
    let buttons = match typed == id {
        false => format!("  ▌[ Cancel ]     [ {goes_on} ]"),
        true => format!("   [ Cancel ]    ▌[ {goes_on} ]"),
    };
    let gap = || line(Tone::Plain, "");
    // Where there is little room the empty lines go first, and then the counts, which the preview has shown.
    let needed = 1 + question.len() + 2;
    let is_roomy = needed + words.len() + 3 <= height;
    let gaps = |lines: &mut Vec<Line>| lines.extend(is_roomy.then(gap));
    let mut lines = vec![line(Tone::Strong, clipped(&visible(&place), width))];
    lines.extend(words.into_iter().take(height.saturating_sub(needed)));
    gaps(&mut lines);
    lines.extend(question);
    gaps(&mut lines);
    lines.push(line(Tone::Strong, format!("  #{}_", visible(typed))));
    gaps(&mut lines);
    lines.push(line(Tone::Plain, buttons));
    lines
}

fn running(
    model: &Model,
    plan: &RollbackPlan,
    done: u64,
    total: u64,
    stopping: bool,
    width: usize,
) -> Vec<Line> {
    let mut lines: Vec<Line> = paragraph(
        Tone::Strong,
        &format!("Rolling back {}…", model.info.name),
        width,
    )
    .collect();
    lines.push(line(Tone::Plain, ""));
    let bar = width.min(60);
    let filled = match total {
        0 => 0,
        _ => bar * usize::try_from(done * 100 / total).unwrap_or_default() / 100,
    };
    lines.push(line(
        Tone::Plain,
        "█".repeat(filled) + &"░".repeat(bar - filled),
    ));
    lines.push(line(
        Tone::Plain,
        match total {
            0 => format!(
                "{} to append",
                plan.events_to_append().map_or_else(
                    || "events".to_owned(),
                    |events| count(events, "event", "events")
                )
            ),
            _ => format!("{done} of {total} steps"),
        },
    ));
    lines.push(line(Tone::Plain, ""));
    lines.extend(match stopping {
        true => paragraph(
            Tone::Warning,
            "Asked to stop; the answer is on its way.",
            width,
        ),
        false => paragraph(
            Tone::Faint,
            "Esc asks it to stop: everything so far is then undone.",
            width,
        ),
    });
    lines
}

fn result(
    model: &Model,
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
                &format!("Done: {name} is taken back."),
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
                    "{} taken back.",
                    count(plan.changes.len() as u64, "row", "rows")
                ),
                width,
            ));
            lines.push(line(Tone::Plain, ""));
            lines.extend(paragraph(
                Tone::Faint,
                "u undoes the latest rollback, U redoes the latest undo.",
                width,
            ));
        }
        _ => lines.extend(paragraph(
            Tone::Strong,
            &format!("Nothing to undo in {name}: nothing was appended."),
            width,
        )),
    }
    lines
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
