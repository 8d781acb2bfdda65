//! Refusals: each names the event, the table, the column and the value, and writes nothing (§3).

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, EventKind};
use serde_json::json;

use super::schema;
use crate::support::{Database, create, delete, event, id, moment, on_each, update};

async fn lab(backend: Backend) -> Database {
    let lab = Database::with(backend, &schema(backend)).await;
    lab.append(vec![
        create("sample", id(1), json!({"name": "a"})),
        create("sample", id(2), json!({"name": "b", "parent_id": id(1)})),
        create("spectrum", id(11), json!({"sample_id": id(2)})),
    ])
    .await;
    lab
}

on_each! {
    async fn each_refusal_has_its_code_and_names_what_is_wrong(backend) {
        let lab = lab(backend).await;
        let cases = [
            (create("smaple", id(3), json!({"name": "c"})), ErrorCode::UnknownTable, vec!["smaple"]),
            (create("setting", id(3), json!({"name": "c"})), ErrorCode::UntrackedTable, vec!["setting", "more than one column"]),
            (create("booking", id(3), json!({})), ErrorCode::UntrackedTable, vec!["booking", "number"]),
            (create("sample", id(3), json!({"nmae": "c"})), ErrorCode::UnknownColumn, vec!["sample", "nmae"]),
            (update("sample", id(1), json!({"nmae": "c"})), ErrorCode::UnknownColumn, vec!["sample", "nmae"]),
            (create("sample", id(3), json!({"name": "c", "mass": "heavy"})), ErrorCode::BadValue, vec!["mass", "heavy"]),
            (update("sample", id(1), json!({"mass": [1]})), ErrorCode::BadValue, vec!["mass", "[1]"]),
            (create("sample", id(3), json!({"name": "c", "parent_id": "nobody"})), ErrorCode::BadValue, vec!["parent_id", "nobody"]),
            (create("sample", id(3), json!({"name": "c", "double_mass": 2})), ErrorCode::BadValue, vec!["double_mass"]),
            (create("sample", id(1), json!({"name": "c"})), ErrorCode::RowExists, vec!["sample"]),
            (update("sample", id(3), json!({"name": "c"})), ErrorCode::RowMissing, vec!["sample"]),
            (delete("sample", id(3)), ErrorCode::RowMissing, vec!["sample"]),
            (create("sample", id(3), json!({"name": "a"})), ErrorCode::ConstraintViolated, vec!["name", "a"]),
            (create("sample", id(3), json!({})), ErrorCode::ConstraintViolated, vec!["name"]),
            (create("sample", id(3), json!({"name": "c", "mass": 1000})), ErrorCode::ConstraintViolated, vec!["mass"]),
            (create("sample", id(3), json!({"name": "c", "parent_id": id(9)})), ErrorCode::ConstraintViolated, vec!["parent_id"]),
            (delete("sample", id(1)), ErrorCode::ConstraintViolated, vec!["parent_id"]),
            (update("sample", id(1), json!({"sample_id": id(3)})), ErrorCode::BadValue, vec!["sample_id"]),
            (create("sample", id(3), json!({"name": "c", "sample_id": id(4)})), ErrorCode::BadValue, vec!["sample_id"]),
            (update("sample", id(1), json!({"created_on": "2020-01-01"})), ErrorCode::BadValue, vec!["created_on", "2020-01-01"]),
        ];
        for (new, code, words) in cases {
            let told = new.to_string();
            let error = lab.refused(vec![new]).await;
            assert_eq!(error.code, code, "{told}: {}", error.message);
            assert!(error.message.starts_with(&format!("{told}: ")), "{told}: {}", error.message);
            for word in words {
                assert!(error.message.contains(word), "{told}: {} has no \"{word}\"", error.message);
            }
        }
    }

    async fn an_event_among_many_is_named_by_its_place(backend) {
        let lab = lab(backend).await;
        let error = lab.refused(vec![
            create("sample", id(3), json!({"name": "c"})),
            create("sample", id(4), json!({"nmae": "d"})),
            create("sample", id(5), json!({"name": "e"})),
        ]).await;
        assert!(error.message.starts_with("event 2 of 3, create sample "), "{}", error.message);
        assert_eq!(error.hint.as_deref(), Some("did you mean \"name\"?"));
    }

    async fn the_nearest_table_is_suggested(backend) {
        let lab = lab(backend).await;
        let error = lab.refused(vec![create("smaple", id(3), json!({}))]).await;
        assert_eq!(error.hint.as_deref(), Some("did you mean \"sample\"?"));
    }

    async fn an_update_or_delete_says_which_row(backend) {
        let lab = lab(backend).await;
        for kind in [EventKind::Update, EventKind::Delete] {
            let error = lab.refused(vec![event(kind, "sample", None, json!({}))]).await;
            assert_eq!(error.code, ErrorCode::NoUuid);
            assert!(error.message.starts_with("No uuid has been provided"), "{}", error.message);
        }
    }

    async fn only_a_rollback_writes_its_bookkeeping(backend) {
        let lab = lab(backend).await;
        for kind in [EventKind::Restore, EventKind::RollbackEnd] {
            let error = lab.refused(vec![event(kind, "sample", Some(id(1)), json!({}))]).await;
            assert_eq!(error.code, ErrorCode::RestoreOutsideRollback, "{}", error.message);
        }
    }

    async fn a_timestamp_cannot_be_earlier_than_the_last(backend) {
        let lab = lab(backend).await;
        let mut early = create("sample", id(3), json!({"name": "c"}));
        early.timestamp = Some(moment("2020-01-01"));
        let error = lab.refused(vec![early]).await;
        assert_eq!(error.code, ErrorCode::BadTimestamp, "{}", error.message);
    }

    async fn a_timestamp_leaves_room_for_later_ones(backend) {
        let lab = lab(backend).await;
        let mut late = create("sample", id(3), json!({"name": "c"}));
        late.timestamp = Some(moment("9999-01-01"));
        let error = lab.refused(vec![late.clone()]).await;
        assert_eq!(error.code, ErrorCode::BadTimestamp, "{}", error.message);
        assert!(error.message.contains("in the year 9999 or later"), "{}", error.message);
        late.timestamp = Some(moment("9998-12-31T23:59:59.999999"));
        lab.append(vec![late]).await;
        lab.append(vec![delete("sample", id(3))]).await;
        lab.assert_no_drift().await;
    }

    async fn text_with_a_nul_is_refused(backend) {
        let lab = lab(backend).await;
        for data in [json!({"name": "a\0b"}), json!({"name": "c", "info": {"k": ["\0"]}})] {
            let error = lab.refused(vec![create("sample", id(3), data)]).await;
            assert_eq!(error.code, ErrorCode::BadValue, "{}", error.message);
        }
    }

    async fn a_cascade_into_a_table_that_takes_no_part_is_refused(backend) {
        let lab = lab(backend).await;
        lab.sql(&format!("INSERT INTO booking VALUES (1, '{}')", id(11))).await.unwrap();
        for new in [delete("spectrum", id(11)), delete("sample", id(2))] {
            let error = lab.refused(vec![new]).await;
            assert_eq!(error.code, ErrorCode::UntrackedTable, "{}", error.message);
            assert!(error.message.contains("booking"), "{}", error.message);
        }
    }

    async fn giving_the_key_that_is_held_is_no_change(backend) {
        let lab = lab(backend).await;
        let created = lab.row("sample", id(1)).await.unwrap()["created_on"].clone();
        lab.append(vec![update("sample", id(1), json!({"sample_id": id(1), "created_on": created, "mass": 9}))]).await;
        assert_eq!(lab.row("sample", id(1)).await.unwrap()["mass"], 9);
        lab.assert_no_drift().await;
    }

    async fn the_log_cannot_be_changed(backend) {
        let lab = lab(backend).await;
        let table = match backend {
            Backend::Sqlite => "eventstore",
            Backend::Postgres => "sourcing.eventstore",
        };
        let before = lab.log().await;
        let mut attempts = vec![
            format!("UPDATE {table} SET actor = 'nobody'"),
            format!("DELETE FROM {table}"),
            format!("DELETE FROM {table} WHERE id = 3"),
        ];
        match backend {
            Backend::Postgres => {
                attempts.push(format!("TRUNCATE {table}"));
                attempts.push(format!("SET session_replication_role = replica; DELETE FROM {table}"));
            }
            Backend::Sqlite => attempts.push(format!(
                "INSERT OR REPLACE INTO {table} SELECT * FROM {table} WHERE id = 1"
            )),
        }
        for attempt in attempts {
            let error = lab.sql(&attempt).await.expect_err(&attempt);
            assert!(error.to_string().contains("append-only"), "{attempt}: {error}");
        }
        assert_eq!(lab.log().await, before);
    }
}
