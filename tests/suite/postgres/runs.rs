//! Many events at once come to the same end as one after the other (`sourcing.append`).

use ebbtide::eventsourcing::store::Backend;
use serde_json::json;

use super::{refusal, run_sql, superuser};
use crate::support::{Database, create, id, run, update};

/// These events are refused by `append` as they are when they are inserted one after the other: with the same SQLSTATE, naming the same
/// event, and with nothing written.
async fn refused_both_ways(lab: &Database, events: &[(&str, &str, uuid::Uuid, &str)]) {
    let (log, rows) = (lab.log().await, lab.rows().await);
    let mut client = superuser(lab).await;
    let list = |field: fn(&(&str, &str, uuid::Uuid, &str)) -> String| {
        let all: Vec<String> = events
            .iter()
            .map(|event| format!("'{}'", field(event)))
            .collect();
        format!("ARRAY[{}]", all.join(", "))
    };
    let at_once = refusal(
        &mut client,
        &format!(
            "SELECT sourcing.append({}, {}, {}::uuid[], {}::jsonb[], array_fill(NULL::timestamptz, ARRAY[{}]))",
            list(|event| event.0.to_owned()),
            list(|event| event.1.to_owned()),
            list(|event| event.2.to_string()),
            list(|event| event.3.to_owned()),
            events.len()
        ),
    )
    .await;
    run_sql(&mut client, "BEGIN").await.unwrap();
    let mut one_by_one = None;
    for (at, (event, table, uuid, data)) in events.iter().enumerate() {
        let sql = format!(
            "INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('{event}', '{table}', '{uuid}', '{data}')"
        );
        if let Err(error) = run_sql(&mut client, &sql).await {
            let said = error.as_database_error().unwrap();
            one_by_one = Some((
                said.code().unwrap().into_owned(),
                format!("event {}: {}", at + 1, said.message()),
            ));
            break;
        }
    }
    run_sql(&mut client, "ROLLBACK").await.unwrap();
    assert_eq!(Some(at_once), one_by_one);
    assert_eq!((lab.log().await, lab.rows().await), (log, rows));
}

#[test]
fn a_default_cannot_point_at_a_row_that_comes_later() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            &format!("CREATE TABLE node (node_id uuid PRIMARY KEY, parent uuid DEFAULT '{}' REFERENCES node)", id(3)),
        )
        .await;
        let events = [1, 2, 3, 4, 5].map(|at| ("create", "node", id(at), "{}"));
        refused_both_ways(&lab, &events).await;
    });
}

#[test]
fn a_row_that_exists_is_not_created_once_more_under_a_key_that_is_checked_late() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, name text)",
        )
        .await;
        lab.append(vec![create("thing", id(2), json!({}))]).await;
        let mut events = vec![];
        events.extend([1, 2, 3, 4].map(|at| ("create", "thing", id(at), "{}")));
        events.push(("delete", "thing", id(2), "{}"));
        refused_both_ways(&lab, &events).await;
    });
}

#[test]
fn the_order_counts_for_unique_values_that_are_generated() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text, low text GENERATED ALWAYS AS (lower(name)) STORED UNIQUE)",
        )
        .await;
        // Stored in such an order that a single statement could move each name on to the next row.
        for (at, name) in [(4, "d"), (3, "c"), (2, "b"), (1, "a")] {
            lab.append(vec![create("thing", id(at), json!({"name": name}))])
                .await;
        }
        refused_both_ways(
            &lab,
            &[
                ("update", "thing", id(1), r#"{"name": "B"}"#),
                ("update", "thing", id(2), r#"{"name": "C"}"#),
                ("update", "thing", id(3), r#"{"name": "D"}"#),
                ("update", "thing", id(4), r#"{"name": "E"}"#),
            ],
        )
        .await;
        lab.append(
            [(4, "e"), (3, "d"), (2, "c"), (1, "b")]
                .map(|(at, name)| update("thing", id(at), json!({"name": name})))
                .to_vec(),
        )
        .await;
        lab.assert_no_drift().await;
    });
}

#[test]
fn columns_may_be_called_what_the_engine_calls_things() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            r#"CREATE TABLE t (t uuid PRIMARY KEY, r text, g text, m text, f text, w text, uuid int, data jsonb, place int, moment int,
                expected int, stored int, type text, "timestamp" text, "select" int, "a""b" text)"#,
        )
        .await;
        let data = json!({"r": "r", "g": "g", "uuid": 1, "data": {"a": 1}, "place": 2, "moment": 3, "expected": 4, "stored": 5,
            "type": "t", "timestamp": "x", "select": 6, "a\"b": "c", "m": "m", "f": "f", "w": "w"});
        for count in [1, 10] {
            lab.append(
                (0..count)
                    .map(|at| create("t", id(count * 100 + at), data.clone()))
                    .collect(),
            )
            .await;
            lab.append(
                (0..count)
                    .map(|at| {
                        update(
                            "t",
                            id(count * 100 + at),
                            json!({"data": {"b": 2}, "place": 7}),
                        )
                    })
                    .collect(),
            )
            .await;
        }
        assert_eq!(
            lab.row("t", id(1003)).await.unwrap()["data"],
            json!({"a": 1, "b": 2})
        );
        lab.assert_no_drift().await;
    });
}
