//! How much of a database a rollback takes back.

use std::fmt;

use uuid::Uuid;

use super::event::RowKey;

/// How much of a database a rollback takes back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Scope {
    /// All of it.
    #[default]
    Whole,
    /// One table.
    Table(String),
    /// One row.
    Row(RowKey),
}

impl Scope {
    /// Reads `TYPE`, or `TYPE/UUID`. What follows the last slash and is no uuid belongs to the table's name.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let row = text.rsplit_once('/').and_then(|(table, uuid)| {
            Some(RowKey {
                table: table.to_owned(),
                uuid: Uuid::try_parse(uuid).ok()?,
            })
        });
        row.map_or_else(|| Self::Table(text.to_owned()), Self::Row)
    }

    /// Whether this row is in it.
    #[must_use]
    pub fn covers(&self, row: &RowKey) -> bool {
        match self {
            Self::Whole => true,
            Self::Table(table) => *table == row.table,
            Self::Row(one) => one == row,
        }
    }

    /// Whether all of it is in the other.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::Whole) => true,
            (Self::Whole, _) => false,
            (Self::Table(one), Self::Table(other)) => one == other,
            (Self::Table(_), Self::Row(_)) => false,
            (Self::Row(row), other) => other.covers(row),
        }
    }

    /// The table that it is about, if it is about one.
    #[must_use]
    pub fn table(&self) -> Option<&str> {
        match self {
            Self::Whole => None,
            Self::Table(table) => Some(table),
            Self::Row(row) => Some(&row.table),
        }
    }

    /// As the log and the command line name it; `None` for the whole database.
    #[must_use]
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Whole => None,
            Self::Table(table) => Some(table.clone()),
            Self::Row(row) => Some(format!("{}/{}", row.table, row.uuid)),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => f.write_str("the whole database"),
            Self::Table(table) => write!(f, "the table {table}"),
            Self::Row(row) => write!(f, "the row {row}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_back_from_its_name() {
        let uuid = "c053009a-9b1d-44a7-8267-f5befdb03eb0";
        for name in [
            "molecule",
            "lab.sample",
            &format!("molecule/{uuid}"),
            &format!("odd/table/{uuid}"),
            "odd/table",
        ] {
            assert_eq!(Scope::parse(name).name().as_deref(), Some(name));
        }
        assert!(matches!(Scope::parse("odd/table"), Scope::Table(_)));
    }

    #[test]
    fn a_row_is_within_its_table_and_a_table_within_the_database() {
        let row = Scope::parse("molecule/c053009a-9b1d-44a7-8267-f5befdb03eb0");
        let table = Scope::parse("molecule");
        assert!(row.is_within(&table) && table.is_within(&Scope::Whole) && row.is_within(&row));
        assert!(!table.is_within(&row) && !Scope::Whole.is_within(&table));
        assert!(!row.is_within(&Scope::parse("fragment")));
    }
}
