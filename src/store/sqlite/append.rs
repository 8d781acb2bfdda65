//! Appending events and applying each to its row, in one transaction.

use std::collections::HashMap;

use chrono::{Datelike, TimeDelta, Utc};
use sqlx::{AssertSqlSafe, SqliteConnection};
use uuid::Uuid;

use super::cascade::Carried;
use super::codec::{self, Stored};
use super::deferred::{self, Dangling};
use super::refusal::{check_columns, check_fixed, given_key};
use super::schema::{self, ForeignKey, quoted};
use super::write::{encoded, insert_row, update_row};
use super::{cascade, log};
use crate::eventsourcing::schema::{Table, Tracking, UPDATED_ON};
use crate::eventsourcing::timestamp::{self, Timestamp};
use crate::eventsourcing::{
    Error, ErrorCode, Event, EventId, EventKind, NewEvent, Result, Row, RowKey, inspect, row,
};

/// A transaction that appends.
pub(super) struct Appending<'a> {
    pub(super) connection: &'a mut SqliteConnection,
    /// The last event's id.
    head: EventId,
    /// The timestamp of the events that do not give one.
    moment: Timestamp,
    /// The last event's timestamp.
    last: Option<Timestamp>,
    actor: &'a str,
    tables: HashMap<String, Table>,
    pub(super) foreign_keys: Vec<ForeignKey>,
    /// Rows whose delete is under way, so that rows that point at each other in a circle end it, and whether what points at them has been
    /// looked at once more, from further inside.
    pub(super) deleting: HashMap<RowKey, bool>,
    appended: Vec<Event>,
}

/// Appends the events, inside the caller's transaction, which must hold the write lock.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    actor: &str,
    events: &[NewEvent],
) -> Result<Vec<Event>> {
    let mut appending = Appending::begin(connection, actor).await?;
    // How many events were appended when each of the given ones had been: cascades append more than one.
    let mut ends = Vec::with_capacity(events.len());
    for (at, event) in events.iter().enumerate() {
        if let Err(error) = appending.accept(event).await {
            return Err(name_event(event, at, events.len(), error));
        }
        ends.push(appending.appended.len());
    }
    if let Some(dangling) = appending.dangling().await? {
        let place = dangling
            .event
            .map(|event| ends.partition_point(|end| *end <= event));
        return Err(match place.and_then(|at| Some((at, events.get(at)?))) {
            Some((at, event)) => name_event(event, at, events.len(), dangling.error),
            None => dangling.error,
        });
    }
    Ok(appending.appended)
}

/// The first year that timestamps cannot have: the texts of later ones have more digits, and each event's must have one after it.
const NO_LATER_YEAR: i32 = 9999;

/// Which event it was.
fn name_event(event: &NewEvent, at: usize, count: usize, error: Error) -> Error {
    let place = match count {
        1 => event.to_string(),
        _ => format!("event {} of {count}, {event}", at + 1),
    };
    let message = match error.code {
        // Programs know this refusal by how it begins.
        ErrorCode::NoUuid => format!("{}: {place}", error.message),
        _ => format!("{place}: {}", error.message),
    };
    Error { message, ..error }
}

/// The timestamp of a transaction: now, and later than the last event even when the clock says otherwise.
pub(super) fn moment_after(last: Option<Timestamp>) -> Timestamp {
    // Cut to what is stored, so that what is returned is what will be read.
    let now = chrono::SubsecRound::trunc_subsecs(Utc::now(), 6);
    match last {
        Some(last) => now.max(last + TimeDelta::microseconds(1)),
        None => now,
    }
}

impl<'a> Appending<'a> {
    async fn begin(connection: &'a mut SqliteConnection, actor: &'a str) -> Result<Self> {
        let head = log::head(&mut *connection).await?;
        let last = log::event(&mut *connection, head)
            .await?
            .map(|event| event.timestamp);
        let tables = schema::tables(connection).await?;
        Ok(Self {
            head,
            moment: moment_after(last),
            last,
            actor,
            tables: tables
                .into_iter()
                .map(|table| (table.name.clone(), table))
                .collect(),
            foreign_keys: schema::foreign_keys(&mut *connection).await?,
            deleting: HashMap::new(),
            appended: Vec::new(),
            connection,
        })
    }

    /// The deferred foreign key that would make the commit fail, if one would.
    async fn dangling(&mut self) -> Result<Option<Dangling>> {
        let key_of = |table: &str| self.tables.get(table)?.key().map(str::to_owned);
        deferred::dangling(self.connection, &self.foreign_keys, key_of, &self.appended).await
    }

    /// A table that takes part.
    pub(super) fn tracked(&self, name: &str) -> Result<Table> {
        let Some(table) = self.tables.get(name) else {
            let tables: Vec<Table> = self.tables.values().cloned().collect();
            return Err(inspect::unknown_table(name, &tables));
        };
        match &table.tracking {
            Tracking::Tracked { .. } => Ok(table.clone()),
            Tracking::Untracked { reason } => Err(Error::new(
                ErrorCode::UntrackedTable,
                format!("the table {name} takes no part: {reason}"),
            )),
        }
    }

    /// Checks one event, applies it and logs it, after the events of its cascades.
    pub(super) async fn accept(&mut self, event: &NewEvent) -> Result<()> {
        let timestamp = self.timestamp(event)?;
        match event.kind {
            EventKind::Create | EventKind::Update | EventKind::Delete => {}
            EventKind::RollbackEnd | EventKind::Restore => {
                return Err(Error::new(
                    ErrorCode::RestoreOutsideRollback,
                    format!("only a rollback writes a {}", event.kind),
                ));
            }
            EventKind::Rollback => {
                return Err(Error::new(
                    ErrorCode::UnknownEventKind,
                    "a rollback is not appended like other events",
                )
                .hint("use `ebb rollback`, which shows first what it would do"));
            }
        }
        let table = self.tracked(&event.table)?;
        let uuid = match (event.uuid.filter(|uuid| !uuid.is_nil()), event.kind) {
            (Some(uuid), _) => uuid,
            (None, EventKind::Create) => {
                given_key(&table, &event.data)?.unwrap_or_else(Uuid::new_v4)
            }
            (None, _) => {
                return Err(Error::new(ErrorCode::NoUuid, "No uuid has been provided")
                    .hint("an update and a delete say which row they mean"));
            }
        };
        let filled = self.apply(&table, event, uuid, timestamp).await?;
        let row = RowKey {
            table: table.name,
            uuid,
        };
        self.log(event.kind, row, event.data.clone(), filled, timestamp)
            .await
    }

    /// Logs an event that has been applied.
    async fn log(
        &mut self,
        kind: EventKind,
        row: RowKey,
        data: Row,
        filled: Option<Row>,
        timestamp: Timestamp,
    ) -> Result<()> {
        let stored = Event {
            id: self.head + 1,
            kind,
            row: Some(row),
            data,
            timestamp,
            stamp: timestamp,
            filled,
            actor: self.actor.to_owned(),
            origin: None,
        };
        log::insert(self.connection, &stored).await?;
        self.head = stored.id;
        self.last = Some(timestamp);
        self.appended.push(stored);
        Ok(())
    }

    fn timestamp(&self, event: &NewEvent) -> Result<Timestamp> {
        match (event.timestamp, self.last) {
            (Some(given), Some(last)) if given < last => Err(Error::new(
                ErrorCode::BadTimestamp,
                format!(
                    "its timestamp {} is earlier than the last event's, {}",
                    timestamp::format(given),
                    timestamp::format(last)
                ),
            )
            .hint("events are appended in the order of their timestamps")),
            (Some(given), _) if given.year() >= NO_LATER_YEAR => Err(Error::new(
                ErrorCode::BadTimestamp,
                format!(
                    "its timestamp {} is in the year {NO_LATER_YEAR} or later, and no later event could follow it",
                    timestamp::format(given)
                ),
            )),
            (Some(given), _) => Ok(given),
            (None, Some(last)) => Ok(self.moment.max(last)),
            (None, None) => Ok(self.moment),
        }
    }

    /// Changes the table, and returns the event's `filled`.
    async fn apply(
        &mut self,
        table: &Table,
        event: &NewEvent,
        uuid: Uuid,
        timestamp: Timestamp,
    ) -> Result<Option<Row>> {
        let before = codec::stored(self.connection, table, uuid).await?;
        match (event.kind, &before) {
            (EventKind::Create, Some(_)) => {
                return Err(Error::new(
                    ErrorCode::RowExists,
                    format!("a row of {table} with this uuid exists already"),
                )
                .hint("update it, or give another uuid"));
            }
            (EventKind::Update | EventKind::Delete, None) => {
                return Err(Error::new(
                    ErrorCode::RowMissing,
                    format!("{table} has no such row"),
                ));
            }
            _ => {}
        }
        check_columns(table, &event.data)?;
        if let (EventKind::Delete, Some(before)) = (event.kind, &before) {
            Box::pin(cascade::append_cascades(self, table, uuid, event.timestamp)).await?;
            self.delete(table, uuid, before).await?;
            return Ok(None);
        }
        check_fixed(table, event, uuid, before.as_ref())?;
        let carried = match (event.kind, &before) {
            (EventKind::Update, Some(before)) => {
                cascade::carried_by_update(self, table, uuid, before, &event.data).await?
            }
            _ => Vec::new(),
        };
        let Some(expected) = row::expected(table, before, event.kind, uuid, &event.data, timestamp)
        else {
            return Ok(None);
        };
        // A create writes all that the rules say, an update only what it changes.
        let is_written = |name: &str| {
            event.kind == EventKind::Create || name == UPDATED_ON || event.data.contains_key(name)
        };
        let mut written: Vec<(&str, Stored)> = Vec::new();
        for (name, given) in expected.iter().filter(|(name, _)| is_written(name)) {
            written.push((name, encoded(table, name, given)?));
        }
        let done = match event.kind {
            EventKind::Create => insert_row(self.connection, table, written).await,
            _ => update_row(self.connection, table, uuid, written).await,
        };
        if let Err(error) = done {
            return Err(self.explain(error, table, &expected).await?);
        }
        for carried in carried {
            self.log_carried(carried, timestamp).await?;
        }
        match codec::stored(self.connection, table, uuid).await? {
            Some(stored) => Ok(row::filled(&expected, &stored)),
            None => Err(Error::new(
                ErrorCode::ConstraintViolated,
                format!("a trigger of {table} did not let the row be written"),
            )),
        }
    }

    /// Logs what SQLite has carried on to another row, with what it made of it.
    async fn log_carried(&mut self, carried: Carried, timestamp: Timestamp) -> Result<()> {
        let Carried { row, before, data } = carried;
        let table = self.tracked(&row.table)?;
        let before = Some(before);
        let Some(expected) = row::expected(
            &table,
            before,
            EventKind::Update,
            row.uuid,
            &data,
            timestamp,
        ) else {
            return Ok(());
        };
        // The foreign key has set the columns already. That leaves the time.
        if let Some(time) = expected.get(UPDATED_ON) {
            let written = vec![(UPDATED_ON, encoded(&table, UPDATED_ON, time)?)];
            if let Err(error) = update_row(self.connection, &table, row.uuid, written).await {
                return Err(self.explain(error, &table, &expected).await?);
            }
        }
        let filled = codec::stored(self.connection, &table, row.uuid)
            .await?
            .and_then(|stored| row::filled(&expected, &stored));
        self.log(EventKind::Update, row, data, filled, timestamp)
            .await
    }

    async fn delete(&mut self, table: &Table, uuid: Uuid, before: &Row) -> Result<()> {
        let done = sqlx::query(AssertSqlSafe(format!(
            "DELETE FROM {} WHERE {} = ?",
            quoted(&table.name),
            quoted(table.key().unwrap_or_default())
        )))
        .bind(uuid.to_string())
        .execute(&mut *self.connection)
        .await;
        if let Err(error) = done {
            return Err(self.explain(error, table, before).await?);
        }
        match codec::stored(self.connection, table, uuid).await? {
            None => Ok(()),
            Some(_) => Err(Error::new(
                ErrorCode::ConstraintViolated,
                format!("a trigger of {table} keeps the row"),
            )),
        }
    }
}
