//! The list of tables, and the rows of one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, NOT_READ, put};
use crate::eventsourcing::Row;
use crate::eventsourcing::schema::Tracking;
use crate::text::{count, fitted, value, visible, width};
use crate::tui::model::{Grid, Model};
use crate::tui::pages::Tone;

/// A column is never wider than this.
const WIDEST: usize = 36;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    match &model.tables.grid {
        Some(grid) => draw_grid(buffer, area, model, grid, look),
        None => draw_list(buffer, area, model, look),
    }
}

fn draw_list(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let tables = &model.tables;
    let Some(list) = &tables.list else {
        let text = match tables.wanted {
            Some(_) => " reading…",
            None => NOT_READ,
        };
        put(buffer, area, 0, text, look.style(Tone::Faint));
        return;
    };
    if list.is_empty() {
        put(
            buffer,
            area,
            0,
            " This database has no tables yet.",
            look.style(Tone::Faint),
        );
        return;
    }
    let names = list
        .iter()
        .map(|table| width(&visible(&table.name)))
        .max()
        .unwrap_or(5);
    let names = names.clamp(5, usize::from(area.width) / 2);
    let head = format!("  {} {:>10}", fitted("table", names), "rows");
    put(buffer, area, 0, &head, look.style(Tone::Strong));
    let height = usize::from(area.height).saturating_sub(1);
    for (line, (at, table)) in list
        .iter()
        .enumerate()
        .skip(tables.top)
        .take(height)
        .enumerate()
    {
        let rows = tables.counts.get(&table.name);
        let rows = rows.map_or_else(|| "…".to_owned(), u64::to_string);
        let note = match &table.tracking {
            Tracking::Tracked { .. } => String::new(),
            Tracking::Untracked { reason } => format!("  takes no part: {}", visible(reason)),
        };
        let is_selected = at == tables.cursor;
        let (marker, style) = match (is_selected, note.is_empty()) {
            (true, _) => ("▌", look.cursor()),
            (false, true) => (" ", look.style(Tone::Plain)),
            (false, false) => (" ", look.style(Tone::Faint)),
        };
        let text = format!(
            "{marker} {} {rows:>10}{note}",
            fitted(&visible(&table.name), names)
        );
        put(buffer, area, line + 1, &text, style);
    }
}

fn draw_grid(buffer: &mut Buffer, area: Rect, model: &Model, grid: &Grid, look: Look) {
    put(
        buffer,
        area,
        0,
        &grid_title(model, grid),
        look.style(Tone::Strong),
    );
    let height = usize::from(area.height).saturating_sub(2);
    let shown: Vec<(usize, Option<&Row>)> = (grid.top..)
        .take(height)
        .take_while(|at| *at < grid.known_rows())
        .map(|at| (at, grid.row(at)))
        .collect();
    let columns = columns_in_sight(grid, &shown, usize::from(area.width));
    let head: Vec<String> = columns
        .iter()
        .map(|(name, cells)| fitted(&visible(name), *cells))
        .collect();
    put(
        buffer,
        area,
        1,
        &format!("  {}", head.join("  ")),
        look.style(Tone::Strong),
    );
    if shown.is_empty() {
        let text = match (grid.wanted, grid.rows) {
            (Some(_), _) => " reading…",
            (None, Some(_)) => " no rows",
            (None, None) => NOT_READ,
        };
        put(buffer, area, 2, text, look.style(Tone::Faint));
    }
    for (line, (at, row)) in shown.iter().enumerate() {
        let text = match row {
            Some(row) => cells_of(row, &columns),
            None => "…".to_owned(),
        };
        let (marker, style) = match *at == grid.cursor {
            true => ("▌", look.cursor()),
            false => (" ", look.style(Tone::Plain)),
        };
        put(buffer, area, line + 2, &format!("{marker} {text}"), style);
    }
}

fn grid_title(model: &Model, grid: &Grid) -> String {
    let counted = model.tables.counts.get(&grid.table.name).copied();
    let rows = grid.rows.map(|rows| rows as u64).or(counted);
    let rows = rows.map_or_else(|| "…".to_owned(), |rows| count(rows, "row", "rows"));
    let columns = grid.table.columns.len();
    let place = match grid.left {
        0 => String::new(),
        left => format!(" · from column {} of {columns}", left + 1),
    };
    let note = match &grid.table.tracking {
        Tracking::Tracked { .. } => String::new(),
        Tracking::Untracked { reason } => format!(" · takes no part: {reason}"),
    };
    visible(&format!(" {} · {rows}{place}{note}", grid.table.name))
}

/// The columns from the first shown on, each as wide as what is in sight of it, as many as there is room for.
fn columns_in_sight<'a>(
    grid: &'a Grid,
    shown: &[(usize, Option<&Row>)],
    room: usize,
) -> Vec<(&'a str, usize)> {
    let mut used = 2;
    let mut columns = Vec::new();
    for column in grid.table.columns.iter().skip(grid.left) {
        if used >= room {
            break;
        }
        let widest = shown
            .iter()
            .filter_map(|(_, row)| row.and_then(|row| row.get(&column.name)))
            .map(|held| width(&cell(held)))
            .chain([width(&visible(&column.name))])
            .max()
            .unwrap_or_default()
            .min(WIDEST);
        used += widest + 2;
        columns.push((column.name.as_str(), widest));
    }
    columns
}

fn cells_of(row: &Row, columns: &[(&str, usize)]) -> String {
    let cells: Vec<String> = columns
        .iter()
        .map(|(name, cells)| {
            let held = row.get(*name).unwrap_or(&serde_json::Value::Null);
            match held.is_number() {
                true => format!("{:>cells$}", cell(held), cells = *cells),
                false => fitted(&cell(held), *cells),
            }
        })
        .collect();
    cells.join("  ")
}

/// A value in a cell: long arrays are counted.
fn cell(held: &serde_json::Value) -> String {
    match held {
        serde_json::Value::Null => "∅".to_owned(),
        serde_json::Value::Array(values) if values.len() > 3 => {
            format!("[{} values]", values.len())
        }
        other => value(other),
    }
}
