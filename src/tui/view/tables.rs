//! The list of tables, and the rows of one.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, not_read, put};
use crate::eventsourcing::schema::Tracking;
use crate::text::{count, fitted, visible, width};
use crate::tui::keymap::Action;
use crate::tui::model::{Grid, Model};
use crate::tui::pages::{self, Shown, Tone};

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
            None => &not_read(model),
        };
        put(buffer, area, 0, text, look.style(Tone::Faint));
        return;
    };
    let text = match (list.is_empty(), tables.listed().next()) {
        (true, _) => " This database has no tables yet.",
        (false, None) => &format!(
            " No table's name has that in it: {} lists all.",
            model.key_for(Action::Clear)
        ),
        (false, Some(_)) => "",
    };
    put(buffer, area, 0, text, look.style(Tone::Faint));
    if !text.is_empty() {
        return;
    }
    let names = tables
        .listed()
        .map(|table| width(&visible(&table.name)))
        .max()
        .unwrap_or(5);
    let names = names.max(5).min(usize::from(area.width) / 2);
    let only = match tables.filter.is_empty() {
        true => String::new(),
        false => format!(
            "   only \"{}\" · {} lists all",
            visible(&tables.filter),
            model.key_for(Action::Clear)
        ),
    };
    let head = format!("  {} {:>10}{only}", fitted("table", names), "rows");
    put(buffer, area, 0, &head, look.style(Tone::Strong));
    let height = usize::from(area.height).saturating_sub(1);
    for (line, (at, table)) in tables
        .listed()
        .enumerate()
        .skip(tables.top)
        .take(height)
        .enumerate()
    {
        let counted = tables.counts.get(&table.name).map(u64::to_string);
        let guessed = tables.estimates.get(&table.name);
        let guessed = || guessed.map(|rows| format!("~{rows}"));
        let rows = counted.or_else(guessed).unwrap_or_else(|| "…".to_owned());
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
    let title = grid_title(model, grid);
    put(buffer, area, 0, &title, look.style(Tone::Strong));
    let columns = pages::columns_in_sight(grid, model.size);
    let cell = |shown: &Shown<'_>| Rect {
        x: area.x + u16::try_from(shown.at).unwrap_or(u16::MAX),
        width: u16::try_from(shown.width).unwrap_or(u16::MAX).min(
            area.width
                .saturating_sub(u16::try_from(shown.at).unwrap_or(u16::MAX)),
        ),
        ..area
    };
    for shown in &columns {
        let style = match shown.place == grid.column {
            true => look.bar(),
            false => look.style(Tone::Strong),
        };
        let text = fitted(&pages::heading(grid, shown.column), shown.width);
        put(buffer, cell(shown), 1, &text, style);
    }
    let rows = pages::grid_rows_in_sight(grid, model.size);
    if rows.is_empty() {
        let text = match (grid.wanted, grid.rows) {
            (Some(_), _) => " reading…",
            (None, Some(_)) if !grid.filter.is_empty() => &format!(
                " No row matches: {} changes the filter.",
                model.key_for(Action::Filter)
            ),
            (None, Some(_)) => " no rows",
            (None, None) => &not_read(model),
        };
        put(buffer, area, 2, text, look.style(Tone::Faint));
    }
    for (line, (at, row)) in rows.iter().enumerate() {
        let is_selected = *at == grid.cursor;
        let cursor = if is_selected { "▌" } else { " " };
        let sign = row.map_or(" ", |row| pages::grid_sign(row));
        // What was asked for is on its way: these are other rows.
        let is_old = grid.goes && grid.wanted.is_some();
        let plain = match (is_selected, is_old) {
            (_, true) => look.style(Tone::Faint),
            (true, false) => look.cursor(),
            (false, false) => look.style(Tone::Plain),
        };
        put(buffer, area, line + 2, &format!("{cursor}{sign}"), plain);
        let Some(row) = row else {
            put(buffer, area, line + 2, &format!("{cursor}  …"), plain);
            continue;
        };
        for shown in &columns {
            let text = pages::grid_cell(shown.column, row);
            let is_number = row
                .row
                .get(&shown.column.name)
                .is_some_and(serde_json::Value::is_number);
            let text = match is_number && width(&text) <= shown.width {
                true => format!("{text:>cells$}", cells = shown.width),
                false => fitted(&text, shown.width),
            };
            let style = match (
                is_selected && shown.place == grid.column,
                pages::differs(shown.column, row),
            ) {
                (true, _) => look.bar(),
                (false, true) => plain.patch(look.style(Tone::Changed)),
                (false, false) => plain,
            };
            put(buffer, cell(shown), line + 2, &text, style);
        }
    }
}

/// A condition with each uuid by its first digits, as the rows have them.
fn short_uuids(text: &str) -> String {
    let words = text.split_inclusive(|one: char| !one.is_ascii_hexdigit() && one != '-');
    let shorten = |word: &str| {
        let uuid = word
            .get(..36)
            .filter(|uuid| uuid::Uuid::try_parse(uuid).is_ok());
        match uuid {
            Some(uuid) => format!("{}…{}", &uuid[..8], &word[36..]),
            None => word.to_owned(),
        }
    };
    words.map(shorten).collect()
}

fn grid_title(model: &Model, grid: &Grid) -> String {
    let name = &grid.table.name;
    let is_whole = grid.filter.trim().is_empty();
    let counted = model.tables.counts.get(name).copied();
    let counted = counted.filter(|_| is_whole && grid.at == model.at());
    let exact = grid.rows.filter(|_| grid.is_counted()).or(grid.counted);
    let known = exact.map(|rows| rows as u64);
    // What was counted before the latest events is only about right.
    let is_old = known.is_none() && model.tables.counted_at < model.head && grid.at.is_none();
    let rows = match (known.or(counted), is_whole) {
        (Some(rows), _) if is_old => format!("~{}", count(rows, "row", "rows")),
        (Some(rows), _) => count(rows, "row", "rows"),
        (None, true) => match model.tables.estimates.get(name) {
            Some(guess) => format!("~{}", count(*guess, "row", "rows")),
            None => "…".to_owned(),
        },
        (None, false) if grid.wanted.is_some() => {
            format!("{}…", count(grid.seen_rows() as u64, "row", "rows"))
        }
        (None, false) => format!(
            "{} {} ({} counts)",
            if grid.is_counted() {
                "more than"
            } else {
                "about"
            },
            count(grid.seen_rows() as u64, "row", "rows"),
            model.key_for(Action::CountRows)
        ),
    };
    let mut title = format!(" {name} · {rows}");
    if grid.is_outdated {
        title.push_str(&format!(
            " · events have come since, {} reads anew",
            model.key_for(Action::Reload)
        ));
    }
    if !is_whole {
        title.push_str(&format!(" · only {}", short_uuids(grid.filter.trim())));
    }
    if let Some((column, descending)) = &grid.sort {
        let mut in_sight = pages::columns_in_sight(grid, model.size).into_iter();
        if !in_sight.any(|shown| shown.column.name == *column) {
            let sign = if *descending { "↓" } else { "↑" };
            title.push_str(&format!(" · sorted by {column} {sign}"));
        }
    }
    if !grid.hidden.is_empty() {
        title.push_str(&format!(" · {} hidden", grid.hidden.len()));
    }
    if let Some(column) = grid.selected_column() {
        let (place, all) = (grid.column + 1, grid.columns().len());
        title.push_str(&format!(" · column {place} of {all}: {}", column.name));
        if let Some(to) = &column.references {
            title.push_str(&format!(" → {}", to.table));
        }
        title.push_str(&format!(" {}", column.type_name));
    }
    if let Tracking::Untracked { reason } = &grid.table.tracking {
        title.push_str(&format!(" · takes no part: {reason}"));
    }
    visible(&title)
}
