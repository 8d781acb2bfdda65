//! One row: its columns, the rows that name it, and its life.

use super::event::columns;
use super::{Line, Tone, line, sign, standing_note};
use crate::eventsourcing::timestamp;
use crate::text::{clipped, fitted, value, visible, width as cells};
use crate::tui::layout::scrolled;
use crate::tui::model::{Item, Model, RowScreen};

/// The lines of a row's page, each with what the cursor can be on in it.
#[must_use]
pub fn row(model: &Model, width: usize) -> Vec<(Line, Option<Item>)> {
    let Some(row) = &model.row else {
        return Vec::new();
    };
    let mut lines = vec![(line(Tone::Strong, title(model, row, width)), None)];
    lines.extend(state(row, width));
    let naming: Vec<_> = model.tables.naming(&row.key.table).collect();
    if !naming.is_empty() {
        lines.push((line(Tone::Plain, ""), None));
        lines.push((line(Tone::Strong, "Rows that name this one"), None));
    }
    for (table, column) in naming {
        let text = visible(&format!("{}.{}", table.name, column.name));
        let item = Item::Naming {
            table: table.name.clone(),
            column: column.name.clone(),
        };
        lines.push((line(Tone::Plain, clipped(&text, width)), Some(item)));
    }
    lines.push((line(Tone::Plain, ""), None));
    lines.push((line(Tone::Strong, "Its life, the latest first"), None));
    lines.extend(life(row, width));
    lines
}

fn title(model: &Model, row: &RowScreen, width: usize) -> String {
    let found = row.inspection.as_ref();
    let note = match (found, model.position) {
        (None, _) if row.wanted.is_some() => " · reading…".to_owned(),
        (None, _) => " · not read: r tries again".to_owned(),
        (Some(found), Some(position)) if found.row.is_none() => {
            format!(" · not there after #{}", position.after)
        }
        (Some(found), None) if found.row.is_none() => " · not there any more".to_owned(),
        (Some(_), Some(position)) => format!(" · as it was after #{}", position.after),
        (Some(_), None) => String::new(),
    };
    clipped(&visible(&format!("{}{note}", row.key)), width)
}

fn state(row: &RowScreen, width: usize) -> Vec<(Line, Option<Item>)> {
    let Some(found) = &row.inspection else {
        return Vec::new();
    };
    let Some(state) = &found.row else {
        return Vec::new();
    };
    let names = state.keys().map(|name| cells(&visible(name))).max();
    let names = names.unwrap_or_default().min(width / 3);
    let lines = state.iter().map(|(name, held)| {
        let column = found.table.column(name);
        let to = column.and_then(|column| column.references.as_ref());
        let shown = match held {
            serde_json::Value::Null => "∅".to_owned(),
            serde_json::Value::Array(values) if values.len() > 3 => {
                format!("[{} values]", values.len())
            }
            other => value(other),
        };
        let link = match to.filter(|_| !held.is_null()) {
            Some(to) => {
                let word = found.names.get(name).map(|word| format!(" {word}"));
                visible(&format!("→ {}{}  ", to.table, word.unwrap_or_default()))
            }
            None => String::new(),
        };
        let now = found.now.as_ref().map(|now| now.get(name).cloned());
        let differs = now
            .map(Option::unwrap_or_default)
            .filter(|now| match column {
                Some(column) => !column.same(now, held),
                None => now != held,
            });
        let (tone, now) = match differs {
            Some(now) => (Tone::Changed, format!("  (now {})", value(&now))),
            None => (Tone::Plain, String::new()),
        };
        let text = format!("{}  {link}{shown}{now}", fitted(&visible(name), names));
        (
            line(tone, clipped(&text, width)),
            Some(Item::Column(name.clone())),
        )
    });
    lines.collect()
}

fn life(row: &RowScreen, width: usize) -> Vec<(Line, Option<Item>)> {
    let mut lines = Vec::new();
    for (at, one) in row.life.iter().enumerate() {
        let event = &one.event;
        let moment = timestamp::format_without_zone(event.timestamp).replace('T', " ");
        let text = format!(
            "{} #{} {}  {} UTC  {}{}",
            sign(event.kind),
            event.id,
            event.kind,
            &moment[..19],
            standing_note(one.standing, event.origin),
            visible(&event.actor),
        );
        let tone = match one.standing.undone_by() {
            Some(_) => Tone::Faint,
            None => Tone::Plain,
        };
        lines.push((line(tone, clipped(&text, width)), Some(Item::Event(at))));
        for mut change in columns(&one.columns, width.saturating_sub(4)) {
            change.text.insert_str(0, "    ");
            lines.push((change, None));
        }
    }
    let more = match (row.life_wanted, row.life_from) {
        (Some(_), _) => "reading…",
        (None, Some(_)) => "…",
        (None, None) if row.life.is_empty() => "The log has no event of it.",
        (None, None) => return lines,
    };
    lines.push((line(Tone::Faint, more), None));
    lines
}

/// What the cursor can be on, from top to bottom.
#[must_use]
pub fn row_items(model: &Model) -> Vec<Item> {
    let lines = row(model, model.size.page_width());
    lines.into_iter().filter_map(|(_, item)| item).collect()
}

/// Scrolls as little as brings the item under the cursor into sight, with the lines that belong to it.
pub fn keep_item_in_sight(model: &mut Model) {
    let height = model.size.content();
    let lines = row(model, model.size.page_width());
    let places: Vec<usize> = (0..lines.len())
        .filter(|at| lines[*at].1.is_some())
        .collect();
    let Some(row) = &mut model.row else {
        return;
    };
    let Some(first) = places.get(row.cursor).copied() else {
        row.top = 0;
        return;
    };
    // The changes below an event, and the headings above the first item.
    let next = places.get(row.cursor + 1).copied().unwrap_or(lines.len());
    let last = (next - 1).min(first + height - 1);
    row.top = scrolled(row.top, last, height);
    row.top = scrolled(row.top, first, height);
    if row.cursor == 0 {
        row.top = 0;
    }
}
