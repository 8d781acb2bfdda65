//! The list of tables, and the rows of one.

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Action;
use super::super::message::RowCount;
use super::super::model::{Grid, Model, Notice, RowScreen, Screen};
use super::{grid, in_sight, moved, row, row_pages, told};
use crate::eventsourcing::schema::{Table, Tracking};
use crate::eventsourcing::{EventId, Result};

/// Reads the tables and counts their rows, and an open table from its first row: where its pages begin may have
/// changed. What is shown stays until the new has arrived.
pub(super) fn reload(model: &mut Model) -> Vec<Effect> {
    let request = model.next_request();
    model.tables.wanted = Some(request);
    let mut effects = vec![Effect::Tables(request)];
    effects.extend(row_pages::renew(model));
    effects
}

/// After another position has been chosen: counts and rows are those of then.
pub(super) fn travel(model: &mut Model) -> Vec<Effect> {
    let at = model.at();
    // Those of another moment would be wrong until each has been replaced.
    model.tables.counts.clear();
    model.tables.estimates.clear();
    let mut effects: Vec<Effect> = count(model, false).into_iter().collect();
    effects.extend(row_pages::travel(model, at));
    effects
}

/// Events have come: counts the rows anew where they are listed, and reads those of an open table.
pub(super) fn grown(model: &mut Model) -> Vec<Effect> {
    let is_listed = model.screen == Screen::Tables && model.position.is_none();
    // Begun anew with every event, where they come fast, counting would never end.
    let tables = &model.tables;
    let is_counting = tables.counts_wanted.is_some() && tables.counts_left > 0;
    let counting = match is_listed && tables.grid.is_none() && !is_counting {
        true => count(model, false),
        false => None,
    };
    counting
        .into_iter()
        .chain(row_pages::grown(model))
        .collect()
}

/// The tables are shown again: what has come meanwhile is read.
pub(super) fn shown(model: &mut Model) -> Vec<Effect> {
    let mut effects = settle(model);
    let is_old = match &model.tables.grid {
        Some(grid) => grid.is_outdated,
        None => model.tables.counted_at.is_some() && model.tables.counted_at != model.head,
    };
    if is_old {
        effects.extend(grown(model));
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
    row_pages::read_on(model)
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
    // The rows that name a row stand on its page too, above its life.
    row::keep_item(model, |model| model.tables.list = Some(list));
    let last = model.tables.listed().count().saturating_sub(1);
    model.tables.cursor = model.tables.cursor.min(last);
    // What was estimated is not counted again and again behind the reader's back.
    let mut effects: Vec<Effect> = count(model, false).into_iter().collect();
    // Which rows name a row is known only now, where its page was there first.
    let is_uncounted = |row: &RowScreen| row.named_by_wanted.is_none();
    if model.row.as_ref().is_some_and(is_uncounted) {
        effects.extend(row::count_naming(model));
    }
    effects
}

/// Counts the rows of all tables; with `large` also of those that the database guesses to be large.
fn count(model: &mut Model, large: bool) -> Option<Effect> {
    let list = model.tables.list.clone()?;
    let request = model.next_request();
    model.tables.counts_wanted = Some(request);
    model.tables.counts_left = list.len();
    Some(Effect::Count(request, list, model.at(), large))
}

pub(super) fn counting(
    model: &mut Model,
    request: RequestId,
    result: Result<EventId>,
) -> Vec<Effect> {
    if model.tables.counts_wanted == Some(request) {
        model.tables.counted_at = told(model, result);
    }
    Vec::new()
}

pub(super) fn counted(
    model: &mut Model,
    request: RequestId,
    table: String,
    result: Result<RowCount>,
) -> Vec<Effect> {
    if model.tables.counts_wanted == Some(request) {
        match told(model, result) {
            Some(RowCount::Counted(rows)) => {
                model.tables.estimates.remove(&table);
                model.tables.counts.insert(table, rows);
            }
            Some(RowCount::Estimated(rows)) => {
                model.tables.counts.remove(&table);
                model.tables.estimates.insert(table, rows);
            }
            None => {}
        }
        model.tables.counts_left = model.tables.counts_left.saturating_sub(1);
        if model.tables.counts_left == 0 && model.screen == Screen::Tables {
            return shown(model);
        }
    }
    Vec::new()
}

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    if action == Action::CountRows {
        let mut effects: Vec<Effect> = count(model, true).into_iter().collect();
        let is_unknown = |grid: &Grid| {
            let is_about = grid.rows.is_none() || !grid.is_counted();
            is_about && !grid.filter.trim().is_empty()
        };
        if model.tables.grid.as_ref().is_some_and(is_unknown) {
            effects.extend(row_pages::place_rows(model));
        }
        return effects;
    }
    if model.tables.grid.is_some() {
        return grid::act(model, action);
    }
    if action == Action::Open {
        let Some(table) = model.tables.listed().nth(model.tables.cursor).cloned() else {
            return Vec::new();
        };
        // In a line of the list, and in the title of the rows, a long reason is cut.
        if let Tracking::Untracked { reason } = &table.tracking {
            let text = format!("{} takes no part: {reason}", table.name);
            model.notice = Some(Notice::Info(text));
        }
        model.tables.grid = Some(Grid::new(table, model.at()));
        return row_pages::read_page(model, 0).into_iter().collect();
    }
    let height = list_height(model);
    let count = model.tables.listed().count();
    model.tables.cursor = moved(action, model.tables.cursor, count, height);
    model.tables.top = in_sight(model.tables.top, model.tables.cursor, height);
    Vec::new()
}

/// Lists only tables with this in their names.
pub(super) fn list_only(model: &mut Model, text: &str) {
    text.trim().clone_into(&mut model.tables.filter);
    (model.tables.cursor, model.tables.top) = (0, 0);
}
