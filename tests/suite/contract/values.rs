//! Values keep their exact meaning both ways (§3).

use ebbtide::eventsourcing::rollback::{RollbackTarget, Strategy};
use ebbtide::eventsourcing::store::Backend;
use ebbtide::eventsourcing::{ErrorCode, value};
use serde_json::{Value, json};

use crate::support::{Database, create, delete, id, run, update};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Each value given comes back as it should, also after a rollback.
async fn kept(lab: &Database, cases: &[(&str, &str, &str)]) {
    for (at, (column, given, held)) in cases.iter().enumerate() {
        let uuid = id(at as u128 + 1);
        let (given, held) = (parsed(given), parsed(held));
        lab.append(vec![create("thing", uuid, json!({*column: given}))])
            .await;
        let stored = lab.row("thing", uuid).await.unwrap()[*column].clone();
        assert!(
            value::same(&stored, &held),
            "{column}: {given} became {stored}"
        );
        lab.append(vec![update("thing", uuid, json!({*column: null}))])
            .await;
        lab.append(vec![delete("thing", uuid)]).await;
        let back = lab.store.head().await.unwrap() - 1;
        for strategy in [Strategy::Minimal, Strategy::Replay] {
            lab.roll_back(RollbackTarget::BeforeEvent(back), strategy)
                .await
                .unwrap();
            let stored = lab.row("thing", uuid).await.unwrap()[*column].clone();
            assert!(
                value::same(&stored, &held),
                "{column} by {strategy}: {given} became {stored}"
            );
            lab.undo(false).await.unwrap();
        }
    }
    lab.assert_no_drift().await;
}

#[test]
fn sqlite_keeps_what_its_types_can_hold() {
    run(async {
        let lab = Database::with(
            Backend::Sqlite,
            "CREATE TABLE thing (thing_id TEXT PRIMARY KEY NOT NULL, i BIGINT, r REAL, n NUMERIC, t TEXT, b BLOB, f BOOLEAN, j JSON, ts TIMESTAMP, tz TIMESTAMPTZ, u UUID)",
        )
        .await;
        kept(
            &lab,
            &[
                ("i", "9007199254740993", "9007199254740993"),
                ("i", "-9223372036854775808", "-9223372036854775808"),
                ("i", "\"12\"", "12"),
                ("r", "0.1", "0.1"),
                ("r", "1e300", "1e300"),
                ("r", "\"NaN\"", "\"NaN\""),
                ("n", "12.50", "12.5"),
                ("t", "\"Ω ∆ 分子 \\u001b[31m\"", "\"Ω ∆ 分子 \\u001b[31m\""),
                ("t", "5", "\"5\""),
                ("t", "\"\"", "\"\""),
                ("b", "\"\\\\x00ff10\"", "\"\\\\x00ff10\""),
                ("f", "true", "true"),
                ("f", "false", "false"),
                (
                    "j",
                    "{\"a\": [1.0, null, {\"b\": 12345678901234567890.5}]}",
                    "{\"a\": [1.0, null, {\"b\": 12345678901234567890.5}]}",
                ),
                ("j", "\"text\"", "\"text\""),
                ("j", "[]", "[]"),
                (
                    "ts",
                    "\"2020-02-17T04:09:59.5+01:00\"",
                    "\"2020-02-17T03:09:59.5\"",
                ),
                (
                    "tz",
                    "\"2020-02-17 03:09\"",
                    "\"2020-02-17T03:09:00+00:00\"",
                ),
                (
                    "u",
                    "\"C053009A-9B1D-44A7-8267-F5BEFDB03EB0\"",
                    "\"c053009a-9b1d-44a7-8267-f5befdb03eb0\"",
                ),
            ],
        )
        .await;
        for (column, given) in [
            ("i", "9223372036854775808"),
            ("n", "0.1234567890123456789012345678901234567890"),
            ("r", "9007199254740993"),
            ("f", "2"),
            ("ts", "\"yesterday\""),
            ("u", "\"me\""),
            ("b", "\"00\""),
        ] {
            let new = create("thing", id(99), json!({column: parsed(given)}));
            let error = lab.refused(vec![new]).await;
            assert_eq!(
                error.code,
                ErrorCode::BadValue,
                "{column} {given}: {}",
                error.message
            );
        }
    });
}

#[test]
fn postgres_keeps_every_type() {
    run(async {
        let lab = Database::with(
            Backend::Postgres,
            "CREATE TYPE colour AS ENUM ('red', 'deep blue');
             CREATE TYPE place AS (x integer, label text);
             CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
             CREATE TABLE thing (thing_id uuid PRIMARY KEY, i2 smallint, i8 bigint, num numeric, f4 real, f8 float8, b boolean, t text,
                v3 varchar(3), v varchar, c5 char(5), by bytea, u uuid, d date, ti time, ts timestamp, tz timestamptz, iv interval,
                j json, jb jsonb, x xml, ip inet, ai integer[], at text[], af float8[], au uuid[], e colour, p place, dom positive,
                r int4range, \"odd name\" text, t2 text GENERATED ALWAYS AS (upper(t)) STORED, n integer GENERATED ALWAYS AS IDENTITY)",
        )
        .await;
        let digits = format!("{}.{}", "1234567890".repeat(20), "0987654321".repeat(20));
        kept(
            &lab,
            &[
                ("i2", "-32768", "-32768"),
                ("i8", "9007199254740993", "9007199254740993"),
                ("num", &digits, &digits),
                ("num", "\"NaN\"", "\"NaN\""),
                ("f4", "0.1", "0.1"),
                ("f8", "0.1", "0.1"),
                ("f8", "\"-Infinity\"", "\"-Infinity\""),
                ("b", "true", "true"),
                ("t", "\"Ω\\n\\u001b\"", "\"Ω\\n\\u001b\""),
                ("v3", "\"abc\"", "\"abc\""),
                (
                    "v",
                    "\"as long as it wants to be\"",
                    "\"as long as it wants to be\"",
                ),
                ("c5", "\"ab\"", "\"ab   \""),
                ("by", "\"\\\\x00ff\"", "\"\\\\x00ff\""),
                ("d", "\"2020-02-17\"", "\"2020-02-17\""),
                ("ti", "\"03:09:59.145749\"", "\"03:09:59.145749\""),
                (
                    "ts",
                    "\"2020-02-17T03:09:59.145749\"",
                    "\"2020-02-17T03:09:59.145749\"",
                ),
                ("ts", "\"infinity\"", "\"infinity\""),
                (
                    "tz",
                    "\"2020-02-17T04:09:59+01:00\"",
                    "\"2020-02-17T03:09:59+00:00\"",
                ),
                ("iv", "\"1 day 02:03:04\"", "\"1 day 02:03:04\""),
                ("j", "{\"a\": [1, null]}", "{\"a\": [1, null]}"),
                ("jb", "{\"a\": 1.50}", "{\"a\": 1.5}"),
                ("x", "\"<a>b</a>\"", "\"<a>b</a>\""),
                ("ip", "\"10.0.0.1/8\"", "\"10.0.0.1/8\""),
                ("ai", "[[1, 2], [3, null]]", "[[1, 2], [3, null]]"),
                ("ai", "[]", "[]"),
                (
                    "at",
                    "[\"a,b\", \"\\\"\", null, \"NULL\"]",
                    "[\"a,b\", \"\\\"\", null, \"NULL\"]",
                ),
                ("af", "[0.0, 1.5, \"NaN\"]", "[0.0, 1.5, \"NaN\"]"),
                (
                    "au",
                    "[\"c053009a-9b1d-44a7-8267-f5befdb03eb0\"]",
                    "[\"c053009a-9b1d-44a7-8267-f5befdb03eb0\"]",
                ),
                ("e", "\"deep blue\"", "\"deep blue\""),
                (
                    "p",
                    "{\"x\": 1, \"label\": \"a b\"}",
                    "{\"x\": 1, \"label\": \"a b\"}",
                ),
                ("dom", "3", "3"),
                ("r", "\"[1,5)\"", "\"[1,5)\""),
                ("odd name", "\"v\"", "\"v\""),
            ],
        )
        .await;
        for (column, given) in [
            ("i2", "32768"),
            ("dom", "-1"),
            ("e", "\"green\""),
            ("x", "\"<a>\""),
            ("v3", "\"abcd\""),
            ("t2", "\"T\""),
        ] {
            let error = lab
                .refused(vec![create(
                    "thing",
                    id(99),
                    json!({column: parsed(given)}),
                )])
                .await;
            assert_eq!(
                error.code,
                ErrorCode::BadValue,
                "{column} {given}: {}",
                error.message
            );
            assert!(error.message.contains(column), "{}", error.message);
        }
    });
}
