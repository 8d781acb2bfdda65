//! Events of which it is known beforehand what the database will make of them come to what they come to when each row is read back.

use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{EventKind, NewEvent, Row};
use proptest::prelude::RngExt;
use proptest::test_runner::TestRng;
use serde_json::{Value, json};

use super::batches::assert_same;
use super::{run_sql, superuser};
use crate::support::{Database, create, event, id, random, run, update};

const TABLES: &str = r#"
    CREATE TYPE phase AS ENUM ('solid', 'liquid');
    CREATE TABLE result (
        result_id uuid PRIMARY KEY,
        created_on timestamp NOT NULL DEFAULT now(),
        updated_on timestamptz NOT NULL,
        name text UNIQUE CHECK (name <> 'forbidden'),
        "odd %s ""name"" $1" varchar DEFAULT 'it''s',
        small int2 DEFAULT -1,
        number int4 DEFAULT 5 CHECK (number < 900),
        large int8,
        single float4 DEFAULT 0.1,
        double float8 CHECK (double >= -1000 AND double < 1e9),
        exact numeric DEFAULT 1.50,
        checked boolean NOT NULL DEFAULT true,
        other uuid,
        info jsonb NOT NULL DEFAULT '{"a": 1}',
        limited varchar(5) DEFAULT 'abc',
        p phase,
        day date
    );
    CREATE TABLE bare (bare_id uuid PRIMARY KEY DEFAULT gen_random_uuid(), "Größe" numeric, note text);
"#;

/// In this database nothing is foreseen.
async fn careful() -> Database {
    let lab = Database::with(Backend::Postgres, TABLES).await;
    lab.sql(
        "CREATE FUNCTION public.nothing_foreseen() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.foreseen := NULL; RETURN NEW; END';
         CREATE TRIGGER nothing_foreseen BEFORE INSERT OR UPDATE ON sourcing.seen
            FOR EACH ROW EXECUTE FUNCTION public.nothing_foreseen()",
    )
    .await
    .unwrap();
    lab
}

/// Values as clients write them: mostly fitting, at and beyond the edges of what the types hold, of other types, with digits to spare.
const VALUES: [&str; 57] = [
    "\"\"",
    "\"a\"",
    "\"a, \\\"b\\\": 1}\"",
    "\"\\\\\"",
    "\"\\u00e9\\n\"",
    "\"null\"",
    "\"true\"",
    "\"7\"",
    "\"forbidden\"",
    "\"solid\"",
    "\"2020-02-30\"",
    "\"2020-02-03\"",
    "\"too long for it\"",
    "\"$1\"",
    "\"%s\"",
    "\"10000000-0000-4000-8000-000000000001\"",
    "\"10000000-0000-4000-8000-00000000000A\"",
    "\"{10000000000040008000000000000001}\"",
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-0.0",
    "7",
    "-7",
    "899",
    "900",
    "9999",
    "10000",
    "32767",
    "32768",
    "2147483647",
    "2147483648",
    "9223372036854775807",
    "9223372036854775808",
    "0.1",
    "0.10",
    "1.5",
    "-1000",
    "-1000.5",
    "3.14159265358979323846",
    "16777217",
    "123.456",
    "123.4567",
    "12345678.1234567",
    "1e3",
    "1E-7",
    "1e400",
    "0.30000000000000004",
    "123456789012345678901234567890.123",
    "{}",
    "{\"a\": 2}",
    "{\"b\": {\"c\": null}}",
    "[]",
    "[1, null]",
    "{\"a\": null}",
];

fn value(random: &mut TestRng) -> Value {
    serde_json::from_str(VALUES[random.random_range(0..VALUES.len())]).unwrap()
}

fn one(random: &mut TestRng) -> NewEvent {
    let kind = [
        EventKind::Create,
        EventKind::Create,
        EventKind::Update,
        EventKind::Update,
        EventKind::Delete,
    ][random.random_range(0..5)];
    let columns: &[&str] = match random.random_bool(0.8) {
        true => &[
            "name",
            "odd %s \"name\" $1",
            "small",
            "number",
            "large",
            "single",
            "double",
            "exact",
            "checked",
            "other",
            "info",
            "limited",
            "p",
            "day",
            "created_on",
            "updated_on",
            "result_id",
            "unknown",
        ],
        false => &["Größe", "note", "bare_id"],
    };
    let mut data = Row::new();
    if kind != EventKind::Delete || random.random_bool(0.05) {
        for _ in 0..random.random_range(0..4) {
            // The first of them much more often than the last, which are mostly refused.
            let at = random
                .random_range(0..columns.len())
                .min(random.random_range(0..columns.len()));
            data.insert(columns[at].to_owned(), value(random));
        }
    }
    let table = if columns.len() > 5 { "result" } else { "bare" };
    event(
        kind,
        table,
        Some(id(random.random_range(1..12))),
        data.into(),
    )
}

/// Creates of rows, and updates of one, with each of the values in each of the columns.
fn each() -> Vec<NewEvent> {
    let columns = [
        "small", "number", "large", "single", "double", "exact", "checked", "other", "info",
        "limited", "name",
    ];
    let pairs = columns
        .iter()
        .flat_map(|column| VALUES.iter().map(move |value| (*column, *value)));
    let all = pairs.enumerate().flat_map(|(at, (column, value))| {
        let value: Value = serde_json::from_str(value).unwrap();
        let data = json!({column: value});
        [
            create("result", id(1000 + at as u128), data.clone()),
            update("result", id(999), data),
        ]
    });
    std::iter::once(create("result", id(999), json!({})))
        .chain(all)
        .collect()
}

#[test]
fn what_is_foreseen_is_what_would_have_been_found() {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .map(|cases| cases.parse::<u8>().unwrap_or(u8::MAX));
    for seed in 0..wanted.unwrap_or(2) {
        run(async {
            let (oracle, lab, inserting, appending) = (
                careful().await,
                Database::with(Backend::Postgres, TABLES).await,
                Database::with_inserts(TABLES).await,
                Database::with(Backend::Postgres, TABLES).await,
            );
            let mut random = random(seed);
            let mut accepted = Vec::new();
            // Each value in each column, once, and then whatever comes.
            let mut events = match seed {
                0 => each(),
                _ => Vec::new(),
            };
            events.extend((0..200).map(|_| one(&mut random)));
            for event in events {
                let outcome = lab.store.append(vec![event.clone()]).await;
                let wanted = oracle.store.append(vec![event.clone()]).await;
                match (outcome, wanted) {
                    (Ok(_), Ok(_)) => accepted.push(event),
                    (Err(outcome), Err(wanted)) => {
                        // The database shows the row, with its times.
                        let said =
                            |message: &str| message.split("Failing row").next().unwrap().to_owned();
                        assert_eq!(
                            (outcome.code, said(&outcome.message), outcome.hint),
                            (wanted.code, said(&wanted.message), wanted.hint),
                            "seed {seed}: {event} {}",
                            Value::from(event.data.clone())
                        );
                    }
                    (outcome, wanted) => {
                        panic!(
                            "seed {seed}: {event} {}: {outcome:?}, not {wanted:?}",
                            Value::from(event.data.clone())
                        )
                    }
                }
            }
            // All at once, too, by an INSERT and by the library: to another end than singly they may not come.
            inserting.append(accepted.clone()).await;
            appending.append(accepted.clone()).await;
            for (database, how) in [
                (&lab, "singly"),
                (&inserting, "by INSERT"),
                (&appending, "by the library"),
            ] {
                assert_same(database, &oracle, &format!("seed {seed} {how}")).await;
            }
            // And it was indeed foreseen, of many.
            let foreseen = "SELECT count(*) FROM sourcing.eventstore e JOIN sourcing.seen s USING (type) WHERE sourcing.is_foreseen(s.foreseen, e.event, e.data)";
            let foreseen: i64 = sqlx::query_scalar(foreseen)
                .fetch_one(&mut superuser(&lab).await)
                .await
                .unwrap();
            assert!(
                usize::try_from(foreseen).unwrap() * 2 > accepted.len(),
                "seed {seed}: {foreseen} of {} were foreseen",
                accepted.len()
            );
        });
    }
}

/// A constraint whose outcome a session's settings could change is left to where those are pinned.
#[test]
fn settings_do_not_change_what_a_constraint_says() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE day (
                day_id uuid PRIMARY KEY, x float8 CHECK (x::text <> '0.1'),
                at timestamptz CHECK (at::text LIKE '%+00')
             );
             CREATE TABLE dated (dated_id uuid PRIMARY KEY, since timestamptz DEFAULT '2020-02-03 04:05:06+00', n int)",
        )
        .await;
        let mut client = superuser(&lab).await;
        run_sql(
            &mut client,
            "SET extra_float_digits = -15; SET TimeZone = 'Asia/Kathmandu'",
        )
        .await
        .unwrap();
        let insert = |data: Value| {
            format!(
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'day', '{data}')"
            )
        };
        for (accepted, refused) in [
            (json!({"x": 0.10000000000000002}), json!({"x": 0.1})),
            (json!({"at": "2020-02-03T04:05:06+03"}), json!({"at": "x"})),
        ] {
            for _ in 0..2 {
                run_sql(&mut client, &insert(accepted.clone()))
                    .await
                    .unwrap();
                run_sql(&mut client, &insert(refused.clone()))
                    .await
                    .unwrap_err();
            }
        }
        // Nor what a default is, for one event and for many.
        for many in [1, 6] {
            run_sql(
                &mut client,
                &format!("INSERT INTO sourcing.eventstore (event, type, data) SELECT 'create', 'dated', jsonb_build_object('n', i) FROM generate_series(1, {many}) AS i"),
            )
            .await
            .unwrap();
        }
        lab.append(vec![create("dated", id(1), json!({"n": 1}))])
            .await;
        lab.append(
            (2..=40)
                .map(|n| create("dated", id(n), json!({"n": 1})))
                .collect(),
        )
        .await;
        lab.assert_no_drift().await;
    });
}
