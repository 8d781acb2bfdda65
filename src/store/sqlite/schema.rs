//! The tables as the file itself defines them.

use std::collections::BTreeMap;

use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteExecutor;

use super::codec;
use super::error::failed;
use crate::eventsourcing::Result;
use crate::eventsourcing::schema::{Column, ColumnKind, Reference, Table, Tracking};

/// The tables that are not for events: the event store's own.
const OWN_TABLES: &str = "('eventstore', 'ebb_migrations')";

/// An identifier, quoted.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A column as SQLite lists it: table, name, declared type, NOT NULL, place in the primary key, hidden, default.
type Listed = (String, String, String, bool, i64, i64, Option<String>);

pub(super) async fn tables(connection: &mut SqliteConnection) -> Result<Vec<Table>> {
    let listed: Vec<Listed> = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        // ANY says in a STRICT table what no type says elsewhere: the column takes every value as it is.
        r#"SELECT l.name, x.name, iif(l.strict AND upper(x.type) = 'ANY', '', x.type), x."notnull", x.pk, x.hidden, x.dflt_value
             FROM pragma_table_list AS l JOIN pragma_table_xinfo(l.name) AS x
            WHERE l.schema = 'main' AND l.type = 'table'
              AND l.name NOT LIKE 'sqlite\_%' ESCAPE '\' AND l.name NOT IN {OWN_TABLES}
            ORDER BY l.name, x.cid"#
    )))
    .fetch_all(&mut *connection)
    .await
    .map_err(failed)?;
    Ok(arrange(listed, &foreign_keys(connection).await?))
}

fn arrange(listed: Vec<Listed>, keys: &[ForeignKey]) -> Vec<Table> {
    let mut tables: BTreeMap<String, Vec<Listed>> = BTreeMap::new();
    for column in listed {
        tables.entry(column.0.clone()).or_default().push(column);
    }
    tables
        .into_iter()
        .map(|(name, columns)| Table {
            tracking: tracking(&columns),
            columns: columns
                .into_iter()
                .map(|(_, column, type_name, not_null, place, hidden, default)| {
                    let mut column = Column {
                        kind: kind(&type_name),
                        nullable: !not_null && place == 0,
                        generated: hidden > 1,
                        references: reference(keys, &name, &column),
                        name: column,
                        type_name,
                        default: None,
                        unspoken: None,
                    };
                    column.default = default.and_then(|default| codec::constant(&column, &default));
                    column.unspoken = column.default.clone();
                    column
                })
                .collect(),
            name,
        })
        .collect()
}

fn reference(keys: &[ForeignKey], table: &str, column: &str) -> Option<Reference> {
    keys.iter()
        .find(|key| key.table == table && key.columns.len() == 1 && key.columns[0] == column)
        .map(|key| Reference {
            table: key.to_table.clone(),
            column: key.to_columns[0].clone(),
        })
}

fn tracking(columns: &[Listed]) -> Tracking {
    let key: Vec<&Listed> = columns.iter().filter(|column| column.4 > 0).collect();
    let reason = match key.as_slice() {
        [] => "it has no primary key".to_owned(),
        [one] => {
            let declared = one.2.to_ascii_uppercase();
            if declared == "UUID" || kind(&declared) == ColumnKind::Text {
                return Tracking::Tracked { key: one.1.clone() };
            }
            let declared = if one.2.is_empty() { "no type" } else { &one.2 };
            format!(
                "its primary key, {}, is of type {declared}, not TEXT or UUID",
                one.1
            )
        }
        _ => "its primary key has more than one column".to_owned(),
    };
    Tracking::Untracked { reason }
}

/// From the declared type, as SQLite's own rules of affinity go, with the types that they know nothing of first.
fn kind(declared: &str) -> ColumnKind {
    let declared = declared.to_ascii_uppercase();
    let has = |part: &str| declared.contains(part);
    match declared.as_str() {
        "JSON" | "JSONB" => ColumnKind::Json,
        "UUID" => ColumnKind::Uuid,
        "TIMESTAMPTZ" | "TIMESTAMP WITH TIME ZONE" => ColumnKind::TimestampTz,
        "TIMESTAMP" | "DATETIME" | "TIMESTAMP WITHOUT TIME ZONE" => ColumnKind::Timestamp,
        "BOOL" | "BOOLEAN" => ColumnKind::Boolean,
        _ if has("INT") => ColumnKind::Integer,
        _ if has("CHAR") || has("CLOB") || has("TEXT") => ColumnKind::Text,
        _ if has("BLOB") => ColumnKind::Bytes,
        _ if has("REAL") || has("FLOA") || has("DOUB") => ColumnKind::Real,
        _ if has("NUMERIC") || has("DECIMAL") => ColumnKind::Numeric,
        _ => ColumnKind::Other,
    }
}

/// What a foreign key does to the pointing row when the row that it points at is deleted, or changes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The delete or the change is refused.
    Refuse,
    /// The pointing row goes too, or takes the new values.
    Cascade,
    /// Its columns become NULL.
    SetNull,
    /// Its columns take their defaults.
    SetDefault,
}

/// A foreign key. SQLite does not keep its name.
#[derive(Clone, Debug)]
pub(super) struct ForeignKey {
    pub(super) table: String,
    pub(super) columns: Vec<String>,
    pub(super) to_table: String,
    pub(super) to_columns: Vec<String>,
    pub(super) on_delete: Action,
    pub(super) on_update: Action,
}

impl ForeignKey {
    /// What people can call it: `molecule_fragment.molecule_id → molecule`.
    pub(super) fn name(&self) -> String {
        format!(
            "{}.{} → {}",
            self.table,
            self.columns.join(", "),
            self.to_table
        )
    }

    /// The condition that joins the pointing row `f` to the row `p` that it points at.
    pub(super) fn matching(&self) -> String {
        let pairs: Vec<String> = self
            .columns
            .iter()
            .zip(&self.to_columns)
            .map(|(from, to)| format!("f.{} = p.{}", quoted(from), quoted(to)))
            .collect();
        pairs.join(" AND ")
    }

    /// The condition that the row `f` points at something.
    pub(super) fn given(&self) -> String {
        let columns: Vec<String> = self
            .columns
            .iter()
            .map(|column| format!("f.{} IS NOT NULL", quoted(column)))
            .collect();
        columns.join(" AND ")
    }
}

/// Every foreign key whose two tables exist, sorted by table and place.
pub(super) async fn foreign_keys(executor: impl SqliteExecutor<'_>) -> Result<Vec<ForeignKey>> {
    // Without columns of its own, a foreign key points at the primary key.
    let listed: Vec<(String, i64, String, String, String, String, String)> = sqlx::query_as(
        r#"SELECT l.name, f.id, p.name, f."from",
                  coalesce(f."to", (SELECT x.name FROM pragma_table_xinfo(p.name) AS x WHERE x.pk = f.seq + 1), ''), f.on_delete, f.on_update
             FROM pragma_table_list AS l
             JOIN pragma_foreign_key_list(l.name) AS f
             JOIN pragma_table_list AS p ON p.schema = 'main' AND p.type = 'table' AND lower(p.name) = lower(f."table")
            WHERE l.schema = 'main' AND l.type = 'table'
            ORDER BY l.name, f.id DESC, f.seq"#,
    )
    .fetch_all(executor)
    .await
    .map_err(failed)?;
    let mut keys: Vec<(i64, ForeignKey)> = Vec::new();
    for (table, id, to_table, from, to, on_delete, on_update) in listed {
        match keys.last_mut() {
            Some((last, key)) if *last == id && key.table == table => {
                key.columns.push(from);
                key.to_columns.push(to);
            }
            _ => keys.push((
                id,
                ForeignKey {
                    table,
                    columns: vec![from],
                    to_table,
                    to_columns: vec![to],
                    on_delete: action(&on_delete),
                    on_update: action(&on_update),
                },
            )),
        }
    }
    Ok(keys.into_iter().map(|(_, key)| key).collect())
}

fn action(declared: &str) -> Action {
    match declared {
        "CASCADE" => Action::Cascade,
        "SET NULL" => Action::SetNull,
        "SET DEFAULT" => Action::SetDefault,
        _ => Action::Refuse,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_declared_type_tells_what_a_column_holds() {
        for (declared, expected) in [
            ("json", ColumnKind::Json),
            ("UUID", ColumnKind::Uuid),
            ("varchar(20)", ColumnKind::Text),
            ("BIGINT", ColumnKind::Integer),
            ("double precision", ColumnKind::Real),
            ("DECIMAL(10,5)", ColumnKind::Numeric),
            ("timestamp", ColumnKind::Timestamp),
            ("timestamptz", ColumnKind::TimestampTz),
            ("", ColumnKind::Other),
        ] {
            assert_eq!(kind(declared), expected, "{declared}");
        }
    }

    #[test]
    fn an_identifier_is_quoted_whatever_it_holds() {
        assert_eq!(quoted(r#"a"b; DROP"#), r#""a""b; DROP""#);
    }
}
