//! The mouse: what the wheel and a press on a line do.

use super::super::effect::Effect;
use super::super::keymap::{Action, Context, Key};
use super::super::message::Mouse;
use super::super::model::{Model, Overlay};
use super::super::pages;
use super::{act as act_by_key, audit, execution, row, tables, timeline};

fn times(model: &mut Model, action: Action, times: u16) -> Vec<Effect> {
    (0..times).flat_map(|_| act_by_key(model, action)).collect()
}

/// The wheel moves as the arrow keys do; a press puts the cursor on a line, and on the line where it is already, opens it. Nothing else is done by
/// the mouse: no press can begin a rollback.
pub(super) fn act(model: &mut Model, mouse: Mouse) -> Vec<Effect> {
    let context = model.context();
    match mouse {
        Mouse::Turned(lines) => {
            let action = if lines > 0 { Action::Down } else { Action::Up };
            if context == Context::Confirm {
                let key = if lines > 0 { Key::Down } else { Key::Up };
                let pressed = (0..lines.unsigned_abs()).flat_map(|_| execution::typed(model, key));
                return pressed.collect();
            }
            if super::keymap::is_field(context) {
                return match &mut model.overlay {
                    Some(Overlay::Help { .. } | Overlay::Palette { .. }) => {
                        super::overlay::scrolled(model, action, lines.unsigned_abs())
                    }
                    _ => Vec::new(),
                };
            }
            times(model, action, lines.unsigned_abs())
        }
        Mouse::Pressed { column, line } => {
            if line == 1 {
                return match pages::tab_at(model, usize::from(column)) {
                    Some(action)
                        if model
                            .keymap
                            .bindings(context)
                            .any(|(one, _)| one.action == action) =>
                    {
                        act_by_key(model, action)
                    }
                    _ => Vec::new(),
                };
            }
            press_line(model, context, usize::from(line))
        }
    }
}

fn press_line(model: &mut Model, context: Context, line: usize) -> Vec<Effect> {
    // What lies under the footer is not what was pressed.
    let is_content = |at: &usize| *at < model.size.content();
    let Some(at) = line.checked_sub(2).filter(is_content) else {
        return Vec::new();
    };
    let (cursor, count, at) = match context {
        Context::Timeline => {
            let above = model.size.strip() + usize::from(model.is_filtered());
            let Some(at) = at.checked_sub(above).filter(|at| *at < model.list_height()) else {
                return Vec::new();
            };
            let timeline = &mut model.timeline;
            let (count, at) = (timeline.entries.len(), timeline.top + at);
            (&mut timeline.cursor, count, at)
        }
        Context::Tables => {
            let (count, Some(at)) = (model.tables.listed().count(), at.checked_sub(1)) else {
                return Vec::new();
            };
            let at = model.tables.top + at;
            (&mut model.tables.cursor, count, at)
        }
        Context::Grid => match (&mut model.tables.grid, at.checked_sub(2)) {
            (Some(grid), Some(at)) => {
                let (count, at) = (grid.known_rows(), grid.top + at);
                grid.to_key = None;
                (&mut grid.cursor, count, at)
            }
            _ => return Vec::new(),
        },
        Context::Audit => return audit::press(model, at),
        Context::Row => {
            let top = model.row.as_ref().map_or(0, |row| row.top);
            match (pages::row_item_at(model, top + at), &mut model.row) {
                (Some(item), Some(row)) => (&mut row.cursor, usize::MAX, item),
                _ => return Vec::new(),
            }
        }
        Context::Cell => {
            let height = model.size.content();
            let cell = model.cell.as_mut();
            let found = cell.and_then(|cell| Some((pages::cell_line_at(cell, height, at)?, cell)));
            match found {
                Some((at, cell)) => (&mut cell.cursor, usize::MAX, at),
                None => return Vec::new(),
            }
        }
        _ => return Vec::new(),
    };
    if at >= count {
        return Vec::new();
    }
    if std::mem::replace(cursor, at) == at {
        return act_by_key(model, Action::Open);
    }
    let mut effects = timeline::settle(model);
    effects.extend(tables::settle(model));
    effects.extend(row::settle(model));
    effects
}
