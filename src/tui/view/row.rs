//! One row: its columns, the rows that name it, and its life.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, put};
use crate::tui::model::Model;
use crate::tui::pages::{self, Line, Tone};

/// A list of lines, of which the one under the cursor is marked.
pub(super) fn draw_marked(
    buffer: &mut Buffer,
    area: Rect,
    lines: &[(Line, bool)],
    top: usize,
    look: Look,
) {
    let margin = Rect {
        x: area.x.saturating_sub(1),
        width: 1,
        ..area
    };
    let shown = lines.iter().skip(top).take(usize::from(area.height));
    for (at, (line, is_selected)) in shown.enumerate() {
        let style = match is_selected {
            true => look.cursor(),
            false => look.style(line.tone),
        };
        put(buffer, area, at, &line.text, style);
        if *is_selected {
            put(buffer, margin, at, "▌", look.cursor());
        }
    }
}

pub(super) fn draw(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    if model.row.is_none() {
        put(
            buffer,
            area,
            0,
            &pages::no_row(model),
            look.style(Tone::Faint),
        );
        return;
    }
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    draw_marked(buffer, area, &pages::row(model, width, height), 0, look);
}

pub(super) fn draw_audit(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let lines = pages::audit(model, usize::from(area.width)).into_iter();
    let lines: Vec<(Line, bool)> = lines
        .enumerate()
        .map(|(at, (line, _))| (line, at == model.audit.cursor))
        .collect();
    draw_marked(buffer, area, &lines, model.audit.top, look);
}
