//! Which events are read, page by page, and how they come into the list.

use super::super::effect::{Effect, RequestId};
use super::super::model::{Model, Notice, Place};
use super::{searching, timeline, told};
use crate::eventsourcing::timeline::{Detail, Direction, Page, PageRequest};
use crate::eventsourcing::{EventId, Result};

/// Events that are read at once: more than any screen has lines.
const PAGE: usize = 100;

/// Events that are held at most: some pages on both sides of the cursor.
const HELD: usize = 5 * PAGE;

/// How many events are searched at once: what is found in them is shown before the search goes on.
const SEARCHED: EventId = 20_000;

/// Reads the newest events.
pub(super) fn read_newest(model: &mut Model) -> Effect {
    ask(model, None, Place::Instead(Direction::Older))
}

/// Reads the events around the one under the cursor, where it stays; at the newest event, those that came since.
pub(super) fn read_around(model: &mut Model) -> Effect {
    let timeline = &model.timeline;
    let is_at_newest = timeline.cursor == 0 && timeline.has_newest();
    let selected = timeline.selected().map(|entry| entry.event.id);
    match selected.filter(|_| !is_at_newest) {
        Some(id) => {
            let page = around(model, id);
            model.timeline.goes = false;
            page
        }
        None => read_newest(model),
    }
}

/// Reads this event with what came after it; what came before it is read on, so that the cursor can go both ways.
pub(super) fn around(model: &mut Model, id: EventId) -> Effect {
    ask(model, Some(id - 1), Place::Around(id))
}

fn direction(place: Place) -> Direction {
    match place {
        Place::Beside(direction) | Place::Instead(direction) => direction,
        Place::Around(_) | Place::Centred(_) | Place::Exactly(_) => Direction::Newer,
    }
}

pub(super) fn ask(model: &mut Model, from: Option<EventId>, place: Place) -> Effect {
    let request = model.next_request();
    let head = model.head;
    let timeline = &mut model.timeline;
    timeline.wanted = Some((request, place));
    timeline.goes = !matches!(place, Place::Beside(_));
    let direction = direction(place);
    timeline.searched_until = match (head.filter(|_| !timeline.filter.is_empty()), direction) {
        // Without a filter no page looks at more than it brings; without the head it is not known where a piece begins.
        (None, _) => None,
        (Some(head), Direction::Older) => {
            let from = from.unwrap_or(head + 1);
            Some((from - SEARCHED).max(1))
        }
        (Some(head), Direction::Newer) => Some((from.unwrap_or(0) + SEARCHED).min(head)),
    };
    Effect::Page(
        request,
        PageRequest {
            filter: timeline.filter.clone(),
            from,
            until: timeline.searched_until,
            direction,
            limit: PAGE,
            detail: Detail::Summary,
        },
    )
}

pub(super) fn page(model: &mut Model, request: RequestId, result: Result<Page>) -> Vec<Effect> {
    let wanted = model.timeline.wanted.filter(|(one, _)| *one == request);
    let Some((_, place)) = wanted else {
        return Vec::new();
    };
    model.timeline.wanted = None;
    let Some(page) = told(model, result) else {
        // Another key tries again.
        model.timeline.paused = true;
        return Vec::new();
    };
    let nearest = page.entries.first().map(|entry| entry.event.id);
    if let Place::Exactly(id) = place
        && nearest != Some(id)
    {
        let text =
            format!("#{id} is not among what the filter showed: all events are shown again.");
        model.notice = Some(Notice::Info(text));
        return searching::show_only(model, Default::default(), Some(id));
    }
    note_names(model, &page);
    let height = model.list_height();
    let timeline = &mut model.timeline;
    let was_first = !timeline.is_read;
    timeline.is_read = true;
    timeline.is_of_before = false;
    let above = timeline.cursor.saturating_sub(timeline.top);
    let selected = timeline.selected().map(|entry| entry.event.id);
    match place {
        Place::Beside(direction) => put_beside(model, direction, page),
        Place::Instead(direction) => put_instead(model, direction, page),
        Place::Around(id) | Place::Centred(id) | Place::Exactly(id) => {
            put_instead(model, Direction::Newer, page);
            let timeline = &mut model.timeline;
            let entries = &timeline.entries;
            timeline.cursor = entries.len().saturating_sub(1);
            let oldest = entries.back().map_or(id, |entry| entry.event.id);
            timeline.older_from = Some(oldest).filter(|oldest| *oldest > 1);
            // The event under the cursor stays in its line; another comes to the middle.
            let stays = selected == Some(id) && matches!(place, Place::Around(_));
            let above = if stays { above } else { height / 2 };
            timeline.top = timeline.cursor.saturating_sub(above);
        }
    }
    if was_first {
        model.timeline.seen_head = model.timeline.entries.front().map(|one| one.event.id);
    }
    timeline::settle(model)
}

/// Remembers names for the filter's suggestions.
fn note_names(model: &mut Model, page: &Page) {
    let timeline = &mut model.timeline;
    let note = |names: &mut Vec<String>, name: &str| {
        if let Err(at) = names.binary_search_by(|one| one.as_str().cmp(name)) {
            names.insert(at, name.to_owned());
        }
    };
    for entry in &page.entries {
        if let Some(row) = &entry.event.row {
            note(&mut timeline.seen_tables, &row.table);
        }
        if !entry.event.actor.is_empty() {
            note(&mut timeline.seen_actors, &entry.event.actor);
        }
    }
}

/// Where reading goes on after this page; `None` at the log's end.
fn next_from(page: &Page, searched_until: Option<EventId>, end: EventId) -> Option<EventId> {
    match (page.more, searched_until) {
        (true, _) => page.entries.last().map(|entry| entry.event.id),
        (false, Some(until)) if until != end => Some(until),
        (false, _) => None,
    }
}

fn put_beside(model: &mut Model, direction: Direction, page: Page) {
    let head = model.head.unwrap_or_default();
    let timeline = &mut model.timeline;
    let (added, was_empty) = (page.entries.len(), timeline.entries.is_empty());
    match direction {
        Direction::Older => {
            timeline.older_from = next_from(&page, timeline.searched_until, 1);
            timeline
                .entries
                .extend(page.entries.into_iter().map(Into::into));
            // What scrolled far away is let go: a log of any length is seen in the same memory.
            let surplus = timeline.entries.len().saturating_sub(HELD);
            let surplus = surplus.min(timeline.top);
            if surplus > 0 {
                timeline.entries.drain(..surplus);
                timeline.cursor -= surplus;
                timeline.top -= surplus;
                timeline.newer_from = timeline.entries.front().map(|one| one.event.id);
            }
        }
        Direction::Newer => {
            timeline.newer_from = next_from(&page, timeline.searched_until, head);
            page.entries
                .into_iter()
                .for_each(|entry| timeline.entries.push_front(entry.into()));
            // The line under the cursor stays where it is, unless the cursor follows.
            if timeline.follows {
                (timeline.cursor, timeline.top) = (0, 0);
            } else if was_empty {
                timeline.cursor = added.saturating_sub(1);
            } else {
                timeline.cursor += added;
                timeline.top += added;
            }
            let last_kept = timeline.top + HELD;
            if timeline.entries.len() > last_kept {
                timeline.entries.truncate(last_kept);
                timeline.older_from = timeline.entries.back().map(|one| one.event.id);
            }
        }
    }
}

fn put_instead(model: &mut Model, direction: Direction, page: Page) {
    let head = model.head.unwrap_or_default();
    let timeline = &mut model.timeline;
    let until = timeline.searched_until;
    // The event itself may read differently now, undone or not any more: it is looked at again, and stays as it is
    // until then.
    timeline.detail_wanted = None;
    timeline.detail_stale = true;
    match direction {
        Direction::Older => {
            // Events may have come between the reading of the head and that of the page, in either order.
            let first = page.entries.first().map(|entry| entry.event.id);
            timeline.newer_from = first.filter(|first| timeline.filter.is_empty() && *first < head);
            timeline.older_from = next_from(&page, until, 1);
            timeline.entries = page.entries.into_iter().map(Into::into).collect();
            (timeline.cursor, timeline.top) = (0, 0);
        }
        Direction::Newer => {
            timeline.older_from = None;
            timeline.newer_from = next_from(&page, until, head);
            timeline.entries = page.entries.into_iter().rev().map(Into::into).collect();
            timeline.cursor = timeline.entries.len().saturating_sub(1);
            timeline.top = timeline.cursor;
        }
    }
}
