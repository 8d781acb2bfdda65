//! Killed anywhere: the program, or the server's process that works for it, ends without a word at a random moment of a rollback.
//! Afterwards all of it is done or nothing, the tables are what the log says, and the next rollback works.
//!
//! A few times each; as many as `EBB_TEST_KILLS` says on demand.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, NewEvent, Result, Row, verify};
use ebbtide::store::{self, Address};
use proptest::prelude::Rng as _;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::cli::command;
use crate::contract::schema;
use crate::postgres::servers::Server;
use crate::support::{Database, create, delete, id, options, random, rows_query, run, update};

fn kills() -> usize {
    let wanted = std::env::var("EBB_TEST_KILLS").ok();
    wanted.map_or(20, |count| {
        count.parse().expect("EBB_TEST_KILLS is a number")
    })
}

/// Samples; then some point at newer ones, some get spectra, and the others go.
async fn fill(lab: Database) -> (Database, i64) {
    const ROWS: u128 = 300;
    let made = (0..ROWS).map(|n| create("sample", id(n), json!({"name": n.to_string()})));
    lab.append(made.collect()).await;
    let kept = lab.store.head().await.unwrap();
    let changed: Vec<NewEvent> = (0..ROWS)
        .map(|n| match n % 3 {
            0 => update(
                "sample",
                id(n),
                json!({"name": format!("{n}, later"), "parent_id": id((n + 1) / 3 * 3 + 1)}),
            ),
            1 => create("spectrum", id(1000 + n), json!({"sample_id": id(n)})),
            _ => delete("sample", id(n)),
        })
        .collect();
    lab.append(changed).await;
    (lab, kept)
}

/// What is to be killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// `ebb`.
    Program,
    /// The server's process that works for it.
    Server,
}

fn start(lab: &Database, arguments: &[&str]) -> Child {
    command()
        .args(["-d", &lab.argument()])
        .args(arguments)
        .arg("--yes")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The server's process of the program with this process id, once there is one that writes.
async fn working_for(admin: &mut PgConnection, program: u32) -> Option<i32> {
    sqlx::query_scalar("SELECT pid FROM pg_stat_activity WHERE application_name = $1 AND backend_xid IS NOT NULL LIMIT 1")
        .bind(format!("ebb/{program}"))
        .fetch_optional(admin)
        .await
        .unwrap()
}

/// Waits until the server answers again after one of its processes was killed.
async fn answers(url: &str) -> PgConnection {
    loop {
        if let Ok(connection) = PgConnection::connect(url).await {
            return connection;
        }
        tokio::task::yield_now().await;
    }
}

async fn all_or_nothing(lab: Database, killed: Killed) {
    let (lab, kept) = &fill(lab).await;
    let target = kept.to_string();
    let there = ["rollback", "--after-event", &target];
    let back = ["undo", "--with-later"];
    let later = rows(lab).await;
    let began = Instant::now();
    assert!(start(lab, &there).wait().unwrap().success());
    let longest = began.elapsed();
    let earlier = rows(lab).await;
    assert!(start(lab, &back).wait().unwrap().success());
    assert_eq!(rows(lab).await, later);

    let mut numbers = random(41);
    let (mut is_later, mut done, mut nothing) = (true, 0, 0);
    for n in 0..kills() {
        let mut child = start(lab, if is_later { &there } else { &back });
        // Every fourth one may end, however slow the machine is.
        let share = match n % 4 {
            3 => 1_000_000,
            _ => u32::try_from(numbers.next_u64() % 1200).unwrap(),
        };
        let moment = Instant::now() + longest * share / 1000;
        // Until that moment, or until it has ended.
        while Instant::now() < moment && child.try_wait().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
        match killed {
            Killed::Program => child.kill().unwrap(),
            Killed::Server => {
                let url = lab.argument();
                let mut admin = answers(&url).await;
                let patience = Instant::now() + Duration::from_secs(20);
                let mut process = None;
                while process.is_none()
                    && child.try_wait().unwrap().is_none()
                    && Instant::now() < patience
                {
                    process = working_for(&mut admin, child.id()).await;
                }
                if let Some(process) = process {
                    let sent = Command::new("kill")
                        .args(["-9", &process.to_string()])
                        .stderr(Stdio::null())
                        .status();
                    sent.unwrap();
                    drop(admin);
                    child.wait().unwrap();
                    answers(&url).await.close().await.unwrap();
                }
            }
        }
        child.wait().unwrap();
        let now = rows(lab).await;
        let was = if is_later { &later } else { &earlier };
        if now == *was {
            nothing += 1;
        } else {
            is_later = !is_later;
            assert_eq!(
                now,
                *if is_later { &later } else { &earlier },
                "half of it was done"
            );
            done += 1;
        }
    }
    // Both must have been seen, or the moments were not in the middle of the work.
    assert!(
        nothing > 0 && done > 0,
        "{nothing} times nothing was done, and {done} times all"
    );
}

/// Every row; the tables must be what the log says. A server that has not noticed yet that one of its processes was killed takes these connections
/// down too: then it is looked again.
async fn rows(lab: &Database) -> Vec<(String, Row)> {
    loop {
        match read(lab).await {
            Ok(rows) => return rows,
            Err(error) => assert_eq!(error.code, ErrorCode::Unreachable, "{error}"),
        }
    }
}

/// With connections of their own: those of before may have gone down with the server.
async fn read(lab: &Database) -> Result<Vec<(String, Row)>> {
    let store = store::open(&lab.address, &options()).await?;
    assert_eq!(verify::drift(&*store).await?.findings, []);
    let mut all = Vec::new();
    for table in store.tables().await? {
        let page = store.rows(&rows_query(&table, None, 10_000)).await?;
        all.extend(
            page.rows
                .into_iter()
                .map(|found| (table.name.clone(), found.row)),
        );
    }
    store.close().await;
    Ok(all)
}

#[test]
fn a_program_that_is_killed_leaves_all_or_nothing_in_a_sqlite_file() {
    run(async {
        let lab = Database::with(Backend::Sqlite, &schema(Backend::Sqlite)).await;
        all_or_nothing(lab, Killed::Program).await;
    });
}

#[test]
fn a_program_that_is_killed_leaves_all_or_nothing_on_postgresql() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        all_or_nothing(lab, Killed::Program).await;
    });
}

/// A server of its own: whoever is killed takes all other sessions along.
#[test]
fn a_server_that_is_killed_leaves_all_or_nothing() {
    run(async {
        let server = Server::new("killed").await;
        let address = Address::Postgres(server.url("postgres"));
        let schema = schema(Backend::Postgres);
        let made = store::init(&address, &options(), Some(&schema))
            .await
            .unwrap();
        made.store.close().await;
        let lab = Database::there(address, tempfile::tempdir().unwrap()).await;
        all_or_nothing(lab, Killed::Server).await;
    });
}
