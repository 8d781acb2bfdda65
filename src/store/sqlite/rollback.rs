//! Carrying out a confirmed rollback.
//!
//! The order of the log is fixed; that of the writes is not. The touched rows are all removed and then inserted as
//! they will be, with foreign keys and the tables' triggers off, so that neither rows that point at each other nor unique
//! values that move make a possible rollback fail; the foreign keys are checked afterwards.

use std::collections::{BTreeMap, HashMap};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};

use super::append::moment_after;
use super::codec;
use super::error::failed;
use super::log::{self, IN_RANGES};
use super::native;
use super::schema::{self, ForeignKey, quoted};
use super::write::{encoded, insert_row};
use crate::eventsourcing::history::Ranges;
use crate::eventsourcing::rollback::{
    self as domain, ConfirmedRollback, Control, RollbackOutcome, Strategy,
};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::timestamp;
use crate::eventsourcing::{Error, ErrorCode, Event, EventId, EventKind, Result, Row, RowKey, row};

/// Rows whose events are fetched at once.
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
    let states = match plan.strategy() {
        Strategy::Minimal => {
            for (id, change) in (marker.id + 1..).zip(domain::minimal(plan)) {
                let event = Event {
                    id,
                    kind: change.kind,
                    row: Some(change.row),
                    data: change.data,
                    origin: change.origin,
                    ..marker.clone()
                };
                log::insert(all, &event).await?;
            }
            plan.changes
                .iter()
                .map(|change| (change.key.clone(), change.after.clone()))
                .collect()
        }
        Strategy::Replay => append_replay(all, &marker, plan.keeps_through).await?,
    };
    let end = Event {
        id: log::head(&mut *all).await? + 1,
        kind: EventKind::RollbackEnd,
        ..marker.clone()
    };
    log::insert(all, &end).await?;
    let appended = u64::try_from(end.id - head).unwrap_or_default();
    if appended != plan.events_to_append() {
        return Err(mismatch(format!(
            "the rollback appends {appended} events where the plan says {}",
            plan.events_to_append()
        )));
    }
    write(all, &states, control).await?;
    for change in &plan.changes {
        if let Some(wrong) = change.mismatch(states.get(&change.key).and_then(Option::as_ref)) {
            return Err(mismatch(wrong));
        }
    }
    control.check()?;
    Ok(RollbackOutcome {
        rollback: Some(marker.id),
        rollback_end: Some(end.id),
        events_appended: appended,
        keeps_through: plan.keeps_through,
        strategy: plan.strategy(),
    })
}

/// The state that each touched row will have.
type States = BTreeMap<RowKey, Option<Row>>;

/// Appends what `replay` writes: a delete for every live row, newest first, and the events effective at the target
/// again. Returns the states of the rows that live now or lived then.
async fn append_replay(
    all: &mut SqliteConnection,
    marker: &Event,
    keeps_through: EventId,
) -> Result<States> {
    let head = marker.id - 1;
    let history = log::history(&mut *all, head).await?;
    let (now, then) = (
        history.effective_at(head),
        history.effective_at(keeps_through),
    );
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO eventstore (id, event, type, uuid, data, timestamp, actor)
         SELECT ?2 + row_number() OVER (ORDER BY born DESC), 'delete', type, uuid, '{{}}', ?3, ?4
           FROM ({})
          ORDER BY born DESC",
        log::living()
    )))
    .bind(log::ranges_json(&now))
    .bind(marker.id)
    .bind(timestamp::format(marker.timestamp))
    .bind(&marker.actor)
    .execute(&mut *all)
    .await
    .map_err(failed)?;
    let deleted = log::head(&mut *all).await?;
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO eventstore (id, event, type, uuid, data, timestamp, filled, actor, origin)
         SELECT ?2 + row_number() OVER (ORDER BY e.id), e.event, e.type, e.uuid, e.data, ?3, e.filled, ?4, e.id
           FROM {IN_RANGES}
          WHERE e.event IN ('create', 'update', 'delete')
          ORDER BY e.id"
    )))
    .bind(log::ranges_json(&then))
    .bind(deleted)
    .bind(timestamp::format(marker.timestamp))
    .bind(&marker.actor)
    .execute(&mut *all)
    .await
    .map_err(failed)?;

    let tables = tables(all).await?;
    let mut states = States::new();
    for keys in log::rows_touched(&mut *all, &then)
        .await?
        .chunks(ROWS_AT_ONCE)
    {
        fold_into(all, &tables, keys, &then, keeps_through, &mut states).await?;
    }
    // What lives neither then nor now, and stands in a table all the same, the log does not know: it stays.
    states.retain(|_, state| state.is_some());
    for key in log::rows_touched(&mut *all, &Ranges::of(marker.id + 1, deleted)).await? {
        if tables.contains_key(&key.table) {
            states.entry(key).or_insert(None);
        }
    }
    Ok(states)
}

async fn fold_into(
    all: &mut SqliteConnection,
    tables: &HashMap<String, Table>,
    keys: &[RowKey],
    then: &Ranges,
    through: EventId,
    states: &mut States,
) -> Result<()> {
    let mut events: HashMap<RowKey, Vec<Event>> = HashMap::new();
    for event in log::events_of(&mut *all, keys, through).await? {
        if let Some(key) = event.row.clone().filter(|_| then.contains(event.id)) {
            events.entry(key).or_default().push(event);
        }
    }
    for key in keys {
        // A table that is gone has no rows to write; the plan has refused it if they were to change.
        if let Some(table) = tables.get(&key.table) {
            let state = row::fold(table, events.get(key).into_iter().flatten());
            states.insert(key.clone(), state);
        }
    }
    Ok(())
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

/// Removes every touched row, inserts those that live, and checks them and the foreign keys.
async fn write(all: &mut SqliteConnection, states: &States, control: &Control) -> Result<()> {
    let tables = tables(all).await?;
    let total = 2 * states.len() as u64;
    for (done, key) in states.keys().enumerate() {
        control.check()?;
        control.report(done as u64, total);
        let table = table_of(&tables, key)?;
        sqlx::query(AssertSqlSafe(format!(
            "DELETE FROM {} WHERE {} = ?",
            quoted(&table.name),
            quoted(table.key().unwrap_or_default())
        )))
        .bind(key.uuid.to_string())
        .execute(&mut *all)
        .await
        .map_err(failed)?;
    }
    for (done, (key, state)) in states.iter().enumerate() {
        control.check()?;
        control.report((states.len() + done) as u64, total);
        let table = table_of(&tables, key)?;
        if let Some(state) = state {
            insert(all, table, state).await?;
        }
        let found = codec::stored(all, table, key.uuid).await?;
        let known = |row: &Row| -> Row {
            let mut row = row.clone();
            row.retain(|name, _| table.column(name).is_some());
            row
        };
        let planned = state.as_ref().map(known);
        if let Some(wrong) = domain::mismatch(key, planned.as_ref(), found.as_ref()) {
            return Err(mismatch(wrong));
        }
    }
    check_foreign_keys(all, &tables, states).await
}

fn table_of<'a>(tables: &'a HashMap<String, Table>, key: &RowKey) -> Result<&'a Table> {
    tables
        .get(&key.table)
        .ok_or_else(|| mismatch(format!("the table {} is gone", key.table)))
}

async fn insert(all: &mut SqliteConnection, table: &Table, state: &Row) -> Result<()> {
    let mut values = Vec::new();
    for (name, value) in state {
        if table.column(name).is_some_and(|column| !column.generated) {
            values.push((name.as_str(), encoded(table, name, value)?));
        }
    }
    // A column that the state does not have was NULL: its default must not come in.
    for column in &table.columns {
        if !column.generated && !state.contains_key(&column.name) {
            values.push((&column.name, codec::Stored::Null));
        }
    }
    insert_row(all, table, values).await.map_err(failed)
}

/// Foreign keys on both sides of the touched rows: what they point at is there, and nothing points at what has gone.
async fn check_foreign_keys(
    all: &mut SqliteConnection,
    tables: &HashMap<String, Table>,
    states: &States,
) -> Result<()> {
    let uuids = |table: &str, living: bool| -> String {
        let uuids: Vec<String> = states
            .iter()
            .filter(|(key, state)| key.table == table && state.is_some() == living)
            .map(|(key, _)| key.uuid.to_string())
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
