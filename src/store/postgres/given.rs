//! What the event store gave the events that it was sent. With what was asked for, which need not come back, that is the events as
//! they are logged.

use std::collections::HashMap;

use sqlx::postgres::{PgArguments, PgConnection, PgExecutor, PgRow};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow, Row as _};
use uuid::Uuid;

use super::{jsonb, log};
use crate::eventsourcing::timestamp::Timestamp;
use crate::eventsourcing::{Event, EventId, NewEvent, Row, RowKey};

/// Events of one kind on one table that got the same.
#[derive(FromRow)]
pub(super) struct Given {
    event: String,
    r#type: Option<String>,
    events: i64,
    first: EventId,
    last: EventId,
    /// None where all events of that kind on that table got the same.
    ids: Option<Vec<EventId>>,
    /// None where the rows were given.
    uuids: Option<Vec<Uuid>>,
    moment: Timestamp,
    filled: Option<Json<Row>>,
    actor: String,
}

/// Runs an expression with these arguments, which appends events and returns the head before them.
pub(super) async fn given(
    executor: impl PgExecutor<'_>,
    append: &str,
    arguments: PgArguments,
    sent: &[NewEvent],
) -> Result<Vec<Given>, sqlx::Error> {
    let rows_known = sent.iter().all(|event| row_given(event).is_some());
    let sql = format!(
        "SELECT * FROM sourcing.given_after({append}, {})",
        !rows_known
    );
    sqlx::query_as_with(AssertSqlSafe(sql), arguments)
        .fetch_all(executor)
        .await
}

/// The row that the client named. The nil UUID stands for none.
fn row_given(event: &NewEvent) -> Option<Uuid> {
    event.uuid.filter(|uuid| !uuid.is_nil())
}

/// Appends one event by an INSERT, as any client does, which takes least. The events that come of it.
pub(super) async fn insert(
    connection: &mut PgConnection,
    event: &NewEvent,
) -> Result<Vec<Event>, sqlx::Error> {
    let (given, has_others): (Given, bool) = sqlx::query(
        r#"INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ($1, $2, $3, $4)
           RETURNING event, type, 1::bigint AS events, id AS first, id AS last, ARRAY[id] AS ids, ARRAY[uuid] AS uuids,
                     "timestamp" AS moment, filled, actor, sourcing.follows_another(id, "timestamp") AS has_others"#,
    )
    .bind(event.kind.as_str())
    .bind(&event.table)
    .bind(event.uuid)
    .bind(Json(&event.data))
    .try_map(|row: PgRow| Ok((Given::from_row(&row)?, row.try_get("has_others")?)))
    .fetch_one(&mut *connection)
    .await?;
    let moment = given.moment;
    match completed(given.first, &[given], std::slice::from_ref(event)) {
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
        let first = given.iter().map(|given| given.first).min();
        let last = given.iter().map(|given| given.last).max();
        let Some((first, last)) = first.zip(last) else {
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

/// None where what was given does not tell which of them got it.
fn completed(first: EventId, given: &[Given], sent: &[NewEvent]) -> Option<Vec<Event>> {
    // For each, who got the same, and its place among those.
    let mut got: Vec<Option<(&Given, usize)>> = vec![None; sent.len()];
    let mut counts: HashMap<(&str, Option<&str>), (&Given, usize)> = HashMap::new();
    for given in given {
        match &given.ids {
            Some(ids) => {
                for (place, id) in ids.iter().enumerate() {
                    *got.get_mut(usize::try_from(id - first).ok()?)? = Some((given, place));
                }
            }
            None => {
                counts.insert((&given.event, given.r#type.as_deref()), (given, 0));
            }
        }
    }
    for (got, sent) in got.iter_mut().zip(sent) {
        if got.is_none()
            && let Some((given, count)) = counts.get_mut(&(sent.kind.as_str(), Some(&sent.table)))
        {
            *got = Some((given, *count));
            *count += 1;
        }
    }
    let all_counted = counts
        .values()
        .all(|(given, count)| i64::try_from(*count) == Ok(given.events));
    let events = (first..).zip(got).zip(sent);
    let events = events.map(|((id, got), sent)| {
        let (given, place) = got?;
        let uuid = match &given.uuids {
            Some(uuids) => *uuids.get(place)?,
            None => row_given(sent)?,
        };
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
    });
    match all_counted {
        true => events.collect(),
        false => None,
    }
}
