//! The list of events, and the event under the cursor.

use std::collections::BTreeSet;

use chrono::Datelike;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::{Look, not_read, put, put_page, put_pieces};
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::{EventKind, timestamp};
use crate::text::{count, fitted, visible, width};
use crate::tui::keymap::{Action, Context};
use crate::tui::model::{Listed, Model, Timeline};
use crate::tui::pages::{self, Line, Tone, sign, standing_note};

/// Cells for who wrote an event, where there is room.
const ACTOR: usize = 10;

pub(super) fn draw(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    if let Some(top) = model.timeline.opened {
        draw_event(buffer, area, model, top, look);
        return;
    }
    let mut area = area;
    if model.size.strip() > 0 {
        draw_strip(buffer, area, model, look);
        area.y += 1;
        area.height -= 1;
    }
    if model.is_filtered() {
        draw_filter(buffer, area, model, look);
        area.y += 1;
        area.height -= 1;
    }
    let size = model.size;
    let cells = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let list = Rect {
        width: cells(size.timeline_width()).min(area.width),
        height: cells(model.list_height()).min(area.height),
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

/// When things happened, with the cursor's place.
fn draw_strip(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let inside = Rect {
        x: area.x + 1,
        width: area.width.saturating_sub(2),
        ..area
    };
    let Some((line, cursor)) = pages::strip_line(model) else {
        return;
    };
    put(buffer, inside, 0, &line, look.style(Tone::Faint));
    if let Some(at) = cursor.and_then(|at| u16::try_from(at).ok())
        && at < inside.width
    {
        let cell = &mut buffer[(inside.x + at, inside.y)];
        cell.set_symbol("│").set_style(look.cursor());
    }
}

/// What the timeline is filtered by, and how many events that shows.
fn draw_filter(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let timeline = &model.timeline;
    let matches = match timeline.matches {
        _ if timeline.has_failed_to_follow() => "these are others".to_owned(),
        Some(matches) if matches.is_all => count(matches.count, "match", "matches"),
        Some(matches) => format!("{}…", count(matches.count, "match", "matches")),
        None => String::new(),
    };
    let searching = match (timeline.wanted, timeline.searched_until) {
        (Some(_), Some(until)) => format!(" · searching to #{until}"),
        _ => String::new(),
    };
    let is_none = timeline
        .matches
        .is_some_and(|matches| matches.is_all && matches.count == 0);
    let meant = (
        pages::unknown_table(model),
        pages::unknown_key(model),
        pages::searched_id(model),
    );
    let unknown = match meant {
        _ if !is_none => String::new(),
        (Some(table), ..) => format!(" · there is no table {table}"),
        (None, Some(key), _) => format!(" · {key} is no key and is searched for as text"),
        (None, None, Some(id)) => format!(" · {} goes to #{id}", model.key_for(Action::Palette)),
        (None, None, None) => String::new(),
    };
    // The count first: a long filter is cut.
    let text = format!(
        " {matches}{unknown}{searching} · {} shows all · filter: {}",
        model.keymap.key_for(Context::Timeline, Action::Clear),
        visible(&timeline.filter_text),
    );
    put(buffer, area, 0, &text, look.style(Tone::Changed));
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
        let rule = match title.is_empty() {
            true => "─".repeat(usize::from(area.width)),
            false => format!("── {title} {}", "─".repeat(rest)),
        };
        put(buffer, area, 0, &rule, look.style(Tone::Strong));
    }
    let mut lines = pages::event(model, model.size.detail_width(), false);
    let height = usize::from(inside.height);
    if lines.len() > height && height > 0 {
        // What is not there to be seen is said.
        let hidden = count((lines.len() + 1 - height) as u64, "more line", "more lines");
        let key = model.keymap.key_for(Context::Timeline, Action::Open);
        lines.truncate(height - 1);
        lines.push(Line {
            tone: Tone::Faint,
            text: format!("… {hidden}: {key} shows all"),
        });
    }
    put_page(buffer, inside, &lines, 0, look);
}

fn draw_list(buffer: &mut Buffer, area: Rect, model: &Model, look: Look) {
    let timeline = &model.timeline;
    if timeline.entries.is_empty() {
        let text = match (&timeline.wanted, timeline.has_oldest()) {
            (Some(_), _) => " reading…",
            (None, true) if !timeline.filter.is_empty() => " No event matches.",
            (None, true) => " No events yet: `ebb create` and other clients write them.",
            (None, false) => &not_read(model),
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
    let in_sight = timeline.entries.iter().skip(timeline.top).take(height);
    let actors = in_sight.map(|entry| width(&visible(&entry.event.actor)));
    // Where it was asked for, who it was is read whole.
    let share = if timeline.shows_actors { 4 } else { 8 };
    let room = usize::from(model.size.columns) / share;
    let actor_width = actors
        .max()
        .unwrap_or_default()
        .clamp(ACTOR, room.max(ACTOR));
    let in_sight = timeline.entries.iter().skip(timeline.top).take(height);
    let years: BTreeSet<i32> = in_sight.map(|entry| entry.event.timestamp.year()).collect();
    for (line, (at, entry)) in entries.enumerate() {
        let widths = (id_width, table_width, actor_width);
        let pieces = entry_line(model, at, entry, widths, years.len() > 1, look);
        put_pieces(buffer, area, line, &pieces);
    }
}

/// An event's line, piece by piece.
fn entry_line(
    model: &Model,
    at: usize,
    entry: &Listed,
    (id_width, table_width, actor_width): (usize, usize, usize),
    with_year: bool,
    look: Look,
) -> Vec<(String, Style)> {
    let timeline = &model.timeline;
    let event = &entry.event;
    let standing = model.standing(event);
    let moment = timestamp::format_without_zone(event.timestamp).replace('T', " ");
    // 2020-02-17 03:09:48.219183: with the year where several are in sight. The whole of it stands with the event.
    let moment = match with_year {
        true => &moment[..16],
        false => &moment[5..19],
    };
    let actor = match model.size.is_wide() || timeline.shows_actors {
        true => format!("{} ", fitted(&visible(&event.actor), actor_width)),
        false => String::new(),
    };
    let (table, uuid) = match &event.row {
        Some(key) => (visible(&key.table), key.uuid.to_string()[..8].to_owned()),
        None => (event.kind.to_string(), " ".repeat(8)),
    };
    let is_selected = at == timeline.cursor;
    let plain = match (is_selected, standing) {
        (true, _) => look.cursor(),
        (false, Standing::UndoneBy(_) | Standing::BookkeepingOf(_)) => look.style(Tone::Faint),
        (false, Standing::Effective) => look.style(Tone::Plain),
    };
    let is_faint = !matches!(standing, Standing::Effective);
    let toned = |tone| match is_faint {
        true => plain,
        false => plain.patch(look.style(tone)),
    };
    let kind = match event.kind {
        EventKind::Create => Tone::Added,
        EventKind::Delete => Tone::Removed,
        EventKind::Update => Tone::Changed,
        EventKind::Restore | EventKind::Rollback | EventKind::RollbackEnd => Tone::Strong,
    };
    let cursor = if is_selected { "▌" } else { " " };
    let new = if timeline.is_new(entry) {
        "•"
    } else {
        bracket(timeline, at)
    };
    let id = format!("#{}", event.id);
    vec![
        (format!("{cursor}{new}"), plain),
        (
            format!("{id:<width$} {moment} ", width = id_width + 1),
            plain,
        ),
        (format!("{} ", sign(event.kind)), toned(kind)),
        (format!("{} ", fitted(&table, table_width)), plain),
        (format!("{uuid} "), toned(Tone::Faint)),
        (actor, plain),
        (standing_note(standing, event.origin), plain),
        (pages::summary_of(model, entry), plain),
    ]
}

/// The sign that holds the events of one transaction together.
fn bracket(timeline: &Timeline, at: usize) -> &'static str {
    let above = at > 0 && timeline.is_one_transaction(at, at - 1);
    let below = timeline.is_one_transaction(at, at + 1);
    match (above, below) {
        (false, false) => " ",
        (false, true) => "┌",
        (true, true) => "│",
        (true, false) => "└",
    }
}
