//! A read that is dropped is stopped on the server, and nothing else is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ebbtide::eventsourcing::activity::ActivityBy;
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
use ebbtide::eventsourcing::{EventStore, inspect};

use super::{name, run_sql, superuser, until};
use crate::support::{Database, rows_query, run};

/// How many sessions of ebb's are at work in this database.
fn at_work(lab: &Database, condition: &str) -> String {
    format!(
        "SELECT count(*) {condition} FROM pg_stat_activity
          WHERE datname = '{}' AND application_name LIKE 'ebb/%' AND state <> 'idle'",
        name(lab)
    )
}

type Read = fn(
    Arc<dyn EventStore>,
    ebbtide::eventsourcing::schema::Table,
) -> futures_util::future::BoxFuture<'static, ()>;

/// Reads of each kind: one statement, several, and a snapshot.
const READS: [Read; 6] = [
    |store, _| Box::pin(async move { drop(store.head().await) }),
    |store, _| {
        Box::pin(async move {
            let request = PageRequest {
                filter: Filter::default(),
                from: None,
                until: None,
                direction: Direction::Older,
                limit: 10,
                detail: Detail::Summary,
            };
            drop(store.page(&request).await);
        })
    },
    |store, _| Box::pin(async move { drop(store.activity(ActivityBy::Day, 1, 18).await) }),
    |store, table| Box::pin(async move { drop(store.row_count(&table).await) }),
    |store, table| Box::pin(async move { drop(store.rows(&rows_query(&table, None, 10)).await) }),
    |store, table| Box::pin(async move { drop(store.audit_page(&table, None, 10).await) }),
];

#[test]
fn a_dropped_read_is_stopped_on_the_server() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let table = inspect::table(&*lab.store, "fragment").await.unwrap();
        let mut holder = superuser(&lab).await;
        // Everything waits for whoever holds this, for as long as it is held.
        run_sql(
            &mut holder,
            "BEGIN; LOCK TABLE sourcing.eventstore, fragment IN ACCESS EXCLUSIVE MODE",
        )
        .await
        .unwrap();
        for read in READS {
            // More than once all connections.
            for _ in 0..2 {
                let tasks: Vec<_> = (0..4)
                    .map(|_| tokio::spawn(read(lab.store.clone(), table.clone())))
                    .collect();
                until(&lab, &at_work(&lab, "= 4")).await;
                tasks.iter().for_each(tokio::task::JoinHandle::abort);
                until(&lab, &at_work(&lab, "= 0")).await;
            }
        }
        run_sql(&mut holder, "COMMIT").await.unwrap();
        assert_eq!(lab.store.head().await.unwrap(), 18);
    });
}

/// Dropped while its transaction was being begun, a read left it open, and what was read next on that connection was of that time.
#[test]
fn a_read_that_is_dropped_at_any_time_leaves_no_snapshot_behind() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let table = inspect::table(&*lab.store, "fragment").await.unwrap();
        let mut clock = superuser(&lab).await;
        for steps in (0..8).cycle().take(400) {
            let reads: Vec<_> = (0..4)
                .map(|_| {
                    let (store, table) = (lab.store.clone(), table.clone());
                    tokio::spawn(async move { drop(store.audit_page(&table, None, 10).await) })
                })
                .collect();
            // As long as so many answers of the server take.
            for _ in 0..steps {
                run_sql(&mut clock, "SELECT 1").await.unwrap();
            }
            reads.iter().for_each(tokio::task::JoinHandle::abort);
            until(&lab, &at_work(&lab, "= 0")).await;
        }
    });
}

#[test]
fn no_other_read_is_stopped_by_a_dropped_one() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let table = inspect::table(&*lab.store, "fragment").await.unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        // With this, more than there are connections, so that each is used again at once, and with statements that take their time.
        let others: Vec<_> = (0..4)
            .map(|_| {
                let (store, is_over) = (lab.store.clone(), is_over.clone());
                tokio::spawn(async move {
                    while !is_over.load(Ordering::Relaxed) {
                        assert!(!store.tables().await.unwrap().is_empty());
                        assert_eq!(store.head().await.unwrap(), 18);
                    }
                })
            })
            .collect();
        for turn in 0..400 {
            let read = READS[turn % READS.len()];
            let task = tokio::spawn(read(lab.store.clone(), table.clone()));
            for _ in 0..turn * 331 % 20_000 {
                tokio::task::yield_now().await;
            }
            task.abort();
            // It may have ended before.
            let _ = task.await;
        }
        is_over.store(true, Ordering::Relaxed);
        for other in others {
            other.await.unwrap();
        }
    });
}
