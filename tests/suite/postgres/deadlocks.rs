//! Transactions that wait for each other: one holds rows or a table and wants to append, the other appends and wants those. The
//! library tries again, other clients are told so with the code that they know.

use std::sync::Arc;

use ebbtide::eventsourcing::EventStore;
use ebbtide::eventsourcing::rollback::{self, Control, RollbackRequest, RollbackTarget};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::PgConnection;

use super::{
    GATE, login, login_url, name, refusal, run_sql, run_until_it_serializes, superuser, until,
    until_waiting,
};
use crate::support::{Database, create, id, options, run, update};

/// What the other one does before it appends. The second is the owner's, the first that of anybody who may write the table.
const OTHERS: [&str; 2] = [
    "BEGIN; SELECT FROM sample FOR UPDATE",
    "BEGIN; ALTER TABLE sample ADD COLUMN more int",
];

const APPENDING: &str = "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{\"name\": \"of the other one\"}')";

async fn lab() -> Database {
    let lab = Database::with(Backend::Postgres, GATE).await;
    lab.append(vec![create("sample", id(1), json!({"name": "a"}))])
        .await;
    lab
}

/// Makes a login notice that it waits in a circle after this time, which begins anew with each lock that it waits for.
async fn notices_after(lab: &Database, login: &str, time: &str) {
    lab.sql(&format!(
        "ALTER ROLE {login}_{} SET deadlock_timeout = '{time}'",
        name(lab)
    ))
    .await
    .unwrap();
}

/// The library as a login that notices at once, and the other one, which never does.
async fn opponents(lab: &Database, right: &str) -> (Arc<dyn EventStore>, PgConnection) {
    let url = login_url(lab, "ebb", right).await;
    notices_after(lab, "ebb", "10ms").await;
    let library = store::open(&Address::Postgres(url), &options())
        .await
        .unwrap();
    login_url(lab, "other", "owner").await;
    lab.sql(&format!("ALTER ROLE other_{} SUPERUSER", name(lab)))
        .await
        .unwrap();
    notices_after(lab, "other", "1h").await;
    let url = lab.argument().replace(
        "postgres:ebb-test",
        &format!("other_{}:ebb-test", name(lab)),
    );
    let other = <PgConnection as sqlx::Connection>::connect(&url)
        .await
        .unwrap();
    (library, other)
}

#[test]
fn an_append_by_the_library_that_is_ended_is_tried_again() {
    run(async {
        for first in OTHERS {
            let lab = lab().await;
            let (library, mut other) = opponents(&lab, "writer").await;
            let mut gate = superuser(&lab).await;
            run_sql(&mut gate, "SELECT pg_advisory_lock(7)")
                .await
                .unwrap();
            run_sql(&mut other, first).await.unwrap();
            let appending = tokio::spawn(async move {
                let events = vec![
                    create("gate", id(2), json!({})),
                    update("sample", id(1), json!({"name": "b"})),
                ];
                let appended = library.append(events).await;
                library.close().await;
                appended
            });
            // It has the writer's lock, the other one waits for that, and only then it wants what the other one has.
            until_waiting(&lab, "ebb", "advisory").await;
            let other = tokio::spawn(async move {
                run_sql(&mut other, APPENDING).await.unwrap();
                run_sql(&mut other, "COMMIT").await.unwrap();
            });
            until_waiting(&lab, "other", "transaction").await;
            run_sql(&mut gate, "SELECT pg_advisory_unlock(7)")
                .await
                .unwrap();
            other.await.unwrap();
            let appended = appending.await.unwrap().unwrap();
            assert_eq!(
                appended.iter().map(|event| event.id).collect::<Vec<_>>(),
                [3, 4],
                "{first}"
            );
            assert_eq!(lab.row("sample", id(1)).await.unwrap()["name"], "b");
            assert_eq!(lab.store.head().await.unwrap(), 4);
            lab.assert_no_drift().await;
        }
    });
}

#[test]
fn a_rollback_by_the_library_that_is_ended_is_tried_again() {
    run(async {
        for first in OTHERS {
            let lab = lab().await;
            lab.append(vec![
                create("gate", id(2), json!({})),
                update("sample", id(1), json!({"name": "b"})),
            ])
            .await;
            let (library, mut other) = opponents(&lab, "operator").await;
            let mut gate = superuser(&lab).await;
            let request = RollbackRequest::to(RollbackTarget::BeforeEvent(2));
            let plan = rollback::plan(&*library, request).await.unwrap();
            // A rollback locks the tables that it writes first, by their names: it waits here with the writer's lock only.
            run_sql(&mut gate, "BEGIN; LOCK TABLE gate").await.unwrap();
            run_sql(&mut other, first).await.unwrap();
            let rolling_back = tokio::spawn(async move {
                let confirmed = plan.confirm(false).unwrap();
                let done = rollback::execute(&*library, &confirmed, &Control::default()).await;
                library.close().await;
                done
            });
            until_waiting(&lab, "ebb", "transaction").await;
            // Had it committed, the plan would be stale.
            let other = tokio::spawn(async move {
                run_sql(&mut other, APPENDING).await.unwrap();
                run_sql(&mut other, "ROLLBACK").await.unwrap();
            });
            until_waiting(&lab, "other", "transaction").await;
            run_sql(&mut gate, "COMMIT").await.unwrap();
            other.await.unwrap();
            let outcome = rolling_back.await.unwrap().unwrap();
            assert_eq!(outcome.rollback, Some(4), "{first}");
            assert_eq!(lab.row("sample", id(1)).await.unwrap()["name"], "a");
            lab.assert_no_drift().await;
        }
    });
}

#[test]
fn a_client_that_is_ended_is_told_why_and_goes_on() {
    run(async {
        for first in OTHERS {
            let lab = lab().await;
            let url = login_url(&lab, "patient", "writer").await;
            notices_after(&lab, "patient", "1h").await;
            let mut patient = <PgConnection as sqlx::Connection>::connect(&url)
                .await
                .unwrap();
            let mut other = superuser(&lab).await;
            run_sql(
                &mut other,
                &format!("SET deadlock_timeout = '10ms'; {first}"),
            )
            .await
            .unwrap();
            let appending = tokio::spawn(async move {
                run_sql(
                    &mut patient,
                    &format!("INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('update', 'sample', '{}', '{{\"name\": \"b\"}}')", id(1)),
                )
                .await
            });
            until_waiting(&lab, "patient", "transaction").await;
            let (state, message) = refusal(&mut other, APPENDING).await;
            assert_eq!(state, "40P01", "{first}: {message}");
            assert!(message.contains("deadlock"), "{message}");
            appending.await.unwrap().unwrap();
            run_sql(&mut other, "ROLLBACK").await.unwrap();
            run_sql(&mut other, APPENDING).await.unwrap();
            assert_eq!(lab.store.head().await.unwrap(), 3);
            lab.assert_no_drift().await;
        }
    });
}

/// Whoever appends in bulk may be the one: what the statement has done so far must not stay.
#[test]
fn a_bulk_insert_that_is_ended_leaves_nothing() {
    run(async {
        let lab = lab().await;
        let mut bulk = login(&lab, "bulk", "writer").await;
        run_sql(&mut bulk, "INSERT INTO sourcing.eventstore (event, type, data) SELECT 'create', 'sample', jsonb_build_object('name', i) FROM generate_series(1, 50) AS i")
            .await
            .unwrap();
        drop(bulk);
        notices_after(&lab, "bulk", "10ms").await;
        let url = lab.argument().replace(
            "postgres:ebb-test",
            &format!("bulk_{}:ebb-test", name(&lab)),
        );
        let mut bulk = <PgConnection as sqlx::Connection>::connect(&url)
            .await
            .unwrap();
        let (_library, mut other) = opponents(&lab, "reader").await;
        let mut gate = superuser(&lab).await;
        run_sql(&mut gate, "SELECT pg_advisory_lock(7)")
            .await
            .unwrap();
        run_sql(
            &mut other,
            &format!(
                "BEGIN; SELECT FROM sample WHERE sample_id = '{}' FOR UPDATE",
                id(1)
            ),
        )
        .await
        .unwrap();
        let bulk = tokio::spawn(async move {
            run_sql(
                &mut bulk,
                "BEGIN; INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'gate')",
            )
            .await
            .unwrap();
            let refused = refusal(&mut bulk, "INSERT INTO sourcing.eventstore (event, type, uuid, data) SELECT 'update', 'sample', sample_id, '{\"mass\": 1}' FROM sample ORDER BY sample_id DESC").await;
            run_sql(&mut bulk, "COMMIT").await.unwrap();
            run_sql(&mut bulk, APPENDING).await.unwrap();
            refused
        });
        until_waiting(&lab, "bulk", "advisory").await;
        let other = tokio::spawn(async move {
            run_sql(&mut other, APPENDING).await.unwrap();
            run_sql(&mut other, "COMMIT").await.unwrap();
        });
        until_waiting(&lab, "other", "transaction").await;
        run_sql(&mut gate, "SELECT pg_advisory_unlock(7)")
            .await
            .unwrap();
        let (state, message) = bulk.await.unwrap();
        assert_eq!(state, "40P01", "{message}");
        other.await.unwrap();
        assert_eq!(lab.store.head().await.unwrap(), 53);
        lab.assert_no_drift().await;
    });
}

/// A savepoint that is taken back gives the writer's lock to whoever waits for it, and its transaction may wait for it anew. (Who waits
/// for a row that a subtransaction has locked goes on waiting for the whole transaction, and holds up all that wait after it.)
#[test]
fn a_savepoint_that_is_taken_back_lets_others_write() {
    run(async {
        let lab = lab().await;
        let append = |name: &str| {
            format!(
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{{\"name\": \"{name}\"}}')"
            )
        };
        let mut first = login(&lab, "first", "writer").await;
        run_sql(&mut first, "BEGIN").await.unwrap();
        let number: String = sqlx::query_scalar("SELECT pg_current_xact_id()::text")
            .fetch_one(&mut first)
            .await
            .unwrap();
        run_sql(
            &mut first,
            &format!(
                "SAVEPOINT outside; SAVEPOINT inside; {}",
                append("taken back")
            ),
        )
        .await
        .unwrap();
        let mut second = login(&lab, "second", "writer").await;
        let appending = append("second");
        let second = tokio::spawn(async move { run_sql(&mut second, &appending).await });
        until_waiting(&lab, "second", "transaction").await;
        run_sql(&mut first, "RELEASE inside").await.unwrap();
        // Not for the subtransaction any more.
        until(
            &lab,
            &format!(
                "SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
                  WHERE a.usename = 'second_{}' AND NOT l.granted AND coalesce(l.transactionid::text = '{number}', true))",
                name(&lab)
            ),
        )
        .await;
        run_sql(&mut first, "ROLLBACK TO outside").await.unwrap();
        let mut third = login(&lab, "third", "writer").await;
        run_sql(&mut third, &format!("BEGIN; {}", append("third")))
            .await
            .unwrap();
        let appending = append("first");
        let first = tokio::spawn(async move {
            run_sql(&mut first, &appending).await?;
            run_sql(&mut first, "COMMIT").await
        });
        until_waiting(&lab, "first", "transaction").await;
        run_sql(&mut third, "COMMIT").await.unwrap();
        first.await.unwrap().unwrap();
        second.await.unwrap().unwrap();
        let log = lab.log().await;
        let names: Vec<_> = log.iter().map(|event| event.data["name"].clone()).collect();
        assert_eq!(names, ["a", "second", "third", "first"]);
        lab.assert_no_drift().await;
    });
}

/// The library waits for the writer's lock in a transaction whose snapshot is taken after the wait, whatever the database's own
/// setting says.
#[test]
fn an_isolation_level_of_the_databases_own_does_not_make_the_library_fail() {
    run(async {
        let lab = lab().await;
        lab.sql(&format!(
            "ALTER DATABASE {} SET default_transaction_isolation = 'serializable'",
            name(&lab)
        ))
        .await
        .unwrap();
        let (library, mut other) = opponents(&lab, "writer").await;
        run_until_it_serializes(&mut other, &format!("BEGIN; {APPENDING}")).await;
        let appending = tokio::spawn(async move {
            let appended = library
                .append(vec![update("sample", id(1), json!({"name": "b"}))])
                .await;
            library.close().await;
            appended
        });
        until_waiting(&lab, "ebb", "transaction").await;
        run_sql(&mut other, "COMMIT").await.unwrap();
        assert_eq!(appending.await.unwrap().unwrap()[0].id, 3);
    });
}
