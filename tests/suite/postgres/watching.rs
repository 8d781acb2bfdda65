//! How the event store tells that it has grown, and who listens.

use std::sync::Arc;

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, EventStore};
use ebbtide::store::{self, Address};
use serde_json::json;
use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection};

use super::{login_url, name, refusal, run_sql, superuser, until};
use crate::support::{Database, create, id, options, run};

const INSERT: &str = "INSERT INTO sourcing.eventstore (event, type, data)
    VALUES ('create', 'fragment', jsonb_build_object('smiles', gen_random_uuid()))";

/// The sessions of this database that listen and wait.
fn listening(lab: &Database) -> String {
    format!(
        "FROM pg_stat_activity WHERE datname = '{}' AND application_name LIKE 'ebb/%' AND state = 'idle'
            AND (query LIKE 'LISTEN%' OR query LIKE 'SELECT coalesce(max(e.id), 0) FROM sourcing.eventstore e%')",
        name(lab)
    )
}

/// A task that waits for the head to be another than 18, and does wait.
async fn waiting(
    lab: &Database,
    store: Arc<dyn EventStore>,
) -> tokio::task::JoinHandle<ebbtide::eventsourcing::Result<i64>> {
    let task = tokio::spawn(async move { store.next_head(18).await });
    until(lab, &format!("SELECT EXISTS (SELECT {})", listening(lab))).await;
    task
}

#[test]
fn each_transaction_tells_once_and_nothing_but_that() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut listener = PgListener::connect(&lab.argument()).await.unwrap();
        listener.listen("ebb_log").await.unwrap();
        let mut client = superuser(&lab).await;
        run_sql(&mut client, &format!("BEGIN; {INSERT}; ROLLBACK"))
            .await
            .unwrap();
        let process: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut client)
            .await
            .unwrap();
        // Several statements, of which one is taken back.
        run_sql(
            &mut client,
            &format!(
                "BEGIN; {INSERT}; {INSERT}; SAVEPOINT s; {INSERT}; ROLLBACK TO s; {INSERT}; COMMIT"
            ),
        )
        .await
        .unwrap();
        run_sql(&mut client, INSERT).await.unwrap();
        // What comes last ends what there is to hear.
        run_sql(&mut client, "NOTIFY ebb_log, 'the end'")
            .await
            .unwrap();
        let mut heard = Vec::new();
        loop {
            let told = listener.recv().await.unwrap();
            assert_eq!(told.process_id(), process.unsigned_abs());
            if told.payload() == "the end" {
                break;
            }
            heard.push(told.payload().to_owned());
        }
        assert_eq!(heard, ["", ""]);
    });
}

#[test]
fn a_reader_hears_and_cannot_call_what_tells() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let url = login_url(&lab, "watcher", "reader").await;
        let mut client = PgConnection::connect(&url).await.unwrap();
        let (state, _) = refusal(&mut client, "SELECT sourcing.notify()").await;
        assert_eq!(state, "42501");
        let read_only = store::OpenOptions {
            read_only: true,
            ..options()
        };
        let reader = store::open(&Address::Postgres(url), &read_only)
            .await
            .unwrap();
        let task = waiting(&lab, reader.clone()).await;
        lab.append(vec![create("fragment", id(1), json!({"smiles": "X"}))])
            .await;
        assert_eq!(task.await.unwrap().unwrap(), 19);
        reader.close().await;
    });
}

#[test]
fn waiting_takes_none_of_the_pools_connections_and_leaves_none_behind() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let tasks = [
            waiting(&lab, lab.store.clone()).await,
            waiting(&lab, lab.store.clone()).await,
            waiting(&lab, lab.store.clone()).await,
            waiting(&lab, lab.store.clone()).await,
        ];
        until(&lab, &format!("SELECT count(*) >= 4 {}", listening(&lab))).await;
        assert_eq!(lab.store.head().await.unwrap(), 18);
        for task in tasks {
            task.abort();
            assert!(task.await.expect_err("given up").is_cancelled());
        }
        lab.store.close().await;
        until(
            &lab,
            &format!("SELECT NOT EXISTS (SELECT {})", listening(&lab)),
        )
        .await;
    });
}

#[test]
fn who_waits_learns_that_the_connection_is_lost() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let task = waiting(&lab, lab.store.clone()).await;
        let mut client = superuser(&lab).await;
        let ended = format!("SELECT pg_terminate_backend(pid) {}", listening(&lab));
        run_sql(&mut client, &ended).await.unwrap();
        let error = task.await.unwrap().expect_err("the connection is lost");
        assert_eq!(error.code, ErrorCode::Unreachable, "{error:?}");
        // It can be waited anew.
        let task = waiting(&lab, lab.store.clone()).await;
        lab.append(vec![create("fragment", id(1), json!({"smiles": "X"}))])
            .await;
        assert_eq!(task.await.unwrap().unwrap(), 19);
    });
}

#[test]
fn an_event_store_that_does_not_tell_is_asked() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        lab.sql("ALTER TABLE sourcing.eventstore DISABLE TRIGGER notify")
            .await
            .unwrap();
        let event = vec![create("fragment", id(1), json!({"smiles": "X"}))];
        let (next, _) = tokio::join!(lab.store.next_head(18), lab.append(event));
        assert_eq!(next.unwrap(), 19);
    });
}

#[test]
fn a_partitioned_table_has_as_many_rows_as_its_partitions() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE part (part_id uuid PRIMARY KEY, name text) PARTITION BY HASH (part_id);
             CREATE TABLE part_0 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 0);
             CREATE TABLE part_1 PARTITION OF part FOR VALUES WITH (MODULUS 2, REMAINDER 1);
             INSERT INTO part SELECT gen_random_uuid(), 'x' FROM generate_series(1, 40);",
        )
        .await;
        let table = ebbtide::eventsourcing::inspect::table(&*lab.store, "part")
            .await
            .unwrap();
        for (analyze, rows) in [("part_0", None), ("part_1", Some(40))] {
            lab.sql(&format!("ANALYZE {analyze}")).await.unwrap();
            assert_eq!(lab.store.row_estimate(&table).await.unwrap(), rows);
        }
    });
}
