//! Drawing the model. Reads it, and nothing else.

mod bars;
mod cell;
mod look;
mod row;
mod tables;
mod timeline;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::keymap::Action;
use super::layout::{SMALLEST, Size};
use super::model::{Model, Overlay, Screen};
use super::pages::{self, Line, Tone};
use crate::text::{clipped, width};

pub use look::{Look, Theme};

/// What stands where a read has failed or was cancelled.
fn not_read(model: &Model) -> String {
    format!(" Not read: {} tries again.", model.key_for(Action::Reload))
}

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: Look) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    // What the terminal has now may be less than it had when its size was told last.
    let now = Size {
        columns: area.width,
        rows: area.height,
    };
    if !model.size.is_enough() || !now.is_enough() {
        let (columns, rows) = SMALLEST;
        let text = format!(
            "ebb needs {columns}×{rows} cells; here are {}×{}",
            area.width, area.height
        );
        put(buffer, area, 0, &text, look.style(Tone::Plain));
    } else {
        bars::draw_header(buffer, area, model, look);
        bars::draw_tabs(buffer, area, model, look);
        draw_content(buffer, content(area), model, look);
        bars::draw_footer(buffer, area, model, look);
        bars::draw_notice(buffer, area, model, look);
        bars::draw_prompt(buffer, area, model, look);
    }
    look.make_fit(buffer);
}

/// The lines between header and footer.
fn content(area: Rect) -> Rect {
    Rect {
        y: area.y + 2,
        height: area.height.saturating_sub(3),
        ..area
    }
}

/// Puts a line of text at this line of an area, cut to it.
fn put(buffer: &mut Buffer, area: Rect, at: usize, text: &str, style: Style) {
    let Ok(line) = u16::try_from(at) else {
        return;
    };
    if line < area.height {
        let text = clipped(text, usize::from(area.width));
        buffer.set_string(area.x, area.y + line, text, style);
    }
}

/// Puts pieces of text beside each other at this line of an area, cut to it.
fn put_pieces(buffer: &mut Buffer, area: Rect, at: usize, pieces: &[(String, Style)]) {
    let mut rest = area;
    for (text, style) in pieces {
        if rest.width == 0 {
            return;
        }
        put(buffer, rest, at, text, *style);
        let used = u16::try_from(width(text))
            .unwrap_or(u16::MAX)
            .min(rest.width);
        rest.x += used;
        rest.width -= used;
    }
}

/// Puts a page's lines into an area, from this one on; its end stays at the bottom where the area has grown.
fn put_page(buffer: &mut Buffer, area: Rect, lines: &[Line], top: usize, look: Look) {
    let height = usize::from(area.height);
    let top = top.min(lines.len().saturating_sub(height));
    let shown = lines.iter().skip(top).take(height);
    for (at, line) in shown.enumerate() {
        put(buffer, area, at, &line.text, look.style(line.tone));
    }
}

fn draw_content(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let page = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    match &model.overlay {
        Some(Overlay::Help { field, top }) => {
            let lines = pages::help(model);
            let height = usize::from(page.height).saturating_sub(1);
            let top = (*top).min(lines.len().saturating_sub(height));
            let last = (top + height).min(lines.len());
            let title = format!(
                "Keys here · {}–{last} of {} · search: {}_",
                top + 1,
                lines.len(),
                crate::text::visible(field.text())
            );
            return draw_titled(buffer, page, &title, &lines, top, look);
        }
        Some(Overlay::Palette { field, cursor }) => {
            let title = format!(": {}_", crate::text::visible(field.text()));
            let height = usize::from(page.height).saturating_sub(1);
            let top = (cursor + 1).saturating_sub(height);
            let lines = pages::palette(model, usize::from(page.width));
            return draw_titled(buffer, page, &title, &lines, top, look);
        }
        Some(Overlay::Change { top }) => {
            let lines = pages::change_whole(model, usize::from(page.width));
            return put_page(buffer, page, &lines, *top, look);
        }
        Some(Overlay::Failure { top }) => {
            let lines = pages::failure(model, usize::from(page.width));
            return put_page(buffer, page, &lines, *top, look);
        }
        Some(Overlay::Prompt(_)) | None => {}
    }
    if let Some(shown) = &model.cell {
        return cell::draw(buffer, page, shown, look);
    }
    match model.screen {
        Screen::Timeline => timeline::draw(buffer, area, model, look),
        Screen::Tables => tables::draw(buffer, area, model, look),
        Screen::Row => row::draw(buffer, page, model, look),
        Screen::Audit => row::draw_audit(buffer, page, model, look),
        Screen::Rollback => {
            let size = model.size;
            let lines = pages::rollback(model, size.page_width(), size.content());
            put_page(buffer, page, &lines, 0, look);
        }
    }
}

fn draw_titled(
    buffer: &mut Buffer,
    area: Rect,
    title: &str,
    lines: &[Line],
    top: usize,
    look: Look,
) {
    put(buffer, area, 0, title, look.style(Tone::Strong));
    let rest = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    put_page(buffer, rest, lines, top, look);
}
