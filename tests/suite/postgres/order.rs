//! A statement's events may be applied in another order than the log's, as long as nobody can tell: the same tables, the same log, or the
//! same refusal as when each of them is a statement of its own.

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;
use serde_json::{Value, json};
use sqlx::types::Json;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{run_sql, superuser};
use crate::support::{Database, id, random, run};

/// What the log and the tables are, and what starts all sequences again.
const STATE: &str = "
    CREATE FUNCTION state() RETURNS jsonb LANGUAGE plpgsql AS $$
    DECLARE
        one record;
        rows jsonb;
        state jsonb := (SELECT jsonb_build_object('log', jsonb_agg(jsonb_build_array(id, event, type, uuid, data, filled) ORDER BY id))
                          FROM sourcing.eventstore);
    BEGIN
        FOR one IN SELECT name, quoted, key FROM sourcing.tables WHERE key IS NOT NULL LOOP
            EXECUTE format('SELECT jsonb_agg(to_jsonb(t) ORDER BY %I) FROM %s AS t', one.key, one.quoted) INTO rows;
            state := state || jsonb_build_object(one.name, rows);
        END LOOP;
        RETURN state;
    END $$;
    CREATE FUNCTION begin_again() RETURNS void LANGUAGE sql AS $$
        SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S' AND relnamespace = 'public'::regnamespace
    $$;
";

/// Kind, table, row, data.
type Given = (&'static str, &'static str, Uuid, Value);

fn given(kind: &'static str, table: &'static str, at: u128, data: Value) -> Given {
    (kind, table, id(at), data)
}

fn several(
    kind: &'static str,
    table: &'static str,
    rows: impl IntoIterator<Item = u128>,
    data: impl Fn(u128) -> Value,
) -> Vec<Given> {
    rows.into_iter()
        .map(|at| given(kind, table, at, data(at)))
        .collect()
}

fn nothing(_: u128) -> Value {
    json!({})
}

async fn insert(client: &mut PgConnection, events: &[Given]) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO sourcing.eventstore (event, type, uuid, data)
         SELECT event, type, uuid, data FROM unnest($1::text[], $2::text[], $3::uuid[], $4::jsonb[])
                WITH ORDINALITY AS given(event, type, uuid, data, place) ORDER BY place",
    )
    .bind(events.iter().map(|event| event.0).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.1).collect::<Vec<_>>())
    .bind(events.iter().map(|event| event.2).collect::<Vec<_>>())
    .bind(
        events
            .iter()
            .map(|event| Json(&event.3))
            .collect::<Vec<_>>(),
    )
    .execute(client)
    .await
    .map(drop)
}

/// What these events come to, as statements of so many; nothing of it stays. The constraints that wait for the end are checked too.
async fn outcome(
    client: &mut PgConnection,
    events: &[Given],
    together: usize,
) -> Result<Value, String> {
    let mut all = client.begin().await.unwrap();
    run_sql(&mut all, "SELECT begin_again()").await.unwrap();
    let mut done = Ok(());
    for part in events.chunks(together) {
        done = insert(&mut all, part).await;
        if done.is_err() {
            break;
        }
    }
    if done.is_ok() {
        done = run_sql(&mut all, "SET CONSTRAINTS ALL IMMEDIATE").await;
    }
    let outcome = match done {
        Ok(()) => Ok(sqlx::query_scalar("SELECT state()")
            .fetch_one(&mut *all)
            .await
            .unwrap()),
        Err(error) => Err(error
            .as_database_error()
            .and_then(sqlx::error::DatabaseError::code)
            .unwrap_or_else(|| panic!("{error}"))
            .into_owned()),
    };
    all.rollback().await.unwrap();
    outcome
}

/// The same at once as one after the other. Returns it.
async fn same(client: &mut PgConnection, what: &str, events: &[Given]) -> Result<Value, String> {
    let singly = outcome(client, events, 1).await;
    let at_once = outcome(client, events, events.len()).await;
    if at_once != singly {
        let told: Vec<String> = events.iter().map(|event| format!("{event:?}")).collect();
        panic!(
            "{what}: at once {at_once:#?}\none after the other {singly:#?}\n{}",
            told.join("\n")
        );
    }
    at_once
}

const TABLES: &str = "
    CREATE TABLE a_parent (a_parent_id uuid PRIMARY KEY, name text);
    CREATE TABLE z_child (z_child_id uuid PRIMARY KEY, parent uuid REFERENCES a_parent);
    CREATE TABLE z_default (z_default_id uuid PRIMARY KEY,
        parent uuid DEFAULT '10000000-0000-4000-8000-000000000014' REFERENCES a_parent);
    CREATE DOMAIN reference AS uuid DEFAULT '10000000-0000-4000-8000-000000000014';
    CREATE TABLE z_domain (z_domain_id uuid PRIMARY KEY, parent reference REFERENCES a_parent);
    CREATE TABLE z_shared (z_shared_id uuid PRIMARY KEY REFERENCES a_parent);
    CREATE TABLE z_generated (z_generated_id uuid PRIMARY KEY, number text,
        parent uuid GENERATED ALWAYS AS (('1000000000004000800000000000' || number)::uuid) STORED REFERENCES a_parent);
    CREATE TABLE z_late (z_late_id uuid PRIMARY KEY, parent uuid REFERENCES a_parent DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE named (named_id uuid PRIMARY KEY, name text UNIQUE, n int);
    CREATE TABLE z_naming (z_naming_id uuid PRIMARY KEY, name text REFERENCES named (name));
    CREATE TABLE defaulting (defaulting_id uuid PRIMARY KEY, name text UNIQUE DEFAULT 'x', n int);
    CREATE TABLE lower (lower_id uuid PRIMARY KEY, name text, n int);
    CREATE UNIQUE INDEX ON lower (lower(name));
    CREATE TABLE late (late_id uuid PRIMARY KEY, name text UNIQUE DEFERRABLE INITIALLY DEFERRED, n int);
    CREATE TABLE apart (apart_id uuid PRIMARY KEY, span int4range, n int CHECK (n < 1000), EXCLUDE USING gist (span WITH &&));
    CREATE TABLE parted (parted_id uuid PRIMARY KEY, name text, parent uuid, n int) PARTITION BY HASH (parted_id);
    CREATE TABLE parted_0 PARTITION OF parted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
    CREATE UNIQUE INDEX ON parted_0 (name);
    ALTER TABLE parted_0 ADD FOREIGN KEY (parent) REFERENCES parted;
    CREATE TABLE node (node_id uuid PRIMARY KEY, parent uuid REFERENCES node, n int);
    CREATE SEQUENCE counted;
    CREATE DOMAIN number AS bigint DEFAULT nextval('counted');
    CREATE TABLE numbered (numbered_id uuid PRIMARY KEY, number number, n int, m int);
    CREATE TABLE serial (serial_id uuid PRIMARY KEY, number bigint DEFAULT nextval('counted'), n int, m int);
    CREATE TABLE identity (identity_id uuid PRIMARY KEY, number int GENERATED ALWAYS AS IDENTITY, n int, m int);
";

/// The number in a uuid of `id`'s.
fn hex(at: u128) -> String {
    format!("{at:04x}")
}

/// A uuid as it may be written.
fn written(at: u128, way: usize) -> Value {
    match way % 5 {
        0 => json!(id(at)),
        1 => json!(id(at).simple().to_string()),
        2 => json!(id(at).to_string().to_uppercase()),
        3 => json!(format!("{{{}}}", id(at))),
        _ => {
            let simple = id(at).simple().to_string();
            json!(format!("{}-{}", &simple[..4], &simple[4..]))
        }
    }
}

#[test]
fn a_row_is_not_pointed_at_before_it_is_there() {
    run(async {
        let lab = Database::with(Backend::Postgres, &format!("{STATE}{TABLES}")).await;
        let mut client = superuser(&lab).await;
        // Some of each first, for events wait only when their tables have been seen.
        let parents =
            |rows: std::ops::RangeInclusive<u128>| several("create", "a_parent", rows, nothing);
        for way in 0..5 {
            let pointing = |kind| {
                several(
                    kind,
                    "z_child",
                    20..=30,
                    |at| json!({"parent": written(at, way)}),
                )
            };
            let before = [
                parents(1..=3),
                several("create", "z_child", 1..=3, nothing),
                several("create", "z_child", 20..=30, nothing),
            ]
            .concat();
            let refused = same(
                &mut client,
                "an update",
                &[before.clone(), pointing("update"), parents(20..=30)].concat(),
            )
            .await;
            assert_eq!(refused, Err("23503".to_owned()), "{way}");
            let accepted = same(
                &mut client,
                "an update",
                &[before.clone(), parents(20..=30), pointing("update")].concat(),
            )
            .await;
            assert!(accepted.is_ok(), "{way}");
            let refused = same(
                &mut client,
                "a create",
                &[before[..6].to_vec(), pointing("create"), parents(20..=30)].concat(),
            )
            .await;
            assert_eq!(refused, Err("23503".to_owned()), "{way}");
            let nodes = [
                several("create", "node", 1..=9, nothing),
                several(
                    "create",
                    "node",
                    [10],
                    |_| json!({"parent": written(11, way)}),
                ),
                several("create", "node", 11..=40, nothing),
            ]
            .concat();
            assert_eq!(
                same(&mut client, "a node", &nodes).await,
                Err("23503".to_owned())
            );
            let parted = [
                several("create", "parted", 1..=9, nothing),
                several(
                    "create",
                    "parted",
                    [10],
                    |_| json!({"parent": written(11, way)}),
                ),
                several("create", "parted", 11..=40, nothing),
            ]
            .concat();
            assert_eq!(
                same(&mut client, "a partition's row", &parted).await,
                Err("23503".to_owned())
            );
        }
        let null = |_| json!({"parent": null});
        let number = |at| json!({"number": hex(at)});
        for (table, first, pointing) in [
            (
                "z_default",
                several("create", "z_default", 1..=3, null),
                several("create", "z_default", 21..=30, nothing),
            ),
            (
                "z_domain",
                several("create", "z_domain", 1..=3, null),
                several("create", "z_domain", 21..=30, nothing),
            ),
            (
                "z_shared",
                several("create", "z_shared", 1..=3, nothing),
                several("create", "z_shared", 20..=30, nothing),
            ),
            (
                "z_generated",
                several("create", "z_generated", 1..=3, number),
                several("create", "z_generated", 20..=30, number),
            ),
            (
                "z_generated, by an update",
                several("create", "z_generated", 1..=30, nothing),
                several("update", "z_generated", 20..=30, number),
            ),
        ] {
            let first = [parents(1..=3), first].concat();
            let refused = same(
                &mut client,
                table,
                &[first.clone(), pointing.clone(), parents(20..=30)].concat(),
            )
            .await;
            assert_eq!(refused, Err("23503".to_owned()), "{table}");
            let accepted = same(
                &mut client,
                table,
                &[first, parents(20..=30), pointing].concat(),
            )
            .await;
            assert!(accepted.is_ok(), "{table}: {accepted:?}");
        }
        // What is checked late may be late, whichever way; what points at a value that is no key may not.
        let late = [
            parents(1..=3),
            several("create", "z_late", 1..=3, nothing),
            several("create", "z_late", 20..=30, |at| json!({"parent": id(at)})),
        ]
        .concat();
        assert_eq!(
            same(&mut client, "late", &late).await,
            Err("23503".to_owned())
        );
        assert!(
            same(&mut client, "late", &[late, parents(20..=30)].concat())
                .await
                .is_ok()
        );
        let name = |at| json!({"name": format!("n{at}")});
        let naming = [
            several("create", "named", 1..=3, name),
            several("create", "z_naming", 1..=3, name),
            several("create", "z_naming", 20..=30, name),
            several("create", "named", 20..=30, name),
        ]
        .concat();
        assert_eq!(
            same(&mut client, "naming", &naming).await,
            Err("23503".to_owned())
        );
    });
}

#[test]
fn a_value_is_not_taken_before_it_is_free() {
    run(async {
        let lab = Database::with(Backend::Postgres, &format!("{STATE}{TABLES}")).await;
        let mut client = superuser(&lab).await;
        let version: i32 = sqlx::query_scalar("SELECT current_setting('server_version_num')::int")
            .fetch_one(&mut client)
            .await
            .unwrap();
        let mut tables = vec!["named", "defaulting", "lower", "parted"];
        if version >= 150_000 {
            lab.sql("CREATE TABLE nulls (nulls_id uuid PRIMARY KEY, name text UNIQUE NULLS NOT DISTINCT, n int)")
                .await
                .unwrap();
            tables.push("nulls");
        }
        let collations: i64 =
            sqlx::query_scalar("SELECT count(*) FROM pg_collation WHERE collprovider = 'i'")
                .fetch_one(&mut client)
                .await
                .unwrap();
        if collations > 0 {
            // One index that tells them apart by their bytes, and one that does not.
            lab.sql(
                "CREATE COLLATION whatever_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
                 CREATE TABLE folded (folded_id uuid PRIMARY KEY, name text UNIQUE, n int);
                 CREATE UNIQUE INDEX ON folded (name COLLATE whatever_case)",
            )
            .await
            .unwrap();
            tables.push("folded");
        }
        for table in tables {
            let (taken, first) = match table {
                "lower" | "folded" => (json!("X"), json!({"name": "x"})),
                "nulls" => (Value::Null, json!({})),
                _ => (json!("x"), json!({"name": "x"})),
            };
            let before = [
                several(
                    "create",
                    table,
                    1..=20,
                    |at| json!({"name": format!("n{at}")}),
                ),
                several("create", table, [30], |_| first.clone()),
                several("update", table, 1..=20, |_| json!({"n": 1})),
            ]
            .concat();
            let after = several(
                "update",
                table,
                3..=20,
                |at| json!({"name": format!("m{at}")}),
            );
            let take = given("update", table, 1, json!({"name": taken}));
            let free = given("update", table, 30, json!({"name": "z"}));
            let events = |one: &Given, other: &Given| {
                [
                    before.clone(),
                    vec![one.clone(), other.clone()],
                    after.clone(),
                ]
                .concat()
            };
            assert_eq!(
                same(&mut client, table, &events(&take, &free)).await,
                Err("23505".to_owned()),
                "{table}"
            );
            assert!(
                same(&mut client, table, &events(&free, &take))
                    .await
                    .is_ok(),
                "{table}"
            );
        }
        // Taken by a row that does not name it.
        let events = |last: [Given; 3]| {
            [
                several(
                    "create",
                    "defaulting",
                    1..=20,
                    |at| json!({"name": format!("n{at}")}),
                ),
                several("create", "defaulting", [30], nothing),
                several("update", "defaulting", 1..=20, |_| json!({"n": 1})),
                last.to_vec(),
                several("update", "defaulting", 1..=18, |_| json!({"n": 2})),
            ]
            .concat()
        };
        let gone = given("delete", "defaulting", 20, json!({}));
        let again = given("create", "defaulting", 20, json!({}));
        let free = given("update", "defaulting", 30, json!({"name": "y"}));
        let refused = same(
            &mut client,
            "default",
            &events([gone.clone(), again.clone(), free.clone()]),
        )
        .await;
        assert_eq!(refused, Err("23505".to_owned()));
        assert!(
            same(&mut client, "default", &events([gone, free, again]))
                .await
                .is_ok()
        );
    });
}

#[test]
fn rows_are_numbered_in_the_order_of_the_log() {
    run(async {
        let lab = Database::with(Backend::Postgres, &format!("{STATE}{TABLES}")).await;
        let mut client = superuser(&lab).await;
        let mixed = |at: u128| match at % 3 {
            0 => json!({"n": at as u64}),
            1 => json!({"m": 1}),
            _ => json!({}),
        };
        for table in ["numbered", "serial", "identity"] {
            // All of one kind, which are written at once, and of several.
            for events in [
                several("create", table, 1..=1200, |_| json!({"n": 1})),
                several("create", table, 1..=60, mixed),
                [
                    several("create", table, 1..=20, nothing),
                    several("delete", table, [1], nothing),
                    several("create", table, [1], nothing),
                    several("create", table, 21..=40, nothing),
                ]
                .concat(),
            ] {
                let state = same(&mut client, table, &events).await.unwrap();
                let numbers: Vec<i64> = state["log"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .filter(|event| event[1] == "create")
                    .map(|event| event[5]["number"].as_i64().unwrap())
                    .collect();
                assert_eq!(
                    numbers,
                    (1..=numbers.len() as i64).collect::<Vec<_>>(),
                    "{table}"
                );
            }
        }
        // Two tables that take turns at one sequence.
        let turns = (1..=60)
            .map(|at| {
                given(
                    "create",
                    if at % 2 == 0 { "serial" } else { "numbered" },
                    at,
                    json!({}),
                )
            })
            .collect::<Vec<_>>();
        assert!(same(&mut client, "turns", &turns).await.is_ok());
    });
}

/// Blocks of events on a few tables and rows. Most are refused somewhere; what can be is left.
fn some(random: &mut TestRng) -> Vec<Given> {
    let mut events = Vec::new();
    for _ in 0..random.random_range(3..10) {
        let kind =
            ["create", "create", "create", "update", "update", "delete"][random.random_range(0..6)];
        let table = [
            "a_parent",
            "a_parent",
            "z_child",
            "z_default",
            "z_shared",
            "z_generated",
            "z_late",
            "named",
            "named",
            "z_naming",
            "defaulting",
            "lower",
            "late",
            "apart",
            "parted",
            "node",
            "numbered",
            "serial",
            "identity",
        ][random.random_range(0..19)];
        let first = random.random_range(1..30_u128);
        let length = random.random_range(2..25);
        for at in first..first + length {
            // Mostly one row after the other, mostly pointing at its like.
            let at = if random.random_bool(0.9) {
                at
            } else {
                random.random_range(1..50)
            };
            let other = if random.random_bool(0.8) {
                at
            } else {
                random.random_range(1..50)
            };
            let written = written(other, random.random_range(0..5));
            let name =
                ["n", "N"][usize::from(random.random_bool(0.2))].to_owned() + &other.to_string();
            let mut data = match table {
                "z_child" | "z_default" | "z_late" | "node" => json!({"parent": written}),
                "z_generated" => json!({"number": hex(other)}),
                "named" | "z_naming" | "defaulting" | "lower" | "late" => json!({"name": name}),
                "apart" => {
                    json!({"span": format!("[{other},{}]", other + u128::from(random.random_bool(0.1))), "n": other as u64})
                }
                "parted" => {
                    json!({"name": name, "parent": if random.random_bool(0.5) { written } else { Value::Null }})
                }
                "numbered" | "serial" | "identity" => {
                    json!({["n", "m"][random.random_range(0..2)]: 1})
                }
                _ => json!({}),
            };
            if kind == "delete" || random.random_bool(0.15) {
                data = json!({});
            }
            events.push(given(kind, table, at, data));
        }
    }
    events
}

#[test]
fn whatever_comes_in_one_statement_comes_to_what_it_is_one_after_the_other() {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .map(|cases| cases.parse::<u8>().unwrap_or(u8::MAX));
    run(async {
        let lab = Database::with(Backend::Postgres, &format!("{STATE}{TABLES}")).await;
        let mut client = superuser(&lab).await;
        let (mut accepted, mut refused, mut longest) = (0, 0, 0);
        for seed in 0..wanted.unwrap_or(8) {
            let mut random = random(seed);
            // What is accepted, found by trying each.
            let mut fine = Vec::new();
            let mut all = client.begin().await.unwrap();
            for event in some(&mut random) {
                let mut one = all.begin().await.unwrap();
                match insert(&mut one, std::slice::from_ref(&event)).await {
                    Ok(()) => {
                        one.commit().await.unwrap();
                        fine.push(event);
                    }
                    Err(_) => one.rollback().await.unwrap(),
                }
            }
            all.rollback().await.unwrap();
            longest = longest.max(fine.len());
            if fine.len() < 2 {
                continue;
            }
            let what = format!("seed {seed}");
            let mut tried = vec![fine.clone()];
            for _ in 0..3 {
                // One of them somewhere else.
                let mut other = fine.clone();
                let moved = other.remove(random.random_range(0..fine.len()));
                other.insert(random.random_range(0..fine.len()), moved);
                tried.push(other);
            }
            for events in &tried {
                match same(&mut client, &what, events).await {
                    Ok(_) => accepted += 1,
                    Err(_) => refused += 1,
                }
            }
            // And what stays can be taken back.
            let head = lab.store.head().await.unwrap();
            let rows = lab.rows().await;
            if insert(&mut client, &fine).await.is_ok() {
                lab.assert_no_drift().await;
                lab.roll_back(
                    RollbackTarget::BeforeEvent(head + 1),
                    [Strategy::Minimal, Strategy::Replay][usize::from(seed % 2)],
                )
                .await
                .unwrap();
                assert_eq!(lab.rows().await, rows, "{what}");
                lab.assert_no_drift().await;
            }
        }
        assert!(
            accepted > 9 && refused > 3 && longest > 30,
            "{accepted} {refused} {longest}"
        );
    });
}
