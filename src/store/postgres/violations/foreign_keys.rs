//! Rows that would point at nothing: those that the plan brings, and those that stay while what they point at goes.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{AssertSqlSafe, FromRow, PgConnection};
use uuid::Uuid;

use super::{ROWS_AT_ONCE, Rows, Staged, quoted};
use crate::eventsourcing::rollback::Changes;
use crate::eventsourcing::schema::Table;
use crate::eventsourcing::store::{Violated, Violation};
use crate::eventsourcing::{ErrorCode, Result, Row, RowKey};
use crate::store::postgres::error::failed;

/// A foreign key between two tables that take part.
#[derive(FromRow)]
struct ForeignKey {
    name: String,
    pointing: String,
    pointing_quoted: String,
    pointing_key: String,
    pointed: String,
    pointed_quoted: String,
    pointed_key: String,
    pointing_columns: Vec<String>,
    pointed_columns: Vec<String>,
    /// The condition that the row `f` points at something, and that it is the row `t`.
    given: String,
    matching: String,
}

const FOREIGN_KEYS: &str = "
    WITH taking_part AS MATERIALIZED (
        SELECT given.name, given.key, c.oid AS relation, format('%I.%I', n.nspname, c.relname) AS quoted
          FROM unnest($2::text[], $3::text[]) AS given(name, key)
          JOIN pg_class c ON c.oid = sourcing.find(given.name)
          JOIN pg_namespace n ON n.oid = c.relnamespace
    )
    SELECT con.conname::text AS name, f.name AS pointing, f.quoted AS pointing_quoted, f.key AS pointing_key,
           t.name AS pointed, t.quoted AS pointed_quoted, t.key AS pointed_key,
           array_agg(mine.attname::text ORDER BY pair.at) AS pointing_columns, array_agg(theirs.attname::text ORDER BY pair.at) AS pointed_columns,
           string_agg(format('f.%I IS NOT NULL', mine.attname), ' AND ') AS given,
           string_agg(format('t.%I OPERATOR(%I.%s) f.%I', theirs.attname, ns.nspname, op.oprname, mine.attname)
                      || CASE WHEN theirs.attcollation <> mine.attcollation THEN format(' COLLATE %I.%I', cns.nspname, c.collname) ELSE '' END,
                      ' AND ' ORDER BY pair.at) AS matching
      FROM pg_constraint con
      JOIN taking_part f ON f.relation = con.conrelid
      JOIN taking_part t ON t.relation = con.confrelid
     CROSS JOIN LATERAL unnest(con.conkey, con.confkey, con.conpfeqop) WITH ORDINALITY AS pair(mine, theirs, operator, at)
      JOIN pg_attribute mine ON mine.attrelid = con.conrelid AND mine.attnum = pair.mine
      JOIN pg_attribute theirs ON theirs.attrelid = con.confrelid AND theirs.attnum = pair.theirs
      JOIN pg_operator op ON op.oid = pair.operator
      JOIN pg_namespace ns ON ns.oid = op.oprnamespace
      LEFT JOIN pg_collation c ON c.oid = theirs.attcollation
      LEFT JOIN pg_namespace cns ON cns.oid = c.collnamespace
     WHERE con.contype = 'f' AND con.conparentid = 0 AND (f.name = ANY ($1) OR t.name = ANY ($1))
       AND to_jsonb(con) ->> 'conenforced' IS DISTINCT FROM 'false'
     GROUP BY con.oid, con.conname, f.name, f.quoted, f.key, t.name, t.quoted, t.key
     ORDER BY con.conname";

pub(super) async fn foreign_keys(
    connection: &mut PgConnection,
    tables: &[Table],
    staged: &HashMap<&str, &Staged>,
    rows: &BTreeMap<&str, Rows>,
    changes: &Changes,
) -> Result<Vec<Violation>> {
    let names: Vec<&str> = staged.keys().copied().collect();
    let taking_part = tables
        .iter()
        .filter_map(|table| Some((table.name.as_str(), table.key()?)));
    let (all, their_keys): (Vec<&str>, Vec<&str>) = taking_part.unzip();
    let keys: Vec<ForeignKey> = sqlx::query_as(FOREIGN_KEYS)
        .bind(&names)
        .bind(&all)
        .bind(&their_keys)
        .fetch_all(&mut *connection)
        .await
        .map_err(failed)?;
    let mut columns: HashMap<&str, HashSet<&str>> = HashMap::new();
    for key in &keys {
        for (table, key, used) in [
            (&key.pointing, &key.pointing_key, &key.pointing_columns),
            (&key.pointed, &key.pointed_key, &key.pointed_columns),
        ] {
            let columns = columns.entry(table).or_default();
            columns.extend(used.iter().map(String::as_str));
            columns.insert(key);
        }
    }
    let mut living: HashMap<&str, Vec<Row>> = HashMap::new();
    for (table, columns) in columns {
        let Some(rows) = rows.get(table) else {
            continue;
        };
        let keys = living.entry(table).or_default();
        for lot in changes.lots(rows.living.iter().copied(), ROWS_AT_ONCE) {
            let rows = lot?.into_iter().filter_map(|row| row.after);
            let only = |(name, _): &(String, Value)| columns.contains(name.as_str());
            keys.extend(rows.map(|row| row.into_iter().filter(only).collect::<Row>()));
        }
    }
    let nothing = Rows::default();
    let mut found = Vec::new();
    for key in &keys {
        let (pointing, pointed) = (
            staged.get(key.pointing.as_str()),
            staged.get(key.pointed.as_str()),
        );
        let of = |table: Option<&&Staged>| {
            table
                .and_then(|table| rows.get(table.name.as_str()))
                .unwrap_or(&nothing)
        };
        // $1 and $2: the pointing rows as they would be, and those that do not stay as they are; $3 and $4: the same of the pointed ones.
        let comes = match pointed {
            Some(table) => format!(
                "EXISTS (SELECT FROM {} WHERE {})",
                table.rows(3, "t"),
                key.matching
            ),
            None => "false".to_owned(),
        };
        let mut places = Vec::new();
        if let Some(table) = pointing {
            places.push(format!(
                "{} WHERE {} AND NOT {comes} AND NOT EXISTS (SELECT FROM {} t WHERE {}
                     AND NOT EXISTS (SELECT FROM unnest($4::uuid[]) AS w(key) WHERE w.key = t.{}))",
                table.rows(1, "f"),
                key.given,
                key.pointed_quoted,
                key.matching,
                quoted(&key.pointed_key),
            ));
        }
        if pointed.is_some() {
            places.push(format!(
                "unnest($4::uuid[]) AS g(key) JOIN {} t ON t.{} = g.key JOIN {} f ON {}
                 WHERE NOT {comes} AND NOT EXISTS (SELECT FROM unnest($2::uuid[]) AS w(key) WHERE w.key = f.{})",
                key.pointed_quoted,
                quoted(&key.pointed_key),
                key.pointing_quoted,
                key.matching,
                quoted(&key.pointing_key),
            ));
        }
        for place in places {
            let rows_of = |table: Option<&&Staged>| {
                let rows = table.and_then(|table| living.get(table.name.as_str()));
                Json(rows.map(Vec::as_slice).unwrap_or_default())
            };
            let violating: sqlx::Result<Option<(Uuid, i64)>> =
                sqlx::query_as(AssertSqlSafe(format!(
                    "SELECT f.{}, count(*) OVER () FROM {place}
                    AND ($1::jsonb, $2::uuid[], $3::jsonb, $4::uuid[]) IS NOT NULL LIMIT 1",
                    quoted(&key.pointing_key)
                )))
                .bind(rows_of(pointing))
                .bind(&of(pointing).touched)
                .bind(rows_of(pointed))
                .bind(&of(pointed).touched)
                .fetch_optional(&mut *connection)
                .await;
            let violating = match violating.map_err(failed) {
                // Which rows those are, nobody here may know.
                Err(error) if error.code == ErrorCode::NotAllowed => None,
                violating => violating?,
            };
            if let Some((row, count)) = violating {
                found.push(Violation {
                    kind: Violated::ForeignKey,
                    constraint: key.name.clone(),
                    row: RowKey {
                        table: key.pointing.clone(),
                        uuid: row,
                    },
                    rows: count.unsigned_abs(),
                    words: format!(
                        "it would point ({}) at a row of {} that is not there",
                        key.pointing_columns.join(", "),
                        key.pointed
                    ),
                });
            }
        }
    }
    Ok(found)
}
