//! What SQLite does of its own accord, and the log must not be surprised by.

use std::str::FromStr;
use std::time::Duration;

use ebbtide::eventsourcing::rollback::{self, Control, RollbackRequest, RollbackTarget};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, EventKind, verify};
use ebbtide::store;
use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, SqliteConnection};

use crate::support::{Database, create, delete, event, id, options, rows_query, run, update};

async fn lab(schema: &str) -> Database {
    Database::with(Backend::Sqlite, schema).await
}

#[test]
fn text_that_sqlite_would_make_a_number_of_is_refused() {
    run(async {
        let lab = lab(
            "CREATE TABLE thing (thing_id TEXT PRIMARY KEY NOT NULL, code STRING);
             CREATE TABLE loose (loose_id TEXT PRIMARY KEY NOT NULL, code ANY) STRICT;",
        )
        .await;
        for text in [
            "007",
            "1e5",
            "1.10",
            " 12",
            "-.5",
            "12345678901234567890123",
        ] {
            let error = lab
                .refused(vec![create("thing", id(1), json!({"code": text}))])
                .await;
            assert_eq!(error.code, ErrorCode::BadValue, "{text}: {}", error.message);
            assert!(error.message.contains(text), "{}", error.message);
        }
        for (n, text) in (1..).zip(["0x10", "nan", "inf", "7b", ""]) {
            lab.append(vec![create("thing", id(n), json!({"code": text}))])
                .await;
            assert_eq!(lab.row("thing", id(n)).await.unwrap()["code"], text);
        }
        // A STRICT table's ANY takes everything as it is.
        lab.append(vec![create("loose", id(1), json!({"code": "007"}))])
            .await;
        assert_eq!(lab.row("loose", id(1)).await.unwrap()["code"], "007");
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_tables_own_conflict_clause_does_not_act() {
    run(async {
        for clause in ["REPLACE", "IGNORE", "ROLLBACK", "FAIL"] {
            let lab = lab(&format!(
                "CREATE TABLE thing (thing_id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE ON CONFLICT {clause})"
            ))
            .await;
            lab.append(vec![
                create("thing", id(1), json!({"name": "a"})),
                create("thing", id(2), json!({"name": "b"})),
            ])
            .await;
            for new in [
                create("thing", id(3), json!({"name": "a"})),
                update("thing", id(2), json!({"name": "a"})),
            ] {
                let error = lab.refused(vec![new]).await;
                assert_eq!(
                    error.code,
                    ErrorCode::ConstraintViolated,
                    "{clause}: {}",
                    error.message
                );
                assert!(
                    error.message.contains("thing.name (\"a\")"),
                    "{clause}: {}",
                    error.message
                );
            }
            lab.assert_no_drift().await;
        }
    });
}

#[test]
fn a_deferred_foreign_key_is_named_with_the_event() {
    run(async {
        let lab = lab("CREATE TABLE parent (parent_id TEXT PRIMARY KEY NOT NULL);
             CREATE TABLE child (child_id TEXT PRIMARY KEY NOT NULL,
                 parent_id TEXT REFERENCES parent DEFERRABLE INITIALLY DEFERRED);")
        .await;
        let child = create("child", id(1), json!({"parent_id": id(5)}));
        let error = lab
            .refused(vec![create("parent", id(6), json!({})), child.clone()])
            .await;
        assert_eq!(error.code, ErrorCode::ConstraintViolated);
        let begins = format!("event 2 of 2, {child}: ");
        assert!(error.message.starts_with(&begins), "{}", error.message);
        assert!(
            error.message.contains("child.parent_id → parent"),
            "{}",
            error.message
        );

        // The parent may come later in the transaction.
        lab.append(vec![child, create("parent", id(5), json!({}))])
            .await;
        let error = lab.refused(vec![delete("parent", id(5))]).await;
        let begins = format!("{}: ", delete("parent", id(5)));
        assert!(error.message.starts_with(&begins), "{}", error.message);
    });
}

#[test]
fn a_trigger_that_rolls_back_leaves_the_store_usable() {
    run(async {
        let lab = lab(
            "CREATE TABLE thing (thing_id TEXT PRIMARY KEY NOT NULL, name TEXT);
             CREATE TRIGGER guard BEFORE INSERT ON thing WHEN NEW.name = 'bad'
             BEGIN SELECT RAISE(ROLLBACK, 'no bad names'); END;",
        )
        .await;
        let error = lab
            .refused(vec![
                create("thing", id(1), json!({"name": "good"})),
                create("thing", id(2), json!({"name": "bad"})),
            ])
            .await;
        assert!(error.message.contains("no bad names"), "{}", error.message);
        // More than the store has connections.
        for n in 3..13 {
            lab.append(vec![create("thing", id(n), json!({"name": "good"}))])
                .await;
        }
        lab.assert_no_drift().await;
    });
}

#[test]
fn every_row_is_listed_when_a_column_hides_the_rowid() {
    run(async {
        let lab = lab("CREATE TABLE thing (RowID INTEGER, oid TEXT)").await;
        lab.sql("INSERT INTO thing VALUES (1, 'a'), (1, 'b'), (NULL, 'c'), (1, 'd')")
            .await
            .unwrap();
        let tables = lab.store.tables().await.unwrap();
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = lab
                .store
                .rows(&rows_query(&tables[0], cursor.as_ref(), 1))
                .await
                .unwrap();
            cursor = page.rows.last().map(|found| found.cursor.clone());
            let rows = page.rows.into_iter();
            seen.extend(rows.map(|found| found.row["oid"].clone()));
            if !page.has_more {
                break;
            }
        }
        assert_eq!(seen, ["a", "b", "c", "d"]);
    });
}

#[test]
fn verifying_is_not_silent_about_rows_whose_key_is_no_uuid() {
    run(async {
        for key in ["NULL", "5", "''", "x'00'", "'nobody'"] {
            let lab = lab("CREATE TABLE thing (thing_id UUID PRIMARY KEY, name TEXT)").await;
            lab.append(vec![create("thing", id(1), json!({"name": "a"}))])
                .await;
            lab.sql(&format!("INSERT INTO thing VALUES ({key}, 'sneaky')"))
                .await
                .unwrap();
            let error = verify::drift(&*lab.store).await.expect_err(key);
            assert!(error.message.contains("thing"), "{key}: {}", error.message);
            assert!(
                error.message.contains("no uuid"),
                "{key}: {}",
                error.message
            );
        }
    });
}

#[test]
fn a_key_among_the_columns_that_is_no_uuid_is_named() {
    run(async {
        let lab = lab("CREATE TABLE thing (thing_id TEXT PRIMARY KEY NOT NULL)").await;
        for given in [json!("abc"), json!(5)] {
            let data = json!({"thing_id": given});
            let error = lab
                .refused(vec![event(EventKind::Create, "thing", None, data)])
                .await;
            assert_eq!(error.code, ErrorCode::BadUuid, "{}", error.message);
            assert!(error.message.contains("thing_id"), "{}", error.message);
            assert!(
                error.message.contains(&given.to_string()),
                "{}",
                error.message
            );
        }
    });
}

/// Waits until some connection is in the middle of reading the file, or none is: while one is, the write-ahead log cannot be emptied,
/// if there is something in it.
async fn until_read(watch: &mut SqliteConnection, is_read: bool) {
    for _ in 0..20_000 {
        watch
            .execute("INSERT INTO watched VALUES (1)")
            .await
            .unwrap();
        let (busy, _, _): (bool, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
            .fetch_one(&mut *watch)
            .await
            .unwrap();
        if busy == is_read {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("it never came to be that something reads: {is_read}");
}

/// A read that has no end is stopped when it is dropped, and a write is not stopped by one that was dropped before it.
#[test]
fn a_dropped_read_is_stopped() {
    run(async {
        let lab = Database::lab(Backend::Sqlite).await;
        lab.sql(
            "CREATE TABLE watched (n INTEGER);
             CREATE VIEW endless AS
             WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n) SELECT n FROM n, eventstore",
        )
        .await
        .unwrap();
        let url = format!("sqlite:{}", lab.argument());
        let options = SqliteConnectOptions::from_str(&url).unwrap();
        let mut watch = options
            .busy_timeout(Duration::ZERO)
            .connect()
            .await
            .unwrap();
        let endless = ebbtide::eventsourcing::schema::Table::gone("endless");
        for n in 1..=5 {
            let event = create("fragment", id(n), json!({"smiles": n.to_string()}));
            let appended = lab.append(vec![event]).await;
            // All connections, and more.
            let tasks: Vec<_> = (0..6)
                .map(|_| {
                    let (store, endless) = (lab.store.clone(), endless.clone());
                    tokio::spawn(async move { store.row_count(&endless).await })
                })
                .collect();
            until_read(&mut watch, true).await;
            tasks.iter().for_each(tokio::task::JoinHandle::abort);
            for task in tasks {
                assert!(task.await.expect_err("dropped").is_cancelled());
            }
            until_read(&mut watch, false).await;
            assert_eq!(lab.store.head().await.unwrap(), appended[0].id);
        }
    });
}

/// Connections that are open go on with their file whatever has its name: what was shown would not be what is written to.
#[test]
fn a_file_that_is_replaced_or_removed_is_noticed_and_not_written_to() {
    run(async {
        let plan_of = async |lab: &Database| {
            let request = RollbackRequest::to(RollbackTarget::BeforeEvent(18));
            rollback::plan(&*lab.store, request).await.unwrap()
        };
        for is_replaced in [true, false] {
            let lab = Database::mad_lab(Backend::Sqlite).await;
            let other = Database::mad_lab(Backend::Sqlite).await;
            let plan = plan_of(&lab).await.confirm(false).unwrap();
            let file = lab.argument();
            match is_replaced {
                true => std::fs::rename(other.argument(), &file).unwrap(),
                false => std::fs::remove_file(&file).unwrap(),
            }
            let says = match is_replaced {
                true => "is another file now",
                false => "is not there any more",
            };
            let errors = [
                lab.store.next_head(18).await.unwrap_err(),
                lab.store
                    .execute(&plan, &Control::default())
                    .await
                    .unwrap_err(),
                lab.store
                    .append(vec![create("fragment", id(1), json!({"smiles": "C"}))])
                    .await
                    .unwrap_err(),
            ];
            for error in errors {
                assert!(error.message.contains(says), "{}", error.message);
            }
            if is_replaced {
                let there = store::open(&lab.address, &options()).await.unwrap();
                assert_eq!(there.head().await.unwrap(), 18);
                there.close().await;
            }
        }
    });
}
