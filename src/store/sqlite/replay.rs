//! What a rollback by `replay` appends: a delete for every live row, and the events effective at the target again.

use std::collections::{BTreeSet, HashMap};

use sqlx::{AssertSqlSafe, SqliteConnection};

use super::error::failed;
use super::log;
use super::row_events::{self, IN_RANGES, ranges_json};
use crate::eventsourcing::history::{EffectiveRows, History, Overruled};
use crate::eventsourcing::ranges::Ranges;
use crate::eventsourcing::rollback::Control;
use crate::eventsourcing::scope::Scope;
use crate::eventsourcing::states::columns_set;
use crate::eventsourcing::timestamp;
use crate::eventsourcing::{Event, EventId, EventKind, Result, RowKey};

/// Events that are read at once.
const EVENTS_AT_ONCE: i64 = 1000;

/// Appends them after the marker: a delete for every live row, newest first, then the events effective at the target.
pub(super) async fn append(
    all: &mut SqliteConnection,
    marker: &Event,
    keeps_through: EventId,
    control: &Control,
) -> Result<()> {
    let head = marker.id - 1;
    let history = log::history(&mut *all, head).await?;
    let is_plain = |position: EventId| {
        let mut ids = EffectiveRows::at(&history, position);
        let plain =
            history.scopes_since(0).len() == 1 && ids.of_scope(&Scope::Whole).overruled.is_empty();
        plain.then(|| ids.of_scope(&Scope::Whole).ids.clone())
    };
    match (is_plain(head), is_plain(keeps_through)) {
        (Some(now), Some(then)) => append_set_wise(all, marker, &now, &then).await,
        _ => append_singly(all, marker, &history, keeps_through, control).await,
    }
}

/// Where the same events count for every row.
async fn append_set_wise(
    all: &mut SqliteConnection,
    marker: &Event,
    now: &Ranges,
    then: &Ranges,
) -> Result<()> {
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO eventstore (id, event, type, uuid, data, timestamp, actor)
         SELECT ?4 + row_number() OVER (ORDER BY born DESC), 'delete', type, uuid, '{{}}', ?5, ?6
           FROM ({})
          ORDER BY born DESC",
        row_events::living(&Scope::Whole)
    )))
    .bind(ranges_json(now))
    .bind(None::<String>)
    .bind(None::<String>)
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
    .bind(ranges_json(then))
    .bind(deleted)
    .bind(timestamp::format(marker.timestamp))
    .bind(&marker.actor)
    .execute(&mut *all)
    .await
    .map(drop)
    .map_err(failed)
}

/// Where parts of the database have been taken back by themselves: which events count depends on the row.
async fn append_singly(
    all: &mut SqliteConnection,
    marker: &Event,
    history: &History,
    keeps_through: EventId,
    control: &Control,
) -> Result<()> {
    let head = marker.id - 1;
    let mut now = EffectiveRows::at(history, head);
    let mut then = EffectiveRows::at(history, keeps_through);
    let mut living: HashMap<RowKey, EventId> = HashMap::new();
    let mut after = 0;
    while let Some(last) = {
        control.check()?;
        let events = log::changes_after(&mut *all, after, head, EVENTS_AT_ONCE).await?;
        for event in &events {
            if let Some(key) = event
                .row
                .clone()
                .filter(|key| now.of(key).ids.contains(event.id))
            {
                match event.kind {
                    EventKind::Create => drop(living.insert(key, event.id)),
                    EventKind::Delete => drop(living.remove(&key)),
                    _ => {}
                }
            }
        }
        events.last().map(|last| last.id)
    } {
        after = last;
    }
    let mut living: Vec<(RowKey, EventId)> = living.into_iter().collect();
    living.sort_by_key(|(_, born)| -born);
    let mut id = marker.id;
    for (key, _) in living {
        id += 1;
        let event = Event {
            id,
            kind: EventKind::Delete,
            row: Some(key),
            data: crate::eventsourcing::Row::new(),
            ..marker.clone()
        };
        log::insert(&mut *all, &event).await?;
    }
    let mut overruled = OverruledColumns::default();
    let mut after = 0;
    loop {
        control.check()?;
        let events = log::changes_after(&mut *all, after, keeps_through, EVENTS_AT_ONCE).await?;
        let Some(last) = events.last() else {
            return Ok(());
        };
        after = last.id;
        for event in events {
            let Some(key) = event.row.clone() else {
                continue;
            };
            let effective = then.of(&key);
            if !effective.ids.contains(event.id) {
                continue;
            }
            id += 1;
            let mut repeated = Event {
                id,
                timestamp: marker.timestamp,
                actor: marker.actor.clone(),
                origin: Some(event.id),
                ..event.clone()
            };
            for by in &effective.overruled {
                if event.kind != EventKind::Update && event.id > by.last {
                    overruled.end(&key, by);
                }
                if event.id > by.last && event.id < by.before {
                    let columns = overruled.of(&mut *all, &key, by).await?;
                    repeated.data.retain(|column, _| !columns.contains(column));
                    if let Some(filled) = &mut repeated.filled {
                        filled.retain(|column, _| !columns.contains(column));
                    }
                }
            }
            log::insert(&mut *all, &repeated).await?;
        }
    }
}

/// The columns of each row whose later values do not count.
#[derive(Default)]
struct OverruledColumns(HashMap<(RowKey, EventId), BTreeSet<String>>);

impl OverruledColumns {
    /// With the row's next create or delete, nothing of what comes after it is overruled any more.
    fn end(&mut self, row: &RowKey, by: &Overruled) {
        self.0.insert((row.clone(), by.before), BTreeSet::new());
    }

    async fn of(
        &mut self,
        all: &mut SqliteConnection,
        row: &RowKey,
        by: &Overruled,
    ) -> Result<&BTreeSet<String>> {
        let place = (row.clone(), by.before);
        if !self.0.contains_key(&place) {
            let events = row_events::events_of(all, std::slice::from_ref(row), by.last).await?;
            let own = events.iter().filter(|event| by.own.contains(event.id));
            let columns = own.flat_map(columns_set).map(str::to_owned).collect();
            self.0.insert(place.clone(), columns);
        }
        Ok(&self.0[&place])
    }
}
