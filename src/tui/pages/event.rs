//! One event: in a pane, or over the whole screen.

use super::{Line, Tone, line, paragraph};
use crate::eventsourcing::diff::ColumnChange;
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::{EventId, EventKind, timestamp};
use crate::text::{clipped, fitted, value, visible, width as cells, wrapped};
use crate::tui::model::Model;

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
    let shown = model.timeline.detail.as_ref().map(|detail| detail.event.id);
    let stale = match shown.is_some_and(|shown| shown != event.id) {
        true => " · reading…",
        false => "",
    };
    visible(format!("#{} {} {table}{stale}", event.id, event.kind).trim_end())
}

/// The event under the cursor: in a pane, or whole.
#[must_use]
pub fn event(model: &Model, width: usize, whole: bool) -> Vec<Line> {
    if model.timeline.selected().is_none() {
        return Vec::new();
    }
    let Some(detail) = &model.timeline.detail else {
        let text = match model.timeline.detail_wanted {
            Some(_) => "reading…",
            None => "not read: r tries again",
        };
        return vec![line(Tone::Faint, text)];
    };
    // The one before stays on the screen until this one is read, as its title says, so that nothing jumps while the cursor runs.
    inspection(detail, width, whole)
}

fn inspection(detail: &Inspection, width: usize, whole: bool) -> Vec<Line> {
    let event = &detail.event;
    let moment = timestamp::format_without_zone(event.timestamp).replace('T', " ");
    let mut about = format!("{moment} UTC");
    if !event.actor.is_empty() {
        about.push_str(&format!(" · by {}", event.actor));
    }
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
pub(super) fn columns(changes: &[ColumnChange], width: usize) -> Vec<Line> {
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
