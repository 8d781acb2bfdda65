//! Appending events and applying each to its row, in one transaction.

use std::collections::{HashMap, HashSet};

use chrono::{TimeDelta, Utc};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Row as _, SqliteConnection};
use uuid::Uuid;

use super::codec::{self, Stored};
use super::error::{failed, is_foreign_key};
use super::schema::{self, ForeignKey, quoted};
use super::{cascade, log};
use crate::eventsourcing::schema::{CREATED_ON, Table, Tracking, UPDATED_ON, nearest};
use crate::eventsourcing::timestamp::{self, Timestamp};
use crate::eventsourcing::{
    Error, ErrorCode, Event, EventId, EventKind, NewEvent, Result, Row, RowKey, inspect, row, value,
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
    /// Rows whose delete is under way, so that rows that point at each other in a circle end it.
    pub(super) deleting: HashSet<RowKey>,
    appended: Vec<Event>,
}

/// Appends the events, inside the caller's transaction, which must hold the write lock.
pub(super) async fn append(
    connection: &mut SqliteConnection,
    actor: &str,
    events: &[NewEvent],
) -> Result<Vec<Event>> {
    let mut appending = Appending::begin(connection, actor).await?;
    for (at, event) in events.iter().enumerate() {
        if let Err(error) = appending.accept(event).await {
            return Err(name_event(event, at, events.len(), error));
        }
    }
    Ok(appending.appended)
}

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
            deleting: HashSet::new(),
            appended: Vec::new(),
            connection,
        })
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
        let given_key = table
            .key()
            .and_then(|key| event.data.get(key))
            .and_then(Value::as_str);
        let uuid = match (event.uuid.filter(|uuid| !uuid.is_nil()), event.kind) {
            (Some(uuid), _) => uuid,
            (None, EventKind::Create) => given_key
                .and_then(|key| Uuid::parse_str(key).ok())
                .unwrap_or_else(Uuid::new_v4),
            (None, _) => {
                return Err(Error::new(ErrorCode::NoUuid, "No uuid has been provided")
                    .hint("an update and a delete say which row they mean"));
            }
        };
        let filled = self.apply(&table, event, uuid, timestamp).await?;
        let stored = Event {
            id: self.head + 1,
            kind: event.kind,
            row: Some(RowKey {
                table: table.name,
                uuid,
            }),
            data: event.data.clone(),
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
        match codec::stored(self.connection, table, uuid).await? {
            Some(stored) => Ok(row::filled(&expected, &stored)),
            None => Err(Error::new(
                ErrorCode::ConstraintViolated,
                format!("a trigger of {table} did not let the row be written"),
            )),
        }
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

    /// SQLite's refusal of a row, with what it leaves out: the values, and which foreign key it was.
    async fn explain(&mut self, error: sqlx::Error, table: &Table, state: &Row) -> Result<Error> {
        let foreign = is_foreign_key(&error);
        let error = failed(error);
        if foreign {
            return match self.violated(table, state).await? {
                Some(name) => Ok(Error {
                    message: format!("{}: {name}", error.message),
                    ..error
                }),
                None => Ok(error),
            };
        }
        let columns = error
            .message
            .split_once(": ")
            .map_or("", |(_, columns)| columns);
        let prefix = format!("{}.", table.name);
        let values: Vec<String> = columns
            .split(", ")
            .filter_map(|column| state.get(column.strip_prefix(&prefix)?))
            .map(Value::to_string)
            .collect();
        match values.is_empty() {
            true => Ok(error),
            false => Ok(Error {
                message: format!("{} ({})", error.message, values.join(", ")),
                ..error
            }),
        }
    }

    /// The foreign key that a row in this state violates: it points at nothing, or is still pointed at.
    async fn violated(&mut self, table: &Table, state: &Row) -> Result<Option<String>> {
        for key in self.foreign_keys.clone() {
            if key.table == table.name {
                let there = (key.to_table.as_str(), key.to_columns.as_slice());
                if self.has_row(table, state, &key.columns, there).await? == Some(false) {
                    return Ok(Some(format!(
                        "{} points at no row",
                        named(&key, &key.columns, state)
                    )));
                }
            }
            if key.to_table == table.name {
                let there = (key.table.as_str(), key.columns.as_slice());
                if self.has_row(table, state, &key.to_columns, there).await? == Some(true) {
                    let name = named(&key, &key.to_columns, state);
                    return Ok(Some(format!("{name} still points at it")));
                }
            }
        }
        Ok(None)
    }

    /// Whether the other table has a row whose columns hold what these columns of the state hold; `None` when one of
    /// them holds nothing.
    async fn has_row(
        &mut self,
        table: &Table,
        state: &Row,
        columns: &[String],
        (other, others): (&str, &[String]),
    ) -> Result<Option<bool>> {
        let mut values = Vec::new();
        for column in columns {
            match encoded(table, column, state.get(column).unwrap_or(&Value::Null))? {
                Stored::Null => return Ok(None),
                value => values.push(value),
            }
        }
        let conditions: Vec<String> = others
            .iter()
            .map(|column| format!("{} = ?", quoted(column)))
            .collect();
        let mut query = sqlx::query(AssertSqlSafe(format!(
            "SELECT EXISTS (SELECT 1 FROM {} WHERE {})",
            quoted(other),
            conditions.join(" AND ")
        )));
        for value in values {
            query = value.bind(query);
        }
        let found = query
            .fetch_one(&mut *self.connection)
            .await
            .map_err(failed)?;
        found.try_get(0).map(Some).map_err(failed)
    }
}

/// A foreign key with the values that a row holds for it.
fn named(key: &ForeignKey, columns: &[String], state: &Row) -> String {
    let held: Vec<String> = columns
        .iter()
        .filter_map(|name| state.get(name))
        .map(Value::to_string)
        .collect();
    format!("{} ({})", key.name(), held.join(", "))
}

/// The names in `data` must be columns, and ones that an event may set; its text must hold no U+0000.
fn check_columns(table: &Table, data: &Row) -> Result<()> {
    for (name, given) in data {
        let Some(column) = table.column(name) else {
            let error = Error::new(
                ErrorCode::UnknownColumn,
                format!("{table} has no column \"{name}\""),
            );
            let names: Vec<&str> = table
                .columns
                .iter()
                .map(|column| column.name.as_str())
                .collect();
            return Err(match nearest(name, names.iter().copied()) {
                Some(nearest) => error.hint(format!("did you mean \"{nearest}\"?")),
                None => error.hint(format!("its columns are {}", names.join(", "))),
            });
        };
        if column.generated {
            return Err(Error::new(
                ErrorCode::BadValue,
                format!(
                    "the column {name} of {table} is generated by the database and cannot take {given}"
                ),
            ));
        }
        if holds_nul(given) {
            return Err(Error::new(
                ErrorCode::BadValue,
                format!("the column {name} of {table} cannot take text with the character U+0000"),
            ));
        }
    }
    Ok(())
}

fn holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(values) => values.iter().any(holds_nul),
        Value::Object(values) => values
            .iter()
            .any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// An update cannot change the key or `created_on`, and a create cannot give another key than its uuid. Giving the value
/// that is held already is no change.
fn check_fixed(table: &Table, event: &NewEvent, uuid: Uuid, before: Option<&Row>) -> Result<()> {
    let key = table.key().unwrap_or_default();
    let held_key = Value::String(uuid.to_string());
    let fixed = [
        Some((key, &held_key)),
        before.and_then(|row| Some((CREATED_ON, row.get(CREATED_ON)?))),
    ];
    for (name, held) in fixed.into_iter().flatten() {
        let Some(given) = event.data.get(name) else {
            continue;
        };
        let kind = table.column(name).map(|column| column.kind);
        let same = value::same(given, held)
            || kind.is_some_and(|kind| codec::encode(kind, given) == codec::encode(kind, held));
        if !same {
            return Err(Error::new(
                ErrorCode::BadValue,
                format!("the column {name} of {table} cannot be changed from {held} to {given}"),
            ));
        }
    }
    Ok(())
}

/// What is stored for a value.
pub(super) fn encoded(table: &Table, name: &str, given: &Value) -> Result<Stored> {
    let Some(column) = table.column(name) else {
        return Err(Error::new(
            ErrorCode::UnknownColumn,
            format!("{table} has no column \"{name}\""),
        ));
    };
    codec::encode(column.kind, given).ok_or_else(|| {
        let type_name = match column.type_name.as_str() {
            "" => "no type",
            declared => declared,
        };
        let given: String = given.to_string().chars().take(200).collect();
        Error::new(
            ErrorCode::BadValue,
            format!("the column {name} of {table} ({type_name}) cannot take {given}"),
        )
        .hint("SQLite would not give it back as it is")
    })
}

/// Inserts a row.
pub(super) async fn insert_row(
    connection: &mut SqliteConnection,
    table: &Table,
    values: Vec<(&str, Stored)>,
) -> sqlx::Result<()> {
    let names: Vec<String> = values.iter().map(|(name, _)| quoted(name)).collect();
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO {} ({}) VALUES ({})",
        quoted(&table.name),
        names.join(", "),
        vec!["?"; values.len()].join(", ")
    )));
    for (_, value) in values {
        query = value.bind(query);
    }
    query.execute(connection).await.map(drop)
}

async fn update_row(
    connection: &mut SqliteConnection,
    table: &Table,
    uuid: Uuid,
    values: Vec<(&str, Stored)>,
) -> sqlx::Result<()> {
    if values.is_empty() {
        return Ok(());
    }
    let names: Vec<String> = values
        .iter()
        .map(|(name, _)| format!("{} = ?", quoted(name)))
        .collect();
    let mut query = sqlx::query(AssertSqlSafe(format!(
        "UPDATE {} SET {} WHERE {} = ?",
        quoted(&table.name),
        names.join(", "),
        quoted(table.key().unwrap_or_default())
    )));
    for (_, value) in values {
        query = value.bind(query);
    }
    query
        .bind(uuid.to_string())
        .execute(connection)
        .await
        .map(drop)
}
