//! What stands on the pages, line by line: words with a tone, which the view turns into a style.

use super::keymap;
use super::model::{Asked, Model, Notice, Rollback, Stage};
use crate::eventsourcing::diff::ColumnChange;
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::rollback::{RollbackOutcome, RollbackPlan, RowAction, Strategy};
use crate::eventsourcing::{EventId, EventKind, timestamp};
use crate::text::{clipped, count, fitted, value, visible, width as cells, wrapped};

/// How a line is meant. Never by itself what tells a reader something: the words do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// A headline.
    Strong,
    /// Less important.
    Faint,
    /// Something comes.
    Added,
    /// Something goes.
    Removed,
    /// Something becomes something else.
    Changed,
    /// Look at this.
    Warning,
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How it is meant.
    pub tone: Tone,
    /// What it says, fit to be shown.
    pub text: String,
}

fn line(tone: Tone, text: impl Into<String>) -> Line {
    Line {
        tone,
        text: text.into(),
    }
}

/// A sentence over as many lines as it needs.
fn paragraph(tone: Tone, text: &str, width: usize) -> impl Iterator<Item = Line> {
    wrapped(&visible(text), width)
        .into_iter()
        .map(move |text| line(tone, text))
}

/// The sign of a kind of event.
#[must_use]
pub fn sign(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Create => "+",
        EventKind::Update => "~",
        EventKind::Delete => "-",
        EventKind::Restore => "=",
        EventKind::Rollback => "«",
        EventKind::RollbackEnd => "»",
    }
}

/// What an event's standing and origin say in a list; empty for an effective event of its own.
#[must_use]
pub fn standing_note(standing: Standing, origin: Option<EventId>) -> String {
    let mut note = match standing {
        Standing::Effective => String::new(),
        Standing::UndoneBy(rollback) => format!("undone by #{rollback} "),
        Standing::BookkeepingOf(rollback) => format!("of #{rollback} "),
    };
    if let Some(origin) = origin {
        note.push_str(&format!("from #{origin} "));
    }
    note
}

/// The headline of the event under the cursor.
#[must_use]
pub fn event_title(model: &Model) -> String {
    let Some(entry) = model.timeline.selected() else {
        return String::new();
    };
    let event = &entry.event;
    let table = event.row.as_ref().map_or("", |key| key.table.as_str());
    visible(format!("#{} {} {table}", event.id, event.kind).trim_end())
}

/// The event under the cursor: in a pane, or whole.
#[must_use]
pub fn event(model: &Model, width: usize, whole: bool) -> Vec<Line> {
    let Some(entry) = model.timeline.selected() else {
        return Vec::new();
    };
    let Some(detail) = &model.timeline.detail else {
        return vec![line(Tone::Faint, "reading…")];
    };
    if detail.event.id != entry.event.id {
        // The one before stays on the screen, marked, so that nothing jumps while the cursor runs.
        let mut lines = vec![line(
            Tone::Faint,
            format!("(#{} until this one is read)", detail.event.id),
        )];
        lines.extend(inspection(detail, width, whole));
        return lines;
    }
    inspection(detail, width, whole)
}

fn inspection(detail: &Inspection, width: usize, whole: bool) -> Vec<Line> {
    let event = &detail.event;
    let moment = timestamp::format_without_zone(event.timestamp).replace('T', " ");
    let mut about = format!("{moment} UTC · by {}", event.actor);
    let (first, last) = detail.transaction;
    if first < last {
        about.push_str(&format!(" · transaction #{first} to #{last}"));
    }
    let mut lines: Vec<Line> = paragraph(Tone::Faint, &about, width).collect();
    if let Some(key) = &event.row {
        lines.extend(paragraph(Tone::Faint, &key.to_string(), width));
    }
    match detail.standing {
        Standing::Effective => {}
        Standing::UndoneBy(rollback) => {
            lines.push(line(
                Tone::Warning,
                format!("undone by rollback #{rollback}"),
            ));
        }
        Standing::BookkeepingOf(rollback) => {
            lines.push(line(
                Tone::Faint,
                format!("written by rollback #{rollback}"),
            ));
        }
    }
    if let Some(origin) = event.origin {
        let what = match event.kind {
            EventKind::Restore => "restores the row as it was after",
            _ => "repeats",
        };
        lines.push(line(
            Tone::Faint,
            format!("{what} #{origin}  (o goes there)"),
        ));
    }
    if event.row.is_none() {
        for (name, given) in &event.data {
            let text = format!("{} {}", fitted(&visible(name), 10), value(given));
            lines.extend(paragraph(Tone::Plain, &text, width));
        }
    }
    lines.extend(match whole {
        true => columns_whole(&detail.columns, width),
        false => columns(&detail.columns, width),
    });
    lines
}

fn tone_of(change: &ColumnChange) -> (Tone, &'static str) {
    match (change.from.is_null(), change.to.is_null()) {
        (true, _) => (Tone::Added, "+"),
        (_, true) => (Tone::Removed, "-"),
        _ => (Tone::Changed, "~"),
    }
}

fn shown(given: &serde_json::Value) -> String {
    match given {
        serde_json::Value::Null => "∅".to_owned(),
        serde_json::Value::String(text) => format!("\"{}\"", visible(text)),
        other => visible(&other.to_string()),
    }
}

/// Columns that change, one a line.
fn columns(changes: &[ColumnChange], width: usize) -> Vec<Line> {
    let names = changes.iter().map(|change| cells(&change.column)).max();
    let names = names.unwrap_or_default().min(width / 3);
    let room = width.saturating_sub(names + 3);
    changes
        .iter()
        .map(|change| {
            let (tone, sign) = tone_of(change);
            let (from, to) = (shown(&change.from), shown(&change.to));
            let left = cells(&from).min((room / 2).max(room.saturating_sub(cells(&to) + 3)));
            let text = format!(
                "{sign} {} {} → {to}",
                fitted(&visible(&change.column), names),
                clipped(&from, left.max(1)),
            );
            line(tone, clipped(&text, width))
        })
        .collect()
}

/// Columns that change, with their whole values.
fn columns_whole(changes: &[ColumnChange], width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    for change in changes {
        let (tone, sign) = tone_of(change);
        lines.push(line(tone, format!("{sign} {}", visible(&change.column))));
        for (arrow, given) in [("  ", &change.from), ("→ ", &change.to)] {
            if given.is_null() && arrow == "  " {
                continue;
            }
            for (at, part) in wrapped(&shown(given), width.saturating_sub(6).max(1))
                .iter()
                .enumerate()
            {
                let arrow = if at == 0 { arrow } else { "  " };
                lines.push(line(Tone::Plain, format!("    {arrow}{part}")));
            }
        }
    }
    lines
}

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

/// The keys of the place that the help was called from.
#[must_use]
pub fn help(model: &Model) -> Vec<Line> {
    let mut lines = vec![line(Tone::Strong, "Keys here"), line(Tone::Plain, "")];
    for binding in keymap::bindings(model.context_of_help()) {
        let keys: Vec<String> = binding.keys.iter().map(|key| key.name()).collect();
        lines.push(line(
            Tone::Plain,
            format!("  {} {}", fitted(&keys.join(", "), 26), binding.words),
        ));
    }
    lines.push(line(Tone::Plain, ""));
    lines.push(line(Tone::Strong, "Signs"));
    lines.push(line(Tone::Plain, ""));
    for (sign, words) in [
        ("+ ~ -", "create, update, delete"),
        ("« »", "the two ends of a rollback"),
        ("=", "a row restored by a rollback"),
        ("┌ │ └", "events of one transaction"),
        (
            "undone by #n",
            "a rollback that is in effect has undone the event",
        ),
        ("of #n", "a rollback wrote the event"),
        ("from #n", "the event that it repeats or restores"),
        ("∅", "no value (NULL)"),
    ] {
        lines.push(line(Tone::Plain, format!("  {} {words}", fitted(sign, 26))));
    }
    lines
}

/// What there is to tell, over as many lines as it needs.
#[must_use]
pub fn notice(notice: &Notice, width: usize) -> Vec<Line> {
    match notice {
        Notice::Info(text) => paragraph(Tone::Strong, text, width).collect(),
        Notice::Failure(error) => {
            let mut lines: Vec<Line> =
                paragraph(Tone::Warning, &format!("Failed: {}", error.message), width).collect();
            if let Some(hint) = &error.hint {
                lines.extend(paragraph(Tone::Plain, hint, width));
            }
            lines
        }
    }
}
