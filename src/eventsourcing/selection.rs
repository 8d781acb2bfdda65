//! Which rows of a table are asked for, and in which order.

mod condition;

use std::cmp::Ordering;

use serde_json::Value;
use uuid::Uuid;

use super::error::{Error, ErrorCode, Result};
use super::event::Row;
use super::schema::{ColumnKind, Table};
use super::value;
use condition::{
    Comparison, Condition, OrderedAs, SIGNS, column_of, condition, ordered_as, second_condition,
    text,
};

#[derive(Clone, Debug, PartialEq)]
struct Sort {
    column: String,
    kind: OrderedAs,
    descending: bool,
}

/// The rows that meet all conditions, in the order of their keys or of a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selection {
    conditions: Vec<Condition>,
    /// Texts that have to be in some column, in lower case.
    anywhere: Vec<String>,
    sort: Option<Sort>,
}

impl Selection {
    /// Reads conditions like `mass>=12`, `name~acid`, `mass=`, which is "has no value", or `name=""`, which is an empty text (blanks around the sign do not count), and a column to sort by, with a minus before
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
            let Some(kind) = ordered_as(column) else {
                return Err(Error::new(
                    ErrorCode::Usage,
                    format!(
                        "{table} cannot be sorted by {name}: values of the type {} have no order here",
                        column.type_name
                    ),
                )
                .hint("numbers, text, moments, uuids and booleans have one"));
            };
            Ok(Sort {
                column: name.to_owned(),
                kind,
                descending,
            })
        });
        Ok(Self {
            conditions: conditions.collect::<Result<_>>()?,
            anywhere: Vec::new(),
            sort: sort.transpose()?,
        })
    }

    /// Reads conditions as people type them in one line, with commas between them: `mass>=12, name~acid`. What is no condition is looked for in
    /// every column, whatever the case of its letters.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse).
    pub fn parse_line(table: &Table, line: &str, sort: Option<&str>) -> Result<Self> {
        let parts = line
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let has_sign = |part: &&str| SIGNS.iter().any(|(sign, _)| part.contains(sign));
        for part in parts.clone() {
            if let Some(second) = second_condition(table, part) {
                return Err(Error::new(
                    ErrorCode::Usage,
                    format!("\"{part}\" looks like two conditions"),
                )
                .hint(format!("put a comma before {second}")));
            }
        }
        let (conditions, anywhere): (Vec<&str>, Vec<&str>) = parts.partition(has_sign);
        let conditions: Vec<String> = conditions.into_iter().map(str::to_owned).collect();
        Ok(Self {
            anywhere: anywhere.into_iter().map(str::to_lowercase).collect(),
            ..Self::parse(table, &conditions, sort)?
        })
    }

    /// Whether this row meets every condition.
    #[must_use]
    pub fn takes(&self, row: &Row) -> bool {
        let is_somewhere = |wanted: &String| {
            let mut held = row.values();
            held.any(|held| text(held).to_lowercase().contains(wanted))
        };
        self.conditions.iter().all(|condition| condition.holds(row))
            && self.anywhere.iter().all(is_somewhere)
    }

    /// Whether every row is asked for, in the order of the keys.
    #[must_use]
    pub(super) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// A foreign key of the table and the row that it has to name, where that is asked: the database finds such rows without reading all.
    #[must_use]
    pub(super) fn naming(&self, table: &Table) -> Option<(&str, Uuid)> {
        let mut conditions = self.conditions.iter();
        conditions.find_map(|one| {
            let column = table.column(&one.column)?;
            let is_asked = column.references.is_some()
                && column.kind == ColumnKind::Uuid
                && one.comparison == Comparison::Is;
            let uuid = one.given.as_str().filter(|_| is_asked)?.parse().ok()?;
            Some((one.column.as_str(), uuid))
        })
    }

    /// Whether the rows come in another order than that of their keys.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        self.sort.is_some()
    }

    /// What the row is sorted by: NULL where its key alone counts.
    #[must_use]
    pub(super) fn sorted_by(&self, row: &Row) -> Value {
        let value = |sort: &Sort| Some(sort.kind.comparable(row.get(&sort.column)?));
        self.sort.as_ref().and_then(value).unwrap_or(Value::Null)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::eventsourcing::schema::{Column, Tracking};

    fn table() -> Table {
        let column = |name: &str, kind, type_name: &str| Column {
            name: name.to_owned(),
            type_name: type_name.to_owned(),
            kind,
            nullable: true,
            generated: false,
            references: None,
            default: None,
            unspoken: None,
        };
        Table {
            name: "t".to_owned(),
            columns: vec![
                column("f", ColumnKind::Real, "double precision"),
                column("at", ColumnKind::TimestampTz, "timestamp with time zone"),
                column("a=b", ColumnKind::Integer, "integer"),
                column("day", ColumnKind::Other, "date"),
            ],
            tracking: Tracking::Tracked {
                key: "id".to_owned(),
            },
        }
    }

    fn sorted(column: &str, values: &[Value]) -> Vec<Value> {
        let selection = Selection::parse(&table(), &[], Some(column)).expect("an order");
        let mut values = values.to_vec();
        values.sort_by(|a, b| {
            let [a, b] = [a, b].map(|value| {
                selection.sorted_by(&Row::from_iter([(column.to_owned(), value.clone())]))
            });
            selection.order(&a, &b)
        });
        values
    }

    #[test]
    fn two_conditions_without_a_comma_are_not_taken_for_one() {
        for line in ["f>1 day=2020-01-01", "day~x a=b>2", "f= at>=2020-01-01"] {
            let refused = Selection::parse_line(&table(), line, None).expect_err(line);
            assert!(refused.message.contains("two conditions"), "{refused:?}");
        }
        for line in ["f>1, day=2020-01-01", "day~x at noon", "day~x f", "a=b>2"] {
            assert!(
                Selection::parse_line(&table(), line, None).is_ok(),
                "{line}"
            );
        }
    }

    #[test]
    fn numbers_and_moments_that_json_cannot_write_have_their_places() {
        let numbers = [
            json!("-Infinity"),
            json!(-1e300),
            json!("-0"),
            json!(0.5),
            json!(1e300),
            json!("Infinity"),
            json!("NaN"),
            Value::Null,
        ];
        let moments = [
            json!("-infinity"),
            json!("0044-03-15T00:00:00+00:00 BC"),
            json!("0001-01-01T00:00:00+00:00"),
            json!("2020-01-01T10:00:00+02:00"),
            json!("2020-01-01T09:00:00+00:00"),
            json!("2020-01-01T09:00:00.5+00:00"),
            json!("12000-01-01T00:00:00+00:00"),
            json!("infinity"),
            Value::Null,
        ];
        for (column, ascending) in [("f", &numbers[..]), ("at", &moments[..])] {
            let mut turned = ascending.to_vec();
            turned.reverse();
            assert_eq!(sorted(column, &turned), ascending, "{column}");
        }
    }

    #[test]
    fn a_typed_line_has_conditions_and_texts() {
        let row = |value: Value| {
            Row::from_iter([
                ("f".to_owned(), value),
                ("note".to_owned(), json!("Acetic ACID")),
            ])
        };
        for (line, takes) in [
            ("", true),
            ("acid", true),
            ("ACETIC acid, f>=3", true),
            ("f>=3, base", false),
            ("f > 4", false),
        ] {
            let selection = Selection::parse_line(&table(), line, None).expect(line);
            assert_eq!(selection.takes(&row(json!(3))), takes, "{line}");
        }
        assert!(Selection::parse_line(&table(), "acid, g=1", None).is_err());
    }

    #[test]
    fn conditions_compare_what_values_are_and_not_how_they_are_written() {
        let row = |column: &str, value: Value| Row::from_iter([(column.to_owned(), value)]);
        for (condition, row, holds) in [
            (
                "at=2020-01-01T10:00:00+02",
                row("at", json!("2020-01-01T08:00:00+00:00")),
                true,
            ),
            (
                "at >= 2020-01-01 08:00",
                row("at", json!("2020-01-01T10:00:00+02:00")),
                true,
            ),
            (
                "at<2020-01-01",
                row("at", json!("12000-01-01T00:00:00+00:00")),
                false,
            ),
            ("at>2020-01-01", row("at", json!("infinity")), true),
            ("f<5", row("f", json!("-Infinity")), true),
            ("f>5", row("f", json!("-Infinity")), false),
            ("f=-0", row("f", json!(0)), true),
            ("a=b>=3", row("a=b", json!(3)), true),
            ("a=b=", row("a=b", Value::Null), true),
            ("day<=2020-01-01", row("day", json!("2019-12-31")), true),
        ] {
            let selection = Selection::parse(&table(), &[condition.to_owned()], None);
            let selection = selection.expect(condition);
            assert_eq!(selection.takes(&row), holds, "{condition} for {row:?}");
        }
    }
}
