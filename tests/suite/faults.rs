//! The faults of the software that ebb follows on, each a case that a naive version fails.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, value};
use ebbtide::store::Address;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, Row as _};

use crate::contract::schema;
use crate::support::{Database, create, delete, id, on_both, run, update};

on_both! {
    async fn fault_01_a_second_and_a_third_rollback_work(backend) {
        let lab = Database::mad_lab(backend).await;
        for (event, rows) in [(15, 12), (5, 4), (1, 0)] {
            lab.roll_back(RollbackTarget::BeforeEvent(event), Strategy::Replay).await.unwrap();
            assert_eq!(lab.rows().await.len(), rows, "before #{event}");
            lab.assert_no_drift().await;
        }
    }

    async fn fault_02_events_of_one_transaction_keep_their_order(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        // In any other order the second of these finds no row, or the third sees the wrong name.
        lab.append(vec![
            create("sample", id(9), json!({"name": "a"})),
            update("sample", id(9), json!({"name": "b"})),
            delete("sample", id(9)),
            create("sample", id(9), json!({"name": "c"})),
            create("sample", id(1), json!({"name": "a", "parent_id": id(9)})),
        ]).await;
        let before = lab.rows().await;
        lab.append(vec![create("sample", id(5), json!({"name": "d"}))]).await;
        lab.roll_back(RollbackTarget::BeforeEvent(6), Strategy::Replay).await.unwrap();
        assert_eq!(lab.rows().await, before);
        let origins: Vec<i64> = lab.log().await.iter().filter_map(|event| event.origin).collect();
        assert_eq!(origins, [1, 2, 3, 4, 5]);
        lab.assert_no_drift().await;
    }

    async fn fault_03_a_target_later_than_a_rollback_repeats_none_of_its_bookkeeping(backend) {
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            let lab = Database::mad_lab(backend).await;
            let whole = lab.rows().await;
            let first = lab.roll_back(RollbackTarget::BeforeEvent(15), Strategy::Replay).await.unwrap();
            let taken_back = lab.rows().await;
            let second = lab.append(vec![create("molecule", id(1), json!({"smiles": "X"}))]).await;
            // After the rollback, at its end, and a moment inside its past: none of its deletes counts by itself.
            for (target, rows) in [
                (RollbackTarget::BeforeEvent(second[0].id), &taken_back),
                (RollbackTarget::AfterEvent(first.rollback_end.unwrap()), &taken_back),
                (RollbackTarget::AfterEvent(18), &whole),
            ] {
                lab.roll_back(target, strategy).await.unwrap();
                assert_eq!(&lab.rows().await, rows, "{target:?} by {strategy}");
                lab.assert_no_drift().await;
                lab.undo(true).await.unwrap();
                lab.assert_no_drift().await;
            }
        }
    }

    async fn fault_04_a_row_that_points_at_a_newer_one_goes_too(backend) {
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![create("sample", id(1), json!({"name": "kept"}))]).await;
            lab.append(vec![create("sample", id(2), json!({"name": "old"}))]).await;
            lab.append(vec![create("sample", id(3), json!({"name": "new"}))]).await;
            lab.append(vec![update("sample", id(2), json!({"parent_id": id(3)}))]).await;
            let all = lab.rows().await;
            lab.roll_back(RollbackTarget::BeforeEvent(2), strategy).await.unwrap();
            assert_eq!(lab.rows().await.len(), 1, "by {strategy}");
            lab.undo(false).await.unwrap();
            assert_eq!(lab.rows().await, all, "by {strategy}");
            lab.assert_no_drift().await;
        }
    }

    async fn fault_05_what_is_gone_already_stops_nothing(backend) {
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            // By a cascade, whose deletes are events of their own.
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
            lab.append(vec![create("spectrum", id(11), json!({"sample_id": id(1)}))]).await;
            let before = lab.rows().await;
            lab.append(vec![delete("sample", id(1))]).await;
            lab.roll_back(RollbackTarget::AfterEvent(2), strategy).await.unwrap();
            assert_eq!(lab.rows().await, before, "by {strategy}");
            lab.roll_back(RollbackTarget::BeforeEvent(1), strategy).await.unwrap();
            assert!(lab.rows().await.is_empty(), "by {strategy}");
            // Behind the log's back: one that was to go, and one that was to change.
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
            let before = lab.rows().await;
            lab.append(vec![update("sample", id(1), json!({"name": "b"})), create("sample", id(2), json!({"name": "c"}))]).await;
            lab.sql("DELETE FROM sample").await.unwrap();
            lab.roll_back(RollbackTarget::AfterEvent(1), strategy).await.unwrap();
            assert_eq!(lab.rows().await, before, "by {strategy}");
            lab.assert_no_drift().await;
        }
    }

    async fn fault_06_rows_come_back_with_their_times_and_defaults(backend) {
        let (default, uuid, timestamp) = match backend {
            Backend::Sqlite => ("(hex(randomblob(8)))", "UUID", "TIMESTAMP"),
            Backend::Postgres => ("gen_random_uuid()::text", "uuid", "timestamp"),
        };
        let lab = Database::with(backend, &format!(
            "CREATE TABLE thing (thing_id {uuid} PRIMARY KEY NOT NULL, created_on {timestamp}, updated_on {timestamp}, token TEXT DEFAULT {default})"
        )).await;
        lab.append(vec![create("thing", id(1), json!({}))]).await;
        let before = lab.rows().await;
        assert!(before[0].1["token"].as_str().is_some_and(|token| !token.is_empty()));
        lab.append(vec![delete("thing", id(1))]).await;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.roll_back(RollbackTarget::BeforeEvent(2), strategy).await.unwrap();
            assert_eq!(lab.rows().await, before, "by {strategy}");
            lab.undo(false).await.unwrap();
        }
    }

    async fn fault_07_keys_of_a_json_column_come_and_go(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        lab.append(vec![update("sample", id(1), json!({"info": {"x": 1}}))]).await;
        assert_eq!(lab.row("sample", id(1)).await.unwrap()["info"], json!({"x": 1}), "NULL counts as {{}}");
        lab.append(vec![update("sample", id(1), json!({"info": {"y": 2}}))]).await;
        lab.roll_back(RollbackTarget::BeforeEvent(3), Strategy::Minimal).await.unwrap();
        assert_eq!(lab.row("sample", id(1)).await.unwrap()["info"], json!({"x": 1}), "the key is gone again");
        lab.roll_back(RollbackTarget::BeforeEvent(2), Strategy::Replay).await.unwrap();
        assert_eq!(lab.row("sample", id(1)).await.unwrap()["info"], json!(null));
    }

    async fn fault_11_an_update_cannot_change_a_rows_key(backend) {
        let lab = Database::mad_lab(backend).await;
        let molecule = "c053009a-9b1d-44a7-8267-f5befdb03eb0".parse().unwrap();
        let error = lab.refused(vec![update("molecule", molecule, json!({"molecule_id": id(1)}))]).await;
        assert_eq!(error.code, ErrorCode::BadValue);
        assert!(error.message.contains("molecule_id"), "{}", error.message);
    }

    async fn fault_12_unknown_keys_are_refused(backend) {
        let lab = Database::mad_lab(backend).await;
        let error = lab.refused(vec![create("molecule", id(1), json!({"smiles": "X", "colour": "red"}))]).await;
        assert_eq!(error.code, ErrorCode::UnknownColumn);
        assert!(error.message.contains("colour"), "{}", error.message);
    }

    async fn fault_15_a_time_zone_in_before_counts(backend) {
        let lab = Database::mad_lab(backend).await;
        for text in ["2020-02-17T03:09:59.145749Z", "2020-02-17T04:09:59.145749+01:00", "2020-02-16T22:09:59.145749-05:00"] {
            let target = RollbackTarget::Before(crate::support::moment(text));
            let outcome = lab.roll_back(target, Strategy::Minimal).await.unwrap();
            assert_eq!(outcome.keeps_through, 14, "{text}");
            lab.undo(false).await.unwrap();
        }
    }

    async fn fault_17_rollbacks_do_not_copy_the_log_again_and_again(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.roll_back(RollbackTarget::BeforeEvent(18), Strategy::Minimal).await.unwrap();
        assert_eq!(lab.store.head().await.unwrap(), 18 + 3, "one delete and two markers");
        lab.undo(false).await.unwrap();
        let mut grown = Vec::new();
        for _ in 0..3 {
            let before = lab.store.head().await.unwrap();
            lab.roll_back(RollbackTarget::BeforeEvent(15), Strategy::Replay).await.unwrap();
            grown.push(lab.store.head().await.unwrap() - before);
            lab.undo(false).await.unwrap();
        }
        assert_eq!(grown, [32, 32, 32], "each repeats what is effective, and nothing twice");
        let log = lab.log().await;
        let repeats: Vec<_> = log.iter().filter(|event| event.origin.is_some()).collect();
        assert!(repeats.iter().all(|event| event.origin.is_some_and(|origin| origin <= 18)));
    }
}

#[test]
fn fault_10_a_value_too_long_is_refused_and_a_varchar_without_length_is_fine() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, short varchar(3), long varchar, lines varchar(3)[])",
        )
        .await;
        for data in [json!({"short": "abcd"}), json!({"lines": ["abc", "abcd"]})] {
            let error = lab.refused(vec![create("thing", id(1), data)]).await;
            assert_eq!(error.code, ErrorCode::BadValue, "{}", error.message);
            assert!(error.message.contains("abcd"), "{}", error.message);
        }
        lab.append(vec![create(
            "thing",
            id(1),
            json!({"short": "abc", "long": "abcdefgh".repeat(100)}),
        )])
        .await;
        lab.assert_no_drift().await;
    });
}

/// A client of its own, as `psql` would be.
async fn client(lab: &Database) -> PgConnection {
    let Address::Postgres(url) = &lab.address else {
        panic!("a PostgreSQL database");
    };
    PgConnection::connect(url).await.unwrap()
}

#[test]
fn plain_inserts_are_applied_and_answered() {
    run(async {
        let lab = Database::lab(Backend::Postgres).await;
        let mut client = client(&lab).await;
        let row = sqlx::query("INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'molecule', '{\"smiles\": \"X\"}') RETURNING *")
            .fetch_one(&mut client)
            .await
            .unwrap();
        let (id, uuid): (i64, uuid::Uuid) = (row.get("id"), row.get("uuid"));
        assert_eq!(id, 1);
        assert_eq!(row.get::<String, _>("actor"), "postgres");
        assert_eq!(row.get::<Value, _>("filled"), json!({"metadata": {}}));
        assert_eq!(lab.row("molecule", uuid).await.unwrap()["smiles"], "X");
        for (sql, state, words) in [
            (
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('update', 'molecule', '{}')",
                "22004",
                "No uuid has been provided",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, type) VALUES ('delete', 'molecule')",
                "22004",
                "No uuid has been provided",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, type, uuid) VALUES ('delete', 'molecule', gen_random_uuid())",
                "P0002",
                "no such row",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, type, data, id) VALUES ('create', 'molecule', '{}', 7)",
                "EB008",
                "id",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, type, data, origin) VALUES ('create', 'molecule', '{}', 7)",
                "EB008",
                "origin",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, type, data, actor) VALUES ('create', 'molecule', '{}', 'me')",
                "EB008",
                "actor",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'molecule', '[1]')",
                "EB005",
                "object",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('make', 'molecule', '{}')",
                "EB007",
                "make",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sourcing.eventstore', '{}')",
                "EB001",
                "sourcing.eventstore",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{\"before\": \"soon\"}')",
                "EB010",
                "soon",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{}')",
                "EB010",
                "before",
            ),
            (
                "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback-end', '{\"before\": \"2020-01-01\"}')",
                "EB009",
                "rollback-end",
            ),
        ] {
            let error = sqlx::query(sql).execute(&mut client).await.expect_err(sql);
            let said = error.as_database_error().unwrap();
            assert_eq!(said.code().as_deref(), Some(state), "{sql}: {error}");
            assert!(said.message().contains(words), "{sql}: {error}");
        }
        assert_eq!(lab.store.head().await.unwrap(), 1);
    });
}

#[test]
fn an_inserted_rollback_is_the_founding_documents_replay() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut client = client(&lab).await;
        let id: i64 = sqlx::query_scalar(
            "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{\"before\": \"2020-02-17T04:09:59.145749+01:00\"}') RETURNING id",
        )
        .fetch_one(&mut client)
        .await
        .unwrap();
        assert_eq!(id, 19);
        let log = lab.log().await;
        for (event, line) in log[18..]
            .iter()
            .zip(include_str!("../data/replay.jsonl").lines())
        {
            let expected: Value = serde_json::from_str(line).unwrap();
            let found = event.to_json(None);
            for name in ["id", "event", "type", "uuid", "data"] {
                assert!(
                    value::same(&found[name], &expected[name]),
                    "{name} of #{}",
                    event.id
                );
            }
        }
        assert_eq!(log.len(), 50);
        // A second one, and one with nothing after its target.
        sqlx::query("INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{\"before\": \"2020-02-17T03:09:48.6\"}')")
            .execute(&mut client)
            .await
            .unwrap();
        assert_eq!(lab.rows().await.len(), 4);
        lab.assert_no_drift().await;
        let head = lab.store.head().await.unwrap();
        let done = sqlx::query("INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{\"before\": \"2999-01-01\"}')")
            .execute(&mut client)
            .await
            .unwrap();
        assert_eq!(done.rows_affected(), 0);
        assert_eq!(lab.store.head().await.unwrap(), head);
        // ebb undoes what a client did.
        lab.undo(false).await.unwrap();
        assert_eq!(lab.rows().await.len(), 12);
    });
}
