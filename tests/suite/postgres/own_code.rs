//! Code of a table's own, wherever it hides: what it writes is in the log, or refused (§3).

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, NewEvent};
use serde_json::json;

use super::{refusal, run_sql, superuser};
use crate::support::{Database, create, delete, id, moment, run, update};

const SNEAKY: &str = "
    CREATE TABLE other (other_id uuid PRIMARY KEY, name text);
    CREATE FUNCTION sneak() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.other VALUES (gen_random_uuid()); RETURN 1; END $$;
    CREATE FUNCTION sneaks(integer) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM public.sneak(); RETURN true; END $$;
    CREATE FUNCTION sneaking(integer, integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN public.sneak(); END $$;
    CREATE OPERATOR @#@ (LEFTARG = integer, RIGHTARG = integer, FUNCTION = sneaking);
    CREATE DOMAIN checked AS integer CHECK (sneaks(VALUE));
    CREATE DOMAIN defaulted AS integer DEFAULT sneak();
    CREATE DOMAIN above AS checked;
    CREATE TYPE holding AS (held checked);
";

#[test]
fn code_of_a_columns_type_and_behind_operators_is_watched_too() {
    run(async {
        for column in [
            "x checked",
            "x above",
            "x checked[]",
            "x holding",
            "x defaulted",
            "x integer DEFAULT 1 @#@ 2",
            "x integer CHECK ((x @#@ 2) > 0)",
        ] {
            let lab = Database::with(
                Backend::Postgres,
                &format!("{SNEAKY} CREATE TABLE thing (thing_id uuid PRIMARY KEY, {column})"),
            )
            .await;
            let data = match column {
                "x checked[]" => json!({"x": [1]}),
                "x holding" => json!({"x": {"held": 1}}),
                "x defaulted" | "x integer DEFAULT 1 @#@ 2" => json!({}),
                _ => json!({"x": 1}),
            };
            for count in [1, 5] {
                let events = (1..=count)
                    .map(|at| create("thing", id(at), data.clone()))
                    .collect();
                let error = lab.refused(events).await;
                assert_eq!(
                    error.code,
                    ErrorCode::ConstraintViolated,
                    "{column}: {}",
                    error.message
                );
                assert!(
                    error.message.contains("other"),
                    "{column}: {}",
                    error.message
                );
            }
            lab.assert_no_drift().await;
        }
    });
}

const THING: &str = "
    CREATE TABLE thing (thing_id uuid PRIMARY KEY, count int, name text);
    CREATE TABLE other (other_id uuid PRIMARY KEY, name text);
";

async fn with_trigger(when: &str, body: &str) -> Database {
    Database::with(
        Backend::Postgres,
        &format!(
            "{THING} CREATE FUNCTION acting() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN {body} END $$;
             CREATE TRIGGER acting {when} ON thing FOR EACH ROW EXECUTE FUNCTION acting()"
        ),
    )
    .await
}

#[test]
fn a_trigger_that_empties_another_table_is_refused() {
    run(async {
        let lab = with_trigger("AFTER UPDATE", "TRUNCATE public.other; RETURN NULL;").await;
        lab.append(vec![
            create("other", id(9), json!({})),
            create("thing", id(1), json!({})),
        ])
        .await;
        let error = lab
            .refused(vec![update("thing", id(1), json!({"count": 1}))])
            .await;
        assert_eq!(
            error.code,
            ErrorCode::ConstraintViolated,
            "{}",
            error.message
        );
        lab.assert_no_drift().await;
    });
}

#[test]
fn an_event_of_the_same_row_inside_an_event_covers_no_other_row() {
    run(async {
        let lab = with_trigger(
            "AFTER UPDATE",
            r#"IF NEW.count = 1 THEN
                 INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('update', 'thing', NEW.thing_id, '{"count": 2}');
                 UPDATE public.thing SET name = 'sneaky' WHERE name = 'victim';
               END IF; RETURN NULL;"#,
        )
        .await;
        lab.append(vec![
            create("thing", id(1), json!({})),
            create("thing", id(2), json!({"name": "victim"})),
        ])
        .await;
        lab.refused(vec![update("thing", id(1), json!({"count": 1}))])
            .await;
        // Where there is no victim, both events are recorded.
        lab.append(vec![update("thing", id(2), json!({"name": "none"}))])
            .await;
        let rows = lab.rows().await;
        lab.append(vec![update("thing", id(1), json!({"count": 1}))])
            .await;
        assert_eq!(lab.row("thing", id(1)).await.unwrap()["count"], 2);
        lab.assert_no_drift().await;
        lab.roll_back(RollbackTarget::AfterEvent(3), Strategy::Minimal)
            .await
            .unwrap();
        assert_eq!(lab.rows().await, rows);
    });
}

#[test]
fn a_trigger_may_append_many_events_at_once() {
    run(async {
        let lab = with_trigger(
            "AFTER INSERT",
            "PERFORM sourcing.append(array_agg('create'::text), array_agg('other'::text), array_agg(NULL::uuid),
                array_agg(jsonb_build_object('name', i)), array_agg(NULL::timestamptz)) FROM generate_series(1, 5) AS i; RETURN NULL;",
        )
        .await;
        lab.append(vec![create("thing", id(1), json!({}))]).await;
        assert_eq!(lab.store.head().await.unwrap(), 6);
        lab.assert_no_drift().await;
    });
}

#[test]
fn what_a_trigger_appends_to_an_imported_event_is_no_later_than_it() {
    run(async {
        let lab = with_trigger(
            "AFTER INSERT",
            "INSERT INTO sourcing.eventstore (event, type, uuid) VALUES ('create', 'other', NEW.thing_id); RETURN NULL;",
        )
        .await;
        for (at, time) in [(1, "2020-01-01T00:00:00Z"), (2, "2020-01-02T00:00:00Z")] {
            lab.append(vec![NewEvent {
                timestamp: Some(moment(time)),
                ..create("thing", id(at), json!({}))
            }])
            .await;
        }
        let times: Vec<_> = lab
            .log()
            .await
            .iter()
            .map(|event| event.timestamp)
            .collect();
        let first = moment("2020-01-01T00:00:00Z");
        let second = moment("2020-01-02T00:00:00Z");
        assert_eq!(times, [first, first, second, second]);
        lab.roll_back(RollbackTarget::Before(second), Strategy::Minimal)
            .await
            .unwrap();
        assert_eq!(lab.rows().await.len(), 2);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_trigger_that_acts_during_a_rollback_too_writes_nothing_unseen() {
    run(async {
        for enabled in ["ALWAYS", "REPLICA"] {
            let lab = with_trigger(
                "AFTER DELETE",
                "INSERT INTO public.other VALUES (gen_random_uuid(), TG_OP); RETURN NULL;",
            )
            .await;
            lab.append(vec![create("thing", id(1), json!({}))]).await;
            lab.sql(&format!(
                "ALTER TABLE thing ENABLE {enabled} TRIGGER acting"
            ))
            .await
            .unwrap();
            let (log, rows) = (lab.log().await, lab.rows().await);
            let error = lab
                .roll_back(RollbackTarget::BeforeEvent(1), Strategy::Minimal)
                .await
                .expect_err("it writes");
            assert!(error.message.contains("other"), "{}", error.message);
            assert_eq!((lab.log().await, lab.rows().await), (log, rows));
        }
    });
}

#[test]
fn constraints_that_are_checked_late_are_checked_after_a_rollback() {
    run(async {
        for (constraint, data, state) in [
            (
                "EXCLUDE USING gist (span WITH &&) DEFERRABLE",
                [
                    json!({"span": "[1,5)"}),
                    json!({"span": "[3,7)"}),
                    json!({"span": "[7,8)"}),
                ],
                "23P01",
            ),
            (
                "UNIQUE (span) DEFERRABLE",
                [
                    json!({"span": "[1,5)"}),
                    json!({"span": "[1,5)"}),
                    json!({"span": "[7,8)"}),
                ],
                "23505",
            ),
        ] {
            let lab = Database::with(
                Backend::Postgres,
                "CREATE TABLE thing (thing_id uuid PRIMARY KEY, span int4range)",
            )
            .await;
            let [a, b, c] = data;
            lab.append(vec![
                create("thing", id(1), a),
                create("thing", id(2), b),
                create("thing", id(3), c),
            ])
            .await;
            lab.append(vec![delete("thing", id(1))]).await;
            lab.append(vec![delete("thing", id(3))]).await;
            lab.sql(&format!("ALTER TABLE thing ADD {constraint}"))
                .await
                .unwrap();
            let mut client = superuser(&lab).await;
            for (id, expected) in [(4, Some(state)), (5, None)] {
                let sql = format!(
                    "INSERT INTO sourcing.eventstore (event, data) SELECT 'rollback', jsonb_build_object('before', \"timestamp\") FROM sourcing.eventstore WHERE id = {id}"
                );
                match expected {
                    Some(state) => {
                        assert_eq!(refusal(&mut client, &sql).await.0, state, "{constraint}");
                    }
                    None => run_sql(&mut client, &sql).await.unwrap(),
                }
                lab.assert_no_drift().await;
            }
        }
    });
}

/// The server counts the rows that a transaction has written, and goes on counting what was undone in it.
#[test]
fn what_a_trigger_undoes_itself_counts_as_written_and_the_refusal_says_so() {
    run(async {
        let tag = "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'other', jsonb_build_object('name', NEW.name));";
        let first = create("thing", id(1), json!({"name": "red"}));
        let second = create("thing", id(2), json!({"name": "red"}));
        let lab = with_trigger(
            "AFTER INSERT",
            &format!("BEGIN {tag} EXCEPTION WHEN unique_violation THEN NULL; END; RETURN NULL;"),
        )
        .await;
        lab.sql("ALTER TABLE other ADD UNIQUE (name)")
            .await
            .unwrap();
        lab.append(vec![first.clone()]).await;
        let error = lab.refused(vec![second.clone()]).await;
        assert!(
            error
                .message
                .ends_with("also wrote to other (create), which no event says"),
            "{}",
            error.message
        );
        let hint = error.hint.unwrap();
        assert!(hint.contains("EXCEPTION"), "{hint}");

        // One that looks first has nothing to undo.
        let lab = with_trigger(
            "AFTER INSERT",
            &format!("IF NOT EXISTS (SELECT FROM public.other o WHERE o.name = NEW.name) THEN {tag} END IF; RETURN NULL;"),
        )
        .await;
        lab.append(vec![first, second]).await;
        assert_eq!(lab.rows().await.len(), 3);
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_row_that_triggers_write_a_third_time_is_refused_and_the_refusal_says_so() {
    run(async {
        let after = "UPDATE public.thing SET count = coalesce(count, 0) + 1 WHERE thing_id = NEW.thing_id; RETURN NULL;";
        let lab = with_trigger("AFTER INSERT", after).await;
        lab.append(vec![create("thing", id(1), json!({}))]).await;
        assert_eq!(lab.row("thing", id(1)).await.unwrap()["count"], 1);
        lab.sql(
            "CREATE TRIGGER again AFTER INSERT ON thing FOR EACH ROW EXECUTE FUNCTION acting()",
        )
        .await
        .unwrap();
        let error = lab.refused(vec![create("thing", id(2), json!({}))]).await;
        assert!(
            error
                .message
                .ends_with("also wrote to thing (update), which no event says"),
            "{}",
            error.message
        );
        let hint = error.hint.unwrap();
        assert!(
            hint.contains("BEFORE") && hint.contains("third write"),
            "{hint}"
        );

        let before = "NEW.count := coalesce(NEW.count, 0) + 1; RETURN NEW;";
        let lab = with_trigger("BEFORE INSERT", before).await;
        lab.sql(
            "CREATE TRIGGER again BEFORE INSERT ON thing FOR EACH ROW EXECUTE FUNCTION acting()",
        )
        .await
        .unwrap();
        lab.append(vec![create("thing", id(2), json!({}))]).await;
        assert_eq!(lab.row("thing", id(2)).await.unwrap()["count"], 2);
        lab.assert_no_drift().await;
    });
}

/// What a trigger notes in an event of its own, of a sample.
const ACTIONS: &str = "
    CREATE TABLE sample (sample_id uuid PRIMARY KEY);
    CREATE TABLE action (action_id uuid PRIMARY KEY, sample_id uuid REFERENCES sample ON DELETE CASCADE);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO sourcing.eventstore (event, type, data)
            VALUES ('create', 'action', jsonb_build_object('sample_id', OLD.sample_id));
            RETURN NULL;
        END $$;
";

/// A row that a trigger makes point at the one that is being deleted goes with it, and the log says so.
#[test]
fn what_a_trigger_points_at_a_row_that_is_being_deleted_is_recorded() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            &(ACTIONS.to_owned() + "CREATE TABLE booking (booking_id uuid PRIMARY KEY, sample_id uuid REFERENCES sample ON DELETE SET NULL);
             CREATE TRIGGER note AFTER UPDATE ON booking FOR EACH ROW EXECUTE FUNCTION note();"),
        )
        .await;
        lab.append(vec![
            create("sample", id(1), json!({})),
            create("booking", id(2), json!({"sample_id": id(1)})),
        ])
        .await;
        let events = lab.append(vec![delete("sample", id(1))]).await;
        let kinds: Vec<_> = events.iter().map(|event| event.kind.as_str()).collect();
        assert_eq!(kinds, ["create", "update", "delete", "delete"]);
        assert_eq!(lab.rows().await.len(), 1);
        lab.assert_no_drift().await;
    });
}

/// A default that is the row itself that is being deleted, and a trigger that never ends.
#[test]
fn what_points_at_a_row_that_is_being_deleted_again_and_again_is_refused() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            &(ACTIONS.to_owned() + "CREATE TABLE booking (booking_id uuid PRIMARY KEY,
                                   sample_id uuid DEFAULT '10000000-0000-4000-8000-000000000001' REFERENCES sample ON DELETE SET DEFAULT);
             CREATE TRIGGER note AFTER DELETE ON action FOR EACH ROW EXECUTE FUNCTION note();"),
        )
        .await;
        lab.append(vec![
            create("sample", id(1), json!({})),
            create("sample", id(2), json!({})),
            create("booking", id(3), json!({"sample_id": id(1)})),
            create("action", id(4), json!({"sample_id": id(2)})),
        ])
        .await;
        for sample in [1, 2] {
            let error = lab.refused(vec![delete("sample", id(sample))]).await;
            assert!(error.message.contains("points at it again"), "{error:?}");
        }
        assert_eq!(lab.rows().await.len(), 4);
        lab.assert_no_drift().await;
    });
}

/// Nor is a row logged as deleted twice when a trigger asks for it while it goes.
#[test]
fn a_row_that_is_being_deleted_is_not_deleted_once_more() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE sample (sample_id uuid PRIMARY KEY);
             CREATE TABLE booking (booking_id uuid PRIMARY KEY, sample_id uuid REFERENCES sample ON DELETE SET NULL);
             CREATE FUNCTION clear() RETURNS trigger LANGUAGE plpgsql AS $$
                 BEGIN
                     INSERT INTO sourcing.eventstore (event, type, uuid) VALUES ('delete', 'sample', OLD.sample_id);
                     RETURN NULL;
                 END $$;
             CREATE TRIGGER clear AFTER UPDATE ON booking FOR EACH ROW EXECUTE FUNCTION clear();",
        )
        .await;
        lab.append(vec![
            create("sample", id(1), json!({})),
            create("booking", id(2), json!({"sample_id": id(1)})),
        ])
        .await;
        let error = lab.refused(vec![delete("sample", id(1))]).await;
        assert_eq!(error.code, ErrorCode::RowMissing);
        assert!(
            error.message.contains("is being deleted already"),
            "{error:?}"
        );
        assert_eq!(lab.store.head().await.unwrap(), 2);
        // Asked for by an update of its own, it goes.
        lab.append(vec![update("booking", id(2), json!({"sample_id": null}))])
            .await;
        assert_eq!(lab.rows().await.len(), 1);
        lab.assert_no_drift().await;
    });
}
