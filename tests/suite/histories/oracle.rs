//! What the tables and the log must be, by other means than the engine's.

use std::collections::{BTreeMap, BTreeSet};

use ebbtide::eventsourcing::timestamp::{self, Timestamp};
use ebbtide::eventsourcing::{Event, EventKind, Row};
use serde_json::{Value, json};
use uuid::Uuid;

/// Every row, by its table and its key.
pub(crate) type Rows = BTreeMap<(String, Uuid), Row>;

/// After each transaction: the rows, and the effective events.
#[derive(Default)]
pub(crate) struct Oracle {
    /// By the last event of the transaction.
    copies: BTreeMap<i64, (Rows, BTreeSet<i64>)>,
    timestamps: Vec<Timestamp>,
    nothing: (Rows, BTreeSet<i64>),
}

impl Oracle {
    fn last(&self) -> &(Rows, BTreeSet<i64>) {
        self.copies.values().next_back().unwrap_or(&self.nothing)
    }

    pub(crate) fn rows(&self) -> &Rows {
        &self.last().0
    }

    pub(crate) fn effective(&self) -> &BTreeSet<i64> {
        &self.last().1
    }

    /// The rows right after this event, the last of its transaction; 0 is before the first.
    pub(crate) fn rows_at(&self, position: i64) -> &Rows {
        match position {
            0 => &self.nothing.0,
            _ => &self.copies[&position].0,
        }
    }

    /// What a rollback to before, or to after, this event keeps: runs of equal timestamps stay together.
    pub(crate) fn keeps(&self, event: i64, keep: bool) -> i64 {
        let moment = self.timestamps[usize::try_from(event - 1).unwrap()];
        let kept = self.timestamps.iter().filter(|timestamp| match keep {
            true => **timestamp <= moment,
            false => **timestamp < moment,
        });
        i64::try_from(kept.count()).unwrap()
    }

    /// A transaction of ordinary events, as stored.
    pub(crate) fn append(&mut self, events: &[Event]) {
        let (mut rows, mut effective) = self.last().clone();
        for event in events {
            apply(&mut rows, event);
            effective.insert(event.id);
            self.timestamps.push(event.timestamp);
        }
        if let Some(last) = events.last() {
            self.copies.insert(last.id, (rows, effective));
        }
    }

    /// A rollback: everything is as it was, and its marker is effective too.
    pub(crate) fn roll_back(&mut self, appended: &[Event], keeps_through: i64) {
        let (Some(first), Some(last)) = (appended.first(), appended.last()) else {
            return;
        };
        assert_eq!(
            (first.kind, last.kind),
            (EventKind::Rollback, EventKind::RollbackEnd)
        );
        self.timestamps
            .extend(appended.iter().map(|event| event.timestamp));
        let (rows, mut effective) = match keeps_through {
            0 => self.nothing.clone(),
            position => self.copies[&position].clone(),
        };
        effective.insert(first.id);
        self.copies.insert(last.id, (rows, effective));
    }
}

fn apply(rows: &mut Rows, event: &Event) {
    let key = event.row.as_ref().unwrap();
    let place = (key.table.clone(), key.uuid);
    let now = json!(timestamp::column_text(event.timestamp));
    match event.kind {
        EventKind::Create => {
            let mut row = match key.table.as_str() {
                "sample" => {
                    json!({"created_on": now, "updated_on": now, "info": null, "mass": 7, "parent_id": null})
                }
                _ => json!({"reference_id": null, "title": null}),
            };
            row[format!("{}_id", key.table)] = json!(key.uuid);
            for (column, value) in &event.data {
                row[column] = value.clone();
            }
            double(&mut row);
            let Value::Object(row) = row else {
                unreachable!("an object was made")
            };
            assert!(
                rows.insert(place, row).is_none(),
                "{event:?} creates what is there"
            );
        }
        EventKind::Update => {
            let row = rows
                .get_mut(&place)
                .unwrap_or_else(|| panic!("{event:?} updates nothing"));
            if key.table == "sample" {
                row["updated_on"] = now;
            }
            for (column, value) in &event.data {
                match (row.get_mut(column), value) {
                    (Some(Value::Object(held)), Value::Object(given)) if column == "info" => {
                        held.extend(given.clone());
                    }
                    _ => drop(row.insert(column.clone(), value.clone())),
                }
            }
            let mut value = Value::Object(std::mem::take(row));
            double(&mut value);
            if let Value::Object(whole) = value {
                *row = whole;
            }
        }
        EventKind::Delete => {
            assert!(rows.remove(&place).is_some(), "{event:?} deletes nothing");
            // What points at it must have gone before, by events of its own.
            let uuid = json!(key.uuid);
            let columns = ["sample_id", "reference_id", "parent_id"];
            let points = |((table, own), row): (&(String, Uuid), &Row)| {
                columns.iter().any(|column| {
                    row.get(*column) == Some(&uuid)
                        && !(table == "sample" && *own == key.uuid)
                        && key.table == "sample"
                        && !(table == "sample" && *column == "sample_id")
                })
            };
            assert!(
                !rows.iter().any(points),
                "{event:?} leaves rows that point at it"
            );
        }
        other => panic!("no ordinary event: {other}"),
    }
}

fn double(row: &mut Value) {
    if let Some(mass) = row.get("mass").cloned() {
        row["double_mass"] = mass.as_i64().map_or(Value::Null, |mass| (mass * 2).into());
    }
}
