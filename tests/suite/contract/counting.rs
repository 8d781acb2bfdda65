//! How many events and rows there are, as counted and as the database knows without counting.

use std::collections::BTreeMap;

use ebbtide::eventsourcing::activity::{self, ActivityBy, WINDOW};
use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::schema::Table;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, Event, inspect};
use serde_json::json;

use super::schema;
use crate::support::{Database, create, id, on_both, on_each};

/// What an event is counted as.
fn name(by: ActivityBy, event: &Event) -> Option<String> {
    match by {
        ActivityBy::Actor => Some(event.actor.clone()),
        ActivityBy::Table => event.row.as_ref().map(|row| row.table.clone()),
        ActivityBy::Day => Some(event.timestamp.format("%Y-%m-%d").to_string()),
    }
}

const EACH: [ActivityBy; 3] = [ActivityBy::Actor, ActivityBy::Table, ActivityBy::Day];

on_each! {
    async fn activity_is_how_many_events_each_has(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.roll_back(RollbackTarget::BeforeEvent(12), Strategy::Replay).await.unwrap();
        let log = lab.log().await;
        let head = log.last().unwrap().id;
        for by in EACH {
            for (first, last) in [(1, head), (1, 18), (3, 3), (10, head + 5), (head + 1, head + 9), (5, 4)] {
                let mut expected = BTreeMap::new();
                for event in log.iter().filter(|event| (first..=last).contains(&event.id)) {
                    if let Some(name) = name(by, event) {
                        *expected.entry(name).or_insert(0) += 1;
                    }
                }
                let found = lab.store.activity(by, first, last).await.unwrap();
                assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{by:?} {first} {last}");
            }
        }
        assert_eq!(lab.store.activity(ActivityBy::Day, 1, 18).await.unwrap(), [("2020-02-17".to_owned(), 18)]);
    }
}

on_both! {
    async fn a_whole_log_is_counted_window_by_window(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let mut told = Vec::new();
        let none = activity::of_whole_log(&*lab.store, ActivityBy::Table, |done, head| told.push((done, head))).await.unwrap();
        assert_eq!((none, &told), (Vec::new(), &Vec::new()));
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        let events = WINDOW + 1;
        lab.sql(&match backend {
            Backend::Sqlite => format!(
                "WITH RECURSIVE n(n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM n WHERE n <= {events})
                 INSERT INTO eventstore (id, event, type, uuid, timestamp, actor)
                 SELECT n, 'delete', 'spectrum', 'x', '2020-02-17T03:09:48.000000Z', 'somebody' FROM n"
            ),
            Backend::Postgres => format!(
                "SELECT sourcing.append(array_agg('create'::text), array_agg('spectrum'::text), array_agg(gen_random_uuid()),
                                        array_agg('{{\"sample_id\": \"{}\"}}'::jsonb), array_agg(NULL::timestamptz))
                   FROM generate_series(1, {events})", id(1)
            ),
        }).await.unwrap();
        let head = events + 1;
        let sums = activity::of_whole_log(&*lab.store, ActivityBy::Table, |done, head| told.push((done, head))).await.unwrap();
        assert_eq!(sums, [("sample".to_owned(), 1), ("spectrum".to_owned(), events.unsigned_abs())]);
        assert_eq!(told, [(WINDOW, head), (head, head)]);
        let actors = activity::of_whole_log(&*lab.store, ActivityBy::Actor, |_, _| {}).await.unwrap();
        assert_eq!(actors.iter().map(|(_, events)| events).sum::<u64>(), head.unsigned_abs());
    }

    async fn rows_are_estimated_once_the_table_was_analysed(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append((1..=20).map(|n| create("sample", id(n), json!({"name": n.to_string(), "mass": n}))).collect()).await;
        if backend == Backend::Sqlite {
            // Whose entries are fewer than the rows. Making an index counts them, on PostgreSQL.
            lab.sql("CREATE INDEX heavy ON sample (mass) WHERE mass > 15").await.unwrap();
        }
        let table = inspect::table(&*lab.store, "sample").await.unwrap();
        assert_eq!(lab.store.row_estimate(&table).await.unwrap(), None);
        lab.sql("ANALYZE").await.unwrap();
        assert_eq!(lab.store.row_estimate(&table).await.unwrap(), Some(20));
        lab.append(vec![create("sample", id(21), json!({"name": "21"}))]).await;
        assert_eq!(lab.store.row_estimate(&table).await.unwrap(), Some(20), "it is not counted");
        let gone = lab.store.row_estimate(&Table::gone("nowhere")).await.expect_err("no such table");
        assert_eq!(gone.code, ErrorCode::UnknownTable);
    }
}
