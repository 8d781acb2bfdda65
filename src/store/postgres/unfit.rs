//! Which values columns cannot hold, found by having the server read them as the columns' types.

use std::collections::BTreeMap;

use serde_json::Value;
use sqlx::AssertSqlSafe;
use sqlx::types::Json;
use uuid::Uuid;

use super::error::failed;
use super::reads::Reads;
use super::source::Source;
use crate::eventsourcing::schema::{Column, Table};
use crate::eventsourcing::{Result, timestamp};

/// The places of those that do not fit, ascending.
pub(super) async fn unfit(
    reads: &Reads,
    source: &Source,
    table: &Table,
    values: &[(String, Value)],
) -> Result<Vec<usize>> {
    let mut doubtful: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (place, (name, value)) in values.iter().enumerate() {
        if table
            .column(name)
            .is_some_and(|column| !surely_fits(column, value))
        {
            doubtful.entry(name).or_default().push(place);
        }
    }
    let mut found = Vec::new();
    for (column, places) in doubtful {
        let Some(reading) = reading(reads, source, table, column).await? else {
            continue;
        };
        // Where one of them makes the server fail, by halves.
        let mut rest = vec![places];
        while let Some(mut places) = rest.pop() {
            let given: Vec<&Value> = places.iter().map(|place| &values[*place].1).collect();
            let changed: sqlx::Result<Vec<i64>> = sqlx::query_scalar(AssertSqlSafe(&*reading))
                .bind(Json(given))
                .fetch_all(reads)
                .await;
            match changed {
                Ok(changed) => {
                    let at = changed.into_iter().map(|at| at.unsigned_abs() as usize - 1);
                    found.extend(at.filter_map(|at| places.get(at)));
                }
                Err(error) if !is_about_data(&error) => return Err(failed(error)),
                Err(_) if places.len() == 1 => found.extend(places),
                Err(_) => {
                    rest.push(places.split_off(places.len() / 2));
                    rest.push(places);
                }
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The query that reads values as the column's type and gives the places, from 1 on, of those that would not come back as they were. `None`
/// where there is no such column.
async fn reading(
    reads: &Reads,
    source: &Source,
    table: &Table,
    column: &str,
) -> Result<Option<String>> {
    let found: Option<(String, String, String, bool)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT format('%I %s', a.attname, format_type(a.atttypid, a.atttypmod)), {}, quote_literal(a.attname),
                a.atttypid = ANY (ARRAY['json', 'jsonb']::regtype[])
           FROM (SELECT ({}) AS relation) AS t JOIN pg_attribute a ON a.attrelid = t.relation
          WHERE a.attname = $2 AND NOT a.attisdropped AND a.attgenerated = ''",
        source.state_of, source.relation
    )))
    .bind(&table.name)
    .bind(column)
    .fetch_optional(reads)
    .await
    .map_err(failed)?;
    Ok(found.map(|(definition, state, name, is_json)| {
        format!(
            "SELECT h.at FROM (
                 SELECT g.at, g.value, {state} -> {name} AS held FROM jsonb_array_elements($1) WITH ORDINALITY AS g(value, at)
                  CROSS JOIN LATERAL jsonb_to_record(jsonb_build_object({name}, g.value)) AS t({definition})) AS h
              WHERE h.held IS DISTINCT FROM h.value
                AND ({is_json} OR jsonb_typeof(h.held) NOT IN ('number', 'string') OR jsonb_typeof(h.value) NOT IN ('number', 'string')
                     OR h.held #>> '{{}}' <> h.value #>> '{{}}')"
        )
    }))
}

/// What needs no asking. A domain has other names than these.
fn surely_fits(column: &Column, value: &Value) -> bool {
    match (column.type_name.as_str(), value) {
        (_, Value::Null)
        | ("json" | "jsonb", _)
        | ("boolean", Value::Bool(_))
        | ("text", Value::String(_)) => true,
        ("uuid", Value::String(text)) => {
            Uuid::parse_str(text).is_ok_and(|uuid| uuid.to_string() == *text)
        }
        ("timestamp without time zone", Value::String(text)) => {
            timestamp::parse(text).is_some_and(|moment| timestamp::column_text(moment) == *text)
        }
        // The smallest whole numbers that there are.
        ("smallint" | "integer" | "bigint", Value::Number(number)) => {
            number.as_i64().is_some_and(|n| i16::try_from(n).is_ok())
        }
        _ => false,
    }
}

/// Whether a value could not be read as the type that it should have, is none of its domain's, or names what is not there.
fn is_about_data(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| {
        const OTHERS: [&str; 6] = ["23514", "23502", "42P01", "42704", "42883", "3F000"];
        code.starts_with("22") || OTHERS.contains(&&*code)
    })
}
