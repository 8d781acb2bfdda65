//! The rows of a table: which columns are in sight, how wide, and what stands in their cells.

use serde_json::Value;

use crate::eventsourcing::schema::{Column, ColumnKind};
use crate::text::{value, visible, width};
use crate::tui::layout::Size;
use crate::tui::model::{Grid, GridRow, Model, Since};

/// A column is not wider than this, unless columns are to fit what they hold.
const WIDEST: usize = 32;

/// Cells before the first column: the cursor's sign, and that of a row that differs from now.
pub const MARGIN: usize = 3;

/// Cells between two columns.
const GAP: usize = 2;

/// A column in sight.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// Its place among those that are shown.
    pub place: usize,
    /// The column.
    pub column: &'a Column,
    /// Where it begins, in cells.
    pub at: usize,
    /// How wide it is; the last one may reach beyond the edge.
    pub width: usize,
}

/// The rows in sight, as far as they have been read, with their places.
#[must_use]
pub fn rows_in_sight(grid: &Grid, size: Size) -> Vec<(usize, Option<&GridRow>)> {
    (grid.top..grid.known_rows())
        .take(size.grid())
        .map(|at| (at, grid.row(at)))
        .collect()
}

/// The columns in sight: those that are pinned, and then from the first one shown on.
#[must_use]
pub fn columns_in_sight(grid: &Grid, size: Size) -> Vec<Shown<'_>> {
    let room = usize::from(size.columns);
    let columns = grid.columns();
    let rows = rows_in_sight(grid, size);
    let pinned = pinned_in_sight(grid, &columns, &rows, room);
    let first = grid.left.max(pinned);
    let places = (0..pinned).chain(first..columns.len());
    let mut shown = Vec::new();
    let mut at = MARGIN;
    for place in places {
        if at >= room {
            break;
        }
        let column = columns[place];
        let width = width_of(grid, column, &rows);
        shown.push(Shown {
            place,
            column,
            at,
            width,
        });
        at += width + GAP;
    }
    shown
}

/// How many of the pinned columns stay: beyond half of the screen they would leave no room for the one under the cursor.
fn pinned_in_sight(
    grid: &Grid,
    columns: &[&Column],
    rows: &[(usize, Option<&GridRow>)],
    room: usize,
) -> usize {
    let mut used = MARGIN;
    let pinned = columns.iter().take(grid.pinned_columns());
    let fits = |column: &&&Column| {
        used += width_of(grid, column, rows) + GAP;
        used <= room / 2
    };
    pinned.take_while(fits).count()
}

/// As wide as what is in sight of it.
fn width_of(grid: &Grid, column: &Column, rows: &[(usize, Option<&GridRow>)]) -> usize {
    let held = rows.iter().filter_map(|(_, row)| *row);
    let widths = held.map(|row| width(&cell(column, row)));
    let widest = widths.chain([width(&heading(grid, column))]).max();
    let most = if grid.fits { usize::MAX } else { WIDEST };
    widest.unwrap_or_default().min(most)
}

/// The column's name, with signs for what it is sorted by and that it is pinned.
#[must_use]
pub fn heading(grid: &Grid, column: &Column) -> String {
    let sorted = match &grid.sort {
        Some((name, false)) if *name == column.name => " ↑",
        Some((name, true)) if *name == column.name => " ↓",
        _ => "",
    };
    let pinned = if grid.pinned.contains(&column.name) {
        "|"
    } else {
        ""
    };
    format!("{pinned}{}{sorted}", visible(&column.name))
}

/// What stands in a cell: in the past, with a sign where it differs from now.
#[must_use]
pub fn cell(column: &Column, row: &GridRow) -> String {
    let held = row.row.get(&column.name).unwrap_or(&Value::Null);
    let sign = if differs(column, row) { "*" } else { "" };
    match (held, row.left_out.get(&column.name)) {
        (Value::Null, Some(bytes)) => format!("({bytes} bytes){sign}"),
        _ => format!("{}{sign}", brief(column.kind, held)),
    }
}

/// Whether, in the past, the column's value differs from what it is now.
#[must_use]
pub fn differs(column: &Column, row: &GridRow) -> bool {
    matches!(&row.since, Some(Since::Differs(columns)) if columns.contains(&column.name))
}

/// The sign of a row of the past: `-` when it is not there any more, `~` when it is another now.
#[must_use]
pub fn sign(row: &GridRow) -> &'static str {
    match &row.since {
        Some(Since::Gone) => "-",
        Some(Since::Differs(columns)) if !columns.is_empty() => "~",
        _ => " ",
    }
}

/// A value in a cell: uuids by their first digits, moments to the second, long arrays counted.
#[must_use]
pub fn brief(kind: ColumnKind, held: &Value) -> String {
    match (kind, held) {
        (_, Value::Null) => "∅".to_owned(),
        (ColumnKind::Uuid, Value::String(uuid)) if uuid.len() == 36 && uuid.is_ascii() => {
            uuid[..8].to_owned()
        }
        (ColumnKind::Timestamp | ColumnKind::TimestampTz, Value::String(moment)) => {
            let seconds = moment.split('.').next().unwrap_or(moment);
            visible(&seconds.replacen('T', " ", 1))
        }
        (_, Value::Array(values)) if values.len() > 3 => format!("[{} values]", values.len()),
        (_, other) => value(other),
    }
}

/// Scrolls sideways as little as brings the column under the cursor into sight.
pub fn keep_column_in_sight(model: &mut Model) {
    let size = model.size;
    let room = usize::from(size.columns);
    let Some(grid) = &mut model.tables.grid else {
        return;
    };
    let count = grid.columns().len();
    grid.column = grid.column.min(count.saturating_sub(1));
    let columns = grid.columns();
    let rows = rows_in_sight(grid, size);
    let pinned = pinned_in_sight(grid, &columns, &rows, room);
    if grid.column < pinned {
        return;
    }
    grid.left = grid.left.min(grid.column);
    while grid.left < grid.column {
        let shown = columns_in_sight(grid, size);
        let is_in_sight =
            |one: &Shown<'_>| one.place == grid.column && one.at + one.width.min(room / 2) <= room;
        if shown.iter().any(is_in_sight) {
            break;
        }
        grid.left += 1;
    }
}
