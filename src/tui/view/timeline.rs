//! The list of events, and the event under the cursor.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

use super::{Look, NOT_READ, put, put_page};
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::timeline::Entry;
use crate::eventsourcing::{EventKind, timestamp};
use crate::text::{fitted, summary, visible, width};
use crate::tui::layout::Size;
use crate::tui::model::{Model, Timeline};
use crate::tui::pages::{self, Tone, sign, standing_note};

pub(super) fn draw(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    if let Some(top) = model.timeline.opened {
        draw_event(buffer, area, model, top, look);
        return;
    }
    let size = model.size;
    let cells = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let list = Rect {
        width: cells(size.timeline_width()).min(area.width),
        height: cells(size.timeline()).min(area.height),
        ..area
    };
    draw_list(buffer, list, model, look);
    let pane = match size.is_wide() {
        true => Rect {
            x: area.x + list.width,
            width: area.width - list.width,
            ..area
        },
        false => Rect {
            y: area.y + list.height,
            height: area.height - list.height,
            ..area
        },
    };
    draw_pane(buffer, pane, model, look);
}

/// The event over the whole screen.
fn draw_event(buffer: &mut Buffer, area: Rect, model: &Model, top: usize, look: Look) {
    let page = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    let lines = pages::event(model, model.size.page_width(), true);
    put_page(buffer, page, &lines, top, look);
}

/// The event below the list, or beside it.
fn draw_pane(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let title = pages::event_title(model);
    let mut inside = Rect {
        x: area.x + 1,
        y: area.y + 1,
        width: area.width.saturating_sub(2),
        height: area.height.saturating_sub(1),
    };
    if model.size.is_wide() {
        inside.x += 1;
        for at in 0..usize::from(area.height) {
            put(buffer, area, at, "│", look.style(Tone::Faint));
        }
        put(
            buffer,
            Rect {
                y: area.y,
                ..inside
            },
            0,
            &title,
            look.style(Tone::Strong),
        );
    } else {
        let rest = usize::from(area.width).saturating_sub(width(&title) + 5);
        let rule = format!("── {title} {}", "─".repeat(rest));
        put(buffer, area, 0, &rule, look.style(Tone::Strong));
    }
    put_page(
        buffer,
        inside,
        &pages::event(model, model.size.detail_width(), false),
        0,
        look,
    );
}

fn draw_list(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let timeline = &model.timeline;
    if timeline.entries.is_empty() {
        let text = match (&timeline.wanted, timeline.has_oldest) {
            (Some(_), _) => " reading…",
            (None, true) => " No events yet: `ebb create` and other clients write them.",
            (None, false) => NOT_READ,
        };
        put(buffer, area, 0, text, look.style(Tone::Faint));
        return;
    }
    let height = usize::from(area.height);
    let entries = timeline
        .entries
        .iter()
        .enumerate()
        .skip(timeline.top)
        .take(height);
    let id_width = timeline
        .entries
        .iter()
        .skip(timeline.top)
        .take(height)
        .map(|entry| entry.event.id.to_string().len())
        .max()
        .unwrap_or(1);
    let table_width = timeline
        .entries
        .iter()
        .skip(timeline.top)
        .take(height)
        .map(|entry| match &entry.event.row {
            Some(key) => width(&visible(&key.table)),
            None => width(entry.event.kind.as_str()),
        })
        .max()
        .unwrap_or(8)
        .clamp(8, 20);
    for (line, (at, entry)) in entries.enumerate() {
        let standing = model.standing(&entry.event);
        let text = entry_line(
            timeline,
            at,
            entry,
            standing,
            model.size,
            id_width,
            table_width,
        );
        let is_selected = at == timeline.cursor;
        let style = match (is_selected, standing, entry.event.kind) {
            (true, ..) => look.cursor(),
            (_, Standing::UndoneBy(_) | Standing::BookkeepingOf(_), _) => look.style(Tone::Faint),
            (_, _, EventKind::Create) => look.style(Tone::Plain),
            _ => look.style(Tone::Plain),
        };
        let marker = if is_selected { "▌" } else { " " };
        put(buffer, area, line, &format!("{marker}{text}"), style);
    }
}

fn entry_line(
    timeline: &Timeline,
    at: usize,
    entry: &Entry,
    standing: Standing,
    size: Size,
    id_width: usize,
    table_width: usize,
) -> String {
    let event = &entry.event;
    let moment = timestamp::format_without_zone(event.timestamp).replace('T', " ");
    // 2020-02-17 03:09:48.219183: with milliseconds where there is room. The year stands with the event.
    let moment = match size.is_wide() {
        true => &moment[5..23],
        false => &moment[5..19],
    };
    let (table, uuid) = match &event.row {
        Some(key) => (visible(&key.table), key.uuid.to_string()[..8].to_owned()),
        None => (event.kind.to_string(), " ".repeat(8)),
    };
    let data = match entry.left_out {
        Some(bytes) => format!("({bytes} bytes)"),
        None => summary(&event.data, 24),
    };
    format!(
        "{} {:<id_width$} {moment} {} {} {uuid} {}{data}",
        bracket(timeline, at),
        format!("#{}", event.id),
        sign(event.kind),
        fitted(&table, table_width),
        standing_note(standing, event.origin),
        id_width = id_width + 1,
    )
}

/// The sign that holds the events of one transaction together.
fn bracket(timeline: &Timeline, at: usize) -> &'static str {
    let moment = |at: usize| timeline.entries.get(at).map(|entry| entry.event.timestamp);
    let here = moment(at);
    let above = at.checked_sub(1).and_then(moment) == here;
    let below = moment(at + 1) == here;
    match (above, below) {
        (false, false) => " ",
        (false, true) => "┌",
        (true, true) => "│",
        (true, false) => "└",
    }
}
