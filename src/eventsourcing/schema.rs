//! The tables, as the database itself defines them. Nothing has to be registered.

use std::fmt;

use serde_json::Value;

use super::value;

/// What a column holds, as far as the rules of events care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// JSON: objects given for it are merged, one level deep.
    Json,
    /// A moment without zone.
    Timestamp,
    /// A moment with zone.
    TimestampTz,
    /// True or false.
    Boolean,
    /// A whole number.
    Integer,
    /// A binary floating-point number.
    Real,
    /// A decimal number.
    Numeric,
    /// Text.
    Text,
    /// A uuid.
    Uuid,
    /// Bytes, shown as `\x…`.
    Bytes,
    /// An array of any element type.
    Array,
    /// Anything else, which travels as the type's own text.
    Other,
}

/// A column that names a row of another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The table it points at, as events name it.
    pub table: String,
    /// The column there.
    pub column: String,
}

/// One column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The database's own name of its type, for people.
    pub type_name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether it may be NULL.
    pub nullable: bool,
    /// Whether the database computes it from other columns; such a column is never written.
    pub generated: bool,
    /// The row it names, when a foreign key of this one column says so.
    pub references: Option<Reference>,
    /// Its default, where that is a constant.
    pub default: Option<Value>,
    /// What rows hold that were there before the column was, so that no event speaks of it: what it was added with.
    pub unspoken: Option<Value>,
}

impl Column {
    /// Whether two values of it are the same. A column may have changed its type since one of them was written: a number and
    /// the text of it, to the letter, are the same.
    #[must_use]
    pub fn same(&self, a: &Value, b: &Value) -> bool {
        match (a, b) {
            _ if value::same(a, b) => true,
            (Value::Number(number), Value::String(text))
            | (Value::String(text), Value::Number(number))
                if self.kind != ColumnKind::Json =>
            {
                number.to_string() == *text
            }
            _ => false,
        }
    }

    /// A value that the log has, as the column holds it: it may have changed its type since, from text to number or back.
    #[must_use]
    pub fn adapted(&self, logged: Value) -> Value {
        let is_number = matches!(
            self.kind,
            ColumnKind::Integer | ColumnKind::Real | ColumnKind::Numeric
        );
        match &logged {
            Value::String(text) if is_number => match serde_json::from_str(text) {
                // JSON has no negative zero: that travels as text.
                Ok(Value::Number(number))
                    if number.to_string() == *text
                        && (number.as_f64() != Some(0.0) || !text.starts_with('-')) =>
                {
                    Value::Number(number)
                }
                _ => logged,
            },
            Value::Number(number) if self.kind == ColumnKind::Text => {
                Value::String(number.to_string())
            }
            _ => logged,
        }
    }

    /// Whether what is stored is what the log says, which may say nothing of it.
    #[must_use]
    pub fn holds(&self, logged: Option<&Value>, stored: &Value) -> bool {
        match logged {
            Some(logged) => self.same(logged, stored),
            None => {
                let mut held = [&self.unspoken, &self.default].into_iter().flatten();
                stored.is_null() || held.any(|held| self.same(held, stored))
            }
        }
    }
}

/// Whether events can change a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// It takes part: its primary key is this one uuid column.
    Tracked {
        /// The primary key's column.
        key: String,
    },
    /// It is shown, read-only.
    Untracked {
        /// Why, in words.
        reason: String,
    },
}

/// One table.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The name by which events know it: `molecule`, or `schema.table` outside `public`.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
    /// Whether it takes part.
    pub tracking: Tracking,
}

/// The column that takes the timestamp of a row's create event.
pub const CREATED_ON: &str = "created_on";
/// The column that takes the timestamp of a row's latest event.
pub const UPDATED_ON: &str = "updated_on";

/// Why a table that is gone takes no part.
const GONE: &str = "the database no longer has this table";

impl Table {
    /// The primary key's column, of a table that takes part.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.tracking {
            Tracking::Tracked { key } => Some(key),
            Tracking::Untracked { .. } => None,
        }
    }

    /// The column of this name.
    #[must_use]
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|column| column.name == name)
    }

    /// A table that the log speaks of and the database no longer has.
    #[must_use]
    pub fn gone(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            columns: Vec::new(),
            tracking: Tracking::Untracked {
                reason: GONE.to_owned(),
            },
        }
    }

    /// Whether it is such a one.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(&self.tracking, Tracking::Untracked { reason } if reason == GONE)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The known name that the given one was probably meant to be: for "did you mean …".
#[must_use]
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| {
            (
                strsim::damerau_levenshtein(&given.to_lowercase(), &name.to_lowercase()),
                name,
            )
        })
        .filter(|(distance, name)| {
            *distance <= 1 + name.chars().count().min(given.chars().count()) / 3
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        let known = ["smiles", "metadata", "created_on"];
        assert_eq!(nearest("smile", known), Some("smiles"));
        assert_eq!(nearest("Smiles", known), Some("smiles"));
        assert_eq!(nearest("metdata", known), Some("metadata"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("x", known), None);
    }
}
