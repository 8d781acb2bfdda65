//! Many events at once come to what the same events come to one after the other: by one INSERT, and by the library.

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{Event, EventKind, NewEvent, Row, value};
use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;
use serde_json::{Value, json};

use super::{refusal, run_sql, superuser};
use crate::contract::schema;
use crate::support::{Database, create, delete, event, id, random, run, update};

/// Blocks of a few or many events of one kind on one table, as clients write them. Many are refused where they stand.
fn batch(random: &mut TestRng) -> Vec<NewEvent> {
    let mut events = Vec::new();
    for _ in 0..random.random_range(3..9) {
        let kind = [
            EventKind::Create,
            EventKind::Create,
            EventKind::Update,
            EventKind::Update,
            EventKind::Delete,
        ][random.random_range(0..5)];
        let spectra = random.random_bool(0.4);
        let length = if random.random_bool(0.5) {
            random.random_range(1..4)
        } else {
            random.random_range(5..25)
        };
        // What one block sets is mostly the same for all of it.
        let sets = random.random_range(0..32_u8);
        for _ in 0..length {
            let sets = if random.random_bool(0.8) {
                sets
            } else {
                random.random_range(0..32)
            };
            events.push(one(random, kind, spectra, sets));
        }
    }
    events
}

fn one(random: &mut TestRng, kind: EventKind, spectra: bool, sets: u8) -> NewEvent {
    let mut data = Row::new();
    let mut set = |bit: u8, name: &str, value: Value| {
        if sets & (1 << bit) > 0 {
            data.insert(name.to_owned(), value);
        }
    };
    let sample = id(random.random_range(1..30));
    let other = if random.random_bool(0.2) {
        Value::Null
    } else {
        json!(sample)
    };
    let (table, row) = if spectra {
        set(
            0,
            "title",
            json!(format!("t{}", random.random_range(0..5_u8))),
        );
        set(1, "reference_id", other);
        if kind == EventKind::Create {
            data.insert(
                "sample_id".to_owned(),
                json!(id(random.random_range(1..30))),
            );
        }
        ("spectrum", id(random.random_range(101..130)))
    } else {
        set(
            1,
            "info",
            [
                json!({"a": random.random_range(0..3_u8)}),
                json!(null),
                json!([1]),
                json!({"b": {"c": null}}),
            ][random.random_range(0..4)]
            .clone(),
        );
        set(2, "mass", json!(random.random_range(0..1010_u16)));
        set(3, "parent_id", other);
        // Unique: mostly its own, sometimes one of a few that many want.
        let name = if random.random_bool(0.7) {
            random.random_range(0..10_000_u32)
        } else {
            random.random_range(0..6)
        };
        if kind == EventKind::Create || sets & 1 > 0 {
            data.insert("name".to_owned(), json!(format!("n{name}")));
        }
        ("sample", sample)
    };
    match kind {
        EventKind::Delete => delete(table, row),
        EventKind::Update => update(table, row, data.into()),
        _ => create(table, row, data.into()),
    }
}

/// What a log says, times aside: they are other ones in another database.
fn told(log: &[Event]) -> Vec<Value> {
    log.iter()
        .map(|event| {
            let mut filled = event.filled.clone();
            if let Some(filled) = &mut filled {
                filled.retain(|name, _| name != "created_on" && name != "updated_on");
            }
            json!([
                event.id,
                event.kind.as_str(),
                event.row.as_ref().map(|row| (&row.table, row.uuid)),
                event.data,
                filled
            ])
        })
        .collect()
}

async fn timeless(lab: &Database) -> Vec<(String, Row)> {
    let mut rows = lab.rows().await;
    for (_, row) in &mut rows {
        row.retain(|name, _| name != "created_on" && name != "updated_on");
    }
    rows
}

/// Both logs say the same, both databases hold the same rows, and those are what the log says.
pub(super) async fn assert_same(lab: &Database, wanted: &Database, what: &str) {
    assert_eq!(told(&lab.log().await), told(&wanted.log().await), "{what}");
    assert_eq!(timeless(lab).await, timeless(wanted).await, "{what}");
    lab.assert_no_drift().await;
}

#[test]
fn many_at_once_are_what_they_are_one_after_the_other() {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .map(|cases| cases.parse::<u8>().unwrap_or(u8::MAX));
    let mut longest = 0;
    for seed in 0..wanted.unwrap_or(10) {
        run(async {
            let tables = schema(Backend::Postgres);
            let singly = Database::with(Backend::Postgres, &tables).await;
            let (inserting, appending) = (
                Database::with_inserts(&tables).await,
                Database::with(Backend::Postgres, &tables).await,
            );
            let mut random = random(seed);
            for _ in 0..3 {
                let (mut accepted, mut refused) = (Vec::new(), Vec::new());
                for event in batch(&mut random) {
                    match singly.store.append(vec![event.clone()]).await {
                        Ok(_) => accepted.push(event),
                        Err(error) => refused.push((accepted.len(), event, error.code)),
                    }
                }
                longest = longest.max(accepted.len());
                // With one that is refused where it stands, all are.
                if let Some((place, event, code)) =
                    refused.get(random.random_range(0..refused.len().max(1)))
                {
                    let mut spoilt = accepted.clone();
                    spoilt.insert(*place, event.clone());
                    for (lab, how) in [(&inserting, "by INSERT"), (&appending, "by the library")] {
                        let error = lab.refused(spoilt.clone()).await;
                        assert_eq!(
                            error.code, *code,
                            "seed {seed} {how}: {event}: {}",
                            error.message
                        );
                        let named = format!("event {} of {}", place + 1, spoilt.len());
                        assert!(
                            spoilt.len() == 1 || error.message.contains(&named),
                            "seed {seed}: {named}: {}",
                            error.message
                        );
                    }
                }
                if accepted.is_empty() {
                    continue;
                }
                for (lab, how) in [(&inserting, "by INSERT"), (&appending, "by the library")] {
                    lab.append(accepted.clone()).await;
                    assert_same(lab, &singly, &format!("seed {seed} {how}")).await;
                }
            }
        });
    }
    assert!(longest > 20, "the longest batch was {longest}");
}

fn creates(count: u32, from: u32) -> String {
    format!(
        "SELECT 'create', 'sample', lpad(i::text, 32, '1')::uuid, jsonb_build_object('name', 'n' || i) FROM generate_series({from}, {}) AS i",
        from + count - 1
    )
}

#[test]
fn events_that_wait_for_the_end_of_their_statement_are_applied_once() {
    run(async {
        let lab = Database::with(Backend::Postgres, &schema(Backend::Postgres)).await;
        let mut client = superuser(&lab).await;
        let insert = "INSERT INTO sourcing.eventstore (event, type, uuid, data)";
        // Two INSERTs in one statement, which take turns.
        run_sql(&mut client, &format!("WITH a AS ({insert} {} RETURNING 1), b AS ({insert} {} RETURNING 1) SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)", creates(10, 100), creates(10, 200)))
            .await
            .unwrap();
        assert_eq!(lab.rows().await.len(), 20);
        // A function in the SELECT that inserts events itself, while others wait.
        run_sql(
            &mut client,
            &format!(
                "CREATE FUNCTION nested(i int) RETURNS jsonb LANGUAGE plpgsql AS $$ BEGIN
                    INSERT INTO sourcing.eventstore (event, type, data) SELECT 'create', 'sample', jsonb_build_object('name', 'x' || i || '.' || j) FROM generate_series(1, 6) AS j;
                    RETURN jsonb_build_object('name', 'y' || i); END $$;
                 {insert} SELECT 'create', 'sample', NULL, nested(i) FROM generate_series(1, 8) AS i"
            ),
        )
        .await
        .unwrap();
        assert_eq!(lab.rows().await.len(), 20 + 8 * 7);
        // What fails at the end of its statement leaves nothing, also inside a savepoint, and what follows is applied.
        run_sql(&mut client, "BEGIN").await.unwrap();
        run_sql(
            &mut client,
            &format!("{insert} {}; SAVEPOINT s", creates(10, 300)),
        )
        .await
        .unwrap();
        let (state, _) = refusal(
            &mut client,
            &format!(
                "{insert} {} UNION ALL {}",
                creates(10, 400),
                creates(1, 300)
            ),
        )
        .await;
        assert_eq!(state, "EB006");
        run_sql(
            &mut client,
            &format!(
                "ROLLBACK TO s; {insert} {}; {insert} {}; COMMIT",
                creates(1, 500),
                creates(10, 600)
            ),
        )
        .await
        .unwrap();
        assert_eq!(lab.rows().await.len(), 76 + 10 + 11);
        assert_eq!(lab.store.head().await.unwrap(), 97);
        // One that cannot wait, in the middle: its cascade comes before it and after those that waited.
        run_sql(
            &mut client,
            &format!(
                "{insert} SELECT * FROM (
                     {} UNION ALL
                     SELECT 'create', 'spectrum', lpad(i::text, 32, '2')::uuid, jsonb_build_object('sample_id', lpad('700', 32, '1')::uuid) FROM generate_series(1, 5) AS i UNION ALL
                     SELECT 'delete', 'sample', lpad('700', 32, '1')::uuid, '{{}}' UNION ALL
                     {}) AS events",
                creates(6, 700),
                creates(6, 800)
            ),
        )
        .await
        .unwrap();
        let kinds: Vec<String> = lab
            .log()
            .await
            .iter()
            .skip(97)
            .map(|event| format!("{} {}", event.kind, event.row.as_ref().unwrap().table))
            .collect();
        let expected = [
            vec!["create sample"; 6],
            vec!["create spectrum"; 5],
            vec!["delete spectrum"; 5],
            vec!["delete sample"],
            vec!["create sample"; 6],
        ]
        .concat();
        assert_eq!(kinds, expected);
        lab.assert_no_drift().await;
        // A rollback as the last row of such a statement, and events after one.
        run_sql(
            &mut client,
            &format!(
                "{insert} SELECT * FROM ({} UNION ALL SELECT 'rollback', NULL, NULL, jsonb_build_object('before', (SELECT \"timestamp\" FROM sourcing.eventstore WHERE id = 98)::text)) AS events;
                 {insert} {}",
                creates(8, 900),
                creates(8, 1000)
            ),
        )
        .await
        .unwrap();
        assert_eq!(lab.rows().await.len(), 97 + 8);
        lab.assert_no_drift().await;
    });
}

#[test]
fn what_the_database_fills_in_is_in_the_log_whether_it_was_guessed_or_not() {
    run(async {
        let lab = Database::with_inserts(
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, name text, constant jsonb NOT NULL DEFAULT '{}', number numeric(6, 2) DEFAULT 1.5,
                listed text[] DEFAULT '{a,b}', today date DEFAULT CURRENT_DATE, token uuid DEFAULT gen_random_uuid(), rounded numeric(4, 1),
                n serial, doubled int GENERATED ALWAYS AS (n * 2) STORED)",
        )
        .await;
        let events = lab
            .append(
                (1..12)
                    .map(|at| create("thing", id(at), json!({"rounded": 0.25, "name": at})))
                    .collect(),
            )
            .await;
        for event in &events {
            let filled = event.filled.clone().unwrap();
            let names: Vec<&str> = filled.keys().map(String::as_str).collect();
            assert_eq!(names.len(), 9, "#{}: {filled:?}", event.id);
            assert_eq!(
                (&filled["rounded"], &filled["constant"]),
                (&json!(0.3), &json!({}))
            );
            assert!(value::same(&filled["number"], &json!(1.5)));
        }
        lab.append(
            (1..12)
                .map(|at| {
                    event(
                        EventKind::Update,
                        "thing",
                        Some(id(at)),
                        json!({"constant": {"k": at}}),
                    )
                })
                .collect(),
        )
        .await;
        lab.assert_no_drift().await;
    });
}

#[test]
fn a_unique_value_goes_from_row_to_row_only_when_it_is_free() {
    run(async {
        let tables = schema(Backend::Postgres);
        for lab in [
            Database::with_inserts(&tables).await,
            Database::with(Backend::Postgres, &tables).await,
        ] {
            let named = |at: u128| json!({"name": format!("n{at}")});
            lab.append(
                (1..10)
                    .map(|at| create("sample", id(at), named(at)))
                    .collect(),
            )
            .await;
            // Each takes the name of the row before it. From the first row on every name is free when it is taken; from the last
            // one on none is, whatever the order in which one statement would write them.
            let shifted = |at: u128| update("sample", id(at), named(at - 1));
            let error = lab.refused((1..10).rev().map(shifted).collect()).await;
            assert!(
                error.message.contains("sample_name_key"),
                "{}",
                error.message
            );
            assert!(error.message.contains("event 1 of 9"), "{}", error.message);
            lab.append((1..10).map(shifted).collect()).await;
            lab.append(
                (1..10)
                    .rev()
                    .map(|at| update("sample", id(at), named(at)))
                    .collect(),
            )
            .await;
            lab.assert_no_drift().await;
        }
    });
}

/// What the database makes of events is told for all that got the same, and equal is not the same.
#[test]
fn equal_numbers_of_different_digits_are_returned_as_they_are() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE sample (sample_id uuid PRIMARY KEY, share numeric, kept numeric GENERATED ALWAYS AS (share) STORED)",
        )
        .await;
        let shares = ["1", "1.0", "1.00", "1e0"];
        let sent = (0..40).map(|n| {
            let share: Value = serde_json::from_str(shares[n % 4]).unwrap();
            create("sample", id(n as u128), json!({ "share": share }))
        });
        let returned = lab.append(sent.collect()).await;
        for (n, event) in returned.iter().enumerate() {
            let kept = &event.filled.as_ref().unwrap()["kept"];
            assert_eq!(kept.to_string(), ["1", "1.0", "1.00", "1"][n % 4]);
        }
        assert_eq!(returned, lab.log().await);
    });
}
