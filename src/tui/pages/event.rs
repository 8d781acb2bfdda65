//! One event: in a pane, or over the whole screen.

use super::{Line, Tone, line, paragraph};
use crate::eventsourcing::diff::ColumnChange;
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::{EventId, EventKind, timestamp};
use crate::text::{
    change_text, clipped, fitted, members, shown, value, visible, width as cells, wrapped,
};
use crate::tui::keymap::Action;
use crate::tui::model::{Listed, Model};

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

/// What an event's line says of its data; of a rollback, what it did and why.
#[must_use]
pub fn summary_of(model: &Model, entry: &Listed) -> String {
    let (of, rollback) = match entry.event.kind {
        EventKind::Rollback => ("", model.history.rollback(entry.event.id)),
        EventKind::RollbackEnd => ("end of the ", model.history.written_by(entry.event.id)),
        _ => ("", None),
    };
    let Some(rollback) = rollback else {
        return entry.summary.clone();
    };
    let why = rollback
        .reason
        .as_ref()
        .map_or_else(String::new, |why| format!(" · {why}"));
    visible(&format!("{of}{}{why}", rollback.in_words()))
}

/// The table that the filter asks for, where there is none of that name, and the log speaks of none.
#[must_use]
pub fn unknown_table(model: &Model) -> Option<String> {
    let wanted = model.timeline.filter.table.as_ref()?;
    let is_known = model.tables.list.is_none()
        || model.tables.table(wanted).is_some()
        || model.timeline.seen_tables.contains(wanted);
    (!is_known).then(|| visible(wanted))
}

/// A word of the filter that looks like one of its keys and is none.
#[must_use]
pub fn unknown_key(model: &Model) -> Option<String> {
    let search = model.timeline.filter.search.as_ref()?;
    let looks_so = |word: &&str| {
        let key = word.split_once(':').map(|(key, _)| key);
        key.is_some_and(|key| !key.is_empty() && key.chars().all(char::is_alphabetic))
    };
    let word = search.split_whitespace().find(looks_so)?;
    Some(visible(word.split_inclusive(':').next()?))
}

/// An event's id that is searched for as text, where the log has an event of that id.
#[must_use]
pub fn searched_id(model: &Model) -> Option<EventId> {
    let search = model.timeline.filter.search.as_ref()?;
    let id = search.strip_prefix('#').unwrap_or(search).parse().ok()?;
    let head = model.head?;
    (1..=head).contains(&id).then_some(id)
}

/// The event under the cursor: in a pane, or whole.
#[must_use]
pub fn event(model: &Model, width: usize, whole: bool) -> Vec<Line> {
    if model.timeline.selected().is_none() {
        return Vec::new();
    }
    let Some(detail) = &model.timeline.detail else {
        let text = match model.timeline.detail_wanted {
            Some(_) => "reading…".to_owned(),
            None => format!("not read: {} tries again", model.key_for(Action::Reload)),
        };
        return vec![line(Tone::Faint, text)];
    };
    // The one before stays on the screen until this one is read, as its title says, so that nothing jumps while the cursor runs.
    inspection(detail, &model.key_for(Action::GoToOrigin), width, whole)
}

fn inspection(detail: &Inspection, origin_key: &str, width: usize, whole: bool) -> Vec<Line> {
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
    let mut lines = Vec::new();
    if whole {
        let table = event.row.as_ref().map_or("", |key| key.table.as_str());
        let title = format!("#{} {} {table}", event.id, event.kind);
        lines.push(line(Tone::Strong, visible(title.trim_end())));
    }
    lines.extend(paragraph(Tone::Faint, &about, width));
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
            format!("{what} #{origin}  ({origin_key} goes there)"),
        ));
    }
    if event.row.is_none() {
        if let (Standing::Effective, EventKind::Rollback) = (detail.standing, event.kind) {
            lines.push(line(Tone::Plain, "in effect"));
        }
        let longest = event.data.keys().map(|name| cells(&visible(name))).max();
        for (name, given) in &event.data {
            let given = match (name.as_str(), given.as_array().map(Vec::as_slice)) {
                ("undoes" | "redoes", _) => format!("#{given}"),
                ("reverts", Some([first, last])) if first == last => format!("#{first}"),
                ("reverts", Some([first, last])) => format!("#{first} to #{last}"),
                _ => value(given),
            };
            let name = fitted(&visible(name), longest.unwrap_or_default());
            lines.extend(paragraph(Tone::Plain, &format!("{name} {given}"), width));
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

/// Columns that change, one a line.
pub(super) fn columns(changes: &[ColumnChange], width: usize) -> Vec<Line> {
    let names = changes.iter().map(|change| cells(&change.column)).max();
    let names = names.unwrap_or_default().min(width / 3);
    let room = width.saturating_sub(names + 3);
    changes
        .iter()
        .map(|change| {
            let (tone, sign) = tone_of(change);
            let name = fitted(&visible(&change.column), names);
            let text = format!("{sign} {name} {}", change_text(change, room));
            line(tone, clipped(&text, width))
        })
        .collect()
}

/// Columns that change, with their whole values.
pub(super) fn columns_whole(changes: &[ColumnChange], width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let named = changes.iter().flat_map(|change| {
        let is_one = members(change) == [change.clone()];
        members(change).into_iter().map(move |member| match is_one {
            true => member,
            false => ColumnChange {
                column: format!("{}.{}", change.column, member.column),
                ..member
            },
        })
    });
    for change in named {
        let (tone, sign) = tone_of(&change);
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
