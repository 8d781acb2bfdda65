//! Any client's INSERT is applied, ordered and recorded: as psql, object mappers and drivers send it.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{Executor, Row as _};
use uuid::Uuid;

use super::{login, refusal, run_sql, superuser};
use crate::contract::schema;
use crate::support::{Database, create, id, run, update};

#[test]
fn a_mapper_reads_back_what_the_server_chose() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut client = login(&lab, "orm", "writer").await;
        // Columns that were not set are left out, and read back by RETURNING.
        let row = sqlx::query("INSERT INTO sourcing.eventstore (event, type, data) VALUES ($1, $2, $3::jsonb) RETURNING sourcing.eventstore.id, sourcing.eventstore.uuid, sourcing.eventstore.timestamp")
            .bind("create")
            .bind("molecule")
            .bind(r#"{"smiles": "XYZ"}"#)
            .fetch_one(&mut client)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>("id"), 19);
        let uuid: Uuid = row.get("uuid");
        let event = lab.store.event(19).await.unwrap().unwrap();
        assert_eq!(event.row.unwrap().uuid, uuid);
        assert_eq!(
            event.timestamp,
            row.get::<chrono::DateTime<chrono::Utc>, _>("timestamp")
        );
        assert_eq!(lab.row("molecule", uuid).await.unwrap()["smiles"], "XYZ");
        // Or all are sent, with the columns' defaults.
        let row = sqlx::query(
            "INSERT INTO sourcing.eventstore (id, event, type, uuid, data, timestamp, filled, actor, origin, hash)
             VALUES (DEFAULT, 'update', 'molecule', $1, $2, DEFAULT, NULL, DEFAULT, NULL, NULL) RETURNING *",
        )
        .bind(uuid)
        .bind(Json(json!({"smiles": "XYZ2"})))
        .fetch_one(&mut client)
        .await
        .unwrap();
        assert_eq!(
            (row.get::<i64, _>("id"), row.get::<Uuid, _>("uuid")),
            (20, uuid)
        );
        // Nulls for what is not given, as some mappers send them.
        let row = sqlx::query("INSERT INTO sourcing.eventstore (event, type, uuid, data, id) VALUES ('create', 'molecule', NULL, '{\"smiles\": \"Z\"}', NULL) RETURNING *")
            .fetch_one(&mut client)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>("id"), 21);
        lab.assert_no_drift().await;
    });
}

#[test]
fn many_rows_in_one_statement_keep_their_order() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        let mut client = login(&lab, "psql", "writer").await;
        run_sql(
            &mut client,
            "INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES
                ('create', 'sample', '10000000-0000-4000-8000-000000000001', '{\"name\": \"a\"}'),
                ('update', 'sample', '10000000-0000-4000-8000-000000000001', '{\"name\": \"b\"}'),
                ('create', 'sample', '10000000-0000-4000-8000-000000000002', '{\"name\": \"a\", \"parent_id\": \"10000000-0000-4000-8000-000000000001\"}'),
                ('update', 'sample', '10000000-0000-4000-8000-000000000002', '{\"parent_id\": null}'),
                ('delete', 'sample', '10000000-0000-4000-8000-000000000001', '{}')",
        )
        .await
        .unwrap();
        let kinds: Vec<String> = lab
            .log()
            .await
            .iter()
            .map(|event| event.kind.to_string())
            .collect();
        assert_eq!(kinds, ["create", "update", "create", "update", "delete"]);
        let ids: Vec<i64> = sqlx::query_scalar(
            "INSERT INTO sourcing.eventstore (event, type, data)
             SELECT 'create', 'sample', jsonb_build_object('name', 'n' || i, 'mass', i) FROM generate_series(1, 500) AS i ORDER BY i RETURNING id",
        )
        .fetch_all(&mut client)
        .await
        .unwrap();
        assert_eq!(ids, (6..506).collect::<Vec<i64>>());
        let log = lab.log().await;
        assert!((5..505).all(|at| log[at].data["mass"] == json!(at - 4)));
        // One that cannot be leaves none of them.
        let (state, _) = refusal(
            &mut client,
            "INSERT INTO sourcing.eventstore (event, type, data) SELECT 'create', 'sample', jsonb_build_object('name', 'm' || i % 90) FROM generate_series(1, 100) AS i",
        )
        .await;
        assert_eq!(state, "23505");
        assert_eq!(lab.store.head().await.unwrap(), 505);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_copy_is_an_insert_too() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        let mut client = login(&lab, "copy", "writer").await;
        let mut copy = client
            .copy_in_raw("COPY sourcing.eventstore (event, type, data) FROM STDIN")
            .await
            .unwrap();
        copy.send(
            "create\tsample\t{\"name\": \"a\"}\ncreate\tsample\t{\"name\": \"b\"}\n".as_bytes(),
        )
        .await
        .unwrap();
        assert_eq!(copy.finish().await.unwrap(), 2);
        assert_eq!(lab.rows().await.len(), 2);
        lab.assert_no_drift().await;
    });
}

#[test]
fn prepared_statements_outlive_changes_of_the_tables() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        let mut client = login(&lab, "jdbc", "writer").await;
        // As a driver prepares it: once, with the types of the columns, and then many times.
        run_sql(
            &mut client,
            "PREPARE adding (text, text, uuid, jsonb) AS INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ($1, $2, $3, $4) RETURNING *",
        )
        .await
        .unwrap();
        let adding = |at: u32, data: &str| {
            format!(
                "EXECUTE adding ('create', 'sample', '10000000-0000-4000-8000-{at:012}', '{data}')"
            )
        };
        for at in 1..8 {
            run_sql(
                &mut client,
                &adding(at, &format!("{{\"name\": \"n{at}\"}}")),
            )
            .await
            .unwrap();
        }
        lab.sql("ALTER TABLE sample DROP COLUMN mass CASCADE; ALTER TABLE sample ADD COLUMN weight numeric(8, 3)").await.unwrap();
        run_sql(
            &mut client,
            &adding(8, "{\"name\": \"n8\", \"weight\": 1.5}"),
        )
        .await
        .unwrap();
        assert_eq!(
            refusal(&mut client, &adding(9, "{\"name\": \"n9\", \"mass\": 1}"))
                .await
                .0,
            "EB003"
        );
        lab.sql("ALTER TABLE sample RENAME TO specimen")
            .await
            .unwrap();
        assert_eq!(
            refusal(&mut client, &adding(9, "{\"name\": \"n9\"}"))
                .await
                .0,
            "EB001"
        );
        lab.sql("ALTER TABLE specimen RENAME TO sample")
            .await
            .unwrap();
        run_sql(&mut client, &adding(9, "{\"name\": \"n9\"}"))
            .await
            .unwrap();
        assert_eq!(lab.store.head().await.unwrap(), 9);
    });
}

/// As drivers do it that keep a statement under a name on the server: prepared once, and executed by the extended protocol.
#[test]
fn a_statement_that_a_driver_keeps_goes_on_working_when_a_table_gets_a_column() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        let mut client = login(&lab, "driver", "writer").await;
        let mut add = async |data: Value| {
            sqlx::query("INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', $1) RETURNING *")
                .bind(data)
                .fetch_one(&mut client)
                .await
                .map(|row| row.get::<i64, _>("id"))
        };
        for at in 1..12 {
            assert_eq!(add(json!({"name": at.to_string()})).await.unwrap(), at);
        }
        let error = add(json!({"name": "12", "colour": "red"}))
            .await
            .unwrap_err();
        assert_eq!(
            error.as_database_error().unwrap().code().as_deref(),
            Some("EB003")
        );
        lab.sql("ALTER TABLE sample ADD COLUMN colour text; ALTER TABLE sample ALTER COLUMN colour SET DEFAULT 'grey'")
            .await
            .unwrap();
        assert_eq!(
            add(json!({"name": "12", "colour": "red"})).await.unwrap(),
            12
        );
        assert_eq!(add(json!({"name": "13"})).await.unwrap(), 13);
        let kept: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'INSERT%'",
        )
        .fetch_one(&mut client)
        .await
        .unwrap();
        assert_eq!(kept, 1, "one statement for all of them");
        let log = lab.log().await;
        assert_eq!(log[11].data["colour"], "red");
        assert_eq!(log[12].filled.as_ref().unwrap()["colour"], "grey");
        lab.assert_no_drift().await;
    });
}

#[test]
fn many_statements_in_one_query_are_one_transaction() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        let mut client = login(&lab, "batch", "writer").await;
        let event = |name: &str| {
            format!(
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{{\"name\": \"{name}\"}}');"
            )
        };
        let all = |names: &[&str]| names.iter().map(|name| event(name)).collect::<String>();
        run_sql(&mut client, &all(&["a", "b", "c", "d", "e"]))
            .await
            .unwrap();
        let log = lab.log().await;
        let names: Vec<_> = log.iter().map(|event| event.data["name"].clone()).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
        assert!(log.iter().all(|event| event.timestamp == log[0].timestamp));
        // A refusal takes back what came before it in the same query.
        let (state, _) = refusal(&mut client, &all(&["f", "g", "a", "h"])).await;
        assert_eq!(state, "23505");
        assert_eq!(lab.store.head().await.unwrap(), 5);
        run_sql(&mut client, &all(&["f"])).await.unwrap();
        assert_eq!(lab.store.head().await.unwrap(), 6);
        lab.assert_no_drift().await;
    });
}

#[test]
fn what_many_rows_return_is_in_the_order_in_which_they_were_given() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        let mut client = login(&lab, "returning", "writer").await;
        let names: Vec<String> = (0..40).map(|at| format!("n{}", at * 7 % 40)).collect();
        let rows: Vec<(i64, Uuid, chrono::DateTime<chrono::Utc>, Json<Value>)> = sqlx::query_as(
            "INSERT INTO sourcing.eventstore (event, type, data)
             SELECT 'create', 'sample', jsonb_build_object('name', name) FROM unnest($1::text[]) WITH ORDINALITY AS given(name, place) ORDER BY place
             RETURNING id, uuid, \"timestamp\", data",
        )
        .bind(&names)
        .fetch_all(&mut client)
        .await
        .unwrap();
        let log = lab.log().await;
        assert_eq!((rows.len(), log.len()), (40, 40));
        for (at, (id, uuid, timestamp, Json(data))) in rows.into_iter().enumerate() {
            assert_eq!(
                (id, uuid, timestamp, &data["name"]),
                (
                    log[at].id,
                    log[at].row.as_ref().unwrap().uuid,
                    log[at].timestamp,
                    &json!(names[at])
                )
            );
            assert_eq!(
                lab.row("sample", uuid).await.unwrap()["name"],
                json!(names[at])
            );
        }
    });
}

#[test]
fn savepoints_and_later_failures_take_events_back() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        let mut client = login(&lab, "script", "writer").await;
        let event = |name: &str| {
            format!(
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{{\"name\": \"{name}\"}}')"
            )
        };
        run_sql(
            &mut client,
            &format!(
                "BEGIN; {}; SAVEPOINT s; {}; ROLLBACK TO s; {}; COMMIT",
                event("a"),
                event("b"),
                event("c")
            ),
        )
        .await
        .unwrap();
        let names: Vec<Value> = lab
            .log()
            .await
            .iter()
            .map(|event| event.data["name"].clone())
            .collect();
        assert_eq!(names, ["a", "c"]);
        // A refusal inside a savepoint does not take the events before it along.
        run_sql(&mut client, &format!("BEGIN; {}; SAVEPOINT s", event("d")))
            .await
            .unwrap();
        refusal(&mut client, &event("a")).await;
        run_sql(
            &mut client,
            &format!("ROLLBACK TO s; {}; COMMIT", event("e")),
        )
        .await
        .unwrap();
        run_sql(&mut client, &format!("BEGIN; {}; ROLLBACK", event("f")))
            .await
            .unwrap();
        run_sql(&mut client, &event("g")).await.unwrap();
        let ids: Vec<i64> = lab.log().await.iter().map(|event| event.id).collect();
        assert_eq!(ids, [1, 2, 3, 4, 5]);
        lab.assert_no_drift().await;
    });
}

/// Fault 5 of the software that this follows on: a row that went behind the log's back made every rollback fail.
#[test]
fn fault_05_rows_that_went_or_came_behind_the_logs_back_do_not_stop_a_rollback() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        lab.append(vec![create("fragment", id(1), json!({"smiles": "X"}))])
            .await;
        // Gone without an event, though the log has it: the rollback would delete it.
        lab.sql(&format!(
            "DELETE FROM fragment WHERE fragment_id = '{}'",
            id(1)
        ))
        .await
        .unwrap();
        // There without an event, and changed by one: a row from before the log.
        lab.sql(&format!(
            "INSERT INTO fragment VALUES ('{}', now(), now(), '{{}}', 'Y')",
            id(2)
        ))
        .await
        .unwrap();
        let mut client = superuser(&lab).await;
        run_sql(&mut client, &format!("INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('update', 'fragment', '{}', '{{\"smiles\": \"Z\"}}')", id(2)))
            .await
            .unwrap();
        run_sql(&mut client, r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17T03:09:59.145749"}')"#)
            .await
            .unwrap();
        assert!(lab.row("fragment", id(1)).await.is_none());
        // What the log never knew stays as it is.
        assert_eq!(lab.row("fragment", id(2)).await.unwrap()["smiles"], "Z");
        assert_eq!(
            lab.row(
                "molecule",
                "c053009a-9b1d-44a7-8267-f5befdb03eb0".parse().unwrap()
            )
            .await
            .unwrap()["smiles"],
            "ABC"
        );
    });
}

/// Fault 8: arrays were all taken for float8[].
#[test]
fn fault_08_arrays_of_any_type_and_dimension_are_kept() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, t text[], u uuid[], m int[][])",
        )
        .await;
        let data = json!({"t": ["a", null, ""], "u": [id(5)], "m": [[1, 2], [3, 4]]});
        lab.append(vec![
            create("thing", id(1), data.clone()),
            create("thing", id(2), json!({"t": [], "u": [], "m": []})),
        ])
        .await;
        let row = lab.row("thing", id(1)).await.unwrap();
        assert_eq!(json!({"t": row["t"], "u": row["u"], "m": row["m"]}), data);
        assert_eq!(
            lab.row("thing", id(2)).await.unwrap()["t"],
            json!([]),
            "empty is not NULL"
        );
        lab.assert_no_drift().await;
        // By an update too, and back again.
        let rows = lab.rows().await;
        let changed = json!({"t": [], "u": [null, id(6), id(7)], "m": [[5], [6], [7]]});
        lab.append(vec![
            update("thing", id(1), changed.clone()),
            update(
                "thing",
                id(2),
                json!({"t": ["{,}", "\"", "NULL"], "u": null}),
            ),
        ])
        .await;
        let after = lab.rows().await;
        assert_eq!(
            json!({"t": after[0].1["t"], "u": after[0].1["u"], "m": after[0].1["m"]}),
            changed
        );
        assert_eq!(after[1].1["t"], json!(["{,}", "\"", "NULL"]));
        assert_eq!(
            (&after[1].1["u"], &after[1].1["m"]),
            (&json!(null), &json!([]))
        );
        lab.assert_no_drift().await;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.roll_back(RollbackTarget::BeforeEvent(3), strategy)
                .await
                .unwrap();
            assert_eq!(lab.rows().await, rows, "by {strategy}");
            lab.undo(false).await.unwrap();
            assert_eq!(lab.rows().await, after, "by {strategy}");
            lab.assert_no_drift().await;
        }
    });
}

/// Fault 9: columns of user-defined types could not be updated.
#[test]
fn fault_09_a_column_of_a_user_defined_type_is_updated() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            r#"CREATE TYPE state AS ENUM ('new', 'Done well');
               CREATE TYPE "Work State" AS ENUM ('New', 'done');
               CREATE TYPE "Span" AS (low int, "High" int);
               CREATE TABLE thing (thing_id uuid PRIMARY KEY, state state, "Work" "Work State", "All" "Work State"[], span "Span")"#,
        )
        .await;
        let first =
            json!({"state": "new", "Work": "New", "All": ["New"], "span": {"low": 1, "High": 2}});
        let last = json!({"state": "Done well", "Work": "done", "All": ["done", "New"], "span": {"low": null, "High": 3}});
        lab.append(vec![create("thing", id(1), first.clone())])
            .await;
        let before = lab.rows().await;
        lab.append(vec![update("thing", id(1), last.clone())]).await;
        let after = lab.rows().await;
        for (rows, expected) in [(&before, &first), (&after, &last)] {
            for (name, value) in expected.as_object().unwrap() {
                assert_eq!(&rows[0].1[name], value, "{name}");
            }
        }
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.roll_back(RollbackTarget::BeforeEvent(2), strategy)
                .await
                .unwrap();
            assert_eq!(lab.rows().await, before, "by {strategy}");
            lab.assert_no_drift().await;
            lab.undo(false).await.unwrap();
            assert_eq!(lab.rows().await, after, "by {strategy}");
        }
        lab.assert_no_drift().await;
    });
}

/// Fault 14: log rows could be edited, timestamps chosen, rollback markers forged.
#[test]
fn fault_14_the_log_is_not_edited_and_nothing_in_it_forged() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut client = login(&lab, "mallory", "writer").await;
        let before = lab.log().await;
        for (state, sql) in [
            (
                "42501",
                "UPDATE sourcing.eventstore SET data = '{}' WHERE id = 3",
            ),
            ("42501", "DELETE FROM sourcing.eventstore WHERE id = 18"),
            (
                "42501",
                r#"INSERT INTO sourcing.eventstore (event, type, data, "timestamp") VALUES ('create', 'fragment', '{"smiles": "X"}', '2020-02-17 03:09:49')"#,
            ),
            (
                "42501",
                r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{"before": "2020-02-17"}')"#,
            ),
            (
                "EB009",
                r#"INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback-end', '{"before": "2020-02-17"}')"#,
            ),
        ] {
            let (found, message) = refusal(&mut client, sql).await;
            assert_eq!(found, state, "{sql}: {message}");
        }
        // Nor by the superuser, who may do anything but this.
        for sql in [
            "UPDATE sourcing.eventstore SET data = '{}'",
            "DELETE FROM sourcing.eventstore",
            "TRUNCATE sourcing.eventstore",
        ] {
            assert_eq!(
                refusal(&mut superuser(&lab).await, sql).await.0,
                "EB012",
                "{sql}"
            );
        }
        assert_eq!(lab.log().await, before);
    });
}

/// Fault 16: installing it again dropped the schema, log included.
#[test]
fn fault_16_installing_again_keeps_the_log() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let before = lab.log().await;
        let again = ebbtide::store::init(&lab.address, &crate::support::options(), None)
            .await
            .unwrap();
        again.store.close().await;
        assert_eq!(lab.log().await, before);
        // Nor do the migrations run by hand: each fails on what is there.
        for sql in [
            "CREATE SCHEMA sourcing",
            "CREATE TABLE sourcing.eventstore (id int)",
        ] {
            assert!(superuser(&lab).await.execute(sql).await.is_err(), "{sql}");
        }
    });
}

/// What the program would refuse in its plan, the database refuses of whoever writes a rollback by hand.
#[test]
fn a_revert_and_what_undoes_it_are_checked_when_they_come_as_plain_sql() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE sample (sample_id uuid PRIMARY KEY, name text)",
        )
        .await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))])
            .await;
        lab.append(vec![update("sample", id(1), json!({"name": "b"}))])
            .await;
        let mut client = superuser(&lab).await;
        let by_hand = |data: &str| {
            format!(
                "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{{\"before\": \"2000-01-01\", \"strategy\": \"minimal\", {data}}}')"
            )
        };
        for (data, code, words) in [
            (r#""reverts": [1, 1]"#, "EB013", "#2 changes it later"),
            (r#""undoes": 999"#, "EB005", "the ids of rollbacks"),
            (r#""undoes": 1"#, "EB005", "the ids of rollbacks"),
            (r#""redoes": 1e30"#, "EB005", "the ids of rollbacks"),
            (r#""undoes": "1""#, "EB005", "the ids of rollbacks"),
        ] {
            let (state, message) = refusal(&mut client, &by_hand(data)).await;
            assert_eq!(state, code, "{data}: {message}");
            assert!(message.contains(words), "{data}: {message}");
        }
        assert_eq!(lab.store.head().await.unwrap(), 2);
        run_sql(&mut client, &by_hand(r#""reverts": [2, 2]"#))
            .await
            .unwrap();
        assert_eq!(lab.row("sample", id(1)).await.unwrap()["name"], "a");
        run_sql(&mut client, &by_hand(r#""undoes": 3, "keeps_later": true"#))
            .await
            .unwrap();
        assert_eq!(lab.row("sample", id(1)).await.unwrap()["name"], "b");
        lab.assert_no_drift().await;
    });
}
