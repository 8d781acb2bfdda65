//! Appending: order, timestamps, and what an event does to its row (§2 to §4).

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, Event, EventKind, timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::schema;
use crate::support::{Database, create, delete, event, id, moment, on_each, row, update};

on_each! {
    async fn ids_have_no_gaps_and_a_transaction_shares_one_timestamp(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let first = lab.append(vec![
            create("sample", id(1), json!({"name": "a"})),
            create("sample", id(2), json!({"name": "b"})),
        ]).await;
        let second = lab.append(vec![update("sample", id(1), json!({"mass": 1}))]).await;
        let ids: Vec<i64> = first.iter().chain(&second).map(|event| event.id).collect();
        assert_eq!(ids, [1, 2, 3]);
        assert_eq!(first[0].timestamp, first[1].timestamp);
        assert!(second[0].timestamp > first[1].timestamp);
        assert_eq!(lab.log().await, [first, second].concat(), "what is returned is what is stored");
    }

    async fn a_refused_event_leaves_no_gap(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        lab.refused(vec![create("sample", id(2), json!({"name": "a"}))]).await;
        let next = lab.append(vec![create("sample", id(2), json!({"name": "b"}))]).await;
        assert_eq!(next[0].id, 2);
    }

    async fn the_actor_is_who_writes_and_the_person_after_it(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let options = ebbtide::store::OpenOptions {
            person: Some("tga the 2nd".to_owned()),
            ..crate::support::options()
        };
        let named = ebbtide::store::open(&lab.address, &options).await.unwrap();
        let events = named.append(vec![create("sample", id(1), json!({"name": "a"}))]).await.unwrap();
        let role = match backend {
            Backend::Sqlite => "tester",
            Backend::Postgres => "postgres",
        };
        assert_eq!(events[0].actor, format!("{role}/tga the 2nd"));
        let plain = lab.append(vec![create("sample", id(2), json!({"name": "b"}))]).await;
        // By an INSERT, it is another role.
        assert!(plain[0].actor == role || plain[0].actor.starts_with("inserting_writer_"), "{}", plain[0].actor);
    }

    async fn timestamps_can_be_imported_in_order(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let at = |text: &str, mut event: ebbtide::eventsourcing::NewEvent| {
            event.timestamp = Some(moment(text));
            event
        };
        let events = lab.append(vec![
            at("2020-01-01T00:00:00.000001", create("sample", id(1), json!({"name": "a"}))),
            at("2020-01-01T00:00:00.000001", create("sample", id(2), json!({"name": "b"}))),
            at("2020-01-02", create("sample", id(3), json!({"name": "c"}))),
        ]).await;
        assert_eq!(timestamp::format(events[0].timestamp), "2020-01-01T00:00:00.000001Z");
        assert_eq!(events[1].timestamp, events[0].timestamp);
        assert_eq!(lab.row("sample", id(3)).await.unwrap()["created_on"], "2020-01-02T00:00:00");
        let later = lab.append(vec![update("sample", id(1), json!({"mass": 3}))]).await;
        assert!(later[0].timestamp > events[2].timestamp);
    }

    async fn events_after_one_from_the_future_are_later_still(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let mut ahead = create("sample", id(1), json!({"name": "a"}));
        ahead.timestamp = Some(moment("2099-01-01"));
        lab.append(vec![ahead]).await;
        let next = lab.append(vec![update("sample", id(1), json!({"mass": 2}))]).await;
        assert_eq!(timestamp::format(next[0].timestamp), "2099-01-01T00:00:00.000001Z");
    }

    async fn a_create_takes_the_timestamp_and_the_defaults(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let events = lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        let stored = lab.row("sample", id(1)).await.unwrap();
        let expected = Value::String(timestamp::column_text(events[0].timestamp));
        assert_eq!(stored["created_on"], expected);
        assert_eq!(stored["updated_on"], expected);
        assert_eq!(stored["mass"], 7);
        assert_eq!(stored["double_mass"], 14);
        assert_eq!(events[0].filled, Some(row(json!({"mass": 7, "double_mass": 14}))));
    }

    async fn a_create_without_a_uuid_gets_one(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let new = event(EventKind::Create, "sample", None, json!({"name": "a"}));
        let events = lab.append(vec![new]).await;
        let uuid = events[0].row.as_ref().unwrap().uuid;
        assert!(lab.row("sample", uuid).await.is_some());
    }

    async fn an_update_replaces_columns_and_merges_objects(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        // Each: what is given, and what the column holds then.
        for (given, held) in [
            (json!({"b": 1}), json!({"b": 1})),
            (json!({"c": {"d": 1}}), json!({"b": 1, "c": {"d": 1}})),
            (json!({"c": {"e": 2}, "b": null}), json!({"b": null, "c": {"e": 2}})),
            (json!([1, 2]), json!([1, 2])),
            (json!({"f": 1}), json!({"f": 1})),
            (json!(null), json!(null)),
            (json!({"g": 1}), json!({"g": 1})),
            (json!("text"), json!("text")),
        ] {
            lab.append(vec![update("sample", id(1), json!({"info": given}))]).await;
            assert_eq!(lab.row("sample", id(1)).await.unwrap()["info"], held, "after {given}");
        }
        lab.assert_no_drift().await;
    }

    async fn an_update_sets_updated_on_and_keeps_created_on(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        let first = lab.append(vec![create("sample", id(1), json!({"name": "a"}))]).await;
        let second = lab.append(vec![update("sample", id(1), json!({"mass": 8}))]).await;
        let stored = lab.row("sample", id(1)).await.unwrap();
        assert_eq!(stored["created_on"], timestamp::column_text(first[0].timestamp));
        assert_eq!(stored["updated_on"], timestamp::column_text(second[0].timestamp));
        lab.append(vec![update("sample", id(1), json!({"updated_on": "2001-02-03 04:05"}))]).await;
        assert_eq!(lab.row("sample", id(1)).await.unwrap()["updated_on"], "2001-02-03T04:05:00");
        lab.assert_no_drift().await;
    }

    async fn a_row_can_live_twice(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![create("sample", id(1), json!({"name": "a", "info": {"x": 1}}))]).await;
        lab.append(vec![delete("sample", id(1))]).await;
        assert_eq!(lab.row("sample", id(1)).await, None);
        lab.append(vec![create("sample", id(1), json!({"name": "b"}))]).await;
        assert_eq!(lab.row("sample", id(1)).await.unwrap()["info"], json!(null));
        lab.assert_no_drift().await;
    }

    async fn what_a_delete_takes_along_is_logged_before_it(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![
            create("sample", id(1), json!({"name": "a"})),
            create("sample", id(2), json!({"name": "b"})),
            create("spectrum", id(11), json!({"sample_id": id(1), "title": "goes along"})),
            create("spectrum", id(12), json!({"sample_id": id(2), "reference_id": id(1)})),
        ]).await;
        let events = lab.append(vec![delete("sample", id(1))]).await;
        let told: Vec<(EventKind, u128)> = events.iter().map(|event: &Event| {
            (event.kind, event.row.as_ref().unwrap().uuid.as_u128() - id(0).as_u128())
        }).collect();
        let mut cascaded = told[..2].to_vec();
        cascaded.sort_by_key(|(_, id)| *id);
        assert_eq!(cascaded, [(EventKind::Delete, 11), (EventKind::Update, 12)]);
        assert_eq!(told[2], (EventKind::Delete, 1));
        assert_eq!(lab.row("spectrum", id(11)).await, None);
        assert_eq!(lab.row("spectrum", id(12)).await.unwrap()["reference_id"], json!(null));
        lab.assert_no_drift().await;
    }

    async fn a_row_that_goes_along_is_not_changed_before(backend) {
        let lab = Database::with(backend, &schema(backend)).await;
        lab.append(vec![
            create("sample", id(1), json!({"name": "a"})),
            create("spectrum", id(11), json!({"sample_id": id(1), "reference_id": id(1)})),
        ]).await;
        let events = lab.append(vec![delete("sample", id(1))]).await;
        let kinds: Vec<EventKind> = events.iter().map(|event| event.kind).collect();
        assert_eq!(kinds, [EventKind::Delete, EventKind::Delete]);
        lab.assert_no_drift().await;
    }

    async fn what_a_circle_of_foreign_keys_takes_along_is_logged(backend) {
        let uuid = if backend == Backend::Sqlite { "TEXT" } else { "uuid" };
        let tables = format!(
            "CREATE TABLE batch (batch_id {uuid} PRIMARY KEY, method_id {uuid});
             CREATE TABLE sample (sample_id {uuid} PRIMARY KEY, batch_id {uuid} REFERENCES batch (batch_id) ON DELETE CASCADE);
             CREATE TABLE method (method_id {uuid} PRIMARY KEY, sample_id {uuid} REFERENCES sample (sample_id) ON DELETE CASCADE);"
        );
        let circle = match backend {
            Backend::Sqlite => tables.replace(
                "method_id TEXT);",
                "method_id TEXT REFERENCES method (method_id) ON DELETE CASCADE);",
            ),
            Backend::Postgres => format!(
                "{tables} ALTER TABLE batch ADD FOREIGN KEY (method_id) REFERENCES method (method_id) ON DELETE CASCADE"
            ),
        };
        let lab = Database::with(backend, &circle).await;
        lab.append(vec![
            create("batch", id(1), json!({})),
            create("sample", id(2), json!({"batch_id": id(1)})),
            create("method", id(3), json!({"sample_id": id(2)})),
            create("method", id(4), json!({"sample_id": id(2)})),
            update("batch", id(1), json!({"method_id": id(3)})),
        ]).await;
        let before = lab.rows().await;
        let events = lab.append(vec![delete("batch", id(1))]).await;
        // By deleting method 3 the database takes the batch along, and with it the sample and method 4.
        assert_eq!(events.len(), 4, "{events:?}");
        assert_eq!(lab.rows().await, []);
        lab.assert_no_drift().await;
        lab.roll_back(RollbackTarget::AfterEvent(5), Strategy::Minimal).await.unwrap();
        assert_eq!(lab.rows().await, before);
        lab.assert_no_drift().await;
    }

    async fn rows_that_point_at_each_other_can_be_deleted_along(backend) {
        let schema = format!("{}; {}", schema(backend), match backend {
            Backend::Sqlite =>
                "CREATE TABLE pair (pair_id UUID PRIMARY KEY NOT NULL, other_id UUID REFERENCES pair ON DELETE CASCADE)",
            Backend::Postgres =>
                "CREATE TABLE pair (pair_id uuid PRIMARY KEY, other_id uuid REFERENCES pair ON DELETE CASCADE)",
        });
        let lab = Database::with(backend, &schema).await;
        lab.append(vec![
            create("pair", id(1), json!({})),
            create("pair", id(2), json!({"other_id": id(1)})),
            update("pair", id(1), json!({"other_id": id(2)})),
        ]).await;
        let events = lab.append(vec![delete("pair", id(1))]).await;
        assert_eq!(events.len(), 2);
        assert_eq!(events[0].row.as_ref().unwrap().uuid, id(2));
        assert!(lab.rows().await.iter().all(|(table, _)| table != "pair"));
        lab.assert_no_drift().await;
    }

    async fn the_database_fills_in_a_synthesis_hid(backend) {
        let lab = Database::mad_lab(backend).await;
        let machine = "27811cc0-6c7b-4fb0-b679-435e1e280c1a";
        let molecule = "c053009a-9b1d-44a7-8267-f5befdb03eb0";
        let mut hids = Vec::new();
        for n in 1..=2 {
            let events = lab.append(vec![create("synthesis", id(n), json!({
                "synthesis_machine_id": machine, "targeted_molecule_id": molecule,
            }))]).await;
            hids.push(events[0].filled.as_ref().unwrap()["hid"].as_str().unwrap().to_owned());
        }
        let day = chrono::Utc::now().format("%Y-%m-%d").to_string();
        // The day may change while the test runs; the number then begins anew.
        assert!(hids[0].starts_with("MAD_") && hids[0].ends_with("_0"), "{hids:?} on {day}");
        assert_ne!(hids[0], hids[1]);
        lab.assert_no_drift().await;
    }

    async fn an_update_that_foreign_keys_carry_on_is_logged_before_its_cause(backend) {
        let (uuid, key, timestamp) = match backend {
            Backend::Sqlite => ("UUID", "PRIMARY KEY NOT NULL", "TIMESTAMP"),
            Backend::Postgres => ("uuid", "PRIMARY KEY", "timestamp"),
        };
        let lab = Database::with(backend, &format!(
            "CREATE TABLE unit (unit_id {uuid} {key}, name TEXT UNIQUE, note TEXT, base TEXT REFERENCES unit (name) ON UPDATE CASCADE);
             CREATE TABLE axis (axis_id {uuid} {key}, updated_on {timestamp}, unit TEXT UNIQUE REFERENCES unit (name) ON UPDATE CASCADE,
                                other TEXT REFERENCES unit (name) ON UPDATE SET NULL);
             CREATE TABLE label (label_id {uuid} {key}, axis TEXT REFERENCES axis (unit) ON UPDATE CASCADE)"
        )).await;
        lab.append(vec![
            create("unit", id(1), json!({"name": "ppm", "base": "ppm"})),
            create("unit", id(2), json!({"name": "mol"})),
            create("unit", id(3), json!({"name": "ppb", "base": "ppm"})),
            create("axis", id(11), json!({"unit": "ppm", "other": "ppm"})),
            create("axis", id(12), json!({"unit": "mol", "other": "ppm"})),
            create("label", id(21), json!({"axis": "ppm"})),
            create("label", id(22), json!({"axis": "mol"})),
        ]).await;
        let before = lab.rows().await;
        let events = lab.append(vec![update("unit", id(1), json!({"name": "PPM"}))]).await;
        let logged: Vec<(String, Uuid, Value)> = events.iter().map(|event| {
            let key = event.row.clone().unwrap();
            (key.table, key.uuid, Value::Object(event.data.clone()))
        }).collect();
        assert_eq!(logged, [
            ("axis".to_owned(), id(12), json!({"other": null})),
            ("label".to_owned(), id(21), json!({"axis": "PPM"})),
            ("axis".to_owned(), id(11), json!({"other": null, "unit": "PPM"})),
            ("unit".to_owned(), id(3), json!({"base": "PPM"})),
            ("unit".to_owned(), id(1), json!({"name": "PPM"})),
        ]);
        let axis = lab.row("axis", id(11)).await.unwrap();
        assert_eq!((&axis["unit"], &axis["other"]), (&json!("PPM"), &json!(null)));
        assert_eq!(axis["updated_on"], json!(timestamp::column_text(events[0].timestamp)));
        assert_eq!(lab.row("unit", id(1)).await.unwrap()["base"], "PPM", "a row that points at itself");
        lab.assert_no_drift().await;
        lab.append(vec![
            update("unit", id(1), json!({"name": "PPM", "note": "the same name"})),
            update("unit", id(2), json!({"note": "no name"})),
        ]).await;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.roll_back(RollbackTarget::BeforeEvent(8), strategy).await.unwrap();
            assert_eq!(lab.rows().await, before, "by {strategy}");
            lab.assert_no_drift().await;
            lab.undo(false).await.unwrap();
            lab.assert_no_drift().await;
        }
    }

    async fn an_update_is_not_carried_on_to_a_table_that_takes_no_part(backend) {
        let (uuid, key) = match backend {
            Backend::Sqlite => ("UUID", "PRIMARY KEY NOT NULL"),
            Backend::Postgres => ("uuid", "PRIMARY KEY"),
        };
        let lab = Database::with(backend, &format!(
            "CREATE TABLE unit (unit_id {uuid} {key}, name TEXT UNIQUE);
             CREATE TABLE shelf (number INTEGER PRIMARY KEY, unit TEXT REFERENCES unit (name) ON UPDATE CASCADE)"
        )).await;
        lab.append(vec![create("unit", id(1), json!({"name": "ppm"})), create("unit", id(2), json!({"name": "mol"}))]).await;
        lab.sql("INSERT INTO shelf VALUES (1, 'ppm')").await.unwrap();
        let error = lab.refused(vec![update("unit", id(1), json!({"name": "PPM"}))]).await;
        assert_eq!(error.code, ErrorCode::UntrackedTable);
        assert!(error.message.contains("shelf"), "{}", error.message);
        lab.append(vec![update("unit", id(2), json!({"name": "nobody points here"}))]).await;
    }
}
