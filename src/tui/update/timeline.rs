//! The list of events, and the event under the cursor.

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Action;
use super::super::model::{Asked, Model, Notice, Place};
use super::super::pages;
use super::{in_sight, moved, rollback, scroll_page, told};
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::timeline::{Detail, Direction, Filter, Page, PageRequest};
use crate::eventsourcing::{EventId, Result};

/// Events that are read at once: more than any screen has lines.
const PAGE: usize = 200;

/// Events that are held at most: some pages on both sides of the cursor.
const HELD: usize = 5 * PAGE;

/// Reads the newest events.
pub(super) fn read_newest(model: &mut Model) -> Effect {
    ask(model, None, Place::Instead(Direction::Older))
}

/// Reads the events around the one under the cursor, where it stays; at the newest event, those that came since.
pub(super) fn read_around(model: &mut Model) -> Effect {
    let timeline = &model.timeline;
    let is_at_newest = timeline.cursor == 0 && timeline.has_newest;
    let selected = timeline.selected().map(|entry| entry.event.id);
    match selected.filter(|_| !is_at_newest) {
        Some(id) => around(model, id),
        None => read_newest(model),
    }
}

/// Reads this event with what came before it and after it, so that the cursor can go on both ways.
fn around(model: &mut Model, id: EventId) -> Effect {
    let from = id - i64::try_from(PAGE / 2).unwrap_or_default();
    ask(model, Some(from), Place::Around(id))
}

fn ask(model: &mut Model, from: Option<EventId>, place: Place) -> Effect {
    let request = model.next_request();
    model.timeline.wanted = Some((request, place));
    let direction = match place {
        Place::Beside(direction) | Place::Instead(direction) => direction,
        Place::Around(_) => Direction::Newer,
    };
    Effect::Page(
        request,
        PageRequest {
            filter: Filter::default(),
            from,
            until: None,
            direction,
            limit: PAGE,
            detail: Detail::Summary,
        },
    )
}

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Open => {
            if model.timeline.selected().is_some() {
                model.timeline.opened = Some(0);
            }
            Vec::new()
        }
        Action::GoToOrigin => go_to_origin(model),
        Action::RollBack => match model.timeline.selected() {
            Some(entry) => {
                let event = entry.event.id;
                rollback::begin(model, Asked::To { event, keep: false })
            }
            None => Vec::new(),
        },
        Action::Undo => rollback::begin(model, Asked::Undo),
        Action::Redo => rollback::begin(model, Asked::Redo),
        _ if model.timeline.opened.is_some() => {
            scroll_event(model, action);
            Vec::new()
        }
        Action::First if !model.timeline.has_newest => vec![read_newest(model)],
        Action::Last if !model.timeline.has_oldest => {
            vec![ask(model, None, Place::Instead(Direction::Newer))]
        }
        _ => {
            let count = model.timeline.entries.len();
            let height = model.size.timeline();
            model.timeline.cursor = moved(action, model.timeline.cursor, count, height);
            settle(model)
        }
    }
}

/// Scrolls the event that is open; at its ends goes on to its neighbour.
fn scroll_event(model: &mut Model, action: Action) {
    let lines = pages::event(model, model.size.page_width(), true).len();
    let height = model.size.content();
    if let Some(top) = model.timeline.opened {
        model.timeline.opened = Some(scroll_page(top, lines, height, action));
    }
}

fn go_to_origin(model: &mut Model) -> Vec<Effect> {
    let Some(origin) = model
        .timeline
        .selected()
        .and_then(|entry| entry.event.origin)
    else {
        model.notice = Some(Notice::Info(
            "This event repeats and restores none: it is its own origin.".to_owned(),
        ));
        return Vec::new();
    };
    model.timeline.opened = None;
    let held = model
        .timeline
        .entries
        .iter()
        .position(|entry| entry.event.id == origin);
    match held {
        Some(at) => {
            model.timeline.cursor = at;
            settle(model)
        }
        None => vec![around(model, origin)],
    }
}

/// After the cursor or the size has changed: keeps the cursor in sight, reads on where the list may end soon, and
/// looks at the event under the cursor.
pub(super) fn settle(model: &mut Model) -> Vec<Effect> {
    let height = model.size.timeline();
    let timeline = &mut model.timeline;
    timeline.top = in_sight(timeline.top, timeline.cursor, height);
    let mut effects = Vec::new();
    if timeline.wanted.is_none() {
        let near = 2 * height;
        let (first, last) = (timeline.entries.front(), timeline.entries.back());
        let older = last.filter(|_| timeline.cursor + near >= timeline.entries.len());
        let newer = first.filter(|_| timeline.cursor < near);
        if let Some(last) = older.filter(|_| !timeline.has_oldest) {
            let from = last.event.id;
            effects.push(ask(model, Some(from), Place::Beside(Direction::Older)));
        } else if let Some(first) = newer.filter(|_| !timeline.has_newest) {
            let from = first.event.id;
            effects.push(ask(model, Some(from), Place::Beside(Direction::Newer)));
        }
    }
    effects.extend(look(model));
    effects
}

/// Looks at the event under the cursor, unless that is done or being done.
fn look(model: &mut Model) -> Option<Effect> {
    let id = model.timeline.selected()?.event.id;
    let seen = model.timeline.detail.as_ref().map(|detail| detail.event.id);
    let wanted = model.timeline.detail_wanted.map(|(_, id)| id);
    let is_seen = seen == Some(id) && !model.timeline.detail_stale;
    if wanted == Some(id) || (wanted.is_none() && is_seen) {
        return None;
    }
    let request = model.next_request();
    model.timeline.detail_wanted = Some((request, id));
    Some(Effect::Inspect(request, id))
}

pub(super) fn inspected(
    model: &mut Model,
    request: RequestId,
    result: Result<Option<Inspection>>,
) -> Vec<Effect> {
    if model.timeline.detail_wanted.map(|(wanted, _)| wanted) == Some(request) {
        model.timeline.detail_wanted = None;
        if let Some(found) = told(model, result) {
            model.timeline.detail = found;
            model.timeline.detail_stale = false;
        }
    }
    Vec::new()
}

pub(super) fn page(model: &mut Model, request: RequestId, result: Result<Page>) -> Vec<Effect> {
    let Some((_, place)) = model
        .timeline
        .wanted
        .filter(|(wanted, _)| *wanted == request)
    else {
        return Vec::new();
    };
    model.timeline.wanted = None;
    let Some(page) = told(model, result) else {
        return Vec::new();
    };
    let height = model.size.timeline();
    let above = model.timeline.cursor.saturating_sub(model.timeline.top);
    let selected = model.timeline.selected().map(|entry| entry.event.id);
    match place {
        Place::Beside(direction) => put_beside(model, direction, page),
        Place::Instead(direction) => put_instead(model, direction, page),
        Place::Around(id) => {
            put_instead(model, Direction::Newer, page);
            let timeline = &mut model.timeline;
            let entries = &timeline.entries;
            let at = entries.iter().position(|entry| entry.event.id == id);
            timeline.cursor = at.unwrap_or_default();
            timeline.has_oldest = entries.back().is_none_or(|entry| entry.event.id == 1);
            // The event under the cursor stays in its line; another comes to the middle.
            let above = if selected == Some(id) {
                above
            } else {
                height / 2
            };
            timeline.top = timeline.cursor.saturating_sub(above);
        }
    }
    settle(model)
}

fn put_beside(model: &mut Model, direction: Direction, page: Page) {
    let timeline = &mut model.timeline;
    let added = page.entries.len();
    match direction {
        Direction::Older => {
            timeline.entries.extend(page.entries);
            timeline.has_oldest = !page.more;
            // What scrolled far away is let go: a log of any length is seen in the same memory.
            let surplus = timeline
                .entries
                .len()
                .saturating_sub(HELD)
                .min(timeline.top);
            if surplus > 0 {
                timeline.entries.drain(..surplus);
                timeline.cursor -= surplus;
                timeline.top -= surplus;
                timeline.has_newest = false;
            }
        }
        Direction::Newer => {
            // The page comes oldest first.
            for entry in page.entries {
                timeline.entries.push_front(entry);
            }
            timeline.cursor += added;
            timeline.top += added;
            timeline.has_newest = !page.more;
            let keep = HELD.max(timeline.cursor + 1);
            if timeline.entries.len() > keep {
                timeline.entries.truncate(keep);
                timeline.has_oldest = false;
            }
        }
    }
}

fn put_instead(model: &mut Model, direction: Direction, page: Page) {
    let newest_known = model.head;
    let timeline = &mut model.timeline;
    timeline.entries = page.entries.into();
    timeline.top = 0;
    match direction {
        Direction::Older => {
            timeline.cursor = 0;
            timeline.has_oldest = !page.more;
            let first = timeline.entries.front().map(|entry| entry.event.id);
            timeline.has_newest = newest_known.is_none_or(|head| first >= Some(head));
        }
        Direction::Newer => {
            timeline.entries.make_contiguous().reverse();
            timeline.cursor = timeline.entries.len().saturating_sub(1);
            timeline.has_oldest = true;
            timeline.has_newest = !page.more;
        }
    }
    // The event itself may read differently now, undone or not any more: it is looked at again, and stays as it is
    // until then.
    timeline.detail_wanted = None;
    timeline.detail_stale = true;
}
