//! Which events are shown, and where the bursts among them begin.

use super::super::effect::{Effect, RequestId, Slot};
use super::super::model::{Matches, Model, Notice, Place};
use super::event_pages::{around, ask, read_newest};
use super::timeline::go_to;
use super::told;
use crate::eventsourcing::timeline::{Direction, Filter};
use crate::eventsourcing::{EventId, Result};

/// Shows only these events; when all are shown again, those around this one, or around the one under the cursor.
pub(super) fn show_only(
    model: &mut Model,
    filter: Filter,
    back_to: Option<EventId>,
) -> Vec<Effect> {
    if model.timeline.filter == filter && !model.timeline.has_failed_to_follow() {
        return Vec::new();
    }
    model.timeline.filter = filter;
    model.timeline.is_of_before = true;
    model.timeline.matches = None;
    model.timeline.paused = false;
    if model.timeline.filter.is_empty() {
        model.timeline.filter_text.clear();
        let page = match back_to {
            Some(id) => ask(model, Some(id - 1), Place::Centred(id)),
            None => match model.timeline.selected().map(|entry| entry.event.id) {
                Some(id) => around(model, id),
                None => read_newest(model),
            },
        };
        return vec![page, Effect::Cancel(Slot::Matches)];
    }
    let mut effects = vec![read_newest(model)];
    effects.extend(count_matches(model));
    effects
}

/// Puts the cursor on this event, among those that such a filter shows.
pub(super) fn show_again(model: &mut Model, id: EventId, filter: String) -> Vec<Effect> {
    let mut effects = Vec::new();
    if model.timeline.filter_text != filter
        && let Ok(parsed) = Filter::parse(&filter)
    {
        model.timeline.filter_text = filter;
        model.timeline.filter = parsed;
        model.timeline.is_of_before = true;
        model.timeline.matches = None;
        effects.extend(count_matches(model));
        effects.push(around(model, id));
        return effects;
    }
    go_to(model, id)
}

/// Counts the events that the filter shows.
pub(super) fn count_matches(model: &mut Model) -> Option<Effect> {
    let head = model.head?;
    if model.timeline.filter.is_empty() {
        return None;
    }
    let request = model.next_request();
    model.timeline.matches = Some(Matches {
        request,
        count: 0,
        is_all: false,
    });
    let filter = model.timeline.filter.clone();
    Some(Effect::Matches(request, filter, head))
}

pub(super) fn matched(
    model: &mut Model,
    request: RequestId,
    result: Result<(u64, bool)>,
) -> Vec<Effect> {
    let current = model.timeline.matches.map(|matches| matches.request);
    if current == Some(request) {
        model.timeline.matches = told(model, result).map(|(count, is_all)| Matches {
            request,
            count,
            is_all,
        });
    }
    Vec::new()
}

/// Looks for the burst before or after the event under the cursor.
pub(super) fn go_to_burst(model: &mut Model, direction: Direction) -> Vec<Effect> {
    let Some(id) = model.timeline.selected().map(|entry| entry.event.id) else {
        return Vec::new();
    };
    let request = model.next_request();
    model.timeline.locate_wanted = Some(request);
    let filter = model.timeline.filter.clone();
    vec![Effect::Burst(request, filter, id, direction)]
}

pub(super) fn burst_found(
    model: &mut Model,
    request: RequestId,
    direction: Direction,
    result: Result<Option<EventId>>,
) -> Vec<Effect> {
    let wanted = &mut model.timeline.locate_wanted;
    if wanted.take_if(|wanted| *wanted == request).is_none() {
        return Vec::new();
    }
    match told(model, result) {
        Some(Some(first)) => go_to(model, first),
        Some(None) => {
            let text = match direction {
                Direction::Older => "There is no burst of events before this one.",
                Direction::Newer => "There is no burst of events after this one.",
            };
            model.notice = Some(Notice::Info(text.to_owned()));
            Vec::new()
        }
        None => Vec::new(),
    }
}
