//! One value over the whole screen.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use uuid::Uuid;

use super::super::effect::{Effect, Slot};
use super::super::keymap::Action;
use super::super::model::{Cell, Model, News, Notice, Plot, Screen};
use super::super::pages;
use super::{grid, in_sight, moved};
use crate::eventsourcing::Row;
use crate::eventsourcing::schema::Table;

/// Parts of a JSON value with more members than this begin folded.
const UNFOLDED: usize = 50;

/// A row as it was read, for one of its values: the rest of it, and words for the rows that it names, are for what that can be drawn against.
#[derive(Clone, Copy)]
pub(super) struct Read<'a> {
    pub table: &'a Table,
    pub row: &'a Row,
    pub names: &'a BTreeMap<String, String>,
    /// Whether that is the past.
    pub is_past: bool,
    /// What the row is now, where that is the past and it is there.
    pub now: Option<&'a Row>,
}

impl Read<'_> {
    /// A column's value, nothing of it folded.
    pub(super) fn cell(self, column: &str) -> Cell {
        let Self {
            table, row, names, ..
        } = self;
        let of = |row: &Row| row.get(column).cloned().unwrap_or_default();
        let value = of(row);
        let differs = |now: &Value| match table.column(column) {
            Some(column) => !column.same(now, &value),
            None => *now != value,
        };
        let uuid = table.key().and_then(|key| row.get(key)?.as_str());
        let whose = uuid.and_then(|uuid| Some(format!(" of {}", uuid.get(..8)?)));
        let plot = plot(column, &value, row, names);
        Cell {
            title: format!("{}.{column}{}", table.name, whose.unwrap_or_default()),
            column: column.to_owned(),
            row: uuid.and_then(|uuid| Uuid::parse_str(uuid).ok()),
            now: self.now.map(of).filter(differs),
            is_gone: self.is_past && self.now.is_none(),
            nodes: Vec::new(),
            folded: BTreeSet::new(),
            cursor: 0,
            top: 0,
            search: String::new(),
            is_plotted: plot.is_some(),
            plot,
            news: None,
            is_asked_anew: false,
            value,
        }
    }
}

/// Shows a value.
pub(super) fn open(model: &mut Model, mut cell: Cell) {
    fold_long(&cell.value, String::new(), &mut cell.folded);
    model.cell = Some(cell);
    settle(model);
}

/// Back to what lies below; `None` where no value is open.
pub(super) fn close(model: &mut Model) -> Option<Vec<Effect>> {
    model.cell.take()?;
    // What is read for it alone would keep the keys of the table waiting.
    let is_read = model.screen == Screen::Tables && grid::give_up_comparing(model);
    Some(match is_read {
        true => vec![Effect::Cancel(Slot::WholeRow)],
        false => Vec::new(),
    })
}

/// Reads the value again where its row is not read anyway: whether it is what it was, and where that is asked for, to be shown.
pub(super) fn read_again(model: &mut Model) -> Option<Effect> {
    match model.screen {
        Screen::Tables => grid::read_compared(model),
        _ => None,
    }
}

/// What is read next takes the place of what is shown.
pub(super) fn ask_anew(model: &mut Model) {
    if let Some(cell) = &mut model.cell {
        cell.is_asked_anew = true;
    }
}

/// The row has been read again; `None` where it is not there any more. What one reads stays on the screen, marked, unless it was asked for anew.
pub(super) fn compare(model: &mut Model, read: Option<Read<'_>>) {
    let Some(cell) = &mut model.cell else {
        return;
    };
    let is_asked_anew = std::mem::take(&mut cell.is_asked_anew);
    match read.map(|read| read.cell(&cell.column)) {
        None => cell.news = Some(News::Gone),
        Some(new) if (&new.value, &new.plot) == (&cell.value, &cell.plot) => {
            (cell.now, cell.is_gone, cell.news) = (new.now, new.is_gone, None);
        }
        Some(_) if !is_asked_anew => cell.news = Some(News::Changed),
        Some(new) => {
            *cell = Cell {
                folded: std::mem::take(&mut cell.folded),
                search: std::mem::take(&mut cell.search),
                is_plotted: cell.is_plotted && new.plot.is_some(),
                cursor: cell.cursor,
                top: cell.top,
                ..new
            };
        }
    }
    settle(model);
}

/// Writes the value's lines anew, after the size or what is folded has changed. A value may have a hundred thousand: they are kept.
pub(super) fn settle(model: &mut Model) {
    let (width, height) = (model.size.page_width(), model.size.content());
    if let Some(cell) = &mut model.cell {
        cell.nodes = pages::nodes(cell, width);
        cell.cursor = cell.cursor.min(cell.nodes.len().saturating_sub(1));
        let lines = pages::cell_height(cell, height);
        let top = cell.top.min(cell.nodes.len().saturating_sub(lines));
        cell.top = in_sight(top, cell.cursor, lines);
    }
}

fn fold_long(value: &Value, pointer: String, folded: &mut BTreeSet<String>) {
    let is_long = |members: usize| !pointer.is_empty() && members > UNFOLDED;
    match value {
        Value::Array(values) => {
            if is_long(values.len()) {
                folded.insert(pointer.clone());
            }
            for (at, value) in values.iter().enumerate() {
                fold_long(value, format!("{pointer}/{at}"), folded);
            }
        }
        Value::Object(members) => {
            if is_long(members.len()) {
                folded.insert(pointer.clone());
            }
            for (name, value) in members {
                fold_long(value, pages::pointer_to(&pointer, name), folded);
            }
        }
        _ => {}
    }
}

/// What databases write for floating-point numbers that JSON has none for: among numbers a gap.
const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// The numbers of an array, if it is one of numbers, between which there may be gaps.
fn numbers(value: &Value) -> Option<Vec<Option<f64>>> {
    let values = value.as_array()?;
    let is_number = |value: &&Value| value.is_number();
    let is_gap = |value: &Value| match value {
        Value::String(text) => NO_NUMBERS.contains(&text.as_str()),
        value => value.is_null(),
    };
    let are_numbers = values
        .iter()
        .all(|value| value.is_number() || is_gap(value));
    (are_numbers && values.iter().filter(is_number).nth(1).is_some())
        .then(|| values.iter().map(Value::as_f64).collect())
}

/// A column's name with its unit, where another column names that: `x_unit`, `unit_x`, or one for all, as text or as the row that it names.
fn with_unit(column: &str, row: &Row, names: &BTreeMap<String, String>) -> String {
    let (of_it, of_all) = (
        [
            format!("{column}_unit"),
            format!("{column}_units"),
            format!("unit_{column}"),
        ],
        ["unit".to_owned(), "units".to_owned()],
    );
    let candidates = of_it.into_iter().chain(of_all);
    let columns = candidates.flat_map(|name| [format!("{name}_id"), name]);
    let mut units = columns.filter_map(|name| {
        let own = || row.get(&name)?.as_str().map(str::to_owned);
        names.get(&name).cloned().or_else(own)
    });
    match units.find(|unit| !unit.is_empty()) {
        Some(unit) => format!("{column} ({unit})"),
        None => column.to_owned(),
    }
}

/// An array of numbers against another one of the same length, or against its own places.
fn plot(column: &str, value: &Value, row: &Row, names: &BTreeMap<String, String>) -> Option<Plot> {
    let own = numbers(value)?;
    let others = row.iter().filter(|(name, _)| *name != column);
    let other = others
        .filter_map(|(name, value)| Some((name, numbers(value)?)))
        .find(|(_, values)| values.len() == own.len());
    let plot = |x_name: &str, y_name: &str, x: Vec<Option<f64>>, y: Vec<Option<f64>>| Plot {
        x_name: with_unit(x_name, row, names),
        y_name: with_unit(y_name, row, names),
        runs: runs(x.into_iter().zip(y)),
        note: None,
    };
    Some(match other {
        // What runs to the right is what is called x, or what comes first in the row.
        Some((name, values)) => {
            let at = |wanted: &str| row.keys().position(|key| key == wanted);
            match column != "y" && (column == "x" || at(column) < at(name)) {
                true => plot(column, name, own, values),
                false => plot(name, column, values, own),
            }
        }
        None => {
            let places = (0..own.len()).map(|at| Some(at as f64)).collect();
            let mut others = row.iter().filter(|(name, _)| *name != column);
            let other = others.find_map(|(name, value)| Some((name, numbers(value)?.len())));
            let note = other.map(|(name, values)| {
                let values = crate::text::count(values as u64, "value", "values");
                format!("{name} has {values}, so it is not drawn against that")
            });
            Plot {
                note,
                ..plot("place in the array", column, places, own)
            }
        }
    })
}

/// Points in runs, each as far as no value is missing.
fn runs(points: impl Iterator<Item = (Option<f64>, Option<f64>)>) -> Vec<Vec<(f64, f64)>> {
    let points: Vec<Option<(f64, f64)>> = points.map(|(x, y)| Some((x?, y?))).collect();
    points
        .split(Option::is_none)
        .map(|run| run.iter().flatten().copied().collect::<Vec<_>>())
        .filter(|run| !run.is_empty())
        .collect()
}

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let height = model.size.content();
    let Some(cell) = &mut model.cell else {
        return Vec::new();
    };
    let nodes = &cell.nodes;
    let mut has_changed = true;
    match action {
        Action::Open => {
            if let Some((pointer, folded)) = nodes
                .get(cell.cursor)
                .and_then(|node| Some((node.pointer.clone(), node.folded?)))
            {
                match folded {
                    true => drop(cell.folded.remove(&pointer)),
                    false => drop(cell.folded.insert(pointer)),
                }
            }
        }
        // Folds the outermost parts, and unfolds all.
        Action::Left => {
            let outer = nodes.iter().filter(|node| node.depth == 1);
            let outer = outer.filter(|node| node.folded.is_some());
            cell.folded.extend(outer.map(|node| node.pointer.clone()));
            cell.cursor = 0;
        }
        Action::Right => cell.folded.clear(),
        Action::Plot => match &cell.plot {
            Some(_) => cell.is_plotted = !cell.is_plotted,
            None => {
                let text = "Only an array of two numbers or more can be drawn.";
                model.notice = Some(Notice::Info(text.to_owned()));
                return Vec::new();
            }
        },
        Action::NextMatch | Action::PreviousMatch => {
            let forwards = action == Action::NextMatch;
            return search(model, forwards, false);
        }
        _ => {
            cell.cursor = moved(action, cell.cursor, nodes.len(), height);
            has_changed = false;
        }
    }
    match has_changed {
        true => settle(model),
        false => cell.top = in_sight(cell.top, cell.cursor, pages::cell_height(cell, height)),
    }
    Vec::new()
}

/// Searches for a text; with `here` the line under the cursor counts too.
pub(super) fn search_for(model: &mut Model, text: &str) -> Vec<Effect> {
    if text.is_empty() {
        return search(model, true, false);
    }
    if let Some(cell) = &mut model.cell {
        text.clone_into(&mut cell.search);
    }
    search(model, true, true)
}

fn search(model: &mut Model, forwards: bool, here: bool) -> Vec<Effect> {
    let width = model.size.page_width();
    let Some(cell) = &mut model.cell else {
        return Vec::new();
    };
    if cell.search.is_empty() {
        return Vec::new();
    }
    // What is folded is searched too.
    let folded = std::mem::take(&mut cell.folded);
    let nodes = pages::nodes(cell, width);
    cell.folded = folded;
    let shown = &cell.nodes;
    let at = shown.get(cell.cursor).map(|node| node.pointer.clone());
    let current = nodes.iter().position(|node| {
        Some(&node.pointer) == at.as_ref() && node.text == shown[cell.cursor].text
    });
    let current = current.unwrap_or_default();
    let wanted = cell.search.to_lowercase();
    let is_match = |place: &usize| nodes[*place].text.to_lowercase().contains(&wanted);
    let count = nodes.len();
    // An empty text has no lines at all.
    let found = match forwards {
        _ if count == 0 => None,
        true => {
            let first = if here { 0 } else { 1 };
            (first..=count)
                .map(|by| (current + by) % count)
                .find(is_match)
        }
        false => (1..=count)
            .map(|by| (current + count - by) % count)
            .find(is_match),
    };
    let Some(found) = found else {
        model.notice = Some(Notice::Info(format!("\"{}\" is not in it.", cell.search)));
        return Vec::new();
    };
    let target = nodes[found].clone();
    // Everything around it is unfolded.
    cell.folded.retain(|pointer| {
        !(target.pointer.starts_with(&format!("{pointer}/")) || *pointer == target.pointer)
    });
    let now = pages::nodes(cell, width);
    let line = now.iter().position(|node| *node == target);
    let line = line.or_else(|| now.iter().position(|node| node.pointer == target.pointer));
    cell.cursor = line.unwrap_or_default();
    settle(model);
    Vec::new()
}
