//! Verification, activity, rollbacks.

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Action;
use super::super::model::{Model, Notice, Purpose, Verification};
use super::super::pages::{self, Lead};
use super::{in_sight, links, moved, overlay, told};
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::verify::Report;
use crate::eventsourcing::{EventId, Result};

/// By what events are counted, in this order.
const COUNTED_BY: [ActivityBy; 3] = [ActivityBy::Actor, ActivityBy::Table, ActivityBy::Day];

/// When the audit is shown: counts who wrote how much, unless that is known of the log as it is.
pub(super) fn shown(model: &mut Model) -> Vec<Effect> {
    // The first line is a heading.
    model.audit.cursor = model.audit.cursor.max(1);
    let is_known = !model.audit.activity.is_empty() && model.audit.counted_to == model.head;
    match is_known || model.audit.activity_wanted.is_some() {
        true => Vec::new(),
        false => count(model),
    }
}

/// Counts anew.
pub(super) fn reload(model: &mut Model) -> Vec<Effect> {
    match model.audit.activity.is_empty() {
        true => Vec::new(),
        false => count(model),
    }
}

fn count(model: &mut Model) -> Vec<Effect> {
    let request = model.next_request();
    model.audit.activity_wanted = Some(request);
    model.audit.counted_to = model.head;
    vec![Effect::Activity(request, COUNTED_BY[0])]
}

pub(super) fn counted(
    model: &mut Model,
    request: RequestId,
    by: ActivityBy,
    result: Result<Vec<(String, u64)>>,
) -> Vec<Effect> {
    if model.audit.activity_wanted != Some(request) {
        return Vec::new();
    }
    model.audit.activity_wanted = None;
    let Some(counts) = told(model, result) else {
        return Vec::new();
    };
    let activity = &mut model.audit.activity;
    match activity.iter_mut().find(|(one, _)| *one == by) {
        Some((_, known)) => *known = counts,
        None => activity.push((by, counts)),
    }
    // The next kind, until all are known.
    let next = COUNTED_BY.iter().skip_while(|one| **one != by).nth(1);
    match next {
        Some(next) => {
            let request = model.next_request();
            model.audit.activity_wanted = Some(request);
            vec![Effect::Activity(request, *next)]
        }
        None => Vec::new(),
    }
}

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    match action {
        Action::Verify => return verify(model),
        Action::Export => {
            return overlay::open_prompt(model, Purpose::Export);
        }
        Action::Open => return follow(model),
        _ => {}
    }
    let leads = pages::audit(model, model.size.page_width());
    let height = model.size.content();
    let at = moved(action, model.audit.cursor, leads.len(), height);
    // What leads nowhere is read, and not stopped at.
    let leads_on = |at: &usize| leads.get(*at).is_some_and(|(_, lead)| lead.is_some());
    let below = (at..leads.len()).find(leads_on);
    let above = (0..=at).rev().find(leads_on);
    let nearest = match at >= model.audit.cursor {
        true => below.or(above),
        false => above.or(below),
    };
    model.audit.cursor = nearest.unwrap_or(at);
    model.audit.top = in_sight(model.audit.top, model.audit.cursor, height);
    if above_all(&leads, model.audit.cursor) {
        model.audit.top = 0;
    }
    Vec::new()
}

/// After the screen has changed its size: no empty lines below where there are more above.
pub(super) fn settle(model: &mut Model) {
    let lines = pages::audit(model, model.size.page_width()).len();
    let height = model.size.content();
    let top = model.audit.top.min(lines.saturating_sub(height));
    model.audit.top = in_sight(top, model.audit.cursor, height);
}

/// Whether nothing above this line leads anywhere: the heading is shown with it.
fn above_all(leads: &[(pages::Line, Option<Lead>)], at: usize) -> bool {
    leads.iter().take(at).all(|(_, lead)| lead.is_none())
}

/// To what the line under the cursor is about.
fn follow(model: &mut Model) -> Vec<Effect> {
    let lines = pages::audit(model, model.size.page_width());
    let lead = lines
        .get(model.audit.cursor)
        .and_then(|(_, lead)| lead.clone());
    match lead {
        Some(Lead::Event(id)) => links::to_event(model, id),
        Some(Lead::Row(key)) => links::to_row(model, key, None),
        Some(Lead::Filter(text)) => links::to_events(model, &text),
        Some(Lead::Verify) => verify(model),
        None => Vec::new(),
    }
}

fn verify(model: &mut Model) -> Vec<Effect> {
    let request = model.next_request();
    let total = model.tables.rows(model.head).map_or(0, |(rows, _)| rows);
    model.audit.verification = Verification::Running {
        request,
        done: 0,
        total,
    };
    vec![Effect::Verify(request)]
}

fn is_running(model: &Model, wanted: RequestId) -> bool {
    matches!(&model.audit.verification, Verification::Running { request, .. } if *request == wanted)
}

pub(super) fn verifying(model: &mut Model, request: RequestId, now: u64) -> Vec<Effect> {
    if is_running(model, request)
        && let Verification::Running { done, .. } = &mut model.audit.verification
    {
        *done = now;
    }
    Vec::new()
}

pub(super) fn verified(
    model: &mut Model,
    request: RequestId,
    result: Result<(EventId, Report)>,
) -> Vec<Effect> {
    if is_running(model, request) {
        model.audit.verification = match told(model, result) {
            Some((head, report)) => Verification::Done { head, report },
            None => Verification::Unknown,
        };
        // Beside a new verdict no older numbers stand.
        return shown(model);
    }
    Vec::new()
}

/// The name of the file that the log is written to unless another one is typed.
pub(super) fn suggested_file(model: &Model) -> String {
    let name = model.info.name.trim_end_matches(".db");
    let name: String = name
        .chars()
        .map(|one| {
            if one.is_alphanumeric() || "-_.".contains(one) {
                one
            } else {
                '_'
            }
        })
        .collect();
    format!("{name}-{}.jsonl", model.head.unwrap_or_default())
}

pub(super) fn export(model: &mut Model, file: &str) -> Vec<Effect> {
    if file.is_empty() {
        model.notice = Some(Notice::Info(
            "Nothing was written: no file was named.".to_owned(),
        ));
        return Vec::new();
    }
    let request = model.next_request();
    model.audit.export_wanted = Some(request);
    model.notice = Some(Notice::Info(format!("Writing the log to {file}…")));
    vec![Effect::Export(request, file.to_owned())]
}

pub(super) fn exported(
    model: &mut Model,
    request: RequestId,
    result: Result<(u64, String)>,
) -> Vec<Effect> {
    if model.audit.export_wanted == Some(request) {
        model.audit.export_wanted = None;
        if let Some((events, file)) = told(model, result) {
            let events = crate::text::count(events, "event", "events");
            model.notice = Some(Notice::Info(format!(
                "Written to {file}: {events}, one a line."
            )));
        }
    }
    Vec::new()
}
