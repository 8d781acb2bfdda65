//! Many writers at once (§4, G1): ids without gaps in the order of the commits, nothing lost, nothing left of what failed, readers
//! never waiting.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use ebbtide::eventsourcing::rollback::{self, RollbackRequest, RollbackTarget};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::timeline::{Detail, Direction, Filter, PageRequest};
use ebbtide::eventsourcing::verify;
use ebbtide::store::{self, Address};
use proptest::prelude::{Rng, RngExt};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::json;
use sqlx::postgres::PgDatabaseError;
use sqlx::{Connection, PgConnection};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{login_url, name, refusal, run_sql, run_until_it_serializes, superuser};
use crate::support::{Database, create, id, options, run, update};

const WRITERS: usize = 16;

/// Transactions of each client, and how many it begins at most until enough of them have been disturbed.
const ROUNDS: usize = 12;
const MOST_ROUNDS: usize = 400;

const TABLES: &str = "
    CREATE TABLE sample (sample_id uuid PRIMARY KEY, name text, parent_id uuid REFERENCES sample ON DELETE SET NULL);
    CREATE TABLE spectrum (spectrum_id uuid PRIMARY KEY, sample_id uuid REFERENCES sample ON DELETE CASCADE, n int);
";

/// One way to disturb a client.
struct Blow {
    function: &'static str,
    /// Whose session: how its role's name begins.
    whose: &'static str,
    /// In which state.
    when: &'static str,
    /// How often, at least.
    times: usize,
}

const INSERTING: &str = "state = 'active' AND query LIKE '%INTO sourcing.eventstore%'";

const BLOWS: [Blow; 7] = [
    Blow {
        function: "pg_cancel_backend",
        whose: "w",
        when: "wait_event_type = 'Lock'",
        times: 4,
    },
    Blow {
        function: "pg_cancel_backend",
        whose: "w",
        when: "wait_event_type IS DISTINCT FROM 'Lock'",
        times: 4,
    },
    Blow {
        function: "pg_cancel_backend",
        whose: "operator",
        when: "wait_event_type IS DISTINCT FROM 'Lock'",
        times: 2,
    },
    Blow {
        function: "pg_terminate_backend",
        whose: "w",
        when: "wait_event_type = 'Lock'",
        times: 3,
    },
    Blow {
        function: "pg_terminate_backend",
        whose: "w",
        when: "wait_event_type IS DISTINCT FROM 'Lock'",
        times: 3,
    },
    Blow {
        function: "pg_terminate_backend",
        whose: "w",
        when: "state = 'idle in transaction'",
        times: 3,
    },
    Blow {
        function: "pg_terminate_backend",
        whose: "operator",
        when: "wait_event_type IS DISTINCT FROM 'Lock'",
        times: 2,
    },
];

/// What has happened to the clients so far.
#[derive(Default)]
struct Crowd {
    /// How often each of the blows has met its client. What a cancelled client was at, it says itself.
    hits: [AtomicUsize; BLOWS.len()],
    /// Sessions that their clients found ended.
    ended: AtomicUsize,
    /// A transaction is over.
    turn: Notify,
    done: AtomicBool,
}

impl Crowd {
    fn lacks(&self, blow: usize) -> bool {
        self.hits[blow].load(Ordering::Relaxed) < BLOWS[blow].times
    }

    fn has_seen_enough(&self) -> bool {
        (0..BLOWS.len()).all(|blow| !self.lacks(blow))
    }

    /// Whether the session has ended. No client may see anything but what was done to it.
    fn note(&self, error: &sqlx::Error, whose: &str) -> bool {
        let Some(said) = error.as_database_error() else {
            assert!(matches!(error, sqlx::Error::Io(_)), "{whose} saw: {error}");
            self.ended.fetch_add(1, Ordering::Relaxed);
            return true;
        };
        let said = said.downcast_ref::<PgDatabaseError>();
        match said.code() {
            "57014" => {
                let place = said.r#where().unwrap_or_default();
                let waited = place.contains("LOCK TABLE sourcing.writer");
                if waited || place.contains("sourcing.") {
                    let blow = match whose {
                        "operator" => 2,
                        _ => usize::from(!waited),
                    };
                    self.hits[blow].fetch_add(1, Ordering::Relaxed);
                }
                false
            }
            "57P01" => {
                self.ended.fetch_add(1, Ordering::Relaxed);
                true
            }
            _ => panic!("{whose} saw: {error}"),
        }
    }
}

/// A transaction as its client remembers it.
#[derive(Default)]
struct Remembered {
    /// The server's name for it.
    number: Option<String>,
    /// The ids of its events, what foreign keys carried on included: the first and the last.
    ids: Option<(i64, i64)>,
    /// The events that it inserted, each with its row.
    events: Vec<(i64, Uuid)>,
    /// Rows that it or its savepoints meant to create, and took back.
    given_up: Vec<Uuid>,
    /// Whether it was told to commit.
    committing: bool,
}

fn seeded(seed: u8) -> TestRng {
    TestRunner::new_with_rng(
        Config::default(),
        TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]),
    )
    .rng()
    .clone()
}

/// Of a transaction whose commit was not answered.
async fn was_committed(client: &mut PgConnection, number: &str) -> bool {
    for _ in 0..10_000 {
        let status: String = sqlx::query_scalar("SELECT pg_xact_status($1::text::xid8)")
            .bind(number)
            .fetch_one(&mut *client)
            .await
            .unwrap();
        match &*status {
            "committed" => return true,
            "aborted" => return false,
            _ => tokio::task::yield_now().await,
        }
    }
    panic!("the transaction {number} does not end");
}

/// The events of one statement: their kind and table, their rows, and the data of each.
fn statement(
    random: &mut TestRng,
    mine: &[Uuid],
) -> (&'static str, &'static str, Vec<Uuid>, serde_json::Value) {
    let known = if mine.is_empty() {
        None
    } else {
        Some(mine[random.random_range(0..mine.len())])
    };
    match (random.next_u32() % 7, known) {
        (0, Some(uuid)) => (
            "update",
            "sample",
            vec![uuid],
            json!({"name": random.next_u32().to_string()}),
        ),
        (1, Some(uuid)) => (
            "create",
            "spectrum",
            vec![Uuid::new_v4()],
            json!({"sample_id": uuid, "n": random.next_u32() % 9}),
        ),
        (2, Some(uuid)) => ("delete", "sample", vec![uuid], json!({})),
        (3, parent) => {
            let rows = (0..random.random_range(5..40))
                .map(|_| Uuid::new_v4())
                .collect();
            (
                "create",
                "sample",
                rows,
                json!({"name": "one of many", "parent_id": parent}),
            )
        }
        (_, parent) => (
            "create",
            "sample",
            vec![Uuid::new_v4()],
            json!({"name": "new", "parent_id": parent}),
        ),
    }
}

/// One transaction of a writer's: whether it was committed.
async fn transact(
    client: &mut PgConnection,
    random: &mut TestRng,
    mine: &[Uuid],
    remembered: &mut Remembered,
) -> sqlx::Result<bool> {
    let mut transaction = client.begin().await?;
    remembered.number = sqlx::query_scalar("SELECT pg_current_xact_id()::text")
        .fetch_one(&mut *transaction)
        .await?;
    for _ in 0..random.random_range(1..8) {
        let (event, table, rows, data) = statement(random, mine);
        if event == "create" {
            remembered.given_up.extend(&rows);
        }
        // Rows that a rollback or a delete has taken meanwhile are refused: the savepoint keeps the rest.
        let mut outside = transaction.begin().await?;
        let mut savepoint = outside.begin().await?;
        let found: sqlx::Result<Vec<(i64, Uuid)>> = sqlx::query_as(
            "INSERT INTO sourcing.eventstore (event, type, uuid, data)
             SELECT $1, $2, one, $4 FROM unnest($3::uuid[]) AS one RETURNING id, uuid",
        )
        .bind(event)
        .bind(table)
        .bind(&rows)
        .bind(data)
        .fetch_all(&mut *savepoint)
        .await;
        match found {
            Ok(found) => {
                savepoint.commit().await?;
                if random.next_u32().is_multiple_of(6) {
                    outside.rollback().await?;
                    continue;
                }
                outside.commit().await?;
                remembered.given_up.retain(|uuid| !rows.contains(uuid));
                remembered.events.extend(found);
            }
            Err(error) => match error
                .as_database_error()
                .and_then(sqlx::error::DatabaseError::code)
                .as_deref()
            {
                Some("P0002" | "23503") => {
                    savepoint.rollback().await?;
                    outside.commit().await?;
                }
                _ => return Err(error),
            },
        }
    }
    if let Some((last, _)) = remembered.events.last() {
        remembered.ids = sqlx::query_as(
            "SELECT min(id), max(id) FROM sourcing.eventstore
              WHERE \"timestamp\" = (SELECT \"timestamp\" FROM sourcing.eventstore WHERE id = $1)",
        )
        .bind(last)
        .fetch_optional(&mut *transaction)
        .await?;
    }
    if random.next_u32().is_multiple_of(6) {
        return transaction.rollback().await.map(|()| false);
    }
    remembered.committing = true;
    transaction.commit().await.map(|()| true)
}

/// Goes back to before one of the latest few events.
async fn roll_back(
    client: &mut PgConnection,
    random: &mut TestRng,
    replay: bool,
    remembered: &mut Remembered,
) -> sqlx::Result<bool> {
    let mut transaction = client.begin().await?;
    remembered.number = sqlx::query_scalar("SELECT pg_current_xact_id()::text")
        .fetch_one(&mut *transaction)
        .await?;
    let marker: Option<i64> = sqlx::query_scalar(
        "INSERT INTO sourcing.eventstore (event, data)
         SELECT 'rollback', jsonb_build_object('before', to_char(\"timestamp\" AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), 'strategy', $2)
           FROM sourcing.eventstore WHERE id = (SELECT max(id) - $1 FROM sourcing.eventstore)
         RETURNING id",
    )
    .bind(random.random_range(0..60_i64))
    .bind(if replay { "replay" } else { "minimal" })
    .fetch_optional(&mut *transaction)
    .await?;
    if let Some(marker) = marker {
        let last = sqlx::query_scalar("SELECT max(id) FROM sourcing.eventstore")
            .fetch_one(&mut *transaction)
            .await?;
        remembered.ids = Some((marker, last));
    }
    if random.next_u32().is_multiple_of(6) {
        return transaction.rollback().await.map(|()| false);
    }
    remembered.committing = true;
    transaction.commit().await.map(|()| true)
}

/// One client's transactions: what it knows to be committed, and the rows that must not be there.
async fn write(
    url: String,
    whose: &'static str,
    mut random: TestRng,
    crowd: Arc<Crowd>,
) -> (Vec<Remembered>, Vec<Uuid>) {
    let (mut committed, mut given_up) = (Vec::new(), Vec::new());
    let mut mine: Vec<Uuid> = Vec::new();
    let mut client = PgConnection::connect(&url).await.unwrap();
    for round in 0..MOST_ROUNDS {
        if round >= ROUNDS && crowd.has_seen_enough() {
            break;
        }
        let mut remembered = Remembered::default();
        let done = match whose {
            // Each replay repeats the whole log: a few of them.
            "operator" => {
                roll_back(
                    &mut client,
                    &mut random,
                    matches!(round, 2 | 5),
                    &mut remembered,
                )
                .await
            }
            _ => transact(&mut client, &mut random, &mine, &mut remembered).await,
        };
        let is_committed = match (done, &remembered.number) {
            (Ok(is_committed), _) => is_committed,
            (Err(error), number) => {
                if crowd.note(&error, whose) {
                    client = PgConnection::connect(&url).await.unwrap();
                }
                match number {
                    Some(number) if remembered.committing => {
                        was_committed(&mut client, number).await
                    }
                    _ => false,
                }
            }
        };
        given_up.append(&mut remembered.given_up);
        let rows = remembered.events.iter().map(|(_, uuid)| *uuid);
        if is_committed {
            mine.extend(rows);
            committed.push(remembered);
        } else {
            given_up.extend(rows.filter(|uuid| !mine.contains(uuid)));
        }
        crowd.turn.notify_one();
    }
    client.close().await.unwrap();
    (committed, given_up)
}

/// Cancels statements and ends sessions, whatever they are at, until it has been done often enough.
async fn disturb(mut client: PgConnection, mut random: TestRng, crowd: Arc<Crowd>) {
    while !crowd.done.load(Ordering::Relaxed) && !crowd.has_seen_enough() {
        crowd.turn.notified().await;
        let lacking: Vec<usize> = (0..BLOWS.len()).filter(|at| crowd.lacks(*at)).collect();
        let Some(at) = lacking.get(random.random_range(0..lacking.len().max(1))) else {
            break;
        };
        let blow = &BLOWS[*at];
        let inserting = if blow.when.starts_with("state") {
            "true"
        } else {
            INSERTING
        };
        // What it was seen at may be over: the next one, then.
        for _ in 0..200 {
            let sent: Option<bool> = sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
                "SELECT {}(pid) FROM (SELECT pid FROM pg_stat_activity
                  WHERE datname = current_database() AND starts_with(usename, $1) AND {inserting} AND {}
                  ORDER BY random() LIMIT 1) AS one",
                blow.function, blow.when
            )))
            .bind(blow.whose)
            .fetch_optional(&mut client)
            .await
            .unwrap();
            if sent == Some(true) {
                if blow.function == "pg_terminate_backend" {
                    crowd.hits[*at].fetch_add(1, Ordering::Relaxed);
                }
                break;
            }
        }
    }
    client.close().await.unwrap();
}

/// Reads while the others write: what it sees once, it sees again, and nothing comes in between.
async fn read(url: String, crowd: Arc<Crowd>) -> u64 {
    let mut client = PgConnection::connect(&url).await.unwrap();
    let (mut reads, mut seen) = (0, 0_i64);
    while !crowd.done.load(Ordering::Relaxed) || reads == 0 {
        let now: (i64, i64, i64) = sqlx::query_as("SELECT count(*), coalesce(max(id), 0), (SELECT count(*) FROM sample) FROM sourcing.eventstore")
            .fetch_one(&mut client)
            .await
            .unwrap();
        assert_eq!(now.0, now.1, "a gap in the log");
        assert!(now.1 >= seen, "an event that was there has gone");
        seen = now.1;
        reads += 1;
    }
    client.close().await.unwrap();
    reads
}

/// The same through the library: the timeline, a plan, the verification.
async fn look(url: String, crowd: Arc<Crowd>) -> u64 {
    let store = store::open(&Address::Postgres(url), &options())
        .await
        .unwrap();
    let mut looks = 0;
    while !crowd.done.load(Ordering::Relaxed) || looks == 0 {
        let page = store
            .page(&PageRequest {
                filter: Filter::default(),
                from: None,
                until: None,
                direction: Direction::Older,
                limit: 50,
                detail: Detail::Whole,
            })
            .await
            .unwrap();
        let ids: Vec<i64> = page.entries.iter().map(|entry| entry.event.id).collect();
        assert!(
            ids.windows(2).all(|pair| pair[0] == pair[1] + 1),
            "a gap in the timeline: {ids:?}"
        );
        if let Some(last) = ids.last() {
            let request = RollbackRequest::to(RollbackTarget::BeforeEvent(*last));
            let plan = rollback::plan(&*store, request).await.unwrap();
            assert!(plan.head >= ids[0]);
            looks += 1;
        }
        assert_eq!(
            verify::drift(&*store).await.unwrap().findings,
            [],
            "drift while others write"
        );
    }
    store.close().await;
    looks
}

async fn everybody_writes(seed: u8) {
    let lab = Database::with(Backend::Postgres, TABLES).await;
    let mut random = seeded(seed);
    let mut next = || {
        let mut bytes = [0; 32];
        random.fill_bytes(&mut bytes);
        TestRng::from_seed(RngAlgorithm::ChaCha, &bytes)
    };
    let crowd = Arc::new(Crowd::default());
    let mut clients = Vec::new();
    for writer in 0..WRITERS {
        let url = login_url(&lab, &format!("w{writer}"), "writer").await;
        clients.push(tokio::spawn(write(url, "w", next(), Arc::clone(&crowd))));
    }
    let url = login_url(&lab, "operator", "operator").await;
    clients.push(tokio::spawn(write(
        url,
        "operator",
        next(),
        Arc::clone(&crowd),
    )));
    let reading = login_url(&lab, "reader", "reader").await;
    // A reader that had to wait for anybody's lock would fail.
    lab.sql(&format!(
        "ALTER ROLE reader_{} SET lock_timeout = '1ms'",
        name(&lab)
    ))
    .await
    .unwrap();
    let reader = tokio::spawn(read(reading.clone(), Arc::clone(&crowd)));
    let looking = tokio::spawn(look(reading, Arc::clone(&crowd)));
    let disturbing = tokio::spawn(disturb(superuser(&lab).await, next(), Arc::clone(&crowd)));

    let (mut committed, mut given_up) = (Vec::new(), BTreeSet::new());
    for client in clients {
        let (kept, lost) = client.await.unwrap();
        committed.extend(kept);
        given_up.extend(lost);
    }
    crowd.done.store(true, Ordering::Relaxed);
    crowd.turn.notify_one();
    disturbing.await.unwrap();
    assert!(reader.await.unwrap() > 0 && looking.await.unwrap() > 0);
    assert!(
        crowd.has_seen_enough(),
        "of the blows, {:?} met their client",
        crowd.hits
    );
    assert!(crowd.ended.load(Ordering::Relaxed) > 0);

    let log: Vec<(i64, Option<Uuid>, chrono::DateTime<chrono::Utc>)> =
        sqlx::query_as("SELECT id, uuid, \"timestamp\" FROM sourcing.eventstore ORDER BY id")
            .fetch_all(&mut superuser(&lab).await)
            .await
            .unwrap();
    assert!(
        log.windows(2).all(|pair| pair[0].2 <= pair[1].2),
        "an event is earlier than the one before it"
    );
    for (number, uuid) in committed.iter().flat_map(|one| &one.events) {
        let event = log.get(usize::try_from(*number).unwrap() - 1);
        assert_eq!(
            event.map(|event| event.1),
            Some(Some(*uuid)),
            "#{number} was committed, and is another event"
        );
    }
    // What was committed is the log: from the first event to the last, nothing between and nothing twice.
    let mut ids: Vec<(i64, i64)> = committed.iter().filter_map(|one| one.ids).collect();
    ids.sort_unstable();
    let mut head = 0;
    for (first, last) in ids {
        assert_eq!(
            first,
            head + 1,
            "ids are missing, given twice, or of a transaction that failed"
        );
        head = last;
    }
    assert_eq!(
        (log.len(), log.last().map(|event| event.0)),
        (usize::try_from(head).unwrap(), Some(head))
    );
    for (number, uuid, _) in &log {
        assert!(
            !uuid.is_some_and(|uuid| given_up.contains(&uuid)),
            "#{number} is of a transaction that failed"
        );
    }
    lab.assert_no_drift().await;
}

#[test]
fn sixteen_writers_and_rollbacks_lose_nothing_when_they_are_cancelled_and_killed() {
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
            let again = format!(
                "BEGIN ISOLATION LEVEL {level}; INSERT INTO sourcing.eventstore (event, type) VALUES ('create', 'sample'); COMMIT"
            );
            run_until_it_serializes(&mut old, &again).await;
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
        for right in ["reader", "writer", "operator"] {
            let url = login_url(&lab, &format!("seeing_{right}"), right).await;
            let store = store::open(&Address::Postgres(url), &options())
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
