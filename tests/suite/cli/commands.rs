//! Each command: its output, its JSON, its exit code.

use std::process::Stdio;

use ebbtide::eventsourcing::EventKind;
use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{command, ebb, ebb_with_input};
use crate::support::{Database, create, delete, id, on_both, run, update};

fn fields(object: &Value) -> Vec<&str> {
    object
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn the_demo_is_made_opened_as_it_is_and_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mad.db");
    let file = file.to_str().unwrap();
    let first = ebb(&["demo", "--at", file, "--no-tui"]).ends_with(0);
    assert!(first.stdout().starts_with(file), "{}", first.stdout());
    assert_eq!(first.stdout().lines().count(), 19);
    ebb(&["-d", file, "create", "molecule", r#"{"smiles": "X"}"#]).ends_with(0);
    assert_eq!(
        ebb(&["demo", "--at", file, "--no-tui"])
            .ends_with(0)
            .stdout()
            .lines()
            .count(),
        20
    );
    assert_eq!(
        ebb(&["demo", "--at", file, "--fresh"])
            .ends_with(0)
            .stdout()
            .lines()
            .count(),
        19
    );
    // Without a terminal, with or without a command.
    assert_eq!(ebb(&[file]).ends_with(0).stdout().lines().count(), 19);
}

#[test]
fn the_demo_never_replaces_a_file_that_is_not_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("thesis.txt");
    std::fs::write(&file, "years of work ".repeat(100)).unwrap();
    let error = ebb(&["--json", "demo", "--at", file.to_str().unwrap(), "--fresh"])
        .ends_with(1)
        .error();
    assert_eq!(error["code"], "not-a-database");
    assert!(
        std::fs::read_to_string(&file)
            .unwrap()
            .starts_with("years of work")
    );
}

#[test]
fn the_demos_own_place_is_the_users_data_directory() {
    let home = tempfile::tempdir().unwrap();
    let ended = command()
        .args(["demo"])
        .env("XDG_DATA_HOME", home.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ended.status.success());
    assert!(home.path().join("ebb/mad-lab.db").is_file());
}

on_both! {
    async fn rows_that_were_there_before_the_log_are_recorded_when_asked_for(backend) {
        let uuid = if backend == Backend::Sqlite { "TEXT" } else { "uuid" };
        let (time, json) = match backend {
            Backend::Sqlite => ("TIMESTAMP", "JSON"),
            Backend::Postgres => ("timestamp", "jsonb"),
        };
        let lab = Database::with(
            backend,
            &format!(
                "CREATE TABLE dye (dye_id {uuid} PRIMARY KEY, created_on {time}, updated_on {time}, info {json}, n int,
                                   twice int GENERATED ALWAYS AS (n * 2) STORED)"
            ),
        )
        .await;
        let place = lab.argument();
        lab.sql(&format!(
            r#"INSERT INTO dye VALUES ('{}', '2001-02-03 04:05:06', NULL, '{{"a": 1, "b": 2}}', 1), ('{}', NULL, NULL, NULL, 2)"#,
            id(1),
            id(2)
        ))
        .await
        .unwrap();
        let said = ebb(&["-d", &place, "init"]).ends_with(0);
        assert!(said.stdout().contains("2 rows are there already"), "{}", said.stdout());
        assert!(said.stdout().contains("--record-differences"), "{}", said.stdout());
        assert_eq!(lab.log().await, []);

        let done = ebb(&["-d", &place, "--json", "init", "--record-differences"]).ends_with(0);
        assert_eq!(done.object()["differences_recorded"], 2);
        assert_eq!(done.object()["events"], 2);
        lab.assert_no_drift().await;
        let before = lab.rows().await;
        lab.append(vec![delete("dye", id(1)), update("dye", id(2), json!({"n": 7, "info": {"k": 1}}))])
            .await;
        lab.roll_back(RollbackTarget::AfterEvent(2), Strategy::Replay).await.unwrap();
        assert_eq!(lab.rows().await, before);

        // Behind the log's back, after a rollback of either kind: changed, taken out of an object, gone, new.
        lab.append(vec![create("dye", id(3), json!({"n": 3})), create("dye", id(4), json!({"n": 4}))])
            .await;
        lab.append(vec![update("dye", id(3), json!({"n": 33}))]).await;
        lab.roll_back(RollbackTarget::BeforeEvent(lab.store.head().await.unwrap()), Strategy::Minimal)
            .await
            .unwrap();
        lab.sql(&format!(
            r#"UPDATE dye SET n = 11, info = '{{"a": 1}}' WHERE dye_id = '{}';
               UPDATE dye SET n = 22, updated_on = '2002-02-02' WHERE dye_id = '{}';
               DELETE FROM dye WHERE dye_id = '{}';
               INSERT INTO dye (dye_id, n) VALUES ('{}', 5)"#,
            id(1),
            id(2),
            id(3),
            id(5)
        ))
        .await
        .unwrap();
        let there = lab.rows().await;
        let head = lab.store.head().await.unwrap();
        let done = ebb(&["-d", &place, "--json", "init", "--record-differences"]).ends_with(0);
        assert_eq!(done.object()["differences_recorded"], 5);
        assert_eq!(lab.rows().await, there);
        lab.assert_no_drift().await;
        let recorded: Vec<(EventKind, Uuid)> = lab.log().await.into_iter()
            .filter(|event| event.id > head)
            .map(|event| (event.kind, event.row.unwrap().uuid))
            .collect();
        assert_eq!(
            recorded,
            [
                (EventKind::Delete, id(1)),
                (EventKind::Create, id(1)),
                (EventKind::Update, id(2)),
                (EventKind::Delete, id(3)),
                (EventKind::Create, id(5)),
            ]
        );
        // Once more finds nothing.
        let done = ebb(&["-d", &place, "--json", "init", "--record-differences"]).ends_with(0);
        assert_eq!(done.object()["differences_recorded"], 0);
    }

    async fn a_demo_elsewhere_needs_an_empty_database(backend) {
        let (address, _directory) = crate::support::fresh_address(backend).await;
        let place = match &address {
            ebbtide::store::Address::Sqlite(path) => path.display().to_string(),
            ebbtide::store::Address::Postgres(url) => url.clone(),
        };
        let made = ebb(&["-d", &place, "demo", "--no-tui", "--json"]).ends_with(0);
        assert_eq!(made.objects().len(), 18);
        assert!(!made.stderr().contains("ebb-test"), "the password");
        let error = ebb(&["-d", &place, "demo", "--no-tui", "--json"]).ends_with(3).error();
        assert_eq!(error["code"], "not-empty");
    }

    async fn the_log_streams_filters_and_ends_where_it_is_told(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        let log = |more: &[&str]| {
            let arguments: Vec<&str> = ["-d", &place, "log", "--json"].iter().chain(more).copied().collect();
            let objects = ebb(&arguments).ends_with(0).objects();
            objects.iter().map(|event| event["id"].as_i64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(log(&[]), (1..=18).rev().collect::<Vec<_>>());
        assert_eq!(log(&["--oldest-first", "--limit", "2"]), [1, 2]);
        assert_eq!(log(&["--type", "molecule"]), [18, 10, 6]);
        assert_eq!(log(&["--event", "update"]), [12, 10]);
        assert_eq!(log(&["--uuid", "C053"]), [10, 6]);
        assert_eq!(log(&["--since", "2020-02-17T03:10:00"]), [18, 17, 16]);
        assert_eq!(log(&["--until", "2020-02-17 03:09:48.748453"]), (1..=9).rev().collect::<Vec<_>>());
        assert_eq!(log(&["--search", "typo"]), [6]);
        assert_eq!(log(&["--actor", "nobody"]), Vec::<i64>::new());
        let first = ebb(&["-d", &place, "log", "--json", "--oldest-first", "--limit", "1"]).objects();
        assert_eq!(fields(&first[0]), ["id", "event", "type", "uuid", "data", "filled", "timestamp", "actor", "origin", "undone_by"]);
        assert_eq!(first[0]["timestamp"], "2020-02-17T03:09:48.219183Z");
    }

    async fn an_event_a_row_and_a_table_are_shown(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        let shown = ebb(&["-d", &place, "show", "10", "--json"]).ends_with(0).object();
        assert_eq!((&shown["before"]["smiles"], &shown["after"]["smiles"]), (&json!("A-UGLY-TYPO-C"), &json!("ABC")));
        let molecule = "c053009a-9b1d-44a7-8267-f5befdb03eb0";
        let life = ebb(&["-d", &place, "history", "molecule", molecule, "--json"]).ends_with(0).objects();
        assert_eq!(life.len(), 2);
        assert_eq!(life[1]["columns"]["smiles"], json!({"from": "A-UGLY-TYPO-C", "to": "ABC"}));
        let tables = ebb(&["-d", &place, "table", "--json"]).ends_with(0).objects();
        assert_eq!(tables.len(), 11);
        assert_eq!(tables[6], json!({"type": "molecule", "rows": 2, "tracked": true, "reason": null}));
        let rows = |more: &[&str]| {
            let arguments: Vec<&str> = ["-d", &place, "table", "molecule", "--json"].iter().chain(more).copied().collect();
            ebb(&arguments).ends_with(0).objects().iter().map(|row| row["smiles"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(rows(&[]), ["ABC", "DEF"]);
        assert_eq!(rows(&["--limit", "1"]), ["ABC"]);
        assert_eq!(rows(&["--at-event", "6"]), ["A-UGLY-TYPO-C"]);
        assert_eq!(rows(&["--at-event", "0"]), Vec::<String>::new());
        assert_eq!(rows(&["--at", "2020-02-17T03:09:48.810674"]), ["ABC"]);
        assert_eq!(rows(&["--at", "2020-02-17T04:09:48.810673+01:00"]), ["A-UGLY-TYPO-C"]);
        let text = ebb(&["-d", &place, "show", "10"]).ends_with(0).stdout();
        assert!(text.contains("smiles") && text.contains("A-UGLY-TYPO-C → ABC"), "{text}");
        let text = ebb(&["-d", &place, "table", "molecule"]).ends_with(0).stdout();
        assert!(text.contains("smiles") && text.contains("DEF"), "{text}");
    }

    async fn rows_are_created_updated_and_deleted(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        let created = ebb(&["-d", &place, "create", "molecule", r#"{"smiles": "GHI"}"#, "--json"]).ends_with(0).object();
        assert_eq!(created["id"], 19);
        let uuid = created["uuid"].as_str().unwrap();
        let updated = ebb_with_input(&["-d", &place, "update", "molecule", uuid, "-", "--json"], r#"{"smiles": "JKL"}"#);
        assert_eq!(updated.ends_with(0).object()["data"], json!({"smiles": "JKL"}));
        ebb(&["-d", &place, "delete", "molecule", uuid]).ends_with(0);
        assert_eq!(lab.rows().await.len(), 16);
        lab.assert_no_drift().await;
    }

    async fn many_events_are_appended_together_or_not_at_all(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        let lines = "{\"event\": \"create\", \"type\": \"fragment\", \"data\": {\"smiles\": \"X\"}}\n\n{\"event\":\"create\",\"type\":\"fragment\",\"data\":{\"smiles\":\"Y\"},\"id\":null}\n";
        let appended = ebb_with_input(&["-d", &place, "append", "--json"], lines).ends_with(0);
        assert_eq!(appended.objects().iter().map(|event| event["id"].as_i64().unwrap()).collect::<Vec<_>>(), [19, 20]);
        for (lines, code, place_named) in [
            ("{\"event\":\"create\",\"type\":\"fragment\",\"data\":{\"smiles\":\"Z\"}}\nnot json\n", "bad-json", "line 2"),
            ("[1]\n", "bad-data", "line 1"),
            ("{\"event\":\"make\",\"type\":\"fragment\"}\n", "unknown-event-kind", "line 1"),
            ("{\"event\":\"create\",\"type\":\"fragment\",\"id\":7}\n", "reserved-field", "line 1"),
            ("{\"event\":\"create\",\"type\":\"fragment\",\"actor\":\"me\"}\n", "reserved-field", "line 1"),
            ("{\"event\":\"create\",\"type\":\"fragment\",\"dta\":{}}\n", "bad-data", "line 1"),
            ("{\"event\":\"update\",\"type\":\"fragment\",\"uuid\":\"me\"}\n", "bad-uuid", "line 1"),
            ("{\"event\":\"create\",\"type\":\"fragment\",\"timestamp\":\"noon\"}\n", "bad-timestamp", "line 1"),
            ("{\"event\":\"create\",\"type\":\"fragment\",\"data\":7}\n", "bad-data", "line 1"),
            ("{\"event\":\"create\",\"type\":\"fragment\",\"data\":{\"smiles\":\"Z\"}}\n{\"event\":\"create\",\"type\":\"fragment\",\"data\":{\"smiles\":\"Z\"}}\n", "constraint-violated", "event 2 of 2"),
        ] {
            let error = ebb_with_input(&["-d", &place, "append", "-", "--json"], lines).ends_with(1).error();
            assert_eq!(error["code"], code, "{error}");
            assert!(error["message"].as_str().unwrap().contains(place_named), "{error}");
        }
        assert_eq!(lab.store.head().await.unwrap(), 20);
    }

    async fn a_rollback_is_planned_confirmed_and_undone(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        let plan = ebb(&["-d", &place, "rollback", "--before-event", "15", "--dry-run", "--json"]).ends_with(0).object();
        assert_eq!(plan["target"], json!({"keeps_through": 14}));
        assert_eq!((&plan["events_undone"], &plan["events_to_append"], &plan["head"]), (&json!(4), &json!(6), &json!(18)));
        assert_eq!(plan["changes"][0]["columns"]["smiles"], json!({"from": "DEF", "to": null}));
        assert_eq!(plan["tables"][2], json!({"type": "molecule", "removed": 1, "brought_back": 0, "changed": 0}));
        let error = ebb(&["-d", &place, "rollback", "--before-event", "15", "--json"]).ends_with(3);
        assert_eq!(error.stdout(), "");
        assert_eq!(lab.store.head().await.unwrap(), 18, "nobody confirmed");

        let outcome = ebb(&["-d", &place, "rollback", "--before", "2020-02-17T03:09:59.145749", "--strategy", "replay", "--yes", "--json", "--reason", "wrong sample"]).ends_with(0).object();
        assert_eq!(outcome, json!({"rollback": 19, "rollback_end": 50, "events_appended": 32, "keeps_through": 14, "strategy": "replay"}));
        let verified = ebb(&["-d", &place, "verify", "--drift", "--json"]).ends_with(0).object();
        assert_eq!(verified, json!({"events": 50, "rows": 12, "findings": []}));
        let undone = ebb(&["-d", &place, "show", "15", "--json"]).object();
        assert_eq!(undone["undone_by"], 19);
        ebb(&["-d", &place, "undo", "--yes"]).ends_with(0);
        assert_eq!(lab.rows().await.len(), 16);
        ebb(&["-d", &place, "rollback", "--before-event", "5", "--yes"]).ends_with(0);
        assert_eq!(lab.rows().await.len(), 4);
        ebb(&["-d", &place, "undo", "--yes"]).ends_with(0);
        ebb(&["-d", &place, "redo", "--yes"]).ends_with(0);
        assert_eq!(lab.rows().await.len(), 4);
        ebb(&["-d", &place, "create", "fragment", r#"{"smiles": "late"}"#]).ends_with(0);
        let error = ebb(&["-d", &place, "undo", "--yes", "--json"]).ends_with(3);
        assert!(error.stderr().contains("--with-later"), "{}", error.stderr());
        ebb(&["-d", &place, "undo", "--yes", "--with-later"]).ends_with(0);
        assert_eq!(lab.rows().await.len(), 16);
        ebb(&["-d", &place, "verify"]).ends_with(0);
    }

    async fn the_rows_that_differ_between_two_positions_are_printed(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        let differing = |positions: &[&str]| -> Vec<(Value, Value)> {
            ebb(&[&["-d", &place, "--json", "diff"], positions].concat())
                .ends_with(0)
                .objects()
                .into_iter()
                .map(|row| (row["type"].clone(), row["action"].clone()))
                .collect()
        };
        let added = |tables: &[&str]| tables.iter().map(|table| (json!(table), json!("bring-back"))).collect::<Vec<_>>();
        assert_eq!(differing(&["14"]), added(&["data_unit", "experiment", "molecule", "xy_data"]));
        assert_eq!(differing(&["0", "2"]), added(&["lab", "synthesis_machine"]));
        assert_eq!(differing(&["2", "0"])[0], (json!("lab"), json!("remove")));
        assert_eq!(differing(&["18"]), []);
        let corrected = ebb(&["-d", &place, "--json", "diff", "9", "10"]).ends_with(0).object();
        assert_eq!(corrected["action"], "change");
        assert_eq!(corrected["columns"]["smiles"], json!({"from": "A-UGLY-TYPO-C", "to": "ABC"}));
        let said = ebb(&["-d", &place, "diff", "9", "10"]).ends_with(0).stdout();
        assert!(said.starts_with("~ molecule c053009a-9b1d-44a7-8267-f5befdb03eb0"), "{said}");
        let error = ebb(&["-d", &place, "diff", "99"]).ends_with(1).stderr();
        assert!(error.contains("no event #99") && error.contains("#1 to #18"), "{error}");
    }

    async fn one_event_is_undone_and_what_came_after_it_kept(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        let before = lab.rows().await;
        let error = ebb(&["-d", &place, "revert", "11", "--yes"]).ends_with(3).stderr();
        assert!(error.contains("#12 changes it later") && error.contains("(and 1 more)"), "{error}");
        assert_eq!(lab.rows().await, before);

        // It says which later event changed the same column, and takes a word on whose value is to stand.
        let molecule = "c053009a-9b1d-44a7-8267-f5befdb03eb0";
        ebb(&["-d", &place, "update", "molecule", molecule, r#"{"smiles": "ABCD"}"#]).ends_with(0);
        let error = ebb(&["-d", &place, "revert", "10", "--yes"]).ends_with(3).stderr();
        assert!(error.contains("#19") && error.contains("--ours") && error.contains("--theirs"), "{error}");
        let edited = lab.rows().await;
        assert_ne!(edited, before);
        ebb(&["-d", &place, "revert", "10", "--ours", "--yes"]).ends_with(0);
        assert_eq!(lab.rows().await, edited);
        ebb(&["-d", &place, "undo", "--yes"]).ends_with(0);
        ebb(&["-d", &place, "revert", "10", "--theirs", "--yes"]).ends_with(0);
        let typo = ebb(&["-d", &place, "--json", "diff", "19"]).ends_with(0).object();
        assert_eq!(typo["columns"]["smiles"], json!({"from": "ABCD", "to": "A-UGLY-TYPO-C"}));
        ebb(&["-d", &place, "undo", "--yes"]).ends_with(0);
        assert_eq!(lab.rows().await, edited);
        ebb(&["-d", &place, "verify", "--drift"]).ends_with(0);
    }

    async fn one_table_is_taken_back_and_everything_else_left(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        let before = lab.rows().await;
        let error = ebb(&["-d", &place, "rollback", "--before-event", "5", "--only", "molecul", "--yes"]).ends_with(1).stderr();
        assert!(error.contains("did you mean \"molecule\"?"), "{error}");
        let plan = ebb(&["-d", &place, "--json", "rollback", "--before-event", "5", "--only", "molecule", "--dry-run"]).ends_with(3).object();
        assert_eq!(plan["blockers"].as_array().unwrap().len(), 2, "{}", plan["blockers"]);
        assert_eq!(lab.rows().await, before);
        ebb(&["-d", &place, "rollback", "--before-event", "18", "--only", "molecule", "--yes"]).ends_with(0);
        let left = lab.rows().await;
        assert_eq!(left.len(), before.len() - 1);
        assert!(left.iter().all(|row| before.contains(row)));
        ebb(&["-d", &place, "undo", "--yes"]).ends_with(0);
        assert_eq!(lab.rows().await, before);
        ebb(&["-d", &place, "verify", "--drift"]).ends_with(0);
    }

    async fn with_nothing_after_the_target_the_outcome_is_empty(backend) {
        let lab = Database::mad_lab(backend).await;
        let place = lab.argument();
        for target in [["--before", "2999-01-01"], ["--after-event", "18"]] {
            let outcome = ebb(&["-d", &place, "rollback", target[0], target[1], "--json"]).ends_with(0).object();
            assert_eq!(outcome, json!({"rollback": null, "rollback_end": null, "events_appended": 0, "keeps_through": 18, "strategy": "minimal"}));
            let said = ebb(&["-d", &place, "rollback", target[0], target[1]]).ends_with(0).stdout();
            assert!(said.contains("Nothing to undo"), "{said}");
        }
        assert_eq!(lab.store.head().await.unwrap(), 18);
        let outcome = ebb(&["-d", &place, "rollback", "--before-event", "1", "--yes", "--json"]).ends_with(0).object();
        assert_eq!(outcome["keeps_through"], 0);
        assert!(lab.rows().await.is_empty());
    }

    async fn blockers_are_printed_and_end_with_3(backend) {
        let lab = Database::with(backend, &crate::contract::schema(backend)).await;
        let place = lab.argument();
        let sample = ebb(&["-d", &place, "create", "sample", r#"{"name": "a"}"#, "--json"]).ends_with(0).object();
        let spectrum = json!({"sample_id": sample["uuid"]}).to_string();
        let spectrum = ebb(&["-d", &place, "create", "spectrum", &spectrum, "--json"]).ends_with(0).object();
        lab.sql(&format!("INSERT INTO booking VALUES (1, '{}')", spectrum["uuid"].as_str().unwrap())).await.unwrap();
        let plan = ebb(&["-d", &place, "rollback", "--before-event", "2", "--dry-run", "--json"]).ends_with(3).object();
        assert_eq!(plan["blockers"][0]["kind"], "outside-reference");
        let error = ebb(&["-d", &place, "rollback", "--before-event", "2", "--yes", "--json"]).ends_with(3);
        assert!(error.stderr().contains("booking"), "{}", error.stderr());
        assert_eq!(lab.store.head().await.unwrap(), 2);
    }

    async fn verify_lists_what_was_done_behind_the_logs_back(backend) {
        let lab = Database::mad_lab(backend).await;
        lab.sql("UPDATE molecule SET smiles = 'forged' WHERE smiles = 'DEF'").await.unwrap();
        let found = ebb(&["-d", &lab.argument(), "verify", "--json"]).ends_with(4).object();
        assert_eq!(found["findings"], json!([{
            "kind": "changed-row", "event": 18, "type": "molecule", "uuid": "e3dde6c2-ab0c-4c77-9d55-e52d58a1425d",
            "column": "smiles", "expected": "DEF", "found": "forged",
        }]));
        let text = ebb(&["-d", &lab.argument(), "verify"]).ends_with(4).stdout();
        assert!(text.contains("smiles is \"forged\" where the log says \"DEF\""), "{text}");
    }

    async fn init_makes_an_event_store_and_tables(backend) {
        let (address, directory) = crate::support::fresh_address(backend).await;
        let place = match &address {
            ebbtide::store::Address::Sqlite(path) => path.display().to_string(),
            ebbtide::store::Address::Postgres(url) => url.clone(),
        };
        let schema = directory.path().join("schema.sql");
        std::fs::write(&schema, crate::contract::schema(backend)).unwrap();
        let made = ebb(&["-d", &place, "init", "--schema", schema.to_str().unwrap(), "--json"]).ends_with(0).object();
        assert_eq!((&made["events"], &made["tables"], &made["tracked"]), (&json!(0), &json!(4), &json!(2)));
        let tables = ebb(&["-d", &place, "table", "--json"]).ends_with(0).objects();
        assert_eq!(tables[0]["tracked"], false);
        assert!(tables[0]["reason"].as_str().unwrap().contains("number"), "{}", tables[0]);
        // Again: everything stays.
        ebb(&["-d", &place, "create", "sample", r#"{"name": "a"}"#]).ends_with(0);
        assert_eq!(ebb(&["-d", &place, "init", "--json"]).ends_with(0).object()["events"], 1);
    }
}

#[test]
fn the_database_comes_from_the_environment_too() {
    let lab = run(Database::mad_lab(Backend::Sqlite));
    for (name, other) in [
        ("EBB_DATABASE", "DATABASE_URL"),
        ("DATABASE_URL", "NOTHING"),
    ] {
        let ended = command()
            .args(["log", "--limit", "1"])
            .env(name, lab.argument())
            .env(other, "/nowhere/at/all.db")
            .output()
            .unwrap();
        assert!(ended.status.success(), "{name}");
    }
}

#[test]
fn a_person_is_named_after_the_role() {
    let lab = run(Database::mad_lab(Backend::Sqlite));
    let ended = command()
        .args([
            "-d",
            &lab.argument(),
            "create",
            "fragment",
            r#"{"smiles": "X"}"#,
            "--json",
        ])
        .env("EBB_PERSON", "tga")
        .output()
        .unwrap();
    let event: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert!(
        event["actor"].as_str().unwrap().ends_with("/tga"),
        "{event}"
    );
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let lab = run(Database::mad_lab(Backend::Sqlite));
    let many: String = (0..5000)
        .map(|n| {
            format!(
                "{{\"event\":\"create\",\"type\":\"fragment\",\"data\":{{\"smiles\":\"{n}\"}}}}\n"
            )
        })
        .collect();
    ebb_with_input(&["-d", &lab.argument(), "append"], &many).ends_with(0);
    let mut child = command()
        .args(["-d", &lab.argument(), "log", "--json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(0));
    assert_eq!(String::from_utf8(ended.stderr).unwrap(), "");
}

#[test]
fn what_is_printed_cannot_drive_the_terminal() {
    let lab = run(Database::mad_lab(Backend::Sqlite));
    let evil = json!({"smiles": "\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}"}).to_string();
    ebb(&["-d", &lab.argument(), "create", "molecule", &evil]).ends_with(0);
    for arguments in [
        vec!["log"],
        vec!["log", "--json"],
        vec!["show", "19"],
        vec!["table", "molecule"],
        vec!["rollback", "--before-event", "19", "--dry-run"],
    ] {
        let arguments: Vec<&str> = ["-d", &lab.argument()]
            .into_iter()
            .chain(arguments)
            .map(|part| Box::leak(part.to_owned().into_boxed_str()) as &str)
            .collect();
        let printed = ebb(&arguments).ends_with(0).stdout();
        let bad = printed
            .chars()
            .find(|c| *c != '\n' && ebbtide::text::drives_a_terminal(*c));
        assert_eq!(bad, None, "ebb {arguments:?}");
    }
}

#[test]
fn a_picture_shows_what_the_keys_lead_to() {
    let lab = run(Database::mad_lab(Backend::Sqlite));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("picture.svg");
    let file = file.to_str().unwrap();
    let picture = |steps: &[&str]| {
        let argument = lab.argument();
        let mut arguments = vec!["-d", argument.as_str(), "picture", file];
        arguments.extend(steps);
        ebb(&arguments)
    };
    picture(&[
        "await:▌ #18",
        "Down",
        "type:R",
        "await:just before #17",
        "await:removed",
    ])
    .ends_with(0);
    let drawn = std::fs::read_to_string(file).unwrap();
    assert!(drawn.starts_with("<svg ") && drawn.ends_with("</svg>\n"));
    for word in [">Rollback]<", ">#17,<", ">removed,<", "textLength"] {
        assert!(drawn.contains(word), "{word}:\n{drawn}");
    }
    // What is no picture is not overwritten.
    let argument = lab.argument();
    ebb(&["-d", &argument, "picture", &argument]).ends_with(2);
    ebb(&["-d", &argument, "verify"]).ends_with(0);
    let refused = picture(&["hyper-x"]).ends_with(2);
    assert!(refused.stderr().contains("there is no key hyper-x"));
}

#[test]
fn help_names_every_command_and_every_exit_code() {
    let help = ebb(&["--help"]).ends_with(0).stdout();
    for word in [
        "demo",
        "init",
        "log",
        "show",
        "table",
        "history",
        "create",
        "update",
        "delete",
        "append",
        "rollback",
        "undo",
        "redo",
        "verify",
        "Exit codes",
        "EBB_DATABASE",
    ] {
        assert!(help.contains(word), "{word}:\n{help}");
    }
    ebb(&["--version"]).ends_with(0);
}
