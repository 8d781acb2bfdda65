//! One row, and its life.

use serde_json::Value;

use super::super::effect::{Effect, RequestId};
use super::super::keymap::Action;
use super::super::model::{Asked, Item, LifeRead, Model, NamedBy, Notice, RowScreen, Screen};
use super::super::pages;
use super::{cell, links, moved, rollback, told};
use crate::eventsourcing::history::Standing;
use crate::eventsourcing::inspect::{LifeEvent, RowInspection};
use crate::eventsourcing::schema::ColumnKind;
use crate::eventsourcing::{EventId, Result, RowKey};

/// Events of a row that are read at once.
const LIFE_PAGE: usize = 50;

/// Events that are read at once where all are wanted.
const LONG_LIFE_PAGE: usize = 2000;

/// Reads the row, and the latest events of its life, so many that the one under the cursor is among them: it stays there, whatever stands above it then.
pub(super) fn read(model: &mut Model) -> Vec<Effect> {
    let item = selected(model);
    let Some(row) = &mut model.row else {
        return Vec::new();
    };
    let mut asked = LIFE_PAGE;
    row.to_first = false;
    if let Some(Item::Event(at)) = item {
        // All at once they would take the memory that is not held for them.
        asked = (asked + at).min(LONG_LIFE_PAGE);
        row.is_sought |= row.to_event.is_none();
        row.to_event = row.to_event.or(row.life.id(at));
    }
    // Those that come replace what is there.
    row.life_from = None;
    ask(model, asked, LifeRead::Older)
}

/// Reads the row anew at the position that is shown, and what has come in its life: of a long one the rest stays, and what is in sight of it is read again.
pub(super) fn renew(model: &mut Model) -> Vec<Effect> {
    let is_long = |row: &RowScreen| row.life.len() > LONG_LIFE_PAGE && !row.to_first;
    match model.row.as_ref().is_some_and(is_long) {
        true => ask(model, LIFE_PAGE, LifeRead::Latest),
        false => read(model),
    }
}

/// Asks for the row, and for so many of the latest events of its life.
fn ask(model: &mut Model, asked: usize, read_as: LifeRead) -> Vec<Effect> {
    let (request, at) = (model.next_request(), model.at());
    let before = at.map_or(EventId::MAX, |at| at + 1);
    let life = ask_life(model, (before, asked), read_as);
    let Some(row) = &mut model.row else {
        return Vec::new();
    };
    row.wanted = Some(request);
    let row = Effect::Row(request, row.key.clone(), at);
    std::iter::once(row).chain(life).collect()
}

/// Asks for so many events of the row's life before this one.
fn ask_life(
    model: &mut Model,
    (before, asked): (EventId, usize),
    read_as: LifeRead,
) -> Option<Effect> {
    let request = model.next_request();
    let row = model.row.as_mut()?;
    (row.life_wanted, row.life_asked, row.life_read) = (Some(request), asked, read_as);
    Some(Effect::Life(request, row.key.clone(), before, asked))
}

fn renewed(model: &mut Model, events: &[LifeEvent]) -> Vec<Effect> {
    let is_event = matches!(selected(model), Some(Item::Event(_)));
    let come = model.row.as_mut().and_then(|row| row.life.renew(events));
    let Some((come, lines)) = come else {
        return read(model);
    };
    // The event under the cursor stays there, and in its line.
    if let Some(row) = model.row.as_mut().filter(|_| is_event) {
        row.cursor += come;
        row.top += lines;
    }
    let mut effects = settle(model);
    let first = pages::life_in_sight(model).start;
    let row = model.row.as_ref().filter(|row| row.life_wanted.is_none());
    if let Some(around) = row.and_then(|row| row.life.around(first)) {
        effects.extend(ask_life(model, around, LifeRead::Again));
    }
    effects
}

pub(super) fn inspected(
    model: &mut Model,
    request: RequestId,
    result: Result<RowInspection>,
) -> Vec<Effect> {
    if model.row.as_ref().and_then(|row| row.wanted) != Some(request) {
        return Vec::new();
    }
    let found = told(model, result);
    if let Some(found) = found.as_ref().filter(|_| model.screen == Screen::Row) {
        let is_past = model.position.is_some();
        cell::compare(model, to_compare(found, is_past));
    }
    if let Some(row) = &mut model.row {
        row.wanted = None;
        row.inspection = found.or(row.inspection.take());
    }
    let mut effects = settle(model);
    effects.extend(count_naming(model));
    effects
}

/// Changes what stands on the page; the cursor stays on its item, and that in its line.
pub(super) fn keep_item(model: &mut Model, change: impl FnOnce(&mut Model)) {
    let cursor = model.row.as_ref().map_or(0, |row| row.cursor);
    let item = selected(model);
    let line = pages::row_item_lines(model, cursor).start;
    change(model);
    let Some(place) = item.and_then(|item| pages::row_item_place(model, &item)) else {
        return;
    };
    let now = pages::row_item_lines(model, place).start;
    if let Some(row) = &mut model.row {
        row.cursor = place;
        row.top = (row.top + now).saturating_sub(line);
    }
    pages::keep_item_in_sight(model);
}

/// Counts the rows that name this one, as they are now: of the past that takes a look at every row of their tables.
pub(super) fn count_naming(model: &mut Model) -> Option<Effect> {
    let request = model.next_request();
    let is_past = model.position.is_some();
    let row = model.row.as_mut()?;
    row.named_by.clear();
    row.named_by_wanted = None;
    if is_past {
        return None;
    }
    let naming = model.tables.naming(&row.key.table);
    // A reference of another kind than a uuid is looked for by the reader, if at all.
    let uuids = naming.filter(|(_, column)| column.kind == ColumnKind::Uuid);
    let naming: Vec<_> = uuids
        .map(|(table, column)| (table.clone(), column.name.clone()))
        .collect();
    if naming.is_empty() {
        return None;
    }
    row.named_by_wanted = Some(request);
    Some(Effect::NamedBy(request, row.key.clone(), naming))
}

pub(super) fn naming_counted(
    model: &mut Model,
    request: RequestId,
    by: (String, String),
    result: Result<Option<NamedBy>>,
) -> Vec<Effect> {
    if model.row.as_ref().and_then(|row| row.named_by_wanted) != Some(request) {
        return Vec::new();
    }
    let counted = told(model, result);
    if let (Some(counted), Some(row)) = (counted, &mut model.row) {
        row.named_by.insert(by, counted);
    }
    Vec::new()
}

pub(super) fn life_read(
    model: &mut Model,
    request: RequestId,
    result: Result<Vec<LifeEvent>>,
) -> Vec<Effect> {
    if model.row.as_ref().and_then(|row| row.life_wanted) != Some(request) {
        return Vec::new();
    }
    let found = told(model, result);
    if let Some(row) = &mut model.row {
        row.life_wanted = None;
        let read_as = std::mem::take(&mut row.life_read);
        if let Some(events) = found {
            match read_as {
                LifeRead::Older => {}
                // Where they are others by now, all are read anew.
                LifeRead::Again => {
                    return match row.life.hold(events) {
                        true => settle(model),
                        false => read(model),
                    };
                }
                LifeRead::Latest => return renewed(model, &events),
            }
            let is_all = events.len() < row.life_asked;
            if row.life_from.is_none() {
                row.life.clear();
            }
            row.life.extend(events);
            let last = row.life.len().checked_sub(1);
            let last = last.and_then(|at| row.life.id(at));
            row.life_from = last.filter(|_| !is_all);
        }
    }
    settle(model)
}

/// What the cursor is on.
fn selected(model: &Model) -> Option<Item> {
    pages::row_item(model, model.row.as_ref()?.cursor)
}

/// Reads on where the life that has been read ends soon, or what is in sight of it was let go of, and keeps the cursor in sight.
pub(super) fn settle(model: &mut Model) -> Vec<Effect> {
    let items = pages::row_items(model);
    let Some(row) = &mut model.row else {
        return Vec::new();
    };
    if row.inspection.is_some()
        && row.life_wanted.is_none()
        && !row.is_beyond()
        && let Some(wanted) = row.to_event.take()
    {
        row.is_sought = false;
        let at = row.life.place_of(wanted).unwrap_or_default();
        // Its events are the last things on the page.
        if at < row.life.len() {
            row.cursor = items - row.life.len() + at;
        }
    }
    row.cursor = row.cursor.min(items.saturating_sub(1));
    if row.to_first && row.life_from.is_none() && row.life_wanted.is_none() {
        row.to_first = false;
        row.cursor = items.saturating_sub(1);
    }
    row.is_at_edge = row.life_from.is_some() && row.cursor + 1 >= items;
    pages::keep_item_in_sight(model);
    read_on(model).into_iter().collect()
}

fn read_on(model: &mut Model) -> Option<Effect> {
    let items = pages::row_items(model);
    let missing = pages::life_missing(model);
    let row = model.row.as_ref().filter(|row| row.life_wanted.is_none())?;
    let goes_far = row.to_first || row.is_beyond();
    let is_near_end = goes_far || row.cursor + 2 * LIFE_PAGE / 3 > items;
    match (row.life_from.filter(|_| is_near_end), missing) {
        (Some(before), _) if goes_far => ask_life(model, (before, LONG_LIFE_PAGE), LifeRead::Older),
        (Some(before), None) => ask_life(model, (before, LIFE_PAGE), LifeRead::Older),
        (_, Some(at)) => {
            let around = row.life.around(at)?;
            ask_life(model, around, LifeRead::Again)
        }
        (None, None) => None,
    }
}

pub(super) fn act(model: &mut Model, action: Action) -> Vec<Effect> {
    let items = pages::row_items(model);
    let item = selected(model);
    let height = model.size.content();
    let within = pages::scrolled_within_item(model, action);
    if model.row.is_none() {
        model.notice = Some(Notice::Info(pages::no_row(model)));
    }
    let Some(row) = &mut model.row else {
        return Vec::new();
    };
    let event = match &item {
        Some(Item::Event(at)) => row.life.get(*at),
        _ => None,
    };
    let chosen = event.map(|one| (one.event.id, one.event.timestamp));
    match (action, item, chosen) {
        (Action::Open, _, Some((id, _))) => return links::to_event(model, id),
        (Action::Open, Some(item), _) => return open(model, &item),
        (Action::TimeTravel, _, Some((_, moment))) => return links::ask_to_travel(model, moment),
        (Action::RollBack | Action::Revert, _, Some((event, moment))) => {
            let key = row.key.clone();
            let keep = rollback::keeps(model, moment);
            let asked = match action {
                Action::Revert => Asked::Revert { event },
                _ => Asked::To { event, keep },
            };
            return rollback::begin_with_row(model, asked, key);
        }
        (Action::GoToOrigin, _, Some(_)) => {
            let linked = event.and_then(linked_event);
            match linked {
                Some(id) => return links::to_event(model, id),
                None => {
                    let text = "This event repeats and restores none, and none has undone it.";
                    model.notice = Some(Notice::Info(text.to_owned()));
                }
            }
        }
        (Action::TimeTravel | Action::RollBack | Action::Revert | Action::GoToOrigin, _, None) => {
            let text = match row.life.is_empty() && row.life_wanted.is_none() {
                true => "The log has no event of this row, so there is none to choose.",
                false => "Choose one of the row's events first: they stand below its columns.",
            };
            model.notice = Some(Notice::Info(text.to_owned()));
        }
        _ => {
            (row.to_event, row.is_sought) = (None, false);
            row.to_first = action == Action::Last && row.life_from.is_some();
            match within {
                Some(top) => row.top = top,
                None => row.cursor = moved(action, row.cursor, items, height),
            }
        }
    }
    settle(model)
}

fn linked_event(one: &LifeEvent) -> Option<EventId> {
    let by = match one.standing {
        Standing::UndoneBy(rollback) | Standing::BookkeepingOf(rollback) => Some(rollback),
        Standing::Effective => None,
    };
    one.event.origin.or(by)
}

fn open(model: &mut Model, item: &Item) -> Vec<Effect> {
    match item {
        Item::Column(name) => open_column(model, name),
        Item::Naming { table, column } => {
            let Some(table) = model.tables.table(table).cloned() else {
                return Vec::new();
            };
            let uuid = model.row.as_ref().map(|row| row.key.uuid);
            let condition = uuid.map(|uuid| format!("{column}={uuid}"));
            links::to_rows(model, table, &condition.unwrap_or_default())
        }
        Item::Event(_) => Vec::new(),
    }
}

fn open_column(model: &mut Model, name: &str) -> Vec<Effect> {
    let Some(RowScreen {
        inspection: Some(inspection),
        ..
    }) = &model.row
    else {
        return Vec::new();
    };
    let Some(read) = to_compare(inspection, model.position.is_some()) else {
        return Vec::new();
    };
    let column = inspection.table.column(name);
    let value = read.row.get(name);
    if let Some(to) = column.and_then(|column| column.references.as_ref())
        && let Some(Ok(uuid)) = value.and_then(Value::as_str).map(str::parse)
    {
        let key = RowKey {
            table: to.table.clone(),
            uuid,
        };
        return links::to_row(model, key, None);
    }
    let opened = read.cell(name);
    cell::open(model, opened);
    Vec::new()
}

/// A row as its page has it, for one of its values.
fn to_compare(inspection: &RowInspection, is_past: bool) -> Option<cell::Read<'_>> {
    Some(cell::Read {
        is_past,
        table: &inspection.table,
        row: inspection.row.as_ref()?,
        names: &inspection.names,
        now: inspection.now.as_ref(),
    })
}
