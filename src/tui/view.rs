//! Drawing the model. Reads it, and nothing else.

mod look;
mod tables;
mod timeline;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Clear, Widget};

use super::keymap::{self, Action, Context};
use super::layout::SMALLEST;
use super::model::{Asked, Model, Screen};
use super::pages::{self, Line, Tone};
use crate::text::{clipped, count, fitted, visible, width};

pub use look::Look;

/// What stands where a read has failed or was cancelled.
const NOT_READ: &str = " Not read: r tries again.";

/// Cells of the database's name that the header shows before it leaves out counts.
const NAME: usize = 20;

/// Draws everything.
pub fn draw(frame: &mut Frame<'_>, model: &Model, look: Look) {
    let area = frame.area();
    let buffer = frame.buffer_mut();
    if !model.size.is_enough() {
        let (columns, rows) = SMALLEST;
        let text = format!(
            "ebb needs {columns}×{rows} cells; here are {}×{}",
            area.width, area.height
        );
        put(buffer, area, 0, &text, look.style(Tone::Plain));
    } else {
        draw_header(buffer, area, model, look);
        draw_tabs(buffer, area, model, look);
        draw_content(buffer, content(area), model, look);
        draw_notice(buffer, area, model, look);
        draw_footer(buffer, area, model, look);
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

/// Puts a page's lines into an area, from this one on; its end stays at the bottom where the area has grown.
fn put_page(buffer: &mut Buffer, area: Rect, lines: &[Line], top: usize, look: Look) {
    let height = usize::from(area.height);
    let top = top.min(lines.len().saturating_sub(height));
    let shown = lines.iter().skip(top).take(height);
    for (at, line) in shown.enumerate() {
        put(buffer, area, at, &line.text, look.style(line.tone));
    }
}

fn draw_header(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let info = &model.info;
    let head = model
        .head
        .map_or_else(|| "…".to_owned(), |head| format!("#{head}"));
    let read_only = if info.read_only.is_some() {
        "  READ-ONLY"
    } else {
        ""
    };
    let events = model.events.map(|events| count(events, "event", "events"));
    let rows = model.tables.rows().map(|rows| count(rows, "row", "rows"));
    let unknown = || "…".to_owned();
    let rows = rows.unwrap_or_else(unknown);
    let counts = [
        format!("{} · {rows} ", events.unwrap_or_else(unknown)),
        format!("{rows} "),
        String::new(),
    ];
    let name = visible(&info.name);
    let state = format!("  {}  LIVE {head}{read_only}", info.backend.as_str());
    // Which database it is and whether it can be written matter more than the counts, and stay where there is no room.
    let columns = usize::from(area.width);
    let room =
        |right: &str| columns.saturating_sub(width(" ebb  ") + width(&state) + width(right) + 1);
    let enough = width(&name).min(NAME);
    let right = counts.iter().find(|right| room(right) >= enough);
    let right = right.map_or("", String::as_str);
    let left = format!(" ebb  {}{state}", clipped(&name, room(right).min(30)));
    let left = fitted(&left, columns.saturating_sub(width(right) + 1));
    put(buffer, area, 0, &format!("{left} {right}"), look.bar());
}

fn draw_tabs(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let mut text = String::from(" ");
    for (screen, name) in [
        (Screen::Timeline, "1 Timeline"),
        (Screen::Tables, "2 Tables"),
    ] {
        match model.screen == screen {
            true => text.push_str(&format!("[{name}] ")),
            false => text.push_str(&format!(" {name}  ")),
        }
    }
    if model.screen == Screen::Rollback {
        let stage = match model.context_of_help() {
            Context::Planning | Context::Preview => "Preview",
            Context::Confirm => "Confirm",
            Context::Progress => "Progress",
            _ => "Result",
        };
        text.push_str(&format!("[Rollback: {stage}]"));
    }
    let note = if model.is_read_anew() {
        "reading… "
    } else {
        ""
    };
    let text = fitted(&text, usize::from(area.width).saturating_sub(width(note)));
    put(buffer, area, 1, &(text + note), look.style(Tone::Strong));
}

fn draw_content(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let page = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    if let Some(top) = model.help {
        put_page(buffer, page, &pages::help(model), top, look);
        return;
    }
    match (model.screen, &model.rollback) {
        (Screen::Rollback, Some(_)) => {
            let size = model.size;
            let lines = pages::rollback(model, size.page_width(), size.content());
            put_page(buffer, page, &lines, 0, look);
        }
        (Screen::Tables, _) => tables::draw(buffer, area, model, look),
        _ => timeline::draw(buffer, area, model, look),
    }
}

/// What there is to tell, over the last lines of the content.
fn draw_notice(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let Some(notice) = &model.notice else {
        return;
    };
    let lines = pages::notice(notice, model.size.page_width());
    let height = u16::try_from(lines.len())
        .unwrap_or(u16::MAX)
        .min(area.height / 2);
    let place = Rect {
        y: area.bottom().saturating_sub(1 + height),
        height,
        ..area
    };
    Clear.render(place, buffer);
    let inside = Rect {
        x: place.x + 1,
        width: place.width.saturating_sub(2),
        ..place
    };
    put_page(buffer, inside, &lines, 0, look);
}

/// Whether an action has anything to act on: an undo has no boundary to choose.
fn does_something(action: Action, model: &Model) -> bool {
    let asked = model.rollback.as_ref().map(|rollback| rollback.asked);
    action != Action::ToggleBoundary || matches!(asked, Some(Asked::To { .. }))
}

/// The keys that a newcomer needs, as many as there is room for; `? help` always.
fn draw_footer(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let context = model.context();
    let last = usize::from(area.height).saturating_sub(1);
    let mut text = String::from(" ");
    if keymap::is_field(context) {
        text.push_str(keymap::CONFIRM_HINTS);
    } else {
        let hints: Vec<String> = keymap::bindings(context)
            .filter(|binding| binding.hinted && does_something(binding.action, model))
            .map(|binding| format!("{} {}", binding.keys[0].name(), binding.words))
            .collect();
        // Help and quit come last in the table, and stay where others have to go.
        let kept = usize::from(context != Context::Help) + 1;
        let (optional, always) = hints.split_at(hints.len().saturating_sub(kept));
        let mut room = usize::from(area.width)
            .saturating_sub(2 + always.iter().map(|hint| width(hint) + 2).sum::<usize>());
        for hint in optional {
            if width(hint) + 2 <= room {
                room -= width(hint) + 2;
                text.push_str(hint);
                text.push_str("  ");
            }
        }
        text.push_str(&always.join("  "));
    }
    put(
        buffer,
        area,
        last,
        &fitted(&text, usize::from(area.width)),
        look.bar(),
    );
}
