//! One row: its columns, the rows that name it, and its life.

use std::ops::Range;

use serde_json::Value;

use super::event::columns;
use super::{Line, Tone, line, sign, standing_note};
use crate::eventsourcing::diff::ColumnChange;
use crate::eventsourcing::inspect::LifeEvent;
use crate::eventsourcing::timestamp;
use crate::text::{change_text, clipped, count, fitted, value, visible, width as cells};
use crate::tui::keymap::Action;
use crate::tui::layout::scrolled;
use crate::tui::model::{Item, Life, Model, RowScreen};

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
    /// Its events.
    Life(&'a Life),
    /// What is still to come.
    More(String),
}

impl What<'_> {
    fn lines(&self) -> usize {
        match self {
            Self::Life(life) => life.lines(),
            _ => 1,
        }
    }

    /// How many things the cursor can be on are in it.
    fn items(&self) -> usize {
        match self {
            Self::Column(..) | Self::Naming(..) => 1,
            Self::Life(life) => life.len(),
            _ => 0,
        }
    }

    /// The one of them at this place.
    fn item(&self, at: usize) -> Option<Item> {
        match self {
            Self::Column(name, _) => Some(Item::Column((*name).to_owned())),
            Self::Naming(table, column) => Some(Item::Naming {
                table: (*table).to_owned(),
                column: (*column).to_owned(),
            }),
            Self::Life(_) => Some(Item::Event(at)),
            _ => None,
        }
    }
}

impl Part<'_> {
    /// The lines of the thing at this place in it.
    fn lines_of(&self, at: usize) -> Range<usize> {
        let within = match self.what {
            What::Life(life) => life.lines_of(at),
            _ => 0..1,
        };
        self.at + within.start..self.at + within.end
    }
}

/// The parts of the page. A life may have a hundred thousand events, and a key asks for this: they are one part.
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
    all.push(What::Life(&row.life));
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
    let (mut lines, mut items) = (Vec::new(), 0);
    for part in parts(model) {
        let before = items;
        items += part.what.items();
        if part.at >= sight.end || part.at + part.what.lines() <= sight.start {
            continue;
        }
        let first = match part.what {
            What::Life(life) => life.at_line(sight.start.saturating_sub(part.at)),
            _ => 0,
        };
        for at in first..part.what.items().max(1) {
            let of_it = part.lines_of(at);
            if of_it.start >= sight.end {
                break;
            }
            let is_selected = part.what.items() > 0 && before + at == row.cursor;
            // Within one that is taller than the screen its first line is out of sight.
            let marked = sight.start.saturating_sub(of_it.start);
            let written = written(model, row, &part.what, at, width).into_iter();
            let seen = (of_it.start..).zip(written).enumerate();
            let seen = seen.filter(|(_, (line, _))| sight.contains(line));
            lines.extend(seen.map(|(at, (_, line))| (line, is_selected && at == marked)));
        }
    }
    lines
}

/// The first line of the part that the cursor is on.
#[must_use]
pub fn selected_line(model: &Model, width: usize) -> Option<String> {
    let row = model.row.as_ref()?;
    let (part, at) = part_of(model, row.cursor)?;
    let lines = written(model, row, &part.what, at, width);
    lines.into_iter().next().map(|line| line.text)
}

/// The part in which this item is, counted from the top, and its place there.
fn part_of(model: &Model, item: usize) -> Option<(Part<'_>, usize)> {
    let mut before = 0;
    for part in parts(model) {
        let items = part.what.items();
        if item < before + items {
            return Some((part, item - before));
        }
        before += items;
    }
    None
}

/// The lines of a part, or of the event at this place in it.
fn written(model: &Model, row: &RowScreen, what: &What<'_>, at: usize, width: usize) -> Vec<Line> {
    match what {
        What::Title => vec![line(Tone::Strong, title(model, row, width))],
        What::Gap => vec![line(Tone::Plain, "")],
        What::Heading(text) => vec![line(Tone::Strong, text.clone())],
        What::Column(name, held) => column(row, name, held, width).into_iter().collect(),
        What::Naming(table, column) => {
            let counted = row
                .named_by
                .get(&((*table).to_owned(), (*column).to_owned()));
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
        What::Life(life) => match life.get(at) {
            Some(one) => event(one, width),
            None => vec![line(Tone::Faint, "  …"); life.lines_of(at).len()],
        },
        What::More(text) => vec![line(Tone::Faint, text.clone())],
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

/// How many things the cursor can be on.
#[must_use]
pub fn row_items(model: &Model) -> usize {
    parts(model).iter().map(|part| part.what.items()).sum()
}

/// What this one of them is, counted from the top.
#[must_use]
pub fn row_item(model: &Model, item: usize) -> Option<Item> {
    let (part, at) = part_of(model, item)?;
    part.what.item(at)
}

/// Which of them this is.
#[must_use]
pub fn row_item_place(model: &Model, wanted: &Item) -> Option<usize> {
    let mut before = 0;
    for part in parts(model) {
        let items = part.what.items();
        let at = match (wanted, &part.what) {
            (Item::Event(at), What::Life(_)) => Some(*at).filter(|at| *at < items),
            (wanted, what) => (what.item(0).as_ref() == Some(wanted)).then_some(0),
        };
        if let Some(at) = at {
            return Some(before + at);
        }
        before += items;
    }
    None
}

/// The one of them of which this line of the page is a part.
#[must_use]
pub fn row_item_at(model: &Model, line: usize) -> Option<usize> {
    let mut before = 0;
    for part in parts(model) {
        let items = part.what.items();
        if items > 0 && (part.at..part.at + part.what.lines()).contains(&line) {
            return Some(match part.what {
                What::Life(life) => before + life.at_line(line - part.at),
                _ => before,
            });
        }
        before += items;
    }
    None
}

/// The lines of the page that belong to it.
#[must_use]
pub fn row_item_lines(model: &Model, item: usize) -> Range<usize> {
    part_of(model, item).map_or(0..0, |(part, at)| part.lines_of(at))
}

/// The place in the life of an event of which lines are in sight, and which is not held.
#[must_use]
pub fn life_missing(model: &Model) -> Option<usize> {
    let row = model.row.as_ref()?;
    life_in_sight(model).find(|at| row.life.get(*at).is_none())
}

/// The places in the life of the events of which lines are in sight.
#[must_use]
pub fn life_in_sight(model: &Model) -> Range<usize> {
    let Some(row) = &model.row else {
        return 0..0;
    };
    let sight = row.top..row.top + model.size.content();
    let parts = parts(model);
    let mut parts = parts.iter();
    let Some(part) = parts.find(|part| matches!(part.what, What::Life(_))) else {
        return 0..0;
    };
    let at_line = |line: usize| row.life.at_line(line.saturating_sub(part.at));
    match sight.end > part.at {
        true => at_line(sight.start)..row.life.len().min(at_line(sight.end - 1) + 1),
        false => 0..0,
    }
}

/// Where the page is scrolled to by a key for moving while the item under the cursor reaches beyond the screen that way; `None` where it does not, and the
/// cursor moves.
#[must_use]
pub fn scrolled_within_item(model: &Model, action: Action) -> Option<usize> {
    let height = model.size.content();
    let row = model.row.as_ref()?;
    let (part, at) = part_of(model, row.cursor)?;
    let Range { start: first, end } = part.lines_of(at);
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
    let last = parts(model)
        .last()
        .map_or(0, |part| part.at + part.what.lines());
    let cursor = model.row.as_ref().map(|row| row.cursor);
    let found = cursor.and_then(|cursor| part_of(model, cursor));
    let found = found.map(|(part, at)| part.lines_of(at));
    let found = found.map(|lines| (lines.start, lines.len()));
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
