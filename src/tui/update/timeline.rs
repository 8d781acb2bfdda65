//! The list of events, and the event under the cursor.

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Action;
use super::super::model::{Asked, Model, Notice, Place};
use super::super::pages;
use super::{event_pages, in_sight, links, moved, rollback, scroll_page, searching, told};
use crate::eventsourcing::history::{Course, Rollback, Standing};
use crate::eventsourcing::inspect::Inspection;
use crate::eventsourcing::strip::Strip;
use crate::eventsourcing::timeline::Direction;
use crate::eventsourcing::{EventId, Result};

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
        Action::ToggleActors => {
            match model.size.is_wide() {
                true => {
                    let text = "Who made each event is in the list: there is room for it.";
                    model.notice = Some(Notice::Info(text.to_owned()));
                }
                false => model.timeline.shows_actors = !model.timeline.shows_actors,
            }
            Vec::new()
        }
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
        Action::First if !model.timeline.has_newest() => vec![event_pages::read_newest(model)],
        Action::Last if !model.timeline.has_oldest() => {
            vec![event_pages::ask(
                model,
                None,
                Place::Instead(Direction::Newer),
            )]
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
        None => vec![event_pages::around(model, id)],
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
            effects.push(event_pages::ask(
                model,
                Some(from),
                Place::Beside(Direction::Older),
            ));
        } else if let Some(from) = newer {
            effects.push(event_pages::ask(
                model,
                Some(from),
                Place::Beside(Direction::Newer),
            ));
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
