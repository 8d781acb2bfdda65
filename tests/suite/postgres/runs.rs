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

#[test]
fn events_of_one_row_in_one_statement_keep_their_order() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, a int, b int)",
        )
        .await;
        lab.append(
            (1..=4)
                .map(|at| create("thing", id(at), json!({})))
                .collect(),
        )
        .await;
        // Whichever columns they set, in either order.
        for (first, last) in [
            (json!({"a": 1, "b": 1}), json!({"a": 2})),
            (json!({"a": 3}), json!({"a": 4, "b": 4})),
        ] {
            let mut events = vec![update("thing", id(1), first)];
            events.extend((2..=4).map(|at| update("thing", id(at), json!({"a": 1}))));
            events.push(update("thing", id(1), last.clone()));
            lab.append(events).await;
            assert_eq!(lab.row("thing", id(1)).await.unwrap()["a"], last["a"]);
            lab.assert_no_drift().await;
        }
        // The second time it is not there any more.
        let events = [1, 2, 3, 4, 1].map(|at| ("delete", "thing", id(at), "{}"));
        refused_both_ways(&lab, &events).await;
    });
}

#[test]
fn what_is_undone_within_a_statement_does_not_take_the_events_before_it_along() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, n int);
             CREATE FUNCTION trying(i int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
                IF i % 8 = 0 THEN
                    BEGIN
                        INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'thing', '{\"n\": 0}');
                        RAISE EXCEPTION 'no';
                    EXCEPTION WHEN raise_exception THEN NULL;
                    END;
                END IF;
                RETURN jsonb_build_object('n', i);
             END $$",
        )
        .await;
        let mut client = super::login(&lab, "nmr", "writer").await;
        run_sql(&mut client, "INSERT INTO sourcing.eventstore (event, type, data) SELECT 'create', 'thing', trying(i) FROM generate_series(1, 20) AS i")
            .await
            .unwrap();
        assert_eq!(lab.store.head().await.unwrap(), 20);
        assert_eq!(lab.rows().await.len(), 20);
        lab.assert_no_drift().await;
        // Nor do savepoints around whole statements.
        let many = |from: i32| {
            format!(
                "INSERT INTO sourcing.eventstore (event, type, data) SELECT 'create', 'thing', jsonb_build_object('n', i) FROM generate_series({from}, {from} + 9) AS i"
            )
        };
        run_sql(
            &mut client,
            &format!(
                "BEGIN; {}; SAVEPOINT s; {}; ROLLBACK TO s; {}; COMMIT",
                many(100),
                many(200),
                many(300)
            ),
        )
        .await
        .unwrap();
        assert_eq!(lab.rows().await.len(), 40);
        lab.assert_no_drift().await;
    });
}

#[test]
fn what_a_single_insert_returns_is_final_after_a_statement_that_failed() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE sample (sample_id uuid PRIMARY KEY, name text, luck float8 DEFAULT random())",
        )
        .await;
        let mut client = superuser(&lab).await;
        let insert = |names: &str| {
            format!(
                "INSERT INTO sourcing.eventstore (event, type, data)
                 SELECT 'create', 'sample', jsonb_build_object('name', name) FROM unnest(ARRAY[{names}]) AS name"
            )
        };
        run_sql(&mut client, &format!("BEGIN; {}; SAVEPOINT s", insert("1")))
            .await
            .unwrap();
        let (state, message) = refusal(
            &mut client,
            "INSERT INTO sourcing.eventstore (event, type, data)
             SELECT 'create', CASE WHEN n < 9 THEN 'sample' ELSE 'smaple' END, '{}' FROM generate_series(1, 9) AS n",
        )
        .await;
        assert_eq!(state, "EB001", "{message}");
        run_sql(&mut client, "ROLLBACK TO s").await.unwrap();
        let returned: serde_json::Value =
            sqlx::query_scalar(sqlx::AssertSqlSafe(insert("2") + " RETURNING filled"))
                .fetch_one(&mut client)
                .await
                .unwrap();
        assert!(returned["luck"].is_number(), "{returned}");
        run_sql(&mut client, "COMMIT").await.unwrap();
        let log = lab.log().await;
        assert_eq!(
            returned,
            serde_json::Value::Object(log[1].filled.clone().unwrap())
        );
        lab.assert_no_drift().await;
    });
}

/// An event that waits for the end of its statement is refused before a later one that cannot even wait.
#[test]
fn of_two_events_that_are_refused_it_is_the_earlier_one() {
    run(async {
        let lab = Database::lab(Backend::Postgres).await;
        let mut client = superuser(&lab).await;
        let creates: Vec<String> = (1..=6)
            .map(|at| {
                format!(
                    "('create', 'fragment', '{}', '{{\"smiles\": \"C{at}\"}}'::jsonb, 0, '-infinity'::timestamptz)",
                    id(at % 6)
                )
            })
            .collect();
        let twice = format!(
            "{}, ('create', 'fragment', '{}', '{{\"smiles\": \"again\"}}', 0, '-infinity')",
            creates.join(", "),
            id(4)
        );
        for later in [
            "('make', 'fragment', NULL, '{}', 0, '-infinity')",
            "('restore', 'fragment', NULL, '{}', 0, '-infinity')",
            "('create', 'nosuch', NULL, '{}', 0, '-infinity')",
            "('create', NULL, NULL, '{}', 0, '-infinity')",
            "('create', 'fragment', NULL, '[]', 0, '-infinity')",
            "('update', 'fragment', NULL, '{}', 0, '-infinity')",
            "('create', 'fragment', NULL, '{}', 0, '1999-01-01')",
            "('rollback', 'fragment', NULL, '{}', 0, '-infinity')",
        ] {
            let (state, message) = refusal(
                &mut client,
                &format!("INSERT INTO sourcing.eventstore (event, type, uuid, data, id, \"timestamp\") VALUES {twice}, {later}"),
            )
            .await;
            assert_eq!(state, "EB006", "{later}: {message}");
        }
        assert!(lab.log().await.is_empty());
    });
}

/// The library sends many events in several messages, and all are one transaction.
#[test]
fn events_by_the_thousand_are_all_or_none() {
    run(async {
        let lab = Database::lab(Backend::Postgres).await;
        let many: Vec<_> = (1..=11_001)
            .map(|at| create("fragment", id(at), json!({"smiles": format!("C{at}")})))
            .collect();
        let mut spoilt = many.clone();
        spoilt.push(create("fragment", id(7), json!({"smiles": "again"})));
        let error = lab.refused(spoilt).await;
        assert!(
            error.message.starts_with("event 11002 of 11002, "),
            "{}",
            error.message
        );
        assert!(lab.log().await.is_empty());
        let stored = lab.append(many).await;
        let ids: Vec<i64> = stored.iter().map(|event| event.id).collect();
        assert_eq!(ids, (1..=11_001).collect::<Vec<_>>());
        assert_eq!(lab.rows().await.len(), 11_001);
        lab.assert_no_drift().await;
    });
}
