//! Between JSON and what SQLite stores, by the column's declared type.

use std::collections::HashMap;

use serde_json::{Number, Value};
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Row as _, SqliteConnection};
use uuid::Uuid;

use super::error::failed;
use super::schema::quoted;
use crate::eventsourcing::schema::{Column, ColumnKind, Table};
use crate::eventsourcing::store::{LeftOut, VALUE_BEGINNING, VALUE_LIMIT};
use crate::eventsourcing::timeline::Detail;
use crate::eventsourcing::timestamp::{self, Timestamp};
use crate::eventsourcing::{Error, Result, Row, value};

/// A value as SQLite stores it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stored {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Stored {
    /// Adds the value to a statement.
    pub(super) fn bind<'q>(
        self,
        query: Query<'q, Sqlite, SqliteArguments>,
    ) -> Query<'q, Sqlite, SqliteArguments> {
        match self {
            Self::Null => query.bind(None::<i64>),
            Self::Integer(integer) => query.bind(integer),
            Self::Real(real) => query.bind(real),
            Self::Text(text) => query.bind(text),
            Self::Blob(bytes) => query.bind(bytes),
        }
    }
}

/// What is stored for a value. `None` when the column cannot take it, or would not give it back.
pub(super) fn encode(kind: ColumnKind, given: &Value) -> Option<Stored> {
    match (kind, given) {
        (_, Value::Null) => Some(Stored::Null),
        (ColumnKind::Json, Value::Number(number)) => {
            // SQLite stores the text of a bare number as a number, whatever it may lose.
            encode_number(number)?;
            Some(Stored::Text(given.to_string()))
        }
        (ColumnKind::Json, _) => Some(Stored::Text(given.to_string())),
        (ColumnKind::Text, Value::String(text)) => Some(Stored::Text(text.clone())),
        (ColumnKind::Text, _) => Some(Stored::Text(given.to_string())),
        (ColumnKind::Boolean, Value::Bool(flag)) => Some(Stored::Integer(i64::from(*flag))),
        (ColumnKind::Boolean, Value::Number(number)) => match number.as_i64()? {
            flag @ (0 | 1) => Some(Stored::Integer(flag)),
            _ => None,
        },
        (ColumnKind::Integer, Value::Number(number)) => {
            number.as_str().parse().ok().map(Stored::Integer)
        }
        (ColumnKind::Real, Value::Number(number)) => encode_real(number),
        (ColumnKind::Numeric | ColumnKind::Other, Value::Number(number)) => encode_number(number),
        (_, Value::String(text)) => encode_text(kind, text),
        _ => None,
    }
}

/// What is stored for a value of this column: [`encode`], but SQLite makes a number of text that looks like one, `007`
/// included, in a column whose declared type it knows nothing of, such as STRING.
pub(super) fn encode_for(column: &Column, given: &Value) -> Option<Stored> {
    let stored = encode(column.kind, given)?;
    let is_changed = column.kind == ColumnKind::Other
        && !column.type_name.is_empty()
        && matches!(&stored, Stored::Text(text) if looks_like_a_number(text));
    (!is_changed).then_some(stored)
}

/// Whether SQLite's NUMERIC affinity takes the text for a number.
fn looks_like_a_number(text: &str) -> bool {
    let text = text.trim_matches(|c| matches!(c, ' ' | '\t'..='\r'));
    text.parse::<f64>().is_ok() && text.contains(|c: char| c.is_ascii_digit())
}

/// A number that a NUMERIC column gives back as it was.
fn encode_number(number: &Number) -> Option<Stored> {
    match number.as_str().parse() {
        Ok(integer) => Some(Stored::Integer(integer)),
        Err(_) => encode_real(number),
    }
}

/// A number that a REAL column gives back as it was.
fn encode_real(number: &Number) -> Option<Stored> {
    let real: f64 = number.as_str().parse().ok()?;
    let back = Value::Number(Number::from_f64(real)?);
    value::same(&back, &Value::Number(number.clone())).then_some(Stored::Real(real))
}

/// Text given for a column that does not hold text.
fn encode_text(kind: ColumnKind, text: &str) -> Option<Stored> {
    match kind {
        ColumnKind::Uuid => Some(Stored::Text(Uuid::parse_str(text).ok()?.to_string())),
        ColumnKind::Timestamp | ColumnKind::TimestampTz => {
            Some(Stored::Text(moment_text(kind, timestamp::parse(text)?)))
        }
        ColumnKind::Boolean => match text {
            "true" => Some(Stored::Integer(1)),
            "false" => Some(Stored::Integer(0)),
            _ => None,
        },
        ColumnKind::Bytes => from_hex(text.strip_prefix("\\x")?).map(Stored::Blob),
        ColumnKind::Integer => text.parse().ok().map(Stored::Integer),
        ColumnKind::Real | ColumnKind::Numeric => match text {
            "NaN" | "Infinity" | "-Infinity" => Some(Stored::Text(text.to_owned())),
            _ => match serde_json::from_str(text).ok()? {
                number @ Value::Number(_) => encode(kind, &number),
                _ => None,
            },
        },
        ColumnKind::Json | ColumnKind::Text | ColumnKind::Array | ColumnKind::Other => {
            Some(Stored::Text(text.to_owned()))
        }
    }
}

/// How a moment is stored, in a column without and with zone.
fn moment_text(kind: ColumnKind, moment: Timestamp) -> String {
    let text = timestamp::column_text(moment);
    match kind {
        ColumnKind::TimestampTz => text + ZONE,
        _ => text,
    }
}

const ZONE: &str = "+00:00";

/// A moment that others have stored in their own way, as SQLite's `datetime` does, as it would be stored here: what was put back by a
/// rollback has the same value. None for what is no moment, or has more digits than are kept.
fn normal_moment(kind: ColumnKind, text: &str) -> Option<String> {
    let fraction = text.split_once('.').map_or("", |(_, after)| after);
    let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
    let plain = match kind {
        ColumnKind::TimestampTz => text.strip_suffix(ZONE),
        _ => Some(text),
    };
    let is_normal = |text: &str| {
        text.as_bytes().get(10) == Some(&b'T')
            && (text.len() == 19 || text.len() == 20 + digits && !text.ends_with('0'))
    };
    if digits > 6 || plain.is_some_and(is_normal) {
        return None;
    }
    timestamp::parse(text).map(|moment| moment_text(kind, moment))
}

/// The value that is stored.
pub(super) fn decode(kind: ColumnKind, stored: Stored) -> Value {
    match stored {
        Stored::Null => Value::Null,
        Stored::Integer(flag @ (0 | 1)) if kind == ColumnKind::Boolean => Value::Bool(flag == 1),
        Stored::Integer(integer) => integer.into(),
        Stored::Real(real) => match Number::from_f64(real) {
            Some(number) => Value::Number(number),
            None if real > 0.0 => "Infinity".into(),
            None => "-Infinity".into(),
        },
        Stored::Text(text) if kind == ColumnKind::Json => {
            // Text that is no JSON, written behind the log's back, is still shown.
            serde_json::from_str(&text).unwrap_or(Value::String(text))
        }
        Stored::Text(text) if matches!(kind, ColumnKind::Timestamp | ColumnKind::TimestampTz) => {
            normal_moment(kind, &text).unwrap_or(text).into()
        }
        Stored::Text(text) => text.into(),
        Stored::Blob(bytes) => {
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("\\x{hex}").into()
        }
    }
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    // Digits only: from_str_radix would take a sign.
    if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) || !hex.len().is_multiple_of(2) {
        return None;
    }
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).ok())
        .collect()
}

/// The expressions that [`row`] reads: each column's storage class and the column. A summary's are followed by the size of each column's value
/// where it is left out.
pub(super) fn selected(table: &Table, detail: Detail) -> String {
    let names = table
        .columns
        .iter()
        .map(|column| (column, quoted(&column.name)));
    let (mut values, mut sizes) = (Vec::new(), Vec::new());
    for (column, name) in names {
        match detail {
            Detail::Whole => values.push(format!("typeof(t.{name}), t.{name}")),
            Detail::Summary => {
                let is_long = format!("octet_length(t.{name}) > {VALUE_LIMIT}");
                // The beginning of JSON is no JSON, and nobody reads that of bytes.
                let beginning = match column.kind {
                    ColumnKind::Json => "NULL".to_owned(),
                    _ => format!(
                        "CASE typeof(t.{name}) WHEN 'text' THEN substr(t.{name}, 1, {VALUE_BEGINNING}) END"
                    ),
                };
                let value = format!("CASE WHEN {is_long} THEN {beginning} ELSE t.{name} END");
                values.push(format!("typeof({value}), {value}"));
                sizes.push(format!(
                    "CASE WHEN {is_long} THEN octet_length(t.{name}) END"
                ));
            }
        }
    }
    values.append(&mut sizes);
    values.join(", ")
}

/// What the expressions of [`selected`], which begin at `first`, left out.
pub(super) fn left_out(
    table: &Table,
    detail: Detail,
    found: &SqliteRow,
    first: usize,
) -> Result<LeftOut> {
    let mut left_out = LeftOut::new();
    if detail == Detail::Summary {
        let sizes = first + 2 * table.columns.len();
        for (at, column) in table.columns.iter().enumerate() {
            let size: Option<i64> = found.try_get(sizes + at).map_err(failed)?;
            left_out.extend(size.map(|size| (column.name.clone(), size.unsigned_abs())));
        }
    }
    Ok(left_out)
}

/// The row that the expressions of [`selected`] gave, which begin at `first`.
pub(super) fn row(table: &Table, found: &SqliteRow, first: usize) -> Result<Row> {
    let read = |at: usize, column: &Column| -> sqlx::Result<Value> {
        let class: String = found.try_get(at)?;
        let stored = match class.as_str() {
            "null" => Stored::Null,
            "integer" => Stored::Integer(found.try_get_unchecked(at + 1)?),
            "real" => Stored::Real(found.try_get_unchecked(at + 1)?),
            "text" => Stored::Text(found.try_get_unchecked(at + 1)?),
            _ => Stored::Blob(found.try_get_unchecked(at + 1)?),
        };
        Ok(decode(column.kind, stored))
    };
    let mut row = Row::new();
    for (at, column) in table.columns.iter().enumerate() {
        let value =
            read(first + 2 * at, column).map_err(|error| unreadable(table, column, &row, error))?;
        row.insert(column.name.clone(), value);
    }
    Ok(row)
}

/// A value that is no text although SQLite calls it text: which one it is, so that it can be mended.
fn unreadable(table: &Table, column: &Column, before: &Row, error: sqlx::Error) -> Error {
    let key = table.key().and_then(|key| before.get(key));
    let of = key.map_or_else(String::new, |key| format!(" of the row {key}"));
    let mut error = failed(error);
    error.message = format!(
        "the column {} of {table} holds text that is not UTF-8{of}: it cannot be read",
        column.name
    );
    error.hint("another program wrote it; correct that value with SQLite's own shell")
}

/// One row of a table that takes part, as it is now.
pub(super) async fn stored(
    connection: &mut SqliteConnection,
    table: &Table,
    uuid: Uuid,
) -> Result<Option<Row>> {
    let Some(key) = table.key() else {
        return Ok(None);
    };
    let found = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {} FROM {} t WHERE t.{} = ?",
        selected(table, Detail::Whole),
        quoted(&table.name),
        quoted(key)
    )))
    .bind(uuid.to_string())
    .fetch_optional(connection)
    .await
    .map_err(failed)?;
    found.map(|found| row(table, &found, 0)).transpose()
}

/// These rows of a table, as far as they are there, as they are now.
pub(super) async fn stored_rows(
    connection: &mut SqliteConnection,
    table: &Table,
    rows: &[Uuid],
) -> Result<HashMap<Uuid, Row>> {
    let Some(key) = table.key() else {
        return Ok(HashMap::new());
    };
    let texts: Vec<String> = rows.iter().map(Uuid::to_string).collect();
    let found = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT w.key, {} FROM json_each(?) AS w CROSS JOIN {} t ON t.{} = w.value",
        selected(table, Detail::Whole),
        quoted(&table.name),
        quoted(key)
    )))
    .bind(serde_json::json!(texts).to_string())
    .fetch_all(connection)
    .await
    .map_err(failed)?;
    let mut stored = HashMap::with_capacity(found.len());
    for found in &found {
        let at: i64 = found.try_get(0).map_err(failed)?;
        if let Some(uuid) = usize::try_from(at).ok().and_then(|at| rows.get(at)) {
            stored.insert(*uuid, row(table, found, 1)?);
        }
    }
    Ok(stored)
}

/// The value of a column's default, where that is a constant.
pub(super) fn constant(column: &Column, default: &str) -> Option<Value> {
    let given = match default
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        Some(text) => {
            let text = text.replace("''", "'");
            match column.kind {
                ColumnKind::Json => serde_json::from_str(&text).ok()?,
                _ => Value::String(text),
            }
        }
        None if default.eq_ignore_ascii_case("true") => Value::Bool(true),
        None if default.eq_ignore_ascii_case("false") => Value::Bool(false),
        None => match serde_json::from_str(default).ok()? {
            number @ Value::Number(_) => number,
            _ => return None,
        },
    };
    Some(decode(column.kind, encode_for(column, &given)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Value {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_stored_reads_back_the_same() {
        for (kind, text) in [
            (ColumnKind::Integer, "9007199254740993"),
            (ColumnKind::Integer, "-9223372036854775808"),
            (ColumnKind::Numeric, "0.1"),
            (ColumnKind::Real, "1e300"),
            (ColumnKind::Real, "\"NaN\""),
            (ColumnKind::Boolean, "true"),
            (ColumnKind::Text, "\"\\n Ω\""),
            (ColumnKind::Bytes, "\"\\\\x00ff\""),
            (ColumnKind::Json, "{\"a\": [1, null, {\"b\": 0.1}]}"),
            (ColumnKind::Timestamp, "\"2020-02-17T03:09:48.5\""),
        ] {
            let given = json(text);
            let stored = encode(kind, &given).unwrap_or_else(|| panic!("{text} is taken"));
            assert!(value::same(&decode(kind, stored), &given), "{text}");
        }
    }

    #[test]
    fn a_moment_written_in_another_way_is_the_same() {
        for (kind, text, normal) in [
            (
                ColumnKind::Timestamp,
                "2001-02-03 04:05:06",
                "2001-02-03T04:05:06",
            ),
            (
                ColumnKind::Timestamp,
                "2001-02-03T04:05:06.500",
                "2001-02-03T04:05:06.5",
            ),
            (
                ColumnKind::Timestamp,
                "2001-02-03T04:05:06.5",
                "2001-02-03T04:05:06.5",
            ),
            (ColumnKind::Timestamp, "2001-02-03", "2001-02-03T00:00:00"),
            (
                ColumnKind::Timestamp,
                "2001-02-03 04:05:06.1234567",
                "2001-02-03 04:05:06.1234567",
            ),
            (ColumnKind::Timestamp, "yesterday", "yesterday"),
            (
                ColumnKind::TimestampTz,
                "2001-02-03 05:05:06+01:00",
                "2001-02-03T04:05:06+00:00",
            ),
            (
                ColumnKind::TimestampTz,
                "2001-02-03T04:05:06+00:00",
                "2001-02-03T04:05:06+00:00",
            ),
            (
                ColumnKind::Text,
                "2001-02-03 04:05:06",
                "2001-02-03 04:05:06",
            ),
        ] {
            assert_eq!(decode(kind, Stored::Text(text.to_owned())), normal);
        }
    }

    #[test]
    fn what_would_not_read_back_the_same_is_refused() {
        for (kind, text) in [
            (ColumnKind::Integer, "9223372036854775808"),
            (ColumnKind::Integer, "1.5"),
            (
                ColumnKind::Numeric,
                "0.1234567890123456789012345678901234567890",
            ),
            (ColumnKind::Real, "9007199254740993.5"),
            (ColumnKind::Real, "9007199254740993"),
            (ColumnKind::Json, "1234567890123456789012345678901234567890"),
            (ColumnKind::Boolean, "2"),
            (ColumnKind::Uuid, "\"no uuid\""),
            (ColumnKind::Timestamp, "\"yesterday\""),
            (ColumnKind::Bytes, "\"\\\\x0\""),
            (ColumnKind::Bytes, "\"\\\\x+f\""),
            (ColumnKind::Integer, "[1]"),
        ] {
            assert_eq!(encode(kind, &json(text)), None, "{text}");
        }
    }
}
