//! The rows that SQLite removes or changes along with another by foreign keys: they get events of their own, logged before
//! it, so that the log stays complete. What a delete carries on is done before the delete; what an update carries on is
//! done by SQLite itself, for the pointing rows cannot take a value that is not there yet, and logged then.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::append::Appending;
use super::codec;
use super::error::failed;
use super::schema::{Action, ForeignKey, quoted};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::value;
use crate::eventsourcing::{Error, ErrorCode, EventKind, NewEvent, Result, Row, RowKey};

/// Appends what deleting this row brings with it.
pub(super) async fn append_cascades(
    appending: &mut Appending<'_>,
    table: &Table,
    uuid: Uuid,
    timestamp: Option<Timestamp>,
) -> Result<()> {
    let mut acting: Vec<ForeignKey> = appending
        .foreign_keys
        .iter()
        .filter(|key| key.to_table == table.name && key.on_delete != Action::Refuse)
        .cloned()
        .collect();
    // Rows that go come first, so that a row which goes is not changed before. Then by names, as on every store.
    acting.sort_by_key(|key| {
        let stays = key.on_delete != Action::Cascade;
        (stays, key.table.clone(), key.columns.join(","))
    });
    let row = RowKey {
        table: table.name.clone(),
        uuid,
    };
    let outermost = !appending.deleting.contains_key(&row);
    appending.deleting.entry(row.clone()).or_insert(false);
    for foreign in acting {
        let events = events_for(appending, table, uuid, &foreign).await?;
        for event in events {
            let reached = RowKey {
                table: event.table.clone(),
                uuid: event.uuid.unwrap_or_default(),
            };
            // Not what is being deleted already, further out. When that goes along with this row, so does what points at it: its events
            // come before.
            if let Some(again) = appending.deleting.get_mut(&reached) {
                if event.kind == EventKind::Delete && !*again {
                    *again = true;
                    let further_out = appending.tracked(&reached.table)?;
                    let looking = append_cascades(appending, &further_out, reached.uuid, timestamp);
                    Box::pin(looking).await?;
                }
                continue;
            }
            // Nor what an event of this cascade has deleted or changed meanwhile.
            let still = pointing_rows(appending, table, uuid, &foreign).await?;
            if !still.contains(&reached.uuid) {
                continue;
            }
            appending.accept(&NewEvent { timestamp, ..event }).await?;
        }
    }
    if outermost {
        appending.deleting.remove(&row);
    }
    Ok(())
}

/// The event for each row that points at this one by this foreign key.
async fn events_for(
    appending: &mut Appending<'_>,
    table: &Table,
    uuid: Uuid,
    foreign: &ForeignKey,
) -> Result<Vec<NewEvent>> {
    let found = pointing_rows(appending, table, uuid, foreign).await?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let (kind, data) = match foreign.on_delete {
        Action::Cascade | Action::Refuse => (EventKind::Delete, Row::new()),
        Action::SetNull => (EventKind::Update, nulls(foreign)),
        Action::SetDefault => (EventKind::Update, defaults(appending, foreign).await?),
    };
    let events = found.into_iter().map(|uuid| NewEvent {
        kind,
        table: foreign.table.clone(),
        uuid: Some(uuid),
        data: data.clone(),
        timestamp: None,
    });
    Ok(events.collect())
}

/// The rows that point at this one by this foreign key, which must be of a table that takes part.
async fn pointing_rows(
    appending: &mut Appending<'_>,
    table: &Table,
    uuid: Uuid,
    foreign: &ForeignKey,
) -> Result<Vec<Uuid>> {
    let pointing = appending.tracked(&foreign.table);
    let column = match &pointing {
        Ok(table) => format!("f.{}", quoted(table.key().unwrap_or_default())),
        Err(_) => "''".to_owned(),
    };
    let found: Vec<String> = sqlx::query_scalar(AssertSqlSafe(format!(
        "SELECT {column} FROM {} f JOIN {} p ON {} WHERE p.{} = ? ORDER BY 1",
        quoted(&foreign.table),
        quoted(&table.name),
        foreign.matching(),
        quoted(table.key().unwrap_or_default())
    )))
    .bind(uuid.to_string())
    .fetch_all(&mut *appending.connection)
    .await
    .map_err(failed)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    let pointing = pointing.map_err(|error| {
        Error::new(
            ErrorCode::UntrackedTable,
            format!(
                "it would change rows of {} by the foreign key {}, and that table takes no part: {}",
                foreign.table,
                foreign.name(),
                error.message
            ),
        )
        .hint("take those rows away first, or change the foreign key")
    })?;
    found
        .iter()
        .map(|text| {
            Uuid::parse_str(text).map_err(|_| {
                Error::new(
                    ErrorCode::BadUuid,
                    format!("{pointing} has a row whose key, \"{text}\", is no uuid"),
                )
            })
        })
        .collect()
}

/// What SET NULL makes of the foreign key's columns.
fn nulls(foreign: &ForeignKey) -> Row {
    let columns = foreign.columns.iter();
    columns
        .map(|column| (column.clone(), Value::Null))
        .collect()
}

/// A row that an update is carried on to.
pub(super) struct Carried {
    pub(super) row: RowKey,
    /// The row before.
    pub(super) before: Row,
    /// What the foreign keys change of it.
    pub(super) data: Row,
}

/// The rows that an update is carried on to, in the order in which they are logged. The row has not changed yet.
pub(super) async fn carried_by_update(
    appending: &mut Appending<'_>,
    table: &Table,
    uuid: Uuid,
    before: &Row,
    data: &Row,
) -> Result<Vec<Carried>> {
    let root = RowKey {
        table: table.name.clone(),
        uuid,
    };
    let mut carried = Vec::new();
    find_carried(appending, &root, &root, before, data, &mut carried).await?;
    Ok(carried)
}

async fn find_carried(
    appending: &mut Appending<'_>,
    root: &RowKey,
    row: &RowKey,
    before: &Row,
    data: &Row,
    carried: &mut Vec<Carried>,
) -> Result<()> {
    let table = appending.tracked(&row.table)?;
    let held = |column: &str| before.get(column).unwrap_or(&Value::Null);
    let changes = |column: &String| {
        let given = data.get(column);
        given.is_some_and(|given| !value::same(given, held(column)))
    };
    let mut acting: Vec<ForeignKey> = appending
        .foreign_keys
        .iter()
        .filter(|key| key.to_table == row.table && key.on_update != Action::Refuse)
        .filter(|key| key.to_columns.iter().any(changes))
        .cloned()
        .collect();
    acting.sort_by_key(|key| (key.table.clone(), key.columns.join(",")));
    for foreign in acting {
        for uuid in pointing_rows(appending, &table, row.uuid, &foreign).await? {
            let reached = RowKey {
                table: foreign.table.clone(),
                uuid,
            };
            // What happens to the row itself is its own event's.
            if reached == *root {
                continue;
            }
            let changed = match foreign.on_update {
                Action::SetNull => nulls(&foreign),
                Action::SetDefault => defaults(appending, &foreign).await?,
                Action::Cascade | Action::Refuse => {
                    let pairs = foreign.columns.iter().zip(&foreign.to_columns);
                    let taken = pairs.map(|(mine, theirs)| {
                        (
                            mine.clone(),
                            data.get(theirs).unwrap_or(held(theirs)).clone(),
                        )
                    });
                    taken.collect()
                }
            };
            let pointing = appending.tracked(&foreign.table)?;
            let Some(before) = codec::stored(appending.connection, &pointing, uuid).await? else {
                continue;
            };
            match carried.iter_mut().find(|known| known.row == reached) {
                Some(known) => known.data.extend(changed.clone()),
                None => carried.push(Carried {
                    row: reached.clone(),
                    before: before.clone(),
                    data: changed.clone(),
                }),
            }
            Box::pin(find_carried(
                appending, root, &reached, &before, &changed, carried,
            ))
            .await?;
            // After those that it carries on to, for a cause comes last.
            if let Some(at) = carried.iter().position(|known| known.row == reached) {
                let known = carried.remove(at);
                carried.push(known);
            }
        }
    }
    Ok(())
}

/// What SET DEFAULT makes of the foreign key's columns.
async fn defaults(appending: &mut Appending<'_>, foreign: &ForeignKey) -> Result<Row> {
    let mut row = Row::new();
    for column in &foreign.columns {
        let default: Option<String> =
            sqlx::query_scalar("SELECT dflt_value FROM pragma_table_xinfo(?) WHERE name = ?")
                .bind(&foreign.table)
                .bind(column)
                .fetch_one(&mut *appending.connection)
                .await
                .map_err(failed)?;
        let value: Option<String> = match default {
            // The expression is the table's own definition, which SQLite evaluates on such a delete itself.
            Some(expression) => {
                sqlx::query_scalar(AssertSqlSafe(format!("SELECT CAST({expression} AS TEXT)")))
                    .fetch_one(&mut *appending.connection)
                    .await
                    .map_err(failed)?
            }
            None => None,
        };
        row.insert(column.clone(), value.into());
    }
    Ok(row)
}
