//! A rollback, from its preview to its result.

use super::event::columns;
use super::{Line, Tone, line, paragraph};
use crate::eventsourcing::rollback::{RollbackOutcome, RollbackPlan, RowAction, Strategy};
use crate::text::{count, fitted, visible, width as cells};
use crate::tui::model::{Asked, Model, Rollback, Stage};

/// The page of a rollback, at whatever stage it is.
#[must_use]
pub fn rollback(model: &Model, width: usize) -> Vec<Line> {
    let Some(rollback) = &model.rollback else {
        return Vec::new();
    };
    match (&rollback.stage, &rollback.plan) {
        (Stage::Planning, None) => vec![line(Tone::Faint, "making the plan…")],
        (Stage::Planning, Some(plan)) => {
            let mut lines = vec![line(
                Tone::Faint,
                "making the plan anew; this is the one before…",
            )];
            lines.extend(preview(model, rollback, plan, width));
            lines
        }
        (Stage::Confirm { typed }, Some(plan)) => confirm(model, rollback, plan, typed, width),
        (
            Stage::Running {
                done,
                total,
                stopping,
            },
            Some(plan),
        ) => running(model, plan, *done, *total, *stopping, width),
        (Stage::Result(outcome), Some(plan)) => result(model, plan, outcome, width),
        (_, Some(plan)) => preview(model, rollback, plan, width),
        (_, None) => Vec::new(),
    }
}

fn preview(model: &Model, rollback: &Rollback, plan: &RollbackPlan, width: usize) -> Vec<Line> {
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
    let (events, others) = match strategy {
        Strategy::Minimal => (plan.appends_minimal, plan.appends_replay),
        Strategy::Replay => (plan.appends_replay, plan.appends_minimal),
    };
    lines.push(line(
        Tone::Faint,
        format!(
            "s  strategy: {strategy}, {} (s: {}, {others})",
            count(events, "event", "events"),
            strategy.other()
        ),
    ));
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
    for change in &plan.changes {
        let (tone, words) = match change.action {
            RowAction::Remove => (Tone::Removed, "- remove"),
            RowAction::BringBack => (Tone::Added, "+ bring back"),
            RowAction::Change => (Tone::Changed, "~ change"),
        };
        lines.push(line(Tone::Plain, ""));
        lines.extend(paragraph(tone, &format!("{words} {}", change.key), width));
        for mut column in columns(&change.columns, width.saturating_sub(4)) {
            column.text.insert_str(0, "    ");
            lines.push(column);
        }
    }
    lines
}

fn confirm(
    model: &Model,
    rollback: &Rollback,
    plan: &RollbackPlan,
    typed: &str,
    width: usize,
) -> Vec<Line> {
    let info = &model.info;
    let place = format!(
        "{} ({}, {})",
        info.name,
        info.backend.as_str(),
        info.location
    );
    let mut lines: Vec<Line> = paragraph(Tone::Strong, &place, width).collect();
    for sentence in plan.sentences(&info.name) {
        lines.extend(paragraph(Tone::Plain, &sentence, width));
    }
    let id = rollback
        .id_to_type()
        .map(|id| id.to_string())
        .unwrap_or_default();
    lines.push(line(Tone::Plain, ""));
    lines.extend(paragraph(
        Tone::Warning,
        &format!("This is written to the database that others use too. To go on, type {id} and press Enter."),
        width,
    ));
    lines.push(line(Tone::Plain, ""));
    lines.push(line(Tone::Strong, format!("  #{}_", visible(typed))));
    lines.push(line(Tone::Plain, ""));
    let goes_on = typed.trim_start_matches('#') == id;
    lines.push(line(
        Tone::Plain,
        match goes_on {
            false => "  ▌[ Cancel ]     [ Roll back ]",
            true => "   [ Cancel ]    ▌[ Roll back ]",
        },
    ));
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
                count(plan.events_to_append(), "event", "events")
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
                &format!(
                    "{} appended, #{first} to #{last}, by {}.",
                    count(outcome.events_appended, "event", "events"),
                    outcome.strategy
                ),
                width,
            ));
            let verified = match outcome.keeps_through {
                0 => "Tables verified equal to before the first event.".to_owned(),
                id => format!("Tables verified equal to #{id}."),
            };
            lines.push(line(Tone::Plain, verified));
            lines.extend(paragraph(
                Tone::Plain,
                &format!(
                    "{} changed.",
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
