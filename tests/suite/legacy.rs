//! Databases that mdb and Molar made: read as they are, never written.
//!
//! `legacy/*.sql` makes such databases anew, each with a trigger of ours that does to the tables what those programs did.

mod oddities;
mod reading;
mod refusing;
mod taking_over;
mod timing;

use std::collections::BTreeMap;

use ebbtide::eventsourcing::selection::Selection;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
use ebbtide::eventsourcing::{Event, EventId, NewEvent, Row, RowKey, value};
use ebbtide::store::Address;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use uuid::Uuid;

use crate::support::{Database, all_rows, create, fresh_address, id, moment};

/// Which program made the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Maker {
    Mdb,
    Molar,
}

/// The rows of every table that takes part.
type State = BTreeMap<RowKey, Row>;

/// A database of theirs, opened by ebb, and a client of theirs.
struct Old {
    lab: Database,
    client: PgConnection,
    maker: Maker,
    /// The tables as they were right after each event that a client inserted.
    states: Vec<(EventId, State)>,
}

impl Old {
    /// The Mad Lab's tables and these, and an empty log.
    async fn empty(maker: Maker, tables: &str) -> Self {
        let (address, directory) = fresh_address(Backend::Postgres).await;
        let Address::Postgres(url) = &address else {
            unreachable!("it was asked for");
        };
        let mut client = PgConnection::connect(url).await.unwrap();
        // A log without zones is UTC, whatever the server takes for its own.
        let zone = format!(
            "ALTER DATABASE {} SET TimeZone = 'America/New_York'",
            url.rsplit_once('/').unwrap().1
        );
        for sql in [
            zone.as_str(),
            ebbtide::demo::schema(Backend::Postgres),
            tables,
            match maker {
                Maker::Mdb => include_str!("legacy/mdb.sql"),
                Maker::Molar => include_str!("legacy/molar.sql"),
            },
            include_str!("legacy/rules.sql"),
            include_str!("legacy/hid.sql"),
        ] {
            client
                .execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
                .await
                .unwrap();
        }
        client.close().await.unwrap();
        Self {
            client: PgConnection::connect(url).await.unwrap(),
            lab: Database::there(address, directory).await,
            maker,
            states: Vec::new(),
        }
    }

    /// The Mad Lab with its story: #1 to #12 and #14 to #19, as one insertion failed in between.
    async fn mad_lab(maker: Maker) -> Self {
        let mut old = Self::empty(maker, "").await;
        for (at, event) in ebbtide::demo::story().unwrap().into_iter().enumerate() {
            if at == 12 {
                let again = create("molecule", id(1), json!({"smiles": "ABC"}));
                old.insert(&again).await.expect_err("it is there");
            }
            old.tell(&event).await;
        }
        old
    }

    async fn insert(&mut self, event: &NewEvent) -> sqlx::Result<EventId> {
        let row = (Some(event.table.as_str()), event.uuid);
        let data = Value::Object(event.data.clone());
        let stamp = event.timestamp;
        self.insert_row(event.kind.as_str(), row, data, stamp).await
    }

    async fn insert_row(
        &mut self,
        kind: &str,
        (table, uuid): (Option<&str>, Option<Uuid>),
        data: Value,
        stamp: Option<chrono::DateTime<chrono::Utc>>,
    ) -> sqlx::Result<EventId> {
        let (column, user) = match self.maker {
            Maker::Mdb => ("", ""),
            Maker::Molar => (", user_id", ", 7"),
        };
        sqlx::query_scalar(AssertSqlSafe(format!(
            r#"INSERT INTO sourcing.eventstore (event, type, uuid, data, "timestamp"{column})
               VALUES ($1, $2, $3, $4, coalesce($5, now()) AT TIME ZONE 'UTC'{user}) RETURNING id"#
        )))
        .bind(kind)
        .bind(table)
        .bind(uuid)
        .bind(Json(data))
        .bind(stamp)
        .fetch_one(&mut self.client)
        .await
    }

    /// Inserts an event, and notes what the tables are after it.
    async fn tell(&mut self, event: &NewEvent) -> EventId {
        let id = self.insert(event).await.unwrap();
        self.note(id).await;
        id
    }

    /// Has the old program roll back to before this moment. Returns its first and its last event.
    async fn their_rollback(&mut self, before: &str) -> (EventId, EventId) {
        let data = json!({"before": before});
        let begin = self.insert_row("rollback", (None, None), data, None).await;
        let end = self.lab.store.head().await.unwrap();
        self.note(end).await;
        (begin.unwrap(), end)
    }

    async fn note(&mut self, id: EventId) {
        let now = self.now().await;
        self.states.push((id, now));
    }

    /// What the tables were after this event.
    fn state(&self, id: EventId) -> &State {
        let found = self.states.iter().rfind(|(after, _)| *after <= id);
        found.map(|(_, state)| state).expect("an event before it")
    }

    /// The tables as they are, as the server has them.
    async fn now(&mut self) -> State {
        let each: String = sqlx::query_scalar(
            "SELECT string_agg(format('SELECT %1$L, t.%2$I, to_jsonb(t) FROM public.%1$I t', c.relname, a.attname), ' UNION ALL ')
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = c.relname || '_id' AND a.atttypid = 'uuid'::regtype
              WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace",
        )
        .fetch_one(&mut self.client)
        .await
        .unwrap();
        let rows: Vec<(String, Uuid, Json<Row>)> = sqlx::query_as(AssertSqlSafe(each))
            .fetch_all(&mut self.client)
            .await
            .unwrap();
        rows.into_iter()
            .map(|(table, uuid, Json(row))| (RowKey { table, uuid }, row))
            .collect()
    }

    /// The tables as they were at a position, as ebb sees it.
    async fn then(&self, position: EventId) -> State {
        let store = &*self.lab.store;
        let mut state = State::new();
        for table in store.tables().await.unwrap() {
            let Some(key) = table.key() else { continue };
            for row in all_rows(store, &table, Some(position), Selection::default(), None).await {
                let uuid = row[key].as_str().unwrap().parse().unwrap();
                let table = table.name.clone();
                state.insert(RowKey { table, uuid }, row);
            }
        }
        state
    }

    /// A role of its own, made by this SQL, in which `{role}` and `{database}` stand for their names: the address by which
    /// it comes in.
    async fn role(&self, sql: &str) -> String {
        let url = self.lab.argument();
        let (server, database) = url.rsplit_once('/').unwrap();
        let (_, host) = server.rsplit_once('@').unwrap();
        let role = format!("role_of_{database}");
        let made = format!("CREATE ROLE {role} LOGIN PASSWORD 'ebb-test'; {sql}");
        let made = made
            .replace("{role}", &role)
            .replace("{database}", database);
        self.lab.sql(&made).await.unwrap();
        format!("postgres://{role}:ebb-test@{host}/{database}")
    }

    /// The whole log as ebb reads it, oldest first.
    async fn log(&self) -> Vec<Event> {
        let request = PageRequest {
            filter: Filter::default(),
            from: None,
            until: None,
            direction: Direction::Newer,
            limit: 1000,
            detail: Detail::Whole,
        };
        let page = self.lab.store.page(&request).await.unwrap();
        assert!(!page.more);
        page.entries.into_iter().map(|entry| entry.event).collect()
    }

    /// Everything in the database, as the server has it: each row of the log and of the tables, and each object.
    async fn whole(&self) -> Vec<String> {
        let mut client = PgConnection::connect(&self.lab.argument()).await.unwrap();
        let mut all = Vec::new();
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind = 'r' AND (n.nspname !~ '^(pg_|information_schema)'
                 OR c.oid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass, 'pg_namespace'::regclass))
              ORDER BY 1",
        )
        .fetch_all(&mut client)
        .await
        .unwrap();
        for name in names {
            // How a table is stored changes by itself, with statistics and the like.
            let what = match name.strip_prefix("pg_catalog.") {
                Some(_) => "'object ' || t.oid::text",
                None => "t::text",
            };
            let sql = format!("SELECT '{name} ' || {what} FROM {name} t ORDER BY 1");
            let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sql))
                .fetch_all(&mut client)
                .await
                .unwrap();
            all.extend(rows);
        }
        all
    }
}

/// Two states must be the same, number for number.
fn assert_same(found: &State, expected: &State, what: &str) {
    let keys = |state: &State| state.keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(found), keys(expected), "{what}");
    for (key, found) in found {
        let (found, expected) = (
            Value::Object(found.clone()),
            Value::Object(expected[key].clone()),
        );
        assert!(
            value::same(&found, &expected),
            "{what}: {key} is {found}, not {expected}"
        );
    }
}

/// An event at a moment of the client's own.
fn at(text: &str, event: NewEvent) -> NewEvent {
    NewEvent {
        timestamp: Some(moment(text)),
        ..event
    }
}

/// Makes two tests of one: the same facts in a database of either program.
macro_rules! of_each {
    ($($(#[$meta:meta])* async fn $name:ident($maker:ident) $body:block)*) => {
        $(mod $name {
            #[allow(unused_imports, reason = "each fact needs some of them")]
            use super::*;

            async fn fact($maker: super::super::Maker) $body

            #[test]
            fn mdb() {
                crate::support::run(fact(super::super::Maker::Mdb));
            }

            #[test]
            fn molar() {
                crate::support::run(fact(super::super::Maker::Molar));
            }
        })*
    };
}
use of_each;
