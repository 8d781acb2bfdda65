//! What foreign keys carry on to other rows is in the log, however they do it (§3).

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, NewEvent};
use serde_json::json;

use super::{run_sql, superuser};
use crate::support::{Database, create, delete, id, run, update};

/// The last of these events is applied, carried on, and recorded: the log says what the tables are, and going back before it and
/// undoing that gives the rows of then. Returns the kinds and tables of the events that it made.
async fn recorded(tables: &str, events: Vec<NewEvent>) -> Vec<String> {
    let lab = Database::with(Backend::Postgres, tables).await;
    let last = events.len() - 1;
    let head = i64::try_from(last).unwrap();
    let (before, after) = events.split_at(last);
    lab.append(before.to_vec()).await;
    let then = lab.rows().await;
    lab.append(after.to_vec()).await;
    lab.assert_no_drift().await;
    let now = lab.rows().await;
    let made = lab
        .log()
        .await
        .iter()
        .skip(last)
        .map(|event| format!("{} {}", event.kind, event.row.as_ref().unwrap().table))
        .collect();
    for strategy in [Strategy::Minimal, Strategy::Replay] {
        lab.roll_back(RollbackTarget::AfterEvent(head), strategy)
            .await
            .unwrap();
        lab.assert_no_drift().await;
        assert_eq!(lab.rows().await, then, "by {strategy}");
        lab.undo(false).await.unwrap();
        assert_eq!(lab.rows().await, now, "undone, by {strategy}");
    }
    made
}

#[test]
fn what_points_at_a_row_in_a_circle_of_deletes_is_recorded() {
    run(async {
        // 1 and 2 point at each other; 3 points at 1 and goes when the circle does.
        let made = recorded(
            "CREATE TABLE node (node_id uuid PRIMARY KEY, parent uuid REFERENCES node ON DELETE CASCADE)",
            vec![
                create("node", id(1), json!({})),
                create("node", id(2), json!({"parent": id(1)})),
                create("node", id(3), json!({"parent": id(1)})),
                update("node", id(1), json!({"parent": id(2)})),
                delete("node", id(1)),
            ],
        )
        .await;
        assert_eq!(made, ["delete node", "delete node", "delete node"]);

        let made = recorded(
            "CREATE TABLE z (z_id uuid PRIMARY KEY, b uuid);
             CREATE TABLE b (b_id uuid PRIMARY KEY, z uuid REFERENCES z ON DELETE CASCADE);
             ALTER TABLE z ADD FOREIGN KEY (b) REFERENCES b ON DELETE CASCADE;
             CREATE TABLE c (c_id uuid PRIMARY KEY, z uuid REFERENCES z ON DELETE CASCADE);
             CREATE TABLE d (d_id uuid PRIMARY KEY, z uuid REFERENCES z ON DELETE SET NULL)",
            vec![
                create("z", id(1), json!({})),
                create("b", id(2), json!({"z": id(1)})),
                update("z", id(1), json!({"b": id(2)})),
                create("c", id(3), json!({"z": id(1)})),
                create("d", id(4), json!({"z": id(1)})),
                delete("z", id(1)),
            ],
        )
        .await;
        assert_eq!(made, ["delete c", "update d", "delete b", "delete z"]);
    });
}

#[test]
fn a_foreign_key_finds_its_rows_by_its_own_operators() {
    run(async {
        const TABLES: &str = "
            CREATE EXTENSION citext;
            CREATE TABLE parent (parent_id uuid PRIMARY KEY, code citext UNIQUE);
            CREATE TABLE child (child_id uuid PRIMARY KEY, code citext REFERENCES parent (code) ON DELETE CASCADE ON UPDATE CASCADE)";
        let both = || {
            vec![
                create("parent", id(1), json!({"code": "abc"})),
                create("child", id(2), json!({"code": "ABC"})),
            ]
        };
        let mut events = both();
        events.push(delete("parent", id(1)));
        assert_eq!(
            recorded(TABLES, events).await,
            ["delete child", "delete parent"]
        );
        let mut events = both();
        events.push(update("parent", id(1), json!({"code": "xyz"})));
        assert_eq!(
            recorded(TABLES, events).await,
            ["update child", "update parent"]
        );
        // Two collations: the pointed column's counts.
        let made = recorded(
            r#"CREATE TABLE parent (parent_id uuid PRIMARY KEY, code text COLLATE "C" UNIQUE);
               CREATE TABLE child (child_id uuid PRIMARY KEY, code text COLLATE "POSIX" REFERENCES parent (code) ON DELETE CASCADE)"#,
            vec![
                create("parent", id(1), json!({"code": "abc"})),
                create("child", id(2), json!({"code": "abc"})),
                delete("parent", id(1)),
            ],
        )
        .await;
        assert_eq!(made, ["delete child", "delete parent"]);
    });
}

#[test]
fn an_update_is_carried_on_from_columns_that_no_client_gives() {
    run(async {
        // One that the database generates, and one that the event's time is put into.
        let made = recorded(
            "CREATE TABLE parent (parent_id uuid PRIMARY KEY, name text, code text GENERATED ALWAYS AS (lower(name)) STORED UNIQUE);
             CREATE TABLE child (child_id uuid PRIMARY KEY, code text REFERENCES parent (code) ON UPDATE CASCADE)",
            vec![
                create("parent", id(1), json!({"name": "A"})),
                create("child", id(2), json!({"code": "a"})),
                update("parent", id(1), json!({"name": "B"})),
            ],
        )
        .await;
        assert_eq!(made, ["update child", "update parent"]);
        let made = recorded(
            "CREATE TABLE parent (parent_id uuid PRIMARY KEY, name text, updated_on timestamptz UNIQUE);
             CREATE TABLE child (child_id uuid PRIMARY KEY, at timestamptz REFERENCES parent (updated_on) ON UPDATE CASCADE)",
            vec![
                create(
                    "parent",
                    id(1),
                    json!({"updated_on": "2020-01-01T00:00:00Z"}),
                ),
                create("child", id(2), json!({"at": "2020-01-01T00:00:00Z"})),
                update("parent", id(1), json!({"name": "B"})),
            ],
        )
        .await;
        assert_eq!(made, ["update child", "update parent"]);
    });
}

#[test]
fn what_only_looks_different_is_carried_on_too() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE parent (parent_id uuid PRIMARY KEY, code numeric UNIQUE);
             CREATE TABLE child (child_id uuid PRIMARY KEY, code numeric REFERENCES parent (code) ON UPDATE CASCADE)",
        )
        .await;
        let mut client = superuser(&lab).await;
        for (event, table, at, data) in [
            ("create", "parent", id(1), r#"{"code": 1.5}"#),
            ("create", "child", id(2), r#"{"code": 1.5}"#),
            ("update", "parent", id(1), r#"{"code": 1.50}"#),
        ] {
            run_sql(&mut client, &format!("INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('{event}', '{table}', '{at}', '{data}')"))
                .await
                .unwrap();
        }
        let code: String = sqlx::query_scalar("SELECT code::text FROM child")
            .fetch_one(&mut client)
            .await
            .unwrap();
        assert_eq!(code, "1.50");
        assert_eq!(lab.log().await[2].row.as_ref().unwrap().table, "child");
        lab.assert_no_drift().await;
    });
}

#[test]
fn an_update_that_comes_back_to_its_own_row_is_recorded() {
    run(async {
        for action in ["CASCADE", "SET NULL"] {
            let made = recorded(
                &format!("CREATE TABLE node (node_id uuid PRIMARY KEY, code text UNIQUE, parent text REFERENCES node (code) ON UPDATE {action})"),
                vec![
                    create("node", id(1), json!({"code": "x", "parent": "x"})),
                    update("node", id(1), json!({"code": "y"})),
                ],
            )
            .await;
            assert_eq!(made, ["update node"], "{action}");
        }
    });
}

#[test]
fn a_foreign_key_on_a_partition_carries_deletes_too() {
    run(async {
        let made = recorded(
            "CREATE TABLE parted (parted_id uuid PRIMARY KEY, name text) PARTITION BY HASH (parted_id);
             CREATE TABLE part PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
             CREATE TABLE child (child_id uuid PRIMARY KEY, parted uuid REFERENCES part ON DELETE CASCADE)",
            vec![
                create("parted", id(1), json!({})),
                create("child", id(2), json!({"parted": id(1)})),
                delete("parted", id(1)),
            ],
        )
        .await;
        assert_eq!(made, ["delete child", "delete parted"]);
    });
}

#[test]
fn a_foreign_key_in_name_only_carries_nothing_and_blocks_nothing() {
    run(async {
        let lab = Database::lab(Backend::Postgres).await;
        // Servers before 18 know no such foreign keys.
        if lab.version().await < 180_000 {
            let error = lab
                .sql("CREATE TABLE a (a_id uuid PRIMARY KEY REFERENCES experiment NOT ENFORCED)")
                .await
                .expect_err("no foreign key in name only");
            assert!(error.as_database_error().is_some(), "{error}");
            return;
        }
        let made = recorded(
            "CREATE TABLE a (a_id uuid PRIMARY KEY);
             CREATE TABLE b (b_id uuid PRIMARY KEY, a uuid REFERENCES a ON DELETE CASCADE NOT ENFORCED)",
            vec![
                create("b", id(1), json!({"a": id(3)})),
                create("a", id(2), json!({})),
                create("b", id(4), json!({"a": id(2)})),
                delete("a", id(2)),
            ],
        )
        .await;
        assert_eq!(made, ["delete a"]);
        // Rows that point at none are what the database lets them be, before a rollback and after it.
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE a (a_id uuid PRIMARY KEY);
             CREATE TABLE b (b_id uuid PRIMARY KEY, a uuid REFERENCES a NOT ENFORCED)",
        )
        .await;
        lab.append(vec![create("b", id(1), json!({"a": id(3)}))])
            .await;
        lab.append(vec![create("a", id(2), json!({}))]).await;
        lab.append(vec![update("b", id(1), json!({"a": id(2)}))])
            .await;
        for kept in [2, 1] {
            lab.roll_back(RollbackTarget::AfterEvent(kept), Strategy::Minimal)
                .await
                .unwrap();
            lab.assert_no_drift().await;
        }
    });
}

#[test]
fn set_default_takes_a_domains_default() {
    run(async {
        let made = recorded(
            &format!(
                "CREATE TABLE parent (parent_id uuid PRIMARY KEY);
                 CREATE DOMAIN link AS uuid DEFAULT '{}';
                 CREATE TABLE child (child_id uuid PRIMARY KEY, parent link NOT NULL REFERENCES parent ON DELETE SET DEFAULT)",
                id(9)
            ),
            vec![
                create("parent", id(9), json!({})),
                create("parent", id(1), json!({})),
                create("child", id(2), json!({"parent": id(1)})),
                delete("parent", id(1)),
            ],
        )
        .await;
        assert_eq!(made, ["update child", "delete parent"]);
    });
}

#[test]
fn a_cascade_to_a_table_that_takes_no_part_is_refused_only_where_it_changes_a_row() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE parent (parent_id uuid PRIMARY KEY, code text UNIQUE);
             CREATE TABLE middle (middle_id uuid PRIMARY KEY, code text UNIQUE REFERENCES parent (code) ON UPDATE CASCADE);
             CREATE TABLE note (n int, parent uuid REFERENCES parent ON DELETE SET NULL);
             CREATE TABLE far (n int, code text REFERENCES middle (code) ON UPDATE CASCADE)",
        )
        .await;
        lab.append(vec![
            create("parent", id(1), json!({"code": "a"})),
            create("parent", id(2), json!({"code": "b"})),
            create("parent", id(3), json!({})),
            create("middle", id(4), json!({"code": "a"})),
            create("middle", id(5), json!({"code": "b"})),
        ])
        .await;
        lab.sql(&format!(
            "INSERT INTO note VALUES (1, '{}'); INSERT INTO far VALUES (1, 'a')",
            id(3)
        ))
        .await
        .unwrap();
        for event in [
            delete("parent", id(3)),
            update("parent", id(1), json!({"code": "x"})),
        ] {
            let error = lab.refused(vec![event]).await;
            assert_eq!(error.code, ErrorCode::UntrackedTable, "{}", error.message);
        }
        lab.append(vec![
            update("parent", id(2), json!({"code": "y"})),
            delete("middle", id(5)),
            delete("parent", id(2)),
        ])
        .await;
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_trigger_of_a_row_that_an_update_is_carried_on_to_may_append_events() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            r#"CREATE TABLE parent (parent_id uuid PRIMARY KEY, code text UNIQUE);
               CREATE TABLE child (child_id uuid PRIMARY KEY, code text REFERENCES parent (code) ON UPDATE CASCADE);
               CREATE TABLE note (note_id uuid PRIMARY KEY, text text);
               CREATE FUNCTION noting() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'note', jsonb_build_object('text', NEW.code)); RETURN NULL; END $$;
               CREATE TRIGGER noting AFTER UPDATE ON child FOR EACH ROW EXECUTE FUNCTION noting()"#,
        )
        .await;
        lab.append(vec![
            create("parent", id(1), json!({"code": "a"})),
            create("child", id(2), json!({"code": "a"})),
            create("child", id(3), json!({"code": "a"})),
        ])
        .await;
        let rows = lab.rows().await;
        lab.append(vec![update("parent", id(1), json!({"code": "b"}))])
            .await;
        let children = lab
            .log()
            .await
            .iter()
            .filter(|event| {
                event.kind.as_str() == "update" && event.row.as_ref().unwrap().table == "child"
            })
            .count();
        assert_eq!(children, 2, "each once");
        lab.assert_no_drift().await;
        lab.roll_back(RollbackTarget::AfterEvent(3), Strategy::Minimal)
            .await
            .unwrap();
        assert_eq!(lab.rows().await, rows);
    });
}
