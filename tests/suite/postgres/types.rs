//! Every type of PostgreSQL's keeps its exact value: created, updated, deleted, rolled back (§3).

use std::collections::BTreeMap;

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{EventKind, NewEvent, Row};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, Row as _};
use uuid::Uuid;

use super::superuser;
use crate::support::{Database, create, delete, id, run, update};

/// A column's type, and values for it: the JSON that a client gives, and the SQL that means the same.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const SETUP: &str = r#"
    CREATE SCHEMA "Lab 2";
    CREATE EXTENSION hstore;
    CREATE TYPE colour AS ENUM ('red', 'deep blue', 'it''s "odd"');
    CREATE DOMAIN percent AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);
    CREATE DOMAIN spectrum AS float8[] CHECK (cardinality(VALUE) < 1000);
    CREATE TYPE complex AS (re float8, im float8);
    CREATE TYPE peak AS (at numeric, label text, colour colour);
    CREATE TYPE deep AS (peaks peak[], note jsonb, tags hstore);
"#;

const CASES: &[Case] = &[
    (
        "int2",
        &[("-32768", "-32768"), ("\"7\"", "7"), ("null", "NULL")],
    ),
    ("int4", &[("2147483647", "2147483647"), ("-1", "-1")]),
    (
        "int8",
        &[
            ("9007199254740993", "9007199254740993"),
            ("-9223372036854775808", "-9223372036854775808"),
        ],
    ),
    (
        "numeric",
        &[
            ("1.10", "1.10"),
            ("\"NaN\"", "'NaN'"),
            (
                "123456789012345678901234567890123456789012345678901234567890.123456789012345678901234567890123456789012345678901234567890",
                "123456789012345678901234567890123456789012345678901234567890.123456789012345678901234567890123456789012345678901234567890",
            ),
            (
                "-0.00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
                "-0.00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000001",
            ),
            ("1e300", "1e300"),
        ],
    ),
    ("numeric(6, 2)", &[("12.345", "12.345"), ("\"0.1\"", "0.1")]),
    (
        "float4",
        &[
            ("0.1", "0.1"),
            ("\"-Infinity\"", "'-Infinity'"),
            ("\"-0\"", "'-0'"),
            ("1e-40", "'1e-40'"),
        ],
    ),
    (
        "float8",
        &[
            ("0.1", "0.1"),
            ("\"NaN\"", "'NaN'"),
            ("\"Infinity\"", "'Infinity'"),
            ("\"-0\"", "'-0'"),
            ("5e-324", "'5e-324'"),
            ("1.7976931348623157e308", "'1.7976931348623157e308'"),
        ],
    ),
    ("bool", &[("true", "true"), ("\"f\"", "false")]),
    (
        "text",
        &[
            ("\"\"", "''"),
            ("\"NULL\"", "'NULL'"),
            (
                "\"Ω\\u001b[31m\\t\\\\x00 'quoted' \\\"\"",
                "E'Ω\\x1b[31m\\t\\\\x00 ''quoted'' \"'",
            ),
            ("5", "'5'"),
        ],
    ),
    (
        "varchar(5)",
        &[("\"abcde\"", "'abcde'"), ("\"分子\"", "'分子'")],
    ),
    ("varchar", &[("\"unbounded\"", "'unbounded'")]),
    ("char(5)", &[("\"ab\"", "'ab'"), ("\"\"", "''")]),
    ("\"char\"", &[("\"x\"", "'x'")]),
    ("name", &[("\"a name\"", "'a name'")]),
    ("bytea", &[("\"\\\\x00ff\"", "'\\x00ff'"), ("\"\"", "''")]),
    (
        "uuid",
        &[(
            "\"C053009A-9B1D-44A7-8267-F5BEFDB03EB0\"",
            "'c053009a-9b1d-44a7-8267-f5befdb03eb0'",
        )],
    ),
    (
        "date",
        &[
            ("\"2020-02-17\"", "'2020-02-17'"),
            ("\"infinity\"", "'infinity'"),
            ("\"0044-03-15 BC\"", "'0044-03-15 BC'"),
        ],
    ),
    (
        "time",
        &[
            ("\"03:09:48.219183\"", "'03:09:48.219183'"),
            ("\"24:00\"", "'24:00'"),
        ],
    ),
    ("timetz", &[("\"03:09:48+02:30\"", "'03:09:48+02:30'")]),
    (
        "timestamp",
        &[
            (
                "\"2020-02-17T03:09:48.219183\"",
                "'2020-02-17 03:09:48.219183'",
            ),
            ("\"-infinity\"", "'-infinity'"),
            ("\"0044-03-15 12:00 BC\"", "'0044-03-15 12:00 BC'"),
        ],
    ),
    (
        "timestamp(3)",
        &[("\"2020-02-17T03:09:48.2195\"", "'2020-02-17 03:09:48.2195'")],
    ),
    (
        "timestamptz",
        &[
            (
                "\"2020-02-17T03:09:48.219183+05:30\"",
                "'2020-02-17 03:09:48.219183+05:30'",
            ),
            ("\"infinity\"", "'infinity'"),
        ],
    ),
    (
        "interval",
        &[
            (
                "\"1 year 2 mons -3 days 04:05:06.789\"",
                "'1 year 2 mons -3 days 04:05:06.789'",
            ),
            ("\"-00:00:01\"", "'-00:00:01'"),
        ],
    ),
    (
        "json",
        &[
            (
                "{\"b\": 1, \"a\": [1.0, null]}",
                "'{\"a\": [1.0, null], \"b\": 1}'",
            ),
            ("\"text\"", "'\"text\"'"),
        ],
    ),
    (
        "jsonb",
        &[
            (
                "{\"b\": 12345678901234567890.5, \"a\": [1.0, null]}",
                "'{\"b\": 12345678901234567890.5, \"a\": [1.0, null]}'",
            ),
            ("[]", "'[]'"),
            ("\"text\"", "'\"text\"'"),
            ("false", "'false'"),
        ],
    ),
    (
        "xml",
        &[
            (
                "\"<xdl><step n=\\\"1\\\">é</step></xdl>\"",
                "'<xdl><step n=\"1\">é</step></xdl>'",
            ),
            ("\"a <b/> fragment\"", "'a <b/> fragment'"),
        ],
    ),
    (
        "inet",
        &[("\"10.0.0.1/8\"", "'10.0.0.1/8'"), ("\"::1\"", "'::1'")],
    ),
    ("cidr", &[("\"10.0.0.0/8\"", "'10.0.0.0/8'")]),
    (
        "macaddr",
        &[("\"08:00:2b:01:02:03\"", "'08:00:2b:01:02:03'")],
    ),
    ("bit(3)", &[("\"101\"", "B'101'")]),
    ("varbit", &[("\"10101\"", "B'10101'")]),
    ("money", &[("\"$1,234.50\"", "'$1,234.50'")]),
    ("point", &[("\"(1.5,-0)\"", "'(1.5,-0)'")]),
    ("tsvector", &[("\"'a':1 'fat':2\"", "$$'a':1 'fat':2$$")]),
    ("oid", &[("4294967295", "4294967295")]),
    (
        "int4range",
        &[
            ("\"[1,5)\"", "'[1,5)'"),
            ("\"empty\"", "'empty'"),
            ("\"(,)\"", "'(,)'"),
        ],
    ),
    (
        "tstzrange",
        &[(
            "\"[2020-01-01 00:00:00+00,)\"",
            "'[2020-01-01 00:00:00+00,)'",
        )],
    ),
    ("numrange", &[("\"(0.1,0.10]\"", "'(0.1,0.10]'")]),
    (
        "colour",
        &[
            ("\"deep blue\"", "'deep blue'"),
            ("\"it's \\\"odd\\\"\"", "'it''s \"odd\"'"),
        ],
    ),
    ("percent", &[("99.999e-1", "9.9999"), ("100", "100")]),
    (
        "spectrum",
        &[("[0.1, \"NaN\"]", "'{0.1,NaN}'"), ("[]", "'{}'")],
    ),
    (
        "complex",
        &[
            ("{\"re\": 1.5, \"im\": null}", "ROW(1.5, NULL)"),
            ("\"(-0,1)\"", "ROW('-0', 1)"),
            ("{\"re\": null, \"im\": null}", "ROW(NULL, NULL)"),
        ],
    ),
    (
        "peak",
        &[(
            "{\"at\": 1.50, \"label\": \"a, \\\"b\\\"\", \"colour\": \"red\"}",
            "ROW(1.50, 'a, \"b\"', 'red')",
        )],
    ),
    (
        "deep",
        &[(
            "\"(\\\"{\\\"\\\"(1.5,a,red)\\\"\\\"}\\\",\\\"{\\\"\\\"k\\\"\\\": [1]}\\\",\\\"\\\"\\\"a\\\"\\\"=>NULL\\\")\"",
            "ROW(ARRAY[ROW(1.5, 'a', 'red')::peak], '{\"k\": [1]}', 'a=>NULL'::hstore)",
        )],
    ),
    (
        "hstore",
        &[("\"a=>1, b=>NULL\"", "'a=>1, b=>NULL'"), ("\"\"", "''")],
    ),
    (
        "int4[]",
        &[
            ("[1, null, 3]", "'{1,NULL,3}'"),
            ("[]", "'{}'"),
            ("[[1, 2], [3, 4]]", "'{{1,2},{3,4}}'"),
            ("\"[0:2]={1,2,3}\"", "'[0:2]={1,2,3}'"),
            ("[[[1], [2]]]", "'{{{1},{2}}}'"),
        ],
    ),
    ("int8[]", &[("[9007199254740993]", "'{9007199254740993}'")]),
    ("numeric[]", &[("[1.10, \"NaN\"]", "'{1.10,NaN}'")]),
    (
        "float8[]",
        &[
            (
                "[0.1, \"-0\", \"Infinity\", null]",
                "'{0.1,-0,Infinity,NULL}'",
            ),
            ("[[0.5], [\"NaN\"]]", "'{{0.5},{NaN}}'"),
            ("\"[2:3]={1,2}\"", "'[2:3]={1,2}'"),
        ],
    ),
    ("bool[]", &[("[true, null]", "'{t,NULL}'")]),
    (
        "text[]",
        &[
            (
                "[\"\", \"NULL\", null, \"a,b\", \"{}\", \"\\\\\"]",
                "ARRAY['', 'NULL', NULL, 'a,b', '{}', '\\']",
            ),
            ("[[\"a\"], [\"b\"]]", "ARRAY[['a'], ['b']]"),
        ],
    ),
    ("varchar(3)[]", &[("[\"abc\"]", "'{abc}'")]),
    ("bytea[]", &[("[\"\\\\x00ff\"]", "ARRAY['\\x00ff'::bytea]")]),
    (
        "uuid[]",
        &[(
            "[\"c053009a-9b1d-44a7-8267-f5befdb03eb0\"]",
            "'{c053009a-9b1d-44a7-8267-f5befdb03eb0}'",
        )],
    ),
    (
        "timestamptz[]",
        &[(
            "[\"2020-02-17T03:09:48+01:00\", \"infinity\"]",
            "'{2020-02-17 03:09:48+01:00,infinity}'",
        )],
    ),
    ("interval[]", &[("[\"1 mon\"]", "'{1 mon}'")]),
    ("inet[]", &[("[\"10.0.0.1\"]", "'{10.0.0.1}'")]),
    ("xml[]", &[("[\"<a/>\"]", "ARRAY['<a/>'::xml]")]),
    ("json[]", &[("[{\"a\": 1}]", "ARRAY['{\"a\": 1}'::json]")]),
    (
        "jsonb[]",
        &[
            ("[{\"a\": [1]}, null]", "ARRAY['{\"a\": [1]}'::jsonb, NULL]"),
            (
                "\"{\\\"[1, 2]\\\",\\\"null\\\"}\"",
                "ARRAY['[1, 2]'::jsonb, 'null'::jsonb]",
            ),
        ],
    ),
    (
        "colour[]",
        &[(
            "[\"red\", \"it's \\\"odd\\\"\"]",
            "ARRAY['red', 'it''s \"odd\"']::colour[]",
        )],
    ),
    ("percent[]", &[("[1, 2.5]", "'{1.00,2.50}'")]),
    (
        "complex[]",
        &[(
            "[{\"re\": 1, \"im\": 2}, null]",
            "ARRAY[ROW(1, 2)::complex, NULL]",
        )],
    ),
    (
        "int4range[]",
        &[("[\"[1,5)\"]", "ARRAY['[1,5)'::int4range]")],
    ),
    (
        "hstore[]",
        &[(
            "\"{\\\"\\\\\\\"a\\\\\\\"=>\\\\\\\"1\\\\\\\"\\\"}\"",
            "ARRAY['a=>1'::hstore]",
        )],
    ),
];

const TABLE: &str = r#""Lab 2"."A ""Thing"".x""#;
const TYPE: &str = r#"Lab 2.A "Thing".x"#;

fn column(at: usize) -> String {
    format!("Col \"{at}\" ё")
}

fn quoted(at: usize) -> String {
    format!("\"{}\"", column(at).replace('"', "\"\""))
}

fn rows() -> usize {
    CASES
        .iter()
        .map(|(_, values)| values.len())
        .max()
        .unwrap_or_default()
}

/// The values of row `at`, turned on by `turn`: every column takes each of its values.
fn data(at: usize, turn: usize) -> Value {
    let columns = CASES.iter().enumerate().map(|(column_at, (_, values))| {
        let (json, _) = values[(at + turn) % values.len()];
        let value = serde_json::from_str(json).unwrap_or_else(|error| panic!("{json}: {error}"));
        (column(column_at), value)
    });
    Value::Object(columns.collect::<Row>())
}

async fn thing(extra: &str) -> Database {
    let columns: Vec<String> = CASES
        .iter()
        .enumerate()
        .map(|(at, (name, _))| format!("{} {name}", quoted(at)))
        .collect();
    Database::with(
        Backend::Postgres,
        &format!(
            "{SETUP} CREATE TABLE {TABLE} (\"Thing id\" uuid PRIMARY KEY, {}{extra})",
            columns.join(", ")
        ),
    )
    .await
}

/// Each row's columns as the database writes them.
async fn texts(lab: &Database) -> BTreeMap<Uuid, Vec<Option<String>>> {
    let columns: Vec<String> = (0..CASES.len())
        .map(|at| format!("{}::text", quoted(at)))
        .collect();
    let mut client = superuser(lab).await;
    sqlx::query(AssertSqlSafe(format!(
        "SELECT \"Thing id\", ARRAY[{}] FROM {TABLE}",
        columns.join(", ")
    )))
    .fetch_all(&mut client)
    .await
    .unwrap()
    .iter()
    .map(|row| (row.get(0), row.get(1)))
    .collect()
}

/// What the database itself makes of the same values.
async fn wanted(lab: &Database, turn: usize) -> BTreeMap<Uuid, Vec<Option<String>>> {
    let mut client = superuser(lab).await;
    let mut wanted = BTreeMap::new();
    for at in 0..rows() {
        let values: Vec<String> = CASES
            .iter()
            .map(|(name, values)| {
                format!("(({})::{name})::text", values[(at + turn) % values.len()].1)
            })
            .collect();
        let row = sqlx::query(AssertSqlSafe(format!(
            "SELECT ARRAY[{}]",
            values.join(", ")
        )))
        .fetch_one(&mut client)
        .await
        .unwrap();
        wanted.insert(id(at as u128), row.get(0));
    }
    wanted
}

fn assert_same(
    found: &BTreeMap<Uuid, Vec<Option<String>>>,
    wanted: &BTreeMap<Uuid, Vec<Option<String>>>,
    when: &str,
) {
    assert_eq!(found.len(), wanted.len(), "{when}");
    for (uuid, columns) in wanted {
        for (at, value) in columns.iter().enumerate() {
            assert_eq!(&found[uuid][at], value, "{when}: {} of {uuid}", CASES[at].0);
        }
    }
}

async fn insert(lab: &Database, events: &[NewEvent]) {
    let mut client = superuser(lab).await;
    for event in events {
        sqlx::query(
            "INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ($1, $2, $3, $4)",
        )
        .bind(event.kind.as_str())
        .bind(&event.table)
        .bind(event.uuid)
        .bind(Json(&event.data))
        .execute(&mut client)
        .await
        .unwrap_or_else(|error| panic!("{event}: {error}"));
    }
}

async fn every_type_lives(by_insert: bool) {
    let lab = thing("").await;
    let all: Vec<u128> = (0..rows() as u128).collect();
    let give = |events: Vec<NewEvent>| {
        let lab = &lab;
        async move {
            if by_insert {
                insert(lab, &events).await;
            } else {
                lab.append(events).await;
            }
        }
    };
    give(
        all.iter()
            .map(|at| create(TYPE, id(*at), data(*at as usize, 0)))
            .collect(),
    )
    .await;
    let first = wanted(&lab, 0).await;
    assert_same(&texts(&lab).await, &first, "created");
    give(
        all.iter()
            .map(|at| update(TYPE, id(*at), data(*at as usize, 1)))
            .collect(),
    )
    .await;
    let second = wanted(&lab, 1).await;
    // An update merges what is given for JSON columns: only the values that replace can be compared like this.
    let merged = texts(&lab).await;
    for (uuid, columns) in &second {
        for (at, value) in columns
            .iter()
            .enumerate()
            .filter(|(at, _)| !CASES[*at].0.starts_with("json") || CASES[*at].0.ends_with("[]"))
        {
            assert_eq!(
                &merged[uuid][at], value,
                "updated: {} of {uuid}",
                CASES[at].0
            );
        }
    }
    lab.assert_no_drift().await;
    give(all.iter().map(|at| delete(TYPE, id(*at))).collect()).await;
    assert_eq!(texts(&lab).await.len(), 0);

    let count = all.len() as i64;
    for strategy in [Strategy::Minimal, Strategy::Replay] {
        for (keep, then, when) in [
            (2 * count, &merged, "updates kept"),
            (count, &first, "creates kept"),
        ] {
            let outcome = lab
                .roll_back(RollbackTarget::AfterEvent(keep), strategy)
                .await
                .unwrap();
            assert_eq!(outcome.keeps_through, keep);
            assert_same(&texts(&lab).await, then, &format!("{when}, by {strategy}"));
            lab.assert_no_drift().await;
            lab.undo(false).await.unwrap();
            assert_eq!(texts(&lab).await.len(), 0, "undone");
        }
    }
}

#[test]
fn every_type_keeps_its_exact_value() {
    run(every_type_lives(false));
}

#[test]
fn every_type_keeps_its_exact_value_by_plain_inserts() {
    // Each row in a transaction of its own, so that a position lies between any two.
    run(every_type_lives(true));
}

#[test]
fn what_the_database_itself_fills_in_comes_back_as_it_was() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE SEQUENCE numbers;
             CREATE TABLE thing (
                thing_id uuid PRIMARY KEY,
                always bigint GENERATED ALWAYS AS IDENTITY,
                normally bigint GENERATED BY DEFAULT AS IDENTITY,
                serial serial,
                doubled bigint GENERATED ALWAYS AS (serial * 2) STORED,
                token uuid DEFAULT gen_random_uuid(),
                made timestamptz DEFAULT clock_timestamp(),
                dice float8 DEFAULT random(),
                listed text[] DEFAULT '[5:6]={a,b}',
                name text)",
        )
        .await;
        lab.append(
            (1..6)
                .map(|at| create("thing", id(at), serde_json::json!({"name": at})))
                .collect(),
        )
        .await;
        lab.append(vec![create(
            "thing",
            id(9),
            serde_json::json!({"always": 77, "normally": 78, "serial": 79}),
        )])
        .await;
        let mut client = superuser(&lab).await;
        let text = "SELECT array_agg(t::text ORDER BY thing_id) FROM thing t";
        let before: Vec<String> = sqlx::query_scalar(text)
            .fetch_one(&mut client)
            .await
            .unwrap();
        assert!(before[5].contains(",77,78,79,158,"), "{}", before[5]);
        lab.append(
            (1..6)
                .map(|at| {
                    update(
                        "thing",
                        id(at),
                        serde_json::json!({"token": null, "dice": at}),
                    )
                })
                .collect(),
        )
        .await;
        lab.append((1..6).map(|at| delete("thing", id(at))).collect())
            .await;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.roll_back(RollbackTarget::AfterEvent(6), strategy)
                .await
                .unwrap();
            let after: Vec<String> = sqlx::query_scalar(text)
                .fetch_one(&mut client)
                .await
                .unwrap();
            assert_eq!(after, before, "by {strategy}");
            lab.undo(false).await.unwrap();
        }
        lab.assert_no_drift().await;
    });
}

#[test]
fn what_a_column_cannot_take_is_refused_and_named() {
    run(async {
        let lab = thing(", \"grade\" varchar(2) NOT NULL DEFAULT 'A'").await;
        let refused: &[(&str, &str)] = &[
            ("int2", "32768"),
            ("int4", "1.5"),
            ("int8", "9223372036854775808"),
            ("numeric(6, 2)", "10000"),
            ("float4", "1000000000000000000000000000000000000000"),
            ("bool", "\"maybe\""),
            ("varchar(5)", "\"abcdef\""),
            ("varchar(3)[]", "[\"abcd\"]"),
            ("char(5)", "\"abcdef\""),
            ("bytea", "\"\\\\x0\""),
            ("uuid", "\"me\""),
            ("timestamp", "\"yesterday at noon-ish\""),
            ("xml", "\"<a>\""),
            ("inet", "\"10.0.0.999\""),
            ("int4[]", "[1, [2]]"),
            ("int4[]", "[\"a\"]"),
            ("colour", "\"green\""),
            ("percent", "101"),
            ("int4range", "\"[5,1]\""),
            ("peak", "{\"at\": \"x\"}"),
        ];
        let mut client = superuser(&lab).await;
        for (name, json) in refused {
            let at = CASES.iter().position(|(known, _)| known == name).unwrap();
            let given: Value = serde_json::from_str(json).unwrap();
            let event = create(TYPE, id(99), serde_json::json!({ column(at): given }));
            let error = lab.refused(vec![event.clone()]).await;
            assert_eq!(
                error.code.as_str(),
                "bad-value",
                "{name} {json}: {}",
                error.message
            );
            for part in [
                TYPE,
                &column(at),
                &given.to_string(),
                EventKind::Create.as_str(),
            ] {
                // PostgreSQL writes JSON with spaces.
                assert!(
                    error
                        .message
                        .replace(' ', "")
                        .contains(&part.replace(' ', "")),
                    "{name} {json}: {part} is missing in {}",
                    error.message
                );
            }
            let error = sqlx::query(
                "INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', $1, $2)",
            )
            .bind(TYPE)
            .bind(Json(&event.data))
            .execute(&mut client)
            .await
            .expect_err(json);
            let said = error.as_database_error().unwrap();
            assert_eq!(said.code().unwrap(), "EB004", "{name} {json}: {said}");
        }
        lab.assert_no_drift().await;
    });
}

#[test]
fn columns_may_come_and_go_between_events() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TABLE thing (thing_id uuid PRIMARY KEY, a text, b text, c int)",
        )
        .await;
        let json = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        lab.append(vec![create("thing", id(1), json(r#"{"a": "1", "c": 5}"#))])
            .await;
        lab.sql("ALTER TABLE thing DROP COLUMN b; ALTER TABLE thing ADD COLUMN \"new one\" jsonb; ALTER TABLE thing ADD COLUMN d varchar(3)").await.unwrap();
        lab.append(vec![
            update("thing", id(1), json(r#"{"new one": {"k": 1}, "d": "abc"}"#)),
            create("thing", id(2), json(r#"{"a": "2", "d": "x"}"#)),
        ])
        .await;
        let before = lab.rows().await;
        lab.append(vec![
            delete("thing", id(1)),
            update("thing", id(2), json(r#"{"a": null}"#)),
        ])
        .await;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.roll_back(RollbackTarget::AfterEvent(3), strategy)
                .await
                .unwrap();
            assert_eq!(lab.rows().await, before, "by {strategy}");
            lab.assert_no_drift().await;
            lab.undo(false).await.unwrap();
        }
        // Within one transaction too, where what the first event has seen of the table would still be at hand.
        let mut client = superuser(&lab).await;
        super::run_sql(
            &mut client,
            r#"BEGIN;
               INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('create', 'thing', '10000000-0000-4000-8000-000000000003', '{"a": "3"}');
               ALTER TABLE thing RENAME COLUMN a TO renamed;
               ALTER TABLE thing ADD COLUMN e int DEFAULT 7;
               ALTER TABLE thing DROP COLUMN c;
               INSERT INTO sourcing.eventstore (event, type, uuid, data) VALUES ('create', 'thing', '10000000-0000-4000-8000-000000000004', '{"renamed": "4"}');
               COMMIT"#,
        )
        .await
        .unwrap();
        let row = lab.row("thing", id(4)).await.unwrap();
        assert_eq!(
            (&row["renamed"], &row["e"]),
            (&Value::from("4"), &Value::from(7))
        );
        let (state, message) = super::refusal(
            &mut client,
            r#"INSERT INTO sourcing.eventstore (event, type, data) VALUES ('create', 'thing', '{"a": "5"}')"#,
        )
        .await;
        assert_eq!(state, "EB003", "{message}");
    });
}

#[test]
fn composite_values_with_nulls_in_them_come_back_whole() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE EXTENSION hstore;
             CREATE TYPE deep AS (n int, tags hstore, places int[]);
             CREATE TYPE noted AS (n int, note jsonb);
             CREATE TABLE thing (thing_id uuid PRIMARY KEY, d deep, n noted, many noted[])",
        )
        .await;
        let whole = [
            Some(r#"(,"""a""=>NULL","[0:1]={1,2}")"#.to_owned()),
            Some("(1,null)".to_owned()),
            Some(r#"{"(,null)","(2,)"}"#.to_owned()),
        ];
        let text = async || {
            sqlx::query_scalar::<_, Vec<Option<String>>>(
                "SELECT ARRAY[d::text, n::text, many::text] FROM thing",
            )
            .fetch_one(&mut superuser(&lab).await)
            .await
            .unwrap()
        };
        lab.append(vec![create(
            "thing",
            id(1),
            serde_json::json!({"d": whole[0], "n": whole[1], "many": whole[2]}),
        )])
        .await;
        assert_eq!(text().await, whole);
        lab.append(vec![delete("thing", id(1))]).await;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.roll_back(RollbackTarget::BeforeEvent(2), strategy)
                .await
                .unwrap();
            assert_eq!(text().await, whole, "by {strategy}");
            lab.assert_no_drift().await;
            lab.undo(false).await.unwrap();
        }
    });
}
