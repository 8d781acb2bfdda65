//! Any client's INSERT is applied, ordered and recorded: as psql, object mappers and drivers send it.

use ebbtide::eventsourcing::store::Backend;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{Executor, Row as _};
use uuid::Uuid;

use super::{login, refusal, run_sql, superuser};
use crate::contract::schema;
use crate::support::{Database, create, id, run};

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
    });
}

/// Fault 9: columns of user-defined types could not be updated.
#[test]
fn fault_09_a_column_of_a_user_defined_type_is_updated() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TYPE state AS ENUM ('new', 'Done well'); CREATE TABLE thing (thing_id uuid PRIMARY KEY, state state)",
        )
        .await;
        lab.append(vec![create("thing", id(1), json!({"state": "new"}))])
            .await;
        lab.append(vec![crate::support::update(
            "thing",
            id(1),
            json!({"state": "Done well"}),
        )])
        .await;
        assert_eq!(lab.row("thing", id(1)).await.unwrap()["state"], "Done well");
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
