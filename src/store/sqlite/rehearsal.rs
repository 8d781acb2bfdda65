//! Which constraints the rows of a plan would violate, found without writing to the file.
//!
//! SQLite does not tell what its constraints are, only whether a row violates one. So the tables concerned are made once more in
//! memory, without rows, and get those that the plan would write; the rows that it leaves are looked at where they are.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde_json::Value;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, SqliteConnection};
use uuid::Uuid;

use super::codec::Stored;
use super::error::{ConstraintKind, constraint_kind, failed};
use super::reads::Stop;
use super::schema::{ForeignKey, quoted};
use super::write::{encoded, insert_row, insert_rows, most_rows_at_once};
use crate::eventsourcing::rollback::{Changes, RowChange};
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{Violated, Violation};
use crate::eventsourcing::{Result, Row, RowKey};

/// Rows that are in memory at once.
const ROWS_AT_ONCE: usize = 500;

/// The violations, of each constraint one.
pub(super) async fn violations(
    file: &Path,
    tables: &[Table],
    keys: &[ForeignKey],
    changes: &Changes,
) -> Result<Vec<Violation>> {
    let mut by_table: BTreeMap<&str, (&Table, Vec<usize>)> = BTreeMap::new();
    for (name, places) in changes.by_table() {
        let table = tables.iter().find(|table| table.name == name);
        if let Some(table) = table.filter(|table| table.key().is_some()) {
            by_table.insert(&table.name, (table, places));
        }
    }
    if by_table.is_empty() {
        return Ok(Vec::new());
    }
    let options = SqliteConnectOptions::new()
        .in_memory(true)
        .foreign_keys(false);
    let mut stage = options.connect().await.map_err(failed)?;
    let _stop = Stop::on(&mut stage).await.map_err(failed)?;
    sqlx::query("ATTACH ? AS lab")
        .bind(uri(file))
        .execute(&mut stage)
        .await
        .map_err(failed)?;
    let mut all = stage.begin().await.map_err(failed)?;
    let mut found = Violations::new();
    note_touched(&mut all, changes).await?;
    for (table, places) in by_table.values() {
        set_up(&mut all, table).await?;
        let indexes = unique_indexes(&mut all, table).await?;
        if indexes.iter().any(|index| index.columns.is_none()) {
            copy_untouched(&mut all, table).await?;
        }
        for lot in changes.lots(places.iter().copied(), ROWS_AT_ONCE) {
            for rows in lot?.chunks(most_rows_at_once(table.columns.len())) {
                if !play_together(&mut all, table, rows).await? {
                    for row in rows {
                        play(&mut all, table, row, &mut found).await?;
                    }
                }
            }
        }
        for index in &indexes {
            compare_with_untouched(&mut all, table, index, &mut found).await?;
        }
    }
    for key in keys {
        check_foreign_key(&mut all, tables, &by_table, key, &mut found).await?;
    }
    all.rollback().await.map_err(failed)?;
    stage.close().await.map_err(failed)?;
    Ok(found.into_values().collect())
}

/// The file, for reading only.
fn uri(file: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in file.as_os_str().as_encoded_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    uri + "?mode=ro"
}

/// Violations by their constraint, in the order of their names.
type Violations = BTreeMap<(Violated, String, String), Violation>;

fn note(found: &mut Violations, violation: Violation) {
    let constraint = (
        violation.kind,
        violation.row.table.clone(),
        violation.constraint.clone(),
    );
    match found.get_mut(&constraint) {
        Some(known) => known.rows += violation.rows,
        None => drop(found.insert(constraint, violation)),
    }
}

/// Notes which rows are not what they are in the file. Keys are compared with these as text: a column declared UUID has the
/// affinity of numbers, and an index on texts would not be used for it.
async fn note_touched(all: &mut SqliteConnection, changes: &Changes) -> Result<()> {
    let keys: Vec<[String; 2]> = changes
        .entries()
        .map(|row| [row.table.to_owned(), row.uuid.to_string()])
        .collect();
    sqlx::query(
        "CREATE TEMP TABLE touched (type TEXT, key TEXT, PRIMARY KEY (type, key)) WITHOUT ROWID",
    )
    .execute(&mut *all)
    .await
    .map_err(failed)?;
    sqlx::query("INSERT INTO touched SELECT value ->> 0, value ->> 1 FROM json_each(?)")
        .bind(serde_json::json!(keys).to_string())
        .execute(all)
        .await
        .map(drop)
        .map_err(failed)
}

/// Makes the table in memory, with its unique indexes.
async fn set_up(all: &mut SqliteConnection, table: &Table) -> Result<()> {
    let definitions: Vec<String> = sqlx::query_scalar(
        "SELECT sql FROM lab.sqlite_schema
          WHERE tbl_name = ? AND (type = 'table' OR type = 'index' AND sql LIKE 'CREATE UNIQUE %') ORDER BY type DESC, name",
    )
    .bind(&table.name)
    .fetch_all(&mut *all)
    .await
    .map_err(failed)?;
    for definition in definitions {
        sqlx::raw_sql(AssertSqlSafe(definition))
            .execute(&mut *all)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

/// A unique index.
struct UniqueIndex {
    name: String,
    /// Its columns, each with its collation; `None` where it is on expressions, or on some rows only.
    columns: Option<Vec<(String, String)>>,
}

async fn unique_indexes(all: &mut SqliteConnection, table: &Table) -> Result<Vec<UniqueIndex>> {
    let listed: Vec<(String, bool, Option<String>, String)> = sqlx::query_as(
        r#"SELECT l.name, l.partial, x.name, x.coll
             FROM pragma_index_list(?, 'main') AS l JOIN pragma_index_xinfo(l.name, 'main') AS x ON x.key
            WHERE l."unique" ORDER BY l.name, x.seqno"#,
    )
    .bind(&table.name)
    .fetch_all(all)
    .await
    .map_err(failed)?;
    let mut indexes: Vec<UniqueIndex> = Vec::new();
    for (name, partial, column, collation) in listed {
        if indexes.last().is_none_or(|last| last.name != name) {
            let columns = (!partial).then(Vec::new);
            indexes.push(UniqueIndex { name, columns });
        }
        if let Some(index) = indexes.last_mut() {
            index.columns = index
                .columns
                .take()
                .zip(column)
                .map(|(mut columns, column)| {
                    columns.push((column, collation));
                    columns
                });
        }
    }
    Ok(indexes)
}

/// Puts the rows that the plan leaves into memory too: an index that cannot be asked about finds what is the same by itself.
async fn copy_untouched(all: &mut SqliteConnection, table: &Table) -> Result<()> {
    let written = table.columns.iter().filter(|column| !column.generated);
    let columns: Vec<String> = written.map(|column| quoted(&column.name)).collect();
    sqlx::query(AssertSqlSafe(format!(
        "INSERT INTO main.{name} ({columns}) SELECT {columns} FROM lab.{name} t
          WHERE NOT EXISTS (SELECT 1 FROM touched w WHERE w.type = ? AND w.key = CAST(t.{key} AS TEXT))",
        name = quoted(&table.name),
        columns = columns.join(", "),
        key = quoted(table.key().unwrap_or_default()),
    )))
    .bind(&table.name)
    .execute(all)
    .await
    .map(drop)
    .map_err(failed)
}

/// A row as it would be written: its columns that are.
fn written<'a>(table: &'a Table, state: &Row) -> Result<Vec<(&'a str, Stored)>> {
    let columns = table.columns.iter().filter(|column| !column.generated);
    columns
        .map(|column| {
            let given = state.get(&column.name).unwrap_or(&Value::Null);
            Ok((column.name.as_str(), encoded(table, &column.name, given)?))
        })
        .collect()
}

/// Writes these rows as the rollback would, into memory, all by one statement. Whether that went well: none of them is there if it did not.
async fn play_together(
    all: &mut SqliteConnection,
    table: &Table,
    changes: &[RowChange],
) -> Result<bool> {
    let states = changes.iter().filter_map(|change| change.after.as_ref());
    let rows: Result<Vec<_>> = states.map(|state| written(table, state)).collect();
    let rows = rows?;
    let Some(first) = rows.first() else {
        return Ok(true);
    };
    let names: Vec<&str> = first.iter().map(|(name, _)| *name).collect();
    let rows = rows
        .into_iter()
        .map(|row| row.into_iter().map(|(_, stored)| stored).collect())
        .collect();
    match insert_rows(all, table, &names, rows).await {
        Ok(()) => Ok(true),
        Err(error) if constraint_kind(&error).is_some() => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// Writes one row as the rollback would, into memory.
async fn play(
    all: &mut SqliteConnection,
    table: &Table,
    change: &RowChange,
    found: &mut Violations,
) -> Result<()> {
    let Some(state) = &change.after else {
        return Ok(());
    };
    let Err(error) = insert_row(&mut *all, table, written(table, state)?).await else {
        return Ok(());
    };
    let kind = match constraint_kind(&error) {
        Some(ConstraintKind::Check) => Violated::Check,
        Some(ConstraintKind::Unique) => Violated::Unique,
        // A plan says by itself where a value is missing.
        Some(ConstraintKind::NotNull) => return Ok(()),
        Some(ConstraintKind::Type) | None => return Err(failed(error)),
    };
    let said = failed(error).message;
    let constraint = said
        .rsplit_once(": ")
        .map_or(said.as_str(), |(_, after)| after);
    note(
        found,
        Violation {
            kind,
            constraint: constraint.to_owned(),
            row: change.key.clone(),
            rows: 1,
            words: match kind {
                Violated::Unique => format!("another row would have the same value ({constraint})"),
                _ => said.clone(),
            },
        },
    );
    Ok(())
}

/// A row of the plan and one that it leaves, where both would have the same unique values.
async fn compare_with_untouched(
    all: &mut SqliteConnection,
    table: &Table,
    index: &UniqueIndex,
    found: &mut Violations,
) -> Result<()> {
    let Some(columns) = &index.columns else {
        return Ok(());
    };
    let key = quoted(table.key().unwrap_or_default());
    let same: Vec<String> = columns
        .iter()
        .map(|(column, collation)| {
            format!(
                "o.{column} = p.{column} COLLATE {collation}",
                column = quoted(column)
            )
        })
        .collect();
    let rows: Option<(String, String, i64)> = sqlx::query_as(AssertSqlSafe(format!(
        "SELECT p.{key}, o.{key}, count(*) OVER () FROM main.{name} p CROSS JOIN lab.{name} o ON {same}
          WHERE NOT EXISTS (SELECT 1 FROM touched w WHERE w.type = ? AND w.key = CAST(o.{key} AS TEXT)) LIMIT 1",
        name = quoted(&table.name),
        same = same.join(" AND "),
    )))
    .bind(&table.name)
    .fetch_optional(all)
    .await
    .map_err(failed)?;
    if let Some((row, other, count)) = rows {
        let names: Vec<&str> = columns.iter().map(|(column, _)| column.as_str()).collect();
        let names = names.join(", ");
        note(
            found,
            Violation {
                kind: Violated::Unique,
                constraint: format!("{}.{names}", table.name),
                row: row_key(table, &row)?,
                rows: count.unsigned_abs(),
                words: format!("{} {other}, which stays, has the same {names}", table.name),
            },
        );
    }
    Ok(())
}

fn row_key(table: &Table, uuid: &str) -> Result<RowKey> {
    let found = super::log::uuids(vec![uuid.to_owned()])?;
    Ok(RowKey {
        table: table.name.clone(),
        uuid: found.first().copied().unwrap_or(Uuid::nil()),
    })
}

/// Whether an index of the pointing table begins with the foreign key's first column.
async fn has_index(all: &mut SqliteConnection, key: &ForeignKey) -> Result<bool> {
    let indexes: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM pragma_index_list(?, 'lab') AS l JOIN pragma_index_info(l.name, 'lab') AS i
          WHERE i.seqno = 0 AND i.name = ? AND NOT l.partial",
    )
    .bind(&key.table)
    .bind(&key.columns[0])
    .fetch_one(all)
    .await
    .map_err(failed)?;
    Ok(indexes > 0)
}

/// Rows that would point at a row that is not there: those of the plan, and those that it leaves.
async fn check_foreign_key(
    all: &mut SqliteConnection,
    tables: &[Table],
    by_table: &BTreeMap<&str, (&Table, Vec<usize>)>,
    key: &ForeignKey,
    found: &mut Violations,
) -> Result<()> {
    let by_name: HashMap<&str, &Table> = tables
        .iter()
        .map(|table| (table.name.as_str(), table))
        .collect();
    let (Some(pointing), Some(pointed)) = (
        by_name.get(key.table.as_str()),
        by_name.get(key.to_table.as_str()),
    ) else {
        return Ok(());
    };
    // Tables that take no part are looked at elsewhere, and cannot change here.
    let Some(pointing_key) = pointing.key().map(quoted) else {
        return Ok(());
    };
    let staged = |table: &Table| by_table.contains_key(table.name.as_str());
    let untouched = |row: &str, table: &Table, parameter: &str| match table.key() {
        Some(key) if staged(table) => format!(
            " AND NOT EXISTS (SELECT 1 FROM touched w WHERE w.type = {parameter} AND w.key = CAST({row}.{} AS TEXT))",
            quoted(key)
        ),
        _ => String::new(),
    };
    let there_in_memory = match staged(pointed) {
        true => format!(
            " AND NOT EXISTS (SELECT 1 FROM main.{} p WHERE {})",
            quoted(&key.to_table),
            key.matching()
        ),
        false => String::new(),
    };
    let mut wheres = Vec::new();
    if staged(pointing) {
        wheres.push(format!(
            "main.{} f WHERE {}{there_in_memory} AND NOT EXISTS (SELECT 1 FROM lab.{} p WHERE {}{})",
            quoted(&key.table),
            key.given(),
            quoted(&key.to_table),
            key.matching(),
            untouched("p", pointed, "?2"),
        ));
    }
    if let (true, Some(pointed_key)) = (staged(pointed), pointed.key()) {
        let there = quoted(&key.to_table);
        // Without an index on the foreign key each row that is pointed at would be looked for in all rows that point. One look at each of those
        // finds the same.
        let from_touched = has_index(all, key).await?;
        wheres.push(match from_touched {
            false => format!(
                "lab.{} f WHERE {} AND EXISTS (SELECT 1 FROM lab.{there} o CROSS JOIN touched g
                    ON g.type = ?2 AND g.key = CAST(o.{} AS TEXT) WHERE {}){}{there_in_memory}",
                quoted(&key.table),
                key.given(),
                quoted(pointed_key),
                key.matching().replace("= p.", "= o."),
                untouched("f", pointing, "?1"),
            ),
            true => format!(
                "touched g CROSS JOIN lab.{} o ON o.{} = g.key CROSS JOIN lab.{} f ON {}
              WHERE g.type = ?2{}{there_in_memory}",
                quoted(&key.to_table),
                quoted(pointed_key),
                quoted(&key.table),
                key.matching().replace("= p.", "= o."),
                untouched("f", pointing, "?1"),
            ),
        });
    }
    for place in wheres {
        let rows: Option<(String, i64)> = sqlx::query_as(AssertSqlSafe(format!(
            "SELECT f.{pointing_key}, count(*) OVER () FROM {place} AND ?1 IS NOT NULL AND ?2 IS NOT NULL LIMIT 1"
        )))
        .bind(&key.table)
        .bind(&key.to_table)
        .fetch_optional(&mut *all)
        .await
        .map_err(failed)?;
        if let Some((row, count)) = rows {
            note(
                found,
                Violation {
                    kind: Violated::ForeignKey,
                    constraint: key.name(),
                    row: row_key(pointing, &row)?,
                    rows: count.unsigned_abs(),
                    words: format!(
                        "it would point ({}) at a row of {} that is not there",
                        key.columns.join(", "),
                        key.to_table
                    ),
                },
            );
        }
    }
    Ok(())
}
