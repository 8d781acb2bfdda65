//! Going from one thing to another that it names, and back.

use super::super::effect::{Effect, RequestId, Slot};
use super::super::model::{Grid, Model, Place, Position, RowScreen, Screen, Visited};
use super::{audit, cell, event_pages, row, row_pages, searching, tables, timeline, told};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::timeline::Filter;
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{EventId, Result, RowKey};

/// Links that can be gone back at most.
const LONGEST_TRAIL: usize = 50;

/// Remembers where a link was followed; what lay open over it would hide where one goes.
fn leave_behind(model: &mut Model) {
    (model.overlay, model.covered, model.cell) = (None, None, None);
    let left = match model.screen {
        Screen::Timeline => {
            let opened = model.timeline.opened.take();
            let selected = model.timeline.selected();
            selected.map(|entry| Visited::Event {
                id: entry.event.id,
                filter: model.timeline.filter_text.clone(),
                opened,
            })
        }
        Screen::Tables => match &model.tables.grid {
            Some(grid) => Some(Visited::Grid(Box::new(grid.in_sight(model.size.grid())))),
            None => Some(Visited::Tables),
        },
        Screen::Row => model.row.clone().map(|row| Visited::Row(Box::new(row))),
        Screen::Audit => Some(Visited::Audit),
        Screen::Rollback => Some(Visited::Rollback),
    };
    model.trail.extend(left);
    let surplus = model.trail.len().saturating_sub(LONGEST_TRAIL);
    model.trail.drain(..surplus);
}

/// To an event in the timeline; where a filter hides it, all are shown again, as the link would else lead elsewhere.
pub(super) fn to_event(model: &mut Model, id: EventId) -> Vec<Effect> {
    leave_behind(model);
    model.screen = Screen::Timeline;
    model.timeline.opened = None;
    let mut held = model.timeline.entries.iter();
    let is_held = held.any(|entry| entry.event.id == id);
    match is_held || model.timeline.filter.is_empty() {
        true => timeline::go_to(model, id),
        false => {
            model.timeline.follows = false;
            vec![event_pages::ask(model, Some(id - 1), Place::Exactly(id))]
        }
    }
}

/// To the events that a filter shows.
pub(super) fn to_events(model: &mut Model, text: &str) -> Vec<Effect> {
    let Ok(filter) = Filter::parse(text) else {
        return Vec::new();
    };
    leave_behind(model);
    model.screen = Screen::Timeline;
    text.clone_into(&mut model.timeline.filter_text);
    searching::show_only(model, filter, None)
}

/// To a row, or to an event of its life: this one, or where it is not among those that are read first, the latest.
pub(super) fn to_row(model: &mut Model, key: RowKey, to_event: Option<EventId>) -> Vec<Effect> {
    leave_behind(model);
    model.screen = Screen::Row;
    model.row = Some(RowScreen::new(key, to_event));
    row::read(model)
}

/// To the rows of a table that meet a condition.
pub(super) fn to_rows(model: &mut Model, table: Table, condition: &str) -> Vec<Effect> {
    leave_behind(model);
    model.screen = Screen::Tables;
    let mut grid = Grid::new(table, model.at());
    condition.clone_into(&mut grid.filter);
    model.tables.grid = Some(grid);
    row_pages::select(model)
}

/// Back to where the last link was followed. `None` when none was.
pub(super) fn go_back(model: &mut Model) -> Option<Vec<Effect>> {
    Some(match model.trail.pop()? {
        Visited::Event { id, filter, opened } => {
            model.screen = Screen::Timeline;
            model.timeline.opened = opened;
            searching::show_again(model, id, filter)
        }
        Visited::Tables => {
            model.screen = Screen::Tables;
            model.tables.grid = None;
            vec![Effect::Cancel(Slot::Rows)]
        }
        Visited::Grid(grid) => {
            model.screen = Screen::Tables;
            let is_current = grid.at == model.at();
            model.tables.grid = Some(*grid);
            match is_current {
                true => tables::settle(model),
                false => tables::travel(model),
            }
        }
        Visited::Row(row) => {
            model.screen = Screen::Row;
            model.row = Some(*row);
            row::read(model)
        }
        Visited::Audit => {
            model.screen = Screen::Audit;
            audit::shown(model)
        }
        Visited::Rollback => {
            model.screen = Screen::Rollback;
            Vec::new()
        }
    })
}

/// To what tables and rows were after the transaction of this moment: what they were within it, nobody has ever seen.
pub(super) fn ask_to_travel(model: &mut Model, moment: Timestamp) -> Vec<Effect> {
    let request = model.next_request();
    model.timeline.locate_wanted = Some(request);
    vec![Effect::Travel(request, moment)]
}

/// The last event of that transaction is known: shows tables and rows as they were after it.
pub(super) fn travelled(
    model: &mut Model,
    request: RequestId,
    moment: Timestamp,
    result: Result<EventId>,
) -> Vec<Effect> {
    let wanted = &mut model.timeline.locate_wanted;
    if wanted.take_if(|wanted| *wanted == request).is_none() {
        return Vec::new();
    }
    let Some(after) = told(model, result) else {
        return Vec::new();
    };
    model.position = Some(Position { after, moment });
    if matches!(model.screen, Screen::Timeline) {
        leave_behind(model);
        model.screen = Screen::Tables;
        // Rows that were looked for in what is there now would look as if they had not been there then.
        let is_filtered = |grid: &mut Grid| !grid.filter.trim().is_empty();
        model.tables.grid.take_if(is_filtered);
    }
    arrive(model)
}

/// Shows tables and rows as they are.
pub(super) fn return_to_now(model: &mut Model) -> Vec<Effect> {
    match model.position.take() {
        Some(_) => arrive(model),
        None => Vec::new(),
    }
}

fn arrive(model: &mut Model) -> Vec<Effect> {
    cell::ask_anew(model);
    let mut effects = tables::travel(model);
    if model.row.is_some() {
        effects.extend(row::read(model));
    }
    effects.extend(cell::read_again(model));
    effects
}
