//! One condition on a row: how it is typed, and whether it holds.

use std::cmp::Ordering;

use chrono::Datelike;
use serde_json::{Number, Value};

use crate::eventsourcing::error::{Error, ErrorCode, Result};
use crate::eventsourcing::event::Row;
use crate::eventsourcing::schema::{self, Column, ColumnKind, Table};
use crate::eventsourcing::{timestamp, value};

/// How a column's value has to compare with the given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Is,
    IsNot,
    Below,
    AtMost,
    Above,
    AtLeast,
    /// Whatever the case of its letters.
    Contains,
}

/// Their signs, each before those that it begins with.
pub(super) const SIGNS: [(&str, Comparison); 7] = [
    ("!=", Comparison::IsNot),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("=", Comparison::Is),
    ("<", Comparison::Below),
    (">", Comparison::Above),
    ("~", Comparison::Contains),
];

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Condition {
    pub(super) column: String,
    kind: OrderedAs,
    pub(super) comparison: Comparison,
    /// NULL for no value.
    pub(super) given: Value,
}

/// How a column's values are put in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OrderedAs {
    /// By [`value::order`] as they are.
    Themselves,
    /// As numbers, of which JSON cannot write all.
    Numbers,
    /// As moments, however they are written.
    Moments,
}

impl Condition {
    pub(super) fn holds(&self, row: &Row) -> bool {
        let held = row.get(&self.column).unwrap_or(&Value::Null);
        let held = &self.kind.comparable(held);
        let order = || {
            let both = !held.is_null() && !self.given.is_null();
            both.then(|| value::order(held, &self.given))
        };
        match self.comparison {
            Comparison::Is => value::same(held, &self.given),
            Comparison::IsNot => !value::same(held, &self.given),
            Comparison::Below => order() == Some(Ordering::Less),
            Comparison::AtMost => order().is_some_and(Ordering::is_le),
            Comparison::Above => order() == Some(Ordering::Greater),
            Comparison::AtLeast => order().is_some_and(Ordering::is_ge),
            Comparison::Contains => text(held).to_lowercase().contains(&text(&self.given)),
        }
    }
}

/// A value as text: what is searched in.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The column of a condition that stands behind another one, with a blank between them: it would be taken for a part of that one's value.
pub(super) fn second_condition<'a>(table: &'a Table, text: &str) -> Option<&'a str> {
    let begins_condition = |rest: &str, name: &str| {
        let rest = rest.strip_prefix(name).map(str::trim_start);
        rest.is_some_and(|rest| SIGNS.iter().any(|(sign, _)| rest.starts_with(sign)))
    };
    let mut names = table.columns.iter().map(|column| column.name.as_str());
    names.find(|name| {
        let mut blanks = text.match_indices(' ');
        blanks.any(|(at, _)| begins_condition(&text[at + 1..], name))
    })
}

pub(super) fn condition(table: &Table, text: &str) -> Result<Condition> {
    // A column's name may have a sign in it: the longest one that fits counts. Else the first sign does; of two at one place the longer one, which
    // comes first in the list.
    let names = table.columns.iter().map(|column| column.name.as_str());
    let begins = |name: &&str| {
        let rest = text.trim_start().strip_prefix(name).map(str::trim_start);
        rest.is_some_and(|rest| SIGNS.iter().any(|(sign, _)| rest.starts_with(sign)))
    };
    let after = names.filter(begins).max_by_key(|name| name.len());
    let after = after.map_or(0, |name| text.len() - text.trim_start().len() + name.len());
    let split = SIGNS.iter().filter_map(|(sign, comparison)| {
        let at = after + text[after..].find(sign)?;
        Some((at, sign, *comparison))
    });
    let Some((at, sign, comparison)) = split.min_by_key(|(at, ..)| *at) else {
        return Err(
            Error::new(ErrorCode::Usage, format!("\"{text}\" is no condition")).hint(
                "give a column, one of = != < <= > >= ~ (contains), and a value, as in 'mass>=12'",
            ),
        );
    };
    let (name, given) = (text[..at].trim(), text[at + sign.len()..].trim());
    let column = column_of(table, name)?;
    let kind = ordered_as(column);
    let ordered = !matches!(
        comparison,
        Comparison::Is | Comparison::IsNot | Comparison::Contains
    );
    if ordered && (given.is_empty() || kind.is_none()) {
        let why = match given.is_empty() {
            true => "there is no value to compare with".to_owned(),
            false => format!("values of the type {} have no order here", column.type_name),
        };
        return Err(Error::new(
            ErrorCode::Usage,
            format!("\"{text}\" is no condition: {why}"),
        ));
    }
    Ok(Condition {
        column: name.to_owned(),
        comparison,
        // What a value contains is looked for in it as it is shown.
        kind: kind
            .filter(|_| comparison != Comparison::Contains)
            .unwrap_or(OrderedAs::Themselves),
        given: match comparison {
            Comparison::Contains => Value::String(given.to_lowercase()),
            _ => given_value(table, column, given)?,
        },
    })
}

/// The value that a text means in this column.
fn given_value(table: &Table, column: &Column, text: &str) -> Result<Value> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if ordered_as(column) == Some(OrderedAs::Moments) {
        let given = OrderedAs::Moments.comparable(&Value::String(text.to_owned()));
        return match given {
            Value::String(_) => Err(unfit(table, column, text, "moments")),
            given => Ok(given),
        };
    }
    let (meant, kind) = match column.kind {
        ColumnKind::Integer | ColumnKind::Real | ColumnKind::Numeric => (number(text), "numbers"),
        ColumnKind::Boolean => (
            serde_json::from_str(text).ok().filter(Value::is_boolean),
            "true and false",
        ),
        ColumnKind::Json => (serde_json::from_str(text).ok(), "JSON"),
        ColumnKind::Uuid => (Some(Value::String(text.to_lowercase())), "uuids"),
        // With nothing behind the sign there is no value; an empty text is one.
        _ if text == "\"\"" => (Some(Value::String(String::new())), "text"),
        _ => (Some(Value::String(text.to_owned())), "text"),
    };
    meant.ok_or_else(|| unfit(table, column, text, kind))
}

fn unfit(table: &Table, column: &Column, text: &str, kind: &str) -> Error {
    Error::new(
        ErrorCode::Usage,
        format!(
            "{table}.{} holds {kind}, and \"{text}\" is none of them",
            column.name
        ),
    )
}

impl OrderedAs {
    /// The value as one that [`value::order`] puts in its place: what is neither a number nor a moment stays.
    pub(super) fn comparable(self, held: &Value) -> Value {
        match (self, held) {
            // Before every number; the other two, which are text, come after them.
            (Self::Numbers, Value::String(text)) if text == "-Infinity" => Value::Bool(false),
            (Self::Numbers, Value::String(text)) if text == "-0" => 0.into(),
            (Self::Moments, Value::String(text)) => match text.as_str() {
                "-infinity" => i64::MIN.into(),
                "infinity" => i64::MAX.into(),
                _ => microseconds(text).map_or_else(|| held.clone(), Value::from),
            },
            _ => held.clone(),
        }
    }
}

/// A moment in microseconds since 1970. Years before the first are written as PostgreSQL does, with a BC behind them.
fn microseconds(text: &str) -> Option<i64> {
    // Years of five and six digits are read where there is a sign before them.
    let parse = |text: &str| match text.find('-') {
        Some(5..) => timestamp::parse(&format!("+{text}")),
        _ => timestamp::parse(text),
    };
    let moment = match text.strip_suffix(" BC") {
        None => parse(text)?,
        Some(text) => {
            let moment = parse(text)?;
            moment.with_year(1 - moment.year())?
        }
    };
    Some(moment.timestamp_micros())
}

/// Numbers that JSON has no way to write are text in the columns too.
fn number(text: &str) -> Option<Value> {
    match text {
        "NaN" | "Infinity" | "-Infinity" => Some(Value::String(text.to_owned())),
        _ => text.parse::<Number>().ok().map(Value::Number),
    }
}

/// How values of a column are put in order; `None` where they have none.
pub(super) fn ordered_as(column: &Column) -> Option<OrderedAs> {
    match column.kind {
        ColumnKind::Timestamp | ColumnKind::TimestampTz => Some(OrderedAs::Moments),
        ColumnKind::Other if column.type_name.eq_ignore_ascii_case("date") => {
            Some(OrderedAs::Moments)
        }
        ColumnKind::Integer | ColumnKind::Real | ColumnKind::Numeric => Some(OrderedAs::Numbers),
        ColumnKind::Boolean | ColumnKind::Text | ColumnKind::Uuid => Some(OrderedAs::Themselves),
        ColumnKind::Json | ColumnKind::Bytes | ColumnKind::Array | ColumnKind::Other => None,
    }
}

pub(super) fn column_of<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    let names = || table.columns.iter().map(|column| column.name.as_str());
    table.column(name).ok_or_else(|| {
        let error = Error::new(
            ErrorCode::UnknownColumn,
            format!("{table} has no column \"{name}\""),
        );
        match schema::nearest(name, names()) {
            Some(nearest) => error.hint(format!("did you mean \"{nearest}\"?")),
            None if table.is_gone() => error.hint("the table is gone, and its columns with it"),
            None => error.hint(format!("it has {}", names().collect::<Vec<_>>().join(", "))),
        }
    })
}
