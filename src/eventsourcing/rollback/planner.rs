//! From a target to a plan. One code for both stores: the store hands over the events that matter.

use std::collections::{BTreeMap, HashMap};

use super::{
    Blocker, Purpose, RollbackPlan, RollbackRequest, RollbackTarget, RowAction, RowChange,
    Strategy, TableCounts,
};
use crate::eventsourcing::diff;
use crate::eventsourcing::error::{Error, ErrorCode, Result};
use crate::eventsourcing::event::{Event, EventId, EventKind, Row, RowKey};
use crate::eventsourcing::history::{History, Ranges};
use crate::eventsourcing::row;
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{EventStore, OutsideReference};
use crate::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
use crate::eventsourcing::timestamp::Timestamp;

/// Rows whose events are fetched at once: enough to make the round trip cheap, few enough to keep the
/// memory small when each has many events.
const ROWS_AT_ONCE: usize = 500;

/// Plans a rollback. Writes nothing.
///
/// # Errors
/// `UnknownEvent` when the target names an event that is not in the log, and the store's.
pub async fn plan(store: &dyn EventStore, request: RollbackRequest) -> Result<RollbackPlan> {
    let head = store.head().await?;
    let history = store.history(head).await?;
    plan_for(store, head, &history, request, Purpose::Rollback).await
}

/// Plans the undo of the latest rollback in effect that is neither an undo nor a redo.
///
/// # Errors
/// `NothingToUndo` when no such rollback is in effect, and the store's.
pub async fn plan_undo(store: &dyn EventStore, reason: Option<String>) -> Result<RollbackPlan> {
    let head = store.head().await?;
    let history = store.history(head).await?;
    let Some(rollback) = history.latest_to_undo(head) else {
        return Err(Error::new(
            ErrorCode::NothingToUndo,
            "no rollback is in effect, so there is nothing to undo",
        )
        .hint("the timeline shows each rollback and whether it is undone"));
    };
    let purpose = Purpose::Undo(rollback.id);
    plan_for(
        store,
        head,
        &history,
        take_back(rollback.id, reason),
        purpose,
    )
    .await
}

/// Plans the redo of the latest undo in effect.
///
/// # Errors
/// `NothingToUndo` when no undo is in effect, and the store's.
pub async fn plan_redo(store: &dyn EventStore, reason: Option<String>) -> Result<RollbackPlan> {
    let head = store.head().await?;
    let history = store.history(head).await?;
    let Some(undo) = history.latest_to_redo(head) else {
        return Err(Error::new(
            ErrorCode::NothingToUndo,
            "no undo is in effect, so there is nothing to redo",
        ));
    };
    let purpose = Purpose::Redo(undo.id);
    plan_for(store, head, &history, take_back(undo.id, reason), purpose).await
}

/// Undo and redo are the same thing: rolling back to before a rollback.
fn take_back(rollback: EventId, reason: Option<String>) -> RollbackRequest {
    RollbackRequest {
        target: RollbackTarget::BeforeEvent(rollback),
        strategy: Strategy::Minimal,
        reason,
    }
}

async fn plan_for(
    store: &dyn EventStore,
    head: EventId,
    history: &History,
    request: RollbackRequest,
    purpose: Purpose,
) -> Result<RollbackPlan> {
    let (keeps_through, before) = resolve(store, head, request.target).await?;
    let now = history.effective_at(head);
    let then = history.effective_at(keeps_through);
    let (undone, reinstated) = (now.minus(&then), then.minus(&now));

    let living = store.count_living(&now).await?;
    let repeated = store.count_changes(&then).await?.total();
    let tables: HashMap<String, Table> = store
        .tables()
        .await?
        .into_iter()
        .map(|table| (table.name.clone(), table))
        .collect();
    let changes = changes(
        store,
        &tables,
        head,
        keeps_through,
        history,
        &undone.union(&reinstated),
    )
    .await?;
    let later_events = match purpose {
        Purpose::Rollback => 0,
        Purpose::Undo(id) | Purpose::Redo(id) => {
            let later = now.minus(&Ranges::of(1, id));
            store.count_changes(&later).await?.total()
        }
    };
    let markers = if before.is_some() { 2 } else { 0 };
    Ok(RollbackPlan {
        purpose,
        keeps_through,
        before,
        head,
        events_undone: store.count_changes(&undone).await?.total(),
        events_reinstated: store.count_changes(&reinstated).await?.total(),
        later_events,
        appends_minimal: markers + changes.len() as u64,
        appends_replay: match before {
            Some(_) => markers + living + repeated,
            None => 0,
        },
        tables: counts(&changes),
        blockers: blockers(store, &tables, &changes).await?,
        changes,
        request,
    })
}

/// The position that a target keeps through, and the moment that the rollback's marker will name.
/// A run of equal timestamps is never split.
async fn resolve(
    store: &dyn EventStore,
    head: EventId,
    target: RollbackTarget,
) -> Result<(EventId, Option<Timestamp>)> {
    let keeps_through = match target {
        RollbackTarget::Before(moment) => store.position_before(moment).await?,
        RollbackTarget::BeforeEvent(id) => {
            store
                .position_before(event(store, head, id).await?.timestamp)
                .await?
        }
        RollbackTarget::AfterEvent(id) => {
            store
                .position_through(event(store, head, id).await?.timestamp)
                .await?
        }
    }
    // Events that arrived after the head was read are no part of this plan.
    .min(head);
    if keeps_through == head {
        return Ok((keeps_through, None));
    }
    let before = match target {
        RollbackTarget::Before(moment) => moment,
        RollbackTarget::BeforeEvent(_) | RollbackTarget::AfterEvent(_) => {
            next(store, keeps_through).await?.timestamp
        }
    };
    Ok((keeps_through, Some(before)))
}

/// The event after this position, which is not the last one. Not always the next id: those of a log that another
/// program wrote may have gaps.
async fn next(store: &dyn EventStore, position: EventId) -> Result<Event> {
    let request = PageRequest {
        filter: Filter::default(),
        from: Some(position),
        direction: Direction::Newer,
        limit: 1,
        detail: Detail::Summary,
    };
    let found = store.page(&request).await?.entries.pop();
    found.map(|entry| entry.event).ok_or_else(|| {
        Error::new(
            ErrorCode::Database,
            format!("the log ends at #{position}, where it went on a moment ago"),
        )
    })
}

async fn event(store: &dyn EventStore, head: EventId, id: EventId) -> Result<Event> {
    let found = match id {
        1.. if id <= head => store.event(id).await?,
        _ => None,
    };
    found.ok_or_else(|| {
        Error::new(
            ErrorCode::UnknownEvent,
            format!("there is no event #{id} in the log"),
        )
        .hint(match head {
            0 => "the log is empty".to_owned(),
            _ => format!("its events are #1 to #{head}"),
        })
    })
}

/// Every row whose state at the head differs from its state at the target.
async fn changes(
    store: &dyn EventStore,
    tables: &HashMap<String, Table>,
    head: EventId,
    keeps_through: EventId,
    history: &History,
    differing: &Ranges,
) -> Result<Vec<RowChange>> {
    let (now, then) = (
        history.effective_at(head),
        history.effective_at(keeps_through),
    );
    let touched = store.rows_touched(differing).await?;
    let mut changes = Vec::new();
    for keys in touched.chunks(ROWS_AT_ONCE) {
        let mut events: HashMap<RowKey, Vec<Event>> = HashMap::new();
        for event in store.events_of(keys, head).await? {
            if let Some(key) = event.row.clone() {
                events.entry(key).or_default().push(event);
            }
        }
        for (key, events) in events {
            let gone;
            let table = match tables.get(&key.table) {
                Some(table) => table,
                None => {
                    gone = Table::gone(&key.table);
                    &gone
                }
            };
            changes.extend(row_change(table, key, &events, &now, &then));
        }
    }
    // The order of the log's bookkeeping: what goes, newest first; then what is restored, oldest first.
    changes.sort_by_key(|change| match change.action {
        RowAction::Remove => (0, -change.born),
        RowAction::BringBack | RowAction::Change => (1, change.origin.unwrap_or_default()),
    });
    Ok(changes)
}

fn row_change(
    table: &Table,
    key: RowKey,
    events: &[Event],
    now: &Ranges,
    then: &Ranges,
) -> Option<RowChange> {
    let state = |at: &Ranges| -> Option<Row> {
        row::fold(table, events.iter().filter(|event| at.contains(event.id)))
    };
    let (before, after) = (state(now), state(then));
    let action = match (&before, &after) {
        (None, None) => return None,
        (Some(_), None) => RowAction::Remove,
        (None, Some(_)) => RowAction::BringBack,
        (Some(_), Some(_)) => RowAction::Change,
    };
    let columns = diff::columns(table, before.as_ref(), after.as_ref());
    if columns.is_empty() {
        return None;
    }
    let latest = |at: &Ranges, wanted: fn(EventKind) -> bool| {
        let found = |event: &&Event| wanted(event.kind) && at.contains(event.id);
        events.iter().rev().find(found).map(|event| event.id)
    };
    Some(RowChange {
        born: latest(now, |kind| kind == EventKind::Create).unwrap_or_default(),
        origin: after.as_ref().and_then(|_| latest(then, |_| true)),
        after: after.map(|row| row::in_column_order(table, row)),
        key,
        action,
        columns,
    })
}

fn counts(changes: &[RowChange]) -> Vec<TableCounts> {
    let mut tables: BTreeMap<&str, TableCounts> = BTreeMap::new();
    for change in changes {
        let name = change.key.table.as_str();
        let counts = tables.entry(name).or_insert_with(|| TableCounts {
            table: name.to_owned(),
            removed: 0,
            brought_back: 0,
            changed: 0,
        });
        match change.action {
            RowAction::Remove => counts.removed += 1,
            RowAction::BringBack => counts.brought_back += 1,
            RowAction::Change => counts.changed += 1,
        }
    }
    tables.into_values().collect()
}

/// What truly cannot be done, named before anything is written.
async fn blockers(
    store: &dyn EventStore,
    tables: &HashMap<String, Table>,
    changes: &[RowChange],
) -> Result<Vec<Blocker>> {
    let mut blockers = Vec::new();
    if let Some(first) = changes.first()
        && let Some(message) = store.missing_right().await?
    {
        blockers.push(Blocker {
            kind: "missing-right",
            message,
            row: first.key.clone(),
        });
    }
    for change in changes {
        let Some(table) = tables
            .get(&change.key.table)
            .filter(|table| table.key().is_some())
        else {
            let why = match tables.get(&change.key.table) {
                Some(_) => "takes no part any more",
                None => "is gone",
            };
            blockers.push(Blocker {
                kind: "table-gone",
                message: format!(
                    "the table {} {why}, so its rows cannot be taken back",
                    change.key.table
                ),
                row: change.key.clone(),
            });
            continue;
        };
        let Some(after) = &change.after else { continue };
        for (column, value) in after {
            if table.column(column).is_none() && !value.is_null() {
                blockers.push(Blocker {
                    kind: "column-gone",
                    message: format!(
                        "{} had a value in the column {column}, which the table no longer has",
                        change.key
                    ),
                    row: change.key.clone(),
                });
            }
        }
        for column in &table.columns {
            let value = after.get(&column.name).filter(|value| !value.is_null());
            if value.is_none() && !column.nullable && !column.generated {
                blockers.push(Blocker {
                    kind: "missing-value",
                    message: format!(
                        "{} had no value in the column {}, which must have one now",
                        change.key, column.name
                    ),
                    row: change.key.clone(),
                });
            }
        }
    }
    let removed: Vec<RowKey> = changes
        .iter()
        .filter(|change| change.action == RowAction::Remove)
        .map(|change| change.key.clone())
        .collect();
    for reference in store.outside_references(&removed).await? {
        let OutsideReference {
            table,
            column,
            to,
            unseen,
        } = reference;
        blockers.push(Blocker {
            kind: "outside-reference",
            message: match unseen {
                None => format!(
                    "{to} would go, but a row of {table}, which takes no part, points at it ({column})"
                ),
                Some(why) => format!(
                    "{to} would go, but {table}, which takes no part, may point at it ({column}), and cannot be looked at: {why}"
                ),
            },
            row: to,
        });
    }
    Ok(blockers)
}
