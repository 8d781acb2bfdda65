//! What is known of the log as a whole: its head, and whether the database can be reached.

use super::super::effect::{Effect, RequestId};
use super::super::message::Overview;
use super::super::model::{Model, Notice, Screen};
use super::{
    audit, cell, event_pages, links, reload_with, rollback, row, searching, tables, timeline, told,
};
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Error, EventId, Result};

pub(super) fn overview_read(model: &mut Model, overview: Overview) -> Vec<Effect> {
    let before = model.head.replace(overview.head);
    model.events = Some(overview.events);
    model.history = overview.history;
    audit::settle(model);
    let mut looked = rollback::looked(model);
    looked.extend(match before {
        None => {
            let mut effects = vec![Effect::Watch(overview.head, 0)];
            effects.extend(timeline::read_strip(model));
            effects.extend(searching::count_matches(model));
            effects.extend(timeline::catch_up(model));
            effects
        }
        Some(before) if before != overview.head => {
            let mut effects = timeline::grown(model, before);
            if model.screen == Screen::Row {
                effects.extend(row::renew(model));
            }
            effects.extend(tables::grown(model));
            effects.extend(cell::read_again(model));
            effects
        }
        Some(_) => Vec::new(),
    });
    looked
}

/// Milliseconds until a lost connection is tried again: twice as long each time, up to half a minute.
fn pause(lost: u32) -> u64 {
    (250 << lost.min(7)).min(30_000)
}

/// The log has another head; or it cannot be watched, which is tried again.
pub(super) fn head_known(model: &mut Model, result: Result<EventId>) -> Vec<Effect> {
    match result {
        Ok(head) => {
            let was_lost = std::mem::take(&mut model.connection.lost) > 0;
            let mut effects = vec![Effect::Watch(head, 0)];
            if was_lost {
                let text = "The database is there again.";
                model.notice = Some(Notice::Info(text.to_owned()));
                let events = event_pages::read_around(model);
                effects.extend(reload_with(model, events));
            } else if model.head != Some(head) {
                let request = model.next_request();
                model.overview_wanted = Some(request);
                effects.push(Effect::Overview(request));
            }
            effects
        }
        Err(error) => {
            if model.connection.lost == 0 {
                model.notice = Some(Notice::Failure(watch_failed(error.clone())));
            }
            model.failure = Some(error);
            model.connection.lost += 1;
            // Another head than any: the answer says at once that the database is there again.
            vec![Effect::Watch(-1, pause(model.connection.lost))]
        }
    }
}

fn watch_failed(error: Error) -> Error {
    match error.hint {
        Some(_) => error,
        None => error.hint("it is tried again and again; what is on the screen stays"),
    }
}

/// The cursor to this event, in the timeline.
pub(super) fn go_to_event(model: &mut Model, id: EventId) -> Vec<Effect> {
    match model.head {
        Some(head) if id > head || id < 1 => {
            let text = match head {
                0 => "The log has no events yet.".to_owned(),
                _ => format!("There is no event #{id}: the log has #1 to #{head}."),
            };
            model.notice = Some(Notice::Info(text));
            Vec::new()
        }
        _ => links::to_event(model, id),
    }
}

pub(super) fn located(
    model: &mut Model,
    request: RequestId,
    moment: Timestamp,
    result: Result<EventId>,
) -> Vec<Effect> {
    if model.timeline.locate_wanted != Some(request) {
        return Vec::new();
    }
    model.timeline.locate_wanted = None;
    let Some(before) = told(model, result) else {
        return Vec::new();
    };
    let is_last = model.head.is_some_and(|head| before >= head);
    let effects = go_to_event(model, (before + i64::from(!is_last)).max(1));
    // The event may be hours later: what was there at the moment is what came before it.
    if model.notice.is_none() {
        let moment = moment.format("%Y-%m-%d %H:%M:%S");
        let text = match (is_last, before) {
            (true, _) => format!("No event is as late as {moment} UTC: this is the latest."),
            (false, 0) => {
                format!("This is the first event of all; nothing was there at {moment} UTC.")
            }
            (false, before) => format!(
                "The first event at {moment} UTC or later; just before that moment the tables were as after #{before}."
            ),
        };
        model.notice = Some(Notice::Info(text));
    }
    effects
}
