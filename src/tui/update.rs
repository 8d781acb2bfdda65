//! From what happened to what is to be done.

mod audit;
mod cell;
mod event_pages;
mod execution;
mod grid;
mod leaving;
mod links;
mod mouse;
mod overlay;
mod preview;
mod rollback;
mod row;
mod row_pages;
mod searching;
mod tables;
mod timeline;
mod whole_log;

use super::effect::{Effect, Slot};
use super::keymap::{self, Action, Context, Key};
use super::layout::scrolled;
use super::message::Message;
use super::model::{Grid, Model, Notice, Overlay, Purpose, RowFor, RowScreen, Screen};
use super::pages;
use crate::eventsourcing::{ErrorCode, Result};

/// The effects with which everything begins.
pub fn start(model: &mut Model) -> Vec<Effect> {
    reload(model)
}

/// Takes in what happened. Never waits for anything. Keys that were pressed on the way somewhere are taken once that is reached.
pub fn update(model: &mut Model, message: Message) -> Vec<Effect> {
    let mut effects = take(model, message);
    while !model.typed_ahead.is_empty() && !model.is_going() {
        let key = model.typed_ahead.pop_front();
        effects.extend(key.into_iter().flat_map(|key| press(model, key)));
    }
    effects
}

/// Keys that wait at most: more are held down by accident.
const TYPED_AHEAD: usize = 1000;

/// Whether an action is about what is under the cursor, or about where the cursor is.
fn is_about_the_cursor(action: Action) -> bool {
    use Action::{
        Back, Clear, Filter, Help, Interrupt, Now, Palette, Quit, Redo, Reload, ShowAudit,
        ShowFailure, ShowRollback, ShowRow, ShowTables, ShowTimeline, Suspend, Undo,
    };
    let elsewhere = [
        Back,
        Clear,
        Filter,
        Help,
        Interrupt,
        Now,
        Palette,
        Quit,
        Redo,
        Reload,
        ShowAudit,
        ShowFailure,
        ShowRollback,
        ShowRow,
        ShowTables,
        ShowTimeline,
        Suspend,
        Undo,
    ];
    !elsewhere.contains(&action)
}

fn take(model: &mut Model, message: Message) -> Vec<Effect> {
    match message {
        Message::Key(key) => press(model, key),
        Message::Pasted(_) | Message::Mouse(_) if !model.size.is_enough() => Vec::new(),
        Message::Pasted(text) if keymap::is_field(model.context()) => paste(model, &text),
        Message::Pasted(_) => Vec::new(),
        Message::Mouse(mouse) => mouse::act(model, mouse),
        Message::Resized(size) => {
            let mut effects = preview::resize(model, size);
            effects.extend(timeline::settle(model));
            effects.extend(timeline::read_strip(model));
            effects.extend(tables::settle(model));
            effects.extend(row::settle(model));
            cell::settle(model);
            audit::settle(model);
            effects
        }
        Message::Terminate => leaving::leave(model),
        Message::Overview(request, result) => {
            if model.overview_wanted != Some(request) {
                return Vec::new();
            }
            model.overview_wanted = None;
            match told(model, result) {
                Some(overview) => whole_log::overview_read(model, overview),
                None => Vec::new(),
            }
        }
        Message::Head(result) => whole_log::head_known(model, result),
        Message::Page(request, result) => event_pages::page(model, request, result),
        Message::Matches(request, result) => searching::matched(model, request, result),
        Message::Strip(request, result) => timeline::strip_read(model, request, result),
        Message::Located(request, moment, result) => {
            whole_log::located(model, request, moment, result)
        }
        Message::Travelled(request, moment, result) => {
            links::travelled(model, request, moment, result)
        }
        Message::Burst(request, direction, result) => {
            searching::burst_found(model, request, direction, result)
        }
        Message::Inspected(request, result) => timeline::inspected(model, request, *result),
        Message::Tables(request, result) => tables::listed(model, request, result),
        Message::Counting(request, result) => tables::counting(model, request, result),
        Message::Counted(request, table, result) => tables::counted(model, request, table, result),
        Message::Rows(request, result) => row_pages::rows(model, request, result),
        Message::WholeRow(request, result) => grid::whole_read(model, request, result),
        Message::Row(request, result) => row::inspected(model, request, *result),
        Message::NamedBy(request, by, result) => row::naming_counted(model, request, by, result),
        Message::Life(request, result) => row::life_read(model, request, result),
        Message::Planned(request, result) => rollback::planned(model, request, *result),
        Message::ReplayCounted(request, result) => rollback::replay_counted(model, request, result),
        Message::Authors(request, result) => rollback::authors_counted(model, request, result),
        Message::Changes(request, first, result) => {
            preview::changes_read(model, request, first, result)
        }
        Message::Shown(request, result) => preview::shown(model, request, result),
        Message::Progress(done, total, elapsed) => execution::progress(model, done, total, elapsed),
        Message::Waiting(writer) => execution::waiting(model, writer),
        Message::Executed(request, result) => execution::executed(model, request, result),
        Message::Verifying(request, done) => audit::verifying(model, request, done),
        Message::Verified(request, result) => audit::verified(model, request, result),
        Message::Activity(request, by, result) => audit::counted(model, request, by, result),
        Message::Exported(request, result) => audit::exported(model, request, result),
        Message::Copied(result) => {
            if let Some(words) = told(model, result) {
                model.notice = Some(Notice::Info(words));
            }
            Vec::new()
        }
    }
}

/// The value of a result; a failure is told to the user. One that the connection is lost is not: the header says so, and it is tried again.
fn told<T>(model: &mut Model, result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            if error.code != ErrorCode::Unreachable || model.connection.lost == 0 {
                model.notice = Some(Notice::Failure(error.clone()));
            }
            model.failure = Some(error);
            None
        }
    }
}

fn press(model: &mut Model, key: Key) -> Vec<Effect> {
    let context = model.context();
    let interrupted_before = std::mem::take(&mut model.interrupted);
    let action = model.keymap.action(context, key);
    match action {
        Some(Action::Interrupt) => return leaving::interrupt(model, interrupted_before),
        Some(Action::Suspend) => return leaving::suspend(model),
        // Nobody sees what a key does where there is no room to show it.
        action if !model.size.is_enough() && action != Some(Action::Quit) => return Vec::new(),
        _ => {}
    }
    if model.is_going() && action.is_some_and(is_about_the_cursor) {
        if model.typed_ahead.len() < TYPED_AHEAD {
            model.typed_ahead.push_back(key);
        }
        return Vec::new();
    }
    if model.is_going() {
        // Any other key is about something else than what was typed before it; and the way back ends the way there.
        let had_typed = !std::mem::take(&mut model.typed_ahead).is_empty();
        let jumps = had_typed || model.timeline.locate_wanted.is_some();
        if jumps && matches!(action, Some(Action::Back | Action::Clear)) {
            return leaving::cancel_reads(model);
        }
    }
    // What was told has been read by whoever presses the next key, and new events have been seen.
    let told = model.notice.take();
    model.timeline.seen_head = model.head;
    model.timeline.paused = false;
    if context == Context::Confirm {
        return execution::typed(model, key);
    }
    // Escape is for what was told, and not for what lies under it.
    if matches!(told, Some(Notice::Failure(_))) && key == Key::Esc {
        return Vec::new();
    }
    if keymap::is_field(context) {
        return overlay::typed(model, action, key);
    }
    match action {
        Some(action) => act(model, action),
        None => {
            model.notice = pages::does_nothing(model, context, key).map(Notice::Info);
            Vec::new()
        }
    }
}

fn paste(model: &mut Model, text: &str) -> Vec<Effect> {
    match model.context() {
        // What is confirmed is typed, and not pasted.
        Context::Confirm => {
            let words = "The id has to be typed: what was pasted was not taken.";
            model.notice = Some(Notice::Info(words.to_owned()));
            Vec::new()
        }
        _ => overlay::pasted(model, text),
    }
}

/// Does what a key or a command of the palette says.
fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let context = model.context();
    match (action, context) {
        (Action::Quit, _) => leaving::leave(model),
        (Action::Interrupt, _) => leaving::interrupt(model, false),
        (Action::Suspend, _) => leaving::suspend(model),
        (Action::Help, _) => {
            overlay::open_help(model);
            Vec::new()
        }
        (Action::Palette, _) => {
            overlay::open_palette(model);
            Vec::new()
        }
        (Action::ShowFailure, _) => {
            match model.failure {
                Some(_) => model.overlay = Some(Overlay::Failure { top: 0 }),
                None => {
                    let text = "Nothing has failed.";
                    model.notice = Some(Notice::Info(text.to_owned()));
                }
            }
            Vec::new()
        }
        (Action::Back, _) => back(model),
        (Action::Clear, _) => clear(model),
        (Action::Reload, Context::Preview | Context::Planning | Context::Change) => {
            model.overlay = None;
            rollback::plan(model)
        }
        (Action::Reload, _) => {
            cell::ask_anew(model);
            let events = event_pages::read_around(model);
            reload_with(model, events)
        }
        (Action::Now, _) if model.position.is_none() => {
            let text = "Tables and rows are shown as they are now.";
            model.notice = Some(Notice::Info(text.to_owned()));
            Vec::new()
        }
        (Action::Now, _) => links::return_to_now(model),
        (
            Action::ShowTimeline
            | Action::ShowTables
            | Action::ShowRow
            | Action::ShowRollback
            | Action::ShowAudit,
            _,
        ) => show(model, action),
        (Action::Copy | Action::CopyWhole, _) => copy(model, action),
        (Action::Filter, _) => {
            let purpose = match context {
                Context::Tables => Purpose::Tables,
                Context::Grid => Purpose::Rows,
                Context::Preview => Purpose::Changes,
                Context::Cell => Purpose::Search,
                _ => Purpose::Events,
            };
            // The list is filtered, not the event that lies over it.
            model.timeline.opened = None;
            overlay::open_prompt(model, purpose)
        }
        (Action::Reason, _) => overlay::open_prompt(model, Purpose::Reason),
        (action, Context::Failure | Context::Change) => {
            scroll_overlay(model, action);
            Vec::new()
        }
        (Action::Undo | Action::Redo, _) => rollback::begin_undo(model, action),
        (action, Context::Timeline | Context::Event) => timeline::act(model, action),
        (action, Context::Tables | Context::Grid) => tables::act(model, action),
        (action, Context::Row) => row::act(model, action),
        (action, Context::Cell) => cell::act(model, action),
        (action, Context::Audit) => audit::act(model, action),
        (action, _) => rollback::act(model, action),
    }
}

fn show(model: &mut Model, action: Action) -> Vec<Effect> {
    (model.overlay, model.covered) = (None, None);
    let mut effects = cell::close(model).unwrap_or_default();
    model.screen = match action {
        Action::ShowTables => Screen::Tables,
        Action::ShowRow => Screen::Row,
        Action::ShowRollback => Screen::Rollback,
        Action::ShowAudit => Screen::Audit,
        _ => Screen::Timeline,
    };
    // What a link left behind is not where one came from any more.
    model.trail.clear();
    if model.screen == Screen::Row && model.row.is_none() {
        let selected = model.timeline.selected();
        if let Some(key) = selected.and_then(|entry| entry.event.row.clone()) {
            model.row = Some(RowScreen::new(key, None));
            effects.extend(row::read(model));
            return effects;
        }
    }
    effects.extend(match model.screen {
        Screen::Tables => tables::shown(model),
        Screen::Row => row::settle(model),
        Screen::Audit => audit::shown(model),
        _ => Vec::new(),
    });
    effects
}

fn copy(model: &mut Model, action: Action) -> Vec<Effect> {
    let is_whole = action == Action::CopyWhole;
    if model.context() == Context::Grid {
        let column = model.tables.grid.as_ref().and_then(Grid::selected_column);
        let purpose = match column.filter(|_| !is_whole) {
            Some(column) => RowFor::CopyingValue(column.name.clone()),
            None => RowFor::Copying,
        };
        return grid::read_whole(model, purpose).into_iter().collect();
    }
    match pages::to_copy(model, is_whole) {
        Some(text) => vec![Effect::Copy(text)],
        None => {
            let text = "There is nothing to copy here.";
            model.notice = Some(Notice::Info(text.to_owned()));
            Vec::new()
        }
    }
}

/// Reads everything anew, the events from the newest on.
fn reload(model: &mut Model) -> Vec<Effect> {
    let events = event_pages::read_newest(model);
    reload_with(model, events)
}

/// Reads everything anew with this page of events; what is there stays until the new arrives.
fn reload_with(model: &mut Model, events: Effect) -> Vec<Effect> {
    let request = model.next_request();
    model.overview_wanted = Some(request);
    let mut effects = vec![Effect::Overview(request), events];
    effects.extend(tables::reload(model));
    if model.row.is_some() {
        effects.extend(row::renew(model));
    }
    effects.extend(audit::reload(model));
    effects.extend(cell::read_again(model));
    effects
}

/// Ends a filter; one step back where there is none.
fn clear(model: &mut Model) -> Vec<Effect> {
    match model.context() {
        Context::Timeline if model.is_filtered() => {
            model.timeline.filter_text.clear();
            searching::show_only(model, Default::default(), None)
        }
        // A filter that a link has set goes with the link.
        Context::Grid
            if model.trail.is_empty()
                && model
                    .tables
                    .grid
                    .as_ref()
                    .is_some_and(|grid| !grid.filter.is_empty()) =>
        {
            // What asks for every row is never refused.
            row_pages::show_only(model, "").unwrap_or_default()
        }
        Context::Preview
            if model
                .rollback
                .as_ref()
                .is_some_and(|one| !one.filter.is_empty()) =>
        {
            preview::show_only(model, "")
        }
        Context::Tables if !model.tables.filter.is_empty() => {
            tables::list_only(model, "");
            Vec::new()
        }
        _ => back(model),
    }
}

/// One step back. Never leaves the program.
fn back(model: &mut Model) -> Vec<Effect> {
    if model.overlay.take().is_some() {
        return Vec::new();
    }
    if let Some(effects) = cell::close(model) {
        return effects;
    }
    match model.context() {
        Context::Event => model.timeline.opened = None,
        Context::Planning | Context::Preview | Context::Result => return rollback::cancel(model),
        context => {
            if let Some(effects) = links::go_back(model) {
                return effects;
            }
            match context {
                Context::Grid => {
                    model.tables.grid = None;
                    let mut effects = vec![Effect::Cancel(Slot::Rows)];
                    effects.extend(tables::shown(model));
                    return effects;
                }
                Context::Row | Context::Audit | Context::NoRollback => {
                    model.screen = Screen::Timeline;
                }
                _ => {}
            }
        }
    }
    Vec::new()
}

fn scroll_overlay(model: &mut Model, action: Action) {
    let (width, height) = (model.size.page_width(), model.size.content());
    let lines = match model.overlay {
        Some(Overlay::Change { .. }) => pages::change_whole(model, width).len(),
        _ => pages::failure(model, width).len(),
    };
    if let Some(Overlay::Failure { top } | Overlay::Change { top }) = &mut model.overlay {
        *top = scroll_page(*top, lines, height, action);
    }
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
