//! Which rows of a table are read, page by page, and on which of them the cursor is then.

use uuid::Uuid;

use super::super::effect::{Effect, RequestId};
use super::super::message::GridPage;
use super::super::model::{GRID_PAGE, Grid, Model, Notice, Screen};
use super::{tables, told};
use crate::eventsourcing::rows::RowsStart;
use crate::eventsourcing::selection::Selection;
use crate::eventsourcing::{Error, ErrorCode, EventId, Result};

/// Pages of a grid that are held at most.
const HELD_PAGES: usize = 3;

/// Reads the rows in sight anew; what is shown stays until they have arrived, and the cursor on its row.
pub(super) fn renew(model: &mut Model) -> Option<Effect> {
    let grid = model.tables.grid.as_mut()?;
    grid.counted = None;
    // Where the pages began that were all looked at before is not where they begin now.
    if grid.starts.first().is_some_and(RowsStart::is_placed) && !grid.selection.is_sorted() {
        return place_rows(model);
    }
    (grid.renewing, grid.goes) = (true, false);
    let page = match grid.selection.is_sorted() {
        true => 0,
        false => (grid.top / GRID_PAGE).min(grid.starts.len() - 1),
    };
    if page == 0 {
        grid.starts = vec![RowsStart::default()];
    }
    read_page(model, page)
}

/// Reads the rows of another position; the cursor goes to the row on which it is, or where that is not there, to the next one.
pub(super) fn travel(model: &mut Model, at: Option<EventId>) -> Option<Effect> {
    let grid = model.tables.grid.as_mut()?;
    grid.at = at;
    (grid.rows, grid.is_outdated) = (None, false);
    let renewed = renew(model);
    let grid = model.tables.grid.as_mut()?;
    grid.goes = true;
    grid.to_key = key_and_line(grid);
    renewed
}

/// Reads the rows anew from the first one on.
fn restart(model: &mut Model) -> Option<Effect> {
    let grid = model.tables.grid.as_mut()?;
    (grid.renewing, grid.goes) = (true, true);
    grid.starts = vec![RowsStart::default()];
    (grid.rows, grid.to_key) = (None, None);
    (grid.cursor, grid.top) = (0, 0);
    read_page(model, 0)
}

/// Reads the rows anew so that the place of each is known: how many there are, and which the last is. Those that are there stay until then, also
/// when it is cancelled.
pub(super) fn place_rows(model: &mut Model) -> Option<Effect> {
    let request = model.next_request();
    let grid = model.tables.grid.as_mut()?;
    (grid.renewing, grid.goes) = (true, grid.to_end);
    grid.wanted = Some((request, 0));
    let asked = Box::new(grid.request());
    Some(Effect::Rows(request, asked, RowsStart::placed(), GRID_PAGE))
}

/// Shows only such rows.
///
/// # Errors
/// What is wrong with the conditions, as far as they are typed.
pub(super) fn show_only(model: &mut Model, text: &str) -> Result<Vec<Effect>> {
    let Some(grid) = &mut model.tables.grid else {
        return Ok(Vec::new());
    };
    let selection = Selection::parse_line(&grid.table, text, sorted_by(grid).as_deref())?;
    text.clone_into(&mut grid.filter);
    if grid.selection == selection {
        return Ok(Vec::new());
    }
    grid.counted = None;
    Ok(select(model))
}

/// The column that the rows are sorted by, as a selection has it.
fn sorted_by(grid: &Grid) -> Option<String> {
    let (column, descending) = grid.sort.as_ref()?;
    Some(match descending {
        true => format!("-{column}"),
        false => column.clone(),
    })
}

/// Reads the rows anew after what is asked for has changed.
pub(super) fn select(model: &mut Model) -> Vec<Effect> {
    let Some(grid) = &mut model.tables.grid else {
        return Vec::new();
    };
    match Selection::parse_line(&grid.table, &grid.filter, sorted_by(grid).as_deref()) {
        Ok(selection) => grid.selection = selection,
        Err(error) => {
            grid.sort = None;
            model.notice = Some(Notice::Failure(error));
            return Vec::new();
        }
    }
    restart(model).into_iter().collect()
}

/// Reads a page that is in sight, or soon will be, and is not held.
pub(super) fn read_on(model: &mut Model) -> Vec<Effect> {
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
    match missing {
        Some(page) => read_page(model, page).into_iter().collect(),
        None => Vec::new(),
    }
}

pub(super) fn read_page(model: &mut Model, page: usize) -> Option<Effect> {
    let request = model.next_request();
    let grid = model.tables.grid.as_mut()?;
    let start = grid.starts.get(page)?.clone();
    grid.wanted = Some((request, page));
    Some(Effect::Rows(
        request,
        Box::new(grid.request()),
        start,
        GRID_PAGE,
    ))
}

pub(super) fn rows(model: &mut Model, request: RequestId, result: Result<GridPage>) -> Vec<Effect> {
    let grid = model.tables.grid.as_mut();
    let Some(grid) = grid.filter(|grid| grid.wanted.is_some_and(|(one, _)| one == request)) else {
        return Vec::new();
    };
    let page = grid.wanted.take().map_or(0, |(_, page)| page);
    let goes = std::mem::take(&mut grid.goes);
    let read = match result {
        Ok(read) => read,
        Err(error) => {
            grid.give_up();
            return refused(model, error);
        }
    };
    if std::mem::take(&mut grid.renewing) {
        if !goes {
            grid.to_key = key_and_line(grid);
        }
        grid.is_outdated = false;
        grid.pages.clear();
        grid.starts.truncate(page + 1);
        (grid.rows, grid.chained_from) = (None, page);
    }
    chain(grid, page, &read);
    grid.rows = read.total.or(grid.rows);
    if let Some(rows) = grid.rows
        && std::mem::take(&mut grid.to_end)
    {
        grid.cursor = rows.saturating_sub(1);
    }
    grid.counted = grid.rows.filter(|_| grid.is_counted()).or(grid.counted);
    grid.pages.insert(page, read.rows);
    keep_cursor(grid, page);
    while grid.pages.len() > HELD_PAGES {
        let here = grid.top / GRID_PAGE;
        let farthest = grid
            .pages
            .keys()
            .copied()
            .max_by_key(|one| one.abs_diff(here));
        farthest.and_then(|page| grid.pages.remove(&page));
    }
    grid.cursor = grid.cursor.min(grid.known_rows().saturating_sub(1));
    tables::settle(model)
}

/// Where the next page begins, now that this one has been read.
fn chain(grid: &mut Grid, page: usize, read: &GridPage) {
    let is_last = page + 1 == grid.starts.len();
    if !is_last && page >= grid.chained_from {
        return;
    }
    let next = read.next.as_ref();
    if !is_last {
        // A page before those that have been read since rows came: where it does not end as the next one begins, all after it are others.
        let is_joined = page + 1 == grid.chained_from
            && next.is_some_and(|next| next.is_same(&grid.starts[page + 1]));
        grid.chained_from = page;
        if is_joined {
            return;
        }
        grid.to_key = grid.to_key.or(key_and_line(grid));
        grid.starts.truncate(page + 1);
        grid.pages.retain(|one, _| *one < page);
        grid.rows = None;
    }
    match next {
        // Also the first page is read again from there, and all rows are not looked at for it once more.
        Some(next) => match next.pages(GRID_PAGE) {
            Some(all) => grid.starts = all,
            None => grid.starts.push(next.clone()),
        },
        None => {
            grid.rows = Some(page * GRID_PAGE + read.rows.len());
            if page == 0 {
                grid.starts = vec![RowsStart::default()];
            }
        }
    }
}

/// The key of the row under the cursor, and its line.
fn key_and_line(grid: &Grid) -> Option<(Uuid, usize)> {
    let line = grid.cursor.saturating_sub(grid.top);
    Some((grid.selected_key()?.uuid, line))
}

/// Puts the cursor on the row on which it is to be, in its line, if that is in this page; on the next one where it is not there any more; and on the
/// next page where it may be there.
fn keep_cursor(grid: &mut Grid, page: usize) {
    let Some((key, line)) = grid.to_key else {
        return;
    };
    let is_in_order = !grid.selection.is_sorted();
    let placed = grid
        .starts
        .first()
        .and_then(|start| start.place_of(key, is_in_order));
    let (first, rows) = (page * GRID_PAGE, grid.pages.get(&page));
    let keys = rows.into_iter().flatten().map(|row| grid.key_of(row));
    let keys: Vec<Option<Uuid>> = keys.collect();
    let at = |wanted: &dyn Fn(&Uuid) -> bool| {
        let is_wanted = |one: &Option<Uuid>| one.as_ref().is_some_and(wanted);
        keys.iter().position(is_wanted).map(|at| first + at)
    };
    let after = || at(&|one| is_in_order && *one > key);
    let found = placed.or_else(|| at(&|one| *one == key)).or_else(after);
    let end = first + keys.len();
    let has_more = end < grid.known_rows() && is_in_order;
    let cursor = match (found, has_more) {
        (Some(found), _) => found,
        (None, true) => end,
        // It is gone, and with it all that came after it; or sorted otherwise, nothing tells which came next.
        (None, false) if is_in_order => end.saturating_sub(1),
        (None, false) => grid.cursor,
    };
    if found.is_some() || !has_more {
        grid.to_key = None;
    }
    (grid.cursor, grid.top) = (cursor, cursor.saturating_sub(line));
}

/// Events have come. Rows in the order of their keys are read anew at once; to find or to sort others takes a look at every row, which is for the reader to ask
/// for.
pub(super) fn grown(model: &mut Model) -> Option<Effect> {
    // No event concerns a table that takes no part; and its rows cannot be told apart by keys.
    let grid = model
        .tables
        .grid
        .as_mut()
        .filter(|grid| grid.table.key().is_some())?;
    let is_plain = grid.selection == Selection::default()
        && !grid.starts.first().is_some_and(RowsStart::is_placed);
    match is_plain && grid.wanted.is_none() && model.screen == Screen::Tables {
        true => renew(model),
        false => {
            grid.is_outdated = true;
            None
        }
    }
}

/// A table whose past is not known is shown as it is.
fn refused(model: &mut Model, error: Error) -> Vec<Effect> {
    let is_past = model.position.is_some() && error.code == ErrorCode::UntrackedTable;
    match (is_past, &mut model.tables.grid) {
        (true, Some(grid)) => {
            grid.at = None;
            (grid.starts, grid.chained_from) = (vec![RowsStart::default()], 0);
            model.notice = Some(Notice::Info(format!(
                "{}. These are its rows as they are now.",
                error.message
            )));
            read_page(model, 0).into_iter().collect()
        }
        _ => {
            told::<()>(model, Err(error));
            Vec::new()
        }
    }
}
