//! What a rollback does to each row, from the row itself and from as few of its events as tell it.

use std::collections::BTreeSet;

use serde_json::Value;

use super::row_change::{RowAction, RowChange};
use super::target::is_change;
use crate::eventsourcing::diff::{self, ColumnChange};
use crate::eventsourcing::error::Result;
use crate::eventsourcing::event::{Event, EventId, EventKind, Row, RowKey};
use crate::eventsourcing::history::Effective;
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::row;
use crate::eventsourcing::schema::{ColumnKind, Table, UPDATED_ON};
use crate::eventsourcing::states::{LATEST_EVENTS, RowEvents, Wanted, columns_set};
use crate::eventsourcing::store::{EventStore, RowAudit};
use crate::eventsourcing::unfit::without_unfit;
use crate::eventsourcing::value;

/// A table as a rollback meets it.
#[derive(Clone, Copy)]
pub(super) struct Meeting<'a> {
    pub(super) store: &'a dyn EventStore,
    pub(super) table: &'a Table,
    /// The log's head that the plan is for.
    pub(super) head: EventId,
    /// The ids by which the two sides may differ.
    pub(super) differing: &'a Ranges,
    /// Whether it is there and takes no part any more, so that nothing in it can be changed.
    pub(super) takes_no_part: bool,
    /// The transaction that is taken out or put back while what came after it is kept.
    pub(super) transaction: Option<(EventId, EventId)>,
}

/// What there is to say of one row.
#[derive(Default)]
pub(super) struct RowPlan {
    /// What happens to it.
    pub(super) change: Option<RowChange>,
    /// Values that it had and that have no place any more: the columns that are gone, or nothing for the row itself.
    pub(super) nowhere: Vec<Option<String>>,
    /// What the log says of the columns that get a value, as it says it.
    pub(super) logged: Vec<(String, Value)>,
    /// Values that it had and that their columns cannot hold any more.
    pub(super) unfit: Vec<(String, Value)>,
    /// Whether something would happen to it and cannot.
    pub(super) out_of_reach: bool,
    /// What would be lost because the log does not have it.
    pub(super) drift: Option<Drift>,
    /// Columns that must have a value now and would have none.
    pub(super) empty: Vec<String>,
    /// Columns that a later event has set too.
    pub(super) conflicts: Vec<Conflict>,
    /// A later event that could not have been without what is undone.
    pub(super) depending: Option<Event>,
}

/// A value that stands in a table and not in the log.
pub(super) struct Drift {
    /// The column; `None` where the log knows of no such row.
    pub(super) column: Option<String>,
    pub(super) stored: Value,
    pub(super) logged: Value,
}

/// A column that has been set by what is undone, and later again.
pub(super) struct Conflict {
    pub(super) column: String,
    /// What it is, and what it would be if what has been set since is kept, or goes too.
    pub(super) now: Value,
    pub(super) ours: Value,
    pub(super) theirs: Value,
    /// The latest event that set it.
    pub(super) by: EventId,
}

/// What happens to this row, which is read with its latest events, at most [`LATEST_EVENTS`] of them.
pub(super) async fn row_plan(
    meeting: Meeting<'_>,
    key: &RowKey,
    audit: RowAudit,
    now: &Effective,
    then: &Effective,
) -> Result<RowPlan> {
    let Meeting { store, table, .. } = meeting;
    let RowAudit { stored, events, .. } = audit;
    let is_later = events.last().is_some_and(|last| last.id > meeting.head);
    let mut life = RowEvents::new(store, table, key.clone(), events, LATEST_EVENTS);
    let earliest = meeting
        .differing
        .iter()
        .next()
        .map_or(EventId::MAX, |(first, _)| first);
    life.read_back_to(earliest).await?;
    // Changed after the plan's head: then it is another row's plan that can be carried out, and this one shows what the log says.
    let stored = match is_later {
        true => life
            .state(now, &Wanted::All)
            .await?
            .map(|row| row::in_column_order(table, row)),
        false => stored,
    };
    // The events by which the two sides differ.
    let decisive: Vec<&Event> = life
        .read()
        .iter()
        .filter(|event| {
            is_change(event.kind) && now.ids.contains(event.id) != then.ids.contains(event.id)
        })
        .collect();
    if decisive.is_empty() {
        return Ok(RowPlan::default());
    }
    let updates_only = decisive.iter().all(|event| event.kind == EventKind::Update);
    let mut set: BTreeSet<String> = decisive
        .iter()
        .flat_map(|event| {
            event
                .data
                .keys()
                .chain(event.filled.iter().flat_map(Row::keys))
        })
        .cloned()
        .collect();
    set.insert(UPDATED_ON.to_owned());
    let wanted = match (&stored, updates_only) {
        (Some(_), true) => Wanted::Columns(set),
        _ => Wanted::All,
    };
    let mut plan = RowPlan::default();
    if let Some(transaction) = meeting.transaction {
        plan.depending = depending(life.read(), now, then, transaction);
        if plan.depending.is_none() {
            plan.conflicts = conflicts(table, &mut life, now, transaction).await?;
        }
    }
    let before = life.state(now, &wanted).await?;
    let after = life.state(then, &wanted).await?;
    if before.is_none() && after.is_none() {
        return Ok(plan);
    }
    if meeting.takes_no_part {
        plan.out_of_reach = before != after;
        return Ok(plan);
    }
    let Some(after) = after else {
        if let Some(stored) = stored {
            let told = without_unfit(store, table, before, Some(&stored)).await?;
            plan.drift = unlogged(table, &stored, told.as_ref(), None);
            plan.change = Some(RowChange {
                action: RowAction::Remove,
                columns: differences(table, Some(&stored), None),
                after: None,
                born: life
                    .latest(&now.ids, |kind| kind == EventKind::Create)
                    .await?
                    .unwrap_or_default(),
                origin: None,
                key: key.clone(),
            });
        }
        return Ok(plan);
    };
    if table.key().is_none() {
        plan.nowhere.push(None);
        return Ok(plan);
    }
    let of = |state: Option<&Row>, column: &str| -> Value {
        state
            .and_then(|state| state.get(column))
            .cloned()
            .unwrap_or(Value::Null)
    };
    // Of the other columns the two states need not tell the truth.
    let is_told = |column: &str| match &wanted {
        Wanted::All => true,
        Wanted::Columns(columns) => columns.contains(column),
    };
    let gone = after.iter().filter(|(column, value)| {
        table.column(column).is_none()
            && is_told(column)
            && !value.is_null()
            && !value::same(value, &of(before.as_ref(), column))
    });
    plan.nowhere = gone.map(|(column, _)| Some(column.clone())).collect();

    let mut row = Row::new();
    for column in &table.columns {
        let logged = after.get(&column.name);
        let differs = is_told(&column.name)
            && !column.same(
                &of(before.as_ref(), &column.name),
                &of(Some(&after), &column.name),
            );
        let value = match &stored {
            // What the rollback does not concern stays, whether the log speaks of it or not.
            Some(stored) if before.is_some() && !differs => of(Some(stored), &column.name),
            _ => logged
                .cloned()
                .map(|logged| column.adapted(logged))
                .or_else(|| column.unspoken.clone())
                .unwrap_or(Value::Null),
        };
        if value.is_null() && !column.nullable && !column.generated {
            plan.empty.push(column.name.clone());
        }
        row.insert(column.name.clone(), value);
    }
    let columns = differences(table, stored.as_ref(), Some(&row));
    if columns.is_empty() {
        return Ok(plan);
    }
    plan.logged = columns
        .iter()
        .filter(|change| !change.to.is_null())
        .filter_map(|change| Some((change.column.clone(), after.get(&change.column)?.clone())))
        .collect();
    if let Some(stored) = &stored {
        let told = without_unfit(store, table, before, Some(stored)).await?;
        plan.drift = unlogged(table, stored, told.as_ref(), Some(&columns));
    }
    plan.change = Some(RowChange {
        action: match stored {
            Some(_) => RowAction::Change,
            None => RowAction::BringBack,
        },
        columns,
        after: Some(row),
        born: 0,
        origin: life.latest(&then.ids, is_change).await?,
        key: key.clone(),
    });
    Ok(plan)
}

/// Leaves out of what rows become what their columns cannot hold any more: those are NULL.
pub(super) async fn leave_unfit(
    store: &dyn EventStore,
    table: &Table,
    plans: &mut [(RowKey, RowPlan)],
) -> Result<()> {
    let mut values = Vec::new();
    let mut owners = Vec::new();
    for (place, (_, plan)) in plans.iter().enumerate() {
        values.extend(plan.logged.iter().cloned());
        owners.resize(values.len(), place);
    }
    if values.is_empty() {
        return Ok(());
    }
    for place in store.unfit(table, &values).await? {
        let (_, plan) = &mut plans[owners[place]];
        let (name, value) = std::mem::take(&mut values[place]);
        let Some(RowChange { columns, after, .. }) = &mut plan.change else {
            continue;
        };
        for column in columns.iter_mut().filter(|one| one.column == name) {
            column.to = Value::Null;
        }
        columns.retain(|column| !value::same(&column.from, &column.to));
        if let Some(row) = after {
            row.insert(name.clone(), Value::Null);
        }
        if columns.is_empty() {
            plan.change = None;
        }
        if table.column(&name).is_some_and(|column| !column.nullable) {
            plan.empty.push(name.clone());
        }
        plan.unfit.push((name, value));
    }
    Ok(())
}

/// The columns that differ; generated ones follow from the others.
fn differences(table: &Table, before: Option<&Row>, after: Option<&Row>) -> Vec<ColumnChange> {
    let of = |row: Option<&Row>, name: &str| {
        row.and_then(|row| row.get(name))
            .cloned()
            .unwrap_or(Value::Null)
    };
    table
        .columns
        .iter()
        .filter(|column| !column.generated)
        .map(|column| ColumnChange {
            column: column.name.clone(),
            from: of(before, &column.name),
            to: of(after, &column.name),
        })
        .filter(|change| !value::same(&change.from, &change.to))
        .collect()
}

/// A value of the row that would be lost, because it is to change and the log does not have it.
fn unlogged(
    table: &Table,
    stored: &Row,
    logged: Option<&Row>,
    changing: Option<&[ColumnChange]>,
) -> Option<Drift> {
    let Some(logged) = logged else {
        return Some(Drift {
            column: None,
            stored: stored.clone().into(),
            logged: Value::Null,
        });
    };
    let concerned = |column: &str| {
        changing.is_none_or(|changing| changing.iter().any(|one| one.column == column))
    };
    let mut differing = diff::drift(table, logged, stored).into_iter();
    let first = differing.find(|change| concerned(&change.column))?;
    Some(Drift {
        column: Some(first.column),
        stored: first.to,
        logged: first.from,
    })
}

/// The first event after the transaction that could not be, on the other side of it: an update or a delete of a row that is not
/// there then, or a create of one that is.
fn depending(
    events: &[Event],
    now: &Effective,
    then: &Effective,
    (first, last): (EventId, EventId),
) -> Option<Event> {
    let counts = |event: &Event| now.ids.contains(event.id) || then.ids.contains(event.id);
    let own = events.iter().find(|event| {
        (first..=last).contains(&event.id) && is_change(event.kind) && counts(event)
    })?;
    let (mut there_now, mut there_then) =
        (own.kind != EventKind::Create, own.kind != EventKind::Create);
    for event in events
        .iter()
        .filter(|event| event.id >= first && is_change(event.kind))
    {
        let (counts_now, counts_then) = (now.ids.contains(event.id), then.ids.contains(event.id));
        if event.id > last
            && counts_then
            && there_then == (event.kind == EventKind::Create)
            && there_now != there_then
        {
            return Some(event.clone());
        }
        let lives = event.kind != EventKind::Delete;
        if counts_now {
            there_now = lives;
        }
        if counts_then {
            there_then = lives;
        }
    }
    None
}

/// The columns that the transaction changed and that a later event has set too, where it matters which of the two holds.
async fn conflicts(
    table: &Table,
    life: &mut RowEvents<'_>,
    now: &Effective,
    (first, last): (EventId, EventId),
) -> Result<Vec<Conflict>> {
    let counts = |event: &&Event| is_change(event.kind) && now.ids.contains(event.id);
    let later: Vec<&Event> = life
        .read()
        .iter()
        .filter(|event| event.id > last)
        .filter(counts)
        .collect();
    // What a row was before it was created or deleted once more does not matter.
    if later.is_empty() || later.iter().any(|event| event.kind != EventKind::Update) {
        return Ok(Vec::new());
    }
    // None where it is put back: then what has been set since stays.
    let own = life.read().iter();
    let own: Vec<&Event> = own
        .filter(|event| (first..=last).contains(&event.id))
        .filter(counts)
        .collect();
    let columns: BTreeSet<&str> = own.iter().flat_map(|event| columns_set(event)).collect();
    // With the latest event that set it, and whether other keys of a JSON column are all that was set since.
    let mut found: Vec<(String, EventId, bool)> = Vec::new();
    for column in columns {
        let sets = |event: &&&Event| columns_set(event).any(|one| one == column);
        if let Some(by) = later.iter().rev().find(sets) {
            let own = keys_set(table, own.iter().filter(sets), column);
            let since = keys_set(table, later.iter().filter(sets), column);
            let apart = own.zip(since);
            let apart = apart.is_some_and(|(own, since)| own.is_disjoint(&since));
            found.push((column.to_owned(), by.id, apart));
        }
    }
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let wanted = Wanted::Columns(found.iter().map(|(column, ..)| column.clone()).collect());
    let without = |from, to| Effective {
        ids: now.ids.minus(&Ranges::of(from, to)),
        ..now.clone()
    };
    let stands = life.state(now, &wanted).await?.unwrap_or_default();
    let ours = life.state(&without(first, last), &wanted).await?;
    let earlier = life
        .state(&without(first, EventId::MAX - 1), &wanted)
        .await?;
    let right_after = without(last + 1, EventId::MAX - 1);
    let right_after = life.state(&right_after, &wanted).await?;
    let of = |row: Option<&Row>, column: &str| {
        row.and_then(|row| row.get(column))
            .cloned()
            .unwrap_or(Value::Null)
    };
    let mut conflicts = Vec::new();
    for (column, by, apart) in found {
        let conflict = Conflict {
            now: of(Some(&stands), &column),
            ours: of(ours.as_ref(), &column),
            theirs: of(earlier.as_ref(), &column),
            column,
            by,
        };
        let changed = of(right_after.as_ref(), &conflict.column);
        let had_keys = conflict.theirs.is_object() || conflict.theirs.is_null();
        let matters = !value::same(&conflict.now, &conflict.theirs);
        let did_something = !value::same(&changed, &conflict.theirs);
        if matters && did_something && !(apart && had_keys) {
            conflicts.push(conflict);
        }
    }
    Ok(conflicts)
}

/// The keys of a JSON column that these events set in it; `None` where one of them sets the column as a whole.
fn keys_set<'a>(
    table: &Table,
    events: impl Iterator<Item = &'a &'a Event>,
    column: &str,
) -> Option<BTreeSet<&'a str>> {
    let is_json = table
        .column(column)
        .is_none_or(|column| column.kind == ColumnKind::Json);
    let mut keys = BTreeSet::new();
    for event in events {
        let is_filled = |filled: &Row| filled.contains_key(column);
        let given = event.data.get(column).and_then(Value::as_object);
        let given = given.filter(|_| is_json && event.kind == EventKind::Update);
        let given = given.filter(|_| !event.filled.as_ref().is_some_and(is_filled))?;
        keys.extend(given.keys().map(String::as_str));
    }
    Some(keys)
}
