//! What a table's definition, or who changes it meanwhile, can do to events that are otherwise taken by the short way.

use ebbtide::eventsourcing::store::Backend;
use serde_json::json;

use super::{login, refusal, run_sql, superuser};
use crate::support::{Database, create, id, run};

const ITEM: &str = "CREATE TABLE item (item_id uuid PRIMARY KEY, n int DEFAULT 3, part uuid)";

fn insert(table: &str, data: &str) -> String {
    format!(
        "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', '{table}', '{data}')"
    )
}

#[test]
fn a_snapshot_from_before_a_change_of_the_table_fails_with_the_code_to_retry() {
    run(async {
        let lab = Database::with(Backend::Postgres, ITEM).await;
        lab.append(vec![create("item", id(1), json!({}))]).await;
        let mut writer = login(&lab, "nmr", "writer").await;
        for (isolation, change) in [
            (
                "REPEATABLE READ",
                "ALTER TABLE item ALTER COLUMN n SET DEFAULT 4",
            ),
            (
                "SERIALIZABLE",
                "CREATE FUNCTION five() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.n := 5; RETURN NEW; END';
                 CREATE TRIGGER five BEFORE INSERT ON item FOR EACH ROW EXECUTE FUNCTION five()",
            ),
            ("REPEATABLE READ", "DROP TRIGGER five ON item"),
        ] {
            let begin = format!("BEGIN ISOLATION LEVEL {isolation}; SELECT 1");
            run_sql(&mut writer, &begin).await.unwrap();
            lab.sql(change).await.unwrap();
            let (state, message) = refusal(&mut writer, &insert("item", "{}")).await;
            assert_eq!(state, "40001", "{change}: {message}");
            // Tried again, it sees the table as it is. Other databases of the server are at work meanwhile.
            let events = lab.log().await.len();
            let five = [&*insert("item", "{}"); 5].join(";");
            loop {
                run_sql(&mut writer, "ROLLBACK").await.unwrap();
                let again = format!("BEGIN ISOLATION LEVEL {isolation}; {five}; COMMIT");
                match run_sql(&mut writer, &again).await {
                    Ok(()) => break,
                    Err(error) => {
                        let said = error.as_database_error().unwrap();
                        assert_eq!(said.code().as_deref(), Some("40001"), "{said}");
                    }
                }
            }
            assert_eq!(lab.log().await.len(), events + 5);
            lab.assert_no_drift().await;
        }
    });
}

#[test]
fn a_rollback_with_a_snapshot_from_before_a_change_of_a_table_fails_with_the_code_to_retry() {
    run(async {
        let lab = Database::with(Backend::Postgres, ITEM).await;
        lab.append(vec![create("item", id(1), json!({}))]).await;
        let later = lab.append(vec![create("item", id(2), json!({}))]).await;
        let before = json!({"before": later[0].timestamp.naive_utc()});
        let mut operator = login(&lab, "head", "operator").await;
        for strategy in ["replay", "minimal"] {
            run_sql(
                &mut operator,
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1",
            )
            .await
            .unwrap();
            lab.sql("ALTER TABLE item ALTER COLUMN n SET DEFAULT 4")
                .await
                .unwrap();
            let mut data = before.clone();
            data["strategy"] = json!(strategy);
            let rollback = format!(
                "INSERT INTO sourcing.eventstore (event, data) VALUES ('rollback', '{data}')"
            );
            let (state, message) = refusal(&mut operator, &rollback).await;
            assert_eq!(state, "40001", "{strategy}: {message}");
            run_sql(&mut operator, "ROLLBACK").await.unwrap();
        }
        assert_eq!(lab.log().await.len(), 2);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_table_of_hundreds_of_columns_takes_events() {
    run(async {
        let columns: Vec<String> = (0..300).map(|at| format!("c{at} numeric")).collect();
        let sql = format!(
            "CREATE TABLE wide (wide_id uuid PRIMARY KEY, {})",
            columns.join(", ")
        );
        let lab = Database::with(Backend::Postgres, &sql).await;
        for at in 0..3 {
            lab.append(vec![create("wide", id(at), json!({"c7": at, "c299": 1.5}))])
                .await;
        }
        lab.append(
            (10..40)
                .map(|at| create("wide", id(at), json!({"c8": at})))
                .collect(),
        )
        .await;
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_default_of_negative_zero_is_recorded_as_it_is() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE f (f_id uuid PRIMARY KEY, a float8 DEFAULT '-0', b float4 DEFAULT -0.0, t text)",
        )
        .await;
        for at in 0..3 {
            lab.append(vec![create("f", id(at), json!({"t": "x"}))])
                .await;
        }
        lab.append((10..30).map(|at| create("f", id(at), json!({}))).collect())
            .await;
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_trigger_may_append_many_events() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE note (note_id uuid PRIMARY KEY, t text);
             CREATE TABLE item (item_id uuid PRIMARY KEY, k int);
             CREATE FUNCTION notes() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO sourcing.eventstore (event, type, data) SELECT 'create', 'note', '{}' FROM generate_series(1, NEW.k);
                 RETURN NEW;
             END $$;
             CREATE TRIGGER notes AFTER INSERT ON item FOR EACH ROW EXECUTE FUNCTION notes()",
        )
        .await;
        let mut writer = login(&lab, "nmr", "writer").await;
        for count in [3, 7, 40] {
            let sql = insert("item", &json!({"k": count}).to_string());
            run_sql(&mut writer, &sql).await.unwrap();
        }
        assert_eq!(lab.log().await.len(), 3 + 7 + 40 + 3);
        lab.assert_no_drift().await;
    });
}

#[test]
fn no_partition_is_attached_to_a_table_that_is_being_written() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE p (p_id uuid PRIMARY KEY, a text) PARTITION BY HASH (p_id);
             CREATE TABLE p0 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0) PARTITION BY HASH (p_id);
             CREATE TABLE p00 PARTITION OF p0 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
             CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 4, REMAINDER 1);
             CREATE TABLE p3 (p_id uuid NOT NULL PRIMARY KEY, a text)",
        )
        .await;
        let mut writer = login(&lab, "nmr", "writer").await;
        let first = "INSERT INTO sourcing.eventstore (event, type, uuid) SELECT 'create', 'p', u
            FROM (SELECT md5(i::text)::uuid AS u FROM generate_series(1, 99) i) AS us WHERE satisfies_hash_partition('p'::regclass, 2, 0, u) LIMIT 1";
        run_sql(&mut writer, "BEGIN").await.unwrap();
        run_sql(&mut writer, first).await.unwrap();
        let mut other = superuser(&lab).await;
        let (state, _) = refusal(
            &mut other,
            "SET lock_timeout = '50ms'; ALTER TABLE p ATTACH PARTITION p3 FOR VALUES WITH (MODULUS 4, REMAINDER 3)",
        )
        .await;
        assert_eq!(state, "55P03");
        run_sql(&mut writer, "COMMIT").await.unwrap();
        run_sql(
            &mut other,
            "ALTER TABLE p ATTACH PARTITION p3 FOR VALUES WITH (MODULUS 4, REMAINDER 3)",
        )
        .await
        .unwrap();
        lab.append((1..30).map(|at| create("p", id(at), json!({}))).collect())
            .await;
        lab.assert_no_drift().await;
    });
}

/// The rows' values, in the order of their events.
async fn values(lab: &Database, table: &str, column: &str) -> Vec<serde_json::Value> {
    let mut values = Vec::new();
    for event in lab.log().await {
        let row = event.row.unwrap();
        if row.table == table {
            values.push(lab.row(table, row.uuid).await.unwrap()[column].clone());
        }
    }
    values
}

#[test]
fn tables_that_share_a_sequence_in_any_way_are_numbered_in_the_order_of_the_log() {
    run(async {
        for (one, other) in [
            ("nextval('s')::text", "currval('s')::text"),
            ("'A' || nextval('s')", "'B' || nextval('s')"),
        ] {
            let tables = format!(
                "CREATE SEQUENCE s; CREATE TABLE a (a_id uuid PRIMARY KEY, v text DEFAULT {one});
                 CREATE TABLE b (b_id uuid PRIMARY KEY, v text DEFAULT {other})"
            );
            let events =
                || (0..40).map(|at| create(if at % 2 == 0 { "a" } else { "b" }, id(at), json!({})));
            let singly = Database::with(Backend::Postgres, &tables).await;
            for event in events() {
                singly.append(vec![event]).await;
            }
            let at_once = Database::with(Backend::Postgres, &tables).await;
            at_once.append(events().collect()).await;
            for table in ["a", "b"] {
                // A connection's own settings of the sequence: each of these appends on one.
                assert_eq!(
                    values(&at_once, table, "v").await,
                    values(&singly, table, "v").await,
                    "{one}, {other}"
                );
            }
        }
    });
}

#[test]
fn a_check_sees_the_same_text_whatever_the_session_says() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE c (c_id uuid PRIMARY KEY, label text, pre text, f float8, CHECK (label = (pre || f)))",
        )
        .await;
        let mut writer = login(&lab, "nmr", "writer").await;
        let right = insert("c", r#"{"label": "v0.5", "pre": "v", "f": 0.5}"#);
        for _ in 0..2 {
            run_sql(&mut writer, &right).await.unwrap();
        }
        run_sql(&mut writer, "SET extra_float_digits = -10")
            .await
            .unwrap();
        let wrong = insert("c", r#"{"label": "v0.3", "pre": "v", "f": 0.3000001}"#);
        let (state, message) = refusal(&mut writer, &wrong).await;
        assert_eq!(state, "23514", "{message}");
    });
}

#[test]
fn a_session_that_reads_backslashes_in_the_old_way_can_write() {
    run(async {
        let lab = Database::with(Backend::Postgres, ITEM).await;
        let mut writer = login(&lab, "nmr", "writer").await;
        run_sql(&mut writer, "SET standard_conforming_strings = off")
            .await
            .unwrap();
        for _ in 0..2 {
            run_sql(&mut writer, &insert("item", "{}")).await.unwrap();
        }
        lab.assert_no_drift().await;
    });
}
