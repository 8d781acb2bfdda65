//! One event: in a pane, or over the whole screen.

use super::{Line, Tone, line, paragraph};
use crate::eventsourcing::diff::ColumnChange;
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::{EventId, EventKind, Row, timestamp};
use crate::text::{clipped, fitted, value, visible, width as cells, wrapped};
use crate::tui::keymap::Action;
use crate::tui::model::{Listed, Model};
use serde_json::Value;

/// Bytes of a value on an event's page: the row's page and the tables show whole values.
const LONGEST: usize = 32 * 1024;

/// Characters before the first difference of two long values that stay in sight.
const KEPT: usize = 6;

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
    let rollback = match entry.event.kind {
        EventKind::Rollback => model.history.rollback(entry.event.id),
        _ => None,
    };
    let Some(rollback) = rollback else {
        return entry.summary.clone();
    };
    let why = rollback
        .reason
        .as_ref()
        .map_or_else(String::new, |why| format!(" · {why}"));
    visible(&format!("{}{why}", rollback.in_words()))
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
        for (name, given) in &event.data {
            let sign = if ["undoes", "redoes"].contains(&name.as_str()) {
                "#"
            } else {
                ""
            };
            let text = format!("{} {sign}{}", fitted(&visible(name), 10), value(given));
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

fn shown(given: &Value) -> String {
    match given {
        Value::Null => "∅".to_owned(),
        Value::String(text) if text.len() > LONGEST => {
            let begins: String = text.chars().take(LONGEST).collect();
            format!("\"{}…", visible(&begins))
        }
        Value::String(text) => format!("\"{}\"", visible(text)),
        other => visible(&beginning(other, LONGEST)),
    }
}

/// The beginning of a value's JSON, at most so many bytes: what is beyond is in no line of a page, and each key writes the page anew.
fn beginning(value: &Value, most: usize) -> String {
    let mut text = Bounded {
        bytes: Vec::new(),
        most,
    };
    match serde_json::to_writer(&mut text, value) {
        Ok(()) => String::from_utf8_lossy(&text.bytes).into_owned(),
        Err(_) => format!(
            "{}…",
            String::from_utf8_lossy(&text.bytes).trim_end_matches('\u{fffd}')
        ),
    }
}

/// Takes so many bytes, and then refuses.
struct Bounded {
    bytes: Vec<u8>,
    most: usize,
}

impl std::io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let room = self.most.saturating_sub(self.bytes.len()).min(bytes.len());
        self.bytes.extend_from_slice(&bytes[..room]);
        match room {
            0 => Err(std::io::ErrorKind::StorageFull.into()),
            taken => Ok(taken),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
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

/// What becomes what, in one line: of JSON objects the members that change, of other long values the parts in which they differ.
pub(super) fn change_text(change: &ColumnChange, room: usize) -> String {
    let members = members(change);
    if members == [change.clone()] {
        return arrow(&change.from, &change.to, room);
    }
    let each = room / members.len().min(3);
    let texts = members.iter().map(|member| {
        let name = visible(&member.column);
        format!(
            "{name} {}",
            arrow(
                &member.from,
                &member.to,
                each.saturating_sub(cells(&name) + 3)
            )
        )
    });
    texts.collect::<Vec<_>>().join(", ")
}

fn arrow(from: &Value, to: &Value, room: usize) -> String {
    let (from, to) = (shown(from), shown(to));
    let (mut from, mut to) = (from.as_str().to_owned(), to);
    // Two values that are cut where they are still the same would look as if nothing changed.
    if cells(&from) + 3 + cells(&to) > room {
        let same = from.chars().zip(to.chars()).take_while(|(a, b)| a == b);
        let left = same.count().saturating_sub(KEPT);
        if left > 1 {
            let rest = |text: &str| format!("…{}", text.chars().skip(left).collect::<String>());
            (from, to) = (rest(&from), rest(&to));
        }
    }
    let left = cells(&from).min((room / 2).max(room.saturating_sub(cells(&to) + 3)));
    format!("{} → {to}", clipped(&from, left.max(1)))
}

/// The change itself, or of two JSON objects the changes of their members, named by the way to them.
fn members(change: &ColumnChange) -> Vec<ColumnChange> {
    let (Value::Object(from), Value::Object(to)) = (&change.from, &change.to) else {
        return vec![change.clone()];
    };
    let mut all = Vec::new();
    let added = to.keys().filter(|name| !from.contains_key(*name));
    for name in from.keys().chain(added) {
        let value = |members: &Row| members.get(name).cloned().unwrap_or_default();
        let member = ColumnChange {
            column: name.clone(),
            from: value(from),
            to: value(to),
        };
        // A member that is there and null is not the same as one that is not there; what is shown of them is.
        if member.from == member.to && from.contains_key(name) == to.contains_key(name) {
            continue;
        }
        let inner = members(&member);
        let is_inside = matches!(
            (&member.from, &member.to),
            (Value::Object(_), Value::Object(_))
        );
        all.extend(inner.into_iter().map(|inner| match is_inside {
            true => ColumnChange {
                column: format!("{name}.{}", inner.column),
                ..inner
            },
            false => inner,
        }));
    }
    match all.is_empty() {
        true => vec![change.clone()],
        false => all,
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(from: Value, to: Value, width: usize) -> String {
        let change = ColumnChange {
            column: "data".to_owned(),
            from,
            to,
        };
        columns(&[change], width).remove(0).text
    }

    #[test]
    fn of_objects_the_members_that_change_are_shown() {
        let before =
            json!({"run": "20261125", "sample": 178, "status": "queued", "lock": {"a": 1, "b": 2}});
        let after = json!({"run": "20261125", "sample": 178, "status": "running", "lock": {"a": 1, "b": 3}});
        let line = shown(before.clone(), after, 78);
        assert_eq!(line, "~ data status \"queued\" → \"running\", lock.b 2 → 3");
        // A member that comes, and one that goes.
        let other =
            json!({"run": "20261125", "sample": 178, "status": "queued", "new": null, "by": "ada"});
        let line = shown(before, other, 200);
        assert_eq!(
            line,
            "~ data lock {\"a\":1,\"b\":2} → ∅, new ∅ → ∅, by ∅ → \"ada\""
        );
        assert_eq!(shown(json!({}), Value::Null, 40), "- data {} → ∅");
    }

    #[test]
    fn two_long_values_are_shown_where_they_differ() {
        let text = |end: &str| json!(format!("{}{end}", "always the same ".repeat(20)));
        let line = shown(text("in the morning"), text("at night"), 60);
        assert!(
            line.contains("in the morning") && line.contains("at night"),
            "{line}"
        );
        assert!(cells(&line) <= 60);
        // Where there is room nothing is left out.
        assert_eq!(
            shown(json!("abc def"), json!("abc deg"), 60),
            "~ data \"abc def\" → \"abc deg\""
        );
    }

    #[test]
    fn a_huge_value_is_written_only_so_far() {
        let many: Vec<u64> = (0..100_000).collect();
        let line = shown(Value::Null, json!({"many": many}), 80);
        assert!(cells(&line) <= 80 && line.contains("[0,1,2"), "{line}");
        assert!(beginning(&json!(many), 1000).len() < 1100);
    }
}
