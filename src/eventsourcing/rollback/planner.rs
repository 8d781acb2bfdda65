//! From a target to a plan. One code for both stores: the store hands over the events that matter.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use futures_util::stream::{self, StreamExt, TryStreamExt};
use uuid::Uuid;

use super::blockers::{self, Blocker, Obstacles};
use super::changes::{Changes, Collecting};
use super::counting::{Share, as_rollback, count_replay, shares};
use super::later;
use super::row_plan::{Meeting, leave_unfit, row_plan};
use super::target::{self, Resolved};
use super::{
    Named, Purpose, RollbackPlan, RollbackRequest, RollbackTarget, RowAction, Strategy,
    TableCounts, words,
};
use crate::eventsourcing::error::{Error, ErrorCode, Result};
use crate::eventsourcing::event::{EventId, RowKey};
use crate::eventsourcing::history::{Course, EffectiveRows, History, Rollback};
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::states::LATEST_EVENTS;
use crate::eventsourcing::store::{Backend, EventStore, RowAudit};

/// Rows that are read with their events at once: enough to make the round trip cheap, few enough to keep the
/// memory small when each has many events.
const ROWS_AT_ONCE: usize = 500;

/// Of such lots, how many are read at the same time: a server looks for the rows of one lot while those of another are folded. SQLite looks for them in
/// this process, where two readers only take turns.
fn lots_at_once(backend: Backend) -> usize {
    match backend {
        Backend::Sqlite => 1,
        Backend::Postgres => 2,
    }
}

/// Plans a rollback. Writes nothing.
///
/// # Errors
/// `UnknownEvent` when the target names an event that is not in the log, `UnknownTable` and `RowMissing` when the scope names nothing,
/// `NothingToUndo` when an event is to be reverted that does not count any more, `Usage` when a part of the database is to be taken back by
/// `replay`, and the store's.
pub async fn plan(store: &dyn EventStore, request: RollbackRequest) -> Result<RollbackPlan> {
    let is_part =
        request.scope != Scope::Whole || matches!(request.target, RollbackTarget::Without(_));
    if is_part && request.strategy == Strategy::Replay {
        return Err(Error::new(
            ErrorCode::Usage,
            "replay takes back the whole database: a part of it can only be taken back by minimal",
        ));
    }
    target::check_scope(store, &request.scope).await?;
    plan_asked(store, Asked::For(request)).await
}

/// Plans the undo of the latest rollback in effect that is neither an undo nor a redo. It may leave values in the log alone if that
/// rollback could, or if it is allowed here.
///
/// # Errors
/// `NothingToUndo` when no such rollback is in effect, and the store's.
pub async fn plan_undo(
    store: &dyn EventStore,
    reason: Option<String>,
    allow_loss: bool,
) -> Result<RollbackPlan> {
    plan_asked(store, Asked::Undo(reason, allow_loss)).await
}

/// Plans the redo of the latest undo in effect.
///
/// # Errors
/// `NothingToUndo` when no undo is in effect, and the store's.
pub async fn plan_redo(
    store: &dyn EventStore,
    reason: Option<String>,
    allow_loss: bool,
) -> Result<RollbackPlan> {
    plan_asked(store, Asked::Redo(reason, allow_loss)).await
}

/// What is to be planned; the last two with a reason, and whether values may be left in the log alone.
enum Asked {
    For(RollbackRequest),
    Undo(Option<String>, bool),
    Redo(Option<String>, bool),
}

async fn plan_asked(store: &dyn EventStore, asked: Asked) -> Result<RollbackPlan> {
    let head = store.head().await?;
    let history = store.history(head).await?;
    let nothing = |message| Error::new(ErrorCode::NothingToUndo, message);
    let (rollback, reason, allow_loss) = match asked {
        Asked::For(request) => {
            let resolved = target::resolve(store, head, &history, &request).await?;
            let planner = Planner {
                store,
                head,
                history,
                purpose: Purpose::Rollback,
            };
            return planner.plan(resolved, request).await;
        }
        Asked::Undo(reason, allow_loss) => match history.latest_to_undo(head) {
            Some(rollback) => (rollback.clone(), reason, allow_loss),
            None => {
                return Err(
                    nothing("there is nothing to undo: every rollback, if there was one, has been undone already")
                        .hint("the timeline shows each rollback and whether it is undone"),
                );
            }
        },
        Asked::Redo(reason, allow_loss) => match history.latest_to_redo(head) {
            Some(undo) => (undo.clone(), reason, allow_loss),
            None => return Err(nothing("no undo is in effect, so there is nothing to redo")),
        },
    };
    let planner = Planner {
        store,
        head,
        history,
        purpose: match rollback.undoes {
            Some(_) => Purpose::Redo(rollback.id),
            None => Purpose::Undo(rollback.id),
        },
    };
    let allow_loss = allow_loss || rollback.allow_loss;
    planner.take_back(&rollback, reason, allow_loss).await
}

struct Planner<'a> {
    store: &'a dyn EventStore,
    head: EventId,
    history: History,
    purpose: Purpose,
}

impl Planner<'_> {
    /// Undo and redo are the same thing: rolling back to before a rollback, of the rows that it took back; or where it kept what came
    /// later, taking the rollback itself out.
    async fn take_back(
        self,
        rollback: &Rollback,
        reason: Option<String>,
        allow_loss: bool,
    ) -> Result<RollbackPlan> {
        let request = RollbackRequest {
            scope: rollback.scope.clone(),
            reason,
            allow_loss,
            ..RollbackRequest::to(RollbackTarget::BeforeEvent(rollback.id))
        };
        let resolved = match rollback.course {
            Course::Back(_) => {
                target::resolve(self.store, self.head, &self.history, &request).await?
            }
            Course::Without { .. } | Course::WithoutRollback(_) => Resolved {
                course: Course::WithoutRollback(rollback.id),
                keeps_through: self.head,
                before: Some(rollback.timestamp),
            },
        };
        self.plan(resolved, request).await
    }

    async fn plan(self, resolved: Resolved, request: RollbackRequest) -> Result<RollbackPlan> {
        let Self {
            store,
            head,
            history,
            purpose,
        } = self;
        let Resolved {
            course,
            keeps_through,
            mut before,
        } = resolved;
        let planned = history.with(as_rollback(head, course.clone(), request.scope.clone()));
        let (mut now, mut then) = (
            EffectiveRows::at(&planned, head),
            EffectiveRows::at(&planned, head + 1),
        );
        let listed = store.tables().await?;
        let tables: HashMap<&str, &Table> = listed
            .iter()
            .map(|table| (table.name.as_str(), table))
            .collect();

        // The kinds of rows that have an E of their own in what is undone.
        let transaction = planned
            .rollbacks()
            .last()
            .and_then(|last| planned.transaction_of(last));
        let mut scopes = match transaction {
            Some(_) => planned.scopes_since(0),
            None => planned.scopes_since(keeps_through),
        };
        scopes.retain(|scope| scope.is_within(&request.scope));
        if !scopes.contains(&request.scope) {
            scopes.insert(0, request.scope.clone());
        }
        let later_than = match purpose {
            Purpose::Undo(id) | Purpose::Redo(id) if transaction.is_none() => Some(id),
            _ => None,
        };
        let (mut events_undone, mut events_reinstated, mut later_events) = (0, 0, 0);
        let mut shares_undone = Vec::new();
        let (mut differing, mut since) = (Ranges::default(), Ranges::default());
        for (scope, by) in shares(&mut scopes) {
            let (now, then) = (
                now.of_scope(&by).ids.clone(),
                then.of_scope(&by).ids.clone(),
            );
            let (undone, reinstated) = (now.minus(&then), then.minus(&now));
            let mut counts = [
                store.count_changes(&undone, scope).await?.total(),
                store.count_changes(&reinstated, scope).await?.total(),
                0,
            ];
            if let Some(position) = later_than {
                let later = now.minus(&Ranges::of(1, position));
                counts[2] = store.count_changes(&later, scope).await?.total();
                since = since.union(&later);
            }
            let totals = [
                &mut events_undone,
                &mut events_reinstated,
                &mut later_events,
            ];
            for (total, count) in totals.into_iter().zip(counts) {
                match by == *scope {
                    true => *total += count,
                    false => *total -= count,
                }
            }
            differing = differing.union(&undone).union(&reinstated);
            shares_undone.push(Share {
                ids: undone,
                scope: scope.clone(),
                counts: by == *scope,
            });
        }
        if request.scope != Scope::Whole && events_undone + events_reinstated == 0 {
            before = None;
        }
        let later_named = match later_events {
            0 => Vec::new(),
            _ => later::first_in_words(store, &since, &request.scope, &mut now).await?,
        };

        let touched = by_table(store.rows_touched(&differing, &request.scope).await?);
        let touched: Vec<(Cow<'_, Table>, Vec<Uuid>)> = touched
            .into_iter()
            .map(|(name, uuids)| match tables.get(name.as_str()) {
                Some(table) => (Cow::Borrowed(*table), uuids),
                None => (Cow::Owned(Table::gone(&name)), uuids),
            })
            .collect();
        // What takes back a revert, or puts it back, does as that one did.
        let resolved = request.conflicts.is_some() || matches!(course, Course::WithoutRollback(_));
        let mut changes = Collecting::new();
        let mut obstacles = Obstacles::default();
        let mut lots = Vec::new();
        for (table, uuids) in &touched {
            let parts = uuids.chunks(ROWS_AT_ONCE);
            lots.extend(parts.map(|uuids| read_lot(store, table, uuids)));
        }
        let mut read = stream::iter(lots).buffered(lots_at_once(store.info().backend));
        while let Some((table, rows)) = read.try_next().await? {
            let meeting = Meeting {
                store,
                table,
                head,
                differing: &differing,
                takes_no_part: table.key().is_none() && tables.contains_key(table.name.as_str()),
                transaction,
            };
            let mut plans = Vec::with_capacity(rows.len());
            for row in rows {
                let key = RowKey {
                    table: table.name.clone(),
                    uuid: row.uuid,
                };
                let (now, then) = (now.of(&key), then.of(&key));
                plans.push((key.clone(), row_plan(meeting, &key, row, now, then).await?));
            }
            leave_unfit(store, table, &mut plans).await?;
            for (key, plan) in plans {
                obstacles.note(&key, &plan, resolved);
                if let Some(change) = &plan.change {
                    changes.push(change)?;
                }
            }
        }
        drop(read);
        let changes = changes.finish();

        let (losses, conflicts) = (obstacles.losses(), obstacles.set_later());
        let mut blockers = match changes.entries().next() {
            Some(first) => missing_right(store, first.key()).await?,
            None => Vec::new(),
        };
        blockers.extend(obstacles.blockers(request.allow_loss, &tables));
        let outside = store.outside_references(&listed, &changes).await?;
        blockers.extend(outside.into_iter().map(blockers::outside));
        let violations = store.violations(&listed, &changes).await?;
        blockers.extend(violations.into_iter().map(blockers::violation));

        let markers = if before.is_some() { 2 } else { 0 };
        let counts = counts(&changes);
        let mut plan = RollbackPlan {
            purpose,
            course,
            keeps_through,
            before,
            head,
            events_undone,
            undone: shares_undone,
            authors: None,
            events_reinstated,
            later_events,
            later_named,
            taken_back: taken_back(&planned, head, purpose),
            conflicts,
            appends_minimal: markers + changes.len() as u64,
            appends_replay: None,
            definitions: listed
                .iter()
                .filter(|table| counts.iter().any(|one| one.table == table.name))
                .cloned()
                .collect(),
            tables: counts,
            losses,
            blockers,
            changes,
            request,
        };
        plan.appends_replay = match plan.strategy() {
            _ if plan.is_empty() => Some(0),
            Strategy::Replay => Some(count_replay(store, head, plan.course.clone()).await?),
            Strategy::Minimal => None,
        };
        Ok(plan)
    }
}

/// The rollbacks in effect that will not be any more, besides the one that is taken back by itself.
fn taken_back(planned: &History, head: EventId, purpose: Purpose) -> Named {
    let after = planned.in_effect_at(head + 1);
    let mut gone = Named::default();
    for rollback in planned.in_effect_at(head) {
        let is_asked = match purpose {
            // What was redone is in effect by its redo, which goes with it.
            Purpose::Undo(id) => id == rollback.id || planned.is_redo_of(rollback, id),
            Purpose::Redo(id) => id == rollback.id,
            Purpose::Rollback => false,
        };
        if !is_asked && !after.iter().any(|one| one.id == rollback.id) {
            gone.push(|| words::rollback_named(rollback));
        }
    }
    gone
}

/// These rows of the table, with their latest events.
async fn read_lot<'a>(
    store: &dyn EventStore,
    table: &'a Table,
    uuids: &[Uuid],
) -> Result<(&'a Table, Vec<RowAudit>)> {
    let rows = store.rows_with_latest(table, uuids, LATEST_EVENTS).await?;
    Ok((table, rows))
}

fn by_table(rows: Vec<RowKey>) -> BTreeMap<String, Vec<Uuid>> {
    let mut tables: BTreeMap<String, Vec<Uuid>> = BTreeMap::new();
    for row in rows {
        tables.entry(row.table).or_default().push(row.uuid);
    }
    tables
}

fn counts(changes: &Changes) -> Vec<TableCounts> {
    let mut tables: BTreeMap<&str, TableCounts> = BTreeMap::new();
    for change in changes.entries() {
        let name = change.table;
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

async fn missing_right(store: &dyn EventStore, first: RowKey) -> Result<Vec<Blocker>> {
    let missing = store.missing_right().await?;
    let blocker = missing.map(|message| Blocker {
        kind: "missing-right",
        message,
        row: first,
    });
    Ok(blocker.into_iter().collect())
}
