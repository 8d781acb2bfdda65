//! Rollback: both strategies, every kind of target, undo and redo, and what stands in the way (§5, §6).

use ebbtide::eventsourcing::history::Standing;
use ebbtide::eventsourcing::rollback::{
    self, Control, RollbackRequest, RollbackTarget, RowAction, Strategy,
};
use ebbtide::eventsourcing::scope::Scope;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, EventKind};
use serde_json::{Value, json};

use super::schema;
use crate::support::{Database, create, delete, id, moment, on_both, on_each, update};

const BOTH: [Strategy; 2] = [Strategy::Minimal, Strategy::Replay];

fn request(target: RollbackTarget) -> RollbackRequest {
    RollbackRequest::to(target)
}

on_each! {
    async fn a_plan_says_what_the_rollback_does(backend) {
        let lab = Database::mad_lab(backend).await;
        let before = lab.rows().await;
        let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(15))).await.unwrap();
        assert_eq!((plan.keeps_through, plan.head), (14, 18));
        assert_eq!((plan.events_undone, plan.events_reinstated, plan.events_to_append()), (4, 0, Some(6)));
        assert_eq!(rollback::count_replay(&*lab.store, plan.head, plan.course.clone()).await.unwrap(), 32);
        let removed: Vec<&str> = plan.changes.entries().map(|row| row.table).collect();
        assert_eq!(removed, ["molecule", "xy_data", "data_unit", "experiment"]);
        assert!(plan.changes.entries().all(|row| row.action == RowAction::Remove));
        assert_eq!(lab.store.head().await.unwrap(), 18, "a plan writes nothing");
        assert_eq!(lab.rows().await, before);
    }

    async fn a_rolled_back_row_has_its_former_times(backend) {
        for strategy in BOTH {
            let lab = Database::mad_lab(backend).await;
            let before = lab.rows().await;
            lab.roll_back(RollbackTarget::BeforeEvent(1), strategy).await.unwrap();
            assert!(lab.rows().await.is_empty());
            lab.undo(false).await.unwrap();
            assert_eq!(lab.rows().await, before, "created_on and updated_on included");
            lab.assert_no_drift().await;
        }
    }

    async fn a_target_never_splits_a_transaction(backend) {
        let lab = Database::mad_lab(backend).await;
        for (target, keeps) in [
            (RollbackTarget::BeforeEvent(8), 6),
            (RollbackTarget::AfterEvent(8), 9),
            (RollbackTarget::Before(moment("2020-02-17T03:09:48.748453")), 6),
            (RollbackTarget::Before(moment("2020-02-17T03:09:48.748454")), 9),
            (RollbackTarget::BeforeEvent(1), 0),
            (RollbackTarget::Before(moment("1999-12-31")), 0),
        ] {
            let plan = rollback::plan(&*lab.store, request(target)).await.unwrap();
            assert_eq!(plan.keeps_through, keeps, "{target:?}");
        }
    }

    async fn with_nothing_after_the_target_nothing_is_appended(backend) {
        let lab = Database::mad_lab(backend).await;
        for target in [RollbackTarget::AfterEvent(18), RollbackTarget::Before(moment("2099-01-01"))] {
            for strategy in BOTH {
                let outcome = lab.roll_back(target, strategy).await.unwrap();
                assert_eq!((outcome.rollback, outcome.rollback_end, outcome.events_appended), (None, None, 0));
                assert_eq!(lab.store.head().await.unwrap(), 18);
            }
        }
    }

    async fn a_target_that_is_not_in_the_log_is_named(backend) {
        let lab = Database::mad_lab(backend).await;
        for id in [0, -1, 19] {
            let error = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(id))).await.expect_err("none");
            assert_eq!(error.code, ErrorCode::UnknownEvent);
            assert!(error.message.contains(&format!("#{id}")), "{}", error.message);
        }
    }

    async fn five_rollbacks_and_undos_leave_no_drift(backend) {
        let lab = Database::mad_lab(backend).await;
        let before = lab.rows().await;
        for (strategy, event) in [(Strategy::Replay, 15), (Strategy::Minimal, 5), (Strategy::Replay, 10), (Strategy::Minimal, 2), (Strategy::Replay, 7)] {
            lab.roll_back(RollbackTarget::BeforeEvent(event), strategy).await.unwrap();
            lab.assert_no_drift().await;
            lab.undo(false).await.unwrap();
            lab.assert_no_drift().await;
            assert_eq!(lab.rows().await, before);
        }
    }

    async fn undo_and_redo_go_back_and_forth(backend) {
        let lab = Database::mad_lab(backend).await;
        let whole = lab.rows().await;
        lab.roll_back(RollbackTarget::BeforeEvent(15), Strategy::Minimal).await.unwrap();
        let taken_back = lab.rows().await;
        lab.undo(false).await.unwrap();
        lab.redo(false).await.unwrap();
        assert_eq!(lab.rows().await, taken_back);
        let history = lab.store.history(lab.store.head().await.unwrap()).await.unwrap();
        let purposes: Vec<_> = history.rollbacks().iter().map(|r| (r.undoes, r.redoes)).collect();
        assert_eq!(purposes, [(None, None), (Some(19), None), (None, Some(25))]);
        lab.undo(false).await.unwrap();
        assert_eq!(lab.rows().await, whole);
        let error = lab.redo(false).await.map(|_| ());
        assert!(error.is_ok(), "the undo is in effect, so it can be redone");
        lab.assert_no_drift().await;
    }

    async fn undo_without_a_rollback_says_so(backend) {
        let lab = Database::mad_lab(backend).await;
        assert_eq!(lab.undo(false).await.expect_err("nothing").code, ErrorCode::NothingToUndo);
        assert_eq!(lab.redo(false).await.expect_err("nothing").code, ErrorCode::NothingToUndo);
    }

    async fn later_work_needs_its_own_yes(backend) {
        let lab = Database::mad_lab(backend).await;
        let whole = lab.rows().await;
        lab.roll_back(RollbackTarget::BeforeEvent(18), Strategy::Minimal).await.unwrap();
        lab.append(vec![create("molecule", id(1), json!({"smiles": "GHI"}))]).await;
        let plan = rollback::plan_undo(&*lab.store, None, false).await.unwrap();
        assert_eq!(plan.later_events, 1);
        // Whose it is can be asked before it goes: it is named.
        let actor = lab.log().await.pop().unwrap().actor;
        let row = id(1);
        assert_eq!(
            plan.sentences("lab")[0],
            format!("1 event made after rollback #19 would be undone too: #22 create molecule {row} by {actor}.")
        );
        for other in 2..6 {
            lab.append(vec![create("molecule", id(other), json!({"smiles": format!("GHI{other}")}))]).await;
        }
        let said = rollback::plan_undo(&*lab.store, None, false).await.unwrap().sentences("lab").remove(0);
        let tells = ["5 events made", "#22 create", "#23 create", "#24 create", "and 2 more."];
        assert!(tells.iter().all(|words| said.contains(words)) && !said.contains("#25"), "{said}");
        assert_eq!(plan.confirm(false).expect_err("later work").code, ErrorCode::LaterWork);
        lab.undo(true).await.unwrap();
        assert_eq!(lab.rows().await, whole);
        lab.assert_no_drift().await;
    }

    async fn a_stale_plan_is_refused_and_writes_nothing(backend) {
        for strategy in BOTH {
            let lab = Database::mad_lab(backend).await;
            let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(15))).await.unwrap();
            lab.append(vec![create("molecule", id(1), json!({"smiles": "GHI"}))]).await;
            let (log, rows) = (lab.log().await, lab.rows().await);
            let confirmed = plan.with_strategy(strategy).confirm(false).unwrap();
            let error = rollback::execute(&*lab.store, &confirmed, &Control::default()).await.expect_err("stale");
            assert_eq!(error.code, ErrorCode::Stale);
            assert_eq!((lab.log().await, lab.rows().await), (log, rows));
        }
    }

    async fn a_rollback_that_was_asked_to_stop_leaves_everything(backend) {
        let lab = Database::mad_lab(backend).await;
        let (log, rows) = (lab.log().await, lab.rows().await);
        let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(1))).await.unwrap();
        let control = Control::default();
        control.stop();
        let error = rollback::execute(&*lab.store, &plan.confirm(false).unwrap(), &control).await.expect_err("stopped");
        assert_eq!(error.code, ErrorCode::Stopped);
        assert_eq!((lab.log().await, lab.rows().await), (log, rows));
        lab.roll_back(RollbackTarget::BeforeEvent(1), Strategy::Minimal).await.unwrap();
    }

    async fn each_event_has_its_standing(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.roll_back(RollbackTarget::BeforeEvent(15), Strategy::Minimal).await.unwrap();
        let standing = |id| {
            let lab = &lab;
            async move {
                let head = lab.store.head().await.unwrap();
                let event = lab.store.event(id).await.unwrap().unwrap();
                lab.store.history(head).await.unwrap().standing(head, id, event.row.as_ref())
            }
        };
        assert_eq!(standing(14).await, Standing::Effective);
        assert_eq!(standing(15).await, Standing::UndoneBy(19));
        assert_eq!(standing(19).await, Standing::Effective);
        assert_eq!(standing(20).await, Standing::BookkeepingOf(19));
        lab.undo(false).await.unwrap();
        assert_eq!(standing(15).await, Standing::Effective);
        assert_eq!(standing(19).await, Standing::UndoneBy(25));
    }

    async fn replay_repeats_only_what_is_effective_and_names_its_origin(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.roll_back(RollbackTarget::BeforeEvent(15), Strategy::Replay).await.unwrap();
        let head = lab.store.head().await.unwrap();
        lab.roll_back(RollbackTarget::BeforeEvent(10), Strategy::Replay).await.unwrap();
        let log = lab.log().await;
        let second: Vec<_> = log.iter().filter(|event| event.id > head).collect();
        // 12 live rows deleted, 9 events repeated, 2 markers: not what the first rollback repeated.
        assert_eq!(second.len(), 12 + 9 + 2);
        let origins: Vec<i64> = second.iter().filter_map(|event| event.origin).collect();
        assert_eq!(origins, (1..=9).collect::<Vec<i64>>());
        lab.assert_no_drift().await;
    }

    async fn unique_values_that_swap_and_rows_in_a_circle_come_back(backend) {
        for strategy in BOTH {
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![
                create("sample", id(1), json!({"name": "a"})),
                create("sample", id(2), json!({"name": "b", "parent_id": id(1)})),
                update("sample", id(1), json!({"parent_id": id(2)})),
            ]).await;
            let before = lab.rows().await;
            lab.append(vec![
                update("sample", id(1), json!({"name": "c", "parent_id": null})),
                update("sample", id(2), json!({"name": "a", "parent_id": id(2)})),
                update("sample", id(1), json!({"name": "b"})),
                create("sample", id(3), json!({"name": "c", "parent_id": id(1)})),
                update("sample", id(1), json!({"parent_id": id(3)})),
            ]).await;
            let after = lab.rows().await;
            lab.roll_back(RollbackTarget::BeforeEvent(4), strategy).await.unwrap();
            assert_eq!(lab.rows().await, before, "by {strategy}");
            lab.undo(false).await.unwrap();
            assert_eq!(lab.rows().await, after, "by {strategy}");
            lab.assert_no_drift().await;
        }
    }

    async fn a_row_updated_to_point_at_a_newer_one_is_taken_back(backend) {
        for strategy in BOTH {
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
            lab.append(vec![create("sample", id(2), json!({"name": "b"}))]).await;
            lab.append(vec![update("sample", id(1), json!({"parent_id": id(2)}))]).await;
            lab.roll_back(RollbackTarget::BeforeEvent(1), strategy).await.unwrap();
            assert!(lab.rows().await.is_empty());
        }
    }

    async fn a_cascade_is_taken_back_whole(backend) {
        for strategy in BOTH {
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![
                create("sample", id(1), json!({"name": "a"})),
                create("spectrum", id(11), json!({"sample_id": id(1), "title": "x"})),
            ]).await;
            let before = lab.rows().await;
            lab.append(vec![delete("sample", id(1))]).await;
            lab.roll_back(RollbackTarget::AfterEvent(2), strategy).await.unwrap();
            assert_eq!(lab.rows().await, before);
            lab.assert_no_drift().await;
        }
    }

    async fn the_tables_own_triggers_do_not_act_in_a_rollback(backend) {
        let lab = Database::mad_lab(backend).await;
        let hid = |lab: Vec<(String, ebbtide::eventsourcing::Row)>| {
            lab.into_iter().find(|(table, _)| table == "synthesis").map(|(_, row)| row["hid"].clone())
        };
        lab.append(vec![update("synthesis", "bd8e2ba9-5f1a-40f8-8f9b-af4c47b70212".parse().unwrap(), json!({"hid": "MAD_1"}))]).await;
        lab.append(vec![delete("xy_data", "4d78fcc7-27d1-419d-8b0d-a882f52ac962".parse().unwrap())]).await;
        lab.append(vec![delete("experiment", "0e0e76e9-6f2f-40fd-84e4-cdcc05de0f8e".parse().unwrap())]).await;
        lab.append(vec![delete("synthesis", "bd8e2ba9-5f1a-40f8-8f9b-af4c47b70212".parse().unwrap())]).await;
        lab.roll_back(RollbackTarget::BeforeEvent(22), Strategy::Minimal).await.unwrap();
        assert_eq!(hid(lab.rows().await), Some(json!("MAD_1")));
        lab.assert_no_drift().await;
    }

    async fn a_row_outside_that_points_at_one_that_would_go_blocks(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        lab.append(vec![create("spectrum", id(11), json!({"sample_id": id(1)}))]).await;
        lab.sql(&format!("INSERT INTO booking VALUES (1, '{}')", id(11))).await.unwrap();
        let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(2))).await.unwrap();
        assert_eq!(plan.blockers.len(), 1);
        assert_eq!(plan.blockers[0].kind, "outside-reference");
        assert!(plan.blockers[0].message.contains("booking"));
        assert_eq!(plan.confirm(true).expect_err("blocked").code, ErrorCode::Blocked);
    }

    async fn values_without_a_column_or_a_table_block_unless_their_loss_is_allowed(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![
            create("sample", id(1), json!({"name": "a", "info": {"x": 1}})),
            create("sample", id(2), json!({"name": "b", "info": {"x": 2}})),
        ]).await;
        lab.append(vec![create("spectrum", id(11), json!({"sample_id": id(1)}))]).await;
        lab.append(vec![
            update("sample", id(1), json!({"info": {"y": 2}})),
            update("sample", id(2), json!({"name": "c"})),
            delete("spectrum", id(11)),
        ]).await;
        lab.sql("ALTER TABLE sample DROP COLUMN info").await.unwrap();
        lab.sql("DROP TABLE booking").await.unwrap();
        lab.sql("DROP TABLE spectrum").await.unwrap();
        let target = RollbackTarget::AfterEvent(3);
        let plan = rollback::plan(&*lab.store, request(target)).await.unwrap();
        // What is the same now and then is not lost by this rollback.
        let told: Vec<_> = plan.blockers.iter().map(|blocker| (blocker.kind, blocker.row.uuid)).collect();
        assert_eq!(told, [("column-gone", id(1)), ("table-gone", id(11))]);
        let counts: Vec<_> = plan.losses.iter().map(|loss| (loss.table.as_str(), loss.column.as_deref(), loss.count)).collect();
        assert_eq!(counts, [("sample", Some("info"), 1), ("spectrum", None, 1)]);
        assert_eq!(plan.confirm(false).expect_err("blocked").code, ErrorCode::Blocked);
        for strategy in BOTH {
            let request = RollbackRequest { allow_loss: true, strategy, ..request(target) };
            let plan = rollback::plan(&*lab.store, request).await.unwrap();
            assert_eq!(plan.losses.len(), 2);
            rollback::execute(&*lab.store, &plan.confirm(false).unwrap(), &Control::default()).await.unwrap();
            assert_eq!(lab.row("sample", id(2)).await.unwrap()["name"], "b", "by {strategy}");
            lab.undo(false).await.unwrap();
            assert_eq!(lab.row("sample", id(2)).await.unwrap()["name"], "c", "by {strategy}");
        }
    }

    async fn a_value_that_its_column_cannot_take_any_more_blocks(backend) {
        let (uuid, retype) = match backend {
            Backend::Sqlite => ("TEXT", "DROP TABLE thing; CREATE TABLE thing (thing_id TEXT PRIMARY KEY NOT NULL, code INTEGER, note TEXT)"),
            Backend::Postgres => ("uuid", "ALTER TABLE thing ALTER code TYPE integer USING code::integer"),
        };
        let lab = Database::with(backend, &format!("CREATE TABLE thing (thing_id {uuid} PRIMARY KEY NOT NULL, code TEXT, note TEXT)")).await;
        lab.append(vec![create("thing", id(1), json!({"code": "12"})), create("thing", id(2), json!({"code": "A7"})), create("thing", id(3), json!({"code": "5", "note": "a"}))]).await;
        lab.append(vec![delete("thing", id(1))]).await;
        lab.append(vec![delete("thing", id(2))]).await;
        lab.append(vec![update("thing", id(3), json!({"note": "b"}))]).await;
        let kept = lab.row("thing", id(3)).await.unwrap();
        lab.sql(retype).await.unwrap();
        if backend == Backend::Sqlite {
            lab.sql(&format!("INSERT INTO thing VALUES ('{}', 5, 'b')", id(3))).await.unwrap();
        }
        // A number is what its text was.
        lab.assert_no_drift().await;
        let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(5))).await.unwrap();
        let told: Vec<_> = plan.blockers.iter().map(|blocker| (blocker.kind, blocker.row.uuid)).collect();
        assert_eq!(told, [("value-unfit", id(2))], "{:?}", plan.blockers);
        for words in ["A7", "code", "change its type back", "leave such values in the log alone"] {
            assert!(plan.blockers[0].message.contains(words), "{}", plan.blockers[0].message);
        }
        let loss = |plan: &rollback::RollbackPlan| plan.losses.iter().map(|loss| (loss.table.clone(), loss.column.clone(), loss.count)).collect::<Vec<_>>();
        assert_eq!(loss(&plan), [("thing".to_owned(), Some("code".to_owned()), 1)]);
        // What is the same now and then is left as it is, and what fits comes back.
        for strategy in BOTH {
            let only = RollbackRequest { scope: Scope::parse(&format!("thing/{}", id(1))), ..request(RollbackTarget::BeforeEvent(4)) };
            let plan = rollback::plan(&*lab.store, only).await.unwrap();
            rollback::execute(&*lab.store, &plan.confirm(false).unwrap(), &Control::default()).await.unwrap();
            assert_eq!(lab.row("thing", id(1)).await.unwrap()["code"], 12);
            lab.undo(false).await.unwrap();
            lab.roll_back(RollbackTarget::BeforeEvent(6), strategy).await.unwrap();
            let row = lab.row("thing", id(3)).await.unwrap();
            assert_eq!((&row["code"], &row["note"]), (&json!(5), &json!("a")), "by {strategy}, {kept:?}");
            lab.undo(false).await.unwrap();
            lab.assert_no_drift().await;
        }
        // What may be lost stays in the log alone, and that is no difference.
        for strategy in BOTH {
            let lossy = RollbackRequest { strategy, allow_loss: true, ..request(RollbackTarget::BeforeEvent(5)) };
            let plan = rollback::plan(&*lab.store, lossy).await.unwrap();
            assert_eq!((loss(&plan).len(), &plan.blockers[..]), (1, &[][..]));
            assert!(plan.sentences("lab").iter().any(|words| words.contains("cannot hold that")), "{:?}", plan.sentences("lab"));
            rollback::execute(&*lab.store, &plan.confirm(false).unwrap(), &Control::default()).await.unwrap();
            assert_eq!(lab.row("thing", id(2)).await.unwrap()["code"], json!(null));
            lab.assert_no_drift().await;
            assert_eq!(lab.store.record_differences().await.unwrap(), 0);
            let later = lab.append(vec![update("thing", id(2), json!({"code": 9}))]).await[0].id;
            let back = RollbackRequest { strategy, ..request(RollbackTarget::BeforeEvent(later)) };
            let plan = rollback::plan(&*lab.store, back.clone()).await.unwrap();
            assert_eq!(plan.blockers.iter().map(|blocker| blocker.kind).collect::<Vec<_>>(), ["value-unfit"]);
            let plan = rollback::plan(&*lab.store, RollbackRequest { allow_loss: true, ..back }).await.unwrap();
            rollback::execute(&*lab.store, &plan.confirm(false).unwrap(), &Control::default()).await.unwrap();
            assert_eq!(lab.row("thing", id(2)).await.unwrap()["code"], json!(null));
            lab.undo(false).await.unwrap();
            assert_eq!(lab.row("thing", id(2)).await.unwrap()["code"], 9);
            lab.undo(true).await.unwrap();
            assert!(lab.row("thing", id(2)).await.is_none(), "by {strategy}");
            lab.assert_no_drift().await;
        }
    }

    /// A column that had one type and has another: each value either comes back, or is counted and lost, as the plan says; then the log and the table are no
    /// different, and undoing it leaves nothing.
    async fn what_a_plan_says_of_a_retyped_column_happens(backend) {
        let (uuid, setup, cases): (_, _, &[(&str, Value, &str, bool)]) = match backend {
            Backend::Sqlite => ("TEXT", "", &[
                ("TEXT", json!("12"), "INTEGER", true), ("TEXT", json!("007"), "INTEGER", false), ("JSON", json!({"a": 1}), "TEXT", false),
                ("BOOLEAN", json!(true), "TEXT", false), ("INTEGER", json!(1), "BOOLEAN", false), ("INTEGER", json!(1), "TEXT", true),
                ("TEXT", json!("2020-01-01"), "TIMESTAMP", false), ("TEXT", json!("-0"), "NUMERIC", false), ("TEXT", json!("a"), "JSON", true),
            ]),
            Backend::Postgres => ("uuid",
                "CREATE TYPE wide AS ENUM ('a', 'c'); CREATE TYPE narrow AS ENUM ('a'); CREATE DOMAIN positive AS integer CHECK (VALUE > 0)", &[
                ("wide", json!("c"), "narrow", false), ("wide", json!("a"), "narrow", true), ("integer", json!(-5), "positive", false),
                ("integer", json!(1), "integer[]", false), ("varchar(9)", json!("ab"), "char(5)", false), ("float8", json!(1.23456789), "real", false),
                ("float8", json!(0.5), "real", true), ("text", json!("10:00"), "interval", false), ("text[]", json!(["1", "2"]), "integer[]", false),
                ("boolean", json!(true), "text", false), ("jsonb", json!({"a": 1}), "text", false), ("text", json!("true"), "boolean", false),
                ("text", json!(" 5"), "integer", false), ("text", json!("5"), "integer", true), ("text", json!("1e2"), "numeric", false),
                ("text", json!("AAAAAAAA-0000-0000-0000-000000000001"), "uuid", false), ("text", json!("nosuch"), "regclass", false),
                ("text", json!("abcdef"), "varchar(3)", false), ("numeric", json!(1.25), "numeric(3,1)", false), ("bigint", json!(9999999999_i64), "integer", false),
                ("text", json!("abc"), "bytea", false), ("text", json!("x"), "inet", false), ("text", json!("a"), "jsonb", true),
            ]),
        };
        let tables: String = cases.iter().enumerate()
            .map(|(n, (old, ..))| format!("CREATE TABLE t{n} (t{n}_id {uuid} PRIMARY KEY NOT NULL, c {old});")).collect();
        let lab = Database::with(backend, &format!("{setup};{tables}")).await;
        for (n, (_, value, ..)) in cases.iter().enumerate() {
            lab.append(vec![create(&format!("t{n}"), id(1), json!({"c": value}))]).await;
        }
        for (n, (.., new, _)) in cases.iter().enumerate() {
            lab.append(vec![delete(&format!("t{n}"), id(1))]).await;
            lab.sql(&match backend {
                Backend::Sqlite => format!("DROP TABLE t{n}; CREATE TABLE t{n} (t{n}_id TEXT PRIMARY KEY NOT NULL, c {new})"),
                Backend::Postgres => format!("ALTER TABLE t{n} ALTER c TYPE {new} USING NULL"),
            }).await.unwrap();
        }
        let kept = i64::try_from(cases.len()).unwrap();
        for strategy in BOTH {
            let back = RollbackRequest { strategy, ..request(RollbackTarget::AfterEvent(kept)) };
            let plan = rollback::plan(&*lab.store, back.clone()).await.unwrap();
            let named: Vec<&str> = plan.blockers.iter().map(|blocker| blocker.row.table.as_str()).collect();
            let mut lost: Vec<String> = (0..cases.len()).filter(|n| !cases[*n].3).map(|n| format!("t{n}")).collect();
            lost.sort();
            assert_eq!(named, lost);
            assert!(plan.blockers.iter().all(|blocker| blocker.kind == "value-unfit"), "{:?}", plan.blockers);
            let plan = rollback::plan(&*lab.store, RollbackRequest { allow_loss: true, ..back }).await.unwrap();
            assert_eq!((plan.losses.len(), &plan.blockers[..]), (lost.len(), &[][..]));
            rollback::execute(&*lab.store, &plan.confirm(false).unwrap(), &Control::default()).await.unwrap();
            for (n, (old, value, new, fits)) in cases.iter().enumerate() {
                let row = lab.row(&format!("t{n}"), id(1)).await.unwrap();
                assert_eq!(!row["c"].is_null(), *fits, "{value} from {old} to {new} by {strategy}");
            }
            lab.assert_no_drift().await;
            assert_eq!(lab.store.record_differences().await.unwrap(), 0);
            lab.undo(false).await.unwrap();
            assert_eq!(lab.rows().await.len(), 0);
            lab.assert_no_drift().await;
        }
    }

    async fn a_value_that_stands_in_no_event_is_not_lost_unsaid(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"})), create("sample", id(2), json!({"name": "b"}))]).await;
        lab.append(vec![update("sample", id(1), json!({"name": "a2"})), update("sample", id(2), json!({"name": "b2"}))]).await;
        lab.sql(&format!("UPDATE sample SET name = 'secret' WHERE sample_id = '{}'", id(1))).await.unwrap();
        lab.sql(&format!("UPDATE sample SET mass = 99 WHERE sample_id = '{}'", id(2))).await.unwrap();
        let (log, rows) = (lab.log().await, lab.rows().await);
        for strategy in BOTH {
            let request = RollbackRequest { strategy, ..request(RollbackTarget::BeforeEvent(3)) };
            let plan = rollback::plan(&*lab.store, request).await.unwrap();
            let told: Vec<_> = plan.blockers.iter().map(|blocker| (blocker.kind, blocker.row.uuid)).collect();
            assert_eq!(told, [("changed-row", id(1))]);
            for part in ["secret", "a2", "--record-differences"] {
                assert!(plan.blockers[0].message.contains(part), "{}", plan.blockers[0].message);
            }
            assert_eq!(plan.confirm(true).expect_err("blocked").code, ErrorCode::Blocked);
        }
        assert_eq!((lab.log().await, lab.rows().await), (log, rows.clone()));
        lab.store.record_differences().await.unwrap();
        lab.assert_no_drift().await;
        for strategy in BOTH {
            lab.roll_back(RollbackTarget::BeforeEvent(3), strategy).await.unwrap();
            let names: Vec<_> = lab.rows().await.into_iter().map(|(_, row)| (row["name"].clone(), row["mass"].clone())).collect();
            assert_eq!(names, [(json!("a"), json!(7)), (json!("b"), json!(7))], "by {strategy}");
            lab.undo(false).await.unwrap();
            assert_eq!(lab.rows().await, rows, "by {strategy}");
        }
        // What a rollback does not concern stays as it is, and is still found.
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        lab.append(vec![update("sample", id(1), json!({"name": "a2"}))]).await;
        lab.sql("UPDATE sample SET mass = 99").await.unwrap();
        lab.roll_back(RollbackTarget::BeforeEvent(2), Strategy::Minimal).await.unwrap();
        let row = lab.row("sample", id(1)).await.unwrap();
        assert_eq!((&row["name"], &row["mass"]), (&json!("a"), &json!(99)));
        let findings = ebbtide::eventsourcing::verify::drift(&*lab.store).await.unwrap().findings;
        assert_eq!(findings.iter().map(|finding| finding.column.as_deref()).collect::<Vec<_>>(), [Some("mass")]);
    }

    async fn rows_come_back_with_what_a_column_was_added_with(backend) {
        let (uuid, add) = match backend {
            Backend::Sqlite => ("TEXT", "ALTER TABLE thing ADD COLUMN owner TEXT NOT NULL DEFAULT 'x'; ALTER TABLE thing ADD COLUMN note TEXT"),
            Backend::Postgres => ("uuid", "ALTER TABLE thing ADD COLUMN owner text NOT NULL DEFAULT 'x', ADD COLUMN note text"),
        };
        for strategy in BOTH {
            let lab = Database::with(backend, &format!("CREATE TABLE thing (thing_id {uuid} PRIMARY KEY NOT NULL, name TEXT)")).await;
            lab.append(vec![create("thing", id(1), json!({"name": "a"})), create("thing", id(2), json!({"name": "b"}))]).await;
            lab.sql(add).await.unwrap();
            lab.assert_no_drift().await;
            let before = lab.rows().await;
            lab.append(vec![delete("thing", id(1)), update("thing", id(2), json!({"name": "c"}))]).await;
            lab.roll_back(RollbackTarget::BeforeEvent(3), strategy).await.unwrap();
            assert_eq!(lab.rows().await, before, "by {strategy}");
            lab.assert_no_drift().await;
        }
    }

    async fn a_column_that_must_have_a_value_now_blocks(backend) {
        let uuid = match backend {
            Backend::Sqlite => "TEXT",
            Backend::Postgres => "uuid",
        };
        let lab = Database::with(backend, &format!("CREATE TABLE thing (thing_id {uuid} PRIMARY KEY NOT NULL, name TEXT)")).await;
        lab.append(vec![create("thing", id(1), json!({"name": "a"}))]).await;
        lab.append(vec![delete("thing", id(1))]).await;
        lab.sql(&format!("DROP TABLE thing; CREATE TABLE thing (thing_id {uuid} PRIMARY KEY NOT NULL, name TEXT, owner TEXT NOT NULL)")).await.unwrap();
        let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(2))).await.unwrap();
        assert_eq!(plan.blockers.iter().map(|blocker| blocker.kind).collect::<Vec<_>>(), ["missing-value"]);
        assert!(plan.blockers[0].message.contains("owner"));
    }

    async fn an_object_in_a_column_that_is_gone_had_been_merged(backend) {
        for strategy in BOTH {
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![create("sample", id(1), json!({"name": "a", "info": {"x": 1}}))]).await;
            lab.append(vec![update("sample", id(1), json!({"info": {"y": 2}}))]).await;
            // Nothing of the column changes with it, though it says other things than the event before.
            lab.append(vec![update("sample", id(1), json!({"name": "b", "info": {"x": 1}}))]).await;
            lab.sql("ALTER TABLE sample DROP COLUMN info").await.unwrap();
            let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(3))).await.unwrap();
            assert_eq!((plan.losses, plan.blockers), (vec![], vec![]));
            lab.roll_back(RollbackTarget::BeforeEvent(3), strategy).await.unwrap();
            assert_eq!(lab.row("sample", id(1)).await.unwrap()["name"], "a");
        }
    }

    async fn a_table_that_was_dropped_does_not_stop_a_rollback_that_does_not_need_it(backend) {
        for strategy in BOTH {
            let lab = Database::with(backend, &schema(backend)).await;
            lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
            lab.append(vec![create("spectrum", id(11), json!({"sample_id": id(1)}))]).await;
            lab.append(vec![update("sample", id(1), json!({"name": "b"}))]).await;
            lab.sql("DROP TABLE booking").await.unwrap();
            lab.sql("DROP TABLE spectrum").await.unwrap();
            lab.roll_back(RollbackTarget::BeforeEvent(3), strategy).await.unwrap();
            assert_eq!(lab.row("sample", id(1)).await.unwrap()["name"], "a");
        }
    }

    async fn a_reason_is_kept_in_the_log(backend) {
        let lab = Database::mad_lab(backend).await;
        let mut with_reason = request(RollbackTarget::BeforeEvent(15));
        with_reason.reason = Some("the NMR was not calibrated".to_owned());
        let plan = rollback::plan(&*lab.store, with_reason).await.unwrap();
        rollback::execute(&*lab.store, &plan.confirm(false).unwrap(), &Control::default()).await.unwrap();
        let log = lab.log().await;
        assert_eq!(log[18].kind, EventKind::Rollback);
        assert_eq!(log[18].data, log[23].data);
        assert_eq!(log[18].data["reason"], "the NMR was not calibrated");
        assert_eq!(log[18].data["before"], "2020-02-17T03:09:59.145749");
    }
}

#[test]
fn a_right_that_is_lacking_blocks_and_is_named() {
    use ebbtide::eventsourcing::store::Backend;
    use ebbtide::store::{self, Address};
    crate::support::run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let Address::Postgres(url) = &lab.address else {
            panic!("a PostgreSQL database");
        };
        let database = url.rsplit_once('/').unwrap().1;
        let writer = format!("instrument_{database}");
        lab.sql(&format!(
            "CREATE ROLE {writer} LOGIN PASSWORD 'ebb-test'; GRANT {database}_writer TO {writer}"
        ))
        .await
        .unwrap();
        let address =
            Address::Postgres(url.replace("postgres:ebb-test", &format!("{writer}:ebb-test")));
        let store = store::open(&address, &crate::support::options())
            .await
            .unwrap();
        let plan = rollback::plan(&*store, request(RollbackTarget::BeforeEvent(15)))
            .await
            .unwrap();
        assert_eq!(plan.blockers[0].kind, "missing-right");
        assert!(
            plan.blockers[0].message.contains(&writer),
            "{}",
            plan.blockers[0].message
        );
        // No other target would do.
        let refused = plan.confirm(false).expect_err("blocked");
        let hint = refused.hint.unwrap();
        assert!(!hint.contains("target"), "{hint}");
        store.close().await;

        // An owner that may not switch triggers off: blocked until the right is granted, or a superuser owns it again.
        let setting = "SET ON PARAMETER session_replication_role";
        let (take, give) = match lab.grants_settings().await {
            true => (
                format!("{SETTING_LOCK} REVOKE {setting} FROM {database}_owner"),
                format!("{SETTING_LOCK} GRANT {setting} TO {database}_owner"),
            ),
            false => (
                format!("ALTER TABLE sourcing.eventstore OWNER TO {database}_owner"),
                "ALTER TABLE sourcing.eventstore OWNER TO postgres".to_owned(),
            ),
        };
        lab.sql(&take).await.unwrap();
        let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(15)))
            .await
            .unwrap();
        assert_eq!(plan.blockers[0].kind, "missing-right");
        assert!(
            plan.blockers[0]
                .message
                .contains("session_replication_role"),
            "{}",
            plan.blockers[0].message
        );
        assert_eq!(
            plan.confirm(false).expect_err("blocked").code,
            ErrorCode::Blocked
        );
        lab.sql(&give).await.unwrap();
        let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(15)))
            .await
            .unwrap();
        assert_eq!(plan.blockers, []);
    });
}

/// Grants on parameters are the whole server's: two at once would fail.
const SETTING_LOCK: &str = "LOCK TABLE pg_parameter_acl IN SHARE ROW EXCLUSIVE MODE;";

// A plain INSERT shows no plan, so that it has none that could be stale.
on_both! {
    async fn of_two_rollbacks_at_once_one_wins_and_the_other_is_told(backend) {
        for strategy in BOTH {
            let lab = Database::mad_lab(backend).await;
            let planned = async |event| {
                let plan = rollback::plan(&*lab.store, request(RollbackTarget::BeforeEvent(event))).await.unwrap();
                plan.with_strategy(strategy).confirm(false).unwrap()
            };
            let (one, other) = (planned(15).await, planned(10).await);
            let (first, second) = (Control::default(), Control::default());
            let done = tokio::join!(
                rollback::execute(&*lab.store, &one, &first),
                rollback::execute(&*lab.store, &other, &second),
            );
            let (won, lost) = match done {
                (Ok(won), Err(lost)) | (Err(lost), Ok(won)) => (won, lost),
                other => panic!("both or none: {other:?}"),
            };
            assert_eq!(lost.code, ErrorCode::Stale);
            // What happened meanwhile, by whom.
            let actor = lab.store.event(19).await.unwrap().unwrap().actor;
            assert!(lost.message.contains(&format!("#19 rollback by {actor}")), "{}", lost.message);
            assert_eq!(lab.store.head().await.unwrap(), won.rollback_end.unwrap());
            lab.assert_no_drift().await;
            lab.undo(false).await.unwrap();
        }
    }
}
