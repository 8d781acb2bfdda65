//! Many writers at once (§4, G1): ids without gaps in the order of the commits, nothing lost, readers never waiting.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ebbtide::eventsourcing::store::Backend;
use proptest::prelude::{Rng, RngExt};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{login_url, refusal, run_sql, superuser};
use crate::support::{Database, create, id, run, update};

const WRITERS: usize = 16;
const ROUNDS: usize = 12;

const TABLES: &str = "
    CREATE TABLE sample (sample_id uuid PRIMARY KEY, name text, parent_id uuid REFERENCES sample ON DELETE SET NULL);
    CREATE TABLE spectrum (spectrum_id uuid PRIMARY KEY, sample_id uuid REFERENCES sample ON DELETE CASCADE, n int);
";

/// What a client knows that it committed: each event's id, with its row.
type Committed = BTreeMap<i64, Uuid>;

fn seeded(seed: u8) -> TestRng {
    TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
    )
    .rng()
    .clone()
}

/// One writer's transactions: of different lengths, some given up, some killed by the server.
async fn write(url: String, mut random: TestRng) -> Committed {
    let mut committed = Committed::new();
    let mut client = PgConnection::connect(&url).await.unwrap();
    let mut mine: Vec<Uuid> = Vec::new();
    for _ in 0..ROUNDS {
        let mut appended = Committed::new();
        let result: sqlx::Result<bool> = async {
            let mut transaction = client.begin().await?;
            for _ in 0..random.random_range(1..8) {
                let known = if mine.is_empty() { None } else { Some(mine[random.random_range(0..mine.len())]) };
                let (event, table, uuid, data) = match (random.next_u32() % 6, known) {
                    (0, Some(uuid)) => ("update", "sample", uuid, json!({"name": random.next_u32().to_string()})),
                    (1, Some(uuid)) => ("create", "spectrum", Uuid::new_v4(), json!({"sample_id": uuid, "n": random.next_u32() % 9})),
                    (2, Some(uuid)) => ("delete", "sample", uuid, json!({})),
                    (_, parent) => ("create", "sample", Uuid::new_v4(), json!({"name": "new", "parent_id": parent})),
                };
                // Rows that a rollback or a delete has taken meanwhile are refused: the savepoint keeps the rest.
                let mut savepoint = transaction.begin().await?;
                let found: sqlx::Result<i64> = sqlx::query_scalar(
                    "INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ($1, $2, $3, $4) RETURNING id",
                )
                .bind(event)
                .bind(table)
                .bind(uuid)
                .bind(data)
                .fetch_one(&mut *savepoint)
                .await;
                match found {
                    Ok(number) => {
                        savepoint.commit().await?;
                        appended.insert(number, uuid);
                        if table == "sample" {
                            mine.push(uuid);
                        }
                    }
                    Err(error) => match error.as_database_error().and_then(sqlx::error::DatabaseError::code).as_deref() {
                        Some("P0002" | "23503") => savepoint.rollback().await?,
                        _ => return Err(error),
                    },
                }
            }
            match random.next_u32() % 8 {
                0 => transaction.rollback().await.map(|()| false),
                1 => {
                    // The server ends the session in the middle of the transaction.
                    let killed = sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())").execute(&mut *transaction).await;
                    assert!(killed.is_err());
                    Err(sqlx::Error::WorkerCrashed)
                }
                _ => transaction.commit().await.map(|()| true),
            }
        }
        .await;
        match result {
            Ok(true) => committed.extend(appended),
            Ok(false) => {}
            Err(sqlx::Error::WorkerCrashed) => client = PgConnection::connect(&url).await.unwrap(),
            Err(error) => panic!("a client saw: {error}"),
        }
    }
    client.close().await.unwrap();
    committed
}

/// Rolls back to before the latest few events, again and again.
async fn roll_back(url: String, mut random: TestRng) {
    let mut client = PgConnection::connect(&url).await.unwrap();
    for at in 0..ROUNDS {
        let back = random.random_range(0..20_i64);
        let strategy = if at % 2 == 0 { "minimal" } else { "replay" };
        sqlx::query(
            "INSERT INTO sourcing.eventstore (event, data)
             SELECT 'rollback', jsonb_build_object('before', to_char(\"timestamp\" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), 'strategy', $2)
               FROM sourcing.eventstore WHERE id = (SELECT max(id) - $1 FROM sourcing.eventstore)",
        )
        .bind(back)
        .bind(strategy)
        .execute(&mut client)
        .await
        .unwrap_or_else(|error| panic!("a rollback saw: {error}"));
    }
    client.close().await.unwrap();
}

/// Reads while the others write: what it sees once, it sees again, and nothing comes in between.
async fn read(url: String, done: Arc<AtomicBool>) -> u64 {
    let mut client = PgConnection::connect(&url).await.unwrap();
    // A reader that had to wait for a writer's lock would fail.
    run_sql(&mut client, "SET lock_timeout = '1ms'")
        .await
        .unwrap();
    let (mut reads, mut seen) = (0, (0_i64, 0_i64));
    while !done.load(Ordering::Relaxed) || reads == 0 {
        let now: (i64, i64, i64) = sqlx::query_as("SELECT count(*), coalesce(max(id), 0), (SELECT count(*) FROM sample) FROM sourcing.eventstore")
            .fetch_one(&mut client)
            .await
            .unwrap();
        assert_eq!(now.0, now.1, "a gap in the log");
        assert!(now.1 >= seen.1, "an event that was there has gone");
        seen = (now.0, now.1);
        reads += 1;
    }
    client.close().await.unwrap();
    reads
}

async fn everybody_writes(seed: u8) {
    let lab = Database::with(Backend::Postgres, TABLES).await;
    let mut random = seeded(seed);
    let mut next = || {
        let mut bytes = [0; 32];
        random.fill_bytes(&mut bytes);
        TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
    };
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let url = login_url(&lab, &format!("w{writer}"), "writer").await;
        writers.push(tokio::spawn(write(url, next())));
    }
    let operator = tokio::spawn(roll_back(
        login_url(&lab, "operator", "operator").await,
        next(),
    ));
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn(read(
        login_url(&lab, "reader", "reader").await,
        Arc::clone(&done),
    ));
    let mut committed = Committed::new();
    for writer in writers {
        let own = writer.await.unwrap();
        let before = committed.len() + own.len();
        committed.extend(own);
        assert_eq!(committed.len(), before, "an id was given twice");
    }
    operator.await.unwrap();
    done.store(true, Ordering::Relaxed);
    assert!(reader.await.unwrap() > 0);

    let log = lab.log().await;
    for (at, event) in log.iter().enumerate() {
        assert_eq!(event.id, at as i64 + 1);
        assert!(
            at == 0 || event.timestamp >= log[at - 1].timestamp,
            "#{} is earlier than the event before it",
            event.id
        );
    }
    for (number, uuid) in &committed {
        let event = &log[usize::try_from(*number).unwrap() - 1];
        assert_eq!(
            event.row.as_ref().map(|row| row.uuid),
            Some(*uuid),
            "#{number} was committed, and is another event"
        );
    }
    lab.assert_no_drift().await;
}

#[test]
fn sixteen_writers_and_rollbacks_at_once_lose_nothing() {
    // As many rounds as are asked for; each has another seed.
    let rounds: u8 = std::env::var("EBB_TEST_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
    for seed in 0..rounds {
        run(everybody_writes(seed));
    }
}

/// Returns when this session waits for a lock.
async fn until_it_waits(lab: &Database, pid: i32) {
    let mut watcher = superuser(lab).await;
    loop {
        let waits: bool = sqlx::query_scalar("SELECT coalesce((SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1), false)")
            .bind(pid)
            .fetch_one(&mut watcher)
            .await
            .unwrap();
        if waits {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// Fault 13: without a lock, an event committed late survived a rollback, or was replayed in another order.
#[test]
fn fault_13_an_event_waits_for_the_transaction_before_it() {
    run(async {
        let lab = Database::with(Backend::Postgres, TABLES).await;
        let mut first = superuser(&lab).await;
        run_sql(&mut first, "BEGIN; INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{\"name\": \"first\"}')").await.unwrap();
        let mut second = superuser(&lab).await;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut second)
            .await
            .unwrap();
        let waiting = tokio::spawn(async move {
            run_sql(&mut second, "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{\"name\": \"second\"}')").await.unwrap();
        });
        until_it_waits(&lab, pid).await;
        assert_eq!(
            lab.store.head().await.unwrap(),
            0,
            "nothing is committed, and reading does not wait"
        );
        run_sql(&mut first, "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'sample', '{\"name\": \"first again\"}'); COMMIT").await.unwrap();
        waiting.await.unwrap();
        let log = lab.log().await;
        let names: Vec<_> = log.iter().map(|event| event.data["name"].clone()).collect();
        assert_eq!(names, ["first", "first again", "second"]);
        assert!(log[2].timestamp > log[1].timestamp);
    });
}

/// Fault 13 as it was found: a rollback that did not see what another one was about to commit left it standing.
#[test]
fn fault_13_a_rollback_takes_back_what_a_writer_that_was_still_open_commits() {
    run(async {
        for strategy in ["minimal", "replay"] {
            let lab = Database::with(Backend::Postgres, TABLES).await;
            for at in 1..3 {
                lab.append(vec![create("sample", id(at), json!({"name": "before"}))])
                    .await;
            }
            let mut writer = superuser(&lab).await;
            run_sql(&mut writer, &format!("BEGIN; INSERT INTO sourcing.eventstore (event, type, uuid) VALUES ('create', 'sample', '{}')", id(3))).await.unwrap();
            let mut operator = superuser(&lab).await;
            let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
                .fetch_one(&mut operator)
                .await
                .unwrap();
            let rollback = tokio::spawn(async move {
                let sql = format!(
                    "INSERT INTO sourcing.eventstore (event, data)
                     SELECT 'rollback', jsonb_build_object('before', \"timestamp\", 'strategy', '{strategy}') FROM sourcing.eventstore WHERE id = 2"
                );
                run_sql(&mut operator, &sql).await.unwrap();
            });
            until_it_waits(&lab, pid).await;
            run_sql(&mut writer, &format!("INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('update', 'sample', '{}', '{{\"name\": \"late\"}}'); COMMIT", id(1))).await.unwrap();
            rollback.await.unwrap();
            let rows = lab.rows().await;
            assert_eq!(rows.len(), 1, "{strategy}: {rows:?}");
            assert_eq!(rows[0].1["name"], "before");
            let log = lab.log().await;
            assert_eq!(
                log[4].kind.as_str(),
                "rollback",
                "after both of the writer's"
            );
            assert!(log[4].timestamp > log[3].timestamp);
            lab.assert_no_drift().await;
            lab.undo(false).await.unwrap();
            assert_eq!(lab.rows().await.len(), 3);
            lab.assert_no_drift().await;
        }
    });
}

#[test]
fn a_snapshot_older_than_the_lock_fails_with_the_code_to_retry() {
    run(async {
        let lab = Database::with(Backend::Postgres, TABLES).await;
        for level in ["REPEATABLE READ", "SERIALIZABLE"] {
            let mut old = superuser(&lab).await;
            run_sql(
                &mut old,
                &format!("BEGIN ISOLATION LEVEL {level}; SELECT count(*) FROM sample"),
            )
            .await
            .unwrap();
            lab.append(vec![create("sample", Uuid::new_v4(), json!({}))])
                .await;
            let (state, message) = refusal(
                &mut old,
                "INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'sample')",
            )
            .await;
            assert_eq!(state, "40001", "{level}: {message}");
            run_sql(&mut old, "ROLLBACK").await.unwrap();
            run_sql(&mut old, &format!("BEGIN ISOLATION LEVEL {level}; INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'sample'); COMMIT")).await.unwrap();
        }
        lab.append(vec![
            create("sample", id(1), json!({})),
            update("sample", id(1), json!({"name": "a"})),
        ])
        .await;
        lab.assert_no_drift().await;
    });
}

/// Who holds the lock is seen with every right, and said by the program while it waits.
#[test]
fn whoever_holds_the_lock_for_long_is_named() {
    run(async {
        let lab = Database::mad_lab(Backend::Postgres).await;
        let mut holder = super::login(&lab, "titrator", "writer").await;
        let pid: i32 = sqlx::query_scalar("SELECT pg_backend_pid()")
            .fetch_one(&mut holder)
            .await
            .unwrap();
        run_sql(&mut holder, "SET application_name = 'burette 2'; BEGIN; INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'fragment', '{\"smiles\": \"X\"}')")
            .await
            .unwrap();
        let options = crate::support::options();
        for right in ["reader", "writer", "operator"] {
            let url = login_url(&lab, &format!("seeing_{right}"), right).await;
            let store = ebbtide::store::open(&ebbtide::store::Address::Postgres(url), &options)
                .await
                .unwrap();
            let found = store.writer().await.unwrap().expect("somebody writes");
            assert!(found.role.starts_with("titrator"), "{right}: {found}");
            assert_eq!(
                (found.program.as_deref(), found.process),
                (Some("burette 2"), Some(pid))
            );
            store.close().await;
        }
        let mut waiting = crate::cli::command()
            .args([
                "-d",
                &lab.argument(),
                "create",
                "fragment",
                "{\"smiles\": \"Y\"}",
            ])
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        // It says so while it waits, and only once.
        let mut said = BufReader::new(waiting.stderr.take().unwrap()).lines();
        let first = said.next().expect("a line").unwrap();
        assert!(first.starts_with("waiting for titrator"), "{first}");
        assert!(
            first.contains("burette 2") && first.contains(&pid.to_string()),
            "{first}"
        );
        run_sql(&mut holder, "COMMIT").await.unwrap();
        assert!(waiting.wait().unwrap().success());
        assert_eq!(
            said.map(Result::unwrap).collect::<Vec<_>>(),
            Vec::<String>::new()
        );
        assert_eq!(lab.store.head().await.unwrap(), 20);
    });
}
