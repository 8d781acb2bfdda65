//! Every type of PostgreSQL's keeps its exact value: created, updated, deleted, rolled back (§3).

mod cases;
mod columns;

use std::collections::BTreeMap;

use cases::Case;
use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{EventKind, NewEvent, Row};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, PgConnection, Row as _};
use uuid::Uuid;

use super::{login, name, run_sql, superuser};
use crate::support::{Database, create, delete, id, run, update};

const TABLE: &str = r#""Lab 2"."A ""Thing"".x""#;
const TYPE: &str = r#"Lab 2.A "Thing".x"#;

/// A database with a table that has a column of each type.
struct Thing {
    lab: Database,
    cases: Vec<Case>,
}

/// Each row's columns, as the database writes them.
type Texts = BTreeMap<Uuid, Vec<Option<String>>>;

fn column(at: usize) -> String {
    format!("Col \"{at}\" ё")
}

fn quoted(at: usize) -> String {
    format!("\"{}\"", column(at).replace('"', "\"\""))
}

impl Thing {
    async fn new(extra: &str) -> Self {
        let lab = Database::with(Backend::Postgres, "CREATE SCHEMA \"Lab 2\"").await;
        let cases = cases::make(&lab).await;
        let columns: Vec<String> = cases
            .iter()
            .enumerate()
            .map(|(at, case)| format!("{} {}", quoted(at), case.name))
            .collect();
        lab.sql(&format!(
            "CREATE TABLE {TABLE} (\"Thing id\" uuid PRIMARY KEY, {}{extra})",
            columns.join(", ")
        ))
        .await
        .unwrap();
        Self { lab, cases }
    }

    fn rows(&self) -> usize {
        let counts = self.cases.iter().map(|case| case.values.len());
        counts.max().unwrap_or_default()
    }

    fn data(&self, at: usize, turn: usize) -> Value {
        let columns = self.cases.iter().enumerate();
        let columns =
            columns.map(|(place, case)| (column(place), case.value(at, turn).json.clone()));
        Value::Object(columns.collect::<Row>())
    }

    /// A connection that compares: whatever the database's settings, nothing is cut or read otherwise.
    async fn comparing(&self) -> PgConnection {
        let mut client = superuser(&self.lab).await;
        run_sql(
            &mut client,
            "SET extra_float_digits = 1; SET xmloption = content; SET array_nulls = on",
        )
        .await
        .unwrap();
        client
    }

    async fn texts(&self) -> Texts {
        let columns: Vec<String> = (0..self.cases.len())
            .map(|at| format!("{}::text", quoted(at)))
            .collect();
        sqlx::query(AssertSqlSafe(format!(
            "SELECT \"Thing id\", ARRAY[{}] FROM {TABLE}",
            columns.join(", ")
        )))
        .fetch_all(&mut self.comparing().await)
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(0), row.get(1)))
        .collect()
    }

    /// What the database itself makes of the same values: created, or updated once.
    async fn wanted(&self, updated: bool) -> Texts {
        let mut client = self.comparing().await;
        let mut wanted = BTreeMap::new();
        for at in 0..self.rows() {
            let values: Vec<String> = self
                .cases
                .iter()
                .map(|case| {
                    let value = match updated {
                        true => case.updated(at, 1),
                        false => case.value(at, 0).sql.clone(),
                    };
                    format!("({value})::text")
                })
                .collect();
            let row = sqlx::query(AssertSqlSafe(format!(
                "SELECT ARRAY[{}]",
                values.join(", ")
            )))
            .fetch_one(&mut client)
            .await
            .unwrap();
            wanted.insert(id(at as u128), row.get(0));
        }
        wanted
    }

    async fn assert_texts(&self, wanted: &Texts, when: &str) {
        let found = self.texts().await;
        assert_eq!(found.len(), wanted.len(), "{when}");
        for (uuid, columns) in wanted {
            for (at, value) in columns.iter().enumerate() {
                let case = &self.cases[at].name;
                assert_eq!(&found[uuid][at], value, "{when}: {case} of {uuid}");
            }
        }
    }

    /// Creates, updates and deletes every row, each time in every column, and rolls back to each stage.
    async fn lives(&self, mut writer: Option<PgConnection>) {
        let all: Vec<usize> = (0..self.rows()).collect();
        let (first, second) = (self.wanted(false).await, self.wanted(true).await);
        for (uuid, columns) in &first {
            for (at, value) in columns.iter().enumerate() {
                let case = &self.cases[at].name;
                assert_ne!(&second[uuid][at], value, "the update of {case} changes it");
            }
        }
        let creates = all
            .iter()
            .map(|at| create(TYPE, id(*at as u128), self.data(*at, 0)));
        self.give(creates.collect(), writer.as_mut()).await;
        self.assert_texts(&first, "created").await;
        let updates = all
            .iter()
            .map(|at| update(TYPE, id(*at as u128), self.data(*at, 1)));
        self.give(updates.collect(), writer.as_mut()).await;
        self.assert_texts(&second, "updated").await;
        self.lab.assert_no_drift().await;
        let deletes = all.iter().map(|at| delete(TYPE, id(*at as u128)));
        self.give(deletes.collect(), writer.as_mut()).await;
        self.assert_texts(&Texts::new(), "deleted").await;

        let count = all.len() as i64;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            for (keep, then, when) in [
                (2 * count, &second, "updates kept"),
                (count, &first, "creates kept"),
            ] {
                let target = RollbackTarget::AfterEvent(keep);
                let outcome = self.lab.roll_back(target, strategy).await.unwrap();
                assert_eq!(outcome.keeps_through, keep);
                self.assert_texts(then, &format!("{when}, by {strategy}"))
                    .await;
                self.lab.assert_no_drift().await;
                self.lab.undo(false).await.unwrap();
                self.assert_texts(&Texts::new(), "undone").await;
            }
        }
        // From one stage to the other, where rows are changed and neither come nor go.
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            let updated = RollbackTarget::AfterEvent(2 * count);
            self.lab.roll_back(updated, strategy).await.unwrap();
            let created = RollbackTarget::AfterEvent(count);
            self.lab.roll_back(created, strategy).await.unwrap();
            self.assert_texts(&first, &format!("changed back, by {strategy}"))
                .await;
            self.lab.undo(false).await.unwrap();
            self.assert_texts(&second, &format!("changed again, by {strategy}"))
                .await;
            self.lab.assert_no_drift().await;
        }
    }

    /// By the library, in one transaction; or by plain INSERTs, each in a transaction of its own, so that a position lies
    /// between any two.
    async fn give(&self, events: Vec<NewEvent>, writer: Option<&mut PgConnection>) {
        let Some(writer) = writer else {
            self.lab.append(events).await;
            return;
        };
        for event in events {
            sqlx::query(
                "INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ($1, $2, $3, $4)",
            )
            .bind(event.kind.as_str())
            .bind(&event.table)
            .bind(event.uuid)
            .bind(Json(&event.data))
            .execute(&mut *writer)
            .await
            .unwrap_or_else(|error| panic!("{event}: {error}"));
        }
    }
}

#[test]
fn every_type_keeps_its_exact_value() {
    run(async {
        Thing::new("").await.lives(None).await;
    });
}

#[test]
fn every_type_keeps_its_exact_value_by_plain_inserts() {
    run(async {
        let thing = Thing::new("").await;
        let writer = login(&thing.lab, "typist", "writer").await;
        thing.lives(Some(writer)).await;
    });
}

/// The settings of the database change how values are written and read everywhere but inside the event store.
#[test]
fn every_type_keeps_its_exact_value_whatever_the_databases_settings() {
    run(async {
        let mut thing = Thing::new("").await;
        for setting in [
            "timezone = 'Pacific/Kiritimati'",
            "datestyle = 'German, DMY'",
            "intervalstyle = 'iso_8601'",
            "bytea_output = 'escape'",
            "extra_float_digits = -3",
            "xmlbinary = 'hex'",
            "xmloption = 'document'",
            "array_nulls = off",
            "quote_all_identifiers = on",
            "transform_null_equals = on",
        ] {
            let database = name(&thing.lab);
            let sql = format!("ALTER DATABASE {database} SET {setting}");
            thing.lab.sql(&sql).await.unwrap();
        }
        thing.lab = thing.lab.opened_again().await;
        let writer = login(&thing.lab, "typist", "writer").await;
        thing.lives(Some(writer)).await;
    });
}

#[test]
fn what_a_column_cannot_take_is_refused_and_named() {
    run(async {
        let Thing { lab, cases } = Thing::new(", \"grade\" varchar(2) NOT NULL DEFAULT 'A'").await;
        let refused: &[(&str, &str)] = &[
            ("int2", "32768"),
            ("int4", "1.5"),
            ("int8", "9223372036854775808"),
            ("numeric(6, 2)", "10000"),
            ("float4", "1000000000000000000000000000000000000000"),
            ("bool", "\"maybe\""),
            ("varchar(5)", "\"abcdef\""),
            ("varchar(5)[]", "[\"abcdef\"]"),
            ("char(5)", "\"abcdef\""),
            ("bytea", "\"\\\\x0\""),
            ("uuid", "\"me\""),
            ("timestamp", "\"yesterday at noon-ish\""),
            ("xml", "\"<a>\""),
            ("inet", "\"10.0.0.999\""),
            ("int4[]", "[1, [2]]"),
            ("int4[]", "[\"a\"]"),
            ("colour", "\"green\""),
            ("percent", "101"),
            ("int4range", "\"[5,1]\""),
            ("peak", "{\"at\": \"x\"}"),
        ];
        let mut client = superuser(&lab).await;
        for (name, json) in refused {
            let at = cases.iter().position(|case| case.name == *name).unwrap();
            let given: Value = serde_json::from_str(json).unwrap();
            let event = create(TYPE, id(99), serde_json::json!({ column(at): given }));
            let error = lab.refused(vec![event.clone()]).await;
            assert_eq!(
                error.code.as_str(),
                "bad-value",
                "{name} {json}: {}",
                error.message
            );
            for part in [
                TYPE,
                &column(at),
                &given.to_string(),
                EventKind::Create.as_str(),
            ] {
                // PostgreSQL writes JSON with spaces.
                assert!(
                    error
                        .message
                        .replace(' ', "")
                        .contains(&part.replace(' ', "")),
                    "{name} {json}: {part} is missing in {}",
                    error.message
                );
            }
            let error = sqlx::query(
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', $1, $2)",
            )
            .bind(TYPE)
            .bind(Json(&event.data))
            .execute(&mut client)
            .await
            .expect_err(json);
            let said = error.as_database_error().unwrap();
            assert_eq!(said.code().unwrap(), "EB004", "{name} {json}: {said}");
        }
        lab.assert_no_drift().await;
    });
}
