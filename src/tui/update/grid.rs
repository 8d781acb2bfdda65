//! The rows of one table: what keys do there.

use serde_json::Value;
use uuid::Uuid;

use super::super::effect::{Effect, RequestId};
use super::super::keymap::{Action, Context};
use super::super::model::{GRID_PAGE, Grid, Model, Notice, RowFor, WholeRow};
use super::super::pages;
use super::{cell, in_sight, links, moved, row_pages, told};
use crate::eventsourcing::schema::Tracking;
use crate::eventsourcing::{EventId, Result, RowKey};

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let height = model.size.grid();
    let Some(grid) = &mut model.tables.grid else {
        return Vec::new();
    };
    let columns = grid.columns().len();
    let selected = grid.selected_column().map(|column| column.name.clone());
    match (action, selected) {
        (Action::Left, _) => grid.column = grid.column.saturating_sub(1),
        (Action::Right, _) => grid.column = (grid.column + 1).min(columns.saturating_sub(1)),
        (Action::HideColumn, Some(_)) if columns == 1 => {
            let text = "This is the last column that is shown: + shows the others again.";
            model.notice = Some(Notice::Info(text.to_owned()));
            return Vec::new();
        }
        (Action::HideColumn, Some(name)) => {
            grid.hidden.insert(name);
            grid.column = grid.column.min(columns.saturating_sub(2));
        }
        (Action::ShowColumns, selected) => {
            grid.hidden.clear();
            let at = grid
                .columns()
                .iter()
                .position(|one| Some(&one.name) == selected.as_ref());
            grid.column = at.unwrap_or_default();
        }
        (Action::PinColumn, Some(name)) => {
            if !grid.pinned.remove(&name) {
                grid.pinned.insert(name.clone());
            }
            let at = grid.columns().iter().position(|one| one.name == name);
            grid.column = at.unwrap_or_default();
        }
        (Action::FitColumns, _) => grid.fits = !grid.fits,
        (Action::Sort, Some(name)) => {
            // Ascending, descending, and then as before.
            grid.sort = match grid.sort.take() {
                Some((sorted, false)) if sorted == name => Some((name, true)),
                Some((sorted, true)) if sorted == name => None,
                _ => Some((name, false)),
            };
            return row_pages::select(model);
        }
        (Action::Open, Some(name)) => return open_cell(model, &name),
        (Action::Last, _) if grid.rows.is_none() => {
            grid.to_end = true;
            return row_pages::place_rows(model).into_iter().collect();
        }
        (Action::History, _) => {
            return with_row(model, |model, key| {
                links::to_row(model, key, Some(EventId::MAX))
            });
        }
        (Action::RollBack, _) => return with_row(model, take_back_row),
        _ => grid.cursor = moved(action, grid.cursor, grid.known_rows(), height),
    }
    if let Some(grid) = &mut model.tables.grid {
        // Rows that came and went have left the cursor in its line; whoever moves it wants to see as many as there is room for.
        let last = grid.rows.map(|all| all.saturating_sub(height));
        grid.top = grid.top.min(last.unwrap_or(grid.top));
        grid.top = in_sight(grid.top, grid.cursor, height);
    }
    pages::keep_column_in_sight(model);
    row_pages::read_on(model)
}

/// Does something with the row under the cursor.
fn with_row(
    model: &mut Model,
    work: impl FnOnce(&mut Model, RowKey) -> Vec<Effect>,
) -> Vec<Effect> {
    let grid = model.tables.grid.as_ref();
    if let Some(key) = grid.and_then(Grid::selected_key) {
        return work(model, key);
    }
    if let Some(Tracking::Untracked { reason }) = grid.map(|grid| &grid.table.tracking) {
        let text = format!("This table takes no part, so its rows have no history: {reason}.");
        model.notice = Some(Notice::Info(text));
    }
    Vec::new()
}

/// Goes to the row's life, where the event is chosen to which it is taken back.
fn take_back_row(model: &mut Model, key: RowKey) -> Vec<Effect> {
    let text = "Choose the event before which this row is to be, then R again.";
    model.notice = Some(Notice::Info(text.to_owned()));
    links::to_row(model, key, Some(EventId::MAX))
}

/// The row that a foreign key names, or the value over the whole screen; of the key's own column, the row.
fn open_cell(model: &mut Model, name: &str) -> Vec<Effect> {
    let Some(grid) = &model.tables.grid else {
        return Vec::new();
    };
    let (Some(selected), Some(column)) = (grid.selected(), grid.table.column(name)) else {
        return Vec::new();
    };
    if grid.table.key() == Some(name) {
        return with_row(model, |model, key| links::to_row(model, key, None));
    }
    let value = selected.row.get(name).cloned().unwrap_or_default();
    if let (Some(to), Some(uuid)) = (&column.references, value.as_str())
        && let Ok(uuid) = uuid.parse()
    {
        let key = RowKey {
            table: to.table.clone(),
            uuid,
        };
        return links::to_row(model, key, None);
    }
    let name = name.to_owned();
    read_whole(model, RowFor::Showing(name))
        .into_iter()
        .collect()
}

/// Reads the row under the cursor whole: a grid holds no long values.
pub(super) fn read_whole(model: &mut Model, purpose: RowFor) -> Option<Effect> {
    let grid = model.tables.grid.as_ref()?;
    grid.selected()?;
    let key = grid.selected_key().map(|key| key.uuid);
    read_row(model, key, purpose)
}

/// Reads the row again of which a value is open, wherever the cursor is by now.
pub(super) fn read_compared(model: &mut Model) -> Option<Effect> {
    let key = model.cell.as_ref()?.row?;
    read_row(model, Some(key), RowFor::Comparing)
}

/// Does not wait for that any more. Whether it did.
pub(super) fn give_up_comparing(model: &mut Model) -> bool {
    let is_compared = |wanted: &mut (RequestId, RowFor)| wanted.1 == RowFor::Comparing;
    let grid = model.tables.grid.as_mut();
    grid.is_some_and(|grid| grid.whole_wanted.take_if(is_compared).is_some())
}

fn read_row(model: &mut Model, key: Option<Uuid>, purpose: RowFor) -> Option<Effect> {
    let request = model.next_request();
    let grid = model.tables.grid.as_mut()?;
    let start = grid.starts.get(grid.cursor / GRID_PAGE)?.clone();
    grid.whole_wanted = Some((request, purpose));
    let n = grid.cursor % GRID_PAGE;
    Some(Effect::WholeRow(
        request,
        Box::new(grid.request()),
        key,
        start,
        n,
    ))
}

/// A row has been read whole: shows it, or copies it.
pub(super) fn whole_read(
    model: &mut Model,
    request: RequestId,
    result: Result<Option<WholeRow>>,
) -> Vec<Effect> {
    let grid = model.tables.grid.as_mut();
    let is_wanted = |wanted: &mut (RequestId, RowFor)| wanted.0 == request;
    let Some((_, purpose)) = grid.and_then(|grid| grid.whole_wanted.take_if(is_wanted)) else {
        return Vec::new();
    };
    let Some(found) = told(model, result) else {
        return Vec::new();
    };
    let Some(table) = model.tables.grid.as_ref().map(|grid| grid.table.clone()) else {
        return Vec::new();
    };
    // By its place alone another row may have been read.
    let selected = model.tables.grid.as_ref().and_then(Grid::selected);
    let is_it = |found: &WholeRow| {
        table.key().is_some() || selected.is_none_or(|row| row.is_summary_of(&found.row))
    };
    let found = found.filter(is_it);
    let is_past = model
        .tables
        .grid
        .as_ref()
        .is_some_and(|grid| grid.at.is_some());
    let read = found.as_ref().map(|found| cell::Read {
        is_past: is_past && table.key().is_some(),
        table: &table,
        row: &found.row,
        names: &found.names,
        now: found.now.as_ref(),
    });
    if purpose == RowFor::Comparing {
        cell::compare(model, read);
        return Vec::new();
    }
    let (Some(found), Some(read)) = (&found, read) else {
        let text = format!(
            "This row is not there any more: {} reads the table again.",
            model.key_for(Action::Reload)
        );
        model.notice = Some(Notice::Info(text));
        return Vec::new();
    };
    let row = &found.row;
    // Whoever has gone elsewhere meanwhile does not want it there.
    let is_here = model.context_below() == Context::Grid;
    match purpose {
        RowFor::Showing(name) if is_here => {
            cell::open(model, read.cell(&name));
            Vec::new()
        }
        RowFor::Showing(_) | RowFor::Comparing => Vec::new(),
        RowFor::CopyingValue(name) => {
            let value = row.get(&name).unwrap_or(&Value::Null);
            vec![Effect::Copy(pages::plain(value))]
        }
        RowFor::Copying => vec![Effect::Copy(Value::Object(row.clone()).to_string())],
    }
}
