//! What the event store gave the events that it was sent. With what was asked for, which need not come back, that is the events as
//! they are logged.

use sqlx::postgres::{PgArguments, PgConnection, PgExecutor};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow};
use uuid::Uuid;

use super::{jsonb, log};
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Event, EventId, NewEvent, Row, RowKey};

/// Events that got the same.
#[derive(FromRow)]
pub(super) struct Given {
    ids: Vec<EventId>,
    uuids: Vec<Uuid>,
    moment: Timestamp,
    filled: Option<Json<Row>>,
    actor: String,
}

/// Runs an expression with these arguments, which appends events and returns the head before them.
pub(super) async fn given(
    executor: impl PgExecutor<'_>,
    append: &str,
    arguments: PgArguments,
) -> Result<Vec<Given>, sqlx::Error> {
    let sql = format!("SELECT * FROM sourcing.given_after({append})");
    sqlx::query_as_with(AssertSqlSafe(sql), arguments)
        .fetch_all(executor)
        .await
}

/// Appends one event by an INSERT, as any client does, which takes least. The events that come of it.
pub(super) async fn insert(
    connection: &mut PgConnection,
    event: &NewEvent,
) -> Result<Vec<Event>, sqlx::Error> {
    let (id, uuid, moment, filled, actor, has_others): (_, _, _, _, _, bool) = sqlx::query_as(
        r#"INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ($1, $2, $3, $4)
           RETURNING id, uuid, "timestamp", filled, actor, sourcing.follows_another(id, "timestamp")"#,
    )
    .bind(event.kind.as_str())
    .bind(&event.table)
    .bind(event.uuid)
    .bind(Json(&event.data))
    .fetch_one(&mut *connection)
    .await?;
    let given = Given {
        ids: vec![id],
        uuids: vec![uuid],
        moment,
        filled,
        actor,
    };
    match completed(id, &[given], std::slice::from_ref(event)) {
        Some(events) if !has_others => Ok(events),
        _ => log::of_moment(connection, moment).await,
    }
}

/// What becomes of the events that are sent, part by part.
#[derive(Default)]
pub(super) struct Logged {
    events: Vec<Event>,
    /// The first and the last.
    ids: Option<(EventId, EventId)>,
    /// Whether others came with them: what foreign keys and triggers did.
    has_others: bool,
}

impl Logged {
    /// The next part, and what was sent.
    pub(super) fn add(&mut self, given: &[Given], sent: &[NewEvent]) {
        let ids = || given.iter().flat_map(|given| given.ids.iter().copied());
        let Some((first, last)) = ids().min().zip(ids().max()) else {
            return;
        };
        self.ids = Some(self.ids.map_or((first, last), |(before, _)| (before, last)));
        // Each one that is sent is logged, and they keep their order: as many are the same.
        let completed = match usize::try_from(last - first + 1) == Ok(sent.len()) {
            true => completed(first, given, sent),
            false => None,
        };
        match completed {
            Some(events) if !self.has_others => self.events.extend(events),
            _ => self.has_others = true,
        }
    }

    /// The events as they are logged; where others came with them, read back from the log.
    pub(super) async fn events(
        self,
        executor: impl PgExecutor<'_>,
    ) -> Result<Vec<Event>, sqlx::Error> {
        match self.ids {
            Some((first, last)) if self.has_others => log::between(executor, first, last).await,
            _ => Ok(self.events),
        }
    }
}

fn completed(first: EventId, given: &[Given], sent: &[NewEvent]) -> Option<Vec<Event>> {
    let mut got = vec![None; sent.len()];
    for given in given {
        for (id, uuid) in given.ids.iter().zip(&given.uuids) {
            *got.get_mut(usize::try_from(id - first).ok()?)? = Some((given, *uuid));
        }
    }
    let events = (first..).zip(got).zip(sent);
    events
        .map(|((id, got), sent)| {
            let (given, uuid) = got?;
            Some(Event {
                id,
                kind: sent.kind,
                row: Some(RowKey {
                    table: sent.table.clone(),
                    uuid,
                }),
                data: jsonb::normal(&sent.data),
                timestamp: given.moment,
                stamp: given.moment,
                filled: given.filled.as_ref().map(|filled| filled.0.clone()),
                actor: given.actor.clone(),
                origin: None,
            })
        })
        .collect()
}
