//! Recording rows that are not what the log says, without touching them.

use serde_json::Value;
use sqlx::SqliteConnection;

use super::append::moment_after;
use super::{log, rows, schema, unfit};
use crate::eventsourcing::history::EffectiveRows;
use crate::eventsourcing::{Event, Result, RowKey, difference, states, unfit as domain};

/// Rows that are read at once.
const ROWS_AT_ONCE: usize = 500;

/// Appends the events, inside the caller's transaction, which must hold the write lock. Returns how many.
pub(super) async fn record(connection: &mut SqliteConnection, actor: &str) -> Result<u64> {
    let head = log::head(&mut *connection).await?;
    let last = log::event(&mut *connection, head).await?;
    let moment = moment_after(last.map(|event| event.timestamp));
    let history = log::history(&mut *connection, head).await?;
    let mut effective = EffectiveRows::at(&history, head);
    let mut id = head;
    for table in schema::tables(connection).await? {
        if table.key().is_none() {
            continue;
        }
        let mut after = None;
        loop {
            let page = rows::audit_page(connection, &table, after, ROWS_AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.uuid);
            for audit in page {
                let key = RowKey {
                    table: table.name.clone(),
                    uuid: audit.uuid,
                };
                let mut told = states::fold(&table, &audit.events, effective.of(&key));
                if let (Some(told), Some(stored)) = (&mut told, &audit.stored) {
                    let suspects = domain::suspects(&table, told, stored);
                    let values = domain::values(&suspects, told);
                    for place in unfit::unfit(connection, &table, &values).await? {
                        told.insert(suspects[place].clone(), Value::Null);
                    }
                }
                for recorded in
                    difference::recording(&table, audit.uuid, told, audit.stored, moment)
                {
                    id += 1;
                    let event = Event {
                        id,
                        kind: recorded.kind,
                        row: Some(key.clone()),
                        data: recorded.data,
                        timestamp: moment,
                        stamp: moment,
                        filled: recorded.filled,
                        actor: actor.to_owned(),
                        origin: None,
                    };
                    log::insert(connection, &event).await?;
                }
            }
        }
    }
    Ok((id - head).unsigned_abs())
}
