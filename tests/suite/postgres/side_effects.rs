//! What tables do of their own accord is in the log, or refused (§3): triggers, rules, cascades.

use ebbtide::eventsourcing::ErrorCode;
use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use serde_json::json;

use super::{run_sql, superuser};
use crate::support::{Database, create, delete, id, run, update};

const TABLES: &str = "
    CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text, count int, updated_on timestamp);
    CREATE TABLE other (other_id uuid PRIMARY KEY, name text);
    CREATE TABLE untracked (n serial PRIMARY KEY, note text);
";

/// A lab whose table `thing` has a trigger with this body.
async fn with_trigger(when: &str, body: &str) -> Database {
    let database = format!(
        "{TABLES}
         CREATE FUNCTION acting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
         CREATE TRIGGER acting {when} ON thing FOR EACH ROW EXECUTE FUNCTION acting()"
    );
    Database::with(Backend::Postgres, &database).await
}

/// Rolling back before the last event and undoing it leaves no drift and the same rows.
async fn goes_back_and_forth(lab: &Database) {
    lab.assert_no_drift().await;
    let rows = lab.rows().await;
    let head = lab.store.head().await.unwrap();
    for strategy in [Strategy::Minimal, Strategy::Replay] {
        lab.roll_back(RollbackTarget::BeforeEvent(head), strategy)
            .await
            .unwrap();
        lab.assert_no_drift().await;
        lab.undo(false).await.unwrap();
        assert_eq!(lab.rows().await, rows, "by {strategy}");
    }
}

#[test]
fn a_trigger_that_changes_its_own_row_is_recorded() {
    run(async {
        for (when, body) in [
            (
                "BEFORE INSERT OR UPDATE",
                "NEW.name := upper(NEW.name); NEW.count := coalesce(NEW.count, 0) + 1; RETURN NEW;",
            ),
            (
                "AFTER INSERT",
                "UPDATE thing SET name = upper(name), count = 1 WHERE thing_id = NEW.thing_id; RETURN NULL;",
            ),
            (
                "AFTER INSERT",
                "INSERT INTO untracked (note) VALUES (NEW.name); UPDATE thing SET name = upper(name), count = 1 WHERE thing_id = NEW.thing_id; RETURN NULL;",
            ),
        ] {
            let lab = with_trigger(when, body).await;
            lab.append(vec![
                create("thing", id(1), json!({"name": "a"})),
                create("thing", id(2), json!({"name": "b"})),
            ])
            .await;
            let row = lab.row("thing", id(1)).await.unwrap();
            assert_eq!(
                (&row["name"], &row["count"]),
                (&json!("A"), &json!(1)),
                "{body}"
            );
            assert_eq!(
                lab.store.event(1).await.unwrap().unwrap().filled.unwrap()["count"],
                1
            );
            goes_back_and_forth(&lab).await;
        }
    });
}

#[test]
fn a_trigger_that_writes_to_another_tracked_table_is_refused() {
    run(async {
        for (when, body) in [
            (
                "AFTER INSERT",
                "INSERT INTO other VALUES (gen_random_uuid(), NEW.name); RETURN NULL;",
            ),
            (
                "BEFORE INSERT",
                "UPDATE other SET name = NEW.name; RETURN NEW;",
            ),
            ("AFTER INSERT", "DELETE FROM other; RETURN NULL;"),
            // Another row of the same table, in each way that could be taken for the row's own.
            (
                "AFTER INSERT",
                "UPDATE thing SET count = 5 WHERE thing_id <> NEW.thing_id; RETURN NULL;",
            ),
            ("AFTER INSERT", "UPDATE thing SET count = 5; RETURN NULL;"),
            (
                "AFTER INSERT",
                "IF pg_trigger_depth() < 4 AND NEW.name = 'new' THEN INSERT INTO thing VALUES (gen_random_uuid(), 'again'); END IF; RETURN NULL;",
            ),
            (
                "AFTER INSERT",
                "DELETE FROM thing WHERE thing_id <> NEW.thing_id; RETURN NULL;",
            ),
        ] {
            let lab = with_trigger(when, body).await;
            lab.sql("ALTER TABLE thing DISABLE TRIGGER acting")
                .await
                .unwrap();
            lab.append(vec![
                create("other", id(1), json!({"name": "o"})),
                create("thing", id(1), json!({"name": "t"})),
            ])
            .await;
            lab.sql("ALTER TABLE thing ENABLE TRIGGER acting")
                .await
                .unwrap();
            let error = lab
                .refused(vec![create("thing", id(2), json!({"name": "new"}))])
                .await;
            assert_eq!(
                error.code,
                ErrorCode::ConstraintViolated,
                "{body}: {}",
                error.message
            );
            assert!(error.message.contains("thing"), "{}", error.message);
            assert!(error.hint.is_some());
            lab.assert_no_drift().await;
        }
    });
}

#[test]
fn a_trigger_that_waits_for_the_end_of_the_transaction_is_seen_too() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            &format!(
                "{TABLES}
                 CREATE FUNCTION acting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                    IF NEW.name = 'bad' THEN INSERT INTO other VALUES (gen_random_uuid(), NEW.name);
                    ELSE UPDATE thing SET count = 9 WHERE thing_id = NEW.thing_id AND count IS NULL; END IF; RETURN NULL; END $$;
                 CREATE CONSTRAINT TRIGGER acting AFTER INSERT ON thing DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION acting()"
            ),
        )
        .await;
        let error = lab
            .refused(vec![create("thing", id(1), json!({"name": "bad"}))])
            .await;
        assert!(error.message.contains("other"), "{}", error.message);
        lab.append(vec![create("thing", id(1), json!({"name": "good"}))])
            .await;
        assert_eq!(lab.row("thing", id(1)).await.unwrap()["count"], 9);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_trigger_that_inserts_events_is_recorded_by_them() {
    run(async {
        let lab = with_trigger(
            "AFTER INSERT OR UPDATE",
            "IF TG_OP = 'INSERT' THEN
                INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('create', 'other', NEW.thing_id, jsonb_build_object('name', NEW.name));
             ELSIF NEW.count = 1 THEN
                INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('update', 'thing', NEW.thing_id, '{\"count\": 2}');
             END IF; RETURN NULL;",
        )
        .await;
        let events = lab
            .append(vec![create("thing", id(1), json!({"name": "a"}))])
            .await;
        let tables: Vec<String> = events
            .iter()
            .map(|event| event.row.clone().unwrap().table)
            .collect();
        assert_eq!(
            tables,
            ["other", "thing"],
            "what follows is logged before its cause"
        );
        lab.append(vec![update("thing", id(1), json!({"name": "b"}))])
            .await;
        goes_back_and_forth(&lab).await;
        // One that changes the row a second time by an event is an event inside an event of the same row.
        let events = lab
            .append(vec![update("thing", id(1), json!({"count": 1}))])
            .await;
        let counts: Vec<_> = events
            .iter()
            .map(|event| event.data["count"].clone())
            .collect();
        assert_eq!(counts, [2, 1], "what follows is logged before its cause");
        let filled = events[1].filled.as_ref().unwrap();
        assert_eq!(filled["count"], 2, "and the cause says what came of it");
        assert_eq!(lab.row("thing", id(1)).await.unwrap()["count"], 2);
        // The two share a moment, so a rollback takes both back or neither.
        let (rows, head) = (lab.rows().await, lab.store.head().await.unwrap());
        lab.append(vec![update("thing", id(1), json!({"count": 3}))])
            .await;
        goes_back_and_forth(&lab).await;
        lab.roll_back(RollbackTarget::AfterEvent(head), Strategy::Replay)
            .await
            .unwrap();
        assert_eq!(lab.rows().await, rows);
        lab.assert_no_drift().await;
    });
}

/// What foreign keys carry on to `child` from an event of `parent` is an event of its own before it.
#[test]
fn what_foreign_keys_set_to_null_or_to_a_default_is_recorded() {
    run(async {
        let version: i32 = {
            let lab = Database::with(Backend::Postgres, TABLES).await;
            let mut client = superuser(&lab).await;
            sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
                .fetch_one(&mut client)
                .await
                .unwrap()
        };
        let change = || update("parent", id(1), json!({"code": "b"}));
        let mut cases = vec![
            (
                "code text DEFAULT 'none' REFERENCES parent (code) ON UPDATE SET DEFAULT",
                change(),
                json!("none"),
            ),
            (
                "code text DEFAULT 'none' REFERENCES parent (code) ON UPDATE SET NULL",
                change(),
                json!(null),
            ),
            (
                "code text DEFAULT 'none' REFERENCES parent (code) ON DELETE SET DEFAULT",
                delete("parent", id(1)),
                json!("none"),
            ),
            (
                "code text DEFAULT 'none' REFERENCES parent (code) ON DELETE SET NULL",
                delete("parent", id(1)),
                json!(null),
            ),
        ];
        // Some of the key's columns only, which PostgreSQL can since its version 15.
        let both = "code text, place text DEFAULT 'somewhere', FOREIGN KEY (place, code) REFERENCES parent (place, code)";
        let (to_null, to_default) = (
            format!("{both} ON DELETE SET NULL (code)"),
            format!("{both} ON DELETE SET DEFAULT (code)"),
        );
        if version >= 150_000 {
            cases.push((&to_null, delete("parent", id(1)), json!(null)));
            cases.push((&to_default, delete("parent", id(1)), json!(null)));
        }
        // With code of the pointing table's own and without.
        for (with_code, (columns, event, becomes)) in [false, true]
            .into_iter()
            .flat_map(|with_code| cases.iter().map(move |case| (with_code, case.clone())))
        {
            let lab = Database::with(
                Backend::Postgres,
                &format!(
                    "CREATE TABLE parent (parent_id uuid PRIMARY KEY, code text UNIQUE, place text DEFAULT 'here', UNIQUE (place, code));
                     CREATE TABLE child (child_id uuid PRIMARY KEY, note text, updated_on timestamp, {columns});
                     CREATE FUNCTION noting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.note := coalesce(NEW.code, 'nothing'); RETURN NEW; END $$"
                ),
            )
            .await;
            if with_code {
                lab.sql("CREATE TRIGGER noting BEFORE UPDATE ON child FOR EACH ROW EXECUTE FUNCTION noting()")
                    .await
                    .unwrap();
            }
            lab.append(
                vec![
                    create("parent", id(1), json!({"code": "a"})),
                    create("parent", id(2), json!({"code": "none"})),
                    create("child", id(3), json!({"code": "a", "place": "here"})),
                ]
                .into_iter()
                .map(|mut event| {
                    if !columns.contains("place") && event.table == "child" {
                        event.data.remove("place");
                    }
                    event
                })
                .collect(),
            )
            .await;
            let rows = lab.rows().await;
            let events = lab.append(vec![event]).await;
            let kinds: Vec<String> = events
                .iter()
                .map(|event| format!("{} {}", event.kind, event.row.as_ref().unwrap().table))
                .collect();
            assert_eq!(kinds.len(), 2, "{columns}: {kinds:?}");
            assert_eq!(kinds[0], "update child", "{columns}");
            let row = lab.row("child", id(3)).await.unwrap();
            assert_eq!(row["code"], becomes, "{columns}");
            let note = if with_code {
                json!(becomes.as_str().unwrap_or("nothing"))
            } else {
                json!(null)
            };
            assert_eq!(row["note"], note, "{columns}");
            lab.assert_no_drift().await;
            for strategy in [Strategy::Minimal, Strategy::Replay] {
                lab.roll_back(RollbackTarget::BeforeEvent(4), strategy)
                    .await
                    .unwrap();
                assert_eq!(lab.rows().await, rows, "{columns} by {strategy}");
                lab.assert_no_drift().await;
                lab.undo(false).await.unwrap();
                lab.assert_no_drift().await;
                assert_eq!(lab.row("child", id(3)).await.unwrap(), row, "{columns}");
            }
        }
    });
}

#[test]
fn a_trigger_for_each_statement_is_watched_too() {
    run(async {
        for (when, body, refused) in [
            (
                "AFTER INSERT",
                "INSERT INTO other VALUES (gen_random_uuid());",
                Some("other (create)"),
            ),
            (
                "BEFORE INSERT",
                "INSERT INTO other VALUES (gen_random_uuid());",
                Some("other (create)"),
            ),
            (
                "AFTER INSERT",
                "UPDATE thing SET count = 1;",
                Some("thing (update)"),
            ),
            (
                "AFTER INSERT",
                "UPDATE thing SET count = 1 WHERE name = 'n2';",
                None,
            ),
            (
                "AFTER INSERT",
                "INSERT INTO untracked (note) VALUES ('x');",
                None,
            ),
            (
                "BEFORE INSERT",
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'other', '{\"name\": \"by the trigger\"}');",
                None,
            ),
        ] {
            let lab = Database::with(
                Backend::Postgres,
                &format!(
                    "{TABLES} CREATE FUNCTION acting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} RETURN NULL; END $$;"
                ),
            )
            .await;
            lab.append(vec![create("thing", id(1), json!({"name": "n1"}))])
                .await;
            lab.sql(&format!(
                "CREATE TRIGGER acting {when} ON thing FOR EACH STATEMENT EXECUTE FUNCTION acting()"
            ))
            .await
            .unwrap();
            let event = create("thing", id(2), json!({"name": "n2"}));
            match refused {
                Some(named) => {
                    let error = lab.refused(vec![event]).await;
                    assert_eq!(error.code, ErrorCode::ConstraintViolated, "{body}");
                    assert!(error.message.contains(named), "{body}: {}", error.message);
                    lab.assert_no_drift().await;
                }
                None => {
                    lab.append(vec![event]).await;
                    // What is inserted into `untracked` stays: it takes no part.
                    lab.assert_no_drift().await;
                    let tracked = async || {
                        let mut rows = lab.rows().await;
                        rows.retain(|(table, _)| table != "untracked");
                        rows
                    };
                    let rows = tracked().await;
                    for strategy in [Strategy::Minimal, Strategy::Replay] {
                        lab.roll_back(RollbackTarget::BeforeEvent(2), strategy)
                            .await
                            .unwrap();
                        assert_eq!(tracked().await.len(), 1, "{body}");
                        lab.assert_no_drift().await;
                        lab.undo(false).await.unwrap();
                        assert_eq!(tracked().await, rows, "{body}");
                        lab.assert_no_drift().await;
                    }
                }
            }
        }
    });
}

#[test]
fn a_trigger_that_lets_nothing_be_written_or_another_key_is_refused_and_said() {
    run(async {
        let lab = with_trigger(
            "BEFORE INSERT OR UPDATE OR DELETE",
            "IF TG_OP = 'DELETE' THEN IF OLD.name = 'kept' THEN RETURN NULL; END IF; RETURN OLD; END IF;
             IF NEW.name = 'skip' THEN RETURN NULL; END IF;
             IF NEW.name = 'key' THEN NEW.thing_id := gen_random_uuid(); END IF;
             RETURN NEW;",
        )
        .await;
        lab.append(vec![
            create("thing", id(1), json!({"name": "kept"})),
            create("thing", id(2), json!({"name": "b"})),
        ])
        .await;
        for (event, said) in [
            (
                create("thing", id(3), json!({"name": "skip"})),
                "did not let the row be written",
            ),
            (
                create("thing", id(3), json!({"name": "key"})),
                "did not let the row be written",
            ),
            (
                update("thing", id(2), json!({"name": "skip"})),
                "did not let the row be written",
            ),
            (
                update("thing", id(2), json!({"name": "key"})),
                "did not let the row be written",
            ),
            (delete("thing", id(1)), "keeps the row"),
        ] {
            let error = lab.refused(vec![event.clone()]).await;
            assert_eq!(error.code, ErrorCode::ConstraintViolated, "{event}");
            assert!(
                error
                    .message
                    .ends_with(&format!("a trigger or a rule of thing {said}")),
                "{event}: {}",
                error.message
            );
            // Nor among others, at once.
            let mut several: Vec<_> = (11..15)
                .map(|at| create("thing", id(at), json!({"name": "n"})))
                .collect();
            several.push(event);
            lab.refused(several).await;
        }
        lab.append(vec![delete("thing", id(2))]).await;
        goes_back_and_forth(&lab).await;
    });
}

#[test]
fn a_rule_is_code_of_the_tables_too() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            &format!("{TABLES} CREATE RULE also AS ON DELETE TO thing DO ALSO DELETE FROM other WHERE other_id = OLD.thing_id"),
        )
        .await;
        lab.append(vec![
            create("thing", id(1), json!({})),
            create("thing", id(2), json!({})),
            create("other", id(1), json!({})),
        ])
        .await;
        let error = lab.refused(vec![delete("thing", id(1))]).await;
        assert_eq!(
            error.code,
            ErrorCode::ConstraintViolated,
            "{}",
            error.message
        );
        lab.append(vec![delete("thing", id(2))]).await;
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_function_in_a_default_is_watched_too() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE other (other_id uuid PRIMARY KEY, name text);
             CREATE FUNCTION sneaky() RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO other VALUES (gen_random_uuid(), 'x'); RETURN 'y'; END $$;
             CREATE FUNCTION counting() RETURNS text LANGUAGE sql AS 'SELECT count(*)::text FROM other';
             CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text DEFAULT sneaky(), count text DEFAULT counting())",
        )
        .await;
        let many = |from: u128| {
            (from..from + 5)
                .map(|at| create("thing", id(at), json!({"name": "given"})))
                .collect::<Vec<_>>()
        };
        lab.append(many(1)).await;
        let mut all = many(11);
        all.push(create("thing", id(20), json!({})));
        let error = lab.refused(all).await;
        assert!(error.message.contains("event 6 of 6"), "{}", error.message);
        lab.assert_no_drift().await;
    });
}

#[test]
fn when_the_counts_are_off_nothing_is_taken_on_trust() {
    run(async {
        let lab = with_trigger("AFTER INSERT", "RETURN NULL;").await;
        let mut client = superuser(&lab).await;
        run_sql(&mut client, "SET track_counts = off")
            .await
            .unwrap();
        let (state, message) = super::refusal(
            &mut client,
            "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'thing')",
        )
        .await;
        assert_eq!(state, "55000", "{message}");
        // Where no code of the table's own can run there is nothing to see.
        run_sql(
            &mut client,
            "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'other')",
        )
        .await
        .unwrap();
        lab.assert_no_drift().await;
    });
}

#[test]
fn rows_move_between_partitions_with_code_on_them() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE parted (parted_id uuid, place int, name text, PRIMARY KEY (parted_id)) PARTITION BY HASH (parted_id);
             CREATE TABLE part_0 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE part_1 PARTITION OF parted FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             CREATE TABLE other (other_id uuid PRIMARY KEY);
             CREATE FUNCTION acting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF NEW.name = 'bad' THEN INSERT INTO other VALUES (gen_random_uuid()); END IF; NEW.place := 1; RETURN NEW; END $$;
             CREATE TRIGGER acting BEFORE INSERT OR UPDATE ON parted FOR EACH ROW EXECUTE FUNCTION acting()",
        )
        .await;
        lab.append(
            (1..9)
                .map(|at| create("parted", id(at), json!({"name": "good"})))
                .collect(),
        )
        .await;
        lab.append(
            (1..9)
                .map(|at| update("parted", id(at), json!({"name": "better"})))
                .collect(),
        )
        .await;
        lab.refused(vec![update("parted", id(3), json!({"name": "bad"}))])
            .await;
        lab.append(vec![delete("parted", id(4))]).await;
        goes_back_and_forth(&lab).await;
    });
}
