//! Plausible lab work, the same in every run: creates, updates and deletes of fragments and molecules.

use std::collections::HashMap;
use std::fmt;

use ebbtide::eventsourcing::{EventKind, NewEvent, Row};
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{Connection, Executor, PgConnection, SqliteConnection};
use uuid::Uuid;

/// In which order it comes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Many of one kind on one table after each other, as instruments and imports write.
    Blocks,
    /// Kinds and tables change from event to event.
    Mixed,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Blocks => "in blocks",
            Self::Mixed => "mixed",
        })
    }
}

const TABLES: [&str; 2] = ["fragment", "molecule"];

/// Numbers that look random: George Marsaglia's xorshift, 2003.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap_or_default()
    }
}

/// Half creates, four in ten updates, one in ten deletes.
pub(crate) fn events(shape: Shape, count: usize) -> Vec<NewEvent> {
    let mut numbers = Numbers(0x9E37_79B9_7F4A_7C15);
    let mut lives: HashMap<&str, Vec<Uuid>> = HashMap::new();
    let mut events = Vec::with_capacity(count);
    let (mut kind, mut table, mut left) = (EventKind::Create, TABLES[0], 100);
    while events.len() < count {
        if left == 0 || shape == Shape::Mixed {
            kind = [EventKind::Create, EventKind::Update, EventKind::Delete]
                [[0, 0, 0, 0, 0, 1, 1, 1, 1, 2][numbers.below(10)]];
            table = TABLES[numbers.below(2)];
            left = 50 + numbers.below(400);
        }
        left -= 1;
        let rows = lives.entry(table).or_default();
        let place = events.len();
        let (uuid, data) = match kind {
            EventKind::Create => {
                let uuid =
                    Uuid::from_u128((place as u128) << 64 | numbers.below(usize::MAX) as u128);
                rows.push(uuid);
                (uuid, json!({"smiles": smiles(&mut numbers, place)}))
            }
            _ if rows.is_empty() => {
                left = 0;
                continue;
            }
            EventKind::Delete => {
                let at = numbers.below(rows.len());
                (rows.swap_remove(at), json!({}))
            }
            _ => {
                let data = match numbers.below(2) {
                    0 => json!({"metadata": {"purity": numbers.below(100), "batch": place % 7}}),
                    _ => json!({"smiles": smiles(&mut numbers, place)}),
                };
                (rows[numbers.below(rows.len())], data)
            }
        };
        let Value::Object(data) = data else {
            unreachable!("it was written as one")
        };
        events.push(event(kind, table, uuid, data));
    }
    events
}

fn event(kind: EventKind, table: &str, uuid: Uuid, data: Row) -> NewEvent {
    NewEvent {
        kind,
        table: table.to_owned(),
        uuid: Some(uuid),
        data,
        timestamp: None,
    }
}

/// A molecule's line notation, another for each event.
fn smiles(numbers: &mut Numbers, place: usize) -> String {
    let part = |numbers: &mut Numbers| {
        ["C", "CC", "c1ccccc1", "C(=O)O", "N", "Cl", "OC"][numbers.below(7)]
    };
    format!(
        "{}{}{}[{place}]",
        part(numbers),
        part(numbers),
        part(numbers)
    )
}

/// How many rows there are in the end.
pub(crate) fn rows(work: &[NewEvent]) -> i64 {
    let count = |kind| work.iter().filter(|event| event.kind == kind).count() as i64;
    count(EventKind::Create) - count(EventKind::Delete)
}

/// Puts the events into a table, so that sending them is not measured.
pub(crate) async fn stage(client: &mut PgConnection, work: &[NewEvent]) -> sqlx::Result<()> {
    client
        .execute("CREATE TABLE staged (place bigint PRIMARY KEY, event text, type text, uuid uuid, data jsonb)")
        .await?;
    let kinds: Vec<&str> = work.iter().map(|event| event.kind.as_str()).collect();
    let types: Vec<&str> = work.iter().map(|event| event.table.as_str()).collect();
    let uuids: Vec<Option<Uuid>> = work.iter().map(|event| event.uuid).collect();
    let datas: Vec<_> = work.iter().map(|event| Json(&event.data)).collect();
    sqlx::query(
        "INSERT INTO staged SELECT place, event, type, uuid, data
           FROM unnest($1::text[], $2::text[], $3::uuid[], $4::jsonb[]) WITH ORDINALITY AS s(event, type, uuid, data, place)",
    )
    .bind(kinds)
    .bind(types)
    .bind(uuids)
    .bind(datas)
    .execute(&mut *client)
    .await?;
    // For the floor: the columns with their types, and of several changes of a row what they come to.
    client
        .execute(sqlx::raw_sql(
            "CREATE TABLE staged_create AS SELECT type, uuid, data ->> 'smiles' AS smiles FROM staged WHERE event = 'create';
             CREATE TABLE staged_update AS SELECT type, uuid, max(data ->> 'smiles') AS smiles, (array_agg(data -> 'metadata'))[1] AS metadata
                FROM staged WHERE event = 'update' GROUP BY type, uuid;
             CREATE TABLE staged_delete AS SELECT type, uuid FROM staged WHERE event = 'delete';
             ANALYZE staged; ANALYZE staged_create; ANALYZE staged_update; ANALYZE staged_delete",
        ))
        .await?;
    Ok(())
}

/// The same rows in the log and in the tables.
pub(crate) const FLOOR: &str = "
    BEGIN;
    INSERT INTO bare_log SELECT place, event, type, uuid, data, now() FROM staged;
    INSERT INTO fragment (fragment_id, created_on, updated_on, smiles) SELECT uuid, now(), now(), smiles FROM staged_create WHERE type = 'fragment';
    INSERT INTO molecule (molecule_id, created_on, updated_on, smiles) SELECT uuid, now(), now(), smiles FROM staged_create WHERE type = 'molecule';
    UPDATE fragment t SET updated_on = now(), smiles = coalesce(s.smiles, t.smiles), metadata = coalesce(s.metadata, t.metadata)
      FROM staged_update s WHERE s.type = 'fragment' AND s.uuid = t.fragment_id;
    UPDATE molecule t SET updated_on = now(), smiles = coalesce(s.smiles, t.smiles), metadata = coalesce(s.metadata, t.metadata)
      FROM staged_update s WHERE s.type = 'molecule' AND s.uuid = t.molecule_id;
    DELETE FROM fragment t USING staged_delete s WHERE s.type = 'fragment' AND s.uuid = t.fragment_id;
    DELETE FROM molecule t USING staged_delete s WHERE s.type = 'molecule' AND s.uuid = t.molecule_id;
    COMMIT;
";

/// One event as two bare writes and a commit.
pub(crate) async fn write_bare(
    client: &mut PgConnection,
    place: usize,
    event: &NewEvent,
) -> sqlx::Result<()> {
    let mut both = client.begin().await?;
    sqlx::query("INSERT INTO bare_log VALUES ($1, $2, $3, $4, $5, now())")
        .bind(place as i64)
        .bind(event.kind.as_str())
        .bind(&event.table)
        .bind(event.uuid)
        .bind(Json(&event.data))
        .execute(&mut *both)
        .await?;
    let text = |name: &str| {
        event
            .data
            .get(name)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let change = match (event.kind, event.table.as_str()) {
        (EventKind::Create, "fragment") => {
            "INSERT INTO fragment (fragment_id, created_on, updated_on, smiles) VALUES ($1, now(), now(), $2)"
        }
        (EventKind::Create, _) => {
            "INSERT INTO molecule (molecule_id, created_on, updated_on, smiles) VALUES ($1, now(), now(), $2)"
        }
        (EventKind::Delete, "fragment") => {
            "DELETE FROM fragment WHERE fragment_id = $1 AND $2::text IS NULL"
        }
        (EventKind::Delete, _) => {
            "DELETE FROM molecule WHERE molecule_id = $1 AND $2::text IS NULL"
        }
        (_, "fragment") => {
            "UPDATE fragment SET updated_on = now(), smiles = coalesce($2, smiles) WHERE fragment_id = $1"
        }
        (_, _) => {
            "UPDATE molecule SET updated_on = now(), smiles = coalesce($2, smiles) WHERE molecule_id = $1"
        }
    };
    sqlx::query(change)
        .bind(event.uuid)
        .bind(text("smiles"))
        .execute(&mut *both)
        .await?;
    both.commit().await
}

/// The same in a SQLite file.
pub(crate) async fn write_bare_sqlite(
    all: &mut SqliteConnection,
    place: usize,
    event: &NewEvent,
) -> sqlx::Result<()> {
    let uuid = event.uuid.map(|uuid| uuid.to_string());
    sqlx::query("INSERT INTO bare_log VALUES (?, ?, ?, ?, ?, ?)")
        .bind(place as i64)
        .bind(event.kind.as_str())
        .bind(&event.table)
        .bind(&uuid)
        .bind(Value::Object(event.data.clone()).to_string())
        .bind("2020-02-17T03:09:48.219183Z")
        .execute(&mut *all)
        .await?;
    let text = event
        .data
        .get("smiles")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let change = match (event.kind, event.table.as_str()) {
        (EventKind::Create, "fragment") => {
            "INSERT INTO fragment (fragment_id, created_on, updated_on, smiles) VALUES (?, '2020-02-17', '2020-02-17', ?)"
        }
        (EventKind::Create, _) => {
            "INSERT INTO molecule (molecule_id, created_on, updated_on, smiles) VALUES (?, '2020-02-17', '2020-02-17', ?)"
        }
        (EventKind::Delete, "fragment") => {
            "DELETE FROM fragment WHERE fragment_id = ? AND ? IS NULL"
        }
        (EventKind::Delete, _) => "DELETE FROM molecule WHERE molecule_id = ? AND ? IS NULL",
        (_, "fragment") => {
            "UPDATE fragment SET updated_on = '2020-02-18', smiles = coalesce(?2, smiles) WHERE fragment_id = ?1"
        }
        (_, _) => {
            "UPDATE molecule SET updated_on = '2020-02-18', smiles = coalesce(?2, smiles) WHERE molecule_id = ?1"
        }
    };
    sqlx::query(change)
        .bind(uuid)
        .bind(text)
        .execute(all)
        .await
        .map(drop)
}
