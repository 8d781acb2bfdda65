//! Which rows of a table are asked for, and in which order.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::error::{Error, ErrorCode, Result};
use super::event::Row;
use super::schema::{self, Column, ColumnKind, Table};
use super::{timestamp, value};

/// How a column's value has to compare with the given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Is,
    IsNot,
    Below,
    AtMost,
    Above,
    AtLeast,
    Contains,
}

/// Their signs, each before those that it begins with.
const SIGNS: [(&str, Comparison); 7] = [
    ("!=", Comparison::IsNot),
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("=", Comparison::Is),
    ("<", Comparison::Below),
    (">", Comparison::Above),
    ("~", Comparison::Contains),
];

#[derive(Clone, Debug, PartialEq)]
struct Condition {
    column: String,
    comparison: Comparison,
    /// Whether moments are compared, however they are written.
    is_time: bool,
    /// NULL for no value.
    given: Value,
}

#[derive(Clone, Debug, PartialEq)]
struct Sort {
    column: String,
    descending: bool,
}

/// The rows that meet all conditions, in the order of their keys or of a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    conditions: Vec<Condition>,
    sort: Option<Sort>,
}

impl Selection {
    /// Reads conditions like `mass>=12`, `name~acid` or `mass=`, which is "has no value" (blanks around the sign do not count), and a column to sort by, with a minus before
    /// it for descending.
    ///
    /// # Errors
    /// `UnknownColumn`, with the nearest name; `Usage` for what is no condition, for a value that the column cannot be compared with, and for an
    /// order that the column does not have.
    pub fn parse(table: &Table, conditions: &[String], sort: Option<&str>) -> Result<Self> {
        let conditions = conditions.iter().map(|text| condition(table, text));
        let sort = sort.map(|text| {
            let (name, descending) = match text.strip_prefix('-') {
                Some(name) if table.column(text).is_none() => (name, true),
                _ => (text, false),
            };
            let column = column_of(table, name)?;
            if !has_order(column) {
                return Err(Error::new(
                    ErrorCode::Usage,
                    format!(
                        "{table} cannot be sorted by {name}: values of the type {} have no order here",
                        column.type_name
                    ),
                )
                .hint("numbers, text, times, uuids and booleans have one"));
            }
            Ok(Sort {
                column: name.to_owned(),
                descending,
            })
        });
        Ok(Self {
            conditions: conditions.collect::<Result<_>>()?,
            sort: sort.transpose()?,
        })
    }

    /// Whether this row meets every condition.
    #[must_use]
    pub fn takes(&self, row: &Row) -> bool {
        self.conditions.iter().all(|condition| condition.holds(row))
    }

    /// Whether the rows come in another order than that of their keys.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.sort.is_some()
    }

    /// What the row is sorted by: NULL where its key alone counts.
    #[must_use]
    pub(super) fn sorted_by(&self, row: &Row) -> Value {
        let value = self.sort.as_ref().and_then(|sort| row.get(&sort.column));
        value.cloned().unwrap_or(Value::Null)
    }

    /// The order of two rows by what they are sorted by. Those without a value come last, whatever the direction.
    #[must_use]
    pub(super) fn order(&self, a: &Value, b: &Value) -> Ordering {
        let order = value::order(a, b);
        match &self.sort {
            Some(sort) if sort.descending && !a.is_null() && !b.is_null() => order.reverse(),
            _ => order,
        }
    }
}

impl Condition {
    fn holds(&self, row: &Row) -> bool {
        let held = row.get(&self.column).unwrap_or(&Value::Null);
        let held = match self.is_time {
            true => &held
                .as_str()
                .and_then(moment)
                .unwrap_or_else(|| held.clone()),
            false => held,
        };
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
            Comparison::Contains => text(held).contains(&text(&self.given)),
        }
    }
}

/// A value as text: what is searched in.
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn condition(table: &Table, text: &str) -> Result<Condition> {
    let split = SIGNS.iter().filter_map(|(sign, comparison)| {
        let at = text.find(sign)?;
        Some((at, sign, *comparison))
    });
    // The first sign in the text; of two at one place the longer one, which comes first in the list.
    let Some((at, sign, comparison)) = split.min_by_key(|(at, ..)| *at) else {
        return Err(
            Error::new(ErrorCode::Usage, format!("\"{text}\" is no condition")).hint(
                "give a column, one of = != < <= > >= ~ (contains), and a value, as in 'mass>=12'",
            ),
        );
    };
    let (name, given) = (text[..at].trim(), text[at + sign.len()..].trim());
    let column = column_of(table, name)?;
    let ordered = !matches!(
        comparison,
        Comparison::Is | Comparison::IsNot | Comparison::Contains
    );
    if ordered && (given.is_empty() || !has_order(column)) {
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
        is_time: comparison != Comparison::Contains
            && matches!(column.kind, ColumnKind::Timestamp | ColumnKind::TimestampTz),
        given: match comparison {
            Comparison::Contains => Value::String(given.to_owned()),
            _ => given_value(table, column, given)?,
        },
    })
}

/// The value that a text means in this column.
fn given_value(table: &Table, column: &Column, text: &str) -> Result<Value> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    let (meant, kind) = match column.kind {
        ColumnKind::Integer | ColumnKind::Real | ColumnKind::Numeric => (number(text), "numbers"),
        ColumnKind::Boolean => (
            serde_json::from_str(text).ok().filter(Value::is_boolean),
            "true and false",
        ),
        ColumnKind::Json => (serde_json::from_str(text).ok(), "JSON"),
        ColumnKind::Timestamp | ColumnKind::TimestampTz => (moment(text), "times"),
        ColumnKind::Uuid => (Some(Value::String(text.to_lowercase())), "uuids"),
        _ => (Some(Value::String(text.to_owned())), "text"),
    };
    meant.ok_or_else(|| {
        Error::new(
            ErrorCode::Usage,
            format!(
                "{table}.{} holds {kind}, and \"{text}\" is none of them",
                column.name
            ),
        )
    })
}

/// A moment in the one form in which moments compare as text.
fn moment(text: &str) -> Option<Value> {
    timestamp::parse(text).map(|moment| Value::String(timestamp::format(moment)))
}

/// Numbers that JSON has no way to write are text in the columns too.
fn number(text: &str) -> Option<Value> {
    match text {
        "NaN" | "Infinity" | "-Infinity" => Some(Value::String(text.to_owned())),
        _ => text.parse::<Number>().ok().map(Value::Number),
    }
}

fn has_order(column: &Column) -> bool {
    match column.kind {
        ColumnKind::Timestamp
        | ColumnKind::TimestampTz
        | ColumnKind::Boolean
        | ColumnKind::Integer
        | ColumnKind::Real
        | ColumnKind::Numeric
        | ColumnKind::Text
        | ColumnKind::Uuid => true,
        ColumnKind::Json | ColumnKind::Bytes | ColumnKind::Array | ColumnKind::Other => false,
    }
}

fn column_of<'a>(table: &'a Table, name: &str) -> Result<&'a Column> {
    let names = || table.columns.iter().map(|column| column.name.as_str());
    table.column(name).ok_or_else(|| {
        let error = Error::new(
            ErrorCode::UnknownColumn,
            format!("{table} has no column \"{name}\""),
        );
        match schema::nearest(name, names()) {
            Some(nearest) => error.hint(format!("did you mean \"{nearest}\"?")),
            None => error.hint(format!("it has {}", names().collect::<Vec<_>>().join(", "))),
        }
    })
}
