//! The list of events, and the event under the cursor.

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Action;
use super::super::model::{Asked, Model, Notice, Place};
use super::super::pages;
use super::{in_sight, links, moved, rollback, scroll_page, searching, told};
use crate::eventsourcing::history::{Course, Rollback, Standing};
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::strip::Strip;
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
        Place::Around(_) | Place::Centred(_) => Direction::Newer,
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

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let selected = model.timeline.selected().map(|entry| entry.event.clone());
    if let Some(event) = &selected {
        match action {
            Action::RollBack => {
                let asked = Asked::To {
                    event: event.id,
                    keep: rollback::keeps(model, event.timestamp),
                };
                return rollback::begin(model, asked, event.row.clone());
            }
            Action::Revert => {
                let asked = Asked::Revert { event: event.id };
                return rollback::begin(model, asked, event.row.clone());
            }
            Action::History => {
                return match &event.row {
                    Some(key) => links::to_row(model, key.clone(), Some(event.id)),
                    None => {
                        let text = "This event marks an end of a rollback: it has no row.";
                        model.notice = Some(Notice::Info(text.to_owned()));
                        Vec::new()
                    }
                };
            }
            Action::TimeTravel => return links::ask_to_travel(model, event.timestamp),
            _ => {}
        }
    }
    match action {
        Action::Open => {
            if selected.is_some() {
                model.timeline.opened = Some(0);
            }
            Vec::new()
        }
        Action::GoToOrigin => go_to_origin(model),
        Action::OlderBurst => searching::go_to_burst(model, Direction::Older),
        Action::NewerBurst => searching::go_to_burst(model, Direction::Newer),
        Action::Follow => follow(model),
        Action::Left | Action::Right => {
            let by = match action {
                Action::Left => Action::Up,
                _ => Action::Down,
            };
            model.timeline.opened = Some(0);
            go(model, by)
        }
        _ if model.timeline.opened.is_some() => {
            scroll_event(model, action);
            Vec::new()
        }
        _ => go(model, action),
    }
}

/// Moves the cursor.
fn go(model: &mut Model, action: Action) -> Vec<Effect> {
    model.timeline.follows &= matches!(action, Action::First);
    match action {
        Action::First if !model.timeline.has_newest() => vec![read_newest(model)],
        Action::Last if !model.timeline.has_oldest() => {
            vec![ask(model, None, Place::Instead(Direction::Newer))]
        }
        _ => {
            let count = model.timeline.entries.len();
            let height = model.list_height();
            model.timeline.cursor = moved(action, model.timeline.cursor, count, height);
            settle(model)
        }
    }
}

/// Scrolls the event that is open.
fn scroll_event(model: &mut Model, action: Action) {
    let lines = pages::event(model, model.size.page_width(), true).len();
    let height = model.size.content();
    if let Some(top) = model.timeline.opened {
        model.timeline.opened = Some(scroll_page(top, lines, height, action));
    }
}

/// To the event that this one repeats or restores, or that has undone it.
fn go_to_origin(model: &mut Model) -> Vec<Effect> {
    let linked = model.timeline.selected().and_then(|entry| {
        let by = match model.standing(&entry.event) {
            Standing::UndoneBy(rollback) | Standing::BookkeepingOf(rollback) => Some(rollback),
            Standing::Effective => None,
        };
        let taken_back = model.history.rollback(entry.event.id).map(goes_to);
        entry.event.origin.or(by).or(taken_back)
    });
    match linked {
        Some(id) => links::to_event(model, id),
        None => {
            let text = "This event repeats and restores none, and none has undone it.";
            model.notice = Some(Notice::Info(text.to_owned()));
            Vec::new()
        }
    }
}

/// The event that a rollback is about: the rollback that it took back, the transaction that it reverted, or the last event that it kept.
fn goes_to(rollback: &Rollback) -> EventId {
    match (rollback.redoes.or(rollback.undoes), &rollback.course) {
        (Some(id), _) => id,
        (None, Course::Back(keeps_through)) => (*keeps_through).max(1),
        (None, Course::Without { first, .. }) => *first,
        (None, Course::WithoutRollback(id)) => *id,
    }
}

/// Puts the cursor on this event, or on the nearest that the filter shows.
pub(super) fn go_to(model: &mut Model, id: EventId) -> Vec<Effect> {
    model.timeline.follows = false;
    let mut entries = model.timeline.entries.iter();
    match entries.position(|entry| entry.event.id == id) {
        Some(at) => {
            model.timeline.cursor = at;
            settle(model)
        }
        None => vec![around(model, id)],
    }
}

fn follow(model: &mut Model) -> Vec<Effect> {
    model.timeline.follows = !model.timeline.follows;
    let (text, effects) = match model.timeline.follows {
        true => (
            "The cursor follows new events: f or any move ends it.",
            go(model, Action::First),
        ),
        false => ("The cursor stays where it is.", Vec::new()),
    };
    model.notice = Some(Notice::Info(text.to_owned()));
    effects
}

/// Asks when things happened, one question at a time.
pub(super) fn read_strip(model: &mut Model) -> Option<Effect> {
    let head = model.head?;
    if model.timeline.strip_wanted.is_some() {
        return None;
    }
    let request = model.next_request();
    model.timeline.strip_wanted = Some(request);
    Some(Effect::Strip(request, head, model.size.page_width()))
}

pub(super) fn strip_read(
    model: &mut Model,
    request: RequestId,
    result: Result<Option<Strip>>,
) -> Vec<Effect> {
    if model.timeline.strip_wanted == Some(request) {
        model.timeline.strip_wanted = None;
        if let Some(strip) = told(model, result) {
            model.timeline.strip = strip;
        }
    }
    Vec::new()
}

/// After the head has been read for the first time: events may have come after the page that was read before it.
pub(super) fn catch_up(model: &mut Model) -> Vec<Effect> {
    let head = model.head.unwrap_or_default();
    let timeline = &mut model.timeline;
    let first = timeline.entries.front().map(|entry| entry.event.id);
    if let Some(first) = first.filter(|first| *first < head)
        && timeline.has_newest()
        && timeline.filter.is_empty()
    {
        timeline.newer_from = Some(first);
    }
    settle(model)
}

/// After the log has grown from one head to another: reads on where the newest is in sight; the line under the cursor stays.
pub(super) fn grown(model: &mut Model, before: EventId) -> Vec<Effect> {
    let timeline = &mut model.timeline;
    if timeline.has_newest() {
        let first = timeline.entries.front().map_or(before, |one| one.event.id);
        timeline.newer_from = Some(first.max(before));
    }
    timeline.detail_stale = true;
    let mut effects = settle(model);
    effects.extend(searching::count_matches(model));
    effects.extend(read_strip(model));
    effects
}

/// After the cursor or the size has changed: keeps the cursor in sight, reads on where the list may end soon, and
/// looks at the event under the cursor.
pub(super) fn settle(model: &mut Model) -> Vec<Effect> {
    let height = model.list_height();
    let timeline = &mut model.timeline;
    // The first events of the log stand at the foot of the list, not alone in its first line.
    if timeline.has_oldest() {
        let last = timeline.entries.len().saturating_sub(height);
        timeline.top = timeline.top.min(last);
    }
    timeline.top = in_sight(timeline.top, timeline.cursor, height);
    if let Some(first) = timeline.entries.get(timeline.top) {
        timeline.seen_newest = timeline.seen_newest.max(first.event.id);
    }
    let mut effects = Vec::new();
    // Events of another filter are not mixed with those of this one.
    let is_open = timeline.is_read && !timeline.is_of_before && !timeline.paused;
    if timeline.wanted.is_none() && is_open {
        let near = 2 * height;
        let is_near_end = timeline.cursor + near >= timeline.entries.len();
        let older = timeline.older_from.filter(|_| is_near_end);
        let newer = timeline.newer_from.filter(|_| timeline.cursor < near);
        if let Some(from) = older {
            effects.push(ask(model, Some(from), Place::Beside(Direction::Older)));
        } else if let Some(from) = newer {
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
        Place::Around(id) | Place::Centred(id) => {
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
    settle(model)
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
