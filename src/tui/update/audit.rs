//! Verification, activity, rollbacks.

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Action;
use super::super::model::{Lead, Model, Notice, Purpose, Screen, Verification};
use super::super::pages::{self, Line};
use super::{in_sight, links, moved, overlay, told};
use crate::eventsourcing::activity::ActivityBy;
use crate::eventsourcing::verify::Report;
use crate::eventsourcing::{EventId, Result};

/// By what events are counted, in this order.
const COUNTED_BY: [ActivityBy; 3] = [ActivityBy::Actor, ActivityBy::Table, ActivityBy::Day];

/// When the audit is shown: counts who wrote how much, unless that is known of the log as it is.
pub(super) fn shown(model: &mut Model) -> Vec<Effect> {
    settle(model);
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
    settle(model);
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
    choose(model, &leads, nearest.unwrap_or(at));
    Vec::new()
}

/// A press on this line of the screen: the cursor goes to what it is about, and where it is there already, on to that.
pub(super) fn press(model: &mut Model, line: usize) -> Vec<Effect> {
    let leads = pages::audit(model, model.size.page_width());
    let pressed = model.audit.top + line;
    let mut above = (0..leads.len().min(pressed + 1)).rev();
    // What is wrapped leads where its first line does; an empty line is about nothing.
    let about = above.find(|at| leads[*at].1.is_some() || leads[*at].0.text.is_empty());
    match about.filter(|at| pressed < leads.len() && leads[*at].1.is_some()) {
        Some(at) if at == model.audit.cursor => follow(model),
        Some(at) => {
            choose(model, &leads, at);
            Vec::new()
        }
        None => Vec::new(),
    }
}

/// Puts the cursor on this line, in sight.
fn choose(model: &mut Model, leads: &[(Line, Option<Lead>)], at: usize) {
    let lead = leads.get(at).and_then(|(_, lead)| lead.clone());
    let chosen = lead.map(|lead| {
        let above = leads.iter().take(at);
        let same = above.filter(|(_, one)| one.as_ref() == Some(&lead)).count();
        (lead, same)
    });
    let height = model.size.content();
    let audit = &mut model.audit;
    (audit.cursor, audit.chosen) = (at, chosen);
    audit.top = in_sight(audit.top, at, height);
    // Where nothing above leads anywhere, the heading is shown with it.
    if leads.iter().take(at).all(|(_, lead)| lead.is_none()) {
        audit.top = 0;
    }
}

/// After lines have come, gone, or been wrapped otherwise: the cursor stays with what it is on, and in its line of the screen; and below there are no empty
/// lines where there are more above.
pub(super) fn settle(model: &mut Model) {
    // Elsewhere nobody sees the lines, which may be those of thousands of rollbacks; shown again, they are settled first.
    if model.screen != Screen::Audit {
        return;
    }
    let leads = pages::audit(model, model.size.page_width());
    let height = model.size.content();
    let audit = &mut model.audit;
    let chosen = audit.chosen.as_ref();
    let places = |wanted: &Lead| {
        let all = leads.iter().enumerate();
        let same = all.filter(|(_, (_, lead))| lead.as_ref() == Some(wanted));
        same.map(|(at, _)| at).collect::<Vec<_>>()
    };
    let found = chosen.and_then(|(lead, above)| {
        let places = places(lead);
        places.get(*above).or(places.last()).copied()
    });
    let line = audit.cursor.saturating_sub(audit.top);
    // While what it was on is not there, as a finding while the tables are compared again, it waits where it was.
    let last = leads.len().saturating_sub(1);
    audit.cursor = found.unwrap_or(audit.cursor.clamp(1, last.max(1)));
    let top = audit.cursor.saturating_sub(line);
    audit.top = in_sight(
        top.min(leads.len().saturating_sub(height)),
        audit.cursor,
        height,
    );
    if audit.chosen.is_none() {
        let at = audit.cursor;
        choose(model, &leads, at);
    }
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
    if let Verification::Running { .. } = model.audit.verification {
        let key = model.key_for(Action::Interrupt);
        let text = format!("The tables are being compared already; {key} ends that.");
        model.notice = Some(Notice::Info(text));
        return Vec::new();
    }
    let request = model.next_request();
    let total = model.tables.rows(model.head).map_or(0, |(rows, _)| rows);
    model.audit.verification = Verification::Running {
        request,
        done: 0,
        total,
    };
    settle(model);
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
