//! One row: its columns, the rows that name it, and its life.

use serde_json::Value;

use super::event::columns;
use super::{Line, Tone, line, sign, standing_note};
use crate::eventsourcing::diff::ColumnChange;
use crate::eventsourcing::inspect::LifeEvent;
use crate::eventsourcing::timestamp;
use crate::text::{change_text, clipped, count, fitted, value, visible, width as cells};
use crate::tui::keymap::Action;
use crate::tui::layout::scrolled;
use crate::tui::model::{Item, Model, RowScreen};

/// A part of the page that is in sight or not as a whole, and the line in which it begins.
#[derive(Clone, Debug)]
struct Part<'a> {
    at: usize,
    what: What<'a>,
}

#[derive(Clone, Debug)]
enum What<'a> {
    Title,
    Gap,
    Heading(String),
    /// A column, and its value.
    Column(&'a str, &'a Value),
    /// A table, and the column by which its rows name this one.
    Naming(&'a str, &'a str),
    /// An event, and its place in the life.
    Event(usize, &'a LifeEvent),
    /// What is still to come.
    More(String),
}

impl What<'_> {
    fn lines(&self) -> usize {
        match self {
            Self::Event(_, one) => 1 + one.columns.len(),
            _ => 1,
        }
    }

    /// What the cursor can be on in it.
    fn item(&self) -> Option<Item> {
        match self {
            Self::Column(name, _) => Some(Item::Column((*name).to_owned())),
            Self::Naming(table, column) => Some(Item::Naming {
                table: (*table).to_owned(),
                column: (*column).to_owned(),
            }),
            Self::Event(at, _) => Some(Item::Event(*at)),
            _ => None,
        }
    }

    fn is_item(&self) -> bool {
        matches!(self, Self::Column(..) | Self::Naming(..) | Self::Event(..))
    }
}

/// The parts of the page. A life may have a hundred thousand events, and a key asks for this: nothing is written here.
fn parts(model: &Model) -> Vec<Part<'_>> {
    let Some(row) = &model.row else {
        return Vec::new();
    };
    let mut all = vec![What::Title];
    let state = row.inspection.iter().filter_map(|found| found.row.as_ref());
    all.extend(
        state
            .flatten()
            .map(|(name, value)| What::Column(name, value)),
    );
    let naming: Vec<_> = model.tables.naming(&row.key.table).collect();
    if !naming.is_empty() {
        all.extend([
            What::Gap,
            What::Heading("Rows that name this one".to_owned()),
        ]);
    }
    all.extend(
        naming
            .into_iter()
            .map(|(table, column)| What::Naming(&table.name, &column.name)),
    );
    // What came after a past that is shown is left out.
    let life = match model.position {
        Some(position) => format!("Its life up to #{}, the latest first", position.after),
        None => "Its life, the latest first".to_owned(),
    };
    all.extend([What::Gap, What::Heading(life)]);
    all.extend(
        row.life
            .iter()
            .enumerate()
            .map(|(at, one)| What::Event(at, one)),
    );
    match (row.life_wanted, row.life_from) {
        (Some(_), _) => all.push(What::More("reading…".to_owned())),
        (None, Some(_)) => all.push(What::More("…".to_owned())),
        (None, None) if row.life.is_empty() => {
            all.push(What::More(match model.position {
                Some(position) => format!("The log has no event of it up to #{}.", position.after),
                None => "The log has no event of it.".to_owned(),
            }));
        }
        (None, None) => {}
    }
    let mut at = 0;
    let parts = all.into_iter().map(|what| {
        let first = at;
        at += what.lines();
        Part { at: first, what }
    });
    parts.collect()
}

/// The lines of a row's page that are in sight, each with whether the cursor is on it.
#[must_use]
pub fn row(model: &Model, width: usize, height: usize) -> Vec<(Line, bool)> {
    let Some(row) = &model.row else {
        return Vec::new();
    };
    let sight = row.top..row.top + height;
    let (mut lines, mut item) = (Vec::new(), 0);
    for part in parts(model) {
        let is_selected = part.what.is_item() && item == row.cursor;
        item += usize::from(part.what.is_item());
        if part.at >= sight.end || part.at + part.what.lines() <= sight.start {
            continue;
        }
        // Within one that is taller than the screen its first line is out of sight.
        let marked = sight.start.saturating_sub(part.at);
        let written = written(model, row, part.what, width)
            .into_iter()
            .enumerate();
        let seen = written.filter(|(at, _)| sight.contains(&(part.at + at)));
        lines.extend(seen.map(|(at, line)| (line, is_selected && at == marked)));
    }
    lines
}

/// The first line of the part that the cursor is on.
#[must_use]
pub fn selected_line(model: &Model, width: usize) -> Option<String> {
    let row = model.row.as_ref()?;
    let mut items = parts(model).into_iter().filter(|part| part.what.is_item());
    let lines = written(model, row, items.nth(row.cursor)?.what, width);
    lines.into_iter().next().map(|line| line.text)
}

fn written(model: &Model, row: &RowScreen, what: What<'_>, width: usize) -> Vec<Line> {
    match what {
        What::Title => vec![line(Tone::Strong, title(model, row, width))],
        What::Gap => vec![line(Tone::Plain, "")],
        What::Heading(text) => vec![line(Tone::Strong, text)],
        What::Column(name, held) => column(row, name, held, width).into_iter().collect(),
        What::Naming(table, column) => {
            let counted = row.named_by.get(&(table.to_owned(), column.to_owned()));
            let rows = match counted {
                _ if model.position.is_some() => format!(
                    "  not counted in the past: {} looks",
                    model.key_for(Action::Open)
                ),
                None if row.named_by_wanted.is_some() => "  …".to_owned(),
                None | Some(None) => "  not counted".to_owned(),
                Some(Some(counted)) => {
                    let more = if counted.has_more { "more than " } else { "" };
                    format!("  {more}{}", count(counted.rows, "row", "rows"))
                }
            };
            let text = visible(&format!("{table}.{column}{rows}"));
            vec![line(Tone::Plain, clipped(&text, width))]
        }
        What::Event(_, one) => event(one, width),
        What::More(text) => vec![line(Tone::Faint, text)],
    }
}

fn title(model: &Model, row: &RowScreen, width: usize) -> String {
    let found = row.inspection.as_ref();
    let note = match (found, model.position) {
        (None, _) if row.wanted.is_some() => " · reading…".to_owned(),
        (None, _) => format!(" · not read: {} tries again", model.key_for(Action::Reload)),
        (Some(found), Some(position)) if found.row.is_none() => {
            format!(" · not there after #{}", position.after)
        }
        (Some(found), None) if found.row.is_none() => " · not there any more".to_owned(),
        (Some(_), Some(position)) => format!(" · as it was after #{}", position.after),
        (Some(_), None) => String::new(),
    };
    clipped(&visible(&format!("{}{note}", row.key)), width)
}

fn column(row: &RowScreen, name: &str, held: &Value, width: usize) -> Option<Line> {
    let found = row.inspection.as_ref()?;
    let names = found.row.iter().flat_map(|state| state.keys());
    let names = names.map(|name| cells(&visible(name))).max();
    let names = names.unwrap_or_default().min(width / 3);
    let column = found.table.column(name);
    let to = column.and_then(|column| column.references.as_ref());
    let shown = match held {
        Value::Null => "∅".to_owned(),
        Value::Array(values) if values.len() > 3 => format!("[{} values]", values.len()),
        other => value(other),
    };
    let link = match to.filter(|_| !held.is_null()) {
        Some(to) => {
            // A row without a name has its uuid for a name, which stands there anyway.
            let word = found
                .names
                .get(name)
                .filter(|word| held.as_str() != Some(word));
            let word = word.map(|word| format!(" {word}"));
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
    let name = fitted(&visible(name), names);
    let (tone, text) = match differs {
        // What is cut is the value, and not how it differs.
        Some(now) if held.is_object() && now.is_object() => {
            let change = ColumnChange {
                column: String::new(),
                from: held.clone(),
                to: now,
            };
            let note = change_text(&change, width.saturating_sub(cells(&name) + 10));
            (Tone::Changed, format!("{name}  (now: {note})  {shown}"))
        }
        Some(now) => (
            Tone::Changed,
            format!("{name}  {link}{shown}  (now {})", value(&now)),
        ),
        None => (Tone::Plain, format!("{name}  {link}{shown}")),
    };
    Some(line(tone, clipped(&text, width)))
}

fn event(one: &LifeEvent, width: usize) -> Vec<Line> {
    let event = &one.event;
    let moment = timestamp::format_without_zone(event.timestamp).replace('T', " ");
    let text = format!(
        "{} #{} {}  {} UTC  {}  {}",
        sign(event.kind),
        event.id,
        event.kind,
        &moment[..19],
        visible(&event.actor),
        standing_note(one.standing, event.origin),
    );
    let tone = match one.standing.undone_by() {
        Some(_) => Tone::Faint,
        None => Tone::Plain,
    };
    let mut lines = vec![line(tone, clipped(&text, width))];
    for mut change in columns(&one.columns, width.saturating_sub(4)) {
        change.text.insert_str(0, "    ");
        lines.push(change);
    }
    lines
}

/// What the cursor can be on, from top to bottom.
#[must_use]
pub fn row_items(model: &Model) -> Vec<Item> {
    let parts = parts(model).into_iter();
    parts.filter_map(|part| part.what.item()).collect()
}

/// The item, counted from the top, of which this line of the page is a part.
#[must_use]
pub fn row_item_at(model: &Model, line: usize) -> Option<usize> {
    let parts = parts(model).into_iter();
    let mut items = parts.filter(|part| part.what.is_item());
    items.position(|part| (part.at..part.at + part.what.lines()).contains(&line))
}

/// The line of the page in which an item begins.
#[must_use]
pub fn row_item_line(model: &Model, item: usize) -> usize {
    let parts = parts(model).into_iter();
    let mut items = parts.filter(|part| part.what.is_item());
    items.nth(item).map_or(0, |part| part.at)
}

/// Where the page is scrolled to by a key for moving while the item under the cursor reaches beyond the screen that way; `None` where it does not, and the
/// cursor moves.
#[must_use]
pub fn scrolled_within_item(model: &Model, action: Action) -> Option<usize> {
    let height = model.size.content();
    let row = model.row.as_ref()?;
    let mut items = parts(model).into_iter().filter(|part| part.what.is_item());
    let part = items.nth(row.cursor)?;
    let (first, end) = (part.at, part.at + part.what.lines());
    let is_below = end > row.top + height;
    let is_above = first < row.top;
    let screenful = height.saturating_sub(1).max(1);
    let (last, top) = (end.saturating_sub(height), row.top);
    match action {
        Action::Down if is_below => Some(top + 1),
        Action::PageDown if is_below => Some((top + screenful).min(last)),
        Action::Up if is_above => Some(top - 1),
        Action::PageUp if is_above => Some(top.saturating_sub(screenful).max(first)),
        _ => None,
    }
}

/// Scrolls as little as brings the item under the cursor into sight, with the lines that belong to it.
pub fn keep_item_in_sight(model: &mut Model) {
    let height = model.size.content();
    let parts = parts(model);
    let last = parts.last().map_or(0, |part| part.at + part.what.lines());
    let mut items = parts.into_iter().filter(|part| part.what.is_item());
    let cursor = model.row.as_ref().map(|row| row.cursor);
    let found = cursor.and_then(|cursor| items.nth(cursor));
    let found = found.map(|part| (part.at, part.what.lines()));
    let Some(row) = &mut model.row else {
        return;
    };
    let Some((first, lines)) = found else {
        row.top = 0;
        return;
    };
    // No empty lines below where there are others above.
    row.top = row.top.min(last.saturating_sub(height));
    // The changes below an event, and the title above the first item.
    row.top = match lines > height {
        true => row.top.clamp(first, first + lines - height),
        false => scrolled(scrolled(row.top, first + lines - 1, height), first, height),
    };
    if row.cursor == 0 {
        row.top = 0;
    }
}
