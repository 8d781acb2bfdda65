//! The rows that SQLite would remove, null or set to a default along with a deleted row: they get events of
//! their own, before it, so that the log stays complete.

use serde_json::Value;
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::append::Appending;
use super::error::failed;
use super::schema::{ForeignKey, OnDelete, quoted};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::timestamp::Timestamp;
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
        .filter(|key| key.to_table == table.name && key.on_delete != OnDelete::Refuse)
        .cloned()
        .collect();
    // Rows that go come first, so that a row which goes is not changed before. Then by names, as on every store.
    acting.sort_by_key(|key| {
        let stays = key.on_delete != OnDelete::Cascade;
        (stays, key.table.clone(), key.columns.join(","))
    });
    let row = RowKey {
        table: table.name.clone(),
        uuid,
    };
    appending.deleting.insert(row.clone());
    for foreign in acting {
        let events = events_for(appending, table, uuid, &foreign).await?;
        for event in events {
            let reached = RowKey {
                table: event.table.clone(),
                uuid: event.uuid.unwrap_or_default(),
            };
            // Not what is being deleted already, further out, nor what this cascade has deleted meanwhile.
            if appending.deleting.contains(&reached) || !is_there(appending, &event).await? {
                continue;
            }
            appending.accept(&NewEvent { timestamp, ..event }).await?;
        }
    }
    appending.deleting.remove(&row);
    Ok(())
}

async fn is_there(appending: &mut Appending<'_>, event: &NewEvent) -> Result<bool> {
    let table = appending.tracked(&event.table)?;
    let uuid = event.uuid.unwrap_or_default();
    let stored = super::codec::stored(appending.connection, &table, uuid).await?;
    Ok(stored.is_some())
}

/// The event for each row that points at this one by this foreign key.
async fn events_for(
    appending: &mut Appending<'_>,
    table: &Table,
    uuid: Uuid,
    foreign: &ForeignKey,
) -> Result<Vec<NewEvent>> {
    let pointing = appending.tracked(&foreign.table);
    let key = match &pointing {
        Ok(table) => quoted(table.key().unwrap_or_default()),
        Err(_) => "''".to_owned(),
    };
    let column = match &pointing {
        Ok(_) => format!("f.{key}"),
        Err(_) => key,
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
    let data = match foreign.on_delete {
        OnDelete::SetNull => foreign
            .columns
            .iter()
            .map(|column| (column.clone(), Value::Null))
            .collect(),
        OnDelete::SetDefault => defaults(appending, foreign).await?,
        OnDelete::Cascade | OnDelete::Refuse => Row::new(),
    };
    let kind = match foreign.on_delete {
        OnDelete::Cascade | OnDelete::Refuse => EventKind::Delete,
        OnDelete::SetNull | OnDelete::SetDefault => EventKind::Update,
    };
    found
        .iter()
        .map(|text| {
            let uuid = Uuid::parse_str(text).map_err(|_| {
                Error::new(
                    ErrorCode::BadUuid,
                    format!("{pointing} has a row whose key, \"{text}\", is no uuid"),
                )
            })?;
            Ok(NewEvent {
                kind,
                table: foreign.table.clone(),
                uuid: Some(uuid),
                data: data.clone(),
                timestamp: None,
            })
        })
        .collect()
}

/// What ON DELETE SET DEFAULT makes of the foreign key's columns.
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
