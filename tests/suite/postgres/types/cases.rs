//! The columns and their values: those of `tests/data/types.txt`, and arrays made of them.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::support::Database;

const SETUP: &str = r#"
    CREATE TYPE colour AS ENUM ('red', 'deep blue', 'it''s "odd"');
    CREATE TYPE "Shade" AS ENUM ('Dark', 'dark');
    CREATE DOMAIN percent AS numeric(5, 2) CHECK (VALUE BETWEEN 0 AND 100);
    CREATE DOMAIN spectrum AS float8[] CHECK (cardinality(VALUE) < 1000);
    CREATE DOMAIN notes AS jsonb;
    CREATE TYPE complex AS (re float8, im float8);
    CREATE TYPE peak AS (at numeric, label text, colour colour);
    CREATE TYPE deep AS (peaks peak[], note jsonb);
"#;

const WITH_HSTORE: &str = "CREATE EXTENSION hstore; CREATE TYPE tagged AS (n int, tags hstore)";

/// A column of one type.
pub(super) struct Case {
    pub(super) name: String,
    pub(super) values: Vec<Given>,
}

/// The JSON that a client gives, and the SQL expression that means the same.
pub(super) struct Given {
    pub(super) json: Value,
    pub(super) sql: String,
}

impl Case {
    /// The SQL of the value that row `at` has after `turn` changes: each column takes each of its values.
    pub(super) fn value(&self, at: usize, turn: usize) -> &Given {
        &self.values[(at + turn) % self.values.len()]
    }

    /// What an update makes of the value before, as SQL: JSON objects are merged, everything else is replaced.
    pub(super) fn updated(&self, at: usize, turn: usize) -> String {
        let new = &self.value(at, turn).sql;
        if !["json", "jsonb", "notes"].contains(&self.name.as_str()) {
            return new.clone();
        }
        let old = format!("coalesce({}::jsonb, '{{}}')", self.value(at, turn - 1).sql);
        format!(
            "CASE WHEN jsonb_typeof({old}) = 'object' AND jsonb_typeof({new}::jsonb) = 'object'
                  THEN ({old} || {new}::jsonb)::text::{name} ELSE {new} END",
            name = self.name
        )
    }
}

/// Whether hstore can be tried on this server; says so when it cannot.
pub(super) async fn has_hstore(client: &mut PgConnection) -> bool {
    use std::io::Write as _;
    let found: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'hstore')",
    )
    .fetch_one(client)
    .await
    .unwrap();
    if !found {
        // Not by eprintln, which is not shown when the test passes.
        std::io::stderr()
            .write_all(
                b"hstore is not tried: this server does not have it (PostgreSQL's contrib)\n",
            )
            .unwrap();
    }
    found
}

/// Makes the types in this database, and the cases for them.
pub(super) async fn make(lab: &Database) -> Vec<Case> {
    let mut client = super::superuser(lab).await;
    let has_hstore = has_hstore(&mut client).await;
    lab.sql(SETUP).await.unwrap();
    if has_hstore {
        lab.sql(WITH_HSTORE).await.unwrap();
    }
    let mut cases = written();
    cases.retain(|case| has_hstore || !(case.name.starts_with("hstore") || case.name == "tagged"));
    let scalars = cases.extract_if(.., |case| !case.name.ends_with("[]"));
    let mut all: Vec<Case> = scalars.collect();
    let mut arrays = Vec::new();
    for scalar in &all {
        let mut array = array_of(&mut client, scalar).await;
        for more in cases.iter_mut().filter(|more| more.name == array.name) {
            array.values.append(&mut more.values);
        }
        arrays.push(array);
    }
    all.append(&mut arrays);
    for case in &mut all {
        case.values.push(Given {
            json: Value::Null,
            sql: format!("NULL::{}", case.name),
        });
    }
    all
}

/// Those of the file.
fn written() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in include_str!("../../../data/types.txt").lines() {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let Some(value) = line.strip_prefix("    ") else {
            cases.push(Case {
                name: line.to_owned(),
                values: Vec::new(),
            });
            continue;
        };
        let case = cases.last_mut().unwrap();
        let (json, sql) = value.split_once(" => ").expect(value);
        case.values.push(Given {
            json: serde_json::from_str(json).expect(json),
            sql: format!("({sql})::{}", case.name),
        });
    }
    cases
}

/// Arrays of a type's first two values: with a NULL, of two dimensions, empty, with a lower bound of its own.
async fn array_of(client: &mut PgConnection, of: &Case) -> Case {
    let name = format!("{}[]", of.name);
    let (a, b) = (&of.values[0], &of.values[1]);
    let null = || Value::Null;
    let list = |values: Vec<Value>| Some(Value::Array(values));
    let given = [
        (
            list(vec![a.json.clone(), null(), b.json.clone()]),
            format!("ARRAY[{}, NULL, {}]", a.sql, b.sql),
        ),
        (
            list(vec![
                Value::Array(vec![a.json.clone()]),
                Value::Array(vec![b.json.clone()]),
            ]),
            format!("ARRAY[ARRAY[{}], ARRAY[{}]]", a.sql, b.sql),
        ),
        (list(vec![]), "'{}'".to_owned()),
        (
            None,
            format!("'[0:1]=' || (ARRAY[{}, {}]::{name})::text", a.sql, b.sql),
        ),
    ];
    let mut values = Vec::new();
    for (json, sql) in given {
        let sql = format!("({sql})::{name}");
        // An array in an array is another dimension, and lower bounds are nothing that JSON has: the text tells these.
        let json = match json {
            Some(json) if !a.json.is_array() => json,
            _ => sqlx::query_scalar(AssertSqlSafe(format!("SELECT to_jsonb(({sql})::text)")))
                .fetch_one(&mut *client)
                .await
                .unwrap_or_else(|error| panic!("{sql}: {error}")),
        };
        values.push(Given { json, sql });
    }
    Case { name, values }
}
