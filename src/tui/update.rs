//! From what happened to what is to be done.

mod rollback;
mod tables;
mod timeline;

use super::effect::{Effect, Slot};
use super::keymap::{self, Action, Context, Key};
use super::layout::scrolled;
use super::message::Message;
use super::model::{Leaving, Model, Notice, Screen};
use super::pages;
use crate::eventsourcing::Result;

/// The effects with which everything begins.
pub fn start(model: &mut Model) -> Vec<Effect> {
    reload(model)
}

/// Takes in what happened. Never waits for anything.
pub fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => press(model, key),
        Message::Resized(size) => {
            model.size = size;
            let mut effects = timeline::settle(model);
            effects.extend(tables::settle(model));
            effects.extend(rollback::settle(model));
            effects
        }
        Message::Terminate => leave(model),
        Message::Overview(request, result) => {
            if model.overview_wanted == Some(request) {
                model.overview_wanted = None;
                if let Some(overview) = told(model, result) {
                    model.head = Some(overview.head);
                    model.events = Some(overview.events);
                    model.history = overview.history;
                }
            }
            Vec::new()
        }
        Message::Page(request, result) => timeline::page(model, request, result),
        Message::Inspected(request, result) => timeline::inspected(model, request, *result),
        Message::Tables(request, result) => tables::listed(model, request, result),
        Message::Counted(request, table, result) => tables::counted(model, request, table, result),
        Message::Rows(request, result) => tables::rows(model, request, result),
        Message::Planned(request, result) => rollback::planned(model, request, *result),
        Message::ReplayCounted(request, result) => rollback::replay_counted(model, request, result),
        Message::Changes(request, first, result) => {
            rollback::changes_read(model, request, first, result)
        }
        Message::Progress(done, total) => rollback::progress(model, done, total),
        Message::Waiting(writer) => rollback::waiting(model, writer),
        Message::Executed(request, result) => rollback::executed(model, request, result),
    }
}

/// The value of a result; a failure is told to the user.
fn told<T>(model: &mut Model, result: Result<T>) -> Option<T> {
    result
        .map_err(|error| model.notice = Some(Notice::Failure(error)))
        .ok()
}

fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let context = model.context();
    let interrupted_before = std::mem::take(&mut model.interrupted);
    let action = keymap::action(context, key);
    if action == Some(Action::Interrupt) {
        return interrupt(model, interrupted_before);
    }
    // What was told has been read by whoever presses the next key.
    model.notice = None;
    if keymap::is_field(context) {
        return rollback::typed(model, key);
    }
    match (action, context) {
        (None, _) => Vec::new(),
        (Some(Action::Quit), _) => leave(model),
        (Some(Action::Help), Context::Help) => back(model),
        (Some(Action::Help), _) => {
            model.help = Some(0);
            Vec::new()
        }
        (Some(Action::Back), _) => back(model),
        (Some(Action::Reload), _) => {
            let events = timeline::read_around(model);
            reload_with(model, events)
        }
        (Some(Action::ShowTimeline), _) => {
            model.screen = Screen::Timeline;
            Vec::new()
        }
        (Some(Action::ShowTables), _) => {
            model.screen = Screen::Tables;
            Vec::new()
        }
        (Some(action), Context::Timeline | Context::Event) => timeline::act(model, action),
        (Some(action), Context::Tables | Context::Grid) => tables::act(model, action),
        (Some(action), Context::Help) => scroll_help(model, action),
        (Some(action), _) => rollback::act(model, action),
    }
}

/// Reads everything anew, the events from the newest on.
fn reload(model: &mut Model) -> Vec<Effect> {
    let events = timeline::read_newest(model);
    reload_with(model, events)
}

/// Reads everything anew with this page of events; what is there stays until the new arrives.
fn reload_with(model: &mut Model, events: Effect) -> Vec<Effect> {
    let request = model.next_request();
    model.overview_wanted = Some(request);
    let mut effects = vec![Effect::Overview(request), events];
    effects.extend(tables::reload(model));
    effects
}

/// One step back. Never leaves the program.
fn back(model: &mut Model) -> Vec<Effect> {
    if model.help.take().is_some() {
        return Vec::new();
    }
    match model.context() {
        Context::Event => model.timeline.opened = None,
        Context::Grid => {
            model.tables.grid = None;
            return vec![Effect::Cancel(Slot::Rows)];
        }
        Context::Planning | Context::Preview | Context::Result => {
            model.screen = Screen::Timeline;
            model.rollback = None;
            return vec![Effect::Cancel(Slot::Plan)];
        }
        _ => {}
    }
    Vec::new()
}

/// Ends the program; a rollback at work is asked to stop, and its outcome waited for.
fn leave(model: &mut Model) -> Vec<Effect> {
    if model.is_running() {
        model.leaving = Leaving::WhenDone;
        return rollback::stop(model);
    }
    model.leaving = Leaving::Now;
    Vec::new()
}

/// Ctrl-C: cancels what runs; pressed twice, leaves.
fn interrupt(model: &mut Model, again: bool) -> Vec<Effect> {
    if again {
        return leave(model);
    }
    model.interrupted = true;
    let told = |text: &str| Some(Notice::Info(text.to_owned()));
    match model.context() {
        Context::Progress => {
            model.notice = told("Asked to stop. Ctrl-C again leaves when the outcome has arrived.");
            rollback::stop(model)
        }
        Context::Planning | Context::Confirm => {
            model.notice = told("Cancelled. Ctrl-C again leaves.");
            rollback::cancel(model)
        }
        _ => {
            let cancelled = cancel_reads(model);
            model.notice = told(match cancelled.is_empty() {
                true => "Nothing is being done. Ctrl-C again leaves, and so does q.",
                false => "Reading was cancelled; r reads everything anew. Ctrl-C again leaves.",
            });
            cancelled
        }
    }
}

/// Cancels what is being read; what is there stays.
fn cancel_reads(model: &mut Model) -> Vec<Effect> {
    let is_counted = model.tables.rows().is_some();
    let counts = model.tables.counts_wanted.take().filter(|_| !is_counted);
    let rows = model.tables.grid.as_mut().and_then(|grid| {
        grid.renewing = false;
        grid.wanted.take()
    });
    [
        (model.overview_wanted.take().is_some(), Slot::Overview),
        (model.timeline.wanted.take().is_some(), Slot::Page),
        (model.timeline.detail_wanted.take().is_some(), Slot::Detail),
        (model.tables.wanted.take().is_some(), Slot::Tables),
        (counts.is_some(), Slot::Counts),
        (rows.is_some(), Slot::Rows),
    ]
    .into_iter()
    .filter_map(|(is_read, slot)| is_read.then_some(Effect::Cancel(slot)))
    .collect()
}

fn scroll_help(model: &mut Model, action: Action) -> Vec<Effect> {
    if let Some(top) = model.help {
        let lines = pages::help(model).len();
        model.help = Some(scroll_page(top, lines, model.size.content(), action));
    }
    Vec::new()
}

/// The first line of a page of so many lines, after this key.
fn scroll_page(top: usize, lines: usize, height: usize, action: Action) -> usize {
    let last = lines.saturating_sub(height);
    moved(action, top, last + 1, height)
}

/// Where a cursor among `count` things goes, by a key for moving.
fn moved(action: Action, cursor: usize, count: usize, height: usize) -> usize {
    let last = count.saturating_sub(1);
    let screenful = height.saturating_sub(1).max(1);
    // After the end has come nearer, as on a larger screen, every key moves from what is in sight.
    let cursor = cursor.min(last);
    match action {
        Action::Up => cursor.saturating_sub(1),
        Action::Down => cursor + 1,
        Action::PageUp => cursor.saturating_sub(screenful),
        Action::PageDown => cursor + screenful,
        Action::First => 0,
        Action::Last => last,
        _ => cursor,
    }
    .min(last)
}

/// The first line of a list, so that its cursor is in sight.
fn in_sight(top: usize, cursor: usize, height: usize) -> usize {
    scrolled(top, cursor, height.max(1))
}
