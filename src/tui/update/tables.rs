//! The list of tables, and the rows of one.

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Action;
use super::super::model::{GRID_PAGE, Grid, Model, Notice};
use super::{in_sight, moved, told};
use crate::eventsourcing::Result;
use crate::eventsourcing::schema::{Table, Tracking};
use crate::eventsourcing::store::RowPage;

/// Pages of a grid that are held at most.
const HELD_PAGES: usize = 6;

/// Reads the tables and counts their rows, and an open table from its first row: where its pages begin may have
/// changed. What is shown stays until the new has arrived.
pub(super) fn reload(model: &mut Model) -> Vec<Effect> {
    let request = model.next_request();
    model.tables.wanted = Some(request);
    let mut effects = vec![Effect::Tables(request)];
    if let Some(grid) = &mut model.tables.grid {
        grid.renewing = true;
        effects.extend(read_page(model, 0));
    }
    effects
}

/// After the size has changed: keeps the cursors in sight, and reads on where more has come into sight.
pub(super) fn settle(model: &mut Model) -> Vec<Effect> {
    let (list, rows) = (list_height(model), model.size.grid());
    let tables = &mut model.tables;
    tables.top = in_sight(tables.top, tables.cursor, list);
    if let Some(grid) = &mut tables.grid {
        grid.top = in_sight(grid.top, grid.cursor, rows);
    }
    read_on(model)
}

/// Lines of the list of tables, under their headings.
fn list_height(model: &Model) -> usize {
    model.size.content().saturating_sub(1)
}

pub(super) fn listed(
    model: &mut Model,
    request: RequestId,
    result: Result<Vec<Table>>,
) -> Vec<Effect> {
    if model.tables.wanted != Some(request) {
        return Vec::new();
    }
    model.tables.wanted = None;
    let Some(list) = told(model, result) else {
        return Vec::new();
    };
    let last = list.len().saturating_sub(1);
    model.tables.cursor = model.tables.cursor.min(last);
    let counting = model.next_request();
    model.tables.counts_wanted = Some(counting);
    model.tables.list = Some(list.clone());
    vec![Effect::Count(counting, list)]
}

pub(super) fn counted(
    model: &mut Model,
    request: RequestId,
    table: String,
    result: Result<u64>,
) -> Vec<Effect> {
    if model.tables.counts_wanted == Some(request)
        && let Some(rows) = told(model, result)
    {
        model.tables.counts.insert(table, rows);
    }
    Vec::new()
}

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    if model.tables.grid.is_some() {
        return act_in_grid(model, action);
    }
    let Some(list) = &model.tables.list else {
        return Vec::new();
    };
    if action == Action::Open {
        let Some(table) = list.get(model.tables.cursor).cloned() else {
            return Vec::new();
        };
        // In a line of the list, and in the title of the rows, a long reason is cut.
        if let Tracking::Untracked { reason } = &table.tracking {
            let text = format!("{} takes no part: {reason}", table.name);
            model.notice = Some(Notice::Info(text));
        }
        model.tables.grid = Some(Grid::new(table));
        return read_page(model, 0).into_iter().collect();
    }
    let height = list_height(model);
    model.tables.cursor = moved(action, model.tables.cursor, list.len(), height);
    model.tables.top = in_sight(model.tables.top, model.tables.cursor, height);
    Vec::new()
}

fn act_in_grid(model: &mut Model, action: Action) -> Vec<Effect> {
    let height = model.size.grid();
    let Some(grid) = &mut model.tables.grid else {
        return Vec::new();
    };
    match action {
        Action::Left => grid.left = grid.left.saturating_sub(1),
        Action::Right => {
            grid.left = (grid.left + 1).min(grid.table.columns.len().saturating_sub(1));
        }
        _ => grid.cursor = moved(action, grid.cursor, grid.known_rows(), height),
    }
    grid.top = in_sight(grid.top, grid.cursor, height);
    read_on(model)
}

/// Reads a page that is in sight, or soon will be, and is not held.
fn read_on(model: &mut Model) -> Vec<Effect> {
    let height = model.size.grid();
    let Some(grid) = &model.tables.grid else {
        return Vec::new();
    };
    if grid.wanted.is_some() {
        return Vec::new();
    }
    let first = grid.top / GRID_PAGE;
    let last = (grid.top + 2 * height) / GRID_PAGE;
    let missing =
        (first..=last).find(|page| *page < grid.starts.len() && !grid.pages.contains_key(page));
    missing
        .and_then(|page| read_page(model, page))
        .into_iter()
        .collect()
}

fn read_page(model: &mut Model, page: usize) -> Option<Effect> {
    let request = model.next_request();
    let grid = model.tables.grid.as_mut()?;
    let start = grid.starts.get(page)?.clone();
    grid.wanted = Some((request, page));
    Some(Effect::Rows(request, grid.table.clone(), start, GRID_PAGE))
}

/// Lets go of everything before the first page arrives anew. A cursor beyond it goes to the top.
fn renew(grid: &mut Grid, rows: usize) {
    let cursor = if grid.cursor < rows { grid.cursor } else { 0 };
    *grid = Grid {
        cursor,
        top: grid.top.min(cursor),
        left: grid.left,
        ..Grid::new(grid.table.clone())
    };
}

pub(super) fn rows(model: &mut Model, request: RequestId, result: Result<RowPage>) -> Vec<Effect> {
    let wanted = model.tables.grid.as_ref().and_then(|grid| grid.wanted);
    let Some((_, page)) = wanted.filter(|(wanted, _)| *wanted == request) else {
        return Vec::new();
    };
    let found = told(model, result);
    let Some(grid) = &mut model.tables.grid else {
        return Vec::new();
    };
    grid.wanted = None;
    let is_renewing = std::mem::take(&mut grid.renewing);
    let Some(found) = found else {
        return Vec::new();
    };
    if is_renewing {
        renew(grid, found.rows.len());
    }
    match found.next {
        Some(next) if page + 1 == grid.starts.len() => grid.starts.push(Some(next)),
        Some(_) => {}
        None => grid.rows = Some(page * GRID_PAGE + found.rows.len()),
    }
    grid.pages.insert(page, found.rows);
    // What is farthest from the cursor is let go first.
    while grid.pages.len() > HELD_PAGES {
        let here = grid.cursor / GRID_PAGE;
        let farthest = grid
            .pages
            .keys()
            .copied()
            .max_by_key(|held| held.abs_diff(here));
        if let Some(farthest) = farthest {
            grid.pages.remove(&farthest);
        }
    }
    read_on(model)
}
