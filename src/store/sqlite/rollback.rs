//! Carrying out a confirmed rollback.
//!
//! The order of the log is fixed; that of the writes is not. The rows that change are all removed and then inserted as
//! they will be, with foreign keys and the tables' triggers off, so that neither rows that point at each other nor unique
//! values that move make a possible rollback fail; the foreign keys are checked afterwards.

use std::collections::HashMap;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use uuid::Uuid;

use super::append::moment_after;
use super::error::failed;
use super::schema::{self, ForeignKey, quoted};
use super::write::{encoded, insert_rows, most_rows_at_once};
use super::{codec, log, native, replay};
use crate::eventsourcing::rollback::{
    self as domain, Changes, ConfirmedRollback, Control, RollbackOutcome, RollbackPlan, RowAction,
    RowChange, Strategy,
};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::{Error, ErrorCode, Event, EventKind, Result, Row};

/// Rows that are read or removed at once.
const ROWS_AT_ONCE: usize = 500;

pub(super) async fn execute(
    options: &SqliteConnectOptions,
    actor: &str,
    rollback: &ConfirmedRollback,
    control: &Control,
) -> Result<RollbackOutcome> {
    // SQLite ignores this setting inside a transaction, and cascades act in spite of deferred keys: a
    // connection of its own, with foreign keys off from the start.
    let mut connection = options
        .clone()
        .foreign_keys(false)
        .connect()
        .await
        .map_err(failed)?;
    native::switch_triggers_off(&mut connection).await?;
    let mut all = connection
        .begin_with("BEGIN IMMEDIATE")
        .await
        .map_err(failed)?;
    let outcome = carry_out(&mut all, actor, rollback, control).await?;
    all.commit().await.map_err(failed)?;
    connection.close().await.map_err(failed)?;
    Ok(outcome)
}

async fn carry_out(
    all: &mut SqliteConnection,
    actor: &str,
    rollback: &ConfirmedRollback,
    control: &Control,
) -> Result<RollbackOutcome> {
    let plan = rollback.plan();
    let head = log::head(&mut *all).await?;
    let last = log::event(&mut *all, head).await?;
    if head != plan.head {
        return Err(rollback.stale(head));
    }
    let moment = moment_after(last.map(|event| event.timestamp));
    let marker = Event {
        id: head + 1,
        kind: EventKind::Rollback,
        row: None,
        data: plan.marker().unwrap_or_default(),
        timestamp: moment,
        stamp: moment,
        filled: None,
        actor: actor.to_owned(),
        origin: None,
    };
    log::insert(all, &marker).await?;
    let total = 3 * plan.changes.len() as u64;
    control.report(0, total);
    match plan.strategy() {
        Strategy::Minimal => {
            let mut ids = marker.id + 1..;
            for lot in plan.changes.lots(0..plan.changes.len(), ROWS_AT_ONCE) {
                control.check()?;
                let scripted = lot?.into_iter().map(domain::minimal);
                let events: Vec<Event> = scripted
                    .zip(&mut ids)
                    .map(|(scripted, id)| Event {
                        id,
                        kind: scripted.kind,
                        row: Some(scripted.row),
                        data: scripted.data,
                        origin: scripted.origin,
                        ..marker.clone()
                    })
                    .collect();
                log::insert_many(all, &events).await?;
                control.report((ids.start - marker.id - 1).unsigned_abs(), total);
            }
        }
        Strategy::Replay => replay::append(all, &marker, plan.keeps_through, control).await?,
    }
    let end = Event {
        id: log::head(&mut *all).await? + 1,
        kind: EventKind::RollbackEnd,
        ..marker.clone()
    };
    log::insert(all, &end).await?;
    let appended = u64::try_from(end.id - head).unwrap_or_default();
    if let Some(planned) = plan
        .events_to_append()
        .filter(|planned| *planned != appended)
    {
        return Err(mismatch(format!(
            "the rollback appends {appended} events where the plan says {planned}"
        )));
    }
    write(all, plan, control).await?;
    control.check()?;
    Ok(RollbackOutcome {
        rollback: Some(marker.id),
        rollback_end: Some(end.id),
        events_appended: appended,
        keeps_through: plan.keeps_through,
        strategy: plan.strategy(),
    })
}

/// The tables that take part, by name.
async fn tables(all: &mut SqliteConnection) -> Result<HashMap<String, Table>> {
    let tables = schema::tables(all).await?;
    Ok(tables
        .into_iter()
        .filter(|table| table.key().is_some())
        .map(|table| (table.name.clone(), table))
        .collect())
}

/// Removes every row that changes, inserts those that live, and checks them and the foreign keys.
async fn write(all: &mut SqliteConnection, plan: &RollbackPlan, control: &Control) -> Result<()> {
    let tables = tables(all).await?;
    let by_table = plan.changes.by_table();
    let rows = plan.changes.len() as u64;
    let mut done = rows;
    for (name, places) in &by_table {
        let table = table_of(&tables, name)?;
        for changes in plan.changes.lots(places.iter().copied(), ROWS_AT_ONCE) {
            let changes = changes?;
            control.check()?;
            control.report(done, 3 * rows);
            remove(all, table, &changes).await?;
            done += changes.len() as u64;
        }
    }
    for (name, places) in &by_table {
        let table = table_of(&tables, name)?;
        for changes in plan.changes.lots(places.iter().copied(), ROWS_AT_ONCE) {
            let changes = changes?;
            control.check()?;
            control.report(done, 3 * rows);
            let written = table.columns.iter().filter(|column| !column.generated);
            let columns: Vec<&str> = written.map(|column| column.name.as_str()).collect();
            let states: Vec<&Row> = changes
                .iter()
                .filter_map(|change| change.after.as_ref())
                .collect();
            for states in states.chunks(most_rows_at_once(columns.len())) {
                insert(all, table, &columns, states).await?;
            }
            let found = codec::stored_rows(all, table, &uuids(&changes)).await?;
            for change in &changes {
                if let Some(wrong) = change.mismatch(table, found.get(&change.key.uuid)) {
                    return Err(mismatch(wrong));
                }
            }
            done += changes.len() as u64;
        }
    }
    check_foreign_keys(all, &tables, &plan.changes).await
}

fn uuids(changes: &[RowChange]) -> Vec<Uuid> {
    changes.iter().map(|change| change.key.uuid).collect()
}

/// Removes rows, after a look whether they still are what the plan showed.
async fn remove(all: &mut SqliteConnection, table: &Table, changes: &[RowChange]) -> Result<()> {
    let found = codec::stored_rows(&mut *all, table, &uuids(changes)).await?;
    for change in changes {
        if let Some(wrong) = change.changed_since(table, found.get(&change.key.uuid)) {
            return Err(mismatch(wrong));
        }
    }
    let keys: Vec<String> = changes
        .iter()
        .map(|change| change.key.uuid.to_string())
        .collect();
    sqlx::query(AssertSqlSafe(format!(
        "DELETE FROM {} WHERE {} IN (SELECT value FROM json_each(?))",
        quoted(&table.name),
        quoted(table.key().unwrap_or_default())
    )))
    .bind(serde_json::json!(keys).to_string())
    .execute(all)
    .await
    .map(drop)
    .map_err(failed)
}

fn table_of<'a>(tables: &'a HashMap<String, Table>, name: &str) -> Result<&'a Table> {
    tables
        .get(name)
        .ok_or_else(|| mismatch(format!("the table {name} is gone")))
}

/// Inserts rows as they are to be: every column, as a default must not come in where there was none.
async fn insert(
    all: &mut SqliteConnection,
    table: &Table,
    columns: &[&str],
    states: &[&Row],
) -> Result<()> {
    let mut rows = Vec::with_capacity(states.len());
    for state in states {
        let row: Result<Vec<codec::Stored>> = columns
            .iter()
            .map(|name| encoded(table, name, state.get(*name).unwrap_or(&Value::Null)))
            .collect();
        rows.push(row?);
    }
    insert_rows(all, table, columns, rows).await.map_err(failed)
}

/// Foreign keys on both sides of the rows that changed: what they point at is there, and nothing points at what has gone.
async fn check_foreign_keys(
    all: &mut SqliteConnection,
    tables: &HashMap<String, Table>,
    changes: &Changes,
) -> Result<()> {
    let uuids = |table: &str, living: bool| -> String {
        let uuids: Vec<String> = changes
            .entries()
            .filter(|row| row.table == table && (row.action != RowAction::Remove) == living)
            .map(|row| row.uuid.to_string())
            .collect();
        serde_json::json!(uuids).to_string()
    };
    for key in schema::foreign_keys(&mut *all).await? {
        if let Some(own) = tables.get(&key.table).and_then(Table::key) {
            let among = format!("f.{} IN (SELECT value FROM json_each(?))", quoted(own));
            refuse_if_dangling(all, &key, &among, uuids(&key.table, true)).await?;
        }
        if let Some(own) = tables.get(&key.to_table).and_then(Table::key) {
            let gone = uuids(&key.to_table, false);
            let among = match key.to_columns.as_slice() {
                [column] if column == own => {
                    format!(
                        "f.{} IN (SELECT value FROM json_each(?))",
                        quoted(&key.columns[0])
                    )
                }
                // It points at other columns than the key: which rows are concerned, only all of them tell.
                _ => "json_valid(?)".to_owned(),
            };
            refuse_if_dangling(all, &key, &among, gone).await?;
        }
    }
    Ok(())
}

async fn refuse_if_dangling(
    all: &mut SqliteConnection,
    key: &ForeignKey,
    among: &str,
    uuids: String,
) -> Result<()> {
    let dangling: bool = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT EXISTS (SELECT 1 FROM {} f WHERE {among} AND {} AND NOT EXISTS (SELECT 1 FROM {} p WHERE {}))",
        quoted(&key.table),
        key.given(),
        quoted(&key.to_table),
        key.matching()
    )))
    .bind(uuids)
    .fetch_one(all)
    .await
    .map_err(failed)?;
    match dangling {
        false => Ok(()),
        true => Err(Error::new(
            ErrorCode::ConstraintViolated,
            format!(
                "the rollback would violate the foreign key {}: a row of {} would point at a row of {} that is not there",
                key.name(),
                key.table,
                key.to_table
            ),
        )
        .hint("nothing was written")),
    }
}

fn mismatch(what: String) -> Error {
    Error::new(ErrorCode::PlanMismatch, what)
        .hint("nothing was written; make the plan again, and report this if it happens twice")
}
